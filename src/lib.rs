//! Slipway: a self-hosted video upload server in one binary.
//!
//! docs/ARCHITECTURE.md tells the one way of the data and which module may import which.

pub mod access;
pub mod backup;
pub mod cipher;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod disk;
pub mod events;
pub mod hooks;
pub mod http;
pub mod ids;
pub mod ingest;
pub mod janitor;
pub mod language;
pub mod lately;
pub mod library;
pub mod media;
pub mod model;
pub mod pipeline;
pub mod queue;
pub mod rights;
pub mod rooms;
pub mod server;
pub mod state;
pub mod telemetry;
pub mod text;
pub mod trail;
pub mod units;
pub mod upload;
pub mod wire;
pub mod worker;
