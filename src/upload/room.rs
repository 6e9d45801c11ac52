//! Room on the disk that was promised and isn't used yet.
//!
//! An upload's declared length is counted from its creation on, so that ten films for which there
//! is room one by one aren't all begun. What is kept free is never promised. Bytes that have come,
//! or that the file system has set aside for the file, are the file system's to count.

use crate::config::Reserve;
use crate::disk::Space;
use crate::ids::UploadId;
use crate::units::{ByteCount, ByteOffset};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What open uploads have announced. One entry an open upload, as many as there are records.
#[derive(Debug)]
pub(super) struct Room {
    reserve: Reserve,
    promises: Mutex<HashMap<UploadId, Promise>>,
}

/// The part of a file that is still to come: from `covered` to `until`.
#[derive(Clone, Copy, Debug)]
struct Promise {
    covered: u64,
    until: u64,
}

impl Promise {
    fn open(self) -> u64 {
        self.until.saturating_sub(self.covered)
    }
}

impl Room {
    pub(super) fn new(reserve: Reserve) -> Self {
        Self { reserve, promises: Mutex::default() }
    }

    /// Promises the bytes `from..until` to the upload if there is room for them; says whether.
    /// Nothing is taken while the reserve is touched, not even what was promised.
    pub(super) fn admit(
        &self,
        id: UploadId,
        from: ByteOffset,
        until: ByteOffset,
        space: Space,
    ) -> bool {
        let mut promises = self.promises();
        let own = promises.get(&id).copied();
        if !self.is_whole(space) || own.is_some_and(|own| own.until >= until.0) {
            return self.is_whole(space);
        }
        let covered = own.map_or(from.0, |own| own.covered.max(from.0));
        let wanted = Promise { covered, until: until.0 };
        let others = total(&promises) - own.map_or(0, Promise::open);
        let kept = self.reserve.of(space.total).0;
        let free = space.free.0.saturating_sub(kept).saturating_sub(others);
        if wanted.open() > free {
            return false;
        }
        if wanted.open() > 0 {
            promises.insert(id, wanted);
        }
        true
    }

    /// Says whether what is kept free is still free.
    pub(super) fn is_whole(&self, space: Space) -> bool {
        space.free > self.reserve.of(space.total)
    }

    /// Takes over a promise made before a restart.
    pub(super) fn renew(&self, id: UploadId, from: ByteOffset, until: ByteOffset) {
        self.promises().insert(id, Promise { covered: from.0, until: until.0 });
    }

    /// Notes that the file system counts the upload's bytes up to `to` by itself.
    pub(super) fn cover(&self, id: UploadId, to: ByteOffset) {
        if let Some(promise) = self.promises().get_mut(&id) {
            promise.covered = promise.covered.max(to.0);
        }
    }

    /// Returns up to where the file system counts the upload's bytes by itself, as far as is known.
    pub(super) fn covered(&self, id: UploadId) -> ByteOffset {
        ByteOffset(self.promises().get(&id).map_or(0, |promise| promise.covered))
    }

    /// Forgets an upload that has ended.
    pub(super) fn forget(&self, id: UploadId) {
        self.promises().remove(&id);
    }

    /// Returns the uploads that were promised room.
    pub(super) fn promised(&self) -> Vec<UploadId> {
        self.promises().keys().copied().collect()
    }

    /// Returns all that is promised and hasn't come.
    pub(super) fn open_total(&self) -> ByteCount {
        ByteCount(total(&self.promises()))
    }

    fn promises(&self) -> MutexGuard<'_, HashMap<UploadId, Promise>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.promises.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sums what is open. There are thousands at most, and only creations ask.
fn total(promises: &HashMap<UploadId, Promise>) -> u64 {
    promises.values().map(|promise| promise.open()).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;

    fn space(free: u64) -> Space {
        Space { free: ByteCount(free), total: ByteCount(1000) }
    }

    /// Room is promised once: to those that ask first, never from what is kept free.
    #[test]
    fn room_is_promised_once() {
        let room = Room::new(Reserve::Percent(10.0));
        let [a, b, c] = [1, 2, 3].map(|n| UploadId::fresh(UnixMillis(n)));
        let admit = |id, bytes, free| room.admit(id, ByteOffset(0), ByteOffset(bytes), space(free));
        assert!(admit(a, 500, 1000));
        assert!(!admit(b, 401, 1000), "a tenth is kept free");
        assert!(admit(b, 400, 1000));
        assert!(!admit(c, 1, 1000));
        room.cover(a, ByteOffset(300));
        assert_eq!((room.covered(a), room.covered(c)), (ByteOffset(300), ByteOffset(0)));
        assert!(!admit(c, 1, 700), "what has come is counted by the file system");
        assert!(admit(c, 1, 701));
        assert!(admit(a, 500, 101), "what was promised is kept");
        assert!(!admit(a, 500, 100), "but not at the cost of the reserve");
        room.forget(a);
        assert_eq!(room.open_total(), ByteCount(401));
        room.forget(b);
        assert_eq!(room.promised(), [c]);
        assert_eq!(room.open_total(), ByteCount(1));
        room.renew(a, ByteOffset(10), ByteOffset(15));
        assert_eq!(room.open_total(), ByteCount(6));
    }

    /// An unknown length is taken while the reserve is whole.
    #[test]
    fn unknown_lengths_need_the_reserve_only() {
        let room = Room::new(Reserve::Bytes(ByteCount(100)));
        let id = UploadId::fresh(UnixMillis(1));
        let admit = |free| room.admit(id, ByteOffset(7), ByteOffset(7), space(free));
        assert!(admit(101) && !admit(100));
        assert!(room.is_whole(space(101)) && !room.is_whole(space(100)));
        assert_eq!(room.open_total(), ByteCount(0));
    }
}
