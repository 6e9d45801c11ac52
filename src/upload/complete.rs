//! Completing an upload of parts: all of them are there, they are the ones that are meant, and
//! then it is finished like any other.

use super::parts::PartError;
use super::turn::Turn;
use super::{Engine, Fault, UploadError, Uploads};
use crate::disk::Blob;
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::state::UploadRecord;
use crate::units::ByteOffset;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes that are read at once for a sum of the whole file.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes that are read in one trip to the blocking pool.
const TRIP_BYTES: u64 = 64 * 1024 * 1024;

/// What a client says when it has sent all parts.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// The SHA-256 of parts that it names, as the server told them; none for what can't be one.
    pub parts: Vec<(u32, Option<[u8; 32]>)>,
    /// SHA-256 of the whole file. It costs a reading of all of it.
    pub sha256: Option<[u8; 32]>,
}

impl Uploads {
    /// Makes an upload whose parts are all there the original of its video; returns its record.
    /// May be repeated for as long as the upload is remembered. One that came otherwise and is
    /// finished is fine too.
    ///
    /// # Errors
    /// `Missing`, `Gone`, `Taken`; `Part` with `Missing`, `Etag`, `NoSuchPart`, `WholeChecksum` or
    /// `NotInParts`: the upload is open still, and has what it had.
    /// # Durability
    /// A completed upload survives a power cut.
    /// # Cancel
    /// A dropped call goes on by itself.
    pub async fn complete(
        &self,
        id: UploadId,
        said: Completion,
    ) -> Result<UploadRecord, UploadError> {
        let record = self.engine.known(id)?;
        if record.state == UploadState::Finished {
            // The record can be read shortly before the disk has confirmed it.
            self.engine.state.synced().await?;
            return Ok(record);
        }
        if record.chunks.is_none() {
            return Err(PartError::NotInParts.into());
        }
        self.run(move |engine| engine.complete(id, said)).await
    }
}

impl Engine {
    async fn complete(
        self: Arc<Self>,
        id: UploadId,
        said: Completion,
    ) -> Result<UploadRecord, UploadError> {
        let turn = self.turn(id).await?;
        let record = self.known(id)?;
        match record.state {
            UploadState::Finished => {
                self.state.synced().await?;
                return Ok(record);
            }
            UploadState::Finishing => return self.finish(&turn, record, None).await,
            _ => (),
        }
        self.check_parts(&record, &said).await?;
        let blob = self.clone().blocking(move |engine| engine.shared_blob(id)).await?;
        self.check_whole(&turn, record, said.sha256, &blob).await?;
        // No part is written any more: each has been acknowledged.
        let record = self.state.lease_upload(id).await?;
        self.finish(&turn, record, Some(blob)).await
    }

    /// Checks that all parts are there, and are the ones that the client names.
    async fn check_parts(
        self: &Arc<Self>,
        record: &UploadRecord,
        said: &Completion,
    ) -> Result<(), UploadError> {
        let (Some(chunks), Some(length)) = (&record.chunks, record.length) else {
            return Err(PartError::NotInParts.into());
        };
        let missing = chunks.missing(length, &record.received.written);
        if !missing.is_empty() {
            // What isn't named is told to be there.
            self.certain(record.clone()).await?;
            return Err(PartError::Missing { missing }.into());
        }
        if said.parts.is_empty() {
            return Ok(());
        }
        let count = chunks.count(length);
        let (state, id) = (self.state.clone(), record.id);
        let read = tokio::task::spawn_blocking(move || state.parts(id)).await;
        let parts = read.map_err(|_| UploadError::Internal(Fault::Task))??;
        let known: HashMap<u32, [u8; 32]> =
            parts.into_iter().map(|part| (part.index, part.sha256)).collect();
        for &(index, meant) in &said.parts {
            if index >= count {
                return Err(PartError::NoSuchPart { count }.into());
            }
            if meant.is_none() || known.get(&index) != meant.as_ref() {
                return Err(PartError::Etag { index }.into());
            }
        }
        Ok(())
    }

    /// Reads the whole file and compares its SHA-256 with what the client tells now, and with what
    /// it told before; records it. Does nothing if it has told none. Returns the record as it is
    /// then.
    pub(super) async fn check_whole(
        self: &Arc<Self>,
        turn: &Turn,
        record: UploadRecord,
        told: Option<[u8; 32]>,
        blob: &Arc<Blob>,
    ) -> Result<UploadRecord, UploadError> {
        if told.is_none() && record.whole_sha256().is_none() {
            return Ok(record);
        }
        let found = hex(&self.sum_of(turn, &record, blob).await?);
        let is_right = told.is_none_or(|meant| hex(&meant) == found)
            && record.whole_sha256().is_none_or(|meant| meant == found);
        match is_right {
            true => Ok(self.state.note_sum(record.id, record.epoch, found).await?),
            false => {
                self.withdraw_along(record.id).await?;
                Err(PartError::WholeChecksum.into())
            }
        }
    }

    /// Reads all of an upload whose length is known and returns its SHA-256.
    async fn sum_of(
        self: &Arc<Self>,
        turn: &Turn,
        record: &UploadRecord,
        blob: &Arc<Blob>,
    ) -> Result<[u8; 32], UploadError> {
        let length = record.length.unwrap_or_default().0;
        let (mut hasher, mut at) = (Sha256::new(), 0);
        while at < length {
            if turn.token().is_cancelled() {
                return Err(self.let_go(record.received.end()));
            }
            let (blob, end) = (blob.clone(), length.min(at + TRIP_BYTES));
            let reading = self.clone().blocking(move |_| {
                let mut bytes = vec![0; READ_BYTES];
                while at < end {
                    let count = READ_BYTES.min(usize::try_from(end - at).unwrap_or(READ_BYTES));
                    blob.read_at(ByteOffset(at), &mut bytes[..count])?;
                    hasher.update(&bytes[..count]);
                    at += count as u64;
                }
                Ok(hasher)
            });
            hasher = reading.await?;
            at = end;
        }
        Ok(hasher.finalize().into())
    }
}

/// Writes a SHA-256 as records keep it.
pub(super) fn hex(sum: &[u8; 32]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
