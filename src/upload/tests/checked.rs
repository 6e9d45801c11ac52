//! Bodies with a checksum: whole and right, or nothing.

use super::life::*;
use crate::ids::UploadId;
use crate::model::upload::UploadState;
use crate::units::{ByteCount, ByteOffset};
use crate::upload::{Append, Appended, Checksum, UploadError};
use sha2::Digest;
use tokio::sync::oneshot;

fn sum_of(bytes: &[u8]) -> Option<Checksum> {
    Checksum::new("sha256", &sha2::Sha256::digest(bytes))
}

/// Sends `bytes` as one body with the sum of `summed`.
async fn send(
    life: &Life,
    append: Append,
    bytes: &[u8],
    summed: &[u8],
    then: Then,
) -> Result<Appended, UploadError> {
    let body = body(pieces(bytes, 50_000), then);
    life.uploads.append_checked(append, sum_of(summed), body).await
}

fn claims(life: &Life, id: UploadId) -> (u64, u64) {
    let received = life.state.upload(id).expect("it reads").expect("it is there").received;
    (received.written.total().0, received.durable.total().0)
}

/// A wrong sum moves nothing and finishes nothing, however much came; the right body is written
/// over what lies there.
#[test]
fn a_wrong_sum_moves_nothing() {
    House::new().live(async |life: &Life| {
        let bytes = content(20 * 1024 * KIB);
        let upload = life.create(Some(bytes.len() as u64)).await;
        life.append(upload.id, 0, &bytes[..1000]).await.expect("a beginning");
        let other = content(bytes.len() as u64 + 7);
        let wrong =
            send(life, to(upload.id, 1000), &other[1007..], &bytes[1000..], Then::End).await;
        assert!(matches!(wrong, Err(UploadError::ChecksumMismatch { offset: ByteOffset(1000) })));
        assert_eq!(claims(life, upload.id).0, 1000);
        let record = life.uploads.look(upload.id).await.expect("it is open");
        assert_eq!((record.state, record.received.end().0), (UploadState::Partial, 1000));
        let right =
            send(life, to(upload.id, 1000), &bytes[1000..], &bytes[1000..], Then::End).await;
        assert!(right.expect("the rest").finished);
        assert_eq!(life.original(&upload), bytes);
        let again = send(life, to(upload.id, bytes.len() as u64), b"", b"x", Then::End).await;
        assert!(matches!(again, Err(UploadError::ChecksumMismatch { .. })));
    });
}

/// Nothing of a body without its end is kept, and no start believes it: not after a cut, not
/// after a takeover, not after a kill, although its bytes lie in the file.
#[test]
fn an_unverified_body_leaves_no_claim() {
    let house = House::new();
    let bytes = content(40 * 1024 * KIB);
    let sent = &bytes[500..39 * 1024 * 1024];
    let id = house.live(async |life: &Life| {
        let upload = life.create(Some(bytes.len() as u64)).await;
        life.append(upload.id, 0, &bytes[..500]).await.expect("a beginning");
        let cut = send(life, to(upload.id, 500), sent, &bytes[500..], Then::Break).await;
        assert!(matches!(cut, Err(UploadError::BodyBroken { offset: ByteOffset(500) })));
        assert_eq!(life.offset(upload.id).await, 500);
        let (told, all_read) = oneshot::channel();
        let hanging = send(life, to(upload.id, 500), sent, &bytes[500..], Then::Hang(told));
        let overtaking = async {
            all_read.await.expect("the body is read");
            life.offset(upload.id).await
        };
        let (ended, offset) = tokio::join!(hanging, overtaking);
        assert!(matches!(ended, Err(UploadError::Taken { offset: ByteOffset(500) })));
        assert_eq!(offset, 500);
        let (told, all_read) = oneshot::channel();
        tokio::select! {
            ended = send(life, to(upload.id, 500), sent, &bytes[500..], Then::Hang(told)) => {
                panic!("{ended:?}")
            }
            read = all_read => read.expect("the body is read"),
        }
        assert_eq!(claims(life, upload.id).0, 500);
        upload.id
    });
    house.live(async |life: &Life| {
        let file = life.disk.open_blob(id).expect("there").len().expect("it reads");
        assert!(file.0 > 500, "its bytes lie in the file");
        assert_eq!((life.offset(id).await, claims(life, id).0), (500, 500));
        let upload = life.uploads.peek(id).expect("it is open");
        let right = send(life, to(id, 500), &bytes[500..], &bytes[500..], Then::End).await;
        assert!(right.expect("the rest").finished);
        assert!(life.original(&upload) == bytes);
    });
}

/// A length that comes with a wrong body doesn't count either, so that it can't end the upload.
#[test]
fn a_wrong_body_declares_no_length() {
    House::new().live(async |life: &Life| {
        let upload = life.create(None).await;
        life.append(upload.id, 0, b"abc").await.expect("a beginning");
        let declare = |length| Append { declared: Some(ByteCount(length)), ..to(upload.id, 3) };
        let wrong = send(life, declare(3), b"", b"x", Then::End).await;
        assert!(matches!(wrong, Err(UploadError::ChecksumMismatch { .. })));
        let record = life.uploads.look(upload.id).await.expect("it is open");
        assert_eq!((record.state, record.length), (UploadState::Partial, None));
        let right = send(life, declare(5), b"de", b"de", Then::End).await.expect("the rest");
        assert!(right.finished);
        assert_eq!(life.original(&upload), b"abcde");
    });
}
