//! Reading an encrypted file in plain, from any place on.

use super::{BLOCK_BYTES, FileKey, KEY_FILE_BYTES, TAG_BYTES, bytes_of};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use zeroize::Zeroizing;

/// A block isn't what was written there: the disk has changed it, or somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block} isn't as it was written")]
pub struct Damaged {
    /// Which.
    pub block: u64,
}

/// What a reader of an encrypted file needs to know, and the block that it read last.
#[derive(Serialize, Deserialize)]
pub struct Reading {
    key: FileKey,
    /// How many bytes the file has, if each block has a tag.
    tagged: Option<u64>,
    #[serde(skip)]
    last: Option<(u64, Zeroizing<Vec<u8>>)>,
}

impl Reading {
    /// Reads a file by its key. With `tagged`, its length, only bytes whose tag proves them are
    /// given; without, there are no tags yet.
    pub fn new(key: FileKey, tagged: Option<u64>) -> Self {
        Self { key, tagged, last: None }
    }

    /// Says whether there are tags to read.
    pub fn is_tagged(&self) -> bool {
        self.tagged.is_some()
    }

    /// Fills `into` with plain bytes from `at` on as far as it can at once, and returns how many
    /// they are; 0 at the end. `bytes` reads the encrypted file at a place, and `tags` what lies
    /// beside it, both as `pread` does.
    ///
    /// # Errors
    /// Theirs; `InvalidData` with [`Damaged`] inside for what isn't as it was written, also if
    /// some of it is missing.
    pub fn read(
        &mut self,
        at: u64,
        into: &mut [u8],
        mut bytes: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
        mut tags: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let Some(length) = self.tagged else {
            let count = bytes(at, into)?;
            self.key.apply(at, &mut into[..count]);
            return Ok(count);
        };
        let mut done = 0;
        while done < into.len() {
            let place = at.saturating_add(done as u64);
            if place >= length {
                break;
            }
            let (block, within) = (place / BLOCK_BYTES as u64, place % BLOCK_BYTES as u64);
            let size = bytes_of(block, length);
            let rest = &mut into[done..];
            let read = match within == 0 && rest.len() >= size {
                true => self.block(block, &mut rest[..size], &mut bytes, &mut tags).map(|()| size),
                false => self.piece(block, within as usize, size, rest, &mut bytes, &mut tags),
            };
            match read {
                Ok(count) => done += count,
                // What came before is right; whoever reads on meets it again.
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Reads a piece of a block, which is kept for the next one.
    fn piece(
        &mut self,
        block: u64,
        within: usize,
        size: usize,
        into: &mut [u8],
        bytes: &mut impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
        tags: &mut impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let held = match self.last.take() {
            Some((number, held)) if number == block => held,
            other => {
                let mut held = other.map(|(_, held)| held).unwrap_or_default();
                held.resize(size, 0);
                self.block(block, &mut held, bytes, tags)?;
                held
            }
        };
        let count = into.len().min(size - within);
        into[..count].copy_from_slice(&held[within..within + count]);
        self.last = Some((block, held));
        Ok(count)
    }

    /// Reads a whole block.
    fn block(
        &self,
        block: u64,
        into: &mut [u8],
        bytes: &mut impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
        tags: &mut impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut tag = [0; TAG_BYTES];
        let place = KEY_FILE_BYTES as u64 + block * TAG_BYTES as u64;
        let is_whole =
            full(place, &mut tag, tags)? && full(block * BLOCK_BYTES as u64, into, bytes)?;
        let opened = match is_whole {
            true => self.key.open(block, into, &tag),
            false => {
                into.fill(0);
                Err(Damaged { block })
            }
        };
        opened.map_err(|damaged| io::Error::new(io::ErrorKind::InvalidData, damaged))
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("tagged", &self.tagged).finish_non_exhaustive()
    }
}

/// Another reader of the same.
impl Clone for Reading {
    fn clone(&self) -> Self {
        Self::new(self.key.clone(), self.tagged)
    }
}

impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, self.tagged) == (&other.key, other.tagged)
    }
}

/// Fills `into`; false if there is less.
fn full(
    at: u64,
    into: &mut [u8],
    read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<bool> {
    let mut done = 0;
    while done < into.len() {
        match read(at + done as u64, &mut into[done..]) {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
