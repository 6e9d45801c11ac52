//! Taking one body: checks, the turn, and reading piece by piece in the request's own task.

use super::admission::Head;
use super::checksum::Checksum;
use super::feed::{self, End, Inlet};
use super::turn::Turn;
use super::writer::Writer;
use super::{Engine, Fault, UploadError, Uploads};
use crate::config::Durability;
use crate::disk::{Blob, Space};
use crate::ids::UploadId;
use crate::model::pace::Pace;
use crate::model::upload::UploadState;
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Where a body belongs, and what the client says about it.
#[derive(Clone, Copy, Debug)]
pub struct Append {
    /// The upload.
    pub id: UploadId,
    /// Where the body begins; has to be where the upload goes on.
    pub at: ByteOffset,
    /// The length of the whole upload, where the client declares it only now.
    pub declared: Option<ByteCount>,
    /// The length of the body, where the client says it beforehand.
    pub content_length: Option<ByteCount>,
}

/// What a request by the draft says beside its bytes: there the client decides when an upload is
/// complete, not its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flagged {
    /// The upload is complete with the end of this body.
    pub last: bool,
    /// SHA-256 of the whole file, to be checked before it counts. It costs a reading of all of it.
    pub whole: Option<[u8; 32]>,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the upload goes on; its length when it is finished.
    pub offset: ByteOffset,
    /// All bytes are here, and are the original of a video.
    pub finished: bool,
    /// When it is given up if nobody goes on.
    pub expires_at: UnixMillis,
}

/// How many bytes may come, and what is wrong when more do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Length(ByteCount),
    MaxSize(ByteCount),
}

impl Bound {
    pub(super) fn end(self) -> u64 {
        match self {
            Self::Length(bytes) | Self::MaxSize(bytes) => bytes.0,
        }
    }

    pub(super) fn exceeded(self) -> UploadError {
        match self {
            Self::Length(length) => UploadError::TooLong { length },
            Self::MaxSize(max) => UploadError::MaxSize { max },
        }
    }
}

/// What the checks came to.
enum Checked {
    Write(Box<Writer>),
    /// Finished before; right if the body is empty.
    Finished(Appended, Turn),
}

impl Uploads {
    /// Stores a body at the end of an upload, and finishes the upload with its last byte.
    ///
    /// The newest request wins: one that is still writing to this upload is told to let go, and
    /// ends with what it had written recorded. An upload whose bytes are all here is finished
    /// whatever became of the body.
    ///
    /// # Errors
    /// `Missing`, `Gone`, `MadeOfParts`; `OffsetMismatch`, `LengthFixed`, `LengthInvalid`,
    /// `TooLong`, `MaxSize` and `Finished` change nothing, except that a body of unknown length
    /// may be found too long only on its way: the pieces before are kept, none goes past the
    /// length. `NoSpace`, `Idle`, `Taken`, `BodyBroken` and `Stopping` keep what came, and so
    /// does `Refused`, except with `Kind`: the upload is over then.
    /// # Durability
    /// What is acknowledged survives a kill, and with `durability = "chunk"` a power cut; a
    /// finished upload survives a power cut.
    /// # Cancel
    /// Safe: what came is written and recorded by a task of its own.
    pub async fn append<S, E>(&self, append: Append, body: S) -> Result<Appended, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        self.append_checked(append, None, body).await
    }

    /// As [`Uploads::append`]; a body with a checksum counts as a whole or not at all. Until the
    /// last byte has come and the sum is right, no record knows of it, so a cut, a takeover or a
    /// crash leaves the upload where it was.
    ///
    /// # Errors
    /// As [`Uploads::append`], with offsets that don't move; `ChecksumMismatch`.
    /// # Durability
    /// As [`Uploads::append`].
    /// # Cancel
    /// Safe: what came without its end is thrown away.
    pub async fn append_checked<S, E>(
        &self,
        append: Append,
        checksum: Option<Checksum>,
        body: S,
    ) -> Result<Appended, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        self.append_flagged(append, Flagged::default(), checksum, body).await
    }

    /// As [`Uploads::append_checked`], for an upload by the draft: it is finished with the end of
    /// the body that is flagged as its last, which may be empty, and not before.
    ///
    /// # Errors
    /// As [`Uploads::append_checked`]; but `TooLong` ends the upload. `LengthFixed` also if the
    /// last body ends elsewhere than at the declared length; `PartError::WholeChecksum` if the
    /// whole file sums up to something else. The upload is open after these two.
    /// # Durability
    /// What is acknowledged survives a power cut.
    /// # Cancel
    /// As [`Uploads::append_checked`].
    pub async fn append_flagged<S, E>(
        &self,
        append: Append,
        flagged: Flagged,
        checksum: Option<Checksum>,
        body: S,
    ) -> Result<Appended, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let engine = &self.engine;
        let idle = Duration::from_millis(engine.limits.idle_timeout_ms);
        let record = engine.known(append.id)?;
        if record.is_final() {
            return Err(UploadError::MadeOfParts);
        }
        let is_empty = append.content_length == Some(ByteCount(0));
        let counted = (!is_empty).then(|| engine.count_body(&record, None));
        let _counted = counted.transpose()?;
        let head = engine.head_of(&record, append.at == ByteOffset(0));
        let turn = engine.turn(append.id).await?;
        let letting_go = turn.token().clone();
        let checked = self.run(move |engine| engine.check(turn, append, flagged, checksum));
        let writer = match checked.await? {
            Checked::Write(writer) => writer,
            Checked::Finished(appended, _turn) => {
                let checked = nothing_follows(body, append.content_length, idle, &letting_go);
                checked.await?;
                return match checksum.is_none_or(Checksum::is_of_nothing) {
                    true => Ok(appended),
                    false => Err(UploadError::ChecksumMismatch { offset: appended.offset }),
                };
            }
        };
        let left = writer.bound().end().saturating_sub(append.at.0);
        let (mut inlet, outlet) = feed::feed();
        let writing = engine.tasks.spawn(writer.run(outlet));
        let end = pour(body, &mut inlet, &letting_go, (idle, left), head).await;
        inlet.end(end);
        writing.await.unwrap_or(Err(UploadError::Internal(Fault::Task)))
    }
}

impl Engine {
    /// Checks an append against the record; nothing has changed on an error.
    async fn check(
        self: Arc<Self>,
        turn: Turn,
        append: Append,
        flagged: Flagged,
        checksum: Option<Checksum>,
    ) -> Result<Checked, UploadError> {
        let mut record = self.known(append.id)?;
        if record.chunks.is_some() {
            return Err(super::PartError::InParts.into());
        }
        if record.state == UploadState::Finishing {
            record = self.finish(&turn, record, None).await?;
        }
        let by_flag = record.is_by_flag();
        if !by_flag {
            check_length(&record, append, self.max_size(&record))?;
        }
        if record.state == UploadState::Finished {
            let appended = finished_before(&record, append)?;
            // Repeating the promise has to wait for the disk like making it.
            self.state.synced().await?;
            return Ok(Checked::Finished(appended, turn));
        }
        let id = append.id;
        // Opened before the first write, so that its confirmation can miss no error.
        let (blob, file_bytes, space) = self.clone().open_for_append(id).await?;
        let believed = record.received.believed(&self.boot, file_bytes);
        if believed != record.received.written {
            record = self.lower(&record, believed).await?;
        }
        let actual = record.received.end();
        if append.at != actual {
            self.certain(record).await?;
            return Err(UploadError::OffsetMismatch { actual });
        }
        if by_flag {
            check_length(&record, append, self.max_size(&record))?;
        }
        let length = append.declared.or(record.length);
        let bound = length.map_or(Bound::MaxSize(self.max_size(&record)), Bound::Length);
        let body_end = append.content_length.map(|count| actual.checked_add(count));
        if body_end.is_some_and(|end| end.is_none_or(|end| end.0 > bound.end())) {
            self.refuse_excess(&turn, &record, bound).await?;
            return Err(bound.exceeded());
        }
        let is_end = |length: ByteCount| body_end.flatten() == Some(ByteOffset(length.0));
        if flagged.last && body_end.is_some() && !length.is_none_or(is_end) {
            return Err(UploadError::LengthFixed);
        }
        let told = body_end.flatten().filter(|_| flagged.last).map(|end| ByteCount(end.0));
        let declared = append.declared.or(told);
        let known_end = length.map(|length| ByteOffset(length.0)).or(body_end.flatten());
        let until = known_end.unwrap_or(actual);
        self.make_room(id, actual, until, space).await?;
        if turn.is_takeover() {
            // The turn alone keeps the older request from writing; its notes end with its lease.
            record = self.state.lease_upload(id).await?;
        }
        // Behind what counts the file may hold what didn't, such as a body with a wrong checksum.
        let grows = file_bytes == ByteCount(actual.0)
            && checksum.is_none()
            && !(by_flag || record.is_part())
            && self.limits.durability == Durability::Complete;
        if record.received.grows && !grows {
            record = self.stop_growing(record).await?;
        }
        let mut writer = Writer::new(self.clone(), turn, blob, record, bound, known_end);
        writer.flag(flagged);
        writer.grow(grows);
        if let Err(refused) = writer.promise(until) {
            // Only a length that comes now can be refused, so nothing else was promised.
            self.room.forget(id);
            return Err(refused);
        }
        match checksum {
            Some(checksum) => writer.verify(checksum, declared),
            None => writer.declare(declared).await?,
        }
        Ok(Checked::Write(Box::new(writer)))
    }

    /// Promises an upload the bytes `from..until`; what is set aside in the file needs no promise.
    async fn make_room(
        self: &Arc<Self>,
        id: UploadId,
        from: ByteOffset,
        until: ByteOffset,
        space: Option<Space>,
    ) -> Result<(), UploadError> {
        if until <= self.room.covered(id) {
            return Ok(());
        }
        let space = match space {
            Some(space) => space,
            None => self.clone().blocking(|engine| engine.disk.free_space()).await?,
        };
        match self.room.admit(id, from, until, space) {
            true => Ok(()),
            false => Err(UploadError::NoSpace),
        }
    }

    /// Records exactly how far an upload has come, before something is appended that may not count.
    async fn stop_growing(&self, mut record: UploadRecord) -> Result<UploadRecord, UploadError> {
        let (id, epoch, written) = (record.id, record.epoch, record.received.written.clone());
        let (at, until) = (record.changed_at, record.expires_at);
        self.state.note_written(id, epoch, &self.boot, written, at, until).await?;
        record.received.grows = false;
        Ok(record)
    }

    /// Ends an upload by the draft that was sent more than its length, as the draft wants it: its
    /// client can't be right about the bytes before either. Others stay as they are.
    pub(super) async fn refuse_excess(
        self: &Arc<Self>,
        turn: &Turn,
        record: &UploadRecord,
        bound: Bound,
    ) -> Result<(), UploadError> {
        match (record.is_by_flag(), bound) {
            (true, Bound::Length(_)) => {
                self.end(turn, record, UploadState::Aborted).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// Returns an upload's open file and its size; a file that was opened just now, with the room
    /// on the disk. One that a confirmation still holds from an earlier request is taken again:
    /// its size is in the kernel's memory, so asking for that may be done anywhere.
    async fn open_for_append(
        self: Arc<Self>,
        id: UploadId,
    ) -> Result<(Arc<Blob>, ByteCount, Option<Space>), UploadError> {
        if let Some(blob) = self.confirmations.blob(id) {
            let file_bytes = blob.len()?;
            return Ok((blob, file_bytes, None));
        }
        self.blocking(move |engine| {
            let blob = engine.disk.open_blob(id)?;
            let file_bytes = blob.len()?;
            Ok((Arc::new(blob), file_bytes, Some(engine.disk.free_space()?)))
        })
        .await
    }
}

/// Checks a length that is declared with a body against what is known.
fn check_length(record: &UploadRecord, append: Append, max: ByteCount) -> Result<(), UploadError> {
    let Some(declared) = append.declared else { return Ok(()) };
    match record.length {
        Some(length) if length != declared => Err(UploadError::LengthFixed),
        Some(_) => Ok(()),
        None if declared.0 < record.received.end().0 => Err(UploadError::LengthInvalid),
        None if declared > max => Err(UploadError::MaxSize { max }),
        None => Ok(()),
    }
}

/// Answers an append to a finished upload: right when it repeats the end and brings nothing.
fn finished_before(record: &UploadRecord, append: Append) -> Result<Appended, UploadError> {
    let offset = ByteOffset(record.length.unwrap_or_default().0);
    if append.at != offset {
        return Err(UploadError::OffsetMismatch { actual: offset });
    }
    let expires_at = record.expires_at;
    Ok(Appended { offset, finished: true, expires_at })
}

/// Reads a body that has to be empty.
async fn nothing_follows<S, E>(
    mut body: S,
    content_length: Option<ByteCount>,
    idle: Duration,
    letting_go: &CancellationToken,
) -> Result<(), UploadError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    if let Some(count) = content_length {
        return if count.0 == 0 { Ok(()) } else { Err(UploadError::Finished) };
    }
    let first = tokio::select! {
        biased;
        () = letting_go.cancelled() => return Ok(()),
        first = timeout(idle, body.next()) => first,
    };
    match first {
        Ok(Some(Ok(piece))) if !piece.is_empty() => Err(UploadError::Finished),
        _ => Ok(()),
    }
}

/// Reads a body into `inlet` until it ends or has to, never more than `left` bytes. `idle` bounds
/// the time that its sender is waited for: the whole of a pause, and the pace over such a time.
/// With `head`, a file whose first bytes aren't those of what is taken ends it.
pub(super) async fn pour<S, E>(
    mut body: S,
    inlet: &mut Inlet,
    letting_go: &CancellationToken,
    (idle, mut left): (Duration, u64),
    mut head: Option<Head>,
) -> End
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut cancelled = pin!(letting_go.cancelled());
    let mut pace = Pace::new(idle);
    loop {
        let waiting = Instant::now();
        let piece = tokio::select! {
            biased;
            () = &mut cancelled => return End::Taken,
            piece = timeout(pace.patience(), body.next()) => piece,
        };
        let is_too_slow = pace.is_too_slow(waiting.elapsed());
        let piece = match piece {
            Err(_) if is_too_slow => return End::Idle,
            Err(_) => continue,
            Ok(None) => {
                let stranger = head.and_then(|head| head.stranger());
                return stranger.map_or(End::Whole, End::Stranger);
            }
            Ok(Some(Err(_))) => return End::Broken,
            Ok(Some(Ok(piece))) => piece,
        };
        match left.checked_sub(piece.len() as u64) {
            Some(rest) => left = rest,
            None => return End::TooLong,
        }
        if head.as_mut().is_some_and(|head| head.add(&piece))
            && let Some(kind) = head.take().and_then(|head| head.stranger())
        {
            return End::Stranger(kind);
        }
        pace.came(piece.len() as u64);
        // A writer that has gone tells its own error.
        if !piece.is_empty() && !inlet.push(piece).await {
            return End::Taken;
        }
        if is_too_slow {
            return End::Idle;
        }
    }
}
