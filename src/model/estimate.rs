//! How long work takes, told from what this machine was measured to need before.
//!
//! Work is counted in megapixels that are decoded and encoded. How many of them a second brings
//! depends on the codec, the size and the preset, so each combination has a measure of its own, and
//! the average over all serves for one that hasn't come yet. While a job runs, what it was seen to
//! need counts more the further it is.

use super::rendition::{RenditionKind, RenditionPlan};
use super::video::SourceFacts;
use crate::units::ByteCount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much the newest measure counts against the earlier ones.
const NEWEST: f64 = 0.3;
/// Combinations that are remembered.
const CLASSES_MAX: usize = 200;
/// Decoding a pixel costs this share of encoding it.
const DECODING: f64 = 0.15;
/// Megapixels that a second of any film weighs beside its pictures: sound, reading and writing.
const BESIDE: f64 = 0.2;
/// Pictures a second of a film that doesn't say.
const FRAME_RATE: f64 = 25.0;
/// Share of the time that goes into small pictures and the last files, before it was measured.
const TAIL: f64 = 0.1;
/// Share of the work after which what was seen of it tells anything.
const TELLING: f64 = 0.02;

/// What one job has to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Codec, size and preset.
    class: String,
    /// Megapixels.
    units: f64,
}

/// What work of one kind was measured to need.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Pace {
    /// Seconds for each megapixel.
    seconds: f64,
    /// Share of them after the last quality was made.
    tail: f64,
}

/// How long a job is expected to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Seconds from its beginning to its end.
    pub seconds: f64,
    /// Share of them after the last quality is made.
    pub tail: f64,
}

/// What this machine was measured to need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paces {
    /// By codec, size and preset.
    classes: BTreeMap<String, Pace>,
    /// Whatever the class.
    usual: Option<Pace>,
    /// Seconds for each mebibyte of source, before more is known of it.
    per_mebibyte: Option<f64>,
    /// Seconds for each job.
    per_job: Option<f64>,
}

impl Load {
    /// Tells what has to be done to make `plan` of a source.
    pub fn of(facts: &SourceFacts, plan: &[RenditionPlan], preset: &str) -> Self {
        let area = |width: u32, height: u32| f64::from(width) * f64::from(height) / 1e6;
        let rate = |rate: f64| if rate > 0.0 { rate } else { FRAME_RATE };
        let encoded =
            || plan.iter().filter(|rung| rung.kind == RenditionKind::Video && !rung.copied);
        let made: f64 =
            encoded().map(|rung| area(rung.width, rung.height) * rate(rung.frame_rate)).sum();
        let read = match encoded().next() {
            Some(_) => area(facts.width, facts.height) * rate(facts.frame_rate) * DECODING,
            None => 0.0,
        };
        let is_copied = plan.iter().any(|rung| rung.kind == RenditionKind::Video && rung.copied);
        let codec = facts.video_codec.as_deref().unwrap_or("sound");
        let made_by = if made > 0.0 { preset } else { "" };
        let copied = if is_copied { "copied" } else { "" };
        let class = format!("{codec} {} {made_by} {copied}", facts.height);
        Self { class, units: facts.duration.max(0.0) * (made + read + BESIDE) }
    }
}

impl Paces {
    /// Notes that a job took so many `seconds` from its beginning to its end, and its qualities
    /// so many of them.
    pub fn note(&mut self, load: &Load, bytes: ByteCount, seconds: f64, qualities: f64) {
        let average = |known: f64, new: f64| known + NEWEST * (new - known);
        let mix = |known: &mut Option<f64>, new: f64| {
            *known = Some(known.map_or(new, |known| average(known, new)));
        };
        mix(&mut self.per_job, seconds);
        if bytes.0 > 0 {
            mix(&mut self.per_mebibyte, seconds / mebibytes(bytes));
        }
        if load.units <= 0.0 {
            return;
        }
        let tail = (1.0 - qualities / seconds.max(0.001)).clamp(0.0, 0.9);
        let new = Pace { seconds: seconds / load.units, tail };
        let mixed = |known: Pace| Pace {
            seconds: average(known.seconds, new.seconds),
            tail: average(known.tail, new.tail),
        };
        self.usual = Some(self.usual.map_or(new, mixed));
        let is_known = self.classes.contains_key(&load.class);
        if is_known || self.classes.len() < CLASSES_MAX {
            let known = self.classes.entry(load.class.clone()).or_insert(new);
            *known = mixed(*known);
        }
    }

    /// Returns how long a job will take, if any was ever done.
    pub fn expected(&self, load: &Load) -> Option<Expected> {
        let pace = self.classes.get(&load.class).copied().or(self.usual);
        pace.map(|pace| Expected { seconds: pace.seconds * load.units, tail: pace.tail })
    }

    /// Returns the seconds that a job on a source of so many bytes will take.
    pub fn expected_of(&self, bytes: ByteCount) -> Option<f64> {
        self.per_mebibyte.map(|pace| pace * mebibytes(bytes))
    }

    /// Returns the seconds that a job takes on average.
    pub fn usual_job(&self) -> Option<f64> {
        self.per_job
    }
}

fn mebibytes(bytes: ByteCount) -> f64 {
    bytes.0 as f64 / f64::from(1 << 20)
}

/// A job on its way, as far as its end is to be told beforehand. All times are seconds since its
/// beginning.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// What it was expected to take.
    expected: Option<Expected>,
    /// When it was seen first, and how far it was then: an earlier attempt may have begun it.
    first: Option<(f64, f64)>,
    /// When it was seen to move last, and how far it was.
    last: (f64, f64),
}

impl Course {
    /// Begins a job that is expected to take so long.
    pub fn new(expected: Option<Expected>) -> Self {
        Self { expected, ..Self::default() }
    }

    /// Notes how far it is, 0 ..= 1.
    pub fn reached(&mut self, at: f64, progress: f64) {
        self.first.get_or_insert((at, progress));
        if progress > self.last.1 || self.last.0 == 0.0 {
            self.last = (at, progress);
        }
    }

    /// Returns when it was seen to move last: when its qualities were made, once it has ended.
    pub fn moved_at(&self) -> f64 {
        self.last.0
    }

    /// Returns the seconds to its end at this time, as far as can be told.
    pub fn left(&self, at: f64) -> Option<f64> {
        let (seen, progress) = self.last;
        let expected = self.expected.map(|Expected { seconds, tail }| {
            seconds * (1.0 - tail) * (1.0 - progress) + seconds * tail
        });
        let left = match (self.measured(), expected) {
            (Some(measured), Some(expected)) => measured * progress + expected * (1.0 - progress),
            (Some(left), None) | (None, Some(left)) => left,
            (None, None) => return None,
        };
        Some((left - (at - seen)).max(0.0))
    }

    /// Returns the seconds to its end when it moved last, by its own pace.
    fn measured(&self) -> Option<f64> {
        let ((began, before), (seen, progress)) = (self.first?, self.last);
        let done = progress - before;
        if done < TELLING || seen <= began {
            return None;
        }
        let whole = (seen - began) / done;
        let tail = self.expected.map_or(TAIL, |expected| expected.tail);
        Some(whole * (1.0 - progress) + whole * tail / (1.0 - tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(codec: &str, height: u32, duration: f64) -> SourceFacts {
        let video_codec = Some(codec.to_owned());
        let width = height / 9 * 16;
        SourceFacts { video_codec, width, height, duration, ..SourceFacts::default() }
    }

    fn load(codec: &str, height: u32, seconds: f64) -> Load {
        let mut plan = RenditionPlan::sample("360p");
        (plan.width, plan.height, plan.frame_rate) = (640, 360, 25.0);
        Load::of(&film(codec, height, seconds), &[plan], "veryfast")
    }

    const SIZE: ByteCount = ByteCount(100 << 20);

    /// What was measured of a class tells of the next of it, however long; another class goes by
    /// the average until it has a measure of its own.
    #[test]
    fn measures_tell_of_what_is_alike() {
        let mut paces = Paces::default();
        assert_eq!(paces.expected(&load("h264", 1080, 60.0)), None);
        paces.note(&load("h264", 1080, 60.0), SIZE, 30.0, 27.0);
        let near = |told: Option<f64>, seconds: f64| (told.unwrap_or(0.0) - seconds).abs() < 1e-6;
        let seconds = |told: Option<Expected>| told.map(|told| told.seconds);
        assert!(near(seconds(paces.expected(&load("h264", 1080, 120.0))), 60.0));
        let by_average = seconds(paces.expected(&load("hevc", 1080, 60.0)));
        assert!(near(by_average, 30.0), "{by_average:?}");
        paces.note(&load("hevc", 1080, 60.0), SIZE, 90.0, 81.0);
        assert!(near(seconds(paces.expected(&load("hevc", 1080, 60.0))), 90.0));
        assert!(near(seconds(paces.expected(&load("h264", 1080, 60.0))), 30.0));
        assert!(near(paces.usual_job(), 48.0) && near(paces.expected_of(SIZE), 48.0));
    }

    /// Larger pictures are more work, and a copy is next to none.
    #[test]
    fn work_grows_with_its_pixels() {
        let (small, large) = (load("h264", 360, 60.0), load("h264", 2160, 60.0));
        assert!(large.units > 2.0 * small.units);
        let mut copied = RenditionPlan::sample("1080p");
        (copied.width, copied.height, copied.copied) = (1920, 1080, true);
        let copy = Load::of(&film("h264", 1080, 60.0), &[copied], "veryfast");
        assert!(copy.units < small.units / 10.0 && copy.class == "h264 1080  copied");
    }

    /// As a job goes on its own pace counts more than what was expected, and time passes while it
    /// doesn't move.
    #[test]
    fn a_job_tells_of_its_own_end() {
        let mut course = Course::new(Some(Expected { seconds: 100.0, tail: 0.1 }));
        assert_eq!(course.left(0.0), Some(100.0));
        assert_eq!(Course::default().left(5.0), None);
        course.reached(0.5, 0.0);
        course.reached(20.5, 0.1);
        let left = course.left(20.5).expect("known");
        assert!((90.0..=115.0).contains(&left), "{left}");
        course.reached(100.5, 0.5);
        let left = course.left(100.5).expect("known");
        assert!((75.0..=100.0).contains(&left), "{left}");
        assert_eq!(course.left(110.5), Some(left - 10.0));
        assert_eq!(course.left(1e6), Some(0.0));
    }

    /// What an earlier attempt did isn't taken for this one's pace.
    #[test]
    fn a_second_attempt_is_measured_by_itself() {
        let mut course = Course::new(None);
        course.reached(1.0, 0.5);
        course.reached(11.0, 0.6);
        let left = course.left(11.0).expect("known");
        assert!((50.0..=52.0).contains(&left), "{left}");
    }
}
