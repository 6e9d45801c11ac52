//! Deleting a video, bringing it back, and deleting it for good.
//!
//! A deleted video lies in the trash for a while: first its record says so, and nobody is served
//! any more, then its bytes follow. The way back is the other way round, so that after a crash the
//! record always tells where the bytes belong; the janitor's start brings them there.

use super::{Library, LibraryError, Shelf};
use crate::disk::{FailAt, TRASH_NOTE_VERSION, TrashNote, fail_at};
use crate::ids::{JobId, VideoId};
use crate::model::access::{Role, Viewer};
use crate::model::keep::Retention;
use crate::state::{Conflict, JobRecord, StateError, TrashRecord, VideoRecord};
use crate::units::UnixMillis;
use tracing::{info, warn};

/// Most videos of the trash that one call removes for good.
pub const EMPTIED_MAX: usize = 50;

/// A video that is gone for its viewers.
#[derive(Clone, Debug, PartialEq)]
pub struct Deleted {
    /// What it was.
    pub video: VideoRecord,
    /// Until when it can be restored; none if it is gone for good.
    pub until: Option<UnixMillis>,
}

impl Library {
    /// Deletes a video: into the trash, or for good if that is asked for, if the trash is turned
    /// off, or if its upload isn't over. One that is in the trash stays there unless it is to go
    /// for good. Whoever works on it is stale, and their processes have to be ended.
    ///
    /// # Errors
    /// `Missing`, `Forbidden`.
    /// # Durability
    /// The deletion survives a power cut; bytes that one leaves where they were are moved or
    /// removed at the next start.
    pub async fn delete(
        &self,
        id: VideoId,
        viewer: &Viewer,
        permanent: bool,
    ) -> Result<Deleted, LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        if let Some(trashed) = self.find_trashed(id, viewer)? {
            if viewer.role < Role::Uploader {
                return Err(LibraryError::Forbidden);
            }
            if permanent {
                self.purge(id, None).await?;
            }
            let until = (!permanent).then_some(trashed.until);
            return Ok(Deleted { video: trashed.video, until });
        }
        self.own_video(id, viewer)?;
        let (now, trash_for_ms) = (self.shelf.clock.now(), self.shelf.trash_for_ms);
        let until = now.plus_ms(trash_for_ms);
        let trashed = match permanent || trash_for_ms == 0 {
            true => None,
            false => match self.shelf.state.trash_video(id, now, until).await {
                // Not all of its bytes are here: there is nothing that could be brought back.
                Err(StateError::Conflict(Conflict::Video(_))) => None,
                trashed => Some(trashed?),
            },
        };
        match trashed {
            Some(video) => {
                info!(video.id = %id, "video {id} deleted, it can be restored");
                Ok(self.follow_into_trash(video, now, until).await)
            }
            None => {
                let video = self.shelf.state.delete_video(id, now).await?;
                info!(video.id = %id, "video {id} deleted");
                self.tell(&video);
                let gone = video.clone();
                self.put_away(id, move |shelf| {
                    shelf.disk.remove_original(id)?;
                    shelf.disk.remove_media(id)?;
                    shelf.remove_traces(&gone)
                })
                .await;
                Ok(Deleted { video, until: None })
            }
        }
    }

    /// Moves a video into the trash whose time is over by `now`, as these rules have it, if nobody
    /// works with it; `None` if it stays.
    ///
    /// # Errors
    /// `State`.
    /// # Durability
    /// As [`Library::delete`].
    pub async fn expire(
        &self,
        id: VideoId,
        rules: Retention,
        now: UnixMillis,
    ) -> Result<Option<Deleted>, LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        let until = now.plus_ms(self.shelf.trash_for_ms);
        let trashed = self.shelf.state.trash_due_video(id, rules, now, until).await?;
        let Some(video) = trashed else { return Ok(None) };
        info!(video.id = %id, "the time of video {id} is over, it can be restored");
        Ok(Some(self.follow_into_trash(video, now, until).await))
    }

    /// Tells of a video whose record is in the trash, and brings its bytes there.
    async fn follow_into_trash(
        &self,
        video: VideoRecord,
        deleted_at: UnixMillis,
        until: UnixMillis,
    ) -> Deleted {
        fail_at(FailAt::AfterTrashRecord);
        let id = video.id;
        self.tell(&video);
        let note = TrashNote { version: TRASH_NOTE_VERSION, video: id, deleted_at, until };
        let gone = video.clone();
        self.put_away(id, move |shelf| {
            shelf.disk.trash(id, &note)?;
            shelf.remove_traces(&gone)
        })
        .await;
        Deleted { video, until: Some(until) }
    }

    /// Does what follows a deletion; what fails is left to the janitor.
    async fn put_away(
        &self,
        id: VideoId,
        work: impl FnOnce(&Shelf) -> Result<(), LibraryError> + Send + 'static,
    ) {
        if let Err(left) = self.blocking(work).await {
            // Mostly a job that is still publishing and sweeps when it ends. The video is gone
            // however that goes.
            warn!(video.id = %id, "not all bytes of the deleted video {id} went: {left}");
        }
    }

    /// Returns a video in the trash for its owner or an admin; `None` for everybody else.
    ///
    /// # Errors
    /// `State` if the database can't be read.
    pub fn find_trashed(
        &self,
        id: VideoId,
        viewer: &Viewer,
    ) -> Result<Option<TrashRecord>, LibraryError> {
        let trashed = self.shelf.state.trashed(id)?;
        Ok(trashed.filter(|trashed| viewer.is_over(&trashed.video.owner)))
    }

    /// Brings a video back from the trash as it was; work that wasn't done is queued again, and
    /// the queue's bell has to be rung. Nobody may be working on it any more.
    ///
    /// # Errors
    /// `Missing` if it isn't in the trash, or not theirs; `Forbidden`; `Disk`, `NoSpace`, with the
    /// video still in the trash.
    /// # Durability
    /// It is back after a power cut.
    pub async fn restore(&self, id: VideoId, viewer: &Viewer) -> Result<VideoRecord, LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        let trashed = self.find_trashed(id, viewer)?.ok_or(LibraryError::Missing)?;
        if viewer.role < Role::Uploader {
            return Err(LibraryError::Forbidden);
        }
        self.blocking(move |shelf| Ok(shelf.disk.restore_trash(id)?)).await?;
        fail_at(FailAt::AfterRestoreBeforeRecord);
        let now = self.shelf.clock.now();
        let job = JobRecord::new(JobId::fresh(now), id, trashed.video.owner, now);
        let video = self.shelf.state.restore_video(id, job).await?;
        info!(video.id = %id, "video {id} restored");
        self.tell(&video);
        let emptied = self.blocking(move |shelf| Ok(shelf.disk.remove_trash(id)?)).await;
        if let Err(left) = emptied {
            warn!(video.id = %id, "the emptied trash of {id} stays for now: {left}");
        }
        Ok(video)
    }

    /// Removes what has lain in the trash for its time, [`EMPTIED_MAX`] videos at most; returns
    /// them.
    ///
    /// # Errors
    /// Whatever keeps the records or the files from being changed; the rest waits for the next
    /// call.
    pub async fn empty_trash(&self) -> Result<Vec<VideoRecord>, LibraryError> {
        let now = self.shelf.clock.now();
        let mut gone = Vec::new();
        for id in self.shelf.state.trash_due(now, EMPTIED_MAX)? {
            let _one_at_a_time = self.shelf.changing.lock().await;
            gone.extend(self.purge(id, Some(now)).await?);
        }
        Ok(gone)
    }

    /// Keeps every video from being moved into the trash, out of it, or away, until it is dropped.
    pub async fn hold(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shelf.changing.lock().await
    }

    /// Brings the bytes of a video to where its record says that they belong, if that is the
    /// trash: what a crash left where it was, or somebody who was late put there. Says whether it
    /// is in the trash.
    ///
    /// # Errors
    /// `State`, `Disk`, `NoSpace`.
    /// # Durability
    /// Certain when it returns.
    pub async fn tidy_trash(&self, id: VideoId) -> Result<bool, LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        let Some(TrashRecord { deleted_at, until, .. }) = self.shelf.state.trashed(id)? else {
            return Ok(false);
        };
        let note = TrashNote { version: TRASH_NOTE_VERSION, video: id, deleted_at, until };
        self.blocking(move |shelf| Ok(shelf.disk.trash(id, &note)?)).await?;
        Ok(true)
    }

    /// Brings back what the trash holds of a video that isn't deleted, and removes what it holds
    /// of one that is gone for good.
    ///
    /// # Errors
    /// `State`, `Disk`, `NoSpace`.
    pub async fn tidy_trash_of(&self, id: VideoId) -> Result<(), LibraryError> {
        if self.tidy_trash(id).await? {
            return Ok(());
        }
        let _one_at_a_time = self.shelf.changing.lock().await;
        if self.shelf.state.trashed(id)?.is_some() {
            return Ok(());
        }
        let is_there = self.shelf.state.video(id)?.is_some();
        self.blocking(move |shelf| {
            if is_there {
                shelf.disk.restore_trash(id)?;
            }
            Ok(shelf.disk.remove_trash(id)?)
        })
        .await
    }

    /// Removes a video from the trash for good, if it is `due`.
    async fn purge(
        &self,
        id: VideoId,
        due: Option<UnixMillis>,
    ) -> Result<Option<VideoRecord>, LibraryError> {
        let purged = self.shelf.state.purge_video(id, due).await?;
        if purged.is_some() {
            fail_at(FailAt::AfterPurgeRecord);
            info!(video.id = %id, "video {id} removed from the trash");
            self.blocking(move |shelf| Ok(shelf.disk.remove_trash(id)?)).await?;
        }
        Ok(purged)
    }
}

impl Shelf {
    /// Removes what jobs and the upload of a deleted video have left.
    fn remove_traces(&self, video: &VideoRecord) -> Result<(), LibraryError> {
        if let Some(upload) = video.upload {
            self.disk.remove_upload(upload)?;
        }
        for &job in video.job.iter().chain(&video.small_jobs) {
            self.disk.remove_work(job)?;
            self.disk.remove_handed(job)?;
        }
        Ok(())
    }
}
