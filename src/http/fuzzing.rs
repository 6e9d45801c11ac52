//! What random bytes from a client must never do, as one function for each parser.
//!
//! The targets in `fuzz/` call these with bytes that a fuzzer makes up, and the test at the end
//! with some thousands of its own, so that the targets can't rot. Each checks more than that
//! nothing panics: what was read is within its bounds, and reading it again gives the same.

use super::{chunk_form, digest, tus};
use crate::ids::UploadId;
use crate::model::upload::Concat;
use crate::units::{ByteCount, ByteOffset, Ranges};
use crate::upload::{Checksum, METADATA_BYTES_MAX, METADATA_KEYS_MAX, Metadata, TAGS_MAX};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;

/// A parser, and bytes that lead into it.
pub struct Target {
    /// Its name in `fuzz/`.
    pub name: &'static str,
    /// Reads the bytes and checks what came of them.
    pub run: fn(&[u8]),
    /// Well-formed bytes to begin with.
    pub seeds: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "headers",
        run: headers,
        seeds: &[
            b"0",
            b"9223372036854775807",
            b"sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            b"crc32c yZRlqg==",
            b"final;/files/0190f3f0-0000-7000-8000-000000000000 http://a.b/files/x",
            b"partial",
            b"application/offset+octet-stream; charset=x",
        ],
    },
    Target {
        name: "metadata",
        run: metadata,
        seeds: &[
            b"filename aG9saWRheS5tcDQ=,filetype dmlkZW8vbXA0",
            b"title U2Vh, tags YSxiLGM=, is_private",
            b"visibility cHJpdmF0ZQ,sessionId cy0x",
            b"name 8J-Ymg,description __8",
        ],
    },
    Target {
        name: "ranges",
        run: ranges,
        seeds: &[b"bytes=0-3,5-,-2", b"bytes=0-18446744073709551615", b"\x00\x08\x10\x04\x0c\x40"],
    },
    Target {
        name: "form",
        run: form,
        seeds: &[
            b"\x05--b\r\nContent-Disposition: form-data; name=\"uploadId\"\r\n\r\nx\r\n\
              --b\r\nContent-Disposition: form-data; name=\"chunk\"; filename=\"a\"\r\n\r\n\
              bytes\r\n--b--\r\n",
            b"\x01pre\r\n--b\r\nContent-Disposition: form-data; name=\"chunk\"\r\n\
              Content-Length: 3\r\n\r\nabc\r\n--b\r\nContent-Disposition: form-data; \
              name=\"totalChunks\"\r\n\r\n3\r\n--b--",
        ],
    },
    Target {
        name: "digests",
        run: digests,
        seeds: &[
            b"\x00sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
            b"\x01sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=,md5=a",
            b"\x025f8f04f6a3a892aaabbddb6cf273894493773960d4a325b105fee46eef4304f1",
            b"\x03\"5f8f04f6a3a892aaabbddb6cf273894493773960d4a325b105fee46eef4304f1\"",
        ],
    },
];

/// Runs one target; called by `fuzz/`.
pub fn run(name: &str, bytes: &[u8]) {
    for target in TARGETS.iter().filter(|target| target.name == name) {
        (target.run)(bytes);
    }
}

/// Numbers, sums and lists in the headers of tus.
fn headers(bytes: &[u8]) {
    // What isn't text is refused before any of these sees it.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(count) = tus::headers::count(text, "Upload-Offset") {
        assert!(i64::try_from(count).is_ok());
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(text.trim_start_matches('0'), count.to_string().trim_start_matches('0'));
        let length = tus::headers::creation_length(Some(text), None);
        assert_eq!(length.ok(), Some(Some(ByteCount(count))));
    }
    assert!(tus::headers::creation_length(Some(text), Some("1")).is_err());
    let deferred = tus::headers::creation_length(None, Some(text));
    assert_eq!(deferred.is_ok(), text == "1");
    if let Ok(sum) = tus::headers::checksum(text) {
        let (name, bytes): (_, &[u8]) = match &sum {
            Checksum::Sha1(bytes) => ("sha1", bytes),
            Checksum::Sha256(bytes) => ("sha256", bytes),
            Checksum::Md5(bytes) => ("md5", bytes),
            Checksum::Crc32c(bytes) => ("crc32c", bytes),
            Checksum::Sha512(_) => unreachable!("tus has no name for it"),
        };
        let written = format!("{name} {}", STANDARD.encode(bytes));
        assert_eq!(tus::headers::checksum(&written).ok(), Some(sum));
    }
    // A host of the client's own choice, too.
    let (host, list) = text.split_once('\n').unwrap_or(("a.b", text));
    if let Ok(Concat::Final { header, parts }) = tus::concat::parse(list, [host, ""]) {
        assert_eq!(header, list);
        assert!(!parts.is_empty() && parts.len() * 8 < list.len());
        let paths: Vec<String> = parts.iter().map(|id| format!("/files/{id}")).collect();
        let written = format!("final;{}", paths.join(" "));
        let again = tus::concat::parse(&written, ["", ""]);
        assert!(matches!(again, Ok(Concat::Final { parts: same, .. }) if same == parts));
    }
    let is_body = tus::headers::is_body_type(Some(text));
    assert!(!is_body || text.to_ascii_lowercase().contains(tus::headers::BODY_TYPE));
    if let Ok(id) = UploadId::parse(text) {
        assert_eq!(UploadId::parse(&id.to_string()).ok(), Some(id));
    }
    // A name that a client sent never breaks the header that it is put into.
    let attachment = tus::headers::attachment(text).to_string();
    assert!(HeaderValue::from_str(&attachment).is_ok(), "{attachment:?}");
    assert!(!attachment.contains(['/', '\r', '\n', '\0']), "{attachment:?}");
}

/// `Upload-Metadata`, and the same as a form brings it.
fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(read) = Metadata::parse_header(text) else { return };
    assert!(text.len() <= METADATA_BYTES_MAX);
    assert!(text.split(',').count() <= METADATA_KEYS_MAX);
    check_metadata(&read);
    let keys = text.split(',').filter_map(|pair| pair.trim_matches(' ').split(' ').next());
    let texts: Vec<_> = keys.filter_map(|key| Some((key, read.text(key)?))).collect();
    // Bytes that are no text are longer once they are replaced.
    let Ok(again) = Metadata::from_pairs(texts.clone()) else { return };
    for (key, value) in texts {
        assert_eq!(again.text(key), Some(value));
    }
    assert_eq!(again.filename(), read.filename());
    assert_eq!(again.tags(), read.tags());
}

/// What is shown of metadata is bounded, whatever was sent.
fn check_metadata(read: &Metadata) {
    let name = read.filename();
    assert!(!name.is_empty() && !name.contains(['/', '\\', '\0', '\n', '\r']), "{name:?}");
    assert!(!read.title().is_empty());
    let tags = read.tags();
    assert!(tags.len() <= TAGS_MAX);
    assert!(tags.iter().all(|tag| !tag.is_empty() && !tag.contains(',')));
}

/// `Range` of HTTP, and sets of ranges against one bit for each byte.
fn ranges(bytes: &[u8]) {
    const SIZE: u64 = 1000;
    if let Ok(text) = std::str::from_utf8(bytes) {
        for range in actix_files::HttpRange::parse(text, SIZE).unwrap_or_default() {
            assert!(range.start.checked_add(range.length).is_some_and(|end| end <= SIZE));
        }
    }
    let (mut set, mut model) = (Ranges::default(), 0u64);
    let bits = |start: u8, end: u8| (start..end).fold(0u64, |bits, at| bits | 1 << at);
    for step in bytes.chunks_exact(2).take(200) {
        let (start, end) = (step[0] % 64, step[1] % 65);
        let (from, to) = (ByteOffset(start.into()), ByteOffset(end.into()));
        match step[0] / 64 {
            0 | 1 => {
                set.insert(from, to);
                model |= bits(start, end);
            }
            2 => {
                set.cut_to(ByteCount(end.into()));
                model &= bits(0, end);
            }
            _ => {
                let mut other = Ranges::default();
                other.insert(from, to);
                assert_eq!(
                    set.overlap(&other).total().0,
                    u64::from((model & bits(start, end)).count_ones())
                );
            }
        }
        assert_eq!(set.covers(from, to), model & bits(start, end) == bits(start, end));
        assert_eq!(set.total().0, u64::from(model.count_ones()));
        assert_eq!(set.contiguous_end().0, u64::from(model.trailing_ones()));
        let apart = set.as_slice().windows(2).all(|pair| pair[0].1 < pair[1].0);
        assert!(apart && set.as_slice().iter().all(|(start, end)| start < end), "{set:?}");
    }
}

/// A form with a part, through the real reader of forms. It reads the same however the network
/// cuts it, and one that is cut short is never taken for whole.
fn form(bytes: &[u8]) {
    let Some((&size, body)) = bytes.split_first() else { return };
    let whole = read_form(&[body], true);
    if let Ok(part) = &whole {
        assert!(part.len() <= body.len());
        assert!(body.windows(3).any(|window| window == b"--b"));
    }
    let pieces: Vec<&[u8]> = body.chunks(usize::from(size).max(1)).collect();
    assert_eq!(read_form(&pieces, true).ok(), whole.ok(), "cut into {size}");
    // A body that breaks off is an error, unless the form had ended before.
    let half = &body[..body.len() / 2];
    if !half.windows(5).any(|window| window == b"--b--") {
        assert!(read_form(&[half], false).is_err());
    }
}

/// Returns a form's part; with `ends` false the body breaks off.
fn read_form(pieces: &[&[u8]], ends: bool) -> Result<Vec<u8>, ()> {
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
    headers.insert(header::CONTENT_TYPE, kind);
    let pieces = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece)));
    let broken = (!ends).then_some(Err(PayloadError::Incomplete(None)));
    let payload: Vec<Result<Bytes, PayloadError>> = pieces.chain(broken).collect();
    let form = actix_multipart::Multipart::new(&headers, stream::iter(payload));
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(drop)?;
    runtime.block_on(chunk_form::read(form))
}

/// Sums in headers and in texts.
fn digests(bytes: &[u8]) {
    const NAMES: [&str; 3] = ["content-digest", "digest", "x-chunk-sha256"];
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let mut headers = HeaderMap::new();
    for (n, line) in bytes.split(|&byte| byte == b'\n').take(8).enumerate() {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        let name = NAMES[(usize::from(which) + n) % NAMES.len()];
        headers.append(HeaderName::from_static(name), value);
    }
    if let Ok(Some(sum)) = digest::of_body(&headers) {
        for name in NAMES {
            let value = match name {
                "content-digest" => format!("sha-256=:{}:", STANDARD.encode(sum)),
                "digest" => format!("sha-256={}", STANDARD.encode(sum)),
                _ => digest::to_hex(&sum),
            };
            let Ok(value) = HeaderValue::from_str(&value) else { return };
            // Said once more, it still contradicts nothing.
            headers.append(HeaderName::from_static(name), value);
        }
        assert_eq!(digest::of_body(&headers).ok(), Some(Some(sum)));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(sum) = digest::of_etag(text) {
        assert_eq!(digest::of_etag(&format!("\"{}\"", digest::to_hex(&sum))), Some(sum));
        assert_eq!(digest::of_text(&digest::to_hex(&sum)), Some(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `seed` with a few changes that `random` decides.
    fn mutated(seed: &[u8], other: &[u8], random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        const WORDS: [&[u8]; 8] =
            [b"\r\n", b"--b", b",", b";", b"\"", b" ", b"99999999999999999999", b"\xff"];
        let mut bytes = seed.to_vec();
        for _ in 0..random(4) + 1 {
            let at = random(bytes.len() + 1);
            let end = (at + random(9)).min(bytes.len());
            match random(5) {
                0 => drop(bytes.splice(at..end, [])),
                1 => drop(bytes.splice(at..end, WORDS[random(WORDS.len())].iter().copied())),
                2 => drop(bytes.splice(at..at, other[random(other.len())..].iter().copied())),
                3 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random(256) as u8),
            }
        }
        bytes
    }

    /// Every fuzz target holds for its seeds and for some thousand changes of them, or as many as
    /// `SLIPWAY_FUZZ_ROUNDS` says.
    #[test]
    fn targets_hold_for_mutated_seeds() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("below a usize")
        };
        let rounds = std::env::var("SLIPWAY_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok());
        for target in TARGETS {
            for seed in target.seeds {
                (target.run)(seed);
            }
            for round in 0..rounds.unwrap_or(3000) {
                let seed = target.seeds[round % target.seeds.len()];
                let other = target.seeds[random(target.seeds.len())];
                (target.run)(&mutated(seed, other, &mut random));
            }
        }
    }

    /// The forms that a target begins with are really read, or it would test nothing.
    #[test]
    fn seeds_lead_into_the_form() {
        let seeds = TARGETS.iter().find(|target| target.name == "form").expect("a target").seeds;
        let read = |seed: &[u8]| read_form(&[&seed[1..]], true);
        assert_eq!(read(seeds[0]), Ok(b"bytes".to_vec()));
        assert_eq!(read(seeds[1]), Ok(b"abc".to_vec()));
    }
}
