//! One webhook: what waits for it is sent, a few at once, again and again until it was taken or its
//! time is over.

use super::{body, key_of, send, sign};
use crate::clock::Clock;
use crate::config::{HookSecret, WebhookConfig};
use crate::ids::DeliveryId;
use crate::model::hook::{DeliveryState, HookEvent, TRIED_FOR_MS, WAITING_MAX, retry_after_ms};
use crate::state::{CALLBACKS, DeliveryRecord, State, StateError, TargetKey};
use crate::units::UnixMillis;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use ureq::Agent;

/// Deliveries to one target at the same moment.
const AT_ONCE_MAX: usize = 4;
/// Callbacks at the same moment; each has an address of its own.
const CALLBACKS_AT_ONCE_MAX: usize = 16;

/// How long an attempt may take, from the look-up of the name to the answer's head.
const DEADLINE: Duration = Duration::from_secs(15);

/// Rows that are read in one go.
const PAGE: usize = 500;

/// How long a sender that has nothing to do sleeps: a bell that wasn't heard costs no more.
const NAP: Duration = Duration::from_secs(30);

/// After so many ended deliveries the log of them is trimmed.
const TRIM_EVERY: u32 = 200;

/// Longest error that is kept.
const ERROR_CHARS_MAX: usize = 300;

/// What is said of deliveries that a disabled webhook hasn't taken in time.
const GONE: &str = "The webhook had answered 410 and wasn't enabled again in time.";

/// How a webhook fares.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// It has answered 410: nothing is sent until somebody enables it again, or the next start.
    pub disabled: bool,
    /// Attempts that have failed one after the other.
    pub failures: u32,
    /// When it last took something, in this process.
    pub last_success_at: Option<UnixMillis>,
    /// When an attempt last failed, in this process.
    pub last_failure_at: Option<UnixMillis>,
    /// Why.
    pub last_error: Option<String>,
}

/// Where deliveries go.
#[derive(Debug)]
enum Whither {
    /// To a webhook, signed by its secret.
    Webhook(HookSecret),
    /// To wherever the grant of each says, signed by the grant's secret.
    Callbacks,
}

/// A webhook, or all callbacks together.
#[derive(Debug)]
pub(super) struct Target {
    /// Its address; of callbacks what they are called.
    pub(super) url: String,
    pub(super) key: TargetKey,
    pub(super) events: Option<Vec<HookEvent>>,
    whither: Whither,
    agent: Agent,
    health: Mutex<Health>,
    look_again: AtomicBool,
    bell: Notify,
}

impl Target {
    pub(super) fn new(hook: &WebhookConfig, allow_private: bool) -> Self {
        Self {
            url: hook.url.clone(),
            key: key_of(&hook.url),
            events: hook.events.clone(),
            whither: Whither::Webhook(hook.secret.clone()),
            agent: send::agent(allow_private, DEADLINE),
            health: Mutex::default(),
            look_again: AtomicBool::default(),
            bell: Notify::new(),
        }
    }

    /// Makes what tells the callbacks of upload grants.
    pub(super) fn of_callbacks(allow_private: bool) -> Self {
        Self {
            url: "callbacks of upload grants".to_owned(),
            key: CALLBACKS,
            events: None,
            whither: Whither::Callbacks,
            agent: send::agent(allow_private, DEADLINE),
            health: Mutex::default(),
            look_again: AtomicBool::default(),
            bell: Notify::new(),
        }
    }

    fn at_once_max(&self) -> usize {
        match self.whither {
            Whither::Webhook(_) => AT_ONCE_MAX,
            Whither::Callbacks => CALLBACKS_AT_ONCE_MAX,
        }
    }

    /// Says whether an answer of 410 means that all of it is gone, and not only one address.
    fn is_one_place(&self) -> bool {
        matches!(self.whither, Whither::Webhook(_))
    }

    pub(super) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has rows found that were put back among older ones.
    pub(super) fn look_again(&self) {
        self.look_again.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Has everything that waits sent, also if the target has said that it is gone.
    pub(super) fn enable(&self) {
        self.change_health(|health| health.disabled = false);
        self.look_again();
    }

    fn change_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes one attempt; blocks.
    fn attempt(&self, state: &State, row: &DeliveryRecord, now: UnixMillis) -> Result<u16, String> {
        let (url, secret) = match &self.whither {
            Whither::Webhook(secret) => (self.url.clone(), secret.clone()),
            Whither::Callbacks => callback_of(state, row)?,
        };
        let (id, seconds, body) = (sign::name_of(row.id), sign::seconds(now), body::text(row));
        let headers = sign::headers(Some(&secret), id, seconds, &body);
        send::post(&self.agent, &url, &headers, &body, 0).map(|answer| answer.status)
    }
}

/// Returns where the grant of a delivery wants to be told, and by what that is signed.
fn callback_of(state: &State, row: &DeliveryRecord) -> Result<(String, HookSecret), String> {
    let grant = row.grant.map(|id| state.grant(id)).transpose().map_err(|it| it.to_string())?;
    let callback = grant.flatten().and_then(|grant| grant.callback);
    let callback = callback.ok_or("the upload grant is forgotten")?;
    Ok((callback.url, HookSecret::parse(&callback.secret)?))
}

/// Sends to one target.
pub(super) struct Sender {
    target: Arc<Target>,
    state: State,
    clock: Clock,
    /// What waits, by when it is due; the rows themselves are read when they are sent.
    due: BTreeSet<(UnixMillis, DeliveryId)>,
    under_way: HashSet<DeliveryId>,
    /// Up to here rows were read.
    seen: Option<DeliveryId>,
    ended: u32,
}

/// What came of an attempt.
struct Attempted {
    row: DeliveryRecord,
    answer: Result<u16, String>,
}

impl Sender {
    pub(super) fn new(target: &Arc<Target>, state: State, clock: Clock) -> Self {
        let (due, under_way) = (BTreeSet::new(), HashSet::new());
        Self { target: target.clone(), state, clock, due, under_way, seen: None, ended: 0 }
    }

    /// Sends until `stop` fires. Attempts that are under way then are made again by the next
    /// start.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let bell = self.state.outbox_bell();
        let target = self.target.clone();
        let mut attempts: JoinSet<(DeliveryId, Option<Attempted>)> = JoinSet::new();
        loop {
            let news = bell.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Err(failed) = self.read().await {
                warn!("webhook: the outbox can't be read: {failed}");
            }
            if let Err(failed) = self.give_up_overdue().await {
                warn!("webhook: what is too old can't be given up: {failed}");
            }
            self.begin(&mut attempts);
            let nap = self.nap();
            tokio::select! {
                () = stop.cancelled() => return,
                () = news => (),
                () = target.bell.notified() => (),
                () = tokio::time::sleep(nap) => (),
                Some(ended) = attempts.join_next() => {
                    let noted = match ended {
                        Ok((_, Some(attempted))) => self.settle(attempted).await,
                        Ok((id, None)) => self.not_made(id),
                        Err(_) => Ok(()),
                    };
                    if let Err(failed) = noted {
                        warn!("webhook: what came of a delivery can't be noted: {failed}");
                    }
                }
            }
        }
    }

    /// Reads rows that have come, and gives up the oldest if there are too many.
    async fn read(&mut self) -> Result<(), StateError> {
        if self.target.look_again.swap(false, Ordering::SeqCst) {
            self.seen = None;
            self.due.clear();
        }
        loop {
            let (state, key, seen) = (self.state.clone(), self.target.key, self.seen);
            let page = tokio::task::spawn_blocking(move || state.waiting(key, seen, PAGE)).await;
            let page = page.unwrap_or_else(|_| Ok(Vec::new()))?;
            let Some(last) = page.last() else { break };
            self.seen = Some(last.id);
            let is_new = |row: &&DeliveryRecord| !self.under_way.contains(&row.id);
            self.due.extend(page.iter().filter(is_new).map(|row| (row.next_at, row.id)));
        }
        let beyond = self.due.len().saturating_sub(WAITING_MAX);
        if beyond > 0 {
            let mut oldest: Vec<_> = self.due.iter().copied().collect();
            oldest.sort_by_key(|&(_, id)| id);
            warn!(
                beyond,
                "webhook: {beyond} deliveries to {} are given up, too many wait",
                self.name()
            );
            for (next_at, id) in oldest.into_iter().take(beyond) {
                self.due.remove(&(next_at, id));
                self.give_up(id, None, "Too many deliveries waited for this webhook.").await?;
            }
        }
        Ok(())
    }

    /// Gives up what nobody has taken in its time, while the target is disabled: nothing of it is
    /// attempted, which is where that is noticed otherwise.
    async fn give_up_overdue(&mut self) -> Result<(), StateError> {
        if !self.target.health().disabled {
            return Ok(());
        }
        let now = self.clock.now();
        let is_old = |id: DeliveryId| now.ms_since(id.drawn_at()) >= TRIED_FOR_MS;
        let old: Vec<_> =
            self.due.iter().copied().filter(|&(_, id)| is_old(id)).take(PAGE).collect();
        for (next_at, id) in old {
            self.due.remove(&(next_at, id));
            match self.state.delivery(self.target.key, id)? {
                // Somebody has had it tried again, which gives it another day.
                Some(row) if row.give_up_at > now => drop(self.due.insert((row.give_up_at, id))),
                Some(row) => self.give_up(id, row.status, GONE).await?,
                None => (),
            }
        }
        Ok(())
    }

    /// Begins what is due.
    fn begin(&mut self, attempts: &mut JoinSet<(DeliveryId, Option<Attempted>)>) {
        let now = self.clock.now();
        while attempts.len() < self.target.at_once_max() && !self.target.health().disabled {
            let Some(&(next_at, id)) = self.due.first().filter(|(next_at, _)| *next_at <= now)
            else {
                return;
            };
            self.due.remove(&(next_at, id));
            self.under_way.insert(id);
            let (target, state, clock) =
                (self.target.clone(), self.state.clone(), self.clock.clone());
            attempts.spawn(async move {
                let (told, answer) = oneshot::channel();
                // A thread of its own: others' work must not wait for a target that hangs.
                let thread = std::thread::Builder::new().name("webhook".to_owned());
                let begun = thread.spawn(move || {
                    let row = state.delivery(target.key, id).ok().flatten();
                    let made = row.map(|row| {
                        let answer = target.attempt(&state, &row, clock.wall());
                        Attempted { row, answer }
                    });
                    drop(told.send(made));
                });
                match begun {
                    Ok(_) => (id, answer.await.ok().flatten()),
                    Err(_) => (id, None),
                }
            });
        }
    }

    fn nap(&self) -> Duration {
        if self.target.health().disabled {
            return NAP;
        }
        let now = self.clock.now();
        let next = self.due.first().map(|&(next_at, _)| next_at.0.saturating_sub(now.0));
        let ms = next.map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(0)).max(10);
        // While the most are under way, the next one waits for one of them anyway.
        Duration::from_millis(ms).min(NAP)
    }

    async fn settle(&mut self, Attempted { row, answer }: Attempted) -> Result<(), StateError> {
        let (id, now) = (row.id, self.clock.now());
        self.under_way.remove(&id);
        let (status, error) = match answer {
            Ok(status @ 200..=299) => {
                let before = self.target.health().failures;
                self.target.change_health(|health| {
                    health.failures = 0;
                    health.last_success_at = Some(now);
                });
                if before > 0 {
                    info!("webhook: {} takes deliveries again", self.name());
                }
                return self.end(id, DeliveryState::Delivered, Some(status), None).await;
            }
            Ok(status) => (Some(status), format!("it answered {status}")),
            Err(cause) => (None, cause.chars().take(ERROR_CHARS_MAX).collect()),
        };
        let is_first = self.target.health().failures == 0;
        let is_gone = status == Some(410);
        self.target.change_health(|health| {
            health.failures = health.failures.saturating_add(1);
            health.last_failure_at = Some(now);
            health.last_error = Some(error.clone());
            health.disabled |= is_gone && self.target.is_one_place();
        });
        if is_first || (is_gone && self.target.is_one_place()) {
            warn!("webhook: {} doesn't take deliveries: {error}", self.name());
        }
        if is_gone && !self.target.is_one_place() {
            return self.give_up(id, status, &error).await;
        }
        let attempt = row.attempts.saturating_add(1);
        let next_at = now.plus_ms(retry_after_ms(attempt, jitter(id, attempt)));
        if next_at >= row.give_up_at {
            warn!("webhook: a delivery to {} is given up", self.name());
            return self.give_up(id, status, &error).await;
        }
        self.due.insert((next_at, id));
        self.state.delivery_failed(self.target.key, id, next_at, status, error).await
    }

    /// Looks what became of a row whose attempt was never made.
    fn not_made(&mut self, id: DeliveryId) -> Result<(), StateError> {
        self.under_way.remove(&id);
        if let Some(row) = self.state.delivery(self.target.key, id)? {
            let soon = self.clock.now().plus_ms(retry_after_ms(1, 0.0));
            self.due.insert((row.next_at.max(soon), id));
        }
        Ok(())
    }

    async fn give_up(
        &mut self,
        id: DeliveryId,
        status: Option<u16>,
        why: &str,
    ) -> Result<(), StateError> {
        self.end(id, DeliveryState::GivenUp, status, Some(why.to_owned())).await
    }

    async fn end(
        &mut self,
        id: DeliveryId,
        to: DeliveryState,
        status: Option<u16>,
        error: Option<String>,
    ) -> Result<(), StateError> {
        let now = self.clock.now();
        self.state.end_delivery(self.target.key, id, to, now, status, error).await?;
        self.ended = self.ended.wrapping_add(1);
        if self.ended.is_multiple_of(TRIM_EVERY) {
            self.state.trim_deliveries().await?;
        }
        Ok(())
    }

    /// Returns the address without what may be secret in it.
    fn name(&self) -> &str {
        self.target.url.split(['?', '#']).next().unwrap_or_default()
    }
}

/// Spreads retries apart; the id's own random bits serve.
fn jitter(id: DeliveryId, attempt: u32) -> f64 {
    f64::from(id.as_bytes()[8 + (attempt as usize % 8)]) / 255.0
}
