//! Somebody's erasure on disk: the note that it is under way, the word that the database remembers
//! what is gone, and the files that nobody's record names.
//!
//! The note has the names of all that was found, so that whoever is killed over an erasure goes on
//! with it, whatever of the records is gone by then. The word outlives it until another database,
//! made of what is left, is in the old one's place.

use super::error::DiskError;
use super::fail_at::{FailAt, fail_at};
use super::paths::Place;
use super::sidecar::FACTS_VERSION;
use super::walk::{Area, Weight};
use super::{Disk, Facts, files};
use crate::ids::{JobId, UploadId, VideoId};
use crate::model::whose::{Traces, Whose};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of [`ErasureNote`] that this program writes.
pub const ERASURE_NOTE_VERSION: u32 = 1;

/// An erasure that is under way: `erasing`, while it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureNote {
    /// [`ERASURE_NOTE_VERSION`] when written.
    pub version: u32,
    /// Who is erased.
    pub whose: Whose,
    /// What stands for them in the audit log from now on.
    pub pseudonym: String,
    /// What was found of them.
    pub traces: Traces,
}

impl Disk {
    /// Notes that somebody is being erased, or what more was found of them; and that the database
    /// will remember them.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns.
    pub fn note_erasure(&self, note: &ErasureNote) -> Result<(), DiskError> {
        files::replace(&self.path(Place::Forgetting), b"", 0o600, true)?;
        let path = self.path(Place::Erasing);
        files::replace(&path, &files::to_json(&path, note)?, 0o600, true)
    }

    /// Returns the erasure that is under way.
    ///
    /// # Errors
    /// `Unreadable`, `Io`.
    pub fn erasure(&self) -> Result<Option<ErasureNote>, DiskError> {
        files::read_json(&self.path(Place::Erasing), ERASURE_NOTE_VERSION)
    }

    /// Notes that nothing of an erasure is left to do but [`Disk::swap_state`].
    ///
    /// # Errors
    /// `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns, and so is every removal before it.
    pub fn end_erasure(&self) -> Result<(), DiskError> {
        // Removals wait for nothing: a power cut mustn't bring back what the note has named.
        super::sync_filesystem(&self.inner.root)?;
        fail_at(FailAt::BeforeErasureEnd);
        files::remove_file(&self.path(Place::Erasing))?;
        files::sync_dir(&self.inner.root)
    }

    /// Says whether the database may hold bytes of what was erased.
    pub fn is_forgetting(&self) -> bool {
        self.path(Place::Forgetting).exists()
    }

    /// Puts the database that was made in [`Disk::incoming_state_dir`] in the place of the one that
    /// is there, and removes that. It has to be whole.
    ///
    /// # Errors
    /// `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns. After a crash [`Disk::finish_swap`] goes on.
    pub fn swap_state(&self) -> Result<(), DiskError> {
        let [state, outgoing] = [Place::State, Place::OutgoingState].map(|place| self.path(place));
        files::remove_tree(&outgoing)?;
        fail_at(FailAt::BeforeStateSwap);
        rename(&state, &outgoing)?;
        fail_at(FailAt::InMidStateSwap);
        self.finish_swap()?;
        files::remove_file(&self.path(Place::Forgetting))?;
        files::sync_dir(&self.inner.root)
    }

    /// Goes on with a swap that was cut off, before the database is opened.
    ///
    /// # Errors
    /// `SyncFailed`, `Io`.
    pub fn finish_swap(&self) -> Result<(), DiskError> {
        let [state, incoming, outgoing] =
            [Place::State, Place::IncomingState, Place::OutgoingState]
                .map(|place| self.path(place));
        if !outgoing.exists() {
            return Ok(());
        }
        if !state.exists() {
            rename(&incoming, &state)?;
        }
        fail_at(FailAt::AfterStateSwap);
        files::remove_tree(&outgoing)?;
        files::sync_dir(&self.inner.root)
    }

    /// Returns the databases that were set aside and kept for a look.
    ///
    /// # Errors
    /// `Io`.
    pub fn states_aside(&self) -> Result<Vec<PathBuf>, DiskError> {
        let mut names = files::names(&self.inner.root)?;
        names.retain(|name| name.starts_with("state.broken-"));
        Ok(names.into_iter().map(|name| self.inner.root.join(name)).collect())
    }

    /// Removes a database that was set aside.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove_state_aside(&self, path: &std::path::Path) -> Result<(), DiskError> {
        files::remove_tree(path)
    }

    /// Finds the files of these owners that no record names: what lies beside the bytes says whose
    /// they are. `is_known` says of which videos and uploads there are records. Looks at all
    /// directories; blocks.
    ///
    /// # Errors
    /// `Io`.
    pub fn strays(
        &self,
        whose: &Whose,
        is_known: &dyn Fn(Stray) -> bool,
    ) -> Result<Traces, DiskError> {
        let mut found = Traces::default();
        for shard in self.shards(Area::Originals)? {
            for id in self.videos_in(Area::Originals, &shard)? {
                if !is_known(Stray::Video(id)) && is_of(self.facts(id), |it| &it.owner.0, whose)? {
                    found.videos.insert(id);
                }
            }
        }
        for id in self.trashes()? {
            let facts = self.path(Place::TrashedOriginal(id)).join("facts.json");
            let facts = || files::read_json::<Facts>(&facts, FACTS_VERSION);
            if !is_known(Stray::Video(id)) && is_of(facts(), |it| &it.owner.0, whose)? {
                found.videos.insert(id);
            }
        }
        for shard in self.shards(Area::Uploads)? {
            for id in self.uploads_in(&shard)? {
                let meta = || self.upload_meta(id);
                if !is_known(Stray::Upload(id)) && is_of(meta(), |it| &it.owner.0, whose)? {
                    found.uploads.insert(id);
                }
            }
        }
        Ok(found)
    }

    /// Removes everything that lies of a video; returns what it weighed.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// That of [`Disk::end_erasure`].
    pub fn erase_video(&self, id: VideoId) -> Result<Weight, DiskError> {
        let mut weight = self.weigh_original(id)?;
        weight += self.weigh_media(id)?.all();
        weight += self.weigh_trash(id)?;
        let _turn = self.publishing(id);
        self.remove_original(id)?;
        self.remove_media(id)?;
        self.remove_trash(id)?;
        Ok(weight)
    }

    /// Removes everything that lies of an upload; returns what it weighed.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// That of [`Disk::end_erasure`].
    pub fn erase_upload(&self, id: UploadId) -> Result<Weight, DiskError> {
        let weight = self.weigh_upload(id)?;
        self.remove_upload(id)?;
        Ok(weight)
    }

    /// Removes everything that a job works with; returns what it weighed.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// That of [`Disk::end_erasure`].
    pub fn erase_work(&self, id: JobId) -> Result<Weight, DiskError> {
        let weight = self.weigh_work(id)?;
        self.remove_work(id)?;
        self.remove_handed(id)?;
        Ok(weight)
    }
}

/// Something that may have a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// A video, in its place or in the trash.
    Video(VideoId),
    /// An upload.
    Upload(UploadId),
}

/// Says whether a file beside the bytes names one of these owners. One that can't be understood
/// names nobody.
fn is_of<T>(
    read: Result<Option<T>, DiskError>,
    owner: impl Fn(&T) -> &String,
    whose: &Whose,
) -> Result<bool, DiskError> {
    match read {
        Ok(found) => Ok(found.is_some_and(|it| whose.includes(owner(&it)))),
        Err(DiskError::Unreadable { .. }) => Ok(false),
        Err(failed) => Err(failed),
    }
}

fn rename(from: &std::path::Path, to: &std::path::Path) -> Result<(), DiskError> {
    files::rename_directory(from, to).map_err(|error| DiskError::from_io("rename", to, error))
}
