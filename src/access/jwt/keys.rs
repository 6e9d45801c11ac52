//! The keys of the user's own app: a file of PEM public keys, a JWK set (RFC 7517), or a secret.
//!
//! A key stands for one algorithm, which follows from what it is. What a token says of its
//! algorithm is compared with that and decides nothing.

use crate::clock::Clock;
use crate::units::UnixMillis;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::{info, warn};

/// Longest file.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Most keys in a file.
const KEYS_MAX: usize = 32;
/// Shortest secret: as long as what HS256 makes of it (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// Fewest bytes of an RSA key of 2048 bits.
const RSA_BYTES_MIN: usize = 256;
/// How long the file counts as it was last seen.
const LOOK_AGAIN_MS: u64 = 2_000;

/// A key and what it may check.
pub(super) struct Key {
    /// Its name in the set.
    id: Option<String>,
    /// The one algorithm that it stands for.
    pub(super) algorithm: Algorithm,
    /// The key.
    pub(super) key: DecodingKey,
}

/// The keys of one file.
pub(super) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, in words for the operator.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let keys = match text.trim_start() {
            json if json.starts_with('{') => keys_of_json(json)?,
            pem if pem.contains("-----BEGIN") => keys_of_pem(pem)?,
            secret => vec![key_of_secret(None, secret.trim().as_bytes())?],
        };
        match keys.len() {
            1..=KEYS_MAX => Ok(Self { keys }),
            0 => Err("holds no key for RS256, ES256, EdDSA or HS256".to_owned()),
            _ => Err(format!("holds more than {KEYS_MAX} keys")),
        }
    }

    /// Returns the keys that may have signed a token whose header says this.
    pub(super) fn fitting(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        let named = move |key: &&Key| id.is_none() || key.id.is_none() || key.id.as_deref() == id;
        self.keys.iter().filter(named).filter(move |key| key.algorithm == algorithm)
    }

    /// Says whether whoever reads the file could make tokens.
    fn is_secret(&self) -> bool {
        self.keys.iter().any(|key| key.algorithm == Algorithm::HS256)
    }
}

fn keys_of_json(text: &str) -> Result<Vec<Key>, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("isn't JSON: {error}"))?;
    let set: Result<JwkSet, _> = match value.get("keys").is_some() {
        true => serde_json::from_value(value),
        false => serde_json::from_value(value).map(|jwk: Jwk| JwkSet { keys: vec![jwk] }),
    };
    let set = set.map_err(|error| format!("isn't a JWK set: {error}"))?;
    set.keys.iter().filter_map(key_of_jwk).collect()
}

/// Returns the key of a JWK; none for one that is for something else.
fn key_of_jwk(jwk: &Jwk) -> Option<Result<Key, String>> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        _ => return None,
    };
    let common = &jwk.common;
    let is_named = common.key_algorithm.is_none_or(|named| named == algorithm.into());
    let signs = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption));
    if !is_named || !signs {
        return None;
    }
    let id = common.key_id.clone();
    let key = match DecodingKey::from_jwk(jwk) {
        Ok(key) => key,
        Err(error) => return Some(Err(format!("holds a key that can't be read: {error}"))),
    };
    Some(match (algorithm, key.kind()) {
        (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => key_of_secret(id, secret),
        (_, DecodingKeyKind::RsaModulusExponent { n, .. }) if n.len() < RSA_BYTES_MIN => {
            Err("holds an RSA key of less than 2048 bits".to_owned())
        }
        _ => Ok(Key { id, algorithm, key }),
    })
}

fn keys_of_pem(text: &str) -> Result<Vec<Key>, String> {
    let blocks = text.split("-----BEGIN ").skip(1).map(|block| format!("-----BEGIN {block}"));
    blocks.map(|block| key_of_pem(&block)).collect()
}

fn key_of_pem(block: &str) -> Result<Key, String> {
    let label = block.split("-----").nth(1).unwrap_or_default();
    if !matches!(label, "BEGIN PUBLIC KEY" | "BEGIN RSA PUBLIC KEY") {
        return Err(format!("holds a \"{label}\"; what is needed is the public key alone"));
    }
    let block = block.as_bytes();
    let read = [
        (Algorithm::ES256, DecodingKey::from_ec_pem(block)),
        (Algorithm::EdDSA, DecodingKey::from_ed_pem(block)),
        (Algorithm::RS256, DecodingKey::from_rsa_pem(block)),
    ];
    let found = read.into_iter().find_map(|(algorithm, key)| Some((algorithm, key.ok()?)));
    let (algorithm, key) = found.ok_or("holds a public key that is none of RSA, P-256, Ed25519")?;
    let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    let fits = match algorithm {
        // An uncompressed point.
        Algorithm::ES256 => bytes == 65,
        Algorithm::EdDSA => bytes == 32,
        _ => bytes > RSA_BYTES_MIN,
    };
    match fits {
        true => Ok(Key { id: None, algorithm, key }),
        false => Err("holds a public key of another size than RSA from 2048 bits, P-256 or \
                      Ed25519 have"
            .to_owned()),
    }
}

fn key_of_secret(id: Option<String>, secret: &[u8]) -> Result<Key, String> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!("holds a secret of less than {SECRET_BYTES_MIN} bytes, or no key"));
    }
    Ok(Key { id, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
}

/// A file of keys that is read again once it has changed. A changed file that can't be used leaves
/// the keys as they were.
pub(super) struct KeyFile {
    path: PathBuf,
    clock: Clock,
    seen: Mutex<Seen>,
}

struct Seen {
    keys: Arc<KeySet>,
    /// What the file was when it was read, or couldn't be.
    stamp: Option<Stamp>,
    looked_at: UnixMillis,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        let changed = (meta.ctime(), meta.ctime_nsec());
        Self { inode: meta.ino(), bytes: meta.len(), changed }
    }
}

impl KeyFile {
    /// Reads the keys.
    ///
    /// # Errors
    /// What is wrong with the file, in words for the operator.
    pub(super) fn open(path: &Path, clock: Clock) -> Result<Self, String> {
        let (keys, stamp) = read(path)?;
        let seen = Seen { keys: Arc::new(keys), stamp: Some(stamp), looked_at: clock.now() };
        Ok(Self { path: path.to_owned(), clock, seen: Mutex::new(seen) })
    }

    /// Returns the keys as they are now.
    pub(super) fn keys(&self) -> Arc<KeySet> {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.ms_since(seen.looked_at) >= LOOK_AGAIN_MS {
            seen.looked_at = now;
            let stamp = std::fs::metadata(&self.path).ok().map(|meta| Stamp::of(&meta));
            if stamp != seen.stamp {
                seen.stamp = stamp;
                match read(&self.path) {
                    Ok((keys, stamp)) => {
                        info!(file = %self.path.display(), "the keys of JWTs were read again");
                        (seen.keys, seen.stamp) = (Arc::new(keys), Some(stamp));
                    }
                    Err(why) => warn!("the keys of JWTs stay as they were: {why}"),
                }
            }
        }
        Arc::clone(&seen.keys)
    }
}

fn read(path: &Path) -> Result<(KeySet, Stamp), String> {
    let failed = |why: String| format!("{} {why}", path.display());
    let cannot = |error: std::io::Error| failed(format!("can't be read: {error}"));
    let file = File::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if !meta.is_file() {
        return Err(failed("isn't a file".to_owned()));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(failed("is too long for a file of keys".to_owned()));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(cannot)?;
    let keys = KeySet::parse(&text).map_err(failed)?;
    if keys.is_secret() && meta.mode() & 0o007 != 0 {
        let why = "holds a secret and can be read by everybody; make its mode 0600 or 0640";
        return Err(failed(why.to_owned()));
    }
    Ok((keys, Stamp::of(&meta)))
}
