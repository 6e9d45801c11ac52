//! Parts and what is made of them.

use super::life::*;
use crate::config::Reserve;
use crate::ids::{Owner, UploadId};
use crate::model::upload::UploadState;
use crate::model::video::VideoState;
use crate::state::{UploadRecord, VideoRecord};
use crate::units::ByteCount;
use crate::upload::{NewUpload, UploadError};

async fn part(life: &Life, length: Option<u64>) -> UploadId {
    life.uploads.create_part(new_upload(length)).await.expect("there is room").id
}

async fn join(life: &Life, parts: &[UploadId]) -> Result<UploadRecord, UploadError> {
    life.uploads.create_final(new_upload(None), "final;x".into(), parts.to_vec()).await
}

fn video(life: &Life, record: &UploadRecord) -> VideoRecord {
    let id = record.video.expect("it has one");
    life.state.video(id).expect("it reads").expect("it is there")
}

/// Lets the engine's tasks work until a final upload is finished.
async fn finished(life: &Life, id: UploadId) -> UploadRecord {
    loop {
        let record = life.uploads.peek(id).expect("it is open");
        if record.state == UploadState::Finished {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

/// Parts have no video and don't finish; together they become one, which outlives them.
#[test]
fn parts_become_one_video() {
    House::new().live(async |life: &Life| {
        let bytes = content(1_000_000);
        let (a, b, empty) =
            (part(life, Some(400_000)).await, part(life, None).await, part(life, Some(0)).await);
        let made = join(life, &[a, empty, b]).await.expect("its parts are there");
        assert_eq!((made.length, made.is_final()), (None, true));
        let whole = life.append(a, 0, &bytes[..400_000]).await.expect("a part");
        assert!(!whole.finished);
        let record = life.uploads.look(a).await.expect("it waits");
        assert_eq!((record.state, record.video), (UploadState::Partial, None));
        let refused = life.append(made.id, 0, b"x").await;
        assert!(matches!(refused, Err(UploadError::MadeOfParts)));
        let declare = crate::upload::Append { declared: Some(ByteCount(600_000)), ..to(b, 0) };
        let rest = body(pieces(&bytes[400_000..], 50_000), Then::End);
        life.uploads.append(declare, rest).await.expect("the other part");
        let made = finished(life, made.id).await;
        assert!(life.original(&made) == bytes);
        let video = life.state.video(made.video.expect("one")).expect("it reads").expect("there");
        assert_eq!((video.state, video.size), (VideoState::Queued, ByteCount(1_000_000)));
        for id in [a, b, empty] {
            life.uploads.terminate(id).await.expect("nobody needs it any more");
        }
        while !life.disk.uploads().expect("they read").is_empty() {
            tokio::task::yield_now().await;
        }
        // The task that joined has its last words after the record.
        while life.uploads.announced() != ByteCount(0) {
            tokio::task::yield_now().await;
        }
        let nothing = {
            let empty = part(life, Some(0)).await;
            join(life, &[empty, empty]).await.expect("two times nothing")
        };
        assert_eq!(life.original(&finished(life, nothing.id).await), b"");
    });
}

/// A final upload whose parts are here is queued before it has a byte, and stays so when its
/// joining was kept from going on; one of more parts than a job can read is queued once joined.
#[test]
fn the_work_needs_no_joining() {
    let mut house = House::new();
    let bytes = content(3000);
    let (made, many) = house.live(async |life: &Life| {
        let (a, b) = (part(life, Some(1000)).await, part(life, Some(1000)).await);
        let mut parts = vec![a, b, a];
        life.append(a, 0, &bytes[..1000]).await.expect("a part");
        life.append(b, 0, &bytes[1000..2000]).await.expect("a part");
        let made = join(life, &parts).await.expect("they are there");
        let done = finished(life, made.id).await;
        assert!(life.original(&done) == [&bytes[..2000], &bytes[..1000]].concat());
        let queued = video(life, &done);
        assert_eq!((queued.state, queued.size), (VideoState::Queued, ByteCount(3000)));
        assert_eq!(life.state.jobs(None, None, 9).expect("they read").len(), 1);

        let missing = part(life, Some(1)).await;
        parts.push(missing);
        let made = join(life, &parts).await.expect("most are there").id;
        let mut many = Vec::new();
        for byte in 0..=crate::wire::SOURCE_FILES_MAX {
            many.push(part(life, Some(1)).await);
            life.append(many[byte], 0, &[byte as u8]).await.expect("a byte");
        }
        many.push(missing);
        let many = join(life, &many).await.expect("most are there").id;
        life.append(missing, 0, b"!").await.expect("the last part");
        (made, many)
    });
    // The house stops while they are joined, and is full when it goes on.
    house.limits.reserve_free_space = Reserve::Bytes(ByteCount(u64::MAX / 2));
    house.live(async |life: &Life| {
        let queued = |id| video(life, &life.uploads.peek(id).expect("it is open")).state;
        while queued(made) != VideoState::Queued {
            tokio::task::yield_now().await;
        }
        if life.uploads.peek(many).expect("it is open").state != UploadState::Finished {
            assert_eq!(queued(many), VideoState::Uploading);
        }
    });
    house.limits.reserve_free_space = Reserve::Bytes(ByteCount(0));
    // What was let in is joined, although it would be too large today.
    house.limits.max_size = ByteCount(10);
    house.live(async |life: &Life| {
        let record = finished(life, made).await;
        assert!(life.original(&record) == [&bytes[..2000], &bytes[..1000], b"!"].concat());
        let record = finished(life, many).await;
        let all: Vec<u8> = (0..65).chain([b'!']).collect();
        assert!(life.original(&record) == all);
        assert_eq!(video(life, &record).state, VideoState::Queued);
        assert_eq!(life.state.jobs(None, None, 9).expect("they read").len(), 3);
    });
}

/// Who follows an upload that is made of parts hears of their bytes at their places, and that all
/// are here before they are joined; there is nothing to follow while a length isn't known, nor of
/// more parts than are read as one.
#[test]
fn an_upload_in_parts_is_followed() {
    let house = House::new();
    house.live(async |life: &Life| {
        let (a, b) = (part(life, Some(1000)).await, part(life, None).await);
        life.append(b, 0, b"of unknown length").await.expect("some of it");
        let made = join(life, &[a, b, a]).await.expect("they are there");
        assert!(life.uploads.follow(made.id).expect("it is open").is_none());
        let told = life.uploads.so_far(made.clone());
        assert_eq!((told.length, told.received.end().0), (None, 0));
        let declare = crate::upload::Append { declared: Some(ByteCount(100)), ..to(b, 17) };
        let one = body(pieces(b"!", 1), Then::End);
        life.uploads.append(declare, one).await.expect("one more");
        let followed = life.uploads.follow(made.id).expect("it is open").expect("it can be");
        let lengths = followed.pieces.as_slice().iter().map(|piece| (piece.upload, piece.length.0));
        assert_eq!(lengths.collect::<Vec<_>>(), [(a, 1000), (b, 100), (a, 1000)]);
        let here = || followed.news.borrow().here.as_slice().to_vec();
        assert_eq!(here(), [(1000, 1018)]);
        life.append(a, 0, &content(300)).await.expect("a beginning");
        assert_eq!(here(), [(0, 300), (1000, 1018), (1100, 1400)]);
        let told = life.uploads.so_far(made.clone());
        assert_eq!(told.received.written.as_slice(), here());
        assert_eq!(told.length, Some(ByteCount(2100)));
        life.append(b, 18, &content(82)).await.expect("the rest");
        life.append(a, 300, &content(700)).await.expect("the rest");
        while !followed.news.borrow().finished {
            tokio::task::yield_now().await;
        }
        assert_eq!(here(), [(0, 2100)]);
        assert!(life.uploads.follow(finished(life, made.id).await.id).expect("so").is_none());

        let mut many = Vec::new();
        for _ in 0..=crate::wire::SOURCE_FILES_MAX {
            many.push(part(life, Some(1)).await);
        }
        let one_less = join(life, &many[1..]).await.expect("they are there").id;
        let many = join(life, &many).await.expect("they are there").id;
        assert!(life.uploads.follow(many).expect("it is open").is_none());
        let followed = life.uploads.follow(one_less).expect("it is open").expect("it can be");
        life.uploads.terminate(one_less).await.expect("ended");
        assert!(followed.news.has_changed().is_err(), "the channel is closed");
    });
}

/// Other owners' parts, other uploads and too much of it are refused before anything is made.
#[test]
fn wrong_parts_are_refused() {
    let mut house = House::new();
    house.live(async |life: &Life| {
        let max = 64 * 1024 * KIB;
        let (a, plain) = (part(life, Some(max / 2 + 1)).await, life.create(Some(5)).await.id);
        let other = NewUpload { owner: Owner("bert".into()), ..new_upload(Some(5)) };
        let other = life.uploads.create_part(other).await.expect("there is room").id;
        let gone = part(life, Some(5)).await;
        life.uploads.terminate(gone).await.expect("ended");
        for wrong in [other, gone, UploadId::fresh(life.clock.now())] {
            assert!(matches!(join(life, &[a, wrong]).await, Err(UploadError::PartMissing)));
        }
        assert!(matches!(join(life, &[plain]).await, Err(UploadError::PartUnfit)));
        assert!(matches!(join(life, &[a, a]).await, Err(UploadError::MaxSize { .. })));
        life.uploads.terminate(a).await.expect("no refused one needs it");
        // What turns out too long only later is given up, and its parts are free again.
        let (a, b) = (part(life, Some(1)).await, part(life, None).await);
        let made = join(life, &[a, b, b]).await.expect("not known yet").id;
        let far = crate::upload::Append { declared: Some(ByteCount(max / 2)), ..to(b, 0) };
        let bytes = content(max / 2);
        let all = body(pieces(&bytes, 1 << 20), Then::End);
        life.uploads.append(far, all).await.expect("as a part it fits");
        life.append(a, 0, b"x").await.expect("the other");
        while !matches!(life.uploads.peek(made), Err(UploadError::Gone(UploadState::Aborted))) {
            tokio::task::yield_now().await;
        }
        life.uploads.terminate(b).await.expect("it isn't needed");
    });
    house.limits.reserve_free_space = Reserve::Bytes(ByteCount(u64::MAX / 2));
    house.live(async |life: &Life| {
        assert!(matches!(join(life, &[]).await, Err(UploadError::NoSpace)));
    });
}

/// A join that had failed, as on a full disk, was tried again only a minute later, however often
/// its client asked.
#[test]
fn a_failed_join_is_tried_again_for_who_asks() {
    let house = House::new();
    house.live(async |life: &Life| {
        let a = part(life, Some(3)).await;
        life.append(a, 0, b"abc").await.expect("a whole part");
        let name = a.to_string();
        let blob = house.dir().join("tmp/uploads").join(&name[34..]).join(&name).join("blob");
        let aside = blob.with_file_name("aside");
        std::fs::rename(&blob, &aside).expect("it lies there");
        let made = join(life, &[a]).await.expect("its part is known").id;
        // More than it takes to fail.
        for _ in 0..200 {
            tokio::task::spawn_blocking(|| ()).await.expect("nothing can go wrong");
        }
        std::fs::rename(&aside, &blob).expect("back again");
        while life.uploads.look(made).await.expect("it is open").state != UploadState::Finished {
            tokio::task::yield_now().await;
        }
    });
}

/// A part that a final upload waits for outlives its time and its owner's wish; once nobody goes
/// on with any part, the final goes first and its parts after it.
#[test]
fn needed_parts_stay() {
    let house = House::new();
    house.live(async |life: &Life| {
        let (a, b) = (part(life, Some(3)).await, part(life, Some(3)).await);
        life.append(a, 0, b"abc").await.expect("a whole part");
        let made = join(life, &[a, b]).await.expect("parts are there").id;
        assert!(matches!(life.uploads.terminate(a).await, Err(UploadError::PartNeeded)));
        life.clock.advance_ms(DAY_MS / 2);
        life.append(b, 0, b"d").await.expect("somebody goes on");
        life.clock.advance_ms(DAY_MS / 2 + 1);
        assert_eq!(life.uploads.expire_due().await.expect("it runs"), 0);
        assert_eq!(life.offset(a).await, 3);
        life.clock.advance_ms(DAY_MS);
        // Parts that are looked at before the final stay for the next round.
        let first = life.uploads.expire_due().await.expect("it runs");
        assert!(matches!(life.uploads.peek(made), Err(UploadError::Gone(UploadState::Expired))));
        assert_eq!(first + life.uploads.expire_due().await.expect("it runs"), 3);
        assert!(life.disk.uploads().expect("they read").is_empty());
    });
    // What was complete when the server went is joined, however long it was away.
    let made = house.live(async |life: &Life| {
        let a = part(life, Some(3)).await;
        life.append(a, 0, b"abc").await.expect("a whole part");
        join(life, &[a, a]).await.expect("a part is there").id
    });
    house.clock.advance_ms(9 * DAY_MS);
    house.live(async |life: &Life| {
        life.uploads.expire_due().await.expect("it runs");
        assert_eq!(life.original(&finished(life, made).await), b"abcabc");
    });
}

/// Power cuts and kills before and in a join cost nothing that was acknowledged: claims that the
/// disk hasn't confirmed are dropped, and the join goes on from what is certain.
#[test]
fn joins_go_on_after_a_power_cut() {
    let mut house = House::new();
    let bytes = content(700_000);
    let (made, cut) = house.live(async |life: &Life| {
        let (a, b) = (part(life, Some(300_000)).await, part(life, Some(400_000)).await);
        life.append(a, 0, &bytes[..300_000]).await.expect("a part");
        life.append(b, 0, &bytes[300_000..]).await.expect("a part");
        (join(life, &[a, b]).await.expect("there").id, life.create(Some(3)).await.id)
    });
    house.boot = "boot-2".into();
    house.live(async |life: &Life| {
        assert!(life.original(&finished(life, made).await) == bytes);
        life.uploads.terminate(cut).await.expect("others aren't concerned");
    });
}
