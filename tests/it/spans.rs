//! Films whose pictures several children make at once: what is published is what one child makes,
//! whatever happens meanwhile.

use crate::crash::{kill_9, workers_of};
use crate::films::first;
use crate::harness::{Server, media, wait_for};
use crate::live::{assert_right, playlists, sums};
use crate::matrix::film_of;
use crate::playback::walk_for;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A server that works on finished uploads, one film at a time, with so many children.
fn server(spans: &str, ladder: &str) -> Server {
    Server::with(&[
        ("SLIPWAY_MEDIA__SPANS", spans),
        ("SLIPWAY_MEDIA__LADDER", ladder),
        ("SLIPWAY_MEDIA__LIVE_WORKERS", "0"),
        ("SLIPWAY_MEDIA__WORKERS", "1"),
    ])
}

const ENCODED: &str = "[180, 144]";

/// Where a video's segments and playlists are.
fn published(server: &Server, video: &str) -> std::path::PathBuf {
    walk_for(&server.data.join("media"), video).expect("published")
}

/// The playlists of a video's rungs, by their names without the generation, and without sizes,
/// which no two encodings share.
fn lists(server: &Server, video: &str) -> BTreeMap<String, String> {
    let lists = playlists(&published(server, video)).into_iter();
    let name = |rung: String| rung.rsplit_once('-').map_or(rung.clone(), |it| it.0.to_owned());
    let words = |list: String| {
        let lines = list.lines().filter(|line| !line.starts_with("#EXT-X-BITRATE"));
        lines.collect::<Vec<_>>().join("\n")
    };
    lists.map(|(rung, list)| (name(rung), words(list))).collect()
}

/// Has a film made by one child, and returns its playlists and the sums of its sound.
fn by_one(film: &Path, ladder: &str) -> (BTreeMap<String, String>, Vec<String>, Value) {
    let server = server("1", ladder);
    let video = server.upload(film);
    let it = assert_ready(&server, &video);
    (lists(&server, &video), sums(&server, &video, "audio-1"), it)
}

fn assert_ready(server: &Server, video: &str) -> Value {
    let it = server.settled(video);
    assert_eq!(it["state"], "ready", "{it}");
    it
}

/// Waits until so many children of the server work.
fn at_work(server: &Server, count: usize) -> Vec<u32> {
    wait_for("several children", || {
        let workers = workers_of(server.pid());
        (workers.len() >= count).then_some(workers)
    })
}

/// Segments that can be played of each rung of pictures, as the manifest has it.
fn made(server: &Server, video: &str) -> BTreeMap<String, usize> {
    let Some(media) = walk_for(&server.data.join("media"), video) else { return BTreeMap::new() };
    let Ok(bytes) = fs::read(media.join("manifest.json")) else { return BTreeMap::new() };
    let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
    let rungs = manifest["rungs"].as_array().expect("rungs").iter();
    let rungs = rungs.filter(|rung| rung["plan"]["kind"] == "video");
    let name = |rung: &Value| rung["plan"]["name"].as_str().expect("a name").to_owned();
    rungs.map(|rung| (name(rung), rung["segments"].as_array().expect("some").len())).collect()
}

/// Three children encode a film at once beside the first, and what comes of it is what one makes:
/// by the strict rules, as long, cut at the same places, with the same sound; nobody can tell that
/// it was made in spans but by the work.
#[test]
fn a_film_in_spans_is_one_film() {
    let film = media("spans.mp4");
    let (expect, sound, _) = by_one(&film, ENCODED);
    let server = server("3", ENCODED);
    let video = server.upload(&film);
    at_work(&server, 3);
    let it = assert_right(&server, &video);
    assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "{it}");
    assert_eq!(lists(&server, &video), expect);
    assert_eq!(sums(&server, &video, "audio-1"), sound, "sound isn't cut");
    assert!(!server.data.join("work").read_dir().expect("it is there").flatten().any(|_| true));
}

/// Rungs that are encoded beside a copy are cut where it is, and may be made in spans as well.
#[test]
fn spans_beside_a_copy() {
    let film = media("spans-near.mp4");
    let (expect, sound, _) = by_one(&film, "[240, 144]");
    let server = server("3", "[240, 144]");
    let video = server.upload(&film);
    at_work(&server, 2);
    assert_right(&server, &video);
    assert_eq!(lists(&server, &video), expect);
    assert_eq!(sums(&server, &video, "audio-1"), sound);
}

/// A film with a high dynamic range is toned down alike in every span: each picture looks as it
/// does where one child makes them all.
#[test]
fn spans_of_high_dynamic_range() {
    let film = "-f lavfi -i testsrc2=size=426x240:rate=25:duration=92 \
                -f lavfi -i sine=frequency=440:duration=92 -c:v libx265 -preset ultrafast \
                -x265-params log-level=error:pools=1:keyint=250:colorprim=bt2020:\
transfer=arib-std-b67:colormatrix=bt2020nc -pix_fmt yuv420p10le -color_primaries bt2020 \
                -color_trc arib-std-b67 -colorspace bt2020nc -tag:v hvc1 -c:a aac \
                -movflags +faststart";
    let film = film_of("spans-hlg.mp4", film);
    let looks = |spans: &str| {
        let server = server(spans, "[144]");
        let video = server.upload(&film);
        if spans != "1" {
            at_work(&server, 2);
        }
        let it = assert_right(&server, &video);
        assert_eq!(it["source"]["videoCodec"], "hevc", "{it}");
        (lists(&server, &video), looks_of(&published(&server, &video).join("144p-1")))
    };
    let ((lists, one), (lists_in_spans, in_spans)) = (looks("1"), looks("3"));
    assert_eq!((one.len(), &lists), (92 * 25 * LOOK, &lists_in_spans));
    assert_eq!(in_spans.len(), one.len());
    let worst = one.iter().zip(&in_spans).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst < Some(12), "what encoding twice differs by, and no more: {worst:?}");
}

/// Bytes of one picture of [`looks_of`].
const LOOK: usize = 8 * 6 * 3;

/// All pictures of a rung, each as a few large dots.
fn looks_of(rung: &Path) -> Vec<u8> {
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(rung.join("media.m3u8"));
    let dots = "scale=8:6:flags=area,format=rgb24";
    command.args(["-vf", dots, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]);
    let output = command.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Killed children and a killed server, while spans are made: what was published stays under its
/// addresses, the work goes on behind it, and the film is the same in the end.
#[test]
fn spans_survive_kill_9() {
    let film = media("spans.mp4");
    let (expect, sound, _) = by_one(&film, ENCODED);
    let mut server = server("3", ENCODED);
    let video = server.upload(&film);
    let mut before = BTreeMap::new();
    for round in 0..2 {
        let workers = wait_for("spans under way, and something made", || {
            let workers = workers_of(server.pid());
            let now = made(&server, &video);
            let is_more = now.values().sum::<usize>() > before.values().sum::<usize>();
            let is_more = is_more && now.len() == 2 && now.values().all(|made| *made > 0);
            (workers.len() > 1 && is_more).then_some(workers)
        });
        if round == 0 {
            // The last one that was started has the latest span.
            kill_9(*workers.iter().max().expect("one at least"));
        } else {
            server.kill();
            server.restart();
        }
        let now = made(&server, &video);
        for (rung, segments) in &before {
            assert!(now.get(rung).is_some_and(|now| now >= segments), "{rung}: {before:?} {now:?}");
        }
        before = now;
    }
    let it = assert_right(&server, &video);
    assert_eq!(it["state"], "ready", "{it}");
    assert_eq!(lists(&server, &video), expect);
    let rungs: Vec<String> = playlists(&published(&server, &video)).into_keys().collect();
    assert!(rungs.iter().all(|rung| rung.ends_with("-1")), "gone on with: {rungs:?}");
    assert_eq!(sums(&server, &video, "audio-1"), sound);
}

/// A film that is deleted takes all its children with it, within a second.
#[test]
fn all_children_go_with_their_film() {
    let server = server("3", ENCODED);
    let video = server.upload(&media("spans.mp4"));
    at_work(&server, 3);
    let asked = std::time::Instant::now();
    assert_eq!(server.send("DELETE", &format!("/api/videos/{video}"), &[], b"").status, 204);
    wait_for("the children to go", || workers_of(server.pid()).is_empty().then_some(()));
    assert!(asked.elapsed().as_secs() < 10, "far more than it takes on a busy machine");
}

/// A film that stands still where a span would begin is made by one child after all, and no attempt
/// is lost over it; one that ends long before what it says is told of as always.
#[test]
fn odd_films_are_as_ever() {
    let folder = tempfile::tempdir().expect("a directory");
    let cut = folder.path().join("cut.mp4");
    fs::write(&cut, first(fs::read(media("spans.mp4")).expect("made"), 60)).expect("written");
    for (film, is_unfit) in [(media("stands.mp4"), true), (cut, false)] {
        let (expect, sound, one) = by_one(&film, "[144]");
        let server = server("3", "[144]");
        let video = server.upload(&film);
        let it = assert_ready(&server, &video);
        assert_eq!(it["attempts"].as_u64().unwrap_or(1), 1, "{it}");
        assert_eq!(lists(&server, &video), expect);
        assert_eq!(sums(&server, &video, "audio-1"), sound);
        assert_eq!(it["warnings"], one["warnings"], "{it}");
        let manifest = fs::read(published(&server, &video).join("manifest.json")).expect("it");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        assert_eq!(manifest["spans_unfit"] == true, is_unfit, "{}", film.display());
    }
}
