//! How far uploads have come since their records were written.
//!
//! A record may say that its upload grows: then its file's length tells after a kill how far it has
//! come, and not every request has to write a record. What came since is kept here, in memory, and
//! laid over the record for whoever reads it; the next record that is written takes it along.

use super::State;
use super::error::StateError;
use super::keys;
use super::record::UploadRecord;
use super::usage::{Move, Weight};
use super::view::View;
use crate::ids::{Epoch, UploadId};
use crate::model::upload::Received;
use crate::units::{ByteOffset, Ranges, UnixMillis};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Uploads that are ahead of their records. The confirmation that follows each request writes a
/// record, so there are no more than requests of about the last second.
#[derive(Debug, Default)]
pub(super) struct Growing(Mutex<HashMap<UploadId, Grown>>);

/// How far one upload has come under the lease `epoch`.
#[derive(Clone, Copy, Debug)]
struct Grown {
    epoch: Epoch,
    end: ByteOffset,
    changed_at: UnixMillis,
    expires_at: UnixMillis,
}

impl Growing {
    /// Lays what came since over a record.
    pub(super) fn onto(&self, mut upload: UploadRecord) -> UploadRecord {
        let grown = self.all().get(&upload.id).copied();
        let grown = grown
            .filter(|grown| may_grow(&upload, grown.epoch) && grown.end > upload.received.end());
        if let Some(grown) = grown {
            upload.received.written = Ranges::up_to(grown.end);
            upload.changed_at = grown.changed_at;
            upload.expires_at = grown.expires_at;
        }
        upload
    }

    /// Lets go of what a record of everything before `end` has taken along.
    pub(super) fn recorded(&self, id: UploadId, end: ByteOffset) {
        let mut all = self.all();
        if all.get(&id).is_some_and(|grown| grown.end <= end) {
            all.remove(&id);
        }
    }

    /// Lets go of an upload that has ended, or is leased anew.
    pub(super) fn forget(&self, id: UploadId) {
        self.all().remove(&id);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<UploadId, Grown>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether who holds the lease `epoch` may leave a record behind.
fn may_grow(upload: &UploadRecord, epoch: Epoch) -> bool {
    upload.epoch == epoch && upload.state.is_open() && upload.received.grows
}

/// Reads an upload as it is now.
pub(super) fn find(view: &View<'_>, id: UploadId) -> Result<Option<UploadRecord>, StateError> {
    let record = view.find::<UploadRecord>(&keys::upload(id))?;
    Ok(record.map(|record| view.growing().onto(record)))
}

/// As [`find`], for an upload that must be there.
pub(super) fn get(view: &View<'_>, id: UploadId) -> Result<UploadRecord, StateError> {
    find(view, id)?.ok_or(StateError::Missing)
}

impl State {
    /// As [`State::note_written`] for an upload that has `end` bytes, and from now on grows: its
    /// file must be as long, and whatever is appended to it must count, until another note or
    /// lease. [`State::note_grown`] has the rest.
    ///
    /// # Errors
    /// As [`State::note_written`].
    /// # Durability
    /// As [`State::note_written`].
    pub async fn note_growing(
        &self,
        id: UploadId,
        epoch: Epoch,
        boot: &str,
        end: ByteOffset,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<(), StateError> {
        let (boot, written) = (boot.to_owned(), Ranges::up_to(end));
        let received = Received { boot, written, grows: true, ..Received::default() };
        self.note(id, epoch, received, now, expires_at).await
    }

    /// Notes that an upload whose record says that it grows has come up to `end`; `false` if
    /// nothing was noted because its record doesn't say so, not under this lease or not any more.
    /// Blocks for no longer than a read.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Written, once the bytes themselves have been given to the kernel.
    pub fn note_grown(
        &self,
        id: UploadId,
        epoch: Epoch,
        end: ByteOffset,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<bool, StateError> {
        let record = self.view().find::<UploadRecord>(&keys::upload(id))?;
        let Some(record) = record.filter(|record| may_grow(record, epoch)) else {
            return Ok(false);
        };
        let grown = Grown { epoch, end, changed_at: now, expires_at };
        self.growing().all().insert(id, grown);
        let weight = Weight::of(&self.growing().onto(record));
        self.accounts().apply(vec![Move::Upload(id, weight)]);
        Ok(true)
    }
}
