//! The master keys that files in the data directory may be wrapped with: their list, which a start
//! compares with the keys that it has, and the change to another one.

use super::Disk;
use super::encryption::{locked, open_head};
use super::error::DiskError;
use super::files;
use super::paths::Place;
use crate::cipher::{KeyFile, KeyFileError, KeyId, Keyring, key_of};
use crate::ids::VideoId;
use std::collections::BTreeSet;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What came of the change to another master key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Files that are encrypted.
    pub files: u64,
    /// Of them, files whose key was wrapped with another one than the first, and is wrapped anew.
    pub rewrapped: u64,
    /// Of them, files whose key can't be unwrapped.
    pub locked: u64,
}

/// A change under way.
struct Rewrapping<'a> {
    keys: &'a Keyring,
    /// Files that were met, each once.
    seen: BTreeSet<PathBuf>,
    /// Keys that are still needed.
    needed: BTreeSet<KeyId>,
    sum: Rewrapped,
}

impl Disk {
    /// Wraps the keys of all encrypted files that aren't wrapped with the first of the keys anew.
    /// No byte of the files themselves is read. Afterwards the other keys are needed for backups
    /// only.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`. May be called again.
    /// # Durability
    /// Each key is certain before the next; a crash leaves it wrapped with the old or the new.
    pub fn rewrap(&self) -> Result<Rewrapped, DiskError> {
        let Some(keys) = self.inner.encryption.keys.as_ref() else {
            return Ok(Rewrapped::default());
        };
        let (list, first) = (self.path(Place::OriginalKeys), keys.first().id());
        let mut used = used_keys(self.root())?;
        if !used.contains(&first) {
            used.push(first);
            write_used_keys(&list, &used)?;
        }
        let mut change = Rewrapping {
            keys,
            seen: BTreeSet::new(),
            needed: BTreeSet::new(),
            sum: Rewrapped::default(),
        };
        // In the order in which files go; what comes back from the trash meanwhile is met again.
        for id in self.uploads()? {
            self.rewrap_at(&mut change, Place::BlobKey(id))?;
        }
        self.rewrap_all(&mut change, self.originals()?, Place::SourceKey)?;
        self.rewrap_all(&mut change, self.trashes()?, Place::TrashedKey)?;
        self.rewrap_all(&mut change, self.originals()?, Place::SourceKey)?;
        change.needed.remove(&first);
        let needed: Vec<KeyId> = std::iter::once(first).chain(change.needed).collect();
        write_used_keys(&list, &needed)?;
        Ok(change.sum)
    }

    fn rewrap_all(
        &self,
        change: &mut Rewrapping<'_>,
        videos: Vec<VideoId>,
        place: fn(VideoId) -> Place,
    ) -> Result<(), DiskError> {
        videos.into_iter().try_for_each(|video| self.rewrap_at(change, place(video)))
    }

    fn rewrap_at(&self, change: &mut Rewrapping<'_>, place: Place) -> Result<(), DiskError> {
        let path = self.path(place);
        if !path.exists() {
            return Ok(());
        }
        let _turn = self.replacing();
        let is_new = change.seen.insert(path.clone());
        let head = match open_head(&path) {
            // It has gone just now.
            Err(DiskError::Locked { .. }) if !path.exists() => return Ok(()),
            opened => opened.map(|(_, head)| key_of(&head)),
        };
        let done = match head {
            Ok(Ok(id)) if id == change.keys.first().id() => Ok(false),
            _ => rewrap_file(&path, change.keys).map(|()| true),
        };
        let count = u64::from(is_new);
        match done {
            Ok(is_anew) => {
                change.sum.files += count;
                change.sum.rewrapped += u64::from(is_anew);
            }
            Err(DiskError::Missing) => {}
            Err(DiskError::Locked { path, reason }) => {
                tracing::error!("{} stays as it is: {reason}", path.display());
                change.needed.extend(head.ok().and_then(Result::ok));
                (change.sum.files, change.sum.locked) =
                    (change.sum.files + count, change.sum.locked + count);
            }
            Err(failed) => return Err(failed),
        }
        Ok(())
    }
}

/// Replaces a key file by one whose key is wrapped with the first of the keys.
fn rewrap_file(path: &Path, keys: &Keyring) -> Result<(), DiskError> {
    let (mut file, head) = open_head(path)?;
    let unwrapped = KeyFile::unwrap(&head, Some(keys)).map_err(|cause| locked(path, cause))?;
    let head = unwrapped.wrap(keys);
    files::replace_with(path, 0o600, |mut to| {
        to.write_all(&head)?;
        file.seek(SeekFrom::Start(head.len() as u64))?;
        io::copy(&mut file, &mut to).map(drop)
    })
}

/// Reads with which keys files in a data directory may be wrapped.
pub(super) fn used_keys(root: &Path) -> Result<Vec<KeyId>, DiskError> {
    let path = Place::OriginalKeys.below(root);
    let Some(bytes) = files::read(&path)? else { return Ok(Vec::new()) };
    let text = String::from_utf8_lossy(&bytes);
    let ids = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let ids: Option<Vec<KeyId>> = ids.map(KeyId::parse).collect();
    ids.ok_or_else(|| DiskError::Unreadable { path, reason: "it isn't a list of ids".to_owned() })
}

/// Writes it, certainly.
pub(super) fn write_used_keys(path: &Path, ids: &[KeyId]) -> Result<(), DiskError> {
    let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
    files::replace(path, text.as_bytes(), 0o600, true)
}

/// Looks whether a data directory's files can be decrypted: how many of the first `most` encrypted
/// originals open, and what is wrong with others, and with keys that may be needed and aren't
/// known.
///
/// # Errors
/// `Unreadable`, `Io`.
pub fn try_keys(
    root: &Path,
    keys: Option<&Keyring>,
    most: usize,
) -> Result<(usize, Vec<KeyFileError>), DiskError> {
    let is_known = |id: &KeyId| keys.is_some_and(|keys| keys.by_id(*id).is_some());
    let missing = used_keys(root)?.into_iter().filter(|id| !is_known(id));
    let (mut opened, mut refused) = (0, missing.map(KeyFileError::NoKey).collect::<Vec<_>>());
    let mut looked = 0;
    for video in super::originals::videos(&Place::Originals.below(root))? {
        if looked == most {
            break;
        }
        if !Place::EncryptedSource(video).below(root).exists() {
            continue;
        }
        looked += 1;
        match open_head(&Place::SourceKey(video).below(root)) {
            Ok((_, head)) => match KeyFile::unwrap(&head, keys) {
                Ok(key) if is_as_long(root, video, &key) => opened += 1,
                Ok(_) => refused.push(KeyFileError::Damaged),
                Err(cause) => refused.push(cause),
            },
            Err(DiskError::Locked { .. }) => refused.push(KeyFileError::Damaged),
            Err(failed) => return Err(failed),
        }
    }
    Ok((opened, refused))
}

/// Says whether an encrypted original has the length that its tags prove, if it has some.
fn is_as_long(root: &Path, video: VideoId, key: &KeyFile) -> bool {
    let found = super::originals::open_sized(&Place::EncryptedSource(video).below(root));
    found.is_ok_and(|(_, found)| key.tagged.is_none_or(|(_, length)| length == found.0))
}
