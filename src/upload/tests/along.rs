//! Work along an upload: what its followers hear, and what becomes of it.

use super::life::*;
use crate::ids::UploadId;
use crate::model::job::JobState;
use crate::model::manifest::Manifest;
use crate::state::JobRecord;
use crate::units::{ByteOffset, Ranges};
use crate::upload::UploadError;

const SIZE: u64 = 5_000 * KIB;

/// A stream that is read as it comes: work begins with its first bytes.
fn film() -> Vec<u8> {
    let mut bytes = content(SIZE);
    bytes[..4].copy_from_slice(&[0x1A, 0x45, 0xDF, 0xA3]);
    bytes
}

/// Waits for a job along an upload, and takes it.
async fn job_along(life: &Life) -> JobRecord {
    let bell = life.uploads.finished();
    loop {
        let rung = bell.notified();
        let claimed = life.state.claim_live_job(life.clock.now(), 30_000).await;
        match claimed.expect("it answers") {
            Some((job, _)) => return job,
            None => rung.await,
        }
    }
}

async fn begin(life: &Life, sent: u64) -> (UploadId, JobRecord) {
    let upload = life.create(Some(SIZE)).await;
    life.append(upload.id, 0, &film()[..sent as usize]).await.expect("the beginning");
    (upload.id, job_along(life).await)
}

/// A file that is cut under who follows it: the follower's news ends, its job is over and what it
/// has published is gone; with the next bytes another one begins, under leases that nobody had.
#[test]
fn a_cut_file_ends_what_was_made_of_it() {
    House::new().live(async |life: &Life| {
        let (sent, left) = (3_000 * KIB, 1_000 * KIB);
        let (id, job) = begin(life, sent).await;
        life.state.commit_playable(job.id, job.epoch, life.clock.now()).await.expect("held");
        let manifest = serde_json::to_vec(&Manifest::empty(9.0, Vec::new())).expect("JSON");
        life.disk.replace_media(job.video, "manifest.json", &manifest, true).expect("room");
        let followed = life.uploads.follow(id).expect("it is open");
        let mut news = followed.expect("its bytes lie somewhere").news;
        assert_eq!(news.borrow_and_update().here, Ranges::up_to(ByteOffset(sent)));

        let blob = life.disk.open_blob(id).expect("it is there");
        rustix::fs::ftruncate(&blob, left).expect("it can be cut");
        let refused = life.append(id, sent, b"more").await;
        assert!(matches!(refused, Err(UploadError::OffsetMismatch { actual }) if actual.0 == left));
        assert!(news.has_changed().is_err() && !news.borrow().finished, "its news has ended");
        let video = life.state.video(job.video).expect("it reads").expect("it stays");
        assert!(!video.playable && video.renditions.is_empty());
        let ended = life.state.job(job.id).expect("it reads").expect("it is remembered");
        assert_eq!(ended.state, JobState::Cancelled);
        assert!(life.disk.manifest(job.video).expect("it reads").is_none());

        life.append(id, left, &film()[left as usize..sent as usize]).await.expect("the same again");
        let again = job_along(life).await;
        assert!(again.id != job.id && again.anew && again.epoch > ended.epoch);
        let followed = life.uploads.follow(id).expect("it is open");
        let news = followed.expect("its bytes lie somewhere").news;
        assert_eq!(news.borrow().here, Ranges::up_to(ByteOffset(sent)));
    });
}

/// A file that was cut while the server was down is found out by the start; what a power cut took
/// leaves the work as it is.
#[test]
fn a_start_takes_back_what_was_made_of_a_cut_file() {
    for (boot, cut) in [("boot-1", true), ("boot-1", false), ("boot-2", false)] {
        let mut house = House::new();
        let (id, job) = house.live(async |life: &Life| begin(life, 3_000 * KIB).await);
        house.boot = boot.into();
        house.live_unmended(async |life: &Life| {
            if cut {
                let blob = life.disk.open_blob(id).expect("it is there");
                rustix::fs::ftruncate(&blob, 1_000 * KIB).expect("it can be cut");
            }
            life.uploads.recover().await.expect("the start mends everything");
            let ended = life.state.job(job.id).expect("it reads").expect("it is remembered");
            assert_eq!(ended.state == JobState::Cancelled, cut, "{boot} {cut}");
        });
    }
}
