//! TLS of the server's own: its certificate and key, read again when they change.
//!
//! Invariant: there is always a pair that can be used. One that is found on the disk takes its
//! place whole or not at all; connections that live go on with what they began with.

mod accept;
mod pair;
mod validity;

pub(super) use accept::{Gate, Secured, serve};
pub use pair::{PairFacts, examine};

use crate::clock::Clock;
use crate::config::TlsConfig;
use crate::units::UnixMillis;
use pair::{Pair, Stamps};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is spoken inside, the better one first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];

/// HTTP/2, as clients choose it.
const HTTP_2: &[u8] = b"h2";

/// A certificate and key in use. Clones share them.
#[derive(Clone)]
pub struct Tls {
    files: TlsConfig,
    clock: Clock,
    seen: Arc<Mutex<Seen>>,
    rules: Arc<rustls::ServerConfig>,
}

struct Seen {
    stamps: Stamps,
    /// Why what lies on the disk isn't used.
    problem: Option<String>,
    facts: PairFacts,
    held: Arc<Held>,
}

/// The pair that new connections get.
#[derive(Debug)]
struct Held(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Held {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads the pair; none if none is named.
    ///
    /// # Errors
    /// What is wrong with it, in words for the operator.
    pub fn open(files: &TlsConfig, clock: Clock) -> Result<Option<Self>, String> {
        let Some(pair) = Pair::read(files)? else { return Ok(None) };
        let held = Arc::new(Held(Mutex::new(pair.key)));
        let mut rules = rustls::ServerConfig::builder_with_provider(pair::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&held) as Arc<dyn ResolvesServerCert>);
        rules.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        let seen = Seen { stamps: pair.stamps, problem: None, facts: pair.facts, held };
        let seen = Arc::new(Mutex::new(seen));
        Ok(Some(Self { files: files.clone(), clock, seen, rules: Arc::new(rules) }))
    }

    /// Looks at the files, and takes what is in them if they have changed since. A pair that can't
    /// be used leaves the one before, and is told once. Blocks for as long as reading takes.
    pub fn look_again(&self) {
        let stamps = Stamps::of(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps == seen.stamps {
            return;
        }
        match Pair::read(&self.files) {
            Ok(Some(pair)) => {
                info!("new connections get the certificate until {}", pair.facts.until);
                *seen.held.0.lock().unwrap_or_else(PoisonError::into_inner) = pair.key;
                (seen.stamps, seen.facts, seen.problem) = (pair.stamps, pair.facts, None);
            }
            Ok(None) => {}
            Err(why) => {
                warn!("certificate and key stay as they were: {why}");
                (seen.stamps, seen.problem) = (stamps, Some(why));
            }
        }
    }

    /// Looks at the files now and then, until `stop` fires.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = self.clone();
            // That it panicked would have been told by the panic.
            let _ = tokio::task::spawn_blocking(move || tls.look_again()).await;
        }
    }

    /// Returns why the pair on the disk isn't the one in use.
    pub(super) fn problem(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).problem.clone()
    }

    /// Returns what is worth saying of the certificate in use: that it runs out, or has.
    pub(super) fn complaint(&self) -> Option<String> {
        let now = self.clock.now();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).facts.complaint(now)
    }

    fn rules(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.rules)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl PairFacts {
    /// Says whether browsers take the certificate at a time.
    pub fn is_good(&self, now: UnixMillis) -> bool {
        now >= self.from.0 && now < self.until.0
    }

    /// Returns what is worth saying of the certificate at a time; nothing of one that is good and
    /// stays so for a while.
    pub fn complaint(&self, now: UnixMillis) -> Option<String> {
        let Self { from, until } = self;
        if now < from.0 {
            return Some(format!("The certificate isn't good before {from}."));
        }
        if now >= until.0 {
            return Some(format!("The certificate has run out at {until}: browsers refuse it."));
        }
        let life_ms = until.0.ms_since(from.0);
        let is_soon = until.0.ms_since(now) < (life_ms / SOON_SHARE).min(SOON_MS_MAX);
        is_soon.then(|| format!("The certificate runs out at {until}, and isn't renewed yet."))
    }
}

/// Of its life a certificate that isn't renewed for the last part of this size is late: those who
/// renew by themselves do so with a third left.
const SOON_SHARE: u64 = 6;
/// No certificate is late sooner than this.
const SOON_MS_MAX: u64 = 14 * 86_400_000;

#[cfg(test)]
mod tests;
