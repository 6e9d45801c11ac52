//! What is somebody's: the one list of the kinds of records that are kept of people, for whoever
//! takes them out ([`State::erase`]) and whoever hands them out ([`State::each_of`]).
//!
//! A kind is a [`Piece`]: each `match` on it names every kind, so that a new one can't be left out
//! anywhere, and a test below has every prefix of the keys sorted.

use super::codec::{self, Record};
use super::error::StateError;
use super::people::{SessionRecord, UserRecord};
use super::record::{
    CleanupRecord, DeliveryRecord, GrantRecord, JobRecord, LoginCode, PartRecord, TokenRecord,
    TrashRecord, UploadRecord, VideoRecord,
};
use super::view::{self, View};
use super::{State, growing, keys};
use crate::ids::{GrantId, JobId, Owner, TokenId, UploadId, UserId, VideoId};
use crate::model::hook::Subject;
use crate::model::whose::{Traces, Whose};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ops::AddAssign;

/// How many records there were of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordCount {
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

impl AddAssign for RecordCount {
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

/// One thing in the records that has to do with somebody.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Token(TokenId),
    User(UserId),
    Session(Vec<u8>),
    LoginCode(Vec<u8>),
    Grant(GrantId),
    /// With its parts.
    Upload(UploadId),
    Video(VideoId),
    Trashed(VideoId),
    Job(JobId),
    Delivery(Vec<u8>),
    /// Somebody's place in the line of films.
    Turn(Vec<u8>),
    /// A record of somebody else, which stays and isn't theirs to see.
    UploadBy(UploadId),
    GrantBy(GrantId),
    Report(Vec<u8>),
}

/// A record that is somebody's.
#[derive(Clone, Debug)]
pub enum Theirs {
    /// An access token.
    Token(TokenRecord),
    /// An account.
    User(UserRecord),
    /// A browser that is signed in.
    Session(SessionRecord),
    /// A login link that nobody has used.
    LoginCode(LoginCode),
    /// An upload grant.
    Grant(Box<GrantRecord>),
    /// An upload, however it has ended, with the numbered parts that have come.
    Upload(Box<UploadRecord>, Vec<PartRecord>),
    /// A video.
    Video(Box<VideoRecord>),
    /// A video in the trash.
    Trashed(Box<TrashRecord>),
    /// A job.
    Job(Box<JobRecord>),
    /// What a webhook or a callback was told, or has still to be.
    Delivery(Box<DeliveryRecord>),
    /// When it is an owner's turn among films, as a number.
    Turn(Owner, u64),
}

/// What a search has found, in the order in which it is taken out.
#[derive(Debug, Default)]
pub struct Found {
    /// What has a name.
    pub traces: Traces,
    pub(super) pieces: Vec<Piece>,
}

impl Found {
    /// Counts what was found.
    pub fn count(&self) -> RecordCount {
        let mut count = RecordCount::default();
        self.pieces.iter().for_each(|piece| piece.count(&mut count));
        count
    }

    /// Says whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn found(&mut self, piece: Piece, owner: &Owner) {
        self.pieces.push(piece);
        self.traces.owners.insert(owner.clone());
    }
}

impl State {
    /// Finds what the records hold of somebody. `known` is of theirs as well, whether a record
    /// says so or not. Looks at all records; blocks.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn search(&self, whose: &Whose, known: &Traces) -> Result<Found, StateError> {
        let mut search = Found { traces: known.clone(), ..Found::default() };
        search.traces.owners.retain(|owner| whose.includes(&owner.0));
        self.search_access(whose, &mut search)?;
        self.search_films(whose, &mut search)?;
        self.search_mentions(whose, &mut search)?;
        Ok(search)
    }

    /// Finds what lets somebody in. It goes first.
    fn search_access(&self, whose: &Whose, search: &mut Found) -> Result<(), StateError> {
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
            for key in self.inner.db.scan_prefix(keys::sessions_of(holder)).keys() {
                search.pieces.push(Piece::Session(key.map_err(view::failed)?.to_vec()));
            }
        }
        self.each(keys::LOGIN_CODES, |key, code: LoginCode| {
            if search.traces.tokens.contains(&code.token) {
                search.pieces.push(Piece::LoginCode(key.to_vec()));
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
    fn search_films(&self, whose: &Whose, search: &mut Found) -> Result<(), StateError> {
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
    fn search_mentions(&self, whose: &Whose, search: &mut Found) -> Result<(), StateError> {
        for prefix in [keys::WAITING, keys::DELIVERED] {
            self.each(prefix, |key, row: DeliveryRecord| {
                let is_about = match &row.subject {
                    Subject::Video(about) => whose.includes(&about.owner.0),
                    Subject::Disk { .. } | Subject::Test => false,
                };
                if is_about || row.grant.is_some_and(|it| search.traces.grants.contains(&it)) {
                    search.pieces.push(Piece::Delivery(key.to_vec()));
                }
            })?;
        }
        for key in self.inner.db.scan_prefix(keys::NEXT_TURNS).keys() {
            let key = key.map_err(view::failed)?;
            let name = std::str::from_utf8(&key[keys::NEXT_TURNS.len()..]).unwrap_or_default();
            if whose.includes(name) {
                search.pieces.push(Piece::Turn(key.to_vec()));
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

    /// Shows `look` each record of a search that is still there and is somebody's, as it is now,
    /// one after the other. Blocks.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`, and what `look` says: nothing is shown after that.
    pub fn each_of<E: From<StateError>>(
        &self,
        found: &Found,
        look: &mut dyn FnMut(Theirs) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in &found.pieces {
            if let Some(record) = piece.read(&self.view())? {
                look(record)?;
            }
        }
        Ok(())
    }
}

impl Piece {
    pub(super) fn count(&self, count: &mut RecordCount) {
        let number = match self {
            Self::Token(_) => &mut count.tokens,
            Self::User(_) => &mut count.accounts,
            Self::Grant(_) => &mut count.grants,
            Self::Upload(_) => &mut count.uploads,
            Self::Video(_) => &mut count.videos,
            Self::Trashed(_) => &mut count.trashed,
            Self::Job(_) => &mut count.jobs,
            Self::Session(_) | Self::LoginCode(_) => &mut count.sessions,
            Self::Delivery(_) => &mut count.deliveries,
            Self::Turn(_) => return,
            Self::UploadBy(_) | Self::GrantBy(_) | Self::Report(_) => &mut count.mentions,
        };
        *number += 1;
    }

    /// Reads it, if it is still there and theirs.
    fn read(&self, view: &View<'_>) -> Result<Option<Theirs>, StateError> {
        Ok(match self {
            Self::Token(id) => view.find(&keys::token(*id))?.map(Theirs::Token),
            Self::User(id) => view.find(&keys::user(*id))?.map(Theirs::User),
            Self::Session(key) => view.find(key)?.map(Theirs::Session),
            Self::LoginCode(key) => view.find(key)?.map(Theirs::LoginCode),
            Self::Grant(id) => view.find(&keys::grant(*id))?.map(Box::new).map(Theirs::Grant),
            Self::Upload(id) => {
                let Some(upload) = growing::find(view, *id)? else { return Ok(None) };
                let mut parts = Vec::new();
                for key in view.keys(&keys::parts(*id))? {
                    parts.extend(view.find::<PartRecord>(&key)?);
                }
                Some(Theirs::Upload(Box::new(upload), parts))
            }
            Self::Video(id) => view.find(&keys::video(*id))?.map(Box::new).map(Theirs::Video),
            Self::Trashed(id) => view.find(&keys::trash(*id))?.map(Box::new).map(Theirs::Trashed),
            Self::Job(id) => view.find(&keys::job(*id))?.map(Box::new).map(Theirs::Job),
            Self::Delivery(key) => view.find(key)?.map(Box::new).map(Theirs::Delivery),
            Self::Turn(key) => {
                let name = String::from_utf8_lossy(&key[keys::NEXT_TURNS.len()..]).into_owned();
                let turn = view.bytes(key)?.and_then(|bytes| bytes.try_into().ok());
                turn.map(|turn| Theirs::Turn(Owner(name), u64::from_be_bytes(turn)))
            }
            Self::UploadBy(_) | Self::GrantBy(_) | Self::Report(_) => None,
        })
    }
}

/// Takes examples of what has these names out of a cleaning's report; says whether there were some.
pub(super) fn unname(report: &mut CleanupRecord, names: &HashSet<String>) -> bool {
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

#[cfg(test)]
mod tests {
    use super::keys::*;
    use std::collections::BTreeSet;

    /// Looked through for what is somebody's.
    const SEARCHED: [&[u8]; 13] = [
        TOKENS,
        USERS,
        SESSIONS,
        LOGIN_CODES,
        GRANTS,
        UPLOADS,
        VIDEOS,
        TRASH,
        JOBS,
        WAITING,
        DELIVERED,
        NEXT_TURNS,
        REPORTS,
    ];
    /// Indexes of these and what belongs to them, which go and are told with them.
    const BESIDE: [&[u8]; 14] = [
        USER_NAMES,
        GRANT_HASHES,
        GRANTS_BY_OWNER,
        GRANTS_DUE,
        UNFINISHED,
        PARTS,
        TRASH_UNTIL,
        QUEUED,
        AGE,
        SET_BACK,
        SMALL,
        LIVE,
        RUNNING,
        ENDED,
    ];
    /// The server's own.
    const NOBODYS: [&[u8]; 6] = [LINE, RULES, PACES, FIGURES, SECRETS, SCHEMA];

    /// Whoever adds a kind of record says here whether it is of people: then it has to be a
    /// `Piece`, which is erased and exported.
    #[test]
    fn every_kind_of_record_is_somebodys_or_nobodys() {
        let lines = include_str!("keys.rs").lines();
        let names =
            lines.filter_map(|line| line.strip_prefix("pub(super) const ")?.split_once("b\""));
        let used = names.filter_map(|(_, rest)| rest.split('"').next());
        let used: BTreeSet<&[u8]> = used.map(str::as_bytes).collect();
        let sorted = SEARCHED.into_iter().chain(BESIDE).chain(NOBODYS);
        assert_eq!(used, sorted.collect(), "sort new prefixes of keys into one of the three");
    }
}
