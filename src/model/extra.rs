//! Extras: what is made of a source beside its rungs, each in one piece.
//!
//! The child reports an extra when its files are complete, the publisher moves them and notes it
//! in the manifest, and an attempt that finds it noted doesn't make it again.

use super::manifest::{Manifest, Picture};
use super::storyboard::{self, Storyboard};
use super::text::{Chapter, TextKind};
use super::video::Warning;
use serde::{Deserialize, Serialize};

/// What can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtraKind {
    /// The still picture that stands for the film.
    Poster,
    /// The text tracks of the file.
    Texts,
    /// The chapters of the file.
    Chapters,
    /// Stills to choose a poster from.
    Thumbnails,
    /// Small pictures for the seek bar.
    Storyboard,
    /// A few moving seconds.
    Preview,
}

impl ExtraKind {
    /// Returns the code of the warning that it couldn't be made.
    pub fn warning_code(self) -> &'static str {
        match self {
            Self::Poster => "no-poster",
            Self::Texts => "no-captions",
            Self::Chapters => "no-chapters",
            Self::Thumbnails => "no-thumbnails",
            Self::Storyboard => "no-storyboard",
            Self::Preview => "no-preview",
        }
    }

    /// Returns what it is called before people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Poster => "poster",
            Self::Texts => "captions",
            Self::Chapters => "chapters",
            Self::Thumbnails => "stills to choose a poster from",
            Self::Storyboard => "small pictures for the seek bar",
            Self::Preview => "moving preview",
        }
    }

    /// Says that a video goes without it, because an attempt to make it ended the whole process.
    pub fn left_out(self) -> Warning {
        let what = self.in_words();
        Warning {
            code: self.warning_code().to_owned(),
            detail: format!(
                "The process broke down while it made the {what}; the video goes without."
            ),
        }
    }
}

/// Something that has been made, and what has to be remembered of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Extra {
    /// See [`ExtraKind::Poster`].
    Poster {
        /// Its size.
        picture: Picture,
    },
    /// See [`ExtraKind::Texts`]. Its files aren't published as they are: they are read as text
    /// that anybody might have sent.
    Texts {
        /// The tracks, in the order of the file.
        tracks: Vec<FoundText>,
    },
    /// See [`ExtraKind::Chapters`]. It has no files.
    Chapters {
        /// In the order of time.
        chapters: Vec<Chapter>,
    },
    /// See [`ExtraKind::Thumbnails`].
    Thumbnails {
        /// In the order of the film, at most [`THUMBNAILS_MAX`].
        thumbnails: Vec<Thumbnail>,
    },
    /// See [`ExtraKind::Storyboard`].
    Storyboard {
        /// Its tiles.
        storyboard: Storyboard,
    },
    /// See [`ExtraKind::Preview`].
    Preview {
        /// Its size.
        picture: Picture,
    },
}

/// A text track of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundText {
    /// BCP 47 tag, `und` if the file doesn't say.
    pub lang: String,
    /// The file's title for it, empty if there is none.
    pub label: String,
    /// What it is for.
    pub kind: TextKind,
}

/// Returns the name of the file that holds text track `number`, counted from 1.
pub fn text_file(number: usize) -> String {
    format!("text-{number}.vtt")
}

/// A still out of the film.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Where it is shown, in seconds.
    pub time: f64,
    /// Its size.
    #[serde(flatten)]
    pub picture: Picture,
}

/// What of a film's extras its record keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pictures {
    /// The stills to choose from.
    #[serde(default)]
    pub thumbnails: Vec<Thumbnail>,
    /// Size of the storyboard's tiles, if there is one.
    #[serde(default)]
    pub storyboard: Option<Picture>,
    /// Size of the moving preview, if there is one.
    #[serde(default)]
    pub preview: Option<Picture>,
}

impl Pictures {
    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The poster that a person has chosen; it goes before the one that was found, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its size.
    pub picture: Picture,
    /// Where in the film it is, in seconds; none for a picture of their own.
    pub time: Option<f64>,
    /// How many were chosen before it, and it: its address changes with it.
    pub version: u32,
}

/// Most stills to choose from.
pub const THUMBNAILS_MAX: usize = 8;

/// The poster's file, beside the playlists.
pub const POSTER_FILE: &str = "poster.jpg";

/// The same picture in fewer bytes.
pub const POSTER_WEBP_FILE: &str = "poster.webp";

/// The moving preview's file.
pub const PREVIEW_FILE: &str = "preview.webp";

/// The file that tells what is where on the storyboard's sheets.
pub const STORYBOARD_FILE: &str = "storyboard.vtt";

/// Returns where a chosen poster of that version lies, beside the one that was found, and the same
/// picture in fewer bytes. No version takes another's place: which one counts, the record says.
pub fn chosen_files(version: u32) -> [String; 2] {
    [format!("chosen-{version}.jpg"), format!("chosen-{version}.webp")]
}

/// Returns the name of a still's file, counted from 1.
pub fn thumbnail_file(number: usize) -> String {
    format!("thumb-{number}.jpg")
}

impl Extra {
    /// Returns which one it is.
    pub fn kind(&self) -> ExtraKind {
        match self {
            Self::Poster { .. } => ExtraKind::Poster,
            Self::Texts { .. } => ExtraKind::Texts,
            Self::Chapters { .. } => ExtraKind::Chapters,
            Self::Thumbnails { .. } => ExtraKind::Thumbnails,
            Self::Storyboard { .. } => ExtraKind::Storyboard,
            Self::Preview { .. } => ExtraKind::Preview,
        }
    }

    /// Says whether it keeps to its bounds; the child that reports it isn't trusted.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Poster { .. } | Self::Preview { .. } => true,
            // Text is judged line by line where it's read.
            Self::Texts { .. } | Self::Chapters { .. } => true,
            Self::Thumbnails { thumbnails } => {
                (1..=THUMBNAILS_MAX).contains(&thumbnails.len())
                    && thumbnails.iter().all(|thumbnail| thumbnail.time.is_finite())
            }
            Self::Storyboard { storyboard } => storyboard.is_sound(),
        }
    }

    /// Returns the names of its files, the same below the child's output directory and below the
    /// video's. They are put together here: no name comes from the child.
    pub fn files(&self) -> Vec<String> {
        match self {
            Self::Poster { .. } => vec![POSTER_FILE.to_owned(), POSTER_WEBP_FILE.to_owned()],
            Self::Texts { .. } | Self::Chapters { .. } => Vec::new(),
            Self::Thumbnails { thumbnails } => (1..=thumbnails.len()).map(thumbnail_file).collect(),
            Self::Storyboard { storyboard } => {
                (1..=storyboard.sheets()).map(storyboard::sheet_file).collect()
            }
            Self::Preview { .. } => vec![PREVIEW_FILE.to_owned()],
        }
    }
}

impl Manifest {
    /// Notes an extra whose files are in place, in the stead of an earlier one of its kind.
    pub fn note(&mut self, extra: Extra) {
        match extra {
            Extra::Poster { picture } => self.poster = Some(picture),
            Extra::Chapters { chapters } => self.chapters = chapters,
            // Noted with what became of the files, by whoever reads them.
            Extra::Texts { .. } => {}
            Extra::Thumbnails { thumbnails } => self.thumbnails = thumbnails,
            Extra::Storyboard { storyboard } => self.storyboard = Some(storyboard),
            Extra::Preview { picture } => self.preview = Some(picture),
        }
    }

    /// Returns the extras that are there.
    pub fn extras(&self) -> Vec<ExtraKind> {
        let noted = [
            (self.poster.is_some(), ExtraKind::Poster),
            (self.texts.is_some(), ExtraKind::Texts),
            (!self.chapters.is_empty(), ExtraKind::Chapters),
            (!self.thumbnails.is_empty(), ExtraKind::Thumbnails),
            (self.storyboard.is_some(), ExtraKind::Storyboard),
            (self.preview.is_some(), ExtraKind::Preview),
        ];
        noted.into_iter().filter(|(is_there, _)| *is_there).map(|(_, kind)| kind).collect()
    }

    /// Returns what a video's record keeps of them.
    pub fn pictures(&self) -> Pictures {
        Pictures {
            thumbnails: self.thumbnails.clone(),
            storyboard: self.storyboard.as_ref().map(|board| board.tile.clone()),
            preview: self.preview.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is noted is there, and isn't ordered again.
    #[test]
    fn noted_extras_are_there() {
        let mut manifest = Manifest::empty(1.0, Vec::new());
        assert!(manifest.extras().is_empty());
        let picture = Picture { width: 2, height: 1 };
        let poster = Extra::Poster { picture: picture.clone() };
        assert_eq!(poster.files(), [POSTER_FILE, POSTER_WEBP_FILE]);
        manifest.note(poster.clone());
        assert_eq!(manifest.extras(), [poster.kind()]);
        let still = |time| Thumbnail { time, picture: picture.clone() };
        let storyboard = Storyboard { tile: picture.clone(), starts_ms: (0..101).collect() };
        let others = [
            (Extra::Thumbnails { thumbnails: vec![still(0.5), still(1.0)] }, "thumb-2.jpg"),
            (Extra::Storyboard { storyboard }, "storyboard-2.jpg"),
            (Extra::Preview { picture: picture.clone() }, PREVIEW_FILE),
        ];
        let kinds: Vec<ExtraKind> = others.iter().map(|(extra, _)| extra.kind()).collect();
        for (extra, last_file) in others {
            assert!(extra.is_sound());
            assert_eq!(extra.files().last().map(String::as_str), Some(last_file));
            manifest.note(extra);
        }
        assert_eq!(manifest.extras()[1..], kinds);
        assert_eq!(manifest.pictures().thumbnails.len(), 2);
        let text = serde_json::to_string(&manifest).expect("JSON");
        assert_eq!(serde_json::from_str::<Manifest>(&text).expect("it reads"), manifest);
    }

    /// What a child has no business to report isn't believed.
    #[test]
    fn unsound_extras_are_found() {
        let still = Thumbnail { time: 0.0, picture: Picture { width: 1, height: 1 } };
        for count in [0, THUMBNAILS_MAX + 1] {
            assert!(!Extra::Thumbnails { thumbnails: vec![still.clone(); count] }.is_sound());
        }
        let nowhere = Thumbnail { time: f64::NAN, ..still };
        assert!(!Extra::Thumbnails { thumbnails: vec![nowhere] }.is_sound());
    }
}
