//! The encoding pass: scale in a cascade, encode every rung on its own thread.
//!
//! Pictures run from `feed` to the largest rung, which hands them on to the next smaller
//! one, and so on. Queues between them are short, so a slow encoder slows the decoder down
//! instead of filling memory.

use super::cuts::Cuts;
use super::encode::PictureEncoder;
use super::feed::{Opened, feed};
use super::ffi;
use super::output::OutputDir;
use super::picture::{Orientation, Treater, Treatment};
use super::probe::Probe;
use super::report::{Meter, Reporter, Stop, out_of_memory};
use super::segment::{Kept, Label, Segmenter, avc_codecs};
use super::timeline::{Boundaries, SLACK, TICK, TICKS};
use crate::model::problem::ProblemCode;
use crate::model::rendition::RenditionPlan;
use crate::model::spans::Span;
use crate::wire::{Order, Report};
use ffmpeg_next::frame;
use std::sync::OnceLock;
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
    /// Second until which the last picture stays, if neither the pass's own sound nor a copy says.
    pub until: f64,
    /// Where a copy of the pictures is cut, be it done or beside this pass.
    pub copy: Option<&'w Cuts>,
    /// The part of the film that is to be made, if it isn't all of it.
    pub reach: Option<Reach<'w>>,
}

/// A span on its way.
#[derive(Clone, Copy)]
pub struct Reach<'w> {
    /// Which.
    pub span: &'w Span,
    /// When the next span's first picture is shown, once it has come; nothing else ends a span that
    /// isn't the last.
    pub end: &'w OnceLock<i64>,
}

impl Pass<'_, '_> {
    /// Returns the tick at which a span ends, if it isn't the last one.
    ///
    /// # Errors
    /// `Neighbour` if it was left before that is known.
    fn end(&self) -> Result<Option<i64>, Stop> {
        match self.reach.filter(|reach| reach.span.until.is_some()) {
            Some(reach) => reach.end.get().copied().map(Some).ok_or(Stop::Neighbour),
            None => Ok(None),
        }
    }

    /// Returns the second until which the last picture stays; waits for the copy.
    ///
    /// # Errors
    /// `Neighbour` if the copy has ended before its time.
    pub fn until(&self) -> Result<f64, Stop> {
        let copied = self.copy.map_or(Ok(0.0), Cuts::wait_for_end)?;
        Ok(copied.max(self.until))
    }
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
    /// The span with which it goes on otherwise, if it isn't the first.
    pub later: Option<&'w Span>,
}

impl Task<'_> {
    /// Returns the ticks at which the first picture that is still wanted is shown, or somewhat
    /// before.
    pub fn from(&self) -> i64 {
        let later = self.later.map_or(0, |span| span.from.saturating_sub(SLACK));
        self.kept.map_or(later, |kept| i64::try_from(kept.ticks).unwrap_or(i64::MAX))
    }

    /// Returns what lies before this first picture.
    fn kept_before(&self, shown: i64) -> Option<Kept> {
        let before = |span: &Span| Kept {
            segments: span.after,
            ticks: u64::try_from(shown).unwrap_or(0),
            timescale: TICKS.unsigned_abs(),
            again: false,
        };
        self.kept.or(self.later.map(before))
    }
}

/// What comes down the queues. A queue that closes without the end has lost who fills it, and what
/// has come so far isn't all.
pub enum Passed {
    /// The next picture.
    Picture(Picture),
    /// There are no more.
    End,
}

/// A picture on its way, time set in result ticks.
pub struct Picture {
    /// The picture.
    pub frame: frame::Video,
    /// A segment begins with it.
    pub begins: bool,
    /// Only the smallest rung takes it; the others will get it again.
    pub ahead: bool,
}

/// Where pictures are put in.
#[derive(Clone)]
pub struct Inlet {
    /// The largest rung's queue.
    pub queue: SyncSender<Passed>,
    /// Width and height of its pictures.
    pub size: (u32, u32),
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
        let inlet = start_rungs(scope, pass, tasks, &mut threads);
        let fed = inlet.and_then(|inlet| {
            let queue = inlet.queue.clone();
            let found = feed(pass, opened, inlet, boundaries, meter)?;
            // A rung that is gone has its own reason, which counts.
            let _ = queue.send(Passed::End);
            Ok(found)
        });
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

/// Starts one thread a rung, the smallest first, and returns where the largest takes pictures.
fn start_rungs<'scope, 'w: 'scope, 'r: 'scope>(
    scope: &'scope Scope<'scope, '_>,
    pass: Pass<'w, 'r>,
    tasks: &[Task<'w>],
    threads: &mut Vec<ScopedJoinHandle<'scope, Result<(), Stop>>>,
) -> Result<Inlet, Stop> {
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
                let from = task.from();
                let rung = Rung { pass, task, from, encoder_threads, scaler: None, out: None };
                rung.run(receiver, forward)
            })
            .map_err(|_| out_of_memory())?;
        threads.push(thread);
    }
    let largest = next
        .zip(tasks.first())
        .map(|(next, task)| Inlet { queue: next.queue, size: (task.rung.width, task.rung.height) });
    largest.ok_or_else(|| Stop::because(ProblemCode::Internal, "There is nothing to encode."))
}

/// The rung below, to which pictures are handed on.
struct Next {
    queue: SyncSender<Passed>,
    /// The first picture that it or one below it wants.
    from: i64,
}

/// One rung at work on its own thread.
struct Rung<'w, 'r> {
    pass: Pass<'w, 'r>,
    task: Task<'w>,
    /// The first picture that isn't encoded yet.
    from: i64,
    encoder_threads: u32,
    scaler: Option<Treater>,
    out: Option<(PictureEncoder, Segmenter<'w, 'r>)>,
}

impl Rung<'_, '_> {
    fn run(mut self, pictures: Receiver<Passed>, forward: Option<Next>) -> Result<(), Stop> {
        let is_smallest = forward.is_none();
        // Whoever filled the queue and is gone knows why; what there is here isn't complete.
        while let Passed::Picture(picture) = pictures.recv().map_err(|_| Stop::Neighbour)? {
            self.pass.reporter.beat()?;
            let Picture { frame, begins, ahead } = picture;
            let at = frame.pts().unwrap_or(0);
            let next = forward.as_ref().filter(|next| at >= next.from);
            let is_wanted = at >= self.from && (is_smallest || !ahead);
            if next.is_none() && !is_wanted {
                continue;
            }
            let frame = self.scale(frame)?;
            if let Some(next) = next {
                let frame = ffi::share(&frame).map_err(|_| out_of_memory())?;
                let picture = Passed::Picture(Picture { frame, begins, ahead });
                next.queue.send(picture).map_err(|_| Stop::Neighbour)?;
            }
            if is_wanted {
                self.encode(frame, begins)?;
                self.from = at.saturating_add(1);
            }
        }
        // The next rung can end while this encoder empties itself.
        if let Some(next) = forward {
            next.queue.send(Passed::End).map_err(|_| Stop::Neighbour)?;
        }
        let Some((mut encoder, mut segmenter)) = self.out else { return self.finish_empty() };
        for packet in encoder.finish()? {
            let begins = packet.is_key();
            segmenter.push(packet, begins)?;
        }
        if let Some(end) = self.pass.end()? {
            return segmenter.end_span(end);
        }
        let lasts = f64::from(TICKS) / self.task.rung.frame_rate.max(1.0);
        segmenter.finish(lasts as i64, self.pass.until()?)?;
        Ok(())
    }

    /// Ends a rung to which no picture has come: every one of it is there already.
    fn finish_empty(self) -> Result<(), Stop> {
        match self.task.kept {
            // A span is never all there.
            Some(_) if self.pass.reach.is_some() => Err(Stop::Neighbour),
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
                    threads: 1,
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
                    kept: self.task.kept_before(frame.pts().unwrap_or(0)),
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
