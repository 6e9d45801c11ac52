//! Who may do what: access tokens, upload grants, accounts, login codes, sessions, and the rules of
//! roles.
//!
//! Only hashes of tokens, codes and passwords are stored; whoever reads the database can't act as
//! anybody. A session is a record that a signed cookie names, and counts while its token or account
//! does. Called by `http` for every request and by the commands on tokens and accounts.

mod device;
mod grants;
mod guesses;
mod jwt;
mod playback;
mod rings;
mod secret;
mod session;
mod signed;
mod tokens;
mod users;

use crate::clock::Clock;
use crate::config::{AuthMode, JwtConfig};
use crate::disk::{Disk, DiskError};
use crate::ids::{GrantId, Owner, TokenId, UserId};
use crate::model::access::{Bounds, Pass, Role, Viewer};
use crate::state::record::{LoginCode, TokenRecord};
use crate::state::{Holder, State, StateError, UserRecord};
use crate::units::UnixMillis;
use guesses::Guesses;
use jwt::{Bearer, Jwts};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub use device::Device;
pub use grants::{GRANT_SECONDS_MAX, NewGrant};
pub use playback::{
    HOST_CHARS_MAX, HOSTS_MAX, Scope, Ticket, Wanted, is_playback_shaped, parse_host,
};
use rings::Rings;
pub use rings::Signs;
pub use secret::{is_grant_shaped, is_token_shaped};
pub use signed::{PART_URL_MS, PartSigner};
use tokens::Uses;
pub use tokens::{NewToken, TokenFault};
use users::Hashing;
pub use users::{Login, LoginRefused, Secret, SignedIn, UserFault};

/// How long a session lasts after its login: 30 days.
pub const SESSION_MS: u64 = 30 * 86_400_000;
/// How long a login code can be redeemed: 15 minutes.
pub const LOGIN_CODE_MS: u64 = 15 * 60_000;
/// The owner of everything that is made in mode `open`.
pub const OPEN_OWNER: &str = "local";
/// Longest token, code or cookie that is looked at; longer ones are refused unread.
const CREDENTIAL_BYTES_MAX: usize = 512;

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// In whose name things are made, and what they may do.
    pub viewer: Viewer,
    /// The token behind it, if it is one.
    pub token: Option<TokenId>,
    /// The account behind it, if it is one.
    pub user: Option<UserId>,
    /// What the token is confined to; empty means all that its role may.
    pub scopes: Vec<String>,
    /// What bounds the uploads that it begins.
    pub bounds: Bounds,
    /// The upload grant behind it: then it is good for one upload, and for nothing else.
    pub grant: Option<GrantId>,
}

impl Caller {
    /// Returns by what an upload of theirs is begun.
    pub fn pass(&self) -> Pass {
        Pass { token: self.token, bounds: self.bounds, grant: self.grant }
    }

    /// Says whether an upload or a video is within their reach by how it was begun: a grant
    /// reaches what was begun by it. Whose it is has to be asked as well.
    pub fn reaches(&self, begun_by: Option<GrantId>) -> bool {
        self.grant.is_none() || self.grant == begun_by
    }
}

/// Why somebody wasn't let in.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// The token, code or session isn't known, was revoked, or has run out.
    #[error("the credential isn't valid")]
    Invalid,
    /// The state couldn't be asked.
    #[error("the state couldn't be asked: {0}")]
    State(#[from] StateError),
}

/// Why a token couldn't be made or registered.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file `admin-token` holds something else than a token.
    #[error("the file admin-token doesn't hold a token; remove it to get a fresh one")]
    BadAdminFile,
    /// There is no admin token that a login link could stand for.
    #[error("there is no admin token; make one with `slipway token create --role admin`")]
    NoAdmin,
    /// What was asked for can't be a token.
    #[error(transparent)]
    Fault(#[from] TokenFault),
    /// The state couldn't be changed.
    #[error("the state couldn't be changed: {0}")]
    State(#[from] StateError),
    /// The file `admin-token` couldn't be read or written.
    #[error("the file admin-token: {0}")]
    Disk(#[from] DiskError),
    /// The background thread ended before its work.
    #[error("the work was interrupted")]
    Interrupted,
}

/// The admin token of the data directory, after [`Access::ensure_admin_token`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// The file that holds it.
    pub path: PathBuf,
    /// It was made just now.
    pub fresh: bool,
}

/// The one judge of tokens, codes and sessions. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    state: State,
    clock: Clock,
    mode: AuthMode,
    rings: Rings,
    /// The token of the file `admin-token`, for which login links stand.
    admin: OnceLock<TokenId>,
    uses: Uses,
    /// What checks JWTs, in mode `jwt`.
    jwts: OnceLock<Jwts>,
    guesses: Guesses,
    hashing: Hashing,
}

impl Access {
    /// Makes the judge over the tokens that `state` keeps.
    pub fn new(state: State, clock: Clock, mode: AuthMode) -> Self {
        let (admin, jwts, uses) = (OnceLock::new(), OnceLock::new(), Uses::default());
        let rings = Rings::default();
        let (guesses, hashing) = (Guesses::default(), Hashing::default());
        let inner = Inner { state, clock, mode, rings, admin, uses, jwts, guesses, hashing };
        Self { inner: Arc::new(inner) }
    }

    /// Reads the keys of JWTs; in another mode than `jwt` there is nothing to do.
    ///
    /// # Errors
    /// What is wrong with their file, in words for the operator.
    pub fn trust(&self, rules: &JwtConfig) -> Result<(), String> {
        if self.inner.mode != AuthMode::Jwt {
            return Ok(());
        }
        let jwts = Jwts::open(rules.clone(), self.inner.clock.clone())?;
        // A second call in one process finds the same keys.
        let _ = self.inner.jwts.set(jwts);
        Ok(())
    }

    /// Returns who is let in.
    pub fn mode(&self) -> AuthMode {
        self.inner.mode
    }

    /// Returns the caller that everybody on this machine is in mode `open`, and none in others.
    pub fn open_caller(&self) -> Option<Caller> {
        (self.inner.mode == AuthMode::Open).then(|| Caller {
            viewer: Viewer { owner: Owner(OPEN_OWNER.to_owned()), role: Role::Admin },
            token: None,
            user: None,
            scopes: Vec::new(),
            bounds: Bounds::default(),
            grant: None,
        })
    }

    /// Returns whom an access token, an upload grant, or in mode `jwt` a JWT, stands for.
    ///
    /// # Errors
    /// `Invalid` if it isn't known, was revoked, has run out, or isn't as it should be.
    pub async fn bearer(&self, token: &str) -> Result<Caller, Denied> {
        if is_grant_shaped(token) {
            return self.by_grant(token);
        }
        if let Some(jwts) = self.inner.jwts.get().filter(|_| !is_token_shaped(token)) {
            let caller = jwts.bearer(token).map(caller_of_bearer);
            // The records of somebody who was erased are gone, what their app has signed isn't.
            let caller = caller.filter(|it| !self.inner.state.is_closed_to(&it.viewer.owner));
            return caller.ok_or(Denied::Invalid);
        }
        let record = self.live_token(token)?;
        self.note_use(&record).await;
        Ok(caller_of(record))
    }

    /// Returns whom a session cookie stands for.
    ///
    /// # Errors
    /// `Invalid` if the signature is wrong, the time has passed, or its token no longer counts.
    pub async fn cookie(&self, value: &str) -> Result<Caller, Denied> {
        if value.len() > CREDENTIAL_BYTES_MAX {
            return Err(Denied::Invalid);
        }
        let now = self.inner.clock.now();
        let ring = self.keys(Signs::Sessions).await?;
        let (named, id) = session::verify(&ring, value, now).ok_or(Denied::Invalid)?;
        let session = self.inner.state.session(named.id(), id)?;
        match session.filter(|session| now < session.ends_at).map(|session| session.holder) {
            Some(Holder::Token(token)) => {
                let record = self.inner.state.token(token)?.filter(|record| is_live(record, now));
                let record = record.ok_or(Denied::Invalid)?;
                self.note_use(&record).await;
                Ok(caller_of(record))
            }
            Some(Holder::User(user, epoch)) => {
                let user = self.inner.state.user(user)?;
                let user = user.filter(|user| user.epoch == epoch && !user.disabled);
                user.map(caller_of_user).ok_or(Denied::Invalid)
            }
            None => Err(Denied::Invalid),
        }
    }

    /// Ends a session for good; a cookie that names none is let be.
    ///
    /// # Errors
    /// `State`.
    pub async fn log_out(&self, value: &str) -> Result<(), StateError> {
        let now = self.inner.clock.now();
        let ring = self.keys(Signs::Sessions).await?;
        if value.len() <= CREDENTIAL_BYTES_MAX
            && let Some((named, id)) = session::verify(&ring, value, now)
        {
            self.inner.state.end_session(*named.id(), id).await?;
        }
        Ok(())
    }

    /// Makes sure that the data directory's admin token exists and counts.
    ///
    /// A fresh token reaches the file before the record: a crash between the two leaves a file
    /// whose token the next start registers. The file's token is registered again where no admin
    /// token is known, as after a rebuilt database; one that was revoked while another admin
    /// token lives stays revoked. In mode `open` there is nothing to do.
    ///
    /// # Errors
    /// `BadAdminFile`, `Disk` or `State`.
    /// # Durability
    /// File and record survive a power cut once this returns.
    pub async fn ensure_admin_token(&self, disk: &Disk) -> Result<Option<AdminToken>, AccessError> {
        if self.inner.mode == AuthMode::Open {
            return Ok(None);
        }
        let present = {
            let disk = disk.clone();
            blocking(move || disk.admin_token()).await?
        };
        let (token, path, fresh) = match present.as_deref().map(str::trim) {
            Some(token) if is_token_shaped(token) => {
                (token.to_owned(), disk.state_dir().with_file_name("admin-token"), false)
            }
            Some("") | None => {
                let token = secret::fresh_token();
                let (disk, text) = (disk.clone(), token.clone());
                let path = blocking(move || disk.write_admin_token(&text)).await?;
                (token, path, true)
            }
            Some(_) => return Err(AccessError::BadAdminFile),
        };
        let known = self.inner.state.token_by_hash(&secret::hash(&token))?.map(|record| record.id);
        let id = match known {
            Some(id) => Some(id),
            None if fresh || self.first_admin()?.is_none() => Some(self.adopt_admin(&token).await?),
            None => None,
        };
        if let Some(id) = id {
            // A second call in one process finds the same token.
            let _ = self.inner.admin.set(id);
        }
        Ok(Some(AdminToken { path, fresh }))
    }

    /// Makes a one-time login code for the admin token, good for 15 minutes.
    ///
    /// # Errors
    /// `NoAdmin` if no admin token counts, `State` if the code couldn't be stored.
    pub async fn login_code(&self) -> Result<String, AccessError> {
        let now = self.inner.clock.now();
        let remembered = match self.inner.admin.get() {
            Some(&id) => self.inner.state.token(id)?,
            None => None,
        };
        let remembered = remembered.filter(|record| is_live(record, now)).map(|record| record.id);
        let token = match remembered {
            Some(id) => id,
            None => self.first_admin()?.ok_or(AccessError::NoAdmin)?,
        };
        let code = secret::fresh_code();
        let expires_at = now.plus_ms(LOGIN_CODE_MS);
        let stored = LoginCode { token, expires_at };
        self.inner.state.put_login_code(secret::hash(&code), stored, now).await?;
        Ok(code)
    }

    /// Consumes a login code and returns the session cookie's value.
    ///
    /// # Errors
    /// `Invalid` if the code isn't known, was used, has run out, or its token no longer counts.
    pub async fn redeem_code(&self, code: &str) -> Result<String, Denied> {
        if code.len() > CREDENTIAL_BYTES_MAX {
            return Err(Denied::Invalid);
        }
        let now = self.inner.clock.now();
        let token = self.inner.state.take_login_code(&secret::hash(code), now).await?;
        let token = token.ok_or(Denied::Invalid)?;
        let record = self.inner.state.token(token)?.filter(|record| is_live(record, now));
        self.open_token_session(record.ok_or(Denied::Invalid)?).await
    }

    /// Returns the session cookie's value for an access token.
    ///
    /// # Errors
    /// `Invalid` if the token isn't known, was revoked, or has run out.
    pub async fn redeem_token(&self, token: &str) -> Result<String, Denied> {
        let record = self.live_token(token)?;
        self.open_token_session(record).await
    }

    /// Returns what signs and checks addresses of parts.
    ///
    /// # Errors
    /// Those of the state, where the keys are kept.
    pub async fn part_signer(&self) -> Result<PartSigner, StateError> {
        PartSigner::new(self.keys(Signs::PartUrls).await?)
    }

    async fn open_token_session(&self, record: TokenRecord) -> Result<String, Denied> {
        let until = self.inner.clock.now().plus_ms(SESSION_MS);
        let until = record.expires_at.map_or(until, |token_ends| token_ends.min(until));
        self.open_session(Holder::Token(record.id), until, Device::default()).await
    }

    fn live_token(&self, token: &str) -> Result<TokenRecord, Denied> {
        if !is_token_shaped(token) {
            return Err(Denied::Invalid);
        }
        let hash = secret::hash(token);
        let record = self.inner.state.token_by_hash(&hash)?;
        let now = self.inner.clock.now();
        record
            .filter(|record| secret::equal(&record.hash, &hash) && is_live(record, now))
            .ok_or(Denied::Invalid)
    }

    /// Returns the oldest admin token that counts.
    fn first_admin(&self) -> Result<Option<TokenId>, StateError> {
        let now = self.inner.clock.now();
        let admins = self.inner.state.tokens()?.into_iter();
        // One that is confined to a scope opens nothing.
        let admins = admins.filter(|record| {
            record.role == Role::Admin && record.scopes.is_empty() && is_live(record, now)
        });
        Ok(admins.min_by_key(|record| record.created_at).map(|record| record.id))
    }

    async fn adopt_admin(&self, token: &str) -> Result<TokenId, StateError> {
        let record = self.record_of(token, Role::Admin, Some("admin-token".to_owned()));
        let id = record.id;
        self.inner.state.put_token(record).await?;
        Ok(id)
    }

    fn record_of(&self, token: &str, role: Role, name: Option<String>) -> TokenRecord {
        let now = self.inner.clock.now();
        let id = TokenId::fresh(now);
        TokenRecord {
            id,
            hash: secret::hash(token),
            role,
            owner: Owner(id.to_string()),
            name,
            scopes: Vec::new(),
            created_at: now,
            expires_at: None,
            bounds: Bounds::default(),
            max_uploads: None,
            uploads_begun: 0,
            used_at: None,
        }
    }
}

fn caller_of(record: TokenRecord) -> Caller {
    Caller {
        viewer: Viewer { owner: record.owner, role: record.role },
        token: Some(record.id),
        user: None,
        scopes: record.scopes,
        bounds: record.bounds,
        grant: None,
    }
}

fn caller_of_bearer(bearer: Bearer) -> Caller {
    Caller {
        viewer: Viewer { owner: bearer.owner, role: bearer.role },
        token: None,
        user: None,
        scopes: Vec::new(),
        bounds: bearer.bounds,
        grant: None,
    }
}

fn caller_of_user(user: UserRecord) -> Caller {
    Caller {
        viewer: Viewer { owner: user.name, role: user.role },
        token: None,
        user: Some(user.id),
        scopes: Vec::new(),
        bounds: Bounds::default(),
        grant: None,
    }
}

fn is_live(record: &TokenRecord, now: UnixMillis) -> bool {
    record.expires_at.is_none_or(|ends| now < ends)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, AccessError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(AccessError::Interrupted),
    }
}

#[cfg(test)]
mod tests;
