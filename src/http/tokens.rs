//! `/api/admin/tokens`: who has access, and its end. Secrets aren't kept, so nobody sees them
//! here. Admins only.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, guard};
use crate::ids::TokenId;
use crate::model::access::{Right, Role};
use crate::state::TokenRecord;
use crate::units::UnixMillis;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/tokens" => get(list);
    "/api/admin/tokens/{id}" => delete(revoke);
}

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
    created_at: String,
    expires_at: Option<String>,
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
            created_at: token.created_at.to_rfc3339(),
            expires_at: token.expires_at.map(UnixMillis::to_rfc3339),
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
