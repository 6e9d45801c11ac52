//! Accounts: names with passwords, which are kept as Argon2id hashes.
//!
//! Whether an account exists is told to nobody who can't sign in: an unknown name costs the same
//! work and gets the same answer as a wrong password, and both are counted alike.

use super::guesses::Attempt;
use super::rings::{Signs, newest};
use super::session::{self, Named};
use super::{Access, CREDENTIAL_BYTES_MAX, Denied, Device, SESSION_MS};
use crate::ids::{NotAnOwner, Owner, SessionId, UserId};
use crate::model::access::Role;
use crate::state::{Conflict, Holder, SessionRecord, StateError, UserChange, UserRecord};
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Shortest and longest password, in characters and in bytes.
const PASSWORD_CHARS_MIN: usize = 8;
const PASSWORD_BYTES_MAX: usize = 1024;
/// Passwords that are hashed at once: each takes 19 MiB, and some 30 ms of a processor.
const HASHES_MAX: usize = 2;
/// Passwords that may wait for that; more are told to come back.
const WAITING_MAX: usize = 64;
/// When to come back then, in seconds.
const BUSY_SECONDS: u32 = 5;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Somebody who wants to sign in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account's name.
    pub name: String,
    /// What they say is its password.
    pub password: Secret,
    /// From where, if that is known.
    pub from: Option<IpAddr>,
    /// The cookie by which their browser may be known.
    pub browser: Option<String>,
    /// What their browser says that it is.
    pub device: Device,
}

/// What a browser gets that has signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session cookie's value.
    pub session: String,
    /// The value of the cookie by which the browser is known from now on.
    pub browser: String,
}

/// Why somebody isn't signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginRefused {
    /// There is no such account, the password is wrong, or the account is disabled.
    #[error("name and password don't fit")]
    Wrong,
    /// Too many have been wrong.
    #[error("too many attempts; again in {seconds} s")]
    Later {
        /// When it may be tried again.
        seconds: u32,
    },
    /// The state couldn't be asked.
    #[error("the state couldn't be asked: {0}")]
    State(#[from] StateError),
    /// A password couldn't be hashed.
    #[error("a password couldn't be hashed")]
    Hash,
}

/// Why an account couldn't be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserFault {
    /// It can't be called that.
    #[error(transparent)]
    Name(#[from] NotAnOwner),
    /// There is one of this name.
    #[error("there is an account of this name")]
    Exists,
    /// There is none of this name or id.
    #[error("there is no such account")]
    Missing,
    /// The password can't be one.
    #[error(
        "a password has at least {PASSWORD_CHARS_MIN} characters and at most {PASSWORD_BYTES_MAX} \
         bytes, and isn't the account's name"
    )]
    Password,
    /// The password couldn't be hashed.
    #[error("the password couldn't be hashed")]
    Hash,
    /// The state couldn't be changed.
    #[error("the state couldn't be changed: {0}")]
    State(StateError),
}

impl From<StateError> for UserFault {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Conflict(Conflict::Exists) => Self::Exists,
            StateError::Missing => Self::Missing,
            other => Self::State(other),
        }
    }
}

/// The bound of what is hashed.
#[derive(Clone, Debug)]
pub(super) struct Hashing {
    waiting: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(HASHES_MAX + WAITING_MAX)),
            working: Arc::new(Semaphore::new(HASHES_MAX)),
        }
    }
}

impl Hashing {
    /// Runs `work` where blocking is allowed, once there is room; `None` if too many wait.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let waiting = self.waiting.clone().try_acquire_owned().ok()?;
        let working = self.working.clone().acquire_owned().await.ok()?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work: a request that is given up doesn't make room for another.
            let _held = (waiting, working);
            work()
        });
        done.await.ok()
    }
}

/// A hash that no password fits, made like all others, for names that nobody has.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hashed("nobody has this password").unwrap_or_default())
}

fn hashed(password: &str) -> Option<String> {
    // Argon2id with 19 MiB, two passes and one lane, as OWASP advises.
    Argon2::default().hash_password(password.as_bytes()).ok().map(|hash| hash.to_string())
}

fn fits(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

impl Access {
    /// Makes an account.
    ///
    /// # Errors
    /// `Name`, `Exists`, `Password`, `Hash`, `State`.
    /// # Durability
    /// It survives a power cut once this returns.
    pub async fn create_user(
        &self,
        name: &str,
        role: Role,
        password: Secret,
    ) -> Result<UserRecord, UserFault> {
        let name = Owner::parse(name)?;
        let password = self.hash(&name, password).await?;
        let now = self.inner.clock.now();
        let user = UserRecord {
            id: UserId::fresh(now),
            name,
            role,
            password,
            created_at: now,
            disabled: false,
            epoch: Default::default(),
            seen_at: None,
        };
        self.inner.state.create_user(user.clone()).await?;
        Ok(user)
    }

    /// Lists the accounts, the oldest first.
    ///
    /// # Errors
    /// `State`.
    pub fn users(&self) -> Result<Vec<UserRecord>, UserFault> {
        Ok(self.inner.state.users()?)
    }

    /// Returns the account of this name.
    ///
    /// # Errors
    /// `Missing`, `State`.
    pub fn user_named(&self, name: &str) -> Result<UserRecord, UserFault> {
        let name = Owner::parse(name).map_err(|_| UserFault::Missing)?;
        self.inner.state.user_by_name(&name)?.ok_or(UserFault::Missing)
    }

    /// Changes an account; a new password, and disabling it, end its sessions.
    ///
    /// # Errors
    /// `Missing`, `Password`, `Hash`, `State`.
    /// # Durability
    /// It is certain once this returns.
    pub async fn change_user(
        &self,
        id: UserId,
        role: Option<Role>,
        password: Option<Secret>,
        disabled: Option<bool>,
    ) -> Result<UserRecord, UserFault> {
        let user = self.inner.state.user(id)?.ok_or(UserFault::Missing)?;
        let password = match password {
            Some(password) => Some(self.hash(&user.name, password).await?),
            None => None,
        };
        let change = UserChange { role, password, disabled };
        Ok(self.inner.state.change_user(id, None, change).await?)
    }

    /// Forgets an account and its sessions; what it has uploaded stays. Says whether there was one.
    ///
    /// # Errors
    /// `State`.
    pub async fn remove_user(&self, id: UserId) -> Result<bool, UserFault> {
        Ok(self.inner.state.remove_user(id).await?)
    }

    /// Signs somebody in.
    ///
    /// # Errors
    /// `Wrong`, whatever is; `Later`, before anything is looked at; `State`, `Hash`.
    pub async fn log_in(&self, login: Login) -> Result<SignedIn, LoginRefused> {
        let user = self.checked(&login).await?;
        let browser = self.browser_of(&login, user.id).await?;
        let browser = browser.unwrap_or_else(|| SessionId::fresh(self.inner.clock.now()));
        let ring = self.keys(Signs::Sessions).await?;
        let session = self.open_user_session(&user, login.device).await?;
        let (_, key) = newest(&ring)?;
        Ok(SignedIn { session, browser: session::sign_browser(key, user.id, browser) })
    }

    /// Changes the password of somebody who says the present one, ends all of their sessions and
    /// returns the cookie's value of a new one.
    ///
    /// # Errors
    /// The inner ones for a new password that can't be one; the outer as [`Access::log_in`].
    pub async fn change_password(
        &self,
        login: Login,
        new: Secret,
    ) -> Result<Result<String, UserFault>, LoginRefused> {
        let device = login.device;
        let user = self.checked(&login).await?;
        let hash = match self.hash(&user.name, new).await {
            Ok(hash) => hash,
            Err(fault) => return Ok(Err(fault)),
        };
        let change = UserChange { password: Some(hash), ..UserChange::default() };
        let changed = self.inner.state.change_user(user.id, Some(user.epoch), change).await;
        match changed {
            Ok(user) => Ok(Ok(self.open_user_session(&user, device).await?)),
            // Somebody else has just changed it.
            Err(StateError::Stale | StateError::Missing) => Err(LoginRefused::Wrong),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Lists the sessions of an account, the oldest first.
    ///
    /// # Errors
    /// `Missing`, `State`.
    pub fn sessions(&self, id: UserId) -> Result<Vec<SessionRecord>, UserFault> {
        let user = self.inner.state.user(id)?.ok_or(UserFault::Missing)?;
        let now = self.inner.clock.now();
        let holder = Holder::User(id, user.epoch);
        let counts = |it: &SessionRecord| it.holder == holder && now < it.ends_at;
        let all = self.inner.state.sessions(id.as_bytes())?;
        Ok(all.into_iter().filter(counts).collect())
    }

    /// Returns the session that a cookie names, whether it still counts or not.
    ///
    /// # Errors
    /// `State`.
    pub async fn session_named(&self, cookie: &str) -> Result<Option<SessionId>, StateError> {
        if cookie.len() > CREDENTIAL_BYTES_MAX {
            return Ok(None);
        }
        let now = self.inner.clock.now();
        let ring = self.keys(Signs::Sessions).await?;
        Ok(session::verify(&ring, cookie, now).map(|(_, id)| id))
    }

    /// Ends a session of an account; says whether it had it.
    ///
    /// # Errors
    /// `State`.
    /// # Durability
    /// It doesn't come back once this returns.
    pub async fn end_session(&self, user: UserId, id: SessionId) -> Result<bool, StateError> {
        self.inner.state.end_session(*user.as_bytes(), id).await
    }

    /// Ends all sessions of an account but one.
    ///
    /// # Errors
    /// `State`.
    /// # Durability
    /// They don't come back once this returns.
    pub async fn end_other_sessions(
        &self,
        user: UserId,
        kept: SessionId,
    ) -> Result<(), StateError> {
        self.inner.state.end_other_sessions(*user.as_bytes(), kept).await
    }

    /// Returns the account if the password is right.
    async fn checked(&self, login: &Login) -> Result<UserRecord, LoginRefused> {
        let name = Owner::parse(login.name.trim());
        let user = match &name {
            Ok(name) => self.inner.state.user_by_name(name)?,
            Err(_) => None,
        };
        let browser = match &user {
            Some(user) => self.browser_of(login, user.id).await?,
            None => None,
        };
        let attempt = Attempt {
            account: name.as_ref().map_or("", |name| &name.0),
            from: login.from,
            browser: browser.as_ref().map(SessionId::as_bytes),
        };
        let taken = self.inner.guesses.take(attempt, self.inner.clock.now());
        let taken = taken.map_err(|seconds| LoginRefused::Later { seconds })?;
        // Longer ones can't be anybody's, and would cost more to hash.
        let is_sized = login.password.0.len() <= PASSWORD_BYTES_MAX;
        let (password, hash) =
            (login.password.clone(), user.as_ref().map(|it| it.password.clone()));
        let is_right = self.inner.hashing.run(move || {
            let password = if is_sized { password.0.as_str() } else { "" };
            let nobodys = nobodys_hash();
            fits(password, hash.as_deref().unwrap_or(nobodys))
        });
        let Some(is_right) = is_right.await else {
            self.inner.guesses.give_back(&taken);
            return Err(LoginRefused::Later { seconds: BUSY_SECONDS });
        };
        let user = user.filter(|user| is_right && is_sized && !user.disabled);
        let user = user.ok_or(LoginRefused::Wrong)?;
        self.inner.guesses.give_back(&taken);
        Ok(user)
    }

    /// Returns the browser, if it has signed in to this account before.
    async fn browser_of(
        &self,
        login: &Login,
        user: UserId,
    ) -> Result<Option<SessionId>, StateError> {
        let value = login.browser.as_deref().filter(|it| it.len() <= CREDENTIAL_BYTES_MAX);
        let Some(value) = value else { return Ok(None) };
        let ring = self.keys(Signs::Sessions).await?;
        let known = session::verify_browser(&ring, value);
        Ok(known.filter(|(known, _)| *known == user).map(|(_, browser)| browser))
    }

    async fn open_user_session(
        &self,
        user: &UserRecord,
        device: Device,
    ) -> Result<String, LoginRefused> {
        let until = self.inner.clock.now().plus_ms(SESSION_MS);
        let opened = self.open_session(Holder::User(user.id, user.epoch), until, device).await;
        opened.map_err(|denied| match denied {
            Denied::Invalid => LoginRefused::Wrong,
            Denied::State(error) => LoginRefused::State(error),
        })
    }

    /// Records a session and returns its cookie's value.
    pub(super) async fn open_session(
        &self,
        holder: Holder,
        ends_at: crate::units::UnixMillis,
        device: Device,
    ) -> Result<String, Denied> {
        let created_at = self.inner.clock.now();
        let id = SessionId::fresh(created_at);
        let [browser, system] = [device.browser, device.system].map(|it| it.map(str::to_owned));
        let record = SessionRecord { id, holder, created_at, ends_at, browser, system };
        match self.inner.state.open_session(record).await {
            Ok(()) => (),
            Err(StateError::Stale) => return Err(Denied::Invalid),
            Err(failed) => return Err(failed.into()),
        }
        let named = match holder {
            Holder::Token(id) => Named::Token(id),
            Holder::User(id, _) => Named::User(id),
        };
        let ring = self.keys(Signs::Sessions).await?;
        Ok(session::sign(&newest(&ring)?.1, named, id, ends_at))
    }

    async fn hash(&self, name: &Owner, password: Secret) -> Result<String, UserFault> {
        let text = &password.0;
        let is_fit = text.chars().count() >= PASSWORD_CHARS_MIN
            && text.len() <= PASSWORD_BYTES_MAX
            && !text.eq_ignore_ascii_case(&name.0);
        if !is_fit {
            return Err(UserFault::Password);
        }
        let hash = self.inner.hashing.run(move || hashed(&password.0)).await;
        hash.flatten().ok_or(UserFault::Hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passwords are hashed as advised, each with a salt of its own, and what stands for accounts
    /// that nobody has takes the same work.
    #[test]
    fn all_hashes_cost_the_same() {
        let cost = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
        let [one, other] = [0, 1].map(|_| hashed("correct horse").expect("hashed"));
        assert_eq!(cost(&one).as_deref(), Some("$argon2id$v=19$m=19456,t=2,p=1"));
        assert_eq!(cost(nobodys_hash()), cost(&one));
        assert_ne!(one, other);
        assert!(fits("correct horse", &one) && fits("correct horse", &other));
        assert!(!fits("correct horsf", &one) && !fits("", &one));
        assert!(!fits("", nobodys_hash()) && !fits("x", "no hash"));
        assert_eq!(format!("{:?}", Secret("correct horse".to_owned())), "Secret");
    }

    /// No more is hashed at once than there is room for, and no more waits than can be served.
    #[tokio::test]
    async fn hashing_is_bounded() {
        let hashing = Hashing::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let begin = || {
            let (hashing, held) = (hashing.clone(), held.clone());
            tokio::spawn(async move {
                let work = move || held.lock().is_ok_and(|held| held.recv().is_ok());
                hashing.run(work).await
            })
        };
        let all: Vec<_> = (0..HASHES_MAX + WAITING_MAX).map(|_| begin()).collect();
        while hashing.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.run(|| ()).await, None, "too many wait");
        for _ in &all {
            release.send(()).expect("somebody waits");
        }
        for one in all {
            assert_eq!(one.await.expect("it ends"), Some(true));
        }
        assert_eq!(hashing.run(|| ()).await, Some(()));
    }
}
