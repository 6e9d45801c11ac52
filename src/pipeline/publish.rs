//! Publishing: finished files of a child become what players can fetch.
//!
//! The manifest is the truth; playlists are made from it and replaced by rename. A rung that an
//! earlier attempt left half done is gone on with where it ended. Where that can't be, it stays in
//! the manifest until a new generation has caught up, so nothing that could be played disappears.

mod playlists;
mod power_cut;

use super::film::{Film, FilmError};
use super::growing::{after_power_cut, can_grow, files_of};
use super::seal;
use crate::disk::{Disk, DiskError, FailAt, fail_at, is_text};
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::extra::{Extra, ExtraKind};
use crate::model::manifest::{
    Formats, INIT_FILE, MEDIA_PLAYLIST_FILE, Manifest, Rung, Segment, SegmentKey, segment_file,
};
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::video::{WARNINGS_MAX, Warning, ends_early};
use crate::state::{State, StateError};
use crate::units::{ByteCount, UnixMillis};
use crate::wire::Begun;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use tracing::info;

/// Least time between two rewrites of the same playlists while segments pour in, and how many
/// segments of the video make it a millisecond longer: what is rewritten grows with them, and a day
/// of film must not be spent on telling of it.
const REWRITE_MS: u64 = 400;
const SEGMENTS_PER_MS: u64 = 20;

/// How often growing rungs are confirmed by the disk: what the next power cut can take at most.
const CONFIRM_MS: u64 = 10_000;

/// The published files of one video while one job adds to them. Every method blocks on the disk.
pub(super) struct Publisher {
    pub(super) disk: Disk,
    state: State,
    pub(super) video: VideoId,
    pub(super) job: JobId,
    pub(super) epoch: Epoch,
    /// Of this attempt's rungs: higher than any before, also of another job on the video, so that
    /// what was served under an address never changes.
    generation: Epoch,
    began: UnixMillis,
    /// Rungs that begin now are encrypted.
    encrypts: bool,
    pub(super) plan: Vec<RenditionPlan>,
    pub(super) manifest: Manifest,
    /// Names of the rungs that this attempt has started.
    started: Vec<String>,
    /// Those of them that another generation stands for in the manifest, as it has more to play,
    /// or that have nothing to play yet.
    pub(super) catching_up: Vec<Rung>,
    /// Number of the span that a rung's files come from, where it's made in spans.
    pub(super) spans: BTreeMap<String, u32>,
    /// Names of started rungs whose playlists on disk are behind.
    behind: Vec<String>,
    rewritten: UnixMillis,
    confirmed: UnixMillis,
    /// How long the film is, where that was found out while it was made. The manifest learns it
    /// at the end: a DASH presentation that is under way must not begin at another time.
    pub(super) found_length: Option<f64>,
}

/// A report that doesn't fit what the child said before.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What a child would add doesn't follow what is there; the next attempt starts that rung anew.
    #[error("a rung can't be gone on with")]
    Unlike,
    /// The child contradicts itself.
    #[error("the worker reported {0}")]
    Nonsense(&'static str),
    /// The manifest can't be written as JSON.
    #[error("manifest: {0}")]
    Encode(#[from] serde_json::Error),
    /// No key can be drawn.
    #[error("key: {0}")]
    Key(io::Error),
    /// What people have added to the video can't be read.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Publisher {
    /// Goes on from what earlier attempts published. `boot` is the kernel's boot id.
    pub(super) fn open(
        disk: Disk,
        state: State,
        video: VideoId,
        job: JobId,
        epoch: Epoch,
        boot: &str,
        now: UnixMillis,
    ) -> Result<Self, PublishError> {
        let mut manifest =
            disk.manifest(video)?.unwrap_or_else(|| Manifest::empty(0.0, Vec::new()));
        let rungs = disk.rungs(video)?;
        let rungs: Vec<&String> = rungs.iter().filter(|name| !is_text(name)).collect();
        let used = rungs.iter().filter_map(|rung| generation_of(rung)).max();
        let generation = used.map_or(epoch, |used| epoch.max(used.next()));
        let was_cut = !rungs.is_empty() && manifest.boot != boot;
        let catching_up = if !was_cut {
            Vec::new()
        } else {
            let disk = |from: &Rung, to: &Rung| {
                let files = files_of(from, 0..from.durable);
                disk.link_rung(video, &from.directory(), &to.directory(), &files)
            };
            after_power_cut(&mut manifest, generation, disk)?
        };
        boot.clone_into(&mut manifest.boot);
        let mut publisher = Self {
            disk,
            state,
            video,
            job,
            epoch,
            generation,
            began: now,
            encrypts: false,
            plan: Vec::new(),
            manifest,
            started: Vec::new(),
            spans: BTreeMap::new(),
            catching_up,
            behind: Vec::new(),
            rewritten: UnixMillis(0),
            confirmed: now,
            found_length: None,
        };
        if was_cut {
            publisher.let_go_of_what_is_gone(now)?;
        }
        Ok(publisher)
    }

    /// Publishes in the forms that are wanted, encrypted or not; one file that is there already
    /// stays. Encrypted rungs stay so and are for HLS alone, whatever is wanted by now.
    pub(super) fn in_formats(mut self, wanted: Formats, encrypts: bool) -> Self {
        let mp4 = self.manifest.formats.mp4;
        self.manifest.formats = match self.is_sealed() {
            true => Formats { hls: true, dash: false, mp4 },
            false => Formats { mp4, ..wanted },
        };
        self.encrypts = encrypts;
        self
    }

    /// Says whether there are encrypted rungs.
    fn is_sealed(&self) -> bool {
        self.manifest.rungs.iter().chain(&self.catching_up).any(|rung| rung.key.is_some())
    }

    /// Returns the rungs that are complete on disk; no attempt makes them again.
    pub(super) fn complete(&self) -> Vec<Rung> {
        self.manifest.rungs.iter().filter(|rung| rung.is_done()).cloned().collect()
    }

    /// Returns how many seconds the longest complete rung has.
    pub(super) fn seconds_complete(&self) -> f64 {
        let complete = self.manifest.rungs.iter().filter(|rung| rung.is_done());
        complete.map(Rung::seconds).fold(0.0, f64::max)
    }

    /// Returns the rungs that can be gone on with.
    pub(super) fn begun(&self) -> Vec<Begun> {
        let begun = |rung: &Rung| Begun {
            plan: rung.plan.clone(),
            timescale: rung.timescale,
            target_ms: rung.target_ms,
            segments: rung.segments.len() as u32,
            ticks: rung.ticks(),
        };
        let open = self.manifest.rungs.iter().chain(&self.catching_up);
        open.filter(|rung| can_grow(rung)).map(begun).collect()
    }

    /// Returns the sound tracks that can't be taken as they are after all.
    pub(super) fn sounds_unfit(&self) -> Vec<u32> {
        self.manifest.sounds_unfit.clone()
    }

    /// Says whether the pictures can't be taken as they are after all.
    pub(super) fn pictures_unfit(&self) -> bool {
        self.manifest.pictures_unfit
    }

    /// Returns how many files are published, more or less: it grows as long as work gets anywhere.
    pub(super) fn files(&self) -> u32 {
        let rungs = self.manifest.rungs.iter().chain(&self.catching_up);
        let of_rung = |rung: &Rung| 1 + rung.segments.len() + usize::from(rung.is_done());
        let files = rungs.map(of_rung).sum::<usize>() + self.manifest.extras().len();
        u32::try_from(files).unwrap_or(u32::MAX)
    }

    /// Says whether the pictures can be made in spans, as far as anybody knows.
    pub(super) fn can_be_cut(&self) -> bool {
        !self.manifest.spans_unfit
    }

    /// Says whether all is complete that isn't made in spans.
    pub(super) fn has_rest(&self) -> bool {
        let is_encoded = |it: &RenditionPlan| it.kind == RenditionKind::Video && !it.copied;
        let is_complete = |it: &RenditionPlan| {
            self.manifest.rungs.iter().any(|rung| rung.is_done() && rung.plan.name == it.name)
        };
        self.plan.iter().filter(|it| !is_encoded(it)).all(is_complete)
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
        let sounds = plan.iter().filter(|rung| rung.kind == RenditionKind::Audio);
        self.manifest.sounds = sounds.map(|rung| rung.name.clone()).collect();
        self.manifest.complete = false;
        self.manifest.began = Some(self.began);
        // A rung that isn't planned any more (the ladder's settings changed) ends here.
        self.manifest.rungs.retain(|rung| plan.iter().any(|p| p.name == rung.plan.name));
        self.plan = plan;
    }

    /// Takes how long the film is, which the probe didn't know.
    pub(super) fn lasts(&mut self, seconds: f64) -> Result<(), PublishError> {
        if !(seconds.is_finite() && seconds > 0.0) {
            return Err(PublishError::Nonsense("a length that is none"));
        }
        self.found_length = Some(seconds);
        Ok(())
    }

    /// Returns how long the film is, 0 if nobody knows yet.
    pub(super) fn length(&self) -> f64 {
        self.found_length.unwrap_or(self.manifest.duration)
    }

    /// Remembers what is worth telling of what is published, with what is published next. A newer
    /// word on the same thing counts; of text tracks there may be several.
    pub(super) fn warned(&mut self, warning: Warning) {
        let warnings = &mut self.manifest.warnings;
        let of_text = warning.code.starts_with("text-");
        warnings
            .retain(|known| if of_text { *known != warning } else { known.code != warning.code });
        if warnings.len() < WARNINGS_MAX {
            warnings.push(warning);
        }
    }

    /// Publishes an extra: its files are synced before the manifest names it.
    pub(super) fn extra(&mut self, extra: Extra) -> Result<(), PublishError> {
        if !extra.is_sound() {
            return Err(PublishError::Nonsense("an extra beyond its bounds"));
        }
        for file in extra.files() {
            self.disk.publish(self.job, self.epoch, &file, self.video, &file, true)?;
        }
        let is_storyboard = extra.kind() == ExtraKind::Storyboard;
        self.manifest.note(extra);
        if is_storyboard {
            self.write_storyboard(self.length())?;
        }
        if !self.manifest.chapters.is_empty() {
            self.write_chapters()?;
        }
        self.write_manifest(true)
    }

    /// Publishes a rung's set-up file, or goes on with a rung `after` its first segments; it is
    /// named to players with its first segment.
    pub(super) fn started(&mut self, start: Start) -> Result<(), PublishError> {
        let name = &start.rendition;
        let plan = self.plan.iter().find(|plan| plan.name == *name);
        let plan = plan.ok_or(PublishError::Nonsense("a rendition that wasn't planned"))?.clone();
        let before = start.span.and_then(|span| self.spans.insert(name.clone(), span));
        if self.started.contains(name) {
            return match before.zip(start.span) {
                Some((before, span)) if before + 1 == span => self.follow(&start),
                _ => Err(PublishError::Nonsense("the same rendition twice")),
            };
        }
        if start.after > 0 {
            return self.go_on(&start);
        }
        // Linked before this attempt began, and not to be gone on with after all.
        self.catching_up.retain(|rung| rung.plan.name != *name);
        let rung = Rung {
            plan,
            generation: self.generation,
            codecs: start.codecs,
            timescale: start.timescale,
            target_ms: start.target_ms,
            complete: false,
            durable: 0,
            sealed: false,
            stale: false,
            key: self.encrypts.then(seal::fresh_key).transpose().map_err(PublishError::Key)?,
            segments: Vec::new(),
        };
        self.move_file(&rung, INIT_FILE)?;
        self.catching_up.push(rung);
        self.started.push(start.rendition);
        Ok(())
    }

    /// Goes on with a rung behind the span before.
    fn follow(&mut self, start: &Start) -> Result<(), PublishError> {
        if self.continues(start)? { Ok(()) } else { self.uncut() }
    }

    fn go_on(&mut self, start: &Start) -> Result<(), PublishError> {
        if !self.continues(start)? {
            return self.unlike(&start.rendition, false);
        }
        self.started.push(start.rendition.clone());
        Ok(())
    }

    /// Says whether what a child adds is the rest of what is there.
    fn continues(&self, start: &Start) -> Result<bool, PublishError> {
        let name = &start.rendition;
        let rung = self.begun_rung(name).ok_or(PublishError::Nonsense("what wasn't begun"))?;
        let directory = rung.directory();
        let same_terms = rung.segments.len() == start.after as usize
            && rung.codecs == start.codecs
            && rung.timescale == start.timescale
            && rung.target_ms == start.target_ms
            && rung.ticks() == start.ticks;
        let old = format!("{directory}/{INIT_FILE}");
        let new = self.scratch_file(name, INIT_FILE);
        let same_setup = self.disk.is_same(self.job, self.epoch, &new, self.video, &old)?;
        if !(same_terms && same_setup) {
            info!(
                job.id = %self.job,
                "{directory} can't be gone on with: {} segments of {} ticks, {}; {} of {}, {}; \
                 set-up {}",
                rung.segments.len(),
                rung.ticks(),
                rung.codecs,
                start.after,
                start.ticks,
                start.codecs,
                if same_setup { "alike" } else { "unlike" },
            );
        }
        Ok(same_terms && same_setup)
    }

    /// Has the next attempt, and all after it, make the film's pictures in one.
    pub(super) fn uncut(&mut self) -> Result<(), PublishError> {
        self.manifest.spans_unfit = true;
        self.write_manifest(true)?;
        Err(PublishError::Unlike)
    }

    /// Has the next attempt make a rung from its start, and not as a copy if that was `unfit`.
    pub(super) fn unlike(&mut self, name: &str, unfit: bool) -> Result<(), PublishError> {
        info!(job.id = %self.job, "{name} of {} is made anew", self.video);
        for rung in self.manifest.rungs.iter_mut().filter(|rung| rung.plan.name == name) {
            rung.sealed = true;
        }
        // The next attempt mustn't promise the same again.
        let planned = self.plan.iter().find(|plan| plan.name == name && plan.copied);
        match planned.filter(|_| unfit).map(|plan| (plan.kind, &plan.sound)) {
            Some((RenditionKind::Video, _)) => self.manifest.pictures_unfit = true,
            Some((_, Some(sound))) => self.manifest.sounds_unfit.push(sound.track),
            _ => (),
        }
        self.write_manifest(true)?;
        Err(PublishError::Unlike)
    }

    /// Publishes a segment. Returns whether the video has become playable by it.
    pub(super) fn segment(
        &mut self,
        name: &str,
        number: u32,
        segment: Segment,
        now: UnixMillis,
    ) -> Result<bool, PublishError> {
        let rung = self.growing(name)?;
        if rung.segments.len() + 1 != number as usize {
            return Err(PublishError::Nonsense("a segment out of order"));
        }
        let segment = match rung.key {
            Some(key) => Segment {
                bytes: self.seal_file(rung, key, number)?.0,
                // A part of what is encrypted as a whole shows nothing.
                key: None,
                ..segment
            },
            None => {
                self.move_file(rung, &segment_file(number as usize))?;
                segment
            }
        };
        let was_playable = self.manifest.is_playable();
        self.growing_mut(name)?.segments.push(segment);
        self.mark_behind(name);
        self.take_over(name);
        let playable_now = !was_playable && self.manifest.is_playable();
        if playable_now || number == 1 || self.is_due(now) {
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
        // All segments may have been there when the attempt before was killed.
        if !self.started.iter().any(|started| started == name) && self.begun_rung(name).is_some() {
            self.started.push(name.to_owned());
        }
        let rung = Rung { complete: true, ..self.growing(name)?.clone() };
        if rung.segments.is_empty() {
            return Err(PublishError::Nonsense("a rendition without a segment"));
        }
        self.behind.retain(|behind| behind != name);
        // Told by no playlist before: after a kill they would be made again under their addresses.
        self.write_manifest(false)?;
        self.write_media_playlist(&rung)?;
        fail_at(FailAt::AfterLastPlaylist);
        // No manifest on disk may call a rung complete before its bytes are: after a power cut a
        // later attempt would skip it.
        let mut files = files_of(&rung, rung.durable..rung.segments.len() as u32);
        if self.manifest.formats.hls {
            files.push(MEDIA_PLAYLIST_FILE.to_owned());
        }
        self.disk.sync_rung(self.video, &rung.directory(), &files)?;
        self.growing_mut(name)?.complete = true;
        let was_playable = self.manifest.is_playable();
        self.take_over(name);
        self.rewrite(now)?;
        self.write_manifest(true)?;
        Ok((rung, !was_playable && self.manifest.is_playable()))
    }

    /// Does what is due: tells of segments that aren't told of yet, and has the disk confirm them.
    /// Called on every tick of the job's timer.
    pub(super) fn tick(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        if !self.behind.is_empty() && self.is_due(now) {
            self.rewrite(now)?;
        }
        if now.ms_since(self.confirmed) < CONFIRM_MS {
            return Ok(());
        }
        self.confirmed = now;
        let (disk, video) = (&self.disk, self.video);
        let mut any = false;
        for rung in self.manifest.rungs.iter_mut().filter(|rung| can_grow(rung)) {
            let count = rung.segments.len() as u32;
            if rung.durable < count {
                disk.sync_rung(video, &rung.directory(), &files_of(rung, rung.durable..count))?;
                rung.durable = count;
                any = true;
            }
        }
        if any { self.write_manifest(true) } else { Ok(()) }
    }

    /// Tells of everything that is there, for the next attempt to go on from.
    pub(super) fn suspend(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        if self.behind.is_empty() { Ok(()) } else { self.rewrite(now) }
    }

    /// Ends the growth: playlists become final, and generations that nobody names are removed.
    /// Returns how many seconds the film has, after all, and what is worth telling of it.
    pub(super) fn finish(&mut self, now: UnixMillis) -> Result<(f64, Vec<Warning>), PublishError> {
        let planned = self.plan.len();
        let complete = self.manifest.rungs.iter().filter(|rung| rung.is_done()).count();
        if complete < planned || planned == 0 {
            return Err(PublishError::Nonsense("the end before all renditions were complete"));
        }
        self.manifest.complete = true;
        // Now it is known whether the film is as long as it said.
        let made = self.seconds_complete();
        if made < self.length() {
            self.write_storyboard(made)?;
        }
        if self.manifest.duration <= 0.0 || ends_early(self.manifest.duration, made) {
            self.manifest.duration = made;
        }
        {
            let disk = self.disk.clone();
            let _turn = disk.publishing(self.video);
            self.write_in_turn(now, true)?;
        }
        let kept: Vec<String> = self.manifest.rungs.iter().map(Rung::directory).collect();
        for directory in self.disk.rungs(self.video)? {
            if !kept.contains(&directory) && !is_text(&directory) {
                self.disk.remove_rung(self.video, &directory)?;
            }
        }
        Ok((self.manifest.duration, self.manifest.warnings.clone()))
    }

    /// Returns in which forms the video is published.
    pub(super) fn formats(&self) -> Formats {
        self.manifest.formats
    }

    /// Begins to put all of it into one file; `None` if there are no pictures, or only with a key.
    pub(super) fn begin_film(&self) -> Result<Option<Film>, FilmError> {
        if self.is_sealed() {
            return Ok(None);
        }
        Film::begin(&self.disk, self.video, &self.manifest)
    }

    /// Notes that the one file is in its place.
    pub(super) fn note_film(&mut self) -> Result<(), PublishError> {
        self.manifest.formats.mp4 = true;
        self.write_manifest(true)
    }

    /// Returns the rung of this name that this attempt adds to.
    fn growing(&self, name: &str) -> Result<&Rung, PublishError> {
        let started = self.started.iter().any(|started| started == name);
        self.begun_rung(name).filter(|_| started).ok_or(NOT_STARTED)
    }

    fn growing_mut(&mut self, name: &str) -> Result<&mut Rung, PublishError> {
        if !self.started.iter().any(|started| started == name) {
            return Err(NOT_STARTED);
        }
        let ours = self.catching_up.iter_mut().find(|rung| rung.plan.name == name);
        let known = self.manifest.rungs.iter_mut();
        let known = || known.filter(|rung| can_grow(rung)).find(|rung| rung.plan.name == name);
        ours.or_else(known).ok_or(NOT_STARTED)
    }

    /// Returns the rung of this name that can be gone on with: one of this attempt's before one of
    /// the manifest's.
    fn begun_rung(&self, name: &str) -> Option<&Rung> {
        let known = self.manifest.rungs.iter().filter(|rung| can_grow(rung));
        self.catching_up.iter().chain(known).find(|rung| rung.plan.name == name)
    }

    /// Says whether playlists that are behind have been so for long enough.
    fn is_due(&self, now: UnixMillis) -> bool {
        let segments: usize = self.manifest.rungs.iter().map(|rung| rung.segments.len()).sum();
        now.ms_since(self.rewritten) >= REWRITE_MS + segments as u64 / SEGMENTS_PER_MS
    }

    fn mark_behind(&mut self, name: &str) {
        if !self.behind.iter().any(|behind| behind == name) {
            self.behind.push(name.to_owned());
        }
    }

    /// Returns where a child has put a file of a rung, below the attempt's scratch directory.
    fn scratch_file(&self, name: &str, file: &str) -> String {
        match self.spans.get(name) {
            Some(span) => format!("span-{span}/{name}/{file}"),
            None => format!("{name}/{file}"),
        }
    }

    fn move_file(&self, rung: &Rung, file: &str) -> Result<(), PublishError> {
        let from = self.scratch_file(&rung.plan.name, file);
        let to = format!("{}/{file}", rung.directory());
        Ok(self.disk.publish(self.job, self.epoch, &from, self.video, &to, false)?)
    }

    /// Encrypts a segment on its way to where players fetch it, and returns its size there.
    fn seal_file(
        &self,
        rung: &Rung,
        key: SegmentKey,
        number: u32,
    ) -> Result<ByteCount, PublishError> {
        let file = segment_file(number as usize);
        let from = self.scratch_file(&rung.plan.name, &file);
        let to = format!("{}/{file}", rung.directory());
        let seal = |from: &mut dyn Read, to: &mut dyn Write| {
            seal::encrypt(key, Rung::vector(number), from, to)
        };
        Ok(self.disk.publish_sealed(self.job, self.epoch, &from, self.video, &to, &seal)?)
    }

    /// Puts a rung that catches up into the manifest unless the generation there still has more to
    /// play.
    fn take_over(&mut self, name: &str) {
        let Some(at) = self.catching_up.iter().position(|rung| rung.plan.name == name) else {
            return;
        };
        let (ours, known) = (&self.catching_up[at], &mut self.manifest.rungs);
        let old = known.iter().position(|rung| rung.plan.name == name);
        let waits = |old: &Rung| old.complete || ours.segments.len() < old.segments.len();
        match old {
            Some(old) if !ours.complete && waits(&known[old]) => {}
            Some(old) => known[old] = self.catching_up.swap_remove(at),
            None => known.push(self.catching_up.swap_remove(at)),
        }
    }
}

/// How a rung starts, as the child tells it.
pub(super) struct Start {
    pub(super) rendition: String,
    pub(super) codecs: String,
    pub(super) timescale: u32,
    pub(super) target_ms: u32,
    pub(super) after: u32,
    pub(super) ticks: u64,
    pub(super) span: Option<u32>,
}

const NOT_STARTED: PublishError =
    PublishError::Nonsense("a segment of a rendition that hasn't started");

/// Returns the generation in the name of a rung's directory.
fn generation_of(directory: &str) -> Option<Epoch> {
    directory.rsplit_once('-').and_then(|(_, number)| number.parse().ok()).map(Epoch)
}
