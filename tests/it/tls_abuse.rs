//! Requests that no honest client sends, over TLS and over HTTP/2: frames are made by hand.

use crate::harness::{PATIENCE, Server, media};
use crate::tls::{Secured, Stream};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Instant;

/// How a client begins HTTP/2 (RFC 9113, 3.4), with no settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request's fields, each as a literal (RFC 7541, 6.2.2).
fn fields(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own =
        [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")];
    let mut block = Vec::new();
    for (name, value) in own.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "one byte says how long it is");
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// What a frame is, and what is in it; none at the connection's end.
fn read_frame(stream: &mut Stream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
    let mut payload = vec![0; number(&head[..3]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], head[4], number(&head[5..]), payload))
}

/// Reads until these streams have ended, or nothing more comes, and answers what an HTTP/2 client
/// has to, so that the connection looks alive. Returns the ended streams, in order, and all data.
fn until_ended(stream: &mut Stream, wanted: &[u32]) -> (Vec<u32>, String) {
    let (mut ended, mut data) = (Vec::new(), Vec::new());
    let is_all =
        |ended: &Vec<u32>| !wanted.is_empty() && wanted.iter().all(|it| ended.contains(it));
    while !is_all(&ended)
        && let Some((kind, flags, id, payload)) = read_frame(stream)
    {
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let payload = if kind == PING { payload } else { Vec::new() };
                let _ = stream.write_all(&frame(kind, ACK, 0, &payload));
                let _ = stream.flush();
            }
            DATA => data.extend(payload),
            _ => {}
        }
        if kind == RST_STREAM || (kind <= HEADERS && flags & END_STREAM != 0) {
            ended.push(id);
        }
    }
    ended.sort_unstable();
    ended.dedup();
    (ended, String::from_utf8_lossy(&data).into_owned())
}

fn send(stream: &mut Stream, bytes: &[u8]) {
    stream.write_all(bytes).expect("it reads");
    stream.flush().expect("it reads");
}

/// Bodies that stop coming, of which the length is known or isn't.
const STALLED: [(&str, &str, &str, &str); 4] = [
    ("POST", "/api/videos", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: f"),
    ("PATCH", "/api/videos/ID", "application/json", "{\"title\":"),
    ("POST", "/login", "application/x-www-form-urlencoded", "token=a"),
    ("PATCH", "FILE", "application/offset+octet-stream", "hello"),
];

/// Fills in what is in the data directory.
fn there(server: &Secured, path: &str, video: &str) -> String {
    match path {
        "FILE" => {
            let created = ["-X", "POST", "-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Length: 100"];
            let (_, head) = server.asked("/files", &[&created[..], &["-D", "-"]].concat());
            let at = head.lines().find_map(|line| line.strip_prefix("location: "));
            at.expect("an address").trim().to_owned()
        }
        path => path.replace("ID", video),
    }
}

fn film(secured: &Secured) -> String {
    let form = format!("file=@{}", media("silent.mp4").display());
    let (_, body) = secured.asked("/api/videos", &["--http2", "-F", &form]);
    let said: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    said["videoId"].as_str().expect("an id").to_owned()
}

/// A body that stops coming ends over HTTP/2 as over HTTP/1.1, with and without a length: an answer
/// comes and the stream is closed, while others on the same connection go on.
#[test]
fn every_stalled_body_is_closed_over_http_2() {
    let secured = Secured::start(&[("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")]);
    let token = format!("Bearer {}", secured.server.token);
    let video = film(&secured);
    for length in [Some("100"), None] {
        let mut stream = secured.connect(b"h2");
        send(&mut stream, PREFACE);
        let mut open = Vec::new();
        for (n, (method, path, kind, body)) in STALLED.into_iter().enumerate() {
            let id = u32::try_from(n).expect("few") * 2 + 1;
            let path = there(&secured, path, &video);
            let mut more = vec![
                ("authorization", token.as_str()),
                ("content-type", kind),
                ("tus-resumable", "1.0.0"),
                ("upload-offset", "0"),
            ];
            more.extend(length.map(|length| ("content-length", length)));
            let head = frame(HEADERS, END_HEADERS, id, &fields(method, &path, &more));
            send(&mut stream, &head);
            send(&mut stream, &frame(DATA, 0, id, body.as_bytes()));
            open.push(id);
        }
        let last = 99;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, last, &fields("GET", "/healthz", &[]));
        send(&mut stream, &head);
        open.push(last);
        let (ended, data) = until_ended(&mut stream, &open);
        assert_eq!(ended, open, "length {length:?}: {data}");
        assert!(data.contains("body-timed-out"), "{data}");
    }
}

/// The same over HTTP/1.1 with TLS: an answer comes, the connection ends, and what came is kept.
#[test]
fn every_stalled_body_is_closed_over_tls() {
    let secured = Secured::start(&[("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")]);
    let at = there(&secured, "FILE", "");
    let mut stream = secured.connect(b"http/1.1");
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTus-Resumable: \
         1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\
         Content-Length: 100\r\n\r\nhello",
        secured.server.token
    );
    send(&mut stream, head.as_bytes());
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(ended.is_ok() || !is_timeout(&ended), "it stays open for ever: {answer}");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("body-timed-out"), "{answer}");
    let (_, head) = secured.asked(&at, &["-I", "-H", "Tus-Resumable: 1.0.0"]);
    assert!(head.contains("upload-offset: 5"), "{head}");
}

/// What never becomes a request is given up, though its client answers each ping: a handshake that
/// doesn't come, a connection that says nothing, a head that doesn't end, over either version.
#[test]
fn slow_beginnings_are_closed() {
    let secured = Secured::start(&[]);
    let host = secured.server.host();
    let silent = TcpStream::connect(host).expect("it listens");
    let mut half = TcpStream::connect(host).expect("it listens");
    half.write_all(&[22, 3, 1, 2, 0, 1]).expect("sent");
    let quiet = secured.connect(b"http/1.1");
    let mut slow = secured.connect(b"http/1.1");
    send(&mut slow, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ");
    let unsaid = secured.connect(b"h2");
    let mut idle = secured.connect(b"h2");
    send(&mut idle, PREFACE);
    let mut headless = secured.connect(b"h2");
    send(&mut headless, PREFACE);
    send(&mut headless, &frame(HEADERS, 0, 1, &fields("GET", "/healthz", &[])[..20]));
    for mut raw in [silent, half] {
        raw.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut rest = Vec::new();
        let ended = raw.read_to_end(&mut rest);
        assert!(ended.is_ok() || !is_timeout(&ended), "a handshake is waited for without an end");
    }
    for mut stream in [quiet, slow, unsaid] {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || !is_timeout(&ended), "{}", String::from_utf8_lossy(&rest));
    }
    for mut stream in [idle, headless] {
        let (ended, _) = until_ended(&mut stream, &[]);
        assert_eq!(ended, [0; 0]);
    }
    assert_eq!(secured.asked("/healthz", &["--http2"]).0, "2 200");
}

fn is_timeout<T>(ended: &std::io::Result<T>) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    ended.as_ref().is_err_and(|error| matches!(error.kind(), TimedOut | WouldBlock))
}

/// One connection can't have any number of requests at once: those beyond the bound are refused,
/// and one that goes on and takes no answers is ended. The server goes on.
#[test]
fn one_connection_cant_have_all_requests() {
    let secured = Secured::start(&[]);
    let token = format!("Bearer {}", secured.server.token);
    let mut stream = secured.connect(b"h2");
    send(&mut stream, PREFACE);
    let more = [("authorization", token.as_str())];
    let (mut sent, mut refused) = (0u32, false);
    // Each listens for events, and so has no end.
    for n in 0..1000 {
        let fields = fields("GET", "/api/events", &more);
        let head = frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &fields);
        if stream.write_all(&head).and_then(|()| stream.flush()).is_err() {
            break;
        }
        sent += 1;
    }
    let end = Instant::now() + PATIENCE;
    while let Some((kind, _, _, payload)) = read_frame(&mut stream) {
        refused |= kind == DATA && String::from_utf8_lossy(&payload).contains("at once on this");
        assert!(Instant::now() < end, "{sent} requests, and none was refused");
        if refused {
            break;
        }
    }
    println!("{sent} requests were sent, one beyond the bound refused: {refused}");
    assert_eq!(secured.asked("/healthz", &["--http2"]).0, "2 200");

    // Windows of no size: no answer can be sent, so each request stays.
    let mut stream = secured.connect(b"h2");
    send(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    send(&mut stream, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for n in 0..1000 {
        let fields = fields("GET", "/openapi.json", &more);
        let head = frame(HEADERS, END_HEADERS | END_STREAM, n * 2 + 1, &fields);
        if stream.write_all(&head).and_then(|()| stream.flush()).is_err() {
            break;
        }
    }
    let (ended, _) = until_ended(&mut stream, &[]);
    assert!(ended.len() < 300, "{} of them had an end", ended.len());
    assert_eq!(secured.asked("/healthz", &["--http2"]).0, "2 200");
}

/// Connections count from their first moment on: those whose handshake doesn't come take the places
/// of their address, and nobody else's.
#[test]
fn handshakes_count_among_connections() {
    const BOUND: usize = 20;
    let secured = Secured::start(&[("SLIPWAY_LIMITS__CONNECTIONS_PER_ADDRESS", "20")]);
    let from = |server: &Server| {
        let to: SocketAddr = server.host().parse().expect("an address");
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 0)).expect("its own");
        connect(&socket, &to).expect("a connection");
        TcpStream::from(socket)
    };
    let mut held: Vec<TcpStream> = (0..2 * BOUND).map(|_| from(&secured.server)).collect();
    let asked = secured.asked("/healthz", &["--http2"]);
    assert_eq!(asked.0, "2 200", "another address isn't concerned");
    // Those beyond the bound are closed at once, long before the deadline of a handshake.
    let mut closed = 0;
    let end = Instant::now() + PATIENCE;
    while closed < BOUND {
        held.retain_mut(|stream| {
            stream.set_nonblocking(true).expect("a socket");
            !matches!(stream.read(&mut [0; 16]), Ok(0))
        });
        closed = 2 * BOUND - held.len();
        assert!(Instant::now() < end, "{closed} were closed");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    let text = secured.asked("/metrics", &["--http2"]).1;
    let line =
        text.lines().find(|line| line.starts_with("slipway_limited_total{by=\"connections\"}"));
    let refused: usize = line.and_then(|it| it.rsplit_once(' ')?.1.parse().ok()).expect("a count");
    assert!(refused >= BOUND, "{refused}");
}
