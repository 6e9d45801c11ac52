//! Who may begin what: how much one owner may have, how many bodies at once, which files.
//!
//! Whatever the door, an upload is counted before anything of it is made, a body before it is
//! read. What an owner has is counted by `state`, beside the records; bodies are counted here, as
//! they don't outlive the process.

use super::{Engine, NewUpload, UploadError, Uploads};
use crate::ids::{Owner, UploadId};
use crate::model::accept::Accept;
use crate::model::access::{Bounds, GrantFault};
use crate::model::consent::Objection;
use crate::model::upload::UploadState;
use crate::state::{Allowance, Conflict, Excess, StateError, UploadRecord};
use crate::units::{ByteCount, ByteOffset};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// First bytes that are looked at; what is sure is sure by then.
const HEAD_BYTES: usize = 256;

/// Why somebody's upload isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The owner would keep too many bytes.
    #[error("the owner may keep {limit} bytes")]
    Quota {
        /// How many are allowed.
        limit: ByteCount,
    },
    /// The owner has announced too many bytes that haven't come.
    #[error("the owner may announce {limit} bytes")]
    Announced {
        /// How many are allowed.
        limit: ByteCount,
    },
    /// The owner has too many uploads that haven't ended.
    #[error("the owner may have {limit} open uploads")]
    OpenUploads {
        /// How many are allowed.
        limit: usize,
    },
    /// Too many films of the owner wait to be worked on.
    #[error("the owner may have {limit} films waiting")]
    Waiting {
        /// How many are allowed.
        limit: usize,
    },
    /// The token is good for so many uploads, and has begun them all.
    #[error("the token may begin {limit} uploads")]
    Spent {
        /// How many are allowed.
        limit: u32,
    },
    /// The grant can't begin it.
    #[error("{0}")]
    Grant(GrantFault),
    /// The owner sends too many bodies at once.
    #[error("the owner may send {limit} bodies at once")]
    Bodies {
        /// How many are allowed.
        limit: usize,
    },
    /// A hook doesn't want it; an upload that was begun is over.
    #[error("a hook doesn't want it")]
    Hook(Objection),
    /// The first bytes say that the file is of a kind that isn't taken; the upload is over.
    #[error("the file is {kind}")]
    Kind {
        /// Its media type.
        kind: String,
    },
}

/// What a body belongs to: an upload, or one numbered part of it.
type BodyKey = (UploadId, Option<u32>);

/// The bodies that are being received, owner by owner. Two for the same thing count once: the
/// newer takes over from the older one, which mustn't keep it out.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    owners: Mutex<HashMap<Owner, HashMap<BodyKey, usize>>>,
}

/// A body that is counted, until dropped.
#[derive(Debug)]
pub(super) struct CountedBody {
    bodies: Arc<Bodies>,
    owner: Owner,
    key: BodyKey,
}

impl Bodies {
    fn begin(self: &Arc<Self>, owner: &Owner, key: BodyKey, max: usize) -> Option<CountedBody> {
        let mut owners = self.owners();
        let own = owners.entry(owner.clone()).or_default();
        if own.len() >= max && !own.contains_key(&key) {
            return None;
        }
        *own.entry(key).or_default() += 1;
        Some(CountedBody { bodies: self.clone(), owner: owner.clone(), key })
    }

    fn count(&self, owner: &Owner) -> usize {
        self.owners().get(owner).map_or(0, HashMap::len)
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Owner, HashMap<BodyKey, usize>>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        let mut owners = self.bodies.owners();
        let Some(own) = owners.get_mut(&self.owner) else { return };
        if let Entry::Occupied(mut body) = own.entry(self.key) {
            *body.get_mut() -= 1;
            if *body.get() == 0 {
                body.remove();
            }
        }
        if own.is_empty() {
            owners.remove(&self.owner);
        }
    }
}

/// Lets an upload grow beyond what it announced, as far as its owner may have that. What it was
/// let grow to counts until this is dropped; then its record has taken over.
pub(super) struct Growth {
    engine: Arc<Engine>,
    id: UploadId,
}

impl Growth {
    pub(super) fn of(engine: Arc<Engine>, id: UploadId) -> Self {
        Self { engine, id }
    }

    /// Counts the upload as if it reached up to `until`, where its bytes are, or are promised.
    pub(super) fn to(&self, until: ByteOffset, is_promise: bool) -> Result<(), UploadError> {
        let allowance = self.engine.allowance();
        let claimed = self.engine.state.claim(self.id, until, is_promise, &allowance);
        claimed.map_err(|excess| self.engine.excess(excess))
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.engine.state.unclaim(self.id);
    }
}

impl Uploads {
    /// Says whether a body of this owner would be received now, for doors that make an upload and
    /// take its first body in one request.
    ///
    /// # Errors
    /// `Refused` with `Bodies`.
    pub fn check_bodies(&self, owner: &Owner) -> Result<(), UploadError> {
        let limit = self.engine.limits.admission.bodies_per_user;
        match self.engine.bodies.count(owner) < limit {
            true => Ok(()),
            false => Err(Refusal::Bodies { limit }.into()),
        }
    }
}

impl Engine {
    /// Counts a body of an upload, or of its part `index`, while it is received.
    pub(super) fn count_body(
        &self,
        record: &UploadRecord,
        index: Option<u32>,
    ) -> Result<CountedBody, UploadError> {
        let limit = self.limits.admission.bodies_per_user;
        let counted = self.bodies.begin(&record.owner, (record.id, index), limit);
        counted.ok_or_else(|| Refusal::Bodies { limit }.into())
    }

    /// Counts an upload that is about to be made, if its owner may have it.
    pub(super) fn admit(&self, upload: &UploadRecord) -> Result<(), UploadError> {
        let admitted = self.state.admit(upload, &self.allowance());
        admitted.map_err(|excess| self.excess(excess))
    }

    /// Has an upload that is begun by a grant go by the grant's words; says whether there are such.
    /// The grant is used up with the record.
    ///
    /// # Errors
    /// `Refused` if the grant can't begin it.
    pub(super) fn as_granted(
        &self,
        new: NewUpload,
        is_part: bool,
    ) -> Result<(NewUpload, bool), UploadError> {
        let Some(id) = new.pass.grant else { return Ok((new, false)) };
        let grant = self.state.grant(id)?.ok_or(Refusal::Grant(GrantFault::Over))?;
        grant.check(is_part, self.clock.now()).map_err(Refusal::Grant)?;
        let metadata = new.metadata.overruled(&grant.metadata);
        Ok((NewUpload { metadata, ..new }, !grant.metadata.is_empty()))
    }

    /// Refuses an upload whose token has begun all that it may, before anybody is asked about it.
    /// It is counted with the record.
    pub(super) fn check_count(&self, upload: &UploadRecord) -> Result<(), UploadError> {
        let Some(id) = upload.token else { return Ok(()) };
        let token = self.state.token(id)?;
        let limit = token.as_ref().map_or(Some(0), |token| token.max_uploads);
        match limit.filter(|&limit| token.is_none_or(|token| token.uploads_begun >= limit)) {
            Some(limit) => Err(Refusal::Spent { limit }.into()),
            None => Ok(()),
        }
    }

    /// Says why an upload that was let in wasn't recorded.
    pub(super) fn not_recorded(&self, upload: &UploadRecord, refused: StateError) -> UploadError {
        match refused {
            StateError::Conflict(Conflict::Spent) => {
                let spent = self.check_count(upload).err();
                spent.unwrap_or_else(|| Refusal::Spent { limit: 0 }.into())
            }
            StateError::Conflict(Conflict::Grant(fault)) => Refusal::Grant(fault).into(),
            other => other.into(),
        }
    }

    fn allowance(&self) -> Allowance {
        let admission = &self.limits.admission;
        Allowance {
            kept_max: admission.quota_per_user,
            awaited_max: admission.reserved_per_user,
            open_max: admission.open_per_user,
            waiting_max: admission.waiting_per_user,
        }
    }

    fn excess(&self, excess: Excess) -> UploadError {
        let admission = &self.limits.admission;
        match excess {
            Excess::Kept => {
                Refusal::Quota { limit: admission.quota_per_user.unwrap_or_default() }.into()
            }
            Excess::Awaited => Refusal::Announced { limit: admission.reserved_per_user }.into(),
            Excess::Open => Refusal::OpenUploads { limit: admission.open_per_user }.into(),
            Excess::Waiting => {
                Refusal::Waiting { limit: admission.waiting_per_user.unwrap_or_default() }.into()
            }
        }
    }

    /// Looks at the first bytes of a file that is here already.
    pub(super) fn check_head(&self, bytes: &[u8], bounds: &Bounds) -> Result<(), UploadError> {
        let mut head = Head::for_kinds(bounds.accept_within(self.limits.admission.accept));
        let kind = head.as_mut().and_then(|head| {
            head.add(bytes);
            head.stranger()
        });
        kind.map_or(Ok(()), |kind| Err(Refusal::Kind { kind: kind.to_owned() }.into()))
    }

    /// Returns what looks at the first bytes of a body, if it begins at the upload's start and
    /// nothing of it was acknowledged. What will be joined may be any part of a file.
    pub(super) fn head_of(&self, record: &UploadRecord, at_start: bool) -> Option<Head> {
        let is_first = at_start && record.received.written.total().0 == 0;
        let is_open = record.state == UploadState::Partial && record.concat.is_none();
        let accept = record.bounds.accept_within(self.limits.admission.accept);
        Head::for_kinds(accept).filter(|_| is_first && is_open)
    }
}

/// The first bytes of a file, until it is known that they are no stranger's.
#[derive(Debug)]
pub(super) struct Head {
    bytes: Vec<u8>,
}

impl Head {
    fn for_kinds(accept: Accept) -> Option<Self> {
        (!accept.any).then(|| Self { bytes: Vec::with_capacity(HEAD_BYTES) })
    }

    /// Adds what came; `true` once there is enough to judge.
    pub(super) fn add(&mut self, piece: &[u8]) -> bool {
        let room = HEAD_BYTES - self.bytes.len();
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        self.bytes.len() >= HEAD_BYTES
    }

    /// Returns the media type of a file that surely is neither video nor sound.
    pub(super) fn stranger(&self) -> Option<&'static str> {
        stranger(&self.bytes)
    }
}

/// Types that are told from their first bytes, and how these have to begin besides: the crate
/// also finds magic words further in, or is content with two letters, where a film may have them
/// by chance. What isn't listed is left to the probe.
const STRANGERS: &[(&str, &[&[u8]])] = &[
    ("image/jpeg", &[b"\xff\xd8\xff"]),
    ("image/png", &[b"\x89PNG\r\n\x1a\n"]),
    ("image/gif", &[b"GIF87a", b"GIF89a"]),
    ("image/webp", &[b"RIFF"]),
    ("image/tiff", &[b"II*\0", b"MM\0*"]),
    ("image/vnd.adobe.photoshop", &[b"8BPS\0\x01"]),
    ("application/pdf", &[b"%PDF-"]),
    ("application/rtf", &[b"{\\rtf"]),
    ("application/zip", &[b"PK\x03\x04", b"PK\x05\x06"]),
    ("application/epub+zip", &[b"PK\x03\x04"]),
    ("application/gzip", &[b"\x1f\x8b\x08"]),
    ("application/x-7z-compressed", &[b"7z\xbc\xaf\x27\x1c"]),
    ("application/vnd.rar", &[b"Rar!\x1a\x07"]),
    ("application/x-xz", &[b"\xfd7zXZ\0"]),
    ("application/zstd", &[b"\x28\xb5\x2f\xfd"]),
    ("application/x-executable", &[b"\x7fELF"]),
    ("application/wasm", &[b"\0asm\x01\0\0\0"]),
    ("application/vnd.sqlite3", &[b"SQLite format 3\0"]),
    ("text/html", &[b""]),
    ("text/xml", &[b""]),
];

/// Brands of the ISO container that hold a still picture, as phones send them.
const STILL_BRANDS: &[(&str, &[&[u8]])] =
    &[("image/heif", &[b"heic", b"heix"]), ("image/avif", &[b"avif"])];

fn stranger(head: &[u8]) -> Option<&'static str> {
    let found = infer::get(head)?.mime_type();
    let is_in = |list: &[(&str, &[&[u8]])], head: &[u8]| {
        list.iter().any(|(name, begins)| {
            *name == found && begins.iter().any(|begin| head.starts_with(begin))
        })
    };
    let brand = head.get(8..).unwrap_or_default();
    (is_in(STRANGERS, head) || is_in(STILL_BRANDS, brand)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;

    /// Files that people send by mistake are known by their first bytes; nothing that could be a
    /// film, a sound or a mere text is.
    #[test]
    fn strangers_are_known_for_sure() {
        let padded = |begin: &[u8]| {
            let mut head = begin.to_vec();
            head.resize(HEAD_BYTES, 0);
            stranger(&head)
        };
        let strangers: [(&[u8], &str); 14] = [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heif"),
            (b"\0\0\0\x18ftypavif\0\0\0\0avifmif1", "image/avif"),
            (b"%PDF-1.7\n", "application/pdf"),
            (b"PK\x03\x04\x14\0", "application/zip"),
            (b"\x1f\x8b\x08\0", "application/gzip"),
            (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
            (b"\x7fELF\x02\x01\x01", "application/x-executable"),
            (b"SQLite format 3\0", "application/vnd.sqlite3"),
            (b"  <!DOCTYPE html><html>", "text/html"),
            (b"<?xml version=\"1.0\"?>", "text/xml"),
        ];
        for (begin, kind) in strangers {
            assert_eq!(padded(begin), Some(kind));
        }
        let taken: [&[u8]; 15] = [
            b"",
            b"hello, this is a text",
            b"{\"json\": true}",
            b"WEBVTT\n",
            b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41",
            b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
            b"\0\0\0\x20ftypavis\0\0\0\0avismsf1",
            b"\0\0\0\x08free\0\0\0\x10mdat%PDF-1.7",
            b"\x1a\x45\xdf\xa3",
            b"RIFF\0\0\0\0AVI LIST",
            b"RIFF\0\0\0\0WAVEfmt ",
            b"OggS\0\x02",
            b"ID3\x04\0",
            b"\x47\x40\0\x10",
            b"fLaC\0\0\0\x22",
        ];
        for begin in taken {
            assert_eq!(padded(begin), None, "{}", String::from_utf8_lossy(begin));
        }
        assert_eq!(stranger(b"\x89PNG\r\n\x1a\n"), Some("image/png"), "as short as that");
    }

    /// First bytes are gathered however they are cut.
    #[test]
    fn heads_are_gathered_piece_by_piece() {
        let head = || Head::for_kinds(Accept::default()).expect("kinds are left out");
        assert!(head().add(&[0; 4096]));
        let mut pieces = head();
        for byte in b"%PDF-1.4" {
            assert!(!pieces.add(&[*byte]));
        }
        assert_eq!(pieces.stranger(), Some("application/pdf"));
        assert!(pieces.add(&[b' '; HEAD_BYTES]));
        let any = Accept { any: true, ..Accept::default() };
        assert!(Head::for_kinds(any).is_none(), "anything goes");
    }

    /// Bodies count by what they belong to: who takes over isn't kept out, and everyone is
    /// counted apart.
    #[test]
    fn bodies_are_counted_by_owner() {
        let bodies = Arc::new(Bodies::default());
        let [ann, bob] = ["ann", "bob"].map(|name| Owner(name.to_owned()));
        let [a, b] = [1, 2].map(|n| UploadId::fresh(UnixMillis(n)));
        let first = bodies.begin(&ann, (a, None), 2).expect("the first");
        let part = bodies.begin(&ann, (b, Some(0)), 2).expect("the second");
        assert!(bodies.begin(&ann, (b, Some(1)), 2).is_none());
        let newer = bodies.begin(&ann, (a, None), 2).expect("it takes over");
        assert_eq!((bodies.count(&ann), bodies.count(&bob)), (2, 0));
        assert!(bodies.begin(&bob, (b, Some(1)), 2).is_some());
        drop(first);
        assert!(bodies.begin(&ann, (b, Some(1)), 2).is_none(), "the newer one is there still");
        drop(newer);
        assert!(bodies.begin(&ann, (b, Some(1)), 2).is_some());
        drop(part);
        assert!(bodies.owners().is_empty());
    }
}
