//! The hand-over from the one who reads a body to the one who writes it to disk.
//!
//! The reader lives in the request and may vanish with the connection at any moment; the writer is
//! a task of its own and always gets to record what came. Pieces are copied into buffers that are
//! used again and again. That is cheaper than keeping the pieces: those of the HTTP library could
//! only be freed by another thread, so each would be fresh memory, which the kernel has to clear,
//! and a copy within the processor's cache costs a fraction of that.

use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Bytes gathered before they are written: a trip to the blocking pool costs little beside them.
const GATHER_BYTES: u64 = 512 * 1024;

/// Size of a buffer. Only what is filled of it takes memory.
const BUFFER_BYTES: usize = 256 * 1024;

/// Buffers that are kept while nobody uses them.
const BUFFERS_MAX: usize = 32;

/// Longest time that bytes of a slow body wait to be written.
const GATHER_TIME: Duration = Duration::from_secs(1);

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
    pub(super) pieces: Vec<Vec<u8>>,
    pub(super) bytes: u64,
    /// Nothing follows.
    pub(super) end: Option<End>,
}

/// Empty buffers, the one used last on top: it may still be in the processor's cache.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.free().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Takes back what a batch was gathered in.
    pub(super) fn give_back(&self, pieces: Vec<Vec<u8>>) {
        let mut free = self.free();
        for mut buffer in pieces {
            if free.len() < BUFFERS_MAX {
                buffer.clear();
                free.push(buffer);
            }
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Feed {
    buffers: Arc<Buffers>,
    gathered: Mutex<Gathered>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    batch: Batch,
    /// The writer has gone.
    closed: bool,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.batch.bytes >= GATHER_BYTES
    }

    fn add(&mut self, mut piece: &[u8], buffers: &Buffers) {
        self.batch.bytes += piece.len() as u64;
        while !piece.is_empty() {
            match self.batch.pieces.last_mut() {
                Some(buffer) if buffer.len() < BUFFER_BYTES => {
                    let (now, rest) = piece.split_at(piece.len().min(BUFFER_BYTES - buffer.len()));
                    buffer.extend_from_slice(now);
                    piece = rest;
                }
                _ => self.batch.pieces.push(buffers.take()),
            }
        }
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
pub(super) fn feed(buffers: &Arc<Buffers>) -> (Inlet, Outlet) {
    let feed = Arc::new(Feed { buffers: buffers.clone(), ..Feed::default() });
    (Inlet(feed.clone()), Outlet(feed))
}

impl Inlet {
    /// Hands over a piece, waiting while the writer is behind; `false` when the writer has gone.
    pub(super) async fn push(&mut self, piece: Bytes) -> bool {
        loop {
            let drained = self.0.drained.notified();
            {
                let mut gathered = self.0.gathered();
                if gathered.closed {
                    return false;
                }
                if !gathered.is_full() {
                    gathered.add(&piece, &self.0.buffers);
                    if gathered.is_full() {
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
        let mut until = Instant::now() + GATHER_TIME;
        loop {
            {
                let mut gathered = self.0.gathered();
                let late = Instant::now() >= until;
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
                    until = Instant::now() + GATHER_TIME;
                }
            }
            tokio::select! {
                () = letting_go.cancelled() => (),
                _ = timeout_at(until, self.0.filled.notified()) => (),
            }
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

    /// Pieces arrive in order, gathered, with the end after them; buffers are used again.
    #[tokio::test]
    async fn pieces_are_gathered_in_order() {
        let buffers = Arc::default();
        let (mut inlet, mut outlet) = feed(&buffers);
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
        assert_eq!((first.pieces.len(), first.bytes, first.end), (3, 600_000, None));
        let second = outlet.take(&token).await;
        assert_eq!((second.bytes, second.end), (400_000, Some(End::Whole)));
        assert_eq!([first.pieces.concat(), second.pieces.concat()].concat(), pieces.concat());
        reader.await.expect("the reader is done");
        let used = first.pieces[2].as_ptr();
        buffers.give_back(first.pieces);
        let again = buffers.take();
        assert!(again.is_empty() && again.as_ptr() == used);
        buffers.give_back((0..2 * BUFFERS_MAX).map(|_| Vec::new()).collect());
        assert_eq!(buffers.free().len(), BUFFERS_MAX);
    }

    /// A vanished reader leaves what it brought, and its end is a broken one.
    #[tokio::test]
    async fn a_vanished_reader_leaves_its_bytes() {
        let (mut inlet, mut outlet) = feed(&Arc::default());
        assert!(inlet.push(Bytes::from_static(b"abc")).await);
        drop(inlet);
        let batch = outlet.take(&CancellationToken::new()).await;
        assert_eq!((batch.bytes, batch.end), (3, Some(End::Broken)));
    }

    /// Who is told to let go takes what has come, and the reader learns that nobody writes.
    #[tokio::test]
    async fn letting_go_takes_the_rest() {
        let (mut inlet, mut outlet) = feed(&Arc::default());
        assert!(inlet.push(Bytes::from_static(b"abc")).await);
        let token = CancellationToken::new();
        token.cancel();
        let batch = outlet.take(&token).await;
        assert_eq!((batch.bytes, batch.end), (3, Some(End::Taken)));
        assert!(!inlet.push(Bytes::from_static(b"d")).await);
    }
}
