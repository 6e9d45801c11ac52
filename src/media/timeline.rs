//! The time line of the result: ticks of 1/90000 s from the first picture.

use super::cuts::Cuts;
use super::report::Stop;
use ffmpeg_next::Rational;
use std::sync::Arc;

/// Ticks in a second of encoded pictures. Whole for 24, 25, 30, 50 and 60 frames a second and for
/// 30000/1001; at most half a tick off for any other rate.
pub const TICKS: i32 = 90_000;

/// Seconds in one tick.
pub const TICK: Rational = Rational(1, TICKS);

/// Shortest last segment in seconds; a shorter rest belongs to the segment before it.
pub const TAIL_MIN: f64 = 1.0;

/// Converts a time stamp to another time base, to the nearest tick; halves go away from zero.
pub fn rescale(value: i64, from: Rational, to: Rational) -> i64 {
    let (num, den) = (
        i128::from(from.numerator()) * i128::from(to.denominator()),
        i128::from(from.denominator()) * i128::from(to.numerator()),
    );
    let scaled = i128::from(value) * num;
    let half = if (scaled < 0) == (den < 0) { den / 2 } else { -den / 2 };
    let nearest = if den == 0 { 0 } else { (scaled + half) / den };
    i64::try_from(nearest).unwrap_or(if nearest < 0 { i64::MIN } else { i64::MAX })
}

/// Returns seconds as ticks of the result.
pub fn ticks(seconds: f64) -> i64 {
    (seconds * f64::from(TICKS)).round() as i64
}

/// Returns ticks of the result as seconds.
pub fn seconds(ticks: i64) -> f64 {
    ticks as f64 / f64::from(TICKS)
}

/// Where segments begin, asked picture by picture in rising order.
#[derive(Clone, Debug)]
pub struct Boundaries {
    kind: Kind,
    next: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Every so many ticks, except so close to the end that only a tail would be left.
    Grid { every: i64, end: i64 },
    /// At these ticks: the source's own key frames.
    Listed(Vec<i64>),
    /// Where the pictures that are copied are cut.
    Copied(Arc<Cuts>),
    /// That long before the same, asked by the copy's own thread, of places that the copy has
    /// passed by as long.
    Passed(Arc<Cuts>, i64),
}

/// A picture this many ticks before a boundary counts as on it: half a millisecond, the rounding
/// of containers that count milliseconds.
pub const SLACK: i64 = 45;

impl Boundaries {
    /// Makes boundaries every `every` seconds of a film of `duration` seconds, be it infinite.
    pub fn grid(every: f64, duration: f64) -> Self {
        Self { kind: Kind::Grid { every: ticks(every).max(1), end: ticks(duration) }, next: 0 }
    }

    /// Makes boundaries at exactly these ticks, which rise from the first segment's start.
    pub fn listed(ticks: Vec<i64>) -> Self {
        Self { kind: Kind::Listed(ticks), next: 0 }
    }

    /// Makes boundaries where a copy is cut; asking waits for it.
    pub fn copied(cuts: Arc<Cuts>) -> Self {
        Self { kind: Kind::Copied(cuts), next: 0 }
    }

    /// Makes boundaries some ticks before a copy is cut, for what follows it on its own thread: it
    /// is never asked of a place that the copy hasn't passed by as many.
    pub fn passed(cuts: Arc<Cuts>, early: i64) -> Self {
        Self { kind: Kind::Passed(cuts, early), next: 0 }
    }

    /// Returns by how many ticks these boundaries lie before those of the pictures.
    pub fn early(&self) -> i64 {
        match &self.kind {
            Kind::Passed(_, early) => *early,
            _ => 0,
        }
    }

    /// Returns where the next segment begins, if that's before `before`.
    ///
    /// # Errors
    /// `Neighbour` if the copy that tells it has ended before its time.
    pub fn next_before(&self, before: i64) -> Result<Option<i64>, Stop> {
        let next = match &self.kind {
            Kind::Copied(cuts) => return cuts.before(self.next, before),
            Kind::Passed(cuts, early) => {
                let cut = cuts.told_before(self.next, before.saturating_add(*early));
                cut.map(|cut| cut.saturating_sub(*early))
            }
            Kind::Listed(ticks) => ticks.get(self.next).copied(),
            Kind::Grid { every, end } => {
                i64::try_from(self.next).ok().and_then(|next| every.checked_mul(next)).map(|at| {
                    // The rest after the last whole segment joins it if it's a mere tail. Past
                    // the declared end, which may be wrong, the grid goes on.
                    let is_tail = self.next > 0 && at <= *end && *end - at < ticks(TAIL_MIN);
                    if is_tail { at + *every } else { at }
                })
            }
        };
        Ok(next.filter(|&next| next < before))
    }

    /// Says whether what is shown at `at` begins a segment. The first asked always does.
    ///
    /// # Errors
    /// As [`Boundaries::next_before`].
    pub fn begins(&mut self, at: i64) -> Result<bool, Stop> {
        let mut begins = self.next == 0;
        if begins {
            self.next = 1;
        }
        while self.would_begin(at)? {
            begins = true;
            self.next += 1;
        }
        Ok(begins)
    }

    /// Says whether what is shown at `at` would begin a segment, and leaves it at that.
    ///
    /// # Errors
    /// As [`Boundaries::next_before`].
    pub fn would_begin(&self, at: i64) -> Result<bool, Stop> {
        Ok(self.next_before(at.saturating_add(SLACK + 1))?.is_some())
    }

    /// Returns where all segments of a film begin that ends at `end`.
    ///
    /// # Errors
    /// As [`Boundaries::next_before`].
    pub fn starts(&self, end: i64) -> Result<Vec<i64>, Stop> {
        let mut from_first = Self { next: 0, ..self.clone() };
        let mut starts = Vec::new();
        while let Some(start) = from_first.next_before(end)? {
            starts.push(start);
            from_first.next += 1;
        }
        Ok(starts)
    }

    /// Says whether it isn't a grid that tells where segments begin.
    pub fn is_list(&self) -> bool {
        !matches!(self.kind, Kind::Grid { .. })
    }

    /// Returns the longest segment in seconds that these boundaries make of `duration` seconds.
    pub fn longest(&self, duration: f64) -> f64 {
        match &self.kind {
            // The copy's plan tells.
            Kind::Copied(_) | Kind::Passed(..) => 0.0,
            Kind::Listed(list) => {
                let end = ticks(duration);
                let ends = list.iter().copied().skip(1).chain([end]);
                let longest = list.iter().zip(ends).map(|(start, end)| end - start).max();
                seconds(longest.unwrap_or(end))
            }
            Kind::Grid { every, .. } => {
                let every = seconds(*every);
                let rest = duration % every;
                if duration <= every {
                    duration
                } else if rest < TAIL_MIN {
                    every + rest
                } else {
                    every
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversion goes to the nearest tick on both sides of zero.
    #[test]
    fn rescales_to_the_nearest() {
        let milli = Rational(1, 1000);
        for (value, expect) in [(0, 0), (1, 90), (-1, -90), (33, 2970)] {
            assert_eq!(rescale(value, milli, TICK), expect);
        }
        for (value, expect) in [(44, 0), (45, 1), (-44, 0), (-45, -1), (89, 1), (-135, -2)] {
            assert_eq!(rescale(value, TICK, milli), expect, "{value}");
        }
        assert_eq!(rescale(i64::MAX, Rational(1, 1), TICK), i64::MAX);
    }

    fn begun(mut boundaries: Boundaries, times: impl IntoIterator<Item = f64>) -> Vec<f64> {
        times.into_iter().filter(|&at| boundaries.begins(ticks(at)) == Ok(true)).collect()
    }

    /// Segments begin on the grid; a rest shorter than a second joins the last one, a longer one
    /// stands alone, and a film that outlasts its declaration is still cut.
    #[test]
    fn grid() {
        let frames = |end: f64| (0..).map(|n| f64::from(n) / 25.0).take_while(move |at| *at < end);
        assert_eq!(begun(Boundaries::grid(4.0, 8.5), frames(8.5)), [0.0, 4.0]);
        assert_eq!(begun(Boundaries::grid(4.0, 9.5), frames(9.5)), [0.0, 4.0, 8.0]);
        assert_eq!(begun(Boundaries::grid(4.0, 8.0), frames(8.0)), [0.0, 4.0]);
        assert_eq!(begun(Boundaries::grid(4.0, 0.0), frames(9.0)), [0.0, 4.0, 8.0]);
        assert_eq!(
            begun(Boundaries::grid(4.0, 30.0), [0.0, 3.99, 9.0, 9.1, 12.0]),
            [0.0, 9.0, 12.0]
        );
        assert_eq!(Boundaries::grid(4.0, 8.5).longest(8.5), 4.5);
        assert_eq!(Boundaries::grid(4.0, 2.0).longest(2.0), 2.0);
    }

    /// All starts are the grid's, without the one that only a tail would follow.
    #[test]
    fn starts_are_listed() {
        let starts = |duration: f64| {
            let mut grid = Boundaries::grid(4.0, duration);
            grid.begins(ticks(5.0)).expect("a grid tells");
            grid.starts(ticks(duration)).expect("a grid tells")
        };
        assert_eq!(starts(9.5), [0, ticks(4.0), ticks(8.0)]);
        assert_eq!(starts(8.5), [0, ticks(4.0)]);
        assert_eq!(starts(8.0), [0, ticks(4.0)]);
    }

    /// Listed boundaries are met exactly, give or take the rounding of milliseconds.
    #[test]
    fn listed() {
        let boundaries = Boundaries::listed(vec![0, ticks(5.005), ticks(9.0)]);
        assert_eq!(boundaries.longest(10.0), 5.005);
        assert_eq!(begun(boundaries, [0.0, 4.9, 5.0049, 5.1, 9.0, 9.5]), [0.0, 5.0049, 9.0]);
    }
}
