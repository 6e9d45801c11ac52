//! Master keys: what the keys of files are wrapped with, and the file that holds them.

use super::random;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// Keys that one file of keys may hold.
const KEYS_MAX: usize = 64;

/// Bytes that one file of keys may have.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The public name of a master key, made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Makes the id of its bytes.
    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(|bytes| Self(*bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A master key.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    id: KeyId,
    key: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    /// Draws a fresh one.
    pub fn fresh() -> Self {
        Self::of(random())
    }

    fn of(key: Zeroizing<[u8; 32]>) -> Self {
        let sum = Sha256::new().chain_update(b"slipway originals key").chain_update(key.as_slice());
        let mut id = [0; 8];
        id.copy_from_slice(&sum.finalize()[..8]);
        Self { id: KeyId(id), key }
    }

    /// Returns its public name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns it as a line of a file of keys.
    pub fn to_line(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.key))
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, …)", self.id)
    }
}

/// All master keys that the server knows. New files are wrapped with the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring(Vec<MasterKey>);

/// Why a file of keys can't be used; never what is in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// A line is something else than a key.
    #[error("line {0} isn't a key: 32 bytes as 64 hex digits or as base64")]
    Line(usize),
    /// There is none in it.
    #[error("there is no key in it")]
    Empty,
    /// More than a server looks at.
    #[error("it is too long: {KEYS_MAX} keys at most")]
    TooLong,
}

impl Keyring {
    /// Reads a file of keys: the 32 bytes of one, or text with a key a line, as hex digits or
    /// base64. Empty lines and what begins with `#` say nothing.
    ///
    /// # Errors
    /// Which line isn't a key.
    pub fn parse(file: &[u8]) -> Result<Self, BadKeys> {
        if let Ok(raw) = <[u8; 32]>::try_from(file) {
            return strong(Zeroizing::new(raw)).map(|key| Self(vec![key])).ok_or(BadKeys::Line(1));
        }
        if file.len() > FILE_BYTES_MAX {
            return Err(BadKeys::TooLong);
        }
        let mut keys: Vec<MasterKey> = Vec::new();
        for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
            let line = std::str::from_utf8(line).map_err(|_| BadKeys::Line(number))?.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = from_hex(line).or_else(|| from_base64(line)).and_then(strong);
            let key = key.ok_or(BadKeys::Line(number))?;
            if !keys.contains(&key) {
                keys.push(key);
            }
            if keys.len() > KEYS_MAX {
                return Err(BadKeys::TooLong);
            }
        }
        if keys.is_empty() { Err(BadKeys::Empty) } else { Ok(Self(keys)) }
    }

    /// Returns the key that new files are wrapped with.
    pub fn first(&self) -> &MasterKey {
        // `parse` makes none without a key.
        &self.0[0]
    }

    /// Returns a key by its id.
    pub fn by_id(&self, id: KeyId) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// Returns the ids in the order of the file.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(MasterKey::id)
    }
}

/// Takes anything for a key but one byte again and again, which is a file that was never filled.
fn strong(key: Zeroizing<[u8; 32]>) -> Option<MasterKey> {
    let is_blank = key.iter().all(|byte| *byte == key[0]);
    (!is_blank).then(|| MasterKey::of(key))
}

fn from_base64(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
    let bytes = engines.into_iter().find_map(|engine| engine.decode(text).ok());
    let bytes = Zeroizing::new(bytes?);
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}

/// Writes bytes as lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

/// Reads exactly `N` bytes of hex digits.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    if text.len() != N * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(bytes)
}
