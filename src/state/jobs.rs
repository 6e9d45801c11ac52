//! Transactions on the queue: claimed, renewed, ended, put back.
//!
//! A job is in one of two indexes while it is open, so that claiming looks at one entry for each
//! priority in use, however many jobs have ended.

use super::error::{Conflict, StateError};
use super::record::{JobRecord, VideoRecord};
use super::view::{self, View};
use super::writer::Promise;
use super::{State, keys, stages, videos};
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::extra::{Chosen, ExtraKind};
use crate::model::job::{JobState, SMALL_WAITING_MAX, is_claimable};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::RenditionState;
use crate::model::video::{VideoKind, VideoState, Warning};
use crate::units::UnixMillis;

impl State {
    /// Takes the job that is to be worked on next, for `lease_ms` from `now`: the highest
    /// priority, among those the one that has been due longest; first of all one whose lease has
    /// run out. It has a new epoch and counts one attempt more, which the caller holds against
    /// the bound on attempts; the video is processing. `None` if nothing is due.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn claim_job(
        &self,
        now: UnixMillis,
        lease_ms: u64,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.claim_next(now, lease_ms, false).await
    }

    /// As [`State::claim_job`], for small jobs: the one that has been due longest. The video stays
    /// as it is.
    ///
    /// # Errors
    /// As [`State::claim_job`].
    /// # Durability
    /// Synced.
    pub async fn claim_small_job(
        &self,
        now: UnixMillis,
        lease_ms: u64,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.claim_next(now, lease_ms, true).await
    }

    async fn claim_next(
        &self,
        now: UnixMillis,
        lease_ms: u64,
        small: bool,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.call(Promise::Synced, move |view| {
            while let Some(mut job) = next_due(view, now, small)? {
                let video = view.find::<VideoRecord>(&keys::video(job.video))?;
                let Some(mut video) = video else {
                    // Nothing to work on: the next one, then.
                    end(&mut job, JobState::Cancelled, now);
                    put(view, &job)?;
                    continue;
                };
                if !small {
                    videos::step(&mut video, VideoState::Processing)?;
                }
                job.state = JobState::Running;
                job.epoch = job.epoch.next();
                job.attempt = job.attempt.saturating_add(1);
                job.lease_until = now.plus_ms(lease_ms);
                job.started_at = Some(now);
                stages::begin(&mut job, now);
                put(view, &job)?;
                videos::put(view, &video)?;
                return Ok(Some((job, video)));
            }
            Ok(None)
        })
        .await
    }

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

    /// Ends a job with success: everything planned is there and certain, the video is ready.
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
        warnings: Vec<Warning>,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            stages::finish(&mut job, &video, now);
            end(&mut job, JobState::Done, now);
            job.problem = None;
            videos::step(&mut video, VideoState::Ready)?;
            video.ready_at = Some(now);
            video.problem = None;
            video.warnings = warnings;
            put_both(view, &job, video)
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
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            stages::finish(&mut job, &video, now);
            end(&mut job, JobState::Done, now);
            job.problem = None;
            videos::step(&mut video, VideoState::Ready)?;
            video.kind = VideoKind::File;
            video.ready_at = Some(now);
            video.problem = None;
            put_both(view, &job, video)
        })
        .await
    }

    /// Queues a small job on a video; one that was to make the same ends, whatever its state.
    ///
    /// # Errors
    /// `Missing`; `Conflict(Full)` if too many wait; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn queue_small(
        &self,
        job: JobRecord,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut video = videos::get(view, job.video)?;
            if view.keys(keys::SMALL)?.len() >= SMALL_WAITING_MAX {
                return Err(StateError::Conflict(Conflict::Full));
            }
            let mut others = Vec::with_capacity(video.small_jobs.len() + 1);
            for other in std::mem::take(&mut video.small_jobs) {
                let known: Option<JobRecord> = view.find(&keys::job(other))?;
                if known.is_some_and(|known| known.task.makes() == job.task.makes()) {
                    cancel_open(view, other, now)?;
                } else {
                    others.push(other);
                }
            }
            others.push(job.id);
            video.small_jobs = others;
            put_new(view, &job)?;
            videos::put(view, &video)?;
            Ok(video)
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
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            end(&mut job, JobState::Done, now);
            job.problem = None;
            video.chosen = Some(chosen);
            put_both(view, &job, video)
        })
        .await
    }

    /// Puts a job back for another attempt from `run_at` on; the video is queued again.
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
    ) -> Result<VideoRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            job.run_at = run_at;
            job.problem = Some(problem);
            put_back(&mut job, &mut video)?;
            put_both(view, &job, video)
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
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            job.left_out.push(extra);
            job.run_at = now;
            job.problem = Some(problem);
            put_back(&mut job, &mut video)?;
            put_both(view, &job, video)
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
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            end(&mut job, JobState::Failed, now);
            job.problem = Some(problem.clone());
            if !job.task.is_small() {
                fail_video(&mut video, problem)?;
            }
            video.discarded |= discards;
            put_both(view, &job, video)
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
        self.call(Promise::Synced, move |view| {
            let (mut job, mut video) = held_with_video(view, id, epoch)?;
            job.attempt = job.attempt.saturating_sub(1);
            put_back(&mut job, &mut video)?;
            put_both(view, &job, video).map(drop)
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
            let cancelled = match video.job {
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

    /// Queues a video whose work has ended, however, with a new job. Qualities that are ready
    /// stay so.
    ///
    /// # Errors
    /// `Missing`; `Conflict` with the state of a job that is still open, or of a video that is
    /// still uploading or whose original isn't kept; `Failed`.
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

    /// Puts every running job back at once, which is right at the start only: under the data
    /// directory's lock nobody else can be working. Returns how many there were.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn reclaim_jobs(&self, now: UnixMillis) -> Result<usize, StateError> {
        self.call(Promise::Synced, move |view| {
            let running = view.keys(keys::RUNNING)?;
            for key in &running {
                let (_, id) = keys::parse_running(key).ok_or_else(|| damaged("r"))?;
                let mut job: JobRecord = view.get(&keys::job(id))?;
                match view.find::<VideoRecord>(&keys::video(job.video))? {
                    Some(mut video) => {
                        put_back(&mut job, &mut video)?;
                        videos::put(view, &video)?;
                    }
                    None => end(&mut job, JobState::Cancelled, now),
                }
                put(view, &job)?;
            }
            Ok(running.len())
        })
        .await
    }

    /// Reads a job.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn job(&self, id: JobId) -> Result<Option<JobRecord>, StateError> {
        self.view().find(&keys::job(id))
    }

    /// Reads at most `limit` jobs that `keep` wants, the newest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn jobs(
        &self,
        keep: &dyn Fn(&JobRecord) -> bool,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StateError> {
        self.newest(keys::JOBS, &keys::behind(keys::JOBS), limit, keep)
    }

    /// Reads the waiting jobs in the order in which they will be claimed, at most `limit`.
    ///
    /// # Errors
    /// `Failed`.
    pub fn jobs_in_line(&self, limit: usize) -> Result<Vec<JobId>, StateError> {
        let keys = self.inner.db.scan_prefix(keys::QUEUED).keys().take(limit);
        keys.filter_map(|key| match key {
            Ok(key) => keys::parse_queued(&key).map(|key| Ok(key.job)),
            Err(cause) => Some(Err(view::failed(cause))),
        })
        .collect()
    }

    /// Returns how many jobs wait, those whose time hasn't come with them.
    ///
    /// # Errors
    /// `Failed`.
    pub fn jobs_waiting(&self) -> Result<usize, StateError> {
        Ok(self.view().keys(keys::QUEUED)?.len())
    }

    /// Returns when the next job is due or the next lease ends; `None` if no job is open.
    ///
    /// # Errors
    /// `Failed`.
    pub fn next_run_at(&self) -> Result<Option<UnixMillis>, StateError> {
        let view = self.view();
        let queued = first_of_each_priority(&view)?.into_iter().map(|key| key.run_at).min();
        let lease = view.first(keys::RUNNING, &[])?;
        let lease = lease.and_then(|key| keys::parse_running(&key)).map(|(until, _)| until);
        let small = view.first(keys::SMALL, &[])?.and_then(|key| keys::parse_small(&key));
        let small = small.map(|(run_at, _)| run_at);
        Ok(queued.into_iter().chain(lease).chain(small).min())
    }
}

/// Writes a record, and moves its index entry to where its state belongs.
fn put(view: &mut View<'_>, job: &JobRecord) -> Result<(), StateError> {
    let stored: Option<JobRecord> = view.find(&keys::job(job.id))?;
    let before = stored.as_ref().and_then(keys::of_job);
    let after = keys::of_job(job);
    if before != after {
        before.into_iter().for_each(|key| view.remove(key));
        after.into_iter().for_each(|key| view.put_bytes(key, Vec::new()));
    }
    view.put(keys::job(job.id), job)
}

/// Puts a job that is new and waits.
pub(super) fn put_new(view: &mut View<'_>, job: &JobRecord) -> Result<(), StateError> {
    if job.state != JobState::Queued {
        return Err(StateError::Conflict(Conflict::Job(job.state)));
    }
    if view.bytes(&keys::job(job.id))?.is_some() {
        return Err(StateError::Conflict(Conflict::Exists));
    }
    put(view, job)
}

/// Reads a running job for its holder.
pub(super) fn held(view: &View<'_>, id: JobId, epoch: Epoch) -> Result<JobRecord, StateError> {
    let job: JobRecord = view.get(&keys::job(id))?;
    let holds = job.epoch == epoch && job.state == JobState::Running;
    if holds { Ok(job) } else { Err(StateError::Stale) }
}

/// Reads a running job for its holder, with its video.
pub(super) fn held_with_video(
    view: &View<'_>,
    id: JobId,
    epoch: Epoch,
) -> Result<(JobRecord, VideoRecord), StateError> {
    let job = held(view, id, epoch)?;
    let video = videos::get(view, job.video)?;
    Ok((job, video))
}

pub(super) fn put_both(
    view: &mut View<'_>,
    job: &JobRecord,
    video: VideoRecord,
) -> Result<VideoRecord, StateError> {
    put(view, job)?;
    videos::put(view, &video)?;
    Ok(video)
}

/// Returns the job, small or not, to be worked on next.
fn next_due(
    view: &View<'_>,
    now: UnixMillis,
    small: bool,
) -> Result<Option<JobRecord>, StateError> {
    // The two lines share this index: whose lease ran out first may be of the other one.
    let running = view.keys(keys::RUNNING)?;
    let leases = running.iter().filter_map(|key| keys::parse_running(key));
    let abandoned = leases.take_while(|(until, _)| *until <= now).map(|(_, id)| id);
    let due = if small {
        view.first(keys::SMALL, &[])?.and_then(|key| keys::parse_small(&key)).map(|(_, job)| job)
    } else {
        let queued = first_of_each_priority(view)?;
        queued.iter().find(|key| key.run_at <= now).map(|key| key.job)
    };
    for id in abandoned.chain(due) {
        let job: JobRecord = view.get(&keys::job(id))?;
        if job.task.is_small() == small && is_claimable(job.state, job.run_at, job.lease_until, now)
        {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Returns the earliest queued job of each priority in use, the highest priority first.
fn first_of_each_priority(view: &View<'_>) -> Result<Vec<keys::QueuedKey>, StateError> {
    let mut found = Vec::new();
    let mut from = Vec::new();
    while let Some(key) = view.first(keys::QUEUED, &from)? {
        let parsed = keys::parse_queued(&key).ok_or_else(|| damaged("q"))?;
        from = keys::behind(&keys::queued(parsed.priority));
        found.push(parsed);
    }
    Ok(found)
}

/// Queues a job and its video again.
fn put_back(job: &mut JobRecord, video: &mut VideoRecord) -> Result<(), StateError> {
    job.state = JobState::Queued;
    if job.task.is_small() {
        return Ok(());
    }
    stages::interrupt(job);
    settle(video, RenditionState::Pending);
    videos::step(video, VideoState::Queued)
}

/// Ends a job's work.
fn end(job: &mut JobRecord, to: JobState, now: UnixMillis) {
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
fn settle(video: &mut VideoRecord, to: RenditionState) {
    for rendition in &mut video.renditions {
        if rendition.state != RenditionState::Ready {
            rendition.state = to;
        }
    }
}

fn damaged(index: &str) -> StateError {
    StateError::Unreadable(format!("a key of the index {index}/ has another shape"))
}
