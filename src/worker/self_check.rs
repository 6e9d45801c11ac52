//! Finds out once which layers of confinement this machine gives, by starting a child that says so.

use crate::media;
use crate::wire::{self, Limits, SandboxLayer};
use crate::worker::process::{Process, Said};
use crate::worker::{StartError, THIS_PROGRAM, child, ending, sandbox};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// A child starts in some 50 ms; on a machine at its limits it may take seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Bounds of the probe: enough to say a sentence.
const PROBE_LIMITS: Limits = Limits {
    pixels_max: 0,
    duration_ms_max: 0,
    memory_bytes_max: 4 << 30,
    cpu_seconds_max: 10,
    file_bytes_max: 1 << 20,
    streams_max: 0,
};

/// What a child of this program finds on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// The layers that hold a child.
    pub layers: Vec<SandboxLayer>,
    /// The version of Landlock that the kernel has; none if it has no Landlock.
    pub landlock_abi: Option<u32>,
    /// The media libraries and their versions.
    pub media: String,
    /// The libraries can make what is published.
    pub encoders: bool,
}

/// What a probing child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// It is confined.
    Confined(SelfCheck),
    /// It can't be, for this reason.
    Unconfined(String),
    /// It has no libraries to work with, for this reason.
    NoLibraries(String),
}

/// Starts a child of this build that confines itself and tells what holds it.
///
/// # Errors
/// `Spawn` if it can't be started; `Libraries` without FFmpeg's; `NoAnswer` if it can't be confined
/// or says nothing.
/// # Cancel
/// Safe; the child is killed.
pub async fn self_check() -> Result<SelfCheck, StartError> {
    self_check_program(Path::new(THIS_PROGRAM)).await
}

/// As [`self_check`], with `program worker --probe`.
///
/// # Errors
/// As [`self_check`].
/// # Cancel
/// Safe; the child is killed.
pub async fn self_check_program(program: &Path) -> Result<SelfCheck, StartError> {
    let args = ["worker", "--probe"];
    let mut child =
        Process::<Answer>::start(program, &args, Vec::new(), Vec::new(), "self-check".to_owned())?;
    let no_answer = |why: &str| Err(StartError::NoAnswer(why.to_owned()));
    match tokio::time::timeout(ANSWER_WITHIN, child.said()).await {
        Ok(Said::Message(Answer::Confined(check))) => {
            child.kill().await;
            Ok(check)
        }
        Ok(Said::Message(Answer::Unconfined(why))) => no_answer(&why),
        Ok(Said::Message(Answer::NoLibraries(why))) => Err(StartError::Libraries(why)),
        Ok(Said::Malformed) => no_answer("it speaks another language"),
        Ok(Said::Gone(gone)) => no_answer(&ending::of_exit(&gone).to_string()),
        Err(_) => no_answer("it said nothing in time"),
    }
}

/// The probing child's side: confines itself, tells what holds, ends. Returns its exit code.
pub fn probe_main() -> ExitCode {
    if let Err(error) = child::settle() {
        return tell(&Answer::NoLibraries(error.to_string()));
    }
    let answer = match sandbox::confine(&PROBE_LIMITS, None, 0) {
        Ok(confinement) => Answer::Confined(SelfCheck {
            layers: confinement.layers,
            landlock_abi: confinement.landlock_abi,
            media: media::versions(),
            encoders: media::has_encoders(),
        }),
        Err(error) => Answer::Unconfined(error.to_string()),
    };
    tell(&answer)
}

fn tell(answer: &Answer) -> ExitCode {
    match wire::send(&mut io::stdout().lock(), answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
