//! What can be wrong with a video, said once for the API, the pages and the log.

use serde::{Deserialize, Serialize};

/// Why a video failed. The text form (kebab-case) is the stable `code` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The file isn't a video or sound that can be read.
    UnsupportedMedia,
    /// It began as media and then couldn't be read.
    DamagedMedia,
    /// Its picture has more pixels than the server takes.
    TooLarge,
    /// It lasts longer than the server takes.
    TooLong,
    /// It holds more tracks than the server takes.
    TooManyStreams,
    /// The film isn't that long.
    TimeOutOfRange,
    /// The work made no progress for too long.
    TimedOut,
    /// The disk is full.
    OutOfSpace,
    /// The file needs more memory than a job may use.
    OutOfMemory,
    /// The work ended in a way that the file doesn't explain.
    WorkerCrashed,
    /// The child can't be confined on this machine, so nothing is opened.
    SandboxUnavailable,
    /// Somebody cancelled the work.
    Cancelled,
    /// A broken rule inside the server.
    Internal,
}

impl ProblemCode {
    /// Returns the short title of the problem.
    pub fn title(self) -> &'static str {
        match self {
            Self::UnsupportedMedia => "This file isn't a video we can play",
            Self::DamagedMedia => "The file is damaged",
            Self::TooLarge => "The picture is too large",
            Self::TooLong => "The video is too long",
            Self::TooManyStreams => "The file has too many tracks",
            Self::TimeOutOfRange => "The video has no such time",
            Self::TimedOut => "Processing stopped making progress",
            Self::OutOfSpace => "The server's disk is full",
            Self::OutOfMemory => "Processing needs too much memory",
            Self::WorkerCrashed => "Processing stopped unexpectedly",
            Self::SandboxUnavailable => "Processing can't run safely on this server",
            Self::Cancelled => "Processing was cancelled",
            Self::Internal => "Something went wrong in the server",
        }
    }

    /// Says whether the same file may succeed when tried again.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::OutOfSpace
                | Self::WorkerCrashed
                | Self::SandboxUnavailable
                | Self::Cancelled
                | Self::Internal
        )
    }
}

/// A problem with a video, in words for the person who uploaded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What went wrong.
    pub code: ProblemCode,
    /// A sentence about this case; never a path or a library's own message.
    pub detail: String,
}

impl Problem {
    /// Makes a problem of its code and a sentence.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
