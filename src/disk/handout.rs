//! What is read of somebody's for the archive that they are given: the same files wherever they
//! lie, in their place or in the trash.

use super::error::DiskError;
use super::paths::Place;
use super::plain_file::PlainFile;
use super::{Disk, Facts, files, originals};
use crate::ids::VideoId;
use crate::model::extra::chosen_files;
use std::path::Path;

impl Disk {
    /// Opens the original of a video or of one in the trash for reading, in plain however it lies
    /// on the disk.
    ///
    /// # Errors
    /// `Missing` if it is in neither place; `Locked` if it is encrypted and its key can't be had;
    /// `Io`.
    pub fn open_original_or_trashed(&self, video: VideoId) -> Result<PlainFile, DiskError> {
        match self.open_original(video) {
            Err(DiskError::Missing) => {}
            opened => return opened,
        }
        let trashed = self.path(Place::TrashedOriginal(video));
        let path = trashed.join("source");
        match originals::open_sized(&path) {
            Err(DiskError::Missing) => {
                let beside = self.path(Place::TrashedKey(video));
                self.open_encrypted_at(video, trashed.join("source.enc"), &beside)
            }
            opened => opened.map(|(file, size)| PlainFile::plain(file, path, size)),
        }
    }

    /// Reads what people said of a video, or of one in the trash; `None` without a file, or with
    /// one that can't be understood.
    ///
    /// # Errors
    /// `Io`.
    pub fn facts_or_trashed(&self, video: VideoId) -> Result<Option<Facts>, DiskError> {
        match self.facts(video) {
            Ok(None) | Err(DiskError::Unreadable { .. }) => Ok(self.trashed(video)?.facts),
            read => read,
        }
    }

    /// Reads a text track whole, of a video or of one in the trash; `None` without its file.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_text(&self, video: VideoId, number: u32) -> Result<Option<Vec<u8>>, DiskError> {
        let path = self.stored_text(video, number);
        let media = self.path(Place::Media(video));
        self.read_media(video, path.strip_prefix(&media).unwrap_or(&path))
    }

    /// Reads the picture that somebody chose for a video, or for one in the trash; `None` without
    /// its file.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_chosen(&self, video: VideoId, version: u32) -> Result<Option<Vec<u8>>, DiskError> {
        let [picture, _] = chosen_files(version);
        self.read_media(video, Path::new(&picture))
    }

    fn read_media(&self, video: VideoId, name: &Path) -> Result<Option<Vec<u8>>, DiskError> {
        match files::read(&self.path(Place::Media(video)).join(name))? {
            None => files::read(&self.path(Place::TrashedMedia(video)).join(name)),
            read => Ok(read),
        }
    }
}
