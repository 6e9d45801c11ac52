//! Where copied pictures are cut, told by the copy to those that encode by the same cuts, be it
//! afterwards or beside it.

use super::report::Stop;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The cuts of a copy, in result ticks, and how far they're known. One thread tells them; others
/// ask, and wait for what they need.
#[derive(Debug, Default)]
pub struct Cuts {
    inner: Mutex<Inner>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    list: Vec<i64>,
    /// None of those that aren't told yet lies before this.
    known: Option<i64>,
    /// Second at which the copy ends.
    end: Option<f64>,
    /// One side has ended before its time, so the other needn't go on.
    is_left: bool,
}

/// One side's presence.
pub struct Leaving<'c>(&'c Cuts);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.lock().is_left = true;
        self.0.more.notify_all();
    }
}

impl Cuts {
    /// Tells of a cut, if there is one, and that none of those to come lies before `known`.
    ///
    /// # Errors
    /// `Neighbour` once nobody follows any more.
    pub fn tell(&self, cut: Option<i64>, known: i64) -> Result<(), Stop> {
        let mut inner = self.lock();
        if inner.is_left {
            return Err(Stop::Neighbour);
        }
        inner.list.extend(cut);
        inner.known = Some(known);
        drop(inner);
        self.more.notify_all();
        Ok(())
    }

    /// Tells that the copy has ended, and at which second.
    pub fn end(&self, seconds: f64) {
        self.lock().end = Some(seconds);
        self.more.notify_all();
    }

    /// Ends the work of the other side when it's dropped, unless the copy has come to its end.
    pub fn leaving(&self) -> Leaving<'_> {
        Leaving(self)
    }

    /// Returns the cut of this number if it lies before `before`; waits until that's known.
    ///
    /// # Errors
    /// `Neighbour` if the copy has ended before its time.
    pub fn before(&self, number: usize, before: i64) -> Result<Option<i64>, Stop> {
        self.wait(|inner| {
            let cut = inner.list.get(number).copied();
            let is_known = cut.is_some() || inner.known.is_some_and(|known| known >= before);
            (is_known || inner.end.is_some()).then_some(cut.filter(|&cut| cut < before))
        })
    }

    /// Returns the cut of this number if one was told that lies before `before`. For whoever works
    /// on the copy's own thread, and asks for nothing that the copy hasn't reached.
    pub fn told_before(&self, number: usize, before: i64) -> Option<i64> {
        self.lock().list.get(number).copied().filter(|&cut| cut < before)
    }

    /// Waits until the copy has ended, and returns at which second.
    ///
    /// # Errors
    /// `Neighbour` if it has ended before its time.
    pub fn wait_for_end(&self) -> Result<f64, Stop> {
        self.wait(|inner| inner.end)
    }

    fn wait<T>(&self, answer: impl Fn(&Inner) -> Option<T>) -> Result<T, Stop> {
        let mut inner = self.lock();
        loop {
            if let Some(answer) = answer(&inner) {
                return Ok(answer);
            }
            if inner.is_left {
                return Err(Stop::Neighbour);
            }
            inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cut is answered as soon as it or one behind the asked place is known, and waited for
    /// otherwise; at the end all is known.
    #[test]
    fn cuts_are_waited_for() {
        let cuts = Cuts::default();
        cuts.tell(Some(0), 0).expect("followed");
        cuts.tell(None, 90).expect("followed");
        assert_eq!(cuts.before(0, 90), Ok(Some(0)));
        assert_eq!(cuts.before(0, 0), Ok(None), "it isn't before itself");
        assert_eq!(cuts.before(1, 90), Ok(None), "none before what is known");
        assert_eq!((cuts.told_before(0, 1), cuts.told_before(1, 999)), (Some(0), None));
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| cuts.before(1, 91));
            let end = scope.spawn(|| cuts.wait_for_end());
            cuts.tell(Some(180), 150).expect("followed");
            assert_eq!(asked.join().expect("an answer"), Ok(None));
            assert!(!end.is_finished());
            cuts.end(3.5);
            assert_eq!(end.join().expect("an answer"), Ok(3.5));
        });
        assert_eq!((cuts.before(1, 999), cuts.before(2, 999)), (Ok(Some(180)), Ok(None)));
    }

    /// Whoever ends early ends the other side, too, whether it tells or waits; an end that was
    /// reached stays one.
    #[test]
    fn one_side_ends_the_other() {
        let cuts = Cuts::default();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| cuts.before(0, 1));
            drop(cuts.leaving());
            assert_eq!(asked.join().expect("an answer"), Err(Stop::Neighbour));
        });
        assert_eq!(cuts.tell(Some(0), 0), Err(Stop::Neighbour));
        assert_eq!(cuts.wait_for_end(), Err(Stop::Neighbour));
        cuts.end(1.0);
        assert_eq!((cuts.wait_for_end(), cuts.before(0, 9)), (Ok(1.0), Ok(None)));
    }
}
