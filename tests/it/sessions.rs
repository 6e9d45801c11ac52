//! Groups of uploads: thousands in one, and one that another client goes on with.

use crate::crash::workers_of;
use crate::harness::{Server, base64, pattern, raw, sha256, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OFFSET_TYPE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FILES: usize = 2_000;
/// Connections that upload at once.
const CLIENTS: usize = 8;
/// What arrives of a file that stays open.
const BEGUN: usize = 7;

fn name_of(number: usize) -> String {
    format!("file {number:04}.mp4")
}

/// A few bytes that no other file has.
fn content_of(number: usize) -> Vec<u8> {
    format!("the content of file {number}").into_bytes()
}

fn stays_open(number: usize) -> bool {
    number.is_multiple_of(10)
}

/// What of a file is sent: all, or the beginning of one that stays open.
fn sent_of(number: usize) -> Vec<u8> {
    let mut bytes = content_of(number);
    if stays_open(number) {
        bytes.truncate(BEGUN);
    }
    bytes
}

/// Stops the child that works, so that jobs wait and don't take the machine from the uploads.
fn hold_queue(server: &Server) {
    // The first child of a start only tries the sandbox out.
    wait_for("the check of the sandbox", || {
        let layers = &server.json("/api/admin/status")["sandbox"]["layers"];
        layers.as_array().filter(|layers| !layers.is_empty()).map(drop)
    });
    wait_for("a worker that is held", || {
        let busy = server.json("/api/videos?state=processing&limit=1");
        busy["items"].as_array().filter(|items| !items.is_empty())?;
        let child = workers_of(server.pid()).first().copied()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(child).ok()?)?;
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        stat.contains(") T ").then_some(())
    });
}

/// One client: its own connection, and the headers of every request.
struct Client<'a> {
    agent: ureq::Agent,
    server: &'a Server,
    session: &'a str,
}

impl<'a> Client<'a> {
    fn new(server: &'a Server, session: &'a str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self { agent: ureq::Agent::new_with_config(config), server, session }
    }

    /// Creates file `number` with its bytes; false when no answer came.
    fn send(&self, number: usize) -> bool {
        let length = content_of(number).len();
        let sent = sent_of(number);
        let metadata =
            format!("filename {},sessionId {}", base64(&name_of(number)), base64(self.session));
        let request = self
            .agent
            .post(format!("{}/files", self.server.address))
            .header("Authorization", format!("Bearer {}", self.server.token))
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", length.to_string())
            .header("Upload-Metadata", metadata)
            .header("Content-Type", "application/offset+octet-stream");
        let Ok(mut answer) = request.send(&sent) else { return false };
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        assert_eq!(answer.status(), 201, "{said}");
        let offset = answer.headers().get("upload-offset").expect("an offset");
        assert_eq!(offset.to_str().ok(), Some(sent.len().to_string().as_str()));
        true
    }
}

/// Sends `numbers` over several connections until `stop` or the first silence; returns what was
/// acknowledged and what got no answer.
fn send_all(
    server: &Server,
    session: &str,
    numbers: &[usize],
    meanwhile: impl FnOnce(&AtomicUsize),
) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let answered: Mutex<[BTreeSet<usize>; 2]> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let client = Client::new(server, session);
                while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let was_answered = client.send(number);
                    let mut sets = answered.lock().expect("no client failed");
                    sets[usize::from(!was_answered)].insert(number);
                    if !was_answered {
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        meanwhile(&done);
    });
    let [yes, no] = answered.into_inner().expect("no client failed");
    (yes, no)
}

/// Reads every page of a list.
fn pages(server: &Server, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.json(&format!("{path}{cursor}"));
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn by_name(items: &[Value]) -> BTreeMap<String, &Value> {
    let name = |item: &Value| item["filename"].as_str().expect("a name").to_owned();
    let named: BTreeMap<String, &Value> = items.iter().map(|item| (name(item), item)).collect();
    assert_eq!(named.len(), items.len(), "a file is there twice");
    named
}

/// Two thousand files in one session over eight connections, and a kill in the middle: what was
/// acknowledged is there once, what wasn't is found in the list or sent again, and the lists of
/// uploads, videos and states agree page by page.
#[test]
fn two_thousand_files_in_a_session() {
    let settings = [("SLIPWAY_MEDIA__WORKERS", "1"), ("SLIPWAY_MEDIA__STALL_TIMEOUT", "1h")];
    let mut server = Server::with(&settings);
    server.upload(&crate::harness::media("faststart.mp4"));
    hold_queue(&server);
    let all: Vec<usize> = (0..FILES).collect();
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid()).expect("a pid"));
    let (mut acknowledged, silent) = send_all(&server, "big", &all, |done| {
        wait_for("half of the files", || (done.load(Ordering::Relaxed) >= FILES / 2).then_some(()));
        let pid = pid.expect("not 0");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    });
    assert!(acknowledged.len() >= FILES / 2 && !silent.is_empty(), "{}", acknowledged.len());
    server.kill();
    server.restart();
    hold_queue(&server);

    // What a client that got no answer does: look whether the server knows the file.
    let found = pages(&server, "/api/uploads?sessionId=big&limit=300");
    let found = by_name(&found);
    for number in &acknowledged {
        let upload = found.get(&name_of(*number));
        let upload = upload.unwrap_or_else(|| panic!("{number} was acknowledged and is lost"));
        assert_eq!(upload["receivedBytes"], sent_of(*number).len(), "{upload}");
    }
    let videos = pages(&server, "/api/videos?sessionId=big&limit=100");
    let videos = by_name(&videos);
    for number in silent {
        let Some(upload) = found.get(&name_of(number)) else {
            // The kill may have come between a small file and its record: the start has made a
            // video of it then, which nobody was told of.
            if let Some(video) = videos.get(&name_of(number)) {
                let path = format!("/api/videos/{}", video["id"].as_str().expect("an id"));
                assert_eq!(server.send("DELETE", &path, &[], b"").status, 204);
            }
            continue;
        };
        go_on(&server, upload, number);
        acknowledged.insert(number);
    }
    let rest: Vec<usize> =
        all.into_iter().filter(|number| !acknowledged.contains(number)).collect();
    let (sent, silent) = send_all(&server, "big", &rest, |_| ());
    assert_eq!((sent.len(), silent.len()), (rest.len(), 0));
    Client::new(&server, "other").send(FILES);

    the_lists_agree(&server);
}

/// Sends what lacks of a file whose creation got no answer.
fn go_on(server: &Server, upload: &Value, number: usize) {
    let bytes = sent_of(number);
    let url = upload["url"].as_str().expect("an address");
    let at = server.offset(url);
    if at < bytes.len() {
        let answer = server.patch(url, at, &bytes[at..]);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

fn the_lists_agree(server: &Server) {
    let uploads = pages(server, "/api/uploads?sessionId=big&limit=300");
    let uploads = by_name(&uploads);
    let videos = pages(server, "/api/videos?sessionId=big&limit=100");
    let videos = by_name(&videos);
    assert_eq!((uploads.len(), videos.len()), (FILES, FILES));
    for number in 0..FILES {
        let (upload, video) = (uploads[&name_of(number)], videos[&name_of(number)]);
        assert_eq!(upload["videoId"], video["id"]);
        assert_eq!(upload["size"], content_of(number).len());
        if stays_open(number) {
            assert_eq!(
                (&upload["state"], &upload["receivedBytes"]),
                (&json!("partial"), &json!(BEGUN))
            );
            assert_eq!(video["state"], "uploading");
        } else {
            assert_eq!(upload["state"], "finished");
            assert_ne!(video["state"], "uploading");
        }
        if number % 40 == 1 {
            let original = format!("/api/videos/{}/original", video["id"].as_str().expect("an id"));
            assert_eq!(server.send("GET", &original, &[], b"").body, content_of(number));
        }
    }
    let open = pages(server, "/api/uploads?state=partial&sessionId=big&limit=99");
    assert_eq!(by_name(&open).len(), FILES / 10);
    let uploading = pages(server, "/api/videos?state=uploading&sessionId=big");
    assert_eq!(by_name(&uploading).len(), FILES / 10);

    let states = pages(server, "/api/videos/status?sessionId=big");
    let ids = |items: &mut dyn Iterator<Item = &Value>| -> BTreeSet<String> {
        items.map(|id| id.as_str().expect("an id").to_owned()).collect()
    };
    let told = ids(&mut states.iter().map(|item| &item["videoId"]));
    assert_eq!((states.len(), told), (FILES, ids(&mut videos.values().map(|video| &video["id"]))));
    let waiting = states.iter().filter(|item| item["state"] == "queued");
    let places: BTreeSet<u64> =
        waiting.clone().filter_map(|item| item["queuePosition"].as_u64()).collect();
    assert_eq!(places.len(), waiting.count(), "each has a place of its own");
    assert_eq!(pages(server, "/api/uploads?sessionId=other").len(), 1);
    assert_eq!(pages(server, "/api/uploads?sessionId=nobody").len(), 0);
    server.send("GET", "/api/uploads?cursor=x", &[], b"").assert_problem(400, "invalid-request");
}

/// A token of an uploader, who may have several.
fn token_for(server: &Server, user: &str) -> String {
    server.token_of("uploader", &["--user", user])
}

/// What one client began, another of the same person finds in the list and finishes, over both
/// doors; a third person doesn't see it and can't touch it.
#[test]
fn another_client_goes_on() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0")]);
    let [first, second] = [token_for(&server, "ann"), token_for(&server, "ann")];
    let stranger = token_for(&server, "bob");
    assert_ne!(first, second);
    let ask = |token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let bearer = format!("Bearer {token}");
        let headers = [&[("Authorization", bearer.as_str())], headers].concat();
        server.send_as_anyone(method, path, &headers, body)
    };
    let bytes = pattern(700_000);

    // The first client creates over tus, and dies in the middle of a body.
    let metadata = format!("filename {},sessionId {}", base64("über.mp4"), base64("s 1"));
    let headers = [TUS, ("Upload-Length", "700000"), ("Upload-Metadata", metadata.as_str())];
    let path = ask(&first, "POST", "/files", &headers, b"").header("location").to_owned();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {first}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Length: 700000\r\n\
         Content-Type: application/offset+octet-stream\r\n\r\n"
    );
    drop(raw(&server.address, &head, &bytes[..300_000]));
    // And another one in numbered parts, of which it sends only the last.
    let said = json!({"filename": "b.mp4", "size": 700_000, "chunkSize": 262_144,
        "sessionId": "s 1"});
    let plan =
        ask(&first, "POST", "/api/videos/upload/initiate", &[JSON], said.to_string().as_bytes());
    assert_eq!(plan.status, 201, "{}", plan.text());
    let last =
        format!("/api/videos/upload/{}/parts/2", plan.json()["uploadId"].as_str().expect("an id"));
    assert_eq!(ask(&first, "PUT", &last, &[], &bytes[524_288..]).status, 200);

    // The second knows nothing but the list.
    let open = "/api/uploads?state=partial&sessionId=s%201";
    let listed = ask(&second, "GET", open, &[], b"").json();
    let listed = listed["items"].as_array().expect("items").clone();
    let listed = by_name(&listed);
    assert_eq!(listed.keys().collect::<Vec<_>>(), ["b.mp4", "über.mp4"]);
    assert_eq!(listed["über.mp4"]["size"], 700_000);
    let url = listed["über.mp4"]["url"].as_str().expect("an address");
    let parts = listed["b.mp4"]["url"].as_str().expect("an address");

    let hidden = ask(&stranger, "GET", open, &[], b"").json();
    assert_eq!(hidden["items"], json!([]));
    assert_eq!(ask(&stranger, "HEAD", url, &[TUS], b"").status, 404);
    assert_eq!(ask(&stranger, "GET", parts, &[], b"").status, 404);
    let headers = [TUS, OFFSET_TYPE, ("Upload-Offset", "0")];
    assert_eq!(ask(&stranger, "PATCH", url, &headers, b"evil").status, 404);

    let at = ask(&second, "HEAD", url, &[TUS], b"").header("upload-offset").to_owned();
    let from: usize = at.parse().expect("a number");
    assert!(from <= 300_000);
    let headers = [TUS, OFFSET_TYPE, ("Upload-Offset", at.as_str())];
    assert_eq!(ask(&second, "PATCH", url, &headers, &bytes[from..]).status, 204);
    assert_eq!(sha256(&ask(&first, "GET", url, &[], b"").body), sha256(&bytes));

    let missing = ask(&second, "GET", parts, &[], b"").json();
    assert_eq!(missing["missingChunks"], json!([0, 1]));
    let size = usize::try_from(missing["chunkSize"].as_u64().expect("a size")).expect("it fits");
    for index in missing["missingChunks"].as_array().expect("indexes") {
        let index = usize::try_from(index.as_u64().expect("an index")).expect("it fits");
        let part = bytes.chunks(size).nth(index).expect("a part");
        let put = ask(&second, "PUT", &format!("{parts}/parts/{index}"), &[], part);
        assert_eq!(put.status, 200, "{}", put.text());
    }
    let id = parts.rsplit('/').next().expect("an id");
    let said = json!({ "uploadId": id }).to_string();
    let done = ask(&second, "POST", "/api/videos/upload/complete", &[JSON], said.as_bytes());
    assert_eq!(done.status, 200, "{}", done.text());
    let video = done.json()["videoId"].as_str().expect("an id").to_owned();
    let whole = ask(&first, "GET", &format!("/api/videos/{video}/original"), &[], b"");
    assert_eq!(sha256(&whole.body), sha256(&bytes));
    let left = ask(&first, "GET", open, &[], b"").json();
    assert_eq!(left["items"], json!([]));
}
