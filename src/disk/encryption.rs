//! Uploads and originals that are encrypted: which keys there are, and what lies beside the bytes.
//!
//! An encrypted file has another name than a plain one (`blob.enc`, `source.enc`), so that the loss
//! of what lies beside it can't make it pass for a plain one. What is encrypted stays so and what
//! is plain stays so, whatever is set later.

use super::Disk;
use super::error::{DiskError, OpenError};
use super::fail_at::{FailAt, fail_at};
use super::files;
use super::paths::Place;
use super::plain_file::{PlainFile, fill_at};
use super::rewrap::{used_keys, write_used_keys};
use crate::cipher::{
    BLOCK_BYTES, FileKey, KEY_FILE_BYTES, KeyFile, KeyFileError, KeyId, Keyring, Reading, blocks_of,
};
use crate::ids::{UploadId, VideoId};
use crate::units::ByteCount;
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether what comes is encrypted, and with which keys that and what is there is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// All keys that are known.
    pub keys: Option<Keyring>,
    /// New uploads are encrypted. Needs keys.
    pub is_on: bool,
}

impl Encryption {
    /// Returns the keys if what comes is to be encrypted.
    fn for_new(&self) -> Option<&Keyring> {
        self.keys.as_ref().filter(|_| self.is_on)
    }
}

/// Originals whose tags are to be made that are remembered; with more, all are looked at.
const WAITING_MAX: usize = 10_000;

/// Originals that wait for their tags.
#[derive(Debug, Default)]
pub(super) struct Untagged {
    waiting: Mutex<Waiting>,
    bell: tokio::sync::Notify,
    /// Held by whoever replaces a key file, so that none is replaced by an older one.
    replacing: Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    videos: BTreeSet<VideoId>,
    /// All are to be looked at, as they are at the start.
    all: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { videos: BTreeSet::new(), all: true }
    }
}

impl Untagged {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, video: VideoId) {
        let mut waiting = self.waiting();
        if waiting.videos.len() < WAITING_MAX {
            waiting.videos.insert(video);
        } else {
            waiting.all = true;
        }
        self.bell.notify_one();
    }
}

impl Disk {
    /// Checks that all keys are known with which files in here may be encrypted, and writes down
    /// the one with which files will be.
    pub(super) fn check_keys(root: &Path, encryption: &Encryption) -> Result<(), OpenError> {
        let path = Place::OriginalKeys.below(root);
        let mut used = used_keys(root)?;
        let known = |id: &KeyId| encryption.keys.as_ref().is_some_and(|it| it.by_id(*id).is_some());
        let missing: Vec<KeyId> = used.iter().filter(|id| !known(id)).copied().collect();
        if !missing.is_empty() {
            return Err(OpenError::NoKeys { missing, path });
        }
        let Some(keys) = encryption.for_new() else { return Ok(()) };
        if !used.contains(&keys.first().id()) {
            used.push(keys.first().id());
            write_used_keys(&path, &used)?;
        }
        Ok(())
    }

    /// Says whether new uploads are encrypted.
    pub fn encrypts(&self) -> bool {
        self.inner.encryption.for_new().is_some()
    }

    /// Makes the key of a new upload and writes it beside, if uploads are encrypted; says whether.
    pub(super) fn make_upload_key(&self, id: UploadId) -> Result<bool, DiskError> {
        let Some(keys) = self.inner.encryption.for_new() else { return Ok(false) };
        let head = KeyFile { key: FileKey::fresh(), tagged: None }.wrap(keys);
        files::create_new(&self.path(Place::BlobKey(id)), &head)?;
        Ok(true)
    }

    /// Returns the key of an encrypted upload, and the file that holds it.
    pub(super) fn upload_key(&self, id: UploadId) -> Result<(File, FileKey), DiskError> {
        let (file, head) = self.read_key(&self.path(Place::BlobKey(id)))?;
        Ok((file, head.key))
    }

    /// Puts the key of an upload beside where its bytes are about to go.
    pub(super) fn copy_key(&self, id: UploadId, video: VideoId) -> Result<(), DiskError> {
        let from = self.path(Place::BlobKey(id));
        let head = files::read(&from)?.ok_or_else(|| lacks_key(&from))?;
        files::replace(&self.path(Place::SourceKey(video)), &head, 0o600, true)?;
        fail_at(FailAt::AfterKeyBeforeRename);
        Ok(())
    }

    /// Encrypts bytes that are all of an original, writes what belongs beside, and returns them;
    /// as they are where originals aren't encrypted.
    pub(super) fn encrypt_whole(
        &self,
        video: VideoId,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, DiskError> {
        let Some(keys) = self.inner.encryption.for_new() else { return Ok(None) };
        let key = FileKey::fresh();
        let mut made = bytes.to_vec();
        key.apply(0, &mut made);
        let tagged = Some((video, bytes.len() as u64));
        let mut beside = KeyFile { key: key.clone(), tagged }.wrap(keys).to_vec();
        let mut work = made.clone();
        for block in 0..blocks_of(bytes.len() as u64) {
            let from = block as usize * BLOCK_BYTES;
            let to = work.len().min(from + BLOCK_BYTES);
            beside.extend(key.tag(block, &mut work[from..to]));
        }
        files::replace(&self.path(Place::SourceKey(video)), &beside, 0o600, true)?;
        Ok(Some(made))
    }

    /// Opens the encrypted bytes of an original for reading.
    pub(super) fn open_encrypted(&self, video: VideoId) -> Result<PlainFile, DiskError> {
        let path = self.path(Place::EncryptedSource(video));
        self.open_encrypted_at(video, path, &self.path(Place::SourceKey(video)))
    }

    /// The same, where they lie at `path` with their key file `beside`.
    pub(super) fn open_encrypted_at(
        &self,
        video: VideoId,
        path: PathBuf,
        beside: &Path,
    ) -> Result<PlainFile, DiskError> {
        let (file, found) = super::originals::open_sized(&path)?;
        let (key_file, KeyFile { key, tagged }) = self.read_key(beside)?;
        let size = match tagged {
            Some((named, length)) if named == video => ByteCount(length),
            None => found,
            Some(_) => return Err(locked(beside, KeyFileError::Damaged)),
        };
        if found != size {
            // Whoever goes by the file's own length would take a piece of it for the whole.
            let block = found.min(size).0 / BLOCK_BYTES as u64;
            return Err(DiskError::Damaged { path, block });
        }
        let reading = Reading::new(key, tagged.map(|(_, length)| length));
        Ok(PlainFile::encrypted(file, path, size, reading, key_file))
    }

    /// Reads a key file and returns it open.
    fn read_key(&self, path: &Path) -> Result<(File, KeyFile), DiskError> {
        let (file, head) = open_head(path)?;
        let keys = self.inner.encryption.keys.as_ref();
        let key = KeyFile::unwrap(&head, keys).map_err(|cause| locked(path, cause))?;
        Ok((file, key))
    }

    /// Has the tags of a finished original made soon, if it is encrypted and has none.
    pub(super) fn note_untagged(&self, video: VideoId) {
        self.inner.untagged.note(video);
    }

    /// Waits until there may be originals without tags.
    ///
    /// # Cancel
    /// Safe.
    pub async fn untagged_noted(&self) {
        self.inner.untagged.bell.notified().await;
    }

    /// Returns the finished originals that may be without tags; each is told once. At the start,
    /// and when they were too many to be remembered, all of those that are encrypted are looked
    /// at.
    ///
    /// # Errors
    /// `Io`.
    pub fn untagged(&self) -> Result<BTreeSet<VideoId>, DiskError> {
        let mut videos = {
            let mut waiting = self.inner.untagged.waiting();
            if !waiting.all {
                return Ok(std::mem::take(&mut waiting.videos));
            }
            waiting.all = false;
            std::mem::take(&mut waiting.videos)
        };
        for video in self.originals()? {
            let about = std::fs::symlink_metadata(self.path(Place::SourceKey(video)));
            if about.is_ok_and(|about| about.len() <= KEY_FILE_BYTES as u64) {
                videos.insert(video);
            }
        }
        Ok(videos)
    }

    /// Makes the tags of an encrypted original that has none; says whether it did. `goes_on` is
    /// asked now and then; without it nothing is made.
    ///
    /// The bytes stay as they are: who reads them meanwhile goes on.
    ///
    /// # Errors
    /// `Locked` without its key; `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns. A crash leaves the original without tags, and readable.
    pub fn tag_original(
        &self,
        video: VideoId,
        goes_on: impl Fn() -> bool,
    ) -> Result<bool, DiskError> {
        let path = self.path(Place::EncryptedSource(video));
        let (source, size) = match super::originals::open_sized(&path) {
            Err(DiskError::Missing) => return Ok(false),
            opened => opened?,
        };
        let beside = self.path(Place::SourceKey(video));
        let (_, KeyFile { key, tagged: None }) = self.read_key(&beside)? else { return Ok(false) };
        let keys = self.inner.encryption.keys.as_ref();
        let keys = keys.ok_or_else(|| lacks_key(&beside))?;
        let (mut stopped, mut turn) = (None, None);
        let made = files::replace_with(&beside, 0o600, |file| {
            let mut to = BufWriter::new(file);
            to.write_all(&[0; KEY_FILE_BYTES])?;
            let mut bytes = vec![0; BLOCK_BYTES];
            for block in 0..blocks_of(size.0) {
                let at = block * BLOCK_BYTES as u64;
                let count = usize::try_from(size.0 - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
                let read = match goes_on() {
                    true => fill_at(&source, &path, at, &mut bytes[..count]).map_err(Some),
                    false => Err(None),
                };
                if let Err(why) = read {
                    stopped = Some(why);
                    return Err(ErrorKind::Interrupted.into());
                }
                to.write_all(&key.tag(block, &mut bytes[..count]))?;
            }
            to.flush()?;
            // Whoever rewraps keys now waits until the file is in its place.
            turn = Some(self.replacing());
            if !path.exists() {
                // It isn't kept any longer.
                stopped = Some(None);
                return Err(ErrorKind::NotFound.into());
            }
            let head = KeyFile { key: key.clone(), tagged: Some((video, size.0)) }.wrap(keys);
            file.write_all_at(&head, 0)?;
            fail_at(FailAt::BeforeTagsInPlace);
            Ok(())
        });
        drop(turn);
        match (made, stopped) {
            (_, Some(None)) => Ok(false),
            (_, Some(Some(failed))) => Err(failed),
            (made, None) => made.map(|()| true),
        }
    }

    /// Has nobody else replace a key file until it is dropped.
    pub(super) fn replacing(&self) -> MutexGuard<'_, ()> {
        self.inner.untagged.replacing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a key file and reads its head.
pub(super) fn open_head(path: &Path) -> Result<(File, [u8; KEY_FILE_BYTES]), DiskError> {
    let file = match files::open("open", path, OFlags::RDONLY, 0) {
        Err(DiskError::Missing) => return Err(lacks_key(path)),
        opened => opened?,
    };
    let mut head = [0; KEY_FILE_BYTES];
    match fill_at(&file, path, 0, &mut head) {
        Err(DiskError::Io { source, .. }) if source.kind() == ErrorKind::UnexpectedEof => {
            Err(locked(path, KeyFileError::Damaged))
        }
        filled => filled.map(|()| (file, head)),
    }
}

/// Says why an encrypted file can't be read.
pub(super) fn locked(path: &Path, cause: KeyFileError) -> DiskError {
    DiskError::Locked { path: path.to_owned(), reason: cause.to_string() }
}

fn lacks_key(path: &Path) -> DiskError {
    DiskError::Locked { path: path.to_owned(), reason: "it isn't there".to_owned() }
}

#[cfg(test)]
mod tests;
