//! Films whose segments only a key opens: what lies on the disk, what a reader makes of it, who
//! gets the key, and that a kill changes nothing of it.

use crate::crash::{kill_9, workers_of};
use crate::harness::{Server, media, program, wait_for};
use crate::playback::walk_for;
use aes::Aes128;
use cbc::Decryptor;
use cbc::cipher::{Block, BlockModeDecrypt, KeyIvInit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

const ENCRYPTED: [(&str, &str); 3] = [
    ("SLIPWAY_MEDIA__ENCRYPT", "true"),
    ("SLIPWAY_MEDIA__FORMATS", "[\"hls\"]"),
    ("SLIPWAY_MEDIA__LADDER", "[360, 240]"),
];

/// Opens a segment as RFC 8216 says a player does.
fn opened(sealed: &[u8], key: &[u8], sequence: u128) -> Vec<u8> {
    let key: [u8; 16] = key.try_into().expect("16 bytes");
    let vector = sequence.to_be_bytes();
    let mut cipher = Decryptor::<Aes128>::new(&key.into(), &vector.into());
    let mut clear = Vec::new();
    for block in sealed.chunks(16) {
        let mut block = Block::<Decryptor<Aes128>>::try_from(block).expect("whole blocks");
        cipher.decrypt_block(&mut block);
        clear.extend_from_slice(&block);
    }
    let padding = usize::from(*clear.last().expect("never empty"));
    assert!((1..=16).contains(&padding) && padding <= clear.len(), "{padding}");
    let (rest, padded) = clear.split_at(clear.len() - padding);
    assert!(padded.iter().all(|&byte| usize::from(byte) == padding));
    rest.to_vec()
}

/// The bytes of all files in the directories of rungs, by their names.
fn files(media: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for rung in fs::read_dir(media).expect("published").flatten() {
        for file in fs::read_dir(rung.path()).into_iter().flatten().flatten() {
            let name = rung.file_name().to_string_lossy().into_owned();
            let name = format!("{name}/{}", file.file_name().to_string_lossy());
            all.insert(name, fs::read(file.path()).expect("read"));
        }
    }
    all
}

/// How many packets of each kind FFmpeg's own reader finds behind an address or in a file.
fn packets(source: &str) -> Vec<(String, u64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-count_packets", "-show_entries"])
        .args(["stream=codec_type,nb_read_packets", source])
        .output()
        .expect("ffprobe is installed by scripts/setup --test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{source}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |stream: &Value| {
        let kind = stream["codec_type"].as_str().expect("a kind").to_owned();
        let count = stream["nb_read_packets"].as_str().and_then(|it| it.parse().ok());
        (kind, count.expect("a number"))
    };
    let mut all: Vec<_> = said["streams"].as_array().expect("streams").iter().map(of).collect();
    all.sort();
    all
}

fn hls(server: &Server, video: &Value) -> String {
    let path = video["playback"]["hls"].as_str().unwrap_or_else(|| panic!("HLS: {video}"));
    format!("{}{path}", server.address)
}

/// Nothing clear lies where players fetch, the key opens it to the bytes that would lie there
/// without, and FFmpeg plays both alike.
#[test]
fn segments_open_to_what_they_would_be() {
    let (sealed, clear) = (Server::with(&ENCRYPTED), Server::with(&ENCRYPTED[1..]));
    let film = media("moov-last.mp4");
    let videos = [&sealed, &clear].map(|server| (server, server.upload(&film)));
    let [it, other] = videos.each_ref().map(|(server, id)| server.settled(id));
    assert_eq!((&it["state"], &other["state"]), (&"ready".into(), &"ready".into()), "{it}");
    assert!(it["playback"]["dash"].is_null() && it["playback"]["mp4"].is_null(), "{it}");
    let [ours, theirs] = videos
        .each_ref()
        .map(|(server, id)| files(&walk_for(&server.data.join("media"), id).expect("published")));
    let id = &videos[0].1;
    // What is copied has the same bytes whoever does it; encoders may go other ways.
    let top = format!("{}p-", it["source"]["height"]);
    let (mut segments, mut copied) = (0, 0);
    for (name, bytes) in &ours {
        let (rung, file) = name.split_once('/').expect("below a rung");
        if let Some(number) = file.strip_suffix(".m4s") {
            let key = sealed.send_as_anyone("GET", &format!("/media/{id}/{rung}/key"), &[], b"");
            assert_eq!((key.status, key.header("cache-control")), (200, "no-store"));
            let sequence = number.parse::<u128>().expect("a number") - 1;
            let clear = opened(bytes, &key.body, sequence);
            assert_eq!(&clear[4..8], b"moof", "{name}");
            if rung.starts_with(&top) || rung.starts_with("audio-") {
                assert!(clear == theirs[name], "{name}");
                copied += 1;
            }
            assert_ne!(&bytes[4..8], b"moof", "{name} is clear");
            segments += 1;
        } else if file == "media.m3u8" {
            let list = String::from_utf8_lossy(bytes);
            let (map, key) =
                (list.find("#EXT-X-MAP:"), list.find("#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n"));
            assert!(map.expect("a map") < key.expect("a key"), "{list}");
        } else if file == "init.mp4" {
            assert_eq!(bytes, &theirs[name], "{name}");
        }
    }
    assert!(segments > copied && copied > 3, "{:?}", ours.keys());
    assert!(!ours.keys().any(|name| name.ends_with("iframes.m3u8")), "{:?}", ours.keys());
    assert_eq!(packets(&hls(&sealed, &it)), packets(&hls(&clear, &other)));
}

/// The key is behind the same check as the film.
#[test]
fn the_key_is_for_those_who_may_see() {
    let server = Server::with(&ENCRYPTED);
    let id = server.upload(&media("silent.mp4"));
    let it = server.settled(&id);
    let rung = it["renditions"][0]["name"].as_str().expect("a rung").to_owned();
    let json = [("Content-Type", "application/json")];
    let change = br#"{"visibility":"private"}"#;
    let changed = server.send("PATCH", &format!("/api/videos/{id}"), &json, change);
    assert_eq!(changed.status, 200);
    let key = format!("/media/{id}/{rung}-1/key");
    assert_eq!(server.send_as_anyone("GET", &key, &[], b"").status, 404);
    assert_eq!(server.send("GET", &key, &[], b"").body.len(), 16);
    let made = server.send("POST", &format!("/api/videos/{id}/playback-token"), &[], b"").json();
    let path = made["hlsUrl"].as_str().expect("HLS").to_owned();
    let by_token = path.replace("master.m3u8", &format!("{rung}-1/key"));
    let given = server.send_as_anyone("GET", &by_token, &[], b"");
    assert_eq!((given.status, given.header("cache-control")), (200, "no-store"));
    assert!(packets(&format!("{}{path}", server.address))[0].1 > 0, "the playlist leads there");
    let revoke = format!("/api/videos/{id}/playback-tokens/revoke");
    assert_eq!(server.send("POST", &revoke, &[], b"").status, 200);
    assert_eq!(server.send_as_anyone("GET", &by_token, &[], b"").status, 403);
    for none in [format!("/media/{id}/{rung}-2/key"), format!("/media/{id}/key")] {
        assert_eq!(server.send("GET", &none, &[], b"").status, 404, "{none}");
    }
}

/// The child killed in the middle, then the server: the work goes on behind what is there under the
/// same key, and what was served stays as it was.
#[test]
fn a_kill_changes_no_segment() {
    let ladder = ("SLIPWAY_MEDIA__LADDER", "[240]");
    let mut server = Server::with(&[ENCRYPTED[0], ENCRYPTED[1], ladder]);
    let film = media("one-key-60s.mp4");
    let id = server.upload(&film);
    let published = server.data.join("media");
    let segments = |name: &String| name.ends_with(".m4s");
    let mut seen = BTreeMap::new();
    for least in [2, 6] {
        let media = wait_for("some more segments", || {
            let media = walk_for(&published, &id)?;
            let list = fs::read_to_string(media.join("240p-1/media.m3u8")).ok()?;
            (list.matches("#EXTINF").count() >= least).then_some(media)
        });
        match least {
            2 => workers_of(server.pid()).into_iter().for_each(kill_9),
            _ => server.kill(),
        }
        seen.extend(files(&media).into_iter().filter(|(name, _)| segments(name)));
    }
    server.restart();
    let it = server.settled(&id);
    assert_eq!(it["state"], "ready", "{it}");
    let now = files(&walk_for(&published, &id).expect("published"));
    for (name, bytes) in &seen {
        assert!(now.get(name) == Some(bytes), "{name} stays as it was");
    }
    let pictures = |all: Vec<(String, u64)>| all.into_iter().find(|(kind, _)| kind == "video");
    let expected = pictures(packets(&film.display().to_string()));
    assert_eq!(pictures(packets(&hls(&server, &it))), expected);
}

/// What can't be played encrypted isn't wanted together with it.
#[test]
fn encryption_is_for_hls_alone() {
    let checked = |formats: &str| {
        let mut command = Command::new(program());
        let command = command.arg("check-config").env("SLIPWAY_MEDIA__ENCRYPT", "true");
        let done = command.env("SLIPWAY_MEDIA__FORMATS", formats).output().expect("runs");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    assert_eq!(checked("[\"hls\"]").0, Some(0));
    for formats in ["[\"hls\", \"dash\"]", "[\"hls\", \"mp4\"]", "[\"dash\"]"] {
        let (code, said) = checked(formats);
        assert!(code == Some(2) && said.contains("media.encrypt"), "{formats}: {said}");
    }
}
