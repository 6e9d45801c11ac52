//! Going on where a killed attempt ended: what is there already of a rendition, and the place in
//! the source from which pictures are decoded again.
//!
//! Encoded pictures are gone on with behind their last segment. Copies and sounds, which cost next
//! to nothing, are made again from the start, and the segments that are there are passed over.

use super::decode::Begin;
use super::report::Stop;
use super::segment::Kept;
use super::sniff::Container;
use super::source::{Source, seconds};
use super::source_file::SourceFile;
use super::timeline;
use crate::model::rendition::RenditionPlan;
use crate::wire::{Begun, Limits};

/// Seconds before the wanted picture at which a key frame is looked for: containers seek by
/// decoding time, which lies before the time of showing.
const BEFORE_SECONDS: f64 = 0.5;

/// Packets read in search of the first picture after a seek.
const PACKETS_LOOKED_AT: usize = 2000;

/// Returns what `begun` holds of a rendition, if this attempt would make it the same way.
pub fn kept(begun: &[Begun], plan: &RenditionPlan, target_ms: u32, again: bool) -> Option<Kept> {
    let fits = |it: &&Begun| it.plan == *plan && it.target_ms == target_ms && it.segments > 0;
    let begun = begun.iter().find(fits)?;
    let kept =
        Kept { segments: begun.segments, ticks: begun.ticks, timescale: begun.timescale, again };
    // Encoded pictures count in the result's own ticks.
    (again || kept.timescale == timeline::TICKS.unsigned_abs()).then_some(kept)
}

/// Opens the source where pictures from `from` ticks on can be decoded: at a key frame before
/// them where the container can find one, otherwise at its start.
///
/// # Errors
/// What opening the source can say.
pub fn open_at(file: &SourceFile, limits: &Limits, from: i64) -> Result<(Source, Begin), Stop> {
    if from <= 0 {
        return Ok((Source::open(file, limits)?, Begin::AtStart));
    }
    let mut source = Source::open(file, limits)?;
    let target = source.origin() + timeline::seconds(from) - BEFORE_SECONDS;
    if has_index(&source) && seek(&mut source, target) && begins_before(&mut source, target)
        // What was read to find out belongs to the decoder.
        && seek(&mut source, target)
    {
        return Ok((source, Begin::At { ticks: from, inside: true }));
    }
    Ok((Source::open(file, limits)?, Begin::At { ticks: from, inside: false }))
}

/// Says whether the container tells where a key frame lies. Others are searched by guesses at where
/// a time may lie, and can't be trusted to find it.
pub fn has_index(source: &Source) -> bool {
    matches!(source.container, Container::Mov | Container::Matroska)
}

fn seek(source: &mut Source, target: f64) -> bool {
    let micros = (target * 1e6) as i64;
    micros > 0 && source.input.seek(micros, ..micros + 1).is_ok()
}

/// Says whether the next picture of the source is a key frame shown before `target`.
fn begins_before(source: &mut Source, target: f64) -> bool {
    key_comes(source).is_some_and(|at| at <= target + BEFORE_SECONDS)
}

/// Returns when the next picture of the source is shown, if it's a key frame.
fn key_comes(source: &mut Source) -> Option<f64> {
    let (index, base) = source.video.as_ref().map(|track| (track.index, track.time_base))?;
    for _ in 0..PACKETS_LOOKED_AT {
        let packet = source.next_packet()?;
        if packet.stream() == index {
            return packet.pts().filter(|_| packet.is_key()).map(|at| seconds(at, base));
        }
    }
    None
}

/// Says whether decoding can begin at most `seconds_before` seconds before `from` ticks. Moves the
/// source's position.
pub fn is_near(source: &mut Source, from: i64, seconds_before: f64) -> bool {
    let at = source.origin() + timeline::seconds(from);
    let target = at - BEFORE_SECONDS;
    let near = |key: f64| key <= at && key >= at - seconds_before;
    seek(source, target) && key_comes(source).is_some_and(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ladder::{choose, made};
    use crate::model::video::SourceFacts;

    /// Only what this attempt would make the same way is gone on with.
    #[test]
    fn kept_if_alike() {
        let facts = SourceFacts { audio_codec: Some("aac".to_owned()), ..SourceFacts::default() };
        let plan = made(&choose(&facts, None)).next().cloned().expect("a sound");
        let begun = Begun {
            plan: plan.clone(),
            timescale: 48_000,
            target_ms: 4000,
            segments: 2,
            ticks: 384_000,
        };
        let all = std::slice::from_ref(&begun);
        assert_eq!(kept(all, &plan, 4000, true).map(|kept| kept.segments), Some(2));
        assert_eq!(kept(all, &plan, 4001, true), None, "another length of segments");
        assert_eq!(kept(all, &plan, 4000, false), None, "other ticks than encoded pictures have");
        let other = RenditionPlan { bandwidth_cap: 1, ..plan.clone() };
        assert_eq!(kept(all, &other, 4000, true), None, "another plan");
        let none = Begun { segments: 0, ..begun };
        assert_eq!(kept(&[none], &plan, 4000, true), None, "nothing is there");
    }
}
