//! How far a video is, for those who watch.

use super::publish::Publisher;
use crate::model::manifest::Rung;
use crate::model::rendition::RenditionPlan;

/// How far a job has got.
pub(super) struct Reached {
    /// Name and share done, 0 ..= 1, of each rendition.
    pub(super) shares: Vec<(String, f64)>,
    /// How far the film can be played.
    pub(super) playable_seconds: f64,
    /// How far the rendition is that is furthest behind.
    pub(super) made_seconds: f64,
}

impl Publisher {
    /// Returns how far the work is.
    pub(super) fn reached(&self) -> Reached {
        let seconds = |plan: &RenditionPlan| {
            let rungs = self.manifest.rungs.iter().chain(&self.catching_up);
            let of_plan = rungs.filter(|rung| rung.plan.name == plan.name);
            of_plan.map(Rung::seconds).fold(0.0, f64::max)
        };
        let made = self.plan.iter().map(seconds).reduce(f64::min);
        let is_playable = self.manifest.is_playable();
        let playable = is_playable.then(|| self.manifest.playable_seconds());
        Reached {
            shares: self.shares(),
            playable_seconds: playable.unwrap_or(0.0),
            made_seconds: made.unwrap_or(0.0),
        }
    }

    /// Returns how much of each rung can be played, as shares of the source's length.
    fn shares(&self) -> Vec<(String, f64)> {
        // Of a film that nobody knows the end of there are no shares.
        let known = Some(self.length()).filter(|seconds| *seconds > 0.0);
        let length = known.unwrap_or(f64::INFINITY);
        let share = |plan: &RenditionPlan| {
            let rungs = self.manifest.rungs.iter().chain(&self.catching_up);
            let rung = rungs.filter(|rung| rung.plan.name == plan.name);
            let best = rung
                .map(|rung| if rung.complete { 1.0 } else { (rung.seconds() / length).min(0.99) })
                .fold(0.0, f64::max);
            (plan.name.clone(), best)
        };
        self.plan.iter().map(share).collect()
    }
}
