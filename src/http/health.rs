//! `/healthz` and `/readyz`: whether the process lives, and whether it takes work.

use super::Shared;
use super::problem::Problem;
use actix_web::http::header;
use actix_web::{HttpResponse, web};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.route("/healthz", web::get().to(alive)).route("/healthz", web::head().to(alive));
    app.route("/readyz", web::get().to(ready)).route("/readyz", web::head().to(ready));
}

async fn alive() -> HttpResponse {
    said("ok\n")
}

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
