//! What the operator sees: the server's state, its queue and its jobs. Admins only.

use super::problem::{Code, Problem};
use super::routes::table;
use super::views::ErrorView;
use super::{AppParts, Shared, Tls, blocking, guard, overview, translate, videos};
use crate::disk::Room;
use crate::events::Progress;
use crate::ids::{JobId, VideoId};
use crate::model::access::Right;
use crate::model::figures::Figures;
use crate::model::job::{JobState, PRIORITIES, Stage, StageState};
use crate::model::keep::KeepOriginals;
use crate::model::problem::Problem as MediaProblem;
use crate::model::room::warn_below;
use crate::model::upload::UploadState;
use crate::state::{JobRecord, VideoRecord};
use crate::units::{ByteCount, UnixMillis};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Jobs on the status page.
const JOBS_SHOWN: usize = 50;
/// Most jobs in one page of the list.
const JOBS_MAX: usize = 200;
/// What the figures call an hour, a day and a month, in milliseconds.
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/status" => get(status);
    "/api/admin/figures" => get(figures);
    "/api/admin/queue" => get(overview::line), put(set_queue);
    "/api/videos/processing/queue-status" => get(queue_status);
    "/api/videos/processing/jobs" => get(jobs);
    "/api/videos/{id}/priority" => put(set_priority);
}

fn answer(said: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(said)
}

/// The queue in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = QueueStatus)]
pub(super) struct QueueNumbers {
    queued: usize,
    running: usize,
    failed: usize,
    done_last_hour: usize,
    workers: usize,
    oldest_queued_seconds: Option<f64>,
    /// Jobs finished in an hour.
    throughput: usize,
    eta_seconds: Option<f64>,
    /// Nothing is begun until the queue goes on.
    paused: bool,
}

/// Counts the queue.
pub(super) fn queue_numbers(parts: &AppParts) -> Result<QueueNumbers, Problem> {
    let counts = parts.queue.counts().map_err(translate::queue)?;
    let workers = parts.config.media.workers.max(1) as f64;
    let eta_seconds = match counts.queued + counts.running {
        0 => Some(0.0),
        open => counts.usual_job_seconds.map(|seconds| open as f64 * seconds / workers),
    };
    Ok(QueueNumbers {
        queued: counts.queued,
        running: counts.running,
        failed: counts.failed,
        done_last_hour: counts.done_last_hour,
        workers: parts.config.media.workers,
        oldest_queued_seconds: counts.oldest_queued_ms.map(|ms| ms as f64 / 1000.0),
        throughput: counts.done_last_hour,
        eta_seconds,
        paused: counts.is_paused,
    })
}

/// One job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(super) struct JobView {
    id: String,
    video_id: String,
    title: Option<String>,
    owner: String,
    state: JobState,
    priority: i32,
    stage: Option<Stage>,
    progress: Option<f64>,
    /// The qualities that are made, and how far each is.
    renditions: Vec<RungView>,
    speed: Option<f64>,
    /// Processes that work on it.
    children: usize,
    /// What they hold in memory, taken together.
    memory_bytes: u64,
    attempt: u32,
    /// Its place in line, from 1, where a line is asked for.
    position: Option<usize>,
    /// When it is tried again, while it waits for that.
    retry_at: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    eta_seconds: Option<f64>,
    /// Seconds of film that are here and not made yet in each quality, along an upload.
    behind_seconds: Option<f64>,
    error: Option<ErrorView>,
}

/// A quality under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobRendition)]
struct RungView {
    name: String,
    progress: f64,
}

impl JobView {
    /// Describes a job that has so many before it, or isn't in line.
    pub(super) fn in_line(job: &JobRecord, parts: &AppParts, before: Option<usize>) -> Self {
        Self { position: before.map(|before| before + 1), ..Self::of(job, parts) }
    }

    fn of(job: &JobRecord, parts: &AppParts) -> Self {
        let video = parts.state.video(job.video).ok().flatten();
        let running = job.state == JobState::Running;
        let progress = parts.hub.progress(job.video).filter(|_| running);
        let begun = job.stages.iter().find(|stage| stage.state == StageState::Running);
        let behind = progress.as_ref().filter(|_| job.live);
        let behind = behind.and_then(|progress| behind_seconds(video.as_ref()?, progress, parts));
        let effort = progress.as_ref().map(|progress| progress.effort).unwrap_or_default();
        let rungs = progress.iter().flat_map(|progress| progress.renditions.clone());
        let renditions = rungs.map(|(name, progress)| RungView { name, progress }).collect();
        let waits = job.state == JobState::Queued && job.run_at > parts.clock.now();
        Self {
            id: job.id.to_string(),
            video_id: job.video.to_string(),
            title: video.map(|video| video.title),
            owner: job.owner.0.clone(),
            state: job.state,
            priority: job.priority,
            stage: begun.map(|stage| stage.stage).or(progress.as_ref().map(|p| p.stage)),
            progress: progress.as_ref().map(|progress| progress.progress),
            speed: progress.as_ref().map(|progress| progress.speed),
            children: effort.children,
            memory_bytes: effort.memory.0,
            renditions,
            attempt: job.attempt,
            position: None,
            retry_at: waits.then(|| job.run_at.to_rfc3339()),
            created_at: job.created_at.to_rfc3339(),
            started_at: job.started_at.map(UnixMillis::to_rfc3339),
            finished_at: job.finished_at.map(UnixMillis::to_rfc3339),
            eta_seconds: progress.and_then(|progress| progress.eta_seconds),
            behind_seconds: behind,
            error: job.problem.as_ref().map(|problem: &MediaProblem| ErrorView::of(problem)),
        }
    }
}

/// Returns how many seconds of film the work on an upload is behind the bytes that are here, were
/// all seconds of one size.
fn behind_seconds(video: &VideoRecord, progress: &Progress, parts: &AppParts) -> Option<f64> {
    let upload = parts.uploads.so_far(parts.state.upload(video.upload?).ok().flatten()?);
    let all = upload.length.filter(|length| length.0 > 0)?.0 as f64;
    let here = upload.received.written.total().0 as f64;
    let duration = video.facts.as_ref()?.duration;
    (duration > 0.0).then(|| (here / all * duration - progress.made_seconds).max(0.0))
}

/// Tells the queue in numbers.
#[utoipa::path(get, path = "/api/videos/processing/queue-status", operation_id = "getQueueStatus",
    responses((status = 200, body = QueueNumbers, description = "The queue in numbers")))]
async fn queue_status(req: HttpRequest, app: App) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    Ok(answer(blocking(&app, queue_numbers).await?))
}

/// What is to be different about the queue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QueueChange {
    paused: bool,
}

/// Pauses the queue, or has it go on.
#[utoipa::path(put, path = "/api/admin/queue", operation_id = "changeQueue",
    responses((status = 200, body = QueueNumbers, description = "The queue in numbers")))]
async fn set_queue(req: HttpRequest, app: App, change: web::Json<QueueChange>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    app.parts.queue.pause(change.paused).await.map_err(translate::queue)?;
    Ok(answer(blocking(&app, queue_numbers).await?))
}

/// How urgent a video is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PriorityChange {
    /// -100 to 100; the higher one goes first.
    priority: i32,
}

/// Gives a video's open job another priority.
#[utoipa::path(put, path = "/api/videos/{id}/priority", operation_id = "setPriority",
    responses((status = 200, body = JobView, description = "The job as it is now")))]
async fn set_priority(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    change: web::Json<PriorityChange>,
) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let (id, priority) = (videos::id_of(&id)?, change.priority);
    if !PRIORITIES.contains(&priority) {
        let detail = "`priority` is a whole number from -100 to 100.";
        return Err(Problem::new(Code::InvalidRequest, detail).field("priority"));
    }
    app.parts.queue.prioritise(id, priority).await.map_err(translate::queue)?;
    Ok(answer(blocking(&app, move |parts| job_of(parts, id)).await?))
}

/// Describes the newest job on a video.
pub(super) fn job_of(parts: &AppParts, video: VideoId) -> Result<JobView, Problem> {
    let video = parts.state.video(video).map_err(translate::state)?;
    let job = video.and_then(|video| video.job).ok_or_else(Problem::not_found)?;
    let job = parts.state.job(job).map_err(translate::state)?.ok_or_else(Problem::not_found)?;
    Ok(JobView::of(&job, parts))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Query {
    state: Option<JobState>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Some of the jobs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobPage)]
pub(super) struct Page {
    items: Vec<JobView>,
    next_cursor: Option<String>,
}

/// Lists jobs.
#[utoipa::path(get, path = "/api/videos/processing/jobs", operation_id = "listJobs", params(Query),
    responses((status = 200, body = Page, description = "The newest first")))]
async fn jobs(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let Query { state, limit, cursor } = query.into_inner();
    let before = cursor.as_deref().map(JobId::parse).transpose().map_err(|_| {
        Problem::new(Code::InvalidRequest, "`cursor` isn't one that was given.").field("cursor")
    })?;
    let limit = limit.unwrap_or(JOBS_SHOWN);
    Ok(answer(blocking(&app, move |parts| page(parts, state, before, limit)).await?))
}

/// Reads some of the jobs.
pub(super) fn page(
    parts: &AppParts,
    state: Option<JobState>,
    before: Option<JobId>,
    limit: usize,
) -> Result<Page, Problem> {
    let limit = limit.clamp(1, JOBS_MAX);
    let mut jobs = parts.state.jobs(state, before, limit + 1).map_err(translate::state)?;
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next_cursor = jobs.last().filter(|_| more).map(|job| job.id.to_string());
    let items = jobs.iter().map(|job| JobView::of(job, parts)).collect();
    Ok(Page { items, next_cursor })
}

/// The state of the server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerStatus)]
pub(super) struct Status {
    version: &'static str,
    started_at: String,
    uptime_seconds: f64,
    ffmpeg: String,
    sandbox: Sandbox,
    queue: QueueNumbers,
    jobs: Vec<JobView>,
    disk: Disk,
    uploads: Uploads,
    retention: RulesView,
    warnings: Vec<Warning>,
}

/// What goes by itself, and when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RetentionRules)]
struct RulesView {
    /// Originals go this long after their video has become ready; none: they stay.
    originals_seconds: Option<f64>,
    /// Videos go this long after they have become ready.
    ready_seconds: Option<f64>,
    /// Videos go this long after they have failed.
    failed_seconds: Option<f64>,
    /// Nothing goes before, because the clock isn't believed.
    held_until: Option<String>,
}

impl RulesView {
    fn of(parts: &AppParts) -> Result<Self, Problem> {
        let now = parts.clock.now();
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let rules = parts.config.retention;
        let watch = parts.state.rules_watch().map_err(translate::state)?;
        Ok(Self {
            originals_seconds: match parts.config.originals.keep {
                KeepOriginals::Always => None,
                KeepOriginals::UntilReady => Some(0.0),
                KeepOriginals::For { ms } => Some(seconds(ms)),
            },
            ready_seconds: rules.ready_ms.map(seconds),
            failed_seconds: rules.failed_ms.map(seconds),
            held_until: watch.and_then(|watch| watch.held_until(now)).map(UnixMillis::to_rfc3339),
        })
    }
}

#[derive(Serialize, ToSchema)]
struct Sandbox {
    layers: Vec<String>,
    detail: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Disk {
    free_bytes: u64,
    total_bytes: u64,
    reserve_bytes: u64,
    /// What uploads, originals and media take, once that was measured.
    used_bytes: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OpenUploads)]
struct Uploads {
    open: usize,
    receiving_bytes: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServerWarning)]
struct Warning {
    code: &'static str,
    detail: String,
}

/// Tells all that the status page shows.
#[utoipa::path(get, path = "/api/admin/status", operation_id = "getServerStatus",
    responses((status = 200, body = Status, description = "All that the status page shows")))]
async fn status(req: HttpRequest, app: App) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    Ok(answer(blocking(&app, status_of).await?))
}

/// Looks at everything.
pub(super) fn status_of(parts: &AppParts) -> Result<Status, Problem> {
    let now = parts.clock.now();
    let worker = parts.worker_status.get();
    let disk = disk_of(parts)?;
    let mut open = parts.state.unfinished_uploads().map_err(translate::state)?;
    open.retain(|upload| upload.state == UploadState::Partial);
    let received = open.iter().map(|upload| upload.received.written.total().0).sum();
    let jobs = parts.state.jobs(None, None, JOBS_SHOWN).map_err(translate::state)?;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at: parts.started_at.to_rfc3339(),
        uptime_seconds: now.ms_since(parts.started_at) as f64 / 1000.0,
        ffmpeg: worker.map(|worker| worker.media.clone()).unwrap_or_default(),
        sandbox: Sandbox {
            layers: worker.map(|worker| worker.layers.clone()).unwrap_or_default(),
            detail: worker.and_then(|worker| worker.problem.clone()),
        },
        queue: queue_numbers(parts)?,
        jobs: jobs.iter().map(|job| JobView::of(job, parts)).collect(),
        warnings: warnings(parts, &disk),
        disk,
        uploads: Uploads { open: open.len(), receiving_bytes: received },
        retention: RulesView::of(parts)?,
    })
}

/// What was done lately.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Figures)]
struct FiguresView {
    hour: SpanView,
    day: SpanView,
    month: SpanView,
    /// The steps of the last day, the oldest first; those in which nothing was done are left out.
    steps: Vec<StepView>,
}

/// What was done in ten minutes.
#[derive(Serialize, ToSchema)]
#[schema(as = FiguresOfStep)]
struct StepView {
    /// When they began.
    at: String,
    #[serde(flatten)]
    span: SpanView,
}

/// What was done in a stretch of time that reaches up to now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FiguresOfSpan)]
struct SpanView {
    /// Uploads that were finished.
    uploads: u64,
    /// Their bytes.
    uploaded_bytes: u64,
    /// Uploads that were given up, cancelled or refused.
    uploads_lost: u64,
    /// Films that were worked on to the end.
    films_done: u64,
    /// Films that failed for good.
    films_failed: u64,
    /// How long the finished films are together.
    film_seconds: f64,
    /// How long the work on them took, in the attempt that ended it.
    work_seconds: f64,
    /// Seconds of film for each second of work.
    speed: Option<f64>,
    /// How long the film that had waited longest did.
    waited_seconds: f64,
}

impl SpanView {
    fn of(figures: Figures) -> Self {
        let Figures { film_seconds, work_seconds, .. } = figures;
        Self {
            uploads: figures.uploads,
            uploaded_bytes: figures.uploaded_bytes,
            uploads_lost: figures.uploads_lost,
            films_done: figures.films_done,
            films_failed: figures.films_failed,
            film_seconds,
            work_seconds,
            speed: (work_seconds > 0.0).then(|| film_seconds / work_seconds),
            waited_seconds: figures.waited_ms as f64 / 1000.0,
        }
    }
}

/// Tells what was uploaded and processed in the last hour, day and month.
#[utoipa::path(get, path = "/api/admin/figures", operation_id = "getFigures",
    responses((status = 200, body = FiguresView, description = "Sums of steps of ten minutes")))]
async fn figures(req: HttpRequest, app: App) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let figures = blocking(&app, |parts| {
        let now = parts.clock.now();
        let of = |ms| parts.state.figures(now, ms).map(SpanView::of);
        let step = |(at, figures): (UnixMillis, Figures)| StepView {
            at: at.to_rfc3339(),
            span: SpanView::of(figures),
        };
        let all = || {
            let steps = parts.state.figures_of_steps(now, DAY)?.into_iter().map(step).collect();
            Ok(FiguresView { hour: of(HOUR)?, day: of(DAY)?, month: of(MONTH)?, steps })
        };
        all().map_err(translate::state)
    });
    Ok(answer(figures.await?))
}

fn disk_of(parts: &AppParts) -> Result<Disk, Problem> {
    let space = parts.disk.free_space().map_err(translate::disk)?;
    Ok(Disk {
        free_bytes: space.free.0,
        total_bytes: space.total.0,
        reserve_bytes: parts.config.upload.reserve_free_space.of(space.total).0,
        used_bytes: parts.disk.used_lately().map(|used| used.0),
    })
}

fn warnings(parts: &AppParts, disk: &Disk) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if disk.free_bytes <= disk.reserve_bytes {
        let detail = "The disk is full up to its reserve: no new uploads are taken.".to_owned();
        warnings.push(Warning { code: "out-of-space", detail });
    } else if disk.free_bytes < warn_below(ByteCount(disk.reserve_bytes)).0 {
        let detail = "Room on the disk is getting short: make some before uploads are refused.";
        warnings.push(Warning { code: "low-space", detail: detail.to_owned() });
    }
    if parts.queue.is_paused().unwrap_or(false) {
        let detail = "The queue is paused: nothing is begun until it goes on.".to_owned();
        warnings.push(Warning { code: "queue-paused", detail });
    }
    let room = Room::beside(ByteCount(disk.reserve_bytes));
    if matches!(room.is_enough(&parts.disk), Ok(false)) {
        let detail = "Videos wait to be processed until the disk has room again.".to_owned();
        warnings.push(Warning { code: "no-room-for-work", detail });
    }
    if let Some(problem) = parts.worker_status.get().and_then(|worker| worker.problem.clone()) {
        let detail = format!("Videos can't be processed: {problem}");
        warnings.push(Warning { code: "workers-unavailable", detail });
    }
    if let Some(problem) = parts.tls.as_ref().and_then(Tls::problem) {
        let detail = format!("Certificate and key on the disk can't be used: {problem}");
        warnings.push(Warning { code: "tls-unusable", detail });
    }
    if let Some(detail) = parts.tls.as_ref().and_then(Tls::complaint) {
        warnings.push(Warning { code: "certificate-expires", detail });
    }
    warnings
}
