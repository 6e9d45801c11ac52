//! `Upload-Metadata`.
#![no_main]

use slipway::http::fuzzing;

libfuzzer_sys::fuzz_target!(
    init: slipway_fuzz::plant("metadata"),
    |bytes: &[u8]| fuzzing::run("metadata", bytes)
);
