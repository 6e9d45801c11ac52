//! `/api/upload-grants`: an app's back end lets a browser upload one file. What a grant opens is
//! [`super::granted`]'s; here it is made, listed and ended.

use super::chunks::Tags;
use super::problem::{Code, Problem};
use super::routes::table;
use super::{Shared, blocking, body, guard, login, translate};
use crate::access::{AccessError, Caller, GRANT_SECONDS_MAX, NewGrant};
use crate::config::check_hook_url;
use crate::ids::{GrantId, Owner};
use crate::model::accept::Accept;
use crate::model::access::{Bounds, Right};
use crate::state::{Conflict, GRANTS_MAX, GrantRecord, StateError};
use crate::units::{ByteCount, UnixMillis};
use crate::upload::Metadata;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Most grants on one page.
const PAGE_MAX: usize = 200;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "uploads";
    "/api/upload-grants" => get(list), post(create);
    "/api/upload-grants/{id}" => delete(end);
}

/// What is said of the video; counts more than what its uploader says.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = GrantMetadata)]
struct Words {
    filename: Option<String>,
    title: Option<String>,
    description: Option<String>,
    tags: Option<Tags>,
    #[schema(value_type = Option<crate::model::video::Visibility>)]
    visibility: Option<String>,
    session_id: Option<String>,
}

impl Words {
    /// Returns what is said, as `Upload-Metadata` names it.
    fn pairs(self) -> Vec<(String, String)> {
        let pairs = [
            ("filename", self.filename),
            ("title", self.title),
            ("description", self.description),
            ("tags", self.tags.map(Tags::text)),
            ("visibility", self.visibility),
            ("sessionId", self.session_id),
        ];
        let said = pairs.into_iter().filter_map(|(name, word)| Some((name.to_owned(), word?)));
        said.filter(|(_, word)| !word.trim().is_empty()).collect()
    }
}

/// What the upload may be, of what the server takes.
#[derive(Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = GrantLimits)]
struct Limits {
    /// In bytes.
    max_size: Option<u64>,
    #[schema(value_type = Option<Vec<String>>)]
    accept: Option<Accept>,
}

/// A grant to be made.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewUploadGrant)]
struct Wanted {
    /// Whose the upload will be; the caller's own, without.
    owner: Option<String>,
    #[serde(default)]
    metadata: Words,
    #[serde(default)]
    limits: Limits,
    /// In which time the upload has to begin, in seconds; 30 days at most.
    expires_in: u64,
    /// An address that is told what becomes of it.
    callback: Option<String>,
}

/// A grant with its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreatedUploadGrant)]
struct Created {
    id: String,
    /// It isn't told again.
    grant: String,
    /// A page to upload with, for a person.
    url: String,
    /// For clients of tus and of the IETF's draft, which need nothing else.
    upload_url: String,
    /// For `<slipway-upload endpoint>`; also what the API's paths stand behind.
    endpoint: String,
    expires_at: String,
    /// What calls to `callback` are signed with. It isn't told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_secret: Option<String>,
}

/// Makes a grant, which is good for one upload. Its secret is told this once.
#[utoipa::path(post, path = "/api/upload-grants", operation_id = "createUploadGrant",
    request_body = Wanted,
    responses((status = 201, body = Created, description = "The grant, with its secret")))]
async fn create(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    let caller = guard::may(&req, &app, Right::Grant).await?;
    let wanted: Wanted = body::json(&req, payload).await?;
    let new = checked(wanted, &caller)?;
    let made = app.parts.access.create_grant(new).await;
    let (grant, record) = made.map_err(not_made)?;
    let outside = guard::outside(&req, &app.parts.config);
    let here = format!("{}://{}", outside.scheme, outside.host);
    let endpoint = format!("{here}/g/{grant}");
    let created = Created {
        id: record.id.to_string(),
        // What is behind a # stays in the browser: no log and no other page learns of it.
        url: format!("{here}/upload#{grant}"),
        upload_url: format!("{endpoint}/files"),
        endpoint,
        grant,
        expires_at: record.expires_at.to_rfc3339(),
        callback_secret: record.callback.map(|callback| callback.secret),
    };
    Ok(login::no_store(&mut HttpResponse::Created()).json(created))
}

/// Reads what is wanted, if the caller may have it.
fn checked(wanted: Wanted, caller: &Caller) -> Result<NewGrant, Problem> {
    let wrong = |field: &'static str, detail: String| {
        Problem::new(Code::InvalidRequest, detail).field(field)
    };
    let owner = match wanted.owner {
        Some(name) => Owner::parse(&name).map_err(|why| wrong("owner", format!("{why}.")))?,
        None => caller.viewer.owner.clone(),
    };
    if !caller.viewer.is_over(&owner) {
        let detail = "You can let upload for yourself, as an organisation's admin for its members, \
                      and as the operator for everybody.";
        return Err(Problem::new(Code::Forbidden, detail).field("owner"));
    }
    if !(1..=GRANT_SECONDS_MAX).contains(&wanted.expires_in) {
        let detail = "`expiresIn` is a number of seconds, from 1 to 30 days.";
        return Err(wrong("expiresIn", detail.to_owned()));
    }
    if wanted.limits.max_size == Some(0) {
        return Err(wrong("maxSize", "A limit of zero allows nothing.".to_owned()));
    }
    let metadata = wanted.metadata.pairs();
    Metadata::from_pairs(metadata.iter().map(|(name, word)| (name, word))).map_err(|why| {
        Problem::new(Code::InvalidMetadata, format!("The metadata can't be used: {why}."))
    })?;
    if let Some(Err(why)) = wanted.callback.as_deref().map(check_hook_url) {
        return Err(wrong("callback", format!("{why}.")));
    }
    let Limits { max_size, accept } = wanted.limits;
    let bounds = Bounds { max_size: max_size.map(ByteCount), accept };
    Ok(NewGrant {
        owner,
        token: caller.token,
        metadata,
        bounds: bounds.and(caller.bounds),
        expires_ms: wanted.expires_in * 1000,
        callback: wanted.callback,
    })
}

fn not_made(error: AccessError) -> Problem {
    match error {
        AccessError::State(StateError::Conflict(Conflict::Full)) => {
            let detail = format!(
                "There are {GRANTS_MAX} upload grants for this owner already; they are forgotten \
                 some time after their end."
            );
            Problem::new(Code::TooManyGrants, detail)
        }
        AccessError::State(StateError::Conflict(Conflict::Spent)) => {
            let detail = "Your token is good for no more uploads, and each grant counts as one.";
            Problem::new(Code::TokenSpent, detail)
        }
        AccessError::State(error) => translate::state(error),
        other => Problem::internal(other),
    }
}

/// How it stands with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum GrantState {
    /// It can begin its upload.
    Open,
    /// It has begun it.
    Used,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Ended,
}

impl GrantState {
    fn of(grant: &GrantRecord, now: UnixMillis) -> Self {
        match grant {
            GrantRecord { ended_at: Some(_), .. } => Self::Ended,
            GrantRecord { upload: Some(_), .. } => Self::Used,
            grant if now >= grant.begins_until() => Self::Expired,
            _ => Self::Open,
        }
    }
}

/// A grant without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UploadGrant)]
struct GrantView {
    id: String,
    owner: String,
    state: GrantState,
    /// What is said of the video, as `Upload-Metadata` names it.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    metadata: serde_json::Map<String, serde_json::Value>,
    limits: Limits,
    callback: Option<String>,
    created_at: String,
    expires_at: String,
    used_at: Option<String>,
    ended_at: Option<String>,
    upload_id: Option<String>,
    video_id: Option<String>,
}

impl GrantView {
    fn of(grant: GrantRecord, now: UnixMillis) -> Self {
        Self {
            id: grant.id.to_string(),
            state: GrantState::of(&grant, now),
            owner: grant.owner.0,
            metadata: grant.metadata.into_iter().map(|(name, word)| (name, word.into())).collect(),
            limits: Limits {
                max_size: grant.bounds.max_size.map(|size| size.0),
                accept: grant.bounds.accept,
            },
            callback: grant.callback.map(|callback| callback.url),
            created_at: grant.created_at.to_rfc3339(),
            expires_at: grant.expires_at.to_rfc3339(),
            used_at: grant.used_at.map(UnixMillis::to_rfc3339),
            ended_at: grant.ended_at.map(UnixMillis::to_rfc3339),
            upload_id: grant.upload.map(|id| id.to_string()),
            video_id: grant.video.map(|id| id.to_string()),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Somebody else for whom the caller may let upload.
    owner: Option<String>,
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UploadGrantPage)]
struct Page {
    items: Vec<GrantView>,
    next_cursor: Option<String>,
}

/// Lists the grants of one owner: the caller's, or of somebody else for whom they may make some.
#[utoipa::path(get, path = "/api/upload-grants", operation_id = "listUploadGrants",
    params(Filter),
    responses((status = 200, body = Page, description = "The newest first")))]
async fn list(req: HttpRequest, app: App, filter: web::Query<Filter>) -> Answer {
    let caller = guard::may(&req, &app, Right::Grant).await?;
    let Filter { owner, limit, cursor } = filter.into_inner();
    let owner = owner.map_or(caller.viewer.owner.clone(), Owner);
    if !caller.viewer.is_over(&owner) {
        return Err(Problem::not_found());
    }
    let cursor = cursor.as_deref().map(GrantId::parse).transpose().map_err(|_| {
        Problem::new(Code::InvalidRequest, "`cursor` isn't one that was given.").field("cursor")
    })?;
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let page = blocking(&app, move |parts| {
        let now = parts.clock.now();
        let mut grants =
            parts.state.grants_of(&owner, cursor, limit + 1).map_err(translate::state)?;
        let has_more = grants.len() > limit;
        grants.truncate(limit);
        let next_cursor = grants.last().map(|grant| grant.id.to_string()).filter(|_| has_more);
        let items = grants.into_iter().map(|grant| GrantView::of(grant, now)).collect();
        Ok(Page { items, next_cursor })
    });
    Ok(login::no_store(&mut HttpResponse::Ok()).json(page.await?))
}

/// Ends a grant at once: nothing begins by it any more, and nobody goes on by it.
#[utoipa::path(delete, path = "/api/upload-grants/{id}", operation_id = "endUploadGrant",
    responses((status = 204, description = "It is good for nothing any more")))]
async fn end(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let caller = guard::may(&req, &app, Right::Grant).await?;
    let id = GrantId::parse(&id).map_err(|_| Problem::not_found())?;
    let grant = app.parts.state.grant(id).map_err(translate::state)?;
    let grant = grant.filter(|grant| caller.viewer.is_over(&grant.owner));
    grant.ok_or_else(Problem::not_found)?;
    let ended = app.parts.state.end_grant(id, app.parts.clock.now()).await;
    if let Some(upload) = ended.map_err(translate::state)?.upload {
        // A request that still brings bytes lets go. One whose upload is over has none.
        let _ = app.parts.uploads.look(upload).await;
    }
    Ok(HttpResponse::NoContent().finish())
}
