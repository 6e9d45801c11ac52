//! The chapters that a container names.

use super::ffi;
use super::report::{Reporter, Stop};
use super::source::{Source, seconds};
use crate::model::extra::Extra;
use crate::model::text::{CHAPTER_BYTES_MAX, CHAPTER_CHARS_MAX, CHAPTERS_MAX, Chapter};
use crate::wire::Report;

/// Reports the chapters of a film that lasts `duration` seconds, if there are any.
///
/// # Errors
/// `Gone`.
pub fn report(source: &Source, duration: f64, reporter: &Reporter<'_>) -> Result<(), Stop> {
    let origin = source.origin();
    let listed = source.input.chapters().take(4 * CHAPTERS_MAX).map(|chapter| {
        let at = |ticks| seconds(ticks, chapter.time_base()) - origin;
        (at(chapter.start()), at(chapter.end()), ffi::chapter_title(&chapter))
    });
    let chapters = ordered(listed.collect(), duration);
    if chapters.is_empty() {
        return Ok(());
    }
    reporter.send(Report::Extra { extra: Extra::Chapters { chapters } })
}

/// Puts chapters in order: each ends where the next begins, or earlier if it says so; what begins
/// past the end of the film is left out.
fn ordered(mut listed: Vec<(f64, f64, Option<String>)>, duration: f64) -> Vec<Chapter> {
    listed.retain(|(start, _, _)| start.is_finite() && *start < duration);
    listed.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Several at one place: the last is the one that is meant to go on.
    listed.dedup_by(|later, earlier| {
        let same = later.0.max(0.0) - earlier.0.max(0.0) < 0.001;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    let starts: Vec<f64> = listed.iter().map(|(start, _, _)| start.max(0.0)).collect();
    let mut chapters = Vec::new();
    let mut bytes = 0;
    for (index, (_, end, title)) in listed.into_iter().enumerate().take(CHAPTERS_MAX) {
        let start = starts[index];
        let next = starts.get(index + 1).copied().unwrap_or(duration);
        let end = if end.is_finite() && end > start { end.min(next) } else { next };
        let title: String = title
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(CHAPTER_CHARS_MAX)
            .collect();
        let title = match title.trim() {
            "" => (index + 1).to_string(),
            title => title.to_owned(),
        };
        bytes += title.len();
        if bytes > CHAPTER_BYTES_MAX {
            break;
        }
        chapters.push(Chapter { start, end, title });
    }
    chapters
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chapters come in order, end where the next begins, have a title, and lie in the film.
    #[test]
    fn chapters_are_put_in_order() {
        let chapter = |start: f64, end: f64, title: &str| (start, end, Some(title.to_owned()));
        let listed = vec![
            chapter(4.0, 4.0, "Two\n"),
            chapter(-0.5, 9.0, "One"),
            (6.0, 7.0, None),
            chapter(4.0, 5.0, " Two again "),
            chapter(11.0, 12.0, "Past the end"),
            chapter(f64::NAN, 1.0, "Never"),
        ];
        let seen: Vec<(f64, f64, String)> =
            ordered(listed, 10.0).into_iter().map(|it| (it.start, it.end, it.title)).collect();
        let expect = [(0.0, 4.0, "One"), (4.0, 5.0, "Two again"), (6.0, 7.0, "3")];
        assert_eq!(seen, expect.map(|(start, end, title)| (start, end, title.to_owned())));
    }

    /// However many there are and however long their titles, a record has room for them.
    #[test]
    fn chapters_are_bounded() {
        let long = |n: u32| (f64::from(n), f64::from(n) + 1.0, Some("ü".repeat(500)));
        let chapters = ordered((0..1000).map(long).collect(), 2000.0);
        assert!(chapters.iter().all(|it| it.title.chars().count() == CHAPTER_CHARS_MAX));
        let bytes: usize = chapters.iter().map(|it| it.title.len()).sum();
        assert!(bytes <= CHAPTER_BYTES_MAX && bytes > CHAPTER_BYTES_MAX / 2, "{bytes}");
        let short = |n: u32| (f64::from(n), f64::from(n) + 1.0, Some("x".to_owned()));
        assert_eq!(ordered((0..1000).map(short).collect(), 2000.0).len(), CHAPTERS_MAX);
    }
}
