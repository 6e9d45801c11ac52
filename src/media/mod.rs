//! Everything FFmpeg: a source in, a poster and CMAF renditions out. Runs only inside the worker
//! child, after its sandbox has closed.
//!
//! One way through the files below: `source_file` reads the descriptors (and waits, by `arrivals`,
//! for what is still being uploaded), `source` opens them with the demuxer that `sniff` chose
//! (after `index` has looked at an MP4's tables) and takes the sounds that `tracks` tells apart,
//! `probe` asks `keys` and `model::ladder` for the plan, `poster` or `cover` makes the picture (of
//! `places` in the film, made ready by `still`), `copy` takes the source's own packets where that
//! is possible, `feed` decodes for all `rungs` that have to be encoded, `sounds` go along with
//! whichever pass comes first (`audio` decodes and places a track, `sound_out` makes a rendition of
//! it), `segment` cuts what comes out into files (`timing` says when their pictures are decoded),
//! and `resume` finds the place behind those of an attempt that was killed; `spans` cuts what has
//! to be encoded for several children, each of which begins as if it were to go on. `texts` puts
//! the packets of text tracks aside while a pass reads the film. `playlist` and `dash`, with
//! `texts_listed`, stand apart: they write for players what a manifest says, touch no FFmpeg and
//! run in the server.

pub mod arrivals;
mod audio;
mod boxes;
mod chapters;
mod choice;
mod copy;
mod cover;
mod cuts;
pub mod dash;
mod decode;
mod encode;
mod extras;
mod feed;
pub mod ffi;
mod foreseen;
mod index;
mod job;
mod keys;
mod libraries;
mod loudness;
mod output;
mod passes;
mod picture;
mod places;
pub mod playlist;
mod poster;
mod preview;
mod probe;
pub mod progressive;
mod report;
mod resume;
mod rungs;
mod segment;
pub mod sniff;
mod sound_copy;
mod sound_fit;
mod sound_out;
mod sounds;
mod source;
mod source_file;
mod spans;
mod still;
mod storyboard;
mod texts;
mod texts_listed;
mod thumbnails;
mod timeline;
mod timing;
mod tracks;
mod waveform;
mod webp;

use crate::model::job::{PosterSource, Task};
use crate::model::problem::{Problem, ProblemCode};
use crate::wire::{Order, Report};
use arrivals::Arrivals;
use report::{Reporter, Stop};
use rustix::fd::OwnedFd;
use std::sync::Arc;

pub use libraries::LoadError;

/// The other end of the reports is gone; nothing that is still made would be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody listens any more")]
pub struct Gone;

/// Loads everything that FFmpeg needs before the sandbox closes, and quiets it. Call it once,
/// before other threads run, and before anything else here.
///
/// # Errors
/// Which library is missing or has another version than this program was built for.
pub fn prepare() -> Result<(), LoadError> {
    libraries::load()?;
    ffi::settle_libraries();
    // Looking them up runs the libraries' own one-time set-up.
    let _ = has_encoders();
    let _ = ffmpeg_next::filter::find("zscale");
    Ok(())
}

/// Does one job: reports what it finds and every file that it has completed.
///
/// `files` are read as far as `order.source` says, and what isn't here is waited for as long as it
/// takes; what is made appears below `output` under names
/// that are chosen here. What the order lists as done isn't made again.
///
/// # Errors
/// What is wrong, in words for the uploader; `Cancelled` after `report` has said [`Gone`].
pub fn run(
    order: &Order,
    files: Vec<OwnedFd>,
    output: OwnedFd,
    arrivals: Option<Arc<Arrivals>>,
    report: &mut (dyn FnMut(Report) -> Result<(), Gone> + Send),
) -> Result<(), Problem> {
    let file = source_file::SourceFile::new(files, &order.source)
        .encrypted(&order.encrypted)
        .arriving(arrivals);
    let source = file.clone();
    // What is made once bytes were missing isn't what it should be, however it looks.
    let mut report = |said| if source.is_damaged() { Err(Gone) } else { report(said) };
    let reporter = Reporter::new(&mut report);
    let dir = output::OutputDir::new(output);
    let limits = &order.limits;
    let done = match &order.task {
        Task::Film => job::work(order, &file, &dir, &reporter),
        Task::Poster { of: PosterSource::Time { seconds } } => {
            choice::of_film(&file, *seconds, limits, &dir, &reporter)
        }
        Task::Poster { of: PosterSource::Image } => choice::of_picture(&file, &dir, &reporter),
    };
    match done {
        _ if file.is_damaged() => Err(Problem::new(
            ProblemCode::OriginalDamaged,
            "The file on the server's disk isn't as it was received any more.",
        )),
        Ok(()) => Ok(()),
        Err(Stop::Problem(problem)) => Err(problem),
        Err(Stop::Gone | Stop::Neighbour) => {
            Err(Problem::new(ProblemCode::Cancelled, "The work was stopped."))
        }
    }
}

/// Says whether the libraries can make what this server publishes.
pub fn has_encoders() -> bool {
    [encode::ENCODER, "aac", webp::ENCODER, webp::MOVING_ENCODER]
        .into_iter()
        .all(|name| ffmpeg_next::encoder::find_by_name(name).is_some())
}

/// Returns the versions of FFmpeg's libraries for people: `avformat 59.27.100, …`.
pub fn versions() -> String {
    let [format, codec, filter, scale] = ffi::library_versions().map(ffi::version_text);
    let encoder = if has_encoders() { "libx264, aac and libwebp" } else { "encoders are missing" };
    format!("avformat {format}, avcodec {codec}, avfilter {filter}, swscale {scale}, {encoder}")
}

#[cfg(test)]
mod tests;
