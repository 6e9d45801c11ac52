//! JWTs of the user's own app (RFC 7519, after the advice of RFC 8725).
//!
//! The app signs who somebody is; Slipway checks the signature and every claim that it uses, and
//! keeps nothing. A claim that is there and isn't what it should be refuses the token: an app that
//! gets one wrong hears of it, instead of a limit that silently isn't there.

mod keys;
mod proof;
mod proven;

use crate::clock::Clock;
use crate::config::JwtConfig;
use crate::ids::Owner;
use crate::model::accept::Accept;
use crate::model::access::{Bounds, Role};
use crate::units::{ByteCount, UnixMillis};
use jsonwebtoken::{Validation, decode, decode_header};
use keys::{Key, KeyFile, KeySet};
use proven::Proven;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// How far the app's clock may be from this one.
const LEEWAY_MS: u64 = 60_000;
/// Longest name of a person or an organisation.
const NAME_BYTES_MAX: usize = 128;

/// What a token says of its bearer, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    /// In whose name things are made.
    pub(super) owner: Owner,
    /// What they may do.
    pub(super) role: Role,
    /// What bounds their uploads.
    pub(super) bounds: Bounds,
}

/// Checks tokens against the keys and rules of the configuration.
pub(super) struct Jwts {
    keys: KeyFile,
    rules: JwtConfig,
    clock: Clock,
    proven: Proven,
}

impl Jwts {
    /// Reads the keys.
    ///
    /// # Errors
    /// What is wrong with their file, in words for the operator.
    pub(super) fn open(rules: JwtConfig, clock: Clock) -> Result<Self, String> {
        proof::install();
        let path = rules.key_file.as_deref().ok_or("no file of keys is named")?;
        let keys = KeyFile::open(path, clock.clone())?;
        Ok(Self { keys, rules, clock, proven: Proven::default() })
    }

    /// Returns whom a token stands for; none if anything about it isn't as it should be.
    pub(super) fn bearer(&self, token: &str) -> Option<Bearer> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let keys = self.keys.keys();
        // A signature is looked at once, times and all other claims each time.
        let claims = self.proven.claims(token, &keys, || self.proved(token, &keys))?;
        self.read(&claims, self.clock.now())
    }

    /// Returns the claims of a token that one of the keys has signed for this server.
    fn proved(&self, token: &str, keys: &KeySet) -> Option<Map<String, Value>> {
        let header = decode_header(token).ok()?;
        let typ = header.typ.as_deref().unwrap_or("JWT");
        // Claims packed into another token, or extensions that must be understood, aren't.
        let is_plain = header.crit.is_none() && header.cty.is_none();
        if !is_plain || !["JWT", "at+jwt"].iter().any(|known| typ.eq_ignore_ascii_case(known)) {
            return None;
        }
        let mut fitting = keys.fitting(header.kid.as_deref(), header.alg);
        fitting.find_map(|key| self.claims(token, key))
    }

    /// Returns the claims of a token that the key has signed for this server.
    fn claims(&self, token: &str, key: &Key) -> Option<Map<String, Value>> {
        let mut validation = Validation::new(key.algorithm);
        // Times are compared with this server's clock, below.
        validation.validate_exp = false;
        validation.required_spec_claims = HashSet::new();
        if let Some(issuer) = &self.rules.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if let Some(audience) = &self.rules.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        let Claims(claims) = decode(token, &key.key, &validation).ok()?.claims;
        Some(claims)
    }

    fn read(&self, claims: &Map<String, Value>, now: UnixMillis) -> Option<Bearer> {
        let Times { exp, nbf, iat } = Times::deserialize(claims).ok()?;
        let ahead = now.plus_ms(LEEWAY_MS);
        let is_current = now < exp.0.plus_ms(LEEWAY_MS);
        let has_begun = [nbf, iat].iter().flatten().all(|begins| begins.0 <= ahead);
        if !is_current || !has_begun {
            return None;
        }
        let person = name(claims.get("sub")?)?;
        let owner = match optional(claims, &self.rules.org_claim, name)? {
            Some(org) => format!("{org}/{person}"),
            None => person.to_owned(),
        };
        let role = match claims.get(&self.rules.role_claim) {
            Some(role) => Role::parse(role.as_str()?)?,
            None => self.rules.default_role?,
        };
        let max_size = optional(claims, "maxSize", Value::as_u64)?;
        let accept = optional(claims, "accept", accept_of)?;
        let bounds = Bounds { max_size: max_size.map(ByteCount), accept };
        Some(Bearer { owner: Owner(owner), role, bounds })
    }
}

/// Reads a claim that may be missing, but not wrong.
fn optional<'a, T>(
    claims: &'a Map<String, Value>,
    name: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Option<Option<T>> {
    match claims.get(name) {
        Some(claim) => read(claim).map(Some),
        None => Some(None),
    }
}

/// All claims, each of them once (RFC 7519, section 4): of two with one name the app that signed
/// may have meant another one than is read here.
struct Claims(Map<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Once)
    }
}

/// Reads an object whose names differ.
struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims, each of them once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Claims, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = entries.next_entry()? {
            if claims.insert(name, value).is_some() {
                return Err(A::Error::custom("a claim is there twice"));
            }
        }
        Ok(Claims(claims))
    }
}

/// The times of a token.
#[derive(Deserialize)]
struct Times {
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

/// Seconds since 1970, with or without fractions (RFC 7519, section 2).
struct NumericDate(UnixMillis);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        // Beyond it nobody means a date.
        if !(0.0..1e11).contains(&seconds) {
            return Err(D::Error::custom("isn't a time"));
        }
        Ok(Self(UnixMillis((seconds * 1000.0) as i64)))
    }
}

/// Reads a name of a person or an organisation: text that can stand in a line, without the slash
/// that parts the two.
fn name(claim: &Value) -> Option<&str> {
    let text = claim.as_str()?;
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.trim() == text
        && !text.chars().any(|letter| letter.is_control() || letter == '/');
    fits.then_some(text)
}

fn accept_of(claim: &Value) -> Option<Accept> {
    let words: Option<Vec<&str>> = claim.as_array()?.iter().map(Value::as_str).collect();
    Accept::parse(words?)
}

#[cfg(test)]
mod tests;
