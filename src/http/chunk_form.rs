//! `POST /api/videos/upload/chunk`: one part in a form, for clients that can send nothing else.
//!
//! The part streams to its place, so what says where that is has to come before it: `uploadId` and
//! `chunkIndex`. `totalChunks` and `checksum` may follow it. The part counts once the whole form
//! has been read and nothing in it is wrong.

use super::body::Allowance;
use super::problem::{Code, Problem};
use super::tus::find;
use super::{Shared, digest, form, guard, translate};
use crate::access::Caller;
use crate::model::access::Right;
use crate::state::UploadRecord;
use crate::upload::PutPart;
use actix_multipart::{Field, Multipart};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use utoipa::ToSchema;

/// Longest field besides the part.
const FIELD_BYTES_MAX: usize = 4 << 10;
/// Most fields besides the part.
const FIELDS_MAX: usize = 16;

type App = web::Data<Shared>;

/// How much has come.
#[derive(Serialize, ToSchema)]
#[schema(as = ChunkTaken)]
struct Taken {
    received: u32,
    total: u32,
    percentage: f64,
}

/// The fields: `uploadId` and `chunkIndex` stand before `chunk`, the others anywhere.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChunkForm)]
#[expect(dead_code, reason = "a form is read field by field; this describes it")]
struct ChunkFields {
    upload_id: String,
    chunk_index: u32,
    #[schema(value_type = String, format = Binary)]
    chunk: Vec<u8>,
    total_chunks: Option<u32>,
    /// SHA-256 in hex or base64.
    checksum: Option<String>,
}

/// What a form has said so far.
#[derive(Default)]
struct Said {
    upload: Option<String>,
    index: Option<u32>,
    total: Option<u32>,
    /// How many parts there really are.
    count: Option<u32>,
    checksum: Arc<OnceLock<[u8; 32]>>,
    fields: usize,
    /// What is wrong with what followed the part.
    problem: Option<Problem>,
}

/// Takes a form with one part.
#[utoipa::path(post, path = "/api/videos/upload/chunk", operation_id = "putChunkForm",
    request_body(content = ChunkFields, content_type = "multipart/form-data"),
    responses((status = 200, body = Taken, description = "The part is here")))]
pub(super) async fn take(
    req: HttpRequest,
    app: App,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let caller = guard::may(&req, &app, Right::Upload).await?;
    let allowance = Allowance::of(form::FORM_BYTES_MAX);
    let mut form = Multipart::new(req.headers(), allowance.limit(payload));
    let mut said = Said::default();
    let idle = Duration::from_millis(app.parts.config.upload.idle_timeout_ms);
    let part = tokio::time::timeout(idle, part_of(&mut form, &mut said)).await;
    let part = part.map_err(|_| {
        let detail = "The form's fields stopped coming.";
        Problem::new(Code::BodyTimedOut, detail).retry_after(translate::IDLE_SECONDS)
    })??;
    let (upload, index) = said.target(&app, &caller)?;
    let sha256 = said.checksum.clone();
    let said = Rc::new(RefCell::new(said));
    let bytes = allowance.refund(Box::pin(pieces(form, part, said.clone())));
    let put = PutPart { id: upload.id, index, content_length: None, sha256 };
    let stored = app.parts.uploads.put_part(put, bytes).await;
    if let Some(problem) = said.borrow_mut().problem.take() {
        return Err(problem);
    }
    let upload = stored.map_err(translate::upload)?.upload;
    let plan = upload.chunks.as_ref().zip(upload.length);
    let (plan, length) = plan.ok_or_else(|| Problem::internal("a part without a plan"))?;
    let total = plan.count(length);
    let missing = plan.missing(length, &upload.received.written).len();
    let received = total.saturating_sub(u32::try_from(missing).unwrap_or(total));
    let percentage = f64::from(received) * 100.0 / f64::from(total.max(1));
    Ok(HttpResponse::Ok().json(Taken { received, total, percentage }))
}

/// Reads the fields before the part, and returns the part.
async fn part_of(form: &mut Multipart, said: &mut Said) -> Result<Field, Problem> {
    while let Some(field) = form.next().await {
        let field = field.map_err(form::broken)?;
        let name = field.name().unwrap_or_default().to_owned();
        if name == "chunk" {
            return Ok(field);
        }
        said.field(&name, field).await?;
    }
    Err(Problem::new(Code::InvalidRequest, "The form has no field `chunk`.").field("chunk"))
}

/// Returns a form's part, whatever the other fields say.
#[cfg(any(test, fuzzing))]
pub(super) async fn read(mut form: Multipart) -> Result<Vec<u8>, ()> {
    let mut said = Said::default();
    let part = part_of(&mut form, &mut said).await.map_err(drop)?;
    let said = Rc::new(RefCell::new(said));
    let mut pieces = Box::pin(pieces(form, part, said));
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

/// Where in a form its pieces are read from.
struct Reading {
    form: Multipart,
    /// Dropped at its end: the form goes on only without it.
    part: Option<Field>,
    said: Rc<RefCell<Said>>,
}

/// Returns the part's bytes. They end well only when the rest of the form is fine.
fn pieces(
    form: Multipart,
    part: Field,
    said: Rc<RefCell<Said>>,
) -> impl Stream<Item = Result<Bytes, ()>> {
    let reading = Reading { form, part: Some(part), said };
    stream::unfold(reading, |mut reading| async move {
        let mut part = reading.part.take()?;
        let problem = match part.next().await {
            Some(Ok(piece)) => {
                reading.part = Some(part);
                return Some((Ok(piece), reading));
            }
            Some(Err(error)) => Some(form::broken(error)),
            None => {
                drop(part);
                reading.rest().await.err()
            }
        };
        let problem = problem?;
        reading.said.borrow_mut().problem = Some(problem);
        Some((Err(()), reading))
    })
}

impl Reading {
    /// Reads the fields behind the part.
    async fn rest(&mut self) -> Result<(), Problem> {
        // Nobody else looks before the stream has ended.
        let mut said = std::mem::take(&mut *self.said.borrow_mut());
        while let Some(field) = self.form.next().await {
            let field = field.map_err(form::broken)?;
            let name = field.name().unwrap_or_default().to_owned();
            if name == "chunk" {
                let detail = "The form has more than one field `chunk`.";
                return Err(Problem::new(Code::InvalidRequest, detail).field("chunk"));
            }
            said.field(&name, field).await?;
        }
        said.check_total()
    }
}

impl Said {
    /// Takes one field besides the part.
    async fn field(&mut self, name: &str, mut field: Field) -> Result<(), Problem> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(Problem::new(Code::InvalidRequest, "The form has too many fields."));
        }
        let bytes = field.bytes(FIELD_BYTES_MAX).await.map_err(|_| {
            Problem::new(Code::BodyTooLarge, "A field besides the part is longer than 4 KiB.")
        })?;
        let bytes = bytes.map_err(form::broken)?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        match name {
            "uploadId" => self.upload = Some(text),
            "chunkIndex" => self.index = Some(number(&text, "chunkIndex")?),
            "totalChunks" => self.total = Some(number(&text, "totalChunks")?),
            "checksum" if !text.is_empty() => {
                let sum = digest::of_text(&text).ok_or_else(|| {
                    let detail = "`checksum` is a SHA-256 in hex or base64.";
                    Problem::new(Code::InvalidRequest, detail).field("checksum")
                })?;
                // Only the first counts; nobody sends two.
                let _ = self.checksum.set(sum);
            }
            _ => (),
        }
        Ok(())
    }

    /// Returns the part that is meant, once all is known that has to come before it.
    fn target(&mut self, app: &App, caller: &Caller) -> Result<(UploadRecord, u32), Problem> {
        let (Some(id), Some(index)) = (&self.upload, self.index) else {
            let detail = "`uploadId` and `chunkIndex` have to come before `chunk`.";
            return Err(Problem::new(Code::InvalidRequest, detail));
        };
        let upload = find(app, caller, id)?;
        let plan = upload.chunks.as_ref().zip(upload.length);
        self.count = plan.map(|(plan, length)| plan.count(length));
        self.check_total()?;
        Ok((upload, index))
    }

    fn check_total(&self) -> Result<(), Problem> {
        match (self.total, self.count) {
            (Some(total), Some(count)) if total != count => {
                let detail = format!("The upload has {count} parts.");
                Err(Problem::new(Code::InvalidRequest, detail).field("totalChunks"))
            }
            _ => Ok(()),
        }
    }
}

fn number(text: &str, name: &'static str) -> Result<u32, Problem> {
    text.parse().map_err(|_| {
        Problem::new(Code::InvalidRequest, format!("`{name}` is a number from 0.")).field(name)
    })
}
