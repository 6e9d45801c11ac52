//! Files that were made to do harm: each ends with a code, opens nothing else, and costs the
//! server nothing that lasts.

use crate::films::{first, place};
use crate::harness::{Server, media, wait_for};
use crate::matrix;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What is nowhere but in files that aren't uploaded for playing.
const SECRET: &str = "canary-7f3a9c51e8";

/// One file, and the ends that it may have.
struct File {
    name: String,
    bytes: Vec<u8>,
    ends: &'static [&'static str],
}

fn file(name: &str, bytes: impl Into<Vec<u8>>, ends: &'static [&'static str]) -> File {
    File { name: name.to_owned(), bytes: bytes.into(), ends }
}

/// Not media at all.
const NOT: &[&str] = &["unsupported-media"];
/// Begins as media and is none, or is too broken to tell.
const BROKEN: &[&str] = &["damaged-media", "unsupported-media"];
/// A film with a strange part that does nothing.
const PLAYS: &[&str] = &["ready"];
/// Broken in a way of which something may be left.
const EITHER: &[&str] = &["ready", "damaged-media", "unsupported-media", "too-long"];

fn film(name: &str) -> Vec<u8> {
    fs::read(matrix::film(name)).expect("it was just made")
}

/// Lists of files, scripts and documents that try to be opened as something that reads others.
/// `other` is the path of a film that lies beside the uploads.
fn pretenders(other: &str) -> Vec<File> {
    let hls = |target: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n")
    };
    let mpd = |target: &str| {
        format!(
            "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\" mediaPresentationDuration=\
             \"PT3S\"><Period><AdaptationSet mimeType=\"video/mp4\"><Representation id=\"1\" \
             bandwidth=\"1\"><BaseURL>{target}</BaseURL></Representation></AdaptationSet></Period></MPD>"
        )
    };
    let tagged = |text: String| [b"ID3\x04\0\0\0\0\0\0".to_vec(), text.into_bytes()].concat();
    let frames = |text: String| {
        let mut frame = vec![0; 417];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
        [frame.repeat(3), text.into_bytes()].concat()
    };
    let cpl = "<?xml version=\"1.0\"?><CompositionPlaylist xmlns=\"http://www.smpte-ra.org/schemas/\
               2067-3/2016\"><Id>urn:uuid:0</Id></CompositionPlaylist>";
    vec![
        file("hls-path.mp4", hls(other), NOT),
        file("hls-network.mp4", hls("http://127.0.0.1:9/x.ts"), NOT),
        file("hls-passwd.mp4", hls("file:///etc/passwd"), NOT),
        file("hls-concat.mp4", hls(&format!("concat:{other}|/etc/passwd")), NOT),
        file("hls-crypto.mp4", hls(&format!("crypto:{other}")), NOT),
        file("hls-key.mp4", format!("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"{other}\"\n"), NOT),
        file("hls-after-blanks.mp4", format!("\u{feff}  \n{}", hls(other)), NOT),
        file("hls-behind-id3.mp3", tagged(hls(other)), BROKEN),
        file("hls-behind-frames.mp3", frames(hls(other)), EITHER),
        file("hls-in-ogg.ogg", [b"OggS\0\x02".to_vec(), hls(other).into_bytes()].concat(), BROKEN),
        file(
            "hls-behind-sync.ts",
            {
                let mut bytes = vec![0x47; 188 * 6];
                bytes.extend(hls(other).into_bytes());
                bytes
            },
            BROKEN,
        ),
        file(
            "hls-in-wav.wav",
            [b"RIFF\xff\0\0\0WAVE".to_vec(), hls(other).into_bytes()].concat(),
            BROKEN,
        ),
        file("concat-relative.mp4", "ffconcat version 1.0\nfile canary.ts\n", NOT),
        file("concat-path.mp4", format!("ffconcat version 1.0\nfile '{other}'\n"), NOT),
        file(
            "concat-behind-id3.mp3",
            tagged(format!("ffconcat version 1.0\nfile {other}\n")),
            BROKEN,
        ),
        file("dash.mp4", format!("<?xml version=\"1.0\"?>\n{}", mpd(other)), NOT),
        file("dash-bare.mp4", mpd(other), NOT),
        file("smil.mp4", format!("<smil><body><video src=\"{other}\"/></body></smil>"), NOT),
        file("pls.mp4", format!("[playlist]\nFile1={other}\nNumberOfEntries=1\n"), NOT),
        file(
            "asx.mp4",
            format!("<asx version=\"3.0\"><entry><ref href=\"{other}\"/></entry></asx>"),
            NOT,
        ),
        file("imf.mp4", cpl, NOT),
        file(
            "sdp.mp4",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
            NOT,
        ),
        file("subfile.mp4", format!("subfile,,start,0,end,64,,:{other}"), NOT),
        file("address.mp4", "http://127.0.0.1:9/metadata", NOT),
        file("text.txt", "Dear diary, nothing happened. ".repeat(90), NOT),
        file("ansi.mp4", format!("\x1b[2J\x1b[31m{}", "#".repeat(4000)), NOT),
        file("xbin.mp4", [b"XBIN\x1a\x50\0\x19\0\x10\0".to_vec(), vec![0x41; 4000]].concat(), NOT),
    ]
}

/// Documents, programs and pictures under a film's name.
fn documents() -> Vec<File> {
    vec![
        file("page.mp4", "<!doctype html><script>alert(1)</script>", NOT),
        file("drawing.mp4", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>", NOT),
        file("script.mp4", "#!/bin/sh\ncat /etc/passwd\n", NOT),
        file("program.mp4", [b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 4096]].concat(), NOT),
        file("archive.mp4", [b"PK\x03\x04".to_vec(), vec![0; 4096]].concat(), NOT),
        file("bomb.mp4", [b"\x1f\x8b\x08".to_vec(), vec![0; 4096]].concat(), NOT),
        file("document.mp4", "%PDF-1.7\n1 0 obj\n", NOT),
        file("empty.mp4", Vec::new(), NOT),
        file("one-byte.mp4", vec![0], NOT),
        file("zeros.mp4", vec![0; 1 << 16], NOT),
        file("picture.mp4", [b"\x89PNG\r\n\x1a\n".to_vec(), vec![0; 999]].concat(), NOT),
        file("photo.mp4", b"\0\0\0\x1cftypheic\0\0\0\0mif1heic".to_vec(), NOT),
    ]
}

/// Chance behind every beginning that is known.
fn noise() -> Vec<File> {
    let beginnings: [(&str, &[u8]); 13] = [
        ("noise-ftyp.mp4", b"\0\0\0\x18ftypisom\0\0\x02\0isommp41"),
        ("noise-moov.mp4", b"\0\x01\0\0moov"),
        ("noise-mdat.mov", b"\0\x01\0\0mdat"),
        ("noise.mkv", b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska\x42\x87\x81\x04\x42\x85\x81\x02"),
        ("noise.avi", b"RIFF\xff\xff\xff\xffAVI LIST"),
        ("noise.wav", b"RIFF\xff\xff\xff\xffWAVEfmt "),
        ("noise.flv", b"FLV\x01\x05\0\0\0\x09\0\0\0\0"),
        ("noise.ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0"),
        ("noise.flac", b"fLaC\0\0\0\x22"),
        ("noise-id3.mp3", b"ID3\x04\0\0\x7f\x7f\x7f\x7f"),
        ("noise.ts", b""),
        ("noise.mpg", b"\0\0\x01\xba\x44\0\x04\0\x04\x01\x01\x89\xc3\xf8"),
        ("noise.webm", b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff"),
    ];
    let chance = crate::harness::pattern(1 << 16);
    let behind = |&(name, beginning): &(&str, &[u8])| {
        let mut bytes = [beginning, &chance].concat();
        if name == "noise.ts" {
            bytes.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        }
        // Chance may look like sound.
        file(name, bytes, EITHER)
    };
    beginnings.iter().map(behind).collect()
}

/// Where the box of this path begins in an MP4, and those that it lies in.
fn boxes(film: &[u8], path: &[&str]) -> Vec<usize> {
    let (mut at, mut end, mut found) = (0, film.len(), Vec::new());
    for name in path {
        loop {
            assert!(at + 8 <= end, "{name} is in there");
            let size = u32::from_be_bytes(film[at..at + 4].try_into().expect("four")) as usize;
            if &film[at + 4..at + 8] == name.as_bytes() {
                found.push(at);
                end = at + size;
                at += if *name == "stsd" || *name == "dref" { 16 } else { 8 };
                break;
            }
            at += size.max(8);
        }
    }
    found
}

/// Puts other content into a box of an MP4 whose index comes last.
fn with_box(mut film: Vec<u8>, path: &[&str], content: &[u8]) -> Vec<u8> {
    let found = boxes(&film, path);
    let size_at = |film: &[u8], at: usize| {
        u32::from_be_bytes(film[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let last = *found.last().expect("a path");
    let old = size_at(&film, last);
    let more = content.len() as i64 + 8 - old as i64;
    for at in found {
        let size = (size_at(&film, at) as i64 + more) as u32;
        film[at..at + 4].copy_from_slice(&size.to_be_bytes());
    }
    film.splice(last + 8..last + old, content.iter().copied());
    film
}

fn content(film: &[u8], path: &[&str]) -> Vec<u8> {
    let at = *boxes(film, path).last().expect("a path");
    let size = u32::from_be_bytes(film[at..at + 4].try_into().expect("four")) as usize;
    film[at + 8..at + size].to_vec()
}

/// Overwrites bytes of a box's content.
fn patched(film: Vec<u8>, path: &[&str], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut content = content(&film, path);
    content[at..at + bytes.len()].copy_from_slice(bytes);
    with_box(film, path, &content)
}

const STBL: [&str; 5] = ["moov", "trak", "mdia", "minf", "stbl"];

fn table(name: &'static str) -> Vec<&'static str> {
    STBL.iter().copied().chain([name]).collect()
}

/// An MP4 whose pictures lie in another file.
fn alias(other: &str, kind: &[u8; 4]) -> Vec<u8> {
    let mut entry =
        [kind.as_slice(), &[0; 4], &[0; 10], &[0; 28], &[0; 12], &[0; 64], &[0; 16]].concat();
    entry.extend([0, 2, 0, 2]);
    entry.extend([0; 16]);
    entry.extend([0, 2]);
    entry.extend((other.len() as u16).to_be_bytes());
    entry.extend(other.as_bytes());
    entry.extend(vec![0; other.len() % 2]);
    entry.extend([0xff, 0xff, 0, 0]);
    let mut content = vec![0, 0, 0, 0, 0, 0, 0, 1];
    content.extend((entry.len() as u32 + 4).to_be_bytes());
    content.extend(entry);
    let dref = ["moov", "trak", "mdia", "minf", "dinf", "dref"];
    with_box(film("h264-aac.mp4"), &dref, &content)
}

/// Boxes within boxes.
fn nested(name: &[u8; 4], depth: u32) -> Vec<u8> {
    let mut bytes = b"\0\0\0\x14ftypisom\0\0\x02\0isom".to_vec();
    for level in (1..=depth).rev() {
        bytes.extend((level * 8).to_be_bytes());
        bytes.extend(name);
    }
    bytes
}

/// A movie that is only a link.
fn reference_movie(other: &str) -> Vec<u8> {
    let link = [b"\0\0\0\0url ".as_slice(), &(other.len() as u32).to_be_bytes(), other.as_bytes()]
        .concat();
    let wrap =
        |name: &[u8], inner: &[u8]| [&(inner.len() as u32 + 8).to_be_bytes(), name, inner].concat();
    let moov = wrap(b"moov", &wrap(b"rmra", &wrap(b"rmda", &wrap(b"rdrf", &link))));
    [wrap(b"ftyp", b"qt  \0\0\0\0qt  "), moov].concat()
}

/// A thousand tracks more than there are.
fn thousand_tracks() -> Vec<u8> {
    let base = film("h264-aac.mp4");
    let moov = content(&base, &["moov"]);
    let at = *boxes(&base, &["moov", "trak"]).last().expect("a track");
    let trak = content(&base, &["moov", "trak"]);
    let whole = &base[at..at + trak.len() + 8];
    with_box(base.clone(), &["moov"], &[moov, whole.repeat(1000)].concat())
}

/// An edit list that tells of `count` edits and holds `real` of them.
fn edits(count: u32, real: usize) -> Vec<u8> {
    let mut content = vec![0; 4];
    content.extend(count.to_be_bytes());
    content.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0].repeat(real));
    with_box(film("h264-aac.mp4"), &["moov", "trak", "edts", "elst"], &content)
}

/// A Matroska file that names another as its beginning.
fn linked() -> Vec<u8> {
    // The muxer leaves room before what it tells of the film.
    let mut film = film("h264-aac.mkv");
    let at = film.windows(2).position(|it| it[0] == 0xec && it[1] >= 0x90).expect("room");
    let name = [b"\x3c\x83\xab\x8b/etc/passwd".as_slice()].concat();
    let info = [b"\x15\x49\xa9\x66".as_slice(), &[0x80 | name.len() as u8], &name].concat();
    if usize::from(film[at + 1] & 0x7f) + 2 >= info.len() + 2 {
        let left = usize::from(film[at + 1] & 0x7f) + 2 - info.len() - 2;
        film[at..at + info.len()].copy_from_slice(&info);
        film[at + info.len()..at + info.len() + 2].copy_from_slice(&[0xec, 0x80 | left as u8]);
    }
    film
}

/// An AVI whose subtitles are a playlist.
fn subtitles(other: &str) -> Vec<u8> {
    let mut film = film("mpeg4-mp3.avi");
    let at = place(&film, b"auds");
    film[at..at + 4].copy_from_slice(b"txts");
    let at = place(&film, b"01wb") + 8;
    let text = format!(
        "GAB2\0\x02\0\x08\0\0\0l\0a\0n\0\0\0\x04\0\x40\0\0\0#EXTM3U\n#EXTINF:1,\n{other}\n"
    );
    film.splice(at..at + text.len().min(200), text.bytes().take(200));
    film
}

/// MP4s whose index lies.
fn indexes(other: &str) -> Vec<File> {
    let base = || film("h264-aac.mp4");
    let count = |name: &'static str, at| patched(base(), &table(name), at, &[0xff; 4]);
    let long = |timescale: u32, duration: u32| {
        let film = patched(base(), &["moov", "mvhd"], 12, &timescale.to_be_bytes());
        patched(film, &["moov", "mvhd"], 16, &duration.to_be_bytes())
    };
    let mdhd = ["moov", "trak", "mdia", "mdhd"];
    let stts = |count: u32, delta: u32| {
        let content =
            [[0, 0, 0, 0, 0, 0, 0, 1].as_slice(), &count.to_be_bytes(), &delta.to_be_bytes()];
        with_box(base(), &table("stts"), &content.concat())
    };
    let stsz = [[0; 4], 64_u32.to_be_bytes(), [0xff; 4]].concat();
    vec![
        file("file-reference-alias.mov", alias(other, b"alis"), EITHER),
        file("file-reference-url.mp4", alias(other, b"url "), EITHER),
        file("reference-movie.mov", reference_movie(other), BROKEN),
        file("thousand-streams.mp4", thousand_tracks(), &["too-many-streams"]),
        file("length-of-136-years.mp4", long(1, 0xffff_fffe), &["too-long", "ready"]),
        file("no-timescale.mp4", long(0, 2000), EITHER),
        file("no-timescale-of-media.mp4", patched(base(), &mdhd, 12, &[0; 4]), EITHER),
        file(
            "timescale-of-2-31.mp4",
            patched(base(), &mdhd, 12, &[0x7f, 0xff, 0xff, 0xff]),
            EITHER,
        ),
        file("negative-timescale.mp4", patched(base(), &mdhd, 12, &[0xff; 4]), EITHER),
        file("edits-without-end.mp4", edits(u32::MAX, 4), EITHER),
        file("edits-many.mp4", edits(100_000, 100_000), EITHER),
        file("count-stts.mp4", count("stts", 4), EITHER),
        file("count-stsz.mp4", count("stsz", 8), EITHER),
        file("count-stsc.mp4", count("stsc", 4), EITHER),
        file("count-stco.mp4", count("stco", 4), EITHER),
        file("count-ctts.mp4", count("ctts", 4), EITHER),
        file("count-stss.mp4", count("stss", 4), EITHER),
        file("count-stsd.mp4", count("stsd", 4), EITHER),
        file("moov-bomb-stts.mp4", stts(u32::MAX, 1), EITHER),
        file("moov-bomb-step.mp4", stts(50, u32::MAX), &["too-long", "ready", "damaged-media"]),
        file(
            "moov-bomb-stsz.mp4",
            with_box(base(), &table("stsz"), &stsz),
            &["ready", "damaged-media", "out-of-memory", "unsupported-media"],
        ),
    ]
}

/// MP4s whose boxes lie, and strange ones that are films all the same.
fn oddities() -> Vec<File> {
    let base = || film("h264-aac.mp4");
    let title = |film: Vec<u8>| {
        let at = place(&film, b"Lavf");
        let mut film = film;
        film[at..at + 4].copy_from_slice(b"<b>&");
        film
    };
    let packed = [
        b"\0\0\x10\0cmov\0\0\0\x0cdcomzlib\0\0\x0f\xf0cmvd\xff\xff\xff\0".as_slice(),
        &[0x78; 4072],
    ];
    let ftyp = b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ".as_slice();
    vec![
        file(
            "packed-index.mov",
            [ftyp, b"\0\0\x10\x08moov", &packed.concat()].concat(),
            &["damaged-media", "unsupported-media", "out-of-memory"],
        ),
        file("nested-moov.mp4", nested(b"moov", 20_000), BROKEN),
        file("nested-trak.mp4", nested(b"trak", 20_000), BROKEN),
        file("nested-udta.mp4", nested(b"udta", 20_000), BROKEN),
        file("box-of-nothing.mp4", [ftyp, &[0; 4096]].concat(), BROKEN),
        file(
            "box-of-2-63.mp4",
            [ftyp, b"\0\0\0\x01moov\x7f\xff\xff\xff\xff\xff\xff\xff"].concat(),
            BROKEN,
        ),
        file(
            "huge-extradata.mp4",
            {
                let film = base();
                let at = place(&film, b"avcC");
                let mut film = film;
                film[at - 4..at].copy_from_slice(&[0x0f, 0xff, 0xff, 0xff]);
                film
            },
            EITHER,
        ),
        file(
            "size-in-header.mp4",
            {
                let mut film = base();
                let at = place(&film, b"avc1") + 28;
                film[at..at + 4].copy_from_slice(&[0xff; 4]);
                film
            },
            &["too-large", "ready", "damaged-media"],
        ),
        file("title.mp4", title(base()), PLAYS),
        file("; touch x; $(id) %2e%2e%2f \u{202e}\n.mp4", base(), PLAYS),
        file(
            "trailing-page.mp4",
            [base(), b"<script>alert(1)</script>".repeat(99)].concat(),
            PLAYS,
        ),
    ]
}

/// Other containers whose headers lie.
fn headers(other: &str) -> Vec<File> {
    let ebml =
        b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska\x42\x87\x81\x04\x42\x85\x81\x02".as_slice();
    let deep = |head: &[u8], open: &[u8]| [head, &open.repeat(20_000)].concat();
    let mkv = |id: &[u8], value: &[u8]| {
        let mut film = film("h264-aac.mkv");
        let at = place(&film, id) + id.len() + 1;
        film[at..at + value.len()].copy_from_slice(value);
        film
    };
    let wave = |at: usize, bytes: &[u8]| {
        let mut film = film("pcm-s16.wav");
        film[at..at + bytes.len()].copy_from_slice(bytes);
        film
    };
    let amf = [
        b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x12\x02\0\0\0\0\0\0\0\0\0\x02\0\x0aonMetaData".as_slice(),
        &b"\x03\0\x01a".repeat(20_000),
    ]
    .concat();
    vec![
        file("deep.mkv", deep(ebml, b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"), BROKEN),
        file(
            "deep-tags.mkv",
            deep(ebml, b"\x12\x54\xc3\x67\x01\xff\xff\xff\xff\xff\xff\xff"),
            BROKEN,
        ),
        file("linked.mkv", linked(), EITHER),
        file("scale-of-zero.mkv", mkv(b"\x2a\xd7\xb1", &[0, 0, 0]), EITHER),
        file("scale-of-much.mkv", mkv(b"\x2a\xd7\xb1", &[0xff, 0xff, 0xff]), EITHER),
        file("length-not-a-number.mkv", mkv(b"\x44\x89", &[0x7f, 0xf8, 0, 0, 0, 0, 0, 1]), EITHER),
        file(
            "length-endless.mkv",
            mkv(b"\x44\x89", &[0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
            &["ready", "damaged-media", "too-long"],
        ),
        file("length-negative.mkv", mkv(b"\x44\x89", &[0xc0, 0x9f, 0x40, 0, 0, 0, 0, 0]), EITHER),
        file("cluster-at-2-63.mkv", mkv(b"\x1f\x43\xb6\x75", &[0x7f; 3]), EITHER),
        file("subtitles-of-playlist.avi", subtitles(other), EITHER),
        file("channels.wav", wave(22, &[0xff, 0xff]), EITHER),
        file("no-channels.wav", wave(22, &[0, 0]), EITHER),
        file("rate-of-2-32.wav", wave(24, &[0xff; 4]), EITHER),
        file("no-rate.wav", wave(24, &[0; 4]), EITHER),
        file("no-block.wav", wave(32, &[0, 0]), EITHER),
        file("deep.flv", amf, BROKEN),
        file(
            "length-of-2-36.flac",
            {
                let mut film = film("flac.flac");
                film[21] |= 0x0f;
                film[22..26].fill(0xff);
                film
            },
            &["too-long", "ready", "damaged-media"],
        ),
        file(
            "tag-of-256-mib.mp3",
            [b"ID3\x04\0\0\x7f\x7f\x7f\x7f".to_vec(), film("cbr.mp3")].concat(),
            EITHER,
        ),
        file("cut-in-header.mkv", first(film("h264-aac.mkv"), 2), BROKEN),
        file("cut-in-header.ts", first(film("h264-aac.ts"), 3), EITHER),
    ]
}

/// Pictures and sound that change or are too much, and decoders that aren't taken.
fn streams() -> Vec<File> {
    let join = |one: &str, other: &str| [film(one), film(other)].concat();
    let mut files = vec![
        file("larger-midway.ts", join("mpeg2-mp2.ts", "large.ts"), EITHER),
        file("other-size-midway.ts", join("mpeg2-mp2.ts", "interlaced-top.ts"), PLAYS),
        file("other-codec-midway.ts", join("h264-aac.ts", "mpeg2-mp2.ts"), PLAYS),
        file("other-codec-midway.mpg", join("mpeg2-ac3.mpg", "mpeg1-mp2.mpg"), PLAYS),
        file("other-rate-midway.ts", join("mpeg2-mp2.ts", "mpeg2-32khz.ts"), PLAYS),
        file("twice.mp4", join("h264-aac.mp4", "hevc.mp4"), PLAYS),
        file("twice.flv", join("h264-aac.flv", "sorenson-mp3.flv"), EITHER),
        file("twice.ogg", join("vorbis.ogg", "flac.oga"), PLAYS),
        file("attachment.mkv", film("attachment.mkv"), PLAYS),
        file("huge-h264.mkv", film("huge-h264.mkv"), &["too-large"]),
        file("huge-png.mkv", film("huge-png.mkv"), &["too-large", "unsupported-media"]),
        file(
            "huge-mjpeg.mp4",
            fs::read(media("huge-picture.mp4")).expect("generated"),
            &["too-large"],
        ),
    ];
    for name in [
        "magicyuv.avi",
        "ffv1.mkv",
        "huffyuv.avi",
        "utvideo.avi",
        "qtrle.mov",
        "png.mov",
        "wmv2.avi",
        "dv.avi",
        "jpeg2000.mov",
        "snow.avi",
        "cinepak.avi",
        "msmpeg4.avi",
    ] {
        files.push(file(name, film(name), NOT));
    }
    files
}

/// The memory of a process in KiB, in use now.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// A server with bounds that small files can reach, and secrets all around it.
pub struct Fortress {
    /// The server.
    pub server: Server,
    before: u64,
    outside: tempfile::TempDir,
}

impl Fortress {
    /// Starts it.
    pub fn start() -> Self {
        let server = Server::with(&[
            ("SLIPWAY_MEDIA__PRESET", "ultrafast"),
            ("SLIPWAY_MEDIA__WORKERS", "2"),
            ("SLIPWAY_MEDIA__MAX_DURATION", "1h"),
            ("SLIPWAY_MEDIA__MAX_PIXELS", "1280x720"),
            ("SLIPWAY_MEDIA__MAX_MEMORY", "1 GiB"),
            ("SLIPWAY_LOG", "error"),
        ]);
        let outside = tempfile::tempdir().expect("a directory");
        for path in [server.data.join("canary.txt"), outside.path().join("canary.txt")] {
            fs::write(path, SECRET.repeat(500)).expect("written");
        }
        // A film that could be opened, if anything could.
        let film = [film("h264-aac.ts"), SECRET.repeat(500).into_bytes()].concat();
        fs::write(outside.path().join("canary.ts"), film).expect("written");
        let victim = server.create("victim.bin", 1 << 20).0;
        assert_eq!(server.patch(&victim, 0, SECRET.repeat(500).as_bytes()).status, 204);
        let before = resident(server.pid());
        Self { server, before, outside }
    }

    /// The path of a film that no upload may reach.
    pub fn other(&self) -> String {
        self.outside.path().join("canary.ts").to_string_lossy().into_owned()
    }

    /// KiB that the server has in memory.
    pub fn memory(&self) -> u64 {
        resident(self.server.pid())
    }

    /// Checks that nothing got out and that the server is as it was.
    pub fn stands(&self) {
        assert_eq!(self.server.send_as_anyone("GET", "/healthz", &[], b"").status, 200);
        no_secret(&self.server.data.join("media"));
        no_secret(&self.server.data.join("work"));
        let listed = self.server.send("GET", "/api/videos?limit=100", &[], b"").text();
        assert!(!listed.contains(SECRET) && !listed.contains("/tmp/"), "{listed}");
        let grown = self.memory().saturating_sub(self.before);
        assert!(grown < 96 << 10, "the server has grown by {grown} KiB");
    }
}

fn no_secret(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            no_secret(&path);
        } else if let Ok(bytes) = fs::read(&path) {
            let found = bytes.windows(SECRET.len()).any(|it| it == SECRET.as_bytes());
            assert!(!found, "{} holds what isn't its own", path.display());
        }
    }
}

/// Uploads all files and compares the end of each with what it may be.
fn check(make: impl FnOnce(&str) -> Vec<File>) {
    let fortress = Fortress::start();
    let server = &fortress.server;
    let only = std::env::var("SLIPWAY_TEST_FILM").unwrap_or_default();
    let files: Vec<File> =
        make(&fortress.other()).into_iter().filter(|file| file.name.contains(&only)).collect();
    let videos: Vec<String> = files
        .iter()
        .map(|file| {
            let (path, video) = server.create(&file.name, file.bytes.len());
            if !file.bytes.is_empty() {
                let status = server.patch(&path, 0, &file.bytes).status;
                assert!(matches!(status, 204 | 415), "{}: {status}", file.name);
            }
            video
        })
        .collect();
    let mut wrong = Vec::new();
    for (file, video) in files.iter().zip(&videos) {
        let end = wait_for(&format!("{} to come to its end", file.name), || {
            let it = server.send("GET", &format!("/api/videos/{video}"), &[], b"");
            // One that was refused at its first bytes isn't kept.
            if it.status != 200 {
                return Some("unsupported-media".to_owned());
            }
            end_of(&it.json())
        });
        if !file.ends.contains(&end.as_str()) {
            wrong.push(format!("{}: {end}, not {:?}", file.name, file.ends));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), files.len(), wrong.join("\n"));
    fortress.stands();
}

pub fn end_of(video: &Value) -> Option<String> {
    match video["state"].as_str() {
        Some("failed") => video["error"]["code"].as_str().map(str::to_owned),
        Some("ready") => Some("ready".to_owned()),
        _ => None,
    }
}

/// What only pretends to be a film opens nothing.
#[test]
fn pretenders_open_nothing() {
    check(|other| pretenders(other).into_iter().chain(documents()).collect());
}

/// Chance behind every beginning ends with a code.
#[test]
fn noise_comes_to_an_end() {
    check(|_| noise());
}

/// Indexes that lie about counts, sizes and times cost nothing.
#[test]
fn lying_indexes() {
    check(|other| indexes(other).into_iter().chain(oddities()).collect());
}

/// Headers that lie cost nothing.
#[test]
fn lying_headers() {
    check(headers);
}

/// Streams that change, are too large or of a kind that isn't taken.
#[test]
fn streams_that_change_or_are_too_much() {
    check(|_| streams());
}
