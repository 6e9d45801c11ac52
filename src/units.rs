//! Quantities as types: bytes, offsets, ranges of bytes, and points in time.
//!
//! A function that took two bare integers could be called with them swapped; these can't.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

/// A position in a file or stream, in bytes from its start.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ByteOffset(pub u64);

impl ByteOffset {
    /// Returns the position `count` bytes further on, or `None` past the largest position.
    pub fn checked_add(self, count: ByteCount) -> Option<Self> {
        self.0.checked_add(count.0).map(ByteOffset)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which bytes of a file are there: disjoint, sorted, half-open ranges that never touch.
///
/// A file filled from its start, as tus fills it, is the case of one range that begins at 0.
///
/// Few ranges are stored as they are. Many come from parts of one size that arrive in a wild order;
/// those are stored as lengths counted in that size, which is a tenth of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredRanges", into = "StoredRanges")]
pub struct Ranges(Vec<(u64, u64)>);

/// As many ranges are stored as they are.
const PLAIN_RANGES_MAX: usize = 128;

/// The forms in which ranges are stored.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredRanges {
    Plain(Vec<(u64, u64)>),
    Runs {
        /// What the lengths are counted in.
        unit: u64,
        /// By turns how much is missing and how much is there.
        runs: Vec<u64>,
        /// By how many bytes the last range is shorter.
        short: u64,
    },
}

impl From<Ranges> for StoredRanges {
    fn from(Ranges(ranges): Ranges) -> Self {
        if ranges.len() <= PLAIN_RANGES_MAX {
            return Self::Plain(ranges);
        }
        let last = ranges.last().map_or(0, |&(_, end)| end);
        let bounds = || ranges.iter().flat_map(|&(start, end)| [start, end]);
        // The end of the file needn't be the end of a whole unit.
        let unit = bounds().filter(|&bound| bound != last).fold(0, gcd).max(1);
        let mut before = 0;
        let mut runs = Vec::with_capacity(ranges.len() * 2);
        for bound in bounds() {
            let units = bound.div_ceil(unit);
            runs.push(units - before);
            before = units;
        }
        Self::Runs { unit, runs, short: before.saturating_mul(unit) - last }
    }
}

impl From<StoredRanges> for Ranges {
    fn from(stored: StoredRanges) -> Self {
        let (unit, runs, short) = match stored {
            StoredRanges::Plain(ranges) => return Self(ranges),
            StoredRanges::Runs { unit, runs, short } => (unit, runs, short),
        };
        let mut at = 0u64;
        let mut ranges = Vec::with_capacity(runs.len() / 2);
        for run in runs.chunks_exact(2) {
            let start = at.saturating_add(run[0].saturating_mul(unit));
            at = start.saturating_add(run[1].saturating_mul(unit));
            ranges.push((start, at));
        }
        if let Some((_, end)) = ranges.last_mut() {
            *end = end.saturating_sub(short);
        }
        Self(ranges)
    }
}

/// Returns the greatest number that divides both.
fn gcd(one: u64, other: u64) -> u64 {
    let (mut one, mut other) = (one, other);
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

impl Ranges {
    /// Returns the ranges of a file whose first `end` bytes are there.
    pub fn up_to(end: ByteOffset) -> Self {
        let mut ranges = Self::default();
        ranges.insert(ByteOffset(0), end);
        ranges
    }

    /// Adds `start..end`, merging what it overlaps or touches. An empty range adds nothing.
    pub fn insert(&mut self, start: ByteOffset, end: ByteOffset) {
        let (mut start, mut end) = (start.0, end.0);
        if start >= end {
            return;
        }
        let first = self.0.partition_point(|&(_, e)| e < start);
        let last = self.0.partition_point(|&(s, _)| s <= end);
        if let Some(&(s, _)) = self.0.get(first).filter(|_| first < last) {
            start = start.min(s);
        }
        if let Some(&(_, e)) =
            last.checked_sub(1).and_then(|at| self.0.get(at)).filter(|_| first < last)
        {
            end = end.max(e);
        }
        self.0.splice(first..last, [(start, end)]);
    }

    /// Returns the end of the range that begins at 0: how far the file is filled without a hole.
    pub fn contiguous_end(&self) -> ByteOffset {
        match self.0.first() {
            Some(&(0, end)) => ByteOffset(end),
            _ => ByteOffset(0),
        }
    }

    /// Returns how many bytes are there.
    pub fn total(&self) -> ByteCount {
        ByteCount(self.0.iter().map(|(start, end)| end - start).sum())
    }

    /// Drops what lies past the first `length` bytes of the file.
    pub fn cut_to(&mut self, length: ByteCount) {
        self.0.retain(|&(start, _)| start < length.0);
        if let Some(last) = self.0.last_mut() {
            last.1 = last.1.min(length.0);
        }
    }

    /// Returns what is both here and in `other`.
    pub fn overlap(&self, other: &Ranges) -> Ranges {
        let mut both = Vec::new();
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(&&(s, e)), Some(&&(start, end))) = (left.peek(), right.peek()) {
            if s.max(start) < e.min(end) {
                both.push((s.max(start), e.min(end)));
            }
            match e < end {
                true => left.next(),
                false => right.next(),
            };
        }
        Ranges(both)
    }

    /// Says whether all of `start..end` is there.
    pub fn covers(&self, start: ByteOffset, end: ByteOffset) -> bool {
        let before = self.0.partition_point(|&(s, _)| s <= start.0);
        let around = before.checked_sub(1).and_then(|at| self.0.get(at));
        start >= end || around.is_some_and(|&(_, e)| end.0 <= e)
    }

    /// Returns where the range that `at` is in ends, if it is in one.
    pub fn end_around(&self, at: ByteOffset) -> Option<ByteOffset> {
        let before = self.0.partition_point(|&(s, _)| s <= at.0);
        let around = before.checked_sub(1).and_then(|at| self.0.get(at));
        around.filter(|&&(_, end)| at.0 < end).map(|&(_, end)| ByteOffset(end))
    }

    /// Returns what is missing between two places, in order.
    pub fn holes(&self, start: ByteOffset, end: ByteOffset) -> Vec<(u64, u64)> {
        let mut holes = Vec::new();
        let mut at = start.0;
        for &(here, until) in self.0.iter().filter(|&&(_, until)| until > start.0) {
            if at < here.min(end.0) {
                holes.push((at, here.min(end.0)));
            }
            at = at.max(until);
        }
        if at < end.0 {
            holes.push((at, end.0));
        }
        holes
    }

    /// Adds everything that is in `other`.
    pub fn add(&mut self, other: &Ranges) {
        self.add_at(ByteOffset(0), other);
    }

    /// Adds everything that is in `other`, which counts from `place` on.
    pub fn add_at(&mut self, place: ByteOffset, other: &Ranges) {
        let moved = |at: u64| ByteOffset(place.0.saturating_add(at));
        other.0.iter().for_each(|&(start, end)| self.insert(moved(start), moved(end)));
    }

    /// Returns the ranges in order as `(start, end)`, end excluded.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }
}

/// A point in time: milliseconds since 1970-01-01 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Returns the moment `ms` milliseconds later; stays at the largest moment.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }

    /// Returns the milliseconds from `earlier` to this moment, 0 if it lies in the future.
    pub fn ms_since(self, earlier: UnixMillis) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Returns the moment as RFC 3339 in UTC with milliseconds, as the API writes times.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => format!("{at:.3}"),
            Err(_) => String::new(),
        }
    }

    /// Reads a time as [`UnixMillis::to_rfc3339`] writes it, or in another form of RFC 3339.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }

    /// Returns whole seconds since 1970, for HTTP dates.
    pub fn as_secs(self) -> u64 {
        u64::try_from(self.0 / 1000).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges stay sorted, disjoint and apart, whatever is added in whatever order.
    #[test]
    fn ranges_equal_a_bitmap() {
        let adds = [(5, 9), (0, 2), (9, 12), (20, 30), (1, 6), (25, 26), (40, 40), (29, 41)];
        let mut ranges = Ranges::default();
        let mut bitmap = [false; 64];
        for (start, end) in adds {
            ranges.insert(ByteOffset(start), ByteOffset(end));
            bitmap[start as usize..end as usize].fill(true);
            let mut seen = [false; 64];
            for &(s, e) in ranges.as_slice() {
                seen[s as usize..e as usize].fill(true);
            }
            assert_eq!(seen, bitmap, "after {start}..{end}");
            assert!(ranges.as_slice().windows(2).all(|w| w[0].1 < w[1].0), "{ranges:?}");
        }
        assert_eq!(ranges.contiguous_end(), ByteOffset(12));
        ranges.cut_to(ByteCount(22));
        assert_eq!(ranges.as_slice(), [(0, 12), (20, 22)]);
        assert_eq!(ranges.total(), ByteCount(14));
    }

    /// An overlap holds what both sides hold.
    #[test]
    fn overlaps_are_what_both_have() {
        let of = |parts: &[(u64, u64)]| {
            let mut ranges = Ranges::default();
            parts.iter().for_each(|&(s, e)| ranges.insert(ByteOffset(s), ByteOffset(e)));
            ranges
        };
        let left = of(&[(0, 10), (20, 30), (40, 50)]);
        assert_eq!(left.overlap(&of(&[(5, 25), (30, 41)])), of(&[(5, 10), (20, 25), (40, 41)]));
        assert_eq!(left.overlap(&Ranges::default()), Ranges::default());
        assert_eq!(left.overlap(&left), left);
    }

    /// What counts from another place is added there.
    #[test]
    fn ranges_are_added_at_a_place() {
        let (mut all, part) = (Ranges::up_to(ByteOffset(10)), Ranges::up_to(ByteOffset(5)));
        all.add_at(ByteOffset(20), &part);
        all.add_at(ByteOffset(8), &part);
        assert_eq!(all.as_slice(), [(0, 13), (20, 25)]);
    }

    /// However wildly the parts of the largest upload arrive, two lists of them fit into a record.
    #[test]
    fn many_ranges_are_stored_shortly() {
        let part = 500_000_000;
        let mut ranges = Ranges::default();
        for index in (0..10_000u64).filter(|index| index % 2 == 1) {
            let start = index * part;
            let short = if index == 9_999 { 7 } else { 0 };
            ranges.insert(ByteOffset(start), ByteOffset(start + part - short));
        }
        let stored = serde_json::to_string(&ranges).expect("it can be written");
        assert!(stored.len() < 24_000, "{}", stored.len());
        let read: Ranges = serde_json::from_str(&stored).expect("it can be read");
        assert_eq!(read, ranges);
        assert!(ranges.covers(ByteOffset(part), ByteOffset(part * 2)));
        assert!(!ranges.covers(ByteOffset(part), ByteOffset(part * 2 + 1)));
        assert!(!ranges.covers(ByteOffset(0), ByteOffset(1)));
        assert_eq!(serde_json::to_string(&Ranges::up_to(ByteOffset(9))).expect("fine"), "[[0,9]]");
    }

    /// Times are written as the API promises them.
    #[test]
    fn times_are_rfc3339_utc() {
        assert_eq!(UnixMillis(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis(1_700_000_000_123).to_rfc3339(), "2023-11-14T22:13:20.123Z");
    }
}
