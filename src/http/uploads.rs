//! `GET /api/uploads`: the caller's uploads of every kind, so that any page can go on with them.

use super::problem::{Code, Problem};
use super::views::UploadView;
use super::{Shared, guard, translate};
use crate::library::UploadQuery;
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
}

#[derive(Serialize)]
struct Listed {
    items: Vec<UploadView>,
}

async fn list(
    req: HttpRequest,
    app: web::Data<Shared>,
    filter: web::Query<Filter>,
) -> Result<HttpResponse, Problem> {
    let caller = guard::required(&req, &app).await?;
    let Filter { state, session_id } = filter.into_inner();
    let state = state.as_deref().map(state_named).transpose()?;
    let query = UploadQuery { state, session: session_id };
    let found = app.parts.library.uploads(&caller.viewer, query).await;
    let items = found.map_err(translate::library)?.iter().map(UploadView::of).collect();
    let listed = Listed { items };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(listed))
}

fn state_named(word: &str) -> Result<UploadState, Problem> {
    serde_json::from_value(word.into()).map_err(|_| {
        let detail = "`state` is one of partial, finishing, finished, expired and aborted.";
        Problem::new(Code::InvalidRequest, detail).field("state")
    })
}
