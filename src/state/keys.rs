//! Keys: a letter, a slash, and fixed-width big-endian parts, so that they sort as they mean.
//!
//! ```text
//! u/<upload>                        upload records
//! o/<upload>                        index: uploads that aren't finished
//! p/<upload>/<index>                acknowledged parts of uploads that aren't finished
//! v/<video>                         video records
//! xv/<video>                        videos in the trash
//! xu/<until>/<video>                index: the trash, by the time at which it is emptied
//! j/<job>                           job records
//! q/<priority>/<turn>/<job>         index: films in line, by priority and turn
//! a/<created_at>/<job>              index: films in line, by how long they have waited
//! d/<run_at>/<job>                  index: films that were set back, by when they are due
//! s/<run_at>/<job>                  index: queued small jobs, by when they are due
//! i/<run_at>/<job>                  index: queued jobs on uploads that are under way, likewise
//! r/<lease_until>/<job>             index: running jobs, by the end of their lease
//! e/<how>/<finished_at>/<job>       index: jobs that have ended, by how and when
//! n/<owner>                         the turn of the next film of an owner
//! f/<step>                          what was done in ten minutes, in numbers
//! m/rules                           when the rules of what goes by itself were looked at
//! m/line, m/paces                   about the line of films, and how long work takes here
//! yw/<target>/<delivery>            what webhooks have still to be told
//! yd/<delivery>                     what they were told, or wasn't
//! yr/<moment>                       reports of cleanings
//! t/<token>                         token records
//! h/<hash>                          index: tokens by their hash
//! gr/<grant>                        upload grants
//! gh/<hash>                         index: grants by their hash
//! go/<owner>/<grant>                index: grants by whom they are for
//! gd/<moment>/<grant>               index: grants by when they are forgotten
//! l/<hash>                          login codes
//! wu/<user>                         accounts
//! wn/<name>                         index: accounts by their name
//! ws/<token or user>/<session>      sessions
//! m/schema, m/secret/<name>         about the database itself, and its secrets
//! ```

use super::record::JobRecord;
use crate::ids::{
    DeliveryId, GrantId, JobId, Owner, SessionId, TokenId, UploadId, UserId, VideoId,
};
use crate::model::job::{JobState, Line};
use crate::units::UnixMillis;

pub(super) const UPLOADS: &[u8] = b"u/";
pub(super) const UNFINISHED: &[u8] = b"o/";
pub(super) const PARTS: &[u8] = b"p/";
pub(super) const VIDEOS: &[u8] = b"v/";
pub(super) const TRASH: &[u8] = b"xv/";
pub(super) const TRASH_UNTIL: &[u8] = b"xu/";
pub(super) const JOBS: &[u8] = b"j/";
pub(super) const QUEUED: &[u8] = b"q/";
pub(super) const AGE: &[u8] = b"a/";
pub(super) const SET_BACK: &[u8] = b"d/";
pub(super) const ENDED: &[u8] = b"e/";
pub(super) const NEXT_TURNS: &[u8] = b"n/";
pub(super) const LINE: &[u8] = b"m/line";
pub(super) const RULES: &[u8] = b"m/rules";
pub(super) const PACES: &[u8] = b"m/paces";
pub(super) const SMALL: &[u8] = b"s/";
pub(super) const LIVE: &[u8] = b"i/";
pub(super) const RUNNING: &[u8] = b"r/";
pub(super) const FIGURES: &[u8] = b"f/";
pub(super) const WAITING: &[u8] = b"yw/";
pub(super) const DELIVERED: &[u8] = b"yd/";
pub(super) const REPORTS: &[u8] = b"yr/";
pub(super) const TOKENS: &[u8] = b"t/";
pub(super) const LOGIN_CODES: &[u8] = b"l/";
pub(super) const USERS: &[u8] = b"wu/";
pub(super) const USER_NAMES: &[u8] = b"wn/";
pub(super) const SESSIONS: &[u8] = b"ws/";
pub(super) const GRANTS: &[u8] = b"gr/";
pub(super) const GRANT_HASHES: &[u8] = b"gh/";
pub(super) const GRANTS_BY_OWNER: &[u8] = b"go/";
pub(super) const GRANTS_DUE: &[u8] = b"gd/";
pub(super) const SECRETS: &[u8] = b"m/secret/";
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

pub(super) fn trash(id: VideoId) -> Vec<u8> {
    [TRASH, id.as_bytes()].concat()
}

pub(super) fn trash_until(until: UnixMillis, id: VideoId) -> Vec<u8> {
    [TRASH_UNTIL, &sortable(until), b"/", id.as_bytes()].concat()
}

/// Reads a key that [`trash_until`] made.
pub(super) fn parse_trash_until(key: &[u8]) -> Option<(UnixMillis, VideoId)> {
    let (until, id) = parse_moment_and_id(key.strip_prefix(TRASH_UNTIL)?)?;
    Some((until, VideoId::from_bytes(id)))
}

/// Returns the beginning of the keys of what waits for a target.
pub(super) fn waiting_for(target: [u8; 8]) -> Vec<u8> {
    [WAITING, target.as_slice(), b"/"].concat()
}

pub(super) fn waiting(target: [u8; 8], id: DeliveryId) -> Vec<u8> {
    [waiting_for(target).as_slice(), id.as_bytes()].concat()
}

pub(super) fn ended_delivery(id: DeliveryId) -> Vec<u8> {
    [DELIVERED, id.as_bytes()].concat()
}

pub(super) fn report(started_at: UnixMillis) -> Vec<u8> {
    [REPORTS, &sortable(started_at)].concat()
}

pub(super) fn job(id: JobId) -> Vec<u8> {
    [JOBS, id.as_bytes()].concat()
}

/// Returns the key of the figures of a step, counted from 1970.
pub(super) fn figures(step: u64) -> Vec<u8> {
    [FIGURES, &step.to_be_bytes()].concat()
}

/// Reads a key that [`figures`] wrote.
pub(super) fn parse_figures(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(FIGURES)?.try_into().ok()?))
}

pub(super) fn token(id: TokenId) -> Vec<u8> {
    [TOKENS, id.as_bytes()].concat()
}

pub(super) fn token_hash(hash: &[u8; 32]) -> Vec<u8> {
    [b"h/", hash.as_slice()].concat()
}

pub(super) fn user(id: UserId) -> Vec<u8> {
    [USERS, id.as_bytes()].concat()
}

pub(super) fn user_name(name: &Owner) -> Vec<u8> {
    [USER_NAMES, name.0.as_bytes()].concat()
}

/// Returns the beginning of the keys of a token's or an account's sessions.
pub(super) fn sessions_of(holder: &[u8; 16]) -> Vec<u8> {
    [SESSIONS, holder.as_slice(), b"/"].concat()
}

pub(super) fn session(holder: &[u8; 16], id: SessionId) -> Vec<u8> {
    [sessions_of(holder).as_slice(), id.as_bytes()].concat()
}

pub(super) fn grant(id: GrantId) -> Vec<u8> {
    [GRANTS, id.as_bytes()].concat()
}

pub(super) fn grant_hash(hash: &[u8; 32]) -> Vec<u8> {
    [GRANT_HASHES, hash.as_slice()].concat()
}

/// Returns the beginning of the keys of an owner's grants. No name holds a zero.
pub(super) fn grants_of(owner: &Owner) -> Vec<u8> {
    [GRANTS_BY_OWNER, owner.0.as_bytes(), b"\0"].concat()
}

pub(super) fn grant_of(owner: &Owner, id: GrantId) -> Vec<u8> {
    [grants_of(owner).as_slice(), id.as_bytes()].concat()
}

/// Reads the grant of a key that [`grant_of`] made.
pub(super) fn parse_grant_of(key: &[u8]) -> Option<GrantId> {
    key.last_chunk::<16>().map(|id| GrantId::from_bytes(*id))
}

pub(super) fn grant_due(at: UnixMillis, id: GrantId) -> Vec<u8> {
    [GRANTS_DUE, &sortable(at), b"/", id.as_bytes()].concat()
}

/// Reads a key that [`grant_due`] made.
pub(super) fn parse_grant_due(key: &[u8]) -> Option<(UnixMillis, GrantId)> {
    let (at, id) = parse_moment_and_id(key.strip_prefix(GRANTS_DUE)?)?;
    Some((at, GrantId::from_bytes(id)))
}

pub(super) fn login_code(hash: &[u8; 32]) -> Vec<u8> {
    [LOGIN_CODES, hash.as_slice()].concat()
}

pub(super) fn secret(name: &str) -> Vec<u8> {
    [SECRETS, name.as_bytes()].concat()
}

/// Returns what the keys of the secrets of one ring begin with.
pub(super) fn secrets_of(ring: &str) -> Vec<u8> {
    [secret(ring), b"/".to_vec()].concat()
}

/// Returns the key of the secret `number` of a ring; they sort by their numbers.
pub(super) fn secret_of(ring: &str, number: u32) -> Vec<u8> {
    secret(&format!("{ring}/{number:010}"))
}

/// Reads the number in a key that [`secret_of`] made.
pub(super) fn parse_secret_of(ring: &str, key: &[u8]) -> Option<u32> {
    let number = key.strip_prefix(secrets_of(ring).as_slice())?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Returns the index keys that a job in its present state has.
pub(super) fn of_job(job: &JobRecord) -> Vec<Vec<u8>> {
    let at = |index: &[u8], moment| [index, &sortable(moment), b"/", job.id.as_bytes()].concat();
    match job.state {
        JobState::Queued => match job.line() {
            Line::Films if job.set_back => vec![at(SET_BACK, job.run_at)],
            Line::Films => {
                let turn = job.turn.to_be_bytes();
                let place = [&queued(job.priority), turn.as_slice(), b"/", job.id.as_bytes()];
                vec![place.concat(), waited(job.created_at, job.id)]
            }
            Line::Live => vec![at(LIVE, job.run_at)],
            Line::Small => vec![at(SMALL, job.run_at)],
        },
        JobState::Running => vec![at(RUNNING, job.lease_until)],
        ended => vec![at(&ended_as(ended), job.finished_at.unwrap_or_default())],
    }
}

/// Returns the index key of a film in line, by when it was queued.
pub(super) fn waited(since: UnixMillis, job: JobId) -> Vec<u8> {
    [AGE, &sortable(since), b"/", job.as_bytes()].concat()
}

/// Returns the beginning of the keys of queued films of a priority; higher ones sort first.
pub(super) fn queued(priority: i32) -> Vec<u8> {
    let descending = !(priority.cast_unsigned() ^ (1 << 31));
    [QUEUED, &descending.to_be_bytes(), b"/"].concat()
}

/// Returns the beginning of the keys of jobs that ended in `state`.
pub(super) fn ended_as(state: JobState) -> Vec<u8> {
    let how = match state {
        JobState::Failed => b"f/",
        JobState::Cancelled => b"c/",
        JobState::Done | JobState::Queued | JobState::Running => b"d/",
    };
    [ENDED, how].concat()
}

/// Returns the first key of jobs that ended in `state` at `moment` or later.
pub(super) fn ended_since(state: JobState, moment: UnixMillis) -> Vec<u8> {
    [ended_as(state).as_slice(), &sortable(moment)].concat()
}

/// Returns where the turn of the next film of an owner is kept.
pub(super) fn next_turn(owner: &Owner) -> Vec<u8> {
    [NEXT_TURNS, owner.0.as_bytes()].concat()
}

/// What a key of the queued films says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedKey {
    pub(super) priority: i32,
    pub(super) turn: u64,
    pub(super) job: JobId,
}

/// Reads a key that [`of_job`] wrote for a film in line.
pub(super) fn parse_queued(key: &[u8]) -> Option<QueuedKey> {
    let rest = key.strip_prefix(QUEUED)?;
    let (descending, rest) = rest.split_first_chunk::<4>()?;
    let priority = (!u32::from_be_bytes(*descending) ^ (1 << 31)).cast_signed();
    let (turn, rest) = rest.strip_prefix(b"/")?.split_first_chunk::<8>()?;
    let job = rest.strip_prefix(b"/")?.try_into().ok()?;
    Some(QueuedKey { priority, turn: u64::from_be_bytes(*turn), job: JobId::from_bytes(job) })
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
    parse_moment_and_id(key).map(|(moment, id)| (moment, JobId::from_bytes(id)))
}

fn parse_moment_and_id(key: &[u8]) -> Option<(UnixMillis, [u8; 16])> {
    let (moment, rest) = key.split_first_chunk::<8>()?;
    let moment = (u64::from_be_bytes(*moment) ^ (1 << 63)).cast_signed();
    let id = rest.strip_prefix(b"/")?.try_into().ok()?;
    Some((UnixMillis(moment), id))
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

    fn queued_job(priority: i32, turn: u64) -> Vec<u8> {
        let (id, video) = (JobId::fresh(UnixMillis(1)), VideoId::fresh(UnixMillis(1)));
        let job = JobRecord::new(id, video, Owner("a".into()), UnixMillis(1));
        let mut keys = of_job(&JobRecord { priority, turn, ..job });
        keys.swap_remove(0)
    }

    /// Keys of queued jobs sort by falling priority, then rising turn, at the extremes too.
    #[test]
    fn queue_keys_sort_as_they_mean() {
        let places = [(i32::MAX, 5), (1, 0), (1, 9), (1, u64::MAX), (0, 0), (-1, 3), (i32::MIN, 3)];
        let keys = places.map(|(priority, turn)| queued_job(priority, turn));
        assert!(keys.is_sorted());
        for (key, (priority, turn)) in keys.iter().zip(places) {
            let read = parse_queued(key).expect("a key");
            assert_eq!((read.priority, read.turn), (priority, turn));
            assert!(key.starts_with(&queued(priority)));
            assert!(key < &behind(&queued(priority)));
        }
    }

    /// Moments sort as they mean, those before 1970 too.
    #[test]
    fn moments_sort_as_they_mean() {
        let moments = [i64::MIN, -9, 0, 5, i64::MAX].map(|ms| sortable(UnixMillis(ms)));
        assert!(moments.is_sorted());
    }

    /// No record or index begins like another one: each scan finds only its own.
    #[test]
    fn prefixes_are_distinct() {
        let all = [
            UPLOADS,
            UNFINISHED,
            PARTS,
            VIDEOS,
            TRASH,
            TRASH_UNTIL,
            REPORTS,
            WAITING,
            DELIVERED,
            JOBS,
            QUEUED,
            AGE,
            SET_BACK,
            ENDED,
            NEXT_TURNS,
            LINE,
            SMALL,
            LIVE,
            RUNNING,
            TOKENS,
            LOGIN_CODES,
            USERS,
            USER_NAMES,
            SESSIONS,
            GRANTS,
            GRANT_HASHES,
            GRANTS_BY_OWNER,
            GRANTS_DUE,
            SCHEMA,
            b"h/",
            RULES,
            SECRETS,
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert!(!one.starts_with(other) && !other.starts_with(one), "{one:?} {other:?}");
            }
        }
    }
}
