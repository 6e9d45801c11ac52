//! One large file of a video, put together of pieces of its segments.

use super::Disk;
use super::blob::Blob;
use super::error::DiskError;
use super::files;
use super::media_file::MediaFile;
use crate::ids::VideoId;
use crate::units::{ByteCount, ByteOffset};
use rustix::fs::OFlags;
use std::path::PathBuf;

/// A file that grows beside its name. Dropped before [`Assembly::finish`], it is removed.
pub struct Assembly {
    disk: Disk,
    video: VideoId,
    to: Blob,
    beside: PathBuf,
    path: PathBuf,
    end: u64,
    finished: bool,
}

impl Disk {
    /// Begins to put `file` of a video together. What an earlier attempt left of it is gone.
    ///
    /// # Errors
    /// `BadName`, `NoSpace`, `Io`.
    pub fn assemble(&self, video: VideoId, file: &MediaFile) -> Result<Assembly, DiskError> {
        let path = self.media_file(video, file);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.incoming"));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        drop(files::open("create", &beside, flags, 0o600)?);
        let to = Blob::open(&beside, None)?;
        Ok(Assembly { disk: self.clone(), video, to, beside, path, end: 0, finished: false })
    }

    /// Reads the first `most` bytes of a file that players may fetch, or all that it has.
    ///
    /// # Errors
    /// `Missing`, `Io`.
    pub fn read_beginning(
        &self,
        video: VideoId,
        file: &MediaFile,
        most: ByteCount,
    ) -> Result<Vec<u8>, DiskError> {
        let path = self.media_file(video, file);
        files::read_up_to(files::open("open", &path, OFlags::RDONLY, 0)?, &path, most.0)
    }
}

impl Assembly {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.to.write_at(ByteOffset(self.end), &[bytes])?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Adds a piece of another file of the video at the end, inside the kernel.
    ///
    /// # Errors
    /// `Missing`; `WrongSize` if it ends before; `NoSpace`, `Io`.
    pub fn append_from(
        &mut self,
        file: &MediaFile,
        from: ByteOffset,
        length: ByteCount,
    ) -> Result<(), DiskError> {
        let piece = Blob::open(&self.disk.media_file(self.video, file), None)?;
        let at = ByteOffset(self.end);
        self.to.copy_from(at, &piece, from, length)?;
        // The sync at the end then has little left to do.
        self.to.start_writeback(at, length);
        self.end += length.0;
        Ok(())
    }

    /// Puts the file in its place and returns its size.
    ///
    /// # Errors
    /// `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when this returns.
    pub fn finish(mut self) -> Result<ByteCount, DiskError> {
        self.to.sync_data()?;
        std::fs::rename(&self.beside, &self.path)
            .map_err(|error| DiskError::from_io("rename", &self.path, error))?;
        self.finished = true;
        files::sync_dir(files::parent_of(&self.path)?)?;
        Ok(ByteCount(self.end))
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        if !self.finished {
            // The next attempt would empty it.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}
