//! A job: the work on one video, in stages, under a lease that can be lost.

use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for its time and a free worker.
    Queued,
    /// A worker holds its lease.
    Running,
    /// Ended with success.
    Done,
    /// Ended for good without success.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

/// What a job is to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
pub enum Task {
    /// Everything that is made of a source; the video's state follows this job.
    #[default]
    Film,
    /// The poster that somebody has chosen.
    Poster {
        /// Where it comes from.
        of: PosterSource,
    },
}

/// Where a chosen poster comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum PosterSource {
    /// The film, at this time.
    Time {
        /// Seconds from its beginning.
        seconds: f64,
    },
    /// A picture that was handed over with the job.
    Image,
}

impl Task {
    /// Says whether it takes moments, and so has its own line: it doesn't wait behind films, not
    /// even its own, and the video's state doesn't follow it. Of two on a video that would make the
    /// same, the newer one counts.
    pub fn is_small(&self) -> bool {
        *self != Self::Film
    }

    /// Says whether the source is needed for it.
    pub fn reads_source(&self) -> bool {
        !matches!(self, Self::Poster { of: PosterSource::Image })
    }

    /// Returns what it makes; a newer small job for the same takes an older one's place.
    pub fn makes(&self) -> &'static str {
        match self {
            Self::Film => "film",
            Self::Poster { .. } => "poster",
        }
    }
}

/// Where a job waits. Each line has workers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Films whose upload has finished.
    Films,
    /// Films that are still being uploaded.
    Live,
    /// What takes moments.
    Small,
}

/// Most small jobs that wait at once, of everybody.
pub const SMALL_WAITING_MAX: usize = 256;

/// The stages of a job, in the order that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Finding out what the file holds.
    Probe,
    /// A still picture.
    Poster,
    /// The qualities that players choose from.
    Renditions,
    /// Small pictures for the seek bar.
    Storyboard,
    /// Text tracks: those that the file holds. What is to be heard in a film without any belongs
    /// here as well, as one more extra that is published like them.
    Captions,
    /// Last files and the move to `ready`.
    Publish,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Stage; 6] = [
        Stage::Probe,
        Stage::Poster,
        Stage::Renditions,
        Stage::Storyboard,
        Stage::Captions,
        Stage::Publish,
    ];
}

/// Where one stage stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StageState {
    /// Not begun.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Finished.
    Done,
    /// Ended without success.
    Failed,
    /// Not part of this job.
    Skipped,
}

/// Priorities that people may give a job; a higher one goes first, and 0 is usual.
pub const PRIORITIES: std::ops::RangeInclusive<i32> = -100..=100;

/// Attempts one behind the other that get nowhere, before a job fails for good. One that publishes
/// something begins the count anew: a long film survives any number of restarts.
pub const ATTEMPTS_MAX: u32 = 5;

/// Attempts one behind the other that get nowhere because somebody else ended them, until more of
/// them count as failures. The kernel does it when memory is short, which passes; a film that gets
/// its process killed each time must end too.
pub const KILLS_MAX: u32 = 20;

/// What an attempt that ended before its time counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toll {
    /// A failure of the job's own.
    Failure,
    /// Somebody else ended it.
    Kill,
    /// It never was one.
    Nothing,
}

/// How long a lease holds without being renewed. The parent renews at a third of it.
pub const LEASE_MS: u64 = 30_000;

/// Longest wait between two attempts.
pub const BACKOFF_MS_MAX: u64 = 600_000;

/// Returns how long to wait before attempt `attempt` + 1, in milliseconds: 2 s, 8 s, 32 s, …
/// up to 10 minutes, less up to a quarter chosen by `jitter` (0.0 ..= 1.0).
pub fn backoff_ms(attempt: u32, jitter: f64) -> u64 {
    let full = 2_000u64.saturating_mul(4u64.saturating_pow(attempt.saturating_sub(1)));
    let full = full.min(BACKOFF_MS_MAX);
    full - (full as f64 * 0.25 * jitter.clamp(0.0, 1.0)) as u64
}

/// Says whether a job in `state` with this lease may be claimed at `now`.
pub fn is_claimable(
    state: JobState,
    run_at: UnixMillis,
    lease_until: UnixMillis,
    now: UnixMillis,
) -> bool {
    match state {
        JobState::Queued => run_at <= now,
        JobState::Running => lease_until <= now,
        JobState::Done | JobState::Failed | JobState::Cancelled => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waiting grows fourfold, is bounded, and jitter only shortens it.
    #[test]
    fn backoff_grows_to_its_bound() {
        let full: Vec<u64> = (1..=8).map(|attempt| backoff_ms(attempt, 0.0)).collect();
        assert_eq!(full[..4], [2_000, 8_000, 32_000, 128_000]);
        assert_eq!(full[7], 600_000);
        assert_eq!(backoff_ms(1, 1.0), 1_500);
    }

    /// A running job can be taken over only when its lease has run out.
    #[test]
    fn leases_protect_until_they_end() {
        let at = UnixMillis;
        assert!(!is_claimable(JobState::Running, at(0), at(11), at(10)));
        assert!(is_claimable(JobState::Running, at(0), at(10), at(10)));
        assert!(!is_claimable(JobState::Queued, at(11), at(0), at(10)));
        assert!(!is_claimable(JobState::Done, at(0), at(0), at(10)));
    }
}
