//! Jobs on uploads that are still under way: begun, parked, given up, handed over at the end.
//!
//! Such a job decides nothing about its video: that stays `uploading`, whatever becomes of the job.
//! When the upload is finished, one that is open goes on as the video's job; otherwise a new one
//! is queued, as if there had been none.

use super::State;
use super::error::StateError;
use super::growing;
use super::jobs::{cancel_open, end, held, put_back, uncount};
use super::line::{put, put_new};
use super::record::{JobRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{keys, videos};
use crate::ids::{Epoch, JobId, UploadId};
use crate::model::extra::Pictures;
use crate::model::job::JobState;
use crate::model::upload::UploadState;
use crate::model::video::VideoState;
use crate::units::UnixMillis;

/// When a parked job is due.
const PARKED: UnixMillis = UnixMillis(i64::MAX);

impl State {
    /// Queues `job` on the video of an upload that is under way, or takes up again the one that was
    /// parked. Returns whether there is something to claim now that wasn't: not if a job waits
    /// or runs already, or one was given up and not withdrawn.
    ///
    /// # Errors
    /// `Missing`; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn begin_live(
        &self,
        id: UploadId,
        job: JobRecord,
        now: UnixMillis,
    ) -> Result<bool, StateError> {
        self.call(Promise::Synced, move |view| {
            let upload = growing::get(view, id)?;
            let Some(video) = upload.video.filter(|_| upload.state == UploadState::Partial) else {
                return Ok(false);
            };
            let mut video = videos::get(view, video)?;
            if video.state != VideoState::Uploading {
                return Ok(false);
            }
            let known = match video.job {
                Some(known) => Some(view.get::<JobRecord>(&keys::job(known))?),
                None => None,
            };
            let job = JobRecord { live: true, ..job };
            let job = match known {
                Some(known) if known.state == JobState::Queued && known.run_at > now => {
                    put(view, &JobRecord { run_at: now, ..known })?;
                    return Ok(true);
                }
                Some(known) if known.is_open() || !known.anew => return Ok(false),
                Some(withdrawn) => job.instead_of(&withdrawn),
                None => job,
            };
            put_new(view, &job)?;
            video.job = Some(job.id);
            videos::put(view, &video)?;
            Ok(true)
        })
        .await
    }

    /// Parks a job until more of its upload comes; the attempt doesn't count. One whose upload
    /// has finished goes back in line.
    ///
    /// # Errors
    /// `Stale`, `Missing`; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn park_live(&self, id: JobId, epoch: Epoch) -> Result<(), StateError> {
        let parked = self.change_held(id, epoch, move |job, video| {
            uncount(job);
            if job.live {
                job.run_at = PARKED;
            }
            put_back(job, video)
        });
        parked.await.map(drop)
    }

    /// Ends a job on an upload that is under way, and no other is begun on that. Returns `false`,
    /// and changes nothing, if the upload has finished, so that the video's fate hangs on the job.
    ///
    /// # Errors
    /// `Stale`, `Missing`; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn give_up_live(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
    ) -> Result<bool, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut job = held(view, id, epoch)?;
            if !job.live {
                return Ok(false);
            }
            end(&mut job, JobState::Cancelled, now);
            put(view, &job)?;
            Ok(true)
        })
        .await
    }

    /// Ends the job on an upload that is under way, and forgets all that has come of it: the bytes
    /// aren't what they should be. Returns the video whose files may be removed now. The next job
    /// on it removes what has been published until it begins.
    ///
    /// # Errors
    /// `Missing`; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn withdraw_live(
        &self,
        id: UploadId,
        now: UnixMillis,
    ) -> Result<Option<VideoRecord>, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(video) = growing::get(view, id)?.video else { return Ok(None) };
            let video = videos::get(view, video)?;
            let Some(job) = video.job.filter(|_| video.state == VideoState::Uploading) else {
                return Ok(None);
            };
            cancel_open(view, job, now)?;
            let job: JobRecord = view.get(&keys::job(job))?;
            put(view, &JobRecord { anew: true, ..job })?;
            let video = VideoRecord {
                playable: false,
                playable_at: None,
                facts: None,
                poster: None,
                pictures: Pictures::default(),
                renditions: Vec::new(),
                texts: Vec::new(),
                chapters: Vec::new(),
                ..video
            };
            videos::put(view, &video)?;
            Ok(Some(video))
        })
        .await
    }
}

/// Queues the video of an upload that has finished: the job that works on it already goes on, or
/// `job` is queued.
pub(super) fn hand_over(
    view: &mut View<'_>,
    mut video: VideoRecord,
    job: Option<JobRecord>,
    now: UnixMillis,
) -> Result<VideoRecord, StateError> {
    let known = match video.job {
        Some(known) => view.find::<JobRecord>(&keys::job(known))?,
        None => None,
    };
    let mut known = match known {
        Some(known) if known.is_open() => known,
        Some(ended) => return videos::queue(view, video, job.map(|job| job.instead_of(&ended))),
        None => return videos::queue(view, video, job),
    };
    known.live = false;
    known.run_at = known.run_at.min(now);
    let to = match known.state {
        JobState::Running => VideoState::Processing,
        _ => VideoState::Queued,
    };
    videos::step(&mut video, to)?;
    put(view, &known)?;
    videos::put(view, &video)?;
    Ok(video)
}
