//! One run at a time for each video, within this process.
//!
//! Epochs keep a late run from the records; this keeps it from the files. A run whose lease has
//! passed on may still be publishing its last segment or removing its scratch when the next
//! attempt at the same video is claimed: the next one waits until it has let go.

use crate::ids::VideoId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// Who works on which video. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Turns {
    videos: Arc<Mutex<HashMap<VideoId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Turns {
    /// Waits until no other run works on `video`; the turn lasts until the guard is dropped.
    pub(super) async fn take(&self, video: VideoId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut videos = self.videos.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody holds or waits for is forgotten, so the map is as small as the work.
            videos.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(videos.entry(video).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::UnixMillis;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// A second run on a video waits for the first; another video doesn't; nothing is kept.
    #[tokio::test]
    async fn a_video_has_one_run() {
        let turns = Turns::default();
        let [film, other] = [VideoId::fresh(UnixMillis(1)), VideoId::fresh(UnixMillis(2))];
        let first = turns.take(film).await;
        let mut second = pin!(turns.take(film));
        let mut idle = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut idle).is_pending());
        drop(turns.take(other).await);
        drop(first);
        let Poll::Ready(second) = second.as_mut().poll(&mut idle) else {
            panic!("the turn is free");
        };
        drop(second);
        drop(turns.take(other).await);
        assert_eq!(turns.videos.lock().expect("nobody panicked").len(), 1);
    }
}
