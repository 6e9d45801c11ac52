//! What a transaction sees: the database under what is about to be written to it.

use super::codec::{self, Record};
use super::error::StateError;
use super::growing::Growing;
use super::keys;
use super::outbox::News;
use super::usage::Move;
use crate::ids::GrantId;
use crate::model::hook::{HookEvent, Subject};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Values to be put, or `None` for keys to be removed.
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The database as one transaction sees it. What it puts stays its own until it succeeds.
pub(super) struct View<'a> {
    db: &'a sled::Db,
    growing: &'a Growing,
    /// What earlier transactions of the same group put.
    group: Option<&'a Overlay>,
    own: Overlay,
    /// Whether totals are kept, and what the transaction changes of them.
    is_counting: bool,
    moves: Vec<Move>,
    /// Whether webhooks are told, and of what.
    is_telling: bool,
    news: Vec<News>,
}

impl<'a> View<'a> {
    /// A view for reading only.
    pub(super) fn of(db: &'a sled::Db, growing: &'a Growing) -> Self {
        let own = Overlay::new();
        let (moves, news) = (Vec::new(), Vec::new());
        let (is_counting, is_telling) = (false, false);
        Self { db, growing, group: None, own, is_counting, moves, is_telling, news }
    }

    /// A view on top of what `group` is about to write.
    pub(super) fn over(
        db: &'a sled::Db,
        growing: &'a Growing,
        group: &'a Overlay,
        is_counting: bool,
        is_telling: bool,
    ) -> Self {
        Self { group: Some(group), is_counting, is_telling, ..Self::of(db, growing) }
    }

    /// Returns how far uploads have come since their records were written.
    pub(super) fn growing(&self) -> &'a Growing {
        self.growing
    }

    /// Returns what the transaction put, what that changes of the totals, and what it tells of.
    pub(super) fn into_writes(self) -> (Overlay, Vec<Move>, Vec<News>) {
        (self.own, self.moves, self.news)
    }

    /// Says whether the totals are kept.
    pub(super) fn is_counting(&self) -> bool {
        self.is_counting
    }

    /// Notes what the transaction changes of the totals.
    pub(super) fn count(&mut self, moved: Move) {
        if self.is_counting {
            self.moves.push(moved);
        }
    }

    /// Says whether webhooks are told.
    pub(super) fn is_telling(&self) -> bool {
        self.is_telling
    }

    /// Has webhooks told.
    pub(super) fn tell(&mut self, event: HookEvent, subject: Subject) {
        if self.is_telling {
            self.news.push(News { event, subject, grant: None });
        }
    }

    /// Has the callback of a grant told.
    pub(super) fn call_back(&mut self, grant: GrantId, event: HookEvent, subject: Subject) {
        self.news.push(News { event, subject, grant: Some(grant) });
    }

    /// Reads a value's bytes.
    pub(super) fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        match self.pending(key) {
            Some(pending) => Ok(pending.clone()),
            None => Ok(self.db.get(key).map_err(failed)?.map(|value| value.to_vec())),
        }
    }

    /// Reads a record.
    pub(super) fn find<R: Record>(&self, key: &[u8]) -> Result<Option<R>, StateError> {
        self.bytes(key)?.map(|bytes| codec::decode(&bytes)).transpose()
    }

    /// Reads a record that must be there.
    pub(super) fn get<R: Record>(&self, key: &[u8]) -> Result<R, StateError> {
        self.find(key)?.ok_or(StateError::Missing)
    }

    /// Puts a record.
    pub(super) fn put<R: Record>(&mut self, key: Vec<u8>, record: &R) -> Result<(), StateError> {
        self.put_bytes(key, codec::encode(record)?);
        Ok(())
    }

    /// Puts a value that isn't a record: an index entry or a secret.
    pub(super) fn put_bytes(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.own.insert(key, Some(value));
    }

    /// Removes a key, there or not.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.own.insert(key, None);
    }

    /// Returns the first key at or behind `from` that begins with `prefix`.
    pub(super) fn first(&self, prefix: &[u8], from: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let end = keys::behind(prefix);
        let mut from = prefix.max(from).to_vec();
        while from < end {
            let range = (Bound::Included(from.as_slice()), Bound::Excluded(end.as_slice()));
            let stored = match self.db.range::<&[u8], _>(range).next() {
                Some(entry) => Some(entry.map_err(failed)?.0.to_vec()),
                None => None,
            };
            let own = self.own.range::<[u8], _>(range).next().map(|(key, _)| key);
            let group = self.group.and_then(|group| group.range::<[u8], _>(range).next());
            let pending = own.into_iter().chain(group.map(|(key, _)| key)).min().cloned();
            let Some(key) = stored.into_iter().chain(pending).min() else { return Ok(None) };
            if self.pending(&key).is_none_or(Option::is_some) {
                return Ok(Some(key));
            }
            // Removed by a transaction that isn't written yet: look behind it.
            from = key;
            from.push(0);
        }
        Ok(None)
    }

    /// Returns all keys that begin with `prefix`, in order.
    pub(super) fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StateError> {
        let mut keys = Vec::new();
        let mut from = Vec::new();
        while let Some(key) = self.first(prefix, &from)? {
            from.clone_from(&key);
            from.push(0);
            keys.push(key);
        }
        Ok(keys)
    }

    /// Returns all entries.
    pub(super) fn all(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateError> {
        let stored = self.db.iter().map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            Ok((key.to_vec(), value.to_vec()))
        });
        let mut all: BTreeMap<_, _> = stored.collect::<Result<_, StateError>>()?;
        for (key, pending) in self.group.into_iter().flatten().chain(&self.own) {
            match pending {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        Ok(all)
    }

    fn pending(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.own.get(key).or_else(|| self.group.and_then(|group| group.get(key)))
    }
}

pub(super) fn failed(error: sled::Error) -> StateError {
    StateError::Failed(error.to_string())
}
