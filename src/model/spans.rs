//! Spans: runs of whole segments of a film's encoded pictures, of which several are made at once.
//! Pure.
//!
//! A span is about a minute long, however long the film is: what one child makes can be played when
//! all before it is there, and what an attempt that is killed has made beyond that is lost.

use serde::{Deserialize, Serialize};

/// Shortest span worth a process of its own, in ticks: half a minute. It begins by decoding what
/// lies between a key frame of the source and its first picture.
const SPAN_TICKS_LEAST: i64 = 30 * 90_000;

/// Length that spans have where the film is long enough, in ticks.
const SPAN_TICKS_USUAL: i64 = 60 * 90_000;

/// Most spans that one film is cut into; more than a day of it has.
pub const SPANS_MAX: usize = 4096;

/// A run of whole segments. Places are ticks of 1/90000 s from the first picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// How many segments of each rung lie before it.
    pub after: u32,
    /// Where its first segment is to begin: with the first picture that isn't shown before.
    pub from: i64,
    /// Where the next span's is to; none for the last one, which ends with the film.
    pub until: Option<i64>,
    /// Where its segments begin, if that isn't told by a grid.
    pub cuts: Vec<i64>,
    /// Longest segment of the film, in milliseconds.
    pub target_ms: u32,
}

impl Span {
    /// Says whether it is the one that the film begins with.
    pub fn is_first(&self) -> bool {
        self.after == 0
    }

    /// Returns how many seconds it has, in a film of so many.
    pub fn seconds(&self, film: f64) -> f64 {
        let end = self.until.map_or(film, |until| until as f64 / 90_000.0);
        (end - self.from as f64 / 90_000.0).max(0.0)
    }
}

/// Returns the numbers of the segments, counted from 0, with which new spans are to begin, so that
/// `at_once` children have about the same to do. Segments begin at `starts`, the film ends at
/// `end`, and its first `done` segments are there.
pub fn seams(starts: &[i64], end: i64, done: usize, at_once: u32) -> Vec<usize> {
    let begins = starts.get(done).copied().unwrap_or(end);
    let left = end.saturating_sub(begins).max(0);
    let at_once = i64::from(at_once);
    if at_once < 2 {
        return Vec::new();
    }
    let rounds = (left / (at_once * SPAN_TICKS_USUAL)).max(1);
    let count = (rounds * at_once).min(left / SPAN_TICKS_LEAST).min(SPANS_MAX as i64);
    let place =
        |part: i64| begins + (i128::from(left) * i128::from(part) / i128::from(count)) as i64;
    let seam = |part: i64| starts.partition_point(|&at| at < place(part));
    let mut seams: Vec<usize> =
        (1..count).map(seam).filter(|&seam| seam > done && seam < starts.len()).collect();
    seams.dedup();
    seams
}

/// Cuts a film whose segments begin at `starts` into spans that begin with these segments. Those of
/// a list are told where their segments begin.
pub fn cut(starts: &[i64], seams: &[usize], is_list: bool, target_ms: u32) -> Vec<Span> {
    let begins = std::iter::once(0).chain(seams.iter().copied());
    let ends = seams.iter().copied().map(Some).chain([None]);
    let span = |(begin, end): (usize, Option<usize>)| {
        let own = starts.get(begin..end.unwrap_or(starts.len()))?;
        Some(Span {
            after: u32::try_from(begin).ok()?,
            from: *own.first()?,
            until: end.and_then(|end| starts.get(end).copied()),
            cuts: if is_list { own.to_vec() } else { Vec::new() },
            target_ms,
        })
    };
    begins.zip(ends).filter_map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(seconds: i64) -> (Vec<i64>, i64) {
        (
            (0..).map(|at| at * 4 * 90_000).take_while(|at| *at < seconds * 90_000).collect(),
            seconds * 90_000,
        )
    }

    /// Spans are about a minute long and as many as there are children, or a multiple of that;
    /// short films, and those of a single child, aren't cut.
    #[test]
    fn films_are_cut_evenly() {
        for (seconds, at_once, expect) in [
            (600, 1, vec![]),
            (600, 0, vec![]),
            (59, 4, vec![]),
            (60, 4, vec![8]),
            (92, 4, vec![8, 16]),
            (100, 3, vec![9, 17]),
            (240, 3, vec![20, 40]),
            (480, 4, vec![15, 30, 45, 60, 75, 90, 105]),
        ] {
            let (starts, end) = grid(seconds);
            assert_eq!(seams(&starts, end, 0, at_once), expect, "{seconds} s, {at_once} at once");
        }
        let (starts, end) = grid(24 * 3600);
        for (at_once, expect) in [(2, 1440), (7, 1435), (16, 1440)] {
            assert_eq!(seams(&starts, end, 0, at_once).len() + 1, expect);
        }
    }

    /// What is there already isn't cut again, and what is left of it is cut like a film.
    #[test]
    fn the_rest_is_cut() {
        let (starts, end) = grid(240);
        assert_eq!(seams(&starts, end, 30, 3), [40, 50]);
        assert!(seams(&starts, end, 50, 3).is_empty());
        for done in [59, 60, 61, usize::MAX] {
            assert!(seams(&starts, end, done, 3).is_empty(), "{done}");
        }
        assert!(seams(&[], end, 0, 3).is_empty());
        assert!(seams(&starts, i64::MIN, 0, 3).is_empty());
    }

    /// Segments as long as spans are never split, nor counted twice.
    #[test]
    fn long_segments_stay_whole() {
        let starts = [0, 100 * 90_000, 110 * 90_000, 250 * 90_000];
        assert_eq!(seams(&starts, 300 * 90_000, 0, 8), [1, 3]);
        assert!(seams(&starts[..1], 300 * 90_000, 0, 8).is_empty());
    }

    /// Spans lie behind one another without a gap, and the last one is open.
    #[test]
    fn spans_are_whole() {
        let (starts, end) = grid(240);
        let seams = seams(&starts, end, 0, 3);
        for is_list in [false, true] {
            let spans = cut(&starts, &seams, is_list, 4034);
            assert_eq!(spans.len(), 3);
            assert!(spans[0].is_first() && !spans[1].is_first());
            assert_eq!(spans[2].until, None);
            for pair in spans.windows(2) {
                assert_eq!(pair[0].until, Some(pair[1].from));
                assert_eq!(pair[1].from, starts[pair[1].after as usize]);
            }
            let listed: Vec<i64> = spans.iter().flat_map(|span| span.cuts.clone()).collect();
            assert_eq!(listed, if is_list { starts.clone() } else { Vec::new() });
            let seconds: f64 = spans.iter().map(|span| span.seconds(240.0)).sum();
            assert!((seconds - 240.0).abs() < 1e-9);
        }
    }
}
