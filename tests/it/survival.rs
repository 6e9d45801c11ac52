//! What work along an upload has to survive, one mishap to a test: in the end the film is right, or
//! there is nothing of it.

use crate::crash::{kill_9, workers_of};
use crate::harness::{Server, base64, media, raw, sha256, wait_for};
use crate::live::{JSON, PART, Parts, assert_right, index_last, playable, playlists, server, sums};
use crate::playback::walk_for;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");

fn faststart() -> Vec<u8> {
    fs::read(media("faststart.mp4")).expect("it was generated")
}

/// Waits for a video, judges it, and compares its original with what was sent.
fn assert_right_of(server: &Server, video: &str, film: &[u8]) -> Value {
    let it = assert_right(server, video);
    let original = server.send("GET", &format!("/api/videos/{video}/original"), &[], b"");
    assert_eq!(sha256(&original.body), sha256(film), "the original is what was sent");
    it
}

/// What players can have of each quality by now: the sums of its segments.
fn served(server: &Server, video: &str) -> BTreeMap<String, Vec<String>> {
    let media = walk_for(&server.data.join("media"), video).expect("published");
    let rungs = playlists(&media).into_keys();
    rungs.map(|rung| (rung.clone(), sums(server, video, &rung))).collect()
}

/// Checks that what was served is served still, under the same addresses.
fn assert_kept(server: &Server, video: &str, before: &BTreeMap<String, Vec<String>>) {
    let now = served(server, video);
    for (rung, sums) in before {
        assert!(!sums.is_empty() && now[rung].starts_with(sums), "{rung} has kept what it had");
    }
}

fn seconds(it: &Value) -> f64 {
    it["playback"]["playableSeconds"].as_f64().unwrap_or(0.0)
}

fn workers_are_gone(server: &Server) {
    wait_for("the worker to go", || workers_of(server.pid()).is_empty().then_some(()));
}

/// An upload whose client falls asleep in the middle of a body: its worker goes and leaves its
/// place to another upload, what plays of it goes on playing, and when the client wakes up, so does
/// the work. That nothing acts within the hour by itself, `janitor` tests with a clock of its own.
#[test]
fn an_upload_that_pauses_for_an_hour_goes_on() {
    let server = Server::with(&[
        ("SLIPWAY_MEDIA__STALL_TIMEOUT", "5s"),
        ("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "2s"),
        ("SLIPWAY_MEDIA__LIVE_WORKERS", "1"),
        ("SLIPWAY_MEDIA__LADDER", "[720, 240]"),
    ]);
    let film = faststart();
    let (path, video) = server.create("a.mp4", film.len());
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Length: {}\r\n\
         Content-Type: application/offset+octet-stream\r\n\r\n",
        server.host(),
        server.token,
        film.len()
    );
    let half = film.len() / 2;
    let asleep = raw(&server.address, &head, &film[..half]);
    playable(&server, &video, 1);
    workers_are_gone(&server);
    let paused = server.json(&format!("/api/videos/{video}"));
    assert_eq!((&paused["state"], &paused["playable"]), (&json!("uploading"), &json!(true)));
    assert!(seconds(&paused) > 2.0, "{paused}");
    let before = served(&server, &video);

    // Meanwhile another one has the only place, from its first bytes to its end.
    let (other_path, other) = server.create("b.mp4", film.len());
    assert_eq!(server.patch(&other_path, 0, &film[..half]).status, 204);
    playable(&server, &other, 1);
    assert_eq!(server.patch(&other_path, half, &film[half..]).status, 204);
    assert_right_of(&server, &other, &film);

    let it = server.json(&format!("/api/videos/{video}"));
    assert_eq!(it["state"], "uploading");
    assert_eq!(seconds(&it), seconds(&paused), "it plays as far as before");
    let listed = server.json("/api/uploads?state=partial");
    assert_eq!(listed["items"][0]["videoId"], *video, "{listed}");
    let hls = it["playback"]["hls"].as_str().expect("an address");
    assert_eq!(server.send("GET", hls, &[], b"").status, 200);
    assert_kept(&server, &video, &before);

    let offset = server.offset(&path);
    assert_eq!(offset, half, "all that came counts");
    drop(asleep);
    let most = film.len() * 9 / 10;
    assert_eq!(server.patch(&path, offset, &film[offset..most]).status, 204);
    let segments = before.values().map(Vec::len).max().expect("qualities");
    playable(&server, &video, segments + 1);
    assert_eq!(server.patch(&path, most, &film[most..]).status, 204);
    let it = assert_right_of(&server, &video, &film);
    assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "a pause is no failure: {it}");
    assert_kept(&server, &video, &before);
}

/// A client: where it calls from, and its own token.
struct Machine<'a> {
    server: &'a Server,
    address: &'a str,
    token: String,
}

impl Machine<'_> {
    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> crate::harness::Answer {
        let bearer = format!("Bearer {}", self.token);
        let ours = [("Authorization", bearer.as_str()), ("X-Forwarded-For", self.address)];
        self.server.send_as_anyone(method, path, &[&ours, headers].concat(), body)
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The open uploads that it may go on with, by the names of their files.
    fn listed(&self) -> BTreeMap<String, Value> {
        let list = self.json("/api/uploads?state=partial");
        let items = list["items"].as_array().expect("a list").iter();
        items.map(|it| (it["filename"].as_str().expect("a name").to_owned(), it.clone())).collect()
    }
}

/// What one machine began, another one of the same person finds in the list, and goes on with by
/// what the server tells it alone, over both doors: both films have played before and are right.
#[test]
fn an_upload_resumes_from_another_machine() {
    let server = Server::with(&[
        ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
        ("SLIPWAY_TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
        ("SLIPWAY_MEDIA__LIVE_WORKERS", "2"),
        ("SLIPWAY_MEDIA__LADDER", "[720, 240]"),
    ]);
    let machine = |user: &str, address: &'static str| Machine {
        server: &server,
        address,
        token: server.token_of("uploader", &["--user", user]),
    };
    let (first, second) = (machine("ann", "192.0.2.1"), machine("ann", "198.51.100.2"));
    let stranger = machine("bob", "192.0.2.1");
    let (film, in_parts) = (faststart(), index_last());
    let length = film.len().to_string();
    let name = format!("filename {}", base64("a.mp4"));
    let headers = [TUS, ("Upload-Length", length.as_str()), ("Upload-Metadata", name.as_str())];
    let created = first.ask("POST", "/files", &headers, b"");
    let (path, by_tus) = (created.header("location"), created.header("slipway-video").to_owned());
    let append = |machine: &Machine<'_>, path: &str, at: usize, bytes: &[u8]| {
        let at = at.to_string();
        let kind = ("Content-Type", "application/offset+octet-stream");
        machine.ask("PATCH", path, &[TUS, ("Upload-Offset", at.as_str()), kind], bytes).status
    };
    assert_eq!(append(&first, path, 0, &film[..film.len() / 2]), 204);
    let said = json!({"filename": "b.mp4", "size": in_parts.len(), "chunkSize": PART}).to_string();
    let begun = first.ask("POST", "/api/videos/upload/initiate", &[JSON], said.as_bytes()).json();
    let (id, video) = (begun["uploadId"].as_str().expect("an id"), begun["videoId"].clone());
    let put = |machine: &Machine<'_>, id: &str, index: usize| {
        let part = in_parts.chunks(PART).nth(index).expect("a part");
        let path = format!("/api/videos/upload/{id}/parts/{index}");
        machine.ask("PUT", &path, &[], part).status
    };
    let count = in_parts.len().div_ceil(PART);
    // The index lies in the last parts.
    let sent = (0..count * 6 / 10).chain(count - 2..count);
    sent.for_each(|index| assert_eq!(put(&first, id, index), 200));
    let before = [&by_tus, video.as_str().expect("an id")].map(|video| {
        playable(&server, video, 1);
        (video.to_owned(), served(&server, video))
    });
    drop(first);

    assert!(stranger.listed().is_empty());
    let open = second.listed();
    let url = open["a.mp4"]["url"].as_str().expect("an address");
    let offset = second.ask("HEAD", url, &[TUS], b"").header("upload-offset").to_owned();
    let offset: usize = offset.parse().expect("a number");
    assert_eq!(append(&stranger, url, offset, &film[offset..]), 404);
    assert_eq!(append(&second, url, offset, &film[offset..]), 204);
    let id = open["b.mp4"]["id"].as_str().or(open["b.mp4"]["uploadId"].as_str()).expect("an id");
    let status = second.json(&format!("/api/videos/upload/{id}?parts=true"));
    for part in status["parts"].as_array().expect("parts") {
        let index = part["index"].as_u64().and_then(|it| usize::try_from(it).ok());
        let ours = in_parts.chunks(PART).nth(index.expect("a number")).expect("a part");
        assert!(part["etag"].as_str().is_some_and(|etag| etag.contains(&sha256(ours))), "{part}");
    }
    let missing = status["missingChunks"].as_array().expect("a list");
    assert!(!missing.is_empty());
    for index in missing {
        let index = index.as_u64().and_then(|it| usize::try_from(it).ok()).expect("a number");
        assert_eq!(put(&second, id, index), 200);
    }
    let said = json!({"uploadId": id}).to_string();
    let path = "/api/videos/upload/complete";
    assert_eq!(second.ask("POST", path, &[JSON], said.as_bytes()).status, 200);
    for ((video, before), film) in before.iter().zip([&film, &in_parts]) {
        assert_right_of(&server, video, film);
        assert_kept(&server, video, before);
    }
}

/// Numbered parts in random orders, several at a time, become the same segments as in order; and a
/// film whose index doesn't come before its end is right over tus, too.
#[test]
fn chunks_in_random_order_make_the_right_film() {
    let server = Server::with(&[
        ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
        ("SLIPWAY_MEDIA__LADDER", "[360, 240]"),
    ]);
    let film = index_last();
    let (path, in_order) = server.create("a.mp4", film.len());
    for at in (0..film.len()).step_by(3_000_000) {
        let end = film.len().min(at + 3_000_000);
        assert_eq!(server.patch(&path, at, &film[at..end]).status, 204);
    }
    assert_right_of(&server, &in_order, &film);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..2 {
        let upload = Parts::begin(&server, &film, json!({}));
        let mut order: Vec<usize> = (0..upload.count()).collect();
        for last in (1..order.len()).rev() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            order.swap(last, (seed % (last as u64 + 1)) as usize);
        }
        std::thread::scope(|scope| {
            for lane in 0..3 {
                let (upload, order) = (&upload, &order);
                scope.spawn(move || {
                    order.iter().skip(lane).step_by(3).for_each(|&at| upload.put(at))
                });
            }
        });
        assert_eq!(upload.complete().status, 200);
        assert_right_of(&server, &upload.video, &film);
        for rung in ["360p-1", "audio-1"] {
            let (ours, other) =
                (sums(&server, &upload.video, rung), sums(&server, &in_order, rung));
            assert!(ours.len() > 6 && ours == other, "{rung} doesn't depend on the order");
        }
    }
}

/// At the end a client says that its film is longer or shorter than it has said. Tus and numbered
/// parts take no other length, and the film that was announced is right; by the draft's rules more
/// bytes end the upload, and what has played of it is gone.
#[test]
fn a_length_contradicted_at_the_end_harms_nothing() {
    let server = server();
    let film = faststart();
    let most = film.len() * 8 / 10;
    let (path, video) = server.create("a.mp4", film.len());
    assert_eq!(server.patch(&path, 0, &film[..most]).status, 204);
    playable(&server, &video, 1);
    let before = served(&server, &video);
    assert_eq!(server.patch(&path, most, &[&film[most..], b"more"].concat()).status, 413);
    let (offset, shorter) = (server.offset(&path), most.to_string());
    let at = offset.to_string();
    let kind = ("Content-Type", "application/offset+octet-stream");
    let headers = [TUS, ("Upload-Offset", at.as_str()), ("Upload-Length", shorter.as_str()), kind];
    assert_eq!(server.send("PATCH", &path, &headers, b"").status, 400, "it has a length");
    assert_eq!(server.patch(&path, offset, &film[offset..]).status, 204);
    assert_right_of(&server, &video, &film);
    assert_kept(&server, &video, &before);

    let upload = Parts::begin(&server, &film, json!({}));
    let last = upload.count() - 1;
    (0..last).for_each(|index| upload.put(index));
    playable(&server, &upload.video, 1);
    let place = |index: usize| format!("/api/videos/upload/{}/parts/{index}", upload.id);
    for (index, bytes) in [(last, &film[..PART]), (last, b"few"), (last + 1, b"more")] {
        let answer = server.send("PUT", &place(index), &[], bytes);
        answer.assert_problem(422, "part-size");
    }
    upload.complete().assert_problem(409, "parts-missing");
    upload.put(last);
    assert_eq!(upload.complete().status, 200);
    assert_right_of(&server, &upload.video, &film);

    let draft = ("Upload-Draft-Interop-Version", "8");
    let length = film.len().to_string();
    let headers = [draft, ("Upload-Complete", "?0"), ("Upload-Length", length.as_str())];
    let created = server.send("POST", "/files", &headers, &film[..most]);
    assert_eq!(created.status, 201, "{}", created.text());
    let (path, video) = (created.header("location"), created.header("slipway-video"));
    let it = playable(&server, video, 1);
    let hls = it["playback"]["hls"].as_str().expect("an address");
    let at = most.to_string();
    let kind = ("Content-Type", "application/partial-upload");
    let headers = [draft, ("Upload-Complete", "?1"), ("Upload-Offset", at.as_str()), kind];
    let answer = server.send("PATCH", path, &headers, &[&film[most..], b"more"].concat());
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    assert_eq!(server.send("HEAD", path, &[draft], b"").status, 410);
    assert_eq!(server.send("GET", hls, &[], b"").status, 404);
    workers_are_gone(&server);
    let published = server.data.join("media");
    wait_for("its files to go", || walk_for(&published, video).is_none().then_some(()));
}

/// Uploads a film that is encoded, in three steps, with a mishap after the first two; what was
/// served stays, and the film is right.
fn through_mishaps(mut mishap: impl FnMut(&mut Server, usize)) -> Value {
    let settings = [("SLIPWAY_BOOT_ID", "the same"), ("SLIPWAY_MEDIA__LADDER", "[240]")];
    let mut server = Server::with(&settings);
    let film = fs::read(media("one-key-60s.mp4")).expect("it was generated");
    let (path, video) = server.create("a.mp4", film.len());
    let mut at = 0;
    let mut before = BTreeMap::new();
    for (round, tenths) in [5, 7, 9].into_iter().enumerate() {
        let end = film.len() * tenths / 10;
        assert_eq!(server.patch(&path, at, &film[at..end]).status, 204);
        at = end;
        playable(&server, &video, 1 + round);
        assert_kept(&server, &video, &before);
        before = served(&server, &video);
        if round < 2 {
            mishap(&mut server, round);
        }
    }
    assert_eq!(server.patch(&path, at, &film[at..]).status, 204);
    let it = assert_right_of(&server, &video, &film);
    assert!(it["warnings"].as_array().is_none_or(Vec::is_empty), "{it}");
    assert_kept(&server, &video, &before);
    it
}

/// The child killed while a film is being uploaded: another one goes on behind its last segment.
#[test]
fn a_killed_child_is_followed_by_another() {
    through_mishaps(|server, _| {
        let children = workers_of(server.pid());
        assert!(!children.is_empty(), "one works along the upload");
        children.iter().copied().for_each(kill_9);
        wait_for("another child", || {
            workers_of(server.pid()).iter().any(|child| !children.contains(child)).then_some(())
        });
    });
}

/// The server killed in mid-upload: after the restart the work goes on before the client is back.
#[test]
fn a_server_killed_in_mid_upload_goes_on_after_the_restart() {
    through_mishaps(|server, _| {
        server.kill();
        server.restart();
        wait_for("work along the upload", || {
            let status = server.json("/api/admin/status");
            (status["jobs"][0]["state"] == "running").then_some(())
        });
    });
}

/// Who deletes an upload takes what plays of it along, from a viewer too: one who is in the middle
/// of a segment gets the rest of it, and nothing afterwards. So does who deletes a paused one.
#[test]
fn an_upload_deleted_while_a_viewer_plays_it_is_gone() {
    let server = Server::with(&[
        ("SLIPWAY_MEDIA__LADDER", "[720, 240]"),
        ("SLIPWAY_MEDIA__STALL_TIMEOUT", "5s"),
    ]);
    let film = faststart();
    for (by_video, paused) in [(false, false), (true, false), (false, true)] {
        let (path, video) = server.create("a.mp4", film.len());
        assert_eq!(server.patch(&path, 0, &film[..film.len() * 7 / 10]).status, 204);
        let it = playable(&server, &video, 1);
        let hls = it["playback"]["hls"].as_str().expect("an address").to_owned();
        let dash = it["playback"]["dash"].as_str().expect("an address").to_owned();
        let segment = hls.replace("master.m3u8", "720p-1/1.m4s");
        let whole = server.send("GET", &segment, &[], b"").body;
        assert!(!whole.is_empty());
        let head = format!(
            "GET {segment} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n\r\n",
            server.host(),
            server.token
        );
        let mut playing = raw(&server.address, &head, b"");
        let mut begun = [0; 12];
        playing.read_exact(&mut begun).expect("it begins");
        if paused {
            workers_are_gone(&server);
        }
        let path = if by_video { format!("/api/videos/{video}") } else { path };
        assert_eq!(server.send("DELETE", &path, &[TUS], b"").status, 204);
        let mut rest = Vec::new();
        playing.read_to_end(&mut rest).expect("the rest comes");
        assert!(begun.ends_with(b"200") && rest.ends_with(&whole), "the segment comes whole");
        for address in [&hls, &dash, &segment] {
            assert_eq!(server.send("GET", address, &[], b"").status, 404, "{address}");
        }
        workers_are_gone(&server);
        let published = server.data.join("media");
        wait_for("its files to go", || walk_for(&published, &video).is_none().then_some(()));
    }
}

/// The file is cut under the server while a film plays, and its client sends another film instead:
/// nothing of the first is to be seen any more, and no address that it had.
#[test]
fn a_file_cut_under_the_server_leaves_nothing_of_what_was_lost() {
    let server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[720, 240]")]);
    let film = faststart();
    let (path, video) = server.create("a.mp4", film.len());
    let half = film.len() / 2;
    assert_eq!(server.patch(&path, 0, &film[..half]).status, 204);
    let it = playable(&server, &video, 1);
    let hls = it["playback"]["hls"].as_str().expect("an address").to_owned();
    let lost = served(&server, &video);
    let uploads = server.data.join("tmp/uploads");
    let id = path.rsplit('/').next().expect("an id");
    let blob = walk_for(&uploads, id).expect("its directory").join("blob");
    fs::OpenOptions::new().write(true).open(blob).expect("a file").set_len(0).expect("it is ours");
    let refused = server.patch(&path, half, &film[half..]);
    assert_eq!((refused.status, refused.header("upload-offset")), (409, "0"));
    assert_eq!(server.send("GET", &hls, &[], b"").status, 404);

    let mut other = fs::read(media("one-key-5s.mp4")).expect("it was generated");
    let most = other.len();
    // As long as the other one: its last box gets longer.
    let mdat = other.windows(4).position(|name| name == b"mdat").expect("the last box");
    let size = u32::try_from(film.len() - (mdat - 4)).expect("a small one");
    other[mdat - 4..mdat].copy_from_slice(&size.to_be_bytes());
    other.resize(film.len(), 0);
    assert_eq!(server.patch(&path, 0, &other[..most]).status, 204);
    playable(&server, &video, 1);
    assert_eq!(server.patch(&path, most, &other[most..]).status, 204);
    let it = assert_right_of(&server, &video, &other);
    assert!(it["source"]["duration"].as_f64().is_some_and(|seconds| seconds < 6.0), "{it}");
    let now = served(&server, &video);
    assert!(lost.keys().all(|rung| !now.contains_key(rung)), "{:?} {:?}", lost.keys(), now.keys());
}
