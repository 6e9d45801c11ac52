//! Which other sites' pages may call, and what they may send and read.
//!
//! Credentials are never allowed across sites, so a cookie is worth nothing there; a page of
//! another site needs a token.

use actix_cors::Cors;
use actix_web::http::Method;

/// How long a browser may remember a preflight; each chunk would cost one otherwise.
const MAX_AGE_SECONDS: usize = 86_400;

const METHODS: [Method; 7] = [
    Method::POST,
    Method::HEAD,
    Method::PATCH,
    Method::OPTIONS,
    Method::GET,
    Method::DELETE,
    Method::PUT,
];

/// Headers that scripts may send.
const ALLOWED: &[&str] = &[
    "Accept",
    "Authorization",
    "Cache-Control",
    "Content-Digest",
    "Content-Disposition",
    "Content-Type",
    "Digest",
    "If-None-Match",
    "Last-Event-ID",
    "Origin",
    "Prefer",
    "Range",
    "Repr-Digest",
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Complete",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Draft-Interop-Version",
    "Upload-Incomplete",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "Want-Content-Digest",
    "Want-Repr-Digest",
    "X-Chunk-Sha256",
    "X-HTTP-Method-Override",
    "X-Request-ID",
    "X-Requested-With",
];

/// Headers that scripts may read.
const EXPOSED: &[&str] = &[
    "Accept-Patch",
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "Slipway-Video",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Complete",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Draft-Interop-Version",
    "Upload-Expires",
    "Upload-Incomplete",
    "Upload-Length",
    "Upload-Limit",
    "Upload-Metadata",
    "Upload-Offset",
    "X-Request-ID",
];

/// Returns the rules for pages of `origins`; `*` among them means all.
pub(super) fn rules(origins: &[String]) -> Cors {
    let rules = Cors::default()
        .allowed_methods(METHODS)
        .allowed_headers(ALLOWED.iter().copied())
        .expose_headers(EXPOSED.iter().copied())
        .max_age(MAX_AGE_SECONDS);
    if origins.iter().any(|origin| origin == "*") {
        return rules.allow_any_origin().send_wildcard();
    }
    origins.iter().fold(rules, |rules, origin| rules.allowed_origin(origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::{self, TestRequest};
    use actix_web::{App, HttpResponse, web};

    async fn ask(origins: &[&str], request: TestRequest) -> (u16, String, String) {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let app = App::new()
            .wrap(rules(&origins))
            .default_service(web::to(|| async { HttpResponse::NoContent().finish() }));
        let app = test::init_service(app).await;
        let answer = test::call_service(&app, request.to_request()).await;
        let header =
            |name: &str| answer.headers().get(name).map(|v| v.to_str().expect("ASCII").to_owned());
        let origin = header("access-control-allow-origin").unwrap_or_default();
        let allowed = header("access-control-allow-headers").unwrap_or_default();
        (answer.status().as_u16(), origin, allowed.to_lowercase())
    }

    fn preflight(origin: &'static str) -> TestRequest {
        TestRequest::with_uri("/files")
            .method(Method::OPTIONS)
            .insert_header(("origin", origin))
            .insert_header(("access-control-request-method", "PATCH"))
            .insert_header(("access-control-request-headers", "upload-offset,tus-resumable"))
    }

    /// A preflight lists what uploads need, and a listed origin is given back.
    #[actix_web::test]
    async fn preflights() {
        let (status, origin, allowed) = ask(&["*"], preflight("https://a.example")).await;
        assert_eq!((status, origin.as_str()), (200, "*"));
        for name in ["upload-offset", "upload-metadata", "x-http-method-override", "authorization"]
        {
            assert!(allowed.contains(name), "{allowed}");
        }
        let listed = ["https://a.example", "https://b.example"];
        let (_, origin, _) = ask(&listed, preflight("https://b.example")).await;
        assert_eq!(origin, "https://b.example");
        let (status, origin, _) = ask(&listed, preflight("https://evil.example")).await;
        assert_eq!((status, origin.as_str()), (400, ""));
    }

    /// OPTIONS that isn't a preflight reaches the protocol's own answer.
    #[actix_web::test]
    async fn plain_options_pass() {
        let plain = TestRequest::with_uri("/files").method(Method::OPTIONS);
        assert_eq!(ask(&["*"], plain).await.0, 204);
    }
}
