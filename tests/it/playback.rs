//! From a file to something that plays: HLS and DASH over the same segments, checked by FFmpeg's
//! own reader.

use crate::harness::{Server, files_below, media, sha256};
use serde_json::Value;
use std::process::Command;

/// What ffprobe says of the streams behind an address.
fn probe(url: &str, entries: &str) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_entries", entries, "-count_packets", url])
        .output()
        .expect("ffprobe is installed by scripts/setup --test");
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Uploads a file, waits for it, and checks everything a player would see.
pub fn check(server: &Server, name: &str, duration: f64, top: (u64, u64), sound: bool) -> Value {
    let video = server.upload(&media(name));
    let it = server.settled(&video);
    assert_eq!(it["state"], "ready", "{name}: {it}");
    let source = &it["source"];
    assert!((source["duration"].as_f64().expect("a number") - duration).abs() < 0.25, "{source}");
    assert_eq!((source["width"].as_u64(), source["height"].as_u64()), (Some(top.0), Some(top.1)));
    let entries = "format=duration:stream=codec_type,width,height,start_time,nb_read_packets";
    for (key, url) in [("hls", &it["playback"]["hls"]), ("dash", &it["playback"]["dash"])] {
        let url = url.as_str().unwrap_or_else(|| panic!("{name} has {key}: {it}"));
        let seen = probe(&format!("{}{url}", server.address), entries);
        let length: f64 = seen["format"]["duration"].as_str().unwrap_or("0").parse().expect("s");
        assert!((length - duration).abs() < 0.3, "{name} {key}: {length} s, not {duration}");
        let streams = seen["streams"].as_array().expect("streams");
        let of =
            |kind: &str| streams.iter().filter(|s| s["codec_type"] == kind).collect::<Vec<_>>();
        let widest = of("video").iter().filter_map(|s| s["width"].as_u64()).max();
        assert_eq!(widest.unwrap_or(0), top.0, "{name} {key}: {seen}");
        assert_eq!(!of("audio").is_empty(), sound, "{name} {key}: {seen}");
        for stream in streams.iter().filter(|it| it["codec_type"] != "subtitle") {
            let packets: u64 =
                stream["nb_read_packets"].as_str().unwrap_or("0").parse().expect("a number");
            assert!(packets > 10, "{name} {key}: every track has its media: {stream}");
        }
    }
    check_playlists(server, &it);
    check_poster(server, &it);
    let findings = judged(server, &it);
    let musts: Vec<&String> = findings.iter().filter(|it| it.contains("\"MUST\"")).collect();
    assert!(musts.is_empty(), "{name}: {musts:#?}");
    it
}

/// What an independent reader of Apple's, RFC 8216's and DASH's rules finds, a line each.
pub fn judged(server: &Server, video: &Value) -> Vec<String> {
    let checker = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/checker/check.py");
    let address = |key: &str| {
        let path = video["playback"][key].as_str();
        path.map(|path| format!("{}{path}", server.address))
    };
    let mut command = Command::new("python3");
    command.args(["-B", checker, &address("hls").expect("HLS")]);
    command.args(["--dash", &address("dash").expect("DASH")]);
    if let Some(storyboard) = address("storyboard") {
        command.args(["--storyboard", &storyboard]);
    }
    let output = command.output().expect("python3 is installed by scripts/setup --test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{said}");
    assert_eq!(output.status.success(), !said.contains("\"MUST\""), "{said}");
    said.lines().map(str::to_owned).collect()
}

/// The independent reader sees what is wrong with the seek bar's small pictures, and nothing where
/// nothing is.
#[test]
fn broken_storyboards_are_found() {
    let server = Server::start();
    let id = server.upload(&media("moov-last.mp4"));
    let it = server.settled(&id);
    let directory = walk_for(&server.data.join("media"), &id).expect("published");
    let found = || -> Vec<String> {
        let findings = judged(&server, &it);
        let rules = findings.iter().map(|it| serde_json::from_str(it).expect("JSON"));
        let rules = rules.filter(|it: &Value| it["level"] == "MUST");
        rules.map(|it| it["rule"].as_str().expect("a rule").to_owned()).collect()
    };
    assert!(found().is_empty(), "{:?}", judged(&server, &it));
    let text_file = directory.join("storyboard.vtt");
    let sheet_file = directory.join("storyboard-1.jpg");
    let (text, sheet) =
        (std::fs::read_to_string(&text_file).expect("text"), std::fs::read(&sheet_file));
    let sheet = sheet.expect("a sheet");
    let (first, second) = ("00:00:00.000 --> 00:00:01.000", "00:00:01.000 --> 00:00:02.000");
    for (rule, from, to) in [
        ("P1", "--> 00:00:08.000", "--> 00:00:09.000"),
        ("P1", second, "00:00:00.500 --> 00:00:02.000"),
        ("P1", first, "00:00:01.000 --> 00:00:00.500"),
        ("P1", first, "00:00:01.500 --> 00:00:01.800"),
        ("P1", "WEBVTT", "WEBVTTS"),
        ("P2", "#xywh=160,0,160,90", "#xywh=160,0,160,80"),
        ("P2", "#xywh=160,0,160,90", "#xywh=0,0,160,90"),
        ("P2", "#xywh=160,0,160,90", "#t=1"),
        ("P3", "#xywh=1120,0,160,90", "#xywh=1120,90,160,90"),
        ("P3", "#xywh=1120,0,160,90", "#xywh=1600,0,160,90"),
        ("P3", "storyboard-1.jpg#xywh=160,", "storyboard-7.jpg#xywh=160,"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        std::fs::write(&text_file, text.replacen(from, to, 1)).expect("it is ours");
        assert!(found().contains(&rule.to_owned()), "{from} -> {to}: {:?}", found());
    }
    std::fs::write(&text_file, &text).expect("it is ours");
    let mut cut = image::load_from_memory(&sheet).expect("a JPEG");
    cut.crop(0, 0, 1599, 90).save(&sheet_file).expect("it is ours");
    assert_eq!(found(), ["P3"], "a column less");
    std::fs::write(&sheet_file, &sheet[2..]).expect("it is ours");
    assert_eq!(found(), ["P3"], "no picture");
    std::fs::write(&sheet_file, &sheet).expect("it is ours");
    assert!(found().is_empty());
}

/// The multivariant playlist names complete playlists, and every segment is served.
fn check_playlists(server: &Server, video: &Value) {
    let master_url = video["playback"]["hls"].as_str().expect("a path");
    let master = server.send_as_anyone("GET", master_url, &[], b"");
    assert_eq!(master.header("content-type"), "application/vnd.apple.mpegurl");
    let parsed = m3u8_rs::parse_master_playlist_res(&master.body).expect("a master playlist");
    let base = master_url.trim_end_matches("master.m3u8");
    for variant in parsed.variants.iter().filter(|variant| !variant.is_i_frame) {
        assert!(variant.codecs.is_some() && variant.average_bandwidth.is_some(), "{variant:?}");
        let url = format!("{base}{}", variant.uri);
        let list = server.send_as_anyone("GET", &url, &[], b"");
        let list = m3u8_rs::parse_media_playlist_res(&list.body).expect("a media playlist");
        assert!(list.end_list, "{url}");
        let directory = url.trim_end_matches("media.m3u8");
        for segment in &list.segments {
            let got =
                server.send_as_anyone("GET", &format!("{directory}{}", segment.uri), &[], b"");
            assert_eq!((got.status, got.header("content-type")), (200, "video/iso.segment"));
            assert!(got.header("cache-control").contains("immutable"));
            let longest = f64::from(u32::try_from(list.target_duration).expect("small")) + 0.5;
            assert!(f64::from(segment.duration) <= longest, "{segment:?}");
        }
    }
}

/// The poster is a JPEG that isn't black.
fn check_poster(server: &Server, video: &Value) {
    let url = video["playback"]["poster"].as_str().unwrap_or_else(|| panic!("{video}"));
    let poster = server.send_as_anyone("GET", url, &[], b"");
    assert_eq!((poster.status, poster.header("content-type")), (200, "image/jpeg"));
    let picture = image::load_from_memory(&poster.body).expect("a JPEG").to_luma8();
    let sum: u64 = picture.pixels().map(|pixel| u64::from(pixel.0[0])).sum();
    assert!(sum / u64::from(picture.width() * picture.height()) > 16, "not black");
}

/// A file whose index comes last, as phones and cameras write it.
#[test]
fn a_moov_last_mp4_plays() {
    let server = Server::start();
    let it = check(&server, "moov-last.mp4", 8.0, (640, 360), true);
    let original = server.send(
        "GET",
        &format!("/api/videos/{}/original", it["id"].as_str().expect("id")),
        &[],
        b"",
    );
    let sent = std::fs::read(media("moov-last.mp4")).expect("generated");
    assert_eq!(sha256(&original.body), sha256(&sent));
}

/// A file made for the web: the source itself is the best quality, and lower ones follow.
#[test]
fn a_faststart_mp4_plays_with_the_source_on_top() {
    let server = Server::start();
    let it = check(&server, "faststart.mp4", 10.0, (1280, 720), true);
    let names: Vec<&str> = it["renditions"]
        .as_array()
        .expect("renditions")
        .iter()
        .filter_map(|rendition| rendition["name"].as_str())
        .collect();
    assert!(names.contains(&"720p") && names.contains(&"360p"), "{names:?}");
}

/// What browsers record.
#[test]
fn a_webm_plays() {
    let server = Server::start();
    let video = server.upload(&media("vp9.webm"));
    let it = server.settled(&video);
    assert_eq!(it["state"], "ready", "{it}");
    let (width, height) = (&it["source"]["width"], &it["source"]["height"]);
    let size = (width.as_u64().expect("width"), height.as_u64().expect("height"));
    let duration = it["source"]["duration"].as_f64().expect("seconds");
    check(&server, "vp9.webm", duration, size, true);
}

/// A phone held upright: the picture stands, without relying on the player to turn it.
#[test]
fn a_rotated_mp4_stands_upright() {
    let server = Server::start();
    let video = server.upload(&media("rotated.mp4"));
    let it = server.settled(&video);
    let duration = it["source"]["duration"].as_f64().expect("seconds");
    assert_eq!(it["source"]["rotation"].as_u64().map(|turn| turn % 180), Some(90), "{it}");
    check(&server, "rotated.mp4", duration, (360, 640), true);
}

/// A film in two languages, one of them in six channels, and with a comment: players are told of
/// all of them, with names, and so is whoever asks for the video.
#[test]
fn languages_and_six_channels_can_be_chosen() {
    let server = Server::start();
    let it = check(&server, "languages.mkv", 5.0, (320, 240), true);
    let sounds: Vec<String> = it["renditions"]
        .as_array()
        .expect("renditions")
        .iter()
        .filter(|rendition| rendition["kind"] == "audio")
        .map(|it| format!("{} {} {} {}", it["name"], it["language"], it["label"], it["channels"]))
        .collect();
    assert_eq!(
        sounds,
        [
            r#""audio" "de" "Deutsch" 2"#,
            r#""audio_surround" "de" "Deutsch" 6"#,
            r#""audio-en" "en" "English" 2"#,
            r#""audio-en-2" "en" "The director speaks" 2"#,
        ]
    );
    let pictures: Vec<_> = it["renditions"].as_array().expect("renditions").iter().collect();
    assert!(pictures.iter().filter(|it| it["kind"] == "video").all(|it| it["channels"].is_null()));
}

/// The ladder that is recommended is the one that was made, with a reason for every rung; before
/// the file was looked into there is none, and nobody else hears of it.
#[test]
fn recommendations_are_what_is_made() {
    let server = Server::with(&[("SLIPWAY_UPLOAD__ACCEPT", "[\"*/*\"]")]);
    for name in ["languages.mkv", "silent.mp4", "vp9.webm", "sound.mp3"] {
        let video = server.upload(&media(name));
        let it = server.settled(&video);
        let said = server.json(&format!("/api/videos/{video}/recommendations"));
        let rungs = said["rungs"].as_array().expect("rungs");
        let names = |list: &[&Value]| -> Vec<String> {
            let mut names: Vec<_> = list.iter().map(|it| it["name"].to_string()).collect();
            names.sort();
            names
        };
        let made: Vec<&Value> = it["renditions"].as_array().expect("renditions").iter().collect();
        let taken: Vec<&Value> = rungs.iter().filter(|it| it["decision"] != "dropped").collect();
        assert_eq!(names(&taken), names(&made), "{name}: {said}");
        for rung in rungs {
            let reason = rung["reason"].as_str().unwrap_or_default();
            assert!(reason.len() > 20 && reason.ends_with('.'), "{name}: {rung}");
            assert_eq!(rung["planned"], rung["decision"] != "dropped", "{name}: {rung}");
        }
        let other =
            server.send_as_anyone("GET", &format!("/api/videos/{video}/recommendations"), &[], b"");
        assert_eq!(other.status, 401);
    }
    let file = server.upload(&media("text.mp4"));
    server.settled(&file);
    let answer = server.send("GET", &format!("/api/videos/{file}/recommendations"), &[], b"");
    assert_eq!(answer.status, 409, "{}", answer.text());
}

/// While a film is being made, what players are given only grows: no quality and no segment that
/// was listed ever goes, and the end comes once.
#[test]
fn playlists_only_grow() {
    let server = Server::with(&[("SLIPWAY_MEDIA__SEGMENT_SECONDS", "1")]);
    let video = server.upload(&media("one-key-5s.mp4"));
    let watch = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/checker/watch.py");
    let address = |file: &str| format!("{}/media/{video}/{file}", server.address);
    let output = Command::new("python3")
        .args(["-B", watch, &address("master.m3u8"), &address("manifest.mpd"), "120"])
        .output()
        .expect("python3 is installed by scripts/setup --test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let states: u32 = said.trim().parse().expect("a number");
    assert!(states >= 3, "only {states} states were seen");
    assert_eq!(server.settled(&video)["state"], "ready");
}

/// Sound alone plays at two rates and has a poster.
#[test]
fn sound_alone_plays() {
    let server = Server::start();
    for name in ["covered.mp3", "sound.mp3"] {
        check(&server, name, 6.0, (0, 0), true);
    }
}

/// A silent film stays silent; nothing is invented.
#[test]
fn a_silent_file_plays() {
    let server = Server::start();
    let video = server.upload(&media("silent.mp4"));
    let it = server.settled(&video);
    let size = |key: &str| it["source"][key].as_u64().expect("a number");
    let duration = it["source"]["duration"].as_f64().expect("seconds");
    check(&server, "silent.mp4", duration, (size("width"), size("height")), false);
}

/// With `mp4` among the formats there is one file to download, made of the same segments; and what
/// isn't among them isn't made.
#[test]
fn one_file_can_be_downloaded() {
    let server = Server::with(&[("SLIPWAY_MEDIA__FORMATS", "[\"dash\", \"mp4\"]")]);
    let it = server.settled(&server.upload(&media("faststart.mp4")));
    assert_eq!((&it["state"], &it["warnings"]), (&"ready".into(), &serde_json::json!([])));
    assert!(it["playback"]["hls"].is_null() && it["playback"]["dash"].is_string(), "{it}");
    let base = format!("/media/{}", it["id"].as_str().expect("id"));
    assert_eq!(server.send_as_anyone("GET", &format!("{base}/master.m3u8"), &[], b"").status, 404);
    let url = it["playback"]["mp4"].as_str().expect("an address");
    assert_eq!(url, format!("{base}/video.mp4"));
    let whole = server.send_as_anyone("GET", url, &[], b"");
    assert_eq!((whole.status, whole.header("content-type")), (200, "video/mp4"));
    let part = server.send_as_anyone("GET", url, &[("Range", "bytes=4-11")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, b"ftypisom".as_slice()));
    let entries = "format=duration:stream=codec_name,width,height,start_time,nb_read_packets";
    let seen = probe(&format!("{}{url}", server.address), entries);
    let length: f64 = seen["format"]["duration"].as_str().unwrap_or("0").parse().expect("s");
    assert!((length - 10.0).abs() < 0.1, "{seen}");
    let streams = seen["streams"].as_array().expect("streams");
    let (pictures, sound) = (&streams[0], &streams[1]);
    assert_eq!((&pictures["codec_name"], &pictures["height"]), (&"h264".into(), &720.into()));
    assert_eq!(
        (&pictures["nb_read_packets"], &sound["codec_name"]),
        (&"300".into(), &"aac".into())
    );
}

/// Files that are no videos, or try to read others, end as `failed` with a sentence, and the
/// server goes on.
#[test]
fn what_is_no_video_fails_with_a_sentence() {
    let server = Server::start();
    for name in ["text.mp4", "playlist.mp4", "concat.mp4", "noise.bin"] {
        let video = server.upload(&media(name));
        let it = server.settled(&video);
        assert_eq!(
            (&it["state"], &it["error"]["code"]),
            (&"failed".into(), &"unsupported-media".into()),
            "{name}: {it}"
        );
        let detail = it["error"]["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 20 && !detail.contains('/'), "{name}: {detail}");
        assert!(it["playback"]["hls"].is_null() && it["playable"] == false, "{name}: {it}");
    }
    assert_eq!(server.send_as_anyone("GET", "/healthz", &[], b"").status, 200);
}

/// Media are served with ranges, validators and CORS, and private ones to nobody else.
#[test]
fn media_answers_like_a_good_web_server() {
    let server = Server::start();
    let id = server.upload(&media("silent.mp4"));
    let it = server.settled(&id);
    let rung = it["renditions"][0]["name"].as_str().expect("a rendition").to_owned();
    let url = format!("/media/{id}/{rung}-1/1.m4s");
    let whole = server.send_as_anyone("GET", &url, &[("Origin", "https://a.example")], b"");
    assert_eq!(whole.status, 200, "{url}: {}", whole.text());
    assert!(!whole.header("access-control-allow-origin").is_empty());
    let part = server.send_as_anyone("GET", &url, &[("Range", "bytes=10-19")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &whole.body[10..20]));
    let unchanged = [("If-None-Match", whole.header("etag"))];
    assert_eq!(server.send_as_anyone("GET", &url, &unchanged, b"").status, 304);
    for bad in ["../../../admin-token", "..%2f..%2fadmin-token", "manifest.json.tmp", "x"] {
        let answer = server.send_as_anyone("GET", &format!("/media/{id}/{bad}"), &[], b"");
        assert_eq!(answer.status, 404, "{bad}");
    }
    let change = br#"{"visibility":"private"}"#;
    let json = [("Content-Type", "application/json")];
    assert_eq!(server.send("PATCH", &format!("/api/videos/{id}"), &json, change).status, 200);
    assert_eq!(server.send_as_anyone("GET", &url, &[], b"").status, 404);
    assert_eq!(server.send("GET", &url, &[], b"").status, 200);

    assert_eq!(server.send("DELETE", &format!("/api/videos/{id}"), &[], b"").status, 204);
    assert!(matches!(server.send("GET", &url, &[], b"").status, 404 | 410));
    let left =
        files_below(&server.data.join("media")) + files_below(&server.data.join("originals"));
    assert_eq!(left, 0, "no bytes of a deleted video stay");
}

/// The reader of the rules finds what breaks them: each of these is one change to what was served
/// rightly before.
#[test]
fn broken_playlists_are_found() {
    let server = Server::start();
    let video = server.settled(&server.upload(&media("silent.mp4")));
    assert_eq!(judged(&server, &video).iter().filter(|it| it.contains("\"MUST\"")).count(), 0);
    let id = video["id"].as_str().expect("an id");
    let directory = walk_for(&server.data.join("media"), id).expect("it is published");
    let rung = std::fs::read_dir(&directory).expect("it is there").flatten();
    let rung = rung.map(|it| it.path()).find(|path| path.is_dir()).expect("a quality");
    let changes = [
        (directory.join("master.m3u8"), "#EXT-X-I-FRAME-STREAM-INF", "#", "H10"),
        (directory.join("master.m3u8"), ",FRAME-RATE=", ",X-RATE=", "H17"),
        (directory.join("master.m3u8"), "avc1.", "avc3.", "H17"),
        (directory.join("master.m3u8"), ":BANDWIDTH=", ":BANDWIDTH=9", "H5"),
        (rung.join("media.m3u8"), "#EXT-X-ENDLIST\n", "", "H14"),
        (rung.join("media.m3u8"), "#EXTINF:3", "#EXTINF:2", "H13"),
        (rung.join("media.m3u8"), "#EXT-X-TARGETDURATION:3", "#EXT-X-TARGETDURATION:2", "H12"),
        (rung.join("iframes.m3u8"), "@0", "@8", "H10"),
        (directory.join("manifest.mpd"), "\"static\"", "\"dynamic\"", "D1"),
        (directory.join("manifest.mpd"), "startWithSAP=\"1\"", "", "D3"),
    ];
    for (path, from, to, rule) in changes {
        let right = std::fs::read_to_string(&path).expect("a text");
        assert!(right.contains(from), "{from} in {right}");
        std::fs::write(&path, right.replace(from, to)).expect("it is ours");
        let findings = judged(&server, &video);
        let named = format!("\"rule\": \"{rule}\"");
        assert!(findings.iter().any(|it| it.contains(&named)), "{from} to {to}: {findings:#?}");
        std::fs::write(&path, right).expect("it is ours");
    }
}

/// Finds the directory of a name, two levels down.
pub fn walk_for(directory: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let shards = std::fs::read_dir(directory).ok()?.flatten();
    shards.map(|shard| shard.path().join(name)).find(|path| path.is_dir())
}
