//! Small uploads that come whole with their creation.
//!
//! Nobody knows an upload before its creation is answered, so one whose bytes are all here by then
//! needs no way through the uploads' directory: the original is written where it stays, and one
//! transaction records the upload as finished, its video and its job.

use super::append::{Append, Appended};
use super::{Checksum, Engine, Fault, NewUpload, Permitted, UploadError, Uploads};
use crate::disk::{DiskError, FailAt, fail_at};
use crate::events::{Event, EventBody, EventKind};
use crate::ids::JobId;
use crate::model::upload::{Received, UploadState};
use crate::state::{JobRecord, StateError, UploadRecord};
use crate::telemetry::measures;
use crate::units::{ByteCount, ByteOffset, Ranges};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tracing::info;

/// The largest upload that is held in memory until it is whole. As much as the HTTP library holds
/// of any body by itself.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;

/// How long such a body may take; then what has come goes the usual way.
const WHOLE_TIME: Duration = Duration::from_millis(500);

/// What came of a creation with bytes: the upload, and what became of the bytes.
pub type Created = (UploadRecord, Result<Appended, UploadError>);

impl Uploads {
    /// Begins an upload with the first of its bytes, which may be all of them. A part of others
    /// where `is_part` is set.
    ///
    /// # Errors
    /// As [`Uploads::create`]; then there is no upload. What goes wrong with the bytes, as in
    /// [`Uploads::append_checked`], is told beside the upload.
    /// # Durability
    /// As [`Uploads::create`] and [`Uploads::append`].
    /// # Cancel
    /// Safe: what came is stored, unless it is so little that nothing was created yet.
    pub async fn create_with<S, E>(
        &self,
        new: NewUpload,
        is_part: bool,
        checksum: Option<Checksum>,
        content_length: Option<ByteCount>,
        body: S,
    ) -> Result<Created, UploadError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let mut body = body.fuse();
        let mut first = Vec::new();
        let is_small = new.length.is_some_and(|length| length.0 <= WHOLE_BYTES_MAX);
        // Who has to be asked about a finish finds the upload where every other is.
        let is_asked_about = self.engine.consents.before_finish();
        let is_plain = !is_part && checksum.is_none() && !is_asked_about;
        if is_small && is_plain && new.length == content_length {
            // What isn't whole in time, for whatever reason, is gone through again below.
            let _ = timeout(WHOLE_TIME, async {
                while let Some(piece) = body.next().await {
                    let failed = piece.is_err();
                    first.push(piece);
                    if failed {
                        break;
                    }
                }
            })
            .await;
            if let Some(bytes) = whole(&first, new.length) {
                self.check_size(&new)?;
                let record = self.run(|engine| engine.create_whole(new, bytes)).await?;
                let offset = record.received.end();
                let appended = Appended { offset, finished: true, expires_at: record.expires_at };
                return Ok((record, Ok(appended)));
            }
        }
        let record = match is_part {
            true => self.create_part(new).await?,
            false => self.create(new).await?,
        };
        let append = Append { id: record.id, at: ByteOffset(0), declared: None, content_length };
        let body = stream::iter(first).chain(body);
        let appended = self.append_checked(append, checksum, body).await;
        Ok((record, appended))
    }
}

/// Joins the pieces of a body, if they are all of an upload that isn't empty.
fn whole<E>(pieces: &[Result<Bytes, E>], length: Option<ByteCount>) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length?.0).ok()?);
    for piece in pieces {
        bytes.extend_from_slice(piece.as_ref().ok()?);
    }
    (!bytes.is_empty() && Some(ByteCount(bytes.len() as u64)) == length).then_some(bytes)
}

impl Engine {
    /// Makes an upload that is finished from the beginning.
    async fn create_whole(
        self: Arc<Self>,
        new: NewUpload,
        bytes: Vec<u8>,
    ) -> Result<UploadRecord, UploadError> {
        if self.turns.is_stopping() {
            return Err(UploadError::Stopping { offset: ByteOffset(0) });
        }
        self.check_head(&bytes, &new.pass.bounds)?;
        let Permitted { mut upload, video, .. } = self.permit(new, None, None).await?;
        let Some(mut video) = video else {
            return Err(UploadError::Internal(Fault::Bug("an upload that is whole has no video")));
        };
        let (id, at, end) = (upload.id, video.id, ByteOffset(bytes.len() as u64));
        let now = upload.created_at;
        let all = Ranges::up_to(end);
        let (boot, written) = (self.boot.clone(), all.clone());
        upload.received = Received { boot, written, durable: all, grows: false };
        upload.state = UploadState::Finished;
        upload.ended_at = Some(now);
        video.uploaded_at = Some(now);
        let facts = video.to_facts();
        let made = self.clone().blocking(move |engine| {
            if !engine.room.admit(id, ByteOffset(0), end, engine.disk.free_space()?) {
                return Err(DiskError::NoSpace);
            }
            engine.disk.create_original(at, &bytes, &facts)
        });
        let made = made.await;
        self.room.forget(id);
        if let Err(failed) = made {
            self.state.withdraw(id);
            return Err(failed);
        }
        let job = JobRecord::new(JobId::fresh(now), at, upload.owner.clone(), now);
        let recorded = self.state.create_finished(upload.clone(), video, job).await;
        if let Err(refused) = recorded {
            self.state.withdraw(id);
            // A database that fails may have kept the record nevertheless; the next start sees.
            if !matches!(refused, StateError::Failed(_)) {
                self.clone().blocking(move |engine| engine.disk.remove_original(at)).await?;
            }
            return Err(self.not_recorded(&upload, refused));
        }
        fail_at(FailAt::AfterRecord);
        info!(upload.id = %id, video.id = %at, size_bytes = end.0, "upload {id} came whole");
        measures::upload_stored(upload.protocol, end.0);
        measures::upload_finished(upload.protocol, end.0, self.clock.now().ms_since(now));
        let size = ByteCount(end.0);
        let body =
            EventBody::Upload { upload: id, received: size, size: Some(size), wanted: Vec::new() };
        self.tell(EventKind::UploadCompleted, &upload, body);
        self.tell(EventKind::VideoState, &upload, EventBody::Video);
        self.hub.publish(Event::of_queue(now));
        self.bell.notify_one();
        Ok(upload)
    }
}
