//! What was done in a stretch of time, in numbers that add up; of waits the longest counts.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// What was done; each number counts from the beginning of its stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Figures {
    /// Uploads that were finished.
    pub uploads: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Uploads that were given up, cancelled or refused.
    pub uploads_lost: u64,
    /// Films that were worked on to the end.
    pub films_done: u64,
    /// Films that failed for good.
    pub films_failed: u64,
    /// How long the finished films are together.
    pub film_seconds: f64,
    /// How long the work on them took, in the attempt that ended it.
    pub work_seconds: f64,
    /// How long the film that had waited longest did, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub waited_ms: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Figures {
    /// Says whether nothing was done.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.uploads = self.uploads.saturating_add(more.uploads);
        self.uploaded_bytes = self.uploaded_bytes.saturating_add(more.uploaded_bytes);
        self.uploads_lost = self.uploads_lost.saturating_add(more.uploads_lost);
        self.films_done = self.films_done.saturating_add(more.films_done);
        self.films_failed = self.films_failed.saturating_add(more.films_failed);
        self.film_seconds += more.film_seconds;
        self.work_seconds += more.work_seconds;
        self.waited_ms = self.waited_ms.max(more.waited_ms);
    }
}
