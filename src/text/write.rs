//! Writes cues as WebVTT: whole, and cut into segments for HLS.

use super::Cue;
use super::markup::escape;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Shortest length of a segment of text in seconds.
pub const SEGMENT_SECONDS: u64 = 6;

/// Most segments of one track; longer films have longer segments, for each is a file.
const SEGMENTS_MAX: u64 = 600;

/// Puts the times of cues on the time line of the pictures (RFC 8216, section 3.5): both begin at
/// zero, where the first segment shows its first picture.
const TIMESTAMP_MAP: &str = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n";

/// Returns how long segments of text are in a film of `film_ms`, in seconds.
pub fn segment_seconds(film_ms: u64) -> u64 {
    film_ms.div_ceil(1000).div_ceil(SEGMENTS_MAX).max(SEGMENT_SECONDS)
}

/// Returns how many segments a film of `film_ms` has: none is shorter than half a second, so the
/// rest of a film belongs to the last.
pub fn segments(film_ms: u64, every: u64) -> u64 {
    const REST_MS: u64 = 499;
    film_ms.saturating_sub(REST_MS).div_ceil(every.max(1) * 1000).max(1)
}

/// Writes all cues as one file.
pub fn whole(cues: &[Cue]) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for cue in cues {
        write_cue(&mut out, cue);
    }
    out
}

/// Writes segment `number`, counted from 1, of segments that last `every` seconds; `last` also
/// holds what comes after its end. Cues that lie across a boundary stand on both sides of it.
pub fn segment(cues: &[Cue], number: u64, every: u64, last: bool) -> String {
    let from = number.saturating_sub(1) * every * 1000;
    let to = if last { u64::MAX } else { from + every * 1000 };
    let mut out = format!("WEBVTT\n{TIMESTAMP_MAP}\n");
    // Sorted by start: none after the first that begins too late belongs here.
    for cue in cues.iter().take_while(|cue| cue.start_ms < to).filter(|cue| cue.end_ms > from) {
        write_cue(&mut out, cue);
    }
    out
}

/// Returns the name of a segment's file.
pub fn segment_file(number: u64) -> String {
    format!("{number}.vtt")
}

/// Writes the playlist of a track that is cut like this. All of it is there from the beginning, so
/// its target may differ from the pictures' (RFC 8216, section 6.2.4).
pub fn playlist(film_ms: u64, every: u64) -> String {
    let count = segments(film_ms, every);
    let length =
        |number| if number < count { every * 1000 } else { film_ms - (count - 1) * every * 1000 };
    let longest = (1..=count).map(length).max().unwrap_or(0);
    let mut out = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n",
        ((longest + 500) / 1000).max(1),
    );
    for number in 1..=count {
        let (seconds, ms) = (length(number) / 1000, length(number) % 1000);
        let _ = write!(out, "#EXTINF:{seconds}.{ms:03},\n{}\n", segment_file(number));
    }
    out.push_str("#EXT-X-ENDLIST\n");
    out
}

/// Returns a number for bytes: other bytes have another one, but for one chance in a thousand
/// million. It names files whose bytes must never change behind their address.
pub fn number_of(parts: &[&[u8]]) -> u32 {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    let sum = sum.finalize();
    let head = sum.iter().take(8).fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    // At least 1 and at most nine digits, as numbers in the names of directories are.
    (head % 999_999_999) as u32 + 1
}

/// Writes chapters as a WebVTT file: start and end in milliseconds, and a title of plain words.
pub fn chapters<'c>(chapters: impl Iterator<Item = (u64, u64, &'c str)>) -> String {
    let mut out = String::from("WEBVTT\n\n");
    for (start_ms, end_ms, title) in chapters {
        let mut text = String::new();
        title.chars().for_each(|c| escape(&mut text, c));
        write_cue(&mut out, &Cue { start_ms, end_ms, settings: String::new(), text });
    }
    out
}

fn write_cue(out: &mut String, cue: &Cue) {
    write_time(out, cue.start_ms);
    out.push_str(" --> ");
    write_time(out, cue.end_ms);
    if !cue.settings.is_empty() {
        out.push(' ');
        out.push_str(&cue.settings);
    }
    let _ = write!(out, "\n{}\n\n", cue.text);
}

fn write_time(out: &mut String, ms: u64) {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let _ = write!(out, "{:02}:{:02}:{seconds:02}.{ms:03}", minutes / 60, minutes % 60);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(start_ms: u64, end_ms: u64) -> Cue {
        Cue::new(start_ms, end_ms, String::new(), &format!("{start_ms}")).expect("a cue")
    }

    /// Every cue stands in each segment that it touches and in no other, whatever lies past the
    /// film's end in the last one, and every segment says where its times belong.
    #[test]
    fn segments_share_what_lies_across() {
        let cues = [cue(0, 1000), cue(5000, 13_000), cue(6000, 7000), cue(30_000, 31_000)];
        let count = segments(14_000, 6);
        assert_eq!(count, 3);
        let held: Vec<Vec<u64>> = (1..=count)
            .map(|number| {
                let text = segment(&cues, number, 6, number == count);
                assert!(
                    text.starts_with("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n")
                );
                let words = text.lines().filter_map(|line| line.parse().ok());
                words.collect()
            })
            .collect();
        assert_eq!(held, [vec![0, 5000], vec![5000, 6000], vec![5000, 30_000]]);
    }

    /// Segments are six seconds long and grow only in films with too many of them.
    #[test]
    fn lengths() {
        for (ms, every, count) in [
            (0, 6, 1),
            (3_000, 6, 1),
            (12_000, 6, 2),
            (12_400, 6, 2),
            (12_600, 6, 3),
            (3_600_000, 6, 600),
            (7_200_000, 12, 600),
            (86_400_000, 144, 600),
        ] {
            assert_eq!((segment_seconds(ms), segments(ms, every)), (every, count), "{ms}");
        }
    }

    /// A playlist covers the film to the millisecond, and no segment is longer than its target.
    #[test]
    fn playlists() {
        let text = playlist(12_499, 6);
        let expect = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n\
                      #EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
                      #EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:6.000,\n1.vtt\n\
                      #EXTINF:6.499,\n2.vtt\n#EXT-X-ENDLIST\n";
        assert_eq!(text, expect);
        for (ms, target) in [(0, 1), (400, 1), (6_000, 6), (12_500, 6), (6_499, 6), (7_200_000, 12)]
        {
            let text = playlist(ms, segment_seconds(ms));
            assert!(text.contains(&format!("#EXT-X-TARGETDURATION:{target}\n")), "{ms}: {text}");
            let sum: f64 = text
                .lines()
                .filter_map(|line| {
                    line.strip_prefix("#EXTINF:")?.strip_suffix(',')?.parse::<f64>().ok()
                })
                .sum();
            assert!((sum * 1000.0 - ms as f64).abs() < 0.5, "{ms}: {sum}");
        }
    }

    /// Other bytes have other numbers, and where parts end matters.
    #[test]
    fn numbers_name_bytes() {
        assert_eq!(number_of(&[b"a", b"b"]), number_of(&[b"a", b"b"]));
        assert_ne!(number_of(&[b"a", b"b"]), number_of(&[b"ab", b""]));
        assert!((1..1_000_000_000).contains(&number_of(&[])));
    }

    /// Titles of chapters are words, whatever they look like.
    #[test]
    fn chapters_are_words() {
        let text = chapters([(0, 90_061_001, "A <b>&\n--> 00:01")].into_iter());
        let expect = "WEBVTT\n\n00:00:00.000 --> 25:01:01.001\nA &lt;b&gt;&amp;--&gt; 00:01\n\n";
        assert_eq!(text, expect);
    }
}
