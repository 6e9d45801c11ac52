//! What happens, told to whoever listens: live status is made of these events.
//!
//! An event says that something changed and holds just enough to decide who may know; listeners
//! load the rest. Publishing never waits and never fails. Called by the stages and the pipeline;
//! read by the live endpoints.

mod hub;

pub use hub::{Hub, News, Subscription};

use crate::ids::{Owner, UploadId, VideoId};
use crate::model::job::Stage;
use crate::model::room::Level;
use crate::units::{ByteCount, UnixMillis};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Position in the stream, given by the hub; greater than that of any earlier event, also of
    /// those that an earlier process told.
    pub id: u64,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: UnixMillis,
    /// The video that it is about.
    pub video: Option<VideoId>,
    /// Whose video it is.
    pub owner: Option<Owner>,
    /// What listeners can't look up.
    pub body: EventBody,
}

impl Event {
    /// Makes an event about `video`; the hub gives it its id when it is published.
    pub fn of_video(kind: EventKind, at: UnixMillis, video: VideoId, owner: Owner) -> Self {
        Self { id: 0, kind, at, video: Some(video), owner: Some(owner), body: EventBody::Video }
    }

    /// Makes the event that the queue changed.
    pub fn of_queue(at: UnixMillis) -> Self {
        Self { id: 0, kind: EventKind::Queue, at, video: None, owner: None, body: EventBody::Queue }
    }

    /// Makes the event that room on the disk is getting short.
    pub fn of_disk(at: UnixMillis, level: Level) -> Self {
        let (kind, body) = (EventKind::DiskLow, EventBody::Disk(level));
        Self { id: 0, kind, at, video: None, owner: None, body }
    }

    /// Returns the event with another body.
    pub fn with(mut self, body: EventBody) -> Self {
        self.body = body;
        self
    }
}

/// What of an event listeners can't look up.
#[derive(Clone, Debug, PartialEq)]
pub enum EventBody {
    /// How far an upload is.
    Upload {
        /// The upload.
        upload: UploadId,
        /// Bytes received.
        received: ByteCount,
        /// Bytes in all, where known.
        size: Option<ByteCount>,
        /// Bytes that would let work on the film begin, where that's known.
        wanted: Vec<(u64, u64)>,
    },
    /// Nothing more: the record tells.
    Video,
    /// How far the work is.
    Progress(Progress),
    /// Nothing more: the queue tells.
    Queue,
    /// How much room there is.
    Disk(Level),
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Bytes came.
    UploadProgress,
    /// All bytes came.
    UploadCompleted,
    /// A partial upload was removed because nobody went on with it.
    UploadExpired,
    /// A video's record changed or went away.
    VideoState,
    /// The work went on.
    VideoProgress,
    /// Something can be played.
    VideoPlayable,
    /// Everything planned is there.
    VideoReady,
    /// Work ended without success.
    VideoFailed,
    /// The queue changed.
    Queue,
    /// Room on the disk is getting short.
    DiskLow,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 10] = [
        Self::UploadProgress,
        Self::UploadCompleted,
        Self::UploadExpired,
        Self::VideoState,
        Self::VideoProgress,
        Self::VideoPlayable,
        Self::VideoReady,
        Self::VideoFailed,
        Self::Queue,
        Self::DiskLow,
    ];

    /// Returns the name that clients see.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadProgress => "upload.progress",
            Self::UploadCompleted => "upload.completed",
            Self::UploadExpired => "upload.expired",
            Self::VideoState => "video.state",
            Self::VideoProgress => "video.progress",
            Self::VideoPlayable => "video.playable",
            Self::VideoReady => "video.ready",
            Self::VideoFailed => "video.failed",
            Self::Queue => "queue",
            Self::DiskLow => "disk.low",
        }
    }

    /// Says whether the hub may hold events of this kind back and tell only the last of them.
    fn is_progress(self) -> bool {
        matches!(self, Self::UploadProgress | Self::VideoProgress)
    }

    /// Says whether of several events of this kind about one thing only the newest counts: what
    /// it tells is all there is to know.
    pub fn is_of_the_moment(self) -> bool {
        self.is_progress() || matches!(self, Self::Queue | Self::VideoState)
    }

    /// Says whether earlier progress of the same video has lost its meaning.
    fn ends_progress(self) -> bool {
        matches!(
            self,
            Self::UploadCompleted | Self::UploadExpired | Self::VideoReady | Self::VideoFailed
        )
    }
}

/// How far the work on a video is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The stage under way.
    pub stage: Stage,
    /// Share of the stage that is done, 0 ..= 1.
    pub progress: f64,
    /// Media seconds made for each second of time.
    pub speed: f64,
    /// Seconds to the end, as far as can be told.
    pub eta_seconds: Option<f64>,
    /// Name and share done, 0 ..= 1, of each rendition; 0 where the film's length isn't known.
    pub renditions: Vec<(String, f64)>,
    /// How far the film can be played.
    pub playable_seconds: f64,
    /// How far the rendition is that is furthest behind.
    pub made_seconds: f64,
    /// What it takes.
    pub effort: Effort,
}

/// What the work on a video takes at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Processes that work on it.
    pub children: usize,
    /// Memory that they hold, taken together.
    pub memory: ByteCount,
}
