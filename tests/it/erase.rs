//! Somebody is erased: no byte of theirs is left in the data directory, whatever dies meanwhile,
//! and everybody else has what they had.

use crate::at_rest::Keys;
use crate::harness::{Answer, Server, base64, media, program, raw, sha256, wait_for};
use serde_json::{Value, json};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const JSON: (&str, &str) = ("Content-Type", "application/json");
pub const PASSWORD: &str = "correct-horse-battery";
/// Bytes of an upload that stays open.
pub const OPEN_BYTES: usize = 100_000;

/// Text that is nowhere else.
fn mark(what: &str) -> String {
    format!("{what}{:016x}", RandomState::new().hash_one(what))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Somebody with one of everything.
pub struct Person {
    pub name: String,
    address: &'static str,
    pub token: String,
    pub cookie: String,
    pub ready: String,
    pub trashed: String,
    pub film: Vec<u8>,
    pub open: String,
    /// Words that only they have used, and ids in text.
    pub words: Vec<String>,
    /// Ids and hashes, as the database has them in keys.
    bytes: Vec<Vec<u8>>,
}

/// Runs a command on a data directory.
pub fn command(data: &Path, args: &[&str], env: &[(&str, &str)], typed: &str) -> Output {
    let mut child = Command::new(program())
        .args(args)
        .env("SLIPWAY_DATA_DIR", data)
        .env("SLIPWAY_LISTEN", "127.0.0.1:0")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // A command that wants nothing may have ended by now.
    let _ = child.stdin.take().expect("piped").write_all(typed.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// What a command that has worked said.
pub fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Erases and returns what is told.
pub fn erase(data: &Path, owner: &str, more: &[&str]) -> Value {
    let args = [&["user", "erase", owner, "--json"], more].concat();
    let said = good(&command(data, &args, &[], ""));
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("JSON, not {said}"))
}

impl Person {
    /// Makes an account, a token, films, an open upload, a grant and all that comes with them.
    pub fn arrive(server: &Server, name: &str, address: &'static str, media_file: &str) -> Self {
        let name = mark(name);
        let token_name = mark("token");
        let create = ["user", "create", &name, "--role", "uploader"];
        good(&command(&server.data, &create, &[], PASSWORD));
        let token = server.token_of("uploader", &["--user", &name, "--name", &token_name]);
        let mut it = Self {
            address,
            cookie: String::new(),
            ready: String::new(),
            trashed: String::new(),
            // What nobody reads of the film: a box that is free.
            film: std::fs::read(media(media_file)).expect("it was generated"),
            open: String::new(),
            words: vec![name.clone(), token_name, address.to_owned(), hash_of(&token)],
            bytes: vec![unhex(&hash_of(&token))],
            name,
            token,
        };
        let inside = it.word("inside");
        it.film.extend((8 + inside.len() as u32).to_be_bytes());
        it.film.extend(b"free");
        it.film.extend(inside.as_bytes());
        it.log_in(server);
        it.ready = it.bring(server);
        it.trashed = it.bring(server);
        let deleted = it.ask(server, "DELETE", &format!("/api/videos/{}", it.trashed), &[], b"");
        assert_eq!(deleted.status, 204, "{}", deleted.text());
        it.caption(server);
        it.open(server);
        it.grant(server);
        let listed = command(&server.data, &["token", "list", "--json"], &[], "");
        let tokens: Value = serde_json::from_str(&good(&listed)).expect("JSON");
        let theirs = tokens.as_array().expect("a list").iter();
        let theirs: Vec<String> = theirs
            .filter(|token| token["owner"] == it.name.as_str())
            .map(|token| token["id"].as_str().expect("an id").to_owned())
            .collect();
        theirs.iter().for_each(|id| it.id(id));
        it
    }

    fn word(&mut self, what: &str) -> String {
        let word = mark(what);
        self.words.push(word.clone());
        word
    }

    fn id(&mut self, id: &str) {
        self.words.push(id.to_owned());
        self.words.push(id.replace('-', ""));
        self.bytes.push(unhex(&id.replace('-', "")));
    }

    pub fn ask(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let mut all =
            vec![("Authorization", authorization.as_str()), ("X-Forwarded-For", self.address)];
        all.extend_from_slice(headers);
        server.send_as_anyone(method, path, &all, body)
    }

    fn try_log_in(&self, server: &Server) -> Option<String> {
        let body = format!("name={}&password={PASSWORD}", self.name);
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("X-Forwarded-For", self.address),
        ];
        let answer = server.send_as_anyone("POST", "/login", &headers, body.as_bytes());
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        (!answer.header("location").contains("error=")).then_some(cookie)
    }

    fn log_in(&mut self, server: &Server) {
        self.cookie = self.try_log_in(server).expect("signed in");
    }

    pub fn create(&mut self, server: &Server, length: usize) -> (String, String) {
        let words = ["filename", "title", "description", "tags", "sessionId", "whatever"];
        let mut pairs = Vec::new();
        for key in words {
            let word = mark(key);
            let value = if key == "filename" { format!("{word}.mp4") } else { word.clone() };
            // Nothing is made of it.
            if key != "whatever" {
                self.words.push(word);
            }
            // The header is kept as it came.
            self.words.push(base64(&value));
            pairs.push(format!("{key} {}", base64(&value)));
        }
        let (length, metadata) = (length.to_string(), pairs.join(","));
        let headers =
            [TUS, ("Upload-Length", length.as_str()), ("Upload-Metadata", metadata.as_str())];
        let answer = self.ask(server, "POST", "/files", &headers, b"");
        assert_eq!(answer.status, 201, "{}", answer.text());
        let (path, video) = (answer.header("location"), answer.header("slipway-video"));
        self.id(path.trim_start_matches("/files/"));
        self.id(video);
        (path.to_owned(), video.to_owned())
    }

    pub fn patch(&self, server: &Server, path: &str, at: usize, body: &[u8]) -> Answer {
        let at = at.to_string();
        let kind = ("Content-Type", "application/offset+octet-stream");
        self.ask(server, "PATCH", path, &[TUS, ("Upload-Offset", at.as_str()), kind], body)
    }

    /// Brings the film, and waits until it plays.
    fn bring(&mut self, server: &Server) -> String {
        let (path, video) = self.create(server, self.film.len());
        let answer = self.patch(server, &path, 0, &self.film);
        assert_eq!(answer.status, 204, "{}", answer.text());
        assert_eq!(server.settled(&video)["state"], "ready");
        video
    }

    fn caption(&mut self, server: &Server) {
        let (line, label) = (self.word("line"), self.word("label"));
        let text = format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{line}\n");
        let path = format!("/api/videos/{}/captions/en?label={label}", self.ready);
        let answer = self.ask(server, "PUT", &path, &[], text.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn open(&mut self, server: &Server) {
        let (path, _) = self.create(server, OPEN_BYTES);
        let half = self.half();
        assert_eq!(self.patch(server, &path, 0, &half).status, 204);
        self.open = path;
    }

    /// The first half of the open upload.
    fn half(&mut self) -> Vec<u8> {
        let word = self.word("half");
        word.into_bytes().into_iter().cycle().take(OPEN_BYTES / 2).collect()
    }

    fn grant(&mut self, server: &Server) {
        let (title, path) = (self.word("granted"), self.word("callback"));
        let wanted = json!({
            "expiresIn": 3600, "metadata": {"title": title},
            "callback": format!("https://app.example/{path}"),
        });
        let body = wanted.to_string();
        let made = self.ask(server, "POST", "/api/upload-grants", &[JSON], body.as_bytes());
        assert_eq!(made.status, 201, "{}", made.text());
        self.id(made.json()["id"].as_str().expect("an id"));
    }

    /// Everything of theirs can be used as ever.
    pub fn has_everything(&self, server: &Server) {
        let list = self.ask(server, "GET", "/api/videos", &[], b"").json();
        let ids: Vec<&str> = list["items"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|it| it["id"].as_str())
            .collect();
        assert!(ids.contains(&self.ready.as_str()), "{list}");
        let master = format!("/media/{}/master.m3u8", self.ready);
        assert_eq!(self.ask(server, "GET", &master, &[], b"").status, 200);
        let captions = format!("/media/{}/captions/en.vtt", self.ready);
        assert_eq!(self.ask(server, "GET", &captions, &[], b"").status, 200);
        let original = format!("/api/videos/{}/original", self.ready);
        let original = self.ask(server, "GET", &original, &[], b"");
        assert_eq!((original.status, sha256(&original.body)), (200, sha256(&self.film)));
        let session = [("Cookie", self.cookie.as_str())];
        assert_eq!(server.send_as_anyone("GET", "/api/videos", &session, b"").status, 200);
        assert!(self.try_log_in(server).is_some());
        let grants = self.ask(server, "GET", "/api/upload-grants", &[], b"").json();
        assert_eq!(grants["items"].as_array().map(Vec::len), Some(1), "{grants}");
        let look = self.ask(server, "HEAD", &self.open, &[TUS], b"");
        assert_eq!(look.header("upload-offset"), (OPEN_BYTES / 2).to_string());
    }

    /// Nobody is let in as them, and nobody finds anything of theirs.
    pub fn has_nothing(&self, server: &Server) {
        assert_eq!(self.ask(server, "GET", "/api/videos", &[], b"").status, 401);
        let session = [("Cookie", self.cookie.as_str())];
        assert_eq!(server.send_as_anyone("GET", "/api/videos", &session, b"").status, 401);
        assert_eq!(self.try_log_in(server), None);
        for id in [&self.ready, &self.trashed] {
            let path = format!("/api/videos/{id}");
            assert_eq!(server.send("GET", &path, &[], b"").status, 404);
        }
        let media = format!("/media/{}/master.m3u8", self.ready);
        assert_eq!(server.send("GET", &media, &[], b"").status, 404);
        let look = server.send("HEAD", &self.open, &[TUS], b"");
        assert!(matches!(look.status, 404 | 410), "{}", look.status);
    }

    /// All forms in which something of theirs may be written.
    pub fn marks(&self) -> Vec<Vec<u8>> {
        let words = self.words.iter().map(|word| word.as_bytes().to_vec());
        let escaped = self.words.iter().map(|word| {
            word.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<String>()
        });
        let in_hex = self.words.iter().map(|word| hex(word.as_bytes()));
        let bytes = self.bytes.iter().cloned();
        let text = escaped.chain(in_hex).map(String::into_bytes);
        words.chain(text).chain(bytes).collect()
    }
}

/// How a token is kept.
pub fn hash_of(token: &str) -> String {
    sha256(token.as_bytes())
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("hex") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Every file below a directory, with its bytes; what is packed is unpacked as well.
fn all_files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            found.extend(all_files(&path));
        } else if kind.is_file() {
            // One may go while it is looked at.
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            if path.extension().is_some_and(|it| it == "gz") {
                let mut text = Vec::new();
                let packed = bytes.clone();
                let mut unpacking = flate2::read::MultiGzDecoder::new(packed.as_slice());
                unpacking.read_to_end(&mut text).expect("packed");
                bytes.extend(text);
            }
            if path.ends_with("reserve") {
                assert!(bytes.chunks(4_096).all(|some| *some == [0; 4_096][..some.len()]));
                bytes.clear();
            }
            let name = path.to_string_lossy().into_owned().into_bytes();
            bytes.extend(name);
            found.push((path, bytes));
        }
    }
    found
}

/// Returns which marks are found in some bytes, as often as they are.
pub fn marks_in(bytes: &[u8], marks: &[Vec<u8>]) -> Vec<usize> {
    let mut begins = vec![false; 1 << 16];
    let two = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    marks.iter().for_each(|mark| begins[two(mark)] = true);
    let mut found = Vec::new();
    for at in 0..bytes.len().saturating_sub(1) {
        if begins[two(&bytes[at..])] {
            let here = marks.iter().enumerate();
            found.extend(here.filter(|(_, mark)| bytes[at..].starts_with(mark)).map(|(it, _)| it));
        }
    }
    found
}

/// Returns which marks are found below a directory, and where.
pub fn scan(directory: &Path, marks: &[Vec<u8>]) -> Vec<(usize, PathBuf)> {
    let files = all_files(directory).into_iter();
    let found = files.flat_map(|(path, bytes)| {
        marks_in(&bytes, marks).into_iter().map(move |number| (number, path.clone()))
    });
    found.collect()
}

fn assert_clean(directory: &Path, who: &Person) {
    let marks = who.marks();
    let found = scan(directory, &marks);
    let said: Vec<_> = found
        .iter()
        .map(|(number, path)| (String::from_utf8_lossy(&marks[*number]).into_owned(), path))
        .collect();
    assert!(said.is_empty(), "{said:?}");
}

/// Each thing is somewhere, so that a scan that finds nothing says something. What was sent as a
/// film is encrypted.
fn assert_all_there(directory: &Path, who: &Person) {
    let marks = who.marks();
    let found: std::collections::HashSet<usize> =
        scan(directory, &marks).into_iter().map(|(number, _)| number).collect();
    for (number, word) in who.words.iter().enumerate() {
        // An id is written as text or in hex.
        let is_bare = word.len() == 32 && !word.contains('-');
        let is_sent = ["inside", "half"].iter().any(|sent| word.starts_with(sent));
        assert!(found.contains(&number) != is_sent || is_bare, "{word}");
    }
}

/// Of servers on which people are.
pub const SETTINGS: [(&str, &str); 4] = [
    ("SLIPWAY_TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
    // Nobody takes anything there, so that it waits.
    (
        "SLIPWAY_HOOKS__WEBHOOKS",
        "[{url = \"http://127.0.0.1:1/\", secret = \
         \"whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\"}]",
    ),
    ("SLIPWAY_HOOKS__ALLOW_PRIVATE", "true"),
    ("SLIPWAY_MEDIA__LADDER", "[180]"),
];

/// A server whose log is in a file beside its data directory, with more settings than the usual.
fn logged(directory: &Path, more: &[(&str, &str)]) -> Server {
    let log = directory.join("log");
    let words = format!("exec \"$@\" 2>>'{}'", log.display());
    let settings = [&SETTINGS, more].concat();
    Server::through(&["sh", "-c", &words, "sh"], &directory.join("data"), &settings)
}

/// Beside a running server that encrypts what is sent: at once nobody finds anything, with the next
/// start there is no byte left, and the other one has everything.
#[test]
fn no_byte_is_left_of_somebody_who_is_erased() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = Keys::fresh();
    let mut server = logged(directory.path(), &keys.settings());
    let mut ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    let bob = Person::arrive(&server, "bob", "203.0.113.88", "silent.mp4");
    good(&command(&server.data, &["db", "export"], &[], ""));
    wait_for("all to be there", || {
        let audit = directory.path().join("data/audit");
        let found = scan(&audit, &[ann.address.as_bytes().to_vec()]);
        (!found.is_empty()).then_some(())
    });
    assert_all_there(&server.data, &ann);

    // Something that was deleted for good long ago has left bytes, too.
    let gone = ann.bring(&server);
    let path = format!("/api/videos/{gone}?permanent=true");
    assert_eq!(ann.ask(&server, "DELETE", &path, &[], b"").status, 204);
    // One request writes while everything goes.
    let (path, _) = ann.create(&server, OPEN_BYTES);
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n\
         Content-Length: {OPEN_BYTES}\r\n\r\n",
        server.host(),
        ann.token
    );
    let late = ann.half();
    let mut writer = raw(&server.address, &head, &late);
    let would = erase(&server.data, &ann.name, &["--dry-run"]);
    assert_eq!((&would["videos"], &would["trashed"]), (&json!(3), &json!(1)), "{would}");
    assert!(would["databaseForgets"].is_null());
    ann.has_everything(&server);
    let told = erase(&server.data, &ann.name, &[]);
    assert_eq!((&told["videos"], &told["trashed"]), (&json!(3), &json!(1)), "{told}");
    assert_eq!(
        (&told["tokens"], &told["accounts"], &told["grants"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert!(
        told["sessions"].as_u64() >= Some(1) && told["deliveries"].as_u64() >= Some(5),
        "{told}"
    );
    assert!(told["bytes"].as_u64() > Some(2 * ann.film.len() as u64), "{told}");
    assert_eq!(told["databaseForgets"], "at-next-start");
    ann.has_nothing(&server);
    bob.has_everything(&server);
    // What is still sent is written nowhere, and the name isn't given again before the next start.
    let _ = writer.write_all(&late);
    let _ = writer.read(&mut [0; 512]);
    let create = ["user", "create", &ann.name, "--role", "viewer"];
    let refused = command(&server.data, &create, &[], PASSWORD);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("erased"), "{refused:?}");
    let again = erase(&server.data, &ann.name, &[]);
    assert_eq!((&again["videos"], &again["files"]), (&json!(0), &json!(0)), "{again}");
    // All but the database is without them at once.
    for part in ["originals", "media", "tmp", "work", "audit"] {
        assert_clean(&server.data.join(part), &ann);
    }

    assert_eq!(server.terminate(), Some(0));
    server.restart();
    assert_clean(&server.data, &ann);
    ann.has_nothing(&server);
    bob.has_everything(&server);
    assert!(good(&command(&server.data, &["db", "check"], &[], "")).contains(" 0 findings"));
    let restored = format!("/api/videos/{}/restore", bob.trashed);
    assert_eq!(bob.ask(&server, "POST", &restored, &[], b"").status, 200);
    let log = command(&server.data, &["audit-log", "--action", "user-erased", "--json"], &[], "");
    let log = good(&log);
    assert!(log.contains(told["pseudonym"].as_str().expect("one")), "{log}");
    // Ids stand in the server's log, and nothing that anybody wrote.
    let log = std::fs::read_to_string(directory.path().join("log")).expect("a log");
    for word in ann.words.iter().filter(|word| !word.contains('-') && word.len() != 32) {
        assert!(!log.contains(word.as_str()), "{word} stands in the log");
    }
}

/// Wherever an erasure dies, the next one or the next start goes on with it, to the same end.
#[test]
fn an_erasure_goes_on_wherever_it_died() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = logged(directory.path(), &[]);
    let ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    let bob = Person::arrive(&server, "bob", "203.0.113.88", "silent.mp4");
    assert_eq!(server.terminate(), Some(0));
    let moments = [
        "after-erasure-note",
        "after-erased-records",
        "in-mid-erasure",
        "after-erased-files",
        "before-erasure-end",
        "before-state-swap",
        "in-mid-state-swap",
        "after-state-swap",
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let beside = directory.path().join(moment);
        let copied = Command::new("cp").arg("-a").arg(&server.data).arg(&beside).status();
        assert!(copied.expect("cp runs").success());
        let args = ["user", "erase", ann.name.as_str()];
        let died = command(&beside, &args, &[("SLIPWAY_FAIL_AT", moment)], "");
        assert_eq!(died.status.code(), None, "{moment}: {died:?}");
        if number % 2 == 0 {
            assert_eq!(erase(&beside, &ann.name, &[])["databaseForgets"], "now", "{moment}");
            assert_clean(&beside, &ann);
        }
        let next = Server::on(&beside, &SETTINGS);
        assert_clean(&beside, &ann);
        ann.has_nothing(&next);
        bob.has_everything(&next);
        assert!(!beside.join("erasing").exists() && !beside.join("forgetting").exists());
    }
    // The same where the server dies that was asked.
    server.set("SLIPWAY_FAIL_AT", "in-mid-erasure");
    server.restart();
    let failed = command(&server.data, &["user", "erase", &ann.name], &[], "");
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(server.ended(), None);
    server.forget("SLIPWAY_FAIL_AT");
    server.restart();
    assert_clean(&server.data, &ann);
    ann.has_nothing(&server);
    bob.has_everything(&server);
}
