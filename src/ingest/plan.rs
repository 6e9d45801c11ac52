//! In which order the parts of a file are sent. Pure.
//!
//! A server that can work on what it has of a file needs its head before all else, and then what it
//! says that it wants: of a film whose index stands at the end, that. What is left goes in order.

/// Returns the missing parts in which bytes of `wanted` lie, each once, in the order of the wishes;
/// parts have `size` bytes.
pub(super) fn first(missing: &[u32], wanted: &[(u64, u64)], size: u64) -> Vec<u32> {
    let size = size.max(1);
    let mut order = Vec::new();
    for &(start, end) in wanted.iter().filter(|(start, end)| start < end) {
        let parts = start / size..end.div_ceil(size);
        order.extend(missing.iter().filter(|&&index| parts.contains(&u64::from(index))));
    }
    once(&order)
}

/// Returns the missing parts in order, each once.
pub(super) fn rest(missing: &[u32]) -> Vec<u32> {
    let mut order = missing.to_vec();
    order.sort_unstable();
    once(&order)
}

fn once(order: &[u32]) -> Vec<u32> {
    let mut seen = std::collections::HashSet::new();
    order.iter().copied().filter(|&index| seen.insert(index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each missing part has one turn: what is wanted before the rest, and nothing that is there.
    #[test]
    fn each_missing_part_once() {
        assert_eq!(rest(&[]), [] as [u32; 0]);
        assert_eq!(rest(&[3, 0, 1, 3]), [0, 1, 3]);
        let missing = [1, 2, 4, 7, 8, 9];
        assert_eq!(first(&missing, &[(85, 93), (0, 20), (80, 90)], 10), [8, 9, 1]);
        assert_eq!(first(&missing, &[(30, 40), (7, 7), (9, 5)], 10), [] as [u32; 0]);
        assert_eq!(first(&missing, &[(0, u64::MAX)], 10), missing);
    }
}
