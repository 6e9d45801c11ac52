//! Who is where in the line of films, for those who ask.

use crate::ids::JobId;
use crate::lately::Lately;
use crate::state::State;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A line of this many films is read anew for each who asks.
const SHORT: usize = 1_000;

/// How long the places in a longer one are told as they were read, before they are read again.
const FRESH: Duration = Duration::from_secs(1);

/// How many films go before each.
type Before = Arc<HashMap<JobId, usize>>;

/// The places in a long line, as they were read last. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Places {
    lately: Lately<Before>,
}

/// The line as it stood at one moment: a page with many films asks once.
pub struct Line<'a> {
    state: &'a State,
    places: &'a Places,
    before: OnceCell<Before>,
}

impl Places {
    /// Returns the line; it is looked at when the first place is asked for.
    pub(super) fn line<'a>(&'a self, state: &'a State) -> Line<'a> {
        Line { state, places: self, before: OnceCell::new() }
    }

    /// Returns the places: of a short line as they are, of a long one as they were read last,
    /// while somebody else reads it again. Nobody waits for a hundred thousand.
    fn told(&self, state: &State) -> Before {
        if state.open_jobs().films <= SHORT {
            return read(state);
        }
        let state = state.clone();
        self.lately.told(FRESH, move || read(&state)).unwrap_or_default()
    }
}

fn read(state: &State) -> Before {
    let line = state.films_in_line().unwrap_or_default();
    Arc::new(line.into_iter().zip(0..).collect())
}

impl Line<'_> {
    /// Returns the films that will be begun first, in order, if no other comes.
    pub fn first(&self, count: usize) -> Vec<JobId> {
        let places = self.places().iter().filter(|(_, before)| **before < count);
        let mut first: Vec<_> = places.map(|(&job, &before)| (before, job)).collect();
        first.sort_unstable();
        first.into_iter().map(|(_, job)| job).collect()
    }

    /// Returns how many are in line.
    pub fn len(&self) -> usize {
        self.places().len()
    }

    /// Says whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many films will be begun before this one, if no other comes; `None` if it isn't
    /// in line. Where more than a thousand wait it may be a second old, or not known yet.
    pub fn before(&self, job: JobId) -> Option<usize> {
        self.places().get(&job).copied()
    }

    fn places(&self) -> &Before {
        self.before.get_or_init(|| self.places.told(self.state))
    }
}
