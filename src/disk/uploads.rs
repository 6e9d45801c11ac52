//! Uploads on disk: `tmp/uploads/ab/<upload>/{blob,meta.json}`, until they become originals.

use super::blob::Blob;
use super::error::DiskError;
use super::fail_at::{FailAt, fail_at};
use super::files;
use super::paths::Place;
use super::plain_file::PlainFile;
use super::sidecar::{Facts, UPLOAD_META_VERSION, UploadMeta};
use super::{Disk, originals};
use crate::cipher::Reading;
use crate::ids::{UploadId, VideoId};
use crate::units::ByteCount;
use rustix::fs::{OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::path::{Path, PathBuf};

impl Disk {
    /// Makes an upload's directory with an empty blob and its `meta.json`; on an error nothing of
    /// it stays.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`; also if the upload is there already.
    /// # Durability
    /// All of it is certain when this returns.
    pub fn create_blob(&self, id: UploadId, meta: &UploadMeta) -> Result<(), DiskError> {
        let dir = self.path(Place::Upload(id));
        let shard = files::parent_of(&dir)?;
        files::make_dirs(&self.inner.root, shard, true)?;
        if !files::make_dir(&dir)? {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(DiskError::Io { action: "make directory", path: dir, source });
        }
        let made = self.fill_upload(id, meta, &dir, shard);
        if made.is_err() {
            // What can't be removed now is removed at the next start.
            let _ = self.remove_upload(id);
        }
        made
    }

    fn fill_upload(
        &self,
        id: UploadId,
        meta: &UploadMeta,
        dir: &Path,
        shard: &Path,
    ) -> Result<(), DiskError> {
        let meta_path = self.path(Place::UploadMeta(id));
        files::create_new(&meta_path, &files::to_json(&meta_path, meta)?)?;
        let blob = match self.make_upload_key(id)? {
            true => self.path(Place::EncryptedBlob(id)),
            false => self.path(Place::Blob(id)),
        };
        files::open("create", &blob, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600)?;
        files::sync_dir(dir)?;
        files::sync_dir(shard)
    }

    /// Opens an upload's blob for reading and writing.
    ///
    /// Open it before the first write under a lease and keep it: an error that the disk reports
    /// is told only to descriptors that were open then.
    ///
    /// # Errors
    /// `Missing`; `Locked` if it is encrypted and its key can't be had; `Io`.
    pub fn open_blob(&self, id: UploadId) -> Result<Blob, DiskError> {
        match Blob::open(&self.path(Place::Blob(id)), None) {
            Err(DiskError::Missing) => {}
            opened => return opened,
        }
        let path = self.path(Place::EncryptedBlob(id));
        if !path.exists() {
            return Err(DiskError::Missing);
        }
        Blob::open(&path, Some(self.upload_key(id)?.1))
    }

    /// Opens a part's blob for reading only, for as long as whoever holds it wants: it can be
    /// removed meanwhile.
    ///
    /// # Errors
    /// `Missing`; `WrongSize` if it is shorter than `size`; `Locked`, `Io`.
    pub fn read_blob(&self, id: UploadId, size: ByteCount) -> Result<PlainFile, DiskError> {
        let (file, path) = match self.open_part(Place::Blob(id), size) {
            Err(DiskError::Missing) => {
                let (file, path) = self.open_part(Place::EncryptedBlob(id), size)?;
                let (key_file, key) = self.upload_key(id)?;
                let reading = Reading::new(key, None);
                return Ok(PlainFile::encrypted(file, path, size, reading, key_file));
            }
            opened => opened?,
        };
        Ok(PlainFile::plain(file, path, size))
    }

    fn open_part(&self, place: Place, size: ByteCount) -> Result<(File, PathBuf), DiskError> {
        let path = self.path(place);
        let (file, found) = originals::open_sized(&path)?;
        if found < size {
            return Err(DiskError::WrongSize { path, found: found.0, recorded: size.0 });
        }
        Ok((file, path))
    }

    /// Removes all that is left of an upload; nothing being left is fine.
    ///
    /// # Errors
    /// `Io`.
    /// # Durability
    /// A power cut may bring it back; nothing refers to it then, and the next start removes it.
    pub fn remove_upload(&self, id: UploadId) -> Result<(), DiskError> {
        files::remove_tree(&self.path(Place::Upload(id)))
    }

    /// Makes the blob of a complete upload the original of its video.
    ///
    /// The blob is cut to `size`, confirmed, renamed to the original's place with `facts` beside
    /// it, and made read-only there. May be called again after a crash at any moment: it goes on
    /// where it stopped, and does nothing when nothing is left to do. The upload's directory
    /// stays until [`Disk::remove_upload`], to be called once the finish is recorded. An encrypted
    /// one stays encrypted; its key is there before its bytes are.
    ///
    /// # Errors
    /// `Missing` if there is neither blob nor original; `WrongSize` if it is shorter than `size`
    /// (nothing was changed); `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// All of it is certain when this returns.
    pub fn finish_blob(
        &self,
        id: UploadId,
        video: VideoId,
        size: ByteCount,
        facts: &Facts,
    ) -> Result<(), DiskError> {
        match self.open_blob(id) {
            Ok(blob) => {
                blob.seal(size)?;
                fail_at(FailAt::AfterSyncBeforeRename);
                self.make_original_dir(video)?;
                self.write_facts(video, facts)?;
                if blob.is_encrypted() {
                    self.copy_key(id, video)?;
                    self.move_blob(Place::EncryptedBlob(id), Place::EncryptedSource(video))?;
                } else {
                    self.move_blob(Place::Blob(id), Place::Source(video))?;
                }
            }
            Err(DiskError::Missing) => {
                originals::check(&self.source_path(video), size)?;
                if self.facts(video)?.is_none() {
                    self.write_facts(video, facts)?;
                }
            }
            Err(error) => return Err(error),
        }
        let source = self.source_path(video);
        originals::protect(&source)?;
        // Both again after a crash: the rename may have been seen without being certain.
        let dir = files::parent_of(&source)?;
        files::sync_dir(dir)?;
        files::sync_dir(files::parent_of(dir)?)?;
        match files::sync_dir(&self.path(Place::Upload(id))) {
            Ok(()) | Err(DiskError::Missing) => {}
            Err(error) => return Err(error),
        }
        fail_at(FailAt::AfterRenameBeforeRecord);
        self.note_untagged(video);
        Ok(())
    }

    /// Renames a blob to the original's place, never over an original.
    pub(super) fn move_blob(&self, blob: Place, source: Place) -> Result<(), DiskError> {
        let (from, to) = (self.path(blob), self.path(source));
        let cwd = rustix::fs::CWD;
        let moved = match rustix::fs::renameat_with(cwd, &from, cwd, &to, RenameFlags::NOREPLACE) {
            // Not every file system can refuse to replace; then it is looked up beforehand, which
            // is as good: one finish at a time, under the data directory's lock.
            Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => rustix::fs::rename(&from, &to),
            moved => moved,
        };
        moved.map_err(|e| DiskError::from_io("rename", &to, e.into()))
    }

    /// Returns the uploads that have a directory, in the order of their ids.
    ///
    /// # Errors
    /// `Io`.
    pub fn uploads(&self) -> Result<Vec<UploadId>, DiskError> {
        let names = files::sharded_names(&self.path(Place::Uploads))?;
        let mut ids: Vec<_> = names.iter().filter_map(|name| UploadId::parse(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Reads what was known of an upload when it began; `None` without a file.
    ///
    /// # Errors
    /// `Unreadable` if it is damaged or of a later version; `Io`.
    pub fn upload_meta(&self, id: UploadId) -> Result<Option<UploadMeta>, DiskError> {
        files::read_json(&self.path(Place::UploadMeta(id)), UPLOAD_META_VERSION)
    }
}
