//! Jobs as they are listed and counted, by where they stand.

use super::error::StateError;
use super::record::JobRecord;
use super::{State, keys, order, view};
use crate::ids::JobId;
use crate::model::job::JobState;
use crate::units::UnixMillis;

/// Jobs that wait beside the line of films and are looked at for one list.
const ASIDE_MAX: usize = 1_000;

impl State {
    /// Reads a job.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn job(&self, id: JobId) -> Result<Option<JobRecord>, StateError> {
        self.view().find(&keys::job(id))
    }

    /// Reads at most `limit` jobs behind `before`: of all the newest first, of one state those that
    /// came into it last.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn jobs(
        &self,
        state: Option<JobState>,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StateError> {
        let cursor = match before {
            Some(before) => self.job(before)?,
            None => None,
        };
        match state {
            None => {
                let end = before.map_or_else(|| keys::behind(keys::JOBS), keys::job);
                self.newest(keys::JOBS, &end, limit, &|_: &JobRecord| true)
            }
            Some(JobState::Queued) => self.queued_jobs(cursor, limit),
            Some(JobState::Running) => {
                let mut jobs = self.last_of(keys::RUNNING, None, ASIDE_MAX)?;
                jobs.retain(|job| before.is_none_or(|before| job.id < before));
                jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
                jobs.truncate(limit);
                Ok(jobs)
            }
            Some(ended) => {
                let end = cursor.filter(|job| job.state == ended);
                let end = end.and_then(|job| keys::of_job(&job).into_iter().next());
                self.last_of(&keys::ended_as(ended), end, limit)
            }
        }
    }

    /// Reads waiting jobs, the newest first, those beside the line of films among them.
    fn queued_jobs(
        &self,
        cursor: Option<JobRecord>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StateError> {
        let end = cursor.as_ref().map(|job| keys::waited(job.created_at, job.id));
        let mut jobs = self.last_of(keys::AGE, end, limit)?;
        let is_behind = |job: &JobRecord| {
            let at = |job: &JobRecord| (job.created_at, job.id);
            cursor.as_ref().is_none_or(|cursor| at(job) < at(cursor))
        };
        for aside in [keys::SET_BACK, keys::LIVE, keys::SMALL] {
            jobs.extend(self.last_of(aside, None, ASIDE_MAX)?.into_iter().filter(is_behind));
        }
        jobs.sort_by_key(|job| std::cmp::Reverse((job.created_at, job.id)));
        jobs.truncate(limit);
        Ok(jobs)
    }

    /// Reads the last jobs of an index, or the last before the key `end`.
    fn last_of(
        &self,
        index: &[u8],
        end: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StateError> {
        let end = end.unwrap_or_else(|| keys::behind(index));
        let found = self.inner.db.range(index.to_vec()..end).rev().take(limit);
        let view = self.view();
        let mut jobs = Vec::new();
        for entry in found {
            let id = order::job_of(&entry.map_err(view::failed)?.0)?;
            // It may have moved on since its index was read.
            jobs.extend(view.find::<JobRecord>(&keys::job(id))?);
        }
        Ok(jobs)
    }

    /// Counts the jobs that ended in `state` since `moment`, up to `max`.
    ///
    /// # Errors
    /// `Failed`.
    pub fn count_ended(
        &self,
        state: JobState,
        moment: UnixMillis,
        max: usize,
    ) -> Result<usize, StateError> {
        let range = keys::ended_since(state, moment)..keys::behind(&keys::ended_as(state));
        let mut count = 0;
        for entry in self.inner.db.range(range).take(max) {
            entry.map_err(view::failed)?;
            count += 1;
        }
        Ok(count)
    }

    /// Returns when the film was queued that has been in line longest.
    ///
    /// # Errors
    /// `Failed`.
    pub fn longest_waiting(&self) -> Result<Option<UnixMillis>, StateError> {
        let first = self.view().first(keys::AGE, &[])?;
        Ok(first.and_then(|key| keys::parse_due(&key, keys::AGE)).map(|(since, _)| since))
    }
}
