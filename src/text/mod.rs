//! Timed text: read from WebVTT, SRT and what containers carry, written as WebVTT. Pure.
//!
//! Whatever comes in is taken apart into cues and written anew, so nothing of a stranger's file
//! reaches a player but times, words and the little markup that is listed in [`markup`]. Used by
//! the child for the tracks of a film and by the server for uploaded ones; neither trusts the
//! other's text.

mod markup;
mod packets;
mod read;
mod write;

pub use packets::{PacketKind, cue_of_packet};
pub use read::read;
pub use write::{
    SEGMENT_SECONDS, chapters, number_of, playlist, segment, segment_file, segment_seconds,
    segments, whole,
};

/// Largest text file that is taken, in bytes; the subtitles of a long film have 150 KiB.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Most cues of one track; the subtitles of a long film have 2,000.
pub const CUES_MAX: usize = 20_000;

/// Longest text of one cue in bytes.
pub const CUE_BYTES_MAX: usize = 4 << 10;

/// Latest time that a cue may have: 100 hours.
const TIME_MS_MAX: u64 = 360_000_000;

/// Most bytes that the segments of one track may take together. A cue stands in every segment
/// that it touches, so many long ones side by side would grow without bound.
const SEGMENTED_BYTES_MAX: u64 = 16 << 20;

/// Words that are shown for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When they appear, in milliseconds from the film's first picture.
    pub start_ms: u64,
    /// When they go; later than `start_ms`.
    pub end_ms: u64,
    /// Where they stand, in WebVTT's settings; empty for the usual place.
    pub settings: String,
    /// WebVTT cue text without empty lines, its markup closed.
    pub text: String,
}

/// Why a text isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Another encoding.
    #[error("The text isn't UTF-8. Save it as UTF-8 and send it again.")]
    NotUtf8,
    /// Neither of the two formats.
    #[error("The text is neither WebVTT nor SRT.")]
    Unknown,
    /// No cue in it can be shown.
    #[error("There is no line to show in the text.")]
    Empty,
    /// More than one track may have.
    #[error("The text is too long: at most {CUES_MAX} cues of 4 KiB, 4 MiB together.")]
    TooLong,
    /// Too much is shown at the same time.
    #[error("Too many cues are shown at the same time for too long.")]
    TooDense,
}

impl Cue {
    /// Makes a cue of plain or marked-up words, cleaned; `None` if nothing is left to show.
    pub fn new(start_ms: u64, end_ms: u64, settings: String, words: &str) -> Option<Self> {
        let text = markup::clean(words);
        let fits = start_ms < end_ms && end_ms <= TIME_MS_MAX && text.len() <= CUE_BYTES_MAX;
        (fits && !text.is_empty()).then_some(Self { start_ms, end_ms, settings, text })
    }

    /// Returns how many bytes it takes when written, at most.
    fn written_bytes(&self) -> usize {
        self.text.len() + self.settings.len() + 40
    }
}

/// Sorts cues as WebVTT wants them and checks that they can be cut into segments.
///
/// # Errors
/// `Empty`, `TooLong`, `TooDense`.
pub fn checked(mut cues: Vec<Cue>) -> Result<Vec<Cue>, TextError> {
    if cues.is_empty() {
        return Err(TextError::Empty);
    }
    let bytes: usize = cues.iter().map(Cue::written_bytes).sum();
    if cues.len() > CUES_MAX || bytes > TEXT_BYTES_MAX + 40 * CUES_MAX {
        return Err(TextError::TooLong);
    }
    let segments = |cue: &Cue| (cue.end_ms - cue.start_ms) / (SEGMENT_SECONDS * 1000) + 2;
    let cost: u64 = cues.iter().map(|cue| segments(cue) * cue.written_bytes() as u64).sum();
    if cost > SEGMENTED_BYTES_MAX {
        return Err(TextError::TooDense);
    }
    cues.sort_by_key(|cue| (cue.start_ms, cue.end_ms));
    Ok(cues)
}
