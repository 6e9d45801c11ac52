//! The source: the container that was found in its bytes, and the tracks that are used of it.
//!
//! Nothing here knows a path, and nothing that FFmpeg reads can make it open anything else: the
//! demuxer is chosen from the first bytes, its name is the whole whitelist, and opening is refused.

use super::ffi::{self, FfiError, StreamFacts};
use super::index;
use super::report::{Ruler, Stop};
use super::sniff::{self, Container};
use super::source_file::{Reader, SourceFile};
use super::texts::{Aside, TextStreams};
use super::tracks::{SoundTracks, choose_sounds};
use crate::model::problem::ProblemCode;
use crate::model::video::SoundFacts;
use crate::wire::Limits;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::codec::{self, Parameters};
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::stream::{Disposition, Stream};
use ffmpeg_next::{Error, Rational, decoder, media};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Decoders that may be opened, by FFmpeg's names: what cameras, phones, browsers and editors
/// write. FFmpeg has ten times as many; the exotic ones are where the holes are.
const PICTURE_DECODERS: [&str; 15] = [
    "h264",
    "hevc",
    "vp8",
    "vp9",
    "libdav1d",
    "av1",
    "mpeg4",
    "mpeg2video",
    "mpeg1video",
    "mjpeg",
    "prores",
    "dnxhd",
    "theora",
    "h263",
    "flv",
];
const SOUND_DECODERS: [&str; 29] = [
    "aac",
    "mp3float",
    "mp3",
    "mp2float",
    "mp2",
    "ac3",
    "eac3",
    "opus",
    "vorbis",
    "flac",
    "alac",
    "amrnb",
    "amrwb",
    "pcm_s16le",
    "pcm_s16be",
    "pcm_s24le",
    "pcm_s24be",
    "pcm_s32le",
    "pcm_s32be",
    "pcm_f32le",
    "pcm_f32be",
    "pcm_f64le",
    "pcm_u8",
    "pcm_s8",
    "pcm_mulaw",
    "pcm_alaw",
    "adpcm_ima_qt",
    "adpcm_ima_wav",
    "adpcm_ms",
];

/// Bytes and microseconds that FFmpeg may read to learn what the streams are.
const PROBE_BYTES: u64 = 16 << 20;
const PROBE_MICROSECONDS: u64 = 10_000_000;

/// Size of the reading buffer; large, because every read is a system call.
const READ_BYTES: usize = 256 << 10;

/// Errors in a row after which a file is taken to have ended.
const READ_ERRORS_MAX: u32 = 100;

/// One stream that is worth reading.
pub struct Track {
    /// Its number in the container.
    pub index: usize,
    /// Seconds in one tick of its time stamps.
    pub time_base: Rational,
    /// Its codec.
    pub codec: codec::Id,
    /// What its parameters say.
    pub facts: StreamFacts,
    /// Time stamp of what is shown first, if known.
    pub start: Option<i64>,
    /// Length in ticks, if known.
    pub duration: Option<i64>,
    /// How many packets the container counts, 0 unknown.
    pub packets: i64,
    /// Pictures a second on average; 0 unknown.
    pub frame_rate: f64,
    /// Everything that a decoder or muxer needs.
    pub parameters: Parameters,
}

/// An open container and the tracks that are used of it.
pub struct Source {
    /// The demuxer; streams other than the tracks below are skipped.
    pub input: Input,
    /// What the first bytes said.
    pub container: Container,
    /// It was made to be read from its start on, with nothing that tells where all of it lies.
    pub is_streamed: bool,
    /// The place that was read last.
    place: Arc<AtomicU64>,
    /// What it was opened from.
    file: SourceFile,
    /// The pictures.
    pub video: Option<Track>,
    /// The sound tracks, the default one first.
    pub sounds: Vec<Track>,
    /// What there is to say of each of them.
    pub sound_facts: Vec<SoundFacts>,
    /// Sound begins well before the pictures, so the first of them is held.
    pub early_sound: bool,
    /// Sound is there, and none of it can be read.
    pub audio_unreadable: bool,
    /// Length in seconds as the container declares it.
    pub duration: Option<f64>,
    /// The text tracks; their packets are skipped unless they're put aside.
    pub texts: TextStreams,
    /// Where packets of text go.
    aside: Option<Aside>,
}

impl Source {
    /// Opens the container from its start, within `limits`. One that is streamed can't be searched
    /// while some of it isn't here: its demuxer would look at its end first, and wait for that.
    ///
    /// # Errors
    /// `UnsupportedMedia` for anything but a film or sound in the listed formats; `DamagedMedia`
    /// if it begins as one and can't be read; `TooManyStreams`; `TooLarge`; `OutOfMemory`.
    pub fn open(file: &SourceFile, limits: &Limits) -> Result<Self, Stop> {
        let head = file.head().map_err(|_| unreadable())?;
        let container = sniff::sniff(&head).map_err(|not| unsupported(not.to_string()))?;
        let is_streamed = match container {
            Container::Mov => index::check(file, limits)?,
            Container::Matroska | Container::MpegTs => true,
            _ => false,
        };
        let (reader, place) = Reader::of(file);
        let io = if is_streamed && file.is_arriving() {
            StreamIo::from_read_with_capacity(reader, READ_BYTES)
        } else {
            StreamIo::from_read_seek_with_capacity(reader, READ_BYTES)
        };
        let io = io.map_err(|error| ffi_stop(error.into()))?;
        let mut options = open_options(container);
        let flag = looks_no_further(container, file);
        options.extend(flag.map(|flag| ("fflags", flag.to_owned())));
        let mut input = ffi::open_input(io, container.demuxer(), &options).map_err(ffi_stop)?;
        if input.nb_streams() > limits.streams_max {
            return Err(too_many_streams(input.nb_streams(), limits));
        }
        check_pixels(&input, limits)?;
        ffi::find_stream_info(&mut input, &decoder_limits(limits)).map_err(ffi_stop)?;
        check_pixels(&input, limits)?;
        let mut chosen = Self::choose(input, container, file)?;
        if let Some(video) = chosen.video.as_mut().filter(|_| is_streamed) {
            video.frame_rate = nominal_rate(&chosen.input, video);
            video.facts.bit_rate = 0;
            ffi::forget_bit_rate(&mut video.parameters);
        }
        Ok(Self { is_streamed, place, ..chosen })
    }

    /// Opens the container once more to ask what its index says of bytes that aren't here yet:
    /// packets have their times, and zeros where that is so.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn blank(&self, file: &SourceFile) -> Result<Input, Stop> {
        let (reader, _) = Reader::of(&file.blank());
        let io = StreamIo::from_read_seek_with_capacity(reader, READ_BYTES);
        let io = io.map_err(|error| ffi_stop(error.into()))?;
        let mut options = open_options(self.container);
        // Nobody looks into the packets.
        let flag = looks_no_further(self.container, file).unwrap_or_default();
        options.push(("fflags", format!("noparse+nofillin{flag}")));
        ffi::open_input(io, self.container.demuxer(), &options).map_err(ffi_stop)
    }

    fn choose(mut input: Input, container: Container, file: &SourceFile) -> Result<Self, Stop> {
        let SoundTracks { tracks: sounds, facts: sound_facts, unreadable } = choose_sounds(&input);
        let mut video = choose_video(&input, !sounds.is_empty())?;
        let early_sound = video.as_mut().is_some_and(|video| begin_with_sound(video, &sounds));
        if video.is_none() && sounds.is_empty() {
            return Err(unsupported(
                "The file holds neither pictures nor sound that this server reads.",
            ));
        }
        let keep: Vec<usize> = video.iter().chain(&sounds).map(|track| track.index).collect();
        ffi::keep_streams(&mut input, &keep);
        let texts = TextStreams::of(&input, container);
        let declared = input.duration();
        let declared = (declared > 0).then_some(declared as f64 / 1e6);
        // Words may outlast the film, and the container counts them.
        let tracks = video.iter().chain(&sounds);
        let length = |it: &Track| it.duration.map(|ticks| seconds(ticks, it.time_base));
        let shown: Option<Vec<f64>> = tracks.map(length).collect();
        let duration = match shown.filter(|_| texts.are_there()) {
            Some(lengths) => {
                let longest = lengths.into_iter().fold(0.0, f64::max);
                Some(declared.map_or(longest, |declared| declared.min(longest)))
            }
            None => declared,
        };
        Ok(Self {
            input,
            container,
            is_streamed: false,
            place: Arc::default(),
            file: file.clone(),
            video,
            sounds,
            sound_facts,
            early_sound,
            audio_unreadable: unreadable,
            duration,
            texts,
            aside: None,
        })
    }

    /// Returns where the last packet that the index lists ends in the file; 0 without one.
    pub fn indexed_bytes(&self) -> u64 {
        let mut end = 0;
        for track in self.video.iter().chain(&self.sounds) {
            ffi::each_index_entry(&self.input, track.index, |entry| end = entry.end.max(end));
        }
        end
    }

    /// Returns what tells how far a reading of a film of `seconds` is, which may be infinite.
    pub fn ruler(&self, seconds: f64) -> Ruler {
        if seconds.is_finite() {
            Ruler::Seconds(seconds)
        } else {
            Ruler::Bytes { read: self.place.clone(), of: self.file.clone() }
        }
    }

    /// Has the packets of text put aside from now on. To be called before anything was read.
    pub fn put_texts_aside(&mut self, aside: &Aside) {
        let tracks = self.video.iter().chain(&self.sounds).map(|track| track.index);
        let keep: Vec<usize> = tracks.chain(self.texts.indexes()).collect();
        ffi::keep_streams(&mut self.input, &keep);
        aside.begin(self.origin());
        self.aside = Some(aside.clone());
    }

    /// Skips everything but text.
    pub fn keep_only_texts(&mut self) {
        let keep: Vec<usize> = self.texts.indexes().collect();
        ffi::keep_streams(&mut self.input, &keep);
    }

    /// Returns the next packet of the used tracks, or `None` at the end. A damaged place is
    /// skipped; a file that only yields errors ends.
    pub fn next_packet(&mut self) -> Option<Packet> {
        loop {
            let packet = self.read_packet();
            match (&packet, &self.aside) {
                (Some(packet), Some(aside)) if aside.takes(packet) => {}
                (None, Some(aside)) => {
                    aside.end();
                    return None;
                }
                _ => return packet,
            }
        }
    }

    /// Reads one packet for its text alone; says whether there was one.
    pub fn read_text(&mut self) -> bool {
        match (self.read_packet(), &self.aside) {
            (Some(packet), Some(aside)) => {
                aside.takes(&packet);
                true
            }
            (_, Some(aside)) => {
                aside.end();
                false
            }
            (packet, None) => packet.is_some(),
        }
    }

    fn read_packet(&mut self) -> Option<Packet> {
        for _ in 0..READ_ERRORS_MAX {
            // A fresh packet each time: reading into an old one would leak what it holds.
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                // The file ended inside this one. Other containers mark packets around a gap so,
                // and a decoder makes something of those.
                Ok(()) if packet.is_corrupt() && !self.container.is_stream() => {}
                Ok(()) => return Some(packet),
                Err(Error::Eof) => return None,
                Err(Error::Other { errno: libc::EIO }) => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Says whether the declared length may be the time at which the film ends, on a clock that
    /// began before it: recordings of a running stream are such.
    pub fn ends_on_its_own_clock(&self) -> bool {
        const LATE: f64 = 1.0;
        matches!(self.container, Container::Matroska | Container::Flv) && self.origin() > LATE
    }

    /// Returns the second in the container's own time at which the video time line begins: where
    /// the first picture is shown, or where the sound starts if there are none.
    pub fn origin(&self) -> f64 {
        let track = self.video.as_ref().or(self.sounds.first());
        track.and_then(|track| track.start.map(|at| seconds(at, track.time_base))).unwrap_or(0.0)
    }
}

/// Returns the frame rate of streamed pictures. How many there are isn't known, so that their
/// average is one of the first few, a little off what is meant.
fn nominal_rate(input: &Input, video: &Track) -> f64 {
    const OFF_MAX: f64 = 0.05;
    let nominal = input.stream(video.index).map_or(0.0, |stream| f64::from(stream.rate()));
    let is_near = (nominal - video.frame_rate).abs() <= OFF_MAX * nominal;
    if nominal.is_finite() && is_near { nominal } else { video.frame_rate }
}

/// Sound that begins so many seconds before the pictures isn't cut off for them; more than a
/// minute is a mistake in the file.
const EARLY: std::ops::RangeInclusive<f64> = 0.5..=60.0;

/// Has the time line begin with the first sound where that comes well before the pictures.
fn begin_with_sound(video: &mut Track, sounds: &[Track]) -> bool {
    let start = |track: &Track| track.start.map(|at| seconds(at, track.time_base));
    let first = sounds.iter().filter_map(start).fold(f64::INFINITY, f64::min);
    let is_early = start(video).is_some_and(|pictures| EARLY.contains(&(pictures - first)));
    if is_early {
        video.start = Some((first / seconds(1, video.time_base)).round() as i64);
    }
    is_early
}

/// Returns the seconds of `ticks`.
pub fn seconds(ticks: i64, time_base: Rational) -> f64 {
    ticks as f64 * f64::from(time_base.numerator()) / f64::from(time_base.denominator().max(1))
}

/// More tracks than are taken.
pub fn too_many_streams(count: u32, limits: &Limits) -> Stop {
    Stop::because(
        ProblemCode::TooManyStreams,
        format!(
            "The file holds {count} tracks or more; this server takes at most {}.",
            limits.streams_max
        ),
    )
}

/// Returns the limits that every decoder gets.
pub fn decoder_limits(limits: &Limits) -> Vec<(&'static str, String)> {
    vec![("max_pixels", limits.pixels_max.min(i32::MAX as u64).to_string())]
}

fn open_options(container: Container) -> Vec<(&'static str, String)> {
    let decoders: Vec<&str> = PICTURE_DECODERS.iter().chain(&SOUND_DECODERS).copied().collect();
    vec![
        ("format_whitelist", container.whitelist().to_owned()),
        // No protocol has this name, so nothing can be opened by address.
        ("protocol_whitelist", "none".to_owned()),
        ("codec_whitelist", decoders.join(",")),
        ("probesize", PROBE_BYTES.to_string()),
        ("analyzeduration", PROBE_MICROSECONDS.to_string()),
    ]
}

/// Returns the flag for an MP4 that isn't all here, of which perhaps nobody knows how large it will
/// be. With it the demuxer goes by the index and looks for nothing behind that and the pictures
/// when it opens; without, it would look for the next box there, and wait for it.
fn looks_no_further(container: Container, file: &SourceFile) -> Option<&'static str> {
    (container == Container::Mov && file.is_arriving()).then_some("+ignidx")
}

fn check_pixels(input: &Input, limits: &Limits) -> Result<(), Stop> {
    for stream in input.streams() {
        let facts = ffi::stream_facts(&stream);
        if u64::from(facts.width) * u64::from(facts.height) > limits.pixels_max {
            return Err(Stop::because(
                ProblemCode::TooLarge,
                format!(
                    "The picture has {} × {} pixels; this server takes at most {} pixels.",
                    facts.width, facts.height, limits.pixels_max
                ),
            ));
        }
    }
    Ok(())
}

/// Returns the track of pictures, if there is one; a single picture beside sound is its cover.
fn choose_video(input: &Input, with_sound: bool) -> Result<Option<Track>, Stop> {
    let pictures: Vec<Track> = input
        .streams()
        .filter(|stream| stream.parameters().medium() == media::Type::Video)
        .filter(|stream| !stream.disposition().contains(Disposition::ATTACHED_PIC))
        .map(|stream| track(&stream))
        .collect();
    let Some(first) = pictures.first() else { return Ok(None) };
    let refused = ffi::codec_name(first.codec);
    let best = pictures
        .into_iter()
        .filter(|track| is_listed(track.codec, &PICTURE_DECODERS))
        .max_by_key(|track| u64::from(track.facts.width) * u64::from(track.facts.height));
    match best {
        None => Err(unsupported(format!(
            "The pictures are in the format “{refused}”, which this server doesn't read."
        ))),
        Some(track) if is_still(&track) && with_sound => Ok(None),
        Some(track) if is_still(&track) => {
            Err(unsupported("The file holds a single picture, not a video."))
        }
        Some(track) if track.facts.width == 0 || track.facts.height == 0 => {
            Err(Stop::because(ProblemCode::DamagedMedia, "The pictures in the file can't be read."))
        }
        Some(track) => Ok(Some(track)),
    }
}

/// One picture, or a track that lasts no longer than one.
fn is_still(track: &Track) -> bool {
    let short = track.duration.is_some_and(|ticks| {
        let length = seconds(ticks, track.time_base);
        length > 0.0 && length < 0.05
    });
    track.packets == 1 || (short && track.packets <= 1)
}

/// Says whether sound of this codec is read.
pub fn is_sound(codec: codec::Id) -> bool {
    is_listed(codec, &SOUND_DECODERS)
}

fn is_listed(codec: codec::Id, list: &[&str]) -> bool {
    decoder::find(codec).is_some_and(|decoder| list.contains(&decoder.name()))
}

/// Reads what the container says of a stream.
pub fn track(stream: &Stream<'_>) -> Track {
    let known = |value: i64| (value != ffmpeg_next::ffi::AV_NOPTS_VALUE).then_some(value);
    let rate = [stream.avg_frame_rate(), stream.rate()]
        .into_iter()
        .map(f64::from)
        .find(|rate| rate.is_finite() && *rate > 0.0);
    Track {
        index: stream.index(),
        time_base: stream.time_base(),
        codec: stream.parameters().id(),
        facts: ffi::stream_facts(stream),
        start: known(stream.start_time()),
        duration: known(stream.duration()).filter(|&ticks| ticks > 0),
        packets: stream.frames(),
        frame_rate: rate.unwrap_or(0.0),
        // The stream's own parameters would keep the whole container alive.
        parameters: stream.parameters().clone(),
    }
}

fn unsupported(detail: impl Into<String>) -> Stop {
    Stop::because(ProblemCode::UnsupportedMedia, detail)
}

fn unreadable() -> Stop {
    Stop::because(
        ProblemCode::DamagedMedia,
        "The file begins like a film, but its index can't be read; it may be cut short.",
    )
}

fn ffi_stop(error: FfiError) -> Stop {
    match error {
        FfiError::OptionIgnored | FfiError::Missing => {
            Stop::because(ProblemCode::Internal, "The server's FFmpeg lacks a needed part.")
        }
        FfiError::Ffmpeg(_) => match unreadable() {
            Stop::Problem(problem) => Stop::from_ffi(error, problem.code, &problem.detail),
            other => other,
        },
    }
}
