//! Requests that no honest client sends: each is refused or cut off, and the server goes on.

use crate::harness::{Server, media, raw};
use std::io::{Read, Write};
use std::net::TcpStream;

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
        ("POST", "/api/videos".to_owned(), "multipart/form-data; boundary=x", form),
        ("PATCH", format!("/api/videos/{video}"), "application/json", "{\"title\":"),
        ("POST", "/login".to_owned(), "application/x-www-form-urlencoded", "token=a"),
    ];
    for (method, path, kind, body) in bodies {
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
        assert!(matches!(status(&answer), 400..=499), "{method} {path}: {answer}");
    }
    assert_eq!(server.settled(&video)["state"], "ready");
}
