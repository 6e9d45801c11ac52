//! A rendition (or rung): one quality of a video, or its sound.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a rendition carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RenditionKind {
    /// Pictures without sound.
    Video,
    /// Sound without pictures.
    Audio,
}

/// Where a rendition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// What else there is to say of sound; a program that didn't know made one stereo track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<SoundTraits>,
}

/// What players show and choose by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundTraits {
    /// Number of the track among those of the source that are used; 0 is the one that plays unless
    /// another is asked for.
    pub track: u32,
    /// Name for people, unique among the tracks; all renditions of one track share it.
    pub label: String,
    /// Which of the renditions of its track it is.
    pub layout: SoundLayout,
    /// What it is for.
    pub purpose: SoundPurpose,
}

/// The forms in which one sound track is offered, in the order of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundLayout {
    /// Two channels.
    Stereo,
    /// Two channels at a low rate, for slow networks.
    Low,
    /// Six channels, 5.1.
    Surround,
}

impl SoundLayout {
    /// Returns how many channels it has.
    pub fn channels(self) -> u32 {
        match self {
            Self::Stereo | Self::Low => 2,
            Self::Surround => 6,
        }
    }
}

/// What a sound track is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoundPurpose {
    /// The film's own sound.
    #[default]
    Main,
    /// Somebody talks about the film.
    Commentary,
    /// What is to be seen is told, for the blind.
    Description,
    /// Speech is made clearer, for the hard of hearing.
    Clear,
}

impl RenditionPlan {
    /// Small pictures, for tests.
    #[cfg(test)]
    pub(crate) fn sample(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: RenditionKind::Video,
            width: 640,
            height: 360,
            frame_rate: 25.0,
            bandwidth_cap: 800_000,
            copied: false,
            language: None,
            sound: None,
        }
    }

    /// Returns the form of a rendition of sound.
    pub fn layout(&self) -> SoundLayout {
        self.sound.as_ref().map_or(SoundLayout::Stereo, |sound| sound.layout)
    }
}
