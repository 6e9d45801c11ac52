//! The API's own shapes of videos, work and uploads; stored records never leave as they are.

mod pictures;
mod playback;
mod upload;
mod work;

pub(super) use pictures::ThumbnailView;
pub(super) use playback::{CaptionView, PlaybackView};
pub(super) use upload::UploadView;
pub(super) use work::{ErrorView, StatusView, Work};

use crate::events::Progress;
use crate::model::extra::Pictures;
use crate::model::video::{SourceFacts, VideoKind, VideoState, Visibility, Warning};
use crate::state::{TrashRecord, VideoRecord};
use crate::units::UnixMillis;
use pictures::ChoiceView;
use playback::RenditionView;
use serde::Serialize;
use utoipa::ToSchema;

/// A video as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Video)]
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
    /// The file as it was sent is there, whole.
    original_kept: bool,
    source: Option<SourceView>,
    renditions: Vec<RenditionView>,
    playback: PlaybackView,
    poster_choice: Option<ChoiceView>,
    pub(super) processing: StatusView,
    warnings: Vec<Warning>,
    error: Option<ErrorView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trash: Option<TrashView>,
}

/// Until when a deleted video can be restored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TrashView {
    deleted_at: String,
    removed_at: String,
}

/// What everybody may know of a video that isn't private.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PublicVideo)]
pub(super) struct PublicView {
    id: String,
    title: String,
    description: String,
    duration: Option<f64>,
    state: VideoState,
    playback: PlaybackView,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Source)]
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
            original_kept: video.uploaded_at.is_some() && !video.discarded,
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
            trash: None,
        }
    }

    /// Makes the view of a record in the trash: nothing of it is served.
    pub(super) fn of_trashed(trashed: &TrashRecord, work: &Work<'_>) -> Self {
        let video = VideoRecord {
            playable: false,
            poster: None,
            chosen: None,
            pictures: Pictures::default(),
            texts: Vec::new(),
            captions: Vec::new(),
            chapters: Vec::new(),
            ..trashed.video.clone()
        };
        let trash = TrashView {
            deleted_at: trashed.deleted_at.to_rfc3339(),
            removed_at: trashed.until.to_rfc3339(),
        };
        Self { trash: Some(trash), ..Self::of(&video, work) }
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

    /// Returns the view with other addresses of media.
    pub(super) fn to(self, other: impl Fn(String) -> String) -> Self {
        Self { playback: self.playback.to(other), ..self }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Effort;
    use crate::ids::{Epoch, JobId, Owner, VideoId};
    use crate::model::job::{JobState, Stage, StageState};
    use crate::model::manifest::Picture;
    use crate::model::problem::{Problem, ProblemCode};
    use crate::model::rendition::{RenditionPlan, RenditionState};
    use crate::state::{JobRecord, RenditionRecord};
    use crate::units::ByteCount;
    use serde_json::{Value, json};

    fn video() -> VideoRecord {
        let now = UnixMillis(1_700_000_000_000);
        VideoRecord {
            state: VideoState::Processing,
            title: "Holiday".into(),
            tags: vec!["sea".into()],
            filename: "holiday.mov".into(),
            size: ByteCount(10),
            uploaded_at: Some(now),
            facts: Some(SourceFacts { duration: 40.0, ..SourceFacts::default() }),
            renditions: vec![RenditionRecord {
                plan: RenditionPlan::sample("360p"),
                state: RenditionState::Running,
                generation: Epoch(1),
                codecs: None,
                bandwidth: None,
            }],
            ..VideoRecord::new(VideoId::fresh(now), Owner("ann".into()), now)
        }
    }

    fn shown(video: &VideoRecord, work: &Work<'_>) -> Value {
        serde_json::to_value(VideoView::of(video, work)).expect("JSON")
    }

    /// An address appears when something answers there, and not before.
    #[test]
    fn addresses_are_null_until_they_work() {
        let idle = Work::default();
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
            playable_seconds: 10.0,
            made_seconds: 2.0,
            effort: Effort::default(),
        };
        let work = Work {
            job: Some(&job),
            progress: Some(&progress),
            position: Some(3),
            ..Work::default()
        };
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
        let code = ProblemCode::UnsupportedMedia;
        record.problem = Some(Problem::new(code, "No picture and no sound."));
        let idle = Work::default();
        let error = shown(&record, &idle)["error"].clone();
        assert_eq!(error["code"], "unsupported-media");
        assert_eq!(error["retryable"], json!(false));
        assert!(error["advice"].as_str().is_some_and(|advice| advice.contains("MP4")), "{error}");
    }

    /// Work that waits for another attempt tells why and until when; once it goes on there is
    /// nothing to complain of.
    #[test]
    fn another_attempt_is_announced() {
        let now = UnixMillis(1_700_000_000_000);
        let mut record = video();
        record.state = VideoState::Queued;
        let mut job = JobRecord::new(JobId::fresh(now), record.id, record.owner.clone(), now);
        job.attempt = 2;
        job.run_at = now.plus_ms(8000);
        job.problem = Some(Problem::new(ProblemCode::OutOfSpace, "The disk is full."));
        let status = |record: &VideoRecord, job: &JobRecord| {
            let work = Work { job: Some(job), ..Work::default() };
            shown(record, &work)["processing"].clone()
        };
        let waits = status(&record, &job);
        assert_eq!(
            (&waits["attempt"], &waits["error"]["code"]),
            (&json!(2), &json!("out-of-space"))
        );
        assert_eq!(waits["retryAt"], json!("2023-11-14T22:13:28.000Z"), "{waits}");
        record.state = VideoState::Processing;
        job.state = JobState::Running;
        let goes_on = status(&record, &job);
        assert_eq!((&goes_on["error"], &goes_on["retryAt"]), (&Value::Null, &Value::Null));
    }
}
