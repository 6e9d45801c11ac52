//! When to try again: waits that grow, spread by chance, and end early when there is no point.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The first wait.
const FIRST_MS: u64 = 250;
/// The longest wait that isn't the server's own wish.
const LONGEST_MS: u64 = 20_000;
/// The longest wait that a server may wish for.
const WISH_MAX: Duration = Duration::from_secs(300);

/// Returns how long to wait after `tries` trials that failed. `dice` is drawn evenly: clients that
/// were cut off together don't come back together. What the server wishes is the least.
pub(super) fn delay(tries: u32, wish: Option<Duration>, dice: u8) -> Duration {
    let whole = FIRST_MS.saturating_mul(1 << tries.min(10)).min(LONGEST_MS);
    let half = whole / 2;
    let spread = Duration::from_millis(half + half * u64::from(dice) / 255);
    wish.map_or(spread, |wish| wish.min(WISH_MAX).max(spread))
}

/// Draws a number evenly.
pub(super) fn dice() -> u8 {
    let mut drawn = [0];
    // Without chance all waits are equally long, which harms nobody.
    let _ = getrandom::fill(&mut drawn);
    drawn[0]
}

/// Ends the threads that work together on something.
#[derive(Debug, Default)]
pub(super) struct Stop {
    is_set: Mutex<bool>,
    rung: Condvar,
}

impl Stop {
    /// Wakes everybody who waits, now and from now on.
    pub(super) fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_all();
    }

    /// Says whether it is over.
    pub(super) fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `time`; says whether it was over before.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let held = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rung.wait_timeout_while(held, time, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits grow up to a bound, differ by chance, and are never shorter than the server's wish.
    #[test]
    fn waits_grow_and_obey() {
        let ms = |tries, dice| delay(tries, None, dice).as_millis();
        assert_eq!((ms(0, 0), ms(0, 255)), (125, 250));
        assert_eq!((ms(3, 0), ms(3, 255)), (1_000, 2_000));
        assert_eq!((ms(40, 0), ms(40, 255)), (10_000, 20_000));
        let wish = |seconds| delay(0, Some(Duration::from_secs(seconds)), 9);
        assert_eq!(wish(7), Duration::from_secs(7));
        assert_eq!(wish(1 << 40), WISH_MAX);
        assert!(wish(0) >= Duration::from_millis(125));
    }

    /// A wait ends when it is over.
    #[test]
    fn waits_end_early() {
        let stop = Stop::default();
        assert!(!stop.wait(Duration::ZERO) && !stop.is_set());
        stop.set();
        assert!(stop.wait(Duration::MAX) && stop.is_set());
    }
}
