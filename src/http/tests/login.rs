//! Sessions, other sites' pages, and mode `open`.

use super::rig::{Answer, Rig, open};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

fn session_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    cookie.split(';').next().expect("a pair").to_owned()
}

/// A link shows a page and uses nothing up; its button signs in, once.
#[tokio::test]
async fn a_login_code_works_once_and_only_by_post() {
    let rig = Rig::start().await;
    rig.parts.access.ensure_admin_token(&rig.parts.disk).await.expect("an admin token");
    let code = rig.parts.access.login_code().await.expect("a code");
    for _ in 0..2 {
        let page = rig.ask(&format!("GET /login?code={code}"), &[], b"").await;
        assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
        assert!(!page.has("set-cookie"));
    }
    let body = format!("code={code}&next=%2Flibrary%3Fq%3Da");
    let opened = rig.ask("POST /login", &[FORM, OWN], body.as_bytes()).await;
    assert_eq!((opened.status, opened.header("location")), (303, "/library?q=a"));
    let cookie = session_of(&opened);
    let session = rig.ask("GET /api/session", &[("Cookie", &cookie)], b"").await.json();
    assert_eq!((&session["role"], &session["mode"]), (&"admin".into(), &"token".into()));
    assert_eq!(session["limits"]["chunkSize"], 8 << 20);
    let again = rig.ask("POST /login", &[FORM, OWN], body.as_bytes()).await;
    assert_eq!(again.header("location"), "/login?next=/library%3Fq%3Da&error=expired");
    assert!(!again.has("set-cookie"));
    let wrong = rig.ask("POST /login", &[FORM], b"token=slw_x&next=//evil.example").await;
    assert_eq!(wrong.header("location"), "/login?next=/&error=invalid");
    let out = rig.ask("POST /logout", &[("Cookie", &cookie), OWN], b"").await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

/// A session can look from anywhere, and change things only from the server's own pages; it ends
/// with its token.
#[tokio::test]
async fn sessions_are_for_own_pages() {
    let rig = Rig::start().await;
    let body = format!("token={}", rig.ann);
    let cookie = session_of(&rig.ask("POST /login", &[FORM], body.as_bytes()).await);
    let cookie = ("Cookie", cookie.as_str());
    let create = [cookie, ("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
    let with = |more: (&'static str, &'static str)| [&create[..], &[more]].concat();
    assert_eq!(rig.ask("POST /files", &create, b"").await.status, 403);
    let evil = with(("Origin", "https://evil.example"));
    let refused = rig.ask("POST /files", &evil, b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "cross-site"));
    assert_eq!(
        rig.ask("POST /files", &with(("Origin", "http://localhost")), b"").await.status,
        201
    );
    assert_eq!(rig.ask("POST /files", &with(OWN), b"").await.status, 201);
    let listed = rig.ask("GET /api/uploads?state=partial", &[cookie], b"").await.json();
    assert_eq!(listed["items"].as_array().expect("a list").len(), 2);
    let foreign = [FORM, ("Origin", "https://evil.example")];
    assert_eq!(rig.ask("POST /login", &foreign, body.as_bytes()).await.status, 403);
    for token in rig.parts.access.tokens().expect("tokens") {
        rig.parts.access.revoke_token(token.id).await.expect("revoked");
    }
    assert_eq!(rig.ask("GET /api/uploads", &[cookie], b"").await.status, 401);
    let session = rig.ask("GET /api/session", &[cookie], b"").await.json();
    assert_eq!(session["role"], serde_json::Value::Null);
}

/// Somebody without a session is led to the login page and back; roles bound the pages.
#[tokio::test]
async fn pages_lead_to_the_login() {
    let rig = Rig::start().await;
    for (page, next) in [("/", "/"), ("/library?q=1", "/library%3Fq%3D1"), ("/admin", "/admin")] {
        let answer = rig.ask(&format!("GET {page}"), &[], b"").await;
        assert_eq!(answer.status, 302, "{page}");
        assert_eq!(answer.header("location"), format!("/login?next={next}"));
    }
    assert_eq!(rig.as_token(&rig.ann, "GET /admin", &[], b"").await.status, 403);
    let page = rig.as_token(&rig.admin, "GET /admin", &[], b"").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self'") && policy.ends_with("frame-ancestors 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    let known = [("If-None-Match", page.header("etag"))];
    assert_eq!(rig.as_token(&rig.admin, "GET /admin", &known, b"").await.status, 304);
    let script = rig.ask("GET /static/slipway.js", &[("Accept-Encoding", "gzip")], b"").await;
    assert_eq!((script.status, script.header("content-encoding")), (200, "gzip"));
    for missing in ["/static/admin.html", "/static/../Cargo.toml", "/static/x.js", "/nothing"] {
        assert_eq!(rig.ask(&format!("GET {missing}"), &[], b"").await.status, 404, "{missing}");
    }
}

/// Mode open takes everybody on this machine for the admin, and nobody else.
#[tokio::test]
async fn open_mode_answers_this_machine() {
    let rig = Rig::start_with(open).await;
    let session = rig.ask("GET /api/session", &[], b"").await.json();
    assert_eq!((&session["mode"], &session["role"]), (&"open".into(), &"admin".into()));
    assert_eq!(session["owner"], "local");
    let tus = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
    assert_eq!(rig.ask("POST /files", &tus, b"").await.status, 201);
    for name in ["Via", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"] {
        let answer = rig.ask("GET /healthz", &[(name, "x")], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "not-local"), "{name}");
    }
    assert_eq!(rig.ask("GET http://evil.example/healthz", &[], b"").await.status, 403);
}
