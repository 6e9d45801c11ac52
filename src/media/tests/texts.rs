//! Text tracks and chapters of real containers.

use super::*;
use crate::model::extra::text_file;
use crate::model::text::TextKind;

/// Reads what was written of a track, its cues as lines of start, words joined by a bar.
fn cues(out: &Path, number: usize) -> Vec<String> {
    let bytes = fs::read(out.join(text_file(number))).expect("the track was written");
    let cues = crate::text::read(&bytes).expect("it can be read");
    cues.iter().map(|cue| format!("{} {}", cue.start_ms, cue.text.replace('\n', "|"))).collect()
}

/// Matroska's words come out in the order of the file, with what each is for, right after the pass
/// that reads the film; the pictures that look like words are named and left out.
#[test]
fn matroska_has_words() {
    let out = out_dir();
    let outcome = run_on(&films().join("texts.mkv"), out.path(), order()).ok();
    check_film(out.path(), &outcome, 8.0);
    let found: Vec<(&str, &str, TextKind)> = outcome
        .texts
        .iter()
        .flatten()
        .map(|it| (it.lang.as_str(), it.label.as_str(), it.kind))
        .collect();
    assert_eq!(
        found,
        [
            ("de", "Deutsch \"neu\"", TextKind::Subtitles),
            ("en", "", TextKind::Captions),
            ("en", "", TextKind::Forced),
        ]
    );
    assert_eq!(cues(out.path(), 1), ["500 Grüße &amp; <b>mehr</b>", "5000 zwei|Zeilen"]);
    assert_eq!(cues(out.path(), 2), ["1000 [door slams]"]);
    assert_eq!(cues(out.path(), 3), ["3000 Exit"]);
    assert_eq!(outcome.warnings, ["text-not-read"]);
    let at = |name: &str| outcome.order_of_reports.iter().position(|it| it == name);
    assert!(at("texts") < at("240p"), "before what is encoded: {:?}", outcome.order_of_reports);
    let chapters: Vec<String> = outcome
        .chapters
        .iter()
        .map(|it| format!("{:.1} to {:.1}: {}", it.start, it.end, it.title))
        .collect();
    assert_eq!(chapters, ["0.0 to 4.0: First <part>", "4.0 to 8.0: Zweiter Teil"]);
}

/// MP4's words and chapters as well; where an earlier attempt has made everything else, the text
/// is read by itself, and where it made the text too, not at all.
#[test]
fn mp4_has_words() {
    let whole = out_dir();
    let outcome = run_on(&films().join("texts.mp4"), whole.path(), order()).ok();
    let words = cues(whole.path(), 1);
    assert_eq!(words[0], "500 Grüße &amp; <b>mehr</b>");
    assert_eq!(outcome.texts.as_ref().map(|found| found[0].lang.as_str()), Some("de"));
    assert_eq!(outcome.chapters.len(), 1, "the film ends before the second one");
    check_film(whole.path(), &outcome, 3.0);
    assert!(outcome.warnings.is_empty(), "words outlast this film: {:?}", outcome.warnings);

    let mut again = order();
    again.renditions_done = names(&outcome.plan).iter().map(|&name| name.to_owned()).collect();
    let out = out_dir();
    let alone = run_on(&films().join("texts.mp4"), out.path(), again.clone()).ok();
    assert!(alone.made.is_empty() && alone.texts == outcome.texts);
    assert_eq!(cues(out.path(), 1), words);

    again.extras_done = vec![ExtraKind::Texts, ExtraKind::Chapters, ExtraKind::Poster];
    let none = run_on(&films().join("texts.mp4"), out_dir().path(), again).ok();
    assert!(none.texts.is_none() && none.chapters.is_empty());
}

/// A film of AVI whose second track is turned into text: a file in a file (GAB2), as one was used
/// to have a server read its own files.
fn gab2(inside: &[u8]) -> Vec<u8> {
    let mut film = fs::read(films().join("two-tracks.avi")).expect("the film");
    let find = |film: &[u8], what: &[u8], from: usize| {
        film[from..].windows(what.len()).position(|it| it == what).map(|at| at + from)
    };
    let first = find(&film, b"strh", 0).expect("a track");
    let second = find(&film, b"strh", first + 4).expect("another track");
    film[second + 8..second + 12].copy_from_slice(b"txts");
    let movi = find(&film, b"movi", 0).expect("packets");
    let chunk = find(&film, b"01dc", movi).expect("a packet of the second track");
    let size = film[chunk + 4..chunk + 8].try_into().expect("four bytes");
    let size = u32::from_le_bytes(size) as usize;
    let mut body =
        [&b"GAB2\0\x02\0"[..], &2_u32.to_le_bytes(), b"x\0", &4_u16.to_le_bytes()].concat();
    body.extend((inside.len() as u32).to_le_bytes());
    body.extend(inside);
    assert!(body.len() <= size, "{} bytes in {size}", body.len());
    film[chunk + 8..chunk + 8 + body.len()].copy_from_slice(&body);
    // Pictures behind it would make the track one of pictures again.
    let mut from = chunk + 4;
    while let Some(next) = find(&film, b"01dc", from) {
        film[next..next + 4].copy_from_slice(b"JUNK");
        from = next;
    }
    film
}

/// A text track that is a playlist of other files opens none of them: the film is made as if the
/// track weren't there.
#[test]
fn files_in_text_tracks_stay_closed() {
    let dir = out_dir();
    let secret = dir.path().join("secret.ts");
    fs::copy(films().join("interlaced.ts"), &secret).expect("copied");
    let name = secret.to_str().expect("a path");
    for inside in [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile {name}\n"),
        "1\n00:00:00,000 --> 00:00:01,000\nwords of an AVI\n".to_owned(),
    ] {
        let film = dir.path().join("gab2.avi");
        fs::write(&film, gab2(inside.as_bytes())).expect("written");
        let out = out_dir();
        let outcome = run_on(&film, out.path(), order()).ok();
        assert_eq!((outcome.facts.width, outcome.facts.height), (64, 64), "{inside}");
        assert_eq!(outcome.texts, None, "{inside}");
        assert!(outcome.warnings.contains(&"text-not-read".to_owned()), "{:?}", outcome.warnings);
        // FFmpeg takes a demuxer for what is inside, and would say what that found.
        let bytes = ByteCount(fs::metadata(&film).expect("its size").len());
        let file = fs::File::open(&film).expect("the film").into();
        let file = source_file::SourceFile::new(vec![file], &Extent::whole(bytes));
        let opened = source::Source::open(&file, &order().limits).map_err(|_| ()).expect("opened");
        assert!(format!("{:?}", opened.texts).contains("none)"), "{:?}", opened.texts);
    }
}
