//! Transactions on tokens, one-time codes and the server's own secrets.

use super::error::{Conflict, StateError};
use super::record::{LoginCode, TokenRecord, UploadRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, keys, people};
use crate::ids::TokenId;
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};

/// Most secrets of one ring; with a further one the oldest is forgotten.
const RING_MAX: usize = 8;

/// What is to be done with a ring of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RingChange {
    /// Nothing; an empty ring gets its first secret.
    None,
    /// A new secret is the newest; the others stay.
    Add,
    /// All but the newest are forgotten.
    Prune,
    /// A new secret is the only one.
    Replace,
}

/// The secrets of a ring, the newest last, each with its number: the second of its making, or the
/// next one that is free.
pub type Ring = Vec<(u32, [u8; 32])>;

/// Counts an upload that is being recorded for the token by which it is begun, if that is good for
/// so many. Parts of a joined upload aren't counted; what is made of them is.
///
/// # Errors
/// `Conflict(Spent)`.
pub(super) fn count_begun(view: &mut View, upload: &UploadRecord) -> Result<(), StateError> {
    let Some(id) = upload.token else { return Ok(()) };
    count(view, id, u32::from(!upload.is_part()))
}

/// Counts one upload for a token, if that is good for so many.
///
/// # Errors
/// `Conflict(Spent)`.
pub(super) fn count_one(view: &mut View, id: TokenId) -> Result<(), StateError> {
    count(view, id, 1)
}

fn count(view: &mut View, id: TokenId, by: u32) -> Result<(), StateError> {
    let spent = StateError::Conflict(Conflict::Spent);
    let token = view.find::<TokenRecord>(&keys::token(id))?.ok_or(spent.clone())?;
    let Some(max) = token.max_uploads else { return Ok(()) };
    if token.uploads_begun >= max {
        return Err(spent);
    }
    if by == 0 {
        return Ok(());
    }
    let uploads_begun = token.uploads_begun + by;
    view.put(keys::token(id), &TokenRecord { uploads_begun, ..token })
}

impl State {
    /// Records a token; one of the same id is replaced.
    ///
    /// # Errors
    /// `Conflict(Erased)`, `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn put_token(&self, token: TokenRecord) -> Result<(), StateError> {
        let closed = self.closed().clone();
        self.call(Promise::Synced, move |view| {
            closed.check(&token.owner)?;
            if let Some(before) = view.find::<TokenRecord>(&keys::token(token.id))? {
                view.remove(keys::token_hash(&before.hash));
            }
            view.put_bytes(keys::token_hash(&token.hash), token.id.as_bytes().to_vec());
            view.put(keys::token(token.id), &token)
        })
        .await
    }

    /// Notes when a token was used last.
    ///
    /// # Errors
    /// `Missing` for one that was revoked; `Failed`.
    /// # Durability
    /// Written.
    pub async fn note_token_use(&self, id: TokenId, at: UnixMillis) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let token = view.find::<TokenRecord>(&keys::token(id))?.ok_or(StateError::Missing)?;
            view.put(
                keys::token(id),
                &TokenRecord { used_at: token.used_at.max(Some(at)), ..token },
            )
        })
        .await
    }

    /// Reads all tokens, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn tokens(&self) -> Result<Vec<TokenRecord>, StateError> {
        self.scan(keys::TOKENS)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StateError> {
        self.view().find(&keys::token(id))
    }

    /// Reads the token whose text has this SHA-256.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<TokenRecord>, StateError> {
        let id = self.view().bytes(&keys::token_hash(hash))?;
        let Some(id) = id.and_then(|bytes| bytes.try_into().ok()) else { return Ok(None) };
        // A token that is replaced at this moment may have another hash already.
        let token = self.token(TokenId::from_bytes(id))?;
        Ok(token.filter(|token| token.hash == *hash))
    }

    /// Forgets a token; says whether there was one.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: it doesn't come back.
    pub async fn revoke_token(&self, id: TokenId) -> Result<bool, StateError> {
        self.call(Promise::Synced, move |view| {
            let Some(token) = view.find::<TokenRecord>(&keys::token(id))? else {
                return Ok(false);
            };
            view.remove(keys::token_hash(&token.hash));
            view.remove(keys::token(id));
            people::end_sessions(view, id.as_bytes())?;
            Ok(true)
        })
        .await
    }

    /// Records a one-time code by the SHA-256 of its text, and forgets those that have expired.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Written.
    pub async fn put_login_code(
        &self,
        hash: [u8; 32],
        code: LoginCode,
        now: UnixMillis,
    ) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            for key in view.keys(keys::LOGIN_CODES)? {
                let known: Option<LoginCode> = view.find(&key)?;
                if known.is_some_and(|known| known.expires_at <= now) {
                    view.remove(key);
                }
            }
            view.put(keys::login_code(&hash), &code)
        })
        .await
    }

    /// Uses a one-time code up and returns its token; `None` if there is no such code, it was
    /// used before, or it has expired.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced: it can't be used again.
    pub async fn take_login_code(
        &self,
        hash: &[u8; 32],
        now: UnixMillis,
    ) -> Result<Option<TokenId>, StateError> {
        let key = keys::login_code(hash);
        self.call(Promise::Synced, move |view| {
            let Some(code) = view.find::<LoginCode>(&key)? else { return Ok(None) };
            view.remove(key);
            Ok((now < code.expires_at).then_some(code.token))
        })
        .await
    }

    /// Changes a ring of secrets, and returns it as it is then. A secret that lies under the ring's
    /// bare name, as an earlier version left it, is its first.
    ///
    /// # Errors
    /// `Unreadable` if something else lies among them; `Failed`.
    /// # Durability
    /// Synced: what is forgotten doesn't come back.
    pub async fn secret_ring(
        &self,
        name: &'static str,
        change: RingChange,
        now: UnixMillis,
    ) -> Result<Ring, StateError> {
        self.call(Promise::Synced, move |view| {
            let mut ring = Ring::new();
            for key in view.keys(&keys::secrets_of(name))? {
                let other = || StateError::Unreadable("a secret of another name".to_owned());
                let number = keys::parse_secret_of(name, &key).ok_or_else(other)?;
                ring.extend(find(view, &key)?.map(|secret| (number, secret)));
            }
            if let Some(alone) = find(view, &keys::secret(name))? {
                let number = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
                let first = ring.first().map_or(number, |(first, _)| first.saturating_sub(1));
                view.remove(keys::secret(name));
                view.put_bytes(keys::secret_of(name, first), alone.to_vec());
                ring.insert(0, (first, alone));
            }
            let adds = matches!(change, RingChange::Add | RingChange::Replace);
            if adds || ring.is_empty() {
                let last = ring.last().map_or(0, |(number, _)| number.saturating_add(1));
                let number = u32::try_from(now.as_secs()).unwrap_or(u32::MAX).max(last);
                ring.push((number, draw(view, keys::secret_of(name, number))?));
            }
            let kept = match change {
                RingChange::None | RingChange::Add => RING_MAX,
                RingChange::Prune | RingChange::Replace => 1,
            };
            for (number, _) in ring.drain(..ring.len().saturating_sub(kept)) {
                view.remove(keys::secret_of(name, number));
            }
            Ok(ring)
        })
        .await
    }
}

fn find(view: &View<'_>, key: &[u8]) -> Result<Option<[u8; 32]>, StateError> {
    let other = |_| StateError::Unreadable("a secret of another length".to_owned());
    view.bytes(key)?.map(|bytes| bytes.try_into().map_err(other)).transpose()
}

fn draw(view: &mut View<'_>, key: Vec<u8>) -> Result<[u8; 32], StateError> {
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret).map_err(|error| StateError::Failed(error.to_string()))?;
    view.put_bytes(key, secret.to_vec());
    Ok(secret)
}
