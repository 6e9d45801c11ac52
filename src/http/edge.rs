//! What every request passes first and every answer last: the request's id, bounds, mode `open`'s
//! fence, one form of problem, and the headers that every answer carries.

use super::body::Tap;
use super::connection::Connection;
use super::pages::RESOURCE_POLICY;
use super::problem::{Code, MEDIA_TYPE, Problem};
use super::streams::Streams;
use super::tus::headers::VERSION;
use super::{Shared, draft, granted, guard, live, noted, ticket};
use crate::config::{AuthMode, Config};
use crate::model::pace::Pace;
use crate::telemetry::measures;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::error;

/// Longest header, name and value together.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// Longest headers, all together.
const HEADERS_BYTES_MAX: usize = 64 << 10;
/// Most headers: what the HTTP library takes of HTTP/1.1.
const HEADERS_MAX: usize = 96;
/// Longest address.
const ADDRESS_BYTES_MAX: usize = 8 << 10;
/// Longest request id that is taken over from the client.
const REQUEST_ID_CHARS_MAX: usize = 64;
/// How much later than by the upload engine a stalled body is given up here.
const BODY_IDLE_MARGIN: Duration = Duration::from_secs(5);

/// Headers that say one thing. Said twice, or in no text, each reader would pick its own meaning.
const SINGLE: [&str; 14] = [
    "authorization",
    "content-type",
    "range",
    "tus-resumable",
    "upload-checksum",
    "upload-complete",
    "upload-concat",
    "upload-defer-length",
    "upload-draft-interop-version",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-chunk-sha256",
    "x-http-method-override",
];

/// How long browsers come back with TLS alone (RFC 6797).
const ONLY_TLS: &str = "max-age=31536000";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer around every route.
pub(super) async fn frame(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    granted::take_from_path(&mut req);
    let config = config_of(&req);
    let trusted = config.as_ref().is_some_and(|it| guard::is_from_proxy(req.request(), it));
    let id = request_id(req.headers(), trusted);
    let method = guard::overridden(req.path(), req.method(), req.headers());
    let path = req.path().to_owned();
    let begun = Instant::now();
    let running = Streams::enter(&req);
    let pace = body_pace(&req);
    let tap = Tap::install(&mut req, pace);
    let refused = match &running {
        Some(running) if running.is_too_many() => Some(crowded()),
        _ => not_ours(&req),
    };
    let answer = match refused {
        Some(problem) => req.into_response(problem.error_response()),
        None => next.call(req).await?.map_into_boxed_body(),
    };
    let (req, answer) = answer.into_parts();
    let route = req.match_pattern();
    let route = route.as_deref().unwrap_or("none");
    measures::answered(route, method.as_str(), answer.status().as_u16(), begun.elapsed());
    noted::note(&req, &method, &answer);
    log_failure(&answer, &id, &method, &path);
    let mut answer = as_problem(answer);
    if is_for_every_site(&path) {
        let policy = HeaderName::from_static(RESOURCE_POLICY);
        answer.headers_mut().insert(policy, HeaderValue::from_static("cross-origin"));
    }
    finish_headers(answer.headers_mut(), &id, Connection::is_secured(&req));
    granted::lead_on(&req, answer.headers_mut());
    if guard::is_upload_path(&path) && method != Method::OPTIONS && !draft::is_spoken(&req) {
        let name = HeaderName::from_static("tus-resumable");
        answer.headers_mut().insert(name, HeaderValue::from_static(VERSION));
    }
    let answer = match tap {
        Some(tap) => tap.settle(&req, answer).await,
        None => answer,
    };
    let answer = ServiceResponse::new(req, answer);
    Ok(match running {
        Some(running) => running.until_sent(answer),
        None => answer,
    })
}

fn crowded() -> Problem {
    let detail = "There are too many requests at once on this connection.";
    Problem::new(Code::TooManyRequests, detail).retry_after(1)
}

/// Refuses a request whose head isn't sound. Lies within the rules for other sites' pages, so that
/// they can read why.
pub(super) async fn sound(
    req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match unsound(&req).or_else(|| too_many(&req)) {
        Some(problem) => Ok(req.into_response(problem.error_response())),
        None => Ok(next.call(req).await?.map_into_boxed_body()),
    }
}

fn config_of(req: &ServiceRequest) -> Option<Arc<Config>> {
    let app = req.app_data::<web::Data<Shared>>();
    app.map(|app| Arc::clone(&app.parts.config))
}

/// Returns how slowly a body may come. Uploads have the configured pace; they notice first, as
/// they know what to say about it.
fn body_pace(req: &ServiceRequest) -> Option<Pace> {
    if req.path() == live::SOCKET_PATH {
        // Who listens needn't say anything.
        return None;
    }
    let app = req.app_data::<web::Data<Shared>>();
    let upload = app.map_or(0, |app| app.parts.config.upload.idle_timeout_ms);
    Some(Pace::behind(Duration::from_millis(upload), BODY_IDLE_MARGIN))
}

/// Returns why a request isn't answered although it is sound: there were enough from its address.
fn too_many(req: &ServiceRequest) -> Option<Problem> {
    let app = req.app_data::<web::Data<Shared>>()?;
    app.limits.count_address(req.request(), &app.parts.config).err()
}

/// Returns what is wrong with a request's head.
fn unsound(req: &ServiceRequest) -> Option<Problem> {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if req.headers().iter().any(|header| bytes(header) > HEADER_BYTES_MAX) {
        let detail = "One of the headers is longer than 16 KiB.";
        return Some(Problem::new(Code::HeaderTooLarge, detail));
    }
    let all: usize = req.headers().iter().map(bytes).sum();
    if all > HEADERS_BYTES_MAX || req.headers().len() > HEADERS_MAX {
        let detail = "The headers are more than 96, or longer than 64 KiB together.";
        return Some(Problem::new(Code::HeaderTooLarge, detail));
    }
    if let Some(name) = SINGLE.into_iter().find(|name| !is_single_text(req.headers(), name)) {
        let detail = format!("Send `{name}` once at most, in ASCII.");
        return Some(Problem::new(Code::InvalidHeader, detail).field(name));
    }
    if req.uri().to_string().len() > ADDRESS_BYTES_MAX {
        return Some(Problem::new(Code::InvalidRequest, "The address is longer than 8 KiB."));
    }
    guard::bad_host(req.request(), &*config_of(req)?)
}

/// Returns why a request isn't looked at any further: who asks in mode `open` isn't at this
/// machine, or is a page that may not.
fn not_ours(req: &ServiceRequest) -> Option<Problem> {
    let config = config_of(req)?;
    let open = config.auth_mode == AuthMode::Open;
    if open && guard::is_from_another_site(req.uri(), req.headers(), &config.cors_origins) {
        let detail = "In mode `open` other sites' pages may call only when `cors.origins` names \
                      them.";
        return Some(Problem::new(Code::CrossSite, detail));
    }
    if open && !guard::is_local(req.uri(), req.headers()) {
        let detail = "In mode `open` the server answers only requests to localhost that no proxy \
                      passed on. Use mode `token` for anything else.";
        return Some(Problem::new(Code::NotLocal, detail));
    }
    None
}

/// Says whether a header is missing, or there once and readable.
fn is_single_text(headers: &HeaderMap, name: &str) -> bool {
    let mut values = headers.get_all(name);
    values.next().is_none_or(|value| value.to_str().is_ok()) && values.next().is_none()
}

/// Takes over the request id that a trusted proxy gives, if it is a harmless word, or draws one:
/// anybody else could give two requests the same.
fn request_id(headers: &HeaderMap, trusted: bool) -> String {
    let given = headers.get(&REQUEST_ID).filter(|_| trusted);
    let given = given.and_then(|value| value.to_str().ok());
    let harmless = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(harmless).map_or_else(fresh_id, str::to_owned)
}

fn fresh_id() -> String {
    let mut random = [0u8; 8];
    // Without randomness all ids of this moment are zero, which only makes the log harder to read.
    let _ = getrandom::fill(&mut random);
    format!("{:016x}", u64::from_be_bytes(random))
}

/// Logs a failure of the server, once, with what the client isn't told.
fn log_failure(answer: &HttpResponse<BoxBody>, id: &str, method: &Method, path: &str) {
    let status = answer.status();
    if !status.is_server_error() {
        return;
    }
    let problem = answer.error().and_then(|error| error.as_error::<Problem>());
    let cause = problem.map_or_else(
        || answer.error().map(ToString::to_string).unwrap_or_default(),
        |problem| format!("{problem} ({})", problem.logged_cause()),
    );
    let (status, path) = (status.as_u16(), granted::without(&ticket::without_token(path)));
    // The path is escaped: it comes from outside.
    error!(request.id = %id, %method, path = ?path, status, "request {id} failed: {cause}");
}

/// Gives errors of the HTTP library the one form that problems have.
fn as_problem(answer: HttpResponse<BoxBody>) -> HttpResponse<BoxBody> {
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE);
    // Problems speak for themselves, and so do pages that say in words that nothing is there.
    let said = kind.is_some_and(|kind| {
        kind.as_bytes() == MEDIA_TYPE.as_bytes() || kind.as_bytes().starts_with(b"text/html")
    });
    if said || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let mut answer = answer;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    for of_the_old_body in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::ETAG] {
        headers.remove(of_the_old_body);
    }
    answer.map_body(|_, _| BoxBody::new(Problem::of_status(status).body(status)))
}

/// Says whether every site's pages may load what is at an address: media, and the pages' files. So
/// they may its problems, or a browser would tell a page of a policy instead of the status.
fn is_for_every_site(path: &str) -> bool {
    path.starts_with("/media/") || path.starts_with("/static/")
}

fn finish_headers(headers: &mut HeaderMap, id: &str, secured: bool) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if secured {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(ONLY_TLS));
    }
    for (name, value) in BOUNDS {
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
}

/// What bounds a browser that shows an answer, unless a page or a file says something else of
/// itself: nothing runs in it, nothing is loaded by it, no other site's page has it, and no other
/// site learns where somebody came from.
const BOUNDS: [(&str, &str); 3] = [
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
    (RESOURCE_POLICY, "same-origin"),
    ("referrer-policy", "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    /// A proxy's id is kept when it can do no harm in a log, else replaced; so is anybody else's.
    #[test]
    fn request_ids_are_harmless_words() {
        let of = |given: &str, trusted| {
            let request = TestRequest::default().insert_header(("x-request-id", given));
            request_id(request.to_http_request().headers(), trusted)
        };
        let id = |given: &str| of(given, true);
        assert_eq!(id("trace-1.A_b"), "trace-1.A_b");
        assert_eq!(of("trace-1.A_b", false).len(), 16);
        for bad in ["", "a b", "a\tb", "x\u{1b}", &"a".repeat(65)] {
            if HeaderValue::from_str(bad).is_ok() {
                assert_eq!(id(bad).len(), 16, "{bad:?}");
            }
        }
    }

    /// A header with one meaning is there once and is text, or the request isn't looked at.
    #[test]
    fn one_meaning_is_said_once() {
        let headers = |values: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value).expect("a value");
                headers.append(HeaderName::from_static("upload-checksum"), value);
            }
            is_single_text(&headers, "upload-checksum")
        };
        assert!(headers(&[]) && headers(&[b""]) && headers(&[b"sha1 YQ=="]));
        assert!(!headers(&[b"sha1 YQ==", b"sha1 YQ=="]));
        assert!(!headers(&[b"sha1 \xc3\xa9"]) && !headers(&[b"\xff"]));
    }

    /// Errors that the HTTP library words itself get the form of all others.
    #[actix_web::test]
    async fn bare_errors_become_problems() {
        let bare = HttpResponse::MethodNotAllowed().body("no");
        let answer = as_problem(bare);
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        let body = actix_web::body::to_bytes(answer.into_body()).await.expect("a body");
        assert!(body.starts_with(b"{") && body.windows(18).any(|w| w == b"method-not-allowed"));
        let fine = as_problem(HttpResponse::Ok().body("yes"));
        assert_eq!(actix_web::body::to_bytes(fine.into_body()).await.expect("a body"), "yes");
    }
}
