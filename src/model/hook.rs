//! What webhooks tell, and when they try again.

use crate::ids::{GrantId, Owner, UploadId, VideoId};
use crate::model::problem::Problem;
use crate::model::room::Level;
use crate::model::video::{VideoState, Visibility};
use crate::units::ByteCount;
use serde::{Deserialize, Serialize};

/// Something that webhooks are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum HookEvent {
    /// All bytes of an upload are here.
    #[serde(rename = "upload.completed")]
    UploadCompleted,
    /// An upload was given up.
    #[serde(rename = "upload.expired")]
    UploadExpired,
    /// A video came, went, or changed.
    #[serde(rename = "video.state")]
    VideoState,
    /// Something can be played.
    #[serde(rename = "video.playable")]
    VideoPlayable,
    /// Everything planned is there.
    #[serde(rename = "video.ready")]
    VideoReady,
    /// Work ended without success.
    #[serde(rename = "video.failed")]
    VideoFailed,
    /// Room on the disk is getting short.
    #[serde(rename = "disk.low")]
    DiskLow,
    /// An admin wants to see whether it works.
    #[serde(rename = "test")]
    Test,
}

impl HookEvent {
    /// All events that can be subscribed to.
    pub const ALL: [HookEvent; 7] = [
        Self::UploadCompleted,
        Self::UploadExpired,
        Self::VideoState,
        Self::VideoPlayable,
        Self::VideoReady,
        Self::VideoFailed,
        Self::DiskLow,
    ];

    /// Returns the name that receivers see.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadCompleted => "upload.completed",
            Self::UploadExpired => "upload.expired",
            Self::VideoState => "video.state",
            Self::VideoPlayable => "video.playable",
            Self::VideoReady => "video.ready",
            Self::VideoFailed => "video.failed",
            Self::DiskLow => "disk.low",
            Self::Test => "test",
        }
    }
}

/// What an event is about, as it was when it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "kebab-case")]
pub enum Subject {
    /// A video.
    Video(Box<VideoNews>),
    /// The disk.
    Disk {
        /// Free bytes.
        free: ByteCount,
        /// Size of the file system.
        total: ByteCount,
        /// Bytes below which uploads are refused.
        reserve: ByteCount,
    },
    /// Nothing.
    Test,
}

impl From<Level> for Subject {
    fn from(level: Level) -> Self {
        Self::Disk { free: level.free, total: level.total, reserve: level.reserve }
    }
}

/// Where a video is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whereabouts {
    /// Where it can be seen.
    #[default]
    Here,
    /// In the trash.
    Trashed,
    /// Gone for good.
    Deleted,
}

/// A video as it was when something happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoNews {
    /// The video.
    pub video: VideoId,
    /// Its upload, while that is remembered.
    pub upload: Option<UploadId>,
    /// The grant by which it was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Whose it is.
    pub owner: Owner,
    /// Whether it is there.
    #[serde(default)]
    pub whereabouts: Whereabouts,
    /// Where it stands.
    pub state: VideoState,
    /// Something can be played.
    pub playable: bool,
    /// Who may see it.
    pub visibility: Visibility,
    /// Title.
    pub title: String,
    /// Display name that the client gave.
    pub filename: String,
    /// The client's word for a group of uploads.
    pub session: Option<String>,
    /// Size of the original.
    pub size: ByteCount,
    /// Length in seconds, once known.
    pub duration: Option<f64>,
    /// Why it failed.
    pub problem: Option<Problem>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is, or will be, tried.
    Pending,
    /// The target has taken it.
    Delivered,
    /// Nobody tries any more.
    GivenUp,
}

/// Longest time for which a delivery is tried.
pub const TRIED_FOR_MS: u64 = 24 * 3_600_000;

/// Most deliveries that wait for one target; the oldest beyond are given up.
pub const WAITING_MAX: usize = 10_000;

/// Returns how long to wait after attempt `attempt` failed: 5 s, 15 s, 45 s, … up to two hours,
/// less up to a quarter chosen by `jitter` (0.0 ..= 1.0).
pub fn retry_after_ms(attempt: u32, jitter: f64) -> u64 {
    let full = 5_000_u64.saturating_mul(3_u64.saturating_pow(attempt.saturating_sub(1)));
    let full = full.min(2 * 3_600_000);
    full - (full as f64 * 0.25 * jitter.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waiting grows to its bound, and there are some twenty attempts in a day.
    #[test]
    fn retries_last_a_day() {
        assert_eq!(
            [1, 2, 3, 8].map(|n| retry_after_ms(n, 0.0)),
            [5_000, 15_000, 45_000, 7_200_000]
        );
        assert_eq!(retry_after_ms(1, 1.0), 3_750);
        let mut passed = 0;
        let attempts = (1..).take_while(|&n| {
            passed += retry_after_ms(n, 0.5);
            passed < TRIED_FOR_MS
        });
        assert!((15..30).contains(&attempts.count()));
    }
}
