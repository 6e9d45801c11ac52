//! Transactions on videos: changed by people, deleted, rebuilt.

use super::error::{Conflict, StateError};
use super::record::{JobRecord, VideoRecord};
use super::usage::{self, Move};
use super::view::View;
use super::writer::Promise;
use super::{State, keys, line, outbox, trash, uploads};
use crate::ids::VideoId;
use crate::model::text::TextTrack;
use crate::model::video::VideoState;
use crate::model::words::VideoChange;
use crate::units::UnixMillis;

impl State {
    /// Reads a video.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn video(&self, id: VideoId) -> Result<Option<VideoRecord>, StateError> {
        self.view().find(&keys::video(id))
    }

    /// Reads at most `limit` videos that `keep` wants, the newest first, from before `before` on.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn videos(
        &self,
        before: Option<VideoId>,
        limit: usize,
        keep: &dyn Fn(&VideoRecord) -> bool,
    ) -> Result<Vec<VideoRecord>, StateError> {
        let end = before.map_or_else(|| keys::behind(keys::VIDEOS), keys::video);
        self.newest(keys::VIDEOS, &end, limit, keep)
    }

    /// Changes what people may change, and returns the video as it is then.
    ///
    /// # Errors
    /// `Missing`, `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn change_video(
        &self,
        id: VideoId,
        change: VideoChange,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = get(view, id)?;
            let of_upload = change.filename.is_some() || change.session.is_some();
            video.apply(change);
            if let (Some(upload), true) = (video.upload, of_upload) {
                uploads::name_as(view, upload, &video)?;
            }
            put(view, &video)?;
            Ok(video)
        })
        .await
    }

    /// Has all playback tokens that were made up to now not count for a video any more, and returns
    /// it as it is then.
    ///
    /// # Errors
    /// `Missing`, `Failed`.
    /// # Durability
    /// Synced: they don't count again.
    pub async fn revoke_playback(
        &self,
        id: VideoId,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = get(view, id)?;
            // A token may be dated behind the last one, where the clock has gone back since.
            let next = video.playback_revoked_at.map(|before| before.plus_ms(1));
            video.playback_revoked_at = next.max(Some(now));
            put(view, &video)?;
            Ok(video)
        })
        .await
    }

    /// Adds a text track, in the stead of the added one with its name, and returns the video as it
    /// is then.
    ///
    /// # Errors
    /// `Missing`, `TooLarge`, `Failed`.
    /// # Durability
    /// Synced. The track's file has to be certain before.
    pub async fn put_caption(
        &self,
        id: VideoId,
        track: TextTrack,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = get(view, id)?;
            let name = track.name();
            match video.captions.iter_mut().find(|known| known.name() == name) {
                Some(known) => *known = track,
                None => video.captions.push(track),
            }
            put(view, &video)?;
            Ok(video)
        })
        .await
    }

    /// Removes the added text track of this name, there or not, and returns the video as it is
    /// then.
    ///
    /// # Errors
    /// `Missing`, `Failed`.
    /// # Durability
    /// Synced: the track's file may be removed now.
    pub async fn remove_caption(
        &self,
        id: VideoId,
        name: String,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = get(view, id)?;
            video.captions.retain(|known| known.name() != name);
            put(view, &video)?;
            Ok(video)
        })
        .await
    }

    /// Forgets a video, cancels its job and ends its upload; returns what it was. A worker or an
    /// uploader that goes on is stale.
    ///
    /// # Errors
    /// `Missing`, `Failed`.
    /// # Durability
    /// Synced: the bytes may be removed now.
    pub async fn delete_video(
        &self,
        id: VideoId,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let video = get(view, id)?;
            trash::end_work(view, &video, now)?;
            remove(view, id)?;
            Ok(video)
        })
        .await
    }

    /// Puts a video back that only its files knew, with a job if work is left to do.
    ///
    /// # Errors
    /// `Conflict(Exists)`, `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn adopt_video(
        &self,
        mut video: VideoRecord,
        job: Option<JobRecord>,
    ) -> Result<(), StateError> {
        self.call(Promise::Synced, move |view| {
            if let Some(job) = &job {
                line::put_new(view, job)?;
                video.job = Some(job.id);
            }
            put_new(view, &video)
        })
        .await
    }
}

pub(super) fn get(view: &View<'_>, id: VideoId) -> Result<VideoRecord, StateError> {
    view.get(&keys::video(id))
}

pub(super) fn put(view: &mut View<'_>, video: &VideoRecord) -> Result<(), StateError> {
    count(view, video.id, Some(video))?;
    view.put(keys::video(video.id), video)
}

/// Removes a video's record, there or not.
pub(super) fn remove(view: &mut View<'_>, id: VideoId) -> Result<(), StateError> {
    count(view, id, None)?;
    view.remove(keys::video(id));
    Ok(())
}

/// Tells webhooks what is new, and counts what a video's original weighs now. That moves with few
/// of the changes only, so that what it weighed is read from its record instead of being kept for
/// every video.
fn count(view: &mut View<'_>, id: VideoId, now: Option<&VideoRecord>) -> Result<(), StateError> {
    let calls_back = now.is_some_and(|now| now.grant.is_some());
    if !view.is_counting() && !view.is_telling() && !calls_back {
        return Ok(());
    }
    let stored: Option<VideoRecord> = view.find(&keys::video(id))?;
    outbox::tell_of_video(view, stored.as_ref(), now)?;
    let before = stored.as_ref().map_or(0, usage::original);
    let after = now.map_or(0, usage::original);
    if let Some(video) = now.or(stored.as_ref()).filter(|_| before != after) {
        view.count(Move::Original { owner: video.owner.clone(), before, after });
    }
    Ok(())
}

pub(super) fn put_new(view: &mut View<'_>, video: &VideoRecord) -> Result<(), StateError> {
    if view.bytes(&keys::video(video.id))?.is_some() {
        return Err(StateError::Conflict(Conflict::Exists));
    }
    put(view, video)
}

/// Moves a video to `to`; staying where it is is fine.
pub(super) fn step(video: &mut VideoRecord, to: VideoState) -> Result<(), StateError> {
    if video.state != to && !video.state.may_become(to) {
        return Err(StateError::Conflict(Conflict::Video(video.state)));
    }
    video.state = to;
    Ok(())
}

/// Queues a video with a new job. Without one it waits until somebody queues it again.
pub(super) fn queue(
    view: &mut View<'_>,
    mut video: VideoRecord,
    job: Option<JobRecord>,
) -> Result<VideoRecord, StateError> {
    step(&mut video, VideoState::Queued)?;
    video.problem = None;
    if let Some(job) = job {
        line::put_new(view, &job)?;
        video.job = Some(job.id);
    }
    put(view, &video)?;
    Ok(video)
}

/// Takes the name of its upload off a video, if it is still there.
pub(super) fn forget_upload_of(view: &mut View<'_>, id: VideoId) -> Result<(), StateError> {
    let Some(mut video) = view.find::<VideoRecord>(&keys::video(id))? else { return Ok(()) };
    video.upload = None;
    put(view, &video)
}
