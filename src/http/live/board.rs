//! The board on which events stand in words, for all listeners to read at their own pace.
//!
//! One task takes events off the hub, has them put into words where somebody listens, and then
//! wakes the listeners; what happened while nobody listened is put into words by whoever reads it
//! first. A listener is a position on the board. What a newer event of the same kind has made
//! stale is taken off, so that a slow listener goes on with the newest state; one whose place has
//! gone by is told so, and looks at a snapshot.

use super::choice::{Choice, Snapshot, Snapshots};
use super::told::Told;
use crate::events::{Event, EventKind, News, Subscription};
use crate::http::AppParts;
use crate::http::problem::Problem;
use crate::http::ticket::Pass;
use crate::ids::VideoId;
use crate::model::access::Viewer;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Events kept for listeners that come back.
const LINES_MAX: usize = 1024;
/// Events put into words in one go. While that happens others gather, and the stale ones of them
/// cost nothing.
const BATCH_MAX: usize = 256;

/// How often snapshots are let go that nobody shares any more.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Tells events in words. Clones share one board.
#[derive(Clone)]
pub(in crate::http) struct Board {
    shared: Arc<Shared>,
}

struct Shared {
    parts: AppParts,
    ring: Mutex<Ring>,
    /// The id of the newest event; listeners wait for it to change.
    newest: watch::Sender<u64>,
    listeners: AtomicUsize,
    snapshots: Snapshots,
}

#[derive(Debug)]
struct Ring {
    /// The events in order, without gaps in their ids; those that are stale are empty.
    lines: VecDeque<Option<Arc<Line>>>,
    /// The id that the next event will have.
    next: u64,
    /// The newest event of each kind of which only the newest counts.
    newest_of: HashMap<(EventKind, Option<VideoId>), u64>,
    closed: bool,
}

/// An event on the board.
#[derive(Debug)]
pub(super) struct Line {
    event: Arc<Event>,
    /// The event in words; `None` inside if its video couldn't be looked up.
    told: OnceLock<Option<Told>>,
}

impl Line {
    /// Returns the event in words, once somebody has made them.
    pub(super) fn told(&self) -> Option<Option<&Told>> {
        self.told.get().map(Option::as_ref)
    }

    /// Returns what happened.
    pub(super) fn event(&self) -> &Event {
        &self.event
    }

    /// Makes the words if there are none; blocks.
    pub(super) fn tell(&self, parts: &AppParts) {
        self.told.get_or_init(|| match Told::of(&self.event, parts) {
            Ok(told) => Some(told),
            Err(cause) => {
                warn!("an event wasn't told: {cause}");
                None
            }
        });
    }

    fn key(&self) -> Option<(EventKind, Option<VideoId>)> {
        let kind = self.event.kind;
        kind.is_of_the_moment().then_some((kind, self.event.video))
    }
}

impl Board {
    /// Makes a board; [`Board::run`] fills it.
    pub(in crate::http) fn new(parts: AppParts) -> Self {
        let ring =
            Ring { lines: VecDeque::new(), next: 0, newest_of: HashMap::new(), closed: false };
        Self {
            shared: Arc::new(Shared {
                parts,
                ring: Mutex::new(ring),
                newest: watch::Sender::new(0),
                listeners: AtomicUsize::new(0),
                snapshots: Snapshots::default(),
            }),
        }
    }

    /// Puts what happens on the board until `stop` fires, and then ends all listeners.
    pub(in crate::http) async fn run(self, stop: CancellationToken) {
        let mut news = self.shared.parts.hub.subscribe(None);
        self.shared.begin_at(news.position());
        let mut tidying = interval(TIDY_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                first = news.next() => match first {
                    Some(first) => self.take(first, &mut news).await,
                    None => break,
                },
                _ = tidying.tick() => self.shared.snapshots.forget_old(Instant::now()),
            }
        }
        self.shared.ring().closed = true;
        self.shared.newest.send_modify(|_| ());
    }

    /// Takes an event and those that are there behind it.
    async fn take(&self, first: News, news: &mut Subscription) {
        let mut lines = Vec::new();
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                News::Event(event) => {
                    lines.push(Arc::new(Line { event, told: OnceLock::new() }));
                }
                News::Missed => {
                    lines.clear();
                    self.shared.begin_at(news.position());
                }
            }
            next = if lines.len() < BATCH_MAX { news.ready() } else { None };
        }
        if self.listeners() > 0 {
            let (parts, wanted) = (self.shared.parts.clone(), fresh(&lines));
            let work = move || wanted.iter().for_each(|line| line.tell(&parts));
            if tokio::task::spawn_blocking(work).await.is_err() {
                warn!("events weren't put into words in time");
            }
        }
        self.shared.append(lines);
    }

    /// Returns events that are still on the board and wanted, the newest first.
    pub(in crate::http) fn recent(
        &self,
        count: usize,
        wanted: &dyn Fn(&Event) -> bool,
    ) -> Vec<Arc<Event>> {
        let ring = self.shared.ring();
        let lines = ring.lines.iter().rev().flatten();
        lines.map(|line| &line.event).filter(|it| wanted(it)).take(count).cloned().collect()
    }

    /// Returns how many listen.
    pub(in crate::http) fn listeners(&self) -> usize {
        self.shared.listeners.load(Ordering::Relaxed)
    }

    /// Returns a listener's place: behind the event `after`, or behind what is there.
    pub(super) fn subscribe(&self, after: Option<u64>) -> Place {
        self.shared.listeners.fetch_add(1, Ordering::Relaxed);
        let newest = self.shared.newest.subscribe();
        let now = self.shared.ring().next;
        // An id that was never given belongs to a clock that ran ahead: nothing can be replayed.
        let next = after.map_or(now, |id| if id < now { id + 1 } else { 0 });
        Place { board: self.clone(), newest, next }
    }

    /// Returns the present state of what a listener chose.
    ///
    /// # Errors
    /// Those of the state.
    pub(super) async fn snapshot(
        &self,
        viewer: Option<&Viewer>,
        choice: &Arc<Choice>,
    ) -> Result<Arc<Snapshot>, Problem> {
        let place = self.shared.snapshots.place(viewer, choice, Instant::now());
        let taken = place.get_or_try_init(|| self.take_snapshot(viewer, choice)).await?;
        if taken.id >= self.shared.ring().oldest().saturating_sub(1) {
            return Ok(Arc::clone(taken));
        }
        // So much has happened since that the events behind it are gone.
        self.take_snapshot(viewer, choice).await
    }

    async fn take_snapshot(
        &self,
        viewer: Option<&Viewer>,
        choice: &Arc<Choice>,
    ) -> Result<Arc<Snapshot>, Problem> {
        let (choice, viewer) = (Arc::clone(choice), viewer.cloned());
        self.look(move |id, parts| Snapshot::take(&choice, viewer.as_ref(), id, parts)).await
    }

    /// Returns the present state for whoever listens with a playback token. Nobody else's has the
    /// same addresses.
    ///
    /// # Errors
    /// Those of the state.
    pub(super) async fn snapshot_by(
        &self,
        pass: &Pass,
        choice: &Arc<Choice>,
    ) -> Result<Arc<Snapshot>, Problem> {
        let (choice, pass) = (Arc::clone(choice), pass.clone());
        self.look(move |id, parts| Snapshot::take_by(&choice, &pass, id, parts)).await
    }

    async fn look(
        &self,
        take: impl FnOnce(u64, &AppParts) -> Result<Snapshot, Problem> + Send + 'static,
    ) -> Result<Arc<Snapshot>, Problem> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            // Read before the records: what they hold may be newer than it says, never older.
            let id = shared.ring().next.saturating_sub(1);
            take(id, &shared.parts).map(Arc::new)
        };
        let taken = tokio::task::spawn_blocking(work).await;
        taken.unwrap_or_else(|_| Err(Problem::internal("a snapshot wasn't taken")))
    }
}

/// Returns those of the events that no later one of them makes stale.
fn fresh(lines: &[Arc<Line>]) -> Vec<Arc<Line>> {
    let mut seen = std::collections::HashSet::new();
    let newest_first = lines.iter().rev();
    newest_first.filter(|line| line.key().is_none_or(|key| seen.insert(key))).cloned().collect()
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing below panics half-way through a change, so a poisoned lock is still sound.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew where the event before `next` is the last one.
    fn begin_at(&self, next: u64) {
        let mut ring = self.ring();
        ring.lines.clear();
        ring.newest_of.clear();
        ring.next = next;
        drop(ring);
        self.newest.send_replace(next.saturating_sub(1));
    }

    fn append(&self, lines: Vec<Arc<Line>>) {
        let newest = {
            let mut ring = self.ring();
            lines.into_iter().for_each(|line| ring.push(line));
            ring.next.saturating_sub(1)
        };
        self.newest.send_replace(newest);
    }
}

impl Ring {
    fn oldest(&self) -> u64 {
        self.next - self.lines.len() as u64
    }

    fn line_mut(&mut self, id: u64) -> Option<&mut Option<Arc<Line>>> {
        let at = usize::try_from(id.checked_sub(self.oldest())?).ok()?;
        self.lines.get_mut(at)
    }

    fn push(&mut self, line: Arc<Line>) {
        let id = line.event.id;
        if let Some(key) = line.key()
            && let Some(stale) = self.newest_of.insert(key, id)
            && let Some(place) = self.line_mut(stale)
        {
            *place = None;
        }
        self.lines.push_back(Some(line));
        self.next = id + 1;
        if self.lines.len() > LINES_MAX
            && let Some(key) = self.lines.pop_front().flatten().and_then(|line| line.key())
        {
            self.newest_of.remove(&key);
        }
    }

    /// Returns what a listener at `next` reads, and moves it on.
    fn read(&self, next: &mut u64) -> Option<Read> {
        let Some(behind) = next.checked_sub(self.oldest()) else {
            // Whoever missed something looks at a snapshot, which tells where it ends.
            return Some(Read::Missed);
        };
        let behind = usize::try_from(behind).unwrap_or(usize::MAX);
        let left = self.lines.iter().skip(behind);
        let found = left.enumerate().find_map(|(n, line)| Some((n, line.as_ref()?)));
        match found {
            Some((stale, line)) => {
                *next += stale as u64 + 1;
                Some(Read::Line(Arc::clone(line)))
            }
            None => {
                *next = self.next.max(*next);
                None
            }
        }
    }
}

/// What a listener reads.
#[derive(Debug)]
pub(super) enum Read {
    /// The next event.
    Line(Arc<Line>),
    /// Events were lost for this listener: a snapshot is needed, and its id.
    Missed,
}

/// A listener's place on the board.
pub(super) struct Place {
    board: Board,
    newest: watch::Receiver<u64>,
    next: u64,
}

impl Place {
    /// Waits for what is next; `None` when the board is closed.
    ///
    /// # Cancel
    /// Safe: a dropped call has read nothing.
    pub(super) async fn next(&mut self) -> Option<Read> {
        loop {
            self.newest.mark_unchanged();
            {
                let ring = self.board.shared.ring();
                if ring.closed {
                    return None;
                }
                if let Some(read) = ring.read(&mut self.next) {
                    return Some(read);
                }
            }
            self.newest.changed().await.ok()?;
        }
    }

    /// Goes on behind a snapshot.
    pub(super) fn go_on_behind(&mut self, snapshot: &Snapshot) {
        self.next = snapshot.id + 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.shared.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Owner;
    use crate::units::UnixMillis;

    fn line(id: u64, kind: EventKind, video: VideoId) -> Arc<Line> {
        let mut event = Event::of_video(kind, UnixMillis(1), video, Owner("ann".into()));
        event.id = id;
        Arc::new(Line { event: Arc::new(event), told: OnceLock::new() })
    }

    fn ring(next: u64) -> Ring {
        Ring { lines: VecDeque::new(), next, newest_of: HashMap::new(), closed: false }
    }

    fn read_all(ring: &Ring, from: u64) -> Vec<u64> {
        let mut next = from;
        let mut ids = Vec::new();
        while let Some(Read::Line(line)) = ring.read(&mut next) {
            ids.push(line.event.id);
        }
        assert_eq!(next, ring.next.max(from), "the end was reached");
        ids
    }

    /// A listener that is behind reads the newest progress of each video, and every step.
    #[test]
    fn stale_progress_is_skipped() {
        let mut ring = ring(5);
        let (one, other) = (VideoId::fresh(UnixMillis(1)), VideoId::fresh(UnixMillis(1)));
        ring.push(line(5, EventKind::VideoProgress, one));
        ring.push(line(6, EventKind::VideoProgress, other));
        ring.push(line(7, EventKind::VideoPlayable, one));
        assert_eq!(read_all(&ring, 5), [5, 6, 7]);
        ring.push(line(8, EventKind::VideoProgress, one));
        ring.push(line(9, EventKind::UploadProgress, one));
        ring.push(line(10, EventKind::VideoReady, one));
        assert_eq!(read_all(&ring, 5), [6, 7, 8, 9, 10]);
        assert_eq!(read_all(&ring, 8), [8, 9, 10]);
        assert_eq!(read_all(&ring, 11), [0u64; 0]);
        ring.push(line(11, EventKind::VideoProgress, one));
        ring.push(line(12, EventKind::VideoProgress, one));
        assert_eq!(read_all(&ring, 11), [12]);
    }

    /// However much happens, the board holds so many events, and who is behind them learns it.
    #[test]
    fn the_board_is_bounded() {
        let mut ring = ring(1);
        let videos: Vec<VideoId> = (0..40).map(|_| VideoId::fresh(UnixMillis(1))).collect();
        let kinds = [EventKind::VideoProgress, EventKind::VideoReady, EventKind::VideoState];
        let last = 3 * LINES_MAX as u64;
        for id in 1..=last {
            let at = usize::try_from(id).expect("small");
            ring.push(line(id, kinds[at % 3], videos[at % 40]));
        }
        assert_eq!(ring.lines.len(), LINES_MAX);
        assert!(ring.newest_of.len() <= 3 * 40);
        let oldest = last + 1 - LINES_MAX as u64;
        assert!(matches!(ring.read(&mut (oldest - 1)), Some(Read::Missed)));
        let read = read_all(&ring, oldest);
        assert!(read.is_sorted() && read.last() == Some(&last) && read.len() < LINES_MAX);
    }

    /// Of events that are put into words together, the stale ones cost nothing.
    #[test]
    fn stale_events_arent_put_into_words() {
        let video = VideoId::fresh(UnixMillis(1));
        let kinds = [
            EventKind::VideoProgress,
            EventKind::VideoReady,
            EventKind::VideoProgress,
            EventKind::VideoReady,
        ];
        let lines: Vec<_> = (1..).zip(kinds).map(|(id, kind)| line(id, kind, video)).collect();
        let mut ids: Vec<u64> = fresh(&lines).iter().map(|line| line.event.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [2, 3, 4]);
    }
}
