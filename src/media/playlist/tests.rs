//! The rules of RFC 8216 and of Apple's authoring specification, as code over the playlists.

use super::*;
use crate::ids::Epoch;
use crate::model::manifest::{Segment, SegmentKey};
use crate::model::rendition::{RenditionPlan, SoundTraits};
use crate::units::UnixMillis;
use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist, MediaPlaylistType};

const KINDS: [RenditionKind; 2] = [RenditionKind::Video, RenditionKind::Audio];

fn rung(name: &str, kind: RenditionKind, bits_per_second: u64) -> Rung {
    let height = name.trim_end_matches('p').parse().unwrap_or(0);
    let segment = |ticks: u64| Segment { ticks, bytes: bits_per_second * ticks / 8000, key: None };
    Rung {
        plan: RenditionPlan {
            kind,
            width: height * 16 / 9,
            height,
            frame_rate: if kind == RenditionKind::Video { 29.97 } else { 0.0 },
            bandwidth_cap: bits_per_second * 2,
            ..RenditionPlan::sample(name)
        },
        generation: Epoch(1),
        codecs: if kind == RenditionKind::Video { "avc1.64001e" } else { "mp4a.40.2" }.to_owned(),
        timescale: 1000,
        target_ms: 4000,
        complete: true,
        durable: 0,
        sealed: false,
        stale: false,
        key: None,
        segments: vec![segment(4000), segment(4000), segment(2500)],
    }
}

/// A sound rung of 130 kbit/s.
pub(crate) fn sound(name: &str, language: Option<&str>) -> Rung {
    let mut rung = rung(name, RenditionKind::Audio, 130_000);
    rung.plan.language = language.map(str::to_owned);
    rung
}

/// A finished film of 10.5 s with two rungs and German sound.
pub(crate) fn film() -> Manifest {
    let mut manifest = Manifest::empty(10.5, KINDS.to_vec());
    manifest.complete = true;
    manifest.rungs = vec![
        rung("360p", RenditionKind::Video, 900_000),
        rung("720p", RenditionKind::Video, 2_000_000),
        sound("audio", Some("de")),
    ];
    manifest
}

/// Reads a multivariant playlist and checks everything that must hold for any of them.
fn check_master(manifest: &Manifest) -> MasterPlaylist {
    let text = multivariant(manifest);
    let master = m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect(&text);
    assert_eq!(master.version, Some(7));
    assert!(master.independent_segments, "{text}");
    for variant in master.variants.iter().filter(|variant| !variant.is_i_frame) {
        let average = variant.average_bandwidth.expect("AVERAGE-BANDWIDTH on every variant");
        assert!(variant.bandwidth >= average, "{text}");
        let codecs = variant.codecs.as_deref().expect("CODECS on every variant");
        if codecs.contains("avc1") {
            assert!(variant.resolution.is_some() && variant.frame_rate.is_some(), "{text}");
        }
        if let Some(group) = &variant.audio {
            assert!(master.alternatives.iter().any(|media| &media.group_id == group), "{text}");
            assert!(codecs.contains("mp4a"), "{text}");
        }
        let named = |rung: &&Rung| format!("{}/media.m3u8", rung.directory()) == variant.uri;
        let rung = manifest.rungs.iter().find(named).expect("a rung of the manifest");
        assert!(!rung.segments.is_empty(), "{text}");
    }
    let mut names = std::collections::BTreeSet::new();
    for media in &master.alternatives {
        assert_eq!(media.media_type, AlternativeMediaType::Audio);
        assert!(media.language.is_some() && media.channels.is_some(), "{text}");
        let of_group = (media.group_id.clone(), media.name.clone());
        assert!((media.autoselect || !media.default) && names.insert(of_group), "{text}");
    }
    let groups: std::collections::BTreeSet<_> =
        master.alternatives.iter().map(|media| &media.group_id).collect();
    let defaults = master.alternatives.iter().filter(|media| media.default).count();
    assert_eq!(defaults, groups.len(), "{text}");
    master
}

/// Reads a media playlist and checks everything that must hold for any of them.
fn check_media(rung: &Rung) -> MediaPlaylist {
    let text = media(rung);
    let list = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect(&text);
    assert_eq!(list.version, Some(7));
    assert!(list.independent_segments, "{text}");
    assert_eq!(list.end_list, rung.complete);
    let kind = if rung.complete { MediaPlaylistType::Vod } else { MediaPlaylistType::Event };
    assert_eq!(list.playlist_type, Some(kind));
    assert_eq!(list.segments.len(), rung.segments.len());
    let mut sum = 0.0;
    for (index, segment) in list.segments.iter().enumerate() {
        assert_eq!(segment.uri, format!("{}.m4s", index + 1));
        assert!(segment.duration.round() as u64 <= list.target_duration, "{text}");
        assert!(f64::from(segment.duration) <= list.target_duration as f64 + 0.5, "{text}");
        sum += f64::from(segment.duration);
    }
    assert!((sum - rung.seconds()).abs() < 0.001, "{text}");
    if let Some(first) = list.segments.first() {
        assert_eq!(first.map.as_ref().map(|map| map.uri.as_str()), Some("init.mp4"));
    }
    list
}

/// The whole text of a finished film's playlists, once, so that a change is seen.
#[test]
fn a_finished_film_reads_as_expected() {
    let expect = "#EXTM3U
#EXT-X-VERSION:7
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",LANGUAGE=\"de\",NAME=\"de\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio-1/media.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=2130000,AVERAGE-BANDWIDTH=2130000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO=\"audio\"
720p-1/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1030000,AVERAGE-BANDWIDTH=1030000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=29.970,AUDIO=\"audio\"
360p-1/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=130000,CODECS=\"mp4a.40.2\",AUDIO=\"audio\"
audio-1/media.m3u8
";
    assert_eq!(multivariant(&film()), expect);
    let expect = "#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI=\"init.mp4\"
#EXTINF:4.000000,
1.m4s
#EXTINF:4.000000,
2.m4s
#EXTINF:2.500000,
3.m4s
#EXT-X-ENDLIST
";
    assert_eq!(media(&film().rungs[0]), expect);
}

/// At every moment of a film's growth the playlists keep the rules, name only what is there, and
/// what was named stays named; a media playlist only gets longer and keeps its target.
#[test]
fn growth_keeps_the_rules() {
    let whole = film();
    let mut manifest = Manifest::empty(10.5, KINDS.to_vec());
    let mut named: Vec<String> = Vec::new();
    for (index, full) in whole.rungs.iter().enumerate() {
        let mut growing = Rung { complete: false, segments: Vec::new(), ..full.clone() };
        manifest.rungs.push(growing.clone());
        assert!(!multivariant(&manifest).contains(&full.directory()), "no segment, no mention");
        let mut before = media(&growing);
        for segment in &full.segments {
            growing.segments.push(*segment);
            manifest.rungs[index] = growing.clone();
            let master = check_master(&manifest);
            named.push(format!("{}/media.m3u8", full.directory()));
            for uri in &named {
                assert!(master.variants.iter().any(|variant| &variant.uri == uri), "{uri}");
            }
            check_media(&growing);
            let text = media(&growing);
            assert!(text.starts_with(&before), "{text}");
            before = text;
        }
        growing.complete = true;
        manifest.rungs[index] = growing;
        check_media(&manifest.rungs[index]);
        check_master(&manifest);
    }
    manifest.complete = true;
    assert_eq!(manifest, whole);
    check_master(&manifest);
}

/// While a rung grows, its bandwidth is at least what its plan allows; then it is measured.
#[test]
fn bandwidth_is_the_cap_and_then_the_truth() {
    let mut rung = rung("720p", RenditionKind::Video, 2_000_000);
    rung.complete = false;
    assert_eq!(rate(&rung), Rate { peak: 4_000_000, average: 2_000_000 });
    rung.complete = true;
    assert_eq!(rate(&rung), Rate { peak: 2_000_000, average: 2_000_000 });
    rung.segments[1].bytes *= 3;
    assert_eq!(rate(&rung).peak, 6_000_000);
    // One picture at the end with a large header: no player ever sees that rate.
    rung.segments[2] = Segment { ticks: 33, bytes: 100_000, key: None };
    assert_eq!(rate(&rung).peak, 6_149_269, "judged together with the segment before");
    // A film shorter than half a target has nothing but its average.
    rung.segments = vec![Segment { ticks: 500, bytes: 62_500, key: None }];
    assert_eq!(rate(&rung), Rate { peak: 1_000_000, average: 1_000_000 });
    rung.segments.clear();
    assert_eq!(rate(&rung), Rate { peak: 0, average: 0 });
}

/// Sound is named only when it can be fetched; a file without pictures is one plain variant.
#[test]
fn sound_comes_and_stands_alone() {
    let mut manifest = film();
    manifest.complete = false;
    manifest.rungs[2].segments.clear();
    manifest.rungs[2].complete = false;
    let silent = check_master(&manifest);
    assert!(silent.alternatives.is_empty() && silent.variants.len() == 2);
    assert_eq!(silent.variants[0].codecs.as_deref(), Some("avc1.64001e"));

    manifest.kinds = vec![RenditionKind::Audio];
    manifest.rungs = vec![sound("audio", None)];
    let alone = check_master(&manifest);
    assert!(alone.alternatives.is_empty() && alone.variants.len() == 1);
    assert_eq!(alone.variants[0].audio, None);
}

/// Two tracks of one language keep their names apart, and a hostile tag stays out.
#[test]
fn tracks_are_told_apart() {
    let mut manifest = film();
    manifest.rungs.push(sound("audio2", Some("de")));
    manifest.rungs.push(sound("audio3", Some("x\",URI=\"http://elsewhere/\n#")));
    let master = check_master(&manifest);
    let names: Vec<_> = master.alternatives.iter().map(|media| media.name.as_str()).collect();
    assert_eq!(names, ["de", "de (audio2)", "Default"]);
    assert_eq!(master.alternatives[2].language.as_deref(), Some("und"));
}

/// A rung of a track that is told apart.
fn track(name: &str, language: &str, number: u32, layout: SoundLayout) -> Rung {
    let mut rung = sound(name, Some(language));
    if layout == SoundLayout::Surround {
        rung.segments.iter_mut().for_each(|segment| segment.bytes *= 3);
    }
    let purpose = if number == 2 { SoundPurpose::Commentary } else { SoundPurpose::Main };
    let label = format!("{language} \"{number}\"");
    rung.plan.sound = Some(SoundTraits { track: number, label, layout, purpose });
    rung
}

/// Each form of the sound is a group with all tracks, the default first whatever came first, and
/// every rung of pictures is a variant with each group, of the rate of both.
#[test]
fn six_channels_stand_beside_two() {
    use SoundLayout::{Stereo, Surround};
    let mut manifest = film();
    manifest.rungs.truncate(2);
    manifest.rungs.extend([
        track("audio-en", "en", 1, Stereo),
        track("audio_surround", "de", 0, Surround),
        track("audio-en-2", "en", 2, Stereo),
        track("audio", "de", 0, Stereo),
    ]);
    let master = check_master(&manifest);
    let members: Vec<_> = master
        .alternatives
        .iter()
        .map(|media| {
            let uri = media.uri.as_deref().unwrap_or_default().trim_end_matches("-1/media.m3u8");
            (media.group_id.as_str(), media.name.as_str(), media.channels.as_deref(), uri)
        })
        .collect();
    assert_eq!(
        members,
        [
            ("audio", "de 0", Some("2"), "audio"),
            ("audio", "en 1", Some("2"), "audio-en"),
            ("audio", "en 2", Some("2"), "audio-en-2"),
            ("surround", "de 0", Some("6"), "audio_surround"),
            ("surround", "en 1", Some("2"), "audio-en"),
            ("surround", "en 2", Some("2"), "audio-en-2"),
        ]
    );
    let autoselected: Vec<bool> = master.alternatives.iter().map(|it| it.autoselect).collect();
    assert_eq!(autoselected, [true, true, false, true, true, false]);
    let variants: Vec<_> = master
        .variants
        .iter()
        .map(|it| (it.uri.trim_end_matches("-1/media.m3u8"), it.audio.as_deref(), it.bandwidth))
        .collect();
    assert_eq!(
        variants,
        [
            ("720p", Some("audio"), 2_130_000),
            ("360p", Some("audio"), 1_030_000),
            ("720p", Some("surround"), 2_390_000),
            ("360p", Some("surround"), 1_290_000),
            ("audio", Some("audio"), 130_000),
        ]
    );
    let dash = crate::media::dash::mpd(&manifest, UnixMillis(0), UnixMillis(0));
    let sets: Vec<&str> = dash.split("<AdaptationSet").skip(2).collect();
    assert_eq!(sets.len(), 4, "{dash}");
    assert!(sets[0].contains("value=\"main\"") && sets[0].contains("id=\"audio\""));
    assert!(sets[1].contains("audio_channel_configuration:2011\" value=\"6\""), "{}", sets[1]);
    assert!(sets[2].contains("<Label>en &quot;1&quot;</Label>") && sets[2].contains("alternate"));
    assert!(sets[3].contains("value=\"commentary\""), "{}", sets[3]);
}

/// Sound alone is offered at each of its rates, in DASH within one set.
#[test]
fn sound_alone_has_two_rates() {
    let mut manifest = film();
    manifest.kinds = vec![RenditionKind::Audio];
    let mut low = track("audio_low", "de", 0, SoundLayout::Low);
    low.segments.iter_mut().for_each(|segment| segment.bytes /= 2);
    manifest.rungs = vec![low, track("audio", "de", 0, SoundLayout::Stereo)];
    let master = check_master(&manifest);
    assert!(master.alternatives.is_empty());
    let variants: Vec<_> = master.variants.iter().map(|it| it.bandwidth).collect();
    assert_eq!(variants, [130_000, 65_000]);
    let dash = crate::media::dash::mpd(&manifest, UnixMillis(0), UnixMillis(0));
    assert_eq!(dash.matches("<AdaptationSet").count(), 1, "{dash}");
    assert_eq!(dash.matches("<Representation").count(), 2, "{dash}");
}

/// The first variant is the one nearest to 2 Mbit/s, whatever was published first.
#[test]
fn players_start_near_two_megabits() {
    for (rates, first) in [
        (&[400_000_u64, 900_000, 2_100_000, 6_000_000][..], "rung2"),
        (&[6_000_000, 3_000_000], "rung1"),
        (&[100_000], "rung0"),
    ] {
        let mut manifest = Manifest::empty(10.5, KINDS.to_vec());
        for (index, bits) in rates.iter().enumerate() {
            let mut rung = rung("360p", RenditionKind::Video, *bits);
            rung.plan.name = format!("rung{index}");
            manifest.rungs.push(rung);
        }
        let master = check_master(&manifest);
        assert_eq!(master.variants[0].uri, format!("{first}-1/media.m3u8"));
        assert!(master.variants[1..].is_sorted_by_key(|variant| variant.bandwidth));
    }
}

/// A rung that never got complete isn't offered at the end when a complete one is there.
#[test]
fn a_torn_rung_is_left_out_at_the_end() {
    let mut manifest = film();
    manifest.rungs[1].complete = false;
    assert_eq!(check_master(&manifest).variants.len(), 2);
    manifest.rungs[0].complete = false;
    assert_eq!(check_master(&manifest).variants.len(), 3, "torn is better than nothing");
}

/// The target bounds durations that are rounded as it is.
#[test]
fn targets_are_rounded_to_the_nearest() {
    for (target_ms, expect) in [(4000, 4), (4034, 4), (4500, 5), (999, 1), (400, 1), (0, 1)] {
        let mut rung = rung("360p", RenditionKind::Video, 1);
        rung.target_ms = target_ms;
        assert_eq!(target_seconds(&rung), expect);
    }
}

/// A complete rung whose first pictures are known offers them alone, and its master says so; a
/// growing one doesn't, nor does one of an older program, which didn't write where they end.
#[test]
fn key_pictures_are_offered_alone() {
    let mut manifest = film();
    for rung in &mut manifest.rungs {
        for (index, segment) in rung.segments.iter_mut().enumerate() {
            segment.key = Some(5000 + index as u64);
        }
    }
    let rung = &manifest.rungs[0];
    let text = key_pictures(rung).expect("a complete rung");
    let list = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect(&text);
    assert!(list.i_frames_only && list.end_list, "{text}");
    let ranges: Vec<_> = list.segments.iter().map(|segment| segment.byte_range.clone()).collect();
    let expected = (0..3).map(|n| Some(m3u8_rs::ByteRange { length: 5000 + n, offset: Some(0) }));
    assert_eq!(ranges, expected.collect::<Vec<_>>(), "{text}");
    assert_eq!(list.segments[2].uri, "3.m4s");
    assert_eq!(list.segments[0].map.as_ref().map(|map| map.uri.as_str()), Some("init.mp4"));
    let offered = |manifest: &Manifest| -> Vec<String> {
        let master = check_master(manifest);
        let keys = master.variants.into_iter().filter(|variant| variant.is_i_frame);
        keys.map(|variant| variant.uri).collect()
    };
    assert_eq!(offered(&manifest), ["720p-1/iframes.m3u8", "360p-1/iframes.m3u8"]);
    assert_eq!(key_pictures(&manifest.rungs[2]), None, "sound has no pictures");
    manifest.rungs[1].complete = false;
    manifest.complete = false;
    assert_eq!(offered(&manifest), ["360p-1/iframes.m3u8"]);
    manifest.rungs[0].segments[1].key = None;
    assert!(offered(&manifest).is_empty());
    assert!(offered(&film()).is_empty());
}

/// Of an encrypted rung the segments need the key, its set-up doesn't, and no part of a segment is
/// named as if it could be read alone.
#[test]
fn encrypted_rungs_name_their_key() {
    let mut manifest = film();
    let clear = media(&manifest.rungs[0]);
    for rung in &mut manifest.rungs {
        rung.key = Some(SegmentKey([7; 16]));
        rung.segments.iter_mut().for_each(|segment| segment.key = None);
    }
    let text = media(&manifest.rungs[0]);
    let map = "#EXT-X-MAP:URI=\"init.mp4\"\n";
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n";
    assert_eq!(text, clear.replace(map, &format!("{map}{key}")));
    let list = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a playlist");
    let of_first = list.segments[0].key.as_ref().expect("a key");
    assert_eq!((of_first.uri.as_deref(), &of_first.iv), (Some("key"), &None));
    assert!(key_pictures(&manifest.rungs[0]).is_none());
    assert!(!multivariant(&manifest).contains("I-FRAME"));
}
