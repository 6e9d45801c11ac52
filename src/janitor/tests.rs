//! Starts after every kind of stop, and a database made anew from the files.

use super::*;
use crate::config::{Durability, Reserve};
use crate::events::Hub;
use crate::ids::{Epoch, JobId, Owner};
use crate::model::manifest::{Manifest, Rung, Segment};
use crate::model::rendition::RenditionPlan;
use crate::model::upload::{Protocol, UploadState};
use crate::model::video::VideoState;
use crate::state::UploadRecord;
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use crate::upload::{Append, Metadata, NewUpload, UploadLimits};
use bytes::Bytes;
use futures_util::stream;
use std::convert::Infallible;

const START: UnixMillis = UnixMillis(1_700_000_000_000);

struct House {
    janitor: Janitor,
    clock: Clock,
}

impl House {
    fn open(dir: &std::path::Path) -> Self {
        let disk = Disk::open(dir).expect("the directory is ours");
        let state = State::open(&disk.state_dir()).expect("the database opens");
        let clock = Clock::by_hand(START);
        let limits = UploadLimits {
            max_size: ByteCount(1 << 20),
            expire_after_ms: 86_400_000,
            expire_empty_ms: 3_600_000,
            idle_timeout_ms: 60_000,
            reserve_free_space: Reserve::Bytes(ByteCount(0)),
            durability: Durability::Complete,
            default_visibility: Visibility::Unlisted,
            admission: Default::default(),
            live: true,
        };
        let hub = Hub::new(START);
        let (of_uploads, boot) = (state.clone(), "boot".to_owned());
        let uploads = Uploads::new(disk.clone(), of_uploads, hub, clock.clone(), limits, boot);
        House { janitor: Janitor::new(uploads, state, disk, clock.clone()), clock }
    }

    /// Uploads `sent` of a declared `length` bytes under a title.
    async fn upload(&self, title: &str, sent: &'static [u8], length: u64) -> UploadRecord {
        self.clock.advance_ms(1);
        let new = NewUpload {
            owner: Owner("anna".into()),
            protocol: Protocol::Tus,
            length: Some(ByteCount(length)),
            metadata: Metadata::from_pairs([("title", title)]).expect("good words"),
            raw_metadata: None,
        };
        let uploads = &self.janitor.uploads;
        let upload = uploads.create(new).await.expect("there is room");
        let append =
            Append { id: upload.id, at: ByteOffset(0), declared: None, content_length: None };
        let body = stream::iter([Ok::<_, Infallible>(Bytes::from_static(sent))]);
        uploads.append(append, body).await.expect("it is stored");
        upload
    }

    async fn close(self) {
        self.janitor.uploads.stop().await;
    }
}

fn manifest(complete: bool) -> Manifest {
    let rung = Rung {
        plan: RenditionPlan::sample("360p"),
        generation: Epoch(2),
        codecs: "avc1.64001f".into(),
        timescale: 25,
        target_ms: 4000,
        complete,
        durable: 0,
        sealed: false,
        segments: vec![
            Segment { ticks: 100, bytes: 1000, key: None },
            Segment { ticks: 50, bytes: 900, key: None },
        ],
    };
    Manifest { complete, rungs: vec![rung], ..Manifest::empty(6.0, Vec::new()) }
}

fn write_manifest(disk: &Disk, video: VideoId, manifest: &Manifest) {
    let bytes = serde_json::to_vec(manifest).expect("it can be written");
    disk.replace_media(video, "manifest.json", &bytes, true).expect("there is room");
}

/// A lost database costs no finished video: what is complete is ready, the rest is queued, and a
/// partial upload keeps its address.
#[tokio::test]
async fn a_lost_database_is_rebuilt_from_the_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let [ready, growing, bare, partial] = [
        house.upload("ready", b"abc", 3).await,
        house.upload("growing", b"abc", 3).await,
        house.upload("bare", b"abc", 3).await,
        house.upload("partial", b"ab", 3).await,
    ];
    let video_of = |upload: &UploadRecord| upload.video.expect("every upload has one");
    let disk = &house.janitor.disk;
    write_manifest(disk, video_of(&ready), &manifest(true));
    write_manifest(disk, video_of(&growing), &manifest(false));
    let state_dir = disk.state_dir();
    house.close().await;
    State::set_aside(&state_dir, START).expect("it can be renamed");

    let house = House::open(dir.path());
    let janitor = &house.janitor;
    let rebuilt = janitor.rebuild().await.expect("it reads");
    assert_eq!(rebuilt, Rebuilt { ready: 1, queued: 2, uploads: 1, skipped: 0 });
    assert_eq!(janitor.start().await.expect("it starts"), Swept::default());
    let video =
        |upload| janitor.state.video(video_of(upload)).expect("it reads").expect("it is back");
    let back = video(&ready);
    assert_eq!(
        (back.state, back.playable, back.title.as_str()),
        (VideoState::Ready, true, "ready")
    );
    assert_eq!(back.visibility, Visibility::Unlisted);
    let rungs: Vec<_> = back.renditions.iter().map(|r| (r.generation, r.bandwidth)).collect();
    assert_eq!(rungs, [(Epoch(2), Some(3600))]);
    for upload in [&growing, &bare] {
        let back = video(upload);
        assert_eq!(back.state, VideoState::Queued);
        let job = janitor.state.job(back.job.expect("queued")).expect("it reads");
        assert!(job.expect("it is there").is_open());
    }
    assert!(video(&growing).playable && !video(&bare).playable);
    let again = janitor.uploads.look(partial.id).await.expect("it has its address");
    assert_eq!((again.state, again.received.end()), (UploadState::Partial, ByteOffset(0)));
    assert_eq!((again.video, again.length), (partial.video, partial.length));
    let back = video(&partial);
    assert_eq!((back.state, back.visibility), (VideoState::Uploading, Visibility::Private));
    assert_eq!(janitor.rebuild().await.expect("it reads"), Rebuilt::default());
    house.close().await;
}

/// A start takes originals in again, and removes only what can be made again or was deleted.
#[tokio::test]
async fn a_start_removes_only_what_may_go() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let upload = house.upload("kept", b"abc", 3).await;
    let video = upload.video.expect("every upload has one");
    let janitor = &house.janitor;
    let stray = VideoId::fresh(START);
    janitor.disk.replace_media(stray, "poster.jpg", b"jpeg", true).expect("there is room");
    let job = JobId::fresh(START);
    janitor.disk.make_work(job, Epoch(1)).expect("there is room");
    let swept = janitor.start().await.expect("it starts");
    assert_eq!(swept, Swept { medias: 1, works: 1, ..Swept::default() });
    assert!(janitor.disk.open_original(video).is_ok());
    let record = janitor.state.video(video).expect("it reads").expect("it is there");
    let open = janitor.state.job(record.job.expect("queued")).expect("it reads");
    janitor.disk.make_work(open.expect("queued").id, Epoch(1)).expect("there is room");
    assert_eq!(janitor.start().await.expect("it starts"), Swept::default());
    house.close().await;
}

/// An original without a description comes back for admins only.
#[tokio::test]
async fn an_original_without_facts_is_private() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let upload = house.upload("a", b"abc", 3).await;
    let video = upload.video.expect("every upload has one");
    let disk = &house.janitor.disk;
    let state_dir = disk.state_dir();
    let facts = dir.path().join(format!("originals/{}/{video}/facts.json", video.shard()));
    house.close().await;
    rustix::fs::unlink(&facts).expect("it is there");
    State::set_aside(&state_dir, START).expect("it can be renamed");
    let house = House::open(dir.path());
    let swept = house.janitor.start().await.expect("it starts");
    assert_eq!(swept.adopted, 1);
    let back = house.janitor.state.video(video).expect("it reads").expect("it is back");
    assert_eq!((back.visibility, back.size), (Visibility::Private, ByteCount(3)));
    assert_eq!(back.owner, Owner("unknown".into()));
    house.close().await;
}
