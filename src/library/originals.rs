//! Originals that aren't kept any longer: the film stays, what it was made of goes.
//!
//! First the disk confirms all that was made, then the record says that the original is gone, then
//! its bytes follow; what a crash leaves of them is removed at the next start.

use super::{Library, LibraryError};
use crate::disk::{FailAt, fail_at};
use crate::ids::VideoId;
use crate::model::keep::KeepOriginals;
use crate::state::{RenditionRecord, VideoRecord};
use crate::units::UnixMillis;
use tracing::{info, warn};

impl Library {
    /// Drops the original of a video if `keep` has it so by `now`, nobody works with it and all
    /// that was made of it is there; returns the video as it is then, or `None` if its original is
    /// kept.
    ///
    /// # Errors
    /// `State`; `Disk`, if it can't confirm what was made: the original stays.
    /// # Durability
    /// It is gone after a power cut; bytes that one brings back go at the next start.
    pub async fn drop_original(
        &self,
        id: VideoId,
        keep: KeepOriginals,
        now: UnixMillis,
    ) -> Result<Option<VideoRecord>, LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        let Some(video) = self.shelf.state.video(id)? else { return Ok(None) };
        if video.original_until(keep).is_none_or(|until| until > now) {
            return Ok(None);
        }
        if !self.is_published(&video).await? {
            return Ok(None);
        }
        self.blocking(|shelf| Ok(shelf.disk.confirm_media()?)).await?;
        let Some(video) = self.shelf.state.drop_original(id, keep, now).await? else {
            return Ok(None);
        };
        fail_at(FailAt::AfterDropRecord);
        info!(video.id = %id, "the original of {id} isn't kept any longer");
        self.tell(&video);
        if let Err(left) = self.blocking(move |shelf| Ok(shelf.disk.remove_source(id)?)).await {
            warn!(video.id = %id, "the original of {id} stays on the disk for now: {left}");
        }
        Ok(Some(video))
    }

    /// Says whether all qualities of a video that is ready are there on the disk: what somebody has
    /// removed there can be made again from the original alone.
    ///
    /// # Errors
    /// `Disk`.
    pub async fn is_published(&self, video: &VideoRecord) -> Result<bool, LibraryError> {
        let name = |it: &RenditionRecord| format!("{}-{}", it.plan.name, it.generation);
        let (id, rungs) = (video.id, video.renditions.iter().map(name).collect::<Vec<_>>());
        self.blocking(move |shelf| {
            let is_whole = shelf.disk.manifest(id)?.is_some_and(|manifest| manifest.complete);
            Ok(is_whole && shelf.disk.has_media(id, &rungs)?)
        })
        .await
    }
}
