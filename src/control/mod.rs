//! Commands beside a running server: `control.sock` in the data directory, mode 0600.
//!
//! One JSON object a line goes in, one comes out. Whoever may open the socket may open the
//! database as well, so nothing else is asked. Without a server the same [`Desk`] works on the
//! database itself. For an archive, pieces of it come before the line. Used by `server`
//! (listening) and `cli` (asking).

mod archive;

pub use archive::fetch;

use crate::access::{Access, NewToken, Secret, Signs, UserFault};
use crate::backup;
use crate::disk::Disk;
use crate::ids::{TokenId, UserId};
use crate::model::access::{Bounds, Role};
use crate::model::deed::{Action, Outcome};
use crate::model::operation::Operation;
use crate::model::whose::Whose;
use crate::rights::{Erasure, Exported, Exports, Rights, Wanted};
use crate::state::{RingChange, State};
use crate::trail::Trail;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Longest line in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for what looks at all records.
const PATIENCE_LONG: Duration = Duration::from_secs(600);
/// How long an erasure may take until somebody is told how far it is.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Commands that are answered at once; more wait.
const COMMANDS_MAX: usize = 8;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// A one-time login link's code.
    LoginCode,
    /// A new token.
    TokenCreate {
        /// What it may do.
        role: Role,
        /// A name to tell it apart.
        name: Option<String>,
        /// The user it acts for.
        user: Option<String>,
        /// How long it holds, in milliseconds.
        expires_ms: Option<u64>,
        /// What it is confined to.
        scopes: Vec<String>,
        /// What bounds each upload that it begins.
        #[serde(default)]
        bounds: Bounds,
        /// How many uploads it may begin in all.
        #[serde(default)]
        max_uploads: Option<u32>,
    },
    /// All tokens.
    TokenList,
    /// The end of a token.
    TokenRevoke {
        /// Which.
        id: TokenId,
    },
    /// Something about the keys that sign something.
    Keys {
        /// What they sign.
        signs: Signs,
        /// What.
        change: RingChange,
    },
    /// A new account.
    UserCreate {
        /// `ann`, or `acme/ann`.
        name: String,
        /// What it may do.
        role: Role,
        /// Its password.
        password: Secret,
    },
    /// All accounts.
    UserList,
    /// Something different about an account.
    UserChange {
        /// Which.
        name: String,
        /// Another role.
        role: Option<Role>,
        /// Another password.
        password: Option<Secret>,
        /// Whether nobody may sign in.
        disabled: Option<bool>,
    },
    /// The end of an account.
    UserRemove {
        /// Which.
        name: String,
    },
    /// The end of all that is kept of somebody, or how far that is.
    UserErase {
        /// Who.
        whose: Whose,
        /// Only tell.
        dry_run: bool,
    },
    /// All that is kept of somebody: an archive comes before the answer.
    UserExport {
        /// Of whom, and what of it.
        wanted: Wanted,
    },
    /// All records of this moment, into the data directory's export.
    Export,
    /// Whether the records fit together.
    Check,
    /// What an operator wants to see or have done.
    Operate {
        /// Which.
        operation: Operation,
    },
}

impl Request {
    /// Returns what it is to the audit log, and to what it is done; nothing if it only looks.
    fn deed(&self) -> Option<(Action, Option<String>)> {
        match self {
            Self::LoginCode => Some((Action::LoginLink, None)),
            Self::TokenCreate { .. } => Some((Action::TokenMade, None)),
            Self::TokenRevoke { id } => Some((Action::TokenEnded, Some(id.to_string()))),
            Self::UserCreate { name, .. } => Some((Action::AccountMade, Some(name.clone()))),
            Self::UserChange { name, password: Some(_), .. } => {
                Some((Action::PasswordChanged, Some(name.clone())))
            }
            Self::UserChange { name, .. } => Some((Action::AccountChanged, Some(name.clone()))),
            Self::UserRemove { name } => Some((Action::AccountEnded, Some(name.clone()))),
            Self::Export => Some((Action::RecordsExported, None)),
            Self::Keys { change: RingChange::None, .. } => None,
            Self::Keys { signs: Signs::Playback, .. } => Some((Action::PlaybackKeysChanged, None)),
            Self::Keys { signs, .. } => {
                let what = match signs {
                    Signs::Sessions => "sessions",
                    Signs::PartUrls | Signs::Playback => "part-urls",
                };
                Some((Action::SigningKeysChanged, Some(what.to_owned())))
            }
            Self::Operate { operation } => operation.deed(),
            // Noted when it ends: an erasure under the name that is left.
            Self::UserErase { .. } | Self::UserExport { .. } => None,
            Self::TokenList | Self::UserList | Self::Check => None,
        }
    }

    /// How long the answer may take.
    fn patience(&self) -> Duration {
        match self {
            Self::Export
            | Self::Check
            | Self::Operate { .. }
            | Self::UserErase { .. }
            | Self::UserExport { .. } => PATIENCE_LONG,
            _ => PATIENCE,
        }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// The code, and the address of the server when one runs.
    LoginCode {
        /// Good once, for 15 minutes.
        code: String,
        /// Such as `http://127.0.0.1:8080`.
        address: Option<String>,
    },
    /// The new token; the only time its secret is seen.
    Token {
        /// `slw_…`
        secret: String,
        /// What is kept of it.
        token: TokenView,
    },
    /// All tokens.
    Tokens {
        /// In the order of their making.
        tokens: Vec<TokenView>,
    },
    /// Whether there was such a token.
    Revoked {
        /// False when no token has that id.
        found: bool,
    },
    /// The keys that sign something, as they are then.
    Keys {
        /// When each was made, in seconds since 1970; the newest is last.
        keys: Vec<u32>,
    },
    /// An account as it is now.
    User {
        /// What is kept of it.
        user: UserView,
    },
    /// All accounts.
    Users {
        /// In the order of their making.
        users: Vec<UserView>,
    },
    /// How far an erasure is, or what it would take.
    Erasure {
        /// What it has taken by now.
        erasure: Erasure,
    },
    /// An archive has come whole.
    Archived {
        /// What is in it.
        exported: Exported,
    },
    /// Where the records are.
    Exported {
        /// The file; it stays as it is even if another replaces it meanwhile.
        path: PathBuf,
        /// How many there are.
        entries: usize,
    },
    /// What the check found.
    Checked {
        /// Records and places in indexes.
        entries: usize,
        /// What doesn't fit, a sentence each.
        findings: Vec<String>,
    },
    /// What the API would answer an admin.
    Operated {
        /// Its JSON.
        value: serde_json::Value,
    },
    /// It didn't work.
    Refused {
        /// One line.
        reason: String,
    },
}

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// What it may do.
    pub role: Role,
    /// Whom it acts for.
    pub owner: String,
    /// Its name.
    pub name: Option<String>,
    /// What it is confined to.
    pub scopes: Vec<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; none when it holds until revoked.
    pub expires_at: Option<String>,
    /// Largest upload that it begins.
    pub max_size: Option<u64>,
    /// Which files it may bring.
    pub accept: Option<Vec<String>>,
    /// How many uploads it may begin in all.
    pub max_uploads: Option<u32>,
    /// How many of those it has begun.
    pub uploads_begun: u32,
    /// RFC 3339; none when it was never used.
    pub used_at: Option<String>,
}

impl From<&crate::state::TokenRecord> for TokenView {
    fn from(token: &crate::state::TokenRecord) -> Self {
        Self {
            id: token.id,
            role: token.role,
            owner: token.owner.0.clone(),
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created_at: token.created_at.to_rfc3339(),
            expires_at: token.expires_at.map(crate::units::UnixMillis::to_rfc3339),
            max_size: token.bounds.max_size.map(|size| size.0),
            accept: token.bounds.accept.map(Vec::from),
            max_uploads: token.max_uploads,
            uploads_begun: token.uploads_begun,
            used_at: token.used_at.map(crate::units::UnixMillis::to_rfc3339),
        }
    }
}

/// An account without its password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Nobody may sign in.
    pub disabled: bool,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; none when nobody has signed in yet.
    pub seen_at: Option<String>,
}

impl From<&crate::state::UserRecord> for UserView {
    fn from(user: &crate::state::UserRecord) -> Self {
        Self {
            id: user.id,
            name: user.name.0.clone(),
            role: user.role,
            disabled: user.disabled,
            created_at: user.created_at.to_rfc3339(),
            seen_at: user.seen_at.map(crate::units::UnixMillis::to_rfc3339),
        }
    }
}

/// What commands are answered from.
#[derive(Clone)]
pub struct Desk {
    /// Tokens and login links.
    pub access: Access,
    /// The records.
    pub state: State,
    /// The files.
    pub disk: Disk,
    /// The running server's address, for login links.
    pub address: Option<String>,
    /// Who does what operators want.
    pub operator: Operator,
    /// Who did what.
    pub trail: Trail,
    /// Who erases somebody; none without a server, where more is to be done about it.
    pub rights: Option<Rights>,
    /// Who writes archives; none without a server, where nothing is in between.
    pub exports: Option<Exports>,
}

/// Does what operators want; the API's room, which this one knows nothing of.
pub type Operator =
    Arc<dyn Fn(Operation) -> BoxFuture<'static, Result<serde_json::Value, String>> + Send + Sync>;

impl Desk {
    /// Does what `request` asks, and notes it.
    pub async fn answer(&self, request: Request) -> Reply {
        let deed = request.deed();
        let reply = self.done(request).await.unwrap_or_else(|reason| Reply::Refused { reason });
        if let Some((action, object)) = deed {
            let (object, outcome) = match &reply {
                Reply::Token { token, .. } => (Some(token.id.to_string()), Outcome::Done),
                Reply::Refused { .. } | Reply::Revoked { found: false } => {
                    (object, Outcome::Refused)
                }
                _ => (object, Outcome::Done),
            };
            self.trail.note_console(action, object, outcome);
        }
        reply
    }

    async fn done(&self, request: Request) -> Result<Reply, String> {
        match request {
            Request::LoginCode => self.access.login_code().await.map_err(told).map(|code| {
                let address = self.address.clone();
                Reply::LoginCode { code, address }
            }),
            Request::TokenCreate { role, name, user, expires_ms, scopes, bounds, max_uploads } => {
                let new = NewToken { role, name, user, expires_ms, scopes, bounds, max_uploads };
                let made = self.access.create_token(new).await;
                made.map_err(told).map(|(secret, token)| {
                    let token = TokenView::from(&token);
                    Reply::Token { secret, token }
                })
            }
            Request::TokenList => self.access.tokens().map_err(told).map(|tokens| {
                let tokens = tokens.iter().map(TokenView::from).collect();
                Reply::Tokens { tokens }
            }),
            Request::TokenRevoke { id } => {
                let revoked = self.access.revoke_token(id).await;
                revoked.map_err(told).map(|found| Reply::Revoked { found })
            }
            Request::Keys { signs, change } => {
                let keys = self.access.change_keys(signs, change).await;
                keys.map_err(told).map(|keys| Reply::Keys { keys })
            }
            Request::UserCreate { .. }
            | Request::UserList
            | Request::UserChange { .. }
            | Request::UserRemove { .. } => self.on_users(request).await.map_err(told),
            Request::Export => {
                let exported = backup::export(&self.state, &self.disk).await.map_err(told);
                let path = self.disk.export_path();
                exported.map(|entries| Reply::Exported { path, entries })
            }
            Request::UserErase { whose, dry_run } => {
                let rights = self.rights.as_ref().ok_or("no server runs")?;
                let erasure = match dry_run {
                    true => rights.look(whose).await,
                    false => rights.erase(whose, TOLD_AFTER).await,
                };
                erasure.map_err(told).map(|erasure| Reply::Erasure { erasure })
            }
            Request::UserExport { .. } => Err("an archive doesn't fit a line".to_owned()),
            Request::Check => self.check().await,
            Request::Operate { operation } => {
                (self.operator)(operation).await.map(|value| Reply::Operated { value })
            }
        }
    }

    async fn on_users(&self, request: Request) -> Result<Reply, UserFault> {
        let access = &self.access;
        let one = |user: &crate::state::UserRecord| Reply::User { user: UserView::from(user) };
        match request {
            Request::UserCreate { name, role, password } => {
                access.create_user(&name, role, password).await.map(|user| one(&user))
            }
            Request::UserChange { name, role, password, disabled } => {
                let id = access.user_named(&name)?.id;
                access.change_user(id, role, password, disabled).await.map(|user| one(&user))
            }
            Request::UserRemove { name } => {
                let id = access.user_named(&name)?.id;
                access.remove_user(id).await.map(|found| Reply::Revoked { found })
            }
            _ => {
                let users = access.users()?;
                Ok(Reply::Users { users: users.iter().map(UserView::from).collect() })
            }
        }
    }

    async fn check(&self) -> Result<Reply, String> {
        let dump = self.state.dump().await.map_err(told)?;
        let checked = tokio::task::spawn_blocking(move || (dump.len(), dump.check()));
        let (entries, findings) = checked.await.map_err(told)?;
        Ok(Reply::Checked { entries, findings })
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("address", &self.address).finish_non_exhaustive()
    }
}

fn told(cause: impl std::fmt::Display) -> String {
    cause.to_string()
}

/// Answers on `listener` (from [`crate::disk::Disk::bind_control`]) until `stop` fires.
///
/// # Errors
/// The socket can't be handed to the runtime.
pub async fn listen(
    listener: std::os::unix::net::UnixListener,
    desk: Desk,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let turns = Arc::new(Semaphore::new(COMMANDS_MAX));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    warn!("control socket: {cause}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
        };
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return Ok(()) };
        let (desk, stop) = (desk.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                served = serve_one(stream, &desk) => if let Err(cause) = served {
                    debug!("control socket: {cause}");
                },
            }
            drop(turn);
        });
    }
}

async fn serve_one(mut stream: tokio::net::UnixStream, desk: &Desk) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = tokio::io::BufReader::new(read.take(LINE_BYTES_MAX));
    timeout(PATIENCE, read.read_line(&mut line)).await??;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(Request::UserExport { wanted }) => {
            return archive::send(read, &mut write, desk, wanted).await;
        }
        Ok(request) => timeout(request.patience(), desk.answer(request.clone())).await?,
        Err(cause) => Reply::Refused { reason: format!("not a command: {cause}") },
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

/// Asks the server that listens at `path`; `None` when none does.
///
/// # Errors
/// A server is there but doesn't answer in its own words.
pub fn ask(path: &Path, request: &Request) -> io::Result<Option<Reply>> {
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(path) else {
        return Ok(None);
    };
    stream.set_read_timeout(Some(request.patience() + PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}
