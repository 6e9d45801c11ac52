//! A form with a part in it, through the reader that the server uses.
#![no_main]

use slipway::http::fuzzing;

libfuzzer_sys::fuzz_target!(
    init: slipway_fuzz::plant("form"),
    |bytes: &[u8]| fuzzing::run("form", bytes)
);
