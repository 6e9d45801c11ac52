//! Reads WebVTT and SRT, forgiving as browsers and players are.

use super::{CUES_MAX, Cue, TEXT_BYTES_MAX, TIME_MS_MAX, TextError, checked};

/// Reads a text file of either format into cues, sorted and cleaned. What has no time, or one that
/// makes no sense, is passed over; notes, styles and regions as well.
///
/// # Errors
/// `NotUtf8`, `Unknown`, `Empty`, `TooLong`, `TooDense`.
pub fn read(bytes: &[u8]) -> Result<Vec<Cue>, TextError> {
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| TextError::NotUtf8)?;
    // A file of UTF-16 without its mark is ASCII with zeros between.
    if text.bytes().take(64).any(|byte| byte == 0) {
        return Err(TextError::NotUtf8);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let is_vtt = text
        .strip_prefix("WEBVTT")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']));
    let mut lines = text.split('\n').peekable();
    let mut cues = Vec::new();
    let mut timed = false;
    while let Some(line) = lines.next() {
        let Some((start_ms, end_ms, rest)) = timing(line) else { continue };
        timed = true;
        let mut words = String::new();
        // A line with an arrow begins the next cue even where the empty line is missing.
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty() && !is_timing(line)) {
            words.push_str(line);
            words.push('\n');
        }
        let settings = if is_vtt { settings(rest) } else { String::new() };
        if words.len() > super::CUE_BYTES_MAX {
            return Err(TextError::TooLong);
        }
        cues.extend(Cue::new(start_ms, end_ms, settings, &words));
        if cues.len() > CUES_MAX {
            return Err(TextError::TooLong);
        }
    }
    if !is_vtt && !timed { Err(TextError::Unknown) } else { checked(cues) }
}

fn is_timing(line: &str) -> bool {
    timing(line).is_some()
}

/// Reads `00:01.000 --> 00:02.000 settings`, with a comma as SRT has it, with or without hours.
fn timing(line: &str) -> Option<(u64, u64, &str)> {
    let (from, rest) = line.split_once("-->")?;
    let rest = rest.trim_start();
    let end = rest.find([' ', '\t']).unwrap_or(rest.len());
    Some((time(from.trim())?, time(&rest[..end])?, &rest[end..]))
}

fn time(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        let plain = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if plain { text.parse::<u64>().ok() } else { None }
    };
    let parts: Vec<&str> = whole.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (digits(hours, 4)?, digits(minutes, 2)?, digits(seconds, 2)?),
        [minutes, seconds] => (0, digits(minutes, 3)?, digits(seconds, 2)?),
        _ => return None,
    };
    let scale = 10_u64.pow(3_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?);
    let ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + digits(fraction, 3)? * scale;
    (ms <= TIME_MS_MAX).then_some(ms)
}

/// Keeps of a cue's settings what WebVTT defines and players place by; regions aren't kept.
fn settings(text: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    for word in text.split_whitespace().take(10) {
        let Some((name, value)) = word.split_once(':') else { continue };
        let new = !kept.iter().any(|kept| kept.starts_with(name));
        if new && fits(name, value) {
            kept.push(word.to_owned());
        }
    }
    kept.join(" ")
}

fn fits(name: &str, value: &str) -> bool {
    let (place, anchor) = value.split_once(',').unwrap_or((value, "center"));
    let anchored = ["start", "center", "end", "line-left", "line-right"].contains(&anchor);
    match name {
        "vertical" => ["rl", "lr"].contains(&value),
        "align" => ["start", "center", "end", "left", "right"].contains(&value),
        "size" => is_percentage(value),
        "position" => is_percentage(place) && anchored,
        "line" => (is_percentage(place) || is_line(place)) && anchored,
        _ => false,
    }
}

fn is_percentage(text: &str) -> bool {
    let Some(number) = text.strip_suffix('%').filter(|number| number.len() <= 8) else {
        return false;
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain && number.parse::<f64>().is_ok_and(|number| number <= 100.0)
}

fn is_line(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::whole;

    /// Reads a text and returns it as it would be published.
    fn written(text: &str) -> String {
        whole(&read(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}")))
    }

    /// The ways in which people's files differ, all read as they were meant.
    #[test]
    fn both_formats_are_read() {
        let expect = "WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello\nyou\n\n\
                      00:00:03.000 --> 00:00:04.000\nBye\n\n";
        for text in [
            "WEBVTT\n\n00:01.000 --> 00:02.500\nHello\nyou\n\n00:03.000 --> 00:04.000\nBye",
            "\u{feff}WEBVTT - a title\nKind: captions\n\nNOTE a note\nof two lines\n\n\
             STYLE\n::cue { background: url(http://elsewhere/) }\n\n\
             first\n00:00:01.000 --> 00:00:02.500\nHello\nyou\n\n\n00:03.000 --> 00:04.000\nBye\n",
            "1\n00:00:01,000 --> 00:00:02,500\nHello\nyou\n\n\
             2\n00:00:03,000 --> 00:00:04,000\nBye\n",
            "1\r\n00:00:01,000 --> 00:00:02,500\r\nHello\r\nyou\r\n\r\n\
             2\r\n0:0:3,0 --> 0:0:4\r\nBye",
            "\u{feff}2\n00:00:03,000 --> 00:00:04,000 X1:1 X2:2\nBye\n\n\
             1\n00:00:01.000-->00:00:02.5\nHello\nyou\n",
            "00:00:01,000 --> 00:00:02,500\nHello\nyou\n00:00:03,000 --> 00:00:04,000\nBye",
        ] {
            assert_eq!(written(text), expect, "{text:?}");
            assert_eq!(written(expect), expect, "what goes out reads the same");
        }
    }

    /// Times that make no sense are passed over, and where nothing is left that is said.
    #[test]
    fn nonsense_is_passed_over() {
        let bad = "WEBVTT\n\n00:02.000 --> 00:01.000\nbackwards\n\n\
                   99:99:99:99 --> 1\nno time\n\n00:01.000 --> 9999:00:00.000\nfar\n\n\
                   00:05.000 --> 00:06.000\n<b></b>\n";
        assert_eq!(read(bad.as_bytes()), Err(TextError::Empty));
        assert_eq!(read(b"WEBVTT"), Err(TextError::Empty));
        assert_eq!(read(b""), Err(TextError::Unknown));
        assert_eq!(read(b"Dear diary"), Err(TextError::Unknown));
        assert_eq!(read(b"WEBVTTX\n\nx"), Err(TextError::Unknown));
        assert_eq!(read(b"\xff\xfe1\0"), Err(TextError::NotUtf8));
        assert_eq!(read(b"1\0\n\0"), Err(TextError::NotUtf8));
        assert_eq!(read(b"1\n00:00:01,000 --> 00:00:02,000\n\xe9t\xe9"), Err(TextError::NotUtf8));
    }

    /// Settings that place a cue are kept, others and broken ones aren't.
    #[test]
    fn settings_are_checked() {
        for (given, kept) in [
            (" line:0 position:20%,line-left size:60% align:start", None),
            (" line:-1,end vertical:rl", None),
            (" region:fred line:90%,start", Some(" line:90%,start")),
            (" line:x position:200% size:1%% align:\"", Some("")),
            (" line:1 line:2", Some(" line:1")),
        ] {
            let text = format!("WEBVTT\n\n00:01.000 --> 00:02.000{given}\nx\n");
            let line = format!("00:00:01.000 --> 00:00:02.000{}\n", kept.unwrap_or(given));
            assert!(written(&text).contains(&line), "{}", written(&text));
        }
    }

    /// Every bound holds: bytes, cues, the length of one, and how much is shown at once.
    #[test]
    fn bounds() {
        let cue = |from: u64, to: u64, words: &str| {
            format!("{:02}:00.000 --> {:02}:00.000\n{words}\n\n", from, to)
        };
        let many = "WEBVTT\n\n".to_owned() + &cue(0, 1, "x").repeat(CUES_MAX);
        assert_eq!(read(many.as_bytes()).map(|cues| cues.len()), Ok(CUES_MAX));
        let more = many + &cue(0, 1, "x");
        assert_eq!(read(more.as_bytes()), Err(TextError::TooLong));
        assert_eq!(read(&vec![b' '; TEXT_BYTES_MAX + 1]), Err(TextError::TooLong));
        let long = "WEBVTT\n\n".to_owned() + &cue(0, 1, &"x".repeat(super::super::CUE_BYTES_MAX));
        assert_eq!(read(long.as_bytes()), Err(TextError::TooLong));
        let dense = "WEBVTT\n\n".to_owned() + &cue(0, 99, &"x".repeat(1000)).repeat(100);
        assert_eq!(read(dense.as_bytes()), Err(TextError::TooDense));
    }
}
