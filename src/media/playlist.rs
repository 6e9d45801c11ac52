//! HLS playlists as pure functions of a video's manifest.
//!
//! They follow RFC 8216 (protocol version 7) and Apple's authoring rules. A playlist names nothing
//! that isn't complete on disk, and a media playlist only ever grows until it ends.
//! Called by `pipeline` whenever it has changed the manifest; `rate` is shared with `dash`.

use super::texts_listed;
use crate::model::manifest::{
    INIT_FILE, KEY_PLAYLIST_FILE, MEDIA_PLAYLIST_FILE, Manifest, Rung, segment_file,
};
use crate::model::rendition::RenditionKind;
use std::fmt::Write;

/// The audio group that every variant with pictures refers to.
const AUDIO_GROUP: &str = "audio";

/// Bits a second of the variant that a player should start with, before it knows the network.
const FIRST_VARIANT_BANDWIDTH: u64 = 2_000_000;

/// Encoded and copied sound has two channels; the encoder mixes down what has more.
pub(super) const CHANNELS: u32 = 2;

/// Writes the multivariant playlist, `master.m3u8`: which rungs there are and what they take.
///
/// Only rungs with a segment are named, so sound is named once it can be fetched. The variant
/// nearest to 2 Mbit/s comes first, for players begin with it; the others follow by bandwidth.
pub fn multivariant(manifest: &Manifest) -> String {
    let pictures = playable(manifest, RenditionKind::Video);
    let sounds = playable(manifest, RenditionKind::Audio);
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if !pictures.is_empty() {
        for (index, sound) in sounds.iter().enumerate() {
            write_sound(&mut out, &sounds[..index], sound);
        }
    }
    texts_listed::write_group(&mut out, manifest);
    let texts = texts_listed::group_attribute(manifest);
    let mut variants: Vec<(Rate, &Rung)> = Vec::new();
    for rung in &pictures {
        variants.push((rate(rung).with_loudest(&sounds), rung));
    }
    variants.sort_by_key(|(rate, rung)| (rate.peak, rung.plan.height));
    let nearest = |(rate, _): &(Rate, &Rung)| rate.average.abs_diff(FIRST_VARIANT_BANDWIDTH);
    if let Some(first) = (0..variants.len()).min_by_key(|index| nearest(&variants[*index])) {
        variants[..=first].rotate_right(1);
    }
    for (rate, rung) in &variants {
        write_variant(&mut out, *rate, rung, &sounds, &texts);
    }
    // Sound alone, for networks that carry no pictures (and for files that hold none).
    for sound in &sounds {
        let group = if pictures.is_empty() { &[] } else { sounds.as_slice() };
        write_variant(&mut out, rate(sound), sound, group, &texts);
    }
    for (_, rung) in &variants {
        write_key_pictures(&mut out, rung);
    }
    out
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
    /// Adds the sound that takes most, as one variant plays one of them.
    fn with_loudest(self, sounds: &[&Rung]) -> Self {
        let rates: Vec<Rate> = sounds.iter().map(|rung| rate(rung)).collect();
        Self {
            peak: self.peak + rates.iter().map(|rate| rate.peak).max().unwrap_or(0),
            average: self.average + rates.iter().map(|rate| rate.average).max().unwrap_or(0),
        }
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

fn write_sound(out: &mut String, before: &[&Rung], rung: &Rung) {
    let language = language(rung);
    let yes_no = if before.is_empty() { "YES" } else { "NO" };
    // Names must differ within a group, even where two tracks have one language.
    let name = if before.iter().any(|other| self::language(other) == language) {
        quoted(&format!("{language} ({})", rung.plan.name))
    } else if language == "und" {
        quoted("Default")
    } else {
        quoted(language)
    };
    let _ = writeln!(
        out,
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{AUDIO_GROUP}\",LANGUAGE=\"{language}\",NAME={name},\
         DEFAULT={yes_no},AUTOSELECT=YES,CHANNELS=\"{CHANNELS}\",URI={}",
        address(rung),
    );
}

fn write_variant(out: &mut String, rate: Rate, rung: &Rung, sounds: &[&Rung], texts: &str) {
    let mut codecs = vec![rung.codecs.as_str()];
    for sound in sounds {
        if !codecs.contains(&sound.codecs.as_str()) {
            codecs.push(&sound.codecs);
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
    if !sounds.is_empty() {
        let _ = write!(out, ",AUDIO=\"{AUDIO_GROUP}\"");
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
