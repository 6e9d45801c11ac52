//! The engine on real files: what comes out is read back with ffprobe, as a player would.

mod texts;

mod pictures;

use super::*;
use crate::ids::{Epoch, JobId};
use crate::model::extra::{Extra, ExtraKind, FoundText};
use crate::model::job::Task;
use crate::model::manifest::{INIT_FILE, Segment, segment_file};
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::text::Chapter;
use crate::model::video::SourceFacts;
use crate::units::{ByteCount, UnixMillis};
use crate::wire::{EncodeOptions, Extent, Limits, WIRE_VERSION};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

mod film;
mod resume;
mod sound;

/// Returns the directory of generated films, made once for all test runs of a target directory.
/// Every test asks for it first, so FFmpeg is loaded here too.
fn films() -> &'static Path {
    static FILMS: OnceLock<PathBuf> = OnceLock::new();
    FILMS.get_or_init(|| {
        libraries::load().expect("FFmpeg is installed");
        let test_binary = std::env::current_exe().expect("a running test has a path");
        let target = test_binary.ancestors().nth(3).expect("target/debug/deps/test");
        let given = std::env::var_os("SLIPWAY_TEST_MEDIA").map(PathBuf::from);
        let dir = given.unwrap_or_else(|| target.join("test-media"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-test-media");
        let made = Command::new(script).arg(&dir).status().expect("bash runs");
        assert!(made.success(), "scripts/make-test-media failed");
        dir
    })
}

/// What one run has reported and left behind.
#[derive(Default)]
struct Outcome {
    result: Option<Result<(), Problem>>,
    facts: SourceFacts,
    plan: Vec<RenditionPlan>,
    made: BTreeMap<String, Made>,
    poster: Option<(u32, u32)>,
    texts: Option<Vec<FoundText>>,
    chapters: Vec<Chapter>,
    extras: Vec<Extra>,
    warnings: Vec<String>,
    unlike: Vec<String>,
    progress: Vec<f64>,
    order_of_reports: Vec<String>,
}

#[derive(Default)]
struct Made {
    codecs: String,
    timescale: u32,
    target_ms: u32,
    after: u32,
    segments: Vec<Segment>,
    complete: bool,
}

impl Made {
    /// Seconds at which the segments begin, and the end of the last.
    fn starts(&self) -> Vec<f64> {
        let mut at = 0;
        let mut starts = vec![0.0];
        for segment in &self.segments {
            at += segment.ticks;
            starts.push(at as f64 / f64::from(self.timescale));
        }
        starts
    }
}

impl Outcome {
    fn take(&mut self, report: Report) {
        match report {
            Report::Probed { facts, plan } => (self.facts, self.plan) = (facts, plan),
            Report::Begun { .. } | Report::Ended { .. } => {}
            Report::Extra { extra: Extra::Texts { tracks } } => {
                self.order_of_reports.push("texts".to_owned());
                self.texts = Some(tracks);
            }
            Report::Extra { extra: Extra::Chapters { chapters } } => self.chapters = chapters,
            Report::Extra { extra } => {
                if let Extra::Poster { picture } = &extra {
                    self.poster = Some((picture.width, picture.height));
                }
                self.extras.push(extra);
            }
            Report::Started { rendition, codecs, timescale, target_ms, after } => {
                self.order_of_reports.push(rendition.clone());
                let made = Made { codecs, timescale, target_ms, after, ..Made::default() };
                assert!(self.made.insert(rendition, made).is_none(), "started twice");
            }
            Report::Segment { rendition, number, segment } => {
                let made = self.made.get_mut(&rendition).expect("started before its segments");
                made.segments.push(segment);
                let count = made.after as usize + made.segments.len();
                assert_eq!(count, number as usize, "numbers rise without a gap");
            }
            // All segments of one that was begun may be there already.
            Report::Completed { rendition } => {
                self.made.entry(rendition).or_default().complete = true;
            }
            Report::Unlike { rendition } => self.unlike.push(rendition),
            Report::Progress { progress, .. } => self.progress.push(progress),
            Report::Warning { warning } => self.warnings.push(warning.code),
            other => panic!("not the engine's report: {other:?}"),
        }
    }

    fn ok(self) -> Self {
        assert_eq!(self.result, Some(Ok(())));
        self
    }
}

fn order() -> Order {
    Order {
        version: WIRE_VERSION,
        job: JobId::fresh(UnixMillis(1)),
        epoch: Epoch(1),
        source: Vec::new(),
        renditions_done: Vec::new(),
        seconds_done: 0.0,
        begun: Vec::new(),
        extras_done: Vec::new(),
        sounds_unfit: Vec::new(),
        task: Task::Film,
        encode: EncodeOptions {
            ladder_heights: None,
            preset: "ultrafast".into(),
            segment_seconds: 2,
            loudness: false,
            threads: 2,
        },
        limits: Limits {
            pixels_max: 8192 * 4320,
            duration_ms_max: 3_600_000,
            memory_bytes_max: 2 << 30,
            cpu_seconds_max: 3600,
            file_bytes_max: 1 << 30,
            streams_max: 32,
        },
    }
}

fn run_on(path: &Path, out: &Path, mut order: Order) -> Outcome {
    run_until(path, out, &mut order, |_| false)
}

/// Runs until `enough` of what was reported, the last report included.
fn run_until(
    path: &Path,
    out: &Path,
    order: &mut Order,
    mut enough: impl FnMut(&Outcome) -> bool + Send,
) -> Outcome {
    let source = fs::File::open(path).expect("the film is there");
    order.source = Extent::whole(ByteCount(source.metadata().expect("its size").len()));
    let dir = fs::File::open(out).expect("the output directory is there");
    let mut outcome = Outcome::default();
    let mut report = |report| {
        outcome.take(report);
        if enough(&outcome) { Err(Gone) } else { Ok(()) }
    };
    let result = run(order, vec![source.into()], dir.into(), &mut report);
    outcome.result = Some(result);
    outcome
}

fn out_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// One packet as ffprobe shows it: second at which it's shown, key.
struct Seen {
    at: f64,
    key: bool,
}

/// A rendition's files joined into one, as a player sees them.
struct Joined {
    seen: Vec<Seen>,
    stream: String,
    /// Seconds from the first packet to the end of the last.
    duration: f64,
}

/// Joins a rendition's files into one and lists its packets as a player would see them.
fn joined(out: &Path, name: &str, made: &Made) -> Joined {
    let dir = out.join(name);
    let mut film = fs::read(dir.join(INIT_FILE)).expect("the header");
    for (at, segment) in made.segments.iter().enumerate() {
        let bytes = fs::read(dir.join(segment_file(at + 1))).expect("the segment");
        assert_eq!(bytes.len() as u64, segment.bytes, "size of {name} {}", at + 1);
        film.extend(bytes);
    }
    let joined = dir.join("joined.mp4");
    fs::write(&joined, &film).expect("the joined film");
    assert!(!film.windows(12).any(|w| w == b"secret-title"), "the source's title got out");
    let probe = |entries: &str| {
        let shown = Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv=p=0", "-show_entries", entries])
            .arg(&joined)
            .output()
            .expect("ffprobe runs");
        assert!(shown.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&shown.stderr));
        String::from_utf8(shown.stdout).expect("text")
    };
    let seen = probe("packet=pts_time,flags")
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            Seen { at: cells[0].parse().expect("a time"), key: cells[1].contains('K') }
        })
        .collect();
    let duration = probe("format=duration").trim().parse().expect("a length");
    let stream = probe("stream=codec_name,profile,width,height,sample_aspect_ratio,pix_fmt");
    Joined { seen, stream, duration }
}

/// Decodes a rendition whole and says how many pictures it has; any complaint is a failure.
fn decodes(out: &Path, name: &str) -> usize {
    let shown = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-count_frames"])
        .args(["-show_entries", "stream=nb_read_frames"])
        .arg(out.join(name).join("joined.mp4"))
        .output()
        .expect("ffprobe runs");
    assert!(shown.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&shown.stderr));
    String::from_utf8_lossy(&shown.stdout).trim().trim_matches(',').parse().expect("a count")
}

fn near(a: f64, b: f64, within: f64) -> bool {
    (a - b).abs() <= within
}

/// Checks everything that holds for every film: all that was planned is complete, decodes, begins
/// and ends together, and is cut at the same places, each with a key frame.
fn check_film(out: &Path, outcome: &Outcome, seconds: f64) {
    check_film_within(out, outcome, seconds, 0.05);
}

/// [`check_film`] for a film whose tracks end up to `within` seconds apart.
fn check_film_within(out: &Path, outcome: &Outcome, seconds: f64, within: f64) {
    assert!(near(outcome.facts.duration, seconds, 0.15), "declared {}", outcome.facts.duration);
    let mut picture_starts: Option<Vec<f64>> = None;
    for plan in &outcome.plan {
        let made = outcome.made.get(&plan.name).expect("planned and made");
        assert!(made.complete, "{} is complete", plan.name);
        let Joined { seen, stream, duration } = joined(out, &plan.name, made);
        let starts = made.starts();
        let first = seen.iter().map(|packet| packet.at).fold(f64::INFINITY, f64::min);
        let end = first + duration;
        assert!(near(first, 0.0, 0.040), "{} begins at {first}", plan.name);
        assert!(near(end, seconds, within), "{} ends at {end}", plan.name);
        assert!(near(*starts.last().expect("an end"), end, 0.05), "{starts:?} for {end}");
        for pair in starts.windows(2) {
            let lasts = pair[1] - pair[0];
            assert!(lasts * 1000.0 <= f64::from(made.target_ms) + 0.5, "{lasts} in {starts:?}");
        }
        match plan.kind {
            RenditionKind::Audio => {
                assert_eq!(made.codecs, "mp4a.40.2");
                assert!(stream.starts_with("aac,LC"), "{stream}");
            }
            RenditionKind::Video => {
                assert!(made.codecs.starts_with("avc1.") && made.codecs.len() == 11);
                let size = format!(",{},{},", plan.width, plan.height);
                assert!(stream.contains(&size), "{} is {stream}", plan.name);
                assert!(!stream.contains("N/A,N/A") && stream.contains("yuv"), "{stream}");
                for start in &starts[..starts.len() - 1] {
                    let key = seen.iter().any(|p| p.key && near(p.at, *start, 0.001));
                    assert!(key, "{}: a key frame at {start}", plan.name);
                }
                assert_eq!(decodes(out, &plan.name), seen.len(), "{}", plan.name);
                let aligned = picture_starts.get_or_insert_with(|| starts.clone());
                let same = aligned.len() == starts.len()
                    && aligned.iter().zip(&starts).all(|(a, b)| near(*a, *b, 0.002));
                assert!(same, "{}: {starts:?} beside {aligned:?}", plan.name);
            }
        }
    }
    let sounds = outcome.plan.iter().filter(|plan| plan.kind == RenditionKind::Audio);
    for plan in sounds.filter(|_| picture_starts.is_some()) {
        let (sound, pictures) =
            (outcome.made[&plan.name].starts(), picture_starts.clone().unwrap_or_default());
        assert_eq!(sound.len(), pictures.len(), "{sound:?} beside {pictures:?}");
        for (a, b) in sound.iter().zip(&pictures) {
            assert!(near(*a, *b, 0.06), "{sound:?} beside {pictures:?}");
        }
    }
    let leftovers: Vec<_> = walk(out).filter(|path| path.ends_with(".tmp")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert!(outcome.progress.windows(2).all(|pair| pair[0] <= pair[1]));
}

fn walk(dir: &Path) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory").flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.path());
            } else {
                found.push(entry.path().to_string_lossy().into_owned());
            }
        }
    }
    found.into_iter()
}

fn names(plan: &[RenditionPlan]) -> Vec<&str> {
    plan.iter().map(|rendition| rendition.name.as_str()).collect()
}

/// A camera file with its index at the end: copied at the top, the rest encoded to its key frames,
/// the copy and the sound playable before anything is encoded.
#[test]
fn moov_last() {
    let out = out_dir();
    let outcome = run_on(&films().join("moov-last.mp4"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["360p", "audio", "240p"]);
    assert!(outcome.plan[0].copied && outcome.made["360p"].segments.len() == 4);
    check_film(out.path(), &outcome, 8.0);
    assert_eq!(outcome.poster, Some((640, 360)));
    assert_eq!(outcome.order_of_reports.last().map(String::as_str), Some("240p"));
    // Every key frame of this film is a white flash; the poster shows what comes after.
    let poster = fs::read(out.path().join("poster.jpg")).expect("the poster");
    let picture = image::load_from_memory(&poster).expect("a JPEG").to_luma8();
    let (darkest, brightest) = picture
        .pixels()
        .fold((255, 0), |(dark, bright), pixel| (pixel.0[0].min(dark), pixel.0[0].max(bright)));
    assert!(brightest - darkest > 100, "{darkest}..{brightest}");
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
}

/// What an earlier attempt made isn't made again, and what is made then still fits it.
#[test]
fn resumes_by_renditions() {
    let out = out_dir();
    let mut second = order();
    second.renditions_done = vec!["720p".into(), "audio".into(), "480p".into()];
    second.extras_done = vec![ExtraKind::Poster];
    let outcome = run_on(&films().join("faststart.mp4"), out.path(), second).ok();
    assert_eq!(names(&outcome.plan), ["720p", "audio", "480p", "360p", "240p"]);
    assert_eq!(outcome.made.keys().collect::<Vec<_>>(), ["240p", "360p"]);
    for made in outcome.made.values() {
        let starts = made.starts();
        let grid = (0..=5).map(|n| f64::from(n) * 2.0);
        assert!(starts.iter().zip(grid).all(|(a, b)| near(*a, b, 0.001)), "{starts:?}");
    }
    assert!(outcome.poster.is_none() && !out.path().join("poster.jpg").exists());
}

/// Prescribed heights are what is made, without a copy between them.
#[test]
fn prescribed_heights() {
    let out = out_dir();
    let mut order = order();
    order.encode.ladder_heights = Some(vec![240, 144]);
    let outcome = run_on(&films().join("silent.mp4"), out.path(), order).ok();
    assert_eq!(names(&outcome.plan), ["240p", "144p"]);
    check_film(out.path(), &outcome, 3.0);
}

/// A browser's format is decoded and encoded with its sound.
#[test]
fn webm() {
    let out = out_dir();
    let outcome = run_on(&films().join("vp9.webm"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["audio", "180p", "144p"]);
    assert_eq!(outcome.facts.video_codec.as_deref(), Some("vp9"));
    check_film(out.path(), &outcome, 4.0);
}

/// A film shot upright stands upright, in every rung and on its poster.
#[test]
fn rotated() {
    let out = out_dir();
    let outcome = run_on(&films().join("rotated.mp4"), out.path(), order()).ok();
    assert_eq!((outcome.facts.width, outcome.facts.height), (360, 640));
    assert_eq!(outcome.facts.rotation % 180, 90);
    assert_eq!(names(&outcome.plan), ["audio", "360p", "240p"]);
    assert_eq!((outcome.plan[1].width, outcome.plan[1].height), (360, 640));
    check_film(out.path(), &outcome, 3.0);
    assert_eq!(outcome.poster, Some((360, 640)));
}

/// A film without sound gets no sound.
#[test]
fn silent() {
    let out = out_dir();
    let outcome = run_on(&films().join("silent.mp4"), out.path(), order()).ok();
    assert!(outcome.plan.iter().all(|rendition| rendition.kind == RenditionKind::Video));
    check_film(out.path(), &outcome, 3.0);
}

/// Sound alone is a rendition by itself.
#[test]
fn sound_only() {
    let out = out_dir();
    let outcome = run_on(&films().join("sound.mp3"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["audio", "audio_low"]);
    assert_eq!((outcome.facts.width, outcome.facts.video_codec.as_deref()), (0, None));
    check_film(out.path(), &outcome, 6.0);
    assert!(outcome.poster.is_some());
}

/// Pictures at uneven distances keep their times.
#[test]
fn variable_frame_rate() {
    let out = out_dir();
    let outcome = run_on(&films().join("vfr.mkv"), out.path(), order()).ok();
    // Its last picture is shown at 4.9 s and lasts a thirtieth.
    check_film_within(out.path(), &outcome, 5.0, 0.07);
    let name = &outcome.plan.iter().rev().find(|r| !r.copied).expect("an encoded rung").name;
    let Joined { seen, .. } = joined(out.path(), name, &outcome.made[name]);
    let mut times: Vec<f64> = seen.iter().map(|packet| packet.at).collect();
    times.sort_by(f64::total_cmp);
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().any(|step| near(*step, 1.0 / 30.0, 0.003)), "{steps:?}");
    assert!(steps.iter().any(|step| near(*step, 0.1, 0.003)), "{steps:?}");
}

/// Sound that ends early is filled up with silence, beside pictures that are copied from a
/// container without decoding times.
#[test]
fn short_sound() {
    let out = out_dir();
    let outcome = run_on(&films().join("short-sound.mkv"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["240p", "audio", "144p"]);
    assert!(outcome.plan[0].copied);
    check_film(out.path(), &outcome, 5.0);
}

/// Fields are woven into whole pictures, at the rate of the pictures.
#[test]
fn interlaced() {
    let out = out_dir();
    let outcome = run_on(&films().join("interlaced.ts"), out.path(), order()).ok();
    assert_eq!(outcome.facts.video_codec.as_deref(), Some("mpeg2video"));
    check_film(out.path(), &outcome, 3.0);
}

/// Ten bits become eight.
#[test]
fn ten_bits() {
    let film = films().join("hevc10.mkv");
    if !film.exists() {
        return; // This FFmpeg can't make such a film.
    }
    let out = out_dir();
    let outcome = run_on(&film, out.path(), order()).ok();
    check_film(out.path(), &outcome, 2.0);
    let top = &outcome.plan[0];
    let Joined { stream, .. } = joined(out.path(), &top.name, &outcome.made[&top.name]);
    assert!(stream.contains("yuv420p,") || stream.trim_end().ends_with("yuv420p"), "{stream}");
}

/// A film that was cut short is made as far as it goes, and says so.
#[test]
fn truncated() {
    let out = out_dir();
    let outcome = run_on(&films().join("truncated.mp4"), out.path(), order()).ok();
    assert_eq!(outcome.warnings, ["truncated-source"]);
    let top = &outcome.made["720p"];
    let end = *top.starts().last().expect("an end");
    assert!(top.complete && end > 2.0 && end < 8.0, "{end}");
}

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
        let reader = source::SourceFile::new(vec![file.into()], &Extent::whole(size));
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
    let reader = source::SourceFile::new(vec![file.into()], &Extent::whole(size));
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
        let result = run(&order, vec![source.into()], dir.into(), &mut report);
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
