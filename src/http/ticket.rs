//! Playback tokens in requests: in the path of media, as `Authorization: Bearer slp_…` of calls
//! that look at a video, and as `?token=` of the pages with a player.
//!
//! One that isn't good is 403, whatever is wrong with it and whether the video exists or not: who
//! holds a token of somebody learns nothing about anything else. Nothing is looked up before its
//! signature was found right.

use super::problem::{Code, Problem};
use super::{AppParts, Shared, guard, translate};
use crate::access::{Denied, Ticket, is_playback_shaped};
use crate::ids::VideoId;
use crate::state::VideoRecord;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, web};

type App = web::Data<Shared>;

/// Where media are for whoever has a token: the token and what [`MEDIA`] has follow.
pub(super) const MEDIA_BY_TOKEN: &str = "/media/s/";
/// Where media are.
const MEDIA: &str = "/media/";

/// A playback token that counts where it was shown.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// Its text.
    token: String,
    /// What it says.
    pub(super) ticket: Ticket,
}

impl Pass {
    /// Reads the token `token` of a request.
    ///
    /// # Errors
    /// 403 for one that isn't good, or not from there; those of the state.
    pub(super) async fn read(req: &HttpRequest, app: &App, token: &str) -> Result<Self, Problem> {
        let pass = Self::of_page(req, app, token).await?;
        let own = guard::outside(req, &app.parts.config).host;
        let is_used_well = is_used_on_its_pages(req.headers(), &pass.ticket, &own);
        if is_used_well { Ok(pass) } else { Err(bad_token()) }
    }

    /// Does the same for one in the address of this server's own page: links may lead there from
    /// anywhere, and who may frame it the page itself tells the browser.
    ///
    /// # Errors
    /// As [`Pass::read`].
    pub(super) async fn of_page(
        req: &HttpRequest,
        app: &App,
        token: &str,
    ) -> Result<Self, Problem> {
        let ticket = app.parts.access.playback(token).await.map_err(|denied| match denied {
            Denied::Invalid => bad_token(),
            Denied::State(error) => translate::state(error),
        })?;
        let admitted = ticket.admits(guard::client_address(req, &app.parts.config));
        admitted.then(|| Self { token: token.to_owned(), ticket }).ok_or_else(bad_token)
    }

    /// Reads the one that a call shows as its credential, if it is one.
    ///
    /// # Errors
    /// As [`Pass::read`].
    pub(super) async fn of_call(req: &HttpRequest, app: &App) -> Result<Option<Self>, Problem> {
        let said = req.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match said.and_then(guard::bearer_of).filter(|token| is_playback_shaped(token)) {
            Some(token) => Self::read(req, app, token).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns a video that it shows.
    ///
    /// # Errors
    /// 403 for any other, there or not; those of the state.
    pub(super) fn video(&self, parts: &AppParts, id: VideoId) -> Result<VideoRecord, Problem> {
        let video = parts.state.video(id).map_err(translate::state)?;
        video.filter(|video| self.ticket.shows(video)).ok_or_else(bad_token)
    }

    /// Says whether it still counts.
    pub(super) async fn holds(&self, app: &App) -> bool {
        app.parts.access.playback(&self.token).await.is_ok()
    }

    /// Returns where with this token is what is at the address `url` of a media file.
    pub(super) fn to(&self, url: String) -> String {
        by_token(&self.token, url)
    }
}

/// Returns the address of a media file for whoever has a token.
pub(super) fn by_token(token: &str, url: String) -> String {
    match url.strip_prefix(MEDIA) {
        Some(rest) => format!("{MEDIA_BY_TOKEN}{token}/{rest}"),
        None => url,
    }
}

/// Returns a path as it may stand in a log.
pub(super) fn without_token(path: &str) -> String {
    match path.strip_prefix(MEDIA_BY_TOKEN) {
        Some(rest) => {
            let behind = rest.split_once('/').map_or("", |(_, behind)| behind);
            format!("{MEDIA_BY_TOKEN}…/{behind}")
        }
        None => path.to_owned(),
    }
}

fn bad_token() -> Problem {
    let detail = "The playback token isn't good for this, or not any more. Ask whoever gave it to \
                  you for another.";
    Problem::new(Code::BadPlaybackToken, detail)
}

/// Says whether a request comes from a page that the token is for. This server's own pages may
/// ask; pages that the token isn't for can't frame them.
///
/// Players that are no browsers, and Apple's own, say nothing about where they are. A browser
/// that says nothing was told to by the page; it tells with `Sec-Fetch-Site` that there is one.
fn is_used_on_its_pages(headers: &HeaderMap, ticket: &Ticket, own: &str) -> bool {
    if ticket.hosts.is_empty() {
        return true;
    }
    let mut is_named = false;
    for name in [header::ORIGIN, header::REFERER] {
        for value in headers.get_all(&name) {
            let host = value.to_str().ok().and_then(host_of).unwrap_or_default();
            if !(ticket.is_for_pages_of(host) || host.eq_ignore_ascii_case(own)) {
                return false;
            }
            is_named = true;
        }
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    is_named || matches!(site, None | Some(b"same-origin" | b"none"))
}

/// Returns the host of an address, with its port.
fn host_of(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    (!authority.contains('@') && !authority.is_empty()).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;
    use crate::units::UnixMillis;
    use actix_web::test::TestRequest;

    fn ticket(hosts: &[&str]) -> Ticket {
        Ticket {
            scope: Scope::Organisation("acme".to_owned()),
            made_at: UnixMillis(1),
            until: UnixMillis(2),
            early: false,
            network: None,
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        }
    }

    /// Pages of other hosts can't use a token that names its own, however they hide.
    #[test]
    fn other_pages_cant_use_a_token() {
        let bound = ticket(&["app.example", "*.cdn.example"]);
        let used = |pairs: &[(&'static str, &'static str)]| {
            let request = pairs.iter().fold(TestRequest::default(), |request, &(name, value)| {
                request.append_header((name, value))
            });
            let headers = request.to_http_request().headers().clone();
            assert!(is_used_on_its_pages(&headers, &ticket(&[]), "films.example"));
            is_used_on_its_pages(&headers, &bound, "films.example")
        };
        let good: [&[(&str, &str)]; 8] = [
            &[],
            &[("origin", "https://app.example")],
            &[("referer", "https://app.example/page?x=//evil.example")],
            &[("referer", "http://App.Example:8080/")],
            &[("origin", "https://a.cdn.example"), ("sec-fetch-site", "cross-site")],
            &[("referer", "https://films.example/embed/x")],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
        ];
        for pairs in good {
            assert!(used(pairs), "{pairs:?}");
        }
        let bad: [&[(&str, &str)]; 11] = [
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("referer", "https://evil.example/app.example")],
            &[("referer", "https://app.example@evil.example/")],
            &[("referer", "https://evil.example\\.app.example/")],
            &[("referer", "app.example")],
            &[("origin", "https://app.example"), ("referer", "https://evil.example/")],
            &[("origin", "https://app.example"), ("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ];
        for pairs in bad {
            assert!(!used(pairs), "{pairs:?}");
        }
    }

    /// A token in a path doesn't reach the log.
    #[test]
    fn logs_have_no_tokens() {
        let id = "01890000-0000-7000-8000-000000000000";
        let path = format!("/media/s/slp_abc/{id}/master.m3u8");
        assert_eq!(without_token(&path), format!("/media/s/…/{id}/master.m3u8"));
        assert_eq!(without_token("/media/s/slp_abc"), "/media/s/…/");
        assert_eq!(without_token("/media/x/y"), "/media/x/y");
        assert_eq!(
            by_token("slp_abc", format!("/media/{id}/poster.jpg?v=2")),
            format!("/media/s/slp_abc/{id}/poster.jpg?v=2")
        );
    }
}
