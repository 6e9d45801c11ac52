//! Tests of the transactions on a temporary database.

mod golden;
mod history;
mod jobs;
mod safety;
mod uploads;

use super::*;
use crate::ids::{Epoch, JobId, Owner, UploadId, VideoId};
use crate::model::upload::{Chunks, Concat, Protocol, Received, UploadState};
use crate::model::video::{VideoKind, VideoState, Visibility};
use crate::units::{ByteCount, ByteOffset, Ranges};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A database in a directory that goes with it.
struct Fixture {
    state: State,
    dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let state = State::open(&dir.path().join("state")).expect("a fresh database");
    Fixture { state, dir }
}

impl Fixture {
    /// Drops the database without closing it and opens it again.
    fn reopen(self) -> Fixture {
        let Fixture { state, dir } = self;
        drop(state);
        let state = State::open(&dir.path().join("state")).expect("it opens again");
        Fixture { state, dir }
    }

    /// Records an upload of `length` bytes with its video.
    async fn upload(&self, length: u64) -> (UploadId, VideoId) {
        let (upload, video) = (UploadId::fresh(NOW), VideoId::fresh(NOW));
        let record = upload_record(upload, video, length);
        let created = self.state.create_upload(record, Some(video_record(video, upload))).await;
        created.expect("created");
        (upload, video)
    }

    /// Records a final upload without a length, of parts of these lengths that are complete.
    async fn final_of(&self, lengths: &[u64]) -> (UploadId, VideoId) {
        let mut parts = Vec::new();
        for &length in lengths {
            let id = UploadId::fresh(NOW);
            let mut part = upload_record(id, VideoId::fresh(NOW), length);
            part.video = None;
            part.concat = Some(Concat::Partial);
            part.received.written = up_to(length);
            part.received.durable = up_to(length);
            self.state.create_upload(part, None).await.expect("created");
            parts.push(id);
        }
        let (upload, video) = (UploadId::fresh(NOW), VideoId::fresh(NOW));
        let mut record = upload_record(upload, video, 0);
        record.length = None;
        record.concat = Some(Concat::Final { header: "final;x".to_owned(), parts });
        let created = self.state.create_upload(record, Some(video_record(video, upload))).await;
        created.expect("created");
        (upload, video)
    }

    /// Records a finished upload whose video waits for a job.
    async fn queued(&self, priority: i32, run_at: UnixMillis) -> (VideoId, JobId) {
        self.queued_by("ann", priority, run_at).await
    }

    async fn queued_by(&self, owner: &str, priority: i32, run_at: UnixMillis) -> (VideoId, JobId) {
        let (upload, video) = self.upload(10).await;
        let mut job = job_record(video, priority, run_at);
        job.owner = Owner(owner.to_owned());
        let id = job.id;
        let leased = self.state.lease_upload(upload).await.expect("leased");
        let size = ByteCount(10);
        let finished = self.state.finish_upload(upload, leased.epoch, NOW, size, Some(job)).await;
        finished.expect("finished");
        (video, id)
    }

    fn upload_now(&self, id: UploadId) -> UploadRecord {
        self.state.upload(id).expect("read").expect("it is there")
    }

    fn video_now(&self, id: VideoId) -> VideoRecord {
        self.state.video(id).expect("read").expect("it is there")
    }

    fn job_now(&self, id: JobId) -> JobRecord {
        self.state.job(id).expect("read").expect("it is there")
    }
}

fn owner() -> Owner {
    Owner("ann".to_owned())
}

fn up_to(end: u64) -> Ranges {
    Ranges::up_to(ByteOffset(end))
}

fn upload_record(id: UploadId, video: VideoId, length: u64) -> UploadRecord {
    UploadRecord {
        video: Some(video),
        length: Some(ByteCount(length)),
        filename: "film.mov".to_owned(),
        expires_at: NOW.plus_ms(1000),
        ..UploadRecord::new(id, owner(), Protocol::Tus, NOW)
    }
}

fn video_record(id: VideoId, upload: UploadId) -> VideoRecord {
    VideoRecord {
        upload: Some(upload),
        title: "film".to_owned(),
        filename: "film.mov".to_owned(),
        size: ByteCount(10),
        ..VideoRecord::new(id, owner(), NOW)
    }
}

fn job_record(video: VideoId, priority: i32, run_at: UnixMillis) -> JobRecord {
    let mut job = JobRecord::new(JobId::fresh(NOW), video, owner(), run_at);
    job.priority = priority;
    job
}
