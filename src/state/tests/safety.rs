//! What survives, what is refused, and what happens when the disk lets the database down.

use super::*;
use crate::ids::TokenId;
use crate::model::access::{Bounds, Role};
use crate::model::job::JobState;
use crate::model::words::VideoChange;
use std::fs;

fn token(hash: [u8; 32]) -> TokenRecord {
    TokenRecord {
        id: TokenId::fresh(NOW),
        hash,
        role: Role::Viewer,
        owner: owner(),
        name: None,
        scopes: Vec::new(),
        created_at: NOW,
        expires_at: None,
        bounds: Bounds::default(),
        max_uploads: None,
        uploads_begun: 0,
        used_at: None,
    }
}

/// Copies a database's files as a kill would leave them: whatever the kernel has.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Everything acknowledged is there after the database is dropped without being closed, and is
/// with the kernel at the moment of its acknowledgement.
#[tokio::test]
async fn acknowledged_is_there_after_a_kill() {
    let it = fixture();
    let mut ids = Vec::new();
    for round in 1..=20u64 {
        let (id, video) = it.upload(100).await;
        let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
        let noted = it.state.note_written(id, epoch, "b", up_to(round), NOW, NOW).await;
        noted.expect("noted");
        ids.push((id, video, round));
    }
    let killed = it.dir.path().join("killed");
    copy(&it.dir.path().join("state"), &killed);
    let killed = State::open(&killed).expect("a killed database opens");
    let it = it.reopen();
    for state in [&killed, &it.state] {
        for (id, video, round) in &ids {
            let upload = state.upload(*id).expect("read").expect("it is there");
            assert_eq!(upload.received.written, up_to(*round));
            assert!(state.video(*video).expect("read").is_some());
        }
        assert_eq!(state.unfinished_uploads().expect("read").len(), ids.len());
    }
}

/// Many callers at once are all answered, and each sees its own effect.
#[tokio::test]
async fn many_callers_share_one_writer() {
    let it = fixture();
    let (id, _) = it.upload(10).await;
    let leases = (0..600).map(|_| it.state.lease_upload(id));
    let answers = futures_util::future::join_all(leases).await;
    let mut epochs: Vec<_> =
        answers.into_iter().map(|answer| answer.expect("leased").epoch.0).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=600).collect::<Vec<_>>());
}

/// Closing commits what is in line; afterwards nothing is promised any more.
#[tokio::test]
async fn closing_ends_promises() {
    let it = fixture();
    let clone = it.state.clone();
    let (id, _) = it.upload(10).await;
    it.state.close().await;
    assert!(matches!(clone.lease_upload(id).await, Err(StateError::Failed(_))));
    assert!(clone.upload(id).expect("reads still work").is_some());
    assert_eq!(*clone.failed().borrow(), None);
    drop(clone);
    let state = State::open(&it.dir.path().join("state")).expect("it opens again");
    assert!(state.upload(id).expect("read").is_some());
}

/// After the disk has failed to confirm once, nothing is acknowledged, whatever is tried; what
/// was acknowledged before is there at the next start.
#[tokio::test]
async fn a_failed_sync_is_final() {
    let it = fixture();
    let (id, _) = it.upload(10).await;
    let path = it.dir.path().join("state");
    it.state.close().await;
    let db = open_database(&path).expect("it opens");
    // The null device takes everything and confirms nothing.
    let log = SyncHandle::open(Path::new("/dev/null")).expect("it is there");
    let state = State::start(db, log).expect("a thread");
    let mut failed = state.failed();
    state.lease_upload(id).await.expect("written needs no confirmation");
    let refused = state.note_durable(id, Epoch(1), up_to(5)).await;
    assert!(matches!(refused, Err(StateError::Failed(_))), "{refused:?}");
    let why = failed.wait_for(Option::is_some).await.expect("told").clone();
    assert!(why.expect("a reason").contains("confirm"));
    assert!(matches!(state.lease_upload(id).await, Err(StateError::Failed(_))));
    assert!(matches!(state.synced().await, Err(StateError::Failed(_))));
    drop(state);
    let state = State::open(&path).expect("it opens again");
    assert_eq!(state.upload(id).expect("read").expect("there").epoch, Epoch(1));
}

/// A database of the first schema, with other indexes of jobs, is brought up to date: its jobs are
/// claimed in order, and its ended ones are listed.
#[tokio::test]
async fn the_first_schema_is_brought_up() {
    let it = fixture();
    let (_, late) = it.queued(0, NOW.plus_ms(1)).await;
    let (_, early) = it.queued(0, NOW).await;
    let (_, urgent) = it.queued(7, NOW.plus_ms(2)).await;
    let (ended, _) = it.queued(0, NOW).await;
    it.state.cancel_job(ended, NOW).await.expect("it waits");
    let Fixture { state, dir } = it;
    drop(state);
    let path = dir.path().join("state");
    let db = sled::open(&path).expect("it opens");
    for index in ["q/", "a/", "d/", "e/", "n/", "m/line"] {
        for key in db.scan_prefix(index).keys() {
            db.remove(key.expect("read")).expect("removed");
        }
    }
    for (job, priority, run_at) in [(late, 0, 1), (early, 0, 0), (urgent, 7, 2)] {
        let run_at = NOW.plus_ms(run_at).0.cast_unsigned() ^ (1 << 63);
        let old = [&keys::queued(priority), &run_at.to_be_bytes()[..], b"/", job.as_bytes()];
        db.insert(old.concat(), b"").expect("written");
        let mut record: JobRecord =
            codec::decode(&db.get(keys::job(job)).unwrap().unwrap()).unwrap();
        record.turn = 0;
        db.insert(keys::job(job), codec::encode(&record).expect("small")).expect("written");
    }
    db.insert(keys::SCHEMA, &1u32.to_be_bytes()).expect("written");
    drop(db);
    let it = Fixture { state: State::open(&path).expect("it opens"), dir };
    let cancelled = it.state.jobs(Some(JobState::Cancelled), None, 9).expect("read");
    assert_eq!(cancelled.len(), 1);
    for expected in [urgent, early, late] {
        let claimed = it.state.claim_job(NOW.plus_ms(9), 30, None).await.expect("asked");
        assert_eq!(claimed.map(|(job, _)| job.id), Some(expected));
    }
    let it = it.reopen();
    assert_eq!(it.state.film_line().expect("read").begun, 3, "it is done once");
}

/// Damaged files, a later schema and a second opener are told apart; only damage is set aside.
#[tokio::test]
async fn databases_that_do_not_open_say_why() {
    let it = fixture();
    let dir = it.dir.path().join("state");
    assert!(matches!(State::open(&dir), Err(OpenError::Io(_))));
    it.state.close().await;

    let db = open_database(&dir).expect("it opens");
    db.insert(keys::SCHEMA, &9u32.to_be_bytes()).expect("written");
    drop(db);
    assert!(matches!(State::open(&dir), Err(OpenError::NewerSchema(9))));

    for name in ["conf", "db"] {
        let length = fs::metadata(dir.join(name)).expect("there").len() as usize;
        fs::write(dir.join(name), vec![0xa5; length]).expect("damaged");
    }
    assert!(matches!(State::open(&dir), Err(OpenError::Broken(_))));
    let aside = State::set_aside(&dir, NOW).expect("renamed");
    assert_eq!(aside.file_name().expect("a name"), "state.broken-1700000000000");
    assert!(aside.join("db").exists());
    State::open(&dir).expect("a fresh one in its place");
}

/// Tokens are found by their hash until they are revoked or replaced.
#[tokio::test]
async fn tokens_are_found_by_hash() {
    let it = fixture();
    let mut record = token([7; 32]);
    it.state.put_token(record.clone()).await.expect("put");
    assert_eq!(it.state.token_by_hash(&[7; 32]), Ok(Some(record.clone())));
    record.hash = [8; 32];
    it.state.put_token(record.clone()).await.expect("put");
    assert_eq!(it.state.token_by_hash(&[7; 32]), Ok(None));
    let it = it.reopen();
    assert_eq!(it.state.token_by_hash(&[8; 32]), Ok(Some(record.clone())));
    assert_eq!(it.state.tokens().expect("read").len(), 1);
    assert_eq!(it.state.revoke_token(record.id).await, Ok(true));
    assert_eq!(it.state.revoke_token(record.id).await, Ok(false));
    assert_eq!(it.state.token_by_hash(&[8; 32]), Ok(None));
    assert_eq!(it.state.token(record.id), Ok(None));
}

/// A one-time code works once and in time, and dead ones don't pile up.
#[tokio::test]
async fn login_codes_work_once() {
    let it = fixture();
    let token = TokenId::fresh(NOW);
    let code = |ms| LoginCode { token, expires_at: NOW.plus_ms(ms) };
    it.state.put_login_code([1; 32], code(10), NOW).await.expect("put");
    it.state.put_login_code([2; 32], code(10), NOW).await.expect("put");
    assert_eq!(it.state.take_login_code(&[1; 32], NOW.plus_ms(9)).await, Ok(Some(token)));
    assert_eq!(it.state.take_login_code(&[1; 32], NOW).await, Ok(None));
    assert_eq!(it.state.take_login_code(&[2; 32], NOW.plus_ms(10)).await, Ok(None));
    it.state.put_login_code([3; 32], code(10), NOW).await.expect("put");
    it.state.put_login_code([4; 32], code(99), NOW.plus_ms(10)).await.expect("put");
    assert_eq!(it.state.view().keys(keys::LOGIN_CODES).expect("read").len(), 1);
}

/// A ring has as many secrets as its changes say, each under a number that is never used again.
#[tokio::test]
async fn rings_of_secrets_turn() {
    let it = fixture();
    let now = UnixMillis(1_700_000_000_000);
    let turn = async |change| it.state.secret_ring("ring", change, now).await.expect("a ring");
    let first = turn(RingChange::None).await;
    assert_eq!((first.len(), first[0].0), (1, 1_700_000_000));
    assert_eq!(turn(RingChange::None).await, first);
    let two = turn(RingChange::Add).await;
    assert_eq!((two[0], two[1].0), (first[0], 1_700_000_001));
    assert_ne!(two[1].1, two[0].1);
    assert_eq!(turn(RingChange::Prune).await, two[1..]);
    let replaced = turn(RingChange::Replace).await;
    assert_eq!((replaced.len(), replaced[0].0), (1, 1_700_000_002));
    let other = it.state.secret_ring("ring2", RingChange::None, now).await.expect("a ring");
    assert_eq!(turn(RingChange::None).await, replaced);
    assert_ne!(other[0].1, replaced[0].1);
}

/// A secret that an earlier version has kept by itself is the first of its ring, and goes as any.
#[tokio::test]
async fn a_lone_secret_comes_into_its_ring() {
    let it = fixture();
    let key = [b"m/secret/".as_slice(), b"parts"].concat();
    it.state
        .call(Promise::Synced, move |view| {
            view.put_bytes(key, vec![7; 32]);
            Ok(())
        })
        .await
        .expect("written");
    let it = it.reopen();
    let turn = async |change| it.state.secret_ring("parts", change, NOW).await.expect("a ring");
    let one = turn(RingChange::None).await;
    assert_eq!(one.iter().map(|(_, secret)| *secret).collect::<Vec<_>>(), [[7; 32]]);
    let two = turn(RingChange::Add).await;
    assert_eq!((two.len(), two[0]), (2, one[0]));
    assert_eq!(turn(RingChange::Prune).await, two[1..]);
    assert_eq!(turn(RingChange::None).await, two[1..]);
}

/// What people change is changed, and nothing else.
#[tokio::test]
async fn changes_touch_only_what_they_name() {
    let it = fixture();
    let (_, id) = it.upload(10).await;
    let before = it.video_now(id);
    let change = VideoChange {
        title: Some("New".to_owned()),
        tags: Some(vec!["a".to_owned()]),
        ..VideoChange::default()
    };
    let after = it.state.change_video(id, change).await.expect("changed");
    let expected =
        VideoRecord { title: "New".to_owned(), tags: vec!["a".to_owned()], ..before.clone() };
    assert_eq!(after, expected);
    let long = VideoChange { title: Some("x".repeat(70_000)), ..VideoChange::default() };
    assert_eq!(it.state.change_video(id, long).await, Err(StateError::TooLarge));
    assert_eq!(it.video_now(id), expected);
}

/// Figures add up over restarts, for the span that is asked for, and go after a month.
#[tokio::test]
async fn figures_add_up_for_a_month() {
    use crate::model::figures::Figures;
    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    let fixture = fixture();
    let upload = |bytes| Figures { uploads: 1, uploaded_bytes: bytes, ..Figures::default() };
    for (at, bytes) in [(0, 1), (0, 2), (2 * HOUR, 4), (3 * DAY, 8)] {
        fixture.state.add_figures(NOW.plus_ms(at), upload(bytes)).await.expect("kept");
    }
    let fixture = fixture.reopen();
    let of = |at, span| fixture.state.figures(NOW.plus_ms(at), span).expect("read");
    assert_eq!((of(0, HOUR).uploads, of(0, HOUR).uploaded_bytes), (2, 3));
    assert_eq!(of(2 * HOUR, HOUR).uploaded_bytes, 4);
    assert_eq!(of(2 * HOUR, DAY).uploaded_bytes, 7);
    assert_eq!(of(3 * DAY, DAY).uploaded_bytes, 8);
    assert_eq!(of(3 * DAY, 30 * DAY).uploaded_bytes, 15);
    let steps = fixture.state.figures_of_steps(NOW.plus_ms(2 * HOUR), DAY).expect("read");
    let bytes: Vec<_> = steps.iter().map(|(_, figures)| figures.uploaded_bytes).collect();
    assert_eq!(bytes, [3, 4], "each step by itself, the oldest first");
    assert!(steps[0].0 <= NOW && steps[1].0.ms_since(steps[0].0) >= HOUR);
    for waited_ms in [7, 9, 8] {
        let figures = Figures { waited_ms, ..Figures::default() };
        fixture.state.add_figures(NOW.plus_ms(3 * DAY), figures).await.expect("kept");
    }
    assert_eq!(of(3 * DAY, DAY).waited_ms, 9, "the longest wait counts");
    fixture.state.add_figures(NOW.plus_ms(33 * DAY), upload(16)).await.expect("kept");
    let of = |at, span| fixture.state.figures(NOW.plus_ms(at), span).expect("read");
    assert_eq!(of(33 * DAY, 60 * DAY).uploaded_bytes, 24, "the first days are forgotten");
    assert_eq!(of(0, DAY), Figures::default());
}
