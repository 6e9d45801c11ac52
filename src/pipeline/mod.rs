//! The loop over jobs: claims them, runs a confined child for each, publishes what it makes.
//!
//! Every step that others may rely on is a transaction in `state` under the claim's epoch; a
//! child, or a whole server, may be killed between any two of them and the next attempt goes on
//! from the manifest. Started by `server`; knows nothing of `http`.

mod along;
mod bounds;
mod children;
mod ending;
mod film;
mod growing;
mod measured;
mod publish;
mod reached;
mod redo;
mod run;
mod seal;
mod small;
mod source;
mod spans;
mod texts;
mod turns;

use crate::clock::Clock;
use crate::disk::{Disk, Room};
use crate::events::{Event, EventKind, Hub};
use crate::library::Library;
use crate::model::accept::Accept;
use crate::model::job::{LEASE_MS, Line};
use crate::model::manifest::Formats;
use crate::queue::{Claim, Queue, QueueError};
use crate::state::{State, VideoRecord};
use crate::upload::Uploads;
use crate::wire::{EncodeOptions, Limits};
use ending::Halt;
pub use spans::{Places, Spans};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use turns::Turns;

/// What the loop works with.
pub struct Pipeline {
    /// Where jobs come from and go back to.
    pub queue: Queue,
    /// Records.
    pub state: State,
    /// Bytes.
    pub disk: Disk,
    /// Where people's choices are noted.
    pub library: Library,
    /// Who hears of it.
    pub hub: Hub,
    /// The time.
    pub clock: Clock,
    /// How renditions are made.
    pub encode: EncodeOptions,
    /// In which forms films are published.
    pub formats: Formats,
    /// Segments are encrypted.
    pub encrypts: bool,
    /// What one file may cost.
    pub limits: Limits,
    /// A child without a report for this long is killed.
    pub stall_ms: u64,
    /// The kernel's boot id: under another one, what the disk hadn't confirmed may be gone.
    pub boot: String,
    /// Where films come from that are still being uploaded.
    pub uploads: Uploads,
    /// How many children may work on one film's pictures at once.
    pub spans: Spans,
    /// The places of workers that are taken.
    pub places: Places,
    /// Jobs at once.
    pub workers: usize,
    /// Jobs at once on films that are still being uploaded, beside the others.
    pub live_workers: usize,
    /// Room on the disk that is left.
    pub room: Room,
    /// Which files are taken.
    pub accept: Accept,
    /// The originals of others stay.
    pub keep_rejected: bool,
}

/// Longest sleep without looking for work, should a bell have been missed.
const POLL_MS: u64 = 5_000;

/// Small jobs at once, beside the films; none where no films are worked on either.
const SMALL_WORKERS: usize = 1;

/// Pause after the database refused, so that a broken one isn't asked in a circle.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// The jobs under way, by the line that they were claimed from.
#[derive(Default)]
struct Running {
    films: JoinSet<()>,
    live: JoinSet<()>,
    small: JoinSet<()>,
}

impl Pipeline {
    /// Works until `stop` fires; then kills the children, gives their jobs back and returns.
    pub async fn run(self, stop: CancellationToken) {
        let shared = Arc::new(self);
        let mut running = Running::default();
        let bell = shared.queue.bell();
        let (turns, small_turns) = (Turns::default(), Turns::default());
        let mut waits_for_room = false;
        loop {
            // Armed before looking, so that a job queued in between isn't slept over.
            let rung = bell.notified();
            let has_room = shared.has_room(&mut waits_for_room).await;
            match shared.claim(&running, has_room).await {
                Ok(Some(claim)) => {
                    let (work, stop) = (Arc::clone(&shared), stop.clone());
                    match claim.job.line() {
                        Line::Small => {
                            let turns = small_turns.clone();
                            running.small.spawn(small::run_small(work, claim, turns, stop))
                        }
                        Line::Films => {
                            running.films.spawn(run::run_job(work, claim, turns.clone(), stop))
                        }
                        Line::Live => {
                            running.live.spawn(run::run_job(work, claim, turns.clone(), stop))
                        }
                    };
                    continue;
                }
                Ok(None) => {}
                Err(cause) => {
                    error!("no job can be claimed: {cause}");
                    tokio::select! {
                        () = tokio::time::sleep(REFUSED_PAUSE) => continue,
                        () = stop.cancelled() => break,
                    }
                }
            }
            let ended = tokio::select! {
                () = stop.cancelled() => break,
                () = rung => None,
                () = tokio::time::sleep(shared.until_next()) => None,
                ended = running.films.join_next(), if !running.films.is_empty() => ended,
                ended = running.live.join_next(), if !running.live.is_empty() => ended,
                ended = running.small.join_next(), if !running.small.is_empty() => ended,
            };
            if let Some(Err(panic)) = ended {
                // The lease runs out and the job is claimed again.
                warn!("a job's task broke: {panic}");
            }
        }
        for line in [&mut running.films, &mut running.live, &mut running.small] {
            while line.join_next().await.is_some() {}
        }
        debug!("no child is left");
    }

    /// Returns which files are taken as this video: those that the server takes, as far as its
    /// upload was allowed to bring them.
    fn accept_of(&self, video: &VideoRecord) -> Accept {
        video.accept.map_or(self.accept, |accept| accept.and(self.accept))
    }

    /// Says whether the disk has room for work on films, and in the log when that changes.
    async fn has_room(&self, waits: &mut bool) -> bool {
        let (disk, room) = (self.disk.clone(), self.room);
        let measured = tokio::task::spawn_blocking(move || room.is_enough(&disk)).await;
        // Who can't measure finds out by working.
        let is_enough = !matches!(measured, Ok(Ok(false)));
        match (is_enough, *waits) {
            (false, false) => warn!("the disk is nearly full: no film is begun until it has room"),
            (true, true) => info!("the disk has room again: work goes on"),
            _ => {}
        }
        *waits = !is_enough;
        is_enough
    }

    /// Returns where children beyond a job's own find a place, if they need one.
    fn spare_places(&self) -> Option<Places> {
        self.spans.only_idle.then(|| self.places.clone())
    }

    /// Takes a job that there is a worker for beside those that run: each line has its own.
    async fn claim(&self, running: &Running, has_room: bool) -> Result<Option<Claim>, QueueError> {
        let mut claimed = None;
        if running.small.len() < SMALL_WORKERS.min(self.workers) {
            claimed = self.queue.claim_small().await?;
        }
        if claimed.is_none() && has_room && running.live.len() < self.live_workers {
            claimed = self.queue.claim_live().await?;
        }
        if claimed.is_none() && has_room && running.films.len() < self.workers {
            claimed = self.queue.claim().await?;
        }
        Ok(claimed)
    }

    /// Holds a job for longer.
    ///
    /// # Errors
    /// `Stale` if somebody else has it.
    async fn renew(&self, claim: &Claim) -> Result<(), Halt> {
        match self.queue.renew(claim.job.id, claim.job.epoch).await {
            Ok(()) => Ok(()),
            Err(QueueError::Stale | QueueError::Missing) => Err(Halt::Stale),
            // The lease still holds for a while; the next renewal may succeed.
            Err(cause) => {
                warn!("a lease can't be renewed: {cause}");
                Ok(())
            }
        }
    }

    /// Tells that a video has changed, and with it the queue.
    fn tell(&self, kind: EventKind, video: &VideoRecord) {
        let now = self.clock.now();
        self.hub.publish(Event::of_video(kind, now, video.id, video.owner.clone()));
        self.hub.publish(Event::of_queue(now));
    }

    /// Returns how long nothing can be due, at most [`POLL_MS`].
    fn until_next(&self) -> Duration {
        let now = self.clock.now();
        let ms = match self.queue.next_due() {
            Some(due) => due.ms_since(now).clamp(50, POLL_MS),
            None => POLL_MS,
        };
        Duration::from_millis(ms)
    }

    /// How often a lease is renewed: three times before it would run out.
    fn renew_every() -> Duration {
        Duration::from_millis(LEASE_MS / 3)
    }
}
