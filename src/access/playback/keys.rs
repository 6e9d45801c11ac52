//! The keys as they are now, so that a segment doesn't cost a look into the database.

use crate::state::Ring;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, MutexGuard};

/// The keys that sign playback tokens, once they were read.
#[derive(Debug, Default)]
pub(in crate::access) struct Keys {
    ring: RwLock<Option<Arc<Ring>>>,
    /// One change at a time, so that what is known is what was written last.
    turn: Mutex<()>,
}

impl Keys {
    pub(super) fn known(&self) -> Option<Arc<Ring>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    pub(super) fn learn(&self, ring: Ring) -> Arc<Ring> {
        let ring = Arc::new(ring);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        ring
    }
}
