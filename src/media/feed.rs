//! The source's end of the encoding pass: decodes, treats pictures, marks those that begin a
//! segment, and hands them to the largest rung.
//!
//! Where nothing can be played yet, the smallest rung and the sound get a head start: the film's
//! beginning is read for them alone, as far as a first segment needs, and then the film is read
//! from its start for all. Encoders and sounds live through both readings and take of the second
//! what follows the first; as pictures go the same way both times, nobody can tell by the result.
//! To hold the pictures of those seconds instead of decoding them twice would take half a
//! gigabyte; to bring them to the smallest size at once would be faster, and could be seen, where
//! high dynamic range is brought down after that instead of before.

use super::decode::{Begin, PictureDecoder};
use super::ffi;
use super::picture::{Treater, Treatment};
use super::probe::check_duration;
use super::report::{Meter, Stop, out_of_memory};
use super::rungs::{Found, Inlet, Pass, Passed, Picture, Reach};
use super::segment::APART;
use super::sounds::Sounds;
use super::source::{Source, Track};
use super::spans;
use super::timeline::{Boundaries, SLACK, TICKS, seconds, ticks};
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::frame;

/// Seconds by which a head start goes on for sound that lies behind its pictures in the file.
const BEHIND_MAX: f64 = 2.0;

/// An opened source and where in it the pictures begin.
pub struct Opened<'w, 'r> {
    /// The source, at a key frame.
    pub source: Source,
    /// The first picture that is wanted.
    pub begin: Begin,
    /// What is made of its sound, read from the start.
    pub sounds: Sounds<'w, 'r>,
    /// What comes first, if anything does.
    pub head_start: Option<HeadStart>,
}

/// What is done first, so that something can be played.
pub struct HeadStart {
    /// The source once more, at its start.
    pub source: Source,
    /// Name of the smallest rung.
    pub rung: String,
    /// Names of the sounds that have no segment yet.
    pub sounds: Vec<String>,
}

/// Decodes the source and hands treated pictures to the rungs, sound to what is made of it.
///
/// # Errors
/// As [`super::rungs::encode_pass`].
pub fn feed<'r>(
    pass: Pass<'_, 'r>,
    opened: Opened<'_, '_>,
    inlet: Inlet,
    boundaries: Boundaries,
    meter: &Meter<'_, 'r>,
) -> Result<Found, Stop> {
    let Opened { mut source, begin, mut sounds, head_start } = opened;
    if let Some(head_start) = head_start {
        run_ahead(pass, head_start, inlet.clone(), boundaries.clone(), &mut sounds)?;
        sounds.begin_again();
    }
    let Some(track) = source.video.take() else { return Ok(Found::default()) };
    let mut decoder = open_decoder(pass, &track, begin)?;
    let mut feeder = Feeder::new(pass, &track, begin, boundaries, inlet);
    feeder.meter = Some(meter);
    while !feeder.is_done
        && let Some(packet) = source.next_packet()
    {
        pass.reporter.beat()?;
        feeder.take(&packet, &mut decoder, &mut sounds)?;
    }
    decoder.decode(None, &mut |picture| feeder.picture(picture))?;
    let found = feeder.finish(sounds.drain()?.max(pass.until()?))?;
    sounds.finish(Some(found.end))?;
    Ok(found)
}

/// Reads the source until the smallest rung and the sounds have told of a segment, or to its end.
fn run_ahead(
    pass: Pass<'_, '_>,
    head_start: HeadStart,
    inlet: Inlet,
    boundaries: Boundaries,
    sounds: &mut Sounds<'_, '_>,
) -> Result<(), Stop> {
    let HeadStart { mut source, rung, sounds: awaited } = head_start;
    let Some(track) = source.video.take() else { return Ok(()) };
    let mut decoder = open_decoder(pass, &track, Begin::AtStart)?;
    let mut feeder = Feeder::new(pass, &track, Begin::AtStart, boundaries, inlet);
    feeder.ahead = true;
    let has_begun = |name: &String| pass.reporter.has_told_of(name);
    // Second past which the sounds aren't waited for.
    let mut until: Option<f64> = None;
    loop {
        if has_begun(&rung) {
            let until = *until.get_or_insert(feeder.seconds + BEHIND_MAX);
            if feeder.seconds > until || awaited.iter().all(has_begun) {
                return Ok(());
            }
        }
        let Some(packet) = source.next_packet() else { return Ok(()) };
        pass.reporter.beat()?;
        feeder.take(&packet, &mut decoder, sounds)?;
    }
}

fn open_decoder(pass: Pass<'_, '_>, track: &Track, begin: Begin) -> Result<PictureDecoder, Stop> {
    PictureDecoder::open(track, &pass.order.limits, pass.order.encode.threads, begin)
}

/// Treats decoded pictures and marks those that begin a segment.
struct Feeder<'f, 'm, 'w, 'r> {
    pass: Pass<'w, 'r>,
    /// The pictures' number in the container.
    index: usize,
    interlaced: bool,
    treater: Option<Treater>,
    boundaries: Boundaries,
    begin: Begin,
    inlet: Inlet,
    /// The pictures are for the smallest rung alone.
    ahead: bool,
    /// Tells how far the work is.
    meter: Option<&'f Meter<'m, 'r>>,
    /// Where the pictures end so far.
    seconds: f64,
    /// The picture before, in case it has to be shown again.
    last: Option<frame::Video>,
    /// The ordered span has all its pictures.
    is_done: bool,
}

impl<'w, 'r> Feeder<'_, '_, 'w, 'r> {
    fn new(
        pass: Pass<'w, 'r>,
        track: &Track,
        begin: Begin,
        boundaries: Boundaries,
        inlet: Inlet,
    ) -> Self {
        let interlaced = track.facts.field_order > 1;
        Self {
            pass,
            index: track.index,
            interlaced,
            treater: None,
            boundaries,
            begin,
            inlet,
            ahead: false,
            meter: None,
            seconds: 0.0,
            last: None,
            is_done: false,
        }
    }

    /// Hands a packet on: to the decoder, whose pictures it takes, or to the sounds.
    fn take(
        &mut self,
        packet: &Packet,
        decoder: &mut PictureDecoder,
        sounds: &mut Sounds<'_, '_>,
    ) -> Result<(), Stop> {
        if packet.stream() != self.index {
            return sounds.packet(packet);
        }
        decoder.decode(Some(packet), &mut |picture| self.picture(picture))?;
        sounds.pictures_at(self.seconds)
    }

    fn picture(&mut self, picture: frame::Video) -> Result<(), Stop> {
        let at = seconds(picture.pts().unwrap_or(0));
        // The declared length may be a lie; what really comes counts.
        check_duration(at, self.pass.order)?;
        self.meter.map_or(Ok(()), |meter| meter.reached(at))?;
        let treated = match self.treater.as_mut() {
            Some(treater) => treater.treat(picture)?,
            None => self.begin(picture)?,
        };
        self.send(treated)
    }

    /// Builds the treatment from the first picture.
    fn begin(&mut self, picture: frame::Video) -> Result<Vec<frame::Video>, Stop> {
        let (width, height) = self.inlet.size;
        let treatment = Treatment {
            orientation: self.pass.probe.orientation,
            deinterlace: self.interlaced || picture.is_interlaced(),
            tone_map: self.pass.probe.hdr,
            width,
            height,
            format: "yuv420p",
            threads: self.pass.order.encode.threads,
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
            if self.is_beyond(at)? {
                break;
            }
            self.repeat_until(at)?;
            self.last = Some(ffi::share(&frame).map_err(|_| out_of_memory())?);
            self.send_one(frame, at)?;
        }
        Ok(())
    }

    /// Says whether the ordered span ends before `at`, and ends it there the first time.
    fn is_beyond(&mut self, at: i64) -> Result<bool, Stop> {
        let Some(reach) = self.pass.reach else { return Ok(false) };
        let is_late = at - reach.span.from >= self.frame_ticks();
        if self.last.is_none() && is_late && !reach.span.is_first() {
            // Where a picture of the span before would be shown once more.
            return Err(spans::uncut(self.pass.reporter));
        }
        let Some(until) = reach.span.until.filter(|until| at >= until - SLACK) else {
            return Ok(false);
        };
        if !self.is_done {
            self.repeat_until(until)?;
            self.is_done = true;
            // Each pass has its own, and but one feeder that gets here.
            let _ = reach.end.set(at);
        }
        Ok(true)
    }

    fn send_one(&mut self, frame: frame::Video, at: i64) -> Result<(), Stop> {
        self.seconds = seconds(at) + 1.0 / self.frame_rate();
        let begins = self.boundaries.begins(at)?;
        self.inlet
            .queue
            .send(Passed::Picture(Picture { frame, begins, ahead: self.ahead }))
            .map_err(|_| Stop::Neighbour)
    }

    /// Shows the last picture again at every boundary before `at`: a film may stand still for
    /// minutes, and its segments must not.
    fn repeat_until(&mut self, at: i64) -> Result<(), Stop> {
        while let Some(boundary) = self.boundaries.next_before(at)? {
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
        if let Some(Reach { span, .. }) = self.pass.reach {
            // It has to end before the film does, and to begin.
            let is_whole = span.until.is_none() || self.is_done;
            if !is_whole || self.last.is_none() {
                return Err(spans::uncut(self.pass.reporter));
            }
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
        if self.is_done {
            return Ok(Found { pictures, end: pictures });
        }
        // The last picture lasts as long as any, so it's shown once more that long before the end.
        if until - pictures > APART {
            let last_at = ticks(pictures).max(ticks(until) - self.frame_ticks());
            self.repeat_until(last_at)?;
            self.repeat_at(last_at)?;
        }
        Ok(Found { pictures, end: self.seconds })
    }
}
