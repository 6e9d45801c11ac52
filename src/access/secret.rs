//! The text forms of tokens and login codes, and the hash under which they are stored.
//!
//! Both carry 32 random bytes, so a plain SHA-256 is enough: there is nothing to guess.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const TOKEN_PREFIX: &str = "slw_";
const GRANT_PREFIX: &str = "slg_";
/// Base64 of 32 bytes without padding.
const TOKEN_CHARS: usize = 43;

/// Draws a fresh access token.
pub(super) fn fresh_token() -> String {
    format!("{TOKEN_PREFIX}{}", random_text())
}

/// Draws the text of a fresh upload grant.
pub(super) fn fresh_grant() -> String {
    format!("{GRANT_PREFIX}{}", random_text())
}

/// Draws a fresh key for signatures, in the form that Standard Webhooks gives them.
pub(super) fn fresh_signing_key() -> String {
    format!("whsec_{}", STANDARD.encode(random()))
}

/// Draws a fresh login code.
pub(super) fn fresh_code() -> String {
    random_text()
}

/// Says whether text has the form of an access token; it needn't be one that counts.
pub fn is_token_shaped(text: &str) -> bool {
    has_form(text, TOKEN_PREFIX)
}

/// Says whether text has the form of an upload grant; it needn't be one that counts.
pub fn is_grant_shaped(text: &str) -> bool {
    has_form(text, GRANT_PREFIX)
}

fn has_form(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    rest.len() == TOKEN_CHARS
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Returns the hash under which a token or code is stored.
pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares two hashes in a time that doesn't depend on where they differ.
pub(super) fn equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(random())
}

fn random() -> [u8; 32] {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).expect("the kernel's random source works once the system is up");
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens have the promised form, and nothing else passes for one.
    #[test]
    fn tokens_have_one_form() {
        let token = fresh_token();
        assert!(is_token_shaped(&token) && token.len() == 47, "{token}");
        assert_ne!(token, fresh_token());
        let (short, long) = (&token[..46], format!("{token}A"));
        let cases = ["", "slw_", short, &long, &token.to_uppercase(), "slw_\u{e9}"];
        for bad in cases {
            assert!(!is_token_shaped(bad), "{bad}");
        }
        assert!(!is_token_shaped(&format!("slw_{}", "+".repeat(43))));
        let grant = fresh_grant();
        assert!(is_grant_shaped(&grant) && !is_token_shaped(&grant) && grant.len() == 47);
        assert!(!is_grant_shaped(&token) && !is_grant_shaped("slg_"));
    }
}
