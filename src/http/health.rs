//! `/healthz` and `/readyz`: whether the process lives, and whether it takes work.

use super::Shared;
use super::problem::Problem;
use super::routes::table;
use actix_web::http::header;
use actix_web::{HttpResponse, web};

table! { "server";
    "/healthz" => get(alive) + head;
    "/readyz" => get(ready) + head;
}

/// Says that the process lives.
#[utoipa::path(method(get, head), path = "/healthz", operation_id = "getHealth", security(()),
    responses((status = 200, body = String, content_type = "text/plain",
        description = "The process lives")))]
async fn alive() -> HttpResponse {
    said("ok\n")
}

/// Says whether the server takes work.
#[utoipa::path(method(get, head), path = "/readyz", operation_id = "getReadiness", security(()),
    responses((status = 200, body = String, content_type = "text/plain",
        description = "It takes work")))]
async fn ready(app: web::Data<Shared>) -> Result<HttpResponse, Problem> {
    if !app.parts.readiness.holds() {
        return Err(Problem::unavailable("The server is stopping.", 5));
    }
    if let Some(cause) = app.parts.state.failed().borrow().as_deref() {
        return Err(Problem::unavailable("The server's database has failed.", 30).cause(cause));
    }
    Ok(said("ready\n"))
}

fn said(word: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(word)
}
