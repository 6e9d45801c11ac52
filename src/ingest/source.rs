//! A local file that is sent: read at places, summed, and watched for changes.

use super::retry::Stop;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Bytes that are read at once for a sum.
const READ_BYTES: usize = 1 << 20;

/// A SHA-256.
pub(super) type Sum = [u8; 32];

/// An open file with what it was like when it was opened.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    path: PathBuf,
    mark: Mark,
}

/// What shows that a file was changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Mark {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
        }
    }
}

impl Source {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mark = Mark::of(&file.metadata()?);
        Ok(Self { file, path: path.to_owned(), mark })
    }

    /// Returns where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the size that it had when it was opened.
    pub(super) fn size(&self) -> u64 {
        self.mark.size
    }

    /// Says whether the file is another than when it was opened: changed, replaced or gone.
    pub(super) fn is_changed(&self) -> bool {
        let open = self.file.metadata().map(|about| Mark::of(&about));
        let named = std::fs::metadata(&self.path).map(|about| Mark::of(&about));
        ![open, named].into_iter().all(|mark| mark.is_ok_and(|mark| mark == self.mark))
    }

    /// Reads `start..end` and shows it piece by piece.
    pub(super) fn read(
        &self,
        (start, end): (u64, u64),
        mut show: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut at = start;
        while at < end {
            let most = READ_BYTES.min(usize::try_from(end - at).unwrap_or(READ_BYTES));
            let count = self.file.read_at(&mut buffer[..most], at)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            show(&buffer[..count]);
            at += count as u64;
        }
        Ok(())
    }

    /// Returns the SHA-256 of `start..end`.
    pub(super) fn sum(&self, range: (u64, u64)) -> io::Result<Sum> {
        let mut hasher = Sha256::new();
        self.read(range, |bytes| hasher.update(bytes))?;
        Ok(hasher.finalize().into())
    }

    /// Returns `start..end` as the body of a request.
    pub(super) fn body<'a>(
        &'a self,
        (start, end): (u64, u64),
        stop: &'a Stop,
        count: impl FnMut(u64) + 'a,
    ) -> impl io::Read + 'a {
        Body { file: &self.file, at: start, end, stop, count }
    }
}

/// A range of the file, read as it is sent.
struct Body<'a, F> {
    file: &'a File,
    at: u64,
    end: u64,
    stop: &'a Stop,
    count: F,
}

impl<F: FnMut(u64)> io::Read for Body<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_set() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        (self.count)(count as u64);
        Ok(count)
    }
}

/// Writes a sum in lower-case hex.
pub(super) fn hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// A change of content, a replaced file and a vanished one are all seen.
    #[test]
    fn changes_are_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        std::fs::write(&path, b"0123456789").expect("written");
        let source = Source::open(&path).expect("it is there");
        assert!(!source.is_changed());
        std::fs::write(directory.path().join("b"), b"0123456789").expect("written");
        std::fs::rename(directory.path().join("b"), &path).expect("replaced");
        assert!(source.is_changed());
        let source = Source::open(&path).expect("it is there");
        std::fs::write(&path, b"0123").expect("written");
        assert!(source.is_changed());
        assert!(source.sum((0, 10)).is_err(), "it ends early");
        std::fs::remove_file(&path).expect("removed");
        assert!(source.is_changed());
    }

    /// Bodies hold their range and no more, and end with an error where the file does.
    #[test]
    fn bodies_are_ranges() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        std::fs::write(&path, b"0123456789").expect("written");
        let source = Source::open(&path).expect("it is there");
        let (stop, mut text) = (Stop::default(), String::new());
        source.body((3, 7), &stop, |_| ()).read_to_string(&mut text).expect("read");
        assert_eq!(text, "3456");
        assert!(source.body((8, 12), &stop, |_| ()).read_to_string(&mut text).is_err());
        assert_eq!(hex(&source.sum((0, 0)).expect("read"))[..8], *"e3b0c442");
        stop.set();
        assert!(source.body((0, 1), &stop, |_| ()).read_to_string(&mut text).is_err());
    }
}
