//! What can go wrong with files, in words that name the action and the path.

use crate::cipher::KeyId;
use std::io;
use std::path::{Path, PathBuf};

/// A file operation that didn't work.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The file system, or the quota on it, is full.
    #[error("no space left on the disk")]
    NoSpace,
    /// No such file.
    #[error("no such file")]
    Missing,
    /// The disk couldn't confirm bytes. A second try could succeed without them being there, so
    /// the process has to end.
    #[error("the disk didn't confirm {}: {source}", path.display())]
    SyncFailed {
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A name that no part of the layout has; the names of a child's files are checked.
    #[error("not a name of this layout: {0:?}")]
    BadName(String),
    /// The file has another size than the one recorded.
    #[error("{} has {found} bytes, recorded are {recorded}", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// What it should be.
        recorded: u64,
    },
    /// A file of ours can't be understood: damaged, or written by a later program.
    #[error("{} can't be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An encrypted file's key can't be had.
    #[error("what {} belongs to can't be decrypted: {reason}", path.display())]
    Locked {
        /// Where its key is, or should be.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Bytes of an encrypted file aren't as they were written.
    #[error("{} has been changed in its block {block}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which block of it.
        block: u64,
    },
    /// Anything else.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl DiskError {
    /// Sorts an answer of the system by what callers do about it.
    pub(crate) fn from_io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if is_no_space(&source) {
            return Self::NoSpace;
        }
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }
}

fn is_no_space(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT))
}

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves from it.
    #[error("the data directory is in use by {}", holder(*pid))]
    Locked {
        /// That process, if it could be read.
        pid: Option<u32>,
    },
    /// It was laid out by a program that this one doesn't know.
    #[error("the data directory has layout version {0:?}, which this program doesn't know")]
    UnknownVersion(String),
    /// Files in it are encrypted, and keys for them aren't known.
    #[error("originals are encrypted with {}; put it back into originals.key_file. If it is lost \
             for good, so are they; a server without them starts once {} is removed",
            named(missing), path.display())]
    NoKeys {
        /// The keys.
        missing: Vec<KeyId>,
        /// Where it is written that they are needed.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn named(keys: &[KeyId]) -> String {
    let ids: Vec<String> = keys.iter().map(KeyId::to_string).collect();
    match ids.as_slice() {
        [id] => format!("the key {id}, which isn't known"),
        _ => format!("the keys {}, which aren't known", ids.join(", ")),
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
