//! The lines of jobs: who stands where, who is next, and when.
//!
//! Indexes follow each record in the transaction that puts it, so that a claim looks at the first
//! entries alone, however many jobs wait or have ended. Films have an order of their own
//! (`order`); small jobs, and those on uploads that are under way, are begun as they are due.

use super::error::{Conflict, StateError};
use super::growing::Growing;
use super::jobs::{cancel_open, end, put_back_killed};
use super::record::{JobRecord, VideoRecord};
use super::usage::{Move, Standing};
use super::view::{self, View};
use super::writer::Promise;
use super::{State, keys, order, stages, videos};
use crate::ids::JobId;
use crate::model::job::{BACKOFF_MS_MAX, JobState, Line, SMALL_WAITING_MAX, is_claimable};
use crate::model::video::VideoState;
use crate::units::UnixMillis;

impl State {
    /// Takes the film that is to be worked on next, for `lease_ms` from `now`: the one whose turn
    /// it is (`order`), of an owner with fewer than `of_owner_max` under way; first of all one
    /// whose lease has run out. It has a new epoch and counts one attempt more, which the caller
    /// holds against the bound on attempts; the video is processing. `None` if nothing is due, or
    /// the queue is paused.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn claim_job(
        &self,
        now: UnixMillis,
        lease_ms: u64,
        of_owner_max: Option<usize>,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.claim_next(now, lease_ms, Line::Films, of_owner_max).await
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
        self.claim_next(now, lease_ms, Line::Small, None).await
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
        self.claim_next(now, lease_ms, Line::Live, None).await
    }

    async fn claim_next(
        &self,
        now: UnixMillis,
        lease_ms: u64,
        line: Line,
        of_owner_max: Option<usize>,
    ) -> Result<Option<(JobRecord, VideoRecord)>, StateError> {
        self.call(Promise::Synced, move |view| {
            if order::of(view)?.is_paused {
                return Ok(None);
            }
            while let Some(mut job) = next_due(view, now, line, of_owner_max)? {
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
                job.in_vain = job.in_vain.saturating_add(1);
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
            if video.discarded && job.task.reads_source() {
                return Err(StateError::Conflict(Conflict::NotKept));
            }
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
                        put_back_killed(&mut job, &mut video)?;
                        videos::put(view, &video)?;
                    }
                    None => end(&mut job, JobState::Cancelled, now),
                }
                put(view, &job)?;
            }
            bring_near(view, now)?;
            Ok(running.len())
        })
        .await
    }

    /// Returns when the next job is due or the next lease ends; `None` if no job is open.
    ///
    /// # Errors
    /// `Failed`.
    pub fn next_run_at(&self) -> Result<Option<UnixMillis>, StateError> {
        let view = self.view();
        let queued = order::next_due(&view)?;
        let lease = view.first(keys::RUNNING, &[])?;
        let lease = lease.and_then(|key| keys::parse_running(&key)).map(|(until, _)| until);
        let small = first_due(&view, keys::SMALL)?.map(|(run_at, _)| run_at);
        let live = first_due(&view, keys::LIVE)?.map(|(run_at, _)| run_at);
        Ok(queued.into_iter().chain(lease).chain(small).chain(live).min())
    }
}

/// Writes a record, and moves its index entries to where its state belongs.
pub(super) fn put(view: &mut View<'_>, job: &JobRecord) -> Result<(), StateError> {
    let stored: Option<JobRecord> = view.find(&keys::job(job.id))?;
    let was_in_line = stored.as_ref().is_some_and(waits_among_films);
    let job = match waits_among_films(job) {
        true => order::enter(view, job)?,
        false => job.clone(),
    };
    if was_in_line && !job.is_open() {
        order::leave(view, &job)?;
    }
    let before = stored.as_ref().map(keys::of_job).unwrap_or_default();
    let after = keys::of_job(&job);
    if before != after {
        before.into_iter().for_each(|key| view.remove(key));
        after.into_iter().for_each(|key| view.put_bytes(key, Vec::new()));
    }
    let (owner, before) = (job.owner.clone(), stored.as_ref().and_then(Standing::of));
    view.count(Move::Job { owner, before, after: Standing::of(&job) });
    view.put(keys::job(job.id), &job)
}

/// Builds the indexes of jobs anew, in a database whose schema had others, and writes ours into it.
pub(super) fn index_anew(db: &sled::Db) -> Result<(), StateError> {
    let growing = Growing::default();
    let mut view = View::of(db, &growing);
    for index in [keys::QUEUED, keys::SMALL, keys::LIVE, keys::RUNNING] {
        for key in view.keys(index)? {
            view.remove(key);
        }
    }
    let mut jobs = Vec::new();
    for key in view.keys(keys::JOBS)? {
        jobs.push(view.get::<JobRecord>(&key)?);
    }
    jobs.sort_by_key(|job| (std::cmp::Reverse(job.priority), job.run_at, job.id));
    for mut job in jobs {
        if waits_among_films(&job) {
            job = order::enter(&mut view, &job)?;
        }
        keys::of_job(&job).into_iter().for_each(|key| view.put_bytes(key, Vec::new()));
        view.put(keys::job(job.id), &job)?;
    }
    view.put_bytes(keys::SCHEMA.to_vec(), super::SCHEMA.to_be_bytes().to_vec());
    let mut batch = sled::Batch::default();
    for (key, value) in view.into_writes().0 {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    db.apply_batch(batch).map_err(view::failed)
}

fn waits_among_films(job: &JobRecord) -> bool {
    job.state == JobState::Queued && job.line() == Line::Films
}

/// Has nothing wait longer than it would after a failure: at a start, the clock may be another.
fn bring_near(view: &mut View<'_>, now: UnixMillis) -> Result<(), StateError> {
    let latest = now.plus_ms(BACKOFF_MS_MAX);
    for key in view.keys(keys::SET_BACK)? {
        let Some((run_at, id)) = keys::parse_due(&key, keys::SET_BACK) else { continue };
        if run_at > latest {
            let job: JobRecord = view.get(&keys::job(id))?;
            put(view, &JobRecord { run_at: latest, ..job })?;
        }
    }
    Ok(())
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

/// Returns the job of a line that is to be worked on next, as it is before.
fn next_due(
    view: &mut View<'_>,
    now: UnixMillis,
    line: Line,
    of_owner_max: Option<usize>,
) -> Result<Option<JobRecord>, StateError> {
    // The lines share this index: whose lease ran out first may be of another one.
    let running = view.keys(keys::RUNNING)?;
    let leases = running.iter().filter_map(|key| keys::parse_running(key));
    for (_, id) in leases.take_while(|(until, _)| *until <= now) {
        let job: JobRecord = view.get(&keys::job(id))?;
        if job.line() == line {
            return Ok(Some(job));
        }
    }
    let due = match line {
        Line::Small => first_due(view, keys::SMALL)?,
        Line::Live => first_due(view, keys::LIVE)?,
        Line::Films => {
            let Some(next) = order::next(view, now, of_owner_max)? else { return Ok(None) };
            order::begin(view, &next)?;
            return Ok(Some(next.job));
        }
    };
    let Some((_, id)) = due else { return Ok(None) };
    let job: JobRecord = view.get(&keys::job(id))?;
    Ok(Some(job).filter(|job| is_claimable(job.state, job.run_at, job.lease_until, now)))
}

/// Returns the earliest queued job in an index without priorities, and when it is due.
fn first_due(view: &View<'_>, index: &[u8]) -> Result<Option<(UnixMillis, JobId)>, StateError> {
    Ok(view.first(index, &[])?.and_then(|key| keys::parse_due(&key, index)))
}

pub(super) fn damaged(index: &str) -> StateError {
    StateError::Unreadable(format!("a key of the index {index}/ has another shape"))
}
