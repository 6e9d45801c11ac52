//! Everything that the records hold of somebody, taken out; and the database made anew without it.
//!
//! A removal leaves the old bytes in the database's log until it is written over, if ever. So what
//! has to be gone for good is removed first, and then a second database is made of what is left
//! ([`State::rewrite`]). Meanwhile nothing is recorded for those who are erased.

use super::codec::{self, Record};
use super::error::{Conflict, OpenError, StateError};
use super::people::{self, UserRecord};
use super::record::{
    CleanupRecord, DeliveryRecord, GrantRecord, JobRecord, LoginCode, TokenRecord, TrashRecord,
    UploadRecord, VideoRecord,
};
use super::usage::{self, Move, Standing};
use super::view::{self, View};
use super::writer::Promise;
use super::{State, grants, growing, keys, open_database, trash, uploads};
use crate::disk::{self, SyncHandle};
use crate::ids::{GrantId, JobId, Owner, TokenId, UploadId, UserId, VideoId};
use crate::model::hook::Subject;
use crate::model::whose::{Traces, Whose};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ops::AddAssign;
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

/// How many records there were of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Videos, without those in the trash.
    pub videos: u64,
    /// Videos in the trash.
    pub trashed: u64,
    /// Uploads, however they have ended.
    pub uploads: u64,
    /// Jobs, likewise.
    pub jobs: u64,
    /// Access tokens.
    pub tokens: u64,
    /// Accounts.
    pub accounts: u64,
    /// Browsers that were signed in, and login links.
    pub sessions: u64,
    /// Upload grants.
    pub grants: u64,
    /// What webhooks and callbacks were told, or have still to be.
    pub deliveries: u64,
    /// Records of others that named something of theirs.
    pub mentions: u64,
}

impl AddAssign for Erased {
    fn add_assign(&mut self, other: Self) {
        self.videos += other.videos;
        self.trashed += other.trashed;
        self.uploads += other.uploads;
        self.jobs += other.jobs;
        self.tokens += other.tokens;
        self.accounts += other.accounts;
        self.sessions += other.sessions;
        self.grants += other.grants;
        self.deliveries += other.deliveries;
        self.mentions += other.mentions;
    }
}

/// What one step of a removal takes out of the records.
#[derive(Clone, Debug)]
enum Piece {
    Token(TokenId),
    User(UserId),
    Grant(GrantId),
    Upload(UploadId),
    Video(VideoId),
    Trashed(VideoId),
    Job(JobId),
    /// A login code, a delivery, or somebody's place in line.
    Plain(Vec<u8>),
    /// A record of somebody else, which stays.
    UploadBy(UploadId),
    GrantBy(GrantId),
    Report(Vec<u8>),
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

    /// Finds what the records hold of somebody. `known` is of theirs as well, whether a record
    /// says so or not. Looks at all records; blocks.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn traces(&self, whose: &Whose, known: &Traces) -> Result<(Traces, Erased), StateError> {
        let search = self.search(whose, known)?;
        let mut count = Erased::default();
        search.pieces.iter().for_each(|piece| piece.count(&mut count));
        count.sessions += search.sessions;
        Ok((search.traces, count))
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

    fn search(&self, whose: &Whose, known: &Traces) -> Result<Search, StateError> {
        let mut search = Search { traces: known.clone(), ..Search::default() };
        search.traces.owners.retain(|owner| whose.includes(&owner.0));
        self.search_access(whose, &mut search)?;
        self.search_films(whose, &mut search)?;
        self.search_mentions(whose, &mut search)?;
        Ok(search)
    }

    /// Finds what lets somebody in. It goes first.
    fn search_access(&self, whose: &Whose, search: &mut Search) -> Result<(), StateError> {
        self.each(keys::TOKENS, |_, token: TokenRecord| {
            if whose.includes(&token.owner.0) {
                search.found(Piece::Token(token.id), &token.owner);
                search.traces.tokens.insert(token.id);
            }
        })?;
        self.each(keys::USERS, |_, user: UserRecord| {
            if whose.includes(&user.name.0) {
                search.found(Piece::User(user.id), &user.name);
                search.traces.users.insert(user.id);
            }
        })?;
        let holders = search.traces.tokens.iter().map(TokenId::as_bytes);
        let holders = holders.chain(search.traces.users.iter().map(UserId::as_bytes));
        for holder in holders {
            search.sessions +=
                self.inner.db.scan_prefix(keys::sessions_of(holder)).keys().count() as u64;
        }
        self.each(keys::LOGIN_CODES, |key, code: LoginCode| {
            if search.traces.tokens.contains(&code.token) {
                search.pieces.push(Piece::Plain(key.to_vec()));
            }
        })?;
        self.each(keys::GRANTS, |_, grant: GrantRecord| {
            if whose.includes(&grant.owner.0) {
                search.found(Piece::Grant(grant.id), &grant.owner);
                search.traces.grants.insert(grant.id);
            } else if grant.token.is_some_and(|token| search.traces.tokens.contains(&token)) {
                search.pieces.push(Piece::GrantBy(grant.id));
            }
        })
    }

    /// Finds what was uploaded, and the work on it.
    fn search_films(&self, whose: &Whose, search: &mut Search) -> Result<(), StateError> {
        self.each(keys::UPLOADS, |_, upload: UploadRecord| {
            if whose.includes(&upload.owner.0) {
                search.found(Piece::Upload(upload.id), &upload.owner);
                search.traces.uploads.insert(upload.id);
                search.traces.videos.extend(upload.video);
            } else if upload.token.is_some_and(|token| search.traces.tokens.contains(&token)) {
                search.pieces.push(Piece::UploadBy(upload.id));
            }
        })?;
        self.each(keys::VIDEOS, |_, video: VideoRecord| {
            if whose.includes(&video.owner.0) {
                search.found(Piece::Video(video.id), &video.owner);
                search.traces.videos.insert(video.id);
            }
        })?;
        self.each(keys::TRASH, |_, trashed: TrashRecord| {
            if whose.includes(&trashed.video.owner.0) {
                search.found(Piece::Trashed(trashed.video.id), &trashed.video.owner);
                search.traces.videos.insert(trashed.video.id);
            }
        })?;
        self.each(keys::JOBS, |_, job: JobRecord| {
            if whose.includes(&job.owner.0) || search.traces.videos.contains(&job.video) {
                search.pieces.push(Piece::Job(job.id));
                search.traces.jobs.insert(job.id);
            }
        })
    }

    /// Finds what was said of them, and where others name something of theirs.
    fn search_mentions(&self, whose: &Whose, search: &mut Search) -> Result<(), StateError> {
        for prefix in [keys::WAITING, keys::DELIVERED] {
            self.each(prefix, |key, row: DeliveryRecord| {
                let is_about = match &row.subject {
                    Subject::Video(about) => whose.includes(&about.owner.0),
                    Subject::Disk { .. } | Subject::Test => false,
                };
                if is_about || row.grant.is_some_and(|it| search.traces.grants.contains(&it)) {
                    search.pieces.push(Piece::Plain(key.to_vec()));
                }
            })?;
        }
        for key in self.inner.db.scan_prefix(keys::NEXT_TURNS).keys() {
            let key = key.map_err(view::failed)?;
            let name = std::str::from_utf8(&key[keys::NEXT_TURNS.len()..]).unwrap_or_default();
            if whose.includes(name) {
                search.pieces.push(Piece::Plain(key.to_vec()));
            }
        }
        let names: HashSet<String> = search.traces.names().into_iter().collect();
        self.each(keys::REPORTS, |key, mut report: CleanupRecord| {
            if unname(&mut report, &names) {
                search.pieces.push(Piece::Report(key.to_vec()));
            }
        })
    }

    /// Looks at all records whose keys begin with `prefix`, one after the other.
    fn each<R: Record>(
        &self,
        prefix: &[u8],
        mut look: impl FnMut(&[u8], R),
    ) -> Result<(), StateError> {
        for entry in self.inner.db.scan_prefix(prefix) {
            let (key, value) = entry.map_err(view::failed)?;
            look(&key, codec::decode(&value)?);
        }
        Ok(())
    }
}

/// What was found, in the order in which it is taken out.
#[derive(Default)]
struct Search {
    traces: Traces,
    pieces: Vec<Piece>,
    sessions: u64,
}

impl Search {
    fn found(&mut self, piece: Piece, owner: &Owner) {
        self.pieces.push(piece);
        self.traces.owners.insert(owner.clone());
    }
}

impl Piece {
    fn count(&self, count: &mut Erased) {
        let number = match self {
            Self::Token(_) => &mut count.tokens,
            Self::User(_) => &mut count.accounts,
            Self::Grant(_) => &mut count.grants,
            Self::Upload(_) => &mut count.uploads,
            Self::Video(_) => &mut count.videos,
            Self::Trashed(_) => &mut count.trashed,
            Self::Job(_) => &mut count.jobs,
            Self::Plain(key) if key.starts_with(keys::LOGIN_CODES) => &mut count.sessions,
            Self::Plain(key) if key.starts_with(keys::NEXT_TURNS) => return,
            Self::Plain(_) => &mut count.deliveries,
            Self::UploadBy(_) | Self::GrantBy(_) | Self::Report(_) => &mut count.mentions,
        };
        *number += 1;
    }

    /// Takes it out, if it is still there.
    fn take_out(self, view: &mut View<'_>, names: &HashSet<String>) -> Result<(), StateError> {
        match self {
            Self::Plain(key) => view.remove(key),
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

/// Takes examples of what has these names out of a cleaning's report; says whether there were some.
fn unname(report: &mut CleanupRecord, names: &HashSet<String>) -> bool {
    let report = &mut report.report;
    let mut before = report.faults.len();
    report.faults.retain(|fault| !fault.split_whitespace().any(|word| names.contains(word)));
    let mut after = report.faults.len();
    for finding in &mut report.findings {
        before += finding.examples.len();
        finding.examples.retain(|example| !names.contains(&example.id));
        after += finding.examples.len();
    }
    before != after
}
