//! The order of films in line: priorities first, among equals a turn for each owner, and every
//! fourth time whoever has waited longest, so that nobody waits for ever.
//!
//! An owner's films have turns one behind the other, each as far from the last as it weighs; the
//! first of them gets the turn that has come (start-time fair queueing: Goyal, Vin and Cheng,
//! "Start-time Fair Queuing", 1996). So who brings one film among somebody's hundreds is next,
//! and the order is one of keys: a claim looks at the first of them. What was set back until a
//! later moment waits beside the line and comes into it when that moment has come.

use super::error::StateError;
use super::line::{damaged, put};
use super::record::{JobRecord, LineRecord, VideoRecord};
use super::view::{self, View};
use super::writer::Promise;
use super::{State, keys};
use crate::ids::{JobId, Owner};
use crate::units::UnixMillis;
use std::collections::{HashMap, HashSet};

/// Each so manieth film that is begun is the one that has waited longest, whatever its priority.
pub const LONGEST_EVERY: u64 = 4;

/// Films looked at for one claim whose owners have enough under way.
const PASSED_OVER_MAX: usize = 256;

/// Films that were set back and come into line with one claim.
const RECALLED_MAX: usize = 256;

/// What a film weighs at least, and bytes that weigh one more.
const WEIGHT_MIN: u64 = 64;
const WEIGHT_BYTES: u64 = 1 << 20;

/// The film that is to be begun.
pub(super) struct Next {
    pub(super) job: JobRecord,
    /// It is because it has waited longest, and not because it is its turn.
    is_longest: bool,
}

impl State {
    /// Returns what is known of the line of films as a whole.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn film_line(&self) -> Result<LineRecord, StateError> {
        of(&self.view())
    }

    /// Has nothing be begun any more, or again; what runs goes on. Says whether that is new.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Synced: it holds over a restart.
    pub async fn pause_jobs(&self, is_paused: bool) -> Result<bool, StateError> {
        self.call(Promise::Synced, move |view| {
            let line = of(view)?;
            view.put(keys::LINE.to_vec(), &LineRecord { is_paused, ..line })?;
            Ok(line.is_paused != is_paused)
        })
        .await
    }

    /// Reads the films in line in the order in which they will be begun if no other comes.
    ///
    /// # Errors
    /// `Failed`.
    pub fn films_in_line(&self) -> Result<Vec<JobId>, StateError> {
        let jobs = |prefix: &[u8]| -> Result<Vec<JobId>, StateError> {
            let keys = self.inner.db.scan_prefix(prefix).keys();
            keys.map(|key| job_of(&key.map_err(view::failed)?)).collect()
        };
        let (by_turn, by_age) = (jobs(keys::QUEUED)?, jobs(keys::AGE)?);
        let begun = self.film_line()?.begun;
        let (mut by_turn, mut by_age) = (by_turn.into_iter(), by_age.into_iter());
        let mut taken = HashSet::with_capacity(by_turn.len());
        let mut line = Vec::with_capacity(by_turn.len());
        loop {
            let is_longest = is_longest_next(begun + line.len() as u64);
            let from = if is_longest { &mut by_age } else { &mut by_turn };
            match from.find(|job| !taken.contains(job)) {
                Some(job) => {
                    taken.insert(job);
                    line.push(job);
                }
                None => return Ok(line),
            }
        }
    }
}

fn is_longest_next(begun: u64) -> bool {
    (begun + 1).is_multiple_of(LONGEST_EVERY)
}

/// Reads what is known of the line.
pub(super) fn of(view: &View<'_>) -> Result<LineRecord, StateError> {
    Ok(view.find(keys::LINE)?.unwrap_or_default())
}

/// Returns a film with its turn, should it come into line without one.
pub(super) fn enter(view: &mut View<'_>, job: &JobRecord) -> Result<JobRecord, StateError> {
    if job.turn > 0 {
        return Ok(job.clone());
    }
    let turn = next_turn(view, &job.owner)?.max(of(view)?.turn).max(1);
    let behind = turn.saturating_add(weight(view, job)?);
    view.put_bytes(keys::next_turn(&job.owner), behind.to_be_bytes().to_vec());
    Ok(JobRecord { turn, ..job.clone() })
}

/// Gives an owner back what a film weighs that leaves the line without having been begun.
pub(super) fn leave(view: &mut View<'_>, job: &JobRecord) -> Result<(), StateError> {
    let next = next_turn(view, &job.owner)?.saturating_sub(weight(view, job)?);
    let key = keys::next_turn(&job.owner);
    match next > of(view)?.turn {
        true => view.put_bytes(key, next.to_be_bytes().to_vec()),
        false => view.remove(key),
    }
    Ok(())
}

/// Returns the film that is to be begun now, if there is one whose owner has fewer than
/// `of_owner_max` under way.
pub(super) fn next(
    view: &mut View<'_>,
    now: UnixMillis,
    of_owner_max: Option<usize>,
) -> Result<Option<Next>, StateError> {
    recall(view, now)?;
    let busy = match of_owner_max {
        Some(max) => busy_owners(view, max)?,
        None => HashSet::new(),
    };
    let mut passed_over = 0;
    if is_longest_next(of(view)?.begun) {
        let found = first_fit(view, keys::AGE, now, &busy, &mut passed_over)?;
        if let Some(job) = found {
            return Ok(Some(Next { job, is_longest: true }));
        }
    }
    let mut from = Vec::new();
    while let Some(key) = view.first(keys::QUEUED, &from)? {
        let priority = keys::parse_queued(&key).ok_or_else(|| damaged("q"))?.priority;
        let of_priority = keys::queued(priority);
        from = keys::behind(&of_priority);
        if let Some(job) = first_fit(view, &of_priority, now, &busy, &mut passed_over)? {
            return Ok(Some(Next { job, is_longest: false }));
        }
    }
    Ok(None)
}

/// Notes that a film was begun.
pub(super) fn begin(view: &mut View<'_>, next: &Next) -> Result<(), StateError> {
    let mut line = of(view)?;
    line.begun += 1;
    // Who has waited longest is begun before its turn, which hasn't come by that.
    if !next.is_longest {
        line.turn = line.turn.max(next.job.turn);
    }
    view.put(keys::LINE.to_vec(), &line)
}

/// Returns when the next film is due: at once where one is in line.
pub(super) fn next_due(view: &View<'_>) -> Result<Option<UnixMillis>, StateError> {
    let first = |index: &[u8]| -> Result<Option<UnixMillis>, StateError> {
        let key = view.first(index, &[])?;
        Ok(key.and_then(|key| keys::parse_due(&key, index)).map(|(moment, _)| moment))
    };
    Ok(first(keys::AGE)?.into_iter().chain(first(keys::SET_BACK)?).min())
}

/// Brings what was set back and is due into the line.
fn recall(view: &mut View<'_>, now: UnixMillis) -> Result<(), StateError> {
    for _ in 0..RECALLED_MAX {
        let key = view.first(keys::SET_BACK, &[])?;
        let due = key.and_then(|key| keys::parse_due(&key, keys::SET_BACK));
        let Some((_, id)) = due.filter(|(run_at, _)| *run_at <= now) else { return Ok(()) };
        let job: JobRecord = view.get(&keys::job(id))?;
        put(view, &JobRecord { set_back: false, ..job })?;
    }
    Ok(())
}

/// Returns the owners that have so many films under way.
fn busy_owners(view: &View<'_>, max: usize) -> Result<HashSet<Owner>, StateError> {
    let mut counts: HashMap<Owner, usize> = HashMap::new();
    for key in view.keys(keys::RUNNING)? {
        let job: JobRecord = view.get(&keys::job(job_of(&key)?))?;
        if !job.task.is_small() && !job.live {
            *counts.entry(job.owner).or_default() += 1;
        }
    }
    Ok(counts.into_iter().filter(|(_, count)| *count >= max).map(|(owner, _)| owner).collect())
}

/// Returns the first film of an index that can be begun, looking at some only.
fn first_fit(
    view: &View<'_>,
    index: &[u8],
    now: UnixMillis,
    busy: &HashSet<Owner>,
    passed_over: &mut usize,
) -> Result<Option<JobRecord>, StateError> {
    let mut from = Vec::new();
    while *passed_over < PASSED_OVER_MAX {
        let Some(key) = view.first(index, &from)? else { return Ok(None) };
        let job: JobRecord = view.get(&keys::job(job_of(&key)?))?;
        if job.run_at <= now && !busy.contains(&job.owner) {
            return Ok(Some(job));
        }
        from = key;
        from.push(0);
        *passed_over += 1;
    }
    Ok(None)
}

/// Returns the job of an index key: its last part.
pub(super) fn job_of(key: &[u8]) -> Result<JobId, StateError> {
    let id = key.last_chunk::<16>().ok_or_else(|| damaged("of jobs"))?;
    Ok(JobId::from_bytes(*id))
}

fn next_turn(view: &View<'_>, owner: &Owner) -> Result<u64, StateError> {
    let bytes = view.bytes(&keys::next_turn(owner))?;
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    Ok(bytes.map_or(0, u64::from_be_bytes))
}

/// Returns what a film weighs: the work on it grows with its bytes, and isn't known better before.
fn weight(view: &View<'_>, job: &JobRecord) -> Result<u64, StateError> {
    let video: Option<VideoRecord> = view.find(&keys::video(job.video))?;
    Ok(WEIGHT_MIN + video.map_or(0, |video| video.size.0 / WEIGHT_BYTES))
}
