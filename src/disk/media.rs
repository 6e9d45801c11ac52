//! Media on disk: `media/ab/<video>/`, what players fetch.
//!
//! Segments are written once. Playlists and `manifest.json` are replaced by rename.

use super::Disk;
use super::error::DiskError;
use super::fail_at::{FailAt, fail_at};
use super::files;
use super::media_file::{MediaFile, RungName};
use super::originals;
use super::paths::Place;
use super::work::Scratch;
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::manifest::{MANIFEST_VERSION, Manifest};
use crate::units::ByteCount;
use rustix::fs::OFlags;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The one file beside the media that players don't fetch.
const MANIFEST_FILE: &str = "manifest.json";

/// More than any set-up file has.
const SMALL_FILE_BYTES_MAX: u64 = 64 << 10;

impl Disk {
    /// Moves a finished file of a child (`360p/1.m4s`) to where players fetch it (`360p-2/1.m4s`),
    /// making directories as needed. With `sync` unset the file may be lost in a power cut; a
    /// growing rung is confirmed at its end by [`Disk::sync_rung`].
    ///
    /// # Errors
    /// `Missing` if the child's file isn't there; `BadName` if it isn't an ordinary file or
    /// either name isn't of a known shape; `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// With `sync`: certain when it returns.
    pub fn publish(
        &self,
        job: JobId,
        epoch: Epoch,
        file: &str,
        video: VideoId,
        to: &str,
        sync: bool,
    ) -> Result<(), DiskError> {
        let scratch = Scratch::find(self, job, epoch, file)?;
        let parsed = MediaFile::parse(to).ok_or_else(|| DiskError::BadName(to.to_owned()))?;
        let target = self.media_file(video, &parsed);
        let dir_path = files::parent_of(&target)?;
        files::make_dirs(&self.inner.root, dir_path, true)?;
        let dir = files::open("open", dir_path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        let name = to.rsplit('/').next().unwrap_or(to);
        scratch.take(&dir, &format!(".{name}.incoming"), name, sync)?;
        if sync {
            files::sync_file(&dir, dir_path)?;
        }
        fail_at(FailAt::AfterPublishBeforeManifest);
        Ok(())
    }

    /// As [`Disk::publish`], but what comes to lie there is what `seal` makes of the file, and the
    /// file itself is removed. Returns how many bytes that is.
    ///
    /// # Errors
    /// As [`Disk::publish`], and `Io` for what `seal` fails with.
    /// # Durability
    /// A growing rung is confirmed by [`Disk::sync_rung`].
    pub fn publish_sealed(
        &self,
        job: JobId,
        epoch: Epoch,
        file: &str,
        video: VideoId,
        to: &str,
        seal: &dyn Fn(&mut dyn Read, &mut dyn Write) -> io::Result<()>,
    ) -> Result<ByteCount, DiskError> {
        let scratch = Scratch::find(self, job, epoch, file)?;
        let parsed = MediaFile::parse(to).ok_or_else(|| DiskError::BadName(to.to_owned()))?;
        let target = self.media_file(video, &parsed);
        let dir = files::parent_of(&target)?;
        files::make_dirs(&self.inner.root, dir, true)?;
        let name = to.rsplit('/').next().unwrap_or(to);
        let beside = dir.join(format!(".{name}.incoming"));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mut sealed = io::BufWriter::new(files::open("create", &beside, flags, 0o600)?);
        let mut clear = io::BufReader::new(scratch.open()?);
        let written = seal(&mut clear, &mut sealed).and_then(|()| sealed.flush());
        written.map_err(|error| DiskError::from_io("write", &beside, error))?;
        let about = sealed.get_ref().metadata();
        let size = about.map_err(|error| DiskError::from_io("examine", &beside, error))?.len();
        fs::rename(&beside, &target).map_err(|e| DiskError::from_io("publish", &target, e))?;
        scratch.remove()?;
        fail_at(FailAt::AfterPublishBeforeManifest);
        Ok(ByteCount(size))
    }

    /// Has the disk confirm these files of a rung, its directory and those above it.
    ///
    /// # Errors
    /// `Missing`, `BadName`, `SyncFailed`, `Io`.
    /// # Durability
    /// These files are certain when this returns.
    pub fn sync_rung(&self, video: VideoId, dir: &str, files: &[String]) -> Result<(), DiskError> {
        let path = self.rung_path(video, dir)?;
        for name in files {
            let file = path.join(Self::rung_file(dir, name)?);
            files::sync_file(&files::open("open", &file, OFlags::RDONLY, 0)?, &file)?;
        }
        let mut dir = path.as_path();
        // Up to and with `media` itself: each may have been made without being confirmed.
        for _ in 0..4 {
            files::sync_dir(dir)?;
            dir = files::parent_of(dir)?;
        }
        Ok(())
    }

    /// Returns how many of a rung's files, in this order, have the size that they should have; of
    /// `None` anything but nothing. What a power cut took shows by its size: where a file was
    /// written and never confirmed, the disk has less of it, or none.
    ///
    /// # Errors
    /// `BadName`, `Io`.
    pub fn intact_files(
        &self,
        video: VideoId,
        dir: &str,
        files: &[(String, Option<ByteCount>)],
    ) -> Result<usize, DiskError> {
        let path = self.rung_path(video, dir)?;
        for (at, (name, size)) in files.iter().enumerate() {
            let file = path.join(Self::rung_file(dir, name)?);
            let found = match originals::open_sized(&file) {
                Ok((_, found)) => found,
                Err(DiskError::Missing) => return Ok(at),
                Err(failed) => return Err(failed),
            };
            if size.map_or(found.0 == 0, |size| size != found) {
                return Ok(at);
            }
        }
        Ok(files.len())
    }

    /// Says whether a finished file of a child has the bytes of one that players fetch. Only for
    /// files of a few kilobytes.
    ///
    /// # Errors
    /// `Missing` if either isn't there; `BadName`, `Io`.
    pub fn is_same(
        &self,
        job: JobId,
        epoch: Epoch,
        file: &str,
        video: VideoId,
        published: &str,
    ) -> Result<bool, DiskError> {
        let parsed = MediaFile::parse(published);
        let parsed = parsed.ok_or_else(|| DiskError::BadName(published.to_owned()))?;
        let path = self.media_file(video, &parsed);
        let old = files::open("open", &path, OFlags::RDONLY, 0)?;
        let old = files::read_at_most(old, &path, SMALL_FILE_BYTES_MAX)?;
        let new = Scratch::find(self, job, epoch, file)?.read(SMALL_FILE_BYTES_MAX)?;
        Ok(old.is_some() && old == new)
    }

    /// Gives files of a rung a second name in the directory of another generation. Files that
    /// have theirs already are passed over.
    ///
    /// # Errors
    /// `Missing`, `BadName`, `NoSpace`, `Io`.
    pub fn link_rung(
        &self,
        video: VideoId,
        from: &str,
        to: &str,
        files: &[String],
    ) -> Result<(), DiskError> {
        let (from_path, to_path) = (self.rung_path(video, from)?, self.rung_path(video, to)?);
        files::make_dirs(&self.inner.root, &to_path, true)?;
        for name in files {
            let name = Self::rung_file(from, name)?;
            let target = to_path.join(name);
            match std::fs::hard_link(from_path.join(name), &target) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                linked => linked.map_err(|error| DiskError::from_io("link", &target, error))?,
            }
        }
        Ok(())
    }

    /// Returns the name of a rung's file if it is of a known shape.
    fn rung_file<'n>(dir: &str, name: &'n str) -> Result<&'n str, DiskError> {
        let known = MediaFile::parse(&format!("{dir}/{name}")).is_some();
        if known { Ok(name) } else { Err(DiskError::BadName(name.to_owned())) }
    }

    /// Puts `bytes` at a playlist's, the manifest's or the poster's name, by rename.
    ///
    /// # Errors
    /// `BadName`, `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Readers see the old file or the new one. With `sync` the new one is certain when this
    /// returns.
    pub fn replace_media(
        &self,
        video: VideoId,
        file: &str,
        bytes: &[u8],
        sync: bool,
    ) -> Result<(), DiskError> {
        let path = match MediaFile::parse(file) {
            Some(parsed) => self.media_file(video, &parsed),
            None if file == MANIFEST_FILE => self.path(Place::Manifest(video)),
            None => return Err(DiskError::BadName(file.to_owned())),
        };
        files::make_dirs(&self.inner.root, files::parent_of(&path)?, true)?;
        files::replace(&path, bytes, 0o600, sync)
    }

    /// Reads what of a video is published; `None` if nothing is, or if a power cut has left the
    /// name without the bytes, as some file systems do with a file that wasn't confirmed.
    ///
    /// # Errors
    /// `Unreadable` if it is damaged or of a later version; `Io`.
    pub fn manifest(&self, video: VideoId) -> Result<Option<Manifest>, DiskError> {
        let path = self.path(Place::Manifest(video));
        match files::read_json(&path, MANIFEST_VERSION) {
            Err(DiskError::Unreadable { .. }) if files::is_blank(&path)? => Ok(None),
            read => read,
        }
    }

    /// Returns where a file that players may fetch lies; it need not exist.
    pub fn media_file(&self, video: VideoId, file: &MediaFile) -> PathBuf {
        self.path(Place::Media(video)).join(file.to_string())
    }

    /// Returns the videos that have a media directory, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn medias(&self) -> Result<Vec<VideoId>, DiskError> {
        originals::videos(&self.path(Place::Medias))
    }

    /// Returns the names of the rungs' directories of a video, sorted; empty without media.
    ///
    /// # Errors
    /// `Io`.
    pub fn rungs(&self, video: VideoId) -> Result<Vec<String>, DiskError> {
        let mut names = files::names(&self.path(Place::Media(video)))?;
        names.retain(|name| RungName::parse(name).is_some());
        Ok(names)
    }

    /// Removes one rung's directory; nothing being there is fine.
    ///
    /// # Errors
    /// `BadName`, `Io`.
    pub fn remove_rung(&self, video: VideoId, dir: &str) -> Result<(), DiskError> {
        files::remove_tree(&self.rung_path(video, dir)?)
    }

    /// Removes the chosen posters of a video, except those of the version that counts.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_chosen_but(&self, video: VideoId, kept: Option<u32>) -> Result<(), DiskError> {
        let media = self.path(Place::Media(video));
        for name in files::names(&media)? {
            match MediaFile::parse(&name) {
                Some(MediaFile::Chosen { version } | MediaFile::ChosenWebp { version })
                    if Some(version) != kept =>
                {
                    files::remove_file(&media.join(name))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes everything that players fetch of a video; nothing being there is fine.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_media(&self, video: VideoId) -> Result<(), DiskError> {
        files::remove_tree(&self.path(Place::Media(video)))
    }

    fn rung_path(&self, video: VideoId, dir: &str) -> Result<PathBuf, DiskError> {
        let name = RungName::parse(dir).ok_or_else(|| DiskError::BadName(dir.to_owned()))?;
        Ok(self.path(Place::Media(video)).join(name.as_str()))
    }
}
