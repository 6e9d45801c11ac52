//! One job from the first byte to the last segment: probe, poster, passes.

use super::audio::{Placing, Sound, rate_of};
use super::chapters;
use super::copy::{self, CopyPass, copy_pass};
use super::cover;
use super::cuts::Cuts;
use super::decode::Begin;
use super::extras;
use super::feed::{HeadStart, Opened};
use super::keys::{CutRule, KEY_DISTANCE_MAX};
use super::loudness::{self, Levels};
use super::output::OutputDir;
use super::passes;
use super::poster;
use super::probe::{self, Probe};
use super::report::{Meter, Reporter, Ruler, Stop, out_of_memory};
use super::resume;
use super::rungs::{Found, Pass, Reach, Task, encode_pass};
use super::segment::{self, Kept, Label};
use super::sound_copy::SoundCopy;
use super::sound_out::{SharedPeaks, SoundOut, SoundPlan};
use super::sounds::Sounds;
use super::source::Source;
use super::source_file::SourceFile;
use super::spans;
use super::texts::{self, Aside};
use super::timeline::{self, Boundaries};
use crate::model::extra::ExtraKind;
use crate::model::ladder::FRAME_RATE_MAX;
use crate::model::problem::ProblemCode;
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::spans::Span;
use crate::model::video::ends_early;
use crate::wire::{Order, Report, SpanOrder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError};
use std::thread::Builder;

/// A pass over the source without encoding pictures costs about this share of one with it.
const COPY_SHARE: f64 = 0.1;

/// Ticks by which sound is cut before the pictures, where a copy finds its cuts: by so much an
/// encoder of sound, which wants whole packets and one of them in advance, lags behind what it has
/// got. So its segment is complete with what lies before the key frame that the next one begins
/// with, be there no other sound for a while.
const SOUND_EARLY: i64 = 6_270;

/// Segments that a film has to be longer than to be given a head start.
const HEAD_START_SEGMENTS_MIN: f64 = 2.0;

/// Less than this share of the declared length, or than this many seconds, is no film.
const PRODUCED_SHARE_MIN: f64 = 0.05;
const PRODUCED_SECONDS_MIN: f64 = 0.5;

/// Does the whole job.
///
/// # Errors
/// Everything that can be wrong with a file or the machine; `Gone`.
pub fn work(
    order: &Order,
    file: &SourceFile,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<(), Stop> {
    let mut source = Source::open(file, &order.limits)?;
    if let Some(part) = &order.span {
        return work_on_span(order, part, source, (file, dir, reporter));
    }
    let probe = probe::probe(&mut source, file, order, reporter)?;
    reporter.send(Report::Probed { facts: probe.facts.clone(), plan: probe.plan.clone() })?;
    if source.audio_unreadable {
        reporter
            .warn("sound-not-read", "The sound is in a format that this server doesn't read.")?;
    }
    // The best places for a poster lie all over the film: it has to wait for what isn't here.
    let is_arriving = file.is_arriving();
    let wants_chapters = !order.extras_done.contains(&ExtraKind::Chapters);
    // They may be named behind all else.
    let has_chapters = !is_arriving || !source.is_streamed;
    let wants_still = probe.shape.is_some() && !order.extras_done.contains(&ExtraKind::Poster);
    if wants_still && !is_arriving {
        poster::make(&mut source, &probe, &order.limits, dir, reporter)?;
    }
    if wants_chapters && has_chapters {
        chapters::report(&source, probe.facts.duration, reporter)?;
    }
    source.texts.warn(reporter)?;
    let texts = Aside::new(&source.texts, !order.extras_done.contains(&ExtraKind::Texts));
    let wants_poster = probe.shape.is_none() && !order.extras_done.contains(&ExtraKind::Poster);
    let wants_peaks = wants_poster && !cover::make(&source, &order.limits, dir, reporter)?;
    let peaks = wants_peaks.then(SharedPeaks::default);
    // Each pass opens the container anew: going back to the start isn't possible in all of them.
    drop(source);
    let job = Job {
        order,
        file,
        dir,
        reporter,
        probe: &probe,
        texts,
        peaks: peaks.clone(),
        wants_still: AtomicBool::new(wants_still && is_arriving),
        wants_chapters: AtomicBool::new(wants_chapters && !has_chapters),
        extras_made: AtomicBool::new(false),
    };
    let produced = job.passes()?;
    job.texts_at_last()?;
    if let Some(peaks) = peaks {
        let peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
        cover::make_of_sound(&peaks, dir, reporter)?;
    }
    // An attempt that only had to finish what others made tells what they have found.
    let earlier = Some(order.seconds_done).filter(|seconds| *seconds > 0.0);
    let earlier = earlier.map(|seconds| Found { pictures: seconds, end: seconds });
    let produced = produced.into_iter().chain(earlier).reduce(Found::and);
    job.extras(produced)?;
    job.check_produced(produced)
}

/// Makes one span of the encoded pictures, of a film that another child has probed.
fn work_on_span(
    order: &Order,
    part: &SpanOrder,
    source: Source,
    (file, dir, reporter): (&SourceFile, &OutputDir, &Reporter<'_>),
) -> Result<(), Stop> {
    let mut probe = probe::glance(&source);
    probe.plan.clone_from(&part.plan);
    probe.facts.duration = part.duration;
    let texts = Aside::new(&source.texts, false);
    drop(source);
    let job = Job {
        order,
        file,
        dir,
        reporter,
        probe: &probe,
        texts,
        peaks: None,
        wants_still: AtomicBool::new(false),
        wants_chapters: AtomicBool::new(false),
        extras_made: AtomicBool::new(true),
    };
    let found = job.span(&part.span)?;
    // Only the last one gets to where the film may end early.
    if part.span.until.is_none() { job.check_produced(Some(found)) } else { Ok(()) }
}

/// What there is before pictures are encoded.
struct Before<'w, 'r> {
    /// The source and the sound to be made along.
    opened: Option<Opened<'w, 'r>>,
    /// Second until which the last picture stays, if no copy says.
    until: f64,
    /// Where a copy of the pictures is cut.
    copy: Option<&'w Cuts>,
    /// Share of the progress that is used up.
    share: f64,
    /// The one span that is to be made.
    span: Option<&'w Span>,
}

struct Job<'w, 'r> {
    order: &'w Order,
    file: &'w SourceFile,
    dir: &'w OutputDir,
    reporter: &'w Reporter<'r>,
    probe: &'w Probe,
    texts: Aside,
    /// Collects the waveform, where it becomes the poster.
    peaks: Option<SharedPeaks>,
    /// The poster has still to be made, of the whole film.
    wants_still: AtomicBool,
    /// The chapters have still to be read.
    wants_chapters: AtomicBool,
    extras_made: AtomicBool,
}

impl<'w, 'r> Job<'w, 'r> {
    /// Opens the source for a pass; the first one that reads it to its end takes the text along.
    fn open_source(&self) -> Result<Source, Stop> {
        let mut source = Source::open(self.file, &self.order.limits)?;
        if self.texts.is_wanting() {
            source.put_texts_aside(&self.texts);
        }
        Ok(source)
    }

    /// Reports the text, read by a pass of its own if no other had to read the source.
    fn texts_at_last(&self) -> Result<(), Stop> {
        if self.texts.is_wanting() {
            texts::read_alone(self.open_source()?, self.reporter)?;
        }
        self.texts.report(self.dir, self.reporter)
    }

    fn is_todo(&self, rendition: &RenditionPlan) -> bool {
        !self.order.renditions_done.contains(&rendition.name)
    }

    /// Returns the rungs that are still to be encoded, the largest first, as a cascade wants it.
    fn encoded(&self) -> Vec<&'w RenditionPlan> {
        let is_encoded = |it: &&RenditionPlan| it.kind == RenditionKind::Video && !it.copied;
        let plan = self.probe.plan.iter().filter(is_encoded);
        let mut encoded: Vec<_> = plan.filter(|it| self.is_todo(it)).collect();
        encoded.sort_by_key(|rung| std::cmp::Reverse(rung.width.min(rung.height)));
        encoded
    }

    /// Makes one span of the rungs that are to be encoded.
    fn span(&self, span: &'w Span) -> Result<Found, Stop> {
        let later = Some(span).filter(|span| !span.is_first());
        let tasks: Vec<Task<'w>> = self
            .tasks(&self.encoded(), span.target_ms)
            .into_iter()
            .map(|task| Task { later, ..task })
            .collect();
        let is_grid = span.cuts.is_empty();
        let boundaries = if is_grid { self.grid() } else { Boundaries::listed(span.cuts.clone()) };
        let mut opened = None;
        if later.is_none() && tasks.iter().any(|task| task.from() == 0) {
            let head_start = self.head_start(&tasks, span.target_ms)?;
            opened = Some(Opened {
                source: Source::open(self.file, &self.order.limits)?,
                begin: Begin::AtStart,
                sounds: Sounds::default(),
                // The sound is another child's.
                head_start: head_start.map(|it| HeadStart { sounds: Vec::new(), ..it }),
            });
        }
        let before = Before { opened, until: 0.0, copy: None, share: 0.0, span: Some(span) };
        self.encode(&tasks, before, boundaries, span.target_ms)
    }

    /// Cuts the rungs that are to be encoded into spans for others to make, if there are to be
    /// several, and tells of them.
    fn cut(
        &self,
        tasks: &[Task<'_>],
        boundaries: &Boundaries,
        target_ms: u32,
    ) -> Result<bool, Stop> {
        let spans = spans::plan(self.order, self.file, self.probe, tasks, (boundaries, target_ms))?;
        let is_cut = spans.len() > 1;
        for span in spans.into_iter().filter(|_| is_cut) {
            self.reporter.send(Report::Span { span })?;
        }
        Ok(is_cut)
    }

    /// Runs the passes that are needed and returns what was found, if anything was read.
    fn passes(&self) -> Result<Option<Found>, Stop> {
        let plan = &self.probe.plan;
        let copied = plan.iter().find(|r| r.copied && r.kind == RenditionKind::Video);
        let copied_todo = copied.filter(|rendition| self.is_todo(rendition));
        let encoded = self.encoded();
        let sound_todo = plan.iter().any(|r| r.kind == RenditionKind::Audio && self.is_todo(r));
        let Some(plan) = &self.probe.copy else {
            return self.without_copy(&encoded, sound_todo);
        };
        if copied_todo.is_none() && !sound_todo && encoded.is_empty() {
            return Ok(None);
        }
        let cuts = Arc::new(Cuts::default());
        let source = self.open_source()?;
        let sound_cuts = match &plan.rule {
            CutRule::Listed(listed) => self.sound_boundaries(&source, listed),
            CutRule::Found(_) => Boundaries::passed(cuts.clone(), SOUND_EARLY),
        };
        let early = timeline::seconds(sound_cuts.early());
        let target_ms = self.target_ms(&sound_cuts, plan.longest + early);
        let label = copied_todo.zip(source.video.as_ref()).map(|(rendition, track)| Label {
            name: rendition.name.clone(),
            codecs: copy::codecs_of(track),
            target_ms,
            kept: self.kept(rendition, target_ms, true),
        });
        let sounds = self.sounds(&source, &sound_cuts, target_ms)?;
        let (dir, reporter) = (self.dir, self.reporter);
        let share = if encoded.is_empty() { 1.0 } else { COPY_SHARE };
        let meter = Meter::new(reporter, source.ruler(self.probe.length()), 0.0, share);
        let name = copied.map_or("", |rendition| rendition.name.as_str());
        let pass = CopyPass { order: self.order, name, plan, cuts: &cuts, dir, reporter, meter };
        let tasks = self.tasks(&encoded, target_ms);
        let boundaries = Boundaries::copied(cuts.clone());
        let is_cut = AtomicBool::new(false);
        let copy = || {
            let found = copy_pass(&pass, source, label, sounds)?;
            self.texts.report(dir, reporter)?;
            is_cut.store(self.cut(&tasks, &boundaries, target_ms)?, Ordering::Relaxed);
            self.extras(Some(found))?;
            Ok(found)
        };
        let encode = || {
            if is_cut.load(Ordering::Relaxed) {
                return Ok(Found::default());
            }
            let copy = Some(&*cuts);
            let before = Before { opened: None, until: 0.0, copy, share, span: None };
            self.encode(&tasks, before, boundaries.clone(), target_ms)
        };
        if encoded.is_empty() {
            copy().map(Some)
        } else if self.file.is_arriving() {
            beside(&cuts, copy, encode).map(Some)
        } else {
            // Nothing is as early as a copy that has the machine to itself.
            Ok(Some(copy()?.and(encode()?)))
        }
    }

    /// Makes the pictures beside the rungs, once: as soon as something plays. All of the film is
    /// here now, and was `found` to be so long.
    fn extras(&self, found: Option<Found>) -> Result<(), Stop> {
        if self.extras_made.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let (limits, dir, reporter) = (&self.order.limits, self.dir, self.reporter);
        let mut probe = self.probe.clone();
        if let Some(found) = found.filter(|_| !probe.length().is_finite()) {
            probe.facts.duration = found.end;
            reporter.send(Report::Lasts { seconds: found.end })?;
        }
        if self.wants_still.swap(false, Ordering::Relaxed) {
            poster::make(&mut Source::open(self.file, limits)?, &probe, limits, dir, reporter)?;
        }
        if self.wants_chapters.swap(false, Ordering::Relaxed) {
            let source = Source::open(self.file, limits)?;
            chapters::report(&source, probe.facts.duration, reporter)?;
        }
        extras::make(self.order, self.file, &probe, dir, reporter)
    }

    /// Everything in one pass, on a fixed grid; the sound in one of its own, where the pictures go
    /// on in the middle.
    fn without_copy(
        &self,
        encoded: &[&'w RenditionPlan],
        sound_todo: bool,
    ) -> Result<Option<Found>, Stop> {
        let grid = self.grid();
        let target_ms = self.target_ms(&grid, 0.0);
        let tasks = self.tasks(encoded, target_ms);
        let is_cut = self.cut(&tasks, &grid, target_ms)?;
        // A pass for the sound alone would go on as long as the upload does, the pictures waiting.
        let along = self.file.is_arriving() && !tasks.is_empty();
        let from_start = !is_cut && (along || tasks.iter().any(|task| task.from() == 0));
        let mut produced = None;
        let mut opened = None;
        if sound_todo || from_start {
            let source = self.open_source()?;
            let sounds = self.sounds(&source, &grid, target_ms)?;
            if from_start {
                let head_start = self.head_start(&tasks, target_ms)?;
                opened = Some(Opened { source, begin: Begin::AtStart, sounds, head_start });
            } else {
                let share = if tasks.is_empty() { 1.0 } else { COPY_SHARE };
                let end = self.sound_alone(source, sounds, share)?;
                // How long there are pictures was found by the attempt that made them.
                produced = Some(Found { pictures: end, end });
            }
        }
        if !tasks.is_empty() && !is_cut {
            let until = produced.map_or(0.0, |sound| sound.end);
            let share = if produced.is_some() { COPY_SHARE } else { 0.0 };
            let before = Before { opened, until, copy: None, share, span: None };
            let found = self.encode(&tasks, before, grid, target_ms)?;
            produced = Some(produced.unwrap_or_default().and(found));
        }
        Ok(produced)
    }

    /// Opens the source for a head start, where the film is long enough for one and nothing of it
    /// can be played yet.
    fn head_start(&self, tasks: &[Task<'w>], target_ms: u32) -> Result<Option<HeadStart>, Stop> {
        let plan = &self.probe.plan;
        let of = |kind| plan.iter().filter(move |it: &&RenditionPlan| it.kind == kind);
        let is_long = self.probe.length() > HEAD_START_SEGMENTS_MIN * self.segment_seconds();
        let is_first = tasks.len() == of(RenditionKind::Video).count()
            && tasks.iter().all(|task| task.kept.is_none());
        let Some(smallest) = tasks.last().filter(|_| is_long && is_first && tasks.len() > 1) else {
            return Ok(None);
        };
        let is_empty =
            |it: &&RenditionPlan| self.is_todo(it) && self.kept(it, target_ms, true).is_none();
        Ok(Some(HeadStart {
            source: Source::open(self.file, &self.order.limits)?,
            rung: smallest.rung.name.clone(),
            sounds: of(RenditionKind::Audio).filter(is_empty).map(|it| it.name.clone()).collect(),
        }))
    }

    /// What is to be done for each rung, `target_ms` being the length of its segments.
    fn tasks(&self, encoded: &[&'w RenditionPlan], target_ms: u32) -> Vec<Task<'w>> {
        let task = |&rung| Task { rung, kept: self.kept(rung, target_ms, false), later: None };
        encoded.iter().map(task).collect()
    }

    fn kept(&self, rendition: &RenditionPlan, target_ms: u32, again: bool) -> Option<Kept> {
        resume::kept(&self.order.begun, rendition, target_ms, again)
    }

    /// Encodes in as many passes as memory needs; the sound goes along with the first, if it was
    /// opened for it. The rest of the progress is theirs, split by pixels.
    fn encode(
        &self,
        tasks: &[Task<'w>],
        before: Before<'w, 'r>,
        boundaries: Boundaries,
        target_ms: u32,
    ) -> Result<Found, Stop> {
        let Some(shape) = self.probe.shape else { return Ok(Found::default()) };
        let mut pass = Pass {
            order: self.order,
            probe: self.probe,
            dir: self.dir,
            reporter: self.reporter,
            target_ms,
            until: before.until.max(self.order.seconds_done),
            copy: before.copy,
            reach: None,
        };
        let mut from = before.share;
        let mut opened = before.opened;
        let cost = |rungs: &[&RenditionPlan]| -> f64 {
            rungs.iter().map(|rung| f64::from(rung.width) * f64::from(rung.height)).sum()
        };
        let encoded: Vec<&RenditionPlan> = tasks.iter().map(|task| task.rung).collect();
        let (left, all) = (1.0 - from, cost(&encoded).max(1.0));
        let mut produced = Found::default();
        for rungs in passes::passes(shape, &encoded, self.order.limits.memory_bytes_max) {
            let of_pass = |task: &&Task<'w>| rungs.iter().any(|rung| rung.name == task.rung.name);
            let tasks: Vec<Task<'w>> = tasks.iter().filter(of_pass).copied().collect();
            let first = tasks.iter().map(Task::from).min().unwrap_or(0);
            let opened = match opened.take() {
                Some(opened) => opened,
                None => {
                    let (mut source, begin) =
                        resume::open_at(self.file, &self.order.limits, first)?;
                    if first == 0 && self.texts.is_wanting() {
                        source.put_texts_aside(&self.texts);
                    }
                    Opened { source, begin, sounds: Sounds::default(), head_start: None }
                }
            };
            let share = left * cost(&rungs) / all;
            let ruler = match before.span {
                Some(span) => Ruler::Part {
                    from: timeline::seconds(span.from),
                    until: span.until.map_or(self.probe.length(), timeline::seconds),
                },
                None => opened.source.ruler(self.probe.length()),
            };
            let meter = Meter::new(self.reporter, ruler, from, share);
            let meter = meter.beginning_at(timeline::seconds(first));
            let end = OnceLock::new();
            let reach = before.span.map(|span| Reach { span, end: &end });
            let found =
                encode_pass(Pass { reach, ..pass }, opened, &tasks, boundaries.clone(), &meter)?;
            produced = produced.and(found);
            pass.until = produced.end;
            from += share;
        }
        Ok(produced)
    }

    /// Sound without pictures, or beside pictures that are there already or go on in the middle.
    fn sound_alone(
        &self,
        mut source: Source,
        mut sounds: Sounds<'_, '_>,
        share: f64,
    ) -> Result<f64, Stop> {
        let origin = source.origin();
        let rate = self.probe.shape.map_or(FRAME_RATE_MAX, |shape| shape.frame_rate.max(1.0));
        let pictures = source.video.as_ref().map(|it| (it.index, it.time_base));
        let bases: Vec<_> = source.sounds.iter().map(|it| (it.index, it.time_base)).collect();
        let meter = Meter::new(self.reporter, source.ruler(self.probe.length()), 0.0, share);
        let mut pictures_end: Option<f64> = None;
        while let Some(packet) = source.next_packet() {
            sounds.packet(&packet)?;
            let at = packet.pts().unwrap_or(0);
            let mut tracks = bases.iter().chain(&pictures);
            let Some(&(index, base)) = tracks.find(|(index, _)| *index == packet.stream()) else {
                continue;
            };
            let at = super::source::seconds(at, base) - origin;
            if pictures.is_some_and(|(pictures, _)| pictures == index) {
                let end = at + 1.0 / rate;
                let end = pictures_end.map_or(end, |before| before.max(end));
                pictures_end = Some(end);
                sounds.pictures_at(end)?;
            }
            meter.reached(at)?;
        }
        // Where sound goes on after the pictures, the last of them is held.
        let sound_end = sounds.drain()?;
        let end = pictures_end.map(|end| segment::pictures_end(end, sound_end));
        let sound = sounds.finish(end)?;
        Ok(end.map_or(sound, |end| end.max(sound)))
    }

    /// Opens the tracks that are still to be made.
    fn sounds(
        &self,
        source: &Source,
        boundaries: &Boundaries,
        target_ms: u32,
    ) -> Result<Sounds<'w, 'r>, Stop> {
        let placing = Placing {
            origin: source.origin(),
            // Of a film that ends nobody knows when, no sound comes too late.
            duration: self.probe.length().min(self.order.limits.duration_ms_max as f64 / 1000.0),
            has_pictures: self.probe.shape.is_some(),
        };
        let first = self.probe.plan.iter().find(|it| it.kind == RenditionKind::Audio);
        let first = first.map_or("", |it| it.name.as_str());
        let todo: Vec<_> = self.probe.plan.iter().filter(|it| self.is_todo(it)).collect();
        let levels = self.levels(&todo)?;
        let mut sounds = Sounds::beside(self.order.seconds_done);
        for (number, track) in source.sounds.iter().enumerate() {
            let of_track = |it: &&&RenditionPlan| {
                it.sound.as_ref().is_some_and(|sound| sound.track as usize == number)
            };
            let mut outs = Vec::new();
            for rendition in todo.iter().filter(of_track) {
                let plan = SoundPlan {
                    rendition,
                    rate: rate_of(track),
                    target_ms,
                    kept: self.kept(rendition, target_ms, true),
                    boundaries: boundaries.clone(),
                    filters: levels.filters(track.index, rendition.layout(), rate_of(track)),
                    peaks: self.peaks.clone().filter(|_| rendition.name == first),
                };
                if rendition.copied {
                    let copy = SoundCopy::open(source, track, plan, self.dir, self.reporter)?;
                    sounds.add_copy(track.index, copy);
                } else {
                    outs.push(SoundOut::open(plan, self.dir, self.reporter)?);
                }
            }
            if !outs.is_empty() {
                sounds.add(track.index, Sound::open(track, placing, outs, self.reporter)?);
            }
        }
        Ok(sounds)
    }

    /// Measures the loudness of what is to be made, if it's to be equal.
    fn levels(&self, todo: &[&RenditionPlan]) -> Result<Levels, Stop> {
        let of = |it: &&RenditionPlan| Some((it.sound.as_ref()?.track as usize, it.layout()));
        let wanted: Vec<_> = todo.iter().filter_map(of).collect();
        if !self.order.encode.loudness || wanted.is_empty() {
            return Ok(Levels::default());
        }
        let source = Source::open(self.file, &self.order.limits)?;
        loudness::measure(source, &wanted, self.reporter)
    }

    fn grid(&self) -> Boundaries {
        Boundaries::grid(self.segment_seconds(), self.probe.grid_end())
    }

    /// The copy's own boundaries as far as they're known before its packets are read: decoding
    /// times, which are as far apart as times of showing. Sound that outlasts the pictures is cut
    /// on after them.
    fn sound_boundaries(&self, source: &Source, cuts: &[i64]) -> Boundaries {
        let (Some(track), Some(&first)) = (&source.video, cuts.first()) else {
            return self.grid();
        };
        let mut list: Vec<i64> = cuts
            .iter()
            .map(|&at| timeline::rescale(at - first, track.time_base, timeline::TICK))
            .collect();
        let end = timeline::ticks(self.probe.facts.duration);
        let every = timeline::ticks(self.segment_seconds());
        let longest = timeline::ticks(KEY_DISTANCE_MAX);
        while let Some(&last) = list.last().filter(|&&last| end - last > longest) {
            list.push(last + every);
        }
        Boundaries::listed(list)
    }

    fn segment_seconds(&self) -> f64 {
        f64::from(self.order.encode.segment_seconds.max(1))
    }

    /// The target of all renditions, which players want to be the same for pictures and sound.
    /// Segments of pictures can be longer than their boundaries say by one picture, those of
    /// sound by a packet at either end and by the encoder's lead.
    fn target_ms(&self, boundaries: &Boundaries, longest: f64) -> u32 {
        const PACKET: f64 = 1024.0 / 44_100.0;
        let rate = self.probe.shape.map_or(FRAME_RATE_MAX, |shape| shape.frame_rate.max(1.0));
        let longest = longest.max(boundaries.longest(self.probe.grid_end()));
        milliseconds(longest + (1.0 / rate).max(3.0 * PACKET))
    }

    /// Compares what was found with what was declared.
    fn check_produced(&self, produced: Option<Found>) -> Result<(), Stop> {
        let Some(produced) = produced else { return Ok(()) };
        let all = self.probe.facts.duration;
        // Pictures may have ended early under sound that goes on.
        let pictures = self.probe.pictures.map_or(0.0, |declared| declared.min(all));
        if !ends_early(pictures, produced.pictures) && !ends_early(all, produced.end) {
            return Ok(());
        }
        let (declared, produced) = if ends_early(pictures, produced.pictures) {
            (pictures, produced.pictures)
        } else {
            (all, produced.end)
        };
        if produced < PRODUCED_SECONDS_MIN || produced < declared * PRODUCED_SHARE_MIN {
            return Err(Stop::because(
                ProblemCode::DamagedMedia,
                format!("Of {declared:.1} seconds only {produced:.1} could be read."),
            ));
        }
        self.reporter.warn(
            "truncated-source",
            format!("The file ends early: of {declared:.1} seconds {produced:.1} are there."),
        )
    }
}

/// Copies on a thread of its own while others encode by its cuts, as both have to wait for the
/// same bytes.
fn beside(
    cuts: &Cuts,
    copy: impl FnOnce() -> Result<Found, Stop> + Send,
    encode: impl FnOnce() -> Result<Found, Stop>,
) -> Result<Found, Stop> {
    let (copied, encoded) = std::thread::scope(|scope| {
        let copy = || {
            let _leaving = cuts.leaving();
            copy()
        };
        let Ok(copied) = Builder::new().name("copy".to_owned()).spawn_scoped(scope, copy) else {
            return (Err(out_of_memory()), Ok(Found::default()));
        };
        let leaving = cuts.leaving();
        let encoded = encode();
        drop(leaving);
        let crashed = |_| Stop::because(ProblemCode::Internal, "Copying stopped unexpectedly.");
        (copied.join().map_err(crashed).and_then(|copied| copied), encoded)
    });
    match (copied, encoded) {
        (Ok(copied), Ok(encoded)) => Ok(copied.and(encoded)),
        // Who only lost the other doesn't know why.
        (Err(Stop::Neighbour), Err(stop)) | (Err(stop), _) | (_, Err(stop)) => Err(stop),
    }
}

fn milliseconds(seconds: f64) -> u32 {
    (seconds * 1000.0).ceil().max(1.0) as u32
}
