//! A rendition (or rung): one quality of a video, or its sound.

use serde::{Deserialize, Serialize};

/// What a rendition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RenditionKind {
    /// Pictures without sound.
    Video,
    /// Sound without pictures.
    Audio,
}

/// Where a rendition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RenditionState {
    /// Planned.
    #[default]
    Pending,
    /// Segments appear.
    Running,
    /// Complete, and on disk.
    Ready,
    /// Not to be had.
    Failed,
}

/// One line of the plan that a probe leads to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenditionPlan {
    /// Unique within the video and a safe file name: `1080p`, `360p`, `audio`.
    pub name: String,
    /// Pictures or sound.
    pub kind: RenditionKind,
    /// Width in pixels; 0 for sound.
    pub width: u32,
    /// Height in pixels; 0 for sound.
    pub height: u32,
    /// Pictures a second; 0 for sound.
    pub frame_rate: f64,
    /// The most bits a second that it may take; for a copy, the source's own rate.
    pub bandwidth_cap: u64,
    /// The source's packets are taken as they are.
    pub copied: bool,
    /// BCP 47 language of a sound track, `und` when the file doesn't say.
    pub language: Option<String>,
}
