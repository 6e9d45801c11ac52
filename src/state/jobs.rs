//! Transactions on a job: held by one worker, ended, put back, called off by people.

use super::error::{Conflict, StateError};
use super::line::put;
use super::record::{JobRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, keys, stages, videos};
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::extra::{Chosen, ExtraKind};
use crate::model::job::{JobState, KILLS_MAX, Toll};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::RenditionState;
use crate::model::video::{VideoKind, VideoState, Warning};
use crate::units::UnixMillis;

impl State {
    /// Holds a job until `until`.
    ///
    /// # Errors
    /// `Stale` when the job was taken away, `Missing` when it is gone: stop working; `Failed`.
    /// # Durability
    /// Written: a start takes every running job back anyway.
    pub async fn renew_lease(
        &self,
        id: JobId,
        epoch: Epoch,
        until: UnixMillis,
    ) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let mut job = held(view, id, epoch)?;
            job.lease_until = until;
            put(view, &job)
        })
        .await
    }

    /// Ends a job with success: everything planned is there and certain, the video is ready, and
    /// so many `seconds` long.
    ///
    /// # Errors
    /// `Stale`, `Missing`; `Conflict` with the video's state; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn finish_job(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
        seconds: f64,
        warnings: Vec<Warning>,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, move |job, video| {
            video.warnings = warnings;
            if let Some(facts) = &mut video.facts {
                facts.duration = seconds;
            }
            make_ready(job, video, now)
        })
        .await
    }

    /// Ends a job on a file that isn't media, where such files are taken as well: there is nothing
    /// to make of it, and the video is ready as a file to be fetched.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced.
    pub async fn finish_as_file(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, move |job, video| {
            video.kind = VideoKind::File;
            make_ready(job, video, now)
        })
        .await
    }

    /// Ends a small job with success: the chosen poster is published and noted beside the original.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced.
    pub async fn finish_poster(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
        chosen: Chosen,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, move |job, video| {
            succeed(job, now);
            video.chosen = Some(chosen);
            Ok(())
        })
        .await
    }

    /// Puts a job back for another attempt from `run_at` on, which counts as `toll` says; the video
    /// is queued again.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced.
    pub async fn retry_job(
        &self,
        id: JobId,
        epoch: Epoch,
        run_at: UnixMillis,
        problem: Problem,
        toll: Toll,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, move |job, video| {
            match toll {
                Toll::Failure => {}
                Toll::Kill => count_as_killed(job),
                Toll::Nothing => uncount(job),
            }
            job.run_at = run_at;
            job.set_back = true;
            job.problem = Some(problem);
            put_back(job, video)
        })
        .await
    }

    /// Puts a job back for another attempt at once, which won't try to make `extra`; the video is
    /// queued again.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced.
    pub async fn leave_out(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
        extra: ExtraKind,
        problem: Problem,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, move |job, video| {
            job.left_out.push(extra);
            job.run_at = now;
            job.problem = Some(problem);
            put_back(job, video)
        })
        .await
    }

    /// Ends a job for good without success; the video has failed and says why.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced.
    pub async fn fail_job(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
        problem: Problem,
    ) -> Result<VideoRecord, StateError> {
        self.end_failed(id, epoch, now, problem, false).await
    }

    /// As [`State::fail_job`], for a file that isn't taken: its original counts as gone.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced: the original may be removed now.
    pub async fn reject_job(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
        problem: Problem,
    ) -> Result<VideoRecord, StateError> {
        self.end_failed(id, epoch, now, problem, true).await
    }

    async fn end_failed(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
        problem: Problem,
        discards: bool,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, move |job, video| {
            end(job, JobState::Failed, now);
            job.problem = Some(problem.clone());
            video.discarded |= discards;
            if job.task.is_small() { Ok(()) } else { fail_video(video, problem) }
        })
        .await
    }

    /// Puts a job back at once because the server stops; the attempt doesn't count.
    ///
    /// # Errors
    /// As [`State::finish_job`].
    /// # Durability
    /// Synced.
    pub async fn release_job(&self, id: JobId, epoch: Epoch) -> Result<(), StateError> {
        let released = self.change_held(id, epoch, move |job, video| {
            uncount(job);
            put_back(job, video)
        });
        released.await.map(drop)
    }

    /// Changes a running job and its video on behalf of the job's holder, and returns the video.
    pub(super) async fn change_held<C>(
        &self,
        id: JobId,
        epoch: Epoch,
        change: C,
    ) -> Result<VideoRecord, StateError>
    where
        C: FnOnce(&mut JobRecord, &mut VideoRecord) -> Result<(), StateError> + Send + 'static,
    {
        self.call(Promise::Synced, move |view| {
            let mut job = held(view, id, epoch)?;
            let mut video = videos::get(view, job.video)?;
            change(&mut job, &mut video)?;
            put(view, &job)?;
            videos::put(view, &video)?;
            Ok(video)
        })
        .await
    }

    /// Ends the open job of a video because somebody wants it so; a worker on it is stale.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the video's state if no job is open; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn cancel_job(
        &self,
        video: VideoId,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = videos::get(view, video)?;
            // What works on an upload that is under way ends with that.
            let job = video.job.filter(|_| video.state != VideoState::Uploading);
            let cancelled = match job {
                Some(job) => cancel_open(view, job, now)?,
                None => false,
            };
            if !cancelled {
                return Err(StateError::Conflict(Conflict::Video(video.state)));
            }
            let problem = Problem::new(ProblemCode::Cancelled, "Somebody stopped the processing.");
            fail_video(&mut video, problem)?;
            videos::put(view, &video)?;
            Ok(video)
        })
        .await
    }

    /// Gives the open job of a video another priority, and returns the video.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the video's state if no job is open; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn prioritise(
        &self,
        video: VideoId,
        priority: i32,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let video = videos::get(view, video)?;
            let job = match video.job {
                Some(job) => view.find::<JobRecord>(&keys::job(job))?,
                None => None,
            };
            let Some(job) = job.filter(JobRecord::is_open) else {
                return Err(StateError::Conflict(Conflict::Video(video.state)));
            };
            put(view, &JobRecord { priority, ..job })?;
            Ok(video)
        })
        .await
    }

    /// Queues a video whose work has ended, however, with a new job. Qualities that are ready
    /// stay so.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the state of a job that is still open, or of a video that is
    /// still uploading, or `NotKept`; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn requeue(&self, video: VideoId, job: JobRecord) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = videos::get(view, video)?;
            let last = match video.job {
                Some(last) => view.find::<JobRecord>(&keys::job(last))?,
                None => None,
            };
            if let Some(last) = last.filter(JobRecord::is_open) {
                return Err(StateError::Conflict(Conflict::Job(last.state)));
            }
            if video.discarded {
                return Err(StateError::Conflict(Conflict::NotKept));
            }
            if video.state == VideoState::Uploading {
                return Err(StateError::Conflict(Conflict::Video(video.state)));
            }
            if job.video != video.id {
                return Err(StateError::Missing);
            }
            settle(&mut video, RenditionState::Pending);
            videos::queue(view, video, Some(job))
        })
        .await
    }
}

/// Reads a running job for its holder.
pub(super) fn held(view: &View<'_>, id: JobId, epoch: Epoch) -> Result<JobRecord, StateError> {
    let job: JobRecord = view.get(&keys::job(id))?;
    let holds = job.epoch == epoch && job.state == JobState::Running;
    if holds { Ok(job) } else { Err(StateError::Stale) }
}

/// Counts an attempt off a job that was no fault of it.
pub(super) fn uncount(job: &mut JobRecord) {
    job.attempt = job.attempt.saturating_sub(1);
    job.in_vain = job.in_vain.saturating_sub(1);
}

/// Queues a job again whose attempt ended with the process that made it.
pub(super) fn put_back_killed(
    job: &mut JobRecord,
    video: &mut VideoRecord,
) -> Result<(), StateError> {
    count_as_killed(job);
    put_back(job, video)
}

/// Counts an attempt among those that somebody else ended, as far as those are no failures.
fn count_as_killed(job: &mut JobRecord) {
    if job.kills < KILLS_MAX {
        job.kills += 1;
        job.in_vain = job.in_vain.saturating_sub(1);
    }
}

/// Queues a job and its video again.
pub(super) fn put_back(job: &mut JobRecord, video: &mut VideoRecord) -> Result<(), StateError> {
    job.state = JobState::Queued;
    if job.task.is_small() {
        return Ok(());
    }
    stages::interrupt(job);
    settle(video, RenditionState::Pending);
    match job.live {
        true => Ok(()),
        false => videos::step(video, VideoState::Queued),
    }
}

/// Ends a job on a whole file: there is nothing more to be made of it.
fn make_ready(
    job: &mut JobRecord,
    video: &mut VideoRecord,
    now: UnixMillis,
) -> Result<(), StateError> {
    stages::finish(job, video, now);
    succeed(job, now);
    video.ready_at = Some(now);
    video.problem = None;
    videos::step(video, VideoState::Ready)
}

fn succeed(job: &mut JobRecord, now: UnixMillis) {
    end(job, JobState::Done, now);
    job.problem = None;
}

/// Ends a job's work.
pub(super) fn end(job: &mut JobRecord, to: JobState, now: UnixMillis) {
    job.state = to;
    job.finished_at = Some(now);
    stages::stop(job, now);
}

/// Cancels a job if it is open, and says whether it was. Its holder is stale from now on.
pub(super) fn cancel_open(
    view: &mut View<'_>,
    id: JobId,
    now: UnixMillis,
) -> Result<bool, StateError> {
    let Some(mut job) = view.find::<JobRecord>(&keys::job(id))?.filter(JobRecord::is_open) else {
        return Ok(false);
    };
    job.epoch = job.epoch.next();
    end(&mut job, JobState::Cancelled, now);
    put(view, &job)?;
    Ok(true)
}

fn fail_video(video: &mut VideoRecord, problem: Problem) -> Result<(), StateError> {
    settle(video, RenditionState::Failed);
    video.problem = Some(problem);
    videos::step(video, VideoState::Failed)
}

/// Moves every quality that isn't ready to `to`.
pub(super) fn settle(video: &mut VideoRecord, to: RenditionState) {
    for rendition in &mut video.renditions {
        if rendition.state != RenditionState::Ready {
            rendition.state = to;
        }
    }
}
