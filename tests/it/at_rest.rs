//! Originals that are encrypted at rest, through the real binary.

use crate::concat::{join, part};
use crate::erase::scan;
use crate::harness::{Answer, Server, media, pattern, program, raw, wait_for};
use crate::live::{assert_right, playable};
use crate::matrix::film_of;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ON: (&str, &str) = ("SLIPWAY_ORIGINALS__ENCRYPTION", "xchacha20-poly1305");
const KEY_FILE: &str = "SLIPWAY_ORIGINALS__KEY_FILE";
const LADDER: (&str, &str) = ("SLIPWAY_MEDIA__LADDER", "[180]");
/// Any file is taken, and there is no work on it.
const ANY: (&str, &str) = ("SLIPWAY_UPLOAD__ACCEPT", r#"["*/*"]"#);
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Bytes of an encrypted block, and of what stands before the tags.
const BLOCK: usize = 65_536;
const HEAD: usize = 120;

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
pub struct Keys {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Keys {
    pub fn fresh() -> Self {
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

    pub fn settings(&self) -> [(&str, &str); 2] {
        [ON, (KEY_FILE, self.path.to_str().expect("text"))]
    }
}

fn original_of(data: &Path, video: &str, name: &str) -> PathBuf {
    let shards = fs::read_dir(data.join("originals")).expect("originals").flatten();
    let found = shards.map(|shard| shard.path().join(video)).find(|it| it.exists());
    found.expect("the original").join(name)
}

fn get(server: &Server, video: &str, headers: &[(&str, &str)]) -> Answer {
    server.send("GET", &format!("/api/videos/{video}/original"), headers, b"")
}

fn download(server: &Server, video: &str) -> Vec<u8> {
    let answer = get(server, video, &[]);
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

/// A film with a word in a box that nobody reads, behind all the others.
fn marked(film: &Path) -> Vec<u8> {
    let mut film = fs::read(film).expect("it was generated");
    film.extend((8 + MARK.len() as u32).to_be_bytes());
    film.extend(b"free");
    film.extend(MARK);
    film
}

const MARK: &[u8] = b"a word of the original's own: Ohz3uo0aeshohK7a";

/// The word, and pieces from all over a file.
fn marks(of: &[u8]) -> Vec<Vec<u8>> {
    let pieces = of.chunks(of.len() / 60).filter_map(|chunk| chunk.get(..32));
    // What repeats itself may be anywhere.
    let is_its_own = |piece: &&[u8]| piece.iter().collect::<BTreeSet<_>>().len() > 20;
    let pieces: Vec<Vec<u8>> = pieces.filter(is_its_own).map(<[u8]>::to_vec).collect();
    assert!(pieces.len() > 20, "{} pieces", pieces.len());
    [vec![MARK.to_vec()], pieces].concat()
}

/// No piece of what was sent is in any file below; what is made of a film may have its pictures.
fn assert_nothing_plain(directory: &Path, sent: &[u8]) {
    let mut found = scan(directory, &marks(sent));
    let is_made = |path: &Path| path.components().any(|it| it.as_os_str() == "media");
    found.retain(|(number, path)| *number == 0 || !is_made(path));
    assert!(found.is_empty(), "plain: {found:?}");
}

/// Waits for a video that has to be ready.
fn ready(server: &Server, video: &str) -> Value {
    let it = server.settled(video);
    assert_eq!(it["state"], "ready", "{it}");
    it
}

fn begin(server: &Server, bytes: &[u8], now: usize) -> (String, String) {
    let (path, video) = server.create("a.mp4", bytes.len());
    assert_eq!(server.patch(&path, 0, &bytes[..now]).status, 204);
    (path, video)
}

/// Uploads, and returns the video once it is ready and its original has its tags.
fn bring(server: &Server, bytes: &[u8]) -> String {
    let (_, video) = begin(server, bytes, bytes.len());
    ready(server, &video);
    tagged(server, &video);
    video
}

fn again(server: &Server, video: &str) -> Value {
    let path = format!("/api/videos/{video}/retry-processing");
    let answer = server.send("POST", &path, &[JSON], br#"{"stage":"renditions"}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.settled(video)
}

/// Has another moment be the poster; returns the answer, and the choice as it stands then.
fn choose(server: &Server, video: &str, body: &[u8]) -> (Answer, Value) {
    let headers = [JSON, ("Prefer", "wait=60")];
    let answer = server.send("PUT", &format!("/api/videos/{video}/poster"), &headers, body);
    (answer, server.json(&format!("/api/videos/{video}"))["posterChoice"].clone())
}

/// Every kind of range is that piece of what was sent.
fn assert_ranges(server: &Server, video: &str, sent: &[u8]) {
    let end = sent.len();
    let tag = get(server, video, &[("Range", "bytes=0-0")]).header("etag").to_owned();
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        (format!("bytes={}-{BLOCK}", BLOCK - 1), BLOCK - 1, BLOCK + 1),
        (format!("bytes=1-{}", 3 * BLOCK + 9), 1, 3 * BLOCK + 10),
        (format!("bytes={}-{}", 2 * BLOCK, 3 * BLOCK - 1), 2 * BLOCK, 3 * BLOCK),
        (format!("bytes={}-", 3 * BLOCK + 1), 3 * BLOCK + 1, end),
        (format!("bytes={}-{}", end - 1, end + 9), end - 1, end),
        ("bytes=-1".to_owned(), end - 1, end),
        (format!("bytes=-{}", BLOCK + 1), end - BLOCK - 1, end),
        (format!("bytes=-{}", end + 1), 0, end),
    ] {
        for headers in [&[("Range", range.as_str())][..], &[("Range", &range), ("If-Range", &tag)]]
        {
            let part = get(server, video, headers);
            let place = format!("bytes {from}-{}/{end}", to - 1);
            assert_eq!((part.status, part.header("content-range")), (206, &*place), "{range}");
            assert!(part.body == sent[from..to], "{range}: other bytes");
        }
        let changed = [("Range", range.as_str()), ("If-Range", "\"another\"")];
        let whole = get(server, video, &changed);
        assert!(whole.status == 200 && whole.body == sent, "{range} of another file");
    }
    // Whoever asks for several gets the first of them, or all of the file.
    let several = get(server, video, &[("Range", "bytes=5-9,70000-70009")]);
    let wanted = if several.status == 206 { &sent[5..10] } else { sent };
    assert!(several.body == wanted, "{}: {:?}", several.status, several.headers);
    let behind = get(server, video, &[("Range", &format!("bytes={end}-"))]);
    let there = format!("bytes */{end}");
    assert_eq!((behind.status, behind.header("content-range")), (416, &*there));
}

/// Work on a film, a second time too, a poster, downloads, a lost database, a backup and what is
/// restored of it: all of it is as without encryption, and nowhere on the disk is anything plain.
#[test]
fn nobody_but_the_disk_sees_a_difference() {
    let keys = Keys::fresh();
    let film = marked(&media("silent.mp4"));
    let place = tempfile::tempdir().expect("a directory");
    fs::write(place.path().join("plain"), &film).expect("written");
    let found = scan(place.path(), &marks(&film));
    assert_eq!(found.len(), marks(&film).len(), "whoever looks finds");

    let settings = [keys.settings().as_slice(), &[LADDER]].concat();
    let mut server = Server::with(&settings);
    let video = bring(&server, &film);
    let before = server.json(&format!("/api/videos/{video}"));
    let (answer, chosen) = choose(&server, &video, br#"{"time":1.5}"#);
    assert_eq!((answer.status, &chosen["state"]), (200, &json!("set")), "{chosen}");
    let after = again(&server, &video);
    assert_eq!(after["state"], "ready", "{after}");
    assert_ne!(after["playback"]["hls"], json!(null));
    assert_eq!(after["source"], before["source"]);
    assert_ranges(&server, &video, &film);
    assert_nothing_plain(&server.data, &film);

    let backups = place.path().join("backups");
    let taken = run(&server.data, &["backup", backups.to_str().expect("text")], &[]);
    assert!(taken.status.success(), "{}", said(&taken));
    assert_nothing_plain(&backups, &film);
    server.lose_database();
    ready(&server, &video);
    assert!(download(&server, &video) == film, "after the database was lost");
    assert_eq!(again(&server, &video)["state"], "ready");
    assert_eq!(server.terminate(), Some(0));
    assert_nothing_plain(&server.data, &film);

    let data = place.path().join("data");
    let restored = run(&data, &["restore", backups.to_str().expect("text")], &[]);
    assert!(restored.status.success(), "{}", said(&restored));
    let id = fs::read_to_string(data.join("original-keys")).expect("it is in a backup");
    let refused = run(&data, &["serve"], &[]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains(id.trim()), "{refused:?}");
    let server = Server::on(&data, &settings);
    ready(&server, &video);
    assert!(download(&server, &video) == film, "restored");
}

/// A film plays before its upload has ended, in pieces and over a kill, and no byte of it is plain
/// on the disk at any of these moments.
#[test]
fn a_film_plays_while_it_comes() {
    let keys = Keys::fresh();
    let mut server = Server::with(&[keys.settings().as_slice(), &[LADDER]].concat());
    let film = marked(&film_of(
        "small-faststart.mp4",
        "-f lavfi -i testsrc2=s=426x240:r=25:d=8 -f lavfi -i sine=d=8 -vf noise=alls=6:allf=t \
         -c:v libx264 -preset ultrafast -threads 1 -crf 18 -g 50 -pix_fmt yuv420p -c:a aac -ac 2 \
         -movflags +faststart",
    ));
    let most = film.len() * 17 / 20;
    let (path, video) = begin(&server, &film, 100_001);
    assert_nothing_plain(&server.data, &film);
    for (from, to) in [(100_001, most / 2), (most / 2, most)] {
        assert_eq!(server.patch(&path, from, &film[from..to]).status, 204);
    }
    playable(&server, &video, 1);
    assert_nothing_plain(&server.data, &film);
    server.kill();
    assert_nothing_plain(&server.data, &film);
    server.restart();
    assert_eq!(server.offset(&path), most, "what was acknowledged is here");
    playable(&server, &video, 1);
    assert_eq!(server.patch(&path, most, &film[most..]).status, 204);
    assert_right(&server, &video);
    tagged(&server, &video);
    assert!(download(&server, &video) == film);
    assert_nothing_plain(&server.data, &film);
}

/// What comes of a download that may be cut: its status, and all that came of its body.
fn cut(server: &Server, video: &str) -> (u16, Vec<u8>) {
    let head = format!(
        "GET /api/videos/{video}/original HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        server.host(),
        server.token
    );
    let mut all = Vec::new();
    // Its end may be none.
    let _ = raw(&server.address, &head, b"").read_to_end(&mut all);
    let body = all.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&all[..body]).into_owned();
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    (status, all.split_off(body))
}

/// A file that a test changes, and puts back.
struct Changed {
    path: PathBuf,
    right: Vec<u8>,
}

impl Changed {
    fn of(server: &Server, video: &str, name: &str) -> Self {
        let path = original_of(&server.data, video, name);
        let right = fs::read(&path).expect("it is there");
        Self { path, right }
    }

    fn put(&self, bytes: &[u8]) {
        fs::set_permissions(&self.path, PermissionsExt::from_mode(0o600)).expect("ours");
        fs::write(&self.path, bytes).expect("written");
    }

    fn flip(&self, at: usize) {
        let mut bytes = self.right.clone();
        bytes[at] ^= 0x10;
        self.put(&bytes);
    }

    fn mend(&self) {
        self.put(&self.right);
    }
}

/// What it is, what does it, and how many bytes of a download come before its end, if it begins.
type Case<'a> = (&'a str, &'a dyn Fn(), Option<usize>);

/// A bit that changes, a file that is cut or grows, in the bytes or in what lies beside: a download
/// ends before a wrong byte, a job and a poster say why they fail, the operator is told which video
/// it is, others are as they were, and with the right bytes back everything works again.
#[test]
fn what_changes_on_the_disk_is_told() {
    let keys = Keys::fresh();
    let server = Server::with(&[keys.settings().as_slice(), &[ANY, LADDER]].concat());
    let (film, bytes) = (marked(&media("silent.mp4")), pattern(3 * BLOCK + 1_000));
    let [other, file, watched] = [&bytes, &bytes, &film].map(|sent| bring(&server, sent));
    let (source, beside) =
        (Changed::of(&server, &file, "source.enc"), Changed::of(&server, &file, "source.key"));
    let longer = [source.right.as_slice(), b"more"].concat();
    let cases: [Case<'_>; 9] = [
        ("a bit of the third block", &|| source.flip(2 * BLOCK + 5), Some(2 * BLOCK)),
        ("a bit of the first block", &|| source.flip(5), None),
        ("a bit of the last tag", &|| beside.flip(HEAD + 3 * 16), Some(3 * BLOCK)),
        ("a bit of the key", &|| beside.flip(80), None),
        ("a bit of the length", &|| beside.flip(24), None),
        ("tags cut", &|| beside.put(&beside.right[..HEAD + 16]), Some(BLOCK)),
        ("cut between blocks", &|| source.put(&source.right[..2 * BLOCK]), None),
        ("cut within a block", &|| source.put(&source.right[..2 * BLOCK + 9]), None),
        ("grown", &|| source.put(&longer), None),
    ];
    for (what, change, comes) in cases {
        change();
        let (status, body) = cut(&server, &file);
        match comes {
            Some(count) => assert!((status, &*body) == (200, &bytes[..count]), "{what}: {status}"),
            None => assert!(status == 500 && is_unreadable(&body), "{what}: {status}"),
        }
        assert!(download(&server, &other) == bytes, "{what}: another file");
        source.mend();
        beside.mend();
        assert!(download(&server, &file) == bytes, "{what}, and put back");
    }

    let picture = Changed::of(&server, &watched, "source.enc");
    for (what, change) in [
        ("a bit", &(|| picture.flip(film.len() / 2)) as &dyn Fn()),
        ("cut", &|| picture.put(&picture.right[..2 * BLOCK])),
    ] {
        change();
        let failed = again(&server, &watched);
        assert_eq!(failed["error"]["code"], "original-damaged", "{what}: {failed}");
        let (answer, failed) = choose(&server, &watched, br#"{"time":2.5}"#);
        answer.assert_problem(500, "original-unreadable");
        assert_eq!(failed["error"]["code"], "original-damaged", "{what}: {failed}");
        picture.mend();
        assert_eq!(again(&server, &watched)["state"], "ready", "{what}, and put back");
    }
    source.put(&source.right[..2 * BLOCK]);
    assert_told(&server, &keys, &file);
    assert!(download(&server, &other) == bytes && download(&server, &watched) == film);
}

fn is_unreadable(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("original-unreadable")
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

/// An operator who looks is told of an original that can't be read; the records are right, and
/// nothing is cleaned away.
fn assert_told(server: &Server, keys: &Keys, file: &str) {
    let settings = keys.settings();
    let ask = |args: &[&str]| run(&server.data, args, &settings);
    let audit = ask(&["audit", "--refresh", "--json"]);
    let audit: Value = serde_json::from_slice(&audit.stdout).expect("JSON");
    let strange = &audit["audit"]["unreadableOriginals"];
    assert_eq!(strange["examples"], json!([file]), "{audit}");
    let audit = said(&ask(&["audit"]));
    assert!(audit.contains("videos whose original can't be read: 1"), "{audit}");
    let doctor = ask(&["doctor"]);
    let told = said(&doctor).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("FAIL originals some can't be decrypted"), "{told}");
    assert_eq!(doctor.status.code(), Some(1));
    let checked = said(&ask(&["db", "check"]));
    assert!(checked.contains(" 0 findings"), "{checked}");
    let cleaned = ask(&["gc", "--json"]);
    let cleaned: Value = serde_json::from_slice(&cleaned.stdout).expect("JSON");
    assert_eq!(cleaned["findings"], json!([]), "{cleaned}");
    assert!(original_of(&server.data, file, "source.enc").exists());
}

/// Bytes that no other number has.
fn bytes(number: usize) -> Vec<u8> {
    pattern(200_000 + number * 1_000).split_off(number * 1_000 + 90_000)
}

/// What was uploaded, by video.
type Sent = Vec<(String, Vec<u8>)>;

fn assert_all(server: &Server, sent: &Sent) {
    for (number, (video, bytes)) in sent.iter().enumerate() {
        assert!(download(server, video) == *bytes, "number {number}");
    }
}

fn is_encrypted(server: &Server, video: &str) -> bool {
    let [plain, encrypted] =
        ["source", "source.enc"].map(|name| original_of(&server.data, video, name).exists());
    assert!(plain != encrypted, "one of the two");
    encrypted
}

/// Sends the second half of an upload.
fn finish(server: &Server, path: &str, bytes: &[u8]) {
    let half = bytes.len() / 2;
    assert_eq!(server.offset(path), half);
    assert_eq!(server.patch(path, half, &bytes[half..]).status, 204);
}

/// Turned on and off again, each upload stays as it was begun, over its end, and everything is read
/// either way; parts of both kinds are joined.
#[test]
fn turned_on_and_off() {
    let keys = Keys::fresh();
    let mut server = Server::with(&[ANY]);
    let mut sent = Sent::new();
    let mut add = |video: String, number: usize| sent.push((video, bytes(number)));
    let (_, video) = begin(&server, &bytes(0), bytes(0).len());
    add(video, 0);
    let (plain_half, video) = begin(&server, &bytes(1), bytes(1).len() / 2);
    add(video, 1);
    let joined = bytes(2);
    let parts = joined.split_at(joined.len() / 3);
    let plain_part = part(&server, parts.0.len());
    assert_eq!(server.patch(&plain_part, 0, parts.0).status, 204);
    server.terminate();

    let [on, key_file] = keys.settings();
    server.set(on.0, on.1);
    server.set(key_file.0, key_file.1);
    server.restart();
    finish(&server, &plain_half, &bytes(1));
    let encrypted_part = part(&server, parts.1.len());
    assert_eq!(server.patch(&encrypted_part, 0, parts.1).status, 204);
    let made = join(&server, &[&plain_part, &encrypted_part]);
    assert_eq!(made.status, 201, "{}", made.text());
    let video = made.header("slipway-video").to_owned();
    wait_for("the parts to be joined", || (get(&server, &video, &[]).status == 200).then_some(()));
    add(video, 2);
    add(bring(&server, &bytes(3)), 3);
    let (encrypted_half, video) = begin(&server, &bytes(4), bytes(4).len() / 2);
    add(video, 4);
    server.terminate();

    server.forget(on.0);
    server.restart();
    finish(&server, &encrypted_half, &bytes(4));
    let (_, video) = begin(&server, &bytes(5), bytes(5).len());
    add(video, 5);
    for (video, _) in &sent {
        ready(&server, video);
    }
    let are: Vec<bool> = sent.iter().map(|(video, _)| is_encrypted(&server, video)).collect();
    assert_eq!(are, [false, false, true, true, true, false]);
    tagged(&server, &sent[4].0);
    assert_all(&server, &sent);
    server.terminate();
    server.set(on.0, on.1);
    server.restart();
    assert_all(&server, &sent);
}

/// Looks with a command at keys that aren't right; a server with them doesn't start.
fn assert_refused(data: &Path, what: &str, settings: &[(&str, &str)], word: &str, is_file: bool) {
    let served = run(data, &["serve"], settings);
    let line = said(&served);
    assert_eq!(served.status.code(), Some(2), "{what}: {line}");
    assert!(line.contains(word) && line.contains("originals.key_file"), "{what}: {line}");
    assert!(served.stdout.is_empty() && line.trim().lines().count() == 1, "{what}: {line}");
    let doctor = run(data, &["doctor"], settings);
    let told = said(&doctor).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("FAIL originals") && told.contains(word), "{what}: {told}");
    assert_eq!(doctor.status.code(), Some(1), "{what}");
    // A key that is none of this directory's may be right elsewhere.
    let checked = run(data, &["check-config"], settings);
    assert_eq!(checked.status.code(), Some(if is_file { 2 } else { 0 }), "{what}");
    assert!(!is_file || said(&checked).contains(word), "{what}: {}", said(&checked));
}

/// Another key takes over, in a file or from systemd; with one that is missing, open to others,
/// empty or another one no server starts, which is told, and nothing is lost by that.
#[test]
fn keys_come_and_go() {
    let keys = Keys::fresh();
    let settings = keys.settings();
    let mut server = Server::with(&[settings[0], settings[1], ANY]);
    let first = fs::read_to_string(&keys.path).expect("it was written");
    let id_of = |data: &Path| fs::read_to_string(data.join("original-keys")).expect("a list");
    let first_id = id_of(&server.data);
    let mut sent: Sent = vec![(bring(&server, &bytes(0)), bytes(0))];
    let (half, video) = begin(&server, &bytes(1), bytes(1).len() / 2);
    sent.push((video, bytes(1)));
    server.terminate();
    let data = server.data.clone();
    let second = Keys::line();
    keys.write(&second);
    assert_refused(&data, "another one", &settings, first_id.trim(), false);

    keys.write(&format!("{second}{first}"));
    server.restart();
    sent.push((bring(&server, &bytes(2)), bytes(2)));
    let rewrapped = run(&data, &["originals", "rewrap"], &settings);
    assert_eq!(said(&rewrapped), "2 of 3 keys are wrapped anew\n");
    finish(&server, &half, &bytes(1));
    ready(&server, &sent[1].0);
    assert_all(&server, &sent);
    server.terminate();
    let second_id = id_of(&data);
    assert!(!second_id.contains(first_id.trim()), "the old one isn't needed any more");

    keys.write(&first);
    assert_refused(&data, "the old one", &settings, second_id.trim(), false);
    for (what, text, word) in [
        ("empty", "", "there is no key in it"),
        ("no key", "# none yet\n", "there is no key in it"),
        ("half a line", &second[..40], "line 1 isn't a key"),
    ] {
        keys.write(text);
        assert_refused(&data, what, &settings, word, true);
    }
    keys.write(&second);
    fs::set_permissions(&keys.path, PermissionsExt::from_mode(0o644)).expect("set");
    assert_refused(&data, "open", &settings, "others may read it", true);
    assert_refused(&data, "missing", &[ON, (KEY_FILE, "/nowhere/keys")], "can't be read", true);
    assert_refused(&data, "none", &[ON], "new-key", true);
    by_systemd(&mut server, &second, &sent);
    given_up(&mut server, &keys, &sent, &second);
}

/// The key comes from systemd, under its usual name and under another one.
fn by_systemd(server: &mut Server, key: &str, sent: &Sent) {
    let handed = tempfile::tempdir().expect("a directory");
    for name in ["originals-key", "films.key"] {
        fs::write(handed.path().join(name), key).expect("written");
    }
    let directory = handed.path().to_str().expect("text");
    server.set("CREDENTIALS_DIRECTORY", directory);
    for named in [None, Some("credential:films.key")] {
        server.forget(KEY_FILE);
        named.into_iter().for_each(|named| server.set(KEY_FILE, named));
        server.restart();
        assert_all(server, sent);
        server.terminate();
    }
    // In a shell it isn't there, and that is no fault of the configuration.
    let settings = [ON, (KEY_FILE, "credential:films.key")];
    for command in ["check-config", "doctor"] {
        let looked = run(&server.data, &[command], &settings);
        let line = said(&looked).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(looked.status.success(), "{command}: {line}");
        assert!(line.contains("`films.key` isn't there in this shell"), "{command}: {line}");
    }
    let served = run(&server.data, &["serve"], &settings);
    assert_eq!(served.status.code(), Some(2));
    assert!(said(&served).contains("add LoadCredential=films.key:FILE"), "{}", said(&served));
    server.forget("CREDENTIALS_DIRECTORY");
}

/// A key is given up for lost: what needs it says so, everything else works; it turns up again, and
/// so does everything.
fn given_up(server: &mut Server, keys: &Keys, sent: &Sent, lost: &str) {
    let other = Keys::line();
    keys.write(&other);
    fs::remove_file(server.data.join("original-keys")).expect("it is there");
    server.set(KEY_FILE, keys.path.to_str().expect("text"));
    server.restart();
    let audit = server.json("/api/admin/storage?refresh=true")["audit"].clone();
    assert_eq!(audit["unreadableOriginals"]["count"], json!(sent.len()), "{audit}");
    for (video, _) in sent {
        get(server, video, &[]).assert_problem(500, "original-unreadable");
    }
    let another = (bring(server, &bytes(7)), bytes(7));
    server.terminate();
    keys.write(&format!("{other}{lost}"));
    server.restart();
    assert_all(server, sent);
    assert_all(server, &vec![another]);
}
