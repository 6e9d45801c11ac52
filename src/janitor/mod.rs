//! Keeps the house: gives up what nobody goes on with, mends what a crash left, and rebuilds a
//! lost database from the files.
//!
//! An original is never removed because a record is missing; it is taken in again. What can be
//! made again from originals and records may go. Run by the server.

mod audit;
mod clean;
mod keep;
mod rebuild;
mod space;
mod tags;

pub use audit::{Audit, Holdings, LastAudit, Strange};
pub use rebuild::Rebuilt;
use rebuild::without_source;

use crate::disk::{Disk, DiskError};
use crate::ids::{JobId, VideoId};
use crate::library::LibraryError;
use crate::model::upkeep::AskedBy;
use crate::model::video::{VideoState, Visibility};
use crate::rooms::Rooms;
use crate::state::{State, StateError, VideoRecord};
use crate::upload::UploadError;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(60);

/// Upload grants that one round forgets at most.
const GRANTS_AT_ONCE: usize = 10_000;

/// Rounds from one cleaning to the next.
const ROUNDS_TO_CLEANING: u32 = 60;

/// Pages of videos and of jobs that a round looks at for stuck work: a hundred thousand in half an
/// hour.
const STUCK_PAGES: usize = 16;

/// The keeper of the house. Clones share everything.
#[derive(Clone)]
pub struct Janitor {
    rooms: Rooms,
    /// One cleaning at a time.
    cleaning: Arc<tokio::sync::Mutex<()>>,
    places: Arc<Mutex<Places>>,
    audits: watch::Sender<LastAudit>,
}

impl std::ops::Deref for Janitor {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.rooms
    }
}

/// Up to where stuck work has been looked for, and what was told of the disk.
#[derive(Debug, Default)]
struct Places {
    video: Option<VideoId>,
    job: Option<JobId>,
    is_low: bool,
}

/// Why the house can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum JanitorError {
    /// An upload couldn't be mended or given up.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A file operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A video's trash couldn't be looked after.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The database refused or failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another cleaning is under way.
    #[error("another cleaning is under way")]
    Busy,
    /// A task of ours ended without a result.
    #[error("a task of the janitor ended without a result")]
    Task,
}

/// What a start found and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Originals that no record knew, taken in again.
    pub adopted: usize,
    /// Originals of deleted videos, and of files that weren't taken, removed.
    pub originals: usize,
    /// Media directories without a video, removed.
    pub medias: usize,
    /// Originals of deleted videos, moved into the trash.
    pub trashed: usize,
    /// Working directories of jobs that are over, and what these were handed, removed.
    pub works: usize,
}

impl Janitor {
    /// Makes the keeper of these rooms.
    pub fn new(rooms: Rooms) -> Self {
        let (cleaning, places) = (Arc::default(), Arc::default());
        Self { rooms, cleaning, places, audits: watch::Sender::default() }
    }

    /// Mends what a stop at any moment left behind; run once, before the first request and job.
    ///
    /// # Errors
    /// Whatever keeps the state or the disk from being read or written; the server shouldn't
    /// start then.
    pub async fn start(&self) -> Result<Swept, JanitorError> {
        self.uploads.recover().await?;
        let mut swept = Swept::default();
        for video in self.blocking(|disk| disk.trashes()).await? {
            self.library.tidy_trash_of(video).await?;
        }
        let deleted = self.deleted()?;
        for video in self.blocking(|disk| disk.originals()).await? {
            if let Some(known) = self.state.video(video)? {
                if known.discarded {
                    swept.originals += usize::from(self.remove_dropped(&known).await?);
                }
                continue;
            }
            if self.library.tidy_trash(video).await? {
                swept.trashed += 1;
                continue;
            }
            if deleted.contains(&video) || !self.is_whole(video).await? {
                self.blocking(move |disk| disk.remove_original(video)).await?;
                swept.originals += 1;
            } else {
                // A power cut may have brought back the bytes of a deleted video, whose record
                // went for good: nobody but its owner may see it again unasked.
                self.adopt(video, Some(Visibility::Private)).await?;
                swept.adopted += 1;
            }
        }
        for video in self.blocking(|disk| disk.medias()).await? {
            if self.state.video(video)?.is_none() && !self.library.tidy_trash(video).await? {
                self.blocking(move |disk| disk.remove_media(video)).await?;
                swept.medias += 1;
            }
        }
        for job in self.blocking(|disk| disk.works()).await? {
            if !self.state.job(job)?.is_some_and(|job| job.is_open()) {
                self.blocking(move |disk| disk.remove_work(job)).await?;
                swept.works += 1;
            }
        }
        for job in self.blocking(|disk| disk.handed()).await? {
            if !self.state.job(job)?.is_some_and(|job| job.is_open()) {
                self.blocking(move |disk| disk.remove_handed(job)).await?;
                swept.works += 1;
            }
        }
        if swept != Swept::default() {
            info!(?swept, "mended what an earlier stop left behind");
        }
        Ok(swept)
    }

    /// Makes its rounds until `stop` is cancelled: each minute what is cheap, each hour everything.
    /// What fails is tried again later.
    pub async fn run(&self, stop: CancellationToken) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = rounds.tick() => (),
            }
            let round = async {
                self.round().await;
                count = count.wrapping_add(1);
                if count.is_multiple_of(ROUNDS_TO_CLEANING) {
                    report("a cleaning", self.clean(AskedBy::Schedule, false).await);
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = round => (),
            }
        }
    }

    async fn round(&self) {
        match self.uploads.expire_due().await {
            Ok(0) => (),
            Ok(expired) => info!(expired, "gave up {expired} uploads that nobody went on with"),
            Err(failed) => warn!("a round of the janitor failed: {failed}"),
        }
        let forgotten = self.state.forget_grants(self.clock.now(), GRANTS_AT_ONCE).await;
        report("forgetting upload grants", forgotten);
        report("emptying the trash", self.library.empty_trash().await);
        report("looking for room", self.watch_space().await);
        report("looking for stuck work", self.look_for_stuck_work(STUCK_PAGES).await);
    }

    /// Returns the videos of uploads that have ended: one of them without a record was deleted.
    fn deleted(&self) -> Result<HashSet<VideoId>, JanitorError> {
        let uploads = self.state.unfinished_uploads()?;
        Ok(uploads.iter().filter(|u| u.state.is_gone()).filter_map(|u| u.video).collect())
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads many records where blocking is allowed.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&State) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, JanitorError> {
        let state = self.state.clone();
        let done = tokio::task::spawn_blocking(move || read(&state)).await;
        Ok(done.map_err(|_| JanitorError::Task)??)
    }

    /// Says whether what lies of a video is all of it: the original, or, where that isn't kept, all
    /// that was to be made of it and what people said of it.
    async fn is_whole(&self, video: VideoId) -> Result<bool, JanitorError> {
        let has_source = self.has_source(video).await?;
        Ok(has_source || self.blocking(move |disk| without_source(disk, video)).await?.is_some())
    }

    /// Removes what lies of an original that isn't kept; says whether something did. What people
    /// said of a video that is ready stays.
    async fn remove_dropped(&self, video: &VideoRecord) -> Result<bool, JanitorError> {
        let (id, is_ready) = (video.id, video.state == VideoState::Ready);
        self.blocking(move |disk| match is_ready {
            true => disk.remove_source(id),
            false => disk.remove_original(id).map(|()| true),
        })
        .await
    }

    async fn has_source(&self, video: VideoId) -> Result<bool, JanitorError> {
        self.blocking(move |disk| match disk.original_size(video) {
            Ok(_) => Ok(true),
            Err(DiskError::Missing) => Ok(false),
            Err(failed) => Err(failed),
        })
        .await
    }

    /// Runs `work` where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, JanitorError> {
        let disk = self.disk.clone();
        let done = tokio::task::spawn_blocking(move || work(&disk)).await;
        Ok(done.map_err(|_| JanitorError::Task)??)
    }
}

/// Logs what went wrong in a part of a round.
fn report<T>(what: &str, done: Result<T, impl std::fmt::Display>) {
    if let Err(failed) = done {
        warn!("{what} failed: {failed}");
    }
}

#[cfg(test)]
mod tests;
