//! `/api/me`: what somebody who signed in with an account does about it: another password, and a
//! look at where else it is signed in. Tokens have neither.

use super::login::{login_of, no_store, not_signed_in, set_session};
use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, body, guard, translate, users};
use crate::access::Secret;
use crate::ids::{Owner, SessionId, UserId};
use crate::state::SessionRecord;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "server";
    "/api/me/password" => post(renew);
    "/api/me/sessions" => get(sessions), delete(end_others);
    "/api/me/sessions/{id}" => delete(end);
}

/// Returns the account that asks.
///
/// # Errors
/// 401 for nobody, 403 for a token.
async fn account(req: &HttpRequest, app: &App) -> Result<(UserId, Owner), Problem> {
    let caller = guard::known(req, app).await?.ok_or_else(guard::nobody)?;
    let user = caller.user.ok_or_else(|| {
        let detail = "Only an account has this; sign in with its name and password.";
        Problem::new(Code::Forbidden, detail)
    })?;
    Ok((user, caller.viewer.owner))
}

/// Returns the session by which somebody asks.
async fn own_session(req: &HttpRequest, app: &App) -> Result<Option<SessionId>, Problem> {
    match guard::cookie(req.headers(), guard::COOKIE) {
        Some(cookie) => app.parts.access.session_named(cookie).await.map_err(translate::state),
        None => Ok(None),
    }
}

/// A password for another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
struct Renewal {
    current: String,
    new: String,
}

/// Changes the password of the account that asks. All of its sessions end; the answer has the
/// cookie of a new one.
#[utoipa::path(post, path = "/api/me/password", operation_id = "changePassword",
    request_body = Renewal,
    responses((status = 204, description = "It counts from now on")))]
async fn renew(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    let (_, name) = account(&req, &app).await?;
    let Renewal { current, new } = body::json(&req, payload).await?;
    let login = login_of(&req, &app, name.0, current);
    let changed = app.parts.access.change_password(login, Secret(new)).await;
    let session = changed.map_err(not_signed_in)?.map_err(users::unfit)?;
    let mut answer = no_store(&mut HttpResponse::NoContent()).finish();
    set_session(&mut answer, &req, &app, &session);
    Ok(answer)
}

/// A browser that has signed in to the account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountSession)]
struct SessionView {
    id: String,
    /// What the browser is called, where that is known.
    browser: Option<String>,
    /// What it runs on.
    system: Option<String>,
    created_at: String,
    /// When it ends by itself.
    ends_at: String,
    /// The one that asks.
    current: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AccountSessions)]
struct SessionsView {
    items: Vec<SessionView>,
}

impl SessionView {
    fn of(session: SessionRecord, own: Option<SessionId>) -> Self {
        Self {
            id: session.id.to_string(),
            browser: session.browser,
            system: session.system,
            created_at: session.created_at.to_rfc3339(),
            ends_at: session.ends_at.to_rfc3339(),
            current: Some(session.id) == own,
        }
    }
}

/// Lists where the account that asks is signed in.
#[utoipa::path(get, path = "/api/me/sessions", operation_id = "listSessions",
    responses((status = 200, body = SessionsView, description = "The newest first")))]
async fn sessions(req: HttpRequest, app: App) -> Answer {
    let (user, _) = account(&req, &app).await?;
    let own = own_session(&req, &app).await?;
    let read = move |parts: &AppParts| parts.access.sessions(user).map_err(users::unfit);
    let all = blocking(&app, read).await?.into_iter().rev();
    let items = all.map(|session| SessionView::of(session, own)).collect();
    Ok(no_store(&mut HttpResponse::Ok()).json(SessionsView { items }))
}

/// Ends one of the sessions of the account that asks, for good.
#[utoipa::path(delete, path = "/api/me/sessions/{id}", operation_id = "endSession",
    responses((status = 204, description = "Its browser is signed out")))]
async fn end(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let (user, _) = account(&req, &app).await?;
    let id = SessionId::parse(&id).map_err(|_| Problem::not_found())?;
    match app.parts.access.end_session(user, id).await.map_err(translate::state)? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(Problem::not_found()),
    }
}

/// Ends all sessions of the account that asks but the one by which it does.
#[utoipa::path(delete, path = "/api/me/sessions", operation_id = "endOtherSessions",
    responses((status = 204, description = "All other browsers are signed out")))]
async fn end_others(req: HttpRequest, app: App) -> Answer {
    let (user, _) = account(&req, &app).await?;
    let own = own_session(&req, &app).await?.ok_or_else(guard::nobody)?;
    app.parts.access.end_other_sessions(user, own).await.map_err(translate::state)?;
    Ok(HttpResponse::NoContent().finish())
}
