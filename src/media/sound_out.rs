//! One rendition of sound: resampled, mixed to its channels, encoded as AAC-LC, cut into files.
//!
//! What is encoded waits until the pictures have got as far: only then is it known that they go on
//! and that the sound will too.

use super::ffi;
use super::output::OutputDir;
use super::report::{Reporter, Stop};
use super::segment::{Kept, Label, Segmenter, aac_codecs};
use super::timeline::{Boundaries, TICK, rescale};
use super::waveform::Peaks;
use crate::model::problem::ProblemCode;
use crate::model::rendition::{RenditionPlan, SoundLayout};
use ffmpeg_next::codec::{self, Flags, packet::Packet};
use ffmpeg_next::format::{Sample, sample};
use ffmpeg_next::{ChannelLayout, Error, Rational, encoder, filter, frame};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Samples in one packet of AAC-LC.
const FRAME_SAMPLES: u32 = 1024;

/// Bytes that may wait for their pictures: half an hour, for files that hold all of their sound
/// before their pictures. What is more goes out unasked.
pub const WAITING_BYTES_MAX: usize = 32 << 20;

/// Where and how a rendition goes.
pub struct SoundPlan<'p> {
    /// What it is.
    pub rendition: &'p RenditionPlan,
    /// Samples a second.
    pub rate: u32,
    /// Longest segment in milliseconds.
    pub target_ms: u32,
    /// What an earlier attempt has made of it.
    pub kept: Option<Kept>,
    /// Where files begin.
    pub boundaries: Boundaries,
    /// Filters at the end of the mixing, each after a comma; empty for none.
    pub filters: String,
    /// Where its loudness over time is collected, if that is wanted.
    pub peaks: Option<SharedPeaks>,
}

/// Peaks that whoever made the plan reads when the sound is complete.
pub type SharedPeaks = Arc<Mutex<Peaks>>;

/// A rendition on its way.
pub struct SoundOut<'w, 'r> {
    mixing: Mixing,
    filters: String,
    peaks: Option<SharedPeaks>,
    resampler: Option<Resampler>,
    encoder: encoder::audio::Encoder,
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    segmenter: Segmenter<'w, 'r>,
    boundaries: Boundaries,
    /// Where what the encoder has got ends, in samples.
    encoded: i64,
}

impl<'w, 'r> SoundOut<'w, 'r> {
    /// Opens encoder and segmenter.
    ///
    /// # Errors
    /// `OutOfMemory`; `OutOfSpace`; `Internal`.
    pub fn open(
        plan: SoundPlan<'_>,
        dir: &'w OutputDir,
        reporter: &'w Reporter<'r>,
    ) -> Result<Self, Stop> {
        let mixing = Mixing { rate: plan.rate, layout: plan.rendition.layout() };
        let encoder = open_encoder(mixing, plan.rendition.bandwidth_cap)?;
        let parameters = codec::Parameters::from(&encoder);
        let codecs = aac_codecs(&ffi::extradata(&parameters)).unwrap_or("mp4a.40.2".to_owned());
        let label = Label {
            name: plan.rendition.name.clone(),
            codecs,
            target_ms: plan.target_ms,
            kept: plan.kept,
        };
        let time_base = Rational(1, plan.rate as i32);
        Ok(Self {
            mixing,
            filters: plan.filters,
            peaks: plan.peaks,
            resampler: None,
            encoder,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            segmenter: Segmenter::new(label, &parameters, time_base, dir, reporter)?,
            boundaries: plan.boundaries,
            encoded: 0,
        })
    }

    /// Takes decoded sound whose time stamp counts its own samples on the time line.
    ///
    /// # Errors
    /// `OutOfMemory`, `OutOfSpace`, `Internal`, `Gone`.
    pub fn take(&mut self, sound: &frame::Audio) -> Result<(), Stop> {
        let kind = SoundKind::of(sound);
        if self.resampler.as_ref().is_none_or(|resampler| resampler.kind != kind) {
            if let Some(mut old) = self.resampler.take() {
                // The encoder takes a short packet only at its end. What is lost, 21 ms at most,
                // the next one fills up with silence, as it begins where whole packets end.
                let rest = old.finish()?.into_iter();
                self.encode_all(rest.filter(|it| it.samples() == FRAME_SAMPLES as usize))?;
            }
            let begins = Some(self.encoded);
            self.resampler = Some(Resampler::new(kind, self.mixing, begins, &self.filters)?);
        }
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let ready = resampler.take(sound)?;
        self.encode_all(ready)
    }

    /// Lets out what ends before a sample, as far as is known where files begin.
    ///
    /// # Errors
    /// `OutOfSpace`, `Internal`, `Gone`.
    pub fn release(&mut self, until: i64) -> Result<(), Stop> {
        let own = Rational(1, self.mixing.rate as i32);
        self.release_all(until.saturating_sub(rescale(self.boundaries.early(), TICK, own)))
    }

    fn release_all(&mut self, until: i64) -> Result<(), Stop> {
        while let Some(packet) = self.waiting.front() {
            let at = packet.pts().unwrap_or(0);
            let ends_at = at.saturating_add(i64::from(FRAME_SAMPLES));
            if ends_at > until && self.waiting_bytes <= WAITING_BYTES_MAX {
                return Ok(());
            }
            self.release_one()?;
        }
        Ok(())
    }

    fn release_one(&mut self) -> Result<(), Stop> {
        if let Some(packet) = self.waiting.pop_front() {
            self.waiting_bytes -= packet.size();
            let at = packet.pts().unwrap_or(0);
            let end = at.saturating_add(packet.duration());
            let in_ticks = |at| rescale(at, Rational(1, self.mixing.rate as i32), TICK);
            let begins = self.boundaries.begins(in_ticks(at))?;
            self.segmenter.push(packet, begins)?;
            // The encoder's packets follow each other without a gap.
            if self.boundaries.would_begin(in_ticks(end))? {
                self.segmenter.end_before(end, end)?;
            }
        }
        Ok(())
    }

    /// Completes the rendition, which ends with the sample `end`. Returns how many seconds it has.
    ///
    /// # Errors
    /// As [`SoundOut::take`].
    pub fn finish(mut self, end: i64) -> Result<f64, Stop> {
        if let Some(mut resampler) = self.resampler.take() {
            let rest = resampler.finish()?;
            self.encode_all(rest)?;
        }
        if self.encoded == 0 {
            return Ok(0.0);
        }
        self.encoder.send_eof().map_err(|error| stop(error.into()))?;
        self.receive()?;
        self.release_all(end)?;
        // Of the packet at the end only the beginning is played.
        if let Some(last) = self.waiting.front_mut() {
            let left = end.saturating_sub(last.pts().unwrap_or(0));
            if left > 0 {
                last.set_duration(left);
                self.release_one()?;
            }
        }
        self.segmenter.finish(i64::from(FRAME_SAMPLES), 0.0)
    }

    fn encode_all(&mut self, sounds: impl IntoIterator<Item = frame::Audio>) -> Result<(), Stop> {
        for sound in sounds {
            let at = sound.pts().unwrap_or(self.encoded);
            self.encoded = at.saturating_add(sound.samples() as i64);
            if let Some(peaks) = &self.peaks {
                peaks.lock().unwrap_or_else(PoisonError::into_inner).take(&sound);
            }
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
            self.waiting_bytes += packet.size();
            self.waiting.push_back(packet);
        }
    }
}

/// What comes out of the resampler.
#[derive(Clone, Copy)]
pub struct Mixing {
    /// Samples a second.
    pub rate: u32,
    /// Which channels.
    pub layout: SoundLayout,
}

impl Mixing {
    fn channels(self) -> ChannelLayout {
        match self.layout {
            SoundLayout::Stereo | SoundLayout::Low => ChannelLayout::STEREO,
            SoundLayout::Surround => ChannelLayout::_5POINT1_BACK,
        }
    }

    /// FFmpeg's name of the channels.
    fn name(self) -> &'static str {
        match self.layout {
            SoundLayout::Stereo | SoundLayout::Low => "stereo",
            SoundLayout::Surround => "5.1",
        }
    }
}

fn open_encoder(mixing: Mixing, bit_rate: u64) -> Result<encoder::audio::Encoder, Stop> {
    let codec = encoder::find_by_name("aac").ok_or_else(|| stop(ffi::FfiError::Missing))?;
    let context = codec::Context::new_with_codec(codec);
    let mut audio = context.encoder().audio().map_err(|error| stop(error.into()))?;
    audio.set_rate(mixing.rate as i32);
    audio.set_format(Sample::F32(sample::Type::Planar));
    audio.set_channel_layout(mixing.channels());
    audio.set_channels(mixing.channels().channels());
    audio.set_bit_rate(bit_rate as usize);
    audio.set_time_base(Rational(1, mixing.rate as i32));
    audio.set_flags(Flags::GLOBAL_HEADER);
    audio.open().map_err(|error| stop(error.into()))
}

/// What decoded sound looks like; a change needs another resampler.
#[derive(Clone, Copy, PartialEq)]
pub struct SoundKind {
    /// Samples a second.
    pub rate: u32,
    /// How a sample is stored.
    pub format: Sample,
    /// FFmpeg's bits for the channels; 0 if nobody says what they are.
    pub layout: u64,
    /// How many there are.
    pub channels: u16,
}

impl SoundKind {
    /// Reads the kind of decoded sound.
    pub fn of(sound: &frame::Audio) -> Self {
        let layout = match sound.channel_layout().bits() {
            0 => ChannelLayout::default(i32::from(sound.channels())).bits(),
            known => known,
        };
        Self { rate: sound.rate(), format: sound.format(), layout, channels: sound.channels() }
    }

    /// Makes so many samples of silence.
    pub fn silence(self, samples: usize) -> frame::Audio {
        let layout = ChannelLayout::from_bits_truncate(self.layout);
        let mut silence = frame::Audio::new(self.format, samples, layout);
        silence.set_channels(self.channels);
        // Unsigned bytes are the one format in which silence isn't zero.
        let quiet = if matches!(self.format, Sample::U8(_)) { 0x80 } else { 0 };
        for plane in 0..silence.planes() {
            silence.data_mut(plane).fill(quiet);
        }
        silence.set_rate(self.rate);
        silence
    }
}

/// A filter graph from one kind of sound to the encoder's, in packets of its size.
pub struct Resampler {
    graph: filter::Graph,
    /// What it takes.
    pub kind: SoundKind,
}

impl Resampler {
    /// Builds the graph, with more `filters` at its end. `begins`: what comes out begins at this
    /// sample, with silence if need be.
    ///
    /// # Errors
    /// `OutOfMemory`; `Internal` if the libraries lack a filter.
    pub fn new(
        kind: SoundKind,
        mixing: Mixing,
        begins: Option<i64>,
        filters: &str,
    ) -> Result<Self, Stop> {
        let graph = build(kind, mixing, begins, filters).map_err(|error| stop(error.into()))?;
        Ok(Self { graph, kind })
    }

    /// Takes sound of its kind and returns what is ready.
    ///
    /// # Errors
    /// `OutOfMemory`; `Internal`.
    pub fn take(&mut self, sound: &frame::Audio) -> Result<Vec<frame::Audio>, Stop> {
        let mut input = self.graph.get("in").ok_or_else(|| stop(ffi::FfiError::Missing))?;
        let own = ffi::share_sound(sound).map_err(stop)?;
        input.source().add(&own).map_err(|error| stop(error.into()))?;
        self.pull()
    }

    /// Returns what is still inside.
    ///
    /// # Errors
    /// As [`Resampler::take`].
    pub fn finish(&mut self) -> Result<Vec<frame::Audio>, Stop> {
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

fn build(
    kind: SoundKind,
    mixing: Mixing,
    begins: Option<i64>,
    filters: &str,
) -> Result<filter::Graph, Error> {
    let (source, sink) = match (filter::find("abuffer"), filter::find("abuffersink")) {
        (Some(source), Some(sink)) => (source, sink),
        _ => return Err(Error::FilterNotFound),
    };
    let mut graph = filter::Graph::new();
    ffi::set_threads(&mut graph, 1);
    let channels = match kind.layout {
        0 => format!("channels={}", kind.channels),
        layout => format!("channel_layout=0x{layout:x}"),
    };
    let arguments = format!(
        "time_base=1/{0}:sample_rate={0}:sample_fmt={1}:{channels}",
        kind.rate,
        kind.format.name(),
    );
    graph.add(&source, "in", &arguments)?;
    let mut output = graph.add(&sink, "out", "")?;
    // FFmpeg counts this in samples of what goes in.
    let own = |at| rescale(at, Rational(1, mixing.rate as i32), Rational(1, kind.rate as i32));
    let first = begins.map_or(String::new(), |at| format!(":first_pts={}", own(at)));
    // Of channels that nobody says anything about, the first two are taken for left and right.
    let pick = if kind.layout == 0 { "pan=stereo|c0=c0|c1=c1," } else { "" };
    let (rate, layout) = (mixing.rate, mixing.name());
    // Up to 30 ms are left alone: containers that count milliseconds jitter, and a viewer notices
    // nothing below 40.
    let format = format!("aformat=sample_fmts=fltp:sample_rates={rate}:channel_layouts={layout}");
    let again = if filters.is_empty() { String::new() } else { format!("{filters},{format}") };
    let filters =
        format!("{pick}aresample={rate}:async=1:min_hard_comp=0.03{first},{format}{again}");
    graph.output("in", 0)?.input("out", 0)?.parse(&filters)?;
    graph.validate()?;
    output.sink().set_frame_size(FRAME_SAMPLES);
    Ok(graph)
}

fn stop(error: ffi::FfiError) -> Stop {
    Stop::from_ffi(error, ProblemCode::Internal, "The sound couldn't be converted.")
}
