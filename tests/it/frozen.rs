//! A disk that stands still, as a network volume or a tired drive does for minutes: whoever needs
//! no write is answered, and who waits for one gets what it asked for when the disk goes on.

use crate::faults::image;
use crate::harness::{Server, pattern, sha256, wait_for};
use crate::power::Image;
use std::process::{Child, Command, Stdio};
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
        wait_for("writes that hang", || (stuck_threads(&server) >= 8).then_some(()));
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

/// Threads of the server that wait for the disk and can't be woken (state D).
fn stuck_threads(server: &Server) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let stats =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('D'))).count()
}
