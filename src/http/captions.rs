//! `/api/videos/{id}/captions/{lang}`: text tracks that a video's owner adds, fetches and removes.

use super::problem::{Code, Problem};
use super::routes::table;
use super::views::CaptionView;
use super::{Shared, blocking, body, translate, videos};
use crate::library::{self, NewCaption};
use crate::model::access::Viewer;
use crate::model::text::TextKind;
use crate::state::VideoRecord;
use crate::text::TEXT_BYTES_MAX;
use actix_files::NamedFile;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::IntoParams;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "videos";
    "/api/videos/{id}/captions/{lang}" => get(one), put(put), delete(delete);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `subtitles` (if nothing is said), `captions` or `forced`.
    kind: Option<String>,
    label: Option<String>,
}

impl Wanted {
    fn kind(&self) -> Result<TextKind, Problem> {
        let Some(word) = &self.kind else { return Ok(TextKind::default()) };
        TextKind::parse(word).ok_or_else(|| {
            let detail = "`kind` is subtitles, captions or forced.";
            Problem::new(Code::InvalidRequest, detail).field("kind")
        })
    }
}

/// Adds or replaces a text track (WebVTT or SRT).
#[utoipa::path(put, path = "/api/videos/{id}/captions/{lang}", operation_id = "putCaptions",
    params(Wanted),
    request_body(content = String, content_type = "text/vtt"),
    responses((status = 200, body = CaptionView, description = "The track")))]
async fn put(
    req: HttpRequest,
    app: App,
    path: web::Path<(String, String)>,
    wanted: web::Query<Wanted>,
    payload: web::Payload,
) -> Answer {
    let (id, lang) = path.into_inner();
    let (video, viewer) = videos::held(&req, &app, &id).await?;
    let kind = wanted.kind()?;
    let bytes = body::bounded(payload, TEXT_BYTES_MAX).await?;
    let new = NewCaption { lang, kind, label: wanted.into_inner().label, bytes };
    let put = app.parts.library.put_caption(video.id, &viewer, new).await;
    let (video, track) = put.map_err(translate::library)?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(answer.json(CaptionView::of(video.id, &track)))
}

/// Reads which track of a video a request is about, for somebody who may change the video.
async fn track_of(
    req: &HttpRequest,
    app: &App,
    (id, lang): &(String, String),
    wanted: &Wanted,
) -> Result<(VideoRecord, Viewer, String), Problem> {
    let (video, viewer) = videos::held(req, app, id).await?;
    let name = library::caption_name(lang, wanted.kind()?).map_err(translate::library)?;
    Ok((video, viewer, name))
}

/// Gives a text track as WebVTT.
#[utoipa::path(get, path = "/api/videos/{id}/captions/{lang}", operation_id = "getCaptions",
    params(Wanted),
    responses((status = 200, body = String, content_type = "text/vtt", description = "The track")))]
async fn one(
    req: HttpRequest,
    app: App,
    path: web::Path<(String, String)>,
    wanted: web::Query<Wanted>,
) -> Answer {
    let (id, lang) = path.into_inner();
    let video = videos::known(&req, &app, &id).await?;
    let name = library::caption_name(&lang, wanted.kind()?).map_err(translate::library)?;
    let named = blocking(&app, move |parts| {
        let track = library::text_track(&video, &name).map_err(translate::library)?;
        let path = parts.disk.stored_text(video.id, track.stored);
        NamedFile::open(path).map_err(|_| Problem::not_found())
    })
    .await?;
    let named = match "text/vtt; charset=utf-8".parse() {
        Ok(media_type) => named.set_content_type(media_type),
        Err(_) => named,
    };
    let mut answer = named.disable_content_disposition().into_response(&req);
    let cache = HeaderValue::from_static("private, no-cache");
    answer.headers_mut().insert(header::CACHE_CONTROL, cache);
    Ok(answer)
}

/// Removes a text track.
#[utoipa::path(delete, path = "/api/videos/{id}/captions/{lang}", operation_id = "deleteCaptions",
    params(Wanted),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    req: HttpRequest,
    app: App,
    path: web::Path<(String, String)>,
    wanted: web::Query<Wanted>,
) -> Answer {
    let (video, viewer, name) = track_of(&req, &app, &path, &wanted).await?;
    let deleted = app.parts.library.delete_caption(video.id, &viewer, name).await;
    deleted.map_err(translate::library)?;
    Ok(HttpResponse::NoContent().finish())
}
