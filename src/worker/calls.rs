//! Which system calls a child may make, and with which arguments.
//!
//! What isn't listed answers `EPERM`. The list was found by running every kind of work under it;
//! above all it holds no way to make a socket, to start a program or another process, to look into
//! a process, or to turn written memory into code.

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Names with their numbers on this processor.
macro_rules! calls {
    ($($call:ident)*) => { &[$((stringify!($call).split_at("SYS_".len()).1, libc::$call)),*] };
}

/// Allowed with any arguments.
#[rustfmt::skip]
const PLAIN: &[(&str, c_long)] = calls![
    // Memory; `NARROWED` sees to it that none becomes code.
    SYS_brk SYS_madvise SYS_mremap SYS_munmap
    // Threads, and waiting for each other.
    SYS_futex SYS_rseq SYS_set_robust_list SYS_sched_getaffinity SYS_sched_yield SYS_gettid
    SYS_getpid SYS_exit SYS_exit_group
    // Time, where the kernel doesn't answer without a call.
    SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_restart_syscall
    // Files that are open, and those that Landlock lets be made.
    SYS_read SYS_pread64 SYS_write SYS_writev SYS_lseek SYS_close SYS_fstat SYS_newfstatat
    SYS_statx SYS_openat SYS_mkdirat SYS_renameat
    // Chance, and the system's size.
    SYS_getrandom SYS_getrusage SYS_sysinfo SYS_uname
    // Signals to itself: a crash must be able to end it.
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sigaltstack
    // Answered with ENOSYS by the other filter: its flags lie in memory, where no filter can look,
    // and libraries then take `clone`, whose flags can be judged.
    SYS_clone3
];

/// Allowed with the arguments that [`narrow`] names.
const NARROWED: &[(&str, c_long)] = calls![
    SYS_mmap SYS_mprotect SYS_clone SYS_fcntl SYS_prctl SYS_prlimit64 SYS_kill SYS_tgkill
];

/// Returns the names of the system calls that a child may make, so that a service manager's filter
/// can be compared with them.
pub fn allowed_system_calls() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&'static str>> =
        LazyLock::new(|| PLAIN.iter().chain(NARROWED).map(|(name, _)| *name).collect());
    &NAMES
}

/// Builds the filters for the process `pid`, in the order in which they are to be applied.
///
/// # Errors
/// On a processor that the filter's compiler doesn't know.
pub(super) fn filters(pid: u32) -> Result<[BpfProgram; 2], BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let mut allowed = BTreeMap::new();
    for (_, number) in PLAIN {
        allowed.insert(*number, Vec::new());
    }
    for (_, number) in NARROWED {
        allowed.insert(*number, narrow(*number, pid)?);
    }
    let refused = errno(libc::EPERM);
    let list = SeccompFilter::new(allowed, refused, SeccompAction::Allow, arch)?;
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = SeccompFilter::new(absent, SeccompAction::Allow, errno(libc::ENOSYS), arch)?;
    // The list comes last: it doesn't allow the call that applies a filter.
    Ok([clone3.try_into()?, list.try_into()?])
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

/// Returns under which arguments a call of [`NARROWED`] is allowed; any one rule is enough.
fn narrow(number: c_long, pid: u32) -> Result<Vec<SeccompRule>, BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let bits = |value: i32| u64::from(value.unsigned_abs());
    // A new thread and nothing else: no process, no namespace.
    let thread = bits(libc::CLONE_THREAD);
    let clone_mask = thread
        | bits(libc::CLONE_NEWNS)
        | bits(libc::CLONE_NEWUSER)
        | bits(libc::CLONE_NEWPID)
        | bits(libc::CLONE_NEWNET)
        | bits(libc::CLONE_NEWIPC)
        | bits(libc::CLONE_NEWUTS)
        | bits(libc::CLONE_NEWCGROUP);
    let any_of = |argument: u8, values: &[i32]| -> Result<Vec<SeccompRule>, BackendError> {
        values.iter().map(|value| rule(argument, Eq, bits(*value))).collect()
    };
    match number {
        libc::SYS_mmap | libc::SYS_mprotect => {
            Ok(vec![rule(2, MaskedEq(bits(libc::PROT_EXEC)), 0)?])
        }
        libc::SYS_clone => Ok(vec![rule(0, MaskedEq(clone_mask), thread)?]),
        libc::SYS_fcntl => any_of(
            1,
            &[libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC],
        ),
        libc::SYS_prctl => any_of(0, &[libc::PR_SET_NAME, libc::PR_GET_NAME]),
        // Its own limits may be read, not set.
        libc::SYS_prlimit64 => {
            let condition = SeccompCondition::new(2, SeccompCmpArgLen::Qword, Eq, 0)?;
            Ok(vec![SeccompRule::new(vec![condition])?])
        }
        // `kill` and `tgkill`.
        _ => Ok(vec![rule(0, Eq, u64::from(pid))?]),
    }
}

fn rule(argument: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list holds nothing that reaches out of the child, and nothing twice.
    #[test]
    fn nothing_leads_out() {
        let names = allowed_system_calls();
        for call in [
            "socket",
            "connect",
            "execve",
            "execveat",
            "fork",
            "vfork",
            "ptrace",
            "bpf",
            "ioctl",
            "process_vm_readv",
            "memfd_create",
            "mount",
            "unshare",
            "setns",
            "seccomp",
            "keyctl",
            "userfaultfd",
            "io_uring_setup",
            "perf_event_open",
            "pidfd_getfd",
            "openat2",
            "chmod",
        ] {
            assert!(!names.contains(&call), "{call}");
        }
        let once: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(once.len(), names.len());
        assert!(names.contains(&"mmap") && names.contains(&"read"));
    }
}
