//! The directory that receives files: whole or not at all, and never by a path from outside.

use super::report::{Stop, out_of_space};
use crate::model::problem::ProblemCode;
use rustix::fd::OwnedFd;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};

/// Bytes of one write: megabytes at once took the kernel twice as long (docs/BENCHMARKS.md).
const WRITE_BYTES: usize = 64 << 10;

/// Where results go: an open directory below which this program's own names are made.
pub struct OutputDir {
    fd: OwnedFd,
}

impl OutputDir {
    /// Takes the open directory.
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Makes a directory, which may be there already from an attempt that was cut short.
    ///
    /// # Errors
    /// `OutOfSpace`, or `Internal` for what else the system says.
    pub fn make_dir(&self, name: &str) -> Result<(), Stop> {
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(stop(error)),
        }
    }

    /// Writes a file beside its name and renames it, so that the name never stands for a part.
    ///
    /// # Errors
    /// `OutOfSpace`, or `Internal` for what else the system says.
    /// # Durability
    /// None: the receiving process syncs what it publishes.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        let beside = format!("{name}.tmp");
        self.write_through(&beside, bytes).map_err(stop)?;
        fs::renameat(&self.fd, beside.as_str(), &self.fd, name).map_err(stop)
    }

    fn write_through(&self, name: &str, mut bytes: &[u8]) -> Result<(), Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644))?;
        while !bytes.is_empty() {
            match io::write(&file, &bytes[..bytes.len().min(WRITE_BYTES)]) {
                Ok(0) => return Err(Errno::IO),
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn stop(error: Errno) -> Stop {
    match error {
        Errno::NOSPC | Errno::DQUOT => out_of_space(),
        _ => Stop::because(ProblemCode::Internal, "The result couldn't be stored."),
    }
}
