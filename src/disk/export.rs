//! The records beside the database, and the word that they have to be made anew.

use super::error::DiskError;
use super::paths::Place;
use super::{Disk, files};
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::path::PathBuf;

impl Disk {
    /// Returns where the records are exported to.
    pub fn export_path(&self) -> PathBuf {
        self.path(Place::Export)
    }

    /// Replaces the export by what `fill` writes.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`; the old one stays.
    /// # Durability
    /// Certain when it returns.
    pub fn write_export(
        &self,
        fill: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<(), DiskError> {
        files::replace_with(&self.path(Place::Export), 0o600, fill)
    }

    /// Opens the export, if there is one.
    ///
    /// # Errors
    /// `Io`.
    pub fn open_export(&self) -> Result<Option<File>, DiskError> {
        match files::open("open", &self.path(Place::Export), OFlags::RDONLY, 0) {
            Ok(file) => Ok(Some(file)),
            Err(DiskError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns where a database is made that isn't whole yet, after removing what an earlier one
    /// left there.
    ///
    /// # Errors
    /// `Io`.
    pub fn incoming_state_dir(&self) -> Result<PathBuf, DiskError> {
        let path = self.path(Place::IncomingState);
        files::remove_tree(&path)?;
        Ok(path)
    }

    /// Leaves the word that the records have to be made anew from the files.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns.
    pub fn begin_rebuild(&self) -> Result<(), DiskError> {
        files::replace(&self.path(Place::Rebuilding), b"", 0o600, true)
    }

    /// Says whether that word is there.
    pub fn is_rebuilding(&self) -> bool {
        self.path(Place::Rebuilding).exists()
    }

    /// Takes it back, once they are.
    ///
    /// # Errors
    /// `Io`, `SyncFailed`.
    pub fn end_rebuild(&self) -> Result<(), DiskError> {
        files::remove_file(&self.path(Place::Rebuilding))?;
        files::sync_dir(&self.inner.root)
    }
}
