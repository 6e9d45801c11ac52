//! Webhooks: what happens is told to addresses that the operator names, and what becomes of one
//! upload to the address that its grant names, signed, until they have taken it. Blocking hooks
//! (`ask`): somebody is asked before something happens.
//!
//! What is to be told comes from the outbox in `state`. Each target has a task, its own few
//! threads and its own bounds, so one that hangs holds up nothing but its own deliveries. Started
//! by the server, looked at by the admin's API.

mod address;
mod ask;
mod body;
mod program;
mod reply;
mod send;
mod sign;
mod target;

pub use ask::blocking;
pub use body::Body;
pub use target::Health;

use crate::clock::Clock;
use crate::config::HooksConfig;
use crate::ids::DeliveryId;
use crate::state::{DeliveryRecord, HookTarget, State, StateError, TargetKey};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use target::Target;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The webhooks. Clones share everything.
#[derive(Clone)]
pub struct Hooks {
    state: State,
    clock: Clock,
    targets: Arc<[Arc<Target>]>,
    callbacks: Arc<Target>,
}

/// A webhook, and how it fares.
#[derive(Clone, Debug)]
pub struct TargetView {
    /// Where it is.
    pub url: String,
    /// Its name in deliveries.
    pub key: TargetKey,
    /// How it fares.
    pub health: Health,
    /// How much waits for it.
    pub waiting: usize,
}

impl Hooks {
    /// Makes the webhooks of a configuration.
    pub fn new(config: &HooksConfig, state: State, clock: Clock) -> Self {
        let target = |hook| Arc::new(Target::new(hook, config.allow_private));
        let targets = config.webhooks.iter().map(target).collect();
        let callbacks = Arc::new(Target::of_callbacks(config.allow_private));
        Self { state, clock, targets, callbacks }
    }

    /// Has every change from now on told.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn start(&self) -> Result<(), StateError> {
        let target = |it: &Arc<Target>| HookTarget { key: it.key, events: it.events.clone() };
        let targets = self.targets.iter().map(target).collect();
        self.state.tell_webhooks(targets, self.clock.clone()).await
    }

    /// Sends what there is to tell until `stop` fires.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for target in self.all() {
            let sender = target::Sender::new(target, self.state.clone(), self.clock.clone());
            tasks.spawn(sender.run(stop.clone()));
        }
        stop.cancelled().await;
        tasks.join_all().await;
    }

    /// The webhooks, and the callbacks of upload grants.
    fn all(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.iter().chain([&self.callbacks])
    }

    /// Returns the webhooks in the order of the configuration.
    ///
    /// # Errors
    /// Those of the state.
    pub fn targets(&self) -> Result<Vec<TargetView>, StateError> {
        let view = |target: &Arc<Target>| {
            Ok(TargetView {
                url: target.url.clone(),
                key: target.key,
                health: target.health(),
                waiting: self.state.count_waiting(target.key)?,
            })
        };
        self.targets.iter().map(view).collect()
    }

    /// Returns at most `limit` deliveries behind `after` that wait, of all targets, the oldest
    /// first.
    ///
    /// # Errors
    /// Those of the state.
    pub fn waiting(
        &self,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StateError> {
        let mut all = Vec::new();
        for target in self.all() {
            all.extend(self.state.waiting(target.key, after, limit)?);
        }
        all.sort_by_key(|row| row.id);
        all.truncate(limit);
        Ok(all)
    }

    /// Has a delivery tried again that was given up or taken.
    ///
    /// # Errors
    /// `Missing` without such a one, or where its webhook isn't configured any more.
    pub async fn retry(&self, id: DeliveryId) -> Result<DeliveryRecord, StateError> {
        let known = self.all().map(|target| target.key).collect();
        let row = self.state.retry_delivery(id, known, self.clock.now()).await?;
        if let Some(target) = self.all().find(|target| target.key == row.target) {
            target.look_again();
        }
        Ok(row)
    }

    /// Tells all targets something to see whether they are reached, those with it that had said
    /// that they are gone.
    ///
    /// # Errors
    /// Those of the state.
    pub async fn test(&self) -> Result<usize, StateError> {
        self.state.tell_test().await?;
        self.targets.iter().for_each(|target| target.enable());
        Ok(self.targets.len())
    }
}

/// Returns the name that a target has in keys.
fn key_of(url: &str) -> TargetKey {
    let mut key = TargetKey::default();
    key.copy_from_slice(&Sha256::digest(url.as_bytes())[..8]);
    key
}

#[cfg(test)]
mod tests;
