//! A look at a data directory from outside: whether a server could use it, and what an operator
//! should know of it. Changes nothing, and needs no lock.

use super::error::{DiskError, OpenError};
use super::paths::Place;
use super::{RESERVE_BYTES, Space, check_version, files, space_of};
use crate::units::UnixMillis;
use std::collections::VecDeque;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Entries that are looked at: what a server makes at its start and all shards fit many times.
const ENTRIES_MAX: usize = 20_000;

/// How many directories deep is looked: `tmp/uploads/ab`, `originals/ab`.
const DEPTH_MAX: usize = 3;

/// What a data directory is, seen without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A server has used it.
    Used,
    /// It isn't there, or there is nothing in it, and it can be made.
    Absent,
}

/// What is odd about something in a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Users besides its owner may read it, or more.
    Open(PathBuf),
    /// It isn't the user's to whom the data directory belongs.
    Foreign(PathBuf),
    /// Its owner may not write there.
    Closed(PathBuf),
    /// It lies on another file system than the data directory, but files are renamed into it.
    Elsewhere(PathBuf),
    /// It was changed in the future.
    Ahead(PathBuf),
    /// A disk has refused to confirm bytes; the next start goes by what it had confirmed.
    SyncFailed,
}

/// Looks whether a server could use a data directory.
///
/// # Errors
/// `UnknownVersion`, or `Io` if this user can't write there.
pub fn examine(data_dir: &Path) -> Result<Condition, OpenError> {
    let place = existing(data_dir);
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    rustix::fs::access(place, access | rustix::fs::Access::EXEC_OK).map_err(|source| {
        OpenError::Io { action: "write to", path: place.to_owned(), source: source.into() }
    })?;
    let used = place == data_dir && check_version(data_dir)?;
    Ok(if used { Condition::Used } else { Condition::Absent })
}

/// Returns how much room there is where a data directory is or would be made.
///
/// # Errors
/// `Io`.
pub fn space_at(data_dir: &Path) -> Result<Space, DiskError> {
    space_of(existing(data_dir))
}

/// Says whether the reserve of a used data directory is there, whole.
pub fn has_reserve(data_dir: &Path) -> bool {
    let kept = fs::metadata(Place::Reserve.below(data_dir));
    kept.is_ok_and(|kept| kept.len() >= RESERVE_BYTES)
}

/// Returns what is odd about a used data directory and what lies right below it.
///
/// # Errors
/// `Io` if it can't be read.
pub fn oddities(data_dir: &Path, now: UnixMillis) -> Result<Vec<Oddity>, DiskError> {
    let root = look(data_dir)?;
    let mut found = Vec::new();
    let secret = [data_dir.to_owned(), Place::AdminToken.below(data_dir)];
    for path in secret {
        // Whoever can't enter the directory can't read what is in it either.
        if look(&path).is_ok_and(|about| about.mode() & 0o077 != 0) {
            found.push(Oddity::Open(path));
        }
    }
    if Place::SyncFailed.below(data_dir).exists() {
        found.push(Oddity::SyncFailed);
    }
    let mut waiting = VecDeque::from([(data_dir.to_owned(), 0)]);
    let mut looked = 0;
    while let Some((path, depth)) = waiting.pop_front() {
        let about = match look(&path) {
            // It has gone meanwhile.
            Err(DiskError::Missing) => continue,
            about => about?,
        };
        looked += 1;
        found.extend(odd(&path, &about, &root, now));
        if about.is_dir() && depth < DEPTH_MAX && looked + waiting.len() < ENTRIES_MAX {
            match files::names(&path) {
                Ok(names) => waiting.extend(names.iter().map(|it| (path.join(it), depth + 1))),
                // Told of by its mode or its owner already, or gone.
                Err(_) => continue,
            }
        }
    }
    Ok(found)
}

fn odd(path: &Path, about: &Metadata, root: &Metadata, now: UnixMillis) -> Vec<Oddity> {
    /// More than clocks of machines differ by.
    const AHEAD_SECONDS: i64 = 600;
    let mut found = Vec::new();
    if about.uid() != root.uid() {
        found.push(Oddity::Foreign(path.to_owned()));
    } else if about.is_dir() && about.mode() & 0o700 != 0o700 {
        found.push(Oddity::Closed(path.to_owned()));
    }
    if about.dev() != root.dev() {
        found.push(Oddity::Elsewhere(path.to_owned()));
    }
    if about.mtime() > now.0 / 1_000 + AHEAD_SECONDS {
        found.push(Oddity::Ahead(path.to_owned()));
    }
    found
}

fn look(path: &Path) -> Result<Metadata, DiskError> {
    fs::metadata(path).map_err(|cause| DiskError::from_io("look at", path, cause))
}

/// Returns the nearest directory on the way to `path` that is there.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|it| it.is_dir());
    there.unwrap_or(if path.is_absolute() { Path::new("/") } else { Path::new(".") })
}
