//! Scratch on disk: `work/<job>/<epoch>/`, written by a child that isn't trusted.
//!
//! Every name in there is taken for hostile: files leave it only through [`Scratch::take`], which
//! follows no link and takes nothing but ordinary files with one name.

use super::Disk;
use super::error::DiskError;
use super::files;
use super::media_file::is_plain;
use super::paths::Place;
use crate::ids::{Epoch, JobId};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

impl Disk {
    /// Makes an empty scratch directory for one attempt at a job and returns it open. What
    /// earlier attempts left is removed.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn make_work(&self, job: JobId, epoch: Epoch) -> Result<OwnedFd, DiskError> {
        self.remove_work(job)?;
        let path = self.path(Place::Scratch(job, epoch));
        files::make_dirs(&self.inner.root, &path, false)?;
        let dir = files::open("open", &path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        Ok(dir.into())
    }

    /// Makes the scratch directory of one more child of an attempt, within that, and returns it
    /// open. Its files are `span-<number>/…` there.
    ///
    /// # Errors
    /// `NoSpace`, `Io`.
    pub fn make_span_work(
        &self,
        job: JobId,
        epoch: Epoch,
        number: usize,
    ) -> Result<OwnedFd, DiskError> {
        let path = self.path(Place::Scratch(job, epoch)).join(format!("span-{number}"));
        files::make_dirs(&self.inner.root, &path, false)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        Ok(files::open("open", &path, flags, 0)?.into())
    }

    /// Removes all scratch of a job; nothing being there is fine.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_work(&self, job: JobId) -> Result<(), DiskError> {
        files::remove_tree(&self.path(Place::Work(job)))
    }

    /// Returns the jobs that have scratch, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn works(&self) -> Result<Vec<JobId>, DiskError> {
        let names = files::names(&self.path(Place::Works))?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| JobId::parse(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

/// One file in a child's scratch directory.
pub(super) struct Scratch {
    dir: OwnedFd,
    name: String,
    path: PathBuf,
}

impl Scratch {
    /// Finds `file`, a name with up to two directories before it, without following a link.
    pub(super) fn find(
        disk: &Disk,
        job: JobId,
        epoch: Epoch,
        file: &str,
    ) -> Result<Self, DiskError> {
        let root = disk.path(Place::Scratch(job, epoch));
        let path = root.join(file);
        let (dirs, name) = match file.rsplit_once('/') {
            Some((dirs, name)) => (dirs.split('/').collect(), name),
            None => (Vec::new(), file),
        };
        if !is_file_name(name) || dirs.len() > 2 || !dirs.iter().copied().all(is_plain) {
            return Err(DiskError::BadName(file.to_owned()));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut dir = OwnedFd::from(files::open("open", &root, flags, 0)?);
        for dir_name in dirs {
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = rustix::fs::openat(&dir, dir_name, flags, Mode::empty())
                .map_err(|e| DiskError::from_io("open", &path, e.into()))?;
        }
        Ok(Self { dir, name: name.to_owned(), path })
    }

    /// Moves the file into `to`, first under the name `beside` that nobody fetches, where the
    /// child can't exchange it any more; then, if it is an ordinary file, under `name`.
    pub(super) fn take(
        &self,
        to: &File,
        beside: &str,
        name: &str,
        sync: bool,
    ) -> Result<(), DiskError> {
        let error = |action, e: rustix::io::Errno| DiskError::from_io(action, &self.path, e.into());
        rustix::fs::renameat(&self.dir, &self.name, to, beside).map_err(|e| error("take", e))?;
        if !self.is_ordinary(to, beside)? {
            let _ = rustix::fs::unlinkat(to, beside, AtFlags::empty());
            return Err(DiskError::BadName(self.path.display().to_string()));
        }
        if sync {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(to, beside, flags, Mode::empty())
                .map_err(|e| error("open", e))?;
            files::sync_file(&File::from(file), &self.path)?;
        }
        rustix::fs::renameat(to, beside, to, name).map_err(|e| error("publish", e))
    }

    /// Reads the whole of an ordinary file; `None` if it has more than `most` bytes.
    pub(super) fn read(&self, most: u64) -> Result<Option<Vec<u8>>, DiskError> {
        files::read_at_most(self.open()?, &self.path, most)
    }

    /// Opens the file, if it is an ordinary one.
    pub(super) fn open(&self) -> Result<File, DiskError> {
        if !self.is_ordinary(&self.dir, &self.name)? {
            return Err(DiskError::BadName(self.path.display().to_string()));
        }
        // The child may have exchanged it since: a link isn't followed, nor a pipe waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())
            .map_err(|e| DiskError::from_io("open", &self.path, e.into()))?;
        Ok(File::from(file))
    }

    /// Removes the file.
    pub(super) fn remove(&self) -> Result<(), DiskError> {
        rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::empty())
            .map_err(|e| DiskError::from_io("remove", &self.path, e.into()))
    }

    fn is_ordinary(&self, dir: impl AsFd, name: &str) -> Result<bool, DiskError> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| DiskError::from_io("look at", &self.path, e.into()))?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1)
    }
}

/// Says whether `name` is plain apart from dots inside.
fn is_file_name(name: &str) -> bool {
    !name.starts_with('.') && name.split('.').all(is_plain)
}
