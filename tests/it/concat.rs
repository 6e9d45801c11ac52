//! tus concatenation on the wire: parts side by side, and what is made of them.

use crate::harness::{Server, base64, media, pattern, raw, sha256, wait_for};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const PARTIAL: (&str, &str) = ("Upload-Concat", "partial");

/// Begins a part; returns its path.
pub fn part(server: &Server, length: usize) -> String {
    let length = length.to_string();
    let headers = [TUS, PARTIAL, ("Upload-Length", length.as_str())];
    let created = server.send("POST", "/files", &headers, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("slipway-video"), "", "a part is no video");
    created.header("location").to_owned()
}

/// Joins uploads under a name; returns the answer.
pub fn join(server: &Server, parts: &[&str]) -> crate::harness::Answer {
    let (concat, name) = (format!("final;{}", parts.join(" ")), base64("film.mp4"));
    let metadata = format!("filename {name}");
    let headers = [TUS, ("Upload-Concat", concat.as_str()), ("Upload-Metadata", metadata.as_str())];
    server.send("POST", "/files", &headers, b"")
}

/// Waits until a final upload is joined, and returns its HEAD.
fn joined(server: &Server, path: &str) -> crate::harness::Answer {
    wait_for("the parts to be joined", || {
        let head = server.send("HEAD", path, &[TUS], b"");
        assert_eq!(head.status, 200);
        (!head.header("upload-offset").is_empty()).then_some(head)
    })
}

/// Asks for a final upload with a server that dies of it, perhaps before its answer has left.
fn join_and_die(server: &Server, parts: &[String]) {
    let head = format!(
        "POST /files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Concat: final;{}\r\nContent-Length: 0\r\n\r\n",
        server.token,
        parts.join(" ")
    );
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut raw(&server.address, &head, b""), &mut answer);
    let pid = server.pid();
    wait_for("the server to die", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.trim_start().starts_with('Z').then_some(())
    });
}

/// The video of a final upload whose address was lost with the server.
fn only_video(server: &Server) -> String {
    let videos = server.json("/api/videos");
    assert_eq!(videos["items"].as_array().map(Vec::len), Some(1), "{videos}");
    videos["items"][0]["id"].as_str().expect("an id").to_owned()
}

/// Waits for a video's original, and returns its sum.
fn original(server: &Server, video: &str) -> String {
    let got = wait_for("the original", || {
        let got = server.send("GET", &format!("/api/videos/{video}/original"), &[], b"");
        if got.status == 409 {
            got.assert_problem(409, "upload-unfinished");
            return None;
        }
        Some(got)
    });
    assert_eq!(got.status, 200, "{}", got.text());
    sha256(&got.body)
}

/// Uploads a film in three parts, cut at odd places; returns their paths and the whole.
fn parts_of(server: &Server, film: &str) -> (Vec<String>, Vec<u8>) {
    let film = fs::read(media(film)).expect("generated");
    let (first, second) = (film.len() / 5 + 13, film.len() / 2 + 1);
    let cuts = [&film[..first], &film[first..second], &film[second..]];
    let paths = cuts.map(|bytes| {
        let path = part(server, bytes.len());
        assert_eq!(server.patch(&path, 0, bytes).status, 204);
        path
    });
    (paths.to_vec(), film)
}

/// The path of the one upload that is none of `parts`, told by the files: its address was lost
/// with a server.
fn final_path(server: &Server, parts: &[String]) -> String {
    let uploads = fs::read_dir(server.data.join("tmp/uploads")).expect("uploads");
    let uploads = uploads.flat_map(|shard| fs::read_dir(shard.expect("it").path()).expect("it"));
    let known = |id: &str| parts.iter().any(|part| part.ends_with(id));
    let ids = uploads.map(|it| it.expect("it").file_name().into_string().expect("an id"));
    let made: Vec<String> = ids.filter(|id| !known(id)).collect();
    let [made] = made.as_slice() else { panic!("one final upload, not {made:?}") };
    format!("/files/{made}")
}

/// What was made of a video without encoding: the copied rung's files with their sums.
fn copied_rung(server: &Server, video: &str) -> BTreeMap<String, String> {
    let within = |directory: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory).expect("it is there");
        entries.map(|entry| entry.expect("it reads").path()).collect()
    };
    let shards = within(&server.data.join("media"));
    let directory = shards.iter().map(|shard| shard.join(video)).find(|it| it.exists());
    let directory = directory.expect("something was made of it");
    let manifest = fs::read(directory.join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let rungs = manifest["rungs"].as_array().expect("rungs");
    let copied = rungs.iter().find(|rung| rung["plan"]["copied"] == true).expect("a copied rung");
    let name =
        format!("{}-{}", copied["plan"]["name"].as_str().expect("a name"), copied["generation"]);
    let files = within(&directory.join(name)).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let is_media = name.ends_with(".m4s") || name.ends_with(".mp4");
        is_media.then(|| (name, sha256(&fs::read(&path).expect("it reads"))))
    });
    files.collect()
}

/// A moment at which servers wait.
pub struct Hold {
    moment: &'static str,
    fifo: PathBuf,
    _directory: tempfile::TempDir,
}

impl Hold {
    pub fn at(moment: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, mode, 0).expect("a FIFO");
        Self { moment, fifo, _directory: directory }
    }

    pub fn setting(&self) -> String {
        format!("{}:{}", self.moment, self.fifo.display())
    }

    /// Waits until a server is there; it goes on when what is returned is dropped.
    pub fn reached(&self) -> File {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&self.fifo, flags, Mode::empty()).ok();
        wait_for("the server to get there", open).into()
    }

    /// Lets the server go on, there and everywhere.
    pub fn release(self, held: File) {
        fs::remove_file(&self.fifo).expect("it is there");
        drop(held);
    }
}

/// A film in three parts that come at the same time, in pieces: joined, it is the film.
#[test]
fn three_parts_at_once_make_a_film() {
    let server = Server::start();
    let film = std::fs::read(media("silent.mp4")).expect("generated");
    let third = film.len() / 3;
    let cuts = [&film[..third], &film[third..2 * third], &film[2 * third..]];
    let paths = cuts.map(|bytes| part(&server, bytes.len()));
    std::thread::scope(|scope| {
        for (path, bytes) in paths.iter().zip(cuts) {
            let server = &server;
            scope.spawn(move || {
                let (first, rest) = bytes.split_at(bytes.len() / 2);
                assert_eq!(server.patch(path, 0, first).status, 204);
                let last = server.patch(path, first.len(), rest);
                assert_eq!((last.status, last.header("slipway-video")), (204, ""));
                assert_eq!(last.header("upload-offset"), bytes.len().to_string());
            });
        }
    });
    let head = server.send("HEAD", &paths[0], &[TUS], b"");
    assert_eq!((head.header("upload-concat"), head.header("upload-metadata")), ("partial", ""));
    assert_eq!(head.header("upload-offset"), third.to_string());
    let listed = server.json("/api/uploads");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(0), "{listed}");
    let videos = server.json("/api/videos");
    assert_eq!(videos["items"].as_array().map(Vec::len), Some(0), "parts are no videos");

    let [a, b, c] = paths.each_ref().map(String::as_str);
    let absolute = format!("{}{b}", server.address);
    let made = join(&server, &[a, &absolute, c]);
    assert_eq!((made.status, made.header("upload-offset")), (201, ""), "{}", made.text());
    let (path, video) = (made.header("location"), made.header("slipway-video"));
    let head = joined(&server, path);
    let length = film.len().to_string();
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), (&*length, &*length));
    assert_eq!(head.header("upload-concat"), format!("final;{a} {absolute} {c}"));
    assert_eq!(head.header("slipway-video"), video);
    let got = server.send("GET", path, &[], b"");
    assert_eq!((got.status, sha256(&got.body)), (200, sha256(&film)));
    let settled = server.settled(video);
    assert_eq!((&settled["state"], &settled["filename"]), (&"ready".into(), &"film.mp4".into()));
    for path in [a, b, c] {
        assert_eq!(server.send("DELETE", path, &[TUS], b"").status, 204);
        assert_eq!(server.send("HEAD", path, &[TUS], b"").status, 410);
    }
    assert_eq!(server.send("GET", path, &[], b"").status, 200, "it needs its parts no more");
}

/// A final upload may be asked for before its parts are there; it tells its length once that is
/// known, never an offset before it is whole, and takes no bytes itself.
#[test]
fn a_final_waits_for_its_parts() {
    let server = Server::start();
    let (a, b) = (part(&server, 5), {
        let headers = [TUS, PARTIAL, ("Upload-Defer-Length", "1")];
        server.send("POST", "/files", &headers, b"").header("location").to_owned()
    });
    let made = join(&server, &[&b, &a, &b]);
    assert_eq!(made.status, 201, "{}", made.text());
    let (path, video) = (made.header("location"), made.header("slipway-video"));
    let head = server.send("HEAD", path, &[TUS], b"");
    let said = ["upload-offset", "upload-length", "upload-defer-length"].map(|n| head.header(n));
    assert_eq!((head.status, said), (200, ["", "", ""]));
    server.patch(path, 0, b"x").assert_problem(403, "forbidden");
    assert_eq!(server.patch(&a, 0, b"hello").status, 204);
    server.patch(&a, 5, b"!").assert_problem(413, "upload-past-length");
    server.send("DELETE", &a, &[TUS], b"").assert_problem(409, "conflict");
    assert_eq!(server.offset(&a), 5, "a part that is needed stays");
    let patch = |offset: &str, body: &[u8]| {
        let kind = ("Content-Type", "application/offset+octet-stream");
        let headers = [TUS, kind, ("Upload-Offset", offset), ("Upload-Length", "2")];
        server.send("PATCH", &b, &headers, body).status
    };
    assert_eq!(patch("0", b"o"), 204);
    let head = server.send("HEAD", path, &[TUS], b"");
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), ("", "9"));
    assert_eq!(server.json(&format!("/api/videos/{video}"))["state"], "uploading");
    assert_eq!(patch("1", b"h"), 204);
    assert_eq!(joined(&server, path).header("upload-offset"), "9");
    assert_eq!(server.send("GET", path, &[], b"").body, b"ohhellooh");
    server.patch(path, 9, b"").assert_problem(403, "forbidden");

    // A part may be in several; a final that isn't wanted any more sets its parts free.
    let c = part(&server, 1);
    let first = join(&server, &[&a, &c]).header("location").to_owned();
    let second = join(&server, &[&c, &a]).header("location").to_owned();
    assert_eq!(server.send("DELETE", &first, &[TUS], b"").status, 204);
    assert_eq!(server.send("HEAD", &first, &[TUS], b"").status, 410);
    assert_eq!(server.patch(&c, 0, b"?").status, 204);
    joined(&server, &second);
    assert_eq!(server.send("GET", &second, &[], b"").body, b"?hello");
    assert_eq!(server.send("DELETE", &c, &[TUS], b"").status, 204);
}

/// Headers and body of a creation.
type Creation<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);

/// What can't be joined is refused with a reason, and leaves nothing behind.
#[test]
fn what_cannot_be_joined_is_refused() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__MAX_SIZE", "1 MiB")]);
    let (mine, large) = (part(&server, 5), part(&server, 700_000));
    let (whole, _) = server.create("a.bin", 5);
    let other = format!("Bearer {}", server.token_of("uploader", &[]));
    let headers = [TUS, PARTIAL, ("Upload-Length", "5"), ("Authorization", other.as_str())];
    let others = server.send_as_anyone("POST", "/files", &headers, b"");
    let others = others.header("location");
    let gone = part(&server, 5);
    assert_eq!(server.send("DELETE", &gone, &[TUS], b"").status, 204);
    let unknown = "/files/018f0000-0000-7000-8000-000000000000";
    let foreign = format!("https://evil.example{mine}");
    let made = join(&server, &[&mine]).header("location").to_owned();
    let cases: [(&[&str], u16, &str); 9] = [
        (&[unknown], 404, "not-found"),
        (&[&mine, others], 404, "not-found"),
        (&[&gone], 404, "not-found"),
        (&[&mine, &whole], 400, "invalid-header"),
        (&[&made], 400, "invalid-header"),
        (&[&foreign], 400, "invalid-header"),
        (&["/files/..%2fetc"], 400, "invalid-header"),
        (&[], 400, "invalid-header"),
        (&[&large, &large], 413, "upload-too-large"),
    ];
    for (parts, status, code) in cases {
        join(&server, parts).assert_problem(status, code);
    }
    let concat = format!("final;{mine}");
    let final_ = ("Upload-Concat", concat.as_str());
    let octets = ("Content-Type", "application/offset+octet-stream");
    let wrong: [Creation; 4] = [
        (&[TUS, final_, ("Upload-Length", "5")], b""),
        (&[TUS, final_, ("Upload-Defer-Length", "1")], b""),
        (&[TUS, final_, octets], b"hello"),
        (&[TUS, ("Upload-Concat", "half"), ("Upload-Length", "5")], b""),
    ];
    for (headers, body) in wrong {
        server.send("POST", "/files", headers, body).assert_problem(400, "invalid-header");
    }
    let listed = server.json("/api/uploads");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
}

/// Killed between two parts of a join, the server goes on with it at its next start, and with a
/// final whose parts were complete before it could begin.
#[test]
fn a_join_survives_a_kill() {
    let server = Server::with(&[("SLIPWAY_FAIL_AT", "in-mid-join")]);
    let bytes = pattern(5_000_000);
    let cuts = [&bytes[..2_000_000], &bytes[2_000_000..2_000_001], &bytes[2_000_001..]];
    let paths = cuts.map(|bytes| part(&server, bytes.len()));
    for (path, bytes) in paths.iter().zip(cuts) {
        assert_eq!(server.patch(path, 0, bytes).status, 204);
    }
    join_and_die(&server, &paths);
    let again = Server::on(&server.data, &[]);
    assert_eq!(original(&again, &only_video(&again)), sha256(&bytes));
}

/// A film plays, and is ready, while its parts wait to be joined; what is made of them is what is
/// made of the film in one piece. Then the original is there, the parts can go, and nothing is
/// made twice.
#[test]
fn a_film_is_ready_before_it_is_joined() {
    let hold = Hold::at("in-mid-join");
    let server = Server::with(&[("SLIPWAY_HOLD_AT", &hold.setting())]);
    let (parts, film) = parts_of(&server, "moov-last.mp4");
    let [a, b, c] = [0, 1, 2].map(|at| parts[at].as_str());
    let made = join(&server, &[a, b, c]);
    assert_eq!(made.status, 201, "{}", made.text());
    let (path, video) = (made.header("location"), made.header("slipway-video"));
    let held = hold.reached();
    let ready = server.settled(video);
    assert_eq!((&ready["state"], &ready["playable"]), (&"ready".into(), &true.into()), "{ready}");
    assert_eq!((&ready["size"], &ready["uploadedAt"]), (&film.len().into(), &().into()));
    let head = server.send("HEAD", path, &[TUS], b"");
    assert_eq!((head.status, head.header("upload-offset")), (200, ""), "it isn't joined");
    server.send("GET", path, &[], b"").assert_problem(409, "upload-unfinished");
    let address = format!("/api/videos/{video}/original");
    server.send("GET", &address, &[], b"").assert_problem(409, "upload-unfinished");
    server.send("DELETE", b, &[TUS], b"").assert_problem(409, "conflict");
    let master = ready["playback"]["hls"].as_str().expect("an address");
    assert_eq!(server.send_as_anyone("GET", master, &[], b"").status, 200, "others see it, too");

    hold.release(held);
    assert_eq!(original(&server, video), sha256(&film));
    joined(&server, path);
    let after = server.json(&format!("/api/videos/{video}"));
    assert_eq!(after["state"], "ready");
    assert_eq!(after["readyAt"], ready["readyAt"], "it was ready before and stays so");
    for part in [a, b, c] {
        assert_eq!(server.send("DELETE", part, &[TUS], b"").status, 204);
    }
    let whole = server.upload(&media("moov-last.mp4"));
    assert_eq!(server.settled(&whole)["state"], "ready");
    let rung = copied_rung(&server, video);
    assert!(rung.len() > 2, "{rung:?}");
    assert_eq!(rung, copied_rung(&server, &whole));
    let again = server.send("POST", &format!("/api/videos/{video}/retry-processing"), &[], b"");
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(server.settled(video)["state"], "ready", "from the original as well");
}

/// Whenever the server dies between a film's last part and its finish, in the joining or in the
/// work on the film, the next start brings both to their end.
#[test]
fn a_kill_at_any_moment_costs_a_joined_film_nothing() {
    let moments = [
        "before-join",
        "in-mid-join",
        "after-sync-before-rename",
        "after-rename-before-record",
        "after-record",
        "after-publish-before-manifest",
    ];
    for moment in moments {
        let hold = Hold::at("in-mid-join");
        let (setting, is_of_the_job) = (hold.setting(), moment == "after-publish-before-manifest");
        let mut settings = vec![("SLIPWAY_FAIL_AT", moment)];
        if is_of_the_job {
            settings.push(("SLIPWAY_HOLD_AT", setting.as_str()));
        }
        let server = Server::with(&settings);
        let (parts, film) = parts_of(&server, "silent.mp4");
        join_and_die(&server, &parts);
        let again = Server::on(&server.data, &[]);
        let video = only_video(&again);
        let settled = again.settled(&video);
        assert_eq!(settled["state"], "ready", "{moment}: {settled}");
        assert_eq!(original(&again, &video), sha256(&film), "{moment}");
        assert!(copied_rung(&again, &video).len() > 1, "{moment}");
        for part in &parts {
            assert_eq!(again.send("DELETE", part, &[TUS], b"").status, 204, "{moment}");
        }
        drop(server);
    }
}

/// A film that can be played and can't be joined, as there is no room for it, is given up like
/// any upload: with everything that was made of it, and its parts are free.
#[test]
fn an_unjoined_film_can_be_given_up() {
    let server = Server::with(&[("SLIPWAY_FAIL_AT", "before-join")]);
    let (parts, _) = parts_of(&server, "moov-last.mp4");
    join_and_die(&server, &parts);
    let full = [("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "999 TiB")];
    let again = Server::on(&server.data, &full);
    let video = only_video(&again);
    assert_eq!(again.settled(&video)["state"], "ready");
    let shown = again.json(&format!("/api/videos/{video}/processing-status"));
    assert_eq!(shown["state"], "ready", "{shown}");
    again.send("DELETE", &parts[0], &[TUS], b"").assert_problem(409, "conflict");
    let path = final_path(&again, &parts);
    assert_eq!(again.send("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(again.send("HEAD", &path, &[TUS], b"").status, 410);
    assert_eq!(again.send("GET", &format!("/api/videos/{video}"), &[], b"").status, 404);
    for part in &parts {
        assert_eq!(again.send("DELETE", part, &[TUS], b"").status, 204);
    }
    let medias = fs::read_dir(again.data.join("media")).expect("media");
    let left: Vec<PathBuf> = medias
        .map(|shard| shard.expect("it").path().join(&video))
        .filter(|directory| directory.exists())
        .collect();
    assert_eq!(left, [] as [PathBuf; 0]);
}

/// A video that is deleted while its parts are being joined is gone with all that was made of it
/// and of them; one whose processing is stopped stays so, and has its original all the same.
#[test]
fn a_join_goes_on_beside_its_video() {
    let hold = Hold::at("in-mid-join");
    let server = Server::with(&[("SLIPWAY_HOLD_AT", &hold.setting())]);
    let (parts, film) = parts_of(&server, "one-key-60s.mp4");
    let [a, b, c] = [0, 1, 2].map(|at| parts[at].as_str());
    let stopped = join(&server, &[a, b, c]);
    let (path, video) = (stopped.header("location"), stopped.header("slipway-video"));
    let first = hold.reached();
    // It takes a minute to encode, so that it isn't ready by now.
    let cancel = format!("/api/videos/{video}/cancel-processing");
    let cancelled = server.send("POST", &cancel, &[], b"");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let deleted = join(&server, &[c, a]);
    let (gone_path, gone) = (deleted.header("location"), deleted.header("slipway-video"));
    wait_for("the other to be queued", || {
        let shown = server.json(&format!("/api/videos/{gone}"));
        (shown["state"] != "uploading").then_some(())
    });
    assert_eq!(server.send("DELETE", &format!("/api/videos/{gone}"), &[], b"").status, 204);
    hold.release(first);
    assert_eq!(original(&server, video), sha256(&film));
    joined(&server, path);
    let after = server.json(&format!("/api/videos/{video}"));
    assert_eq!((&after["state"], &after["error"]["code"]), (&"failed".into(), &"cancelled".into()));
    assert_eq!(server.send("HEAD", gone_path, &[TUS], b"").status, 410);
    assert_eq!(server.send("GET", &format!("/api/videos/{gone}"), &[], b"").status, 404);
    for part in [a, b, c] {
        assert_eq!(server.send("DELETE", part, &[TUS], b"").status, 204);
    }
    let videos = server.json("/api/videos");
    assert_eq!(videos["items"].as_array().map(Vec::len), Some(1), "{videos}");
}

/// A part that the disk has lost can't be joined any more; what its video became stays until its
/// owner gives it up.
#[test]
fn a_lost_part_takes_no_video_along() {
    let server = Server::with(&[("SLIPWAY_FAIL_AT", "before-join")]);
    let (parts, _) = parts_of(&server, "silent.mp4");
    join_and_die(&server, &parts);
    let path = final_path(&server, &parts);
    let lost = parts[1].rsplit('/').next().expect("an id");
    let shards = fs::read_dir(server.data.join("tmp/uploads")).expect("uploads");
    let mut places = shards.map(|shard| shard.expect("it").path().join(lost));
    let place = places.find(|place| place.exists()).expect("the part");
    fs::remove_dir_all(place).expect("lost");
    let again = Server::on(&server.data, &[]);
    assert_eq!(again.send("HEAD", &parts[1], &[TUS], b"").status, 410);
    let video = only_video(&again);
    let shown = again.json(&format!("/api/videos/{video}"));
    assert_ne!(shown["state"], "uploading", "{shown}");
    assert_eq!(again.send("HEAD", &path, &[TUS], b"").status, 200);
    assert_eq!(again.send("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(again.send("GET", &format!("/api/videos/{video}"), &[], b"").status, 404);
    assert_eq!(again.send("DELETE", &parts[0], &[TUS], b"").status, 204);
}
