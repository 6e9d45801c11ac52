//! Stills from all over the film, for somebody to choose a poster from.

use super::extras::{Film, Reel, share};
use super::places::{FURTHER, Found};
use super::report::Stop;
use super::still::{Developer, JPEG_QUALITY, Still};
use crate::model::extra::{Extra, THUMBNAILS_MAX, Thumbnail, thumbnail_file};
use crate::wire::Report;

/// Longer side of a still in pixels, at most.
const SIDE_MAX: u32 = 640;

/// Least seconds between two stills.
const DISTANCE_MIN: f64 = 0.5;

/// Where else to look in its stretch of the film if there is nothing to see at its middle, in
/// shares of the stretch.
const ELSEWHERE: [f64; 2] = [0.3, -0.3];

/// Makes the stills and reports them.
///
/// # Errors
/// `OutOfSpace`, `OutOfMemory`, `Internal`, `Gone`, and what opening the source can say.
pub fn make(film: &Film<'_, '_>) -> Result<(), Stop> {
    let Some(size) = Developer::fit(film.probe, SIDE_MAX, SIDE_MAX) else { return Ok(()) };
    let count = (film.duration() / DISTANCE_MIN).clamp(1.0, THUMBNAILS_MAX as f64) as u32;
    let stretch = film.duration() / f64::from(count);
    let mut source = film.open()?;
    let mut reel = film.reel(&mut source, Developer::is_far_below(film.probe, &size))?;
    let mut developer = Developer::new(film.probe, size);
    let mut thumbnails: Vec<Thumbnail> = Vec::new();
    for number in 0..count {
        let middle = share(number, count) * film.duration();
        let Some((time, still)) = choose(&mut reel, &mut developer, middle, stretch)? else {
            continue;
        };
        if thumbnails.last().is_some_and(|last| time <= last.time) {
            continue;
        }
        let file = thumbnail_file(thumbnails.len() + 1);
        film.dir.write(&file, &still.jpeg(JPEG_QUALITY)?)?;
        thumbnails.push(Thumbnail { time, picture: still.size() });
    }
    if thumbnails.is_empty() {
        return Ok(());
    }
    film.reporter.send(Report::Extra { extra: Extra::Thumbnails { thumbnails } })
}

/// Returns the first picture of a stretch that shows something, or else the best.
fn choose(
    reel: &mut Reel<'_, '_>,
    developer: &mut Developer,
    middle: f64,
    stretch: f64,
) -> Result<Option<(f64, Still)>, Stop> {
    let mut best: Option<(f64, Still)> = None;
    let elsewhere = if reel.by_keys { ELSEWHERE.len() } else { FURTHER as usize };
    for look in 0..=elsewhere + 1 {
        let found = if look == 0 {
            reel.at(middle)?
        } else if !reel.by_keys {
            reel.places.walk()?
        } else if let Some(aside) = ELSEWHERE.get(look - 1) {
            reel.at(middle + aside * stretch)?
        } else {
            reel.places.after(middle, FURTHER)?
        };
        let Some(Found { picture, at }) = found else { continue };
        let still = match developer.still(&picture) {
            Ok(still) => still,
            Err(Stop::Problem(_)) => continue,
            Err(stop) => return Err(stop),
        };
        let look = still.look();
        if best.as_ref().is_none_or(|(_, best)| look.score() > best.look().score()) {
            best = Some(((at.max(0.0) * 1000.0).round() / 1000.0, still));
        }
        if !look.is_flat() {
            break;
        }
    }
    Ok(best)
}
