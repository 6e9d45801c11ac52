//! Who sees what, and what a change or a deletion leaves behind.

use super::*;
use crate::disk::{Facts, UPLOAD_META_VERSION, UploadMeta};
use crate::events::{EventKind, News};
use crate::ids::{JobId, Owner, UploadId};
use crate::model::job::{PosterSource, Task};
use crate::model::manifest::Picture;
use crate::model::upload::UploadState;
use crate::model::words::VideoChange;
use crate::state::JobRecord;
use crate::units::{ByteCount, UnixMillis};

const START: UnixMillis = UnixMillis(1_700_000_000_000);
const TRASH_MS: u64 = 86_400_000;

struct House {
    library: Library,
    state: State,
    disk: Disk,
    hub: Hub,
    clock: Clock,
    _dir: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let disk = Disk::open(dir.path()).expect("the directory is ours");
        let state = State::open(&disk.state_dir()).expect("the database opens");
        let (hub, clock) = (Hub::new(START), Clock::by_hand(START));
        let (s, d, h, c) = (state.clone(), disk.clone(), hub.clone(), clock.clone());
        let library = Library::new(s, d, h, c, TRASH_MS);
        House { library, state, disk, hub, clock, _dir: dir }
    }

    /// Puts a finished video of `owner` on disk and into the database.
    async fn video(&self, owner: &str, title: &str, visibility: Visibility) -> VideoRecord {
        self.clock.advance_ms(1);
        let now = self.clock.now();
        let (upload, id) = (UploadId::fresh(now), VideoId::fresh(now));
        let facts = Facts {
            version: crate::disk::FACTS_VERSION,
            video: id,
            owner: Owner(owner.into()),
            kind: Default::default(),
            title: title.into(),
            description: String::new(),
            tags: vec!["sea".into()],
            filename: "a.mp4".into(),
            session: None,
            size: ByteCount(0),
            visibility,
            sha256: None,
            created_at: now,
            uploaded_at: Some(now),
            source: None,
            chosen: None,
        };
        let meta = UploadMeta {
            version: UPLOAD_META_VERSION,
            upload,
            video: Some(id),
            owner: facts.owner.clone(),
            filename: facts.filename.clone(),
            length: Some(ByteCount(0)),
            metadata: String::new(),
            created_at: now,
            chunk_size: None,
            concat: None,
            protocol: None,
        };
        self.disk.create_blob(upload, &meta).expect("there is room");
        self.disk.finish_blob(upload, id, ByteCount(0), &facts).expect("in place");
        let job = JobRecord::new(crate::ids::JobId::fresh(now), id, facts.owner.clone(), now);
        let mut video = VideoRecord::from_facts(facts);
        video.job = Some(job.id);
        self.state.adopt_video(video, Some(job)).await.expect("adopted");
        self.state.video(id).expect("it reads").expect("it is there")
    }

    async fn titles(&self, viewer: &Viewer, query: Query) -> Vec<String> {
        let query = Query { limit: 100, ..query };
        let page = self.library.list(viewer, query).await.expect("a page");
        page.items.into_iter().map(|video| video.title).collect()
    }
}

fn viewer(owner: &str, role: Role) -> Viewer {
    Viewer { owner: Owner(owner.into()), role }
}

/// Each kind of visibility lets in exactly whom it names, before and after the upload.
#[tokio::test]
async fn visibility_is_kept() {
    let house = House::open();
    let [anna, ben] = ["anna", "ben"].map(|name| viewer(name, Role::Uploader));
    let admin = viewer("root", Role::Admin);
    for visibility in [Visibility::Public, Visibility::Unlisted, Visibility::Private] {
        let mut video = house.video("anna", "a", visibility).await;
        let is_open = visibility != Visibility::Private;
        let poster = MediaFile::Poster;
        for (who, sees) in
            [(Some(&anna), true), (Some(&admin), true), (Some(&ben), is_open), (None, is_open)]
        {
            assert_eq!(house.library.video(video.id, who).is_ok(), sees, "{visibility:?} {who:?}");
            assert_eq!(house.library.media_path(video.id, &poster, who).is_ok(), sees);
        }
        assert!(house.library.original(video.id, &anna).await.is_ok());
        assert!(matches!(house.library.original(video.id, &ben).await, Err(LibraryError::Missing)));
        video.state = VideoState::Uploading;
        assert!(may_see(&video, Some(&anna)) && may_see(&video, Some(&admin)));
        assert!(!may_see(&video, Some(&ben)) && !may_see(&video, None));
    }
}

/// Lists hold one's own and public videos, filtered, in either order, page by page.
#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let house = House::open();
    let anna = viewer("anna", Role::Viewer);
    for title in ["One", "Two", "Three", "Four", "Five"] {
        house.video("anna", title, Visibility::Private).await;
    }
    house.video("ben", "Ben's", Visibility::Public).await;
    house.video("ben", "Hidden", Visibility::Unlisted).await;
    let all = house.titles(&anna, Query::default()).await;
    assert_eq!(all, ["Ben's", "Five", "Four", "Three", "Two", "One"]);
    let admin = viewer("root", Role::Admin);
    let of_ben = Query { owner: Some(Owner("ben".into())), ..Query::default() };
    assert_eq!(house.titles(&admin, of_ben).await, ["Hidden", "Ben's"]);
    let text = |text: &str| Query { text: Some(text.into()), ..Query::default() };
    assert_eq!(house.titles(&anna, text("FIV")).await, ["Five"]);
    assert_eq!(house.titles(&anna, text("hid")).await, [""; 0]);
    let tag = |tag: &str| Query { tag: Some(tag.into()), ..Query::default() };
    assert_eq!(house.titles(&anna, tag("sea")).await.len(), 6);
    assert_eq!(house.titles(&anna, tag("se")).await.len(), 0);
    let newest: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut oldest = newest.clone();
    oldest.reverse();
    let by_title = vec!["Ben's", "Five", "Four", "One", "Three", "Two"];
    // None of them has a length or bytes: among equals the time counts.
    let orders = [
        ("-createdAt", &newest),
        ("createdAt", &oldest),
        ("title", &by_title),
        ("-title", &by_title.iter().rev().copied().collect()),
        ("-duration", &newest),
        ("size", &oldest),
    ];
    for (sort, expected) in orders {
        let sort = Sort::parse(sort).expect("an order");
        let mut query = Query { limit: 4, sort, ..Query::default() };
        let first = house.library.list(&anna, query.clone()).await.expect("a page");
        query.cursor = first.next;
        let last = house.library.list(&anna, query).await.expect("a page");
        assert_eq!((first.items.len(), last.items.len(), last.next), (4, 2, None));
        let titles = first.items.into_iter().chain(last.items).map(|video| video.title);
        assert_eq!(&titles.collect::<Vec<_>>(), expected, "{sort:?}");
    }
}

/// Words change in the record and beside the original, for whom they belong to.
#[tokio::test]
async fn words_change_in_both_places() {
    let house = House::open();
    let video = house.video("anna", "old", Visibility::Public).await;
    let change = VideoChange {
        title: Some(" new ".into()),
        visibility: Some(Visibility::Private),
        ..VideoChange::default()
    };
    let mut news = house.hub.subscribe(None);
    for (who, forbidden) in
        [(viewer("ben", Role::Uploader), false), (viewer("anna", Role::Viewer), true)]
    {
        match house.library.change(video.id, &who, change.clone()).await {
            Err(LibraryError::Forbidden) => assert!(forbidden),
            Err(LibraryError::Missing) => assert!(!forbidden),
            other => panic!("{other:?}"),
        }
    }
    let anna = viewer("anna", Role::Uploader);
    let changed = house.library.change(video.id, &anna, change).await.expect("it is hers");
    let facts = house.disk.facts(video.id).expect("they read").expect("they are there");
    for (title, visibility) in
        [(changed.title, changed.visibility), (facts.title, facts.visibility)]
    {
        assert_eq!((title.as_str(), visibility), ("new", Visibility::Private));
    }
    match news.next().await {
        Some(News::Event(event)) => assert_eq!(event.kind, EventKind::VideoState),
        other => panic!("{other:?}"),
    }
}

/// A poster that comes too late, because a newer choice has taken its job's place, leaves nothing:
/// not its files, not a note, and the one that counts keeps its bytes. The newer one then comes in.
#[tokio::test]
async fn late_posters_touch_nothing() {
    let house = House::open();
    let video = house.video("anna", "a", Visibility::Public).await;
    let picture = |width| Picture { width, height: 1 };
    let shown = async |name: &str| {
        let facts = house.disk.facts(video.id).expect("they read").expect("they are there");
        let now = house.state.video(video.id).expect("it reads").expect("it is there").chosen;
        assert_eq!(facts.chosen, now, "{name}");
        let Some(chosen) = now else { panic!("{name}: nothing is chosen") };
        let poster = MediaFile::Chosen { version: chosen.version };
        let path = house.disk.media_file(video.id, &poster);
        let bytes = std::fs::read_to_string(&path).expect(name);
        let entries = std::fs::read_dir(path.parent().expect("a directory")).expect(name);
        assert_eq!(entries.count(), 2, "{name}: one poster in two formats");
        (chosen.picture.width, chosen.version, bytes)
    };
    let leave = |job: &JobRecord, bytes: &str| {
        house.disk.make_work(job.id, job.epoch).expect("there is room");
        let scratch = house.disk.state_dir().with_file_name("work");
        let scratch = scratch.join(job.id.to_string()).join(job.epoch.to_string());
        for file in ["poster.jpg", "poster.webp"] {
            std::fs::write(scratch.join(file), bytes).expect("there is room");
        }
    };
    // Claims a choice of its own and leaves what its child would.
    let claim = async |bytes: &str| {
        house.clock.advance_ms(1);
        let now = house.clock.now();
        let task = Task::Poster { of: PosterSource::Image };
        let job = JobRecord::small(JobId::fresh(now), video.id, video.owner.clone(), task, now);
        house.state.queue_small(job, now).await.expect("queued");
        let claimed = house.state.claim_small_job(now, 30).await.expect("asked");
        let (job, _) = claimed.expect("due");
        leave(&job, bytes);
        job
    };
    let choose = async |job: &JobRecord, width| {
        house.library.choose_poster(job.id, job.epoch, video.id, picture(width), None).await
    };
    let first = claim("first").await;
    choose(&first, 1).await.expect("it holds its lease");
    assert_eq!(shown("first").await, (1, 1, "first".to_owned()));
    let late = claim("late").await;
    let newer = claim("newer").await;
    for _ in 0..2 {
        let stale = choose(&late, 2).await;
        assert!(matches!(stale, Err(LibraryError::State(StateError::Stale))), "{stale:?}");
        assert_eq!(shown("late").await, (1, 1, "first".to_owned()));
        // As another attempt of it would.
        leave(&late, "late");
    }
    choose(&newer, 3).await.expect("it holds its lease");
    assert_eq!(shown("newer").await, (3, 2, "newer".to_owned()));
}

/// A video that is deleted for good is gone for everybody, with its bytes and its work.
#[tokio::test]
async fn deletion_takes_everything() {
    let house = House::open();
    let video = house.video("anna", "a", Visibility::Public).await;
    house.disk.replace_media(video.id, "poster.jpg", b"jpeg", true).expect("there is room");
    let ben = viewer("ben", Role::Uploader);
    assert!(matches!(house.library.delete(video.id, &ben, true).await, Err(LibraryError::Missing)));
    let admin = viewer("root", Role::Admin);
    let deleted = house.library.delete(video.id, &admin, true).await.expect("an admin may");
    assert_eq!(deleted.until, None);
    assert!(matches!(house.library.video(video.id, None), Err(LibraryError::Missing)));
    assert!(house.disk.originals().expect("they read").is_empty());
    assert!(house.disk.medias().expect("they read").is_empty());
    let job = house.state.job(video.job.expect("queued")).expect("it reads");
    assert!(job.is_none_or(|job| !job.is_open()));
    let list = UploadQuery { state: Some(UploadState::Partial), ..UploadQuery::default() };
    assert!(house.library.uploads(&ben, list).await.expect("a list").items.is_empty());
}

/// A deleted video is gone for everybody but its owner's trash, from which it comes back as it was,
/// with its bytes and the work that was left; in the end it goes for good, and no sooner.
#[tokio::test]
async fn the_trash_gives_back_what_it_was_given() {
    let house = House::open();
    house.state.count_usage().await.expect("it counts");
    let video = house.video("anna", "a", Visibility::Public).await;
    house.disk.replace_media(video.id, "poster.jpg", b"jpeg", true).expect("there is room");
    let [anna, ben] = ["anna", "ben"].map(|name| viewer(name, Role::Uploader));
    let poster = house.disk.media_file(video.id, &MediaFile::Poster);
    let deleted = house.library.delete(video.id, &anna, false).await.expect("it is hers");
    assert_eq!(deleted.until, Some(house.clock.now().plus_ms(TRASH_MS)));
    house.state.assert_usage().await;
    assert!(matches!(house.library.video(video.id, Some(&anna)), Err(LibraryError::Missing)));
    assert!(!poster.exists() && house.disk.originals().expect("they read").is_empty());
    let job = house.state.job(video.job.expect("queued")).expect("it reads").expect("a record");
    assert!(!job.is_open());
    for (who, finds) in [(&anna, 1), (&ben, 0), (&viewer("root", Role::Admin), 1)] {
        let query = Query { limit: 10, ..Query::default() };
        let page = house.library.list_trash(who, query).await.expect("a page");
        assert_eq!(page.items.len(), finds, "{who:?}");
    }
    assert!(matches!(house.library.restore(video.id, &ben).await, Err(LibraryError::Missing)));
    let looks = viewer("anna", Role::Viewer);
    assert!(matches!(house.library.restore(video.id, &looks).await, Err(LibraryError::Forbidden)));
    // Somebody who was late has put a file where the media were.
    house.disk.replace_media(video.id, "manifest.json", b"{}", false).expect("there is room");
    let back = house.library.restore(video.id, &anna).await.expect("it is hers");
    assert_eq!(std::fs::read(&poster).expect("it is back"), b"jpeg");
    assert!(!poster.with_file_name("manifest.json").exists(), "what came late is gone");
    assert_eq!((back.state, back.title.as_str()), (VideoState::Queued, "a"));
    let job = house.state.job(back.job.expect("queued anew")).expect("it reads");
    assert!(job.is_some_and(|job| job.is_open() && Some(job.id) != video.job));
    house.state.assert_usage().await;
    assert!(matches!(house.library.restore(video.id, &anna).await, Err(LibraryError::Missing)));

    house.library.delete(video.id, &anna, false).await.expect("it is hers");
    house.clock.advance_ms(TRASH_MS as i64 - 1);
    assert!(house.library.empty_trash().await.expect("it works").is_empty());
    house.clock.advance_ms(1);
    assert_eq!(house.library.empty_trash().await.expect("it works").len(), 1);
    assert!(house.disk.trashes().expect("they read").is_empty());
    assert!(house.state.trashed(video.id).expect("it reads").is_none());
    house.state.assert_usage().await;
}

/// Members see what their organisation has once its bytes are here, its admin sees and changes all
/// of it, and to everybody else it isn't there.
#[tokio::test]
async fn organisations_share_what_is_here() {
    let house = House::open();
    let mut video = house.video("acme/ann", "a", Visibility::Private).await;
    let id = video.id;
    let [ann, bob] = ["acme/ann", "acme/bob"].map(|name| viewer(name, Role::Uploader));
    let (vic, boss) = (viewer("acme/vic", Role::Viewer), viewer("acme/boss", Role::Admin));
    let stranger = viewer("other/boss", Role::Admin);
    video.state = VideoState::Uploading;
    assert!(may_see(&video, Some(&ann)) && may_see(&video, Some(&boss)));
    for who in [&bob, &vic, &stranger] {
        assert!(!may_see(&video, Some(who)) && !shows_all(&video, who), "{who:?}");
    }
    video.state = VideoState::Queued;
    for who in [&ann, &bob, &vic, &boss] {
        assert!(may_see(&video, Some(who)) && lists(who, &video), "{who:?}");
    }
    assert!(!may_see(&video, Some(&stranger)) && !lists(&stranger, &video));

    let change = |title: &str| VideoChange { title: Some(title.into()), ..VideoChange::default() };
    for (who, title) in [(&ann, "b"), (&boss, "c"), (&viewer("root", Role::Admin), "d")] {
        let changed = house.library.change(id, who, change(title)).await.expect("changed");
        assert_eq!(changed.title, title);
    }
    for who in [&bob, &vic] {
        let refused = house.library.change(id, who, change("x")).await;
        assert!(matches!(refused, Err(LibraryError::Forbidden)), "{who:?}");
        assert!(matches!(house.library.original(id, who).await, Err(LibraryError::Forbidden)));
        let refused = house.library.delete(id, who, false).await;
        assert!(matches!(refused, Err(LibraryError::Forbidden)), "{who:?}");
    }
    let refused = house.library.delete(id, &stranger, false).await;
    assert!(matches!(refused, Err(LibraryError::Missing)));

    let of = |owner: &str| Query { owner: Some(Owner(owner.into())), limit: 9, ..Query::default() };
    assert_eq!(house.titles(&vic, of("acme/")).await, ["d"]);
    assert_eq!(house.titles(&vic, of("acme/ann")).await, ["d"]);
    assert_eq!(house.titles(&vic, of("acme/bob")).await, [""; 0]);
    assert_eq!(house.titles(&vic, of("acm")).await, [""; 0]);
    assert_eq!(house.titles(&stranger, of("acme/")).await, [""; 0]);
    house.library.delete(id, &boss, false).await.expect("deleted by the admin");
    for (who, finds) in [(&ann, 1), (&boss, 1), (&bob, 0), (&stranger, 0)] {
        let page = house.library.list_trash(who, of("acme/")).await.expect("a page");
        assert_eq!(page.items.len(), finds, "{who:?}");
    }
}
