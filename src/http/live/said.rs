//! Events as they are written down, and described in `/openapi.json`.

use crate::events::{EventKind, Progress};
use crate::http::admin::QueueNumbers;
use crate::http::videos::Seen;
use crate::ids::{UploadId, VideoId};
use crate::model::job::Stage;
use crate::model::room::Level;
use crate::units::{ByteCount, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

/// Something that happened: the `data` of a server-sent event, or a message of the socket.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type")]
pub(in crate::http) enum LiveEvent {
    /// Bytes came.
    #[serde(rename = "upload.progress")]
    UploadProgress(UploadEvent),
    /// All bytes came.
    #[serde(rename = "upload.completed")]
    UploadCompleted(UploadEvent),
    /// A partial upload was removed because nobody went on with it.
    #[serde(rename = "upload.expired")]
    UploadExpired(UploadEvent),
    /// A video's record changed or went away; also the present state in a snapshot.
    #[serde(rename = "video.state")]
    VideoState(VideoEvent),
    /// The work went on.
    #[serde(rename = "video.progress")]
    VideoProgress(ProgressEvent),
    /// Something can be played.
    #[serde(rename = "video.playable")]
    VideoPlayable(VideoEvent),
    /// Everything planned is there.
    #[serde(rename = "video.ready")]
    VideoReady(VideoEvent),
    /// Work ended without success.
    #[serde(rename = "video.failed")]
    VideoFailed(VideoEvent),
    /// The queue changed. Admins hear of it.
    #[serde(rename = "queue")]
    Queue(QueueEvent),
    /// Room on the disk is getting short. Admins hear of it.
    #[serde(rename = "disk.low")]
    DiskLow(DiskEvent),
    /// The present state has been told.
    #[serde(rename = "snapshot")]
    Snapshot(SnapshotEvent),
}

/// What every event says besides its type.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveEventHead)]
pub(in crate::http) struct Head {
    /// Grows, over restarts too; where to go on after a break.
    id: u64,
    at: String,
    video_id: Option<String>,
}

impl Head {
    pub(super) fn new(id: u64, at: UnixMillis, video: Option<VideoId>) -> Self {
        Self { id, at: at.to_rfc3339(), video_id: video.map(|id| id.to_string()) }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = LiveVideoEvent)]
pub(in crate::http) struct VideoEvent {
    #[serde(flatten)]
    head: Head,
    /// As it is now; null when it is gone.
    video: Option<Seen>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveUploadEvent)]
pub(in crate::http) struct UploadEvent {
    #[serde(flatten)]
    head: Head,
    upload_id: String,
    received_bytes: u64,
    /// Null while nobody has told it.
    size: Option<u64>,
    /// Bytes that would let work on the film begin, from and to, while that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wanted: Option<Vec<(u64, u64)>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveProgressEvent)]
pub(in crate::http) struct ProgressEvent {
    #[serde(flatten)]
    head: Head,
    stage: Stage,
    /// Share of the stage that is done.
    progress: f64,
    /// Seconds of film made in a second.
    speed: f64,
    eta_seconds: Option<f64>,
    renditions: Vec<RenditionProgress>,
    playable_seconds: f64,
}

#[derive(Serialize, ToSchema)]
struct RenditionProgress {
    name: String,
    progress: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LiveQueueEvent)]
pub(in crate::http) struct QueueEvent {
    #[serde(flatten)]
    head: Head,
    /// Missing only where the database has failed, and the server is about to end.
    #[serde(flatten)]
    #[schema(value_type = QueueNumbers)]
    numbers: Option<QueueNumbers>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveDiskEvent)]
pub(in crate::http) struct DiskEvent {
    #[serde(flatten)]
    head: Head,
    free_bytes: u64,
    total_bytes: u64,
    reserve_bytes: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LiveSnapshotEvent)]
pub(in crate::http) struct SnapshotEvent {
    #[serde(flatten)]
    head: Head,
    /// How many videos were told.
    videos: usize,
}

impl LiveEvent {
    /// Says how a video is now, or that it is gone.
    pub(super) fn of_video(kind: EventKind, head: Head, video: Option<Seen>) -> Self {
        let event = VideoEvent { head, video };
        match kind {
            EventKind::VideoPlayable => Self::VideoPlayable(event),
            EventKind::VideoReady => Self::VideoReady(event),
            EventKind::VideoFailed => Self::VideoFailed(event),
            _ => Self::VideoState(event),
        }
    }

    /// Says how far an upload is, or that it has ended.
    pub(super) fn of_upload(
        kind: EventKind,
        head: Head,
        upload: UploadId,
        (received, size): (ByteCount, Option<ByteCount>),
        wanted: &[(u64, u64)],
    ) -> Self {
        let event = UploadEvent {
            head,
            upload_id: upload.to_string(),
            received_bytes: received.0,
            size: size.map(|size| size.0),
            wanted: (!wanted.is_empty()).then(|| wanted.to_vec()),
        };
        match kind {
            EventKind::UploadCompleted => Self::UploadCompleted(event),
            EventKind::UploadExpired => Self::UploadExpired(event),
            _ => Self::UploadProgress(event),
        }
    }

    /// Says how far the work on a video is.
    pub(super) fn of_progress(head: Head, progress: &Progress) -> Self {
        let renditions = progress.renditions.iter().cloned();
        Self::VideoProgress(ProgressEvent {
            head,
            stage: progress.stage,
            progress: progress.progress,
            speed: progress.speed,
            eta_seconds: progress.eta_seconds,
            renditions: renditions
                .map(|(name, progress)| RenditionProgress { name, progress })
                .collect(),
            playable_seconds: progress.playable_seconds,
        })
    }

    /// Says how the queue is.
    pub(super) fn of_queue(head: Head, numbers: Option<QueueNumbers>) -> Self {
        Self::Queue(QueueEvent { head, numbers })
    }

    /// Says how much room there is.
    pub(super) fn of_disk(head: Head, level: &Level) -> Self {
        let (free_bytes, total_bytes) = (level.free.0, level.total.0);
        Self::DiskLow(DiskEvent { head, free_bytes, total_bytes, reserve_bytes: level.reserve.0 })
    }

    /// Says that a snapshot ends here, and how many videos it told.
    pub(super) fn end_of_snapshot(head: Head, videos: usize) -> Self {
        Self::Snapshot(SnapshotEvent { head, videos })
    }
}
