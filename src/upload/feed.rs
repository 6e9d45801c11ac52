//! The hand-over from the one who reads a body to the one who writes it to disk.
//!
//! The reader lives in the request and may vanish with the connection at any moment; the writer is
//! a task of its own and always gets to record what came. Pieces are gathered as they are, without
//! copying (but for crumbs, which would hold the 8 KiB that they were read into), and come back to
//! the reader's thread to be freed: freed elsewhere, their memory would be fresh for each, and the
//! kernel would have to clear it.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Bytes gathered before they are written: a trip to the blocking pool costs little beside them.
const GATHER_BYTES: u64 = 512 * 1024;

/// Pieces gathered before they are written; the kernel takes no more in one call.
const GATHER_PIECES: usize = 1024;

/// Pieces up to this size are copied.
const CRUMB_BYTES: usize = 1024;

/// Longest time that bytes of a slow body wait to be written.
const GATHER_TIME: Duration = Duration::from_secs(1);

/// Bytes that don't wait for so long: those of many slow bodies together would hold much memory.
const HELD_BYTES: u64 = 4 * 1024;

/// Longest time that so many bytes wait.
const HELD_TIME: Duration = Duration::from_millis(100);

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With its last byte.
    Whole,
    /// With an error of the connection, or the request was dropped.
    Broken,
    /// Nothing came for too long.
    Idle,
    /// The next piece would go past the bound.
    TooLong,
    /// A newer request wants the upload, or the server stops.
    Taken,
    /// Its first bytes are those of a file of this type, which isn't taken.
    Stranger(&'static str),
}

/// What the writer gets at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Bytes>,
    pub(super) bytes: u64,
    /// Nothing follows.
    pub(super) end: Option<End>,
}

#[derive(Debug, Default)]
struct Feed {
    gathered: Mutex<Gathered>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    batch: Batch,
    /// What was written, for the reader to free.
    spent: Vec<Bytes>,
    /// The writer has gone.
    closed: bool,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.batch.bytes >= GATHER_BYTES || self.batch.pieces.len() >= GATHER_PIECES
    }

    /// Returns how long what has come may wait.
    fn patience(&self) -> Duration {
        if self.batch.bytes >= HELD_BYTES { HELD_TIME } else { GATHER_TIME }
    }
}

impl Feed {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // Nothing panics while it is held, so a poisoned lock is still sound.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reader's end. Dropping it ends the body as broken.
#[derive(Debug)]
pub(super) struct Inlet(Arc<Feed>);

/// The writer's end. Dropping it tells the reader to stop.
#[derive(Debug)]
pub(super) struct Outlet(Arc<Feed>);

/// Returns both ends of a new hand-over.
pub(super) fn feed() -> (Inlet, Outlet) {
    let feed = Arc::new(Feed::default());
    (Inlet(feed.clone()), Outlet(feed))
}

impl Inlet {
    /// Hands over a piece, waiting while the writer is behind; `false` when the writer has gone.
    pub(super) async fn push(&mut self, mut piece: Bytes) -> bool {
        if piece.len() <= CRUMB_BYTES {
            piece = Bytes::copy_from_slice(&piece);
        }
        loop {
            let drained = self.0.drained.notified();
            // Freed at the end of the turn, without the lock.
            let _spent;
            {
                let mut gathered = self.0.gathered();
                if gathered.closed {
                    return false;
                }
                _spent = std::mem::take(&mut gathered.spent);
                if !gathered.is_full() {
                    let patience = gathered.patience();
                    gathered.batch.bytes += piece.len() as u64;
                    gathered.batch.pieces.push(piece);
                    if gathered.is_full() || gathered.patience() < patience {
                        self.0.filled.notify_one();
                    }
                    return true;
                }
            }
            drained.await;
        }
    }

    /// Ends the body.
    pub(super) fn end(self, end: End) {
        self.finish(end);
    }

    fn finish(&self, end: End) {
        self.0.gathered().batch.end.get_or_insert(end);
        self.0.filled.notify_one();
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.finish(End::Broken);
    }
}

impl Outlet {
    /// Waits until enough has been gathered, or has waited long enough, or nothing follows. When
    /// `letting_go` is cancelled, returns what has come so far as the last batch.
    pub(super) async fn take(&mut self, letting_go: &CancellationToken) -> Batch {
        let mut since = Instant::now();
        loop {
            let until = {
                let mut gathered = self.0.gathered();
                let patience = gathered.patience();
                let late = Instant::now() >= since + patience;
                if letting_go.is_cancelled() {
                    gathered.batch.end.get_or_insert(End::Taken);
                    gathered.closed = true;
                }
                let worth = gathered.is_full() || (late && gathered.batch.bytes > 0);
                if worth || gathered.batch.end.is_some() {
                    let batch = std::mem::take(&mut gathered.batch);
                    self.0.drained.notify_one();
                    return batch;
                }
                if late {
                    since = Instant::now();
                }
                since + patience
            };
            tokio::select! {
                () = letting_go.cancelled() => (),
                _ = timeout_at(until, self.0.filled.notified()) => (),
            }
        }
    }
}

impl Outlet {
    /// Hands back what was written. Of a slow body it is freed here: the reader may not come for it
    /// for long, and many slow bodies together must not hold much.
    pub(super) fn give_back(&self, spent: Vec<Bytes>) {
        let bytes: usize = spent.iter().map(Bytes::len).sum();
        if bytes as u64 >= GATHER_BYTES {
            self.0.gathered().spent = spent;
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.gathered().closed = true;
        self.0.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    /// Pieces arrive in order and uncopied, gathered, with the end after them; what was written
    /// comes back to its reader.
    #[tokio::test]
    async fn pieces_are_gathered_in_order() {
        let (mut inlet, mut outlet) = feed();
        let pieces: Vec<Bytes> = (0..10u8).map(|n| Bytes::from(vec![n; 100_000])).collect();
        let sent = pieces.clone();
        let reader = tokio::spawn(async move {
            for piece in sent {
                assert!(inlet.push(piece).await);
            }
            inlet.end(End::Whole);
        });
        let token = CancellationToken::new();
        let first = outlet.take(&token).await;
        assert_eq!((first.pieces.len(), first.bytes, first.end), (6, 600_000, None));
        let second = outlet.take(&token).await;
        assert_eq!((second.pieces.len(), second.end), (4, Some(End::Whole)));
        let got: Vec<Bytes> = first.pieces.into_iter().chain(second.pieces).collect();
        assert!(got.iter().zip(&pieces).all(|(a, b)| a.as_ptr() == b.as_ptr()));
        reader.await.expect("the reader is done");
    }

    /// Crumbs don't hold what they were read into.
    #[tokio::test]
    async fn crumbs_are_copied() {
        let (mut inlet, mut outlet) = feed();
        let read = Bytes::from(vec![7; 8192]);
        assert!(inlet.push(read.slice(..64)).await);
        assert!(read.is_unique());
        inlet.end(End::Whole);
        let batch = outlet.take(&CancellationToken::new()).await;
        assert_eq!(batch.pieces, [Bytes::from(vec![7; 64])]);
    }

    /// Large batches go back to the reader, who frees them with the next piece; small ones don't
    /// wait for that.
    #[tokio::test]
    async fn what_was_written_is_freed() {
        let (mut inlet, outlet) = feed();
        let large = Bytes::from(vec![1; GATHER_BYTES as usize]);
        outlet.give_back(vec![large.clone()]);
        assert!(!large.is_unique(), "its reader has it");
        assert!(inlet.push(Bytes::from_static(b"x")).await);
        assert!(large.is_unique());
        let small = Bytes::from(vec![1; 1000]);
        outlet.give_back(vec![small.clone()]);
        assert!(small.is_unique());
    }

    /// What holds much memory waits for less long than crumbs, and its writer hears of that.
    #[tokio::test]
    async fn much_is_written_soon() {
        let (mut inlet, outlet) = feed();
        let hears = || outlet.0.filled.notified().now_or_never().is_some();
        for (bytes, patience, is_news) in [
            (CRUMB_BYTES, GATHER_TIME, false),
            (HELD_BYTES as usize, HELD_TIME, true),
            (HELD_BYTES as usize, HELD_TIME, false),
        ] {
            assert!(inlet.push(Bytes::from(vec![1; bytes])).await);
            assert_eq!((outlet.0.gathered().patience(), hears()), (patience, is_news));
        }
    }

    /// Tiny pieces are bounded by their number as well.
    #[tokio::test]
    async fn tiny_pieces_are_bounded() {
        let (mut inlet, mut outlet) = feed();
        for _ in 0..GATHER_PIECES {
            assert!(inlet.push(Bytes::from_static(b"x")).await);
        }
        let batch = outlet.take(&CancellationToken::new()).await;
        assert_eq!((batch.pieces.len(), batch.end), (GATHER_PIECES, None));
    }

    /// A vanished reader leaves what it brought, and its end is a broken one.
    #[tokio::test]
    async fn a_vanished_reader_leaves_its_bytes() {
        let (mut inlet, mut outlet) = feed();
        assert!(inlet.push(Bytes::from_static(b"abc")).await);
        drop(inlet);
        let batch = outlet.take(&CancellationToken::new()).await;
        assert_eq!((batch.bytes, batch.end), (3, Some(End::Broken)));
    }

    /// Who is told to let go takes what has come, and the reader learns that nobody writes.
    #[tokio::test]
    async fn letting_go_takes_the_rest() {
        let (mut inlet, mut outlet) = feed();
        assert!(inlet.push(Bytes::from_static(b"abc")).await);
        let token = CancellationToken::new();
        token.cancel();
        let batch = outlet.take(&token).await;
        assert_eq!((batch.bytes, batch.end), (3, Some(End::Taken)));
        assert!(!inlet.push(Bytes::from_static(b"d")).await);
    }
}
