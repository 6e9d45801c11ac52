//! Confirming bytes beside the writing: `fdatasync`, then the record of what is durable.
//!
//! At most one confirmation runs for an upload; what comes meanwhile is confirmed by the next
//! round, so that many small requests don't queue up for the disk.

use super::{Engine, is_overtaken};
use crate::disk::Blob;
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::state::StateError;
use crate::units::{ByteOffset, Ranges};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{debug, warn};

/// Rounds after which a confirmation that keeps being overtaken is left to the next one.
const ATTEMPTS_MAX: usize = 8;

/// A file, and up to where it was written.
type Written = (Arc<Blob>, ByteOffset);

/// What waits behind each running confirmation.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    waiting: Mutex<HashMap<UploadId, Option<Written>>>,
}

impl Confirmations {
    fn waiting(&self) -> MutexGuard<'_, HashMap<UploadId, Option<Written>>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Has the first `end` bytes confirmed by a task of its own. They have been written.
    pub(super) fn confirm_later(self: &Arc<Self>, id: UploadId, blob: Arc<Blob>, end: ByteOffset) {
        let mut waiting = self.confirmations.waiting();
        if let Some(next) = waiting.get_mut(&id) {
            *next = Some((blob, end));
            return;
        }
        waiting.insert(id, None);
        drop(waiting);
        self.tasks.spawn(self.clone().confirm_rounds(id, blob, end));
    }

    async fn confirm_rounds(self: Arc<Self>, id: UploadId, blob: Arc<Blob>, end: ByteOffset) {
        let mut round = Some((blob, end));
        while let Some((blob, end)) = round {
            if self.clone().blocking(move |_| blob.sync_data()).await.is_ok() {
                self.note_confirmed(id, end).await;
            }
            let mut waiting = self.confirmations.waiting();
            round = waiting.get_mut(&id).and_then(Option::take);
            if round.is_none() {
                waiting.remove(&id);
            }
        }
    }

    /// Records what was confirmed, under whichever lease is the newest: bytes that were right
    /// stay right while only this process writes, whoever holds the lease.
    async fn note_confirmed(&self, id: UploadId, end: ByteOffset) {
        for _ in 0..ATTEMPTS_MAX {
            let record = match self.state.upload(id) {
                Ok(Some(record)) if record.state == UploadState::Partial => record,
                _ => return,
            };
            if end > record.received.end() {
                // The claims were lowered meanwhile: somebody has cut the file.
                return;
            }
            match self.state.note_durable(id, record.epoch, Ranges::up_to(end)).await {
                Err(StateError::Stale) => (),
                Err(error) if is_overtaken(&error) => return,
                Err(error) => return warn!(upload.id = %id, "upload {id} isn't confirmed: {error}"),
                Ok(()) => return,
            }
        }
        debug!(upload.id = %id, "upload {id} is left to its next confirmation");
    }
}
