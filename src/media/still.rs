//! Single pictures made ready to be looked at: upright, square pixels, plain RGB, as JPEG or WebP.

use super::ffi;
use super::output::OutputDir;
use super::picture::{Treater, Treatment};
use super::probe::Probe;
use super::report::{Reporter, Stop, out_of_memory};
use super::webp;
use crate::model::extra::{Extra, POSTER_FILE, POSTER_WEBP_FILE};
use crate::model::manifest::Picture;
use crate::model::problem::ProblemCode;
use crate::wire::Report;
use ffmpeg_next::frame;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// JPEG quality of pictures that are looked at by themselves, 1 ..= 100.
pub const JPEG_QUALITY: u8 = 80;

/// WebP quality that looks like it.
const WEBP_QUALITY: u8 = 75;

/// Variance of the brightness below which a picture shows nothing but one colour.
const FLAT_BELOW: f64 = 25.0;

/// Variance of a picture that needs no better one.
const LIVELY_FROM: f64 = 400.0;

/// Mean brightness of a picture worth showing: neither night nor snow.
const MEAN: std::ops::RangeInclusive<f64> = 16.0..=235.0;

/// An upright picture in RGB, row by row, three bytes a pixel.
#[derive(Clone)]
pub struct Still {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes.
    pub rgb: Vec<u8>,
}

impl Still {
    fn new(picture: &frame::Video) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let row_bytes = width as usize * 3;
        let mut rgb = Vec::with_capacity(row_bytes * height as usize);
        for row in picture.data(0).chunks(picture.stride(0)).take(height as usize) {
            rgb.extend_from_slice(&row[..row_bytes]);
        }
        Self { width, height, rgb }
    }

    /// Returns its size.
    pub fn size(&self) -> Picture {
        Picture { width: self.width, height: self.height }
    }

    /// Encodes it as JPEG.
    ///
    /// # Errors
    /// `Internal`; only for want of memory.
    pub fn jpeg(&self, quality: u8) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .encode(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
            .map_err(|_| {
                Stop::because(ProblemCode::Internal, "A picture couldn't be stored as JPEG.")
            })?;
        Ok(bytes)
    }

    /// Stores it as the poster, in both formats, and reports it.
    ///
    /// # Errors
    /// `OutOfSpace`, `OutOfMemory`, `Internal`, `Gone`.
    pub fn publish_as_poster(&self, dir: &OutputDir, reporter: &Reporter<'_>) -> Result<(), Stop> {
        dir.write(POSTER_FILE, &self.jpeg(JPEG_QUALITY)?)?;
        dir.write(POSTER_WEBP_FILE, &webp::still(self, WEBP_QUALITY)?)?;
        reporter.send(Report::Extra { extra: Extra::Poster { picture: self.size() } })
    }

    /// Measures how bright and how lively it is.
    pub fn look(&self) -> Look {
        let (mut count, mut sum, mut squares) = (0u64, 0u64, 0u64);
        // Every seventh pixel tells enough.
        for pixel in self.rgb.chunks_exact(3).step_by(7) {
            // ITU-R BT.709 weights in 256ths.
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u64::from);
            let luma = (54 * red + 183 * green + 19 * blue) >> 8;
            count += 1;
            sum += luma;
            squares += luma * luma;
        }
        let count = count.max(1) as f64;
        let mean = sum as f64 / count;
        Look { mean, variance: squares as f64 / count - mean * mean }
    }
}

/// How bright a picture is and how lively.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Mean brightness, 0 ..= 255.
    mean: f64,
    /// Variance of the brightness.
    variance: f64,
}

impl Look {
    /// Ranks lively pictures before dull ones, and any of middling brightness before all others.
    pub fn score(self) -> (bool, u64) {
        (MEAN.contains(&self.mean), self.variance as u64)
    }

    /// Says whether there is nothing to see.
    pub fn is_flat(self) -> bool {
        self.variance < FLAT_BELOW || !MEAN.contains(&self.mean)
    }

    /// Says whether there is so much to see that no better picture has to be looked for.
    pub fn is_lively(self) -> bool {
        self.variance >= LIVELY_FROM && MEAN.contains(&self.mean)
    }
}

/// Turns decoded pictures into stills of one size.
pub struct Developer {
    treatment: Treatment,
    /// Kept from one picture to the next.
    treater: Option<Treater>,
}

impl Developer {
    /// Prepares for stills of `size`, which is that of the upright picture.
    pub fn new(probe: &Probe, size: Picture) -> Self {
        let treatment = Treatment {
            orientation: probe.orientation,
            deinterlace: false,
            tone_map: probe.hdr,
            width: size.width,
            height: size.height,
            format: "rgb24",
            threads: 1,
        };
        Self { treatment, treater: None }
    }

    /// Makes the still. Of an interlaced picture one field is shown, because two would be two
    /// moments, unless it is made so small that they blur into each other anyway.
    ///
    /// # Errors
    /// `OutOfMemory`, `DamagedMedia`, `Internal`.
    pub fn still(&mut self, picture: &frame::Video) -> Result<Still, Stop> {
        let Treatment { orientation, width, height, .. } = self.treatment;
        let shown_height = if orientation.swaps() { width } else { height };
        let is_large = picture.height() < 2 * shown_height && picture.height().is_multiple_of(4);
        let picture = if picture.is_interlaced() && is_large {
            &ffi::upper_field(picture).map_err(|_| out_of_memory())?
        } else {
            picture
        };
        match self.treat(picture) {
            Err(Stop::Problem(_)) if self.treatment.tone_map.is_some() => {
                // Pale is better than nothing, here and from now on; the encoding tells of it.
                self.treatment.tone_map = None;
                self.treater = None;
                self.treat(picture)
            }
            shown => shown,
        }
    }

    /// Returns the largest size within these bounds that has the film's shape; never above it.
    pub fn fit(probe: &Probe, width_max: u32, height_max: u32) -> Option<Picture> {
        let shape = probe.shape?;
        let (width, height) = (f64::from(shape.width.max(1)), f64::from(shape.height.max(1)));
        let factor = (f64::from(width_max) / width).min(f64::from(height_max) / height).min(1.0);
        let side = |length: f64| ((length * factor).round() as u32).max(1);
        Some(Picture { width: side(width), height: side(height) })
    }

    /// Says whether the source has so many more pixels than a still of `size` that what a decoder
    /// leaves rough isn't seen.
    pub fn is_far_below(probe: &Probe, size: &Picture) -> bool {
        probe.shape.is_some_and(|shape| shape.width >= 2 * size.width)
    }

    fn treat(&mut self, picture: &frame::Video) -> Result<Still, Stop> {
        let mut shared = ffi::share(picture).map_err(|_| out_of_memory())?;
        shared.set_pts(Some(0));
        let mut treater = match self.treater.take() {
            Some(treater) => treater,
            None => Treater::new(self.treatment, &shared)?,
        };
        let shown = treater.treat(shared)?.pop();
        self.treater = Some(treater);
        let shown = shown.ok_or_else(|| {
            Stop::because(ProblemCode::DamagedMedia, "The pictures in the file can't be shown.")
        })?;
        Ok(Still::new(&shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(mean: f64, variance: f64) -> Look {
        Look { mean, variance }
    }

    /// A lively picture beats a dull one, and a black one loses to anything that can be seen.
    #[test]
    fn the_liveliest_wins() {
        assert!(look(100.0, 900.0).score() > look(120.0, 400.0).score());
        assert!(look(100.0, 10.0).score() > look(3.0, 400.0).score());
        assert!(look(3.0, 400.0).is_flat() && !look(3.0, 400.0).is_lively());
        let white = Still { width: 6, height: 7, rgb: vec![255; 3 * 42] };
        let seen = white.look();
        assert!((seen.mean - 254.0).abs() < 1.1 && seen.variance < 1.0, "{seen:?}");
        assert!(seen.is_flat());
    }
}
