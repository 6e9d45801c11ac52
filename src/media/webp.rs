//! WebP with losses, still and moving, by the encoder that FFmpeg's libraries bring along.

use super::ffi::{self, FfiError};
use super::report::{Stop, out_of_memory};
use super::still::Still;
use crate::model::problem::ProblemCode;
use ffmpeg_next::codec::{self, packet::Packet};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error, Rational, encoder, frame};

/// FFmpeg's name of the encoder of stills.
pub const ENCODER: &str = "libwebp";

/// FFmpeg's name of the encoder of moving pictures.
pub const MOVING_ENCODER: &str = "libwebp_anim";

/// Ticks of the encoder's clock in a second.
const TICKS: i32 = 1000;

/// Encodes a still; `quality` is 0 ..= 100.
///
/// # Errors
/// `OutOfMemory`; `Internal` without the encoder.
pub fn still(still: &Still, quality: u8) -> Result<Vec<u8>, Stop> {
    let mut encoder = open(ENCODER, still, quality)?;
    encode(&mut encoder, &[(0, still)])
}

/// Encodes pictures of one size that follow each other, each shown from its millisecond on; it
/// begins anew after the last. `quality` is 0 ..= 100.
///
/// # Errors
/// `OutOfMemory`; `Internal` without the encoder or without a picture.
pub fn moving(pictures: &[(i64, &Still)], quality: u8) -> Result<Vec<u8>, Stop> {
    let (_, first) = pictures.first().ok_or_else(failed)?;
    let mut encoder = open(MOVING_ENCODER, first, quality)?;
    encode(&mut encoder, pictures)
}

fn open(name: &str, like: &Still, quality: u8) -> Result<encoder::video::Encoder, Stop> {
    let codec = encoder::find_by_name(name).ok_or_else(failed)?;
    let context = codec::Context::new_with_codec(codec);
    let mut video = context.encoder().video().map_err(|error| stop(error.into()))?;
    video.set_width(like.width);
    video.set_height(like.height);
    video.set_format(Pixel::BGRA);
    video.set_time_base(Rational(1, TICKS));
    let options = [("quality", quality.to_string()), ("compression_level", "3".to_owned())];
    ffi::open_video_encoder(video, codec, &options).map_err(stop)
}

fn encode(
    encoder: &mut encoder::video::Encoder,
    pictures: &[(i64, &Still)],
) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    for (at, picture) in pictures {
        let frame = frame_of(picture, *at);
        encoder.send_frame(&frame).map_err(|error| stop(error.into()))?;
        receive(encoder, &mut bytes)?;
    }
    encoder.send_eof().map_err(|error| stop(error.into()))?;
    receive(encoder, &mut bytes)?;
    if bytes.is_empty() { Err(failed()) } else { Ok(bytes) }
}

fn receive(encoder: &mut encoder::video::Encoder, bytes: &mut Vec<u8>) -> Result<(), Stop> {
    loop {
        let mut packet = Packet::empty();
        match encoder.receive_packet(&mut packet) {
            Ok(()) => bytes.extend_from_slice(packet.data().unwrap_or_default()),
            Err(Error::Eof | Error::Other { errno: libc::EAGAIN }) => return Ok(()),
            Err(error) => return Err(stop(error.into())),
        }
    }
}

/// Copies a still into a frame as the encoder takes it: without a loss of colour before its own.
fn frame_of(still: &Still, at: i64) -> frame::Video {
    let mut frame = frame::Video::new(Pixel::BGRA, still.width, still.height);
    frame.set_pts(Some(at));
    let stride = frame.stride(0);
    let rows = still.rgb.chunks_exact(still.width as usize * 3);
    for (to, from) in frame.data_mut(0).chunks_mut(stride).zip(rows) {
        for (to, from) in to.chunks_exact_mut(4).zip(from.chunks_exact(3)) {
            to.copy_from_slice(&[from[2], from[1], from[0], 255]);
        }
    }
    frame
}

fn failed() -> Stop {
    Stop::because(ProblemCode::Internal, "A picture couldn't be stored as WebP.")
}

fn stop(error: FfiError) -> Stop {
    match error {
        // It says no more than that; what fails is an allocation.
        FfiError::Ffmpeg(Error::External) => out_of_memory(),
        error => Stop::from_ffi(error, ProblemCode::Internal, "A picture couldn't be stored."),
    }
}
