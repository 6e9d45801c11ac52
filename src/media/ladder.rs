//! Chooses the rungs: which sizes a video is offered in, at which rates. Pure.
//!
//! Never larger than the source, always even sizes, at least one rung. A rung is named by its
//! short side, so that films shot upright get the same names as those shot lying.

use crate::model::rendition::{RenditionKind, RenditionPlan};

/// Frames a second above which frames are dropped (Apple's authoring rules, 1.19).
pub const FRAME_RATE_MAX: f64 = 60.0;

/// Bits a second of the sound.
pub const AUDIO_BIT_RATE: u64 = 128_000;

/// Name of the rendition that carries the sound.
pub const AUDIO_NAME: &str = "audio";

/// Short sides of the ladder in pixels, and the most bits a second at up to 30 frames a second.
///
/// The rates lie within Apple's table for H.264; below them a constant quality decides.
const RUNGS: [(u32, u64); 7] = [
    (2160, 16_000_000),
    (1440, 9_000_000),
    (1080, 6_000_000),
    (720, 3_000_000),
    (480, 1_400_000),
    (360, 800_000),
    (240, 400_000),
];

/// A source this close below a rung's size takes the rung with its own size: 1066 lines are
/// offered as 1080p rather than thrown down to 720p.
const NEAR: f64 = 0.9;

/// What the ladder has to know of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Width of the upright picture with square pixels.
    pub width: u32,
    /// Height of the upright picture with square pixels.
    pub height: u32,
    /// Pictures a second on average.
    pub frame_rate: f64,
}

impl Shape {
    fn short_side(self) -> u32 {
        self.width.min(self.height)
    }
}

/// Returns the rung that is the source itself: its packets, its size, its `bit_rate`.
pub fn copied_rung(shape: Shape, bit_rate: u64) -> RenditionPlan {
    let side = shape.short_side();
    let named = RUNGS.iter().map(|&(rung, _)| rung).find(|&rung| side == rung).unwrap_or(side);
    let rate = bit_rate.max(1);
    RenditionPlan { copied: true, ..rung(shape, named, (shape.width, shape.height), rate) }
}

/// Returns the rungs to encode, largest first. `below_copy`: the source itself is a rung, so only
/// clearly smaller ones are made. `heights` (short sides) replaces the ladder's own choice.
pub fn encoded_rungs(
    shape: Shape,
    heights: Option<&[u32]>,
    below_copy: bool,
) -> Vec<RenditionPlan> {
    let side = f64::from(shape.short_side());
    let mut wanted: Vec<u32> = match heights {
        Some(heights) => heights.to_vec(),
        None => RUNGS.iter().map(|&(rung, _)| rung).collect(),
    };
    wanted.sort_unstable_by(|a, b| b.cmp(a));
    wanted.dedup();
    let fits = |rung: u32| {
        let rung = f64::from(rung);
        if below_copy { rung < side * NEAR } else { rung * NEAR <= side }
    };
    let mut rungs: Vec<RenditionPlan> = Vec::new();
    for height in wanted.into_iter().filter(|&height| height > 0 && fits(height)) {
        let size = scaled(shape, height.min(shape.short_side()));
        // Two rungs of one size would be one rung paid twice (900 lines fit 1000 and 900).
        if rungs.iter().all(|rung| (rung.width, rung.height) != size) {
            rungs.push(rung(shape, height, size, rate_cap(height, shape.frame_rate)));
        }
    }
    if rungs.is_empty() && !below_copy {
        let side = shape.short_side().max(2);
        rungs.push(rung(shape, side, scaled(shape, side), rate_cap(side, shape.frame_rate)));
    }
    rungs
}

/// Says whether a copy of the source may be a rung when `heights` are prescribed.
pub fn copy_fits(shape: Shape, heights: Option<&[u32]>) -> bool {
    heights.is_none_or(|heights| heights.contains(&shape.short_side()))
}

/// Returns the plan of the sound.
pub fn audio_rung(language: Option<String>) -> RenditionPlan {
    RenditionPlan {
        name: AUDIO_NAME.to_owned(),
        kind: RenditionKind::Audio,
        width: 0,
        height: 0,
        frame_rate: 0.0,
        bandwidth_cap: AUDIO_BIT_RATE,
        copied: false,
        language,
    }
}

/// Address space that the process takes before any picture, in bytes.
const MEMORY_BASE: u64 = 300 << 20;

/// Bytes that decoding takes for a pixel of the source, and encoding for a pixel of a rung with
/// its queue: measured on ten-bit HEVC with 3840 × 2160 pixels, rounded up.
const DECODE_BYTES_PER_PIXEL: u64 = 40;
const ENCODE_BYTES_PER_PIXEL: u64 = 120;

/// Splits `rungs` (largest first) into passes that each fit into `memory_bytes`, the smallest
/// rungs first: decoding a large film twice is cheaper than failing. A rung that doesn't fit by
/// itself is tried all the same.
pub fn passes<'p>(
    shape: Shape,
    rungs: &[&'p RenditionPlan],
    memory_bytes: u64,
) -> Vec<Vec<&'p RenditionPlan>> {
    let fixed = MEMORY_BASE + pixels(shape.width, shape.height) * DECODE_BYTES_PER_PIXEL;
    let cost = |rung: &RenditionPlan| pixels(rung.width, rung.height) * ENCODE_BYTES_PER_PIXEL;
    let mut passes: Vec<Vec<&RenditionPlan>> = Vec::new();
    let mut used = 0;
    for &rung in rungs.iter().rev() {
        match passes.last_mut().filter(|_| used + cost(rung) <= memory_bytes) {
            Some(pass) => {
                pass.insert(0, rung);
                used += cost(rung);
            }
            None => {
                passes.push(vec![rung]);
                used = fixed + cost(rung);
            }
        }
    }
    passes
}

fn pixels(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

fn rung(shape: Shape, named: u32, size: (u32, u32), bandwidth_cap: u64) -> RenditionPlan {
    RenditionPlan {
        name: format!("{named}p"),
        kind: RenditionKind::Video,
        width: size.0,
        height: size.1,
        frame_rate: shape.frame_rate.min(FRAME_RATE_MAX),
        bandwidth_cap,
        copied: false,
        language: None,
    }
}

/// Returns the even size whose short side is `side`, of the source's shape.
fn scaled(shape: Shape, side: u32) -> (u32, u32) {
    let factor = f64::from(side) / f64::from(shape.short_side().max(1));
    let even = |length: u32| (((f64::from(length) * factor / 2.0).round() as u32) * 2).max(2);
    let (mut width, mut height) = (even(shape.width), even(shape.height));
    // Rounding must not lift an odd source above itself.
    if width > shape.width {
        width = (shape.width & !1).max(2);
    }
    if height > shape.height {
        height = (shape.height & !1).max(2);
    }
    (width, height)
}

/// Returns the most bits a second for a short side; between rungs in proportion to the pixels.
fn rate_cap(side: u32, frame_rate: f64) -> u64 {
    let (rung, rate) =
        RUNGS.iter().rev().copied().find(|&(rung, _)| side <= rung).unwrap_or(RUNGS[0]);
    let share = (f64::from(side) / f64::from(rung)).powi(2).clamp(0.25, 1.0);
    // Twice the frames cost about half as much again, because neighbours resemble each other more.
    let motion = if frame_rate > 31.0 && side >= 720 { 1.5 } else { 1.0 };
    (rate as f64 * share * motion) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(width: u32, height: u32, frame_rate: f64) -> Shape {
        Shape { width, height, frame_rate }
    }

    fn list(rungs: &[RenditionPlan]) -> Vec<(String, u32, u32)> {
        rungs.iter().map(|rung| (rung.name.clone(), rung.width, rung.height)).collect()
    }

    fn check(source: (u32, u32), expect: &[(&str, u32, u32)]) {
        let rungs = encoded_rungs(shape(source.0, source.1, 30.0), None, false);
        let expect: Vec<_> = expect.iter().map(|&(name, w, h)| (name.to_owned(), w, h)).collect();
        assert_eq!(list(&rungs), expect, "source {source:?}");
        assert!(rungs.windows(2).all(|w| w[0].bandwidth_cap > w[1].bandwidth_cap));
    }

    /// Sizes are even, never above the source, upright films go by their short side, and every
    /// source gets at least one rung.
    #[test]
    fn sizes() {
        check(
            (1920, 1080),
            &[
                ("1080p", 1920, 1080),
                ("720p", 1280, 720),
                ("480p", 854, 480),
                ("360p", 640, 360),
                ("240p", 426, 240),
            ],
        );
        check((360, 640), &[("360p", 360, 640), ("240p", 240, 426)]);
        check(
            (1920, 800),
            &[("720p", 1728, 720), ("480p", 1152, 480), ("360p", 864, 360), ("240p", 576, 240)],
        );
        check(
            (1919, 1067),
            &[
                ("1080p", 1918, 1066),
                ("720p", 1294, 720),
                ("480p", 864, 480),
                ("360p", 648, 360),
                ("240p", 432, 240),
            ],
        );
        check((320, 180), &[("180p", 320, 180)]);
        check((17, 9), &[("9p", 16, 8)]);
        check(
            (3840, 2160),
            &[
                ("2160p", 3840, 2160),
                ("1440p", 2560, 1440),
                ("1080p", 1920, 1080),
                ("720p", 1280, 720),
                ("480p", 854, 480),
                ("360p", 640, 360),
                ("240p", 426, 240),
            ],
        );
    }

    /// Prescribed heights are kept as far as the source reaches; a copy leaves the smaller ones.
    #[test]
    fn prescribed_and_below_a_copy() {
        let hd = shape(1920, 1080, 30.0);
        assert_eq!(
            list(&encoded_rungs(hd, Some(&[360, 720, 4320]), false)),
            [("720p".to_owned(), 1280, 720), ("360p".to_owned(), 640, 360)]
        );
        assert_eq!(encoded_rungs(shape(320, 180, 30.0), Some(&[720]), false).len(), 1);
        let below = encoded_rungs(hd, None, true);
        assert_eq!(below[0].name, "720p");
        assert!(encoded_rungs(shape(320, 240, 30.0), None, true).is_empty());
        let copy = copied_rung(shape(1280, 536, 24.0), 2_000_000);
        assert_eq!(
            (copy.name.as_str(), copy.copied, copy.bandwidth_cap),
            ("536p", true, 2_000_000)
        );
        assert!(
            copy_fits(hd, None) && copy_fits(hd, Some(&[1080])) && !copy_fits(hd, Some(&[720]))
        );
    }

    /// A large film is made in as many passes as its memory needs, small rungs first; an ordinary
    /// one in a single pass.
    #[test]
    fn passes_fit_memory() {
        let split = |width, height, memory: u64| -> Vec<Vec<String>> {
            let shape = shape(width, height, 30.0);
            let rungs = encoded_rungs(shape, None, false);
            passes(shape, &rungs.iter().collect::<Vec<_>>(), memory)
                .iter()
                .map(|pass| pass.iter().map(|rung| rung.name.clone()).collect())
                .collect()
        };
        assert_eq!(split(1920, 1080, 2 << 30).len(), 1);
        assert_eq!(
            split(3840, 2160, 2 << 30),
            [vec!["1440p", "1080p", "720p", "480p", "360p", "240p"], vec!["2160p"]]
        );
        assert_eq!(split(640, 360, 1), [vec!["240p"], vec!["360p"]]);
    }

    /// More frames get more bits from 720 lines up, and never more than sixty a second are kept.
    #[test]
    fn frame_rates() {
        let fast = encoded_rungs(shape(1920, 1080, 120.0), None, false);
        assert_eq!(fast[0].frame_rate, FRAME_RATE_MAX);
        assert_eq!(fast[0].bandwidth_cap, 9_000_000);
        assert_eq!(fast[2].bandwidth_cap, 1_400_000);
    }
}
