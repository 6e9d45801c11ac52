//! The trash on disk: `tmp/trash/<video>/{original,media,trash.json}`, what was deleted and can be
//! restored for a while.
//!
//! Both ways are renames of whole directories, and each can be repeated after a crash at any
//! moment. The record in `state` says where a video belongs; these functions bring its bytes there.

use super::Disk;
use super::error::DiskError;
use super::fail_at::{FailAt, fail_at};
use super::files;
use super::originals;
use super::paths::Place;
use super::sidecar::{FACTS_VERSION, Facts, TRASH_NOTE_VERSION, TrashNote};
use crate::ids::VideoId;
use crate::model::manifest::{MANIFEST_VERSION, Manifest};
use crate::units::ByteCount;
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use std::path::Path;

/// As often a directory is moved to where somebody who is late may have put another one.
const MOVES_MAX: u32 = 100;

/// What lies in the trash of one video.
#[derive(Clone, Debug, PartialEq)]
pub struct Trashed {
    /// Size of the original; none if it isn't there.
    pub size: Option<ByteCount>,
    /// When it was deleted, and until when it is kept.
    pub note: Option<TrashNote>,
    /// What people said of it.
    pub facts: Option<Facts>,
    /// What was published of it.
    pub manifest: Option<Manifest>,
}

impl Disk {
    /// Moves the original and the media of a video into the trash, with `note` beside them. What
    /// is there already stays; what somebody who was late put in its old place is removed.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns. After a crash it has to be called again.
    pub fn trash(&self, video: VideoId, note: &TrashNote) -> Result<(), DiskError> {
        let path = self.path(Place::TrashNote(video));
        files::make_dirs(&self.inner.root, &self.path(Place::Trash(video)), true)?;
        if files::read(&path)?.is_none() {
            files::replace(&path, &files::to_json(&path, note)?, 0o600, true)?;
        }
        let _turn = self.publishing(video);
        let original =
            (self.path(Place::Original(video)), self.path(Place::TrashedOriginal(video)));
        self.throw(&original.0, &original.1)?;
        fail_at(FailAt::InMidTrash);
        let media = (self.path(Place::Media(video)), self.path(Place::TrashedMedia(video)));
        self.throw(&media.0, &media.1)
    }

    /// Moves a directory into the trash. If it was moved before, what lies in its old place came
    /// too late and goes.
    fn throw(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        match move_directory(from, to)? {
            Moved::Done => self.confirm_move(from, to),
            Moved::Nothing => Ok(()),
            Moved::Occupied => files::remove_tree(from),
        }
    }

    /// Moves the original and the media of a video back to where they belong; what isn't in the
    /// trash stays as it is. The emptied trash remains until [`Disk::remove_trash`].
    ///
    /// # Errors
    /// `SyncFailed`, `NoSpace`, `Io`.
    /// # Durability
    /// Certain when it returns. After a crash it may be called again, or [`Disk::trash`].
    pub fn restore_trash(&self, video: VideoId) -> Result<(), DiskError> {
        let _turn = self.publishing(video);
        let pairs = [
            (Place::TrashedOriginal(video), Place::Original(video)),
            (Place::TrashedMedia(video), Place::Media(video)),
        ];
        for (from, to) in pairs {
            let (from, to) = (self.path(from), self.path(to));
            if !from.exists() {
                continue;
            }
            files::make_dirs(&self.inner.root, files::parent_of(&to)?, true)?;
            let mut moves = 0;
            // What lies there instead is from somebody who didn't know that the video had gone.
            while matches!(move_directory(&from, &to)?, Moved::Occupied) && moves < MOVES_MAX {
                files::remove_tree(&to)?;
                moves += 1;
            }
            self.confirm_move(&from, &to)?;
        }
        self.note_untagged(video);
        Ok(())
    }

    fn confirm_move(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        files::sync_dir(files::parent_of(to)?)?;
        files::sync_dir(files::parent_of(from)?)
    }

    /// Removes all that the trash holds of a video; nothing being there is fine.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// A power cut may bring it back: the record has to go first.
    pub fn remove_trash(&self, video: VideoId) -> Result<(), DiskError> {
        files::remove_tree(&self.path(Place::Trash(video)))
    }

    /// Returns the videos that have a directory in the trash, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn trashes(&self) -> Result<Vec<VideoId>, DiskError> {
        let names = files::names(&self.path(Place::Trashes))?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| VideoId::parse(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Reads what the trash holds of a video, from which a lost record can be made again.
    ///
    /// # Errors
    /// `Io`. A file that can't be understood counts as missing, with a word in the log.
    pub fn trashed(&self, video: VideoId) -> Result<Trashed, DiskError> {
        let [original, media] = [Place::TrashedOriginal(video), Place::TrashedMedia(video)]
            .map(|place| self.path(place));
        let mut size = None;
        for name in ["source", "source.enc"] {
            match originals::open_sized(&original.join(name)) {
                Ok((_, found)) => size = Some(found),
                Err(DiskError::Missing) => {}
                Err(failed) => return Err(failed),
            }
        }
        let note = files::read_json(&self.path(Place::TrashNote(video)), TRASH_NOTE_VERSION);
        Ok(Trashed {
            size,
            note: readable(note)?,
            facts: readable(files::read_json(&original.join("facts.json"), FACTS_VERSION))?,
            manifest: readable(files::read_json(&media.join("manifest.json"), MANIFEST_VERSION))?,
        })
    }
}

/// What came of a move.
enum Moved {
    Done,
    /// There was nothing to move.
    Nothing,
    /// Something lies at the target.
    Occupied,
}

/// Renames a directory, never over another one.
fn move_directory(from: &Path, to: &Path) -> Result<Moved, DiskError> {
    let cwd = rustix::fs::CWD;
    let moved = match rustix::fs::renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        // Not every file system can refuse to replace. A rename replaces an empty directory at
        // most, which is no loss.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::rename(from, to),
        moved => moved,
    };
    match moved {
        Ok(()) => Ok(Moved::Done),
        Err(Errno::NOENT) => Ok(Moved::Nothing),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(Moved::Occupied),
        Err(errno) => Err(DiskError::from_io("rename", to, errno.into())),
    }
}

/// Takes a file that can't be understood for one that isn't there.
fn readable<T>(read: Result<Option<T>, DiskError>) -> Result<Option<T>, DiskError> {
    match read {
        Err(unreadable @ DiskError::Unreadable { .. }) => {
            tracing::warn!("{unreadable}");
            Ok(None)
        }
        read => read,
    }
}
