//! Packets of text tracks, as containers carry them, turned into cues.
//!
//! No decoder of FFmpeg is needed for words: the formats are small, and reading them here keeps
//! them away from code that was written for another time.

use super::{CUE_BYTES_MAX, Cue};

/// How the words lie in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// MP4's timed text (3GPP TS 26.245): a length, UTF-8 or UTF-16, and boxes of styles.
    MovText,
    /// Advanced SubStation Alpha as Matroska has it: fields with commas, the words last.
    Ass,
    /// Words with SRT's or WebVTT's markup.
    Plain,
}

/// Reads one packet; `None` if there is nothing to show.
pub fn cue_of_packet(kind: PacketKind, data: &[u8], start_ms: u64, end_ms: u64) -> Option<Cue> {
    // Beyond this no cue could fit; markup that goes takes room too.
    let data = data.get(..data.len().min(4 * CUE_BYTES_MAX))?;
    let (settings, words) = match kind {
        PacketKind::MovText => (String::new(), mov_text(data)?),
        PacketKind::Ass => ass(&String::from_utf8_lossy(data)),
        PacketKind::Plain => (String::new(), String::from_utf8_lossy(data).into_owned()),
    };
    Cue::new(start_ms, end_ms, settings, &words)
}

/// Bits of a style in timed text, and the markup for them.
const FACES: [(u8, &str); 3] = [(1, "b"), (2, "i"), (4, "u")];

/// Most styled runs of one cue that are looked at.
const RUNS_MAX: usize = 64;

fn mov_text(data: &[u8]) -> Option<String> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let (words, boxes) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let words = match words {
        [0xfe, 0xff, rest @ ..] => {
            let units = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
        }
        words => String::from_utf8_lossy(words).into_owned(),
    };
    let runs = styles(boxes);
    let mut out = String::with_capacity(words.len());
    let mut face = 0;
    for (at, c) in words.chars().enumerate() {
        let wanted = runs
            .iter()
            .find(|(from, to, _)| (usize::from(*from)..usize::from(*to)).contains(&at))
            .map_or(0, |(_, _, face)| *face);
        if wanted != face {
            turn(&mut out, face, "/");
            turn(&mut out, wanted, "");
            face = wanted;
        }
        // These are words here, whatever they look like.
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    turn(&mut out, face, "/");
    Some(out)
}

/// Writes the tags of a face, the closing ones in the other order.
fn turn(out: &mut String, face: u8, slash: &str) {
    let mut names: Vec<&str> =
        FACES.iter().filter(|(bit, _)| face & bit != 0).map(|(_, name)| *name).collect();
    if !slash.is_empty() {
        names.reverse();
    }
    for name in names {
        out.push('<');
        out.push_str(slash);
        out.push_str(name);
        out.push('>');
    }
}

/// Reads the `styl` box: from, to (in characters) and face of each run.
fn styles(mut boxes: &[u8]) -> Vec<(u16, u16, u8)> {
    const RUN_BYTES: usize = 12;
    while let Some((head, rest)) = boxes.split_first_chunk::<8>() {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = size.checked_sub(8).and_then(|size| rest.get(..size)) else { break };
        if &head[4..] == b"styl" {
            let runs = body.get(2..).unwrap_or_default().chunks_exact(RUN_BYTES).take(RUNS_MAX);
            let number = |run: &[u8], at: usize| u16::from_be_bytes([run[at], run[at + 1]]);
            return runs.map(|run| (number(run, 0), number(run, 2), run[6])).collect();
        }
        boxes = &rest[body.len()..];
    }
    Vec::new()
}

/// Reads `ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,Effect,Text`: settings and words.
fn ass(line: &str) -> (String, String) {
    let words = line.splitn(9, ',').nth(8).unwrap_or_default();
    let mut out = String::with_capacity(words.len());
    let (mut settings, mut drawing) = (String::new(), false);
    let mut rest = words;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '{' => match rest.split_once('}') {
                Some((inside, after)) => {
                    for tag in inside.split('\\').skip(1) {
                        override_tag(tag.trim(), &mut out, &mut settings, &mut drawing);
                    }
                    rest = after;
                }
                None => out.push('{'),
            },
            '\\' if rest.starts_with(['N', 'n']) => {
                out.push('\n');
                rest = &rest[1..];
            }
            '\\' if rest.starts_with('h') => {
                out.push_str("&nbsp;");
                rest = &rest[1..];
            }
            // Points of a drawing aren't words.
            _ if drawing => {}
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
    (settings, out)
}

fn override_tag(tag: &str, out: &mut String, settings: &mut String, drawing: &mut bool) {
    match tag {
        "b0" => out.push_str("</b>"),
        "i0" => out.push_str("</i>"),
        "u0" => out.push_str("</u>"),
        "b1" | "b700" => out.push_str("<b>"),
        "i1" => out.push_str("<i>"),
        "u1" => out.push_str("<u>"),
        "an7" | "an8" | "an9" => *settings = "line:0".to_owned(),
        "r" => out.push_str("</b></i></u>"),
        "p0" => *drawing = false,
        _ => {
            let level = tag.strip_prefix('p').and_then(|level| level.parse::<u32>().ok());
            *drawing |= level.is_some_and(|level| level > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: PacketKind, data: &[u8], settings: &str, text: &str) {
        let got = cue_of_packet(kind, data, 0, 1000).map(|cue| (cue.settings, cue.text));
        let expect = (!text.is_empty()).then(|| (settings.to_owned(), text.to_owned()));
        assert_eq!(got, expect, "{:?}", String::from_utf8_lossy(data));
    }

    fn sample(words: &[u8], boxes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(words.len()).expect("short");
        [&length.to_be_bytes(), words, boxes].concat()
    }

    /// MP4's text with its styles, in both encodings; what is cut short shows nothing.
    #[test]
    fn mov_text_is_read() {
        let styl = |runs: &[(u16, u16, u8)]| {
            let mut body = u16::try_from(runs.len()).expect("few").to_be_bytes().to_vec();
            for (from, to, face) in runs {
                body.extend(from.to_be_bytes());
                body.extend(to.to_be_bytes());
                body.extend([0, 1, *face, 18, 255, 255, 255, 255]);
            }
            [&(8 + body.len() as u32).to_be_bytes()[..], b"styl", &body].concat()
        };
        let kind = PacketKind::MovText;
        check(kind, &sample("Grüße".as_bytes(), b""), "", "Grüße");
        check(kind, &sample(b"a <b> & c", b""), "", "a &lt;b&gt; &amp; c");
        check(kind, &sample(b"all bold", &styl(&[(0, 8, 3)])), "", "<b><i>all bold</i></b>");
        check(kind, &sample(b"one two", &styl(&[(4, 7, 2)])), "", "one <i>two</i>");
        let boxes = [&[0, 0, 0, 8, b'h', b'l', b'i', b't'][..], &styl(&[(0, 1, 1)])].concat();
        check(kind, &sample(b"xy", &boxes), "", "<b>x</b>y");
        check(kind, &sample(&[0xfe, 0xff, 0, b'h', 0, b'i'], b""), "", "hi");
        check(kind, &sample(b"", b""), "", "");
        check(kind, &[0, 9, b'x'], "", "");
        check(kind, &[0], "", "");
        check(kind, &sample(b"x", &[255; 9]), "", "x");
    }

    /// ASS keeps its words, the faces that WebVTT has and the place at the top, nothing else.
    #[test]
    fn ass_is_reduced() {
        let reduced = |text: &str, settings: &str, expect: &str| {
            let line = format!("0,0,Default,,0,0,0,,{text}");
            check(PacketKind::Ass, line.as_bytes(), settings, expect);
        };
        reduced("Hello, you\\Nthere", "", "Hello, you\nthere");
        reduced("{\\an8\\b1}Top{\\b0} rest", "line:0", "<b>Top</b> rest");
        reduced("{\\fs20\\c&H00FF00&\\pos(1,2)}plain {comment}", "", "plain");
        reduced("{\\p1}m 0 0 l 100 0{\\p0}seen", "", "seen");
        reduced("{\\i1}never closed <script>", "", "<i>never closed &lt;script&gt;</i>");
        reduced("{\\p1}m 0 0 l 100 0", "", "");
        check(PacketKind::Ass, b"too,few,fields", "", "");
    }
}
