//! What a client says about its file: the `Upload-Metadata` header of tus, or a form's fields.
//!
//! Values are untrusted text for display and for the video's first record; they never become
//! paths or headers. Lenient where the field's clients differ (spaces after commas, URL-safe or
//! unpadded base64, an empty header), strict where a mistake would change the meaning.

use crate::model::name::{display_name, title_from};
use crate::model::video::Visibility;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

/// Longest metadata in bytes, as the client sent it.
pub const METADATA_BYTES_MAX: usize = 4096;

/// Most keys in one upload's metadata.
pub const METADATA_KEYS_MAX: usize = 32;

/// Most tags of a video.
pub const TAGS_MAX: usize = 64;

/// Metadata that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// More than [`METADATA_BYTES_MAX`].
    #[error("the metadata is longer than {METADATA_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`METADATA_KEYS_MAX`].
    #[error("the metadata has more than {METADATA_KEYS_MAX} keys")]
    TooManyKeys,
    /// An empty pair, as after a comma too many.
    #[error("the metadata has an empty pair")]
    EmptyPair,
    /// A key that isn't printable ASCII, or a pair of more than two parts.
    #[error("pair {0} of the metadata isn't a key and a base64 value")]
    BadPair(usize),
    /// The same key twice.
    #[error("the metadata names the key `{0}` twice")]
    DuplicateKey(String),
    /// A value that isn't base64.
    #[error("the metadata's value of `{0}` isn't base64")]
    BadBase64(String),
    /// A value that its key doesn't allow.
    #[error("the metadata's value of `{0}` isn't one of public, unlisted, private")]
    BadVisibility(String),
}

/// Keys and values in the client's order; no key twice, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// Reads the value of an `Upload-Metadata` header: `key base64, key base64, key`.
    /// An empty header is no metadata (tus 1.0, Creation).
    ///
    /// # Errors
    /// Every variant of [`MetadataError`].
    pub fn parse_header(header: &str) -> Result<Self, MetadataError> {
        if header.len() > METADATA_BYTES_MAX {
            return Err(MetadataError::TooLong);
        }
        let mut metadata = Self::default();
        if header.trim().is_empty() {
            return Ok(metadata);
        }
        for (index, pair) in header.split(',').enumerate() {
            // TUSKit and tus-php write ", " between pairs.
            let pair = pair.trim_matches(' ');
            if pair.is_empty() {
                return Err(MetadataError::EmptyPair);
            }
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if value.contains(' ') {
                return Err(MetadataError::BadPair(index));
            }
            let value = decode(value).ok_or_else(|| match is_key(key) {
                true => MetadataError::BadBase64(key.to_owned()),
                false => MetadataError::BadPair(index),
            })?;
            metadata.add(index, key, value)?;
        }
        metadata.check()?;
        Ok(metadata)
    }

    /// Takes plain keys and values, as a form brings them. A key without a value is left out.
    ///
    /// # Errors
    /// `TooLong`, `TooManyKeys`, `BadPair`, `DuplicateKey`, `BadVisibility`.
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, MetadataError>
    where
        K: AsRef<str>,
        V: Into<String>,
    {
        let mut metadata = Self::default();
        let mut bytes = 0;
        for (index, (key, value)) in pairs.into_iter().enumerate() {
            let (key, value) = (key.as_ref(), value.into());
            if value.is_empty() {
                continue;
            }
            bytes += key.len() + value.len();
            if bytes > METADATA_BYTES_MAX {
                return Err(MetadataError::TooLong);
            }
            metadata.add(index, key, value.into_bytes())?;
        }
        metadata.check()?;
        Ok(metadata)
    }

    /// Returns this with `words` in the place of what it says of the same keys.
    pub(super) fn overruled(mut self, words: &[(String, String)]) -> Self {
        let is_said = |key: &str| words.iter().any(|(said, _)| said == key);
        // Uppy's name for the file's.
        let is_name = is_said("filename");
        self.pairs.retain(|(key, _)| !(is_said(key) || is_name && key == "name"));
        let words = words.iter().map(|(key, word)| (key.clone(), word.clone().into_bytes()));
        self.pairs.extend(words);
        self
    }

    fn add(&mut self, index: usize, key: &str, value: Vec<u8>) -> Result<(), MetadataError> {
        if !is_key(key) {
            return Err(MetadataError::BadPair(index));
        }
        if self.pairs.iter().any(|(known, _)| known == key) {
            return Err(MetadataError::DuplicateKey(key.to_owned()));
        }
        if self.pairs.len() >= METADATA_KEYS_MAX {
            return Err(MetadataError::TooManyKeys);
        }
        self.pairs.push((key.to_owned(), value));
        Ok(())
    }

    fn check(&self) -> Result<(), MetadataError> {
        match self.text("visibility") {
            Some(word) if Visibility::parse(&word).is_none() => {
                Err(MetadataError::BadVisibility("visibility".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Returns the value of `key` as text, unless it is missing or blank. Bytes that aren't UTF-8
    /// are replaced: an old client's umlaut is no reason to refuse its film.
    pub fn text(&self, key: &str) -> Option<String> {
        let (_, value) = self.pairs.iter().find(|(known, _)| known == key)?;
        let text = String::from_utf8_lossy(value).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Returns all keys and values as text, blank ones with them.
    pub fn texts(&self) -> Vec<(String, String)> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        self.pairs.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    /// Returns the file's name for display; Uppy calls it `name`. `video` without one.
    pub fn filename(&self) -> String {
        display_name(&self.text("filename").or_else(|| self.text("name")).unwrap_or_default())
    }

    /// Returns the media type that the client claims; never believed, only shown.
    pub fn filetype(&self) -> Option<String> {
        self.text("filetype").or_else(|| self.text("type"))
    }

    /// Returns the video's title: the given one, or one made of the file's name.
    pub fn title(&self) -> String {
        self.text("title").unwrap_or_else(|| title_from(&self.filename()))
    }

    /// Returns the video's description, empty without one.
    pub fn description(&self) -> String {
        self.text("description").unwrap_or_default()
    }

    /// Returns the tags, given as one comma-separated text: trimmed, each once, bounded in number.
    pub fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        for tag in self.text("tags").unwrap_or_default().split(',') {
            let tag = tag.trim();
            if !tag.is_empty() && tags.len() < TAGS_MAX && !tags.iter().any(|known| known == tag) {
                tags.push(tag.to_owned());
            }
        }
        tags
    }

    /// Returns the visibility that the client asks for.
    pub fn visibility(&self) -> Option<Visibility> {
        self.text("visibility").and_then(|word| Visibility::parse(&word))
    }

    /// Returns the name under which the client groups its uploads.
    pub fn session(&self) -> Option<String> {
        self.text("sessionId")
    }
}

/// Says whether `key` may name a value: printable ASCII without space or comma.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// Decodes standard or URL-safe base64, with or without padding.
fn decode(value: &str) -> Option<Vec<u8>> {
    let standard = value.replace('-', "+").replace('_', "/");
    STANDARD_PAD_INDIFFERENT.decode(standard).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(header: &str) -> Vec<(String, String)> {
        let metadata = Metadata::parse_header(header).expect("good metadata");
        let text = |(key, value): (String, Vec<u8>)| {
            (key, String::from_utf8(value).expect("the examples are text"))
        };
        metadata.pairs.into_iter().map(text).collect()
    }

    /// Headers as the field's clients write them are read, whatever their small differences.
    #[test]
    fn reads_what_clients_write() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("   ", &[]),
            ("filename d29ybGQ=", &[("filename", "world")]),
            ("filename d29ybGQ", &[("filename", "world")]),
            (
                "filename d29ybGQ=, is_confidential",
                &[("filename", "world"), ("is_confidential", "")],
            ),
            ("is_confidential ,a YQ==", &[("is_confidential", ""), ("a", "a")]),
            ("name 8J-Orw", &[("name", "🎯")]),
            ("name 8J+Orw==", &[("name", "🎯")]),
            ("A YQ==,a Yg==", &[("A", "a"), ("a", "b")]),
        ];
        for (header, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(k, v)| pair(k, v)).collect();
            assert_eq!(values(header), expected, "{header:?}");
        }
    }

    /// What could be read in two ways, or not at all, is refused and the reason named.
    #[test]
    fn refuses_what_is_wrong() {
        use MetadataError::*;
        let cases = [
            (",", EmptyPair),
            ("a YQ==,", EmptyPair),
            (",a YQ==", EmptyPair),
            ("a YQ==,,b Yg==", EmptyPair),
            ("a YQ== Yg==", BadPair(0)),
            ("a YQ==,b Yg== x", BadPair(1)),
            ("ключ YQ==", BadPair(0)),
            ("a\u{7f} YQ==", BadPair(0)),
            ("a YQ==,a Yg==", DuplicateKey("a".into())),
            ("a,a", DuplicateKey("a".into())),
            ("a Y", BadBase64("a".into())),
            ("a Y*==", BadBase64("a".into())),
            ("a YR==", BadBase64("a".into())),
            ("visibility c2VjcmV0", BadVisibility("visibility".into())),
        ];
        for (header, expected) in cases {
            assert_eq!(Metadata::parse_header(header), Err(expected), "{header:?}");
        }
        let long = format!("a {}", "A".repeat(METADATA_BYTES_MAX));
        assert_eq!(Metadata::parse_header(&long), Err(TooLong));
        let many: Vec<String> = (0..=METADATA_KEYS_MAX).map(|n| format!("k{n} YQ==")).collect();
        assert_eq!(Metadata::parse_header(&many.join(",")), Err(TooManyKeys));
        assert!(Metadata::parse_header(&many[1..].join(",")).is_ok());
        assert_eq!(Metadata::from_pairs([("title", "a".repeat(METADATA_BYTES_MAX))]), Err(TooLong));
        assert_eq!(Metadata::from_pairs([("a b", "c")]), Err(BadPair(0)));
    }

    /// Values become the first words of a video: bounded, trimmed, with defaults.
    #[test]
    fn values_become_a_video() {
        let pairs = [
            ("filename", "../films/Grüße.mov"),
            ("description", " a day out "),
            ("tags", "sea, sun,, sea ,"),
            ("visibility", "private"),
            ("sessionId", "s-1"),
            ("filetype", ""),
        ];
        let metadata = Metadata::from_pairs(pairs).expect("good fields");
        assert_eq!(metadata.filename(), "Grüße.mov");
        assert_eq!(metadata.title(), "Grüße");
        assert_eq!(metadata.description(), "a day out");
        assert_eq!(metadata.tags(), ["sea", "sun"]);
        assert_eq!(metadata.visibility(), Some(Visibility::Private));
        assert_eq!(metadata.session().as_deref(), Some("s-1"));
        assert_eq!(metadata.filetype(), None);
        let none = Metadata::default();
        assert_eq!((none.filename().as_str(), none.title().as_str()), ("video", "video"));
        let uppy = Metadata::from_pairs([("name", "b.mp4"), ("type", "video/mp4")]).expect("good");
        assert_eq!(uppy.filename(), "b.mp4");
        assert_eq!(uppy.filetype().as_deref(), Some("video/mp4"));
    }

    /// Latin-1 from an old client is readable enough, and never refused.
    #[test]
    fn other_encodings_are_replaced() {
        let metadata = Metadata::parse_header("filename R3L83y5tb3Y=").expect("good base64");
        assert_eq!(metadata.filename(), "Gr\u{fffd}\u{fffd}.mov");
    }
}
