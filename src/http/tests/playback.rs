//! Playback tokens over real sockets: what they open, and everything that they don't.

use super::rig::{Answer, Rig};
use crate::access::{Scope, Signs, Wanted};
use crate::ids::VideoId;
use crate::model::extra::Extra;
use crate::model::manifest::Picture;
use crate::state::RingChange;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FILES: &[(&str, &[u8])] = &[
    ("master.m3u8", b"#EXTM3U\n360p-1/media.m3u8\n"),
    ("360p-1/media.m3u8", b"#EXTM3U\n"),
    ("360p-1/init.mp4", b"init"),
    ("poster.jpg", b"poster"),
];

/// Brings a private video of ann's of which something is published.
async fn private(rig: &Rig) -> VideoId {
    let video = rig.bring(b"hello").await;
    let (kind, change) = ([("Content-Type", "application/json")], br#"{"visibility":"private"}"#);
    let changed =
        rig.as_token(&rig.ann, &format!("PATCH /api/videos/{video}"), &kind, change).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    rig.publish(video, FILES).await;
    video
}

async fn ask_for(rig: &Rig, by: &str, video: VideoId, asked: &Value) -> Answer {
    let kind = [("Content-Type", "application/json")];
    let line = format!("POST /api/videos/{video}/playback-token");
    rig.as_token(by, &line, &kind, asked.to_string().as_bytes()).await
}

/// Makes a token of ann's.
async fn token(rig: &Rig, video: VideoId, asked: &Value) -> String {
    let made = ask_for(rig, &rig.ann, video, asked).await;
    assert_eq!(made.status, 200, "{made:?}");
    made.json()["token"].as_str().expect("a token").to_owned()
}

async fn fetch(rig: &Rig, token: &str, video: VideoId, headers: &[(&str, &str)]) -> Answer {
    rig.ask(&format!("GET /media/s/{token}/{video}/master.m3u8"), headers, b"").await
}

/// A token in the path opens a private video's files, and every file is kept no longer than it
/// counts, by caches that have to ask nobody.
#[tokio::test]
async fn a_token_plays_a_private_video() {
    let rig = Rig::start().await;
    let video = private(&rig).await;
    assert_eq!(rig.ask(&format!("GET /media/{video}/master.m3u8"), &[], b"").await.status, 404);
    let token = token(&rig, video, &json!({ "expiresIn": 600 })).await;
    let site = [("Origin", "https://app.example")];
    let master = fetch(&rig, &token, video, &site).await;
    assert_eq!((master.status, master.body.as_slice()), (200, FILES[0].1));
    assert_eq!(master.header("access-control-allow-origin"), "*");
    assert_eq!(master.header("cache-control"), "public, max-age=1");
    assert_eq!(master.header("referrer-policy"), "no-referrer");
    let init = rig.ask(&format!("GET /media/s/{token}/{video}/360p-1/init.mp4"), &[], b"").await;
    let kept = init.header("cache-control");
    let seconds =
        kept.strip_prefix("public, max-age=").and_then(|it| it.strip_suffix(", immutable"));
    let seconds: u64 = seconds.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{kept}"));
    assert!((500..=600).contains(&seconds), "{kept}");
    let range = [("Range", "bytes=1-2")];
    let part = rig.ask(&format!("GET /media/s/{token}/{video}/360p-1/init.mp4"), &range, b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, b"ni".as_slice()));
    let none = rig.ask(&format!("GET /media/s/{token}/{video}/360p-1/9.m4s"), &[], b"").await;
    assert_eq!((none.status, none.code().as_str()), (404, "not-found"));
}

/// Whatever is wrong with a token, and whether the video exists or not, the answer is the same.
#[tokio::test]
async fn a_token_opens_nothing_else() {
    let rig = Rig::start().await;
    let (video, other) = (private(&rig).await, private(&rig).await);
    let good = token(&rig, video, &json!({})).await;
    let unknown = VideoId::fresh(rig.parts.clock.now());
    let swapped = good.replace("slp_A", "slp_B");
    let record = rig.parts.state.video(video).expect("read").expect("there");
    let for_nothing = Wanted {
        scope: Scope::Video(video),
        for_ms: 0,
        early: false,
        network: None,
        hosts: Vec::new(),
    };
    let made = rig.parts.access.playback_token(for_nothing, &record).await;
    let expired = made.expect("a token").0;
    let mut said = Vec::new();
    for (token, video) in [
        (good.as_str(), other),
        (good.as_str(), unknown),
        (&swapped, video),
        (&expired, video),
        (&rig.ann, video),
        ("x", video),
    ] {
        let answer = fetch(&rig, token, video, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "bad-playback-token"));
        said.push(answer.body.clone());
        let line = format!("GET /api/videos/{video}");
        let answer = rig.as_token(token, &line, &[], b"").await;
        assert_eq!(
            answer.status,
            if token == rig.ann {
                200
            } else if token == "x" {
                401
            } else {
                403
            }
        );
    }
    said.dedup();
    assert_eq!(said.len(), 1, "they differ");
    assert_eq!(fetch(&rig, &good, video, &[]).await.status, 200);

    // It looks, and does nothing else.
    let change = br#"{"title":"mine"}"#;
    let kind = [("Content-Type", "application/json")];
    for line in [
        format!("PATCH /api/videos/{video}"),
        format!("DELETE /api/videos/{video}"),
        format!("GET /api/videos/{video}/original"),
        format!("GET /api/videos/{video}/captions/en"),
        format!("POST /api/videos/{video}/playback-token"),
        "GET /api/videos".to_owned(),
        "GET /api/admin/status".to_owned(),
        "POST /files".to_owned(),
    ] {
        let answer = rig.as_token(&good, &line, &kind, change).await;
        assert_eq!(answer.status, 401, "{line}: {answer:?}");
    }
    rig.as_token(&rig.ann, &format!("DELETE /api/videos/{video}?permanent=true"), &[], b"").await;
    assert_eq!(fetch(&rig, &good, video, &[]).await.status, 403);
}

/// Tokens are taken back by video and by key; those made afterwards count.
#[tokio::test]
async fn tokens_are_taken_back() {
    let rig = Rig::start().await;
    let (video, other) = (private(&rig).await, private(&rig).await);
    let (first, second) =
        (token(&rig, video, &json!({})).await, token(&rig, other, &json!({})).await);
    let line = format!("POST /api/videos/{video}/playback-tokens/revoke");
    assert_eq!(rig.as_token(&rig.bob, &line, &[], b"").await.status, 404);
    assert_eq!(rig.ask(&line, &[], b"").await.status, 401);
    let revoked = rig.as_token(&rig.ann, &line, &[], b"").await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert_eq!(fetch(&rig, &first, video, &[]).await.status, 403);
    assert_eq!(fetch(&rig, &second, other, &[]).await.status, 200);
    let third = token(&rig, video, &json!({})).await;
    assert_eq!(fetch(&rig, &third, video, &[]).await.status, 200);
    let access = &rig.parts.access;
    access.change_keys(Signs::Playback, RingChange::Add).await.expect("rotated");
    assert_eq!(fetch(&rig, &third, video, &[]).await.status, 200);
    access.change_keys(Signs::Playback, RingChange::Prune).await.expect("dropped");
    assert_eq!(fetch(&rig, &third, video, &[]).await.status, 403);
    assert_eq!(fetch(&rig, &token(&rig, video, &json!({})).await, video, &[]).await.status, 200);
}

/// A token for an address or for some pages is good from there alone, and no shared cache keeps
/// what it opens.
#[tokio::test]
async fn bound_tokens_are_good_in_their_place() {
    let rig = Rig::start().await;
    let video = private(&rig).await;
    let here = token(&rig, video, &json!({ "ip": "127.0.0.0/8" })).await;
    let answer = fetch(&rig, &here, video, &[]).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "private, max-age=1"));
    let elsewhere = token(&rig, video, &json!({ "ip": "203.0.113.7" })).await;
    let forged = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")];
    assert_eq!(fetch(&rig, &elsewhere, video, &[]).await.status, 403);
    assert_eq!(fetch(&rig, &elsewhere, video, &forged).await.status, 403);
    let paged = token(&rig, video, &json!({ "referrers": ["App.example"] })).await;
    for (headers, status) in [
        (vec![("Origin", "https://app.example")], 200),
        (vec![("Referer", "https://app.example/a")], 200),
        (vec![("Referer", "http://localhost/embed/x")], 200),
        (vec![], 200),
        (vec![("Origin", "https://evil.example")], 403),
        (vec![("Referer", "https://evil.example/?app.example")], 403),
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
    ] {
        let answer = fetch(&rig, &paged, video, &headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.header("cache-control").starts_with("private"), status == 200);
    }
    for (asked, field) in [
        (json!({ "ip": "somewhere" }), "ip"),
        (json!({ "ip": "10.0.0.0/33" }), "ip"),
        (json!({ "referrers": ["https://app.example"] }), "referrers"),
        (json!({ "referrers": vec!["a.example"; 9] }), "referrers"),
        (json!({ "expiresIn": 0 }), "expiresIn"),
        (json!({ "expiresIn": 1e9 }), "expiresIn"),
        (json!({ "expiresIn": -5 }), "expiresIn"),
    ] {
        let answer = ask_for(&rig, &rig.ann, video, &asked).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{asked}");
    }
}

/// Only admins make tokens for more than one video, and these show what has arrived.
#[tokio::test]
async fn wide_tokens_are_for_admins() {
    let rig = Rig::start().await;
    let (video, other) = (private(&rig).await, private(&rig).await);
    for scope in ["owner", "organisation"] {
        let answer = ask_for(&rig, &rig.ann, video, &json!({ "scope": scope })).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{scope}");
    }
    let none = ask_for(&rig, &rig.admin, video, &json!({ "scope": "organisation" })).await;
    assert_eq!(none.status, 400, "{none:?}");
    let made = ask_for(&rig, &rig.admin, video, &json!({ "scope": "owner" })).await.json();
    let wide = made["token"].as_str().expect("a token");
    assert_eq!(fetch(&rig, wide, video, &[]).await.status, 200);
    assert_eq!(fetch(&rig, wide, other, &[]).await.status, 200);
    let unknown = VideoId::fresh(rig.parts.clock.now());
    assert_eq!(fetch(&rig, wide, unknown, &[]).await.status, 403);

    // While an upload runs its video is its owner's; who has it made by the owner, sees it.
    let at = rig.create(5).await;
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let running = VideoId::parse(head.header("slipway-video")).expect("an id");
    let line = format!("GET /api/videos/{running}");
    let by_admin = ask_for(&rig, &rig.admin, running, &json!({})).await.json();
    let by_admin = by_admin["token"].as_str().expect("a token").to_owned();
    for late in [wide, &by_admin] {
        assert_eq!(rig.as_token(late, &line, &[], b"").await.status, 403);
    }
    let early = token(&rig, running, &json!({})).await;
    let seen = rig.as_token(&early, &line, &[], b"").await;
    assert_eq!((seen.status, &seen.json()["state"]), (200, &json!("uploading")));
    assert!(seen.json().get("owner").is_none(), "only the public part");
    rig.append(&at, 0, b"hello").await;
    assert_eq!(rig.as_token(&by_admin, &line, &[], b"").await.status, 200);
}

/// With a token as credential, what looks at the video answers, with addresses that it opens; so
/// do live events.
#[tokio::test]
async fn the_description_leads_on_with_the_token() {
    let rig = Rig::start().await;
    let video = private(&rig).await;
    let token = token(&rig, video, &json!({})).await;
    let at = |file: &str| json!(format!("/media/s/{token}/{video}/{file}"));
    let shown = rig.as_token(&token, &format!("GET /api/videos/{video}"), &[], b"").await;
    assert_eq!(shown.header("cache-control"), "no-store");
    assert_eq!(shown.json()["title"], "Sea");
    let made = ask_for(&rig, &rig.ann, video, &json!({})).await.json();
    assert_eq!((&made["hlsUrl"], &made["posterUrl"]), (&Value::Null, &Value::Null));
    let with = made["token"].as_str().expect("a token");
    assert_eq!(made["watchUrl"], json!(format!("/watch/{video}?token={with}")));
    assert_eq!(made["embedUrl"], json!(format!("/embed/{video}?token={with}")));

    let line = format!("/api/events?videoIds={video}");
    let mut stream = rig.connect().await;
    let head =
        format!("GET {line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut heard = String::new();
    let mut piece = [0u8; 4096];
    while !heard.contains("event: snapshot") {
        let count = stream.read(&mut piece).await.expect("read");
        assert!(count > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(heard.contains("event: video.state") && heard.contains("\"title\":\"Sea\""), "{heard}");
    assert!(!heard.contains("holiday.mp4"), "{heard}");
    let patch = (format!("PATCH /api/videos/{video}"), br#"{"title":"Lake"}"#);
    let kind = [("Content-Type", "application/json")];
    rig.as_token(&rig.ann, &patch.0, &kind, patch.1).await;
    while !heard.contains("\"title\":\"Lake\"") {
        let count = stream.read(&mut piece).await.expect("read");
        assert!(count > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let unnamed = rig.as_token(&token, "GET /api/events", &[], b"").await;
    assert_eq!(unnamed.status, 401);

    // What can be fetched is named with the token, and found there.
    let claim = rig.parts.queue.claim().await.expect("asked").expect("it waits");
    let (job, now) = (claim.job, rig.parts.clock.now());
    let poster = Extra::Poster { picture: Picture { width: 640, height: 360 } };
    rig.parts.state.commit_extra(job.id, job.epoch, poster, now).await.expect("recorded");
    rig.parts.state.commit_playable(job.id, job.epoch, now).await.expect("recorded");
    let shown = rig.as_token(&token, &format!("GET /api/videos/{video}"), &[], b"").await.json();
    assert_eq!(shown["playback"]["hls"], at("master.m3u8"));
    assert_eq!(fetch(&rig, &token, video, &[]).await.status, 200);
    let preview = rig.as_token(&token, &format!("GET /api/videos/{video}/preview"), &[], b"").await;
    assert_eq!(preview.json()["poster"], at("poster.jpg"));
    let stills =
        rig.as_token(&token, &format!("GET /api/videos/{video}/thumbnails"), &[], b"").await;
    assert_eq!(stills.json()["items"][0]["url"], at("poster.jpg"));
    let url = preview.json()["poster"].as_str().expect("an address").to_owned();
    assert_eq!(rig.ask(&format!("GET {url}"), &[], b"").await.body, b"poster");
}

/// Pages with a token show the player to whoever has it, tell nobody else of it, and may be framed
/// by the token's pages alone.
#[tokio::test]
async fn pages_take_tokens() {
    let rig = Rig::start().await;
    let video = private(&rig).await;
    let token = token(&rig, video, &json!({})).await;
    for page in ["watch", "embed"] {
        let shown = rig.ask(&format!("GET /{page}/{video}?token={token}"), &[], b"").await;
        assert_eq!((shown.status, shown.header("referrer-policy")), (200, "no-referrer"));
        assert_eq!(shown.header("cache-control"), "private, no-cache");
        assert_eq!(shown.header("x-robots-tag"), "noindex");
        let text = String::from_utf8_lossy(&shown.body).into_owned();
        assert!(!text.contains("og:") && !text.contains("Sea"), "no card");
        let line = format!("GET /{page}/{video}?token={token}A");
        let bad = rig.ask(&line, &[], b"").await;
        assert_eq!((bad.status, bad.body == shown.body), (403, true));
        let other = VideoId::fresh(rig.parts.clock.now());
        let line = format!("GET /{page}/{other}?token={token}");
        assert_eq!(rig.ask(&line, &[], b"").await.status, 403);
    }
    let asked = json!({ "referrers": ["app.example", "*.app.example:8443"] });
    let paged = self::token(&rig, video, &asked).await;
    let line = format!("GET /embed/{video}?token={paged}");
    let framed = rig.ask(&line, &[("Referer", "https://app.example/")], b"").await;
    let policy = framed.header("content-security-policy");
    assert!(
        policy.ends_with("frame-ancestors 'self' app.example:* *.app.example:8443"),
        "{policy}"
    );
    assert_eq!(framed.status, 200);
    let url = format!("/watch/{video}?token={token}");
    let oembed = rig.ask(&format!("GET /oembed?url={url}"), &[], b"").await;
    assert_eq!(oembed.status, 404);
}
