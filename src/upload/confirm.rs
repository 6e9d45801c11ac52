//! Confirming bytes beside the writing: `fdatasync`, then the record of what is durable.
//!
//! At most one confirmation runs for an upload; what comes meanwhile is confirmed by the next
//! round, so that many small requests don't queue up for the disk.

use super::{Engine, UploadError, is_overtaken};
use crate::disk::Blob;
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::state::{StateError, UploadRecord};
use crate::units::{ByteOffset, Ranges};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{debug, warn};

/// Rounds after which a confirmation that keeps being overtaken is left to the next one.
const ATTEMPTS_MAX: usize = 8;

/// A file, and which of its bytes were written.
type Written = (Arc<Blob>, Ranges);

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
    /// Has the disk confirm everything that came before an offset is told that mustn't ever go
    /// back, as the draft wants it. Only for the holder of the upload's turn.
    pub(super) async fn assure(
        self: &Arc<Self>,
        record: UploadRecord,
    ) -> Result<UploadRecord, UploadError> {
        let (id, end) = (record.id, record.received.end());
        if record.received.durable.contiguous_end() < end {
            let confirmed =
                self.clone().blocking(move |engine| engine.disk.open_blob(id)?.sync_data());
            confirmed.await?;
            self.state.note_durable(id, record.epoch, Ranges::up_to(end)).await?;
        }
        Ok(record)
    }

    /// Has the first `end` bytes confirmed by a task of its own. They have been written.
    pub(super) fn confirm_later(self: &Arc<Self>, id: UploadId, blob: Arc<Blob>, end: ByteOffset) {
        self.confirm_ranges_later(id, blob, Ranges::up_to(end));
    }

    /// Has `written` confirmed by a task of its own. Of two calls that wait, the later one's
    /// ranges have to hold the earlier one's.
    pub(super) fn confirm_ranges_later(
        self: &Arc<Self>,
        id: UploadId,
        blob: Arc<Blob>,
        written: Ranges,
    ) {
        let mut waiting = self.confirmations.waiting();
        if let Some(next) = waiting.get_mut(&id) {
            *next = Some((blob, written));
            return;
        }
        waiting.insert(id, None);
        drop(waiting);
        self.tasks.spawn(self.clone().confirm_rounds(id, blob, written));
    }

    async fn confirm_rounds(self: Arc<Self>, id: UploadId, blob: Arc<Blob>, written: Ranges) {
        let mut round = Some((blob, written));
        while let Some((blob, written)) = round {
            if self.clone().blocking(move |_| blob.sync_data()).await.is_ok() {
                self.note_confirmed(id, written).await;
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
    pub(super) async fn note_confirmed(&self, id: UploadId, confirmed: Ranges) {
        for _ in 0..ATTEMPTS_MAX {
            let record = match self.state.upload(id) {
                Ok(Some(record)) if record.state == UploadState::Partial => record,
                _ => return,
            };
            if record.received.written.overlap(&confirmed) != confirmed {
                // The claims were lowered meanwhile: somebody has cut the file.
                return;
            }
            match self.state.note_durable(id, record.epoch, confirmed.clone()).await {
                Err(StateError::Stale) => (),
                Err(error) if is_overtaken(&error) => return,
                Err(error) => return warn!(upload.id = %id, "upload {id} isn't confirmed: {error}"),
                Ok(()) => return,
            }
        }
        debug!(upload.id = %id, "upload {id} is left to its next confirmation");
    }
}
