//! Downloads of originals that are encrypted on the disk, against the same ones in plain.

use super::rig::*;
use crate::cipher::MasterKey;
use crate::ids::VideoId;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const LENGTH: usize = 400_123;

fn content() -> Vec<u8> {
    (0..LENGTH as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

/// A server that encrypts, and where it keeps its files.
async fn encrypting() -> (Rig, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys");
    std::fs::write(&path, MasterKey::fresh().to_line().as_bytes()).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    let rig = Rig::start_with(|config| {
        config.originals.is_encrypted = true;
        config.originals.key_file = Some(path);
    });
    (rig.await, directory)
}

async fn fetch(rig: &Rig, video: VideoId, method: &str, headers: &[(&str, &str)]) -> Answer {
    rig.as_token(&rig.ann, &format!("{method} /api/videos/{video}/original"), headers, b"").await
}

fn file_of(rig: &Rig, video: VideoId, name: &str) -> PathBuf {
    let root = rig.parts.disk.root();
    root.join("originals").join(video.shard()).join(video.to_string()).join(name)
}

/// Every range, condition and method gets the answer that it gets where nothing is encrypted, with
/// the same bytes: before the original has its tags, and with them.
#[actix_web::test]
async fn ranges_and_conditions_are_answered_as_ever() {
    let (rig, _keys) = encrypting().await;
    let plain = Rig::start().await;
    let bytes = content();
    let video = rig.bring(&bytes).await;
    let plain_video = plain.bring(&bytes).await;
    assert!(
        file_of(&rig, video, "source.enc").exists() && !file_of(&rig, video, "source").exists()
    );
    let tag = fetch(&rig, video, "HEAD", &[]).await.header("etag").to_owned();
    let plain_tag = fetch(&plain, plain_video, "HEAD", &[]).await.header("etag").to_owned();
    for is_tagged in [false, true] {
        if is_tagged {
            assert!(rig.parts.disk.tag_original(video, || true).expect("tagged"));
        }
        for (method, range) in [
            ("GET", ""),
            ("HEAD", ""),
            ("GET", "bytes=0-0"),
            ("GET", "bytes=65535-65536"),
            ("GET", "bytes=1-300000"),
            ("GET", "bytes=131072-"),
            ("GET", "bytes=-1"),
            ("GET", "bytes=-70000"),
            ("GET", "bytes=400122-999999"),
            ("GET", "bytes=400123-"),
            ("GET", "bytes=x-"),
            ("HEAD", "bytes=5-9"),
        ] {
            for condition in ["", "If-Range", "If-None-Match", "If-Match", "stale"] {
                let headers = |tag: &str| {
                    let mut headers = Vec::new();
                    if !range.is_empty() {
                        headers.push(("Range", range.to_owned()));
                    }
                    match condition {
                        "" => {}
                        "stale" => headers.push(("If-Match", "\"stale\"".to_owned())),
                        name => headers.push((name, tag.to_owned())),
                    }
                    headers
                };
                let ask = async |rig, video, tag: &str| {
                    let headers = headers(tag);
                    let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
                    fetch(rig, video, method, &headers).await
                };
                let got = ask(&rig, video, &tag).await;
                let wanted = ask(&plain, plain_video, &plain_tag).await;
                let what = format!("{method} {range:?} {condition:?}, tags {is_tagged}");
                assert_eq!(got.status, wanted.status, "{what}");
                assert!(got.body == wanted.body, "{what}: other bytes");
                for name in ["content-length", "content-range", "content-type", "accept-ranges"] {
                    assert_eq!(got.header(name), wanted.header(name), "{what}: {name}");
                }
                assert_eq!(got.has("etag"), wanted.has("etag"), "{what}");
            }
        }
        // What changes beside the bytes changes no validator.
        assert_eq!(fetch(&rig, video, "HEAD", &[]).await.header("etag"), tag);
    }
}

/// A small file that comes whole with its creation is encrypted like any other.
#[actix_web::test]
async fn small_files_are_encrypted_too() {
    let (rig, _keys) = encrypting().await;
    let body = b"a few bytes that nobody should read".as_slice();
    let length = body.len().to_string();
    let headers = [BYTES, ("Upload-Length", length.as_str())];
    let answer = rig.tus("POST /files", &headers, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let video = VideoId::parse(answer.header("slipway-video")).expect("a video's id");
    let stored = std::fs::read(file_of(&rig, video, "source.enc")).expect("it is there");
    assert!(stored.len() == body.len() && stored != body);
    assert_eq!(fetch(&rig, video, "GET", &[]).await.body, body);
}

/// Bytes that changed on the disk aren't sent: at the start it is a problem with a code of its
/// own, later the connection ends before they would come.
#[actix_web::test]
async fn changed_bytes_are_never_sent() {
    let (rig, _keys) = encrypting().await;
    let bytes = content();
    let video = rig.bring(&bytes).await;
    assert!(rig.parts.disk.tag_original(video, || true).expect("tagged"));
    let source = file_of(&rig, video, "source.enc");
    let mut stored = std::fs::read(&source).expect("it is there");
    stored[300_000] ^= 1;
    std::fs::set_permissions(&source, PermissionsExt::from_mode(0o600)).expect("set");
    std::fs::write(&source, &stored).expect("written");

    let all = fetch(&rig, video, "GET", &[]).await;
    let right = 4 * 65_536;
    assert!(all.status == 200 && all.body == bytes[..right], "{} bytes came", all.body.len());
    let before = fetch(&rig, video, "GET", &[("Range", "bytes=0-99999")]).await;
    assert!(before.body == bytes[..100_000]);
    for range in ["bytes=300000-300001", "bytes=-130000"] {
        let answer = fetch(&rig, video, "GET", &[("Range", range)]).await;
        assert_eq!((answer.status, answer.code()), (500, "original-unreadable".to_owned()));
    }
    let behind = fetch(&rig, video, "GET", &[("Range", "bytes=330000-")]).await;
    assert!(behind.body == bytes[330_000..], "what is right is sent");
    // A file that was cut between two blocks isn't a shorter one, and one that grew no longer one.
    stored[300_000] ^= 1;
    let longer = [stored.as_slice(), b"more"].concat();
    for changed in [&stored[..2 * 65_536], &stored[..2 * 65_536 + 7], &longer] {
        std::fs::write(&source, changed).expect("written");
        for headers in [&[][..], &[("Range", "bytes=0-9")], &[("Range", "bytes=-9")]] {
            let answer = fetch(&rig, video, "GET", headers).await;
            assert_eq!(answer.code(), "original-unreadable", "{} bytes", changed.len());
        }
    }
    std::fs::write(&source, &stored).expect("written");
    assert!(fetch(&rig, video, "GET", &[]).await.body == bytes);
    std::fs::remove_file(file_of(&rig, video, "source.key")).expect("removed");
    assert_eq!(fetch(&rig, video, "GET", &[]).await.code(), "original-unreadable");
}
