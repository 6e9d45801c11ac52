//! The hub: one bounded ring that all listeners read at their own pace.
//!
//! A listener is only a position in the ring, so a slow one costs nothing: when the ring has gone
//! past it, it is told that it missed something and goes on from now. Resuming after a broken
//! connection is the same reading from an older position. Progress is held to four events a second
//! for each video, of which two may come together: what a child reports now and then goes out at
//! once, also right behind what it reports regularly. What is held back is told when its time
//! comes, by whoever reads or publishes next, so no timer runs while nobody listens.

use super::{Event, EventBody, Progress};
use crate::ids::VideoId;
use crate::units::UnixMillis;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Events kept for listeners that come back.
const RING_EVENTS_MAX: usize = 1024;

/// Shortest time between two progress events of one video, but that one of them may come early:
/// no second holds more than four.
const PROGRESS_GAP: Duration = Duration::from_millis(334);

/// Videos whose progress is remembered at once; far above what can upload or be worked on.
const VIDEOS_MAX: usize = 16_384;

/// Tells events to any number of listeners. Clones share one hub.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// The id of the newest event; listeners wait for it to change.
    newest: watch::Sender<u64>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The id that the next event gets.
    next: u64,
    paces: HashMap<VideoId, Pace>,
    /// When the earliest event held back may be told; never later than that.
    due: Option<Instant>,
    closed: bool,
}

/// What the hub knows about one video's progress.
#[derive(Debug)]
struct Pace {
    /// One gap behind the moment from which on another may be told.
    spent_until: Instant,
    held: Option<Event>,
    last: Option<Progress>,
}

impl Pace {
    /// When the next may be told.
    fn due(&self) -> Instant {
        self.spent_until - PROGRESS_GAP
    }

    /// Notes that one is told.
    fn spend(&mut self, now: Instant) {
        self.spent_until = self.spent_until.max(now) + PROGRESS_GAP;
        self.held = None;
    }
}

/// What a listener gets.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The next event.
    Event(Arc<Event>),
    /// Events were lost for this listener: what follows makes sense only after a look at the
    /// records themselves.
    Missed,
}

impl Hub {
    /// Makes a hub whose ids begin after those of every hub that was made before `now`.
    pub fn new(now: UnixMillis) -> Self {
        // Microseconds since 1970: no process tells a thousand events a millisecond for long, and
        // the numbers stay exact in JavaScript.
        let next = u64::try_from(now.0).unwrap_or(0).saturating_mul(1000).max(1);
        let ring =
            Ring { events: VecDeque::new(), next, paces: HashMap::new(), due: None, closed: false };
        let newest = watch::Sender::new(next - 1);
        Self { shared: Arc::new(Shared { ring: Mutex::new(ring), newest }) }
    }

    /// Tells an event; its `id` is set here. Progress may be told later, or not at all when newer
    /// progress of the same video comes first.
    pub fn publish(&self, event: Event) {
        self.shared.change(|ring| ring.take(event, Instant::now()));
    }

    /// Returns a listener: to what comes from now on, or to what came after the event `after`.
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        let mut newest = self.shared.newest.subscribe();
        newest.mark_unchanged();
        let now = self.shared.ring().next;
        // An id that was never given belongs to a clock that ran ahead: nothing can be replayed.
        let next = after.map_or(now, |id| if id < now { id + 1 } else { 0 });
        Subscription { shared: self.shared.clone(), newest, next }
    }

    /// Returns the last progress told of the work on `video`, until that work has ended.
    pub fn progress(&self, video: VideoId) -> Option<Progress> {
        self.shared.ring().paces.get(&video).and_then(|pace| pace.last.clone())
    }

    /// Ends every subscription once it has been read to the end; for the server's stop.
    pub fn close(&self) {
        self.shared.ring().closed = true;
        self.shared.newest.send_modify(|_| ());
    }
}

impl Shared {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing below panics half-way through a change, so a poisoned lock is still sound.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Ring) -> T) -> T {
        let (result, newest, is_sooner) = {
            let mut ring = self.ring();
            let due = ring.due;
            let result = change(&mut ring);
            let is_sooner = ring.due.is_some_and(|now| due.is_none_or(|due| now < due));
            (result, ring.next - 1, is_sooner)
        };
        // Who waits has to know until when, too.
        self.newest.send_if_modified(|known| {
            let grew = *known < newest;
            *known = newest.max(*known);
            grew || is_sooner
        });
        result
    }
}

impl Ring {
    fn take(&mut self, event: Event, now: Instant) {
        match event.video {
            Some(video) if event.kind.is_progress() => {
                // Before what is due, so that an older value held back isn't told first.
                if let Some(event) = self.hold_back(video, event, now) {
                    self.tell(event);
                }
                return self.release_due(now);
            }
            Some(video) if event.kind.ends_progress() => {
                self.paces.remove(&video);
            }
            _ => (),
        }
        self.release_due(now);
        self.tell(event);
    }

    /// Remembers progress and returns it when it may be told now.
    fn hold_back(&mut self, video: VideoId, event: Event, now: Instant) -> Option<Event> {
        let last = match &event.body {
            EventBody::Progress(progress) => Some(progress.clone()),
            _ => None,
        };
        if let Some(pace) = self.paces.get_mut(&video) {
            pace.last = last.or(pace.last.take());
            let due = pace.due();
            if now < due {
                pace.held = Some(event);
                self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
                return None;
            }
            pace.spend(now);
            return Some(event);
        }
        if self.paces.len() >= VIDEOS_MAX {
            self.forget_oldest();
        }
        self.paces.insert(video, Pace { spent_until: now + PROGRESS_GAP, held: None, last });
        Some(event)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.paces.iter().min_by_key(|(_, pace)| pace.spent_until).map(|(id, _)| *id);
        if let Some(mut pace) = oldest.and_then(|id| self.paces.remove(&id))
            && let Some(held) = pace.held.take()
        {
            self.tell(held);
        }
    }

    /// Tells what was held back long enough.
    fn release_due(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        let mut told = Vec::new();
        self.due = None;
        for pace in self.paces.values_mut().filter(|pace| pace.held.is_some()) {
            let due = pace.due();
            if due <= now {
                told.extend(pace.held.take());
                pace.spend(now);
            } else {
                self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
            }
        }
        told.sort_by_key(|event| event.at);
        told.into_iter().for_each(|event| self.tell(event));
    }

    fn tell(&mut self, mut event: Event) {
        if self.events.len() >= RING_EVENTS_MAX {
            self.events.pop_front();
        }
        event.id = self.next;
        self.next += 1;
        self.events.push_back(Arc::new(event));
    }

    /// Returns what a listener at `next` reads, or nothing when it has read everything.
    fn read(&self, next: u64) -> Option<News> {
        if next >= self.next {
            return None;
        }
        let oldest = self.events.front().map_or(self.next, |event| event.id);
        match next.checked_sub(oldest) {
            Some(at) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                self.events.get(at).cloned().map(News::Event)
            }
            None => Some(News::Missed),
        }
    }
}

/// A listener's place in the stream.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    next: u64,
}

impl Subscription {
    /// Waits for the next news; `None` once the hub is closed and everything has been read.
    ///
    /// # Cancel
    /// Safe: a dropped call has read nothing.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            self.newest.mark_unchanged();
            match self.read() {
                (Some(news), ..) => return Some(news),
                (None, _, true) => return None,
                (None, due, false) => self.wait(due).await,
            }
        }
    }

    /// Returns the next news if there are some already.
    pub fn ready(&mut self) -> Option<News> {
        self.read().0
    }

    /// Returns the id that the next event will have, if none is missed.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Reads what is there; else tells until when nothing is due, and whether nothing will come.
    fn read(&mut self) -> (Option<News>, Option<Instant>, bool) {
        let (news, due, closed, end) = self.shared.change(|ring| {
            ring.release_due(Instant::now());
            (ring.read(self.next), ring.due, ring.closed, ring.next)
        });
        self.next = match &news {
            Some(News::Event(event)) => event.id + 1,
            // Whoever missed something looks at the records, which are newer than any event so
            // far.
            Some(News::Missed) => end,
            None => self.next,
        };
        (news, due, closed)
    }

    async fn wait(&mut self, due: Option<Instant>) {
        match due {
            Some(due) => {
                // Both ends of the wait lead to another look; it can't fail while `shared` lives.
                let _ = tokio::time::timeout_at(due, self.newest.changed()).await;
            }
            None => {
                let _ = self.newest.changed().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
