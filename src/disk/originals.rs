//! Originals on disk: `originals/ab/<video>/{source,facts.json}`, the finished bytes.

use super::Disk;
use super::error::DiskError;
use super::fail_at::{FailAt, fail_at};
use super::files;
use super::paths::Place;
use super::plain_file::PlainFile;
use super::sidecar::{FACTS_VERSION, Facts};
use crate::ids::VideoId;
use crate::units::ByteCount;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::path::{Path, PathBuf};

impl Disk {
    /// Opens a finished original for reading, in plain however it lies on the disk.
    ///
    /// # Errors
    /// `Missing`; `Locked` if it is encrypted and its key can't be had, `Damaged` if it isn't as
    /// long as its tags prove; `Io`.
    pub fn open_original(&self, video: VideoId) -> Result<PlainFile, DiskError> {
        let path = self.path(Place::Source(video));
        match open_sized(&path) {
            Err(DiskError::Missing) => self.open_encrypted(video),
            opened => opened.map(|(file, size)| PlainFile::plain(file, path, size)),
        }
    }

    /// Returns the size of a finished original, whose key isn't needed for that.
    ///
    /// # Errors
    /// `Missing`, `Io`.
    pub fn original_size(&self, video: VideoId) -> Result<ByteCount, DiskError> {
        open_sized(&self.source_path(video)).map(|(_, size)| size)
    }

    /// Returns where a finished original lies, plain or encrypted.
    pub(super) fn source_path(&self, video: VideoId) -> PathBuf {
        let encrypted = self.path(Place::EncryptedSource(video));
        if encrypted.exists() { encrypted } else { self.path(Place::Source(video)) }
    }

    /// Makes an original of bytes that are all here, with `facts` beside it; on an error nothing
    /// of it stays.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`; also if the original is there already.
    /// # Durability
    /// All of it is certain when this returns. A crash before that leaves facts without an
    /// original, which are removed by the next start, or both.
    pub fn create_original(
        &self,
        video: VideoId,
        bytes: &[u8],
        facts: &Facts,
    ) -> Result<(), DiskError> {
        let dir = self.path(Place::Original(video));
        let shard = files::parent_of(&dir)?;
        files::make_dirs(&self.inner.root, shard, true)?;
        if !files::make_dir(&dir)? {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(DiskError::Io { action: "make directory", path: dir, source });
        }
        let path = self.path(Place::Facts(video));
        let made = files::to_json(&path, facts)
            .and_then(|facts| files::create_new(&path, &facts))
            .and_then(|()| {
                fail_at(FailAt::AfterSyncBeforeRename);
                let encrypted = self.encrypt_whole(video, bytes)?;
                let (place, bytes) = match &encrypted {
                    Some(encrypted) => (Place::EncryptedSource(video), encrypted.as_slice()),
                    None => (Place::Source(video), bytes),
                };
                files::replace(&self.path(place), bytes, 0o400, true)
            })
            .and_then(|()| files::sync_dir(shard));
        if made.is_err() {
            // What can't be removed now is removed or taken in at the next start.
            let _ = self.remove_original(video);
        }
        fail_at(FailAt::AfterRenameBeforeRecord);
        made
    }

    /// Replaces what is kept beside an original, whose directory must exist.
    ///
    /// # Errors
    /// `Missing` without the directory; `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns; a crash leaves the old or the new, never half of one.
    pub fn write_facts(&self, video: VideoId, facts: &Facts) -> Result<(), DiskError> {
        let path = self.path(Place::Facts(video));
        files::replace(&path, &files::to_json(&path, facts)?, 0o600, true)
    }

    /// Reads what is kept beside an original; `None` without a file.
    ///
    /// # Errors
    /// `Unreadable` if it is damaged or of a later version; `Io`.
    pub fn facts(&self, video: VideoId) -> Result<Option<Facts>, DiskError> {
        files::read_json(&self.path(Place::Facts(video)), FACTS_VERSION)
    }

    /// Returns the videos that have an original's directory, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn originals(&self) -> Result<Vec<VideoId>, DiskError> {
        videos(&self.path(Place::Originals))
    }

    /// Removes an original and its facts; nothing being there is fine.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// A power cut may bring it back: the record has to go first.
    pub fn remove_original(&self, video: VideoId) -> Result<(), DiskError> {
        files::remove_tree(&self.path(Place::Original(video)))
    }

    /// Removes the bytes of an original and what belongs to their encryption, and leaves what
    /// people said of it; says whether something was there.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// A power cut may bring them back: the record has to say before that they aren't kept.
    pub fn remove_source(&self, video: VideoId) -> Result<bool, DiskError> {
        // Whoever makes tags or wraps keys just now puts no other key there behind us.
        let _turn = self.replacing();
        let mut was_there = false;
        for path in self.source_files(video) {
            was_there |= path.exists();
            files::remove_file(&path)?;
        }
        Ok(was_there)
    }

    /// Says whether anything is there of what [`Disk::remove_source`] removes.
    pub fn has_source_files(&self, video: VideoId) -> bool {
        self.source_files(video).iter().any(|path| path.exists())
    }

    /// The bytes go before their key: without it they couldn't be told from damaged ones.
    fn source_files(&self, video: VideoId) -> [PathBuf; 3] {
        [Place::Source(video), Place::EncryptedSource(video), Place::SourceKey(video)]
            .map(|place| self.path(place))
    }

    /// Has the disk confirm everything that is published.
    ///
    /// # Errors
    /// `SyncFailed`, `Io`.
    pub fn confirm_media(&self) -> Result<(), DiskError> {
        files::sync_filesystem(&self.inner.root)
    }

    pub(super) fn make_original_dir(&self, video: VideoId) -> Result<(), DiskError> {
        files::make_dirs(&self.inner.root, &self.path(Place::Original(video)), true)
    }
}

/// Makes an original read-only, by its name in its final place: a blob that still waits for its
/// rename has to be opened for writing again after a crash.
pub(super) fn protect(path: &Path) -> Result<(), DiskError> {
    let file = files::open("open", path, OFlags::RDONLY, 0)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o400))
        .map_err(|e| DiskError::from_io("protect", path, e.into()))
}

/// Checks an original that an earlier run has put in place, and has the disk confirm it.
pub(super) fn check(path: &Path, size: ByteCount) -> Result<(), DiskError> {
    let (file, found) = open_sized(path)?;
    if found != size {
        let path = path.to_owned();
        return Err(DiskError::WrongSize { path, found: found.0, recorded: size.0 });
    }
    files::sync_file(&file, path)
}

pub(super) fn open_sized(path: &Path) -> Result<(File, ByteCount), DiskError> {
    let file = files::open("open", path, OFlags::RDONLY, 0)?;
    let metadata = file.metadata().map_err(|e| DiskError::from_io("look at", path, e))?;
    Ok((file, ByteCount(metadata.len())))
}

/// Returns the videos that have a directory two levels below `path`, in the order of their ids.
pub(super) fn videos(path: &Path) -> Result<Vec<VideoId>, DiskError> {
    let names = files::sharded_names(path)?;
    let mut ids: Vec<_> = names.iter().filter_map(|name| VideoId::parse(name).ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}
