//! The fast pass: the source's own pictures into segments, and the sound along with them.

use super::cuts::Cuts;
use super::ffi;
use super::foreseen::Foreseen;
use super::keys::{CopyPlan, Cut, CutRule, KeyCuts, STAY_MAX, holds_idr, stamp};
use super::output::OutputDir;
use super::probe::check_duration;
use super::report::{Meter, Reporter, Stop};
use super::rungs::Found;
use super::segment::{self, Label, Segmenter, avc_codecs};
use super::sounds::Sounds;
use super::source::{Source, Track, seconds};
use super::timeline::{TICK, rescale};
use crate::wire::Order;
use ffmpeg_next::Rational;
use ffmpeg_next::codec::packet::Packet;

/// H.264 reorders at most 16 pictures; at two a second, the slowest that matter, that's 8 s.
const REORDER_SECONDS_MAX: f64 = 8.0;

/// Bytes of pictures that may wait for word whether a file begins with the first of them.
const OPEN_BYTES_MAX: usize = 64 << 20;

/// What the pass works by.
pub struct CopyPass<'w, 'r> {
    /// What was ordered.
    pub order: &'w Order,
    /// Name of the copied rendition.
    pub name: &'w str,
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
/// `TooLong`, `OutOfSpace`, `OutOfMemory`, `Internal`; `Gone`, also if the pictures aren't what
/// they should be, so that another attempt has to encode them; `Neighbour` if those who encode by
/// the cuts have ended.
pub fn copy_pass(
    pass: &CopyPass<'_, '_>,
    mut source: Source,
    label: Option<Label>,
    mut sounds: Sounds<'_, '_>,
) -> Result<Found, Stop> {
    let Some(track) = source.video.take() else { return Ok(Found::default()) };
    let segmenter = label
        .map(|label| {
            Segmenter::new(label, &track.parameters, track.time_base, pass.dir, pass.reporter)
        })
        .transpose()?;
    let mut pictures = Pictures::new(&track, pass, segmenter);
    while let Some(packet) = source.next_packet() {
        if packet.stream() == track.index {
            pictures.packet(packet)?;
            let at = seconds(pictures.told, track.time_base);
            check_duration(at, pass.order)?;
            pass.meter.reached(at)?;
        } else {
            pass.reporter.beat()?;
            sounds.packet(&packet)?;
        }
        sounds.pictures_at(seconds(pictures.told, track.time_base))?;
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
    pass: &'p CopyPass<'w, 'r>,
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
    /// Finds where files begin, if that isn't listed.
    finder: Option<KeyCuts>,
    /// Packets with whose first a file may begin.
    open: Vec<Packet>,
    open_bytes: usize,
    /// Up to here the film is known to go on, and where it's cut.
    told: i64,
    /// Key frames to come.
    foreseen: std::slice::Iter<'w, Foreseen>,
    /// When the next picture is decoded and shown, with which a file begins, if that was told.
    promised: Option<(i64, i64)>,
    end: i64,
}

impl<'p, 'w, 'r> Pictures<'p, 'w, 'r> {
    fn new(
        track: &Track,
        pass: &'p CopyPass<'w, 'r>,
        segmenter: Option<Segmenter<'w, 'r>>,
    ) -> Self {
        let frame = 1.0 / track.frame_rate.max(1.0) / seconds(1, track.time_base);
        let finder = match pass.plan.rule {
            CutRule::Found(wanted) => Some(KeyCuts::new(wanted)),
            CutRule::Listed(_) => None,
        };
        Self {
            pass,
            segmenter,
            extradata: track.facts.extradata.clone(),
            time_base: track.time_base,
            origin: track.start.unwrap_or(0),
            frame_ticks: (frame.round() as i64).max(1),
            reorder_max: (REORDER_SECONDS_MAX / seconds(1, track.time_base)) as i64,
            waiting: Vec::new(),
            last_dts: None,
            finder,
            open: Vec::new(),
            open_bytes: 0,
            told: 0,
            foreseen: pass.plan.foreseen.iter(),
            promised: None,
            end: 0,
        }
    }

    fn unfit(&self) -> Stop {
        segment::unfit(self.pass.reporter, self.pass.name)
    }

    /// Says whether a packet can be decoded without anything before it.
    fn begins_afresh(&self, packet: &Packet) -> bool {
        packet.data().is_some_and(|data| holds_idr(data, &self.extradata))
    }

    /// Says whether a packet is listed as one that begins a file.
    fn is_listed(&self, packet: &Packet) -> bool {
        let CutRule::Listed(cuts) = &self.pass.plan.rule else { return false };
        packet.is_key() && stamp(packet).is_some_and(|mark| cuts.binary_search(&mark).is_ok())
    }

    /// Takes a packet of the source. Matroska has no decoding times, and FFmpeg can work out all
    /// but the first few: those are counted back from the first one known.
    fn packet(&mut self, packet: Packet) -> Result<(), Stop> {
        if self.finder.is_some() && (packet.pts().is_none() || ffi::is_discarded(&packet)) {
            return Err(self.unfit());
        }
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
        let is_listed = self.is_listed(&packet);
        let next = self.foreseen.as_slice().first().filter(|it| Some(it.last) == stamp(&packet));
        let (dts, pts) = self.placed(dts, packet.pts());
        self.last_dts = Some(dts);
        self.end = self.end.max(pts.saturating_add(packet.duration().max(self.frame_ticks)));
        packet.set_dts(Some(dts));
        packet.set_pts(Some(pts));
        if self.finder.is_some() {
            return self.find(packet, dts);
        }
        self.push(packet, is_listed)?;
        match next {
            Some(next) => self.end_before(next),
            None => Ok(()),
        }
    }

    /// Puts the times of the next picture, as the container tells them, onto the time line.
    fn placed(&self, dts: Option<i64>, pts: Option<i64>) -> (i64, i64) {
        let floor = self.last_dts.map_or(i64::MIN, |last| last.saturating_add(1));
        let dts = dts.map_or(floor, |dts| dts.saturating_sub(self.origin)).max(floor);
        // Pictures are never shown before they are decoded, nor long after.
        let pts = pts.map_or(dts, |pts| pts.saturating_sub(self.origin));
        (dts, pts.clamp(dts, dts.saturating_add(self.reorder_max)))
    }

    /// Ends a file before the key frame that the next one begins with is here.
    fn end_before(&mut self, next: &Foreseen) -> Result<(), Stop> {
        self.foreseen.next();
        let (dts, pts) = self.placed(Some(next.decoded), Some(next.shown));
        self.tell(Some(pts), dts)?;
        self.promised = Some((dts, pts));
        match &mut self.segmenter {
            Some(segmenter) => segmenter.end_before(dts, pts),
            None => Ok(()),
        }
    }

    /// Puts a packet where it belongs as far as that is known.
    fn find(&mut self, packet: Packet, dts: i64) -> Result<(), Stop> {
        // Containers also mark pictures as keys that need earlier ones.
        let is_key = packet.is_key() && self.begins_afresh(&packet);
        let at = seconds(dts, self.time_base);
        let mut cut = self.finder.as_mut().map_or(Cut::No, |finder| finder.take(at, is_key));
        if cut == Cut::AtFirstWaiting {
            self.release_open(true)?;
            cut = self.finder.as_mut().map_or(Cut::No, |finder| finder.take(at, is_key));
        }
        match cut {
            Cut::TooFar | Cut::AtFirstWaiting => Err(self.unfit()),
            Cut::No => self.push(packet, false),
            Cut::Here => {
                self.release_open(false)?;
                self.push(packet, true)
            }
            Cut::Open => {
                if is_key {
                    self.release_open(false)?;
                }
                self.open_bytes += packet.size();
                self.open.push(packet);
                let is_much = self.open_bytes > OPEN_BYTES_MAX;
                let finder = self.finder.as_mut().filter(|_| is_much);
                match finder.is_some_and(KeyCuts::cut_at_waiting) {
                    true => self.release_open(true),
                    false => Ok(()),
                }
            }
        }
    }

    /// Lets go of those that wait; a file begins with the first of them, or doesn't.
    fn release_open(&mut self, mut begins: bool) -> Result<(), Stop> {
        self.open_bytes = 0;
        for packet in std::mem::take(&mut self.open) {
            self.push(packet, begins)?;
            begins = false;
        }
        Ok(())
    }

    fn push(&mut self, packet: Packet, begins: bool) -> Result<(), Stop> {
        // Only some were looked at before, and of a film that is still coming, none.
        if begins && !self.begins_afresh(&packet) {
            return Err(self.unfit());
        }
        let dts = packet.dts().unwrap_or(self.told);
        let shown = packet.pts().unwrap_or(dts);
        match self.promised.take() {
            Some(promised) if !begins || promised != (dts, shown) => return Err(self.unfit()),
            Some(_) => self.tell(None, dts)?,
            None => self.tell(begins.then_some(shown), dts)?,
        }
        match &mut self.segmenter {
            Some(segmenter) => segmenter.push(packet, begins),
            None => Ok(()),
        }
    }

    /// Tells of a picture that is decoded at `dts`, and of a cut where there is one. A picture to
    /// come is decoded after this one, and shown no sooner; none is shown before a cut that is
    /// decoded behind it, nor while its key frame is.
    fn tell(&mut self, cut: Option<i64>, dts: i64) -> Result<(), Stop> {
        if cut.is_some_and(|cut| cut < self.told) {
            return Err(self.unfit());
        }
        self.told = self.told.max(cut.map_or(dts, |cut| cut.saturating_add(self.frame_ticks)));
        let in_ticks = |at| rescale(at, self.time_base, TICK);
        self.pass.cuts.tell(cut.map(in_ticks), in_ticks(self.told))
    }

    fn finish(mut self, until: f64) -> Result<Found, Stop> {
        self.release_waiting(None)?;
        let found = seconds(self.end, self.time_base);
        if let Some(finder) = &mut self.finder {
            let end = found.max(until);
            let begins = finder.cuts_at_waiting(end);
            if !finder.may_end(end) || until - found > STAY_MAX {
                return Err(self.unfit());
            }
            self.release_open(begins)?;
        }
        let end = match self.segmenter.take() {
            Some(segmenter) => segmenter.finish(self.frame_ticks, until)?,
            // As it ended for whoever made it.
            None => segment::pictures_end(found, until),
        };
        Ok(Found { pictures: found, end })
    }
}
