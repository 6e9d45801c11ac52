//! Tests through the real binary: HTTP in, files and events out.
#![allow(clippy::panic, reason = "a helper that can't go on fails its test")]

mod abuse;
mod access;
mod admission;
mod captions;
mod chunks;
mod commands;
mod concat;
mod crash;
mod denied;
mod draft;
mod faults;
mod films;
mod frozen;
mod harness;
mod hostile;
mod ingest;
mod ledger;
mod live;
mod live_concat;
mod malformed;
mod matrix;
mod mutants;
mod pictures;
mod playback;
mod power;
mod queue;
mod service;
mod sessions;
mod status;
mod survival;
mod torture;
mod trash;
mod tus;
mod worker;
mod writers;
