//! What each owner has here: kept in memory, counted once at the start from the records.
//!
//! Every record that is put says what it weighs, in the transaction that puts it, so that no
//! later transaction can forget to. Nothing of it is stored: a total on disk could drift from the
//! records for ever, one in memory is right again with the next start; and appending writes no
//! further record. What was let in but isn't recorded yet is held beside the records' weights, so
//! that two requests at the same moment see each other.

use super::State;
use super::error::StateError;
use super::record::{JobRecord, TrashRecord, UploadRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{keys, order};
use crate::ids::{Owner, UploadId};
use crate::model::job::{JobState, Line};
use crate::model::upload::Concat;
use crate::units::{ByteCount, ByteOffset};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one owner has here; nothing before it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of originals, of those in the trash too, and of open uploads: what was announced, or
    /// came where more did.
    pub kept: ByteCount,
    /// Bytes that were announced and haven't come.
    pub awaited: ByteCount,
    /// Uploads that haven't ended.
    pub open: usize,
    /// Films that wait to be worked on.
    pub waiting: usize,
}

/// How many jobs are open, of everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenJobs {
    /// Films that wait.
    pub films: usize,
    /// Jobs that wait on uploads that are under way.
    pub live: usize,
    /// Small jobs that wait.
    pub small: usize,
    /// Jobs that a worker holds.
    pub running: usize,
}

/// What one owner may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bound of [`Usage::kept`].
    pub kept_max: Option<ByteCount>,
    /// Bound of [`Usage::awaited`]; a single upload may be larger if nothing else is awaited.
    pub awaited_max: ByteCount,
    /// Bound of [`Usage::open`].
    pub open_max: usize,
    /// Bound of [`Usage::waiting`], for the next upload.
    pub waiting_max: Option<usize>,
}

/// Which bound of an [`Allowance`] is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// The owner keeps too much.
    #[error("the owner keeps too many bytes")]
    Kept,
    /// The owner has announced too much.
    #[error("the owner has announced too many bytes")]
    Awaited,
    /// The owner has begun too much.
    #[error("the owner has too many open uploads")]
    Open,
    /// Too much of the owner's waits to be worked on.
    #[error("too many films of the owner wait")]
    Waiting,
}

/// The totals, shared by the writer and whoever asks; none before they are counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts(Arc<Mutex<Option<Ledger>>>);

/// What one transaction changes of the totals.
#[derive(Debug)]
pub(super) enum Move {
    /// An upload, as it is from now on; none once it has ended.
    Upload(UploadId, Option<Weight>),
    /// An original that came, or went.
    Original { owner: Owner, before: u64, after: u64 },
    /// A job that came, moved on or ended.
    Job { owner: Owner, before: Option<Standing>, after: Option<Standing> },
}

/// Where an open job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In a line, or beside it until its time comes.
    Waiting(Line),
    /// A worker holds it.
    Running,
}

impl Standing {
    /// Returns where a job stands; nowhere once it has ended.
    pub(super) fn of(job: &JobRecord) -> Option<Self> {
        match job.state {
            JobState::Queued => Some(Self::Waiting(job.line())),
            JobState::Running => Some(Self::Running),
            JobState::Done | JobState::Failed | JobState::Cancelled => None,
        }
    }
}

impl OpenJobs {
    fn at(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Waiting(Line::Films) => &mut self.films,
            Standing::Waiting(Line::Live) => &mut self.live,
            Standing::Waiting(Line::Small) => &mut self.small,
            Standing::Running => &mut self.running,
        }
    }
}

/// What an open upload weighs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Weight {
    owner: Owner,
    announced: u64,
    received: u64,
    /// Up to here it was let in beyond what it announced, and up to here it was announced with a
    /// body that is coming.
    claimed: u64,
    promised: u64,
    /// Its bytes come from other uploads, not from its client.
    is_joined: bool,
}

impl Weight {
    /// Returns what an upload weighs; nothing once it has ended.
    pub(super) fn of(upload: &UploadRecord) -> Option<Self> {
        upload.state.is_under_way().then(|| Self {
            owner: upload.owner.clone(),
            announced: upload.length.unwrap_or_default().0,
            received: upload.received.written.total().0,
            claimed: 0,
            promised: 0,
            is_joined: upload.is_final(),
        })
    }

    fn kept(&self) -> u64 {
        self.announced.max(self.claimed).max(self.received)
    }

    fn awaited(&self) -> u64 {
        let announced = self.announced.max(self.promised);
        if self.is_joined { 0 } else { announced.saturating_sub(self.received) }
    }
}

/// Returns what a video's original weighs.
pub(super) fn original(video: &VideoRecord) -> u64 {
    if video.uploaded_at.is_some() && !video.discarded { video.size.0 } else { 0 }
}

/// Sums of one owner. Wider than what they sum, so that no sum can overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    kept: u128,
    awaited: u128,
    open: usize,
    waiting: usize,
}

impl Sums {
    fn add(&mut self, weight: &Weight) {
        self.kept += u128::from(weight.kept());
        self.awaited += u128::from(weight.awaited());
        self.open += 1;
    }

    fn take(&mut self, weight: &Weight) {
        self.kept -= u128::from(weight.kept());
        self.awaited -= u128::from(weight.awaited());
        self.open -= 1;
    }

    /// Checks `kept` and `awaited` bytes more.
    fn check(self, kept: u64, awaited: u64, allowance: &Allowance) -> Result<(), Excess> {
        let is_past = |sum: u128, more: u64, max: ByteCount| {
            more > 0 && sum + u128::from(more) > u128::from(max.0)
        };
        if allowance.kept_max.is_some_and(|max| is_past(self.kept, kept, max)) {
            return Err(Excess::Kept);
        }
        if self.awaited > 0 && is_past(self.awaited, awaited, allowance.awaited_max) {
            return Err(Excess::Awaited);
        }
        Ok(())
    }
}

/// All totals. One entry an open upload, and one an owner who has anything.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: HashMap<UploadId, Weight>,
    owners: HashMap<Owner, Sums>,
    jobs: OpenJobs,
}

impl Ledger {
    fn sums(&self, owner: &Owner) -> Sums {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    fn change(&mut self, owner: &Owner, change: impl FnOnce(&mut Sums)) {
        let mut sums = self.sums(owner);
        change(&mut sums);
        match sums == Sums::default() {
            true => drop(self.owners.remove(owner)),
            false => drop(self.owners.insert(owner.clone(), sums)),
        }
    }

    fn set(&mut self, id: UploadId, weight: Option<Weight>) {
        let before = self.open.remove(&id);
        if let Some(before) = &before {
            self.change(&before.owner, |sums| sums.take(before));
        }
        let Some(mut weight) = weight else { return };
        if let Some(before) = before {
            (weight.claimed, weight.promised) = (before.claimed, before.promised);
        }
        self.change(&weight.owner, |sums| sums.add(&weight));
        self.open.insert(id, weight);
    }

    pub(super) fn apply(&mut self, moved: Move) {
        match moved {
            Move::Upload(id, weight) => self.set(id, weight),
            Move::Original { owner, before, after } => self.change(&owner, |sums| {
                sums.kept = sums.kept + u128::from(after) - u128::from(before);
            }),
            Move::Job { owner, before, after } => self.move_job(&owner, before, after),
        }
    }

    fn move_job(&mut self, owner: &Owner, before: Option<Standing>, after: Option<Standing>) {
        if before == after {
            return;
        }
        let waits = |at: Option<Standing>| usize::from(at == Some(Standing::Waiting(Line::Films)));
        if let Some(before) = before {
            *self.jobs.at(before) -= 1;
        }
        if let Some(after) = after {
            *self.jobs.at(after) += 1;
        }
        if waits(before) != waits(after) {
            self.change(owner, |sums| sums.waiting = sums.waiting + waits(after) - waits(before));
        }
    }

    fn admit(&mut self, upload: &UploadRecord, allowance: &Allowance) -> Result<(), Excess> {
        let Some(weight) = Weight::of(upload) else { return Ok(()) };
        let mut sums = self.sums(&weight.owner);
        if sums.open >= allowance.open_max {
            return Err(Excess::Open);
        }
        if allowance.waiting_max.is_some_and(|max| sums.waiting >= max) {
            return Err(Excess::Waiting);
        }
        // The bytes of its parts have been let in before.
        let counted: u128 = match &upload.concat {
            Some(Concat::Final { parts, .. }) => {
                let parts: BTreeSet<&UploadId> = parts.iter().collect();
                let kept = |id| u128::from(self.open.get(id).map_or(0, Weight::kept));
                parts.into_iter().map(kept).sum::<u128>()
            }
            _ => 0,
        };
        sums.kept = sums.kept.saturating_sub(counted);
        sums.check(weight.kept(), weight.awaited(), allowance)?;
        self.set(upload.id, Some(weight));
        Ok(())
    }

    fn claim(
        &mut self,
        id: UploadId,
        until: ByteOffset,
        is_promise: bool,
        allowance: &Allowance,
    ) -> Result<(), Excess> {
        let Some(before) = self.open.get(&id) else { return Ok(()) };
        let mut after = before.clone();
        after.claimed = after.claimed.max(until.0);
        after.promised = if is_promise { after.claimed } else { after.promised };
        let (kept, awaited) =
            (after.kept() - before.kept(), after.awaited().saturating_sub(before.awaited()));
        self.sums(&after.owner).check(kept, awaited, allowance)?;
        self.replace(id, after);
        Ok(())
    }

    fn unclaim(&mut self, id: UploadId) {
        if let Some(mut after) = self.open.get(&id).cloned() {
            (after.claimed, after.promised) = (0, 0);
            self.replace(id, after);
        }
    }

    /// Changes what is claimed too, unlike [`Ledger::set`].
    fn replace(&mut self, id: UploadId, after: Weight) {
        self.set(id, None);
        self.change(&after.owner, |sums| sums.add(&after));
        self.open.insert(id, after);
    }
}

impl Accounts {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Ledger>> {
        // Nothing that could panic half-way runs while it is held, so a poisoned lock is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether moves count: before the totals are counted they don't.
    pub(super) fn is_counting(&self) -> bool {
        self.lock().is_some()
    }

    /// Applies what a transaction changed.
    pub(super) fn apply(&self, moves: Vec<Move>) {
        if let (false, Some(ledger)) = (moves.is_empty(), self.lock().as_mut()) {
            moves.into_iter().for_each(|moved| ledger.apply(moved));
        }
    }
}

impl State {
    /// Counts what everybody has, from all records; to be called once, before the first upload is
    /// let in. From then on every transaction keeps the totals right.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub async fn count_usage(&self) -> Result<(), StateError> {
        let accounts = self.accounts().clone();
        // As a transaction it sees all that came before it, and nothing changes meanwhile.
        self.call(Promise::Written, move |view| {
            let ledger = count(view)?;
            *accounts.lock() = Some(ledger);
            Ok(())
        })
        .await
    }

    /// Returns what an owner has here.
    pub fn usage(&self, owner: &Owner) -> Usage {
        let sums = self.accounts().lock().as_ref().map(|ledger| ledger.sums(owner));
        let sums = sums.unwrap_or_default();
        let bytes = |sum: u128| ByteCount(u64::try_from(sum).unwrap_or(u64::MAX));
        let (open, waiting) = (sums.open, sums.waiting);
        Usage { kept: bytes(sums.kept), awaited: bytes(sums.awaited), open, waiting }
    }

    /// Returns how many jobs are open; none before they were counted.
    pub fn open_jobs(&self) -> OpenJobs {
        self.accounts().lock().as_ref().map(|ledger| ledger.jobs).unwrap_or_default()
    }

    /// Lets an upload in that is about to be recorded, if its owner may have it; it counts at
    /// once, so that of two at the same moment the second sees the first. If it isn't recorded
    /// after all, [`State::withdraw`] has to be called.
    ///
    /// # Errors
    /// The bound that is in the way; nothing counts then.
    pub fn admit(&self, upload: &UploadRecord, allowance: &Allowance) -> Result<(), Excess> {
        self.accounts().lock().as_mut().map_or(Ok(()), |ledger| ledger.admit(upload, allowance))
    }

    /// Forgets an upload that was let in and never recorded.
    pub fn withdraw(&self, id: UploadId) {
        if let Some(ledger) = self.accounts().lock().as_mut() {
            ledger.set(id, None);
        }
    }

    /// Lets an upload grow up to `until`, beyond what it announced, if its owner may have that.
    /// It counts at once, until [`State::unclaim`]; as awaited too if the bytes are only promised.
    ///
    /// # Errors
    /// The bound that is in the way; what was claimed before stays.
    pub fn claim(
        &self,
        id: UploadId,
        until: ByteOffset,
        is_promise: bool,
        allowance: &Allowance,
    ) -> Result<(), Excess> {
        let mut accounts = self.accounts().lock();
        accounts.as_mut().map_or(Ok(()), |ledger| ledger.claim(id, until, is_promise, allowance))
    }

    /// Ends a claim: from now on the upload weighs what its record says.
    pub fn unclaim(&self, id: UploadId) {
        if let Some(ledger) = self.accounts().lock().as_mut() {
            ledger.unclaim(id);
        }
    }
}

/// Returns what a video's original adds.
pub(super) fn arrived(video: &VideoRecord) -> Move {
    Move::Original { owner: video.owner.clone(), before: 0, after: original(video) }
}

/// Counts everything anew.
fn count(view: &View<'_>) -> Result<Ledger, StateError> {
    let mut ledger = Ledger::default();
    for key in view.keys(keys::UNFINISHED)? {
        let id = key.strip_prefix(keys::UNFINISHED).unwrap_or_default();
        if let Some(upload) = view.find::<UploadRecord>(&[keys::UPLOADS, id].concat())? {
            let upload = view.growing().onto(upload);
            ledger.set(upload.id, Weight::of(&upload));
        }
    }
    for key in view.keys(keys::VIDEOS)? {
        ledger.apply(arrived(&view.get(&key)?));
    }
    for key in view.keys(keys::TRASH)? {
        ledger.apply(arrived(&view.get::<TrashRecord>(&key)?.video));
    }
    for index in [keys::AGE, keys::SET_BACK, keys::LIVE, keys::SMALL, keys::RUNNING] {
        for key in view.keys(index)? {
            let job: JobRecord = view.get(&keys::job(order::job_of(&key)?))?;
            let after = Standing::of(&job);
            ledger.apply(Move::Job { owner: job.owner, before: None, after });
        }
    }
    Ok(ledger)
}

#[cfg(test)]
impl State {
    /// Counts everything anew and compares; for tests, while nothing is claimed.
    pub(crate) async fn assert_usage(&self) {
        let accounts = self.accounts().clone();
        let compared = self.call(Promise::Written, move |view| {
            let counted = count(view)?;
            let kept = accounts.lock();
            let kept = kept.as_ref().expect("the totals were counted");
            assert_eq!(kept.owners, counted.owners, "the totals have drifted");
            assert_eq!(kept.open, counted.open, "the weights have drifted");
            assert_eq!(kept.jobs, counted.jobs, "the counts of jobs have drifted");
            Ok(())
        });
        compared.await.expect("the same totals");
    }
}
