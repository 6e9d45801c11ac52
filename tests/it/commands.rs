//! The command line: exit codes and lines that help.

use crate::harness::{Server, program, wait_for};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};

fn run(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(args).env("SLIPWAY_DATA_DIR", data).env("SLIPWAY_LISTEN", "127.0.0.1:0");
    command.envs(env.iter().copied()).output().expect("the binary runs")
}

fn one_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(!text.contains('\n'), "one line, not {text:?}");
    text
}

/// A second server on the same directory says who holds it, and ends with 2.
#[test]
fn a_second_server_is_refused() {
    let server = Server::start();
    let second = run(&server.data, &["serve"], &[]);
    assert_eq!(second.status.code(), Some(2));
    let line = one_line(&second);
    assert!(line.contains(&format!("process {}", server.pid())), "{line}");
    assert_eq!(server.send_as_anyone("GET", "/healthz", &[], b"").status, 200);
}

/// Wrong configuration ends with 2 and one line that names the key and the mend.
#[test]
fn wrong_configuration_is_one_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("slipway.toml");
    let cases = [
        ("[upload]\nmax_sise = \"1 GB\"\n", "did you mean `upload.max_size`?"),
        ("[media]\nworkers = 65\n", "`media.workers` = 65"),
        ("listen = \"0.0.0.0:0\"\n[auth]\nmode = \"open\"\n", "auth.mode"),
        ("what is this", "slipway.toml"),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, text).expect("a file");
        let mut command = Command::new(program());
        command.args(["serve", "--config"]).arg(&file);
        let output =
            command.arg("--data-dir").arg(directory.path().join("d")).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{text}");
        let line = one_line(&output);
        assert!(line.contains(expected), "{line}");
    }
    let data = directory.path();
    assert_eq!(run(data, &["serve", "--nonsense"], &[]).status.code(), Some(2));
    let unknown = run(data, &["check-config"], &[("SLIPWAY_UPLOAD__MAXSIZE", "1")]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(one_line(&unknown).contains("upload.max_size"));
}

/// What `check-config` prints is itself a good configuration.
#[test]
fn check_config_prints_a_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = run(directory.path(), &["check-config", "--set", "upload.max_size=3GB"], &[]);
    assert_eq!(first.status.code(), Some(0));
    let text = String::from_utf8(first.stdout).expect("text");
    assert!(text.contains("upload.max_size = \"3GB\""), "{text}");
    let file = directory.path().join("again.toml");
    std::fs::write(&file, &text).expect("a file");
    let again = Command::new(program()).args(["check-config", "--config"]).arg(&file).output();
    assert_eq!(String::from_utf8_lossy(&again.expect("runs").stdout), text);
}

/// Tokens can be made before a server has ever run, and the server then honours them.
#[test]
fn tokens_without_a_running_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let made = run(&data, &["token", "create", "--role", "admin"], &[]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let token = String::from_utf8(made.stdout).expect("text").trim().to_owned();
    let server = Server::on(&data, &[]);
    let bearer = format!("Bearer {token}");
    let asked = [("Authorization", bearer.as_str())];
    assert_eq!(server.send_as_anyone("GET", "/api/admin/status", &asked, b"").status, 200);
    assert_eq!(run(&data, &["token", "create", "--role", "king"], &[]).status.code(), Some(2));
}

/// systemd hears when the server is ready, that it lives, and that it stops; under it the login
/// link stays out of the output.
#[test]
fn systemd_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("notify");
    let heard = UnixDatagram::bind(&socket).expect("a socket");
    heard.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a timeout");
    let data = directory.path().join("data");
    let mut child = Command::new(program())
        .arg("serve")
        .env("SLIPWAY_DATA_DIR", &data)
        .env("SLIPWAY_LISTEN", "127.0.0.1:0")
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let wait = |word: &str| {
        wait_for(word, || {
            let mut message = [0; 4096];
            let length = heard.recv(&mut message).expect("a message");
            String::from_utf8_lossy(&message[..length]).contains(word).then_some(())
        });
    };
    wait("READY=1");
    wait("WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    wait("STOPPING=1");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let mut printed = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    std::io::Read::read_to_string(&mut stdout, &mut printed).expect("text");
    assert_eq!(printed, "");
}

/// The audit log tells what commands did, beside a server and without one, and what the server was
/// asked; the log on standard error and the records have nobody's address.
#[test]
fn the_audit_log_tells_who_did_what() {
    let mut server = Server::start();
    let told = |data: &Path, args: &[&str]| -> Vec<serde_json::Value> {
        let output = run(data, &[&["audit-log", "--json"], args].concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    run(&server.data, &["token", "create", "--role", "viewer", "--user", "vic"], &[]);
    server.create("a.mp4", 5);
    let words = |entries: &[serde_json::Value]| {
        let word = |it: &serde_json::Value| format!("{} {}", it["way"], it["action"]);
        entries.iter().map(|it| word(it).replace('"', "")).collect::<Vec<_>>()
    };
    let entries = told(&server.data, &[]);
    assert_eq!(words(&entries)[0], "server started", "{entries:?}");
    assert!(words(&entries).contains(&"console token-made".to_owned()), "{entries:?}");
    let begun = told(&server.data, &["--action", "upload-begun", "--since", "1h"]);
    assert_eq!((begun.len(), &begun[0]["address"]), (1, &"127.0.0.1".into()), "{begun:?}");
    assert_eq!(server.terminate(), Some(0));
    run(&server.data, &["jobs", "pause"], &[]);
    let entries = told(&server.data, &[]);
    let last = words(&entries).into_iter().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last, ["console queue-steered", "server stopped"]);
    let numbers: Vec<_> = entries.iter().map(|it| it["number"].as_u64().expect("one")).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    let wrong = run(&server.data, &["audit-log", "--since", "yesterday"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    one_line(&wrong);
    let exported = run(&server.data, &["db", "export"], &[]);
    assert!(!String::from_utf8_lossy(&exported.stdout).contains("127.0.0.1"));
}
