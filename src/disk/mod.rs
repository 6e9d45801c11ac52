//! Files: every path of the data directory, and every way in which bytes get there.
//!
//! Nothing is ever named after what a client said: ids only. What must survive is written beside,
//! confirmed by the disk, renamed into place, and the directory is confirmed as well. All
//! functions block; callers run them where blocking is allowed.

mod assembly;
mod blob;
mod control;
mod encryption;
mod erasure;
mod error;
mod examine;
mod export;
mod fail_at;
mod files;
mod handed;
mod handout;
mod media;
mod media_file;
mod originals;
mod paths;
mod plain_file;
mod rewrap;
mod room;
mod sidecar;
mod texts;
mod trash;
mod uploads;
mod walk;
mod work;

pub use assembly::Assembly;
pub use blob::Blob;
pub use control::{control_socket, state_dir_of};
pub use encryption::Encryption;
pub use erasure::{ERASURE_NOTE_VERSION, ErasureNote, Stray};
pub use error::{DiskError, OpenError};
pub use examine::{Condition, Oddity, examine, has_reserve, oddities, space_at};
pub use fail_at::{FailAt, fail_at};
pub use files::{
    SyncHandle, make_private_directory, rename_directory, sync_directory, sync_filesystem,
};
pub use handed::Handed;
pub use media_file::{MediaFile, RungName};
pub use paths::places_of;
pub use plain_file::PlainFile;
pub use rewrap::{Rewrapped, try_keys};
pub use room::Room;
pub use sidecar::{
    FACTS_VERSION, Facts, TRASH_NOTE_VERSION, TrashNote, UPLOAD_META_VERSION, UploadMeta,
};
pub use texts::is_text;
pub use trash::Trashed;
pub use walk::{Area, MediaWeight, Weight};

use crate::lately::Lately;
use crate::units::ByteCount;
use paths::Place;
use rustix::fs::{FallocateFlags, FlockOperation, OFlags};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The layout of the data directory that this program knows.
const LAYOUT_VERSION: &str = "1";

/// Room kept back so that the database can still write when everything else is full.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// The data directory of a running server. Clones share it; it is unlocked when the last goes.
#[derive(Clone, Debug)]
pub struct Disk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Held for as long as anybody may write here.
    _lock: File,
    /// Whose turn it is to write what players read.
    turns: texts::Turns,
    used: Lately<Option<ByteCount>>,
    encryption: Encryption,
    untagged: encryption::Untagged,
}

/// How old the figure of what is used may be before it is measured again.
const USED_FRESH: std::time::Duration = std::time::Duration::from_secs(60);

/// Room on the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free: ByteCount,
    /// Size of the file system.
    pub total: ByteCount,
}

fn space_of(path: &Path) -> Result<Space, DiskError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|e| DiskError::from_io("look at the room of", path, e.into()))?;
    let bytes = |blocks: u64| ByteCount(blocks.saturating_mul(stat.f_frsize));
    Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
}

impl Disk {
    /// Opens the data directory: makes it and what is missing in it, checks its layout version
    /// before anything else, and locks it against other processes.
    ///
    /// # Errors
    /// `Locked` with the other process's id if it can be read; `UnknownVersion`; `Io`.
    pub fn open(data_dir: &Path) -> Result<Disk, OpenError> {
        Self::lay_out(data_dir, None)
    }

    /// As [`Disk::open`], where uploads and originals are to be encrypted or read.
    ///
    /// # Errors
    /// As [`Disk::open`]; `NoKeys` if keys aren't known that files may need.
    pub fn open_with(data_dir: &Path, encryption: Encryption) -> Result<Disk, OpenError> {
        Self::lay_out(data_dir, Some(encryption))
    }

    fn lay_out(data_dir: &Path, encryption: Option<Encryption>) -> Result<Disk, OpenError> {
        if !data_dir.is_dir() {
            make_data_dir(data_dir).map_err(|source| OpenError::Io {
                action: "make",
                path: data_dir.to_owned(),
                source,
            })?;
        }
        check_version(data_dir)?;
        let lock = lock(&Place::Lock.below(data_dir))?;
        // Another process may have made the layout in between.
        if !check_version(data_dir)? {
            let version = format!("{LAYOUT_VERSION}\n");
            files::replace(&Place::Version.below(data_dir), version.as_bytes(), 0o600, true)
                .map_err(OpenError::from)?;
        }
        if let Some(encryption) = &encryption {
            Self::check_keys(data_dir, encryption)?;
        }
        for place in [Place::Uploads, Place::Originals, Place::Works, Place::Medias] {
            files::make_dirs(data_dir, &place.below(data_dir), true).map_err(OpenError::from)?;
            // A run that was killed may have made entries in here without confirming them; later
            // runs find them and take them for certain.
            files::sync_dir(&place.below(data_dir)).map_err(OpenError::from)?;
        }
        Ok(Disk {
            inner: Arc::new(Inner {
                root: data_dir.to_owned(),
                _lock: lock,
                turns: Default::default(),
                used: Lately::default(),
                encryption: encryption.unwrap_or_default(),
                untagged: Default::default(),
            }),
        })
    }

    /// Returns the id of this run of the machine: `given` by the service manager, or the kernel's
    /// own. Without either it is a fresh one, so that only synced bytes are believed.
    pub fn boot_id(given: Option<&str>) -> String {
        let kernel = || fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let plain = |id: String| id.trim().replace('-', "").to_lowercase();
        let given = given.map(str::to_owned).map(plain).filter(|id| !id.is_empty());
        let id = given.or_else(|| kernel().map(plain)).filter(|id| !id.is_empty());
        id.unwrap_or_else(Self::fresh_boot_id)
    }

    /// Returns an id under which nothing was written yet, so that only synced bytes are believed.
    pub fn fresh_boot_id() -> String {
        crate::ids::JobId::fresh(crate::clock::Clock::system().now()).to_string()
    }

    /// Returns the data directory.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Returns the directory of the database; it may not exist yet.
    pub fn state_dir(&self) -> PathBuf {
        self.path(Place::State)
    }

    /// Returns the directory of the audit log; it may not exist yet.
    pub fn audit_dir(&self) -> PathBuf {
        self.path(Place::Audit)
    }

    /// Reads the first administrator's token, if one was ever written.
    ///
    /// # Errors
    /// `Io`, or `Unreadable` if it isn't text.
    pub fn admin_token(&self) -> Result<Option<String>, DiskError> {
        let path = self.path(Place::AdminToken);
        let Some(bytes) = files::read(&path)? else { return Ok(None) };
        let text = String::from_utf8(bytes)
            .map_err(|error| DiskError::Unreadable { path, reason: error.to_string() })?;
        Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty()))
    }

    /// Writes the first administrator's token, readable for this user only, and returns where.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns.
    pub fn write_admin_token(&self, token: &str) -> Result<PathBuf, DiskError> {
        let path = self.path(Place::AdminToken);
        files::replace(&path, format!("{token}\n").as_bytes(), 0o600, true)?;
        Ok(path)
    }

    /// Returns how much room the file system of the data directory has.
    ///
    /// # Errors
    /// `Io`.
    pub fn free_space(&self) -> Result<Space, DiskError> {
        space_of(&self.inner.root)
    }

    /// Returns what uploads, originals and media take on the disk. Walks all of them; what
    /// changes meanwhile may or may not be counted.
    ///
    /// # Errors
    /// `Io`.
    pub fn used(&self) -> Result<ByteCount, DiskError> {
        let mut sum = 0u64;
        for place in [Place::Tmp, Place::Originals, Place::Medias] {
            sum = sum.saturating_add(blocks_below(&self.path(place))?);
        }
        Ok(ByteCount(sum))
    }

    /// As [`Disk::used`], as it was found about a minute ago; nothing before the first time.
    /// Doesn't wait. Call it within a runtime.
    pub fn used_lately(&self) -> Option<ByteCount> {
        let disk = self.clone();
        self.inner.used.told(USED_FRESH, move || disk.used().ok()).flatten()
    }

    /// Leaves a word for the next start that a sync has failed: the kernel forgets that it did, and
    /// says yes when it is asked again. Needs no sync itself, as after a power cut nothing but
    /// confirmed bytes count anyway.
    pub fn distrust(&self) {
        let path = self.path(Place::SyncFailed);
        if let Err(error) = files::open("open", &path, OFlags::RDWR | OFlags::CREATE, 0o600) {
            tracing::warn!("the next start won't know that a sync failed: {error}");
        }
    }

    /// Says whether [`Disk::distrust`] left a word.
    pub fn is_distrusted(&self) -> bool {
        self.path(Place::SyncFailed).exists()
    }

    /// Takes the word back, once all claims were lowered to what is confirmed.
    ///
    /// # Errors
    /// `Io`.
    pub fn trust_again(&self) -> Result<(), DiskError> {
        let path = self.path(Place::SyncFailed);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(DiskError::from_io("remove", &path, e))
            }
            _ => Ok(()),
        }
    }

    /// Sets room aside for the worst moment, if it isn't set aside yet.
    ///
    /// # Errors
    /// `NoSpace` if the disk is nearly full already: what is left is needed more than a reserve;
    /// `Io`.
    pub fn keep_reserve(&self) -> Result<(), DiskError> {
        let path = self.path(Place::Reserve);
        let kept = fs::metadata(&path).is_ok_and(|kept| kept.len() >= RESERVE_BYTES);
        if kept {
            return Ok(());
        }
        if self.free_space()?.free.0 < 2 * RESERVE_BYTES {
            return Err(DiskError::NoSpace);
        }
        let file = files::open("open", &path, OFlags::RDWR | OFlags::CREATE, 0o600)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(errno) => {
                let _ = fs::remove_file(&path);
                Err(DiskError::from_io("reserve", &path, errno.into()))
            }
        }
    }

    /// Gives the room that [`Disk::keep_reserve`] set aside back, so that records can be written
    /// on a full disk; says whether there was some.
    ///
    /// # Errors
    /// `Io`.
    pub fn give_up_reserve(&self) -> Result<bool, DiskError> {
        let path = self.path(Place::Reserve);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(DiskError::from_io("remove", &path, e)),
        }
    }

    fn path(&self, place: Place) -> PathBuf {
        place.below(&self.inner.root)
    }
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        let other = |error: String| std::io::Error::other(error);
        match error {
            DiskError::Io { action, path, source } => Self::Io { action, path, source },
            DiskError::SyncFailed { path, source } => Self::Io { action: "sync", path, source },
            DiskError::Unreadable { path, reason } => {
                Self::Io { action: "read", path, source: other(reason) }
            }
            error => Self::Io {
                action: "lay out",
                path: PathBuf::new(),
                source: other(error.to_string()),
            },
        }
    }
}

fn make_data_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    match path.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Says whether the layout's version is written down, and refuses every other than ours.
fn check_version(root: &Path) -> Result<bool, OpenError> {
    let Some(bytes) = files::read(&Place::Version.below(root))? else { return Ok(false) };
    let version = String::from_utf8_lossy(&bytes).trim().to_owned();
    if version == LAYOUT_VERSION { Ok(true) } else { Err(OpenError::UnknownVersion(version)) }
}

/// How long a directory that another process holds is waited for, and how often it's tried: one
/// that was killed, or that gives back much memory, lets go a moment after it seems to be gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

fn lock(path: &Path) -> Result<File, OpenError> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match try_lock(path) {
            Err(OpenError::Locked { .. }) if Instant::now() < until => {
                std::thread::sleep(LOCK_PAUSE);
            }
            locked => return locked,
        }
    }
}

fn try_lock(path: &Path) -> Result<File, OpenError> {
    let mut file = files::open("open", path, OFlags::RDWR | OFlags::CREATE, 0o600)?;
    let io = |action, source| OpenError::Io { action, path: path.to_owned(), source };
    let mut holder = String::new();
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            // The holder's number is for people only: that it can't be read changes nothing.
            let _ = file.read_to_string(&mut holder);
            return Err(OpenError::Locked { pid: holder.trim().parse().ok() });
        }
        Err(errno) => return Err(io("lock", errno.into())),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(|e| io("write", e))?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(|e| io("write", e))?;
    Ok(file)
}

/// Adds up the blocks of all files below `path`, following no link.
fn blocks_below(path: &Path) -> Result<u64, DiskError> {
    let mut sum = 0u64;
    for name in files::names(path)? {
        let path = path.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => sum = sum.saturating_add(blocks_below(&path)?),
            // `st_blocks` counts 512 bytes each, whatever the file system's own block is.
            Ok(metadata) => sum = sum.saturating_add(metadata.blocks().saturating_mul(512)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(DiskError::from_io("look at", &path, e)),
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
