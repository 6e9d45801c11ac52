//! The still picture that stands for sound: the cover that the file holds, or else its waveform.

use super::extras;
use super::ffi;
use super::output::OutputDir;
use super::report::{Reporter, Stop};
use super::source::Source;
use super::still::Still;
use super::waveform::Peaks;
use crate::model::extra::ExtraKind;
use crate::wire::Limits;
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, RgbImage};
use std::io::Cursor;

/// Longest side of the poster in pixels.
const SIDE_MAX: u32 = 1280;

/// Memory that decoding a cover may take, and the longest side that is opened: covers have a few
/// thousand pixels a side.
const MEMORY_MAX: u64 = 256 << 20;
const OPENED_SIDE_MAX: u32 = 10_000;

/// Makes the poster of the cover in the file. Returns whether there is one that can be read.
///
/// # Errors
/// `OutOfSpace`, `Gone`.
pub fn make(
    source: &Source,
    limits: &Limits,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<bool, Stop> {
    let mut is_there = false;
    extras::step(ExtraKind::Poster, reporter, || {
        is_there = find(source, limits, dir, reporter)?;
        Ok(())
    })?;
    Ok(is_there)
}

fn find(
    source: &Source,
    limits: &Limits,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<bool, Stop> {
    let covers = source.input.streams().filter_map(|stream| ffi::attached_picture(&stream));
    let Some(cover) = covers.filter_map(|bytes| decoded(bytes, limits)).next() else {
        return Ok(false);
    };
    let small = if cover.width().max(cover.height()) > SIDE_MAX {
        cover.resize(SIDE_MAX, SIDE_MAX, FilterType::Triangle)
    } else {
        cover
    };
    publish(small.to_rgb8(), dir, reporter)?;
    Ok(true)
}

/// Makes the poster of the loudness over time. An earlier attempt that made the sound and was
/// ended before its poster has left nothing to draw, which is told.
///
/// # Errors
/// `OutOfSpace`, `Gone`.
pub fn make_of_sound(peaks: &Peaks, dir: &OutputDir, reporter: &Reporter<'_>) -> Result<(), Stop> {
    if peaks.is_empty() {
        let code = ExtraKind::Poster.warning_code();
        return reporter.warn(code, "The sound has no picture: its work was interrupted.");
    }
    extras::step(ExtraKind::Poster, reporter, || publish(peaks.drawn(), dir, reporter))
}

fn decoded(bytes: Vec<u8>, limits: &Limits) -> Option<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut bounds = image::Limits::default();
    bounds.max_alloc = Some(MEMORY_MAX);
    bounds.max_image_width = Some(OPENED_SIDE_MAX);
    bounds.max_image_height = Some(OPENED_SIDE_MAX);
    reader.limits(bounds);
    let cover = reader.decode().ok()?;
    let pixels = u64::from(cover.width()) * u64::from(cover.height());
    (pixels > 0 && pixels <= limits.pixels_max).then_some(cover)
}

fn publish(picture: RgbImage, dir: &OutputDir, reporter: &Reporter<'_>) -> Result<(), Stop> {
    let (width, height) = picture.dimensions();
    Still { width, height, rgb: picture.into_raw() }.publish_as_poster(dir, reporter)
}
