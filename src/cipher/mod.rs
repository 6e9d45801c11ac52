//! How uploads and originals are encrypted at rest: their keys, and their bytes. Pure.
//!
//! Each file has a random key of its own, which lies beside it, wrapped by a master key
//! ([`KeyFile`]). Its bytes are blocks of [`BLOCK_BYTES`], each of them XChaCha20-Poly1305
//! with the block's number as its nonce. That cipher is a stream of its own key's bytes laid over
//! the plain ones, so a byte can be written at any place without its neighbours, and takes up as
//! much room as before: all that is true of an upload's offsets stays true. What
//! proves a block is whole and in its place, its tag, is made once all bytes are there and
//! nobody writes any more.
//!
//! `disk` writes and reads by this; the worker's child reads by the one key that its order has.

mod key_file;
mod keys;
mod reading;

pub use key_file::{KEY_FILE_BYTES, KeyFile, KeyFileError, key_of};
pub use keys::{BadKeys, KeyId, Keyring, MasterKey};
pub use reading::{Damaged, Reading};

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a block. The last one of a file is shorter, and a file of no bytes has an empty one.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

/// What proves a block.
pub type Tag = [u8; TAG_BYTES];

/// Bytes of the key's stream before the first that is laid over a block: its own first block makes
/// the tag (RFC 8439, section 2.8).
const STREAM_BEGIN: u64 = 64;

/// The key of one file. It is never shown, and gone from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct FileKey(Zeroizing<[u8; 32]>);

impl FileKey {
    /// Draws a fresh one.
    pub fn fresh() -> Self {
        Self(random())
    }

    /// Lays the key's stream over `bytes`, which lie from `at` on in the file: makes plain bytes
    /// encrypted ones, and the other way round. Proves nothing.
    pub fn apply(&self, at: u64, bytes: &mut [u8]) {
        let (mut at, mut left) = (at, bytes);
        while !left.is_empty() {
            let (block, within) = (at / BLOCK_BYTES as u64, at % BLOCK_BYTES as u64);
            let count = left.len().min(BLOCK_BYTES - within as usize);
            let (now, later) = left.split_at_mut(count);
            let mut stream = XChaCha20::new((&*self.0).into(), &nonce(block));
            stream.seek(STREAM_BEGIN + within);
            stream.apply_keystream(now);
            (at, left) = (at + count as u64, later);
        }
    }

    /// Returns the tag of an encrypted block. `bytes` are plain afterwards.
    pub fn tag(&self, block: u64, bytes: &mut [u8]) -> Tag {
        self.apply(block * BLOCK_BYTES as u64, bytes);
        let mut again = Zeroizing::new(bytes.to_vec());
        let sealed =
            self.aead().encrypt_inout_detached(&nonce(block), b"", again.as_mut_slice().into());
        // It fails for more bytes than a block has only.
        sealed.map_or([0; TAG_BYTES], Into::into)
    }

    /// Makes an encrypted block plain, if its tag proves that it is this block of this file.
    ///
    /// # Errors
    /// [`Damaged`]; what is in `bytes` then is worthless, and zeros.
    pub fn open(&self, block: u64, bytes: &mut [u8], tag: &Tag) -> Result<(), Damaged> {
        let opened =
            self.aead().decrypt_inout_detached(&nonce(block), b"", bytes.into(), tag.into());
        opened.map_err(|_| {
            bytes.fill(0);
            Damaged { block }
        })
    }

    fn aead(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(…)")
    }
}

/// For the order to a worker, which is nowhere kept.
impl Serialize for FileKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(keys::hex(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for FileKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        let key = keys::from_hex(&text).map(Self);
        key.ok_or_else(|| serde::de::Error::custom("not the key of a file"))
    }
}

/// Returns how many blocks a file of `length` bytes has.
pub fn blocks_of(length: u64) -> u64 {
    length.div_ceil(BLOCK_BYTES as u64).max(1)
}

/// Returns how many bytes a block of a file of `length` bytes has.
fn bytes_of(block: u64, length: u64) -> usize {
    let left = length.saturating_sub(block * BLOCK_BYTES as u64);
    usize::try_from(left).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES))
}

/// Each block of a file has a nonce of its own; no two files have the same key.
fn nonce(block: u64) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(&block.to_le_bytes());
    nonce.into()
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).expect("the kernel's random source works once the system is up");
    bytes
}

#[cfg(test)]
mod tests;
