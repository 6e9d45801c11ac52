//! Transactions on the numbered parts of an upload.
//!
//! A part is acknowledged by one transaction that writes its record and adds its range to what the
//! upload claims, so that neither is ever seen without the other.

use super::error::{Conflict, StateError};
use super::growing;
use super::record::{PartRecord, UploadRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, keys, uploads};
use crate::ids::UploadId;
use crate::units::{Ranges, UnixMillis};

impl State {
    /// Records a part whose bytes the kernel has been given since the machine's start `boot`;
    /// returns the upload as it is then. Parts need no lease: they lie apart from each other, and
    /// one that is recorded already isn't written again. Repeating the same part is fine.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the state of an upload that isn't partial, with `Exists` for a
    /// part that was recorded with other bytes, with `Length` for one that the upload can't have;
    /// `TooLarge`, `Failed`.
    /// # Durability
    /// Written. The bytes themselves must have been given to the kernel before.
    pub async fn note_part(
        &self,
        part: PartRecord,
        boot: &str,
        expires_at: UnixMillis,
    ) -> Result<UploadRecord, StateError> {
        let boot = boot.to_owned();
        self.call(Promise::Written, move |view| {
            let mut upload = growing::get(view, part.upload)?;
            if !upload.state.is_open() {
                return Err(StateError::Conflict(Conflict::Upload(upload.state)));
            }
            let (Some(chunks), Some(length)) = (&upload.chunks, upload.length) else {
                return Err(StateError::Conflict(Conflict::Length));
            };
            let bounds = chunks.bounds(part.index, length);
            let bounds = bounds.filter(|(start, end)| end.0 - start.0 == part.size.0);
            let (start, end) = bounds.ok_or(StateError::Conflict(Conflict::Length))?;
            let key = keys::part(part.upload, part.index);
            let known: Option<PartRecord> = view.find(&key)?;
            if known.is_some_and(|known| known.sha256 != part.sha256) {
                return Err(StateError::Conflict(Conflict::Exists));
            }
            if upload.received.boot != boot {
                // What an earlier start of the machine wrote counts as far as it is confirmed.
                upload.received.written = upload.received.durable.clone();
                upload.received.boot = boot;
            }
            upload.received.written.insert(start, end);
            upload.changed_at = part.at;
            upload.expires_at = expires_at;
            view.put(key, &part)?;
            uploads::put(view, &upload)?;
            Ok(upload)
        })
        .await
    }

    /// Reads a part that was acknowledged.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn part(&self, upload: UploadId, index: u32) -> Result<Option<PartRecord>, StateError> {
        self.view().find(&keys::part(upload, index))
    }

    /// Reads all acknowledged parts of an upload in their order.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn parts(&self, upload: UploadId) -> Result<Vec<PartRecord>, StateError> {
        self.scan(&keys::parts(upload))
    }
}

/// Removes the records of all parts: the upload is over.
pub(super) fn forget(view: &mut View<'_>, upload: &UploadRecord) -> Result<(), StateError> {
    if upload.chunks.is_some() {
        for key in view.keys(&keys::parts(upload.id))? {
            view.remove(key);
        }
    }
    Ok(())
}

/// Lowers `believed` to the parts that it holds whole and that have a record, and removes the
/// records of the others. An upload that doesn't come in parts is left as it is.
pub(super) fn believe(
    view: &mut View<'_>,
    upload: &UploadRecord,
    believed: Ranges,
) -> Result<Ranges, StateError> {
    let (Some(chunks), Some(length)) = (&upload.chunks, upload.length) else {
        return Ok(believed);
    };
    let mut whole = Ranges::default();
    for key in view.keys(&keys::parts(upload.id))? {
        let part: PartRecord = view.get(&key)?;
        match chunks.bounds(part.index, length) {
            Some((start, end)) if believed.covers(start, end) => whole.insert(start, end),
            _ => view.remove(key),
        }
    }
    Ok(whole)
}
