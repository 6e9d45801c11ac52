//! Tokens whose signature was found right lately: whoever sends an upload in a thousand requests
//! shows the same token a thousand times, and a signature costs more than a small request.
//!
//! What is kept is what the token says, under the token's hash and for the keys that proved it; it
//! is forgotten as a whole when there are other keys, or too many tokens.

use super::keys::KeySet;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most tokens that are kept.
const KEPT_MAX: usize = 1_000;

type Claims = Arc<Map<String, Value>>;

/// The tokens that were proved.
#[derive(Default)]
pub(super) struct Proven {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By which keys.
    keys: Option<Arc<KeySet>>,
    /// Their claims, by the hash of the whole text.
    claims: HashMap<[u8; 32], Claims>,
}

impl Proven {
    /// Returns the claims of a token, which `prove` proves unless the same keys have before.
    pub(super) fn claims(
        &self,
        token: &str,
        keys: &Arc<KeySet>,
        prove: impl FnOnce() -> Option<Map<String, Value>>,
    ) -> Option<Claims> {
        let hash = Sha256::digest(token.as_bytes()).into();
        let known = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.are_of(keys);
            kept.claims.get(&hash).cloned()
        };
        if known.is_some() {
            return known;
        }
        let claims = Arc::new(prove()?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.are_of(keys);
        if kept.claims.len() >= KEPT_MAX {
            kept.claims.clear();
        }
        kept.claims.insert(hash, claims.clone());
        Some(claims)
    }
}

impl Kept {
    /// Forgets what other keys have proved.
    fn are_of(&mut self, keys: &Arc<KeySet>) {
        if !self.keys.as_ref().is_some_and(|own| Arc::ptr_eq(own, keys)) {
            self.keys = Some(keys.clone());
            self.claims.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Arc<KeySet> {
        Arc::new(KeySet::parse("a secret of the app that is long enough").expect("keys"))
    }

    /// A token is proved once by the same keys and anew by others; what isn't right is never kept,
    /// and neither is more than there is room for.
    #[test]
    fn right_tokens_are_proved_once() {
        let (proven, one, two) = (Proven::default(), keys(), keys());
        let mut proofs = 0;
        let mut ask = |token: &str, keys: &Arc<KeySet>, is_right: bool| {
            let prove = || {
                proofs += 1;
                is_right.then(Map::new)
            };
            let found = proven.claims(token, keys, prove).is_some();
            (found, proofs)
        };
        assert_eq!(ask("a", &one, true), (true, 1));
        assert_eq!(ask("a", &one, false), (true, 1), "it is known");
        assert_eq!(ask("b", &one, false), (false, 2));
        assert_eq!(ask("b", &one, false), (false, 3), "what is wrong isn't kept");
        assert_eq!(ask("a", &two, false), (false, 4), "other keys know nothing");
        assert_eq!(ask("a", &two, true), (true, 5));
        for n in 0..2 * KEPT_MAX {
            ask(&n.to_string(), &two, true);
            assert!(proven.kept.lock().expect("whole").claims.len() <= KEPT_MAX);
        }
    }
}
