//! An upload as its owner sees it.

use crate::model::upload::UploadState;
use crate::state::UploadRecord;
use serde::Serialize;
use utoipa::ToSchema;

/// An upload as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Upload)]
pub(in crate::http) struct UploadView {
    upload_id: String,
    video_id: Option<String>,
    state: UploadState,
    filename: String,
    size: Option<u64>,
    received_bytes: u64,
    session_id: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    url: String,
}

impl UploadView {
    /// Makes the view of a record.
    pub(in crate::http) fn of(upload: &UploadRecord) -> Self {
        let open = matches!(upload.state, UploadState::Partial);
        let received = match upload.state {
            UploadState::Finishing | UploadState::Finished => upload.length,
            _ => None,
        };
        Self {
            upload_id: upload.id.to_string(),
            video_id: upload.video.map(|id| id.to_string()),
            state: upload.state,
            filename: upload.filename.clone(),
            size: upload.length.map(|length| length.0),
            received_bytes: received.unwrap_or_else(|| upload.received.written.total()).0,
            session_id: upload.session.clone(),
            created_at: upload.created_at.to_rfc3339(),
            expires_at: open.then(|| upload.expires_at.to_rfc3339()),
            url: match upload.chunks {
                Some(_) => format!("/api/videos/upload/{}", upload.id),
                None => format!("/files/{}", upload.id),
            },
        }
    }
}
