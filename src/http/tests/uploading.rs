//! tus 1.0.0 clause by clause, and the form.

use super::rig::{BYTES, Rig};
use crate::model::video::VideoState;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// OPTIONS says what the server can do, to anybody, whatever version they speak (C3).
#[tokio::test]
async fn options_are_answered_first() {
    let rig = Rig::start().await;
    for line in ["OPTIONS /files", "OPTIONS /files/", "OPTIONS /files/nothing"] {
        let answer = rig.ask(line, &[("Tus-Resumable", "0.1")], b"").await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("tus-version"), "1.0.0");
        assert_eq!(answer.header("tus-max-size"), (64 << 20).to_string());
        let extensions = answer.header("tus-extension");
        assert!(extensions.starts_with("creation,") && extensions.contains("termination"));
        assert!(!answer.has("tus-resumable"));
    }
}

/// Checks come in the promised order: who, the version, whether it is there, the rest.
#[tokio::test]
async fn checks_come_in_order() {
    let rig = Rig::start().await;
    let at = rig.create(10).await;
    let nobody = rig.ask(&format!("HEAD {at}"), &[("Tus-Resumable", "1.0.0")], b"").await;
    assert_eq!(nobody.status, 401);
    assert_eq!(nobody.header("tus-resumable"), "1.0.0");
    let bad = rig.as_token("slw_x", "POST /files", &[], b"").await;
    assert_eq!((bad.status, bad.code().as_str()), (401, "unauthenticated"));
    for version in [&[][..], &[("Tus-Resumable", "0.2.2")][..]] {
        let answer = rig.as_token(&rig.ann, &format!("PATCH {at}"), version, b"").await;
        assert_eq!((answer.status, answer.header("tus-version")), (412, "1.0.0"));
        let answer = rig.as_token(&rig.ann, "POST /files", version, b"").await;
        assert_eq!((answer.status, answer.header("tus-resumable")), (412, "1.0.0"));
    }
    let missing = "PATCH /files/018bcfe5-687b-7000-8000-000000000000";
    assert_eq!(rig.tus(missing, &[], b"x").await.status, 404);
    for strange in ["HEAD /files/..%2f..%2fetc%2fpasswd", "HEAD /files/x%00y"] {
        let answer = rig.tus(strange, &[], b"").await;
        assert_eq!(answer.status, 404);
        assert!(!answer.has("upload-offset"));
    }
    let other = [("Tus-Resumable", "1.0.0"), BYTES, ("Upload-Offset", "0")];
    let answer = rig.as_token(&rig.bob, &format!("PATCH {at}"), &other, b"x").await;
    assert_eq!(answer.status, 404, "another's upload isn't there");
    let answer = rig.as_token(&rig.viewer, "POST /files", &other, b"x").await;
    assert_eq!(answer.status, 403);
    let wrong = [("Content-Type", "application/octet-stream"), ("Upload-Offset", "x")];
    assert_eq!(rig.tus(&format!("PATCH {at}"), &wrong, b"x").await.status, 415);
    for offset in ["x", "-1", "", "+0"] {
        let wrong = [BYTES, ("Upload-Offset", offset)];
        assert_eq!(rig.tus(&format!("PATCH {at}"), &wrong, b"x").await.status, 400, "{offset}");
    }
    let answer = rig.append(&at, 3, b"x").await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "upload-offset-mismatch"));
    assert_eq!(answer.header("upload-offset"), "0");
    let answer = rig.append(&at, 0, b"eleven bytes").await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "upload-past-length"));
    assert_eq!(rig.tus("PUT /files", &[], b"x").await.status, 405);
}

/// An upload is made, filled in pieces, looked at and finished; the answers carry what they must.
#[tokio::test]
async fn an_upload_in_pieces() {
    let rig = Rig::start().await;
    let at = rig.create(10).await;
    assert!(at.starts_with("/files/") && at.len() == "/files/".len() + 36, "{at}");
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    assert_eq!((head.status, head.header("upload-offset")), (200, "0"));
    assert_eq!(head.header("upload-length"), "10");
    assert_eq!(head.header("upload-metadata"), "filename aG9saWRheS5tcDQ=,title U2Vh");
    assert_eq!(head.header("cache-control"), "no-store");
    assert!(head.header("upload-expires").ends_with(" GMT") && head.has("slipway-video"));
    let first = rig.append(&at, 0, b"hello").await;
    assert_eq!((first.status, first.header("upload-offset")), (204, "5"));
    assert!(first.has("upload-expires"));
    let again = rig.append(&at, 0, b"hello").await;
    assert_eq!((again.status, again.header("upload-offset")), (409, "5"));
    let last = rig.append(&at, 5, b"world").await;
    assert_eq!((last.status, last.header("upload-offset")), (204, "10"));
    assert!(!last.has("upload-expires"));
    let empty = rig.append(&at, 10, b"").await;
    assert_eq!((empty.status, empty.header("upload-offset")), (204, "10"));
    assert_eq!(rig.append(&at, 10, b"more").await.status, 413);
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    assert_eq!((head.status, head.header("upload-offset")), (200, "10"));
    assert!(!head.has("upload-expires"));
    let bytes = rig.as_token(&rig.ann, &format!("GET {at}"), &[("Range", "bytes=3-6")], b"").await;
    assert_eq!((bytes.status, bytes.body.as_slice()), (206, &b"lowo"[..]));
    assert!(
        bytes.header("content-disposition").starts_with("attachment; filename=\"holiday.mp4\"")
    );
    assert!(bytes.header("content-security-policy").contains("sandbox"));
    let json = [("Accept", "application/json")];
    let said = rig.as_token(&rig.ann, &format!("GET {at}"), &json, b"").await.json();
    assert_eq!(
        (said["state"].as_str(), said["receivedBytes"].as_u64()),
        (Some("finished"), Some(10))
    );
    assert_eq!(rig.tus(&format!("DELETE {at}"), &[], b"").await.status, 204);
    let video = head.header("slipway-video");
    let kept = rig.as_token(&rig.ann, &format!("GET /api/videos/{video}"), &[], b"").await;
    assert_eq!(kept.json()["state"], "queued", "a forgotten upload keeps its video");
}

/// Lengths may come later, once, and only sensible ones; creation may bring bytes or be empty.
#[tokio::test]
async fn every_way_to_create() {
    let rig = Rig::start().await;
    let bad: &[&[(&str, &str)]] = &[
        &[],
        &[("Upload-Length", "-1")],
        &[("Upload-Length", "1e3")],
        &[("Upload-Defer-Length", "2")],
        &[("Upload-Length", "1"), ("Upload-Defer-Length", "1")],
        &[("Upload-Length", "1"), ("Upload-Metadata", "a !")],
        &[("Upload-Length", "1"), ("Upload-Metadata", "a YQ==,a YQ==")],
        &[("Upload-Length", "1"), ("Upload-Concat", "half")],
    ];
    for headers in bad {
        let answer = rig.tus("POST /files", headers, b"").await;
        assert_eq!(answer.status, 400, "{headers:?} {answer:?}");
    }
    let large = rig.tus("POST /files", &[("Upload-Length", "99999999999")], b"").await;
    assert_eq!((large.status, large.code().as_str()), (413, "upload-too-large"));
    let empty =
        rig.tus("POST /files", &[("Upload-Length", "0"), ("Upload-Metadata", "")], b"").await;
    assert_eq!(empty.status, 201);
    let head = rig.tus(&format!("HEAD {}", empty.header("location")), &[], b"").await;
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), ("0", "0"));
    let whole = [("Upload-Length", "5"), BYTES];
    let answer = rig.tus("POST /files", &whole, b"hello").await;
    assert_eq!((answer.status, answer.header("upload-offset")), (201, "5"));
    assert_eq!(rig.tus("POST /files", &[("Upload-Length", "5")], b"hello").await.status, 415);
    assert_eq!(rig.tus("POST /files", &whole, b"longer").await.status, 413);

    let deferred = rig.tus("POST /files", &[("Upload-Defer-Length", "1")], b"").await;
    let at = deferred.header("location").to_owned();
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    assert_eq!(head.header("upload-defer-length"), "1");
    assert!(!head.has("upload-length"));
    assert_eq!(rig.append(&at, 0, b"hello").await.status, 204);
    let patch = async |length: &str, offset: &str, body: &[u8]| {
        let headers = [BYTES, ("Upload-Offset", offset), ("Upload-Length", length)];
        rig.tus(&format!("PATCH {at}"), &headers, body).await.status
    };
    assert_eq!(patch("3", "5", b"").await, 400, "shorter than what is there");
    assert_eq!(patch("99999999999", "5", b"").await, 413);
    assert_eq!(patch("8", "5", b"a").await, 204);
    assert_eq!(patch("9", "6", b"b").await, 400, "fixed");
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    assert_eq!((head.header("upload-length"), head.header("upload-offset")), ("8", "6"));
    assert!(!head.has("upload-defer-length"));
}

/// `X-HTTP-Method-Override` is the method, whatever the request line says (C4).
#[tokio::test]
async fn the_method_can_be_overridden() {
    let rig = Rig::start().await;
    let at = rig.create(5).await;
    let patch = [("X-HTTP-Method-Override", "PATCH"), BYTES, ("Upload-Offset", "0")];
    assert_eq!(rig.tus(&format!("POST {at}"), &patch, b"he").await.status, 204);
    let head = [("X-HTTP-Method-Override", "HEAD")];
    let answer = rig.tus(&format!("POST {at}"), &head, b"").await;
    assert_eq!((answer.status, answer.header("upload-offset")), (200, "2"));
    let options = rig.ask("GET /files", &[("X-HTTP-Method-Override", "OPTIONS")], b"").await;
    assert_eq!((options.status, options.header("tus-version")), (204, "1.0.0"));
    let delete = [("X-HTTP-Method-Override", "DELETE")];
    assert_eq!(rig.tus(&format!("POST {at}"), &delete, b"").await.status, 204);
    let answer = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    assert_eq!(answer.status, 410);
    assert!(!answer.has("upload-offset") && answer.has("tus-resumable"));
}

/// A cut body keeps what came and finishes nothing; a newer request takes over a hanging one.
#[tokio::test]
async fn cut_and_hanging_bodies() {
    let rig = Rig::start().await;
    let at = rig.create(10).await;
    let start = async || {
        let mut stream = rig.connect().await;
        let head = format!(
            "PATCH {at} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
             Upload-Offset: 0\r\nContent-Length: 10\r\n\r\nhel",
            rig.ann
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream
    };
    drop(start().await);
    // Whether the server has read them or not, nothing but their beginning may be there.
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let offset: usize = head.header("upload-offset").parse().expect("an offset");
    assert!(offset <= 3, "{head:?}");
    assert_eq!(rig.tus(&format!("DELETE {at}"), &[], b"").await.status, 204);

    let at = rig.create(10).await;
    let mut hanging = {
        let mut stream = rig.connect().await;
        let head = format!(
            "PATCH {at} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
             Upload-Offset: 0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
            rig.ann
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream
    };
    // Whenever the hanging request has arrived, the next look ends it. Each is waited for: one that
    // was dropped on its way might be heard after what follows.
    let is_answered = std::cell::Cell::new(false);
    let looking = async {
        while !is_answered.get() {
            rig.tus(&format!("HEAD {at}"), &[], b"").await;
        }
    };
    let mut old = [0u8; 12];
    let reading = async {
        hanging.read_exact(&mut old).await.expect("the older is answered");
        is_answered.set(true);
    };
    tokio::join!(reading, looking);
    assert_eq!(&old, b"HTTP/1.1 409");
    let head = rig.tus(&format!("HEAD {at}"), &[], b"").await;
    let offset: usize = head.header("upload-offset").parse().expect("an offset");
    assert!(offset == 0 || offset == 3, "{head:?}");
    let answer = rig.append(&at, offset, &b"helloworld"[offset..]).await;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, "10"));
}

const BOUNDARY: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=xx");

fn form(parts: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (name, value) in parts {
        let file = if *name == "file" { "; filename=\"h\u{fc}.mp4\"" } else { "" };
        body.push_str(&format!(
            "--xx\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str("--xx--\r\n");
    body
}

/// A form is one request: fields on either side of the file count.
#[tokio::test]
async fn a_form_makes_a_video() {
    let rig = Rig::start().await;
    let body = form(&[
        ("title", "Sea"),
        ("tags", "a"),
        ("file", "bytes of a film"),
        ("description", "Waves"),
        ("visibility", "private"),
        ("sessionId", "trip"),
        ("tags", "b"),
    ]);
    let post = async |body: &str| {
        rig.as_token(&rig.ann, "POST /api/videos", &[BOUNDARY], body.as_bytes()).await
    };
    let answer = post(&body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let said = answer.json();
    assert_eq!(said["videoId"], said["video"]["id"]);
    let video = &said["video"];
    assert_eq!((&video["title"], &video["description"]), (&"Sea".into(), &"Waves".into()));
    assert_eq!((&video["visibility"], &video["state"]), (&"private".into(), &"queued".into()));
    assert_eq!((&video["size"], &video["filename"]), (&15.into(), &"hü.mp4".into()));
    assert_eq!(
        (&video["sessionId"], &video["tags"]),
        (&"trip".into(), &serde_json::json!(["a", "b"]))
    );
    let listed = rig.as_token(&rig.ann, "GET /api/uploads?sessionId=trip", &[], b"").await.json();
    assert_eq!(listed["items"][0]["videoId"], said["videoId"], "{listed}");
    assert_eq!(post(&form(&[("title", "x")])).await.status, 400);
    assert_eq!(post(&form(&[("file", "a"), ("file", "b")])).await.status, 400);
    let text = [("Content-Type", "text/plain")];
    let wrong = rig.as_token(&rig.ann, "POST /api/videos", &text, b"x").await;
    assert_eq!(wrong.status, 415);
    let viewer = rig.as_token(&rig.viewer, "POST /api/videos", &[BOUNDARY], body.as_bytes()).await;
    assert_eq!(viewer.status, 403);
}

/// A form that is cut short, or goes wrong behind the file, makes no video.
#[tokio::test]
async fn a_cut_form_makes_nothing() {
    let rig = Rig::start().await;
    let whole = form(&[("file", "bytes of a film"), ("visibility", "private")]);
    let last = whole.len() - "--xx--\r\n".len();
    let cuts = [whole.find("bytes").expect("there") + 5, last - 2, last, last + 3];
    for cut in cuts {
        let answer =
            rig.as_token(&rig.ann, "POST /api/videos", &[BOUNDARY], &whole.as_bytes()[..cut]).await;
        assert_eq!(answer.status, 400, "{cut} {answer:?}");
    }
    let wrong = form(&[("file", "bytes of a film"), ("visibility", "everybody")]);
    let answer = rig.as_token(&rig.ann, "POST /api/videos", &[BOUNDARY], wrong.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-metadata"));
    let listed = rig.as_token(&rig.ann, "GET /api/videos", &[], b"").await.json();
    assert_eq!(listed["items"], serde_json::json!([]));
    let none = rig.parts.state.videos(None, 9, &|video| video.state != VideoState::Uploading);
    assert_eq!(none.expect("read").len(), 0);
}

/// An upload that expired says so for a while, at every one of its addresses, and so does its
/// record in the list; its video is gone.
#[tokio::test]
async fn what_expired_is_gone() {
    let rig = Rig::start_with(|config| config.upload.expire_after_ms = 0).await;
    let tus = rig.create(10).await;
    let begun = json!({"filename": "a.mp4", "size": 10}).to_string();
    let headers = [("Content-Type", "application/json")];
    let line = "POST /api/videos/upload/initiate";
    let begun = rig.as_token(&rig.ann, line, &headers, begun.as_bytes()).await.json();
    let parts = format!("/api/videos/upload/{}", begun["uploadId"].as_str().expect("an id"));
    assert_eq!(rig.parts.uploads.expire_due().await.expect("a round"), 2);

    let head = rig.tus(&format!("HEAD {tus}"), &[], b"").await;
    assert_eq!((head.status, head.has("upload-offset")), (410, false));
    let signed = begun["partUrls"][0]["url"].as_str().expect("an address");
    for (line, headers) in [
        (format!("PATCH {tus}"), &[BYTES, ("Upload-Offset", "0")][..]),
        (format!("DELETE {tus}"), &[]),
        (format!("GET {tus}"), &[]),
        (format!("GET {parts}"), &[]),
        (format!("PUT {parts}/parts/0"), &[]),
        (format!("PUT {signed}"), &[]),
        (format!("DELETE {parts}"), &[]),
    ] {
        let answer = rig.tus(&line, headers, b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (410, "gone"), "{line}");
    }
    let listed = rig.as_token(&rig.ann, "GET /api/uploads?state=expired", &[], b"").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    let videos = rig.as_token(&rig.ann, "GET /api/videos", &[], b"").await.json();
    assert_eq!(videos["items"], json!([]));
}
