//! One rule a test.

use super::life::*;
use crate::config::{Durability, Reserve};
use crate::disk::FACTS_VERSION;
use crate::events::{EventKind, News};
use crate::model::job::JobState;
use crate::model::upload::UploadState;
use crate::model::video::VideoState;
use crate::units::{ByteCount, ByteOffset};
use crate::upload::{Append, ENDED_REMEMBERED_MS, UploadError};
use tokio::sync::oneshot;

/// An upload in two requests becomes an original with a queued job, and everybody is told.
#[test]
fn bytes_become_an_original_and_a_job() {
    House::new().live(async |life: &Life| {
        let bytes = content(3_000 * KIB);
        let mut news = life.hub.subscribe(None);
        let upload = life.create(Some(bytes.len() as u64)).await;
        let video = upload.video.expect("every upload has one");
        let before = life.state.video(video).expect("it reads").expect("made with the upload");
        assert_eq!((before.state, before.title.as_str()), (VideoState::Uploading, "A day"));
        let (first, rest) = bytes.split_at(1_700_000);
        let half = life.append(upload.id, 0, first).await.expect("the first half");
        assert_eq!((half.offset, half.finished), (ByteOffset(1_700_000), false));
        let whole = life.append(upload.id, 1_700_000, rest).await.expect("the rest");
        assert!(whole.finished && whole.offset.0 == bytes.len() as u64);
        assert_eq!(life.original(&upload), bytes);
        let after = life.state.video(video).expect("it reads").expect("it stays");
        assert_eq!((after.state, after.size), (VideoState::Queued, ByteCount(3_000 * KIB)));
        let job = life.state.job(after.job.expect("queued")).expect("it reads").expect("there");
        assert_eq!((job.state, job.video), (JobState::Queued, video));
        let facts = life.disk.facts(video).expect("they read").expect("beside the original");
        assert_eq!((facts.version, facts.title.as_str()), (FACTS_VERSION, "A day"));
        assert!(life.disk.uploads().expect("they read").is_empty(), "nothing is left over");
        life.uploads.finished().notified().await;
        life.hub.close();
        let mut kinds = Vec::new();
        while let Some(News::Event(event)) = news.next().await {
            assert_eq!(event.video.unwrap_or(video), video);
            kinds.push(event.kind);
        }
        assert_eq!(kinds.first(), Some(&EventKind::VideoState));
        assert!(kinds.contains(&EventKind::UploadProgress));
        let end = [EventKind::UploadCompleted, EventKind::VideoState, EventKind::Queue];
        assert!(kinds.ends_with(&end), "{kinds:?}");
    });
}

/// The end may be asked for again: right with an empty body, refused with bytes.
#[test]
fn the_end_can_be_repeated() {
    House::new().live(async |life: &Life| {
        let upload = life.create(Some(5)).await;
        life.append(upload.id, 0, b"hello").await.expect("the whole");
        assert!(life.append(upload.id, 5, b"").await.expect("again").finished);
        assert!(matches!(life.append(upload.id, 5, b"!").await, Err(UploadError::Finished)));
        let counted = Append { content_length: Some(ByteCount(1)), ..to(upload.id, 5) };
        let one = body(pieces(b"!", 1), Then::End);
        assert!(matches!(life.uploads.append(counted, one).await, Err(UploadError::Finished)));
        let early = life.append(upload.id, 0, b"hello").await;
        assert!(matches!(early, Err(UploadError::OffsetMismatch { actual: ByteOffset(5) })));
        let record = life.uploads.look(upload.id).await.expect("it is remembered");
        assert_eq!((record.state, record.received.end()), (UploadState::Finished, ByteOffset(5)));
        assert_eq!(life.original(&upload), b"hello");
    });
}

/// Zero bytes are a whole upload.
#[test]
fn nothing_is_finished_at_once() {
    House::new().live(async |life: &Life| {
        let upload = life.create(Some(0)).await;
        assert_eq!(upload.state, UploadState::Finished);
        assert_eq!(life.original(&upload), b"");
    });
}

/// No byte goes past the declared length, whether the body's length is known or not.
#[test]
fn nothing_goes_past_the_length() {
    House::new().live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        let counted = Append { content_length: Some(ByteCount(11)), ..to(upload.id, 0) };
        let long = body(pieces(&content(11), 4), Then::End);
        let refused = life.uploads.append(counted, long).await;
        assert!(matches!(refused, Err(UploadError::TooLong { length: ByteCount(10) })));
        assert_eq!(life.offset(upload.id).await, 0, "refused before a byte was read");
        let long = body(pieces(&content(11), 4), Then::End);
        let refused = life.uploads.append(to(upload.id, 0), long).await;
        assert!(matches!(refused, Err(UploadError::TooLong { .. })));
        assert_eq!(life.offset(upload.id).await, 8, "whole pieces before it are kept");
        assert_eq!(life.disk.open_blob(upload.id).expect("there").len().expect("read").0, 8);
        assert_eq!(life.blob(upload.id, 8), content(8));
    });
}

/// A length may come later, once, and not smaller than what is here.
#[test]
fn lengths_can_be_declared_later() {
    House::new().live(async |life: &Life| {
        let upload = life.create(None).await;
        life.append(upload.id, 0, b"abcdef").await.expect("six bytes");
        let declare = |length| Append { declared: Some(ByteCount(length)), ..to(upload.id, 6) };
        let empty = || body(Vec::new(), Then::End);
        let small = life.uploads.append(declare(5), empty()).await;
        assert!(matches!(small, Err(UploadError::LengthInvalid)));
        let huge = life.uploads.append(declare(u64::MAX / 2), empty()).await;
        assert!(matches!(huge, Err(UploadError::MaxSize { .. })));
        let open = life.uploads.append(declare(8), empty()).await.expect("declared");
        assert_eq!((open.offset, open.finished), (ByteOffset(6), false));
        let other = life.uploads.append(declare(9), empty()).await;
        assert!(matches!(other, Err(UploadError::LengthFixed)));
        assert!(life.append(upload.id, 6, b"gh").await.expect("the rest").finished);
        assert_eq!(life.original(&upload), b"abcdefgh");

        let upload = life.create(None).await;
        life.append(upload.id, 0, b"abc").await.expect("three bytes");
        let declare = Append { declared: Some(ByteCount(3)), ..to(upload.id, 3) };
        assert!(life.uploads.append(declare, empty()).await.expect("declared").finished);
        assert_eq!(life.original(&upload), b"abc");
    });
}

/// Too large and no room are said before anything is made.
#[test]
fn sizes_are_bounded_at_creation() {
    let mut house = House::new();
    house.live(async |life: &Life| {
        let max = 64 * 1024 * KIB;
        let refused = life.uploads.create(new_upload(Some(max + 1))).await;
        assert!(matches!(refused, Err(UploadError::MaxSize { max: ByteCount(m) }) if m == max));
        life.create(Some(max)).await;
        assert_eq!(life.uploads.announced(), ByteCount(max));
    });
    house.limits.reserve_free_space = Reserve::Percent(100.0);
    house.live(async |life: &Life| {
        assert_eq!(life.uploads.announced().0, 64 * 1024 * KIB, "promises outlive a restart");
        let refused = life.uploads.create(new_upload(Some(1))).await;
        assert!(matches!(refused, Err(UploadError::NoSpace)));
        let refused = life.uploads.create(new_upload(None)).await;
        assert!(matches!(refused, Err(UploadError::NoSpace)));
        assert_eq!(life.disk.uploads().expect("they read").len(), 1);
    });
}

/// What came before a cut is kept and recorded, also when the request just vanishes.
#[test]
fn a_cut_body_keeps_its_bytes() {
    House::new().live(async |life: &Life| {
        let bytes = content(2_500 * KIB);
        let upload = life.create(Some(bytes.len() as u64)).await;
        let cut = body(pieces(&bytes[..700_000], 9_000), Then::Break);
        match life.uploads.append(to(upload.id, 0), cut).await {
            Err(UploadError::BodyBroken { offset }) => assert_eq!(offset.0, 700_000),
            other => panic!("{other:?}"),
        }
        let (told, all_read) = oneshot::channel();
        let hanging = body(pieces(&bytes[700_000..2_000_000], 9_000), Then::Hang(told));
        tokio::select! {
            ended = life.uploads.append(to(upload.id, 700_000), hanging) => panic!("{ended:?}"),
            read = all_read => read.expect("the body is read"),
        }
        assert_eq!(life.offset(upload.id).await, 2_000_000);
        assert_eq!(life.blob(upload.id, 2_000_000), bytes[..2_000_000]);
        life.append(upload.id, 2_000_000, &bytes[2_000_000..]).await.expect("the rest");
        assert_eq!(life.original(&upload), bytes);
    });
}

/// All bytes are here: the upload is finished even if the client went before the answer.
#[test]
fn a_client_that_leaves_at_the_end_has_finished() {
    House::new().live(async |life: &Life| {
        let upload = life.create(Some(5)).await;
        let cut = body(pieces(b"hello", 2), Then::Break);
        assert!(life.uploads.append(to(upload.id, 0), cut).await.expect("all is here").finished);
        assert_eq!(life.original(&upload), b"hello");
    });
}

/// The newest request wins: the running one ends with what it had, and the new offset is final.
#[test]
fn the_newest_request_takes_over() {
    House::new().live(async |life: &Life| {
        let bytes = content(300 * KIB);
        let upload = life.create(Some(bytes.len() as u64)).await;
        let (told, all_read) = oneshot::channel();
        let uploads = life.uploads.clone();
        let hanging = body(pieces(&bytes[..200_000], 9_000), Then::Hang(told));
        let older = tokio::spawn(async move { uploads.append(to(upload.id, 0), hanging).await });
        all_read.await.expect("the body is read");
        assert_eq!(life.uploads.peek(upload.id).expect("it is known").state, UploadState::Partial);
        assert_eq!(life.offset(upload.id).await, 200_000);
        match older.await.expect("it ends") {
            Err(UploadError::Taken { offset }) => assert_eq!(offset.0, 200_000),
            other => panic!("{other:?}"),
        }
        life.append(upload.id, 200_000, &bytes[200_000..]).await.expect("the rest");
        assert_eq!(life.original(&upload), bytes);
    });
}

/// A body that stalls is ended by the server, its bytes kept.
#[test]
fn a_stalled_body_is_ended() {
    let mut house = House::new();
    house.limits.idle_timeout_ms = 1;
    house.live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        let (told, _all_read) = oneshot::channel();
        let stalled = body(pieces(b"abc", 1), Then::Hang(told));
        match life.uploads.append(to(upload.id, 0), stalled).await {
            Err(UploadError::Idle { offset }) => assert_eq!(offset.0, 3),
            other => panic!("{other:?}"),
        }
        assert_eq!(life.offset(upload.id).await, 3);
    });
}

/// The stop keeps what came and refuses what comes.
#[test]
fn the_stop_records_everything() {
    let house = House::new();
    let id = house.live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        let (told, all_read) = oneshot::channel();
        let uploads = life.uploads.clone();
        let hanging = body(pieces(b"abcd", 3), Then::Hang(told));
        let running = tokio::spawn(async move { uploads.append(to(upload.id, 0), hanging).await });
        all_read.await.expect("the body is read");
        life.uploads.stop().await;
        let ended = running.await.expect("it ends");
        assert!(matches!(ended, Err(UploadError::Stopping { offset: ByteOffset(4) })), "{ended:?}");
        let late = life.append(upload.id, 4, b"e").await;
        assert!(matches!(late, Err(UploadError::Stopping { .. })));
        let late = life.uploads.create(new_upload(Some(1))).await;
        assert!(matches!(late, Err(UploadError::Stopping { .. })));
        upload.id
    });
    house.live(async |life: &Life| assert_eq!(life.offset(id).await, 4));
}

/// Ending a partial upload removes its bytes and its video; a finished one keeps the video.
#[test]
fn ended_uploads_are_gone() {
    House::new().live(async |life: &Life| {
        let partial = life.create(Some(10)).await;
        life.append(partial.id, 0, b"abc").await.expect("three bytes");
        life.uploads.terminate(partial.id).await.expect("it ends");
        for _ in 0..2 {
            let gone = life.uploads.look(partial.id).await;
            assert!(matches!(gone, Err(UploadError::Gone(UploadState::Aborted))), "{gone:?}");
        }
        let again = life.append(partial.id, 3, b"d").await;
        assert!(matches!(again, Err(UploadError::Gone(_))), "{again:?}");
        let video = partial.video.expect("every upload has one");
        assert_eq!(life.state.video(video).expect("it reads"), None);
        assert!(life.disk.uploads().expect("they read").is_empty());
        assert_eq!(life.uploads.announced(), ByteCount(0));

        let finished = life.create(Some(1)).await;
        life.append(finished.id, 0, b"a").await.expect("the whole");
        life.uploads.terminate(finished.id).await.expect("it is forgotten");
        let gone = life.uploads.look(finished.id).await;
        assert!(matches!(gone, Err(UploadError::Gone(_))), "{gone:?}");
        assert_eq!(life.original(&finished), b"a");
        let unknown = crate::ids::UploadId::fresh(life.clock.now());
        assert!(matches!(life.uploads.terminate(unknown).await, Err(UploadError::Missing)));
    });
}

/// Time is counted from the last byte; without one there is an hour. The end is remembered a week.
#[test]
fn idle_uploads_expire() {
    House::new().live(async |life: &Life| {
        let empty = life.create(Some(10)).await;
        let begun = life.create(Some(10)).await;
        let kept = life.append(begun.id, 0, b"a").await.expect("a byte");
        assert_eq!(kept.expires_at, life.clock.now().plus_ms(DAY_MS as u64));
        life.clock.advance_ms(3_599_999);
        assert_eq!(life.uploads.expire_due().await.expect("a round"), 0);
        life.clock.advance_ms(1);
        assert_eq!(life.uploads.expire_due().await.expect("a round"), 1);
        let gone = life.uploads.look(empty.id).await;
        assert!(matches!(gone, Err(UploadError::Gone(UploadState::Expired))), "{gone:?}");
        life.append(begun.id, 1, b"b").await.expect("another byte");
        life.clock.advance_ms(DAY_MS - 1);
        assert_eq!(life.uploads.expire_due().await.expect("a round"), 0);
        life.clock.advance_ms(1);
        assert_eq!(life.uploads.expire_due().await.expect("a round"), 1);
        assert!(life.disk.uploads().expect("they read").is_empty());
        life.clock.advance_ms(ENDED_REMEMBERED_MS as i64);
        assert_eq!(life.uploads.expire_due().await.expect("a round"), 0);
        assert!(matches!(life.uploads.look(empty.id).await, Err(UploadError::Missing)));
        assert!(matches!(life.uploads.look(begun.id).await, Err(UploadError::Missing)));
    });
}

/// After a restart of the machine only confirmed bytes count; of the server, all that were told.
#[test]
fn only_confirmed_bytes_survive_a_power_cut() {
    let mut house = House::new();
    let id = house.live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        life.append(upload.id, 0, b"abcd").await.expect("four bytes");
        // The record of a confirmation that came only for the first two.
        upload.id
    });
    house.live(async |life: &Life| assert_eq!(life.offset(id).await, 4, "a kill loses nothing"));
    house.boot = "boot-2".into();
    let durable = house.live_unmended(async |life: &Life| {
        let record = life.state.upload(id).expect("it reads").expect("it is there");
        record.received.durable.contiguous_end().0
    });
    house.live(async |life: &Life| {
        assert_eq!(life.offset(id).await, durable);
        let rest = b"abcdefghij".split_at(durable as usize).1;
        let upload = life.state.upload(id).expect("it reads").expect("it is there");
        life.append(id, durable, rest).await.expect("the rest");
        assert_eq!(life.original(&upload), b"abcdefghij");
    });
}

/// With durability for every chunk, an answer means that a power cut takes nothing.
#[test]
fn chunks_can_be_durable_one_by_one() {
    let mut house = House::new();
    house.limits.durability = Durability::Chunk;
    let id = house.live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        life.append(upload.id, 0, b"abcd").await.expect("four bytes");
        upload.id
    });
    house.boot = "boot-2".into();
    house.live(async |life: &Life| assert_eq!(life.offset(id).await, 4));
}

/// A finish that was cut off between any two steps is done at the next start, without a hand.
#[test]
fn a_cut_finish_is_done_again() {
    for steps in 0..=2 {
        let house = House::new();
        let upload = house.live(async |life: &Life| {
            let upload = life.create(None).await;
            life.append(upload.id, 0, b"hello").await.expect("five bytes");
            let leased = life.state.lease_upload(upload.id).await.expect("a lease");
            let size = ByteCount(5);
            life.state.declare_length(upload.id, leased.epoch, size).await.expect("declared");
            let video = upload.video.expect("every upload has one");
            if steps >= 1 {
                life.state.begin_finish(upload.id, leased.epoch, size).await.expect("begun");
            }
            if steps >= 2 {
                let record = life.state.video(video).expect("it reads").expect("there");
                let facts = record.to_facts();
                life.disk.finish_blob(upload.id, video, size, &facts).expect("in place");
            }
            upload
        });
        house.live(async |life: &Life| {
            let record = life.uploads.look(upload.id).await.expect("it is known");
            assert_eq!(record.state, UploadState::Finished, "after {steps} steps");
            assert_eq!(life.original(&upload), b"hello");
            let video = upload.video.expect("every upload has one");
            let video = life.state.video(video).expect("it reads").expect("there");
            assert_eq!(video.state, VideoState::Queued);
            assert!(life.disk.uploads().expect("they read").is_empty());
        });
    }
}

/// A finish whose bytes a power cut took is taken back: the upload goes on from what is certain.
#[test]
fn a_finish_without_its_bytes_is_taken_back() {
    let mut house = House::new();
    let id = house.live(async |life: &Life| {
        let upload = life.create(Some(5)).await;
        life.append(upload.id, 0, b"hell").await.expect("four bytes");
        let leased = life.state.lease_upload(upload.id).await.expect("a lease");
        let begun = life.state.begin_finish(upload.id, leased.epoch, ByteCount(5)).await;
        begun.expect("begun");
        upload.id
    });
    house.boot = "boot-2".into();
    house.live(async |life: &Life| {
        let record = life.uploads.look(id).await.expect("it is open");
        assert_eq!(record.state, UploadState::Partial);
        let offset = record.received.end().0;
        assert!(offset <= 4);
        let rest = b"hello".split_at(offset as usize).1;
        assert!(life.append(id, offset, rest).await.expect("the rest").finished);
        assert_eq!(life.original(&record), b"hello");
    });
}

/// A file that somebody cut lowers the offset instead of leaving a hole.
#[test]
fn a_cut_file_lowers_the_offset() {
    House::new().live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        life.append(upload.id, 0, b"abcdef").await.expect("six bytes");
        let blob = life.disk.open_blob(upload.id).expect("it is there");
        rustix::fs::ftruncate(&blob, 2).expect("it can be cut");
        let refused = life.append(upload.id, 6, b"g").await;
        let actual = ByteOffset(2);
        assert!(matches!(refused, Err(UploadError::OffsetMismatch { actual: a }) if a == actual));
        life.append(upload.id, 2, b"cdefghij").await.expect("the rest");
        assert_eq!(life.original(&upload), b"abcdefghij");
    });
}

/// Directories without an upload go when nobody can come back for them.
#[test]
fn leftovers_are_removed_at_the_start() {
    let house = House::new();
    let finished = house.live(async |life: &Life| {
        let upload = life.create(Some(10)).await;
        let meta = life.disk.upload_meta(upload.id).expect("it reads").expect("there");
        let orphan = crate::ids::UploadId::fresh(life.clock.now());
        life.disk.create_blob(orphan, &meta).expect("a creation cut off before its record");
        let finished = life.create(Some(1)).await;
        life.append(finished.id, 0, b"a").await.expect("the whole");
        life.disk.create_blob(finished.id, &meta).expect("a directory that outlived its finish");
        assert_eq!(life.disk.uploads().expect("they read").len(), 3);
        finished
    });
    house.live(async |life: &Life| {
        assert_eq!(life.disk.uploads().expect("they read").len(), 1, "the open one stays");
        assert_eq!(life.original(&finished), b"a");
    });
}
