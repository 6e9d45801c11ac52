//! A child process as a stream of what it says.
//!
//! One thread starts the child, hears it out and reaps it; two more give it its messages and hear
//! its standard error, as a child that doesn't listen must hold up nobody else. The first thread
//! lives exactly as long as the child does: the kernel ties a parent-death signal to the *thread*
//! that started a process, so a child started from a pooled thread would die with that thread.

use crate::wire::{self, WireError};
use crate::worker::StartError;
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Messages that wait to be heard; a child that runs ahead further waits in its `write`.
const QUEUE_MAX: usize = 64;
/// Longest line of a child's standard error that reaches the log.
const LINE_BYTES_MAX: usize = 1024;
/// Lines of one child that reach the log; a hostile file must not fill it.
const LINES_LOGGED_MAX: usize = 200;
/// Lines that are kept for the warning about a crash.
const LINES_KEPT: usize = 8;

/// A child that says messages of type `M`. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process<M> {
    said: mpsc::Receiver<Said<M>>,
    /// Refers to this very process, even if its number were used again.
    handle: OwnedFd,
    id: u32,
    letters: Arc<Letters>,
}

/// What is to be written to a child next. Of messages that it hasn't had yet only the newest
/// counts.
#[derive(Debug, Default)]
struct Letters {
    inner: Mutex<Letter>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Letter {
    next: Option<Vec<u8>>,
    /// Nothing more is to be written.
    ended: bool,
}

impl Letters {
    fn put(&self, message: Vec<u8>) {
        self.lock().next = Some(message);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }

    /// Writes `first` and whatever comes after it to a child's standard input, which stays open
    /// until there is nothing more.
    fn deliver(&self, mut stdin: ChildStdin, first: &[u8]) {
        // A child that dies before it has read everything tells more by how it ended.
        let mut written = stdin.write_all(first).and_then(|()| stdin.flush());
        let mut letter = self.lock();
        while !letter.ended {
            let Some(message) = letter.next.take().filter(|_| written.is_ok()) else {
                letter = self.changed.wait(letter).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(letter);
            written = stdin.write_all(&message).and_then(|()| stdin.flush());
            letter = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Letter> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes from a child.
#[derive(Debug)]
pub(super) enum Said<M> {
    /// A message.
    Message(M),
    /// Something that isn't a message; the child is killed.
    Malformed,
    /// The last of it: the child has ended and is reaped.
    Gone(Gone),
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) status: ExitStatus,
    /// The end of its standard error.
    pub(super) last_lines: Vec<String>,
}

impl Gone {
    /// Says whether Rust's allocator gave up: it aborts, and its message is the only sign.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        self.last_lines.iter().any(|line| line.starts_with("memory allocation of "))
    }
}

impl<M: DeserializeOwned + Send + 'static> Process<M> {
    /// Starts `program args…` with nothing but the given descriptors, no environment and `first`
    /// on its standard input, which stays open until the process ends. `name` is for the log.
    pub(super) fn start(
        program: &Path,
        args: &[&str],
        descriptors: Vec<FdMapping>,
        first: Vec<u8>,
        name: String,
    ) -> Result<Self, StartError> {
        let mut command = Command::new(program);
        command.args(args).arg0("slipway-worker").env_clear().current_dir("/");
        // A group of its own: Ctrl-C at a terminal is for the server, which then stops in order.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.fd_mappings(descriptors).map_err(|e| StartError::Spawn(io::Error::other(e)))?;

        let (say, said) = mpsc::channel(QUEUE_MAX);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let letters = Arc::<Letters>::default();
        let ours = letters.clone();
        thread::Builder::new()
            .name("worker-child".to_owned())
            .spawn(move || run(command, (&first, &ours), &name, &started, &say))
            .map_err(StartError::Spawn)?;
        let (handle, id) = start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread of the child ended")))
            .map_err(StartError::Spawn)?;
        Ok(Self { said, handle, id, letters })
    }

    /// Has a message written to the child's standard input; one that wasn't written yet is dropped
    /// for it. Blocks for no time.
    pub(super) fn tell(&self, message: Vec<u8>) {
        self.letters.put(message);
    }

    /// Returns what the child says next.
    ///
    /// # Cancel
    /// Safe.
    pub(super) async fn said(&mut self) -> Said<M> {
        // The channel is closed only after `Gone`, and nobody asks on after that.
        self.said.recv().await.unwrap_or(Said::Malformed)
    }

    /// Kills the process and waits until it is reaped; what it said meanwhile is dropped.
    ///
    /// # Cancel
    /// The signal is sent at once; a dropped call only doesn't wait.
    pub(super) async fn kill(&mut self) {
        self.signal_kill();
        while self.said.recv().await.is_some() {}
    }

    /// Returns the process id.
    pub(super) fn id(&self) -> u32 {
        self.id
    }
}

impl<M> Process<M> {
    fn signal_kill(&self) {
        // It fails only for a process that has been reaped already.
        let _ = pidfd_send_signal(self.handle.as_fd(), Signal::KILL);
    }
}

impl<M> Drop for Process<M> {
    fn drop(&mut self) {
        self.signal_kill();
    }
}

type Started = io::Result<(OwnedFd, u32)>;

/// The life of one child, on its own thread.
fn run<M: DeserializeOwned>(
    mut command: Command,
    (first, letters): (&[u8], &Letters),
    name: &str,
    started: &SyncSender<Started>,
    say: &mpsc::Sender<Said<M>>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return drop(started.send(Err(error))),
    };
    // The command holds this process's copies of the child's descriptors.
    drop(command);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (handle, (Some(stdin), Some(stdout), Some(stderr))) = (open_handle(child.id()), pipes)
    else {
        let _ = child.kill();
        let _ = child.wait();
        return drop(started.send(Err(io::Error::other("the child came without its pipes"))));
    };
    let known = handle.is_ok();
    let _ = started.send(handle.map(|handle| (handle, child.id())));
    let logged = thread::scope(|scope| {
        let lines = thread::Builder::new()
            .name("worker-stderr".to_owned())
            .spawn_scoped(scope, || log_lines(stderr, name));
        let post = thread::Builder::new()
            .name("worker-stdin".to_owned())
            .spawn_scoped(scope, || letters.deliver(stdin, first));
        if !known || lines.is_err() || post.is_err() || !hear(stdout, say) {
            let _ = child.kill();
        }
        letters.end();
        // Its standard error ends with it, for it can't have children; so the log thread ends.
        let status = child.wait();
        let last_lines =
            lines.ok().and_then(|thread| thread.join().ok()).unwrap_or_default().into();
        status.map(|status| Gone { status, last_lines })
    });
    match logged {
        Ok(gone) => {
            debug!(child = name, status = %gone.status, "worker child of {name} ended");
            let _ = say.blocking_send(Said::Gone(gone));
        }
        Err(error) => warn!(child = name, %error, "worker child of {name} can't be waited for"),
    }
}

fn open_handle(id: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("not a process id"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Hears a child out; false if it is to be killed.
fn hear<M: DeserializeOwned>(stdout: ChildStdout, say: &mpsc::Sender<Said<M>>) -> bool {
    let mut stdout = BufReader::new(stdout);
    loop {
        match wire::receive(&mut stdout) {
            Ok(Some(message)) => {
                if say.blocking_send(Said::Message(message)).is_err() {
                    return false;
                }
            }
            Ok(None) => return true,
            // The beginning of a message and then the end: the child died while it spoke.
            Err(WireError::Malformed(e)) if e.is_eof() && at_end(&mut stdout) => return true,
            Err(error) => {
                debug!(%error, "a worker child said something that isn't a message");
                let _ = say.blocking_send(Said::Malformed);
                return false;
            }
        }
    }
}

fn at_end(from: &mut impl BufRead) -> bool {
    from.fill_buf().map_or(true, <[u8]>::is_empty)
}

/// Logs what the child writes to its standard error, within bounds, and returns its last lines.
fn log_lines(stderr: ChildStderr, name: &str) -> VecDeque<String> {
    let mut stderr = BufReader::new(stderr);
    let mut last = VecDeque::with_capacity(LINES_KEPT);
    let mut count = 0_usize;
    loop {
        let mut line = Vec::new();
        let read = stderr.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
        if read.map_or(true, |read| read == 0) {
            return last;
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if count < LINES_LOGGED_MAX {
            // `?` escapes: a file's own words may be in it.
            debug!(child = name, ?line, "worker child of {name} says");
        }
        count += 1;
        if last.len() == LINES_KEPT {
            last.pop_front();
        }
        last.push_back(line);
    }
}
