//! What other sites show of a video: the tags of a watch page, from which chats and search engines
//! make a card, and `/oembed`.
//!
//! Both tell what anybody may know of a video that isn't private; of any other they tell nothing,
//! whoever asks, as what they say ends up in other people's hands.

use super::problem::{Code, Problem};
use super::routes::table;
use super::views::{PlaybackView, ThumbnailView};
use super::{Shared, blocking, guard, translate, videos};
use crate::library::LibraryError;
use crate::model::rendition::RenditionKind;
use crate::model::video::Visibility;
use crate::state::VideoRecord;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use utoipa::{IntoParams, ToSchema};

type App = web::Data<Shared>;

/// Who provides.
const NAME: &str = "Slipway";
/// The size of a frame around something whose size nobody knows, or that has none.
const FRAME: (u32, u32) = (640, 360);
/// No frame is larger unless somebody asks.
const FRAME_MAX: (u32, u32) = (1280, 1280);
/// Longest description in a card.
const DESCRIPTION_CHARS_MAX: usize = 300;

table! { "pages";
    "/oembed" compressed => get(oembed);
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The address of a watch or embed page of this server, whole or from its path on.
    url: Option<String>,
    /// Widest frame that there is room for, in pixels.
    maxwidth: Option<String>,
    /// Highest frame that there is room for, in pixels.
    maxheight: Option<String>,
    /// `json`.
    format: Option<String>,
}

/// How to show a video on another page (oEmbed 1.0).
#[derive(Debug, Serialize, ToSchema)]
struct OEmbed {
    version: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    provider_name: &'static str,
    provider_url: String,
    title: String,
    width: u32,
    height: u32,
    /// An `iframe`.
    html: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnail_height: Option<u32>,
}

/// Says how to show a video that isn't private on another page.
#[utoipa::path(get, path = "/oembed", operation_id = "getOEmbed", security(()), params(Asked),
    responses((status = 200, body = OEmbed, description = "A frame for the page, and a picture")))]
async fn oembed(
    req: HttpRequest,
    app: App,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Problem> {
    let asked = asked.into_inner();
    if asked.format.as_deref().is_some_and(|format| format != "json") {
        return Err(Problem::new(Code::NotImplemented, "Only `format=json` is spoken here.")
            .field("format"));
    }
    let room = (
        pixels(asked.maxwidth.as_deref(), "maxwidth")?,
        pixels(asked.maxheight.as_deref(), "maxheight")?,
    );
    let url = asked.url.ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "`url` is the address of a video's page.").field("url")
    })?;
    let site = site(&req, &app);
    let (id, moment) = page_of(&url, &site).ok_or_else(Problem::not_found)?;
    let id = id.to_owned();
    let video = open(&app, &id).await?.ok_or_else(Problem::not_found)?;
    let said = OEmbed::of(&video, &site, moment, room);
    // Without a configured address the answer names the host that was asked for, which isn't for
    // others that ask by way of a cache.
    let is_fixed = app.parts.config.public_url.is_some();
    let kept = if is_fixed { "no-cache" } else { "no-store" };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, kept)).json(said))
}

/// Returns the video behind an id of an address, if anybody may see it.
///
/// # Errors
/// What the database fails with.
pub(super) async fn open(app: &App, id: &str) -> Result<Option<VideoRecord>, Problem> {
    let Ok(id) = videos::id_of(id) else { return Ok(None) };
    let found = blocking(app, move |parts| match parts.library.video(id, None) {
        Ok(video) => Ok(Some(video)),
        Err(LibraryError::Missing) => Ok(None),
        Err(error) => Err(translate::library(error)),
    });
    found.await
}

/// Returns how the world names this server: scheme and host, without a slash behind.
pub(super) fn site(req: &HttpRequest, app: &App) -> String {
    let outside = guard::outside(req, &app.parts.config);
    format!("{}://{}", outside.scheme, outside.host)
}

/// Reads a bound in pixels.
fn pixels(said: Option<&str>, name: &'static str) -> Result<Option<u32>, Problem> {
    let Some(said) = said else { return Ok(None) };
    match said.parse() {
        Ok(pixels) if pixels > 0 => Ok(Some(pixels)),
        _ => {
            let detail = format!("`{name}` is a number of pixels, 1 or more.");
            Err(Problem::new(Code::InvalidRequest, detail).field(name))
        }
    }
}

/// Returns the id and the moment (`t`) out of the address of one of this server's watch or embed
/// pages.
fn page_of<'a>(url: &'a str, site: &str) -> Option<(&'a str, Option<u32>)> {
    // A link may still be plain where the site isn't any more, or the other way round.
    let bare = |address: &'a str| address.split_once("://").map(|(_, rest)| rest);
    let path = match bare(url) {
        Some(rest) => {
            let host = site.split_once("://").map_or(site, |(_, host)| host);
            let at = rest.find('/')?;
            let (theirs, path) = rest.split_at(at);
            theirs.eq_ignore_ascii_case(host).then_some(path)?
        }
        None => url,
    };
    let path = path.split('#').next()?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let id = path.strip_prefix("/watch/").or_else(|| path.strip_prefix("/embed/"))?;
    let moment = query.split('&').find_map(|pair| pair.strip_prefix("t="));
    Some((id.strip_suffix('/').unwrap_or(id), moment.and_then(|t| t.parse().ok())))
}

impl OEmbed {
    fn of(
        video: &VideoRecord,
        site: &str,
        moment: Option<u32>,
        (wide, high): (Option<u32>, Option<u32>),
    ) -> Self {
        let size = fitting(frame_of(video), FRAME_MAX);
        let room = (wide.unwrap_or(size.0), high.unwrap_or(size.1));
        let (width, height) = fitting(size, room);
        let fits = |still: &ThumbnailView| {
            wide.is_none_or(|wide| still.width <= wide)
                && high.is_none_or(|high| still.height <= high)
        };
        let stills = ThumbnailView::poster(video).into_iter().chain(ThumbnailView::all(video));
        let still = stills.into_iter().find(fits);
        Self {
            version: "1.0",
            kind: "video",
            provider_name: NAME,
            provider_url: format!("{site}/"),
            title: video.title.clone(),
            width,
            height,
            html: iframe(video, site, moment, (width, height)),
            thumbnail_width: still.as_ref().map(|still| still.width),
            thumbnail_height: still.as_ref().map(|still| still.height),
            thumbnail_url: still.map(|still| format!("{site}{}", still.url)),
        }
    }
}

fn iframe(video: &VideoRecord, site: &str, moment: Option<u32>, (w, h): (u32, u32)) -> String {
    let moment = moment.map(|t| format!("?t={t}")).unwrap_or_default();
    format!(
        "<iframe src=\"{}/embed/{}{moment}\" title=\"{}\" width=\"{w}\" height=\"{h}\" \
         frameborder=\"0\" allow=\"autoplay; fullscreen; picture-in-picture\" allowfullscreen \
         loading=\"lazy\"></iframe>",
        escaped(site),
        video.id,
        escaped(&video.title),
    )
}

/// Returns the size of a film's largest picture, or of the usual frame where it has none.
fn frame_of(video: &VideoRecord) -> (u32, u32) {
    let pictures = video.renditions.iter().filter(|it| it.plan.kind == RenditionKind::Video);
    let sizes = pictures.map(|it| (it.plan.width, it.plan.height));
    let known = sizes.max().or_else(|| video.facts.as_ref().map(|it| (it.width, it.height)));
    known.filter(|&(width, height)| width > 0 && height > 0).unwrap_or(FRAME)
}

/// Returns a size of the same shape that fits into `room`; never a larger one.
fn fitting((width, height): (u32, u32), room: (u32, u32)) -> (u32, u32) {
    let share = |room: u32, size: u32| f64::from(room) / f64::from(size);
    let scale = share(room.0, width).min(share(room.1, height)).min(1.0);
    let scaled = |size: u32| ((f64::from(size) * scale).round() as u32).max(1);
    (scaled(width), scaled(height))
}

/// Returns the page's title and tags for a video that anybody may see, as HTML.
pub(super) fn tags(video: &VideoRecord, site: &str) -> String {
    let page = format!("{site}/watch/{}", video.id);
    let embed = format!("{site}/embed/{}", video.id);
    let description = shortened(&video.description);
    let (width, height) = fitting(frame_of(video), FRAME_MAX);
    let (width, height) = (width.to_string(), height.to_string());
    let still = ThumbnailView::poster(video);
    let image = still.as_ref().map(|still| format!("{site}{}", still.url));
    let playback = PlaybackView::of(video, None);
    let mp4 = playback.mp4.map(|path| format!("{site}{path}"));
    // A player in a card has to come over TLS, or isn't taken.
    let is_safe = site.starts_with("https://");
    let card = if video.playable && is_safe { "player" } else { "summary_large_image" };

    let mut head = Head::default();
    head.line(&format!("<title>{} · {NAME}</title>", escaped(&video.title)));
    head.named("description", &description);
    if video.visibility != Visibility::Public {
        head.named("robots", "noindex");
    }
    head.property("og:site_name", NAME);
    head.property("og:type", "video.other");
    head.property("og:title", &video.title);
    head.property("og:description", &description);
    head.property("og:url", &page);
    if let (Some(still), Some(image)) = (&still, &image) {
        head.property("og:image", image);
        head.property("og:image:width", &still.width.to_string());
        head.property("og:image:height", &still.height.to_string());
        head.property("og:image:alt", &video.title);
    }
    if video.playable {
        let shown = [(Some(embed.as_str()), "text/html"), (mp4.as_deref(), "video/mp4")];
        for (address, kind) in shown {
            let Some(address) = address else { continue };
            head.property("og:video", address);
            if is_safe {
                head.property("og:video:secure_url", address);
            }
            head.property("og:video:type", kind);
            head.property("og:video:width", &width);
            head.property("og:video:height", &height);
        }
    }
    head.named("twitter:card", card);
    head.named("twitter:title", &video.title);
    head.named("twitter:description", &description);
    head.named("twitter:image", image.as_deref().unwrap_or_default());
    if card == "player" {
        head.named("twitter:player", &embed);
        head.named("twitter:player:width", &width);
        head.named("twitter:player:height", &height);
    }
    head.line(&format!("<link rel=\"canonical\" href=\"{}\">", escaped(&page)));
    head.line(&format!(
        "<link rel=\"alternate\" type=\"application/json+oembed\" href=\"{}\" title=\"{}\">",
        escaped(&format!("{site}/oembed?url={}", query_escaped(&page))),
        escaped(&video.title),
    ));
    head.text
}

/// Lines of a page's head.
#[derive(Default)]
struct Head {
    text: String,
}

impl Head {
    fn line(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\n    ");
        }
        self.text.push_str(line);
    }

    fn property(&mut self, name: &str, content: &str) {
        self.meta("property", name, content);
    }

    fn named(&mut self, name: &str, content: &str) {
        self.meta("name", name, content);
    }

    /// Adds a tag; one that says nothing is left out.
    fn meta(&mut self, by: &str, name: &str, content: &str) {
        if !content.is_empty() {
            self.line(&format!("<meta {by}=\"{name}\" content=\"{}\">", escaped(content)));
        }
    }
}

/// Returns the beginning of a text in one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DESCRIPTION_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// Returns a text as it may stand in HTML, also in quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Returns a text as it may stand in a query.
fn query_escaped(text: &str) -> String {
    let mut safe = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only pages of videos on this server are known, by whatever scheme.
    #[test]
    fn pages_of_videos() {
        let site = "https://films.example:8443";
        let known = [
            ("https://films.example:8443/watch/a", ("a", None)),
            ("http://Films.Example:8443/embed/a/?x=1&t=90#top", ("a", Some(90))),
            ("/watch/a?t=1m", ("a", None)),
        ];
        for (url, expected) in known {
            assert_eq!(page_of(url, site), Some(expected), "{url}");
        }
        let unknown = [
            "",
            "https://films.example:8443",
            "https://films.example/watch/a",
            "https://evil.example/watch/a",
            "https://films.example:8443@evil.example/watch/a",
            "https://films.example:8443/api/videos/a",
            "watch/a",
        ];
        for url in unknown {
            assert_eq!(page_of(url, site), None, "{url}");
        }
    }

    /// A frame keeps its shape within its bounds, and never grows.
    #[test]
    fn sizes_fit() {
        let cases = [
            ((1920, 1080), (1280, 1280), (1280, 720)),
            ((640, 360), (1280, 1280), (640, 360)),
            ((1280, 720), (640, 1280), (640, 360)),
            ((1280, 720), (640, 180), (320, 180)),
            ((1080, 1920), (1280, 1280), (720, 1280)),
            ((1920, 1), (100, 100), (100, 1)),
        ];
        for (size, room, expected) in cases {
            assert_eq!(fitting(size, room), expected, "{size:?} in {room:?}");
        }
    }

    /// A description is one line and ends at a bound, between characters.
    #[test]
    fn descriptions_are_short() {
        assert_eq!(shortened(" a\n\tb  c "), "a b c");
        let long = "é".repeat(DESCRIPTION_CHARS_MAX + 1);
        assert_eq!(shortened(&long).chars().count(), DESCRIPTION_CHARS_MAX + 1);
        assert!(shortened(&long).ends_with('…'));
        assert_eq!(shortened(&"é".repeat(DESCRIPTION_CHARS_MAX)).matches('…').count(), 0);
    }
}
