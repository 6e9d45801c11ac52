//! How far the work on a video is, and why it failed.

use crate::events::Progress;
use crate::model::job::{JobState, Stage, StageState};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::video::VideoState;
use crate::state::{JobRecord, StageRecord, VideoRecord};
use crate::units::UnixMillis;
use serde::Serialize;
use utoipa::ToSchema;

/// How far the work on a video is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProcessingStatus)]
pub(in crate::http) struct StatusView {
    state: VideoState,
    progress: f64,
    stages: Vec<StageView>,
    queue_position: Option<usize>,
    eta_seconds: Option<f64>,
    speed: Option<f64>,
    /// How often the work was begun.
    attempt: u32,
    /// When the next attempt may begin, while the work waits for one.
    retry_at: Option<String>,
    /// Why the last attempt failed, while it counts.
    error: Option<ErrorView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StageStatus)]
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VideoError)]
pub(in crate::http) struct ErrorView {
    code: ProblemCode,
    title: &'static str,
    detail: String,
    /// What the person can do.
    advice: &'static str,
    retryable: bool,
}

/// What besides its record is known of a video's work.
#[derive(Default)]
pub(in crate::http) struct Work<'a> {
    /// The newest job.
    pub(in crate::http) job: Option<&'a JobRecord>,
    /// The last report of it.
    pub(in crate::http) progress: Option<&'a Progress>,
    /// How many jobs go before it, counted from 1.
    pub(in crate::http) position: Option<usize>,
    /// Seconds until it will be ready, while it waits.
    pub(in crate::http) ready_in: Option<f64>,
    /// The newest job on a chosen poster.
    pub(in crate::http) choice: Option<&'a JobRecord>,
}

impl StatusView {
    /// Makes the view of a video's work.
    pub(in crate::http) fn of(video: &VideoRecord, work: &Work<'_>) -> Self {
        let stages: Vec<StageView> = work.job.map_or_else(Vec::new, |job| {
            job.stages.iter().map(|stage| StageView::of(stage, job, work.progress)).collect()
        });
        let progress = match video.state {
            VideoState::Ready => 1.0,
            VideoState::Uploading | VideoState::Queued => 0.0,
            VideoState::Processing | VideoState::Failed => overall(&stages),
        };
        // A job that goes on has nothing to complain of any more.
        let waits = work.job.filter(|job| job.state == JobState::Queued && job.problem.is_some());
        let failed = waits.and_then(|job| job.problem.as_ref()).or(video.problem.as_ref());
        let retry_at = waits.map(|job| job.run_at.to_rfc3339());
        let running = work.progress.filter(|_| video.state == VideoState::Processing);
        Self {
            state: video.state,
            progress,
            stages,
            queue_position: work.position.filter(|_| video.state == VideoState::Queued),
            eta_seconds: match running {
                Some(progress) => progress.eta_seconds,
                None => work.ready_in,
            },
            speed: running.map(|progress| progress.speed),
            attempt: work.job.map_or(0, |job| job.attempt),
            retry_at,
            error: failed.map(ErrorView::of),
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
    fn of(stage: &StageRecord, job: &JobRecord, progress: Option<&Progress>) -> Self {
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
    pub(in crate::http) fn of(problem: &Problem) -> Self {
        Self {
            code: problem.code,
            title: problem.code.title(),
            detail: problem.detail.clone(),
            advice: problem.code.advice(),
            retryable: problem.code.is_retryable(),
        }
    }
}
