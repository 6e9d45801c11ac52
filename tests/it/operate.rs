//! What an operator sees and does in a terminal, beside a server and without one.

use crate::harness::{Server, media, program, wait_for};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(args).env("SLIPWAY_DATA_DIR", data).env("SLIPWAY_LISTEN", "127.0.0.1:0");
    command.output().expect("the binary runs")
}

/// What a command says to a person: every line of it fits a terminal.
fn said(data: &Path, args: &[&str]) -> String {
    let text = printed(data, args);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    text
}

fn printed(data: &Path, args: &[&str]) -> String {
    let output = run(data, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn told(data: &Path, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&printed(data, &[args, &["--json"]].concat())).expect("JSON")
}

/// The queue can be looked at and steered: paused, put in another order, cancelled, tried again.
#[test]
fn jobs_are_listed_and_steered() {
    let mut server = Server::start();
    assert!(said(&server.data, &["jobs", "pause"]).starts_with("paused"));
    let first = server.upload(&media("silent.mp4"));
    let second = server.upload(&media("faststart.mp4"));
    let jobs = told(&server.data, &["jobs", "list", "--state", "queued"]);
    assert_eq!(jobs["items"].as_array().map(Vec::len), Some(2), "{jobs}");
    let table = said(&server.data, &["jobs", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    let head = ["VIDEO", "STATE", "PRIO", "TRY", "STAGE", "DONE"];
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), head);
    let column = lines[0].find("STATE").expect("a column");
    let rows: Vec<[&str; 2]> = lines[1..].chunks(2).map(|it| [it[0], it[1]]).collect();
    assert_eq!(rows.len(), 2, "{table}");
    for [row, title] in rows {
        let film = if row.starts_with(&first) { "silent" } else { "faststart" };
        assert!(row.starts_with(&first) || row.starts_with(&second), "whole ids: {table}");
        assert!(row[column..].starts_with("queued") && title.starts_with("    "), "{table}");
        assert!(title.contains(film), "{table}");
    }

    // By the video's id and by the job's, with and without a server.
    let row = said(&server.data, &["jobs", "prioritise", &second, "-5"]);
    assert!(row.contains(" -5 "), "{row}");
    assert_eq!(run(&server.data, &["jobs", "prioritise", &second, "101"]).status.code(), Some(1));
    assert_eq!(server.terminate(), Some(0));
    let status = told(&server.data, &["status"]);
    assert_eq!((&status["queue"]["queued"], &status["queue"]["paused"]), (&2.into(), &true.into()));
    let job = jobs["items"].as_array().expect("jobs").iter().find(|job| job["videoId"] == second);
    let job = job.expect("its job")["id"].as_str().expect("an id");
    let row = said(&server.data, &["jobs", "cancel", job]);
    assert!(row.contains("cancelled") && row.contains(&second), "{row}");
    let ended = said(&server.data, &["jobs", "list", "--state", "cancelled"]);
    assert!(ended.contains(&second) && !ended.contains(&first), "{ended}");
    assert!(said(&server.data, &["jobs", "resume"]).starts_with("going on"));
    server.restart();
    assert_eq!(server.settled(&first)["state"], "ready");
    assert_eq!(server.settled(&second)["error"]["code"], "cancelled");
    let row = said(&server.data, &["jobs", "retry", &second]);
    assert!(row.contains(&second) && !row.contains("cancelled"), "{row}");
    assert_eq!(server.settled(&second)["state"], "ready");
    said(&server.data, &["jobs", "retry", &second, "--stage", "poster"]);
    assert_eq!(server.settled(&second)["state"], "ready");
    let unknown = run(&server.data, &["jobs", "retry", "nothing"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no video or job nothing"));
    assert_eq!(run(&server.data, &["jobs", "list", "--state", "lost"]).status.code(), Some(2));
}

/// The state is told in lines, again and again if wanted, without a terminal's signs in a pipe.
#[test]
fn the_state_is_told_in_lines() {
    let server = Server::start();
    let text = said(&server.data, &["status"]);
    let lines = ["slipway ", "queue    0 wait, 0 run of ", "         0 done in the last hour"];
    for line in lines.into_iter().chain(["uploads  0 under way", "disk     ["]) {
        assert!(text.lines().any(|it| it.starts_with(line)), "{line}: {text}");
    }
    let mut watch = Command::new(program())
        .args(["status", "--watch"])
        .env("SLIPWAY_DATA_DIR", &server.data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut looks = 0;
    while looks < 2 {
        let line = lines.next().expect("it goes on").expect("text");
        assert!(!line.contains('\x1b'), "{line:?}");
        looks += usize::from(line.starts_with("slipway "));
    }
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
}

/// What lies where nothing knows of it is told, and goes when it is to; who has what is told.
#[test]
fn the_house_is_kept_by_hand() {
    let server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    server.settled(&video);
    let stray = server.data.join("media/ab/01890000-0000-7000-8000-0000000000ab");
    std::fs::create_dir_all(&stray).expect("made");
    std::fs::write(stray.join("1.m4s"), b"nobody's").expect("written");
    let storage = wait_for("an audit", || {
        let storage = told(&server.data, &["audit", "--refresh"]);
        (!storage["audit"].is_null() && storage["running"] == false).then_some(storage)
    });
    let originals = storage["audit"]["total"]["originals"]["bytes"].as_u64();
    let film = std::fs::metadata(media("silent.mp4")).expect("generated").len();
    assert!(originals >= Some(film), "{storage}");
    let table = said(&server.data, &["audit"]);
    let head = ["OWNER", "ALL", "ORIGINALS", "RENDITIONS", "PICTURES", "UPLOADS", "TRASH"];
    let rows: Vec<Vec<&str>> = table.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(rows[0], head);
    // Who has an id instead of a name has it whole, in a line of its own.
    let owner = storage["audit"]["owners"][0]["owner"].as_str().expect("a name");
    assert!(rows[1] == [owner] && rows[3][0] == "(all)" && rows[3][1..] == rows[2], "{table}");
    assert!(table.contains("files that nothing knows: 1, 8 B"), "{table}");
    let words = ["videos whose original is missing: 0", "media are missing: 0", "as of 20"];
    assert!(words.iter().all(|words| table.contains(words)), "{table}");

    let table = said(&server.data, &["gc", "--dry-run"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|it| it.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["WHAT", "ACTION", "COUNT", "SIZE"]);
    assert_eq!(rows[1], ["deleted-media", "removed", "1", "8", "B"]);
    assert_eq!(rows[2], ["01890000-0000-7000-8000-0000000000ab"], "{table}");
    let dry = told(&server.data, &["gc", "--dry-run"]);
    assert!(dry["dryRun"] == true && dry["count"].as_u64() >= Some(1), "{dry}");
    assert!(stray.exists());
    let table = said(&server.data, &["gc"]);
    assert!(table.starts_with("WHAT"), "{table}");
    assert!(!stray.exists(), "{table}");
    assert_eq!(said(&server.data, &["gc"]).trim(), "everything is in its place");
    assert_eq!(server.settled(&video)["state"], "ready");
}
