//! Films of every kind, each made whole.

use super::*;

/// A camera file with its index at the end: copied at the top, the rest encoded to its key frames,
/// the copy and the sound playable before anything is encoded.
#[test]
fn moov_last() {
    let out = out_dir();
    let outcome = run_on(&films().join("moov-last.mp4"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["360p", "audio", "240p"]);
    assert!(outcome.plan[0].copied && outcome.made["360p"].segments.len() == 4);
    check_film(out.path(), &outcome, 8.0);
    assert_eq!(outcome.poster, Some((640, 360)));
    assert_eq!(outcome.order_of_reports.last().map(String::as_str), Some("240p"));
    // Every key frame of this film is a white flash; the poster shows what comes after.
    let poster = fs::read(out.path().join("poster.jpg")).expect("the poster");
    let picture = image::load_from_memory(&poster).expect("a JPEG").to_luma8();
    let (darkest, brightest) = picture
        .pixels()
        .fold((255, 0), |(dark, bright), pixel| (pixel.0[0].min(dark), pixel.0[0].max(bright)));
    assert!(brightest - darkest > 100, "{darkest}..{brightest}");
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
}

/// What an earlier attempt made isn't made again, and what is made then still fits it.
#[test]
fn resumes_by_renditions() {
    let out = out_dir();
    let mut second = order();
    second.renditions_done = vec!["720p".into(), "audio".into(), "480p".into()];
    second.extras_done = vec![ExtraKind::Poster];
    let outcome = run_on(&films().join("faststart.mp4"), out.path(), second).ok();
    assert_eq!(names(&outcome.plan), ["720p", "audio", "480p", "360p", "240p"]);
    assert_eq!(outcome.made.keys().collect::<Vec<_>>(), ["240p", "360p"]);
    for made in outcome.made.values() {
        let starts = made.starts();
        let grid = (0..=5).map(|n| f64::from(n) * 2.0);
        assert!(starts.iter().zip(grid).all(|(a, b)| near(*a, b, 0.001)), "{starts:?}");
    }
    assert!(outcome.poster.is_none() && !out.path().join("poster.jpg").exists());
}

/// Prescribed heights are what is made, without a copy between them.
#[test]
fn prescribed_heights() {
    let out = out_dir();
    let mut order = order();
    order.encode.ladder_heights = Some(vec![240, 144]);
    let outcome = run_on(&films().join("silent.mp4"), out.path(), order).ok();
    assert_eq!(names(&outcome.plan), ["240p", "144p"]);
    check_film(out.path(), &outcome, 3.0);
}

/// A browser's format is decoded and encoded with its sound.
#[test]
fn webm() {
    let out = out_dir();
    let outcome = run_on(&films().join("vp9.webm"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["audio", "180p", "144p"]);
    assert_eq!(outcome.facts.video_codec.as_deref(), Some("vp9"));
    check_film(out.path(), &outcome, 4.0);
}

/// A film shot upright stands upright, in every rung and on its poster.
#[test]
fn rotated() {
    let out = out_dir();
    let outcome = run_on(&films().join("rotated.mp4"), out.path(), order()).ok();
    assert_eq!((outcome.facts.width, outcome.facts.height), (360, 640));
    assert_eq!(outcome.facts.rotation % 180, 90);
    assert_eq!(names(&outcome.plan), ["audio", "360p", "240p"]);
    assert_eq!((outcome.plan[1].width, outcome.plan[1].height), (360, 640));
    check_film(out.path(), &outcome, 3.0);
    assert_eq!(outcome.poster, Some((360, 640)));
}

/// A film without sound gets no sound.
#[test]
fn silent() {
    let out = out_dir();
    let outcome = run_on(&films().join("silent.mp4"), out.path(), order()).ok();
    assert!(outcome.plan.iter().all(|rendition| rendition.kind == RenditionKind::Video));
    check_film(out.path(), &outcome, 3.0);
}

/// Sound alone is a rendition by itself.
#[test]
fn sound_only() {
    let out = out_dir();
    let outcome = run_on(&films().join("sound.mp3"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["audio", "audio_low"]);
    assert_eq!((outcome.facts.width, outcome.facts.video_codec.as_deref()), (0, None));
    check_film(out.path(), &outcome, 6.0);
    assert!(outcome.poster.is_some());
}

/// Pictures at uneven distances keep their times.
#[test]
fn variable_frame_rate() {
    let out = out_dir();
    let outcome = run_on(&films().join("vfr.mkv"), out.path(), order()).ok();
    // Its last picture is shown at 4.9 s and lasts a thirtieth.
    check_film_within(out.path(), &outcome, 5.0, 0.07);
    let name = &outcome.plan.iter().rev().find(|r| !r.copied).expect("an encoded rung").name;
    let Joined { seen, .. } = joined(out.path(), name, &outcome.made[name]);
    let mut times: Vec<f64> = seen.iter().map(|packet| packet.at).collect();
    times.sort_by(f64::total_cmp);
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().any(|step| near(*step, 1.0 / 30.0, 0.003)), "{steps:?}");
    assert!(steps.iter().any(|step| near(*step, 0.1, 0.003)), "{steps:?}");
}

/// Sound that ends early is filled up with silence, beside pictures that are copied from a
/// container without decoding times.
#[test]
fn short_sound() {
    let out = out_dir();
    let outcome = run_on(&films().join("short-sound.mkv"), out.path(), order()).ok();
    assert_eq!(names(&outcome.plan), ["240p", "audio", "144p"]);
    assert!(outcome.plan[0].copied);
    check_film(out.path(), &outcome, 5.0);
}

/// Fields are woven into whole pictures, at the rate of the pictures.
#[test]
fn interlaced() {
    let out = out_dir();
    let outcome = run_on(&films().join("interlaced.ts"), out.path(), order()).ok();
    assert_eq!(outcome.facts.video_codec.as_deref(), Some("mpeg2video"));
    check_film(out.path(), &outcome, 3.0);
}

/// Ten bits become eight.
#[test]
fn ten_bits() {
    let film = films().join("hevc10.mkv");
    if !film.exists() {
        return; // This FFmpeg can't make such a film.
    }
    let out = out_dir();
    let outcome = run_on(&film, out.path(), order()).ok();
    check_film(out.path(), &outcome, 2.0);
    let top = &outcome.plan[0];
    let Joined { stream, .. } = joined(out.path(), &top.name, &outcome.made[&top.name]);
    assert!(stream.contains("yuv420p,") || stream.trim_end().ends_with("yuv420p"), "{stream}");
}

/// A film that was cut short is made as far as it goes, and says so.
#[test]
fn truncated() {
    let out = out_dir();
    let outcome = run_on(&films().join("truncated.mp4"), out.path(), order()).ok();
    assert_eq!(outcome.warnings, ["truncated-source"]);
    let top = &outcome.made["720p"];
    let end = *top.starts().last().expect("an end");
    assert!(top.complete && end > 2.0 && end < 8.0, "{end}");
}
