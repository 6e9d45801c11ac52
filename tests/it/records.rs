//! The records outside of the database: exports, and what comes back of them.

use crate::harness::{Server, media, pattern, program};
use std::path::Path;
use std::process::{Command, Output};

fn run(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(args).env("SLIPWAY_DATA_DIR", data).env("SLIPWAY_LISTEN", "127.0.0.1:0");
    command.envs(env.iter().copied()).output().expect("the binary runs")
}

fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Spoils a database so that it doesn't open.
fn spoil(data: &Path) {
    for entry in std::fs::read_dir(data.join("state")).expect("state").flatten() {
        if entry.path().is_file() {
            std::fs::write(entry.path(), pattern(100_000)).expect("spoilt");
        }
    }
}

fn status_of(server: &Server, token: &str, path: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    server.send_as_anyone("GET", path, &[("Authorization", &authorization)], b"").status
}

/// Records go out beside a running server and without one, and come in again as they were.
#[test]
fn records_go_out_and_in_as_they_are() {
    let mut server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    server.settled(&video);
    let (partial, _) = server.create("later.mp4", 1_000);
    server.patch(&partial, 0, &pattern(100));
    let token = server.token_of("viewer", &["--name", "Ann"]);
    let running = good(run(&server.data, &["db", "export"], &[]));
    assert!(running.contains(&format!("\"id\":\"{video}\"")), "{running}");
    assert!(running.contains("\"name\":\"Ann\"") && !running.contains(&token));
    assert!(good(run(&server.data, &["db", "check"], &[])).contains(" 0 findings"));
    assert_eq!(run(&server.data, &["db", "import", "none"], &[]).status.code(), Some(1));

    assert_eq!(server.terminate(), Some(0));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("records.jsonl.gz");
    let path = file.to_str().expect("text");
    good(run(&server.data, &["db", "export", path], &[]));
    assert_eq!(&std::fs::read(&file).expect("written")[..2], &[0x1f, 0x8b]);
    let stopped = good(run(&server.data, &["db", "export"], &[]));
    // A pipe stays one, as would a device.
    let pipe = server.data.with_file_name("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).expect("it reads")
    });
    good(run(&server.data, &["db", "export", pipe.to_str().expect("UTF-8")], &[]));
    assert_eq!(reader.join().expect("read"), stopped);
    let kind = std::fs::symlink_metadata(&pipe).expect("it is there").file_type();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind));
    // It isn't put over what is there unasked.
    let refused = run(&server.data, &["db", "import", path, "--exact"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--replace"));
    good(run(&server.data, &["db", "import", path, "--exact", "--replace"], &[]));
    assert_eq!(good(run(&server.data, &["db", "export"], &[])), stopped);
    assert!(good(run(&server.data, &["db", "check"], &[])).contains(" 0 findings"));

    server.restart();
    assert_eq!(server.settled(&video)["state"], "ready");
    assert_eq!(server.offset(&partial), 100, "an upload goes on");
    assert_eq!(status_of(&server, &token, "/api/videos"), 200);
}

/// An export that was cut or changed anywhere isn't taken, and nothing is changed for it.
#[test]
fn broken_exports_are_refused() {
    let mut server = Server::start();
    server.settled(&server.upload(&media("silent.mp4")));
    server.terminate();
    let text = good(run(&server.data, &["db", "export"], &[]));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("broken.jsonl");
    let path = file.to_str().expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let without = |n: usize| {
        let kept: Vec<&str> =
            lines.iter().enumerate().filter(|(i, _)| *i != n).map(|x| *x.1).collect();
        format!("{}\n", kept.join("\n"))
    };
    let broken = [
        text[..text.len() / 2].to_owned(),
        without(lines.len() - 1),
        without(lines.len() / 2),
        text.replace("silent", "violet"),
        text.replace("\"format\":1", "\"format\":2"),
        String::new(),
    ];
    for text in broken {
        std::fs::write(&file, text).expect("written");
        let refused = run(&server.data, &["db", "import", path, "--replace"], &[]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let checked = run(&server.data, &["db", "check", path], &[]);
        assert_eq!(checked.status.code(), Some(1));
    }
    assert_eq!(good(run(&server.data, &["db", "export"], &[])), text);
}

/// A database that doesn't open costs no token and no verdict: the last export has them. The files
/// tell what has happened since.
#[test]
fn a_broken_database_comes_back_from_its_export() {
    let mut server = Server::start();
    let ready = server.upload(&media("silent.mp4"));
    assert_eq!(server.settled(&ready)["state"], "ready");
    let (path, failed) = server.create("no-film.mp4", 5_000);
    server.patch(&path, 0, &pattern(5_000));
    let verdict = server.settled(&failed)["error"].clone();
    assert_eq!(verdict["code"], "unsupported-media");
    let token = server.token_of("admin", &[]);
    // The stop writes the export.
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    let since = server.upload(&media("silent.mp4"));
    server.settled(&since);
    let (partial, _) = server.create("later.mp4", 1_000);
    server.kill();
    spoil(&server.data);
    // Whoever dies over the import has taken nothing half.
    server.set("SLIPWAY_FAIL_AT", "before-state-in-place");
    let died = run(&server.data, &["serve"], &[("SLIPWAY_FAIL_AT", "before-state-in-place")]);
    assert!(!died.status.success() && !server.data.join("state").exists());
    // An empty one that a command makes would be taken for all there is.
    let all: [&[&str]; 6] = [
        &["token", "list"],
        &["token", "create", "--role", "admin"],
        &["jobs", "list"],
        &["db", "export"],
        &["gc"],
        &["user", "export", "ann", "ann.tar"],
    ];
    for args in all {
        let refused = run(&server.data, args, &[]);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("no database beside"), "{args:?}: {why}");
    }
    assert!(!server.data.join("state").exists());
    server.forget("SLIPWAY_FAIL_AT");
    server.restart();
    assert_eq!(status_of(&server, &token, "/api/admin/status"), 200, "the token counts");
    assert_eq!(server.settled(&failed)["error"], verdict);
    for video in [&ready, &since] {
        let it = server.settled(video);
        assert_eq!(it["state"], "ready", "{it}");
        assert_eq!(it["title"], "silent");
        crate::crash::whole(&server, &it);
    }
    assert_eq!(server.offset(&partial), 0, "a partial upload begins anew");
    assert!(!server.data.join("rebuilding").exists());
    assert!(good(run(&server.data, &["db", "check"], &[])).contains(" 0 findings"));
}

/// `doctor --rebuild` makes the records anew while no server runs, and keeps the old ones aside.
#[test]
fn records_are_rebuilt_on_demand() {
    let mut server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    server.settled(&video);
    let held = run(&server.data, &["doctor", "--rebuild"], &[]);
    assert_eq!(held.status.code(), Some(2), "{held:?}");
    server.terminate();
    std::fs::remove_file(server.data.join("export.jsonl.gz")).expect("written at the stop");
    let said = good(run(&server.data, &["doctor", "--rebuild"], &[]));
    assert!(said.contains("state.broken-"), "{said}");
    server.restart();
    assert_eq!(server.settled(&video)["state"], "ready");
}
