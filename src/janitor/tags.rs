//! Encrypted originals get the tags of their blocks once they are finished: from then on what the
//! disk or somebody changes in them is found out.

use super::Janitor;
use crate::disk::DiskError;
use crate::ids::VideoId;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Time until what failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

impl Janitor {
    /// Makes tags until `stop` is cancelled: of the originals that an earlier run has left without,
    /// then of each that is finished, one after the other. What fails is tried again.
    pub async fn tag_originals(&self, stop: CancellationToken) {
        let mut failed = BTreeSet::new();
        while !stop.is_cancelled() {
            let looked = self.blocking(|disk| disk.untagged()).await;
            let mut videos = looked.unwrap_or_else(|cause| {
                warn!("looking for originals without tags failed: {cause}");
                BTreeSet::new()
            });
            videos.append(&mut failed);
            for video in videos {
                if !self.tag_original(video, &stop).await {
                    failed.insert(video);
                }
            }
            let again = async {
                match failed.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(AGAIN).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.disk.untagged_noted() => {}
                () = again => {}
            }
        }
    }

    /// Makes the tags of one original, unless it has some; false if it is to be tried again.
    async fn tag_original(&self, video: VideoId, stop: &CancellationToken) -> bool {
        let until = stop.clone();
        let made = self.blocking(move |disk| {
            match disk.tag_original(video, || !until.is_cancelled()) {
                // Its key comes with another start, if at all; its readers are told.
                Err(cause @ DiskError::Locked { .. }) => {
                    warn!(video.id = %video, "the tags of {video} can't be made: {cause}");
                    Ok(false)
                }
                // It was deleted.
                Err(DiskError::Missing) => Ok(false),
                made => made,
            }
        });
        match made.await {
            Ok(true) => debug!(video.id = %video, "the original of {video} has its tags"),
            Ok(false) => {}
            Err(cause) => {
                warn!(video.id = %video, "the tags of {video} aren't made for now: {cause}");
                return false;
            }
        }
        true
    }
}
