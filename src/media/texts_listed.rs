//! Text tracks in the HLS and DASH playlists. Pure; the playlist of one track is `text`'s.

use super::playlist::quoted;
use crate::model::manifest::{MEDIA_PLAYLIST_FILE, Manifest};
use crate::model::text::{TextKind, WHOLE_TEXT_FILE};
use std::fmt::Write;

/// The group that every variant refers to.
const TEXT_GROUP: &str = "text";

/// What text for those who don't hear describes (Apple's authoring specification, 4.3).
const DESCRIBES: &str =
    "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound";

/// Writes the text group of a multivariant playlist; nothing without text tracks.
///
/// No track is shown unasked: the mark that containers have for it is set on most first tracks.
/// Players choose by the language that their user has set (`AUTOSELECT`).
pub(super) fn write_group(out: &mut String, manifest: &Manifest) {
    let mut names: Vec<String> = Vec::new();
    for (track, cut) in manifest.text_tracks() {
        // Names must differ within a group.
        let mut name = track.label.clone();
        if names.contains(&name) {
            name = format!("{name} ({})", track.name());
        }
        let forced = if track.kind == TextKind::Forced { "YES" } else { "NO" };
        let _ = write!(
            out,
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"{TEXT_GROUP}\",LANGUAGE={},NAME={},\
             DEFAULT=NO,AUTOSELECT=YES,FORCED={forced}",
            quoted(&track.lang),
            quoted(&name),
        );
        if track.kind == TextKind::Captions {
            let _ = write!(out, ",CHARACTERISTICS=\"{DESCRIBES}\"");
        }
        let _ = writeln!(out, ",URI=\"{}/{MEDIA_PLAYLIST_FILE}\"", cut.directory());
        names.push(name);
    }
}

/// Returns what a variant says of the text group: its attribute, or nothing without text tracks.
pub(super) fn group_attribute(manifest: &Manifest) -> String {
    match manifest.text_tracks().is_empty() {
        true => String::new(),
        false => format!(",SUBTITLES=\"{TEXT_GROUP}\""),
    }
}

/// Writes one adaptation set for each text track; `escaped` is the manifest's way with text.
pub(super) fn write_sets(out: &mut String, manifest: &Manifest, escaped: fn(&str) -> String) {
    for (track, cut) in manifest.text_tracks() {
        let role = match track.kind {
            TextKind::Subtitles => "subtitle",
            TextKind::Captions => "caption",
            TextKind::Forced => "forced-subtitle",
        };
        let name = escaped(&track.name());
        let _ = write!(
            out,
            "    <AdaptationSet contentType=\"text\" mimeType=\"text/vtt\" \
             lang=\"{}\">\n\
             \x20     <Label>{}</Label>\n\
             \x20     <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"{role}\"/>\n\
             \x20     <Representation id=\"text-{name}\" bandwidth=\"{TEXT_BANDWIDTH}\">\n\
             \x20       <BaseURL>{}/{WHOLE_TEXT_FILE}</BaseURL>\n\
             \x20     </Representation>\n    </AdaptationSet>\n",
            escaped(&track.lang),
            escaped(&track.label),
            cut.directory(),
        );
    }
}

/// Bits a second that a track of text is said to take; the schema demands a number.
const TEXT_BANDWIDTH: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::dash::mpd;
    use crate::media::playlist::multivariant;
    use crate::media::playlist::tests::film;
    use crate::model::text::{TextCut, TextTrack};
    use crate::units::UnixMillis;

    fn track(lang: &str, label: &str, kind: TextKind, number: u32) -> TextTrack {
        let cut = (number > 0).then_some(TextCut { number, every: 6, film_ms: 10_500 });
        let (lang, label) = (lang.to_owned(), label.to_owned());
        TextTrack { lang, label, kind, ordinal: 1, stored: number, cut }
    }

    /// Every track stands in the group with what it is for, every variant refers to it, and what
    /// isn't cut yet isn't named; without tracks nothing is said of text.
    #[test]
    fn hls_names_the_tracks() {
        let mut manifest = film();
        assert!(!multivariant(&manifest).contains("SUBTITLES"));
        manifest.texts = Some(vec![
            track("de", "Deutsch", TextKind::Subtitles, 7),
            track("en", "English", TextKind::Captions, 8),
            track("en", "English", TextKind::Forced, 9),
            track("fr", "Français", TextKind::Subtitles, 0),
        ]);
        manifest.captions = vec![track("de", "Neu", TextKind::Subtitles, 10)];
        let text = multivariant(&manifest);
        let medias: Vec<&str> =
            text.lines().filter(|line| line.contains("TYPE=SUBTITLES")).collect();
        let expect = [
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",LANGUAGE=\"de\",NAME=\"Neu\",\
             DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI=\"text-10/media.m3u8\"",
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",LANGUAGE=\"en\",NAME=\"English\",\
             DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,\
             CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog,\
             public.accessibility.describes-music-and-sound\",URI=\"text-8/media.m3u8\"",
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",LANGUAGE=\"en\",\
             NAME=\"English (en_forced)\",DEFAULT=NO,AUTOSELECT=YES,FORCED=YES,\
             URI=\"text-9/media.m3u8\"",
        ];
        assert_eq!(medias, expect);
        for line in text.lines().filter(|line| line.starts_with("#EXT-X-STREAM-INF")) {
            assert!(line.ends_with(",SUBTITLES=\"text\""), "{line}");
        }
        m3u8_rs::parse_master_playlist_res(text.as_bytes()).expect(&text);
    }

    /// DASH has a set for each track, and words can't leave their place in either.
    #[test]
    fn words_stay_in_their_place() {
        let mut manifest = film();
        let hostile = "a\"/><script>,URI=\"x\n#EXT";
        manifest.captions = vec![track("de", hostile, TextKind::Forced, 7)];
        let text = mpd(&manifest, UnixMillis(0), UnixMillis(0));
        let expect = "    <AdaptationSet contentType=\"text\" mimeType=\"text/vtt\" lang=\"de\">
      <Label>a&quot;/&gt;&lt;script&gt;,URI=&quot;x#EXT</Label>
      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"forced-subtitle\"/>
      <Representation id=\"text-de_forced\" bandwidth=\"1000\">
        <BaseURL>text-7/whole.vtt</BaseURL>
      </Representation>
    </AdaptationSet>
";
        assert!(text.contains(expect), "{text}");
        let text = multivariant(&manifest);
        assert!(text.contains("NAME=\"a/><script>,URI=x#EXT\","), "{text}");
        assert!(!text.contains("\n#EXT\""), "{text}");
    }
}
