//! Numbered parts: checks, and the turn on one part.
//!
//! Parts of one size come in any order and side by side, each to its place in the one file. An
//! acknowledged part never changes: one that is sent again is only compared. Of two requests that
//! bring the same part, the newest wins, as with whole uploads.

use super::append::pour;
use super::feed;
use super::part_writer::{Part, PartWriter};
use super::turn::Turn;
use super::{Engine, Fault, NewUpload, UploadError, Uploads};
use crate::disk::{Blob, DiskError};
use crate::ids::UploadId;
use crate::model::upload::{Chunks, UploadState};
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset};
use bytes::Bytes;
use futures_util::Stream;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Setting aside is a call of its own and isn't worth it for less than this.
const RESERVE_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Names a part.
pub(super) type PartKey = (UploadId, u32);

/// A part that is sent, and what the client says about it.
#[derive(Clone, Debug)]
pub struct PutPart {
    /// The upload.
    pub id: UploadId,
    /// The part's number, from 0.
    pub index: u32,
    /// The length of the body, where the client says it beforehand.
    pub content_length: Option<ByteCount>,
    /// What the SHA-256 of the bytes has to be; may be set until the body has ended.
    pub sha256: Arc<OnceLock<[u8; 32]>>,
}

/// A part that is acknowledged.
#[derive(Clone, Debug)]
pub struct StoredPart {
    /// Its size in bytes.
    pub size: ByteCount,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// The upload with this part.
    pub upload: UploadRecord,
}

/// What is wrong with a part, or with completing an upload of parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// The upload doesn't come in parts.
    #[error("the upload doesn't come in parts")]
    NotInParts,
    /// The upload comes in parts, and only so.
    #[error("the upload comes in parts")]
    InParts,
    /// There is no part of this number.
    #[error("the upload has {count} parts")]
    NoSuchPart {
        /// How many there are.
        count: u32,
    },
    /// The body has another length than the part.
    #[error("the part has {size} bytes")]
    Size {
        /// What it has to be.
        size: ByteCount,
    },
    /// The bytes aren't those that the client meant.
    #[error("the part has another SHA-256")]
    Checksum,
    /// The part was acknowledged with other bytes.
    #[error("the part was acknowledged with other bytes")]
    Differs,
    /// The body ended with an error: the client went away.
    #[error("the part broke off")]
    Broken,
    /// Nothing came for too long.
    #[error("no bytes of the part came for too long")]
    Idle,
    /// A newer request brings the same part.
    #[error("a newer request brings this part")]
    Taken,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The upload is complete, or is being completed.
    #[error("the upload takes no more parts")]
    Closed,
    /// Parts are missing.
    #[error("{} parts are missing", missing.len())]
    Missing {
        /// Which.
        missing: Vec<u32>,
    },
    /// A part isn't the one that the client means.
    #[error("part {index} isn't the one that is meant")]
    Etag {
        /// Its number.
        index: u32,
    },
    /// The whole file isn't the one that the client means.
    #[error("the file has another SHA-256")]
    WholeChecksum,
}

/// The open files of uploads whose parts are written or wait to be confirmed. All writers of an
/// upload share one, so that its confirmation misses no error of any of them.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    open: Mutex<HashMap<UploadId, Weak<Blob>>>,
}

impl Uploads {
    /// Begins an upload that comes in numbered parts, cut as `chunks` says; its length is known.
    ///
    /// # Errors
    /// As [`Uploads::create`].
    /// # Durability
    /// As [`Uploads::create`].
    /// # Cancel
    /// As [`Uploads::create`].
    pub async fn create_in_parts(
        &self,
        new: NewUpload,
        chunks: Chunks,
    ) -> Result<UploadRecord, UploadError> {
        self.check_size(&new)?;
        self.run(|engine| engine.create_as(new, None, Some(chunks))).await
    }

    /// Stores one part whole, or nothing of it.
    ///
    /// The newest request for a part wins: one that is still writing it is told to let go. A part
    /// that was acknowledged before is read and compared, never written again.
    ///
    /// # Errors
    /// `Missing`, `Gone`, `NoSpace`; `Part` with the reason. The upload is as it was. `Refused`
    /// with `Bodies`, or with `Kind`: the upload is over then.
    /// # Durability
    /// An acknowledged part survives a kill, and with `durability = "chunk"` a power cut.
    /// # Cancel
    /// Safe: nothing of the part counts.
    pub async fn put_part<S, E>(&self, put: PutPart, body: S) -> Result<StoredPart, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let engine = &self.engine;
        let idle = Duration::from_millis(engine.limits.idle_timeout_ms);
        engine.part_of(&put)?;
        let record = engine.known(put.id)?;
        let _counted = engine.count_body(&record, Some(put.index))?;
        let head = engine.head_of(&record, put.index == 0);
        let turn = engine.part_turns.take((put.id, put.index)).await;
        let turn = turn.ok_or_else(|| engine.part_let_go(put.id))?;
        let letting_go = turn.token().clone();
        let writer = self.run(|engine| engine.begin_part(turn, put)).await?;
        let size = writer.size();
        let (mut inlet, outlet) = feed::feed();
        let writing = engine.tasks.spawn(writer.run(outlet));
        let end = pour(body, &mut inlet, &letting_go, (idle, size.0), head).await;
        inlet.end(end);
        writing.await.unwrap_or(Err(UploadError::Internal(Fault::Task)))
    }
}

impl Engine {
    /// Returns where a part belongs, if its upload takes it.
    fn part_of(&self, put: &PutPart) -> Result<Part, UploadError> {
        let record = self.known(put.id)?;
        let (Some(chunks), Some(length)) = (&record.chunks, record.length) else {
            return Err(PartError::NotInParts.into());
        };
        let count = chunks.count(length);
        let bounds = chunks.bounds(put.index, length);
        let (start, end) = bounds.ok_or(PartError::NoSuchPart { count })?;
        let size = ByteCount(end.0 - start.0);
        if put.content_length.is_some_and(|coming| coming != size) {
            return Err(PartError::Size { size }.into());
        }
        if record.state != UploadState::Partial {
            return Err(PartError::Closed.into());
        }
        Ok(Part { upload: put.id, index: put.index, start, size, sha256: put.sha256.clone() })
    }

    /// Checks a part again under its turn and opens what it is written to.
    async fn begin_part(
        self: Arc<Self>,
        turn: Turn<PartKey>,
        put: PutPart,
    ) -> Result<PartWriter, UploadError> {
        let part = self.part_of(&put)?;
        let known = self.state.part(put.id, put.index)?.map(|known| known.sha256);
        if known.is_some() {
            return Ok(PartWriter::new(self, turn, part, known, None));
        }
        let (id, start, size) = (put.id, part.start, part.size);
        let opened = self.clone().blocking(move |engine| {
            if !engine.room.is_whole(engine.disk.free_space()?) {
                return Err(DiskError::NoSpace);
            }
            let blob = engine.shared_blob(id)?;
            if size.0 >= RESERVE_BYTES_MIN {
                blob.reserve_at(start, size)?;
            }
            Ok(blob)
        });
        match opened.await {
            Ok(blob) => Ok(PartWriter::new(self, turn, part, None, Some(blob))),
            // Its file goes with an upload that was ended meanwhile.
            Err(failed) => Err(self.known(id).err().unwrap_or(failed)),
        }
    }

    /// Opens the file of an upload, or returns the one that is open.
    pub(super) fn shared_blob(&self, id: UploadId) -> Result<Arc<Blob>, DiskError> {
        // Every change is a single step, so a poisoned lock is still sound.
        let mut open = self.blobs.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blob) = open.get(&id).and_then(Weak::upgrade) {
            return Ok(blob);
        }
        let blob = Arc::new(self.disk.open_blob(id)?);
        open.retain(|_, blob| blob.strong_count() > 0);
        open.insert(id, Arc::downgrade(&blob));
        Ok(blob)
    }

    /// Says why a part has to let go.
    pub(super) fn part_let_go(&self, id: UploadId) -> UploadError {
        if self.part_turns.is_stopping() {
            return PartError::Stopping.into();
        }
        self.known(id).err().unwrap_or_else(|| PartError::Taken.into())
    }

    /// Returns how far an upload of parts is, for the promise of room.
    pub(super) fn cover_parts(&self, record: &UploadRecord) {
        self.room.cover(record.id, ByteOffset(record.received.written.total().0));
    }
}
