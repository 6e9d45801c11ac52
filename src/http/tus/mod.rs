//! tus 1.0.0 at `/files`: creation, creation-with-upload, creation-defer-length, expiration,
//! termination, checksum and concatenation.
//!
//! The order of checks is fixed: OPTIONS is answered; then who (401), the protocol's version
//! (412), whether the upload is there (404, 410), whether the role is enough (403), the body's
//! type (415), the headers (400), the offset (409) and the length (413). Everything that counts
//! is decided by the upload engine; here headers become arguments and results become headers.

pub(in crate::http) mod concat;
pub(super) mod described;
pub(super) mod headers;

use super::problem::{Code, Problem};
use super::{Shared, body as bodies, draft, granted, guard, media_files, translate, views};
use crate::access::Caller;
use crate::ids::UploadId;
use crate::model::access::Right;
use crate::model::upload::{Concat, Protocol, UploadState};
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use crate::upload::{
    Append, Appended, CHECKSUM_ALGORITHMS, Checksum, Metadata, NewUpload, PartError, Refusal,
    UploadError,
};
use actix_web::http::{self, Method, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
pub(super) use described::TABLE;
use described::{Body, Creation, Offset, Version};
use headers::{BODY_TYPE, EXTENSIONS, VERSION};

type App = web::Data<Shared>;

async fn collection(
    req: HttpRequest,
    body: web::Payload,
    app: App,
) -> Result<HttpResponse, Problem> {
    let method = guard::effective_method(&req);
    if method == Method::OPTIONS {
        return Ok(options(&req, &app));
    }
    let caller = guard::within(&req, &app, Right::Upload).await?;
    if draft::fields::is_spoken(req.headers()) {
        return draft::create(&req, body, &app, caller, &method).await;
    }
    check_version(&req)?;
    match method {
        Method::POST => create(&req, body, &app, caller).await,
        _ => Err(wrong_method("POST, OPTIONS")),
    }
}

async fn single(
    req: HttpRequest,
    body: web::Payload,
    app: App,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let method = guard::effective_method(&req);
    if method == Method::OPTIONS {
        return Ok(options(&req, &app));
    }
    let caller = guard::within(&req, &app, Right::SeeUploads).await?;
    let upload = known(&app, &caller, &id);
    // An upload speaks what it was begun in. Of one that isn't there the request tells.
    let is_draft = match &upload {
        Ok(upload) => upload.is_by_flag(),
        Err(_) => draft::fields::is_spoken(req.headers()),
    };
    if method != Method::GET && !is_draft {
        check_version(&req)?;
    }
    let upload = not_gone(upload?)?;
    if is_draft && (method != Method::GET || asks_for_offset(&req, &upload)) {
        return draft::single(&req, body, &app, &caller, upload, &method).await;
    }
    if upload.chunks.is_some() && matches!(method, Method::HEAD | Method::PATCH) {
        return Err(translate::upload(PartError::InParts.into()));
    }
    match method {
        Method::HEAD => look(&app, upload.id).await,
        Method::PATCH => append(&req, body, &app, &caller, upload).await,
        Method::DELETE => terminate(&app, &caller, upload.id).await,
        Method::GET => get(&req, &app, &caller, upload).await,
        _ => Err(wrong_method("HEAD, PATCH, DELETE, GET, OPTIONS")),
    }
}

/// Says whether a GET can only mean where a draft's upload goes on: there are no bytes yet, and it
/// isn't the description that is wanted.
fn asks_for_offset(req: &HttpRequest, upload: &UploadRecord) -> bool {
    upload.state != UploadState::Finished && !wants_json(req)
}

fn wants_json(req: &HttpRequest) -> bool {
    text(req, "accept").unwrap_or_default().to_ascii_lowercase().contains("application/json")
}

pub(super) fn wrong_method(allowed: &'static str) -> Problem {
    let detail = format!("This address takes {allowed}.");
    Problem::new(Code::MethodNotAllowed, detail).header("allow", allowed)
}

/// Says what the server can do, in both protocols (tus, OPTIONS; the draft, limits).
#[utoipa::path(options, path = "/files", operation_id = "getUploadOptions", security(()),
    responses((status = 204, description = "What both protocols can do here",
        headers(("Tus-Version"), ("Tus-Extension"), ("Tus-Max-Size"), ("Upload-Limit")))))]
fn options(req: &HttpRequest, app: &Shared) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(("Tus-Version", VERSION))
        .insert_header(("Tus-Extension", EXTENSIONS))
        .insert_header(("Tus-Checksum-Algorithm", CHECKSUM_ALGORITHMS.join(",")))
        .insert_header(("Tus-Max-Size", app.parts.config.upload.max_size.to_string()))
        .insert_header(("Upload-Limit", draft::limits(app, req)))
        .insert_header(("Accept-Patch", format!("{}, {BODY_TYPE}", draft::fields::BODY_TYPE)))
        .insert_header((header::ALLOW, "POST, PUT, HEAD, PATCH, DELETE, GET, OPTIONS"))
        .finish()
}

fn check_version(req: &HttpRequest) -> Result<(), Problem> {
    if text(req, "tus-resumable") == Some(VERSION) {
        return Ok(());
    }
    let detail = "Send Tus-Resumable: 1.0.0.";
    Err(Problem::new(Code::TusVersion, detail)
        .header("tus-version", VERSION)
        .field("Tus-Resumable"))
}

/// Returns a header's text; one that isn't visible ASCII counts as empty, which no rule accepts.
pub(super) fn text<'a>(req: &'a HttpRequest, name: &str) -> Option<&'a str> {
    req.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Returns the upload of an address, if it is there and this caller's.
pub(super) fn find(app: &Shared, caller: &Caller, id: &str) -> Result<UploadRecord, Problem> {
    not_gone(known(app, caller, id)?)
}

/// As [`find`], but also one that was there.
fn known(app: &Shared, caller: &Caller, id: &str) -> Result<UploadRecord, Problem> {
    let id = UploadId::parse(id).map_err(|_| Problem::not_found())?;
    let record = app.parts.state.upload(id).map_err(translate::state)?;
    let record = record
        .filter(|record| caller.viewer.is_over(&record.owner) && caller.reaches(record.grant));
    record.ok_or_else(Problem::not_found)
}

fn not_gone(record: UploadRecord) -> Result<UploadRecord, Problem> {
    UploadError::unless_gone(record).map_err(translate::upload)
}

/// Returns what the request's body must sum up to, if the client says it.
fn checksum(req: &HttpRequest) -> Result<Option<Checksum>, Problem> {
    text(req, "upload-checksum").map(headers::checksum).transpose()
}

/// Returns the length of the request's body, if the client says it beforehand.
pub(super) fn content_length(req: &HttpRequest) -> Result<Option<ByteCount>, Problem> {
    let length = text(req, "content-length");
    length.map(|length| headers::count(length, "Content-Length").map(ByteCount)).transpose()
}

/// Creates an upload, and takes what of it comes along.
#[utoipa::path(post, path = "/files", operation_id = "createFile",
    params(Version, Creation, Body),
    request_body(content = Option<Vec<u8>>, content_type = "application/offset+octet-stream"),
    responses((status = 201, description = "It is begun", headers(("Location"), ("Slipway-Video"),
        ("Upload-Offset"), ("Upload-Expires"), ("Upload-Limit"), ("Upload-Complete")))))]
async fn create(
    req: &HttpRequest,
    body: web::Payload,
    app: &App,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    guard::needs(&caller, Right::Upload)?;
    let body_length = content_length(req)?;
    let brings = headers::is_body_type(text(req, "content-type"));
    let has_body = match body_length {
        Some(length) => length.0 > 0,
        // Where no header has to tell of it, its type does.
        None => bodies::may_come_unsaid(req) && (brings || req.version() == http::Version::HTTP_11),
    };
    if has_body && !brings {
        return Err(wrong_type());
    }
    let is_part = match concat::of(req, app)? {
        Some(Concat::Final { header, parts }) => {
            return concat::create(req, app, caller, (header, parts), has_body).await;
        }
        concat => concat.is_some(),
    };
    let (length, defer) = (text(req, "upload-length"), text(req, "upload-defer-length"));
    let length = headers::creation_length(length, defer)?;
    let checksum = checksum(req)?;
    let (metadata, raw_metadata) = metadata(req)?;
    if let (Some(length), Some(coming)) = (length, body_length.filter(|_| has_body))
        && coming > length
    {
        let detail = "The body is longer than Upload-Length.";
        return Err(Problem::new(Code::PastLength, detail));
    }
    if !has_body && checksum.is_some_and(|checksum| !checksum.is_of_nothing()) {
        return Err(translate::wrong_checksum());
    }
    let (pass, owner) = (caller.pass(), caller.viewer.owner);
    let new = NewUpload { owner, protocol: Protocol::Tus, length, metadata, raw_metadata, pass };
    let uploads = &app.parts.uploads;
    if has_body {
        // Refused before there is an upload that the client wouldn't know of.
        uploads.check_bodies(&new.owner).map_err(translate::upload)?;
    }
    let made = match (has_body, is_part) {
        (true, _) => {
            let made = uploads.create_with(new, is_part, checksum, body_length, body).await;
            made.map(|(record, appended)| (record, Some(appended)))
        }
        (false, true) => uploads.create_part(new).await.map(|record| (record, None)),
        (false, false) => uploads.create(new).await.map(|record| (record, None)),
    };
    let (record, appended) = made.map_err(translate::upload)?;
    let location = format!("/files/{}", record.id);
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, location.clone()));
    if let Some(appended) = appended {
        // The client learns where its upload is even if the bytes didn't all come.
        let appended = appended.map_err(|error| match error {
            UploadError::Refused(Refusal::Kind { .. } | Refusal::Hook(_)) => {
                translate::upload(error)
            }
            _ => translate::upload(error).header("location", &location),
        })?;
        tell_end(&mut answer, &record, &appended);
    } else {
        answer.insert_header(("Upload-Offset", "0"));
        tell_expiry(&mut answer, record.state, record.expires_at);
    }
    tell_video(&mut answer, &record);
    Ok(answer.finish())
}

/// Reads what the client says about the file, and returns it with the header as it came.
fn metadata(req: &HttpRequest) -> Result<(Metadata, Option<String>), Problem> {
    let raw = text(req, "upload-metadata").map(str::to_owned);
    let metadata = Metadata::parse_header(raw.as_deref().unwrap_or_default());
    Ok((metadata.map_err(|reason| translate::upload(reason.into()))?, raw))
}

fn wrong_type() -> Problem {
    let detail = format!("Bytes of an upload come as {BODY_TYPE}.");
    Problem::new(Code::ContentType, detail).field("Content-Type")
}

/// Tells where the upload goes on. A request that is still writing lets go first.
#[utoipa::path(head, path = "/files/{id}", operation_id = "getFileOffset",
    params(("id" = String, Path), Version),
    responses((status = 200, description = "Where it goes on; 204 by the draft",
        headers(("Upload-Offset"), ("Upload-Length"), ("Upload-Defer-Length"),
        ("Upload-Expires"), ("Upload-Concat"), ("Upload-Metadata"),
        ("Upload-Complete"), ("Upload-Limit"), ("Slipway-Video")))))]
async fn look(app: &App, id: UploadId) -> Result<HttpResponse, Problem> {
    let record = app.parts.uploads.look(id).await.map_err(translate::upload)?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    // Of what is made of parts there is no offset until it is whole: nobody sends it bytes.
    if !record.is_final() || record.state == UploadState::Finished {
        answer.insert_header(("Upload-Offset", offset_of(&record).to_string()));
    }
    if let Some(length) = record.length {
        answer.insert_header(("Upload-Length", length.to_string()));
    } else if !record.is_final() {
        answer.insert_header(("Upload-Defer-Length", "1"));
    }
    match &record.concat {
        Some(Concat::Partial) => {
            answer.insert_header(("Upload-Concat", "partial"));
        }
        Some(Concat::Final { header, .. }) => {
            answer.insert_header(("Upload-Concat", header.as_str()));
        }
        None => (),
    }
    if let Some(metadata) = &record.metadata {
        answer.insert_header(("Upload-Metadata", metadata.as_str()));
    }
    tell_expiry(&mut answer, record.state, record.expires_at);
    tell_video(&mut answer, &record);
    Ok(answer.finish())
}

pub(super) fn offset_of(record: &UploadRecord) -> ByteOffset {
    match (record.state, record.length) {
        (UploadState::Finishing | UploadState::Finished, Some(length)) => ByteOffset(length.0),
        _ => record.received.end(),
    }
}

/// Takes the next bytes.
#[utoipa::path(patch, path = "/files/{id}", operation_id = "appendToFile",
    params(("id" = String, Path), Version, Offset, Body),
    request_body(content(
        (Vec<u8> = "application/offset+octet-stream"), (Vec<u8> = "application/partial-upload"))),
    responses((status = 204,
        description = "The bytes count; 201 by the draft if they were the last",
        headers(("Upload-Offset"), ("Upload-Expires"), ("Upload-Complete"), ("Slipway-Video")))))]
async fn append(
    req: &HttpRequest,
    body: web::Payload,
    app: &App,
    caller: &Caller,
    upload: UploadRecord,
) -> Result<HttpResponse, Problem> {
    guard::needs(caller, Right::Upload)?;
    if upload.protocol != Protocol::Tus {
        let detail = "This upload came as a form; it can't be continued.";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if upload.is_final() {
        return Err(translate::upload(UploadError::MadeOfParts));
    }
    if !headers::is_body_type(text(req, "content-type")) {
        return Err(wrong_type());
    }
    let offset = text(req, "upload-offset").unwrap_or_default();
    let offset = headers::count(offset, "Upload-Offset")?;
    let declared = text(req, "upload-length");
    let declared = declared.map(|length| headers::count(length, "Upload-Length")).transpose()?;
    let append = Append {
        id: upload.id,
        at: ByteOffset(offset),
        declared: declared.map(ByteCount),
        content_length: content_length(req)?,
    };
    let checksum = checksum(req)?;
    let appended = app.parts.uploads.append_checked(append, checksum, body).await;
    let appended = appended.map_err(translate::upload)?;
    let mut answer = HttpResponse::NoContent();
    tell_end(&mut answer, &upload, &appended);
    tell_video(&mut answer, &upload);
    Ok(answer.finish())
}

/// Ends an upload.
#[utoipa::path(delete, path = "/files/{id}", operation_id = "endFile",
    params(("id" = String, Path), Version),
    responses((status = 204,
        description = "An open upload is gone, with its video; a finished one is forgotten")))]
async fn terminate(app: &App, caller: &Caller, id: UploadId) -> Result<HttpResponse, Problem> {
    guard::needs(caller, Right::Upload)?;
    let job = app.parts.uploads.terminate(id).await.map_err(translate::upload)?;
    app.parts.queue.stop_child(job);
    Ok(HttpResponse::NoContent().finish())
}

/// Gives the owner the bytes of a finished upload, or the description of any.
#[utoipa::path(get, path = "/files/{id}", operation_id = "getFile",
    params(("id" = String, Path)),
    responses((status = 200,
        description = "The bytes, or with `Accept: application/json` their upload",
        content((views::UploadView = "application/json"),
            (Vec<u8> = "application/octet-stream")))))]
async fn get(
    req: &HttpRequest,
    app: &App,
    caller: &Caller,
    upload: UploadRecord,
) -> Result<HttpResponse, Problem> {
    if wants_json(req) {
        let mut answer = HttpResponse::Ok();
        answer.insert_header((header::CACHE_CONTROL, "no-store"));
        return Ok(answer.json(views::UploadView::of(&app.parts.uploads.so_far(upload))));
    }
    granted::refuse(caller)?;
    match (upload.state, upload.video) {
        (UploadState::Finished, Some(video)) => {
            media_files::original(req, app, video, &upload.filename).await
        }
        _ => {
            let detail = "The bytes can be had once all of them are here.";
            Err(Problem::new(Code::Unfinished, detail))
        }
    }
}

fn tell_end(answer: &mut HttpResponseBuilder, record: &UploadRecord, appended: &Appended) {
    answer.insert_header(("Upload-Offset", appended.offset.to_string()));
    if !appended.finished {
        tell_expiry(answer, record.state, appended.expires_at);
    }
}

/// Tells when an upload is given up; only for one that isn't finished.
fn tell_expiry(answer: &mut HttpResponseBuilder, state: UploadState, at: UnixMillis) {
    if state == UploadState::Partial {
        answer.insert_header(("Upload-Expires", headers::http_date(at)));
    }
}

pub(super) fn tell_video(answer: &mut HttpResponseBuilder, record: &UploadRecord) {
    if let Some(video) = record.video {
        answer.insert_header(("Slipway-Video", video.to_string()));
    }
}
