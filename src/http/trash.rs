//! Deleting videos, the list of what can be restored, and `POST /api/videos/{id}/restore`.

use super::problem::{Code, Problem};
use super::videos::{Page, Seen, answer, id_of, whole, with_work};
use super::views::VideoView;
use super::{AppParts, Shared, blocking, guard, translate};
use crate::access::Caller;
use crate::ids::{JobId, VideoId};
use crate::library;
use crate::model::access::{Right, Viewer};
use crate::state::TrashRecord;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

/// How long a restoration waits for the work on a video that has just been deleted to let go.
const LET_GO_TRIES: u32 = 100;
const LET_GO_PAUSE: Duration = Duration::from_millis(50);
/// When to come back if it didn't.
const LET_GO_SECONDS: u32 = 2;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Deletion {
    /// For good, not into the trash.
    #[serde(default)]
    permanent: bool,
}

/// Deletes a video: into the trash, or for good.
#[utoipa::path(delete, path = "/api/videos/{id}", operation_id = "deleteVideo", params(Deletion),
    responses((status = 204, description = "It is gone, or in the trash")))]
pub(super) async fn delete(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    query: web::Query<Deletion>,
) -> Answer {
    let viewer = guard::within(&req, &app, Right::ChangeVideos).await?.viewer;
    let deleted = app.parts.library.delete(id_of(&id)?, &viewer, query.permanent).await;
    let video = deleted.map_err(translate::library)?.video;
    let jobs = video.job.iter().chain(&video.small_jobs);
    jobs.for_each(|&job| app.parts.queue.stop_child(Some(job)));
    Ok(HttpResponse::NoContent().finish())
}

/// Brings a video back from the trash, as it was.
#[utoipa::path(post, path = "/api/videos/{id}/restore", operation_id = "restoreVideo",
    responses((status = 200, body = VideoView, description = "It is back")))]
pub(super) async fn restore(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let viewer = guard::within(&req, &app, Right::ChangeVideos).await?.viewer;
    let id = id_of(&id)?;
    let trashed = app.parts.library.find_trashed(id, &viewer).map_err(translate::library)?;
    if let Some(job) = trashed.and_then(|trashed| trashed.video.job) {
        let_go(&app, job).await?;
    }
    let restored = app.parts.library.restore(id, &viewer).await;
    let video = restored.map_err(translate::library)?;
    app.parts.queue.bell().notify_one();
    let seen = blocking(&app, move |parts| Ok(whole(&video, parts)));
    Ok(answer(seen.await?))
}

/// Waits until nobody works on a job any more that was cancelled.
async fn let_go(app: &App, job: JobId) -> Result<(), Problem> {
    for _ in 0..LET_GO_TRIES {
        if !app.parts.queue.is_held(job) {
            return Ok(());
        }
        tokio::time::sleep(LET_GO_PAUSE).await;
    }
    let detail = "The video was being worked on when it was deleted, and that hasn't ended yet.";
    Err(Problem::new(Code::Conflict, detail).retry_after(LET_GO_SECONDS))
}

/// Answers `GET /api/videos?trashed=true`.
pub(super) async fn list(app: App, viewer: &Viewer, query: library::Query) -> Answer {
    let page = app.parts.library.list_trash(viewer, query).await;
    let page = page.map_err(translate::library)?;
    let shown = blocking(&app, move |parts| {
        let items = page.items.iter().map(|trashed| seen(trashed, parts)).collect();
        Ok(Page { items, next_cursor: page.next.map(|cursor| cursor.to_string()) })
    });
    Ok(answer(shown.await?))
}

/// Returns a video in the trash as its owner sees it; `None` for anybody else.
pub(super) fn find(
    parts: &AppParts,
    caller: Option<&Caller>,
    id: VideoId,
) -> Result<Option<Seen>, Problem> {
    let Some(caller) = caller else { return Ok(None) };
    let trashed = parts.library.find_trashed(id, &caller.viewer).map_err(translate::library)?;
    let trashed = trashed.filter(|trashed| caller.reaches(trashed.video.grant));
    Ok(trashed.map(|trashed| seen(&trashed, parts)))
}

fn seen(trashed: &TrashRecord, parts: &AppParts) -> Seen {
    let line = parts.queue.line();
    let view = with_work(&trashed.video, parts, &line, |work| VideoView::of_trashed(trashed, work));
    Seen::Whole(Box::new(view))
}
