//! `GET /api/uploads`: the caller's uploads of every kind, so that any page can go on with them.

use super::problem::{Code, Problem};
use super::views::UploadView;
use super::{Shared, guard, translate};
use crate::ids::UploadId;
use crate::library::{UPLOADS_MAX, UploadQuery};
use crate::model::upload::UploadState;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/api/uploads", web::get().to(list));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    state: Option<String>,
    session_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    filename: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    items: Vec<UploadView>,
    next_cursor: Option<String>,
}

async fn list(
    req: HttpRequest,
    app: web::Data<Shared>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    let caller = guard::required(&req, &app).await?;
    let Filter { state, session_id, filename, limit, cursor } = filter.into_inner();
    let state = state.as_deref().map(state_named).transpose()?;
    let cursor = cursor.as_deref().map(UploadId::parse).transpose().map_err(|_| {
        Problem::new(Code::InvalidRequest, "`cursor` isn't one that was given.").field("cursor")
    })?;
    let limit = limit.unwrap_or(UPLOADS_MAX);
    let query = UploadQuery { state, session: session_id, filename, cursor, limit };
    let found = app.parts.library.uploads(&caller.viewer, query).await;
    let page = found.map_err(translate::library)?;
    let items = page.items.iter().map(UploadView::of).collect();
    let listed = Listed { items, next_cursor: page.next.map(|id| id.to_string()) };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(listed))
}

fn state_named(word: &str) -> Result<UploadState, Problem> {
    serde_json::from_value(word.into()).map_err(|_| {
        let detail = "`state` is one of partial, finishing, finished, expired and aborted.";
        Problem::new(Code::InvalidRequest, detail).field("state")
    })
}
