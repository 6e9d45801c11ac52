//! `GET /api/uploads`: the caller's uploads of every kind, so that any page can go on with them.

use super::problem::{Code, Problem};
use super::routes::table;
use super::views::UploadView;
use super::{Shared, guard, translate};
use crate::ids::UploadId;
use crate::library::{UPLOADS_MAX, UploadQuery};
use crate::model::access::Right;
use crate::model::upload::UploadState;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

table! { "uploads";
    "/api/uploads" => get(list);
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Filter {
    #[param(value_type = Option<UploadState>)]
    state: Option<String>,
    session_id: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
    filename: Option<String>,
}

/// Some of the uploads.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UploadPage)]
struct Listed {
    items: Vec<UploadView>,
    next_cursor: Option<String>,
}

/// Lists the caller's uploads of every kind.
#[utoipa::path(get, path = "/api/uploads", operation_id = "listUploads", params(Filter),
    responses((status = 200, body = Listed, description = "The newest first")))]
async fn list(
    req: HttpRequest,
    app: web::Data<Shared>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    let caller = guard::within(&req, &app, Right::SeeUploads).await?;
    let Filter { state, session_id, filename, limit, cursor } = filter.into_inner();
    let state = state.as_deref().map(state_named).transpose()?;
    let cursor = cursor.as_deref().map(UploadId::parse).transpose().map_err(|_| {
        Problem::new(Code::InvalidRequest, "`cursor` isn't one that was given.").field("cursor")
    })?;
    let limit = limit.unwrap_or(UPLOADS_MAX);
    let grant = caller.grant;
    let query = UploadQuery { state, session: session_id, filename, grant, cursor, limit };
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
