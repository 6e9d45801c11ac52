//! What of a source is here, while it is still being uploaded. One thread hears of it from the
//! server, and the threads that read wait for the bytes that they are at.

use crate::units::{ByteOffset, Ranges};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The bytes that are here, and who waits for others. Bytes that are here stay, and stay the same.
#[derive(Debug, Default)]
pub struct Arrivals {
    inner: Mutex<Inner>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    here: Ranges,
    /// The places of those who wait.
    wanted: Vec<u64>,
}

impl Arrivals {
    /// Begins with what is here already.
    pub fn new(here: Ranges) -> Self {
        let inner = Inner { here, wanted: Vec::new() };
        Self { inner: Mutex::new(inner), more: Condvar::new() }
    }

    /// Hears that all of `here` is here now. Returns whether somebody waits for something else
    /// still.
    pub fn put(&self, here: Ranges) -> bool {
        let mut inner = self.lock();
        inner.here = here;
        self.more.notify_all();
        inner.wanted.iter().any(|&at| !inner.here.covers(ByteOffset(at), ByteOffset(at + 1)))
    }

    /// Says whether all of `start..end` is here.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        self.lock().here.covers(ByteOffset(start), ByteOffset(end))
    }

    /// Returns where the hole ends that the byte at `at` is missing in; `None` if it's here.
    pub fn hole_at(&self, at: u64) -> Option<u64> {
        let inner = self.lock();
        let holes = inner.here.holes(ByteOffset(at), ByteOffset(u64::MAX));
        holes.first().filter(|hole| hole.0 == at).map(|hole| hole.1)
    }

    /// Waits until the byte at `at` is here, for as long as it takes: whoever tires of it ends the
    /// process. Returns where the range that it is in ends.
    pub fn wait_for(&self, at: u64) -> u64 {
        let mut inner = self.lock();
        if let Some(end) = inner.here.end_around(ByteOffset(at)) {
            return end.0;
        }
        inner.wanted.push(at);
        let end = loop {
            inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
            if let Some(end) = inner.here.end_around(ByteOffset(at)) {
                break end.0;
            }
        };
        if let Some(ours) = inner.wanted.iter().position(|&wanted| wanted == at) {
            inner.wanted.swap_remove(ours);
        }
        end
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn ranges(of: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        of.iter().for_each(|&(start, end)| ranges.insert(ByteOffset(start), ByteOffset(end)));
        ranges
    }

    /// A reader gets what is here, waits at a hole, and whoever tells of more learns whether it
    /// waits still.
    #[test]
    fn readers_wait_at_holes() {
        let arrivals = Arrivals::new(ranges(&[(0, 5), (9, 12)]));
        assert_eq!((arrivals.wait_for(2), arrivals.wait_for(9)), (5, 12));
        assert!(arrivals.covers(9, 12) && !arrivals.covers(4, 10));
        let holes = [4, 5, 8, 9, 12].map(|at| arrivals.hole_at(at));
        assert_eq!(holes, [None, Some(9), Some(9), None, Some(u64::MAX)]);
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(arrivals.wait_for(5)));
            while !arrivals.put(ranges(&[(0, 5), (9, 13)])) {
                std::thread::yield_now();
            }
            assert!(told.try_recv().is_err());
            assert!(!arrivals.put(ranges(&[(0, 13)])));
            assert_eq!(told.recv().expect("it goes on"), 13);
        });
        assert!(!arrivals.put(ranges(&[(0, 13)])), "nobody is left");
    }
}
