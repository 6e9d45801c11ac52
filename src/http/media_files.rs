//! `/media/{id}/…` and the download of originals: ranges, validators and caching done rightly.
//!
//! Only names of the layout's closed set are ever looked up. Segments never change behind their
//! address; playlists do. Playlists and text tracks are compressed.

use super::problem::Problem;
use super::routes::{self, Routes, Table};
use super::tus::headers::attachment;
use super::{Shared, blocking, guard, translate, videos};
use crate::disk::MediaFile;
use crate::ids::VideoId;
use crate::library::{self, LibraryError};
use crate::model::access::Right;
use crate::model::video::{VideoState, Visibility};
use crate::state::VideoRecord;
use actix_files::NamedFile;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, guard as route, web};
use utoipa::OpenApi;

type App = web::Data<Shared>;

/// Bytes from users are shown by players only, never as a page of this server.
const SANDBOX: &str = "default-src 'none'; sandbox";

/// The addresses; what is text among them is compressed.
pub(super) const TABLE: Table = Table { tag: "media", add, describe: Addresses::openapi };

#[derive(OpenApi)]
#[openapi(paths(file))]
struct Addresses;

fn add(routes: &mut Routes<'_>) {
    // A part of a compressed file means something else than a part of the file.
    let whole = route::fn_guard(|ctx| !ctx.head().headers().contains_key(header::RANGE));
    let text = web::resource(r"/media/{id}/{file:.*\.(?:m3u8|mpd|vtt)}")
        .guard(whole)
        .wrap(routes::compressed())
        .route(web::get().to(file))
        .route(web::head().to(file));
    let any = web::resource("/media/{id}/{file:.*}")
        .route(web::get().to(file))
        .route(web::head().to(file));
    routes.add("/media/{id}/{file}", &["get", "head"], text);
    routes.add("/media/{id}/{file}", &["get", "head"], any);
}

/// Gives a file of a published video.
#[utoipa::path(method(get, head), path = "/media/{id}/{file}", operation_id = "getMedia",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "A playlist, segment, picture or text track; ranges work")))]
async fn file(
    req: HttpRequest,
    app: App,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, name) = path.into_inner();
    let id = videos::id_of(&id)?;
    let file = MediaFile::parse(&name).ok_or_else(Problem::not_found)?;
    let caller = guard::optional(&req, &app, Right::SeeVideos).await?;
    let wanted = file.clone();
    let (video, named) = blocking(&app, move |parts| {
        let viewer = caller.as_ref().map(|caller| &caller.viewer);
        let video = parts.library.video(id, viewer).map_err(translate::library)?;
        if is_withdrawn(&video, &wanted) {
            return Err(Problem::not_found());
        }
        let path = match stored(&video, wanted) {
            MediaFile::Caption { name } => {
                let track = library::text_track(&video, &name).map_err(translate::library)?;
                parts.disk.stored_text(id, track.stored)
            }
            file => parts.disk.media_file(id, &file),
        };
        let named = NamedFile::open(path).map_err(|_| Problem::not_found())?;
        Ok((video, named))
    })
    .await?;
    let mut answer =
        typed(named, media_type(&file)).disable_content_disposition().into_response(&req);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, cache_control(&video, &file));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    let resource_policy = header::HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(resource_policy, HeaderValue::from_static("cross-origin"));
    if is_compressed(&file) {
        weaken(headers);
    }
    Ok(answer)
}

/// Says whether a file is of a film that was made of wrong bytes: a worker that doesn't know yet
/// may still put some there, for a moment.
fn is_withdrawn(video: &VideoRecord, file: &MediaFile) -> bool {
    video.state == VideoState::Uploading && !video.playable && file.is_of_rungs()
}

/// Returns which file lies behind an address: a chosen poster goes before the one that was found.
fn stored(video: &VideoRecord, file: MediaFile) -> MediaFile {
    let chosen = video.chosen.as_ref().map(|chosen| chosen.version);
    match (file, chosen) {
        (MediaFile::Poster, Some(version)) => MediaFile::Chosen { version },
        (MediaFile::PosterWebp, Some(version)) => MediaFile::ChosenWebp { version },
        (file, _) => file,
    }
}

fn typed(file: NamedFile, media_type: &str) -> NamedFile {
    match media_type.parse() {
        Ok(media_type) => file.set_content_type(media_type),
        Err(_) => file,
    }
}

/// Returns the media type of a file of the layout (RFC 8216, the DASH and CMAF registrations).
fn media_type(file: &MediaFile) -> &'static str {
    match file {
        MediaFile::Master | MediaFile::Playlist { .. } | MediaFile::KeyPlaylist { .. } => {
            "application/vnd.apple.mpegurl"
        }
        MediaFile::Dash => "application/dash+xml",
        MediaFile::Poster
        | MediaFile::Chosen { .. }
        | MediaFile::Thumbnail { .. }
        | MediaFile::Sheet { .. } => "image/jpeg",
        MediaFile::PosterWebp | MediaFile::ChosenWebp { .. } | MediaFile::Preview => "image/webp",
        MediaFile::Storyboard => "text/vtt; charset=utf-8",
        MediaFile::Init { .. } | MediaFile::Film => "video/mp4",
        MediaFile::Segment { .. } => "video/iso.segment",
        MediaFile::Chapters
        | MediaFile::Caption { .. }
        | MediaFile::WholeText { .. }
        | MediaFile::TextSegment { .. } => "text/vtt; charset=utf-8",
    }
}

/// Says whether a file is text, which is compressed for whoever takes it so.
fn is_compressed(file: &MediaFile) -> bool {
    use MediaFile::{Caption, Chapters, Dash, KeyPlaylist, Master, Playlist};
    use MediaFile::{TextSegment, WholeText};
    matches!(file, Master | Playlist { .. } | KeyPlaylist { .. } | Dash)
        || matches!(file, Chapters | Caption { .. } | WholeText { .. } | TextSegment { .. })
}

/// Returns how long a file may be kept, and by whom.
fn cache_control(video: &VideoRecord, file: &MediaFile) -> HeaderValue {
    let seconds = match file {
        _ if file.is_immutable() => "max-age=31536000, immutable",
        // Made once, and again only if they were lost.
        MediaFile::Thumbnail { .. }
        | MediaFile::Sheet { .. }
        | MediaFile::Storyboard
        | MediaFile::Preview => "max-age=3600",
        MediaFile::Poster
        | MediaFile::PosterWebp
        | MediaFile::Chosen { .. }
        | MediaFile::ChosenWebp { .. }
        | MediaFile::Chapters
        | MediaFile::Caption { .. } => "max-age=60",
        _ if video.state == VideoState::Ready => "max-age=60",
        // It grows: a player has to see the next segment as soon as there is one.
        _ => "max-age=1",
    };
    let whom = if video.visibility == Visibility::Private { "private" } else { "public" };
    HeaderValue::from_str(&format!("{whom}, {seconds}"))
        .unwrap_or(HeaderValue::from_static("no-store"))
}

/// Makes the validator one of meaning rather than of bytes: compressed or not, it is one playlist.
fn weaken(headers: &mut header::HeaderMap) {
    let weak = headers
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok())
        .filter(|tag| !tag.starts_with("W/"))
        .and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
}

/// Answers with a video's original, to be saved under `filename`.
///
/// # Errors
/// 404 if it isn't there, 410 if it isn't kept because it isn't what is taken.
pub(super) async fn original(
    req: &HttpRequest,
    app: &App,
    video: VideoId,
    filename: &str,
) -> Result<HttpResponse, Problem> {
    let name = filename.to_owned();
    let named = blocking(app, move |parts| {
        let record = parts.state.video(video).map_err(translate::state)?;
        if record.is_some_and(|record| record.discarded) {
            return Err(translate::library(LibraryError::Discarded));
        }
        let (file, _) = parts.disk.open_original(video).map_err(translate::disk)?;
        NamedFile::from_file(file, "original").map_err(Problem::internal)
    })
    .await?;
    let named = typed(named, download_type(&name)).set_content_disposition(attachment(&name));
    let mut answer = named.into_response(req);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    Ok(answer)
}

/// Returns the type that a name suggests, for players; anything but media is just bytes.
fn download_type(filename: &str) -> &'static str {
    let extension = filename.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension.to_ascii_lowercase().as_str() {
        "mp4" | "m4v" => "video/mp4",
        "mov" | "qt" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "avi" => "video/x-msvideo",
        "ts" | "mts" | "m2ts" => "video/mp2t",
        "mpg" | "mpeg" => "video/mpeg",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "ogg" | "oga" | "opus" => "audio/ogg",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of the layout has the type under which players know it.
    #[test]
    fn media_types() {
        let cases = [
            ("master.m3u8", "application/vnd.apple.mpegurl"),
            ("manifest.mpd", "application/dash+xml"),
            ("poster.jpg", "image/jpeg"),
            ("video.mp4", "video/mp4"),
            ("poster.webp", "image/webp"),
            ("preview.webp", "image/webp"),
            ("thumb-1.jpg", "image/jpeg"),
            ("storyboard-1.jpg", "image/jpeg"),
            ("storyboard.vtt", "text/vtt; charset=utf-8"),
            ("360p-1/init.mp4", "video/mp4"),
            ("360p-1/media.m3u8", "application/vnd.apple.mpegurl"),
            ("360p-1/iframes.m3u8", "application/vnd.apple.mpegurl"),
            ("360p-1/12.m4s", "video/iso.segment"),
            ("chapters.vtt", "text/vtt; charset=utf-8"),
            ("captions/en.vtt", "text/vtt; charset=utf-8"),
            ("text-1/1.vtt", "text/vtt; charset=utf-8"),
        ];
        for (name, expected) in cases {
            let file = MediaFile::parse(name).expect(name);
            assert_eq!(media_type(&file), expected, "{name}");
        }
    }

    /// Nothing that a browser could run is ever offered as such.
    #[test]
    fn downloads_are_media_or_bytes() {
        assert_eq!(download_type("a.MP4"), "video/mp4");
        for name in ["a.html", "a.svg", "a.js", "mp4", "", "a.xhtml"] {
            assert_eq!(download_type(name), "application/octet-stream", "{name}");
        }
    }

    /// Compressed and plain playlists share one weak validator.
    #[test]
    fn validators_are_weakened_once() {
        let mut headers = header::HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static("\"a\""));
        weaken(&mut headers);
        weaken(&mut headers);
        assert_eq!(headers.get(header::ETAG).expect("a tag"), "W/\"a\"");
    }
}
