//! Why the database refused, or can't go on.

use crate::model::access::GrantFault;
use crate::model::job::JobState;
use crate::model::upload::UploadState;
use crate::model::video::VideoState;
use std::io;

/// Why a transaction changed nothing, or a read found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// No such record.
    #[error("no such record")]
    Missing,
    /// The caller's lease is no longer the newest one.
    #[error("another lease has replaced this one")]
    Stale,
    /// The record stands where this move isn't allowed.
    #[error("not possible now: {0}")]
    Conflict(Conflict),
    /// The record would be longer than 64 KiB.
    #[error("the record would be too large")]
    TooLarge,
    /// A stored record can't be understood: damaged, or written by a later program.
    #[error("a stored record can't be read: {0}")]
    Unreadable(String),
    /// The database can't go on; it stays so until the process is started again.
    #[error("the database failed: {0}")]
    Failed(String),
}

/// Where a record stands that a move wasn't allowed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// An upload.
    #[error("the upload is {0:?}")]
    Upload(UploadState),
    /// A video.
    #[error("the video is {0:?}")]
    Video(VideoState),
    /// A job.
    #[error("the job is {0:?}")]
    Job(JobState),
    /// The size in bytes was declared otherwise.
    #[error("another size was declared")]
    Length,
    /// It isn't time for that yet.
    #[error("it is not due yet")]
    NotDue,
    /// The original isn't kept.
    #[error("the original isn't kept")]
    NotKept,
    /// A record of this id is there already.
    #[error("it exists")]
    Exists,
    /// Too many wait already.
    #[error("too many wait")]
    Full,
    /// The token is gone, or has begun as many uploads as it may.
    #[error("the token may begin no more uploads")]
    Spent,
    /// The grant can't begin it.
    #[error("{0}")]
    Grant(GrantFault),
    /// Its owner was erased.
    #[error("this owner was erased; the name is free again after the server's next start")]
    Erased,
}

/// Why the database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its files are damaged; [`super::State::set_aside`] and a rebuild help.
    #[error("the database is damaged: {0}")]
    Broken(String),
    /// A later program wrote it.
    #[error("the database has schema {0}, which this program doesn't know")]
    NewerSchema(u32),
    /// The file system refused: full, not ours, or in use by another process.
    #[error("can't open the database: {0}")]
    Io(#[source] io::Error),
}
