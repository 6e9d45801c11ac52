//! A disk that stands still, as a network volume or a tired drive does for minutes: whoever needs
//! nothing of it is answered, and who waits for it gets what it asked for when the disk goes on.
//! A job's process may be killed meanwhile.

use crate::crash::{kill_9, playlists, segments, whole, workers_of};
use crate::faults::image;
use crate::harness::{Server, media, pattern, sha256, wait_for};
use crate::playback::{judged, walk_for};
use crate::power::Image;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Uploads that wait for the disk: more than all threads that the server has on this machine.
const UPLOADS: usize = 64;

/// A file system that takes no write until this is dropped, or the test has died.
struct Frozen(Child);

impl Frozen {
    fn new(image: &Image) -> Self {
        // The shell outlives a test that is killed, sees its end and lets the disk go on.
        let script = "fsfreeze -f \"$1\" && echo frozen; read -r _; fsfreeze -u \"$1\"";
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", script, "sh"]).arg(&image.mount);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("a shell");
        let mut said = [0; 7];
        let from = child.stdout.as_mut().expect("it is piped");
        std::io::Read::read_exact(from, &mut said).expect("ext4 can be frozen");
        Self(child)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Writes that hang hold up neither the pages nor what is read from the state, and are
/// acknowledged once the disk goes on, with the right bytes.
#[test]
fn a_disk_that_stands_still_stops_no_worker() {
    let Some(image) = image(320 << 20) else { return };
    let server = Server::on(&image.mount.join("data"), &[]);
    let bytes = pattern(600_000);
    let half = bytes.len() / 2;
    let paths: Vec<_> = (0..UPLOADS)
        .map(|n| server.create(&format!("{n}.bin"), bytes.len()).0)
        .inspect(|path| assert_eq!(server.patch(path, 0, &bytes[..half]).status, 204))
        .collect();
    let (started, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let frozen = Frozen::new(&image);
        for path in &paths {
            scope.spawn(|| {
                started.fetch_add(1, Ordering::SeqCst);
                let answer = server.patch(path, half, &bytes[half..]);
                over.fetch_add(1, Ordering::SeqCst);
                assert_eq!(answer.status, 204, "{}", answer.text());
            });
        }
        wait_for("all of them to send", || {
            (started.load(Ordering::SeqCst) == UPLOADS).then_some(())
        });
        wait_for("writes that hang", || (stuck_threads(server.pid()) >= 8).then_some(()));
        for page in ["/healthz", "/", "/api/videos", "/api/uploads?state=partial"] {
            assert_eq!(server.send("GET", page, &[], b"").status, 200, "{page}");
        }
        assert_eq!(over.load(Ordering::SeqCst), 0, "the disk didn't stand still");
        drop(frozen);
    });
    for path in &paths {
        let got = server.send("GET", path, &[], b"");
        assert_eq!((got.status, sha256(&got.body)), (200, sha256(&bytes)));
    }
}

/// Threads of a process that wait for a disk and can't be woken (state D).
fn stuck_threads(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let stats =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D'))).count()
}

/// The child killed while it can't write: what needs no write is answered meanwhile, and when the
/// disk goes on the job does too, behind what was published, under the same addresses.
#[test]
fn a_child_killed_on_a_disk_that_stands_still() {
    let Some(image) = image(320 << 20) else { return };
    let settings = [("SLIPWAY_MEDIA__LADDER", "[240]")];
    let server = Server::on(&image.mount.join("data"), &settings);
    let id = server.upload(&media("one-key-60s.mp4"));
    let published = || {
        let media = walk_for(&server.data.join("media"), &id)?;
        let count = playlists(&media).get("240p-1")?.matches("#EXTINF").count();
        (count >= 2).then_some(media)
    };
    let media = wait_for("some segments", published);
    let frozen = Frozen::new(&image);
    let child = workers_of(server.pid()).first().copied().expect("it isn't done yet");
    wait_for("a write that hangs", || (stuck_threads(child) > 0).then_some(()));
    kill_9(child);
    for page in ["/healthz", "/", &format!("/api/videos/{id}")] {
        assert_eq!(server.send("GET", page, &[], b"").status, 200, "{page}");
    }
    let before = segments(&media);
    drop(frozen);
    let it = server.settled(&id);
    assert_eq!((&it["state"], it["warnings"].as_array().map(Vec::len)), (&"ready".into(), Some(0)));
    let after = segments(&media);
    for (segment, sum) in &before {
        assert_eq!(after.get(segment), Some(sum), "{segment} stays as it was");
    }
    assert_eq!(playlists(&media).into_keys().collect::<Vec<_>>(), ["240p-1", "audio-1"]);
    whole(&server, &it);
    let findings = judged(&server, &it);
    assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{findings:#?}");
}

/// A file whose reads hang, after some, until this is dropped or the test has died.
struct Held {
    keeper: Child,
    readers: BufReader<ChildStdout>,
}

impl Held {
    /// Lets `reads` of a file pass and holds those that follow; says why it can't.
    fn new(file: &Path, reads: usize) -> Result<Self, String> {
        // Asks the kernel to be asked before each read (fanotify), and doesn't answer. What is
        // held goes on when the asking ends.
        let script = "import ctypes, os, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
mark = libc.fanotify_mark
mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]
asked = libc.fanotify_init(4, os.O_RDONLY)
if asked < 0 or mark(asked, 1, 0x20000, -100, os.fsencode(sys.argv[1])) < 0:
    print(os.strerror(ctypes.get_errno()), flush=True)
    sys.exit(1)
print(flush=True)
def keep(left):
    while True:
        *_, file, pid = struct.unpack('=IBBHQii', os.read(asked, 24))
        if left > 0:
            left -= 1
            os.write(asked, struct.pack('=iI', file, 1))
        else:
            print(pid, flush=True)
        os.close(file)
threading.Thread(target=keep, args=[int(sys.argv[2])], daemon=True).start()
sys.stdin.read()
os._exit(0)";
        let mut command = Command::new("setsid");
        command.args(["python3", "-c", script]).arg(file).arg(reads.to_string());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut keeper = child.expect("python");
        let readers = BufReader::new(keeper.stdout.take().expect("it is piped"));
        let mut held = Self { keeper, readers };
        let said = held.line();
        if said.is_empty() { Ok(held) } else { Err(said) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.readers.read_line(&mut line).expect("the keeper writes text");
        line.trim().to_owned()
    }

    /// Waits until one more read is held; returns the process whose it is.
    fn reader(&mut self) -> u32 {
        self.line().parse().expect("a process id")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The child killed in the middle of a read of a source that stands still, at its beginning and
/// further on: another one takes over, the server ends when it is told to, and the video is whole
/// when the source goes on.
#[test]
fn a_child_killed_in_mid_read() {
    for reads in [0, 12] {
        // Nothing reads the film before it is the source.
        let mut server = Server::with(&[("SLIPWAY_MEDIA__LIVE_WORKERS", "0")]);
        let film = std::fs::read(media("faststart.mp4")).expect("it was generated");
        let (path, id) = server.create("film.mp4", film.len());
        let last = film.len() - 1;
        assert_eq!(server.patch(&path, 0, &film[..last]).status, 204);
        let upload = path.rsplit('/').next().expect("an id");
        let uploads = server.data.join("tmp/uploads");
        let blob = walk_for(&uploads, upload).expect("it is there").join("blob");
        let mut held = match Held::new(&blob, reads) {
            Ok(held) => held,
            Err(why) => {
                eprintln!("skipped: a read can't be held here ({why})");
                return;
            }
        };
        // What was a blob is the source from now on: the same file, which the keeper knows.
        assert_eq!(server.patch(&path, last, &film[last..]).status, 204);
        let first = held.reader();
        assert_eq!(workers_of(server.pid()), [first], "it's the child that reads");
        assert_eq!(server.json(&format!("/api/videos/{id}"))["state"], "processing");
        kill_9(first);
        let second = held.reader();
        assert!(second != first && workers_of(server.pid()) == [second], "another one took over");
        assert_eq!(server.terminate(), Some(0));
        server.restart();
        let third = held.reader();
        // The child that a start looks at its confinement with may be there as well.
        assert!(workers_of(server.pid()).contains(&third));
        drop(held);
        let it = server.settled(&id);
        assert_eq!(it["state"], "ready", "{it}");
        assert_eq!(it["warnings"].as_array().map(Vec::len), Some(0), "{it}");
        whole(&server, &it);
    }
}
