//! Power cuts: whatever was promised as durable is there, whole, after the disk has lost all that
//! it wasn't made to confirm.
//!
//! A file system in a loop-mounted image is shut down under a writer without its log being
//! flushed, which is what a power cut leaves behind. This needs root; without, it says that it was
//! skipped.

use crate::crash::{playlists, segments, whole};
use crate::harness::{Server, media, wait_for};
use crate::playback::{judged, walk_for};
use bytes::Bytes;
use slipway::clock::Clock;
use slipway::disk::{Disk, FACTS_VERSION, Facts, UPLOAD_META_VERSION, UploadMeta};
use slipway::ids::{JobId, Owner, UploadId, VideoId};
use slipway::model::upload::{Protocol, UploadState};
use slipway::model::video::{VideoKind, VideoState, Visibility};
use slipway::state::{JobRecord, State, UploadRecord, VideoRecord};
use slipway::units::{ByteCount, ByteOffset, Ranges, UnixMillis};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Tells the writer where to write; without it, it isn't one.
const WRITER_DIR: &str = "SLIPWAY_TEST_POWER_DIR";

/// What one upload writes and confirms at a time.
const STEP_BYTES: u64 = 40_000;

/// Steps of one upload; it is finished after the last.
const STEPS: u64 = 4;

/// Acknowledgements after which the power is cut, one round each.
const CUTS: [usize; 6] = [3, 40, 90, 170, 300, 500];

/// Records without bytes between two uploads. Syncing bytes has the file system commit whatever
/// else it has pending, which would hide a database that doesn't sync by itself.
const RECORDS: usize = 60;

/// A kind of file system that can be shut down as by a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's own.
    Ext4,
    /// The one for large files.
    Xfs,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4",
            Self::Xfs => "mkfs.xfs",
        }
    }
}

/// A file system in a file, mounted until it is dropped.
pub struct Image {
    /// Where it is mounted.
    pub mount: PathBuf,
    image: PathBuf,
    _dir: tempfile::TempDir,
}

impl Image {
    /// Makes and mounts one; says why it can't.
    pub fn new() -> Result<Self, String> {
        Self::of(192 << 20)
    }

    /// Makes and mounts one of this many bytes; says why it can't.
    pub fn of(bytes: u64) -> Result<Self, String> {
        Self::made(Kind::Ext4, bytes)
    }

    /// Makes and mounts one of this kind; says why it can't. The smallest of xfs has 300 MiB.
    pub fn made(kind: Kind, bytes: u64) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let (image, mount) = (dir.path().join("image"), dir.path().join("mount"));
        fs::create_dir(&mount).map_err(|e| e.to_string())?;
        let file = fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(bytes).map_err(|e| e.to_string())?;
        let force = if kind == Kind::Xfs { "-f" } else { "-F" };
        run(kind.program(), &["-q".as_ref(), force.as_ref(), image.as_os_str()])?;
        let made = Self { mount, image, _dir: dir };
        made.mount()?;
        Ok(made)
    }

    /// Mounts it again; its log is replayed.
    pub fn mount(&self) -> Result<(), String> {
        let (image, mount) = (self.image.as_os_str(), self.mount.as_os_str());
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, mount])
    }

    /// Unmounts it; nobody may use it any more.
    pub fn unmount(&self) -> Result<(), String> {
        run("umount", &[self.mount.as_os_str()])
    }

    /// Stops the file system at once, its log unflushed (`FS_IOC_SHUTDOWN`, flag 2).
    pub fn cut_power(&self) -> Result<(), String> {
        let script = "my $how = pack('L', 2); open(F, '<', $ARGV[0]) or die $!; \
                      ioctl(F, 0x8004587d, $how) or die $!";
        run("perl", &["-e".as_ref(), script.as_ref(), self.mount.as_os_str()])
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // A child may still be on its way out; the mount goes with its last file then.
        let _ = self.unmount().or_else(|_| run("umount", &["-l".as_ref(), self.mount.as_os_str()]));
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {said}")) }
}

/// The writer, ended even when the test fails.
struct Writer(Child);

impl Writer {
    fn start(dir: &Path) -> Self {
        let this = std::env::current_exe().expect("this test has a path");
        let child = Command::new(this)
            .args(["power::writes_until_the_power_is_cut", "--exact", "--nocapture"])
            .env(WRITER_DIR, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("this test can run itself"))
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nothing that was acknowledged as durable is missing or wrong after a power cut, at whatever
/// moment, and the database opens by itself.
#[test]
fn durable_means_durable() {
    let mut image = match Image::new() {
        Ok(image) => image,
        Err(why) => {
            eprintln!("skipped: a power cut can't be simulated here ({why})");
            return;
        }
    };
    for cut in CUTS {
        let data = image.mount.join("data");
        let mut writer = Writer::start(&data);
        let output = writer.0.stdout.take().expect("it is piped");
        let mut acknowledged = Vec::new();
        for line in BufReader::new(output).lines() {
            let line = line.expect("the writer writes text");
            // The test runner's own words come between.
            if let Some(promise) = Promise::parse(&line) {
                acknowledged.push(promise);
            }
            if acknowledged.len() >= cut {
                break;
            }
        }
        assert!(acknowledged.len() >= cut, "the writer ended by itself");
        image.cut_power().expect("ext4 can be shut down");
        writer.end();
        image.unmount().expect("nobody uses it any more");
        image.mount().expect("the log is replayed");
        check(&data, &acknowledged);
        drop(image);
        image = Image::new().expect("it worked before");
    }
}

/// What the writer was told.
#[derive(Debug)]
enum Promise {
    /// An upload is known, and nothing else.
    Recorded(UploadId),
    /// The first bytes of an upload are durable.
    Durable(UploadId, u64),
    /// An upload is finished and its video queued.
    Finished(UploadId, VideoId),
}

impl Promise {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (kind, id, rest) = (words.next()?, words.next()?, words.next()?);
        let id = UploadId::parse(id).ok()?;
        match kind {
            "recorded" => Some(Self::Recorded(id)),
            "durable" => Some(Self::Durable(id, rest.parse().ok()?)),
            "finished" => Some(Self::Finished(id, VideoId::parse(rest).ok()?)),
            _ => None,
        }
    }
}

fn check(data: &Path, acknowledged: &[Promise]) {
    let disk = Disk::open(data).expect("the data directory opens");
    let state = State::open(&disk.state_dir()).expect("the database opens");
    for promise in acknowledged {
        match promise {
            Promise::Recorded(id) => {
                assert!(state.upload(*id).expect("read").is_some(), "{promise:?} is lost");
            }
            Promise::Durable(id, end) => {
                let upload = state.upload(*id).expect("read").expect("it was recorded");
                let durable = upload.received.durable.contiguous_end();
                assert!(durable.0 >= *end, "{promise:?}: {durable} is recorded");
            }
            Promise::Finished(id, video) => {
                let upload = state.upload(*id).expect("read").expect("it was recorded");
                assert_eq!(upload.state, UploadState::Finished);
                let record = state.video(*video).expect("read").expect("it was recorded");
                assert_eq!(record.state, VideoState::Queued);
                let job = record.job.expect("its job");
                assert!(state.job(job).expect("read").is_some());
                assert!(disk.facts(*video).expect("read").is_some());
            }
        }
    }
    // And whatever the records claim, told or not, the bytes bear it out.
    for upload in state.uploads().expect("read") {
        let claimed = upload.received.durable.contiguous_end().0;
        let Some(video) = upload.video else { continue };
        let bytes = match upload.state {
            UploadState::Finished => original(&disk, video),
            // The blob may be in either place.
            UploadState::Finishing => {
                blob(&disk, upload.id, claimed).unwrap_or_else(|| original(&disk, video))
            }
            _ if claimed == 0 => continue,
            _ => blob(&disk, upload.id, claimed).expect("a blob under every claim"),
        };
        let expected = pattern(upload.id, claimed);
        assert!(bytes[..expected.len()] == expected, "{}: wrong bytes", upload.id);
    }
}

fn blob(disk: &Disk, id: UploadId, claimed: u64) -> Option<Vec<u8>> {
    let blob = disk.open_blob(id).ok()?;
    let file = fs::File::from(std::os::fd::AsFd::as_fd(&blob).try_clone_to_owned().ok()?);
    let mut bytes = vec![0; claimed as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

fn original(disk: &Disk, video: VideoId) -> Vec<u8> {
    let mut file = disk.open_original(video).expect("an original");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    assert_eq!(file.size(), ByteCount(STEPS * STEP_BYTES));
    bytes
}

/// Bytes that no other upload has at the same place.
fn pattern(id: UploadId, end: u64) -> Vec<u8> {
    let seed = u64::from_le_bytes(id.as_bytes()[8..].try_into().expect("eight bytes"));
    (0..end).map(|at| (at.wrapping_mul(31).wrapping_add(at >> 8) ^ seed) as u8).collect()
}

/// Power cuts in the middle of a job, again and again: what is published afterwards is whole, under
/// an address are the bytes that were there before or nothing, and the video becomes ready.
#[test]
fn a_power_cut_in_mid_job_costs_no_video() {
    for (kind, cuts) in [(Kind::Ext4, [1, 5, 9].as_slice()), (Kind::Xfs, &[4])] {
        match Image::made(kind, 384 << 20) {
            Ok(image) => job_under_cuts(&image, cuts),
            Err(why) => eprintln!("skipped: a power cut of {kind:?} can't be simulated ({why})"),
        }
    }
}

/// Cuts the power whenever the job has published so many segments of its pictures.
fn job_under_cuts(image: &Image, cuts: &[usize]) {
    let settings = [("SLIPWAY_MEDIA__LADDER", "[240]"), ("SLIPWAY_BOOT_ID", "boot 0")];
    let mut server = Server::on(&image.mount.join("data"), &settings);
    let id = server.upload(&media("one-key-60s.mp4"));
    let published = server.data.join("media");
    let mut seen = BTreeMap::new();
    for (boot, least) in cuts.iter().enumerate() {
        let media = wait_for("some more segments", || {
            let media = walk_for(&published, &id)?;
            let lists = playlists(&media);
            let pictures = lists.iter().filter(|(rung, _)| rung.starts_with("240p-"));
            let count = pictures.map(|(_, list)| list.matches("#EXTINF").count()).max();
            (count >= Some(*least)).then_some(media)
        });
        let ready = ready_renditions(&server, &id);
        seen.extend(segments(&media));
        image.cut_power().expect("it can be shut down");
        server.kill();
        // Children of the server follow it in their own time.
        wait_for("the file system to be let go", || image.unmount().ok());
        image.mount().expect("its log is replayed");
        server.set("SLIPWAY_BOOT_ID", &format!("boot {}", boot + 1));
        server.restart();
        wait_for("the work to go on", || {
            let manifest = std::fs::read(media.join("manifest.json")).ok()?;
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).ok()?;
            (manifest["boot"] == format!("boot {}", boot + 1)).then_some(())
        });
        let now = ready_renditions(&server, &id);
        assert!(ready.iter().all(|name| now.contains(name)), "{ready:?} before, {now:?}");
        for (name, sum) in segments(&media) {
            assert!(seen.get(&name).is_none_or(|before| *before == sum), "{name} is another");
        }
        let it = server.json(&format!("/api/videos/{id}"));
        if let Some(list) = it["playback"]["hls"].as_str() {
            assert_eq!(server.send("GET", list, &[], b"").status, 200, "{it}");
        }
    }
    let it = server.settled(&id);
    assert_eq!((&it["state"], it["warnings"].as_array().map(Vec::len)), (&"ready".into(), Some(0)));
    for (name, sum) in segments(&walk_for(&published, &id).expect("published")) {
        assert!(seen.get(&name).is_none_or(|before| *before == sum), "{name} is another");
    }
    whole(&server, &it);
    let findings = judged(&server, &it);
    assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{findings:#?}");
}

/// The names of a video's renditions that are told to be ready.
fn ready_renditions(server: &Server, id: &str) -> Vec<String> {
    let it = server.json(&format!("/api/videos/{id}"));
    let all = it["renditions"].as_array().expect("a list").iter();
    let ready = all.filter(|rendition| rendition["state"] == "ready");
    ready.map(|rendition| rendition["name"].as_str().expect("a name").to_owned()).collect()
}

/// Not a test by itself: what [`durable_means_durable`] runs in a process of its own. It uploads
/// for ever and says what it was promised.
#[test]
fn writes_until_the_power_is_cut() {
    let Some(data) = std::env::var_os(WRITER_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let disk = Disk::open(Path::new(&data)).expect("a fresh data directory");
        let state = State::open(&disk.state_dir()).expect("a fresh database");
        loop {
            upload(&disk, &state).await;
            for _ in 0..RECORDS {
                record(&state).await;
            }
        }
    });
}

async fn record(state: &State) {
    let now = Clock::system().now();
    let (id, video) = (UploadId::fresh(now), VideoId::fresh(now));
    let mut record = upload_record(id, video, ByteCount(1), now);
    record.video = None;
    state.create_upload(record, None).await.expect("recorded");
    say(&format!("recorded {id} {video}"));
}

async fn upload(disk: &Disk, state: &State) {
    let now = Clock::system().now();
    let (id, video) = (UploadId::fresh(now), VideoId::fresh(now));
    let size = ByteCount(STEPS * STEP_BYTES);
    let facts = facts(video, size, now);
    disk.create_blob(id, &meta(id, video, size, now)).expect("created");
    let record = upload_record(id, video, size, now);
    let video_record = VideoRecord {
        upload: Some(id),
        state: VideoState::Uploading,
        ..VideoRecord::from_facts(facts.clone())
    };
    state.create_upload(record, Some(video_record)).await.expect("created");
    let epoch = state.lease_upload(id).await.expect("leased").epoch;
    let blob = disk.open_blob(id).expect("opened");
    let bytes = Bytes::from(pattern(id, size.0));
    for step in 0..STEPS {
        let (from, to) = (step * STEP_BYTES, (step + 1) * STEP_BYTES);
        let piece = bytes.slice(from as usize..to as usize);
        blob.write_at(ByteOffset(from), &[piece]).expect("written");
        let there = Ranges::up_to(ByteOffset(to));
        state.note_written(id, epoch, "b", there.clone(), now, now).await.expect("noted");
        blob.sync_data().expect("confirmed");
        state.note_durable(id, epoch, there).await.expect("noted");
        say(&format!("durable {id} {to}"));
    }
    state.begin_finish(id, epoch, size).await.expect("begun");
    disk.finish_blob(id, video, size, &facts).expect("finished");
    let job = JobRecord::new(JobId::fresh(now), video, facts.owner, now);
    state.finish_upload(id, epoch, now, size, Some(job)).await.expect("finished");
    say(&format!("finished {id} {video}"));
    disk.remove_upload(id).expect("removed");
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The reader has gone once the power is cut.
    let _ = writeln!(out, "\n{line}").and_then(|()| out.flush());
}

fn meta(upload: UploadId, video: VideoId, size: ByteCount, now: UnixMillis) -> UploadMeta {
    UploadMeta {
        version: UPLOAD_META_VERSION,
        upload,
        video: Some(video),
        owner: Owner("ann".to_owned()),
        filename: "film.mov".to_owned(),
        length: Some(size),
        metadata: String::new(),
        created_at: now,
        chunk_size: None,
        concat: None,
        protocol: None,
    }
}

fn facts(video: VideoId, size: ByteCount, now: UnixMillis) -> Facts {
    Facts {
        version: FACTS_VERSION,
        video,
        owner: Owner("ann".to_owned()),
        kind: VideoKind::Video,
        title: "film".to_owned(),
        description: String::new(),
        tags: Vec::new(),
        filename: "film.mov".to_owned(),
        session: None,
        size,
        visibility: Visibility::Private,
        sha256: None,
        created_at: now,
        uploaded_at: Some(now),
        source: None,
        chosen: None,
    }
}

fn upload_record(id: UploadId, video: VideoId, size: ByteCount, now: UnixMillis) -> UploadRecord {
    let owner = Owner("ann".to_owned());
    UploadRecord {
        video: Some(video),
        length: Some(size),
        filename: "film.mov".to_owned(),
        ..UploadRecord::new(id, owner, Protocol::Tus, now)
    }
}
