//! A certificate with those that vouch for it, and the key that belongs to it, in two PEM files.

use super::validity;
use crate::config::TlsConfig;
use crate::units::UnixMillis;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest file of either kind.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Most certificates in a file.
const CHAIN_MAX: usize = 16;

/// What is known of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairFacts {
    /// From when on the certificate counts.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
}

/// A time that is shown as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub UnixMillis);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339())
    }
}

/// A pair that can be used.
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: PairFacts,
    pub(super) stamps: Stamps,
}

/// What both files were when they were looked at; none for one that isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamps([Option<Stamp>; 2]);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        let changed = (meta.ctime(), meta.ctime_nsec());
        Self { device: meta.dev(), inode: meta.ino(), bytes: meta.len(), changed }
    }
}

impl Stamps {
    /// Looks at both files, through links: those who renew change what a link leads to.
    pub(super) fn of(files: &TlsConfig) -> Self {
        let stamp = |path: &Option<std::path::PathBuf>| {
            let meta = path.as_deref().and_then(|path| std::fs::metadata(path).ok());
            meta.as_ref().map(Stamp::of)
        };
        Self([stamp(&files.certificate), stamp(&files.key)])
    }
}

/// Reads the pair as a server would, and says what is known of it; none if none is named.
///
/// # Errors
/// What is wrong with it, in words for the operator.
pub fn examine(files: &TlsConfig) -> Result<Option<PairFacts>, String> {
    Ok(Pair::read(files)?.map(|pair| pair.facts))
}

/// Returns the one kind of cryptography that the program has.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Pair {
    /// Reads both files; none if none is named.
    ///
    /// # Errors
    /// What is wrong with them, in words for the operator.
    pub(super) fn read(files: &TlsConfig) -> Result<Option<Self>, String> {
        let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
            return Ok(None);
        };
        let wrong = |path: &Path, why: String| format!("{} {why}", path.display());
        let (text, certificate_is) =
            read(certificate, Openness::All).map_err(|why| wrong(certificate, why))?;
        let chain = chain(&text).map_err(|why| wrong(certificate, why))?;
        let first = chain.first().ok_or_else(|| wrong(certificate, "is empty".to_owned()))?;
        let facts = validity::of(first).ok_or_else(|| {
            wrong(certificate, "holds a certificate that can't be read".to_owned())
        })?;
        let (text, key_is) = read(key, Openness::Few).map_err(|why| wrong(key, why))?;
        let secret = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| wrong(key, "holds no private key in PEM, or an encrypted one".into()))?;
        let key = CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| {
            let why = match error {
                rustls::Error::InconsistentKeys(_) => "isn't the certificate's key".to_owned(),
                other => format!("can't be used: {other}"),
            };
            wrong(key, why)
        })?;
        let stamps = Stamps([Some(certificate_is), Some(key_is)]);
        Ok(Some(Self { key: Arc::new(key), facts, stamps }))
    }
}

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = found.map_err(|_| "isn't PEM".to_owned())?;
    match chain.len() {
        0 => Err("holds no certificate in PEM".to_owned()),
        1..=CHAIN_MAX => Ok(chain),
        _ => Err(format!("holds more than {CHAIN_MAX} certificates")),
    }
}

/// Who may be able to read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Openness {
    All,
    /// Its owner and a group.
    Few,
}

fn read(path: &Path, openness: Openness) -> Result<(Zeroizing<Vec<u8>>, Stamp), String> {
    let cannot = |error: std::io::Error| format!("can't be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    if !meta.is_file() {
        return Err("isn't a file".to_owned());
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err("is too long for PEM".to_owned());
    }
    if openness == Openness::Few && meta.mode() & 0o007 != 0 {
        return Err("may be read by others; `chmod 600` (or 640 for a group) mends that".into());
    }
    // Room for all of it at once: no part of a key stays behind where the bytes were moved from.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(cannot)?;
    Ok((bytes, Stamp::of(&meta)))
}
