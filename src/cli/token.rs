//! `slipway token …`

use super::{Failure, ask, load, unexpected};
use crate::config::flags::{Settings, TokenCommand, TokenCreate, length_of_time_ms};
use crate::control::{Reply, Request, TokenView};
use crate::ids::TokenId;
use crate::model::access::Role;

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
    let role = match wanted.role.as_str() {
        "admin" => Role::Admin,
        "uploader" => Role::Uploader,
        _ => Role::Viewer,
    };
    let expires_ms = wanted.expires.as_deref().map(length_of_time_ms).transpose();
    Ok(Request::TokenCreate {
        role,
        name: wanted.name,
        user: wanted.user,
        expires_ms: expires_ms.map_err(|mend| Failure::usage(format!("--expires: {mend}")))?,
        scopes: wanted.scopes,
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
        role_word(token.role),
        token.owner
    );
    Ok(())
}

fn print_all(tokens: &[TokenView], json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", serde_json::to_string(tokens).map_err(Failure::other)?);
        return Ok(());
    }
    println!("{:36}  {:8}  {:36}  {:24}  {:24}  NAME", "ID", "ROLE", "OWNER", "CREATED", "EXPIRES");
    for token in tokens {
        println!(
            "{:36}  {:8}  {:36}  {:24}  {:24}  {}",
            token.id.to_string(),
            role_word(token.role),
            token.owner,
            token.created_at,
            token.expires_at.as_deref().unwrap_or("never"),
            token.name.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Uploader => "uploader",
        Role::Viewer => "viewer",
    }
}
