//! Which files are taken, by what is in them.

use super::video::VideoKind;

/// Kinds of files that an upload may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}
