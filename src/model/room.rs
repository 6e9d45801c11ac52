//! When room on a disk is getting short.

use crate::units::ByteCount;

/// Least room beside the reserve below which people are warned.
const MARGIN_BYTES_MIN: u64 = 256 << 20;

/// How much room there is, and how much of it uploads leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Free bytes.
    pub free: ByteCount,
    /// Size of the file system.
    pub total: ByteCount,
    /// Bytes below which uploads are refused.
    pub reserve: ByteCount,
}

/// Returns below how many free bytes room is short: twice the reserve, or a quarter of a gibibyte
/// above it.
pub fn warn_below(reserve: ByteCount) -> ByteCount {
    ByteCount(reserve.0.saturating_add(reserve.0.max(MARGIN_BYTES_MIN)))
}

/// Says whether room is short. Where it `was_low`, it takes a tenth more until it isn't, so that
/// a disk about there doesn't warn again and again.
pub fn is_low(level: Level, was_low: bool) -> bool {
    let bound = warn_below(level.reserve).0;
    let bound = if was_low { bound.saturating_add(bound / 10) } else { bound };
    level.free.0 < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It warns before the reserve is touched, and calms down only with clearly more room.
    #[test]
    fn warnings_have_two_bounds() {
        let mib = |count: u64| ByteCount(count << 20);
        let at =
            |free, reserve| Level { free: mib(free), total: mib(9_999), reserve: mib(reserve) };
        assert!(!is_low(at(2_000, 1_000), false) && is_low(at(1_999, 1_000), false));
        assert!(is_low(at(2_199, 1_000), true) && !is_low(at(2_200, 1_000), true));
        assert!(is_low(at(255, 0), false) && !is_low(at(256, 0), false));
        assert!(is_low(at(319, 64), false) && !is_low(at(320, 64), false));
    }
}
