//! What isn't kept any longer.

use super::*;
use crate::model::rendition::RenditionState;
use crate::state::{Conflict, StateError};

const DAY_MS: i64 = 86_400_000;

impl House {
    /// Opens a house that keeps originals for a day.
    fn for_a_day(dir: &std::path::Path) -> Self {
        let rules = (KeepOriginals::For { ms: DAY_MS as u64 }, Retention::default());
        Self::by(dir, rules)
    }

    fn by(dir: &std::path::Path, rules: (KeepOriginals, Retention)) -> Self {
        let loaded = crate::config::load(None, std::iter::empty(), &[]).expect("good defaults");
        Self::with(dir, UploadLimits::of(&loaded.config), rules)
    }

    /// Goes on for `ms`, with the looks at the rules that a server has every hour.
    async fn live_on(&self, ms: i64) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(DAY_MS / 2);
            self.clock.advance_ms(step);
            self.janitor.rules().await.expect("it writes");
            left -= step;
        }
    }

    /// Puts a film there that has been ready since now.
    async fn ready(&self, title: &str) -> VideoId {
        let (now, rung) = (self.clock.now(), manifest(true).rungs.remove(0));
        let id = VideoId::fresh(now);
        let rendition = crate::state::RenditionRecord {
            plan: rung.plan,
            state: RenditionState::Ready,
            generation: rung.generation,
            codecs: None,
            bandwidth: None,
        };
        let video = VideoRecord {
            state: VideoState::Ready,
            title: title.into(),
            size: ByteCount(3),
            uploaded_at: Some(now),
            ready_at: Some(now),
            playable: true,
            renditions: vec![rendition],
            ..VideoRecord::new(id, Owner("anna".into()), now)
        };
        let disk = &self.janitor.disk;
        disk.create_original(id, b"abc", &video.to_facts()).expect("there is room");
        write_manifest(disk, id, &manifest(true));
        disk.replace_media(id, "360p-2/1.m4s", b"pictures", true).expect("there is room");
        self.janitor.state.adopt_video(video, None).await.expect("it is new");
        id
    }

    fn video(&self, id: VideoId) -> VideoRecord {
        self.janitor.state.video(id).expect("it reads").expect("it is there")
    }

    async fn clean(&self, dry: bool) -> Vec<(Kind, Action, u64)> {
        let report = self.janitor.clean(AskedBy::Admin, dry).await.expect("it reads");
        assert_eq!(report.faults, Vec::<String>::new());
        counts(&report)
    }
}

/// Only an original of which all is made ever falls due, and none while all are kept.
#[test]
fn only_originals_that_nobody_needs_fall_due() {
    let rung = manifest(true).rungs.remove(0);
    let rendition = |state| crate::state::RenditionRecord {
        plan: rung.plan.clone(),
        state,
        generation: Epoch(1),
        codecs: None,
        bandwidth: None,
    };
    let ready = VideoRecord {
        state: VideoState::Ready,
        ready_at: Some(START),
        renditions: vec![rendition(RenditionState::Ready)],
        ..VideoRecord::new(VideoId::fresh(START), Owner("anna".into()), START)
    };
    let day = KeepOriginals::For { ms: DAY_MS as u64 };
    assert_eq!(ready.original_until(KeepOriginals::Always), None);
    assert_eq!(ready.original_until(KeepOriginals::UntilReady), Some(START));
    assert_eq!(ready.original_until(day), Some(START.plus_ms(DAY_MS as u64)));
    let both = vec![rendition(RenditionState::Ready), rendition(RenditionState::Failed)];
    for needed in [
        VideoRecord { state: VideoState::Failed, ..ready.clone() },
        VideoRecord { state: VideoState::Queued, ..ready.clone() },
        VideoRecord { kind: VideoKind::File, ..ready.clone() },
        VideoRecord { renditions: both, ..ready.clone() },
        VideoRecord { renditions: Vec::new(), ..ready.clone() },
        VideoRecord { discarded: true, ..ready.clone() },
    ] {
        assert_eq!(needed.original_until(KeepOriginals::UntilReady), None, "{needed:?}");
    }
}

/// A cleaning drops originals whose time is over, and tells before what it would do; what people
/// said of the film stays, and so does the film, over a start and a lost database.
#[tokio::test]
async fn an_original_goes_at_its_time_and_the_film_stays() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::for_a_day(dir.path());
    let (janitor, disk) = (&house.janitor, house.janitor.disk.clone());
    let id = house.ready("sea").await;
    house.live_on(DAY_MS - 1).await;
    assert_eq!(house.clean(false).await, []);
    house.live_on(1).await;
    let due = [(Kind::DueOriginal, Action::Removed, 1)];
    assert_eq!(house.clean(true).await, due);
    assert!(!house.video(id).discarded && disk.has_source_files(id), "only told of");
    assert_eq!(house.clean(false).await, due);
    assert!(house.video(id).discarded && !disk.has_source_files(id));
    assert_eq!(house.clean(false).await, []);
    assert_eq!(janitor.start().await.expect("it starts"), Swept::default());
    assert_eq!(disk.facts(id).expect("they read").map(|it| it.title), Some("sea".into()));
    let audit = janitor.audit(true).await.audit.expect("it ends");
    assert_eq!((audit.missing_originals.count, audit.orphans.count), (0, 0));

    let job = JobRecord::new(JobId::fresh(START), id, Owner("anna".into()), START);
    let refused = janitor.state.requeue(id, job).await.expect_err("nothing to work on");
    assert_eq!(refused, StateError::Conflict(Conflict::NotKept));
    let state_dir = disk.state_dir();
    house.close().await;
    drop(disk);
    State::set_aside(&state_dir, START).expect("it can be renamed");

    let house = House::for_a_day(dir.path());
    let rebuilt = house.janitor.rebuild().await.expect("it reads");
    assert_eq!(rebuilt, Rebuilt { ready: 1, ..Rebuilt::default() });
    assert_eq!(house.janitor.start().await.expect("it starts"), Swept::default());
    let back = house.video(id);
    assert_eq!((back.state, back.discarded), (VideoState::Ready, true));
    assert_eq!((back.title.as_str(), back.size), ("sea", ByteCount(3)));
    house.close().await;
}

/// An original stays while somebody works with it, however long it has been due; bytes that are
/// back after a power cut go again, and a record that was lost isn't a reason to lose the film.
#[tokio::test]
async fn an_original_in_use_stays() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::for_a_day(dir.path());
    let (janitor, disk) = (&house.janitor, &house.janitor.disk);
    let id = house.ready("sea").await;
    let small = JobRecord::small(
        JobId::fresh(START),
        id,
        Owner("anna".into()),
        Task::Poster { of: PosterSource::Time { seconds: 1.0 } },
        START,
    );
    janitor.state.queue_small(small.clone(), START).await.expect("there is room");
    house.live_on(2 * DAY_MS).await;
    assert_eq!(house.clean(false).await, []);
    assert!(disk.has_source_files(id));
    let claim = janitor.queue.claim_small().await.expect("it reads").expect("it waits");
    let failed = Problem::new(ProblemCode::DamagedMedia, "Broken.");
    janitor.queue.settle(&claim, failed).await.expect("ours");
    janitor.queue.put_down(claim.job.id);
    assert_eq!(house.clean(false).await, [(Kind::DueOriginal, Action::Removed, 1)]);
    let again = JobRecord { id: JobId::fresh(START), ..small };
    let refused = janitor.state.queue_small(again, START).await.expect_err("no source");
    assert_eq!(refused, StateError::Conflict(Conflict::NotKept));

    let source = dir.path().join(format!("originals/{}/{id}/source", id.shard()));
    let bring_back = || disk.replace_media(id, "poster.jpg", b"abc", true).expect("there is room");
    let media = dir.path().join(format!("media/{}/{id}/poster.jpg", id.shard()));
    for by_start in [true, false] {
        bring_back();
        rustix::fs::rename(&media, &source).expect("one file system");
        match by_start {
            true => assert_eq!(janitor.start().await.expect("it starts").originals, 1),
            false => {
                let found = [(Kind::DeletedOriginal, Action::Removed, 1)];
                assert_eq!(house.clean(false).await, found);
            }
        }
        assert!(!disk.has_source_files(id) && disk.facts(id).expect("they read").is_some());
    }
    house.close().await;
}

/// Where somebody has removed what was made of it, the original stays, and somebody is told.
#[tokio::test]
async fn an_original_stays_that_is_all_there_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::for_a_day(dir.path());
    let disk = &house.janitor.disk;
    let id = house.ready("sea").await;
    house.live_on(DAY_MS).await;
    let rung = dir.path().join(format!("media/{}/{id}/360p-2", id.shard()));
    rustix::fs::rename(&rung, dir.path().join("moved")).expect("it is ours");
    for dry in [true, false] {
        assert_eq!(house.clean(dry).await, [(Kind::MissingMedia, Action::Told, 1)]);
    }
    assert!(!house.video(id).discarded && disk.has_source_files(id));
    rustix::fs::rename(dir.path().join("moved"), &rung).expect("it is ours");
    assert_eq!(house.clean(false).await, [(Kind::DueOriginal, Action::Removed, 1)]);
    // A database of before takes note of it again.
    let video = VideoRecord { discarded: false, ..house.video(id) };
    house.janitor.state.delete_video(id, START).await.expect("it is there");
    house.janitor.state.adopt_video(video, None).await.expect("it is new");
    assert_eq!(house.clean(false).await, [(Kind::DueOriginal, Action::Removed, 1)]);
    assert!(house.video(id).discarded);
    house.close().await;
}

/// Videos go at their time by their state, into the trash, from where they come back; who works on
/// one keeps it. A dry run tells of each before.
#[tokio::test]
async fn videos_go_at_their_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rules = Retention { ready_ms: Some(2 * DAY_MS as u64), failed_ms: Some(DAY_MS as u64) };
    let house = House::by(dir.path(), (KeepOriginals::Always, rules));
    let (janitor, disk) = (&house.janitor, house.janitor.disk.clone());
    let ready = house.ready("ready").await;
    let upload = house.upload("failed", b"abc", 3).await;
    let failed = upload.video.expect("every upload has one");
    let waits = house.upload("waits", b"abc", 3).await.video.expect("every upload has one");
    janitor.queue.cancel(failed).await.expect("it waits");
    house.live_on(DAY_MS - 1).await;
    assert_eq!(house.clean(false).await, []);
    house.live_on(1).await;
    let due = [(Kind::DueVideo, Action::Trashed, 1)];
    assert_eq!(house.clean(true).await, due);
    assert_eq!(house.video(failed).state, VideoState::Failed, "only told of");
    assert_eq!(house.clean(false).await, due);
    let trashed = janitor.state.trashed(failed).expect("it reads").expect("it is there");
    assert_eq!(trashed.until.ms_since(trashed.deleted_at), 7 * DAY_MS as u64);
    assert!(!disk.has_source_files(failed) && disk.has_source_files(ready));

    house.live_on(DAY_MS).await;
    assert_eq!(house.clean(false).await, due);
    assert!(janitor.state.video(ready).expect("it reads").is_none());
    let anna = Viewer { owner: Owner("anna".into()), role: Role::Uploader };
    let back = janitor.library.restore(ready, &anna).await.expect("it is hers");
    assert_eq!((back.state, disk.has_source_files(ready)), (VideoState::Ready, true));
    assert_eq!(house.video(waits).state, VideoState::Queued, "its work hasn't ended");
    house.close().await;
}

/// A server whose clock is years on at its next start has nothing go for a day, and says so; then
/// no more than so many at once.
#[tokio::test]
async fn a_clock_that_jumps_takes_nothing_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rules = Retention { ready_ms: Some(DAY_MS as u64), failed_ms: None };
    let house = House::by(dir.path(), (KeepOriginals::For { ms: DAY_MS as u64 }, rules));
    let id = house.ready("sea").await;
    house.live_on(1).await;
    house.clock.advance_ms(3650 * DAY_MS);
    assert_eq!(house.clean(false).await, []);
    assert!(house.janitor.disk.has_source_files(id));
    let told = house.janitor.clean(AskedBy::Admin, true).await.expect("it reads");
    let example = &told.findings[0].examples[0];
    assert!(example.detail.starts_with("Not before 20"), "{example:?}");
    house.live_on(DAY_MS).await;
    assert_eq!(house.clean(false).await, [(Kind::DueVideo, Action::Trashed, 1)]);
    house.close().await;
}
