//! What was uploaded, read in plain however it lies on the disk.

use super::error::DiskError;
use crate::cipher::{Damaged, Reading};
use crate::units::{ByteCount, ByteOffset};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// An original, or what has come of an upload, open for reading. All who read such bytes read them
/// through this, or hand on what [`PlainFile::into_parts`] gives.
#[derive(Debug)]
pub struct PlainFile {
    file: File,
    path: PathBuf,
    size: ByteCount,
    /// How it is decrypted, and the file that lies beside it.
    encrypted: Option<(Reading, File)>,
    at: u64,
}

impl PlainFile {
    /// Takes a file that is plain as it lies there.
    pub(super) fn plain(file: File, path: PathBuf, size: ByteCount) -> Self {
        Self { file, path, size, encrypted: None, at: 0 }
    }

    /// Takes an encrypted one with its key file.
    pub(super) fn encrypted(
        file: File,
        path: PathBuf,
        size: ByteCount,
        reading: Reading,
        key_file: File,
    ) -> Self {
        Self { file, path, size, encrypted: Some((reading, key_file)), at: 0 }
    }

    /// Returns how many bytes it has in plain.
    pub fn size(&self) -> ByteCount {
        self.size
    }

    /// Says whether it is encrypted on the disk.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted.is_some()
    }

    /// Returns the file as it lies on the disk: of the same size, changed at the same time.
    pub fn on_disk(&self) -> &File {
        &self.file
    }

    /// Fills `into` with what lies from `at` on, as far as it can at once; returns how many bytes
    /// these are, 0 at the end.
    ///
    /// # Errors
    /// `Damaged` for what isn't as it was written; `Io`.
    pub fn read_at(&mut self, at: ByteOffset, into: &mut [u8]) -> Result<usize, DiskError> {
        let file = &self.file;
        let read = match &mut self.encrypted {
            None => pread(file, at.0, into),
            Some((reading, key_file)) => reading.read(
                at.0,
                into,
                |at, into| pread(file, at, into),
                |at, into| pread(key_file, at, into),
            ),
        };
        read.map_err(|error| self.error(error))
    }

    /// Takes it apart for somebody who reads by himself: the file, how it is decrypted, and the
    /// file with its tags.
    pub fn into_parts(self) -> (File, Option<(Reading, File)>) {
        (self.file, self.encrypted)
    }

    fn error(&self, error: io::Error) -> DiskError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Damaged>());
        match inner {
            Some(damaged) => DiskError::Damaged { path: self.path.clone(), block: damaged.block },
            None => DiskError::from_io("read", &self.path, error),
        }
    }
}

/// From its start on, in order.
impl Read for PlainFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(ByteOffset(self.at), into).map_err(io::Error::other)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn pread(file: &File, at: u64, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, &mut *into, at) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

/// Fills all of `into`.
pub(super) fn fill_at(file: &File, path: &Path, at: u64, into: &mut [u8]) -> Result<(), DiskError> {
    let mut done = 0;
    while done < into.len() {
        let read = pread(file, at + done as u64, &mut into[done..]);
        match read.map_err(|error| DiskError::from_io("read", path, error))? {
            0 => {
                let end = io::ErrorKind::UnexpectedEof.into();
                return Err(DiskError::from_io("read", path, end));
            }
            count => done += count,
        }
    }
    Ok(())
}
