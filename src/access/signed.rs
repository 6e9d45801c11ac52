//! Signed addresses of parts: whoever has one may send this one part until its time is over.
//!
//! A page can hand them to a sender that must not have a token. The server keeps nothing about
//! them; what they allow is in them and can't be changed without the key.

use super::rings::newest;
use crate::ids::UploadId;
use crate::state::{Ring, StateError};
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;

/// How long a signed address of a part is good for.
pub const PART_URL_MS: u64 = 3_600_000;

/// Signs addresses of parts with the server's own keys.
#[derive(Clone)]
pub struct PartSigner {
    ring: Arc<Ring>,
    newest: [u8; 32],
}

impl PartSigner {
    /// Makes it of the keys that count; the newest one signs.
    pub(super) fn new(ring: Arc<Ring>) -> Result<Self, StateError> {
        let newest = newest(&ring)?.1;
        Ok(Self { ring, newest })
    }

    /// Returns the signature that allows sending part `index` of an upload before `until`.
    pub fn sign(&self, upload: UploadId, index: u32, until: UnixMillis) -> String {
        let mac = mac(&self.newest, upload, index, until);
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Says whether a signature allows this at the moment `now`.
    pub fn allows(
        &self,
        signature: &str,
        upload: UploadId,
        index: u32,
        until: UnixMillis,
        now: UnixMillis,
    ) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let is_by = |key| mac(key, upload, index, until).verify_slice(&signature).is_ok();
        now < until && self.ring.iter().rev().any(|(_, key)| is_by(key))
    }
}

fn mac(key: &[u8; 32], upload: UploadId, index: u32, until: UnixMillis) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    // Another use of the same key can never be taken for an address.
    mac.update(b"slipway part 1\0");
    mac.update(format!("{upload}.{index}.{}", until.0).as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signature is good for one part of one upload until its end, and for nothing else.
    #[test]
    fn a_signature_allows_one_part_for_a_time() {
        let of = |keys: &[u8]| {
            let ring = keys.iter().map(|&key| (u32::from(key), [key; 32])).collect();
            PartSigner::new(Arc::new(ring)).expect("there is a key")
        };
        let (signer, at) = (of(&[7]), UnixMillis);
        let id = UploadId::fresh(at(1_700_000_000_000));
        let signature = signer.sign(id, 3, at(2_000));
        assert!(signer.allows(&signature, id, 3, at(2_000), at(1_999)));
        assert!(!signer.allows(&signature, id, 3, at(2_000), at(2_000)), "too late");
        assert!(!signer.allows(&signature, id, 3, at(9_000), at(1_999)), "another end");
        assert!(!signer.allows(&signature, id, 4, at(2_000), at(1_999)), "another part");
        let other = UploadId::fresh(at(1_700_000_000_000));
        assert!(!signer.allows(&signature, other, 3, at(2_000), at(1_999)), "another upload");
        let [rotated, stranger] = [of(&[7, 8]), of(&[8])];
        assert!(!stranger.allows(&signature, id, 3, at(2_000), at(1_999)), "another key");
        assert!(rotated.allows(&signature, id, 3, at(2_000), at(1_999)), "its key still counts");
        let by_new = rotated.sign(id, 3, at(2_000));
        assert!(!signer.allows(&by_new, id, 3, at(2_000), at(0)), "the newest signs");
        assert!(stranger.allows(&by_new, id, 3, at(2_000), at(0)));
        for bad in ["", "!", &signature[1..]] {
            assert!(!signer.allows(bad, id, 3, at(2_000), at(0)), "{bad}");
        }
    }
}
