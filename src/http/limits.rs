//! How much one caller may ask for: requests by address, by token and by owner, and connections
//! by address.
//!
//! Rates are counted by GCRA: so many a minute, all at once or evenly. Addresses are those of
//! [`guard::client_address`]; of IPv6 the network counts (64 bits), as each host has one to itself.
//! Whoever is on this machine isn't counted, nor is a trusted proxy that doesn't say for whom it
//! asks. Memory is bounded whatever comes: callers are counted in a fixed number of places, chosen
//! by a hash that nobody outside can foretell.

use super::problem::{Code, Problem};
use super::{Shared, guard};
use crate::access::Caller;
use crate::config::{Config, LimitsConfig, Proxies};
use crate::telemetry::measures::{self, Limited};
use actix_web::{HttpMessage, HttpRequest};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// Places in which callers are counted, for each kind of rate: about two mebibytes at most. Two
/// callers that share one are as likely as one in as many.
const PLACES: u64 = 1 << 16;
/// Bits of an IPv6 address that tell one caller from another.
const NETWORK_BITS: u32 = 64;

/// A bound on requests in a minute.
struct Rate {
    limiter: Option<RateLimiter<u16, HashMapStateStore<u16>, DefaultClock>>,
    clock: DefaultClock,
    hasher: RandomState,
}

impl Rate {
    fn of(per_minute: Option<u32>) -> Self {
        let most = per_minute.and_then(NonZeroU32::new);
        Self {
            limiter: most.map(|most| RateLimiter::hashmap(Quota::per_minute(most))),
            clock: DefaultClock::default(),
            hasher: RandomState::new(),
        }
    }

    /// Counts one request of `key`; returns after how many seconds to try again if it is one too
    /// many.
    fn count(&self, key: impl Hash) -> Result<(), u32> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let place = (self.hasher.hash_one(key) % PLACES) as u16;
        limiter.check_key(&place).map_err(|early| {
            let wait = early.wait_time_from(self.clock.now());
            u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(60).max(1)
        })
    }
}

/// All that is counted.
pub(super) struct Limits {
    requests: Rate,
    media: Rate,
    tokens: Rate,
    owners: Rate,
    /// A proxy on this machine that isn't trusted was told of.
    told: AtomicBool,
}

/// What a request asks for, as far as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// What proxies and orchestrators look at.
    Health,
    /// Media and the pages' files: many, and cheap.
    Media,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(path: &str) -> Self {
        match path {
            "/healthz" | "/readyz" => Self::Health,
            _ if path.starts_with("/media/") || path.starts_with("/static/") => Self::Media,
            _ => Self::Other,
        }
    }
}

/// Says that a request was counted for its caller; handlers may ask more than once who that is.
struct Counted;

impl Limits {
    /// Counts nothing yet.
    pub(super) fn of(config: &LimitsConfig) -> Self {
        Self {
            requests: Rate::of(config.requests_per_address),
            media: Rate::of(config.media_per_address),
            tokens: Rate::of(config.requests_per_token),
            owners: Rate::of(config.requests_per_owner),
            told: AtomicBool::new(false),
        }
    }

    /// Counts a request by its address.
    ///
    /// # Errors
    /// 429 if it is one too many.
    pub(super) fn count_address(&self, req: &HttpRequest, config: &Config) -> Result<(), Problem> {
        self.tell_of_strange_proxies(req, config);
        let Some(address) = counted_address(req, config) else { return Ok(()) };
        let (rate, what) = match Kind::of(req.path()) {
            Kind::Health => return Ok(()),
            Kind::Media => (&self.media, Limited::Media),
            Kind::Other => (&self.requests, Limited::Address),
        };
        rate.count(address).map_err(|seconds| too_many(what, seconds))
    }

    /// Counts a request by its caller's token and owner, once.
    ///
    /// # Errors
    /// 429 if it is one too many.
    pub(super) fn count_caller(
        &self,
        req: &HttpRequest,
        config: &Config,
        caller: &Caller,
    ) -> Result<(), Problem> {
        let is_local = counted_address(req, config).is_none();
        if is_local || Kind::of(req.path()) != Kind::Other {
            return Ok(());
        }
        if req.extensions_mut().insert(Counted).is_some() {
            return Ok(());
        }
        if let Some(token) = &caller.token {
            let counted = self.tokens.count(token);
            counted.map_err(|seconds| too_many(Limited::Token, seconds))?;
        }
        let counted = self.owners.count(&caller.viewer.owner);
        counted.map_err(|seconds| too_many(Limited::Owner, seconds))
    }

    /// Warns, once, of a proxy on this machine whose word isn't taken: nobody behind it is counted,
    /// and links have the wrong address.
    fn tell_of_strange_proxies(&self, req: &HttpRequest, config: &Config) {
        if self.told.load(Ordering::Relaxed) || guard::is_from_proxy(req, config) {
            return;
        }
        let marked =
            ["x-forwarded-for", "forwarded"].iter().any(|&it| req.headers().contains_key(it));
        let is_near = guard::peer(req).is_none_or(|peer| peer.to_canonical().is_loopback());
        if marked && is_near && !self.told.swap(true, Ordering::Relaxed) {
            warn!(
                "a proxy on this machine passes requests on, and isn't named in trusted_proxies: \
                 its clients aren't told apart, and no request of theirs is counted"
            );
        }
    }
}

impl Shared {
    /// Counts a request by its caller, wherever who calls is found out.
    ///
    /// # Errors
    /// 429 if it is one too many.
    pub(super) fn count(&self, req: &HttpRequest, caller: &Caller) -> Result<(), Problem> {
        self.limits.count_caller(req, &self.parts.config, caller)
    }
}

/// Returns by which address a request is counted, if by any.
fn counted_address(req: &HttpRequest, config: &Config) -> Option<IpAddr> {
    let address = guard::client_address(req, config)?;
    let is_ours = address.is_loopback() || config.proxies.trust(Some(address));
    (!is_ours).then(|| network_of(address))
}

/// Returns what stands for an address: itself, or its network.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - NETWORK_BITS))).into()
        }
        address => address,
    }
}

fn too_many(what: Limited, seconds: u32) -> Problem {
    measures::limited(what);
    let whose = match what {
        Limited::Token => "with this token",
        Limited::Owner => "in this owner's name",
        _ => "from your address",
    };
    let detail = format!("There were too many requests {whose}. Try again in {seconds} s.");
    Problem::new(Code::TooManyRequests, detail).retry_after(seconds)
}

/// Counts the open connections of each address.
#[derive(Clone)]
pub(super) struct Connections {
    most: Option<usize>,
    proxies: Proxies,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's place; given back when it ends.
pub(super) struct Place {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Connections {
    /// Counts nothing yet.
    pub(super) fn of(config: &Config) -> Self {
        let most = config.limits.connections_per_address;
        Self { most, proxies: config.proxies.clone(), open: Arc::default() }
    }

    /// Takes a place for a connection from `peer`; none if it isn't counted.
    ///
    /// # Errors
    /// One from this address too many.
    pub(super) fn enter(&self, peer: Option<IpAddr>) -> Result<Option<Place>, TooMany> {
        let (Some(most), Some(peer)) = (self.most, peer) else { return Ok(None) };
        if self.proxies.trust(Some(peer)) {
            return Ok(None);
        }
        let address = network_of(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most {
            measures::limited(Limited::Connections);
            return Err(TooMany);
        }
        *count += 1;
        drop(open);
        Ok(Some(Place { address, open: Arc::clone(&self.open) }))
    }
}

/// There are enough connections from an address.
pub(super) struct TooMany;

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many at once, and then a time to wait that isn't zero; others aren't concerned.
    #[test]
    fn rates_are_bounded() {
        let rate = Rate::of(Some(3));
        let counted: Vec<_> = (0..4).map(|_| rate.count("ann")).collect();
        assert_eq!(&counted[..3], [Ok(()); 3]);
        assert!(matches!(counted[3], Err(1..=20)), "{counted:?}");
        assert_eq!(rate.count("bob"), Ok(()));
        let none = Rate::of(None);
        assert!((0..10_000).all(|_| none.count("ann").is_ok()));
    }

    /// However many callers come, no more are remembered than there are places.
    #[test]
    fn memory_is_bounded() {
        let rate = Rate::of(Some(1000));
        (0..PLACES * 4).for_each(|key| assert_eq!(rate.count(key), Ok(())));
        let places = rate.limiter.as_ref().map(RateLimiter::len).expect("a bound");
        assert!(places as u64 <= PLACES && places as u64 > PLACES / 2, "{places}");
    }

    /// An IPv6 host can't choose among its addresses; an IPv4 one has one, however it is written.
    #[test]
    fn networks_stand_for_addresses() {
        let of = |text: &str| network_of(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
    }

    /// Connections are counted while they last, and nothing is kept of addresses without any.
    #[test]
    fn connections_are_bounded() {
        let loaded = crate::config::load(None, std::iter::empty(), &[]).expect("the defaults");
        let mut config = loaded.config;
        config.limits.connections_per_address = Some(2);
        config.proxies.networks =
            vec![crate::config::Network { address: [10, 0, 0, 0].into(), prefix_bits: 8 }];
        let connections = Connections::of(&config);
        let enter = |address: [u8; 4]| connections.enter(Some(address.into()));
        let held = [enter([192, 0, 2, 1]), enter([192, 0, 2, 1])];
        assert!(held.iter().all(|place| matches!(place, Ok(Some(_)))));
        assert!(enter([192, 0, 2, 1]).is_err());
        assert!(matches!(enter([192, 0, 2, 2]), Ok(Some(_))), "another address");
        assert!((0..9).all(|_| matches!(enter([10, 0, 0, 1]), Ok(None))), "a proxy");
        assert!(matches!(connections.enter(None), Ok(None)), "a Unix socket");
        drop(held);
        assert!(matches!(enter([192, 0, 2, 1]), Ok(Some(_))));
        assert!(connections.open.lock().expect("whole").is_empty());
    }
}
