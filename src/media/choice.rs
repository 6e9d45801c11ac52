//! The poster that somebody has chosen: a moment of the film, or a picture of their own.
//!
//! A picture comes from a stranger as a film does, and is read in the same confinement.

use super::output::OutputDir;
use super::places::{Finish, Found, Places};
use super::poster::SIDE_MAX;
use super::probe;
use super::report::{Reporter, Stop, out_of_memory};
use super::source::Source;
use super::source_file::SourceFile;
use super::still::{Developer, Still};
use crate::model::problem::ProblemCode;
use crate::wire::Limits;
use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageError};
use std::io::{Cursor, Read};

/// Most pixels of a handed picture: what the cameras of phones make.
const PIXELS_MAX: u64 = 50_000_000;

/// Largest file of a handed picture; the server takes no larger one either.
const BYTES_MAX: u64 = 32 << 20;

/// Memory that a decoder of pictures may take: four bytes for each pixel, and its own.
const DECODER_BYTES_MAX: u64 = 320 << 20;

/// A film that ends this many seconds before the time that was asked for is shown by its last
/// picture: players round.
const SLACK: f64 = 1.0;

/// Without an index, seeking lands behind the key frame that is needed: so many seconds before the
/// wanted one it is tried again, and then so many times as far, at last from the start.
const BACK_SECONDS: f64 = 2.0;
const BACK_FACTOR: f64 = 4.0;

/// Makes the poster of the picture that is shown at `seconds`.
///
/// # Errors
/// `TimeOutOfRange`; `UnsupportedMedia` without pictures; what opening the source can say.
pub fn of_film(
    file: &SourceFile,
    seconds: f64,
    limits: &Limits,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<(), Stop> {
    let probe = probe::glance(&Source::open(file, limits)?);
    let Some(size) = Developer::fit(&probe, SIDE_MAX, SIDE_MAX) else {
        return Err(Stop::because(
            ProblemCode::UnsupportedMedia,
            "The file has no pictures to choose from.",
        ));
    };
    let each = probe.shape.map_or(0.0, |shape| 1.0 / shape.frame_rate.max(1.0));
    let mut back = 0.0;
    let found = loop {
        // Opened anew: going back isn't possible in all containers.
        let mut source = Source::open(file, limits)?;
        let mut places = Places::open(&mut source, limits, Finish::Full, reporter)?;
        let is_from_start = back >= seconds;
        if !is_from_start {
            places.seek(seconds - back)?;
        }
        let found = shown_at(&mut places, seconds, each)?;
        if is_from_start || found.as_ref().is_some_and(|found| !is_behind(found, seconds, each)) {
            break found;
        }
        back = f64::max(BACK_SECONDS, back * BACK_FACTOR);
    };
    let Some(found) = found.filter(|found| found.at + each + SLACK >= seconds) else {
        return Err(Stop::because(
            ProblemCode::TimeOutOfRange,
            format!("The film is over before second {seconds:.2}."),
        ));
    };
    Developer::new(&probe, size).still(&found.picture)?.publish_as_poster(dir, reporter)
}

/// Walks to the picture that is on the screen at `seconds`; the last one, if the film ends before.
fn shown_at(
    places: &mut Places<'_, '_, '_>,
    seconds: f64,
    each: f64,
) -> Result<Option<Found>, Stop> {
    let mut last: Option<Found> = None;
    while let Some(found) = places.walk()? {
        let is_behind = is_behind(&found, seconds, each);
        // The first one also if the time lies before it.
        if is_behind && last.is_some() {
            break;
        }
        last = Some(found);
        if is_behind {
            break;
        }
    }
    Ok(last)
}

fn is_behind(found: &Found, seconds: f64, each: f64) -> bool {
    found.at > seconds + each / 10.0
}

/// Makes the poster of a picture: JPEG, PNG or WebP, turned as it says, over black where it is
/// transparent.
///
/// # Errors
/// `UnsupportedMedia` for anything else, and for pictures that move; `TooLarge`; `DamagedMedia`.
pub fn of_picture(file: &SourceFile, dir: &OutputDir, reporter: &Reporter<'_>) -> Result<(), Stop> {
    if file.size_max().0 > BYTES_MAX {
        return Err(Stop::because(ProblemCode::TooLarge, "The picture's file is too large."));
    }
    let mut bytes = Vec::new();
    file.clone().read_to_end(&mut bytes).map_err(|_| damaged())?;
    reporter.beat()?;
    let picture = decode(&bytes)?;
    let (width, height) = (picture.width(), picture.height());
    let picture = if width.max(height) > SIDE_MAX {
        picture.resize(SIDE_MAX, SIDE_MAX, FilterType::CatmullRom)
    } else {
        picture
    };
    still_of(&picture).publish_as_poster(dir, reporter)
}

/// Decodes a picture and turns it upright.
fn decode(bytes: &[u8]) -> Result<DynamicImage, Stop> {
    let moves = || {
        Stop::because(ProblemCode::UnsupportedMedia, "The picture moves; a poster stands still.")
    };
    match kind_of(bytes) {
        Some(PictureKind::Jpeg) => {
            if !has_end_of_jpeg(bytes) {
                return Err(damaged());
            }
            turned(JpegDecoder::new(Cursor::new(bytes)).map_err(stop)?)
        }
        Some(PictureKind::Png) => {
            let decoder = PngDecoder::new(Cursor::new(bytes)).map_err(stop)?;
            if decoder.is_apng().map_err(stop)? {
                return Err(moves());
            }
            turned(decoder)
        }
        Some(PictureKind::Webp) => {
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(stop)?;
            if decoder.has_animation() {
                return Err(moves());
            }
            turned(decoder)
        }
        None => Err(Stop::because(
            ProblemCode::UnsupportedMedia,
            "The picture is neither JPEG nor PNG nor WebP.",
        )),
    }
}

fn turned(mut decoder: impl ImageDecoder) -> Result<DynamicImage, Stop> {
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(Stop::because(
            ProblemCode::TooLarge,
            format!("The picture has {width} × {height} pixels; at most {PIXELS_MAX} are taken."),
        ));
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    decoder.set_limits(limits).map_err(stop)?;
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(stop)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Lays a picture over black.
fn still_of(picture: &DynamicImage) -> Still {
    let (width, height) = (picture.width(), picture.height());
    let rgb = if picture.color().has_alpha() {
        let seen = |pixel: &image::Rgba<u8>| {
            let [red, green, blue, alpha] = pixel.0;
            [red, green, blue].map(|part| (u16::from(part) * u16::from(alpha) / 255) as u8)
        };
        picture.to_rgba8().pixels().flat_map(seen).collect()
    } else {
        picture.to_rgb8().into_raw()
    };
    Still { width, height, rgb }
}

/// The kinds of pictures that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PictureKind {
    Jpeg,
    Png,
    Webp,
}

fn kind_of(bytes: &[u8]) -> Option<PictureKind> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some(PictureKind::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(PictureKind::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(PictureKind::Webp),
        _ => None,
    }
}

/// Says whether a JPEG's picture comes to its end; decoders fill what is missing with grey. A small
/// picture inside its head has an end of its own, which doesn't count.
fn has_end_of_jpeg(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xff, 0xd9];
    let mut at = 2;
    while let Some([0xff, marker, high, low]) = bytes.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        at += 2 + length;
        // The picture begins: from here on no other byte pair looks like the end.
        if *marker == 0xda {
            return bytes.get(at..).is_some_and(|rest| rest.windows(2).any(|pair| pair == END));
        }
    }
    false
}

fn damaged() -> Stop {
    Stop::because(ProblemCode::DamagedMedia, "The picture can't be read; it may be cut short.")
}

fn stop(error: ImageError) -> Stop {
    match error {
        ImageError::Limits(_) => out_of_memory(),
        ImageError::Unsupported(_) => Stop::because(
            ProblemCode::UnsupportedMedia,
            "The picture is of a kind that this server doesn't read.",
        ),
        _ => damaged(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageFormat};

    fn code(bytes: &[u8]) -> ProblemCode {
        match decode(bytes) {
            Err(Stop::Problem(problem)) => problem.code,
            other => panic!("{:?}", other.map(|picture| size(&picture))),
        }
    }

    fn size(picture: &DynamicImage) -> (u32, u32) {
        (picture.width(), picture.height())
    }

    fn jpeg() -> Vec<u8> {
        let mut bytes = Vec::new();
        let pixels: Vec<u8> = (0..48 * 32 * 3).map(|at| (at * 7 % 251) as u8).collect();
        JpegEncoder::new(&mut bytes).encode(&pixels, 48, 32, ExtendedColorType::Rgb8).expect("ok");
        bytes
    }

    /// Pictures of all three kinds are read whole; cut anywhere they aren't, and what is something
    /// else by its first bytes is told so.
    #[test]
    fn pictures_are_read_or_refused() {
        let picture = decode(&jpeg()).expect("a picture");
        assert_eq!(size(&picture), (48, 32));
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).expect("encoded");
            let bytes = bytes.into_inner();
            assert_eq!(size(&decode(&bytes).expect("a picture")), (48, 32));
            for cut in [bytes.len() / 2, bytes.len() - 20] {
                assert_eq!(code(&bytes[..cut]), ProblemCode::DamagedMedia, "{format:?} {cut}");
            }
        }
        let whole = jpeg();
        for cut in [30, whole.len() / 2, whole.len() - 2] {
            assert_eq!(code(&whole[..cut]), ProblemCode::DamagedMedia, "{cut}");
        }
        for other in [&b"GIF89a"[..], b"no picture at all", b"", &[0xff, 0xd8]] {
            assert_eq!(code(other), ProblemCode::UnsupportedMedia);
        }
    }

    /// What shines through is black.
    #[test]
    fn transparency_is_black() {
        let pixels = image::RgbaImage::from_pixel(2, 1, image::Rgba([200, 100, 50, 128]));
        let still = still_of(&DynamicImage::ImageRgba8(pixels));
        assert_eq!(still.rgb, [100, 50, 25, 100, 50, 25]);
    }
}
