//! `/api/admin/cleanup` and `/api/admin/storage`: what the janitor finds, asked for by hand.

use super::problem::{Code, Problem};
use super::routes::table;
use super::{AppParts, Shared, blocking, body, guard, translate};
use crate::disk::Weight;
use crate::janitor::{Audit, Holdings, JanitorError, Strange};
use crate::model::access::Right;
use crate::model::upkeep::{Action, AskedBy, Finding, Kind, Report};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// When to come back while another cleaning is under way.
const BUSY_SECONDS: u32 = 5;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "operations";
    "/api/admin/cleanup" => get(history), post(clean);
    "/api/admin/storage" => get(storage);
}

fn answer(said: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(said)
}

/// What is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Cleanup)]
struct Wish {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CleanupReport)]
pub(super) struct ReportView {
    started_at: String,
    finished_at: String,
    by: AskedBy,
    dry_run: bool,
    count: u64,
    bytes: u64,
    findings: Vec<FindingView>,
    faults: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CleanupFinding)]
struct FindingView {
    kind: Kind,
    action: Action,
    count: u64,
    bytes: u64,
    examples: Vec<ExampleView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CleanupExample)]
struct ExampleView {
    id: String,
    detail: Option<String>,
}

impl ReportView {
    fn of(report: &Report) -> Self {
        Self {
            started_at: report.started_at.to_rfc3339(),
            finished_at: report.finished_at.to_rfc3339(),
            by: report.by,
            dry_run: report.dry_run,
            count: report.findings.iter().map(|it| it.count).sum(),
            bytes: report.findings.iter().map(|it| it.bytes.0).sum(),
            findings: report.findings.iter().map(FindingView::of).collect(),
            faults: report.faults.clone(),
        }
    }
}

impl FindingView {
    fn of(finding: &Finding) -> Self {
        let example = |it: &crate::model::upkeep::Example| ExampleView {
            id: it.id.clone(),
            detail: Some(it.detail.clone()).filter(|detail| !detail.is_empty()),
        };
        Self {
            kind: finding.kind,
            action: finding.action,
            count: finding.count,
            bytes: finding.bytes.0,
            examples: finding.examples.iter().map(example).collect(),
        }
    }
}

/// Looks at everything once and puts it in its place, or with `dryRun` only tells.
#[utoipa::path(post, path = "/api/admin/cleanup", operation_id = "cleanUp", request_body = Wish,
    responses((status = 200, body = ReportView, description = "What was found, and done")))]
async fn clean(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let wish: Wish = body::json(&req, payload).await?;
    Ok(answer(cleaned(&app.parts, wish.dry_run).await?))
}

/// Has everything put in its place, or only looked at.
pub(super) async fn cleaned(parts: &AppParts, dry_run: bool) -> Result<ReportView, Problem> {
    let janitor = parts.janitor.clone();
    // A cleaning that has begun goes on when its request is dropped.
    let cleaned = tokio::spawn(async move { janitor.clean(AskedBy::Admin, dry_run).await });
    match cleaned.await {
        Ok(Ok(report)) => Ok(ReportView::of(&report)),
        Ok(Err(JanitorError::Busy)) => {
            let detail = "Another cleaning is under way.";
            Err(Problem::new(Code::Conflict, detail).retry_after(BUSY_SECONDS))
        }
        Ok(Err(failed)) => Err(Problem::internal(failed)),
        Err(panic) => Err(Problem::internal(panic)),
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = CleanupReports)]
struct History {
    items: Vec<ReportView>,
}

/// Lists what earlier cleanings found.
#[utoipa::path(get, path = "/api/admin/cleanup", operation_id = "listCleanups",
    responses((status = 200, body = History, description = "The newest first")))]
async fn history(req: HttpRequest, app: App) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    let read = |parts: &AppParts| parts.state.reports().map_err(translate::state);
    let reports = blocking(&app, read).await?;
    Ok(answer(History { items: reports.iter().map(ReportView::of).collect() }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Query {
    /// Made anew, however young the last one is.
    #[serde(default)]
    refresh: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Storage)]
pub(super) struct StorageView {
    running: bool,
    audit: Option<AuditView>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StorageAudit)]
struct AuditView {
    started_at: String,
    finished_at: String,
    complete: bool,
    total: HoldingsView,
    work: WeightView,
    owners: Vec<OwnerView>,
    others: OthersView,
    orphans: StrangeView,
    missing_originals: StrangeView,
    unreadable_originals: StrangeView,
    missing_media: StrangeView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StorageWeight)]
struct WeightView {
    files: u64,
    bytes: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StorageHoldings)]
struct HoldingsView {
    bytes: u64,
    uploads: WeightView,
    originals: WeightView,
    renditions: WeightView,
    pictures: WeightView,
    texts: WeightView,
    trash: WeightView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StorageOfOwner)]
struct OwnerView {
    owner: String,
    #[serde(flatten)]
    holdings: HoldingsView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StorageOfOthers)]
struct OthersView {
    owners: usize,
    #[serde(flatten)]
    holdings: HoldingsView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StorageStrange)]
struct StrangeView {
    count: u64,
    bytes: u64,
    examples: Vec<String>,
}

impl WeightView {
    fn of(weight: Weight) -> Self {
        Self { files: weight.files, bytes: weight.bytes }
    }
}

impl HoldingsView {
    fn of(holdings: &Holdings) -> Self {
        Self {
            bytes: holdings.bytes(),
            uploads: WeightView::of(holdings.uploads),
            originals: WeightView::of(holdings.originals),
            renditions: WeightView::of(holdings.renditions),
            pictures: WeightView::of(holdings.pictures),
            texts: WeightView::of(holdings.texts),
            trash: WeightView::of(holdings.trash),
        }
    }
}

impl StrangeView {
    fn of(strange: &Strange) -> Self {
        let Strange { count, bytes, examples } = strange.clone();
        Self { count, bytes, examples }
    }
}

impl AuditView {
    fn of(audit: &Audit) -> Self {
        let owner = |(owner, holdings): &(crate::ids::Owner, Holdings)| OwnerView {
            owner: owner.to_string(),
            holdings: HoldingsView::of(holdings),
        };
        let (owners, holdings) = &audit.others;
        Self {
            started_at: audit.started_at.to_rfc3339(),
            finished_at: audit.finished_at.to_rfc3339(),
            complete: audit.complete,
            total: HoldingsView::of(&audit.total),
            work: WeightView::of(audit.work),
            owners: audit.owners.iter().map(owner).collect(),
            others: OthersView { owners: *owners, holdings: HoldingsView::of(holdings) },
            orphans: StrangeView::of(&audit.orphans),
            missing_originals: StrangeView::of(&audit.missing_originals),
            unreadable_originals: StrangeView::of(&audit.unreadable_originals),
            missing_media: StrangeView::of(&audit.missing_media),
        }
    }
}

/// Tells who has how much of what on the disk.
#[utoipa::path(get, path = "/api/admin/storage", operation_id = "storageAudit", params(Query),
    responses((status = 200, body = StorageView, description = "The last audit, if any")))]
async fn storage(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    guard::may(&req, &app, Right::Operate).await?;
    Ok(answer(audited(&app.parts, query.refresh).await))
}

/// Returns the last audit, or one that is made anew.
pub(super) async fn audited(parts: &AppParts, refresh: bool) -> StorageView {
    let last = parts.janitor.audit(refresh).await;
    let audit = last.audit.as_deref().map(AuditView::of);
    StorageView { running: last.is_running, audit }
}
