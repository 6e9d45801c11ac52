//! `slipway doctor` on what is right, and on set-ups that are really broken.

use crate::denied::can_trace;
use crate::faults::image;
use crate::harness::{Server, program};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

/// Runs the doctor by way of other programs, if any.
fn examined(data: &Path, through: &[&str], args: &[&str], env: &[(&str, &str)]) -> Output {
    let program = program();
    let mut words = through.iter().copied().chain([program.to_str().expect("text"), "doctor"]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(args).env("SLIPWAY_DATA_DIR", data);
    command.env("SLIPWAY_LISTEN", "127.0.0.1:0").envs(env.iter().copied());
    command.output().expect("it runs")
}

/// What a person reads: each line fits a terminal, or is a single long word.
fn read(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    for line in text.lines().filter(|line| line.chars().count() > 80) {
        assert!(!line[22..].trim().contains(' '), "{line:?}");
    }
    // As one text, for sentences that are broken into lines.
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was found about one check: its state, what was seen, what to do.
fn finding(data: &Path, through: &[&str], check: &str) -> (String, String, String) {
    let output = examined(data, through, &["--json"], &[]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = findings.as_array().expect("a list");
    let it = all.iter().find(|it| it["check"] == check).unwrap_or_else(|| panic!("{findings}"));
    let word = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let is_well = all.iter().all(|it| it["state"] != "fail");
    assert_eq!(output.status.success(), is_well, "{findings}");
    (word("state"), word("detail"), word("mend"))
}

/// A data directory that a server has used and left.
fn used() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    assert_eq!(Server::on(&data, &[]).terminate(), Some(0));
    (directory, data)
}

/// The doctor finds nothing wrong where a server can run, and names the mend where it can't.
#[test]
fn the_doctor_looks_at_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let well = examined(&data, &[], &["--json"], &[]);
    let findings: serde_json::Value = serde_json::from_slice(&well.stdout).expect("JSON");
    let checks: Vec<&str> =
        findings.as_array().expect("a list").iter().filter_map(|it| it["check"].as_str()).collect();
    let all = [
        "data directory",
        "files",
        "free space",
        "reserve",
        "originals",
        "media libraries",
        "sandbox",
        "clock",
        "address",
        "tls",
        "open files",
    ];
    assert_eq!(checks, all);
    assert_eq!(well.status.code(), Some(0), "{findings}");
    assert!(!data.exists(), "looking makes nothing");

    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = port.local_addr().expect("an address").to_string();
    let full =
        [("SLIPWAY_LISTEN", taken.as_str()), ("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "900 TB")];
    let ill = examined(&data, &[], &[], &full);
    assert_eq!(ill.status.code(), Some(1));
    let text = read(&ill);
    for line in ["FAIL address", "Another program listens there", "FAIL free space"] {
        assert!(text.contains(line), "{line}: {text}");
    }

    fs::create_dir(&data).expect("a directory");
    fs::write(data.join("VERSION"), "99\n").expect("written");
    let strange = examined(&data, &[], &[], &[]);
    let text = read(&strange);
    assert!(strange.status.code() == Some(1) && text.contains("FAIL data directory"), "{text}");

    let server = Server::start();
    let beside = examined(&server.data, &[], &[], &[("SLIPWAY_LISTEN", &server.address[7..])]);
    let text = read(&beside);
    assert!(beside.status.success() && text.contains("running server"), "{text}");
}

/// Files that others can read, that nobody can write, that lie or belong elsewhere, a reserve that
/// was given up, a disk that failed, a clock that went back: each is told with what to do.
#[test]
fn the_doctor_looks_into_the_data_directory() {
    let (_directory, data) = used();
    let assert = |check: &str, state: &str, detail: &str, mend: &str| {
        let (is, seen, to_do) = finding(&data, &[], check);
        assert!(
            is == state && seen.contains(detail) && to_do.contains(mend),
            "{is} {seen} {to_do}"
        );
    };
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    for check in ["files", "reserve", "clock"] {
        assert(check, "ok", "", "");
    }
    mode(&data, 0o755).expect("ours");
    assert("files", "warn", "open to other users", "chmod -R go=");
    mode(&data, 0o700).expect("ours");
    let originals = data.join("originals");
    mode(&originals, 0o500).expect("ours");
    assert("files", "fail", "originals", "chmod -R u+rwX");
    mode(&originals, 0o700).expect("ours");
    fs::write(data.join("sync-failed"), "").expect("written");
    assert("files", "warn", "refused to confirm", "dmesg");
    fs::remove_file(data.join("sync-failed")).expect("it is there");

    fs::remove_file(data.join("reserve")).expect("it is there");
    assert("reserve", "warn", "nothing is set aside", "free some space");
    let version = File::options().write(true).open(data.join("VERSION")).expect("it is there");
    let day = Duration::from_secs(86_400);
    version.set_modified(SystemTime::now() + day).expect("ours");
    assert("clock", "warn", "VERSION was changed later", "set-ntp");
    version.set_modified(SystemTime::now()).expect("ours");
    assert("clock", "ok", "", "");

    if rustix::process::geteuid().is_root() {
        chown(&originals, Some(12_345), None).expect("root may");
        assert("files", "fail", "originals", "chown -R");
        chown(&originals, Some(0), None).expect("root may");
    }
    if let Some(image) = image(32 << 20) {
        let media = data.join("media");
        fs::remove_dir(&media).expect("nothing is in it");
        symlink(&image.mount, &media).expect("made");
        assert("files", "fail", "on another file system", "one file system");
    }
}

/// Too few open files, libraries that can't be loaded, kernels without Landlock and without filters
/// for calls: each is seen by the doctor's own child.
#[test]
fn the_doctor_looks_at_the_machine() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let few = ["sh", "-c", "ulimit -n 1000; exec \"$@\"", "sh"];
    let (state, seen, mend) = finding(&data, &few, "open files");
    assert!(state == "warn" && seen.contains("1000") && mend.contains("LimitNOFILE"), "{seen}");

    if can_trace() {
        let without = |call: &'static str| {
            let inject = format!("inject={call}:error=ENOSYS");
            let words = ["strace", "-f", "-o", "/dev/null", "-e", &inject].map(str::to_owned);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            finding(&data, &words, "sandbox")
        };
        let (state, _, mend) = without("landlock_create_ruleset");
        assert!(state == "warn" && mend.contains("no Landlock"), "{mend}");
        let (state, seen, mend) = without("seccomp");
        assert!(state == "fail" && mend.contains("seccomp"), "{seen}: {mend}");
    }
    let Some(library) = library("libavcodec.so.59").filter(|_| can_mount()) else { return };
    let hidden = format!("mount --bind /dev/null {} && exec \"$@\"", library.display());
    let output = examined(&data, &["unshare", "-m", "sh", "-c", &hidden, "sh"], &[], &[]);
    let text = read(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL media libraries FFmpeg's libavcodec"), "{text}");
    assert!(text.contains("apt install ffmpeg"), "{text}");
}

fn can_mount() -> bool {
    let mounted =
        Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "x", "/mnt"]).output();
    let can = mounted.is_ok_and(|it| it.status.success());
    if !can {
        eprintln!("skipped: no mounts of its own");
    }
    can
}

fn library(name: &str) -> Option<PathBuf> {
    let places = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let found = places.map(|place| place.path().join(name)).find(|path| path.exists());
    found.and_then(|path| path.canonicalize().ok())
}
