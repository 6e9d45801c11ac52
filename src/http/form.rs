//! `POST /api/videos`: one request of `multipart/form-data` with the file and what is said of it.
//!
//! The file goes through the same engine as any upload, with a length that is declared when the
//! form has ended rightly. A form that is cut short never makes a video.

use super::body::Allowance;
use super::problem::{Code, Problem};
use super::{Shared, blocking, granted, guard, translate, videos};
use crate::ids::{UploadId, VideoId};
use crate::model::access::{Pass, Right, Viewer};
use crate::model::upload::Protocol;
use crate::model::words::VideoChange;
use crate::state::{UploadRecord, VideoRecord};
use crate::units::{ByteCount, ByteOffset};
use crate::upload::{Append, Metadata, NewUpload};
use actix_multipart::{Field, Multipart};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use utoipa::ToSchema;

/// Longest field besides the file.
const FIELD_BYTES_MAX: usize = 32 << 10;
/// Most fields besides the file.
const FIELDS_MAX: usize = 32;
/// What a form may hold besides its file. It is read even of a form that is refused for it.
pub(super) const FORM_BYTES_MAX: u64 = 512 << 10;

/// The fields that are kept, as `Upload-Metadata` names them.
const KNOWN: &[&str] =
    &["filename", "filetype", "title", "description", "tags", "visibility", "sessionId"];

type App = web::Data<Shared>;

/// A video that has just come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CreatedVideo)]
struct Created {
    video_id: String,
    video: super::views::VideoView,
}

/// The fields, in any order; those that are known of them.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VideoForm)]
#[expect(dead_code, reason = "a form is read field by field; this describes it")]
struct FormFields {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    filename: Option<String>,
    filetype: Option<String>,
    title: Option<String>,
    description: Option<String>,
    /// Separated by commas, or several fields.
    tags: Option<String>,
    visibility: Option<crate::model::video::Visibility>,
    session_id: Option<String>,
}

/// Takes a file and what is said of it in one form, streamed to the disk.
#[utoipa::path(post, path = "/api/videos", operation_id = "createVideo",
    request_body(content = FormFields, content_type = "multipart/form-data"),
    responses((status = 201, body = Created, description = "The file is here, its work waits")))]
pub(super) async fn create(
    req: HttpRequest,
    app: App,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let caller = guard::may(&req, &app, Right::Upload).await?;
    let max = caller.bounds.size_within(app.parts.config.upload.max_size);
    let length = req.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let length = length.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if length > max.0.saturating_add(FORM_BYTES_MAX) {
        let detail = format!("The largest upload that is taken from you has {max} bytes.");
        return Err(Problem::new(Code::UploadTooLarge, detail));
    }
    let mut form = Form {
        app: app.clone(),
        laid_down: granted::words(&app, &caller)?,
        pass: caller.pass(),
        viewer: caller.viewer,
        allowance: Allowance::of(FORM_BYTES_MAX),
        said: Vec::new(),
        said_before: 0,
        upload: None,
    };
    let payload = form.allowance.limit(payload);
    let taken = form.take(Multipart::new(req.headers(), payload)).await;
    let upload = match (taken, form.upload.take()) {
        (Ok(()), Some((upload, _))) => upload,
        (Ok(()), None) => {
            let detail = "The form has no field `file`.";
            return Err(Problem::new(Code::InvalidRequest, detail).field("file"));
        }
        (Err(problem), upload) => {
            discard(&app, upload.map(|(upload, _)| upload.id)).await;
            return Err(problem);
        }
    };
    let video = upload.video.ok_or_else(|| Problem::internal("a form's upload has no video"))?;
    let created = blocking(&app, move |parts| {
        let record = parts.state.video(video).map_err(translate::state)?;
        let record = record.ok_or_else(Problem::not_found)?;
        Ok(Created { video_id: video.to_string(), video: videos::whole(&record, parts) })
    });
    let location = (header::LOCATION, format!("/api/videos/{video}"));
    Ok(HttpResponse::Created().insert_header(location).json(created.await?))
}

/// Ends an upload whose form went wrong; its sender can't go on with it.
async fn discard(app: &App, upload: Option<UploadId>) {
    let Some(id) = upload else { return };
    if let Err(error) = app.parts.uploads.terminate(id).await {
        // It expires by itself later.
        tracing::debug!(upload.id = %id, "upload {id} of a broken form stays for now: {error}");
    }
}

/// A form while it is read.
struct Form {
    app: App,
    viewer: Viewer,
    pass: Pass,
    /// What the grant says of the video, whatever the form says.
    laid_down: Vec<(String, String)>,
    allowance: Allowance,
    /// The fields besides the file, and how many of them came before it.
    said: Vec<(String, String)>,
    said_before: usize,
    /// The file's upload and its end.
    upload: Option<(UploadRecord, ByteOffset)>,
}

impl Form {
    /// Reads the form to its end and finishes the upload; on an error nothing is finished.
    async fn take(&mut self, mut form: Multipart) -> Result<(), Problem> {
        while let Some(field) = form.next().await {
            let field = field.map_err(broken)?;
            let name = field.name().unwrap_or_default().to_owned();
            match name.as_str() {
                "file" if self.upload.is_some() => {
                    let detail = "The form has more than one field `file`.";
                    return Err(Problem::new(Code::InvalidRequest, detail).field("file"));
                }
                "file" => self.file(field).await?,
                _ => self.text(name, field).await?,
            }
        }
        let Some((upload, end)) = &self.upload else { return Ok(()) };
        // What came after the file counts before the file does: nobody sees it without its words.
        if let (Some(video), true) = (upload.video, self.said.len() > self.said_before) {
            let mut before = words(&metadata(&self.said[..self.said_before])?);
            let usual = self.app.parts.config.default_visibility;
            before.visibility = before.visibility.or(Some(usual));
            let after = words(&metadata(&self.said)?);
            let record = self.record(video).await?;
            let change = said_since(before, after, &record);
            let library = &self.app.parts.library;
            library.change(video, &self.viewer, change).await.map_err(translate::library)?;
        }
        let (length, nothing) = (ByteCount(end.0), ByteCount(0));
        let append = Append {
            id: upload.id,
            at: *end,
            declared: Some(length),
            content_length: Some(nothing),
        };
        let nothing = stream::empty::<Result<Bytes, std::convert::Infallible>>();
        self.app.parts.uploads.append(append, nothing).await.map_err(translate::upload)?;
        Ok(())
    }

    async fn record(&self, video: VideoId) -> Result<VideoRecord, Problem> {
        let read = blocking(&self.app, move |parts| {
            parts.state.video(video).map_err(translate::state)?.ok_or_else(Problem::not_found)
        });
        read.await
    }

    async fn text(&mut self, name: String, mut field: Field) -> Result<(), Problem> {
        let bytes = field.bytes(FIELD_BYTES_MAX).await.map_err(|_| {
            Problem::new(Code::BodyTooLarge, "A field besides the file is longer than 32 KiB.")
        })?;
        let bytes = bytes.map_err(broken)?;
        if self.said.len() >= FIELDS_MAX {
            return Err(Problem::new(Code::InvalidRequest, "The form has too many fields."));
        }
        let value = String::from_utf8_lossy(&bytes).into_owned();
        let is_free = !self.laid_down.iter().any(|(said, _)| *said == name);
        if is_free && KNOWN.contains(&name.as_str()) {
            self.said.push((name, value));
        }
        Ok(())
    }

    async fn file(&mut self, field: Field) -> Result<(), Problem> {
        let disposition = field.content_disposition();
        let filename = disposition.and_then(|d| d.get_filename()).unwrap_or_default().to_owned();
        if !filename.is_empty() && !self.said.iter().any(|(name, _)| name == "filename") {
            self.said.push(("filename".to_owned(), filename));
        }
        self.said_before = self.said.len();
        let metadata = metadata(&self.said)?;
        let new = NewUpload {
            owner: self.viewer.owner.clone(),
            protocol: Protocol::Form,
            length: None,
            metadata,
            raw_metadata: None,
            pass: self.pass,
        };
        let upload = self.app.parts.uploads.create(new).await.map_err(translate::upload)?;
        let append =
            Append { id: upload.id, at: ByteOffset(0), declared: None, content_length: None };
        self.upload = Some((upload, ByteOffset(0)));
        let file = self.allowance.refund(field);
        let appended = self.app.parts.uploads.append(append, file).await;
        let appended = appended.map_err(translate::upload)?;
        if let Some((_, end)) = &mut self.upload {
            *end = appended.offset;
        }
        Ok(())
    }
}

/// Reads the fields of a form. Tags may come as several fields; of a file name, the field counts
/// more than what the browser says of the file.
fn metadata(said: &[(String, String)]) -> Result<Metadata, Problem> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (name, value) in said {
        match pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, tags)) if name == "tags" => {
                tags.push(',');
                tags.push_str(value);
            }
            Some((_, filename)) if name == "filename" => filename.clone_from(value),
            _ => pairs.push((name, value.clone())),
        }
    }
    Metadata::from_pairs(pairs).map_err(|reason| translate::upload(reason.into()))
}

/// Returns all that a form says of its video.
fn words(said: &Metadata) -> VideoChange {
    VideoChange {
        title: Some(said.title()),
        description: Some(said.description()),
        tags: Some(said.tags()),
        visibility: said.visibility(),
        filename: Some(said.filename()),
        session: said.session(),
    }
}

/// Returns what of `after` the fields behind a form's file say otherwise than those before it did,
/// without what isn't as the form had it any more: a hook that was asked before the file has the
/// last word.
fn said_since(before: VideoChange, after: VideoChange, now: &VideoRecord) -> VideoChange {
    fn new<T: PartialEq>(before: Option<T>, after: Option<T>, now: &T) -> Option<T> {
        let is_kept = before.as_ref().is_none_or(|before| before == now);
        after.filter(|it| is_kept && before.as_ref() != Some(it))
    }
    VideoChange {
        title: new(before.title, after.title, &now.title),
        description: new(before.description, after.description, &now.description),
        tags: new(before.tags, after.tags, &now.tags),
        visibility: new(before.visibility, after.visibility, &now.visibility),
        filename: new(before.filename, after.filename, &now.filename),
        session: after.session,
    }
}

pub(super) fn broken(error: actix_multipart::MultipartError) -> Problem {
    use actix_multipart::MultipartError as E;
    match error {
        E::ContentTypeMissing | E::ContentTypeParse | E::ContentTypeIncompatible => {
            Problem::new(Code::ContentType, "Send multipart/form-data with a boundary.")
        }
        E::Payload(PayloadError::Overflow) => {
            let detail = "The form is too long besides its file: 512 KiB in all, 64 KiB in a line.";
            Problem::new(Code::BodyTooLarge, detail)
        }
        E::Incomplete | E::Payload(_) => {
            Problem::new(Code::BodyIncomplete, "The form was cut short; nothing was kept.")
                .retryable(true)
        }
        _ => Problem::new(Code::InvalidRequest, "The form can't be understood."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::video::Visibility;

    /// Fields count wherever they stand, tags add up, and a name of its own beats the file's.
    #[test]
    fn fields_count_wherever_they_stand() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut said = vec![pair("tags", "a"), pair("filename", "IMG_1.mov")];
        said.extend([pair("tags", " b"), pair("visibility", "private"), pair("sessionId", "s")]);
        let change = words(&metadata(&said).expect("fine"));
        assert_eq!(change.tags, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(change.visibility, Some(Visibility::Private));
        assert_eq!(
            (change.title.as_deref(), change.session.as_deref()),
            (Some("IMG_1"), Some("s"))
        );
        said.push(pair("filename", "Sea.mov"));
        let change = words(&metadata(&said).expect("fine"));
        assert_eq!(change.filename.as_deref(), Some("Sea.mov"));
        assert_eq!(change.title.as_deref(), Some("Sea"));
        said.push(pair("sessionId", "t"));
        assert!(metadata(&said).is_err(), "said twice, and differently");
    }
}
