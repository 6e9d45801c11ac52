//! What of a source is here, while it is still being uploaded. One thread hears of it from the
//! server, and the threads that read wait for the bytes that they are at. Where nobody knows yet
//! how large it is, they wait for its end as well.

use crate::units::{ByteCount, ByteOffset, Ranges};
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
    /// Where it ends, once that is known.
    size: Option<u64>,
    /// The places of those who wait.
    wanted: Vec<u64>,
}

impl Inner {
    /// Returns where the range ends that the byte at `at` is in: `at` itself at the source's end.
    /// `None` if it isn't here.
    fn end_around(&self, at: u64) -> Option<u64> {
        match self.size {
            Some(size) if size <= at => Some(at),
            _ => self.here.end_around(ByteOffset(at)).map(|end| end.0),
        }
    }
}

impl Arrivals {
    /// Begins with what is here already, and how large the source is, if that is known.
    pub fn new(here: Ranges, size: Option<ByteCount>) -> Self {
        let inner = Inner { here, size: size.map(|size| size.0), wanted: Vec::new() };
        Self { inner: Mutex::new(inner), more: Condvar::new() }
    }

    /// Hears that all of `here` is here now, and how large the source is, if that is known by now.
    /// Returns whether somebody waits for something else still.
    pub fn put(&self, here: Ranges, size: Option<ByteCount>) -> bool {
        let mut inner = self.lock();
        inner.here = here;
        // What is known stays so.
        inner.size = inner.size.or(size.map(|size| size.0));
        self.more.notify_all();
        inner.wanted.iter().any(|&at| inner.end_around(at).is_none())
    }

    /// Returns the source's size, once it is known.
    pub fn size(&self) -> Option<u64> {
        self.lock().size
    }

    /// Says whether everything is here.
    pub fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.size.is_some_and(|size| inner.here.covers(ByteOffset(0), ByteOffset(size)))
    }

    /// Returns where the hole ends that the byte at `at` is missing in; `None` if it's here.
    pub fn hole_at(&self, at: u64) -> Option<u64> {
        let inner = self.lock();
        let holes = inner.here.holes(ByteOffset(at), ByteOffset(u64::MAX));
        holes.first().filter(|hole| hole.0 == at).map(|hole| hole.1)
    }

    /// Waits until the byte at `at` is here, for as long as it takes: whoever tires of it ends the
    /// process. Returns where the range that it is in ends, which is `at` at the source's end.
    pub fn wait_for(&self, at: u64) -> u64 {
        let mut inner = self.lock();
        if let Some(end) = inner.end_around(at) {
            return end;
        }
        inner.wanted.push(at);
        let end = loop {
            inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
            if let Some(end) = inner.end_around(at) {
                break end;
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
        let size = Some(ByteCount(13));
        let arrivals = Arrivals::new(ranges(&[(0, 5), (9, 12)]), size);
        assert_eq!((arrivals.wait_for(2), arrivals.wait_for(9)), (5, 12));
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(arrivals.wait_for(5)));
            while !arrivals.put(ranges(&[(0, 5), (9, 13)]), size) {
                std::thread::yield_now();
            }
            assert!(told.try_recv().is_err() && !arrivals.is_over());
            assert!(!arrivals.put(ranges(&[(0, 13)]), size));
            assert_eq!(told.recv().expect("it goes on"), 13);
        });
        assert!(!arrivals.put(ranges(&[(0, 13)]), size), "nobody is left");
        assert!(arrivals.is_over());
    }

    /// Whoever has read all that is here of a source of unknown size waits until there is more, or
    /// it has ended; the size that was told stays.
    #[test]
    fn readers_wait_for_the_end() {
        let arrivals = Arrivals::new(ranges(&[(0, 5)]), None);
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(arrivals.wait_for(5)));
            while !arrivals.put(ranges(&[(0, 5)]), None) {
                std::thread::yield_now();
            }
            assert!(told.try_recv().is_err() && !arrivals.is_over());
            assert!(!arrivals.put(ranges(&[(0, 5)]), Some(ByteCount(5))));
            assert_eq!(told.recv().expect("it goes on"), 5, "it has ended");
        });
        assert!(!arrivals.put(ranges(&[(0, 5)]), Some(ByteCount(9))));
        assert_eq!((arrivals.size(), arrivals.is_over()), (Some(5), true));
        assert_eq!((arrivals.wait_for(4), arrivals.wait_for(70)), (5, 70));
    }
}
