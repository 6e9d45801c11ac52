//! Transactions on what a job has achieved so far, stage by stage.

use super::error::StateError;
use super::jobs::held;
use super::line::put;
use super::record::{JobRecord, RenditionRecord, VideoRecord};
use super::writer::Promise;
use super::{State, keys};
use crate::ids::{Epoch, JobId};
use crate::model::estimate::{Load, Paces};
use crate::model::extra::Extra;
use crate::model::job::{Stage, StageState};
use crate::model::manifest::Formats;
use crate::model::rendition::{RenditionPlan, RenditionState};
use crate::model::text::TextTrack;
use crate::model::video::{SourceFacts, VideoKind};
use crate::units::{ByteCount, UnixMillis};

impl State {
    /// Records what the source holds and what will be made of it. Qualities that an earlier
    /// attempt made ready stay so, planned again or not: what is published never disappears.
    ///
    /// # Errors
    /// `Stale` under an older lease; `Missing`; `TooLarge`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn commit_probe(
        &self,
        id: JobId,
        epoch: Epoch,
        facts: SourceFacts,
        kind: VideoKind,
        plan: Vec<RenditionPlan>,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |job, video| {
            video.facts = Some(facts);
            video.kind = kind;
            video.renditions = merge(std::mem::take(&mut video.renditions), plan, epoch);
            // What is published from here on is this job's own.
            job.anew = false;
            set(job, Stage::Probe, StageState::Done, now);
            set(job, Stage::Poster, StageState::Running, now);
            set(job, Stage::Renditions, StageState::Running, now);
        })
        .await
    }

    /// Records how long the film is, where its probe didn't know.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced.
    pub async fn commit_length(
        &self,
        id: JobId,
        epoch: Epoch,
        seconds: f64,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |_, video| {
            if let Some(facts) = &mut video.facts {
                facts.duration = seconds;
            }
        })
        .await
    }

    /// Records that an extra is published.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced.
    pub async fn commit_extra(
        &self,
        id: JobId,
        epoch: Epoch,
        extra: Extra,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |job, video| match extra {
            Extra::Poster { picture } => {
                video.poster = Some(picture);
                set(job, Stage::Poster, StageState::Done, now);
            }
            Extra::Thumbnails { thumbnails } => video.pictures.thumbnails = thumbnails,
            Extra::Storyboard { storyboard } => {
                video.pictures.storyboard = Some(storyboard.tile);
                set(job, Stage::Storyboard, StageState::Done, now);
            }
            Extra::Preview { picture } => video.pictures.preview = Some(picture),
            Extra::Chapters { chapters } => video.chapters = chapters,
            // Recorded with what became of them.
            Extra::Texts { .. } => {}
        })
        .await
    }

    /// Records the text tracks that the file holds. Those that people have added stay.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced. Their files have to be certain before.
    pub async fn commit_texts(
        &self,
        id: JobId,
        epoch: Epoch,
        texts: Vec<TextTrack>,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |job, video| {
            // A file whose tracks hold no line has none.
            if !texts.is_empty() {
                set(job, Stage::Captions, StageState::Done, now);
            }
            video.texts = texts;
        })
        .await
    }

    /// Records in which forms the video is published, or will be once it can be played.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced.
    pub async fn commit_formats(
        &self,
        id: JobId,
        epoch: Epoch,
        formats: Formats,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |_, video| video.formats = formats).await
    }

    /// Records that a stage has begun.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced.
    pub async fn begin_stage(
        &self,
        id: JobId,
        epoch: Epoch,
        stage: Stage,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |job, _| set(job, stage, StageState::Running, now)).await
    }

    /// Records that a player finds something from now on. Doing it again changes nothing.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced.
    pub async fn commit_playable(
        &self,
        id: JobId,
        epoch: Epoch,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |_, video| {
            video.playable = true;
            video.playable_at.get_or_insert(now);
        })
        .await
    }

    /// Records how far one quality is, whatever was recorded of it before.
    ///
    /// # Errors
    /// As [`State::commit_probe`].
    /// # Durability
    /// Synced. A rendition may be called ready only when its files are certain.
    pub async fn commit_rendition(
        &self,
        id: JobId,
        epoch: Epoch,
        rendition: RenditionRecord,
        now: UnixMillis,
    ) -> Result<VideoRecord, StateError> {
        self.advance(id, epoch, move |job, video| {
            let name = &rendition.plan.name;
            match video.renditions.iter_mut().find(|known| known.plan.name == *name) {
                Some(known) => *known = rendition,
                None => video.renditions.push(rendition),
            }
            if video.renditions.iter().all(|known| known.state == RenditionState::Ready) {
                set(job, Stage::Renditions, StageState::Done, now);
                set(job, Stage::Publish, StageState::Running, now);
            }
        })
        .await
    }

    /// Notes how many files of the video were published when an attempt began. If the one before
    /// brought some, those before don't count as attempts in vain.
    ///
    /// # Errors
    /// `Stale` under an older lease; `Missing`; `Failed`.
    /// # Durability
    /// Written.
    pub async fn note_reached(
        &self,
        id: JobId,
        epoch: Epoch,
        files: u32,
    ) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let mut job = held(view, id, epoch)?;
            if files > job.reached {
                (job.reached, job.in_vain, job.kills) = (files, 1, 0);
            }
            put(view, &job)
        })
        .await
    }

    /// Returns how long work was measured to take here.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn paces(&self) -> Result<Paces, StateError> {
        Ok(self.view().find(keys::PACES)?.unwrap_or_default())
    }

    /// Notes how many `seconds` a job took on a source of so many bytes, and its qualities of them.
    ///
    /// # Errors
    /// `TooLarge`, `Failed`.
    /// # Durability
    /// Written: one measure less does no harm.
    pub async fn note_pace(
        &self,
        load: Load,
        bytes: ByteCount,
        seconds: f64,
        qualities: f64,
    ) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let mut paces: Paces = view.find(keys::PACES)?.unwrap_or_default();
            paces.note(&load, bytes, seconds, qualities);
            view.put(keys::PACES.to_vec(), &paces)
        })
        .await
    }

    /// As [`State::change_held`], for a change that can't fail.
    async fn advance(
        &self,
        id: JobId,
        epoch: Epoch,
        change: impl FnOnce(&mut JobRecord, &mut VideoRecord) + Send + 'static,
    ) -> Result<VideoRecord, StateError> {
        self.change_held(id, epoch, |job, video| {
            change(job, video);
            Ok(())
        })
        .await
    }
}

/// Joins what is there with what is planned, in the order of the plan.
fn merge(
    known: Vec<RenditionRecord>,
    plan: Vec<RenditionPlan>,
    epoch: Epoch,
) -> Vec<RenditionRecord> {
    let mut ready: Vec<_> =
        known.into_iter().filter(|known| known.state == RenditionState::Ready).collect();
    let mut renditions = Vec::with_capacity(plan.len());
    for plan in plan {
        match ready.iter().position(|known| known.plan.name == plan.name) {
            Some(at) => renditions.push(ready.remove(at)),
            None => renditions.push(RenditionRecord {
                plan,
                state: RenditionState::Pending,
                generation: epoch,
                codecs: None,
                bandwidth: None,
            }),
        }
    }
    renditions.append(&mut ready);
    renditions
}

/// Begins an attempt with the probe; every attempt looks at the source again.
pub(super) fn begin(job: &mut JobRecord, now: UnixMillis) {
    set(job, Stage::Probe, StageState::Running, now);
}

/// Ends what was under way so that a later attempt begins it again.
pub(super) fn interrupt(job: &mut JobRecord) {
    for stage in job.stages.iter_mut().filter(|stage| stage.state == StageState::Running) {
        stage.state = StageState::Pending;
    }
}

/// Ends what was under way without success.
pub(super) fn stop(job: &mut JobRecord, now: UnixMillis) {
    for stage in job.stages.iter_mut().filter(|stage| stage.state == StageState::Running) {
        stage.state = StageState::Failed;
        stage.finished_at = Some(now);
    }
}

/// Ends all stages with success; what never began, or left no picture, wasn't part of this job.
pub(super) fn finish(job: &mut JobRecord, video: &VideoRecord, now: UnixMillis) {
    for stage in &mut job.stages {
        let skipped = match stage.stage {
            Stage::Poster => video.poster.is_none(),
            Stage::Storyboard => video.pictures.storyboard.is_none(),
            _ => false,
        };
        match stage.state {
            StageState::Running if !skipped => {
                stage.state = StageState::Done;
                stage.finished_at = Some(now);
            }
            StageState::Pending | StageState::Running => stage.state = StageState::Skipped,
            StageState::Done | StageState::Failed | StageState::Skipped => {}
        }
    }
}

/// Moves one stage, except that a finished one doesn't begin again within the attempt.
fn set(job: &mut JobRecord, which: Stage, to: StageState, now: UnixMillis) {
    let attempt = job.attempt;
    let Some(stage) = job.stages.iter_mut().find(|stage| stage.stage == which) else { return };
    let done = stage.state == StageState::Done;
    if done && to == StageState::Running && stage.attempt == attempt {
        return;
    }
    if stage.attempt != attempt || stage.started_at.is_none() {
        stage.attempt = attempt;
        stage.started_at = Some(now);
    }
    stage.state = to;
    stage.finished_at = (to == StageState::Done).then_some(now);
}
