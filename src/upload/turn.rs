//! One request at a time for each upload, and the newest wins.
//!
//! A newer request doesn't wait for an older one to finish its business: it tells it to let go and
//! gets its turn as soon as the older one has recorded what it wrote. Requests that were overtaken
//! while they waited give up. Entries exist only while a request is being served, so the map is
//! bounded by the connections that the server takes.

use crate::ids::UploadId;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// Who is being served, upload by upload, or whatever else is written by one at a time.
#[derive(Debug)]
pub(super) struct Turns<K: Key = UploadId> {
    seats: Mutex<HashMap<K, Seat>>,
    /// Cancelled when the server stops; every turn hangs on it.
    stop: CancellationToken,
}

/// What one request at a time works on.
pub(super) trait Key: Copy + Eq + Hash {}

impl<K: Copy + Eq + Hash> Key for K {}

impl<K: Key> Default for Turns<K> {
    fn default() -> Self {
        Self { seats: Mutex::default(), stop: CancellationToken::new() }
    }
}

#[derive(Debug)]
struct Seat {
    lock: Arc<tokio::sync::Mutex<()>>,
    newest: CancellationToken,
    guests: usize,
}

/// The right to work on one upload, until dropped.
#[derive(Debug)]
pub(super) struct Turn<K: Key = UploadId> {
    token: CancellationToken,
    is_takeover: bool,
    // Before `guest`: the lock must be free when the seat is removed.
    _guard: OwnedMutexGuard<()>,
    _guest: Guest<K>,
}

/// Keeps an upload's seat while its request waits or works.
#[derive(Debug)]
struct Guest<K: Key> {
    id: K,
    turns: Arc<Turns<K>>,
}

impl<K: Key> Turns<K> {
    /// Tells whoever works on the upload to let go and waits until it has; `None` when a still
    /// newer request came meanwhile, or the server stops.
    ///
    /// # Cancel
    /// Safe; the older request has been told to let go nevertheless.
    pub(super) async fn take(self: &Arc<Self>, id: K) -> Option<Turn<K>> {
        let token = self.stop.child_token();
        let (lock, is_takeover) = {
            let mut seats = self.seats();
            let seat = seats.entry(id).or_insert_with(|| Seat {
                lock: Arc::default(),
                newest: token.clone(),
                guests: 0,
            });
            seat.guests += 1;
            let older = std::mem::replace(&mut seat.newest, token.clone());
            if seat.guests > 1 {
                older.cancel();
            }
            (seat.lock.clone(), seat.guests > 1)
        };
        let guest = Guest { id, turns: self.clone() };
        tokio::select! {
            biased;
            () = token.cancelled() => None,
            _guard = lock.lock_owned() => {
                Some(Turn { token: token.clone(), is_takeover, _guard, _guest: guest })
            }
        }
    }

    /// Says whether a request works on the upload or waits to.
    pub(super) fn is_taken(&self, id: K) -> bool {
        self.seats().contains_key(&id)
    }

    /// Says whether a request works on anything that `of` names, or waits to.
    pub(super) fn is_any(&self, of: impl Fn(K) -> bool) -> bool {
        self.seats().keys().any(|&key| of(key))
    }

    /// Tells who works on what `of` names to let go.
    pub(super) fn let_go(&self, of: impl Fn(K) -> bool) {
        for (_, seat) in self.seats().iter().filter(|&(&key, _)| of(key)) {
            seat.newest.cancel();
        }
    }

    /// Tells every request to let go, and those that come later too.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the server stops.
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Says whether the server stops.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<K, Seat>> {
        // Every change below is a single step, so a poisoned lock is still sound.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Key> Turn<K> {
    /// Is cancelled when a newer request wants the upload, or the server stops.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Says whether another request had the upload, or waited for it, when this one came.
    pub(super) fn is_takeover(&self) -> bool {
        self.is_takeover
    }
}

impl<K: Key> Drop for Guest<K> {
    fn drop(&mut self) {
        let mut seats = self.turns.seats();
        if let Some(seat) = seats.get_mut(&self.id) {
            seat.guests -= 1;
            if seat.guests == 0 {
                seats.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;

    /// The holder is told at once, those between give up, the newest gets the turn.
    #[tokio::test]
    async fn the_newest_wins() {
        let turns = Arc::new(Turns::default());
        let id = UploadId::fresh(UnixMillis(1));
        let first = turns.take(id).await.expect("nobody else is there");
        assert!(!first.token().is_cancelled() && !first.is_takeover());
        let spawn = |turns: &Arc<Turns>| {
            let turns = turns.clone();
            tokio::spawn(async move { turns.take(id).await })
        };
        let second = spawn(&turns);
        tokio::task::yield_now().await;
        assert!(first.token().is_cancelled());
        let third = spawn(&turns);
        assert!(second.await.expect("it gives up").is_none());
        drop(first);
        let third = third.await.expect("it ends").expect("the newest gets the turn");
        assert!(!third.token().is_cancelled() && third.is_takeover());
        assert!(turns.is_taken(id));
        drop(third);
        assert!(!turns.is_taken(id), "nothing is kept of who has left");
    }

    /// At the stop everybody lets go and nobody gets a turn any more.
    #[tokio::test]
    async fn the_stop_reaches_everybody() {
        let turns = Arc::new(Turns::default());
        let id = UploadId::fresh(UnixMillis(1));
        let turn = turns.take(id).await.expect("nobody else is there");
        turns.stop();
        assert!(turn.token().is_cancelled());
        assert!(turns.take(id).await.is_none());
        assert!(turns.take(UploadId::fresh(UnixMillis(1))).await.is_none());
    }
}
