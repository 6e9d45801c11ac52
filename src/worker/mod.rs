//! Runs media work in a confined child process of this same binary, one child for each job.
//!
//! The server's side is [`start`] and [`Child`]: hand over an order and two open descriptors, hear
//! reports, learn how it ended. The child's side is [`child_main`]: give away every right that the
//! work doesn't need, then do the work. FFmpeg never runs in the serving process, and a child that
//! crashes, hangs or is taken over by a hostile file ends one job and nothing else.
//!
//! Called by `pipeline` (start), `server` (self check) and `cli` (the child's side).

mod calls;
mod child;
mod ending;
mod process;
mod sandbox;
mod self_check;
mod watch;

pub use calls::allowed_system_calls;
pub use child::child_main;
pub use ending::Ending;
pub use self_check::{SelfCheck, probe_main, self_check, self_check_program};
pub use watch::Bounds;

use crate::model::problem::{Problem, ProblemCode};
use crate::telemetry::measures;
use crate::units::{ByteCount, Ranges};
use crate::wire::{self, Notice, Order, Report, WIRE_VERSION};
use command_fds::FdMapping;
use process::{Process, Said};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use watch::Memory;

/// The running program, whatever has been put in its place on disk since: after an upgrade the
/// server still starts children of its own build.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Stalls in a row after which even a child that only waits for its turn is given up.
const WAITS_MAX: u32 = 20;

/// What a child is started with.
#[derive(Debug)]
pub struct Launch {
    /// The work.
    pub order: Order,
    /// The source's files, opened for reading, as many as the order names; the child
    /// sees them at [`wire::source_fd`].
    pub sources: Vec<OwnedFd>,
    /// The directory for all output; the child sees it as [`wire::OUTPUT_FD`].
    pub output: OwnedFd,
    /// A child that says nothing for so many milliseconds, though it could work, is killed.
    pub stall_ms: u64,
}

/// A child can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel refused; often a want of memory or processes.
    #[error("the worker process can't be started: {0}")]
    Spawn(#[source] io::Error),
    /// The order is longer than one message may be.
    #[error("the order to the worker can't be written: {0}")]
    Order(#[from] wire::WireError),
    /// FFmpeg's libraries aren't there, or aren't those that this program was built for.
    #[error("{0}")]
    Libraries(String),
    /// It started and gave no usable answer within its time.
    #[error("the worker process gave no answer that can be used: {0}")]
    NoAnswer(String),
}

/// What a child has to say next.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Work goes on.
    Report(Report),
    /// The child is gone; said again by every later call.
    Ended(Ending),
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: Process<Report>,
    stall: Duration,
    /// When the child was last heard, or was last seen waiting for its turn.
    heard: Instant,
    /// Computing time that it had used when it was last heard.
    used: Duration,
    /// Its memory when it was last looked at: at each report.
    memory: Memory,
    /// How often in a row it was only waiting for its turn.
    waited: u32,
    /// The child has said that it is confined, in our version.
    confined: bool,
    /// Set once, by whatever ended the work first.
    ending: Option<Ending>,
}

/// Starts a child of this build.
///
/// # Errors
/// `Spawn` when the kernel refuses; `Order` for an order that is too long.
pub fn start(launch: Launch) -> Result<Child, StartError> {
    start_program(Path::new(THIS_PROGRAM), launch)
}

/// Starts `program worker` as a child, as [`start`] does with the running program.
///
/// # Errors
/// As [`start`].
pub fn start_program(program: &Path, launch: Launch) -> Result<Child, StartError> {
    let mut order = Vec::new();
    wire::send(&mut order, &launch.order)?;
    let files = (0..).zip(launch.sources);
    let mut descriptors: Vec<FdMapping> = files
        .map(|(file, parent_fd)| FdMapping { parent_fd, child_fd: wire::source_fd(file) })
        .collect();
    descriptors.push(FdMapping { parent_fd: launch.output, child_fd: wire::OUTPUT_FD });
    let name = format!("job {}", launch.order.job);
    let process = Process::start(program, &["worker"], descriptors, order, name)?;
    Ok(Child {
        process,
        stall: Duration::from_millis(launch.stall_ms),
        heard: Instant::now(),
        used: Duration::ZERO,
        memory: Memory::default(),
        waited: 0,
        confined: false,
        ending: None,
    })
}

impl Child {
    /// Returns the next report, or how the child ended; by then it is gone from the system.
    ///
    /// # Cancel
    /// Safe: nothing that was said is lost.
    pub async fn next(&mut self) -> Event {
        while self.ending.is_none() {
            let said = timeout_at(self.heard + self.stall, self.process.said()).await;
            self.heard = Instant::now();
            match said.map(|said| self.judge(said)) {
                Ok(Ok(report)) => {
                    self.used = watch::pulse(self.id()).map_or(self.used, |pulse| pulse.used);
                    self.memory = watch::memory(self.id()).unwrap_or(self.memory);
                    self.waited = 0;
                    return Event::Report(report);
                }
                Ok(Err(ending)) => self.ending = Some(ending),
                Err(_) if self.is_waiting() => self.waited += 1,
                Err(_) => self.ending = Some(Ending::Stalled),
            }
        }
        // The last word has been said: nothing that the child could still do is wanted.
        self.process.kill().await;
        if self.memory.peak > 0 {
            measures::child_memory(std::mem::take(&mut self.memory).peak);
        }
        Event::Ended(self.ending.clone().unwrap_or(Ending::Stalled))
    }

    /// Says whether the silent child has hardly been let to work since it was last heard, and would
    /// go on if it were: a busy machine is no fault of the file's.
    fn is_waiting(&self) -> bool {
        let Some(pulse) = watch::pulse(self.id()) else { return false };
        let worked = pulse.used.saturating_sub(self.used);
        pulse.waits && worked < self.stall / 2 && self.waited < WAITS_MAX
    }

    /// Tells the child what of its source is here now, and how large that is, once it is known.
    pub fn arrived(&self, here: Ranges, size: Option<ByteCount>) {
        let mut notice = Vec::new();
        // More holes than one message tells of: the child waits until there are fewer.
        if wire::send(&mut notice, &Notice::Arrived { here, size }).is_ok() {
            self.process.tell(notice);
        }
    }

    /// Narrows what the child may use, once it has said what it works on.
    pub fn narrow(&self, bounds: Bounds) {
        watch::narrow(self.id(), bounds);
    }

    /// Kills the child and waits until it is gone; [`Child::next`] then says `Failed` with
    /// `cancelled` unless the child had ended by itself. May be called again.
    ///
    /// # Cancel
    /// The signal is sent at once; a dropped call only doesn't wait.
    pub async fn kill(&mut self) {
        self.ending.get_or_insert_with(|| {
            Ending::Failed(Problem::new(ProblemCode::Cancelled, "The work was stopped."))
        });
        self.process.kill().await;
    }

    /// Returns how many bytes of memory the child held when it was last heard.
    pub fn memory_bytes(&self) -> u64 {
        self.memory.now
    }

    /// Returns the child's process id, for the log and for tests.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Takes what was said for a report, or for the end.
    fn judge(&mut self, said: Said<Report>) -> Result<Report, Ending> {
        match said {
            Said::Message(Report::Done) if self.confined => Err(Ending::Done),
            Said::Message(Report::Failed { problem }) => Err(Ending::Failed(problem)),
            Said::Message(report @ Report::Confined { version, .. }) => {
                self.confined = version == WIRE_VERSION;
                if self.confined { Ok(report) } else { Err(Ending::Unspoken) }
            }
            Said::Message(report) if self.confined => Ok(report),
            // Whoever works before it says that it is confined isn't our child.
            Said::Message(_) | Said::Malformed => Err(Ending::Unspoken),
            Said::Gone(gone) => Err(ending::of_exit(&gone)),
        }
    }
}
