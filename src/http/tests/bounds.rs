//! What an answer lets a browser do that shows it: the headers of everything that is served.

use super::document::registered;
use super::rig::{Answer, Rig};

/// What is served, as browsers are to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A page of the server's own, which nobody frames.
    Page,
    /// The player for other sites' pages.
    Framed,
    /// A file of the pages, which other sites' pages load too.
    File,
    /// What users have sent, or what was made of it, for players on any page.
    Media,
    /// What users have sent, for whoever is signed in.
    Sent,
    /// Anything else: data, problems, redirects.
    Data,
}

/// Code and styles of the server's own, and nothing else: no word of a page becomes code.
fn is_page_policy(policy: &str) -> bool {
    let lines: Vec<&str> = policy.split(';').map(str::trim).collect();
    let has = |line: &str| lines.contains(&line);
    has("default-src 'self'")
        && has("script-src 'self'")
        && has("style-src 'self'")
        && has("object-src 'none'")
        && has("base-uri 'none'")
        && has("form-action 'self'")
        && !policy.contains("unsafe")
}

fn check(what: &str, kind: Kind, answer: &Answer) {
    let header = |name: &str| answer.header(name).to_owned();
    let count =
        |name: &str| answer.headers.iter().filter(|it| it.0.eq_ignore_ascii_case(name)).count();
    for name in [
        "x-content-type-options",
        "content-security-policy",
        "cross-origin-resource-policy",
        "referrer-policy",
    ] {
        assert_eq!(count(name), 1, "{what}: {name} in {:?}", answer.headers);
    }
    assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
    let referrer = header("referrer-policy");
    assert!(["same-origin", "no-referrer"].contains(&referrer.as_str()), "{what}: {referrer}");
    let policy = header("content-security-policy");
    let is_closed = policy == "default-src 'none'; frame-ancestors 'none'; sandbox";
    let media_type = header("content-type");
    let is_html = media_type.starts_with("text/html");
    let shared = header("cross-origin-resource-policy");
    let framed = policy.split(';').map(str::trim).find(|it| it.starts_with("frame-ancestors"));
    match kind {
        Kind::Page => {
            assert!(is_page_policy(&policy) && is_html, "{what}: {policy} {media_type}");
            assert_eq!(framed, Some("frame-ancestors 'none'"), "{what}");
            assert_eq!(header("x-frame-options"), "DENY", "{what}");
            assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{what}");
            assert_eq!(shared, "same-origin", "{what}");
        }
        Kind::Framed => {
            assert!(is_page_policy(&policy) && is_html, "{what}: {policy}");
            assert!(framed.is_some_and(|it| it != "frame-ancestors 'none'"), "{what}: {policy}");
            assert!(!answer.has("x-frame-options"), "{what}");
            assert_eq!(shared, "cross-origin", "{what}");
        }
        Kind::File => {
            assert!(is_page_policy(&policy) && !is_html, "{what}: {policy} {media_type}");
            assert_eq!(shared, "cross-origin", "{what}");
        }
        Kind::Media | Kind::Sent | Kind::Data => {
            assert!(is_closed, "{what}: {policy}");
            let runs = ["html", "javascript", "svg", "xml", "ecmascript"];
            let is_dash = media_type == "application/dash+xml";
            let harmless = is_dash || !runs.iter().any(|word| media_type.contains(word));
            assert!(harmless, "{what}: {media_type}");
            let expected = if kind == Kind::Media { "cross-origin" } else { "same-origin" };
            assert_eq!(shared, expected, "{what}");
            assert!(!answer.has("cross-origin-opener-policy"), "{what}: nothing would be shown");
        }
    }
}

/// Films with names and words that a browser would take for something else, and what is made of
/// them; one that is for everybody, and one that isn't.
async fn film(rig: &Rig) -> String {
    let video = rig.bring(b"a word, and <script>alert(1)</script>").await;
    let files: [(&str, &[u8]); 6] = [
        ("master.m3u8", b"#EXTM3U\n"),
        ("manifest.mpd", b"<MPD/>"),
        ("poster.jpg", b"<svg onload=alert(1)>"),
        ("storyboard.vtt", b"WEBVTT\n"),
        ("360p-1/init.mp4", b"<html>"),
        ("360p-1/1.m4s", b"<html>"),
    ];
    rig.publish(video, &files).await;
    let words = br#"{"title": "<script>alert(1)</script>", "visibility": "public"}"#;
    let json = [("Content-Type", "application/json")];
    let target = format!("PATCH /api/videos/{video}");
    assert_eq!(rig.as_token(&rig.ann, &target, &json, words).await.status, 200);
    let text = b"WEBVTT\n\n00:00.000 --> 00:01.000\n<script>alert(1)</script>\n";
    let kind = [("Content-Type", "text/vtt")];
    let target = format!("PUT /api/videos/{video}/captions/en");
    let put = rig.as_token(&rig.ann, &target, &kind, text).await;
    assert_eq!(put.status, 200, "{put:?}");
    video.to_string()
}

/// Each kind of thing that is served says of itself what a browser may do with it: pages run the
/// server's own code and nothing else, the player alone may be framed, and what users have sent is
/// neither a page nor code, whatever it holds.
#[tokio::test]
async fn answers_bound_what_browsers_do() {
    let rig = Rig::start().await;
    let video = film(&rig).await;
    let v = |address: &str| address.replace("ID", &video);
    let cases = [
        ("/", 200, Kind::Page),
        ("/library", 200, Kind::Page),
        ("/admin", 200, Kind::Page),
        ("/docs", 200, Kind::Page),
        ("/login", 200, Kind::Page),
        ("/upload", 200, Kind::Page),
        (&v("/watch/ID"), 200, Kind::Page),
        ("/watch/0190f3f0-0000-7000-8000-000000000000", 404, Kind::Page),
        (&v("/watch/ID?token=slp_bad"), 403, Kind::Page),
        (&v("/embed/ID"), 200, Kind::Framed),
        ("/embed/0190f3f0-0000-7000-8000-000000000000", 404, Kind::Framed),
        ("/static/slipway.js", 200, Kind::File),
        (&v("/media/ID/master.m3u8"), 200, Kind::Media),
        (&v("/media/ID/manifest.mpd"), 200, Kind::Media),
        (&v("/media/ID/poster.jpg"), 200, Kind::Media),
        (&v("/media/ID/storyboard.vtt"), 200, Kind::Media),
        (&v("/media/ID/360p-1/init.mp4"), 200, Kind::Media),
        (&v("/media/ID/360p-1/1.m4s"), 200, Kind::Media),
        // Other sites' players hear that it isn't there, not of a policy.
        (&v("/media/ID/nothing.html"), 404, Kind::Media),
        (&v("/api/videos/ID/original"), 200, Kind::Sent),
        (&v("/api/videos/ID/captions/en"), 200, Kind::Sent),
        (&v("/api/videos/ID"), 200, Kind::Data),
        ("/api/videos", 200, Kind::Data),
        ("/api/session", 200, Kind::Data),
        ("/api/admin/status", 200, Kind::Data),
        ("/openapi.json", 200, Kind::Data),
        (&v("/oembed?url=/watch/ID"), 200, Kind::Data),
        ("/metrics", 200, Kind::Data),
        ("/healthz", 200, Kind::Data),
        ("/nothing", 404, Kind::Data),
        ("/static/nothing.js", 404, Kind::Media),
    ];
    for (address, status, kind) in cases {
        let answer = rig.as_token(&rig.admin, &format!("GET {address}"), &[], b"").await;
        assert_eq!(answer.status, status, "{address}: {answer:?}");
        check(address, kind, &answer);
        assert!(!answer.has("strict-transport-security"), "without TLS it isn't said");
    }
    // The address holds what opens the door.
    let login = rig.ask("GET /login?code=abc", &[], b"").await;
    check("/login", Kind::Page, &login);
    assert_eq!(login.header("referrer-policy"), "no-referrer");
    for (target, status) in [("GET /library", 302), ("POST /login", 403), ("GET /api/videos", 401)]
    {
        let other = ("Sec-Fetch-Site", "cross-site");
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let answer = rig.ask(target, &[other, form], b"token=x").await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        check(target, Kind::Data, &answer);
    }
}

/// Whatever an address answers to somebody who isn't known: no answer goes without its bounds, and
/// a new address is in here by itself.
#[tokio::test]
async fn no_address_answers_without_bounds() {
    let rig = Rig::start().await;
    for (method, address) in registered() {
        let mut target = String::new();
        for (at, piece) in address.split('{').enumerate() {
            let (_, rest) = piece.split_once('}').unwrap_or(("", piece));
            let filled = if at == 0 { piece.to_owned() } else { format!("x{rest}") };
            target.push_str(&filled);
        }
        let answer = rig.ask(&format!("{} {target}", method.to_uppercase()), &[], b"").await;
        let is_html = answer.header("content-type").starts_with("text/html");
        let kind = match (is_html, target.starts_with("/embed/")) {
            (true, true) => Kind::Framed,
            (true, false) => Kind::Page,
            _ if ["/media/", "/static/"].iter().any(|it| target.starts_with(it)) => Kind::Media,
            (false, _) => Kind::Data,
        };
        check(&format!("{method} {target}"), kind, &answer);
    }
}
