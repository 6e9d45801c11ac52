//! `slipway token …`

use super::{Failure, ask, load, unexpected};
use crate::config::flags::{Settings, TokenCommand, TokenCreate, length_of_time_ms, size_bytes};
use crate::control::{Reply, Request, TokenView};
use crate::ids::TokenId;
use crate::model::accept::Accept;
use crate::model::access::{Bounds, Role};
use crate::units::ByteCount;

pub(super) fn run(settings: &Settings, command: TokenCommand) -> Result<(), Failure> {
    let config = load(settings)?.config;
    match command {
        TokenCommand::Create(wanted) => {
            let json = wanted.json;
            match ask(&config, creation(wanted)?)? {
                Reply::Token { secret, token } => print_new(&secret, &token, json),
                other => Err(unexpected(other)),
            }
        }
        TokenCommand::List { json } => match ask(&config, Request::TokenList)? {
            Reply::Tokens { tokens } => print_all(&tokens, json),
            other => Err(unexpected(other)),
        },
        TokenCommand::Revoke { id } => {
            let unknown = || Failure::other(format!("no token has the id {id}"));
            let parsed = TokenId::parse(&id).map_err(|_| unknown())?;
            match ask(&config, Request::TokenRevoke { id: parsed })? {
                Reply::Revoked { found: true } => Ok(()),
                Reply::Revoked { found: false } => Err(unknown()),
                other => Err(unexpected(other)),
            }
        }
    }
}

fn creation(wanted: TokenCreate) -> Result<Request, Failure> {
    let role = Role::parse(&wanted.role).unwrap_or(Role::Viewer);
    let max_size = wanted.max_size.as_deref().map(size_bytes).transpose();
    let expires_ms = wanted.expires.as_deref().map(length_of_time_ms).transpose();
    Ok(Request::TokenCreate {
        role,
        name: wanted.name,
        user: wanted.user,
        expires_ms: expires_ms.map_err(|mend| Failure::usage(format!("--expires: {mend}")))?,
        scopes: wanted.scopes,
        bounds: Bounds {
            max_size: max_size.map_err(|mend| Failure::usage(format!("--max-size: {mend}")))?,
            accept: Accept::parse(wanted.accept.iter().map(String::as_str)),
        },
        max_uploads: wanted.max_uploads,
    })
}

fn print_new(secret: &str, token: &TokenView, json: bool) -> Result<(), Failure> {
    if json {
        let mut all = serde_json::to_value(token).map_err(Failure::other)?;
        all["token"] = secret.into();
        println!("{all}");
        return Ok(());
    }
    println!("{secret}");
    let expires = token.expires_at.as_deref().unwrap_or("never");
    eprintln!(
        "id {}  role {}  owner {}  expires {expires}",
        token.id,
        token.role.name(),
        token.owner
    );
    Ok(())
}

fn print_all(tokens: &[TokenView], json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(tokens).map_err(Failure::other)?);
        return Ok(());
    }
    println!(
        "{:36}  {:8}  {:36}  {:24}  {:24}  {:24}  {:20}  LIMITS",
        "ID", "ROLE", "OWNER", "CREATED", "EXPIRES", "LAST USED", "NAME"
    );
    for token in tokens {
        println!(
            "{:36}  {:8}  {:36}  {:24}  {:24}  {:24}  {:20}  {}",
            token.id.to_string(),
            token.role.name(),
            token.owner,
            token.created_at,
            token.expires_at.as_deref().unwrap_or("never"),
            token.used_at.as_deref().unwrap_or("never"),
            token.name.as_deref().unwrap_or("-"),
            limits(token),
        );
    }
    Ok(())
}

/// Says in words what a token is held to.
fn limits(token: &TokenView) -> String {
    let mut said = token.scopes.clone();
    said.extend(token.accept.iter().flatten().cloned());
    said.extend(token.max_size.map(|size| format!("{} each", ByteCount(size))));
    let count = token.max_uploads;
    said.extend(count.map(|max| format!("{} of {max} uploads", token.uploads_begun)));
    if said.is_empty() { "-".to_owned() } else { said.join(" ") }
}
