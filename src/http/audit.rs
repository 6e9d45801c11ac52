//! `/api/admin/audit`: who did what. Operators only.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, guard};
use crate::model::access::Right;
use crate::model::deed::{Action, Deed, Outcome, Way};
use crate::trail;
use crate::units::UnixMillis;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

/// Entries of a page unless somebody wants more or fewer.
const LIMIT_DEFAULT: usize = 100;

table! { "operations";
    "/api/admin/audit" => get(list);
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Query {
    /// A time; only what was done from then on.
    since: Option<String>,
    /// A user's name, or a token's id.
    actor: Option<String>,
    action: Option<Action>,
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    cursor: Option<u64>,
}

/// An entry of the audit log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
pub(super) struct EntryView {
    /// One more than that of the entry before.
    number: u64,
    at: String,
    way: Way,
    actor: Option<String>,
    token_id: Option<String>,
    address: Option<String>,
    action: Action,
    object: Option<String>,
    outcome: Outcome,
    /// How many deeds the entry stands for, if not for one.
    count: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditLog)]
pub(super) struct Page {
    items: Vec<EntryView>,
    next_cursor: Option<u64>,
}

impl EntryView {
    fn of(deed: Deed) -> Self {
        Self {
            number: deed.n,
            at: deed.at.to_rfc3339(),
            way: deed.way,
            actor: deed.actor,
            token_id: deed.token,
            address: deed.address.map(|address| address.to_string()),
            action: deed.action,
            object: deed.object,
            outcome: deed.outcome,
            count: deed.count,
        }
    }
}

/// Lists who did what.
#[utoipa::path(get, path = "/api/admin/audit", operation_id = "listAuditLog", params(Query),
    responses((status = 200, body = Page, description = "The newest first")))]
async fn list(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let Query { since, actor, action, limit, cursor } = query.into_inner();
    let since = since.map(|text| {
        let detail = "`since` is a time such as 2026-01-31T12:00:00Z.";
        let wrong = || Problem::new(Code::InvalidRequest, detail).field("since");
        UnixMillis::parse_rfc3339(&text).ok_or_else(wrong)
    });
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    let since = since.transpose()?;
    let wanted = trail::Query { since, actor, action, before: cursor, after: None, limit };
    let page = blocking(&app, move |parts| page(parts, &wanted)).await?;
    let no_store = (header::CACHE_CONTROL, "no-store");
    Ok(HttpResponse::Ok().insert_header(no_store).json(page))
}

/// Reads a page of the log.
pub(super) fn page(parts: &AppParts, wanted: &trail::Query) -> Result<Page, Problem> {
    let limit = wanted.limit.clamp(1, trail::PAGE_MAX);
    let deeds = parts.trail.read(wanted).map_err(Problem::internal)?;
    let next_cursor = deeds.last().map(|deed| deed.n).filter(|_| deeds.len() == limit);
    Ok(Page { items: deeds.into_iter().map(EntryView::of).collect(), next_cursor })
}
