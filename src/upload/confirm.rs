//! Confirming bytes beside the writing: `fdatasync`, then the record of what is durable.
//!
//! One confirmation runs for an upload at a time; what comes meanwhile is confirmed by its next
//! round. A round that nobody hurries waits a moment first, so that many small requests cost one
//! confirmation and not one each: an answer in the middle of an upload doesn't promise more.

use super::{Engine, UploadError, is_overtaken};
use crate::config::Durability;
use crate::disk::{Blob, DiskError};
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::state::{StateError, UploadRecord};
use crate::telemetry::measures::{self, Synced};
use crate::units::{ByteOffset, Ranges};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::warn;

/// Rounds after which a confirmation that keeps being overtaken is left to the next one.
const ATTEMPTS_MAX: usize = 8;

/// How long written bytes wait to be confirmed together with what follows them.
const ROUND_TIME: Duration = Duration::from_secs(1);

/// The uploads that are being confirmed, or were just now.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    waiting: Mutex<HashMap<UploadId, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    blob: Arc<Blob>,
    /// What the next round confirms.
    written: Option<Ranges>,
    hurry: Arc<Notify>,
}

impl Confirmations {
    /// Returns an upload's file if it is still open for a confirmation.
    pub(super) fn blob(&self, id: UploadId) -> Option<Arc<Blob>> {
        self.waiting().get(&id).map(|waiting| waiting.blob.clone())
    }

    /// Lets go of an upload that needs no more of this.
    pub(super) fn forget(&self, id: UploadId) {
        if let Some(waiting) = self.waiting().remove(&id) {
            waiting.hurry.notify_one();
        }
    }

    /// Takes what the round of `hurry` has to confirm; lets go of the upload if it is nothing.
    fn next(&self, id: UploadId, hurry: &Arc<Notify>) -> Option<(Arc<Blob>, Ranges)> {
        let mut all = self.waiting();
        let waiting = all.get_mut(&id).filter(|it| Arc::ptr_eq(&it.hurry, hurry))?;
        let written = waiting.written.take();
        let next = written.map(|written| (waiting.blob.clone(), written));
        if next.is_none() {
            all.remove(&id);
        }
        next
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<UploadId, Waiting>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Has the first `end` bytes confirmed by a task of its own. They have been written.
    pub(super) fn confirm_later(self: &Arc<Self>, id: UploadId, blob: Arc<Blob>, end: ByteOffset) {
        self.confirm_ranges_later(id, blob, Ranges::up_to(end));
    }

    /// As [`Engine::confirm_later`], when some more has come or a moment has passed.
    pub(super) fn confirm_soon(self: &Arc<Self>, id: UploadId, blob: Arc<Blob>, end: ByteOffset) {
        self.line_up(id, blob, Ranges::up_to(end));
    }

    /// Has `written` confirmed by a task of its own, together with what waits for that already.
    pub(super) fn confirm_ranges_later(
        self: &Arc<Self>,
        id: UploadId,
        blob: Arc<Blob>,
        written: Ranges,
    ) {
        self.line_up(id, blob, written).notify_one();
    }

    fn line_up(self: &Arc<Self>, id: UploadId, blob: Arc<Blob>, written: Ranges) -> Arc<Notify> {
        let mut all = self.confirmations.waiting();
        if let Some(waiting) = all.get_mut(&id) {
            waiting.blob = blob;
            // Two that come side by side may line up in either order.
            let both = waiting.written.get_or_insert_default();
            for &(start, end) in written.as_slice() {
                both.insert(ByteOffset(start), ByteOffset(end));
            }
            return waiting.hurry.clone();
        }
        let hurry = Arc::new(Notify::new());
        let written = Some(written);
        all.insert(id, Waiting { blob, written, hurry: hurry.clone() });
        self.tasks.spawn(self.clone().confirm_rounds(id, hurry.clone()));
        hurry
    }

    async fn confirm_rounds(self: Arc<Self>, id: UploadId, hurry: Arc<Notify>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND_TIME) => (),
                () = hurry.notified() => (),
                () = self.turns.stopped() => (),
            }
            let Some((blob, written)) = self.confirmations.next(id, &hurry) else { return };
            if self.clone().blocking(move |_| confirm(&blob)).await.is_err() {
                self.confirmations.forget(id);
                return;
            }
            if let Err(error) = self.note_confirmed(id, written).await {
                warn!(upload.id = %id, "upload {id} isn't confirmed: {error}");
            }
        }
    }

    /// Records what was confirmed, under whichever lease is the newest: bytes that were right
    /// stay right while only this process writes, whoever holds the lease. Of an upload that was
    /// finished, ended or cut meanwhile there is nothing to record.
    ///
    /// # Errors
    /// The database's own: nothing may be promised then. `Stale` when newer leases kept coming.
    pub(super) async fn note_confirmed(
        &self,
        id: UploadId,
        confirmed: Ranges,
    ) -> Result<(), StateError> {
        for _ in 0..ATTEMPTS_MAX {
            let record = match self.state.upload(id)? {
                Some(record) if record.state.is_under_way() => record,
                _ => return Ok(()),
            };
            if record.received.written.overlap(&confirmed) != confirmed {
                // The claims were lowered meanwhile: somebody has cut the file.
                return Ok(());
            }
            match self.state.note_durable(id, record.epoch, confirmed.clone()).await {
                Err(StateError::Stale) => (),
                Err(error) if !is_overtaken(&error) => return Err(error),
                _ => return Ok(()),
            }
        }
        Err(StateError::Stale)
    }

    /// Has what a record claims confirmed before it is told, where every answer is a promise (the
    /// draft's offsets never go back, whatever the setting): after a cut body or a kill it may not
    /// be yet. The caller has the turn.
    pub(super) async fn certain(
        self: &Arc<Self>,
        record: UploadRecord,
    ) -> Result<UploadRecord, UploadError> {
        match self.limits.durability {
            Durability::Complete if !record.is_by_flag() => Ok(record),
            _ => self.confirm_claims(record).await,
        }
    }

    /// Has all that a partial upload's record claims confirmed; returns the record as it is then.
    pub(super) async fn confirm_claims(
        self: &Arc<Self>,
        record: UploadRecord,
    ) -> Result<UploadRecord, UploadError> {
        let (id, written) = (record.id, record.received.written.clone());
        let is_confirmed = record.received.durable.overlap(&written) == written;
        if record.state != UploadState::Partial || is_confirmed {
            // A confirmation can be read shortly before the disk has its record.
            self.state.synced().await?;
            return Ok(record);
        }
        let opened = move |engine: &Self| confirm(&engine.disk.open_blob(id)?);
        self.clone().blocking(opened).await?;
        self.note_confirmed(id, written).await?;
        self.known(id)
    }
}
/// Has the disk confirm a file's bytes; blocks.
pub(super) fn confirm(blob: &Blob) -> Result<(), DiskError> {
    let begun = Instant::now();
    blob.sync_data()?;
    measures::synced(Synced::Upload, begun.elapsed());
    Ok(())
}
