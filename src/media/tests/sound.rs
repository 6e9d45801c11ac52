//! Sound: every track, all its channels, and exactly where the pictures are.

use super::*;
use crate::model::rendition::{SoundLayout, SoundPurpose};

/// Seconds at which a bright picture follows a dark one, decoded from what is published.
fn flashes(out: &Path, name: &str) -> Vec<f64> {
    let shown = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-copyts", "-i"])
        .arg(out.join(name).join("joined.mp4"))
        .args(["-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"])
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(shown.stderr.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8(shown.stdout).expect("text");
    let number = |line: &str, key: &str| -> Option<f64> {
        line.split_once(key)?.1.split_whitespace().next()?.parse().ok()
    };
    let (mut at, mut was_bright, mut flashes) = (0.0, true, Vec::new());
    for line in text.lines() {
        at = number(line, "pts_time:").unwrap_or(at);
        if let Some(bright) = number(line, "YAVG=").map(|mean| mean > 200.0) {
            if bright && !was_bright {
                flashes.push(at);
            }
            was_bright = bright;
        }
    }
    flashes
}

/// Seconds at which the beep begins after a time of quiet, decoded from what is published.
fn beeps(out: &Path, name: &str) -> Vec<f64> {
    const RATE: usize = 8000;
    let heard = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-copyts", "-i"])
        .arg(out.join(name).join("joined.mp4"))
        .args(["-af", "aresample=8000:async=1:first_pts=0,aformat=channel_layouts=mono"])
        .args(["-f", "f32le", "-"])
        .output()
        .expect("ffmpeg runs");
    assert!(heard.stderr.is_empty(), "{}", String::from_utf8_lossy(&heard.stderr));
    let samples =
        heard.stdout.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let (mut quiet, mut beeps) = (0, Vec::new());
    for (at, sample) in samples.enumerate() {
        if sample.abs() < 0.1 {
            quiet += 1;
        } else {
            // Half a period of the beep is quiet for a few samples only.
            if quiet > RATE / 2 {
                beeps.push(at as f64 / RATE as f64);
            }
            quiet = 0;
        }
    }
    beeps
}

/// Makes a film and compares flashes with beeps: at the first and the last of those that have
/// both, they are within 40 ms.
fn check_together(name: &str, seconds: f64, pairs_min: usize) -> Outcome {
    let out = out_dir();
    let outcome = run_on(&films().join(name), out.path(), order()).ok();
    for plan in &outcome.plan {
        let Joined { seen, duration, .. } =
            joined(out.path(), &plan.name, &outcome.made[&plan.name]);
        let first = seen.iter().map(|packet| packet.at).fold(f64::INFINITY, f64::min);
        let end = first + duration;
        assert!(near(end, seconds, 0.05), "{name}: {} ends at {end}, not {seconds}", plan.name);
        let made = &outcome.made[&plan.name];
        for pair in made.starts().windows(2) {
            let lasts = (pair[1] - pair[0]) * 1000.0;
            assert!(
                lasts <= f64::from(made.target_ms) + 0.5,
                "{name}: {lasts} ms in {}",
                plan.name
            );
        }
    }
    let beeps = beeps(out.path(), "audio");
    for rung in outcome.plan.iter().filter(|plan| plan.kind == RenditionKind::Video) {
        let flashes = flashes(out.path(), &rung.name);
        let pair = |flash: &f64| beeps.iter().map(|beep| beep - flash).find(|d| d.abs() < 0.3);
        let pairs: Vec<f64> = flashes.iter().filter_map(pair).collect();
        assert!(pairs.len() >= pairs_min, "{name} {}: {flashes:?} and {beeps:?}", rung.name);
        let worst = pairs.iter().fold(0.0, |worst: f64, d| worst.max(d.abs()));
        assert!(worst <= 0.040, "{name} {}: {pairs:?}", rung.name);
    }
    outcome
}

/// However a film's sound is stored, and wherever it begins, pauses or ends, it comes with its
/// pictures, and both last equally long.
#[test]
fn sound_stays_with_the_pictures() {
    for (name, seconds, pairs) in [
        ("sync-late.mp4", 6.0, 4),
        ("sync-gap.mkv", 6.0, 3),
        ("sync-offset.ts", 6.0, 4),
        ("sync-negative.mkv", 6.0, 4),
        ("sync-opus.webm", 6.0, 4),
        ("sync-vorbis.mkv", 6.0, 4),
        ("sync-pcm.mov", 6.0, 4),
        ("sync-short.mp4", 6.0, 3),
        ("sync-mp3.avi", 6.0, 4),
    ] {
        let outcome = check_together(name, seconds, pairs);
        assert!(outcome.warnings.is_empty(), "{name}: {:?}", outcome.warnings);
    }
}

/// Sound that begins before the pictures or goes on after them is kept: a picture is held, and so
/// none is copied, also where the container doesn't tell how long its tracks are.
#[test]
fn longer_sound_holds_the_pictures() {
    for (name, pairs) in [("sync-early.mkv", 4), ("sync-long.mp4", 2), ("sync-longer.flv", 3)] {
        let held = check_together(name, 6.0, pairs);
        assert!(held.plan.iter().all(|plan| !plan.copied), "{name}");
        assert!(held.warnings.is_empty(), "{name}: {:?}", held.warnings);
    }
}

/// What FFmpeg's own meter says of a rendition: LUFS over all of it, and true peak in dBTP.
fn measured(out: &Path, name: &str) -> (f64, f64) {
    let heard = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostats", "-nostdin", "-i"])
        .arg(out.join(name).join("joined.mp4"))
        .args(["-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let text = String::from_utf8_lossy(&heard.stderr).into_owned();
    let summary = text.rsplit_once("Summary:").expect("a summary").1;
    let number = |key: &str| -> f64 {
        let rest = summary.split_once(key).expect(key).1;
        let word = rest.split_whitespace().next().expect("a number");
        word.parse().unwrap_or(f64::NEG_INFINITY)
    };
    (number("I:"), number("Peak:"))
}

/// With the option, quiet and loud films come out equally loud with peaks that no player clips;
/// silence stays silence. Without it, sound stays as it was.
#[test]
fn loudness_is_equal_where_that_is_wanted() {
    let heard = |film: &str, wanted: bool| {
        let out = out_dir();
        let mut order = order();
        order.encode.loudness = wanted;
        let outcome = run_on(&films().join(film), out.path(), order).ok();
        joined(out.path(), "audio", &outcome.made["audio"]);
        measured(out.path(), "audio")
    };
    for (film, before) in [("quiet.mp4", -45.0..-30.0), ("loud.mp4", -12.0..0.0)] {
        let (lufs, _) = heard(film, false);
        assert!(before.contains(&lufs), "{film} as it was: {lufs} LUFS");
        let (lufs, peak) = heard(film, true);
        assert!(near(lufs, -16.0, 1.0), "{film}: {lufs} LUFS");
        assert!(peak <= -1.0, "{film}: {peak} dBTP");
    }
    let (lufs, peak) = heard("mute.mp4", true);
    assert!(lufs <= -70.0 && peak < -60.0, "{lufs} LUFS, {peak} dBTP");
}

/// Sound that holds a cover has it for its poster; other sound has its waveform.
#[test]
fn sound_has_a_poster() {
    let poster = |film: &str| {
        let out = out_dir();
        let outcome = run_on(&films().join(film), out.path(), order()).ok();
        let bytes = fs::read(out.path().join("poster.jpg")).expect("a poster");
        let picture = image::load_from_memory(&bytes).expect("a JPEG").to_rgb8();
        assert_eq!(outcome.poster, Some(picture.dimensions()));
        assert_eq!(names(&outcome.plan), ["audio", "audio_low"], "{film}");
        assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        picture
    };
    assert_eq!(poster("covered.mp3").dimensions(), (400, 200));
    let wave = poster("sound.mp3");
    let bright = |x: u32| (0..wave.height()).filter(|&y| wave.get_pixel(x, y).0[2] > 150).count();
    let columns: Vec<usize> = (0..wave.width()).map(bright).collect();
    let (most, least) = (columns.iter().max(), columns.iter().filter(|&&it| it > 0).min());
    // Six beeps stand out of the quiet between them.
    assert!(most > least.map(|least| least * 5).as_ref(), "{columns:?}");
}

/// Each language has its stereo, six channels stay beside it, the container's default comes first,
/// and a comment is told apart by its title.
#[test]
fn languages_and_channels() {
    let out = out_dir();
    let outcome = run_on(&films().join("languages.mkv"), out.path(), order()).ok();
    let sounds: Vec<_> = outcome
        .plan
        .iter()
        .filter_map(|plan| {
            let sound = plan.sound.as_ref()?;
            let language = plan.language.as_deref()?;
            Some((plan.name.as_str(), language, sound.label.as_str(), sound.layout, sound.purpose))
        })
        .collect();
    assert_eq!(
        sounds,
        [
            ("audio", "de", "Deutsch", SoundLayout::Stereo, SoundPurpose::Main),
            ("audio_surround", "de", "Deutsch", SoundLayout::Surround, SoundPurpose::Main),
            ("audio-en", "en", "English", SoundLayout::Stereo, SoundPurpose::Main),
            (
                "audio-en-2",
                "en",
                "The director speaks",
                SoundLayout::Stereo,
                SoundPurpose::Commentary
            ),
        ]
    );
    check_film_within(out.path(), &outcome, 5.0, 0.05);
    for (name, channels) in [("audio", "2"), ("audio_surround", "6"), ("audio-en", "2")] {
        let shown = Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv=p=0", "-show_entries", "stream=channels"])
            .arg(out.path().join(name).join("joined.mp4"))
            .output()
            .expect("ffprobe runs");
        assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), channels, "{name}");
    }
}

/// What is in a file's packets of sound, as checksums.
fn packets(path: &Path) -> Vec<String> {
    let shown = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-select_streams", "a:0"])
        .args(["-show_data_hash", "md5", "-show_entries", "packet=data_hash"])
        .arg(path)
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8(shown.stdout).expect("text");
    let sums = text.lines().map(|line| line.trim_matches(',').to_owned());
    sums.filter(|sum| sum.contains("MD5:")).collect()
}

/// Makes a film and says whether its sound is its own packets, which the plan has to say too.
fn is_as_it_was(film: &Path, order: Order, seconds: f64) -> bool {
    let out = out_dir();
    let source = packets(film);
    let outcome = run_on(film, out.path(), order).ok();
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    check_film(out.path(), &outcome, seconds);
    let made = packets(&out.path().join("audio/joined.mp4"));
    assert!(made.len() > 90, "{made:?}");
    let same = source.starts_with(&made) && source.len() - made.len() <= 2;
    let plan = outcome.plan.iter().find(|plan| plan.name == "audio").expect("planned");
    assert_eq!(plan.copied, same);
    same
}

/// Stereo AAC without a gap is taken as it is, up to the end of the pictures, whether they are
/// copied or encoded; unless it is to be as loud as other films, or an earlier attempt found it
/// not to be what it seemed.
#[test]
fn sound_that_fits_is_taken_as_it_is() {
    let film = films().join("faststart.mp4");
    let order_for = |height: u32| {
        let mut order = order();
        order.encode.ladder_heights = Some(vec![height]);
        order
    };
    assert!(is_as_it_was(&film, order_for(720), 10.0), "beside the copy");
    assert!(is_as_it_was(&film, order_for(180), 10.0), "beside an encoded rung");
    let mut loud = order_for(720);
    loud.encode.loudness = true;
    assert!(!is_as_it_was(&film, loud, 10.0));
    let mut unfit = order_for(720);
    unfit.sounds_unfit = vec![0];
    assert!(!is_as_it_was(&film, unfit, 10.0));
}
