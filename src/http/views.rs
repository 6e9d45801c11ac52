//! The API's own shapes of videos, work and uploads; stored records never leave as they are.

use crate::events::Progress;
use crate::ids::VideoId;
use crate::model::extra::{POSTER_FILE, PREVIEW_FILE, STORYBOARD_FILE, Thumbnail, thumbnail_file};
use crate::model::job::{JobState, PosterSource, Stage, StageState, Task};
use crate::model::manifest::FILM_FILE;
use crate::model::problem::Problem;
use crate::model::rendition::{RenditionKind, RenditionState};
use crate::model::text::{CHAPTERS_FILE, Chapter, TextTrack, shown};
use crate::model::upload::UploadState;
use crate::model::video::{SourceFacts, VideoKind, VideoState, Visibility, Warning};
use crate::state::{JobRecord, RenditionRecord, UploadRecord, VideoRecord};
use crate::units::UnixMillis;
use serde::Serialize;

/// A video as its owner sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VideoView {
    id: String,
    kind: VideoKind,
    owner: String,
    title: String,
    description: String,
    tags: Vec<String>,
    filename: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    session_id: Option<String>,
    state: VideoState,
    playable: bool,
    visibility: Visibility,
    created_at: String,
    uploaded_at: Option<String>,
    ready_at: Option<String>,
    source: Option<SourceView>,
    renditions: Vec<RenditionView>,
    playback: PlaybackView,
    poster_choice: Option<ChoiceView>,
    pub(super) processing: StatusView,
    warnings: Vec<Warning>,
    error: Option<ErrorView>,
}

/// What everybody may know of a video that isn't private.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicView {
    id: String,
    title: String,
    description: String,
    duration: Option<f64>,
    state: VideoState,
    playback: PlaybackView,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceView {
    container: String,
    duration: f64,
    width: u32,
    height: u32,
    rotation: u32,
    frame_rate: f64,
    video_codec: Option<String>,
    audio_codec: Option<String>,
    bit_rate: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RenditionView {
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
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlaybackView {
    hls: Option<String>,
    dash: Option<String>,
    mp4: Option<String>,
    pub(super) poster: Option<String>,
    pub(super) storyboard: Option<String>,
    pub(super) preview: Option<String>,
    playable_seconds: f64,
    captions: Vec<CaptionView>,
    chapters: Option<ChaptersView>,
}

/// What somebody has chosen as the poster.
#[derive(Debug, Serialize)]
struct ChoiceView {
    state: ChoiceState,
    time: Option<f64>,
    error: Option<ErrorView>,
}

/// How far that is.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum ChoiceState {
    Pending,
    Set,
    Failed,
}

impl ChoiceView {
    /// Makes the view of the newest choice; one that failed is told, but has changed nothing.
    fn of(video: &VideoRecord, job: Option<&JobRecord>) -> Option<Self> {
        let unset = job.filter(|job| job.state != JobState::Done);
        let Some(job) = unset else {
            let chosen = video.chosen.as_ref()?;
            return Some(Self { state: ChoiceState::Set, time: chosen.time, error: None });
        };
        let time = match job.task {
            Task::Poster { of: PosterSource::Time { seconds } } => Some(seconds),
            _ => None,
        };
        let state = if job.is_open() { ChoiceState::Pending } else { ChoiceState::Failed };
        Some(Self { state, time, error: job.problem.as_ref().map(ErrorView::of) })
    }
}

/// Returns the poster's address. That of a chosen one tells which, so that no cache shows another.
fn poster_url(video: &VideoRecord) -> Option<String> {
    let at = format!("/media/{}/{POSTER_FILE}", video.id);
    match (&video.chosen, &video.poster) {
        (Some(chosen), _) => Some(format!("{at}?v={}", chosen.version)),
        (None, Some(_)) => Some(at),
        (None, None) => None,
    }
}

/// A still to choose a poster from.
#[derive(Debug, Serialize)]
pub(super) struct ThumbnailView {
    url: String,
    width: u32,
    height: u32,
    /// Where it is in the film, in seconds; unknown for the poster.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
}

impl ThumbnailView {
    /// Makes the views of all stills out of a film.
    pub(super) fn all(video: &VideoRecord) -> Vec<Self> {
        let of = |(number, still): (usize, &Thumbnail)| Self {
            url: format!("/media/{}/{}", video.id, thumbnail_file(number)),
            width: still.picture.width,
            height: still.picture.height,
            time: Some(still.time),
        };
        (1..).zip(&video.pictures.thumbnails).map(of).collect()
    }

    /// Makes the view of the poster, if there is one.
    pub(super) fn poster(video: &VideoRecord) -> Option<Self> {
        let chosen = video.chosen.as_ref();
        let picture = chosen.map(|chosen| &chosen.picture).or(video.poster.as_ref())?;
        Some(Self {
            url: poster_url(video)?,
            width: picture.width,
            height: picture.height,
            time: chosen.and_then(|chosen| chosen.time),
        })
    }
}

/// A text track.
#[derive(Debug, Serialize)]
pub(super) struct CaptionView {
    lang: String,
    label: String,
    kind: &'static str,
    url: String,
}

/// The chapters, and where they are as a text track.
#[derive(Debug, Serialize)]
struct ChaptersView {
    url: String,
    items: Vec<ChapterView>,
}

#[derive(Debug, Serialize)]
struct ChapterView {
    start: f64,
    end: f64,
    title: String,
}

/// How far the work on a video is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusView {
    state: VideoState,
    progress: f64,
    stages: Vec<StageView>,
    queue_position: Option<usize>,
    eta_seconds: Option<f64>,
    speed: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StageView {
    name: Stage,
    state: StageState,
    progress: f64,
    attempt: u32,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<ErrorView>,
}

/// Why something failed, in the words of the API.
#[derive(Debug, Serialize)]
pub(super) struct ErrorView {
    code: crate::model::problem::ProblemCode,
    title: &'static str,
    detail: String,
    retryable: bool,
}

/// An upload as its owner sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UploadView {
    upload_id: String,
    video_id: Option<String>,
    state: UploadState,
    filename: String,
    size: Option<u64>,
    received_bytes: u64,
    session_id: Option<String>,
    created_at: String,
    expires_at: Option<String>,
    url: String,
}

/// What besides its record is known of a video's work.
pub(super) struct Work<'a> {
    /// The newest job.
    pub(super) job: Option<&'a JobRecord>,
    /// The last report of it.
    pub(super) progress: Option<&'a Progress>,
    /// How many jobs go before it, counted from 1.
    pub(super) position: Option<usize>,
    /// The newest job on a chosen poster.
    pub(super) choice: Option<&'a JobRecord>,
}

impl VideoView {
    /// Makes the view of a record.
    pub(super) fn of(video: &VideoRecord, work: &Work<'_>) -> Self {
        Self {
            id: video.id.to_string(),
            kind: video.kind,
            owner: video.owner.to_string(),
            title: video.title.clone(),
            description: video.description.clone(),
            tags: video.tags.clone(),
            filename: video.filename.clone(),
            size: video.size.0,
            sha256: video.sha256.clone(),
            session_id: video.session.clone(),
            state: video.state,
            playable: video.playable,
            visibility: video.visibility,
            created_at: video.created_at.to_rfc3339(),
            uploaded_at: video.uploaded_at.map(UnixMillis::to_rfc3339),
            ready_at: video.ready_at.map(UnixMillis::to_rfc3339),
            source: video.facts.as_ref().map(SourceView::of),
            renditions: video
                .renditions
                .iter()
                .map(|rendition| RenditionView::of(rendition, work.progress))
                .collect(),
            playback: PlaybackView::of(video, work.progress),
            poster_choice: ChoiceView::of(video, work.choice),
            processing: StatusView::of(video, work),
            warnings: video.warnings.clone(),
            error: video.problem.as_ref().map(ErrorView::of),
        }
    }
}

impl PublicView {
    /// Makes the view of a record.
    pub(super) fn of(video: &VideoRecord, progress: Option<&Progress>) -> Self {
        Self {
            id: video.id.to_string(),
            title: video.title.clone(),
            description: video.description.clone(),
            duration: video.facts.as_ref().map(|facts| facts.duration),
            state: video.state,
            playback: PlaybackView::of(video, progress),
        }
    }
}

impl SourceView {
    fn of(facts: &SourceFacts) -> Self {
        Self {
            container: facts.container.clone(),
            duration: facts.duration,
            width: facts.width,
            height: facts.height,
            rotation: facts.rotation,
            frame_rate: facts.frame_rate,
            video_codec: facts.video_codec.clone(),
            audio_codec: facts.audio_codec.clone(),
            bit_rate: facts.bit_rate,
        }
    }
}

impl RenditionView {
    fn of(rendition: &RenditionRecord, progress: Option<&Progress>) -> Self {
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
    pub(super) fn of(video: &VideoRecord, progress: Option<&Progress>) -> Self {
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
}

impl CaptionView {
    /// Makes the view of a text track.
    pub(super) fn of(video: VideoId, track: &TextTrack) -> Self {
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
    let shares = video.renditions.iter().map(|rendition| rendition_progress(rendition, progress));
    shares.fold(0.0, f64::max) * duration
}

impl StatusView {
    /// Makes the view of a video's work.
    pub(super) fn of(video: &VideoRecord, work: &Work<'_>) -> Self {
        let stages: Vec<StageView> = work.job.map_or_else(Vec::new, |job| {
            job.stages.iter().map(|stage| StageView::of(stage, job, work.progress)).collect()
        });
        let progress = match video.state {
            VideoState::Ready => 1.0,
            VideoState::Uploading | VideoState::Queued => 0.0,
            VideoState::Processing | VideoState::Failed => overall(&stages),
        };
        let running = work.progress.filter(|_| video.state == VideoState::Processing);
        Self {
            state: video.state,
            progress,
            stages,
            queue_position: work.position.filter(|_| video.state == VideoState::Queued),
            eta_seconds: running.and_then(|progress| progress.eta_seconds),
            speed: running.map(|progress| progress.speed),
        }
    }
}

/// Returns the share of the whole work that is done. Nearly all time goes into renditions.
fn overall(stages: &[StageView]) -> f64 {
    let weight = |stage| match stage {
        Stage::Renditions => 90.0,
        Stage::Poster => 3.0,
        Stage::Probe | Stage::Publish => 2.0,
        Stage::Storyboard | Stage::Captions => 1.5,
    };
    let counted = || stages.iter().filter(|stage| stage.state != StageState::Skipped);
    let all: f64 = counted().map(|stage| weight(stage.name)).sum();
    let done: f64 = counted().map(|stage| weight(stage.name) * stage.progress).sum();
    if all > 0.0 { (done / all).clamp(0.0, 1.0) } else { 0.0 }
}

impl StageView {
    fn of(stage: &crate::state::StageRecord, job: &JobRecord, progress: Option<&Progress>) -> Self {
        let reported = progress.filter(|progress| progress.stage == stage.stage);
        let progress = match stage.state {
            StageState::Done | StageState::Skipped => 1.0,
            StageState::Running => reported.map_or(0.0, |report| report.progress.clamp(0.0, 1.0)),
            StageState::Pending | StageState::Failed => 0.0,
        };
        let problem = job.problem.as_ref().filter(|_| stage.state == StageState::Failed);
        Self {
            name: stage.stage,
            state: stage.state,
            progress,
            attempt: stage.attempt,
            started_at: stage.started_at.map(UnixMillis::to_rfc3339),
            finished_at: stage.finished_at.map(UnixMillis::to_rfc3339),
            error: problem.map(ErrorView::of),
        }
    }
}

impl ErrorView {
    /// Makes the view of a video's problem.
    pub(super) fn of(problem: &Problem) -> Self {
        Self {
            code: problem.code,
            title: problem.code.title(),
            detail: problem.detail.clone(),
            retryable: problem.code.is_retryable(),
        }
    }
}

impl UploadView {
    /// Makes the view of a record.
    pub(super) fn of(upload: &UploadRecord) -> Self {
        let open = matches!(upload.state, UploadState::Partial);
        let received = match upload.state {
            UploadState::Finishing | UploadState::Finished => upload.length,
            _ => None,
        };
        Self {
            upload_id: upload.id.to_string(),
            video_id: upload.video.map(|id| id.to_string()),
            state: upload.state,
            filename: upload.filename.clone(),
            size: upload.length.map(|length| length.0),
            received_bytes: received.unwrap_or_else(|| upload.received.written.total()).0,
            session_id: upload.session.clone(),
            created_at: upload.created_at.to_rfc3339(),
            expires_at: open.then(|| upload.expires_at.to_rfc3339()),
            url: match upload.chunks {
                Some(_) => format!("/api/videos/upload/{}", upload.id),
                None => format!("/files/{}", upload.id),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, JobId, Owner, VideoId};
    use crate::model::manifest::Picture;
    use crate::model::rendition::RenditionPlan;
    use crate::units::ByteCount;
    use serde_json::{Value, json};

    fn video() -> VideoRecord {
        let now = UnixMillis(1_700_000_000_000);
        let plan = RenditionPlan {
            name: "360p".into(),
            kind: RenditionKind::Video,
            width: 640,
            height: 360,
            frame_rate: 25.0,
            bandwidth_cap: 800_000,
            copied: false,
            language: None,
            sound: None,
        };
        VideoRecord {
            id: VideoId::fresh(now),
            upload: None,
            job: None,
            owner: Owner("ann".into()),
            kind: VideoKind::Video,
            state: VideoState::Processing,
            playable: false,
            visibility: Visibility::Unlisted,
            title: "Holiday".into(),
            description: String::new(),
            tags: vec!["sea".into()],
            filename: "holiday.mov".into(),
            session: None,
            size: ByteCount(10),
            sha256: None,
            created_at: now,
            uploaded_at: Some(now),
            playable_at: None,
            ready_at: None,
            facts: Some(SourceFacts { duration: 40.0, ..SourceFacts::default() }),
            poster: None,
            formats: Default::default(),
            chosen: None,
            small_jobs: Vec::new(),
            pictures: Default::default(),
            renditions: vec![RenditionRecord {
                plan,
                state: RenditionState::Running,
                generation: Epoch(1),
                codecs: None,
                bandwidth: None,
            }],
            warnings: Vec::new(),
            problem: None,
            discarded: false,
            texts: Vec::new(),
            captions: Vec::new(),
            chapters: Vec::new(),
        }
    }

    fn shown(video: &VideoRecord, work: &Work<'_>) -> Value {
        serde_json::to_value(VideoView::of(video, work)).expect("JSON")
    }

    /// An address appears when something answers there, and not before.
    #[test]
    fn addresses_are_null_until_they_work() {
        let idle = Work { job: None, progress: None, position: None, choice: None };
        let mut record = video();
        let playback = shown(&record, &idle)["playback"].clone();
        assert_eq!(playback["hls"], Value::Null);
        assert_eq!(playback["poster"], Value::Null);
        record.playable = true;
        record.poster = Some(Picture { width: 640, height: 360 });
        let playback = shown(&record, &idle)["playback"].clone();
        assert_eq!(playback["hls"], json!(format!("/media/{}/master.m3u8", record.id)));
        assert_eq!(playback["dash"], json!(format!("/media/{}/manifest.mpd", record.id)));
        assert_eq!(playback["poster"], json!(format!("/media/{}/poster.jpg", record.id)));
    }

    /// Reports of the work reach the stage, the rendition and the whole.
    #[test]
    fn progress_is_told_at_every_level() {
        let now = UnixMillis(1_700_000_000_000);
        let mut record = video();
        record.playable = true;
        let mut job = JobRecord::new(JobId::fresh(now), record.id, record.owner.clone(), now);
        for stage in &mut job.stages {
            stage.state = match stage.stage {
                Stage::Probe | Stage::Poster => StageState::Done,
                Stage::Renditions => StageState::Running,
                Stage::Publish => StageState::Pending,
                Stage::Storyboard | Stage::Captions => StageState::Skipped,
            };
        }
        let progress = Progress {
            stage: Stage::Renditions,
            progress: 0.5,
            speed: 3.0,
            eta_seconds: Some(7.0),
            renditions: vec![("360p".into(), 0.25)],
        };
        let work =
            Work { job: Some(&job), progress: Some(&progress), position: Some(3), choice: None };
        let value = shown(&record, &work);
        assert_eq!(value["renditions"][0]["progress"], json!(0.25));
        assert_eq!(value["playback"]["playableSeconds"], json!(10.0));
        let status = &value["processing"];
        assert_eq!(status["stages"][2]["name"], "renditions");
        assert_eq!(status["stages"][2]["progress"], json!(0.5));
        assert_eq!(status["etaSeconds"], json!(7.0));
        assert_eq!(status["queuePosition"], Value::Null);
        let overall = status["progress"].as_f64().expect("a number");
        assert!((overall - 50.0 / 97.0).abs() < 1e-9, "{overall}");
    }

    /// What is public is exactly the list that the API promises.
    #[test]
    fn the_public_part_is_small() {
        let value = serde_json::to_value(PublicView::of(&video(), None)).expect("JSON");
        let mut keys: Vec<&str> =
            value.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["description", "duration", "id", "playback", "state", "title"]);
    }

    /// A failure is told with its code, its title, and whether another try can help.
    #[test]
    fn failures_use_the_stable_codes() {
        let mut record = video();
        record.state = VideoState::Failed;
        let code = crate::model::problem::ProblemCode::UnsupportedMedia;
        record.problem = Some(Problem::new(code, "No picture and no sound."));
        let idle = Work { job: None, progress: None, position: None, choice: None };
        let error = shown(&record, &idle)["error"].clone();
        assert_eq!(error["code"], "unsupported-media");
        assert_eq!(error["retryable"], json!(false));
    }
}
