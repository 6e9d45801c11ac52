//! Learns what the source holds and makes the plan from it.

use super::ffi;
use super::keys::{self, CopyPlan};
use super::passes;
use super::picture::{Hdr, Orientation};
use super::report::{Reporter, Stop};
use super::sniff::Container;
use super::sound_fit;
use super::source::{Source, Track, seconds};
use super::source_file::SourceFile;
use crate::model::ladder::{self, Shape};
use crate::model::problem::ProblemCode;
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::video::{CopyVerdict, SourceFacts};
use crate::wire::Order;

/// Frames a second where the container doesn't say.
const FRAME_RATE_DEFAULT: f64 = 25.0;

/// Everything known before work begins.
#[derive(Clone)]
pub struct Probe {
    /// For people. The length is 0 while nobody knows it.
    pub facts: SourceFacts,
    /// It was made to be read from its start on.
    pub is_streamed: bool,
    /// The upright picture, if there are pictures.
    pub shape: Option<Shape>,
    /// How to turn the stored picture.
    pub orientation: Orientation,
    /// Seconds that the pictures alone last, if the container says so.
    pub pictures: Option<f64>,
    /// The curve to bring down, if any.
    pub hdr: Option<Hdr>,
    /// The source is one of its own rungs.
    pub copy: Option<CopyPlan>,
    /// All renditions, in the order of work.
    pub plan: Vec<RenditionPlan>,
}

/// Reads what there is to know and decides what to make. Moves the source's position.
///
/// # Errors
/// `TooLong`, `DamagedMedia`, `Gone`, and what opening the source can say.
pub fn probe(
    source: &mut Source,
    file: &SourceFile,
    order: &Order,
    reporter: &Reporter<'_>,
) -> Result<Probe, Stop> {
    let is_coming = source.is_streamed && file.is_arriving();
    let duration = match declared_duration(source) {
        // Of pieces the first alone may be counted.
        Some(duration) if !is_coming || source.container == Container::Matroska => duration,
        _ if is_coming => 0.0,
        _ => measured_duration(file, order, reporter)?,
    };
    check_duration(duration, order)?;
    let orientation = orientation_of(source);
    let shape = source.video.as_ref().map(|track| upright_shape(track, orientation));
    let heights = order.encode.ladder_heights.as_deref();
    let looked = match shape {
        Some(shape) if !ladder::copy_fits(shape, heights) => None,
        // A copy can't hold its first picture until it's time for it.
        Some(_) if source.early_sound => Some(Err(CopyVerdict::LongerSound)),
        // An earlier attempt has found key frames that can't be relied on.
        Some(_) if order.pictures_unfit => Some(Err(CopyVerdict::KeyFrames)),
        Some(_) => Some(keys::copy_plan(source, file, order, reporter)?),
        None => None,
    };
    let verdict =
        looked.as_ref().map(|it| it.as_ref().map_or_else(|no| *no, |_| CopyVerdict::Fits));
    let copy = looked.and_then(Result::ok);
    let bytes = file.size().map_or_else(|| source.indexed_bytes(), |size| size.0);
    let bit_rate = if duration > 0.0 { (bytes as f64 * 8.0 / duration) as u64 } else { 0 };
    let hdr = hdr_of(source);
    let mut facts = facts(source, duration, shape, orientation, bit_rate);
    facts.copy = verdict;
    let tracks = source.sounds.iter().zip(&mut facts.sounds).zip(0..);
    for ((track, sound), _) in tracks.filter(|(_, n)| !order.sounds_unfit.contains(n)) {
        sound.copy_rate = sound_fit::copy_rate(source, track, file.size_max().0);
    }
    let plan = plan(&facts, shape, order);
    let pictures = source.video.as_ref().and_then(declared_length).filter(|_| duration > 0.0);
    let is_streamed = source.is_streamed;
    Ok(Probe { facts, is_streamed, shape, orientation, pictures, hdr, copy, plan })
}

impl Probe {
    /// Returns the film's length in seconds; infinite while nobody knows it.
    pub fn length(&self) -> f64 {
        if self.facts.duration > 0.0 { self.facts.duration } else { f64::INFINITY }
    }

    /// Returns the second at which a grid of segments ends. Of what is streamed none does, so that
    /// it makes no difference whether the end is here yet.
    pub fn grid_end(&self) -> f64 {
        if self.is_streamed { f64::INFINITY } else { self.length() }
    }
}

/// Reads only what is needed to show a picture: nothing is planned, and no packet is read.
pub fn glance(source: &Source) -> Probe {
    let orientation = orientation_of(source);
    let shape = source.video.as_ref().map(|track| upright_shape(track, orientation));
    Probe {
        facts: SourceFacts::default(),
        is_streamed: source.is_streamed,
        shape,
        orientation,
        pictures: None,
        hdr: hdr_of(source),
        copy: None,
        plan: Vec::new(),
    }
}

fn orientation_of(source: &Source) -> Orientation {
    let matrix = source.video.as_ref().map(|track| track.facts.display_matrix);
    matrix.map_or(Orientation::UPRIGHT, Orientation::from_matrix)
}

fn hdr_of(source: &Source) -> Option<Hdr> {
    source.video.as_ref().and_then(|track| Hdr::from_transfer(track.facts.transfer))
}

/// Fails if the film is longer than it may be.
///
/// # Errors
/// `TooLong`.
pub fn check_duration(duration: f64, order: &Order) -> Result<(), Stop> {
    let most = order.limits.duration_ms_max as f64 / 1000.0;
    if duration <= most {
        return Ok(());
    }
    Err(Stop::because(
        ProblemCode::TooLong,
        format!("It lasts {duration:.0} seconds; this server takes at most {most:.0}."),
    ))
}

/// Returns the length that the container declares, unless it can't be believed: some recorders
/// write where a film ends on a clock that started long before it.
fn declared_duration(source: &Source) -> Option<f64> {
    if source.ends_on_its_own_clock() {
        return None;
    }
    let pictures = source.video.as_ref().and_then(declared_length);
    let sound = source.sounds.first().and_then(declared_length);
    // An AVI that is cut short still counts the pictures that it should have.
    let counted = source.video.as_ref().and_then(|track| {
        (source.container == Container::Avi && track.frame_rate > 0.0)
            .then(|| track.packets as f64 / track.frame_rate)
    });
    let declared = source.duration.or(pictures).or(sound);
    let declared = declared.map(|seconds| seconds.max(counted.unwrap_or(0.0)));
    declared.filter(|seconds| *seconds > 0.0)
}

fn declared_length(track: &Track) -> Option<f64> {
    track.duration.map(|ticks| seconds(ticks, track.time_base))
}

/// Reads the file through, as browsers' recordings don't know how long they'll be.
fn measured_duration(
    file: &SourceFile,
    order: &Order,
    reporter: &Reporter<'_>,
) -> Result<f64, Stop> {
    let mut source = Source::open(file, &order.limits)?;
    let bases: Vec<_> =
        source.video.iter().chain(&source.sounds).map(|t| (t.index, t.time_base)).collect();
    let origin = source.origin();
    let mut end: f64 = 0.0;
    while let Some(packet) = source.next_packet() {
        reporter.beat()?;
        let base = bases.iter().find(|(index, _)| *index == packet.stream()).map(|(_, base)| *base);
        if let (Some(base), Some(at)) = (base, packet.pts().or(packet.dts())) {
            end = end.max(seconds(at.saturating_add(packet.duration()), base) - origin);
        }
    }
    if end > 0.0 { Ok(end) } else { Err(nothing_inside()) }
}

/// The container is there, and there's nothing in it.
pub fn nothing_inside() -> Stop {
    Stop::because(ProblemCode::DamagedMedia, "Nothing in the file could be played.")
}

fn upright_shape(track: &Track, orientation: Orientation) -> Shape {
    let facts = &track.facts;
    let (num, den) = facts.pixel_aspect;
    // A shape of pixels beyond 1:16 is a mistake in the file.
    let aspect = if num > 0 && den > 0 { f64::from(num) / f64::from(den) } else { 1.0 };
    let aspect = if (1.0 / 16.0..=16.0).contains(&aspect) { aspect } else { 1.0 };
    let width = (f64::from(facts.width) * aspect).round().max(1.0) as u32;
    let (width, height) =
        if orientation.swaps() { (facts.height, width) } else { (width, facts.height) };
    let frame_rate = if track.frame_rate > 0.0 { track.frame_rate } else { FRAME_RATE_DEFAULT };
    Shape { width, height, frame_rate }
}

fn facts(
    source: &Source,
    duration: f64,
    shape: Option<Shape>,
    orientation: Orientation,
    bit_rate: u64,
) -> SourceFacts {
    let name = |track: &Track| ffi::codec_name(track.codec);
    let own = source.video.as_ref().map(|track| track.facts.bit_rate);
    SourceFacts {
        container: source.container.label().to_owned(),
        duration,
        width: shape.map_or(0, |shape| shape.width),
        height: shape.map_or(0, |shape| shape.height),
        rotation: orientation.rotation,
        frame_rate: shape.map_or(0.0, |shape| shape.frame_rate),
        video_codec: source.video.as_ref().map(name),
        audio_codec: source.sounds.first().map(name),
        bit_rate,
        video_bit_rate: own.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0),
        copy: None,
        sounds: source.sound_facts.clone(),
    }
}

/// Puts the rungs into the order of work: what can be played first, first.
fn plan(facts: &SourceFacts, shape: Option<Shape>, order: &Order) -> Vec<RenditionPlan> {
    let facts = facts.heard(order.encode.loudness);
    let verdicts = ladder::choose(&facts, order.encode.ladder_heights.as_deref());
    let of = |kind: RenditionKind, copied: bool| -> Vec<&RenditionPlan> {
        ladder::made(&verdicts).filter(|it| it.kind == kind && it.copied == copied).collect()
    };
    let mut plan: Vec<&RenditionPlan> = of(RenditionKind::Video, true);
    plan.extend(ladder::made(&verdicts).filter(|it| it.kind == RenditionKind::Audio));
    if let Some(shape) = shape {
        let rungs = of(RenditionKind::Video, false);
        let passes = passes::passes(shape, &rungs, order.limits.memory_bytes_max);
        plan.extend(passes.into_iter().flatten());
    }
    plan.into_iter().cloned().collect()
}
