//! The writing of one body: a task that owns the open file, the lease and the turn.
//!
//! It outlives the request that feeds it by just as long as it takes to write and record what has
//! come. Bytes go to the kernel first, the record of them second; confirming by the disk runs
//! beside it.

use super::admission::Growth;
use super::append::{Appended, Bound, Flagged};
use super::checksum::{Checksum, Summing};
use super::feed::{Batch, End, Outlet};
use super::turn::Turn;
use super::{Engine, UploadError, is_overtaken};
use crate::config::Durability;
use crate::disk::{Blob, DiskError, FailAt, fail_at};
use crate::events::{EventBody, EventKind};
use crate::state::{Grounds, UploadRecord};
use crate::telemetry::measures::{self, Break};
use crate::units::{ByteCount, ByteOffset, Ranges};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes after which a running body is recorded, and confirmed in the background.
const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;

/// Time after which a running body is recorded.
const CHECKPOINT_TIME: Duration = Duration::from_secs(1);

/// Longer than any body lasts.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// Bytes after which the kernel is asked to begin writing to the disk, so that confirming them
/// later is quick.
const WRITEBACK_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes that the file system sets aside ahead of the writes at a time.
const WINDOW_BYTES: u64 = 256 * 1024 * 1024;

/// Setting aside is a call of its own and isn't worth it for less than this.
const WINDOW_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// One body on its way to disk.
pub(super) struct Writer {
    engine: Arc<Engine>,
    /// Counts what comes beyond what was announced. Before `turn`: it has to end before the next
    /// writer's begins.
    growth: Growth,
    turn: Turn,
    blob: Arc<Blob>,
    record: UploadRecord,
    bound: Bound,
    /// Where this body or upload is known to end.
    known_end: Option<ByteOffset>,
    /// Everything before is with the kernel.
    end: ByteOffset,
    /// Everything before is recorded.
    noted: ByteOffset,
    noted_at: Instant,
    /// Everything before was handed over for confirmation.
    confirming: ByteOffset,
    /// Everything before was recommended for write-back.
    hinted: ByteOffset,
    /// Everything before was set aside, or checked to have room.
    reserved: ByteOffset,
    /// What the whole body must be; nothing is recorded before it is known to be that.
    unverified: Option<Unverified>,
    /// What the client says about the end; counts for uploads that end by it.
    flagged: Flagged,
    /// All that is appended counts, so that a record that says so is enough for many requests.
    grows: bool,
}

/// A body whose checksum isn't known to be right yet.
struct Unverified {
    expected: Checksum,
    /// Taken away while a batch is being added; gone for good if that failed.
    summing: Option<Summing>,
    /// The length that came with the body, and counts with it.
    declared: Option<ByteCount>,
}

impl Writer {
    pub(super) fn new(
        engine: Arc<Engine>,
        turn: Turn,
        blob: Arc<Blob>,
        record: UploadRecord,
        bound: Bound,
        known_end: Option<ByteOffset>,
    ) -> Self {
        let end = record.received.end();
        let reserved = engine.room.covered(record.id).max(end);
        let confirming = record.received.durable.contiguous_end().min(end);
        let growth = Growth::of(engine.clone(), record.id);
        Self {
            engine,
            turn,
            blob,
            record,
            bound,
            known_end,
            end,
            noted: end,
            noted_at: Instant::now(),
            confirming,
            hinted: end,
            reserved,
            unverified: None,
            flagged: Flagged::default(),
            grows: false,
            growth,
        }
    }

    /// Takes what the client says about the upload's end.
    pub(super) fn flag(&mut self, flagged: Flagged) {
        self.flagged = flagged;
    }

    /// Says whether all that is appended counts, and the file ends with what counts so far.
    pub(super) fn grow(&mut self, grows: bool) {
        self.grows = grows;
    }

    /// Has the body count only as a whole, and only if it sums up to `expected`.
    pub(super) fn verify(&mut self, expected: Checksum, declared: Option<ByteCount>) {
        let summing = Some(Summing::of(expected));
        self.unverified = Some(Unverified { expected, summing, declared });
    }

    /// Fixes the upload's length, if one came with the body and it isn't known yet.
    pub(super) async fn declare(&mut self, length: Option<ByteCount>) -> Result<(), UploadError> {
        if let (Some(length), None) = (length, self.record.length) {
            let (id, epoch) = (self.record.id, self.record.epoch);
            self.engine.state.declare_length(id, epoch, length).await?;
            self.record.length = Some(length);
        }
        Ok(())
    }

    /// Counts the upload as if it had been begun with a length up to `until`: a length or a body
    /// that is announced only now counts like one that was announced at the creation.
    pub(super) fn promise(&self, until: ByteOffset) -> Result<(), UploadError> {
        self.growth.to(until, true)
    }

    /// Returns how many bytes the upload may have.
    pub(super) fn bound(&self) -> Bound {
        self.bound
    }

    /// Writes what comes until the body ends or has to, then records it and, with the upload's
    /// last byte, finishes the upload.
    pub(super) async fn run(mut self, mut outlet: Outlet) -> Result<Appended, UploadError> {
        let ended = loop {
            let taken = timeout_at(self.note_due(), outlet.take(self.turn.token())).await;
            let Ok(Batch { pieces, bytes, end }) = taken else {
                // What has been written is told although nothing follows it for now.
                match self.note().await {
                    Ok(()) => continue,
                    Err(failed) => break Err(failed),
                }
            };
            let stored = match bytes {
                0 => Ok(()),
                _ => self.store(pieces, ByteCount(bytes), &outlet).await,
            };
            match (stored, end) {
                (Err(failed), _) => break Err(failed),
                (Ok(()), Some(end)) => break Ok(end),
                (Ok(()), None) => (),
            }
        };
        // From here on the reader need not wait for room that nobody makes.
        drop(outlet);
        // In a box of its own: thousands of slow bodies are on their way there for long, and what
        // this needs would be held for each of them.
        Box::pin(self.conclude(ended)).await
    }

    /// Writes one batch, and records or confirms when enough has come.
    async fn store(
        &mut self,
        pieces: Vec<Bytes>,
        bytes: ByteCount,
        outlet: &Outlet,
    ) -> Result<(), UploadError> {
        let at = self.end;
        let end = at.checked_add(bytes).ok_or_else(|| self.bound.exceeded())?;
        if self.known_end.is_none() {
            self.growth.to(end, false)?;
        }
        let window = self.next_window(end);
        let hint_from = (end.0 - self.hinted.0 >= WRITEBACK_BYTES).then_some(self.hinted);
        let blob = self.blob.clone();
        let mut summing = self.unverified.as_mut().and_then(|body| body.summing.take());
        let writing = self.engine.clone().blocking(move |engine| {
            if let Some(summing) = &mut summing {
                summing.add(&pieces);
            }
            if let Some(window) = window {
                if !engine.room.is_whole(engine.disk.free_space()?) {
                    return Err(DiskError::NoSpace);
                }
                if window.0 > end.0 {
                    blob.reserve(window)?;
                }
            }
            blob.write_at(at, &pieces)?;
            if let Some(from) = hint_from {
                blob.start_writeback(from, ByteCount(end.0 - from.0));
            }
            Ok((summing, pieces))
        });
        let (summing, pieces) = writing.await?;
        outlet.give_back(pieces);
        measures::upload_stored(self.record.protocol, bytes.0);
        fail_at(FailAt::AfterWriteBeforeRecord);
        self.end = end;
        self.hinted = if hint_from.is_some() { end } else { self.hinted };
        self.reserved = window.unwrap_or(self.reserved);
        self.engine.room.cover(self.record.id, self.reserved.max(end));
        if let Some(body) = &mut self.unverified {
            body.summing = summing;
            return Ok(());
        }
        let is_much = end.0 - self.confirming.0 >= CHECKPOINT_BYTES;
        if is_much || self.noted_at.elapsed() >= CHECKPOINT_TIME {
            self.note().await?;
        }
        if is_much {
            self.confirm();
        }
        self.tell_progress();
        Ok(())
    }

    /// Returns up to where room has to be made before writing up to `end`, if it isn't yet.
    fn next_window(&self, end: ByteOffset) -> Option<ByteOffset> {
        if end <= self.reserved {
            return None;
        }
        match self.known_end {
            Some(known) if known.0.saturating_sub(end.0) >= WINDOW_BYTES_MIN => {
                let far = self.end.0.saturating_add(WINDOW_BYTES);
                Some(ByteOffset(far).min(known))
            }
            Some(_) => None,
            None => (end.0 - self.reserved.0 >= CHECKPOINT_BYTES).then_some(end),
        }
    }

    /// Returns when what has been written must be recorded, should nothing more come until then.
    fn note_due(&self) -> Instant {
        // A body that counts as a whole isn't told of before its end.
        let is_behind = self.end > self.noted && self.unverified.is_none();
        let wait = if is_behind { CHECKPOINT_TIME } else { FAR };
        self.noted_at + wait
    }

    /// Records what the kernel has been given.
    async fn note(&mut self) -> Result<(), UploadError> {
        if self.end > self.noted {
            let (state, boot) = (&self.engine.state, &self.engine.boot);
            let now = self.engine.clock.now();
            let expires_at = self.engine.expires_at(now, ByteCount(self.end.0));
            let (id, epoch, end) = (self.record.id, self.record.epoch, self.end);
            let written = Ranges::up_to(end);
            if !self.grows {
                state.note_written(id, epoch, boot, written.clone(), now, expires_at).await?;
            } else if !state.note_grown(id, epoch, end, now, expires_at)? {
                state.note_growing(id, epoch, boot, end, now, expires_at).await?;
            }
            self.record.received.written = written;
            self.record.expires_at = expires_at;
            self.noted = self.end;
            // Who began to follow between two pieces knows what was recorded by then.
            self.engine.arrived(&self.record, &self.record.received.written);
        }
        self.noted_at = Instant::now();
        Ok(())
    }

    /// Has everything written so far confirmed in the background.
    fn confirm(&mut self) {
        self.confirming = self.end;
        self.engine.confirm_later(self.record.id, self.blob.clone(), self.end);
    }

    fn tell_progress(&self) {
        let body = EventBody::Upload {
            upload: self.record.id,
            received: ByteCount(self.end.0),
            size: self.record.length,
            wanted: self.engine.along.wanted(self.record.id, &Ranges::up_to(self.end)),
        };
        self.engine.tell(EventKind::UploadProgress, &self.record, body);
        self.engine.arrived(&self.record, &Ranges::up_to(self.end));
    }

    /// Makes the body count if it came whole and sums up to what it should; otherwise the upload
    /// stays where it was, and what lies behind in the file is written over later.
    async fn settle(&mut self, ended: Result<End, UploadError>) -> Result<End, UploadError> {
        let Some(body) = self.unverified.take() else { return ended };
        let is_whole = matches!(ended, Ok(End::Whole));
        let is_right = || body.summing.is_some_and(|summing| summing.matches(body.expected));
        if is_whole && is_right() {
            self.declare(body.declared).await?;
            self.tell_progress();
            return ended;
        }
        self.end = self.noted;
        match is_whole {
            true => Err(UploadError::ChecksumMismatch { offset: self.end }),
            false => ended,
        }
    }

    async fn conclude(mut self, ended: Result<End, UploadError>) -> Result<Appended, UploadError> {
        if let Ok(End::Stranger(kind)) = ended {
            let Self { engine, turn, record, .. } = self;
            return Err(engine.refuse(&turn, &record, Grounds::Kind(kind.to_owned())).await);
        }
        let ended = self.settle(ended).await;
        self.count(&ended);
        let is_whole = matches!(ended, Ok(End::Whole));
        let is_full = match self.record.is_by_flag() {
            true => self.flagged.last && is_whole,
            false => self.record.length == Some(ByteCount(self.end.0)),
        };
        let is_kept =
            self.record.is_by_flag() || self.engine.limits.durability == Durability::Chunk;
        // Also a body that ended early is answered with an offset, if its client still listens.
        let is_promised = is_kept && ended.is_ok() && !is_full;
        // Both wait for the disk; neither needs the other.
        let blob = is_promised.then(|| self.blob.clone());
        let confirming = self.engine.clone().confirm_all(blob);
        let (noted, confirmed) = tokio::join!(self.note(), confirming);
        if let Err(lost) = noted {
            // The upload was deleted under our hands, or the database failed: the promise of room
            // goes in the first case, and in the second nothing goes on anyway.
            self.engine.room.forget(self.record.id);
            return Err(ended.err().unwrap_or(lost));
        }
        if self.record.length.is_none() {
            self.engine.room.forget(self.record.id);
        }
        if is_full && !matches!(ended, Err(UploadError::ChecksumMismatch { .. })) {
            if self.record.is_by_flag() {
                self.close().await?;
            }
            return match self.record.is_part() {
                true => self.complete_part(ended).await,
                false => self.finish(ended).await,
            };
        }
        if is_promised {
            confirmed?;
            self.note_durable().await?;
        } else if self.end > self.confirming {
            let (id, blob) = (self.record.id, self.blob.clone());
            self.engine.confirm_soon(id, blob, self.end);
        }
        let offset = self.end;
        match ended? {
            End::Whole => {
                Ok(Appended { offset, finished: false, expires_at: self.record.expires_at })
            }
            End::Broken => Err(UploadError::BodyBroken { offset }),
            End::Idle => Err(UploadError::Idle { offset }),
            End::TooLong | End::Stranger(_) => {
                self.engine.refuse_excess(&self.turn, &self.record, self.bound).await?;
                Err(self.bound.exceeded())
            }
            End::Taken => Err(self.engine.let_go(offset)),
        }
    }

    /// Counts a body that ended early.
    fn count(&self, ended: &Result<End, UploadError>) {
        let why = match ended {
            Ok(End::Broken) => Break::Cut,
            Ok(End::Idle) => Break::Idle,
            Ok(End::Taken) => Break::TakenOver,
            Err(UploadError::ChecksumMismatch { .. }) => Break::Checksum,
            Ok(End::Whole | End::TooLong | End::Stranger(_)) | Err(_) => return,
        };
        measures::upload_broke(self.record.protocol, why);
    }

    /// Checks what the client of a draft upload says about the whole file, which is all here by
    /// its word.
    async fn close(&mut self) -> Result<(), UploadError> {
        let size = ByteCount(self.end.0);
        if self.record.length.is_some_and(|length| length != size) {
            return Err(UploadError::LengthFixed);
        }
        self.declare(Some(size)).await?;
        let (engine, record) = (&self.engine, self.record.clone());
        let checked = engine.check_whole(&self.turn, record, self.flagged.whole, &self.blob);
        self.record = checked.await?;
        Ok(())
    }

    /// Finishes the upload, whatever became of the body: all its bytes are here.
    async fn finish(self, ended: Result<End, UploadError>) -> Result<Appended, UploadError> {
        let Self { engine, turn, blob, record, bound, end, growth: _growth, .. } = self;
        let finished = engine.finish(&turn, record, Some(blob)).await?;
        match ended? {
            End::TooLong => Err(bound.exceeded()),
            _ => Ok(Appended { offset: end, finished: true, expires_at: finished.expires_at }),
        }
    }

    /// Makes a part whose bytes are all here certain, and goes on with what waited for it.
    async fn complete_part(self, ended: Result<End, UploadError>) -> Result<Appended, UploadError> {
        self.engine.clone().confirm_all(Some(self.blob.clone())).await?;
        self.note_durable().await?;
        self.engine.room.forget(self.record.id);
        self.engine.confirmations.forget(self.record.id);
        self.engine.part_complete(self.record.id);
        let expires_at = self.record.expires_at;
        match ended? {
            End::TooLong => Err(self.bound.exceeded()),
            _ => Ok(Appended { offset: self.end, finished: false, expires_at }),
        }
    }

    /// Records that the disk has confirmed everything.
    async fn note_durable(&self) -> Result<(), UploadError> {
        let (id, epoch) = (self.record.id, self.record.epoch);
        match self.engine.state.note_durable(id, epoch, Ranges::up_to(self.end)).await {
            Err(error) if !is_overtaken(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}
