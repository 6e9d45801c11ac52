//! `/media/{id}/…` and the download of originals: ranges, validators and caching done rightly.
//!
//! Only names of the layout's closed set are ever looked up. Segments never change behind their
//! address; playlists do. Playlists and text tracks are compressed.

use super::problem::Problem;
use super::routes::{self, Routes, Table};
use super::ticket::Pass;
use super::tus::headers::attachment;
use super::{AppParts, Shared, blocking, decrypted, guard, translate, videos};
use crate::access::Ticket;
use crate::disk::MediaFile;
use crate::ids::VideoId;
use crate::library::{self, LibraryError};
use crate::model::access::Right;
use crate::model::manifest::SegmentKey;
use crate::model::video::{VideoState, Visibility};
use crate::state::VideoRecord;
use actix_files::NamedFile;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, guard as route, web};
use utoipa::OpenApi;

type App = web::Data<Shared>;

/// Bytes from users are shown by players only, never as a page of this server.
const SANDBOX: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// The addresses; what is text among them is compressed.
pub(super) const TABLE: Table = Table { tag: "media", add, describe: Addresses::openapi };

#[derive(OpenApi)]
#[openapi(paths(file, file_by_token))]
struct Addresses;

fn add(routes: &mut Routes<'_>) {
    // Before the others, to which `s` would be an id.
    add_one(routes, "/media/s/{token}/{id}", file_by_token);
    add_one(routes, "/media/{id}", file);
}

/// Adds the files below an address.
fn add_one<H, A>(routes: &mut Routes<'_>, at: &str, file: H)
where
    H: Handler<A, Output = Result<HttpResponse, Problem>> + Copy,
    A: FromRequest + 'static,
{
    // A part of a compressed file means something else than a part of the file.
    let whole = route::fn_guard(|ctx| !ctx.head().headers().contains_key(header::RANGE));
    let text = web::resource(format!(r"{at}/{{file:.*\.(?:m3u8|mpd|vtt)}}"))
        .guard(whole)
        .wrap(routes::compressed())
        .route(web::get().to(file))
        .route(web::head().to(file));
    let any = web::resource(format!("{at}/{{file:.*}}"))
        .route(web::get().to(file))
        .route(web::head().to(file));
    let address = format!("{at}/{{file}}");
    routes.add(&address, &["get", "head"], text);
    routes.add(&address, &["get", "head"], any);
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
    let (video, opened) = blocking(&app, {
        let file = file.clone();
        move |parts| {
            let viewer = caller.as_ref().map(|caller| &caller.viewer);
            let video = parts.library.video(id, viewer).map_err(translate::library)?;
            opened(parts, video, file)
        }
    })
    .await?;
    let kept = cache_control(&video, &file, None);
    Ok(given(&req, &file, opened, &kept))
}

/// Gives a file of a published video to whoever has a playback token for it.
#[utoipa::path(method(get, head), path = "/media/s/{token}/{id}/{file}",
    operation_id = "getMediaByToken", security(()),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "A playlist, segment, picture or text track; ranges work")))]
async fn file_by_token(
    req: HttpRequest,
    app: App,
    path: web::Path<(String, String, String)>,
) -> Result<HttpResponse, Problem> {
    let (token, id, name) = path.into_inner();
    let pass = Pass::read(&req, &app, &token).await?;
    let id = videos::id_of(&id)?;
    let file = MediaFile::parse(&name).ok_or_else(Problem::not_found)?;
    let (video, opened) = blocking(&app, {
        let (file, ticket) = (file.clone(), pass.clone());
        move |parts| opened(parts, ticket.video(parts, id)?, file)
    })
    .await?;
    let left = pass.ticket.until.ms_since(app.parts.clock.now()) / 1000;
    let kept = cache_control(&video, &file, Some((&pass.ticket, left)));
    let mut answer = given(&req, &file, opened, &kept);
    // Its own address isn't told to others.
    let policy = HeaderValue::from_static("no-referrer");
    answer.headers_mut().insert(header::REFERRER_POLICY, policy);
    Ok(answer)
}

/// What lies behind an address.
enum Opened {
    File(Box<NamedFile>),
    Key(SegmentKey),
}

/// Opens a file of a video that the caller may see.
fn opened(
    parts: &AppParts,
    video: VideoRecord,
    file: MediaFile,
) -> Result<(VideoRecord, Opened), Problem> {
    if is_withdrawn(&video, &file) {
        return Err(Problem::not_found());
    }
    let path = match stored(&video, file) {
        MediaFile::Caption { name } => {
            let track = library::text_track(&video, &name).map_err(translate::library)?;
            parts.disk.stored_text(video.id, track.stored)
        }
        MediaFile::Key { rung } => {
            let manifest = parts.disk.manifest(video.id).map_err(translate::disk)?;
            let rungs = manifest.into_iter().flat_map(|manifest| manifest.rungs);
            let key = rungs.filter(|it| it.directory() == rung.as_str()).find_map(|it| it.key);
            return Ok((video, Opened::Key(key.ok_or_else(Problem::not_found)?)));
        }
        file => parts.disk.media_file(video.id, &file),
    };
    let named = NamedFile::open(path).map_err(|_| Problem::not_found())?;
    Ok((video, Opened::File(Box::new(named))))
}

fn given(req: &HttpRequest, file: &MediaFile, opened: Opened, kept: &str) -> HttpResponse {
    let mut answer = match opened {
        Opened::File(named) => {
            typed(*named, media_type(file)).disable_content_disposition().into_response(req)
        }
        Opened::Key(SegmentKey(key)) => {
            HttpResponse::Ok().content_type(media_type(file)).body(key.to_vec())
        }
    };
    let headers = answer.headers_mut();
    let kept = HeaderValue::from_str(kept).unwrap_or(HeaderValue::from_static("no-store"));
    headers.insert(header::CACHE_CONTROL, kept);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    if is_compressed(file) {
        weaken(headers);
    }
    answer
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
        MediaFile::Key { .. } => "application/octet-stream",
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

/// Returns how long a file may be kept, and by whom. With a playback token nobody keeps it for
/// longer than that counts, in seconds, and shared caches nothing that isn't for everybody who has
/// the address: what they have, they give without asking.
fn cache_control(video: &VideoRecord, file: &MediaFile, by: Option<(&Ticket, u64)>) -> String {
    // Whoever may see a film today may not tomorrow, and what caches have of it is worth nothing
    // without.
    if matches!(file, MediaFile::Key { .. }) {
        return "no-store".to_owned();
    }
    let (seconds, for_good) = match file {
        _ if file.is_immutable() => (31_536_000, ", immutable"),
        // Made once, and again only if they were lost.
        MediaFile::Thumbnail { .. }
        | MediaFile::Sheet { .. }
        | MediaFile::Storyboard
        | MediaFile::Preview => (3600, ""),
        MediaFile::Poster
        | MediaFile::PosterWebp
        | MediaFile::Chosen { .. }
        | MediaFile::ChosenWebp { .. }
        | MediaFile::Chapters
        | MediaFile::Caption { .. } => (60, ""),
        _ if video.state == VideoState::Ready => (60, ""),
        // It grows: a player has to see the next segment as soon as there is one.
        _ => (1, ""),
    };
    let is_for_some = match by {
        Some((ticket, _)) => ticket.is_bound(),
        None => video.visibility == Visibility::Private,
    };
    let seconds = by.map_or(seconds, |(_, left)| left.min(seconds));
    let whom = if is_for_some { "private" } else { "public" };
    format!("{whom}, max-age={seconds}{for_good}")
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
/// 404 if it isn't there, 410 if it isn't kept.
pub(super) async fn original(
    req: &HttpRequest,
    app: &App,
    video: VideoId,
    filename: &str,
) -> Result<HttpResponse, Problem> {
    let name = filename.to_owned();
    let (named, original) = blocking(app, move |parts| {
        let record = parts.state.video(video).map_err(translate::state)?;
        if record.is_some_and(|record| record.discarded) {
            return Err(translate::library(LibraryError::Discarded));
        }
        let original = parts.disk.open_original(video).map_err(translate::disk)?;
        // Of the same size and changed at the same time, encrypted or not: so are its validators.
        let file = original.on_disk().try_clone().map_err(Problem::internal)?;
        let named = NamedFile::from_file(file, "original").map_err(Problem::internal)?;
        Ok((named, original))
    })
    .await?;
    let named = typed(named, download_type(&name)).set_content_disposition(attachment(&name));
    let mut answer = named.into_response(req);
    if original.is_encrypted() {
        answer = decrypted::answer(answer, original).await?;
    }
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
            ("360p-1/key", "application/octet-stream"),
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
