//! `slipway ingest` against a real server: whole directories, kills on both sides, changed files,
//! and what it prints.

use crate::harness::{Server, media, pattern, program, sha256, wait_for};
use crate::live::{assert_right, index_last, playable};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};

const KIB: usize = 1024;
/// The smallest part.
const PART: usize = 256 * KIB;

fn server() -> Server {
    Server::with(&[
        ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
        ("SLIPWAY_UPLOAD__CHUNK_SIZE", "256 KiB"),
    ])
}

/// The command against `address`, without the test's own settings.
fn ingest(address: &str, token: &str, args: &[&str], paths: &[&Path]) -> Command {
    let mut command = Command::new(program());
    command.arg("ingest").args(["--server", address]).args(args).args(paths);
    command.env("SLIPWAY_TOKEN", token).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(server: &Server, args: &[&str], paths: &[&Path]) -> Output {
    ingest(&server.address, &server.token, args, paths).output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The results: `(video, path)` of each line.
fn results(output: &Output) -> Vec<(String, String)> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let pair = |line: &str| {
        let (video, path) = line.split_once('\t').expect("a tab");
        (video.to_owned(), path.to_owned())
    };
    text.lines().map(pair).collect()
}

fn json_line(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn original(server: &Server, video: &str) -> String {
    let answer = server.send("GET", &format!("/api/videos/{video}/original"), &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    sha256(&answer.body)
}

fn videos(server: &Server) -> usize {
    server.json("/api/videos?limit=100")["items"].as_array().expect("a list").len()
}

/// The only unfinished upload's bytes.
fn received(server: &Server) -> usize {
    let list = server.json("/api/uploads?state=partial");
    list["items"][0]["receivedBytes"].as_u64().unwrap_or(0) as usize
}

fn file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// Stands between client and server, counts what the client sends, and can hold it back.
struct Gate {
    address: String,
    held: Arc<Held>,
}

#[derive(Default)]
struct Held {
    now: Mutex<Flow>,
    changed: Condvar,
}

#[derive(Default)]
struct Flow {
    target: String,
    passed: usize,
    limit: usize,
    open: Vec<TcpStream>,
}

impl Gate {
    /// Lets `limit` bytes through and holds what follows.
    fn new(server: &Server, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let held = Arc::new(Held::default());
        let gate = Self { address, held: held.clone() };
        gate.lead_to(server);
        gate.let_through(limit);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, held) = (client.expect("a client"), held.clone());
                std::thread::spawn(move || held.carry(client));
            }
        });
        gate
    }

    fn lead_to(&self, server: &Server) {
        let target = server.address.trim_start_matches("http://").to_owned();
        self.held.now.lock().expect("a lock").target = target;
    }

    fn let_through(&self, limit: usize) {
        self.held.now.lock().expect("a lock").limit = limit;
        self.held.changed.notify_all();
    }

    fn passed(&self) -> usize {
        self.held.now.lock().expect("a lock").passed
    }

    /// Cuts every connection.
    fn cut(&self) {
        for stream in self.held.now.lock().expect("a lock").open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Held {
    fn carry(&self, mut client: TcpStream) {
        let target = self.now.lock().expect("a lock").target.clone();
        // Where nothing listens the client finds its connection closed.
        let Ok(mut server) = TcpStream::connect(target) else { return };
        let (mut back, mut to_client) =
            (server.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
        let handles = [&client, &server].map(|it| it.try_clone().expect("a handle"));
        self.now.lock().expect("a lock").open.extend(handles);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut to_client);
            let _ = to_client.shutdown(Shutdown::Both);
        });
        let mut buffer = vec![0; 16 * KIB];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            let now = self.now.lock().expect("a lock");
            let mut now = self
                .changed
                .wait_while(now, |flow| flow.passed + count > flow.limit)
                .expect("a lock");
            now.passed += count;
            drop(now);
            if server.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }
}

/// A client that was held in the middle of a file, with some of its parts acknowledged.
fn held_in_the_middle(server: &Server, gate: &Gate, path: &Path) -> Child {
    let mut command = ingest(&gate.address, &server.token, &["--json"], &[path]);
    let child = command.spawn().expect("the binary runs");
    wait_for("some parts", || (received(server) >= 3 * PART).then_some(()));
    child
}

/// A directory becomes videos that can be played, each once; hidden files are left out. The same
/// command again finds that all is there.
#[test]
fn a_directory_becomes_videos() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let films = [("a.mp4", "faststart.mp4"), ("b/c.mkv", "vfr.mkv"), ("b/d.webm", "vp9.webm")];
    for (name, from) in films {
        file(directory.path(), name, &std::fs::read(media(from)).expect("it was generated"));
    }
    file(directory.path(), ".hidden.mp4", b"nothing");
    let args =
        ["--wait", "--tag", "sea", "--tag", "sun", "--visibility", "public", "--session", "s"];
    let output = run(&server, &args, &[directory.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains(".hidden.mp4: skipped"), "{}", stderr(&output));
    let mut lines = results(&output);
    lines.sort_by(|one, other| one.1.cmp(&other.1));
    let paths: Vec<_> = lines.iter().map(|(_, path)| path.clone()).collect();
    let expected = films.map(|(name, _)| directory.path().join(name).display().to_string());
    assert_eq!(paths, expected);
    for ((video, path), (_, from)) in lines.iter().zip(films) {
        let it = server.json(&format!("/api/videos/{video}"));
        assert_eq!((&it["playable"], &it["sessionId"]), (&true.into(), &"s".into()), "{path}");
        assert_eq!((&it["tags"][1], &it["visibility"]), (&"sun".into(), &"public".into()));
        let sum = sha256(&std::fs::read(media(from)).expect("it was generated"));
        assert_eq!(original(&server, video), sum, "{path}");
        assert_eq!(it["sha256"], sum, "the server has read all of it");
    }
    let again = run(&server, &[], &[directory.path()]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let mut found = results(&again);
    found.sort_by(|one, other| one.1.cmp(&other.1));
    assert_eq!(found, lines);
    assert_eq!(videos(&server), 3);
}

/// Killed in the middle and run again: nothing that was acknowledged is sent a second time, and
/// the file is right.
#[test]
fn a_killed_client_goes_on() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let bytes = pattern(20 * PART + 77);
    let path = file(directory.path(), "film.mp4", &bytes);
    let gate = Gate::new(&server, 6 * PART + PART / 2);
    let mut child = held_in_the_middle(&server, &gate, &path);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    gate.cut();
    let before = received(&server);
    let (passed, left) = (gate.passed(), bytes.len() - before);
    gate.let_through(usize::MAX);
    let again = ingest(&gate.address, &server.token, &["--json"], &[&path]).output();
    let again = again.expect("the binary runs");
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(stderr(&again).contains("goes on"), "{}", stderr(&again));
    let line = json_line(&again);
    let sent = line["sentBytes"].as_u64().expect("a number") as usize;
    assert!(sent <= left, "{sent} were sent, {left} were missing");
    // Besides the bytes: 20 heads, and what is said at the beginning and the end.
    assert!(gate.passed() - passed <= left + 64 * KIB, "{} of {left}", gate.passed() - passed);
    let video = line["videoId"].as_str().expect("an id");
    assert_eq!(original(&server, video), sha256(&bytes));
    assert_eq!((line["sha256"].as_str(), videos(&server)), (Some(sha256(&bytes).as_str()), 1));
}

/// A film with its index at the end can be played before all of it was sent: the index went ahead.
#[test]
fn an_index_at_the_end_goes_ahead() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let film = index_last();
    let path = file(directory.path(), "film.mp4", &film);
    let gate = Gate::new(&server, film.len() * 6 / 10);
    let mut child = held_in_the_middle(&server, &gate, &path);
    let video = server.json("/api/videos")["items"][0]["id"].as_str().expect("one").to_owned();
    playable(&server, &video, 1);
    gate.let_through(usize::MAX);
    assert!(child.wait().expect("it ends").success());
    assert_right(&server, &video);
}

/// A file that was changed between two runs is begun anew; the halves never mix.
#[test]
fn a_changed_file_begins_anew() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let mut bytes = pattern(9 * PART);
    let path = file(directory.path(), "film.mp4", &bytes);
    let gate = Gate::new(&server, 6 * PART);
    let mut child = held_in_the_middle(&server, &gate, &path);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    gate.cut();
    // Each part has other bytes, the size stays.
    bytes.iter_mut().step_by(PART).for_each(|byte| *byte ^= 1);
    file(directory.path(), "film.mp4", &bytes);
    let again = run(&server, &["--json"], &[&path]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(stderr(&again).contains("other bytes"), "{}", stderr(&again));
    let line = json_line(&again);
    assert_eq!(line["sentBytes"], bytes.len());
    assert_eq!(original(&server, line["videoId"].as_str().expect("an id")), sha256(&bytes));
}

/// A file that is changed while it is being sent is no video: the upload is ended and said so.
#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(directory.path(), "film.mp4", &pattern(9 * PART));
    let gate = Gate::new(&server, 6 * PART);
    let child = held_in_the_middle(&server, &gate, &path);
    let mut open = std::fs::OpenOptions::new().append(true).open(&path).expect("the file");
    open.write_all(b"more").expect("written");
    gate.let_through(usize::MAX);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("was changed"), "{}", stderr(&output));
    assert_eq!(json_line(&output)["error"]["code"], "changed");
    assert_eq!((videos(&server), received(&server)), (0, 0), "nothing is left of it");
}

/// The server is killed in the middle and comes back: the client waits, says so, and ends well.
#[test]
fn a_killed_server_is_waited_for() {
    let mut server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let bytes = pattern(12 * PART + 5);
    let path = file(directory.path(), "film.mp4", &bytes);
    let gate = Gate::new(&server, 6 * PART);
    let mut child = held_in_the_middle(&server, &gate, &path);
    server.kill();
    gate.cut();
    gate.let_through(usize::MAX);
    let (told, mut text) = (child.stderr.take().expect("piped"), String::new());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(told));
    let waits = lines.by_ref().map(|line| line.expect("text"));
    let mut waits = waits.inspect(|line| text.push_str(line));
    assert!(waits.any(|line| line.contains("trying again")), "it says what it waits for");
    server.restart();
    gate.lead_to(&server);
    assert!(waits.any(|line| line.contains("answers again")), "and that it is over");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let video = json_line(&output)["videoId"].as_str().expect("an id").to_owned();
    assert_eq!(original(&server, &video), sha256(&bytes));
    assert_eq!(videos(&server), 1);
}

/// Ctrl-C ends with 130 and says how to go on.
#[test]
fn an_interrupt_says_how_to_go_on() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(directory.path(), "film.mp4", &pattern(9 * PART));
    let gate = Gate::new(&server, 6 * PART);
    let child = held_in_the_middle(&server, &gate, &path);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130));
    assert!(stderr(&output).contains("the same command goes on"), "{}", stderr(&output));
    assert_eq!(output.stdout, b"");
    gate.cut();
}

/// Files that can't be sent or played each have their words; the others go on, the end is 1.
#[test]
fn what_fails_is_told_and_the_rest_goes_on() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__MAX_SIZE", "6 MB")]);
    let directory = tempfile::tempdir().expect("a directory");
    let film = std::fs::read(media("faststart.mp4")).expect("it was generated");
    assert!(film.len() < 6_000_000, "{}", film.len());
    let good = file(directory.path(), "good.mp4", &film);
    let noise = file(directory.path(), "noise.mp4", &pattern(70_000));
    let empty = file(directory.path(), "empty.mp4", b"");
    let large = file(directory.path(), "large.mp4", &pattern(6_000_001));
    let none = directory.path().join("none.mp4");
    let paths: [&Path; 5] = [&noise, &empty, &large, &none, &good];
    let output = run(&server, &["--wait"], &paths);
    assert_eq!(output.status.code(), Some(1));
    let lines = results(&output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].1, good.display().to_string());
    let told = stderr(&output);
    let list = server.json("/api/videos?q=noise");
    let error = list["items"][0]["error"]["detail"].as_str().expect("a sentence").to_owned();
    for words in [&error, "empty.mp4: it is empty", "6000000 bytes", "none.mp4: it can't be read"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.contains("4 of 5 files didn't work"), "{told}");
    let output = run(&server, &["--wait", "--json"], &paths[..4]);
    let text = String::from_utf8(output.stdout).expect("text");
    let mut codes: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| line["error"]["code"].as_str().expect("a code").to_owned())
        .collect();
    codes.sort();
    assert_eq!(codes, ["empty", "unreadable", "unsupported-media", "upload-too-large"]);
}

/// A large file that the server refuses by its first bytes, and doesn't read on, is told by the
/// server's sentence, whichever of its parts hears of it first; nothing is sent a second time.
#[test]
fn a_refused_kind_is_told_by_the_server() {
    let server = Server::with(&[
        ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
        ("SLIPWAY_UPLOAD__CHUNK_SIZE", "16 MiB"),
    ]);
    let directory = tempfile::tempdir().expect("a directory");
    let mut bytes = pattern(48 << 20);
    bytes[..9].copy_from_slice(b"%PDF-1.7\n");
    let path = file(directory.path(), "film.mp4", &bytes);
    for parallel in ["1", "3"] {
        let output = run(&server, &["--json", "--parallel", parallel], &[&path]);
        assert_eq!(output.status.code(), Some(1));
        let error = &json_line(&output)["error"];
        assert_eq!(error["code"], "unsupported-media", "{error}");
        let told = stderr(&output);
        assert!(told.contains("application/pdf, which this server doesn't take"), "{told}");
        assert!(!told.contains("begins again"), "{told}");
        assert_eq!((videos(&server), received(&server)), (0, 0), "nothing is left of it");
    }
}

/// Files of one name and size in two directories don't get into each other's way.
#[test]
fn namesakes_stay_apart() {
    let server = server();
    let directory = tempfile::tempdir().expect("a directory");
    let (one, mut other) = (pattern(3 * PART), pattern(3 * PART));
    // The first part is the same, so that it could be taken for the same file.
    other[PART + 1] ^= 1;
    let paths =
        [file(directory.path(), "a/x.mp4", &one), file(directory.path(), "b/x.mp4", &other)];
    let mut before = Vec::new();
    for _ in 0..2 {
        let output = run(&server, &[], &[directory.path()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mut lines = results(&output);
        lines.sort_by(|one, other| one.1.cmp(&other.1));
        for ((video, path), (expected, bytes)) in lines.iter().zip(paths.iter().zip([&one, &other]))
        {
            assert_eq!(
                (path, &original(&server, video)),
                (&expected.display().to_string(), &sha256(bytes))
            );
        }
        assert!(before.is_empty() || before == lines, "the same videos");
        before = lines;
    }
    let output = run(&server, &["--again", "--title", "Twice"], &[&paths[0]]);
    assert_eq!((output.status.code(), videos(&server)), (Some(0), 3));
    let video = &results(&output)[0].0;
    assert_eq!(server.json(&format!("/api/videos/{video}"))["title"], "Twice");
}

/// The server and the token come from the configuration, from a file or from the environment;
/// what is wrong with them is one line.
#[test]
fn servers_and_tokens() {
    let server = Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(directory.path(), "a.mp4", &pattern(1_000));
    let own = |args: &[&str]| {
        let mut command = Command::new(program());
        command.arg("ingest").args(args).arg(&path).arg("--data-dir").arg(&server.data);
        command.env_remove("SLIPWAY_TOKEN").output().expect("the binary runs")
    };
    let listen = server.address.trim_start_matches("http://");
    let output = own(&["--listen", listen]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let token = file(directory.path(), "token", server.token.as_bytes()).display().to_string();
    let output = own(&["--server", &server.address, "--token-file", &token]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let bare = own(&["--server", &server.address]);
    let viewer = server.token_of("viewer", &[]);
    let with = |address: &str, token: &str, args: &[&str]| {
        ingest(address, token, args, &[&path]).output().expect("the binary runs")
    };
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let (good, address) = (server.token.as_str(), server.address.as_str());
    let cases = [
        (bare, 1, "there is no token"),
        (with(address, "slw_wrong", &[]), 1, "isn't known"),
        (with(address, viewer.trim(), &[]), 1, "`uploader`"),
        (with(&nobody, good, &["--retry-for", "1s"]), 1, "nothing listens"),
        (with(&address.replace("http:", "https:"), good, &[]), 1, "no secure connection"),
        (with("unix:/run/slipway.sock", good, &[]), 2, "unix socket"),
        (with(address, good, &["--retry-for", "soon"]), 2, "--retry-for"),
        (with(address, good, &["--token-file", "/none"]), 2, "--token-file /none"),
        (run(&server, &["--title", "x"], &[&path, Path::new(&token)]), 2, "--title"),
        (own(&["--listen", "unix:/run/slipway.sock"]), 2, "--server"),
    ];
    for (output, code, words) in cases {
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{words}: {told}");
        // Before it gives up on a server it says what it waits for.
        let lines = told.lines().filter(|line| !line.contains("trying again")).count();
        assert!(told.contains(words) && lines == 1, "{words}: {told}");
        assert_eq!(output.stdout, b"");
    }
    assert_eq!(videos(&server), 1, "nothing was sent");
}
