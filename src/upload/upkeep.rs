//! Between requests: what a start has to mend, and what time takes away.

use super::{Engine, Fault, Metadata, NewUpload, UploadError, Uploads};
use crate::disk::{DiskError, UploadMeta};
use crate::ids::UploadId;
use crate::model::access::Pass;
use crate::model::upload::{Chunks, Concat, Protocol, UploadState};
use crate::model::video::Visibility;
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use std::collections::HashSet;
use std::sync::Arc;
use tracing::{info, warn};

/// How long an upload that was given up is remembered, so that its client gets a clear answer.
pub const ENDED_REMEMBERED_MS: u64 = 7 * 24 * 3_600_000;

/// What lies on disk of an unfinished upload.
enum Found {
    /// Its blob, of this size.
    Blob(ByteCount),
    /// The original that it became.
    Original,
    /// Its blob, which is encrypted and whose key can't be had.
    Locked,
    Nothing,
}

impl Uploads {
    /// Mends what a stop at any moment left behind; run once, before the first request.
    ///
    /// Claims are lowered to what the files hold, finishes that were cut off are done again, and
    /// directories whose upload is over are removed.
    ///
    /// # Errors
    /// Whatever keeps the state or the disk from being read or written.
    pub async fn recover(&self) -> Result<(), UploadError> {
        self.engine.state.count_usage().await?;
        let records = self.engine.state.unfinished_uploads()?;
        let mut open = HashSet::new();
        for record in records {
            if record.state.is_under_way() {
                let id = record.id;
                open.insert(id);
                match self.run(move |engine| engine.mend(record)).await {
                    Ok(()) => (),
                    // Room is made through a server that runs. The next request on the upload, or
                    // the next start, finishes it.
                    Err(UploadError::NoSpace) => {
                        warn!(upload.id = %id, "upload {id} isn't finished: there is no room");
                    }
                    Err(failed) => return Err(failed),
                }
            }
        }
        let expire_ms = self.engine.limits.expire_after_ms;
        let now = self.engine.clock.now();
        let engine = self.engine.clone();
        let swept = engine.blocking(move |engine| {
            let mut removed = 0;
            for id in engine.disk.uploads()? {
                let known = open.contains(&id);
                if !known && is_over(engine, id, |created| now.ms_since(created) >= expire_ms)? {
                    engine.disk.remove_upload(id)?;
                    removed += 1;
                }
            }
            Ok(removed)
        });
        let removed: usize = swept.await?;
        if removed > 0 {
            info!(removed, "removed {removed} directories of uploads that are over");
        }
        let records = self.engine.state.unfinished_uploads()?;
        self.engine.ask_again(&records);
        self.engine.take_up_joins(records);
        Ok(())
    }

    /// Returns the uploads whose time is over, as long as nobody goes on with them.
    ///
    /// # Errors
    /// The database's own.
    pub fn due(&self) -> Result<Vec<UploadRecord>, UploadError> {
        let engine = &self.engine;
        let now = engine.clock.now();
        let mut due = engine.state.unfinished_uploads()?;
        due.retain(|record| engine.is_due(record, now));
        Ok(due)
    }

    /// Says whether what lies of an upload may go: it has ended, or nobody knows it and it is
    /// empty or older than any may become.
    ///
    /// # Errors
    /// What keeps the disk from being read.
    pub async fn is_leftover(&self, id: UploadId) -> Result<bool, UploadError> {
        let engine = self.engine.clone();
        if engine.state.upload(id)?.is_some_and(|record| record.state.is_under_way()) {
            return Ok(false);
        }
        let expire_ms = engine.limits.expire_after_ms;
        let now = engine.clock.now();
        engine
            .blocking(move |engine| is_over(engine, id, |made| now.ms_since(made) >= expire_ms))
            .await
    }

    /// Gives up the partial uploads whose time is over, and forgets those that were given up a
    /// week ago. Returns how many were given up.
    ///
    /// # Errors
    /// Whatever keeps the state or the disk from being written; the rest waits for the next call.
    pub async fn expire_due(&self) -> Result<usize, UploadError> {
        let engine = &self.engine;
        let now = engine.clock.now();
        let (promised, along) = (engine.room.promised(), engine.along.known());
        let state = engine.state.clone();
        let read = tokio::task::spawn_blocking(move || state.unfinished_uploads()).await;
        let records = read.map_err(|_| UploadError::Internal(Fault::Task))??;
        let open: HashSet<UploadId> =
            records.iter().filter(|record| !record.state.is_gone()).map(|r| r.id).collect();
        engine.ask_again(&records);
        let mut expired = 0;
        for record in records {
            let ended = record.ended_at.unwrap_or(record.changed_at);
            if record.state.is_gone() && now.ms_since(ended) >= ENDED_REMEMBERED_MS {
                engine.state.forget_upload(record.id).await?;
            }
            if engine.is_due(&record, now) {
                expired += usize::from(self.run(move |engine| engine.expire(record.id)).await?);
            }
        }
        // Videos can be deleted while they upload, without a word to the engine. A creation under
        // way may be among them; its promise is made again with its first body.
        for id in promised.into_iter().filter(|id| !open.contains(id)) {
            engine.room.forget(id);
        }
        let is_over = |id: UploadId| engine.known(id).is_err_and(|error| error.is_over());
        for id in along.into_iter().filter(|&id| !open.contains(&id) && is_over(id)) {
            engine.forget_along(id);
        }
        engine.join_all_later();
        Ok(expired)
    }
}

impl Uploads {
    /// Makes records for a partial upload that only its files know: it keeps its address and
    /// begins anew, private unless its owner asked for something else. Says whether it was new.
    ///
    /// # Errors
    /// Whatever keeps the state from being written. One that is known already is left as it is,
    /// and so is one of the draft, which would have to begin anew and mustn't.
    pub async fn adopt(&self, meta: UploadMeta) -> Result<bool, UploadError> {
        let engine = &self.engine;
        // The draft wants an upload whose state was lost to be gone: its offset can't go back.
        let is_lost = meta.protocol == Some(Protocol::Draft);
        if is_lost || engine.state.upload(meta.upload)?.is_some() {
            return Ok(false);
        }
        let metadata = Metadata::parse_header(&meta.metadata).unwrap_or_default();
        let new = NewUpload {
            owner: meta.owner,
            protocol: if meta.chunk_size.is_some() { Protocol::Chunks } else { Protocol::Tus },
            length: meta.length,
            metadata,
            raw_metadata: (!meta.metadata.is_empty()).then_some(meta.metadata),
            pass: Pass::default(),
        };
        let visibility = new.metadata.visibility().unwrap_or(Visibility::Private);
        let (mut upload, mut video) = engine.records(new);
        upload.id = meta.upload;
        upload.chunks = meta.chunk_size.map(|size| Chunks { size, sha256: None });
        upload.filename = meta.filename.clone();
        upload.created_at = meta.created_at;
        video.id = meta.video.unwrap_or(video.id);
        video.upload = Some(meta.upload);
        video.filename = meta.filename;
        video.visibility = visibility;
        video.created_at = meta.created_at;
        upload.concat = meta.concat;
        let video = (upload.concat != Some(Concat::Partial)).then_some(video);
        upload.video = video.as_ref().map(|video| video.id);
        engine.state.create_upload(upload, video).await?;
        Ok(true)
    }
}

impl Engine {
    /// Says whether nobody has gone on with an upload in time, and nobody does.
    fn is_due(&self, record: &UploadRecord, now: UnixMillis) -> bool {
        let is_served = || {
            self.turns.is_taken(record.id)
                || self.part_turns.is_any(|(upload, _)| upload == record.id)
        };
        record.state == UploadState::Partial
            && record.expires_at <= now
            && self.may_expire(record)
            && !is_served()
    }

    /// Gives up one upload, unless somebody went on with it meanwhile; says whether.
    async fn expire(self: Arc<Self>, id: UploadId) -> Result<bool, UploadError> {
        let Some(turn) = self.turns.take(id).await else { return Ok(false) };
        let record = match self.known(id) {
            Ok(record) => record,
            Err(error) if error.is_over() => return Ok(false),
            Err(failed) => return Err(failed),
        };
        if record.state != UploadState::Partial || record.expires_at > self.clock.now() {
            return Ok(false);
        }
        match self.end(&turn, &record, UploadState::Expired).await {
            Err(UploadError::PartNeeded) => Ok(false),
            ended => ended.map(|_| true),
        }
    }

    /// Brings one unfinished upload to where its files allow.
    async fn mend(self: Arc<Self>, record: UploadRecord) -> Result<(), UploadError> {
        let id = record.id;
        let turn = self.turn(id).await?;
        let (video, length) = (record.video, record.length);
        let found = self.clone().blocking(move |engine| {
            match engine.disk.open_blob(id) {
                Ok(blob) => return Ok(Found::Blob(blob.len()?)),
                Err(DiskError::Missing) => (),
                Err(locked @ DiskError::Locked { .. }) => {
                    warn!(upload.id = %id, "upload {id} can't go on: {locked}");
                    return Ok(Found::Locked);
                }
                Err(failed) => return Err(failed),
            }
            let Some(video) = video else { return Ok(Found::Nothing) };
            match engine.disk.original_size(video) {
                Ok(size) if Some(size) == length => Ok(Found::Original),
                Ok(_) | Err(DiskError::Missing) => Ok(Found::Nothing),
                Err(failed) => Err(failed),
            }
        });
        match found.await? {
            Found::Original => self.finish_at_start(&turn, record).await,
            // Its key may come back; nobody can go on with it until then, and it expires.
            Found::Locked => Ok(()),
            Found::Blob(bytes) => self.believe(&turn, record, bytes).await,
            Found::Nothing => {
                warn!(upload.id = %id, "upload {id} has lost its file and is given up");
                self.end(&turn, &record, UploadState::Aborted).await.map(drop)
            }
        }
    }

    /// Lowers an upload's claims to what its file of `file_bytes` holds; finishes it when that is
    /// everything.
    async fn believe(
        self: &Arc<Self>,
        turn: &super::turn::Turn,
        mut record: UploadRecord,
        file_bytes: ByteCount,
    ) -> Result<(), UploadError> {
        let id = record.id;
        let believed = record.received.recovered(&self.boot, file_bytes);
        let end = believed.contiguous_end();
        // Parts and what is sent by the draft become a file only when their client says so.
        let waits = record.chunks.is_some() || record.is_by_flag();
        let is_done = !waits || record.state == UploadState::Finishing;
        let is_full = record.length == Some(ByteCount(end.0)) && is_done;
        let is_new = believed != record.received.written || record.received.boot != self.boot;
        if is_new || (record.state == UploadState::Finishing && !is_full) {
            record = self.lower(&record, believed).await?;
            info!(upload.id = %id, offset = end.0, "upload {id} goes on at {end}");
        }
        if is_full && !record.is_part() {
            return self.finish_at_start(turn, record).await;
        }
        if is_full {
            // Its client will hear that the part is complete, and may never look at it again.
            record = self.confirm_claims(record).await?;
        }
        if let Some(length) = record.length {
            let come = record.received.written.total();
            self.room.renew(id, ByteOffset(come.0), ByteOffset(length.0));
        }
        Ok(())
    }
}

/// Says whether a directory without an open upload may go: its upload was given up or finished,
/// never got a byte, or is older than any upload may become.
fn is_over(
    engine: &Engine,
    id: UploadId,
    is_old: impl Fn(UnixMillis) -> bool,
) -> Result<bool, DiskError> {
    if matches!(engine.state.upload(id), Ok(Some(_))) {
        return Ok(true);
    }
    let is_empty = match engine.disk.open_blob(id) {
        Ok(blob) => blob.len()?.0 == 0,
        Err(DiskError::Missing) => true,
        Err(failed) => return Err(failed),
    };
    Ok(is_empty || engine.disk.upload_meta(id)?.is_none_or(|meta| is_old(meta.created_at)))
}
