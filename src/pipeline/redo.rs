//! Stages that somebody has asked to be made anew.
//!
//! What they made is forgotten once, before the first attempt, so that the child finds it missing.
//! Qualities play on meanwhile: each is replaced when its new generation is whole.

use super::publish::{PublishError, Publisher};
use crate::ids::JobId;
use crate::model::job::Stage;

impl Publisher {
    /// Has the attempts of `job` make these stages anew, whatever earlier jobs made of them.
    pub(super) fn redo(&mut self, job: JobId, stages: &[Stage]) -> Result<(), PublishError> {
        if stages.is_empty() || self.manifest.redone_by == Some(job) {
            return Ok(());
        }
        for stage in stages {
            let manifest = &mut self.manifest;
            match stage {
                Stage::Poster => (manifest.poster, manifest.preview) = (None, None),
                Stage::Storyboard => {
                    manifest.storyboard = None;
                    manifest.thumbnails.clear();
                }
                Stage::Captions => {
                    manifest.texts = None;
                    manifest.chapters.clear();
                }
                Stage::Renditions => {
                    manifest.sounds_unfit.clear();
                    manifest.pictures_unfit = false;
                    manifest.formats.mp4 = false;
                    for rung in &mut manifest.rungs {
                        (rung.stale, rung.sealed) = (true, true);
                    }
                    self.catching_up.clear();
                }
                // These are done by every attempt.
                Stage::Probe | Stage::Publish => {}
            }
        }
        self.manifest.redone_by = Some(job);
        self.write_manifest(true)
    }
}
