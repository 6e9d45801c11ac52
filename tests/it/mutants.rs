//! Torture of films that were damaged at random: whatever a file has become, its job ends with a
//! code, the server goes on with the memory that it had, and nothing of any other file is in what
//! comes out.
//!
//! Short here; `scripts/torture media` runs the same at length. A seed fixes what chance decides.

use crate::harness::wait_for;
use crate::hostile::{Fortress, end_of};
use crate::ledger::Dice;
use crate::matrix;
use crate::torture::{Told, rounds};
use std::collections::BTreeMap;

/// Films to begin with: each container, with the codecs that have the most to misread.
const FILMS: [&str; 24] = [
    "h264-aac.mp4",
    "h264-faststart.mp4",
    "h264-fragmented.mp4",
    "h264-aac.mkv",
    "h264-aac.flv",
    "h264-aac.ts",
    "h264-10-bit.mp4",
    "h264-alac.mov",
    "hevc.mp4",
    "hevc-10-bit.mkv",
    "vp8-vorbis.webm",
    "vp9-opus.webm",
    "av1.mp4",
    "mpeg2-ac3.mpg",
    "mpeg4-mp3.avi",
    "mjpeg-pcm.avi",
    "prores.mov",
    "theora-vorbis.ogv",
    "sorenson-mp3.flv",
    "h264-eac3.mkv",
    "flac.flac",
    "cbr.mp3",
    "opus.opus",
    "adpcm.wav",
];

/// Mutants that are at work at the same time.
const BATCH: usize = 24;

/// Most bytes of what one film is changed in: headers are where the lies are.
const HEADER: usize = 4096;

/// Damages a film in one to four ways.
fn mutate(film: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = film.to_vec();
    for _ in 0..=dice.below(4) {
        // Half of the time close to the beginning or the end, where the index is.
        let place = |dice: &mut Dice, length: usize| match dice.below(4) {
            0 => dice.below(length.min(HEADER)),
            1 => length - 1 - dice.below(length.min(HEADER)),
            _ => dice.below(length),
        };
        if bytes.len() < 64 {
            break;
        }
        let at = place(dice, bytes.len());
        match dice.below(7) {
            0 => {
                for _ in 0..=dice.below(32) {
                    let at = place(dice, bytes.len());
                    bytes[at] ^= 1 << dice.below(8);
                }
            }
            1 => bytes.truncate(at.max(32)),
            2 => {
                let from = dice.below(other.len());
                let length = dice.below(other.len() - from).min(8192);
                bytes.splice(at..at, other[from..from + length].iter().copied());
            }
            3 => {
                let end = (at + dice.below(2048)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + dice.below(64)).min(bytes.len());
                bytes[at..end].fill([0, 0xff, 0x80, 0x7f][dice.below(4)]);
            }
            5 => {
                let end = (at + dice.below(4096)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(end..end, again);
            }
            _ => {
                // A size or a count, as most containers write it.
                let sizes = [0, 1, 7, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, u32::MAX];
                let at = at.min(bytes.len() - 4);
                let size = sizes[dice.below(sizes.len())];
                bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
            }
        }
    }
    bytes
}

/// Damaged films: none takes the server along, and none shows what isn't its own.
#[test]
fn mutated_films_harm_nobody() {
    let films: Vec<(&str, Vec<u8>)> = FILMS
        .iter()
        .map(|name| (*name, std::fs::read(matrix::film(name)).expect("it was just made")))
        .collect();
    let count = rounds(BATCH * 2);
    let mut told = Told::new("media".to_owned());
    let mut dice = Dice::new(told.seed);
    let fortress = Fortress::start();
    let server = &fortress.server;
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    while told.round < count {
        let batch: Vec<(&str, String)> = (0..BATCH.min(count - told.round))
            .map(|_| {
                told.round += 1;
                let (name, film) = &films[told.round % films.len()];
                let (_, other) = &films[dice.below(films.len())];
                let mutant = mutate(film, other, &mut dice);
                let (path, video) = server.create(name, mutant.len());
                let status = server.patch(&path, 0, &mutant).status;
                assert!(matches!(status, 204 | 415), "{name}: {status}");
                (*name, video)
            })
            .collect();
        for (name, video) in &batch {
            told.now = format!("of {name}");
            let end = wait_for("a mutant to come to its end", || {
                let it =
                    server.send("GET", &format!("/api/videos/{video}?permanent=true"), &[], b"");
                if it.status == 200 { end_of(&it.json()) } else { Some("refused".to_owned()) }
            });
            assert_ne!(end, "internal", "{name}");
            *ends.entry(end).or_default() += 1;
        }
        fortress.stands();
        for (_, video) in &batch {
            server.send("DELETE", &format!("/api/videos/{video}"), &[], b"");
        }
    }
    let ends: Vec<String> = ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
    println!(
        "torture: media, {count} mutants: {}; the server has {} MiB (seed {})",
        ends.join(", "),
        fortress.memory() >> 10,
        told.seed
    );
}
