//! Pictures of a film as a browser finds them: poster, stills, seek bar, preview.

use crate::crash::workers_of;
use crate::harness::{Answer, Server, files_below, media, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Fetches a picture that everybody may see.
fn fetch(server: &Server, url: &str, media_type: &str) -> Answer {
    let answer = server.send_as_anyone("GET", url, &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, media_type), "{url}");
    assert!(answer.header("cache-control").starts_with("public, max-age="), "{url}");
    assert_eq!(
        answer.header("content-security-policy"),
        "default-src 'none'; frame-ancestors 'none'; sandbox"
    );
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
    server.lose_database();
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

/// Chooses a poster with the admin token.
fn choose(server: &Server, id: &str, media_type: &str, body: &[u8]) -> Answer {
    // As long as it takes: no result depends on speed.
    let headers = [("Content-Type", media_type), ("Prefer", "wait=60")];
    server.send("PUT", &format!("/api/videos/{id}/poster"), &headers, body)
}

/// A picture of one colour.
fn red(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([220, 10, 20]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encoded");
    bytes.into_inner()
}

fn is_red(server: &Server, url: &str) -> bool {
    let picture = image::load_from_memory(&server.send("GET", url, &[], b"").body).expect(url);
    picture.to_rgb8().pixels().all(|pixel| {
        let [red, green, blue] = pixel.0;
        red > 190 && green < 60 && blue < 60
    })
}

/// What a job was handed, and its scratch, go a moment after its answer.
fn nothing_is_left(server: &Server) {
    for left in ["tmp/handed", "work"] {
        let directory = server.data.join(left);
        wait_for("leftovers to go", || (files_below(&directory) == 0).then_some(()));
    }
}

/// A person's choice, of the film or of their own, is what is shown from then on: over a retry and
/// over a lost database too.
#[test]
fn a_chosen_poster_stays() {
    let mut server = Server::start();
    let id = server.upload(&media("moov-last.mp4"));
    let found = text(&server.settled(&id)["playback"], "poster").to_owned();
    let found = server.send("GET", &found, &[], b"").body;

    let chosen = choose(&server, &id, "application/json", br#"{"time":5.5}"#);
    assert_eq!(chosen.status, 200, "{}", chosen.text());
    let video = chosen.json();
    assert_eq!(video["posterChoice"]["state"], "set");
    assert_eq!(video["posterChoice"]["time"], 5.5);
    assert_eq!((text(&video, "state"), video["error"].is_null()), ("ready", true));
    let url = text(&video["playback"], "poster").to_owned();
    assert_eq!(url, format!("/media/{id}/poster.jpg?v=1"));
    assert_ne!(fetch(&server, &url, "image/jpeg").body, found);

    for (media_type, format, size) in [
        ("image/png", image::ImageFormat::Png, (2000, 1000)),
        ("image/webp", image::ImageFormat::WebP, (30, 60)),
        ("image/jpeg", image::ImageFormat::Jpeg, (300, 200)),
    ] {
        let chosen = choose(&server, &id, media_type, &red(size.0, size.1, format));
        assert_eq!(chosen.status, 200, "{media_type}: {}", chosen.text());
        let listed = server.json(&format!("/api/videos/{id}/thumbnails"))["items"][0].clone();
        let factor = 1280.0 / f64::from(size.0.max(1280));
        assert_eq!(listed["width"], f64::from(size.0) * factor, "{listed}");
        assert!(is_red(&server, text(&listed, "url")), "{media_type}");
    }
    let webp = server.send_as_anyone("GET", &format!("/media/{id}/poster.webp"), &[], b"");
    assert_eq!((webp.header("content-type"), &webp.body[8..12]), ("image/webp", &b"WEBP"[..]));

    let retry = server.send("POST", &format!("/api/videos/{id}/retry-processing"), &[], b"");
    assert_eq!(retry.status, 200, "{}", retry.text());
    let url = text(&server.settled(&id)["playback"], "poster").to_owned();
    assert!(url.ends_with("?v=4") && is_red(&server, &url), "{url}");
    nothing_is_left(&server);

    server.lose_database();
    let video = server.settled(&id);
    assert!(is_red(&server, text(&video["playback"], "poster")), "{video}");
    assert_eq!(video["posterChoice"]["state"], "set");
}

/// What can't be a poster is refused with its own code, and changes nothing.
#[test]
fn bad_choices_are_refused() {
    let server = Server::start();
    let id = server.upload(&media("moov-last.mp4"));
    let before = server.settled(&id);
    let jpeg = red(64, 48, image::ImageFormat::Jpeg);
    let mut huge = jpeg.clone();
    // The frame's height and width, behind its marker, length and bits.
    let frame = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
    huge[frame + 5..frame + 9].copy_from_slice(&[0x3e, 0x80, 0x3e, 0x80]);
    let moving = server.send("GET", text(&before["playback"], "preview"), &[], b"").body;
    let png = red(64, 48, image::ImageFormat::Png);
    let json = "application/json";
    for (media_type, body, status, code) in [
        (json, &br#"{"time":-1}"#[..], 400, "invalid-request"),
        (json, br#"{"time":"soon"}"#, 400, "invalid-request"),
        (json, br#"{"at":1}"#, 400, "invalid-request"),
        (json, br#"{"time":8.5}"#, 422, "time-out-of-range"),
        ("text/plain", b"1", 415, "unsupported-content-type"),
        ("image/gif", b"GIF89a", 415, "unsupported-content-type"),
        ("image/jpeg", b"this is a text called image.jpg", 415, "unsupported-media"),
        ("image/jpeg", b"", 400, "invalid-request"),
        ("image/webp", &moving, 415, "unsupported-media"),
        ("image/jpeg", &huge, 413, "too-large"),
        ("image/jpeg", &jpeg[..jpeg.len() - 40], 422, "damaged-media"),
        ("image/png", &png[..png.len() - 20], 422, "damaged-media"),
    ] {
        let answer = choose(&server, &id, media_type, body);
        let said = answer.text();
        assert_eq!(answer.status, status, "{media_type} {code}: {said}");
        answer.assert_problem(status, code);
    }
    let large = vec![0; (32 << 20) + 1];
    choose(&server, &id, "image/png", &large).assert_problem(413, "body-too-large");
    let after = server.json(&format!("/api/videos/{id}"));
    assert_eq!(after["playback"], before["playback"]);
    assert_eq!((text(&after, "state"), after["error"].is_null()), ("ready", true));
    assert_eq!(after["posterChoice"]["state"], "failed");
    assert_eq!(after["posterChoice"]["error"]["code"], "damaged-media");
    nothing_is_left(&server);

    let (_, unfinished) = server.create("a.mp4", 10);
    choose(&server, &unfinished, json, br#"{"time":1}"#).assert_problem(409, "upload-unfinished");
    let viewer = server.token_of("uploader", &[]);
    let authorization = format!("Bearer {viewer}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", json)];
    let path = format!("/api/videos/{id}/poster");
    let other = server.send_as_anyone("PUT", &path, &headers, br#"{"time":1}"#);
    other.assert_problem(404, "not-found");
}

/// A choice doesn't wait for a film that is being worked on, not even for its own: that one stands
/// still until the choice is made.
#[test]
fn choices_go_before_films() {
    let server = Server::with(&[("SLIPWAY_MEDIA__WORKERS", "1")]);
    let id = server.upload(&media("one-key-60s.mp4"));
    let film = wait_for("a worker", || workers_of(server.pid()).first().copied());
    let film = Pid::from_raw(film.cast_signed()).expect("a process");
    kill_process(film, Signal::STOP).expect("the film is being worked on");
    let chosen = choose(&server, &id, "image/png", &red(40, 40, image::ImageFormat::Png));
    assert_eq!(chosen.status, 200, "{}", chosen.text());
    let video = chosen.json();
    assert_eq!(text(&video["posterChoice"], "state"), "set", "{video}");
    assert!(matches!(text(&video, "state"), "processing" | "playable"), "{video}");
    kill_process(film, Signal::CONT).expect("the film has waited");
    assert!(is_red(&server, text(&video["playback"], "poster")));
    let deleted = server.send("DELETE", &format!("/api/videos/{id}"), &[], b"");
    assert_eq!(deleted.status, 204, "{}", deleted.text());
}
