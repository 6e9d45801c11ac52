//! Signing in and out: `/login`, `/logout` and `GET /api/session`.
//!
//! A login link only shows a page; its button sends the code by POST, so that a preview of the
//! link by a chat program doesn't use it up.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{Shared, guard, noted, pages, translate};
use crate::access::{self, Caller, Denied, Device, LoginRefused, SESSION_MS, Secret, SignedIn};
use crate::config::AuthMode;
use crate::model::access::Right;
use crate::model::deed::Outcome;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cookie by which a browser is known that has signed in to an account before; it lasts a year.
const BROWSER: &str = "slipway_browser";
const BROWSER_SECONDS: u64 = 365 * 86_400;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "server";
    "/login" => get(show), post(open);
    "/logout" => post(close);
    "/api/session" => get(session);
}

/// Shows the page to sign in.
#[utoipa::path(get, path = "/login", operation_id = "getLoginPage", security(()),
    responses((status = 200, body = String, content_type = "text/html", description = "A page")))]
async fn show(req: HttpRequest, app: App) -> Answer {
    if app.parts.access.mode() == AuthMode::Open {
        return Ok(see_other("/"));
    }
    as_shown(pages::login_page(&req, StatusCode::OK, None)?)
}

fn as_shown(mut page: HttpResponse) -> Answer {
    // The address may hold a login code.
    let headers = page.headers_mut();
    headers.insert(header::REFERRER_POLICY, header::HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    Ok(page)
}

/// A code of a login link, a token, or an account's name and password.
#[derive(Deserialize, ToSchema)]
struct Login {
    code: Option<String>,
    token: Option<String>,
    name: Option<String>,
    password: Option<String>,
    next: Option<String>,
}

/// Signs a browser in.
#[utoipa::path(post, path = "/login", operation_id = "logIn", security(()),
    request_body(content = Login, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "Leads on, with a cookie or an error in the address")))]
async fn open(req: HttpRequest, app: App, form: web::Form<Login>) -> Answer {
    guard::refuse_other_sites(&req, &app.parts.config)?;
    let Login { code, token, name, password, next } = form.into_inner();
    let next = next.as_deref().map_or("/", local_path);
    let access = &app.parts.access;
    if let Some(name) = name {
        let login = login_of(&req, &app, name, password.unwrap_or_default());
        return by_password(&req, &app, login, next).await;
    }
    let (opened, error) = match (code, token) {
        (Some(code), _) => (access.redeem_code(code.trim()).await, "expired"),
        (None, token) => {
            let token = token.unwrap_or_default();
            (access.redeem_token(token.trim()).await, "invalid")
        }
    };
    match opened {
        Ok(value) => {
            if let Ok(caller) = access.cookie(&value).await {
                noted::by(&req, &caller);
            }
            let mut answer = see_other(next);
            set_session(&mut answer, &req, &app, &value);
            Ok(answer)
        }
        Err(Denied::Invalid) => {
            noted::ended(&req, Outcome::Refused);
            Ok(see_other(&login_address(next, Some(error))))
        }
        Err(denial) => Err(guard::denied(denial)),
    }
}

/// Reads who wants to sign in, and from where.
pub(super) fn login_of(
    req: &HttpRequest,
    app: &App,
    name: String,
    password: String,
) -> access::Login {
    let agent = req.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    access::Login {
        name,
        password: Secret(password),
        from: guard::client_address(req, &app.parts.config),
        browser: guard::cookie(req.headers(), BROWSER).map(str::to_owned),
        device: agent.map(Device::of).unwrap_or_default(),
    }
}

async fn by_password(req: &HttpRequest, app: &App, login: access::Login, next: &str) -> Answer {
    match app.parts.access.log_in(login).await {
        Ok(SignedIn { session, browser }) => {
            if let Ok(caller) = app.parts.access.cookie(&session).await {
                noted::by(req, &caller);
            }
            let mut answer = see_other(next);
            set_session(&mut answer, req, app, &session);
            set_cookie(&mut answer, req, app, BROWSER, &browser, BROWSER_SECONDS);
            Ok(answer)
        }
        Err(LoginRefused::Wrong) => {
            noted::ended(req, Outcome::Refused);
            Ok(see_other(&login_address(next, Some("wrong"))))
        }
        Err(LoginRefused::Later { seconds }) if takes_html(req) => {
            let page = pages::login_page(req, StatusCode::TOO_MANY_REQUESTS, Some(seconds))?;
            let mut page = as_shown(page)?;
            page.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            Ok(page)
        }
        Err(refused) => Err(not_signed_in(refused)),
    }
}

fn takes_html(req: &HttpRequest) -> bool {
    let accept = req.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Says why a password wasn't enough.
pub(super) fn not_signed_in(refused: LoginRefused) -> Problem {
    match refused {
        LoginRefused::Wrong => {
            let detail = "The password isn't right.";
            Problem::new(Code::WrongPassword, detail).field("password")
        }
        LoginRefused::Later { seconds } => {
            let detail = "Too many attempts were wrong. A browser that has signed in before, and \
                          an access token, still can.";
            Problem::new(Code::TooManyAttempts, detail).retry_after(seconds)
        }
        LoginRefused::State(error) => translate::state(error),
        LoginRefused::Hash => Problem::internal(refused),
    }
}

/// Signs a browser out: its session ends for good.
#[utoipa::path(post, path = "/logout", operation_id = "logOut", security(()),
    responses((status = 303, description = "Leads to the login page")))]
async fn close(req: HttpRequest, app: App) -> Answer {
    guard::refuse_other_sites(&req, &app.parts.config)?;
    if let Some(value) = guard::cookie(req.headers(), guard::COOKIE) {
        if let Ok(caller) = app.parts.access.cookie(value).await {
            noted::by(&req, &caller);
        }
        app.parts.access.log_out(value).await.map_err(translate::state)?;
    }
    let mut answer = see_other("/login");
    set_cookie(&mut answer, &req, &app, guard::COOKIE, "", 0);
    Ok(answer)
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Session {
    mode: &'static str,
    role: Option<&'static str>,
    owner: Option<String>,
    /// It is an account, which has a password.
    account: bool,
    /// The organisation that the owner is in.
    org: Option<String>,
    /// What the caller may do, by the scopes' names.
    rights: Vec<&'static str>,
    limits: Limits,
    /// How long what is deleted can be brought back; 0: not at all.
    trash_seconds: f64,
    /// Of somebody who comes by an upload grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<SessionGrant>,
}

/// What an upload grant is good for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SessionGrant {
    /// It has begun its upload: no other one can be begun.
    used: bool,
    /// When it can't begin it any more.
    expires_at: String,
    /// What it says of the video, which its uploader can't change.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Limits {
    max_size: u64,
    chunk_size: u64,
    /// Which files are taken: `video/*`, `audio/*`, `*/*`.
    accept: Vec<&'static str>,
}

/// Says who calls, and what may be sent.
#[utoipa::path(get, path = "/api/session", operation_id = "getSession",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Session, description = "Who calls, and what may be sent")))]
async fn session(req: HttpRequest, app: App) -> Answer {
    let caller = guard::known(&req, &app).await?;
    let grant = caller.as_ref().and_then(|caller| caller.grant).map(|id| app.parts.state.grant(id));
    let grant = grant.transpose().map_err(super::translate::state)?.flatten();
    let grant = grant.map(|grant| SessionGrant {
        used: grant.upload.is_some(),
        expires_at: grant.expires_at.to_rfc3339(),
        metadata: grant.metadata.into_iter().map(|(name, word)| (name, word.into())).collect(),
    });
    let upload = &app.parts.config.upload;
    let bounds = caller.as_ref().map(|caller| caller.bounds).unwrap_or_default();
    let session = Session {
        mode: match app.parts.access.mode() {
            AuthMode::Token => "token",
            AuthMode::Jwt => "jwt",
            AuthMode::Open => "open",
        },
        role: caller.as_ref().map(|caller| caller.viewer.role.name()),
        account: caller.as_ref().is_some_and(|caller| caller.user.is_some()),
        org: caller.as_ref().and_then(|c| c.viewer.owner.org()).map(str::to_owned),
        rights: caller.as_ref().map(rights).unwrap_or_default(),
        owner: caller.map(|caller| caller.viewer.owner.0),
        limits: Limits {
            max_size: bounds.size_within(upload.max_size).0,
            chunk_size: upload.chunk_size.0,
            accept: bounds.accept_within(upload.admission.accept).words(),
        },
        trash_seconds: app.parts.config.trash_for_ms as f64 / 1000.0,
        grant,
    };
    Ok(no_store(&mut HttpResponse::Ok()).json(session))
}

/// Returns what somebody may do.
fn rights(caller: &Caller) -> Vec<&'static str> {
    let has = |right: &Right| {
        let is_handed_on = caller.grant.is_some() && *right == Right::Grant;
        right.check(&caller.viewer, &caller.scopes).is_ok() && !is_handed_on
    };
    Right::ALL.into_iter().filter(has).map(Right::scope).collect()
}

fn see_other(to: &str) -> HttpResponse {
    no_store(HttpResponse::SeeOther().insert_header((header::LOCATION, to))).finish()
}

/// Keeps an answer out of every cache.
pub(super) fn no_store(answer: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    answer.insert_header((header::CACHE_CONTROL, "no-store"))
}

/// Has a browser keep the cookie of its session.
pub(super) fn set_session(answer: &mut HttpResponse, req: &HttpRequest, app: &App, value: &str) {
    set_cookie(answer, req, app, guard::COOKIE, value, SESSION_MS / 1000);
}

fn set_cookie(
    answer: &mut HttpResponse,
    req: &HttpRequest,
    app: &App,
    name: &str,
    value: &str,
    seconds: u64,
) {
    let outside = guard::outside(req, &app.parts.config);
    let secure = if outside.scheme == "https" { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(cookie) = header::HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Returns the login page's address that leads to `next` afterwards.
pub(super) fn login_address(next: &str, error: Option<&str>) -> String {
    let next = local_path(next);
    let escaped: String = next
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let error = error.map(|error| format!("&error={error}")).unwrap_or_default();
    format!("/login?next={escaped}{error}")
}

/// Returns `next` if it is a path on this server, else the first page.
fn local_path(next: &str) -> &str {
    let harmless = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let local = next.starts_with('/') && !next.starts_with("//");
    if harmless && local { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A login never leads to another site.
    #[test]
    fn only_local_paths_follow_a_login() {
        for good in ["/", "/library?q=a", "/watch/x#t=1", "/a//b"] {
            assert_eq!(local_path(good), good);
        }
        let bad =
            ["", "library", "//evil.example", "/\\evil.example", "https://evil", "/a\r\nb", "/é"];
        for bad in bad {
            assert_eq!(local_path(bad), "/", "{bad:?}");
        }
    }

    /// The way back survives its trip through the address.
    #[test]
    fn the_way_back_is_escaped() {
        assert_eq!(login_address("/library?q=a b", None), "/login?next=/");
        assert_eq!(login_address("/library?q=a&b", None), "/login?next=/library%3Fq%3Da%26b");
        assert_eq!(login_address("//x", Some("expired")), "/login?next=/&error=expired");
    }
}
