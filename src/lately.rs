//! What is costly to find out, told as it was found out last, while it is found out again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A value of lately. Clones share it.
#[derive(Debug)]
pub struct Lately<T> {
    known: Arc<Mutex<Known<T>>>,
}

#[derive(Debug)]
struct Known<T> {
    value: Option<(Instant, T)>,
    is_under_way: bool,
}

impl<T> Clone for Lately<T> {
    fn clone(&self) -> Self {
        Self { known: Arc::clone(&self.known) }
    }
}

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Self { known: Arc::new(Mutex::new(Known { value: None, is_under_way: false })) }
    }
}

impl<T: Clone + Send + 'static> Lately<T> {
    /// Returns the value as it was found out last, nothing before the first time. If it is older
    /// than `fresh`, it is found out again on a blocking thread of the runtime, once for all who
    /// ask meanwhile. Call it within a runtime.
    pub fn told(&self, fresh: Duration, find: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let mut known = self.lock();
        let is_fresh = known.value.as_ref().is_some_and(|(at, _)| at.elapsed() < fresh);
        if !is_fresh && !known.is_under_way {
            known.is_under_way = true;
            let lately = self.clone();
            tokio::task::spawn_blocking(move || {
                let value = find();
                let found = Some((Instant::now(), value));
                *lately.lock() = Known { value: found, is_under_way: false };
            });
        }
        known.value.as_ref().map(|(_, value)| value.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Known<T>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Nobody waits: the first is told nothing, later ones what was found last, and it is found
    /// once however many ask.
    #[tokio::test]
    async fn nobody_waits() {
        let (lately, (go, gate)) = (Lately::default(), mpsc::channel::<u32>());
        assert_eq!(lately.told(Duration::ZERO, move || gate.recv().unwrap_or(0)), None);
        for _ in 0..3 {
            assert_eq!(lately.told(Duration::ZERO, || panic!("twice at once")), None);
        }
        go.send(7).expect("somebody finds out");
        let hour = Duration::from_secs(3600);
        while lately.told(hour, || panic!("it is fresh")).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lately.told(hour, || panic!("it is fresh")), Some(7));
        assert_eq!(lately.told(Duration::ZERO, || 8), Some(7), "old, and found out again");
    }
}
