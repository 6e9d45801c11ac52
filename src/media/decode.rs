//! Pictures out of packets, on the result's time line: rising, from 0, at most 60 a second.

use super::ffi;
use super::report::{Stop, out_of_memory};
use super::source::{Track, decoder_limits};
use super::timeline::{TICK, TICKS, rescale};
use crate::model::ladder::FRAME_RATE_MAX;
use crate::model::problem::ProblemCode;
use crate::wire::Limits;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::{Error, decoder, frame};

/// Shortest distance of two pictures in ticks: a little under a sixtieth of a second, because
/// containers that count milliseconds write 16 and 17 in turn.
const DISTANCE_MIN: i64 = (TICKS as i64 * 9) / (FRAME_RATE_MAX as i64 * 10);

/// A decoder of pictures.
pub struct PictureDecoder {
    decoder: decoder::Opened,
    time_base: ffmpeg_next::Rational,
    origin: i64,
    /// Ticks that a picture without a time lies after the one before it.
    distance: i64,
    last: Option<i64>,
    begin: Begin,
}

/// Where the first picture that counts lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the start, whatever its own time is.
    AtStart,
    /// At these ticks; decoding began at the start of the source, or somewhere `inside` it.
    At {
        /// Ticks of the result.
        ticks: i64,
        /// The first decoded picture isn't the film's.
        inside: bool,
    },
}

impl PictureDecoder {
    /// Opens a decoder for the track with `threads` threads.
    ///
    /// # Errors
    /// `DamagedMedia` if the decoder refuses the track; `OutOfMemory`.
    pub fn open(track: &Track, limits: &Limits, threads: u32, begin: Begin) -> Result<Self, Stop> {
        let mut options = decoder_limits(limits);
        options.push(("threads", threads.max(1).to_string()));
        let decoder = ffi::open_decoder(track.parameters.clone(), track.time_base, &options)
            .map_err(|error| Stop::from_ffi(error, ProblemCode::DamagedMedia, UNREADABLE))?;
        let rate = if track.frame_rate > 0.0 { track.frame_rate } else { 25.0 };
        Ok(Self {
            decoder,
            time_base: track.time_base,
            origin: track.start.unwrap_or(0),
            distance: (f64::from(TICKS) / rate) as i64,
            last: None,
            begin,
        })
    }

    /// Feeds one packet, or the end, and hands each finished picture to `take` with its time set
    /// in ticks. Damaged packets are passed over.
    ///
    /// # Errors
    /// `OutOfMemory`, and whatever `take` says.
    pub fn decode(
        &mut self,
        packet: Option<&Packet>,
        take: &mut dyn FnMut(frame::Video) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let sent = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        if let Err(Error::Other { errno: libc::ENOMEM }) = sent {
            return Err(out_of_memory());
        }
        loop {
            let mut picture = frame::Video::empty();
            match self.decoder.receive_frame(&mut picture) {
                Ok(()) => {}
                // A damaged picture is told once and then passed over.
                Err(Error::InvalidData) => continue,
                Err(Error::Other { errno: libc::ENOMEM }) => return Err(out_of_memory()),
                Err(_) => return Ok(()),
            }
            if let Some(at) = self.place(&picture) {
                picture.set_pts(Some(at));
                take(picture)?;
            }
        }
    }

    /// Returns where the picture lies on the time line; `None` if it comes too soon or too late.
    fn place(&mut self, picture: &frame::Video) -> Option<i64> {
        let at = match picture.timestamp() {
            Some(at) => rescale(at.saturating_sub(self.origin), self.time_base, TICK),
            None => self.last.map_or(0, |last| last + self.distance),
        };
        let (from, inside) = match self.begin {
            Begin::AtStart => (0, false),
            Begin::At { ticks, inside } => (ticks, inside),
        };
        // The first picture is shown from the start, wherever it lies itself.
        let at = if self.last.is_none() && !inside { 0 } else { at };
        // What comes before the beginning has no say in how close two pictures may be.
        let too_soon = self.last.is_some_and(|last| last >= from && at < last + DISTANCE_MIN);
        if too_soon {
            return None;
        }
        self.last = Some(at);
        (at >= from).then_some(at)
    }
}

const UNREADABLE: &str = "The pictures in the file can't be decoded.";
