//! Pictures of a film as a browser finds them: poster, stills, seek bar, preview.

use crate::harness::{Answer, Server, media};
use serde_json::Value;

/// Fetches a picture that everybody may see.
fn fetch(server: &Server, url: &str, media_type: &str) -> Answer {
    let answer = server.send_as_anyone("GET", url, &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, media_type), "{url}");
    assert!(answer.header("cache-control").starts_with("public, max-age="), "{url}");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; sandbox");
    answer
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn stage(video: &Value, name: &str) -> String {
    let stages = video["processing"]["stages"].as_array().expect("stages");
    let stage = stages.iter().find(|stage| stage["name"] == name).expect(name);
    text(stage, "state").to_owned()
}

/// Everything that the video's JSON promises is there, of its kind and of its size; the stage is
/// done, and a retry makes none of it anew.
#[test]
fn all_pictures_are_served() {
    let server = Server::start();
    let id = server.upload(&media("moov-last.mp4"));
    let video = server.settled(&id);
    assert_eq!((text(&video, "state"), stage(&video, "storyboard").as_str()), ("ready", "done"));
    let playback = &video["playback"];
    fetch(&server, text(playback, "poster"), "image/jpeg");
    let webp = text(playback, "poster").replace(".jpg", ".webp");
    assert_eq!(&fetch(&server, &webp, "image/webp").body[8..12], b"WEBP");
    let preview = fetch(&server, text(playback, "preview"), "image/webp");
    assert!(preview.body.windows(4).any(|four| four == b"ANIM"));

    let vtt_url = text(playback, "storyboard");
    let vtt = fetch(&server, vtt_url, "text/vtt; charset=utf-8").text();
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n"), "{vtt}");
    assert!(vtt.contains("--> 00:00:08.000\nstoryboard-1.jpg#xywh=1120,0,160,90\n"), "{vtt}");
    let sheet = vtt_url.replace("storyboard.vtt", "storyboard-1.jpg");
    let sheet = fetch(&server, &sheet, "image/jpeg");
    let sheet = image::load_from_memory(&sheet.body).expect("a JPEG");
    assert_eq!((sheet.width(), sheet.height()), (1600, 90));

    let listed = server.json(&format!("/api/videos/{id}/thumbnails"));
    let items = listed["items"].as_array().expect("items");
    assert_eq!(items.len(), 9, "the poster and eight stills: {listed}");
    assert!(items[0]["time"].is_null());
    let mut before = -1.0;
    for item in items {
        let picture = fetch(&server, text(item, "url"), "image/jpeg");
        let picture = image::load_from_memory(&picture.body).expect("a JPEG");
        assert_eq!(item["width"], picture.width());
        assert_eq!(item["height"], picture.height());
        let time = item["time"].as_f64().unwrap_or(-0.5);
        assert!(time > before && time < 8.0, "{listed}");
        before = time;
    }
    let seen = server.json(&format!("/api/videos/{id}/preview"));
    assert_eq!(seen["thumbnails"].as_array().map(Vec::len), Some(8));
    assert_eq!(seen["storyboard"], playback["storyboard"]);
    for missing in ["thumb-9.jpg", "thumb-0.jpg", "storyboard-2.jpg", "thumb-1.jpg.tmp"] {
        let answer = server.send_as_anyone("GET", &format!("/media/{id}/{missing}"), &[], b"");
        assert_eq!(answer.status, 404, "{missing}");
    }

    let tag = |url: &str| server.send("GET", url, &[], b"").header("etag").to_owned();
    let tags = [tag(vtt_url), tag(text(playback, "preview")), tag(text(playback, "poster"))];
    let retry = server.send("POST", &format!("/api/videos/{id}/retry-processing"), &[], b"");
    assert_eq!(retry.status, 200, "{}", retry.text());
    let again = server.settled(&id);
    assert_eq!(again["playback"], video["playback"]);
    let now = [tag(vtt_url), tag(text(playback, "preview")), tag(text(playback, "poster"))];
    assert_eq!(tags, now);
}

/// A lost database costs no picture.
#[test]
fn pictures_survive_the_database() {
    let mut server = Server::start();
    let id = server.upload(&media("silent.mp4"));
    let before = server.settled(&id);
    server.terminate();
    std::fs::rename(server.data.join("state"), server.data.join("state-gone")).expect("it is ours");
    server.restart();
    server.token = std::fs::read_to_string(server.data.join("admin-token")).expect("a token");
    server.token = server.token.trim().to_owned();
    let after = server.settled(&id);
    for key in ["poster", "storyboard", "preview"] {
        assert_eq!(text(&after["playback"], key), text(&before["playback"], key));
    }
    let thumbnails = |it: &Server| it.json(&format!("/api/videos/{id}/thumbnails"));
    let items = thumbnails(&server)["items"].clone();
    assert_eq!(items.as_array().map(Vec::len), Some(7));
    // What comes back without its record is private.
    assert_eq!(server.send("GET", text(&items[6], "url"), &[], b"").status, 200);
}
