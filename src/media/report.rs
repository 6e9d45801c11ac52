//! What the engine tells, from several threads through one mouth, and how work ends early.

use super::Gone;
use super::ffi::FfiError;
use super::source_file::SourceFile;
use crate::model::problem::{Problem, ProblemCode};
use crate::model::video::Warning;
use crate::wire::Report;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two progress reports; of the four a second that listeners get at most, the
/// others tell of segments at once.
const PROGRESS_PACE: Duration = Duration::from_millis(500);

/// Why a part of the work ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody listens any more.
    Gone,
    /// The next part in line has ended; its own reason is the one that counts.
    Neighbour,
    /// Something is wrong with the file or the machine.
    Problem(Problem),
}

impl Stop {
    /// Ends the work for `code`, told to the uploader as `detail`.
    pub fn because(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self::Problem(Problem::new(code, detail))
    }

    /// Ends the work for an error of FFmpeg's: a lack of memory or space is told as what it is,
    /// anything else as `code` and `detail`.
    pub fn from_ffi(error: FfiError, code: ProblemCode, detail: &str) -> Self {
        let FfiError::Ffmpeg(ffmpeg_next::Error::Other { errno }) = error else {
            return Self::because(code, detail);
        };
        match errno {
            // Threads that can't be started for want of address space answer EAGAIN.
            libc::ENOMEM | libc::EAGAIN => out_of_memory(),
            libc::ENOSPC | libc::EDQUOT => out_of_space(),
            _ => Self::because(code, detail),
        }
    }
}

/// The job's memory is used up.
pub fn out_of_memory() -> Stop {
    Stop::because(
        ProblemCode::OutOfMemory,
        "The file needs more memory than one job may use on this server.",
    )
}

/// The disk is full.
pub fn out_of_space() -> Stop {
    Stop::because(ProblemCode::OutOfSpace, "There is no room left to store the result.")
}

/// Sends reports in order and paces the progress among them. Shared by all threads of a job.
pub struct Reporter<'a> {
    inner: Mutex<Inner<'a>>,
    gone: AtomicBool,
}

struct Inner<'a> {
    report: &'a mut (dyn FnMut(Report) -> Result<(), Gone> + Send),
    told_at: Option<Instant>,
    progress: f64,
    speed: f64,
    /// Names of renditions of which a segment was told.
    begun: Vec<String>,
}

impl<'a> Reporter<'a> {
    /// Makes a reporter over the caller's function.
    pub fn new(report: &'a mut (dyn FnMut(Report) -> Result<(), Gone> + Send)) -> Self {
        let inner = Inner { report, told_at: None, progress: 0.0, speed: 0.0, begun: Vec::new() };
        Self { inner: Mutex::new(inner), gone: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<'a>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one report.
    ///
    /// # Errors
    /// `Gone`, now and for ever after, once nobody listens.
    pub fn send(&self, report: Report) -> Result<(), Stop> {
        let mut inner = self.lock();
        self.send_locked(&mut inner, report)
    }

    fn send_locked(&self, inner: &mut Inner<'a>, report: Report) -> Result<(), Stop> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Stop::Gone);
        }
        if let Report::Segment { rendition, .. } = &report
            && !inner.begun.contains(rendition)
        {
            inner.begun.push(rendition.clone());
        }
        (inner.report)(report).map_err(|Gone| {
            self.gone.store(true, Ordering::Relaxed);
            Stop::Gone
        })
    }

    /// Says whether a segment of this rendition was told of.
    pub fn has_told_of(&self, rendition: &str) -> bool {
        self.lock().begun.iter().any(|name| name == rendition)
    }

    /// Tells something that doesn't stop the work.
    ///
    /// # Errors
    /// `Gone`.
    pub fn warn(&self, code: &str, detail: impl Into<String>) -> Result<(), Stop> {
        let warning = Warning { code: code.to_owned(), detail: detail.into() };
        self.send(Report::Warning { warning })
    }

    /// Sets how far the work is (0 ..= 1) and its speed, and tells it if it's time.
    ///
    /// # Errors
    /// `Gone`.
    pub fn progress(&self, progress: f64, speed: f64) -> Result<(), Stop> {
        let mut inner = self.lock();
        // Never backwards: a person watches this.
        inner.progress = progress.clamp(inner.progress, 1.0);
        inner.speed = if speed.is_finite() { speed } else { 0.0 };
        self.beat_locked(&mut inner)
    }

    /// Tells that work goes on, if it's time. Called for every picture and packet.
    ///
    /// # Errors
    /// `Gone`.
    pub fn beat(&self) -> Result<(), Stop> {
        let mut inner = self.lock();
        self.beat_locked(&mut inner)
    }

    fn beat_locked(&self, inner: &mut Inner<'a>) -> Result<(), Stop> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Stop::Gone);
        }
        let now = Instant::now();
        if inner.told_at.is_some_and(|at| now.duration_since(at) < PROGRESS_PACE) {
            return Ok(());
        }
        inner.told_at = Some(now);
        let report = Report::Progress { progress: inner.progress, speed: inner.speed };
        self.send_locked(inner, report)
    }
}

/// What tells how much of a film a reading has behind it.
#[derive(Clone)]
pub enum Ruler {
    /// The film has so many seconds.
    Seconds(f64),
    /// What is read of it lies between these seconds.
    Part {
        /// Where it begins.
        from: f64,
        /// Where it ends.
        until: f64,
    },
    /// How long the film is will be known at its end.
    Bytes {
        /// The place that was read last.
        read: Arc<AtomicU64>,
        /// The source, which has a size at the latest when it is all here.
        of: SourceFile,
    },
}

impl Ruler {
    /// Returns the share of the film that is before this second.
    fn share(&self, seconds: f64) -> f64 {
        let share = match self {
            Self::Seconds(all) => seconds / all.max(0.001),
            Self::Part { from, until } => (seconds - from) / (until - from).max(0.001),
            Self::Bytes { read, of } => {
                let all = of.size().map_or(f64::INFINITY, |size| size.0.max(1) as f64);
                read.load(Ordering::Relaxed) as f64 / all
            }
        };
        share.clamp(0.0, 1.0)
    }
}

/// Turns a pass's position on the time line into the job's progress.
pub struct Meter<'r, 'a> {
    reporter: &'r Reporter<'a>,
    began: Instant,
    ruler: Ruler,
    /// Second of the film that is reached first.
    begins: f64,
    from: f64,
    share: f64,
}

impl<'r, 'a> Meter<'r, 'a> {
    /// Measures a pass that is the part `from .. from + share` of the job.
    pub fn new(reporter: &'r Reporter<'a>, ruler: Ruler, from: f64, share: f64) -> Self {
        Self { reporter, began: Instant::now(), ruler, begins: 0.0, from, share }
    }

    /// Measures a pass that begins at this second of the film.
    pub fn beginning_at(self, seconds: f64) -> Self {
        Self { begins: seconds, ..self }
    }

    /// Tells that the pass has reached `seconds`.
    ///
    /// # Errors
    /// `Gone`.
    pub fn reached(&self, seconds: f64) -> Result<(), Stop> {
        let part = self.ruler.share(seconds);
        let elapsed = self.began.elapsed().as_secs_f64().max(0.001);
        self.reporter
            .progress(self.from + self.share * part, (seconds - self.begins).max(0.0) / elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once the other end is gone nothing is sent again, and every part of the work hears of it.
    #[test]
    fn gone_is_for_ever() {
        let mut sent = 0;
        let mut report = |_| {
            sent += 1;
            Err(Gone)
        };
        {
            let reporter = Reporter::new(&mut report);
            assert_eq!(reporter.warn("a", "b"), Err(Stop::Gone));
            assert_eq!(reporter.beat(), Err(Stop::Gone));
            assert_eq!(reporter.progress(0.5, 1.0), Err(Stop::Gone));
        }
        assert_eq!(sent, 1);
    }

    /// A flood of progress becomes one report a pace, and never goes backwards.
    #[test]
    fn progress_is_paced() {
        let mut seen = Vec::new();
        let mut report = |report| {
            seen.push(report);
            Ok(())
        };
        {
            let reporter = Reporter::new(&mut report);
            for step in 0..1000 {
                reporter.progress(f64::from(step) / 1000.0, 1.0).expect("somebody listens");
            }
            reporter.progress(0.1, f64::INFINITY).expect("somebody listens");
            assert!((reporter.lock().progress - 0.999).abs() < 1e-9);
        }
        assert!(!seen.is_empty() && seen.len() < 10, "{}", seen.len());
    }

    /// Want of memory and of space is told as such, whatever was being done.
    #[test]
    fn wants_have_their_own_codes() {
        let code = |errno| {
            let error = FfiError::Ffmpeg(ffmpeg_next::Error::Other { errno });
            match Stop::from_ffi(error, ProblemCode::Internal, "x") {
                Stop::Problem(problem) => problem.code,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(code(libc::ENOMEM), ProblemCode::OutOfMemory);
        assert_eq!(code(libc::ENOSPC), ProblemCode::OutOfSpace);
        assert_eq!(code(libc::EINVAL), ProblemCode::Internal);
    }
}
