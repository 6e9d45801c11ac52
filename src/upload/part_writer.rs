//! The writing of one part: hashed while it is written, recorded once it is whole.

use super::feed::{Batch, End, Outlet};
use super::parts::{PartError, PartKey, StoredPart};
use super::turn::Turn;
use super::{Engine, UploadError};
use crate::config::Durability;
use crate::disk::{Blob, DiskError, FailAt, fail_at};
use crate::events::EventKind;
use crate::ids::UploadId;
use crate::model::upload::Protocol;
use crate::state::{Conflict, Grounds, PartRecord, StateError, UploadRecord};
use crate::telemetry::measures::{self, Break};
use crate::units::{ByteCount, ByteOffset};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// Bytes after which the free space is looked at again, and the kernel asked to begin writing.
const LOOK_BYTES: u64 = 4 * 1024 * 1024;

/// Where a part belongs and what it has to be.
pub(super) struct Part {
    pub(super) upload: UploadId,
    pub(super) index: u32,
    pub(super) start: ByteOffset,
    pub(super) size: ByteCount,
    /// What the client says its SHA-256 is.
    pub(super) sha256: Arc<OnceLock<[u8; 32]>>,
}

/// One part on its way to disk, or to be compared.
pub(super) struct PartWriter {
    engine: Arc<Engine>,
    // Kept until the part is recorded or given up.
    turn: Turn<PartKey>,
    part: Part,
    /// SHA-256 of a part that was acknowledged before: it is compared.
    known: Option<[u8; 32]>,
    /// Where the bytes go; nowhere for one that is compared.
    blob: Option<Arc<Blob>>,
    hasher: Sha256,
    /// Bytes that have come.
    done: u64,
    /// Bytes that the kernel was asked to write.
    hinted: u64,
}

impl PartWriter {
    pub(super) fn new(
        engine: Arc<Engine>,
        turn: Turn<PartKey>,
        part: Part,
        known: Option<[u8; 32]>,
        blob: Option<Arc<Blob>>,
    ) -> Self {
        Self { engine, turn, part, known, blob, hasher: Sha256::new(), done: 0, hinted: 0 }
    }

    /// Returns how many bytes the part has.
    pub(super) fn size(&self) -> ByteCount {
        self.part.size
    }

    /// Takes what comes until the body ends or has to; then the part is recorded, if it is whole
    /// and right.
    pub(super) async fn run(mut self, mut outlet: Outlet) -> Result<StoredPart, UploadError> {
        let ended = loop {
            let Batch { pieces, bytes, end } = outlet.take(self.turn.token()).await;
            if bytes > 0 {
                self.store(pieces, bytes, &outlet).await?;
            }
            if let Some(end) = end {
                break end;
            }
        };
        drop(outlet);
        self.conclude(ended).await
    }

    async fn store(
        &mut self,
        pieces: Vec<Bytes>,
        bytes: u64,
        outlet: &Outlet,
    ) -> Result<(), UploadError> {
        let at = ByteOffset(self.part.start.0 + self.done);
        self.done += bytes;
        let due = self.done - self.hinted;
        let look = (due >= LOOK_BYTES).then_some(ByteCount(due));
        let mut hasher = std::mem::take(&mut self.hasher);
        let blob = self.blob.clone();
        let from = ByteOffset(self.part.start.0 + self.hinted);
        let storing = self.engine.clone().blocking(move |engine| {
            for piece in &pieces {
                hasher.update(piece);
            }
            let Some(blob) = blob else { return Ok((hasher, pieces)) };
            if look.is_some() && !engine.room.is_whole(engine.disk.free_space()?) {
                return Err(DiskError::NoSpace);
            }
            blob.write_at(at, &pieces)?;
            if let Some(count) = look {
                blob.start_writeback(from, count);
            }
            Ok((hasher, pieces))
        });
        let (hasher, pieces) = storing.await?;
        measures::upload_stored(Protocol::Chunks, bytes);
        outlet.give_back(pieces);
        self.hasher = hasher;
        self.hinted = if look.is_some() { self.done } else { self.hinted };
        Ok(())
    }

    async fn conclude(mut self, ended: End) -> Result<StoredPart, UploadError> {
        let size = self.part.size;
        match ended {
            End::Whole if self.done == size.0 => (),
            End::Whole | End::TooLong => return Err(PartError::Size { size }.into()),
            End::Broken => return Err(broke(Break::Cut, PartError::Broken)),
            End::Idle => return Err(broke(Break::Idle, PartError::Idle)),
            End::Taken => return Err(self.engine.part_let_go(self.part.upload)),
            End::Stranger(kind) => return Err(self.reject(kind).await),
        }
        let sha256: [u8; 32] = std::mem::take(&mut self.hasher).finalize().into();
        if self.part.sha256.get().is_some_and(|meant| *meant != sha256) {
            return Err(broke(Break::Checksum, PartError::Checksum));
        }
        if self.known.is_some_and(|known| known != sha256) {
            return Err(PartError::Differs.into());
        }
        fail_at(FailAt::AfterWriteBeforeRecord);
        // A part that is sent again is recorded again: its record may not have been written yet.
        let upload = self.note(sha256).await?;
        self.engine.cover_parts(&upload);
        self.confirm(&upload).await?;
        let body = self.engine.progress_of(&upload);
        self.engine.tell(EventKind::UploadProgress, &upload, body);
        self.engine.arrived(&upload, &upload.received.written);
        Ok(StoredPart { size, sha256, upload })
    }

    /// Ends the upload of a file that isn't taken. One of which another part was acknowledged
    /// meanwhile stays: what the file is, its probe tells then.
    async fn reject(self, kind: &'static str) -> UploadError {
        let (engine, id) = (self.engine.clone(), self.part.upload);
        drop(self);
        let rejecting = async {
            let turn = engine.turn(id).await?;
            let record = engine.known(id)?;
            match record.received.written.total().0 {
                0 => Ok(engine.refuse(&turn, &record, Grounds::Kind(kind.to_owned())).await),
                _ => Err(PartError::Broken.into()),
            }
        };
        rejecting.await.unwrap_or_else(|error| error)
    }

    async fn note(&self, sha256: [u8; 32]) -> Result<UploadRecord, UploadError> {
        let (engine, part) = (&self.engine, &self.part);
        let at = engine.clock.now();
        let expires_at = engine.expires_at(at, ByteCount(part.size.0));
        let record =
            PartRecord { upload: part.upload, index: part.index, size: part.size, sha256, at };
        match engine.state.note_part(record, &engine.boot, expires_at).await {
            Err(StateError::Conflict(Conflict::Exists)) => Err(PartError::Differs.into()),
            Err(StateError::Conflict(Conflict::Upload(_))) => {
                Err(engine.known(part.upload).err().unwrap_or(PartError::Closed.into()))
            }
            noted => Ok(noted?),
        }
    }

    /// Has the disk confirm what was written: in the background, or at once where that is
    /// promised.
    async fn confirm(&self, upload: &UploadRecord) -> Result<(), UploadError> {
        let written = upload.received.written.clone();
        let is_promised = self.engine.limits.durability == Durability::Chunk;
        let blob = match &self.blob {
            Some(blob) => blob.clone(),
            None if is_promised => {
                let id = upload.id;
                self.engine.clone().blocking(move |engine| engine.shared_blob(id)).await?
            }
            None => return Ok(()),
        };
        if is_promised {
            self.engine.clone().blocking(move |_| blob.sync_data()).await?;
            self.engine.note_confirmed(upload.id, written).await?;
        } else {
            self.engine.confirm_ranges_later(upload.id, blob, written);
        }
        Ok(())
    }
}

/// Counts a part that has to be sent again.
fn broke(why: Break, error: PartError) -> UploadError {
    measures::upload_broke(Protocol::Chunks, why);
    error.into()
}
