//! The still picture that stands for a film: the liveliest of five key frames.

use super::extras;
use super::output::OutputDir;
use super::places::{FURTHER, Finish, Found, Places};
use super::probe::Probe;
use super::report::{Reporter, Stop};
use super::source::Source;
use super::still::{Developer, Look};
use crate::model::extra::ExtraKind;
use crate::wire::Limits;

/// Longer side of the picture in pixels, at most; the shorter one is bound as well, for a strip.
pub const SIDE_MAX: u32 = 1280;

/// Places in the film that are looked at, in shares of its length. The first is likeliest to be
/// past titles and before credits.
const PLACES: [f64; 5] = [0.3, 0.1, 0.5, 0.7, 0.9];

/// Pixels that may be decoded in search of a livelier picture once one is lively enough: all
/// places of 1080p, two of 4K.
const PIXELS_LOOKED_AT: u64 = 11_000_000;

/// Size at which pictures are compared.
const SCOUT_SIDE_MAX: u32 = 192;

/// Makes the poster and reports it. A film without a single picture to show gets none, and a
/// warning. Moves the source's position, and leaves it with its pictures alone.
///
/// # Errors
/// `OutOfSpace`, `Gone`.
pub fn make(
    source: &mut Source,
    probe: &Probe,
    limits: &Limits,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<(), Stop> {
    extras::step(ExtraKind::Poster, reporter, || find(source, probe, limits, dir, reporter))
}

fn find(
    source: &mut Source,
    probe: &Probe,
    limits: &Limits,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<(), Stop> {
    let size = Developer::fit(probe, SIDE_MAX, SIDE_MAX);
    let best = match &size {
        Some(size) => {
            let rough = Developer::is_far_below(probe, size);
            let finish = if rough { Finish::RoughKeys } else { Finish::Full };
            choose(source, probe, limits, finish, reporter)?
        }
        None => None,
    };
    let (Some(size), Some(best)) = (size, best) else {
        let code = ExtraKind::Poster.warning_code();
        return reporter.warn(code, "No picture of the film could be shown as its poster.");
    };
    Developer::new(probe, size).still(&best.picture)?.publish_as_poster(dir, reporter)
}

/// Returns the liveliest picture of all places, or one of the first that are lively enough.
fn choose(
    source: &mut Source,
    probe: &Probe,
    limits: &Limits,
    finish: Finish,
    reporter: &Reporter<'_>,
) -> Result<Option<Found>, Stop> {
    let Some(scout) = Developer::fit(probe, SCOUT_SIDE_MAX, SCOUT_SIDE_MAX) else {
        return Ok(None);
    };
    let pixels = source
        .video
        .as_ref()
        .map_or(0, |track| u64::from(track.facts.width) * u64::from(track.facts.height));
    let mut developer = Developer::new(probe, scout);
    let mut best: Option<(Look, Found)> = None;
    let mut looked_at = 0;
    for further in [0, FURTHER] {
        // What is left rough in a key frame spoils those that are made of it.
        let finish = if further == 0 { finish } else { Finish::Full };
        let mut places = match Places::open(source, limits, finish, reporter) {
            Ok(places) => places,
            // The encoding pass will tell what is wrong with the film.
            Err(Stop::Problem(_)) => return Ok(None),
            Err(stop) => return Err(stop),
        };
        for place in PLACES {
            let at = place * probe.facts.duration;
            let found = match further {
                0 => places.key(at)?,
                further => places.after(at, further)?,
            };
            let Some(found) = found else { continue };
            let look = match developer.still(&found.picture) {
                Ok(still) => still.look(),
                // A place that can't be shown isn't worth failing for.
                Err(Stop::Problem(_)) => continue,
                Err(stop) => return Err(stop),
            };
            looked_at += pixels;
            if best.as_ref().is_none_or(|(best, _)| look.score() > best.score()) {
                best = Some((look, found));
            }
            let lively = best.as_ref().is_some_and(|(best, _)| best.is_lively());
            if lively && looked_at + pixels > PIXELS_LOOKED_AT {
                break;
            }
        }
        if best.as_ref().is_some_and(|(best, _)| !best.is_flat()) {
            break;
        }
    }
    Ok(best.map(|(_, found)| found))
}
