//! Handed over: `tmp/handed/<job>`, a file that a small job is to work on, such as a picture.
//!
//! It is written and confirmed before the job is recorded, and removed when the job has ended.

use super::Disk;
use super::error::DiskError;
use super::files;
use super::paths::Place;
use crate::ids::JobId;
use crate::units::ByteCount;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// A file that is being handed over. Dropped before its end it is removed.
#[derive(Debug)]
pub struct Handed {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Disk {
    /// Begins the file that `job` is to work on.
    ///
    /// # Errors
    /// `NoSpace`, `Io`; also if there is one already.
    pub fn hand_over(&self, job: JobId) -> Result<Handed, DiskError> {
        let path = self.path(Place::Handed(job));
        files::make_dirs(&self.inner.root, files::parent_of(&path)?, true)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = files::open("create", &path, flags, 0o600)?;
        Ok(Handed { file, path, kept: false })
    }

    /// Opens the file that `job` was handed, and returns it with its size.
    ///
    /// # Errors
    /// `Missing`, `Io`.
    pub fn open_handed(&self, job: JobId) -> Result<(File, ByteCount), DiskError> {
        super::originals::open_sized(&self.path(Place::Handed(job)))
    }

    /// Removes the file that `job` was handed; nothing being there is fine.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_handed(&self, job: JobId) -> Result<(), DiskError> {
        let path = self.path(Place::Handed(job));
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(DiskError::from_io("remove", &path, e))
            }
            _ => Ok(()),
        }
    }

    /// Returns the jobs that were handed a file, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn handed(&self) -> Result<Vec<JobId>, DiskError> {
        let names = files::names(&self.path(Place::Handeds))?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| JobId::parse(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Handed {
    /// Adds bytes at the end.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all(bytes).map_err(|e| DiskError::from_io("write", &self.path, e))
    }

    /// Ends the file, which stays until it is removed.
    ///
    /// # Errors
    /// `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns.
    pub fn keep(mut self) -> Result<(), DiskError> {
        files::sync_file(&self.file, &self.path)?;
        files::sync_dir(files::parent_of(&self.path)?)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if !self.kept {
            // What can't be removed now is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
