//! The ladder over many kinds of sources.

use super::*;
use crate::model::rendition::{SoundLayout, SoundPurpose};
use crate::model::video::SoundFacts;

/// Facts of a film with sound, of a rate at which nothing is dropped.
fn film(width: u32, height: u32, frame_rate: f64) -> SourceFacts {
    SourceFacts {
        width,
        height,
        frame_rate,
        duration: 60.0,
        video_codec: Some("h264".to_owned()),
        audio_codec: Some("aac".to_owned()),
        bit_rate: 40_000_000,
        copy: Some(CopyVerdict::KeyFrames),
        ..SourceFacts::default()
    }
}

fn pictures(verdicts: &[Verdict]) -> Vec<RenditionPlan> {
    made(verdicts).filter(|plan| plan.kind == RenditionKind::Video).cloned().collect()
}

fn list(facts: &SourceFacts, heights: Option<&[u32]>) -> Vec<(String, u32, u32)> {
    let rungs = pictures(&choose(facts, heights));
    rungs.iter().map(|rung| (rung.name.clone(), rung.width, rung.height)).collect()
}

fn names(verdicts: &[Verdict]) -> Vec<&str> {
    made(verdicts).map(|plan| plan.name.as_str()).collect()
}

fn check(source: (u32, u32), expect: &[(&str, u32, u32)]) {
    let facts = film(source.0, source.1, 30.0);
    let expect: Vec<_> = expect.iter().map(|&(name, w, h)| (name.to_owned(), w, h)).collect();
    assert_eq!(list(&facts, None), expect, "source {source:?}");
    let rungs = pictures(&choose(&facts, None));
    assert!(rungs.windows(2).all(|w| w[0].bandwidth_cap > w[1].bandwidth_cap));
}

/// Sizes are even, never above the source, upright films go by their short side, and every source
/// gets at least one rung, two where it has the pixels.
#[test]
fn sizes() {
    check(
        (1920, 1080),
        &[
            ("1080p", 1920, 1080),
            ("720p", 1280, 720),
            ("480p", 854, 480),
            ("360p", 640, 360),
            ("240p", 426, 240),
        ],
    );
    check((360, 640), &[("360p", 360, 640), ("240p", 240, 426)]);
    check(
        (1920, 800),
        &[("720p", 1728, 720), ("480p", 1152, 480), ("360p", 864, 360), ("240p", 576, 240)],
    );
    check(
        (1919, 1067),
        &[
            ("1080p", 1918, 1066),
            ("720p", 1294, 720),
            ("480p", 864, 480),
            ("360p", 648, 360),
            ("240p", 432, 240),
        ],
    );
    check((320, 180), &[("180p", 320, 180), ("144p", 256, 144)]);
    check((200, 150), &[("144p", 192, 144)]);
    check((17, 9), &[("9p", 16, 8)]);
    check(
        (3840, 2160),
        &[
            ("2160p", 3840, 2160),
            ("1440p", 2560, 1440),
            ("1080p", 1920, 1080),
            ("720p", 1280, 720),
            ("480p", 854, 480),
            ("360p", 640, 360),
            ("240p", 426, 240),
        ],
    );
}

/// Prescribed heights are kept as far as the source reaches; a copy leaves the smaller ones.
#[test]
fn prescribed_and_below_a_copy() {
    let hd = film(1920, 1080, 30.0);
    assert_eq!(
        list(&hd, Some(&[360, 720, 4320])),
        [("720p".to_owned(), 1280, 720), ("360p".to_owned(), 640, 360)]
    );
    assert_eq!(list(&film(320, 180, 30.0), Some(&[720])).len(), 1);
    let copied = SourceFacts {
        copy: Some(CopyVerdict::Fits),
        video_bit_rate: 2_000_000,
        ..film(1280, 536, 24.0)
    };
    let verdicts = choose(&copied, None);
    let top = &pictures(&verdicts)[0];
    assert_eq!((top.name.as_str(), top.copied, top.bandwidth_cap), ("536p", true, 2_000_000));
    assert_eq!(names(&verdicts), ["536p", "480p", "360p", "240p", "audio"]);
    let small = SourceFacts { copy: Some(CopyVerdict::Fits), ..film(320, 240, 30.0) };
    assert_eq!(names(&choose(&small, None)), ["240p", "144p", "audio"]);
    assert_eq!(names(&choose(&small, Some(&[144]))), ["144p", "audio"], "the copy isn't wanted");
}

/// More frames get more bits from 720 lines up, and never more than sixty a second are kept.
#[test]
fn frame_rates() {
    let fast = pictures(&choose(&film(1920, 1080, 120.0), None));
    assert_eq!(fast[0].frame_rate, FRAME_RATE_MAX);
    assert_eq!(fast[0].bandwidth_cap, 9_000_000);
    assert_eq!(fast[2].bandwidth_cap, 1_400_000);
}

/// What saves nothing isn't made, down to two rungs, and each rung that was thought of has a
/// reason of its own.
#[test]
fn what_saves_nothing_is_dropped() {
    let slides = SourceFacts {
        bit_rate: 400_000,
        video_bit_rate: 250_000,
        copy: Some(CopyVerdict::Fits),
        ..film(1920, 1080, 30.0)
    };
    let verdicts = choose(&slides, None);
    assert_eq!(names(&verdicts), ["1080p", "720p", "audio"]);
    let said: Vec<_> = verdicts.iter().map(|it| (it.plan.name.as_str(), it.decision)).collect();
    use Decision::{Copied, Dropped, Encoded};
    assert_eq!(
        said,
        [
            ("1440p", Dropped),
            ("1080p", Copied),
            ("720p", Encoded),
            ("480p", Dropped),
            ("360p", Dropped),
            ("240p", Dropped),
            ("audio", Encoded),
        ]
    );
    let words: Vec<String> = verdicts.iter().map(|it| it.reason.words()).collect();
    assert!(words[0].contains("1080 lines"), "{words:?}");
    assert!(words[3].contains("720p will take only about 137 kbit/s"), "{words:?}");
    assert!(words.iter().all(|text| text.ends_with('.') && text.len() > 30), "{words:?}");
    let modern = SourceFacts { video_codec: Some("av1".to_owned()), ..slides.clone() };
    let modern = SourceFacts { copy: Some(CopyVerdict::Codec), video_bit_rate: 700_000, ..modern };
    assert_eq!(names(&choose(&modern, None)), ["1080p", "720p", "480p", "360p", "audio"]);
}

/// A silent film has a rung for the slowest networks, whatever else is dropped.
#[test]
fn silent_films_reach_the_slowest_networks() {
    let silent = SourceFacts { audio_codec: None, ..film(1280, 720, 30.0) };
    assert_eq!(names(&choose(&silent, None)), ["720p", "480p", "360p", "240p", "144p"]);
    let thin = SourceFacts { bit_rate: 100_000, ..silent };
    let verdicts = choose(&thin, None);
    assert_eq!(names(&verdicts), ["720p", "480p", "144p"]);
    assert!(verdicts.iter().any(|it| it.reason == Reason::SlowestNetworks));
}

fn track(language: &str, channels: u32) -> SoundFacts {
    SoundFacts {
        language: language.to_owned(),
        label: language.to_owned(),
        purpose: SoundPurpose::Main,
        channels,
        copy_rate: None,
    }
}

/// Every track has its stereo, six channels stand beside it, and names stay apart and safe.
#[test]
fn sounds() {
    let mut facts = film(320, 240, 25.0);
    let mut talk = track("en", 6);
    talk.purpose = SoundPurpose::Commentary;
    facts.sounds = vec![track("en", 6), track("de", 8), talk, track("en", 2), track("und", 1)];
    let verdicts = choose(&facts, None);
    let of_sound: Vec<_> = made(&verdicts)
        .filter_map(|plan| Some((plan.name.as_str(), plan.sound.as_ref()?)))
        .map(|(name, sound)| (name, sound.layout, sound.track))
        .collect();
    use SoundLayout::{Stereo, Surround};
    assert_eq!(
        of_sound,
        [
            ("audio", Stereo, 0),
            ("audio_surround", Surround, 0),
            ("audio-de", Stereo, 1),
            ("audio-de_surround", Surround, 1),
            ("audio-en", Stereo, 2),
            ("audio-en-2", Stereo, 3),
            ("audio-und", Stereo, 4),
        ]
    );
    facts.sounds = vec![track("fr", 2); 20];
    assert_eq!(made(&choose(&facts, None)).filter(|it| it.sound.is_some()).count(), TRACKS_MAX);
}

/// Sound without pictures comes at two rates, unless it is thin already; what was stored of an
/// older probe still says that there is sound.
#[test]
fn sound_alone() {
    let mut facts = SourceFacts { video_codec: None, ..film(0, 0, 0.0) };
    assert_eq!(names(&choose(&facts, None)), ["audio", "audio_low"]);
    facts.sounds = vec![track("de", 1)];
    facts.bit_rate = 48_000;
    let verdicts = choose(&facts, None);
    assert_eq!(names(&verdicts), ["audio"]);
    assert!(verdicts[1].reason.words().contains("48 kbit/s"));
}
