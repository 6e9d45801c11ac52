//! Somebody is given all that is kept of them: one archive with what they sent as they sent it, and
//! nothing secret or of anybody else; whole under its name or not there, whatever dies meanwhile.

use crate::concat::Hold;
use crate::erase::{
    OPEN_BYTES, PASSWORD, Person, SETTINGS, command, erase, good, hash_of, marks_in,
};
use crate::harness::{Server, pattern, program, sha256, wait_for};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

type Settings<'a> = Vec<(&'a str, &'a str)>;
/// What is in an archive, by names without its one directory.
type Files = BTreeMap<String, Vec<u8>>;

/// Asks for an archive.
fn export(data: &Path, owner: &str, more: &[&str], env: &[(&str, &str)]) -> Output {
    command(data, &[&["user", "export", owner], more].concat(), env, "")
}

/// The same, under way.
fn begin(data: &Path, owner: &str, to: &str, env: &[(&str, &str)]) -> Child {
    Command::new(program())
        .args(["user", "export", owner, to])
        .env("SLIPWAY_DATA_DIR", data)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// Reads an archive; everything lies in one directory.
fn unpacked(bytes: &[u8]) -> Files {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").to_string_lossy().into_owned();
        let (directory, name) = name.split_once('/').expect("in a directory");
        assert!(directory.starts_with("slipway-"), "{directory}");
        assert_eq!(entry.header().mode().expect("a mode"), 0o600);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("whole");
        (name.to_owned(), bytes)
    });
    entries.collect()
}

fn list(files: &Files, name: &str) -> Vec<Value> {
    serde_json::from_slice(&files[name]).unwrap_or_else(|cause| panic!("{name}: {cause}"))
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Returns the one file below a directory of the archive, and the end of its name.
fn below<'f>(files: &'f Files, directory: &str) -> (&'f str, &'f [u8]) {
    let mut found = files
        .iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(directory)?, bytes.as_slice())));
    let one = found.next().unwrap_or_else(|| panic!("{directory} in {:?}", files.keys()));
    assert!(found.next().is_none(), "{directory}");
    one
}

/// All of somebody's is in an archive, and nothing of somebody else's or secret.
fn check(bytes: &[u8], ann: &Person, bob: &Person) {
    let files = unpacked(bytes);
    // Names of files are told as well as bytes.
    let all: Vec<u8> =
        files.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes].concat()).collect();
    let hash = hash_of(&ann.token);
    let texts = |words: &[&str]| -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    };
    // An id is written as text, not in hex.
    let is_told = |word: &&str| *word != hash && (word.len() != 32 || word.contains('-'));
    let words: Vec<&str> = ann.words.iter().map(String::as_str).filter(is_told).collect();
    let found: HashSet<usize> = marks_in(&all, &texts(&words)).into_iter().collect();
    for (number, word) in words.iter().enumerate() {
        assert!(found.contains(&number), "{word} isn't in it");
    }
    let marks = bob.marks();
    let strange = marks_in(bytes, &marks).into_iter().map(|it| String::from_utf8_lossy(&marks[it]));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<String>::new());
    let said: Vec<u8> = files
        .iter()
        .filter(|(name, _)| !name.starts_with("videos/"))
        .flat_map(|(_, bytes)| bytes.clone())
        .collect();
    let cookie = ann.cookie.split_once('=').expect("a cookie").1;
    let secrets = [&hash, &ann.token, cookie, PASSWORD, "argon2", "whsec_", "slw_", "slg_"];
    let told = marks_in(&said, &texts(&secrets)).into_iter().map(|it| secrets[it]);
    assert_eq!(told.collect::<Vec<_>>(), Vec::<&str>::new());

    for id in [&ann.ready, &ann.trashed] {
        let (name, original) = below(&files, &format!("videos/{id}/"));
        assert_eq!(sha256(original), sha256(&ann.film), "{name}");
        let told = list(&files, "videos.json").into_iter().find(|it| it["id"] == id.as_str());
        let told = told.expect("it is told");
        assert_eq!((&told["filename"], &told["state"]), (&json!(name), &json!("ready")));
        assert_eq!(told["source"]["videoCodec"], "h264");
        assert_eq!(told.get("deletedAt").is_some(), *id == ann.trashed);
    }
    let line = ann.words.iter().find(|word| word.starts_with("line")).expect("a caption");
    let caption = &files[&format!("captions/{}/en.vtt", ann.ready)];
    assert!(caption.starts_with(b"WEBVTT") && contains(caption, line.as_bytes()));
    let half = ann.words.iter().find(|word| word.starts_with("half")).expect("an open upload");
    let half: Vec<u8> = half.bytes().cycle().take(OPEN_BYTES / 2).collect();
    let open = ann.open.trim_start_matches("/files/");
    let (_, sent) = below(&files, &format!("uploads/{open}/from-0/"));
    assert_eq!(sent, half);
    let told = list(&files, "uploads.json").into_iter().find(|it| it["id"] == open);
    let told = told.expect("it is told");
    assert_eq!(told["received"], json!([[0, OPEN_BYTES / 2]]));
    let entries = String::from_utf8(files["audit.jsonl"].clone()).expect("text");
    let entries: Vec<Value> =
        entries.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for action in ["login", "upload-begun", "video-deleted", "account-made"] {
        assert!(entries.iter().any(|it| it["action"] == action), "{action}");
    }
    assert_eq!(files["missing.json"], b"[]\n");
    let readme = String::from_utf8(files["README.txt"].clone()).expect("text");
    assert!(readme.contains(&format!("keeps of {}, as of 20", ann.name)), "{readme}");
}

/// A directory with keys of originals, and the settings that use them.
fn keys_in(directory: &Path) -> String {
    let made = command(Path::new("/nowhere"), &["originals", "new-key"], &[], "");
    let keys = directory.join("keys");
    fs::write(&keys, good(&made)).expect("written");
    fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).expect("set");
    keys.to_str().expect("text").to_owned()
}

fn encrypted(keys: &str) -> Settings<'_> {
    let mut settings = SETTINGS.to_vec();
    settings.push(("SLIPWAY_ORIGINALS__KEY_FILE", keys));
    settings.push(("SLIPWAY_ORIGINALS__ENCRYPTION", "xchacha20-poly1305"));
    settings
}

fn export_and_erase(directory: &Path, settings: &Settings<'_>) {
    let mut server = Server::on(&directory.join("data"), settings);
    let ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    let bob = Person::arrive(&server, "bob", "203.0.113.88", "silent.mp4");
    let file = directory.join("ann.tar");
    let to = file.to_str().expect("text");
    let told = good(&export(&server.data, &ann.name, &[to, "--json"], settings));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let bytes = fs::read(&file).expect("written");
    check(&bytes, &ann, &bob);
    assert_eq!((&told["videos"], &told["trashed"]), (&json!(2), &json!(1)), "{told}");
    assert_eq!((&told["missing"], &told["accounts"]), (&json!(0), &json!(1)), "{told}");
    assert_eq!((&told["archiveBytes"], &told["file"]), (&json!(bytes.len()), &json!(to)));
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // What is there stays, unless somebody wants otherwise.
    let again = export(&server.data, &ann.name, &[to], settings);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert_eq!(fs::read(&file).expect("it is there"), bytes);
    let small = [to, "--force", "--without-originals"];
    let said = good(&export(&server.data, &ann.name, &small, settings));
    assert!(said.contains("2  videos\n") && said.contains(to), "{said}");
    let files = unpacked(&fs::read(&file).expect("it is there"));
    let is_file = |name: &str| name.starts_with("videos/") || name.starts_with("uploads/");
    assert!(!files.keys().any(|name| is_file(name)), "{:?}", files.keys());
    assert!(files.keys().any(|name| name.starts_with("captions/")));

    // Nobody has this name, and no file comes of it.
    let nobody = directory.join("nobody.tar");
    let nobody = [nobody.to_str().expect("text")];
    let refused = export(&server.data, "nobody-at-all", &nobody, settings);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing is kept"), "{refused:?}");
    let refused = export(&server.data, "a//b", &nobody, settings);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let log = ["audit-log", "--action", "user-exported", "--json"];
    let log = good(&command(&server.data, &log, settings, ""));
    assert_eq!((log.lines().count(), log.matches(&ann.name).count()), (2, 2), "{log}");

    // The same without a server, on standard output; then as people do it.
    assert_eq!(server.terminate(), Some(0));
    let stopped = export(&server.data, &ann.name, &["-", "--json"], settings);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    check(&stopped.stdout, &ann, &bob);
    let told: Value = serde_json::from_slice(&stopped.stderr).expect("JSON");
    assert_eq!(told["archiveBytes"], json!(stopped.stdout.len()));
    let names: Vec<_> = fs::read_dir(directory).expect("ours").flatten().collect();
    assert!(names.iter().all(|it| !it.file_name().to_string_lossy().ends_with("tmp")), "{names:?}");
    server.restart();
    bob.has_everything(&server);
    ann.has_everything(&server);
    erase(&server.data, &ann.name, &[]);
    let refused = export(&server.data, &ann.name, &nobody, settings);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!Path::new(nobody[0]).exists());
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    bob.has_everything(&server);
}

/// Beside a running server and without one, and then everything goes.
#[test]
fn an_archive_has_all_of_somebody_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    export_and_erase(directory.path(), &SETTINGS.to_vec());
}

/// The same where originals and uploads are encrypted: they come out in plain.
#[test]
fn what_is_encrypted_comes_out_in_plain() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = keys_in(directory.path());
    export_and_erase(directory.path(), &encrypted(&keys));
}

/// Finds the file of an original, wherever it lies.
fn original_of(data: &Path, video: &str, name: &str) -> PathBuf {
    let shards = fs::read_dir(data.join("originals")).expect("originals").flatten();
    let shards = shards.map(|shard| shard.path().join(video));
    let trashed = data.join("tmp/trash").join(video).join("original");
    let found = shards.chain([trashed]).map(|it| it.join(name)).find(|it| it.exists());
    found.expect("the original")
}

/// What is damaged or gone is told, and everything else is there: of a damaged original all blocks
/// but that one.
#[test]
fn what_is_damaged_is_told_and_the_rest_is_there() {
    const BLOCK: usize = 64 << 10;
    let directory = tempfile::tempdir().expect("a directory");
    let keys = keys_in(directory.path());
    let settings = encrypted(&keys);
    let mut server = Server::on(&directory.path().join("data"), &settings);
    let ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    let key = original_of(&server.data, &ann.ready, "source.key");
    // Without tags a change isn't found out.
    wait_for("the tags", || (fs::metadata(&key).ok()?.len() > 120).then_some(()));
    assert_eq!(server.terminate(), Some(0));
    let damaged = original_of(&server.data, &ann.ready, "source.enc");
    let change = || {
        fs::set_permissions(&damaged, PermissionsExt::from_mode(0o600)).expect("set");
        let file = fs::OpenOptions::new().read(true).write(true).open(&damaged).expect("opened");
        let mut byte = [0];
        file.read_exact_at(&mut byte, BLOCK as u64 + 7).expect("read");
        file.write_all_at(&[!byte[0]], BLOCK as u64 + 7).expect("written");
    };
    change();
    fs::remove_file(original_of(&server.data, &ann.trashed, "source.enc")).expect("removed");
    let stopped = export(&server.data, &ann.name, &["-", "--json"], &settings);
    server.restart();
    let beside = export(&server.data, &ann.name, &["-", "--json"], &settings);
    for output in [stopped, beside] {
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert_eq!(told["missing"], 2, "{told}");
        let files = unpacked(&output.stdout);
        let missing = list(&files, "missing.json");
        assert_eq!(told["examples"], json!(missing));
        let of = |id: &str| {
            let path = format!("videos/{id}/");
            let told = missing.iter().find(|it| it["path"].as_str().expect("text").contains(&path));
            told.expect("it is told")["why"].as_str().expect("text").to_owned()
        };
        assert!(of(&ann.ready).starts_with("65536 bytes"), "{missing:?}");
        assert!(of(&ann.trashed).contains("missing"), "{missing:?}");
        let (_, original) = below(&files, &format!("videos/{}/", ann.ready));
        let mut expected = ann.film.clone();
        expected[BLOCK..2 * BLOCK].fill(0);
        assert_eq!(sha256(original), sha256(&expected));
        assert!(!files.keys().any(|name| name.starts_with(&format!("videos/{}/", ann.trashed))));
        assert!(files.contains_key(&format!("captions/{}/en.vtt", ann.ready)));
    }
}

/// Uploads 16 MiB of somebody's, which stay open.
fn weigh_down(server: &Server, who: &mut Person) {
    let sent = pattern(16 << 20);
    let (path, _) = who.create(server, sent.len() + 1);
    assert_eq!(who.patch(server, &path, 0, &sent).status, 204);
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

/// Reads the beginning of an archive and leaves the rest to wait.
fn taste(child: &mut Child) {
    let mut begun = [0; 512];
    child.stdout.as_mut().expect("piped").read_exact(&mut begun).expect("it begins");
}

/// Whoever doesn't take the rest of an archive leaves nothing behind in the server, however they
/// go; and a server that stops doesn't wait for whoever takes it slowly.
#[test]
fn readers_that_go_away_leave_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::on(&directory.path().join("data"), &SETTINGS);
    let mut ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    weigh_down(&server, &mut ann);
    wait_for("the server to be at rest", || {
        let before = open_files(server.pid());
        good(&export(&server.data, &ann.name, &["-"], &[]));
        (open_files(server.pid()) == before).then_some(())
    });
    let before = open_files(server.pid());
    // Two may be under way, so that a turn that isn't given back would be missed.
    for round in 0..5 {
        let mut child = begin(&server.data, &ann.name, "-", &[]);
        taste(&mut child);
        if round % 2 == 0 {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        } else {
            drop(child.stdout.take());
            assert_eq!(child.wait().expect("it ends").code(), Some(1));
        }
    }
    // Something else of the server's may have been open before.
    wait_for("all to be given back", || (open_files(server.pid()) <= before).then_some(()));
    let mut two: Vec<Child> = (0..2).map(|_| begin(&server.data, &ann.name, "-", &[])).collect();
    two.iter_mut().for_each(taste);
    let third = export(&server.data, &ann.name, &["-"], &[]);
    assert_eq!(third.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&third.stderr).contains("other archives"), "{third:?}");
    ann.has_everything(&server);

    assert_eq!(server.terminate(), Some(0));
    for child in two {
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(ended.status.code(), Some(1));
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("the running server"), "{said}");
    }
}

/// Whatever is killed in the middle, there is no file under the archive's name, nor beside it.
#[test]
fn a_kill_leaves_no_archive() {
    let directory = tempfile::tempdir().expect("a directory");
    let out = directory.path().join("out");
    fs::create_dir(&out).expect("made");
    let file = out.join("ann.tar");
    let to = file.to_str().expect("text");
    let is_empty = || fs::read_dir(&out).expect("ours").next().is_none();
    let mut server = Server::on(&directory.path().join("data"), &SETTINGS);
    let ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    let dies = ("SLIPWAY_FAIL_AT", "in-mid-export");

    server.set(dies.0, dies.1);
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    let failed = export(&server.data, &ann.name, &[to], &[]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert_eq!(server.ended(), None);
    assert!(is_empty());

    let died = export(&server.data, &ann.name, &[to], &[dies]);
    assert_eq!(died.status.code(), None, "{died:?}");
    assert!(is_empty());

    let hold = Hold::at("in-mid-export");
    let held = hold.setting();
    let mut child = begin(&server.data, &ann.name, to, &[("SLIPWAY_HOLD_AT", &held)]);
    let there = hold.reached();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    hold.release(there);
    assert!(is_empty());

    good(&export(&server.data, &ann.name, &[to], &[]));
    assert_eq!(unpacked(&fs::read(&file).expect("whole"))["missing.json"], b"[]\n");
    server.forget(dies.0);
    server.restart();
    ann.has_everything(&server);
}

/// What is deleted for good while an archive is written is told, and what grows is as long in it as
/// it was announced.
#[test]
fn what_changes_meanwhile_breaks_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::on(&directory.path().join("data"), &SETTINGS);
    let ann = Person::arrive(&server, "ann", "203.0.113.77", "silent.mp4");
    let hold = Hold::at("in-mid-export");
    server.set("SLIPWAY_HOLD_AT", &hold.setting());
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    let child = begin(&server.data, &ann.name, "-", &[]);
    let there = hold.reached();
    let path = format!("/api/videos/{}?permanent=true", ann.ready);
    assert_eq!(ann.ask(&server, "DELETE", &path, &[], b"").status, 204);
    let rest = pattern(OPEN_BYTES / 2);
    assert_eq!(ann.patch(&server, &ann.open, OPEN_BYTES / 2, &rest).status, 204);
    hold.release(there);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let files = unpacked(&output.stdout);
    let missing = list(&files, "missing.json");
    let paths: Vec<&str> = missing.iter().filter_map(|it| it["path"].as_str()).collect();
    assert!(paths.contains(&format!("videos/{}", ann.ready).as_str()), "{missing:?}");
    let open = ann.open.trim_start_matches("/files/");
    let (_, sent) = below(&files, &format!("uploads/{open}/from-0/"));
    assert_eq!(sent.len(), OPEN_BYTES / 2);
    let (_, original) = below(&files, &format!("videos/{}/", ann.trashed));
    assert_eq!(sha256(original), sha256(&ann.film));
}
