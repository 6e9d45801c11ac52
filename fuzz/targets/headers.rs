//! The headers of tus: numbers, sums, lists of parts, names.
#![no_main]

use slipway::http::fuzzing;

libfuzzer_sys::fuzz_target!(
    init: slipway_fuzz::plant("headers"),
    |bytes: &[u8]| fuzzing::run("headers", bytes)
);
