//! The encoding pass: decode once, scale in a cascade, encode every rung on its own thread.
//!
//! Pictures run from the decoder to the largest rung, which hands them on to the next smaller
//! one, and so on. Queues between them are short, so a slow encoder slows the decoder down
//! instead of filling memory.

use super::decode::{Begin, PictureDecoder};
use super::encode::PictureEncoder;
use super::ffi;
use super::output::OutputDir;
use super::picture::{Orientation, Treater, Treatment};
use super::probe::{Probe, check_duration};
use super::report::{Meter, Reporter, Stop, out_of_memory};
use super::segment::{APART, Kept, Label, Segmenter, avc_codecs};
use super::sounds::Sounds;
use super::source::Source;
use super::timeline::{Boundaries, TICK, TICKS, seconds, ticks};
use crate::model::problem::ProblemCode;
use crate::model::rendition::RenditionPlan;
use crate::wire::{Order, Report};
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
    /// Second until which the last picture stays, if the pass's own sound doesn't say.
    pub until: f64,
}

/// What a pass has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Seconds of pictures.
    pub pictures: f64,
    /// Second at which all ends.
    pub end: f64,
}

/// A rung to make, and what there is of it already.
#[derive(Clone, Copy)]
pub struct Task<'w> {
    /// What is planned.
    pub rung: &'w RenditionPlan,
    /// Its beginning, behind which it goes on.
    pub kept: Option<Kept>,
}

impl Task<'_> {
    /// Returns the ticks at which the first picture that is still wanted is shown.
    pub fn from(&self) -> i64 {
        self.kept.map_or(0, |kept| i64::try_from(kept.ticks).unwrap_or(i64::MAX))
    }
}

/// An opened source and where in it the pictures begin.
pub struct Opened<'w, 'r> {
    /// The source, at a key frame.
    pub source: Source,
    /// The first picture that is wanted.
    pub begin: Begin,
    /// What is made of its sound, read from the start.
    pub sounds: Sounds<'w, 'r>,
}

/// A picture on its way, time set in result ticks.
struct Picture {
    frame: frame::Video,
    /// A segment begins with it.
    begins: bool,
}

impl Found {
    /// Joins what two passes over the same source have found.
    pub fn and(self, other: Self) -> Self {
        Self { pictures: self.pictures.max(other.pictures), end: self.end.max(other.end) }
    }
}

/// Decodes the source once and makes all of `tasks` (largest first) and the sounds.
///
/// # Errors
/// `DamagedMedia` without a single picture; `TooLong`; `OutOfSpace`; `OutOfMemory`; `Internal`;
/// `Gone`.
pub fn encode_pass<'r>(
    pass: Pass<'_, 'r>,
    opened: Opened<'_, '_>,
    tasks: &[Task<'_>],
    boundaries: Boundaries,
    meter: &Meter<'_, 'r>,
) -> Result<Found, Stop> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let first = start_rungs(scope, pass, tasks, &mut threads);
        let size = tasks.first().map_or((0, 0), |task| (task.rung.width, task.rung.height));
        let fed = first.and_then(|first| feed(pass, opened, size, boundaries, first, meter));
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
            None => Ok(fed.unwrap_or_default()),
        }
    })
}

/// Starts one thread a rung, the smallest first, and returns the largest one's queue.
fn start_rungs<'scope, 'w: 'scope, 'r: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    pass: Pass<'w, 'r>,
    tasks: &[Task<'w>],
    threads: &mut Vec<ScopedJoinHandle<'scope, Result<(), Stop>>>,
) -> Result<SyncSender<Picture>, Stop> {
    let mut next: Option<Next> = None;
    for (place, &task) in tasks.iter().enumerate().rev() {
        // What comes in has the size of the rung above.
        let above = tasks[place.saturating_sub(1)].rung;
        let bytes = u64::from(above.width) * u64::from(above.height) * 3 / 2;
        let depth = (QUEUE_BYTES / bytes.max(1))
            .clamp(*QUEUE_PICTURES.start(), *QUEUE_PICTURES.end()) as usize;
        let (sender, receiver) = sync_channel(depth);
        let below = next.as_ref().map_or(i64::MAX, |next| next.from);
        let forward = next.replace(Next { queue: sender, from: below.min(task.from()) });
        let encoder_threads = if place == 0 { pass.order.encode.threads } else { 1 };
        let thread = Builder::new()
            .name(format!("rung {}", task.rung.name))
            .spawn_scoped(scope, move || {
                Rung { pass, task, encoder_threads, scaler: None, out: None }.run(receiver, forward)
            })
            .map_err(|_| out_of_memory())?;
        threads.push(thread);
    }
    next.map(|next| next.queue)
        .ok_or_else(|| Stop::because(ProblemCode::Internal, "There is nothing to encode."))
}

/// The rung below, to which pictures are handed on.
struct Next {
    queue: SyncSender<Picture>,
    /// The first picture that it or one below it wants.
    from: i64,
}

/// Decodes the source and hands treated pictures to the first rung, sound to `sounds`.
fn feed<'r>(
    pass: Pass<'_, 'r>,
    opened: Opened<'_, '_>,
    size: (u32, u32),
    boundaries: Boundaries,
    first: SyncSender<Picture>,
    meter: &Meter<'_, 'r>,
) -> Result<Found, Stop> {
    let Opened { mut source, begin, mut sounds } = opened;
    let Some(track) = source.video.take() else { return Ok(Found::default()) };
    let limits = &pass.order.limits;
    let mut decoder = PictureDecoder::open(&track, limits, pass.order.encode.threads, begin)?;
    let interlaced = track.facts.field_order > 1;
    let mut feeder = Feeder {
        pass,
        size,
        interlaced,
        treater: None,
        boundaries,
        begin,
        first,
        meter,
        seconds: 0.0,
        last: None,
    };
    while let Some(packet) = source.next_packet() {
        pass.reporter.beat()?;
        if packet.stream() == track.index {
            decoder.decode(Some(&packet), &mut |picture| feeder.picture(picture))?;
            sounds.pictures_at(feeder.seconds)?;
        } else {
            sounds.packet(&packet)?;
        }
    }
    decoder.decode(None, &mut |picture| feeder.picture(picture))?;
    let found = feeder.finish(sounds.drain()?.max(pass.until))?;
    sounds.finish(Some(found.end))?;
    Ok(found)
}

/// Treats decoded pictures and marks those that begin a segment.
struct Feeder<'f, 'm, 'w, 'r> {
    pass: Pass<'w, 'r>,
    size: (u32, u32),
    interlaced: bool,
    treater: Option<Treater>,
    boundaries: Boundaries,
    begin: Begin,
    first: SyncSender<Picture>,
    meter: &'f Meter<'m, 'r>,
    seconds: f64,
    /// The picture before, in case it has to be shown again.
    last: Option<frame::Video>,
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
            self.repeat_until(at)?;
            self.last = Some(ffi::share(&frame).map_err(|_| out_of_memory())?);
            self.send_one(frame, at)?;
        }
        Ok(())
    }

    fn send_one(&mut self, frame: frame::Video, at: i64) -> Result<(), Stop> {
        self.seconds = seconds(at) + 1.0 / self.frame_rate();
        let begins = self.boundaries.begins(at);
        self.first.send(Picture { frame, begins }).map_err(|_| Stop::Neighbour)
    }

    /// Shows the last picture again at every boundary before `at`: a film may stand still for
    /// minutes, and its segments must not.
    fn repeat_until(&mut self, at: i64) -> Result<(), Stop> {
        while let Some(boundary) = self.boundaries.upcoming().filter(|&next| next < at) {
            if at - boundary < self.frame_ticks() || !self.repeat_at(boundary)? {
                break;
            }
        }
        Ok(())
    }

    /// Shows the last picture again at `at`; false if there is none.
    fn repeat_at(&mut self, at: i64) -> Result<bool, Stop> {
        let Some(last) = &self.last else { return Ok(false) };
        self.pass.reporter.beat()?;
        let mut frame = ffi::share(last).map_err(|_| out_of_memory())?;
        frame.set_pts(Some(at));
        self.send_one(frame, at)?;
        Ok(true)
    }

    fn frame_ticks(&self) -> i64 {
        (f64::from(TICKS) / self.frame_rate()) as i64
    }

    fn frame_rate(&self) -> f64 {
        self.pass.probe.shape.map_or(25.0, |shape| shape.frame_rate).max(1.0)
    }

    /// Sends what is still inside, and keeps the last picture up to `until` (seconds).
    fn finish(mut self, until: f64) -> Result<Found, Stop> {
        if let Some(mut treater) = self.treater.take() {
            let rest = treater.finish()?;
            self.send(rest)?;
        }
        let pictures = match self.begin {
            _ if self.seconds > 0.0 => self.seconds,
            // All that there is of pictures has been made before.
            Begin::At { ticks, .. } => {
                let pictures = seconds(ticks);
                return Ok(Found { pictures, end: pictures });
            }
            Begin::AtStart => return Err(super::probe::nothing_inside()),
        };
        // The last picture lasts as long as any, so it's shown once more that long before the end.
        if until - pictures > APART {
            let last_at = ticks(pictures).max(ticks(until) - self.frame_ticks());
            self.repeat_until(last_at)?;
            self.repeat_at(last_at)?;
        }
        Ok(Found { pictures, end: self.seconds })
    }
}

/// One rung at work on its own thread.
struct Rung<'w, 'r> {
    pass: Pass<'w, 'r>,
    task: Task<'w>,
    encoder_threads: u32,
    scaler: Option<Treater>,
    out: Option<(PictureEncoder, Segmenter<'w, 'r>)>,
}

impl Rung<'_, '_> {
    fn run(mut self, pictures: Receiver<Picture>, forward: Option<Next>) -> Result<(), Stop> {
        while let Ok(Picture { frame, begins }) = pictures.recv() {
            self.pass.reporter.beat()?;
            let at = frame.pts().unwrap_or(0);
            let frame = self.scale(frame)?;
            if let Some(next) = forward.as_ref().filter(|next| at >= next.from) {
                let frame = ffi::share(&frame).map_err(|_| out_of_memory())?;
                next.queue.send(Picture { frame, begins }).map_err(|_| Stop::Neighbour)?;
            }
            if at >= self.task.from() {
                self.encode(frame, begins)?;
            }
        }
        let Some((mut encoder, mut segmenter)) = self.out else { return self.finish_empty() };
        // The next rung can end while this encoder empties itself.
        drop(forward);
        for packet in encoder.finish()? {
            let begins = packet.is_key();
            segmenter.push(packet, begins)?;
        }
        let lasts = f64::from(TICKS) / self.task.rung.frame_rate.max(1.0);
        segmenter.finish(lasts as i64, self.pass.until)?;
        Ok(())
    }

    /// Ends a rung to which no picture has come: every one of it is there already.
    fn finish_empty(self) -> Result<(), Stop> {
        match self.task.kept {
            Some(_) => self
                .pass
                .reporter
                .send(Report::Completed { rendition: self.task.rung.name.clone() }),
            None => Ok(()),
        }
    }

    fn scale(&mut self, frame: frame::Video) -> Result<frame::Video, Stop> {
        if (frame.width(), frame.height()) == (self.task.rung.width, self.task.rung.height) {
            return Ok(frame);
        }
        let scaler = match &mut self.scaler {
            Some(scaler) => scaler,
            empty => empty.insert(Treater::new(
                Treatment {
                    orientation: Orientation::UPRIGHT,
                    deinterlace: false,
                    tone_map: None,
                    width: self.task.rung.width,
                    height: self.task.rung.height,
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
                    PictureEncoder::open(self.task.rung, &frame, preset, self.encoder_threads)?;
                let parameters = encoder.parameters();
                let label = Label {
                    name: self.task.rung.name.clone(),
                    codecs: avc_codecs(&ffi::extradata(&parameters)).unwrap_or_default(),
                    target_ms: self.pass.target_ms,
                    kept: self.task.kept,
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
