//! What is made of a film's pictures beside its rungs, one after the other: stills to choose from,
//! the seek bar's small pictures, a few moving seconds.
//!
//! All of them read the film by its key frames. A film with too few of those is decoded through,
//! as long as that costs little beside its encoding.

use super::output::OutputDir;
use super::places::{Finish, Found, Places};
use super::probe::Probe;
use super::report::{Reporter, Stop};
use super::source::Source;
use super::source_file::SourceFile;
use super::{preview, storyboard, thumbnails};
use crate::model::extra::ExtraKind;
use crate::model::problem::ProblemCode;
use crate::wire::{Order, Report};

/// Places at which a film's key frames are counted, and how many different ones are enough to show
/// it by them.
const PLACES_COUNTED: u32 = 8;
const KEYS_ENOUGH: usize = 6;

/// Pixels that may be decoded to go through a film with too few key frames, for each extra: three
/// minutes of 1080p at 30 frames a second.
const WALK_PIXELS_MAX: f64 = 1920.0 * 1080.0 * 30.0 * 180.0;

/// Makes what earlier attempts haven't made. What can't be made of this film is left out, and the
/// film is none the worse for it.
///
/// # Errors
/// `OutOfSpace`, `Gone`.
pub fn make(
    order: &Order,
    file: &SourceFile,
    probe: &Probe,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<(), Stop> {
    if probe.shape.is_none() {
        return Ok(());
    }
    let film = Film { order, file, probe, dir, reporter };
    for kind in [ExtraKind::Thumbnails, ExtraKind::Storyboard, ExtraKind::Preview] {
        if order.extras_done.contains(&kind) {
            continue;
        }
        step(kind, reporter, || match kind {
            ExtraKind::Thumbnails => thumbnails::make(&film),
            ExtraKind::Storyboard => storyboard::make(&film),
            _ => preview::make(&film),
        })?;
    }
    Ok(())
}

/// Makes one picture of a film, and tells before and after: who made it when the process ended is
/// left out by the next attempt. What can't be made of this film is a warning.
///
/// # Errors
/// `OutOfSpace`, `Gone`.
pub fn step(
    kind: ExtraKind,
    reporter: &Reporter<'_>,
    make: impl FnOnce() -> Result<(), Stop>,
) -> Result<(), Stop> {
    reporter.send(Report::Begun { extra: kind })?;
    match make() {
        Err(Stop::Problem(problem)) if problem.code != ProblemCode::OutOfSpace => {
            reporter.warn(kind.warning_code(), problem.detail)?;
        }
        made => made?,
    }
    reporter.send(Report::Ended { extra: kind })
}

/// What every maker of extras works with.
pub struct Film<'w, 'r> {
    order: &'w Order,
    file: &'w SourceFile,
    /// What the source holds.
    pub probe: &'w Probe,
    /// Where files go.
    pub dir: &'w OutputDir,
    /// Where reports go.
    pub reporter: &'w Reporter<'r>,
}

impl<'r> Film<'_, 'r> {
    /// Returns the film's length in seconds.
    pub fn duration(&self) -> f64 {
        self.probe.facts.duration
    }

    /// Returns the pixels of a second of the film.
    pub fn pixels_a_second(&self) -> f64 {
        self.probe.shape.map_or(0.0, |shape| {
            f64::from(shape.width) * f64::from(shape.height) * shape.frame_rate
        })
    }

    /// Opens the container anew: going back to the start isn't possible in all of them.
    ///
    /// # Errors
    /// What opening the source can say.
    pub fn open(&self) -> Result<Source, Stop> {
        Source::open(self.file, &self.order.limits)
    }

    /// Opens a reader of its pictures.
    ///
    /// # Errors
    /// What opening a decoder can say.
    pub fn places<'s>(
        &'s self,
        source: &'s mut Source,
        finish: Finish,
    ) -> Result<Places<'s, 's, 'r>, Stop> {
        Places::open(source, &self.order.limits, finish, self.reporter)
    }

    /// Opens a reel for pictures whose times only rise; a rough one where `small`.
    ///
    /// # Errors
    /// What opening the source and a decoder can say, `Gone`.
    pub fn reel<'s>(&'s self, source: &'s mut Source, small: bool) -> Result<Reel<'s, 'r>, Stop> {
        let by_keys = self.is_shown_by_keys()?;
        let finish = match (small, by_keys) {
            (false, _) => Finish::Full,
            (true, true) => Finish::RoughKeys,
            (true, false) => Finish::Rough,
        };
        let places = self.places(source, finish)?;
        Ok(Reel { places, by_keys, reached: None })
    }

    /// Says whether the film has enough key frames all over to be shown by them alone, or is too
    /// long to be shown otherwise.
    ///
    /// # Errors
    /// What opening the source and a decoder can say, `Gone`.
    pub fn is_shown_by_keys(&self) -> Result<bool, Stop> {
        if self.pixels_a_second() * self.duration() > WALK_PIXELS_MAX {
            return Ok(true);
        }
        let mut source = self.open()?;
        let spread =
            (0..PLACES_COUNTED).map(|place| share(place, PLACES_COUNTED) * self.duration());
        let keys = self.places(&mut source, Finish::RoughKeys)?.count_keys(spread)?;
        Ok(keys >= KEYS_ENOUGH)
    }
}

/// Returns the middle of part `number` of `count`, as a share of the whole.
pub fn share(number: u32, count: u32) -> f64 {
    (f64::from(number) + 0.5) / f64::from(count.max(1))
}

/// Pictures of a film at rising times, by its key frames or by going through it.
pub struct Reel<'s, 'r> {
    /// Reads them.
    pub places: Places<'s, 's, 'r>,
    /// Through the key frames.
    pub by_keys: bool,
    /// When the last picture of a walk was shown.
    reached: Option<f64>,
}

impl Reel<'_, '_> {
    /// Returns the picture for `at`: the key frame at or before it, or the first picture not
    /// before it. `None` if it would be the same one as the last time, or there is none.
    ///
    /// # Errors
    /// `OutOfMemory`, `Gone`.
    pub fn at(&mut self, at: f64) -> Result<Option<Found>, Stop> {
        if self.by_keys {
            return self.places.other_key(at);
        }
        if self.reached.is_some_and(|reached| reached >= at) {
            return Ok(None);
        }
        while let Some(found) = self.places.walk()? {
            self.reached = Some(found.at);
            if found.at >= at {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
