//! Films in tus parts that are to be joined, which play before all of them are here.

use crate::concat::{TUS, join, part};
use crate::crash::{kill_9, workers_of};
use crate::harness::{Server, raw, sha256, wait_for};
use crate::live::{assert_right, index_last, playable, sums};
use crate::playback::walk_for;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};

/// A film whose index is a part of its own, the last one, and the video that both become.
struct Film<'a> {
    server: &'a Server,
    bytes: &'a [u8],
    /// Where the index begins.
    index: usize,
    parts: [String; 2],
    path: String,
    video: String,
}

impl<'a> Film<'a> {
    /// Begins the parts, and the upload that joins them, before any of them has a byte.
    fn begin(server: &'a Server, bytes: &'a [u8]) -> Self {
        let name = bytes.windows(4).rposition(|name| name == b"moov").expect("an index");
        let index = name - 4;
        let parts = [part(server, index), part(server, bytes.len() - index)];
        let made = join(server, &[&parts[0], &parts[1]]);
        assert_eq!(made.status, 201, "{}", made.text());
        let (path, video) = (made.header("location"), made.header("slipway-video"));
        let (path, video) = (path.to_owned(), video.to_owned());
        Self { server, bytes, index, parts, path, video }
    }

    /// Sends the pictures up to a place in the film, from where they are.
    fn send(&self, server: &Server, end: usize) {
        let at = server.offset(&self.parts[0]);
        assert_eq!(server.patch(&self.parts[0], at, &self.bytes[at..end]).status, 204);
    }

    fn send_index(&self) {
        let patched = self.server.patch(&self.parts[1], 0, &self.bytes[self.index..]);
        assert_eq!(patched.status, 204);
    }

    fn status(&self) -> Value {
        let id = self.path.rsplit('/').next().expect("an id");
        self.server.json(&format!("/api/videos/upload/{id}"))
    }
}

/// The server asks for the index of a film in parts, and plays it while a good third is still to
/// come; its status tells what is here, from all parts. In the end it is the same as one that came
/// in one piece.
#[test]
fn a_film_in_tus_parts_plays_before_its_upload_has_ended() {
    let server = Server::start();
    let bytes = index_last();
    let afterwards = Server::with(&[("SLIPWAY_MEDIA__LIVE_WORKERS", "0")]);
    let (path, other) = afterwards.create("b.mp4", bytes.len());
    assert_eq!(afterwards.patch(&path, 0, &bytes).status, 204);

    let film = Film::begin(&server, &bytes);
    let head = format!(
        "GET /api/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        server.host(),
        server.token
    );
    let events = BufReader::new(raw(&server.address, &head, b""));
    let mut told = events.lines().map(|line| line.expect("an event within the time"));
    assert!(told.any(|line| line == "event: snapshot"), "it is listened to");
    let first = 100_000;
    film.send(&server, first);
    assert!(told.any(|line| line.contains("\"wanted\":[[")), "events tell what is wanted");
    let status = film.status();
    assert_eq!(status["wanted"], json!([[film.index, bytes.len()]]));
    assert_eq!((&status["size"], &status["received"]), (&json!(bytes.len()), &json!([[0, first]])));
    film.send_index();
    let status = film.status();
    assert_eq!(status["wanted"], json!([]));
    assert_eq!(status["received"], json!([[0, first], [film.index, bytes.len()]]));
    let most = bytes.len() * 6 / 10;
    film.send(&server, most);
    let it = playable(&server, &film.video, 2);
    let status = server.json("/api/admin/status");
    let behind = status["jobs"][0]["behindSeconds"].as_f64().expect("seconds");
    assert!((0.0..=20.0).contains(&behind), "{status}");
    let hls = it["playback"]["hls"].as_str().expect("an address");
    assert_eq!(server.send_as_anyone("GET", hls, &[], b"").status, 404);
    assert_eq!(server.send("GET", hls, &[], b"").status, 200);
    server.send("DELETE", &film.parts[1], &[TUS], b"").assert_problem(409, "conflict");

    film.send(&server, film.index);
    let it = assert_right(&server, &film.video);
    assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "{it}");
    assert_right(&afterwards, &other);
    for rung in ["360p-1", "audio-1"] {
        let (along, after) = (sums(&server, &film.video, rung), sums(&afterwards, &other, rung));
        assert!(along.len() > 6 && along == after, "{rung}");
    }
    let original = wait_for("the parts to be joined", || {
        let got = server.send("GET", &film.path, &[], b"");
        (got.status == 200).then_some(got.body)
    });
    assert_eq!(sha256(&original), sha256(&bytes));
}

/// The child is killed, the upload pauses so long that its worker goes, the server is killed: the
/// work goes on with the next bytes, what was served stays, and the film is right.
#[test]
fn what_was_stopped_along_parts_goes_on() {
    let settings = [("SLIPWAY_BOOT_ID", "the same"), ("SLIPWAY_MEDIA__STALL_TIMEOUT", "5s")];
    let mut server = Server::with(&settings);
    let bytes = index_last();
    let (parts, video, index) = {
        let film = Film::begin(&server, &bytes);
        film.send(&server, 100_000);
        film.send_index();
        (film.parts.clone(), film.video.clone(), film.index)
    };
    let mut seen = Vec::new();
    for (round, tenths) in [4, 6, 8].into_iter().enumerate() {
        let (at, end) = (server.offset(&parts[0]), bytes.len() * tenths / 10);
        assert_eq!(server.patch(&parts[0], at, &bytes[at..end]).status, 204);
        playable(&server, &video, 2 + round);
        seen.push(sums(&server, &video, "360p-1").first().cloned().expect("a segment"));
        match round {
            0 => workers_of(server.pid()).into_iter().for_each(kill_9),
            1 => {
                let gone = || workers_of(server.pid()).is_empty().then_some(());
                wait_for("the worker to go", gone);
            }
            _ => {
                server.kill();
                server.restart();
            }
        }
    }
    let at = server.offset(&parts[0]);
    assert_eq!(server.patch(&parts[0], at, &bytes[at..index]).status, 204);
    let it = assert_right(&server, &video);
    assert!(it["warnings"].as_array().is_none_or(Vec::is_empty), "{it}");
    let first = sums(&server, &video, "360p-1").first().cloned();
    assert!(seen.iter().all(|sum| Some(sum) == first.as_ref()), "what was served stays");
}

/// Whatever ends an upload in parts takes along what plays of it: its owner, by the upload or by
/// the video, or the loss of a part.
#[test]
fn what_ends_takes_along_what_plays() {
    let mut server = Server::with(&[("SLIPWAY_BOOT_ID", "the same")]);
    let bytes = index_last();
    for end in ["upload", "video", "part"] {
        let (parts, path, video) = {
            let film = Film::begin(&server, &bytes);
            film.send(&server, 100_000);
            film.send_index();
            film.send(&server, bytes.len() * 7 / 10);
            (film.parts.clone(), film.path.clone(), film.video.clone())
        };
        let it = playable(&server, &video, 1);
        let hls = it["playback"]["hls"].as_str().expect("an address").to_owned();
        let of_video = format!("/api/videos/{video}");
        match end {
            "upload" => assert_eq!(server.send("DELETE", &path, &[TUS], b"").status, 204),
            "video" => assert_eq!(server.send("DELETE", &of_video, &[], b"").status, 204),
            _ => {
                let lost = parts[1].rsplit('/').next().expect("an id");
                let lost = walk_for(&server.data.join("tmp/uploads"), lost).expect("the part");
                server.kill();
                fs::remove_dir_all(lost).expect("lost");
                server.restart();
            }
        }
        let gone = || (server.send("HEAD", &path, &[TUS], b"").status == 410).then_some(());
        wait_for("the upload to go", gone);
        assert_eq!(server.send("GET", &hls, &[], b"").status, 404, "{end}");
        assert_eq!(server.send("GET", &of_video, &[], b"").status, 404, "{end}");
        wait_for("the worker to go", || workers_of(server.pid()).is_empty().then_some(()));
        let published = server.data.join("media");
        wait_for("its files to go", || walk_for(&published, &video).is_none().then_some(()));
        let deleted = server.send("DELETE", &parts[0], &[TUS], b"");
        assert_eq!(deleted.status, 204, "{end}: its other part is free");
    }
}
