//! Text tracks and chapters of a video, as they are remembered and published.

use super::manifest::Manifest;
use serde::{Deserialize, Serialize};

/// What a text track is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextKind {
    /// For those who don't understand the language.
    #[default]
    Subtitles,
    /// For those who don't hear it: sounds and speakers are named too.
    Captions,
    /// Only what has to be read: signs, and words in another language than the film's.
    Forced,
}

/// One text track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextTrack {
    /// BCP 47 tag, `und` if nobody said.
    pub lang: String,
    /// What players call it.
    pub label: String,
    /// What it is for.
    pub kind: TextKind,
    /// Counted from 1 among the tracks of the file with this language and kind.
    pub ordinal: u32,
    /// Names its stored file; made from the bytes, so that other bytes have another name.
    pub stored: u32,
    /// How it was cut for players, once that was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<TextCut>,
}

/// The files of a text track that players fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextCut {
    /// Names the directory, `text-{number}`; made from what is in it.
    pub number: u32,
    /// Seconds of one segment.
    pub every: u64,
    /// Length of the film in milliseconds, all of which is covered.
    pub film_ms: u64,
}

/// A chapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chapter {
    /// Second at which it begins.
    pub start: f64,
    /// Second at which it ends.
    pub end: f64,
    /// Its title; never empty.
    pub title: String,
}

/// Most chapters of one video. A video's record has 64 KiB for everything.
pub const CHAPTERS_MAX: usize = 150;

/// Longest title of a chapter in characters.
pub const CHAPTER_CHARS_MAX: usize = 100;

/// Most bytes of all titles of chapters together.
pub const CHAPTER_BYTES_MAX: usize = 6 << 10;

/// Most text tracks that are taken from a file.
pub const TEXTS_MAX: usize = 32;

/// Most text tracks that people may add to one video.
pub const CAPTIONS_MAX: usize = 16;

/// Longest name of a text track in characters.
pub const LABEL_CHARS_MAX: usize = 40;

/// The chapters' file, beside the playlists.
pub const CHAPTERS_FILE: &str = "chapters.vtt";

/// A text track whole, in the directory of its segments.
pub const WHOLE_TEXT_FILE: &str = "whole.vtt";

impl TextKind {
    /// Returns the word that the API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Subtitles => "subtitles",
            Self::Captions => "captions",
            Self::Forced => "forced",
        }
    }

    /// Reads the word that clients send.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Subtitles, Self::Captions, Self::Forced].into_iter().find(|kind| kind.word() == word)
    }
}

impl TextTrack {
    /// Returns the track as it is remembered apart from the files that are cut of it.
    pub fn uncut(&self) -> Self {
        Self { cut: None, ..self.clone() }
    }

    /// Returns the name under which the track is addressed, unique among a video's: `en`,
    /// `en_captions`, `zh-hant_2`.
    pub fn name(&self) -> String {
        let mut name = self.lang.to_ascii_lowercase();
        if self.kind != TextKind::Subtitles {
            name = format!("{name}_{}", self.kind.word());
        }
        if self.ordinal > 1 { format!("{name}_{}", self.ordinal) } else { name }
    }
}

impl TextCut {
    /// Returns the directory of the files.
    pub fn directory(self) -> String {
        format!("text-{}", self.number)
    }
}

/// Returns the tracks that are shown: all that people have added, and of those from the file the
/// ones that nobody has replaced.
pub fn shown<'t>(added: &'t [TextTrack], found: &'t [TextTrack]) -> Vec<&'t TextTrack> {
    let replaced = |track: &TextTrack| added.iter().any(|other| other.name() == track.name());
    added.iter().chain(found.iter().filter(|track| !replaced(track))).collect()
}

impl Manifest {
    /// Returns the text tracks that players are told of, with how they are cut.
    pub fn text_tracks(&self) -> Vec<(&TextTrack, TextCut)> {
        let shown = shown(&self.captions, self.texts.as_deref().unwrap_or_default()).into_iter();
        shown.filter_map(|track| Some((track, track.cut?))).collect()
    }

    /// Returns the length of the film in milliseconds, as far as it is known by now: what was
    /// made if a rung is complete, else what the source declares.
    pub fn film_ms(&self) -> u64 {
        let made = self.rungs.iter().filter(|rung| rung.complete).map(|rung| rung.seconds());
        let made = made.fold(0.0, f64::max);
        let seconds = if made > 0.0 { made } else { self.duration.max(0.0) };
        (seconds * 1000.0).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(lang: &str, kind: TextKind, ordinal: u32, stored: u32) -> TextTrack {
        TextTrack { lang: lang.into(), label: lang.into(), kind, ordinal, stored, cut: None }
    }

    /// What people add goes before what the file holds of the same language and kind, and before
    /// nothing else.
    #[test]
    fn added_tracks_replace_found_ones() {
        use TextKind::{Captions, Forced, Subtitles};
        let found = [
            track("en", Subtitles, 1, 1),
            track("en", Subtitles, 2, 2),
            track("en", Captions, 1, 3),
            track("zh-Hant", Forced, 1, 4),
        ];
        let added = [track("en", Subtitles, 1, 9), track("de", Subtitles, 1, 10)];
        let seen: Vec<u32> = shown(&added, &found).iter().map(|track| track.stored).collect();
        assert_eq!(seen, [9, 10, 2, 3, 4]);
        let names: Vec<String> = found.iter().map(TextTrack::name).collect();
        assert_eq!(names, ["en", "en_2", "en_captions", "zh-hant_forced"]);
    }

    /// Words of the API are read back as what they were.
    #[test]
    fn kinds_have_words() {
        for kind in [TextKind::Subtitles, TextKind::Captions, TextKind::Forced] {
            assert_eq!(TextKind::parse(kind.word()), Some(kind));
        }
        assert_eq!(TextKind::parse("chapters"), None);
    }
}
