//! Accounts and sessions: their records, and the transactions on them.
//!
//! A session counts while its record is there and its holder is as it was when it was opened: for
//! an account that is its epoch, which a changed password or a disabled account counts up. So a
//! session that somebody is just opening with the older password doesn't survive the change.

use super::error::{Conflict, StateError};
use super::record::TokenRecord;
use super::view::View;
use super::writer::Promise;
use super::{State, keys};
use crate::ids::{Epoch, Owner, SessionId, TokenId, UserId};
use crate::model::access::Role;
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};

/// Sessions of one holder; with a further one the oldest is ended.
const SESSIONS_MAX: usize = 100;

/// Somebody who signs in with a name and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// Never used again, unlike the name.
    pub id: UserId,
    /// The name, with the organisation before a slash; what the account uploads belongs to it.
    pub name: Owner,
    /// What the account may do.
    pub role: Role,
    /// Argon2id in PHC's form, with its parameters and salt.
    pub password: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Nobody signs in with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Sessions that were opened under another number don't count.
    pub epoch: Epoch,
    /// When somebody signed in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<UnixMillis>,
}

/// For whom a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// A token.
    Token(TokenId),
    /// An account, as it was when the session was opened.
    User(UserId, Epoch),
}

/// A browser that has signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Names it; its cookie is signed besides.
    pub id: SessionId,
    /// For whom it stands.
    pub holder: Holder,
    /// When it was opened.
    pub created_at: UnixMillis,
    /// When it ends by itself.
    pub ends_at: UnixMillis,
    /// The browser's name, where it is known: `Firefox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<String>,
    /// What it runs on: `Linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// What is to be different about an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Another role; sessions go on with it.
    pub role: Option<Role>,
    /// Another password's hash; all sessions end.
    pub password: Option<String>,
    /// Whether nobody may sign in; all sessions end.
    pub disabled: Option<bool>,
}

impl State {
    /// Records a new account.
    ///
    /// # Errors
    /// `Conflict(Exists)` if there is one of this name; `Conflict(Erased)`; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn create_user(&self, user: UserRecord) -> Result<(), StateError> {
        let closed = self.closed().clone();
        self.call(Promise::Synced, move |view| {
            closed.check(&user.name)?;
            if view.bytes(&keys::user_name(&user.name))?.is_some() {
                return Err(StateError::Conflict(Conflict::Exists));
            }
            view.put_bytes(keys::user_name(&user.name), user.id.as_bytes().to_vec());
            view.put(keys::user(user.id), &user)
        })
        .await
    }

    /// Reads all accounts, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn users(&self) -> Result<Vec<UserRecord>, StateError> {
        self.scan(keys::USERS)
    }

    /// Reads an account.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn user(&self, id: UserId) -> Result<Option<UserRecord>, StateError> {
        self.view().find(&keys::user(id))
    }

    /// Reads the account of this name.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn user_by_name(&self, name: &Owner) -> Result<Option<UserRecord>, StateError> {
        let id = self.view().bytes(&keys::user_name(name))?;
        let Some(id) = id.and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
        self.user(UserId::from_bytes(id))
    }

    /// Changes an account, and returns it as it is now.
    ///
    /// # Errors
    /// `Missing`; `Stale` if its epoch isn't `epoch` any more, where one is named; `Failed`.
    /// # Durability
    /// Synced; sessions that end don't come back.
    pub async fn change_user(
        &self,
        id: UserId,
        epoch: Option<Epoch>,
        change: UserChange,
    ) -> Result<UserRecord, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut user: UserRecord = view.get(&keys::user(id))?;
            if epoch.is_some_and(|epoch| epoch != user.epoch) {
                return Err(StateError::Stale);
            }
            let ends = change.password.is_some() || change.disabled == Some(true);
            user.role = change.role.unwrap_or(user.role);
            user.password = change.password.clone().unwrap_or(user.password);
            user.disabled = change.disabled.unwrap_or(user.disabled);
            if ends {
                user.epoch = user.epoch.next();
                end_sessions(view, id.as_bytes())?;
            }
            view.put(keys::user(id), &user)?;
            Ok(user)
        })
        .await
    }

    /// Forgets an account and its sessions; what it has uploaded stays. Says whether there was one.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: it doesn't come back.
    pub async fn remove_user(&self, id: UserId) -> Result<bool, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(user) = view.find::<UserRecord>(&keys::user(id))? else { return Ok(false) };
            view.remove(keys::user_name(&user.name));
            view.remove(keys::user(id));
            end_sessions(view, id.as_bytes())?;
            Ok(true)
        })
        .await
    }

    /// Records a session, if its holder is as the session says. Those of the holder that have run
    /// out are forgotten, and the oldest if there are too many.
    ///
    /// # Errors
    /// `Stale` if the token or account is gone, disabled or another by now; `Failed`.
    /// # Durability
    /// Written.
    pub async fn open_session(&self, session: SessionRecord) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            match session.holder {
                Holder::Token(id) => {
                    view.find::<TokenRecord>(&keys::token(id))?.ok_or(StateError::Stale)?;
                }
                Holder::User(id, epoch) => {
                    let user = view.find::<UserRecord>(&keys::user(id))?;
                    let fits = |user: &UserRecord| user.epoch == epoch && !user.disabled;
                    let user = user.filter(fits).ok_or(StateError::Stale)?;
                    let seen_at = Some(session.created_at);
                    view.put(keys::user(id), &UserRecord { seen_at, ..user })?;
                }
            }
            let mut known = Vec::new();
            for key in view.keys(&keys::sessions_of(session.holder.id()))? {
                match view.find::<SessionRecord>(&key)? {
                    Some(other) if session.created_at < other.ends_at => known.push(key),
                    _ => view.remove(key),
                }
            }
            let over = (known.len() + 1).saturating_sub(SESSIONS_MAX);
            known.into_iter().take(over).for_each(|key| view.remove(key));
            view.put(keys::session(session.holder.id(), session.id), &session)
        })
        .await
    }

    /// Reads a session of a holder.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn session(
        &self,
        holder: &[u8; 16],
        id: SessionId,
    ) -> Result<Option<SessionRecord>, StateError> {
        self.view().find(&keys::session(holder, id))
    }

    /// Reads all sessions of a holder, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn sessions(&self, holder: &[u8; 16]) -> Result<Vec<SessionRecord>, StateError> {
        self.scan(&keys::sessions_of(holder))
    }

    /// Ends a session. Says whether there was one.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Synced: it doesn't come back.
    pub async fn end_session(&self, holder: [u8; 16], id: SessionId) -> Result<bool, StateError> {
        self.call(Promise::Synced, move |view| {
            let key = keys::session(&holder, id);
            let was_there = view.bytes(&key)?.is_some();
            view.remove(key);
            Ok(was_there)
        })
        .await
    }

    /// Ends all sessions of a holder but one.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: they don't come back.
    pub async fn end_other_sessions(
        &self,
        holder: [u8; 16],
        kept: SessionId,
    ) -> Result<(), StateError> {
        self.call(Promise::Synced, move |view| {
            let kept = keys::session(&holder, kept);
            for key in view.keys(&keys::sessions_of(&holder))? {
                if key != kept {
                    view.remove(key);
                }
            }
            Ok(())
        })
        .await
    }
}

impl Holder {
    /// Returns the id of the token or account.
    pub fn id(&self) -> &[u8; 16] {
        match self {
            Self::Token(id) => id.as_bytes(),
            Self::User(id, _) => id.as_bytes(),
        }
    }
}

/// Ends all sessions of a token or an account.
pub(super) fn end_sessions(view: &mut View, holder: &[u8; 16]) -> Result<(), StateError> {
    for key in view.keys(&keys::sessions_of(holder))? {
        view.remove(key);
    }
    Ok(())
}
