//! The draft's fields and what its versions differ in: pure functions over headers.
//!
//! The fields are structured (RFC 9651): one that isn't of its form counts as absent, as the draft
//! wants it.

use crate::http::problem::{Code, Problem};
use crate::upload::Metadata;
use actix_web::http::header::{
    self, Charset, ContentDisposition, ExtendedValue, HeaderMap, HeaderValue,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The field in which a client names the version that it speaks.
pub(super) const VERSION: &str = "upload-draft-interop-version";
/// The type of a body that carries more of an upload.
pub(in crate::http) const BODY_TYPE: &str = "application/partial-upload";
/// The largest integer of a structured field.
pub(super) const INTEGER_MAX: u64 = 999_999_999_999_999;

/// What a version of the draft does in its own way.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Its number in `Upload-Draft-Interop-Version`.
    pub(super) version: u8,
    /// The field that says whether the upload is complete; `Upload-Incomplete` says the opposite.
    pub(super) complete: &'static str,
    /// A body that carries more of an upload has to say so by its type.
    pub(super) is_typed: bool,
    /// Interim answers may tell how far a body has come.
    pub(super) has_progress: bool,
    /// A request that continues an upload and says nothing of the end is the end.
    pub(super) is_last_by_default: bool,
    /// What the limit of an upload's life is called, if there is one.
    pub(super) age: Option<&'static str>,
}

/// The versions, the newest first. Drafts 09 to 12 are version 8, 04 and 05 are 6, 03 is 5 and
/// 01 is 3: iPhones speak 8, 6, 5 and 3, from the newest to the oldest that know it.
pub(super) const DIALECTS: [Dialect; 4] = [
    Dialect {
        version: 8,
        complete: "upload-complete",
        is_typed: true,
        has_progress: true,
        is_last_by_default: false,
        age: Some("max-age"),
    },
    Dialect {
        version: 6,
        complete: "upload-complete",
        is_typed: true,
        has_progress: true,
        is_last_by_default: false,
        age: Some("expires"),
    },
    Dialect {
        version: 5,
        complete: "upload-complete",
        is_typed: false,
        has_progress: true,
        is_last_by_default: false,
        age: None,
    },
    Dialect {
        version: 3,
        complete: "upload-incomplete",
        is_typed: false,
        has_progress: false,
        is_last_by_default: true,
        age: None,
    },
];

/// How a request speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech {
    /// The version.
    pub(super) dialect: &'static Dialect,
    /// The client named it itself; otherwise it is the best guess.
    pub(super) is_named: bool,
}

impl Speech {
    /// Finds out how a request speaks: as it says, else by the field that only the oldest version
    /// has, else like the newest one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let version = integer(headers, VERSION);
        let named = DIALECTS.iter().find(|it| Some(u64::from(it.version)) == version);
        let [newest, .., oldest] = &DIALECTS;
        let is_old =
            headers.contains_key(oldest.complete) && !headers.contains_key(newest.complete);
        let guess = if is_old { oldest } else { newest };
        Self { dialect: named.unwrap_or(guess), is_named: named.is_some() }
    }

    /// Reads whether the request's body is the upload's end.
    pub(super) fn last(self, headers: &HeaderMap) -> Option<bool> {
        let said = boolean(headers, self.dialect.complete)?;
        Some(said != self.is_inverted())
    }

    /// Writes whether an upload is complete: the field and its value.
    pub(super) fn complete(self, is_complete: bool) -> (&'static str, &'static str) {
        let value = if is_complete != self.is_inverted() { "?1" } else { "?0" };
        (self.dialect.complete, value)
    }

    fn is_inverted(self) -> bool {
        self.dialect.complete == "upload-incomplete"
    }
}

/// Says whether a request speaks the draft and not tus.
pub(in crate::http) fn is_spoken(headers: &HeaderMap) -> bool {
    let names = [VERSION, "upload-complete", "upload-incomplete"];
    !headers.contains_key("tus-resumable") && names.iter().any(|name| headers.contains_key(*name))
}

/// Reads the item of a field that comes once, without its parameters.
fn item<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut lines = headers.get_all(name);
    let text = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
    text.split(';').next().map(str::trim)
}

/// Reads a field that is a count: an integer that isn't negative.
pub(super) fn integer(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = item(headers, name)?;
    let is_plain = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

fn boolean(headers: &HeaderMap, name: &str) -> Option<bool> {
    match item(headers, name)? {
        "?1" => Some(true),
        "?0" => Some(false),
        _ => None,
    }
}

/// Reads what is said about the file: `Upload-Metadata` as tus has it, and where that is silent
/// `Content-Disposition` and `Content-Type`. Returns it with the header that says all of it.
///
/// # Errors
/// 400 for metadata that can't be taken.
pub(super) fn metadata(headers: &HeaderMap) -> Result<(Metadata, Option<String>), Problem> {
    // What isn't text is refused like a value that isn't base64.
    let given = headers.get("upload-metadata").map(|value| value.to_str().unwrap_or("- !"));
    let given = given.unwrap_or_default().trim();
    let read = |text: &str| {
        Metadata::parse_header(text).map_err(|reason| crate::http::translate::upload(reason.into()))
    };
    let said = read(given)?;
    let mut all: Vec<String> = Vec::new();
    all.extend((!given.is_empty()).then(|| given.to_owned()));
    let pair = |key: &str, value: String| format!("{key} {}", STANDARD.encode(value));
    if said.text("filename").is_none() {
        let name = headers.get(header::CONTENT_DISPOSITION).and_then(file_name);
        all.extend(name.map(|name| pair("filename", name)));
    }
    if said.filetype().is_none() {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        // This type is of the body, not of the file.
        let kind = kind.filter(|kind| !is_of_type(Some(kind), BODY_TYPE));
        all.extend(kind.map(|kind| pair("filetype", kind.to_owned())));
    }
    let all = all.join(",");
    let metadata = read(&all)?;
    Ok((metadata, (!all.is_empty()).then_some(all)))
}

/// Reads a file's name; one that can't be read is none, as it is only for display.
fn file_name(value: &HeaderValue) -> Option<String> {
    let disposition = ContentDisposition::from_raw(value).ok()?;
    let plain = disposition.get_filename().map(str::to_owned);
    disposition.get_filename_ext().map(decoded).or(plain).filter(|name| !name.trim().is_empty())
}

fn decoded(name: &ExtendedValue) -> String {
    match name.charset {
        Charset::Iso_8859_1 => name.value.iter().copied().map(char::from).collect(),
        _ => String::from_utf8_lossy(&name.value).into_owned(),
    }
}

/// Says whether a content type is `wanted`; parameters don't matter.
pub(super) fn is_of_type(content_type: Option<&str>, wanted: &str) -> bool {
    let kind = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(wanted)
}

/// Says that a field is needed that isn't there or isn't of its form.
pub(super) fn needed(name: &'static str, form: &'static str) -> Problem {
    Problem::new(Code::InvalidHeader, format!("`{name}` has to be there, and be {form}."))
        .field(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderName;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    /// A field that isn't of its form is as good as absent.
    #[test]
    fn fields_are_structured() {
        for (text, expected) in [
            ("0", Some(0)),
            (" 7 ; a=b", Some(7)),
            ("999999999999999", Some(INTEGER_MAX)),
            ("1000000000000000", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("", None),
            ("1, 1", None),
            ("\"1\"", None),
        ] {
            assert_eq!(integer(&headers(&[("upload-offset", text)]), "upload-offset"), expected);
        }
        let twice = headers(&[("upload-offset", "1"), ("upload-offset", "1")]);
        assert_eq!(integer(&twice, "upload-offset"), None);
        for (text, expected) in
            [("?1", Some(true)), ("?0;x", Some(false)), ("1", None), ("true", None), ("?2", None)]
        {
            let headers = headers(&[("upload-complete", text)]);
            assert_eq!(Speech::of(&headers).last(&headers), expected, "{text}");
        }
    }

    /// Who names a version is answered in it; the oldest says the opposite with another field.
    #[test]
    fn each_version_has_its_words() {
        for (pairs, version, is_named) in [
            (&[(VERSION, "8")][..], 8, true),
            (&[(VERSION, "6")], 6, true),
            (&[(VERSION, "5")], 5, true),
            (&[(VERSION, "3")], 3, true),
            (&[(VERSION, "4")], 8, false),
            (&[("upload-complete", "?1")], 8, false),
            (&[("upload-incomplete", "?1")], 3, false),
            (&[], 8, false),
        ] {
            let speech = Speech::of(&headers(pairs));
            assert_eq!((speech.dialect.version, speech.is_named), (version, is_named), "{pairs:?}");
        }
        let old = headers(&[("upload-incomplete", "?1")]);
        let speech = Speech::of(&old);
        assert_eq!(speech.last(&old), Some(false));
        assert_eq!(speech.complete(true), ("upload-incomplete", "?0"));
        let speech = Speech::of(&headers(&[]));
        assert_eq!(speech.complete(true), ("upload-complete", "?1"));
    }

    /// Names and types come from the headers that every upload has, unless the metadata has them.
    #[test]
    fn files_are_described() {
        let name = |pairs: &[(&'static str, &str)]| {
            metadata(&headers(pairs)).expect("good metadata").0.filename()
        };
        let disposition = "content-disposition";
        for (value, expected) in [
            ("inline; filename=\"a b.mp4\"", "a b.mp4"),
            ("attachment; filename=\"x\"; filename*=UTF-8''f%C3%A9%20a.mov", "fé a.mov"),
            ("inline; filename*=ISO-8859-1''%E9.mov", "é.mov"),
            ("inline; filename=\"é.mov\"", "é.mov"),
            ("inline", "video"),
            ("inline; filename=", "video"),
            (";;;", "video"),
        ] {
            assert_eq!(name(&[(disposition, value)]), expected, "{value}");
        }
        let both = [("upload-metadata", "filename YS5tcDQ="), (disposition, "inline; filename=b")];
        assert_eq!(name(&both), "a.mp4");
        let said = headers(&[("content-type", "video/mp4"), (disposition, "inline; filename=b")]);
        let (read, raw) = metadata(&said).expect("good metadata");
        assert_eq!(read.filetype().as_deref(), Some("video/mp4"));
        assert_eq!(raw.as_deref(), Some("filename Yg==,filetype dmlkZW8vbXA0"));
        assert_eq!(metadata(&headers(&[])).expect("none").1, None);
        assert!(metadata(&headers(&[("upload-metadata", "a !!")])).is_err());
        assert!(metadata(&headers(&[("upload-metadata", "é")])).is_err());
    }
}
