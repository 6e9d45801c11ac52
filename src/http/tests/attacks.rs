//! What strangers try at the front door. docs/SECURITY.md lists what else is tried, and where.

use super::rig::{Answer, Rig};
use crate::config::{Config, Network};

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
