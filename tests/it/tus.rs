//! tus 1.0.0 on the wire: every answer a client may rely on.

use crate::harness::{Server, base64, pattern, raw, wait_for};
use std::io::Read;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OFFSET_TYPE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// OPTIONS tells what the server can do, without the protocol's header and without a token.
#[test]
fn options_announce_what_is_there() {
    let server = Server::start();
    let answer = server.send_as_anyone("OPTIONS", "/files", &[], b"");
    assert!(matches!(answer.status, 200 | 204));
    assert_eq!(answer.header("tus-version"), "1.0.0");
    let extensions: Vec<&str> = answer.header("tus-extension").split(',').collect();
    for wanted in
        ["creation", "creation-with-upload", "creation-defer-length", "termination", "expiration"]
    {
        assert!(extensions.contains(&wanted), "{extensions:?}");
    }
    assert_eq!(answer.header("tus-max-size"), "5000000000000");
    for wanted in ["checksum", "concatenation", "concatenation-unfinished"] {
        assert!(extensions.contains(&wanted), "{extensions:?}");
    }
    assert_eq!(answer.header("tus-checksum-algorithm"), "sha1,sha256,md5,crc32c");
}

/// A browser's preflight is answered before anything asks who it is.
#[test]
fn preflights_need_no_token() {
    let server = Server::start();
    let headers = [
        ("Origin", "https://example.org"),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "tus-resumable,upload-offset,content-type"),
    ];
    let answer = server.send_as_anyone("OPTIONS", "/files/x", &headers, b"");
    assert!(matches!(answer.status, 200 | 204), "{}", answer.status);
    assert!(!answer.header("access-control-allow-origin").is_empty());
    assert!(answer.header("access-control-allow-methods").contains("PATCH"));
    let allowed = answer.header("access-control-allow-headers").to_lowercase();
    assert!(allowed.contains("upload-offset"), "{allowed}");
    assert_eq!(answer.header("access-control-allow-credentials"), "");

    let origin = ("Origin", "https://example.org");
    let created = server.send("POST", "/files", &[TUS, origin, ("Upload-Length", "5")], b"");
    let exposed = created.header("access-control-expose-headers").to_lowercase();
    for wanted in ["location", "upload-offset", "upload-expires", "slipway-video"] {
        assert!(exposed.contains(wanted), "{wanted} in {exposed}");
    }
}

/// The plain life of an upload, with each header where the protocol wants it.
#[test]
fn an_upload_in_three_pieces() {
    let server = Server::start();
    let bytes = pattern(300_000);
    let metadata = format!("filename {},title {},empty", base64("fil m.bin"), base64("Täst"));
    let headers = [TUS, ("Upload-Length", "300000"), ("Upload-Metadata", metadata.as_str())];
    let created = server.send("POST", "/files", &headers, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("tus-resumable"), "1.0.0");
    let path = created.header("location").to_owned();
    assert!(path.starts_with("/files/"), "{path}");
    assert!(created.header("upload-expires").ends_with("GMT"));
    let video = created.header("slipway-video").to_owned();
    assert!(!path.contains(&video), "an upload's id isn't its video's");

    let mut at = 0;
    for end in [1, 100_001, 300_000] {
        let answer = server.patch(&path, at, &bytes[at..end]);
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(answer.header("upload-offset"), end.to_string());
        assert_eq!(answer.header("slipway-video"), video);
        at = end;
    }
    let head = server.send("HEAD", &path, &[TUS], b"");
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), ("300000", "300000"));
    assert_eq!(head.header("cache-control"), "no-store");
    assert_eq!(head.header("upload-metadata"), metadata);
    let again = server.patch(&path, 300_000, b"");
    assert_eq!((again.status, again.header("upload-offset")), (204, "300000"));
    let got = server.send("GET", &path, &[], b"");
    assert_eq!((got.status, got.body == bytes), (200, true));
    let video = server.json(&format!("/api/videos/{video}"));
    assert_eq!(
        (video["title"].as_str(), video["filename"].as_str()),
        (Some("Täst"), Some("fil m.bin"))
    );
}

/// Method, headers, body, and the status they get.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16);

/// Each wrong request gets its own status, and costs the upload nothing.
#[test]
fn wrong_requests_change_nothing() {
    let server = Server::start();
    let (path, _) = server.create("a.bin", 1000);
    assert_eq!(server.patch(&path, 0, &pattern(100)).status, 204);
    let offset = ("Upload-Offset", "100");
    let long = pattern(901);
    let cases: [Case; 9] = [
        ("PATCH", &[offset, OFFSET_TYPE], b"x", 412),
        ("PATCH", &[("Tus-Resumable", "0.2.2"), offset, OFFSET_TYPE], b"x", 412),
        ("PATCH", &[TUS, offset], b"x", 415),
        ("PATCH", &[TUS, offset, ("Content-Type", "text/plain")], b"x", 415),
        ("PATCH", &[TUS, OFFSET_TYPE], b"x", 400),
        ("PATCH", &[TUS, OFFSET_TYPE, ("Upload-Offset", "-1")], b"x", 400),
        ("PATCH", &[TUS, OFFSET_TYPE, ("Upload-Offset", "1e2")], b"x", 400),
        ("PATCH", &[TUS, OFFSET_TYPE, ("Upload-Offset", "99")], b"x", 409),
        ("PATCH", &[TUS, OFFSET_TYPE, offset], &long, 413),
    ];
    for (method, headers, body, status) in cases {
        let answer = server.send(method, &path, headers, body);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
        assert_eq!(answer.header("tus-resumable"), "1.0.0", "{headers:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{headers:?}");
        match status {
            412 => assert_eq!(answer.header("tus-version"), "1.0.0"),
            409 => assert_eq!(answer.header("upload-offset"), "100"),
            _ => {}
        }
        assert_eq!(server.offset(&path), 100, "{headers:?}");
    }
    let rest = server.patch(&path, 100, &pattern(1000)[100..]);
    assert_eq!((rest.status, rest.header("upload-offset")), (204, "1000"));
}

/// Creations that make no sense are refused; unusual but right ones are taken.
#[test]
fn creations_are_checked() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__MAX_SIZE", "1 MiB")]);
    let huge_key = format!("{} eA==", "k".repeat(5000));
    let refused: [(&[(&str, &str)], u16); 12] = [
        (&[TUS], 400),
        (&[TUS, ("Upload-Length", "5"), ("Upload-Defer-Length", "1")], 400),
        (&[TUS, ("Upload-Defer-Length", "2")], 400),
        (&[TUS, ("Upload-Length", "-5")], 400),
        (&[TUS, ("Upload-Length", "5 ")], 201),
        (&[TUS, ("Upload-Length", "99999999999999999999")], 400),
        (&[TUS, ("Upload-Length", "1048577")], 413),
        (&[TUS, ("Upload-Length", "5"), ("Upload-Metadata", "a b c")], 400),
        (&[TUS, ("Upload-Length", "5"), ("Upload-Metadata", "a !!!")], 400),
        (&[TUS, ("Upload-Length", "5"), ("Upload-Metadata", "a eA==,a eA==")], 400),
        (&[TUS, ("Upload-Length", "5"), ("Upload-Metadata", &huge_key)], 400),
        (&[("Upload-Length", "5")], 412),
    ];
    for (headers, status) in refused {
        let answer = server.send("POST", "/files", headers, b"");
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
    }
    for taken in ["", "a", "a ,b eA", "a eA==, b eA=="] {
        let headers = [TUS, ("Upload-Length", "5"), ("Upload-Metadata", taken)];
        let answer = server.send("POST", "/files", &headers, b"");
        assert_eq!(answer.status, 201, "{taken:?}: {}", answer.text());
    }
}

/// Bytes may come with the creation, and an empty file needs nothing more.
#[test]
fn creation_with_upload_and_empty_files() {
    let server = Server::start();
    let headers = [TUS, OFFSET_TYPE, ("Upload-Length", "10")];
    let created = server.send("POST", "/files", &headers, b"01234");
    assert_eq!((created.status, created.header("upload-offset")), (201, "5"));
    let path = created.header("location").to_owned();
    assert_eq!(server.patch(&path, 5, b"56789").status, 204);
    assert_eq!(server.send("GET", &path, &[], b"").body, b"0123456789");

    let empty = server.send("POST", "/files", &[TUS, ("Upload-Length", "0")], b"");
    assert_eq!(empty.status, 201, "{}", empty.text());
    assert_eq!(server.offset(empty.header("location")), 0);
    let video = server.settled(empty.header("slipway-video"));
    assert_eq!(video["error"]["code"], "unsupported-media");
}

/// A length that is told later is told once.
#[test]
fn a_deferred_length_is_fixed_once() {
    let server = Server::start();
    let created = server.send("POST", "/files", &[TUS, ("Upload-Defer-Length", "1")], b"");
    let path = created.header("location").to_owned();
    assert_eq!(server.patch(&path, 0, b"abc").status, 204);
    let head = server.send("HEAD", &path, &[TUS], b"");
    assert_eq!((head.header("upload-defer-length"), head.header("upload-length")), ("1", ""));
    let patch = |offset, length, body: &[u8]| {
        let headers = [TUS, OFFSET_TYPE, ("Upload-Offset", offset), ("Upload-Length", length)];
        server.send("PATCH", &path, &headers, body).status
    };
    assert_eq!(patch("3", "2", b"d"), 400);
    assert_eq!(patch("3", "6", b"d"), 204);
    assert_eq!(patch("4", "7", b"e"), 400);
    let head = server.send("HEAD", &path, &[TUS], b"");
    assert_eq!((head.header("upload-defer-length"), head.header("upload-length")), ("", "6"));
    assert_eq!(server.patch(&path, 4, b"ef").status, 204);
    assert_eq!(server.send("GET", &path, &[], b"").body, b"abcdef");
}

/// The sums of "hello" and "world", as `Upload-Checksum` wants them.
const SUMS: [(&str, &str, &str); 4] = [
    ("sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00=", "fCEUM/AgcVl3Qeb/Wo6jR4mrv0M="),
    (
        "sha256",
        "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        "SG6kYiTRu0+2gPNPfJrZao8k7Ii+c+qOWmxlJg6cuKc=",
    ),
    ("md5", "XUFAKrxLKna5cZ2REBfFkg==", "fXkwN6B2AYZXSwKC8vQ15w=="),
    ("crc32c", "mnG7TA==", "MaqBTg=="),
];

/// A piece with its sum is taken, one that was changed on its way isn't: the offset stays, the
/// last piece doesn't finish the upload, and the right one is taken afterwards.
#[test]
fn checksums_are_kept() {
    let server = Server::start();
    for (name, hello, world) in SUMS {
        let (path, video) = server.create("a.bin", 10);
        let patch = |offset: &str, sum: &str, body: &[u8]| {
            let sum = format!("{name} {sum}");
            let headers =
                [TUS, OFFSET_TYPE, ("Upload-Offset", offset), ("Upload-Checksum", sum.as_str())];
            server.send("PATCH", &path, &headers, body)
        };
        patch("0", world, b"hello").assert_problem(460, "checksum-mismatch");
        assert_eq!(server.offset(&path), 0, "{name}");
        let taken = patch("0", hello, b"hello");
        assert_eq!((taken.status, taken.header("upload-offset")), (204, "5"), "{name}");
        let refused = patch("5", world, b"World");
        refused.assert_problem(460, "checksum-mismatch");
        assert_eq!((refused.header("upload-offset"), server.offset(&path)), ("5", 5), "{name}");
        let video = format!("/api/videos/{video}");
        assert_eq!(server.json(&video)["state"], "uploading", "{name}");
        assert_eq!(patch("5", world, b"world").status, 204, "{name}");
        assert_eq!(server.send("GET", &path, &[], b"").body, b"helloworld", "{name}");
    }
}

/// What can't be a checksum is refused before a byte is read, with a creation too.
#[test]
fn unknown_checksums_are_refused() {
    let server = Server::start();
    let (path, _) = server.create("a.bin", 10);
    for sum in ["", "sha1", "sha512 XUFAKrxLKna5cZ2REBfFkg==", "SHA1 x", "sha1 !", "md5 mnG7TA=="] {
        let headers = [TUS, OFFSET_TYPE, ("Upload-Offset", "0"), ("Upload-Checksum", sum)];
        let answer = server.send("PATCH", &path, &headers, b"hello");
        answer.assert_problem(400, "invalid-header");
        assert_eq!(
            (answer.json()["field"].as_str(), server.offset(&path)),
            (Some("Upload-Checksum"), 0)
        );
        let headers = [TUS, OFFSET_TYPE, ("Upload-Length", "10"), ("Upload-Checksum", sum)];
        assert_eq!(server.send("POST", "/files", &headers, b"hello").status, 400, "{sum}");
    }
    let all = server.json("/api/uploads");
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all}");

    let (name, hello, world) = SUMS[0];
    let post = |sum: &str, body: &[u8]| {
        let sum = format!("{name} {sum}");
        let headers =
            [TUS, OFFSET_TYPE, ("Upload-Length", "10"), ("Upload-Checksum", sum.as_str())];
        server.send("POST", "/files", &headers, body)
    };
    let created = post(hello, b"hello");
    assert_eq!((created.status, created.header("upload-offset")), (201, "5"));
    let changed = post(world, b"hello");
    changed.assert_problem(460, "checksum-mismatch");
    assert_eq!(server.offset(changed.header("location")), 0, "it can be gone on with");
    post(hello, b"").assert_problem(460, "checksum-mismatch");
}

/// Of a checked piece that was cut, or overtaken, or whose server was killed, nothing counts;
/// sent again as a whole, it does.
#[test]
fn half_a_checked_piece_is_nothing() {
    use sha2::Digest;
    let mut server = Server::start();
    let bytes = pattern(3_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    assert_eq!(server.patch(&path, 0, &bytes[..100_000]).status, 204);
    let sum = sha2::Sha256::digest(&bytes[100_000..]);
    let sum = {
        use base64::Engine;
        format!("sha256 {}", base64::engine::general_purpose::STANDARD.encode(sum))
    };
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: 100000\r\nContent-Length: 2900000\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Checksum: {sum}\r\n\r\n",
        server.token
    );
    let blob = blob_of(&server, &path);
    for kill in [false, true] {
        let cut = raw(&server.address, &head, &bytes[100_000..2_700_000]);
        wait_for("bytes that aren't checked yet", || {
            (std::fs::metadata(&blob).expect("the blob").len() > 1_100_000).then_some(())
        });
        if kill {
            server.kill();
            server.restart();
        }
        drop(cut);
        assert_eq!(server.offset(&path), 100_000, "killed: {kill}");
        let listed = server.json("/api/uploads?state=partial");
        assert_eq!(listed["items"][0]["receivedBytes"], 100_000);
    }
    let hanging = raw(&server.address, &head, &bytes[100_000..2_700_000]);
    assert_eq!(server.offset(&path), 100_000);
    let offset = ("Upload-Offset", "100000");
    let headers = [TUS, OFFSET_TYPE, offset, ("Upload-Checksum", sum.as_str())];
    assert_eq!(server.send("PATCH", &path, &headers, &bytes[100_000..]).status, 204);
    drop(hanging);
    assert!(server.send("GET", &path, &[], b"").body == bytes);
}

/// Where the bytes of an upload lie while they come.
fn blob_of(server: &Server, path: &str) -> std::path::PathBuf {
    let id = path.trim_start_matches("/files/");
    let shards = std::fs::read_dir(server.data.join("tmp/uploads")).expect("the directory");
    let mut found = shards.flatten().map(|shard| shard.path().join(id).join("blob"));
    found.find(|blob| blob.exists()).expect("the upload's blob")
}

/// Ending an upload removes it and its video; ending a finished one keeps the video.
#[test]
fn termination() {
    let server = Server::start();
    let (path, video) = server.create("a.bin", 10);
    assert_eq!(server.patch(&path, 0, b"abc").status, 204);
    assert_eq!(server.send("DELETE", &path, &[TUS], b"").status, 204);
    let head = server.send("HEAD", &path, &[TUS], b"");
    assert_eq!((head.status, head.header("upload-offset")), (410, ""));
    server.patch(&path, 3, b"d").assert_problem(410, "gone");
    assert_eq!(server.send("GET", &format!("/api/videos/{video}"), &[], b"").status, 404);
    let unknown = "/files/018f0000-0000-7000-8000-000000000000";
    assert_eq!(server.send("HEAD", unknown, &[TUS], b"").status, 404);
    assert_eq!(server.send("HEAD", "/files/..%2f..%2fetc", &[TUS], b"").status, 404);

    let (path, video) = server.create("b.bin", 3);
    assert_eq!(server.patch(&path, 0, b"abc").status, 204);
    assert_eq!(server.send("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(server.send("GET", &format!("/api/videos/{video}"), &[], b"").status, 200);
}

/// Proxies that know only GET and POST are served by the override header.
#[test]
fn the_method_can_be_overridden() {
    let server = Server::start();
    let (path, _) = server.create("a.bin", 3);
    let headers = [TUS, OFFSET_TYPE, ("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")];
    assert_eq!(server.send("POST", &path, &headers, b"abc").status, 204);
    let head = server.send("POST", &path, &[TUS, ("X-HTTP-Method-Override", "HEAD")], b"");
    assert_eq!(head.header("upload-offset"), "3");
    let options = server.send("GET", "/files", &[("X-HTTP-Method-Override", "OPTIONS")], b"");
    assert_eq!(options.header("tus-version"), "1.0.0");
}

/// A cut connection loses nothing that had arrived, and a request that hangs is no hindrance:
/// the next one takes over.
#[test]
fn the_newest_request_wins() {
    let server = Server::start();
    let bytes = pattern(2_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Length: {}\r\n\
         Content-Type: application/offset+octet-stream\r\n\r\n",
        server.token,
        bytes.len()
    );
    // The first writer sends a part and then hangs, with its connection open.
    let mut hanging = raw(&server.address, &head, &bytes[..700_000]);
    let at = wait_for("the bytes to arrive", || {
        let at = server.json("/api/uploads?state=partial");
        let got = at["items"][0]["receivedBytes"].as_u64().unwrap_or(0) as usize;
        (got > 0).then_some(got)
    });
    let offset = server.offset(&path);
    assert!((at..=700_000).contains(&offset), "{at} were reported, then {offset}");
    let answer = server.patch(&path, offset, &bytes[offset..]);
    assert_eq!((answer.status, answer.header("upload-offset")), (204, "2000000"));
    assert!(server.send("GET", &path, &[], b"").body == bytes);
    // The hanging one was told to go, one way or the other, and did no harm.
    let mut rest = Vec::new();
    let _ = hanging.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).starts_with("HTTP/1.1 204"));
}
