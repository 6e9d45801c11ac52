//! How a child ended, in words.

use crate::model::problem::{Problem, ProblemCode};
use crate::worker::process::Gone;
use rustix::process::Signal;
use std::fmt;
use std::os::unix::process::ExitStatusExt;

/// The exit code of a child that doesn't understand its order.
pub(super) const EXIT_UNSPOKEN: u8 = 3;

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All the work is done.
    Done,
    /// The child says why it can't be done.
    Failed(Problem),
    /// It said nothing for too long and was killed.
    Stalled,
    /// It ended without a last word; the problem is read from its exit.
    Crashed(Problem),
    /// Somebody else killed it. The kernel does so when memory runs out, with the same signal as an
    /// impatient admin, so this is no proof about the file.
    Killed,
    /// The other end speaks another version, or not our language at all.
    Unspoken,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Failed(problem) | Self::Crashed(problem) => f.write_str(&problem.detail),
            Self::Killed => f.write_str("killed from outside"),
            Self::Stalled => f.write_str("no progress for too long"),
            Self::Unspoken => f.write_str("the worker is of another version"),
        }
    }
}

/// Reads the ending of a child that said no last word from how its process ended.
pub(super) fn of_exit(gone: &Gone) -> Ending {
    if gone.status.code() == Some(i32::from(EXIT_UNSPOKEN)) {
        return Ending::Unspoken;
    }
    if gone.status.signal() == Some(Signal::KILL.as_raw()) {
        return Ending::Killed;
    }
    let (code, detail) = match gone.status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => {
            (ProblemCode::TimedOut, "Processing used more computing time than a job may.".into())
        }
        Some(Signal::XFSZ) => {
            (ProblemCode::DamagedMedia, "The file would grow beyond bounds when converted.".into())
        }
        Some(Signal::ABORT) if gone.ran_out_of_memory() => {
            (ProblemCode::OutOfMemory, "Processing needs more memory than a job may use.".into())
        }
        Some(Signal::SYS) => {
            (ProblemCode::WorkerCrashed, "Processing tried something that isn't allowed.".into())
        }
        signal => (ProblemCode::WorkerCrashed, in_words(gone, signal)),
    };
    Ending::Crashed(Problem::new(code, detail))
}

fn in_words(gone: &Gone, signal: Option<Signal>) -> String {
    let by = match signal {
        Some(Signal::SEGV | Signal::BUS) => Some("a forbidden access to memory"),
        Some(Signal::ILL) => Some("an unknown instruction of the processor"),
        Some(Signal::FPE) => Some("a wrong calculation"),
        Some(Signal::ABORT) => Some("a broken rule inside the program"),
        Some(Signal::TERM | Signal::INT | Signal::HUP) => Some("a request from outside"),
        _ => None,
    };
    match (by, gone.status.signal(), gone.status.code()) {
        (Some(by), Some(number), _) => format!("Processing ended by {by} (signal {number})."),
        (None, Some(number), _) => format!("Processing ended by signal {number}."),
        (_, _, Some(code)) => format!("Processing ended early with exit code {code}."),
        (_, None, None) => "Processing ended in an unknown way.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    /// Every way in which a process can end has a code that says whether a retry can help.
    #[test]
    fn exits_are_told_in_words() {
        let table: &[(i32, &[&str], ProblemCode)] = &[
            (24, &[], ProblemCode::TimedOut),
            (25, &[], ProblemCode::DamagedMedia),
            (6, &["memory allocation of 4096 bytes failed"], ProblemCode::OutOfMemory),
            (6, &["assertion failed"], ProblemCode::WorkerCrashed),
            (11, &[], ProblemCode::WorkerCrashed),
            (31, &[], ProblemCode::WorkerCrashed),
            (1 << 8, &[], ProblemCode::WorkerCrashed),
            (0, &[], ProblemCode::WorkerCrashed),
        ];
        for (raw, lines, code) in table {
            let gone = Gone {
                status: ExitStatus::from_raw(*raw),
                last_lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            };
            match of_exit(&gone) {
                Ending::Crashed(problem) => assert_eq!(problem.code, *code, "{raw}: {problem:?}"),
                other => panic!("{raw}: {other:?}"),
            }
        }
        let unspoken = Gone {
            status: ExitStatus::from_raw(i32::from(EXIT_UNSPOKEN) << 8),
            last_lines: Vec::new(),
        };
        assert_eq!(of_exit(&unspoken), Ending::Unspoken);
        let killed = Gone { status: ExitStatus::from_raw(9), last_lines: Vec::new() };
        assert_eq!(of_exit(&killed), Ending::Killed);
    }
}
