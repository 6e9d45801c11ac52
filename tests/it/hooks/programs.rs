//! Hooks that are programs: started without a shell, bounded, and gone with all that they have
//! started when their time is over.

use super::doors::Door;
use super::{NO_WORK, PRE_CREATE, SOON, assert_nothing, assert_unavailable, video};
use crate::harness::{Server, pattern, wait_for};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program in a directory of its own, which can be written anew.
struct Program {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Program {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("hook with a space");
        let program = Self { _directory: directory, path };
        program.becomes("exit 0");
        program
    }

    /// Has it do something else from now on.
    fn becomes(&self, script: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).expect("there is room");
        fs::set_permissions(&new, Permissions::from_mode(0o755)).expect("it is ours");
        fs::rename(&new, &self.path).expect("it is ours");
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit(')').next().map(str::to_owned));
    state.is_none_or(|state| state.trim_start().starts_with('Z'))
}

/// What a program says counts; one that fails, lies or hangs lets nothing in, and nothing of it
/// is left.
#[test]
fn programs_are_asked() {
    let program = Program::new();
    let path = program.path.to_str().expect("text").to_owned();
    let server = Server::with(&[(PRE_CREATE, &path), NO_WORK, SOON]);
    let bytes = pattern(2_000);
    let (pids, input) = (program.beside("pids"), program.beside("input"));
    let (pids_at, input_at) = (pids.display().to_string(), input.display().to_string());
    let hang = format!("sleep 1000 & echo $! $$ > '{pids_at}'; sleep 1000");
    let lies = [
        "exit 1",
        "echo '{}'; echo 'no such table' >&2; exit 3",
        "kill -9 $$",
        "echo yes",
        "echo '{\"refused\": true}'",
        "yes | head -c 100000",
        "yes",
        "yes >&2",
        "exec /nowhere/x",
        hang.as_str(),
    ];
    for lie in lies {
        program.becomes(lie);
        assert_unavailable(&Door::Tus.send(&server, &bytes));
        assert_unavailable(&Door::Form.send(&server, &bytes));
    }
    assert_nothing(&server);
    let started = fs::read_to_string(&pids).expect("it ran");
    let started: Vec<&str> = started.split_whitespace().collect();
    assert_eq!(started.len(), 2);
    wait_for("all of it to be ended", || started.iter().all(|pid| is_gone(pid)).then_some(()));

    program.becomes("cat > /dev/null; echo '{\"refuse\": {\"detail\": \"Members only.\"}}'");
    let refused = Door::TusWithUpload.send(&server, &bytes).answer;
    refused.assert_problem(403, "upload-refused");
    assert_eq!(refused.json()["detail"], "Members only.");
    // It neither reads what it is asked nor ends what it has started, and both are its own affair.
    program.becomes("sleep 1000 & echo '{\"change\": {\"title\": \"Ours\"}}'");
    let sent = Door::Chunks.send(&server, &bytes);
    assert_eq!(video(&server, &sent)["title"], "Ours", "{}", sent.answer.text());
    program.becomes(&format!(
        "cat > '{input_at}'; echo \"$1 $# $PWD\" > '{pids_at}'; env >> '{pids_at}'"
    ));
    let sent = Door::Tus.send(&server, &bytes);
    assert_eq!(video(&server, &sent)["title"], "Mine");
    let said: serde_json::Value =
        serde_json::from_slice(&fs::read(&input).expect("it ran")).expect("JSON");
    assert_eq!(said["data"]["title"], "Mine");
    let told = fs::read_to_string(&pids).expect("it ran");
    assert!(told.starts_with("pre_create 1 /\n"), "{told}");
    assert!(!told.contains("SLIPWAY"), "nothing of the server's surroundings: {told}");
}
