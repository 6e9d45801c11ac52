//! Spans of one film that are made at once: whose reports are due, and how many may be made.
//!
//! Nothing of a span is published before everything before it is: what its child reports of a rung
//! waits until the span before has told the end of that rung.

use crate::wire::Report;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many children may encode one film's pictures at once.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    /// So many.
    pub at_once: u32,
    /// All but one of them only in the places of workers that have nothing to do.
    pub only_idle: bool,
}

impl Spans {
    /// A quarter of the cores: a child makes good use of about four, with its decoder and an
    /// encoder for each rung, and one film with fewer has nothing to gain.
    pub fn of_cores(cores: usize) -> Self {
        let at_once = u32::try_from(cores / CORES_FOR_ONE).unwrap_or(SPANS_AT_ONCE_MAX);
        Self { at_once: at_once.clamp(1, SPANS_AT_ONCE_MAX), only_idle: true }
    }
}

/// Cores that one child makes good use of.
const CORES_FOR_ONE: usize = 4;

/// Most children that one film is ever given.
const SPANS_AT_ONCE_MAX: u32 = 16;

/// The places of workers. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    taken: Arc<AtomicUsize>,
    all: usize,
}

impl Places {
    /// All of them, which nobody has.
    pub fn new(all: usize) -> Self {
        Self { taken: Arc::default(), all }
    }

    /// Takes a place for a job, as the queue has it that there is one.
    pub(super) fn take(&self) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place(self.taken.clone())
    }

    /// Takes a place that nobody has, if there is one.
    pub(super) fn spare(&self) -> Option<Place> {
        let more = |taken| (taken < self.all).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(self.taken.clone()))
    }
}

/// A worker's place, until it is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reports on spans, put into the order of the film.
#[derive(Default)]
pub(super) struct InTurn {
    /// Number of the span whose reports are due, for each rung.
    due: BTreeMap<String, usize>,
    /// What has been reported of later ones.
    held: BTreeMap<(String, usize), VecDeque<Report>>,
}

impl InTurn {
    /// Takes what the child with this span reports of a rung, and returns what is due now, with
    /// the number of the span that it is about.
    pub(super) fn take(&mut self, span: usize, report: Report) -> Vec<(Option<u32>, Report)> {
        let Some(rung) = rung_of(&report).map(str::to_owned) else { return Vec::new() };
        self.held.entry((rung.clone(), span)).or_default().push_back(report);
        let due = self.due.entry(rung.clone()).or_default();
        let mut reports = Vec::new();
        while let Some(report) =
            self.held.get_mut(&(rung.clone(), *due)).and_then(VecDeque::pop_front)
        {
            if let Report::SpanEnded { .. } = report {
                self.held.remove(&(rung.clone(), *due));
                *due += 1;
            } else {
                reports.push((u32::try_from(*due).ok(), report));
            }
        }
        reports
    }
}

fn rung_of(report: &Report) -> Option<&str> {
    match report {
        Report::Started { rendition, .. }
        | Report::Segment { rendition, .. }
        | Report::SpanEnded { rendition }
        | Report::Completed { rendition } => Some(rendition),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::Segment;

    fn segment(rung: &str, number: u32) -> Report {
        let segment = Segment { ticks: 1, bytes: 1, key: None };
        Report::Segment { rendition: rung.to_owned(), number, segment }
    }

    fn ended(rung: &str) -> Report {
        Report::SpanEnded { rendition: rung.to_owned() }
    }

    /// Returns the spans and segments of what is due.
    fn due(reports: Vec<(Option<u32>, Report)>) -> Vec<(u32, u32)> {
        let number = |(span, report): (Option<u32>, Report)| match report {
            Report::Segment { number, .. } => (span.expect("of a span"), number),
            other => panic!("{other:?}"),
        };
        reports.into_iter().map(number).collect()
    }

    /// Nothing of a rung is due before all before it is, whoever is faster; other rungs don't wait
    /// for it.
    #[test]
    fn the_film_comes_in_order() {
        let mut turns = InTurn::default();
        assert_eq!(due(turns.take(2, segment("a", 5))), []);
        assert_eq!(due(turns.take(1, segment("a", 3))), []);
        assert_eq!(due(turns.take(0, segment("a", 1))), [(0, 1)]);
        assert_eq!(due(turns.take(1, segment("a", 4))), []);
        assert_eq!(due(turns.take(1, ended("a"))), []);
        assert_eq!(due(turns.take(1, segment("b", 3))), []);
        assert_eq!(due(turns.take(0, ended("b"))), [(1, 3)]);
        assert_eq!(due(turns.take(0, segment("a", 2))), [(0, 2)]);
        assert_eq!(due(turns.take(0, ended("a"))), [(1, 3), (1, 4), (2, 5)]);
        assert_eq!(due(turns.take(2, segment("a", 6))), [(2, 6)]);
        assert_eq!(due(turns.take(1, segment("b", 4))), [(1, 4)]);
        assert!(turns.held.values().all(VecDeque::is_empty));
        assert!(turns.take(0, Report::Uncut).is_empty());
    }

    /// On few cores a film has one child; with many it has more, and never too many.
    #[test]
    fn cores_are_shared_out() {
        for (cores, expect) in
            [(0, 1), (1, 1), (2, 1), (4, 1), (7, 1), (8, 2), (16, 4), (64, 16), (1024, 16)]
        {
            assert_eq!(Spans::of_cores(cores).at_once, expect, "{cores} cores");
        }
    }

    /// A place is spare while nobody has it, and again when it is given back; jobs have theirs
    /// whatever is lent.
    #[test]
    fn places_are_lent() {
        let places = Places::new(2);
        let job = places.take();
        let lent = places.spare().expect("one is idle");
        assert!(places.spare().is_none());
        let other = places.take();
        drop(lent);
        assert!(places.spare().is_none(), "two jobs have both");
        drop((job, other));
        assert!(places.spare().is_some());
    }
}
