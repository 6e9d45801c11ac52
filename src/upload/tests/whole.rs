//! Small uploads that come with their creation: whole, cut, and too large to be held.

use super::life::{Body, House, Life, Then, body, content, new_upload, pieces};
use crate::config::Reserve;
use crate::model::upload::UploadState;
use crate::model::video::VideoState;
use crate::units::{ByteCount, ByteOffset};
use crate::upload::{Created, UploadError};

async fn create(life: &Life, length: u64, body: Body) -> Result<Created, UploadError> {
    let new = new_upload(Some(length));
    life.uploads.create_with(new, false, None, Some(ByteCount(length)), body).await
}

/// A small file that comes whole is an original with its record, its video and its job, certain
/// to survive a power cut, without a directory of an upload in between.
#[test]
fn a_small_file_is_finished_at_once() {
    let mut house = House::new();
    let bytes = content(4096);
    let upload = house.live(async |life: &Life| {
        let sent = body(pieces(&bytes, 1000), Then::End);
        let (upload, appended) = create(life, 4096, sent).await.expect("there is room");
        let appended = appended.expect("all bytes came");
        assert_eq!((appended.offset, appended.finished), (ByteOffset(4096), true));
        assert!(life.disk.uploads().expect("it lists").is_empty());
        assert_eq!(life.uploads.announced(), ByteCount(0));
        upload
    });
    house.boot = "boot-2".into();
    house.live(async |life: &Life| {
        let found = life.uploads.peek(upload.id).expect("it is remembered");
        assert_eq!(found, upload);
        assert_eq!(found.state, UploadState::Finished);
        assert_eq!(life.original(&found), bytes);
        let video = upload.video.expect("it has one");
        let video = life.state.video(video).expect("it reads").expect("it is there");
        assert_eq!((video.state, video.size), (VideoState::Queued, ByteCount(4096)));
        let job = life.state.job(video.job.expect("it has one")).expect("it reads");
        assert!(job.is_some_and(|job| job.is_open()));
        let facts = life.disk.facts(video.id).expect("they read").expect("they are there");
        assert_eq!(facts, video.to_facts());
    });
}

/// What doesn't come whole, or is too large, goes the usual way, and no byte of it is lost.
#[test]
fn what_is_not_whole_goes_the_usual_way() {
    House::new().live(async |life: &Life| {
        let cut = body(pieces(&content(3000), 1000), Then::Break);
        let (upload, appended) = create(life, 4096, cut).await.expect("there is room");
        assert!(matches!(appended, Err(UploadError::BodyBroken { offset: ByteOffset(3000) })));
        assert_eq!(life.offset(upload.id).await, 3000);
        life.append(upload.id, 3000, &content(4096)[3000..]).await.expect("the rest");
        assert_eq!(life.original(&upload), content(4096));

        let short = body(pieces(&content(10), 10), Then::End);
        let (upload, appended) = create(life, 4096, short).await.expect("there is room");
        assert_eq!(appended.expect("they are kept").offset, ByteOffset(10));
        assert_eq!(life.blob(upload.id, 10), content(10));

        let bytes = content(200_000);
        let large = body(pieces(&bytes, 10_000), Then::End);
        let (upload, appended) = create(life, 200_000, large).await.expect("there is room");
        assert!(appended.expect("all bytes came").finished);
        assert_eq!(life.original(&upload), bytes);
    });
}

/// Without room nothing is made, and nothing stays.
#[test]
fn without_room_nothing_is_made() {
    let mut house = House::new();
    house.limits.reserve_free_space = Reserve::Percent(100.0);
    house.live(async |life: &Life| {
        let sent = body(pieces(&content(10), 10), Then::End);
        assert!(matches!(create(life, 10, sent).await, Err(UploadError::NoSpace)));
        assert!(life.disk.originals().expect("it lists").is_empty());
        assert_eq!(life.uploads.announced(), ByteCount(0));
    });
}
