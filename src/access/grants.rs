//! Upload grants: an app's back end has one made and hands it to a browser, which then uploads one
//! file by it without being anybody.
//!
//! A grant's text is as long as a token's, and like that only its hash is kept. What it begins
//! belongs to the owner that it was made for; whoever has it can do with that one upload and its
//! video what somebody who uploads does, and see nothing else of the owner's.

use super::{Access, AccessError, Caller, Denied, is_grant_shaped, secret};
use crate::ids::{GrantId, Owner, TokenId};
use crate::model::access::{Bounds, Role, Viewer};
use crate::state::{Callback, GRANT_KEPT_MS, GrantRecord, StateError};
use crate::units::UnixMillis;

/// Longest time in which a grant begins its upload, in seconds: 30 days.
pub const GRANT_SECONDS_MAX: u64 = 30 * 86_400;
/// How long a grant is good for its upload and video after all bytes have come, at least: the
/// page that brought them shows what becomes of them.
const AFTERWARDS_MS: u64 = 86_400_000;

/// A grant to be made.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Whose the upload will be.
    pub owner: Owner,
    /// The token by which it is made.
    pub token: Option<TokenId>,
    /// What is said of the video, as `Upload-Metadata` names it.
    pub metadata: Vec<(String, String)>,
    /// What bounds the upload.
    pub bounds: Bounds,
    /// In which time the upload has to begin.
    pub expires_ms: u64,
    /// Who is told what becomes of it.
    pub callback: Option<String>,
}

impl Access {
    /// Makes an upload grant, and returns its text, which is not to be had again, and its record.
    ///
    /// # Errors
    /// `State` with `Conflict` if its owner has too many, or the token is good for no more.
    /// # Durability
    /// The record survives a power cut once this returns.
    pub async fn create_grant(&self, new: NewGrant) -> Result<(String, GrantRecord), AccessError> {
        let (text, now) = (secret::fresh_grant(), self.inner.clock.now());
        let expires_at = now.plus_ms(new.expires_ms);
        let callback = |url| Callback { url, secret: secret::fresh_signing_key(), called: false };
        let record = GrantRecord {
            id: GrantId::fresh(now),
            hash: secret::hash(&text),
            owner: new.owner,
            token: new.token,
            metadata: new.metadata,
            bounds: new.bounds,
            created_at: now,
            expires_at,
            upload: None,
            video: None,
            used_at: None,
            parts: 0,
            ended_at: None,
            remove_at: expires_at.plus_ms(GRANT_KEPT_MS),
            callback: new.callback.map(callback),
        };
        self.inner.state.put_grant(record.clone()).await?;
        Ok((text, record))
    }

    /// Returns for whom a grant stands: its owner, confined to what was begun by it.
    pub(super) fn by_grant(&self, text: &str) -> Result<Caller, Denied> {
        if !is_grant_shaped(text) {
            return Err(Denied::Invalid);
        }
        let hash = secret::hash(text);
        let found = self.inner.state.grant_by_hash(&hash)?;
        let grant = found.filter(|grant| secret::equal(&grant.hash, &hash));
        let grant = grant.ok_or(Denied::Invalid)?;
        match self.is_good(&grant)? {
            true => Ok(caller_of(grant)),
            false => Err(Denied::Invalid),
        }
    }

    /// Says whether a grant is still good for anything.
    ///
    /// # Errors
    /// Those of the state.
    pub fn grant_holds(&self, id: GrantId) -> Result<bool, StateError> {
        match self.inner.state.grant(id)? {
            Some(grant) => self.is_good(&grant),
            None => Ok(false),
        }
    }

    /// A grant holds until its end, or longer for an upload that it has begun: until a day after
    /// all of that is here.
    fn is_good(&self, grant: &GrantRecord) -> Result<bool, StateError> {
        let now = self.inner.clock.now();
        if grant.ended_at.is_some() {
            return Ok(false);
        }
        if now < grant.begins_until() {
            return Ok(true);
        }
        let upload = grant.upload.map(|id| self.inner.state.upload(id)).transpose()?.flatten();
        let is_recent = |at: UnixMillis| now.ms_since(at) < AFTERWARDS_MS;
        Ok(upload.is_some_and(|it| it.state.is_under_way() || it.ended_at.is_some_and(is_recent)))
    }
}

fn caller_of(grant: GrantRecord) -> Caller {
    Caller {
        // An owner who may do more can't hand that on.
        viewer: Viewer { owner: grant.owner, role: Role::Uploader },
        token: None,
        user: None,
        scopes: Vec::new(),
        bounds: grant.bounds,
        grant: Some(grant.id),
    }
}
