//! Filling an empty database from what lies beside the bytes.

use super::{Janitor, JanitorError};
use crate::disk::{Disk, DiskError, Facts};
use crate::ids::{JobId, Owner, VideoId};
use crate::model::manifest::{Manifest, Rung};
use crate::model::rendition::RenditionState;
use crate::model::text::TextTrack;
use crate::model::video::{VideoState, Visibility};
use crate::state::{JobRecord, RenditionRecord, TrashRecord, VideoRecord};
use crate::units::{ByteCount, UnixMillis};
use tracing::{info, warn};

/// Who has what nobody is known to have: only admins see it.
const NOBODY: &str = "unknown";

/// How long a deleted video is kept whose time isn't known any more.
const TRASH_FOR_MS: u64 = 7 * 24 * 3_600_000;

/// What a rebuild brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Videos that can be played as they are.
    pub ready: usize,
    /// Videos whose work is queued anew.
    pub queued: usize,
    /// Videos that were deleted and can be restored.
    pub trashed: usize,
    /// Partial uploads, to be sent again from their start.
    pub uploads: usize,
    /// Files that told nothing usable; they are left where they are.
    pub skipped: usize,
}

impl Janitor {
    /// Fills an empty database from the files: videos from what lies beside their originals and
    /// media, partial uploads from their descriptions. To be run before [`Janitor::start`].
    ///
    /// What of a partial upload was confirmed is known only to the database, so it begins anew
    /// under its old address. What has lost its description comes back private.
    ///
    /// # Errors
    /// Whatever keeps the state or the disk from being read or written. May be run again.
    pub async fn rebuild(&self) -> Result<Rebuilt, JanitorError> {
        let mut rebuilt = Rebuilt::default();
        for video in self.blocking(|disk| disk.originals()).await? {
            if self.state.video(video)?.is_some() || !self.is_whole(video).await? {
                continue;
            }
            match self.adopt(video, None).await? {
                VideoState::Ready => rebuilt.ready += 1,
                _ => rebuilt.queued += 1,
            }
        }
        for video in self.blocking(|disk| disk.trashes()).await? {
            rebuilt.trashed += usize::from(self.adopt_trashed(video).await?);
        }
        for id in self.blocking(|disk| disk.uploads()).await? {
            let read = self.blocking(move |disk| match disk.open_blob(id) {
                Ok(_) => disk.upload_meta(id),
                Err(DiskError::Missing) => Ok(None),
                Err(failed) => Err(failed),
            });
            match read.await {
                Ok(Some(meta)) => {
                    rebuilt.uploads += usize::from(self.uploads.adopt(meta).await?);
                }
                Ok(None) => (),
                Err(JanitorError::Disk(
                    DiskError::Unreadable { reason, .. } | DiskError::Locked { reason, .. },
                )) => {
                    warn!(upload.id = %id, "upload {id} can't be rebuilt: {reason}");
                    rebuilt.skipped += 1;
                }
                Err(failed) => return Err(failed),
            }
        }
        info!(?rebuilt, "rebuilt the database from the files");
        Ok(rebuilt)
    }

    /// Makes a record for a video of which only the trash knows; says whether it could be one.
    /// Where even the note of when it was deleted is lost, it is kept as long as if it were now.
    async fn adopt_trashed(&self, id: VideoId) -> Result<bool, JanitorError> {
        if self.state.video(id)?.is_some() || self.state.trashed(id)?.is_some() {
            return Ok(false);
        }
        let now = self.clock.now();
        let found = self.blocking(move |disk| disk.trashed(id)).await?;
        let facts = found.facts.filter(|facts| facts.video == id);
        let is_made = found.manifest.as_ref().is_some_and(|manifest| manifest.complete);
        let of_facts = facts.as_ref().filter(|_| is_made).map(|facts| facts.size);
        let Some(size) = found.size.or(of_facts) else { return Ok(false) };
        let mut video = described(id, size, facts, found.manifest, now);
        video.discarded = found.size.is_none();
        let (deleted_at, until) = match found.note.filter(|note| note.video == id) {
            Some(note) => (note.deleted_at, note.until),
            None => (now, now.plus_ms(TRASH_FOR_MS)),
        };
        self.state.adopt_trash(TrashRecord { video, deleted_at, until }).await?;
        Ok(true)
    }

    /// Makes a record for an original that has none, seen by whom `visibility` says or, without
    /// it, by whom its facts say; returns the state that the video is in then.
    pub(super) async fn adopt(
        &self,
        id: VideoId,
        visibility: Option<Visibility>,
    ) -> Result<VideoState, JanitorError> {
        let now = self.clock.now();
        let video = self.blocking(move |disk| {
            let size = match disk.original_size(id) {
                Err(DiskError::Missing) => None,
                size => Some(size?),
            };
            let of_facts = without_source(disk, id)?;
            let facts = readable(disk.facts(id))?.filter(|facts| facts.video == id);
            let manifest = readable(disk.manifest(id))?;
            let known = size.or(of_facts).ok_or(DiskError::Missing)?;
            let mut video = described(id, known, facts, manifest, now);
            video.discarded = size.is_none();
            video.visibility = visibility.unwrap_or(video.visibility);
            Ok(video)
        });
        let mut video = video.await?;
        let state = video.state;
        let job = (state == VideoState::Queued)
            .then(|| JobRecord::new(JobId::fresh(now), id, video.owner.clone(), now));
        video.job = job.as_ref().map(|job| job.id);
        self.state.adopt_video(video, job).await?;
        warn!(video.id = %id, "video {id} was taken in again from its files");
        Ok(state)
    }
}

/// Returns how large the original of a video was, if what lies beside it and all that was to be
/// made of it are there: such a video is whole without it.
pub(super) fn without_source(disk: &Disk, id: VideoId) -> Result<Option<ByteCount>, DiskError> {
    let facts = readable(disk.facts(id))?.filter(|facts| facts.video == id);
    let is_made = readable(disk.manifest(id))?.is_some_and(|manifest| manifest.complete);
    Ok(facts.filter(|_| is_made).map(|facts| facts.size))
}

/// Makes a record of an original of `size` and what lies beside it.
fn described(
    id: VideoId,
    size: ByteCount,
    facts: Option<Facts>,
    manifest: Option<Manifest>,
    now: UnixMillis,
) -> VideoRecord {
    let mut video = facts.map_or_else(|| nobodys(id, size, now), VideoRecord::from_facts);
    video.size = size;
    video.uploaded_at = video.uploaded_at.or(Some(now));
    if let Some(manifest) = manifest {
        publish(&mut video, manifest, now);
    }
    video
}

/// Takes a file that can't be understood for one that isn't there.
fn readable<T>(read: Result<Option<T>, DiskError>) -> Result<Option<T>, DiskError> {
    match read {
        Err(unreadable @ DiskError::Unreadable { .. }) => {
            warn!("{unreadable}");
            Ok(None)
        }
        read => read,
    }
}

/// Describes a video of which only the bytes are left.
fn nobodys(id: VideoId, size: ByteCount, now: UnixMillis) -> VideoRecord {
    VideoRecord {
        state: VideoState::Queued,
        title: id.to_string(),
        filename: "video".to_owned(),
        size,
        visibility: Visibility::Private,
        uploaded_at: Some(now),
        ..VideoRecord::new(id, Owner(NOBODY.to_owned()), now)
    }
}

/// Adds what the manifest tells of published rungs.
fn publish(video: &mut VideoRecord, manifest: Manifest, now: UnixMillis) {
    video.playable = manifest.is_playable();
    video.playable_at = video.playable.then_some(now);
    video.renditions = manifest.rungs.iter().map(rendition).collect();
    video.pictures = manifest.pictures();
    video.poster = manifest.poster;
    video.texts = manifest.texts.unwrap_or_default().iter().map(TextTrack::uncut).collect();
    video.captions = manifest.captions.iter().map(TextTrack::uncut).collect();
    video.chapters = manifest.chapters;
    video.warnings = manifest.warnings;
    video.formats = manifest.formats;
    if manifest.complete {
        if let Some(facts) = &mut video.facts {
            facts.duration = manifest.duration;
        }
        video.state = VideoState::Ready;
        video.ready_at = Some(now);
    }
}

fn rendition(rung: &Rung) -> RenditionRecord {
    let timescale = u128::from(rung.timescale);
    let peak = rung.segments.iter().filter(|segment| segment.ticks > 0).map(|segment| {
        let bits = u128::from(segment.bytes) * 8 * timescale / u128::from(segment.ticks);
        u64::try_from(bits).unwrap_or(u64::MAX)
    });
    RenditionRecord {
        plan: rung.plan.clone(),
        state: if rung.complete { RenditionState::Ready } else { RenditionState::Pending },
        generation: rung.generation,
        codecs: Some(rung.codecs.clone()),
        bandwidth: peak.max(),
    }
}
