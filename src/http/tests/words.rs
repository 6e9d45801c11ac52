//! Words that people send with their files, in the hope that a page, a header or a path is made of
//! them; and addresses that are dressed as others.

use super::doors::JSON;
use super::rig::{Answer, BYTES, Rig};
use crate::ids::VideoId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::path::Path;

/// What is sent as title, description, tag and file name. Each holds `evil`, by which it is found.
const WORDS: [&str; 24] = [
    r#""><script>evil()</script>"#,
    "'><script>evil()</script>",
    "</title><script>evil()</script>",
    "</script><script>evil()</script>",
    "--><script>evil()</script><!--",
    "<svg/onload=evil()>",
    "<img src=x onerror=evil()>",
    "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>evil()</script></svg>.svg",
    "evil.svg",
    "evil.html",
    "evil.js",
    "javascript:evil()",
    "{{constructor.constructor('evil()')()}}",
    "\u{202e}4pm.<script>evil()</script>",
    "evil\r\nX-Injected: 1\r\n\r\n<script>evil()</script>",
    "evil\nX-Injected: 1",
    "evil\rX-Injected: 1",
    "evil\0.mp4",
    "evil\"; filename=\"x.html",
    "../../../../evil",
    "..\\..\\..\\evil",
    "/etc/evil",
    "%2e%2e%2f%2e%2e%2fevil",
    "evil;$(touch evil)`touch evil`|touch evil",
];

/// Begins an upload of a small file with words, by tus or by a form; none if they are refused.
async fn bring(rig: &Rig, word: &str, door: &str) -> Option<VideoId> {
    let answer = if door == "form" {
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = word.replace(['\r', '\n', '\0'], " ").replace('"', "%22");
        let body = format!(
            "{}{}{}--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file}\"\r\n\
             Content-Type: image/svg+xml\r\n\r\nhello\r\n--b--\r\n",
            part("title", word),
            part("description", word),
            part("visibility", "public"),
        );
        let kind = [("Content-Type", "multipart/form-data; boundary=b")];
        rig.as_token(&rig.ann, "POST /api/videos", &kind, body.as_bytes()).await
    } else {
        let coded = STANDARD.encode(word);
        let metadata = format!(
            "filename {coded},title {coded},description {coded},tags {coded},filetype {coded},\
             visibility {}",
            STANDARD.encode("public")
        );
        let headers = [BYTES, ("Upload-Length", "5"), ("Upload-Metadata", metadata.as_str())];
        rig.tus("POST /files", &headers, b"hello").await
    };
    assert!(matches!(answer.status, 201 | 400 | 415), "{word:?} by {door}: {answer:?}");
    assert_plain(&answer, word);
    let id = match door {
        _ if answer.status != 201 => return None,
        "form" => answer.json()["videoId"].as_str().expect("an id").to_owned(),
        _ => answer.header("slipway-video").to_owned(),
    };
    Some(VideoId::parse(&id).expect("a video's id"))
}

/// Checks that an answer has no header and no markup of a word's.
fn assert_plain(answer: &Answer, word: &str) {
    assert!(!answer.has("x-injected"), "{word:?}: {answer:?}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{word:?}");
    let kind = answer.header("content-type");
    let text = String::from_utf8_lossy(&answer.body);
    if kind.starts_with("text/html") {
        assert!(
            !text.contains("<script>evil") && !text.contains("<svg/onload"),
            "{word:?}: {text}"
        );
        assert!(!text.contains("<img src=x") && !text.contains("<svg xmlns"), "{word:?}: {text}");
        let policy = answer.header("content-security-policy");
        assert!(!policy.contains("script-src 'unsafe-inline'"), "{policy}");
        assert!(!policy.contains("unsafe-eval"), "{policy}");
    } else {
        let harmless =
            ["application/json", "application/problem+json", "video/", "audio/", "image/jpeg"];
        let octets = ["application/octet-stream", ""];
        let known = harmless.iter().any(|known| kind.starts_with(known)) || octets.contains(&kind);
        assert!(known, "{word:?}: {kind}");
    }
}

/// Everything that lies beneath a directory.
fn names_beneath(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("listed").flatten() {
        found.push(entry.path().display().to_string());
        if entry.path().is_dir() {
            names_beneath(&entry.path(), found);
        }
    }
}

/// Whatever somebody calls a file or says of it becomes no markup, no header, no kind of content
/// that a browser runs, and no name on the disk.
#[tokio::test]
async fn words_are_only_words() {
    let rig = Rig::start().await;
    let mut brought = 0;
    for word in WORDS {
        for door in ["tus", "form"] {
            let Some(video) = bring(&rig, word, door).await else { continue };
            brought += 1;
            rig.publish(video, &[("poster.jpg", b"jpeg")]).await;
            for line in [
                format!("GET /watch/{video}"),
                format!("GET /embed/{video}"),
                format!("GET /oembed?url=/watch/{video}"),
                format!("GET /api/videos/{video}"),
                format!("GET /media/{video}/poster.jpg"),
            ] {
                let answer = rig.ask(&line, &[], b"").await;
                assert_eq!(answer.status, 200, "{line} {word:?}: {answer:?}");
                assert_plain(&answer, word);
                if line.contains("oembed") {
                    let html = answer.json()["html"].as_str().expect("markup").to_owned();
                    assert!(html.matches('<').count() == 2, "a frame and its end: {html}");
                }
            }
            for line in ["GET /api/videos", "GET /api/uploads?state=finished", "GET /library"] {
                assert_plain(&rig.as_token(&rig.ann, line, &[], b"").await, word);
            }
            let line = format!("GET /api/videos/{video}/original");
            let original = rig.as_token(&rig.ann, &line, &[], b"").await;
            assert_plain(&original, word);
            let disposition = original.header("content-disposition");
            assert!(disposition.starts_with("attachment; filename=\""), "{word:?}: {disposition}");
            let quotes = disposition.matches('"').count();
            assert_eq!(quotes, 2, "{word:?}: {disposition}");
        }
    }
    assert!(brought > WORDS.len(), "only {brought} were taken");
    let mut names = Vec::new();
    let root = rig.parts.disk.root().parent().expect("its directory").to_owned();
    names_beneath(&root, &mut names);
    let strange: Vec<_> = names.iter().filter(|name| name.contains("evil")).collect();
    assert!(strange.is_empty(), "{strange:?}");
    let beside: Vec<_> = std::fs::read_dir(&root).expect("listed").flatten().collect();
    assert_eq!(beside.len(), 1, "nothing lies beside the data directory: {beside:?}");
}

/// Words that are changed later, and those of captions, are as harmless; a text track's own markup
/// is what WebVTT knows and nothing else.
#[tokio::test]
async fn later_words_and_captions_too() {
    let rig = Rig::start().await;
    let video = rig.bring(b"hello").await;
    for word in WORDS {
        let change = json!({ "title": word, "description": word, "tags": [word] }).to_string();
        let line = format!("PATCH /api/videos/{video}");
        let changed = rig.as_token(&rig.ann, &line, &[JSON], change.as_bytes()).await;
        assert!(matches!(changed.status, 200 | 400), "{word:?}: {changed:?}");
        let page = rig.ask(&format!("GET /watch/{video}"), &[], b"").await;
        assert_plain(&page, word);
        let label: String = word.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let line = format!("PUT /api/videos/{video}/captions/en?label={label}");
        let text = word.replace(['\r', '\n', '\0'], " ");
        let text = format!("WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n");
        let put = rig.as_token(&rig.ann, &line, &[], text.as_bytes()).await;
        assert!(matches!(put.status, 200 | 400 | 422), "{word:?}: {put:?}");
        assert_plain(&put, word);
        if put.status == 200 {
            let label = put.json()["label"].as_str().expect("a label").to_owned();
            assert!(!label.contains(char::is_control), "{label:?} gets into playlists");
            let line = format!("GET /api/videos/{video}/captions/en");
            let track = rig.as_token(&rig.ann, &line, &[], b"").await;
            assert_eq!(track.header("content-type"), "text/vtt; charset=utf-8");
            let text = String::from_utf8_lossy(&track.body).into_owned();
            assert!(!text.contains("<s") && !text.contains("<img"), "{word:?}: {text}");
        }
    }
    for lang in ["..%2f..%2fevil", "%2e%2e", "en%00", "en%2fx", "en%0d%0aX-Injected:%201", "<s>"] {
        let line = format!("PUT /api/videos/{video}/captions/{lang}");
        let put =
            rig.as_token(&rig.ann, &line, &[], b"WEBVTT\n\n00:01.000 --> 00:02.000\nx\n").await;
        assert!(matches!(put.status, 400 | 404), "{lang}: {put:?}");
        assert!(!put.has("x-injected"), "{lang}");
    }
}

/// An address is what it says: whatever is written around it, nobody gets past a check to another.
#[tokio::test]
async fn dressed_addresses_lead_nowhere() {
    let rig = Rig::start().await;
    let (video, other) = (rig.bring(b"hello").await, rig.bring(b"other").await);
    for video in [video, other] {
        let line = format!("PATCH /api/videos/{video}");
        let change = br#"{"visibility":"private"}"#;
        assert_eq!(rig.as_token(&rig.ann, &line, &[JSON], change).await.status, 200);
        rig.publish(video, &[("poster.jpg", b"a picture")]).await;
    }
    let line = "POST /api/upload-grants";
    let asked = rig.as_token(&rig.ann, line, &[JSON], br#"{"expiresIn":60}"#).await;
    let grant = asked.json()["grant"].as_str().expect("a grant").to_owned();
    let line = format!("POST /api/videos/{video}/playback-token");
    let made = rig.as_token(&rig.ann, &line, &[], b"").await;
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let tokens = [
        "/api/admin/tokens/",
        "//api/admin/tokens",
        "/api//admin/tokens",
        "/./api/admin/tokens",
        "/healthz/../api/admin/tokens",
        "/healthz/%2e%2e/api/admin/tokens",
        "/static/..%2fapi%2fadmin%2ftokens",
        "/static/..%2f..%2fadmin-token",
        "/static/%2e%2e/%2e%2e/admin-token",
        "/api/admin/tokens;/healthz",
        "/api/admin/tokens%2f",
        "/api/admin/tokens%00",
        "/api/admin/tokens%20",
        "/api/%61dmin/tokens",
        "/API/ADMIN/tokens",
        "/%2fapi/admin/tokens",
        "/api/admin\\tokens",
        "/g/{grant}/api/admin/tokens",
        "/g/{grant}//api/admin/tokens",
        "/g/{grant}/files/../api/admin/tokens",
        "/g/{grant}/api/../api/admin/tokens",
        "/g/{grant}/api/%61dmin/tokens",
        "/g/{grant}/files/..%2f..%2fadmin-token",
        "/g/{grant}%2fapi/admin/tokens",
        "/g/{grant}/g/{grant}/api/admin/tokens",
        "/media/s/{token}/../../api/admin/tokens",
        "/media/s/{token}/{video}/../../../../api/admin/tokens",
        "/media/s/{token}/{video}/../{other}/poster.jpg",
        "/media/s/{token}/{video}/..%2f{other}%2fposter.jpg",
        "/media/s/{token}/{video}%2f..%2f{other}/poster.jpg",
        "/media/s/{token}/{other}/poster.jpg",
        "/media/s/{token}/{video}/..%2f..%2f..%2fadmin-token",
        "/media/s/{token}/{video}/..%2f..%2f..%2foriginals",
        "/media/{video}/poster.jpg",
        "/media/{video}/%2e%2e/{other}/poster.jpg",
        "/media//{video}/poster.jpg",
    ];
    let filled = |line: &str| {
        line.replace("{grant}", &grant)
            .replace("{token}", &token)
            .replace("{video}", &video.to_string())
            .replace("{other}", &other.to_string())
    };
    for address in tokens {
        let line = format!("GET {}", filled(address));
        for caller in [None, Some(&rig.bob)] {
            let answer = match caller {
                Some(token) => rig.as_token(token, &line, &[], b"").await,
                None => rig.ask(&line, &[], b"").await,
            };
            let refused = matches!(answer.status, 400 | 401 | 403 | 404);
            assert!(refused, "{address} {}: {answer:?}", caller.is_some());
            let text = String::from_utf8_lossy(&answer.body);
            assert!(!text.contains("a picture") && !text.contains("items"), "{address}: {text}");
        }
    }
    let own = rig.ask(&filled("GET /media/s/{token}/{video}/poster.jpg"), &[], b"").await;
    assert_eq!((own.status, own.body.as_slice()), (200, b"a picture".as_slice()));
}
