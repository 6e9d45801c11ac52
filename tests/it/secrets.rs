//! What opens doors stays out of logs, out of what commands print, and out of core dumps.

use crate::harness::{Answer, Server, base64, media, program, raw, request, wait_for};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything secret that a run has used, each with its name.
#[derive(Default)]
struct Used(Vec<(&'static str, Vec<u8>)>);

impl Used {
    fn add(&mut self, what: &'static str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref().to_vec();
        assert!(secret.len() >= 12, "{what}: too short to be found");
        self.0.push((what, secret));
    }

    /// Looks for a part of each in a text.
    fn assert_absent(&self, place: &str, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        for (what, secret) in &self.0 {
            let secret = std::str::from_utf8(secret).expect("ASCII");
            let from = secret.len() / 4;
            let part = &secret[from..from + 12.min(secret.len() / 2)];
            let found = text.lines().find(|line| line.contains(part));
            assert_eq!(found, None, "{place} holds {what}");
        }
    }
}

const JWT_SECRET: &str = "of the app: Quiquek9Ohthoh5aigheiTh8ohf2";
const PASSWORD: &str = "correct-Yei6aiw0ja-staple";
const WRONG_PASSWORD: &str = "wrong-ohGhai7Eeph2-staple";

fn jwt() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"sub": "jay", "role": "uploader", "exp": 4_000_000_000_u64});
    let message = format!("{}.{}", part(json!({"alg": "HS256"})), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(JWT_SECRET.as_bytes()).expect("a key");
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
}

/// A server that logs all there is, its settings, and where it writes to.
struct Watched {
    server: Server,
    settings: Vec<(&'static str, String)>,
    directory: tempfile::TempDir,
}

impl Watched {
    fn start(used: &mut Used) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name);
        write(&place("jwt"), JWT_SECRET);
        used.add("the app's secret", JWT_SECRET);
        let hook = b"Aechahfoozoh3Ahthaeng7aeshie";
        let hook_text = format!("whsec_{}", STANDARD.encode(hook));
        used.add("a webhook's secret", &hook_text[6..]);
        used.add("a webhook's key", hook);
        let key = Command::new(program()).args(["originals", "new-key"]).output().expect("it runs");
        let key = String::from_utf8(key.stdout).expect("text");
        write(&place("originals"), &key);
        used.add("the key of originals", key.trim());
        let receiver = "http://127.0.0.1:9/hook";
        let settings = vec![
            ("SLIPWAY_LOG", "trace".to_owned()),
            ("SLIPWAY_AUTH__MODE", "jwt".to_owned()),
            ("SLIPWAY_AUTH__JWT__KEY_FILE", place("jwt").display().to_string()),
            ("SLIPWAY_ORIGINALS__ENCRYPTION", "xchacha20-poly1305".to_owned()),
            ("SLIPWAY_ORIGINALS__KEY_FILE", place("originals").display().to_string()),
            ("SLIPWAY_UPLOAD__IDLE_TIMEOUT", "1s".to_owned()),
            ("SLIPWAY_HOOKS__ALLOW_PRIVATE", "true".to_owned()),
            (
                "SLIPWAY_HOOKS__WEBHOOKS",
                format!("[{{url = \"{receiver}\", secret = \"{hook_text}\"}}]"),
            ),
        ];
        let (log, out) = (place("log"), place("out"));
        let mut all: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        all.push(("LOG", log.to_str().expect("text")));
        all.push(("OUT", out.to_str().expect("text")));
        let line = "exec 2>\"$LOG\" > >(tee \"$OUT\"); exec \"$0\" \"$@\"";
        let server = Server::through(&["bash", "-c", line], &place("data"), &all);
        Self { server, settings, directory }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args).env("SLIPWAY_DATA_DIR", &self.server.data);
        command.envs(self.settings.iter().map(|(k, v)| (*k, v)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command with something on its input; returns what it printed, and adds all of what it
    /// said to `said`.
    fn run(&self, args: &[&str], input: &str, said: &mut Vec<u8>) -> String {
        let mut child = self.command(args).spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        said.extend(&output.stderr);
        String::from_utf8(output.stdout).expect("text")
    }

    fn ask(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let (method, path) = line.split_once(' ').expect("two words");
        request(&self.server.address, method, path, headers, body)
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.directory.path().join("log")).expect("a log")
    }
}

fn cookies(answer: &Answer) -> Vec<String> {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pairs = set.filter_map(|(_, value)| value.split(';').next());
    pairs.map(str::to_owned).collect()
}

/// Signs in by link, token and password, rightly and wrongly.
fn sign_in(watched: &Watched, used: &mut Used, said: &mut Vec<u8>) {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let opened = |used: &mut Used, body: String| {
        let answer = watched.ask("POST /login", &[form], body.as_bytes());
        assert_eq!(answer.status, 303, "{}", answer.text());
        for cookie in cookies(&answer) {
            used.add("a cookie", cookie.split_once('=').expect("a pair").1);
            let headers = [("Cookie", cookie.as_str())];
            watched.ask("GET /api/session", &headers, b"");
        }
        answer
    };
    let link = watched.run(&["login-link"], "", said);
    let code = link.trim().split_once("code=").expect("a code").1;
    used.add("a login link's code", code);
    assert_eq!(watched.ask(&format!("GET /login?code={code}"), &[], b"").status, 200);
    opened(used, format!("code={code}"));
    opened(used, format!("code={code}"));
    opened(used, format!("token={}", watched.server.token));
    watched.run(&["user", "create", "ann", "--role", "uploader"], PASSWORD, said);
    used.add("a password", PASSWORD);
    used.add("a wrong password", WRONG_PASSWORD);
    let answer = opened(used, format!("name=ann&password={PASSWORD}"));
    assert_eq!(cookies(&answer).len(), 2);
    opened(used, format!("name=ann&password={WRONG_PASSWORD}"));
}

/// Uploads by token, JWT, grant and signed part, of which one stalls and so fails.
fn upload(watched: &Watched, used: &mut Used, said: &mut Vec<u8>) -> String {
    let film = fs::read(media("silent.mp4")).expect("generated");
    let made = ["token", "create", "--role", "uploader", "--user", "bob"];
    let token = watched.run(&made, "", said);
    let token = token.trim();
    used.add("a token", &token[4..]);
    let jwt = jwt();
    used.add("a JWT's proof", jwt.rsplit('.').next().expect("three parts"));
    let length = film.len().to_string();
    let mut video = String::new();
    for credential in [token, &jwt] {
        let bearer = format!("Bearer {credential}");
        let metadata = format!("filename {}", base64("a.mp4"));
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", &length),
            ("Upload-Metadata", &metadata),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        let answer = watched.ask("POST /files", &headers, &film);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.header("slipway-video").clone_into(&mut video);
    }
    let json_kind = ("Content-Type", "application/json");
    let admin = format!("Bearer {}", watched.server.token);
    let bearer = ("Authorization", admin.as_str());
    let said = json!({"filename": "b.mp4", "size": 5}).to_string();
    let plan =
        watched.ask("POST /api/videos/upload/initiate", &[bearer, json_kind], said.as_bytes());
    let plan = plan.json();
    let url = plan["partUrls"][0]["url"].as_str().expect("an address");
    let signature = url.rsplit('=').next().expect("signed");
    used.add("a signed part's proof", signature);
    let part = watched.ask(&format!("PUT {url}"), &[], b"hello");
    assert_eq!(part.status, 200, "{}", part.text());

    let wanted = json!({"owner": "gus", "expiresIn": 600, "callback": "http://127.0.0.1:9/c"});
    let grant =
        watched.ask("POST /api/upload-grants", &[bearer, json_kind], wanted.to_string().as_bytes());
    assert_eq!(grant.status, 201, "{}", grant.text());
    let grant = grant.json();
    used.add("a grant", &grant["grant"].as_str().expect("one")[4..]);
    if let Some(secret) = grant["callbackSecret"].as_str() {
        used.add("a callback's secret", &secret[6..]);
    }
    let path = format!("/g/{}/files", grant["grant"].as_str().expect("one"));
    let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "100")];
    let created = watched.ask(&format!("POST {path}"), &headers, b"");
    assert_eq!(created.status, 201, "{}", created.text());
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 100\r\n\r\n",
        created.header("location")
    );
    let mut stalled = raw(&watched.server.address, &head, b"hel");
    let mut answer = [0; 12];
    stalled.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 503", "a failure is logged with its address");
    video
}

/// Plays with a playback token, and with ones that aren't right, in every place for them.
fn play(watched: &Watched, video: &str, used: &mut Used) {
    let admin = format!("Bearer {}", watched.server.token);
    let headers = [("Authorization", admin.as_str()), ("Content-Type", "application/json")];
    let line = format!("POST /api/videos/{video}/playback-token");
    let made = watched.ask(&line, &headers, b"{\"expiresIn\": 600}");
    assert_eq!(made.status, 200, "{}", made.text());
    let token = made.json()["token"].as_str().expect("one").to_owned();
    used.add("a playback token", &token[4..]);
    let bent = format!("{}{}", &token[..token.len() - 12], "AAAAAAAAAAAA");
    for token in [&token, &bent] {
        for path in [
            format!("/media/s/{token}/{video}/master.m3u8"),
            format!("/media/s/{token}/{video}/..%2fnothing"),
            format!("/watch/{video}?token={token}"),
            format!("/embed/{video}?token={token}"),
            format!("/nothing/{token}?access_token={token}"),
        ] {
            let answer = watched.ask(&format!("GET {path}"), &[], b"");
            assert!(answer.status < 500, "{path}: {}", answer.status);
        }
    }
}

/// A run that uses every kind of secret there is leaves none of them, and no part of one, in the
/// log at its finest, in what the server and its commands print, or in the printed configuration.
#[test]
fn no_secret_is_ever_logged() {
    let (mut used, mut said) = (Used::default(), Vec::new());
    let watched = Watched::start(&mut used);
    used.add("the admin's token", &watched.server.token[4..]);
    let link = watched.server.login.clone().expect("a link");
    let code = link.split_once("code=").expect("a code").1.to_owned();
    sign_in(&watched, &mut used, &mut said);
    let video = upload(&watched, &mut used, &mut said);
    play(&watched, &video, &mut used);
    watched.server.settled(&video);
    let tested = watched.server.send("POST", "/api/admin/webhooks/test", &[], b"");
    assert!(tested.status < 300, "{}", tested.text());
    wait_for("a delivery that fails", || {
        String::from_utf8_lossy(&watched.log()).contains("127.0.0.1:9").then_some(())
    });
    let config = watched.run(&["check-config"], "", &mut said);
    assert!(config.contains("hooks.webhooks"), "{config}");
    let (out, pid) = (watched.directory.path().join("out"), watched.server.pid());
    let args = fs::read(format!("/proc/{pid}/cmdline")).expect("it runs");
    let mut watched = watched;
    watched.server.terminate();
    let log = watched.log();
    let text = String::from_utf8_lossy(&log);
    for level in ["TRACE", "DEBUG", " INFO"] {
        assert!(text.contains(level), "the log has nothing at {level}");
    }
    println!("{} secrets, {} bytes of log", used.0.len(), log.len());
    // A person's standard output gets the first link, and only that.
    let out = fs::read(out).expect("it was printed");
    used.assert_absent("standard output", &out);
    used.add("the first link's code", &code);
    for (place, text) in [
        ("the log", &log),
        ("the printed configuration", &config.into_bytes()),
        ("what commands say", &said),
        ("the command line", &args),
    ] {
        used.assert_absent(place, text);
    }
}

/// The server asks for no core dump and gets none, whatever its shell allows, and other processes
/// of its user have no look at its memory.
#[test]
fn no_core_dump_holds_secrets() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path().join("here");
    fs::create_dir(&here).expect("a directory");
    fs::set_permissions(&here, fs::Permissions::from_mode(0o777)).expect("ours");
    let line = "ulimit -c unlimited; cd \"$HERE\"; exec \"$0\" \"$@\"";
    let settings = [("HERE", here.to_str().expect("text"))];
    let mut server =
        Server::through(&["sh", "-c", line], &directory.path().join("data"), &settings);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("one");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let pid = Pid::from_raw(server.pid().cast_signed()).expect("a process");
    kill_process(pid, Signal::ABORT).expect("it runs");
    assert_eq!(server.ended(), None, "a signal ended it");
    let left: Vec<PathBuf> =
        fs::read_dir(&here).expect("ours").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    drop(server);
    is_closed_to_its_user();
}

/// What isn't to be dumped belongs to root in /proc, whoever runs it.
fn is_closed_to_its_user() {
    const SOMEBODY: u32 = 12_345;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    // It waits for a password on its input, as long as the test likes.
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    let program_here = directory.path().join("slipway");
    fs::copy(program(), &program_here).expect("copied");
    let mut command = Command::new(&program_here);
    command.args(["user", "create", "ann", "--role", "viewer"]).uid(SOMEBODY).gid(SOMEBODY);
    command.env("SLIPWAY_DATA_DIR", directory.path().join("data")).current_dir("/");
    let mut waiting = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it runs");
    let environ = format!("/proc/{}/environ", waiting.id());
    wait_for("a process that is closed to its user", || {
        (fs::metadata(&environ).ok()?.uid() == 0).then_some(())
    });
    waiting.kill().expect("it waits");
    waiting.wait().expect("it ends");
}
