//! The records in a file, and back.

use crate::clock::Clock;
use crate::disk::{self, Disk, DiskError, FailAt, fail_at};
use crate::state::{self, Dump, DumpError, State, StateError, VideoRecord};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The first bytes of a packed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One export at a time, from reading the records to the renaming: else an older one could take the
/// place of a newer one, and bring back what is gone from that.
static EXPORTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Why records can't be taken out or in.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The export can't be used.
    #[error("{path}: {cause}")]
    Export {
        /// Which.
        path: String,
        /// What is wrong with it.
        cause: DumpError,
    },
    /// The database refused or failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database can't be made.
    #[error(transparent)]
    Make(#[from] state::OpenError),
    /// A file operation failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A directory can't be renamed.
    #[error("{path}: {source}")]
    Rename {
        /// Which.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The task that wrote the file ended without a result.
    #[error("a task ended without a result")]
    Task,
}

/// Writes all records of this moment into the data directory's export, and returns how many.
///
/// # Errors
/// See [`RecordsError`]; the export before stays.
/// # Durability
/// Certain when it returns.
pub async fn export(state: &State, disk: &Disk) -> Result<usize, RecordsError> {
    let _one_at_a_time = EXPORTING.lock().await;
    let dump = state.dump().await?;
    let (disk, entries) = (disk.clone(), dump.len());
    let written = tokio::task::spawn_blocking(move || {
        disk.write_export(|file| {
            let mut packed = GzEncoder::new(BufWriter::new(file), Compression::fast());
            dump.write(&mut packed)?;
            packed.finish()?.flush()
        })
    });
    written.await.map_err(|_| RecordsError::Task)??;
    Ok(entries)
}

/// Reads an export, packed or not, and checks that it is whole.
///
/// # Errors
/// `Export`.
pub fn open_export(path: &Path) -> Result<Dump, RecordsError> {
    let read = || -> Result<Dump, DumpError> {
        let mut file = BufReader::new(File::open(path)?);
        match file.fill_buf()?.starts_with(&GZIP) {
            true => Dump::read(&mut BufReader::new(MultiGzDecoder::new(file))),
            false => Dump::read(&mut file),
        }
    };
    read().map_err(|cause| RecordsError::Export { path: path.display().to_string(), cause })
}

/// Makes a database of the last export, where there is no database; returns how many records it
/// has, or nothing where there is no export. What may be out of date by now is left out, for the
/// files tell it.
///
/// # Errors
/// See [`RecordsError`]; there is no database then.
/// # Durability
/// Certain when it returns.
pub fn recover(disk: &Disk) -> Result<Option<usize>, RecordsError> {
    if disk.open_export()?.is_none() {
        return Ok(None);
    }
    let dump = settled(open_export(&disk.export_path())?, disk)?;
    let (made, entries) = (disk.incoming_state_dir()?, dump.len());
    State::make(&made, &dump)?;
    fail_at(FailAt::BeforeStateInPlace);
    let renamed = disk::rename_directory(&made, &disk.state_dir());
    renamed.map_err(|source| not_renamed(&made, source))?;
    Ok(Some(entries))
}

/// Puts a database of these records in the place of the one that is there, which is moved aside;
/// returns to where. With `exactly` all of them count as they are; else those that may be out of
/// date are left out, and made anew from the files at the next start.
///
/// # Errors
/// See [`RecordsError`].
/// # Durability
/// Certain when it returns. Killed at any moment, the next start finds the old database or makes
/// one anew from the files.
pub fn replace_state(
    disk: &Disk,
    dump: Dump,
    exactly: bool,
) -> Result<Option<PathBuf>, RecordsError> {
    let dump = if exactly { dump } else { settled(dump, disk)? };
    let made = disk.incoming_state_dir()?;
    State::make(&made, &dump)?;
    if !exactly {
        disk.begin_rebuild()?;
    }
    let directory = disk.state_dir();
    let aside = match directory.exists() {
        true => {
            let aside = State::set_aside(&directory, Clock::system().now());
            Some(aside.map_err(|source| not_renamed(&directory, source))?)
        }
        false => None,
    };
    fail_at(FailAt::BeforeStateInPlace);
    disk::rename_directory(&made, &directory).map_err(|source| not_renamed(&made, source))?;
    Ok(aside)
}

fn not_renamed(path: &Path, source: io::Error) -> RecordsError {
    RecordsError::Rename { path: path.display().to_string(), source }
}

/// Leaves out what may be out of date, and videos of which no file is left.
fn settled(dump: Dump, disk: &Disk) -> Result<Dump, RecordsError> {
    let is_there = |video: &VideoRecord| {
        video.discarded || disk.original_size(video.id).is_ok() || has_manifest(disk, video)
    };
    let mut dump = dump.settled(&is_there)?;
    if disk.trashes()?.is_empty() {
        // A backup has none of it.
        dump.forget_trash();
    }
    Ok(dump)
}

fn has_manifest(disk: &Disk, video: &VideoRecord) -> bool {
    disk.manifest(video.id).is_ok_and(|manifest| manifest.is_some())
}
