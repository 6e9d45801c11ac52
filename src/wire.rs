//! Messages between the server and the worker child: one JSON object a line, versioned, bounded.
//!
//! The parent writes one [`Order`] to the child's standard input and keeps the pipe open; its end
//! tells the child to stop. While the source is still being uploaded, [`Notice`]s follow on it. The
//! child writes [`Report`]s to its standard output. The files of the source are open at
//! [`source_fd`], the output directory at [`OUTPUT_FD`]; the child learns no path.

use crate::cipher::Reading;
use crate::ids::{Epoch, JobId};
use crate::model::extra::{Extra, ExtraKind};
use crate::model::job::Task;
use crate::model::manifest::Segment;
use crate::model::problem::Problem;
use crate::model::rendition::RenditionPlan;
use crate::model::spans::Span;
use crate::model::video::{SourceFacts, Warning};
use crate::units::{ByteCount, Ranges};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read, Write};

/// The version that both ends must speak; a child of another build is refused.
pub const WIRE_VERSION: u32 = 5;

/// Longest message in bytes, line end included.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Where the child finds the source's first file, opened read-only.
pub const SOURCE_FD: i32 = 3;

/// Where the child finds its output directory.
pub const OUTPUT_FD: i32 = 4;

/// Most files that one source is read from. Clients that send parts side by side send a handful;
/// each file costs three descriptors, one here and two in the child.
pub const SOURCE_FILES_MAX: usize = 64;

/// Returns where the child finds the source's file of this number, opened read-only.
pub fn source_fd(file: u32) -> i32 {
    match i32::try_from(file) {
        Ok(0) => SOURCE_FD,
        Ok(file) => OUTPUT_FD.saturating_add(file),
        Err(_) => i32::MAX,
    }
}

/// A piece of the source: the first `length` bytes of one of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Number of the file, from 0; the same one may come again.
    pub file: u32,
    /// How much of it.
    pub length: ByteCount,
}

/// A file of the source that is encrypted on the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncryptedFile {
    /// Number of the file.
    pub file: u32,
    /// How it is read. Its key opens this one file.
    pub reading: Reading,
    /// Number of the file that holds the tags of its blocks, if there are some yet.
    pub tags: Option<u32>,
}

impl Extent {
    /// Describes a source that is one file of this size.
    pub fn whole(length: ByteCount) -> Vec<Self> {
        vec![Self { file: 0, length }]
    }

    /// Returns how many bytes these pieces are together.
    pub fn total(extents: &[Self]) -> ByteCount {
        ByteCount(extents.iter().fold(0, |sum, extent| sum.saturating_add(extent.length.0)))
    }

    /// Returns how many files these pieces lie in.
    pub fn files(extents: &[Self]) -> u32 {
        extents.iter().map(|extent| extent.file.saturating_add(1)).max().unwrap_or(0)
    }
}

/// What one child is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// [`WIRE_VERSION`] of the sender.
    pub version: u32,
    /// The job, for the child's log lines.
    pub job: JobId,
    /// The lease under which the child works.
    pub epoch: Epoch,
    /// What the source is read from, one piece behind the other.
    pub source: Vec<Extent>,
    /// Those of its files that are encrypted.
    #[serde(default)]
    pub encrypted: Vec<EncryptedFile>,
    /// What of the source is here, while the rest is still being uploaded; without it all is.
    #[serde(default)]
    pub arrived: Option<Ranges>,
    /// Nobody knows yet how large the source is. Its last piece is as long as it may become.
    #[serde(default)]
    pub is_open_ended: bool,
    /// Names of renditions that an earlier attempt completed; they aren't made again.
    pub renditions_done: Vec<String>,
    /// How many seconds the longest of those has, 0 without any.
    pub seconds_done: f64,
    /// What earlier attempts left of the other renditions; it is gone on with where that fits.
    pub begun: Vec<Begun>,
    /// What isn't made beside the renditions: earlier attempts made it, or broke down over it.
    pub extras_done: Vec<ExtraKind>,
    /// Numbers of the sound tracks whose packets an earlier attempt found not to be fit to be
    /// published as they are.
    #[serde(default)]
    pub sounds_unfit: Vec<u32>,
    /// The same of the pictures.
    #[serde(default)]
    pub pictures_unfit: bool,
    /// How many children may encode the film's pictures at once. With more than one, a child that
    /// has cut the film into spans leaves encoding to others.
    #[serde(default)]
    pub spans: u32,
    /// The one span that is to be made, and nothing else.
    #[serde(default)]
    pub span: Option<SpanOrder>,
    /// What to do with the source.
    #[serde(default)]
    pub task: Task,
    /// How to encode.
    pub encode: EncodeOptions,
    /// What one file may cost.
    pub limits: Limits,
}

impl Order {
    /// Returns how many files the child is handed for the source.
    pub fn files(&self) -> u32 {
        let tags = self.encrypted.iter().filter_map(|it| it.tags).max();
        Extent::files(&self.source).max(tags.map_or(0, |file| file.saturating_add(1)))
    }
}

/// A span to be made, and what another child has found out for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanOrder {
    /// Which.
    pub span: Span,
    /// All renditions of the film.
    pub plan: Vec<RenditionPlan>,
    /// Seconds that the film lasts.
    pub duration: f64,
}

/// The beginning of a rendition that an earlier attempt didn't complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// What was planned; another plan is another rendition.
    pub plan: RenditionPlan,
    /// Ticks in a second for its segments.
    pub timescale: u32,
    /// Longest segment that was announced, in milliseconds.
    pub target_ms: u32,
    /// How many segments there are.
    pub segments: u32,
    /// Where they end: the sum of their lengths.
    pub ticks: u64,
}

/// How renditions are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodeOptions {
    /// Heights to make, or none for the ladder's own choice.
    pub ladder_heights: Option<Vec<u32>>,
    /// x264 preset.
    pub preset: String,
    /// Length of encoded segments in seconds.
    pub segment_seconds: u32,
    /// Sound is brought to an equal loudness.
    pub loudness: bool,
    /// Threads that the top encoder may use; the others take one each.
    pub threads: u32,
}

/// What one file may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Pixels of one picture.
    pub pixels_max: u64,
    /// Length of the source in milliseconds.
    pub duration_ms_max: u64,
    /// Address space of the child (`RLIMIT_AS`).
    pub memory_bytes_max: u64,
    /// CPU seconds of the child (`RLIMIT_CPU`).
    pub cpu_seconds_max: u64,
    /// Size of one output file (`RLIMIT_FSIZE`).
    pub file_bytes_max: u64,
    /// Tracks in the file.
    pub streams_max: u32,
}

/// What the parent has to say after the order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Notice {
    /// More of the source is here.
    Arrived {
        /// All that is here now. It only grows.
        here: Ranges,
        /// How large the source is, once that is known.
        #[serde(default)]
        size: Option<ByteCount>,
    },
}

/// A layer of the child's confinement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SandboxLayer {
    /// Bounds on memory, CPU time, file size and descriptors.
    Rlimits,
    /// No new privileges, ever.
    NoNewPrivs,
    /// File access only below the output directory.
    Landlock,
    /// Only listed system calls.
    Seccomp,
}

/// What the child has to say. Files that a report names are complete when it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Report {
    /// Confined; the source is about to be opened.
    Confined {
        /// [`WIRE_VERSION`] of the child.
        version: u32,
        /// The layers that hold.
        layers: Vec<SandboxLayer>,
    },
    /// The file is media.
    Probed {
        /// What it holds.
        facts: SourceFacts,
        /// The renditions that will be made or were made already, in the order of work.
        plan: Vec<RenditionPlan>,
    },
    /// How long the film is, of which that couldn't be told when it was probed: its facts said 0.
    Lasts {
        /// Its length.
        seconds: f64,
    },
    /// An extra is being made. Only of those that are pictures, which are made one after the other:
    /// should the process end now, it is over this one.
    Begun {
        /// Which.
        extra: ExtraKind,
    },
    /// An extra isn't being made any more, whatever came of it.
    Ended {
        /// Which.
        extra: ExtraKind,
    },
    /// The files of an extra are in the output directory.
    Extra {
        /// Which, and what has to be remembered of it.
        extra: Extra,
    },
    /// The pictures that are to be encoded can be made in spans, of which this is the next one; all
    /// are told, the last of them without an end, before anything else is reported. This child
    /// makes none of them.
    Span {
        /// Which.
        span: Span,
    },
    /// The rendition has all its segments of the ordered span, which isn't the last.
    SpanEnded {
        /// Name of the rendition.
        rendition: String,
    },
    /// The pictures can't be made in spans after all. Nothing more comes of this order.
    Uncut,
    /// `{rendition}/init.mp4` is in the output directory; segments will follow.
    Started {
        /// Name of the rendition.
        rendition: String,
        /// RFC 6381 codec string.
        codecs: String,
        /// Ticks in a second for this rendition's segments.
        timescale: u32,
        /// Longest segment that will appear, in milliseconds.
        target_ms: u32,
        /// How many segments of the beginning that was ordered stay; the next one follows them.
        after: u32,
        /// Where those end: the sum of their lengths.
        #[serde(default)]
        ticks: u64,
    },
    /// `{rendition}/{number}.m4s` is in the output directory.
    Segment {
        /// Name of the rendition.
        rendition: String,
        /// Counted from 1, without gaps.
        number: u32,
        /// Length and size.
        segment: Segment,
    },
    /// What was ordered as the rendition's beginning isn't one of what would follow, or the packets
    /// of a copy aren't what the index promised: it has to be made from its start. Nothing more
    /// comes of this order.
    Unlike {
        /// Name of the rendition.
        rendition: String,
        /// It can't be a copy: it has to be encoded.
        unfit: bool,
    },
    /// The rendition has all its segments.
    Completed {
        /// Name of the rendition.
        rendition: String,
    },
    /// Work goes on: at least one a second while it does, at most four.
    Progress {
        /// Share of the renditions' work that is done, 0 ..= 1.
        progress: f64,
        /// Media seconds made for each second of time.
        speed: f64,
    },
    /// The work waits for more of the source than a notice has just told of.
    Waiting,
    /// Worth telling; the work goes on.
    Warning {
        /// What.
        warning: Warning,
    },
    /// The end, without success.
    Failed {
        /// Why.
        problem: Problem,
    },
    /// The end, with success.
    Done,
}

/// A message that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The pipe broke.
    #[error("the pipe to the other process broke: {0}")]
    Io(#[from] io::Error),
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("a message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// Not a message of this version.
    #[error("not a message of version {WIRE_VERSION}: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Writes one message as a line and flushes it.
///
/// # Errors
/// `Io` when the other end is gone; `TooLong` before a byte is written.
pub fn send<M: Serialize>(to: &mut impl Write, message: &M) -> Result<(), WireError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong);
    }
    to.write_all(&line)?;
    to.flush()?;
    Ok(())
}

/// Reads the next message; `None` when the other end has closed the pipe between messages.
///
/// # Errors
/// `TooLong` without reading further; `Malformed` for anything else than a message.
pub fn receive<M: for<'de> Deserialize<'de>>(
    from: &mut impl BufRead,
) -> Result<Option<M>, WireError> {
    let mut line = Vec::new();
    let read = from.take(MESSAGE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && read == MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent arrives; what isn't a message, is cut short or never ends is an error.
    #[test]
    fn messages_survive_the_pipe_and_bad_ones_do_not() {
        let mut pipe = Vec::new();
        let report = Report::Progress { progress: 0.5, speed: 1.25 };
        send(&mut pipe, &report).expect("a vector takes every byte");
        let mut input = pipe.as_slice();
        assert_eq!(receive::<Report>(&mut input).expect("a message"), Some(report));
        assert!(receive::<Report>(&mut input).expect("the end").is_none());
        for bad in ["\n", "{\"type\":\"nonsense\"}\n", "{\"type\":\"done\""] {
            assert!(receive::<Report>(&mut bad.as_bytes()).is_err(), "{bad:?}");
        }
        let endless = vec![b' '; MESSAGE_BYTES_MAX + 5];
        assert!(matches!(receive::<Report>(&mut endless.as_slice()), Err(WireError::TooLong)));
    }
}
