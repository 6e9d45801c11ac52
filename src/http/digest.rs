//! SHA-256 sums as clients write them: in headers of three kinds, in hex or in base64.

use super::problem::{Code, Problem};
use crate::upload::Checksum;
use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

/// Reads the SHA-256 that a request says its body has: from `Content-Digest` (RFC 9530), `Digest`
/// (RFC 3230) or `x-chunk-sha256`. Sums of other kinds are passed over, as those RFCs want it.
///
/// # Errors
/// 400 for one that can't be read; 422 for two that contradict each other.
pub(super) fn of_body(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let text = |name| headers.get_all(name).map(|value| value.to_str().unwrap_or("sha-256=!"));
    let mut found = dictionary(headers, "Content-Digest", "sha-256")?;
    for field in text("digest").flat_map(|list| list.split(',')) {
        let Some(sum) = sha256_member(field) else { continue };
        found.push(of_base64(sum).ok_or_else(|| unreadable("Digest"))?);
    }
    for sum in text("x-chunk-sha256") {
        found.push(of_text(sum).ok_or_else(|| unreadable("x-chunk-sha256"))?);
    }
    if found.windows(2).any(|pair| pair[0] != pair[1]) {
        let detail = "The request names more than one SHA-256 for its body.";
        return Err(Problem::new(Code::DigestMismatch, detail));
    }
    Ok(found.first().copied())
}

/// Reads what `Content-Digest` says that a body sums up to: SHA-256, else SHA-512. Sums of other
/// kinds are passed over.
///
/// # Errors
/// As [`of_body`].
pub(super) fn of_content(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    if let Some(sum) = one(dictionary(headers, "Content-Digest", "sha-256")?)? {
        return Ok(Some(Checksum::Sha256(sum)));
    }
    let sum = one(dictionary(headers, "Content-Digest", "sha-512")?)?;
    Ok(sum.map(Checksum::Sha512))
}

/// Reads the SHA-256 that `Repr-Digest` says the whole file has.
///
/// # Errors
/// As [`of_body`].
pub(super) fn of_file(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    one(dictionary(headers, "Repr-Digest", "sha-256")?)
}

/// Returns the one sum that there is, if any.
fn one<const N: usize>(sums: Vec<[u8; N]>) -> Result<Option<[u8; N]>, Problem> {
    if sums.windows(2).any(|pair| pair[0] != pair[1]) {
        let detail = "The request names two sums of one kind for the same bytes.";
        return Err(Problem::new(Code::DigestMismatch, detail));
    }
    Ok(sums.first().copied())
}

/// Reads the members of one algorithm in a field of RFC 9530.
fn dictionary<const N: usize>(
    headers: &HeaderMap,
    field: &'static str,
    algorithm: &str,
) -> Result<Vec<[u8; N]>, Problem> {
    // What isn't text might hold the member that is looked for.
    let lines = headers.get_all(field).map(|value| value.to_str().map_err(|_| unreadable(field)));
    let mut found = Vec::new();
    for line in lines {
        for text in line?.split(',') {
            let Some(sum) = member(text, algorithm) else { continue };
            let sum = sum.split(';').next().unwrap_or_default().trim();
            let sum = sum.strip_prefix(':').and_then(|sum| sum.strip_suffix(':'));
            found.push(sum.and_then(of_base64).ok_or_else(|| unreadable(field))?);
        }
    }
    Ok(found)
}

fn sha256_member(field: &str) -> Option<&str> {
    member(field, "sha-256")
}

/// Returns the value of `name=value`.
fn member<'a>(field: &'a str, name: &str) -> Option<&'a str> {
    let (known, value) = field.split_once('=')?;
    known.trim().eq_ignore_ascii_case(name).then(|| value.trim())
}

fn unreadable(name: &'static str) -> Problem {
    let detail = format!("`{name}` holds no readable sum.");
    Problem::new(Code::InvalidHeader, detail).field(name)
}

/// Reads a SHA-256 in hex or base64.
pub(super) fn of_text(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    of_hex(text).or_else(|| of_base64(text))
}

fn of_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD_PAD_INDIFFERENT.decode(text).ok()?.try_into().ok()
}

/// Reads an entity tag of a part, with or without its quotes.
pub(super) fn of_etag(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    of_hex(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text))
}

fn of_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Writes a SHA-256 in hex.
pub(super) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn read(pairs: &[(&'static str, &str)]) -> Result<Option<[u8; 32]>, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        of_body(&headers)
    }

    /// Every spelling of one sum is read as the same; other algorithms are passed over.
    #[test]
    fn sums_are_read_in_every_spelling() {
        let sum: [u8; 32] = std::array::from_fn(|at| at as u8 * 7);
        let hex = to_hex(&sum);
        let base64 = base64::engine::general_purpose::STANDARD.encode(sum);
        for (name, value) in [
            ("content-digest", format!("sha-256=:{base64}:")),
            ("content-digest", format!("sha-512=:AAAA:, sha-256=:{base64}:;x=1")),
            ("digest", format!("SHA-256={base64}")),
            ("digest", format!("md5=AAAA,sha-256={base64}")),
            ("x-chunk-sha256", hex.clone()),
            ("x-chunk-sha256", hex.to_uppercase()),
            ("x-chunk-sha256", base64.clone()),
        ] {
            assert_eq!(read(&[(name, &value)]).ok().flatten(), Some(sum), "{name}: {value}");
        }
        assert_eq!(read(&[]).ok(), Some(None));
        assert_eq!(read(&[("digest", "md5=AAAA")]).ok(), Some(None));
        assert_eq!(of_etag(&format!("\"{hex}\"")), of_etag(&hex));
    }

    /// The fields of RFC 9530 are read each for its own bytes, whatever else they hold.
    #[test]
    fn digests_of_content_and_file() {
        let encode = |sum: &[u8]| base64::engine::general_purpose::STANDARD.encode(sum);
        let (short, long) = (encode(&[7; 32]), encode(&[8; 64]));
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
            headers
        };
        let content = |value: &str| of_content(&headers("content-digest", value)).ok();
        assert_eq!(content(&format!("sha-256=:{short}:")), Some(Some(Checksum::Sha256([7; 32]))));
        assert_eq!(content(&format!("sha-512=:{long}:")), Some(Some(Checksum::Sha512([8; 64]))));
        let both = format!("sha-512=:{long}:, sha-256=:{short}:");
        assert_eq!(content(&both), Some(Some(Checksum::Sha256([7; 32]))));
        assert_eq!(content("md5=:AAAA:, unixsum=5"), Some(None));
        for bad in ["sha-512=:AAAA:", "sha-256=AAAA", "sha-256=:!:"] {
            assert_eq!(content(bad), None, "{bad}");
        }
        let file = headers("repr-digest", &both);
        assert_eq!(of_file(&file).ok(), Some(Some([7; 32])));
        assert_eq!(of_content(&file).ok(), Some(None));
        assert_eq!(of_body(&file).ok(), Some(None));
    }

    /// What can't be read is refused, and so are two sums that differ.
    #[test]
    fn unreadable_sums_are_refused() {
        for (name, value) in [
            ("content-digest", "sha-256=AAAA"),
            ("content-digest", "sha-256=:AAAA:"),
            ("digest", "sha-256="),
            ("x-chunk-sha256", ""),
            ("x-chunk-sha256", "xyz"),
        ] {
            assert!(read(&[(name, value)]).is_err(), "{name}: {value}");
        }
        let (one, other) = (to_hex(&[1; 32]), to_hex(&[2; 32]));
        assert!(read(&[("x-chunk-sha256", &one), ("x-chunk-sha256", &other)]).is_err());
        assert!(read(&[("x-chunk-sha256", &one), ("x-chunk-sha256", &one)]).is_ok());
    }
}
