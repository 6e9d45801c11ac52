//! The text form of playback tokens: `slp_` and base64 of a statement with its signature behind.
//!
//! ```text
//! 1                          version
//! key                        4 bytes: number of the key that signed
//! made, until                6 bytes each: milliseconds since 1970
//! flags                      scope (2 bits), early, IPv4, IPv6
//! scope                      16 bytes of a video's id, or a name
//! bits, address              only with IPv4 or IPv6
//! count, names               hosts; a name is its length in a byte and its bytes
//! signature                  HMAC-SHA-256 of all before
//! ```
//!
//! Nothing of a statement is looked at before its signature was found right, but the number of the
//! key. There is one text for each statement: base64 with other spare bits is refused.

use super::{HOSTS_MAX, NAME_BYTES_MAX, Scope, Ticket};
use crate::config::Network;
use crate::ids::{Owner, VideoId};
use crate::state::Ring;
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::IpAddr;

const PREFIX: &str = "slp_";
/// Longest token that is looked at.
const CHARS_MAX: usize = 2048;
const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;

const SCOPE: u8 = 0b11;
const EARLY: u8 = 0b100;
const V4: u8 = 0b1000;
const V6: u8 = 0b1_0000;

/// Says whether text has the form of a playback token; it needn't be one that counts.
pub fn is_playback_shaped(text: &str) -> bool {
    let rest = text.strip_prefix(PREFIX).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !rest.is_empty() && text.len() <= CHARS_MAX && rest.bytes().all(plain)
}

/// Returns the text of a token; none if a name is too long.
pub(super) fn sign(number: u32, key: &[u8; 32], ticket: &Ticket) -> Option<String> {
    let mut out = vec![VERSION];
    out.extend(number.to_be_bytes());
    out.extend(moment(ticket.made_at));
    out.extend(moment(ticket.until));
    let address = ticket.network.map(|network| network.address);
    let scope = match ticket.scope {
        Scope::Video(_) => 0,
        Scope::Owner(_) => 1,
        Scope::Organisation(_) => 2,
    };
    let family = match address {
        None => 0,
        Some(IpAddr::V4(_)) => V4,
        Some(IpAddr::V6(_)) => V6,
    };
    out.push(scope | if ticket.early { EARLY } else { 0 } | family);
    match &ticket.scope {
        Scope::Video(id) => out.extend(id.as_bytes()),
        Scope::Owner(Owner(name)) | Scope::Organisation(name) => put_name(&mut out, name)?,
    }
    if let Some(network) = ticket.network {
        out.push(network.prefix_bits);
        match network.address {
            IpAddr::V4(address) => out.extend(address.octets()),
            IpAddr::V6(address) => out.extend(address.octets()),
        }
    }
    out.push(u8::try_from(ticket.hosts.len()).ok().filter(|&n| usize::from(n) <= HOSTS_MAX)?);
    for host in &ticket.hosts {
        put_name(&mut out, host)?;
    }
    let signature = mac(key, &out).finalize().into_bytes();
    out.extend(signature);
    Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(out)))
}

/// Returns what a token says, if one of the keys has signed it.
pub(super) fn read(token: &str, ring: &Ring) -> Option<Ticket> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let (statement, signature) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
    let mut rest = Bytes(statement);
    let version = rest.byte()?;
    let number = u32::from_be_bytes(rest.take()?);
    let (_, key) = ring.iter().find(|(known, _)| *known == number)?;
    mac(key, statement).verify_slice(signature).ok()?;
    if version != VERSION {
        return None;
    }
    let (made_at, until) = (rest.moment()?, rest.moment()?);
    let flags = rest.byte()?;
    let scope = match flags & SCOPE {
        0 => Scope::Video(VideoId::from_bytes(rest.take()?)),
        1 => Scope::Owner(Owner(rest.name()?)),
        2 => Scope::Organisation(rest.name()?),
        _ => return None,
    };
    let network = match flags & (V4 | V6) {
        0 => None,
        family => {
            let prefix_bits = rest.byte()?;
            let address = match family {
                V4 => IpAddr::from(rest.take::<4>()?),
                V6 => IpAddr::from(rest.take::<16>()?),
                _ => return None,
            };
            Some(Network { address, prefix_bits })
        }
    };
    let count = rest.byte()?;
    let hosts = (0..count).map(|_| rest.name()).collect::<Option<Vec<String>>>()?;
    let early = flags & EARLY != 0;
    rest.0.is_empty().then_some(Ticket { scope, made_at, until, early, network, hosts })
}

fn moment(at: UnixMillis) -> [u8; 6] {
    let [_, _, rest @ ..] = u64::try_from(at.0).unwrap_or(0).to_be_bytes();
    rest
}

fn put_name(out: &mut Vec<u8>, name: &str) -> Option<()> {
    out.push(u8::try_from(name.len()).ok().filter(|&n| usize::from(n) <= NAME_BYTES_MAX)?);
    out.extend(name.as_bytes());
    Some(())
}

fn mac(key: &[u8; 32], statement: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    // Another use of the same key can never be taken for a token.
    mac.update(b"slipway playback 1\0");
    mac.update(statement);
    mac
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn moment(&mut self) -> Option<UnixMillis> {
        let six = self.take::<6>()?;
        Some(UnixMillis(six.iter().fold(0, |sum, &byte| sum << 8 | i64::from(byte))))
    }

    fn name(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let (name, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(name.to_vec()).ok()
    }
}
