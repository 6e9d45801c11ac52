//! Backups beside a running server, and what comes back of them.

use crate::harness::{Server, media, pattern, program};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn run(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(args).env("SLIPWAY_DATA_DIR", data).env("SLIPWAY_LISTEN", "127.0.0.1:0");
    command.envs(env.iter().copied()).output().expect("the binary runs")
}

/// Runs a command with `--json` and returns what it says.
fn told(data: &Path, args: &[&str]) -> serde_json::Value {
    let output = run(data, &[args, &["--json"]].concat(), &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// A place for backups, and for a data directory that is made of one.
fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let (backups, data) = (directory.path().join("backups"), directory.path().join("data"));
    (directory, backups, data)
}

fn source_of(data: &Path, video: &str) -> PathBuf {
    let shards = std::fs::read_dir(data.join("originals")).expect("originals").flatten();
    let found = shards.map(|shard| shard.path().join(video).join("source")).find(|it| it.exists());
    found.expect("the original")
}

/// A backup beside a running server comes back as it was: it serves, plays, and knows its tokens.
/// The next one copies only what is new.
#[test]
fn a_backup_comes_back_and_plays() {
    let server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    let before = server.settled(&video);
    let token = server.token_of("admin", &[]);
    let (partial, _) = server.create("later.mp4", 1_000_000);
    server.patch(&partial, 0, &pattern(500_000));
    let (_directory, backups, data) = places();
    let first = told(&server.data, &["backup", text(&backups)]);
    assert!(first["newBytes"] == first["bytes"] && first["files"].as_u64() > Some(5), "{first}");

    let other = server.upload(&media("faststart.mp4"));
    server.settled(&other);
    let second = told(&server.data, &["backup", text(&backups)]);
    let (new, all) = (second["newBytes"].as_u64(), second["bytes"].as_u64());
    let shared = all.expect("a sum") - new.expect("a sum");
    let film = std::fs::metadata(media("silent.mp4")).expect("generated").len();
    assert!(shared > film, "what was there wasn't copied again: {second}");
    let path = |backup: &serde_json::Value| PathBuf::from(backup["path"].as_str().expect("a path"));
    let kept = |backup| std::fs::metadata(source_of(&path(backup).join("data"), &video));
    assert_eq!(kept(&first).expect("it").ino(), kept(&second).expect("it").ino());
    let uploads = |backup| path(backup).join("data/tmp").exists();
    assert!(!uploads(&first) && !uploads(&second), "no upload under way is copied");

    let restored = told(&data, &["restore", text(&backups)]);
    assert_eq!(restored["path"], second["path"], "the newest one");
    drop(server);
    let mut again = Server::on(&data, &[]);
    for id in [&video, &other] {
        let after = again.settled(id);
        assert_eq!(after["state"], "ready", "{after}");
        crate::crash::whole(&again, &after);
    }
    assert_eq!(again.settled(&video)["title"], before["title"]);
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    assert_eq!(again.send_as_anyone("GET", "/api/admin/status", &headers, b"").status, 200);
    let listed = again.json("/api/videos");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(again.terminate(), Some(0));

    // An older one can be asked for, and old ones go when they are to.
    let old = data.with_file_name("old");
    let named = told(&old, &["restore", first["path"].as_str().expect("a path")]);
    assert_eq!(named["files"], first["files"]);
    let third = told(&data, &["backup", text(&backups), "--keep", "1"]);
    assert!(path(&third).exists() && !path(&first).exists() && !path(&second).exists());
}

/// Uploads are acknowledged while records are being written out and while files are being copied,
/// however long whoever does that takes; what comes of both is whole.
#[test]
fn uploads_go_on_beside_exports_and_backups() {
    let server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    server.settled(&video);
    for _ in 0..100 {
        server.create("later.mp4", 1_000);
    }
    let begin = |args: &[&str]| {
        let mut command = Command::new(program());
        command.args(args).env("SLIPWAY_DATA_DIR", &server.data).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().expect("the binary runs")
    };
    let acknowledged = || (0..20).filter(|_| whole_upload(&server)).count();

    // Nobody reads on: the pipe is full long before all is written.
    let mut export = begin(&["db", "export"]);
    let mut lines = BufReader::new(export.stdout.take().expect("piped"));
    let mut text = String::new();
    lines.read_line(&mut text).expect("the first line");
    assert_eq!(acknowledged(), 20);
    assert!(export.try_wait().expect("ours").is_none(), "it is still under way");
    lines.read_to_string(&mut text).expect("text");
    assert!(export.wait().expect("ours").success());
    let (_directory, backups, data) = places();
    let file = backups.with_file_name("records.jsonl");
    std::fs::write(&file, &text).expect("written");
    let checked = run(&server.data, &["db", "check", self::text(&file)], &[]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains(" 0 findings"), "{checked:?}");

    let mut backup = halted(&backups, || begin(&["backup", self::text(&backups), "--json"]));
    let pid = rustix::process::Pid::from_child(&backup);
    assert_eq!(acknowledged(), 20);
    assert!(backup.try_wait().expect("ours").is_none(), "it is still under way");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it runs");
    assert!(backup.wait().expect("ours").success());
    told(&data, &["restore", self::text(&backups)]);
    assert_eq!(Server::on(&data, &[]).settled(&video)["state"], "ready");
}

/// Begins a backup and stops it while it is under way; one that was done too soon is let go.
fn halted(backups: &Path, begin: impl Fn() -> Child) -> Child {
    let is_under_way = || {
        let names = std::fs::read_dir(backups).into_iter().flatten().flatten();
        let mut names = names.map(|it| it.file_name().to_string_lossy().into_owned());
        names.any(|name| name.ends_with(".partial"))
    };
    for _ in 0..100 {
        let mut backup = begin();
        let pid = rustix::process::Pid::from_child(&backup);
        let signal = |signal| rustix::process::kill_process(pid, signal).expect("ours");
        while backup.try_wait().expect("ours").is_none() {
            if !is_under_way() {
                std::thread::yield_now();
                continue;
            }
            signal(rustix::process::Signal::STOP);
            if is_under_way() {
                return backup;
            }
            signal(rustix::process::Signal::CONT);
        }
    }
    panic!("a hundred backups were done before anybody could look");
}

/// Uploads something small, and says whether all of it was acknowledged.
fn whole_upload(server: &Server) -> bool {
    let (path, _) = server.create("small.bin", 10);
    server.patch(&path, 0, &pattern(10)).status == 204 && server.offset(&path) == 10
}

/// Nothing is restored over what is there, and nothing that isn't what was backed up.
#[test]
fn a_restore_is_refused_where_it_would_lose_something() {
    let mut server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    server.settled(&video);
    let (_directory, backups, data) = places();
    let none = run(&data, &["restore", text(&backups)], &[]);
    assert_eq!(none.status.code(), Some(1));
    let made = told(&server.data, &["backup", text(&backups)]);
    server.terminate();
    let over = run(&server.data, &["restore", text(&backups)], &[]);
    assert_eq!(over.status.code(), Some(2), "{over:?}");
    assert!(String::from_utf8_lossy(&over.stderr).contains("isn't empty"));

    let kept = PathBuf::from(made["path"].as_str().expect("a path")).join("data");
    let source = source_of(&kept, &video);
    let mut bytes = std::fs::read(&source).expect("read");
    bytes[1_000] ^= 1;
    std::fs::remove_file(&source).expect("ours");
    std::fs::write(&source, bytes).expect("spoilt");
    let spoilt = run(&data, &["restore", text(&backups)], &[]);
    assert_eq!(spoilt.status.code(), Some(1));
    let said = String::from_utf8_lossy(&spoilt.stderr).into_owned();
    assert!(said.contains("isn't what was backed up"), "{said}");
    let started = run(&data, &["serve"], &[]);
    assert_eq!(started.status.code(), Some(2), "no server starts on the half of it");
}

/// Whoever dies over a backup or a restore leaves nothing that is taken for whole, and the next
/// one goes through.
#[test]
fn a_kill_leaves_nothing_half() {
    let server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    server.settled(&video);
    let (_directory, backups, data) = places();
    let fail = |moment| [("SLIPWAY_FAIL_AT", moment)];
    let died = run(&server.data, &["backup", text(&backups)], &fail("before-backup-in-place"));
    assert!(died.status.code().is_none(), "{died:?}");
    assert_eq!(run(&data, &["restore", text(&backups)], &[]).status.code(), Some(1));
    told(&server.data, &["backup", text(&backups)]);
    let names = std::fs::read_dir(&backups).expect("backups").flatten();
    let partial = names.filter(|it| it.file_name().to_string_lossy().ends_with(".partial")).count();
    assert_eq!(partial, 0);

    let died = run(&data, &["restore", text(&backups)], &fail("in-mid-restore"));
    assert!(died.status.code().is_none(), "{died:?}");
    assert_eq!(run(&data, &["serve"], &[]).status.code(), Some(2));
    told(&data, &["restore", text(&backups)]);
    drop(server);
    let again = Server::on(&data, &[]);
    assert_eq!(again.settled(&video)["state"], "ready");
}
