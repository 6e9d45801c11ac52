//! Tests of the data directory on a temporary one.

use super::*;
use crate::ids::{Epoch, JobId, Owner, UploadId, VideoId};
use crate::model::manifest::Manifest;
use crate::model::upload::Concat;
use crate::model::video::{VideoKind, Visibility};
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use bytes::Bytes;
use std::os::unix::fs::PermissionsExt;

pub(super) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn disk() -> (tempfile::TempDir, Disk) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = Disk::open(&dir.path().join("data")).expect("a fresh data directory");
    (dir, disk)
}

pub(super) fn meta(upload: UploadId, video: VideoId) -> UploadMeta {
    UploadMeta {
        version: UPLOAD_META_VERSION,
        upload,
        video: Some(video),
        owner: Owner("ann".into()),
        filename: "../film.mov".into(),
        length: Some(ByteCount(10)),
        metadata: "filename Li4vZmlsbS5tb3Y=".into(),
        created_at: NOW,
        chunk_size: None,
        concat: None,
        protocol: None,
    }
}

pub(super) fn facts(video: VideoId) -> Facts {
    Facts {
        version: FACTS_VERSION,
        video,
        owner: Owner("ann".into()),
        kind: VideoKind::Video,
        title: "Film".into(),
        description: String::new(),
        tags: vec!["a".into()],
        filename: "film.mov".into(),
        session: None,
        size: ByteCount(10),
        visibility: Visibility::Private,
        sha256: None,
        created_at: NOW,
        uploaded_at: Some(NOW),
        source: None,
        chosen: None,
    }
}

/// An upload whose ten bytes are written.
fn filled(disk: &Disk) -> (UploadId, VideoId) {
    let (upload, video) = (UploadId::fresh(NOW), VideoId::fresh(NOW));
    disk.create_blob(upload, &meta(upload, video)).expect("created");
    let blob = disk.open_blob(upload).expect("opened");
    blob.write_at(ByteOffset(0), &[Bytes::from_static(b"0123456789")]).expect("written");
    (upload, video)
}

fn original(disk: &Disk, video: VideoId) -> Vec<u8> {
    let mut file = disk.open_original(video).expect("an original");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    assert_eq!(file.size().0, bytes.len() as u64);
    bytes
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o7777
}

/// A second server is refused, by name, until the first has gone.
#[test]
fn one_server_at_a_time() {
    let (_dir, disk) = disk();
    let root = disk.inner.root.clone();
    match Disk::open(&root) {
        Err(OpenError::Locked { pid }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(disk);
    Disk::open(&root).expect("unlocked");
}

/// A layout of another program is left alone.
#[test]
fn unknown_layouts_are_refused() {
    let (_dir, disk) = disk();
    let root = disk.inner.root.clone();
    drop(disk);
    fs::write(root.join("VERSION"), "2\n").expect("written");
    assert!(matches!(Disk::open(&root), Err(OpenError::UnknownVersion(v)) if v == "2"));
}

/// Nobody else on the machine can look inside, whatever is made.
#[test]
fn everything_is_private() {
    let (_dir, disk) = disk();
    let (upload, video) = filled(&disk);
    disk.write_admin_token("slw_x").expect("written");
    disk.replace_media(video, "master.m3u8", b"#EXTM3U\n", true).expect("written");
    let mut looked_at = 0;
    let mut left = vec![disk.inner.root.clone()];
    while let Some(path) = left.pop() {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
        looked_at += 1;
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("listed").map(|e| e.expect("entry").path()));
        }
    }
    assert!(looked_at > 12);
    disk.finish_blob(upload, video, ByteCount(10), &facts(video)).expect("finished");
    assert_eq!(mode(&disk.path(Place::Source(video))), 0o400);
}

/// Tokens and reserve come back as they were put.
#[test]
fn small_files_of_the_root() {
    let (_dir, disk) = disk();
    assert_eq!(disk.admin_token().expect("read"), None);
    let path = disk.write_admin_token("slw_abc").expect("written");
    assert_eq!(disk.admin_token().expect("read").as_deref(), Some("slw_abc"));
    assert_eq!(fs::read_to_string(path).expect("read"), "slw_abc\n");
    assert!(!disk.give_up_reserve().expect("nothing there"));
    disk.keep_reserve().expect("room");
    disk.keep_reserve().expect("again");
    assert!(disk.give_up_reserve().expect("given up"));
    let space = disk.free_space().expect("room");
    assert!(space.free.0 > 0 && space.free <= space.total);
}

/// The service manager's form of the boot id and the kernel's are one and the same.
#[test]
fn boot_ids_have_one_form() {
    let given = "0A1b2C3d-0000-4000-8000-000000000000";
    assert_eq!(Disk::boot_id(Some(given)), Disk::boot_id(Some(&given.replace('-', ""))));
    assert_eq!(Disk::boot_id(Some(" ")), Disk::boot_id(None));
    assert!(!Disk::boot_id(None).is_empty());
}

/// Bytes land at their offsets from many pieces, empty ones too, in one file.
#[test]
fn pieces_are_written_at_their_offset() {
    let (_dir, disk) = disk();
    let (upload, _) = filled(&disk);
    let blob = disk.open_blob(upload).expect("opened");
    blob.reserve(ByteOffset(1 << 20)).expect("room");
    let mut pieces = vec![Bytes::new(), Bytes::from_static(b"ab"), Bytes::new()];
    pieces.extend((0..3000).map(|_| Bytes::from_static(b"xyz")));
    blob.write_at(ByteOffset(4), &pieces).expect("written");
    blob.write_at(ByteOffset(0), &[] as &[Bytes]).expect("nothing to do");
    blob.write_at(ByteOffset(0), &[Bytes::new()]).expect("nothing to do");
    blob.start_writeback(ByteOffset(0), ByteCount(9000));
    blob.sync_data().expect("confirmed");
    let mut expected = b"0123ab".to_vec();
    expected.extend(b"xyz".repeat(3000));
    assert_eq!(fs::read(disk.path(Place::Blob(upload))).expect("read"), expected);
    assert_eq!(blob.len().expect("looked at"), ByteCount(expected.len() as u64));
}

/// An upload is listed with what is known of it until it is removed, and isn't made twice.
#[test]
fn uploads_are_listed_and_removed() {
    let (_dir, disk) = disk();
    let (upload, video) = filled(&disk);
    assert_eq!(disk.uploads().expect("listed"), [upload]);
    assert_eq!(disk.upload_meta(upload).expect("read"), Some(meta(upload, video)));
    assert!(disk.create_blob(upload, &meta(upload, video)).is_err());
    assert!(disk.used().expect("walked").0 >= 4096);
    disk.remove_upload(upload).expect("removed");
    disk.remove_upload(upload).expect("again");
    assert!(matches!(disk.open_blob(upload), Err(DiskError::Missing)));
    assert_eq!(disk.uploads().expect("listed"), []);
    assert_eq!(disk.upload_meta(upload).expect("read"), None);
}

/// A later version of our own file is refused with its number, not misread.
#[test]
fn newer_sidecars_are_refused() {
    let (_dir, disk) = disk();
    let (upload, _) = filled(&disk);
    fs::write(disk.path(Place::UploadMeta(upload)), br#"{"version":9,"new":1}"#).expect("written");
    match disk.upload_meta(upload) {
        Err(DiskError::Unreadable { reason, .. }) => assert!(reason.contains('9'), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// Finishing works from every state that a crash can leave behind, and repeating it is harmless.
#[test]
fn finishing_goes_on_after_any_step() {
    let steps: [fn(&Disk, UploadId, VideoId); 5] = [
        |_, _, _| {},
        |disk, upload, _| {
            disk.open_blob(upload).expect("opened").seal(ByteCount(10)).expect("sealed");
        },
        |disk, _, video| disk.make_original_dir(video).expect("made"),
        |disk, _, video| {
            disk.make_original_dir(video).expect("made");
            disk.write_facts(video, &facts(video)).expect("written");
        },
        |disk, upload, video| {
            disk.make_original_dir(video).expect("made");
            disk.move_blob(Place::Blob(upload), Place::Source(video)).expect("moved");
        },
    ];
    for step in steps {
        let (_dir, disk) = disk();
        let (upload, video) = filled(&disk);
        step(&disk, upload, video);
        for _ in 0..2 {
            disk.finish_blob(upload, video, ByteCount(10), &facts(video)).expect("finished");
            assert_eq!(original(&disk, video), b"0123456789");
            assert_eq!(disk.facts(video).expect("read"), Some(facts(video)));
        }
        disk.remove_upload(upload).expect("removed");
        disk.finish_blob(upload, video, ByteCount(10), &facts(video)).expect("still finished");
        assert_eq!(disk.originals().expect("listed"), [video]);
    }
}

/// Bytes behind the recorded end are cut off; too few bytes, or none, are never an original.
#[test]
fn originals_have_exactly_the_recorded_size() {
    let (_dir, disk) = disk();
    let (upload, video) = filled(&disk);
    let short = disk.finish_blob(upload, video, ByteCount(11), &facts(video));
    assert!(matches!(short, Err(DiskError::WrongSize { found: 10, recorded: 11, .. })));
    disk.finish_blob(upload, video, ByteCount(4), &facts(video)).expect("finished");
    assert_eq!(original(&disk, video), b"0123");
    let other = disk.finish_blob(upload, video, ByteCount(5), &facts(video));
    assert!(matches!(other, Err(DiskError::WrongSize { .. })));
    let nothing = VideoId::fresh(NOW);
    let missing = disk.finish_blob(UploadId::fresh(NOW), nothing, ByteCount(1), &facts(nothing));
    assert!(matches!(missing, Err(DiskError::Missing)));
}

/// An original is never replaced by another upload's bytes.
#[test]
fn originals_are_not_overwritten() {
    let (_dir, disk) = disk();
    let (upload, video) = filled(&disk);
    disk.finish_blob(upload, video, ByteCount(10), &facts(video)).expect("finished");
    let (second, _) = filled(&disk);
    let blob = disk.open_blob(second).expect("opened");
    blob.write_at(ByteOffset(0), &[Bytes::from_static(b"xxxxxxxxxx")]).expect("written");
    assert!(disk.finish_blob(second, video, ByteCount(10), &facts(video)).is_err());
    assert_eq!(original(&disk, video), b"0123456789");
}

/// A file beside that a crash left is no obstacle to the next replacement.
#[test]
fn leftovers_beside_do_not_matter() {
    let (_dir, disk) = disk();
    let (upload, video) = filled(&disk);
    disk.finish_blob(upload, video, ByteCount(10), &facts(video)).expect("finished");
    let path = disk.path(Place::Facts(video));
    for number in 0..200 {
        fs::write(path.with_file_name(format!(".facts.json.{number}.tmp")), b"half").expect("put");
    }
    let changed = Facts { title: "New".into(), ..facts(video) };
    disk.write_facts(video, &changed).expect("written");
    assert_eq!(disk.facts(video).expect("read"), Some(changed));
}

fn scratch(disk: &Disk, file: &str, bytes: &[u8]) -> (JobId, PathBuf) {
    let job = JobId::fresh(NOW);
    disk.make_work(job, Epoch(2)).expect("made");
    let path = disk.path(Place::Scratch(job, Epoch(2))).join(file);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(&path, bytes).expect("written");
    (job, path)
}

/// A manifest of which a power cut has left the name alone is none; any other damage is told.
#[test]
fn a_blank_manifest_is_none() {
    let (_dir, disk) = disk();
    let video = VideoId::fresh(NOW);
    disk.replace_media(video, "manifest.json", b"{\"version\":1", false).expect("written");
    assert!(matches!(disk.manifest(video), Err(DiskError::Unreadable { .. })));
    for blank in [[].as_slice(), &[0; 900]] {
        disk.replace_media(video, "manifest.json", blank, false).expect("written");
        assert!(disk.manifest(video).expect("readable").is_none());
    }
}

/// Files of a rung get second names in another generation, and a header can be compared with what
/// a child would put in its place.
#[test]
fn a_rung_is_gone_on_with() {
    let (_dir, disk) = disk();
    let video = VideoId::fresh(NOW);
    let (job, _) = scratch(&disk, "360p/1.m4s", b"segment");
    disk.publish(job, Epoch(2), "360p/1.m4s", video, "360p-2/1.m4s", false).expect("published");
    disk.link_rung(video, "360p-2", "360p-3", &["1.m4s".to_owned()]).expect("linked");
    disk.link_rung(video, "360p-2", "360p-3", &["1.m4s".to_owned()]).expect("linked before");
    let second = MediaFile::parse("360p-3/1.m4s").expect("a name");
    assert_eq!(fs::read(disk.media_file(video, &second)).expect("read"), b"segment");
    let odd = disk.link_rung(video, "360p-2", "360p-3", &["../1.m4s".to_owned()]);
    assert!(matches!(odd, Err(DiskError::BadName(_))));
    let (other, _) = scratch(&disk, "360p/init.mp4", b"segment");
    for (published, same) in [("360p-2/1.m4s", true), ("360p-2/2.m4s", false)] {
        let said = disk.is_same(other, Epoch(2), "360p/init.mp4", video, published);
        assert!(if same { said.expect("both are there") } else { said.is_err() }, "{published}");
    }
}

/// Files count as whole up to the first that is shorter, longer, empty or missing.
#[test]
fn what_is_left_of_a_rung_shows_by_its_sizes() {
    let (_dir, disk) = disk();
    let video = VideoId::fresh(NOW);
    let (job, _) = scratch(&disk, "360p/init.mp4", b"set-up");
    disk.publish(job, Epoch(2), "360p/init.mp4", video, "360p-2/init.mp4", false).expect("moved");
    let rung = disk.path(Place::Media(video)).join("360p-2");
    for (name, bytes) in [("1.m4s", "one"), ("2.m4s", "two"), ("4.m4s", "four")] {
        fs::write(rung.join(name), bytes).expect("written");
    }
    let whole = |files: &[(&str, Option<u64>)]| {
        let named = files.iter().map(|(name, size)| ((*name).to_owned(), size.map(ByteCount)));
        let named: Vec<_> = named.collect();
        disk.intact_files(video, "360p-2", &named).expect("looked at")
    };
    let (init, one, two) = (("init.mp4", None), ("1.m4s", Some(3)), ("2.m4s", Some(3)));
    assert_eq!(whole(&[init, one, two]), 3);
    assert_eq!(whole(&[init, one, ("2.m4s", Some(4)), ("4.m4s", Some(4))]), 2);
    assert_eq!(whole(&[init, one, two, ("3.m4s", Some(3)), ("4.m4s", Some(4))]), 3);
    fs::write(rung.join("init.mp4"), "").expect("emptied");
    assert_eq!(whole(&[init, one]), 0);
}

/// What a child made is moved to its address, rung by rung, and counted there.
#[test]
fn segments_are_published_by_rename() {
    let (_dir, disk) = disk();
    let video = VideoId::fresh(NOW);
    let (job, path) = scratch(&disk, "360p/1.m4s", b"segment");
    disk.publish(job, Epoch(2), "360p/1.m4s", video, "360p-2/1.m4s", false).expect("published");
    assert!(!path.exists());
    let file = MediaFile::parse("360p-2/1.m4s").expect("a name");
    assert_eq!(fs::read(disk.media_file(video, &file)).expect("read"), b"segment");
    disk.sync_rung(video, "360p-2", &["1.m4s".to_owned()]).expect("confirmed");
    let missing = disk.sync_rung(video, "360p-2", &["2.m4s".to_owned()]);
    assert!(matches!(missing, Err(DiskError::Missing)));
    assert_eq!(disk.rungs(video).expect("listed"), ["360p-2"]);
    assert_eq!(disk.medias().expect("listed"), [video]);
    let again = disk.publish(job, Epoch(2), "360p/1.m4s", video, "360p-2/1.m4s", true);
    assert!(matches!(again, Err(DiskError::Missing)));
    disk.remove_rung(video, "360p-2").expect("removed");
    assert_eq!(disk.rungs(video).expect("listed"), Vec::<String>::new());
    disk.remove_media(video).expect("removed");
    assert_eq!(disk.works().expect("listed"), [job]);
    disk.remove_work(job).expect("removed");
    assert_eq!(disk.works().expect("listed"), []);
}

/// A child that was taken over can't have anything but its own ordinary files published.
#[test]
fn hostile_scratch_is_refused() {
    let (dir, disk) = disk();
    let video = VideoId::fresh(NOW);
    let secret = dir.path().join("secret");
    fs::write(&secret, b"secret").expect("written");
    let (job, path) = scratch(&disk, "360p/1.m4s", b"segment");
    let work = disk.path(Place::Scratch(job, Epoch(2)));
    let link = |to: &Path, at: &Path| std::os::unix::fs::symlink(to, at);
    link(&secret, &work.join("360p/2.m4s")).expect("linked");
    link(&disk.inner.root, &work.join("up")).expect("linked");
    fs::hard_link(&path, work.join("360p/3.m4s")).expect("linked");
    fs::create_dir(work.join("360p/4.m4s")).expect("made");
    for from in ["360p/2.m4s", "up/VERSION", "360p/3.m4s", "360p/4.m4s", "../../VERSION", ".x"] {
        assert!(disk.publish(job, Epoch(2), from, video, "a-1/1.m4s", true).is_err(), "{from}");
    }
    for to in ["manifest.json", "../x", "360p/1.m4s", ".a-1/1.m4s"] {
        let answer = disk.publish(job, Epoch(2), "360p/1.m4s", video, to, true);
        assert!(matches!(answer, Err(DiskError::BadName(_))), "{to}: {answer:?}");
    }
    let file = MediaFile::parse("a-1/1.m4s").expect("a name");
    assert!(fs::symlink_metadata(disk.media_file(video, &file)).is_err());
    assert_eq!(fs::read(&secret).expect("read"), b"secret");
}

/// A new attempt begins with an empty directory, and stale attempts find theirs gone.
#[test]
fn attempts_begin_with_nothing() {
    let (_dir, disk) = disk();
    let (job, path) = scratch(&disk, "360p/1.m4s", b"segment");
    disk.make_work(job, Epoch(3)).expect("made");
    assert!(!path.exists());
    let stale = disk.publish(job, Epoch(2), "360p/1.m4s", VideoId::fresh(NOW), "a-2/1.m4s", true);
    assert!(matches!(stale, Err(DiskError::Missing)));
}

/// The manifest and playlists are replaced whole; other names aren't accepted.
#[test]
fn manifests_are_replaced() {
    let (_dir, disk) = disk();
    let video = VideoId::fresh(NOW);
    assert_eq!(disk.manifest(video).expect("read"), None);
    for duration in [1.0, 2.5] {
        let manifest = Manifest::empty(duration, Vec::new());
        let bytes = serde_json::to_vec(&manifest).expect("JSON");
        disk.replace_media(video, "manifest.json", &bytes, duration > 2.0).expect("written");
        assert_eq!(disk.manifest(video).expect("read"), Some(manifest));
    }
    disk.replace_media(video, "360p-1/media.m3u8", b"#EXTM3U\n", false).expect("written");
    for bad in ["../x", "facts.json", "", "360p-1/"] {
        let answer = disk.replace_media(video, bad, b"", false);
        assert!(matches!(answer, Err(DiskError::BadName(_))), "{bad}");
    }
}

/// A full disk is told apart from every other trouble.
#[test]
fn full_disks_have_their_own_error() {
    let path = Path::new("/dev/full");
    let full = File::options().write(true).open(path).and_then(|mut f| f.write_all(b"x"));
    let error = DiskError::from_io("write", path, full.expect_err("it is always full"));
    assert!(matches!(error, DiskError::NoSpace));
    let quota = rustix::io::Errno::DQUOT.into();
    assert!(matches!(DiskError::from_io("write", path, quota), DiskError::NoSpace));
}

/// Compares what this program writes with a golden file, byte by byte, and reads it back.
fn check_golden<T>(name: &str, value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let written = serde_json::to_vec(value).expect("JSON");
    if !path.exists() {
        fs::write(&path, &written).expect("the directory is there");
        panic!("{name} was missing and has been written: look at it and commit it");
    }
    let read: Option<T> = files::read_json(&path, 1).expect("it is readable");
    assert_eq!(read.as_ref(), Some(value), "{name}");
    let golden = fs::read(&path).expect("read");
    assert_eq!(String::from_utf8_lossy(&golden), String::from_utf8_lossy(&written), "{name}");
}

/// Files beside the bytes, as they lie in data directories out there, are read for ever.
#[test]
fn sidecars_keep_their_bytes() {
    let id = |last: u8| std::array::from_fn(|at| if at == 15 { last } else { 0x11 });
    let (upload, video) = (UploadId::from_bytes(id(1)), VideoId::from_bytes(id(2)));
    check_golden("upload-meta.1.json", &meta(upload, video));
    let part = UploadMeta { video: None, concat: Some(Concat::Partial), ..meta(upload, video) };
    check_golden("upload-meta-part.1.json", &part);
    let parts = vec![UploadId::from_bytes(id(3)), UploadId::from_bytes(id(3))];
    let concat = Concat::Final { header: "final;/files/x /files/x".to_owned(), parts };
    let made = UploadMeta { length: None, concat: Some(concat), ..meta(upload, video) };
    check_golden("upload-meta-final.1.json", &made);
    let cut = UploadMeta { chunk_size: Some(ByteCount(5)), ..meta(upload, video) };
    check_golden("upload-meta-chunks.1.json", &cut);
    check_golden("facts.1.json", &facts(video));
    let picture = crate::model::manifest::Picture { width: 160, height: 90 };
    let chosen = Some(crate::model::extra::Chosen { picture, time: Some(2.5), version: 3 });
    check_golden("facts-chosen.1.json", &Facts { chosen, ..facts(video) });
    check_golden("manifest.1.json", &manifest());
    let mut growing = Manifest { complete: false, boot: "a1b2".to_owned(), ..manifest() };
    (growing.rungs[0].complete, growing.rungs[0].durable) = (false, 1);
    growing.rungs[0].sealed = true;
    check_golden("manifest-growing.1.json", &growing);
    check_golden("manifest-sound.1.json", &Manifest { sounds_unfit: vec![1], ..manifest() });
    check_golden("manifest-uncut.1.json", &Manifest { spans_unfit: true, ..manifest() });
    let (code, detail) = ("sound-cut".to_owned(), "The sound goes on.".to_owned());
    let warnings = vec![crate::model::video::Warning { code, detail }];
    check_golden("manifest-warned.1.json", &Manifest { warnings, ..manifest() });
    let mut encrypted = manifest();
    encrypted.rungs[0].key = Some(crate::model::manifest::SegmentKey([9; 16]));
    check_golden("manifest-encrypted.1.json", &encrypted);
    check_golden("manifest-text.1.json", &manifest_with_text());
    check_golden("manifest-pictures.1.json", &manifest_with_pictures());
}

fn manifest_with_text() -> Manifest {
    use crate::model::text::{Chapter, TextCut, TextKind, TextTrack};
    let cut = Some(TextCut { number: 9, every: 6, film_ms: 6_000 });
    let (lang, label) = ("de".to_owned(), "Deutsch".to_owned());
    let track = TextTrack { lang, label, kind: TextKind::Subtitles, ordinal: 2, stored: 7, cut };
    Manifest {
        began: Some(UnixMillis(1_700_000_000_000)),
        texts: Some(vec![TextTrack { cut: None, kind: TextKind::Forced, ..track.clone() }]),
        captions: vec![track],
        chapters: vec![Chapter { start: 0.5, end: 6.0, title: "One".to_owned() }],
        ..manifest()
    }
}

fn manifest_with_pictures() -> Manifest {
    use crate::model::extra::Thumbnail;
    use crate::model::manifest::Picture;
    use crate::model::storyboard::Storyboard;
    let picture = || Picture { width: 160, height: 90 };
    Manifest {
        thumbnails: vec![Thumbnail { time: 1.25, picture: picture() }],
        storyboard: Some(Storyboard { tile: picture(), starts_ms: vec![0, 1000] }),
        preview: Some(picture()),
        ..manifest()
    }
}

fn manifest() -> Manifest {
    use crate::model::manifest::{Picture, Rung, Segment};
    use crate::model::rendition::{RenditionKind, RenditionPlan};
    let plan = RenditionPlan {
        name: "audio".to_owned(),
        kind: RenditionKind::Audio,
        width: 0,
        height: 0,
        frame_rate: 0.0,
        bandwidth_cap: 128_000,
        copied: true,
        language: Some("de".to_owned()),
        sound: None,
    };
    let rung = Rung {
        plan,
        generation: Epoch(2),
        codecs: "mp4a.40.2".to_owned(),
        timescale: 48_000,
        target_ms: 6_000,
        complete: true,
        durable: 0,
        sealed: false,
        stale: false,
        key: None,
        segments: vec![Segment { ticks: 288_000, bytes: 96_000, key: None }],
    };
    let poster = Some(Picture { width: 640, height: 360 });
    Manifest {
        complete: true,
        rungs: vec![rung],
        poster,
        ..Manifest::empty(6.0, vec![RenditionKind::Audio])
    }
}
