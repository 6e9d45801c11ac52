//! Who may see, change and fetch which video.
//!
//! A video that somebody may not see is missing for them, not forbidden. Before its upload has
//! finished a video is its owner's alone, whatever its visibility. Called by the API, the pages
//! and the media routes in `http`.

mod captions;
mod change;
mod originals;
mod query;
mod sort;
mod trash;

pub use captions::{NewCaption, caption_name, text_track};
pub use query::{Page, Query, TrashPage, UPLOADS_MAX, UploadPage, UploadQuery, VIDEOS_MAX, lists};
pub use sort::{By, Cursor, Sort};
pub use trash::Deleted;

use crate::clock::Clock;
use crate::disk::{Disk, DiskError, MediaFile, PlainFile};
use crate::events::Hub;
use crate::ids::VideoId;
use crate::model::access::{Role, Viewer};
use crate::model::video::{VideoState, Visibility};
use crate::model::words::Unfit;
use crate::state::{State, StateError, VideoRecord};
use crate::text::TextError;
use std::path::PathBuf;
use std::sync::Arc;

/// The videos, seen by somebody. Clones share it.
#[derive(Clone)]
pub struct Library {
    shelf: Arc<Shelf>,
}

struct Shelf {
    state: State,
    disk: Disk,
    hub: Hub,
    clock: Clock,
    /// How long deleted videos can be restored; 0 for not at all.
    trash_for_ms: u64,
    /// One change of words at a time, so that the files beside the originals and the records
    /// agree, and one move into the trash or out of it. Both are rare.
    changing: tokio::sync::Mutex<()>,
}

/// Why the library refused.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// There is no such video, or it isn't for this viewer.
    #[error("no such video")]
    Missing,
    /// It is the viewer's own, but their role doesn't allow this.
    #[error("the role doesn't allow it")]
    Forbidden,
    /// The file isn't one that is taken, or everything is made of it; its bytes aren't kept.
    #[error("the original isn't kept")]
    Discarded,
    /// Not all bytes of the film are here yet.
    #[error("the upload isn't complete")]
    Uploading,
    /// A text isn't one that can be shown.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A value isn't allowed.
    #[error("{field} {rule}")]
    Invalid {
        /// The field, as the API names it.
        field: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
    /// The disk has no room for a few bytes.
    #[error("no space left on the disk")]
    NoSpace,
    /// A file operation failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The database refused or failed.
    #[error(transparent)]
    State(StateError),
    /// A task of ours ended without a result.
    #[error("a task of the library ended without a result")]
    Task,
}

impl From<Unfit> for LibraryError {
    fn from(Unfit { field, rule }: Unfit) -> Self {
        Self::Invalid { field, rule }
    }
}

impl From<DiskError> for LibraryError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Missing => Self::Missing,
            DiskError::NoSpace => Self::NoSpace,
            other => Self::Disk(other),
        }
    }
}

impl From<StateError> for LibraryError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Missing => Self::Missing,
            other => Self::State(other),
        }
    }
}

impl Library {
    /// Makes the library over the same state, files and hub as everybody's. Deleted videos can be
    /// restored for `trash_for_ms`; 0 turns the trash off.
    pub fn new(state: State, disk: Disk, hub: Hub, clock: Clock, trash_for_ms: u64) -> Self {
        let changing = tokio::sync::Mutex::new(());
        Self { shelf: Arc::new(Shelf { state, disk, hub, clock, trash_for_ms, changing }) }
    }

    /// Returns a video for `viewer`, `None` being anybody.
    ///
    /// # Errors
    /// `Missing` if there is none, or not for them.
    pub fn video(&self, id: VideoId, viewer: Option<&Viewer>) -> Result<VideoRecord, LibraryError> {
        let video = self.shelf.state.video(id)?.ok_or(LibraryError::Missing)?;
        if may_see(&video, viewer) { Ok(video) } else { Err(LibraryError::Missing) }
    }

    /// Returns a video that `viewer` may change.
    ///
    /// # Errors
    /// `Missing` unless it is theirs, or they are an admin; `Forbidden` if they may only look, at
    /// their own or at what their organisation has.
    pub fn own_video(&self, id: VideoId, viewer: &Viewer) -> Result<VideoRecord, LibraryError> {
        let video = self.shelf.state.video(id)?.ok_or(LibraryError::Missing)?;
        match viewer.is_over(&video.owner) {
            true if viewer.role < Role::Uploader => Err(LibraryError::Forbidden),
            true => Ok(video),
            false if shows_all(&video, viewer) => Err(LibraryError::Forbidden),
            false => Err(LibraryError::Missing),
        }
    }

    /// Returns where a media file of a video lies, for a viewer who may see the video. The file
    /// itself may not be there yet.
    ///
    /// # Errors
    /// `Missing` if there is no such video, or not for them.
    pub fn media_path(
        &self,
        id: VideoId,
        file: &MediaFile,
        viewer: Option<&Viewer>,
    ) -> Result<PathBuf, LibraryError> {
        self.video(id, viewer)?;
        Ok(self.shelf.disk.media_file(id, file))
    }

    /// Opens the original of a video for its owner or an admin.
    ///
    /// # Errors
    /// `Missing` if there is none yet, or it isn't theirs; `Forbidden` if they see all of it but
    /// the file itself; `Discarded`.
    pub async fn original(
        &self,
        id: VideoId,
        viewer: &Viewer,
    ) -> Result<(PlainFile, VideoRecord), LibraryError> {
        let video = self.video(id, Some(viewer))?;
        if video.state == VideoState::Uploading || !shows_all(&video, viewer) {
            return Err(LibraryError::Missing);
        }
        if !viewer.is_over(&video.owner) {
            return Err(LibraryError::Forbidden);
        }
        if video.discarded {
            return Err(LibraryError::Discarded);
        }
        let file = self.blocking(move |shelf| Ok(shelf.disk.open_original(id)?)).await?;
        Ok((file, video))
    }

    /// Runs `work` where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, LibraryError> + Send + 'static,
    ) -> Result<T, LibraryError> {
        let shelf = self.shelf.clone();
        tokio::task::spawn_blocking(move || work(&shelf)).await.unwrap_or(Err(LibraryError::Task))
    }
}

/// Says whether `viewer`, `None` being anybody, may see a video whose address they have.
pub fn may_see(video: &VideoRecord, viewer: Option<&Viewer>) -> bool {
    let is_theirs = viewer.is_some_and(|viewer| shows_all(video, viewer));
    let is_open = matches!(video.visibility, Visibility::Public | Visibility::Unlisted);
    is_theirs || (is_open && video.state != VideoState::Uploading)
}

/// Says whether all that is known of a video is for `viewer`: it is theirs, or of a member of
/// their organisation and its bytes are here.
pub fn shows_all(video: &VideoRecord, viewer: &Viewer) -> bool {
    viewer.is_over(&video.owner)
        || (viewer.may_see(&video.owner) && video.state != VideoState::Uploading)
}

#[cfg(test)]
mod tests;
