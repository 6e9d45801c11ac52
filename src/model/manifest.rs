//! What of a video is published: the one truth from which playlists are made.
//!
//! `manifest.json` beside the segments holds it; the HLS playlists and the DASH manifest are pure
//! functions of it. It grows while a job runs and is replaced by rename.

use crate::ids::{Epoch, JobId};
use crate::model::extra::Thumbnail;
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::storyboard::Storyboard;
use crate::model::text::{Chapter, TextTrack};
use crate::model::video::Warning;
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of [`Manifest`] that this program writes.
pub const MANIFEST_VERSION: u32 = 1;

/// Everything of a video that players can fetch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] when written.
    pub version: u32,
    /// No rung will be added and none will grow.
    pub complete: bool,
    /// Length of the source in seconds, as the probe found it.
    pub duration: f64,
    /// What a player has to find before anything is shown: pictures, sound, or both.
    pub kinds: Vec<RenditionKind>,
    /// Names of all rungs of sound that there will be: players choose among languages once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sounds: Vec<String>,
    /// Published rungs, in the order in which they became playable.
    pub rungs: Vec<Rung>,
    /// The still picture, once there is one.
    pub poster: Option<Picture>,
    /// Numbers of the sound tracks that are encoded because taking them as they are didn't go well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sounds_unfit: Vec<u32>,
    /// The pictures are encoded because taking them as they are didn't go well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pictures_unfit: bool,
    /// The pictures are encoded in one because making them in spans didn't go well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spans_unfit: bool,
    /// What is worth telling of what is published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// In which forms it is there.
    #[serde(default, skip_serializing_if = "Formats::is_usual")]
    pub formats: Formats,
    /// The kernel's boot id when this was written. Under another one, files that weren't confirmed
    /// by the disk may be gone.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// When the work on it began; players compute from it what can be fetched while it grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<UnixMillis>,
    /// Text tracks that the file holds, once they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<TextTrack>>,
    /// Text tracks that people have added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<TextTrack>,
    /// Chapters that the file names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chapters: Vec<Chapter>,
    /// Stills to choose a poster from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thumbnails: Vec<Thumbnail>,
    /// Small pictures for the seek bar, once there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storyboard: Option<Storyboard>,
    /// A few moving seconds, once there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Picture>,
    /// The newest job that was to make something of this anew, and has forgotten it for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redone_by: Option<JobId>,
}

/// In which forms a film is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// Playlists of HLS.
    pub hls: bool,
    /// A manifest of DASH.
    pub dash: bool,
    /// One file to download.
    pub mp4: bool,
}

impl Default for Formats {
    fn default() -> Self {
        Self { hls: true, dash: true, mp4: false }
    }
}

impl Formats {
    /// Says whether this is what every film had before there was a choice.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// One published rung and its segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// What was planned.
    pub plan: RenditionPlan,
    /// Lease under which its segments were made; part of their address, so that bytes behind an
    /// address never change.
    pub generation: Epoch,
    /// RFC 6381 codec string, read from the encoder's own extradata: `avc1.64001f`, `mp4a.40.2`.
    pub codecs: String,
    /// Ticks in a second for `segments`.
    pub timescale: u32,
    /// Longest segment that will ever appear, in milliseconds; fixed before the first playlist.
    pub target_ms: u32,
    /// The last segment is here.
    pub complete: bool,
    /// How many segments, from the first, the disk has confirmed while the rung grew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub durable: u32,
    /// Nothing can follow these segments any more; the rung is made anew beside them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sealed: bool,
    /// It is to be made anew, and plays until that is whole.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
    /// What opens its segments, if they are encrypted: each as a whole by AES-128 in CBC mode, its
    /// number counted from 0 being the initialization vector (RFC 8216, section 5.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SegmentKey>,
    /// Segments in order, the first is number 1.
    pub segments: Vec<Segment>,
}

/// A key of segments. Nobody may read it in a log.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentKey(pub [u8; 16]);

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKey(…)")
    }
}

/// One media file of a rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Length in ticks of the rung's timescale.
    pub ticks: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// How many of them, from the first, a player needs for the first picture alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u64>,
}

/// A still picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Manifest {
    /// Returns a manifest without anything to play yet, of a source of `duration` seconds that
    /// will have rungs of these `kinds`.
    pub fn empty(duration: f64, kinds: Vec<RenditionKind>) -> Self {
        Self {
            version: MANIFEST_VERSION,
            complete: false,
            duration,
            kinds,
            sounds: Vec::new(),
            rungs: Vec::new(),
            poster: None,
            sounds_unfit: Vec::new(),
            pictures_unfit: false,
            spans_unfit: false,
            warnings: Vec::new(),
            formats: Formats::default(),
            boot: String::new(),
            began: None,
            texts: None,
            captions: Vec::new(),
            chapters: Vec::new(),
            thumbnails: Vec::new(),
            storyboard: None,
            preview: None,
            redone_by: None,
        }
    }

    /// Says whether a player would find what the video is made of: a first segment of pictures and
    /// of each sound.
    ///
    /// A multivariant playlist is read once by most players, so it must not appear before all of
    /// the sounds do.
    pub fn is_playable(&self) -> bool {
        let begun = || self.rungs.iter().filter(|rung| !rung.segments.is_empty());
        let has = |kind: &RenditionKind| begun().any(|rung| rung.plan.kind == *kind);
        let sounds = |name: &String| begun().any(|rung| rung.plan.name == *name);
        let all_kinds = self.kinds.iter().all(has) && self.sounds.iter().all(sounds);
        !self.rungs.is_empty() && (self.complete || all_kinds)
    }

    /// Returns the seconds that can be played so far, of the kind that is furthest behind.
    pub fn playable_seconds(&self) -> f64 {
        let furthest = |kind: &RenditionKind| {
            let rungs = self.rungs.iter().filter(|rung| rung.plan.kind == *kind);
            rungs.map(Rung::seconds).fold(0.0, f64::max)
        };
        let length = if self.duration > 0.0 { self.duration } else { f64::INFINITY };
        let made = self.kinds.iter().map(furthest).reduce(f64::min);
        made.unwrap_or(0.0).min(length)
    }
}

impl Rung {
    /// Returns the initialization vector of segment `number`, counted from 1.
    pub fn vector(number: u32) -> [u8; 16] {
        u128::from(number.saturating_sub(1)).to_be_bytes()
    }

    /// Says whether it is there as it should be: no attempt makes it again.
    pub fn is_done(&self) -> bool {
        self.complete && !self.stale
    }

    /// Returns the directory of the rung's files, relative to the video's: `{name}-{generation}`.
    pub fn directory(&self) -> String {
        format!("{}-{}", self.plan.name, self.generation)
    }

    /// Returns where the segments so far end, in ticks.
    pub fn ticks(&self) -> u64 {
        self.segments.iter().map(|segment| segment.ticks).sum()
    }

    /// Returns the seconds that can be played so far.
    pub fn seconds(&self) -> f64 {
        self.ticks() as f64 / f64::from(self.timescale.max(1))
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The first file of every rung: codec set-up, no media.
pub const INIT_FILE: &str = "init.mp4";
/// The whole film in one file, for those who download it.
pub const FILM_FILE: &str = "video.mp4";
/// The playlist of every rung.
pub const MEDIA_PLAYLIST_FILE: &str = "media.m3u8";

/// Where players fetch the key of an encrypted rung.
pub const KEY_FILE: &str = "key";

/// The playlist of a rung's key pictures, for searching by sight.
pub const KEY_PLAYLIST_FILE: &str = "iframes.m3u8";

/// Returns the file name of segment `number`, counted from 1.
pub fn segment_file(number: usize) -> String {
    format!("{number}.m4s")
}
