//! "Resumable Uploads for HTTP", the IETF's draft (draft-ietf-httpbis-resumable-upload-12 and some
//! versions before), at the same `/files` as tus.
//!
//! A request speaks the draft if it says so by its fields and not `Tus-Resumable`; an upload
//! speaks for ever what it was begun in. What differs from tus: the client says when the upload is
//! complete, whatever its length; more than the length ends the upload; an offset that was told
//! never goes back.

pub(super) mod fields;
mod interim;

use super::problem::{Code, Problem};
use super::{Shared, body, digest, granted, guard, translate, tus};
use crate::access::Caller;
use crate::ids::UploadId;
use crate::model::access::Right;
use crate::model::upload::{Protocol, UploadState};
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use crate::upload::{
    Append, Checksum, EXPIRE_EMPTY_MS, Flagged, NewUpload, PartError, Refusal, UploadError,
};
use actix_web::http::{Method, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use fields::{BODY_TYPE, INTEGER_MAX, Speech, VERSION};
use interim::{Interim, Telling};

type App = web::Data<Shared>;

/// The problem type of an offset that isn't the upload's.
const MISMATCHING_OFFSET: &str =
    "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
/// The problem type of lengths that contradict each other.
const INCONSISTENT_LENGTH: &str =
    "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";

/// Marks a request on an upload by the draft, which may say nothing of it itself.
struct OnDraft;

/// Says whether a request is answered by the draft, so that its answer names no version of tus.
pub(super) fn is_spoken(req: &HttpRequest) -> bool {
    let is_tus = req.headers().contains_key("tus-resumable");
    !is_tus && (fields::is_spoken(req.headers()) || req.extensions().contains::<OnDraft>())
}

/// What one request brings.
struct Request<'a> {
    req: &'a HttpRequest,
    app: &'a App,
    speech: Speech,
    /// The body is the upload's end.
    last: bool,
    /// The body's length, unless it is known only at its end.
    body_length: Option<ByteCount>,
    /// The whole upload's length, if a field tells it.
    length: Option<ByteCount>,
    /// What the body sums up to.
    checksum: Option<Checksum>,
    /// What the whole file sums up to.
    whole: Option<[u8; 32]>,
}

impl<'a> Request<'a> {
    fn read(
        req: &'a HttpRequest,
        app: &'a App,
        speech: Speech,
        last: Option<bool>,
    ) -> Result<Self, Problem> {
        let headers = req.headers();
        let last = last.ok_or_else(|| match speech.dialect.complete {
            "upload-incomplete" => fields::needed("Upload-Incomplete", "`?0` or `?1`"),
            _ => fields::needed("Upload-Complete", "`?0` or `?1`"),
        })?;
        let body_length = match tus::content_length(req)? {
            None if !body::may_come_unsaid(req) => Some(ByteCount(0)),
            length => length,
        };
        Ok(Self {
            req,
            app,
            speech,
            last,
            body_length,
            length: fields::integer(headers, "upload-length").map(ByteCount),
            checksum: digest::of_content(headers)?,
            whole: digest::of_file(headers)?,
        })
    }

    fn has_body(&self) -> bool {
        self.body_length != Some(ByteCount(0))
    }

    /// Returns the length of an upload that begins with this request.
    fn whole_length(&self) -> Result<Option<ByteCount>, Problem> {
        let told = self.body_length.filter(|_| self.last);
        match (self.length, told, self.body_length) {
            (Some(length), Some(told), _) if length != told => Err(inconsistent(
                "Upload-Length isn't the length of the body, which is said to be everything.",
            )),
            (Some(length), _, Some(coming)) if coming > length => {
                Err(inconsistent("The body is longer than Upload-Length."))
            }
            (length, told, _) => Ok(length.or(told)),
        }
    }

    /// Stores the body, and completes the upload if this is its end. Once it is complete the answer
    /// is the same whether the upload came in one request or in many.
    async fn store(
        &self,
        body: web::Payload,
        record: &UploadRecord,
        at: ByteOffset,
        declared: Option<ByteCount>,
    ) -> Result<(bool, ByteOffset, UnixMillis), Problem> {
        let append = Append { id: record.id, at, declared, content_length: self.body_length };
        let flagged = Flagged { last: self.last, whole: self.whole };
        let uploads = &self.app.parts.uploads;
        let interim = Interim::to(self.req, self.app, self.speech);
        let body = Telling { body, interim, uploads, id: record.id, told: at, since: 0 };
        let stored = uploads.append_flagged(append, flagged, self.checksum, body).await;
        let stored = stored.map_err(|error| self.refused(error, at))?;
        Ok((stored.finished, stored.offset, stored.expires_at))
    }

    /// Says why the engine refused.
    fn refused(&self, error: UploadError, provided: ByteOffset) -> Problem {
        let open = self.speech.complete(false);
        match error {
            UploadError::OffsetMismatch { actual } => {
                translate::upload(UploadError::OffsetMismatch { actual })
                    .kind(MISMATCHING_OFFSET)
                    .offsets(actual.0, provided.0)
                    .header(open.0, open.1)
            }
            UploadError::TooLong { length } => inconsistent(format!(
                "The upload has {length} bytes and was sent more. It is ended; begin anew."
            )),
            UploadError::LengthFixed | UploadError::LengthInvalid => {
                translate::upload(error).kind(INCONSISTENT_LENGTH).header(open.0, open.1)
            }
            UploadError::Finished => {
                let complete = self.speech.complete(true);
                inconsistent("The upload is complete.").header(complete.0, complete.1)
            }
            UploadError::MaxSize { .. } | UploadError::Refused(Refusal::Quota { .. }) => {
                let limit = limit(self.app, self.speech, None);
                translate::upload(error).header("upload-limit", limit)
            }
            UploadError::ChecksumMismatch { .. } => {
                let detail = "The body doesn't match Content-Digest. Nothing of it was kept.";
                Problem::new(Code::DigestMismatch, detail)
                    .field("Content-Digest")
                    .retryable(true)
                    .header(open.0, open.1)
            }
            UploadError::Part(PartError::WholeChecksum) => {
                translate::upload(error).field("Repr-Digest").header(open.0, open.1)
            }
            // These offsets aren't certain yet, and no other may be told; HEAD tells one.
            other => translate::upload(other).without("upload-offset"),
        }
    }

    /// Begins an answer with what all have.
    fn answer(&self, mut answer: HttpResponseBuilder, is_complete: bool) -> HttpResponseBuilder {
        answer.insert_header(self.speech.complete(is_complete));
        tell_version(&mut answer, self.speech);
        answer
    }

    /// Answers a request whose body was stored.
    fn stored(
        &self,
        answer: HttpResponseBuilder,
        record: &UploadRecord,
        (is_complete, offset, expires_at): (bool, ByteOffset, UnixMillis),
    ) -> HttpResponse {
        let mut answer = self.answer(answer, is_complete);
        answer.insert_header(("Upload-Offset", offset.to_string()));
        let ends = (!is_complete).then_some(expires_at);
        answer.insert_header(("Upload-Limit", limit(self.app, self.speech, ends)));
        tus::tell_video(&mut answer, record);
        answer.finish()
    }
}

/// Creates an upload, with all of its bytes, some or none.
#[utoipa::path(put, path = "/files", operation_id = "createFileByDraft",
    params(tus::described::Creation, tus::described::Body),
    request_body(content = Option<Vec<u8>>, content_type = "application/octet-stream"),
    responses((status = 201, description = "It is begun", headers(("Location"), ("Slipway-Video"),
        ("Upload-Offset"), ("Upload-Complete"), ("Upload-Limit")))))]
pub(super) async fn create(
    req: &HttpRequest,
    body: web::Payload,
    app: &App,
    caller: Caller,
    method: &Method,
) -> Result<HttpResponse, Problem> {
    if method != Method::POST && method != Method::PUT {
        return Err(tus::wrong_method("POST, PUT, OPTIONS"));
    }
    guard::needs(&caller, Right::Upload)?;
    let speech = Speech::of(req.headers());
    let request = Request::read(req, app, speech, speech.last(req.headers()))?;
    let length = request.whole_length()?;
    let (metadata, raw_metadata) = fields::metadata(req.headers())?;
    let (pass, owner) = (caller.pass(), caller.viewer.owner);
    let new = NewUpload { owner, protocol: Protocol::Draft, length, metadata, raw_metadata, pass };
    if request.has_body() {
        // Refused before there is an upload that the client wouldn't know of.
        let free = app.parts.uploads.check_bodies(&new.owner);
        free.map_err(|error| request.refused(error, ByteOffset(0)))?;
    }
    let made = app.parts.uploads.create_draft(new, request.whole).await;
    let record = made.map_err(|error| request.refused(error, ByteOffset(0)))?;
    let location = location(record.id);
    let mut answer = HttpResponse::Created();
    answer.insert_header((header::LOCATION, location.clone()));
    if !request.has_body() && !request.last && request.checksum.is_none() {
        let begun = (false, ByteOffset(0), record.expires_at);
        return Ok(request.stored(answer, &record, begun));
    }
    if let Some(interim) = Interim::to(req, app, request.speech).filter(|_| request.has_body()) {
        interim.announce(
            &granted::address(req, &location),
            &limit(app, request.speech, Some(record.expires_at)),
        );
    }
    // The client learns where its upload is even if the bytes didn't all come.
    let stored = request.store(body, &record, ByteOffset(0), None).await;
    let stored = stored.map_err(|problem| match app.parts.uploads.peek(record.id) {
        Ok(_) => problem.header("location", &location),
        // What wasn't taken at all is gone already.
        Err(_) => problem,
    })?;
    Ok(request.stored(answer, &record, stored))
}

/// Answers a request on an upload that was begun by the draft.
pub(super) async fn single(
    req: &HttpRequest,
    body: web::Payload,
    app: &App,
    caller: &Caller,
    upload: UploadRecord,
    method: &Method,
) -> Result<HttpResponse, Problem> {
    req.extensions_mut().insert(OnDraft);
    if req.headers().contains_key("tus-resumable") {
        let detail = "This upload was begun by the IETF's draft; leave Tus-Resumable out.";
        return Err(Problem::new(Code::OtherProtocol, detail).field("Tus-Resumable"));
    }
    let speech = Speech::of(req.headers());
    match *method {
        Method::HEAD | Method::GET => look(app, speech, upload.id).await,
        Method::PATCH => append(req, body, app, caller, upload).await,
        Method::DELETE => {
            guard::needs(caller, Right::Upload)?;
            app.parts.uploads.terminate(upload.id).await.map_err(translate::upload)?;
            let mut answer = HttpResponse::NoContent();
            tell_version(&mut answer, speech);
            Ok(answer.finish())
        }
        _ => Err(tus::wrong_method("HEAD, PATCH, DELETE, GET, OPTIONS")),
    }
}

/// Tells where the upload goes on. A request that is still writing lets go first.
async fn look(app: &App, speech: Speech, id: UploadId) -> Result<HttpResponse, Problem> {
    let looked = app.parts.uploads.look(id).await;
    let record = looked.map_err(|error| translate::upload(error).without("upload-offset"))?;
    let is_complete = record.state == UploadState::Finished;
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header(("Upload-Offset", tus::offset_of(&record).to_string()));
    answer.insert_header(speech.complete(is_complete));
    if let Some(length) = record.length {
        answer.insert_header(("Upload-Length", length.to_string()));
    }
    let ends = (!is_complete).then_some(record.expires_at);
    answer.insert_header(("Upload-Limit", limit(app, speech, ends)));
    tell_version(&mut answer, speech);
    tus::tell_video(&mut answer, &record);
    Ok(answer.finish())
}

/// Takes the next bytes, or none and the word that these were all.
async fn append(
    req: &HttpRequest,
    body: web::Payload,
    app: &App,
    caller: &Caller,
    upload: UploadRecord,
) -> Result<HttpResponse, Problem> {
    guard::needs(caller, Right::Upload)?;
    let speech = Speech::of(req.headers());
    if speech.dialect.is_typed && !fields::is_of_type(tus::text(req, "content-type"), BODY_TYPE) {
        let detail = format!("More bytes of an upload come as {BODY_TYPE}.");
        return Err(Problem::new(Code::ContentType, detail).field("Content-Type"));
    }
    let offset = fields::integer(req.headers(), "upload-offset");
    let offset = offset
        .ok_or_else(|| fields::needed("Upload-Offset", "a whole number of at most 15 digits"))?;
    let is_silent = !req.headers().contains_key(speech.dialect.complete);
    let last = speech
        .last(req.headers())
        .or((is_silent && speech.dialect.is_last_by_default).then_some(true));
    let request = Request::read(req, app, speech, last)?;
    if upload.state == UploadState::Finished {
        return Err(completed(&request));
    }
    let stored = request.store(body, &upload, ByteOffset(offset), request.length).await?;
    let mut answer = match stored.0 {
        true => HttpResponse::Created(),
        false => HttpResponse::NoContent(),
    };
    if stored.0 {
        answer.insert_header((header::LOCATION, location(upload.id)));
    }
    Ok(request.stored(answer, &upload, stored))
}

/// Says that an upload was complete before; the draft wants that refused even with no bytes.
fn completed(request: &Request<'_>) -> Problem {
    if request.has_body() {
        return request.refused(UploadError::Finished, ByteOffset(0));
    }
    let complete = request.speech.complete(true);
    let detail = "The upload was complete before this request.";
    Problem::new(Code::Completed, detail).header(complete.0, complete.1)
}

fn inconsistent(detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(Code::LengthMismatch, detail).kind(INCONSISTENT_LENGTH).field("Upload-Length")
}

fn location(id: UploadId) -> String {
    format!("/files/{id}")
}

/// Tells the version that the client named.
fn tell_version(answer: &mut HttpResponseBuilder, speech: Speech) {
    if speech.is_named {
        answer.insert_header((VERSION, speech.dialect.version.to_string()));
    }
}

/// Says what bounds an upload; one that isn't complete ends at `ends` unless somebody goes on.
fn limit(app: &Shared, speech: Speech, ends: Option<UnixMillis>) -> String {
    limit_of(app, speech, ends.map(|ends| ends.ms_since(app.parts.clock.now())))
}

/// Says what bounds uploads that don't exist yet.
pub(super) fn limits(app: &Shared, req: &HttpRequest) -> String {
    let left_ms = app.parts.config.upload.expire_after_ms.min(EXPIRE_EMPTY_MS);
    limit_of(app, Speech::of(req.headers()), Some(left_ms))
}

fn limit_of(app: &Shared, speech: Speech, left_ms: Option<u64>) -> String {
    let size = app.parts.config.upload.max_size.0.min(INTEGER_MAX);
    match (speech.dialect.age, left_ms) {
        (Some(age), Some(left_ms)) => format!("max-size={size}, {age}={}", left_ms / 1000),
        _ => format!("max-size={size}"),
    }
}
