//! What tokens say, whom they admit, and that nobody else can make or change one.

use super::*;
use crate::clock::Clock;
use crate::config::AuthMode;
use crate::state::{RingChange, State};
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const HOUR_MS: u64 = 3_600_000;

struct Place {
    directory: tempfile::TempDir,
    clock: Clock,
    access: Access,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Clock::by_hand(NOW);
        let state = State::open(&directory.path().join("state")).expect("a database");
        let access = Access::new(state, clock.clone(), AuthMode::Token);
        Self { directory, clock, access }
    }

    async fn token(&self, wanted: Wanted, video: &VideoRecord) -> String {
        self.access.playback_token(wanted, video).await.expect("a token").0
    }
}

fn video(owner: &str) -> VideoRecord {
    let record = VideoRecord::new(VideoId::fresh(NOW), Owner(owner.to_owned()), NOW);
    VideoRecord { state: VideoState::Ready, ..record }
}

fn wanted(scope: Scope) -> Wanted {
    Wanted { scope, for_ms: HOUR_MS, early: false, network: None, hosts: Vec::new() }
}

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

/// A token says what was wanted, until its time is over.
#[tokio::test]
async fn a_token_says_what_it_is_for() {
    let place = Place::new();
    let video = video("acme/ann");
    let all = [
        wanted(Scope::Video(video.id)),
        Wanted {
            early: true,
            network: Some(network("203.0.113.0/24")),
            hosts: vec!["app.example".into(), "*.app.example:8443".into()],
            ..wanted(Scope::Video(video.id))
        },
        Wanted {
            network: Some(network("2001:db8::/56")),
            ..wanted(Scope::Owner(video.owner.clone()))
        },
        wanted(Scope::Organisation("acme".into())),
    ];
    for wanted in all {
        let said = wanted.clone();
        let (token, made) = place.access.playback_token(wanted, &video).await.expect("a token");
        assert!(is_playback_shaped(&token) && token.len() < 200, "{token}");
        let ticket = place.access.playback(&token).await.expect("one of ours");
        assert_eq!(ticket, made);
        let of = (ticket.scope.clone(), ticket.early, ticket.network, ticket.hosts.clone());
        assert_eq!(of, (said.scope, said.early, said.network, said.hosts));
        assert_eq!((ticket.made_at, ticket.until), (NOW, NOW.plus_ms(HOUR_MS)));
        assert!(ticket.shows(&video));
    }
    let token = place.token(wanted(Scope::Video(video.id)), &video).await;
    place.clock.advance_ms(HOUR_MS as i64 - 1);
    assert!(place.access.playback(&token).await.is_ok());
    place.clock.advance_ms(1);
    assert!(matches!(place.access.playback(&token).await, Err(Denied::Invalid)));
}

/// Whatever is changed of a token, it isn't one any more; what isn't one is never taken for one.
#[tokio::test]
async fn a_changed_token_is_worth_nothing() {
    let place = Place::new();
    let video = video("ann");
    let token = place.token(wanted(Scope::Video(video.id)), &video).await;
    for at in 4..token.len() {
        for other in [b'A', b'B', b'_'] {
            let mut changed = token.clone().into_bytes();
            if changed[at] == other {
                continue;
            }
            changed[at] = other;
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(place.access.playback(&changed).await.is_err(), "byte {at}");
        }
    }
    let cut = &token[..token.len() - 1];
    let longer = format!("{token}A");
    let padded = format!("{token}=");
    let bare = token.replace("slp_", "");
    let long = format!("slp_{}", "A".repeat(5_000));
    for bad in ["", "slp_", "slp_AAAA", cut, &longer, &padded, &bare, &long, "slw_x"] {
        assert!(place.access.playback(bad).await.is_err(), "{bad}");
    }
    // Another server's keys.
    let other = Place::new();
    assert!(other.access.playback(&token).await.is_err());
}

/// The key before counts until it is dropped, also after a start; what was dropped never again.
#[tokio::test]
async fn keys_rotate() {
    let place = Place::new();
    let video = video("ann");
    let one = || wanted(Scope::Video(video.id));
    let first = place.token(one(), &video).await;
    let numbers =
        place.access.change_keys(Signs::Playback, RingChange::Add).await.expect("rotated");
    assert_eq!(numbers, [NOW.as_secs() as u32, NOW.as_secs() as u32 + 1]);
    let second = place.token(one(), &video).await;
    assert!(place.access.playback(&first).await.is_ok());
    assert_eq!(
        place.access.change_keys(Signs::Playback, RingChange::Prune).await.expect("one").len(),
        1
    );
    assert!(place.access.playback(&first).await.is_err());
    assert!(place.access.playback(&second).await.is_ok());
    place.access.change_keys(Signs::Playback, RingChange::Replace).await.expect("replaced");
    assert!(place.access.playback(&second).await.is_err());
    for _ in 0..20 {
        place.access.change_keys(Signs::Playback, RingChange::Add).await.expect("rotated");
    }
    let third = place.token(one(), &video).await;
    let numbers = place.access.change_keys(Signs::Playback, RingChange::None).await.expect("known");
    assert!(numbers.len() == 8 && numbers.is_sorted(), "{numbers:?}");
    let Place { directory, clock, access } = place;
    drop(access);
    let state = State::open(&directory.path().join("state")).expect("the database again");
    let access = Access::new(state, clock, AuthMode::Token);
    assert!(access.playback(&third).await.is_ok() && access.playback(&second).await.is_err());
}

/// A token shows what it is for and nothing else: not another's video, not one whose upload runs
/// unless its owner made it, and not what was taken back since.
#[tokio::test]
async fn a_ticket_shows_its_own() {
    let place = Place::new();
    let (ann, bob) = (video("acme/ann"), video("acme/bob"));
    let (stranger, ann_alone) = (video("acme2/ann"), video("ann"));
    let ticket =
        async |wanted: Wanted| place.access.playback_token(wanted, &ann).await.expect("a token").1;
    let shown =
        |ticket: &Ticket| [&ann, &bob, &stranger, &ann_alone].map(|video| ticket.shows(video));
    let of_video = ticket(wanted(Scope::Video(ann.id))).await;
    assert_eq!(shown(&of_video), [true, false, false, false]);
    let of_owner = ticket(wanted(Scope::Owner(ann.owner.clone()))).await;
    assert_eq!(shown(&of_owner), [true, false, false, false]);
    let of_all = ticket(wanted(Scope::Organisation("acme".into()))).await;
    assert_eq!(shown(&of_all), [true, true, false, false]);

    let running = VideoRecord { state: VideoState::Uploading, ..ann.clone() };
    assert!(!of_video.shows(&running) && !of_all.shows(&running));
    let early = ticket(Wanted { early: true, ..wanted(Scope::Video(ann.id)) }).await;
    assert!(early.shows(&running) && early.shows(&ann));

    let revoked = VideoRecord { playback_revoked_at: Some(NOW), ..ann.clone() };
    assert!(!of_video.shows(&revoked) && !of_owner.shows(&revoked) && !of_all.shows(&revoked));
    let made = place.access.playback_token(wanted(Scope::Video(ann.id)), &revoked).await;
    assert!(made.expect("a token").1.shows(&revoked), "made in the same moment, but after");
}

/// A token for addresses is good from these alone, by whatever family they come.
#[tokio::test]
async fn a_ticket_admits_its_addresses() {
    let place = Place::new();
    let video = video("ann");
    let network = Some(network("203.0.113.0/24"));
    let wanted = Wanted { network, ..wanted(Scope::Video(video.id)) };
    let ticket = place.access.playback_token(wanted, &video).await.expect("a token").1;
    let admits = |text: &str| ticket.admits(Some(text.parse().expect("an address")));
    assert!(admits("203.0.113.7") && admits("::ffff:203.0.113.7"));
    assert!(!admits("203.0.114.7") && !admits("2001:db8::1") && !ticket.admits(None));
    assert!(ticket.is_bound());
}

/// Hosts are names alone, compared as browsers write them.
#[test]
fn hosts_are_names() {
    for good in ["app.example", "APP.example", "localhost:3000", "*.app.example", "10.0.0.1"] {
        assert_eq!(parse_host(good), Some(good.to_ascii_lowercase()));
    }
    let long = "a".repeat(200);
    let bad = [
        "",
        ".",
        "*",
        "*.",
        "app..example",
        "https://app.example",
        "app.example/",
        "a b",
        "a:0",
        "a:b",
        "a:1:2",
        "*.*.example",
        "x*.example",
        "é.example",
        &long,
        "a'; script-src *",
    ];
    for bad in bad {
        assert_eq!(parse_host(bad), None, "{bad}");
    }
    let cases = [
        ("app.example", "app.example", true),
        ("app.example", "App.Example:8443", true),
        ("app.example:8443", "app.example:8443", true),
        ("app.example:8443", "app.example", false),
        ("app.example", "xapp.example", false),
        ("app.example", "app.example.evil", false),
        ("*.app.example", "a.app.example", true),
        ("*.app.example", "a.b.app.example:1", true),
        ("*.app.example", "app.example", false),
        ("*.app.example", ".app.example", false),
        ("*.app.example", "evilapp.example", false),
        ("localhost:3000", "localhost:3000", true),
    ];
    for (named, host, expected) in cases {
        assert_eq!(is_host(named, host), expected, "{named} {host}");
    }
}

proptest! {
    /// Whatever bytes stand in the place of a statement, reading them ends and finds nothing.
    #[test]
    fn chance_is_no_token(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        use base64::Engine;
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let ring = vec![(0, [7; 32]), (0x0101_0101, [8; 32])];
        prop_assert_eq!(text::read(&format!("slp_{text}"), &ring), None);
    }
}
