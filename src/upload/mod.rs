//! The one upload engine: whatever door the bytes come through, they are stored here.
//!
//! What holds at every moment: an offset that the engine tells has right bytes before it; one
//! request at a time writes to an upload, and the newest wins; a finished upload is an original
//! on disk, confirmed, with a job in the queue. The records in `state` are the truth and are
//! written after the bytes; files only ever lower what they claim.
//!
//! Called by the doors in `http` and by the janitor.

mod admission;
mod along;
mod append;
mod checksum;
mod complete;
mod confirm;
mod consent;
mod error;
mod feed;
mod finish;
mod join;
mod metadata;
mod part_writer;
mod parts;
mod pieces;
mod room;
mod turn;
mod upkeep;
mod whole;
mod writer;

pub use admission::Refusal;
pub use along::{Arrived, Followed};
pub use append::{Append, Appended, Flagged};
pub use checksum::{CHECKSUM_ALGORITHMS, Checksum};
pub use complete::Completion;
pub use consent::BlockingHooks;
pub use error::{Fault, UploadError};
pub use metadata::{METADATA_BYTES_MAX, METADATA_KEYS_MAX, Metadata, MetadataError, TAGS_MAX};
pub use parts::{PartError, PutPart, StoredPart};
pub use pieces::{Piece, Pieces};
pub use upkeep::ENDED_REMEMBERED_MS;
pub use whole::Created;

use crate::clock::Clock;
use crate::config::{Admission, Config, Durability, Reserve};
use crate::disk::{Disk, DiskError, UPLOAD_META_VERSION, UploadMeta};
use crate::events::{Event, EventBody, EventKind, Hub};
use crate::ids::{JobId, Owner, UploadId, VideoId};
use crate::model::access::Pass;
use crate::model::upload::{Chunks, Concat, Protocol, Received, UploadState};
use crate::model::video::Visibility;
use crate::state::{Grounds, State, StateError, UploadRecord, VideoRecord};
use crate::telemetry::measures::{self, Outcome};
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tracing::{error, info};
use turn::Turn;

/// Threads that may wait for the disk on behalf of uploads. Fewer than one answering thread has for
/// blocking work: on a disk that stands still, what is only read from the state needs some, too.
const DISK_THREADS_MAX: usize = 12;

/// The upload engine. Clones share it.
#[derive(Clone)]
pub struct Uploads {
    engine: Arc<Engine>,
}

/// What bounds an upload.
#[derive(Clone, Debug)]
pub struct UploadLimits {
    /// Largest upload.
    pub max_size: ByteCount,
    /// A partial upload is given up when no byte came for this long.
    pub expire_after_ms: u64,
    /// The same while no byte has come at all; never longer than `expire_after_ms`.
    pub expire_empty_ms: u64,
    /// A body that brings nothing for this long is ended, its bytes kept.
    pub idle_timeout_ms: u64,
    /// Space on the disk that uploads never use.
    pub reserve_free_space: Reserve,
    /// Which answers promise survival of a power cut.
    pub durability: Durability,
    /// Visibility of a video whose uploader names none.
    pub default_visibility: Visibility,
    /// Which files are taken, and how much one owner may have at once.
    pub admission: Admission,
    /// Work on a film begins while it is being uploaded.
    pub live: bool,
}

impl UploadLimits {
    /// Takes the limits from the configuration.
    pub fn of(config: &Config) -> Self {
        let upload = &config.upload;
        Self {
            max_size: upload.max_size,
            expire_after_ms: upload.expire_after_ms,
            expire_empty_ms: EXPIRE_EMPTY_MS,
            idle_timeout_ms: upload.idle_timeout_ms,
            reserve_free_space: upload.reserve_free_space,
            durability: upload.durability,
            default_visibility: config.default_visibility,
            admission: upload.admission,
            live: config.media.live_workers > 0 && config.media.workers > 0,
        }
    }
}

/// How long an upload without a byte is kept, unless `expire_after` is shorter.
pub const EXPIRE_EMPTY_MS: u64 = 3_600_000;

/// An upload to be begun.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Whose it is.
    pub owner: Owner,
    /// The door it comes through.
    pub protocol: Protocol,
    /// Size in bytes, where the client knows it.
    pub length: Option<ByteCount>,
    /// What the client says about the file.
    pub metadata: Metadata,
    /// The `Upload-Metadata` header as it came, to be given back byte by byte.
    pub raw_metadata: Option<String>,
    /// By what it is begun.
    pub pass: Pass,
}

/// An upload that may be begun: its owner may have it, and nobody who was asked is against it. It
/// counts for its owner until it is recorded or withdrawn.
struct Permitted {
    upload: UploadRecord,
    /// None for a part.
    video: Option<VideoRecord>,
    /// What lies beside the bytes.
    meta: UploadMeta,
}

/// An upload and the video that it becomes.
#[derive(Clone, Debug)]
struct Film {
    upload: UploadId,
    video: VideoId,
    owner: Owner,
}

impl Film {
    fn of(record: &UploadRecord) -> Option<Self> {
        let (upload, owner) = (record.id, record.owner.clone());
        record.video.map(|video| Self { upload, video, owner })
    }
}

struct Engine {
    disk: Disk,
    state: State,
    hub: Hub,
    clock: Clock,
    limits: UploadLimits,
    /// The kernel's boot id: claims recorded under another one count only as far as confirmed.
    boot: String,
    turns: Arc<turn::Turns>,
    /// One request at a time for each numbered part.
    part_turns: Arc<turn::Turns<parts::PartKey>>,
    /// The open files of uploads in parts.
    blobs: parts::Blobs,
    room: room::Room,
    /// What is being received, for its bound.
    bodies: Arc<admission::Bodies>,
    confirmations: confirm::Confirmations,
    joins: join::Joins,
    consents: consent::Consents,
    made: pieces::AllMade,
    along: along::Along,
    bell: Arc<Notify>,
    failed: watch::Sender<Option<String>>,
    tasks: TaskTracker,
    disk_threads: Arc<Semaphore>,
}

impl Uploads {
    /// Makes the engine. [`Uploads::recover`] has to run before the first request.
    pub fn new(
        disk: Disk,
        state: State,
        hub: Hub,
        clock: Clock,
        limits: UploadLimits,
        boot_id: String,
        hooks: BlockingHooks,
    ) -> Self {
        let room = room::Room::new(limits.reserve_free_space);
        let engine = Engine {
            disk,
            state,
            hub,
            clock,
            limits,
            boot: boot_id,
            turns: Arc::default(),
            part_turns: Arc::default(),
            blobs: parts::Blobs::default(),
            room,
            bodies: Arc::default(),
            confirmations: confirm::Confirmations::default(),
            joins: join::Joins::default(),
            consents: consent::Consents::of(hooks),
            made: pieces::AllMade::default(),
            along: along::Along::default(),
            bell: Arc::default(),
            failed: watch::Sender::new(None),
            tasks: TaskTracker::new(),
            disk_threads: Arc::new(Semaphore::new(DISK_THREADS_MAX)),
        };
        Self { engine: Arc::new(engine) }
    }

    /// Begins an upload and the video that it becomes. One of length 0 is finished at once.
    ///
    /// # Errors
    /// `MaxSize`, `NoSpace` (also when the room is promised to other uploads), `Stopping`;
    /// `Refused` if its owner has too much.
    /// # Durability
    /// The upload survives a power cut when this returns.
    /// # Cancel
    /// A dropped call goes on by itself; the upload then expires, as nobody knows it.
    pub async fn create(&self, new: NewUpload) -> Result<UploadRecord, UploadError> {
        self.check_size(&new)?;
        self.run(|engine| engine.create_as(new, None, None)).await
    }

    /// As [`Uploads::create`], for an upload by the draft: it stays open until its client says
    /// that it is complete, even one of length 0. With `whole` the file's SHA-256 is checked then.
    ///
    /// # Errors
    /// As [`Uploads::create`].
    /// # Durability
    /// As [`Uploads::create`].
    pub async fn create_draft(
        &self,
        new: NewUpload,
        whole: Option<[u8; 32]>,
    ) -> Result<UploadRecord, UploadError> {
        let new = NewUpload { protocol: Protocol::Draft, ..new };
        let record = self.create(new).await?;
        match whole {
            Some(sum) => {
                let sum = complete::hex(&sum);
                Ok(self.engine.state.note_sum(record.id, record.epoch, sum).await?)
            }
            None => Ok(record),
        }
    }

    fn check_size(&self, new: &NewUpload) -> Result<(), UploadError> {
        let max = new.pass.bounds.size_within(self.engine.limits.max_size);
        match new.length.is_some_and(|length| length > max) {
            true => Err(UploadError::MaxSize { max }),
            false => Ok(()),
        }
    }

    /// Returns an upload's record with an offset that is final: a running request on it is told
    /// to let go first. One whose finish was interrupted is finished before this returns. When a
    /// still newer request came meanwhile, the offset is one that was true shortly before: clients
    /// take a refused look for the end of the upload, and learn of the newer offset when they go
    /// on from the older one.
    ///
    /// # Errors
    /// `Missing`; `Gone` once it has expired or was aborted; `Taken` when a newer request came
    /// and finishes the upload.
    pub async fn look(&self, id: UploadId) -> Result<UploadRecord, UploadError> {
        let record = self.engine.known(id)?;
        if record.state == UploadState::Finished {
            // The record can be read shortly before the disk has confirmed it.
            self.engine.state.synced().await?;
            return Ok(record);
        }
        if record.is_final() {
            // Nobody but the joining writes to it, and looking mustn't disturb that. One that ended
            // in an error, such as a full disk, is tried again for whoever waits.
            self.engine.join_later(id);
            self.engine.state.synced().await?;
            return Ok(self.so_far(record));
        }
        let looked = self.run(move |engine| async move {
            let turn = engine.turn(id).await?;
            let record = engine.known(id)?;
            match record.state {
                UploadState::Finishing => engine.finish(&turn, record, None).await,
                _ => engine.certain(record).await,
            }
        });
        match looked.await {
            Err(taken @ UploadError::Taken { .. }) => match self.engine.known(id)? {
                record if record.state == UploadState::Finishing => Err(taken),
                mut record => {
                    if record.is_by_flag() {
                        // What the draft's clients are told mustn't ever go back.
                        record.received.written = record.received.durable.clone();
                    }
                    self.told(record).await
                }
            },
            looked => looked,
        }
    }

    /// Returns a record that was read beside the engine with no more in it than is promised by
    /// then: for status. What has come of the parts that an upload is made of counts as come.
    ///
    /// # Errors
    /// The database's own.
    pub async fn told(&self, mut record: UploadRecord) -> Result<UploadRecord, UploadError> {
        record = self.so_far(record);
        if self.engine.limits.durability == Durability::Chunk {
            record.received.written = record.received.durable.clone();
        }
        self.engine.state.synced().await?;
        Ok(record)
    }

    /// Returns a record with what has come of the parts that it is made of, and with their length.
    pub fn so_far(&self, record: UploadRecord) -> UploadRecord {
        self.engine.with_parts(record)
    }

    /// Returns an upload's record as it stands, without disturbing a running request: for status.
    ///
    /// # Errors
    /// `Missing`; `Gone` once it has expired or was aborted.
    pub fn peek(&self, id: UploadId) -> Result<UploadRecord, UploadError> {
        self.engine.known(id)
    }

    /// Ends an upload: a partial one with its bytes and its video, whose job is returned if it had
    /// one and may have a child that works on nothing now; a finished one is only forgotten, its
    /// video stays.
    ///
    /// # Errors
    /// `Missing`; `Gone` when it has ended already; `Taken` when a newer request came;
    /// `PartNeeded`.
    /// # Durability
    /// The end survives a power cut.
    pub async fn terminate(&self, id: UploadId) -> Result<Option<JobId>, UploadError> {
        self.engine.known(id)?;
        self.run(move |engine| async move {
            let turn = engine.turn(id).await?;
            let record = engine.known(id)?;
            engine.end(&turn, &record, UploadState::Aborted).await
        })
        .await
    }

    /// Tells all requests to let go and waits until everything received is recorded.
    pub async fn stop(&self) {
        self.engine.turns.stop();
        self.engine.part_turns.stop();
        self.engine.tasks.close();
        self.engine.tasks.wait().await;
    }

    /// Returns the bell that rings when a job was queued.
    pub fn finished(&self) -> Arc<Notify> {
        self.engine.bell.clone()
    }

    /// Tells when the disk failed to confirm bytes: the process has to end then, with an error,
    /// because what a later confirmation says can't be believed.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.engine.failed.subscribe()
    }

    /// Returns the bytes that open uploads have announced and that haven't come.
    pub fn announced(&self) -> ByteCount {
        self.engine.room.open_total()
    }

    /// Runs `work` as a task of its own, so that it isn't torn off when its request is dropped.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Engine>) -> F) -> Result<T, UploadError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, UploadError>> + Send + 'static,
    {
        let task = self.engine.tasks.spawn(work(self.engine.clone()));
        task.await.unwrap_or(Err(UploadError::Internal(Fault::Task)))
    }
}

impl Engine {
    async fn create_as(
        self: Arc<Self>,
        new: NewUpload,
        concat: Option<Concat>,
        chunks: Option<Chunks>,
    ) -> Result<UploadRecord, UploadError> {
        let permitted = self.permit(new, concat, chunks).await?;
        self.create(permitted).await
    }

    /// Lets an upload in: its owner may have it, and whoever has to be asked isn't against it.
    /// Nothing of it is made yet.
    async fn permit(
        &self,
        new: NewUpload,
        concat: Option<Concat>,
        chunks: Option<Chunks>,
    ) -> Result<Permitted, UploadError> {
        if self.turns.is_stopping() {
            return Err(UploadError::Stopping { offset: ByteOffset(0) });
        }
        let is_part = matches!(concat, Some(Concat::Partial));
        let (new, is_overruled) = self.as_granted(new, is_part)?;
        let said = new.metadata.clone();
        let (mut upload, mut video) = self.records(new);
        upload.chunks = chunks;
        upload.concat = concat;
        upload.video = (!upload.is_part()).then_some(video.id);
        self.check_count(&upload)?;
        self.admit(&upload)?;
        let is_changed = match self.consent_to_begin(&mut upload, &mut video, &said).await {
            Ok(is_changed) => is_changed,
            Err(refused) => {
                self.state.withdraw(upload.id);
                return Err(refused);
            }
        };
        let mut meta = meta_of(&upload);
        if is_changed || is_overruled {
            // Without the database, what the client has said would count again.
            meta.metadata.clear();
        }
        let video = (!upload.is_part()).then_some(video);
        Ok(Permitted { upload, video, meta })
    }

    /// Makes an upload that was let in.
    async fn create(
        self: Arc<Self>,
        Permitted { upload, video, meta }: Permitted,
    ) -> Result<UploadRecord, UploadError> {
        let (id, length) = (upload.id, upload.length.unwrap_or_default());
        let made = self.clone().blocking(move |engine| {
            let until = ByteOffset(length.0);
            if !engine.room.admit(id, ByteOffset(0), until, engine.disk.free_space()?) {
                return Err(DiskError::NoSpace);
            }
            engine.disk.create_blob(id, &meta)
        });
        let recorded = match made.await {
            Ok(()) => self.state.create_upload(upload.clone(), video).await,
            Err(failed) => {
                self.room.forget(id);
                self.state.withdraw(id);
                return Err(failed);
            }
        };
        if let Err(refused) = recorded {
            self.room.forget(id);
            self.state.withdraw(id);
            self.clone().blocking(move |engine| engine.disk.remove_upload(id)).await?;
            return Err(self.not_recorded(&upload, refused));
        }
        info!(upload.id = %id, size_bytes = length.0, "upload {id} begun");
        self.tell(EventKind::VideoState, &upload, EventBody::Video);
        let is_whole = upload.length == Some(ByteCount(0)) && !upload.is_by_flag();
        if is_whole && upload.concat.is_none() {
            let turn = self.turn(id).await?;
            let finished = self.finish(&turn, upload, None).await;
            if matches!(finished, Err(UploadError::HookUnavailable)) {
                // Its client doesn't know of it, and begins another one.
                self.end(&turn, &self.known(id)?, UploadState::Aborted).await?;
            }
            return finished;
        }
        Ok(upload)
    }

    fn records(&self, new: NewUpload) -> (UploadRecord, VideoRecord) {
        let now = self.clock.now();
        let (id, video_id) = (UploadId::fresh(now), VideoId::fresh(now));
        let metadata = &new.metadata;
        let video = VideoRecord {
            upload: Some(id),
            visibility: metadata.visibility().unwrap_or(self.limits.default_visibility),
            title: metadata.title(),
            description: metadata.description(),
            tags: metadata.tags(),
            filename: metadata.filename(),
            session: metadata.session(),
            size: new.length.unwrap_or_default(),
            accept: new.pass.bounds.accept,
            grant: new.pass.grant,
            ..VideoRecord::new(video_id, new.owner.clone(), now)
        };
        let upload = UploadRecord {
            video: Some(video_id),
            length: new.length,
            received: Received { boot: self.boot.clone(), ..Received::default() },
            filename: video.filename.clone(),
            metadata: new.raw_metadata,
            session: video.session.clone(),
            expires_at: self.expires_at(now, ByteCount(0)),
            token: new.pass.token,
            bounds: new.pass.bounds,
            grant: new.pass.grant,
            ..UploadRecord::new(id, new.owner, new.protocol, now)
        };
        (upload, video)
    }

    /// Returns the largest size that an upload may come to.
    fn max_size(&self, upload: &UploadRecord) -> ByteCount {
        upload.bounds.size_within(self.limits.max_size)
    }

    /// Returns when a partial upload that has `received` bytes is given up, if nobody goes on.
    fn expires_at(&self, now: UnixMillis, received: ByteCount) -> UnixMillis {
        let limits = &self.limits;
        match received.0 {
            0 => now.plus_ms(limits.expire_empty_ms.min(limits.expire_after_ms)),
            _ => now.plus_ms(limits.expire_after_ms),
        }
    }

    /// Returns the record of an upload that hasn't been given up.
    fn known(&self, id: UploadId) -> Result<UploadRecord, UploadError> {
        let record = self.state.upload(id)?.ok_or(UploadError::Missing)?;
        UploadError::unless_gone(record)
    }

    /// Waits for the turn on an upload; see [`turn::Turns::take`].
    async fn turn(&self, id: UploadId) -> Result<Turn, UploadError> {
        let turn = self.turns.take(id).await;
        turn.ok_or_else(|| {
            let received = self.state.upload(id).ok().flatten().map(|record| record.received);
            let end = |received: Received| match self.limits.durability {
                Durability::Complete => received.end(),
                Durability::Chunk => received.durable.contiguous_end(),
            };
            self.let_go(received.map(end).unwrap_or_default())
        })
    }

    /// Says why a request had to let go.
    fn let_go(&self, offset: ByteOffset) -> UploadError {
        match self.turns.is_stopping() {
            true => UploadError::Stopping { offset },
            false => UploadError::Taken { offset },
        }
    }

    /// Ends an upload for good: the record first, then the bytes. Returns the job of the video
    /// that went with it.
    async fn end(
        self: &Arc<Self>,
        _turn: &Turn,
        record: &UploadRecord,
        to: UploadState,
    ) -> Result<Option<JobId>, UploadError> {
        let id = record.id;
        let _held = self.hold_part(record).await?;
        let video = self.state.end_upload(id, to, self.clock.now()).await?;
        self.clear(record, to, video).await
    }

    /// Ends an upload for good that isn't taken after all; returns what to tell of that.
    async fn refuse(
        self: &Arc<Self>,
        _turn: &Turn,
        record: &UploadRecord,
        grounds: Grounds,
    ) -> UploadError {
        let refusal = match grounds.clone() {
            Grounds::Kind(kind) => Refusal::Kind { kind },
            Grounds::Hook(objection) => Refusal::Hook(objection),
        };
        let refused = self.state.refuse_upload(record.id, grounds, self.clock.now()).await;
        let cleared = match refused {
            Ok(video) => self.clear(record, UploadState::Aborted, video).await,
            Err(failed) => Err(failed.into()),
        };
        cleared.err().unwrap_or(refusal.into())
    }

    /// Removes what is left of an upload whose record has ended, and tells of it.
    async fn clear(
        self: &Arc<Self>,
        record: &UploadRecord,
        to: UploadState,
        video: Option<VideoRecord>,
    ) -> Result<Option<JobId>, UploadError> {
        let id = record.id;
        self.room.forget(id);
        self.confirmations.forget(id);
        self.part_turns.let_go(|(upload, _)| upload == id);
        self.joins.forget(id);
        self.forget_along(id);
        if record.state == UploadState::Finished {
            return Ok(None);
        }
        let job = video.as_ref().and_then(|video| video.job);
        let was_finishing = record.state == UploadState::Finishing;
        let removed = self.clone().blocking(move |engine| {
            engine.disk.remove_upload(id)?;
            let Some(video) = video else { return Ok(()) };
            if was_finishing {
                // A finish that was cut off may have come as far as this.
                engine.disk.remove_original(video.id)?;
            }
            if job.is_some() {
                engine.disk.remove_media(video.id)?;
            }
            Ok(())
        });
        removed.await?;
        info!(upload.id = %id, "upload {id} {to:?}");
        measures::upload_lost(
            record.protocol,
            match to {
                UploadState::Expired => Outcome::Expired,
                _ => Outcome::Aborted,
            },
        );
        match to {
            UploadState::Expired => {
                self.tell(EventKind::UploadExpired, record, self.progress_of(record));
            }
            _ => self.tell(EventKind::VideoState, record, EventBody::Video),
        }
        Ok(job)
    }

    fn progress_of(&self, record: &UploadRecord) -> EventBody {
        let received = record.received.written.total();
        let wanted = self.along.wanted(record.id, &record.received.written);
        EventBody::Upload { upload: record.id, received, size: record.length, wanted }
    }

    fn tell(&self, kind: EventKind, record: &UploadRecord, body: EventBody) {
        if let Some(film) = Film::of(record) {
            self.tell_of(kind, &film, body);
        }
    }

    fn tell_of(&self, kind: EventKind, film: &Film, body: EventBody) {
        let event = Event::of_video(kind, self.clock.now(), film.video, film.owner.clone());
        self.hub.publish(event.with(body));
    }

    /// Runs `work` where blocking is allowed, once it is its turn. Work that has begun goes on when
    /// this is dropped; other work is never begun then.
    async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, UploadError> {
        let engine = self.clone();
        let turn = self.disk_threads.clone().acquire_owned().await;
        let turn = turn.map_err(|_| UploadError::Internal(Fault::Task))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&engine);
            drop(turn);
            done
        });
        match done.await {
            Ok(Err(failed @ DiskError::SyncFailed { .. })) => {
                self.give_up(&failed);
                Err(failed.into())
            }
            Ok(done) => Ok(done?),
            Err(_) => Err(UploadError::Internal(Fault::Task)),
        }
    }

    /// Stops the engine after the disk failed to confirm bytes.
    fn give_up(&self, cause: &DiskError) {
        error!("uploads stop because the disk can't be trusted: {cause}");
        self.turns.stop();
        self.part_turns.stop();
        self.failed.send_replace(Some(cause.to_string()));
    }
}

fn meta_of(upload: &UploadRecord) -> UploadMeta {
    UploadMeta {
        version: UPLOAD_META_VERSION,
        upload: upload.id,
        video: upload.video,
        owner: upload.owner.clone(),
        filename: upload.filename.clone(),
        length: upload.length,
        metadata: upload.metadata.clone().unwrap_or_default(),
        created_at: upload.created_at,
        chunk_size: upload.chunks.as_ref().map(|chunks| chunks.size),
        concat: upload.concat.clone(),
        protocol: upload.is_by_flag().then_some(upload.protocol),
    }
}

/// Says whether a record was changed or taken by a newer lease, so that ours doesn't count.
fn is_overtaken(error: &StateError) -> bool {
    matches!(error, StateError::Stale | StateError::Conflict(_) | StateError::Missing)
}

#[cfg(test)]
mod tests;
