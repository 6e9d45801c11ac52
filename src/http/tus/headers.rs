//! Reading and writing the headers of tus 1.0.0: pure functions over text.

use crate::http::problem::{Code, Problem};
use crate::model::name;
use crate::units::{ByteCount, UnixMillis};
use crate::upload::{CHECKSUM_ALGORITHMS, Checksum};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use std::time::{Duration, UNIX_EPOCH};

/// The protocol's version.
pub(in crate::http) const VERSION: &str = "1.0.0";
/// What is announced; nothing that isn't done.
pub(in crate::http) const EXTENSIONS: &str = "creation,creation-with-upload,\
     creation-defer-length,expiration,termination,checksum,concatenation,concatenation-unfinished";
/// The type of a body that carries bytes of an upload.
pub(in crate::http) const BODY_TYPE: &str = "application/offset+octet-stream";

/// Reads a count of bytes: digits only, at most the largest signed 64-bit number.
pub(in crate::http) fn count(text: &str, field: &'static str) -> Result<u64, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>().ok().filter(|&n| digits && n <= i64::MAX as u64).ok_or_else(|| {
        let detail = format!("{field} must be a whole number from 0 to {}.", i64::MAX);
        Problem::new(Code::InvalidHeader, detail).field(field)
    })
}

/// Reads the length at creation: `Upload-Length`, or none yet with `Upload-Defer-Length: 1`.
pub(in crate::http) fn creation_length(
    length: Option<&str>,
    defer: Option<&str>,
) -> Result<Option<ByteCount>, Problem> {
    match (length, defer) {
        (Some(length), None) => count(length, "Upload-Length").map(|n| Some(ByteCount(n))),
        (None, Some("1")) => Ok(None),
        (None, Some(_)) => {
            let detail = "Upload-Defer-Length can only be 1.";
            Err(Problem::new(Code::InvalidHeader, detail).field("Upload-Defer-Length"))
        }
        _ => {
            let detail = "Send either Upload-Length or Upload-Defer-Length: 1.";
            Err(Problem::new(Code::InvalidHeader, detail).field("Upload-Length"))
        }
    }
}

/// Reads `Upload-Checksum`: an algorithm's name and a sum in base64.
pub(in crate::http) fn checksum(text: &str) -> Result<Checksum, Problem> {
    let read = || {
        let (name, sum) = text.trim().split_once(' ')?;
        Checksum::new(name, &STANDARD_PAD_INDIFFERENT.decode(sum.trim()).ok()?)
    };
    read().ok_or_else(|| {
        let known = CHECKSUM_ALGORITHMS.join(", ");
        let detail = format!("Upload-Checksum is one of {known}, a space, and the sum in base64.");
        Problem::new(Code::InvalidHeader, detail).field("Upload-Checksum")
    })
}

/// Writes a moment as `Upload-Expires` wants it (RFC 9110, IMF-fixdate).
pub(super) fn http_date(at: UnixMillis) -> String {
    let moment = UNIX_EPOCH + Duration::from_secs(at.as_secs());
    actix_web::http::header::HttpDate::from(moment).to_string()
}

/// Says whether a content type is that of upload bytes; parameters don't matter.
pub(in crate::http) fn is_body_type(content_type: Option<&str>) -> bool {
    let kind = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(BODY_TYPE)
}

/// Returns the `Content-Disposition` for saving a file under its display name.
pub(in crate::http) fn attachment(display: &str) -> actix_web::http::header::ContentDisposition {
    use actix_web::http::header::{
        Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue,
    };
    let safe = name::download_name(display);
    let plain: String = safe
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' }
        })
        .collect();
    let mut parameters = vec![DispositionParam::Filename(plain.clone())];
    if plain != safe {
        parameters.push(DispositionParam::FilenameExt(ExtendedValue {
            charset: Charset::Ext("UTF-8".to_owned()),
            language_tag: None,
            value: safe.into_bytes(),
        }));
    }
    ContentDisposition { disposition: DispositionType::Attachment, parameters }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;

    /// Lengths and offsets are plain non-negative numbers; anything else is 400 (C9, K1).
    #[test]
    fn counts_are_digits() {
        for (text, expected) in
            [("0", Some(0)), ("007", Some(7)), ("9223372036854775807", Some(i64::MAX as u64))]
        {
            assert_eq!(count(text, "Upload-Offset").ok(), expected, "{text}");
        }
        for bad in ["", " 1", "+1", "-1", "1.0", "0x1", "9223372036854775808", "1e3", "１"] {
            let problem = count(bad, "Upload-Offset").expect_err(bad);
            assert_eq!(problem.status_code().as_u16(), 400, "{bad}");
        }
    }

    /// Exactly one of length and deferral is given, and deferral is only ever 1 (K1).
    #[test]
    fn a_creation_names_its_length_or_defers_it() {
        let cases = [
            (Some("5"), None, Some(Some(ByteCount(5)))),
            (Some("0"), None, Some(Some(ByteCount(0)))),
            (None, Some("1"), Some(None)),
            (None, Some("0"), None),
            (None, Some("2"), None),
            (None, None, None),
            (Some("5"), Some("1"), None),
            (Some("-5"), None, None),
            (Some("abc"), None, None),
        ];
        for (length, defer, expected) in cases {
            assert_eq!(creation_length(length, defer).ok(), expected, "{length:?} {defer:?}");
        }
    }

    /// A checksum is a known name and a sum of its length; anything else is 400.
    #[test]
    fn checksums_are_read() {
        let read = |text| checksum(text).ok();
        let sum = [0xE3, 0x06, 0x92, 0x83];
        for good in ["crc32c 4waSgw==", "crc32c  4waSgw", " crc32c 4waSgw== "] {
            assert_eq!(read(good), Some(Checksum::Crc32c(sum)), "{good}");
        }
        for bad in ["", "crc32c", "crc32c ", "crc32c !", "crc32c 4waS", "sha1 4waSgw==", "x 4waSgw"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    /// Expiry is told in the one date format that HTTP writes.
    #[test]
    fn dates_are_imf_fixdates() {
        assert_eq!(http_date(UnixMillis(784_111_777_999)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    /// Only the protocol's own type carries bytes (C6).
    #[test]
    fn body_types() {
        for good in
            [BODY_TYPE, "Application/Offset+Octet-Stream", "application/offset+octet-stream; a=b"]
        {
            assert!(is_body_type(Some(good)), "{good}");
        }
        for bad in [None, Some(""), Some("application/octet-stream"), Some("text/plain")] {
            assert!(!is_body_type(bad), "{bad:?}");
        }
    }

    /// A name can't break out of its header, and keeps its letters where they are allowed.
    #[test]
    fn names_in_content_disposition() {
        let cases = [
            ("a.mp4", "attachment; filename=\"a.mp4\""),
            ("é.mp4", "attachment; filename=\"_.mp4\"; filename*=UTF-8''%C3%A9.mp4"),
            ("a\"b\r\nc.mp4", "attachment; filename=\"abc.mp4\""),
            ("50%.mp4", "attachment; filename=\"50_.mp4\"; filename*=UTF-8''50%25.mp4"),
        ];
        for (display, expected) in cases {
            assert_eq!(attachment(display).to_string(), expected, "{display:?}");
        }
    }
}
