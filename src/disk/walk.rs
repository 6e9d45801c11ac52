//! Looking around among many files, a few at a time: what lies where, and what it weighs.
//!
//! A directory that goes while it is looked at counts as far as it was seen.

use super::Disk;
use super::error::DiskError;
use super::files;
use super::paths::Place;
use crate::ids::{JobId, UploadId, VideoId};
use std::fs;
use std::io;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

/// A part of the data directory that holds many things, spread over directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// `tmp/uploads/`.
    Uploads,
    /// `originals/`.
    Originals,
    /// `media/`.
    Media,
}

impl Area {
    fn place(self) -> Place {
        match self {
            Self::Uploads => Place::Uploads,
            Self::Originals => Place::Originals,
            Self::Media => Place::Medias,
        }
    }
}

/// How many files there are, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Files.
    pub files: u64,
    /// Their bytes, as long as they are.
    pub bytes: u64,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What the published files of a video weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaWeight {
    /// Qualities, their playlists, and the film to download.
    pub renditions: Weight,
    /// Posters, stills, sheets and previews.
    pub pictures: Weight,
    /// Text tracks.
    pub texts: Weight,
}

impl MediaWeight {
    /// Returns the sum.
    pub fn all(self) -> Weight {
        let mut all = self.renditions;
        all += self.pictures;
        all += self.texts;
        all
    }
}

impl Disk {
    /// Returns the directories over which an area is spread, to be looked at one by one.
    ///
    /// # Errors
    /// `Io`.
    pub fn shards(&self, area: Area) -> Result<Vec<String>, DiskError> {
        let mut names = files::names(&self.path(area.place()))?;
        names.retain(|name| name.len() == 2);
        Ok(names)
    }

    /// Returns the uploads in one shard, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn uploads_in(&self, shard: &str) -> Result<Vec<UploadId>, DiskError> {
        let names = self.names_in(Area::Uploads, shard)?;
        Ok(names.iter().filter_map(|name| UploadId::parse(name).ok()).collect())
    }

    /// Returns the videos in one shard of the originals or the media, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn videos_in(&self, area: Area, shard: &str) -> Result<Vec<VideoId>, DiskError> {
        let names = self.names_in(area, shard)?;
        Ok(names.iter().filter_map(|name| VideoId::parse(name).ok()).collect())
    }

    fn names_in(&self, area: Area, shard: &str) -> Result<Vec<String>, DiskError> {
        files::names(&self.path(area.place()).join(shard))
    }

    /// Returns what lies of an upload.
    ///
    /// # Errors
    /// `Io`.
    pub fn weigh_upload(&self, id: UploadId) -> Result<Weight, DiskError> {
        weigh(&self.path(Place::Upload(id)))
    }

    /// Returns what an original weighs, with what lies beside it.
    ///
    /// # Errors
    /// `Io`.
    pub fn weigh_original(&self, video: VideoId) -> Result<Weight, DiskError> {
        weigh(&self.path(Place::Original(video)))
    }

    /// Returns what lies in the trash of a video.
    ///
    /// # Errors
    /// `Io`.
    pub fn weigh_trash(&self, video: VideoId) -> Result<Weight, DiskError> {
        weigh(&self.path(Place::Trash(video)))
    }

    /// Returns what a job works with: its scratch, and what it was handed.
    ///
    /// # Errors
    /// `Io`.
    pub fn weigh_work(&self, job: JobId) -> Result<Weight, DiskError> {
        let mut all = weigh(&self.path(Place::Work(job)))?;
        all += weigh(&self.path(Place::Handed(job)))?;
        Ok(all)
    }

    /// Returns what the published files of a video weigh.
    ///
    /// # Errors
    /// `Io`.
    pub fn weigh_media(&self, video: VideoId) -> Result<MediaWeight, DiskError> {
        let path = self.path(Place::Media(video));
        let mut all = MediaWeight::default();
        for name in files::names(&path)? {
            let weight = weigh(&path.join(&name))?;
            let is_picture = [".jpg", ".webp"].iter().any(|end| name.ends_with(end));
            let is_text = name.starts_with("text-") || name == "captions" || name.ends_with(".vtt");
            match (is_picture, is_text) {
                (true, _) => all.pictures += weight,
                (false, true) => all.texts += weight,
                (false, false) => all.renditions += weight,
            }
        }
        Ok(all)
    }

    /// Says whether the original of a video is there.
    ///
    /// # Errors
    /// `Io`.
    pub fn has_original(&self, video: VideoId) -> Result<bool, DiskError> {
        is_there(&self.source_path(video))
    }

    /// Says whether the manifest of a video is there, and the directories of these rungs.
    ///
    /// # Errors
    /// `Io`.
    pub fn has_media(&self, video: VideoId, rungs: &[String]) -> Result<bool, DiskError> {
        let media = self.path(Place::Media(video));
        if !is_there(&self.path(Place::Manifest(video)))? {
            return Ok(false);
        }
        for rung in rungs {
            if !is_there(&media.join(rung))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn is_there(path: &Path) -> Result<bool, DiskError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(DiskError::from_io("look at", path, e)),
    }
}

/// Adds up a file, or all files below a directory, following no link.
fn weigh(path: &Path) -> Result<Weight, DiskError> {
    let mut all = Weight::default();
    let mut open: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                open.extend(files::names(&path)?.into_iter().map(|name| path.join(name)));
            }
            Ok(metadata) => all += Weight { files: 1, bytes: metadata.len() },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(DiskError::from_io("look at", &path, e)),
        }
    }
    Ok(all)
}
