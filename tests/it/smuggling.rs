//! Requests that hide another one from whoever stands in front: however a body is framed, the
//! hidden request is never acted on.

use crate::harness::{Server, raw};
use std::io::{Read, Write};
use std::net::TcpStream;

/// A way to frame a body so that two readers may disagree on where it ends, and the body, in which
/// `{hidden}` is the hidden request. `{length}` is the body's length.
type Framing = (&'static str, &'static str, &'static str);

/// A header of the framing that two readers could understand in two ways, or that hides.
const HEADS: &[Framing] = &[
    ("length and chunks", "Content-Length: {length}\r\nTransfer-Encoding: chunked", ENDED),
    ("chunks and length", "Transfer-Encoding: chunked\r\nContent-Length: 5", ENDED),
    ("lengths, the first is none", "Content-Length: 0\r\nContent-Length: {length}", HIDDEN),
    ("lengths, the last is none", "Content-Length: {length}\r\nContent-Length: 0", ENDED),
    ("a list of lengths", "Content-Length: 0, {length}", HIDDEN),
    ("a length with a sign", "Content-Length: +{length}", HIDDEN),
    ("a length in hex", "Content-Length: 0x0", HIDDEN),
    ("a length in a folded line", "Content-Length:\r\n {length}", HIDDEN),
    ("a space before the colon", "Transfer-Encoding : chunked\r\nContent-Length: {length}", ENDED),
    ("a vertical tab", "Transfer-Encoding: \u{b}chunked\r\nContent-Length: {length}", ENDED),
    ("a quoted coding", "Transfer-Encoding: \"chunked\"\r\nContent-Length: {length}", ENDED),
    ("an unknown coding", "Transfer-Encoding: xchunked\r\nContent-Length: {length}", ENDED),
    ("no coding", "Transfer-Encoding: identity\r\nContent-Length: {length}", ENDED),
    ("another coding before it", "Transfer-Encoding: gzip, chunked", ENDED),
    ("another coding behind it", "Transfer-Encoding: chunked, identity", ENDED),
    ("codings in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow", ENDED),
    ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ENDED),
    ("a folded coding", "Transfer-Encoding:\r\n chunked\r\nContent-Length: {length}", ENDED),
    ("behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\nContent-Length: {length}", ENDED),
    ("behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\nContent-Length: {length}", ENDED),
    ("behind a NUL", "X: y\0Transfer-Encoding: chunked\r\nContent-Length: {length}", ENDED),
];

/// Chunks that are wrong in a way that some readers pass over.
const CHUNKS: &[Framing] = &[
    ("a bare LF behind a size", CHUNKED, "5\nhello\r\n0\r\n\r\n{hidden}"),
    ("a bare CR behind a size", CHUNKED, "5\rhello\r\n0\r\n\r\n{hidden}"),
    ("a bare LF behind an extension", CHUNKED, "5;a=b\nhello\r\n0\r\n\r\n{hidden}"),
    ("an extension that is only an LF", CHUNKED, "5;\nhello\r\n0\r\n\r\n{hidden}"),
    ("a bare LF behind a chunk", CHUNKED, "5\r\nhello\n0\r\n\r\n{hidden}"),
    ("a bare LF behind the last size", CHUNKED, "0\n\n{hidden}"),
    ("a size in C's hex", CHUNKED, "0x0\r\n\r\n{hidden}"),
    ("a size with a sign", CHUNKED, "+0\r\n\r\n{hidden}"),
    ("a size beyond all numbers", CHUNKED, "10000000000000000\r\n\r\n{hidden}"),
    ("a size that is none", CHUNKED, "\r\n\r\n{hidden}"),
    ("a chunk longer than its size", CHUNKED, "1\r\nhello\r\n0\r\n\r\n{hidden}"),
];

/// Framings that are right; what follows them is the next request.
const RIGHT: &[Framing] = &[
    ("a length", "Content-Length: 5", "hello{hidden}"),
    ("chunks", CHUNKED, "5\r\nhello\r\n0\r\n\r\n{hidden}"),
    ("large letters", "TRANSFER-ENCODING: CHUNKED", "5\r\nhello\r\n0\r\n\r\n{hidden}"),
    ("an extension", CHUNKED, "5;a=b\r\nhello\r\n0;c\r\n\r\n{hidden}"),
    ("a trailer", CHUNKED, "5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n{hidden}"),
    ("a name like it", "Transfer_Encoding: chunked\r\nContent-Length: 5", "hello{hidden}"),
];

const CHUNKED: &str = "Transfer-Encoding: chunked";
/// The hidden request is the body, or lies behind its end in chunks.
const HIDDEN: &str = "{hidden}";
const ENDED: &str = "0\r\n\r\n{hidden}";

/// Everything that comes back until the server closes; a reset counts as the end.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) => {
                let is_reset = error.kind() == std::io::ErrorKind::ConnectionReset;
                assert!(is_reset, "the connection stays open: {error}");
                break;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.split("HTTP/1.").skip(1).filter_map(|line| line.split(' ').nth(1));
    lines.filter_map(|word| word.parse().ok()).collect()
}

struct Scene {
    server: Server,
    /// An upload of a thousand bytes that has none.
    open: String,
}

impl Scene {
    /// What is sent in front of the framing: bodies that are read, refused and passed over.
    fn fronts(&self) -> Vec<String> {
        let auth = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", self.server.token);
        let tus = format!("{auth}Tus-Resumable: 1.0.0\r\n");
        let bytes = "Content-Type: application/offset+octet-stream\r\n";
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        vec![
            format!("POST /login HTTP/1.1\r\nHost: localhost\r\n{form}"),
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n".to_owned(),
            "POST /nothing HTTP/1.1\r\nHost: localhost\r\n".to_owned(),
            // The offset is wrong, so that nothing of the body can count.
            format!("PATCH {} HTTP/1.1\r\n{tus}{bytes}Upload-Offset: 7\r\n", self.open),
            format!("POST /api/videos/upload/initiate HTTP/1.1\r\n{auth}"),
        ]
    }

    fn request(&self, front: &str, (_, head, body): Framing, hidden: &str) -> String {
        let body = body.replace("{hidden}", hidden);
        let head = head.replace("{length}", &body.len().to_string());
        format!("{front}{head}\r\n\r\n{body}")
    }

    fn uploads(&self) -> usize {
        let list = self.server.json("/api/uploads");
        list["items"].as_array().expect("a list").len()
    }
}

fn scene() -> Scene {
    let server = Server::start();
    let (open, _) = server.create("open.bin", 1000);
    Scene { server, open }
}

/// Whatever is ambiguous ends the connection after one answer at most, at once and without the
/// client's help; the request that lies in it makes nothing.
#[test]
fn hidden_requests_arent_read() {
    let scene = scene();
    let hidden = format!(
        "POST /files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Length: 7\r\n\r\n",
        scene.server.token
    );
    for front in scene.fronts() {
        for &framing in HEADS.iter().chain(CHUNKS) {
            let what = format!("{}, {}", front.lines().next().unwrap_or_default(), framing.0);
            let request = scene.request(&front, framing, &hidden);
            let mut stream = raw(&scene.server.address, "", b"");
            // The server may have refused before all of it is sent.
            let _ = stream.write_all(request.as_bytes());
            let answers = rest(&mut stream);
            let statuses = statuses(&answers);
            assert!(statuses.len() <= 1, "{what}: {answers}");
            let is_head = HEADS.iter().any(|&(name, ..)| name == framing.0);
            assert!(!is_head || statuses.iter().all(|it| *it == 400), "{what}: {answers}");
            assert!(!answers.contains("HTTP/1.1 201"), "{what}: {answers}");
        }
    }
    assert_eq!(scene.uploads(), 1, "something was begun");
    assert_eq!(scene.server.offset(&scene.open), 0);
}

/// What follows a body that is framed rightly is the next request, and garbage behind it is
/// refused.
#[test]
fn bodies_end_where_they_say() {
    let scene = scene();
    let next = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for &framing in RIGHT {
        let front = "POST /login HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n";
        let mut stream = raw(&scene.server.address, "", b"");
        let request = scene.request(front, framing, next);
        stream.write_all(request.as_bytes()).expect("sent");
        let answers = rest(&mut stream);
        // A login isn't five letters without a type.
        assert_eq!(statuses(&answers), [415, 200], "{}: {answers}", framing.0);
        let garbage = scene.request(front, framing, "garbage\r\n\r\n");
        let mut stream = raw(&scene.server.address, "", b"");
        stream.write_all(garbage.as_bytes()).expect("sent");
        let answers = rest(&mut stream);
        assert_eq!(statuses(&answers), [415, 400], "{}: {answers}", framing.0);
    }
}
