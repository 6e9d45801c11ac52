//! The pages inside the binary, and the files that they need.
//!
//! Pages are the same for everybody; what they show comes over the API. Somebody without a
//! session is led to the login page and back.

use super::login::{login_address, no_store};
use super::problem::Problem;
use super::routes::table;
use super::ticket::Pass;
use super::{Shared, cards, guard, translate, videos};
use crate::access::Caller;
use crate::library::LibraryError;
use crate::model::access::Right;
use actix_web::http::header::{self, EntityTag, HeaderName, HeaderValue, IfNoneMatch};
use actix_web::http::{StatusCode, header::Header};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::RustEmbed;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::IntoParams;

/// What the browser code's build made.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/static/dist"]
struct Files;

/// Only this server's own code runs in its pages. Players feed media as blobs, and empty a list of
/// captions by an address that holds its own text.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; media-src 'self' data: blob:; worker-src 'self' blob:; \
    connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors ";

/// Says which sites' pages may load an answer (Fetch, 3.7).
pub(super) const RESOURCE_POLICY: &str = "cross-origin-resource-policy";

/// Says which pages share a group of windows with one (HTML, 7.1.3).
const OPENER_POLICY: &str = "cross-origin-opener-policy";

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "pages";
    "/" compressed => get(upload);
    "/upload" compressed => get(upload_granted);
    "/library" compressed => get(library);
    "/account" compressed => get(account);
    "/admin" compressed => get(admin);
    "/docs" compressed => get(docs);
    "/watch/{id}" compressed => get(watch);
    "/embed/{id}" compressed => get(embed);
    "/static/{file:.*}" compressed => get(file) + head;
}

/// Shows the page to upload with.
#[utoipa::path(get, path = "/", operation_id = "getUploadPage",
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn upload(req: HttpRequest, app: App) -> Answer {
    for_members(&req, &app, "upload.html", Right::SeeVideos).await
}

/// Shows the page for whoever has an upload grant, which is behind the address's `#` and stays in
/// the browser. The page is the same for everybody, and asks for no session.
#[utoipa::path(get, path = "/upload", operation_id = "getGrantPage", security(()),
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn upload_granted(req: HttpRequest) -> Answer {
    let mut answer = page(&req, "grant.html", StatusCode::OK, "'none'")?;
    let no_referrer = header::HeaderValue::from_static("no-referrer");
    answer.headers_mut().insert(header::REFERRER_POLICY, no_referrer);
    Ok(answer)
}

/// Shows the library.
#[utoipa::path(get, path = "/library", operation_id = "getLibraryPage",
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn library(req: HttpRequest, app: App) -> Answer {
    for_members(&req, &app, "library.html", Right::SeeVideos).await
}

/// Shows the page about one's own account.
#[utoipa::path(get, path = "/account", operation_id = "getAccountPage",
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn account(req: HttpRequest, app: App) -> Answer {
    for_members(&req, &app, "account.html", Right::SeeVideos).await
}

/// Shows the status page.
#[utoipa::path(get, path = "/admin", operation_id = "getAdminPage",
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn admin(req: HttpRequest, app: App) -> Answer {
    for_members(&req, &app, "admin.html", Right::Operate).await
}

/// Shows the API's document.
#[utoipa::path(get, path = "/docs", operation_id = "getDocsPage", security(()),
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn docs(req: HttpRequest) -> Answer {
    page(&req, "docs.html", StatusCode::OK, "'none'")
}

async fn for_members(req: &HttpRequest, app: &App, name: &str, right: Right) -> Answer {
    let Some(caller) = guard::known(req, app).await? else {
        return Ok(to_login(req));
    };
    guard::needs(&caller, right)?;
    page(req, name, StatusCode::OK, "'none'")
}

/// By what somebody without an account sees a player's page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Shown {
    /// A playback token.
    token: Option<String>,
}

/// Shows a player.
#[utoipa::path(get, path = "/watch/{id}", operation_id = "getWatchPage", security(()),
    params(Shown),
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn watch(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    shown: web::Query<Shown>,
) -> Answer {
    if let Some(token) = &shown.token {
        return by_token(&req, &app, &id, token, "watch.html").await;
    }
    let caller = guard::optional(&req, &app, Right::SeeVideos).await?;
    match (is_seen(&app, caller.as_ref(), &id)?, caller) {
        (true, _) => match cards::open(&app, &id).await? {
            Some(video) => {
                let tags = cards::tags(&video, &cards::site(&req, &app));
                embedded(&req, "watch.html", StatusCode::OK, "'none'", Some((TITLE, &tags)))
            }
            None => page(&req, "watch.html", StatusCode::OK, "'none'"),
        },
        // Whether it exists is told only to those who may know.
        (false, None) => Ok(to_login(&req)),
        (false, Some(_)) => page(&req, "watch.html", StatusCode::NOT_FOUND, "'none'"),
    }
}

/// Shows a player for an iframe.
#[utoipa::path(get, path = "/embed/{id}", operation_id = "getEmbedPage", security(()),
    params(Shown),
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn embed(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    shown: web::Query<Shown>,
) -> Answer {
    if let Some(token) = &shown.token {
        return by_token(&req, &app, &id, token, "embed.html").await;
    }
    let caller = guard::optional(&req, &app, Right::SeeVideos).await?;
    let seen = is_seen(&app, caller.as_ref(), &id)?;
    let status = if seen { StatusCode::OK } else { StatusCode::NOT_FOUND };
    page(&req, "embed.html", status, "*")
}

/// Shows a player to whoever has a playback token. The page is the same with one that isn't good,
/// and its player says so: whoever has such a link has no account to sign in with.
async fn by_token(req: &HttpRequest, app: &App, id: &str, token: &str, name: &str) -> Answer {
    let shown = match Pass::of_page(req, app, token).await {
        Ok(pass) => videos::id_of(id).and_then(|id| pass.video(&app.parts, id)).map(|_| pass),
        Err(problem) => Err(problem),
    };
    let status = if shown.is_ok() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    let framed_by = match &shown {
        _ if name != "embed.html" => "'none'".to_owned(),
        Ok(pass) if !pass.ticket.hosts.is_empty() => frames_of(&pass.ticket.hosts),
        _ => "*".to_owned(),
    };
    let mut answer = page(req, name, status, &framed_by)?;
    // The address opens the video: no other site is to learn it, no cache to keep it, and no
    // search engine to list it.
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "private, no-cache"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(answer)
}

/// Returns who may frame a page for pages of these hosts alone, at any port where none is named.
fn frames_of(hosts: &[String]) -> String {
    let at = |host: &String| if host.contains(':') { host.clone() } else { format!("{host}:*") };
    let all = hosts.iter().map(at);
    std::iter::once("'self'".to_owned()).chain(all).collect::<Vec<_>>().join(" ")
}

fn is_seen(app: &App, caller: Option<&Caller>, id: &str) -> Result<bool, Problem> {
    let Ok(id) = videos::id_of(id) else { return Ok(false) };
    match app.parts.library.video(id, caller.map(|caller| &caller.viewer)) {
        Ok(_) => Ok(true),
        Err(LibraryError::Missing) => Ok(false),
        Err(error) => Err(translate::library(error)),
    }
}

fn to_login(req: &HttpRequest) -> HttpResponse {
    let here = req.uri().path_and_query().map_or("/", |here| here.as_str());
    no_store(HttpResponse::Found().insert_header((header::LOCATION, login_address(here, None))))
        .finish()
}

/// Gives a file that pages need.
#[utoipa::path(method(get, head), path = "/static/{file}", operation_id = "getStaticFile",
    security(()),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "What pages need")))]
async fn file(req: HttpRequest, name: web::Path<String>) -> Answer {
    // Pages have addresses of their own, with their rules.
    if name.ends_with(".html") {
        return Err(Problem::not_found());
    }
    embedded(&req, &name, StatusCode::OK, "'none'", None)
}

/// Answers with a page that may be framed by `framed_by`.
pub(super) fn page(req: &HttpRequest, name: &str, status: StatusCode, framed_by: &str) -> Answer {
    embedded(req, name, status, framed_by, None)
}

/// What a page says of itself until its script says more.
const TITLE: &str = "<title>Slipway</title>";

/// Answers with the login page, on which the element says why nobody was signed in.
pub(super) fn login_page(req: &HttpRequest, status: StatusCode, seconds: Option<u32>) -> Answer {
    let Some(seconds) = seconds else { return page(req, "login.html", status, "'none'") };
    let element = format!("<slipway-login data-seconds=\"{seconds}\">");
    embedded(req, "login.html", status, "'none'", Some(("<slipway-login>", &element)))
}

/// Answers with a file; in a page, the second text of `put` stands in the place of the first.
fn embedded(
    req: &HttpRequest,
    name: &str,
    status: StatusCode,
    framed_by: &str,
    put: Option<(&str, &str)>,
) -> Answer {
    let file = Files::get(name).ok_or_else(Problem::not_found)?;
    let mut hash: String =
        file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut bytes = file.data;
    if let Some((place, text)) = put {
        let digest = Sha256::digest(text);
        hash.extend(digest.iter().take(16).map(|byte| format!("{byte:02x}")));
        bytes = String::from_utf8_lossy(&bytes).replacen(place, text, 1).into_bytes().into();
    }
    // Weak: the same file may travel compressed.
    let tag = EntityTag::new_weak(hash);
    let mut answer = HttpResponse::build(status);
    answer.insert_header(header::ETag(tag.clone()));
    answer.insert_header((header::CACHE_CONTROL, keeping(name)));
    answer.insert_header((header::CONTENT_SECURITY_POLICY, format!("{POLICY}{framed_by}")));
    answer.insert_header((header::REFERRER_POLICY, "same-origin"));
    // Also those pages frame it that have everything say so that they load
    // (`Cross-Origin-Embedder-Policy`).
    if framed_by != "'none'" {
        answer.insert_header((HeaderName::from_static(RESOURCE_POLICY), "cross-origin"));
    }
    if framed_by == "'none'" {
        answer.insert_header((header::X_FRAME_OPTIONS, "DENY"));
        // A page that opened this one has no hand on it. Only for pages: browsers show nothing of
        // what says this and is a sandbox.
        answer.insert_header((HeaderName::from_static(OPENER_POLICY), "same-origin"));
    }
    if status == StatusCode::OK && is_known(req, &tag) {
        return Ok(answer.status(StatusCode::NOT_MODIFIED).finish());
    }
    answer.insert_header((header::CONTENT_TYPE, media_type(name)));
    Ok(answer.body(bytes.into_owned()))
}

fn is_known(req: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(req) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(tag)),
        Err(_) => false,
    }
}

/// Files whose name holds a hash of their content never change; others are asked for each time.
/// Pages depend on who asks and may name the host that was asked for, so that only the browser
/// may keep them.
fn keeping(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("chunk-") => "public, max-age=31536000, immutable",
        _ if name.ends_with(".html") => "private, no-cache",
        _ => "no-cache",
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
