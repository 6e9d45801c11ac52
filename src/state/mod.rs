//! The database: typed records behind named transactions, written by one thread.
//!
//! Reads come straight from the database. Every change is a named transaction that is evaluated
//! and committed by the one writer; awaiting it means that it has been acknowledged. Each says
//! under `# Durability` what an acknowledged one survives: *written*, the end of this process, or
//! *synced*, a power cut.
//!
//! # Cancel
//! Holds for every transaction here: a call that is dropped before its answer may still take
//! effect, whole or not at all.

mod access;
mod codec;
mod dump;
mod erase;
mod error;
mod figures;
mod grants;
mod growing;
mod jobs;
mod kept;
mod keys;
mod line;
mod listed;
mod live;
mod mend;
mod nudge;
mod order;
mod outbox;
mod parts;
mod people;
pub mod record;
mod stages;
mod theirs;
mod trash;
mod uploads;
mod usage;
mod videos;
mod view;
mod writer;

pub use access::{Ring, RingChange};
pub use dump::{Dump, DumpError};
pub use error::{Conflict, OpenError, StateError};
pub use grants::{GRANT_KEPT_MS, GRANTS_MAX};
pub use mend::{REPORTS_MAX, StuckJob};
pub use outbox::{CALLBACKS, ENDED_MAX, HookTarget, TargetKey};
pub use people::{Holder, SessionRecord, UserChange, UserRecord};
pub use record::{
    Callback, CleanupRecord, DeliveryRecord, GrantRecord, JobRecord, LineRecord, LoginCode,
    PartRecord, RenditionRecord, StageRecord, TokenRecord, TrashRecord, UploadRecord, VideoRecord,
};
pub use theirs::{Found, RecordCount, Theirs};
pub use uploads::Grounds;
pub use usage::{Allowance, Excess, OpenJobs, Usage};

use crate::disk::{self, DiskError, SyncHandle};
use crate::units::UnixMillis;
use codec::Record;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};
use view::View;
use writer::{INBOX_MAX, Message, Promise, Writer};

/// The schema that this program writes: which records there are and how keys are built. The first
/// one had other indexes of jobs.
const SCHEMA: u32 = 2;

/// Memory for pages. The database's own default is a gibibyte.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// How often a taken lock is tried again, and the pause before each.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(25);

/// How often the database tidies up in the background; what counts is flushed at once.
const FLUSH_EVERY_MS: u64 = 500;

/// The database. Clones share it; it is closed in good order when the last goes.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    db: sled::Db,
    failed: watch::Sender<Option<String>>,
    /// Where transactions go; taken away to close.
    inbox: Mutex<Option<mpsc::Sender<Message>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// What each owner has, as far as it was counted.
    accounts: usage::Accounts,
    /// How far uploads are ahead of their records.
    growing: Arc<growing::Growing>,
    /// Which webhooks are told.
    outbox: outbox::Outbox,
    /// For whom nothing is recorded any more.
    closed: erase::Closed,
}

impl State {
    /// Opens the database in `dir`, which is made if it is missing (its parent must exist), and
    /// starts the writer. Blocks.
    ///
    /// # Errors
    /// `Broken` if its files are damaged; `NewerSchema` if a later program wrote it, which is
    /// left alone; `Io` if the file system refused or another process has it open.
    pub fn open(dir: &Path) -> Result<State, OpenError> {
        disk::make_private_directory(dir).map_err(io_error)?;
        // An error that the disk reports is told to descriptors that were open then: for a
        // database that is there already, ours is opened before the database itself writes.
        let before = SyncHandle::open(&dir.join("db")).ok();
        let db = open_database(dir)?;
        let log = match before {
            Some(log) => log,
            None => SyncHandle::open(&dir.join("db")).map_err(io_error)?,
        };
        check_schema(&db)?;
        db.flush().map_err(not_opened)?;
        log.sync_data().map_err(io_error)?;
        SyncHandle::open(&dir.join("conf")).and_then(|conf| conf.sync_data()).map_err(io_error)?;
        disk::sync_directory(dir).map_err(io_error)?;

        Self::start(db, log).map_err(OpenError::Io)
    }

    /// Starts the writer of an open database; `log` is a descriptor of its file.
    fn start(db: sled::Db, log: SyncHandle) -> io::Result<State> {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let failed = watch::Sender::new(None);
        let accounts = usage::Accounts::default();
        let growing = Arc::new(growing::Growing::default());
        let closed = erase::Closed::default();
        let outbox = outbox::Outbox::beside(closed.clone());
        let flushes = Arc::new(nudge::Flushes::default());
        let writer = Writer {
            db: db.clone(),
            log,
            failed: failed.clone(),
            unsynced: false,
            accounts: accounts.clone(),
            growing: Arc::clone(&growing),
            outbox: outbox.clone(),
            flushes: Arc::clone(&flushes),
        };
        let (over, is_over) = std::sync::mpsc::channel();
        let watched = db.clone();
        let watch = std::thread::Builder::new()
            .name("state-watch".to_owned())
            .spawn(move || nudge::watch(&watched, &flushes, &is_over))?;
        let writer =
            std::thread::Builder::new().name("state-writer".to_owned()).spawn(move || {
                writer.run(messages);
                drop(over);
                // It holds the database open until it has ended.
                let _ = watch.join();
            })?;
        let inbox = Mutex::new(Some(inbox));
        let writer = Mutex::new(Some(writer));
        let inner = Inner { db, failed, inbox, writer, accounts, growing, outbox, closed };
        Ok(State { inner: Arc::new(inner) })
    }

    /// Renames a damaged database's directory to `state.broken-<now>` beside it and returns that.
    ///
    /// # Errors
    /// The file system's answer.
    pub fn set_aside(dir: &Path, now: UnixMillis) -> io::Result<PathBuf> {
        let aside = dir.with_extension(format!("broken-{}", now.0));
        disk::rename_directory(dir, &aside)?;
        Ok(aside)
    }

    /// Returns how many bytes the database has on disk; blocks.
    ///
    /// # Errors
    /// `Failed`.
    pub fn size_on_disk(&self) -> Result<u64, StateError> {
        self.inner.db.size_on_disk().map_err(view::failed)
    }

    /// Tells when the database can't go on, and why. It stays so: the server has to stop taking
    /// work, end, and be started again; everything acknowledged is there then.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.inner.failed.subscribe()
    }

    /// Ends the writer once everything in line is committed and confirmed. Later transactions on
    /// clones fail; reads still work.
    pub async fn close(self) {
        drop(self.take_inbox());
        let writer = self.inner.take_writer();
        // A join that fails means that the writer panicked, which `failed` has told.
        let _ = tokio::task::spawn_blocking(move || writer.map(JoinHandle::join)).await;
    }

    /// Waits until everything acknowledged so far is confirmed by the disk.
    ///
    /// An answer that repeats a promise has to wait for it too: reads see a transaction shortly
    /// before it is confirmed.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Synced.
    pub async fn synced(&self) -> Result<(), StateError> {
        self.call(Promise::Synced, |_| Ok(())).await
    }

    /// Has the writer evaluate and commit one transaction.
    async fn call<T: Send + 'static>(
        &self,
        promise: Promise,
        transaction: impl FnOnce(&mut View<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let inbox = self.inner.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(inbox) = inbox else { return Err(self.why_not()) };
        let (reply, answer) = oneshot::channel();
        let message = Message::new(promise, transaction, reply);
        inbox.send(message).await.map_err(|_| self.why_not())?;
        // Else `close` would wait for this call, and this call for its answer.
        drop(inbox);
        answer.await.unwrap_or_else(|_| Err(self.why_not()))
    }

    /// Reads all records whose keys begin with `prefix`, in order.
    fn scan<R: Record>(&self, prefix: &[u8]) -> Result<Vec<R>, StateError> {
        let decode =
            |entry: sled::Result<(_, sled::IVec)>| codec::decode(&entry.map_err(view::failed)?.1);
        self.inner.db.scan_prefix(prefix).map(decode).collect()
    }

    /// Reads at most `limit` records with keys in `prefix..end` that `keep` wants, the last first.
    fn newest<R: Record>(
        &self,
        prefix: &[u8],
        end: &[u8],
        limit: usize,
        keep: &dyn Fn(&R) -> bool,
    ) -> Result<Vec<R>, StateError> {
        let mut found = Vec::new();
        for entry in self.inner.db.range(prefix..end).rev() {
            if found.len() >= limit {
                break;
            }
            let record = codec::decode(&entry.map_err(view::failed)?.1)?;
            if keep(&record) {
                found.push(record);
            }
        }
        Ok(found)
    }

    fn view(&self) -> View<'_> {
        View::of(&self.inner.db, &self.inner.growing)
    }

    fn accounts(&self) -> &usage::Accounts {
        &self.inner.accounts
    }

    fn growing(&self) -> &growing::Growing {
        &self.inner.growing
    }

    fn outbox(&self) -> &outbox::Outbox {
        &self.inner.outbox
    }

    fn closed(&self) -> &erase::Closed {
        &self.inner.closed
    }

    fn why_not(&self) -> StateError {
        let why = self.inner.failed.borrow().clone();
        StateError::Failed(why.unwrap_or_else(|| "it is closed".to_owned()))
    }

    fn take_inbox(&self) -> Option<mpsc::Sender<Message>> {
        self.inner.take_inbox()
    }
}

impl Inner {
    fn take_inbox(&self) -> Option<mpsc::Sender<Message>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take_writer(&self) -> Option<JoinHandle<()>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Inner {
    /// Waits for the last group, so that the directory can be opened again at once.
    fn drop(&mut self) {
        drop(self.take_inbox());
        if let Some(writer) = self.take_writer() {
            let _ = writer.join();
        }
    }
}

fn open_database(dir: &Path) -> Result<sled::Db, OpenError> {
    let config = sled::Config::new()
        .path(dir)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let mut tries = LOCK_TRIES;
    loop {
        // Damaged files are reported either as an error or by a panic.
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            // A database that was just closed keeps its lock until its own thread has ended.
            Ok(Err(sled::Error::Io(error))) if tries > 0 && is_locked(&error) => {
                tries -= 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Ok(Err(error)) => return Err(not_opened(error)),
            Err(panic) => return Err(OpenError::Broken(writer::panic_text(panic.as_ref()))),
        }
    }
}

/// Says whether sled found its lock taken; it tells that in words only.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("acquire lock")
}

/// Tells a database that is damaged from a file system that refuses: one on a full disk is sound,
/// and mustn't be thrown away.
fn not_opened(error: sled::Error) -> OpenError {
    match error {
        sled::Error::Io(error) if !is_damage(&error) => OpenError::Io(error),
        error => OpenError::Broken(error.to_string()),
    }
}

/// Says whether an I/O error tells of what is in the files, not of the file system.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// Refuses a later schema, brings an earlier one up to ours, and writes ours into a new database.
fn check_schema(db: &sled::Db) -> Result<(), OpenError> {
    match db.get(keys::SCHEMA).map_err(not_opened)? {
        None => db.insert(keys::SCHEMA, &SCHEMA.to_be_bytes()).map(drop).map_err(not_opened),
        Some(bytes) => match <[u8; 4]>::try_from(bytes.as_ref()).map(u32::from_be_bytes) {
            Ok(schema) if schema > SCHEMA => Err(OpenError::NewerSchema(schema)),
            Ok(SCHEMA) => Ok(()),
            Ok(_) => line::index_anew(db).map_err(|error| OpenError::Broken(error.to_string())),
            Err(_) => Err(OpenError::Broken("its schema number has another length".to_owned())),
        },
    }
}

fn io_error(error: DiskError) -> OpenError {
    OpenError::Io(match error {
        DiskError::NoSpace => io::ErrorKind::StorageFull.into(),
        DiskError::Io { source, .. } | DiskError::SyncFailed { source, .. } => source,
        other => io::Error::other(other.to_string()),
    })
}

#[cfg(test)]
mod tests;
