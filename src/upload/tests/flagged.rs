//! Uploads that are complete by their client's word: the IETF's draft.

use super::life::*;
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset};
use crate::upload::{Append, Appended, Flagged, PartError, UploadError};
use sha2::Digest;

const LAST: Flagged = Flagged { last: true, whole: None };
const MORE: Flagged = Flagged { last: false, whole: None };

async fn begin(life: &Life, length: Option<u64>) -> UploadRecord {
    life.uploads.create_draft(new_upload(length), None).await.expect("there is room")
}

async fn send(
    life: &Life,
    append: Append,
    flagged: Flagged,
    bytes: &[u8],
) -> Result<Appended, UploadError> {
    let body = body(pieces(bytes, 50_000), Then::End);
    life.uploads.append_flagged(append, flagged, None, body).await
}

fn sized(id: UploadId, at: u64, count: u64) -> Append {
    Append { content_length: Some(ByteCount(count)), ..to(id, at) }
}

fn state(life: &Life, id: UploadId) -> UploadRecord {
    life.state.upload(id).expect("it reads").expect("it is remembered")
}

/// All bytes being here completes nothing, not even at a start; an empty body with the flag does.
#[test]
fn the_flag_completes_and_not_the_length() {
    let house = House::new();
    let bytes = content(200_000);
    let id = house.live(async |life: &Life| {
        let upload = begin(life, Some(200_000)).await;
        let all = send(life, to(upload.id, 0), MORE, &bytes).await.expect("all bytes");
        assert_eq!((all.offset, all.finished), (ByteOffset(200_000), false));
        upload.id
    });
    house.live(async |life: &Life| {
        let upload = life.uploads.look(id).await.expect("it is open");
        assert_eq!((upload.state, upload.received.end().0), (UploadState::Partial, 200_000));
        let done = send(life, to(id, 200_000), LAST, b"").await.expect("the flag");
        assert!(done.finished);
        assert!(life.original(&upload) == bytes);
    });
}

/// Empty uploads stay open as well; without a length the end of the last body is the end.
#[test]
fn an_upload_without_a_length_ends_where_its_client_says() {
    House::new().live(async |life: &Life| {
        let empty = begin(life, Some(0)).await;
        assert_eq!(empty.state, UploadState::Partial);
        assert!(send(life, to(empty.id, 0), LAST, b"").await.expect("the flag").finished);
        let upload = begin(life, None).await;
        assert!(!send(life, to(upload.id, 0), MORE, b"abc").await.expect("a beginning").finished);
        let done = send(life, to(upload.id, 3), LAST, b"de").await.expect("the rest");
        assert_eq!((done.offset, done.finished), (ByteOffset(5), true));
        assert_eq!(life.original(&upload), b"abcde");
        assert_eq!(state(life, upload.id).length, Some(ByteCount(5)));
        let cut = begin(life, None).await;
        let broken = body(pieces(b"abc", 2), Then::Break);
        let append = sized(cut.id, 0, 5);
        assert!(life.uploads.append_flagged(append, LAST, None, broken).await.is_err());
        assert_eq!(state(life, cut.id).length, Some(ByteCount(5)), "it was told with the body");
    });
}

/// A last body that breaks off completes nothing, although the length is reached.
#[test]
fn a_broken_last_body_completes_nothing() {
    House::new().live(async |life: &Life| {
        let upload = begin(life, Some(3)).await;
        let cut = body(pieces(b"abc", 2), Then::Break);
        let cut = life.uploads.append_flagged(to(upload.id, 0), LAST, None, cut).await;
        assert!(matches!(cut, Err(UploadError::BodyBroken { offset: ByteOffset(3) })));
        assert_eq!(life.offset(upload.id).await, 3);
        assert_eq!(state(life, upload.id).state, UploadState::Partial);
        assert!(send(life, to(upload.id, 3), LAST, b"").await.expect("the flag").finished);
    });
}

/// More than the length ends the upload, told beforehand or found on the way; a last body that is
/// too short only moves the offset, and a wrong offset is looked at before any length.
#[test]
fn lengths_that_contradict_each_other() {
    House::new().live(async |life: &Life| {
        let announced = begin(life, Some(5)).await;
        assert!(send(life, sized(announced.id, 0, 3), MORE, b"abc").await.is_ok());
        let elsewhere = send(life, sized(announced.id, 1, 9), LAST, b"123456789").await;
        let actual = ByteOffset(3);
        assert!(matches!(elsewhere, Err(UploadError::OffsetMismatch { actual: a }) if a == actual));
        let early = send(life, sized(announced.id, 3, 1), LAST, b"d").await;
        assert!(matches!(early, Err(UploadError::LengthFixed)));
        assert_eq!(life.offset(announced.id).await, 3);
        let early = send(life, to(announced.id, 3), LAST, b"d").await;
        assert!(matches!(early, Err(UploadError::LengthFixed)));
        assert_eq!(life.offset(announced.id).await, 4);
        let long = send(life, sized(announced.id, 4, 2), LAST, b"ef").await;
        assert!(matches!(long, Err(UploadError::TooLong { .. })));
        assert_eq!(state(life, announced.id).state, UploadState::Aborted);

        let found = begin(life, Some(5)).await;
        let long = send(life, to(found.id, 0), MORE, b"abcdef").await;
        assert!(matches!(long, Err(UploadError::TooLong { .. })));
        assert_eq!(state(life, found.id).state, UploadState::Aborted);
        assert!(life.disk.uploads().expect("they read").is_empty(), "their bytes are gone");
        assert_eq!(life.uploads.announced(), ByteCount(0));
    });
}

/// A sum of the whole file, told at the beginning or the end, is checked before it counts.
#[test]
fn the_whole_is_checked() {
    House::new().live(async |life: &Life| {
        let bytes = content(3_000_000);
        let sum: [u8; 32] = sha2::Sha256::digest(&bytes).into();
        for (early, late, right) in [
            (Some(sum), None, true),
            (None, Some(sum), true),
            (Some([0; 32]), None, false),
            (Some(sum), Some([0; 32]), false),
        ] {
            let made = life.uploads.create_draft(new_upload(None), early).await;
            let upload = made.expect("there is room");
            let flagged = Flagged { last: true, whole: late };
            let done = send(life, to(upload.id, 0), flagged, &bytes).await;
            assert_eq!(done.is_ok(), right, "{done:?}");
            if !right {
                let wrong = UploadError::Part(PartError::WholeChecksum).to_string();
                assert_eq!(done.expect_err("wrong").to_string(), wrong);
                assert_eq!(life.offset(upload.id).await, 3_000_000);
            }
        }
    });
}

/// What was told once is there after a power cut, whichever answer told it.
#[test]
fn told_offsets_survive_a_power_cut() {
    let mut house = House::new();
    let bytes = content(300_000);
    let ids = house.live(async |life: &Life| {
        let [told, looked, refused] =
            [begin(life, None).await, begin(life, None).await, begin(life, None).await];
        send(life, to(told.id, 0), MORE, &bytes).await.expect("it is told");
        for upload in [&looked, &refused] {
            let cut = body(pieces(&bytes, 9_000), Then::Break);
            let cut = life.uploads.append_flagged(to(upload.id, 0), MORE, None, cut).await;
            assert!(matches!(cut, Err(UploadError::BodyBroken { .. })));
        }
        assert_eq!(life.offset(looked.id).await, 300_000);
        let wrong = send(life, to(refused.id, 7), MORE, b"x").await;
        assert!(matches!(wrong, Err(UploadError::OffsetMismatch { .. })));
        [told.id, looked.id, refused.id]
    });
    house.boot = "boot-2".into();
    house.live(async |life: &Life| {
        for id in ids {
            assert_eq!(life.offset(id).await, 300_000);
            assert!(life.blob(id, 300_000) == bytes);
        }
    });
}

/// A lost database doesn't bring such an upload back: its offset would go back.
#[test]
fn a_lost_record_is_the_end() {
    House::new().live(async |life: &Life| {
        let upload = begin(life, None).await;
        let meta = life.disk.upload_meta(upload.id).expect("it reads").expect("it is there");
        let lost = UploadId::fresh(crate::units::UnixMillis(5));
        let meta = crate::disk::UploadMeta { upload: lost, ..meta };
        assert!(!life.uploads.adopt(meta).await.expect("it is left alone"));
    });
}
