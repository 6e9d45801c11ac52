//! What was done, in steps of ten minutes, for the operator: kept for as long as a month, over
//! restarts.

use super::State;
use super::error::StateError;
use super::keys;
use super::writer::Promise;
use crate::model::figures::Figures;
use crate::units::UnixMillis;

/// Milliseconds in a step.
const STEP_MS: u64 = 600_000;
/// Steps that are kept: 32 days.
const STEPS_KEPT: u64 = 32 * 24 * 6;

impl State {
    /// Adds to the figures of the step of `now`, and forgets those that are too old.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Written: a power cut may take the last ones.
    pub async fn add_figures(&self, now: UnixMillis, more: Figures) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let key = keys::figures(step_of(now));
            let before: Option<Figures> = view.find(&key)?;
            if before.is_none() {
                let oldest = step_of(now).saturating_sub(STEPS_KEPT - 1);
                for key in view.keys(keys::FIGURES)? {
                    // Those of a clock that ran ahead go, too, or they would stay for ever.
                    let kept = oldest..=step_of(now);
                    if !keys::parse_figures(&key).is_some_and(|step| kept.contains(&step)) {
                        view.remove(key);
                    }
                }
            }
            let mut figures = before.unwrap_or_default();
            figures += more;
            view.put(key, &figures)
        })
        .await
    }

    /// Returns what was done in the last `ms` milliseconds, and in the step that they began in.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn figures(&self, now: UnixMillis, ms: u64) -> Result<Figures, StateError> {
        let mut all = Figures::default();
        self.figures_of_steps(now, ms)?.into_iter().for_each(|(_, figures)| all += figures);
        Ok(all)
    }

    /// Returns the same step by step, each with its beginning, the oldest first; steps in which
    /// nothing was done are left out.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn figures_of_steps(
        &self,
        now: UnixMillis,
        ms: u64,
    ) -> Result<Vec<(UnixMillis, Figures)>, StateError> {
        let wanted = step_of(now).saturating_sub(ms / STEP_MS)..=step_of(now);
        let view = self.view();
        let mut steps = Vec::new();
        for key in view.keys(keys::FIGURES)? {
            if let Some(step) = keys::parse_figures(&key).filter(|step| wanted.contains(step)) {
                let began = UnixMillis(i64::try_from(step * STEP_MS).unwrap_or(i64::MAX));
                steps.push((began, view.find(&key)?.unwrap_or_default()));
            }
        }
        Ok(steps)
    }
}

fn step_of(now: UnixMillis) -> u64 {
    u64::try_from(now.0).unwrap_or(0) / STEP_MS
}
