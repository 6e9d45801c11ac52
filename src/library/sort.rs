//! The orders in which videos are listed, and where a page of one ends.

use crate::ids::VideoId;
use crate::state::VideoRecord;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Characters of a title that count for its place; those behind it are in the order of their ids.
const TITLE_CHARS_MAX: usize = 64;
/// A number in a title counts as one word of this many digits: "Part 2" comes before "Part 10".
const NUMBER_DIGITS: usize = 8;
/// Longest text of a key in a cursor, in bytes: 64 characters of four.
const KEY_BYTES_MAX: usize = 4 * TITLE_CHARS_MAX;

/// By what videos are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// When their upload began.
    #[default]
    Created,
    /// Their title, in any case, numbers in it by what they count.
    Title,
    /// How long they play; those of which it isn't known count as 0.
    Duration,
    /// The size of the original.
    Size,
}

/// An order of videos. The default has the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// What counts. Among equals it is the id, and so the time.
    pub by: By,
    /// The greatest first.
    pub descending: bool,
}

/// Where a page ended: what the next one goes on behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// What counted of the page's last video; empty where only the id does.
    key: String,
    id: VideoId,
}

impl Default for Sort {
    fn default() -> Self {
        Self { by: By::Created, descending: true }
    }
}

impl Sort {
    /// Reads the API's word: a field's name, with a `-` before it for the greatest first.
    pub fn parse(word: &str) -> Option<Self> {
        let (descending, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word),
        };
        let by = match name {
            "createdAt" => By::Created,
            "title" => By::Title,
            "duration" => By::Duration,
            "size" => By::Size,
            _ => return None,
        };
        Some(Self { by, descending })
    }

    /// Says whether it is the order in which the records lie, from the end.
    pub(super) fn is_newest_first(self) -> bool {
        self == Self::default()
    }

    /// Returns where a page ends whose last video is `video`.
    pub(super) fn place(self, video: &VideoRecord) -> Cursor {
        let key = match self.by {
            By::Created => String::new(),
            By::Title => title_key(&video.title),
            By::Duration => {
                let seconds = video.facts.as_ref().map_or(0.0, |facts| facts.duration);
                format!("{:020}", (seconds.max(0.0) * 1000.0) as u64)
            }
            By::Size => format!("{:020}", video.size.0),
        };
        Cursor { key, id: video.id }
    }

    /// Returns the first `limit` behind `cursor` of what `walk` shows and `keep` wants. However
    /// many there are, no more than these are held in memory.
    pub(super) fn first<R: Clone, E>(
        self,
        cursor: Option<&Cursor>,
        limit: usize,
        video: fn(&R) -> &VideoRecord,
        keep: &dyn Fn(&R) -> bool,
        walk: impl FnOnce(&dyn Fn(&R) -> bool) -> Result<Vec<R>, E>,
    ) -> Result<Vec<R>, E> {
        let kept: RefCell<BTreeMap<Cursor, R>> = RefCell::default();
        walk(&|record| {
            let place = self.place(video(record));
            let is_behind = cursor.is_none_or(|cursor| match self.descending {
                true => place < *cursor,
                false => place > *cursor,
            });
            if is_behind && keep(record) {
                let mut kept = kept.borrow_mut();
                kept.insert(place, record.clone());
                if kept.len() > limit {
                    let _ = if self.descending { kept.pop_first() } else { kept.pop_last() };
                }
            }
            false
        })?;
        let kept = kept.into_inner().into_values();
        Ok(if self.descending { kept.rev().collect() } else { kept.collect() })
    }
}

impl Cursor {
    /// Returns the video behind which it goes on.
    pub(super) fn id(&self) -> VideoId {
        self.id
    }

    /// Reads what [`Cursor::to_string`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, key) = text.split_once('.').unwrap_or((text, ""));
        if key.len() > KEY_BYTES_MAX * 4 / 3 + 4 {
            return None;
        }
        let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
        Some(Self { key, id: VideoId::parse(id).ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}", self.id),
            key => write!(f, "{}.{}", self.id, URL_SAFE_NO_PAD.encode(key)),
        }
    }
}

/// Returns what counts of a title.
fn title_key(title: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for letter in title.trim().to_lowercase().chars().map(Some).chain([None]) {
        if let Some(digit) = letter.filter(char::is_ascii_digit) {
            digits.push(digit);
            continue;
        }
        if !digits.is_empty() {
            let number = digits.trim_start_matches('0');
            key.push_str(&format!("{number:0>NUMBER_DIGITS$}"));
            digits.clear();
        }
        key.extend(letter);
    }
    key.chars().take(TITLE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;

    /// Titles are ordered as people read them: no case, and numbers by what they count.
    #[test]
    fn titles_are_ordered_as_they_are_read() {
        let ordered = ["", "1 x", "02 x", "10 x", "a", "B", "part 2", "Part 10", "Part 10b", "é"];
        for pair in ordered.windows(2) {
            let [one, other] = pair else { continue };
            assert!(title_key(one) < title_key(other), "{one} {other}");
        }
        assert_eq!(title_key(&"ß9".repeat(500)).chars().count(), TITLE_CHARS_MAX);
    }

    /// A cursor comes back as it was, and nothing else is one.
    #[test]
    fn cursors_are_read_back() {
        let id = VideoId::fresh(UnixMillis(1_700_000_000_000));
        for key in ["", "part 00000002", "\u{10ffff}"] {
            let cursor = Cursor { key: key.to_owned(), id };
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        let long = format!("{id}.{}", "A".repeat(400));
        for bad in ["", "x", ".", &format!("{id}.!"), &format!("{id}._w"), &long] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }

    /// Only known fields are words of an order.
    #[test]
    fn words_of_orders() {
        assert_eq!(Sort::parse("-createdAt"), Some(Sort::default()));
        assert_eq!(Sort::parse("title"), Some(Sort { by: By::Title, descending: false }));
        for bad in ["", "-", "x", "--size", "-createdat", "size-"] {
            assert_eq!(Sort::parse(bad), None, "{bad}");
        }
    }
}
