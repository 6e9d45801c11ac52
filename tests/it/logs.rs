//! What the log says, in which form, and what it keeps to itself.

use crate::harness::{Server, base64, raw, wait_for};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A server whose standard error goes to a file. With `stream`, `JOURNAL_STREAM` says that the
/// journal reads this file, or another one.
fn logged(directory: &Path, stream: &str, settings: &[(&str, &str)]) -> (Server, PathBuf) {
    let log = directory.join("log");
    let line = format!("exec 2>\"$LOG\"; {stream} exec \"$0\" \"$@\"");
    let mut all = vec![("LOG", log.to_str().expect("text"))];
    all.extend_from_slice(settings);
    (Server::through(&["sh", "-c", &line], &directory.join("data"), &all), log)
}

const JOURNALS: &str = "export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2);";

/// The lines of a log, once one of them holds `word`.
fn lines(log: &Path, word: &str) -> Vec<String> {
    wait_for("a line", || {
        let text = fs::read_to_string(log).ok()?;
        text.contains(word).then(|| text.lines().map(str::to_owned).collect())
    })
}

/// Each line is an object with its level and fields; a failure of the server's own has the id that
/// its answer had, and nothing is said of tokens, names of files or who sent them.
#[test]
fn a_log_in_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = [("SLIPWAY_LOG__FORMAT", "json"), ("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s")];
    let (server, log) = logged(directory.path(), "", &settings);
    let (path, _) = server.create("my-own-secret.mp4", 5);
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTus-Resumable: \
         1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nX-Request-Id: \
         mine\r\nContent-Length: 5\r\n\r\n",
        server.token
    );
    let mut stalled = raw(&server.address, &head, b"he");
    let mut answer = [0; 4096];
    let read = stalled.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id");
    assert_ne!(id, "mine", "only a trusted proxy's counts");

    let lines = lines(&log, id);
    let objects: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    for object in &objects {
        for key in ["timestamp", "level", "message"] {
            assert!(object[key].is_string(), "{object}");
        }
    }
    let failure = objects.iter().filter(|it| it["request.id"] == id).collect::<Vec<_>>();
    assert_eq!(failure.len(), 1, "{lines:#?}");
    assert_eq!((&failure[0]["level"], &failure[0]["status"]), (&"ERROR".into(), &503.into()));
    let text = lines.join("\n");
    for kept in ["my-own-secret", server.token.as_str(), &base64("my-own-secret.mp4"), "mine"] {
        assert!(!text.contains(kept), "{kept}: {text}");
    }
    let peer = stalled.local_addr().expect("an address");
    assert!(!text.contains(&peer.port().to_string()), "{text}");
}

/// A proxy that is trusted gives the request its id.
#[test]
fn a_proxys_request_id_is_kept() {
    let server = Server::with(&[("SLIPWAY_TRUSTED_PROXIES", "[\"127.0.0.1\"]")]);
    let id = |given| server.send("GET", "/healthz", &[("X-Request-Id", given)], b"");
    assert_eq!(id("trace-7").header("x-request-id"), "trace-7");
    assert_ne!(id("no word").header("x-request-id"), "no word");
}

/// Where the journal reads it, a line has its level in front and no time; a variable that was
/// inherited from another service changes nothing.
#[test]
fn a_log_for_the_journal() {
    for (stream, prefix) in [(JOURNALS, true), ("export JOURNAL_STREAM=1:2;", false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let (_server, log) = logged(directory.path(), stream, &[("SLIPWAY_AUTH__MODE", "open")]);
        let lines = lines(&log, " serves ");
        let serves = lines.iter().find(|line| line.contains(" serves ")).expect("told");
        assert_eq!(serves.starts_with("<6>slipway "), prefix, "{serves}");
    }
}
