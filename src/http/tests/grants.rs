//! Upload grants: one upload each, through any door, by a header or in the address, and nothing
//! else of their owner's.

use super::doors::{By, DOORS, JSON, TUS, begin};
use super::rig::{Answer, BYTES, Rig};
use crate::ids::{GrantId, UploadId, VideoId};
use crate::state::GrantRecord;
use serde_json::{Value, json};

/// Makes a grant as ann and returns what is told of it.
async fn grant(rig: &Rig, fields: Value) -> Value {
    let made = grant_as(rig, &rig.ann, fields).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()
}

async fn grant_as(rig: &Rig, token: &str, fields: Value) -> Answer {
    let mut wanted = json!({ "expiresIn": 600 });
    wanted.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("one"));
    let body = wanted.to_string();
    rig.as_token(token, "POST /api/upload-grants", &[JSON], body.as_bytes()).await
}

fn text<'a>(made: &'a Value, name: &str) -> &'a str {
    made[name].as_str().unwrap_or_else(|| panic!("no {name} in {made}"))
}

/// Returns how a grant is listed to its owner.
async fn listed(rig: &Rig, made: &Value) -> Value {
    let list = rig.as_token(&rig.ann, "GET /api/upload-grants", &[], b"").await.json();
    let items = list["items"].as_array().expect("a list");
    items.iter().find(|item| item["id"] == made["id"]).expect("it is listed").clone()
}

/// Changes what is kept of a grant.
async fn change(rig: &Rig, made: &Value, change: impl FnOnce(&mut GrantRecord)) {
    let id = GrantId::parse(text(made, "id")).expect("an id");
    let mut kept = rig.parts.state.grant(id).expect("read").expect("it is kept");
    change(&mut kept);
    rig.parts.state.put_grant(kept).await.expect("changed");
}

/// A grant is made by whoever may act for its owner, and its secret told once.
#[tokio::test]
async fn grants_are_made_by_who_may() {
    let rig = Rig::start().await;
    let made = grant_as(&rig, &rig.ann, json!({ "callback": "https://app.example/told" })).await;
    assert_eq!((made.status, made.header("cache-control")), (201, "no-store"));
    let made = made.json();
    let secret = text(&made, "grant").to_owned();
    assert!(secret.starts_with("slg_") && secret.len() == 47, "{secret}");
    assert_eq!(text(&made, "url"), format!("http://localhost/upload#{secret}"));
    assert_eq!(text(&made, "uploadUrl"), format!("http://localhost/g/{secret}/files"));
    assert!(text(&made, "callbackSecret").starts_with("whsec_"));
    let list = rig.as_token(&rig.ann, "GET /api/upload-grants", &[], b"").await;
    let list = String::from_utf8_lossy(&list.body).into_owned();
    assert!(!list.contains(&secret) && !list.contains("whsec_"), "{list}");
    let row = listed(&rig, &made).await;
    assert_eq!((&row["state"], &row["owner"]), (&json!("open"), &json!("ann")));
    assert_eq!(row["callback"], "https://app.example/told");

    let for_bob = json!({ "owner": "bob" });
    assert_eq!(grant_as(&rig, &rig.ann, for_bob.clone()).await.status, 403);
    assert_eq!(grant_as(&rig, &rig.admin, for_bob).await.status, 201);
    assert_eq!(grant_as(&rig, &rig.viewer, json!({})).await.status, 403);
    assert_eq!(rig.ask("POST /api/upload-grants", &[JSON], b"{}").await.status, 401);
    let bobs = rig.as_token(&rig.bob, "GET /api/upload-grants", &[], b"").await.json();
    assert_eq!(bobs["items"].as_array().map(Vec::len), Some(1));
    let of_ann = rig.as_token(&rig.bob, "GET /api/upload-grants?owner=ann", &[], b"").await;
    assert_eq!(of_ann.status, 404);
    let end = format!("DELETE /api/upload-grants/{}", text(&made, "id"));
    assert_eq!(rig.as_token(&rig.bob, &end, &[], b"").await.status, 404);

    let bad = [
        (json!({ "expiresIn": 0 }), "expiresIn"),
        (json!({ "expiresIn": 2_592_001 }), "expiresIn"),
        (json!({ "owner": "a/b/c" }), "owner"),
        (json!({ "limits": { "maxSize": 0 } }), "maxSize"),
        (json!({ "callback": "ftp://app.example" }), "callback"),
        (json!({ "callback": "https://user@app.example" }), "callback"),
    ];
    for (wanted, field) in bad {
        let refused = grant_as(&rig, &rig.ann, wanted.clone()).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(field)), "{wanted}");
    }
    let unseen = grant_as(&rig, &rig.ann, json!({ "metadata": { "visibility": "secret" } })).await;
    assert_eq!((unseen.status, unseen.code().as_str()), (400, "invalid-metadata"));
}

/// A grant begins one upload, through whatever door and whichever way it is shown; a second one
/// is refused, and the first is its owner's.
#[tokio::test]
async fn one_upload_through_every_door() {
    let rig = Rig::start().await;
    for door in DOORS {
        for in_path in [false, true] {
            let made = grant(&rig, json!({})).await;
            let secret = text(&made, "grant");
            let by = if in_path { By::Path(secret) } else { By::Header(secret) };
            let begun = begin(&rig, by, door, b"some bytes").await;
            assert_eq!(begun.status, 201, "{door} {in_path} {begun:?}");
            let again = begin(&rig, by, door, b"some bytes").await;
            assert_eq!((again.status, again.code().as_str()), (403, "grant-used"), "{door}");
            let row = listed(&rig, &made).await;
            assert_eq!(row["state"], "used", "{door}");
            let id = UploadId::parse(text(&row, "uploadId")).expect("an id");
            let upload = rig.parts.state.upload(id).expect("read").expect("it is kept");
            assert_eq!(upload.owner.0, "ann", "{door}");
            let told = String::from_utf8_lossy(&begun.body).into_owned();
            assert!(!told.contains("slg_"), "{door} {told}");
        }
    }
}

/// A client that knows nothing of grants is led on by the addresses that it is told.
#[tokio::test]
async fn addresses_lead_on() {
    let rig = Rig::start().await;
    let made = grant(&rig, json!({})).await;
    let secret = text(&made, "grant");
    let origin = ("Origin", "https://elsewhere.example");
    let preflight = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "tus-resumable,upload-length"),
    ];
    let asked = rig.ask(&format!("OPTIONS /g/{secret}/files"), &preflight, b"").await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, "*"));
    let headers = [TUS, origin, ("Upload-Length", "4")];
    let begun = rig.ask(&format!("POST /g/{secret}/files"), &headers, b"").await;
    assert_eq!((begun.status, begun.header("access-control-allow-origin")), (201, "*"));
    assert_eq!(begun.header("referrer-policy"), "no-referrer");
    let at = begun.header("location").to_owned();
    assert!(at.starts_with(&format!("/g/{secret}/files/")), "{at}");
    assert_eq!(begun.header("tus-resumable"), "1.0.0");
    let look = rig.ask(&format!("HEAD {at}"), &[TUS], b"").await;
    assert_eq!((look.status, look.header("upload-offset")), (200, "0"));
    let append = [TUS, BYTES, ("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")];
    let done = rig.ask(&format!("POST {at}"), &append, b"film").await;
    assert_eq!((done.status, done.header("upload-offset")), (204, "4"));
    // Nothing is led on that wasn't asked for by the address.
    let plain = By::Header(secret).ask(&rig, &format!("HEAD {}", &at[50..]), &[TUS], b"").await;
    assert_eq!(plain.status, 200, "{plain:?}");
    assert_ne!(plain.header("referrer-policy"), "no-referrer");
}

/// Parts of a joined upload are begun by the grant as well, as the addresses that it was told name
/// them; what is kept of them holds no secret.
#[tokio::test]
async fn parts_are_joined_by_a_grant() {
    let rig = Rig::start().await;
    let made = grant(&rig, json!({})).await;
    let by = By::Path(text(&made, "grant"));
    let mut parts = Vec::new();
    for _ in 0..2 {
        let part = begin(&rig, by, "tus part", b"four").await;
        assert_eq!(part.status, 201, "{part:?}");
        let at = part.header("location").to_owned();
        let headers = [TUS, BYTES, ("Upload-Offset", "0")];
        assert_eq!(by.ask(&rig, &format!("PATCH {at}"), &headers, b"four").await.status, 204);
        parts.push(at);
    }
    assert_eq!(listed(&rig, &made).await["state"], "open");
    let anns = rig.tus("POST /files", &[("Upload-Length", "4"), ("Upload-Concat", "partial")], b"");
    let stolen = format!("final;{} {}", parts[0], anns.await.header("location"));
    let refused = by.ask(&rig, "POST /files", &[TUS, ("Upload-Concat", &stolen)], b"").await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert_eq!(listed(&rig, &made).await["state"], "open", "what fails uses nothing up");

    let said = format!("final;{}", parts.join(" "));
    let joined = by.ask(&rig, "POST /files", &[TUS, ("Upload-Concat", &said)], b"").await;
    assert_eq!(joined.status, 201, "{joined:?}");
    let at = joined.header("location").to_owned();
    let id = UploadId::parse(at.rsplit('/').next().unwrap_or_default()).expect("an id");
    let kept = format!("{:?}", rig.parts.state.upload(id).expect("read"));
    assert!(!kept.contains("slg_"), "{kept}");
    let look = by.ask(&rig, &format!("HEAD {at}"), &[TUS], b"").await;
    assert_eq!(look.header("upload-concat"), said);
    let more = begin(&rig, by, "tus part", b"four").await;
    assert_eq!((more.status, more.code().as_str()), (403, "grant-used"));
}

/// Of two that begin at once one is refused, and only one video is there.
#[tokio::test]
async fn of_two_at_once_one_is_refused() {
    let rig = Rig::start().await;
    for door in ["tus", "tus with bytes", "parts"] {
        let made = grant(&rig, json!({})).await;
        let by = By::Header(text(&made, "grant"));
        let eight = (0..8).map(|_| begin(&rig, by, door, b"some bytes"));
        let answers = futures_util::future::join_all(eight).await;
        let begun = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(begun, 1, "{door} {answers:?}");
        let others = answers.iter().filter(|answer| answer.status != 201);
        others.for_each(|answer| assert_eq!(answer.code(), "grant-used", "{door}"));
    }
    let videos = rig.as_token(&rig.ann, "GET /api/videos", &[], b"").await.json();
    assert_eq!(videos["items"].as_array().map(Vec::len), Some(3), "no upload was left over");
}

/// What the grant lays down counts more than what its uploader says, from the beginning on.
#[tokio::test]
async fn the_grants_words_win() {
    let rig = Rig::start().await;
    let words = json!({ "title": "Application", "visibility": "private", "tags": ["a", "b"] });
    for door in ["tus", "parts", "form"] {
        let made = grant(&rig, json!({ "metadata": words })).await;
        let by = By::Path(text(&made, "grant"));
        let begun = match door {
            "tus" => {
                // title Mine, visibility public, description Hello
                let said = "title TWluZQ==,visibility cHVibGlj,description SGVsbG8=";
                let headers = [TUS, ("Upload-Length", "4"), ("Upload-Metadata", said)];
                by.ask(&rig, "POST /files", &headers, b"").await
            }
            "parts" => {
                let said = json!({ "filename": "a.mp4", "size": 4, "title": "Mine",
                    "visibility": "public", "description": "Hello" });
                let line = "POST /api/videos/upload/initiate";
                by.ask(&rig, line, &[JSON], said.to_string().as_bytes()).await
            }
            _ => {
                let field = |name: &str, word: &str| {
                    format!(
                        "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{word}\r\n"
                    )
                };
                let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; \
                            filename=\"a.mp4\"\r\n\r\nfilm\r\n";
                let body = [
                    &field("description", "Hello"),
                    file,
                    &field("title", "Mine"),
                    &field("visibility", "public"),
                    "--b--\r\n",
                ];
                let form = [("Content-Type", "multipart/form-data; boundary=b")];
                by.ask(&rig, "POST /api/videos", &form, body.concat().as_bytes()).await
            }
        };
        assert_eq!(begun.status, 201, "{door} {begun:?}");
        let row = listed(&rig, &made).await;
        let at = format!("/api/videos/{}", text(&row, "videoId"));
        let video = by.ask(&rig, &format!("GET {at}"), &[], b"").await.json();
        assert_eq!(
            (&video["title"], &video["visibility"], &video["tags"], &video["description"]),
            (&json!("Application"), &json!("private"), &json!(["a", "b"]), &json!("Hello")),
            "{door}"
        );
        let patch = format!("PATCH {at}");
        let refused = by.ask(&rig, &patch, &[JSON], br#"{"visibility":"public"}"#).await;
        assert_eq!((refused.status, &refused.json()["field"]), (403, &json!("visibility")));
        let free = by.ask(&rig, &patch, &[JSON], br#"{"description":"Later"}"#).await;
        assert_eq!((free.status, &free.json()["description"]), (200, &json!("Later")), "{door}");
    }
}

/// Limits of the grant, and of the token that made it, hold through every door; a refused upload
/// leaves the grant as it was.
#[tokio::test]
async fn limits_hold_and_a_refusal_uses_nothing_up() {
    let rig = Rig::start().await;
    let body = json!({ "role": "uploader", "owner": "ann", "maxSize": 10, "maxUploads": 6 });
    let made = rig
        .as_token(&rig.admin, "POST /api/admin/tokens", &[JSON], body.to_string().as_bytes())
        .await
        .json();
    let token = text(&made, "token");
    for door in DOORS {
        let made =
            grant_as(&rig, token, json!({ "limits": { "maxSize": 5_000_000 } })).await.json();
        let by = By::Header(text(&made, "grant"));
        let refused = begin(&rig, by, door, b"eleven byte").await;
        assert_eq!((refused.status, refused.code().as_str()), (413, "upload-too-large"), "{door}");
        assert_eq!(listed(&rig, &made).await["state"], "open", "{door}");
        assert_eq!(begin(&rig, by, door, b"ten bytes.").await.status, 201, "{door}");
        let session = by.ask(&rig, "GET /api/session", &[], b"").await.json();
        assert_eq!(
            (&session["limits"]["maxSize"], &session["grant"]["used"]),
            (&json!(10), &json!(true))
        );
    }
    assert_eq!(grant_as(&rig, token, json!({})).await.status, 201);
    let spent = grant_as(&rig, token, json!({})).await;
    assert_eq!((spent.status, spent.code().as_str()), (403, "token-spent"));
    let strict = grant(&rig, json!({ "limits": { "accept": ["audio/*"] } })).await;
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    let refused = begin(&rig, By::Header(text(&strict, "grant")), "tus with bytes", picture).await;
    assert_eq!(refused.status, 415, "{refused:?}");
    assert_eq!(listed(&rig, &strict).await["state"], "open");
}

/// An upload that is aborted gives its grant back: whoever has it may try again.
#[tokio::test]
async fn an_abort_gives_the_grant_back() {
    let rig = Rig::start().await;
    let made = grant(&rig, json!({})).await;
    let by = By::Path(text(&made, "grant"));
    for door in ["tus", "parts"] {
        let begun = begin(&rig, by, door, b"some bytes").await;
        let at = begun.header("location").to_owned();
        assert_eq!(by.ask(&rig, &format!("DELETE {at}"), &[TUS], b"").await.status, 204, "{door}");
        let row = listed(&rig, &made).await;
        assert_eq!((&row["state"], &row["uploadId"]), (&json!("open"), &Value::Null), "{door}");
    }
    let begun = begin(&rig, by, "tus with bytes", b"some bytes").await;
    let at = begun.header("location").to_owned();
    assert_eq!(by.ask(&rig, &format!("DELETE {at}"), &[TUS], b"").await.status, 204);
    assert_eq!(listed(&rig, &made).await["state"], "used", "its film is there");
}

/// Somebody with a grant sees and changes nothing else, of its owner or of others.
#[tokio::test]
async fn nothing_else_is_opened() {
    let rig = Rig::start().await;
    let other_upload = rig.create(9).await;
    let other_video = rig.bring(b"public film").await;
    let public = format!("PATCH /api/videos/{other_video}");
    let shown = rig.as_token(&rig.ann, &public, &[JSON], br#"{"visibility":"public"}"#).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let made = grant(&rig, json!({})).await;
    let by = By::Header(text(&made, "grant"));
    let begun = begin(&rig, by, "tus", b"some bytes").await;
    let own = begun.header("location").to_owned();
    let video = begun.header("slipway-video").to_owned();

    let id = other_upload.rsplit('/').next().unwrap_or_default();
    let hidden = [
        format!("HEAD {other_upload}"),
        format!("DELETE {other_upload}"),
        format!("GET /api/videos/upload/{id}"),
        format!("DELETE /api/videos/upload/{id}"),
        format!("GET /api/videos/{other_video}"),
        format!("PATCH /api/videos/{other_video}"),
        format!("GET /api/videos/{other_video}/processing-status"),
        format!("GET /api/videos/{other_video}/thumbnails"),
        format!("PUT /api/videos/{other_video}/poster"),
    ];
    for line in hidden {
        let answer = by.ask(&rig, &line, &[TUS, JSON], b"{}").await;
        assert_eq!(answer.status, 404, "{line} {answer:?}");
    }
    let closed = [
        "GET /api/videos".to_owned(),
        format!("DELETE /api/videos/{video}"),
        format!("POST /api/videos/{video}/restore"),
        format!("POST /api/videos/{video}/playback-token"),
        format!("GET /api/videos/{video}/original"),
        format!("PUT /api/videos/{video}/captions/en"),
        "GET /api/upload-grants".to_owned(),
        "POST /api/upload-grants".to_owned(),
        "GET /api/admin/tokens".to_owned(),
        "GET /metrics".to_owned(),
        "GET /".to_owned(),
    ];
    for line in closed {
        let answer = by.ask(&rig, &line, &[JSON], b"{}").await;
        assert_eq!(answer.status, 403, "{line} {answer:?}");
    }
    let uploads = by.ask(&rig, "GET /api/uploads", &[], b"").await.json();
    let items = uploads["items"].as_array().expect("a list");
    assert_eq!((items.len(), &items[0]["url"]), (1, &json!(own)));
    let states = format!("GET /api/videos/status?videoIds={other_video},{video}");
    let states = by.ask(&rig, &states, &[], b"").await.json();
    assert_eq!(states["items"].as_array().map(Vec::len), Some(1), "{states}");
    let append = [TUS, BYTES, ("Upload-Offset", "0")];
    assert_eq!(by.ask(&rig, &format!("PATCH {own}"), &append, b"some bytes").await.status, 204);
    let bytes = by.ask(&rig, &format!("GET {own}"), &[], b"").await;
    assert_eq!((bytes.status, bytes.code().as_str()), (403, "grant-scope"));
    // Bob's grant is as good for ann's upload as bob is.
    let bobs = grant_as(&rig, &rig.bob, json!({})).await.json();
    let bobs = By::Path(text(&bobs, "grant"));
    assert_eq!(bobs.ask(&rig, &format!("HEAD {own}"), &[TUS], b"").await.status, 404);
}

/// Nothing begins by a grant whose time is over, and an upload that was begun in time goes on.
#[tokio::test]
async fn time_ends_the_beginning_alone() {
    let rig = Rig::start().await;
    let over = |grant: &mut GrantRecord| grant.expires_at = grant.created_at;
    let made = grant(&rig, json!({})).await;
    change(&rig, &made, over).await;
    for by in [By::Header(text(&made, "grant")), By::Path(text(&made, "grant"))] {
        let late = begin(&rig, by, "tus", b"some bytes").await;
        assert_eq!((late.status, late.code().as_str()), (401, "unauthenticated"));
    }
    assert_eq!(listed(&rig, &made).await["state"], "expired");
    let made = grant(&rig, json!({})).await;
    let by = By::Path(text(&made, "grant"));
    let begun = begin(&rig, by, "tus", b"some bytes").await;
    change(&rig, &made, over).await;
    let at = begun.header("location").to_owned();
    let append = [TUS, BYTES, ("Upload-Offset", "0")];
    assert_eq!(by.ask(&rig, &format!("PATCH {at}"), &append, b"some bytes").await.status, 204);
    let video = format!("GET /api/videos/{}", begun.header("slipway-video"));
    assert_eq!(by.ask(&rig, &video, &[], b"").await.status, 200, "what became of it is shown");
    let unknown = format!("slg_{}", "a".repeat(43));
    assert_eq!(begin(&rig, By::Path(&unknown), "tus", b"x").await.status, 401);
}

/// A grant that is ended opens nothing from then on: not its upload, nor an address of a part that
/// was signed for it.
#[tokio::test]
async fn an_end_is_an_end() {
    let rig = Rig::start().await;
    let made = grant(&rig, json!({})).await;
    let by = By::Header(text(&made, "grant"));
    let begun = begin(&rig, by, "parts", b"some bytes").await.json();
    let part = format!("PUT {}", begun["partUrls"][0]["url"].as_str().expect("an address"));
    let end = format!("DELETE /api/upload-grants/{}", text(&made, "id"));
    for _ in 0..2 {
        assert_eq!(rig.as_token(&rig.ann, &end, &[], b"").await.status, 204);
    }
    assert_eq!(listed(&rig, &made).await["state"], "ended");
    let refused = rig.ask(&part, &[], b"some bytes").await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "bad-signature"));
    let at = format!("GET /api/videos/upload/{}", text(&begun, "uploadId"));
    assert_eq!(by.ask(&rig, &at, &[], b"").await.status, 401);
    assert_eq!(rig.as_token(&rig.ann, &at, &[], b"").await.status, 200, "it is ann's own");
}

/// Live events by a grant are those of its video, and the stream that was opened before that was
/// begun tells them too.
#[tokio::test]
async fn events_of_its_video_alone() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rig = Rig::start().await;
    let made = grant(&rig, json!({})).await;
    let secret = text(&made, "grant");
    let mut stream = rig.connect().await;
    let head = format!("GET /g/{secret}/api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut heard = String::new();
    let mut piece = [0; 4096];
    while !heard.contains("event: snapshot") {
        let read = stream.read(&mut piece).await.expect("a piece");
        assert!(read > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    let other = rig.bring(b"another film").await;
    let begun = begin(&rig, By::Path(secret), "tus", b"some bytes").await;
    let own = begun.header("slipway-video").to_owned();
    while !heard.contains(&own) {
        let read = stream.read(&mut piece).await.expect("a piece");
        assert!(read > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(!heard.contains(&other.to_string()), "{heard}");
}

/// What becomes of the upload waits for the callback, all of it in the order of what happened, and
/// nothing waits for a grant without one.
#[tokio::test]
async fn callbacks_wait_to_be_told() {
    use crate::state::CALLBACKS;
    let rig = Rig::start().await;
    rig.parts.hooks.start().await.expect("begun");
    let told = grant(&rig, json!({ "callback": "https://app.example/told" })).await;
    let silent = grant(&rig, json!({})).await;
    for made in [&told, &silent] {
        let begun = begin(&rig, By::Header(text(made, "grant")), "tus with bytes", b"film").await;
        assert_eq!(begun.status, 201);
        let video = VideoId::parse(begun.header("slipway-video")).expect("a video's id");
        rig.parts.queue.cancel(video).await.expect("its work is ended");
    }
    let waiting = rig.parts.state.waiting(CALLBACKS, None, 10).expect("read");
    let events: Vec<_> = waiting.iter().map(|row| row.event.name()).collect();
    assert_eq!(events, ["upload.completed", "video.failed"]);
    let id = GrantId::parse(text(&told, "id")).expect("an id");
    assert!(waiting.iter().all(|row| row.grant == Some(id)));
}

/// A grant that is over is forgotten after a while, unless something is still to come of it.
#[tokio::test]
async fn grants_are_forgotten() {
    let rig = Rig::start().await;
    let state = &rig.parts.state;
    let unused = grant(&rig, json!({})).await;
    let under_way = grant(&rig, json!({})).await;
    let begun = begin(&rig, By::Header(text(&under_way, "grant")), "tus", b"some bytes").await;
    assert_eq!(begun.status, 201);
    let soon = rig.parts.clock.now().plus_ms(86_400_000);
    assert_eq!(state.forget_grants(soon, 10).await.expect("looked"), 0, "too early");
    let late = soon.plus_ms(2 * 86_400_000);
    assert_eq!(state.forget_grants(late, 10).await.expect("looked"), 2);
    let kept = |made: &Value| {
        let id = GrantId::parse(text(made, "id")).expect("an id");
        state.grant(id).expect("read").is_some()
    };
    assert!(!kept(&unused) && kept(&under_way));
    let list = rig.as_token(&rig.ann, "GET /api/upload-grants", &[], b"").await.json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let found = state.dump().await.expect("an export").check();
    assert!(found.is_empty(), "{found:?}");
}
