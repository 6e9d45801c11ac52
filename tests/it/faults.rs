//! Disks that are full or fail, and deaths between any two steps: nothing that was acknowledged is
//! lost, nothing is acknowledged in vain, and a restart needs no hand.

use crate::harness::{Server, media, pattern, program, raw, sha256, wait_for};
use crate::power::Image;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A small file system, or a word on why there is none.
pub fn image(bytes: u64) -> Option<Image> {
    let made = Image::of(bytes);
    made.map_err(|why| eprintln!("skipped: no file system of its own ({why})")).ok()
}

/// Takes the room on a file system until only about `left` bytes are free.
pub fn fill(image: &Image, left: u64) -> PathBuf {
    let names = ["ballast", "more"].map(|name| image.mount.join(name));
    let path = names.into_iter().find(|path| !path.exists()).expect("a name");
    let file = fs::File::create(&path).expect("room for a name");
    let stat = rustix::fs::statvfs(&image.mount).expect("it is mounted");
    // Root may use what is set aside for it, too.
    let free = stat.f_bfree * stat.f_frsize;
    let mut size = 0;
    let mut step = free.saturating_sub(left);
    while step >= 4096 {
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&file, flags, size, step) {
            Ok(()) => size += step,
            Err(_) => step /= 2,
        }
        let stat = rustix::fs::statvfs(&image.mount).expect("it is mounted");
        step = step.min((stat.f_bfree * stat.f_frsize).saturating_sub(left));
    }
    path
}

/// Sends a PATCH and returns the whole answer; nothing if the server died or closed.
fn patched(server: &Server, path: &str, at: usize, body: &[u8]) -> String {
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: {at}\r\nContent-Length: {}\r\n\
         Content-Type: application/offset+octet-stream\r\nConnection: close\r\n\r\n",
        server.token,
        body.len()
    );
    let mut stream = raw(&server.address, &head, b"");
    // A server that dies takes no more; what it said before is what counts.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_success(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 2")
}

/// The bytes that lie on disk of the only upload under way.
fn blob_bytes(data: &Path) -> u64 {
    let shards = fs::read_dir(data.join("tmp/uploads")).into_iter().flatten().flatten();
    let uploads = shards.flat_map(|shard| fs::read_dir(shard.path()).into_iter().flatten());
    let blobs = uploads.flatten().map(|upload| upload.path().join("blob"));
    blobs.filter_map(|blob| blob.metadata().ok()).map(|blob| blob.len()).sum()
}

/// Every name below the place of unfinished uploads.
fn upload_dirs(data: &Path) -> usize {
    let shards = fs::read_dir(data.join("tmp/uploads")).into_iter().flatten().flatten();
    shards.map(|shard| fs::read_dir(shard.path()).into_iter().flatten().count()).sum()
}

/// Goes on with an upload from where the server says, and checks the file that came of it.
fn go_on(server: &Server, path: &str, bytes: &[u8]) {
    let at = server.offset(path);
    if at < bytes.len() {
        let answer = server.patch(path, at, &bytes[at..]);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let got = server.send("GET", path, &[], b"");
    assert_eq!((got.status, sha256(&got.body)), (200, sha256(bytes)));
}

/// What doesn't fit is refused before a byte is sent, and leaves nothing; the rest goes on.
#[test]
fn what_cannot_fit_is_refused_at_once() {
    let Some(image) = image(256 << 20) else { return };
    let data = image.mount.join("data");
    let server = Server::on(&data, &[("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "8 MiB")]);
    let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "400000000")];
    let refused = server.send("POST", "/files", &headers, b"");
    refused.assert_problem(507, "out-of-space");
    assert_eq!(upload_dirs(&data), 0, "something half made was left");
    assert_eq!(server.json("/api/uploads")["items"].as_array().map(Vec::len), Some(0));
    let bytes = pattern(3_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    assert_eq!(server.patch(&path, 0, &bytes[..1_000_000]).status, 204);
    server.send("POST", "/files", &headers, b"").assert_problem(507, "out-of-space");
    go_on(&server, &path, &bytes);
}

/// A disk that others fill in the middle of an upload: the answer says so, the offset is honest,
/// and the same upload goes on once there is room again.
#[test]
fn a_disk_that_fills_up_in_mid_upload() {
    let Some(image) = image(320 << 20) else { return };
    let data = image.mount.join("data");
    let mut server = Server::on(&data, &[("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "1 MiB")]);
    let bytes = pattern(40 << 20);
    for left in [6 << 20, 0] {
        let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Defer-Length", "1")];
        let made = server.send("POST", "/files", &headers, b"");
        assert_eq!(made.status, 201, "{}", made.text());
        let path = made.header("location").to_owned();
        // Without a length nothing can be set aside, so the writes themselves meet the end.
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
             Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nTransfer-Encoding: chunked\r\n\
             Content-Type: application/offset+octet-stream\r\nConnection: close\r\n\r\n",
            server.token
        );
        let mut stream = raw(&server.address, &head, b"");
        let chunk = |stream: &mut std::net::TcpStream, bytes: &[u8]| {
            let head = format!("{:x}\r\n", bytes.len());
            stream.write_all(head.as_bytes())?;
            stream.write_all(bytes)?;
            stream.write_all(b"\r\n")
        };
        chunk(&mut stream, &bytes[..4 << 20]).expect("there is room");
        wait_for("the first bytes", || (blob_bytes(&data) >= 3 << 20).then_some(()));
        let ballast = fill(&image, left);
        for piece in bytes[4 << 20..].chunks(1 << 20) {
            if chunk(&mut stream, piece).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            answer.extend_from_slice(&piece[..count]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!is_success(&answer), "{answer}");
        if left > 0 {
            assert!(answer.starts_with("HTTP/1.1 507"), "{answer}");
            assert!(answer.contains("out-of-space"), "{answer}");
        }
        // On a disk without a single block the database fails too, and the server ends: unless it
        // had nothing more to write, and could tell the client.
        if left == 0 && !answer.starts_with("HTTP/1.1 507") {
            assert_eq!(server.ended(), Some(1));
        }
        fs::remove_file(ballast).expect("there is a ballast");
        // The database may have wanted room in the moment without any, which ends the server too.
        let address = server.address.trim_start_matches("http://").to_owned();
        wait_for("it serves, or has ended", || {
            let serves = std::net::TcpStream::connect(&address).is_ok();
            (serves || !server.is_running()).then_some(())
        });
        if !server.is_running() {
            server.restart();
        }
        let at = server.offset(&path);
        assert!(at <= bytes.len());
        let length = bytes.len().to_string();
        let offset = at.to_string();
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Offset", offset.as_str()),
            ("Upload-Length", length.as_str()),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        let answer = server.send("PATCH", &path, &headers, &bytes[at..]);
        assert_eq!(answer.status, 204, "{}", answer.text());
        go_on(&server, &path, &bytes);
    }
}

/// A database without room loses nothing that it acknowledged: the server ends and says so, gives
/// up its reserve, and a restart on the disk that is still full serves again.
#[test]
fn a_database_without_room_recovers_by_a_restart() {
    let Some(image) = image(256 << 20) else { return };
    let data = image.mount.join("data");
    let mut server = Server::on(&data, &[("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "1 MiB")]);
    assert!(data.join("reserve").metadata().expect("a reserve").blocks() * 512 >= 32 << 20);
    let (path, video) = server.create("a.bin", 1000);
    assert_eq!(server.patch(&path, 0, &pattern(1000)[..600]).status, 204);
    let mut acknowledged = String::new();
    let filler = "x".repeat(4000);
    let mut left = Some(8 << 20);
    for round in 0..2000 {
        // First with some room, then with none.
        if round == 0 || round == 20 {
            fill(&image, left.take().unwrap_or(0));
        }
        let description = format!("{round} {filler}");
        let body = format!("{{\"description\":\"{description}\"}}");
        let head = format!(
            "PATCH /api/videos/{video} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            server.token,
            body.len()
        );
        let Ok(mut stream) = std::net::TcpStream::connect(&server.address[7..]) else { break };
        let _ = stream.write_all(head.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        if !is_success(&answer) {
            break;
        }
        acknowledged = description;
    }
    assert!(!acknowledged.is_empty());
    assert_eq!(server.ended(), Some(1), "it ends by itself once the database can't go on");
    assert!(!data.join("reserve").exists(), "the reserve was given up");
    server.restart();
    let after = server.json(&format!("/api/videos/{video}"));
    let number = |text: &str| text.split(' ').next().and_then(|n| n.parse::<u32>().ok());
    let told = after["description"].as_str().and_then(number);
    assert!(told >= number(&acknowledged), "{told:?} < {:?}", number(&acknowledged));
    assert_eq!(server.offset(&path), 600);
    let names: Vec<_> = fs::read_dir(&data).expect("data").flatten().collect();
    let broken = |name: &str| name.starts_with("state.broken");
    assert!(!names.iter().any(|entry| broken(&entry.file_name().to_string_lossy())));
}

/// A server that died with all bytes of an upload synced and its file not yet renamed, to be
/// started again, and the upload's address.
fn stopped_in_a_finish(data: &Path, bytes: &[u8]) -> (Server, String) {
    let settings = [
        ("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "0 MiB"),
        ("SLIPWAY_FAIL_AT", "after-sync-before-rename"),
    ];
    let mut server = Server::on(data, &settings);
    let (path, _) = server.create("a.bin", bytes.len());
    assert!(!is_success(&patched(&server, &path, 0, bytes)));
    server.ended();
    server.forget("SLIPWAY_FAIL_AT");
    (server, path)
}

/// A start on a full disk neither throws a sound database away nor needs a hand afterwards, and
/// an upload whose finish has no room waits for it.
#[test]
fn a_start_on_a_full_disk_spoils_nothing() {
    let Some(image) = image(256 << 20) else { return };
    let data = image.mount.join("data");
    let bytes = pattern(500_000);
    let (mut server, path) = stopped_in_a_finish(&data, &bytes);
    let ballast = fill(&image, 0);
    server.restart();
    let broken = |name: &str| name.starts_with("state.broken");
    let names = || fs::read_dir(&data).expect("data").flatten();
    assert!(!names().any(|entry| broken(&entry.file_name().to_string_lossy())));
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
    fs::remove_file(ballast).expect("there is a ballast");
    go_on(&server, &path, &bytes);
}

/// Dead between any two steps of an upload: the client goes on after the restart, and the file
/// and the video come out right.
#[test]
fn dead_between_any_two_steps() {
    let film = media("silent.mp4");
    let bytes = fs::read(&film).expect("it was generated");
    for moment in [
        "after-write-before-record",
        "after-sync-before-rename",
        "after-rename-before-record",
        "after-record",
        "after-publish-before-manifest",
    ] {
        let mut server = Server::with(&[("SLIPWAY_FAIL_AT", moment)]);
        let (path, video) = server.create("silent.mp4", bytes.len());
        let answer = patched(&server, &path, 0, &bytes);
        let during_upload = moment != "after-publish-before-manifest";
        assert_eq!(is_success(&answer), !during_upload, "{moment}: {answer}");
        assert_eq!(server.ended(), None, "{moment}: it dies like from a kill");
        server.forget("SLIPWAY_FAIL_AT");
        server.restart();
        go_on(&server, &path, &bytes);
        let it = server.settled(&video);
        assert_eq!(it["state"], "ready", "{moment}: {it}");
        assert_eq!(upload_dirs(&server.data), 0, "{moment}: leftovers");
    }
}

/// A tracer that makes calls fail, until dropped.
struct Tracer(Child);

impl Tracer {
    /// Has the `nth` call of `call` in each thread fail with EIO, on `path` only if there is one.
    fn on(server: &Server, call: &str, nth: u32, path: Option<&Path>) -> Option<Self> {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-p", &server.pid().to_string()]);
        command.arg(format!("-etrace={call}")).arg(format!("-einject={call}:error=EIO:when={nth}"));
        if let Some(path) = path {
            command.arg("-P").arg(path);
        }
        let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(why) => {
                eprintln!("skipped: no strace ({why})");
                return None;
            }
        };
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            if said.read_line(&mut line).unwrap_or(0) == 0 {
                eprintln!("skipped: strace can't attach");
                let _ = child.wait();
                return None;
            }
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Some(Self(child))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let pid = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// A sync that fails is never acknowledged: the finishing answer is no success, the server ends
/// with an error, and after a restart the client goes on.
#[test]
fn a_failed_sync_is_never_acknowledged() {
    let bytes = pattern(700_000);
    for (call, nth, place) in [
        ("fdatasync", 1, "blob"),
        ("fsync", 1, "blob"),
        ("fdatasync", 1, "db"),
        ("fsync", 2, "anything"),
        ("fsync", 4, "anything"),
    ] {
        let mut server = Server::start();
        let (path, _) = server.create("a.bin", bytes.len());
        let id = path.rsplit('/').next().expect("an id").to_owned();
        let find = |root: &Path| {
            let shards = fs::read_dir(root.join("tmp/uploads")).expect("uploads").flatten();
            let blobs = shards.map(|shard| shard.path().join(&id).join("blob"));
            blobs.into_iter().find(|blob| blob.exists()).expect("the blob")
        };
        let path_of_call = match place {
            "blob" => Some(find(&server.data)),
            "db" => Some(server.data.join("state/db")),
            _ => None,
        };
        let tracer = Tracer::on(&server, call, nth, path_of_call.as_deref());
        let Some(tracer) = tracer else { return };
        let answer = patched(&server, &path, 0, &bytes);
        assert!(!is_success(&answer), "{call} {nth} on {place}: {answer}");
        assert_eq!(server.ended(), Some(1), "{call} {nth} on {place}");
        drop(tracer);
        server.restart();
        go_on(&server, &path, &bytes);
    }
}

/// The server as a user without rights: an upload becomes a video, and a finish that was cut off
/// is done by a restart although originals are read-only.
#[test]
fn without_rights_it_works_too() {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let mut look = Command::new(nobody[0]);
    look.args(&nobody[1..]).arg(program()).arg("--version").stdout(Stdio::null());
    if !look.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user can't become another one that can run the program");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), mode).expect("it is ours");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("it is ours");
    std::os::unix::fs::chown(&data, Some(65534), Some(65534)).expect("we are root");
    let settings = [("SLIPWAY_FAIL_AT", "after-sync-before-rename"), ("HOME", "/")];
    let mut server = Server::through(&nobody, &data, &settings);
    server.token = fs::read_to_string(data.join("admin-token")).expect("one").trim().to_owned();
    let bytes = fs::read(media("silent.mp4")).expect("it was generated");
    let (path, video) = server.create("silent.mp4", bytes.len());
    assert!(!is_success(&patched(&server, &path, 0, &bytes)));
    assert_eq!(server.ended(), None);
    server.forget("SLIPWAY_FAIL_AT");
    server.restart();
    go_on(&server, &path, &bytes);
    assert_eq!(server.settled(&video)["state"], "ready");
    let other = server.upload(&media("silent.mp4"));
    assert_eq!(server.settled(&other)["state"], "ready");
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    assert!(status.contains("Uid:\t65534\t65534"), "{status}");
}

/// Once a disk has failed to confirm an upload's bytes, it is never said again that they are safe:
/// the kernel tells of the failure once, and a second try succeeds without the bytes.
#[test]
fn a_second_sync_tells_no_other_story() {
    use slipway::clock::Clock;
    use slipway::disk::{Disk, UPLOAD_META_VERSION, UploadMeta};
    use slipway::ids::{Owner, UploadId};
    // Where the disk lies on another one that is full, bytes get lost behind the kernel's back.
    let Some(thin) = Thin::new() else { return };
    let disk = Disk::open(&thin.image.join("data")).expect("a data directory");
    let now = Clock::system().now();
    let id = UploadId::fresh(now);
    let meta = UploadMeta {
        version: UPLOAD_META_VERSION,
        upload: id,
        video: None,
        owner: Owner("ann".to_owned()),
        filename: "a.bin".to_owned(),
        length: None,
        metadata: String::new(),
        created_at: now,
        chunk_size: None,
        concat: None,
        protocol: None,
    };
    disk.create_blob(id, &meta).expect("room for a name");
    let blob = disk.open_blob(id).expect("it was made");
    let piece = bytes::Bytes::from(pattern(1 << 20));
    for n in 0..48 {
        let at = slipway::units::ByteOffset(n << 20);
        blob.write_at(at, std::slice::from_ref(&piece)).expect("the kernel takes it");
    }
    assert!(blob.sync_data().is_err(), "the bytes have no place");
    thin.make_room();
    assert!(blob.sync_data().is_err(), "and they still have none");
}

/// A file system in an image that is larger than the disk it lies on.
struct Thin {
    image: PathBuf,
    store: PathBuf,
    _directory: tempfile::TempDir,
}

impl Thin {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, image) = (directory.path().join("store"), directory.path().join("image"));
        let script = "set -e; mkdir \"$1\" \"$2\"; mount -t tmpfs -o size=24m none \"$1\"; \
                      truncate -s 128M \"$1/disk\"; \
                      mkfs.ext4 -q -F -O ^has_journal \"$1/disk\"; \
                      mount -o loop \"$1/disk\" \"$2\"";
        let thin = Self { image, store, _directory: directory };
        let mut made = Command::new("sh");
        made.args(["-c", script, "sh"]).arg(&thin.store).arg(&thin.image);
        if made.output().is_ok_and(|output| output.status.success()) {
            return Some(thin);
        }
        eprintln!("skipped: no thin file system can be made here");
        None
    }

    /// The disk beneath takes bytes again, from now on.
    fn make_room(&self) {
        let mut command = Command::new("mount");
        let made = command.args(["-o", "remount,size=200m"]).arg(&self.store).status();
        assert!(made.is_ok_and(|status| status.success()));
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        for mount in [&self.image, &self.store] {
            let mut command = Command::new("umount");
            let _ = command.arg("-l").arg(mount).stderr(Stdio::null()).status();
        }
    }
}

/// A video that is deleted while its qualities are published leaves nothing behind, at whatever
/// moment the deletion comes.
#[test]
fn deleted_in_mid_job_leaves_nothing() {
    let server = Server::start();
    let film = media("faststart.mp4");
    for round in 0..12u64 {
        let id = server.upload(&film);
        let directory = server.data.join("media").join(&id[34..]).join(&id);
        wait_for("a published file", || {
            let it = server.json(&format!("/api/videos/{id}"));
            let published = fs::read_dir(&directory).into_iter().flatten().count() as u64;
            (published > round % 4 || it["state"] == "ready").then_some(())
        });
        let answer = server.send("DELETE", &format!("/api/videos/{id}"), &[], b"");
        assert_eq!(answer.status, 204, "{}", answer.text());
        wait_for("the job's scratch to go", || {
            let works = fs::read_dir(server.data.join("work")).into_iter().flatten();
            (works.count() == 0).then_some(())
        });
        wait_for("the published files to go", || (!directory.exists()).then_some(()));
    }
}

/// Work that was stopped is gone on with, or begun again under new addresses: what a player was
/// told of and has kept for a year stays what it is.
#[test]
fn told_addresses_keep_their_bytes() {
    let server = Server::start();
    let id = server.upload(&media("one-key-60s.mp4"));
    let directory = server.data.join("media").join(&id[34..]).join(&id);
    let told = || -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let rungs = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
        let mut files = Vec::new();
        for rung in rungs {
            let playlist = fs::read_to_string(rung.join("media.m3u8")).unwrap_or_default();
            let named = playlist.lines().filter(|line| line.ends_with(".m4s"));
            for file in named.chain((!playlist.is_empty()).then_some("init.mp4")) {
                let path = rung.join(file);
                let bytes = fs::read(&path).expect("what a playlist names is there");
                files.push((path, bytes));
            }
        }
        files
    };
    wait_for("a published segment", || (!told().is_empty()).then_some(()));
    let cancelled = server.send("POST", &format!("/api/videos/{id}/cancel-processing"), &[], b"");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    wait_for("the job's scratch to go", || {
        let works = fs::read_dir(server.data.join("work")).into_iter().flatten();
        (works.count() == 0).then_some(())
    });
    let before = told();
    assert!(!before.is_empty());
    let again = server.send("POST", &format!("/api/videos/{id}/retry-processing"), &[], b"");
    assert!((200..300).contains(&again.status), "{}", again.text());
    wait_for("more segments", || (told().len() > before.len() + 2).then_some(()));
    let mut kept = 0;
    for (path, bytes) in &before {
        // A rung that is made anew leaves its old address when it has caught up.
        let Ok(now) = fs::read(path) else { continue };
        assert!(now == *bytes, "{} has changed", path.display());
        kept += 1;
    }
    assert!(kept > 0, "nothing of {} files was gone on with", before.len());
}

/// A finish that finds no room for a name waits for it: the server starts all the same, and the
/// upload is finished by the next request once there is room.
#[test]
fn a_finish_without_room_keeps_no_server_down() {
    let Some(image) = image(192 << 20) else { return };
    let data = image.mount.join("data");
    let bytes = pattern(500_000);
    let (mut server, path) = stopped_in_a_finish(&data, &bytes);
    // Names run out instead of blocks, so that the database still has what it needs.
    let names = image.mount.join("names");
    fs::create_dir(&names).expect("room for one");
    let made = (0..).take_while(|n| fs::write(names.join(n.to_string()), b"").is_ok()).count();
    let spare = 2;
    for n in made - spare..made {
        fs::remove_file(names.join(n.to_string())).expect("it was made");
    }
    server.restart();
    assert_eq!(server.send("GET", "/healthz", &[], b"").status, 200);
    let head = server.send("HEAD", &path, &[("Tus-Resumable", "1.0.0")], b"");
    assert_eq!(head.status, 507);
    fs::remove_dir_all(&names).expect("they are there");
    go_on(&server, &path, &bytes);
}

/// After a sync that failed the next start believes only what was confirmed, once: the word of it
/// is gone then, and the upload goes on to the right file.
#[test]
fn a_failed_sync_is_remembered_by_the_next_start() {
    let mut server = Server::start();
    let bytes = pattern(3_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    assert_eq!(server.patch(&path, 0, &bytes[..1_000_000]).status, 204);
    server.kill();
    let word = server.data.join("sync-failed");
    fs::write(&word, b"").expect("the directory is ours");
    server.restart();
    assert!(!word.exists());
    assert!(server.offset(&path) <= 1_000_000);
    go_on(&server, &path, &bytes);
}
