//! Names that clients gave: kept for display, never used as paths.

use unicode_normalization::UnicodeNormalization;

/// Longest display name kept, in characters.
const NAME_CHARS_MAX: usize = 255;

/// Returns a client's file name as people should see it: the last path component, without control
/// characters, bounded in length, composed (Unicode's form NFC), so that a name from a Mac is found
/// and sorted like the same one from elsewhere; `video` if nothing is left.
pub fn display_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.nfc().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    let clean = clean.trim();
    if clean.is_empty() { "video".to_owned() } else { clean.to_owned() }
}

/// Returns the name under which a browser may save the file: safe on every common system.
pub fn download_name(display: &str) -> String {
    let safe = sanitize_filename::sanitize(display);
    if safe.is_empty() { "video".to_owned() } else { safe }
}

/// Returns a title for a file without one: its name without the extension.
pub fn title_from(display: &str) -> String {
    match display.rsplit_once('.') {
        Some((stem, ext)) if !stem.is_empty() && ext.len() <= 5 => stem.to_owned(),
        _ => display.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths, control characters and emptiness never survive; ordinary names do.
    #[test]
    fn names_are_harmless() {
        assert_eq!(display_name("Grüße 🎬.mov"), "Grüße 🎬.mov");
        assert_eq!(display_name("u\u{308}ber.mov"), "\u{fc}ber.mov", "as macOS writes it");
        assert_eq!(display_name("../../etc/passwd"), "passwd");
        assert_eq!(display_name("C:\\films\\a\u{7}b.mp4"), "ab.mp4");
        assert_eq!(display_name(" /"), "video");
        assert_eq!(download_name("a\"b:c?.mp4"), "abc.mp4");
        assert_eq!(download_name(".."), "video");
        assert_eq!(title_from("holiday.2024.mov"), "holiday.2024");
        assert_eq!(title_from(".mov"), ".mov");
    }
}
