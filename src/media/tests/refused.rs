//! What isn't made, and how that is told: strangers, bounds, and work that is broken off.

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
