//! The end of an upload: its bytes become the original of a video, and a job is queued.
//!
//! Each step can be repeated, so a finish that was cut off anywhere is simply done again: by the
//! next request on the upload, or at the next start.

use super::confirm::confirm;
use super::turn::Turn;
use super::{Engine, Fault, UploadError};
use crate::disk::{Blob, FailAt, fail_at};
use crate::events::{Event, EventBody, EventKind};
use crate::ids::{JobId, UploadId, VideoId};
use crate::model::upload::UploadState;
use crate::state::{JobRecord, UploadRecord, VideoRecord};
use crate::telemetry::measures;
use crate::units::ByteCount;
use std::sync::Arc;
use tracing::info;

impl Engine {
    /// Finishes an upload whose bytes are all with the kernel, and returns its new record.
    ///
    /// Confirms the bytes, asks whoever has to be asked, renames the bytes into place and queues
    /// the job, in this order. `blob` is the file that they were written through, if it is still
    /// open.
    pub(super) async fn finish(
        self: &Arc<Self>,
        turn: &Turn,
        record: UploadRecord,
        blob: Option<Arc<Blob>>,
    ) -> Result<UploadRecord, UploadError> {
        let (Some(size), Some(video)) = (record.length, record.video) else {
            return Err(UploadError::Internal(Fault::Bug("a full upload without length or video")));
        };
        let id = record.id;
        let recording = async {
            match record.state {
                UploadState::Partial => self.state.begin_finish(id, record.epoch, size).await,
                _ => Ok(()),
            }
        };
        // Both wait for the disk; neither needs the other.
        let is_confirmed = blob.is_some();
        let (recorded, confirmed) = tokio::join!(recording, self.clone().confirm_all(blob));
        recorded?;
        confirmed?;
        self.certain_before_asking(&record, size, is_confirmed).await?;
        self.consent_to_finish(turn, &record, size).await?;
        let told = self.place(&record, video, size).await?;
        self.room.forget(id);
        self.confirmations.forget(id);
        self.finish_along(id, size);
        self.correct_facts(told).await?;
        self.drop_rejected(video).await?;
        let at = self.clock.now();
        info!(upload.id = %id, video.id = %video, size_bytes = size.0, "upload {id} complete");
        measures::upload_finished(record.protocol, size.0, at.ms_since(record.created_at));
        let body =
            EventBody::Upload { upload: id, received: size, size: Some(size), wanted: Vec::new() };
        self.tell(EventKind::UploadCompleted, &record, body);
        self.tell(EventKind::VideoState, &record, EventBody::Video);
        self.hub.publish(Event::of_queue(at));
        self.bell.notify_one();
        self.known(id)
    }

    /// Has the disk confirm all bytes of a file, if there is one.
    pub(super) async fn confirm_all(
        self: Arc<Self>,
        blob: Option<Arc<Blob>>,
    ) -> Result<(), UploadError> {
        match blob {
            Some(blob) => self.blocking(move |_| confirm(&blob)).await,
            None => Ok(()),
        }
    }

    /// Moves the bytes into place and records it; returns the video as its facts tell it.
    async fn place(
        self: &Arc<Self>,
        record: &UploadRecord,
        video: VideoId,
        size: ByteCount,
    ) -> Result<VideoRecord, UploadError> {
        let (id, now) = (record.id, self.clock.now());
        let mut told = self.state.video(video)?.ok_or(UploadError::Missing)?;
        told.size = size;
        told.uploaded_at = Some(now);
        told.sha256 = record.whole_sha256().map(str::to_owned);
        let facts = told.to_facts();
        self.clone()
            .blocking(move |engine| engine.disk.finish_blob(id, video, size, &facts))
            .await?;
        let job = JobRecord::new(JobId::fresh(now), video, record.owner.clone(), now);
        let done = self.state.finish_upload(id, record.epoch, now, size, Some(job)).await;
        if let Err(refused) = done {
            return Err(self.undo_place(id, video, refused.into()).await);
        }
        fail_at(FailAt::AfterRecord);
        // What is left of the upload's directory; the start looks after it if this is cut off.
        self.clone().blocking(move |engine| engine.disk.remove_upload(id)).await?;
        Ok(told)
    }

    /// Removes an original whose video was rejected before it was in place, as one that is made
    /// of parts can be. Who rejects it later removes it.
    async fn drop_rejected(self: &Arc<Self>, id: VideoId) -> Result<(), UploadError> {
        match self.state.video(id)? {
            Some(video) if video.discarded => {
                self.clone().blocking(move |engine| engine.disk.remove_original(id)).await
            }
            _ => Ok(()),
        }
    }

    /// Removes an original whose video was deleted while its upload was being finished.
    async fn undo_place(
        self: &Arc<Self>,
        id: UploadId,
        video: VideoId,
        refused: UploadError,
    ) -> UploadError {
        let is_deleted = matches!(self.state.video(video), Ok(None));
        if is_deleted && refused.is_over() {
            self.room.forget(id);
            let removed = self.clone().blocking(move |engine| engine.disk.remove_original(video));
            return removed.await.err().unwrap_or(refused);
        }
        refused
    }

    /// Writes the facts again if somebody changed the video's words meanwhile.
    async fn correct_facts(self: &Arc<Self>, told: VideoRecord) -> Result<(), UploadError> {
        let id = told.id;
        let Some(now) = self.state.video(id)? else { return Ok(()) };
        let facts = now.to_facts();
        if facts == told.to_facts() {
            return Ok(());
        }
        self.clone().blocking(move |engine| engine.disk.write_facts(id, &facts)).await
    }
}
