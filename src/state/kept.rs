//! Transactions on what isn't kept any longer: originals of videos that are made of them, and
//! videos whose time is over.

use super::error::StateError;
use super::record::{JobRecord, UploadRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, keys, trash, videos};
use crate::ids::VideoId;
use crate::model::keep::{KeepOriginals, Retention, Watch};
use crate::model::rendition::RenditionState;
use crate::model::video::{VideoKind, VideoState};
use crate::units::UnixMillis;

impl VideoRecord {
    /// Returns from when on the original isn't kept by this rule; `None` if that isn't foreseen:
    /// it is gone, or something may still have to be made of it.
    pub fn original_until(&self, keep: KeepOriginals) -> Option<UnixMillis> {
        let are_ready = |it: &super::RenditionRecord| it.state == RenditionState::Ready;
        // A file that isn't media has nothing but its original.
        let is_made = self.state == VideoState::Ready
            && self.kind != VideoKind::File
            && !self.renditions.is_empty()
            && self.renditions.iter().all(are_ready);
        keep.until(self.ready_at.filter(|_| is_made && !self.discarded)?)
    }
}

impl State {
    /// Notes that the original of a video isn't kept any longer, if `keep` has it so and nobody
    /// works with it; returns the video as it is then, or `None` if it is kept.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: the original may be removed now. What is made of it has to be certain before.
    pub async fn drop_original(
        &self,
        id: VideoId,
        keep: KeepOriginals,
        now: UnixMillis,
    ) -> Result<Option<VideoRecord>, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(mut video) = view.find::<VideoRecord>(&keys::video(id))? else {
                return Ok(None);
            };
            let is_due = video.original_until(keep).is_some_and(|until| until <= now);
            if !is_due || is_worked_with(view, &video)? {
                return Ok(None);
            }
            video.discarded = true;
            videos::put(view, &video)?;
            Ok(Some(video))
        })
        .await
    }
}

impl State {
    /// Returns from when on a video isn't kept by these rules; `None` if it is kept for ever, or
    /// its work hasn't ended.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn video_until(
        &self,
        video: &VideoRecord,
        rules: Retention,
    ) -> Result<Option<UnixMillis>, StateError> {
        if rules.is_none() { Ok(None) } else { until(&self.view(), video, rules) }
    }

    /// Moves a video whose time is over by `now` into the trash, from which it can be restored
    /// before `removed_at`; returns what it was, or `None` if it is kept or somebody works with it.
    ///
    /// # Errors
    /// `TooLarge`, `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: the bytes may be moved now.
    pub async fn trash_due_video(
        &self,
        id: VideoId,
        rules: Retention,
        now: UnixMillis,
        removed_at: UnixMillis,
    ) -> Result<Option<VideoRecord>, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(video) = view.find::<VideoRecord>(&keys::video(id))? else {
                return Ok(None);
            };
            let is_due = until(view, &video, rules)?.is_some_and(|until| until <= now);
            if !is_due || is_worked_with(view, &video)? {
                return Ok(None);
            }
            trash::throw(view, video, now, removed_at).map(Some)
        })
        .await
    }

    /// Notes that the rules are looked at, and returns what is known of the clock then.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn watch_rules(&self, now: UnixMillis) -> Result<Watch, StateError> {
        self.call(Promise::Synced, move |view| {
            let watch = Watch::look(view.find(keys::RULES)?, now);
            view.put(keys::RULES.to_vec(), &watch)?;
            Ok(watch)
        })
        .await
    }

    /// Returns what was known at the last look at the rules.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn rules_watch(&self) -> Result<Option<Watch>, StateError> {
        self.view().find(keys::RULES)
    }
}

fn until(
    view: &View<'_>,
    video: &VideoRecord,
    rules: Retention,
) -> Result<Option<UnixMillis>, StateError> {
    let since = match (video.state, video.job) {
        (VideoState::Ready, _) => video.ready_at,
        (VideoState::Failed, Some(job)) => {
            view.find::<JobRecord>(&keys::job(job))?.and_then(|job| job.finished_at)
        }
        _ => None,
    };
    // Before all of its bytes were here there is nothing that the trash could keep.
    let Some(uploaded_at) = video.uploaded_at else { return Ok(None) };
    Ok(rules.until(video.state, since.unwrap_or(uploaded_at)))
}

/// Says whether a job on the video is open, or its upload is still being put in its place.
fn is_worked_with(view: &View<'_>, video: &VideoRecord) -> Result<bool, StateError> {
    for job in video.job.iter().chain(&video.small_jobs) {
        if view.find::<JobRecord>(&keys::job(*job))?.is_some_and(|job| job.is_open()) {
            return Ok(true);
        }
    }
    let Some(upload) = video.upload else { return Ok(false) };
    let upload: Option<UploadRecord> = view.find(&keys::upload(upload))?;
    Ok(upload.is_some_and(|upload| upload.state.is_under_way()))
}
