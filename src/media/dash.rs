//! The DASH manifest as a pure function of a video's manifest.
//!
//! It names the very files that the HLS playlists name: profile "isoff-live" with a timeline for
//! each representation (ISO/IEC 23009-1). Called by `pipeline` whenever it has changed the
//! manifest.

use super::playlist::sounds::forms;
use super::playlist::{language, playable, rate, target_seconds};
use super::texts_listed;
use crate::model::manifest::{INIT_FILE, Manifest, Rung};
use crate::model::rendition::{RenditionKind, SoundPurpose};
use crate::units::UnixMillis;
use std::fmt::Write;

const NAMESPACE: &str = "urn:mpeg:dash:schema:mpd:2011";
const PROFILE: &str = "urn:mpeg:dash:profile:isoff-live:2011";
const CHANNEL_SCHEME: &str = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011";
const ROLE_SCHEME: &str = "urn:mpeg:dash:role:2011";
const PURPOSE_SCHEME: &str = "urn:tva:metadata:cs:AudioPurposeCS:2007";

/// How often a player asks what is new while rungs grow; shorter than a segment, as one that plays
/// as fast as the encoder works would otherwise stand still for most of a segment.
const UPDATE_SECONDS: u32 = 2;

/// Taken as the length of a growing film of which it isn't known: longer than any.
const UNKNOWN_SECONDS: f64 = 86_400.0;

/// Writes `manifest.mpd`: dynamic while rungs grow, static at the end.
///
/// `now` is the time of writing. `started` is when work on the video began and must be the same in
/// every writing of one run: players compute from it what can be fetched.
pub fn mpd(manifest: &Manifest, now: UnixMillis, started: UnixMillis) -> String {
    let pictures = playable(manifest, RenditionKind::Video);
    let sounds = playable(manifest, RenditionKind::Audio);
    let all = || pictures.iter().chain(&sounds);
    let target = all().map(|rung| target_seconds(rung)).max().unwrap_or(1);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = write!(out, "<MPD xmlns=\"{NAMESPACE}\" profiles=\"{PROFILE}\"");
    let _ = write!(out, " minBufferTime=\"PT{target}S\" maxSegmentDuration=\"PT{target}S\"");
    if manifest.complete {
        let seconds = all().map(|rung| rung.seconds()).fold(0.0, f64::max);
        let _ = write!(out, " type=\"static\" mediaPresentationDuration=\"PT{seconds:.3}S\"");
    } else {
        // Segments appear faster than they play, or slower; a player must neither wait for those
        // that are there nor start at the end. So the presentation "began" its own length before
        // the work did, and is to be watched that length behind.
        let length = Some(manifest.duration).filter(|seconds| *seconds > 0.0);
        let length = length.unwrap_or(UNKNOWN_SECONDS);
        let length_ms = (length * 1000.0).ceil() as i64;
        let from = UnixMillis(started.0.saturating_sub(length_ms));
        let _ = write!(
            out,
            " type=\"dynamic\" availabilityStartTime=\"{}\" publishTime=\"{}\" \
             minimumUpdatePeriod=\"PT{UPDATE_SECONDS}S\" suggestedPresentationDelay=\"PT{:.3}S\"",
            from.to_rfc3339(),
            now.to_rfc3339(),
            length,
        );
    }
    out.push_str(">\n  <Period id=\"0\" start=\"PT0S\">\n");
    if !pictures.is_empty() {
        write_pictures(&mut out, &pictures);
    }
    for (index, form) in forms(&sounds).iter().enumerate() {
        write_sound(&mut out, index + 1, form);
    }
    texts_listed::write_sets(&mut out, manifest, escaped);
    out.push_str("  </Period>\n</MPD>\n");
    out
}

fn write_pictures(out: &mut String, rungs: &[&Rung]) {
    out.push_str(
        "    <AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" \
         segmentAlignment=\"true\" startWithSAP=\"1\">\n",
    );
    for rung in rungs {
        let plan = &rung.plan;
        let mut shape = format!(" width=\"{}\" height=\"{}\" sar=\"1:1\"", plan.width, plan.height);
        if let Some(rate) = frame_rate(plan.frame_rate) {
            let _ = write!(shape, " frameRate=\"{rate}\"");
        }
        write_representation(out, rung, &shape, "");
    }
    out.push_str("    </AdaptationSet>\n");
}

/// Writes one form of a track: rungs that a player may switch between.
fn write_sound(out: &mut String, id: usize, rungs: &[&Rung]) {
    let Some(rung) = rungs.first() else { return };
    let _ = writeln!(
        out,
        "    <AdaptationSet id=\"{id}\" contentType=\"audio\" mimeType=\"audio/mp4\" \
         lang=\"{}\" segmentAlignment=\"true\" startWithSAP=\"1\">",
        escaped(language(rung)),
    );
    if let Some(sound) = &rung.plan.sound {
        let _ = writeln!(out, "      <Label>{}</Label>", escaped(&sound.label));
        if let Some(purpose) = accessibility(sound.purpose) {
            let _ = writeln!(
                out,
                "      <Accessibility schemeIdUri=\"{PURPOSE_SCHEME}\" value=\"{purpose}\"/>"
            );
        }
    }
    let _ = writeln!(out, "      <Role schemeIdUri=\"{ROLE_SCHEME}\" value=\"{}\"/>", role(rung));
    for rung in rungs {
        let channels = format!(
            "        <AudioChannelConfiguration schemeIdUri=\"{CHANNEL_SCHEME}\" \
             value=\"{}\"/>\n",
            rung.plan.layout().channels()
        );
        write_representation(out, rung, "", &channels);
    }
    out.push_str("    </AdaptationSet>\n");
}

/// Returns what a track is, in the words of ISO/IEC 23009-1, 5.8.5.5.
fn role(rung: &Rung) -> &'static str {
    match &rung.plan.sound {
        Some(sound) if sound.purpose == SoundPurpose::Commentary => "commentary",
        Some(sound) if sound.track > 0 => "alternate",
        _ => "main",
    }
}

/// Returns the number of TV-Anytime's list of purposes for those who can't see or hear well.
fn accessibility(purpose: SoundPurpose) -> Option<u8> {
    match purpose {
        SoundPurpose::Main | SoundPurpose::Commentary => None,
        SoundPurpose::Description => Some(1),
        SoundPurpose::Clear => Some(2),
    }
}

/// Writes one rung; `shape` are attributes, `inside` are elements that come before its address.
fn write_representation(out: &mut String, rung: &Rung, shape: &str, inside: &str) {
    let _ = write!(
        out,
        "      <Representation id=\"{}\" bandwidth=\"{}\" codecs=\"{}\"{shape}>\n{inside}\
         \x20       <BaseURL>{}/</BaseURL>\n\
         \x20       <SegmentTemplate timescale=\"{}\" startNumber=\"1\" \
         initialization=\"{INIT_FILE}\" media=\"$Number$.m4s\">\n          <SegmentTimeline>\n",
        escaped(&rung.plan.name),
        rate(rung).peak,
        escaped(&rung.codecs),
        escaped(&rung.directory()),
        rung.timescale,
    );
    write_timeline(out, rung);
    out.push_str(
        "          </SegmentTimeline>\n        </SegmentTemplate>\n      </Representation>\n",
    );
}

/// Writes segments of one length as one line with a count of repetitions.
fn write_timeline(out: &mut String, rung: &Rung) {
    let mut start = " t=\"0\"";
    for run in rung.segments.chunk_by(|a, b| a.ticks == b.ticks) {
        let _ = write!(out, "            <S{start} d=\"{}\"", run[0].ticks);
        if run.len() > 1 {
            let _ = write!(out, " r=\"{}\"", run.len() - 1);
        }
        out.push_str("/>\n");
        start = "";
    }
}

/// Writes pictures a second as DASH does: a whole number or a fraction of two.
fn frame_rate(rate: f64) -> Option<String> {
    if !rate.is_finite() || rate <= 0.0 {
        return None;
    }
    let near = |value: f64| (value - value.round()).abs() < 0.005;
    Some(if near(rate) {
        format!("{}", rate.round())
    } else if near(rate * 1.001) {
        // The rates of NTSC: 29.97 is 30000/1001.
        format!("{}/1001", (rate * 1.001).round() * 1000.0)
    } else {
        format!("{}/1000", (rate * 1000.0).round())
    })
}

/// Writes text so that it can stand in an attribute or between tags.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // XML 1.0 has no way to write them.
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::playlist::tests::{film, sound};

    /// While a film grows, its manifest is dynamic, its clock stands still between writings, and
    /// every listed segment counts as available.
    #[test]
    fn a_growing_film_is_dynamic() {
        let mut manifest = film();
        manifest.complete = false;
        manifest.rungs[1].complete = false;
        let started = UnixMillis(1_700_000_000_000);
        let text = mpd(&manifest, UnixMillis(1_700_000_007_000), started);
        assert!(
            text.contains(
                "type=\"dynamic\" availabilityStartTime=\"2023-11-14T22:13:09.500Z\" \
            publishTime=\"2023-11-14T22:13:27.000Z\" minimumUpdatePeriod=\"PT2S\" \
            suggestedPresentationDelay=\"PT10.500S\""
            ),
            "{text}"
        );
        assert!(!text.contains("mediaPresentationDuration"));
        let later = mpd(&manifest, UnixMillis(1_700_000_099_000), started);
        assert!(later.contains("availabilityStartTime=\"2023-11-14T22:13:09.500Z\""));
    }

    /// A finished film: both kinds apart, one address and one timeline for each rung.
    #[test]
    fn a_finished_film_is_static() {
        let text = mpd(&film(), UnixMillis(0), UnixMillis(0));
        let expect = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" minBufferTime="PT4S" maxSegmentDuration="PT4S" type="static" mediaPresentationDuration="PT10.500S">
  <Period id="0" start="PT0S">
    <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
      <Representation id="360p" bandwidth="900000" codecs="avc1.64001e" width="640" height="360" sar="1:1" frameRate="30000/1001">
        <BaseURL>360p-1/</BaseURL>
        <SegmentTemplate timescale="1000" startNumber="1" initialization="init.mp4" media="$Number$.m4s">
          <SegmentTimeline>
            <S t="0" d="4000" r="1"/>
            <S d="2500"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
      <Representation id="720p" bandwidth="2000000" codecs="avc1.64001e" width="1280" height="720" sar="1:1" frameRate="30000/1001">
        <BaseURL>720p-1/</BaseURL>
        <SegmentTemplate timescale="1000" startNumber="1" initialization="init.mp4" media="$Number$.m4s">
          <SegmentTimeline>
            <S t="0" d="4000" r="1"/>
            <S d="2500"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
    <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" lang="de" segmentAlignment="true" startWithSAP="1">
      <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
      <Representation id="audio" bandwidth="130000" codecs="mp4a.40.2">
        <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
        <BaseURL>audio-1/</BaseURL>
        <SegmentTemplate timescale="1000" startNumber="1" initialization="init.mp4" media="$Number$.m4s">
          <SegmentTimeline>
            <S t="0" d="4000" r="1"/>
            <S d="2500"/>
          </SegmentTimeline>
        </SegmentTemplate>
      </Representation>
    </AdaptationSet>
  </Period>
</MPD>
"#;
        assert_eq!(text, expect);
    }

    /// Text from a file can't leave the place where it is written.
    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a<b>&\"c'\n"), "a&lt;b&gt;&amp;&quot;c&apos;");
        let mut manifest = film();
        manifest.rungs = vec![sound("audio", Some("de\"/><script>"))];
        let text = mpd(&manifest, UnixMillis(0), UnixMillis(0));
        assert!(text.contains("lang=\"und\"") && !text.contains("script"), "{text}");
    }

    /// Rates are whole numbers or fractions, as the schema demands.
    #[test]
    fn frame_rates_are_fractions() {
        for (rate, expect) in [
            (25.0, Some("25")),
            (23.976, Some("24000/1001")),
            (29.970_03, Some("30000/1001")),
            (59.94, Some("60000/1001")),
            (12.5, Some("12500/1000")),
            (0.0, None),
            (f64::NAN, None),
        ] {
            assert_eq!(frame_rate(rate).as_deref(), expect, "{rate}");
        }
    }
}
