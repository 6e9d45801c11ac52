//! Work that runs along with an upload: when it can begin, and how it hears of what arrives.

use super::{Engine, UploadError, Uploads};
use crate::disk::DiskError;
use crate::events::{EventBody, EventKind};
use crate::ids::{JobId, UploadId};
use crate::model::arriving::{Index, find_index};
use crate::model::upload::UploadState;
use crate::state::{JobRecord, UploadRecord};
use crate::units::{ByteCount, ByteOffset, Ranges};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tracing::{debug, warn};

/// A smaller upload is over before work on it has got anywhere.
const BYTES_MIN: u64 = 4 << 20;

/// How much has to be here before an upload is looked at first.
const LOOK_BYTES: u64 = 64 << 10;

/// What of an upload is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes that are in the file and count.
    pub here: Ranges,
    /// All of them are, and are the original of a video.
    pub finished: bool,
}

/// Uploads that somebody follows, and those that were looked at.
#[derive(Debug, Default)]
pub(super) struct Along {
    followed: Mutex<HashMap<UploadId, watch::Sender<Arrived>>>,
    /// How much has to be here before an upload is looked at again; no end if work was begun.
    looked: Mutex<HashMap<UploadId, u64>>,
    /// Where the index is of which some is missing, by the last look.
    missing: Mutex<HashMap<UploadId, (u64, u64)>>,
}

impl Along {
    fn followed(&self) -> MutexGuard<'_, HashMap<UploadId, watch::Sender<Arrived>>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked(&self) -> MutexGuard<'_, HashMap<UploadId, u64>> {
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

    /// Forgets an upload that has ended; who follows it learns of that.
    pub(super) fn forget(&self, id: UploadId) {
        self.followed().remove(&id);
        self.looked().remove(&id);
        self.missing().remove(&id);
    }

    /// Tells that an upload is finished.
    pub(super) fn finish(&self, id: UploadId, size: ByteCount) {
        let sender = self.followed().remove(&id);
        self.looked().remove(&id);
        self.missing().remove(&id);
        if let Some(sender) = sender {
            let here = Ranges::up_to(ByteOffset(size.0));
            sender.send_replace(Arrived { here, finished: true });
        }
    }
}

impl Uploads {
    /// Follows an upload: what is here of it now, and what comes. The end of the channel, without
    /// word that it is finished, is the end of the upload.
    ///
    /// # Errors
    /// `Missing`; `Gone` once it has expired or was aborted.
    pub fn follow(&self, id: UploadId) -> Result<watch::Receiver<Arrived>, UploadError> {
        let engine = &self.engine;
        // Held while the record is read, so that nothing comes in between unheard.
        let mut followed = engine.along.followed();
        let record = engine.known(id)?;
        let finished = record.state == UploadState::Finished;
        let here = record.received.written;
        if let Some(sender) = followed.get(&id).filter(|_| !finished) {
            sender.send_if_modified(|arrived| take_in(arrived, &here));
            return Ok(sender.subscribe());
        }
        let (sender, receiver) = watch::channel(Arrived { here, finished });
        if !finished {
            followed.insert(id, sender);
        }
        Ok(receiver)
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
        let is_of_use = self.engine.limits.live && is_open(record);
        let (true, Some(length)) = (is_of_use, record.length) else { return Ok(Vec::new()) };
        let (id, here) = (record.id, record.received.written.clone());
        let found = self.engine.clone().look(id, length, here.clone()).await?;
        Ok(match found {
            Index::Wanted(start, end) => here.holes(ByteOffset(start), ByteOffset(end)),
            Index::Here | Index::Unknown => Vec::new(),
        })
    }
}

impl Engine {
    /// Hears that bytes have come that count, and has work on them begun as soon as it can.
    pub(super) fn arrived(self: &Arc<Self>, record: &UploadRecord, here: &Ranges) {
        let id = record.id;
        {
            let mut followed = self.along.followed();
            match followed.get(&id) {
                Some(sender) if sender.is_closed() => drop(followed.remove(&id)),
                Some(sender) => drop(sender.send_if_modified(|arrived| take_in(arrived, here))),
                None => (),
            }
        }
        let Some(length) = record.length.filter(|_| self.limits.live && is_open(record)) else {
            return;
        };
        let total = here.total().0;
        let missing = length.0.saturating_sub(total);
        let is_worth_it = length.0 >= BYTES_MIN && missing > 0 && total >= LOOK_BYTES;
        if !is_worth_it || !self.is_due(record, total) {
            return;
        }
        let (engine, record, here) = (self.clone(), record.clone(), here.clone());
        self.tasks.spawn(async move {
            if let Err(cause) = engine.begin_along(&record, length, here).await {
                warn!(upload.id = %record.id, "no work runs along with {}: {cause}", record.id);
            }
        });
    }

    /// Says whether an upload with so many bytes is to be looked at, and when next. What comes in
    /// order is looked at when it has doubled; a part may bring what was missing.
    fn is_due(&self, record: &UploadRecord, total: u64) -> bool {
        let mut looked = self.along.looked();
        if looked.get(&record.id).is_some_and(|&next| total < next) {
            return false;
        }
        let next = if record.chunks.is_some() { total + 1 } else { total.saturating_mul(2) };
        looked.insert(record.id, next);
        true
    }

    /// Queues a job on an upload if the film's index is here.
    async fn begin_along(
        self: &Arc<Self>,
        record: &UploadRecord,
        length: ByteCount,
        here: Ranges,
    ) -> Result<(), UploadError> {
        let (id, now) = (record.id, self.clock.now());
        let Some(video) = record.video else { return Ok(()) };
        match self.clone().look(id, length, here.clone()).await? {
            Index::Here => self.along.missing().remove(&id),
            Index::Unknown => return Ok(()),
            Index::Wanted(start, end) => {
                self.along.missing().insert(id, (start, end));
                let (received, size) = (here.total(), Some(length));
                let wanted = self.along.wanted(id, &here);
                let body = EventBody::Upload { upload: id, received, size, wanted };
                self.tell(EventKind::UploadProgress, record, body);
                return Ok(());
            }
        };
        self.along.looked().insert(id, u64::MAX);
        let job = JobRecord::new(JobId::fresh(now), video, record.owner.clone(), now);
        if self.state.begin_live(id, job, now).await? {
            debug!(upload.id = %id, video.id = %video, "work begins along with upload {id}");
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Ends the work along an upload whose bytes aren't what they should be, and removes what has
    /// come of it.
    pub(super) async fn withdraw_along(self: &Arc<Self>, id: UploadId) -> Result<(), UploadError> {
        let withdrawn = self.state.withdraw_live(id, self.clock.now()).await?;
        self.along.followed().remove(&id);
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
        id: UploadId,
        length: ByteCount,
        here: Ranges,
    ) -> Result<Index, UploadError> {
        self.blocking(move |engine| {
            let blob = match engine.disk.open_blob(id) {
                Ok(blob) => blob,
                // Finished, or ended, meanwhile.
                Err(DiskError::Missing) => return Ok(Index::Unknown),
                Err(failed) => return Err(failed),
            };
            let mut read =
                |at, into: &mut [u8]| blob.read_at(ByteOffset(at), into).map_err(io::Error::other);
            // A file that is shorter than its record says is found out elsewhere.
            Ok(find_index(length.0, &here, &mut read).unwrap_or(Index::Unknown))
        })
        .await
    }
}

fn is_open(record: &UploadRecord) -> bool {
    record.state == UploadState::Partial && !record.is_part() && !record.is_final()
}

/// Adds what has come, and says whether that was anything.
fn take_in(arrived: &mut Arrived, here: &Ranges) -> bool {
    let before = arrived.here.total();
    arrived.here.add(here);
    arrived.here.total() != before
}
