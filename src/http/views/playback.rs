//! Where a video can be played, and what there is to choose from: qualities, captions, chapters.

use super::pictures::poster_url;
use crate::events::Progress;
use crate::ids::VideoId;
use crate::model::extra::{PREVIEW_FILE, STORYBOARD_FILE};
use crate::model::manifest::FILM_FILE;
use crate::model::rendition::{RenditionKind, RenditionState};
use crate::model::text::{CHAPTERS_FILE, Chapter, TextTrack, shown};
use crate::model::video::VideoState;
use crate::state::{RenditionRecord, VideoRecord};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Rendition)]
pub(super) struct RenditionView {
    name: String,
    kind: RenditionKind,
    language: Option<String>,
    label: Option<String>,
    channels: Option<u32>,
    width: u32,
    height: u32,
    bandwidth: Option<u64>,
    codecs: Option<String>,
    state: RenditionState,
    progress: f64,
}

/// Where a video can be played; an address is null until something answers there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Playback)]
pub(in crate::http) struct PlaybackView {
    pub(in crate::http) hls: Option<String>,
    pub(in crate::http) dash: Option<String>,
    pub(in crate::http) mp4: Option<String>,
    pub(in crate::http) poster: Option<String>,
    pub(in crate::http) storyboard: Option<String>,
    pub(in crate::http) preview: Option<String>,
    playable_seconds: f64,
    captions: Vec<CaptionView>,
    chapters: Option<ChaptersView>,
}

/// A text track.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Captions)]
pub(in crate::http) struct CaptionView {
    lang: String,
    label: String,
    kind: &'static str,
    url: String,
}

/// The chapters, and where they are as a text track.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Chapters)]
struct ChaptersView {
    url: String,
    items: Vec<ChapterView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Chapter)]
struct ChapterView {
    start: f64,
    end: f64,
    title: String,
}

impl RenditionView {
    pub(super) fn of(rendition: &RenditionRecord, progress: Option<&Progress>) -> Self {
        let plan = &rendition.plan;
        Self {
            name: plan.name.clone(),
            kind: plan.kind,
            language: plan.language.clone(),
            label: plan.sound.as_ref().map(|sound| sound.label.clone()),
            channels: (plan.kind == RenditionKind::Audio).then(|| plan.layout().channels()),
            width: plan.width,
            height: plan.height,
            bandwidth: rendition.bandwidth,
            codecs: rendition.codecs.clone(),
            state: rendition.state,
            progress: rendition_progress(rendition, progress),
        }
    }
}

fn rendition_progress(rendition: &RenditionRecord, progress: Option<&Progress>) -> f64 {
    if rendition.state == RenditionState::Ready {
        return 1.0;
    }
    let reports = progress.map(|progress| progress.renditions.as_slice()).unwrap_or_default();
    let report = reports.iter().find(|(name, _)| *name == rendition.plan.name);
    report.map_or(0.0, |&(_, done)| done.clamp(0.0, 1.0))
}

impl PlaybackView {
    /// Makes the view of a record.
    pub(in crate::http) fn of(video: &VideoRecord, progress: Option<&Progress>) -> Self {
        let pictures = &video.pictures;
        let at = |file: &str| format!("/media/{}/{file}", video.id);
        Self {
            hls: (video.playable && video.formats.hls).then(|| at("master.m3u8")),
            dash: (video.playable && video.formats.dash).then(|| at("manifest.mpd")),
            mp4: video.formats.mp4.then(|| at(FILM_FILE)),
            poster: poster_url(video),
            storyboard: pictures.storyboard.as_ref().map(|_| at(STORYBOARD_FILE)),
            preview: pictures.preview.as_ref().map(|_| at(PREVIEW_FILE)),
            playable_seconds: playable_seconds(video, progress),
            captions: shown(&video.captions, &video.texts)
                .into_iter()
                .map(|track| CaptionView::of(video.id, track))
                .collect(),
            chapters: (!video.chapters.is_empty())
                .then(|| ChaptersView::of(&video.chapters, at(CHAPTERS_FILE))),
        }
    }

    /// Returns the view with other addresses.
    pub(in crate::http) fn to(self, other: impl Fn(String) -> String) -> Self {
        let caption = |track: CaptionView| CaptionView { url: other(track.url), ..track };
        let chapters = |it: ChaptersView| ChaptersView { url: other(it.url), ..it };
        Self {
            hls: self.hls.map(&other),
            dash: self.dash.map(&other),
            mp4: self.mp4.map(&other),
            poster: self.poster.map(&other),
            storyboard: self.storyboard.map(&other),
            preview: self.preview.map(&other),
            playable_seconds: self.playable_seconds,
            captions: self.captions.into_iter().map(caption).collect(),
            chapters: self.chapters.map(chapters),
        }
    }
}

impl CaptionView {
    /// Makes the view of a text track.
    pub(in crate::http) fn of(video: VideoId, track: &TextTrack) -> Self {
        Self {
            lang: track.lang.clone(),
            label: track.label.clone(),
            kind: track.kind.word(),
            url: format!("/media/{video}/captions/{}.vtt", track.name()),
        }
    }
}

impl ChaptersView {
    fn of(chapters: &[Chapter], url: String) -> Self {
        let view =
            |it: &Chapter| ChapterView { start: it.start, end: it.end, title: it.title.clone() };
        Self { url, items: chapters.iter().map(view).collect() }
    }
}

/// Returns how much can be played: all once a rung is whole, before that what the furthest has.
fn playable_seconds(video: &VideoRecord, progress: Option<&Progress>) -> f64 {
    let duration = video.facts.as_ref().map_or(0.0, |facts| facts.duration);
    if !video.playable {
        return 0.0;
    }
    if video.state == VideoState::Ready {
        return duration;
    }
    if let Some(progress) = progress {
        return progress.playable_seconds;
    }
    let shares = video.renditions.iter().map(|rendition| rendition_progress(rendition, None));
    shares.fold(0.0, f64::max) * duration
}
