//! `Content-Digest`, `Digest`, `x-chunk-sha256` and entity tags.
#![no_main]

use slipway::http::fuzzing;

libfuzzer_sys::fuzz_target!(
    init: slipway_fuzz::plant("digests"),
    |bytes: &[u8]| fuzzing::run("digests", bytes)
);
