//! Who may begin what: totals that never drift, bounds that hold at the same moment, and files
//! that aren't taken.

use super::life::*;
use crate::ids::{Owner, UploadId, VideoId};
use crate::model::accept::Accept;
use crate::model::upload::{Chunks, UploadState};
use crate::state::Usage;
use crate::units::ByteCount;
use crate::upload::{NewUpload, PutPart, Refusal, UploadError};
use proptest::prelude::*;
use std::sync::Arc;

const OWNERS: [&str; 2] = ["anna", "ben"];
const QUOTA: u64 = 1000;
const RESERVED: u64 = 500;
const OPEN: usize = 4;

fn owner(who: usize) -> Owner {
    Owner(OWNERS[who].to_owned())
}

fn new_of(who: usize, length: Option<u64>) -> NewUpload {
    NewUpload { owner: owner(who), ..new_upload(length) }
}

fn narrow() -> House {
    let mut house = House::new();
    house.limits.admission.quota_per_user = Some(ByteCount(QUOTA));
    house.limits.admission.reserved_per_user = ByteCount(RESERVED);
    house.limits.admission.open_per_user = OPEN;
    house
}

fn usage(kept: u64, awaited: u64, open: usize) -> Usage {
    Usage { kept: ByteCount(kept), awaited: ByteCount(awaited), open, waiting: 0 }
}

/// What an owner has here, but for what waits to be worked on.
fn used(life: &Life, who: usize) -> Usage {
    Usage { waiting: 0, ..life.state.usage(&owner(who)) }
}

/// What is to happen.
#[derive(Clone, Debug)]
enum Step {
    Create {
        who: usize,
        length: u64,
        deferred: bool,
        in_parts: bool,
    },
    Append {
        which: usize,
        count: u64,
        declared: bool,
        breaks: bool,
    },
    Terminate {
        which: usize,
    },
    Delete {
        which: usize,
    },
    /// A day goes by.
    Expire,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..12usize;
    let create = (0..2usize, 0..600u64, any::<bool>(), any::<bool>());
    let append = (which.clone(), 0..400u64, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        6 => create.prop_map(|(who, length, deferred, in_parts)| {
            Step::Create { who, length, deferred, in_parts }
        }),
        8 => append.prop_map(|(which, count, declared, breaks)| {
            Step::Append { which, count, declared, breaks }
        }),
        1 => which.clone().prop_map(|which| Step::Terminate { which }),
        2 => which.prop_map(|which| Step::Delete { which }),
        1 => Just(Step::Expire),
        2 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..40)
}

/// An upload as its client remembers it.
#[derive(Clone, Debug)]
struct Known {
    id: UploadId,
    video: VideoId,
    who: usize,
    length: Option<u64>,
    received: u64,
    in_parts: bool,
    is_open: bool,
    /// Its video is there.
    is_kept: bool,
}

impl Known {
    fn kept(&self) -> u64 {
        match (self.is_open, self.is_kept) {
            (true, _) => self.length.unwrap_or_default().max(self.received),
            (false, true) => self.received,
            (false, false) => 0,
        }
    }

    fn awaited(&self) -> u64 {
        let length = self.length.filter(|_| self.is_open);
        length.unwrap_or_default().saturating_sub(self.received)
    }
}

fn usage_of(known: &[Known], who: usize) -> Usage {
    let own = || known.iter().filter(|it| it.who == who);
    let open = own().filter(|it| it.is_open).count();
    usage(own().map(Known::kept).sum(), own().map(Known::awaited).sum(), open)
}

/// Says whether an owner who has this may have so much more.
fn may_have(has: Usage, kept: u64, awaited: u64) -> bool {
    let is_kept = kept == 0 || has.kept.0 + kept <= QUOTA;
    let is_awaited = awaited == 0 || has.awaited.0 == 0 || has.awaited.0 + awaited <= RESERVED;
    is_kept && is_awaited
}

async fn create(
    life: &Life,
    known: &mut Vec<Known>,
    (who, length): (usize, Option<u64>),
    in_parts: bool,
) {
    let has = usage_of(known, who);
    let wanted = length.unwrap_or_default();
    let expected = has.open < OPEN && may_have(has, wanted, wanted);
    let in_parts = in_parts && wanted > 0;
    let made = match in_parts {
        true => {
            let chunks = Chunks { size: ByteCount(wanted), sha256: None };
            life.uploads.create_in_parts(new_of(who, length), chunks).await
        }
        false => life.uploads.create(new_of(who, length)).await,
    };
    assert_eq!(made.is_ok(), expected, "{made:?} with {has:?}");
    let Ok(made) = made else { return };
    let is_open = length != Some(0);
    let video = made.video.expect("it becomes one");
    known.push(Known {
        id: made.id,
        video,
        who,
        length,
        received: 0,
        in_parts,
        is_open,
        is_kept: true,
    });
}

async fn append(
    life: &Life,
    known: &mut [Known],
    which: usize,
    count: u64,
    declared: bool,
    breaks: bool,
) {
    let Some(at) = which.checked_rem(known.len()).filter(|&at| known[at].is_open) else { return };
    let has = usage_of(known, known[at].who);
    let it = &mut known[at];
    let then = if breaks { Then::Break } else { Then::End };
    if it.in_parts {
        let bytes = content(it.length.unwrap_or_default());
        let put = PutPart { id: it.id, index: 0, content_length: None, sha256: Arc::default() };
        let sent = life.uploads.put_part(put, body(pieces(&bytes, 100), then)).await;
        assert_eq!(sent.is_ok(), !breaks, "{sent:?}");
        if sent.is_ok() {
            it.received = bytes.len() as u64;
        }
        return;
    }
    let end = it.length.map_or(it.received + count, |length| length.min(it.received + count));
    let declares = declared && it.length.is_none();
    let append = crate::upload::Append {
        declared: declares.then_some(ByteCount(end)),
        ..to(it.id, it.received)
    };
    let before = it.clone();
    let grown = Known { length: it.length.or(declares.then_some(end)), ..it.clone() };
    let (kept, awaited) =
        (end.max(grown.kept()) - before.kept(), grown.awaited().saturating_sub(before.awaited()));
    let bytes = content(end)[it.received as usize..].to_vec();
    let sent = life.uploads.append(append, body(pieces(&bytes, 100), then)).await;
    if it.length.is_some() || may_have(has, kept, awaited) {
        assert!(!matches!(sent, Err(UploadError::Refused(_))), "{sent:?} with {has:?}");
        it.received = end;
        it.length = grown.length;
        it.is_open = it.length != Some(end);
    } else {
        assert!(matches!(sent, Err(UploadError::Refused(_))), "{sent:?} with {has:?}");
        it.received = life.uploads.peek(it.id).expect("it is there").received.end().0;
        it.length = life.uploads.peek(it.id).expect("it is there").length.map(|length| length.0);
    }
}

async fn step(life: &Life, known: &mut Vec<Known>, step: Step) {
    match step {
        Step::Create { who, length, deferred, in_parts } => {
            let length = (!deferred || in_parts).then_some(length);
            create(life, known, (who, length), in_parts).await;
        }
        Step::Append { which, count, declared, breaks } => {
            append(life, known, which, count, declared, breaks).await;
        }
        Step::Terminate { which } => {
            let Some(at) = which.checked_rem(known.len()) else { return };
            let is_gone = life.uploads.terminate(known[at].id).await.is_err();
            known[at].is_kept &= !known[at].is_open || is_gone;
            known[at].is_open = false;
        }
        Step::Delete { which } => {
            let Some(at) = which.checked_rem(known.len()) else { return };
            let deleted = life.state.delete_video(known[at].video, life.clock.now()).await;
            assert_eq!(deleted.is_ok(), known[at].is_kept);
            (known[at].is_open, known[at].is_kept) = (false, false);
        }
        Step::Expire => {
            life.clock.advance_ms(DAY_MS + 1);
            life.uploads.expire_due().await.expect("looked");
            for it in known.iter_mut().filter(|it| it.is_open) {
                (it.is_open, it.is_kept) = (false, false);
            }
        }
        Step::Kill => (),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Default::default()
    })]

    /// Whatever happens, what an owner has is what a client would count, and a recount says the
    /// same; what goes past a bound is refused and nothing else is.
    #[test]
    fn totals_never_drift(steps in steps()) {
        let house = narrow();
        let mut known = Vec::new();
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            house.live(async |life: &Life| {
                for next in steps.by_ref() {
                    let is_kill = matches!(next, Step::Kill);
                    step(life, &mut known, next).await;
                    life.state.assert_usage().await;
                    for who in 0..OWNERS.len() {
                        assert_eq!(used(life, who), usage_of(&known, who));
                    }
                    if is_kill {
                        break;
                    }
                }
            });
        }
    }
}

/// Of two at the same moment for which there is room one by one, one is let in; what was refused
/// counts nothing, and leaves nothing on the disk.
#[test]
fn parallel_creations_see_each_other() {
    let house = narrow();
    house.live(async |life: &Life| {
        let begin = || life.uploads.create(new_of(0, Some(600)));
        let (one, other) = tokio::join!(begin(), begin());
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
        let refused = one.err().or(other.err()).expect("one was refused");
        let limit = ByteCount(QUOTA);
        assert!(matches!(refused, UploadError::Refused(Refusal::Quota { limit: l }) if l == limit));
        assert_eq!(used(life, 0), usage(600, 600, 1));
        assert_eq!(life.disk.uploads().expect("listed").len(), 1);
        // Another owner isn't concerned.
        life.uploads.create(new_of(1, Some(600))).await.expect("there is room");
        life.state.assert_usage().await;
    });
}

/// What is announced and hasn't come is bounded, though a single upload may be larger; each byte
/// that comes makes room, and so does an end.
#[test]
fn announced_bytes_are_bounded() {
    let house = narrow();
    house.live(async |life: &Life| {
        let large = life.uploads.create(new_of(0, Some(800))).await.expect("it is alone");
        let refused = |made: &Result<_, UploadError>| {
            matches!(made, Err(UploadError::Refused(Refusal::Announced { .. })))
        };
        let small = life.uploads.create(new_of(0, Some(1))).await;
        assert!(refused(&small), "{small:?}");
        life.append(large.id, 0, &content(301)).await.expect("stored");
        assert_eq!(used(life, 0), usage(800, 499, 1));
        let small = life.uploads.create(new_of(0, Some(1))).await.expect("there is room");
        assert!(refused(&life.uploads.create(new_of(0, Some(1))).await));
        life.uploads.terminate(large.id).await.expect("ended");
        assert_eq!(used(life, 0), usage(1, 1, 1));
        life.uploads.terminate(small.id).await.expect("ended");
        for _ in 0..OPEN {
            life.uploads.create(new_of(0, None)).await.expect("few are open");
        }
        let more = life.uploads.create(new_of(0, None)).await;
        assert!(matches!(more, Err(UploadError::Refused(Refusal::OpenUploads { limit: OPEN }))));
    });
}

/// An upload of unknown length grows as far as the quota allows, to the byte, and keeps that.
#[test]
fn growth_is_bounded() {
    let house = narrow();
    house.live(async |life: &Life| {
        let one = life.uploads.create(new_of(0, None)).await.expect("there is room");
        life.append(one.id, 0, &content(900)).await.expect("stored");
        let said =
            crate::upload::Append { content_length: Some(ByteCount(101)), ..to(one.id, 900) };
        let early = life.uploads.append(said, body(pieces(&content(101), 10), Then::End)).await;
        assert!(matches!(early, Err(UploadError::Refused(Refusal::Quota { .. }))), "{early:?}");
        assert_eq!(life.offset(one.id).await, 900, "refused before it was read");
        life.append(one.id, 900, &content(100)).await.expect("stored");
        let more = life.append(one.id, 1000, b"x").await;
        assert!(matches!(more, Err(UploadError::Refused(Refusal::Quota { .. }))), "{more:?}");
        assert_eq!(life.offset(one.id).await, 1000);
        life.state.assert_usage().await;
    });
}

/// The parts of a joined upload aren't counted twice when it begins; its original is.
#[test]
fn joining_counts_the_bytes_once_more() {
    let house = narrow();
    house.live(async |life: &Life| {
        let part = life.uploads.create_part(new_of(0, Some(600))).await.expect("there is room");
        life.append(part.id, 0, &content(600)).await.expect("stored");
        let join = || {
            let header = format!("final;/files/{}", part.id);
            life.uploads.create_final(new_of(0, None), header, vec![part.id])
        };
        let joined = join().await.expect("its bytes are there");
        let again = join().await;
        assert!(matches!(again, Err(UploadError::Refused(Refusal::Quota { .. }))), "{again:?}");
        let state = || life.uploads.peek(joined.id).expect("it is there").state;
        while state() != UploadState::Finished {
            tokio::task::yield_now().await;
        }
        assert_eq!(used(life, 0), usage(1200, 0, 1));
        life.state.assert_usage().await;
    });
}

/// A body is refused when its owner sends too many already, and room is made by each that ends.
#[test]
fn bodies_at_once_are_bounded() {
    let mut house = House::new();
    house.limits.admission.bodies_per_user = 1;
    house.live(async |life: &Life| {
        let [one, other] = [life.create(Some(10)).await, life.create(Some(10)).await];
        let (told, all_read) = tokio::sync::oneshot::channel();
        let hanging = body(pieces(b"abc", 1), Then::Hang(told));
        let running = life.uploads.append(to(one.id, 0), hanging);
        let meanwhile = async {
            all_read.await.expect("it is under way");
            assert!(life.uploads.check_bodies(&one.owner).is_err());
            let refused = life.append(other.id, 0, b"x").await;
            let bodies = matches!(refused, Err(UploadError::Refused(Refusal::Bodies { limit: 1 })));
            assert!(bodies, "{refused:?}");
            // Whoever takes over isn't kept out.
            life.append(one.id, 3, b"defg").await.expect("stored");
        };
        let (ended, ()) = tokio::join!(running, meanwhile);
        assert!(matches!(ended, Err(UploadError::Taken { .. })), "{ended:?}");
        life.append(other.id, 0, b"x").await.expect("nobody sends any more");
    });
}

/// A file that surely isn't taken is refused by its first bytes, and its upload is over; only
/// where nothing of it was acknowledged, and only where it isn't taken.
#[test]
fn strangers_are_refused_early() {
    let png = |count: usize| {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        bytes.resize(count, 7);
        bytes
    };
    let mut house = House::new();
    house.live(async |life: &Life| {
        for (length, piece) in [(20, 1), (20, 20), (5000, 100), (3_000_000, 100_000)] {
            let upload = life.create(Some(length + 1)).await;
            let bytes = body(pieces(&png(length as usize), piece), Then::End);
            let refused = life.uploads.append(to(upload.id, 0), bytes).await;
            let kind = UploadError::from(Refusal::Kind { kind: "image/png".into() }).to_string();
            assert_eq!(refused.err().map(|it| it.to_string()), Some(kind.clone()));
            // Who couldn't read the answer asks again.
            let looked = life.uploads.look(upload.id).await;
            assert_eq!(looked.err().map(|it| it.to_string()), Some(kind.clone()));
            let again = life.append(upload.id, 0, b"x").await;
            assert_eq!(again.err().map(|it| it.to_string()), Some(kind));
            let video = upload.video.expect("every upload has one");
            assert_eq!(life.state.video(video), Ok(None));
        }
        assert_eq!(life.disk.uploads().expect("listed"), []);
        assert_eq!(used(life, 0), Usage::default());
        let upload = life.create(Some(30)).await;
        life.append(upload.id, 0, b"\x89").await.expect("a byte alone says nothing");
        life.append(upload.id, 1, &png(20)[1..]).await.expect("it is too late to refuse");
        let part = life.uploads.create_part(new_of(0, Some(20))).await.expect("there is room");
        life.append(part.id, 0, &png(20)).await.expect("it may be any part of a film");
    });
    house.limits.admission.accept = Accept { any: true, ..Accept::default() };
    house.live(async |life: &Life| {
        let upload = life.create(Some(20)).await;
        assert!(life.append(upload.id, 0, &png(20)).await.expect("anything goes").finished);
    });
}

/// Of an upload in parts the first part tells what it is, unless another was acknowledged before.
#[test]
fn first_parts_tell_the_kind() {
    House::new().live(async |life: &Life| {
        let mut pdf = b"%PDF-1.7\n".to_vec();
        pdf.resize(400, 7);
        let put = |id, index, bytes: &[u8]| {
            let put = PutPart { id, index, content_length: None, sha256: Arc::default() };
            let bytes = body(pieces(bytes, 50), Then::End);
            async move { life.uploads.put_part(put, bytes).await }
        };
        let begin = async || {
            let chunks = Chunks { size: ByteCount(400), sha256: None };
            let made = life.uploads.create_in_parts(new_of(0, Some(800)), chunks).await;
            made.expect("there is room").id
        };
        let id = begin().await;
        let refused = put(id, 0, &pdf).await;
        let told = UploadError::from(Refusal::Kind { kind: "application/pdf".into() }).to_string();
        assert_eq!(refused.err().map(|it| it.to_string()), Some(told.clone()));
        let other = put(id, 1, &content(400)).await;
        assert_eq!(other.err().map(|it| it.to_string()), Some(told));
        let id = begin().await;
        put(id, 1, &content(400)).await.expect("stored");
        put(id, 0, &pdf).await.expect("something of it was acknowledged");
    });
}
