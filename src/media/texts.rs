//! The text tracks of a film: their packets are put aside while a pass reads the film for its
//! pictures and sound, and become WebVTT when that pass has come to the end.
//!
//! Words are read by `text`, not by FFmpeg's decoders. Tracks that are made of pictures, and
//! formats that `text` doesn't know, are named in a warning and left out.

use super::ffi;
use super::output::OutputDir;
use super::report::{Reporter, Stop};
use super::sniff::Container;
use super::source::{Source, seconds};
use crate::language;
use crate::model::extra::{Extra, FoundText, text_file};
use crate::model::text::{LABEL_CHARS_MAX, TEXTS_MAX, TextKind};
use crate::text::{self, CUES_MAX, Cue, PacketKind, TEXT_BYTES_MAX};
use crate::wire::Report;
use ffmpeg_next::codec::{self, packet::Packet};
use ffmpeg_next::format::context::Input;
use ffmpeg_next::format::stream::{Disposition, Stream};
use ffmpeg_next::{Rational, media};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long words without an end are shown, unless others follow sooner.
const SHOWN_MS: u64 = 4_000;

/// Most tracks that a warning names.
const NAMED_MAX: usize = 8;

/// What a container holds of text.
#[derive(Clone, Debug, Default)]
pub struct TextStreams {
    /// Tracks that can be read.
    readable: Vec<TextStream>,
    /// For people: number, language and format of each of the others.
    others: Vec<String>,
}

/// A text track as the container describes it.
#[derive(Clone, Debug)]
struct TextStream {
    index: usize,
    time_base: Rational,
    packets: PacketKind,
    found: FoundText,
}

impl TextStreams {
    /// Looks at the tracks of an open container.
    pub fn of(input: &Input, container: Container) -> Self {
        let mut streams = Self::default();
        for stream in input.streams() {
            if stream.parameters().medium() != media::Type::Subtitle {
                continue;
            }
            let codec = stream.parameters().id();
            let found = described(&stream);
            match kind_of(codec, container).filter(|_| streams.readable.len() < TEXTS_MAX) {
                Some(packets) => streams.readable.push(TextStream {
                    index: stream.index(),
                    time_base: stream.time_base(),
                    packets,
                    found,
                }),
                None => {
                    let format = ffi::codec_name(codec);
                    streams.others.push(format!("{} ({}, {format})", stream.index(), found.lang));
                }
            }
        }
        streams
    }

    /// Says whether there is any text, readable or not.
    pub fn are_there(&self) -> bool {
        !self.readable.is_empty() || !self.others.is_empty()
    }

    /// Returns the numbers of the tracks that can be read.
    pub fn indexes(&self) -> impl Iterator<Item = usize> {
        self.readable.iter().map(|stream| stream.index)
    }

    /// Tells which tracks are left out.
    ///
    /// # Errors
    /// `Gone`.
    pub fn warn(&self, reporter: &Reporter<'_>) -> Result<(), Stop> {
        if self.others.is_empty() {
            return Ok(());
        }
        let mut named = self.others[..self.others.len().min(NAMED_MAX)].join(", ");
        if self.others.len() > NAMED_MAX {
            named.push_str(" and more");
        }
        reporter.warn(
            "text-not-read",
            format!("Text tracks that aren't words this server reads were left out: {named}."),
        )
    }
}

fn kind_of(codec: codec::Id, container: Container) -> Option<PacketKind> {
    // AVI keeps whole files in its text tracks, some of which name other files.
    if !matches!(container, Container::Mov | Container::Matroska) {
        return None;
    }
    match codec {
        codec::Id::MOV_TEXT => Some(PacketKind::MovText),
        codec::Id::ASS | codec::Id::SSA => Some(PacketKind::Ass),
        codec::Id::SUBRIP | codec::Id::SRT | codec::Id::TEXT | codec::Id::WEBVTT => {
            Some(PacketKind::Plain)
        }
        _ => None,
    }
}

fn described(stream: &Stream<'_>) -> FoundText {
    let disposition = stream.disposition();
    let kind = if disposition.contains(Disposition::FORCED) {
        TextKind::Forced
    } else if disposition.intersects(Disposition::HEARING_IMPAIRED | Disposition::CAPTIONS) {
        TextKind::Captions
    } else {
        TextKind::Subtitles
    };
    let lang = ffi::stream_tag(stream, "language").and_then(|tag| language::tag(&tag));
    let title = ffi::stream_tag(stream, "title").unwrap_or_default();
    FoundText {
        lang: lang.unwrap_or_else(|| language::UNKNOWN.to_owned()),
        label: title.chars().filter(|c| !c.is_control()).take(LABEL_CHARS_MAX).collect(),
        kind,
    }
}

/// The words of all text tracks as they are put aside. Clones share them.
#[derive(Clone)]
pub struct Aside {
    inner: Arc<Mutex<Words>>,
}

struct Words {
    tracks: Vec<Track>,
    /// Second of the source's own time at which the film begins.
    origin: f64,
    /// The container was read to its end.
    complete: bool,
    reported: bool,
}

struct Track {
    stream: TextStream,
    cues: Vec<Cue>,
    bytes: usize,
    /// The last cue has no end of its own.
    open: bool,
    cut_short: bool,
}

impl Aside {
    /// Prepares for these tracks; for none if `wanted` is unset.
    pub fn new(streams: &TextStreams, wanted: bool) -> Self {
        let tracks = streams.readable.iter().filter(|_| wanted).cloned().map(Track::of).collect();
        let words = Words { tracks, origin: 0.0, complete: false, reported: false };
        Self { inner: Arc::new(Mutex::new(words)) }
    }

    fn lock(&self) -> MutexGuard<'_, Words> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether somebody still has to read the container for the text.
    pub fn is_wanting(&self) -> bool {
        let words = self.lock();
        !words.tracks.is_empty() && !words.complete
    }

    /// Begins from the start of a container whose film begins at second `origin`.
    pub fn begin(&self, origin: f64) {
        let mut words = self.lock();
        words.origin = origin;
        for track in &mut words.tracks {
            *track = Track::of(track.stream.clone());
        }
    }

    /// Takes a packet if it is one of text.
    pub fn takes(&self, packet: &Packet) -> bool {
        let mut words = self.lock();
        let origin = words.origin;
        let index = packet.stream();
        let Some(track) = words.tracks.iter_mut().find(|it| it.stream.index == index) else {
            return false;
        };
        track.packet(packet, origin);
        true
    }

    /// Notes that the container has been read to its end.
    pub fn end(&self) {
        self.lock().complete = true;
    }

    /// Writes what was put aside and reports it, once, if the container was read to its end.
    ///
    /// # Errors
    /// `OutOfSpace`, `Internal`, `Gone`.
    pub fn report(&self, dir: &OutputDir, reporter: &Reporter<'_>) -> Result<(), Stop> {
        let mut words = self.lock();
        if words.tracks.is_empty() || !words.complete || words.reported {
            return Ok(());
        }
        words.reported = true;
        let mut tracks = Vec::new();
        for track in std::mem::take(&mut words.tracks) {
            if track.cut_short {
                let which = track.stream.index;
                reporter.warn(
                    "text-cut-short",
                    format!("Text track {which} is too long; not all of it was taken."),
                )?;
            }
            let cues = match text::checked(track.cues) {
                Ok(cues) => cues,
                Err(text::TextError::Empty) => continue,
                Err(error) => {
                    let which = track.stream.index;
                    let detail = format!("Text track {which} was left out. {error}");
                    reporter.warn("text-not-read", detail)?;
                    continue;
                }
            };
            dir.write(&text_file(tracks.len() + 1), text::whole(&cues).as_bytes())?;
            tracks.push(track.stream.found);
        }
        reporter.send(Report::Extra { extra: Extra::Texts { tracks } })
    }
}

impl Track {
    fn of(stream: TextStream) -> Self {
        Self { stream, cues: Vec::new(), bytes: 0, open: false, cut_short: false }
    }

    fn packet(&mut self, packet: &Packet, origin: f64) {
        let (Some(at), Some(data)) = (packet.pts().or(packet.dts()), packet.data()) else { return };
        let ms = |ticks: i64| (seconds(ticks, self.stream.time_base) - origin) * 1000.0;
        let (start, lasts) = (ms(at), packet.duration());
        // Words that go before the film begins are nobody's; a number too large is no time.
        let end = ms(at.saturating_add(lasts.max(0)));
        let start_ms = start.max(0.0).round() as u64;
        let end_ms = match lasts {
            ..=0 => start_ms + SHOWN_MS,
            _ => end.max(0.0).round() as u64,
        };
        if let Some(last) = self.cues.last_mut().filter(|_| self.open) {
            last.end_ms = last.end_ms.min(start_ms.max(last.start_ms + 1));
        }
        self.open = false;
        let Some(cue) = text::cue_of_packet(self.stream.packets, data, start_ms, end_ms) else {
            return;
        };
        if self.cues.len() >= CUES_MAX || self.bytes + cue.text.len() > TEXT_BYTES_MAX / 2 {
            self.cut_short = true;
            return;
        }
        self.bytes += cue.text.len();
        self.open = lasts <= 0;
        self.cues.push(cue);
    }
}

/// Reads the container through for its text alone, where no pass had to read it any more.
///
/// # Errors
/// `Gone`.
pub fn read_alone(mut source: Source, reporter: &Reporter<'_>) -> Result<(), Stop> {
    source.keep_only_texts();
    while source.read_text() {
        reporter.beat()?;
    }
    Ok(())
}
