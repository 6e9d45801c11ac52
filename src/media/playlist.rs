//! HLS playlists as pure functions of a video's manifest.
//!
//! They follow RFC 8216 (protocol version 7) and Apple's authoring rules. A playlist names nothing
//! that isn't complete on disk, and a media playlist only ever grows until it ends.
//! Called by `pipeline` whenever it has changed the manifest; `rate` is shared with `dash`.

pub(super) mod sounds;

use super::texts_listed;
use crate::model::manifest::{
    INIT_FILE, KEY_FILE, KEY_PLAYLIST_FILE, MEDIA_PLAYLIST_FILE, Manifest, Rung, segment_file,
};
use crate::model::rendition::{RenditionKind, SoundLayout, SoundPurpose};
use sounds::{Group, Member};
use std::fmt::Write;

/// Bits a second of the variant that a player should start with, before it knows the network.
const FIRST_VARIANT_BANDWIDTH: u64 = 2_000_000;

/// Writes the multivariant playlist, `master.m3u8`: which rungs there are and what they take.
///
/// Only rungs with a segment are named, so sound is named once it can be fetched. The variant
/// nearest to 2 Mbit/s comes first, for players begin with it; the others follow by bandwidth.
/// Every picture rung stands there once for each form of the sound, stereo before six channels.
pub fn multivariant(manifest: &Manifest) -> String {
    let pictures = playable(manifest, RenditionKind::Video);
    let groups = sounds::groups(&playable(manifest, RenditionKind::Audio));
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    // One sound without pictures needs no choice.
    let named = !pictures.is_empty() || groups.iter().any(|group| group.members.len() > 1);
    for group in groups.iter().filter(|_| named) {
        for member in &group.members {
            write_sound(&mut out, group, member);
        }
    }
    texts_listed::write_group(&mut out, manifest);
    let texts = texts_listed::group_attribute(manifest);
    let mut variants = Vec::new();
    for group in &groups {
        variants.extend(variants_of(&pictures, Some(group)));
    }
    if groups.is_empty() {
        variants = variants_of(&pictures, None);
    }
    for variant in &variants {
        write_variant(&mut out, variant, &texts);
    }
    // Sound alone, for networks that carry no pictures (and for files that hold none).
    for group in &groups {
        let of_films = pictures.is_empty() || group.layout != SoundLayout::Surround;
        if let Some(member) = group.members.first().filter(|_| of_films) {
            let beside = named.then_some(group);
            let rate = if named { group.rate() } else { rate(member.rung) };
            let variant = Variant { rate, rung: member.rung, group: beside };
            write_variant(&mut out, &variant, &texts);
        }
    }
    let mut by_rate: Vec<&Rung> = pictures;
    by_rate.sort_by_key(|rung| (std::cmp::Reverse(rung.plan.height), rate(rung).peak));
    for rung in by_rate {
        write_key_pictures(&mut out, rung);
    }
    out
}

/// A rung of pictures with a form of the sound, or sound alone.
struct Variant<'m> {
    rate: Rate,
    rung: &'m Rung,
    group: Option<&'m Group<'m>>,
}

/// Returns the variants of pictures with one form of the sound: first the one to begin with.
fn variants_of<'m>(pictures: &[&'m Rung], group: Option<&'m Group<'m>>) -> Vec<Variant<'m>> {
    let sound = group.map_or(Rate { peak: 0, average: 0 }, Group::rate);
    let with = |rung: &&'m Rung| Variant { rate: rate(rung).with(sound), rung, group };
    let mut variants: Vec<Variant<'_>> = pictures.iter().map(with).collect();
    variants.sort_by_key(|it| (it.rate.peak, it.rung.plan.height));
    let far = |it: &Variant<'_>| it.rate.average.abs_diff(FIRST_VARIANT_BANDWIDTH);
    if let Some(first) = (0..variants.len()).min_by_key(|&at| far(&variants[at])) {
        variants[..=first].rotate_right(1);
    }
    variants
}

/// Writes the media playlist of one rung, `media.m3u8` in its directory.
///
/// It is an event that grows until the rung is complete, and then a finished recording.
pub fn media(rung: &Rung) -> String {
    let kind = if rung.complete { "VOD" } else { "EVENT" };
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"{INIT_FILE}\"\n",
        target_seconds(rung),
    );
    if rung.key.is_some() {
        // Behind the set-up, which is as it is: it says no more than this list.
        let _ = writeln!(out, "#EXT-X-KEY:METHOD=AES-128,URI=\"{KEY_FILE}\"");
    }
    for (index, segment) in rung.segments.iter().enumerate() {
        let seconds = seconds(segment.ticks, rung.timescale);
        let _ = write!(out, "#EXTINF:{seconds:.6},\n{}\n", segment_file(index + 1));
    }
    if rung.complete {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}

/// Writes the playlist of one rung's key pictures, `iframes.m3u8` in its directory: one picture for
/// each segment, found without the rest of it (RFC 8216, section 4.3.3.6). Only for a complete rung
/// with pictures.
pub fn key_pictures(rung: &Rung) -> Option<String> {
    let keys = keys(rung)?;
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"{INIT_FILE}\"\n",
        target_seconds(rung),
    );
    for (index, (segment, key)) in rung.segments.iter().zip(keys).enumerate() {
        let seconds = seconds(segment.ticks, rung.timescale);
        let file = segment_file(index + 1);
        let _ = write!(out, "#EXTINF:{seconds:.6},\n#EXT-X-BYTERANGE:{key}@0\n{file}\n");
    }
    out.push_str("#EXT-X-ENDLIST\n");
    Some(out)
}

/// Returns how many bytes of each segment hold its first picture, if the rung is complete and
/// that is known of all.
fn keys(rung: &Rung) -> Option<Vec<u64>> {
    let whole = rung.complete && rung.plan.kind == RenditionKind::Video;
    let keys = rung.segments.iter().map(|segment| segment.key);
    if whole { keys.collect() } else { None }
}

/// Returns the rungs of a kind that players may be told of.
///
/// At the end a rung that never got complete is left out if a complete one is there: nobody would
/// ever get past its last segment.
pub(super) fn playable(manifest: &Manifest, kind: RenditionKind) -> Vec<&Rung> {
    let rungs = manifest.rungs.iter().filter(|rung| rung.plan.kind == kind);
    let mut rungs: Vec<&Rung> = rungs.filter(|rung| !rung.segments.is_empty()).collect();
    if manifest.complete && rungs.iter().any(|rung| rung.complete) {
        rungs.retain(|rung| rung.complete);
    }
    rungs
}

/// Bits a second that a rung takes, container included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Over about one segment, at worst.
    pub(super) peak: u64,
    /// Over the whole.
    pub(super) average: u64,
}

impl Rate {
    /// Adds what is played at the same time.
    fn with(self, other: Self) -> Self {
        Self { peak: self.peak + other.peak, average: self.average + other.average }
    }
}

/// Returns the most bits a second that a rung takes, as its variant would announce it.
pub fn peak_bandwidth(rung: &Rung) -> u64 {
    rate(rung).peak
}

/// Measures what a rung takes. While it grows, its worst segment may still come, so the peak is at
/// least what its plan allows.
pub(super) fn rate(rung: &Rung) -> Rate {
    let bytes: u64 = rung.segments.iter().map(|segment| segment.bytes).sum();
    let ticks: u64 = rung.segments.iter().map(|segment| segment.ticks).sum();
    let average = bits_per_second(bytes, ticks, rung.timescale);
    let worst = peak(rung).unwrap_or(average).max(average);
    let peak = if rung.complete { worst } else { worst.max(rung.plan.bandwidth_cap) };
    Rate { peak, average }
}

/// Returns the largest rate of any run of segments that lasts between half a target duration and
/// one and a half (RFC 8216, "peak segment bit rate"): a short last segment alone proves nothing.
fn peak(rung: &Rung) -> Option<u64> {
    let target = u64::from(target_seconds(rung)) * u64::from(rung.timescale);
    let (least, most) = (target / 2, target + target / 2);
    let mut worst = None;
    for start in 0..rung.segments.len() {
        let (mut bytes, mut ticks) = (0, 0);
        for segment in &rung.segments[start..] {
            bytes += segment.bytes;
            ticks += segment.ticks;
            if ticks > most {
                break;
            }
            if ticks >= least {
                worst = worst.max(Some(bits_per_second(bytes, ticks, rung.timescale)));
            }
        }
    }
    worst
}

fn bits_per_second(bytes: u64, ticks: u64, timescale: u32) -> u64 {
    let bits = u128::from(bytes) * 8 * u128::from(timescale);
    u64::try_from(bits.div_ceil(u128::from(ticks.max(1)))).unwrap_or(u64::MAX)
}

fn seconds(ticks: u64, timescale: u32) -> f64 {
    ticks as f64 / f64::from(timescale.max(1))
}

/// Returns the target duration in whole seconds; it never changes while the rung grows.
///
/// Rounded to the nearest, as the durations that it bounds are (RFC 8216, section 4.3.3.1):
/// sound whose frames don't fit the grid would otherwise announce a second more than pictures do.
pub(super) fn target_seconds(rung: &Rung) -> u32 {
    (rung.target_ms.saturating_add(500) / 1000).max(1)
}

/// Returns the language of a rung's sound as a BCP 47 tag; a tag comes from the source file, so
/// nothing but the letters of a tag is let through.
pub(super) fn language(rung: &Rung) -> &str {
    let well_formed = |tag: &&str| {
        (1..=35).contains(&tag.len())
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    rung.plan.language.as_deref().filter(well_formed).unwrap_or("und")
}

fn write_sound(out: &mut String, group: &Group<'_>, member: &Member<'_>) {
    let yes_no = if member.is_default { "YES" } else { "NO" };
    // A track about the film isn't chosen by its language alone.
    let chosen = match member.purpose() {
        SoundPurpose::Commentary => "NO",
        _ => "YES",
    };
    let _ = write!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",LANGUAGE=\"{}\",NAME={},DEFAULT={yes_no},\
         AUTOSELECT={}",
        group.name(),
        language(member.rung),
        quoted(&member.label),
        if member.is_default { "YES" } else { chosen },
    );
    if let Some(characteristics) = characteristics(member.purpose()) {
        let _ = write!(out, ",CHARACTERISTICS=\"{characteristics}\"");
    }
    let _ = writeln!(out, ",CHANNELS=\"{}\",URI={}", member.channels(), address(member.rung));
}

/// Returns Apple's word for what a track does beyond the film's own sound.
fn characteristics(purpose: SoundPurpose) -> Option<&'static str> {
    match purpose {
        SoundPurpose::Main | SoundPurpose::Commentary => None,
        SoundPurpose::Description => Some("public.accessibility.describes-video"),
        SoundPurpose::Clear => Some("public.accessibility.enhances-speech-intelligibility"),
    }
}

fn write_variant(out: &mut String, variant: &Variant<'_>, texts: &str) {
    let Variant { rate, rung, group } = variant;
    let mut codecs = vec![rung.codecs.as_str()];
    for member in group.iter().flat_map(|group| &group.members) {
        if !codecs.contains(&member.rung.codecs.as_str()) {
            codecs.push(&member.rung.codecs);
        }
    }
    let _ = write!(
        out,
        "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS={}",
        rate.peak,
        rate.average,
        quoted(&codecs.join(",")),
    );
    if rung.plan.kind == RenditionKind::Video {
        let _ = write!(out, ",RESOLUTION={}x{}", rung.plan.width, rung.plan.height);
        if rung.plan.frame_rate > 0.0 {
            let _ = write!(out, ",FRAME-RATE={:.3}", rung.plan.frame_rate);
        }
    }
    if let Some(group) = group {
        let _ = write!(out, ",AUDIO=\"{}\"", group.name());
    }
    let _ = writeln!(out, "{texts}\n{}/{MEDIA_PLAYLIST_FILE}", rung.directory());
}

fn write_key_pictures(out: &mut String, rung: &Rung) {
    let Some(keys) = keys(rung) else { return };
    let rates = rung.segments.iter().zip(keys);
    let rates = rates.map(|(segment, key)| bits_per_second(key, segment.ticks, rung.timescale));
    let _ = writeln!(
        out,
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={},CODECS={},RESOLUTION={}x{},URI={}",
        rates.max().unwrap_or(0),
        quoted(&rung.codecs),
        rung.plan.width,
        rung.plan.height,
        quoted(&format!("{}/{KEY_PLAYLIST_FILE}", rung.directory())),
    );
}

fn address(rung: &Rung) -> String {
    quoted(&format!("{}/{MEDIA_PLAYLIST_FILE}", rung.directory()))
}

/// Writes a quoted string of a playlist, which has no escape for its own quotes and line ends.
pub(super) fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '"' && !c.is_control()).collect();
    format!("\"{text}\"")
}

#[cfg(test)]
pub(crate) mod tests;
