//! One sound track: decoded, put on the time line of the pictures, handed to each rendition that
//! is made of it.
//!
//! Gaps in the source's time stamps become silence and overlaps are cut, so that sound stays with
//! the pictures however the recording stuttered.

use super::ffi;
use super::report::{Reporter, Stop, out_of_memory};
use super::sound_out::{SoundKind, SoundOut};
use super::source::Track;
use super::timeline::rescale;
use crate::model::problem::ProblemCode;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{ChannelLayout, Error, Rational, decoder, frame};

/// Sound may outlast the declared length by so many seconds; a time stamp hours away must not
/// become hours of silence.
const HORIZON_SLACK: f64 = 10.0;

/// Seconds of silence that are made at once; a long gap mustn't fill memory.
const SILENCE_STEP: f64 = 1.0;

/// Gaps up to this many seconds are left to the resampler, which knows what jitter is.
const GAP_MIN: f64 = 0.1;

/// How many seconds sound may lie behind its pictures in the file. What hasn't come by then is
/// taken to be silence, so that a sound that begins late doesn't keep a film from being played.
const BEHIND_MAX: f64 = 30.0;

/// Sound that was cut off by more than this many seconds is worth a warning.
const CUT_WORTH_TELLING: f64 = 1.0;

/// Where a track lies in time.
#[derive(Clone, Copy, Debug)]
pub struct Placing {
    /// Second of the source's own time at which the time line begins.
    pub origin: f64,
    /// Length of the film in seconds.
    pub duration: f64,
    /// There are pictures that the sound has to stay with.
    pub has_pictures: bool,
}

/// A track on its way. Feed packets, then call [`Sound::finish`].
pub struct Sound<'w, 'r> {
    decoder: decoder::Audio,
    time_base: Rational,
    /// The origin of the time line in microseconds of the source's own time.
    origin_us: i64,
    rate: u32,
    /// What the sound looks like that came last.
    kind: Option<SoundKind>,
    outs: Vec<SoundOut<'w, 'r>>,
    has_pictures: bool,
    /// Samples past which nothing is taken: the film's declared length and a little.
    horizon: i64,
    /// Sample at which the next sound is expected.
    next_at: i64,
    reporter: &'w Reporter<'r>,
}

/// Returns the samples a second in which a track is published.
pub fn rate_of(track: &Track) -> u32 {
    if track.facts.sample_rate == 44_100 { 44_100 } else { 48_000 }
}

/// Tells of sound that was cut off by so many seconds, if that is worth it.
///
/// # Errors
/// `Gone`.
pub fn tell_cut(reporter: &Reporter<'_>, seconds: f64) -> Result<(), Stop> {
    if seconds <= CUT_WORTH_TELLING {
        return Ok(());
    }
    let detail =
        format!("The sound goes on {seconds:.0} seconds after the last picture; it was cut.");
    reporter.warn("sound-cut", detail)
}

impl<'w, 'r> Sound<'w, 'r> {
    /// Opens the decoder for a track of which `outs` are made.
    ///
    /// # Errors
    /// `DamagedMedia` if the decoder refuses the track; `OutOfMemory`.
    pub fn open(
        track: &Track,
        placing: Placing,
        outs: Vec<SoundOut<'w, 'r>>,
        reporter: &'w Reporter<'r>,
    ) -> Result<Self, Stop> {
        let opened = ffi::open_decoder(track.parameters.clone(), track.time_base, &[])
            .map_err(|error| Stop::from_ffi(error, ProblemCode::DamagedMedia, UNREADABLE))?;
        let unreadable =
            |error: Error| Stop::from_ffi(error.into(), ProblemCode::DamagedMedia, UNREADABLE);
        let rate = rate_of(track);
        Ok(Self {
            decoder: opened.audio().map_err(unreadable)?,
            time_base: track.time_base,
            origin_us: (placing.origin * 1e6).round() as i64,
            rate,
            kind: None,
            outs,
            has_pictures: placing.has_pictures,
            horizon: ((placing.duration + HORIZON_SLACK) * f64::from(rate)) as i64,
            next_at: 0,
            reporter,
        })
    }

    /// Takes one packet of the track. Damaged ones become silence.
    ///
    /// # Errors
    /// `OutOfMemory`, `OutOfSpace`, `Internal`, `Gone`.
    pub fn packet(&mut self, packet: &Packet) -> Result<(), Stop> {
        match self.decoder.send_packet(packet) {
            Err(Error::Other { errno: libc::ENOMEM }) => Err(out_of_memory()),
            _ => self.decoded(),
        }
    }

    /// Hears that the pictures have got to this second: sound up to there can be published.
    ///
    /// # Errors
    /// As [`Sound::packet`].
    pub fn pictures_at(&mut self, seconds: f64) -> Result<(), Stop> {
        let late = self.samples(seconds - BEHIND_MAX);
        if late > self.next_at + self.samples(SILENCE_STEP) {
            self.silence(late)?;
        }
        let until = self.samples(seconds);
        self.outs.iter_mut().try_for_each(|out| out.release(until))
    }

    /// Takes what the decoder still holds, and returns the second at which the sound ends.
    ///
    /// # Errors
    /// As [`Sound::packet`].
    pub fn drain(&mut self) -> Result<f64, Stop> {
        if self.decoder.send_eof().is_ok() {
            self.decoded()?;
        }
        Ok(self.next_at as f64 / f64::from(self.rate))
    }

    /// Completes the renditions of a drained track, with exactly the length of the pictures if
    /// there are any: silence fills up, and what comes after is cut off. Returns how many seconds
    /// there are.
    ///
    /// # Errors
    /// As [`Sound::packet`].
    pub fn finish(mut self, pictures_end: Option<f64>) -> Result<f64, Stop> {
        let end = pictures_end.map_or(self.next_at, |seconds| self.samples(seconds));
        let cut = (self.next_at - end) as f64 / f64::from(self.rate);
        self.silence(end.min(self.horizon))?;
        tell_cut(self.reporter, cut)?;
        let mut longest: f64 = 0.0;
        for out in self.outs {
            longest = longest.max(out.finish(end)?);
        }
        Ok(longest)
    }

    fn samples(&self, seconds: f64) -> i64 {
        (seconds * f64::from(self.rate)).round() as i64
    }

    fn decoded(&mut self) -> Result<(), Stop> {
        loop {
            let mut sound = frame::Audio::empty();
            if self.decoder.receive_frame(&mut sound).is_err() {
                return Ok(());
            }
            self.place(sound)?;
        }
    }

    /// Puts decoded sound onto the time line and hands it on.
    fn place(&mut self, mut sound: frame::Audio) -> Result<(), Stop> {
        let rate = sound.rate();
        if rate == 0 || sound.samples() == 0 {
            return Ok(());
        }
        let (own, common) = (Rational(1, rate as i32), Rational(1, self.rate as i32));
        let at = match sound.timestamp() {
            Some(at) => {
                let origin = rescale(self.origin_us, Rational(1, 1_000_000), own);
                rescale(at, self.time_base, own).saturating_sub(origin)
            }
            None => rescale(self.next_at, common, own),
        };
        let end = rescale(at.saturating_add(sound.samples() as i64), own, common);
        if end <= 0 || end > self.horizon {
            return Ok(());
        }
        self.kind = Some(SoundKind::of(&sound));
        let begins = rescale(at, own, common);
        if begins > self.next_at + self.samples(GAP_MIN) {
            self.silence(begins)?;
        }
        sound.set_pts(Some(at));
        self.next_at = self.next_at.max(end);
        self.hand_on(&sound)
    }

    fn hand_on(&mut self, sound: &frame::Audio) -> Result<(), Stop> {
        for out in &mut self.outs {
            out.take(sound)?;
            if !self.has_pictures {
                out.release(i64::MAX)?;
            }
        }
        Ok(())
    }

    /// Fills up with silence to a sample, of the kind that came last.
    fn silence(&mut self, until: i64) -> Result<(), Stop> {
        let kind = self.kind.unwrap_or(SoundKind {
            rate: self.rate,
            format: Sample::F32(sample::Type::Planar),
            layout: ChannelLayout::STEREO.bits(),
            channels: 2,
        });
        let (common, own) = (Rational(1, self.rate as i32), Rational(1, kind.rate as i32));
        let end = rescale(until, common, own);
        let mut at = rescale(self.next_at, common, own);
        let step = (f64::from(kind.rate) * SILENCE_STEP) as i64;
        while at < end {
            let length = step.min(end - at);
            let mut silence = kind.silence(length as usize);
            silence.set_pts(Some(at));
            self.hand_on(&silence)?;
            at += length;
            self.next_at = self.next_at.max(rescale(at, own, common));
        }
        Ok(())
    }
}

const UNREADABLE: &str = "The sound in the file can't be read.";
