//! How often somebody may be wrong: failed logins, counted by account, by address and by browser.
//!
//! Only failures count: an attempt takes its place before the password is looked at, so that many
//! at once can't pass together, and gives it back when it was right. (A limiter of requests, which
//! counts good ones too and takes nothing back, would be in the way of people behind one address.)
//!
//! An account's own count would let a stranger keep its owner out by being wrong on purpose. So a
//! browser that has signed in to the account before is known by a cookie and has a count of its
//! own: whatever others do to the account, it gets in. Other browsers share the account's count,
//! which goes down with time; while it is full they wait, known ones don't, and access tokens never
//! do.

use crate::units::UnixMillis;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts that are kept; the emptiest are forgotten first.
const COUNTS_MAX: usize = 50_000;

/// How many failures are free, and how long until one is forgotten.
#[derive(Clone, Copy, Debug)]
struct Patience {
    free: i64,
    forget_ms: i64,
}

/// One address: a household or an office behind it mistypes now and then.
const ADDRESS: Patience = Patience { free: 30, forget_ms: 20_000 };
/// One account from one address.
const PAIR: Patience = Patience { free: 8, forget_ms: 30_000 };
/// One account from everywhere: three thousand guesses a day at most.
const ACCOUNT: Patience = Patience { free: 50, forget_ms: 30_000 };
/// A browser that has signed in to the account before.
const BROWSER: Patience = Patience { free: 10, forget_ms: 30_000 };

/// Who tries to sign in as whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) account: &'a str,
    /// None where it isn't known, as of a Unix socket's peer.
    pub(super) from: Option<IpAddr>,
    /// The browser, where it has signed in to this account before.
    pub(super) browser: Option<&'a [u8; 16]>,
}

/// The failures of a while. They don't outlive the process.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// Names would be the guesser's to choose; their hashes under a key of this process aren't.
    hasher: RandomState,
    /// When each count will be empty.
    counts: Mutex<HashMap<u64, i64>>,
}

/// Places that an attempt has taken.
#[derive(Debug)]
pub(super) struct Taken {
    places: Vec<(u64, i64)>,
}

impl Guesses {
    /// Takes an attempt's places, or says in how many seconds it may be made.
    pub(super) fn take(&self, attempt: Attempt<'_>, now: UnixMillis) -> Result<Taken, u32> {
        let places = self.places(attempt);
        let mut counts = self.counts();
        let wait = places.iter().map(|(key, patience)| {
            let empty_at = counts.get(key).copied().unwrap_or(now.0).max(now.0);
            empty_at + patience.forget_ms - now.0 - patience.free * patience.forget_ms
        });
        let wait_ms = wait.max().unwrap_or(0);
        if wait_ms > 0 {
            return Err(u32::try_from(wait_ms.div_euclid(1000) + 1).unwrap_or(u32::MAX));
        }
        make_room(&mut counts, now);
        for (key, patience) in &places {
            let empty_at = counts.entry(*key).or_insert(now.0);
            *empty_at = (*empty_at).max(now.0) + patience.forget_ms;
        }
        let places = places.into_iter().map(|(key, patience)| (key, patience.forget_ms)).collect();
        Ok(Taken { places })
    }

    /// Gives the places of a good attempt back.
    pub(super) fn give_back(&self, taken: &Taken) {
        let mut counts = self.counts();
        for (key, forget_ms) in &taken.places {
            if let Some(empty_at) = counts.get_mut(key) {
                *empty_at -= forget_ms;
            }
        }
    }

    fn places(&self, attempt: Attempt<'_>) -> Vec<(u64, Patience)> {
        let Attempt { account, from, browser } = attempt;
        let from = from.map(network_of);
        if let Some(browser) = browser {
            return vec![(self.hasher.hash_one((0, account, browser)), BROWSER)];
        }
        let mut places = vec![
            (self.hasher.hash_one((1, account)), ACCOUNT),
            (self.hasher.hash_one((2, account, from)), PAIR),
        ];
        if from.is_some() {
            places.push((self.hasher.hash_one((3, from)), ADDRESS));
        }
        places
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<u64, i64>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets empty counts where there are too many, and then those that are the nearest to it.
fn make_room(counts: &mut HashMap<u64, i64>, now: UnixMillis) {
    if counts.len() < COUNTS_MAX {
        return;
    }
    counts.retain(|_, empty_at| *empty_at > now.0);
    if counts.len() >= COUNTS_MAX {
        let mut ends: Vec<i64> = counts.values().copied().collect();
        let (_, middle, _) = ends.select_nth_unstable(COUNTS_MAX / 10);
        let middle = *middle;
        counts.retain(|_, empty_at| *empty_at > middle);
    }
}

/// Returns what stands for one caller: all of an IPv6 household's addresses count as one.
fn network_of(from: IpAddr) -> u64 {
    match from.to_canonical() {
        IpAddr::V4(it) => u64::from(u32::from(it)),
        IpAddr::V6(it) => u64::try_from(u128::from(it) >> 64).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn attempt<'a>(account: &'a str, from: &str) -> Attempt<'a> {
        Attempt { account, from: Some(from.parse().expect("an address")), browser: None }
    }

    /// Whoever is wrong too often waits, as long as is told; whoever is right never does.
    #[test]
    fn failures_count_and_good_attempts_dont() {
        let guesses = Guesses::default();
        let ann = attempt("ann", "192.0.2.1");
        for _ in 0..1_000 {
            let taken = guesses.take(ann, NOW).expect("it was right each time");
            guesses.give_back(&taken);
        }
        for _ in 0..PAIR.free {
            guesses.take(ann, NOW).expect("free");
        }
        let seconds = guesses.take(ann, NOW).expect_err("too often");
        assert!((30..=31).contains(&seconds), "{seconds}");
        let later = NOW.plus_ms(u64::from(seconds) * 1000);
        guesses.take(ann, later).expect("one was forgotten");
        guesses.take(ann, later).expect_err("but no more than one");
        guesses.take(attempt("bob", "192.0.2.1"), NOW).expect("another account");
        guesses.take(attempt("ann", "192.0.2.2"), NOW).expect("another address");
    }

    /// A stranger with many addresses fills the account's count; the owner's browser gets in.
    #[test]
    fn nobody_is_locked_out_by_a_stranger() {
        let guesses = Guesses::default();
        let mut refused = 0;
        for n in 0..200 {
            let from = format!("198.51.100.{n}");
            refused += i64::from(guesses.take(attempt("ann", &from), NOW).is_err());
        }
        assert_eq!(refused, 200 - ACCOUNT.free);
        guesses.take(attempt("ann", "192.0.2.1"), NOW).expect_err("a browser that isn't known");
        let known = Attempt { browser: Some(&[7; 16]), ..attempt("ann", "192.0.2.1") };
        for _ in 0..BROWSER.free {
            guesses.take(known, NOW).expect("its own count");
        }
        guesses.take(known, NOW).expect_err("which isn't without an end");
    }

    /// An address that tries many accounts is held up for all of them; one IPv6 network is one.
    #[test]
    fn one_address_cant_try_everybody() {
        let guesses = Guesses::default();
        let tried = (0..100).filter(|n| {
            let account = format!("user{n}");
            let from = format!("2001:db8:0:1::{n:x}");
            guesses.take(attempt(&account, &from), NOW).is_ok()
        });
        assert_eq!(tried.count(), usize::try_from(ADDRESS.free).expect("a number"));
        guesses.take(attempt("x", "2001:db8:0:2::1"), NOW).expect("another network");
    }

    /// However many names and addresses are tried, memory is bounded, and what counts most stays.
    #[test]
    fn counts_are_bounded() {
        let guesses = Guesses::default();
        let ann = attempt("ann", "192.0.2.1");
        for _ in 0..PAIR.free {
            guesses.take(ann, NOW).expect("free");
        }
        for n in 0..40_000u32 {
            let from = IpAddr::from(n.to_be_bytes());
            let account = format!("{n}");
            let _ =
                guesses.take(Attempt { account: &account, from: Some(from), browser: None }, NOW);
            assert!(guesses.counts().len() <= COUNTS_MAX + 3);
        }
        guesses.take(ann, NOW).expect_err("still too often");
    }
}
