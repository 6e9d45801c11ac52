//! The names under which media can be fetched: a closed set, the only parser of them.

use crate::model::extra::{
    POSTER_FILE, POSTER_WEBP_FILE, PREVIEW_FILE, STORYBOARD_FILE, chosen_files, thumbnail_file,
};
use crate::model::manifest::{
    FILM_FILE, INIT_FILE, KEY_FILE, KEY_PLAYLIST_FILE, MEDIA_PLAYLIST_FILE,
};
use crate::model::storyboard::sheet_file;
use crate::model::text::{CHAPTERS_FILE, WHOLE_TEXT_FILE};
use std::fmt;

/// One file of a video that players may fetch, named relative to the video.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaFile {
    /// `master.m3u8`: the HLS playlist of all rungs.
    Master,
    /// `manifest.mpd`: the DASH manifest.
    Dash,
    /// `poster.jpg`: the still picture.
    Poster,
    /// `video.mp4`: the whole film in one file.
    Film,
    /// `poster.webp`: the same in fewer bytes.
    PosterWebp,
    /// `chosen-{version}.jpg`: the still picture that somebody chose in its stead.
    Chosen {
        /// Counted from 1.
        version: u32,
    },
    /// `chosen-{version}.webp`: the same in fewer bytes.
    ChosenWebp {
        /// Counted from 1.
        version: u32,
    },
    /// `thumb-{number}.jpg`: a still to choose a poster from.
    Thumbnail {
        /// Counted from 1.
        number: u32,
    },
    /// `storyboard.vtt`: what is where on the sheets.
    Storyboard,
    /// `storyboard-{number}.jpg`: a sheet of small pictures.
    Sheet {
        /// Counted from 1.
        number: u32,
    },
    /// `preview.webp`: a few moving seconds.
    Preview,
    /// `{rung}/init.mp4`: a rung's codec set-up.
    Init {
        /// The rung's directory.
        rung: RungName,
    },
    /// `{rung}/media.m3u8`: a rung's own playlist.
    Playlist {
        /// The rung's directory.
        rung: RungName,
    },
    /// `{rung}/iframes.m3u8`: where the key pictures of a rung are.
    KeyPlaylist {
        /// The rung's directory.
        rung: RungName,
    },
    /// `{rung}/key`: what opens the rung's segments. The manifest has it; there is no such file.
    Key {
        /// The rung's directory.
        rung: RungName,
    },
    /// `{rung}/{number}.m4s`: one segment.
    Segment {
        /// The rung's directory.
        rung: RungName,
        /// Counted from 1.
        number: u32,
    },
    /// `chapters.vtt`: the chapters.
    Chapters,
    /// `captions/{name}.vtt`: a text track whole, whatever its bytes are by now. Which file that
    /// is, the video's record knows.
    Caption {
        /// Language, and what else tells it apart.
        name: String,
    },
    /// `{text}/whole.vtt`: a text track whole, for DASH.
    WholeText {
        /// The text track's directory.
        text: RungName,
    },
    /// `{text}/{number}.vtt`: one segment of a text track.
    TextSegment {
        /// The text track's directory.
        text: RungName,
        /// Counted from 1.
        number: u32,
    },
}

/// The directory of one rung, `{name}-{generation}`: letters, digits, `_` and `-` alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RungName(String);

impl RungName {
    /// Reads a directory's name; `None` for anything but the known shape.
    pub fn parse(name: &str) -> Option<Self> {
        let (stem, generation) = name.rsplit_once('-')?;
        let known = is_plain(name) && !stem.is_empty() && canonical_number(generation).is_some();
        known.then(|| Self(name.to_owned()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RungName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest name of a rung's directory.
const RUNG_CHARS_MAX: usize = 48;

impl MediaFile {
    /// Reads the part of a URL behind the video's id; `None` for anything but the known shapes.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "master.m3u8" => return Some(Self::Master),
            "manifest.mpd" => return Some(Self::Dash),
            POSTER_FILE => return Some(Self::Poster),
            CHAPTERS_FILE => return Some(Self::Chapters),
            FILM_FILE => return Some(Self::Film),
            POSTER_WEBP_FILE => return Some(Self::PosterWebp),
            PREVIEW_FILE => return Some(Self::Preview),
            STORYBOARD_FILE => return Some(Self::Storyboard),
            _ => {}
        }
        match name.rsplit_once('.') {
            Some((stem, ending @ ("jpg" | "webp"))) => Self::parse_picture(stem, ending),
            _ => Self::parse_below(name),
        }
    }

    /// Reads the name of a picture of which there are several.
    fn parse_picture(stem: &str, ending: &str) -> Option<Self> {
        let (kind, number) = stem.split_once('-')?;
        let number = canonical_number(number).filter(|&number| number > 0)?;
        match (kind, ending) {
            ("thumb", "jpg") => Some(Self::Thumbnail { number }),
            ("storyboard", "jpg") => Some(Self::Sheet { number }),
            ("chosen", "jpg") => Some(Self::Chosen { version: number }),
            ("chosen", "webp") => Some(Self::ChosenWebp { version: number }),
            _ => None,
        }
    }

    /// Reads the name of a file in a directory.
    fn parse_below(name: &str) -> Option<Self> {
        let (rung, file) = name.split_once('/')?;
        if rung == "captions" {
            let name = file.strip_suffix(".vtt")?.to_ascii_lowercase();
            let is_name = is_plain(&name) && name.starts_with(|c: char| c.is_ascii_lowercase());
            return is_name.then_some(Self::Caption { name });
        }
        let rung = RungName::parse(rung)?;
        match file {
            INIT_FILE => Some(Self::Init { rung }),
            MEDIA_PLAYLIST_FILE => Some(Self::Playlist { rung }),
            KEY_PLAYLIST_FILE => Some(Self::KeyPlaylist { rung }),
            KEY_FILE => Some(Self::Key { rung }),
            WHOLE_TEXT_FILE => Some(Self::WholeText { text: rung }),
            _ if file.ends_with(".vtt") => {
                let number = canonical_number(file.strip_suffix(".vtt")?)?;
                (number > 0).then_some(Self::TextSegment { text: rung, number })
            }
            _ => {
                let number = canonical_number(file.strip_suffix(".m4s")?)?;
                (number > 0).then_some(Self::Segment { rung, number })
            }
        }
    }

    /// Says whether players need it to play: it comes from the source alone, by its rungs.
    pub fn is_of_rungs(&self) -> bool {
        matches!(self, Self::Master | Self::Dash | Self::Film)
            || matches!(self, Self::Playlist { .. } | Self::KeyPlaylist { .. })
            || matches!(self, Self::Init { .. } | Self::Segment { .. } | Self::Key { .. })
    }

    /// Says whether the bytes behind this name never change once they are there.
    pub fn is_immutable(&self) -> bool {
        matches!(
            self,
            Self::Init { .. }
                | Self::Segment { .. }
                | Self::WholeText { .. }
                | Self::TextSegment { .. }
        )
    }
}

impl fmt::Display for MediaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("master.m3u8"),
            Self::Dash => f.write_str("manifest.mpd"),
            Self::Poster => f.write_str(POSTER_FILE),
            Self::Film => f.write_str(FILM_FILE),
            Self::PosterWebp => f.write_str(POSTER_WEBP_FILE),
            Self::Chosen { version } => f.write_str(&chosen_files(*version)[0]),
            Self::ChosenWebp { version } => f.write_str(&chosen_files(*version)[1]),
            Self::Thumbnail { number } => f.write_str(&thumbnail_file(*number as usize)),
            Self::Storyboard => f.write_str(STORYBOARD_FILE),
            Self::Sheet { number } => f.write_str(&sheet_file(*number)),
            Self::Preview => f.write_str(PREVIEW_FILE),
            Self::Init { rung } => write!(f, "{rung}/{INIT_FILE}"),
            Self::Playlist { rung } => write!(f, "{rung}/{MEDIA_PLAYLIST_FILE}"),
            Self::KeyPlaylist { rung } => write!(f, "{rung}/{KEY_PLAYLIST_FILE}"),
            Self::Key { rung } => write!(f, "{rung}/{KEY_FILE}"),
            Self::Segment { rung, number } => write!(f, "{rung}/{number}.m4s"),
            Self::Chapters => f.write_str(CHAPTERS_FILE),
            Self::Caption { name } => write!(f, "captions/{name}.vtt"),
            Self::WholeText { text } => write!(f, "{text}/{WHOLE_TEXT_FILE}"),
            Self::TextSegment { text, number } => write!(f, "{text}/{number}.vtt"),
        }
    }
}

/// Says whether `name` is made of lower-case letters, digits, `_` and `-` alone.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    !name.is_empty() && name.len() <= RUNG_CHARS_MAX && name.bytes().all(plain)
}

/// Reads a number in its only form: no sign, no leading zero, at most nine digits.
pub(super) fn canonical_number(text: &str) -> Option<u32> {
    let digits = text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if digits && canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every accepted name is written back as it was read, and nothing else is accepted.
    #[test]
    fn only_known_shapes_are_names() {
        let good = [
            "master.m3u8",
            "manifest.mpd",
            "poster.jpg",
            "video.mp4",
            "poster.webp",
            "preview.webp",
            "chosen-1.jpg",
            "chosen-20.webp",
            "thumb-8.jpg",
            "storyboard.vtt",
            "storyboard-12.jpg",
            "360p-2/init.mp4",
            "audio-1/media.m3u8",
            "360p-1/iframes.m3u8",
            "360p-1/key",
            "1080p60-12/1.m4s",
            "audio-de-1/100000.m4s",
            "chapters.vtt",
            "captions/zh-hant_captions_2.vtt",
            "text-123456789/whole.vtt",
            "text-1/600.vtt",
            "text-1/media.m3u8",
        ];
        for name in good {
            let file = MediaFile::parse(name).expect(name);
            assert_eq!(file.to_string(), name);
        }
        let bad = [
            "",
            "manifest.json",
            "360p/1.m4s",
            "thumb-0.jpg",
            "thumb-01.jpg",
            "thumb.jpg",
            "thumb-1.webp",
            "chosen.jpg",
            "chosen-0.webp",
            "other-1.jpg",
            "thumb-1.jpg/x",
            "360p-2/thumb-1.jpg",
            "360p-2/0.m4s",
            "key",
            "360p-2/key/",
            "360p-2/01.m4s",
            "360p-2/+1.m4s",
            "360p-2/1.m4s/",
            "360p-2//1.m4s",
            "360p-2/.incoming",
            "../360p-2/1.m4s",
            "..-2/1.m4s",
            "360P-2/1.m4s",
            "360p-02/1.m4s",
            "-2/1.m4s",
            "360p-2/1.m4s\0",
            "360p-2/99999999999.m4s",
            "captions/123.vtt",
            "captions/../master.m3u8",
            "captions/en.vtt.vtt",
            "captions/.vtt",
            "captions/en",
            "text-1/0.vtt",
            "text-1/01.vtt",
        ];
        for name in bad {
            assert_eq!(MediaFile::parse(name), None, "{name:?}");
        }
    }

    /// Only what is addressed by generation may be cached for ever.
    #[test]
    fn playlists_change_and_segments_do_not() {
        let immutable = |name| MediaFile::parse(name).expect(name).is_immutable();
        assert!(immutable("360p-2/1.m4s") && immutable("360p-2/init.mp4"));
        assert!(!immutable("360p-2/media.m3u8") && !immutable("master.m3u8"));
        assert!(!immutable("poster.jpg"));
    }
}
