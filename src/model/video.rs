//! A video: what people see, from the first byte of its upload until it is deleted.

use super::rendition::SoundPurpose;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a video stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoState {
    /// Its upload hasn't finished.
    Uploading,
    /// Waits for its turn.
    Queued,
    /// A job works on it.
    Processing,
    /// Everything planned is there.
    Ready,
    /// Work has ended without success; `problem` says why.
    Failed,
}

impl VideoState {
    /// Says whether `next` may follow this state.
    pub fn may_become(self, next: Self) -> bool {
        use VideoState::{Failed, Processing, Queued, Ready, Uploading};
        matches!(
            (self, next),
            (Uploading, Queued | Processing | Failed)
                | (Queued, Processing | Failed)
                | (Processing, Queued | Ready | Failed)
                | (Ready | Failed, Queued)
        )
    }
}

/// What a file turned out to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoKind {
    /// Pictures, with or without sound.
    #[default]
    Video,
    /// Sound only.
    Audio,
    /// Anything else, kept for download.
    File,
}

/// Who may see a video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Anybody; it may be listed.
    Public,
    /// Anybody who has the address.
    #[default]
    Unlisted,
    /// Its owner and holders of a playback token.
    Private,
}

impl Visibility {
    /// Reads the word that clients send.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "public" => Some(Self::Public),
            "unlisted" => Some(Self::Unlisted),
            "private" => Some(Self::Private),
            _ => None,
        }
    }
}

/// What the probe found in the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceFacts {
    /// The container's short name, such as `mov,mp4` or `matroska,webm`.
    pub container: String,
    /// Length in seconds.
    pub duration: f64,
    /// Width of the upright picture with square pixels; 0 for sound.
    pub width: u32,
    /// Height of the upright picture with square pixels; 0 for sound.
    pub height: u32,
    /// Clockwise degrees that the player has to turn the stored picture: 0, 90, 180 or 270.
    pub rotation: u32,
    /// Pictures a second on average.
    pub frame_rate: f64,
    /// Name of the picture codec, if there is one.
    pub video_codec: Option<String>,
    /// Name of the sound codec, if there is one.
    pub audio_codec: Option<String>,
    /// Bits a second of the whole file.
    pub bit_rate: u64,
    /// Bits a second of the pictures, as far as that is told apart; 0 unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub video_bit_rate: u64,
    /// Whether the pictures can be taken as they are; `None` if nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyVerdict>,
    /// The sound tracks that are used, the default one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sounds: Vec<SoundFacts>,
}

impl SourceFacts {
    /// Returns what to choose the qualities by: sound that is to be made equally loud can't be
    /// taken as it is.
    pub fn heard(&self, equally_loud: bool) -> Self {
        let mut facts = self.clone();
        if equally_loud {
            facts.sounds.iter_mut().for_each(|sound| sound.copy_rate = None);
        }
        facts
    }
}

/// A film that ends this much (and this share) before its declared end ends early.
const MISSING_SECONDS: f64 = 1.0;
const MISSING_SHARE: f64 = 0.02;

/// Says whether so much less was found of a film than it declares that people have to know.
pub fn ends_early(declared: f64, found: f64) -> bool {
    let missing = declared - found;
    missing > MISSING_SECONDS.min(declared / 2.0) && missing >= declared * MISSING_SHARE
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A sound track of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundFacts {
    /// BCP 47 tag, `und` when the file doesn't say.
    pub language: String,
    /// Name for people, unique among the tracks.
    pub label: String,
    /// What it is for.
    pub purpose: SoundPurpose,
    /// How many channels it has.
    pub channels: u32,
    /// The most bits a second of its packets, if they can be published as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_rate: Option<u64>,
}

/// Whether the source's pictures can be published as they are, and if not, what stands against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyVerdict {
    /// Nothing.
    Fits,
    /// The container can't be taken apart without decoding.
    Container,
    /// It isn't H.264.
    Codec,
    /// It is H.264 of a kind that players don't take: ten bits, 4:2:2, a high level.
    Profile,
    /// Its colours are those of high dynamic range.
    HighDynamicRange,
    /// It is interlaced.
    Interlaced,
    /// It has to be turned or mirrored.
    Turned,
    /// Its pixels aren't square, or its sides are odd.
    Shape,
    /// Pictures come too fast or too irregularly.
    FrameRate,
    /// Key frames are too far apart, or can't be relied on.
    KeyFrames,
    /// The sound begins before the pictures, or goes on when they have ended.
    LongerSound,
}

/// Something worth telling that didn't stop the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// Stable kebab-case word.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

impl Warning {
    /// Says whether it is about what has been published: whoever goes on from that has to know it
    /// as well, though the source isn't read for it again.
    pub fn lasts(&self) -> bool {
        const LASTING: [&str; 5] = [
            "truncated-source",
            "sound-cut",
            "text-cut-short",
            "text-not-read",
            "hdr-not-converted",
        ];
        LASTING.contains(&self.code.as_str())
    }
}

/// Most warnings kept of one video.
pub const WARNINGS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::VideoState::*;

    /// Work can be retried from both ends, and nothing goes back to uploading.
    #[test]
    fn moves() {
        assert!(Failed.may_become(Queued) && Ready.may_become(Queued));
        for from in [Uploading, Queued, Processing, Ready, Failed] {
            assert!(!from.may_become(Uploading));
        }
        assert!(!Uploading.may_become(Ready));
    }
}
