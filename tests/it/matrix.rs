//! The matrix: every film of `films` goes through a server, and what comes out is what its row
//! says, by its colours, its flash and its beep, and by an independent reader of the rules.

mod stills;

use crate::films::{self, Expect, Film, Make, Packets};
use crate::harness::{Server, media, sha256};
use crate::playback::judged;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use stills::wrong_pictures;

/// All rows.
fn all() -> Vec<Film> {
    let groups = [films::containers, films::sounds, films::shapes, films::colors, films::times];
    let groups = groups.into_iter().chain([
        films::interlaced,
        films::lengths,
        films::own_sound,
        films::tracks,
        films::whole,
        films::cut,
        films::material,
    ]);
    groups.flat_map(|group| group()).collect()
}

/// Returns the path of a film of the matrix, which is made now unless an earlier run made it.
pub fn film(name: &str) -> PathBuf {
    let row = all().into_iter().find(|film| film.name == name);
    made(&row.unwrap_or_else(|| panic!("{name} is no film of the matrix")))
}

/// Returns the path of a film that this command makes, now unless an earlier run made it.
pub fn film_of(name: &'static str, words: &str) -> PathBuf {
    made(&Film { name, make: Make::Command(words.to_owned()), expect: films::PLAIN })
}

/// Returns a film's path. What a command makes is kept under a name that changes with its words.
fn made(film: &Film) -> PathBuf {
    let directory = media("matrix");
    fs::create_dir_all(&directory).expect("a directory");
    let (words, bytes) = match &film.make {
        Make::Command(words) => (with_films(words), None),
        Make::From(other, change) => {
            let source = fs::read(self::film(other)).expect("it was just made");
            (String::new(), Some(change(source)))
        }
    };
    let mark = sha256(bytes.as_deref().unwrap_or(words.as_bytes()));
    let path = directory.join(format!("{}-{}", &mark[..8], film.name));
    if path.exists() {
        return path;
    }
    // Another test may make the same film at the same time; either one's is right.
    let half = directory.join(format!("{}.{}", film.name, std::process::id()));
    match bytes {
        Some(bytes) => fs::write(&half, bytes).expect("written"),
        None => {
            let ending = film.name.rsplit_once('.').map_or("", |(_, ending)| ending);
            let half_named = half.with_extension(format!("part.{ending}"));
            let done = Command::new("ffmpeg")
                .args(["-hide_banner", "-v", "error", "-nostdin", "-y", "-threads", "1"])
                .args(words.split_whitespace())
                .arg(&half_named)
                .output()
                .expect("ffmpeg is installed");
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{}: {said}\n{words}", film.name);
            fs::rename(&half_named, &half).expect("it is ours");
        }
    }
    fs::rename(&half, &path).expect("it is ours");
    path
}

/// Puts the paths of other films into a command.
fn with_films(words: &str) -> String {
    match (words.find('{'), words.find('}')) {
        (Some(begin), Some(end)) => {
            let other = film(&words[begin + 1..end]);
            format!("{}{}{}", &words[..begin], other.display(), &words[end + 1..])
        }
        _ => words.to_owned(),
    }
}

/// A server that makes short segments, so that short films have several.
fn server(segment_seconds: &str) -> Server {
    Server::with(&[
        ("SLIPWAY_MEDIA__PRESET", "ultrafast"),
        ("SLIPWAY_MEDIA__SEGMENT_SECONDS", segment_seconds),
        ("SLIPWAY_MEDIA__WORKERS", "2"),
        ("SLIPWAY_LOG", "warn"),
    ])
}

/// Uploads all films, then looks at what came of each; tells everything that isn't as it should
/// be.
fn check(films: Vec<Film>, segment_seconds: &str) {
    let server = server(segment_seconds);
    let only = std::env::var("SLIPWAY_TEST_FILM").unwrap_or_default();
    let films: Vec<Film> = films.into_iter().filter(|film| film.name.contains(&only)).collect();
    let videos: Vec<String> = films.iter().map(|film| server.upload(&made(film))).collect();
    let mut wrong = Vec::new();
    for (film, video) in films.iter().zip(&videos) {
        let it = server.settled(video);
        let found = compare(&server, &film.expect, &it);
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", film.name)));
    }
    assert!(wrong.is_empty(), "{} of {} films:\n{}", wrong.len(), films.len(), wrong.join("\n"));
}

/// Returns everything in which a settled video differs from what is expected.
fn compare(server: &Server, expect: &Expect, it: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, is: String, should: String| {
        if is != should {
            wrong.push(format!("{what} is {is}, not {should}"));
        }
    };
    let state = it["state"].as_str().unwrap_or_default();
    let end = if state == "failed" { it["error"]["code"].as_str() } else { Some(state) };
    same("the end", end.unwrap_or_default().to_owned(), expect.end.to_owned());
    if state != "ready" || expect.end != "ready" {
        if state == "failed" && expect.end == "ready" {
            wrong.push(it["error"].to_string());
        }
        return wrong;
    }
    let source = &it["source"];
    let kind = if expect.size.is_some() { "video" } else { "audio" };
    same("the kind", it["kind"].as_str().unwrap_or_default().to_owned(), kind.to_owned());
    let number = |key: &str| source[key].as_u64().unwrap_or_default();
    let size = expect.size.unwrap_or_default();
    same("the size", format!("{:?}", (number("width"), number("height"))), format!("{size:?}"));
    same("the rotation", number("rotation").to_string(), expect.rotation.to_string());
    let warnings: Vec<&str> = it["warnings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|w| w["code"].as_str())
        .collect();
    same("warnings", format!("{warnings:?}"), format!("{:?}", expect.warnings));
    let seconds = source["duration"].as_f64().unwrap_or_default();
    if (seconds - expect.seconds).abs() > expect.within {
        wrong.push(format!("it lasts {seconds} s, not {}", expect.seconds));
    }
    let manifest = manifest(server, it["id"].as_str().unwrap_or_default());
    let rungs = manifest["rungs"].as_array().cloned().unwrap_or_default();
    let rates = rungs.iter().filter_map(|rung| rung["plan"]["frame_rate"].as_f64());
    let rate = rates.fold(0.0, f64::max);
    if expect.rate > 0.0 && (rate / expect.rate - 1.0).abs() > 0.02 {
        wrong.push(format!("{rate} pictures a second, not {}", expect.rate));
    }
    let is_copied =
        |rung: &Value| rung["plan"]["copied"] == true && rung["plan"]["kind"] == "video";
    let copied = rungs.iter().any(is_copied);
    if copied != expect.copied {
        wrong.push(format!("copied is {copied}"));
    }
    if expect.packets.is_some_and(|wanted| wanted != packets(&manifest)) {
        wrong.push(format!("packets of sound are {:?}", packets(&manifest)));
    }
    let sounds = rungs.iter().any(|rung| rung["plan"]["kind"] == "audio");
    if sounds != expect.sound {
        wrong.push(format!("sound is {sounds}"));
    }
    // A day has thousands of segments; that they are there is what this is about.
    if expect.seconds < 3600.0 {
        wrong.extend(seen(server, expect, it));
        wrong.extend(wrong_pictures(server, expect, it));
        let findings = judged(server, it);
        wrong.extend(findings.into_iter().filter(|it| it.contains("\"MUST\"")));
    }
    let lasts = |rung: &Value| -> f64 {
        let ticks: u64 = rung["segments"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|segment| segment["ticks"].as_u64())
            .sum();
        ticks as f64 / rung["timescale"].as_f64().unwrap_or(1.0)
    };
    let longest = rungs.iter().map(lasts).fold(0.0, f64::max);
    if (longest - expect.seconds).abs() > expect.within.max(0.45) {
        wrong.push(format!("{longest} s of it are there, not {}", expect.seconds));
    }
    if warnings.contains(&"truncated-source") && (longest - seconds).abs() > 0.001 {
        wrong.push(format!("it is told to last {seconds} s, and {longest} are there"));
    }
    wrong
}

/// Says what has become of the packets of the sound.
fn packets(manifest: &Value) -> Packets {
    let rungs = manifest["rungs"].as_array().into_iter().flatten();
    let mut sounds = rungs.filter(|rung| rung["plan"]["kind"] == "audio");
    if sounds.any(|rung| rung["plan"]["copied"] == true) {
        Packets::Taken
    } else if manifest["sounds_unfit"].is_array() {
        Packets::GivenUp
    } else {
        Packets::Encoded
    }
}

/// Reads the manifest of a published video.
fn manifest(server: &Server, id: &str) -> Value {
    let shards = fs::read_dir(server.data.join("media")).expect("media").flatten();
    let path = shards.map(|shard| shard.path().join(id)).find(|path| path.is_dir());
    let path = path.unwrap_or_else(|| panic!("{id} is published"));
    serde_json::from_slice(&fs::read(path.join("manifest.json")).expect("a manifest"))
        .expect("JSON")
}

/// Samples of sound in a second that are looked at.
const SAMPLES: f64 = 8000.0;
/// Pictures in a second that are looked at.
const LOOKS: f64 = 200.0;

/// Plays a video whole, as FFmpeg's own player would, and returns what is wrong with what is seen
/// and heard.
fn seen(server: &Server, expect: &Expect, it: &Value) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let url = format!("{}{}", server.address, it["playback"]["hls"].as_str().unwrap_or_default());
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-threads", "1", "-i", &url]);
    if expect.size.is_some() {
        let quarters = "format=rgb24,scale=2:2:flags=area";
        command.args(["-map", "0:v:0", "-vf", quarters, "-frames:v", "1", "-f", "rawvideo"]);
        command.arg(file("quarters"));
        let light = format!("scale=1:1:flags=area,format=gray,fps={LOOKS}");
        command.args(["-map", "0:v:0", "-vf", &light, "-f", "rawvideo"]).arg(file("light"));
    }
    if expect.sound {
        command.args(["-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s8"]).arg(file("noise"));
    }
    let done = command.output().expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if !done.status.success() || !said.is_empty() {
        return vec![format!("FFmpeg doesn't play it: {said}")];
    }
    let read = |name: &str| fs::read(file(name)).unwrap_or_default();
    let mut wrong = Vec::new();
    if expect.size.is_some() {
        wrong.extend(wrong_quarters(&read("quarters"), expect));
    }
    let Some(flash) = expect.flash else { return wrong };
    let flashes = read("light").iter().position(|&light| light > 200).map(|at| at as f64 / LOOKS);
    let loud = |&level: &u8| level.cast_signed().unsigned_abs() > 12;
    let beeps = read("noise").iter().position(loud).map(|at| at as f64 / SAMPLES);
    let near = |at: Option<f64>, within: f64| at.is_some_and(|at| (at - flash).abs() <= within);
    if expect.size.is_some() && !near(flashes, 0.045) {
        wrong.push(format!("it flashes at {flashes:?}, not {flash}"));
    }
    if expect.sound && !near(beeps, 0.045) {
        wrong.push(format!("it beeps at {beeps:?}, not {flash}"));
    }
    wrong
}

/// Compares the colours of the four quarters with those expected.
fn wrong_quarters(pixels: &[u8], expect: &Expect) -> Option<String> {
    let color = |letter: char| match letter {
        'r' => [0xc0, 0x30, 0x30],
        'g' => [0x30, 0xa0, 0x30],
        'b' => [0x30, 0x30, 0xc0],
        _ => [0xc0, 0xc0, 0xc0],
    };
    let should: Vec<i32> = expect.quarters.chars().flat_map(color).collect();
    let is: Vec<i32> = pixels.iter().map(|&it| i32::from(it)).collect();
    let far = |(a, b): (&i32, &i32)| (a - b).abs() > expect.shade;
    (is.len() != should.len() || is.iter().zip(&should).any(far))
        .then(|| format!("the quarters are {is:?}, not {should:?}"))
}

/// What is in every container with its usual codecs plays.
#[test]
fn containers_and_codecs() {
    check(films::containers(), "1");
}

/// Sound alone plays, in every format.
#[test]
fn sound_alone() {
    check(films::sounds(), "1");
}

/// However the camera was held and whatever shape its pixels have, the picture stands.
#[test]
fn shapes_and_turns() {
    check(films::shapes(), "1");
}

/// Of fields whole pictures are made.
#[test]
fn fields() {
    check(films::interlaced(), "1");
}

/// Colours are those that were filmed, from every depth, range and curve.
#[test]
fn colors() {
    check(films::colors(), "1");
}

/// Pictures and sound stay together, however they lie in time.
#[test]
fn times() {
    check(films::times(), "1");
}

/// A picture every half minute, for a day.
#[test]
fn lengths() {
    check(films::lengths(), "10");
}

/// Sound whose packets fit is taken as it is; where they only seem to, it sounds the same.
#[test]
fn own_sound() {
    check(films::own_sound(), "1");
}

/// Further tracks do no harm.
#[test]
fn tracks() {
    check(films::tracks(), "1");
}

/// A film that ends early plays as far as it goes, and says so.
#[test]
fn ends_early() {
    check(films::cut(), "1");
}
