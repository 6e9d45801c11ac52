//! What is taken, from whom and how much of it, through every door.

use crate::harness::{Answer, Server, media, pattern, raw, wait_for};
use serde_json::json;
use std::io::{Read, Write};
use std::time::Duration;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OFFSET_TYPE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const KEEP: &str = "SLIPWAY_UPLOAD__KEEP_REJECTED";
const ACCEPT: &str = "SLIPWAY_UPLOAD__ACCEPT";
const QUOTA: &str = "SLIPWAY_UPLOAD__QUOTA_PER_USER";

fn begin(server: &Server, length: &str) -> Answer {
    server.send("POST", "/files", &[TUS, ("Upload-Length", length)], b"")
}

fn initiate(server: &Server, size: usize) -> Answer {
    let said = json!({"filename": "a.mp4", "size": size}).to_string();
    server.send("POST", "/api/videos/upload/initiate", &[JSON], said.as_bytes())
}

fn send_form(server: &Server, bytes: &[u8]) -> Answer {
    let mut body =
        b"--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\
                     \r\n\r\n"
            .to_vec();
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n--b0undary--\r\n");
    let kind = ("Content-Type", "multipart/form-data; boundary=b0undary");
    server.send("POST", "/api/videos", &[kind], &body)
}

fn count_videos(server: &Server) -> usize {
    server.json("/api/videos")["items"].as_array().expect("a list").len()
}

fn delete(server: &Server, video: &str) {
    // What lies in the trash still counts.
    let path = format!("/api/videos/{video}?permanent=true");
    let gone = server.send("DELETE", &path, &[], b"");
    assert_eq!(gone.status, 204, "{}", gone.text());
}

/// The quota holds at every door, through a kill, and what is deleted or ended is given back.
#[test]
fn quotas_hold_at_every_door() {
    let mut server = Server::with(&[(QUOTA, "1000000")]);
    let (path, video) = server.create("a.bin", 600_000);
    let full = |server: &Server| {
        begin(server, "400001").assert_problem(413, "quota-exceeded");
        initiate(server, 400_001).assert_problem(413, "quota-exceeded");
        send_form(server, &pattern(400_001)).assert_problem(413, "quota-exceeded");
        let deferred = [TUS, OFFSET_TYPE, ("Upload-Defer-Length", "1")];
        let grown = server.send("POST", "/files", &deferred, &pattern(400_001));
        grown.assert_problem(413, "quota-exceeded");
        assert_eq!(server.send("DELETE", grown.header("location"), &[TUS], b"").status, 204);
        assert_eq!(grown.json()["retryable"], false);
    };
    full(&server);
    assert_eq!(server.patch(&path, 0, &pattern(250_000)).status, 204);
    server.kill();
    server.restart();
    full(&server);
    assert_eq!(server.patch(&path, 250_000, &pattern(350_000)).status, 204);
    full(&server);
    server.kill();
    server.restart();
    full(&server);
    // Looking never meets a bound.
    assert_eq!(server.offset(&path), 600_000);

    let small = initiate(&server, 400_000);
    assert_eq!(small.status, 201, "{}", small.text());
    begin(&server, "1").assert_problem(413, "quota-exceeded");
    let upload = small.json()["uploadId"].as_str().expect("an id").to_owned();
    let ended = server.send("DELETE", &format!("/api/videos/upload/{upload}"), &[], b"");
    assert_eq!(ended.status, 204);
    assert_eq!(send_form(&server, &pattern(400_000)).status, 201);
    begin(&server, "1").assert_problem(413, "quota-exceeded");
    delete(&server, &video);
    assert_eq!(begin(&server, "600000").status, 201);
}

/// What is announced and what is open are bounded, with a time to come back; each end makes room.
#[test]
fn announcements_and_open_uploads_are_bounded() {
    let settings =
        [("SLIPWAY_UPLOAD__RESERVED_PER_USER", "1 MiB"), ("SLIPWAY_UPLOAD__OPEN_PER_USER", "3")];
    let mut server = Server::with(&settings);
    let (path, _) = server.create("large.bin", 2_000_000);
    let later = |answer: Answer, code: &str| {
        answer.assert_problem(429, code);
        let seconds: u32 = answer.header("retry-after").parse().expect("seconds");
        assert_eq!(answer.json()["retryAfter"], seconds);
        assert_eq!(answer.json()["retryable"], true);
    };
    later(begin(&server, "1"), "too-many-announced-bytes");
    later(initiate(&server, 1), "too-many-announced-bytes");
    server.kill();
    server.restart();
    later(begin(&server, "1"), "too-many-announced-bytes");
    assert_eq!(server.patch(&path, 0, &pattern(1_999_000)).status, 204);
    for _ in 0..2 {
        assert_eq!(begin(&server, "1000").status, 201);
    }
    later(begin(&server, "1"), "too-many-uploads");
    later(send_form(&server, b"x"), "too-many-uploads");
    assert_eq!(server.send("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(begin(&server, "1").status, 201);
}

/// A body beyond the bound on bodies at once is refused before it makes an upload; a look isn't.
#[test]
fn bodies_at_once_are_bounded() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__BODIES_PER_USER", "1")]);
    let ([path, other], head) = (
        [server.create("a.bin", 1000).0, server.create("b.bin", 1000).0],
        format!("Authorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n", server.token),
    );
    let kind = "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n";
    let slow = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\n{head}{kind}Content-Length: 1000\r\n\
         Expect: 100-continue\r\n\r\n"
    );
    let mut hanging = raw(&server.address, &slow, b"");
    // The server asks for a body once it has been let in (RFC 9110, 10.1.1).
    let mut go_on = [0; 21];
    hanging.read_exact(&mut go_on).expect("it is let in");
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
    hanging.write_all(b"abc").expect("it reads");
    let refused = server.patch(&other, 0, b"abc");
    refused.assert_problem(429, "too-many-bodies");
    assert!(!refused.header("retry-after").is_empty());
    let before = count_videos(&server);
    let with_body = [TUS, OFFSET_TYPE, ("Upload-Length", "3")];
    server.send("POST", "/files", &with_body, b"abc").assert_problem(429, "too-many-bodies");
    send_form(&server, b"abc").assert_problem(429, "too-many-bodies");
    assert_eq!(count_videos(&server), before);
    assert_eq!(server.offset(&other), 0);
    // A look takes over, which ends the hanging body.
    assert_eq!(server.offset(&path), 3);
    let after = wait_for("its end", || {
        let answer = server.patch(&other, 0, b"abc");
        (answer.status != 429).then_some(answer)
    });
    assert_eq!(after.status, 204, "{}", after.text());
}

/// A file that surely is none of those taken is refused with its first bytes at every door, and
/// nothing of it stays.
#[test]
fn strangers_are_refused_at_every_door() {
    let server = Server::start();
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend_from_slice(&pattern(300_000));
    let refused = |answer: Answer| {
        answer.assert_problem(415, "unsupported-media");
        assert_eq!(answer.json()["retryable"], false);
        assert_eq!(answer.header("location"), "");
    };
    let (path, _) = server.create("film.mp4", png.len());
    refused(server.patch(&path, 0, &png));
    // Who couldn't read the answer while it was sending asks again.
    assert_eq!(server.send("HEAD", &path, &[TUS], b"").status, 415);
    refused(server.patch(&path, 0, &png));
    let length = png.len().to_string();
    let with_body = [TUS, OFFSET_TYPE, ("Upload-Length", length.as_str())];
    refused(server.send("POST", "/files", &with_body, &png));
    refused(send_form(&server, &png));
    let begun = initiate(&server, png.len()).json();
    let upload = begun["uploadId"].as_str().expect("an id");
    refused(server.send("PUT", &format!("/api/videos/upload/{upload}/parts/0"), &[], &png));
    refused(server.send("GET", &format!("/api/videos/upload/{upload}"), &[], b""));
    refused(server.send("PUT", &format!("/api/videos/upload/{upload}/parts/1"), &[], b"x"));
    for name in ["still.jpg", "mpd.mp4"] {
        refused(send_form(&server, &std::fs::read(media(name)).expect("generated")));
    }
    assert_eq!(count_videos(&server), 0);
    assert!(server.send("GET", "/api/uploads?state=partial", &[], b"").text().contains("[]"));
}

/// What isn't media fails with a word and loses its bytes, through a restart; only its record
/// stays, and its owner's quota is free.
#[test]
fn rejected_files_lose_their_bytes() {
    let mut server = Server::with(&[(KEEP, "false"), (QUOTA, "100000")]);
    let text = b"A text with a film's name. ".repeat(2000);
    let (path, video) = server.create("film.mp4", text.len());
    assert_eq!(server.patch(&path, 0, &text).status, 204);
    let it = server.settled(&video);
    assert_eq!(
        (&it["state"], &it["error"]["code"]),
        (&"failed".into(), &"unsupported-media".into())
    );
    let original = format!("/api/videos/{video}/original");
    server.send("GET", &original, &[], b"").assert_problem(410, "original-not-kept");
    let retry = server.send("POST", &format!("/api/videos/{video}/retry-processing"), &[], b"");
    retry.assert_problem(410, "original-not-kept");
    assert_eq!(begin(&server, "100000").status, 201);
    server.kill();
    server.restart();
    assert_eq!(server.json(&format!("/api/videos/{video}"))["state"], "failed");
    server.send("GET", &original, &[], b"").assert_problem(410, "original-not-kept");
    begin(&server, "1").assert_problem(413, "quota-exceeded");
    assert_eq!(server.offset(&path), text.len());
    delete(&server, &video);
}

/// Where anything is taken, what isn't media is ready as a file, byte by byte as it was sent.
#[test]
fn any_file_may_be_taken() {
    let server = Server::with(&[(ACCEPT, r#"["*/*"]"#), (KEEP, "false")]);
    for name in ["still.jpg", "text.mp4"] {
        let video = server.upload(&media(name));
        let it = server.settled(&video);
        assert_eq!((&it["state"], &it["kind"]), (&"ready".into(), &"file".into()), "{it}");
        assert!(it["error"].is_null() && it["playable"] == false, "{it}");
        assert_eq!(it["renditions"], json!([]));
        let original = server.send("GET", &format!("/api/videos/{video}/original"), &[], b"");
        assert_eq!(original.status, 200);
        assert!(original.body == std::fs::read(media(name)).expect("generated"));
    }
}

/// Sound is no video where only videos are taken.
#[test]
fn sound_is_refused_where_only_video_is_taken() {
    let server = Server::with(&[(ACCEPT, r#"["video/*"]"#)]);
    let it = server.settled(&server.upload(&media("sound.mp3")));
    assert_eq!(
        (&it["state"], &it["error"]["code"]),
        (&"failed".into(), &"unsupported-media".into())
    );
    let detail = it["error"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("sound only"), "{detail}");
}

/// A body that trickles is closed like one that stops, its bytes kept; one that is slow but
/// brings enough gets through.
#[test]
fn trickling_bodies_are_closed() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")]);
    let patch = |length: usize| {
        let (path, _) = server.create("slow.bin", length);
        let token = &server.token;
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nTus-Resumable: \
             1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        (path, raw(&server.address, &head, b""))
    };
    let pause = || std::thread::park_timeout(Duration::from_millis(100));
    // Says what was sent until the server answered or closed.
    let trickle = |stream: &mut std::net::TcpStream, piece: &[u8], count: usize| {
        stream.set_nonblocking(true).expect("a socket");
        let mut answer = Vec::new();
        for _ in 0..count {
            if stream.write_all(piece).is_err() || stream.read_to_end(&mut answer).is_ok() {
                break;
            }
            if !answer.is_empty() {
                break;
            }
            pause();
        }
        stream.set_nonblocking(false).expect("a socket");
        let mut rest = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut rest) {
            answer.extend_from_slice(&rest[..count]);
            if answer.windows(4).any(|four| four == b"\r\n\r\n") {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (path, mut stream) = patch(100_000);
    let answer = trickle(&mut stream, b"x", 100_000);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let kept = server.offset(&path);
    assert!((1..100_000).contains(&kept), "{kept}");

    let (path, mut stream) = patch(40_000);
    let answer = trickle(&mut stream, &[7; 1000], 40);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(server.offset(&path), 40_000);
}
