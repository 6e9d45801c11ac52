//! Session cookies: `{token id}.{end in milliseconds}.{signature}`.
//!
//! The server keeps nothing about a session; what it needs is in the cookie and can't be changed
//! without the key.

use crate::ids::TokenId;
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns the cookie's value for a session of `token` that ends at `until`.
pub(super) fn sign(key: &[u8; 32], token: TokenId, until: UnixMillis) -> String {
    let statement = format!("{token}.{}", until.0);
    let signature = mac(key, &statement).finalize().into_bytes();
    format!("{statement}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Returns the token of a cookie whose signature is right and whose end lies ahead of `now`.
pub(super) fn verify(key: &[u8; 32], value: &str, now: UnixMillis) -> Option<TokenId> {
    let (statement, signature) = value.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    mac(key, statement).verify_slice(&signature).ok()?;
    let (token, until) = statement.split_once('.')?;
    let until = UnixMillis(until.parse().ok()?);
    if now < until { TokenId::parse(token).ok() } else { None }
}

fn mac(key: &[u8; 32], statement: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    // Another use of the same key can never be taken for a session.
    mac.update(b"slipway session 1\0");
    mac.update(statement.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what was signed with the key, unchanged and in time, opens a session.
    #[test]
    fn a_changed_or_late_cookie_is_worth_nothing() {
        let (key, at) = ([7u8; 32], UnixMillis);
        let token = TokenId::fresh(at(1_700_000_000_000));
        let value = sign(&key, token, at(2_000));
        assert_eq!(verify(&key, &value, at(1_999)), Some(token));
        assert_eq!(verify(&key, &value, at(2_000)), None);
        assert_eq!(verify(&[8u8; 32], &value, at(0)), None);
        let later = value.replace(".2000.", ".9000.");
        let other = value.replace(&token.to_string(), &TokenId::fresh(at(1)).to_string());
        for bad in ["", ".", "a.b.c", &later, &other, &value[..value.len() - 1]] {
            assert_eq!(verify(&key, bad, at(0)), None, "{bad}");
        }
    }
}
