//! Hundreds of requests that are wrong in one place each, made by tables: all are refused or cut
//! off, nothing comes of any, and the server is the same afterwards.

use crate::harness::{PATIENCE, Server, media, pattern};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

/// One request as it goes over the wire.
struct Wrong {
    what: String,
    bytes: Vec<u8>,
    /// Nothing is really wrong with it, or what is wrong is to be passed over.
    harmless: bool,
}

impl Wrong {
    fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { what: what.into(), bytes: bytes.into(), harmless: false }
    }

    fn harmless(self) -> Self {
        Self { harmless: true, ..self }
    }
}

/// What the requests are about.
struct Scene<'a> {
    server: &'a Server,
    /// An open tus upload of [`LENGTH`] bytes that has [`KEPT`] of them.
    open: String,
    /// An open upload in parts, its id.
    parts: String,
    /// A finished video's id.
    video: String,
}

const LENGTH: usize = 1000;
const KEPT: usize = 100;
/// The smallest part.
const PART: usize = 256 << 10;
/// An id that nothing has.
const NOBODY: &str = "0190f3f0-0000-7000-8000-000000000000";

/// Framings of a body that are wrong or can be read in two ways.
const FRAMINGS: [&str; 30] = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\ncontent-length: 0",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 5, 5",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length: 5.0",
    "Content-Length: ",
    "Content-Length: 18446744073709551616",
    "Content-Length: 99999999999999999999999999",
    "Content-Length : 5",
    "Content-Length\t: 5",
    " Content-Length: 5",
    "Content-Length: 5\r\nX-Folded: a\r\n b",
    "Content-Length: 5\r\nX-Null: a\0b",
    "Content-Length: 5\r\nX-Return: a\rb",
    "Content-Length: 5\r\nX Space: a",
    "Content-Length: 5\r\n: a",
    "Content-Length: 5\r\nNo-Colon",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: identity, chunked, chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding:\u{b}chunked",
];

/// What is no count of bytes.
const NUMBERS: [&str; 14] = [
    "",
    "-1",
    "+1",
    "1.0",
    "0x1",
    "1e3",
    "1 1",
    "1,1",
    "NaN",
    "\u{ff11}",
    "1\u{0}",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999999999999",
];

impl<'a> Scene<'a> {
    fn set(server: &'a Server) -> Self {
        let video = server.upload(&media("silent.mp4"));
        server.settled(&video);
        let (open, _) = server.create("open.bin", LENGTH);
        assert_eq!(server.patch(&open, 0, &pattern(LENGTH)[..KEPT]).status, 204);
        let said = format!(r#"{{"filename": "a.mp4", "size": {}, "chunkSize": {PART}}}"#, PART * 2);
        let json = ("Content-Type", "application/json");
        let made = server.send("POST", "/api/videos/upload/initiate", &[json], said.as_bytes());
        let parts = made.json()["uploadId"].as_str().expect("an id").to_owned();
        Self { server, open, parts, video }
    }

    /// A request with the admin's token, a Host, and these lines besides.
    fn ask(&self, line: &str, headers: &[&str], body: &str) -> Vec<u8> {
        let length = format!("Content-Length: {}", body.len());
        let auth = format!("Authorization: Bearer {}", self.server.token);
        let mut all = vec!["Host: localhost", auth.as_str(), "Connection: close"];
        all.extend_from_slice(headers);
        if !body.is_empty() {
            all.push(&length);
        }
        format!("{line} HTTP/1.1\r\n{}\r\n\r\n{body}", all.join("\r\n")).into_bytes()
    }

    /// A tus request.
    fn tus(&self, line: &str, headers: &[&str], body: &str) -> Vec<u8> {
        let mut all = vec!["Tus-Resumable: 1.0.0"];
        all.extend_from_slice(headers);
        self.ask(line, &all, body)
    }

    /// Everything, in a fixed order.
    fn requests(&self) -> Vec<Wrong> {
        let mut all = self.framings();
        all.extend(self.chunkings());
        all.extend(self.heads());
        all.extend(self.tus_values());
        all.extend(self.concats());
        all.extend(self.patch_values());
        all.extend(self.tus_doubles());
        all.extend(self.digests());
        all.extend(self.ranges());
        all.extend(self.boundaries());
        all.extend(self.forms());
        all.extend(self.json());
        all.extend(self.paths());
        all.extend(self.queries());
        all.extend(self.callers());
        all
    }

    /// Heads that two parsers could read in two ways, in front of bodies that mean something.
    fn framings(&self) -> Vec<Wrong> {
        let open = &self.open;
        let bytes = "Content-Type: application/offset+octet-stream";
        let bases = [
            (format!("PATCH {open}"), format!("Upload-Offset: {KEPT}\r\n{bytes}")),
            ("POST /files".to_owned(), format!("Upload-Length: 5\r\n{bytes}")),
            ("POST /api/videos/upload/initiate".to_owned(), "Content-Type: a/json".to_owned()),
        ];
        let mut all = Vec::new();
        for (line, headers) in &bases {
            for framing in FRAMINGS {
                let mut bytes = self.tus(line, &[headers, framing], "");
                bytes.extend(b"5\r\nhello\r\n0\r\n\r\n");
                all.push(Wrong::new(format!("{line} with {framing:?}"), bytes));
            }
        }
        all
    }

    /// Chunked bodies whose chunks are wrong.
    fn chunkings(&self) -> Vec<Wrong> {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(1 << 20));
        let bodies = [
            "fffffffffffffffff\r\nhello",
            "ffffffffffffffff\r\nhello",
            "10000000000000000\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "g\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5\r\nhelloworld\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhel",
            "5",
            "",
            long.as_str(),
        ];
        let offset = format!("Upload-Offset: {KEPT}");
        let checksum = "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let kind = "Content-Type: application/offset+octet-stream";
        let headers = [offset.as_str(), checksum, kind, "Transfer-Encoding: chunked"];
        let mut all = Vec::new();
        for body in bodies {
            // The sum makes sure that what came before the fault doesn't count either.
            let mut bytes = self.tus(&format!("PATCH {}", self.open), &headers, "");
            bytes.extend(body.as_bytes());
            let shown: String = body.chars().take(40).collect();
            all.push(Wrong::new(format!("a chunk {shown:?}"), bytes));
        }
        all
    }

    /// Heads that are none.
    fn heads(&self) -> Vec<Wrong> {
        let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
        let heads = [
            "\0\0\0\0\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            "GET /nothing HTTP/1.1\nHost: a\nConnection: close\n\n",
            "G\0T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT localhost:80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "FOO /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        ];
        let mut all: Vec<Wrong> =
            heads.map(|head| Wrong::new(format!("a head {head:?}"), head)).into();
        all.push(Wrong::new("200 headers", format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")));
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(1 << 20));
        all.push(Wrong::new("a header of 1 MiB", endless));
        let address = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20 << 10));
        all.push(Wrong::new("an address of 20 KiB", address));
        all
    }

    /// One bad value in each header of tus.
    fn tus_values(&self) -> Vec<Wrong> {
        let many: Vec<String> = (0..33).map(|n| format!("k{n} YQ==")).collect();
        let (many, long) = (many.join(","), format!("title {}", "YWFh".repeat(1100)));
        let metadata = [
            "a b c",
            ",",
            "a YQ==,",
            ",a YQ==",
            "title !!!",
            "title YQ==,title YQ==",
            "\u{e9} YQ==",
            "visibility Zm9v",
            "title YQ===",
            "title Y",
            "\u{0} YQ==",
            &many,
            &long,
        ];
        let mut all = Vec::new();
        let mut post = |headers: &[&str]| {
            all.push(Wrong::new(
                format!("create, {headers:?}"),
                self.tus("POST /files", headers, ""),
            ));
        };
        for number in NUMBERS {
            post(&[&format!("Upload-Length: {number}")]);
        }
        for defer in ["", "0", "2", "true", "-1", "1.0", "01", "1,1"] {
            post(&[&format!("Upload-Defer-Length: {defer}")]);
        }
        for value in metadata {
            post(&["Upload-Length: 5", &format!("Upload-Metadata: {value}")]);
        }
        post(&[]);
        post(&["Upload-Length: 5", "Upload-Defer-Length: 1"]);
        all
    }

    /// Lists of parts that can't be joined.
    fn concats(&self) -> Vec<Wrong> {
        let own = [
            format!("final;http://elsewhere{}", self.open),
            format!("final;{}", self.open),
            format!("final;/files/{NOBODY}"),
            format!("final;/files/{}", self.parts),
        ];
        let fixed = [
            "",
            "final",
            "final;",
            "final; ",
            "final;/etc/passwd",
            "final;/files/../x",
            "FINAL;a",
            "final;/files/%00",
            "partial;x",
            "final;http://elsewhere/files/x",
            "final;,",
            "finale;/a",
        ];
        let lists = fixed.into_iter().chain(own.iter().map(String::as_str));
        let wrong = |list: &str| {
            let header = format!("Upload-Concat: {list}");
            Wrong::new(&header, self.tus("POST /files", &[&header], ""))
        };
        lists.map(wrong).collect()
    }

    /// The same for what is appended.
    fn patch_values(&self) -> Vec<Wrong> {
        let line = format!("PATCH {}", self.open);
        let (right, kind) =
            (format!("Upload-Offset: {KEPT}"), "Content-Type: application/offset+octet-stream");
        let mut all = Vec::new();
        let mut patch = |headers: &[&str]| {
            all.push(Wrong::new(format!("append, {headers:?}"), self.tus(&line, headers, "hello")));
        };
        for number in NUMBERS.iter().chain(&["0", "99", "101", "1000", "1001"]) {
            patch(&[&format!("Upload-Offset: {number}"), kind]);
        }
        for sum in [
            "",
            "sha1",
            "sha1 ",
            "sha1 !",
            "sha1 YQ==",
            "sha512 YQ==",
            "md5 AAAA",
            " ",
            "crc32c AA==",
            "sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "sha1  2jmj7l5rSw0yVb/vlWAYkK/YBwk= x",
        ] {
            patch(&[&right, kind, &format!("Upload-Checksum: {sum}")]);
        }
        for kind in ["", "text/plain", "application/offset", "application/offset+octet-streams"] {
            patch(&[&right, &format!("Content-Type: {kind}")]);
        }
        patch(&[&right]);
        patch(&[kind]);
        patch(&[&right, kind, "Upload-Length: 5"]);
        for version in ["", "0.2.2", "1.0", "2.0.0", "1.0.0, 0.2.2", "v1.0.0"] {
            let version = format!("Tus-Resumable: {version}");
            let bytes = self.ask(&line, &[&version, &right, kind], "hello");
            all.push(Wrong::new(format!("append, {version}"), bytes));
        }
        for method in ["", "FOO", "GET /", "PATCH, DELETE", "CONNECT"] {
            let header = format!("X-HTTP-Method-Override: {method}");
            let bytes = self.tus("POST /files/x", &[&header, &right, kind], "hello");
            all.push(Wrong::new(header, bytes));
        }
        all
    }

    /// Headers that may be there once, there twice, with two meanings.
    fn tus_doubles(&self) -> Vec<Wrong> {
        let kind = "Content-Type: application/offset+octet-stream";
        let right = format!("Upload-Offset: {KEPT}");
        let sum = "Upload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=";
        let wrong_sum = "Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let patch = format!("PATCH {}", self.open);
        let cases: [(&str, Vec<&str>, &str); 9] = [
            ("POST /files", vec!["Upload-Length: 5", "Upload-Length: 6"], ""),
            ("POST /files", vec!["Upload-Defer-Length: 1", "Upload-Defer-Length: 0"], ""),
            ("POST /files", vec!["Upload-Concat: partial", "Upload-Concat: final;/files/x"], ""),
            (
                "POST /files",
                vec!["Upload-Length: 5", "Upload-Metadata: a YQ==", "Upload-Metadata: a Yg=="],
                "",
            ),
            ("POST /files", vec!["Upload-Length: 5", "Tus-Resumable: 0.2.2"], ""),
            (&patch, vec![&right, "Upload-Offset: 0", kind], "hello"),
            (&patch, vec!["Upload-Offset: 0", &right, kind], "hello"),
            (&patch, vec![&right, kind, sum, wrong_sum], "hello"),
            (&patch, vec![&right, kind, "Content-Type: text/plain"], "hello"),
        ];
        let twice = |(line, headers, body): (&str, Vec<&str>, &str)| {
            Wrong::new(format!("{line} with {headers:?}"), self.tus(line, &headers, body))
        };
        cases.map(twice).into()
    }

    /// Sums of a part that can't be read, or are another's.
    fn digests(&self) -> Vec<Wrong> {
        let line = format!("PUT /api/videos/upload/{}/parts/0", self.parts);
        let body = "x".repeat(PART);
        let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let one = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let headers = [
            format!("Content-Digest: sha-256=:{zero}:"),
            format!("Content-Digest: sha-256={zero}"),
            "Content-Digest: sha-256=::".to_owned(),
            "Content-Digest: sha-256=".to_owned(),
            "Content-Digest: sha-256=:!:".to_owned(),
            format!("Content-Digest: sha-256=:{zero}:, sha-256=:{one}:"),
            format!("Content-Digest: sha-256=:{zero}:\r\nDigest: sha-256={one}"),
            "Digest: sha-256=a".to_owned(),
            "x-chunk-sha256: ".to_owned(),
            format!("x-chunk-sha256: {}", "g".repeat(64)),
            format!("x-chunk-sha256: {}", "0".repeat(63)),
            format!("x-chunk-sha256: {}", "0".repeat(64)),
        ];
        let wrong = |header: String| Wrong::new(&header, self.ask(&line, &[&header], &body));
        headers.into_iter().map(wrong).collect()
    }

    /// A range that can't be read is passed over, one that isn't there is refused.
    fn ranges(&self) -> Vec<Wrong> {
        let many = vec!["0-0"; 2000].join(",");
        let ranges = [
            "bytes=9-1",
            "bytes=-0",
            "bytes=99999999999-",
            "bytes=a-b",
            "lines=0-1",
            "bytes=",
            "",
            "bytes",
            "bytes=-",
            "bytes=--1",
            "bytes=0-18446744073709551616",
            "bytes=1-2-3",
            "=0-1",
            "bytes=-18446744073709551615",
            "bytes=0-0,5-5",
            "bytes=5-\u{ff11}",
            &format!("bytes={many}"),
        ];
        let line = format!("GET /api/videos/{}/original", self.video);
        let wrong = |range: &str| {
            let bytes = self.ask(&line, &[&format!("Range: {range}")], "");
            Wrong::new(format!("Range: {}", &range[..range.len().min(40)]), bytes).harmless()
        };
        ranges.map(wrong).into()
    }

    /// Content types that name no boundary, or one that isn't there.
    fn boundaries(&self) -> Vec<Wrong> {
        let kinds = [
            "",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; b",
            "multipart/form-data; boundary=\"\"",
            "multipart/form-data; boundary=c",
            "multipart/form-data; boundary=\"b",
            "multipart/form-data; boundary=b b",
            "multipart",
            "multipart/mixed; boundary=c",
            "application/x-www-form-urlencoded",
            "text/plain;",
            &format!("multipart/form-data; boundary={}", "b".repeat(4000)),
        ];
        let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nabc\
                    \r\n--b--\r\n";
        let mut all = Vec::new();
        for kind in kinds {
            for path in ["/api/videos", "/api/videos/upload/chunk"] {
                let header = format!("Content-Type: {kind}");
                let bytes = self.ask(&format!("POST {path}"), &[&header], body);
                all.push(Wrong::new(
                    format!("POST {path}, {}", &kind[..kind.len().min(60)]),
                    bytes,
                ));
            }
        }
        all
    }

    /// Forms that break their own grammar, or are cut short.
    fn forms(&self) -> Vec<Wrong> {
        let head = "--b\r\nContent-Disposition: form-data; name=\"";
        let file = format!("{head}file\"; filename=\"a\"\r\n\r\nabc");
        let text = |name: &str, value: &str| format!("{head}{name}\"\r\n\r\n{value}\r\n");
        let fields: String = (0..40).map(|n| text(&format!("f{n}"), "x")).collect();
        let long = text("title", &"x".repeat(40 << 10));
        let id = text("uploadId", &self.parts);
        let chunk = format!("{head}chunk\"\r\n\r\nabc\r\n--b--\r\n");
        let bodies = [
            String::new(),
            "--b".to_owned(),
            "--b--\r\n".to_owned(),
            "--b\r\n".to_owned(),
            "--b\r\n\r\nabc\r\n--b--\r\n".to_owned(),
            "--b\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--b--\r\n".to_owned(),
            "--b\r\nContent-Disposition: attachment; name=\"file\"\r\n\r\nabc\r\n--b--".to_owned(),
            "--b\r\nNo-Colon\r\n\r\nabc\r\n--b--\r\n".to_owned(),
            format!("--b\r\nX-Null: a\0\r\n\r\n{file}\r\n--b--\r\n"),
            "--b\nContent-Disposition: form-data; name=\"file\"\n\nabc\n--b--\n".to_owned(),
            file.clone(),
            format!("{file}\r\n"),
            format!("{file}\r\n--b"),
            format!("{file}\r\n--c--\r\n"),
            format!("{file}\r\n{file}\r\n--b--\r\n"),
            format!("{file}\r\n{}--b--\r\n", text("visibility", "everybody")),
            format!("{}{file}\r\n--b--\r\n", text("visibility", "everybody")),
            format!("{file}\r\n{}--b--\r\n", text("title", "x").repeat(2)),
            format!("{long}{file}\r\n--b--\r\n"),
            format!("{fields}--b--\r\n"),
            format!(
                "{head}file\"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--"
            ),
            format!("{head}file\"\r\nContent-Length: 99\r\n\r\nabc\r\n--b--\r\n"),
            format!("{head}file\"\r\nContent-Length: -1\r\n\r\nabc\r\n--b--\r\n"),
            format!("{head}file\"\r\n{}\r\nabc\r\n--b--\r\n", "X: 1\r\n".repeat(200)),
            format!("{id}{chunk}"),
            format!("{}{}{chunk}", text("uploadId", "../x"), text("chunkIndex", "0")),
            format!("{id}{}{chunk}", text("chunkIndex", "-1")),
            format!("{id}{}{chunk}", text("chunkIndex", "99999999999999999999")),
            format!("{id}{}{chunk}", text("chunkIndex", "7")),
            format!("{id}{}{}{chunk}", text("chunkIndex", "0"), text("totalChunks", "3")),
            format!("{id}{}{}{chunk}", text("chunkIndex", "0"), text("checksum", "zz")),
            format!("{id}{}{chunk}", text("chunkIndex", "0")),
            format!("{chunk}{id}{}", text("chunkIndex", "0")),
        ];
        let kind = "Content-Type: multipart/form-data; boundary=b";
        let mut all = Vec::new();
        for body in &bodies {
            for path in ["/api/videos", "/api/videos/upload/chunk"] {
                let shown: String = body.chars().take(120).collect();
                let bytes = self.ask(&format!("POST {path}"), &[kind], body);
                all.push(Wrong::new(format!("POST {path}, form {shown:?}"), bytes));
            }
        }
        all
    }

    /// JSON that is none, and JSON that says nothing that can be done.
    fn json(&self) -> Vec<Wrong> {
        let deep = "[".repeat(30_000);
        let nested = format!("{}1{}", "{\"size\":".repeat(200), "}".repeat(200));
        let long = format!("{{\"filename\": \"{}\", \"size\": 5}}", "a".repeat(5000));
        let bodies = [
            "",
            "{",
            "}",
            "[]",
            "null",
            "0",
            "\"x\"",
            "{}",
            "{\"\"}",
            "{'size': 5}",
            "\u{feff}{}",
            "\0",
            "{\"filename\": 5, \"size\": 5, \"title\": 5, \"uploadId\": 5}",
            "{\"filename\": \"a\", \"size\": -1, \"visibility\": \"all\", \"uploadId\": \"-\"}",
            "{\"filename\": \"a\", \"size\": 1e999, \"tags\": {}, \"uploadId\": []}",
            "{\"filename\": \"a\", \"size\": 1.5, \"tags\": [1], \"uploadId\": {}}",
            "{\"filename\": \"a\", \"size\": 0, \"tags\": 0, \"uploadId\": \"\"}",
            "{\"filename\": \"a\", \"size\": 99999999999999999999, \"description\": []}",
            "{\"filename\": \"a\", \"size\": 5, \"size\": 6, \"title\": \"a\", \"title\": \"b\"}",
            "{\"filename\": \"\\ud800\", \"size\": 5, \"title\": \"\\ud800\"}",
            "{\"filename\": \"a\", \"size\": 5, \"tags\": 1, \"title\": null, \"visibility\": 1}",
            "{\"filename\": \"a\", \"size\": 5} x",
            "{\"title\": \"a\"} x",
            "{\"title\": \"a\tb\n\"}",
            &deep,
            &nested,
            &long,
        ];
        let video = format!("PATCH /api/videos/{}", self.video);
        let lines = [
            "POST /api/videos/upload/initiate",
            "POST /api/videos/upload/complete",
            &format!("POST /api/videos/upload/{}/part-urls", self.parts),
            &video,
        ];
        let kind = "Content-Type: application/json";
        let mut all = Vec::new();
        for line in lines {
            for body in bodies {
                let what = format!("{line}, {:?}", &body[..body.len().min(80)]);
                let wrong = Wrong::new(what, self.ask(line, &[kind], body));
                // A change of nothing is none.
                let nothing = line == video && (body == "{}" || body.contains("\"title\": null"));
                all.push(if nothing { wrong.harmless() } else { wrong });
            }
            all.push(Wrong::new(format!("{line}, bad text"), {
                let mut bytes = self.ask(line, &[kind, "Content-Length: 14"], "");
                bytes.extend(b"{\"title\":\"\xff\"}");
                bytes
            }));
        }
        all
    }

    /// Ids that are none, in every place for one.
    fn paths(&self) -> Vec<Wrong> {
        const IDS: [&str; 14] = [
            "..%2f..%2fVERSION",
            "%00",
            "a%00b",
            "%2e%2e",
            "..",
            "%c0%ae%c0%ae",
            "%c0%af",
            "%ff",
            "%",
            "%zz",
            "0190f3f0-0000-7000-8000-00000000000",
            "%0d%0aX-A:%20b",
            "-",
            "\u{e4}",
        ];
        let long = "0".repeat(5000);
        let mut all = Vec::new();
        for id in IDS.into_iter().chain([NOBODY, &long]) {
            let lines = [
                format!("HEAD /files/{id}"),
                format!("DELETE /files/{id}"),
                format!("GET /api/videos/{id}"),
                format!("DELETE /api/videos/{id}"),
                format!("PUT /api/videos/upload/{id}/parts/0"),
                format!("GET /media/{id}/master.m3u8"),
                format!("GET /media/{}/{id}", self.video),
                format!("GET /watch/{id}"),
                format!("GET /static/{id}"),
            ];
            for line in lines {
                let what = line.chars().take(60).collect::<String>();
                all.push(Wrong::new(what, self.tus(&line, &[], "")));
            }
        }
        for index in ["-1", "+0", "99999999999", "0x0", "a", "%00", "2", ""] {
            let line = format!("PUT /api/videos/upload/{}/parts/{index}", self.parts);
            all.push(Wrong::new(&line, self.ask(&line, &[], "hello")));
        }
        all
    }

    /// Questions that can't be answered.
    fn queries(&self) -> Vec<Wrong> {
        let videos = [
            "limit=x",
            "limit=-1",
            "limit=99999999999999999999",
            "state=no",
            "sort=no",
            "cursor=!",
            "cursor=%00",
            "limit=1&limit=2",
            "cursor=AAAA",
            "state=%ff",
        ];
        let mut all: Vec<Wrong> = videos
            .iter()
            .map(|query| format!("GET /api/videos?{query}"))
            .map(|line| Wrong::new(&line, self.ask(&line, &[], "")))
            .collect();
        let part = format!("PUT /api/videos/upload/{}/parts/0", self.parts);
        for query in ["signature=x", "expires=1", "expires=x&signature=", "expires=9e9&signature=A"]
        {
            let line = format!("{part}?{query}");
            all.push(Wrong::new(&line, self.ask(&line, &[], "hello")));
        }
        all
    }

    /// Callers that aren't who they say.
    fn callers(&self) -> Vec<Wrong> {
        let token = &self.server.token;
        let cookie = "a=b; ".repeat(2000);
        let headers = [
            "Authorization: ".to_owned(),
            "Authorization: Bearer".to_owned(),
            "Authorization: Bearer ".to_owned(),
            format!("Authorization: Basic {token}"),
            format!("Authorization: Bearer {token}x"),
            format!("Authorization: Bearer {token}, Bearer {token}"),
            format!("Authorization: Bearer x\r\nAuthorization: Bearer {token}"),
            format!("Authorization: Bearer {}", "x".repeat(9000)),
            "Cookie: ".to_owned(),
            "Cookie: =; ;;=".to_owned(),
            "Cookie: slipway=".to_owned(),
            format!("Cookie: slipway={token}"),
            format!("Cookie: {cookie}"),
            "Cookie: slipway_session=\"\u{1}".to_owned(),
        ];
        let mut all = Vec::new();
        for header in headers {
            for line in ["GET /api/videos", "POST /files", "DELETE /api/videos/x"] {
                let bytes = format!(
                    "{line} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n{header}\r\n\
                     Upload-Length: 5\r\nConnection: close\r\n\r\n"
                );
                let shown: String = header.chars().take(40).collect();
                all.push(Wrong::new(format!("{line}, {shown}"), bytes));
            }
        }
        for host in ["", "a b", "a/b", "a@b", "[::1", "localhost:99999999", "\u{e4}", "a,b", "%00"]
        {
            let bytes =
                format!("GET /nothing HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            all.push(Wrong::new(format!("Host: {host}"), bytes));
        }
        all
    }
}

/// Sends a request and returns the status of the answer; 0 for a connection that was closed without
/// one.
fn status_of(server: &Server, wrong: &Wrong) -> u16 {
    let host = server.address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The server may have refused before all of it is sent.
    let _ = stream.write_all(&wrong.bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{} hangs", wrong.what);
                break;
            }
        }
    }
    let line = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    if line.is_empty() {
        return 0;
    }
    assert!(line.starts_with("HTTP/1."), "{}: {line:?}", wrong.what);
    line.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status")
}

/// Sends each request once.
fn pass(scene: &Scene, requests: &[Wrong]) -> Vec<String> {
    let mut found = Vec::new();
    for wrong in requests {
        let status = status_of(scene.server, wrong);
        let refused = status == 0 || (400..500).contains(&status);
        let passed_over = wrong.harmless && (200..300).contains(&status);
        if !refused && !passed_over {
            found.push(format!("{status}: {}", wrong.what));
        }
    }
    found
}

/// Pages of memory that the server holds.
fn resident_pages(server: &Server) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("it runs");
    text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// More than 300 requests that are wrong in one place each are all refused or cut off, and nothing
/// comes of any: no upload begins, none that was open is touched, and the server keeps no memory
/// of them. The bound for that is a quarter of a page for each request, far below what any
/// forgotten buffer, task or record would take.
#[test]
fn malformed_requests_leave_nothing_behind() {
    const PASSES: u64 = 4;
    let server = Server::with(&[("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0")]);
    let scene = Scene::set(&server);
    let requests = scene.requests();
    assert!(requests.len() >= 300, "{}", requests.len());
    // Of a form that went wrong nothing but the record of its end is left.
    let kept =
        || ["partial", "finished"].map(|it| server.json(&format!("/api/uploads?state={it}")));
    let uploads = kept();
    let found = pass(&scene, &requests);
    assert!(found.is_empty(), "{} requests:\n{}", found.len(), found.join("\n"));
    // Every path has been gone once: now caches and threads are there.
    let _ = pass(&scene, &requests);
    let before = resident_pages(&server);
    for _ in 0..PASSES {
        let _ = pass(&scene, &requests);
    }
    let grown = resident_pages(&server).saturating_sub(before);
    let sent = PASSES * requests.len() as u64;
    println!("{} requests; {grown} pages more after {sent} of them", requests.len());
    assert!(grown <= sent / 4, "{grown} pages for {sent} requests");
    assert_eq!(kept(), uploads);
    let bytes = pattern(LENGTH);
    assert_eq!(server.offset(&scene.open), KEPT);
    assert_eq!(server.patch(&scene.open, KEPT, &bytes[KEPT..]).status, 204);
    let video = server.json(&format!("/api/videos/{}", scene.video));
    assert_eq!(video["state"], "ready", "{video}");
}
