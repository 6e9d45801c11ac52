//! What other sites are told of videos.

use super::rig::Rig;
use crate::config::Config;
use crate::ids::VideoId;
use serde_json::Value;

/// How the world names the server.
const SITE: &str = "https://films.example";

fn outside(config: &mut Config) {
    config.public_url = Some(SITE.to_owned());
}

/// Gives a video words and a visibility.
async fn say(rig: &Rig, video: VideoId, change: &Value) {
    let line = format!("PATCH /api/videos/{video}");
    let kind = [("Content-Type", "application/json")];
    let answer = rig.as_token(&rig.ann, &line, &kind, change.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The watch page's tags tell what anybody may know, and nobody's words become markup.
#[tokio::test]
async fn watch_pages_have_cards() {
    let rig = Rig::start_with(outside).await;
    let video = rig.bring(b"hello").await;
    let evil = r#""><script>alert('x & y')</script>"#;
    let words = serde_json::json!({ "title": evil, "description": evil, "visibility": "public" });
    say(&rig, video, &words).await;
    let line = format!("GET /watch/{video}");
    let page = rig.ask(&line, &[], b"").await;
    let text = String::from_utf8(page.body.clone()).expect("text");
    let safe = "&quot;&gt;&lt;script&gt;alert(&#39;x &amp; y&#39;)&lt;/script&gt;";
    for tag in [
        format!("<title>{safe} · Slipway</title>"),
        format!(r#"<meta name="description" content="{safe}">"#),
        format!(r#"<meta property="og:title" content="{safe}">"#),
        format!(r#"<meta property="og:url" content="https://films.example/watch/{video}">"#),
        r#"<meta name="twitter:card" content="summary_large_image">"#.to_owned(),
        format!(
            "<link rel=\"alternate\" type=\"application/json+oembed\" \
             href=\"https://films.example/oembed?url=https%3A%2F%2Ffilms.example%2Fwatch%2F{video}\" \
             title=\"{safe}\">"
        ),
    ] {
        assert!(text.contains(&tag), "{tag}\n{text}");
    }
    assert_eq!(text.matches("<script").count(), 1, "the page's own: {text}");
    assert_eq!(text.matches("<title>").count(), 1, "{text}");
    assert!(!text.contains("og:video") && !text.contains("noindex"), "nothing plays: {text}");
    // Other words are another page.
    let known = [("If-None-Match", page.header("etag"))];
    assert_eq!(rig.ask(&line, &known, b"").await.status, 304);
    say(&rig, video, &serde_json::json!({ "title": "Sea", "visibility": "unlisted" })).await;
    let page = rig.ask(&line, &known, b"").await;
    assert_eq!(page.status, 200);
    let text = String::from_utf8(page.body).expect("text");
    assert!(text.contains(r#"<meta name="robots" content="noindex">"#), "{text}");
}

/// Of a private video, or one that is still coming, nothing is told; its owner's page isn't a card
/// either.
#[tokio::test]
async fn private_videos_tell_nothing() {
    let rig = Rig::start().await;
    let private = rig.bring(b"hello").await;
    let words = serde_json::json!({ "title": "A secret", "visibility": "private" });
    say(&rig, private, &words).await;
    let at = rig.create(5).await;
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let coming = head.header("slipway-video").to_owned();
    for id in [private.to_string(), coming] {
        let page = rig.as_token(&rig.ann, &format!("GET /watch/{id}"), &[], b"").await;
        let text = String::from_utf8(page.body).expect("text");
        assert_eq!(page.status, 200);
        assert!(text.contains("<title>Slipway</title>"), "{text}");
        assert!(!text.contains("og:") && !text.contains("oembed"), "{text}");
        assert!(!text.contains("secret") && !text.contains("Sea"), "{text}");
        // The same for its owner: the answer goes to other people.
        for asks in [None, Some(&rig.ann)] {
            let line = format!("GET /oembed?url=/watch/{id}");
            let answer = match asks {
                Some(token) => rig.as_token(token, &line, &[], b"").await,
                None => rig.ask(&line, &[], b"").await,
            };
            assert_eq!((answer.status, answer.code().as_str()), (404, "not-found"));
        }
    }
    let stranger = rig.ask(&format!("GET /watch/{private}"), &[], b"").await;
    assert_eq!(stranger.status, 302);
}

/// oEmbed answers with a frame that fits and whose words are harmless, for this server's pages
/// only.
#[tokio::test]
async fn oembed_frames_videos() {
    let rig = Rig::start_with(outside).await;
    let video = rig.bring(b"hello").await;
    let title = r#""><script>alert(1)</script>"#;
    say(&rig, video, &serde_json::json!({ "title": title })).await;
    let site = SITE;
    let ask = async |query: &str| rig.ask(&format!("GET /oembed?{query}"), &[], b"").await;
    let page = format!("url={site}/watch/{video}%3Ft=90");
    let answer = ask(&page).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let said = answer.json();
    assert_eq!((&said["type"], &said["version"]), (&"video".into(), &"1.0".into()));
    assert_eq!((&said["width"], &said["height"]), (&640.into(), &360.into()));
    assert_eq!(said["title"], title);
    let html = said["html"].as_str().expect("markup");
    assert!(html.starts_with(&format!("<iframe src=\"{site}/embed/{video}?t=90\" ")), "{html}");
    assert!(html.contains("title=\"&quot;&gt;&lt;script&gt;"), "{html}");
    assert!(!html.contains("<script"), "{html}");
    let small = ask(&format!("{page}&maxwidth=320&maxheight=90&format=json")).await.json();
    assert_eq!((&small["width"], &small["height"]), (&160.into(), &90.into()));
    for (query, status, code) in [
        (format!("{page}&format=xml"), 501, "not-implemented"),
        (format!("{page}&maxwidth=0"), 400, "invalid-request"),
        (format!("{page}&maxheight=wide"), 400, "invalid-request"),
        (String::new(), 400, "invalid-request"),
        (format!("url=https://evil.example/watch/{video}"), 404, "not-found"),
        (format!("url={site}/library"), 404, "not-found"),
        (format!("url={site}/watch/x"), 404, "not-found"),
    ] {
        let answer = ask(&query).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{query}");
    }
}
