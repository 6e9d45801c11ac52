//! `slipway ingest …`

use super::{Failure, load};
use crate::config::flags::{Ingest, Settings, length_of_time_ms};
use crate::config::{Config, Listen};
use crate::ingest::{self, Address, IngestError, Order, Words};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Returns whether every file worked.
pub(super) fn run(settings: &Settings, said: Ingest) -> Result<bool, Failure> {
    let retry_for = length_of_time_ms(&said.retry_for)
        .map_err(|mend| Failure::usage(format!("--retry-for: {mend}")))?;
    let given = said.server.as_deref().map(Address::parse).transpose();
    let given = given.map_err(|word| Failure::usage(format!("--server: {word}")))?;
    let token = token(&said)?;
    let (server, token) = match given {
        Some(server) => (server, token),
        None => {
            let config = load(settings)?.config;
            (derived(&config)?, token.or_else(|| admin_token(&config)))
        }
    };
    if token.is_some() && server.is_exposed() {
        eprintln!("slipway: {server} isn't https: others in the network can read the token");
    }
    let had_token = token.is_some();
    let order = Order {
        paths: said.paths,
        server,
        token,
        words: Words {
            title: said.title,
            tags: said.tags,
            visibility: said.visibility,
            session: said.session,
        },
        parallel: usize::from(said.parallel),
        retry_for: Duration::from_millis(retry_for),
        wait: said.wait,
        again: said.again,
        json: said.json,
    };
    ingest::run(order).map_err(|failure| match failure {
        IngestError::Title(_) => Failure::usage(failure),
        IngestError::Refused(_) if !had_token => Failure::other(format!(
            "{failure} (there is no token: set SLIPWAY_TOKEN or name a --token-file)"
        )),
        failure => Failure::other(failure),
    })
}

/// Returns the token that the caller gave. It is never an argument: those are seen by everybody.
fn token(said: &Ingest) -> Result<Option<String>, Failure> {
    let (text, origin) = match &said.token_file {
        Some(path) => {
            let cause = |cause| Failure::usage(format!("--token-file {}: {cause}", path.display()));
            (std::fs::read_to_string(path).map_err(cause)?, "--token-file")
        }
        None => {
            let mut environment = std::env::vars();
            match environment.find(|(name, _)| name == "SLIPWAY_TOKEN") {
                Some((_, text)) if !text.trim().is_empty() => (text, "SLIPWAY_TOKEN"),
                _ => return Ok(None),
            }
        }
    };
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!("{origin}: there is no token in it")));
    }
    Ok(Some(text.to_owned()))
}

/// The first start's token, which only the owner of the data directory can read. It is for the
/// server of this configuration and is never shown to another.
fn admin_token(config: &Config) -> Option<String> {
    let text = std::fs::read_to_string(config.data_dir.join("admin-token")).ok()?;
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

/// Returns where the server of this configuration is: here if it can be, without the proxy. With
/// TLS of its own it is known by its public name alone, which its certificate has.
fn derived(config: &Config) -> Result<Address, Failure> {
    let here = match config.listen {
        Listen::Tcp(_) if config.tls.is_on() && config.public_url.is_some() => None,
        Listen::Tcp(address) if address.port() != 0 => {
            Some(format!("{}://{}", super::scheme(config), local(address)))
        }
        _ => None,
    };
    let there = || config.public_url.clone();
    let text = here.or_else(there).unwrap_or_else(|| config.listen.to_string());
    Address::parse(&text).map_err(|word| {
        Failure::usage(format!("the configuration's address can't be asked ({word}); use --server"))
    })
}

/// Returns where this machine reaches what listens at `address`.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that listens everywhere is asked here.
    #[test]
    fn everywhere_is_here() {
        let local = |text: &str| local(text.parse().expect("an address")).to_string();
        assert_eq!(local("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(local("[::]:80"), "[::1]:80");
        assert_eq!(local("192.0.2.1:80"), "192.0.2.1:80");
    }
}
