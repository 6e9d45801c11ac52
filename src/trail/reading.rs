//! Pages of the log, in either direction.

use super::files::{deeds, numbers, path_of};
use crate::model::deed::{Action, Deed};
use crate::units::UnixMillis;
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// Most entries of a page.
pub const PAGE_MAX: usize = 500;

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only those from then on.
    pub since: Option<UnixMillis>,
    /// Only those of this actor or token.
    pub actor: Option<String>,
    /// Only those of this kind.
    pub action: Option<Action>,
    /// Only those with a smaller number, the newest first.
    pub before: Option<u64>,
    /// Only those with a greater number, the oldest first.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl Query {
    fn wants(&self, deed: &Deed) -> bool {
        let is = |name: &Option<String>| name.as_deref() == self.actor.as_deref();
        self.since.is_none_or(|since| deed.at >= since)
            && (self.actor.is_none() || is(&deed.actor) || is(&deed.token))
            && self.action.is_none_or(|action| deed.action == action)
            && self.before.is_none_or(|before| deed.n < before)
            && self.after.is_none_or(|after| deed.n > after)
    }
}

/// Reads a page: the oldest first behind `after`, else the newest first.
pub(super) fn page(directory: &Path, query: &Query) -> io::Result<Vec<Deed>> {
    let numbers = numbers(directory)?;
    let limit = query.limit.clamp(1, PAGE_MAX);
    let mut found = Vec::new();
    if let Some(after) = query.after {
        // The last file that begins at or before it, and all behind that.
        let from = numbers.partition_point(|&number| number <= after).saturating_sub(1);
        for &number in numbers.iter().skip(from) {
            for deed in read(directory, number)? {
                let deed = deed?;
                if query.wants(&deed) {
                    found.push(deed);
                }
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
        return Ok(found);
    }
    let before = query.before.unwrap_or(u64::MAX);
    for &number in numbers.iter().rev().filter(|&&number| number < before) {
        let mut last = VecDeque::new();
        let (mut is_older, room) = (false, limit - found.len());
        for deed in read(directory, number)? {
            let deed = deed?;
            is_older |= query.since.is_some_and(|since| deed.at < since);
            if query.wants(&deed) {
                last.push_back(deed);
                if last.len() > room {
                    last.pop_front();
                }
            }
        }
        found.extend(last.into_iter().rev());
        if is_older || found.len() == limit {
            break;
        }
    }
    Ok(found)
}

/// Reads a file's entries; one that has gone meanwhile has none.
fn read(directory: &Path, number: u64) -> io::Result<Box<dyn Iterator<Item = io::Result<Deed>>>> {
    match deeds(&path_of(directory, number)) {
        Ok(entries) => Ok(Box::new(entries)),
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(Box::new(std::iter::empty())),
        Err(failed) => Err(failed),
    }
}
