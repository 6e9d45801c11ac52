//! The one clock, handed in wherever leases and expiry need to know the time.
//!
//! It follows the system's clock, but never by a jump: somebody who sets that a day on would have
//! every upload expire at once and every lease run out, and somebody who sets it back would have
//! everything wait for a day. After a jump this clock goes at double speed, or half, until the two
//! agree again. Only what is compared with other machines' clocks asks for the system's.

use crate::units::UnixMillis;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tracing::warn;

/// A difference from the system's clock that is followed at once, in milliseconds.
const STEP_MS: i64 = 2_000;

/// Tells the time: the system's, or one that a test moves by hand. Clones are one clock.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System(Arc<Mutex<Follower>>),
    ByHand(Arc<AtomicI64>),
}

/// A clock that follows another one without its jumps.
#[derive(Debug)]
struct Follower {
    /// What it told last, and when that was by a clock that nobody sets.
    told: i64,
    steady: i64,
    /// The other clock has jumped, and isn't caught up with.
    is_behind: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// Returns a clock that follows the system's.
    pub fn system() -> Self {
        let follower = Follower { told: wall_ms(), steady: steady_ms(), is_behind: false };
        Self(Kind::System(Arc::new(Mutex::new(follower))))
    }

    /// Returns a clock that stands at `at` until [`Clock::advance_ms`] moves it.
    pub fn by_hand(at: UnixMillis) -> Self {
        Self(Kind::ByHand(Arc::new(AtomicI64::new(at.0))))
    }

    /// Returns the present moment.
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            Kind::ByHand(at) => UnixMillis(at.load(Ordering::SeqCst)),
            Kind::System(follower) => {
                let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
                UnixMillis(follower.follow(wall_ms(), steady_ms()))
            }
        }
    }

    /// Returns the present moment as the system's clock has it, jumps and all, for what another
    /// machine compares with its own.
    pub fn wall(&self) -> UnixMillis {
        match &self.0 {
            Kind::ByHand(_) => self.now(),
            Kind::System(_) => UnixMillis(wall_ms()),
        }
    }

    /// Moves a clock that is kept by hand; the system's clock isn't touched.
    pub fn advance_ms(&self, ms: i64) {
        if let Kind::ByHand(at) = &self.0 {
            at.fetch_add(ms, Ordering::SeqCst);
        }
    }
}

impl Follower {
    /// Tells the time when the other clock has `wall`, and one that nobody sets has `steady`.
    fn follow(&mut self, wall: i64, steady: i64) -> i64 {
        let passed = steady.saturating_sub(self.steady).max(0);
        let expected = self.told.saturating_add(passed);
        let gap = wall.saturating_sub(expected);
        let jumped = gap.abs() > STEP_MS;
        if jumped && !self.is_behind {
            warn!(gap_ms = gap, "the system's clock has jumped; it is followed slowly");
        }
        self.is_behind = jumped;
        self.steady = steady;
        self.told = match gap {
            _ if !jumped => wall.max(self.told),
            1.. => expected.saturating_add(gap.min(passed)),
            _ => wall.max(self.told.saturating_add(passed / 2)),
        };
        self.told
    }
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds that have passed for this process. A machine that slept is one whose clock has
/// jumped: whoever was sending slept as well, or was cut off.
fn steady_ms() -> i64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    i64::try_from(START.elapsed().as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn at_noon() -> Follower {
        Follower { told: 10 * DAY, steady: 0, is_behind: false }
    }

    /// While nobody sets the other clock, it is told as it is, and never goes back.
    #[test]
    fn it_follows() {
        let mut clock = at_noon();
        assert_eq!(clock.follow(10 * DAY + 5, 5), 10 * DAY + 5);
        assert_eq!(clock.follow(10 * DAY + 900, 10), 10 * DAY + 900, "a small step");
        assert_eq!(clock.follow(10 * DAY + 20, 20), 10 * DAY + 900, "back a little: it stands");
    }

    /// After a jump ahead it goes at double speed until the two agree.
    #[test]
    fn a_jump_ahead_is_caught_up_with_slowly() {
        let mut clock = at_noon();
        assert_eq!(clock.follow(11 * DAY, 0), 10 * DAY, "nothing has passed");
        assert_eq!(clock.follow(11 * DAY + 1000, 1000), 10 * DAY + 2000);
        assert_eq!(clock.follow(11 * DAY + DAY / 2, DAY / 2), 11 * DAY);
        assert_eq!(clock.follow(12 * DAY, DAY), 12 * DAY);
        assert_eq!(clock.follow(12 * DAY + 7, DAY + 7), 12 * DAY + 7);
    }

    /// After a jump back it goes at half speed until the two agree.
    #[test]
    fn a_jump_back_is_waited_for() {
        let mut clock = at_noon();
        assert_eq!(clock.follow(9 * DAY + 1000, 1000), 10 * DAY + 500);
        assert_eq!(clock.follow(10 * DAY, DAY), 10 * DAY + 500 + (DAY - 1000) / 2);
        assert_eq!(clock.follow(11 * DAY, 2 * DAY), 11 * DAY);
        assert_eq!(clock.follow(11 * DAY + 7, 2 * DAY + 7), 11 * DAY + 7);
    }
}
