//! What isn't kept any longer, as the rules have it: originals of videos that are ready, and videos
//! that have been ready, or failed, for long enough.
//!
//! A cleaning finds what has fallen due. Where originals are kept until a video is ready, they go
//! as soon as it is; a cleaning takes those that were missed.

use super::clean::PAGE;
use super::{Janitor, JanitorError, report};
use crate::events::{EventKind, News};
use crate::ids::VideoId;
use crate::model::deed::Action;
use crate::model::keep::KeepOriginals;
use crate::state::VideoRecord;
use crate::units::UnixMillis;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What a cleaning goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// The time by which something is due.
    pub(super) now: UnixMillis,
    /// Until when nothing goes, because the clock isn't believed.
    pub(super) held_until: Option<UnixMillis>,
}

/// How long ago a video has become ready at most whose original a start drops.
const LATELY_MS: u64 = 2 * 3_600_000;

impl Janitor {
    /// Drops originals as soon as their videos are ready, where they are kept until then; ends when
    /// `stop` is cancelled. What fails is left to the next cleaning.
    pub async fn drop_originals(&self, stop: CancellationToken) {
        if self.keep != KeepOriginals::UntilReady {
            return stop.cancelled().await;
        }
        let mut all_news = self.hub.subscribe(None);
        report("dropping originals", self.drop_left(&stop).await);
        loop {
            let news = tokio::select! {
                () = stop.cancelled() => return,
                news = all_news.next() => news,
            };
            let Some(news) = news else { return stop.cancelled().await };
            let News::Event(event) = news else { continue };
            if event.kind == EventKind::VideoReady
                && let Some(video) = event.video
                && let Err(failed) = self.drop_original(video, self.clock.now()).await
            {
                warn!(video.id = %video, "the original of {video} stays for now: {failed}");
            }
        }
    }

    /// Drops the originals of videos that have become ready lately, which an earlier run may not
    /// have come to. Older ones have a cleaning's bounds.
    async fn drop_left(&self, stop: &CancellationToken) -> Result<(), JanitorError> {
        let mut after = None;
        while !stop.is_cancelled() {
            let page = self.read(move |state| state.video_page(after, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let now = self.clock.now();
            let is_late = |video: &&VideoRecord| {
                let age = video.ready_at.map_or(u64::MAX, |ready| now.ms_since(ready));
                age < LATELY_MS && self.is_original_due(video, now)
            };
            for video in page.iter().filter(is_late) {
                self.drop_original(video.id, now).await?;
            }
        }
        Ok(())
    }

    /// Says whether the original of a video isn't to be kept any longer by the rule.
    pub(super) fn is_original_due(&self, video: &VideoRecord, now: UnixMillis) -> bool {
        video.original_until(self.keep).is_some_and(|until| until <= now)
    }

    /// Drops the original of a video if it is due and nobody works with it; says whether it did.
    pub(super) async fn drop_original(
        &self,
        id: VideoId,
        now: UnixMillis,
    ) -> Result<bool, JanitorError> {
        let dropped = self.library.drop_original(id, self.keep, now).await?.is_some();
        if dropped {
            self.trail.note_server(Action::Expired, Some(id.to_string()));
        }
        Ok(dropped)
    }

    /// Returns the time by which something is due now, of two clocks the one that is behind: one
    /// that was set ahead mustn't have everything go at once.
    pub(super) async fn rules(&self) -> Result<Rules, JanitorError> {
        let now = self.clock.now().min(self.clock.wall());
        if self.keep == KeepOriginals::Always && self.retention.is_none() {
            return Ok(Rules { now, held_until: None });
        }
        let held_until = self.state.watch_rules(now).await?.held_until(now);
        if held_until.is_some() {
            warn!("the clock is more than a day on since the last look: nothing goes for a day");
        }
        Ok(Rules { now, held_until })
    }

    /// Moves a video whose time is over into the trash; says whether it did.
    pub(super) async fn expire(&self, id: VideoId, now: UnixMillis) -> Result<bool, JanitorError> {
        let is_gone = self.library.expire(id, self.retention, now).await?.is_some();
        if is_gone {
            self.trail.note_server(Action::Expired, Some(id.to_string()));
        }
        Ok(is_gone)
    }
}
