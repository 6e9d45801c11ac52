//! Tests of encrypted uploads and originals on a real disk.

use super::*;
use crate::cipher::MasterKey;
use crate::disk::tests::{NOW, facts, meta};
use crate::disk::{Rewrapped, TrashNote, try_keys};
use crate::units::ByteOffset;
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;

fn keys(of: &[&MasterKey]) -> Keyring {
    let lines: Vec<String> = of.iter().map(|key| key.to_line().to_string()).collect();
    Keyring::parse(lines.join("\n").as_bytes()).expect("keys")
}

fn open(root: &Path, of: &[&MasterKey]) -> Disk {
    let encryption = Encryption { keys: Some(keys(of)), is_on: true };
    Disk::open_with(root, encryption).expect("the directory is ours")
}

/// Bytes whose beginning isn't met by chance.
fn content(count: usize) -> Vec<u8> {
    (0..count as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

fn begun(disk: &Disk, bytes: &[u8]) -> (UploadId, VideoId) {
    let (upload, video) = (UploadId::fresh(NOW), VideoId::fresh(NOW));
    disk.create_blob(upload, &meta(upload, video)).expect("created");
    let blob = disk.open_blob(upload).expect("opened");
    assert!(blob.is_encrypted());
    // In pieces that begin and end within blocks, the last one first.
    for (at, piece) in bytes.chunks(50_001).enumerate().collect::<Vec<_>>().into_iter().rev() {
        let halves = piece.split_at(piece.len() / 3);
        blob.write_at(ByteOffset(at as u64 * 50_001), &[halves.0, b"", halves.1]).expect("written");
    }
    (upload, video)
}

fn finish(
    disk: &Disk,
    (upload, video): (UploadId, VideoId),
    bytes: &[u8],
) -> Result<(), DiskError> {
    disk.finish_blob(upload, video, ByteCount(bytes.len() as u64), &facts(video))
}

fn read(disk: &Disk, video: VideoId) -> Result<Vec<u8>, DiskError> {
    let mut original = disk.open_original(video)?;
    let mut bytes = vec![0; usize::try_from(original.size().0).expect("small")];
    let mut done = 0;
    while done < bytes.len() {
        match original.read_at(ByteOffset(done as u64), &mut bytes[done..])? {
            0 => panic!("it ends at {done}"),
            count => done += count,
        }
    }
    Ok(bytes)
}

/// Says whether a piece of `bytes` lies in a file anywhere below.
fn holds(path: &Path, bytes: &[u8]) -> bool {
    let is_in = |file: Vec<u8>| file.windows(22).any(|window| window == &bytes[..22]);
    match fs::read_dir(path) {
        Ok(entries) => {
            entries.map(|entry| entry.expect("listed").path()).any(|it| holds(&it, bytes))
        }
        Err(_) => is_in(fs::read(path).unwrap_or_default()),
    }
}

/// No byte of an upload is on the disk in plain at any time, and it reads as it was sent at all of
/// them; its files are as long as it is.
#[test]
fn nothing_is_ever_plain_on_the_disk() {
    let (directory, key) = (tempfile::tempdir().expect("a directory"), MasterKey::fresh());
    let disk = open(directory.path(), &[&key]);
    let bytes = content(200_000);
    let ids = begun(&disk, &bytes);
    let mut part = vec![0; 70_000];
    disk.open_blob(ids.0).expect("there").read_at(ByteOffset(65_000), &mut part).expect("read");
    assert!(part == bytes[65_000..135_000]);
    let mut halfway = disk.read_blob(ids.0, ByteCount(200_000)).expect("there");
    let mut first = Vec::new();
    halfway.read_to_end(&mut first).expect("read");
    assert!(first == bytes && !holds(directory.path(), &bytes));

    finish(&disk, ids, &bytes).expect("finished");
    assert!(read(&disk, ids.1).expect("without tags") == bytes);
    assert_eq!(disk.untagged().expect("listed"), BTreeSet::from([ids.1]));
    assert!(!disk.tag_original(ids.1, || false).expect("told to stop"));
    assert!(disk.tag_original(ids.1, || true).expect("tagged"));
    assert!(!disk.tag_original(ids.1, || true).expect("it has some"));
    assert!(disk.untagged().expect("listed").is_empty());
    assert!(read(&disk, ids.1).expect("with tags") == bytes);
    assert_eq!(disk.original_size(ids.1).expect("there"), ByteCount(200_000));
    assert!(disk.has_original(ids.1).expect("looked"));

    let whole = VideoId::fresh(NOW);
    disk.create_original(whole, &bytes[..70_000], &facts(whole)).expect("made");
    assert!(read(&disk, whole).expect("with tags") == bytes[..70_000]);
    assert!(!disk.tag_original(whole, || true).expect("it was made with them"));
    let none = begun(&disk, b"");
    finish(&disk, none, b"").expect("finished");
    assert!(disk.tag_original(none.1, || true).expect("tagged"));
    assert_eq!(read(&disk, none.1).expect("nothing"), b"");
    assert!(!holds(directory.path(), &bytes));
    assert!(
        holds(&directory.path().join("originals"), b"{\"version\":1,\"video\":\"0"),
        "it looks"
    );
}

/// Bytes copied between uploads are right whichever of them are encrypted.
#[test]
fn parts_are_joined_between_keys() {
    let (directory, key) = (tempfile::tempdir().expect("a directory"), MasterKey::fresh());
    let bytes = content(300_000);
    let plain = {
        let disk = Disk::open(directory.path()).expect("a directory");
        let (upload, video) = (UploadId::fresh(NOW), VideoId::fresh(NOW));
        disk.create_blob(upload, &meta(upload, video)).expect("created");
        let blob = disk.open_blob(upload).expect("opened");
        blob.write_at(ByteOffset(0), &[&bytes]).expect("written");
        assert!(!blob.is_encrypted());
        upload
    };
    let disk = open(directory.path(), &[&key]);
    let (first, second) = (begun(&disk, &bytes).0, begun(&disk, b"").0);
    let opened = |id| disk.open_blob(id).expect("opened");
    for (from, to) in [(first, second), (plain, second), (first, plain)] {
        opened(to)
            .copy_from(ByteOffset(7), &opened(from), ByteOffset(1_000), ByteCount(250_000))
            .expect("copied");
        let mut got = vec![0; 250_000];
        opened(to).read_at(ByteOffset(7), &mut got).expect("read");
        assert!(got == bytes[1_000..251_000]);
    }
    let ends =
        opened(second).copy_from(ByteOffset(0), &opened(first), ByteOffset(299_999), ByteCount(2));
    assert!(matches!(ends, Err(DiskError::WrongSize { .. })));
}

/// Finishing works from every state that a crash can leave behind.
#[test]
fn finishing_goes_on_after_any_step() {
    let steps: [fn(&Disk, UploadId, VideoId); 4] = [
        |_, _, _| {},
        |disk, _, video| disk.write_facts(video, &facts(video)).expect("written"),
        |disk, upload, video| disk.copy_key(upload, video).expect("copied"),
        |disk, upload, video| {
            disk.copy_key(upload, video).expect("copied");
            let places = (Place::EncryptedBlob(upload), Place::EncryptedSource(video));
            disk.move_blob(places.0, places.1).expect("moved");
        },
    ];
    let (bytes, key) = (content(100_000), MasterKey::fresh());
    for step in steps {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = open(directory.path(), &[&key]);
        let ids = begun(&disk, &bytes);
        disk.make_original_dir(ids.1).expect("made");
        step(&disk, ids.0, ids.1);
        for _ in 0..2 {
            finish(&disk, ids, &bytes).expect("finished");
            assert!(read(&disk, ids.1).expect("read") == bytes);
        }
        disk.remove_upload(ids.0).expect("removed");
        finish(&disk, ids, &bytes).expect("still finished");
        drop(disk);
        // The next start finds it without tags, and that is no loss.
        let disk = open(directory.path(), &[&key]);
        assert_eq!(disk.untagged().expect("listed"), BTreeSet::from([ids.1]));
        assert!(disk.tag_original(ids.1, || true).expect("tagged"));
        assert!(read(&disk, ids.1).expect("read") == bytes);
    }
}

/// Whatever is changed in an original or beside it is an error, never other bytes.
#[test]
fn a_changed_original_is_refused() {
    let (directory, key) = (tempfile::tempdir().expect("a directory"), MasterKey::fresh());
    let disk = open(directory.path(), &[&key]);
    let bytes = content(200_000);
    let [ids, other] = [(); 2].map(|()| {
        let ids = begun(&disk, &bytes);
        finish(&disk, ids, &bytes).expect("finished");
        disk.tag_original(ids.1, || true).expect("tagged");
        ids.1
    });
    let path = |place: Place| place.below(directory.path());
    let (source, beside) = (path(Place::EncryptedSource(ids)), path(Place::SourceKey(ids)));
    let (good, good_key) = (fs::read(&source).expect("read"), fs::read(&beside).expect("read"));
    let put = |path: &Path, bytes: &[u8]| {
        let _ = fs::remove_file(path);
        fs::write(path, bytes).expect("written");
    };
    let changed = |at: usize, of: &[u8]| {
        let mut bytes = of.to_vec();
        bytes[at] ^= 0x10;
        bytes
    };
    let others = [Place::EncryptedSource(other), Place::SourceKey(other)];
    let [other_source, other_key] = others.map(|place| fs::read(path(place)).expect("read"));
    let mut first_block = good.clone();
    first_block[..BLOCK_BYTES].copy_from_slice(&other_source[..BLOCK_BYTES]);
    let cases: [(&str, Vec<u8>, Vec<u8>); 8] = [
        ("a bit", changed(150_000, &good), good_key.clone()),
        ("a tag", good.clone(), changed(KEY_FILE_BYTES + 3, &good_key)),
        ("the key", good.clone(), changed(80, &good_key)),
        ("the length", good.clone(), changed(24, &good_key)),
        ("cut", good[..131_072].to_vec(), good_key.clone()),
        ("a block of another file", first_block, good_key.clone()),
        ("another video's file", other_source.clone(), other_key.clone()),
        ("tags taken away", good.clone(), good_key[..KEY_FILE_BYTES].to_vec()),
    ];
    for (what, file, key) in cases {
        put(&source, &file);
        put(&beside, &key);
        let refused = read(&disk, ids).expect_err(what);
        let is_told = matches!(refused, DiskError::Damaged { .. } | DiskError::Locked { .. });
        assert!(is_told, "{what}: {refused}");
    }
    put(&source, &good);
    fs::remove_file(&beside).expect("removed");
    assert!(matches!(read(&disk, ids), Err(DiskError::Locked { .. })), "no key file");
    put(&beside, &good_key);
    assert!(read(&disk, ids).expect("as it was") == bytes);
}

/// A server without the keys that files may need doesn't open the directory; one with another key
/// neither. Whoever gives them up for lost can have it opened.
#[test]
fn a_directory_opens_with_its_keys_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (key, other) = (MasterKey::fresh(), MasterKey::fresh());
    let bytes = content(1_000);
    let disk = open(directory.path(), &[&key]);
    let ids = begun(&disk, &bytes);
    finish(&disk, ids, &bytes).expect("finished");
    drop(disk);
    let with = |keys: Option<Keyring>, is_on| {
        Disk::open_with(directory.path(), Encryption { keys, is_on })
    };
    for keys in [None, Some(keys(&[&other]))] {
        for is_on in [false, true] {
            let refused = with(keys.clone(), is_on).expect_err("it is needed");
            assert!(
                matches!(&refused, OpenError::NoKeys { missing, .. } if *missing == [key.id()])
            );
            assert!(refused.to_string().contains(&key.id().to_string()), "{refused}");
        }
    }
    let off = with(Some(keys(&[&other, &key])), false).expect("it is there");
    assert!(read(&off, ids.1).expect("still read") == bytes && !off.encrypts());
    drop(off);
    fs::remove_file(Place::OriginalKeys.below(directory.path())).expect("removed");
    let disk = open(directory.path(), &[&other]);
    let locked = read(&disk, ids.1).expect_err("it is lost");
    assert!(locked.to_string().contains(&key.id().to_string()), "{locked}");
    assert!(matches!(disk.tag_original(ids.1, || true), Err(DiskError::Locked { .. })));
    assert_eq!(disk.original_size(ids.1).expect("there"), ByteCount(1_000));
    let tried = try_keys(directory.path(), Some(&keys(&[&other])), 10).expect("looked");
    assert_eq!(tried, (0, vec![KeyFileError::NoKey(key.id())]));
}

/// Another key wraps all keys, wherever files lie, and then the old one isn't needed any more; what
/// can't be unwrapped is told, and its key stays on the list.
#[test]
fn another_key_takes_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let [old, new, lost] = [(); 3].map(|()| MasterKey::fresh());
    let bytes = content(100_000);
    let disk = open(directory.path(), &[&old]);
    let [open_one, finished, trashed] = [(); 3].map(|()| begun(&disk, &bytes));
    for ids in [finished, trashed] {
        finish(&disk, ids, &bytes).expect("finished");
        disk.remove_upload(ids.0).expect("removed");
    }
    disk.tag_original(finished.1, || true).expect("tagged");
    let note = TrashNote { version: 1, video: trashed.1, deleted_at: NOW, until: NOW };
    disk.trash(trashed.1, &note).expect("in the trash");
    drop(disk);

    let disk = open(directory.path(), &[&new, &old]);
    let source = Place::EncryptedSource(finished.1).below(directory.path());
    let before = fs::metadata(&source).expect("there").modified().expect("a time");
    let done = disk.rewrap().expect("done");
    assert_eq!(done, Rewrapped { files: 3, rewrapped: 3, locked: 0 });
    assert_eq!(disk.rewrap().expect("done"), Rewrapped { files: 3, rewrapped: 0, locked: 0 });
    assert_eq!(fs::metadata(&source).expect("there").modified().expect("a time"), before);
    drop(disk);
    let disk = open(directory.path(), &[&new]);
    assert!(read(&disk, finished.1).expect("read") == bytes);
    let place = Place::EncryptedSource(finished.1).below(directory.path());
    fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    File::options().write(true).open(&place).expect("opened").write_all_at(b"x", 9).expect("put");
    assert!(
        matches!(read(&disk, finished.1), Err(DiskError::Damaged { block: 0, .. })),
        "has tags"
    );
    disk.restore_trash(trashed.1).expect("restored");
    assert!(disk.untagged().expect("listed").contains(&trashed.1));
    assert!(read(&disk, trashed.1).expect("read") == bytes);
    finish(&disk, open_one, &bytes).expect("finished");
    disk.remove_upload(open_one.0).expect("removed");
    assert!(read(&disk, open_one.1).expect("read") == bytes);

    let head = KeyFile { key: FileKey::fresh(), tagged: None }.wrap(&keys(&[&lost]));
    fs::write(Place::SourceKey(finished.1).below(directory.path()), head).expect("written");
    let done = disk.rewrap().expect("done");
    assert_eq!((done.files, done.locked), (3, 1));
    drop(disk);
    let refused =
        Disk::open_with(directory.path(), Encryption { keys: Some(keys(&[&new])), is_on: true });
    assert!(matches!(refused, Err(OpenError::NoKeys { missing, .. }) if missing == [lost.id()]));
}
