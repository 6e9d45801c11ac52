//! Publishing: finished files of a child become what players can fetch.
//!
//! The manifest is the truth; playlists are made from it and replaced by rename. A rung that an
//! earlier attempt left half done stays in the manifest until the new generation has caught up,
//! so nothing that could be played disappears.

use crate::disk::{Disk, DiskError};
use crate::ids::{Epoch, JobId, VideoId};
use crate::media::{dash, playlist};
use crate::model::extra::{Extra, ExtraKind};
use crate::model::manifest::{
    INIT_FILE, KEY_PLAYLIST_FILE, MEDIA_PLAYLIST_FILE, Manifest, Rung, Segment, segment_file,
};
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::units::UnixMillis;

/// Least time between two rewrites of the same playlists while segments pour in.
const REWRITE_MS: u64 = 400;

/// The published files of one video while one job adds to them. Every method blocks on the disk.
pub(super) struct Publisher {
    disk: Disk,
    video: VideoId,
    job: JobId,
    epoch: Epoch,
    /// Of this attempt's rungs: higher than any before, also of another job on the video, so that
    /// what was served under an address never changes.
    generation: Epoch,
    began: UnixMillis,
    plan: Vec<RenditionPlan>,
    manifest: Manifest,
    /// Rungs of this attempt, in the order in which they started.
    fresh: Vec<Rung>,
    /// Names of fresh rungs whose playlists on disk are behind.
    behind: Vec<String>,
    rewritten: UnixMillis,
}

/// A report that doesn't fit what the child said before.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The child contradicts itself.
    #[error("the worker reported {0}")]
    Nonsense(&'static str),
    /// The manifest can't be written as JSON.
    #[error("manifest: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Publisher {
    /// Goes on from what earlier attempts published.
    pub(super) fn open(
        disk: Disk,
        video: VideoId,
        job: JobId,
        epoch: Epoch,
        now: UnixMillis,
    ) -> Result<Self, PublishError> {
        let manifest = disk.manifest(video)?.unwrap_or_else(|| Manifest::empty(0.0, Vec::new()));
        let used = disk.rungs(video)?.iter().filter_map(|rung| generation_of(rung)).max();
        let generation = used.map_or(epoch, |used| epoch.max(used.next()));
        Ok(Self {
            disk,
            video,
            job,
            epoch,
            generation,
            began: now,
            plan: Vec::new(),
            manifest,
            fresh: Vec::new(),
            behind: Vec::new(),
            rewritten: UnixMillis(0),
        })
    }

    /// Returns the rungs that are complete on disk; no attempt makes them again.
    pub(super) fn complete(&self) -> Vec<Rung> {
        self.manifest.rungs.iter().filter(|rung| rung.complete).cloned().collect()
    }

    /// Returns what earlier attempts made beside the rungs.
    pub(super) fn extras(&self) -> Vec<ExtraKind> {
        self.manifest.extras()
    }

    /// Takes the plan that the probe led to.
    pub(super) fn planned(&mut self, duration: f64, plan: Vec<RenditionPlan>) {
        let mut kinds: Vec<RenditionKind> = plan.iter().map(|rung| rung.kind).collect();
        kinds.sort_by_key(|kind| *kind == RenditionKind::Audio);
        kinds.dedup();
        self.manifest.duration = duration;
        self.manifest.kinds = kinds;
        self.manifest.complete = false;
        // A rung that isn't planned any more (the ladder's settings changed) ends here.
        self.manifest.rungs.retain(|rung| plan.iter().any(|p| p.name == rung.plan.name));
        self.plan = plan;
    }

    /// Publishes an extra: its files are synced before the manifest names it.
    pub(super) fn extra(&mut self, extra: Extra) -> Result<(), PublishError> {
        for file in extra.files() {
            self.disk.publish(self.job, self.epoch, &file, self.video, &file, true)?;
        }
        self.manifest.note(extra);
        self.write_manifest(true)
    }

    /// Publishes a rung's set-up file; the rung is named to players with its first segment.
    pub(super) fn started(
        &mut self,
        name: &str,
        codecs: String,
        timescale: u32,
        target_ms: u32,
    ) -> Result<(), PublishError> {
        let plan = self.plan.iter().find(|plan| plan.name == name);
        let plan = plan.ok_or(PublishError::Nonsense("a rendition that wasn't planned"))?.clone();
        if self.fresh.iter().any(|rung| rung.plan.name == name) {
            return Err(PublishError::Nonsense("the same rendition twice"));
        }
        let rung = Rung {
            plan,
            generation: self.generation,
            codecs,
            timescale,
            target_ms,
            complete: false,
            segments: Vec::new(),
        };
        self.move_file(&rung, INIT_FILE)?;
        self.fresh.push(rung);
        Ok(())
    }

    /// Publishes a segment. Returns whether the video has become playable by it.
    pub(super) fn segment(
        &mut self,
        name: &str,
        number: u32,
        segment: Segment,
        now: UnixMillis,
    ) -> Result<bool, PublishError> {
        let at = self.fresh_index(name)?;
        if self.fresh[at].segments.len() + 1 != number as usize {
            return Err(PublishError::Nonsense("a segment out of order"));
        }
        self.move_file(&self.fresh[at], &segment_file(number as usize))?;
        self.fresh[at].segments.push(segment);
        self.mark_behind(name);
        let was_playable = self.manifest.is_playable();
        self.take_over(at);
        let playable_now = !was_playable && self.manifest.is_playable();
        if playable_now || number == 1 || now.ms_since(self.rewritten) >= REWRITE_MS {
            self.rewrite(now)?;
        }
        Ok(playable_now)
    }

    /// Completes a rung: its files are synced before its last playlist names them.
    ///
    /// Returns the rung, and whether the video has become playable by it.
    pub(super) fn completed(
        &mut self,
        name: &str,
        now: UnixMillis,
    ) -> Result<(Rung, bool), PublishError> {
        let at = self.fresh_index(name)?;
        if self.fresh[at].segments.is_empty() {
            return Err(PublishError::Nonsense("a rendition without a segment"));
        }
        self.fresh[at].complete = true;
        let rung = self.fresh[at].clone();
        self.behind.retain(|behind| behind != name);
        self.write_media_playlist(&rung)?;
        // No manifest on disk may call a rung complete before its bytes are: after a power cut a
        // later attempt would skip it.
        self.disk.sync_rung(self.video, &rung.directory())?;
        let was_playable = self.manifest.is_playable();
        self.take_over(at);
        self.rewrite(now)?;
        self.write_manifest(true)?;
        Ok((rung, !was_playable && self.manifest.is_playable()))
    }

    /// Rewrites what is behind if it is due. Called on every tick of the job's timer.
    pub(super) fn tick(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        if !self.behind.is_empty() && now.ms_since(self.rewritten) >= REWRITE_MS {
            self.rewrite(now)?;
        }
        Ok(())
    }

    /// Ends the growth: playlists become final, and generations that nobody names are removed.
    pub(super) fn finish(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        let planned = self.plan.len();
        let complete = self.manifest.rungs.iter().filter(|rung| rung.complete).count();
        if complete < planned || planned == 0 {
            return Err(PublishError::Nonsense("the end before all renditions were complete"));
        }
        self.manifest.complete = true;
        self.write_indexes(now, true)?;
        self.write_manifest(true)?;
        let kept: Vec<String> = self.manifest.rungs.iter().map(Rung::directory).collect();
        for directory in self.disk.rungs(self.video)? {
            if !kept.contains(&directory) {
                self.disk.remove_rung(self.video, &directory)?;
            }
        }
        Ok(())
    }

    /// Returns how much of each rung can be played, as shares of the source's length.
    pub(super) fn shares(&self) -> Vec<(String, f64)> {
        let length = self.manifest.duration.max(0.001);
        let share = |plan: &RenditionPlan| {
            let rungs = self.manifest.rungs.iter().chain(&self.fresh);
            let rung = rungs.filter(|rung| rung.plan.name == plan.name);
            let best = rung
                .map(|rung| if rung.complete { 1.0 } else { (rung.seconds() / length).min(0.99) })
                .fold(0.0, f64::max);
            (plan.name.clone(), best)
        };
        self.plan.iter().map(share).collect()
    }

    fn fresh_index(&self, name: &str) -> Result<usize, PublishError> {
        let found = self.fresh.iter().position(|rung| rung.plan.name == name);
        found.ok_or(PublishError::Nonsense("a segment of a rendition that hasn't started"))
    }

    fn mark_behind(&mut self, name: &str) {
        if !self.behind.iter().any(|behind| behind == name) {
            self.behind.push(name.to_owned());
        }
    }

    fn move_file(&self, rung: &Rung, file: &str) -> Result<(), PublishError> {
        let from = format!("{}/{file}", rung.plan.name);
        let to = format!("{}/{file}", rung.directory());
        Ok(self.disk.publish(self.job, self.epoch, &from, self.video, &to, false)?)
    }

    /// Puts a fresh rung into the manifest unless an older generation still has more to play.
    fn take_over(&mut self, at: usize) {
        let fresh = &self.fresh[at];
        match self.manifest.rungs.iter_mut().find(|old| old.plan.name == fresh.plan.name) {
            Some(old) if fresh.complete || fresh.segments.len() >= old.segments.len() => {
                *old = fresh.clone();
            }
            Some(_) => {}
            None => self.manifest.rungs.push(fresh.clone()),
        }
    }

    /// Writes the media playlists that are behind, then what refers to them.
    fn rewrite(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        for name in std::mem::take(&mut self.behind) {
            if let Some(rung) = self.fresh.iter().find(|rung| rung.plan.name == name) {
                self.write_media_playlist(rung)?;
            }
        }
        self.rewritten = now;
        self.write_indexes(now, false)?;
        self.write_manifest(false)
    }

    fn write_media_playlist(&self, rung: &Rung) -> Result<(), PublishError> {
        if let Some(keys) = playlist::key_pictures(rung) {
            let file = format!("{}/{KEY_PLAYLIST_FILE}", rung.directory());
            self.disk.replace_media(self.video, &file, keys.as_bytes(), false)?;
        }
        let file = format!("{}/{MEDIA_PLAYLIST_FILE}", rung.directory());
        Ok(self.disk.replace_media(self.video, &file, playlist::media(rung).as_bytes(), false)?)
    }

    fn write_indexes(&self, now: UnixMillis, sync: bool) -> Result<(), PublishError> {
        if !self.manifest.is_playable() {
            return Ok(());
        }
        let master = playlist::multivariant(&self.manifest);
        self.disk.replace_media(self.video, "master.m3u8", master.as_bytes(), sync)?;
        let mpd = dash::mpd(&self.manifest, now, self.began);
        Ok(self.disk.replace_media(self.video, "manifest.mpd", mpd.as_bytes(), sync)?)
    }

    fn write_manifest(&self, sync: bool) -> Result<(), PublishError> {
        let text = serde_json::to_vec(&self.manifest)?;
        Ok(self.disk.replace_media(self.video, "manifest.json", &text, sync)?)
    }
}

/// Returns the generation in the name of a rung's directory.
fn generation_of(directory: &str) -> Option<Epoch> {
    directory.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).map(Epoch)
}
