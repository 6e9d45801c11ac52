//! The engine on real files: what comes out is read back with ffprobe, as a player would.

mod arriving;
mod film;
mod head_start;
mod kinds;
mod pictures;
mod refused;
mod resume;
mod sound;
mod spans;
mod texts;

use super::boxes::Fragment;
use super::*;
use crate::ids::{Epoch, JobId};
use crate::model::extra::{Extra, ExtraKind, FoundText};
use crate::model::job::Task;
use crate::model::manifest::{INIT_FILE, Segment, segment_file};
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::spans::Span;
use crate::model::text::Chapter;
use crate::model::video::SourceFacts;
use crate::units::{ByteCount, UnixMillis};
use crate::wire::{EncodeOptions, Extent, Limits, WIRE_VERSION};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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
    spans: Vec<Span>,
    /// Renditions that have all of a span.
    ended: Vec<String>,
    is_uncut: bool,
    progress: Vec<f64>,
    order_of_reports: Vec<String>,
    /// The length that the probe couldn't tell.
    lasts: Option<f64>,
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
            Report::Lasts { seconds } => self.lasts = Some(seconds),
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
            Report::Started { rendition, codecs, timescale, target_ms, after, .. } => {
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
            Report::Span { span } => self.spans.push(span),
            Report::SpanEnded { rendition } => self.ended.push(rendition),
            Report::Uncut => self.is_uncut = true,
            Report::Unlike { rendition, .. } => self.unlike.push(rendition),
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
        encrypted: Vec::new(),
        arrived: None,
        is_open_ended: false,
        renditions_done: Vec::new(),
        seconds_done: 0.0,
        begun: Vec::new(),
        extras_done: Vec::new(),
        sounds_unfit: Vec::new(),
        pictures_unfit: false,
        spans: 1,
        span: None,
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
    let result = run(order, vec![source.into()], dir.into(), None, &mut report);
    outcome.result = Some(result);
    outcome
}

fn out_dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// One packet as ffprobe shows it: second at which it's shown, key.
#[derive(Debug, PartialEq)]
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
                check_plain(out, &plan.name, made);
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

/// Checks that each segment of pictures begins with its first one at its own time, where the one
/// before it ends, and that no edit list is needed for that.
fn check_plain(out: &Path, name: &str, made: &Made) {
    let init = fs::read(out.join(name).join(INIT_FILE)).expect("the header");
    let has = |kind: &[u8; 4]| init.windows(4).any(|window| window == kind);
    assert!(has(b"cmf2") && !has(b"edts"), "{name}: its header");
    let mut begins = 0;
    for (at, segment) in made.segments.iter().enumerate() {
        let bytes = fs::read(out.join(name).join(segment_file(at + 1))).expect("the segment");
        let fragment = Fragment::read(&bytes).expect("of our make");
        assert_eq!(fragment.begins, begins, "{name} {}", at + 1);
        assert!(fragment.samples[0].shift == 0, "{name} {}: its first picture", at + 1);
        assert!(fragment.samples.iter().all(|sample| sample.shift >= 0), "{name} {}", at + 1);
        let lasts: u64 = fragment.samples.iter().map(|sample| u64::from(sample.duration)).sum();
        assert_eq!(lasts, segment.ticks, "{name} {}", at + 1);
        assert_eq!(fragment.end_of_first(), segment.key, "{name} {}", at + 1);
        begins += lasts;
    }
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
