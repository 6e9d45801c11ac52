//! `/api/admin/webhooks`: how webhooks fare, and what they were told. Admins only.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, guard, translate};
use crate::hooks::Health;
use crate::ids::DeliveryId;
use crate::model::access::Right;
use crate::model::hook::{DeliveryState, HookEvent, Subject};
use crate::state::{DeliveryRecord, TargetKey};
use crate::units::UnixMillis;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Deliveries on a page, unless the caller wants fewer or more.
const LIMIT_DEFAULT: usize = 50;
/// Most deliveries on a page.
const LIMIT_MAX: usize = 200;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/webhooks" => get(list);
    "/api/admin/webhooks/deliveries" => get(deliveries);
    "/api/admin/webhooks/deliveries/{id}/retry" => post(retry);
    "/api/admin/webhooks/test" => post(test);
}

fn answer(said: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(said)
}

/// A webhook, and how it fares.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
struct WebhookView {
    id: String,
    url: String,
    waiting: usize,
    disabled: bool,
    failures: u32,
    last_success_at: Option<String>,
    last_failure_at: Option<String>,
    last_error: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Webhooks)]
struct WebhooksView {
    items: Vec<WebhookView>,
}

/// One event for one webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookDelivery)]
struct DeliveryView {
    id: String,
    webhook_id: String,
    #[serde(rename = "type")]
    event: HookEvent,
    video_id: Option<String>,
    at: String,
    state: DeliveryState,
    attempts: u32,
    next_at: Option<String>,
    ended_at: Option<String>,
    status: Option<u16>,
    error: Option<String>,
}

impl DeliveryView {
    fn of(row: &DeliveryRecord) -> Self {
        let video = match &row.subject {
            Subject::Video(news) => Some(news.video.to_string()),
            Subject::Disk { .. } | Subject::Test => None,
        };
        let waits = row.state == DeliveryState::Pending;
        Self {
            id: row.id.to_string(),
            webhook_id: hex(row.target),
            event: row.event,
            video_id: video,
            at: row.at.to_rfc3339(),
            state: row.state,
            attempts: row.attempts,
            next_at: waits.then(|| row.next_at.to_rfc3339()),
            ended_at: row.ended_at.map(UnixMillis::to_rfc3339),
            status: row.status,
            error: row.error.clone(),
        }
    }
}

fn hex(key: TargetKey) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lists the webhooks, and how they fare.
#[utoipa::path(get, path = "/api/admin/webhooks", operation_id = "listWebhooks",
    responses((status = 200, body = WebhooksView, description = "In the configuration's order")))]
async fn list(req: HttpRequest, app: App) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let read = |parts: &AppParts| parts.hooks.targets().map_err(translate::state);
    let targets = blocking(&app, read).await?;
    let time = |at: Option<UnixMillis>| at.map(UnixMillis::to_rfc3339);
    let items = targets.into_iter().map(|target| {
        let Health { disabled, failures, last_success_at, last_failure_at, last_error } =
            target.health;
        WebhookView {
            id: hex(target.key),
            // A query may hold what is secret.
            url: target.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            waiting: target.waiting,
            disabled,
            failures,
            last_success_at: time(last_success_at),
            last_failure_at: time(last_failure_at),
            last_error,
        }
    });
    Ok(answer(WebhooksView { items: items.collect() }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Query {
    /// `pending`, `delivered` or `given-up`; without, those that have ended.
    state: Option<DeliveryState>,
    limit: Option<usize>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookDeliveries)]
struct Page {
    items: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

/// Lists what webhooks were told, the newest first, or what waits, the oldest first.
#[utoipa::path(get, path = "/api/admin/webhooks/deliveries", operation_id = "listDeliveries",
    params(Query), responses((status = 200, body = Page, description = "Some of the deliveries")))]
async fn deliveries(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let Query { state, limit, cursor } = query.into_inner();
    let limit = limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let cursor = cursor.as_deref().map(DeliveryId::parse).transpose().map_err(|_| {
        Problem::new(Code::InvalidRequest, "`cursor` isn't one that was given.").field("cursor")
    })?;
    let rows = blocking(&app, move |parts| {
        let rows = match state {
            Some(DeliveryState::Pending) => parts.hooks.waiting(cursor, limit + 1),
            state => {
                let keep = |row: &DeliveryRecord| state.is_none_or(|state| row.state == state);
                parts.state.ended_deliveries(cursor, limit + 1, &keep)
            }
        };
        rows.map_err(translate::state)
    });
    let mut rows = rows.await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().map(|row| row.id.to_string()).filter(|_| has_more);
    Ok(answer(Page { items: rows.iter().map(DeliveryView::of).collect(), next_cursor }))
}

/// Has a delivery that has ended sent again, for a day at most.
#[utoipa::path(post, path = "/api/admin/webhooks/deliveries/{id}/retry",
    operation_id = "retryDelivery",
    responses((status = 200, body = DeliveryView, description = "It waits again")))]
async fn retry(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let id = DeliveryId::parse(&id).map_err(|_| Problem::not_found())?;
    let row = app.parts.hooks.retry(id).await.map_err(translate::state)?;
    Ok(answer(DeliveryView::of(&row)))
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTest)]
struct Tested {
    /// How many webhooks are told.
    webhooks: usize,
}

/// Sends the event `test` to all webhooks.
#[utoipa::path(post, path = "/api/admin/webhooks/test", operation_id = "testWebhooks",
    responses((status = 200, body = Tested, description = "It is on its way")))]
async fn test(req: HttpRequest, app: App) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let webhooks = app.parts.hooks.test().await.map_err(translate::state)?;
    Ok(answer(Tested { webhooks }))
}
