//! The queue of jobs: who gets the next one, what happens when it fails, and how it is ended.
//!
//! The truth is the job's row in `state`; this room holds the policy over it (when to try again,
//! when to give up) and the stop signals of the jobs that run in this process. A job may run
//! twice; its epoch makes sure that it has effect once. Called by `pipeline` for the work and by
//! `http` for cancel, retry and numbers.

mod places;

pub use places::Line;

use crate::clock::Clock;
use crate::events::{Event, EventKind, Hub};
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::extra::ExtraKind;
use crate::model::job::{
    ATTEMPTS_MAX, JobState, KILLS_MAX, LEASE_MS, Stage, Task, Toll, backoff_ms,
};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::video::VideoState;
use crate::state::{Conflict, JobRecord, State, StateError, VideoRecord};
use crate::units::UnixMillis;
use places::Places;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Hands out jobs and takes back their outcomes. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    state: State,
    hub: Hub,
    clock: Clock,
    bell: Arc<Notify>,
    running: Arc<Mutex<HashMap<JobId, CancellationToken>>>,
    /// Films at once of one owner.
    of_owner_max: Option<usize>,
    places: Places,
}

/// A job under a lease of this process.
pub struct Claim {
    /// The job as the claim left it: running, with its new epoch and attempt.
    pub job: JobRecord,
    /// Its video.
    pub video: VideoRecord,
    /// Fires when somebody ends the job; the record has been moved on by then.
    pub ended: CancellationToken,
}

/// How a failed job goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It will be tried again at this moment.
    Again(UnixMillis),
    /// It has failed for good.
    ForGood,
}

/// Numbers for people who watch the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Jobs that wait.
    pub queued: usize,
    /// Jobs that a worker holds.
    pub running: usize,
    /// Jobs that failed for good in the last 24 hours.
    pub failed: usize,
    /// Jobs done in the last hour.
    pub done_last_hour: usize,
    /// How long the film has waited that has been in line longest, in milliseconds.
    pub oldest_queued_ms: Option<u64>,
    /// Nothing is begun until somebody says so.
    pub is_paused: bool,
    /// How long a job takes on average, if one was ever done.
    pub usual_job_seconds: Option<f64>,
}

/// Why the queue refused.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// No such video.
    #[error("no such video")]
    Missing,
    /// The video has no job that could be ended, or one that must end first.
    #[error("the video's work isn't in a state for that")]
    Conflict,
    /// The original that it would be made of isn't kept.
    #[error("the original isn't kept")]
    NotKept,
    /// Too many jobs of this kind wait already.
    #[error("too many jobs wait")]
    Full,
    /// The lease has passed to somebody else; nothing was changed.
    #[error("the lease has been lost")]
    Stale,
    /// The database doesn't answer.
    #[error("state: {0}")]
    State(String),
}

impl From<StateError> for QueueError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Missing => Self::Missing,
            StateError::Stale => Self::Stale,
            StateError::Conflict(Conflict::Full) => Self::Full,
            StateError::Conflict(Conflict::NotKept) => Self::NotKept,
            StateError::Conflict(_) => Self::Conflict,
            other => Self::State(other.to_string()),
        }
    }
}

impl Queue {
    /// Makes the queue over the records in `state`. `bell` rings when a job may be waiting; of one
    /// owner at most `of_owner_max` films are worked on at once.
    pub fn new(
        state: State,
        hub: Hub,
        clock: Clock,
        bell: Arc<Notify>,
        of_owner_max: Option<usize>,
    ) -> Self {
        let (running, places) = (Arc::default(), Places::default());
        Self { state, hub, clock, bell, running, of_owner_max, places }
    }

    /// Returns the bell that rings when a job may be waiting. It is a hint: poll as well.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Puts every job that a killed server left running back in line.
    ///
    /// Only right while the data directory's lock is held and before the first claim.
    ///
    /// # Errors
    /// `State` when the database doesn't answer.
    pub async fn reclaim(&self) -> Result<usize, QueueError> {
        let count = self.state.reclaim_jobs(self.clock.now()).await?;
        if count > 0 {
            info!(count, "{count} jobs of the last run go on");
        }
        Ok(count)
    }

    /// Takes the film whose turn it is, if there is one: the highest priority first, among equals
    /// one of each owner, and every fourth time the one that has waited longest.
    ///
    /// # Errors
    /// `State` when the database doesn't answer.
    /// # Durability
    /// The claim is synced before it is returned.
    pub async fn claim(&self) -> Result<Option<Claim>, QueueError> {
        let claimed = self.state.claim_job(self.clock.now(), LEASE_MS, self.of_owner_max).await?;
        self.take_up(claimed).await
    }

    /// Takes the small job that has been due longest, if there is one.
    ///
    /// # Errors
    /// `State` when the database doesn't answer.
    /// # Durability
    /// The claim is synced before it is returned.
    pub async fn claim_small(&self) -> Result<Option<Claim>, QueueError> {
        let claimed = self.state.claim_small_job(self.clock.now(), LEASE_MS).await?;
        self.take_up(claimed).await
    }

    /// Takes the job on an upload under way that has been due longest, if there is one.
    ///
    /// # Errors
    /// `State` when the database doesn't answer.
    /// # Durability
    /// The claim is synced before it is returned.
    pub async fn claim_live(&self) -> Result<Option<Claim>, QueueError> {
        let claimed = self.state.claim_live_job(self.clock.now(), LEASE_MS).await?;
        self.take_up(claimed).await
    }

    async fn take_up(
        &self,
        claimed: Option<(JobRecord, VideoRecord)>,
    ) -> Result<Option<Claim>, QueueError> {
        let Some((job, video)) = claimed else { return Ok(None) };
        let ended = CancellationToken::new();
        self.signals().insert(job.id, ended.clone());
        self.tell(EventKind::VideoState, &video);
        let claim = Claim { job, video, ended };
        if claim.job.in_vain > ATTEMPTS_MAX {
            // Each attempt took the whole server with it, so none was ever settled.
            let detail = "Processing was interrupted too often.";
            self.settle(&claim, Problem::new(ProblemCode::WorkerCrashed, detail)).await?;
            self.put_down(claim.job.id);
            return Ok(None);
        }
        Ok(Some(claim))
    }

    /// Holds on to a lease for another [`LEASE_MS`].
    ///
    /// # Errors
    /// `Stale` when it was lost: stop the work at once.
    pub async fn renew(&self, job: JobId, epoch: Epoch) -> Result<(), QueueError> {
        let until = self.clock.now().plus_ms(LEASE_MS);
        Ok(self.state.renew_lease(job, epoch, until).await?)
    }

    /// Says when the next job is due, for a sleeper that heard no bell.
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.state.next_run_at().ok().flatten()
    }

    /// Sets the job on an upload aside until more of that comes; the attempt doesn't count.
    ///
    /// # Errors
    /// `Stale` when the lease was lost.
    pub async fn park(&self, claim: &Claim) -> Result<(), QueueError> {
        Ok(self.state.park_live(claim.job.id, claim.job.epoch).await?)
    }

    /// Ends the job on an upload that is under way, for `problem`, which is told to nobody: what is
    /// to be said of the film is said when all of it is here. Returns `false`, and does nothing,
    /// if it is by now.
    ///
    /// # Errors
    /// `Stale` when the lease was lost.
    pub async fn give_up_live(&self, claim: &Claim, problem: &Problem) -> Result<bool, QueueError> {
        let (job, now) = (claim.job.id, self.clock.now());
        let ended = claim.job.live && self.state.give_up_live(job, claim.job.epoch, now).await?;
        if ended {
            info!(job.id = %job, code = ?problem.code,
                "job {job} ends before its upload does: {}", problem.detail);
        }
        Ok(ended)
    }

    /// Records that a job went wrong, and decides whether it gets another attempt. One that works
    /// on an upload under way ends if it doesn't.
    ///
    /// # Errors
    /// `Stale` when the lease was lost; then nothing is changed.
    pub async fn settle(&self, claim: &Claim, problem: Problem) -> Result<Settled, QueueError> {
        let now = self.clock.now();
        let (job, attempt) = (claim.job.id, claim.job.attempt);
        if problem.code == ProblemCode::OutOfSpace {
            return self.wait_for_room(claim, problem).await;
        }
        let in_vain = claim.job.in_vain;
        if problem.code.is_retryable() && in_vain < ATTEMPTS_MAX {
            let run_at = now.plus_ms(backoff_ms(in_vain, jitter(job, attempt)));
            warn!(job.id = %job, attempt, code = ?problem.code,
                "job {job} failed and will be tried again: {}", problem.detail);
            let video =
                self.state.retry_job(job, claim.job.epoch, run_at, problem, Toll::Failure).await?;
            self.tell(EventKind::VideoState, &video);
            return Ok(Settled::Again(run_at));
        }
        if self.give_up_live(claim, &problem).await? {
            return Ok(Settled::ForGood);
        }
        info!(job.id = %job, attempt, code = ?problem.code,
            "job {job} failed for good: {}", problem.detail);
        let video = self.state.fail_job(job, claim.job.epoch, now, problem).await?;
        let small = claim.job.task.is_small();
        self.tell(if small { EventKind::VideoState } else { EventKind::VideoFailed }, &video);
        Ok(Settled::ForGood)
    }

    /// Records that somebody else killed a job's process. It is tried again soon, as whatever short
    /// of memory that was has passed, or as a failure of its own if it happens time and again.
    ///
    /// # Errors
    /// `Stale` when the lease was lost; then nothing is changed.
    pub async fn killed(&self, claim: &Claim, problem: Problem) -> Result<Settled, QueueError> {
        let (job, kills) = (claim.job.id, claim.job.kills);
        if kills >= KILLS_MAX {
            return self.settle(claim, problem).await;
        }
        let wait = backoff_ms((kills + 1).min(KILLS_BACKOFF_MAX), jitter(job, claim.job.attempt));
        let run_at = self.clock.now().plus_ms(wait);
        warn!(job.id = %job, kills, "job {job} was killed and will be tried again");
        let video = self.state.retry_job(job, claim.job.epoch, run_at, problem, Toll::Kill).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(Settled::Again(run_at))
    }

    /// Sets a job aside that the disk has no room for; the attempt doesn't count.
    async fn wait_for_room(&self, claim: &Claim, problem: Problem) -> Result<Settled, QueueError> {
        let (job, run_at) = (claim.job.id, self.clock.now().plus_ms(ROOM_MS));
        warn!(job.id = %job, "job {job} waits for room on the disk");
        let video =
            self.state.retry_job(job, claim.job.epoch, run_at, problem, Toll::Nothing).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(Settled::Again(run_at))
    }

    /// Records that a job's process broke down over `extra`, and gives it another attempt at once
    /// that leaves it out.
    ///
    /// # Errors
    /// `Stale` when the lease was lost; then nothing is changed.
    pub async fn leave_out(
        &self,
        claim: &Claim,
        extra: ExtraKind,
        problem: Problem,
    ) -> Result<Settled, QueueError> {
        let (job, attempt, now) = (claim.job.id, claim.job.attempt, self.clock.now());
        if claim.job.in_vain >= ATTEMPTS_MAX || claim.job.left_out.contains(&extra) {
            return self.settle(claim, problem).await;
        }
        warn!(job.id = %job, attempt, code = ?problem.code, ?extra,
            "job {job} broke down over the {} and goes on without: {}",
            extra.in_words(), problem.detail);
        let video = self.state.leave_out(job, claim.job.epoch, now, extra, problem).await?;
        self.tell(EventKind::VideoState, &video);
        self.bell.notify_one();
        Ok(Settled::Again(now))
    }

    /// Records that a job's file isn't taken; the video fails for good, and its original counts
    /// as gone and may be removed.
    ///
    /// # Errors
    /// `Stale` when the lease was lost; then nothing is changed.
    pub async fn reject(&self, claim: &Claim, problem: Problem) -> Result<(), QueueError> {
        let (job, now) = (claim.job.id, self.clock.now());
        info!(job.id = %job, "job {job}: the file isn't taken: {}", problem.detail);
        let video = self.state.reject_job(job, claim.job.epoch, now, problem).await?;
        self.tell(EventKind::VideoFailed, &video);
        Ok(())
    }

    /// Gives a job back untouched because this process stops; the attempt doesn't count.
    ///
    /// # Errors
    /// `Stale` when the lease was lost.
    pub async fn release(&self, claim: &Claim) -> Result<(), QueueError> {
        Ok(self.state.release_job(claim.job.id, claim.job.epoch).await?)
    }

    /// Forgets the stop signal of a job whose work has ended in this process.
    pub fn put_down(&self, job: JobId) {
        self.signals().remove(&job);
    }

    /// Ends the work on a video: its record moves at once, its child is killed within moments.
    ///
    /// # Errors
    /// `Missing` without such a video; `Conflict` when it has no job that waits or runs.
    pub async fn cancel(&self, video: VideoId) -> Result<VideoRecord, QueueError> {
        let record = self.state.cancel_job(video, self.clock.now()).await?;
        self.stop_child(record.job);
        self.tell(EventKind::VideoFailed, &record);
        Ok(record)
    }

    /// Kills the child of a job that no longer counts, if this process runs it.
    pub fn stop_child(&self, job: Option<JobId>) {
        if let Some(signal) = job.and_then(|job| self.signals().get(&job).cloned()) {
            signal.cancel();
        }
    }

    /// Tells everybody of a video whose work was moved on by others.
    pub fn told(&self, video: &VideoRecord) {
        let failed = video.state == VideoState::Failed;
        self.tell(if failed { EventKind::VideoFailed } else { EventKind::VideoState }, video);
        self.bell.notify_one();
    }

    /// Says whether this process still works on a job, be it one that no longer counts.
    pub fn is_held(&self, job: JobId) -> bool {
        self.signals().contains_key(&job)
    }

    /// Puts a failed or ready video in line again, for what is missing, and for `redo` anew.
    ///
    /// # Errors
    /// `Missing` without such a video; `NotKept` without its original; `Conflict` while a job of it
    /// waits or runs, or while its upload goes on.
    pub async fn retry(
        &self,
        video: VideoId,
        redo: Option<Stage>,
    ) -> Result<VideoRecord, QueueError> {
        let record = self.state.video(video)?.ok_or(QueueError::Missing)?;
        let now = self.clock.now();
        let job = JobRecord::new(JobId::fresh(now), video, record.owner.clone(), now);
        let job = JobRecord { redo: Vec::from_iter(redo), ..job };
        let record = self.state.requeue(video, job).await?;
        self.tell(EventKind::VideoState, &record);
        self.bell.notify_one();
        Ok(record)
    }

    /// Puts a small job on a video in line. It doesn't wait behind films; one that was to make the
    /// same for this video ends.
    ///
    /// # Errors
    /// `Missing` without such a video; `NotKept` if it is made of an original that is gone; `Full`.
    pub async fn add_small(
        &self,
        job: JobId,
        video: &VideoRecord,
        task: Task,
    ) -> Result<VideoRecord, QueueError> {
        let now = self.clock.now();
        let small = JobRecord::small(job, video.id, video.owner.clone(), task, now);
        let record = self.state.queue_small(small, now).await?;
        let ended = video.small_jobs.iter().filter(|old| !record.small_jobs.contains(old));
        ended.for_each(|&old| self.stop_child(Some(old)));
        self.tell(EventKind::VideoState, &record);
        self.bell.notify_one();
        Ok(record)
    }

    /// Has nothing be begun any more, or again; what runs goes on to its end. It holds over a
    /// restart. Says whether that is new.
    ///
    /// # Errors
    /// `State` when the database doesn't answer.
    pub async fn pause(&self, is_paused: bool) -> Result<bool, QueueError> {
        let is_new = self.state.pause_jobs(is_paused).await?;
        if is_new {
            match is_paused {
                true => info!("the queue is paused: no job is begun"),
                false => info!("the queue goes on"),
            }
            self.hub.publish(Event::of_queue(self.clock.now()));
        }
        self.bell.notify_one();
        Ok(is_new)
    }

    /// Says whether the queue is paused.
    ///
    /// # Errors
    /// `State` when the database can't be read.
    pub fn is_paused(&self) -> Result<bool, QueueError> {
        Ok(self.state.film_line()?.is_paused)
    }

    /// Gives the open job of a video another priority; one that runs already keeps it for its
    /// next attempt.
    ///
    /// # Errors
    /// `Missing` without such a video; `Conflict` when it has no job that waits or runs.
    pub async fn prioritise(
        &self,
        video: VideoId,
        priority: i32,
    ) -> Result<VideoRecord, QueueError> {
        let record = self.state.prioritise(video, priority).await?;
        self.tell(EventKind::VideoState, &record);
        Ok(record)
    }

    /// Counts the jobs.
    ///
    /// # Errors
    /// `State` when the database can't be read.
    pub fn counts(&self) -> Result<Counts, QueueError> {
        let (now, open) = (self.clock.now(), self.state.open_jobs());
        let since = |ms: i64| UnixMillis(now.0.saturating_sub(ms));
        let ended = |state, ms| self.state.count_ended(state, since(ms), ENDED_COUNTED_MAX);
        Ok(Counts {
            queued: open.films + open.live + open.small,
            running: open.running,
            failed: ended(JobState::Failed, 86_400_000)?,
            done_last_hour: ended(JobState::Done, 3_600_000)?,
            oldest_queued_ms: self.state.longest_waiting()?.map(|since| now.ms_since(since)),
            is_paused: self.state.film_line()?.is_paused,
            usual_job_seconds: self.state.paces()?.usual_job(),
        })
    }

    /// Returns the line of films as it stands.
    pub fn line(&self) -> Line<'_> {
        self.places.line(&self.state)
    }

    /// Returns the seconds until a waiting film will be ready, where it has so many before it and
    /// `workers` work, as far as earlier work tells; nobody knows while the queue is paused.
    pub fn ready_in(&self, video: &VideoRecord, before: usize, workers: usize) -> Option<f64> {
        if self.is_paused().ok()? {
            return None;
        }
        let paces = self.state.paces().ok()?;
        let (usual, own) = (paces.usual_job()?, paces.expected_of(video.size)?);
        let running = self.signals().len();
        let left = self.state.jobs(Some(JobState::Running), None, running).ok()?;
        let films = left.iter().filter(|job| !job.task.is_small() && !job.live);
        let left: f64 = films
            .map(|job| self.hub.progress(job.video).and_then(|told| told.eta_seconds))
            .map(|left| left.unwrap_or(usual / 2.0))
            .sum();
        let before = left + before as f64 * usual;
        Some(before / workers.max(1) as f64 + own)
    }

    fn tell(&self, kind: EventKind, video: &VideoRecord) {
        let now = self.clock.now();
        self.hub.publish(Event::of_video(kind, now, video.id, video.owner.clone()));
        self.hub.publish(Event::of_queue(now));
    }

    fn signals(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills after which the wait before another attempt grows no more: half a minute is time enough
/// for memory that was short.
const KILLS_BACKOFF_MAX: u32 = 3;

/// How long a job waits at least that the disk had no room for.
const ROOM_MS: u64 = 15_000;

/// Ended jobs that are counted; more are shown as this many.
const ENDED_COUNTED_MAX: usize = 10_000;

/// Spreads retries of many jobs apart without a random source: the id's own random bits serve.
fn jitter(job: JobId, attempt: u32) -> f64 {
    let byte = job.as_bytes()[8 + (attempt as usize % 8)];
    f64::from(byte) / 255.0
}

/// What a crash of the server's own making is called.
pub fn internal(detail: &str) -> Problem {
    Problem::new(ProblemCode::Internal, detail)
}
