//! What blocking hooks are asked before an upload begins and before it is finished, and what they
//! may answer.

use super::upload::Protocol;
use super::video::Visibility;
use super::words::VideoChange;
use crate::ids::{Owner, UploadId, VideoId};
use crate::units::{ByteCount, UnixMillis};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// When a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Before anything of an upload is made.
    Create,
    /// When all of its bytes are here and right, before anybody is told so.
    Finish,
}

impl Moment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Create, Self::Finish];

    /// Returns the hook's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "pre_create",
            Self::Finish => "pre_finish",
        }
    }
}

/// What a hook is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// When.
    pub moment: Moment,
    /// The upload. A question about it has always the same name, so that it is known again.
    pub upload: UploadId,
    /// The video that it becomes; none for a part.
    pub video: Option<VideoId>,
    /// Whose it is.
    pub owner: Owner,
    /// The door that it comes through.
    pub door: Protocol,
    /// `partial` for a part of others, which becomes no video; `final` for what is made of parts.
    pub concat: Option<&'static str>,
    /// Its size, where that is known.
    pub size: Option<ByteCount>,
    /// SHA-256 of the whole file in lower-case hex, where somebody has told or computed it.
    pub sha256: Option<String>,
    /// When it began.
    pub created_at: UnixMillis,
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Who will see it.
    pub visibility: Visibility,
    /// Display name of the file.
    pub filename: String,
    /// The client's word for a group of uploads.
    pub session: Option<String>,
    /// All that the client has said, as it said it.
    pub metadata: Vec<(String, String)>,
}

impl Question {
    /// Returns what the question is called.
    pub fn name(&self) -> String {
        format!("{}_{}", self.moment.name(), self.upload)
    }
}

/// What a hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, with these words.
    Go(VideoChange),
    /// It isn't taken.
    No(Objection),
}

/// Why a hook doesn't want an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// The status that its client is answered with.
    pub status: u16,
    /// A sentence for its client.
    pub detail: String,
}

impl Objection {
    /// The statuses that a hook may choose from. Others of the class 4xx mean something to the
    /// protocols or to browsers: that something should be sent again, or somebody log in.
    pub const STATUSES: [u16; 7] = [400, 402, 403, 413, 415, 422, 451];
    /// The status of one that names none.
    pub const STATUS: u16 = 403;
    /// Longest sentence in characters.
    pub const DETAIL_CHARS_MAX: usize = 500;
}

/// Asks a hook; none if it can't be reached in time or has said nothing that can be used.
pub type Ask =
    Arc<dyn Fn(Question) -> Pin<Box<dyn Future<Output = Option<Verdict>> + Send>> + Send + Sync>;
