//! How a child is doing, from what the kernel tells of it.
//!
//! A child that says nothing may be stuck, or may only be waiting for its turn on a busy machine,
//! behind everything else that runs there: by the clock on the wall the two look the same.

use crate::worker::sandbox::CPU_GRACE_SECONDS;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs;
use std::time::Duration;
use tracing::debug;

/// What a child has done and is about to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    /// Computing time of all its threads.
    pub(super) used: Duration,
    /// One of its threads would go on if it were let: it waits for a processor or for a disk.
    pub(super) waits: bool,
}

/// Looks at the process of this id; nothing is known of one that is gone.
pub(super) fn pulse(id: u32) -> Option<Pulse> {
    let used = used(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?;
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?.flatten();
    let mut stats =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    Some(Pulse { used, waits: stats.any(|stat| matches!(state(&stat), Some("R" | "D"))) })
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// What it holds.
    pub(super) now: u64,
    /// The most that it has held so far.
    pub(super) peak: u64,
}

/// Looks at the memory of a process.
pub(super) fn memory(id: u32) -> Option<Memory> {
    memory_in(&fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

fn memory_in(status: &str) -> Option<Memory> {
    Some(Memory { now: bytes_in(status, "VmRSS:")?, peak: bytes_in(status, "VmHWM:")? })
}

/// Reads a line of it, as in `VmHWM:     5124 kB`.
fn bytes_in(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The words behind a process's name, which stands in brackets and may hold anything.
fn words(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace()
}

fn state(stat: &str) -> Option<&str> {
    words(stat).next()
}

/// Reads the computing time, in user and kernel mode.
fn used(stat: &str) -> Option<Duration> {
    let mut ticks = words(stat).skip(11).map(|word| word.parse::<u64>().ok());
    let ticks = ticks.next()??.saturating_add(ticks.next()??);
    Some(Duration::from_millis(
        ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second(),
    ))
}

/// What a child may still use, once it is known what it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// CPU seconds, from its start.
    pub cpu_seconds: u64,
    /// Address space in bytes.
    pub memory_bytes: u64,
}

/// Narrows the bounds of a process. Nothing is ever widened: the kernel doesn't let it, and what
/// it doesn't let stays as it was.
pub(super) fn narrow(id: u32, bounds: Bounds) {
    let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return };
    let cpu = bounds.cpu_seconds.max(1);
    for (resource, soft, hard) in [
        (Resource::Cpu, cpu, cpu.saturating_add(CPU_GRACE_SECONDS)),
        (Resource::As, bounds.memory_bytes, bounds.memory_bytes),
    ] {
        let new = Rlimit { current: Some(soft), maximum: Some(hard) };
        if let Err(error) = prlimit(Some(pid), resource, new) {
            debug!(%error, "a bound of a worker child stays as it was");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that look like the rest of the line don't confuse, and threads are told apart by what
    /// they wait for.
    #[test]
    fn stats_are_read() {
        let stat = "7 (a) R 1 (b)) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        assert_eq!(state(stat), Some("S"));
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(used(stat), Some(Duration::from_millis(300 * 1000 / ticks)));
        assert_eq!(used("7 (a) S 1"), None);
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t  5124 kB\nVmRSS:\t  12 kB\n";
        let read = Memory { now: 12 * 1024, peak: 5124 * 1024 };
        assert_eq!(memory_in(status), Some(read));
        let own = memory(std::process::id()).expect("it runs");
        assert!(own.peak >= own.now && own.now > 1 << 20, "{own:?}");
        let own = pulse(std::process::id()).expect("it runs");
        assert!(own.waits, "the thread that asks is running");
    }
}
