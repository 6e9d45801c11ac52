//! A whole data directory in another place: `<target>/<time>/`, each one complete by itself.
//!
//! What an earlier backup has as it is gets a second name (hard link) there, so that only what is
//! new takes time and room. A backup is made as `<time>.partial` and renamed at its end. Of an
//! upload that is under way nothing is copied.

use super::records::{RecordsError, open_export};
use crate::disk::{self, DiskError, FailAt, fail_at};
use crate::ids::VideoId;
use crate::state::Dump;
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The form of backups that this program writes.
const FORMAT: u32 = 1;
/// Names inside a backup.
const ABOUT: &str = "backup.json";
const FILES: &str = "files.jsonl";
const DATA: &str = "data";
/// The records, named as in a data directory.
const RECORDS: &str = "export.jsonl.gz";
/// What the name of one that isn't whole ends in.
const PARTIAL: &str = ".partial";
/// What stands in the layout's version until a restored directory is whole; no server starts on it.
const RESTORING: &str = "restoring\n";
/// How often the media of a video are tried again that change meanwhile.
const TRIES: usize = 5;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    format: u32,
    /// The program that made it.
    pub slipway: String,
    /// When its records were read, RFC 3339.
    pub at: String,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that no earlier backup had.
    pub new_bytes: u64,
    /// SHA-256 of the list of files.
    list: String,
}

/// A file of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    path: String,
    size: u64,
    mtime_ns: i64,
    sha256: String,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Files that are done.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All bytes, as far as they are known.
    pub bytes_all: u64,
}

/// Why it didn't work.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Another backup is being made there.
    #[error("{0}: another backup is being made there")]
    Busy(String),
    /// There is no backup that is whole.
    #[error("{0}: there is no backup that is whole")]
    None(String),
    /// Something of the backup isn't as it was.
    #[error("{path}: {reason}")]
    Damaged {
        /// Where.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The data directory isn't empty.
    #[error("{0} isn't empty; a backup is restored into a new data directory")]
    NotEmpty(String),
    /// The records can't be used.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The disk doesn't confirm.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> SnapshotError + '_ {
    move |source| SnapshotError::Io { path: path.display().to_string(), source }
}

fn damaged(path: &Path, reason: impl Into<String>) -> SnapshotError {
    SnapshotError::Damaged { path: path.display().to_string(), reason: reason.into() }
}

/// Copies a data directory into a new backup below `target`; `export` holds its records, read a
/// moment ago. Returns what was made and where.
///
/// # Errors
/// See [`SnapshotError`]; nothing is left that looks whole.
/// # Durability
/// Certain when it returns.
pub fn take(
    data: &Path,
    target: &Path,
    export: &Path,
    now: UnixMillis,
    tell: &mut dyn FnMut(Progress),
) -> Result<(PathBuf, About), SnapshotError> {
    make_dir(target)?;
    let _lock = lock(target)?;
    clear_partial(target)?;
    let dump = open_export(export)?;
    let before = newest(target)?.map(|path| Before::open(&path)).transpose()?;
    let name = now.to_rfc3339().replace([':', '-'], "").replace('.', "_");
    let made = target.join(format!("{name}{PARTIAL}"));
    make_dir(&made)?;
    let mut taking = Taking::new(data, made.join(DATA), before, tell);
    make_dir(&taking.to)?;
    taking.run(&dump)?;
    taking.copy_as(export, RECORDS)?;
    let about = taking.describe(&made, now)?;
    disk::sync_filesystem(&made)?;
    fail_at(FailAt::BeforeBackupInPlace);
    let path = target.join(name);
    fs::rename(&made, &path).map_err(at(&path))?;
    disk::sync_directory(target)?;
    Ok((path, about))
}

/// Removes all backups below `target` but the newest `keep`; returns how many.
///
/// # Errors
/// `Io`.
pub fn prune(target: &Path, keep: usize) -> Result<usize, SnapshotError> {
    let all = whole(target)?;
    let old = all.len().saturating_sub(keep.max(1));
    for path in &all[..old] {
        // Not whole from here on, whatever happens.
        let going = path.with_extension(PARTIAL.trim_start_matches('.'));
        fs::rename(path, &going).map_err(at(path))?;
        fs::remove_dir_all(&going).map_err(at(&going))?;
    }
    Ok(old)
}

/// Makes a data directory of a backup, `from`, or of the newest one below it, and checks each file
/// on the way. `data` must be missing or empty, or left by a restore that was cut off.
///
/// # Errors
/// See [`SnapshotError`]; no server starts on what is left then.
/// # Durability
/// Certain when it returns.
pub fn restore(
    from: &Path,
    data: &Path,
    tell: &mut dyn FnMut(Progress),
) -> Result<(PathBuf, About), SnapshotError> {
    let from = match from.join(ABOUT).exists() {
        true => from.to_owned(),
        false => newest(from)?.ok_or_else(|| SnapshotError::None(from.display().to_string()))?,
    };
    let backup = Before::open(&from)?;
    let version = data.join("VERSION");
    let is_cut_off = fs::read_to_string(&version).is_ok_and(|text| text == RESTORING);
    if !is_cut_off && !is_empty(data)? {
        return Err(SnapshotError::NotEmpty(data.display().to_string()));
    }
    make_dir(data)?;
    fs::write(&version, RESTORING).map_err(at(&version))?;
    disk::sync_directory(data)?;
    let mut progress = Progress { bytes_all: backup.about.bytes, ..Progress::default() };
    let mut layout = None;
    for kept in backup.files.values() {
        let path = relative(&kept.path).ok_or_else(|| damaged(&from, "a path leads outside"))?;
        let source = from.join(DATA).join(&path);
        if kept.path == "VERSION" {
            layout = Some(fs::read(&source).map_err(at(&source))?);
            continue;
        }
        let target = data.join(&path);
        copy_file(&source, &target)?;
        if sum_of(&target)? != (kept.sha256.clone(), kept.size) {
            return Err(damaged(&source, "it isn't what was backed up"));
        }
        progress.files += 1;
        progress.bytes += kept.size;
        tell(progress);
        fail_at(FailAt::InMidRestore);
    }
    open_export(&data.join(RECORDS))?;
    let layout = layout.ok_or_else(|| damaged(&from, "it has no VERSION"))?;
    disk::sync_filesystem(data)?;
    fs::write(&version, layout).map_err(at(&version))?;
    disk::sync_filesystem(data)?;
    Ok((from, backup.about))
}

/// An earlier backup.
struct Before {
    data: PathBuf,
    about: About,
    files: BTreeMap<String, Kept>,
}

impl Before {
    fn open(path: &Path) -> Result<Self, SnapshotError> {
        let (about_path, list) = (path.join(ABOUT), path.join(FILES));
        let about = fs::read(&about_path).map_err(at(&about_path))?;
        let about: About = serde_json::from_slice(&about)
            .map_err(|error| damaged(&about_path, error.to_string()))?;
        if about.format > FORMAT {
            return Err(damaged(&about_path, "a later version of this program made it"));
        }
        if sum_of(&list)?.0 != about.list {
            return Err(damaged(&list, "the list isn't the one that was written"));
        }
        let lines = BufReader::new(File::open(&list).map_err(at(&list))?).lines();
        let mut files = BTreeMap::new();
        for line in lines {
            let line = line.map_err(at(&list))?;
            let kept: Kept =
                serde_json::from_str(&line).map_err(|error| damaged(&list, error.to_string()))?;
            files.insert(kept.path.clone(), kept);
        }
        Ok(Self { data: path.join(DATA), about, files })
    }
}

/// A backup that is being made.
struct Taking<'a> {
    from: &'a Path,
    to: PathBuf,
    before: Option<Before>,
    files: BTreeMap<String, Kept>,
    new_bytes: u64,
    progress: Progress,
    tell: &'a mut dyn FnMut(Progress),
}

impl<'a> Taking<'a> {
    fn new(
        from: &'a Path,
        to: PathBuf,
        before: Option<Before>,
        tell: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let (files, progress) = (BTreeMap::new(), Progress::default());
        Self { from, to, before, files, new_bytes: 0, progress, tell }
    }

    fn run(&mut self, dump: &Dump) -> Result<(), SnapshotError> {
        for name in ["VERSION", "admin-token", "original-keys"] {
            self.copy(name)?;
        }
        let videos = dump.whole_videos().map_err(RecordsError::from)?;
        self.progress.bytes_all = videos.iter().map(|(_, size)| size.0).sum();
        for (video, _) in videos {
            self.video(video)?;
        }
        Ok(())
    }

    /// Copies what there is of a video. One that is deleted meanwhile is left out.
    fn video(&mut self, video: VideoId) -> Result<(), SnapshotError> {
        let (original, media) = disk::places_of(video);
        for _ in 0..TRIES {
            if self.tree(&original)? && self.tree(&media)? {
                return Ok(());
            }
            self.forget(&original)?;
            self.forget(&media)?;
        }
        // Its media change all the time: they are made again from the original.
        let kept = self.tree(&original)?;
        if kept { Ok(()) } else { self.forget(&original) }
    }

    /// Copies a directory; false if something of it has gone meanwhile.
    fn tree(&mut self, below: &str) -> Result<bool, SnapshotError> {
        let mut names = Vec::new();
        list(&self.from.join(below), below, &mut names)?;
        // What names others goes first: what it names is there, and stays.
        names.sort_by_key(|name| !is_text(name));
        for name in names {
            if !self.copy(&name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn forget(&mut self, below: &str) -> Result<(), SnapshotError> {
        self.files.retain(|name, _| !name.starts_with(below));
        let path = self.to.join(below);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Copies a file of the data directory; false if it isn't there.
    fn copy(&mut self, name: &str) -> Result<bool, SnapshotError> {
        let source = self.from.join(name);
        match self.copy_as(&source, name) {
            Err(SnapshotError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }

    fn copy_as(&mut self, source: &Path, name: &str) -> Result<(), SnapshotError> {
        let about = fs::metadata(source).map_err(at(source))?;
        let mtime_ns = about.mtime() * 1_000_000_000 + about.mtime_nsec();
        let target = self.to.join(name);
        let known = self.before.as_ref().and_then(|before| Some((before, before.files.get(name)?)));
        let known = known.filter(|(_, kept)| (kept.size, kept.mtime_ns) == (about.len(), mtime_ns));
        let linked = known.and_then(|(before, kept)| {
            make_parents(&target).ok()?;
            fs::hard_link(before.data.join(name), &target).ok()?;
            Some(kept.clone())
        });
        let kept = match linked {
            Some(kept) => kept,
            None => {
                copy_file(source, &target)?;
                let (sha256, size) = sum_of(&target)?;
                self.new_bytes += size;
                Kept { path: name.to_owned(), size, mtime_ns, sha256 }
            }
        };
        self.progress.files += 1;
        self.progress.bytes += kept.size;
        self.files.insert(name.to_owned(), kept);
        (self.tell)(self.progress);
        Ok(())
    }

    /// Writes the list of files, and then what makes the backup one.
    fn describe(self, made: &Path, now: UnixMillis) -> Result<About, SnapshotError> {
        let list = made.join(FILES);
        let mut lines = BufWriter::new(File::create(&list).map_err(at(&list))?);
        for kept in self.files.values() {
            let line = serde_json::to_string(kept).map_err(|error| at(&list)(error.into()))?;
            writeln!(lines, "{line}").map_err(at(&list))?;
        }
        lines.flush().map_err(at(&list))?;
        let about = About {
            format: FORMAT,
            slipway: env!("CARGO_PKG_VERSION").to_owned(),
            at: now.to_rfc3339(),
            files: self.files.len() as u64,
            bytes: self.files.values().map(|kept| kept.size).sum(),
            new_bytes: self.new_bytes,
            list: sum_of(&list)?.0,
        };
        let path = made.join(ABOUT);
        let text = serde_json::to_vec_pretty(&about).map_err(|error| at(&path)(error.into()))?;
        fs::write(&path, text).map_err(at(&path))?;
        Ok(about)
    }
}

/// Says whether a file names others.
fn is_text(name: &str) -> bool {
    [".json", ".m3u8", ".mpd", ".vtt"].iter().any(|end| name.ends_with(end))
}

/// Lists the files below a directory, but for those that aren't whole yet.
fn list(path: &Path, name: &str, names: &mut Vec<String>) -> Result<(), SnapshotError> {
    for entry in entries(path)? {
        let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if file.starts_with('.') {
            continue;
        }
        let (path, name) = (entry.path(), format!("{name}/{file}"));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&path, &name, names)?,
            Ok(kind) if kind.is_file() => names.push(name),
            _ => {}
        }
    }
    Ok(())
}

fn entries(path: &Path) -> Result<Vec<fs::DirEntry>, SnapshotError> {
    match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(at(path)),
    }
}

fn is_empty(path: &Path) -> Result<bool, SnapshotError> {
    let all = entries(path)?;
    Ok(all.iter().all(|entry| entry.file_name() == "lost+found"))
}

/// Returns the backups below `target` that are whole, the oldest first.
fn whole(target: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let all = entries(target)?.into_iter().map(|entry| entry.path());
    let is_whole =
        |path: &PathBuf| !path.to_string_lossy().ends_with(PARTIAL) && path.join(ABOUT).is_file();
    let mut all: Vec<PathBuf> = all.filter(is_whole).collect();
    all.sort_unstable();
    Ok(all)
}

fn newest(target: &Path) -> Result<Option<PathBuf>, SnapshotError> {
    Ok(whole(target)?.pop())
}

/// Removes what a backup that was cut off has left.
fn clear_partial(target: &Path) -> Result<(), SnapshotError> {
    for path in entries(target)?.into_iter().map(|entry| entry.path()) {
        if path.to_string_lossy().ends_with(PARTIAL) {
            fs::remove_dir_all(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

fn lock(target: &Path) -> Result<File, SnapshotError> {
    let path = target.join("lock");
    let file = File::create(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(SnapshotError::Busy(target.display().to_string())),
        Err(fs::TryLockError::Error(source)) => Err(at(&path)(source)),
    }
}

fn make_dir(path: &Path) -> Result<(), SnapshotError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

fn make_parents(path: &Path) -> Result<(), SnapshotError> {
    path.parent().map_or(Ok(()), make_dir)
}

/// Copies a file with its mode; what is there already gives way.
fn copy_file(source: &Path, target: &Path) -> Result<(), SnapshotError> {
    make_parents(target)?;
    match fs::remove_file(target) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(target)(error)),
        _ => {}
    }
    // The kernel copies, and shares the blocks where the file system can.
    fs::copy(source, target).map(drop).map_err(at(source))
}

/// Returns a file's SHA-256 in hex, and its size.
fn sum_of(path: &Path) -> Result<(String, u64), SnapshotError> {
    let mut file = File::open(path).map_err(at(path))?;
    let (mut sum, mut size) = (Sha256::new(), 0);
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).map_err(at(path))? {
            0 => break,
            read => {
                sum.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
    Ok((sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// Returns a path that leads nowhere but below.
fn relative(path: &str) -> Option<PathBuf> {
    use std::path::Component;
    let path = PathBuf::from(path);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then_some(path)
}
