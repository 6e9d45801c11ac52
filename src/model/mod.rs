//! Pure rules of uploads, videos, jobs and renditions: states, allowed moves, names. No I/O.

pub mod accept;
pub mod access;
pub mod arriving;
pub mod consent;
pub mod deed;
pub mod estimate;
pub mod extra;
pub mod figures;
pub mod hook;
pub mod job;
pub mod ladder;
pub mod manifest;
pub mod name;
pub mod operation;
pub mod pace;
pub mod problem;
pub mod rendition;
pub mod room;
pub mod spans;
pub mod storyboard;
pub mod text;
pub mod upkeep;
pub mod upload;
pub mod video;
pub mod whose;
pub mod words;
