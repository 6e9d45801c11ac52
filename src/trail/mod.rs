//! The audit log: who did what, in files of JSON lines that are only appended to.
//!
//! Whoever notes something hands it to a thread and goes on: no request waits for this log or
//! fails over it. The thread writes at once, so that the death of the process loses nothing, and
//! has the disk confirm now and then. What it can't write is counted, told as a warning and in the
//! metrics, and noted as a gap once it can write again. Noted by `http`, `control` and `janitor`.

mod files;
mod reading;

pub use reading::{PAGE_MAX, Query};

use crate::clock::Clock;
use crate::config::AuditConfig;
use crate::disk::Disk;
use crate::model::deed::{Action, Deed, Outcome, Way};
use crate::model::whose::Whose;
use crate::telemetry::measures;
use crate::units::UnixMillis;
use files::Files;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracing::warn;

/// Entries that wait for the thread; more are lost.
const INBOX_MAX: usize = 8192;
/// Entries that are written at once.
const GROUP_MAX: usize = 1024;
/// The longest that an entry waits for the disk's word.
const SYNC_EVERY: Duration = Duration::from_millis(500);
/// How often the files are looked through for what has to go.
const KEEP_EVERY_MS: u64 = 3_600_000;
/// How long others wait for the thread.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest name of an actor or an object.
const NAME_CHARS_MAX: usize = 256;
/// Deeds that weren't done that are noted one by one within a second;
/// of more only the number.
const REFUSED_PER_SECOND: u64 = 50;

/// The audit log. Clones share it.
#[derive(Clone)]
pub struct Trail {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    directory: PathBuf,
    /// Addresses aren't written at all.
    is_without_addresses: bool,
    inbox: Mutex<Option<SyncSender<Order>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    refused: Mutex<Refused>,
}

/// What was refused in this second.
#[derive(Default)]
struct Refused {
    second: u64,
    count: u64,
}

enum Order {
    Note(Box<Deed>),
    /// Answered once all that came before can be read.
    Written(SyncSender<()>),
    /// Everything that has to go by now goes.
    Keep(SyncSender<io::Result<()>>),
    /// Somebody's names and addresses go.
    Forget {
        who: Forgotten,
        reply: SyncSender<io::Result<u64>>,
    },
}

/// Whose traces go from the log, and what stands there instead.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// Whose they are.
    pub whose: Whose,
    /// What else is of theirs: ids of tokens, videos and so on.
    pub names: Vec<String>,
    /// The pseudonym.
    pub pseudonym: String,
}

impl Trail {
    /// Opens the log in the data directory and starts its thread.
    ///
    /// # Errors
    /// The file system's, where the directory can't be made or read.
    pub fn open(disk: &Disk, config: &AuditConfig, clock: Clock) -> io::Result<Self> {
        let directory = disk.audit_dir();
        crate::disk::make_private_directory(&directory)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let files = Files::open(&directory, *config)?;
        let (inbox, orders) = mpsc::sync_channel(INBOX_MAX);
        let keeper = Keeper {
            files,
            clock: clock.clone(),
            unsynced_since: None,
            kept_at: None,
            lost: 0,
            is_told: false,
        };
        let thread = std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || keeper.run(&orders))?;
        let shared = Shared {
            clock,
            directory,
            is_without_addresses: config.addresses_for_ms == 0,
            inbox: Mutex::new(Some(inbox)),
            thread: Mutex::new(Some(thread)),
            refused: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Notes what somebody did. Never waits, and never fails for whoever calls.
    pub fn note(&self, mut deed: Deed) {
        if self.shared.is_without_addresses {
            deed.address = None;
        }
        if deed.outcome != Outcome::Done && !self.has_room_for_refused(deed.at) {
            return;
        }
        for name in [&mut deed.actor, &mut deed.object] {
            *name = name.take().map(|name| name.chars().take(NAME_CHARS_MAX).collect());
        }
        self.send(deed);
    }

    /// Notes what a command on this machine did.
    pub fn note_console(&self, action: Action, object: Option<String>, outcome: Outcome) {
        let deed = Deed::new(Way::Console, action, self.shared.clock.now());
        self.note(Deed { object, outcome, ..deed });
    }

    /// Notes what the server did by itself.
    pub fn note_server(&self, action: Action, object: Option<String>) {
        let deed = Deed::new(Way::Server, action, self.shared.clock.now());
        self.note(Deed { object, ..deed });
    }

    /// Reads a page of the log.
    ///
    /// # Errors
    /// The file system's.
    pub fn read(&self, query: &Query) -> io::Result<Vec<Deed>> {
        self.written();
        reading::page(&self.shared.directory, query)
    }

    /// Removes what has been kept for its time, and addresses that have; else that happens once an
    /// hour. Blocks.
    ///
    /// # Errors
    /// The file system's.
    pub fn keep(&self) -> io::Result<()> {
        self.ask(Order::Keep)
    }

    /// Puts a pseudonym in the place of somebody's names wherever they stand in the log, and until
    /// the process ends in what is noted later, and takes the addresses out of their entries;
    /// returns how many entries that changed. Blocks.
    ///
    /// # Errors
    /// The file system's.
    /// # Durability
    /// Certain when it returns; the files before it are removed.
    pub fn forget(&self, who: Forgotten) -> io::Result<u64> {
        self.ask(|reply| Order::Forget { who, reply })
    }

    /// Waits until everything noted so far can be read; after [`PATIENCE`] it goes on anyway.
    pub fn written(&self) {
        let (reply, answer) = mpsc::sync_channel(1);
        if self.order(Order::Written(reply)).is_ok() {
            // A disk that hangs this long has its warning; what is there can be read.
            let _ = answer.recv_timeout(PATIENCE);
        }
    }

    /// Writes what is left, has the disk confirm it, and ends the thread. Blocks.
    pub fn close(&self) {
        drop(self.shared.take_inbox());
        self.shared.join();
    }

    fn send(&self, deed: Deed) {
        let inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(inbox) = inbox.as_ref() else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            inbox.try_send(Order::Note(Box::new(deed)))
        {
            measures::audit_lost(1);
        }
    }

    fn order(&self, order: Order) -> io::Result<()> {
        let inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let inbox = inbox.ok_or(io::ErrorKind::BrokenPipe)?;
        inbox.send(order).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn ask<T>(&self, order: impl FnOnce(SyncSender<io::Result<T>>) -> Order) -> io::Result<T> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.order(order(reply))?;
        answer.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Counts a refused deed, and says whether it may have an entry of its own. Somebody who is
    /// refused ten thousand times a second mustn't push everybody else's deeds out of the log.
    fn has_room_for_refused(&self, at: UnixMillis) -> bool {
        let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let second = at.as_secs();
        let mut more = 0;
        if refused.second != second {
            more = refused.count.saturating_sub(REFUSED_PER_SECOND);
            *refused = Refused { second, count: 0 };
        }
        refused.count += 1;
        let has_room = refused.count <= REFUSED_PER_SECOND;
        drop(refused);
        if more > 0 {
            let deed = Deed::new(Way::Server, Action::MoreRefused, at).ended(Outcome::Refused);
            self.send(Deed { count: Some(more), ..deed });
        }
        has_room
    }
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trail").field("directory", &self.shared.directory).finish_non_exhaustive()
    }
}

impl Shared {
    fn take_inbox(&self) -> Option<SyncSender<Order>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // That it panicked would have been told by the panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.take_inbox());
        self.join();
    }
}

/// The thread's side.
struct Keeper {
    files: Files,
    clock: Clock,
    /// Since when something waits for the disk's word.
    unsynced_since: Option<Instant>,
    kept_at: Option<UnixMillis>,
    /// Entries that the disk didn't take since the last that it did.
    lost: u64,
    /// Somebody was warned of that.
    is_told: bool,
}

impl Keeper {
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            let wait = self.unsynced_since.map_or(Duration::from_secs(60), |since| {
                SYNC_EVERY.saturating_sub(since.elapsed())
            });
            let mut group = Vec::new();
            match orders.recv_timeout(wait) {
                Ok(order) => group.push(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            group.extend(orders.try_iter().take(GROUP_MAX));
            self.serve(group);
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
                self.sync();
            }
            let now = self.clock.now();
            if self.kept_at.is_none_or(|at| now.ms_since(at) >= KEEP_EVERY_MS) {
                self.kept_at = Some(now);
                if let Err(cause) = self.files.keep(now) {
                    warn!("the audit log couldn't be looked through: {cause}");
                }
            }
        }
        self.sync();
    }

    fn serve(&mut self, group: Vec<Order>) {
        let mut deeds = Vec::new();
        for order in group {
            let Order::Note(deed) = order else {
                self.write(std::mem::take(&mut deeds));
                self.answer(order);
                continue;
            };
            deeds.push(*deed);
        }
        self.write(deeds);
    }

    fn answer(&mut self, order: Order) {
        // Whoever asked may have gone.
        match order {
            Order::Note(_) => {}
            Order::Written(reply) => drop(reply.send(())),
            Order::Keep(reply) => drop(reply.send(self.files.keep(self.clock.now()))),
            Order::Forget { who, reply } => drop(reply.send(self.files.forget(who))),
        }
    }

    fn write(&mut self, mut deeds: Vec<Deed>) {
        if deeds.is_empty() {
            return;
        }
        let count = deeds.len() as u64;
        if self.lost > 0 {
            let gap = Deed::new(Way::Server, Action::EntriesLost, self.clock.now());
            deeds.insert(0, Deed { count: Some(self.lost), ..gap.ended(Outcome::Failed) });
        }
        match self.files.append(deeds) {
            Ok(()) => {
                (self.lost, self.is_told) = (0, false);
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
            Err(cause) => self.lose(count, &cause),
        }
    }

    fn sync(&mut self) {
        if self.unsynced_since.take().is_some()
            && let Err(cause) = self.files.sync()
        {
            self.lose(0, &cause);
        }
    }

    fn lose(&mut self, count: u64, cause: &io::Error) {
        self.lost = self.lost.saturating_add(count);
        measures::audit_lost(count);
        if !self.is_told {
            self.is_told = true;
            warn!("the audit log can't be written, and goes on with a gap: {cause}");
        }
    }
}

#[cfg(test)]
mod tests;
