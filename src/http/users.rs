//! `/api/admin/users`: accounts that sign in with a name and a password. The operator's alone.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, body, guard, noted, translate};
use crate::access::{Secret, UserFault};
use crate::ids::UserId;
use crate::model::access::{Right, Role};
use crate::model::deed::Action;
use crate::state::UserRecord;
use crate::units::UnixMillis;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/users" => get(list), post(create);
    "/api/admin/users/{id}" => patch(change), delete(remove);
}

/// An account without its password.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
struct UserView {
    id: String,
    /// Whose its uploads are: `ann`, or `acme/ann`.
    name: String,
    /// The organisation.
    org: Option<String>,
    #[schema(value_type = String)]
    role: Role,
    disabled: bool,
    created_at: String,
    /// When somebody signed in last.
    seen_at: Option<String>,
    /// The one that asks.
    current: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
struct UsersView {
    items: Vec<UserView>,
}

impl UserView {
    fn of(user: UserRecord, caller: Option<UserId>) -> Self {
        Self {
            id: user.id.to_string(),
            org: user.name.org().map(str::to_owned),
            name: user.name.0,
            role: user.role,
            disabled: user.disabled,
            created_at: user.created_at.to_rfc3339(),
            seen_at: user.seen_at.map(UnixMillis::to_rfc3339),
            current: Some(user.id) == caller,
        }
    }
}

/// Says why an account can't be as somebody wants.
pub(super) fn unfit(fault: UserFault) -> Problem {
    let detail = || format!("Not possible: {fault}.");
    match &fault {
        UserFault::Name(_) => Problem::new(Code::InvalidRequest, detail()).field("name"),
        UserFault::Password => Problem::new(Code::InvalidRequest, detail()).field("password"),
        UserFault::Exists => Problem::new(Code::Conflict, detail()).field("name"),
        UserFault::Missing => Problem::not_found(),
        UserFault::Hash => Problem::internal(fault),
        UserFault::State(error) => translate::state(error.clone()),
    }
}

fn told(mut answer: actix_web::HttpResponseBuilder, said: impl Serialize) -> HttpResponse {
    answer.insert_header((header::CACHE_CONTROL, "no-store")).json(said)
}

/// Lists the accounts.
#[utoipa::path(get, path = "/api/admin/users", operation_id = "listUsers",
    responses((status = 200, body = UsersView, description = "In the order of their making")))]
async fn list(req: HttpRequest, app: App) -> Answer {
    let caller = guard::may(&req, &app, Right::Operate).await?;
    let read = |parts: &AppParts| parts.access.users().map_err(unfit);
    let users = blocking(&app, read).await?.into_iter();
    let items = users.map(|user| UserView::of(user, caller.user)).collect();
    Ok(told(HttpResponse::Ok(), UsersView { items }))
}

/// An account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
struct Wanted {
    /// `ann`, or `acme/ann` in an organisation.
    name: String,
    #[schema(value_type = String)]
    role: Role,
    /// At least 8 characters.
    password: String,
}

/// Makes an account.
#[utoipa::path(post, path = "/api/admin/users", operation_id = "createUser",
    request_body = Wanted,
    responses((status = 201, body = UserView, description = "The account")))]
async fn create(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let Wanted { name, role, password } = body::json(&req, payload).await?;
    let made = app.parts.access.create_user(&name, role, Secret(password)).await;
    Ok(told(HttpResponse::Created(), UserView::of(made.map_err(unfit)?, None)))
}

/// What is to be different; what isn't named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChange)]
struct Change {
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// Ends all of the account's sessions.
    password: Option<String>,
    /// Disabling it ends all of its sessions.
    disabled: Option<bool>,
}

/// Changes an account; the one that asks keeps its role and stays enabled.
#[utoipa::path(patch, path = "/api/admin/users/{id}", operation_id = "changeUser",
    request_body = Change,
    responses((status = 200, body = UserView, description = "The account as it is now")))]
async fn change(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let caller = guard::may(&req, &app, Right::Operate).await?;
    let id = UserId::parse(&id).map_err(|_| Problem::not_found())?;
    let Change { role, password, disabled } = body::json(&req, payload).await?;
    if caller.user == Some(id) && (role.is_some() || disabled == Some(true)) {
        return Err(own("change what it may do"));
    }
    if password.is_some() {
        noted::as_action(&req, Action::PasswordChanged);
    }
    let password = password.map(Secret);
    let changed = app.parts.access.change_user(id, role, password, disabled).await;
    Ok(told(HttpResponse::Ok(), UserView::of(changed.map_err(unfit)?, caller.user)))
}

/// Forgets an account; what it has uploaded stays. Not the one that asks.
#[utoipa::path(delete, path = "/api/admin/users/{id}", operation_id = "removeUser",
    responses((status = 204, description = "Nobody signs in with it any more")))]
async fn remove(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let caller = guard::may(&req, &app, Right::Operate).await?;
    let id = UserId::parse(&id).map_err(|_| Problem::not_found())?;
    if caller.user == Some(id) {
        return Err(own("remove it"));
    }
    match app.parts.access.remove_user(id).await.map_err(unfit)? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(Problem::not_found()),
    }
}

fn own(what: &str) -> Problem {
    let detail = format!("This is the account that you use; {what} with another one.");
    Problem::new(Code::Conflict, detail)
}
