//! Numbered parts at `/api/videos/upload`: begun with their plan, sent in any order and side by
//! side, completed at the end.
//!
//! Everything that counts is decided by the upload engine. A part's address may carry a signature,
//! which then is all the authorisation that it needs and has.

use super::problem::{Code, Problem};
use super::routes::table;
use super::tus::find;
use super::views::VideoView;
use super::{Shared, blocking, body, chunk_form, digest, guard, translate, videos};
use crate::access::{PART_URL_MS, PartSigner};
use crate::events::{News, Subscription};
use crate::ids::{UploadId, VideoId};
use crate::model::access::Right;
use crate::model::upload::{CHUNK_BYTES, CHUNKS_MAX, Chunks, Protocol, UploadState};
use crate::model::video::VideoState;
use crate::state::{PartRecord, UploadRecord, VideoRecord};
use crate::units::{ByteCount, UnixMillis};
use crate::upload::{Completion, Metadata, NewUpload, PartError, PutPart};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Addresses that one answer signs.
const SIGNED_MAX: usize = 1_000;
/// Longest time that completing waits for something to look at, in seconds.
const WAIT_SECONDS_MAX: u64 = 60;
/// Longest body that completes an upload: it may name every part.
const COMPLETE_BYTES_MAX: usize = 2 << 20;

/// What is said of an address of a part that isn't good.
const BAD_ADDRESS: &str = "The address was changed or has run out; ask for a new one.";

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "uploads";
    "/api/videos/upload/initiate" => post(initiate);
    "/api/videos/upload/chunk" => post(chunk_form::take);
    "/api/videos/upload/complete" => post(complete);
    "/api/videos/upload/{id}/part-urls" => post(part_urls);
    "/api/videos/upload/{id}/parts/{index}" => put(put_part);
    "/api/videos/upload/{id}" => get(status), delete(abort);
}

/// Tags as a list, or separated by commas.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Tags {
    List(Vec<String>),
    Text(String),
}

impl Tags {
    /// Returns them as `Upload-Metadata` has them.
    pub(super) fn text(self) -> String {
        match self {
            Self::List(tags) => tags.join(","),
            Self::Text(tags) => tags,
        }
    }
}

/// A file that is going to come in parts.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Initiate {
    #[serde(default)]
    filename: String,
    size: u64,
    content_type: Option<String>,
    title: Option<String>,
    description: Option<String>,
    tags: Option<Tags>,
    #[schema(value_type = Option<crate::model::video::Visibility>)]
    visibility: Option<String>,
    session_id: Option<String>,
    /// A wish: 256 KiB to 512 MiB.
    chunk_size: Option<u64>,
    /// Of the whole file, in hex or base64.
    sha256: Option<String>,
}

/// How the file is cut.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Initiated {
    upload_id: String,
    video_id: Option<String>,
    /// `single` (one part) or `chunked`.
    method: &'static str,
    chunk_size: u64,
    total_chunks: u32,
    part_urls: Vec<PartUrl>,
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PartUrl {
    index: u32,
    url: String,
    expires_at: String,
}

/// Begins an upload in numbered parts.
#[utoipa::path(post, path = "/api/videos/upload/initiate", operation_id = "initiateUpload",
    request_body = Initiate,
    responses((status = 201, body = Initiated, description = "Where the parts go")))]
async fn initiate(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    let caller = guard::may(&req, &app, Right::Upload).await?;
    let said: Initiate = body::json(&req, payload).await?;
    let length = ByteCount(said.size);
    let (chunks, method) = plan(&said, &app)?;
    let metadata = metadata(said)?;
    let pass = caller.pass();
    let new = NewUpload {
        owner: caller.viewer.owner,
        protocol: Protocol::Chunks,
        length: Some(length),
        metadata,
        raw_metadata: None,
        pass,
    };
    let total = chunks.count(length);
    let made = app.parts.uploads.create_in_parts(new, chunks.clone()).await;
    let upload = made.map_err(translate::upload)?;
    let signed = (0..total).take(SIGNED_MAX).collect();
    let initiated = Initiated {
        upload_id: upload.id.to_string(),
        video_id: upload.video.map(|id| id.to_string()),
        method,
        chunk_size: chunks.size.0,
        total_chunks: total,
        part_urls: sign(&app, upload.id, signed).await?,
        expires_at: upload.expires_at.to_rfc3339(),
    };
    let location = (header::LOCATION, format!("/api/videos/upload/{}", upload.id));
    Ok(HttpResponse::Created().insert_header(location).json(initiated))
}

/// Decides how a file is cut.
fn plan(said: &Initiate, app: &App) -> Result<(Chunks, &'static str), Problem> {
    let config = &app.parts.config.upload;
    let length = ByteCount(said.size);
    if length.0 == 0 {
        let detail = "`size` is the number of bytes of the file, at least 1.";
        return Err(Problem::new(Code::InvalidRequest, detail).field("size"));
    }
    let max = config.max_size.0.min(CHUNKS_MAX * CHUNK_BYTES.1);
    if length.0 > max {
        let detail = format!("The largest upload that this server takes has {max} bytes.");
        return Err(Problem::new(Code::UploadTooLarge, detail).field("size"));
    }
    let wanted = said.chunk_size.map(ByteCount);
    let mut chunks = Chunks::plan(length, wanted, config.chunk_size, config.single_threshold);
    let sha256 = said.sha256.as_deref().map(whole_sum).transpose()?;
    chunks.sha256 = sha256.as_ref().map(digest::to_hex);
    let method = if chunks.count(length) == 1 { "single" } else { "chunked" };
    Ok((chunks, method))
}

fn whole_sum(text: &str) -> Result<[u8; 32], Problem> {
    digest::of_text(text).ok_or_else(|| {
        let detail = "`sha256` is a SHA-256 in hex or base64.";
        Problem::new(Code::InvalidRequest, detail).field("sha256")
    })
}

fn metadata(said: Initiate) -> Result<Metadata, Problem> {
    let pairs = [
        ("filename", Some(said.filename)),
        ("filetype", said.content_type),
        ("title", said.title),
        ("description", said.description),
        ("tags", said.tags.map(Tags::text)),
        ("visibility", said.visibility),
        ("sessionId", said.session_id),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Metadata::from_pairs(pairs).map_err(|reason| {
        Problem::new(Code::InvalidMetadata, format!("The metadata can't be used: {reason}."))
    })
}

/// Signs the addresses of parts that exist.
async fn sign(app: &App, id: UploadId, indexes: Vec<u32>) -> Result<Vec<PartUrl>, Problem> {
    let signer = signer(app).await?;
    let until = app.parts.clock.now().plus_ms(PART_URL_MS);
    let url = |index| {
        let signature = signer.sign(id, index, until);
        let url = format!(
            "/api/videos/upload/{id}/parts/{index}?expires={}&signature={signature}",
            until.0
        );
        PartUrl { index, url, expires_at: until.to_rfc3339() }
    };
    Ok(indexes.into_iter().map(url).collect())
}

async fn signer(app: &App) -> Result<PartSigner, Problem> {
    app.parts.access.part_signer().await.map_err(translate::state)
}

#[derive(Deserialize, ToSchema)]
#[schema(as = PartUrlsWanted)]
struct Wanted {
    indexes: Vec<u32>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PartUrls)]
struct Signed {
    part_urls: Vec<PartUrl>,
}

/// Signs addresses of parts again.
#[utoipa::path(post, path = "/api/videos/upload/{id}/part-urls", operation_id = "signPartUrls",
    request_body = Wanted,
    responses((status = 200, body = Signed,
        description = "Addresses that need no other authorisation")))]
async fn part_urls(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let caller = guard::within(&req, &app, Right::Upload).await?;
    let upload = find(&app, &caller, &id)?;
    guard::needs(&caller, Right::Upload)?;
    let Wanted { indexes } = body::json(&req, payload).await?;
    let (chunks, length) = in_parts(&upload)?;
    if indexes.len() > SIGNED_MAX {
        let detail = format!("At most {SIGNED_MAX} addresses are signed at once.");
        return Err(Problem::new(Code::InvalidRequest, detail).field("indexes"));
    }
    let count = chunks.count(length);
    if indexes.iter().any(|&index| index >= count) {
        let none = PartError::NoSuchPart { count };
        return Err(translate::upload(none.into()).field("indexes"));
    }
    let part_urls = sign(&app, upload.id, indexes).await?;
    Ok(HttpResponse::Ok().json(Signed { part_urls }))
}

/// Returns how an upload is cut.
fn in_parts(upload: &UploadRecord) -> Result<(&Chunks, ByteCount), Problem> {
    let plan = upload.chunks.as_ref().zip(upload.length);
    plan.ok_or_else(|| translate::upload(PartError::NotInParts.into()))
}

/// What makes an address good for its part.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Signature {
    expires: Option<String>,
    signature: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PartPut)]
struct Put {
    index: u32,
    size: u64,
    etag: String,
}

/// The sum of a body; one of them is enough.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "headers are read where they are needed; this describes them")]
struct DigestHeaders {
    /// `sha-256=:BASE64:` (RFC 9530).
    #[param(rename = "Content-Digest")]
    content_digest: Option<String>,
    /// SHA-256 in hex or base64.
    #[param(rename = "x-chunk-sha256")]
    sha256: Option<String>,
}

/// Takes a part: exactly `chunkSize` bytes, the last one what is left.
#[utoipa::path(put, path = "/api/videos/upload/{id}/parts/{index}", operation_id = "putPart",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    params(Signature, DigestHeaders), security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Put, description = "The part is here",
        headers(("ETag" = String, description = "As in the body")))))]
async fn put_part(
    req: HttpRequest,
    app: App,
    path: web::Path<(String, String)>,
    signature: web::Query<Signature>,
    payload: web::Payload,
) -> Answer {
    let (id, index) = path.into_inner();
    let upload = allowed(&req, &app, &id, &index, signature.into_inner()).await?;
    let index = index_of(&index)?;
    let sha256 = Arc::new(OnceLock::new());
    if let Some(sum) = digest::of_body(req.headers())? {
        let _ = sha256.set(sum);
    }
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let content_length = length.and_then(|text| text.parse().ok()).map(ByteCount);
    let put = PutPart { id: upload.id, index, content_length, sha256 };
    let stored = app.parts.uploads.put_part(put, payload).await.map_err(translate::upload)?;
    let etag = format!("\"{}\"", digest::to_hex(&stored.sha256));
    let said = Put { index, size: stored.size.0, etag: etag.clone() };
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag)).json(said))
}

/// Reads the number of a part; what is no number is no part's.
fn index_of(text: &str) -> Result<u32, Problem> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let index = digits.then(|| text.parse().unwrap_or(u32::MAX));
    index.ok_or_else(|| Problem::new(Code::PartSize, "Parts are numbered from 0."))
}

/// Returns the upload that a part is sent for, if the address's signature or the caller may.
async fn allowed(
    req: &HttpRequest,
    app: &App,
    id: &str,
    index: &str,
    given: Signature,
) -> Result<UploadRecord, Problem> {
    if given.signature.is_none() && given.expires.is_none() {
        let caller = guard::within(req, app, Right::Upload).await?;
        let upload = find(app, &caller, id)?;
        guard::needs(&caller, Right::Upload)?;
        return Ok(upload);
    }
    let signer = signer(app).await?;
    let now = app.parts.clock.now();
    let is_signed = |upload: UploadId| {
        let until = UnixMillis(given.expires.as_deref()?.parse().ok()?);
        let (signature, index) = (given.signature.as_deref()?, index.parse().ok()?);
        signer.allows(signature, upload, index, until, now).then_some(())
    };
    let upload = UploadId::parse(id).map_err(|_| Problem::not_found())?;
    is_signed(upload).ok_or_else(|| Problem::new(Code::BadSignature, BAD_ADDRESS))?;
    let upload = app.parts.uploads.peek(upload).map_err(translate::upload)?;
    // Nobody goes on by an address either that a grant was told which was ended since.
    let holds = |grant| app.parts.access.grant_holds(grant).map_err(translate::state);
    match upload.grant.map(holds).transpose()? {
        Some(false) => Err(Problem::new(Code::BadSignature, BAD_ADDRESS)),
        _ => Ok(upload),
    }
}

/// What of an upload is here.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UploadStatus)]
struct Status {
    upload_id: String,
    video_id: Option<String>,
    state: UploadState,
    size: Option<u64>,
    /// Ranges of bytes that are here, each with its first byte and the one behind its last.
    #[schema(value_type = Vec<Vec<u64>>)]
    received: Vec<(u64, u64)>,
    received_bytes: u64,
    missing_chunks: Vec<u32>,
    /// Ranges that the server would like first.
    #[schema(value_type = Vec<Vec<u64>>)]
    wanted: Vec<(u64, u64)>,
    chunk_size: Option<u64>,
    total_chunks: Option<u32>,
    expires_at: Option<String>,
    /// The parts that are acknowledged, for who asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<Named>>,
}

impl Status {
    fn of(upload: &UploadRecord) -> Self {
        let plan = upload.chunks.as_ref().zip(upload.length);
        let received = &upload.received.written;
        let partial = upload.state == UploadState::Partial;
        Self {
            upload_id: upload.id.to_string(),
            video_id: upload.video.map(|id| id.to_string()),
            state: upload.state,
            size: upload.length.map(|length| length.0),
            received: received.as_slice().to_vec(),
            received_bytes: received.total().0,
            missing_chunks: plan.map_or_else(Vec::new, |(plan, all)| plan.missing(all, received)),
            wanted: Vec::new(),
            chunk_size: upload.chunks.as_ref().map(|chunks| chunks.size.0),
            total_chunks: plan.map(|(plan, all)| plan.count(all)),
            expires_at: partial.then(|| upload.expires_at.to_rfc3339()),
            parts: None,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Look {
    /// Also name the parts that are acknowledged.
    #[serde(default)]
    parts: bool,
}

/// Says what of an upload is here.
#[utoipa::path(get, path = "/api/videos/upload/{id}", operation_id = "getUpload", params(Look),
    responses((status = 200, body = Status, description = "What is here, and what is missing")))]
async fn status(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    look: web::Query<Look>,
) -> Answer {
    let caller = guard::within(&req, &app, Right::SeeUploads).await?;
    let upload = find(&app, &caller, &id)?;
    let upload = app.parts.uploads.told(upload).await.map_err(translate::upload)?;
    let mut status = Status::of(&upload);
    status.wanted = app.parts.uploads.wanted(&upload).await.map_err(translate::upload)?;
    if look.parts {
        // Up to ten thousand records: not for who only wants to know how far it is.
        let id = upload.id;
        let read = blocking(&app, move |parts| parts.state.parts(id).map_err(translate::state));
        let named = |part: PartRecord| Named {
            index: part.index,
            etag: format!("\"{}\"", digest::to_hex(&part.sha256)),
        };
        let told = |part: &PartRecord| status.missing_chunks.binary_search(&part.index).is_err();
        status.parts = Some(read.await?.into_iter().filter(told).map(named).collect());
    }
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(answer.json(status))
}

/// Ends an upload.
#[utoipa::path(delete, path = "/api/videos/upload/{id}", operation_id = "abortUpload",
    responses((status = 204, description = "The upload and its video are gone")))]
async fn abort(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let caller = guard::within(&req, &app, Right::Upload).await?;
    let upload = find(&app, &caller, &id)?;
    guard::needs(&caller, Right::Upload)?;
    app.parts.uploads.terminate(upload.id).await.map_err(translate::upload)?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Complete {
    upload_id: String,
    #[serde(default)]
    parts: Vec<Named>,
    sha256: Option<String>,
}

/// A part as the client knows it, or is told.
#[derive(Deserialize, Serialize, ToSchema)]
#[schema(as = Part)]
struct Named {
    index: u32,
    etag: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CompletedUpload)]
struct Completed {
    video_id: String,
    video: VideoView,
}

/// Completes an upload, as often as it is asked.
#[utoipa::path(post, path = "/api/videos/upload/complete", operation_id = "completeUpload",
    request_body = Complete, params(PreferHeader),
    responses((status = 200, body = Completed, description = "All is here")))]
async fn complete(req: HttpRequest, app: App, payload: web::Payload) -> Answer {
    let caller = guard::within(&req, &app, Right::Upload).await?;
    let said: Complete = body::json_of(&req, payload, COMPLETE_BYTES_MAX).await?;
    let upload = find(&app, &caller, &said.upload_id)?;
    guard::needs(&caller, Right::Upload)?;
    let named = |part: Named| (part.index, digest::of_etag(&part.etag));
    let completion = Completion {
        parts: said.parts.into_iter().map(named).collect(),
        sha256: said.sha256.as_deref().map(whole_sum).transpose()?,
    };
    // From before the finish on, so that nothing is missed.
    let wait = preferred_wait(&req).map(|time| (time, app.parts.hub.subscribe(None)));
    let upload = app.parts.uploads.complete(upload.id, completion).await;
    let video = upload.map_err(translate::upload)?.video;
    let video = video.ok_or_else(|| Problem::internal("a finished upload has no video"))?;
    if let Some((time, news)) = wait {
        let waiting = tokio::time::timeout(time, wait_for_a_picture(&app, video, news));
        // Whatever there is when the time is over is the answer.
        tokio::select! {
            () = app.streams.cancelled() => (),
            _ = waiting => (),
        }
    }
    let completed = blocking(&app, move |parts| {
        let record = parts.state.video(video).map_err(translate::state)?;
        let record = record.ok_or_else(Problem::not_found)?;
        Ok(Completed { video_id: video.to_string(), video: videos::whole(&record, parts) })
    });
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(completed.await?))
}

/// How long to wait for the work.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "the header is read where it is needed; this describes it")]
pub(super) struct PreferHeader {
    /// `wait=N`: seconds, 60 at most (RFC 7240).
    #[param(rename = "Prefer")]
    prefer: Option<String>,
}

/// Returns how long the client would wait (RFC 7240): `Prefer: wait=N`.
pub(super) fn preferred_wait(req: &HttpRequest) -> Option<Duration> {
    let lists = req.headers().get_all("prefer").filter_map(|value| value.to_str().ok());
    let seconds = lists.flat_map(|list| list.split([',', ';'])).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"').parse::<u64>().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then_some(value)
    });
    seconds.map(|seconds| Duration::from_secs(seconds.min(WAIT_SECONDS_MAX)))
}

/// Waits until a video has its poster and can be played, or never will.
async fn wait_for_a_picture(app: &App, video: VideoId, mut news: Subscription) {
    loop {
        let look = blocking(app, move |parts| parts.state.video(video).map_err(translate::state));
        match look.await {
            Ok(Some(record)) if !is_presentable(&record) => (),
            _ => return,
        }
        loop {
            match news.next().await {
                None => return,
                Some(News::Event(event)) if event.video != Some(video) => (),
                Some(_) => break,
            }
        }
    }
}

fn is_presentable(video: &VideoRecord) -> bool {
    let is_over = matches!(video.state, VideoState::Ready | VideoState::Failed);
    is_over || (video.playable && video.poster.is_some())
}
