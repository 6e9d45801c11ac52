//! Changing a video's words, and its poster.

use super::{Library, LibraryError};
use crate::disk::DiskError;
use crate::events::{Event, EventKind};
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::access::Viewer;
use crate::model::extra::{Chosen, POSTER_FILE, POSTER_WEBP_FILE, chosen_files};
use crate::model::manifest::Picture;
use crate::model::words::VideoChange;
use crate::state::VideoRecord;
use tracing::warn;

impl Library {
    /// Changes title, description, tags or visibility of a video and returns its new record.
    ///
    /// # Errors
    /// `Missing`, `Forbidden`; `Invalid` for a value that isn't allowed, before anything changed.
    /// # Durability
    /// Both the file beside the original and the record survive a power cut when this returns;
    /// the file is written first.
    /// # Cancel
    /// A dropped call may still take effect.
    pub async fn change(
        &self,
        id: VideoId,
        viewer: &Viewer,
        change: VideoChange,
    ) -> Result<VideoRecord, LibraryError> {
        let change = change.checked()?;
        let _one_at_a_time = self.shelf.changing.lock().await;
        let before = self.own_video(id, viewer)?;
        if before.uploaded_at.is_some() {
            let mut wanted = before.clone();
            wanted.apply(change.clone());
            self.write_facts(wanted).await?;
        }
        let changed = self.shelf.state.change_video(id, change).await?;
        if before.uploaded_at.is_none() && changed.uploaded_at.is_some() {
            // Its upload finished in between, with the older words beside the original.
            self.write_facts(changed.clone()).await?;
        }
        self.tell(&changed);
        Ok(changed)
    }

    /// Publishes the poster that a job has made of somebody's choice: its files under names that
    /// nothing refers to yet, the note beside the original, then the record, which is what makes it
    /// count and is written only under the job's lease. Of a job whose lease has passed on nothing
    /// stays.
    ///
    /// # Errors
    /// `State` with `Stale` if the lease has passed on; `Missing`; `Disk`, `NoSpace`.
    /// # Durability
    /// All three survive a power cut when this returns.
    pub async fn choose_poster(
        &self,
        job: JobId,
        epoch: Epoch,
        video: VideoId,
        picture: Picture,
        time: Option<f64>,
    ) -> Result<VideoRecord, LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        let mut wanted = self.shelf.state.video(video)?.ok_or(LibraryError::Missing)?;
        let version = wanted.chosen.as_ref().map_or(1, |before| before.version.wrapping_add(1));
        let chosen = Chosen { picture, time, version };
        wanted.chosen = Some(chosen.clone());
        let published = self.publish_poster(job, epoch, wanted, chosen).await;
        let counts = match &published {
            Ok(video) => Some(video.clone()),
            Err(_) => self.shelf.state.video(video)?,
        };
        if let Some(counts) = counts {
            self.tidy_posters(counts, published.is_err()).await;
        }
        published
    }

    async fn publish_poster(
        &self,
        job: JobId,
        epoch: Epoch,
        wanted: VideoRecord,
        chosen: Chosen,
    ) -> Result<VideoRecord, LibraryError> {
        let (video, version) = (wanted.id, chosen.version);
        self.blocking(move |shelf| {
            let made = [POSTER_FILE, POSTER_WEBP_FILE];
            for (from, to) in made.into_iter().zip(chosen_files(version)) {
                shelf.disk.publish(job, epoch, from, video, &to, true)?;
            }
            Ok(())
        })
        .await?;
        self.write_facts(wanted).await?;
        let now = self.shelf.clock.now();
        Ok(self.shelf.state.finish_poster(job, epoch, now, chosen).await?)
    }

    /// Removes the files of choices that don't count, and takes back the note of one, if it
    /// `was_noted` and then didn't come to count.
    async fn tidy_posters(&self, counts: VideoRecord, was_noted: bool) {
        let (id, kept) = (counts.id, counts.chosen.as_ref().map(|chosen| chosen.version));
        let noted = if was_noted { self.write_facts(counts).await } else { Ok(()) };
        let removed = self.blocking(move |shelf| Ok(shelf.disk.remove_chosen_but(id, kept)?)).await;
        for left in [noted, removed].into_iter().filter_map(Result::err) {
            // Nobody is shown it, and the next choice tidies up again.
            warn!(video.id = %id, "something of an older poster of {id} stays for now: {left}");
        }
    }

    async fn write_facts(&self, video: VideoRecord) -> Result<(), LibraryError> {
        self.blocking(move |shelf| match shelf.disk.write_facts(video.id, &video.to_facts()) {
            // An original that is gone has no place for its facts; the record is enough.
            Ok(()) | Err(DiskError::Missing) => Ok(()),
            Err(failed) => Err(failed.into()),
        })
        .await
    }

    pub(super) fn tell(&self, video: &VideoRecord) {
        let now = self.shelf.clock.now();
        let event = Event::of_video(EventKind::VideoState, now, video.id, video.owner.clone());
        self.shelf.hub.publish(event);
    }
}
