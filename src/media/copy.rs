//! The fast pass: the source's own pictures into segments, and the sound along with them.

use super::cuts::Cuts;
use super::keys::{CopyPlan, holds_idr, stamp};
use super::output::OutputDir;
use super::report::{Meter, Reporter, Stop};
use super::rungs::Found;
use super::segment::{self, Label, Segmenter, avc_codecs};
use super::sounds::Sounds;
use super::source::{Source, Track, seconds};
use super::timeline::{TICK, rescale};
use ffmpeg_next::Rational;
use ffmpeg_next::codec::packet::Packet;

/// H.264 reorders at most 16 pictures; at two a second, the slowest that matter, that's 8 s.
const REORDER_SECONDS_MAX: f64 = 8.0;

/// What the pass works by.
pub struct CopyPass<'w, 'r> {
    /// Where it may cut.
    pub plan: &'w CopyPlan,
    /// Hears where it does, and how far it is.
    pub cuts: &'w Cuts,
    /// Where files go.
    pub dir: &'w OutputDir,
    /// Where reports go.
    pub reporter: &'w Reporter<'r>,
    /// Tells how far the work is.
    pub meter: Meter<'w, 'r>,
}

/// Reads the source through. With `label` the pictures become that rendition; without, because an
/// earlier attempt made it, only their cuts are learnt. `sounds` are fed and completed.
///
/// # Errors
/// `OutOfSpace`, `OutOfMemory`, `Internal`; `Gone`, also if a picture that should begin a file
/// needs others before it, so that another attempt has to encode them; `Neighbour` if those who
/// encode by the cuts have ended.
pub fn copy_pass(
    pass: &CopyPass<'_, '_>,
    mut source: Source,
    label: Option<Label>,
    mut sounds: Sounds<'_, '_>,
) -> Result<Found, Stop> {
    let Some(track) = source.video.take() else { return Ok(Found::default()) };
    let (dir, reporter) = (pass.dir, pass.reporter);
    let name = label.as_ref().map(|label| label.name.clone());
    let segmenter = match label {
        Some(label) => {
            Some(Segmenter::new(label, &track.parameters, track.time_base, dir, reporter)?)
        }
        None => None,
    };
    let mut pictures = Pictures::new(&track, pass, segmenter);
    while let Some(packet) = source.next_packet() {
        if packet.stream() == track.index {
            if let Some(name) = name.as_ref().filter(|_| !pictures.fits(&packet)) {
                return Err(segment::unfit(reporter, name));
            }
            pictures.packet(packet)?;
            sounds.pictures_at(seconds(pictures.end, track.time_base))?;
            pass.meter.reached(seconds(pictures.last_dts.unwrap_or(0), track.time_base))?;
        } else {
            reporter.beat()?;
            sounds.packet(&packet)?;
        }
    }
    let found = pictures.finish(sounds.drain()?)?;
    sounds.finish(Some(found.end))?;
    pass.cuts.end(found.end);
    Ok(found)
}

/// Returns the codec string of a track that can be copied.
pub fn codecs_of(track: &Track) -> String {
    avc_codecs(&track.facts.extradata).unwrap_or_default()
}

struct Pictures<'p, 'w, 'r> {
    plan: &'p CopyPlan,
    cuts: &'p Cuts,
    segmenter: Option<Segmenter<'w, 'r>>,
    /// The set-up bytes, which tell how units lie in a packet.
    extradata: Vec<u8>,
    time_base: Rational,
    origin: i64,
    frame_ticks: i64,
    /// Ticks that a picture may be shown after it's decoded.
    reorder_max: i64,
    /// Packets at the start whose decoding time isn't known yet.
    waiting: Vec<Packet>,
    last_dts: Option<i64>,
    end: i64,
}

impl<'p, 'w, 'r> Pictures<'p, 'w, 'r> {
    fn new(track: &Track, pass: &CopyPass<'p, '_>, segmenter: Option<Segmenter<'w, 'r>>) -> Self {
        let frame = 1.0 / track.frame_rate.max(1.0) / seconds(1, track.time_base);
        Self {
            plan: pass.plan,
            cuts: pass.cuts,
            segmenter,
            extradata: track.facts.extradata.clone(),
            time_base: track.time_base,
            origin: track.start.unwrap_or(0),
            frame_ticks: (frame.round() as i64).max(1),
            reorder_max: (REORDER_SECONDS_MAX / seconds(1, track.time_base)) as i64,
            waiting: Vec::new(),
            last_dts: None,
            end: 0,
        }
    }

    /// Says whether a packet can be decoded without anything before it, if it begins a file. Only
    /// some were looked at before.
    fn fits(&self, packet: &Packet) -> bool {
        let holds = |data: &[u8]| holds_idr(data, &self.extradata);
        !self.begins(packet) || packet.data().is_some_and(holds)
    }

    fn begins(&self, packet: &Packet) -> bool {
        let is_cut = |mark| self.plan.cuts.binary_search(&mark).is_ok();
        packet.is_key() && stamp(packet).is_some_and(is_cut)
    }

    /// Takes a packet of the source. Matroska has no decoding times, and FFmpeg can work out all
    /// but the first few: those are counted back from the first one known.
    fn packet(&mut self, packet: Packet) -> Result<(), Stop> {
        if self.last_dts.is_none() && packet.dts().is_none() {
            self.waiting.push(packet);
            return Ok(());
        }
        let known = packet.dts();
        self.release_waiting(known)?;
        self.write(packet, known)
    }

    fn release_waiting(&mut self, known: Option<i64>) -> Result<(), Stop> {
        let waiting = std::mem::take(&mut self.waiting);
        let count = waiting.len() as i64;
        // A file of so few packets that none has a time: they follow each other.
        let first_known = known.unwrap_or(self.origin + self.frame_ticks);
        for (at, packet) in waiting.into_iter().enumerate() {
            let before = (count - at as i64).saturating_mul(self.frame_ticks);
            let dts = first_known.saturating_sub(before);
            self.write(packet, Some(dts))?;
        }
        Ok(())
    }

    fn write(&mut self, mut packet: Packet, dts: Option<i64>) -> Result<(), Stop> {
        let begins = self.begins(&packet);
        let floor = self.last_dts.map_or(i64::MIN, |last| last.saturating_add(1));
        let dts = dts.map_or(floor, |dts| dts.saturating_sub(self.origin)).max(floor);
        // Pictures are never shown before they are decoded, nor long after.
        let pts = packet.pts().map_or(dts, |pts| pts.saturating_sub(self.origin));
        let pts = pts.clamp(dts, dts.saturating_add(self.reorder_max));
        self.last_dts = Some(dts);
        self.end = self.end.max(pts.saturating_add(packet.duration().max(self.frame_ticks)));
        packet.set_dts(Some(dts));
        packet.set_pts(Some(pts));
        // A picture to come is decoded after this one, and shown no sooner.
        let in_ticks = |at| rescale(at, self.time_base, TICK);
        self.cuts.tell(begins.then(|| in_ticks(pts)), in_ticks(dts))?;
        match &mut self.segmenter {
            Some(segmenter) => segmenter.push(packet, begins),
            None => Ok(()),
        }
    }

    fn finish(mut self, until: f64) -> Result<Found, Stop> {
        self.release_waiting(None)?;
        let found = seconds(self.end, self.time_base);
        let end = match self.segmenter.take() {
            Some(segmenter) => segmenter.finish(self.frame_ticks, until)?,
            None => found.max(until),
        };
        Ok(Found { pictures: found, end })
    }
}
