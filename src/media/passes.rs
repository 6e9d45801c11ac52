//! Splits the rungs to encode into passes that fit into memory. Pure; what is made is chosen in
//! `model::ladder`.

use crate::model::rendition::RenditionPlan;

use crate::model::ladder::Shape;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ladder::{choose, made};
    use crate::model::video::SourceFacts;

    fn rungs(shape: Shape) -> Vec<RenditionPlan> {
        let facts = SourceFacts {
            width: shape.width,
            height: shape.height,
            frame_rate: shape.frame_rate,
            video_codec: Some("h264".to_owned()),
            bit_rate: 90_000_000,
            audio_codec: Some("aac".to_owned()),
            ..SourceFacts::default()
        };
        made(&choose(&facts, None)).filter(|it| it.sound.is_none()).cloned().collect()
    }

    /// A large film is made in as many passes as its memory needs, small rungs first; an ordinary
    /// one in a single pass.
    #[test]
    fn passes_fit_memory() {
        let split = |width, height, memory: u64| -> Vec<Vec<String>> {
            let shape = Shape { width, height, frame_rate: 30.0 };
            let rungs = rungs(shape);
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
}
