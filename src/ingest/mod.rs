//! `slipway ingest`: sends local files to a server over its HTTP API, several chunks at once.
//!
//! Nothing is kept on this side. What has arrived is asked of the server and compared with the
//! file by its sums, so that a run that was killed goes on where it was, from any machine, and
//! the halves of two different files never become one.

mod client;
mod files;
mod plan;
mod report;
mod resume;
mod retry;
mod screen;
mod send;
mod source;
mod wait;

pub use client::Address;

use client::Client;
use files::Found;
use report::{FileError, Reported};
use resume::Memory;
use retry::Stop;
use screen::{Screen, shown};
use send::Permits;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// Most files that are sent side by side.
const FILES_AT_ONCE: usize = 4;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Order {
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// The server.
    pub server: Address,
    /// The access token; none where the server asks for none.
    pub token: Option<String>,
    /// What is said about the videos.
    pub words: Words,
    /// Chunks on their way at once.
    pub parallel: usize,
    /// How long to try again.
    pub retry_for: Duration,
    /// Wait until the videos can be played.
    pub wait: bool,
    /// Send also what the server has already.
    pub again: bool,
    /// Results as JSON.
    pub json: bool,
}

/// What is said about all videos of a run.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Title, for a single file.
    pub title: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// `public`, `unlisted` or `private`.
    pub visibility: Option<String>,
    /// The group of uploads.
    pub session: Option<String>,
}

/// Why nothing could be sent at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// One title for several files.
    #[error("--title is for one file; {0} were named")]
    Title(usize),
    /// Directories without a file.
    #[error("there is no file to send")]
    Nothing,
    /// The server doesn't answer.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// The server refuses this caller.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The token is for looking only.
    #[error("the token has the role `viewer`; sending files needs `uploader`")]
    Role,
    /// Something else answers.
    #[error("no Slipway answers at this address")]
    NotSlipway,
}

/// All that the threads of a run share.
struct Run {
    order: Order,
    client: Client,
    screen: Arc<Screen>,
    memory: Memory,
    /// The size of parts that the server suggests.
    part_size: Option<u64>,
    permits: Permits,
    /// Set when there is no point in beginning another file.
    hopeless: Stop,
    failed: AtomicUsize,
}

/// Does what is ordered; says whether all of it worked. Results go to standard output as they
/// come, everything else to standard error. After an interrupt the process ends with 130.
///
/// # Errors
/// Why nothing was sent.
pub fn run(order: Order) -> Result<bool, IngestError> {
    let harvest = files::harvest(&order.paths);
    let named = harvest.files.len() + harvest.failed.len();
    if order.words.title.is_some() && named != 1 {
        return Err(IngestError::Title(named));
    }
    let bytes = harvest.files.iter().map(|found| found.size).sum();
    let screen = Arc::new(Screen::new(harvest.files.len(), bytes));
    harvest.skipped.iter().for_each(|line| screen.note(line));
    if named == 0 {
        screen.close();
        return Err(IngestError::Nothing);
    }
    watch_signals(screen.clone());
    let token = order.token.as_deref();
    let client = Client::new(order.server.clone(), token, order.retry_for, screen.clone());
    let greeted = client.greet().and_then(|size| Ok((size, Memory::ask(&client)?)));
    let (part_size, memory) = greeted.inspect_err(|_| screen.close())?;
    let permits = Permits::new(order.parallel);
    let (hopeless, failed) = (Stop::default(), AtomicUsize::new(0));
    let run = Run { order, client, screen, memory, part_size, permits, hopeless, failed };
    for (path, why) in harvest.failed {
        run.tell(&path, &Err(FileError::Unfit(why)));
    }
    run.all(harvest.files);
    run.screen.close();
    let failed = run.failed.load(Ordering::Relaxed);
    if failed > 0 && named > 1 {
        run.screen.note(&format!("{failed} of {named} files didn't work"));
    }
    Ok(failed == 0 && !run.screen.is_broken())
}

impl Run {
    fn all(&self, files: Vec<Found>) {
        let lanes = self.order.parallel.min(FILES_AT_ONCE).min(files.len());
        let files = Mutex::new(files.into_iter());
        let (over, (sent, waiting)) = (Stop::default(), mpsc::channel());
        std::thread::scope(|scope| {
            scope.spawn(|| self.screen.tick(&over));
            let waiter = scope.spawn(|| wait::watch(self, waiting));
            let begin = |_| {
                let (files, sent) = (&files, sent.clone());
                scope.spawn(move || self.lane(files, sent))
            };
            let lanes: Vec<_> = (0..lanes).map(begin).collect();
            drop(sent);
            lanes.into_iter().for_each(|lane| drop(lane.join()));
            let _ = waiter.join();
            over.set();
        });
    }

    /// Sends one file after another.
    fn lane(
        &self,
        files: &Mutex<impl Iterator<Item = Found>>,
        sent: mpsc::Sender<(PathBuf, Reported)>,
    ) {
        let next = || files.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(found) = next() {
            if self.hopeless.is_set() {
                self.tell(&found.path, &Err(FileError::NotTried));
                continue;
            }
            let done = send::send(self, &found.path);
            if done.as_ref().is_err_and(FileError::is_everybodys) {
                self.hopeless.set();
            }
            match done {
                Ok(done) if self.order.wait => drop(sent.send((found.path, done))),
                done => self.tell(&found.path, &done),
            }
        }
    }

    /// Tells how it went with a file.
    fn tell(&self, path: &std::path::Path, done: &Result<Reported, FileError>) {
        if let Err(cause) = done {
            self.failed.fetch_add(1, Ordering::Relaxed);
            // A word for each of a thousand files that nobody tried would bury the reason.
            if !matches!(cause, FileError::NotTried) {
                self.screen.note(&format!("{}: {cause}", shown(path)));
            }
        }
        if let Some(line) = report::line(path, done, self.order.json) {
            self.screen.result(&line);
        }
        self.screen.count(1);
    }
}

/// Ends the process on Ctrl-C with a word on how to go on; there is nothing to save.
fn watch_signals(screen: Arc<Screen>) {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let interrupt = signal(SignalKind::interrupt());
            let (Ok(mut interrupt), Ok(mut end)) = (interrupt, signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = end.recv() => (),
            }
            screen.close();
            screen.note("stopped; the same command goes on where this one was");
            std::process::exit(130);
        });
    });
}
