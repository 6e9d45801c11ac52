//! Transactions on upload grants: made, bound to the upload that they begin, ended, forgotten.
//!
//! A grant is bound in the transaction that records its upload, so that of two that begin with it
//! at once one is refused. It is free again when that upload ends with nothing.

use super::error::{Conflict, StateError};
use super::record::{GrantRecord, UploadRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, access, growing, keys};
use crate::ids::{GrantId, Owner};
use crate::model::access::GrantFault;
use crate::model::video::VideoState;
use crate::units::UnixMillis;

/// Most grants of one owner, those that are over and not yet forgotten with them.
pub const GRANTS_MAX: usize = 10_000;
/// How long a grant is remembered after its end: longer than a callback is tried.
pub const GRANT_KEPT_MS: u64 = 2 * 86_400_000;
/// Most parts of a joined upload that one grant begins, in all.
pub const GRANT_PARTS_MAX: u32 = 100;

/// Uses up the grant by which an upload is begun that is being recorded. A part of a joined upload
/// doesn't use it up; what is made of the parts does.
///
/// # Errors
/// `Conflict(Grant)`.
pub(super) fn bind(view: &mut View, upload: &UploadRecord) -> Result<(), StateError> {
    let Some(id) = upload.grant else { return Ok(()) };
    let refused = |fault| StateError::Conflict(Conflict::Grant(fault));
    let grant = view.find::<GrantRecord>(&keys::grant(id))?;
    let mut grant = grant.ok_or(refused(GrantFault::Over))?;
    grant.check(upload.is_part(), upload.created_at).map_err(refused)?;
    if upload.is_part() {
        grant.parts += 1;
        if grant.parts > GRANT_PARTS_MAX {
            return Err(refused(GrantFault::Parts));
        }
    } else {
        grant.upload = Some(upload.id);
        grant.video = upload.video;
        grant.used_at = Some(upload.created_at);
    }
    view.put(keys::grant(id), &grant)
}

/// Frees the grant of an upload that ends with nothing: whoever has it may try again.
pub(super) fn give_back(view: &mut View, upload: &UploadRecord) -> Result<(), StateError> {
    let Some(id) = upload.grant else { return Ok(()) };
    match view.find::<GrantRecord>(&keys::grant(id))? {
        Some(grant) if grant.upload == Some(upload.id) => {
            let free = GrantRecord { upload: None, video: None, used_at: None, ..grant };
            view.put(keys::grant(id), &free)
        }
        _ => Ok(()),
    }
}

/// Returns the grant whose callback is told of a video, if it has one, and remembers that it is.
pub(super) fn called(view: &mut View, video: &VideoRecord) -> Result<Option<GrantId>, StateError> {
    let Some(id) = video.grant else { return Ok(None) };
    let Some(mut grant) = view.find::<GrantRecord>(&keys::grant(id))? else { return Ok(None) };
    let Some(callback) = &mut grant.callback else { return Ok(None) };
    if !callback.called {
        callback.called = true;
        view.put(keys::grant(id), &grant)?;
    }
    Ok(Some(id))
}

/// Moves the moment at which a grant is forgotten.
fn put_due(view: &mut View, grant: GrantRecord, at: UnixMillis) -> Result<(), StateError> {
    view.remove(keys::grant_due(grant.remove_at, grant.id));
    view.put_bytes(keys::grant_due(at, grant.id), Vec::new());
    view.put(keys::grant(grant.id), &GrantRecord { remove_at: at, ..grant })
}

/// Says whether something is still to come of a grant.
fn is_in_use(view: &View, grant: &GrantRecord) -> Result<bool, StateError> {
    let upload = grant.upload.map(|id| growing::find(view, id)).transpose()?.flatten();
    let video = grant.video.map(|id| view.find::<VideoRecord>(&keys::video(id))).transpose()?;
    let is_over = |state| matches!(state, VideoState::Ready | VideoState::Failed);
    Ok(upload.is_some_and(|upload| upload.state.is_under_way())
        || video.flatten().is_some_and(|video| !is_over(video.state))
        || grant.callback.as_ref().is_some_and(|callback| callback.called))
}

impl State {
    /// Records a new grant. It counts as an upload that its token has begun, if that is good for
    /// so many.
    ///
    /// # Errors
    /// `Conflict(Full)` if its owner has too many; `Conflict` with `Spent` or `Erased`; `TooLarge`,
    /// `Failed`.
    /// # Durability
    /// Synced.
    pub async fn put_grant(&self, grant: GrantRecord) -> Result<(), StateError> {
        // Counted beside the writer, which others wait for: a few too many do no harm.
        let all = self.inner.db.scan_prefix(keys::grants_of(&grant.owner)).keys();
        if all.take(GRANTS_MAX).count() >= GRANTS_MAX {
            return Err(StateError::Conflict(Conflict::Full));
        }
        let closed = self.closed().clone();
        self.call(Promise::Synced, move |view| {
            closed.check(&grant.owner)?;
            if let Some(token) = grant.token {
                access::count_one(view, token)?;
            }
            view.put_bytes(keys::grant_hash(&grant.hash), grant.id.as_bytes().to_vec());
            view.put_bytes(keys::grant_of(&grant.owner, grant.id), Vec::new());
            view.put_bytes(keys::grant_due(grant.remove_at, grant.id), Vec::new());
            view.put(keys::grant(grant.id), &grant)
        })
        .await
    }

    /// Reads a grant.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn grant(&self, id: GrantId) -> Result<Option<GrantRecord>, StateError> {
        self.view().find(&keys::grant(id))
    }

    /// Reads the grant whose text has this SHA-256.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn grant_by_hash(&self, hash: &[u8; 32]) -> Result<Option<GrantRecord>, StateError> {
        let id = self.view().bytes(&keys::grant_hash(hash))?;
        let Some(id) = id.and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
        self.grant(GrantId::from_bytes(id))
    }

    /// Reads at most `limit` grants of an owner from before `before` on, the newest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn grants_of(
        &self,
        owner: &Owner,
        before: Option<GrantId>,
        limit: usize,
    ) -> Result<Vec<GrantRecord>, StateError> {
        let prefix = keys::grants_of(owner);
        let end = before.map_or_else(|| keys::behind(&prefix), |id| keys::grant_of(owner, id));
        let mut found = Vec::new();
        for key in self.inner.db.range(prefix..end).keys().rev().take(limit) {
            let id = keys::parse_grant_of(&key.map_err(super::view::failed)?);
            // One may be forgotten at this moment.
            found.extend(id.map(|id| self.grant(id)).transpose()?.flatten());
        }
        Ok(found)
    }

    /// Ends a grant at once; says what it was. Doing it again changes nothing.
    ///
    /// # Errors
    /// `Missing`; `Failed`.
    /// # Durability
    /// Synced: it doesn't come back.
    pub async fn end_grant(&self, id: GrantId, now: UnixMillis) -> Result<GrantRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut grant: GrantRecord = view.get(&keys::grant(id))?;
            if grant.ended_at.is_none() {
                grant.ended_at = Some(now);
                let at = grant.remove_at.min(now.plus_ms(GRANT_KEPT_MS));
                put_due(view, grant.clone(), at)?;
            }
            Ok(grant)
        })
        .await
    }

    /// Forgets grants that are over for long enough, `limit` at most; of those from which something
    /// is still to come it looks again later. Returns how many it looked at.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Written.
    pub async fn forget_grants(&self, now: UnixMillis, limit: usize) -> Result<usize, StateError> {
        let mut due = Vec::new();
        for key in self.inner.db.scan_prefix(keys::GRANTS_DUE).keys().take(limit) {
            let key = key.map_err(super::view::failed)?;
            match keys::parse_grant_due(&key) {
                Some((at, id)) if at <= now => due.push(id),
                _ => break,
            }
        }
        let count = due.len();
        for id in due {
            self.call(Promise::Written, move |view| forget(view, id, now)).await?;
        }
        Ok(count)
    }
}

fn forget(view: &mut View, id: GrantId, now: UnixMillis) -> Result<(), StateError> {
    let Some(mut grant) = view.find::<GrantRecord>(&keys::grant(id))? else { return Ok(()) };
    if is_in_use(view, &grant)? {
        if let Some(callback) = &mut grant.callback {
            callback.called = false;
        }
        return put_due(view, grant, now.plus_ms(GRANT_KEPT_MS));
    }
    remove(view, &grant);
    Ok(())
}

/// Removes a grant and its entries in all lists.
pub(super) fn remove(view: &mut View, grant: &GrantRecord) {
    view.remove(keys::grant_due(grant.remove_at, grant.id));
    view.remove(keys::grant_hash(&grant.hash));
    view.remove(keys::grant_of(&grant.owner, grant.id));
    view.remove(keys::grant(grant.id));
}
