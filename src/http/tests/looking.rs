//! Videos, their media, live events and the operator's view.

use super::rig::Rig;
use crate::model::estimate::Load;
use crate::model::video::SourceFacts;
use crate::units::ByteCount;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A video is its owner's alone until its upload has finished; then its visibility rules.
#[tokio::test]
async fn who_sees_what() {
    let rig = Rig::start().await;
    let at = rig.create(5).await;
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let line = format!("GET /api/videos/{}", head.header("slipway-video"));
    let whole = rig.as_token(&rig.ann, &line, &[], b"").await.json();
    assert_eq!((&whole["state"], &whole["title"]), (&"uploading".into(), &"Sea".into()));
    assert_eq!(whole["playback"]["hls"], Value::Null);
    assert_eq!(rig.ask(&line, &[], b"").await.status, 404);
    assert_eq!(rig.as_token(&rig.bob, &line, &[], b"").await.status, 404);
    rig.append(&at, 0, b"hello").await;
    let part = rig.ask(&line, &[], b"").await.json();
    assert_eq!(part["title"], "Sea");
    assert!(part.get("owner").is_none() && part.get("filename").is_none(), "{part}");
    let own = rig.as_token(&rig.ann, &line, &[], b"").await.json();
    assert_eq!((&own["owner"], &own["state"]), (&"ann".into(), &"queued".into()));
    assert_eq!(own["processing"]["queuePosition"], 1);
    let patch = line.replace("GET", "PATCH");
    let kind = [("Content-Type", "application/json")];
    let change = br#"{"visibility":"private","title":"Lake"}"#;
    assert_eq!(rig.as_token(&rig.bob, &patch, &kind, change).await.status, 404);
    let changed = rig.as_token(&rig.ann, &patch, &kind, change).await;
    assert_eq!((changed.status, &changed.json()["title"]), (200, &"Lake".into()));
    assert_eq!(rig.ask(&line, &[], b"").await.status, 404);
    for (bad, status) in [("{\"title\":\"\"}", 400), ("{\"titel\":\"x\"}", 400), ("x", 400)] {
        let answer = rig.as_token(&rig.ann, &patch, &kind, bad.as_bytes()).await;
        assert_eq!(answer.status, status, "{bad}");
    }
    assert_eq!(rig.as_token(&rig.ann, &patch, &[], change).await.status, 415);
    assert_eq!(rig.as_token(&rig.admin, &line, &[], b"").await.status, 200);
}

/// Lists hold what somebody finds, page by page; batches and states of work answer by id.
#[tokio::test]
async fn lists_and_states() {
    let rig = Rig::start().await;
    let (one, two) = (rig.bring(b"one").await, rig.bring(b"two").await);
    let page = rig.as_token(&rig.ann, "GET /api/videos?limit=1", &[], b"").await.json();
    assert_eq!(page["items"][0]["id"], two.to_string());
    let next =
        format!("GET /api/videos?limit=1&cursor={}", page["nextCursor"].as_str().expect("more"));
    let page = rig.as_token(&rig.ann, &next, &[], b"").await.json();
    assert_eq!(
        (&page["items"][0]["id"], &page["nextCursor"]),
        (&one.to_string().into(), &Value::Null)
    );
    let others = rig.as_token(&rig.bob, "GET /api/videos", &[], b"").await.json();
    assert_eq!(others["items"], json!([]));
    assert_eq!(rig.ask("GET /api/videos", &[], b"").await.status, 401);
    for bad in ["sort=x", "cursor=x", "state=x"] {
        let answer = rig.as_token(&rig.ann, &format!("GET /api/videos?{bad}"), &[], b"").await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    let batch = format!("GET /api/videos/status?videoIds={one},{two}");
    let items = rig.as_token(&rig.ann, &batch, &[], b"").await.json();
    assert_eq!(items["items"].as_array().expect("a list").len(), 2);
    assert_eq!(items["items"][0]["state"], "queued");
    let none = rig.as_token(&rig.bob, &batch, &[], b"").await.json();
    assert_eq!(none["items"], json!([]));
    let status = format!("GET /api/videos/{one}/processing-status");
    let status = rig.as_token(&rig.ann, &status, &[], b"").await.json();
    assert_eq!(
        status["stages"][0],
        json!({
            "name": "probe", "state": "pending", "progress": 0.0, "attempt": 0,
            "startedAt": null, "finishedAt": null, "error": null,
        })
    );
    let work = async |what: &str| {
        let line = format!("POST /api/videos/{one}/{what}-processing");
        rig.as_token(&rig.ann, &line, &[], b"").await
    };
    assert_eq!(work("retry").await.status, 409, "it waits already");
    let cancelled = work("cancel").await.json();
    assert_eq!(cancelled["error"]["code"], "cancelled");
    assert_eq!(work("retry").await.json()["state"], "queued");
    let delete = format!("DELETE /api/videos/{one}");
    assert_eq!(rig.as_token(&rig.ann, &delete, &[], b"").await.status, 204);
    assert_eq!(rig.as_token(&rig.ann, &delete, &[], b"").await.status, 404);
}

/// Media files have their types, validators, ranges and lifetimes; playlists may be compressed,
/// parts of a file never are.
#[tokio::test]
async fn media_files_are_served_rightly() {
    let rig = Rig::start().await;
    let video = rig.bring(b"bytes").await;
    let playlist = "#EXTM3U\n".repeat(400);
    let files: [(&str, &[u8]); 3] = [
        ("master.m3u8", playlist.as_bytes()),
        ("360p-1/1.m4s", b"0123456789"),
        ("poster.jpg", b"jpg"),
    ];
    rig.publish(video, &files).await;
    let at = |file: &str| format!("GET /media/{video}/{file}");
    let segment = rig.ask(&at("360p-1/1.m4s"), &[("Origin", "https://a.example")], b"").await;
    assert_eq!((segment.status, segment.header("content-type")), (200, "video/iso.segment"));
    assert_eq!(segment.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(segment.header("access-control-allow-origin"), "*");
    assert!(segment.header("access-control-expose-headers").to_lowercase().contains("etag"));
    assert_eq!(segment.header("accept-ranges"), "bytes");
    let part = [("Range", "bytes=2-4"), ("Accept-Encoding", "gzip")];
    let part = rig.ask(&at("360p-1/1.m4s"), &part, b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert!(!part.has("content-encoding"));
    let outside = rig.ask(&at("360p-1/1.m4s"), &[("Range", "bytes=10-")], b"").await;
    assert_eq!((outside.status, outside.header("content-range")), (416, "bytes */10"));
    assert_eq!(outside.code(), "range-not-satisfiable");
    let known = [("If-None-Match", segment.header("etag"))];
    assert_eq!(rig.ask(&at("360p-1/1.m4s"), &known, b"").await.status, 304);
    let list = rig.ask(&at("master.m3u8"), &[("Accept-Encoding", "gzip")], b"").await;
    assert_eq!(list.header("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(list.header("content-encoding"), "gzip");
    assert_eq!(list.header("cache-control"), "public, max-age=1");
    assert!(list.body.len() < playlist.len() / 4);
    let part = [("Range", "bytes=0-6"), ("Accept-Encoding", "gzip")];
    let part = rig.ask(&at("master.m3u8"), &part, b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"#EXTM3U"[..]));
    let known = [("If-None-Match", list.header("etag"))];
    assert_eq!(rig.ask(&at("master.m3u8"), &known, b"").await.status, 304);
    for missing in ["manifest.mpd", "manifest.json", "..%2fsource", "360p-1/../x", "x"] {
        assert_eq!(rig.ask(&at(missing), &[], b"").await.status, 404, "{missing}");
    }
    let kind = [("Content-Type", "application/json")];
    let line = format!("PATCH /api/videos/{video}");
    rig.as_token(&rig.ann, &line, &kind, br#"{"visibility":"private"}"#).await;
    assert_eq!(rig.ask(&at("poster.jpg"), &[], b"").await.status, 404);
    let own = rig.as_token(&rig.ann, &at("poster.jpg"), &[], b"").await;
    assert_eq!((own.status, own.header("cache-control")), (200, "private, max-age=60"));
}

/// What a worker still puts there of a film that was withdrawn isn't served: such a film is being
/// uploaded and can't be played.
#[tokio::test]
async fn withdrawn_films_arent_served() {
    let rig = Rig::start().await;
    let at = rig.create(5).await;
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let video = crate::ids::VideoId::parse(head.header("slipway-video")).expect("an id");
    let files: [(&str, &[u8]); 3] =
        [("master.m3u8", b"#EXTM3U"), ("360p-1/1.m4s", b"0123456789"), ("poster.jpg", b"jpg")];
    rig.publish(video, &files).await;
    for (file, status) in [("master.m3u8", 404), ("360p-1/1.m4s", 404), ("poster.jpg", 200)] {
        let line = format!("GET /media/{video}/{file}");
        assert_eq!(rig.as_token(&rig.ann, &line, &[], b"").await.status, status, "{file}");
    }
}

/// An original can be fetched by its owner, in parts, under its own name.
#[tokio::test]
async fn originals_are_their_owners() {
    let rig = Rig::start().await;
    let video = rig.bring(b"0123456789").await;
    let line = format!("GET /api/videos/{video}/original");
    let whole = rig.as_token(&rig.ann, &line, &[], b"").await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"holiday.mp4\"");
    assert_eq!(whole.header("content-type"), "video/mp4");
    let part = rig.as_token(&rig.ann, &line, &[("Range", "bytes=-3")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"789"[..]));
    assert_eq!(rig.as_token(&rig.bob, &line, &[], b"").await.status, 404);
    assert_eq!(rig.ask(&line, &[], b"").await.status, 401);
}

/// Reads a stream of events until `enough` says so.
async fn listen(rig: &Rig, line: &str, token: &str, headers: &str, last: &str) -> String {
    let mut stream = begin_to_listen(rig, line, token, headers).await;
    hear(&mut stream, |text| text.contains(last) && text.ends_with("\n\n\r\n")).await
}

async fn begin_to_listen(rig: &Rig, line: &str, token: &str, headers: &str) -> TcpStream {
    let mut stream = rig.connect().await;
    let head = format!(
        "GET {line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

/// Reads until `enough` says so, or to the end.
async fn hear(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0u8; 4096];
    loop {
        let count = stream.read(&mut piece).await.expect("read");
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if count == 0 || enough(&text) {
            return text.into_owned();
        }
    }
}

/// A listener gets the present state, then what happens; one that comes back gets what it missed;
/// nobody hears of what isn't theirs.
#[tokio::test]
async fn events_are_told_to_those_who_may_know() {
    let mut rig = Rig::start().await;
    let at = rig.create(5).await;
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let video = head.header("slipway-video").to_owned();
    let all = "/api/events";
    let text = listen(&rig, all, &rig.ann, "", "\"uploading\"").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("event: video.state\ndata: {") && text.contains(&video), "{text}");
    let line = format!("/api/events?videoIds={video}");
    let (text, _) = tokio::join!(listen(&rig, &line, &rig.ann, "", "\"queued\""), async {
        rig.append(&at, 0, b"hello").await
    });
    let queued = text.rfind("\"queued\"").expect("told");
    let id = text[..queued].rfind("id: ").expect("an id") + 4;
    let id: u64 = text[id..].lines().next().and_then(|id| id.parse().ok()).unwrap_or(1);
    let missed = format!("Last-Event-ID: {}\r\n", id.saturating_sub(1));
    let text = listen(&rig, &line, &rig.ann, &missed, "\"queued\"").await;
    assert!(text.contains("\"queued\""), "{text}");
    let other = rig.ask("GET /api/events", &[], b"").await;
    assert_eq!(other.status, 401);
    rig.served.stop().await;
}

/// Streams end when the server stops, and bob hears nothing of ann's.
#[tokio::test]
async fn streams_end_with_the_server() {
    let mut rig = Rig::start().await;
    let video = rig.bring(b"hello").await;
    let mut bob = begin_to_listen(&rig, "/api/events", &rig.bob, "").await;
    let begun = hear(&mut bob, |text| text.contains("\r\n\r\n")).await;
    assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
    let (heard, ()) = tokio::join!(hear(&mut bob, |_| false), async {
        rig.parts.queue.cancel(video).await.expect("cancelled");
        rig.served.stop().await;
    });
    let heard = begun + &heard;
    assert!(heard.contains("event: snapshot\n") && !heard.contains("event: video"), "{heard}");
}

/// The operator sees the whole; nobody else does.
#[tokio::test]
async fn the_operators_view() {
    let rig = Rig::start().await;
    let video = rig.bring(b"hello").await;
    rig.create(7).await;
    let status = rig.as_token(&rig.admin, "GET /api/admin/status", &[], b"").await.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["queue"]["queued"], &status["uploads"]["open"]), (&json!(1), &json!(1)));
    assert_eq!(status["jobs"][0]["videoId"], video.to_string());
    assert!(status["disk"]["totalBytes"].as_u64() > Some(0));
    let paths = ["admin/status", "videos/processing/queue-status", "videos/processing/jobs"];
    for path in paths {
        let line = format!("GET /api/{path}");
        assert_eq!(rig.as_token(&rig.admin, &line, &[], b"").await.status, 200, "{path}");
        assert_eq!(rig.as_token(&rig.ann, &line, &[], b"").await.status, 403, "{path}");
        assert_eq!(rig.ask(&line, &[], b"").await.status, 401, "{path}");
    }
}

/// The operator pauses the queue and moves videos in it; nobody else does.
#[tokio::test]
async fn the_operator_moves_the_queue() {
    let rig = Rig::start().await;
    let videos = [rig.bring(b"one").await, rig.bring(b"two").await];
    let kind = [("Content-Type", "application/json")];
    let position = async |at: usize| {
        let line = format!("GET /api/videos/{}/processing-status", videos[at]);
        rig.as_token(&rig.ann, &line, &[], b"").await.json()["queuePosition"].clone()
    };
    let (first, second) = if position(0).await == json!(1) { (0, 1) } else { (1, 0) };
    let line = format!("PUT /api/videos/{}/priority", videos[second]);
    for bad in ["{\"priority\":101}", "{\"priority\":1.5}", "{}"] {
        let answer = rig.as_token(&rig.admin, &line, &kind, bad.as_bytes()).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    let body = br#"{"priority":7}"#;
    assert_eq!(rig.as_token(&rig.ann, &line, &kind, body).await.status, 403);
    let job = rig.as_token(&rig.admin, &line, &kind, body).await.json();
    assert_eq!((&job["priority"], &job["owner"]), (&json!(7), &json!("ann")));
    assert_eq!((position(second).await, position(first).await), (json!(1), json!(2)));
    let left = async |at: usize| {
        let line = format!("GET /api/videos/{}/processing-status", videos[at]);
        rig.as_token(&rig.ann, &line, &[], b"").await.json()["etaSeconds"].as_f64()
    };
    assert_eq!(left(first).await, None, "nothing was ever measured here");
    let load = Load::of(&SourceFacts::default(), &[], "veryfast");
    let size = ByteCount(1 << 20);
    rig.parts.state.note_pace(load, size, 12.0, 10.0).await.expect("noted");
    assert!(left(first).await > left(second).await && left(first).await > Some(12.0));
    let pause = "PUT /api/admin/queue";
    let body = br#"{"paused":true}"#;
    assert_eq!(rig.as_token(&rig.ann, pause, &kind, body).await.status, 403);
    let numbers = rig.as_token(&rig.admin, pause, &kind, body).await.json();
    assert_eq!((&numbers["paused"], &numbers["queued"]), (&json!(true), &json!(2)));
    assert!(rig.parts.queue.claim().await.expect("asked").is_none());
    assert_eq!(left(first).await, None, "nobody knows when it goes on");
    rig.as_token(&rig.admin, pause, &kind, br#"{"paused":false}"#).await;
    let claimed = rig.parts.queue.claim().await.expect("asked").expect("one is next");
    assert_eq!(claimed.video.id, videos[second]);
    assert_eq!(rig.as_token(&rig.admin, &line, &kind, br#"{"priority":0}"#).await.status, 200);
    rig.parts.queue.cancel(videos[first]).await.expect("it waits");
    let gone = format!("PUT /api/videos/{}/priority", videos[first]);
    let answer = rig.as_token(&rig.admin, &gone, &kind, br#"{"priority":0}"#).await;
    assert_eq!(answer.status, 409);
}

/// The operator sees the line in its order, everybody's uploads, and what happened; nobody else.
#[tokio::test]
async fn the_operators_lists() {
    let rig = Rig::start().await;
    let videos = [rig.bring(b"one").await, rig.bring(b"two").await, rig.bring(b"three").await];
    let open = rig.create(7).await;
    rig.append(&open, 0, b"123").await;
    rig.parts.queue.prioritise(videos[2], 9).await.expect("it waits");
    let ask = async |path: &str| {
        let line = format!("GET /api/admin/{path}");
        rig.as_token(&rig.admin, &line, &[], b"").await.json()
    };
    let line = ask("queue?limit=2").await;
    assert_eq!((&line["total"], &line["items"][0]["position"]), (&json!(3), &json!(1)), "{line}");
    assert_eq!(line["items"][0]["videoId"], videos[2].to_string());
    assert_eq!(line["items"].as_array().map(Vec::len), Some(2));
    let uploads = ask("uploads").await;
    let one = &uploads["items"][0];
    assert_eq!(
        (&uploads["total"], &one["owner"], &one["door"]),
        (&json!(1), &json!("ann"), &json!("tus"))
    );
    assert_eq!((&one["receivedBytes"], &one["size"]), (&json!(3), &json!(7)));
    rig.parts.queue.cancel(videos[0]).await.expect("it waits");
    let told = async || ask("events?limit=1").await["items"][0].clone();
    let mut last = told().await;
    while last["type"] != "video.failed" {
        tokio::task::yield_now().await;
        last = told().await;
    }
    assert_eq!((&last["videoId"], &last["owner"]), (&videos[0].to_string().into(), &json!("ann")));
    assert_eq!(
        (&last["title"], &last["error"]["code"]),
        (&json!("Sea"), &json!("cancelled")),
        "{last}"
    );
    for path in ["queue", "uploads", "events", "tokens"] {
        let line = format!("GET /api/admin/{path}");
        assert_eq!(rig.as_token(&rig.ann, &line, &[], b"").await.status, 403, "{path}");
        assert_eq!(rig.ask(&line, &[], b"").await.status, 401, "{path}");
    }
}

/// The operator sees the tokens, without anything secret, and ends any but their own.
#[tokio::test]
async fn the_operator_ends_tokens() {
    let rig = Rig::start().await;
    let tokens = async || {
        let answer = rig.as_token(&rig.admin, "GET /api/admin/tokens", &[], b"").await;
        assert!(!String::from_utf8_lossy(&answer.body).contains("slw_"));
        answer.json()["items"].as_array().expect("a list").clone()
    };
    let before = tokens().await;
    let id_of = |wanted: &dyn Fn(&Value) -> bool| {
        before.iter().find(|it| wanted(it)).expect("it is there")["id"].as_str().expect("an id")
    };
    let (own, bobs) = (id_of(&|it| it["current"] == true), id_of(&|it| it["owner"] == "bob"));
    let end = |id: &str| format!("DELETE /api/admin/tokens/{id}");
    assert_eq!(rig.as_token(&rig.ann, &end(bobs), &[], b"").await.status, 403);
    assert_eq!(rig.as_token(&rig.admin, &end(own), &[], b"").await.status, 409);
    assert_eq!(rig.as_token(&rig.bob, "GET /api/videos", &[], b"").await.status, 200);
    assert_eq!(rig.as_token(&rig.admin, &end(bobs), &[], b"").await.status, 204);
    assert_eq!(rig.as_token(&rig.bob, "GET /api/videos", &[], b"").await.status, 401);
    assert_eq!(rig.as_token(&rig.admin, &end(bobs), &[], b"").await.status, 404);
    assert_eq!(tokens().await.len(), before.len() - 1);
}

/// Readiness ends before the server does; health doesn't.
#[tokio::test]
async fn readiness_can_be_withdrawn() {
    let rig = Rig::start().await;
    assert_eq!(rig.ask("GET /readyz", &[], b"").await.status, 200);
    rig.parts.readiness.withdraw();
    let answer = rig.ask("GET /readyz", &[], b"").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    assert_eq!(rig.ask("GET /healthz", &[], b"").await.status, 200);
}
