//! What can be wrong with a video, said once for the API, the pages and the log.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a video failed. The text form (kebab-case) is the stable `code` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
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
    /// The file that was uploaded isn't on the disk any more.
    OriginalMissing,
    /// The file that was uploaded is encrypted, and its key can't be had.
    OriginalLocked,
    /// The file that was uploaded isn't on the disk as it was written.
    OriginalDamaged,
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
            Self::OriginalMissing => "The uploaded file is missing",
            Self::OriginalLocked => "The uploaded file can't be decrypted",
            Self::OriginalDamaged => "The uploaded file has changed on the disk",
            Self::Cancelled => "Processing was cancelled",
            Self::Internal => "Something went wrong in the server",
        }
    }

    /// Returns what the person who uploaded it can do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::UnsupportedMedia => {
                "Send a film or a sound in a common format, such as MP4, MOV, MKV or MP3."
            }
            Self::DamagedMedia => {
                "See whether the file plays on your own machine; copy or export it again, and send \
                 it again."
            }
            Self::TooLarge => "Export it with a smaller picture, and send it again.",
            Self::TooLong => "Cut it into shorter pieces, and send those.",
            Self::TooManyStreams => "Export it with fewer tracks, and send it again.",
            Self::TimeOutOfRange => "Choose a time within the film.",
            Self::TimedOut => {
                "Try again. If it happens again, export the file anew, and send it again."
            }
            Self::OutOfSpace => {
                "Nothing of your file is lost. Try again when the server's operator has made room."
            }
            Self::OutOfMemory => {
                "Export it with a smaller picture or in a simpler format, and send it again."
            }
            Self::WorkerCrashed => {
                "Try again. If it happens again, export the file in another format, and send it \
                 again."
            }
            Self::SandboxUnavailable => {
                "The server's operator must mend this (see `slipway doctor`). Then try again."
            }
            Self::OriginalMissing => {
                "Send the file again, and tell the server's operator: it was there once."
            }
            Self::OriginalLocked => {
                "The server's operator must give the server its key (see `slipway doctor`). Then \
                 try again."
            }
            Self::OriginalDamaged => {
                "Send the file again, and tell the server's operator: the disk may be failing."
            }
            Self::Cancelled => "Try again whenever you like.",
            Self::Internal => {
                "Try again. If it happens again, tell the server's operator, whose log has the \
                 cause."
            }
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
                | Self::OriginalLocked
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is told that another try may help is told to try again, and nobody else is.
    #[test]
    fn advice_fits_the_problem() {
        let all = [
            ProblemCode::UnsupportedMedia,
            ProblemCode::DamagedMedia,
            ProblemCode::TooLarge,
            ProblemCode::TooLong,
            ProblemCode::TooManyStreams,
            ProblemCode::TimeOutOfRange,
            ProblemCode::TimedOut,
            ProblemCode::OutOfSpace,
            ProblemCode::OutOfMemory,
            ProblemCode::WorkerCrashed,
            ProblemCode::SandboxUnavailable,
            ProblemCode::OriginalMissing,
            ProblemCode::OriginalLocked,
            ProblemCode::OriginalDamaged,
            ProblemCode::Cancelled,
            ProblemCode::Internal,
        ];
        for code in all {
            let advice = code.advice();
            let retry = advice.to_lowercase().contains("try again");
            // More memory may be allowed later, but the same file needs as much.
            assert_eq!(retry, code.is_retryable(), "{code:?}: {advice}");
            assert!(advice.ends_with('.'), "{advice}");
        }
    }
}
