//! `Range`, and sets of ranges.
#![no_main]

use slipway::http::fuzzing;

libfuzzer_sys::fuzz_target!(
    init: slipway_fuzz::plant("ranges"),
    |bytes: &[u8]| fuzzing::run("ranges", bytes)
);
