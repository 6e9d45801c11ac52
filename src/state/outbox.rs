//! The outbox: what webhooks have still to be told, and what came of it.
//!
//! Rows are written in the batch of the change that they tell, so no kill loses one; who sends
//! them removes them after the answer, so each is sent at least once, always under the same id.
//! Without targets nothing is written. Ids rise, so that rows lie in the order of what happened.

use super::erase::Closed;
use super::error::StateError;
use super::record::{DeliveryRecord, VideoRecord};
use super::view::View;
use super::writer::Promise;
use super::{State, grants, keys};
use crate::clock::Clock;
use crate::ids::{DeliveryId, GrantId};
use crate::model::hook::{DeliveryState, HookEvent, Subject, TRIED_FOR_MS, VideoNews, Whereabouts};
use crate::model::room::Level;
use crate::units::UnixMillis;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Ended deliveries that are kept for people to look at.
pub const ENDED_MAX: usize = 5_000;

/// Names a target in keys.
pub type TargetKey = [u8; 8];

/// What callbacks of grants wait under, whatever their address.
pub const CALLBACKS: TargetKey = *b"callback";

/// Somebody who wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookTarget {
    /// Its name in keys; the same for the same address, always.
    pub key: TargetKey,
    /// Of what; none for everything.
    pub events: Option<Vec<HookEvent>>,
}

impl HookTarget {
    fn wants(&self, event: HookEvent) -> bool {
        let is_named = |events: &Vec<HookEvent>| events.contains(&event);
        event == HookEvent::Test || self.events.as_ref().is_none_or(is_named)
    }
}

/// Something that a transaction tells of.
#[derive(Debug)]
pub(super) struct News {
    pub(super) event: HookEvent,
    pub(super) subject: Subject,
    /// The grant whose callback is told, instead of the webhooks.
    pub(super) grant: Option<GrantId>,
}

/// Who is told; shared by the writer and whoever asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    settings: Arc<Mutex<Option<Settings>>>,
    bell: Arc<Notify>,
    /// Of whom nothing is told any more.
    closed: Closed,
}

#[derive(Debug)]
struct Settings {
    targets: Vec<HookTarget>,
    clock: Clock,
    /// When the newest id was drawn: the next is drawn later, even within a millisecond.
    last: UnixMillis,
}

impl Outbox {
    /// Makes one that tells nothing of those who are erased.
    pub(super) fn beside(closed: Closed) -> Self {
        Self { closed, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Settings>> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether anybody is told.
    pub(super) fn is_telling(&self) -> bool {
        self.lock().as_ref().is_some_and(|settings| !settings.targets.is_empty())
    }

    /// Makes the rows of what a transaction tells of.
    pub(super) fn rows(&self, news: Vec<News>) -> Vec<DeliveryRecord> {
        let mut settings = self.lock();
        let Some(settings) = settings.as_mut().filter(|_| !news.is_empty()) else {
            return Vec::new();
        };
        let at = settings.clock.now();
        let mut rows = Vec::new();
        for News { event, subject, grant } in news {
            if let Subject::Video(about) = &subject
                && self.closed.is_closed_to(&about.owner)
            {
                continue;
            }
            let callback = grant.map(|_| CALLBACKS);
            let wanting = settings.targets.iter().filter(|target| target.wants(event));
            let hooks = wanting.filter(|_| grant.is_none()).map(|target| target.key);
            for target in hooks.chain(callback) {
                let drawn_at = UnixMillis(at.0.max(settings.last.0.saturating_add(1)));
                settings.last = drawn_at;
                rows.push(DeliveryRecord {
                    id: DeliveryId::fresh(drawn_at),
                    target,
                    event,
                    subject: subject.clone(),
                    at,
                    state: DeliveryState::Pending,
                    attempts: 0,
                    next_at: at,
                    give_up_at: at.plus_ms(TRIED_FOR_MS),
                    ended_at: None,
                    status: None,
                    error: None,
                    grant,
                });
            }
        }
        rows
    }

    /// Wakes who sends.
    pub(super) fn ring(&self) {
        self.bell.notify_waiters();
        self.bell.notify_one();
    }
}

impl State {
    /// From now on every change tells these targets; what waits for others is given up.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    /// # Durability
    /// Synced.
    pub async fn tell_webhooks(
        &self,
        targets: Vec<HookTarget>,
        clock: Clock,
    ) -> Result<(), StateError> {
        let now = clock.now();
        let known: Vec<TargetKey> = targets.iter().map(|target| target.key).collect();
        let last = self.call(Promise::Synced, move |view| {
            let mut last = now;
            for key in view.keys(keys::WAITING)? {
                let row: DeliveryRecord = view.get(&key)?;
                last = last.max(row.id.drawn_at());
                if row.target != CALLBACKS && !known.contains(&row.target) {
                    let why = "The webhook isn't configured any more.";
                    end(view, row, DeliveryState::GivenUp, now, None, Some(why.to_owned()))?;
                }
            }
            Ok(last)
        });
        let last = last.await?;
        *self.outbox().lock() = Some(Settings { targets, clock, last });
        Ok(())
    }

    /// Returns the bell that rings when there may be something to send. It is a hint.
    pub fn outbox_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.outbox().bell)
    }

    /// Tells that room on the disk is getting short.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Written.
    pub async fn tell_of_disk(&self, level: Level) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            view.tell(HookEvent::DiskLow, level.into());
            Ok(())
        })
        .await
    }

    /// Tells all targets something to see whether they are reached.
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Written.
    pub async fn tell_test(&self) -> Result<(), StateError> {
        self.call(Promise::Written, |view| {
            view.tell(HookEvent::Test, Subject::Test);
            Ok(())
        })
        .await
    }

    /// Reads what waits for a target behind `after`, the oldest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn waiting(
        &self,
        target: TargetKey,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeliveryRecord>, StateError> {
        let prefix = keys::waiting_for(target);
        let after = after.map(|id| keys::waiting(target, id));
        self.page(&prefix, after, limit)
    }

    /// Reads one that waits.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn delivery(
        &self,
        target: TargetKey,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StateError> {
        self.view().find(&keys::waiting(target, id))
    }

    /// Notes that an attempt failed, and when the next one is due.
    ///
    /// # Errors
    /// `Missing`; `Failed`.
    /// # Durability
    /// Written.
    pub async fn delivery_failed(
        &self,
        target: TargetKey,
        id: DeliveryId,
        next_at: UnixMillis,
        status: Option<u16>,
        error: String,
    ) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let mut row: DeliveryRecord = view.get(&keys::waiting(target, id))?;
            row.attempts = row.attempts.saturating_add(1);
            row.next_at = next_at;
            row.status = status;
            row.error = Some(error);
            view.put(keys::waiting(target, id), &row)
        })
        .await
    }

    /// Ends a delivery: the target has taken it, or nobody tries any more.
    ///
    /// # Errors
    /// `Missing`; `Failed`.
    /// # Durability
    /// Written: after a power cut it may be sent again.
    pub async fn end_delivery(
        &self,
        target: TargetKey,
        id: DeliveryId,
        to: DeliveryState,
        now: UnixMillis,
        status: Option<u16>,
        error: Option<String>,
    ) -> Result<(), StateError> {
        self.call(Promise::Written, move |view| {
            let mut row: DeliveryRecord = view.get(&keys::waiting(target, id))?;
            row.attempts = row.attempts.saturating_add(u32::from(to == DeliveryState::Delivered));
            end(view, row, to, now, status, error)
        })
        .await
    }

    /// Has a delivery to one of the `known` targets that was given up or taken tried again, for a
    /// day.
    ///
    /// # Errors
    /// `Missing`, also if its target isn't known any more; `Failed`.
    /// # Durability
    /// Synced.
    pub async fn retry_delivery(
        &self,
        id: DeliveryId,
        known: Vec<TargetKey>,
        now: UnixMillis,
    ) -> Result<DeliveryRecord, StateError> {
        let retried = self.call(Promise::Synced, move |view| {
            let mut row: DeliveryRecord = view.get(&keys::ended_delivery(id))?;
            if !known.contains(&row.target) {
                return Err(StateError::Missing);
            }
            row.state = DeliveryState::Pending;
            row.next_at = now;
            row.give_up_at = now.plus_ms(TRIED_FOR_MS);
            row.ended_at = None;
            view.remove(keys::ended_delivery(id));
            view.put(keys::waiting(row.target, id), &row)?;
            Ok(row)
        });
        let row = retried.await?;
        self.outbox().ring();
        Ok(row)
    }

    /// Forgets the oldest ended deliveries beyond [`ENDED_MAX`].
    ///
    /// # Errors
    /// `Failed`.
    /// # Durability
    /// Written.
    pub async fn trim_deliveries(&self) -> Result<(), StateError> {
        self.call(Promise::Written, |view| {
            let all = view.keys(keys::DELIVERED)?;
            let beyond = all.len().saturating_sub(ENDED_MAX);
            all.into_iter().take(beyond).for_each(|key| view.remove(key));
            Ok(())
        })
        .await
    }

    /// Reads at most `limit` ended deliveries from before `before` on, the newest first.
    ///
    /// # Errors
    /// `Unreadable`, `Failed`.
    pub fn ended_deliveries(
        &self,
        before: Option<DeliveryId>,
        limit: usize,
        keep: &dyn Fn(&DeliveryRecord) -> bool,
    ) -> Result<Vec<DeliveryRecord>, StateError> {
        let end = before.map_or_else(|| keys::behind(keys::DELIVERED), keys::ended_delivery);
        self.newest(keys::DELIVERED, &end, limit, keep)
    }

    /// Counts what waits for a target.
    ///
    /// # Errors
    /// `Failed`.
    pub fn count_waiting(&self, target: TargetKey) -> Result<usize, StateError> {
        let prefix = keys::waiting_for(target);
        let (from, end) = (Bound::Included(prefix.as_slice()), keys::behind(&prefix));
        let range = self.inner.db.range::<&[u8], _>((from, Bound::Excluded(end.as_slice())));
        let mut count = 0;
        for key in range.keys() {
            key.map_err(super::view::failed)?;
            count += 1;
        }
        Ok(count)
    }
}

fn end(
    view: &mut View<'_>,
    mut row: DeliveryRecord,
    to: DeliveryState,
    now: UnixMillis,
    status: Option<u16>,
    error: Option<String>,
) -> Result<(), StateError> {
    view.remove(keys::waiting(row.target, row.id));
    row.state = to;
    row.ended_at = Some(now);
    row.status = status.or(row.status);
    row.error = error;
    view.put(keys::ended_delivery(row.id), &row)
}

/// Tells of what is different about a video that is about to be written, or that goes: the
/// webhooks, and of what matters to it the callback of the grant by which it came.
pub(super) fn tell_of_video(
    view: &mut View<'_>,
    before: Option<&VideoRecord>,
    after: Option<&VideoRecord>,
) -> Result<(), StateError> {
    let Some(after) = after else {
        if let Some(gone) = before {
            view.tell(HookEvent::VideoState, about(gone, Whereabouts::Deleted));
        }
        return Ok(());
    };
    let is_new = |holds: fn(&VideoRecord) -> bool| holds(after) && !before.is_some_and(holds);
    let is_different = before.is_none_or(|before| {
        before.state != after.state
            || before.visibility != after.visibility
            || before.title != after.title
            || before.description != after.description
            || before.tags != after.tags
            || before.chosen != after.chosen
    });
    let state = |state| before.is_none_or(|before| before.state != state) && after.state == state;
    use crate::model::video::VideoState::{Failed, Ready};
    let events = [
        (HookEvent::UploadCompleted, is_new(|video| video.uploaded_at.is_some())),
        (HookEvent::VideoState, is_different),
        (HookEvent::VideoPlayable, is_new(|video| video.playable)),
        (HookEvent::VideoReady, state(Ready)),
        (HookEvent::VideoFailed, state(Failed)),
    ];
    for (event, _) in events.into_iter().filter(|(_, happened)| *happened) {
        view.tell(event, about(after, Whereabouts::Here));
        use HookEvent::{UploadCompleted, VideoFailed, VideoReady};
        if matches!(event, UploadCompleted | VideoReady | VideoFailed)
            && let Some(grant) = grants::called(view, after)?
        {
            view.call_back(grant, event, about(after, Whereabouts::Here));
        }
    }
    Ok(())
}

/// Describes a video as it is now.
pub(super) fn about(video: &VideoRecord, whereabouts: Whereabouts) -> Subject {
    Subject::Video(Box::new(VideoNews {
        video: video.id,
        upload: video.upload,
        grant: video.grant,
        owner: video.owner.clone(),
        whereabouts,
        state: video.state,
        playable: video.playable && whereabouts == Whereabouts::Here,
        visibility: video.visibility,
        title: video.title.clone(),
        filename: video.filename.clone(),
        session: video.session.clone(),
        size: video.size,
        duration: video.facts.as_ref().map(|facts| facts.duration).filter(|it| *it > 0.0),
        problem: video.problem.clone(),
    }))
}
