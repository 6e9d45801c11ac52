//! The words that people see of a video, and what they keep to, whoever says them.

use super::name::display_name;
use super::video::Visibility;
use std::collections::HashSet;

/// Longest title in characters.
pub const TITLE_CHARS_MAX: usize = 255;

/// Longest description in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;

/// Most tags of one video.
pub const TAGS_MAX: usize = 64;

/// Longest tag in characters.
pub const TAG_CHARS_MAX: usize = 64;

/// A word that isn't allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub struct Unfit {
    /// Which.
    pub field: &'static str,
    /// What it has to keep to.
    pub rule: &'static str,
}

/// What people may change of a video; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoChange {
    /// New title.
    pub title: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New tags, all of them.
    pub tags: Option<Vec<String>>,
    /// Who may see it from now on.
    pub visibility: Option<Visibility>,
    /// The file's name as people should see it; its upload's too.
    pub filename: Option<String>,
    /// The session that it belongs to; its upload too.
    pub session: Option<String>,
}

impl VideoChange {
    /// Trims and bounds what people wrote.
    ///
    /// # Errors
    /// The first value that isn't allowed.
    pub fn checked(mut self) -> Result<Self, Unfit> {
        let unfit = |field, rule| Err(Unfit { field, rule });
        if let Some(title) = &mut self.title {
            *title = title.trim().to_owned();
            if title.is_empty() || title.chars().count() > TITLE_CHARS_MAX {
                return unfit("title", "needs 1 to 255 characters");
            }
            if title.chars().any(char::is_control) {
                return unfit("title", "can't have control characters");
            }
        }
        if self.description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            return unfit("description", "can have 16384 bytes at most");
        }
        if let Some(tags) = &mut self.tags {
            tags.iter_mut().for_each(|tag| *tag = tag.trim().to_owned());
            let is_bad = |tag: &String| {
                let length = tag.chars().count();
                length == 0 || length > TAG_CHARS_MAX || tag.contains(',')
            };
            if tags.len() > TAGS_MAX || tags.iter().any(is_bad) {
                return unfit("tags", "can be 64 at most, of 1 to 64 characters without commas");
            }
            let mut seen = HashSet::new();
            tags.retain(|tag| seen.insert(tag.clone()));
        }
        self.filename = self.filename.map(|name| display_name(&name));
        Ok(self)
    }

    /// Says whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words are trimmed and bounded before anything changes.
    #[test]
    fn words_are_bounded() {
        let change = VideoChange {
            title: Some("  A day out ".into()),
            tags: Some(vec![" sea".into(), "sea".into(), "sun".into()]),
            ..VideoChange::default()
        };
        let change = change.checked().expect("good words");
        assert_eq!(change.title.as_deref(), Some("A day out"));
        assert_eq!(change.tags, Some(vec!["sea".into(), "sun".into()]));
        let title = |text: String| VideoChange { title: Some(text), ..VideoChange::default() };
        let tags = |tags| VideoChange { tags: Some(tags), ..VideoChange::default() };
        let bad = [
            title(" ".into()),
            title("x".repeat(TITLE_CHARS_MAX + 1)),
            title("a\nb".into()),
            tags(vec!["a,b".into()]),
            tags(vec![String::new()]),
            tags((0..=TAGS_MAX).map(|n| n.to_string()).collect()),
            VideoChange {
                description: Some("x".repeat(DESCRIPTION_BYTES_MAX + 1)),
                ..VideoChange::default()
            },
        ];
        for change in bad {
            assert!(change.clone().checked().is_err(), "{change:?}");
        }
    }
}
