//! Uploads that are made of others: parts that come side by side, and the final upload that joins
//! them in the background.
//!
//! A part becomes no video. Once all of its bytes are here it waits, as long as it doesn't expire,
//! for final uploads to name it. Once all parts of a final upload are here and confirmed, its
//! video is queued: a job reads the parts as one source until they are joined, and nothing that
//! joining may meet can take away what the job makes.
//!
//! A final upload's record names its parts, so a start after a crash knows what to go on with:
//! joining copies (or, where the file system can, shares) the parts' bytes into the final's blob
//! and notes how far it has come like any other writer. What follows is the finish of any upload,
//! except that the video goes on as it is. A part that an unjoined final needs is neither expired
//! nor ended.

use super::turn::Turn;
use super::{Engine, Fault, NewUpload, UploadError, Uploads};
use crate::disk::{Blob, DiskError, FailAt, fail_at};
use crate::events::{Event, EventBody, EventKind};
use crate::ids::{JobId, Owner, UploadId};
use crate::model::upload::{Concat, UploadState};
use crate::model::video::VideoState;
use crate::state::{Conflict, JobRecord, StateError, UploadRecord, VideoRecord};
use crate::units::{ByteCount, ByteOffset, Ranges};
use crate::wire::SOURCE_FILES_MAX;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{info, warn};

/// Bytes that are joined between two looks at whether to go on.
const PIECE_BYTES: u64 = 256 * 1024 * 1024;

/// The final uploads that aren't joined yet.
#[derive(Debug, Default)]
pub(super) struct Joins {
    open: Mutex<Open>,
    /// Held while a final upload chooses its parts, and while a part is ended: whichever comes
    /// second sees what the first has done.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Open {
    finals: HashMap<UploadId, Join>,
    /// Which of them wait for a part.
    waiting: HashMap<UploadId, Vec<UploadId>>,
}

#[derive(Debug)]
struct Join {
    parts: HashSet<UploadId>,
    /// A task looks after it.
    running: bool,
    /// Something has changed since that task has looked.
    again: bool,
}

impl Joins {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: UploadId, parts: Vec<UploadId>) {
        let mut open = self.open();
        if open.finals.contains_key(&id) {
            return;
        }
        let parts: HashSet<UploadId> = parts.into_iter().collect();
        for &part in &parts {
            open.waiting.entry(part).or_default().push(id);
        }
        open.finals.insert(id, Join { parts, running: false, again: false });
    }

    /// Forgets a final upload that was joined or given up.
    pub(super) fn forget(&self, id: UploadId) {
        let mut open = self.open();
        let Some(join) = open.finals.remove(&id) else { return };
        for part in join.parts {
            if let Entry::Occupied(mut waiting) = open.waiting.entry(part) {
                waiting.get_mut().retain(|&other| other != id);
                if waiting.get().is_empty() {
                    waiting.remove();
                }
            }
        }
    }

    /// Returns the final uploads that wait for a part.
    pub(super) fn waiting_for(&self, part: UploadId) -> Vec<UploadId> {
        self.open().waiting.get(&part).cloned().unwrap_or_default()
    }

    /// Says whether a task has to begin looking after the final upload: it is open, and none does.
    fn begin(&self, id: UploadId) -> bool {
        let mut open = self.open();
        let Some(join) = open.finals.get_mut(&id) else { return false };
        join.again = join.running;
        !std::mem::replace(&mut join.running, true)
    }

    /// Says whether the task has to look again; otherwise it is over.
    fn go_on(&self, id: UploadId) -> bool {
        let mut open = self.open();
        let Some(join) = open.finals.get_mut(&id) else { return false };
        join.running = std::mem::take(&mut join.again);
        join.running
    }
}

/// What the parts of a final upload come to.
struct Sum {
    /// What is known of the length; less than it will be while a part's length isn't known.
    bytes: ByteCount,
    /// All lengths are known.
    is_known: bool,
    /// All bytes are here.
    is_complete: bool,
}

impl Sum {
    fn of(parts: &[UploadRecord]) -> Self {
        let lengths = parts.iter().map(|part| part.length.unwrap_or_default().0);
        Self {
            bytes: ByteCount(lengths.fold(0, u64::saturating_add)),
            is_known: parts.iter().all(|part| part.length.is_some()),
            is_complete: parts.iter().all(|part| part.length == Some(end_of(part))),
        }
    }
}

/// Says whether parts are few enough for the film to be worked on before they are joined.
fn is_queued_early(parts: &[UploadRecord]) -> bool {
    let distinct: HashSet<UploadId> = parts.iter().map(|part| part.id).collect();
    distinct.len() <= SOURCE_FILES_MAX
}

fn end_of(part: &UploadRecord) -> ByteCount {
    ByteCount(part.received.end().0)
}

fn is_confirmed(part: &UploadRecord) -> bool {
    part.received.durable.contiguous_end() == part.received.end()
}

impl Uploads {
    /// Begins an upload that is a part of others and becomes no video by itself.
    ///
    /// # Errors
    /// As [`Uploads::create`].
    /// # Durability
    /// As [`Uploads::create`].
    /// # Cancel
    /// As [`Uploads::create`].
    pub async fn create_part(&self, new: NewUpload) -> Result<UploadRecord, UploadError> {
        self.check_size(&new)?;
        self.run(|engine| engine.create_as(new, Some(Concat::Partial), None)).await
    }

    /// Begins the upload that `parts` make in this order, and the video that it becomes. Its
    /// length is the sum of theirs, not `new`'s. Returns at once; as soon as all parts are
    /// complete, the video is queued and the bytes are joined in the background.
    ///
    /// # Errors
    /// `PartMissing`, also for one of another owner; `PartUnfit` for an upload that isn't a part;
    /// `MaxSize`, `NoSpace`, `Stopping`.
    /// # Durability
    /// The upload survives a power cut when this returns, and its parts stay until it is joined
    /// or given up.
    /// # Cancel
    /// As [`Uploads::create`].
    pub async fn create_final(
        &self,
        new: NewUpload,
        header: String,
        parts: Vec<UploadId>,
    ) -> Result<UploadRecord, UploadError> {
        self.run(|engine| engine.create_final(new, header, parts)).await
    }
}

impl Engine {
    async fn create_final(
        self: Arc<Self>,
        mut new: NewUpload,
        header: String,
        parts: Vec<UploadId>,
    ) -> Result<UploadRecord, UploadError> {
        let owner = new.owner.clone();
        let max = new.pass.bounds.size_within(self.limits.max_size);
        let sum = self.sum_within(max, &parts, &owner)?;
        if let Some(grant) = new.pass.grant
            && self.parts(&parts, &owner)?.iter().any(|part| part.grant != Some(grant))
        {
            // Others of its owner's are none of its business.
            return Err(UploadError::PartMissing);
        }
        let distinct: HashSet<&UploadId> = parts.iter().collect();
        let is_bounded = self.limits.admission.quota_per_user.is_some();
        if is_bounded && !sum.is_known && distinct.len() < parts.len() {
            // Its owner would be let in with less than it comes to.
            return Err(UploadError::PartUnfit);
        }
        new.length = sum.is_known.then_some(sum.bytes);
        let concat = Concat::Final { header, parts: parts.clone() };
        let permitted = self.permit(new, Some(concat), None).await?;
        // Taken only now: who has to be asked may take long, and holds up nobody else.
        let gate = self.joins.gate.lock().await;
        if let Err(changed) = self.sum_within(max, &parts, &owner) {
            self.state.withdraw(permitted.upload.id);
            return Err(changed);
        }
        let upload = self.clone().create(permitted).await?;
        let first = parts.first().copied();
        self.joins.add(upload.id, parts);
        drop(gate);
        self.join_later(upload.id);
        if let Some(first) = first {
            // Something of them may be here already.
            self.part_arrived(first, &Ranges::default());
        }
        Ok(upload)
    }

    /// Adds up the parts that a final upload of `owner` names, if that isn't too much.
    fn sum_within(
        &self,
        max: ByteCount,
        parts: &[UploadId],
        owner: &Owner,
    ) -> Result<Sum, UploadError> {
        let sum = Sum::of(&self.parts(parts, owner)?);
        match sum.bytes > max {
            true => Err(UploadError::MaxSize { max }),
            false => Ok(sum),
        }
    }

    /// Reads the parts that a final upload of `owner` names.
    pub(super) fn parts(
        &self,
        ids: &[UploadId],
        owner: &Owner,
    ) -> Result<Vec<UploadRecord>, UploadError> {
        let part = |&id: &UploadId| match self.known(id) {
            Ok(part) if part.owner != *owner => Err(UploadError::PartMissing),
            Ok(part) if part.concat != Some(Concat::Partial) => Err(UploadError::PartUnfit),
            Err(error) if error.is_over() => Err(UploadError::PartMissing),
            other => other,
        };
        ids.iter().map(part).collect()
    }

    /// Keeps final uploads from naming a part that is about to be ended.
    ///
    /// # Errors
    /// `PartNeeded` if one that isn't joined yet has named it.
    pub(super) async fn hold_part(
        &self,
        record: &UploadRecord,
    ) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, UploadError> {
        if record.concat != Some(Concat::Partial) {
            return Ok(None);
        }
        let gate = self.joins.gate.lock().await;
        match self.needs(record.id) {
            true => Err(UploadError::PartNeeded),
            false => Ok(Some(gate)),
        }
    }

    /// Says whether time may take an upload away: no part that is needed, and no final upload
    /// while somebody still goes on with one of its parts, or all of them are here.
    pub(super) fn may_expire(&self, record: &UploadRecord) -> bool {
        let Some(Concat::Final { parts, .. }) = &record.concat else {
            return !self.needs(record.id);
        };
        let Ok(parts) = self.parts(parts, &record.owner) else { return !self.is_queued(record) };
        let now = self.clock.now();
        let is_idle = |part: &UploadRecord| part.expires_at <= now && !self.turns.is_taken(part.id);
        !Sum::of(&parts).is_complete && parts.iter().all(is_idle)
    }

    /// Says whether a final upload's video was queued, and may have been published.
    pub(super) fn is_queued(&self, record: &UploadRecord) -> bool {
        match record.video.map(|video| self.state.video(video)) {
            Some(Ok(video)) => video.is_some_and(|video| video.state != VideoState::Uploading),
            Some(Err(_)) => true,
            None => false,
        }
    }

    /// Says whether a final upload that isn't joined yet needs the part. The record decides: it
    /// is seen as finished a moment before the task that joined it is done.
    fn needs(&self, part: UploadId) -> bool {
        let is_open = |id: UploadId| match self.state.upload(id) {
            Ok(Some(record)) => record.state.is_under_way(),
            Ok(None) => false,
            Err(_) => true,
        };
        self.joins.waiting_for(part).into_iter().any(is_open)
    }

    /// Goes on with the final uploads that wait for this part, all of whose bytes are here.
    pub(super) fn part_complete(self: &Arc<Self>, part: UploadId) {
        for id in self.joins.waiting_for(part) {
            self.join_later(id);
        }
    }

    /// Takes up the final uploads among `records`, at the start.
    pub(super) fn take_up_joins(self: &Arc<Self>, records: Vec<UploadRecord>) {
        for record in records.into_iter().filter(|record| !record.state.is_gone()) {
            if let Some(Concat::Final { parts, .. }) = record.concat {
                self.joins.add(record.id, parts);
            }
        }
        self.join_all_later();
    }

    /// Looks after every final upload that isn't joined yet: also what ended in an error, such
    /// as a full disk, is tried again by this.
    pub(super) fn join_all_later(self: &Arc<Self>) {
        let ids: Vec<UploadId> = self.joins.open().finals.keys().copied().collect();
        for id in ids {
            self.join_later(id);
        }
    }

    pub(super) fn join_later(self: &Arc<Self>, id: UploadId) {
        if self.joins.begin(id) {
            self.tasks.spawn(self.clone().join_rounds(id));
        }
    }

    async fn join_rounds(self: Arc<Self>, id: UploadId) {
        loop {
            match self.join(id).await {
                Ok(true) => self.joins.forget(id),
                Err(error) if error.is_over() => {
                    self.joins.forget(id);
                    self.forget_along(id);
                }
                Ok(false) | Err(UploadError::Stopping { .. } | UploadError::Taken { .. }) => (),
                // It is asked again with the next look.
                Err(UploadError::HookUnavailable) => (),
                Err(failed) => warn!(upload.id = %id, "upload {id} isn't joined yet: {failed}"),
            }
            if !self.joins.go_on(id) {
                return;
            }
        }
    }

    /// Joins a final upload's parts if all of them are complete; says whether there is nothing
    /// left to do.
    async fn join(self: &Arc<Self>, id: UploadId) -> Result<bool, UploadError> {
        let record = self.known(id)?;
        let Some(Concat::Final { parts, .. }) = &record.concat else { return Ok(true) };
        let parts = match (record.state, self.parts(parts, &record.owner)) {
            (UploadState::Finished, _) => return Ok(true),
            (UploadState::Finishing, _) => {
                let turn = self.turn(id).await?;
                return self.finish(&turn, self.known(id)?, None).await.map(|_| true);
            }
            (_, Ok(parts)) => Some(parts),
            (_, Err(UploadError::PartMissing | UploadError::PartUnfit)) => None,
            (_, Err(failed)) => return Err(failed),
        };
        let sum = parts.as_deref().map(Sum::of);
        // A length that is recorded was let in once, whatever may be let in today.
        let is_let_in = |sum: &Sum| record.length.is_some() || sum.bytes <= self.max_size(&record);
        if sum.as_ref().is_some_and(|sum| !sum.is_complete && is_let_in(sum)) {
            return Ok(false);
        }
        let turn = self.turn(id).await?;
        match (parts, sum) {
            (Some(parts), Some(sum)) if is_let_in(&sum) => {
                self.join_complete(&turn, id, parts, sum.bytes).await?;
            }
            // What was published stays; only its owner may give it up.
            (None, _) if self.is_queued(&record) => return Err(UploadError::PartMissing),
            // A part of it was lost, or one has told only later that it is too long.
            _ => {
                warn!(upload.id = %id, "upload {id} can't be joined and is given up");
                self.end(&turn, &self.known(id)?, UploadState::Aborted).await?;
            }
        }
        Ok(true)
    }

    async fn join_complete(
        self: &Arc<Self>,
        turn: &Turn,
        id: UploadId,
        parts: Vec<UploadRecord>,
        length: ByteCount,
    ) -> Result<(), UploadError> {
        let mut record = self.state.lease_upload(id).await?;
        if is_queued_early(&parts) {
            self.consent_to_finish(turn, &record, length).await?;
        }
        if self.queue_early(&record, &parts).await? {
            record.length = Some(length);
        } else if record.length.is_none() {
            self.state.declare_length(id, record.epoch, length).await?;
            record.length = Some(length);
        }
        let (at, until) = (record.received.end(), ByteOffset(length.0));
        let opened = self.clone().blocking(move |engine| {
            fail_at(FailAt::BeforeJoin);
            if !engine.room.admit(id, at, until, engine.disk.free_space()?) {
                return Err(DiskError::NoSpace);
            }
            engine.disk.open_blob(id).map(Arc::new)
        });
        let blob = opened.await?;
        let mut start = 0u64;
        for part in parts {
            let end = start.saturating_add(end_of(&part).0);
            while record.received.end().0 < end {
                self.join_piece(turn, &mut record, &blob, (part.id, start, end)).await?;
            }
            start = end;
        }
        if record.received.end() != until {
            return Err(UploadError::Internal(Fault::Bug("joined parts of another length")));
        }
        info!(upload.id = %id, size_bytes = length.0, "upload {id} joined");
        self.finish(turn, record, Some(blob)).await.map(drop)
    }

    /// Queues the video before its parts are joined, unless they are too many to be read as they
    /// are; says whether it is queued.
    async fn queue_early(
        self: &Arc<Self>,
        record: &UploadRecord,
        parts: &[UploadRecord],
    ) -> Result<bool, UploadError> {
        let (Some(video), true) = (record.video, is_queued_early(parts)) else {
            return Ok(false);
        };
        let distinct: HashMap<UploadId, &UploadRecord> =
            parts.iter().map(|part| (part.id, part)).collect();
        // A kill may have come between a part's last byte and its confirmation. The original
        // would be confirmed anyway; what the job makes of the parts must not outlive them.
        for part in distinct.into_values().filter(|part| !is_confirmed(part)) {
            let id = part.id;
            let synced =
                self.clone().blocking(move |engine| engine.disk.open_blob(id)?.sync_data());
            synced.await?;
            self.note_confirmed(id, Ranges::up_to(ByteOffset(end_of(part).0))).await?;
        }
        let now = self.clock.now();
        let job = JobRecord::new(JobId::fresh(now), video, record.owner.clone(), now);
        match self.state.queue_final(record.id, record.epoch, job, now).await {
            Ok((_, false)) => Ok(true),
            Ok((VideoRecord { size, .. }, true)) => {
                info!(upload.id = %record.id, video.id = %video,
                    "the parts of upload {} are here, video {video} is queued", record.id);
                self.finish_along(record.id, size);
                self.tell(EventKind::VideoState, record, EventBody::Video);
                self.hub.publish(Event::of_queue(now));
                self.bell.notify_one();
                Ok(true)
            }
            // The confirmation was overtaken by a request on the part: the join queues it, then.
            Err(StateError::Conflict(Conflict::Length)) => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Joins some more of the part that goes from `start` to `end`, and records it.
    async fn join_piece(
        self: &Arc<Self>,
        turn: &Turn,
        record: &mut UploadRecord,
        blob: &Arc<Blob>,
        (part, start, end): (UploadId, u64, u64),
    ) -> Result<(), UploadError> {
        let at = record.received.end();
        if turn.token().is_cancelled() {
            return Err(self.let_go(at));
        }
        let (blob, count) = (blob.clone(), ByteCount(PIECE_BYTES.min(end - at.0)));
        let copied = self.clone().blocking(move |engine| {
            if !engine.room.is_whole(engine.disk.free_space()?) {
                return Err(DiskError::NoSpace);
            }
            let source = engine.disk.open_blob(part)?;
            blob.copy_from(at, &source, ByteOffset(at.0 - start), count)?;
            fail_at(FailAt::InMidJoin);
            Ok(())
        });
        copied.await?;
        let (now, written) = (self.clock.now(), Ranges::up_to(ByteOffset(at.0 + count.0)));
        let expires_at = self.expires_at(now, count);
        let (id, epoch) = (record.id, record.epoch);
        let noted =
            self.state.note_written(id, epoch, &self.boot, written.clone(), now, expires_at);
        noted.await?;
        record.received.written = written;
        self.room.cover(id, record.received.end());
        Ok(())
    }
}
