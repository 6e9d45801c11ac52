//! Who calls, and from where: tokens, sessions, other sites' pages, and mode `open`'s bounds.

use super::connection::Connection;
use super::problem::{Code, Problem};
use super::{Shared, forwarded, granted, noted};
use crate::access::{Caller, Denied};
use crate::config::Config;
use crate::model::access::{Lack, Right, Role};
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, Uri};
use std::net::IpAddr;

/// The session cookie's name.
pub(super) const COOKIE: &str = "slipway_session";

/// What a request shows of who sends it. Kept by streams that outlive their request.
pub(super) enum Credential {
    /// Nothing is asked for: mode `open`.
    Open,
    /// A token.
    Bearer(String),
    /// A session cookie.
    Cookie(String),
    /// Nothing.
    None,
}

impl Credential {
    /// Reads a request's.
    ///
    /// # Errors
    /// 401 for an `Authorization` that is no token.
    pub(super) fn of(req: &HttpRequest, app: &Shared) -> Result<Self, Problem> {
        // Before mode `open`: who shows one has it tried.
        if let Some(grant) = granted::of(req) {
            return Ok(Self::Bearer(grant));
        }
        if app.parts.access.open_caller().is_some() {
            return Ok(Self::Open);
        }
        if let Some(authorization) = req.headers().get(header::AUTHORIZATION) {
            let text = authorization.to_str().unwrap_or_default();
            let token = bearer_of(text).ok_or_else(bad_credential)?;
            return Ok(Self::Bearer(token.to_owned()));
        }
        let cookie = cookie(req.headers(), COOKIE).map(|value| Self::Cookie(value.to_owned()));
        Ok(cookie.unwrap_or(Self::None))
    }

    /// Returns for whom it stands now, or none for somebody without a valid session.
    ///
    /// # Errors
    /// 401 for a token that doesn't count.
    pub(super) async fn caller(&self, app: &Shared) -> Result<Option<Caller>, Problem> {
        match self {
            Self::Open => Ok(app.parts.access.open_caller()),
            Self::Bearer(token) => app.parts.access.bearer(token).await.map(Some).map_err(denied),
            Self::Cookie(value) => match app.parts.access.cookie(value).await {
                Ok(caller) => Ok(Some(caller)),
                // An old session is no reason to refuse what everybody may see.
                Err(Denied::Invalid) => Ok(None),
                Err(denial) => Err(denied(denial)),
            },
            Self::None => Ok(None),
        }
    }
}

/// Returns who calls, or none for somebody without a valid session, whatever they may.
///
/// # Errors
/// 401 for a token that doesn't count; 403 for a session used by another site's page, and for an
/// upload grant that isn't good for this.
pub(super) async fn known(req: &HttpRequest, app: &Shared) -> Result<Option<Caller>, Problem> {
    let credential = Credential::of(req, app)?;
    let caller = credential.caller(app).await?;
    caller.iter().try_for_each(|caller| granted::check(req, caller))?;
    let by_session = matches!(credential, Credential::Cookie(_)) && caller.is_some();
    if by_session && !effective_method(req).is_safe() && !is_same_origin(req, &app.parts.config) {
        return Err(foreign_session());
    }
    if let Some(caller) = &caller {
        app.count(req, caller)?;
    }
    caller.iter().for_each(|caller| noted::by(req, caller));
    Ok(caller)
}

/// Returns who calls, or none for somebody without a valid session, where everybody is told
/// something and `right` is for more.
///
/// # Errors
/// 403 for a token that is confined to something else; the errors of [`known`].
pub(super) async fn optional(
    req: &HttpRequest,
    app: &Shared,
    right: Right,
) -> Result<Option<Caller>, Problem> {
    let caller = known(req, app).await?;
    caller.map(|caller| confined(&caller, right).map(|()| caller)).transpose()
}

/// Refuses a session that another site's page uses for a request whose answer the browser would
/// let it read: a WebSocket knows no rules for other sites but the server's.
///
/// # Errors
/// 403 for such a session.
pub(super) fn refuse_foreign_session(req: &HttpRequest, app: &Shared) -> Result<(), Problem> {
    let by_session = matches!(Credential::of(req, app)?, Credential::Cookie(_));
    if by_session && !is_same_origin(req, &app.parts.config) {
        return Err(foreign_session());
    }
    Ok(())
}

fn foreign_session() -> Problem {
    let detail = "A session can only be used from this server's own pages.";
    Problem::new(Code::CrossSite, detail)
}

/// Returns who calls, if they may do this.
///
/// # Errors
/// 401 for nobody, 403 for a role that is too small or a token that is confined to something else;
/// the errors of [`known`].
pub(super) async fn may(req: &HttpRequest, app: &Shared, right: Right) -> Result<Caller, Problem> {
    let caller = within(req, app, right).await?;
    needs(&caller, right)?;
    Ok(caller)
}

/// Returns who calls, if their token isn't confined to something else. For doors that find out
/// whose the thing is before they look at the role, as what isn't the caller's is 404 to them.
///
/// # Errors
/// 401 for nobody; the errors of [`optional`].
pub(super) async fn within(
    req: &HttpRequest,
    app: &Shared,
    right: Right,
) -> Result<Caller, Problem> {
    optional(req, app, right).await?.ok_or_else(nobody)
}

/// Refuses somebody who isn't known.
pub(super) fn nobody() -> Problem {
    let detail = "Send `Authorization: Bearer TOKEN`, or sign in on the login page.";
    Problem::new(Code::Unauthenticated, detail)
}

/// Refuses a caller who hasn't got a right.
///
/// # Errors
/// 403.
pub(super) fn needs(caller: &Caller, right: Right) -> Result<(), Problem> {
    match right.check(&caller.viewer, &caller.scopes) {
        Ok(()) => Ok(()),
        Err(Lack::Scope) => Err(out_of_scope(caller, right)),
        Err(Lack::Role) => {
            let detail = match right.smallest_role() {
                Some(role) => format!("This needs the role `{}`; yours is smaller.", role.name()),
                None if caller.viewer.role == Role::Admin => {
                    "This is the server's operator's; you are an admin of your organisation."
                        .to_owned()
                }
                None => "This needs the role `admin`; yours is smaller.".to_owned(),
            };
            Err(Problem::new(Code::Forbidden, detail))
        }
    }
}

fn confined(caller: &Caller, right: Right) -> Result<(), Problem> {
    match right.is_within(&caller.scopes) {
        true => Ok(()),
        false => Err(out_of_scope(caller, right)),
    }
}

fn out_of_scope(caller: &Caller, right: Right) -> Problem {
    let detail = format!(
        "This needs the scope `{}`; the token is good for `{}` alone.",
        right.scope(),
        caller.scopes.join("`, `")
    );
    Problem::new(Code::Forbidden, detail)
}

/// Returns the token of an `Authorization`.
pub(super) fn bearer_of(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn bad_credential() -> Problem {
    Problem::new(Code::Unauthenticated, "The token isn't known, was revoked, or has run out.")
}

/// Turns a refused credential into a problem.
pub(super) fn denied(denial: Denied) -> Problem {
    match denial {
        Denied::Invalid => bad_credential(),
        Denied::State(error) => super::translate::state(error),
    }
}

/// Returns the value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Returns the method that counts: `X-HTTP-Method-Override` replaces the real one on uploads.
pub(super) fn effective_method(req: &HttpRequest) -> Method {
    overridden(req.path(), req.method(), req.headers())
}

/// [`effective_method`] of a request's parts.
pub(super) fn overridden(path: &str, method: &Method, headers: &HeaderMap) -> Method {
    let given = headers.get("x-http-method-override").filter(|_| is_upload_path(path));
    given
        .and_then(|value| Method::from_bytes(value.as_bytes()).ok())
        .unwrap_or_else(|| method.clone())
}

/// Says whether an address belongs to the upload protocol.
pub(super) fn is_upload_path(path: &str) -> bool {
    path == "/files" || path.starts_with("/files/")
}

/// The server as the world sees it in one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outside {
    /// `http` or `https`.
    pub(super) scheme: String,
    /// Host and port, as a browser writes them in `Origin`.
    pub(super) host: String,
}

/// Returns from which address a request comes: the connection's peer, or by the word of the
/// trusted proxies in front the nearest before them. None for a Unix socket without a proxy.
pub(super) fn client_address(req: &HttpRequest, config: &Config) -> Option<IpAddr> {
    forwarded::client(peer(req), req.headers(), &config.proxies)
}

/// Says whether a trusted proxy passed the request on.
pub(super) fn is_from_proxy(req: &HttpRequest, config: &Config) -> bool {
    config.proxies.trust(peer(req))
}

/// Returns whose connection it is; none for a Unix socket's.
pub(super) fn peer(req: &HttpRequest) -> Option<IpAddr> {
    req.peer_addr().map(|address| address.ip())
}

/// Refuses a request whose words for the server itself aren't a host's name, or contradict each
/// other: they end up in links, and caches keep answers under them.
pub(super) fn bad_host(req: &HttpRequest, config: &Config) -> Option<Problem> {
    let refused = |field: &'static str, detail: &'static str| {
        Some(Problem::new(Code::InvalidRequest, detail).field(field))
    };
    let mut hosts = req.headers().get_all(header::HOST);
    let given = hosts.next();
    let host = given.map(|value| value.to_str().unwrap_or_default());
    let authority = req.uri().authority().map(|authority| authority.as_str());
    let good = hosts.next().is_none() && host.into_iter().chain(authority).all(forwarded::is_host);
    if !good {
        return refused("Host", "`Host` is the name or address of this server, once.");
    }
    if let (Some(host), Some(authority)) = (host, authority)
        && !host.eq_ignore_ascii_case(authority)
    {
        return refused("Host", "`Host` isn't the host in the request's address.");
    }
    let (_, told) = forwarded::asked_for(peer(req), req.headers(), &config.proxies);
    if told.is_some_and(|told| !forwarded::is_host(told)) {
        return refused("X-Forwarded-Host", "What the proxy says of the host isn't a host's name.");
    }
    None
}

/// Returns how the world sees the server: by `public_url`, by what a trusted proxy says, or by
/// the request itself.
pub(super) fn outside(req: &HttpRequest, config: &Config) -> Outside {
    let scheme = if Connection::is_secured(req) { "https" } else { "http" };
    outside_of(scheme, peer(req), req.uri(), req.headers(), config)
}

fn outside_of(
    own_scheme: &str,
    peer: Option<IpAddr>,
    uri: &Uri,
    headers: &HeaderMap,
    config: &Config,
) -> Outside {
    if let Some((scheme, host)) = config.public_url.as_deref().and_then(|u| u.split_once("://")) {
        return Outside { scheme: scheme.to_owned(), host: host.to_owned() };
    }
    let (scheme, host) = forwarded::asked_for(peer, headers, &config.proxies);
    // Only HTTP/1.0 can do without; then whoever asks knows it by no name.
    let own = || host_of(uri, headers).unwrap_or("localhost");
    Outside {
        scheme: scheme.unwrap_or(own_scheme).to_owned(),
        host: host.unwrap_or_else(own).to_owned(),
    }
}

/// Returns the host that a request is for: that of its address where it has one, as in HTTP/2, or
/// of the header.
pub(super) fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
    uri.authority().map(|authority| authority.as_str()).or_else(header)
}

/// Says whether a browser sends the request from one of this server's own pages.
fn is_same_origin(req: &HttpRequest, config: &Config) -> bool {
    same_origin(req.headers(), &outside(req, config))
}

/// Refuses a form that another site's page sends. A program that isn't a browser says nothing
/// about where it comes from, and may send it.
///
/// # Errors
/// 403 for another site's page.
pub(super) fn refuse_other_sites(req: &HttpRequest, config: &Config) -> Result<(), Problem> {
    let headers = req.headers();
    let browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    if browser && !is_same_origin(req, config) {
        let detail = "This form can only be sent from this server's own pages.";
        return Err(Problem::new(Code::CrossSite, detail));
    }
    Ok(())
}

fn same_origin(headers: &HeaderMap, outside: &Outside) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    // The scheme isn't compared: a proxy that ends TLS needn't say so.
    let origin = text("origin").and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| !host.is_empty() && host.eq_ignore_ascii_case(&outside.host))
}

/// Says whether mode `open` may answer: the browser means this machine, and nothing stands
/// between. Another host in `Host` is a page that had its name point here.
pub(super) fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let forwarded = headers.keys().any(|name| {
        let name = name.as_str();
        name == "forwarded" || name == "via" || name.starts_with("x-forwarded-")
    });
    let mut hosts = headers.get_all(header::HOST);
    let header = hosts.next().and_then(|value| value.to_str().ok());
    let authority = uri.authority().map(|authority| authority.as_str());
    let host = header.or(authority).unwrap_or_default();
    let named = uri.authority().is_none_or(|authority| is_this_machine(authority.as_str()));
    !forwarded && hosts.next().is_none() && named && is_this_machine(host)
}

/// Says whether a page of another site sends the request. Mode `open` asks nobody who he is, so
/// there a page that a person merely looks at must not act for him, and the `*` of the default
/// `cors.origins` doesn't count.
pub(super) fn is_from_another_site(uri: &Uri, headers: &HeaderMap, named: &[String]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text("origin") else {
        // Navigations and pictures come without an origin; only reading them is possible.
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    let own = host.is_some_and(|host| host_of(uri, headers) == Some(host));
    !own && !named.iter().any(|name| name == origin)
}

fn is_this_machine(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    bare.eq_ignore_ascii_case("localhost") || matches!(bare, "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let request = pairs.iter().fold(TestRequest::default(), |request, &(name, value)| {
            request.append_header((name, value))
        });
        request.to_http_request().headers().clone()
    }

    /// In mode open another site's page is refused unless the configuration names it.
    #[test]
    fn open_mode_is_for_its_own_pages() {
        let asked = |origin: &'static str, named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let headers = headers(&[("host", "localhost:8080"), ("origin", origin)]);
            is_from_another_site(&Uri::from_static("/"), &headers, &named)
        };
        assert!(!asked("http://localhost:8080", &["*"]));
        assert!(asked("https://evil.example", &["*"]));
        assert!(asked("http://localhost:9999", &["*"]));
        assert!(asked("null", &["*"]));
        assert!(!asked("https://app.example", &["https://app.example"]));
        let silent = headers(&[("host", "localhost")]);
        assert!(!is_from_another_site(&Uri::from_static("/"), &silent, &[]));
    }

    /// Mode open answers this machine only, however the request is dressed.
    #[test]
    fn open_mode_is_for_this_machine() {
        let uri = Uri::from_static("/");
        for host in ["localhost", "localhost:8080", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:9"] {
            assert!(is_local(&uri, &headers(&[("host", host)])), "{host}");
        }
        for host in
            ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "127.0.0.2", "::1"]
        {
            assert!(!is_local(&uri, &headers(&[("host", host)])), "{host}");
        }
        for name in ["forwarded", "via", "x-forwarded-for", "x-forwarded-anything"] {
            assert!(!is_local(&uri, &headers(&[("host", "localhost"), (name, "x")])), "{name}");
        }
        let absolute = Uri::from_static("http://evil.example/");
        assert!(!is_local(&absolute, &headers(&[("host", "localhost")])));
        assert!(!is_local(&uri, &headers(&[("host", "localhost"), ("host", "evil.example")])));
    }

    /// A session works from the server's own pages, and from nowhere else.
    #[test]
    fn other_sites_pages_cant_use_a_session() {
        let outside = Outside { scheme: "http".into(), host: "video.example:8080".into() };
        let same = |pairs: &[(&'static str, &'static str)]| same_origin(&headers(pairs), &outside);
        assert!(same(&[("sec-fetch-site", "same-origin")]));
        assert!(same(&[("origin", "https://video.example:8080")]));
        assert!(!same(&[]));
        for site in ["cross-site", "same-site", "none"] {
            assert!(!same(&[("sec-fetch-site", site), ("origin", "http://video.example:8080")]));
        }
        for origin in ["null", "http://video.example", "http://evil.example", "", "http://"] {
            assert!(!same(&[("origin", origin)]), "{origin}");
        }
    }

    /// Only a trusted proxy decides under which address the server is seen.
    #[test]
    fn strangers_cant_forward() {
        let loaded = crate::config::load(None, std::iter::empty(), &[]);
        let mut config = loaded.expect("the built-in configuration").config;
        config.proxies.networks =
            vec![crate::config::Network { address: IpAddr::from([10, 0, 0, 0]), prefix_bits: 8 }];
        let uri = Uri::from_static("/");
        let forwarded = headers(&[
            ("host", "inner:8080"),
            ("x-forwarded-host", "video.example"),
            ("x-forwarded-proto", "https"),
        ]);
        let seen =
            |peer: [u8; 4]| outside_of("http", Some(IpAddr::from(peer)), &uri, &forwarded, &config);
        assert_eq!(seen([10, 1, 2, 3]).host, "video.example");
        assert_eq!(seen([10, 1, 2, 3]).scheme, "https");
        assert_eq!(
            seen([11, 1, 2, 3]),
            Outside { scheme: "http".into(), host: "inner:8080".into() }
        );
        config.public_url = Some("https://films.example".to_owned());
        assert_eq!(outside_of("http", None, &uri, &forwarded, &config).host, "films.example");
    }

    /// Cookies are found among others, and only by their whole name.
    #[test]
    fn cookies_are_found_by_name() {
        let found =
            |line: &'static str| cookie(&headers(&[("cookie", line)]), COOKIE).map(str::to_owned);
        assert_eq!(found("a=b; slipway_session=x.y"), Some("x.y".to_owned()));
        assert_eq!(found("xslipway_session=1"), None);
        assert_eq!(found("slipway_session"), None);
    }
}
