//! `/api/admin/tokens`: who has access, and its end. Secrets aren't kept: one is told once, in the
//! answer to its making. The operator's alone.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, body, guard, translate};
use crate::access::{AccessError, NewToken, TokenFault};
use crate::ids::TokenId;
use crate::model::accept::Accept;
use crate::model::access::{Bounds, Right, Role};
use crate::state::TokenRecord;
use crate::units::{ByteCount, UnixMillis};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/tokens" => get(list), post(create);
    "/api/admin/tokens/{id}" => delete(revoke);
}

/// Longest life of a token in seconds: ten years.
const EXPIRES_SECONDS_MAX: u64 = 3_650 * 86_400;

/// A token without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
struct TokenView {
    id: String,
    #[schema(value_type = String)]
    role: Role,
    /// Whose its uploads are.
    owner: String,
    name: Option<String>,
    /// What it is confined to; empty means all that its role may.
    scopes: Vec<String>,
    /// Largest upload that it begins, in bytes.
    max_size: Option<u64>,
    /// Which files it may bring, of those that the server takes.
    accept: Option<Vec<String>>,
    /// How many uploads it may begin in all.
    max_uploads: Option<u32>,
    /// How many of those it has begun; not counted without `maxUploads`.
    uploads_begun: u32,
    created_at: String,
    expires_at: Option<String>,
    /// To a few minutes after a restart.
    used_at: Option<String>,
    /// The one that asks.
    current: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
struct TokensView {
    items: Vec<TokenView>,
}

impl TokenView {
    fn of(token: TokenRecord, caller: Option<TokenId>) -> Self {
        Self {
            id: token.id.to_string(),
            role: token.role,
            owner: token.owner.0,
            name: token.name,
            scopes: token.scopes,
            max_size: token.bounds.max_size.map(|size| size.0),
            accept: token.bounds.accept.map(Vec::from),
            max_uploads: token.max_uploads,
            uploads_begun: token.uploads_begun,
            created_at: token.created_at.to_rfc3339(),
            expires_at: token.expires_at.map(UnixMillis::to_rfc3339),
            used_at: token.used_at.map(UnixMillis::to_rfc3339),
            current: Some(token.id) == caller,
        }
    }
}

/// Lists the tokens.
#[utoipa::path(get, path = "/api/admin/tokens", operation_id = "listTokens",
    responses((status = 200, body = TokensView, description = "In the order of their making")))]
async fn list(req: HttpRequest, app: App) -> Answer {
    let caller = guard::may(&req, &app, Right::Operate).await?;
    let read = |parts: &AppParts| parts.access.tokens().map_err(Problem::internal);
    let tokens = blocking(&app, read).await?.into_iter();
    let items = tokens.map(|token| TokenView::of(token, caller.token)).collect();
    let no_store = (header::CACHE_CONTROL, "no-store");
    Ok(HttpResponse::Ok().insert_header(no_store).json(TokensView { items }))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewToken)]
struct Wanted {
    #[schema(value_type = String)]
    role: Role,
    name: Option<String>,
    /// Whose its uploads are: `ann`, or `acme/ann`; its own without.
    owner: Option<String>,
    /// In seconds; until it is revoked, without.
    expires_in: Option<u64>,
    /// What it is confined to.
    #[serde(default)]
    scopes: Vec<String>,
    /// Largest upload that it begins, in bytes.
    max_size: Option<u64>,
    /// How many uploads it may begin in all.
    max_uploads: Option<u32>,
    /// Which files it may bring, of those that the server takes.
    #[schema(value_type = Option<Vec<String>>)]
    accept: Option<Accept>,
}

/// A new token with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedToken)]
struct Created {
    /// It isn't told again.
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

/// Makes a token. Its secret is told this once.
#[utoipa::path(post, path = "/api/admin/tokens", operation_id = "createToken",
    request_body = Wanted,
    responses((status = 201, body = Created, description = "The token, with its secret")))]
async fn create(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let wanted: Wanted = body::json(&req, payload).await?;
    if wanted.expires_in.is_some_and(|seconds| seconds == 0 || seconds > EXPIRES_SECONDS_MAX) {
        let detail = "`expiresIn` is a number of seconds, from 1 to ten years.";
        return Err(Problem::new(Code::InvalidRequest, detail).field("expiresIn"));
    }
    let new = NewToken {
        role: wanted.role,
        name: wanted.name,
        user: wanted.owner,
        expires_ms: wanted.expires_in.map(|seconds| seconds * 1000),
        scopes: wanted.scopes,
        bounds: Bounds { max_size: wanted.max_size.map(ByteCount), accept: wanted.accept },
        max_uploads: wanted.max_uploads,
    };
    let made = app.parts.access.create_token(new).await;
    let (token, record) = made.map_err(|error| match error {
        AccessError::Fault(fault) => unfit(&fault),
        AccessError::State(error) => translate::state(error),
        other => Problem::internal(other),
    })?;
    let created = Created { token, view: TokenView::of(record, None) };
    let no_store = (header::CACHE_CONTROL, "no-store");
    Ok(HttpResponse::Created().insert_header(no_store).json(created))
}

/// Says which field can't be.
fn unfit(fault: &TokenFault) -> Problem {
    let field = match fault {
        TokenFault::UnknownScope { .. } | TokenFault::IdleScope { .. } => "scopes",
        TokenFault::Owner(_) => "owner",
        TokenFault::Name => "name",
        TokenFault::Zero => "maxSize",
    };
    Problem::new(Code::InvalidRequest, format!("Not a token that can be made: {fault}."))
        .field(field)
}

/// Ends a token and its sessions at once; not the one that asks.
#[utoipa::path(delete, path = "/api/admin/tokens/{id}", operation_id = "revokeToken",
    responses((status = 204, description = "It is good for nothing any more")))]
async fn revoke(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let caller = guard::may(&req, &app, Right::Operate).await?;
    let id = TokenId::parse(&id).map_err(|_| Problem::not_found())?;
    if caller.token == Some(id) {
        let detail = "This is the token that you use; end it with another one.";
        return Err(Problem::new(Code::Conflict, detail));
    }
    match app.parts.access.revoke_token(id).await.map_err(Problem::internal)? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(Problem::not_found()),
    }
}
