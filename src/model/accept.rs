//! Which files are taken, by what is in them.

use super::video::VideoKind;
use serde::{Deserialize, Serialize};

/// Kinds of files that an upload may hold. Written as its list of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Accept {
    /// Pictures that move, with or without sound.
    pub video: bool,
    /// Sound without pictures.
    pub audio: bool,
    /// Whatever it is; what isn't media is kept for download.
    pub any: bool,
}

impl Default for Accept {
    fn default() -> Self {
        Self { video: true, audio: true, any: false }
    }
}

impl Accept {
    /// Reads a list such as `video/*`, `audio/*`, `*/*`; none for other words or an empty list.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut accept = Self { video: false, audio: false, any: false };
        for word in words {
            match word {
                "video/*" => accept.video = true,
                "audio/*" => accept.audio = true,
                "*/*" => accept.any = true,
                _ => return None,
            }
        }
        (accept.video || accept.audio || accept.any).then_some(accept)
    }

    /// Returns the list that [`Accept::parse`] reads.
    pub fn words(self) -> Vec<&'static str> {
        let all = [("video/*", self.video), ("audio/*", self.audio), ("*/*", self.any)];
        all.into_iter().filter(|(_, is_in)| *is_in).map(|(word, _)| word).collect()
    }

    /// Returns what both take.
    pub fn and(self, other: Self) -> Self {
        let both = |kind| self.takes(kind) && other.takes(kind);
        Self {
            video: both(VideoKind::Video),
            audio: both(VideoKind::Audio),
            any: self.any && other.any,
        }
    }

    /// Says whether a file that turned out to be of this kind is taken.
    pub fn takes(self, kind: VideoKind) -> bool {
        self.any
            || match kind {
                VideoKind::Video => self.video,
                VideoKind::Audio => self.audio,
                VideoKind::File => false,
            }
    }
}

impl From<Accept> for Vec<String> {
    fn from(accept: Accept) -> Self {
        accept.words().into_iter().map(str::to_owned).collect()
    }
}

impl TryFrom<Vec<String>> for Accept {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        Self::parse(words.iter().map(String::as_str)).ok_or("not a list of video/*, audio/*, */*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three words mean what they say, and nothing else is a word.
    #[test]
    fn lists_of_types() {
        use VideoKind::{Audio, File, Video};
        let takes = |words: &[&str]| {
            let accept = Accept::parse(words.iter().copied());
            accept.map(|accept| [Video, Audio, File].map(|kind| accept.takes(kind)))
        };
        assert_eq!(takes(&["video/*", "audio/*"]), Some([true, true, false]));
        assert_eq!(takes(&["video/*"]), Some([true, false, false]));
        assert_eq!(takes(&["audio/*"]), Some([false, true, false]));
        assert_eq!(takes(&["*/*"]), Some([true, true, true]));
        assert_eq!(takes(&[]), None);
        assert_eq!(takes(&["video/mp4"]), None);
    }

    /// Of two lists what both take is taken, and a list is read back from its words.
    #[test]
    fn lists_are_joined_and_written() {
        let list = |words: &[&str]| Accept::parse(words.iter().copied()).expect("a list");
        let (media, video) = (Accept::default(), list(&["video/*"]));
        let (any, sound) = (list(&["*/*"]), list(&["audio/*"]));
        assert_eq!(media.and(video), video);
        assert_eq!(any.and(video), video);
        assert_eq!(any.and(any).words(), ["video/*", "audio/*", "*/*"]);
        assert_eq!(sound.and(video).words(), [""; 0]);
        for accept in [media, video, any.and(any), sound] {
            let text = serde_json::to_string(&accept).expect("JSON");
            assert_eq!(serde_json::from_str::<Accept>(&text).expect("a list"), accept, "{text}");
        }
        assert!(serde_json::from_str::<Accept>("[]").is_err());
    }
}
