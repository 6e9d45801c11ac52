//! Sound that is taken as it is. Decoding and encoding it would be most of the work on a film
//! whose pictures are copied, and would make nothing better.
//!
//! What was promised by the index is held against the packets as they come. Where they are
//! something else, the rendition is given up and another attempt encodes the track, beside what
//! was published of it: no rendition holds some of either.

use super::audio::tell_cut;
use super::ffi;
use super::output::OutputDir;
use super::report::{Reporter, Stop, out_of_memory};
use super::segment::{Label, Segmenter, aac_codecs, unfit};
use super::sound_fit::{FRAME_SAMPLES, Row, ends_with, plain_setup, samples};
use super::sound_out::{SoundPlan, WAITING_BYTES_MAX};
use super::source::{Source, Track};
use super::timeline::{Boundaries, TICK, rescale};
use ffmpeg_next::Rational;
use ffmpeg_next::codec::packet::Packet;
use std::collections::VecDeque;

/// A rendition of a track's own packets on its way.
pub struct SoundCopy<'w, 'r> {
    name: String,
    rate: u32,
    /// Where the time line begins in the track's own ticks, which are samples.
    origin: i64,
    row: Row,
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    segmenter: Segmenter<'w, 'r>,
    boundaries: Boundaries,
    /// The last packet of each file but the last, and the first of the next, by where they begin.
    ends: VecDeque<(i64, i64)>,
    reporter: &'w Reporter<'r>,
}

impl<'w, 'r> SoundCopy<'w, 'r> {
    /// Opens the rendition for a track of `source` whose index has promised that its packets fit.
    ///
    /// # Errors
    /// `OutOfMemory`; `OutOfSpace`; `Internal`; `Gone` where the promise doesn't hold any more.
    pub fn open(
        source: &Source,
        track: &Track,
        plan: SoundPlan<'_>,
        dir: &'w OutputDir,
        reporter: &'w Reporter<'r>,
    ) -> Result<Self, Stop> {
        let name = plan.rendition.name.clone();
        let rate = track.facts.sample_rate;
        let Some(setup) = plain_setup(&track.facts.extradata, rate) else {
            return Err(unfit(reporter, &name));
        };
        let parameters =
            ffi::with_extradata(&track.parameters, &setup).map_err(|_| out_of_memory())?;
        let label = Label {
            name: name.clone(),
            codecs: aac_codecs(&setup).unwrap_or_default(),
            target_ms: plan.target_ms,
            kept: plan.kept,
        };
        let origin = samples(source.origin(), rate);
        let segmenter = Segmenter::new(label, &parameters, track.time_base, dir, reporter)?;
        Ok(Self {
            name,
            rate,
            origin,
            row: Row::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            segmenter,
            ends: ends(source, track, origin, plan.boundaries.clone())?,
            boundaries: plan.boundaries,
            reporter,
        })
    }

    /// Takes one packet of the track; it waits until [`SoundCopy::pictures_at`] lets it go.
    ///
    /// # Errors
    /// `Gone` if it isn't one that fits; another attempt encodes the track.
    pub fn packet(&mut self, packet: &Packet) -> Result<(), Stop> {
        let at = packet.pts().or(packet.dts()).map(|at| at.saturating_sub(self.origin));
        let bytes = u32::try_from(packet.size()).unwrap_or(u32::MAX);
        let is_alike = !packet.is_corrupt() && !ffi::brings_new_setup(packet);
        let primes = ffi::is_discarded(packet);
        let Some(at) = at.filter(|&at| is_alike && self.row.take(at, bytes, primes)) else {
            return Err(unfit(self.reporter, &self.name));
        };
        let mut packet = packet.clone();
        packet.set_pts(Some(at));
        packet.set_dts(Some(at));
        packet.set_duration(FRAME_SAMPLES);
        self.waiting_bytes += packet.size();
        self.waiting.push_back(packet);
        Ok(())
    }

    /// Hears that the pictures have got to this second.
    ///
    /// # Errors
    /// `OutOfSpace`, `Internal`, `Gone`.
    pub fn pictures_at(&mut self, seconds: f64) -> Result<(), Stop> {
        self.release(samples(seconds, self.rate))
    }

    /// Lets out what ends before a sample.
    fn release(&mut self, until: i64) -> Result<(), Stop> {
        while let Some(packet) = self.waiting.front() {
            let ends_at = packet.pts().unwrap_or(0).saturating_add(FRAME_SAMPLES);
            if ends_at > until && self.waiting_bytes <= WAITING_BYTES_MAX {
                return Ok(());
            }
            self.release_one()?;
        }
        Ok(())
    }

    fn release_one(&mut self) -> Result<(), Stop> {
        let Some(packet) = self.waiting.pop_front() else { return Ok(()) };
        self.waiting_bytes -= packet.size();
        let at = packet.pts().unwrap_or(0);
        let begins = self.boundaries.begins(in_ticks(at, self.rate))?;
        self.segmenter.push(packet, begins)?;
        while let Some(&(last, next)) = self.ends.front().filter(|(last, _)| *last <= at) {
            self.ends.pop_front();
            if last == at {
                self.segmenter.end_before(next, next)?;
            }
        }
        Ok(())
    }

    /// Returns the second at which the sound ends.
    pub fn end(&self) -> f64 {
        self.row.end() as f64 / f64::from(self.rate)
    }

    /// Completes the rendition, up to the end of the pictures if there are any. Returns how many
    /// seconds it has.
    ///
    /// # Errors
    /// As [`SoundCopy::pictures_at`]; `Gone` also if the pictures go on without the sound, which
    /// silence has to be made for.
    pub fn finish(mut self, pictures_end: Option<f64>) -> Result<f64, Stop> {
        let pictures_end = pictures_end.unwrap_or(self.end());
        if !ends_with(self.end(), pictures_end) {
            return Err(unfit(self.reporter, &self.name));
        }
        tell_cut(self.reporter, self.end() - pictures_end)?;
        let end = samples(pictures_end, self.rate);
        self.release(end)?;
        // Of the packet at the end only the beginning is played.
        while let Some(last) = self.waiting.front_mut() {
            let left = end.saturating_sub(last.pts().unwrap_or(0));
            if left <= 0 {
                break;
            }
            last.set_duration(left.min(FRAME_SAMPLES));
            self.release_one()?;
        }
        self.segmenter.finish(FRAME_SAMPLES, 0.0)
    }
}

/// Returns the last packet of each file but the last, and the first of the next, as the container's
/// index lists them: a file can be ended before that first one is here.
fn ends(
    source: &Source,
    track: &Track,
    origin: i64,
    mut boundaries: Boundaries,
) -> Result<VecDeque<(i64, i64)>, Stop> {
    let (mut ends, mut before) = (VecDeque::new(), None);
    for entry in ffi::index_entries(&source.input, track.index) {
        let at = entry.dts.saturating_sub(origin);
        let begins = boundaries.begins(in_ticks(at, track.facts.sample_rate))?;
        ends.extend(before.filter(|_| begins).map(|before| (before, at)));
        before = Some(at);
    }
    Ok(ends)
}

fn in_ticks(at: i64, rate: u32) -> i64 {
    rescale(at, Rational(1, rate as i32), TICK)
}
