//! Text tracks and chapters: those that a film holds, and those that people add.

use crate::harness::{Server, media, wait_for};
use crate::playback;
use serde_json::{Value, json};

const SRT: &[u8] = b"\xef\xbb\xbf1\r\n00:00:01,000 --> 00:00:02,500\r\nHello & <b>you</b>\r\n";
const VTT: &str = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello &amp; <b>you</b>\n\n";

fn get(server: &Server, path: &str) -> String {
    let answer = server.send_as_anyone("GET", path, &[], b"");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}

fn put(server: &Server, id: &str, lang: &str, body: &[u8]) -> Value {
    let answer = server.send("PUT", &format!("/api/videos/{id}/captions/{lang}"), &[], body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Name and language of every text track that the HLS playlist has, and its own playlist's lines.
fn listed(server: &Server, id: &str) -> Vec<(String, Vec<String>)> {
    let master = get(server, &format!("/media/{id}/master.m3u8"));
    let parsed = m3u8_rs::parse_master_playlist_res(master.as_bytes()).expect("a playlist");
    let texts = parsed
        .alternatives
        .iter()
        .filter(|it| it.media_type == m3u8_rs::AlternativeMediaType::Subtitles);
    texts
        .map(|it| {
            let uri = it.uri.as_deref().expect("an address");
            let list = get(server, &format!("/media/{id}/{uri}"));
            let dir = uri.trim_end_matches("media.m3u8");
            let files = list.lines().filter(|line| line.ends_with(".vtt"));
            let words =
                files.map(|file| get(server, &format!("/media/{id}/{dir}{file}"))).collect();
            (it.name.clone(), words)
        })
        .collect()
}

/// A film's own text tracks are published in HLS, in DASH, whole and in the video's description,
/// its chapters too, by the rules of an independent reader.
#[test]
fn a_films_own_text_is_published() {
    let server = Server::start();
    let it = playback::check(&server, "texts.mkv", 8.0, (640, 360), true);
    let id = it["id"].as_str().expect("an id");
    let url = |name: &str| format!("/media/{id}/captions/{name}.vtt");
    let expect = json!([
        {"lang": "de", "label": "Deutsch \"neu\"", "kind": "subtitles", "url": url("de")},
        {"lang": "en", "label": "English", "kind": "captions", "url": url("en_captions")},
        {"lang": "en", "label": "English", "kind": "forced", "url": url("en_forced")},
    ]);
    assert_eq!(it["playback"]["captions"], expect);
    let whole = get(&server, &url("de"));
    assert!(whole.starts_with("WEBVTT\n\n00:00:00.5") && whole.contains("Grüße &amp;"), "{whole}");
    let listed = listed(&server, id);
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Deutsch neu", "English", "English (en_forced)"]);
    // The second cue lies across the end of the first six seconds.
    let words = &listed[0].1;
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words.iter().all(|it| it.contains("zwei\nZeilen")), "{words:?}");
    assert!(words[0].contains("Grüße") && !words[1].contains("Grüße"), "{words:?}");
    let mpd = get(&server, &format!("/media/{id}/manifest.mpd"));
    assert_eq!(mpd.matches("mimeType=\"text/vtt\"").count(), 3, "{mpd}");

    let chapters = &it["playback"]["chapters"];
    assert_eq!(chapters["items"][1]["title"], "Zweiter Teil", "{it}");
    let text = get(&server, chapters["url"].as_str().expect("an address"));
    assert!(text.contains("First &lt;part&gt;"), "{text}");
    let stages = it["processing"]["stages"].as_array().expect("stages");
    let captions = stages.iter().find(|stage| stage["name"] == "captions").expect("a stage");
    assert_eq!(captions["state"], "done");
    let warning = it["warnings"][0]["detail"].as_str().unwrap_or_default();
    assert!(warning.contains("5 (fr, hdmv_pgs_subtitle)"), "{it}");
}

/// What somebody adds goes before the film's own of that language and kind, stays over another
/// run of the work and over the loss of the database, and gives way again when it's removed.
#[test]
fn added_text_stays_until_it_is_removed() {
    let mut server = Server::start();
    let id = server.upload(&media("texts.mkv"));
    server.settled(&id);
    let added = put(&server, &id, "DE?label=Mine", SRT);
    let url = format!("/media/{id}/captions/de.vtt");
    assert_eq!(added, json!({"lang": "de", "label": "Mine", "kind": "subtitles", "url": url}));
    put(&server, &id, "pt-br?kind=captions", VTT.as_bytes());
    let check = |server: &Server, when: &str| {
        assert_eq!(get(server, &url), VTT, "{when}");
        let listed = listed(server, &id);
        let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Mine", "Português (BR)", "English", "English (en_forced)"], "{when}");
        assert!(listed[0].1[0].contains("Hello &amp; <b>you</b>"), "{when}: {listed:?}");
    };
    check(&server, "at once");
    let answer = server.send("GET", &format!("/api/videos/{id}/captions/de"), &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, VTT));

    let again = format!("/api/videos/{id}/retry-processing");
    assert_eq!(server.send("POST", &again, &[], b"").status, 200);
    server.settled(&id);
    check(&server, "after another run");

    server.kill();
    std::fs::remove_dir_all(server.data.join("state")).expect("the database was there");
    server.restart();
    let it = server.settled(&id);
    // What such a start brings back is private until its owner has looked.
    let json = [("Content-Type", "application/json")];
    let open =
        server.send("PATCH", &format!("/api/videos/{id}"), &json, br#"{"visibility":"unlisted"}"#);
    assert_eq!(open.status, 200);
    check(&server, "without its database");
    assert_eq!(it["playback"]["captions"].as_array().map(Vec::len), Some(4), "{it}");
    assert_eq!(it["playback"]["chapters"]["items"].as_array().map(Vec::len), Some(2), "{it}");

    let one = format!("/api/videos/{id}/captions/de");
    assert_eq!(server.send("DELETE", &one, &[], b"").status, 204);
    assert!(get(&server, &url).contains("Grüße"), "the film's own is shown again");
    server.send("DELETE", &one, &[], b"").assert_problem(404, "not-found");
    let names: Vec<String> = listed(&server, &id).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Português (BR)", "Deutsch neu", "English", "English (en_forced)"]);
    assert_eq!(server.send("DELETE", &format!("/api/videos/{id}"), &[], b"").status, 204);
    assert_ne!(server.send("GET", &url, &[], b"").status, 200);
}

/// Text that comes before the work on the film has begun is published with its first quality; the
/// list of what is there never gets shorter by it.
#[test]
fn text_may_come_before_the_work() {
    let mut server = Server::with(&[("SLIPWAY_MEDIA__WORKERS", "0")]);
    let id = server.upload(&media("moov-last.mp4"));
    put(&server, &id, "en", SRT);
    let it = server.json(&format!("/api/videos/{id}"));
    assert_eq!(it["state"], "queued");
    assert_eq!(it["playback"]["captions"][0]["lang"], "en", "{it}");
    server.set("SLIPWAY_MEDIA__WORKERS", "1");
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    let playable = wait_for("something to play", || {
        let it = server.json(&format!("/api/videos/{id}"));
        (it["playable"] == true).then_some(it)
    });
    assert_eq!(listed(&server, &id)[0].0, "English", "{playable}");
    put(&server, &id, "de", SRT);
    assert_eq!(server.settled(&id)["state"], "ready");
    let names: Vec<String> = listed(&server, &id).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["English", "Deutsch"]);
}

/// What can't be shown, isn't addressed rightly or is too much gets a sentence and changes nothing;
/// strangers don't even learn that the video is there.
#[test]
fn bad_text_is_refused() {
    let server = Server::start();
    let id = server.upload(&media("silent.mp4"));
    server.settled(&id);
    let at = |lang: &str| format!("/api/videos/{id}/captions/{lang}");
    let send = |lang: &str, body: &[u8]| server.send("PUT", &at(lang), &[], body);
    for body in [&b"\xff\xfeh\0i\0"[..], b"Dear diary", b"WEBVTT\n\n", b""] {
        send("en", body).assert_problem(422, "invalid-text");
    }
    let long = vec![b'x'; (4 << 20) + 1];
    send("en", &long).assert_problem(413, "body-too-large");
    for lang in ["e", "..", "en_us", "en%2f..", "x%22", "en?kind=songs", "en?label=%07"] {
        let answer = send(lang, SRT);
        assert!(matches!(answer.status, 400 | 404), "{lang}: {}", answer.text());
    }
    assert_eq!(server.json(&format!("/api/videos/{id}"))["playback"]["captions"], json!([]));
    for number in 0..16 {
        put(&server, &id, &format!("en-x-{number}"), SRT);
    }
    send("en-x-16", SRT).assert_problem(400, "invalid-request");
    put(&server, &id, "en-x-3", VTT.as_bytes());

    let stranger = format!("Bearer {}", server.token_of("uploader", &["--user", "bob"]));
    let headers = [("Authorization", stranger.as_str())];
    for (method, body) in [("PUT", SRT), ("GET", b"".as_slice()), ("DELETE", b"")] {
        let answer = server.send_as_anyone(method, &at("en-x-3"), &headers, body);
        answer.assert_problem(404, "not-found");
        assert_eq!(server.send_as_anyone(method, &at("en-x-3"), &[], body).status, 401);
    }
    let (_, unfinished) = server.create("film.mp4", 10);
    let early = server.send("PUT", &format!("/api/videos/{unfinished}/captions/en"), &[], SRT);
    early.assert_problem(409, "upload-unfinished");
}
