//! The line of jobs: who stands where, who is next, and when.
//!
//! A job is in one of two indexes while it is open, so that claiming looks at one entry for each
//! priority in use, however many jobs have ended. Small jobs have a line of their own, and so have
//! those on uploads that are under way.

use super::error::{Conflict, StateError};
use super::jobs::{cancel_open, end, put_back};
use super::record::{JobRecord, VideoRecord};
use super::view::{self, View};
use super::writer::Promise;
use super::{State, keys, stages, videos};
use crate::ids::JobId;
use crate::model::job::{JobState, Line, SMALL_WAITING_MAX, is_claimable};
use crate::model::video::VideoState;
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
        self.claim_next(now, lease_ms, Line::Films).await
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
        self.claim_next(now, lease_ms, Line::Small).await
    }

    /// As [`State::claim_small_job`], for jobs on uploads that are under way.
    ///
    /// # Errors
    /// As [`State::claim_job`].
    /// # Durability
    /// Synced.
    pub async fn claim_live_job(
        &self,
        now: UnixMillis,
        lease_ms: u64,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.claim_next(now, lease_ms, Line::Live).await
    }

    async fn claim_next(
        &self,
        now: UnixMillis,
        lease_ms: u64,
        line: Line,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.call(Promise::Synced, move |view| {
            while let Some(mut job) = next_due(view, now, line)? {
                let video = view.find::<VideoRecord>(&keys::video(job.video))?;
                let Some(mut video) = video else {
                    // Nothing to work on: the next one, then.
                    end(&mut job, JobState::Cancelled, now);
                    put(view, &job)?;
                    continue;
                };
                if line == Line::Films {
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
        let small = first_due(&view, keys::SMALL)?.map(|(run_at, _)| run_at);
        let live = first_due(&view, keys::LIVE)?.map(|(run_at, _)| run_at);
        Ok(queued.into_iter().chain(lease).chain(small).chain(live).min())
    }
}

/// Writes a record, and moves its index entry to where its state belongs.
pub(super) fn put(view: &mut View<'_>, job: &JobRecord) -> Result<(), StateError> {
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

/// Returns the job of a line that is to be worked on next.
fn next_due(view: &View<'_>, now: UnixMillis, line: Line) -> Result<Option<JobRecord>, StateError> {
    // The lines share this index: whose lease ran out first may be of another one.
    let running = view.keys(keys::RUNNING)?;
    let leases = running.iter().filter_map(|key| keys::parse_running(key));
    let abandoned = leases.take_while(|(until, _)| *until <= now).map(|(_, id)| id);
    let due = match line {
        Line::Small => first_due(view, keys::SMALL)?.map(|(_, job)| job),
        Line::Live => first_due(view, keys::LIVE)?.map(|(_, job)| job),
        Line::Films => {
            let queued = first_of_each_priority(view)?;
            queued.iter().find(|key| key.run_at <= now).map(|key| key.job)
        }
    };
    for id in abandoned.chain(due) {
        let job: JobRecord = view.get(&keys::job(id))?;
        if job.line() == line && is_claimable(job.state, job.run_at, job.lease_until, now) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

/// Returns the earliest queued job in an index without priorities, and when it is due.
fn first_due(view: &View<'_>, index: &[u8]) -> Result<Option<(UnixMillis, JobId)>, StateError> {
    Ok(view.first(index, &[])?.and_then(|key| keys::parse_due(&key, index)))
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

fn damaged(index: &str) -> StateError {
    StateError::Unreadable(format!("a key of the index {index}/ has another shape"))
}
