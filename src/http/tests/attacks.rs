//! What strangers try at the front door. docs/SECURITY.md lists what else is tried, and where.

use super::rig::{Answer, Rig};
use crate::access::{NewToken, Secret};
use crate::config::{Config, Network};
use crate::model::access::Role;

/// The tests' own machine is a proxy.
fn behind_a_proxy(config: &mut Config) {
    config.proxies.networks = vec![Network { address: [127, 0, 0, 1].into(), prefix_bits: 32 }];
}

async fn with_host(rig: &Rig, target: &str, headers: &str) -> Answer {
    rig.raw(&format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await
}

/// A `Host` that isn't one is refused before it could get into a page, a link or a log.
#[tokio::test]
async fn hosts_that_are_none_are_refused() {
    let rig = Rig::start().await;
    for bad in [
        "evil.example/x",
        "a\"><script>",
        "a b",
        "user@evil.example",
        "a:99999",
        "a,b",
        "[::1",
        "",
        "a%0d%0aX-A:b",
    ] {
        let answer = with_host(&rig, "/healthz", &format!("Host: {bad}\r\n")).await;
        assert_eq!(answer.status, 400, "{bad}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(bad.len() < 4 || !text.contains(bad), "{text}");
    }
    for twice in ["Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n"] {
        assert_eq!(with_host(&rig, "/healthz", twice).await.status, 400, "{twice}");
    }
    let other = with_host(&rig, "http://evil.example/healthz", "Host: localhost\r\n").await;
    assert_eq!(other.status, 400, "the address and the header name two hosts");
    let same = with_host(&rig, "http://localhost/healthz", "Host: localhost\r\n").await;
    assert_eq!(same.status, 200);
    let old = rig.raw("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200, "balancers of old look without a host");
}

/// Whatever names the host that was asked for stays out of shared caches, and only a proxy can
/// have it name another one.
#[tokio::test]
async fn caches_cant_be_poisoned_through_hosts() {
    let evil = "Host: films.example\r\nX-Forwarded-Host: evil.example\r\n\
                Forwarded: for=1.1.1.1;host=evil.example\r\nX-Host: evil.example\r\n\
                X-Forwarded-Proto: https\r\nX-Forwarded-Server: evil.example\r\n";
    for (trusted, site) in [(false, "http://films.example"), (true, "https://evil.example")] {
        let change = if trusted { behind_a_proxy } else { |_: &mut Config| {} };
        let rig = Rig::start_with(change).await;
        let video = rig.bring(b"hello").await;
        for target in [format!("/watch/{video}"), format!("/oembed?url=/watch/{video}")] {
            let answer = with_host(&rig, &target, evil).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(text.contains(&format!("{site}/")), "{target}: {text}");
            assert_eq!(text.contains("evil.example"), trusted, "{target}: {text}");
            let kept = answer.header("cache-control").to_owned();
            assert!(kept.contains("private") || kept == "no-store", "{target}: {kept}");
        }
        // Everything else says the same whatever host was asked for.
        for target in [
            "/",
            "/login",
            "/library",
            "/openapi.json",
            "/docs",
            "/static/slipway.js",
            "/api/videos/x",
            "/nothing",
            &format!("/embed/{video}"),
            &format!("/api/videos/{video}"),
        ] {
            let answer = with_host(&rig, target, evil).await;
            let head = format!("{:?}", answer.headers);
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            for name in ["evil.example", "films.example"] {
                assert!(!head.contains(name) && !text.contains(name), "{target}: {head} {text}");
            }
        }
    }
    let rig = Rig::start_with(behind_a_proxy).await;
    let bad = "Host: localhost\r\nX-Forwarded-Host: a\"><script>\r\n";
    assert_eq!(with_host(&rig, "/healthz", bad).await.status, 400);
}

fn strict(config: &mut Config) {
    behind_a_proxy(config);
    config.limits.requests_per_address = Some(5);
    config.limits.media_per_address = Some(7);
    config.limits.requests_per_token = Some(5);
    config.limits.requests_per_owner = Some(8);
}

/// Asks `times` times and returns the statuses.
async fn ask_often(rig: &Rig, times: usize, line: &str, headers: &[(&str, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(rig.ask(line, headers, b"").await.status);
    }
    statuses
}

/// An address has so many requests and is then told when to come again; others aren't concerned,
/// and media, health checks and this machine aren't counted with them.
#[tokio::test]
async fn requests_are_counted_by_address() {
    let rig = Rig::start_with(strict).await;
    let one = [("X-Forwarded-For", "203.0.113.1")];
    assert_eq!(ask_often(&rig, 5, "GET /api/session", &one).await, [200; 5]);
    let refused = rig.ask("GET /api/session", &one, b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too-many-requests"));
    let wait: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=12).contains(&wait), "{wait}");
    assert_eq!(refused.json()["retryAfter"], wait);
    // What the client says of itself changes nothing.
    let dressed = [("X-Forwarded-For", "198.51.100.9, 203.0.113.1")];
    assert_eq!(rig.ask("GET /api/session", &dressed, b"").await.status, 429);
    let other = [("X-Forwarded-For", "203.0.113.2")];
    assert_eq!(rig.ask("GET /api/session", &other, b"").await.status, 200);
    let media = ask_often(&rig, 8, "GET /media/x/master.m3u8", &one).await;
    assert_eq!((&media[..7], media[7]), (&[404; 7][..], 429), "{media:?}");
    assert!(ask_often(&rig, 20, "GET /healthz", &one).await.iter().all(|&status| status == 200));
    assert!(ask_often(&rig, 20, "GET /api/session", &[]).await.iter().all(|&it| it == 200));
    // A page of another site can read why.
    let page = [one[0], ("Origin", "https://app.example")];
    let refused = rig.ask("GET /api/session", &page, b"").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (429, "*"));
    let exposed = refused.header("access-control-expose-headers").to_lowercase();
    assert!(exposed.contains("retry-after"), "{exposed}");
}

/// A token has so many requests wherever it is used, and an owner with all of theirs.
#[tokio::test]
async fn requests_are_counted_by_token_and_owner() {
    let rig = Rig::start_with(strict).await;
    let access = &rig.parts.access;
    let user = Some("ann".to_owned());
    let second = access.create_token(NewToken { user, ..NewToken::of(Role::Uploader) }).await;
    let second = second.expect("a token").0;
    let ask = async |token: &str, from: usize| {
        let from = format!("203.0.113.{from}");
        rig.as_token(token, "GET /api/videos", &[("X-Forwarded-For", &from)], b"").await
    };
    for from in 0..5 {
        assert_eq!(ask(&rig.ann, from).await.status, 200);
    }
    let refused = ask(&rig.ann, 5).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too-many-requests"));
    for from in 6..9 {
        assert_eq!(ask(&second, from).await.status, 200);
    }
    assert_eq!(ask(&second, 9).await.status, 429, "the owner's, with another token");
    assert_eq!(ask(&rig.bob, 9).await.status, 200);
    let near = rig.as_token(&rig.ann, "GET /api/videos", &[], b"").await;
    assert_eq!(near.status, 200, "on this machine");
}

/// Whoever tries one password after another with ever other names is held up by address, whatever
/// they say of where they come from; others sign in meanwhile.
#[tokio::test]
async fn guessing_is_counted_by_address() {
    let rig = Rig::start_with(behind_a_proxy).await;
    let made = rig.parts.access.create_user("ann", Role::Uploader, Secret("a password".to_owned()));
    made.await.expect("an account");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let log_in = async |name: &str, from: &str, password: &str| {
        let body = format!("name={name}&password={password}");
        rig.ask("POST /login", &[form, ("X-Forwarded-For", from)], body.as_bytes()).await
    };
    for n in 0..30 {
        // The proxy adds the last one; what stands before is the client's word.
        let from = format!("198.51.100.{n}, 203.0.113.1");
        let answer = log_in(&format!("user{n}"), &from, "guess").await;
        assert_eq!(answer.status, 303, "{n}: {answer:?}");
    }
    for from in ["203.0.113.1", "192.0.2.1, 203.0.113.1"] {
        let held_up = log_in("another", from, "guess").await;
        assert_eq!((held_up.status, held_up.code().as_str()), (429, "too-many-attempts"), "{from}");
        assert!(held_up.has("retry-after"));
    }
    let elsewhere = log_in("ann", "203.0.113.2", "a+password").await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (303, "/"));
}
