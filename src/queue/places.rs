//! Who is where in the line of films, for those who ask.

use crate::ids::JobId;
use crate::state::State;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line of this many films is read anew for each who asks.
const SHORT: usize = 1_000;

/// How long the places in a longer one are told as they were read.
const FRESH: Duration = Duration::from_secs(1);

/// How many films go before each.
type Before = Arc<HashMap<JobId, usize>>;

/// The places in a long line, as they were read last. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Places {
    read: Arc<Mutex<Option<(Instant, Before)>>>,
}

/// The line as it stood at one moment: a page with many films asks once.
pub struct Line<'a> {
    state: &'a State,
    places: &'a Places,
    before: OnceCell<Before>,
}

impl Places {
    /// Returns the line; it is read when the first place is asked for.
    pub(super) fn line<'a>(&'a self, state: &'a State) -> Line<'a> {
        Line { state, places: self, before: OnceCell::new() }
    }

    fn read(&self, state: &State) -> Before {
        // Held over the reading, so that a long line is read once however many ask.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = read.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Arc::clone(before);
        }
        let line = state.films_in_line().unwrap_or_default();
        let before: Before = Arc::new(line.into_iter().zip(0..).collect());
        *read = (before.len() > SHORT).then(|| (Instant::now(), Arc::clone(&before)));
        before
    }
}

impl Line<'_> {
    /// Returns how many films will be begun before this one, if no other comes; `None` if it isn't
    /// in line. Where many wait it may be a second old.
    pub fn before(&self, job: JobId) -> Option<usize> {
        self.before.get_or_init(|| self.places.read(self.state)).get(&job).copied()
    }
}
