//! The few ways in which files and directories come to be, and are confirmed by the disk.

use super::error::DiskError;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Our own small files are never longer than this; reading stops there.
const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Opens a file with exactly these flags, never through a symbolic link at its end.
pub(super) fn open(
    action: &'static str,
    path: &Path,
    flags: OFlags,
    mode: u32,
) -> Result<File, DiskError> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::from_raw_mode(mode));
    opened.map(File::from).map_err(|e| DiskError::from_io(action, path, e.into()))
}

/// Makes a directory that only this user may enter; says whether it was missing.
pub(super) fn make_dir(path: &Path) -> Result<bool, DiskError> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(e) => Err(DiskError::from_io("make directory", path, e.into())),
    }
}

/// Makes `path` and what is missing above it, down from `root`, which must exist. Every directory
/// that got a new entry is confirmed when `sync` is set.
pub(super) fn make_dirs(root: &Path, path: &Path, sync: bool) -> Result<(), DiskError> {
    let below = path.strip_prefix(root).map_err(|_| bad_name(path))?;
    let mut at = root.to_owned();
    for part in below.components() {
        let parent = at.clone();
        at.push(part);
        if make_dir(&at)? && sync {
            sync_dir(&parent)?;
        }
    }
    Ok(())
}

/// Puts `bytes` at `path` so that a crash leaves either the old file or the new one. With `sync`
/// the new one is certain when this returns.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), DiskError> {
    let (beside, file) = create_beside(path, mode)?;
    let written = write_and_rename(&file, &beside, path, bytes, sync);
    if written.is_err() {
        // The file beside is worthless now; failing to remove it changes nothing about that.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Has `fill` write a file that replaces the one at `path` once it is whole and certain.
pub(super) fn replace_with(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&File) -> io::Result<()>,
) -> Result<(), DiskError> {
    let (beside, file) = create_beside(path, mode)?;
    let filled = fill(&file).map_err(|e| DiskError::from_io("write", &beside, e));
    let written = filled.and_then(|()| {
        sync_file(&file, &beside)?;
        fs::rename(&beside, path).map_err(|e| DiskError::from_io("rename", path, e))?;
        sync_dir(parent_of(path)?)
    });
    if written.is_err() {
        // The file beside is worthless now; failing to remove it changes nothing about that.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_and_rename(
    file: &File,
    beside: &Path,
    path: &Path,
    bytes: &[u8],
    sync: bool,
) -> Result<(), DiskError> {
    file.write_all_at(bytes, 0).map_err(|e| DiskError::from_io("write", beside, e))?;
    if sync {
        sync_file(file, beside)?;
    }
    fs::rename(beside, path).map_err(|e| DiskError::from_io("rename", path, e))?;
    if sync { sync_dir(parent_of(path)?) } else { Ok(()) }
}

/// Makes an empty file beside `path` under a name that nothing else uses.
fn create_beside(path: &Path, mode: u32) -> Result<(PathBuf, File), DiskError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| bad_name(path))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let beside = path.with_file_name(format!(".{name}.{number}.tmp"));
        match open("create", &beside, flags, mode) {
            // Left behind by a crash: numbers are unique within a process, and only one process
            // writes here.
            Err(DiskError::Io { source, .. }) if is_exists(&source) => {
                fs::remove_file(&beside).map_err(|e| DiskError::from_io("remove", &beside, e))?;
            }
            made => return made.map(|file| (beside, file)),
        }
    }
}

fn is_exists(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

/// Creates a file that must not be there yet, fills it and has the disk confirm it.
pub(super) fn create_new(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = open("create", path, flags, 0o600)?;
    file.write_all_at(bytes, 0).map_err(|e| DiskError::from_io("write", path, e))?;
    sync_file(&file, path)
}

/// Reads one of our own small files; `None` if it isn't there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match open("open", path, OFlags::RDONLY, 0) {
        Ok(file) => file,
        Err(DiskError::Missing) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| DiskError::from_io("read", path, e))?;
    Ok(Some(bytes))
}

/// Reads the first `most` bytes of a file, or all that it has.
pub(super) fn read_up_to(file: File, path: &Path, most: u64) -> Result<Vec<u8>, DiskError> {
    let mut bytes = Vec::new();
    let read = file.take(most).read_to_end(&mut bytes);
    read.map_err(|error| DiskError::from_io("read", path, error))?;
    Ok(bytes)
}

/// Reads the whole of a file; `None` if it has more than `most` bytes.
pub(super) fn read_at_most(
    file: File,
    path: &Path,
    most: u64,
) -> Result<Option<Vec<u8>>, DiskError> {
    let bytes = read_up_to(file, path, most + 1)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Says whether a small file holds nothing, or nothing but zeros.
pub(super) fn is_blank(path: &Path) -> Result<bool, DiskError> {
    Ok(read(path)?.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0)))
}

/// Reads a JSON file whose `version` this program knows up to `version_max`; `None` if there is
/// none.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    version_max: u32,
) -> Result<Option<T>, DiskError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Some(bytes) = read(path)? else { return Ok(None) };
    let unreadable = |reason: String| DiskError::Unreadable { path: path.to_owned(), reason };
    let head: Versioned =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
    if head.version > version_max {
        let known = format!("it has version {}, known is {version_max}", head.version);
        return Err(unreadable(known));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| unreadable(error.to_string()))
}

/// Returns the JSON text of one of our own types.
pub(super) fn to_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, DiskError> {
    serde_json::to_vec(value)
        .map_err(|error| DiskError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}

/// Has the disk confirm a file's bytes, size and mode.
pub(super) fn sync_file(file: &File, path: &Path) -> Result<(), DiskError> {
    file.sync_all().map_err(|source| DiskError::SyncFailed { path: path.to_owned(), source })
}

/// Has the disk confirm the entries of a directory.
pub(super) fn sync_dir(path: &Path) -> Result<(), DiskError> {
    let dir = open("open", path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    sync_file(&dir, path)
}

/// As often a directory is emptied into which somebody writes who doesn't know yet that it goes.
const REMOVALS_MAX: u32 = 100;

/// Removes a directory and all below it, following no link; missing is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), DiskError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && tries < REMOVALS_MAX => {}
            Err(e) => return Err(DiskError::from_io("remove", path, e)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Removes a file; missing is fine.
pub(super) fn remove_file(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(DiskError::from_io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Returns the names in a directory, sorted; empty if the directory isn't there.
pub(super) fn names(path: &Path) -> Result<Vec<String>, DiskError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(DiskError::from_io("list", path, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| DiskError::from_io("list", path, e))?;
        // A name that isn't UTF-8 isn't one of ours.
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// Returns the names two levels down, `<path>/ab/<name>`.
pub(super) fn sharded_names(path: &Path) -> Result<Vec<String>, DiskError> {
    let mut all = Vec::new();
    for shard in names(path)?.into_iter().filter(|shard| shard.len() == 2) {
        all.extend(names(&path.join(shard))?);
    }
    Ok(all)
}

/// Returns the parent of a path of ours.
pub(super) fn parent_of(path: &Path) -> Result<&Path, DiskError> {
    path.parent().ok_or_else(|| bad_name(path))
}

pub(super) fn bad_name(path: &Path) -> DiskError {
    DiskError::BadName(path.display().to_string())
}

/// A descriptor kept open only to have the disk confirm what others wrote to the file.
///
/// It must be open before they write: an error that the disk reports is told only to descriptors
/// that were open then.
#[derive(Debug)]
pub struct SyncHandle {
    file: File,
    path: PathBuf,
}

impl SyncHandle {
    /// Opens an existing file for this.
    ///
    /// # Errors
    /// `Missing`, or `Io` with the system's answer.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let file = open("open", path, OFlags::RDWR, 0)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Has the disk confirm all bytes of the file.
    ///
    /// # Errors
    /// `SyncFailed`: final, since a second try may succeed without the bytes being there.
    pub fn sync_data(&self) -> Result<(), DiskError> {
        self.file
            .sync_data()
            .map_err(|source| DiskError::SyncFailed { path: self.path.clone(), source })
    }
}

/// Has the disk confirm everything on the file system of `path`.
///
/// # Errors
/// `Missing`, `SyncFailed`, or `Io` with the system's answer.
pub fn sync_filesystem(path: &Path) -> Result<(), DiskError> {
    let file = open("open", path, OFlags::RDONLY, 0)?;
    rustix::fs::syncfs(&file)
        .map_err(|source| DiskError::SyncFailed { path: path.to_owned(), source: source.into() })
}

/// Has the disk confirm the entries of a directory.
///
/// # Errors
/// `Missing`, `SyncFailed`, or `Io` with the system's answer.
pub fn sync_directory(path: &Path) -> Result<(), DiskError> {
    sync_dir(path)
}

/// Makes a directory that only this user may enter, if it is missing, and confirms its entry.
///
/// # Errors
/// `NoSpace`, `SyncFailed`, or `Io` with the system's answer.
pub fn make_private_directory(path: &Path) -> Result<(), DiskError> {
    if make_dir(path)? { sync_dir(parent_of(path)?) } else { Ok(()) }
}

/// Renames a directory and confirms both names.
///
/// # Errors
/// The system's answer.
pub fn rename_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let parent = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(parent)?.sync_all()
}
