//! The bytes of one upload, written at their offsets, encrypted on their way where it has a key.

use super::error::DiskError;
use super::files;
use crate::cipher::FileKey;
use crate::units::{ByteCount, ByteOffset};
use bytes::Bytes;
use rustix::fs::{Advice, FallocateFlags, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most that one call of [`Blob::reserve`] reserves: enough for contiguous files, little
/// enough that an abandoned upload doesn't hold a disk.
const RESERVE_WINDOW_BYTES: u64 = 256 * 1024 * 1024;

/// The most that one call copies; the kernel takes a bit less than 2 GiB.
const COPY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Bytes that are copied at once where the kernel can't do it.
const HAND_BYTES: usize = 1024 * 1024;

/// Buffers that one system call takes (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;

/// An upload's open file. Shared in an `Arc`; every method may be called from any thread.
#[derive(Debug)]
pub struct Blob {
    file: File,
    path: PathBuf,
    /// What its bytes are encrypted with.
    key: Option<FileKey>,
    /// Up to where blocks were reserved since it was opened.
    reserved: AtomicU64,
    /// The disk failed to confirm once. The kernel tells that to the first who asks and to nobody
    /// after, so it is kept here; held while asking, so that nobody asks in between.
    failed: Mutex<bool>,
}

impl Blob {
    pub(super) fn open(path: &Path, key: Option<FileKey>) -> Result<Self, DiskError> {
        let file = files::open("open", path, OFlags::RDWR, 0)?;
        let blob = Self {
            file,
            path: path.to_owned(),
            key,
            reserved: AtomicU64::new(0),
            failed: Mutex::default(),
        };
        blob.reserved.store(blob.len()?.0, Ordering::Relaxed);
        Ok(blob)
    }

    /// Writes `pieces` one behind the other from `at` on.
    ///
    /// # Errors
    /// `NoSpace`, or `Io`; some of the bytes may have been written then.
    /// # Durability
    /// They are with the kernel: they survive this process, not a power cut.
    pub fn write_at(&self, at: ByteOffset, pieces: &[impl AsRef<[u8]>]) -> Result<(), DiskError> {
        match &self.key {
            Some(key) => self.encrypt_at(at.0, pieces, key),
            None => self.put_at(at.0, pieces),
        }
    }

    /// Writes pieces encrypted, some of them at a time. Nothing else is known of bytes that lie
    /// beside them, so they may begin and end anywhere.
    fn encrypt_at(
        &self,
        mut at: u64,
        pieces: &[impl AsRef<[u8]>],
        key: &FileKey,
    ) -> Result<(), DiskError> {
        let all = pieces.iter().flat_map(|piece| piece.as_ref().chunks(HAND_BYTES));
        let mut bytes = Vec::new();
        let mut chunks = all.peekable();
        while let Some(chunk) = chunks.next() {
            bytes.extend_from_slice(chunk);
            let is_last_of_write =
                chunks.peek().is_none_or(|next| bytes.len() + next.len() > HAND_BYTES);
            if is_last_of_write {
                key.apply(at, &mut bytes);
                self.put_at(at, &[&bytes])?;
                at = at.saturating_add(bytes.len() as u64);
                bytes.clear();
            }
        }
        Ok(())
    }

    /// Writes pieces as they are.
    fn put_at(&self, mut at: u64, pieces: &[impl AsRef<[u8]>]) -> Result<(), DiskError> {
        let mut pieces = pieces.iter().map(|it| IoSlice::new(it.as_ref())).collect::<Vec<_>>();
        let mut left = pieces.as_mut_slice();
        // Empty pieces at the front would make "nothing written" look like an error.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let call = &left[..left.len().min(PIECES_MAX)];
            let written = match rustix::io::pwritev(&self.file, call, at) {
                Ok(0) => return Err(self.error("write", io::ErrorKind::WriteZero.into())),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.error("write", errno.into())),
            };
            at = at.saturating_add(written as u64);
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    /// Writes `count` bytes of `source` from `from` on to `at`, without bringing them through this
    /// process if neither is encrypted; a file system that can shares the blocks instead.
    ///
    /// # Errors
    /// `WrongSize` if `source` ends before; `NoSpace`, `Io`; some of the bytes may have been
    /// written then.
    /// # Durability
    /// As [`Blob::write_at`].
    pub fn copy_from(
        &self,
        at: ByteOffset,
        source: &Self,
        from: ByteOffset,
        count: ByteCount,
    ) -> Result<(), DiskError> {
        let (mut to, mut from, mut left) = (at.0, from.0, count.0);
        if self.is_encrypted() || source.is_encrypted() {
            // Each has a key of its own.
            return self.copy_by_hand(to, source, from, left);
        }
        while left > 0 {
            let call = usize::try_from(left).unwrap_or(usize::MAX).min(COPY_BYTES_MAX);
            let (file, into) = (&source.file, &self.file);
            match rustix::fs::copy_file_range(file, Some(&mut from), into, Some(&mut to), call) {
                Ok(0) => return Err(source.ends_before(from.saturating_add(left))),
                Ok(copied) => left -= copied as u64,
                Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return self.copy_by_hand(to, source, from, left);
                }
                Err(errno) => return Err(self.error("copy into", errno.into())),
            }
        }
        Ok(())
    }

    /// As [`Blob::copy_from`], where the kernel can't.
    fn copy_by_hand(
        &self,
        mut to: u64,
        source: &Self,
        mut from: u64,
        mut left: u64,
    ) -> Result<(), DiskError> {
        while left > 0 {
            let call = usize::try_from(left).unwrap_or(usize::MAX).min(HAND_BYTES);
            let mut buffer = vec![0; call];
            let read = match rustix::io::pread(&source.file, &mut buffer, from) {
                Ok(0) => return Err(source.ends_before(from.saturating_add(left))),
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(source.error("read", errno.into())),
            };
            source.decrypt(from, &mut buffer[..read]);
            buffer.truncate(read);
            self.write_at(ByteOffset(to), &[Bytes::from(buffer)])?;
            let read = read as u64;
            (to, from, left) = (to + read, from + read, left - read);
        }
        Ok(())
    }

    fn ends_before(&self, recorded: u64) -> DiskError {
        let found = self.len().unwrap_or_default().0;
        DiskError::WrongSize { path: self.path.clone(), found, recorded }
    }

    /// Asks the kernel to begin writing `count` bytes from `at` on to the disk, so that the later
    /// sync has little to do. Promises nothing, and an error here is met again there.
    pub fn start_writeback(&self, at: ByteOffset, count: ByteCount) {
        let Some(count) = std::num::NonZeroU64::new(count.0) else { return };
        // `sync_file_range` has no safe wrapper. "Don't need" begins with the same write-out
        // without waiting; the pages stay, since they are still dirty or on their way.
        let _ = rustix::fs::fadvise(&self.file, at.0, Some(count), Advice::DontNeed);
    }

    /// Has the disk confirm all bytes and the size.
    ///
    /// # Errors
    /// `SyncFailed`: final, and so is every later call's answer. The disk itself may tell a second
    /// try of success without the bytes being there, so the process has to end and believe only
    /// what was confirmed before.
    pub fn sync_data(&self) -> Result<(), DiskError> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = match *failed {
            true => Err(io::Error::other("an earlier sync of this file failed")),
            false => self.file.sync_data(),
        };
        *failed = synced.is_err();
        synced.map_err(|source| DiskError::SyncFailed { path: self.path.clone(), source })
    }

    /// Reserves blocks for the bytes before `up_to` that have none yet, at most 256 MiB a call,
    /// without changing the size. Does nothing where the file system can't.
    ///
    /// # Errors
    /// `NoSpace` before a byte is sent in vain; `Io`.
    pub fn reserve(&self, up_to: ByteOffset) -> Result<(), DiskError> {
        let from = self.reserved.load(Ordering::Relaxed);
        if up_to.0 <= from {
            return Ok(());
        }
        let count = (up_to.0 - from).min(RESERVE_WINDOW_BYTES);
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, count) {
                Ok(()) => {
                    self.reserved.fetch_max(from + count, Ordering::Relaxed);
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.reserved.store(u64::MAX, Ordering::Relaxed);
                    return Ok(());
                }
                Err(errno) => return Err(self.error("reserve", errno.into())),
            }
        }
    }

    /// Reserves blocks for `count` bytes from `at` on, without changing the size. Does nothing
    /// where the file system can't.
    ///
    /// # Errors
    /// `NoSpace` before a byte is sent in vain; `Io`.
    pub fn reserve_at(&self, at: ByteOffset, count: ByteCount) -> Result<(), DiskError> {
        if count.0 == 0 {
            return Ok(());
        }
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, at.0, count.0) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("reserve", errno.into())),
            }
        }
    }

    /// Fills `bytes` with what lies from `at` on.
    ///
    /// # Errors
    /// `Io`, also when the file ends before.
    pub fn read_at(&self, at: ByteOffset, bytes: &mut [u8]) -> Result<(), DiskError> {
        let mut read = 0;
        while read < bytes.len() {
            let from = at.0.saturating_add(read as u64);
            match rustix::io::pread(&self.file, &mut bytes[read..], from) {
                Ok(0) => return Err(self.error("read", io::ErrorKind::UnexpectedEof.into())),
                Ok(some) => read += some,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error("read", errno.into())),
            }
        }
        self.decrypt(at.0, bytes);
        Ok(())
    }

    fn decrypt(&self, at: u64, bytes: &mut [u8]) {
        if let Some(key) = &self.key {
            key.apply(at, bytes);
        }
    }

    /// Says whether its bytes are encrypted on the disk.
    pub fn is_encrypted(&self) -> bool {
        self.key.is_some()
    }

    /// Returns the size of the file. Bytes up to there aren't all right for that: the record says
    /// which are.
    ///
    /// # Errors
    /// `Io`.
    pub fn len(&self) -> Result<ByteCount, DiskError> {
        let metadata = self.file.metadata().map_err(|e| self.error("look at", e))?;
        Ok(ByteCount(metadata.len()))
    }

    /// Says whether the file has no bytes.
    ///
    /// # Errors
    /// `Io`.
    pub fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == ByteCount(0))
    }

    /// Cuts the file to `size`, which also gives reserved blocks behind it back, and has the disk
    /// confirm all of it.
    pub(super) fn seal(&self, size: ByteCount) -> Result<(), DiskError> {
        let found = self.len()?;
        if found < size {
            let path = self.path.clone();
            return Err(DiskError::WrongSize { path, found: found.0, recorded: size.0 });
        }
        self.file.set_len(size.0).map_err(|e| self.error("cut", e))?;
        files::sync_file(&self.file, &self.path)
    }

    fn error(&self, action: &'static str, source: io::Error) -> DiskError {
        DiskError::from_io(action, &self.path, source)
    }
}

impl AsFd for Blob {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(dir: &Path, name: &str, bytes: &[u8]) -> Blob {
        std::fs::write(dir.join(name), bytes).expect("written");
        Blob::open(&dir.join(name), None).expect("it is there")
    }

    /// Bytes are copied from and to any place, by the kernel and by hand alike; a source that is
    /// too short is an error and no endless loop.
    #[test]
    fn bytes_are_copied_between_blobs() {
        let dir = tempfile::tempdir().expect("a directory");
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(97) >> 5) as u8).collect();
        let source = blob(dir.path(), "source", &bytes);
        for by_hand in [false, true] {
            let to = blob(dir.path(), "to", b"begin");
            let copy = |at: u64, from: u64, count: u64| match by_hand {
                true => to.copy_by_hand(at, &source, from, count),
                false => to.copy_from(ByteOffset(at), &source, ByteOffset(from), ByteCount(count)),
            };
            copy(5, 7, 2_500_000).expect("copied");
            copy(2_500_005, 0, 9).expect("copied");
            copy(0, 0, 0).expect("nothing to do");
            let expected = [b"begin".as_slice(), &bytes[7..2_500_007], &bytes[..9]].concat();
            assert!(std::fs::read(dir.path().join("to")).expect("read") == expected);
            assert!(matches!(copy(0, 2_999_999, 2), Err(DiskError::WrongSize { .. })));
        }
    }
}
