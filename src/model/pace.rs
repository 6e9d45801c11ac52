//! How slowly a body may come before it isn't waited for any more.
//!
//! A pause is bounded, and so is a trickle: within each window a body has to bring a little. Only
//! time in which its sender is waited for counts, not the time that our own disk takes.

use std::time::Duration;

/// The least that a body has to bring, averaged over a window.
pub const RATE_BYTES_PER_SECOND: u64 = 1024;

/// The pace of one body.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest pause.
    pause_max: Duration,
    /// A window, and the bytes that have to come in it.
    window: Duration,
    least: u64,
    /// Time that its sender was waited for in this window, and since the last piece.
    waited: Duration,
    paused: Duration,
    /// Bytes that came in this window.
    came: u64,
}

impl Pace {
    /// Begins a body that may pause for `window`.
    pub fn new(window: Duration) -> Self {
        let least = (RATE_BYTES_PER_SECOND as f64 * window.as_secs_f64()) as u64;
        let (waited, paused) = (Duration::ZERO, Duration::ZERO);
        Self { pause_max: window, window, least, waited, paused, came: 0 }
    }

    /// As [`Pace::new`], for somebody behind the one who has that pace and knows better what to
    /// say: notices `margin` later, and never what the other one lets pass. Each of these windows
    /// has a whole one of the other's in it.
    pub fn behind(window: Duration, margin: Duration) -> Self {
        let pause_max = window.saturating_add(margin);
        Self { pause_max, window: pause_max.saturating_add(window), ..Self::new(window) }
    }

    /// Returns how long to wait for the next piece before asking [`Pace::is_too_slow`] again.
    pub fn patience(&self) -> Duration {
        let until_pause = self.pause_max.saturating_sub(self.paused);
        until_pause.min(self.window.saturating_sub(self.waited))
    }

    /// Notes that its sender was waited for, and whether that makes the body too slow.
    pub fn is_too_slow(&mut self, waited: Duration) -> bool {
        self.waited += waited;
        self.paused += waited;
        if self.paused >= self.pause_max {
            return true;
        }
        if self.waited < self.window {
            return false;
        }
        let is_slow = self.came < self.least;
        self.waited = Duration::ZERO;
        self.came = 0;
        is_slow
    }

    /// Notes that `bytes` came.
    pub fn came(&mut self, bytes: u64) {
        if bytes > 0 {
            self.came = self.came.saturating_add(bytes);
            self.paused = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Says how many seconds a body of `bytes` a second lasts, in pieces every `every` seconds; a
    /// day at most.
    fn lasts(mut pace: Pace, bytes: u64, every: u32) -> u32 {
        let mut now = 0;
        while now < 86_400 {
            let mut left = every * SECOND;
            while !left.is_zero() {
                let step = pace.patience().min(left);
                if pace.is_too_slow(step) {
                    return now + (every * SECOND - left + step).as_secs() as u32;
                }
                left -= step;
            }
            now += every;
            pace.came(bytes * u64::from(every));
        }
        now
    }

    /// A pause ends a body, and so does a trickle; whoever brings a kibibyte a second stays.
    #[test]
    fn pauses_and_trickles_end_a_body() {
        let minute = Pace::new(60 * SECOND);
        assert_eq!(lasts(minute, 1 << 20, 61), 60, "a pause");
        assert_eq!(lasts(minute, 1, 1), 60, "a byte a second");
        assert_eq!(lasts(minute, 1, 59), 60, "a byte a minute");
        assert_eq!(lasts(minute, 1000, 1), 60, "just too slow");
        assert_eq!(lasts(minute, 1100, 1), 86_400);
        assert!(lasts(minute, 4096, 50) >= 86_400, "slow pieces that are large enough");
        let behind = Pace::behind(60 * SECOND, 10 * SECOND);
        assert_eq!(lasts(behind, 1 << 20, 71), 70, "a pause");
        assert_eq!(lasts(behind, 1, 1), 130, "a byte a second");
        assert_eq!(lasts(behind, 600, 1), 86_400, "what the other one has to notice");
        let mut pace = Pace::new(SECOND);
        pace.came(1 << 20);
        assert!(!pace.is_too_slow(SECOND / 2), "what came is the window's");
        assert!(pace.is_too_slow(SECOND / 2), "but a pause is a pause");
        assert!(Pace::new(SECOND).patience() == SECOND);
    }

    /// Empty pieces bring nothing.
    #[test]
    fn empty_pieces_are_no_sign_of_life() {
        let mut pace = Pace::new(SECOND);
        assert!(!pace.is_too_slow(SECOND / 2));
        pace.came(0);
        assert!(pace.is_too_slow(SECOND / 2));
    }
}
