//! Extras: what is made of a source beside its rungs, each in one piece.
//!
//! The child reports an extra when its files are complete, the publisher moves them and notes it
//! in the manifest, and an attempt that finds it noted doesn't make it again.

use super::manifest::{Manifest, Picture};
use super::text::{Chapter, TextKind};
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

/// The poster's file, beside the playlists.
pub const POSTER_FILE: &str = "poster.jpg";

impl Extra {
    /// Returns which one it is.
    pub fn kind(&self) -> ExtraKind {
        match self {
            Self::Poster { .. } => ExtraKind::Poster,
            Self::Texts { .. } => ExtraKind::Texts,
            Self::Chapters { .. } => ExtraKind::Chapters,
        }
    }

    /// Returns the names of its files, the same below the child's output directory and below the
    /// video's. They are put together here: no name comes from the child.
    pub fn files(&self) -> Vec<String> {
        match self {
            Self::Poster { .. } => vec![POSTER_FILE.to_owned()],
            Self::Texts { .. } | Self::Chapters { .. } => Vec::new(),
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
        }
    }

    /// Returns the extras that are there.
    pub fn extras(&self) -> Vec<ExtraKind> {
        let noted = [
            self.poster.is_some().then_some(ExtraKind::Poster),
            self.texts.is_some().then_some(ExtraKind::Texts),
            (!self.chapters.is_empty()).then_some(ExtraKind::Chapters),
        ];
        noted.into_iter().flatten().collect()
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
        let poster = Extra::Poster { picture: Picture { width: 2, height: 1 } };
        assert_eq!(poster.files(), [POSTER_FILE]);
        manifest.note(poster.clone());
        assert_eq!(manifest.extras(), [poster.kind()]);
    }
}
