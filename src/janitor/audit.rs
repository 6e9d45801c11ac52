//! The storage audit: who has how much of what on the disk, and what doesn't fit together.
//!
//! It walks through records and directories a page at a time, and keeps nothing but sums: one for
//! each owner. It may take minutes with many videos, so it runs by itself and the last one is kept.

use super::clean::PAGE;
use super::{Janitor, JanitorError};
use crate::disk::{Area, Disk, DiskError, MediaWeight, Weight};
use crate::ids::{Owner, VideoId};
use crate::model::video::VideoState;
use crate::state::VideoRecord;
use crate::units::UnixMillis;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Owners that an audit names, those with most bytes; the others are summed up.
pub const OWNERS_MAX: usize = 1_000;

/// Examples that are kept of what doesn't fit together.
const EXAMPLES_MAX: usize = 20;

/// An audit that takes longer ends where it is.
const TIME_MAX_MS: u64 = 30 * 60_000;

/// An audit as old as this is made anew for who asks.
const FRESH_MS: u64 = 10 * 60_000;

/// How long somebody who asks waits for a new one.
const PATIENCE: Duration = Duration::from_secs(20);

/// What somebody has on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Bytes of uploads under way.
    pub uploads: Weight,
    /// Finished sources, and what lies beside them.
    pub originals: Weight,
    /// Published qualities.
    pub renditions: Weight,
    /// Pictures.
    pub pictures: Weight,
    /// Text tracks.
    pub texts: Weight,
    /// Deleted videos.
    pub trash: Weight,
}

impl Holdings {
    fn media(&mut self, weight: MediaWeight) {
        self.renditions += weight.renditions;
        self.pictures += weight.pictures;
        self.texts += weight.texts;
    }

    fn add(&mut self, other: &Self) {
        self.uploads += other.uploads;
        self.originals += other.originals;
        self.renditions += other.renditions;
        self.pictures += other.pictures;
        self.texts += other.texts;
        self.trash += other.trash;
    }

    /// Returns the bytes of all kinds.
    pub fn bytes(&self) -> u64 {
        let kinds = [self.uploads, self.originals, self.renditions, self.pictures, self.texts];
        kinds.iter().map(|kind| kind.bytes).sum::<u64>().saturating_add(self.trash.bytes)
    }
}

/// How many of something there are, with a few of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strange {
    /// How many.
    pub count: u64,
    /// Their bytes, where they have some.
    pub bytes: u64,
    /// Ids of the first few.
    pub examples: Vec<String>,
}

impl Strange {
    fn note(&mut self, id: impl ToString, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(id.to_string());
        }
    }
}

/// What was found at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended.
    pub finished_at: UnixMillis,
    /// It saw everything; otherwise its time was over before.
    pub complete: bool,
    /// Everybody together.
    pub total: Holdings,
    /// The owners with most bytes, those first.
    pub owners: Vec<(Owner, Holdings)>,
    /// How many more owners there are, and what they have.
    pub others: (usize, Holdings),
    /// What jobs work with.
    pub work: Weight,
    /// Bytes on disk that no record knows.
    pub orphans: Strange,
    /// Videos whose original isn't there.
    pub missing_originals: Strange,
    /// Videos whose original is there, and isn't as long as it came or can't be decrypted.
    pub unreadable_originals: Strange,
    /// Ready videos of which published files aren't there.
    pub missing_media: Strange,
}

/// The audit that is known.
#[derive(Clone, Debug, Default)]
pub struct LastAudit {
    /// The last one that has ended.
    pub audit: Option<Arc<Audit>>,
    /// Another one is under way.
    pub is_running: bool,
}

/// An audit on its way.
#[derive(Debug, Default)]
struct Auditing {
    owners: HashMap<Owner, Holdings>,
    orphans: Strange,
    missing_originals: Strange,
    unreadable_originals: Strange,
    missing_media: Strange,
    work: Weight,
}

impl Janitor {
    /// Returns the last audit if it is young enough, and otherwise, or if `anew`, begins another
    /// one and waits for it for a while.
    pub async fn audit(&self, anew: bool) -> LastAudit {
        let mut news = self.audits.subscribe();
        let now = self.clock.now();
        let begins = self.audits.send_if_modified(|last| {
            let is_fresh = |it: &Arc<Audit>| now.ms_since(it.finished_at) < FRESH_MS;
            let begins = !last.is_running && (anew || !last.audit.as_ref().is_some_and(is_fresh));
            last.is_running |= begins;
            begins
        });
        if begins {
            let janitor = self.clone();
            tokio::spawn(async move { janitor.audit_now().await });
        }
        let ended = news.wait_for(|last| !last.is_running);
        let last = tokio::time::timeout(PATIENCE, ended).await;
        match last {
            Ok(Ok(last)) => last.clone(),
            _ => self.audits.borrow().clone(),
        }
    }

    async fn audit_now(&self) {
        let made = self.look_at_everything().await;
        self.audits.send_modify(|last| {
            last.is_running = false;
            match made {
                Ok(audit) => last.audit = Some(Arc::new(audit)),
                Err(failed) => warn!("the storage audit failed: {failed}"),
            }
        });
    }

    async fn look_at_everything(&self) -> Result<Audit, JanitorError> {
        let started_at = self.clock.now();
        let mut auditing = Auditing::default();
        let complete = self.audit_videos(&mut auditing, started_at).await?
            && self.audit_trash(&mut auditing, started_at).await?
            && self.audit_uploads(&mut auditing).await?
            && self.audit_orphans(&mut auditing, started_at).await?;
        let works = self.blocking(|disk| {
            let mut all = Weight::default();
            for job in disk.works()?.into_iter().chain(disk.handed()?) {
                all += disk.weigh_work(job)?;
            }
            Ok(all)
        });
        auditing.work = works.await?;
        Ok(auditing.done(started_at, self.clock.now(), complete))
    }

    fn has_time(&self, started_at: UnixMillis) -> bool {
        self.clock.now().ms_since(started_at) < TIME_MAX_MS
    }

    async fn audit_videos(
        &self,
        auditing: &mut Auditing,
        started_at: UnixMillis,
    ) -> Result<bool, JanitorError> {
        let mut after = None;
        while self.has_time(started_at) {
            let page = self.read(move |state| state.video_page(after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(true) };
            after = Some(last.id);
            let seen = self.blocking(move |disk| {
                page.into_iter().map(|video| look_at(disk, &video).map(|it| (video, it))).collect()
            });
            let seen: Vec<(VideoRecord, Seen)> = seen.await?;
            for (video, seen) in seen {
                auditing.video(video, seen);
            }
            tokio::task::yield_now().await;
        }
        Ok(false)
    }

    async fn audit_trash(
        &self,
        auditing: &mut Auditing,
        started_at: UnixMillis,
    ) -> Result<bool, JanitorError> {
        let mut before = None;
        while self.has_time(started_at) {
            let page = self.read(move |state| state.all_trashed(before, PAGE, &|_| true)).await?;
            let Some(last) = page.last() else { return Ok(true) };
            before = Some(last.video.id);
            for trashed in page {
                let id = trashed.video.id;
                let weight = self.blocking(move |disk| disk.weigh_trash(id)).await?;
                auditing.of(trashed.video.owner).trash += weight;
            }
        }
        Ok(false)
    }

    async fn audit_uploads(&self, auditing: &mut Auditing) -> Result<bool, JanitorError> {
        let open = self.read(|state| state.unfinished_uploads()).await?;
        for upload in open.into_iter().filter(|upload| upload.state.is_under_way()) {
            let id = upload.id;
            let weight = self.blocking(move |disk| disk.weigh_upload(id)).await?;
            auditing.of(upload.owner).uploads += weight;
        }
        Ok(true)
    }

    /// Adds up what no record knows.
    async fn audit_orphans(
        &self,
        auditing: &mut Auditing,
        started_at: UnixMillis,
    ) -> Result<bool, JanitorError> {
        for area in [Area::Originals, Area::Media] {
            for shard in self.blocking(move |disk| disk.shards(area)).await? {
                let ids: Vec<VideoId> =
                    self.blocking(move |disk| disk.videos_in(area, &shard)).await?;
                for id in ids {
                    if self.state.video(id)?.is_some() || self.state.trashed(id)?.is_some() {
                        continue;
                    }
                    let weight = self.blocking(move |disk| match area {
                        Area::Media => Ok(disk.weigh_media(id)?.all()),
                        _ => disk.weigh_original(id),
                    });
                    auditing.orphans.note(id, weight.await?.bytes);
                }
                if !self.has_time(started_at) {
                    return Ok(false);
                }
            }
        }
        for shard in self.blocking(|disk| disk.shards(Area::Uploads)).await? {
            for id in self.blocking(move |disk| disk.uploads_in(&shard)).await? {
                if self.state.upload(id)?.is_none_or(|upload| upload.state.is_gone()) {
                    let weight = self.blocking(move |disk| disk.weigh_upload(id)).await?;
                    auditing.orphans.note(id, weight.bytes);
                }
            }
        }
        Ok(true)
    }
}

/// What was seen of a video's files.
struct Seen {
    original: Weight,
    media: MediaWeight,
    lacks_original: bool,
    is_unreadable: bool,
    lacks_media: bool,
}

fn look_at(disk: &Disk, video: &VideoRecord) -> Result<Seen, DiskError> {
    let is_kept = video.uploaded_at.is_some() && !video.discarded;
    let rungs: Vec<String> = video.renditions.iter().map(super::clean::directory_of).collect();
    let is_published = video.state == VideoState::Ready && !rungs.is_empty();
    Ok(Seen {
        original: disk.weigh_original(video.id)?,
        media: disk.weigh_media(video.id)?,
        lacks_original: is_kept && !disk.has_original(video.id)?,
        is_unreadable: is_kept && is_unreadable(disk, video)?,
        lacks_media: is_published && !disk.has_media(video.id, &rungs)?,
    })
}

/// Says whether an original that is there can't be had as it came. Its bytes aren't read for that.
fn is_unreadable(disk: &Disk, video: &VideoRecord) -> Result<bool, DiskError> {
    match disk.open_original(video.id) {
        Ok(original) => Ok(original.size() != video.size),
        Err(DiskError::Locked { .. } | DiskError::Damaged { .. }) => Ok(true),
        Err(DiskError::Missing) => Ok(false),
        Err(failed) => Err(failed),
    }
}

impl Auditing {
    fn of(&mut self, owner: Owner) -> &mut Holdings {
        self.owners.entry(owner).or_default()
    }

    fn video(&mut self, video: VideoRecord, seen: Seen) {
        let id = video.id;
        let holdings = self.of(video.owner);
        holdings.originals += seen.original;
        holdings.media(seen.media);
        if seen.lacks_original {
            self.missing_originals.note(id, 0);
        }
        if seen.is_unreadable {
            self.unreadable_originals.note(id, 0);
        }
        if seen.lacks_media {
            self.missing_media.note(id, 0);
        }
    }

    fn done(self, started_at: UnixMillis, finished_at: UnixMillis, complete: bool) -> Audit {
        let mut total = Holdings::default();
        let mut owners: Vec<(Owner, Holdings)> = self.owners.into_iter().collect();
        owners.iter().for_each(|(_, holdings)| total.add(holdings));
        owners.sort_by(|(one, a), (other, b)| (b.bytes(), one).cmp(&(a.bytes(), other)));
        let mut others = (owners.len().saturating_sub(OWNERS_MAX), Holdings::default());
        owners.drain(OWNERS_MAX.min(owners.len())..).for_each(|(_, it)| others.1.add(&it));
        Audit {
            started_at,
            finished_at,
            complete,
            total,
            owners,
            others,
            work: self.work,
            orphans: self.orphans,
            missing_originals: self.missing_originals,
            unreadable_originals: self.unreadable_originals,
            missing_media: self.missing_media,
        }
    }
}
