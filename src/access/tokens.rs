//! Making tokens, listing them with their last use, and ending them.

use super::{Access, AccessError, secret};
use crate::ids::{NotAnOwner, Owner, TokenId};
use crate::model::access::{Bounds, Right, Role, Viewer};
use crate::state::TokenRecord;
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::debug;

/// Most scopes of a token: each right once.
const SCOPES_MAX: usize = Right::ALL.len();
/// Longest name of a token in bytes.
const NAME_BYTES_MAX: usize = 200;
/// How old the last use of a token may be in its record.
const USE_NOTED_EVERY_MS: u64 = 5 * 60_000;

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it may do.
    pub role: Role,
    /// What people call it.
    pub name: Option<String>,
    /// In whose name it acts: `ann`, or `acme/ann`; its own if none is named.
    pub user: Option<String>,
    /// How long it lasts; until it is revoked, if nothing is said.
    pub expires_ms: Option<u64>,
    /// What it is confined to; empty means all that its role may.
    pub scopes: Vec<String>,
    /// What bounds each upload that it begins.
    pub bounds: Bounds,
    /// How many uploads it may begin in all.
    pub max_uploads: Option<u32>,
}

impl NewToken {
    /// Describes a token that may do all that its role may, for ever.
    pub fn of(role: Role) -> Self {
        Self {
            role,
            name: None,
            user: None,
            expires_ms: None,
            scopes: Vec::new(),
            bounds: Bounds::default(),
            max_uploads: None,
        }
    }
}

/// Why something can't be a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// There is no such right.
    #[error("there is no scope `{scope}`; there are {}", known_scopes())]
    UnknownScope {
        /// What was asked for.
        scope: String,
    },
    /// The role hasn't got the right of a scope.
    #[error("the scope `{scope}` needs {needs}")]
    IdleScope {
        /// The scope.
        scope: &'static str,
        /// Which role would do.
        needs: &'static str,
    },
    /// Its owner can't be called that.
    #[error("the user can't be called that: {0}")]
    Owner(#[from] NotAnOwner),
    /// Its own name is too long, or can't be printed.
    #[error("a token's name has {NAME_BYTES_MAX} bytes at most and no control characters")]
    Name,
    /// A bound that allows nothing.
    #[error("a bound of zero allows nothing")]
    Zero,
}

fn known_scopes() -> String {
    Right::ALL.map(|right| format!("`{}`", right.scope())).join(", ")
}

/// When tokens were used last. Records learn of it now and then, so that a request writes nothing.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// One entry a token that was used since the start.
    last: Mutex<HashMap<TokenId, UnixMillis>>,
}

impl Uses {
    fn last(&self) -> MutexGuard<'_, HashMap<TokenId, UnixMillis>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Access {
    /// Makes an access token and returns its text, which is not to be had again, and its record.
    ///
    /// What is made with it belongs to its user, or to the token's own id.
    ///
    /// # Errors
    /// `Fault` for one that can't be; `State` if the record couldn't be stored.
    /// # Durability
    /// The record survives a power cut once this returns.
    pub async fn create_token(&self, new: NewToken) -> Result<(String, TokenRecord), AccessError> {
        let token = secret::fresh_token();
        let record = self.record_of(&token, new.role, None);
        let record = checked(new, record)?;
        self.inner.state.put_token(record.clone()).await?;
        Ok((token, record))
    }

    /// Lists the records of all tokens, with when each was used last.
    ///
    /// # Errors
    /// `State` if the state couldn't be asked.
    pub fn tokens(&self) -> Result<Vec<TokenRecord>, AccessError> {
        let mut tokens = self.inner.state.tokens()?;
        let last = self.inner.uses.last();
        for token in &mut tokens {
            token.used_at = token.used_at.max(last.get(&token.id).copied());
        }
        Ok(tokens)
    }

    /// Takes a token and its sessions out of use; says whether there was one.
    ///
    /// # Errors
    /// `State` if the record couldn't be removed.
    pub async fn revoke_token(&self, id: TokenId) -> Result<bool, AccessError> {
        let revoked = self.inner.state.revoke_token(id).await?;
        self.inner.uses.last().remove(&id);
        Ok(revoked)
    }

    /// Remembers that a token is used now, and every few minutes has its record learn of it.
    pub(super) async fn note_use(&self, token: &TokenRecord) {
        let now = self.inner.clock.now();
        self.inner.uses.last().insert(token.id, now);
        let is_fresh = |at: UnixMillis| now.ms_since(at) < USE_NOTED_EVERY_MS;
        if token.used_at.is_some_and(is_fresh) {
            return;
        }
        if let Err(cause) = self.inner.state.note_token_use(token.id, now).await {
            debug!("the last use of token {} wasn't noted: {cause}", token.id);
        }
    }
}

/// Fills in a record with what was asked for, if that can be.
fn checked(new: NewToken, mut record: TokenRecord) -> Result<TokenRecord, TokenFault> {
    if let Some(user) = new.user {
        record.owner = Owner::parse(&user)?;
    }
    let is_name = |name: &String| {
        name.len() <= NAME_BYTES_MAX && !name.contains(|letter: char| letter.is_control())
    };
    if !new.name.iter().all(is_name) {
        return Err(TokenFault::Name);
    }
    let zero = |bound: Option<u64>| bound == Some(0);
    if zero(new.bounds.max_size.map(|size| size.0)) || zero(new.max_uploads.map(u64::from)) {
        return Err(TokenFault::Zero);
    }
    let viewer = Viewer { owner: record.owner.clone(), role: new.role };
    let mut scopes: Vec<String> = Vec::with_capacity(SCOPES_MAX);
    for scope in new.scopes {
        let Some(right) = Right::of_scope(&scope) else {
            return Err(TokenFault::UnknownScope { scope });
        };
        let named = [scope];
        if right.check(&viewer, &named).is_err() {
            let needs = match right.smallest_role() {
                Some(role) => role.name(),
                None => "an admin outside of organisations",
            };
            return Err(TokenFault::IdleScope { scope: right.scope(), needs });
        }
        let [scope] = named;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    record.name = new.name;
    record.expires_at = new.expires_ms.map(|ms| record.created_at.plus_ms(ms));
    record.scopes = scopes;
    record.bounds = new.bounds;
    record.max_uploads = new.max_uploads;
    Ok(record)
}
