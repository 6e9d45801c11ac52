//! Several clients on one upload, and clients that hang or come back from elsewhere: the newest
//! request wins, and the bytes are right.

use crate::harness::{Server, pattern, raw, sha256, wait_for};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Returns the head of a PATCH with a body of `length` bytes.
fn head(server: &Server, path: &str, at: usize, length: usize) -> String {
    format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: {at}\r\nContent-Length: {length}\r\n\
         Content-Type: application/offset+octet-stream\r\nConnection: close\r\n\r\n",
        server.token
    )
}

/// Reads what comes until the server closes; what it breaks off counts as said.
fn said(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until more than `before` bytes of the only upload are recorded, disturbing nobody.
fn arrived(server: &Server, before: usize) -> usize {
    wait_for("the bytes to arrive", || {
        let uploads = server.json("/api/uploads?state=partial");
        let got = uploads["items"][0]["receivedBytes"].as_u64().unwrap_or(0) as usize;
        (got > before).then_some(got)
    })
}

/// Four clients that each want to bring the whole file, all at once and against each other: what
/// one has brought the others need not send again, and the file is right.
#[test]
fn four_writers_on_one_upload() {
    let server = Server::start();
    let bytes = pattern(6_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    let requests = std::sync::atomic::AtomicUsize::new(0);
    let write = || {
        let mut before = 0;
        loop {
            let look = server.send("HEAD", &path, &[("Tus-Resumable", "1.0.0")], b"");
            // Overtaken while it waited for its turn.
            if look.status == 409 {
                continue;
            }
            assert_eq!(look.status, 200, "{}", look.text());
            let at: usize = look.header("upload-offset").parse().expect("a number");
            assert!(at >= before, "the offset went back from {before} to {at}");
            before = at;
            if at == bytes.len() {
                return;
            }
            requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut stream = raw(&server.address, &head(&server, &path, at, bytes.len() - at), b"");
            for piece in bytes[at..].chunks(40_000) {
                // Who is overtaken is told so and cut off.
                if stream.write_all(piece).is_err() {
                    break;
                }
                // Lets the others have their turn, too.
                std::thread::yield_now();
            }
            let answer = said(&mut stream);
            let status = answer.get(9..12).unwrap_or_default().to_owned();
            assert!(["204", "409", ""].contains(&status.as_str()), "{answer}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(write);
        }
    });
    let got = server.send("GET", &path, &[], b"");
    assert_eq!((got.status, sha256(&got.body)), (200, sha256(&bytes)));
    assert!(requests.into_inner() >= 1);
}

/// A writer that neither sends nor reads any more holds nobody up: the next request takes over
/// with what has come, and what the hung one sends later has no effect.
#[test]
fn a_hung_writer_holds_nobody_up() {
    let server = Server::start();
    let bytes = pattern(900_000);
    let (path, _) = server.create("a.bin", bytes.len());
    let mut at = 0;
    let mut hung = Vec::new();
    for round in 1..=3 {
        let head = head(&server, &path, at, bytes.len() - at);
        let mut stream = raw(&server.address, &head, &bytes[at..at + 100_000]);
        stream.flush().expect("it was sent");
        hung.push(stream);
        let sent = at + 100_000;
        let recorded = arrived(&server, at);
        at = server.offset(&path);
        assert!((recorded..=sent).contains(&at), "round {round}: {recorded}, then {at}");
    }
    for stream in &mut hung {
        // Lies, sent by somebody who was overtaken.
        let _ = stream.write_all(&[0xEE; 50_000]);
    }
    let answer = server.patch(&path, at, &bytes[at..]);
    assert_eq!(answer.status, 204, "{}", answer.text());
    for stream in &mut hung {
        let answer = said(stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 409"), "{answer}");
    }
    let got = server.send("GET", &path, &[], b"");
    assert_eq!((got.status, sha256(&got.body)), (200, sha256(&bytes)));
}

/// A client whose network changed: the old connection is still open on the server's side when the
/// new one comes, from another address.
#[test]
fn a_client_comes_back_from_another_address() {
    let server = Server::start();
    let bytes = pattern(500_000);
    let (path, _) = server.create("a.bin", bytes.len());
    let old = raw(&server.address, &head(&server, &path, 0, bytes.len()), &bytes[..200_000]);
    arrived(&server, 0);
    let at = server.offset(&path);
    let mut new = from_elsewhere(&server);
    let head = head(&server, &path, at, bytes.len() - at);
    new.write_all(head.as_bytes()).and_then(|()| new.write_all(&bytes[at..])).expect("it reads");
    let answer = said(&mut new);
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    drop(old);
    let got = server.send("GET", &path, &[], b"");
    assert_eq!((got.status, sha256(&got.body)), (200, sha256(&bytes)));
}

/// Connects from 127.0.0.2.
fn from_elsewhere(server: &Server) -> TcpStream {
    let host = server.address.trim_start_matches("http://").parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let stream = runtime.expect("a runtime").block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("loopback is a network");
        socket.connect(host).await.expect("it listens").into_std().expect("plain")
    });
    stream.set_nonblocking(false).expect("plain");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    assert!(stream.local_addr().is_ok_and(|from| from.ip().to_string() == "127.0.0.2"));
    stream
}
