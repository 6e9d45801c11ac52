//! x264 for one rung: pictures in, packets out, key frames exactly where they are asked for.

use super::ffi;
use super::report::{Stop, out_of_memory};
use super::timeline::TICK;
use crate::model::problem::ProblemCode;
use crate::model::rendition::RenditionPlan;
use ffmpeg_next::codec::{self, Flags, Parameters, packet::Packet};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error, Rational, color, encoder, frame, picture};

/// FFmpeg's name of the encoder.
pub const ENCODER: &str = "libx264";

/// Constant quality below the rate cap; the middle of x264's useful range.
const QUALITY: u32 = 23;

/// Frames after which x264 would set a key frame by itself; far beyond any segment.
const KEY_DISTANCE: u32 = 10_000;

/// An open encoder of one rung. Time stamps are in result ticks.
pub struct PictureEncoder {
    encoder: encoder::video::Encoder,
}

impl PictureEncoder {
    /// Opens the encoder for pictures like `first`, which have the rung's size and are yuv420p.
    ///
    /// # Errors
    /// `OutOfMemory`; `Internal` without libx264 or with a preset that it doesn't know.
    pub fn open(
        rung: &RenditionPlan,
        first: &frame::Video,
        preset: &str,
        threads: u32,
    ) -> Result<Self, Stop> {
        let codec = encoder::find_by_name(ENCODER).ok_or_else(missing)?;
        let context = codec::Context::new_with_codec(codec);
        let mut video = context.encoder().video().map_err(|error| stop(error.into()))?;
        video.set_width(first.width());
        video.set_height(first.height());
        video.set_format(Pixel::YUV420P);
        video.set_time_base(TICK);
        video.set_frame_rate(Some(frame_rate(rung.frame_rate)));
        video.set_aspect_ratio(Rational(1, 1));
        video.set_colorspace(first.color_space());
        video.set_color_range(color::Range::MPEG);
        video.set_color_primaries(first.color_primaries());
        video.set_color_transfer_characteristic(first.color_transfer_characteristic());
        video.set_flags(Flags::GLOBAL_HEADER);
        let cap = rung.bandwidth_cap;
        let options = [
            ("preset", preset.to_owned()),
            ("profile", "high".to_owned()),
            ("crf", QUALITY.to_string()),
            ("maxrate", cap.to_string()),
            // A second and a half: enough for a key frame, too little for a peak of a segment
            // above twice the mean.
            ("bufsize", (cap + cap / 2).to_string()),
            ("forced-idr", "1".to_owned()),
            ("sc_threshold", "0".to_owned()),
            ("g", KEY_DISTANCE.to_string()),
            ("threads", threads.max(1).to_string()),
        ];
        let encoder = ffi::open_video_encoder(video, codec, &options).map_err(stop)?;
        Ok(Self { encoder })
    }

    /// Returns what a muxer needs.
    pub fn parameters(&self) -> Parameters {
        Parameters::from(&self.encoder)
    }

    /// Encodes a picture, as a key frame if `key`, and returns the packets that are ready.
    ///
    /// # Errors
    /// `OutOfMemory`, or `Internal` for what else x264 says.
    pub fn encode(&mut self, picture: &mut frame::Video, key: bool) -> Result<Vec<Packet>, Stop> {
        // Decoded pictures carry the source's own kind; x264 would follow it.
        picture.set_kind(if key { picture::Type::I } else { picture::Type::None });
        self.encoder.send_frame(picture).map_err(|error| stop(error.into()))?;
        self.receive()
    }

    /// Ends the stream and returns the packets that were still inside.
    ///
    /// # Errors
    /// As [`PictureEncoder::encode`].
    pub fn finish(&mut self) -> Result<Vec<Packet>, Stop> {
        self.encoder.send_eof().map_err(|error| stop(error.into()))?;
        self.receive()
    }

    fn receive(&mut self) -> Result<Vec<Packet>, Stop> {
        let mut packets = Vec::new();
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {
                    // It would be the source's, counted in the source's ticks.
                    packet.set_duration(0);
                    packets.push(packet);
                }
                Err(Error::Eof | Error::Other { errno: libc::EAGAIN }) => return Ok(packets),
                Err(error) => return Err(stop(error.into())),
            }
        }
    }
}

/// Returns the rate as a fraction that is exact for the usual ones, 30000/1001 among them.
fn frame_rate(rate: f64) -> Rational {
    let ntsc = (rate * 1.001).round();
    if (rate - ntsc / 1.001).abs() < 0.001 && (rate - rate.round()).abs() > 0.001 {
        return Rational(ntsc as i32 * 1000, 1001);
    }
    Rational(((rate * 1000.0).round() as i32).max(1), 1000)
}

fn missing() -> Stop {
    Stop::because(ProblemCode::Internal, "The server's FFmpeg has no H.264 encoder.")
}

fn stop(error: ffi::FfiError) -> Stop {
    // x264 says no more than that it failed; given pictures of the right kind, the one thing that
    // fails is an allocation.
    if error == ffi::FfiError::Ffmpeg(Error::External) {
        return out_of_memory();
    }
    Stop::from_ffi(error, ProblemCode::Internal, "The pictures couldn't be encoded.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The usual rates stay exact; x264 takes its level and rate control from them.
    #[test]
    fn frame_rates() {
        for (rate, expect) in [
            (25.0, (25_000, 1000)),
            (30_000.0 / 1001.0, (30_000, 1001)),
            (24_000.0 / 1001.0, (24_000, 1001)),
            (17.5, (17_500, 1000)),
            (0.0, (1, 1000)),
        ] {
            let got = frame_rate(rate);
            assert_eq!((got.numerator(), got.denominator()), expect, "{rate}");
        }
    }
}
