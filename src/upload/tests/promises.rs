//! Where every answer is a promise, nothing is told before the disk has confirmed it.

use super::life::*;
use crate::config::Durability;
use crate::ids::UploadId;
use crate::units::{ByteOffset, Ranges};
use crate::upload::{Checksum, UploadError};
use bytes::Bytes;

/// Leaves `bytes` as a kill does that comes before they are confirmed.
async fn leave(life: &Life, id: UploadId, bytes: &[u8]) {
    let blob = life.disk.open_blob(id).expect("it is there");
    blob.write_at(ByteOffset(0), &[Bytes::copy_from_slice(bytes)]).expect("written");
    let epoch = life.state.lease_upload(id).await.expect("leased").epoch;
    let (now, there) = (life.clock.now(), Ranges::up_to(ByteOffset(bytes.len() as u64)));
    let expires_at = now.plus_ms(60_000);
    let noted = life.state.note_written(id, epoch, "boot-1", there, now, expires_at);
    noted.await.expect("noted");
}

fn durable(life: &Life, id: UploadId) -> u64 {
    let record = life.state.upload(id).expect("it reads").expect("it is there");
    record.received.durable.contiguous_end().0
}

/// An offset that is told after a kill or a cut body could be lost to a power cut although every
/// answer was to survive one.
#[test]
fn a_told_offset_survives_a_power_cut_in_chunk_mode() {
    let mut house = House::new();
    house.limits.durability = Durability::Chunk;
    let id = house.live(async |life: &Life| {
        let upload = life.create(Some(1000)).await;
        leave(life, upload.id, &content(300)).await;
        upload.id
    });
    house.live(async |life: &Life| {
        let record = life.state.upload(id).expect("it reads").expect("it is there");
        let told = life.uploads.told(record).await.expect("for status");
        assert_eq!(told.received.end(), ByteOffset(0), "not before it is confirmed");
        let astray = life.append(id, 7, b"x").await;
        assert!(matches!(astray, Err(UploadError::OffsetMismatch { actual: ByteOffset(300) })));
        assert_eq!(durable(life, id), 300);
        leave(life, id, &content(400)).await;
        assert_eq!(life.offset(id).await, 400);
        assert_eq!(durable(life, id), 400);
        let broken = body(pieces(&content(500)[400..], 10), Then::Break);
        let broken = life.uploads.append(to(id, 400), broken).await;
        assert!(matches!(broken, Err(UploadError::BodyBroken { offset: ByteOffset(500) })));
        assert_eq!(durable(life, id), 500);
    });
    house.boot = "boot-2".into();
    house.live(async |life: &Life| assert_eq!(life.offset(id).await, 500));
}

/// A part that was complete when the server was killed was joined by name and lost with the next
/// power cut: its bytes were confirmed only with the answer that the kill had cut off.
#[test]
fn a_complete_part_is_confirmed_after_a_kill() {
    let house = House::new();
    let id = house.live(async |life: &Life| {
        let part = life.uploads.create_part(new_upload(Some(300))).await.expect("room");
        leave(life, part.id, &content(300)).await;
        part.id
    });
    house.live(async |life: &Life| {
        assert_eq!(life.offset(id).await, 300);
        assert_eq!(durable(life, id), 300);
    });
}

/// Requests that follow each other share a record, and the file tells the rest after a kill. What
/// lies in the file and never counted isn't told by it.
#[test]
fn requests_share_a_record_and_lose_nothing_to_a_kill() {
    let mut house = House::new();
    let bytes = content(1000);
    let id = house.live(async |life: &Life| {
        let id = life.create(Some(1000)).await.id;
        for at in [0, 100, 200] {
            life.append(id, at as u64, &bytes[at..at + 100]).await.expect("acknowledged");
        }
        assert_eq!(life.offset(id).await, 300);
        assert_eq!(life.state.uploads().expect("they read")[0].received.end(), ByteOffset(300));
        id
    });
    house.live_unmended(async |life: &Life| {
        let record = life.uploads.peek(id).expect("it is open");
        assert_eq!(record.received.end(), ByteOffset(100), "one record for all three");
    });
    house.live(async |life: &Life| {
        assert_eq!(life.offset(id).await, 300);
        let wrong = Checksum::Crc32c([0; 4]);
        let sent = body(pieces(&bytes[300..400], 10), Then::End);
        let refused = life.uploads.append_checked(to(id, 300), Some(wrong), sent).await;
        assert!(matches!(refused, Err(UploadError::ChecksumMismatch { .. })));
        assert_eq!(life.blob(id, 400), bytes[..400], "it lies in the file");
    });
    house.live(async |life: &Life| {
        assert_eq!(life.offset(id).await, 300);
        life.append(id, 300, &bytes[300..350]).await.expect("acknowledged");
    });
    house.live(async |life: &Life| {
        assert_eq!(life.offset(id).await, 350, "what lies behind it doesn't count");
        life.append(id, 350, &bytes[350..500]).await.expect("past what lay there");
        life.append(id, 500, &bytes[500..600]).await.expect("acknowledged");
        let cut = body(pieces(&bytes[600..700], 10), Then::Break);
        let cut = life.uploads.append(to(id, 600), cut).await;
        assert!(matches!(cut, Err(UploadError::BodyBroken { offset: ByteOffset(700) })));
    });
    house.live(async |life: &Life| assert_eq!(life.offset(id).await, 700));
    house.boot = "boot-2".into();
    house.live(async |life: &Life| {
        assert_eq!(life.offset(id).await, 0, "nothing was confirmed");
        let appended = life.append(id, 0, &bytes).await.expect("all of it");
        assert!(appended.finished);
    });
}
