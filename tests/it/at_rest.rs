//! Originals that are encrypted at rest, through the real binary.

use crate::harness::{Server, media, program, wait_for};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ON: (&str, &str) = ("SLIPWAY_ORIGINALS__ENCRYPTION", "xchacha20-poly1305");
const KEY_FILE: &str = "SLIPWAY_ORIGINALS__KEY_FILE";

fn run(data: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(args).env("SLIPWAY_DATA_DIR", data).env("SLIPWAY_LISTEN", "127.0.0.1:0");
    command.envs(env.iter().copied()).output().expect("the binary runs")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A file of keys in a directory of its own.
struct Keys {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Keys {
    fn fresh() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let keys = Self { _directory: directory, path };
        keys.write(&Self::line());
        keys
    }

    /// A key as the command makes it.
    fn line() -> String {
        let made = run(Path::new("/nowhere"), &["originals", "new-key"], &[]);
        assert!(made.status.success() && made.stderr.is_empty(), "{}", said(&made));
        String::from_utf8(made.stdout).expect("text")
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).expect("written");
        fs::set_permissions(&self.path, PermissionsExt::from_mode(0o600)).expect("set");
    }

    fn settings(&self) -> [(&str, &str); 2] {
        [ON, (KEY_FILE, self.path.to_str().expect("text"))]
    }
}

fn original_of(data: &Path, video: &str, name: &str) -> PathBuf {
    let shards = fs::read_dir(data.join("originals")).expect("originals").flatten();
    let found = shards.map(|shard| shard.path().join(video)).find(|it| it.exists());
    found.expect("the original").join(name)
}

fn download(server: &Server, video: &str) -> Vec<u8> {
    let answer = server.send("GET", &format!("/api/videos/{video}/original"), &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.body
}

/// Waits until an original has the tags of its blocks.
fn tagged(server: &Server, video: &str) {
    let path = original_of(&server.data, video, "source.key");
    wait_for("tags", || (fs::metadata(&path).ok()?.len() > 120).then_some(()));
}

/// Says whether a piece of `bytes` lies in a file of uploads or originals.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let Ok(entries) = fs::read_dir(path) else {
        let file = fs::read(path).unwrap_or_default();
        let pieces = bytes.chunks_exact(32).step_by(200);
        return pieces.take(20).any(|piece| file.windows(32).any(|window| window == piece));
    };
    entries.map(|entry| entry.expect("listed").path()).any(|path| holds(&path, bytes))
}

/// Killed between any two steps the next start goes on, and the original is what was sent.
#[test]
fn dead_between_any_two_steps() {
    let keys = Keys::fresh();
    let film = fs::read(media("silent.mp4")).expect("it was generated");
    for moment in [
        "after-write-before-record",
        "after-sync-before-rename",
        "after-key-before-rename",
        "after-rename-before-record",
        "after-record",
        "before-tags-in-place",
    ] {
        let settings = keys.settings();
        let mut server = Server::with(&[settings[0], settings[1], ("SLIPWAY_FAIL_AT", moment)]);
        let (path, video) = server.create("silent.mp4", film.len());
        let length = film.len().to_string();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
             Upload-Offset: 0\r\nContent-Length: {length}\r\n\r\n",
            server.token
        );
        let _stream = crate::harness::raw(&server.address, &head, &film);
        assert_eq!(server.ended(), None, "{moment}: it dies like from a kill");
        server.forget("SLIPWAY_FAIL_AT");
        server.restart();
        let look = server.send("HEAD", &path, &[("Tus-Resumable", "1.0.0")], b"");
        if look.status == 200 && look.header("upload-offset") != length {
            let offset = server.offset(&path);
            let answer = server.patch(&path, offset, &film[offset..]);
            assert_eq!(answer.status, 204, "{moment}: {}", answer.text());
        }
        let it = server.settled(&video);
        assert_eq!(it["state"], "ready", "{moment}: {it}");
        tagged(&server, &video);
        assert!(download(&server, &video) == film, "{moment}");
        assert!(!holds(&server.data.join("originals"), &film), "{moment}: plain bytes");
    }
}
