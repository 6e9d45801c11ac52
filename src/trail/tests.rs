//! The log over a real directory, with a clock that is moved by hand.

use super::*;
use crate::config;
use crate::units::ByteCount;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

const START: UnixMillis = UnixMillis(1_800_000_000_000);
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn settings() -> AuditConfig {
    let loaded = config::load(None, std::iter::empty(), &[]).expect("the defaults");
    loaded.config.audit
}

fn open(directory: &Path, clock: &Clock, config: AuditConfig) -> Trail {
    let disk = Disk::open(directory).expect("a data directory");
    Trail::open(&disk, &config, clock.clone()).expect("a log")
}

/// A deed of somebody's, from an address of their own.
fn deed(clock: &Clock, who: &str, object: &str) -> Deed {
    let deed = Deed::new(Way::Http, Action::VideoDeleted, clock.now()).to(object);
    let address = Some(IpAddr::from([203, 0, 113, who.len() as u8]));
    Deed { actor: Some(who.to_owned()), address, ..deed }
}

fn all(trail: &Trail) -> Vec<Deed> {
    trail.read(&Query { after: Some(0), limit: PAGE_MAX, ..Query::default() }).expect("read")
}

/// Every byte of the log's files.
fn bytes(directory: &Path) -> String {
    let files = fs::read_dir(directory.join("audit")).expect("a directory");
    files.map(|file| fs::read_to_string(file.expect("one").path()).expect("text")).collect()
}

/// Entries are numbered on over restarts, also behind a line that a power cut has torn.
#[test]
fn numbers_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let trail = open(directory.path(), &clock, settings());
    trail.note(deed(&clock, "ann", "1"));
    trail.note(deed(&clock, "bob", "2"));
    assert_eq!(all(&trail).iter().map(|it| it.n).collect::<Vec<_>>(), [1, 2]);
    drop(trail);
    let file = directory.path().join("audit/000000000001.jsonl");
    let whole = fs::read_to_string(&file).expect("a file");
    fs::write(&file, format!("{whole}{{\"n\":3,\"at\":\"20")).expect("written");
    let trail = open(directory.path(), &clock, settings());
    trail.note(deed(&clock, "cat", "3"));
    let told: Vec<_> = all(&trail).into_iter().map(|it| (it.n, it.actor)).collect();
    assert_eq!(told.last(), Some(&(3, Some("cat".to_owned()))));
    assert_eq!(told.len(), 3);
}

/// Pages go either way, and hold what was asked for.
#[test]
fn pages_go_both_ways() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let trail = open(directory.path(), &clock, settings());
    for round in 0..6 {
        // A file for each two.
        clock.advance_ms(if round % 2 == 0 { DAY } else { HOUR });
        trail.note(deed(&clock, if round < 3 { "ann" } else { "bob" }, &round.to_string()));
        trail.written();
    }
    // Beside them may just be one that is to replace another.
    let numbers = files::numbers(&directory.path().join("audit")).expect("files");
    assert_eq!(numbers.len(), 3);
    let numbers = |query: Query| {
        trail.read(&query).expect("read").into_iter().map(|it| it.n).collect::<Vec<_>>()
    };
    let query = Query { limit: 4, ..Query::default() };
    assert_eq!(numbers(query.clone()), [6, 5, 4, 3]);
    assert_eq!(numbers(Query { before: Some(3), ..query.clone() }), [2, 1]);
    assert_eq!(numbers(Query { after: Some(0), ..query.clone() }), [1, 2, 3, 4]);
    assert_eq!(numbers(Query { after: Some(4), ..query.clone() }), [5, 6]);
    assert_eq!(numbers(Query { actor: Some("ann".into()), ..query.clone() }), [3, 2, 1]);
    assert_eq!(numbers(Query { action: Some(Action::Login), ..query.clone() }), [0; 0]);
    let since = Some(UnixMillis(clock.now().0 - HOUR));
    assert_eq!(numbers(Query { since, ..query }), [6, 5]);
}

/// Addresses stay as long as configured and entries longer; both go from the bytes.
#[test]
fn what_was_kept_for_its_time_goes() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let config = AuditConfig {
        keep_for_ms: 30 * DAY as u64,
        addresses_for_ms: 2 * DAY as u64,
        ..settings()
    };
    let trail = open(directory.path(), &clock, config);
    trail.note(deed(&clock, "ann", "1"));
    trail.written();
    clock.advance_ms(DAY + HOUR);
    trail.note(deed(&clock, "bobby", "2"));
    clock.advance_ms(DAY);
    trail.keep().expect("kept");
    let (told, left) = (all(&trail), bytes(directory.path()));
    assert_eq!(told[0].address, None);
    assert!(told[1].address.is_some() && told[1].actor.as_deref() == Some("bobby"));
    assert!(!left.contains("203.0.113.3") && left.contains("203.0.113.5"), "{left}");
    clock.advance_ms(DAY);
    trail.keep().expect("kept");
    assert!(!bytes(directory.path()).contains("203.0.113."));
    clock.advance_ms(27 * DAY);
    trail.keep().expect("kept");
    let told: Vec<_> = all(&trail).into_iter().map(|it| it.n).collect();
    assert_eq!(told, [2]);
    clock.advance_ms(DAY);
    trail.keep().expect("kept");
    trail.note(deed(&clock, "cat", "3"));
    let told: Vec<_> = all(&trail).into_iter().map(|it| it.n).collect();
    assert_eq!(told, [3], "numbers aren't given again");
}

/// Without any time for them, addresses are never written.
#[test]
fn without_addresses() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let config = AuditConfig { addresses_for_ms: 0, ..settings() };
    let trail = open(directory.path(), &clock, config);
    trail.note(deed(&clock, "ann", "1"));
    trail.keep().expect("kept");
    assert_eq!(all(&trail).len(), 1);
    assert!(!bytes(directory.path()).contains("203.0.113."));
}

/// Beyond its room the log loses its oldest file.
#[test]
fn there_is_room_for_so_much() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let config = AuditConfig { size_max: ByteCount(700), ..settings() };
    let trail = open(directory.path(), &clock, config);
    for _ in 0..3 {
        trail.note(deed(&clock, "ann", &"x".repeat(200)));
        clock.advance_ms(DAY);
        trail.written();
    }
    trail.keep().expect("kept");
    assert_eq!(all(&trail).iter().map(|it| it.n).collect::<Vec<_>>(), [2, 3]);
}

/// Somebody who is forgotten has a pseudonym and no address in the log; others stay as they were.
#[test]
fn somebody_is_forgotten() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let trail = open(directory.path(), &clock, settings());
    trail.note(deed(&clock, "ann", "1"));
    trail.note(deed(&clock, "bobby", "2"));
    trail.note(deed(&clock, "bobby", "ann"));
    let who = Forgotten {
        whose: Whose::parse("ann").expect("a name"),
        names: Vec::new(),
        pseudonym: "erased-7".to_owned(),
    };
    assert_eq!(trail.forget(who).expect("forgotten"), 2);
    let told = all(&trail);
    assert_eq!((told[0].actor.as_deref(), told[0].address), (Some("erased-7"), None));
    assert_eq!(told[1].actor.as_deref(), Some("bobby"));
    assert!(told[1].address.is_some() && told[2].address.is_some());
    assert_eq!(told[2].object.as_deref(), Some("erased-7"));
    assert!(!bytes(directory.path()).contains("ann"));
    trail.note(deed(&clock, "cat", "4"));
    assert_eq!(all(&trail).len(), 4);
    // Who comes too late isn't named either.
    trail.note(deed(&clock, "ann", "5"));
    assert_eq!(all(&trail)[4].actor.as_deref(), Some("erased-7"));
    assert!(!bytes(directory.path()).contains("ann"));
}

/// Thousands who are refused within a second leave room for everybody else.
#[test]
fn refusals_dont_fill_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let trail = open(directory.path(), &clock, settings());
    let refused = || Deed::new(Way::Http, Action::Login, clock.now()).ended(Outcome::Refused);
    (0..5_000).for_each(|_| trail.note(refused()));
    trail.note(deed(&clock, "ann", "1"));
    clock.advance_ms(1_000);
    trail.note(refused());
    let told = all(&trail);
    assert_eq!(told.len() as u64, REFUSED_PER_SECOND + 3);
    let more = told.iter().find(|it| it.action == Action::MoreRefused).expect("a sum");
    assert_eq!(more.count, Some(5_000 - REFUSED_PER_SECOND));
    assert!(told.iter().any(|it| it.actor.as_deref() == Some("ann")));
}

/// A log that can't be written holds up nobody; once it can be, it says how much is missing.
#[test]
fn a_gap_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::by_hand(START);
    let trail = open(directory.path(), &clock, settings());
    let audit = directory.path().join("audit");
    fs::remove_dir(&audit).expect("removed");
    trail.note(deed(&clock, "ann", "1"));
    trail.note(deed(&clock, "ann", "2"));
    trail.written();
    fs::create_dir(&audit).expect("made");
    trail.note(deed(&clock, "ann", "3"));
    let told = all(&trail);
    let [gap, deed] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((gap.action, gap.count), (Action::EntriesLost, Some(2)));
    assert_eq!(deed.object.as_deref(), Some("3"));
}
