//! Starts after every kind of stop, and a database made anew from the files.

mod keep;
mod many;
mod stuck;

use super::*;
use crate::clock::Clock;
use crate::config::{AuditConfig, Durability, Reserve};
use crate::events::Hub;
use crate::ids::{Epoch, JobId, Owner};
use crate::library::Library;
use crate::model::access::{Pass, Role, Viewer};
use crate::model::job::{JobState, PosterSource, Task};
use crate::model::keep::{KeepOriginals, Retention};
use crate::model::manifest::{Manifest, Rung, Segment};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::RenditionPlan;
use crate::model::upkeep::{Action, Kind, Report};
use crate::model::upload::{Protocol, UploadState};
use crate::model::video::{SourceFacts, VideoKind, VideoState};
use crate::queue::Queue;
use crate::state::{JobRecord, UploadRecord, VideoRecord};
use crate::trail::Trail;
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use crate::upload::{Append, BlockingHooks, Metadata, NewUpload, UploadLimits, Uploads};
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
        Self::with(dir, limits, (KeepOriginals::Always, Retention::default()))
    }

    fn with(
        dir: &std::path::Path,
        limits: UploadLimits,
        (keep, retention): (KeepOriginals, Retention),
    ) -> Self {
        let disk = Disk::open(dir).expect("the directory is ours");
        let state = State::open(&disk.state_dir()).expect("the database opens");
        let clock = Clock::by_hand(START);
        let hub = Hub::new(START);
        let (of_uploads, boot) = (state.clone(), "boot".to_owned());
        let uploads = Uploads::new(
            disk.clone(),
            of_uploads,
            hub,
            clock.clone(),
            limits,
            boot,
            BlockingHooks::default(),
        );
        let (s, d, c) = (state.clone(), disk.clone(), clock.clone());
        let library = Library::new(s, d, Hub::new(START), c, 7 * 86_400_000);
        let (s, c, bell) = (state.clone(), clock.clone(), uploads.finished());
        let queue = Queue::new(s, Hub::new(START), c, bell, None);
        let (hub, reserve) = (Hub::new(START), Reserve::Bytes(ByteCount(0)));
        let c = clock.clone();
        let log = AuditConfig {
            keep_for_ms: 86_400_000,
            size_max: ByteCount(1 << 20),
            addresses_for_ms: 0,
        };
        let trail = Trail::open(&disk, &log, clock.clone()).expect("a log");
        let rooms = Rooms {
            uploads,
            library,
            queue,
            state,
            disk,
            clock: c,
            hub,
            reserve,
            keep,
            retention,
            trail,
        };
        let janitor = Janitor::new(rooms);
        House { janitor, clock }
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
            pass: Pass::default(),
        };
        let uploads = &self.janitor.uploads;
        let upload = uploads.create(new).await.expect("there is room");
        let append =
            Append { id: upload.id, at: ByteOffset(0), declared: None, content_length: None };
        let body = stream::iter([Ok::<_, Infallible>(Bytes::from_static(sent))]);
        uploads.append(append, body).await.expect("it is stored");
        upload
    }

    /// The queue of jobs on the uploads of this house.
    fn queue(&self) -> Queue {
        let bell = self.janitor.uploads.finished();
        Queue::new(self.janitor.state.clone(), Hub::new(START), self.clock.clone(), bell, None)
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
        stale: false,
        key: None,
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
    assert_eq!(rebuilt, Rebuilt { ready: 1, queued: 2, trashed: 0, uploads: 1, skipped: 0 });
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

/// An hour in which nothing comes of an upload takes nothing away, at the settings that a server
/// has by default: no round of the janitor, no lease and no restart gives it up, what has been made
/// of it stays, and its job waits until more comes.
#[tokio::test]
async fn an_hour_without_a_byte_takes_nothing_away() {
    const MINUTE_MS: i64 = 60_000;
    let loaded = crate::config::load(None, std::iter::empty(), &[]).expect("defaults are sound");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::with(dir.path(), UploadLimits::of(&loaded.config), Default::default());
    let (janitor, clock) = (&house.janitor, house.clock.clone());
    let upload = house.upload("paused", b"ab", 3).await;
    let video = upload.video.expect("every upload has one");
    let job = JobRecord::new(JobId::fresh(START), video, upload.owner.clone(), clock.now());
    let fresh = job.clone();
    assert!(janitor.state.begin_live(upload.id, job, clock.now()).await.expect("it is queued"));
    let queue = house.queue();
    let claim = queue.claim_live().await.expect("it answers").expect("there is work");
    let (id, epoch) = (claim.job.id, claim.job.epoch);
    let plan = vec![RenditionPlan::sample("360p")];
    let (facts, kind) = (SourceFacts::default(), VideoKind::Video);
    let probed = janitor.state.commit_probe(id, epoch, facts, kind, plan, clock.now()).await;
    probed.expect("it holds the lease");
    janitor.state.commit_playable(id, epoch, clock.now()).await.expect("it holds the lease");
    write_manifest(&janitor.disk, video, &manifest(false));
    queue.park(&claim).await.expect("it is parked");
    queue.put_down(id);
    let until = janitor.state.upload(upload.id).expect("it reads").expect("it is there").expires_at;

    let rest = async |house: &House, queue: &Queue| {
        for _ in 0..61 {
            house.clock.advance_ms(MINUTE_MS);
            assert_eq!(house.janitor.uploads.expire_due().await.expect("a round"), 0);
            assert!(queue.claim_live().await.expect("it answers").is_none());
            assert!(queue.claim().await.expect("it answers").is_none());
        }
        let record = house.janitor.state.video(video).expect("it reads").expect("it is there");
        assert_eq!((record.state, record.playable), (VideoState::Uploading, true));
        assert!(house.janitor.disk.manifest(video).expect("it reads").is_some());
        let record = house.janitor.state.upload(upload.id).expect("it reads").expect("open");
        assert_eq!((record.state, record.expires_at), (UploadState::Partial, until));
        assert_eq!(record.received.end(), ByteOffset(2));
    };
    rest(&house, &queue).await;
    drop(queue);
    house.close().await;

    // Another hour, after a restart.
    let house = House::with(dir.path(), UploadLimits::of(&loaded.config), Default::default());
    house.clock.advance_ms(clock.now().0 - START.0);
    let (janitor, queue) = (&house.janitor, house.queue());
    assert_eq!(janitor.start().await.expect("it starts"), Swept::default());
    queue.reclaim().await.expect("it answers");
    rest(&house, &queue).await;
    let now = house.clock.now();
    assert!(janitor.state.begin_live(upload.id, fresh, now).await.expect("more has come"));
    let again = queue.claim_live().await.expect("it answers").expect("there is work");
    assert_eq!((again.job.id, again.job.attempt), (id, 1), "it goes on, and nothing failed");
}

/// A lost database costs nothing of the trash either: what was deleted stays deleted, can be
/// restored, and goes at its time.
#[tokio::test]
async fn the_trash_is_rebuilt_from_the_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let upload = house.upload("gone", b"abc", 3).await;
    let video = upload.video.expect("every upload has one");
    write_manifest(&house.janitor.disk, video, &manifest(true));
    let anna = Viewer { owner: Owner("anna".into()), role: Role::Uploader };
    house.janitor.library.delete(video, &anna, false).await.expect("it is hers");
    let before = house.janitor.state.trashed(video).expect("it reads").expect("it is there");
    let state_dir = house.janitor.disk.state_dir();
    house.close().await;
    State::set_aside(&state_dir, START).expect("it can be renamed");

    let house = House::open(dir.path());
    house.clock.advance_ms(1_000);
    let rebuilt = house.janitor.rebuild().await.expect("it reads");
    assert_eq!(rebuilt, Rebuilt { trashed: 1, ..Rebuilt::default() });
    house.janitor.start().await.expect("it starts");
    assert!(house.janitor.state.video(video).expect("it reads").is_none());
    let after = house.janitor.state.trashed(video).expect("it reads").expect("it is back");
    assert_eq!((after.deleted_at, after.until), (before.deleted_at, before.until));
    let back = house.janitor.library.restore(video, &anna).await.expect("it is hers");
    assert_eq!((back.state, back.playable, back.title.as_str()), (VideoState::Ready, true, "gone"));
    house.janitor.disk.open_original(video).expect("it is back");
    house.close().await;
}

/// Counts of what a cleaning found, by kind and what was done.
fn counts(report: &Report) -> Vec<(Kind, Action, u64)> {
    report.findings.iter().map(|it| (it.kind, it.action, it.count)).collect()
}

/// A cleaning finds what is out of place in both directions and puts it right, once; a dry run
/// tells the same and touches nothing.
#[tokio::test]
async fn a_cleaning_puts_everything_in_its_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let (janitor, disk) = (&house.janitor, &house.janitor.disk);
    let [lost, ready, kept] = [
        house.upload("lost", b"abc", 3).await,
        house.upload("ready", b"abc", 3).await,
        house.upload("kept", b"abc", 3).await,
    ];
    let video_of = |upload: &UploadRecord| upload.video.expect("every upload has one");
    let partial = house.upload("partial", b"ab", 3).await;
    // A film whose original somebody has removed, waiting; and one that is ready.
    disk.remove_original(video_of(&lost)).expect("it is ours");
    write_manifest(disk, video_of(&ready), &manifest(true));
    let queue = &janitor.queue;
    let claim = async |video| loop {
        let claim = queue.claim().await.expect("it reads").expect("they wait");
        if claim.job.video == video {
            return claim;
        }
    };
    let done = claim(video_of(&ready)).await;
    let finish =
        janitor.state.finish_job(done.job.id, done.job.epoch, house.clock.now(), 6.0, vec![]);
    finish.await.expect("it holds its lease");
    queue.put_down(done.job.id);
    disk.remove_original(video_of(&ready)).expect("it is ours");
    // Files that no record knows: published ones, scratch, an original, a directory of an upload.
    let at = |ms: i64| UnixMillis(house.clock.now().0 - ms);
    let stranger = VideoId::fresh(at(3_700_000));
    write_manifest(disk, stranger, &manifest(true));
    let (old, young) = (VideoId::fresh(at(3_700_000)), VideoId::fresh(at(3_500_000)));
    for id in [old, young] {
        let facts = janitor.state.video(video_of(&kept)).expect("it reads").expect("it is there");
        let facts = crate::disk::Facts { video: id, ..facts.to_facts() };
        disk.create_original(id, b"abc", &facts).expect("there is room");
    }
    let job = JobId::fresh(at(3_700_000));
    disk.make_work(job, Epoch(1)).expect("there is room");
    let held = claim(video_of(&kept)).await;
    disk.make_work(held.job.id, held.job.epoch).expect("there is room");

    let expected = [
        (Kind::UnknownOriginal, Action::TakenIn, 1),
        (Kind::DeletedMedia, Action::Removed, 1),
        (Kind::WorkLeftover, Action::Removed, 1),
        (Kind::MissingOriginal, Action::Failed, 1),
        (Kind::MissingOriginal, Action::Told, 1),
    ];
    for dry in [true, false] {
        let report = janitor.clean(AskedBy::Admin, dry).await.expect("it reads");
        assert_eq!((counts(&report), report.faults.len()), (expected.to_vec(), 0), "{dry}");
        assert_eq!(disk.medias().expect("they read").contains(&stranger), dry);
        assert_eq!(disk.works().expect("they read").contains(&job), dry);
        assert_eq!(janitor.state.video(old).expect("it reads").is_none(), dry);
    }
    let failed = janitor.state.video(video_of(&lost)).expect("it reads").expect("it is there");
    let code = failed.problem.as_ref().map(|problem| problem.code);
    assert_eq!((failed.state, code), (VideoState::Failed, Some(ProblemCode::OriginalMissing)));
    let taken_in = janitor.state.video(old).expect("it reads").expect("it was taken in");
    assert_eq!((taken_in.state, taken_in.visibility), (VideoState::Queued, Visibility::Private));
    // What is somebody's stays: a young original, scratch of a running job, an open upload.
    assert!(disk.originals().expect("they read").contains(&young));
    assert_eq!(disk.works().expect("they read"), [held.job.id]);
    assert!(disk.open_blob(partial.id).is_ok());
    let again = janitor.clean(AskedBy::Admin, false).await.expect("it reads");
    assert_eq!(
        counts(&again),
        [(Kind::MissingOriginal, Action::Told, 2)],
        "a ready film and a failed one stay to be told of"
    );
    assert_eq!(janitor.state.reports().expect("they read").len(), 3);
    house.close().await;
}

/// Work that nobody is to do is queued again, and a job whose lease ran out or whose video is gone
/// doesn't stay; what somebody holds is left to them.
#[tokio::test]
async fn stuck_work_goes_on_by_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let (janitor, state) = (&house.janitor, &house.janitor.state);
    let upload = house.upload("stuck", b"abc", 3).await;
    let video = upload.video.expect("every upload has one");
    // A video that waits without a job: one that was taken in without.
    let now = house.clock.now();
    let without = VideoId::fresh(now);
    let record = state.video(video).expect("it reads").expect("it is there");
    let orphan = JobRecord::new(JobId::fresh(now), VideoId::fresh(now), record.owner.clone(), now);
    let lone = VideoRecord { job: None, ..record.clone() };
    let facts = crate::disk::Facts { video: without, ..lone.to_facts() };
    janitor.disk.create_original(without, b"abc", &facts).expect("there is room");
    let lone = VideoRecord { id: without, upload: None, ..lone };
    state.adopt_video(lone, None).await.expect("it is new");
    let other = VideoRecord { id: VideoId::fresh(now), upload: None, job: None, ..record };
    let (other_id, orphan_id) = (other.id, orphan.id);
    let facts = crate::disk::Facts { video: other_id, ..other.to_facts() };
    janitor.disk.create_original(other_id, b"abc", &facts).expect("there is room");
    state.adopt_video(other, Some(orphan)).await.expect("it is new");

    let claimed = janitor.queue.claim().await.expect("it reads").expect("one waits");
    house.clock.advance_ms(120_000);
    let report = janitor.clean(AskedBy::Admin, false).await.expect("it reads");
    let expected =
        [(Kind::VideoWithoutWork, Action::Queued, 1), (Kind::StuckJob, Action::Ended, 1)];
    assert_eq!(counts(&report), expected, "{report:?}");
    let job = state.video(without).expect("it reads").expect("it is there").job;
    let job = state.job(job.expect("queued")).expect("it reads").expect("it is there");
    assert_eq!((job.state, job.problem.is_some()), (JobState::Queued, true), "with the reason");
    let orphan = state.job(orphan_id).expect("it reads").expect("it is there");
    assert_eq!(orphan.state, JobState::Cancelled);
    let held = state.job(claimed.job.id).expect("it reads").expect("it is there");
    assert_eq!(held.state, JobState::Running, "somebody holds it");
    janitor.queue.put_down(claimed.job.id);
    janitor.look_for_stuck_work(1).await.expect("it reads");
    let abandoned = state.job(claimed.job.id).expect("it reads").expect("it is there");
    assert_eq!(abandoned.state, JobState::Queued);
    let newest = state.reports().expect("they read").swap_remove(0);
    assert!(counts(&newest).contains(&(Kind::StuckJob, Action::Queued, 1)), "{newest:?}");
    assert_eq!((newest.by, newest.dry_run), (AskedBy::Schedule, false));
    house.close().await;
}

/// An audit sums what everybody has, from the files, and names what doesn't fit; it is kept for
/// who asks again.
#[tokio::test]
async fn an_audit_adds_up() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let (janitor, disk) = (&house.janitor, &house.janitor.disk);
    let [one, two, gone] = [
        house.upload("one", b"abc", 3).await,
        house.upload("two", b"abc", 3).await,
        house.upload("gone", b"abcd", 4).await,
    ];
    house.upload("partial", b"ab", 3).await;
    let video_of = |upload: &UploadRecord| upload.video.expect("every upload has one");
    disk.replace_media(video_of(&one), "poster.jpg", b"jpeg!", true).expect("there is room");
    disk.remove_original(video_of(&two)).expect("it is ours");
    let anna = Viewer { owner: Owner("anna".into()), role: Role::Uploader };
    janitor.library.delete(video_of(&gone), &anna, false).await.expect("it is hers");
    write_manifest(disk, VideoId::fresh(START), &manifest(true));
    let audit = janitor.audit(false).await.audit.expect("it ends");
    let [(owner, anna)] = audit.owners.as_slice() else { panic!("one owner: {audit:?}") };
    assert_eq!((owner.0.as_str(), anna), ("anna", &audit.total));
    assert_eq!((anna.pictures.files, anna.pictures.bytes), (1, 5));
    assert_eq!((anna.originals.files, anna.trash.files), (2, 3), "facts and notes lie beside them");
    assert_eq!(anna.uploads.files, 2, "the blob and what its client said");
    assert_eq!((audit.orphans.count, audit.missing_originals.count), (1, 1));
    assert_eq!(audit.unreadable_originals.count, 0);
    assert!(audit.complete && audit.orphans.bytes > 0);
    let again = janitor.audit(false).await.audit.expect("it is kept");
    assert!(Arc::ptr_eq(&audit, &again));
    house.clock.advance_ms(601_000);
    // Cut by hand, it isn't what came any more.
    let (directory, _) = crate::disk::places_of(video_of(&one));
    let source = disk.root().join(directory).join("source");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&source, mode).expect("ours");
    std::fs::write(&source, b"ab").expect("written");
    let later = janitor.audit(false).await.audit.expect("it ends");
    assert!(!Arc::ptr_eq(&audit, &later));
    assert_eq!(later.unreadable_originals.examples, [video_of(&one).to_string()]);
    house.close().await;
}
