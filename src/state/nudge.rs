//! Wakes a flush that the database has forgotten.
//!
//! When one of sled 0.34's own threads can't write, it notes the error and, on one of its two ways
//! there (`exit_reservation`), doesn't wake whoever waits for that write: the flush sleeps for
//! ever, and every upload with it. The next call that writes is told of the error, and a flush
//! that begins then wakes the sleeper. `scripts/torture calls` finds it: the 30th to 40th
//! `sync_file_range` of a thread fails, and about one run in fifty hangs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often flushes are looked at; one that was there at two looks in a row is nudged.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the nudges are written, apart from the records.
const TREE: &str = "nudge";

/// Counts the beginnings and ends of flushes: odd while there is one.
#[derive(Default)]
pub(super) struct Flushes(AtomicU64);

impl Flushes {
    /// Does `flush` where it is seen.
    pub(super) fn during<T>(&self, flush: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        let done = flush();
        self.0.fetch_add(1, Ordering::Relaxed);
        done
    }
}

/// Looks after the flushes of `db` until the sender of `over` is dropped.
pub(super) fn watch(db: &sled::Db, flushes: &Flushes, over: &Receiver<()>) {
    let mut before = 0;
    while over.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let now = flushes.0.load(Ordering::Relaxed);
        if now % 2 == 1 && now == before {
            nudge(db);
        }
        before = now;
    }
}

/// Wakes whoever waits for a write that has failed; says whether there was such an error. A disk
/// that is merely slow isn't waited for.
fn nudge(db: &sled::Db) -> bool {
    let write = || db.open_tree(TREE).and_then(|tree| tree.insert(b"", b""));
    let has_failed = !matches!(catch_unwind(AssertUnwindSafe(write)), Ok(Ok(_)));
    if has_failed {
        // Its answer is the error that the sleeper gets too.
        let _ = catch_unwind(AssertUnwindSafe(|| db.flush()));
    }
    has_failed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A nudge of a sound database finds no error and leaves no record, and a flush is seen while
    /// it runs.
    #[test]
    fn a_nudge_leaves_nothing_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let db = sled::open(directory.path()).expect("a new database");
        let flushes = Flushes::default();
        let seen = || flushes.0.load(Ordering::Relaxed) % 2 == 1;
        assert!(!seen());
        assert!(flushes.during(|| seen() && !nudge(&db)));
        assert!(!seen());
        assert!(db.is_empty());
    }
}
