//! Commands beside a running server: `control.sock` in the data directory, mode 0600.
//!
//! One JSON object a line goes in, one comes out. Whoever may open the socket may open the
//! database as well, so nothing else is asked. Without a server the same [`answer`] works on the
//! database itself. Used by `server` (listening) and `cli` (asking).

use crate::access::Access;
use crate::ids::TokenId;
use crate::model::access::Role;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Longest line in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

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
        /// Rights besides the role's.
        scopes: Vec<String>,
    },
    /// All tokens.
    TokenList,
    /// The end of a token.
    TokenRevoke {
        /// Which.
        id: TokenId,
    },
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
    /// Rights besides the role's.
    pub scopes: Vec<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; none when it holds until revoked.
    pub expires_at: Option<String>,
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
        }
    }
}

/// Does what `request` asks; `address` is the running server's, for login links.
pub async fn answer(access: &Access, address: Option<&str>, request: Request) -> Reply {
    let refused = |cause: &dyn std::fmt::Display| Reply::Refused { reason: cause.to_string() };
    match request {
        Request::LoginCode => match access.login_code().await {
            Ok(code) => Reply::LoginCode { code, address: address.map(str::to_owned) },
            Err(cause) => refused(&cause),
        },
        Request::TokenCreate { role, name, user, expires_ms, scopes } => {
            match access.create_token(role, name, user, expires_ms, scopes).await {
                Ok((secret, token)) => Reply::Token { secret, token: TokenView::from(&token) },
                Err(cause) => refused(&cause),
            }
        }
        Request::TokenList => match access.tokens() {
            Ok(tokens) => Reply::Tokens { tokens: tokens.iter().map(TokenView::from).collect() },
            Err(cause) => refused(&cause),
        },
        Request::TokenRevoke { id } => match access.revoke_token(id).await {
            Ok(found) => Reply::Revoked { found },
            Err(cause) => refused(&cause),
        },
    }
}

/// Answers on `listener` (from [`crate::disk::Disk::bind_control`]) until `stop` fires.
///
/// # Errors
/// The socket can't be handed to the runtime.
pub async fn listen(
    listener: std::os::unix::net::UnixListener,
    access: Access,
    address: Option<String>,
    stop: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
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
        // One at a time is enough for commands typed by people.
        match tokio::time::timeout(PATIENCE, serve_one(stream, &access, address.as_deref())).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => debug!("control socket: {cause}"),
            Err(_) => debug!("control socket: a command took too long"),
        }
    }
}

async fn serve_one(
    mut stream: tokio::net::UnixStream,
    access: &Access,
    address: Option<&str>,
) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => answer(access, address, request).await,
        Err(cause) => Reply::Refused { reason: format!("not a command: {cause}") },
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks the server that listens at `path`; `None` when none does.
///
/// # Errors
/// A server is there but doesn't answer in its own words.
pub fn ask(path: &Path, request: &Request) -> io::Result<Option<Reply>> {
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(path) else {
        return Ok(None);
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}
