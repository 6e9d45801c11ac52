//! What a job on an upload that is under way hears of the upload.

use crate::units::Ranges;
use crate::upload::Arrived;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Least time between two pieces of news that a child gets.
const PACE: Duration = Duration::from_millis(50);

/// An upload that a job follows.
pub(super) struct Along {
    news: watch::Receiver<Arrived>,
    /// When something came last.
    came: Instant,
}

impl Along {
    /// Follows the upload behind `news`.
    pub(super) fn new(news: watch::Receiver<Arrived>) -> Self {
        Self { news, came: Instant::now() }
    }

    /// Returns what is here by now. What else is known by then is news still.
    pub(super) fn here(&self) -> Ranges {
        self.news.borrow().here.clone()
    }

    /// Waits until more is here; `None` if the upload has ended without having finished.
    ///
    /// # Cancel
    /// Safe.
    async fn more(&mut self) -> Option<Arrived> {
        sleep_until(self.came + PACE).await;
        let ended = self.news.changed().await.is_err();
        self.came = Instant::now();
        let arrived = self.news.borrow_and_update().clone();
        // The last word may have been heard as what was here at first.
        (!ended || arrived.finished).then_some(arrived)
    }

    /// Says whether nothing has come for so long.
    pub(super) fn is_stalled(&self, stall_ms: u64) -> bool {
        self.came.elapsed() >= Duration::from_millis(stall_ms)
    }
}

/// Waits until more of an upload is here, if one is followed; otherwise for ever.
///
/// # Cancel
/// Safe.
pub(super) async fn more(along: &mut Option<Along>) -> Option<Arrived> {
    match along {
        Some(along) => along.more().await,
        None => std::future::pending().await,
    }
}
