//! What isn't made, and how that is told: strangers, bounds, and work that is broken off.

use super::resume::{Published, quick};
use super::*;

fn check_refused(name: &str, code: ProblemCode) {
    let out = out_dir();
    let outcome = run_on(&films().join(name), out.path(), order());
    match outcome.result {
        Some(Err(problem)) => {
            assert_eq!(problem.code, code, "{name}: {}", problem.detail);
            assert!(problem.detail.ends_with('.') && !problem.detail.contains('/'), "{problem:?}");
        }
        other => panic!("{name}: {other:?}"),
    }
    assert_eq!(walk(out.path()).count(), 0, "{name} left files");
    assert!(outcome.made.is_empty());
}

/// What isn't a film is refused by what it is; playlists above all, which name a film beside them
/// that FFmpeg alone would have opened.
#[test]
fn strangers_are_refused() {
    use ProblemCode::{DamagedMedia, TooLarge, UnsupportedMedia};
    for (name, code) in [
        ("text.mp4", UnsupportedMedia),
        ("playlist.mp4", UnsupportedMedia),
        ("concat.mp4", UnsupportedMedia),
        ("mpd.mp4", UnsupportedMedia),
        ("still.jpg", UnsupportedMedia),
        ("still.mp4", UnsupportedMedia),
        ("noise.bin", UnsupportedMedia),
        ("empty.mp4", UnsupportedMedia),
        ("headless.mp4", DamagedMedia),
        ("huge-picture.mp4", TooLarge),
    ] {
        check_refused(name, code);
    }
    if films().join("magicyuv.avi").exists() {
        check_refused("magicyuv.avi", UnsupportedMedia);
    }
}

/// Even with a demuxer that opens other files, there is nothing to open: the playlist's film beside
/// it stays closed.
#[test]
fn nothing_else_can_be_opened() {
    for (film, demuxer) in [("playlist.mp4", "hls"), ("concat.mp4", "concat"), ("mpd.mp4", "dash")]
    {
        let file = fs::File::open(films().join(film)).expect("the film is there");
        let size = ByteCount(file.metadata().expect("its size").len());
        let reader = source_file::SourceFile::new(vec![file.into()], &Extent::whole(size));
        let io = ffmpeg_next::format::context::StreamIo::from_read_seek(reader).expect("a reader");
        let opened = ffi::open_input(io, demuxer, &[]).and_then(|mut input| {
            ffi::find_stream_info(&mut input, &[])?;
            let mut packet = ffmpeg_next::Packet::empty();
            packet.read(&mut input).map_err(ffi::FfiError::from)
        });
        assert!(opened.is_err(), "{film} through {demuxer}");
    }
}

/// Bounds are told by their own codes, before work begins.
#[test]
fn bounds() {
    let check = |change: &dyn Fn(&mut Order), code| {
        let out = out_dir();
        let mut order = order();
        change(&mut order);
        let outcome = run_on(&films().join("moov-last.mp4"), out.path(), order);
        let problem = outcome.result.expect("it ran").expect_err("it is out of bounds");
        assert_eq!(problem.code, code, "{}", problem.detail);
    };
    check(&|order| order.limits.pixels_max = 640 * 359, ProblemCode::TooLarge);
    check(&|order| order.limits.duration_ms_max = 7000, ProblemCode::TooLong);
    check(&|order| order.limits.streams_max = 1, ProblemCode::TooManyStreams);
}

/// A film that fails on its way completes no rung, neither one that has had pictures nor one that
/// is gone on with and has had none yet: the next attempt makes the rest.
#[test]
fn what_fails_on_its_way_is_not_complete() {
    // It says that it lasts two seconds, so that how long it is comes out only on the way.
    let pieces = out_dir();
    let film = pieces.path().join("lies.mkv");
    let mut bytes = fs::read(films().join("vfr.mkv")).expect("made");
    let duration = bytes.windows(3).position(|it| it == [0x44, 0x89, 0x88]).expect("its length");
    bytes[duration + 3..duration + 11].copy_from_slice(&2_000_f64.to_be_bytes());
    fs::write(&film, bytes).expect("written");
    let too_long = |ms| {
        let mut order = quick();
        order.limits.duration_ms_max = ms;
        order
    };
    let mut published = Published::default();
    for ms in [4_500, 2_100] {
        let outcome = published.attempt(&film, pieces.path(), too_long(ms), |_| false);
        let code = outcome.result.expect("it ran").map_err(|problem| problem.code);
        assert_eq!(code, Err(ProblemCode::TooLong));
        for name in ["240p", "180p"] {
            let made = &published.made[name];
            assert!(!made.complete && made.segments.len() > 2, "{name} after {ms} ms");
        }
    }
    published.attempt(&film, pieces.path(), quick(), |_| false).ok();
    for name in ["240p", "180p"] {
        let made = &published.made[name];
        let ends = made.starts().last().copied().expect("an end");
        assert!(made.complete && near(ends, 5.0, 0.1), "{name} ends at {ends}");
    }
}

/// An option that FFmpeg doesn't take is an error: a mistyped limit must not pass for a limit.
#[test]
fn mistyped_options_are_errors() {
    let file = fs::File::open(films().join("moov-last.mp4")).expect("the film is there");
    let size = ByteCount(file.metadata().expect("its size").len());
    let reader = source_file::SourceFile::new(vec![file.into()], &Extent::whole(size));
    let io = ffmpeg_next::format::context::StreamIo::from_read_seek(reader).expect("a reader");
    let options = [("format_whitelists", "mov".to_owned())];
    let opened = ffi::open_input(io, "mov", &options);
    assert_eq!(opened.err(), Some(ffi::FfiError::OptionIgnored));
}

/// Once nobody listens, the work ends without another report, wherever it is.
#[test]
fn ends_when_nobody_listens() {
    for last in 1..12 {
        let out = out_dir();
        let path = films().join("moov-last.mp4");
        let source = fs::File::open(&path).expect("the film is there");
        let mut order = order();
        order.source = Extent::whole(ByteCount(source.metadata().expect("its size").len()));
        let dir = fs::File::open(out.path()).expect("the output directory");
        let mut heard = 0;
        let mut report = |report| {
            if matches!(report, Report::Progress { .. }) {
                return Ok(());
            }
            heard += 1;
            if heard >= last { Err(Gone) } else { Ok(()) }
        };
        let result = run(&order, vec![source.into()], dir.into(), None, &mut report);
        assert_eq!(result.map_err(|problem| problem.code), Err(ProblemCode::Cancelled));
        assert_eq!(heard, last, "reports after nobody listened");
    }
}

/// A result that can't be stored is the server's trouble, and told as such.
#[test]
fn output_that_cannot_be_written() {
    let out = out_dir();
    // A file where the rendition's directory should be.
    fs::write(out.path().join("360p"), b"in the way").expect("a file");
    let outcome = run_on(&films().join("moov-last.mp4"), out.path(), order());
    let problem = outcome.result.expect("it ran").expect_err("it can't be written");
    assert_eq!(problem.code, ProblemCode::Internal);
}
