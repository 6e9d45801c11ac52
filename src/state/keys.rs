//! Keys: a letter, a slash, and fixed-width big-endian parts, so that they sort as they mean.
//!
//! ```text
//! u/<upload>                        upload records
//! o/<upload>                        index: uploads that aren't finished
//! p/<upload>/<index>                acknowledged parts of uploads that aren't finished
//! v/<video>                         video records
//! j/<job>                           job records
//! q/<priority>/<run_at>/<job>       index: queued jobs, in the order in which they are claimed
//! s/<run_at>/<job>                  index: queued small jobs, likewise
//! i/<run_at>/<job>                  index: queued jobs on uploads that are under way, likewise
//! r/<lease_until>/<job>             index: running jobs, by the end of their lease
//! t/<token>                         token records
//! h/<hash>                          index: tokens by their hash
//! l/<hash>                          login codes
//! m/schema, m/secret/<name>         about the database itself, and its secrets
//! ```

use super::record::JobRecord;
use crate::ids::{JobId, TokenId, UploadId, VideoId};
use crate::model::job::{JobState, Line};
use crate::units::UnixMillis;

pub(super) const UPLOADS: &[u8] = b"u/";
pub(super) const UNFINISHED: &[u8] = b"o/";
pub(super) const PARTS: &[u8] = b"p/";
pub(super) const VIDEOS: &[u8] = b"v/";
pub(super) const JOBS: &[u8] = b"j/";
pub(super) const QUEUED: &[u8] = b"q/";
pub(super) const SMALL: &[u8] = b"s/";
pub(super) const LIVE: &[u8] = b"i/";
pub(super) const RUNNING: &[u8] = b"r/";
pub(super) const TOKENS: &[u8] = b"t/";
pub(super) const LOGIN_CODES: &[u8] = b"l/";
pub(super) const SCHEMA: &[u8] = b"m/schema";

pub(super) fn upload(id: UploadId) -> Vec<u8> {
    [UPLOADS, id.as_bytes()].concat()
}

pub(super) fn unfinished(id: UploadId) -> Vec<u8> {
    [UNFINISHED, id.as_bytes()].concat()
}

/// Returns the beginning of the keys of an upload's parts.
pub(super) fn parts(id: UploadId) -> Vec<u8> {
    [PARTS, id.as_bytes(), b"/"].concat()
}

pub(super) fn part(id: UploadId, index: u32) -> Vec<u8> {
    [parts(id).as_slice(), &index.to_be_bytes()].concat()
}

pub(super) fn video(id: VideoId) -> Vec<u8> {
    [VIDEOS, id.as_bytes()].concat()
}

pub(super) fn job(id: JobId) -> Vec<u8> {
    [JOBS, id.as_bytes()].concat()
}

pub(super) fn token(id: TokenId) -> Vec<u8> {
    [TOKENS, id.as_bytes()].concat()
}

pub(super) fn token_hash(hash: &[u8; 32]) -> Vec<u8> {
    [b"h/", hash.as_slice()].concat()
}

pub(super) fn login_code(hash: &[u8; 32]) -> Vec<u8> {
    [LOGIN_CODES, hash.as_slice()].concat()
}

pub(super) fn secret(name: &str) -> Vec<u8> {
    [b"m/secret/", name.as_bytes()].concat()
}

/// Returns the index key that a job in its present state has; an ended one has none.
pub(super) fn of_job(job: &JobRecord) -> Option<Vec<u8>> {
    match job.state {
        JobState::Queued => {
            let beginning = match job.line() {
                Line::Films => queued_at(job.priority, job.run_at),
                Line::Live => [LIVE, &sortable(job.run_at)].concat(),
                Line::Small => [SMALL, &sortable(job.run_at)].concat(),
            };
            Some([&beginning, b"/".as_slice(), job.id.as_bytes()].concat())
        }
        JobState::Running => {
            let until = sortable(job.lease_until);
            Some([RUNNING, &until, b"/", job.id.as_bytes()].concat())
        }
        JobState::Done | JobState::Failed | JobState::Cancelled => None,
    }
}

/// Returns the beginning of the keys of queued jobs of a priority; higher ones sort first.
pub(super) fn queued(priority: i32) -> Vec<u8> {
    let descending = !(priority.cast_unsigned() ^ (1 << 31));
    [QUEUED, &descending.to_be_bytes(), b"/"].concat()
}

fn queued_at(priority: i32, run_at: UnixMillis) -> Vec<u8> {
    [queued(priority), sortable(run_at).to_vec()].concat()
}

/// What a key of the queued jobs says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedKey {
    pub(super) priority: i32,
    pub(super) run_at: UnixMillis,
    pub(super) job: JobId,
}

/// Reads a key that [`of_job`] wrote for a queued job.
pub(super) fn parse_queued(key: &[u8]) -> Option<QueuedKey> {
    let rest = key.strip_prefix(QUEUED)?;
    let (descending, rest) = rest.split_first_chunk::<4>()?;
    let priority = (!u32::from_be_bytes(*descending) ^ (1 << 31)).cast_signed();
    let (run_at, job) = parse_moment_and_job(rest.strip_prefix(b"/")?)?;
    Some(QueuedKey { priority, run_at, job })
}

/// Reads a key that [`of_job`] wrote in the index `prefix` of jobs without priorities: when it is
/// due, and the job.
pub(super) fn parse_due(key: &[u8], prefix: &[u8]) -> Option<(UnixMillis, JobId)> {
    parse_moment_and_job(key.strip_prefix(prefix)?)
}

/// Reads a key that [`of_job`] wrote for a running job: the end of its lease, and the job.
pub(super) fn parse_running(key: &[u8]) -> Option<(UnixMillis, JobId)> {
    parse_moment_and_job(key.strip_prefix(RUNNING)?)
}

fn parse_moment_and_job(key: &[u8]) -> Option<(UnixMillis, JobId)> {
    let (moment, rest) = key.split_first_chunk::<8>()?;
    let moment = (u64::from_be_bytes(*moment) ^ (1 << 63)).cast_signed();
    let job = rest.strip_prefix(b"/")?.try_into().ok()?;
    Some((UnixMillis(moment), JobId::from_bytes(job)))
}

/// Eight bytes that sort as the moments do, those before 1970 too.
fn sortable(moment: UnixMillis) -> [u8; 8] {
    (moment.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// Returns the first key behind all keys that begin with `prefix`, which must not end in 0xff.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;

    fn queued_job(priority: i32, run_at: i64) -> Vec<u8> {
        let (id, video) = (JobId::fresh(UnixMillis(1)), VideoId::fresh(UnixMillis(1)));
        let mut job = JobRecord::new(id, video, Owner("a".into()), UnixMillis(run_at));
        job.priority = priority;
        of_job(&job).expect("queued jobs have a key")
    }

    /// Keys of queued jobs sort by falling priority, then rising time, at the extremes too.
    #[test]
    fn queue_keys_sort_as_they_mean() {
        let keys = [
            queued_job(i32::MAX, 5),
            queued_job(1, -9),
            queued_job(1, 0),
            queued_job(1, i64::MAX),
            queued_job(0, i64::MIN),
            queued_job(-1, 3),
            queued_job(i32::MIN, 3),
        ];
        assert!(keys.is_sorted());
        let read: Vec<_> = keys.iter().map(|key| parse_queued(key).expect("a key")).collect();
        let parts: Vec<_> = read.iter().map(|key| (key.priority, key.run_at.0)).collect();
        assert_eq!(parts[0], (i32::MAX, 5));
        assert_eq!(parts[1], (1, -9));
        assert_eq!(parts[6], (i32::MIN, 3));
        for (key, priority) in keys.iter().zip([i32::MAX, 1, 1, 1, 0, -1, i32::MIN]) {
            assert!(key.starts_with(&queued(priority)));
            assert!(key < &behind(&queued(priority)));
        }
    }
}
