//! How long originals are kept, and videos by their state: the rules of what goes by itself.

use super::video::VideoState;
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};

/// A time between two looks at the rules after which the clock isn't believed at once.
const GAP_MS: u64 = 86_400_000;

/// How long nothing goes then: time enough for somebody, or for the network's time, to set a clock.
const HOLD_MS: u64 = 86_400_000;

/// How long the original of a video that is ready is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepOriginals {
    /// As long as the video.
    #[default]
    Always,
    /// Until everything is made of it.
    UntilReady,
    /// For this long behind that, in milliseconds.
    For {
        /// How long.
        ms: u64,
    },
}

impl KeepOriginals {
    /// Returns from when on the original of a video goes that became ready at `ready_at`; `None`
    /// if never.
    pub fn until(self, ready_at: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Always => None,
            Self::UntilReady => Some(ready_at),
            Self::For { ms } => Some(ready_at.plus_ms(ms)),
        }
    }
}

/// How long videos are kept whose work has ended, behind that end; for ever without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those that are ready, in milliseconds.
    pub ready_ms: Option<u64>,
    /// Those that have failed.
    pub failed_ms: Option<u64>,
}

impl Retention {
    /// Says whether nothing goes.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Returns from when on a video goes that is in this state since `since`; `None` if never.
    pub fn until(self, state: VideoState, since: UnixMillis) -> Option<UnixMillis> {
        let kept_ms = match state {
            VideoState::Ready => self.ready_ms,
            VideoState::Failed => self.failed_ms,
            VideoState::Uploading | VideoState::Queued | VideoState::Processing => None,
        };
        kept_ms.map(|ms| since.plus_ms(ms))
    }
}

/// When the rules were looked at last. A clock that is a day or more on since, be it because it was
/// set or because the server didn't run, isn't believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The last look.
    pub seen_at: UnixMillis,
    /// From when until when nothing goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<(UnixMillis, UnixMillis)>,
}

impl Watch {
    /// Returns what is known after a look at `now`.
    pub fn look(before: Option<Self>, now: UnixMillis) -> Self {
        let held = before.and_then(|before| match before.held_until(now) {
            Some(_) => before.held,
            None if now.ms_since(before.seen_at) > GAP_MS => Some((now, now.plus_ms(HOLD_MS))),
            None => None,
        });
        Self { seen_at: now, held }
    }

    /// Returns until when nothing goes; `None` if the clock is believed.
    pub fn held_until(&self, now: UnixMillis) -> Option<UnixMillis> {
        // A clock that was set back is behind the beginning, and nothing is due by it.
        self.held.filter(|(from, until)| (*from..*until).contains(&now)).map(|(_, until)| until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    /// A look an hour later changes nothing; one that is days later has nothing go for a day, over
    /// further looks and restarts too, and not longer if the clock is set back meanwhile.
    #[test]
    fn a_clock_that_jumps_is_not_believed_at_once() {
        let start = UnixMillis(1_700_000_000_000);
        let first = Watch::look(None, start);
        let later = start.plus_ms(HOUR);
        assert_eq!(Watch::look(Some(first), later), Watch { seen_at: later, held: None });
        let jumped = start.plus_ms(3650 * 24 * HOUR);
        let held = Watch::look(Some(first), jumped);
        assert_eq!(held.held_until(jumped), Some(jumped.plus_ms(24 * HOUR)));
        let again = Watch::look(Some(held), jumped.plus_ms(23 * HOUR));
        assert_eq!(again.held, held.held, "the day doesn't begin anew");
        let over = Watch::look(Some(again), jumped.plus_ms(24 * HOUR));
        assert_eq!(over.held, None);
        assert_eq!(Watch::look(Some(held), later).held, None, "it was set right");
    }

    /// Each state has its own time, and work that goes on none.
    #[test]
    fn states_have_their_times() {
        let rules = Retention { ready_ms: Some(5), failed_ms: None };
        let until = |state| rules.until(state, UnixMillis(10));
        assert_eq!(until(VideoState::Ready), Some(UnixMillis(15)));
        for state in [VideoState::Failed, VideoState::Queued, VideoState::Processing] {
            assert_eq!(until(state), None, "{state:?}");
        }
    }
}
