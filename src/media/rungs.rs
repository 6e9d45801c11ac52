//! The encoding pass: decode once, scale in a cascade, encode every rung on its own thread.
//!
//! Pictures run from the decoder to the largest rung, which hands them on to the next smaller
//! one, and so on. Queues between them are short, so a slow encoder slows the decoder down
//! instead of filling memory.

use super::decode::PictureDecoder;
use super::encode::PictureEncoder;
use super::ffi;
use super::output::OutputDir;
use super::picture::{Orientation, Treater, Treatment};
use super::probe::{Probe, check_duration};
use super::report::{Meter, Reporter, Stop, out_of_memory};
use super::segment::{Label, Segmenter, avc_codecs};
use super::sounds::Sounds;
use super::source::Source;
use super::timeline::{Boundaries, TICK, TICKS, seconds};
use crate::model::problem::ProblemCode;
use crate::model::rendition::RenditionPlan;
use crate::wire::Order;
use ffmpeg_next::frame;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// Bytes of pictures that one queue may hold.
const QUEUE_BYTES: u64 = 40 << 20;

/// Pictures that one queue may hold.
const QUEUE_PICTURES: std::ops::RangeInclusive<u64> = 3..=12;

/// What every part of the pass shares.
#[derive(Clone, Copy)]
pub struct Pass<'w, 'r> {
    /// What was ordered.
    pub order: &'w Order,
    /// What the source holds.
    pub probe: &'w Probe,
    /// Where files go.
    pub dir: &'w OutputDir,
    /// Where reports go.
    pub reporter: &'w Reporter<'r>,
    /// Longest segment in milliseconds.
    pub target_ms: u32,
}

/// A picture on its way, time set in result ticks.
struct Picture {
    frame: frame::Video,
    /// A segment begins with it.
    begins: bool,
}

/// Decodes the source once and makes all of `rungs` (largest first) and `sounds`. Returns the
/// seconds of pictures found.
///
/// # Errors
/// `DamagedMedia` without a single picture; `TooLong`; `OutOfSpace`; `OutOfMemory`; `Internal`;
/// `Gone`.
pub fn encode_pass<'r>(
    pass: Pass<'_, 'r>,
    source: Source,
    rungs: &[&RenditionPlan],
    sounds: Sounds<'_, '_>,
    boundaries: Boundaries,
    meter: &Meter<'_, 'r>,
) -> Result<f64, Stop> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let first = start_rungs(scope, pass, rungs, &mut threads);
        let fed =
            first.and_then(|first| feed(pass, source, rungs, sounds, boundaries, first, meter));
        // The feeder's end of the first queue is closed now, so every thread comes to its end.
        let mut reasons: Vec<Stop> = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(stop)) => reasons.push(stop),
                Err(_) => reasons
                    .push(Stop::because(ProblemCode::Internal, "Encoding stopped unexpectedly.")),
            }
        }
        let fed = fed.map_err(|stop| reasons.push(stop));
        // A part that only lost its neighbour doesn't know why; whoever ended first does.
        match reasons.iter().find(|stop| **stop != Stop::Neighbour).or(reasons.first()) {
            Some(stop) => Err(stop.clone()),
            None => Ok(fed.unwrap_or(0.0)),
        }
    })
}

/// Starts one thread a rung, the smallest first, and returns the largest one's queue.
fn start_rungs<'scope, 'w: 'scope, 'r: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    pass: Pass<'w, 'r>,
    rungs: &[&'w RenditionPlan],
    threads: &mut Vec<ScopedJoinHandle<'scope, Result<(), Stop>>>,
) -> Result<SyncSender<Picture>, Stop> {
    let mut next: Option<SyncSender<Picture>> = None;
    for (place, &rung) in rungs.iter().enumerate().rev() {
        // What comes in has the size of the rung above.
        let above = rungs[place.saturating_sub(1)];
        let bytes = u64::from(above.width) * u64::from(above.height) * 3 / 2;
        let depth = (QUEUE_BYTES / bytes.max(1))
            .clamp(*QUEUE_PICTURES.start(), *QUEUE_PICTURES.end()) as usize;
        let (sender, receiver) = sync_channel(depth);
        let forward = next.replace(sender);
        let encoder_threads = if place == 0 { pass.order.encode.threads } else { 1 };
        let thread = Builder::new()
            .name(format!("rung {}", rung.name))
            .spawn_scoped(scope, move || {
                Rung { pass, rung, encoder_threads, scaler: None, out: None }.run(receiver, forward)
            })
            .map_err(|_| out_of_memory())?;
        threads.push(thread);
    }
    next.ok_or_else(|| Stop::because(ProblemCode::Internal, "There is nothing to encode."))
}

/// Decodes the source and hands treated pictures to the first rung, sound to `sounds`.
fn feed<'r>(
    pass: Pass<'_, 'r>,
    mut source: Source,
    rungs: &[&RenditionPlan],
    mut sounds: Sounds<'_, '_>,
    boundaries: Boundaries,
    first: SyncSender<Picture>,
    meter: &Meter<'_, 'r>,
) -> Result<f64, Stop> {
    let Some(track) = source.video.take() else { return Ok(0.0) };
    let limits = &pass.order.limits;
    let mut decoder = PictureDecoder::open(&track, limits, pass.order.encode.threads)?;
    let size = (rungs[0].width, rungs[0].height);
    let interlaced = track.facts.field_order > 1;
    let mut feeder =
        Feeder { pass, size, interlaced, treater: None, boundaries, first, meter, seconds: 0.0 };
    while let Some(packet) = source.next_packet() {
        if packet.stream() == track.index {
            decoder.decode(Some(&packet), &mut |picture| feeder.picture(picture))?;
        } else {
            pass.reporter.beat()?;
            sounds.packet(&packet)?;
        }
    }
    decoder.decode(None, &mut |picture| feeder.picture(picture))?;
    let seconds = feeder.finish()?;
    sounds.finish(Some(seconds))?;
    Ok(seconds)
}

/// Treats decoded pictures and marks those that begin a segment.
struct Feeder<'f, 'm, 'w, 'r> {
    pass: Pass<'w, 'r>,
    size: (u32, u32),
    interlaced: bool,
    treater: Option<Treater>,
    boundaries: Boundaries,
    first: SyncSender<Picture>,
    meter: &'f Meter<'m, 'r>,
    seconds: f64,
}

impl Feeder<'_, '_, '_, '_> {
    fn picture(&mut self, picture: frame::Video) -> Result<(), Stop> {
        let at = seconds(picture.pts().unwrap_or(0));
        // The declared length may be a lie; what really comes counts.
        check_duration(at, self.pass.order)?;
        self.meter.reached(at)?;
        let treated = match self.treater.as_mut() {
            Some(treater) => treater.treat(picture)?,
            None => self.begin(picture)?,
        };
        self.send(treated)
    }

    /// Builds the treatment from the first picture.
    fn begin(&mut self, picture: frame::Video) -> Result<Vec<frame::Video>, Stop> {
        let (width, height) = self.size;
        let treatment = Treatment {
            orientation: self.pass.probe.orientation,
            deinterlace: self.interlaced || picture.is_interlaced(),
            tone_map: self.pass.probe.hdr,
            width,
            height,
            format: "yuv420p",
        };
        let spare = ffi::share(&picture).map_err(|_| out_of_memory())?;
        let tried = Treater::new(treatment, &picture)
            .and_then(|mut treater| treater.treat(picture).map(|out| (treater, out)));
        let (treater, out) = match tried {
            // Colours that can't be mapped are better shown pale than not at all.
            Err(Stop::Problem(_)) if treatment.tone_map.is_some() => {
                self.pass.reporter.warn(
                    "hdr-not-converted",
                    "The film's high dynamic range couldn't be converted; colours may look pale.",
                )?;
                let plain = Treatment { tone_map: None, ..treatment };
                let mut treater = Treater::new(plain, &spare)?;
                let out = treater.treat(spare)?;
                (treater, out)
            }
            tried => tried?,
        };
        self.treater = Some(treater);
        Ok(out)
    }

    fn send(&mut self, pictures: Vec<frame::Video>) -> Result<(), Stop> {
        for frame in pictures {
            let at = frame.pts().unwrap_or(0);
            self.seconds = seconds(at) + 1.0 / self.frame_rate();
            let begins = self.boundaries.begins(at);
            self.first.send(Picture { frame, begins }).map_err(|_| Stop::Neighbour)?;
        }
        Ok(())
    }

    fn frame_rate(&self) -> f64 {
        self.pass.probe.shape.map_or(25.0, |shape| shape.frame_rate).max(1.0)
    }

    fn finish(mut self) -> Result<f64, Stop> {
        if let Some(mut treater) = self.treater.take() {
            let rest = treater.finish()?;
            self.send(rest)?;
        }
        if self.seconds > 0.0 { Ok(self.seconds) } else { Err(super::probe::nothing_inside()) }
    }
}

/// One rung at work on its own thread.
struct Rung<'w, 'r> {
    pass: Pass<'w, 'r>,
    rung: &'w RenditionPlan,
    encoder_threads: u32,
    scaler: Option<Treater>,
    out: Option<(PictureEncoder, Segmenter<'w, 'r>)>,
}

impl Rung<'_, '_> {
    fn run(
        mut self,
        pictures: Receiver<Picture>,
        forward: Option<SyncSender<Picture>>,
    ) -> Result<(), Stop> {
        while let Ok(Picture { frame, begins }) = pictures.recv() {
            self.pass.reporter.beat()?;
            let frame = self.scale(frame)?;
            if let Some(forward) = &forward {
                let frame = ffi::share(&frame).map_err(|_| out_of_memory())?;
                forward.send(Picture { frame, begins }).map_err(|_| Stop::Neighbour)?;
            }
            self.encode(frame, begins)?;
        }
        let Some((mut encoder, mut segmenter)) = self.out else { return Ok(()) };
        // The next rung can end while this encoder empties itself.
        drop(forward);
        for packet in encoder.finish()? {
            let begins = packet.is_key();
            segmenter.push(packet, begins)?;
        }
        segmenter.finish((f64::from(TICKS) / self.rung.frame_rate.max(1.0)) as i64)?;
        Ok(())
    }

    fn scale(&mut self, frame: frame::Video) -> Result<frame::Video, Stop> {
        if (frame.width(), frame.height()) == (self.rung.width, self.rung.height) {
            return Ok(frame);
        }
        let scaler = match &mut self.scaler {
            Some(scaler) => scaler,
            empty => empty.insert(Treater::new(
                Treatment {
                    orientation: Orientation::UPRIGHT,
                    deinterlace: false,
                    tone_map: None,
                    width: self.rung.width,
                    height: self.rung.height,
                    format: "yuv420p",
                },
                &frame,
            )?),
        };
        // Scaling gives one picture for one.
        scaler
            .treat(frame)?
            .pop()
            .ok_or_else(|| Stop::because(ProblemCode::Internal, "The pictures couldn't be scaled."))
    }

    fn encode(&mut self, mut frame: frame::Video, begins: bool) -> Result<(), Stop> {
        let (encoder, segmenter) = match &mut self.out {
            Some(out) => out,
            empty => {
                let preset = &self.pass.order.encode.preset;
                let encoder =
                    PictureEncoder::open(self.rung, &frame, preset, self.encoder_threads)?;
                let parameters = encoder.parameters();
                let label = Label {
                    name: self.rung.name.clone(),
                    codecs: avc_codecs(&ffi::extradata(&parameters)).unwrap_or_default(),
                    target_ms: self.pass.target_ms,
                };
                let segmenter =
                    Segmenter::new(label, &parameters, TICK, self.pass.dir, self.pass.reporter)?;
                empty.insert((encoder, segmenter))
            }
        };
        for packet in encoder.encode(&mut frame, begins)? {
            // Every key frame was asked for, so every one begins a segment.
            let begins = packet.is_key();
            segmenter.push(packet, begins)?;
        }
        Ok(())
    }
}
