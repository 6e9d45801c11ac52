//! A receiver that says that it is gone, and comes back.

use super::*;
use crate::config::{HookSecret, WebhookConfig};
use crate::model::hook::DeliveryState;
use crate::units::UnixMillis;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

const START: UnixMillis = UnixMillis(1_700_000_000_000);

/// Answers 410 until `back` is set.
fn receiver(back: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let status = if back.load(Ordering::SeqCst) { "204 No Content" } else { "410 Gone" };
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}/hook")
}

/// Waits until so many deliveries wait and have ended in this state.
async fn until(hooks: &Hooks, waiting: usize, ended: (DeliveryState, usize)) {
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(10));
    let looked = async {
        loop {
            looks.tick().await;
            let all = hooks.state.ended_deliveries(None, 100, &|row| row.state == ended.0);
            let count = all.expect("they read").len();
            let waits = hooks.targets().expect("they read")[0].waiting;
            if (waits, count) == (waiting, ended.1) {
                return;
            }
        }
    };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, looked).await.expect("it comes to that");
}

/// What a webhook that answered 410 hasn't taken waits for a day and is given up then; a person's
/// test enables it again, and what waits is sent.
#[tokio::test]
async fn a_gone_webhook_keeps_nothing_for_ever() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = State::open(&dir.path().join("state")).expect("a fresh database");
    let clock = Clock::by_hand(START);
    let back = Arc::new(AtomicBool::new(false));
    let secret = HookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let hook = WebhookConfig { url: receiver(back.clone()), secret, events: None };
    let mut config = HooksConfig::default();
    (config.webhooks, config.allow_private) = (vec![hook], true);
    let hooks = Hooks::new(&config, state.clone(), clock.clone());
    hooks.start().await.expect("it starts");
    let stop = CancellationToken::new();
    let running = tokio::spawn(hooks.clone().run(stop.clone()));

    state.tell_test().await.expect("told");
    until(&hooks, 1, (DeliveryState::GivenUp, 0)).await;
    let target = &hooks.targets[0];
    while !target.health().disabled {
        tokio::task::yield_now().await;
    }
    state.tell_test().await.expect("told");
    until(&hooks, 2, (DeliveryState::GivenUp, 0)).await;
    clock.advance_ms(23 * 3_600_000);
    state.tell_test().await.expect("told");
    until(&hooks, 3, (DeliveryState::GivenUp, 0)).await;
    clock.advance_ms(2 * 3_600_000);
    state.tell_test().await.expect("told");
    until(&hooks, 2, (DeliveryState::GivenUp, 2)).await;
    let given_up = state.ended_deliveries(None, 10, &|_| true).expect("they read");
    assert!(given_up.iter().all(|row| row.error.as_deref().is_some_and(|it| it.contains("410"))));

    back.store(true, Ordering::SeqCst);
    assert_eq!(hooks.test().await.expect("told"), 1);
    until(&hooks, 0, (DeliveryState::Delivered, 3)).await;
    assert!(!target.health().disabled);
    stop.cancel();
    running.await.expect("it ends");
}
