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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(Vec<(u64, u64)>);

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
        let mut both = Ranges::default();
        for &(start, end) in &self.0 {
            for &(s, e) in &other.0 {
                both.insert(ByteOffset(start.max(s)), ByteOffset(end.min(e)));
            }
        }
        both
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

    /// Times are written as the API promises them.
    #[test]
    fn times_are_rfc3339_utc() {
        assert_eq!(UnixMillis(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis(1_700_000_000_123).to_rfc3339(), "2023-11-14T22:13:20.123Z");
    }
}
