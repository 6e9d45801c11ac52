//! Running a program that is asked something: a question on its standard input, an answer on its
//! standard output, and an end, together with all that it has started, at the deadline.
//!
//! One thread does all of it and waits for whatever comes first: room in a pipe, bytes in one, the
//! program's end, the deadline.

use super::reply::BYTES_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Where programs find others; nothing of the server's own environment reaches them.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes of standard error that are kept for the log.
const ERROR_BYTES_MAX: usize = 4096;

/// Characters of its last line that reach the log.
const ERROR_CHARS_MAX: usize = 200;

/// How often it is looked whether anybody still wants the answer.
const LOOK: Duration = Duration::from_millis(100);

/// A program that is asked something.
pub(super) struct Run<'a> {
    pub(super) path: &'a Path,
    /// Its only argument.
    pub(super) word: &'a str,
    /// When it is ended.
    pub(super) until: Instant,
    /// Says whether somebody still wants the answer.
    pub(super) is_wanted: &'a dyn Fn() -> bool,
}

/// A process with all that it has started in its group, until dropped.
struct Group {
    child: Child,
    pid: Pid,
}

impl Group {
    fn begin(run: &Run<'_>) -> io::Result<Self> {
        let mut command = Command::new(run.path);
        command.arg(run.word).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        Ok(Self { child, pid })
    }

    /// Ends all of them; returns how the first one ended.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // Before it is reaped: until then nobody else can have its number.
        let _ = kill_process_group(self.pid, Signal::KILL);
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let is_reaped = matches!(self.child.try_wait(), Ok(Some(_)));
        if !is_reaped {
            let _ = self.end();
        }
    }
}

/// The pipes of a program.
struct Pipes {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    said: Vec<u8>,
    complained: Vec<u8>,
}

/// Runs a program with `input` and returns what it wrote, if it ended well.
///
/// # Errors
/// A sentence that tells why there is no answer, with the end of what it wrote to standard error.
pub(super) fn run(run: &Run<'_>, input: &[u8]) -> Result<Vec<u8>, String> {
    let cause = |error: io::Error| format!("the program can't be run: {error}");
    let mut group = Group::begin(run).map_err(cause)?;
    let mut pipes = Pipes::of(&mut group.child).map_err(cause)?;
    let gone = pidfd_open(group.pid, PidfdFlags::empty()).map_err(|error| cause(error.into()))?;
    let ended = pipes.talk(run, input, &gone);
    let status = group.end().map_err(cause)?;
    // What it wrote before its end is in the pipes still.
    let read = pipes.read();
    ended.and(read).map_err(|why| pipes.explained(why))?;
    match status.success() {
        true => Ok(pipes.said),
        false => Err(pipes.explained(format!("the program ended with {status}"))),
    }
}

impl Pipes {
    fn of(child: &mut Child) -> io::Result<Self> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ends = [
            stdin.as_ref().map(AsFd::as_fd),
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        for end in ends.into_iter().flatten() {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        Ok(Self { stdin, stdout, stderr, said: Vec::new(), complained: Vec::new() })
    }

    /// Gives it its input and hears it out until it ends.
    fn talk(&mut self, run: &Run<'_>, mut input: &[u8], gone: &OwnedFd) -> Result<(), String> {
        loop {
            let left = run.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("no answer in time; the program was ended".to_owned());
            }
            if !(run.is_wanted)() {
                return Err("nobody waits for the answer any more".to_owned());
            }
            if self.wait(left.min(LOOK), gone).map_err(|error| error.to_string())? {
                return Ok(());
            }
            self.write(&mut input);
            self.read()?;
        }
    }

    /// Waits until something can be written or read; says whether the program has ended.
    fn wait(&self, most: Duration, gone: &OwnedFd) -> io::Result<bool> {
        let stdin = self.stdin.as_ref().map(|it| PollFd::new(it, PollFlags::OUT));
        let stdout = self.stdout.as_ref().map(|it| PollFd::new(it, PollFlags::IN));
        let stderr = self.stderr.as_ref().map(|it| PollFd::new(it, PollFlags::IN));
        let mut ends: Vec<PollFd<'_>> = vec![PollFd::new(gone, PollFlags::IN)];
        ends.extend([stdin, stdout, stderr].into_iter().flatten());
        let most = Timespec::try_from(most).map_err(io::Error::other)?;
        match poll(&mut ends, Some(&most)) {
            Ok(_) => Ok(!ends[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Writes what there is room for. A program need not read what it is asked.
    fn write(&mut self, input: &mut &[u8]) {
        let Some(stdin) = &mut self.stdin else { return };
        while !input.is_empty() {
            match stdin.write(input) {
                Ok(count) => *input = &input[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.stdin = None;
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), String> {
        if drain(&mut self.stdout, &mut self.said, usize::try_from(BYTES_MAX).unwrap_or(0)) {
            return Err(format!("the answer has more than {BYTES_MAX} bytes"));
        }
        // More than this of it isn't wanted, and holds up nothing.
        if drain(&mut self.stderr, &mut self.complained, ERROR_BYTES_MAX) {
            self.stderr = None;
        }
        Ok(())
    }

    /// Adds the end of what it wrote to standard error.
    fn explained(&self, why: String) -> String {
        let text = String::from_utf8_lossy(&self.complained);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let last: String = last.trim().chars().take(ERROR_CHARS_MAX).collect();
        match last.is_empty() {
            true => why,
            false => format!("{why} ({})", last.escape_debug()),
        }
    }
}

/// Reads a pipe for as long as something is in it, and lets go of it at its end; says whether there
/// is more than `most`.
fn drain<R: Read>(pipe: &mut Option<R>, into: &mut Vec<u8>, most: usize) -> bool {
    let mut piece = [0; 4096];
    while let Some(from) = pipe {
        match from.read(&mut piece) {
            Ok(0) => *pipe = None,
            Ok(count) => {
                into.extend_from_slice(&piece[..count]);
                if into.len() > most {
                    into.truncate(most);
                    return true;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => *pipe = None,
        }
    }
    false
}
