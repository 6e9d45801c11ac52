//! The queue as its users and its operator meet it: order, pauses, stops, and a disk that is full.

use crate::crash::workers_of;
use crate::faults::{fill, image};
use crate::harness::{Server, media, wait_for};
use crate::queue_torture::told;
use serde_json::{Value, json};
use std::fs;

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn put(server: &Server, path: &str, body: Value) -> Value {
    let answer = server.send("PUT", path, &[JSON], body.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn job_of(server: &Server, video: &str) -> Value {
    let page = server.json("/api/videos/processing/jobs");
    let jobs = page["items"].as_array().expect("a list").clone();
    jobs.into_iter().find(|job| job["videoId"] == video).expect("it has a job")
}

fn warns(server: &Server, code: &str) -> bool {
    let status = server.json("/api/admin/status");
    let warnings = status["warnings"].as_array().expect("a list");
    warnings.iter().any(|warning| warning["code"] == code)
}

/// A disk that is filled in mid-job: the job waits and says why, nothing is begun, no attempt
/// counts; it goes on by itself when there is room.
#[test]
fn work_waits_for_room() {
    let Some(image) = image(320 << 20) else { return };
    let data = image.mount.join("data");
    let settings =
        [("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "48 MiB"), ("SLIPWAY_MEDIA__LADDER", "[360, 240]")];
    let server = Server::on(&data, &settings);
    let film = media("one-key-60s.mp4");
    let video = server.upload(&film);
    let status = format!("/api/videos/{video}/processing-status");
    let segments = || {
        let directory = data.join("media").join(&video[34..]).join(&video);
        crate::harness::files_below(&directory)
    };
    wait_for("work to get somewhere", || (segments() > 4).then_some(()));
    let ballast = fill(&image, 16 << 20);
    let waits = wait_for("the job to wait", || {
        let status = server.json(&status);
        (status["error"]["code"] == "out-of-space").then_some(status)
    });
    assert_eq!((&waits["state"], &waits["attempt"]), (&json!("queued"), &json!(0)));
    assert!(waits["retryAt"].is_string(), "{waits}");
    assert!(warns(&server, "no-room-for-work"));
    let kept = segments();
    fs::remove_file(ballast).expect("there is a ballast");
    let done = server.settled(&video);
    assert_eq!(done["state"], "ready", "{done}");
    assert_eq!(job_of(&server, &video)["attempt"], 1);
    assert!(segments() > kept && !warns(&server, "no-room-for-work"));
}

/// A paused queue begins nothing, over a restart too, and lets what runs go on to its end; what
/// was given priority meanwhile is first.
#[test]
fn a_paused_queue_drains() {
    let mut server = Server::start();
    let running = server.upload(&media("faststart.mp4"));
    wait_for("the first to run", || {
        (server.json(&format!("/api/videos/{running}"))["state"] != "queued").then_some(())
    });
    assert_eq!(put(&server, "/api/admin/queue", json!({"paused": true}))["paused"], true);
    let usual = server.upload(&media("faststart.mp4"));
    let urgent = server.upload(&media("faststart.mp4"));
    assert_eq!(server.settled(&running)["state"], "ready");
    assert!(warns(&server, "queue-paused"));
    server.terminate();
    server.restart();
    put(&server, &format!("/api/videos/{urgent}/priority"), json!({"priority": 50}));
    let numbers = server.json("/api/videos/processing/queue-status");
    assert_eq!((&numbers["queued"], &numbers["running"]), (&json!(2), &json!(0)));
    put(&server, "/api/admin/queue", json!({"paused": false}));
    assert_eq!(server.settled(&urgent)["state"], "ready");
    assert_eq!(server.settled(&usual)["state"], "ready");
    let begun = |video: &str| job_of(&server, video)["startedAt"].as_str().map(str::to_owned);
    assert!(begun(&urgent) < begun(&usual), "{:?} {:?}", begun(&urgent), begun(&usual));
}

/// A server that is told to stop under load ends its children and counts no attempt for it; the
/// next one goes on with all of them.
#[test]
fn a_stop_under_load_costs_no_attempt() {
    let mut server = Server::with(&[("SLIPWAY_MEDIA__WORKERS", "2")]);
    let films: Vec<String> = (0..3).map(|_| server.upload(&media("one-key-60s.mp4"))).collect();
    wait_for("two children", || (workers_of(server.pid()).len() >= 2).then_some(()));
    let children = workers_of(server.pid());
    assert_eq!(server.terminate(), Some(0));
    let is_alive = |pid: &u32| fs::exists(format!("/proc/{pid}")).unwrap_or(false);
    assert!(!children.iter().any(is_alive), "a child outlived its server");
    server.set("SLIPWAY_MEDIA__WORKERS", "0");
    server.restart();
    for film in &films {
        let job = job_of(&server, film);
        assert_eq!((&job["state"], &job["attempt"]), (&json!("queued"), &json!(0)));
    }
}

/// Work that somebody stops has ended when the answer comes, and its child goes at once.
#[test]
fn cancelled_work_ends_at_once() {
    let server = Server::start();
    let film = server.upload(&media("one-key-60s.mp4"));
    wait_for("a child", || (!workers_of(server.pid()).is_empty()).then_some(()));
    let cancel = format!("/api/videos/{film}/cancel-processing");
    let answer = server.send("POST", &cancel, &[], b"");
    assert_eq!(answer.json()["error"]["code"], "cancelled");
    wait_for("the child to go", || workers_of(server.pid()).is_empty().then_some(()));
    assert_eq!(job_of(&server, &film)["state"], "cancelled");
    assert_eq!(server.json("/api/videos/processing/queue-status")["running"], 0);
}

/// One stage is made anew where somebody asks for it: pictures in place, qualities under new
/// addresses while the old ones play on; the rest stays as it is, and a kill in between loses
/// nothing of either.
#[test]
fn one_stage_is_made_anew() {
    let mut server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[360, 240]")]);
    let video = server.upload(&media("faststart.mp4"));
    server.settled(&video);
    let directory = server.data.join("media").join(&video[34..]).join(&video);
    let manifest = || -> Value {
        let bytes = fs::read(directory.join("manifest.json")).expect("it is published");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let made = |name: &str| fs::metadata(directory.join(name)).expect("made").modified().ok();
    let rungs = |manifest: &Value| -> Vec<(Value, Value)> {
        let rungs = manifest["rungs"].as_array().expect("rungs");
        let mut rungs: Vec<_> = rungs
            .iter()
            .map(|rung| (rung["plan"]["name"].clone(), rung["generation"].clone()))
            .collect();
        rungs.sort_by_key(|(name, _)| name.to_string());
        rungs
    };
    let retry = |server: &Server, stage: &str| {
        let path = format!("/api/videos/{video}/retry-processing");
        let body = json!({"stage": stage}).to_string();
        let answer = server.send("POST", &path, &[JSON], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let path = format!("/api/videos/{video}/retry-processing");
    server
        .send("POST", &path, &[JSON], b"{\"stage\":\"x\"}")
        .assert_problem(400, "invalid-request");
    let (first, poster, storyboard) = (manifest(), made("poster.jpg"), made("storyboard.vtt"));
    retry(&server, "poster");
    assert_eq!(server.settled(&video)["state"], "ready");
    assert!(made("poster.jpg") > poster && made("storyboard.vtt") == storyboard);
    assert_eq!(rungs(&manifest()), rungs(&first));
    let master = format!("/media/{video}/master.m3u8");
    let before = server.send("GET", &master, &[], b"").text();
    retry(&server, "renditions");
    wait_for("a child", || (!workers_of(server.pid()).is_empty()).then_some(()));
    server.kill();
    server.restart();
    assert!(!before.is_empty() && server.send("GET", &master, &[], b"").status == 200);
    assert_eq!(server.settled(&video)["state"], "ready");
    let (old, new) = (rungs(&first), rungs(&manifest()));
    assert_eq!(old.len(), new.len());
    for ((name, old), (again, new)) in old.iter().zip(&new) {
        assert!(name == again && old.as_u64() < new.as_u64(), "{name}: {old} {new}");
        let gone = directory.join(format!("{}-{old}", name.as_str().expect("a name")));
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert!(made("storyboard.vtt") == storyboard);
    crate::live::assert_right(&server, &video);
}

/// A server that dies between a rung's last playlist and the manifest: what that playlist named is
/// gone on with, under its addresses and with its bytes.
#[test]
fn last_playlists_name_what_is_known() {
    let mut server = Server::with(&[("SLIPWAY_FAIL_AT", "after-last-playlist")]);
    let video = server.upload(&media("interlaced.ts"));
    server.ended();
    let before = told(&server.data, std::slice::from_ref(&video));
    assert!(!before.is_empty(), "it died before a playlist");
    server.forget("SLIPWAY_FAIL_AT");
    server.restart();
    assert_eq!(server.settled(&video)["state"], "ready");
    let now = told(&server.data, std::slice::from_ref(&video));
    for (file, ino) in &before {
        assert_eq!(now.get(file), Some(ino), "{} was made again", file.display());
    }
}
