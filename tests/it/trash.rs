//! Deleted videos: gone for everybody, brought back as they were, and gone for good at their time.

use crate::harness::{Answer, Server, files_below, media, pattern, raw, sha256, wait_for};
use crate::playback::judged;
use serde_json::Value;
use std::io::Read;

fn path(video: &str) -> String {
    format!("/api/videos/{video}")
}

fn delete(server: &Server, video: &str) {
    let answer = server.send("DELETE", &path(video), &[], b"");
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn restore(server: &Server, video: &str) -> Answer {
    server.send("POST", &format!("{}/restore", path(video)), &[], b"")
}

fn listed(server: &Server, query: &str) -> Vec<Value> {
    server.json(&format!("/api/videos{query}"))["items"].as_array().expect("a list").clone()
}

fn kept(server: &Server) -> usize {
    files_below(&server.data.join("tmp/trash"))
}

/// Sends a request that ends the server before it is answered.
fn die(server: &mut Server, method: &str, path: &str) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 0\r\n\r\n",
        server.token
    );
    let mut answer = Vec::new();
    let _ = raw(&server.address, &head, b"").read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    server.ended();
}

/// A ready film in the trash is served to nobody, counts for its owner, and comes back ready with
/// every byte and address; deleted for good it is gone, with or without a detour.
#[test]
fn a_film_comes_back_as_it_was() {
    let server = Server::start();
    let film = media("silent.mp4");
    let before = server.settled(&server.upload(&film));
    let id = before["id"].as_str().expect("an id");
    let hls = before["playback"]["hls"].as_str().expect("it plays").to_owned();
    let uploader = server.token_of("uploader", &["--user", "ben"]);
    let bearer = format!("Bearer {uploader}");
    let ben = [("Authorization", bearer.as_str())];
    delete(&server, id);
    delete(&server, id);
    assert_eq!(files_below(&server.data.join("media")), 0);
    assert_eq!(files_below(&server.data.join("originals")), 0);
    for (address, status) in [
        (hls.clone(), 404),
        (path(id), 200),
        (format!("{}/original", path(id)), 404),
        (format!("{}/processing-status", path(id)), 404),
        (format!("/watch/{id}"), 404),
    ] {
        assert_eq!(server.send("GET", &address, &[], b"").status, status, "{address}");
    }
    assert_eq!(server.send_as_anyone("GET", &path(id), &[], b"").status, 404);
    assert_eq!(server.send_as_anyone("GET", &path(id), &ben, b"").status, 404);
    let restored = server.send_as_anyone("POST", &format!("{}/restore", path(id)), &ben, b"");
    restored.assert_problem(404, "not-found");
    let json = [("Content-Type", "application/json")];
    assert_eq!(server.send("PATCH", &path(id), &json, br#"{"title":"x"}"#).status, 404);
    assert_eq!(listed(&server, "").len(), 0);
    let [trashed] = listed(&server, "?trashed=true")[..].to_vec().try_into().expect("just one");
    let trashed: Value = trashed;
    assert_eq!((&trashed["state"], &trashed["playable"]), (&"ready".into(), &false.into()));
    assert_eq!(trashed["playback"]["hls"], Value::Null);
    assert!(trashed["trash"]["removedAt"].as_str() > trashed["trash"]["deletedAt"].as_str());
    assert_eq!(listed(&server, "?trashed=true&state=failed").len(), 0);
    let of_ben = server.send_as_anyone("GET", "/api/videos?trashed=true", &ben, b"").json();
    assert_eq!(of_ben["items"].as_array().map(Vec::len), Some(0));

    let back = restore(&server, id);
    assert_eq!(back.status, 200, "{}", back.text());
    for key in ["state", "playable", "title", "playback", "renditions", "readyAt", "visibility"] {
        assert_eq!(back.json()[key], before[key], "{key}");
    }
    assert_eq!(back.json().get("trash"), None);
    let shown = judged(&server, &back.json());
    assert_eq!(shown.iter().filter(|it| it.contains("\"MUST\"")).count(), 0, "{shown:?}");
    let original = server.send("GET", &format!("{}/original", path(id)), &[], b"").body;
    assert_eq!(sha256(&original), sha256(&std::fs::read(&film).expect("it was generated")));
    assert_eq!((kept(&server), restore(&server, id).status), (0, 404));

    delete(&server, id);
    assert!(kept(&server) > 0);
    let for_good = format!("{}?permanent=true", path(id));
    assert_eq!(server.send("DELETE", &for_good, &[], b"").status, 204);
    assert_eq!((kept(&server), restore(&server, id).status), (0, 404));
    assert_eq!(server.send("DELETE", &for_good, &[], b"").status, 404);
}

/// Work that is under way when its film is deleted ends, and is queued again when that comes back.
#[test]
fn unfinished_work_is_queued_again() {
    let server = Server::start();
    let id = server.upload(&media("moov-last.mp4"));
    wait_for("the work to begin", || {
        (server.json(&path(&id))["state"] == "processing").then_some(())
    });
    delete(&server, &id);
    let back = restore(&server, &id);
    assert_eq!(back.status, 200, "{}", back.text());
    let it = server.settled(&id);
    assert_eq!(it["state"], "ready", "{it}");
    let shown = judged(&server, &it);
    assert_eq!(shown.iter().filter(|it| it.contains("\"MUST\"")).count(), 0, "{shown:?}");
    let works = || files_below(&server.data.join("work"));
    wait_for("the scratch to go", || (works() == 0).then_some(()));
}

/// An upload under way has nothing that could come back; without a trash nothing has; and a quota
/// counts what lies in the trash until it is removed.
#[test]
fn what_the_trash_does_not_hold() {
    let mut server = Server::with(&[("SLIPWAY_UPLOAD__QUOTA_PER_USER", "1000")]);
    let (upload, video) = server.create("a.bin", 600);
    assert_eq!(server.patch(&upload, 0, &pattern(100)).status, 204);
    delete(&server, &video);
    restore(&server, &video).assert_problem(404, "not-found");
    let (upload, video) = server.create("b.bin", 600);
    assert_eq!(server.patch(&upload, 0, &pattern(600)).status, 204);
    delete(&server, &video);
    let head = server.send("HEAD", &upload, &[("Tus-Resumable", "1.0.0")], b"");
    assert_eq!(head.status, 410);
    let more = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "600")];
    server.send("POST", "/files", &more, b"").assert_problem(413, "quota-exceeded");
    server.terminate();
    server.set("SLIPWAY_VIDEO__TRASH_FOR", "0");
    server.restart();
    server.send("POST", "/files", &more, b"").assert_problem(413, "quota-exceeded");
    let for_good = format!("{}?permanent=true", path(&video));
    assert_eq!(server.send("DELETE", &for_good, &[], b"").status, 204);
    let (upload, video) = server.create("c.bin", 600);
    assert_eq!(server.patch(&upload, 0, &pattern(600)).status, 204);
    delete(&server, &video);
    restore(&server, &video).assert_problem(404, "not-found");
    assert_eq!(server.send("POST", "/files", &more, b"").status, 201);
}

/// Killed at any moment of a deletion, a restoration or the end of the trash, the server knows at
/// its next start where everything belongs, and brings it there.
#[test]
fn a_kill_at_any_moment_leaves_nothing_in_between() {
    for (moment, method, more) in [
        ("after-trash-record", "DELETE", ""),
        ("in-mid-trash", "DELETE", ""),
        ("after-restore-before-record", "POST", "/restore"),
        ("after-purge-record", "DELETE", "?permanent=true"),
    ] {
        let mut server = Server::start();
        let ready = server.settled(&server.upload(&media("silent.mp4")));
        let id = ready["id"].as_str().expect("an id");
        let files =
            files_below(&server.data.join("media")) + files_below(&server.data.join("originals"));
        if !moment.contains("trash") {
            delete(&server, id);
        }
        server.terminate();
        server.set("SLIPWAY_FAIL_AT", moment);
        server.restart();
        die(&mut server, method, &format!("{}{more}", path(id)));
        server.forget("SLIPWAY_FAIL_AT");
        server.restart();
        for place in ["media", "originals"] {
            assert_eq!(files_below(&server.data.join(place)), 0, "{moment}: {place}");
        }
        if moment == "after-purge-record" {
            assert_eq!((kept(&server), restore(&server, id).status), (0, 404), "{moment}");
            continue;
        }
        assert_eq!(kept(&server), files + 1, "{moment}: with a note of when");
        let back = restore(&server, id);
        assert_eq!((back.status, &back.json()["state"]), (200, &"ready".into()), "{moment}");
        let shown = judged(&server, &back.json());
        assert_eq!(shown.iter().filter(|it| it.contains("\"MUST\"")).count(), 0, "{moment}");
    }
}
