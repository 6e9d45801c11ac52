//! Cuts one rendition into CMAF files: `{name}/init.mp4`, `{name}/1.m4s`, `{name}/2.m4s`, …
//!
//! The muxer writes into memory; whoever feeds packets says where a file begins. Pictures get the
//! times of `timing`; AAC's priming is carried by an edit list. So sound and pictures of separate
//! renditions stay together.

use super::boxes::{Fragment, with_cmaf_brands};
use super::ffi;
use super::output::OutputDir;
use super::report::{Reporter, Stop};
use super::timeline::{self, TICK, rescale};
use super::timing::{BRIEF, timed};
use crate::model::manifest::{INIT_FILE, Segment, segment_file};
use crate::model::problem::ProblemCode;
use crate::wire::Report;
use ffmpeg_next::Rational;
use ffmpeg_next::codec::{Parameters, packet::Packet};
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::media::Type;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What was measured to keep sound and pictures together: `cmaf` and `empty_moov` would leave the
/// sound's edit list out. The header comes with the first fragment (`delay_moov`), because only
/// then its priming is known.
const MOVFLAGS: &str = "dash+frag_custom+delay_moov+default_base_moof+skip_sidx+skip_trailer";

const MILLISECOND: Rational = Rational(1, 1000);

/// Seconds by which sound may outlast the pictures: two packets of it.
pub const APART: f64 = 0.045;

/// Returns the second at which pictures end that are over at `pictures`, beside sound that goes on
/// until `sound`: a mere packet more of it doesn't count.
pub fn pictures_end(pictures: f64, sound: f64) -> f64 {
    if sound - pictures > APART { sound } else { pictures }
}

/// Seconds by which two attempts may differ about where a rendition ends: a picture and a packet
/// of sound.
const UNSURE: f64 = 0.1;

/// Bytes that the muxer has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The beginning of a rendition that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many segments.
    pub segments: u32,
    /// Where they end.
    pub ticks: u64,
    /// Ticks in a second.
    pub timescale: u32,
    /// Whether the packets of these segments come again, to be passed over; otherwise the first
    /// packet is the one that follows them, a picture.
    pub again: bool,
}

/// What a rendition is called and how it is announced.
pub struct Label {
    /// Its name, a directory below the output.
    pub name: String,
    /// RFC 6381 codec string.
    pub codecs: String,
    /// Longest segment that will appear, in milliseconds.
    pub target_ms: u32,
    /// What an earlier attempt has made of it.
    pub kept: Option<Kept>,
}

/// Writes one rendition. Feed packets in decoding order, then call [`Segmenter::finish`].
pub struct Segmenter<'w, 'r> {
    label: Label,
    dir: &'w OutputDir,
    reporter: &'w Reporter<'r>,
    sink: Sink,
    muxer: Output,
    packet_time_base: Rational,
    muxer_time_base: Rational,
    /// The packet before, held back until the next one tells how long it lasts.
    held: Option<Packet>,
    /// When the next packet, with which a file begins, is decoded and shown, if that was foreseen.
    foreseen: Option<(i64, i64)>,
    /// There are pictures, of which the first of a segment can be fetched alone.
    has_pictures: bool,
    announced: bool,
    number: u32,
    first_shown: i64,
    begun_at: i64,
    last_shown: i64,
}

impl<'w, 'r> Segmenter<'w, 'r> {
    /// Makes a rendition's directory and muxer for packets with time stamps in `time_base`.
    ///
    /// # Errors
    /// `OutOfSpace`, `OutOfMemory`, or `Internal` if MP4 can't carry such a track.
    pub fn new(
        label: Label,
        parameters: &Parameters,
        time_base: Rational,
        dir: &'w OutputDir,
        reporter: &'w Reporter<'r>,
    ) -> Result<Self, Stop> {
        dir.make_dir(&label.name)?;
        let sink = Sink::default();
        let io = StreamIo::from_write(sink.clone()).map_err(|error| stop(error.into()))?;
        let follows = label.kept.filter(|kept| !kept.again).map_or(0, |kept| kept.segments);
        let index = (follows + 1).to_string();
        let has_pictures = parameters.medium() == Type::Video;
        let edits = if has_pictures { "0" } else { "1" };
        let options = [("movflags", MOVFLAGS), ("use_editlist", edits), ("fragment_index", &index)];
        let muxer = ffi::open_muxer(io, parameters, time_base, &options).map_err(stop)?;
        let muxer_time_base = muxer.stream(0).map_or(time_base, |stream| stream.time_base());
        let timescale = u32::try_from(muxer_time_base.denominator()).unwrap_or(1);
        if label.kept.is_some_and(|kept| kept.timescale != timescale) {
            return Err(unlike(reporter, &label.name));
        }
        Ok(Self {
            label,
            dir,
            reporter,
            sink,
            muxer,
            packet_time_base: time_base,
            muxer_time_base,
            held: None,
            foreseen: None,
            has_pictures,
            announced: false,
            number: follows,
            first_shown: 0,
            begun_at: 0,
            last_shown: 0,
        })
    }

    /// Takes the next packet; `begins` says that a new file starts with it.
    ///
    /// # Errors
    /// As [`Segmenter::new`], and `Gone`, also if it isn't the packet that was foreseen.
    pub fn push(&mut self, mut packet: Packet, begins: bool) -> Result<(), Stop> {
        packet.set_stream(0);
        packet.set_position(-1);
        packet.rescale_ts(self.packet_time_base, self.muxer_time_base);
        let shown_at = packet.pts().unwrap_or(0);
        if let Some(held) = self.held.take() {
            let lasts = packet.dts().unwrap_or(0).saturating_sub(held.dts().unwrap_or(0));
            self.write(held, lasts)?;
            if begins {
                self.close_segment(shown_at)?;
            }
        } else if let Some(foreseen) = self.foreseen.take() {
            if !begins || foreseen != (packet.dts().unwrap_or(0), shown_at) {
                return Err(unfit(self.reporter, &self.label.name));
            }
        } else {
            self.begin(shown_at)?;
        }
        self.last_shown = self.last_shown.max(shown_at);
        self.held = Some(packet);
        Ok(())
    }

    /// Ends the running file before the packet that the next one begins with is here, as it is
    /// known when that is decoded and shown, in packet ticks.
    ///
    /// # Errors
    /// As [`Segmenter::new`], and `Gone`.
    pub fn end_before(&mut self, decoded: i64, shown: i64) -> Result<(), Stop> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let own = |at| rescale(at, self.packet_time_base, self.muxer_time_base);
        let (decoded, shown) = (own(decoded), own(shown));
        let lasts = decoded.saturating_sub(held.dts().unwrap_or(0));
        self.write(held, lasts)?;
        self.close_segment(shown)?;
        self.foreseen = Some((decoded, shown));
        Ok(())
    }

    /// Writes what is left and reports the rendition complete. `last_lasts` is the length of the
    /// last packet in packet ticks, for packets that don't say; what is shown last stays until
    /// `until` (seconds), as far as the announced target lets it. Returns how many seconds it has.
    ///
    /// # Errors
    /// As [`Segmenter::push`].
    pub fn finish(mut self, last_lasts: i64, until: f64) -> Result<f64, Stop> {
        let end = match self.held.take() {
            Some(held) => self.end_with(held, last_lasts, until)?,
            // It was foreseen that more would come.
            None if self.announced => self.begun_at,
            None => return Ok(0.0),
        };
        if self.number < self.label.kept.map_or(0, |kept| kept.segments) {
            return Err(unlike(self.reporter, &self.label.name));
        }
        self.reporter.send(Report::Completed { rendition: self.label.name.clone() })?;
        let base = self.muxer_time_base;
        Ok(end as f64 * f64::from(base.numerator()) / f64::from(base.denominator()))
    }

    /// Ends the last file with its last packet, and returns where that is.
    fn end_with(&mut self, held: Packet, last_lasts: i64, until: f64) -> Result<i64, Stop> {
        let lasts = match held.duration() {
            0 => rescale(last_lasts, self.packet_time_base, self.muxer_time_base),
            known => known,
        };
        let own = self.last_shown.saturating_add(lasts);
        let bound = rescale(self.label.target_ms.into(), MILLISECOND, self.muxer_time_base);
        let until = rescale(timeline::ticks(until), TICK, self.muxer_time_base);
        let apart = rescale(timeline::ticks(APART), TICK, self.muxer_time_base);
        let end = if until - own > apart {
            until.min(self.begun_at.saturating_add(bound)).max(own)
        } else {
            own
        };
        let decoded = held.dts().unwrap_or(self.last_shown);
        self.write(held, end.saturating_sub(decoded))?;
        // Where pictures end is read from packets or from what was decoded, whichever is at hand.
        let unsure = rescale(timeline::ticks(UNSURE), TICK, self.muxer_time_base);
        self.close_near(end, unsure.unsigned_abs())?;
        Ok(end)
    }

    /// Writes what is left of a span, behind which somebody else goes on at `end` in packet ticks.
    ///
    /// # Errors
    /// As [`Segmenter::push`].
    pub fn end_span(mut self, end: i64) -> Result<(), Stop> {
        self.end_before(end, end)?;
        self.reporter.send(Report::SpanEnded { rendition: self.label.name.clone() })
    }

    /// Takes up the timeline with the first packet.
    fn begin(&mut self, shown_at: i64) -> Result<(), Stop> {
        self.begun_at = shown_at;
        self.first_shown = shown_at;
        match self.label.kept {
            Some(kept) if !kept.again && i64::try_from(kept.ticks) != Ok(shown_at) => {
                Err(unlike(self.reporter, &self.label.name))
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, mut packet: Packet, lasts: i64) -> Result<(), Stop> {
        packet.set_duration(lasts.max(1));
        match packet.write(&mut self.muxer) {
            Ok(_) => Ok(()),
            Err(error) => Err(stop(error.into())),
        }
    }

    /// Ends the running file at `at` and tells of it; the first time, of the header before it.
    fn close_segment(&mut self, at: i64) -> Result<(), Stop> {
        self.close_near(at, 0)
    }

    /// As [`Segmenter::close_segment`]. Where an earlier attempt has told of it, that one may have
    /// ended so many ticks before or behind.
    fn close_near(&mut self, at: i64, apart: u64) -> Result<(), Stop> {
        if !self.announced {
            self.announce()?;
        }
        let bytes = self.flush()?;
        self.number += 1;
        let begun_at = self.begun_at;
        let ticks = u64::try_from(at.saturating_sub(begun_at)).unwrap_or(0);
        if let Some(kept) = self.label.kept.filter(|kept| self.number <= kept.segments) {
            // It is there already.
            let ends_at = u64::try_from(at.saturating_sub(self.first_shown)).unwrap_or(0);
            if self.number == kept.segments && ends_at.abs_diff(kept.ticks) > apart {
                return Err(unlike(self.reporter, &self.label.name));
            }
            self.begun_at = at;
            return Ok(());
        }
        self.begun_at = at;
        let (bytes, key) = if self.has_pictures {
            let bytes = self.timed(bytes, begun_at, ticks)?;
            let key = Fragment::read(&bytes).and_then(|fragment| fragment.end_of_first());
            (bytes, key)
        } else {
            (bytes, None)
        };
        let file = segment_file(self.number as usize);
        self.dir.write(&format!("{}/{file}", self.label.name), &bytes)?;
        self.reporter.send(Report::Segment {
            rendition: self.label.name.clone(),
            number: self.number,
            segment: Segment { ticks, bytes: bytes.len() as u64, key },
        })
    }

    /// Gives the pictures of a segment of so many ticks the times that players go by, counted from
    /// the rendition's first segment.
    fn timed(&self, bytes: Vec<u8>, begun_at: i64, ticks: u64) -> Result<Vec<u8>, Stop> {
        let before = self.label.kept.filter(|kept| !kept.again).map_or(0, |kept| kept.ticks);
        let begins = u64::try_from(begun_at.saturating_sub(self.first_shown)).unwrap_or(0);
        let begins = before.saturating_add(begins);
        let brief = rescale(timeline::ticks(BRIEF), TICK, self.muxer_time_base);
        timed(bytes, begins, begins.saturating_add(ticks), brief).ok_or_else(unpackaged)
    }

    /// Writes the header and tells of the rendition.
    fn announce(&mut self) -> Result<(), Stop> {
        self.announced = true;
        // The first flush writes the header alone, the second the fragment.
        let init = with_cmaf_brands(self.flush()?, self.has_pictures);
        self.dir.write(&format!("{}/{INIT_FILE}", self.label.name), &init)?;
        self.reporter.send(Report::Started {
            rendition: self.label.name.clone(),
            codecs: self.label.codecs.clone(),
            timescale: u32::try_from(self.muxer_time_base.denominator()).unwrap_or(1),
            target_ms: self.label.target_ms,
            after: self.label.kept.map_or(0, |kept| kept.segments),
            ticks: self.label.kept.map_or(0, |kept| kept.ticks),
        })
    }

    fn flush(&mut self) -> Result<Vec<u8>, Stop> {
        ffi::flush_fragment(&mut self.muxer).map_err(stop)?;
        Ok(self.sink.take())
    }
}

/// Tells that a rendition's beginning can't be gone on with, which ends this order.
pub fn unlike(reporter: &Reporter<'_>, name: &str) -> Stop {
    from_start(reporter, name, false)
}

/// Tells that the packets of a copy aren't what they should be, which ends this order.
pub fn unfit(reporter: &Reporter<'_>, name: &str) -> Stop {
    from_start(reporter, name, true)
}

fn from_start(reporter: &Reporter<'_>, name: &str, unfit: bool) -> Stop {
    match reporter.send(Report::Unlike { rendition: name.to_owned(), unfit }) {
        Ok(()) => Stop::Gone,
        Err(stop) => stop,
    }
}

const UNPACKAGED: &str = "The result couldn't be packaged.";

fn unpackaged() -> Stop {
    Stop::because(ProblemCode::Internal, UNPACKAGED)
}

fn stop(error: ffi::FfiError) -> Stop {
    Stop::from_ffi(error, ProblemCode::Internal, UNPACKAGED)
}

/// Returns `avc1.PPCCLL` from H.264 set-up bytes: an avcC record or a stream with start codes.
pub fn avc_codecs(extradata: &[u8]) -> Option<String> {
    const SEQUENCE_PARAMETERS: u8 = 7;
    let profile = if extradata.first() == Some(&1) {
        extradata.get(1..4)?
    } else {
        let start = extradata
            .windows(4)
            .position(|w| w[..3] == [0, 0, 1] && w[3] & 0x1f == SEQUENCE_PARAMETERS)?;
        extradata.get(start + 4..start + 7)?
    };
    Some(format!("avc1.{:02x}{:02x}{:02x}", profile[0], profile[1], profile[2]))
}

/// Returns `mp4a.40.N` from an AudioSpecificConfig (ISO 14496-3).
pub fn aac_codecs(extradata: &[u8]) -> Option<String> {
    let object = extradata.first()? >> 3;
    Some(format!("mp4a.40.{object}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codec strings come out of both forms of set-up bytes, and out of nothing else.
    #[test]
    fn codec_strings() {
        let avcc = [1, 0x64, 0x00, 0x1f, 0xff];
        let annex_b = [0, 0, 0, 1, 0x67, 0x4d, 0x40, 0x1e, 0x95, 0, 0, 0, 1, 0x68];
        assert_eq!(avc_codecs(&avcc).as_deref(), Some("avc1.64001f"));
        assert_eq!(avc_codecs(&annex_b).as_deref(), Some("avc1.4d401e"));
        assert_eq!(avc_codecs(&[]), None);
        assert_eq!(avc_codecs(&[0, 0, 0, 1, 0x67, 0x4d]), None);
        assert_eq!(aac_codecs(&[0x11, 0x90]).as_deref(), Some("mp4a.40.2"));
        assert_eq!(aac_codecs(&[]), None);
    }
}
