//! Small JSON files beside the bytes, from which a lost database can be rebuilt.

use crate::ids::{Owner, UploadId, VideoId};
use crate::model::extra::Chosen;
use crate::model::upload::{Concat, Protocol};
use crate::model::video::{SourceFacts, VideoKind, Visibility};
use crate::units::{ByteCount, UnixMillis};
use serde::{Deserialize, Serialize};

/// The version of [`UploadMeta`] that this program writes.
pub const UPLOAD_META_VERSION: u32 = 1;

/// The version of [`Facts`] that this program writes.
pub const FACTS_VERSION: u32 = 1;

/// The version of [`TrashNote`] that this program writes.
pub const TRASH_NOTE_VERSION: u32 = 1;

/// When a video was deleted, and how long it can be restored: `trash.json` beside what the trash
/// holds of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashNote {
    /// [`TRASH_NOTE_VERSION`] when written.
    pub version: u32,
    /// The video.
    pub video: VideoId,
    /// When it was deleted.
    pub deleted_at: UnixMillis,
    /// From when on it is removed for good.
    pub until: UnixMillis,
}

/// What is known of an upload when it begins: `meta.json` beside its blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadMeta {
    /// [`UPLOAD_META_VERSION`] when written.
    pub version: u32,
    /// The upload.
    pub upload: UploadId,
    /// The video that it becomes.
    pub video: Option<VideoId>,
    /// Whose it is.
    pub owner: Owner,
    /// The display name that the client gave.
    pub filename: String,
    /// Size in bytes, if it was declared at creation.
    pub length: Option<ByteCount>,
    /// The `Upload-Metadata` header as it came; empty if there was none.
    pub metadata: String,
    /// When it was created.
    pub created_at: UnixMillis,
    /// Size of its parts, if it comes in numbered ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<ByteCount>,
    /// Set for parts and for what is made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concat: Option<Concat>,
    /// The door that it came through, where a lost database mustn't bring it back under that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// What people know of a finished original: `facts.json` beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// [`FACTS_VERSION`] when written.
    pub version: u32,
    /// The video.
    pub video: VideoId,
    /// Whose it is.
    pub owner: Owner,
    /// What the file turned out to hold.
    pub kind: VideoKind,
    /// Title.
    pub title: String,
    /// Description, empty if there is none.
    pub description: String,
    /// Tags in the owner's order.
    pub tags: Vec<String>,
    /// The display name that the client gave.
    pub filename: String,
    /// The client's word for a group of uploads.
    pub session: Option<String>,
    /// Size of the original in bytes.
    pub size: ByteCount,
    /// Who may see it.
    pub visibility: Visibility,
    /// SHA-256 of the original in lower-case hex, if it was computed.
    pub sha256: Option<String>,
    /// When the upload was created.
    pub created_at: UnixMillis,
    /// When the last byte was confirmed.
    pub uploaded_at: Option<UnixMillis>,
    /// What the probe found, once there was one.
    pub source: Option<SourceFacts>,
    /// The poster that somebody has chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
}
