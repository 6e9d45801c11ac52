//! `GET /metrics`: everything that is measured, as Prometheus reads it.

use super::problem::Problem;
use super::routes::table;
use super::{AppParts, Shared, blocking, guard, translate};
use crate::model::access::Right;
use crate::model::job::{JobState, Stage, StageState};
use crate::model::upload::UploadState;
use crate::state::JobRecord;
use crate::telemetry::measures::{self, Now};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Running jobs that are looked at.
const RUNNING_MAX: usize = 1_000;

type App = web::Data<Shared>;

table! { "operations";
    "/metrics" => get(metrics);
}

/// What is measured, as Prometheus reads it; for admins and for tokens with the scope `metrics`.
#[utoipa::path(get, path = "/metrics", operation_id = "getMetrics",
    responses((status = 200, body = String, content_type = "text/plain",
        description = "All figures, as Prometheus reads them")))]
async fn metrics(req: HttpRequest, app: App) -> Result<HttpResponse, Problem> {
    guard::may(&req, &app, Right::Metrics).await?;
    let listeners = app.board.listeners() as u64;
    let text = blocking(&app, move |parts| {
        Now { listeners, ..now(parts)? }.set();
        Ok(measures::text())
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text.await?))
}

/// Looks at what isn't counted as it happens.
fn now(parts: &AppParts) -> Result<Now, Problem> {
    let open = parts.state.open_jobs();
    let counts = parts.queue.counts().map_err(translate::queue)?;
    let running = parts.state.jobs(Some(JobState::Running), None, RUNNING_MAX);
    let running = running.map_err(translate::state)?;
    let uploads = parts.state.unfinished_uploads().map_err(translate::state)?;
    let uploads = uploads.iter().filter(|upload| upload.state == UploadState::Partial);
    let space = parts.disk.free_space().map_err(translate::disk)?;
    Ok(Now {
        uploads_open: uploads.count() as u64,
        waiting: [open.films, open.live, open.small].map(|jobs| jobs as u64),
        running: running.iter().map(|job| (stage_of(job), 1)).collect(),
        oldest_seconds: counts.oldest_queued_ms.unwrap_or(0) as f64 / 1000.0,
        paused: counts.is_paused,
        database_bytes: parts.state.size_on_disk().map_err(translate::state)?,
        disk_bytes: space.total.0,
        disk_free: space.free.0,
        disk_reserve: parts.config.upload.reserve_free_space.of(space.total).0,
        listeners: 0,
        started: parts.started_at.as_secs(),
    })
}

/// Returns the stage that a job is in: the one that runs, or before its first report the first.
fn stage_of(job: &JobRecord) -> Stage {
    let running = job.stages.iter().find(|stage| stage.state == StageState::Running);
    running.map_or(Stage::Probe, |stage| stage.stage)
}
