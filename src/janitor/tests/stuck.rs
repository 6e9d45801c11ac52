//! Work along uploads: what only waits is left alone, what waits in vain goes on.

use super::*;
use crate::ids::UploadId;

/// A film that a child has begun along with its upload, which then stands still; its job is parked.
async fn parked(house: &House, upload: &UploadRecord) -> JobId {
    let (janitor, now) = (&house.janitor, house.clock.now());
    let video = upload.video.expect("every upload has one");
    let job = JobRecord::new(JobId::fresh(now), video, upload.owner.clone(), now);
    assert!(janitor.state.begin_live(upload.id, job, now).await.expect("it is queued"));
    let claim = janitor.queue.claim_live().await.expect("it answers").expect("there is work");
    let (id, epoch) = (claim.job.id, claim.job.epoch);
    let (facts, plan) = (SourceFacts::default(), vec![RenditionPlan::sample("360p")]);
    let probed = janitor.state.commit_probe(id, epoch, facts, VideoKind::Video, plan, now).await;
    probed.expect("it holds the lease");
    janitor.state.commit_playable(id, epoch, now).await.expect("it holds the lease");
    janitor.queue.park(&claim).await.expect("it is parked");
    janitor.queue.put_down(id);
    id
}

/// Records a video like that of `upload`, said to come of the upload `of`, as if the end of that
/// had never got to it; with `job` on it.
async fn unheard(
    house: &House,
    upload: &UploadRecord,
    of: UploadId,
    job: Option<JobRecord>,
) -> VideoId {
    let (state, id) = (&house.janitor.state, VideoId::fresh(house.clock.now()));
    let known = state.video(upload.video.expect("every upload has one")).expect("it reads");
    let known = known.expect("it is there");
    let facts = crate::disk::Facts { video: id, ..known.to_facts() };
    house.janitor.disk.create_original(id, b"abc", &facts).expect("there is room");
    let (uploading, size) = (VideoState::Uploading, ByteCount(0));
    let lost = VideoRecord {
        id,
        upload: Some(of),
        state: uploading,
        job: None,
        uploaded_at: None,
        size,
        ..known
    };
    let job = job.map(|job| JobRecord { video: id, ..job });
    state.adopt_video(lost, job).await.expect("it is new");
    id
}

/// A parked job of a film whose upload stands still isn't stuck: nothing is found, and the next
/// bytes bring it back. One whose upload has finished is, also where the video never heard of it.
#[tokio::test]
async fn parked_work_goes_on_once_its_upload_has_finished() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let (janitor, state) = (&house.janitor, &house.janitor.state);
    let stalled = house.upload("stalled", b"ab", 3).await;
    let waits = parked(&house, &stalled).await;
    let before = state.job(waits).expect("it reads");
    house.clock.advance_ms(3_600_000);
    janitor.look_for_stuck_work(1).await.expect("it reads");
    let report = janitor.clean(AskedBy::Admin, false).await.expect("it reads");
    assert_eq!(counts(&report), []);
    assert_eq!(state.job(waits).expect("it reads"), before);

    let done = house.upload("done", b"abc", 3).await;
    let first = janitor.queue.claim().await.expect("it reads").expect("its own job");
    janitor.queue.put_down(first.job.id);
    let now = house.clock.now();
    let live = |ms: i64| {
        let (id, video) = (JobId::fresh(UnixMillis(now.0 + ms)), VideoId::fresh(now));
        let job = JobRecord::new(id, video, done.owner.clone(), now);
        JobRecord { live: true, run_at: UnixMillis(i64::MAX), ..job }
    };
    let with = unheard(&house, &done, done.id, Some(live(1))).await;
    let without = unheard(&house, &done, done.id, None).await;
    let lost = live(2);
    let lost_id = lost.id;
    unheard(&house, &done, UploadId::fresh(now), Some(lost)).await;

    let report = janitor.clean(AskedBy::Admin, false).await.expect("it reads");
    let expected = [
        (Kind::VideoWithoutWork, Action::Queued, 1),
        (Kind::StuckJob, Action::Queued, 1),
        (Kind::StuckJob, Action::Ended, 1),
    ];
    assert_eq!(counts(&report), expected, "{report:?}");
    for id in [with, without] {
        let video = state.video(id).expect("it reads").expect("it is there");
        assert_eq!((video.state, video.size), (VideoState::Queued, ByteCount(3)));
        let upload = state.upload(done.id).expect("it reads").expect("it is there");
        assert_eq!(video.uploaded_at, upload.ended_at);
    }
    assert_eq!(state.job(lost_id).expect("it reads").map(|it| it.state), Some(JobState::Cancelled));
    let mut claimed = Vec::new();
    while let Some(claim) = janitor.queue.claim().await.expect("it reads") {
        assert!(!claim.job.live);
        claimed.push(claim.job.video);
    }
    assert!(claimed.contains(&with) && claimed.contains(&without), "{claimed:?}");
    house.close().await;
}
