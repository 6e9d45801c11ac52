//! Numbered parts over the real disk and database.

use super::life::*;
use crate::config::{Durability, Reserve};
use crate::disk::UploadMeta;
use crate::ids::{UploadId, VideoId};
use crate::model::upload::{Chunks, Protocol, UploadState};
use crate::state::{PartRecord, UploadRecord};
use crate::units::{ByteCount, ByteOffset, Ranges};
use crate::upload::{Completion, NewUpload, PartError, PutPart, StoredPart, UploadError};
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;

/// The size of the parts here.
const PART: usize = 300_000;

fn put(id: UploadId, index: u32) -> PutPart {
    PutPart { id, index, content_length: None, sha256: Arc::new(OnceLock::new()) }
}

fn part_of(bytes: &[u8], index: u32) -> &[u8] {
    bytes.chunks(PART).nth(index as usize).expect("a part")
}

impl Life {
    async fn begin(&self, length: usize) -> UploadRecord {
        let new = NewUpload { protocol: Protocol::Chunks, ..new_upload(Some(length as u64)) };
        let chunks = Chunks { size: ByteCount(PART as u64), sha256: None };
        self.uploads.create_in_parts(new, chunks).await.expect("there is room")
    }

    async fn send(&self, id: UploadId, index: u32, bytes: &[u8]) -> Result<StoredPart, PartError> {
        let sent = self.uploads.put_part(put(id, index), body(pieces(bytes, 20_000), Then::End));
        sent.await.map_err(|error| match error {
            UploadError::Part(error) => error,
            other => panic!("{other:?}"),
        })
    }

    async fn done(&self, id: UploadId) -> Result<UploadRecord, UploadError> {
        self.uploads.complete(id, Completion::default()).await
    }

    fn missing(&self, id: UploadId) -> Vec<u32> {
        let record = self.uploads.peek(id).expect("it is open");
        let (chunks, length) = record.chunks.zip(record.length).expect("it has a plan");
        chunks.missing(length, &record.received.written)
    }
}

/// Of two requests that bring the same part the newest wins, and its bytes are the ones kept.
#[test]
fn the_newest_writer_of_a_part_wins() {
    House::new().live(async |life: &Life| {
        let bytes = content(PART as u64 * 2);
        let id = life.begin(bytes.len()).await.id;
        let (told, all_read) = oneshot::channel();
        let wrong = body(pieces(&vec![7; PART - 1], 20_000), Then::Hang(told));
        let older = life.uploads.put_part(put(id, 0), wrong);
        let newer = async {
            all_read.await.expect("the older one is under way");
            // Another part doesn't disturb it.
            life.send(id, 1, part_of(&bytes, 1)).await.expect("beside it");
            life.send(id, 0, part_of(&bytes, 0)).await.expect("the newest")
        };
        let (older, newer) = tokio::join!(older, newer);
        assert!(matches!(older, Err(UploadError::Part(PartError::Taken))), "{older:?}");
        assert_eq!(newer.size, ByteCount(PART as u64));
        let record = life.done(id).await.expect("it is whole");
        assert_eq!(life.original(&record), bytes);
        assert_eq!(life.state.parts(id).expect("they read"), [], "nothing is left over");
    });
}

/// A repeated part is compared and not written; other bytes never reach the file.
#[test]
fn a_repeated_part_isnt_written() {
    House::new().live(async |life: &Life| {
        let bytes = content(PART as u64 + 9);
        let id = life.begin(bytes.len()).await.id;
        life.send(id, 0, part_of(&bytes, 0)).await.expect("new");
        life.send(id, 0, part_of(&bytes, 0)).await.expect("the same");
        let differs = life.send(id, 0, &vec![7; PART]).await;
        assert_eq!(differs.err(), Some(PartError::Differs));
        let short = life.send(id, 0, &[7; 9]).await;
        assert!(matches!(short.err(), Some(PartError::Size { .. })));
        assert!(life.blob(id, PART as u64) == part_of(&bytes, 0), "the file was touched");
        let open = life.done(id).await;
        let missing = vec![1];
        assert!(matches!(open, Err(UploadError::Part(PartError::Missing { missing: m }))
            if m == missing));
    });
}

/// Who is told which parts are missing takes the others for confirmed where every answer is a
/// promise; after a kill they may not be.
#[test]
fn parts_that_are_not_missing_are_confirmed() {
    let mut house = House::new();
    house.limits.durability = Durability::Chunk;
    let bytes = content(PART as u64 * 2);
    house.live(async |life: &Life| {
        let id = life.begin(bytes.len()).await.id;
        let blob = life.disk.open_blob(id).expect("it is there");
        blob.write_at(ByteOffset(0), &[&bytes[..PART]]).expect("written");
        let (at, size) = (life.clock.now(), ByteCount(PART as u64));
        let part = PartRecord { upload: id, index: 0, size, sha256: [7; 32], at };
        life.state.note_part(part, "boot-1", at.plus_ms(60_000)).await.expect("noted");
        let durable = || life.uploads.peek(id).expect("it is open").received.durable.total();
        assert_eq!(durable(), ByteCount(0));
        let open = life.done(id).await;
        assert!(matches!(open, Err(UploadError::Part(PartError::Missing { missing: m }))
            if m == [1]));
        assert_eq!(durable(), size);
    });
}

/// After a kill all acknowledged parts are there; after a power cut those that were confirmed
/// and no other, and what is sent again then makes the file right.
#[test]
fn parts_are_believed_as_far_as_they_hold() {
    let mut house = House::new();
    let bytes = content(PART as u64 * 4);
    let id = house.live(async |life: &Life| {
        let id = life.begin(bytes.len()).await.id;
        for index in [3, 1] {
            life.send(id, index, part_of(&bytes, index)).await.expect("stored");
        }
        id
    });
    house.live(async |life: &Life| assert_eq!(life.missing(id), [0, 2]));
    house.live(async |life: &Life| {
        // Of two parts, the disk has confirmed one and half of the other.
        let record = life.uploads.peek(id).expect("it is open");
        let (part, mut durable) = (PART as u64, Ranges::default());
        durable.insert(ByteOffset(part + part / 2), ByteOffset(part * 2));
        durable.insert(ByteOffset(part * 3), ByteOffset(part * 4));
        let lowered = life.state.lower_upload(id, "boot-1", durable).await.expect("lowered");
        assert!(lowered.epoch > record.epoch);
        assert_eq!(life.missing(id), [0, 1, 2]);
        assert_eq!(life.state.parts(id).expect("they read").len(), 1);
    });
    house.boot.push('+');
    house.live(async |life: &Life| {
        for index in life.missing(id) {
            life.send(id, index, part_of(&bytes, index)).await.expect("stored");
        }
        let record = life.done(id).await.expect("it is whole");
        assert_eq!((record.state, life.original(&record)), (UploadState::Finished, bytes.clone()));
    });
    house.live(async |life: &Life| {
        assert_eq!(life.done(id).await.expect("again").state, UploadState::Finished);
    });
}

/// All parts there isn't complete: a restart leaves the upload open until its client says so.
#[test]
fn only_the_client_completes() {
    let house = House::new();
    let bytes = content(PART as u64);
    let id = house.live(async |life: &Life| {
        let id = life.begin(bytes.len()).await.id;
        life.send(id, 0, &bytes).await.expect("stored");
        let meant = Completion { sha256: Some([7; 32]), ..Completion::default() };
        let wrong = life.uploads.complete(id, meant).await;
        assert!(matches!(wrong, Err(UploadError::Part(PartError::WholeChecksum))), "{wrong:?}");
        id
    });
    house.live(async |life: &Life| {
        assert_eq!(life.uploads.peek(id).expect("there").state, UploadState::Partial);
        life.done(id).await.expect("it is whole");
    });
}

/// With `durability = "chunk"` an answered part survives a power cut at once.
#[test]
fn promised_parts_are_durable() {
    let mut house = House::new();
    house.limits.durability = Durability::Chunk;
    let bytes = content(PART as u64 * 2);
    let id = house.live(async |life: &Life| {
        let id = life.begin(bytes.len()).await.id;
        life.send(id, 1, part_of(&bytes, 1)).await.expect("stored");
        id
    });
    house.boot.push('+');
    house.live(async |life: &Life| assert_eq!(life.missing(id), [0]));
}

/// No room is 507 in the end, and a part that breaks, stalls or lies leaves the upload as it was.
#[test]
fn refused_parts_leave_nothing() {
    let mut house = House::new();
    house.limits.idle_timeout_ms = 20;
    let bytes = content(PART as u64 * 2);
    let id = house.live(async |life: &Life| {
        let id = life.begin(bytes.len()).await.id;
        let half = || pieces(&bytes[..PART / 2], 9_000);
        let broken = life.uploads.put_part(put(id, 0), body(half(), Then::Break)).await;
        assert!(matches!(broken, Err(UploadError::Part(PartError::Broken))), "{broken:?}");
        let (told, _) = oneshot::channel();
        let idle = life.uploads.put_part(put(id, 0), body(half(), Then::Hang(told))).await;
        assert!(matches!(idle, Err(UploadError::Part(PartError::Idle))), "{idle:?}");
        let lie = put(id, 0);
        lie.sha256.set([7; 32]).expect("first");
        let sent = life.uploads.put_part(lie, body(pieces(&bytes[..PART], 9_000), Then::End));
        let lie = sent.await;
        assert!(matches!(lie, Err(UploadError::Part(PartError::Checksum))), "{lie:?}");
        let none = life.send(id, 2, b"x").await;
        assert_eq!(none.err(), Some(PartError::NoSuchPart { count: 2 }));
        assert_eq!((life.missing(id), life.state.parts(id)), (vec![0, 1], Ok(vec![])));
        id
    });
    house.limits.reserve_free_space = Reserve::Percent(100.0);
    house.live(async |life: &Life| {
        let full = life.uploads.put_part(put(id, 0), body(pieces(&bytes, 9_000), Then::End)).await;
        assert!(matches!(full, Err(UploadError::NoSpace)), "{full:?}");
    });
}

/// Who is sending a part keeps the upload from expiring; its end reaches who is sending.
#[test]
fn the_end_reaches_running_parts() {
    let house = House::new();
    house.live(async |life: &Life| {
        let id = life.begin(PART).await.id;
        let (told, all_read) = oneshot::channel();
        let hanging = body(pieces(&[7; 9], 9), Then::Hang(told));
        let sending = life.uploads.put_part(put(id, 0), hanging);
        let ending = async {
            all_read.await.expect("it is under way");
            life.clock.advance_ms(DAY_MS * 2);
            assert_eq!(life.uploads.expire_due().await.expect("looked"), 0);
            life.uploads.terminate(id).await.expect("ended");
        };
        let (sent, ()) = tokio::join!(sending, ending);
        assert!(matches!(sent, Err(UploadError::Gone(UploadState::Aborted))), "{sent:?}");
    });
}

/// An upload that only its files know comes back with the same cut, to be sent again.
#[test]
fn the_cut_survives_a_lost_database() {
    House::new().live(async |life: &Life| {
        let id = life.begin(PART * 2).await.id;
        let meta = life.disk.upload_meta(id).expect("it reads").expect("it is there");
        assert_eq!(meta.chunk_size, Some(ByteCount(PART as u64)));
        let now = life.clock.now();
        let (lost, video) = (UploadId::fresh(now), Some(VideoId::fresh(now)));
        let meta = UploadMeta { upload: lost, video, ..meta };
        life.disk.create_blob(lost, &meta).expect("as it was");
        assert!(life.uploads.adopt(meta).await.expect("taken in"));
        assert_eq!(life.missing(lost), [0, 1]);
        let bytes = content(PART as u64 * 2);
        for index in [1, 0] {
            life.send(lost, index, part_of(&bytes, index)).await.expect("stored");
        }
        let record = life.done(lost).await.expect("it is whole");
        assert!((record.video, life.original(&record)) == (video, bytes));
    });
}

proptest! {
    #![proptest_config(cases(24))]

    /// Parts in any order, repeated, broken off and killed between: what was acknowledged stays,
    /// nothing else is told, and the file is right.
    #[test]
    fn any_history_of_parts_makes_the_file(
        length in 1..(PART * 6),
        steps in prop::collection::vec((0..6u32, 0..5u8), 1..20),
    ) {
        let house = House::new();
        let bytes = content(length as u64);
        let count = length.div_ceil(PART) as u32;
        let id = house.live(async |life: &Life| life.begin(length).await.id);
        let mut there = vec![false; count as usize];
        let mut steps = steps.into_iter().peekable();
        while steps.peek().is_some() {
            house.live(async |life: &Life| {
                for (index, how) in steps.by_ref() {
                    let index = index % count;
                    let known = there[index as usize];
                    let part = part_of(&bytes, index);
                    match how {
                        0 => {
                            let broken = body(pieces(part, 50_000), Then::Break);
                            assert!(life.uploads.put_part(put(id, index), broken).await.is_err());
                        }
                        1 if known => {
                            let other = vec![!part[0]; part.len()];
                            let differs = life.send(id, index, &other).await;
                            assert_eq!(differs.err(), Some(PartError::Differs));
                        }
                        2 => break,
                        _ => {
                            life.send(id, index, part).await.expect("stored");
                            there[index as usize] = true;
                        }
                    }
                }
                let missing = (0..count).filter(|&index| !there[index as usize]);
                assert_eq!(life.missing(id), missing.collect::<Vec<_>>());
            });
        }
        house.live(async |life: &Life| {
            for index in life.missing(id) {
                life.send(id, index, part_of(&bytes, index)).await.expect("stored");
            }
            let record = life.done(id).await.expect("it is whole");
            assert!(life.original(&record) == bytes, "the original differs");
        });
    }
}
