//! The loudness of a sound over time, collected while it is decoded, and its picture.

use ffmpeg_next::frame;
use image::{Rgb, RgbImage};

/// Peaks that are kept at most; beyond, two neighbours become one.
const PEAKS_MAX: usize = 4096;

/// Samples that one peak stands for at first.
const SAMPLES_MIN: u64 = 256;

/// Size of the picture.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 360;

/// A bar and the space beside it, in pixels.
const BAR: u32 = 6;
const SPACE: u32 = 4;

/// Lowest bar, for silence, as a share of the height.
const LOWEST: f32 = 0.01;

/// A sound quieter than this isn't drawn any larger.
const LOUDEST_MIN: f32 = 0.05;

const BACKGROUND: Rgb<u8> = Rgb([18, 24, 32]);
const FOREGROUND: Rgb<u8> = Rgb([110, 168, 254]);

/// The largest amplitude of each stretch of a sound, all equally long; memory is bounded however
/// long it lasts.
pub struct Peaks {
    samples_each: u64,
    done: Vec<f32>,
    running: f32,
    counted: u64,
}

impl Default for Peaks {
    fn default() -> Self {
        Self { samples_each: SAMPLES_MIN, done: Vec::new(), running: 0.0, counted: 0 }
    }
}

impl Peaks {
    /// Says whether no sound has come.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.counted == 0
    }

    /// Takes sound of floating-point samples, a plane for each channel.
    pub fn take(&mut self, sound: &frame::Audio) {
        let planes: Vec<&[f32]> = (0..sound.planes()).map(|at| sound.plane::<f32>(at)).collect();
        for at in 0..sound.samples() {
            let loudest = planes.iter().filter_map(|plane| plane.get(at));
            self.add(loudest.fold(0.0, |most: f32, sample| most.max(sample.abs())));
        }
    }

    fn add(&mut self, amplitude: f32) {
        self.running = self.running.max(amplitude);
        self.counted += 1;
        if self.counted < self.samples_each {
            return;
        }
        self.done.push(self.running);
        (self.running, self.counted) = (0.0, 0);
        if self.done.len() == PEAKS_MAX {
            self.done =
                self.done.chunks(2).map(|pair| pair.iter().copied().fold(0.0, f32::max)).collect();
            self.samples_each *= 2;
        }
    }

    /// Draws the picture: a bar for each stretch, the loudest as high as the picture allows.
    pub fn drawn(&self) -> RgbImage {
        let mut picture = RgbImage::from_pixel(WIDTH, HEIGHT, BACKGROUND);
        let loudest = self.done.iter().copied().fold(LOUDEST_MIN, f32::max);
        let bars = (WIDTH / (BAR + SPACE)) as usize;
        for bar in 0..bars {
            let from = bar * self.done.len() / bars;
            let to = ((bar + 1) * self.done.len() / bars).max(from + 1);
            let stretch = self.done.get(from..to.min(self.done.len())).unwrap_or_default();
            let peak = stretch.iter().copied().fold(0.0, f32::max) / loudest;
            let half = (peak.max(LOWEST) * 0.45 * HEIGHT as f32) as u32;
            let left = bar as u32 * (BAR + SPACE) + SPACE / 2;
            for x in left..left + BAR {
                for y in HEIGHT / 2 - half..=HEIGHT / 2 + half {
                    picture.put_pixel(x, y, FOREGROUND);
                }
            }
        }
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(amplitudes: impl Iterator<Item = f32>) -> Peaks {
        let mut peaks = Peaks::default();
        amplitudes.for_each(|amplitude| peaks.add(amplitude));
        peaks
    }

    fn height(picture: &RgbImage, x: u32) -> usize {
        (0..HEIGHT).filter(|&y| *picture.get_pixel(x, y) == FOREGROUND).count()
    }

    /// A day of sound takes no more room than a minute, and the loud stretch stays where it is.
    #[test]
    fn any_length_fits() {
        let loud = |at: u64| if at >= 3_000_000 { 0.8 } else { 0.1 };
        let peaks = of((0..4_000_000).map(loud));
        assert!(peaks.done.len() <= PEAKS_MAX && peaks.samples_each > SAMPLES_MIN);
        let picture = peaks.drawn();
        let (quiet, loud) = (height(&picture, WIDTH / 4 + 2), height(&picture, WIDTH - 5));
        assert!(quiet * 6 < loud && loud > HEIGHT as usize * 3 / 4, "{quiet} and {loud}");
    }

    /// Silence, and nothing at all, are a thin line.
    #[test]
    fn silence_is_a_line() {
        for peaks in [of(std::iter::repeat_n(0.0, 100_000)), Peaks::default()] {
            let picture = peaks.drawn();
            assert!((1..=10).contains(&height(&picture, SPACE)), "{}", height(&picture, SPACE));
        }
    }
}
