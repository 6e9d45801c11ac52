//! What people may ask of whoever keeps their films: all that is kept of them, in one archive, or
//! that nothing is kept any more.
//!
//! Both go by the same search, for the records that `state` has of somebody and for what lies on
//! the disk without one: what an erasure removes is what an archive holds.
//!
//! An erasure is noted on the disk before anything is removed, with the names of all that was
//! found, and can be repeated from any moment on; a start goes on with one that was cut off. From
//! its beginning until the process ends nothing is recorded for its owner. What the database
//! remembers of removed records goes with `State::rewrite`, which needs it closed: `server` has
//! that done. Called by `control`.

mod erase;
mod export;

pub use export::{Boot, Exported, Exports, Lack, Wanted, archive_name};

use crate::disk::{Disk, DiskError, Stray};
use crate::ids::NotAnOwner;
use crate::model::deed::{Action, Outcome};
use crate::model::whose::{Traces, Whose};
use crate::rooms::Rooms;
use crate::state::{Found, RecordCount, State, StateError};
use crate::upload::UploadError;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Who does what people may ask. Clones share everything.
#[derive(Clone)]
pub struct Rights {
    rooms: Rooms,
    /// The erasure that is under way, or whose end nobody has heard of.
    running: Arc<Mutex<Option<Running>>>,
}

struct Running {
    whose: Whose,
    told: watch::Receiver<Erasure>,
}

/// Why somebody can't be erased, or given all that is theirs.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// It names nobody.
    #[error("{0}; everybody of an organisation is written `organisation/`")]
    Name(#[from] NotAnOwner),
    /// Somebody else is being erased.
    #[error("somebody else is being erased; ask again when that is done")]
    Busy,
    /// An upload couldn't be ended.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A file couldn't be read or removed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The database refused or failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The audit log couldn't be read or written anew.
    #[error("the audit log: {0}")]
    Trail(std::io::Error),
    /// The records beside the database couldn't be written anew.
    #[error("the export of the records: {0}")]
    Export(#[from] crate::backup::RecordsError),
    /// Whoever wanted an archive doesn't take it any more.
    #[error("the archive: {0}")]
    Archive(std::io::Error),
    /// Nothing is kept of them.
    #[error("nothing is kept of anybody of this name")]
    Nobody,
    /// All that is theirs is about to go.
    #[error("they are being erased; let that end first (`slipway user erase`)")]
    Erasing,
    /// There are as many archives under way as may be.
    #[error("other archives are being written; ask again when one is done")]
    Exporting,
    /// Something of theirs is still held, or came again and again.
    #[error("{0}")]
    Held(&'static str),
    /// A task of ours ended without a result.
    #[error("a task ended without a result")]
    Task,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// All records and directories are looked at.
    #[default]
    Searching,
    /// Uploads that are under way are ended.
    Uploads,
    /// Records are removed.
    Records,
    /// Files are removed.
    Files,
    /// Names go from the audit log.
    AuditLog,
    /// What lies beside the database is made anew.
    Copies,
    /// Nothing is left to do but to have the database forget.
    Done,
}

/// What an erasure has taken by now, or a search has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    /// How far it is.
    pub step: Step,
    /// Nothing was changed: it tells what would go.
    pub dry_run: bool,
    /// It has ended, well or not.
    pub is_over: bool,
    /// Why it broke off. What is left goes with the next try, or the next start.
    pub problem: Option<String>,
    /// What stands for them in the audit log; empty for a search.
    pub pseudonym: String,
    /// Records.
    #[serde(flatten)]
    pub records: RecordCount,
    /// Entries of the audit log that named them.
    pub audit_entries: u64,
    /// Files.
    pub files: u64,
    /// What these had, in bytes.
    pub bytes: u64,
    /// Databases that didn't open and were kept for a look; what they hold can't be told apart.
    pub databases_aside: u64,
}

impl Rights {
    /// Makes it of these rooms.
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms, running: Arc::default() }
    }

    /// Tells what is kept of somebody, and changes nothing. What uploads have received counts, and
    /// what the audit log says of them doesn't.
    ///
    /// # Errors
    /// `State`, `Disk`.
    pub async fn look(&self, whose: Whose) -> Result<Erasure, RightsError> {
        erase::look(&self.rooms, whose).await
    }

    /// Erases somebody, or goes on with it, and returns how far that is after `patience` at most.
    /// Asked again and again, it tells of the end once. It goes on whether anybody asks or not.
    ///
    /// # Errors
    /// `Busy` while somebody else is erased. Why an erasure broke off is told in it.
    /// # Durability
    /// What it tells as done survives a power cut.
    /// # Cancel
    /// Safe: the erasure goes on.
    pub async fn erase(&self, whose: Whose, patience: Duration) -> Result<Erasure, RightsError> {
        let mut told = self.join(whose.clone())?;
        let is_over = told.wait_for(|erasure| erasure.is_over);
        // A task that has panicked has told nothing more.
        if matches!(tokio::time::timeout(patience, is_over).await, Ok(Err(_))) {
            self.lock().take();
            return Err(RightsError::Task);
        }
        let erasure = told.borrow().clone();
        if erasure.is_over {
            self.lock().take_if(|running| running.whose == whose);
        }
        Ok(erasure)
    }

    /// Returns what is told of the erasure of somebody, which is begun if it isn't under way.
    fn join(&self, whose: Whose) -> Result<watch::Receiver<Erasure>, RightsError> {
        let mut running = self.lock();
        if let Some(known) = running.as_ref() {
            match known.whose == whose {
                true => return Ok(known.told.clone()),
                false if !known.told.borrow().is_over => return Err(RightsError::Busy),
                false => {}
            }
        }
        let (tell, told) = watch::channel(Erasure::default());
        *running = Some(Running { whose: whose.clone(), told: told.clone() });
        let rooms = self.rooms.clone();
        tokio::spawn(async move {
            let problem = erase::run(&rooms, whose, &tell).await.err();
            let pseudonym = Some(tell.borrow().pseudonym.clone()).filter(|it| !it.is_empty());
            let outcome = if problem.is_none() { Outcome::Done } else { Outcome::Failed };
            rooms.trail.note_console(Action::UserErased, pseudonym, outcome);
            tell.send_modify(|erasure| {
                erasure.is_over = true;
                erasure.problem = problem.map(|cause| cause.to_string());
            });
        });
        Ok(told)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds what is somebody's: `known`, what the records hold, and what lies on the disk without a
/// record. Blocks.
fn search(
    state: &State,
    disk: &Disk,
    whose: &Whose,
    mut known: Traces,
) -> Result<Found, RightsError> {
    known.merge(disk.strays(whose, &|stray| has_record(state, stray))?);
    Ok(state.search(whose, &known)?)
}

/// Says whether there is a record; if that can't be read, the search for records says so.
fn has_record(state: &State, stray: Stray) -> bool {
    match stray {
        Stray::Video(id) => {
            !matches!(state.video(id), Ok(None)) || !matches!(state.trashed(id), Ok(None))
        }
        Stray::Upload(id) => !matches!(state.upload(id), Ok(None)),
    }
}
