//! The hub on its own: replay, slow readers, paced progress.

use super::*;
use crate::events::{Effort, EventKind};
use crate::ids::Owner;
use crate::model::job::Stage;

const START: UnixMillis = UnixMillis(1_700_000_000_000);

fn event(kind: EventKind, video: VideoId) -> Event {
    Event::of_video(kind, START, video, Owner("anna".into()))
}

fn progress(video: VideoId, share: f64) -> Event {
    let progress = Progress {
        stage: Stage::Renditions,
        progress: share,
        speed: 1.0,
        eta_seconds: None,
        renditions: Vec::new(),
        playable_seconds: 0.0,
        made_seconds: 0.0,
        effort: Effort::default(),
    };
    event(EventKind::VideoProgress, video).with(EventBody::Progress(progress))
}

fn shares(ring: &Ring) -> Vec<f64> {
    let share = |event: &Arc<Event>| match &event.body {
        EventBody::Progress(progress) => Some(progress.progress),
        _ => None,
    };
    ring.events.iter().filter_map(share).collect()
}

/// Of quick progress at most four events a second are told, the last value always among them.
#[test]
fn progress_is_thinned_and_its_last_value_kept() {
    let hub = Hub::new(START);
    let video = VideoId::fresh(START);
    let begin = Instant::now();
    let mut ring = hub.shared.ring();
    for step in 0..=100u32 {
        ring.take(progress(video, f64::from(step)), begin + Duration::from_millis(10) * step);
    }
    assert_eq!(shares(&ring), [0.0, 1.0, 34.0, 67.0]);
    assert_eq!(ring.due, Some(begin + Duration::from_millis(1002)));
    ring.release_due(begin + Duration::from_millis(1001));
    assert_eq!(shares(&ring).len(), 4, "held back until its time has come");
    ring.release_due(begin + Duration::from_millis(1002));
    assert_eq!(shares(&ring).last(), Some(&100.0));
    assert_eq!(ring.due, None);
}

/// What comes now and then right behind what comes regularly isn't held back.
#[test]
fn a_second_report_goes_out_at_once() {
    let hub = Hub::new(START);
    let video = VideoId::fresh(START);
    let begin = Instant::now();
    let mut ring = hub.shared.ring();
    for second in 0..10u32 {
        for ms in [0, 500, 520] {
            let at = begin + Duration::from_secs(1) * second + Duration::from_millis(ms);
            ring.take(progress(video, f64::from(second)), at);
            assert_eq!(ring.due, None);
        }
    }
    assert_eq!(shares(&ring).len(), 30);
}

/// The end of the work takes back what was held, and the last value with it.
#[test]
fn the_end_of_work_ends_its_progress() {
    let hub = Hub::new(START);
    let (video, other) = (VideoId::fresh(START), VideoId::fresh(START));
    for share in [0.1, 0.2, 0.3] {
        hub.publish(progress(video, share));
        hub.publish(progress(other, share));
    }
    assert_eq!(hub.progress(video).map(|p| p.progress), Some(0.3));
    hub.publish(event(EventKind::VideoReady, video));
    assert_eq!(hub.progress(video), None);
    assert_eq!(hub.progress(other).map(|p| p.progress), Some(0.3));
    let mut ring = hub.shared.ring();
    ring.release_due(Instant::now() + PROGRESS_GAP);
    let of_video: Vec<_> = ring.events.iter().filter(|e| e.video == Some(video)).collect();
    assert_eq!(of_video.last().map(|e| e.kind), Some(EventKind::VideoReady));
}

/// A listener that comes back with its last id gets exactly what came after it.
#[tokio::test]
async fn a_returning_listener_misses_nothing() {
    let hub = Hub::new(START);
    let video = VideoId::fresh(START);
    let mut live = hub.subscribe(None);
    for _ in 0..5 {
        hub.publish(event(EventKind::VideoState, video));
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        match live.next().await {
            Some(News::Event(event)) => ids.push(event.id),
            other => panic!("{other:?}"),
        }
    }
    assert!(ids.windows(2).all(|w| w[1] == w[0] + 1), "{ids:?}");
    let mut again = hub.subscribe(Some(ids[2]));
    hub.close();
    for expected in &ids[3..] {
        match again.next().await {
            Some(News::Event(event)) => assert_eq!(event.id, *expected),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again.next().await, None);
    assert_eq!(live.next().await, None);
}

/// A slow listener, one from the future and one from an earlier process learn that they missed
/// something, once, and then go on with what is new.
#[tokio::test]
async fn who_missed_something_is_told_once() {
    let hub = Hub::new(START);
    let video = VideoId::fresh(START);
    let mut slow = hub.subscribe(None);
    for _ in 0..RING_EVENTS_MAX + 1 {
        hub.publish(event(EventKind::VideoState, video));
    }
    let mut earlier = hub.subscribe(Some(7));
    let mut ahead = hub.subscribe(Some(u64::MAX));
    for listener in [&mut slow, &mut earlier, &mut ahead] {
        assert_eq!(listener.next().await, Some(News::Missed));
    }
    hub.publish(event(EventKind::VideoFailed, video));
    for listener in [&mut slow, &mut earlier, &mut ahead] {
        match listener.next().await {
            Some(News::Event(event)) => assert_eq!(event.kind, EventKind::VideoFailed),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(hub.shared.ring().events.len(), RING_EVENTS_MAX, "the ring is bounded");
}

/// A waiting listener is woken by an event, and tells held progress when nobody else speaks.
#[tokio::test]
async fn waiting_listeners_wake_up() {
    let hub = Hub::new(START);
    let video = VideoId::fresh(START);
    let mut listener = hub.subscribe(None);
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(News::Event(event)) = listener.next().await {
            seen.push(event);
            if seen.len() == 3 {
                break;
            }
        }
        seen
    });
    tokio::task::yield_now().await;
    hub.publish(progress(video, 0.1));
    hub.publish(progress(video, 0.2));
    // It has read that, and waits again when the next comes too soon to be told.
    tokio::task::yield_now().await;
    hub.publish(progress(video, 0.25));
    hub.publish(progress(video, 0.3));
    let seen = reading.await.expect("the listener's task ends by itself");
    let last = EventBody::Progress(Progress {
        stage: Stage::Renditions,
        progress: 0.3,
        speed: 1.0,
        eta_seconds: None,
        renditions: Vec::new(),
        playable_seconds: 0.0,
        made_seconds: 0.0,
        effort: Effort::default(),
    });
    assert_eq!(seen.last().map(|event| event.body.clone()), Some(last));
}
