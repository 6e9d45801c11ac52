//! The one thread that writes: it gathers transactions, commits them together, then answers.
//!
//! `flush` of this database hands its log to the kernel but doesn't have the disk confirm it, so
//! the thread syncs the file itself, through a descriptor of its own, before it acknowledges what
//! must survive a power cut. After the first error nothing is acknowledged any more: a sync that
//! is tried again may succeed without the bytes being there.

use super::codec;
use super::error::StateError;
use super::growing::Growing;
use super::keys;
use super::nudge::Flushes;
use super::outbox::Outbox;
use super::usage::Accounts;
use super::view::{Overlay, View};
use crate::disk::SyncHandle;
use crate::telemetry::measures::{self, Synced};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

/// Transactions that wait in line; more callers wait outside.
pub(super) const INBOX_MAX: usize = 1024;

/// Transactions that are committed together.
const GROUP_MAX: usize = 256;

/// What an acknowledged transaction survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// The end of this process.
    Written,
    /// A power cut.
    Synced,
}

/// A transaction on its way.
pub(super) struct Message {
    promise: Promise,
    evaluate: Box<dyn FnOnce(&mut View<'_>) -> Answer + Send>,
}

/// What came of a transaction, and how its caller is told. Dropping it
/// untold tells the caller that the database failed.
struct Answer {
    outcome: Outcome,
    tell: Box<dyn FnOnce() + Send>,
}

enum Outcome {
    /// Its writes count.
    Done,
    /// It was refused; nothing of it counts.
    Refused,
    /// The database itself couldn't answer it.
    Failed(String),
}

impl Message {
    /// Wraps a transaction and the way back to its caller.
    pub(super) fn new<T: Send + 'static>(
        promise: Promise,
        transaction: impl FnOnce(&mut View<'_>) -> Result<T, StateError> + Send + 'static,
        reply: oneshot::Sender<Result<T, StateError>>,
    ) -> Self {
        let evaluate = Box::new(move |view: &mut View<'_>| {
            let result = transaction(view);
            let outcome = match &result {
                Ok(_) => Outcome::Done,
                Err(StateError::Failed(why)) => Outcome::Failed(why.clone()),
                Err(_) => Outcome::Refused,
            };
            // A caller that has gone doesn't undo its transaction.
            let tell = Box::new(move || drop(reply.send(result)));
            Answer { outcome, tell }
        });
        Self { promise, evaluate }
    }
}

/// The writer's side of the database.
pub(super) struct Writer {
    pub(super) db: sled::Db,
    pub(super) log: SyncHandle,
    pub(super) failed: watch::Sender<Option<String>>,
    /// Something was written since the disk last confirmed.
    pub(super) unsynced: bool,
    /// The totals that go along with the records.
    pub(super) accounts: Accounts,
    /// How far uploads are ahead of their records.
    pub(super) growing: Arc<Growing>,
    /// Which webhooks are told.
    pub(super) outbox: Outbox,
    /// Where flushes are looked after.
    pub(super) flushes: Arc<Flushes>,
}

impl Writer {
    /// Serves until every sender has gone; what came before is committed and confirmed.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut group = Vec::with_capacity(GROUP_MAX);
        while inbox.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(group.drain(..))));
            let failure = match committed {
                Ok(Ok(())) => continue,
                Ok(Err(failure)) => failure,
                Err(panic) => panic_text(panic.as_ref()),
            };
            self.failed.send_replace(Some(failure));
            // Whoever waits or asks from now on finds nobody and is told of the failure.
            return;
        }
        let synced = catch_unwind(AssertUnwindSafe(|| self.sync()));
        if !matches!(synced, Ok(Ok(()))) {
            self.failed.send_replace(Some("the last sync failed".to_owned()));
        }
    }

    fn commit(&mut self, group: impl Iterator<Item = Message>) -> Result<(), String> {
        let mut writes = Overlay::new();
        let (mut written, mut synced) = (Vec::new(), Vec::new());
        let mut has_news = false;
        for message in group {
            let (counting, telling) = (self.accounts.is_counting(), self.outbox.is_telling());
            let mut view = View::over(&self.db, &self.growing, &writes, counting, telling);
            let answer = (message.evaluate)(&mut view);
            match answer.outcome {
                Outcome::Done => {
                    let (own, moves, news) = view.into_writes();
                    let rows = self.outbox.rows(news);
                    has_news |= !rows.is_empty();
                    writes.extend(own);
                    for row in rows {
                        // Its texts are bound far below what a record may hold.
                        match codec::encode(&row) {
                            Ok(bytes) => {
                                writes.insert(keys::waiting(row.target, row.id), Some(bytes));
                            }
                            Err(cause) => error!("a webhook isn't told: {cause}"),
                        }
                    }
                    self.accounts.apply(moves);
                }
                Outcome::Refused => {}
                Outcome::Failed(why) => return Err(why),
            }
            match message.promise {
                Promise::Written => written.push(answer.tell),
                Promise::Synced => synced.push(answer.tell),
            }
        }
        self.apply(writes)?;
        if has_news {
            self.outbox.ring();
        }
        written.into_iter().for_each(|tell| tell());
        if !synced.is_empty() {
            self.sync()?;
            synced.into_iter().for_each(|tell| tell());
        }
        Ok(())
    }

    /// Writes a group as one batch, which is there whole or not at all after a crash.
    fn apply(&mut self, writes: Overlay) -> Result<(), String> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.unsynced = true;
        self.db.apply_batch(batch).map_err(|error| error.to_string())?;
        let flushed = self.flushes.during(|| self.db.flush());
        flushed.map_err(|error| error.to_string())?;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        if self.unsynced {
            let begun = Instant::now();
            self.log.sync_data().map_err(|error| error.to_string())?;
            measures::synced(Synced::Database, begun.elapsed());
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Returns what a panic had to say.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it ended without a word".to_owned())
}
