//! What an operator looks at beside the status: the line in its order, all uploads under way, and
//! what happened lately. Admins only.

use super::admin::JobView;
use super::problem::Problem;
use super::routes::table;
use super::views::ErrorView;
use super::{AppParts, Shared, blocking, guard, translate};
use crate::events::{Event, EventKind};
use crate::ids::Owner;
use crate::model::access::Right;
use crate::model::job::{JobState, Line};
use crate::model::upload::{Protocol, UploadState};
use crate::model::video::VideoState;
use crate::state::{JobRecord, UploadRecord};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use utoipa::{IntoParams, ToSchema};

/// How many of each are told, unless the caller wants fewer or more.
const LIMIT_DEFAULT: usize = 50;
/// Most of each.
const LIMIT_MAX: usize = 200;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/uploads" => get(uploads);
    "/api/admin/events" => get(happened);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// How many, 200 at most.
    limit: Option<usize>,
}

impl Query {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }
}

fn answer(said: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(said)
}

/// The head of the line.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueLine)]
struct LineView {
    /// In the order in which they will be begun; behind them those that wait for another attempt.
    items: Vec<JobView>,
    /// How many are in line.
    total: usize,
}

/// Lists the films that will be begun next.
#[utoipa::path(get, path = "/api/admin/queue", operation_id = "getQueue", params(Query),
    responses((status = 200, body = LineView, description = "The next one first")))]
pub(super) async fn line(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let limit = query.limit();
    Ok(answer(blocking(&app, move |parts| line_of(parts, limit)).await?))
}

fn line_of(parts: &AppParts, limit: usize) -> Result<LineView, Problem> {
    let line = parts.queue.line();
    let mut jobs = Vec::new();
    for id in line.first(limit) {
        let job = parts.state.job(id).map_err(translate::state)?;
        jobs.extend(job.filter(|job| job.state == JobState::Queued));
    }
    let known: HashSet<_> = jobs.iter().map(|job| job.id).collect();
    let waiting = parts.state.jobs(Some(JobState::Queued), None, LIMIT_MAX);
    let set_back = waiting.map_err(translate::state)?.into_iter().filter(|job: &JobRecord| {
        job.line() == Line::Films && !known.contains(&job.id) && line.before(job.id).is_none()
    });
    jobs.extend(set_back.take(limit - jobs.len().min(limit)));
    let item = |job| JobView::in_line(job, parts, line.before(job.id));
    Ok(LineView { items: jobs.iter().map(item).collect(), total: line.len() })
}

/// An upload under way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UploadUnderWay)]
struct UnderWay {
    upload_id: String,
    video_id: Option<String>,
    owner: String,
    filename: String,
    #[schema(value_type = String)]
    door: Protocol,
    size: Option<u64>,
    received_bytes: u64,
    created_at: String,
    /// When bytes were last recorded.
    changed_at: String,
    expires_at: String,
}

/// Uploads under way.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadsUnderWay)]
struct AllUnderWay {
    items: Vec<UnderWay>,
    total: usize,
}

impl UnderWay {
    fn of(upload: UploadRecord) -> Self {
        Self {
            upload_id: upload.id.to_string(),
            video_id: upload.video.map(|id| id.to_string()),
            received_bytes: upload.received.written.total().0,
            size: upload.length.map(|length| length.0),
            created_at: upload.created_at.to_rfc3339(),
            changed_at: upload.changed_at.to_rfc3339(),
            expires_at: upload.expires_at.to_rfc3339(),
            owner: upload.owner.0,
            filename: upload.filename,
            door: upload.protocol,
        }
    }
}

/// Lists everybody's uploads that haven't ended.
#[utoipa::path(get, path = "/api/admin/uploads", operation_id = "listAllUploads", params(Query),
    responses((status = 200, body = AllUnderWay, description = "Those that moved last first")))]
async fn uploads(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let limit = query.limit();
    let found = blocking(&app, move |parts| {
        let mut open = parts.state.unfinished_uploads().map_err(translate::state)?;
        open.retain(|upload| upload.state == UploadState::Partial);
        let total = open.len();
        open.sort_by_key(|upload| std::cmp::Reverse((upload.changed_at, upload.id)));
        open.truncate(limit);
        let so_far = open.into_iter().map(|upload| UnderWay::of(parts.uploads.so_far(upload)));
        Ok(AllUnderWay { items: so_far.collect(), total })
    });
    Ok(answer(found.await?))
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Happening)]
struct HappeningView {
    /// As in the live events.
    id: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    at: String,
    video_id: Option<String>,
    owner: Option<String>,
    /// The video's, if there still is one.
    title: Option<String>,
    state: Option<VideoState>,
    error: Option<ErrorView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Happenings)]
struct Happened {
    items: Vec<HappeningView>,
}

/// Lists what happened since the start, progress and numbers of the queue apart.
#[utoipa::path(get, path = "/api/admin/events", operation_id = "listHappenings", params(Query),
    responses((status = 200, body = Happened, description = "The newest first")))]
async fn happened(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let events = app.board.recent(query.limit(), &|event| match event.kind {
        EventKind::UploadProgress | EventKind::VideoProgress | EventKind::Queue => false,
        EventKind::UploadCompleted
        | EventKind::UploadExpired
        | EventKind::VideoState
        | EventKind::VideoPlayable
        | EventKind::VideoReady
        | EventKind::VideoFailed
        | EventKind::DiskLow => true,
    });
    let told = blocking(&app, move |parts| {
        let items: Result<_, _> = events.iter().map(|event| happening(parts, event)).collect();
        Ok(Happened { items: items? })
    });
    Ok(answer(told.await?))
}

fn happening(parts: &AppParts, event: &Event) -> Result<HappeningView, Problem> {
    let video = event.video.map(|id| parts.state.video(id)).transpose();
    let video = video.map_err(translate::state)?.flatten();
    let failed = event.kind == EventKind::VideoFailed;
    let problem = video.as_ref().filter(|_| failed).and_then(|video| video.problem.as_ref());
    Ok(HappeningView {
        id: event.id,
        kind: event.kind.name(),
        at: event.at.to_rfc3339(),
        video_id: event.video.map(|id| id.to_string()),
        owner: event.owner.as_ref().map(Owner::to_string),
        error: problem.map(ErrorView::of),
        state: video.as_ref().map(|video| video.state),
        title: video.map(|video| video.title),
    })
}
