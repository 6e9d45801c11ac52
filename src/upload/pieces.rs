//! What an upload's bytes lie in: a file of its own, or those of the parts that it is made of.
//!
//! A final upload has nothing in its own file before its parts are joined. Until then what has come
//! of it is what has come of them, each at its place; a part may have several places, and be in
//! several uploads.

use super::{Engine, Film, UploadError};
use crate::disk::{Blob, Disk, DiskError};
use crate::events::{EventBody, EventKind};
use crate::ids::UploadId;
use crate::model::upload::{Concat, Received};
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset, Ranges};
use crate::wire::SOURCE_FILES_MAX;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All bytes of one file in the uploads' directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose file it is.
    pub upload: UploadId,
    /// How many bytes it has, or will have.
    pub length: ByteCount,
}

/// The pieces of an upload, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    all: Vec<Piece>,
    /// The length isn't known yet: that of the last piece is what it may be at most.
    is_open_ended: bool,
}

impl Pieces {
    /// An upload that has a file of its own, of `length` or, while nobody knows it, up to `max`.
    pub(super) fn own(upload: UploadId, length: Option<ByteCount>, max: ByteCount) -> Self {
        let all = vec![Piece { upload, length: length.unwrap_or(max) }];
        Self { all, is_open_ended: length.is_none() }
    }

    /// An upload that is made of `parts`; `None` while the length of one isn't known.
    pub(super) fn of(parts: &[UploadRecord]) -> Option<Self> {
        let piece = |part: &UploadRecord| Some(Piece { upload: part.id, length: part.length? });
        let all = parts.iter().map(piece).collect::<Option<_>>();
        all.map(|all| Self { all, is_open_ended: false })
    }

    /// Returns them in order.
    pub fn as_slice(&self) -> &[Piece] {
        &self.all
    }

    /// Returns how many bytes they are together, at most if that isn't known yet.
    pub fn length_max(&self) -> ByteCount {
        ByteCount(self.all.iter().fold(0, |sum, piece| sum.saturating_add(piece.length.0)))
    }

    /// Returns how many bytes they are together, if that is known.
    pub fn length(&self) -> Option<ByteCount> {
        (!self.is_open_ended).then(|| self.length_max())
    }

    /// Returns where each begins.
    fn places(&self) -> impl Iterator<Item = (ByteOffset, &Piece)> {
        self.all.iter().scan(0u64, |next, piece| {
            let at = std::mem::replace(next, next.saturating_add(piece.length.0));
            Some((ByteOffset(at), piece))
        })
    }

    /// Adds to `all` what of the piece `upload` is here, wherever that lies.
    fn add(&self, upload: UploadId, here: &Ranges, all: &mut Ranges) {
        for (at, _) in self.places().filter(|(_, piece)| piece.upload == upload) {
            all.add_at(at, here);
        }
    }

    /// Fills `bytes` with what lies from `at` on.
    ///
    /// # Errors
    /// `Missing` if a file is gone; `Io`, also where one ends before.
    pub(super) fn read_at(
        &self,
        disk: &Disk,
        open: &mut HashMap<UploadId, Blob>,
        at: ByteOffset,
        bytes: &mut [u8],
    ) -> Result<(), DiskError> {
        let until = at.0.saturating_add(bytes.len() as u64);
        for (start, piece) in self.places() {
            let from = at.0.max(start.0);
            let to = until.min(start.0.saturating_add(piece.length.0));
            if from >= to {
                continue;
            }
            let blob = match open.entry(piece.upload) {
                Entry::Occupied(blob) => blob.into_mut(),
                Entry::Vacant(none) => none.insert(disk.open_blob(piece.upload)?),
            };
            let into = &mut bytes[(from - at.0) as usize..(to - at.0) as usize];
            blob.read_at(ByteOffset(from - start.0), into)?;
        }
        Ok(())
    }
}

/// A final upload whose parts are under way.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) film: Film,
    pub(super) pieces: Arc<Pieces>,
    /// What of it is here.
    pub(super) here: Ranges,
}

/// Final uploads whose parts have told their lengths.
#[derive(Debug, Default)]
pub(super) struct AllMade(Mutex<HashMap<UploadId, Made>>);

impl AllMade {
    fn all(&self) -> MutexGuard<'_, HashMap<UploadId, Made>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a final upload that has ended, or all of whose parts are here.
    pub(super) fn forget(&self, id: UploadId) {
        self.all().remove(&id);
    }
}

impl Engine {
    /// Returns what a final upload is made of and what is here of that, once `come` has been added;
    /// `None` while the length of a part isn't known, for more parts than are read as one, and if
    /// there is nothing left to come.
    ///
    /// # Errors
    /// `Missing`, `Gone`; `PartMissing`, `PartUnfit`.
    pub(super) fn made(
        &self,
        id: UploadId,
        come: Option<(UploadId, &Ranges)>,
    ) -> Result<Option<Made>, UploadError> {
        // Held while the records are read, so that nothing comes in between unheard.
        let mut all = self.made.all();
        let made = match all.entry(id) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(none) => match self.put_together(&self.known(id)?)? {
                Some(made) => none.insert(made),
                None => return Ok(None),
            },
        };
        if let Some((part, here)) = come {
            made.pieces.add(part, here, &mut made.here);
        }
        Ok(Some(made.clone()))
    }

    /// Reads what a final upload's parts come to, as long as they aren't all here.
    fn put_together(&self, record: &UploadRecord) -> Result<Option<Made>, UploadError> {
        let Some(Concat::Final { parts, .. }) = &record.concat else { return Ok(None) };
        let distinct: HashSet<&UploadId> = parts.iter().collect();
        let is_over = !record.state.is_open() || self.is_queued(record);
        let (false, true, Some(film)) =
            (is_over, distinct.len() <= SOURCE_FILES_MAX, Film::of(record))
        else {
            return Ok(None);
        };
        let parts = self.parts(parts, &record.owner)?;
        let Some(pieces) = Pieces::of(&parts) else { return Ok(None) };
        let here = received(&pieces, &parts).written;
        Ok(Some(Made { film, pieces: Arc::new(pieces), here }))
    }

    /// Returns a final upload's record with what has come of its parts, and with its length as soon
    /// as they tell it, before either is recorded with the joining.
    pub(super) fn with_parts(&self, mut record: UploadRecord) -> UploadRecord {
        let is_open = record.state.is_open();
        if let Some(Concat::Final { parts, .. }) = record.concat.as_ref().filter(|_| is_open)
            && let Ok(parts) = self.parts(parts, &record.owner)
            && let Some(pieces) = Pieces::of(&parts)
        {
            record.length = pieces.length();
            record.received = received(&pieces, &parts);
        }
        record
    }

    /// Hears that more of a part is here, for the final uploads that wait for it.
    pub(super) fn part_arrived(self: &Arc<Self>, part: UploadId, here: &Ranges) {
        for id in self.joins.waiting_for(part) {
            // What it lacks is told of by the joining.
            if let Ok(Some(made)) = self.made(id, Some((part, here))) {
                self.tell_progress_of(&made);
                self.arrived_of(&made.film, &made.pieces, &made.here);
            }
        }
    }

    fn tell_progress_of(&self, Made { film, pieces, here }: &Made) {
        let (upload, received, size) = (film.upload, here.total(), pieces.length());
        let wanted = self.along.wanted(upload, here);
        let body = EventBody::Upload { upload, received, size, wanted };
        self.tell_of(EventKind::UploadProgress, film, body);
    }
}

/// Puts together what has come of pieces from what has come of each.
fn received(pieces: &Pieces, parts: &[UploadRecord]) -> Received {
    let mut all = Received::default();
    let mut seen = HashSet::new();
    for part in parts.iter().filter(|part| seen.insert(part.id)) {
        all.boot.clone_from(&part.received.boot);
        pieces.add(part.id, &part.received.written, &mut all.written);
        pieces.add(part.id, &part.received.durable, &mut all.durable);
    }
    all
}
