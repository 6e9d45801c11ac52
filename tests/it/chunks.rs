//! Uploads in numbered parts on the wire: any order, side by side, through kills and lies.

use crate::harness::{Answer, Server, media, pattern, raw, sha256, wait_for};
use serde_json::{Value, json};
use std::io::Read;

const KIB: usize = 1024;
/// The smallest part.
const PART: usize = 256 * KIB;
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An upload in parts, and what is sent of it.
struct Upload<'a> {
    server: &'a Server,
    id: String,
    plan: Value,
    bytes: Vec<u8>,
}

fn server() -> Server {
    Server::with(&[("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0")])
}

fn post(server: &Server, path: &str, said: &Value) -> Answer {
    server.send("POST", path, &[JSON], said.to_string().as_bytes())
}

impl<'a> Upload<'a> {
    fn begin(server: &'a Server, bytes: Vec<u8>) -> Self {
        let said = json!({"filename": "a.mp4", "size": bytes.len(), "chunkSize": PART});
        Self::with(server, bytes, &said)
    }

    fn with(server: &'a Server, bytes: Vec<u8>, said: &Value) -> Self {
        let answer = post(server, "/api/videos/upload/initiate", said);
        assert_eq!(answer.status, 201, "{}", answer.text());
        let plan = answer.json();
        let id = plan["uploadId"].as_str().expect("an id").to_owned();
        Self { server, id, plan, bytes }
    }

    fn path(&self, index: usize) -> String {
        format!("/api/videos/upload/{}/parts/{index}", self.id)
    }

    fn part(&self, index: usize) -> &[u8] {
        self.bytes.chunks(PART).nth(index).expect("a part")
    }

    fn put(&self, index: usize) -> Answer {
        self.server.send("PUT", &self.path(index), &[], self.part(index))
    }

    fn status(&self) -> Value {
        self.server.json(&format!("/api/videos/upload/{}", self.id))
    }

    fn missing(&self) -> Vec<u64> {
        let status = self.status();
        let missing = status["missingChunks"].as_array().expect("a list");
        missing.iter().map(|index| index.as_u64().expect("a number")).collect()
    }

    fn complete(&self) -> Answer {
        post(self.server, "/api/videos/upload/complete", &json!({"uploadId": self.id}))
    }

    fn original(&self) -> Vec<u8> {
        let video = self.plan["videoId"].as_str().expect("an id");
        let answer = self.server.send("GET", &format!("/api/videos/{video}/original"), &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    }
}

/// Parts in a shuffled order over parallel connections become the very file, and a video of it.
#[test]
fn shuffled_parallel_parts_become_a_video() {
    let server = server();
    let bytes = std::fs::read(media("faststart.mp4")).expect("it was generated");
    let sum = sha256(&bytes);
    let said = json!({
        "filename": "../holiday.mp4", "size": bytes.len(), "chunkSize": 1, "title": "Sea",
        "contentType": "video/mp4", "tags": ["sun", "sand"], "sha256": sum, "sessionId": "s-1",
    });
    let upload = Upload::with(&server, bytes, &said);
    assert_eq!(upload.plan["method"], "chunked");
    assert_eq!(upload.plan["chunkSize"], PART, "wishes are clamped");
    let total = upload.bytes.len().div_ceil(PART);
    assert!(total > 2, "{total}");
    assert_eq!(upload.plan["totalChunks"], total);
    assert_eq!(upload.plan["partUrls"].as_array().map(Vec::len), Some(total));
    assert!(upload.plan["expiresAt"].is_string());
    let mut order: Vec<usize> = (0..total).rev().collect();
    order.sort_by_key(|index| index * 7 % 5);
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let (upload, order) = (&upload, &order);
            scope.spawn(move || {
                for index in order.iter().skip(lane).step_by(4) {
                    let answer = upload.put(*index);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    let etag = answer.header("etag");
                    assert_eq!(answer.json()["etag"], etag);
                    assert_eq!(answer.json()["size"], upload.part(*index).len());
                    assert!(etag.starts_with('"') && etag.ends_with('"'));
                }
            });
        }
    });
    assert_eq!(upload.missing(), [] as [u64; 0]);
    let said = json!({"uploadId": upload.id});
    let headers = [JSON, ("Prefer", "wait=60")];
    let path = "/api/videos/upload/complete";
    let answer = server.send("POST", path, &headers, said.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let video = &answer.json()["video"];
    assert_eq!(answer.json()["videoId"], upload.plan["videoId"]);
    assert_eq!((&video["title"], &video["sessionId"]), (&json!("Sea"), &json!("s-1")));
    assert_eq!(video["tags"], json!(["sun", "sand"]));
    assert!(video["playable"] == true && video["playback"]["poster"].is_string(), "{video}");
    assert_eq!(sha256(&upload.original()), sum);
    let video = server.settled(upload.plan["videoId"].as_str().expect("an id"));
    assert_eq!(video["state"], "ready", "{video}");
    let again = upload.complete();
    assert_eq!((again.status, &again.json()["video"]["state"]), (200, &json!("ready")));
    assert_eq!(upload.status()["state"], "finished");
    assert_eq!(upload.put(0).status, 409, "nothing changes any more");
    let gone = server.send("DELETE", &format!("/api/videos/upload/{}", upload.id), &[], b"");
    assert_eq!(gone.status, 204, "the upload is forgotten, the video stays");
    assert_eq!(sha256(&upload.original()), sum);
}

/// Small files are one part of their own size.
#[test]
fn small_files_are_one_part() {
    let server = Server::start();
    let upload = Upload::begin(&server, pattern(70_000));
    assert_eq!(upload.plan["method"], "single");
    assert_eq!(
        (&upload.plan["totalChunks"], &upload.plan["chunkSize"]),
        (&json!(1), &json!(70_000))
    );
    assert_eq!(upload.put(0).status, 200);
    assert_eq!(upload.complete().status, 200);
    assert_eq!(upload.original(), upload.bytes);
}

/// An acknowledged part never changes; the same bytes are fine as often as they come.
#[test]
fn acknowledged_parts_never_change() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 2));
    let first = upload.put(0);
    let again = upload.put(0);
    assert_eq!((again.status, again.header("etag")), (200, first.header("etag")));
    let other = vec![7; PART];
    let answer = server.send("PUT", &upload.path(0), &[], &other);
    answer.assert_problem(409, "part-conflict");
    assert_eq!(upload.put(1).status, 200);
    let etag = upload.put(0).header("etag").trim_matches('"').to_owned();
    let complete = |parts: Value| {
        let said = json!({"uploadId": upload.id, "parts": parts});
        post(&server, "/api/videos/upload/complete", &said)
    };
    let wrong = complete(json!([{"index": 1, "etag": etag}]));
    wrong.assert_problem(409, "part-conflict");
    complete(json!([{"index": 2, "etag": etag}])).assert_problem(422, "part-size");
    assert_eq!(complete(json!([{"index": 0, "etag": etag}])).status, 200, "quotes are optional");
    assert_eq!(upload.original(), upload.bytes);
}

/// Parts of a wrong size or number, or with a wrong sum, leave nothing behind.
#[test]
fn wrong_parts_are_refused_and_not_kept() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 2 + 100));
    for (index, size) in [(0, PART - 1), (0, PART + 1), (0, 0), (2, 99), (2, PART), (3, 100)] {
        let answer = server.send("PUT", &upload.path(index), &[], &upload.bytes[..size]);
        answer.assert_problem(422, "part-size");
    }
    server.send("PUT", &upload.path(usize::MAX), &[], b"x").assert_problem(422, "part-size");
    let path = format!("/api/videos/upload/{}/parts/x", upload.id);
    server.send("PUT", &path, &[], b"x").assert_problem(422, "part-size");
    let sum: Vec<u8> = hex(&sha256(upload.part(1)));
    let right = base64_of(&sum);
    let wrong = base64_of(&[7; 32]);
    for (name, value) in [
        ("Content-Digest", format!("sha-256=:{wrong}:")),
        ("Digest", format!("sha-256={wrong}")),
        ("x-chunk-sha256", sha256(b"else")),
    ] {
        let answer = server.send("PUT", &upload.path(1), &[(name, &value)], upload.part(1));
        answer.assert_problem(422, "checksum-mismatch");
    }
    let unreadable = [("Content-Digest", "sha-256=:x:")];
    let answer = server.send("PUT", &upload.path(1), &unreadable, upload.part(1));
    answer.assert_problem(400, "invalid-header");
    assert_eq!(upload.missing(), [0, 1, 2], "nothing was kept");
    for (name, value) in [
        ("Content-Digest", format!("sha-256=:{right}:")),
        ("Digest", format!("SHA-256={right}")),
        ("x-chunk-sha256", sha256(upload.part(1))),
    ] {
        let answer = server.send("PUT", &upload.path(1), &[(name, &value)], upload.part(1));
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    let missing = upload.complete();
    missing.assert_problem(409, "parts-missing");
    assert_eq!(missing.json()["missingChunks"], json!([0, 2]));
    let status = upload.status();
    assert_eq!(status["received"], json!([[PART, PART * 2]]));
    assert_eq!((&status["receivedBytes"], &status["wanted"]), (&json!(PART), &json!([])));
    assert_eq!((&status["state"], &status["chunkSize"]), (&json!("partial"), &json!(PART)));
}

/// A wrong sum of the whole file leaves the upload open; the right one completes it.
#[test]
fn a_wrong_sum_of_the_whole_leaves_it_open() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART + 5));
    assert_eq!(upload.put(1).status, 200);
    assert_eq!(upload.put(0).status, 200);
    let complete = |sum: String| {
        let said = json!({"uploadId": upload.id, "sha256": sum});
        post(&server, "/api/videos/upload/complete", &said)
    };
    complete(sha256(b"else")).assert_problem(422, "checksum-mismatch");
    assert_eq!(upload.status()["state"], "partial");
    let done = complete(sha256(&upload.bytes));
    assert_eq!(done.status, 200);
    assert_eq!(done.json()["video"]["sha256"], json!(sha256(&upload.bytes)), "it was read");
    assert_eq!(upload.original(), upload.bytes);
}

/// Who comes back is told what each part holds, and finds the upload by its file's name.
#[test]
fn what_is_there_can_be_compared() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 2 + 5));
    assert_eq!(upload.put(2).status, 200);
    assert_eq!(upload.put(0).status, 200);
    assert_eq!(upload.status()["parts"], Value::Null, "only for who asks");
    let told = server.json(&format!("/api/videos/upload/{}?parts=true", upload.id));
    let etag = |index| format!("\"{}\"", sha256(upload.part(index)));
    let expected = json!([{"index": 0, "etag": etag(0)}, {"index": 2, "etag": etag(2)}]);
    assert_eq!(told["parts"], expected);
    assert_eq!(upload.put(1).status, 200);
    let named = |name| server.json(&format!("/api/uploads?filename={name}"))["items"].clone();
    assert_eq!(named("a.mp4")[0]["uploadId"], json!(upload.id));
    assert_eq!(named("b.mp4"), json!([]));
    assert_eq!(upload.complete().status, 200);
    let told = server.json(&format!("/api/videos/upload/{}?parts=true", upload.id));
    assert_eq!(told["parts"], json!([]), "a finished file has no parts");
}

/// A signed address needs no token, and is good for its own part only.
#[test]
fn signed_addresses_work_alone() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART + 5));
    let url = |index: usize| {
        upload.plan["partUrls"][index]["url"].as_str().expect("an address").to_owned()
    };
    let put = |url: &str, body: &[u8]| server.send_as_anyone("PUT", url, &[], body);
    put(&upload.path(0), upload.part(0)).assert_problem(401, "unauthenticated");
    let good = url(0);
    let tampered = [
        good.replace("/parts/0?", "/parts/1?"),
        good.replace("expires=", "expires=9"),
        good.replace("signature=", "signature=A"),
        good.split("&signature").next().expect("the rest").to_owned(),
        format!("{}?signature=x", upload.path(0)),
    ];
    for bad in tampered {
        put(&bad, upload.part(0)).assert_problem(403, "bad-signature");
        let answer = server.send("PUT", &bad, &[], upload.part(0));
        answer.assert_problem(403, "bad-signature");
    }
    assert_eq!(put(&good, upload.part(0)).status, 200);
    let path = format!("/api/videos/upload/{}/part-urls", upload.id);
    let again = post(&server, &path, &json!({"indexes": [1]}));
    assert_eq!(again.status, 200, "{}", again.text());
    let again = again.json()["partUrls"][0]["url"].as_str().expect("an address").to_owned();
    assert_eq!(put(&again, upload.part(1)).status, 200);
    post(&server, &path, &json!({"indexes": [2]})).assert_problem(422, "part-size");
    assert_eq!(upload.complete().status, 200);
}

/// Killed with a part under way: what was acknowledged is there, the rest is told, and it ends
/// well.
#[test]
fn kill_9_in_the_middle_keeps_acknowledged_parts() {
    let mut server = server();
    let bytes = pattern(PART * 6 + 77);
    let upload = Upload::begin(&server, bytes);
    for index in [6, 1, 4] {
        assert_eq!(upload.put(index).status, 200);
    }
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {PART}\r\n\r\n",
        upload.path(2),
        server.token
    );
    let under_way = raw(&server.address, &head, &upload.part(2)[..PART - 1]);
    let Upload { id, plan, bytes, .. } = upload;
    server.kill();
    drop(under_way);
    server.restart();
    let upload = Upload { server: &server, id, plan, bytes };
    assert_eq!(upload.missing(), [0, 2, 3, 5]);
    let other = vec![7; PART];
    server.send("PUT", &upload.path(4), &[], &other).assert_problem(409, "part-conflict");
    for index in [5, 2, 0, 3] {
        assert_eq!(upload.put(index).status, 200);
    }
    assert_eq!(upload.complete().status, 200);
    assert_eq!(sha256(&upload.original()), sha256(&upload.bytes));
    let Upload { id, plan, bytes, .. } = upload;
    server.kill();
    server.restart();
    let upload = Upload { server: &server, id, plan, bytes };
    assert_eq!(upload.complete().status, 200, "completing is idempotent over a restart");
}

/// Killed between any two steps of a part or of completing: the next start goes on rightly.
#[test]
fn killed_between_two_steps() {
    let threshold = ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0");
    for moment in [
        "after-write-before-record",
        "after-sync-before-rename",
        "after-rename-before-record",
        "after-record",
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let mut server = Server::on(&data, &[threshold, ("SLIPWAY_FAIL_AT", moment)]);
        let upload = Upload::begin(&server, pattern(PART + 9));
        let in_a_part = moment == "after-write-before-record";
        let said = json!({"uploadId": upload.id}).to_string();
        let (line, body) = match in_a_part {
            true => (format!("PUT {}", upload.path(1)), upload.part(1)),
            false => ("POST /api/videos/upload/complete".to_owned(), said.as_bytes()),
        };
        if !in_a_part {
            assert_eq!((upload.put(1).status, upload.put(0).status), (200, 200), "{moment}");
        }
        let head = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            server.token,
            body.len()
        );
        let mut answer = Vec::new();
        // The connection may also end with a reset.
        let _ = raw(&server.address, &head, body).read_to_end(&mut answer);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{moment}");
        let Upload { id, plan, bytes, .. } = upload;
        // A dying process closes its connections before it lets go of the directory.
        assert_eq!(server.ended(), None, "{moment}");
        let next = Server::on(&data, &[threshold]);
        let upload = Upload { server: &next, id, plan, bytes };
        if in_a_part {
            assert_eq!(upload.missing(), [0, 1], "{moment}");
            assert_eq!((upload.put(1).status, upload.put(0).status), (200, 200));
        }
        assert_eq!(upload.complete().status, 200, "{moment}");
        assert!(upload.original() == upload.bytes, "{moment}");
    }
}

/// A connection that is cut keeps nothing of its part, and looking disturbs nobody.
#[test]
fn a_cut_part_isnt_kept() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 2));
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: {PART}\r\n\r\n",
        upload.path(0),
        server.token
    );
    let mut slow = raw(&server.address, &head, &upload.part(0)[..PART / 2]);
    assert_eq!(upload.missing(), [0, 1]);
    std::io::Write::write_all(&mut slow, &upload.part(0)[PART / 2..]).expect("nobody cut it");
    wait_for("the slow part", || (upload.missing() == [1]).then_some(()));
    let head = head.replace("/parts/0 ", "/parts/1 ");
    drop(raw(&server.address, &head, &vec![7; PART - 1]));
    // The one that was cut may be heard after this one, and takes over then.
    wait_for("the part", || (upload.put(1).status == 200).then_some(()));
    assert_eq!(upload.complete().status, 200);
    assert_eq!(upload.original(), upload.bytes);
}

/// Aborting ends it for good: 204, then 410, and the video goes with it.
#[test]
fn aborting_ends_it() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 2));
    assert_eq!(upload.put(0).status, 200);
    let path = format!("/api/videos/upload/{}", upload.id);
    assert_eq!(server.send("DELETE", &path, &[], b"").status, 204);
    assert_eq!(server.send("DELETE", &path, &[], b"").status, 410);
    assert_eq!(server.send("GET", &path, &[], b"").status, 410);
    assert_eq!(upload.put(1).status, 410);
    assert_eq!(upload.complete().status, 410);
    let signed = upload.plan["partUrls"][1]["url"].as_str().expect("an address");
    assert_eq!(server.send_as_anyone("PUT", signed, &[], upload.part(1)).status, 410);
    let video = upload.plan["videoId"].as_str().expect("an id");
    assert_eq!(server.send("GET", &format!("/api/videos/{video}"), &[], b"").status, 404);
}

fn form(fields: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(b"--b0undary\r\nContent-Disposition: form-data; ");
        let file = if *name == "chunk" { "; filename=\"blob\"" } else { "" };
        body.extend_from_slice(format!("name=\"{name}\"{file}\r\n\r\n").as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    ("multipart/form-data; boundary=b0undary".to_owned(), body)
}

/// Parts come in forms too; what follows the part counts as well as what precedes it.
#[test]
fn parts_come_in_forms() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 3));
    let send = |fields: &[(&str, &[u8])]| {
        let (kind, body) = form(fields);
        server.send("POST", "/api/videos/upload/chunk", &[("Content-Type", &kind)], &body)
    };
    let id = ("uploadId", upload.id.as_bytes());
    let (sum, wrong) = (sha256(upload.part(1)), sha256(b"else"));
    let whole = |index, total, sum| {
        let chunk = ("chunk", upload.part(1));
        send(&[id, ("chunkIndex", index), chunk, ("totalChunks", total), ("checksum", sum)])
    };
    whole(b"1", b"3", wrong.as_bytes()).assert_problem(422, "checksum-mismatch");
    whole(b"1", b"4", sum.as_bytes()).assert_problem(400, "invalid-request");
    whole(b"1", b"3", b"no sum").assert_problem(400, "invalid-request");
    whole(b"3", b"3", sum.as_bytes()).assert_problem(422, "part-size");
    whole(b"one", b"3", sum.as_bytes()).assert_problem(400, "invalid-request");
    send(&[("chunk", upload.part(1)), id, ("chunkIndex", b"1")])
        .assert_problem(400, "invalid-request");
    send(&[id, ("chunkIndex", b"1")]).assert_problem(400, "invalid-request");
    send(&[id, ("chunkIndex", b"1"), ("chunk", b"short")]).assert_problem(422, "part-size");
    assert_eq!(upload.missing(), [0, 1, 2], "nothing was kept");
    let answer = whole(b"1", b"3", sum.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = answer.json();
    assert_eq!((&said["received"], &said["total"]), (&json!(1), &json!(3)));
    assert!(said["percentage"].as_f64().is_some_and(|share| share > 33.0 && share < 34.0));
    for (index, text) in [(0, b"0"), (2, b"2")] {
        let sum = sha256(upload.part(index));
        let answer = send(&[
            ("checksum", sum.as_bytes()),
            ("totalChunks", b"3"),
            ("chunkIndex", text),
            id,
            ("chunk", upload.part(index)),
        ]);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(upload.complete().status, 200);
    assert_eq!(upload.original(), upload.bytes);
}

/// Another user's upload isn't there; a viewer can't upload; nobody at all is 401.
#[test]
fn owners_and_roles_of_parts() {
    let server = server();
    let token = |role| format!("Bearer {}", server.token_of(role, &[]));
    let (anna, bert, viewer) = (token("uploader"), token("uploader"), token("viewer"));
    let send = |who: &str, method: &str, path: &str, body: &[u8]| {
        let headers = [("Authorization", who), JSON];
        server.send_as_anyone(method, path, &headers, body)
    };
    let said = json!({"filename": "a", "size": PART + 5, "chunkSize": PART}).to_string();
    let initiate = "/api/videos/upload/initiate";
    send(&viewer, "POST", initiate, said.as_bytes()).assert_problem(403, "forbidden");
    let nobody = server.send_as_anyone("POST", initiate, &[JSON], said.as_bytes());
    nobody.assert_problem(401, "unauthenticated");
    let begun = send(&anna, "POST", initiate, said.as_bytes());
    assert_eq!(begun.status, 201, "{}", begun.text());
    let id = begun.json()["uploadId"].as_str().expect("an id").to_owned();
    let complete = json!({"uploadId": id}).to_string();
    let (indexes, bytes) = (json!({"indexes": [0]}).to_string(), pattern(PART));
    let (kind, chunk) =
        form(&[("uploadId", id.as_bytes()), ("chunkIndex", b"0"), ("chunk", &bytes)]);
    let path = format!("/api/videos/upload/{id}");
    let calls: [(&str, String, &[u8]); 5] = [
        ("GET", path.clone(), b""),
        ("DELETE", path.clone(), b""),
        ("POST", format!("{path}/part-urls"), indexes.as_bytes()),
        ("PUT", format!("{path}/parts/0"), &bytes),
        ("POST", "/api/videos/upload/complete".to_owned(), complete.as_bytes()),
    ];
    for (method, path, body) in &calls {
        send(&bert, method, path, body).assert_problem(404, "not-found");
        let nobody = server.send_as_anyone(method, path, &[JSON], body);
        nobody.assert_problem(401, "unauthenticated");
    }
    let headers = [("Authorization", bert.as_str()), ("Content-Type", &kind)];
    let answer = server.send_as_anyone("POST", "/api/videos/upload/chunk", &headers, &chunk);
    answer.assert_problem(404, "not-found");
    assert_eq!(send(&anna, "PUT", &format!("{path}/parts/0"), &bytes).status, 200);
}

/// What can't be an upload is refused before anything is made.
#[test]
fn bad_beginnings_are_refused() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__MAX_SIZE", "1 MB")]);
    let begin = |said: Value| post(&server, "/api/videos/upload/initiate", &said);
    begin(json!({"size": 0})).assert_problem(400, "invalid-request");
    begin(json!({"size": -1})).assert_problem(400, "invalid-request");
    begin(json!({"filename": "a"})).assert_problem(400, "invalid-request");
    begin(json!({"size": 1, "sha256": "x"})).assert_problem(400, "invalid-request");
    begin(json!({"size": 1_000_001})).assert_problem(413, "upload-too-large");
    begin(json!({"size": 1, "title": "x".repeat(4096)})).assert_problem(400, "invalid-metadata");
    begin(json!({"size": 1, "visibility": "all"})).assert_problem(400, "invalid-metadata");
    let path = "/api/videos/upload/initiate";
    assert_eq!(server.send("POST", path, &[("Content-Type", "text/plain")], b"{}").status, 415);
    assert_eq!(server.json("/api/uploads")["items"], json!([]));
}

/// An upload speaks the protocol it began with; each door refuses the other's.
#[test]
fn doors_dont_mix() {
    let server = server();
    let upload = Upload::begin(&server, pattern(PART * 2));
    let tus = format!("/files/{}", upload.id);
    server.patch(&tus, 0, upload.part(0)).assert_problem(409, "upload-protocol");
    let head = server.send("HEAD", &tus, &[("Tus-Resumable", "1.0.0")], b"");
    assert_eq!(head.status, 409);
    let (other, video) = server.create("b.bin", 10);
    let id = other.trim_start_matches("/files/");
    let part = format!("/api/videos/upload/{id}/parts/0");
    server.send("PUT", &part, &[], b"0123456789").assert_problem(409, "upload-protocol");
    let said = json!({"uploadId": id});
    let complete = || post(&server, "/api/videos/upload/complete", &said);
    complete().assert_problem(409, "upload-protocol");
    let status = server.json(&format!("/api/videos/upload/{id}"));
    assert_eq!((&status["size"], &status["videoId"]), (&json!(10), &json!(video)));
    assert_eq!(server.patch(&other, 0, b"0123456789").status, 204);
    assert_eq!(complete().json()["videoId"], json!(video), "a finished one is complete");
    let listed = server.json("/api/uploads?state=partial");
    assert_eq!(listed["items"][0]["uploadId"], json!(upload.id));
    assert_eq!(listed["items"][0]["url"], json!(format!("/api/videos/upload/{}", upload.id)));
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| {
        let value = |digit: char| digit.to_digit(16).expect("hex") as u8;
        value(pair[0]) << 4 | value(pair[1])
    };
    digits.chunks(2).map(byte).collect()
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
