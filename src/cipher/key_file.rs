//! What lies beside an encrypted file: its key, wrapped by a master key, and the tags of its blocks
//! once they are made.
//!
//! ```text
//! 0   "slipkey" and the version of this form
//! 8   1 if tags follow, else 0; then seven zeros
//! 16  id of the master key
//! 24  length of the file, little-endian; 0 while there are no tags
//! 32  id of the video; zeros while there are no tags
//! 48  nonce of the wrapping
//! 72  the wrapped key and its tag; it proves all that stands before, too
//! 120 the tags, 16 bytes for each block
//! ```

use super::keys::{KeyId, Keyring};
use super::{FileKey, TAG_BYTES, random};
use crate::ids::VideoId;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

/// Bytes before the tags.
pub const KEY_FILE_BYTES: usize = 120;

const MAGIC: [u8; 8] = *b"slipkey\x01";
const PROVEN: usize = 48;
const NONCE: usize = 72;
const WRAPPED: usize = 104;

/// The head of what lies beside an encrypted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// The key of the file.
    pub key: FileKey,
    /// Of which video the file is the original and how many bytes that has, once there are tags.
    pub tagged: Option<(VideoId, u64)>,
}

/// Why a key file can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// It isn't one, or one of a later program, or it has been changed.
    #[error("it isn't as it was written")]
    Damaged,
    /// The key that it was wrapped with isn't known.
    #[error("the key {0} isn't among those of originals.key_file")]
    NoKey(KeyId),
}

impl KeyFile {
    /// Returns the head wrapped with the first of the keys; the tags go behind it.
    pub fn wrap(&self, keys: &Keyring) -> [u8; KEY_FILE_BYTES] {
        let master = keys.first();
        let mut head = [0; KEY_FILE_BYTES];
        head[..8].copy_from_slice(&MAGIC);
        head[16..24].copy_from_slice(&master.id().bytes());
        if let Some((video, length)) = self.tagged {
            head[8] = 1;
            head[24..32].copy_from_slice(&length.to_le_bytes());
            head[32..PROVEN].copy_from_slice(video.as_bytes());
        }
        let nonce = random::<24>();
        head[PROVEN..NONCE].copy_from_slice(&*nonce);
        head[NONCE..WRAPPED].copy_from_slice(&*self.key.0);
        let (proven, rest) = head.split_at_mut(PROVEN);
        let (wrapped, tag) = rest[NONCE - PROVEN..].split_at_mut(WRAPPED - NONCE);
        let cipher = XChaCha20Poly1305::new(master.bytes().into());
        let made = cipher.encrypt_inout_detached((&*nonce).into(), proven, wrapped.into());
        // It fails for more bytes than memory has only; the key is nothing without its tag.
        tag.copy_from_slice(&made.map_or([0; TAG_BYTES], Into::into));
        head
    }

    /// Unwraps a head.
    ///
    /// # Errors
    /// `Damaged`, `NoKey`.
    pub fn unwrap(
        head: &[u8; KEY_FILE_BYTES],
        keys: Option<&Keyring>,
    ) -> Result<Self, KeyFileError> {
        let id = key_of(head)?;
        let master = keys.and_then(|keys| keys.by_id(id)).ok_or(KeyFileError::NoKey(id))?;
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&head[NONCE..WRAPPED]);
        let cipher = XChaCha20Poly1305::new(master.bytes().into());
        let nonce = array::<24>(&head[PROVEN..NONCE]);
        let tag = array::<TAG_BYTES>(&head[WRAPPED..]);
        let proven = &head[..PROVEN];
        cipher
            .decrypt_inout_detached(
                (&nonce).into(),
                proven,
                key.as_mut_slice().into(),
                (&tag).into(),
            )
            .map_err(|_| KeyFileError::Damaged)?;
        let length = u64::from_le_bytes(array(&head[24..32]));
        let video = VideoId::from_bytes(array(&head[32..PROVEN]));
        let tagged = (head[8] == 1).then_some((video, length));
        Ok(Self { key: FileKey(key), tagged })
    }
}

/// Returns which master key a head was wrapped with.
///
/// # Errors
/// `Damaged`.
pub fn key_of(head: &[u8; KEY_FILE_BYTES]) -> Result<KeyId, KeyFileError> {
    if head[..8] != MAGIC {
        return Err(KeyFileError::Damaged);
    }
    Ok(KeyId::from_bytes(array(&head[16..24])))
}

/// Returns as many bytes of a head as a field has.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(bytes);
    field
}
