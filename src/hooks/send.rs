//! One request to a hook: a checked address, a deadline, and no more of the answer than counts.

use super::address::is_public;
use std::io;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

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

/// Makes who sends: no proxy, no redirects, no connection kept. `deadline` bounds a request from
/// the look-up of the name to the last byte of the answer that is read.
pub(super) fn agent(allow_private: bool, deadline: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(deadline))
        .max_idle_connections(0)
        .max_response_header_size(HEAD_BYTES_MAX)
        .tls_config(tls)
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .build();
    let guard = Guard { resolver: DefaultResolver::default(), allow_private };
    Agent::with_parts(config, DefaultConnector::default(), guard)
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The body, as far as it was wanted.
    pub(super) body: Vec<u8>,
}

/// Posts a body and returns the answer, whose own body is read if it has at most `bytes_max`
/// bytes; with 0 it isn't read at all. Blocks for the agent's deadline at most.
///
/// # Errors
/// A sentence without anything secret.
pub(super) fn post(
    agent: &Agent,
    url: &str,
    headers: &[(&str, String)],
    body: &str,
    bytes_max: u64,
) -> Result<Answer, String> {
    let mut request = agent.post(url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut answer = request.send(body).map_err(said)?;
    let status = answer.status().as_u16();
    let body = match bytes_max {
        0 => Vec::new(),
        most => answer.body_mut().with_config().limit(most).read_to_vec().map_err(said)?,
    };
    Ok(Answer { status, body })
}

fn said(error: Error) -> String {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => PRIVATE.to_owned(),
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "there is no such host".to_owned(),
        Error::BodyExceedsLimit(most) => format!("the answer has more than {most} bytes"),
        error => error.to_string(),
    }
}
