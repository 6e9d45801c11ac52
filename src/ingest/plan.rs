//! In which order the parts of a file are sent. Pure.

/// Returns the parts that are missing in the order in which they are to be sent: the head first,
/// then on to the end. A server that can work on what it has of a file needs its head before all
/// else; where it wants other places early, this is where their turn is decided.
pub(super) fn plan(missing: &[u32]) -> Vec<u32> {
    let mut order = missing.to_vec();
    order.sort_unstable();
    order.dedup();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each missing part has one turn, the head's is the first.
    #[test]
    fn each_missing_part_once_from_the_head() {
        assert_eq!(plan(&[]), [] as [u32; 0]);
        assert_eq!(plan(&[3, 0, 1, 3]), [0, 1, 3]);
        assert_eq!(plan(&[9, 7]), [7, 9]);
    }
}
