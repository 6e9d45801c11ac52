//! Single pictures out of a source, by their place: through the container's index, decoding as
//! little as possible.

use super::report::{Reporter, Stop, out_of_memory};
use super::source::{Source, decoder_limits, seconds};
use super::{ffi, keys};
use crate::model::problem::ProblemCode;
use crate::wire::Limits;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::{Error, decoder, frame};

/// Packets read in search of a key frame at one place.
const PACKETS_MAX: u32 = 2000;

/// Key frames tried at one place before it's given up.
const KEYS_MAX: u32 = 3;

/// How far behind a key frame that shows nothing to look for something: cuts, flashes and fades are
/// where encoders put key frames.
pub const FURTHER: u32 = 12;

/// How much a decoder may leave rough. The filter over the edges of blocks costs a third of the
/// time, and in pictures that are made much smaller nobody sees that it's missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// As the film has it.
    Full,
    /// Without the filter, also where later pictures are made of it. For key frames alone.
    RoughKeys,
    /// Without the filter where no other picture is made of it.
    Rough,
}

/// A decoded picture and when it is shown.
pub struct Found {
    /// The picture, as it is stored.
    pub picture: frame::Video,
    /// Seconds on the film's time line, which begins at 0.
    pub at: f64,
}

/// A reader of single pictures; one decoder serves all places.
pub struct Places<'s, 'r, 'a> {
    source: &'s mut Source,
    reporter: &'r Reporter<'a>,
    decoder: decoder::Opened,
    origin: f64,
    /// Seconds of one picture.
    each: f64,
    /// The end of the stream was given to the decoder.
    ended: bool,
    /// When the last picture of a walk was shown.
    last: f64,
    /// The key frame that [`Places::other_key`] found last.
    last_key: Option<i64>,
    /// Packets that a walk may still pass over to begin with a key frame: where there is no index,
    /// seeking lands anywhere, and what is decoded from there is grey.
    passed_over_max: u32,
}

impl<'s, 'r, 'a> Places<'s, 'r, 'a> {
    /// Opens a decoder for the source's pictures.
    ///
    /// # Errors
    /// `DamagedMedia` without pictures, or if the decoder refuses them; `OutOfMemory`.
    pub fn open(
        source: &'s mut Source,
        limits: &Limits,
        finish: Finish,
        reporter: &'r Reporter<'a>,
    ) -> Result<Self, Stop> {
        let unreadable = || Stop::because(ProblemCode::DamagedMedia, UNREADABLE);
        let track = source.video.as_ref().ok_or_else(unreadable)?;
        let mut options = decoder_limits(limits);
        options.push(("threads", "1".to_owned()));
        match finish {
            Finish::Full => {}
            Finish::RoughKeys => options.push(("skip_loop_filter", "all".to_owned())),
            Finish::Rough => options.push(("skip_loop_filter", "noref".to_owned())),
        }
        let decoder = ffi::open_decoder(track.parameters.clone(), track.time_base, &options)
            .map_err(|error| Stop::from_ffi(error, ProblemCode::DamagedMedia, UNREADABLE))?;
        let each = 1.0 / if track.frame_rate > 0.0 { track.frame_rate } else { 25.0 };
        let origin = source.origin();
        ffi::keep_streams(&mut source.input, &[track.index]);
        Ok(Self {
            source,
            reporter,
            decoder,
            origin,
            each,
            ended: false,
            last: -each,
            last_key: None,
            passed_over_max: 0,
        })
    }

    /// Returns the key frame at or before `at`, or the first after it that can be shown.
    ///
    /// # Errors
    /// `OutOfMemory`, `Gone`.
    pub fn key(&mut self, at: f64) -> Result<Option<Found>, Stop> {
        self.seek(at)?;
        for _ in 0..KEYS_MAX {
            let Some(packet) = self.next_key()? else { return Ok(None) };
            if let Some(found) = self.decode_alone(&packet)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// As [`Places::key`], but `None` as well if it would be the same one as the last time; then
    /// nothing is decoded.
    ///
    /// # Errors
    /// `OutOfMemory`, `Gone`.
    pub fn other_key(&mut self, at: f64) -> Result<Option<Found>, Stop> {
        self.seek(at)?;
        for _ in 0..KEYS_MAX {
            let Some(packet) = self.next_key()? else { return Ok(None) };
            let stamp = keys::stamp(&packet);
            if stamp.is_some() && stamp == self.last_key {
                return Ok(None);
            }
            self.last_key = stamp;
            if let Some(found) = self.decode_alone(&packet)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Counts the different key frames at these places, without decoding any.
    ///
    /// # Errors
    /// `Gone`.
    pub fn count_keys(&mut self, places: impl Iterator<Item = f64>) -> Result<usize, Stop> {
        let mut seen = Vec::new();
        for at in places {
            self.seek(at)?;
            let stamp = self.next_key()?.and_then(|packet| keys::stamp(&packet));
            if let Some(stamp) = stamp.filter(|stamp| !seen.contains(stamp)) {
                seen.push(stamp);
            }
        }
        Ok(seen.len())
    }

    /// Returns the picture that many after the key frame at or before `at`, or the last that there
    /// is.
    ///
    /// # Errors
    /// `OutOfMemory`, `Gone`.
    pub fn after(&mut self, at: f64, further: u32) -> Result<Option<Found>, Stop> {
        self.seek(at)?;
        let mut last = None;
        for _ in 0..=further {
            match self.walk()? {
                Some(found) => last = Some(found),
                None => break,
            }
        }
        Ok(last)
    }

    /// Goes to the key frame at or before `at`, from which [`Places::walk`] then leads on. Without
    /// an index it may be one behind `at`.
    ///
    /// # Errors
    /// `Gone`.
    pub fn seek(&mut self, at: f64) -> Result<(), Stop> {
        self.reporter.beat()?;
        self.decoder.flush();
        self.ended = false;
        self.passed_over_max = PACKETS_MAX;
        let micros = ((self.origin + at.max(0.0)) * 1e6) as i64;
        // Some containers can't go back; then what follows from here does as well.
        let _ = self.source.input.seek(micros, ..micros);
        Ok(())
    }

    /// Returns the next picture in the order of showing, `None` at the end. Damaged ones are
    /// passed over.
    ///
    /// # Errors
    /// `OutOfMemory`, `Gone`.
    pub fn walk(&mut self) -> Result<Option<Found>, Stop> {
        loop {
            let mut picture = frame::Video::empty();
            match self.decoder.receive_frame(&mut picture) {
                Ok(()) => return Ok(Some(self.found(picture))),
                Err(Error::InvalidData) => continue,
                Err(Error::Other { errno: libc::ENOMEM }) => return Err(out_of_memory()),
                Err(_) if self.ended => return Ok(None),
                Err(_) => {}
            }
            self.reporter.beat()?;
            match self.next_packet() {
                Some(packet) if self.passed_over_max > 0 && !packet.is_key() => {
                    self.passed_over_max -= 1;
                }
                Some(packet) => {
                    self.passed_over_max = 0;
                    self.send(&packet)?;
                }
                None => {
                    self.ended = true;
                    let _ = self.decoder.send_eof();
                }
            }
        }
    }

    /// Returns the next packet of the pictures.
    fn next_packet(&mut self) -> Option<Packet> {
        let index = self.source.video.as_ref()?.index;
        loop {
            let packet = self.source.next_packet()?;
            if packet.stream() == index {
                return Some(packet);
            }
        }
    }

    fn next_key(&mut self) -> Result<Option<Packet>, Stop> {
        for _ in 0..PACKETS_MAX {
            self.reporter.beat()?;
            match self.next_packet() {
                Some(packet) if packet.is_key() => return Ok(Some(packet)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Decodes one packet by itself: the end of the stream makes the decoder give it out.
    fn decode_alone(&mut self, packet: &Packet) -> Result<Option<Found>, Stop> {
        self.decoder.flush();
        self.send(packet)?;
        let _ = self.decoder.send_eof();
        let mut picture = frame::Video::empty();
        let shown = self.decoder.receive_frame(&mut picture);
        self.decoder.flush();
        match shown {
            Ok(()) => Ok(Some(self.found(picture))),
            Err(Error::Other { errno: libc::ENOMEM }) => Err(out_of_memory()),
            Err(_) => Ok(None),
        }
    }

    fn send(&mut self, packet: &Packet) -> Result<(), Stop> {
        match self.decoder.send_packet(packet) {
            Err(Error::Other { errno: libc::ENOMEM }) => Err(out_of_memory()),
            _ => Ok(()),
        }
    }

    fn found(&mut self, picture: frame::Video) -> Found {
        let track = self.source.video.as_ref();
        let stamp = picture.timestamp().zip(track);
        let at = stamp.map_or(self.last + self.each, |(stamp, track)| {
            seconds(stamp, track.time_base) - self.origin
        });
        self.last = at;
        Found { picture, at }
    }
}

const UNREADABLE: &str = "The pictures in the file can't be decoded.";
