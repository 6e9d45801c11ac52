//! Requests that no honest client sends: each is refused or cut off, and the server goes on.

use crate::harness::{PATIENCE, Server, media, raw};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What comes back until the server closes; a reset counts as the end.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says how the request was answered; 0 for a connection closed without a word.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Sends a request whose connection is to be closed after the answer.
fn asked(server: &Server, request: &str) -> String {
    let stream = raw(&server.address, "", b"");
    // The server may have refused before all of it is sent.
    let _ = (&stream).write_all(request.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    rest(stream)
}

/// Heads that two parsers could read in two ways, and heads that break the grammar, are refused
/// before anything acts on them.
#[test]
fn malformed_heads_are_refused() {
    let server = Server::start();
    let auth = format!("Authorization: Bearer {}\r\n", server.token);
    let many: String = (0..97).map(|n| format!("X-{n}: 1\r\n")).collect();
    let heads = [
        ("length and chunks", "Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ("two equal lengths", "Host: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n"),
        ("two lengths", "Host: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n"),
        ("a sign", "Host: a\r\nContent-Length: +4\r\n"),
        ("a list", "Host: a\r\nContent-Length: 4, 4\r\n"),
        ("an unknown coding", "Host: a\r\nTransfer-Encoding: xchunked\r\n"),
        ("chunked not last", "Host: a\r\nTransfer-Encoding: chunked, identity\r\n"),
        ("a space before the colon", "Host: a\r\nContent-Length : 3\r\n"),
        ("a folded line", "Host: a\r\nX-A: b\r\n c\r\n"),
        ("no host", ""),
        ("two hosts", "Host: a\r\nHost: b\r\n"),
        ("97 headers", many.as_str()),
    ];
    for (what, lines) in heads {
        let body = "3\r\nabc\r\n0\r\n\r\n";
        let request =
            format!("POST /files HTTP/1.1\r\n{lines}{auth}Upload-Length: 3\r\n\r\n{body}");
        let answer = asked(&server, &request);
        let status = status(&answer);
        assert!(status == 0 || (400..500).contains(&status), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), usize::from(status != 0), "{what}");
    }
    let uploads = server.json("/api/uploads");
    assert_eq!(uploads["items"].as_array().map(Vec::len), Some(0), "{uploads}");
}

/// A chunk longer than any number leaves nothing behind that counts.
#[test]
fn a_chunk_beyond_all_numbers_is_refused() {
    let server = Server::start();
    let (path, _) = server.create("a.bin", 1000);
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nfffffffffffffffff\r\nabc\r\n",
        server.token
    );
    let answer = asked(&server, &request);
    assert!(matches!(status(&answer), 0 | 400..=499), "{answer}");
    assert!(server.offset(&path) <= 3);
}

/// A header longer than 16 KiB is refused by its name, in one of the problems of the API.
#[test]
fn long_headers_are_refused() {
    let server = Server::start();
    let long = "a".repeat(100 << 10);
    server
        .send("GET", "/api/videos", &[("X-Long", long.as_str())], b"")
        .assert_problem(431, "header-too-large");
}

/// Metadata is taken up to its bounds and refused one beyond them.
#[test]
fn metadata_is_bounded() {
    let server = Server::start();
    let create = |metadata: &str| {
        let headers =
            [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5"), ("Upload-Metadata", metadata)];
        server.send("POST", "/files", &headers, b"")
    };
    let keys =
        |count: usize| (0..count).map(|n| format!("k{n} YQ==")).collect::<Vec<_>>().join(",");
    let long = |bytes: usize| format!("t {}", "A".repeat(bytes - 2));
    assert_eq!(create(&keys(32)).status, 201);
    assert_eq!(create(&long(4096 - 2)).status, 201);
    for beyond in [keys(33), long(4097 + 1)] {
        let answer = create(&beyond);
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
}

/// Ids that try to be paths, or end early, name nothing; the address never reaches the disk.
#[test]
fn ids_are_never_paths() {
    let server = Server::start();
    let id = server.upload(&media("silent.mp4"));
    server.settled(&id);
    let bad = ["%00", "..%2f..%2fVERSION", "..%2f", "%2e%2e", "a%00b", "%0d%0aX-A:%20b"];
    for bad in bad {
        for place in ["/files/", "/media/", "/api/videos/", "/watch/"] {
            let answer = server.send("GET", &format!("{place}{bad}"), &[], b"");
            let head = ("tus-resumable", "1.0.0");
            let looked = server.send("HEAD", &format!("{place}{bad}"), &[head], b"");
            for status in [answer.status, looked.status] {
                assert!((400..500).contains(&status), "{place}{bad}: {status}");
            }
            assert_eq!(answer.header("x-a"), "");
        }
        let inside = format!("/media/{id}/{bad}");
        assert_eq!(server.send("GET", &inside, &[], b"").status, 404, "{inside}");
    }
    for outside in ["/media/../admin-token", "/media/%2e%2e/admin-token", "/files/../admin-token"] {
        let request = format!(
            "GET {outside} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\n\r\n",
            server.token
        );
        let answer = asked(&server, &request);
        assert!((400..500).contains(&status(&answer)), "{outside}: {answer}");
        assert!(!answer.contains(&server.token), "{outside}");
    }
}

/// A head that never ends is given up, and so is a connection that says nothing.
#[test]
fn heads_without_an_end_are_closed() {
    let server = Server::start();
    let silent = raw(&server.address, "", b"");
    let endless = raw(&server.address, "GET / HTTP/1.1\r\nHost: a\r\nX-A: ", b"");
    for stream in [silent, endless] {
        let answer = rest(stream);
        assert!(matches!(status(&answer), 0 | 408), "{answer}");
    }
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
}

/// A body that stops coming is closed, and what came of it is kept.
#[test]
fn a_stalled_upload_is_closed_and_kept() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")]);
    let (path, _) = server.create("a.bin", 100_000);
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
         Content-Length: 100000\r\n\r\n",
        server.token
    );
    let answer = rest(raw(&server.address, &head, &[7; 30_000]));
    assert_eq!(status(&answer), 503, "clients try again after this one: {answer}");
    assert!(answer.contains("body-timed-out"), "{answer}");
    assert_eq!(server.offset(&path), 30_000);
}

/// Heads and bodies that come letter by letter are given up like those that don't come: no letter
/// buys time for the next one.
#[test]
fn trickles_are_cut_off() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")]);
    let (path, _) = server.create("a.bin", 100_000);
    let body = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
         Content-Length: 100000\r\n\r\n",
        server.token
    );
    for start in ["GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: ", "GET /", &body] {
        let stream = raw(&server.address, start, b"");
        let end = Instant::now() + PATIENCE;
        while (&stream).write_all(b"x").is_ok() {
            assert!(Instant::now() < end, "{start:?} goes on for ever");
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let answer = rest(stream);
        assert!(matches!(status(&answer), 0 | 408 | 503), "{start:?}: {answer}");
    }
    let kept = server.offset(&path);
    assert!(kept < 10_000, "{kept}");
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
}

/// An answer that comes before the body closes the connection, whether or not the client ever sends
/// the rest.
#[test]
fn an_early_answer_ends_the_connection() {
    let server = Server::start();
    for (method, path) in [("POST", "/nothing"), ("GET", "/healthz"), ("PATCH", "/files/x")] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        let mut stream = raw(&server.address, &head, b"{");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        let mut answer = String::new();
        assert!(stream.read_to_string(&mut answer).is_ok(), "{method} {path} stays open for ever");
        assert!(status(&answer) >= 200, "{method} {path}: {answer}");
    }
}

/// Bodies that aren't uploads have a deadline too: a form's text, JSON, a login.
#[test]
fn every_stalled_body_is_closed() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")]);
    let video = server.upload(&media("silent.mp4"));
    let form = "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nSea";
    let bodies = [
        ("POST", "/api/videos".to_owned(), "multipart/form-data; boundary=x", form, 400..=499),
        ("PATCH", format!("/api/videos/{video}"), "application/json", "{\"title\":", 503..=503),
        ("POST", "/login".to_owned(), "application/x-www-form-urlencoded", "token=a", 400..=499),
    ];
    for (method, path, kind, body, expected) in bodies {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {kind}\r\nContent-Length: 1000\r\n\r\n",
            server.token
        );
        let stream = raw(&server.address, &head, body.as_bytes());
        stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a timeout");
        let mut answer = String::new();
        let read = (&stream).read_to_string(&mut answer);
        assert!(read.is_ok(), "{method} {path} stays open for ever");
        assert!(expected.contains(&status(&answer)), "{method} {path}: {answer}");
    }
    assert_eq!(server.settled(&video)["state"], "ready");
}

/// A request with a body that is refused.
struct Refused {
    what: &'static str,
    status: u16,
    /// Method, address and headers but those of the body's framing.
    head: String,
    /// How the body begins.
    start: String,
}

/// How much a sender tries to get rid of.
const TRIED_BYTES: usize = 512 << 20;
/// What a refused body may cost its sender.
const COST_BYTES_MAX: usize = 4 << 20;

/// Sends a body of [`TRIED_BYTES`] without looking up, as long as it is taken; only then reads.
/// Returns how many bytes went beyond the client's own buffer, and the answer.
fn push(server: &Server, case: &Refused, chunked: bool) -> (usize, String) {
    let stream = raw(&server.address, "", b"");
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, 64 << 10).expect("a socket");
    let buffered = rustix::net::sockopt::socket_send_buffer_size(&stream).expect("a socket");
    let framing = match chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {TRIED_BYTES}"),
    };
    let mut wire = format!("{}Host: localhost\r\n{framing}\r\n\r\n", case.head).into_bytes();
    let head_bytes = wire.len();
    let mut piece = case.start.clone().into_bytes();
    piece.resize(64 << 10, b'x');
    let mut pushed = 0;
    while pushed < TRIED_BYTES {
        if chunked {
            wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        }
        wire.extend_from_slice(&piece);
        if chunked {
            wire.extend_from_slice(b"\r\n");
        }
        while !wire.is_empty() {
            let Ok(count @ 1..) = (&stream).write(&wire) else {
                return (pushed.saturating_sub(head_bytes + buffered), rest(stream));
            };
            pushed += count;
            wire.drain(..count);
        }
        if !case.what.ends_with("empty lines") {
            piece.fill(b'x');
        }
    }
    (pushed, rest(stream))
}

fn refused(what: &'static str, status: u16, head: String, start: String) -> Refused {
    Refused { what, status, head, start }
}

/// An id that nothing has.
const NOBODY: &str = "0190f3f0-0000-7000-8000-000000000000";

/// Appending to an upload of 1,000 bytes, and creating one, refused for each reason.
fn refused_by_tus(server: &Server, tus: &str) -> Vec<Refused> {
    let auth = format!("Authorization: Bearer {}\r\n", server.token);
    let v1 = format!("{auth}Tus-Resumable: 1.0.0\r\n");
    let bytes = "Content-Type: application/offset+octet-stream\r\n";
    let v1_bytes = format!("{v1}{bytes}");
    let patch = |what, status, path: &str, offset: usize, headers: &str| {
        let head = format!("PATCH {path} HTTP/1.1\r\nUpload-Offset: {offset}\r\n{headers}");
        refused(what, status, head, String::new())
    };
    let post = |what, status, length: usize, headers: &str| {
        let head = format!("POST /files HTTP/1.1\r\nUpload-Length: {length}\r\n{headers}");
        refused(what, status, head, String::new())
    };
    vec![
        patch("patch, no token", 401, tus, 0, bytes),
        patch("patch, no version", 412, tus, 0, &format!("{auth}{bytes}")),
        patch("patch, nothing", 404, &format!("/files/{NOBODY}"), 0, &v1_bytes),
        patch("patch, type", 415, tus, 0, &v1),
        patch("patch, offset", 409, tus, 7, &v1_bytes),
        patch("patch, length", 413, tus, 0, &v1_bytes),
        post("create, no token", 401, 1000, bytes),
        post("create, no version", 412, 1000, &auth),
        post("create, type", 415, 1000, &v1),
        post("create, too large", 413, TRIED_BYTES, &v1_bytes),
        post("create, length", 413, 1000, &v1_bytes),
        refused("a look", 200, format!("HEAD {tus} HTTP/1.1\r\n{v1}"), String::new()),
        refused("a preflight", 204, format!("OPTIONS {tus} HTTP/1.1\r\n"), String::new()),
    ]
}

/// Parts, raw and in forms, refused for each reason. `parts` is an upload in parts, `tus` another.
fn refused_parts(server: &Server, parts: &str, tus: &str) -> Vec<Refused> {
    let auth = format!("Authorization: Bearer {}\r\n", server.token);
    let kind = "Content-Type: multipart/form-data; boundary=b\r\n";
    let put = |what, status, id: &str, headers: &str| {
        let head = format!("PUT /api/videos/upload/{id}/parts/0 HTTP/1.1\r\n{headers}");
        refused(what, status, head, String::new())
    };
    let form = |what, status, id: &str, headers: &str| {
        let head = format!("POST /api/videos/upload/chunk HTTP/1.1\r\n{headers}");
        let start = field("uploadId", id) + &field("chunkIndex", "0") + &file("chunk");
        refused(what, status, head, start)
    };
    let auth_kind = format!("{auth}{kind}");
    vec![
        put("part, no token", 401, parts, ""),
        put("part, nothing", 404, NOBODY, &auth),
        put("part, tus", 409, tus, &auth),
        put("part, size", 422, parts, &auth),
        form("chunk, no token", 401, parts, kind),
        form("chunk, nothing", 404, NOBODY, &auth_kind),
        form("chunk, type", 415, parts, &format!("{auth}Content-Type: application/json\r\n")),
        form("chunk, tus", 409, tus, &auth_kind),
        form("chunk, size", 422, parts, &auth_kind),
    ]
}

/// A form's text field.
fn field(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// The head of a form's file.
fn file(name: &str) -> String {
    let place = format!("form-data; name=\"{name}\"; filename=\"a\"");
    format!("--b\r\nContent-Disposition: {place}\r\n\r\n")
}

/// Forms with a file, refused for each reason, and what isn't an upload at all.
fn refused_forms(server: &Server) -> Vec<Refused> {
    let auth = format!("Authorization: Bearer {}\r\n", server.token);
    let json = format!("{auth}Content-Type: application/json\r\n");
    let kind = "Content-Type: multipart/form-data; boundary=b\r\n";
    let form = |what, status, start: &str| {
        let head = format!("POST /api/videos HTTP/1.1\r\n{auth}{kind}");
        refused(what, status, head, start.to_owned())
    };
    let bare = |what, status, head: &str, headers: &str| {
        refused(what, status, format!("{head} HTTP/1.1\r\n{headers}"), "\"".to_owned())
    };
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    vec![
        bare("form, no token", 401, "POST /api/videos", kind),
        bare("form, type", 415, "POST /api/videos", &json),
        form("form, too large", 413, &file("file")),
        form("form, a long field", 413, &file("title")),
        form("form, no field", 413, ""),
        form("form, no name", 413, "--b\r\nX: 1"),
        form("form, nothing in it", 400, "--b--\r\n"),
        form("form, empty lines", 413, &"\r\n".repeat(32 << 10)),
        bare("json", 413, "POST /api/videos/upload/initiate", &json),
        bare("no place", 404, "POST /nothing", &auth),
        bare("a reading", 200, "GET /healthz", ""),
        bare("another protocol", 404, "GET /nothing", upgrade),
    ]
}

/// A refused body costs its sender at most 4 MiB, whatever its framing, even on loopback; and the
/// answer can be read, even by a client that sends all before it reads. What the client's own
/// send buffer holds isn't counted; what the server's socket holds is.
#[test]
fn a_refused_body_costs_little() {
    let server = Server::with(&[
        ("SLIPWAY_UPLOAD__MAX_SIZE", "256 KiB"),
        ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
    ]);
    let (tus, _) = server.create("a.bin", 1000);
    let said = r#"{"filename": "a.mp4", "size": 250000, "chunkSize": 262144}"#;
    let json = ("Content-Type", "application/json");
    let plan = server.send("POST", "/api/videos/upload/initiate", &[json], said.as_bytes()).json();
    let parts = plan["uploadId"].as_str().expect("an id");
    let mut cases = refused_by_tus(&server, &tus);
    cases.extend(refused_parts(&server, parts, tus.trim_start_matches("/files/")));
    cases.extend(refused_forms(&server));
    for case in &cases {
        for chunked in [false, true] {
            let (cost, answer) = push(&server, case, chunked);
            let what = format!("{}, chunked: {chunked}", case.what);
            println!("{what}: {cost} bytes, {}", status(&answer));
            assert!(cost <= COST_BYTES_MAX, "{what}: {cost} bytes");
            // A form whose length is beyond any file's is refused before it is looked at.
            let early = !chunked && case.what.starts_with("form") && status(&answer) == 413;
            assert!(early || status(&answer) == case.status, "{what}: {answer}");
        }
    }
}
