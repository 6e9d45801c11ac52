//! From when until when a certificate counts (RFC 5280, 4.1), read from its DER: as far as its
//! validity and no further. Whether it is right is for those who check it.

use super::pair::{Moment, PairFacts};
use crate::units::UnixMillis;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns a certificate's validity; none for what isn't a certificate.
pub(super) fn of(certificate: &[u8]) -> Option<PairFacts> {
    let (whole, _) = expect(certificate, SEQUENCE)?;
    let (mut rest, _) = expect(whole, SEQUENCE)?;
    if let Some((_, behind)) = expect(rest, VERSION) {
        rest = behind;
    }
    // Serial number, signature's algorithm, issuer.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = expect(rest, tag)?;
    }
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (from, behind) = time(validity)?;
    let (until, _) = time(behind)?;
    Some(PairFacts { from: Moment(from), until: Moment(until) })
}

/// Takes the value of this kind off the front.
fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, value, rest) = element(bytes)?;
    (found == tag).then_some((value, rest))
}

/// Takes one tag, length and value off the front (X.690, 8.1).
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Certificates have at most megabytes.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// Takes a time off the front (RFC 5280, 4.1.2.5).
fn time(bytes: &[u8]) -> Option<(UnixMillis, &[u8])> {
    let (tag, value, rest) = element(bytes)?;
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let year_digits = match tag {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    };
    if text.len() != year_digits + 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, moment) = text.split_at(year_digits);
    let year: u32 = year.parse().ok()?;
    let year = match (tag, year) {
        (UTC_TIME, 0..50) => 2000 + year,
        (UTC_TIME, _) => 1900 + year,
        _ => year,
    };
    let two = |at: usize| &moment[at..at + 2];
    let text = format!("{year:04}-{}-{}T{}:{}:{}Z", two(0), two(2), two(4), two(6), two(8));
    Some((UnixMillis::parse_rfc3339(&text)?, rest))
}
