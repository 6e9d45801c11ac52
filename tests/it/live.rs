//! Films that play before their upload has ended.

use crate::crash::workers_of;
use crate::harness::{Server, media, raw, sha256, wait_for};
use crate::matrix::film_of;
use crate::playback::{judged, walk_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

pub const JSON: (&str, &str) = ("Content-Type", "application/json");
/// The smallest part.
pub const PART: usize = 256 * 1024;

/// A server that takes small files in parts, too.
pub fn server() -> Server {
    Server::with(&[("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0")])
}

/// A film of half a minute with its index at the end, some 9 MB all over it.
pub fn index_last() -> Vec<u8> {
    let film = "-f lavfi -i testsrc2=size=640x360:rate=30:duration=30 \
                -f lavfi -i sine=frequency=440:duration=30 -c:v libx264 -preset ultrafast -g 60 \
                -b:v 2400k -minrate 2400k -maxrate 2400k -bufsize 2400k -x264-params nal-hrd=cbr \
                -pix_fmt yuv420p -c:a aac -ac 2";
    fs::read(film_of("index-last.mp4", film)).expect("it was made")
}

/// An upload in numbered parts.
pub struct Parts<'a> {
    server: &'a Server,
    film: &'a [u8],
    pub id: String,
    pub video: String,
}

impl<'a> Parts<'a> {
    pub fn begin(server: &'a Server, film: &'a [u8], more: Value) -> Self {
        let mut said = json!({"filename": "a.mp4", "size": film.len(), "chunkSize": PART});
        said.as_object_mut().expect("one").extend(more.as_object().expect("one").clone());
        let (path, said) = ("/api/videos/upload/initiate", said.to_string());
        let answer = server.send("POST", path, &[JSON], said.as_bytes());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let of = |key: &str| answer.json()[key].as_str().expect("an id").to_owned();
        Self { server, film, id: of("uploadId"), video: of("videoId") }
    }

    pub fn count(&self) -> usize {
        self.film.len().div_ceil(PART)
    }

    pub fn put(&self, index: usize) {
        let path = format!("/api/videos/upload/{}/parts/{index}", self.id);
        let part = self.film.chunks(PART).nth(index).expect("a part");
        let answer = self.server.send("PUT", &path, &[], part);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The bytes that the server would like next.
    fn wanted(&self) -> Vec<(usize, usize)> {
        let status = self.server.json(&format!("/api/videos/upload/{}", self.id));
        serde_json::from_value(status["wanted"].clone()).expect("ranges")
    }

    /// Sends the first part and what is wanted until nothing is; returns which parts that were.
    pub fn put_what_is_wanted(&self) -> Vec<usize> {
        self.put(0);
        let mut sent = vec![0];
        while let Some((from, to)) = self.wanted().first().copied() {
            for index in from / PART..to.div_ceil(PART) {
                assert!(!sent.contains(&index), "what is here isn't asked for: {from}..{to}");
                self.put(index);
                sent.push(index);
            }
        }
        sent
    }

    pub fn complete(&self) -> crate::harness::Answer {
        let said = json!({"uploadId": self.id}).to_string();
        self.server.send("POST", "/api/videos/upload/complete", &[JSON], said.as_bytes())
    }
}

/// Waits until so many segments of each rung can be played while the video is being uploaded, and
/// returns the video.
pub fn playable(server: &Server, video: &str, segments: usize) -> Value {
    let published = server.data.join("media");
    wait_for("something to play", || {
        let it = server.json(&format!("/api/videos/{video}"));
        assert_eq!(it["state"], "uploading", "{it}");
        let lists = playlists(&walk_for(&published, video)?);
        let is_there = |list: &String| list.matches("#EXTINF").count() >= segments;
        (it["playable"] == true && lists.values().filter(|it| is_there(it)).count() > 1)
            .then_some(it)
    })
}

pub fn playlists(media: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(media).into_iter().flatten().flatten();
    let rungs = entries.filter_map(|entry| {
        let list = fs::read_to_string(entry.path().join("media.m3u8")).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), list))
    });
    rungs.collect()
}

/// The sums of all segments of a rung's first generation.
pub fn sums(server: &Server, video: &str, rung: &str) -> Vec<String> {
    let media = walk_for(&server.data.join("media"), video).expect("published");
    let list = fs::read_to_string(media.join(rung).join("media.m3u8")).expect("a playlist");
    let names = list.lines().filter(|line| line.ends_with(".m4s"));
    names.map(|it| sha256(&fs::read(media.join(rung).join(it)).expect("a segment"))).collect()
}

/// Waits for a video and judges it: ready, by the rules, and each of its rungs as long as it is.
pub fn assert_right(server: &Server, video: &str) -> Value {
    let it = server.settled(video);
    assert_eq!(it["state"], "ready", "{it}");
    let findings = judged(server, &it);
    assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{findings:#?}");
    let length = it["source"]["duration"].as_f64().expect("a number");
    for list in playlists(&walk_for(&server.data.join("media"), video).expect("published")).values()
    {
        let times = list.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
        let all: f64 = times.map(|it| it.trim_end_matches(',').parse::<f64>().expect("s")).sum();
        assert!((all - length).abs() < 0.1 && list.contains("#EXT-X-ENDLIST"), "{all}: {list}");
    }
    it
}

/// The server asks for the index of a film that has it at the end; once it is here, the film plays
/// for its owner, and for nobody else, while a good third of it is still to come. In the end it is
/// the same as one that was worked on afterwards.
#[test]
fn a_film_plays_before_its_upload_has_ended() {
    let server = server();
    let film = index_last();
    let afterwards = Server::with(&[("SLIPWAY_MEDIA__LIVE_WORKERS", "0")]);
    let (path, other) = afterwards.create("b.mp4", film.len());
    assert_eq!(afterwards.patch(&path, 0, &film).status, 204);

    let upload = Parts::begin(&server, &film, json!({"visibility": "public"}));
    let head = format!(
        "GET /api/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        server.host(),
        server.token
    );
    let events = BufReader::new(raw(&server.address, &head, b""));
    let mut told = events.lines().map(|line| line.expect("an event within the time"));
    assert!(told.any(|line| line == "event: snapshot"), "it is listened to");
    upload.put(0);
    assert!(told.any(|line| line.contains("\"wanted\":[[")), "events tell what is wanted, too");
    let sent = upload.put_what_is_wanted();
    assert!(sent.len() < 4, "only the index was asked for: {sent:?}");
    let most = upload.count() * 6 / 10;
    (1..most).for_each(|index| upload.put(index));
    let it = playable(&server, &upload.video, 2);
    let plays = |line: &String| {
        line.contains("\"playableSeconds\":") && !line.contains("\"playableSeconds\":0")
    };
    assert!(told.any(|line| plays(&line)), "events tell how far it plays");
    let status = server.json("/api/admin/status");
    let behind = status["jobs"][0]["behindSeconds"].as_f64().expect("seconds");
    assert!((0.0..=20.0).contains(&behind), "{status}");
    let hls = it["playback"]["hls"].as_str().expect("an address");
    assert_eq!(server.send_as_anyone("GET", hls, &[], b"").status, 404);
    let master = server.send("GET", hls, &[], b"");
    assert_eq!(master.status, 200);
    let media = master.text().lines().find(|it| it.ends_with("media.m3u8")).map(str::to_owned);
    let media = server.send("GET", &hls.replace("master.m3u8", &media.expect("one")), &[], b"");
    assert!(
        media.text().contains("EVENT") && !media.text().contains("ENDLIST"),
        "{}",
        media.text()
    );

    (most..upload.count()).filter(|it| !sent.contains(it)).for_each(|index| upload.put(index));
    assert_eq!(upload.complete().status, 200);
    let it = assert_right(&server, &upload.video);
    assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "{it}");
    assert_eq!(server.send_as_anyone("GET", hls, &[], b"").status, 200);
    assert_right(&afterwards, &other);
    for rung in ["360p-1", "audio-1"] {
        let (along, after) = (sums(&server, &upload.video, rung), sums(&afterwards, &other, rung));
        assert!(along.len() > 6 && along == after, "{rung}");
    }
}

/// Films in containers without an index play while a third of them is still to come, over tus, and
/// are right in the end, whether the container says how long they are or not.
#[test]
fn streams_play_before_their_upload_has_ended() {
    let server = server();
    for name in ["streamed.mkv", "pieces.mp4", "streamed.ts"] {
        let film = fs::read(media(name)).expect("it was generated");
        let (path, video) = server.create(name, film.len());
        let most = film.len() * 2 / 3;
        assert_eq!(server.patch(&path, 0, &film[..most]).status, 204);
        playable(&server, &video, 1);
        wait_for("word of how far it plays", || {
            let it = server.json(&format!("/api/videos/{video}"));
            it["playback"]["playableSeconds"].as_f64().filter(|seconds| *seconds > 3.0)
        });
        assert_eq!(server.patch(&path, most, &film[most..]).status, 204);
        let it = assert_right(&server, &video);
        assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "{it}");
    }
}

/// Films whose length nobody has told play while some of them is still to come, whether they are
/// made to be read as they come or have their index first, over tus and over the draft; the length
/// may be told later or only with the last byte.
#[test]
fn films_of_unknown_length_play_before_their_upload_has_ended() {
    let server = server();
    let tus = ("Tus-Resumable", "1.0.0");
    let octets = ("Content-Type", "application/offset+octet-stream");
    for (name, tells) in [("faststart.mp4", 2), ("streamed.mkv", 1), ("pieces.mp4", 2)] {
        let film = fs::read(media(name)).expect("it was generated");
        let made = server.send("POST", "/files", &[tus, ("Upload-Defer-Length", "1")], b"");
        assert_eq!(made.status, 201, "{}", made.text());
        let (path, video) = (made.header("location"), made.header("slipway-video"));
        let (length, most) = (film.len().to_string(), film.len() * 17 / 20);
        let mut at = 0;
        for (round, end) in [most, film.len() - 1, film.len()].into_iter().enumerate() {
            let offset = at.to_string();
            let mut headers = vec![tus, octets, ("Upload-Offset", offset.as_str())];
            if round == tells {
                headers.push(("Upload-Length", length.as_str()));
            }
            assert_eq!(server.send("PATCH", path, &headers, &film[at..end]).status, 204);
            at = end;
            if round == 0 {
                playable(&server, video, 1);
                let id = path.rsplit('/').next().expect("an id");
                let status = server.json(&format!("/api/videos/upload/{id}"));
                assert_eq!((&status["size"], &status["wanted"]), (&json!(null), &json!([])));
            }
        }
        let it = assert_right(&server, video);
        assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "{name}: {it}");
        assert_eq!(it["size"], json!(film.len()), "{name}");
    }
    let film = fs::read(media("streamed.ts")).expect("it was generated");
    let most = film.len() * 17 / 20;
    let begun = server.send("POST", "/files", &[("Upload-Complete", "?0")], &film[..most]);
    assert_eq!(begun.status, 201, "{}", begun.text());
    let (path, video) = (begun.header("location"), begun.header("slipway-video"));
    playable(&server, video, 1);
    let offset = most.to_string();
    let partial = ("Content-Type", "application/partial-upload");
    let headers = [partial, ("Upload-Offset", offset.as_str()), ("Upload-Complete", "?1")];
    assert_eq!(server.send("PATCH", path, &headers, &film[most..]).status, 201);
    assert_right(&server, video);
}

/// A film whose key frames turn out to be too far apart to be copied, its container not having said
/// so, is encoded, still along with its upload.
#[test]
fn a_copy_that_was_begun_in_vain_is_encoded() {
    let server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[720, 240]")]);
    let film = fs::read(media("far-keys-streamed.mkv")).expect("it was generated");
    let (path, video) = server.create("a.mkv", film.len());
    let most = film.len() / 2;
    assert_eq!(server.patch(&path, 0, &film[..most]).status, 204);
    playable(&server, &video, 2);
    assert_eq!(server.patch(&path, most, &film[most..]).status, 204);
    let it = assert_right(&server, &video);
    assert!(it["renditions"].as_array().is_some_and(|all| all.len() == 3), "{it}");
}

/// A sum of the whole that is wrong takes back what was published; with the right one the film is
/// made anew.
#[test]
fn a_wrong_sum_unpublishes() {
    let server = server();
    let film = fs::read(media("faststart.mp4")).expect("it was generated");
    let upload = Parts::begin(&server, &film, json!({}));
    (0..upload.count()).for_each(|index| upload.put(index));
    let it = playable(&server, &upload.video, 1);
    let hls = it["playback"]["hls"].as_str().expect("an address").to_owned();
    let complete = |sum: &str| {
        let said = json!({"uploadId": upload.id, "sha256": sum}).to_string();
        server.send("POST", "/api/videos/upload/complete", &[JSON], said.as_bytes())
    };
    assert_eq!(complete(&sha256(b"another")).status, 422);
    assert_eq!(server.send("GET", &hls, &[], b"").status, 404);
    wait_for("the worker to go", || workers_of(server.pid()).is_empty().then_some(()));
    let it = server.json(&format!("/api/videos/{}", upload.video));
    assert_eq!((&it["state"], &it["playable"]), (&json!("uploading"), &json!(false)));
    assert_eq!(complete(&sha256(&film)).status, 200);
    assert_right(&server, &upload.video);
}
