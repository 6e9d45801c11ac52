//! Tokens: made over the API, confined to scopes, and held to limits through every door.

use super::doors::{self, By, DOORS, JSON, TUS};
use super::rig::{Answer, BYTES, Rig};
use serde_json::{Value, json};

/// Makes a token of ann's with these fields, and returns its secret.
async fn token(rig: &Rig, fields: Value) -> String {
    let mut wanted = json!({ "role": "uploader", "owner": "ann" });
    wanted.as_object_mut().expect("an object").extend(fields.as_object().cloned().expect("one"));
    let made = create(rig, &wanted).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["token"].as_str().expect("its text").to_owned()
}

async fn create(rig: &Rig, wanted: &Value) -> Answer {
    let body = wanted.to_string();
    rig.as_token(&rig.admin, "POST /api/admin/tokens", &[JSON], body.as_bytes()).await
}

/// Begins an upload of a file of `bytes` with a token.
async fn begin(rig: &Rig, token: &str, door: &str, bytes: &[u8]) -> Answer {
    doors::begin(rig, By::Header(token), door, bytes).await
}

/// A token is made over the API, its secret told once; what can't be is refused by its field.
#[tokio::test]
async fn tokens_are_made_over_the_api() {
    let rig = Rig::start().await;
    let wanted = json!({ "role": "uploader", "name": "camera", "owner": "acme/cam",
        "expiresIn": 60, "scopes": ["upload:create"], "maxSize": 9, "maxUploads": 2,
        "accept": ["video/*"] });
    let made = create(&rig, &wanted).await;
    assert_eq!((made.status, made.header("cache-control")), (201, "no-store"));
    let made = made.json();
    let secret = made["token"].as_str().expect("its text");
    let listed = rig.as_token(&rig.admin, "GET /api/admin/tokens", &[], b"").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret));
    let items = listed.json()["items"].as_array().expect("a list").clone();
    let row = items.iter().find(|row| row["id"] == made["id"]).expect("it is listed");
    for (name, value) in wanted.as_object().expect("an object") {
        let (name, value) = match name.as_str() {
            "expiresIn" => continue,
            name => (name, value),
        };
        assert_eq!(&row[name], value, "{name}");
    }
    assert_eq!((&row["usedAt"], &row["uploadsBegun"]), (&Value::Null, &json!(0)));
    let session = rig.as_token(secret, "GET /api/session", &[], b"").await.json();
    assert_eq!(session["org"], "acme");
    assert_eq!(session["rights"], json!(["upload:read", "upload:create"]));
    assert_eq!(session["limits"]["maxSize"], 9);
    assert_eq!(session["limits"]["accept"], json!(["video/*"]));
    let bad = [
        (json!({ "role": "uploader", "scopes": ["fly"] }), "scopes"),
        (json!({ "role": "viewer", "scopes": ["upload:create"] }), "scopes"),
        (json!({ "role": "viewer", "owner": "a/b/c" }), "owner"),
        (json!({ "role": "viewer", "expiresIn": 0 }), "expiresIn"),
        (json!({ "role": "viewer", "maxUploads": 0 }), "maxSize"),
    ];
    for (wanted, field) in bad {
        let refused = create(&rig, &wanted).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(field)), "{wanted}");
    }
    let refused = create(&rig, &json!({ "role": "king" })).await;
    assert_eq!(refused.status, 400);
}

/// The largest upload of a token is its own, through whatever door, also where the length is told
/// late and where parts are joined.
#[tokio::test]
async fn size_is_limited_through_every_door() {
    let rig = Rig::start().await;
    let small = token(&rig, json!({ "maxSize": 10 })).await;
    for door in DOORS.into_iter().chain(["tus part"]) {
        let refused = begin(&rig, &small, door, b"eleven byte").await;
        assert_eq!((refused.status, refused.code().as_str()), (413, "upload-too-large"), "{door}");
        let taken = begin(&rig, &small, door, b"ten bytes.").await;
        assert_eq!(taken.status, 201, "{door} {taken:?}");
    }
    let deferred = [TUS, ("Upload-Defer-Length", "1")];
    let begun = rig.as_token(&small, "POST /files", &deferred, b"").await;
    let at = format!("PATCH {}", begun.header("location"));
    let append = [TUS, BYTES, ("Upload-Offset", "0")];
    let told = [append.as_slice(), &[("Upload-Length", "11")]].concat();
    assert_eq!(rig.as_token(&small, &at, &told, b"x").await.status, 413);
    assert_eq!(rig.as_token(&small, &at, &append, b"eleven byte").await.status, 413);
    // The limit is the upload's: another token of the same owner doesn't lift it.
    assert_eq!(rig.as_token(&rig.ann, &at, &told, b"x").await.status, 413);
    let mut parts = String::from("final;");
    for _ in 0..2 {
        let part = begin(&rig, &small, "tus part", b"six by").await;
        parts.push_str(&format!("{} ", part.header("location")));
    }
    let joined = [TUS, ("Upload-Concat", parts.trim())];
    let refused = rig.as_token(&small, "POST /files", &joined, b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "upload-too-large"));
    assert_eq!(rig.as_token(&rig.ann, "POST /files", &joined, b"").await.status, 201);
}

/// A token begins as many uploads as it may, all doors together, and not one more at the same
/// moment; what it has begun it may finish.
#[tokio::test]
async fn uploads_are_counted_through_every_door() {
    let rig = Rig::start().await;
    for door in DOORS {
        let once = token(&rig, json!({ "maxUploads": 1 })).await;
        assert_eq!(begin(&rig, &once, "tus part", b"a part").await.status, 201);
        let first = begin(&rig, &once, door, b"some bytes").await;
        assert_eq!(first.status, 201, "{door}");
        for other in DOORS.into_iter().chain(["tus part"]) {
            let refused = begin(&rig, &once, other, b"some bytes").await;
            assert_eq!((refused.status, refused.code().as_str()), (403, "token-spent"), "{other}");
        }
        if door == "tus" {
            let at = format!("PATCH {}", first.header("location"));
            let append = [TUS, BYTES, ("Upload-Offset", "0")];
            assert_eq!(rig.as_token(&once, &at, &append, b"some bytes").await.status, 204);
        }
    }
    let few = token(&rig, json!({ "maxUploads": 3 })).await;
    let all = futures_util::future::join_all((0..9).map(|_| begin(&rig, &few, "tus", b"x"))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 201).count(), 3);
    let part = begin(&rig, &few, "tus part", b"x").await;
    assert_eq!(part.status, 403);
    let listed = rig.as_token(&rig.admin, "GET /api/admin/tokens", &[], b"").await.json();
    let rows = listed["items"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["maxUploads"] == 3).expect("it is listed");
    assert_eq!(row["uploadsBegun"], 3);
}

/// A token for sound alone keeps out what surely is something else, where the server takes all.
#[tokio::test]
async fn types_are_limited() {
    let rig = Rig::start_with(|config| {
        config.upload.admission.accept = crate::model::accept::Accept::parse(["*/*"]).expect("one");
    })
    .await;
    let sound = token(&rig, json!({ "accept": ["audio/*"] })).await;
    let mut picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    picture.resize(300, 0);
    for door in ["tus with bytes", "draft", "form"] {
        let refused = begin(&rig, &sound, door, &picture).await;
        assert_eq!(refused.status, 415, "{door} {refused:?}");
        assert_eq!(refused.code(), "unsupported-media", "{door}");
        assert_eq!(begin(&rig, &rig.ann, door, &picture).await.status, 201, "{door}");
    }
}

/// A confined token does what it is for, and is told what it would need for the rest.
#[tokio::test]
async fn scopes_confine() {
    let rig = Rig::start().await;
    let uploads = token(&rig, json!({ "scopes": ["upload:create"] })).await;
    let begun = begin(&rig, &uploads, "tus", b"some bytes").await;
    assert_eq!(begun.status, 201);
    let at = begun.header("location");
    assert_eq!(rig.as_token(&uploads, &format!("HEAD {at}"), &[TUS], b"").await.status, 200);
    assert_eq!(rig.as_token(&uploads, "GET /api/uploads", &[], b"").await.status, 200);
    let video = format!("GET /api/videos/{}", begun.header("slipway-video"));
    for line in ["GET /api/videos", &video, "GET /api/events", "GET /api/admin/tokens"] {
        let refused = rig.as_token(&uploads, line, &[], b"").await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"), "{line}");
    }
    let reads = token(&rig, json!({ "scopes": ["video:read"] })).await;
    assert_eq!(rig.as_token(&reads, &video, &[], b"").await.status, 200);
    let line = video.replace("GET", "DELETE");
    let refused = rig.as_token(&reads, &line, &[], b"").await;
    let detail = refused.json()["detail"].as_str().expect("a sentence").to_owned();
    assert!(detail.contains("`video:write`") && detail.contains("`video:read`"), "{detail}");
    assert_eq!(begin(&rig, &reads, "tus", b"x").await.status, 403);
}
