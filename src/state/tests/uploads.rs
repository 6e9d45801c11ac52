//! Uploads: one holder, honest claims, one finish.

use super::*;
use crate::model::job::JobState;

/// The newest lease is the only one whose notes count; an older one changes nothing.
#[tokio::test]
async fn only_the_newest_lease_writes() {
    let it = fixture();
    let (id, _) = it.upload(10).await;
    let old = it.state.lease_upload(id).await.expect("leased").epoch;
    let new = it.state.lease_upload(id).await.expect("leased").epoch;
    assert!(new > old);
    let later = NOW.plus_ms(5);
    it.state.note_written(id, new, "b", up_to(4), NOW, later).await.expect("noted");
    let before = it.upload_now(id);
    let stale = Err(StateError::Stale);
    assert_eq!(it.state.note_written(id, old, "b", up_to(9), NOW, later).await, stale);
    assert_eq!(it.state.note_durable(id, old, up_to(9)).await, stale);
    assert_eq!(it.state.declare_length(id, old, ByteCount(10)).await, stale);
    assert_eq!(it.state.begin_finish(id, old, ByteCount(10)).await, stale);
    assert_eq!(it.state.finish_upload(id, old, NOW, ByteCount(10), None).await, stale);
    assert_eq!(it.upload_now(id), before);
    assert_eq!((before.received.boot.as_str(), before.received.end()), ("b", ByteOffset(4)));
    assert_eq!(before.expires_at, later);
}

/// Confirmations add up in any order and never shrink within a lease.
#[tokio::test]
async fn durable_bytes_add_up() {
    let it = fixture();
    let (id, _) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    for end in [6, 3] {
        it.state.note_durable(id, epoch, up_to(end)).await.expect("noted");
    }
    assert_eq!(it.upload_now(id).received.durable, up_to(6));
}

/// A finish moves upload, video and job together, once, however often it is repeated.
#[tokio::test]
async fn finishing_has_effect_once() {
    let it = fixture();
    let (id, video) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    for _ in 0..2 {
        it.state.begin_finish(id, epoch, ByteCount(10)).await.expect("begun");
    }
    assert_eq!(it.upload_now(id).state, UploadState::Finishing);
    let refused = it.state.lease_upload(id).await;
    assert_eq!(refused, Err(StateError::Conflict(Conflict::Upload(UploadState::Finishing))));
    let first = job_record(video, 0, NOW);
    for job in [first.clone(), job_record(video, 0, NOW)] {
        let size = ByteCount(10);
        it.state.finish_upload(id, epoch, NOW, size, Some(job)).await.expect("finished");
    }
    let upload = it.upload_now(id);
    assert_eq!((upload.state, upload.received.durable), (UploadState::Finished, up_to(10)));
    let after = it.video_now(video);
    assert_eq!((after.state, after.job), (VideoState::Queued, Some(first.id)));
    assert_eq!(after.uploaded_at, Some(NOW));
    assert_eq!(it.state.jobs(None, None, 9).expect("read"), [JobRecord { turn: 1, ..first }]);
    assert_eq!(it.state.unfinished_uploads().expect("read"), []);
    assert_eq!(it.state.uploads().expect("read").len(), 1);
}

/// A size that was declared can't be changed by finishing or declaring again.
#[tokio::test]
async fn declared_sizes_stay() {
    let it = fixture();
    let (id, video) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    let other = Err(StateError::Conflict(Conflict::Length));
    assert_eq!(it.state.declare_length(id, epoch, ByteCount(11)).await, other);
    assert_eq!(it.state.begin_finish(id, epoch, ByteCount(9)).await, other);
    assert_eq!(it.state.finish_upload(id, epoch, NOW, ByteCount(9), None).await, other);
    it.state.declare_length(id, epoch, ByteCount(10)).await.expect("the same");
    assert_eq!(it.video_now(video).state, VideoState::Uploading);
}

/// Given-up uploads are remembered without their video, and only when they are due.
#[tokio::test]
async fn giving_up_forgets_the_video_and_keeps_the_answer() {
    let it = fixture();
    let (id, video) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    let early = it.state.end_upload(id, UploadState::Expired, NOW).await;
    assert_eq!(early, Err(StateError::Conflict(Conflict::NotDue)));
    let due = NOW.plus_ms(1000);
    let ended = it.state.end_upload(id, UploadState::Expired, due).await;
    assert_eq!(ended.map(|ended| ended.map(|it| it.id)), Ok(Some(video)));
    assert_eq!(it.state.end_upload(id, UploadState::Expired, due).await, Ok(None));
    assert_eq!(it.state.video(video), Ok(None));
    assert_eq!(it.upload_now(id).ended_at, Some(due));
    let late = it.state.note_written(id, epoch, "b", up_to(9), NOW, due).await;
    assert_eq!(late, Err(StateError::Stale));
    let gone = Err(StateError::Conflict(Conflict::Upload(UploadState::Expired)));
    assert_eq!(it.state.lease_upload(id).await, gone);
    assert_eq!(it.state.unfinished_uploads().expect("read").len(), 1);
    for _ in 0..2 {
        it.state.forget_upload(id).await.expect("forgotten");
    }
    assert_eq!(it.state.upload(id), Ok(None));
    assert_eq!(it.state.unfinished_uploads().expect("read"), []);
}

/// Aborting a finished upload costs nobody a video, and it never becomes anything else.
#[tokio::test]
async fn finished_uploads_lose_only_their_record() {
    let it = fixture();
    let (video, _) = it.queued(0, NOW).await;
    let id = it.video_now(video).upload.expect("its upload");
    let odd = it.state.end_upload(id, UploadState::Partial, NOW).await;
    assert_eq!(odd, Err(StateError::Conflict(Conflict::Upload(UploadState::Finished))));
    assert_eq!(it.state.end_upload(id, UploadState::Aborted, NOW).await, Ok(None));
    assert_eq!(it.video_now(video).upload, None);
    assert_eq!(it.upload_now(id).state, UploadState::Aborted);
}

/// A start believes what the file holds, and takes bytes again from there.
#[tokio::test]
async fn claims_are_lowered_to_what_is_there() {
    let it = fixture();
    let (id, _) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    it.state.note_written(id, epoch, "a", up_to(9), NOW, NOW).await.expect("noted");
    it.state.note_durable(id, epoch, up_to(7)).await.expect("noted");
    it.state.begin_finish(id, epoch, ByteCount(10)).await.expect("begun");
    let lowered = it.state.lower_upload(id, "b", up_to(5)).await.expect("lowered");
    let expected =
        Received { boot: "b".to_owned(), written: up_to(5), durable: up_to(5), grows: false };
    assert_eq!((lowered.state, lowered.received), (UploadState::Partial, expected));
    let stale = it.state.finish_upload(id, epoch, NOW, ByteCount(10), None).await;
    assert_eq!(stale, Err(StateError::Stale));
}

/// Neither an upload nor its video can be made twice, and a refused creation leaves nothing.
#[tokio::test]
async fn creation_is_whole_or_nothing() {
    let it = fixture();
    let (id, video) = it.upload(10).await;
    let exists = Err(StateError::Conflict(Conflict::Exists));
    assert_eq!(it.state.create_upload(upload_record(id, video, 1), None).await, exists);
    let other = UploadId::fresh(NOW);
    let twice =
        it.state.create_upload(upload_record(other, video, 1), Some(video_record(video, other)));
    assert_eq!(twice.await, exists);
    assert_eq!(it.state.upload(other), Ok(None));
    let mut long = upload_record(other, VideoId::fresh(NOW), 1);
    long.metadata = Some("x".repeat(70_000));
    let fresh = video_record(VideoId::fresh(NOW), other);
    let answer = it.state.create_upload(long, Some(fresh.clone())).await;
    assert_eq!(answer, Err(StateError::TooLarge));
    assert_eq!(it.state.video(fresh.id), Ok(None));
}

/// Videos are listed newest first, in pages, filtered before they are counted.
#[tokio::test]
async fn videos_are_listed_in_pages() {
    let it = fixture();
    let mut ids = Vec::new();
    for at in 0..5 {
        let now = UnixMillis(NOW.0 + at);
        let (upload, video) = (UploadId::fresh(now), VideoId::fresh(now));
        let record = upload_record(upload, video, 1);
        let created = it.state.create_upload(record, Some(video_record(video, upload)));
        created.await.expect("created");
        ids.push(video);
    }
    ids.reverse();
    let page = |before, limit, skip: VideoId| {
        let videos = it.state.videos(before, limit, &|video| video.id != skip).expect("read");
        videos.into_iter().map(|video| video.id).collect::<Vec<_>>()
    };
    let nobody = VideoId::from_bytes([0; 16]);
    assert_eq!(page(None, 9, nobody), ids);
    assert_eq!(page(None, 2, ids[0]), ids[1..3]);
    assert_eq!(page(Some(ids[2]), 9, nobody), ids[3..]);
    assert_eq!(page(Some(ids[4]), 9, nobody), []);
}

/// Deleting takes the video, ends its upload, and leaves nothing that could go on.
#[tokio::test]
async fn deletion_ends_everything() {
    let it = fixture();
    let (id, video) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    it.state.delete_video(video, NOW).await.expect("deleted");
    assert_eq!(it.state.video(video), Ok(None));
    assert_eq!(it.upload_now(id).state, UploadState::Aborted);
    let late = it.state.finish_upload(id, epoch, NOW, ByteCount(10), None).await;
    assert_eq!(late, Err(StateError::Stale));

    let (video, job) = it.queued(0, NOW).await;
    let upload = it.video_now(video).upload.expect("its upload");
    let (claimed, _) =
        it.state.claim_job(NOW, 10, None).await.expect("claimed").expect("one is due");
    it.state.delete_video(video, NOW).await.expect("deleted");
    assert_eq!(it.upload_now(upload).state, UploadState::Aborted);
    let renewed = it.state.renew_lease(job, claimed.epoch, NOW.plus_ms(9)).await;
    assert_eq!(renewed, Err(StateError::Stale));
    assert_eq!(it.state.next_run_at(), Ok(None));
    assert_eq!(it.state.delete_video(video, NOW).await, Err(StateError::Missing));
}

/// A part and its range are recorded together, never changed, and gone with the upload.
#[tokio::test]
async fn parts_are_recorded_with_their_ranges() {
    let it = fixture();
    let (id, video) = (UploadId::fresh(NOW), VideoId::fresh(NOW));
    let mut record = upload_record(id, video, 25);
    record.chunks = Some(Chunks { size: ByteCount(10), sha256: None });
    it.state.create_upload(record, Some(video_record(video, id))).await.expect("created");
    let part = |index, size, sum| PartRecord {
        upload: id,
        index,
        size: ByteCount(size),
        sha256: [sum; 32],
        at: NOW,
    };
    let note = async |part| it.state.note_part(part, "b", NOW.plus_ms(5)).await;
    let length = Err(StateError::Conflict(Conflict::Length));
    for wrong in [part(0, 9, 1), part(2, 10, 1), part(3, 5, 1)] {
        assert_eq!(note(wrong).await, length);
    }
    for again in [part(2, 5, 1), part(0, 10, 2), part(0, 10, 2)] {
        note(again).await.expect("noted");
    }
    let exists = Err(StateError::Conflict(Conflict::Exists));
    assert_eq!(note(part(0, 10, 3)).await, exists);
    let now = it.upload_now(id);
    assert_eq!(now.received.written.as_slice(), [(0, 10), (20, 25)]);
    assert_eq!((now.received.boot.as_str(), now.expires_at), ("b", NOW.plus_ms(5)));
    assert_eq!(it.state.parts(id), Ok(vec![part(0, 10, 2), part(2, 5, 1)]));
    let lowered = it.state.lower_upload(id, "c", up_to(22)).await.expect("lowered");
    assert_eq!(lowered.received.written, up_to(10));
    assert_eq!(it.state.parts(id), Ok(vec![part(0, 10, 2)]));
    assert_eq!(it.state.part(id, 2), Ok(None));
    it.state.end_upload(id, UploadState::Aborted, NOW).await.expect("ended");
    assert_eq!(it.state.parts(id), Ok(vec![]));
    let gone = Err(StateError::Conflict(Conflict::Upload(UploadState::Aborted)));
    assert_eq!(note(part(1, 10, 1)).await, gone);
}

/// The video of parts that are all confirmed is queued once, with their sum as its size, and goes
/// on undisturbed when they are joined. One unconfirmed part, an old lease or a plain upload
/// queues nothing.
#[tokio::test]
async fn a_final_is_queued_before_it_is_joined() {
    let it = fixture();
    let (id, video) = it.final_of(&[7, 0, 5]).await;
    let old = it.state.lease_upload(id).await.expect("leased").epoch;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    let job = || job_record(video, 0, NOW);
    assert_eq!(it.state.queue_final(id, old, job(), NOW).await, Err(StateError::Stale));
    let first = job();
    let (queued, is_new) =
        it.state.queue_final(id, epoch, first.clone(), NOW).await.expect("queued");
    assert_eq!((queued.state, queued.size, is_new), (VideoState::Queued, ByteCount(12), true));
    assert_eq!((queued.job, queued.uploaded_at), (Some(first.id), None));
    let upload = it.upload_now(id);
    assert_eq!((upload.state, upload.length), (UploadState::Partial, Some(ByteCount(12))));
    let (again, is_new) = it.state.queue_final(id, epoch, job(), NOW).await.expect("no harm");
    assert_eq!((again, is_new), (queued, false));
    it.state.claim_job(NOW, 1000, None).await.expect("asked").expect("it is due");
    it.state.begin_finish(id, epoch, ByteCount(12)).await.expect("begun");
    for _ in 0..2 {
        let size = ByteCount(12);
        it.state.finish_upload(id, epoch, NOW, size, Some(job())).await.expect("finished");
    }
    let after = it.video_now(video);
    assert_eq!((after.state, after.job), (VideoState::Processing, Some(first.id)));
    assert_eq!((after.uploaded_at, it.upload_now(id).state), (Some(NOW), UploadState::Finished));
    assert_eq!(it.state.jobs(None, None, 9).expect("read").len(), 1);

    let (id, video) = it.final_of(&[3, 4]).await;
    let Some(Concat::Final { parts, .. }) = it.upload_now(id).concat else { unreachable!() };
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    it.state.lower_upload(parts[1], "other", up_to(3)).await.expect("lowered");
    let refused = it.state.queue_final(id, epoch, job(), NOW).await.map(drop);
    assert_eq!(refused, Err(StateError::Conflict(Conflict::Length)));
    assert_eq!(
        (it.video_now(video).state, it.upload_now(id).length),
        (VideoState::Uploading, None)
    );
    let (plain, _) = it.upload(10).await;
    let epoch = it.state.lease_upload(plain).await.expect("leased").epoch;
    let refused = it.state.queue_final(plain, epoch, job(), NOW).await.map(drop);
    assert_eq!(refused, Err(StateError::Missing));
}

/// A job on parts that are under way goes on as the video's when all of them are here, claimed or
/// parked.
#[tokio::test]
async fn a_job_on_parts_is_handed_over() {
    let it = fixture();
    for (is_parked, state) in [(false, VideoState::Processing), (true, VideoState::Queued)] {
        let (id, video) = it.final_of(&[7, 5]).await;
        let job = job_record(video, 0, NOW);
        assert!(it.state.begin_live(id, job.clone(), NOW).await.expect("begun"));
        let (claimed, _) = it.state.claim_live_job(NOW, 1000).await.expect("asked").expect("due");
        if is_parked {
            it.state.park_live(claimed.id, claimed.epoch).await.expect("parked");
        }
        let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
        let another = job_record(video, 0, NOW);
        let queued = it.state.queue_final(id, epoch, another, NOW).await.expect("handed over");
        assert_eq!((queued.0.state, queued.0.job, queued.1), (state, Some(job.id), true));
        let now = it.state.job(job.id).expect("read").expect("it is there");
        assert!(!now.live && now.run_at <= NOW, "{now:?}");
    }
}

/// Ending a final upload whose video is being worked on takes the video and ends its job.
#[tokio::test]
async fn ending_an_unjoined_final_ends_its_job() {
    let it = fixture();
    let (id, video) = it.final_of(&[7]).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    it.state.queue_final(id, epoch, job_record(video, 0, NOW), NOW).await.expect("queued");
    let (job, _) = it.state.claim_job(NOW, 1000, None).await.expect("asked").expect("it is due");
    let ended = it.state.end_upload(id, UploadState::Aborted, NOW).await.expect("ended");
    assert_eq!(ended.and_then(|video| video.job), Some(job.id));
    assert_eq!(it.state.video(video).expect("read"), None);
    let stale = it.state.renew_lease(job.id, job.epoch, NOW).await;
    assert_eq!((stale, it.job_now(job.id).state), (Err(StateError::Stale), JobState::Cancelled));
}

/// What came since the record is seen by everybody, goes along with the next record, and counts
/// only under the lease and while the record says that the upload grows.
#[tokio::test]
async fn what_grows_is_laid_over_its_record() {
    let it = fixture();
    it.state.count_usage().await.expect("counted");
    let (id, _) = it.upload(10).await;
    let epoch = it.state.lease_upload(id).await.expect("leased").epoch;
    let grown = |epoch, end| it.state.note_grown(id, epoch, ByteOffset(end), NOW, NOW);
    assert_eq!(grown(epoch, 3), Ok(false), "nothing says that it grows");
    it.state.note_growing(id, epoch, "b", ByteOffset(2), NOW, NOW).await.expect("noted");
    assert_eq!(grown(epoch.next(), 3), Ok(false), "another lease");
    assert_eq!(grown(epoch, 4), Ok(true));
    let usage = it.state.usage(&it.upload_now(id).owner);
    assert_eq!((usage.kept, usage.awaited), (ByteCount(10), ByteCount(6)));
    let listed = it.state.newest_uploads(None, 9, &|_| true).expect("read");
    let unfinished = it.state.unfinished_uploads().expect("read");
    for seen in [&it.upload_now(id), &listed[0], &unfinished[0]] {
        assert_eq!(seen.received.end(), ByteOffset(4));
    }
    let it = it.reopen();
    assert_eq!(it.upload_now(id).received.end(), ByteOffset(2), "the file has the rest");
    let grown = |epoch, end| it.state.note_grown(id, epoch, ByteOffset(end), NOW, NOW);
    assert_eq!(grown(epoch, 5), Ok(true));
    it.state.note_durable(id, epoch, up_to(4)).await.expect("noted");
    let it = it.reopen();
    assert_eq!(it.upload_now(id).received.end(), ByteOffset(5), "it went along");
    let grown = |epoch, end| it.state.note_grown(id, epoch, ByteOffset(end), NOW, NOW);
    assert_eq!(grown(epoch, 6), Ok(true));
    let leased = it.state.lease_upload(id).await.expect("leased");
    assert_eq!(leased.received.end(), ByteOffset(6));
    assert_eq!(grown(epoch, 7), Ok(false), "the lease has ended");
    assert_eq!(grown(leased.epoch, 7), Ok(true));
    it.state.note_written(id, leased.epoch, "b", up_to(7), NOW, NOW).await.expect("noted");
    assert_eq!(grown(leased.epoch, 8), Ok(false), "it doesn't grow any more");
    assert_eq!(it.upload_now(id).received.end(), ByteOffset(7));
    it.state.end_upload(id, UploadState::Aborted, NOW).await.expect("ended");
    assert_eq!(it.upload_now(id).received.end(), ByteOffset(0));
}
