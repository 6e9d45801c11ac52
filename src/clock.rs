//! The one clock, handed in wherever leases and expiry need to know the time.

use crate::units::UnixMillis;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    by_hand: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// Returns the system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Returns a clock that stands at `at` until [`Clock::advance_ms`] moves it.
    pub fn by_hand(at: UnixMillis) -> Self {
        Self { by_hand: Some(Arc::new(AtomicI64::new(at.0))) }
    }

    /// Returns the present moment.
    pub fn now(&self) -> UnixMillis {
        match &self.by_hand {
            Some(at) => UnixMillis(at.load(Ordering::SeqCst)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }

    /// Moves a clock that is kept by hand; the system's clock isn't touched.
    pub fn advance_ms(&self, ms: i64) {
        if let Some(at) = &self.by_hand {
            at.fetch_add(ms, Ordering::SeqCst);
        }
    }
}
