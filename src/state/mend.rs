//! Transactions of the janitor: pages of records to look through, and work that is stuck.
//!
//! What a transaction here mends was found before, in a look that may be outdated: each finds out
//! anew, and changes nothing that is in order.

use super::codec::Record;
use super::error::StateError;
use super::jobs::{cancel_open, put_back_killed, settle};
use super::line::put as put_job;
use super::record::{CleanupRecord, JobRecord, UploadRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, codec, growing, keys, live, videos, view};
use crate::ids::{JobId, VideoId};
use crate::model::job::JobState;
use crate::model::problem::Problem;
use crate::model::rendition::RenditionState;
use crate::model::upkeep::Report;
use crate::model::upload::UploadState;
use crate::model::video::VideoState;
use crate::units::UnixMillis;
use std::ops::Bound;

/// Most reports of cleanings that are kept.
pub const REPORTS_MAX: usize = 50;

/// What was stuck about a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StuckJob {
    /// Its video is gone: it was ended.
    WithoutVideo,
    /// Its lease has run out and nobody holds it: it is in line again.
    Abandoned,
    /// It waited for an upload that has finished: it is in line again.
    UploadFinished,
    /// It waited for an upload that is gone: it was ended.
    UploadGone,
}

impl State {
    /// Reads at most `limit` videos behind `after`, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn video_page(
        &self,
        after: Option<VideoId>,
        limit: usize,
    ) -> Result<Vec<VideoRecord>, StateError> {
        self.page(keys::VIDEOS, after.map(keys::video), limit)
    }

    /// Reads at most `limit` jobs behind `after`, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn job_page(
        &self,
        after: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StateError> {
        self.page(keys::JOBS, after.map(keys::job), limit)
    }

    /// Reads at most `limit` records whose keys begin with `prefix`, behind `after`.
    pub(super) fn page<R: Record>(
        &self,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<R>, StateError> {
        let from = match &after {
            Some(after) => Bound::Excluded(after.as_slice()),
            None => Bound::Included(prefix),
        };
        let end = keys::behind(prefix);
        let range = self.inner.db.range::<&[u8], _>((from, Bound::Excluded(end.as_slice())));
        range.take(limit).map(|entry| codec::decode(&entry.map_err(view::failed)?.1)).collect()
    }

    /// Queues the work on a video that waits for some while nobody is to do any, as `job`; says
    /// whether it was so. Also one whose upload has finished without anybody having heard.
    ///
    /// # Errors
    /// `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn mend_video(
        &self,
        id: VideoId,
        job: JobRecord,
    ) -> Result<Option<VideoRecord>, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(mut video) = view.find::<VideoRecord>(&keys::video(id))? else {
                return Ok(None);
            };
            let known = match video.job {
                Some(known) => view.find::<JobRecord>(&keys::job(known))?,
                None => None,
            };
            if known.as_ref().is_some_and(JobRecord::is_open) {
                return Ok(None);
            }
            match video.state {
                VideoState::Queued | VideoState::Processing => {}
                VideoState::Uploading => match upload_of(view, &video)? {
                    Some(upload) if upload.state == UploadState::Finished => {
                        note_finish(&mut video, &upload);
                    }
                    _ => return Ok(None),
                },
                VideoState::Ready | VideoState::Failed => return Ok(None),
            }
            settle(&mut video, RenditionState::Pending);
            let job = match known {
                Some(ended) => job.instead_of(&ended),
                None => job,
            };
            videos::queue(view, video, Some(job)).map(Some)
        })
        .await
    }

    /// Mends a job that can't go on as it stands; returns what was stuck. With `is_held` somebody
    /// in this process works on it, and its lease is left to them.
    ///
    /// # Errors
    /// `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn mend_job(
        &self,
        id: JobId,
        is_held: bool,
        now: UnixMillis,
    ) -> Result<Option<StuckJob>, StateError> {
        self.call(Promise::Synced, move |view| {
            let found: Option<JobRecord> = view.find(&keys::job(id))?;
            let Some(mut job) = found.filter(JobRecord::is_open) else { return Ok(None) };
            let Some(mut video) = view.find::<VideoRecord>(&keys::video(job.video))? else {
                cancel_open(view, id, now)?;
                return Ok(Some(StuckJob::WithoutVideo));
            };
            if job.state == JobState::Running {
                if is_held || job.lease_until > now {
                    return Ok(None);
                }
                put_back_killed(&mut job, &mut video)?;
                put_job(view, &job)?;
                videos::put(view, &video)?;
                return Ok(Some(StuckJob::Abandoned));
            }
            if !job.live {
                return Ok(None);
            }
            if video.state != VideoState::Uploading {
                put_job(view, &JobRecord { live: false, run_at: now, ..job })?;
                return Ok(Some(StuckJob::UploadFinished));
            }
            match upload_of(view, &video)? {
                Some(upload) if upload.state.is_under_way() => Ok(None),
                Some(upload) if upload.state == UploadState::Finished => {
                    note_finish(&mut video, &upload);
                    live::hand_over(view, video, None, now)?;
                    Ok(Some(StuckJob::UploadFinished))
                }
                _ => {
                    cancel_open(view, id, now)?;
                    Ok(Some(StuckJob::UploadGone))
                }
            }
        })
        .await
    }

    /// Ends a video whose original is gone, for `problem`, unless it is ready or has failed. Says
    /// whether it was so.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Synced.
    pub async fn fail_without_original(
        &self,
        id: VideoId,
        problem: Problem,
        now: UnixMillis,
    ) -> Result<Option<VideoRecord>, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(mut video) = view.find::<VideoRecord>(&keys::video(id))? else {
                return Ok(None);
            };
            if !matches!(video.state, VideoState::Queued | VideoState::Processing) {
                return Ok(None);
            }
            if let Some(job) = video.job {
                cancel_open(view, job, now)?;
            }
            settle(&mut video, RenditionState::Failed);
            video.problem = Some(problem);
            videos::step(&mut video, VideoState::Failed)?;
            videos::put(view, &video)?;
            Ok(Some(video))
        })
        .await
    }

    /// Keeps the report of a cleaning, and forgets the oldest beyond [`REPORTS_MAX`].
    ///
    /// # Errors
    /// `TooLarge`, `Failed`.
    /// # Durability
    /// Written.
    pub async fn keep_report(&self, report: Report) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let mut key = keys::report(report.started_at);
            while view.bytes(&key)?.is_some() {
                // Another one began in the same millisecond.
                key.push(0);
            }
            view.put(key, &CleanupRecord { report })?;
            let all = view.keys(keys::REPORTS)?;
            let beyond = all.len().saturating_sub(REPORTS_MAX);
            all.into_iter().take(beyond).for_each(|key| view.remove(key));
            Ok(())
        })
        .await
    }

    /// Reads the reports that are kept, the newest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn reports(&self) -> Result<Vec<Report>, StateError> {
        let records: Vec<CleanupRecord> = self.scan(keys::REPORTS)?;
        Ok(records.into_iter().rev().map(|record| record.report).collect())
    }
}

/// Returns the upload of a video, if it is still known.
fn upload_of(view: &View<'_>, video: &VideoRecord) -> Result<Option<UploadRecord>, StateError> {
    video.upload.map_or(Ok(None), |upload| growing::find(view, upload))
}

/// Notes in a video what the finish of its upload should have.
fn note_finish(video: &mut VideoRecord, upload: &UploadRecord) {
    video.size = upload.length.unwrap_or_default();
    video.uploaded_at = upload.ended_at;
    video.sha256 = upload.whole_sha256().map(str::to_owned);
}
