//! The keys with which this server signs, in rings: a new key signs from now on, and what others in
//! the ring have signed goes on counting until they are dropped. They are kept in memory, so that a
//! segment or a part doesn't cost a look into the database.

use super::Access;
use crate::state::{Ring, RingChange, StateError};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;

/// What the keys of a ring sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signs {
    /// Playback tokens.
    Playback,
    /// Addresses of parts of uploads.
    PartUrls,
    /// Sessions' cookies, and those by which browsers are known.
    Sessions,
}

impl Signs {
    /// Returns what the ring is called in the database.
    fn ring(self) -> &'static str {
        match self {
            Self::Playback => "playback",
            Self::PartUrls => "parts",
            Self::Sessions => "session",
        }
    }
}

/// The rings, once they were read.
#[derive(Debug, Default)]
pub(super) struct Rings {
    playback: Keys,
    part_urls: Keys,
    sessions: Keys,
}

/// The keys of one ring.
#[derive(Debug, Default)]
struct Keys {
    ring: RwLock<Option<Arc<Ring>>>,
    /// One change at a time, so that what is known is what was written last.
    turn: Mutex<()>,
}

impl Rings {
    fn of(&self, signs: Signs) -> &Keys {
        match signs {
            Signs::Playback => &self.playback,
            Signs::PartUrls => &self.part_urls,
            Signs::Sessions => &self.sessions,
        }
    }
}

impl Access {
    /// Changes the keys that sign something, and returns their numbers, the newest last: the
    /// seconds since 1970 at which they were made. What a key has signed that is gone doesn't
    /// count.
    ///
    /// # Errors
    /// `State`.
    pub async fn change_keys(
        &self,
        signs: Signs,
        change: RingChange,
    ) -> Result<Vec<u32>, StateError> {
        let ring = self.ring(signs, change).await?;
        Ok(ring.iter().map(|(number, _)| *number).collect())
    }

    /// Returns the keys that sign something as they are now; there is always one.
    pub(super) async fn keys(&self, signs: Signs) -> Result<Arc<Ring>, StateError> {
        self.ring(signs, RingChange::None).await
    }

    async fn ring(&self, signs: Signs, change: RingChange) -> Result<Arc<Ring>, StateError> {
        let keys = self.inner.rings.of(signs);
        if change == RingChange::None {
            let known = keys.ring.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(ring) = known {
                return Ok(ring);
            }
        }
        let _turn = keys.turn.lock().await;
        let now = self.inner.clock.now();
        let ring = Arc::new(self.inner.state.secret_ring(signs.ring(), change, now).await?);
        *keys.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ring));
        Ok(ring)
    }
}

/// Returns the key of a ring that signs.
pub(super) fn newest(ring: &Ring) -> Result<&(u32, [u8; 32]), StateError> {
    ring.last().ok_or_else(|| StateError::Unreadable("a ring without a key".to_owned()))
}
