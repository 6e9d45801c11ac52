//! What is made before the rest, so that a film can soon be played.

use super::resume::{Published, check_same, quick};
use super::*;
use crate::wire::Begun;

/// Says whether a first segment of all that a player needs was told of.
fn can_be_played(so_far: &Outcome, smallest: &str) -> bool {
    let has = |name: &str| so_far.made.get(name).is_some_and(|made| !made.segments.is_empty());
    let mut sounds = so_far.plan.iter().filter(|plan| plan.kind == RenditionKind::Audio);
    has(smallest) && sounds.all(|plan| has(&plan.name))
}

fn order_of(heights: [u32; 2], preset: &str) -> Order {
    let mut order = quick();
    order.encode.ladder_heights = Some(heights.to_vec());
    order.encode.preset = preset.to_owned();
    order
}

/// Works until the film can be played by its smaller rung, and says whether the larger one was
/// begun by then.
fn is_larger_begun(name: &str, [larger, smaller]: [u32; 2], mut order: Order) -> bool {
    let out = out_dir();
    let smaller = format!("{smaller}p");
    let outcome = run_until(&films().join(name), out.path(), &mut order, |so_far| {
        can_be_played(so_far, &smaller)
    });
    assert!(outcome.result.is_some_and(|result| result.is_err()), "{name} can be played");
    // Its directory is made for the first picture.
    out.path().join(format!("{larger}p")).exists()
}

/// The smallest rung and every sound have a segment before any other rung is even begun, however
/// many pictures the encoder keeps. A film of no more than two segments is made in one go.
#[test]
fn something_plays_before_the_rest_is_begun() {
    for (name, preset) in [
        ("one-key-5s.mp4", "ultrafast"),
        ("one-key-5s.mp4", "medium"),
        ("languages.mkv", "ultrafast"),
        ("silent.mp4", "veryfast"),
    ] {
        assert!(!is_larger_begun(name, [160, 90], order_of([160, 90], preset)), "{name} {preset}");
    }
    let mut order = order_of([160, 90], "medium");
    order.encode.segment_seconds = 3;
    assert!(is_larger_begun("one-key-5s.mp4", [160, 90], order));
}

/// A film with a head start is the same as one without, picture for picture and in every byte of
/// sound: each reading of the source gives the same, whatever its times are.
#[test]
fn there_is_no_seam() {
    for (name, heights) in [
        ("one-key-5s.mp4", [144, 80]),
        ("vfr.mkv", [144, 80]),
        ("interlaced.ts", [288, 144]),
        ("rotated.mp4", [288, 144]),
        ("sync-offset.ts", [96, 48]),
        ("sync-negative.mkv", [96, 48]),
        ("sync-early.mkv", [96, 48]),
        ("sync-opus.webm", [96, 48]),
        ("languages.mkv", [192, 96]),
    ] {
        let film = films().join(name);
        let [larger, smaller] = heights.map(|height| format!("{height}p"));
        let mut order = order_of(heights, "veryfast");
        let (with, without) = (out_dir(), out_dir());
        let at_once = run_on(&film, with.path(), order.clone()).ok();
        let made = &at_once.made[&larger];
        // Where some of it can be played already, nothing is in a hurry.
        order.begun = vec![Begun {
            plan: at_once.plan.iter().find(|it| it.name == larger).expect("planned").clone(),
            timescale: made.timescale,
            target_ms: made.target_ms,
            segments: 1,
            ticks: made.segments[0].ticks,
        }];
        let mut larger_came_first = None;
        let outcome = run_until(&film, without.path(), &mut order, |so_far| {
            if so_far.made.contains_key(&smaller) && larger_came_first.is_none() {
                larger_came_first = Some(without.path().join(&larger).exists());
            }
            false
        });
        let outcome = outcome.ok();
        assert_eq!(larger_came_first, Some(true), "{name}");
        assert_eq!(outcome.made[&larger].after, 1, "{name}");
        for (rung, made) in at_once.made.iter().filter(|(rung, _)| **rung != larger) {
            let ticks = |made: &Made| made.segments.iter().map(|it| it.ticks).collect::<Vec<_>>();
            assert_eq!(ticks(made), ticks(&outcome.made[rung]), "{name} {rung}");
            let [a, b] = [(&with, made), (&without, &outcome.made[rung])].map(|(out, made)| {
                let times = joined(out.path(), rung, made).seen;
                times.iter().map(|seen| ((seen.at * 1e6) as i64, seen.key)).collect::<Vec<_>>()
            });
            assert_eq!(a, b, "{name} {rung}");
            let files = [&with, &without].map(|out| out.path().join(rung).join("joined.mp4"));
            if *rung == smaller {
                let least = likeness(&files);
                assert!(least > ALIKE, "{name}: {least}");
            } else {
                assert!(fs::read(&files[0]).ok() == fs::read(&files[1]).ok(), "{name} {rung}");
            }
        }
    }
}

/// How alike pictures are that were made of the same ones, in decibels. Encoded twice they aren't
/// quite the same: for its decisions x264 also looks at memory that nobody has written.
const ALIKE: f64 = 35.0;

/// Returns how alike the pictures of two films are that differ most.
fn likeness(films: &[PathBuf; 2]) -> f64 {
    let shown = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(&films[0])
        .arg("-i")
        .arg(&films[1])
        .args(["-lavfi", "psnr", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&shown.stderr).into_owned();
    let least = text.rsplit_once(" min:").and_then(|(_, rest)| rest.split_whitespace().next());
    match least.expect("a number") {
        "inf" => f64::INFINITY,
        number => number.parse().expect("a number"),
    }
}

/// A child that is killed right after the head start is followed by one that goes on.
#[test]
fn a_head_start_is_gone_on_with() {
    for (name, preset) in [("one-key-5s.mp4", "veryfast"), ("vfr.mkv", "veryfast")] {
        let film = films().join(name);
        let order = order_of([110, 80], preset);
        let (whole, pieces) = (out_dir(), out_dir());
        let at_once = run_on(&film, whole.path(), order.clone()).ok();
        let mut published = Published::default();
        let until = |so_far: &Outcome| can_be_played(so_far, "80p");
        published.attempt(&film, pieces.path(), order.clone(), until);
        assert!(!published.made.contains_key("110p"), "{name}: the rest isn't begun");
        published.attempt(&film, pieces.path(), order, |_| false).ok();
        check_same((whole.path(), &at_once), (pieces.path(), &published));
    }
}

/// Sound that begins late is waited for as long as a file may hold it behind its pictures, and no
/// longer: it comes with the rest.
#[test]
fn late_sound_keeps_nothing_waiting() {
    films();
    let out = out_dir();
    let film = out.path().join("late.mkv");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=12"])
        .args(["-itsoffset", "6", "-f", "lavfi", "-i", "sine=d=6"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "600"])
        .args(["-c:a", "aac", "-f", "matroska"])
        .arg(&film)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    let mut order = order_of([110, 80], "ultrafast");
    let mut ahead = 0;
    let outcome = run_until(&film, out.path(), &mut order, |so_far| {
        if !so_far.made.contains_key("110p") {
            ahead = so_far.made.get("80p").map_or(0, |made| made.segments.len());
        }
        false
    });
    assert!((2..=4).contains(&ahead), "{ahead} segments ahead");
    check_film(out.path(), &outcome.ok(), 12.0);
}
