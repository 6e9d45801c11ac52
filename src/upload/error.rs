//! Why an upload can't go on, in words that know nothing of the protocol it came by.

use super::admission::Refusal;
use super::metadata::MetadataError;
use super::parts::PartError;
use crate::disk::DiskError;
use crate::model::upload::UploadState;
use crate::state::{Conflict, StateError, UploadRecord};
use crate::units::{ByteCount, ByteOffset};

/// Why the engine refused, or stopped early. Where an offset is told, everything before it is
/// stored and recorded.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// No upload has this id.
    #[error("no such upload")]
    Missing,
    /// The upload was given up: expired or aborted. One that was refused by its first bytes, or by
    /// a hook, is [`Refusal::Kind`] or [`Refusal::Hook`] for good.
    #[error("the upload is {0:?}")]
    Gone(UploadState),
    /// All bytes are here already; more can't be added.
    #[error("the upload is finished")]
    Finished,
    /// The bytes belong elsewhere than where the upload goes on.
    #[error("the upload goes on at {actual}")]
    OffsetMismatch {
        /// Where it goes on.
        actual: ByteOffset,
    },
    /// More bytes than were declared.
    #[error("the upload is only {length} bytes long")]
    TooLong {
        /// What was declared.
        length: ByteCount,
    },
    /// The length was declared before, and differently.
    #[error("the length can't be changed")]
    LengthFixed,
    /// The length is smaller than what has come already.
    #[error("the length is smaller than what has come")]
    LengthInvalid,
    /// The metadata can't be read.
    #[error(transparent)]
    BadMetadata(#[from] MetadataError),
    /// Larger than the server takes.
    #[error("larger than {max} bytes")]
    MaxSize {
        /// The largest upload.
        max: ByteCount,
    },
    /// The disk has no room for it.
    #[error("no room for it on the disk")]
    NoSpace,
    /// Nothing came for too long.
    #[error("no bytes came for too long; stored up to {offset}")]
    Idle {
        /// Where it goes on.
        offset: ByteOffset,
    },
    /// A newer request on the same upload took over.
    #[error("a newer request took over; stored up to {offset}")]
    Taken {
        /// Where this request had come to.
        offset: ByteOffset,
    },
    /// The body ended with an error: the client went away.
    #[error("the body broke off; stored up to {offset}")]
    BodyBroken {
        /// Where it goes on.
        offset: ByteOffset,
    },
    /// The body isn't what its checksum says; nothing of it was kept.
    #[error("the body doesn't match its checksum; the upload goes on at {offset}")]
    ChecksumMismatch {
        /// Where it goes on, as before.
        offset: ByteOffset,
    },
    /// It is made of parts; it takes no bytes itself.
    #[error("the upload is made of others")]
    MadeOfParts,
    /// A part that a final upload names isn't there, or isn't its owner's.
    #[error("a part isn't there")]
    PartMissing,
    /// What a final upload names as a part is none.
    #[error("a part is an upload of another kind")]
    PartUnfit,
    /// A final upload that isn't joined yet needs the part.
    #[error("the part is needed by an upload that isn't joined yet")]
    PartNeeded,
    /// The server is stopping; the upload goes on after its start.
    #[error("the server is stopping; stored up to {offset}")]
    Stopping {
        /// Where it goes on.
        offset: ByteOffset,
    },
    /// Its owner may not have it, or nobody may.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Somebody has to be asked first, and hasn't said anything that can be used. An upload that
    /// was begun keeps its bytes, and is asked about again.
    #[error("a hook can't be asked")]
    HookUnavailable,
    /// Something about the upload's numbered parts.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The server's own fault; the cause is for the log.
    #[error("the server couldn't store the upload")]
    Internal(#[source] Fault),
}

/// What is behind [`UploadError::Internal`].
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file operation failed.
    #[error(transparent)]
    Disk(DiskError),
    /// The database refused or failed.
    #[error(transparent)]
    State(StateError),
    /// A task of ours ended without a result.
    #[error("a task of the upload engine ended without a result")]
    Task,
    /// A record breaks a rule of ours.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl UploadError {
    /// Gives back the record of an upload that hasn't been given up.
    ///
    /// # Errors
    /// `Gone`; `Refused` with `Kind` or `Hook`.
    pub fn unless_gone(record: UploadRecord) -> Result<UploadRecord, Self> {
        if let Some(kind) = record.stranger {
            return Err(Refusal::Kind { kind }.into());
        }
        if let Some(objection) = record.objection {
            return Err(Refusal::Hook(objection).into());
        }
        match record.state.is_gone() {
            true => Err(Self::Gone(record.state)),
            false => Ok(record),
        }
    }

    /// Says whether there is no such upload, or none any more.
    pub(super) fn is_over(&self) -> bool {
        let is_refused = matches!(self, Self::Refused(Refusal::Kind { .. } | Refusal::Hook(_)));
        is_refused || matches!(self, Self::Missing | Self::Gone(_))
    }
}

impl From<DiskError> for UploadError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::NoSpace => Self::NoSpace,
            other => Self::Internal(Fault::Disk(other)),
        }
    }
}

impl From<StateError> for UploadError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Missing => Self::Missing,
            StateError::Conflict(Conflict::Upload(state)) if state.is_gone() => Self::Gone(state),
            other => Self::Internal(Fault::State(other)),
        }
    }
}
