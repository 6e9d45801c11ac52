//! Requests by an upload grant, which is shown as `Authorization: Bearer slg_…` or stands before
//! the address: `/g/slg_…/files`, `/g/slg_…/api/…`. So a client that knows nothing of grants can
//! use one: it is given an address, and is told addresses that lead on.
//!
//! The address is taken apart before anything else sees it. What is answered, logged and counted
//! is the address behind the grant; only where an upload goes on is told with the grant before it.
//! What a grant opens is listed here, and whatever isn't is closed to it.

use super::problem::{Code, Problem};
use super::{Shared, guard};
use crate::access::{Caller, is_grant_shaped};
use actix_web::dev::ServiceRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::uri::PathAndQuery;
use actix_web::http::{Method, Uri};
use actix_web::{HttpMessage, HttpRequest};

/// What stands before a grant in an address.
const PREFIX: &str = "/g/";

/// The grant of a request's address.
struct InPath(String);

/// What a grant opens: methods, and the address as it is registered. Which upload and which video
/// is looked at where they are found.
const OPEN: [(&str, &str); 19] = [
    ("*", "/files"),
    ("*", "/files/{id}"),
    ("POST", "/api/videos"),
    ("POST", "/api/videos/upload/initiate"),
    ("POST", "/api/videos/upload/chunk"),
    ("POST", "/api/videos/upload/complete"),
    ("POST", "/api/videos/upload/{id}/part-urls"),
    ("PUT", "/api/videos/upload/{id}/parts/{index}"),
    ("GET DELETE", "/api/videos/upload/{id}"),
    ("GET", "/api/uploads"),
    ("GET", "/api/videos/status"),
    ("GET PATCH", "/api/videos/{id}"),
    ("GET", "/api/videos/{id}/processing-status"),
    ("GET", "/api/videos/{id}/preview"),
    ("GET", "/api/videos/{id}/thumbnails"),
    ("PUT", "/api/videos/{id}/poster"),
    ("GET", "/api/events"),
    ("GET", "/api/ws"),
    ("GET", "/api/session"),
];

/// Takes the grant out of a request's address, if there is one, and keeps it for [`of`].
pub(super) fn take_from_path(req: &mut ServiceRequest) {
    let Some((grant, behind)) = split(req.uri()) else { return };
    let mut parts = req.uri().clone().into_parts();
    parts.path_and_query = Some(behind);
    let Ok(uri) = Uri::from_parts(parts) else { return };
    req.match_info_mut().get_mut().update(&uri);
    req.head_mut().uri = uri;
    req.extensions_mut().insert(InPath(grant));
}

/// Splits an address into its grant and what is behind, if both have the right form.
fn split(uri: &Uri) -> Option<(String, PathAndQuery)> {
    let whole = uri.path_and_query()?.as_str();
    let (grant, _) = whole.strip_prefix(PREFIX)?.split_once('/')?;
    let behind = &whole[PREFIX.len() + grant.len()..];
    let path = behind.split('?').next().unwrap_or_default();
    let is_open = guard::is_upload_path(path) || path.starts_with("/api/");
    let behind = behind.parse().ok().filter(|_| is_open && is_grant_shaped(grant))?;
    Some((grant.to_owned(), behind))
}

/// Returns the grant that a request shows, in its address or as its token.
pub(super) fn of(req: &HttpRequest) -> Option<String> {
    if let Some(InPath(grant)) = req.extensions().get::<InPath>() {
        return Some(grant.clone());
    }
    let said = req.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    said.and_then(guard::bearer_of).filter(|token| is_grant_shaped(token)).map(str::to_owned)
}

/// Returns what stands before the addresses that a request is told, if it came by one with a grant.
fn prefix(req: &HttpRequest) -> Option<String> {
    req.extensions().get::<InPath>().map(|InPath(grant)| format!("{PREFIX}{grant}"))
}

/// Returns where a request finds again what lies at `path`.
pub(super) fn address(req: &HttpRequest, path: &str) -> String {
    prefix(req).unwrap_or_default() + path
}

/// Has an answer's addresses lead on by the grant by which the request came.
pub(super) fn lead_on(req: &HttpRequest, headers: &mut HeaderMap) {
    let Some(prefix) = prefix(req) else { return };
    let led = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        let is_ours = text.starts_with("/files") || text.starts_with("/api/");
        HeaderValue::from_str(&format!("{prefix}{text}")).ok().filter(|_| is_ours)
    };
    if let Some(led) = headers.get(header::LOCATION).and_then(led) {
        headers.insert(header::LOCATION, led);
    }
    let concat = HeaderName::from_static("upload-concat");
    let named = headers.get(&concat).and_then(|value| value.to_str().ok());
    let named = named.map(|parts| parts.replace("/files/", &format!("{prefix}/files/")));
    if let Some(Ok(named)) = named.map(|parts| HeaderValue::from_str(&parts)) {
        headers.insert(concat, named);
    }
    // The address holds a secret: no page that is opened from an answer may tell it.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Returns an address, or a list of them, without grants in it.
pub(super) fn without(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        let behind = &rest[at + PREFIX.len()..];
        let end = behind.find(['/', '?', ' ', ',']).unwrap_or(behind.len());
        let (before, keeps) = rest.split_at(at);
        plain.push_str(before);
        rest = match is_grant_shaped(&behind[..end]) {
            true => &behind[end..],
            false => {
                plain.push_str(PREFIX);
                &keeps[PREFIX.len()..]
            }
        };
    }
    plain + rest
}

/// Checks that a request may be made by a grant.
///
/// # Errors
/// 403 for what isn't part of uploading.
pub(super) fn check(req: &HttpRequest, caller: &Caller) -> Result<(), Problem> {
    if caller.grant.is_none() {
        return Ok(());
    }
    let pattern = req.match_pattern().unwrap_or_default();
    match is_open(&guard::effective_method(req), &pattern) {
        true => Ok(()),
        false => Err(closed()),
    }
}

fn is_open(method: &Method, pattern: &str) -> bool {
    OPEN.iter().any(|&(methods, known)| {
        let is_named = methods.split(' ').any(|name| name == "*" || name == method.as_str());
        is_named && known == pattern
    })
}

fn closed() -> Problem {
    let detail = "An upload grant is good for one upload and its video, and for nothing else.";
    Problem::new(Code::GrantScope, detail)
}

/// Refuses what a grant doesn't open although it opens something else at the same address.
///
/// # Errors
/// 403 for a grant.
pub(super) fn refuse(caller: &Caller) -> Result<(), Problem> {
    match caller.grant {
        Some(_) => Err(closed()),
        None => Ok(()),
    }
}

/// Refuses a change of what the grant has laid down.
///
/// # Errors
/// 403 naming the first field that is.
pub(super) fn check_change(
    app: &Shared,
    caller: &Caller,
    wanted: &[(&'static str, bool)],
) -> Result<(), Problem> {
    let said = words(app, caller)?;
    let laid_down = |name: &str| said.iter().any(|(key, _)| key == name);
    match wanted.iter().find(|(name, is_wanted)| *is_wanted && laid_down(name)) {
        Some((name, _)) => {
            let detail = format!("`{name}` was laid down when this link was made.");
            Err(Problem::new(Code::GrantScope, detail).field(name))
        }
        None => Ok(()),
    }
}

/// Returns what a caller's grant says of the video, as `Upload-Metadata` names it.
///
/// # Errors
/// Those of the state.
pub(super) fn words(app: &Shared, caller: &Caller) -> Result<Vec<(String, String)>, Problem> {
    let Some(id) = caller.grant else { return Ok(Vec::new()) };
    let grant = app.parts.state.grant(id).map_err(super::translate::state)?;
    Ok(grant.map(|grant| grant.metadata).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "slg_0123456789abcdefghijABCDEFGHIJ0123456789-_x";

    /// Addresses are taken apart where a grant stands before an upload's or the API's, and nowhere
    /// else.
    #[test]
    fn addresses_are_taken_apart() {
        let taken = |address: &str| {
            let uri: Uri = address.replace("G", GRANT).parse().expect("an address");
            split(&uri).map(|(grant, behind)| {
                assert_eq!(grant, GRANT);
                behind.to_string()
            })
        };
        let cases = [
            ("/g/G/files", Some("/files")),
            ("/g/G/files/1?a=b", Some("/files/1?a=b")),
            ("/g/G/api/uploads?state=partial", Some("/api/uploads?state=partial")),
            ("http://localhost/g/G/files", Some("/files")),
            ("/g/G/filesystem", None),
            ("/g/G/static/main.js", None),
            ("/g/G", None),
            ("/g/G/", None),
            ("/g/G/g/G/files", None),
            ("/g/slg_short/files", None),
            ("/gG/files", None),
            ("/files", None),
        ];
        for (address, behind) in cases {
            assert_eq!(taken(address).as_deref(), behind, "{address}");
        }
    }

    /// No grant is left in an address, or in a list of them.
    #[test]
    fn addresses_lose_their_grants() {
        let list = format!("final;/g/{GRANT}/files/1 https://a.example/g/{GRANT}/files/2 /files/3");
        assert_eq!(without(&list), "final;/files/1 https://a.example/files/2 /files/3");
        assert_eq!(without(&format!("/g/{GRANT}")), "");
        for same in ["", "/files/1", "/g/else/files", "a/g/"] {
            assert_eq!(without(same), same);
        }
    }

    /// Only what is listed is open, by its method.
    #[test]
    fn the_list_is_closed() {
        assert!(
            is_open(&Method::PATCH, "/files/{id}") && is_open(&Method::GET, "/api/videos/{id}")
        );
        assert!(!is_open(&Method::DELETE, "/api/videos/{id}"));
        assert!(!is_open(&Method::GET, "/api/videos") && !is_open(&Method::GET, ""));
    }
}
