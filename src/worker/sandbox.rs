//! The child gives its rights away: bounds, no new privileges, no files, few system calls.
//!
//! Everything is applied to the calling thread before there is another one, and new threads
//! inherit it. Order matters: each layer needs calls that a later one takes away.

use crate::wire::{Limits, SandboxLayer};
use crate::worker::calls;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::BorrowedFd;

/// Descriptors that a child may have open beside its source's; it needs about a dozen.
const DESCRIPTORS_MAX: u64 = 64;
/// Descriptors of one file of the source: as it was handed over, and as it was opened again.
const DESCRIPTORS_OF_FILE: u64 = 2;
/// After the soft limit of computing time, whose signal tells the cause, comes the hard one.
pub(super) const CPU_GRACE_SECONDS: u64 = 5;
/// Everything that this program knows how to ask for; older kernels give what they have.
const LANDLOCK_NEWEST: ABI = ABI::V6;

/// What holds the child.
#[derive(Debug)]
pub(super) struct Confinement {
    /// The layers that hold.
    pub(super) layers: Vec<SandboxLayer>,
    /// The version of Landlock that the kernel has.
    pub(super) landlock_abi: Option<u32>,
}

/// The child can't be confined, so it must not open anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unconfined {
    /// A bound can't be set.
    #[error("the bounds can't be set: {0}")]
    Rlimits(#[source] rustix::io::Errno),
    /// Privileges could be gained.
    #[error("gaining privileges can't be ruled out: {0}")]
    NoNewPrivs(#[source] rustix::io::Errno),
    /// The filter doesn't exist for this processor.
    #[error("there is no filter for this processor: {0}")]
    Filter(#[from] seccompiler::BackendError),
    /// The kernel doesn't take the filter.
    #[error("system calls can't be filtered: {0}")]
    Seccomp(#[from] seccompiler::Error),
}

/// Confines this process for good: files only beneath `output`, or none at all without it, beside
/// the `sources` files that are open already.
///
/// Landlock is taken as far as the kernel has it; the other layers are demanded.
///
/// # Errors
/// One for each layer that can't be had.
pub(super) fn confine(
    limits: &Limits,
    output: Option<BorrowedFd<'_>>,
    sources: usize,
) -> Result<Confinement, Unconfined> {
    // Built first: nothing may need much memory once it is bounded.
    let filters = calls::filters(std::process::id())?;
    bound(limits, sources).map_err(Unconfined::Rlimits)?;
    rustix::thread::set_no_new_privs(true).map_err(Unconfined::NoNewPrivs)?;
    let (landlocked, landlock_abi) = restrict_files(output);
    for filter in &filters {
        seccompiler::apply_filter_all_threads(filter)?;
    }
    let mut layers = vec![SandboxLayer::Rlimits, SandboxLayer::NoNewPrivs];
    if landlocked {
        layers.push(SandboxLayer::Landlock);
    }
    layers.push(SandboxLayer::Seccomp);
    Ok(Confinement { layers, landlock_abi })
}

/// Sets the bounds on what the process may use.
fn bound(limits: &Limits, sources: usize) -> rustix::io::Result<()> {
    let descriptors = DESCRIPTORS_MAX + DESCRIPTORS_OF_FILE * sources as u64;
    let cpu = limits.cpu_seconds_max.max(1);
    for (resource, soft, hard) in [
        (Resource::As, limits.memory_bytes_max, limits.memory_bytes_max),
        (Resource::Cpu, cpu, cpu.saturating_add(CPU_GRACE_SECONDS)),
        (Resource::Fsize, limits.file_bytes_max, limits.file_bytes_max),
        (Resource::Nofile, descriptors, descriptors),
        // A dump would hold pieces of somebody's video, and perhaps its key. 0 is none as a file, 1
        // is none to a pipe either (core(5) of Linux doesn't tell; fs/coredump.c does).
        (Resource::Core, 1, 1),
    ] {
        // A tighter bound from outside stays.
        let ceiling = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let new = Rlimit { current: Some(soft.min(ceiling)), maximum: Some(hard.min(ceiling)) };
        setrlimit(resource, new)?;
    }
    Ok(())
}

/// Takes away all access to files but beneath `output`, and to the network; best effort. Returns
/// whether anything is enforced, and the version of the kernel's Landlock.
fn restrict_files(output: Option<BorrowedFd<'_>>) -> (bool, Option<u32>) {
    match landlock(output) {
        Ok(status) => {
            let abi = match status.landlock {
                LandlockStatus::Available { effective_abi, kernel_abi } => {
                    let abi = kernel_abi.unwrap_or(effective_abi as i32);
                    u32::try_from(abi).ok()
                }
                _ => None,
            };
            (status.ruleset != RulesetStatus::NotEnforced, abi)
        }
        Err(error) => {
            eprintln!("landlock can't be applied: {error}");
            (false, None)
        }
    }
}

fn landlock(output: Option<BorrowedFd<'_>>) -> Result<landlock::RestrictionStatus, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK_NEWEST))?
        .handle_access(AccessNet::from_all(LANDLOCK_NEWEST))?
        .scope(Scope::from_all(LANDLOCK_NEWEST))?
        .create()?;
    let rules = match output {
        Some(directory) => rules.add_rule(PathBeneath::new(
            directory,
            AccessFs::ReadFile
                | AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                // A rename takes the old name away.
                | AccessFs::RemoveFile,
        ))?,
        None => rules,
    };
    rules.restrict_self()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, mkdirat, openat, renameat};
    use std::io::ErrorKind::PermissionDenied;
    use std::os::fd::AsFd;

    /// Runs `inside` on a thread of its own with the child's files and calls: both layers hold for
    /// the thread that takes them on, so the other tests stay free.
    fn confined<R: Send>(output: &std::path::Path, inside: impl FnOnce() -> R + Send) -> R {
        let directory = std::fs::File::open(output).expect("the directory is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).expect("always allowed");
                let (landlocked, _) = restrict_files(Some(directory.as_fd()));
                assert!(landlocked, "this kernel has Landlock");
                for filter in calls::filters(std::process::id()).expect("a known processor") {
                    seccompiler::apply_filter(&filter).expect("the kernel takes the filter");
                }
                inside()
            });
            thread.join().expect("the thread ends by itself")
        })
    }

    /// Files outside the output directory, sockets, programs and executable memory are out of
    /// reach; the directory and threads are not.
    #[test]
    fn a_confined_thread_can_only_work() {
        let output = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("another directory");
        let path = output.path();
        let beneath = std::fs::File::open(path).expect("the directory is there");
        let other = rustix::process::getppid().expect("a test has a parent");
        confined(path, || {
            for file in ["/etc/passwd", "/proc/self/environ", "/proc/self/mem"] {
                let error = std::fs::read(file).expect_err(file);
                assert_eq!(error.kind(), PermissionDenied, "{file}");
            }
            assert!(std::fs::write(outside.path().join("f"), b"x").is_err());
            assert!(std::fs::read_dir(outside.path()).is_err());
            let link = std::os::unix::fs::symlink("/etc/passwd", path.join("link"));
            assert_eq!(link.expect_err("no links").kind(), PermissionDenied);
            let error = std::net::TcpStream::connect("127.0.0.1:9").expect_err("no network");
            assert_eq!(error.kind(), PermissionDenied);
            let error = std::os::unix::net::UnixStream::pair().expect_err("no sockets");
            assert_eq!(error.kind(), PermissionDenied);
            let error = std::process::Command::new("/bin/true").spawn().expect_err("no programs");
            assert_eq!(error.kind(), PermissionDenied);

            let signal = rustix::process::test_kill_process(other);
            assert_eq!(signal, Err(rustix::io::Errno::PERM), "no signals to others");
            assert!(rustix::process::getpriority_process(None).is_err());

            let mode = Mode::from_raw_mode(0o755);
            mkdirat(&beneath, "d", mode).expect("below the output directory");
            let flags = OFlags::WRONLY | OFlags::CREATE;
            let file = openat(&beneath, "d/a.tmp", flags, mode).expect("likewise");
            rustix::io::write(&file, b"x").expect("likewise");
            renameat(&beneath, "d/a.tmp", &beneath, "d/a").expect("likewise");
            let passwd = openat(&beneath, "/etc/passwd", OFlags::RDONLY, mode);
            assert_eq!(passwd.expect_err("no way out"), rustix::io::Errno::ACCESS);
            let sum = std::thread::spawn(|| 1 + 1).join().expect("threads are allowed");
            assert_eq!(sum, 2);
        });
        assert!(std::fs::read("/etc/passwd").is_ok(), "the other threads are free");
    }

    /// Without an output directory nothing at all can be opened.
    #[test]
    fn without_a_directory_no_file_opens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).expect("always allowed");
                assert!(restrict_files(None).0);
                std::fs::read_dir(path).map(drop)
            });
            assert!(thread.join().expect("it ends").is_err());
        });
    }
}
