//! Everything that the records hold of somebody, taken out; and the database made anew without it.
//!
//! A removal leaves the old bytes in the database's log until it is written over, if ever. So what
//! has to be gone for good is removed first, and then a second database is made of what is left
//! ([`State::rewrite`]). Meanwhile nothing is recorded for those who are erased.

use super::error::{Conflict, OpenError, StateError};
use super::people::{self, UserRecord};
use super::record::{
    CleanupRecord, GrantRecord, JobRecord, TokenRecord, TrashRecord, UploadRecord, VideoRecord,
};
use super::theirs::{Piece, unname};
use super::usage::{self, Move, Standing};
use super::view::View;
use super::writer::Promise;
use super::{State, grants, growing, keys, open_database, trash, uploads};
use crate::disk::{self, SyncHandle};
use crate::ids::Owner;
use crate::model::whose::{Traces, Whose};
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

/// Records that one transaction removes at most; others wait for it.
const AT_ONCE: usize = 100;
/// Entries that are put into a new database at once.
const BATCH: usize = 1_000;

/// For whom nothing is recorded and of whom nothing is told any more, until the process ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Closed(Arc<RwLock<Vec<Whose>>>);

impl Closed {
    pub(super) fn is_closed_to(&self, owner: &Owner) -> bool {
        // Every change is a single step, so a poisoned lock is still sound.
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|whose| whose.includes(&owner.0))
    }

    /// Refuses a record of somebody who is erased.
    ///
    /// # Errors
    /// `Conflict(Erased)`.
    pub(super) fn check(&self, owner: &Owner) -> Result<(), StateError> {
        match self.is_closed_to(owner) {
            true => Err(StateError::Conflict(Conflict::Erased)),
            false => Ok(()),
        }
    }

    fn close_to(&self, whose: Whose) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&whose) {
            all.push(whose);
        }
    }
}

impl State {
    /// From now on until the process ends nothing is recorded for these owners, nobody is let in
    /// as them, and webhooks are told nothing of them.
    pub fn close_to(&self, whose: Whose) {
        self.closed().close_to(whose);
    }

    /// Says whether [`State::close_to`] was called for an owner.
    pub fn is_closed_to(&self, owner: &Owner) -> bool {
        self.closed().is_closed_to(owner)
    }

    /// Removes what the records hold of somebody, and their names from the records of others.
    /// Whoever works on something of theirs is stale, and their processes have to be ended. What
    /// it was is found out anew; `known` is of theirs as well.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`; what is removed by then stays removed.
    /// # Durability
    /// Synced.
    pub async fn erase(&self, whose: Whose, known: Traces) -> Result<(), StateError> {
        // What was let in before this owner was shut out is in the database by now.
        self.synced().await?;
        let state = self.clone();
        let searched = tokio::task::spawn_blocking(move || state.search(&whose, &known)).await;
        let search = searched.map_err(|_| StateError::Failed("a task broke off".to_owned()))??;
        let names: Arc<HashSet<String>> = Arc::new(search.traces.names().into_iter().collect());
        for pieces in search.pieces.chunks(AT_ONCE) {
            let (pieces, names) = (pieces.to_vec(), Arc::clone(&names));
            self.call(Promise::Written, move |view| {
                pieces.into_iter().try_for_each(|piece| piece.take_out(view, &names))
            })
            .await?;
        }
        search.traces.uploads.iter().for_each(|&id| self.growing().forget(id));
        self.synced().await
    }

    /// Makes a database in `to`, which must not be there, of what the one in `from` holds now, and
    /// of nothing that it ever held; returns the number of entries. Neither may be open. Memory
    /// doesn't grow with them. Blocks.
    ///
    /// # Errors
    /// Those of [`State::open`].
    /// # Durability
    /// Synced, but for the entry of `to` in its parent.
    pub fn rewrite(from: &Path, to: &Path) -> Result<u64, OpenError> {
        let before = open_database(from)?;
        disk::make_private_directory(to).map_err(super::io_error)?;
        let after = open_database(to)?;
        let (mut batch, mut gathered, mut entries) = (sled::Batch::default(), 0, 0);
        for entry in before.iter() {
            let (key, value) = entry.map_err(super::not_opened)?;
            batch.insert(key, value);
            (gathered, entries) = (gathered + 1, entries + 1);
            if gathered == BATCH {
                after.apply_batch(std::mem::take(&mut batch)).map_err(super::not_opened)?;
                gathered = 0;
            }
        }
        after.apply_batch(batch).map_err(super::not_opened)?;
        after.flush().map_err(super::not_opened)?;
        for name in ["db", "conf"] {
            let synced = SyncHandle::open(&to.join(name)).and_then(|file| file.sync_data());
            synced.map_err(super::io_error)?;
        }
        disk::sync_directory(to).map_err(super::io_error)?;
        Ok(entries)
    }
}

impl Piece {
    /// Takes it out, if it is still there.
    fn take_out(self, view: &mut View<'_>, names: &HashSet<String>) -> Result<(), StateError> {
        match self {
            Self::Session(key) | Self::LoginCode(key) | Self::Delivery(key) | Self::Turn(key) => {
                view.remove(key);
            }
            Self::Token(id) => {
                if let Some(token) = view.find::<TokenRecord>(&keys::token(id))? {
                    view.remove(keys::token_hash(&token.hash));
                    view.remove(keys::token(id));
                }
                people::end_sessions(view, id.as_bytes())?;
            }
            Self::User(id) => {
                if let Some(user) = view.find::<UserRecord>(&keys::user(id))? {
                    view.remove(keys::user_name(&user.name));
                    view.remove(keys::user(id));
                }
                people::end_sessions(view, id.as_bytes())?;
            }
            Self::Grant(id) => {
                if let Some(grant) = view.find::<GrantRecord>(&keys::grant(id))? {
                    grants::remove(view, &grant);
                }
            }
            Self::Upload(id) => {
                for key in view.keys(&keys::parts(id))? {
                    view.remove(key);
                }
                uploads::remove(view, id);
            }
            Self::Video(id) => {
                if let Some(video) = view.find::<VideoRecord>(&keys::video(id))? {
                    uncount(view, &video);
                    view.remove(keys::video(id));
                }
            }
            Self::Trashed(id) => {
                if let Some(trashed) = view.find::<TrashRecord>(&keys::trash(id))? {
                    uncount(view, &trashed.video);
                    trash::forget(view, id, trashed.until);
                }
            }
            Self::Job(id) => {
                if let Some(job) = view.find::<JobRecord>(&keys::job(id))? {
                    keys::of_job(&job).into_iter().for_each(|key| view.remove(key));
                    view.remove(keys::job(id));
                    let before = Standing::of(&job);
                    view.count(Move::Job { owner: job.owner, before, after: None });
                }
            }
            Self::UploadBy(id) => {
                if let Some(upload) = growing::find(view, id)? {
                    uploads::put(view, &UploadRecord { token: None, ..upload })?;
                }
            }
            Self::GrantBy(id) => {
                if let Some(grant) = view.find::<GrantRecord>(&keys::grant(id))? {
                    view.put(keys::grant(id), &GrantRecord { token: None, ..grant })?;
                }
            }
            Self::Report(key) => {
                if let Some(mut report) = view.find::<CleanupRecord>(&key)? {
                    unname(&mut report, names);
                    view.put(key, &report)?;
                }
            }
        }
        Ok(())
    }
}

/// Takes what a video weighs off its owner's account.
fn uncount(view: &mut View<'_>, video: &VideoRecord) {
    let (owner, before) = (video.owner.clone(), usage::original(video));
    view.count(Move::Original { owner, before, after: 0 });
}
