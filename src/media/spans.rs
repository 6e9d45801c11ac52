//! Cutting the pictures that have to be encoded into spans, each for a child of its own.
//!
//! A child with a span seeks to a key frame before it and decodes and drops what comes before its
//! first picture, as after an attempt that was killed; it ends with the picture before the next
//! span's first one. Both children find that picture by the same rule in the same source, so the
//! result has neither a hole nor a picture twice, and no time in it depends on how it was cut.
//! Films of which that can't be relied on are made in one.

use super::probe::Probe;
use super::report::{Reporter, Stop};
use super::resume;
use super::rungs::Task;
use super::source::Source;
use super::source_file::SourceFile;
use super::timeline::{Boundaries, ticks};
use crate::model::ladder::FRAME_RATE_MAX;
use crate::model::spans::{self, Span};
use crate::wire::{Order, Report};

/// Most seconds of pictures that are decoded and dropped before a span: twice as many as the key
/// frames of usual films lie apart.
const DROPPED_SECONDS_MAX: f64 = 20.0;

/// Returns the spans that a film's pictures are made in. Segments begin at `boundaries`, all of
/// which are known, and are at most so many milliseconds long.
///
/// # Errors
/// What opening the source can say.
pub fn plan(
    order: &Order,
    file: &SourceFile,
    probe: &Probe,
    tasks: &[Task<'_>],
    (boundaries, target_ms): (&Boundaries, u32),
) -> Result<Vec<Span>, Stop> {
    let end = probe.length();
    if order.spans < 2 || tasks.is_empty() || file.is_arriving() || !end.is_finite() {
        return Ok(Vec::new());
    }
    let mut source = Source::open(file, &order.limits)?;
    if !is_even(&source) {
        return Ok(Vec::new());
    }
    let starts = boundaries.starts(ticks(end))?;
    let done = tasks.iter().filter_map(|task| task.kept).map(|kept| kept.segments as usize).max();
    let mut seams = spans::seams(&starts, ticks(end), done.unwrap_or(0), order.spans);
    seams.retain(|&seam| {
        let from = starts.get(seam).copied().unwrap_or(0);
        resume::is_near(&mut source, from, DROPPED_SECONDS_MAX)
    });
    Ok(spans::cut(&starts, &seams, boundaries.is_list(), target_ms))
}

/// Says whether pictures come out the same wherever decoding begins.
fn is_even(source: &Source) -> bool {
    let Some(track) = &source.video else { return false };
    // Which of too many pictures are dropped depends on those before; and a field is told from its
    // neighbours.
    let is_slow = track.frame_rate <= FRAME_RATE_MAX * 1.01;
    resume::has_index(source) && is_slow && track.facts.field_order <= 1
}

/// Tells that the film can't be made in spans, which ends this order.
pub fn uncut(reporter: &Reporter<'_>) -> Stop {
    match reporter.send(Report::Uncut) {
        Ok(()) => Stop::Gone,
        Err(stop) => stop,
    }
}
