//! Session cookies: `{t|u}{holder}.{session}.{end in milliseconds}.{signature}`, and the cookies by
//! which a browser that has signed in to an account before is known.
//!
//! A cookie names the record of its session, which is gone once somebody has logged out; the
//! signature keeps everybody else from asking for records.

use crate::ids::{SessionId, TokenId, UserId};
use crate::state::Ring;
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Whose session a cookie names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Token(TokenId),
    User(UserId),
}

impl Named {
    pub(super) fn id(&self) -> &[u8; 16] {
        match self {
            Self::Token(id) => id.as_bytes(),
            Self::User(id) => id.as_bytes(),
        }
    }
}

/// Returns the cookie's value for a session that ends at `until`.
pub(super) fn sign(key: &[u8; 32], holder: Named, session: SessionId, until: UnixMillis) -> String {
    let holder = match holder {
        Named::Token(id) => format!("t{id}"),
        Named::User(id) => format!("u{id}"),
    };
    signed(key, SESSION, &format!("{holder}.{session}.{}", until.0))
}

/// Returns what a cookie names whose signature is right and whose end lies ahead of `now`.
pub(super) fn verify(ring: &Ring, value: &str, now: UnixMillis) -> Option<(Named, SessionId)> {
    let mut words = verified(ring, SESSION, value)?.split('.');
    let (holder, session, until) = (words.next()?, words.next()?, words.next()?);
    let holder = match holder.split_at_checked(1)? {
        ("t", id) => Named::Token(TokenId::parse(id).ok()?),
        ("u", id) => Named::User(UserId::parse(id).ok()?),
        _ => return None,
    };
    let until = UnixMillis(until.parse().ok()?);
    if now < until { Some((holder, SessionId::parse(session).ok()?)) } else { None }
}

/// Returns the value of the cookie by which a browser is known that has signed in to `user`.
pub(super) fn sign_browser(key: &[u8; 32], user: UserId, browser: SessionId) -> String {
    signed(key, BROWSER, &format!("{user}.{browser}"))
}

/// Returns the account that a browser has signed in to before, and the browser.
pub(super) fn verify_browser(ring: &Ring, value: &str) -> Option<(UserId, SessionId)> {
    let (user, browser) = verified(ring, BROWSER, value)?.split_once('.')?;
    Some((UserId::parse(user).ok()?, SessionId::parse(browser).ok()?))
}

/// What is signed: another use of the same key can never be taken for it.
const SESSION: &[u8] = b"slipway session 2\0";
const BROWSER: &[u8] = b"slipway browser 1\0";

fn signed(key: &[u8; 32], purpose: &[u8], statement: &str) -> String {
    let signature = mac(key, purpose, statement).finalize().into_bytes();
    format!("{statement}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Returns the statement of a value whose signature one of the keys has made.
fn verified<'a>(ring: &Ring, purpose: &[u8], value: &'a str) -> Option<&'a str> {
    let (statement, signature) = value.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let is_by = |key| mac(key, purpose, statement).verify_slice(&signature).is_ok();
    ring.iter().rev().any(|(_, key)| is_by(key)).then_some(statement)
}

fn mac(key: &[u8; 32], purpose: &[u8], statement: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(purpose);
    mac.update(statement.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what was signed with the key, unchanged and in time, names a session.
    #[test]
    fn a_changed_or_late_cookie_is_worth_nothing() {
        let (key, at) = ([7u8; 32], UnixMillis);
        let (ring, others) = (vec![(1, key), (2, [8u8; 32])], vec![(2, [8u8; 32])]);
        let (token, user) = (TokenId::fresh(at(1)), UserId::fresh(at(1)));
        let session = SessionId::fresh(at(1));
        for holder in [Named::Token(token), Named::User(user)] {
            let value = sign(&key, holder, session, at(2_000));
            assert_eq!(verify(&ring, &value, at(1_999)), Some((holder, session)));
            assert_eq!(verify(&ring, &value, at(2_000)), None);
            assert_eq!(verify(&others, &value, at(0)), None);
            let later = value.replace(".2000.", ".9000.");
            let other = value.replace(&session.to_string(), &SessionId::fresh(at(1)).to_string());
            let (kind, rest) = value.split_at(1);
            let turned = format!("{}{rest}", if kind == "t" { "u" } else { "t" });
            for bad in ["", ".", "a.b.c", &later, &other, &turned, &value[..value.len() - 1]] {
                assert_eq!(verify(&ring, bad, at(0)), None, "{bad}");
            }
            assert_eq!(verify_browser(&ring, &value), None, "it is signed for something else");
        }
        let browser = sign_browser(&key, user, session);
        assert_eq!(verify_browser(&ring, &browser), Some((user, session)));
        assert_eq!(verify_browser(&others, &browser), None);
        assert_eq!(verify(&ring, &browser, at(0)), None);
    }
}
