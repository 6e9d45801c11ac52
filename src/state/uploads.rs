//! Transactions on uploads: created, leased, noted, finished or given up.

use super::error::{Conflict, StateError};
use super::growing;
use super::outbox::about;
use super::record::{JobRecord, UploadRecord, VideoRecord};
use super::usage::{Move, Weight};
use super::view::View;
use super::writer::Promise;
use super::{State, access, grants, jobs, keys, live, parts, videos};
use crate::ids::{Epoch, UploadId};
use crate::model::consent::Objection;
use crate::model::hook::{HookEvent, Whereabouts};
use crate::model::upload::{Concat, Received, UploadState};
use crate::model::video::VideoState;
use crate::units::{ByteCount, ByteOffset, Ranges, UnixMillis};

/// Why an upload that was begun isn't taken after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// Its first bytes are those of a file of this media type.
    Kind(String),
    /// A hook doesn't want it.
    Hook(Objection),
}

impl State {
    /// Records a new upload, and the video that it becomes.
    ///
    /// # Errors
    /// `Conflict` with `Exists`, `Spent`, `Grant` or `Erased`; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn create_upload(
        &self,
        upload: UploadRecord,
        video: Option<VideoRecord>,
    ) -> Result<(), StateError> {
        let closed = self.closed().clone();
        self.call(Promise::Synced, move |view| {
            closed.check(&upload.owner)?;
            if view.bytes(&keys::upload(upload.id))?.is_some() {
                return Err(StateError::Conflict(Conflict::Exists));
            }
            if let Some(video) = &video {
                videos::put_new(view, video)?;
            }
            access::count_begun(view, &upload)?;
            grants::bind(view, &upload)?;
            put(view, &upload)
        })
        .await
    }

    /// Records an upload that is finished from the beginning: the bytes are the original of
    /// `video`, which is queued, and `job` waits for a worker, all or nothing.
    ///
    /// # Errors
    /// `Conflict` with `Exists`, `Spent`, `Grant` or `Erased`; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced. The original must be certain before.
    pub async fn create_finished(
        &self,
        upload: UploadRecord,
        video: VideoRecord,
        job: JobRecord,
    ) -> Result<(), StateError> {
        let closed = self.closed().clone();
        self.call(Promise::Synced, move |view| {
            closed.check(&upload.owner)?;
            let is_there = view.bytes(&keys::upload(upload.id))?.is_some()
                || view.bytes(&keys::video(video.id))?.is_some();
            if is_there {
                return Err(StateError::Conflict(Conflict::Exists));
            }
            access::count_begun(view, &upload)?;
            grants::bind(view, &upload)?;
            videos::queue(view, video, Some(job))?;
            put(view, &upload)
        })
        .await
    }

    /// Takes the upload over: from now on only writes under the returned record's epoch count.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the state of an upload that takes no more bytes; `Failed`.
    /// # Durability
    /// Written.
    pub async fn lease_upload(&self, id: UploadId) -> Result<UploadRecord, StateError> {
        let leased = self.call(Promise::Written, move |view| {
            let mut upload = growing::get(view, id)?;
            if !upload.state.is_open() {
                return Err(StateError::Conflict(Conflict::Upload(upload.state)));
            }
            upload.epoch = upload.epoch.next();
            put(view, &upload)?;
            Ok(upload)
        });
        let leased = leased.await?;
        self.growing().forget(id);
        Ok(leased)
    }

    /// Records which bytes the kernel has been given since the machine's start `boot`.
    ///
    /// # Errors
    /// `Missing`; `Stale` under an older lease; `Conflict` with the state if it isn't partial;
    /// `TooLarge`, `Failed`.
    /// # Durability
    /// Written. The bytes themselves must have been given to the kernel before.
    pub async fn note_written(
        &self,
        id: UploadId,
        epoch: Epoch,
        boot: &str,
        written: Ranges,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<(), StateError> {
        let received = Received { boot: boot.to_owned(), written, ..Received::default() };
        self.note(id, epoch, received, now, expires_at).await
    }

    /// Records all of `received` but what is durable.
    pub(super) async fn note(
        &self,
        id: UploadId,
        epoch: Epoch,
        received: Received,
        now: UnixMillis,
        expires_at: UnixMillis,
    ) -> Result<(), StateError> {
        let noted = self.call(Promise::Written, move |view| {
            let mut upload = open(view, id, epoch)?;
            upload.received = Received { durable: upload.received.durable, ..received };
            upload.changed_at = now;
            upload.expires_at = expires_at;
            put(view, &upload)
        });
        noted.await?;
        self.growing().forget(id);
        Ok(())
    }

    /// Adds bytes that the disk has confirmed. Under one lease they only grow, so that
    /// confirmations may arrive in any order.
    ///
    /// # Errors
    /// As [`State::note_written`]; an upload that is finishing still takes it.
    /// # Durability
    /// Synced. The bytes themselves must have been confirmed before.
    pub async fn note_durable(
        &self,
        id: UploadId,
        epoch: Epoch,
        durable: Ranges,
    ) -> Result<(), StateError> {
        let noted = self.call(Promise::Synced, move |view| {
            let mut upload = held(view, id, epoch)?;
            if !upload.state.is_under_way() {
                return Err(StateError::Conflict(Conflict::Upload(upload.state)));
            }
            for &(start, end) in durable.as_slice() {
                upload.received.durable.insert(ByteOffset(start), ByteOffset(end));
            }
            put(view, &upload)?;
            Ok(upload.received.end())
        });
        let recorded = noted.await?;
        self.growing().recorded(id, recorded);
        Ok(())
    }

    /// Fixes the size of an upload that began without one. Repeating the same size is fine.
    ///
    /// # Errors
    /// As [`State::note_written`]; `Conflict(Length)` if another size was declared.
    /// # Durability
    /// Synced.
    pub async fn declare_length(
        &self,
        id: UploadId,
        epoch: Epoch,
        length: ByteCount,
    ) -> Result<(), StateError> {
        self.call(Promise::Synced, move |view| {
            let mut upload = open(view, id, epoch)?;
            fix_length(&mut upload, length)?;
            if let Some(video) = upload.video {
                let mut video = videos::get(view, video)?;
                video.size = length;
                videos::put(view, &video)?;
            }
            put(view, &upload)
        })
        .await
    }

    /// Queues the video of an upload that is made of parts, before they are joined: all of them
    /// are complete and confirmed, so whatever happens to the joining, nothing of it can be lost.
    /// The upload's length is their sum from now on. A job that works on them already goes on as
    /// the video's, instead of `job`. Does nothing for a video that was queued. Returns the video
    /// and whether it was queued by this.
    ///
    /// # Errors
    /// `Missing`; `Stale` under an older lease; `Conflict` with the state if it isn't partial, or
    /// with `Length` if a part lacks confirmed bytes or another length was known; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn queue_final(
        &self,
        id: UploadId,
        epoch: Epoch,
        job: JobRecord,
        now: UnixMillis,
    ) -> Result<(VideoRecord, bool), StateError> {
        self.call(Promise::Synced, move |view| {
            let mut upload = open(view, id, epoch)?;
            let (Some(video), Some(Concat::Final { parts, .. })) = (upload.video, &upload.concat)
            else {
                return Err(StateError::Missing);
            };
            let length = sum_of(view, parts)?;
            fix_length(&mut upload, length)?;
            let mut video = videos::get(view, video)?;
            if video.state != VideoState::Uploading {
                return Ok((video, false));
            }
            video.size = length;
            put(view, &upload)?;
            Ok((live::hand_over(view, video, Some(job), now)?, true))
        })
        .await
    }

    /// Records the SHA-256 of the whole file, in lower-case hex: what it has to be, or what was
    /// found when it was read. Returns the upload as it is then; its video is told at the finish.
    ///
    /// # Errors
    /// `Missing`; `Stale` under an older lease; `Conflict` with the state if it isn't partial;
    /// `Failed`.
    /// # Durability
    /// Synced.
    pub async fn note_sum(
        &self,
        id: UploadId,
        epoch: Epoch,
        sha256: String,
    ) -> Result<UploadRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut upload = open(view, id, epoch)?;
            upload.sha256 = Some(sha256);
            put(view, &upload)?;
            Ok(upload)
        })
        .await
    }

    /// Says that all `size` bytes are with the kernel and that the blob is about to leave the
    /// uploads' directory. Repeating it is fine.
    ///
    /// # Errors
    /// `Missing`; `Stale` under an older lease; `Conflict` with the state, or with `Length` if
    /// another size was declared; `Failed`.
    /// # Durability
    /// Synced: a start after a power cut knows that the blob may be in either place.
    pub async fn begin_finish(
        &self,
        id: UploadId,
        epoch: Epoch,
        size: ByteCount,
    ) -> Result<(), StateError> {
        self.call(Promise::Synced, move |view| {
            let mut upload = held(view, id, epoch)?;
            fix_length(&mut upload, size)?;
            if upload.state != UploadState::Finishing {
                step(&mut upload, UploadState::Finishing)?;
            }
            put(view, &upload)
        })
        .await
    }

    /// Records that the bytes are the original of the video now: the upload is finished, the
    /// video is queued, and `job` waits for a worker, all or nothing. A video that was queued
    /// before its parts were joined goes on as it is, without `job`. Repeating it under the same
    /// lease changes nothing.
    ///
    /// # Errors
    /// As [`State::begin_finish`].
    /// # Durability
    /// Synced. The original must be certain before.
    pub async fn finish_upload(
        &self,
        id: UploadId,
        epoch: Epoch,
        now: UnixMillis,
        size: ByteCount,
        job: Option<JobRecord>,
    ) -> Result<(), StateError> {
        let finished = self.call(Promise::Synced, move |view| {
            let mut upload = held(view, id, epoch)?;
            fix_length(&mut upload, size)?;
            match upload.state {
                UploadState::Finished => return Ok(()),
                UploadState::Partial => step(&mut upload, UploadState::Finishing)?,
                _ => {}
            }
            step(&mut upload, UploadState::Finished)?;
            let all = Ranges::up_to(ByteOffset(size.0));
            upload.received.written = all.clone();
            upload.received.durable = all;
            upload.received.grows = false;
            upload.changed_at = now;
            upload.ended_at = Some(now);
            if let Some(video) = upload.video {
                let mut video = videos::get(view, video)?;
                video.size = size;
                video.uploaded_at = Some(now);
                video.sha256 = upload.whole_sha256().map(str::to_owned);
                match video.state {
                    VideoState::Uploading => live::hand_over(view, video, job, now).map(drop)?,
                    _ => videos::put(view, &video)?,
                }
            }
            parts::forget(view, &upload)?;
            put(view, &upload)
        });
        finished.await?;
        self.growing().forget(id);
        Ok(())
    }

    /// Gives an upload up: `Expired` if nobody went on by `expires_at`, or `Aborted` by its
    /// owner. Its record stays, so that clients are told; a running writer's lease ends. Returns
    /// the video that was forgotten with it, its job cancelled if there was one; aborting a
    /// finished upload keeps the video. Doing it again changes nothing.
    ///
    /// # Errors
    /// `Missing`; `Conflict(NotDue)` for one that was continued meanwhile; `Conflict` with the
    /// state if it can't be given up; `Failed`.
    /// # Durability
    /// Synced: the bytes may be removed now.
    pub async fn end_upload(
        &self,
        id: UploadId,
        to: UploadState,
        now: UnixMillis,
    ) -> Result<Option<VideoRecord>, StateError> {
        let ended = self.call(Promise::Synced, move |view| {
            let upload = growing::get(view, id)?;
            give_up(view, upload, to, now)
        });
        let forgotten = ended.await?;
        self.growing().forget(id);
        Ok(forgotten)
    }

    /// As [`State::end_upload`], to `Aborted`, on these grounds; whoever asks later is told so.
    ///
    /// # Errors
    /// As [`State::end_upload`].
    /// # Durability
    /// Synced: the bytes may be removed now.
    pub async fn refuse_upload(
        &self,
        id: UploadId,
        grounds: Grounds,
        now: UnixMillis,
    ) -> Result<Option<VideoRecord>, StateError> {
        let ended = self.call(Promise::Synced, move |view| {
            let mut upload = growing::get(view, id)?;
            match grounds {
                Grounds::Kind(kind) => upload.stranger = Some(kind),
                Grounds::Hook(objection) => upload.objection = Some(objection),
            }
            give_up(view, upload, UploadState::Aborted, now)
        });
        let forgotten = ended.await?;
        self.growing().forget(id);
        Ok(forgotten)
    }

    /// Drops the record of an upload that has ended, however; nothing being there is fine.
    ///
    /// # Errors
    /// `Conflict` with the state of one that hasn't ended; `Failed`.
    /// # Durability
    /// Written.
    pub async fn forget_upload(&self, id: UploadId) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let Some(upload) = growing::find(view, id)? else {
                return Ok(());
            };
            match (upload.state, upload.video) {
                (UploadState::Partial | UploadState::Finishing, _) => {
                    return Err(StateError::Conflict(Conflict::Upload(upload.state)));
                }
                (UploadState::Finished, Some(video)) => videos::forget_upload_of(view, video)?,
                _ => {}
            }
            remove(view, id);
            Ok(())
        })
        .await
    }

    /// At the start, lowers the claims on an upload to `believed`, what its file really holds
    /// under the boot id `boot`. It takes bytes again afterwards, under a new lease.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the state of one that has ended; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn lower_upload(
        &self,
        id: UploadId,
        boot: &str,
        believed: Ranges,
    ) -> Result<UploadRecord, StateError> {
        let boot = boot.to_owned();
        let lowered = self.call(Promise::Synced, move |view| {
            let mut upload = growing::get(view, id)?;
            if upload.state != UploadState::Partial {
                step(&mut upload, UploadState::Partial)?;
            }
            let believed = parts::believe(view, &upload, believed)?;
            let durable = upload.received.durable.overlap(&believed);
            upload.received = Received { boot, written: believed, durable, grows: false };
            upload.epoch = upload.epoch.next();
            put(view, &upload)?;
            Ok(upload)
        });
        let lowered = lowered.await?;
        self.growing().forget(id);
        Ok(lowered)
    }

    /// Reads an upload.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, StateError> {
        growing::find(&self.view(), id)
    }

    /// Reads all uploads, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn uploads(&self) -> Result<Vec<UploadRecord>, StateError> {
        let records = self.scan(keys::UPLOADS)?;
        Ok(records.into_iter().map(|record| self.growing().onto(record)).collect())
    }

    /// Reads at most `limit` uploads older than `before` that `keep` wants, the newest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn newest_uploads(
        &self,
        before: Option<UploadId>,
        limit: usize,
        keep: &dyn Fn(&UploadRecord) -> bool,
    ) -> Result<Vec<UploadRecord>, StateError> {
        let end = before.map_or_else(|| keys::behind(keys::UPLOADS), keys::upload);
        let records = self.newest(keys::UPLOADS, &end, limit, keep)?;
        Ok(records.into_iter().map(|record| self.growing().onto(record)).collect())
    }

    /// Reads the uploads that aren't finished, given-up ones with them, the oldest first: all
    /// that expiry and recovery care for, however many have finished.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn unfinished_uploads(&self) -> Result<Vec<UploadRecord>, StateError> {
        let view = self.view();
        let mut uploads = Vec::new();
        for key in view.keys(keys::UNFINISHED)? {
            let id = key.strip_prefix(keys::UNFINISHED).unwrap_or_default();
            // The index may be a moment older than the record.
            let record = view.find(&[keys::UPLOADS, id].concat())?;
            uploads.extend(record.map(|record| self.growing().onto(record)));
        }
        Ok(uploads)
    }
}

/// Writes a record and its index entry.
pub(super) fn put(view: &mut View<'_>, upload: &UploadRecord) -> Result<(), StateError> {
    let index = keys::unfinished(upload.id);
    if upload.state == UploadState::Finished {
        view.remove(index);
    } else {
        view.put_bytes(index, Vec::new());
    }
    view.count(Move::Upload(upload.id, Weight::of(upload)));
    view.put(keys::upload(upload.id), upload)
}

/// Removes a record and its index entry.
pub(super) fn remove(view: &mut View<'_>, id: UploadId) {
    view.remove(keys::upload(id));
    view.remove(keys::unfinished(id));
    view.count(Move::Upload(id, None));
}

/// Reads an upload for a writer under the lease `epoch`.
pub(super) fn held(
    view: &View<'_>,
    id: UploadId,
    epoch: Epoch,
) -> Result<UploadRecord, StateError> {
    let upload = growing::get(view, id)?;
    if upload.epoch == epoch { Ok(upload) } else { Err(StateError::Stale) }
}

/// Reads an upload that takes bytes under the lease `epoch`.
fn open(view: &View<'_>, id: UploadId, epoch: Epoch) -> Result<UploadRecord, StateError> {
    let upload = held(view, id, epoch)?;
    if upload.state.is_open() {
        Ok(upload)
    } else {
        Err(StateError::Conflict(Conflict::Upload(upload.state)))
    }
}

/// Adds up the parts of a final upload, all of which have to be complete and confirmed.
fn sum_of(view: &View<'_>, parts: &[UploadId]) -> Result<ByteCount, StateError> {
    let mut sum = 0_u64;
    for &part in parts {
        let part = growing::get(view, part)?;
        let confirmed = ByteCount(part.received.durable.contiguous_end().0);
        if part.state.is_gone() || part.length != Some(confirmed) {
            return Err(StateError::Conflict(Conflict::Length));
        }
        sum = sum.saturating_add(confirmed.0);
    }
    Ok(ByteCount(sum))
}

fn step(upload: &mut UploadRecord, to: UploadState) -> Result<(), StateError> {
    if !upload.state.may_become(to) {
        return Err(StateError::Conflict(Conflict::Upload(upload.state)));
    }
    upload.state = to;
    Ok(())
}

fn fix_length(upload: &mut UploadRecord, length: ByteCount) -> Result<(), StateError> {
    match upload.length {
        Some(declared) if declared != length => Err(StateError::Conflict(Conflict::Length)),
        _ => {
            upload.length = Some(length);
            Ok(())
        }
    }
}

/// Ends every lease on an upload whose bytes are gone.
fn end(upload: &mut UploadRecord, now: UnixMillis) {
    upload.epoch = upload.epoch.next();
    upload.received = Received::default();
    upload.changed_at = now;
    upload.ended_at = Some(now);
}

/// Ends the upload of a video that is deleted. It is remembered as aborted for a while: its client
/// is told 410, and a start that finds bytes of the video knows that they are to go.
pub(super) fn end_of_deleted(
    view: &mut View<'_>,
    id: UploadId,
    now: UnixMillis,
) -> Result<(), StateError> {
    let Some(mut upload) = growing::find(view, id)? else { return Ok(()) };
    match upload.state {
        UploadState::Finished | UploadState::Partial | UploadState::Finishing => {
            step(&mut upload, UploadState::Aborted)?;
            end(&mut upload, now);
            parts::forget(view, &upload)?;
            put(view, &upload)?;
        }
        UploadState::Expired | UploadState::Aborted => {}
    }
    Ok(())
}

/// Ends an upload, and forgets the video of one that hasn't finished; returns that.
fn give_up(
    view: &mut View<'_>,
    mut upload: UploadRecord,
    to: UploadState,
    now: UnixMillis,
) -> Result<Option<VideoRecord>, StateError> {
    if upload.state == to && to.is_gone() {
        return Ok(None);
    }
    if to == UploadState::Expired && now < upload.expires_at {
        return Err(StateError::Conflict(Conflict::NotDue));
    }
    let finished = upload.state == UploadState::Finished;
    if !to.is_gone() {
        return Err(StateError::Conflict(Conflict::Upload(upload.state)));
    }
    step(&mut upload, to)?;
    end(&mut upload, now);
    parts::forget(view, &upload)?;
    put(view, &upload)?;
    let Some(video) = upload.video else { return Ok(None) };
    if finished {
        videos::forget_upload_of(view, video)?;
        return Ok(None);
    }
    grants::give_back(view, &upload)?;
    let forgotten = view.find::<VideoRecord>(&keys::video(video))?;
    if let (UploadState::Expired, Some(video)) = (to, &forgotten) {
        view.tell(HookEvent::UploadExpired, about(video, Whereabouts::Deleted));
    }
    if let Some(job) = forgotten.as_ref().and_then(|video| video.job) {
        jobs::cancel_open(view, job, now)?;
    }
    videos::remove(view, video)?;
    Ok(forgotten)
}

/// Has the upload of a video go by the video's file name and session, if it is still known.
pub(super) fn name_as(
    view: &mut View<'_>,
    id: UploadId,
    video: &VideoRecord,
) -> Result<(), StateError> {
    let Some(mut upload) = growing::find(view, id)? else { return Ok(()) };
    upload.filename.clone_from(&video.filename);
    upload.session.clone_from(&video.session);
    put(view, &upload)
}
