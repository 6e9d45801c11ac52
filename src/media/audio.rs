//! The sound: decoded, resampled to AAC-LC stereo on the time line of the pictures, segmented.
//!
//! Gaps in the source's time stamps become silence and overlaps are cut, so that sound stays with
//! the pictures however the recording stuttered.

use super::ffi;
use super::ladder::AUDIO_BIT_RATE;
use super::output::OutputDir;
use super::report::{Reporter, Stop};
use super::segment::{Kept, Label, Segmenter, aac_codecs};
use super::source::Track;
use super::timeline::{Boundaries, TICK, rescale};
use crate::model::problem::ProblemCode;
use ffmpeg_next::codec::{self, Flags, packet::Packet};
use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{ChannelLayout, Error, Rational, decoder, encoder, filter, frame};

/// Samples in one packet of AAC-LC.
const FRAME_SAMPLES: u32 = 1024;

/// The sound of a job on its way. Feed packets, then call [`Sound::finish`].
pub struct Sound<'w, 'r> {
    decoder: decoder::Audio,
    time_base: Rational,
    /// The origin of the time line in microseconds of the source's own time.
    origin_us: i64,
    resampler: Option<Resampler>,
    encoder: encoder::audio::Encoder,
    rate: u32,
    segmenter: Segmenter<'w, 'r>,
    boundaries: Boundaries,
    /// Samples past which nothing is taken: the film's declared length and a little.
    horizon: i64,
    next_at: i64,
    any: bool,
}

/// Where and how the sound goes.
pub struct SoundPlan {
    /// The rendition's name.
    pub name: String,
    /// Longest segment in milliseconds.
    pub target_ms: u32,
    /// Where files begin.
    pub boundaries: Boundaries,
    /// Second of the source's own time at which the time line begins.
    pub origin: f64,
    /// Length of the film in seconds.
    pub duration: f64,
    /// What an earlier attempt has made of it.
    pub kept: Option<Kept>,
}

/// Sound may outlast the declared length by so many seconds; a time stamp hours away must not
/// become hours of silence.
const HORIZON_SLACK: f64 = 10.0;

impl<'w, 'r> Sound<'w, 'r> {
    /// Opens decoder, encoder and segmenter for a track.
    ///
    /// # Errors
    /// `DamagedMedia` if the decoder refuses the track; `OutOfMemory`; `OutOfSpace`; `Internal`.
    pub fn open(
        track: &Track,
        plan: SoundPlan,
        dir: &'w OutputDir,
        reporter: &'w Reporter<'r>,
    ) -> Result<Self, Stop> {
        let opened = ffi::open_decoder(track.parameters.clone(), track.time_base, &[])
            .map_err(|error| Stop::from_ffi(error, ProblemCode::DamagedMedia, UNREADABLE))?;
        let decoder = opened.audio().map_err(|error| stop(error.into()))?;
        let rate = if track.facts.sample_rate == 44_100 { 44_100 } else { 48_000 };
        let encoder = open_encoder(rate)?;
        let parameters = codec::Parameters::from(&encoder);
        let codecs = aac_codecs(&ffi::extradata(&parameters)).unwrap_or("mp4a.40.2".to_owned());
        let label = Label { name: plan.name, codecs, target_ms: plan.target_ms, kept: plan.kept };
        let segmenter =
            Segmenter::new(label, &parameters, Rational(1, rate as i32), dir, reporter)?;
        Ok(Self {
            decoder,
            time_base: track.time_base,
            origin_us: (plan.origin * 1e6).round() as i64,
            resampler: None,
            encoder,
            rate,
            segmenter,
            boundaries: plan.boundaries,
            horizon: ((plan.duration + HORIZON_SLACK) * f64::from(rate)) as i64,
            next_at: 0,
            any: false,
        })
    }

    /// Takes one packet of the track. Damaged ones become silence.
    ///
    /// # Errors
    /// `OutOfMemory`, `OutOfSpace`, `Internal`, `Gone`.
    pub fn packet(&mut self, packet: &Packet) -> Result<(), Stop> {
        match self.decoder.send_packet(packet) {
            Err(Error::Other { errno: libc::ENOMEM }) => Err(super::report::out_of_memory()),
            _ => self.decoded(),
        }
    }

    /// Takes what is still inside, fills up with silence to `pictures_end` (seconds) so that both
    /// last equally long, and completes the rendition. Returns how many seconds it has.
    ///
    /// # Errors
    /// As [`Sound::packet`].
    pub fn finish(mut self, pictures_end: Option<f64>) -> Result<f64, Stop> {
        if self.decoder.send_eof().is_ok() {
            self.decoded()?;
        }
        if let Some(end) = pictures_end {
            self.fill_to(end)?;
        }
        if let Some(mut resampler) = self.resampler.take() {
            let rest = resampler.finish()?;
            self.encode_all(rest)?;
        }
        if !self.any {
            return Ok(0.0);
        }
        self.encoder.send_eof().map_err(|error| stop(error.into()))?;
        self.receive()?;
        self.segmenter.finish(i64::from(FRAME_SAMPLES), 0.0)
    }

    /// Puts one packet of silence at the end; the resampler fills the gap before it.
    fn fill_to(&mut self, end: f64) -> Result<(), Stop> {
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let kind = resampler.kind;
        let (rate, length) = (f64::from(kind.rate), FRAME_SAMPLES as usize);
        let at = (end * rate) as i64 - length as i64;
        let now =
            rescale(self.next_at, Rational(1, self.rate as i32), Rational(1, kind.rate as i32));
        if at <= now || self.next_at > self.horizon {
            return Ok(());
        }
        let layout = ChannelLayout::from_bits_truncate(kind.layout);
        let mut silence = frame::Audio::new(kind.format, length, layout);
        silence.set_channels(layout.channels() as u16);
        // Unsigned bytes are the one format in which silence isn't zero.
        let quiet = if matches!(kind.format, Sample::U8(_)) { 0x80 } else { 0 };
        for plane in 0..silence.planes() {
            silence.data_mut(plane).fill(quiet);
        }
        silence.set_rate(kind.rate);
        silence.set_pts(Some(at));
        let ready = resampler.take(&silence)?;
        self.encode_all(ready)
    }

    /// Returns the second at which what has come so far ends.
    pub fn end(&self) -> f64 {
        self.next_at.min(self.horizon) as f64 / f64::from(self.rate)
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

    /// Puts decoded sound onto the time line and through the resampler.
    fn place(&mut self, mut sound: frame::Audio) -> Result<(), Stop> {
        let rate = sound.rate();
        if rate == 0 || sound.samples() == 0 {
            return Ok(());
        }
        let own = Rational(1, rate as i32);
        let at = match sound.timestamp() {
            Some(at) => {
                let origin = rescale(self.origin_us, Rational(1, 1_000_000), own);
                rescale(at, self.time_base, own).saturating_sub(origin)
            }
            None => rescale(self.next_at, Rational(1, self.rate as i32), own),
        };
        self.next_at =
            rescale(at.saturating_add(sound.samples() as i64), own, Rational(1, self.rate as i32));
        if self.next_at <= 0 || self.next_at > self.horizon {
            return Ok(());
        }
        sound.set_pts(Some(at));
        let kind = SoundKind::of(&sound);
        if self.resampler.as_ref().is_none_or(|resampler| resampler.kind != kind) {
            // Only the first one fills up to the beginning; a later one goes on where sound is.
            let begins = self.resampler.is_none();
            if let Some(mut old) = self.resampler.take() {
                let rest = old.finish()?;
                self.encode_all(rest)?;
            }
            self.resampler = Some(Resampler::new(kind, self.rate, begins)?);
        }
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let ready = resampler.take(&sound)?;
        self.encode_all(ready)
    }

    fn encode_all(&mut self, sounds: Vec<frame::Audio>) -> Result<(), Stop> {
        for sound in sounds {
            self.any = true;
            self.encoder.send_frame(&sound).map_err(|error| stop(error.into()))?;
            self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Stop> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(Error::Eof | Error::Other { errno: libc::EAGAIN }) => return Ok(()),
                Err(error) => return Err(stop(error.into())),
            }
            let at = rescale(packet.pts().unwrap_or(0), Rational(1, self.rate as i32), TICK);
            let begins = self.boundaries.begins(at);
            self.segmenter.push(packet, begins)?;
        }
    }
}

fn open_encoder(rate: u32) -> Result<encoder::audio::Encoder, Stop> {
    let codec = encoder::find_by_name("aac").ok_or_else(|| stop(ffi::FfiError::Missing))?;
    let context = codec::Context::new_with_codec(codec);
    let mut audio = context.encoder().audio().map_err(|error| stop(error.into()))?;
    audio.set_rate(rate as i32);
    audio.set_format(Sample::F32(sample::Type::Planar));
    audio.set_channel_layout(ChannelLayout::STEREO);
    audio.set_channels(2);
    audio.set_bit_rate(AUDIO_BIT_RATE as usize);
    audio.set_time_base(Rational(1, rate as i32));
    audio.set_flags(Flags::GLOBAL_HEADER);
    audio.open().map_err(|error| stop(error.into()))
}

/// What decoded sound looks like; a change needs another resampler.
#[derive(Clone, Copy, PartialEq)]
struct SoundKind {
    rate: u32,
    format: Sample,
    layout: u64,
}

impl SoundKind {
    fn of(sound: &frame::Audio) -> Self {
        let layout = match sound.channel_layout().bits() {
            0 => ChannelLayout::default(i32::from(sound.channels())).bits(),
            known => known,
        };
        Self { rate: sound.rate(), format: sound.format(), layout }
    }
}

/// A filter graph from one kind of sound to the encoder's, in packets of its size.
struct Resampler {
    graph: filter::Graph,
    kind: SoundKind,
}

impl Resampler {
    fn new(kind: SoundKind, rate: u32, begins: bool) -> Result<Self, Stop> {
        let graph = build(kind, rate, begins).map_err(|error| stop(error.into()))?;
        Ok(Self { graph, kind })
    }

    fn take(&mut self, sound: &frame::Audio) -> Result<Vec<frame::Audio>, Stop> {
        let mut input = self.graph.get("in").ok_or_else(|| stop(ffi::FfiError::Missing))?;
        input.source().add(sound).map_err(|error| stop(error.into()))?;
        self.pull()
    }

    fn finish(&mut self) -> Result<Vec<frame::Audio>, Stop> {
        let mut input = self.graph.get("in").ok_or_else(|| stop(ffi::FfiError::Missing))?;
        input.source().flush().map_err(|error| stop(error.into()))?;
        self.pull()
    }

    fn pull(&mut self) -> Result<Vec<frame::Audio>, Stop> {
        let mut output = self.graph.get("out").ok_or_else(|| stop(ffi::FfiError::Missing))?;
        let mut sounds = Vec::new();
        loop {
            let mut sound = frame::Audio::empty();
            match output.sink().frame(&mut sound) {
                Ok(()) => sounds.push(sound),
                Err(Error::Eof | Error::Other { errno: libc::EAGAIN }) => return Ok(sounds),
                Err(error) => return Err(stop(error.into())),
            }
        }
    }
}

fn build(kind: SoundKind, rate: u32, begins: bool) -> Result<filter::Graph, Error> {
    let (source, sink) = match (filter::find("abuffer"), filter::find("abuffersink")) {
        (Some(source), Some(sink)) => (source, sink),
        _ => return Err(Error::FilterNotFound),
    };
    let mut graph = filter::Graph::new();
    ffi::single_thread(&mut graph);
    let arguments = format!(
        "time_base=1/{0}:sample_rate={0}:sample_fmt={1}:channel_layout=0x{2:x}",
        kind.rate,
        kind.format.name(),
        kind.layout
    );
    graph.add(&source, "in", &arguments)?;
    let mut output = graph.add(&sink, "out", "")?;
    let first = if begins { ":first_pts=0" } else { "" };
    // Up to 30 ms are left alone: containers that count milliseconds jitter, and a viewer notices
    // nothing below 40.
    let filters = format!(
        "aresample={rate}:async=1:min_hard_comp=0.03{first},\
         aformat=sample_fmts=fltp:sample_rates={rate}:channel_layouts=stereo"
    );
    graph.output("in", 0)?.input("out", 0)?.parse(&filters)?;
    graph.validate()?;
    output.sink().set_frame_size(FRAME_SAMPLES);
    Ok(graph)
}

const UNREADABLE: &str = "The sound in the file can't be read.";

fn stop(error: ffi::FfiError) -> Stop {
    Stop::from_ffi(error, ProblemCode::Internal, "The sound couldn't be converted.")
}
