//! One request to a webhook: a checked address, a deadline, and no more of the answer than counts.

use super::address::is_public;
use std::io;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// How long an attempt may take, from the look-up of the name to the answer's head.
const DEADLINE: Duration = Duration::from_secs(15);

/// Longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Resolves names once, and refuses those of which any address isn't public. The connection is made
/// to an address that was checked.
#[derive(Debug)]
struct Guard {
    resolver: DefaultResolver,
    allow_private: bool,
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        match self.allow_private || found.iter().all(|address| is_public(address.ip())) {
            true => Ok(found),
            false => Err(Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, PRIVATE))),
        }
    }
}

/// What is said of an address that isn't public.
const PRIVATE: &str = "the address isn't a public one, and `hooks.allow_private` isn't set";

/// Makes who sends: no proxy, no redirects, no connection kept.
pub(super) fn agent(allow_private: bool) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(DEADLINE))
        .max_idle_connections(0)
        .max_response_header_size(HEAD_BYTES_MAX)
        .tls_config(tls)
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .build();
    let guard = Guard { resolver: DefaultResolver::default(), allow_private };
    Agent::with_parts(config, DefaultConnector::default(), guard)
}

/// Posts a body and returns the status of the answer; the answer's body isn't read. Blocks for
/// the deadline at most.
///
/// # Errors
/// A sentence without anything secret.
pub(super) fn post(
    agent: &Agent,
    url: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Result<u16, String> {
    let mut request = agent.post(url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    match request.send(body) {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(PRIVATE.to_owned())
        }
        Err(Error::Timeout(_)) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        Err(Error::HostNotFound) => Err("there is no such host".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
