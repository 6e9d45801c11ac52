//! Work that runs along with an upload: when it can begin, and how it hears of what arrives.

use super::pieces::Pieces;
use super::{Engine, Film, UploadError, Uploads};
use crate::events::{EventBody, EventKind};
use crate::ids::{JobId, UploadId};
use crate::model::arriving::{HEAD_BYTES_MAX, Index, find_index};
use crate::model::upload::UploadState;
use crate::state::{JobRecord, UploadRecord};
use crate::units::{ByteCount, ByteOffset, Ranges};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tracing::{debug, warn};

/// A smaller upload is over before work on it has got anywhere.
const BYTES_MIN: u64 = 4 << 20;

/// How much has to be here before an upload is looked at first.
const LOOK_BYTES: u64 = 64 << 10;

/// How much of a box has to be here to tell how long it is.
const BOX_HEAD_BYTES: u64 = 16;

/// What of an upload is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes that are in the files and count.
    pub here: Ranges,
    /// How many it has, once that is known.
    pub size: Option<ByteCount>,
    /// All of them are, and are those of a video that isn't being uploaded any more.
    pub finished: bool,
}

/// An upload that somebody follows.
#[derive(Debug)]
pub struct Followed {
    /// What is here of it now, and what comes. The end of the channel, without word that it is
    /// finished, is the end of the upload.
    pub news: watch::Receiver<Arrived>,
    /// What its bytes lie in.
    pub pieces: Arc<Pieces>,
}

/// Uploads that somebody follows, and those that were looked at.
#[derive(Debug, Default)]
pub(super) struct Along {
    followed: Mutex<HashMap<UploadId, watch::Sender<Arrived>>>,
    /// What is to come before an upload is looked at again.
    looked: Mutex<HashMap<UploadId, Look>>,
    /// Where the index is of which some is missing, by the last look.
    missing: Mutex<HashMap<UploadId, (u64, u64)>>,
}

/// A look at an upload, and what has to come before another one can find anything new.
#[derive(Debug)]
struct Look {
    /// Once these bytes are here it is worth while.
    hole: Option<(u64, u64)>,
    /// And once there are so many; no end if work was begun.
    total: u64,
    /// It isn't over yet, and this came meanwhile.
    running: Option<Ranges>,
}

impl Look {
    fn is_due(&self, here: &Ranges) -> bool {
        let is_filled =
            |(start, end)| start < end && here.covers(ByteOffset(start), ByteOffset(end));
        self.hole.is_some_and(is_filled) || here.total().0 >= self.total
    }
}

impl Along {
    fn followed(&self) -> MutexGuard<'_, HashMap<UploadId, watch::Sender<Arrived>>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked(&self) -> MutexGuard<'_, HashMap<UploadId, Look>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self) -> MutexGuard<'_, HashMap<UploadId, (u64, u64)>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns which bytes, by the last look, would let work begin on an upload of which these are
    /// here.
    pub(super) fn wanted(&self, id: UploadId, here: &Ranges) -> Vec<(u64, u64)> {
        let missing = self.missing().get(&id).copied();
        missing.map_or(Vec::new(), |(start, end)| here.holes(ByteOffset(start), ByteOffset(end)))
    }

    /// Says whether an upload of which these bytes are here is to be looked at now: a look begins.
    fn begin_look(&self, id: UploadId, here: &Ranges) -> bool {
        let mut looked = self.looked();
        if let Some(look) = looked.get_mut(&id) {
            if let Some(came) = &mut look.running {
                came.clone_from(here);
                return false;
            }
            if !look.is_due(here) {
                return false;
            }
        }
        let (total, running) = (here.total().0.saturating_mul(2), Some(here.clone()));
        looked.insert(id, Look { hole: None, total, running });
        true
    }

    /// Takes in that a look has failed.
    fn break_look(&self, id: UploadId) {
        if let Some(look) = self.looked().get_mut(&id) {
            look.running = None;
        }
    }

    /// Takes in what a look at `here` has to wait for now; returns what is here by now if that is
    /// enough for another one.
    fn end_look(&self, id: UploadId, here: &Ranges, waits: Option<(u64, u64)>) -> Option<Ranges> {
        let mut looked = self.looked();
        let came = looked.get_mut(&id).and_then(|look| look.running.take());
        let total = here.total().0.saturating_mul(2);
        let mut look = Look { hole: waits, total, running: None };
        let again = came.filter(|came| came != here && look.is_due(came));
        look.running.clone_from(&again);
        looked.insert(id, look);
        again
    }

    /// Notes that work on an upload was begun.
    fn has_begun(&self, id: UploadId) {
        self.looked().insert(id, Look { hole: None, total: u64::MAX, running: None });
    }

    /// Returns the uploads of which anything is known.
    pub(super) fn known(&self) -> HashSet<UploadId> {
        let mut known: HashSet<UploadId> = self.followed().keys().copied().collect();
        known.extend(self.looked().keys());
        known
    }

    /// Tells who follows an upload what is here of it.
    fn tell(&self, id: UploadId, here: &Ranges, size: Option<ByteCount>) {
        let mut followed = self.followed();
        match followed.get(&id) {
            Some(sender) if sender.is_closed() => drop(followed.remove(&id)),
            Some(sender) => drop(sender.send_if_modified(|arrived| take_in(arrived, here, size))),
            None => (),
        }
    }

    fn forget(&self, id: UploadId) {
        self.followed().remove(&id);
        self.looked().remove(&id);
        self.missing().remove(&id);
    }

    /// Tells that an upload is finished.
    fn finish(&self, id: UploadId, size: ByteCount) {
        let sender = self.followed().remove(&id);
        self.looked().remove(&id);
        self.missing().remove(&id);
        if let Some(sender) = sender {
            let here = Ranges::up_to(ByteOffset(size.0));
            sender.send_replace(Arrived { here, size: Some(size), finished: true });
        }
    }
}

impl Uploads {
    /// Follows an upload; `None` if it can't be, because it is made of too many parts, or of one
    /// whose length isn't known.
    ///
    /// # Errors
    /// `Missing`; `Gone` once it has expired or was aborted; `PartMissing`, `PartUnfit`.
    pub fn follow(&self, id: UploadId) -> Result<Option<Followed>, UploadError> {
        let engine = &self.engine;
        // Held while the records are read, so that nothing comes in between unheard.
        let mut followed = engine.along.followed();
        let record = engine.known(id)?;
        let made = if record.is_final() { engine.made(id, None)? } else { None };
        let (pieces, here, finished) = match made {
            Some(made) => (made.pieces, made.here, false),
            None if record.is_final() => return Ok(None),
            None => {
                let finished = record.state == UploadState::Finished;
                (engine.own(&record), record.received.written, finished)
            }
        };
        let size = pieces.length();
        if let Some(sender) = followed.get(&id).filter(|_| !finished) {
            sender.send_if_modified(|arrived| take_in(arrived, &here, size));
            return Ok(Some(Followed { news: sender.subscribe(), pieces }));
        }
        let (sender, news) = watch::channel(Arrived { here, size, finished });
        if !finished {
            followed.insert(id, sender);
        }
        Ok(Some(Followed { news, pieces }))
    }

    /// Has an upload whose job was parked looked at again with the next bytes that come.
    pub fn look_again(&self, id: UploadId) {
        self.engine.along.looked().remove(&id);
    }

    /// Returns which bytes of an open upload would let work on it begin, the next ones first;
    /// none if the order in which they lie is as good as any.
    ///
    /// # Errors
    /// The disk's own.
    pub async fn wanted(&self, record: &UploadRecord) -> Result<Vec<(u64, u64)>, UploadError> {
        let engine = &self.engine;
        if !engine.limits.live || !record.state.is_open() || record.is_part() {
            return Ok(Vec::new());
        }
        let (pieces, here) = match record.is_final() {
            false => (engine.own(record), record.received.written.clone()),
            true => match engine.made(record.id, None) {
                Ok(Some(made)) => (made.pieces, made.here),
                _ => return Ok(Vec::new()),
            },
        };
        // Nobody can send the end of what has none yet.
        if pieces.length().is_none() {
            return Ok(Vec::new());
        }
        let found = engine.clone().look(pieces, here.clone()).await?;
        Ok(match found {
            Index::Wanted(start, end) => here.holes(ByteOffset(start), ByteOffset(end)),
            Index::Here | Index::Unknown => Vec::new(),
        })
    }
}

impl Engine {
    /// Hears that bytes have come that count, and has work on them begun as soon as it can.
    pub(super) fn arrived(self: &Arc<Self>, record: &UploadRecord, here: &Ranges) {
        if record.is_part() {
            return self.part_arrived(record.id, here);
        }
        match Film::of(record).filter(|_| record.state.is_open()) {
            Some(film) => self.arrived_of(&film, &self.own(record), here),
            None => self.along.tell(record.id, here, record.length),
        }
    }

    /// Returns what an upload lies in that has a file of its own.
    fn own(&self, record: &UploadRecord) -> Arc<Pieces> {
        Arc::new(Pieces::own(record.id, record.length, self.max_size(record)))
    }

    /// As [`Engine::arrived`], for what becomes a film.
    pub(super) fn arrived_of(self: &Arc<Self>, film: &Film, pieces: &Arc<Pieces>, here: &Ranges) {
        self.along.tell(film.upload, here, pieces.length());
        let total = here.total().0;
        let is_worth_it = match pieces.length() {
            Some(length) => length.0 >= BYTES_MIN && total < length.0 && total >= LOOK_BYTES,
            None => total >= BYTES_MIN,
        };
        if !self.limits.live || !is_worth_it || !self.along.begin_look(film.upload, here) {
            return;
        }
        let (engine, film) = (self.clone(), film.clone());
        let (pieces, here) = (pieces.clone(), here.clone());
        self.tasks.spawn(async move {
            let id = film.upload;
            if let Err(cause) = engine.look_along(film, &pieces, here).await {
                engine.along.break_look(id);
                warn!(upload.id = %id, "no work runs along with {id}: {cause}");
            }
        });
    }

    /// Looks at an upload, again if enough has come meanwhile, and queues a job on it if the film's
    /// index is here.
    async fn look_along(
        self: &Arc<Self>,
        film: Film,
        pieces: &Arc<Pieces>,
        mut here: Ranges,
    ) -> Result<(), UploadError> {
        let id = film.upload;
        loop {
            let waits = match self.clone().look(pieces.clone(), here.clone()).await? {
                Index::Here => return self.begin_along(&film).await,
                Index::Unknown => hole(&here, 0, HEAD_BYTES_MAX.min(pieces.length_max().0)),
                // It comes when it comes.
                Index::Wanted(..) if pieces.length().is_none() => None,
                Index::Wanted(start, end) => {
                    self.along.missing().insert(id, (start, end));
                    let (received, size) = (here.total(), pieces.length());
                    let wanted = self.along.wanted(id, &here);
                    let body = EventBody::Upload { upload: id, received, size, wanted };
                    self.tell_of(EventKind::UploadProgress, &film, body);
                    // Its head tells where it ends.
                    hole(&here, start, end.min(start.saturating_add(BOX_HEAD_BYTES)))
                        .or(Some((start, end)))
                }
            };
            let Some(newer) = self.along.end_look(id, &here, waits) else { return Ok(()) };
            here = newer;
        }
    }

    /// Queues a job on an upload.
    async fn begin_along(self: &Arc<Self>, film: &Film) -> Result<(), UploadError> {
        let (id, video, now) = (film.upload, film.video, self.clock.now());
        self.along.missing().remove(&id);
        self.along.has_begun(id);
        let job = JobRecord::new(JobId::fresh(now), video, film.owner.clone(), now);
        if self.state.begin_live(id, job, now).await? {
            debug!(upload.id = %id, video.id = %video, "work begins along with upload {id}");
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Hears that an upload has ended; who follows it learns of that.
    pub(super) fn forget_along(&self, id: UploadId) {
        self.made.forget(id);
        self.along.forget(id);
    }

    /// Hears that all bytes of an upload are here, and those of a video.
    pub(super) fn finish_along(&self, id: UploadId, size: ByteCount) {
        self.made.forget(id);
        self.along.finish(id, size);
    }

    /// Lowers the claims on an upload to `believed`. Where the file holds less than it has to, it
    /// was damaged under whoever read it, nobody knows since when, and what is missing may come
    /// back as something else: what was made along the upload is taken back, and begun anew with
    /// the next bytes. What a power cut takes is no such damage: it was read while it was right.
    pub(super) async fn lower(
        self: &Arc<Self>,
        record: &UploadRecord,
        believed: Ranges,
    ) -> Result<UploadRecord, UploadError> {
        let id = record.id;
        let certain = record.received.believed(&self.boot, ByteCount(u64::MAX));
        if believed.overlap(&certain) != certain {
            // Before the record: a kill in between is made good by the next look at the file.
            self.withdraw_along(id).await?;
        }
        Ok(self.state.lower_upload(id, &self.boot, believed).await?)
    }

    /// Ends the work along an upload whose bytes aren't what they should be, and removes what has
    /// come of it.
    pub(super) async fn withdraw_along(self: &Arc<Self>, id: UploadId) -> Result<(), UploadError> {
        let withdrawn = self.state.withdraw_live(id, self.clock.now()).await?;
        // Who follows learns that what it has heard of doesn't count any more.
        self.along.forget(id);
        match withdrawn {
            Some(video) => {
                self.clone().blocking(move |engine| engine.disk.remove_media(video.id)).await
            }
            None => Ok(()),
        }
    }

    /// Looks where the index of a film is of which these bytes are here.
    async fn look(
        self: Arc<Self>,
        pieces: Arc<Pieces>,
        here: Ranges,
    ) -> Result<Index, UploadError> {
        self.blocking(move |engine| {
            let mut open = HashMap::new();
            let mut read = |at, into: &mut [u8]| {
                let read = pieces.read_at(&engine.disk, &mut open, ByteOffset(at), into);
                read.map_err(io::Error::other)
            };
            // A file may be gone, its upload having finished or ended meanwhile, or be shorter than
            // its record says, which is found out elsewhere.
            Ok(find_index(pieces.length_max().0, &here, &mut read).unwrap_or(Index::Unknown))
        })
        .await
    }
}

/// Returns these bytes unless all of them are here.
fn hole(here: &Ranges, start: u64, end: u64) -> Option<(u64, u64)> {
    (!here.covers(ByteOffset(start), ByteOffset(end))).then_some((start, end))
}

/// Adds what has come and what is known, and says whether that was anything.
fn take_in(arrived: &mut Arrived, here: &Ranges, size: Option<ByteCount>) -> bool {
    let before = (arrived.here.total(), arrived.size);
    arrived.here.add(here);
    arrived.size = arrived.size.or(size);
    (arrived.here.total(), arrived.size) != before
}
