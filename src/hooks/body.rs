//! What webhooks are sent, as `/openapi.json` describes it.

use super::sign::name_of;
use crate::model::hook::{HookEvent, Subject, VideoNews, Whereabouts};
use crate::model::problem::ProblemCode;
use crate::model::video::{VideoState, Visibility};
use crate::state::DeliveryRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// Something that happened: the body of a webhook's request.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type")]
#[schema(as = WebhookEvent)]
pub enum Body {
    /// All bytes of an upload are here.
    #[serde(rename = "upload.completed")]
    UploadCompleted(VideoHook),
    /// An upload was given up.
    #[serde(rename = "upload.expired")]
    UploadExpired(VideoHook),
    /// A video came, went, or changed.
    #[serde(rename = "video.state")]
    VideoState(VideoHook),
    /// Something can be played.
    #[serde(rename = "video.playable")]
    VideoPlayable(VideoHook),
    /// Everything planned is there.
    #[serde(rename = "video.ready")]
    VideoReady(VideoHook),
    /// Work ended without success.
    #[serde(rename = "video.failed")]
    VideoFailed(VideoHook),
    /// Room on the disk is getting short.
    #[serde(rename = "disk.low")]
    DiskLow(DiskHook),
    /// An admin wants to see whether it works.
    #[serde(rename = "test")]
    Test(TestHook),
}

/// What is told of a video.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VideoWebhook)]
pub struct VideoHook {
    /// The same at every attempt, and in the header `webhook-id`.
    #[schema(pattern = "^msg_")]
    id: String,
    at: String,
    video_id: String,
    data: VideoData,
}

/// What is told of the disk.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DiskWebhook)]
pub struct DiskHook {
    #[schema(pattern = "^msg_")]
    id: String,
    at: String,
    /// Null: it is about no video.
    video_id: Option<String>,
    data: DiskData,
}

/// What is told when an admin asks for it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TestWebhook)]
pub struct TestHook {
    #[schema(pattern = "^msg_")]
    id: String,
    at: String,
    /// Null: it is about no video.
    video_id: Option<String>,
    /// Empty.
    data: Nothing,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TestWebhookData)]
struct Nothing {}

/// A video as it was when something happened to it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VideoWebhookData)]
struct VideoData {
    upload_id: Option<String>,
    /// The upload grant by which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<String>,
    owner: String,
    state: Standing,
    playable: bool,
    visibility: Visibility,
    title: String,
    filename: String,
    session_id: Option<String>,
    size: u64,
    duration: Option<f64>,
    /// Why it failed.
    error: Option<HookError>,
}

/// Where a video stands, or where it has gone.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = VideoWebhookState)]
enum Standing {
    Here(VideoState),
    Away(Away),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = VideoWebhookAway)]
enum Away {
    /// It is in the trash.
    Trashed,
    /// It is gone for good.
    Deleted,
}

#[derive(Serialize, ToSchema)]
#[schema(as = VideoWebhookError)]
struct HookError {
    code: ProblemCode,
    title: String,
    detail: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DiskWebhookData)]
struct DiskData {
    free_bytes: u64,
    total_bytes: u64,
    reserve_bytes: u64,
}

/// Returns the body of a delivery; it is the same at each attempt.
pub(super) fn text(row: &DeliveryRecord) -> String {
    // Through a value: members in a fixed order.
    serde_json::to_value(Body::of(row)).unwrap_or_default().to_string()
}

impl Body {
    fn of(row: &DeliveryRecord) -> Self {
        let (id, at) = (name_of(row.id), row.at.to_rfc3339());
        match &row.subject {
            Subject::Video(news) => {
                let (video_id, data) = (news.video.to_string(), VideoData::of(news));
                let hook = VideoHook { id, at, video_id, data };
                match row.event {
                    HookEvent::UploadCompleted => Self::UploadCompleted(hook),
                    HookEvent::UploadExpired => Self::UploadExpired(hook),
                    HookEvent::VideoPlayable => Self::VideoPlayable(hook),
                    HookEvent::VideoReady => Self::VideoReady(hook),
                    HookEvent::VideoFailed => Self::VideoFailed(hook),
                    HookEvent::VideoState | HookEvent::DiskLow | HookEvent::Test => {
                        Self::VideoState(hook)
                    }
                }
            }
            Subject::Disk { free, total, reserve } => {
                let (free_bytes, total_bytes, reserve_bytes) = (free.0, total.0, reserve.0);
                let data = DiskData { free_bytes, total_bytes, reserve_bytes };
                Self::DiskLow(DiskHook { id, at, video_id: None, data })
            }
            Subject::Test => Self::Test(TestHook { id, at, video_id: None, data: Nothing {} }),
        }
    }
}

impl VideoData {
    fn of(news: &VideoNews) -> Self {
        let error = news.problem.as_ref().map(|problem| HookError {
            code: problem.code,
            title: problem.code.title().to_owned(),
            detail: problem.detail.clone(),
        });
        Self {
            upload_id: news.upload.map(|upload| upload.to_string()),
            grant_id: news.grant.map(|grant| grant.to_string()),
            owner: news.owner.0.clone(),
            state: match news.whereabouts {
                Whereabouts::Here => Standing::Here(news.state),
                Whereabouts::Trashed => Standing::Away(Away::Trashed),
                Whereabouts::Deleted => Standing::Away(Away::Deleted),
            },
            playable: news.playable,
            visibility: news.visibility,
            title: news.title.clone(),
            filename: news.filename.clone(),
            session_id: news.session.clone(),
            size: news.size.0,
            duration: news.duration,
            error,
        }
    }
}
