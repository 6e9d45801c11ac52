//! A few moving seconds out of several places, for lists of films.

use super::extras::{Film, share};
use super::places::{Finish, Places};
use super::report::Stop;
use super::still::{Developer, Still};
use super::webp;
use crate::model::extra::{Extra, PREVIEW_FILE};
use crate::wire::Report;

/// Longer side in pixels, at most.
const SIDE_MAX: u32 = 320;

/// Seconds that it lasts, and stretches of the film that these are taken from.
const SECONDS: f64 = 3.0;
const STRETCHES: u32 = 4;

/// Pictures a second.
const RATE: f64 = 8.0;

/// Most bytes of the file.
const BYTES_MAX: usize = 300 << 10;

/// WebP qualities, one after the other until the file is small enough.
const QUALITIES: [u8; 3] = [60, 35, 15];

/// Pixels that may be decoded for it; a film with larger or more pictures gets fewer stretches.
const PIXELS_MAX: f64 = 1.3e9;

/// Makes the preview and reports it. A film of a single picture gets none.
///
/// # Errors
/// `OutOfSpace`, `OutOfMemory`, `Internal`, `Gone`, and what opening the source can say.
pub fn make(film: &Film<'_, '_>) -> Result<(), Stop> {
    let Some(size) = Developer::fit(film.probe, SIDE_MAX, SIDE_MAX) else { return Ok(()) };
    let mut developer = Developer::new(film.probe, size.clone());
    let stills = gather(film, &mut developer)?;
    if stills.len() < 2 {
        return Ok(());
    }
    let Some(bytes) = small_enough(&stills)? else { return Ok(()) };
    film.dir.write(PREVIEW_FILE, &bytes)?;
    film.reporter.send(Report::Extra { extra: Extra::Preview { picture: size } })
}

/// Returns the stretches' beginnings, and how long each is.
fn stretches(duration: f64, pixels_a_second: f64) -> (Vec<f64>, f64) {
    if duration <= SECONDS {
        return (vec![0.0], duration);
    }
    let length = SECONDS / f64::from(STRETCHES);
    let affordable = (PIXELS_MAX / (pixels_a_second * length).max(1.0)) as u32;
    let count = affordable.clamp(1, STRETCHES);
    let begin = |number| share(number, count) * duration - length / 2.0;
    ((0..count).map(begin).collect(), length)
}

fn gather(film: &Film<'_, '_>, developer: &mut Developer) -> Result<Vec<Still>, Stop> {
    let (begins, length) = stretches(film.duration(), film.pixels_a_second());
    let by_keys = film.is_shown_by_keys()?;
    let mut source = film.open()?;
    let mut places = film.places(&mut source, Finish::Rough)?;
    let wanted = (length * RATE).ceil().max(1.0) as usize;
    let mut stills = Vec::new();
    let mut reached = f64::NEG_INFINITY;
    for begin in begins {
        // By the key frames, a stretch begins with one; what lies before is never decoded.
        let from = if by_keys {
            places.seek(begin)?;
            None
        } else {
            Some(begin)
        };
        let stretch = Stretch { from, after: reached, wanted };
        reached = stretch.gather(&mut places, developer, &mut stills)?;
    }
    Ok(stills)
}

/// One stretch of the film.
struct Stretch {
    /// Where it begins; with the next picture if it doesn't matter.
    from: Option<f64>,
    /// Nothing up to here is wanted: the stretch before has shown it.
    after: f64,
    /// How many pictures.
    wanted: usize,
}

impl Stretch {
    /// Adds its pictures to `stills`, and returns where it ended.
    fn gather(
        self,
        places: &mut Places<'_, '_, '_>,
        developer: &mut Developer,
        stills: &mut Vec<Still>,
    ) -> Result<f64, Stop> {
        let (mut next, mut reached) = (self.from, self.after);
        let mut taken = 0;
        while taken < self.wanted {
            let Some(found) = places.walk()? else { break };
            if found.at <= self.after || next.is_some_and(|next| found.at < next) {
                continue;
            }
            reached = found.at;
            // Kept in step, and not made up for after a pause of the film's own pictures.
            next = Some(next.unwrap_or(found.at).max(found.at - 1.0 / RATE) + 1.0 / RATE);
            taken += 1;
            match developer.still(&found.picture) {
                Ok(still) => stills.push(still),
                Err(Stop::Problem(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(reached)
    }
}

/// Encodes the pictures, worse and then fewer of them, until the file is within its bound.
fn small_enough(stills: &[Still]) -> Result<Option<Vec<u8>>, Stop> {
    for every in [1, 2] {
        let distance = 1000.0 * every as f64 / RATE;
        let pictures: Vec<(i64, &Still)> = stills
            .iter()
            .step_by(every)
            .enumerate()
            .map(|(place, still)| ((place as f64 * distance) as i64, still))
            .collect();
        for quality in QUALITIES {
            let bytes = webp::moving(&pictures, quality)?;
            if bytes.len() <= BYTES_MAX {
                return Ok(Some(bytes));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short films are shown whole; large pictures cost stretches, but never all of them.
    #[test]
    fn stretches_are_spread() {
        assert_eq!(stretches(2.0, 1e6), (vec![0.0], 2.0));
        let (begins, length) = stretches(100.0, 1920.0 * 1080.0 * 30.0);
        assert_eq!(
            (begins.as_slice(), length),
            ([12.125, 37.125, 62.125, 87.125].as_slice(), 0.75)
        );
        assert_eq!(stretches(100.0, 3840.0 * 2160.0 * 60.0).0.len(), 3);
        assert_eq!(stretches(100.0, 1e12).0.len(), 1);
    }
}
