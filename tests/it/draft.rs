//! The IETF's resumable uploads on the wire: every answer a client may rely on.

use crate::harness::{Answer, Server, pattern, raw, wait_for};
use base64::Engine;
use sha2::Digest;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A request's field.
type Field<'a> = (&'a str, &'a str);

const V8: Field = ("Upload-Draft-Interop-Version", "8");
const MORE: Field = ("Upload-Complete", "?0");
const LAST: Field = ("Upload-Complete", "?1");
const PARTIAL: Field = ("Content-Type", "application/partial-upload");
const INCONSISTENT: &str =
    "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
const MISMATCHING: &str =
    "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What `Content-Digest` and `Repr-Digest` say of `bytes`.
fn sha256_field(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", base64(&sha2::Sha256::digest(bytes)))
}

/// Creates an upload without a byte; returns its path.
fn begin(server: &Server, headers: &[Field]) -> String {
    let mut all = vec![V8, MORE];
    all.extend_from_slice(headers);
    let created = server.send("POST", "/files", &all, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    created.header("location").to_owned()
}

fn append(server: &Server, path: &str, at: usize, complete: Field, bytes: &[u8]) -> Answer {
    let at = at.to_string();
    server.send("PATCH", path, &[V8, complete, PARTIAL, ("Upload-Offset", &at)], bytes)
}

/// Asks where an upload goes on: offset and completeness.
fn look(server: &Server, path: &str) -> (usize, String) {
    let head = server.send("HEAD", path, &[V8], b"");
    assert_eq!(head.status, 204);
    assert_eq!(head.header("cache-control"), "no-store");
    let offset = head.header("upload-offset").parse().expect("a number");
    (offset, head.header("upload-complete").to_owned())
}

fn stored(server: &Server, path: &str) -> Vec<u8> {
    let got = server.send("GET", path, &[], b"");
    assert_eq!(got.status, 200, "{}", got.text());
    got.body
}

/// The head of a request that carries the admin's token.
fn head_of(server: &Server, line: &str, headers: &[Field]) -> String {
    let mut head =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n", server.token);
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}

/// Reads the next head, interim or final: its status line and its fields in lower case.
fn next_head(stream: &mut TcpStream) -> (String, Vec<(String, String)>) {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).expect("text");
    let mut lines = text.lines();
    let status = lines.next().expect("a status line").to_owned();
    let fields = lines.filter_map(|line| line.split_once(": "));
    (status, fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect())
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// OPTIONS answers for both protocols, and browsers may send and read the fields of both.
#[test]
fn options_tell_of_both_protocols() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__MAX_SIZE", "1 MiB")]);
    let answer = server.send_as_anyone("OPTIONS", "/files", &[], b"");
    assert_eq!(answer.header("tus-version"), "1.0.0");
    assert_eq!(answer.header("upload-limit"), "max-size=1048576, max-age=3600");
    assert!(answer.header("accept-patch").contains("application/partial-upload"));
    let wanted = "upload-complete,upload-incomplete,upload-draft-interop-version,content-digest,\
                  repr-digest,content-disposition,upload-offset,upload-length";
    let preflight = [
        ("Origin", "https://example.org"),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", wanted),
    ];
    let answer = server.send_as_anyone("OPTIONS", "/files/x", &preflight, b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let allowed = answer.header("access-control-allow-headers").to_lowercase();
    for name in wanted.split(',') {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }
    let created = server.send("POST", "/files", &[V8, MORE, preflight[0]], b"");
    let exposed = created.header("access-control-expose-headers").to_lowercase();
    for name in ["upload-complete", "upload-limit", "upload-offset", "location", "slipway-video"] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let path = created.header("location");
    for answer in [
        server.send(
            "POST",
            "/files",
            &[V8, ("Upload-Complete", "?0"), ("Upload-Length", "-")],
            b"",
        ),
        server.send("HEAD", path, &[], b""),
        server.send("PATCH", path, &[V8, MORE, ("Upload-Offset", "7")], b""),
        server.send("DELETE", path, &[], b""),
        created,
    ] {
        assert_eq!(answer.header("tus-resumable"), "", "{} isn't tus", answer.status);
    }
    let stranger = server.send("HEAD", "/files/x", &[], b"");
    assert_eq!((stranger.status, stranger.header("tus-resumable")), (412, "1.0.0"));
}

/// The careful way: an empty creation, some appends, and a flag that completes; all bytes being
/// there completes nothing. What a file is called is told as for any other request.
#[test]
fn an_upload_in_pieces() {
    let server = Server::start();
    let bytes = pattern(300_000);
    let headers = [
        V8,
        MORE,
        ("Upload-Length", "300000"),
        ("Content-Type", "video/mp4"),
        ("Content-Disposition", "inline; filename=\"x\"; filename*=UTF-8''f%C3%A9%20a.mp4"),
    ];
    let created = server.send("POST", "/files", &headers, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    let path = created.header("location").to_owned();
    assert!(path.starts_with("/files/"), "{path}");
    assert_eq!(created.header("upload-complete"), "?0");
    let limit = created.header("upload-limit");
    assert!(limit.starts_with("max-size=5000000000000, max-age=3"), "{limit}");
    let video = created.header("slipway-video").to_owned();

    let mut at = 0;
    for end in [1, 100_001, 300_000] {
        let answer = append(&server, &path, at, MORE, &bytes[at..end]);
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(answer.header("upload-complete"), "?0");
        assert_eq!(answer.header("upload-offset"), end.to_string());
        assert_eq!(answer.header("slipway-video"), video);
        at = end;
    }
    let head = server.send("HEAD", &path, &[], b"");
    assert_eq!((head.status, head.header("upload-complete")), (204, "?0"));
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), ("300000", "300000"));
    assert!(head.header("upload-limit").starts_with("max-size=5000000000000, max-age=86"));
    let get = server.send("GET", &path, &[], b"");
    assert_eq!((get.status, get.header("upload-offset")), (204, "300000"));
    let listed = server.json("/api/uploads?state=partial");
    assert_eq!(listed["items"][0]["url"], path.as_str(), "{listed}");

    let done = append(&server, &path, 300_000, LAST, b"");
    assert_eq!((done.status, done.header("upload-complete")), (201, "?1"), "{}", done.text());
    assert_eq!(done.header("slipway-video"), video);
    assert_eq!(look(&server, &path), (300_000, "?1".to_owned()));
    assert!(stored(&server, &path) == bytes);
    let video = server.json(&format!("/api/videos/{video}"));
    assert_eq!(video["filename"], "fé a.mp4", "{video}");
    for (body, kind) in [(&b""[..], "about:blank"), (b"x", INCONSISTENT)] {
        let late = append(&server, &path, 300_000, LAST, body);
        assert_eq!((late.status, late.header("upload-complete")), (400, "?1"));
        assert_eq!(late.json()["type"], kind);
    }
    assert_eq!(server.send("DELETE", &path, &[V8], b"").status, 204);
    assert_eq!(server.send("HEAD", &path, &[V8], b"").status, 410);
}

/// The hopeful way: everything in the creation, whatever is known of its length; empty files too.
#[test]
fn an_upload_in_one_request() {
    let server = Server::start();
    let bytes = pattern(200_000);
    for (method, headers) in [
        ("POST", &[V8, LAST][..]),
        ("PUT", &[LAST]),
        ("POST", &[V8, LAST, ("Upload-Length", "200000")]),
    ] {
        let created = server.send(method, "/files", headers, &bytes);
        assert_eq!((created.status, created.header("upload-complete")), (201, "?1"));
        assert_eq!(created.header("upload-offset"), "200000");
        let path = created.header("location").to_owned();
        assert_eq!(look(&server, &path), (200_000, "?1".to_owned()));
        assert!(stored(&server, &path) == bytes);
    }
    let head = head_of(&server, "POST /files", &[LAST, ("Transfer-Encoding", "chunked")]);
    let mut stream = raw(&server.address, &head, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    let (status, fields) = next_head(&mut stream);
    assert!(status.starts_with("HTTP/1.1 201"), "{status}");
    assert_eq!(stored(&server, field(&fields, "location")), b"abcde");
    let empty = server.send("POST", "/files", &[V8, LAST], b"");
    assert_eq!((empty.status, empty.header("upload-complete")), (201, "?1"));
    let part = server.send("POST", "/files", &[V8, MORE, ("Upload-Length", "9")], b"abc");
    assert_eq!((part.status, part.header("upload-offset")), (201, "3"));
    assert_eq!(append(&server, part.header("location"), 3, LAST, b"defghi").status, 201);
}

/// Each wrong request gets its own word, and costs the upload nothing.
#[test]
fn wrong_requests_change_nothing() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__MAX_SIZE", "2000 B")]);
    let path = begin(&server, &[("Upload-Length", "1000")]);
    assert_eq!(append(&server, &path, 0, MORE, &pattern(100)).status, 204);
    let at = ("Upload-Offset", "100");
    let text = ("Content-Type", "text/plain");
    let cases: [(&str, &[Field], u16, &str); 12] = [
        ("PATCH", &[V8, MORE, at], 415, "unsupported-content-type"),
        ("PATCH", &[V8, MORE, at, text], 415, "unsupported-content-type"),
        ("PATCH", &[V8, PARTIAL, at], 400, "invalid-header"),
        ("PATCH", &[V8, PARTIAL, at, ("Upload-Complete", "yes")], 400, "invalid-header"),
        ("PATCH", &[V8, PARTIAL, MORE], 400, "invalid-header"),
        ("PATCH", &[V8, PARTIAL, MORE, ("Upload-Offset", "-1")], 400, "invalid-header"),
        ("PATCH", &[V8, PARTIAL, MORE, ("Upload-Offset", "0")], 409, "upload-offset-mismatch"),
        ("PATCH", &[V8, PARTIAL, LAST, at], 400, "upload-length-mismatch"),
        (
            "PATCH",
            &[V8, PARTIAL, MORE, at, ("Upload-Length", "999")],
            400,
            "upload-length-mismatch",
        ),
        ("PATCH", &[("Tus-Resumable", "1.0.0"), PARTIAL, MORE, at], 409, "upload-protocol"),
        ("HEAD", &[("Tus-Resumable", "1.0.0")], 409, ""),
        ("PUT", &[V8, MORE], 405, "method-not-allowed"),
    ];
    for (method, headers, status, code) in cases {
        let answer = server.send(method, &path, headers, b"x");
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if method != "HEAD" {
            answer.assert_problem(status, code);
        }
    }
    assert_eq!(look(&server, &path), (100, "?0".to_owned()));
    let mismatch = append(&server, &path, 7, LAST, b"x");
    assert_eq!(mismatch.header("upload-offset"), "100");
    assert_eq!(mismatch.header("upload-complete"), "?0");
    let problem = mismatch.json();
    assert_eq!(problem["type"], MISMATCHING);
    assert_eq!(
        (&problem["expected-offset"], &problem["provided-offset"]),
        (&100.into(), &7.into())
    );

    let creations: [(&[Field], &[u8], u16); 7] = [
        (&[V8], b"", 400),
        (&[V8, ("Upload-Complete", "1")], b"", 400),
        (&[("Upload-Complete", "?2")], b"", 400),
        (&[V8, LAST, ("Upload-Length", "5")], b"abc", 400),
        (&[V8, MORE, ("Upload-Length", "2")], b"abc", 400),
        (&[V8, MORE, ("Upload-Length", "2001")], b"", 413),
        (&[V8, MORE, ("Upload-Metadata", "a b c")], b"", 400),
    ];
    for (headers, body, status) in creations {
        let answer = server.send("POST", "/files", headers, body);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        if status == 413 {
            assert_eq!(answer.header("upload-limit"), "max-size=2000");
        }
    }
    let patch = server.send("PATCH", "/files", &[V8, LAST], b"abc");
    assert_eq!((patch.status, patch.header("allow")), (405, "POST, PUT, OPTIONS"));
    let nobody = server.send_as_anyone("POST", "/files", &[V8, LAST], b"abc");
    assert_eq!(nobody.status, 401);
    let lost = server.send("HEAD", "/files/018bcfe5-6800-7abc-9d11-111111111101", &[V8], b"");
    assert_eq!(lost.status, 404);
    let listed = server.json("/api/uploads");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

/// More than the length, announced or found on the way, ends the upload.
#[test]
fn too_much_ends_the_upload() {
    let server = Server::start();
    let length = [("Upload-Length", "10")];
    let announced = begin(&server, &length);
    let answer = append(&server, &announced, 0, MORE, &[0; 11]);
    answer.assert_problem(400, "upload-length-mismatch");
    assert_eq!(answer.json()["type"], INCONSISTENT);
    let found = begin(&server, &length);
    let head = head_of(
        &server,
        &format!("PATCH {found}"),
        &[V8, LAST, PARTIAL, ("Upload-Offset", "0"), ("Transfer-Encoding", "chunked")],
    );
    let mut stream = raw(&server.address, &head, b"b\r\n01234567890\r\n0\r\n\r\n");
    assert!(next_head(&mut stream).0.starts_with("HTTP/1.1 400"));
    for path in [announced, found] {
        assert_eq!(server.send("HEAD", &path, &[V8], b"").status, 410);
        assert_eq!(append(&server, &path, 0, MORE, b"x").status, 410);
    }
    let videos = server.json("/api/videos");
    assert_eq!(videos["items"].as_array().map(Vec::len), Some(0), "{videos}");
}

/// A body with a wrong sum isn't stored; a file with a wrong sum isn't complete.
#[test]
fn digests_are_checked() {
    let server = Server::start();
    let bytes = pattern(100_000);
    let path = begin(&server, &[]);
    let send = |at: usize, complete, digest: Field, body: &[u8]| {
        let at = at.to_string();
        let headers = [V8, complete, PARTIAL, ("Upload-Offset", at.as_str()), digest];
        server.send("PATCH", &path, &headers, body)
    };
    let wrong = sha256_field(b"something else");
    let refused = send(0, MORE, ("Content-Digest", &wrong), &bytes[..50_000]);
    refused.assert_problem(422, "checksum-mismatch");
    assert_eq!(look(&server, &path), (0, "?0".to_owned()));
    let right = sha256_field(&bytes[..50_000]);
    assert_eq!(send(0, MORE, ("Content-Digest", &right), &bytes[..50_000]).status, 204);
    let wide = format!("md5=:AAAA:, sha-512=:{}:", base64(&sha2::Sha512::digest(&bytes[50_000..])));
    let refused = send(50_000, MORE, ("Content-Digest", &wide), &bytes[50_001..]);
    refused.assert_problem(422, "checksum-mismatch");
    assert_eq!(send(50_000, MORE, ("Content-Digest", &wide), &bytes[50_000..]).status, 204);
    assert_eq!(send(100_000, MORE, ("Content-Digest", "sha-256=:!:"), b"").status, 400);

    let refused = send(100_000, LAST, ("Repr-Digest", &wrong), b"");
    refused.assert_problem(422, "checksum-mismatch");
    assert_eq!(
        (refused.header("upload-complete"), refused.json()["field"].as_str()),
        ("?0", Some("Repr-Digest"))
    );
    assert_eq!(look(&server, &path), (100_000, "?0".to_owned()));
    let whole = sha256_field(&bytes);
    assert_eq!(send(100_000, LAST, ("Repr-Digest", &whole), b"").status, 201);
    assert!(stored(&server, &path) == bytes);

    let early = [V8, LAST, ("Repr-Digest", wrong.as_str())];
    let refused = server.send("POST", "/files", &early, &bytes);
    refused.assert_problem(422, "checksum-mismatch");
    assert_eq!(look(&server, refused.header("location")), (100_000, "?0".to_owned()));
    let path = begin(&server, &[("Repr-Digest", &wrong)]);
    assert_eq!(append(&server, &path, 0, LAST, &bytes).status, 422);
    let early = [V8, LAST, ("Repr-Digest", whole.as_str())];
    assert_eq!(server.send("POST", "/files", &early, &bytes).status, 201);
}

/// 104 comes before a single byte of the body was sent, and tells where the upload is; the wish
/// for a 100 is answered as well.
#[test]
fn the_address_comes_before_the_body() {
    let server = Server::start();
    for version in ["8", "6", "5", "3"] {
        let complete = match version {
            "3" => ("Upload-Incomplete", "?0"),
            _ => LAST,
        };
        let named = ("Upload-Draft-Interop-Version", version);
        let size = ("Content-Length", "5");
        let head = head_of(&server, "POST /files", &[named, complete, size]);
        let mut stream = raw(&server.address, &head, b"");
        let (status, fields) = next_head(&mut stream);
        assert_eq!(status, "HTTP/1.1 104 Upload Resumption Supported");
        assert_eq!(field(&fields, "upload-draft-interop-version"), version);
        assert!(field(&fields, "upload-limit").starts_with("max-size="));
        let path = field(&fields, "location").to_owned();
        stream.write_all(b"hello").expect("it reads");
        let (status, fields) = next_head(&mut stream);
        assert!(status.starts_with("HTTP/1.1 201"), "{status}");
        assert_eq!(field(&fields, "location"), path);
        assert_eq!(stored(&server, &path), b"hello");
    }
    let wish = [V8, LAST, ("Content-Length", "5"), ("Expect", "100-continue")];
    let mut stream = raw(&server.address, &head_of(&server, "POST /files", &wish), b"");
    let mut seen = [next_head(&mut stream).0, next_head(&mut stream).0];
    seen.sort();
    assert!(seen[0].starts_with("HTTP/1.1 100") && seen[1].starts_with("HTTP/1.1 104"), "{seen:?}");
    stream.write_all(b"hello").expect("it reads");
    assert!(next_head(&mut stream).0.starts_with("HTTP/1.1 201"));
}

/// Who didn't ask for a 104, or is behind a proxy, gets none; the operator may know better.
#[test]
fn nobody_else_gets_an_interim_answer() {
    let first = |server: &Server, headers: &[Field]| {
        let mut all = vec![LAST, ("Content-Length", "5")];
        all.extend_from_slice(headers);
        let mut stream = raw(&server.address, &head_of(server, "POST /files", &all), b"hello");
        next_head(&mut stream).0
    };
    let server = Server::start();
    for headers in [
        &[][..],
        &[("Upload-Draft-Interop-Version", "7")],
        &[V8, ("Via", "1.1 proxy")],
        &[V8, ("Forwarded", "for=10.0.0.1")],
        &[V8, ("X-Forwarded-For", "10.0.0.1")],
        &[V8, ("X-Forwarded-Proto", "https")],
    ] {
        assert!(first(&server, headers).starts_with("HTTP/1.1 201"), "{headers:?}");
    }
    let old = head_of(&server, "POST /files", &[V8, LAST, ("Content-Length", "5")]);
    let mut stream = raw(&server.address, &old.replace("HTTP/1.1", "HTTP/1.0"), b"hello");
    assert!(next_head(&mut stream).0.contains(" 201"));
    let never = Server::with(&[("SLIPWAY_UPLOAD__INTERIM", "never")]);
    assert!(first(&never, &[V8]).starts_with("HTTP/1.1 201"));
    let always = Server::with(&[("SLIPWAY_UPLOAD__INTERIM", "always")]);
    assert!(first(&always, &[V8, ("Via", "1.1 proxy")]).starts_with("HTTP/1.1 104"));
    assert!(first(&always, &[("Via", "1.1 proxy")]).starts_with("HTTP/1.1 201"));
}

/// While a long body comes, its client is told how much is certain: never more than was sent, and
/// without an address.
#[test]
fn progress_is_told_on_the_way() {
    let server = Server::start();
    let path = begin(&server, &[]);
    let chunked = ("Transfer-Encoding", "chunked");
    let headers = [V8, LAST, PARTIAL, ("Upload-Offset", "0"), chunked];
    let head = head_of(&server, &format!("PATCH {path}"), &headers);
    let mut stream = raw(&server.address, &head, b"");
    let mut reader = stream.try_clone().expect("a second hand");
    let told = std::thread::spawn(move || {
        let (status, fields) = next_head(&mut reader);
        assert_eq!(status, "HTTP/1.1 104 Upload Resumption Supported");
        assert_eq!(field(&fields, "location"), "");
        let offset: usize = field(&fields, "upload-offset").parse().expect("a number");
        (offset, reader)
    });
    let mib = pattern(1 << 20);
    let mut sent = 0;
    while !told.is_finished() {
        assert!(sent < 2048, "2 GiB without a word");
        stream.write_all(b"100000\r\n").expect("it reads");
        stream.write_all(&mib).expect("it reads");
        stream.write_all(b"\r\n").expect("it reads");
        sent += 1;
    }
    let (offset, mut reader) = told.join().expect("it was told");
    assert!(offset > 0 && offset <= sent << 20, "{offset} of {sent} MiB");
    stream.write_all(b"0\r\n\r\n").expect("it reads");
    let last = loop {
        let (status, fields) = next_head(&mut reader);
        if !status.contains(" 104 ") {
            break (status, field(&fields, "upload-offset").to_owned());
        }
    };
    assert_eq!(last.1, (sent << 20).to_string(), "{}", last.0);
}

/// A connection that breaks leaves what came; HEAD takes over from one that hangs, and the client
/// goes on where it is told.
#[test]
fn a_cut_upload_goes_on() {
    let server = Server::start();
    let bytes = pattern(500_000);
    let size = ("Content-Length", "500000");
    let head = head_of(&server, "POST /files", &[V8, LAST, size]);
    let mut stream = raw(&server.address, &head, &bytes[..200_000]);
    let (_, fields) = next_head(&mut stream);
    let path = field(&fields, "location").to_owned();
    let id = path.rsplit('/').next().expect("an id");
    let received = |at_least: u64| {
        wait_for("the bytes to arrive", || {
            let now = server.json(&format!("/api/videos/upload/{id}"))["receivedBytes"].as_u64();
            now.filter(|&bytes| bytes >= at_least)
        })
    };
    received(200_000);
    // It still hangs, and is told to let go.
    assert_eq!(look(&server, &path), (200_000, "?0".to_owned()));
    let (status, fields) = next_head(&mut stream);
    assert!(status.starts_with("HTTP/1.1 409"), "{status}");
    assert_eq!(field(&fields, "upload-offset"), "", "a newer request tells it");
    let head = head_of(
        &server,
        &format!("PATCH {path}"),
        &[V8, LAST, PARTIAL, ("Upload-Offset", "200000"), ("Content-Length", "300000")],
    );
    drop(raw(&server.address, &head, &bytes[200_000..350_000]));
    // Looked at without taking over: a HEAD may come before the first of these bytes is read.
    received(200_001);
    let at = look(&server, &path).0;
    assert!(at <= 350_000);
    assert_eq!(append(&server, &path, at, LAST, &bytes[at..]).status, 201);
    assert!(stored(&server, &path) == bytes);
}

/// DELETE ends an upload while its body is still coming.
#[test]
fn a_cancelled_upload_is_gone() {
    let server = Server::start();
    let head = head_of(&server, "POST /files", &[V8, LAST, ("Content-Length", "500000")]);
    let mut stream = raw(&server.address, &head, &pattern(1000));
    let (_, fields) = next_head(&mut stream);
    let path = field(&fields, "location").to_owned();
    assert_eq!(server.send("DELETE", &path, &[V8], b"").status, 204);
    let (status, _) = next_head(&mut stream);
    assert!(status.starts_with("HTTP/1.1 4"), "{status}");
    assert_eq!(server.send("HEAD", &path, &[V8], b"").status, 410);
    assert_eq!(append(&server, &path, 0, LAST, b"x").status, 410);
    assert_eq!(server.json("/api/videos")["items"].as_array().map(Vec::len), Some(0));
}

/// Killed in mid-body, again and again: no offset goes back, and the file is right. Killed when
/// all bytes are here, the upload still waits for the word that completes it.
#[test]
fn kill_9_loses_nothing_that_was_told() {
    let mut server = Server::start();
    let bytes = pattern(3_000_000);
    let path = begin(&server, &[("Upload-Length", "3000000")]);
    let mut at = 0;
    for round in 1..=4 {
        let end = at + 400_000;
        assert_eq!(append(&server, &path, at, MORE, &bytes[at..end]).status, 204);
        let offset = end.to_string();
        let head = head_of(
            &server,
            &format!("PATCH {path}"),
            &[V8, LAST, PARTIAL, ("Upload-Offset", &offset), ("Content-Length", "1000000")],
        );
        let head = head.replace("?1", "?0");
        let under_way = raw(&server.address, &head, &bytes[end..end + 50_000 * round]);
        server.kill();
        drop(under_way);
        server.restart();
        let (now, complete) = look(&server, &path);
        assert!(now >= end && now <= end + 50_000 * round, "{now} after {end}");
        assert_eq!(complete, "?0");
        at = now;
    }
    assert_eq!(append(&server, &path, at, MORE, &bytes[at..]).status, 204);
    server.kill();
    server.restart();
    assert_eq!(look(&server, &path), (3_000_000, "?0".to_owned()));
    assert_eq!(append(&server, &path, 3_000_000, LAST, b"").status, 201);
    assert!(stored(&server, &path) == bytes);
}

/// Each version in its own words: an upload in two requests, and what differs in them.
#[test]
fn every_version_is_answered_in_its_words() {
    let server = Server::start();
    // Version, field and its values for more and last, type needed, limit of the life.
    let table = [
        ("8", "Upload-Complete", ["?0", "?1"], true, ", max-age="),
        ("6", "Upload-Complete", ["?0", "?1"], true, ", expires="),
        ("5", "Upload-Complete", ["?0", "?1"], false, ""),
        ("3", "Upload-Incomplete", ["?1", "?0"], false, ""),
    ];
    for (version, name, [more, last], typed, age) in table {
        let named = ("Upload-Draft-Interop-Version", version);
        let said = name.to_lowercase();
        let created = server.send("POST", "/files", &[named, (name, more)], b"abc");
        assert_eq!((created.status, created.header(&said)), (201, more), "{version}");
        assert_eq!(created.header("upload-draft-interop-version"), version);
        let limit = created.header("upload-limit");
        assert!(limit.starts_with("max-size="), "{limit}");
        assert_eq!(limit.contains(','), !age.is_empty(), "{version}: {limit}");
        assert!(limit.contains(age), "{version}: {limit}");
        let path = created.header("location").to_owned();
        let head = server.send("HEAD", &path, &[named], b"");
        assert_eq!((head.status, head.header(&said)), (204, more), "{version}");
        assert_eq!(head.header("upload-offset"), "3");
        let untyped = [named, (name, last), ("Upload-Offset", "3")];
        let untyped = server.send("PATCH", &path, &untyped, b"de");
        assert_eq!(untyped.status, if typed { 415 } else { 201 }, "{version}");
        if typed {
            let typed = [named, (name, last), ("Upload-Offset", "3"), PARTIAL];
            assert_eq!(server.send("PATCH", &path, &typed, b"de").status, 201);
        }
        let head = server.send("HEAD", &path, &[named], b"");
        assert_eq!((head.header(&said), head.header("upload-offset")), (last, "5"), "{version}");
        assert_eq!(stored(&server, &path), b"abcde");
        let begun = server.send("POST", "/files", &[named, (name, more)], b"");
        let silent = [named, ("Upload-Offset", "0"), PARTIAL];
        let silent = server.send("PATCH", begun.header("location"), &silent, b"x");
        assert_eq!(silent.status, if version == "3" { 201 } else { 400 }, "{version}");
        let wrong = server.send("POST", "/files", &[named, (name, "1")], b"");
        assert_eq!((wrong.status, wrong.json()["field"].as_str()), (400, Some(name)));
        let begun = server.send("POST", "/files", &[named, (name, more)], b"");
        let headers = [named, (name, last), ("Upload-Offset", "9"), PARTIAL];
        let mismatch = server.send("PATCH", begun.header("location"), &headers, b"x");
        assert_eq!((mismatch.status, mismatch.header(&said)), (409, more), "{version}");
        assert_eq!(mismatch.header("upload-offset"), "0");
    }
}

/// The protocol of an upload is the one that it was begun in.
#[test]
fn protocols_dont_mix() {
    let server = Server::start();
    let (tus, _) = server.create("a.bin", 10);
    assert_eq!(append(&server, &tus, 0, MORE, b"abc").status, 412);
    assert_eq!(server.send("HEAD", &tus, &[V8], b"").status, 412);
    assert_eq!(server.send("DELETE", &tus, &[V8], b"").status, 412);
    assert_eq!(server.offset(&tus), 0);
    let draft = begin(&server, &[]);
    server.patch(&draft, 0, b"abc").assert_problem(409, "upload-protocol");
    let both = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5"), LAST, V8];
    let both = server.send("POST", "/files", &both, b"");
    assert_eq!((both.status, both.header("upload-complete")), (201, ""), "tus goes first");
    assert_eq!(server.offset(both.header("location")), 0);
    assert_eq!(look(&server, &draft), (0, "?0".to_owned()));
}
