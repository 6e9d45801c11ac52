//! What all targets share: their first bytes.

use slipway::http::fuzzing::TARGETS;
use std::path::Path;

/// Writes a target's seeds where the engine looks for them, before it looks.
pub fn plant(name: &str) {
    let Some(corpus) = std::env::var_os("FUZZ_CORPUS") else { return };
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    for (n, seed) in target.seeds.iter().enumerate() {
        std::fs::write(Path::new(&corpus).join(format!("seed-{n}")), seed).expect("a directory");
    }
}
