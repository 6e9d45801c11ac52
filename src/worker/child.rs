//! The child's side: take an order, give rights away, do the work, report.

use crate::media;
use crate::media::arrivals::Arrivals;
use crate::model::problem::{Problem, ProblemCode};
use crate::wire::{self, Extent, Notice, OUTPUT_FD, Order, Report, SOURCE_FILES_MAX, WIRE_VERSION};
use crate::worker::ending::EXIT_UNSPOKEN;
use crate::worker::sandbox;
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

/// How much the work gives way to the server's own and to everything else.
const NICENESS: i32 = 10;

/// Does one job as a child: reads the order from standard input, confines itself, runs the work,
/// reports on standard output. Returns the exit code of the process.
///
/// The source's files and the output directory are expected at [`wire::source_fd`] and
/// [`OUTPUT_FD`]. While the source is being uploaded, what has come of it is read from standard
/// input as well, whose end ends the process at once, whatever it is doing.
pub fn child_main() -> ExitCode {
    if let Err(error) = settle() {
        eprintln!("{error}");
        return ExitCode::from(EXIT_UNSPOKEN);
    }
    let order = match wire::receive::<Order>(&mut io::stdin().lock()) {
        Ok(Some(order)) if order.version == WIRE_VERSION => order,
        Ok(Some(order)) => {
            eprintln!("the order is of version {}, not {WIRE_VERSION}", order.version);
            return ExitCode::from(EXIT_UNSPOKEN);
        }
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the order can't be read: {error}");
            return ExitCode::from(EXIT_UNSPOKEN);
        }
    };
    let last_word = match work(&order) {
        Ok(()) => Report::Done,
        Err(problem) => Report::Failed { problem },
    };
    let done = last_word == Report::Done;
    match say(&last_word) {
        Ok(()) if done => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// What every child does first, before it has read anything.
///
/// # Errors
/// FFmpeg's libraries aren't there.
pub(super) fn settle() -> Result<(), media::LoadError> {
    // None of these is needed for safety; a hardened service may forbid some.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let _ = rustix::thread::set_name(c"slipway-worker");
    media::prepare()
}

fn work(order: &Order) -> Result<(), Problem> {
    let count = order.files().min(SOURCE_FILES_MAX as u32);
    let open = |file| inherited(wire::source_fd(file), OFlags::RDONLY);
    let files = (0..count).map(open).collect::<Result<Vec<_>, _>>()?;
    let output = inherited(OUTPUT_FD, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let confined = sandbox::confine(&order.limits, Some(output.as_fd()), files.len());
    let confinement = confined.map_err(|error| {
        eprintln!("{error}");
        Problem::new(ProblemCode::SandboxUnavailable, "Processing can't be confined here.")
    })?;
    let size = (!order.is_open_ended).then(|| Extent::total(&order.source));
    let arrivals = order.arrived.clone().map(|here| Arc::new(Arrivals::new(here, size)));
    let heeding = arrivals.clone();
    // Only now, so that this thread is confined as well.
    thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(move || heed_parent(heeding.as_deref()))
        .map_err(|_| Problem::new(ProblemCode::OutOfMemory, "There is no memory to begin with."))?;
    let gone = |_: wire::WireError| media::Gone;
    let layers = confinement.layers;
    let confined = Report::Confined { version: WIRE_VERSION, layers };
    say(&confined).map_err(|_| Problem::new(ProblemCode::Cancelled, "Nobody listens."))?;
    media::run(order, files, output, arrivals, &mut |report| say(&report).map_err(gone))
}

/// Opens anew what the parent left open at `number`: the one way to own it without unsafe code.
fn inherited(number: i32, flags: OFlags) -> Result<OwnedFd, Problem> {
    let path = format!("/proc/self/fd/{number}");
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
        eprintln!("descriptor {number} can't be used: {error}");
        Problem::new(ProblemCode::Internal, "The work was handed over wrongly.")
    })
}

fn say(report: &Report) -> Result<(), wire::WireError> {
    wire::send(&mut io::stdout().lock(), report)
}

/// Hears the server out until the end of standard input, which means that the server is gone, and
/// ends the process without a farewell: an orderly exit would wait for threads that may be stuck.
fn heed_parent(arrivals: Option<&Arrivals>) {
    let mut stdin = io::stdin().lock();
    while let (Ok(Some(Notice::Arrived { here, size })), Some(arrivals)) =
        (wire::receive(&mut stdin), arrivals)
    {
        // Who waits can't tell that it is alive.
        if arrivals.put(here, size) && say(&Report::Waiting).is_err() {
            break;
        }
    }
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    std::process::abort();
}
