//! Transactions on the trash: videos that were deleted and can be brought back for a while.
//!
//! Their records lie under keys of their own, so that whoever looks for a video finds none: work
//! on it is stale, players are refused, lists leave it out. Its bytes still count for its owner.

use super::error::{Conflict, StateError};
use super::jobs::settle;
use super::outbox::about;
use super::record::{JobRecord, TrashRecord, VideoRecord};
use super::usage::{self, Move};
use super::view::View;
use super::writer::Promise;
use super::{State, jobs, keys, line, uploads};
use crate::ids::VideoId;
use crate::model::hook::{HookEvent, Whereabouts};
use crate::model::rendition::RenditionState;
use crate::model::video::VideoState;
use crate::units::UnixMillis;

impl State {
    /// Moves a video into the trash, from which it can be restored before `until`: cancels its
    /// jobs and forgets its upload. A worker that goes on is stale. Returns what it was.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the state of a video whose bytes aren't all in one file yet:
    /// there is nothing to restore; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced: the bytes may be moved now.
    pub async fn trash_video(
        &self,
        id: VideoId,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let video: VideoRecord = view.get(&keys::video(id))?;
            if video.uploaded_at.is_none() {
                return Err(StateError::Conflict(Conflict::Video(video.state)));
            }
            throw(view, video, now, until)
        })
        .await
    }

    /// Puts a video into the trash that only its files there knew.
    ///
    /// # Errors
    /// `Conflict(Exists)`, `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn adopt_trash(&self, trashed: TrashRecord) -> Result<(), StateError> {
        self.call(Promise::Synced, move |view| {
            let id = trashed.video.id;
            if view.bytes(&keys::video(id))?.is_some() || view.bytes(&keys::trash(id))?.is_some() {
                return Err(StateError::Conflict(Conflict::Exists));
            }
            view.count(usage::arrived(&trashed.video));
            let trashed = TrashRecord { video: resting(trashed.video), ..trashed };
            put(view, &trashed)
        })
        .await
    }

    /// Takes a video out of the trash, as it was; work on it that wasn't done is queued again, as
    /// `job`.
    ///
    /// # Errors
    /// `Missing` if the trash doesn't hold it; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced. The bytes have to be back before.
    pub async fn restore_video(
        &self,
        id: VideoId,
        job: JobRecord,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let TrashRecord { mut video, until, .. } = view.get(&keys::trash(id))?;
            forget(view, id, until);
            if video.state == VideoState::Queued {
                line::put_new(view, &job)?;
                video.job = Some(job.id);
            }
            view.tell(HookEvent::VideoState, about(&video, Whereabouts::Here));
            view.put(keys::video(id), &video)?;
            Ok(video)
        })
        .await
    }

    /// Forgets a video in the trash for good; with `due`, only if it was to be kept until then at
    /// most. Returns it, or `None` if that isn't so.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: the bytes may be removed now.
    pub async fn purge_video(
        &self,
        id: VideoId,
        due: Option<UnixMillis>,
    ) -> Result<Option<VideoRecord>, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(trashed) = view.find::<TrashRecord>(&keys::trash(id))? else {
                return Ok(None);
            };
            if due.is_some_and(|due| trashed.until > due) {
                return Ok(None);
            }
            forget(view, id, trashed.until);
            let (owner, before) = (trashed.video.owner.clone(), usage::original(&trashed.video));
            view.count(Move::Original { owner, before, after: 0 });
            view.tell(HookEvent::VideoState, about(&trashed.video, Whereabouts::Deleted));
            Ok(Some(trashed.video))
        })
        .await
    }

    /// Reads a video in the trash.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn trashed(&self, id: VideoId) -> Result<Option<TrashRecord>, StateError> {
        self.view().find(&keys::trash(id))
    }

    /// Reads at most `limit` videos in the trash that `keep` wants, the newest first, from before
    /// `before` on.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn all_trashed(
        &self,
        before: Option<VideoId>,
        limit: usize,
        keep: &dyn Fn(&TrashRecord) -> bool,
    ) -> Result<Vec<TrashRecord>, StateError> {
        let end = before.map_or_else(|| keys::behind(keys::TRASH), keys::trash);
        self.newest(keys::TRASH, &end, limit, keep)
    }

    /// Returns the videos in the trash whose time is over, at most `limit`, the longest due first.
    ///
    /// # Errors
    /// `Failed`.
    pub fn trash_due(&self, now: UnixMillis, limit: usize) -> Result<Vec<VideoId>, StateError> {
        let mut due = Vec::new();
        for key in self.inner.db.scan_prefix(keys::TRASH_UNTIL).keys().take(limit) {
            let key = key.map_err(super::view::failed)?;
            match keys::parse_trash_until(&key) {
                Some((until, video)) if until <= now => due.push(video),
                _ => break,
            }
        }
        Ok(due)
    }
}

/// Moves a video into the trash and returns what it was.
pub(super) fn throw(
    view: &mut View<'_>,
    video: VideoRecord,
    now: UnixMillis,
    until: UnixMillis,
) -> Result<VideoRecord, StateError> {
    end_work(view, &video, now)?;
    view.tell(HookEvent::VideoState, about(&video, Whereabouts::Trashed));
    view.remove(keys::video(video.id));
    put(view, &TrashRecord { video: resting(video.clone()), deleted_at: now, until })?;
    Ok(video)
}

/// Cancels all work on a video that is deleted, and ends its upload.
pub(super) fn end_work(
    view: &mut View<'_>,
    video: &VideoRecord,
    now: UnixMillis,
) -> Result<(), StateError> {
    for &job in video.job.iter().chain(&video.small_jobs) {
        jobs::cancel_open(view, job, now)?;
    }
    match video.upload {
        Some(upload) => uploads::end_of_deleted(view, upload, now),
        None => Ok(()),
    }
}

/// Makes a record one that nobody works on: what wasn't done waits to be queued again.
fn resting(mut video: VideoRecord) -> VideoRecord {
    video.upload = None;
    video.small_jobs.clear();
    if matches!(video.state, VideoState::Queued | VideoState::Processing) {
        video.state = VideoState::Queued;
        settle(&mut video, RenditionState::Pending);
    }
    video
}

fn put(view: &mut View<'_>, trashed: &TrashRecord) -> Result<(), StateError> {
    let id = trashed.video.id;
    view.put_bytes(keys::trash_until(trashed.until, id), Vec::new());
    view.put(keys::trash(id), trashed)
}

/// Removes a record of the trash and its index entry.
pub(super) fn forget(view: &mut View<'_>, id: VideoId, until: UnixMillis) {
    view.remove(keys::trash(id));
    view.remove(keys::trash_until(until, id));
}
