//! A film that is worked on while it is still being uploaded comes out as one that was there.

use super::*;
use crate::media::arrivals::Arrivals;
use crate::media::source::{Source, seconds};
use crate::media::source_file::SourceFile;
use crate::units::{ByteOffset, Ranges};
use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// Returns where the index of an MP4 lies.
fn index_of(film: &[u8]) -> (usize, usize) {
    let mut at = 0;
    loop {
        let size = u32::from_be_bytes(film[at..at + 4].try_into().expect("four")) as usize;
        if &film[at + 4..at + 8] == b"moov" {
            return (at, at + size);
        }
        at += size;
    }
}

/// Works on a film that `feed` sends, while it hears of segments. Nobody knows how large it is
/// before it is all sent if the order says so.
fn run_along(
    film: &[u8],
    out: &Path,
    mut order: Order,
    feed: impl FnOnce(&mut dyn FnMut(usize, usize), Receiver<String>) + Send,
) -> Outcome {
    let mut source = tempfile::tempfile().expect("a file");
    let length = ByteCount(film.len() as u64);
    let size = (!order.is_open_ended).then_some(length);
    order.source = Extent::whole(size.unwrap_or(ByteCount(50 << 30)));
    order.arrived = Some(Ranges::default());
    let arrivals = Arc::new(Arrivals::new(Ranges::default(), size));
    let dir = fs::File::open(out).expect("the output directory is there");
    let (tell, told) = channel();
    let mut tell = Some(tell);
    let mut outcome = Outcome::default();
    let file = source.try_clone().expect("one more").into();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut here = Ranges::default();
            let mut send = |from: usize, to: usize| {
                source.seek(SeekFrom::Start(from as u64)).expect("a place");
                source.write_all(&film[from..to]).expect("written");
                here.insert(ByteOffset(from as u64), ByteOffset(to as u64));
                arrivals.put(here.clone(), size);
            };
            feed(&mut send, told);
            arrivals.put(here, Some(length));
        });
        let mut report = |report: Report| {
            if let Report::Segment { rendition, number, .. } = &report {
                // Nobody may be listening any more.
                let _ = tell.as_ref().map(|it| it.send(format!("{rendition} {number}")));
            }
            outcome.take(report);
            Ok(())
        };
        outcome.result =
            Some(run(&order, vec![file], dir.into(), Some(arrivals.clone()), &mut report));
        // Whoever waits for more segments hears that none will come.
        tell = None;
    });
    outcome
}

/// Sends a film of `length` bytes in order, the last after `most` only when a segment of each
/// rendition was told of.
fn send_in_order(
    length: usize,
    most: usize,
    plan: &[RenditionPlan],
    send: &mut dyn FnMut(usize, usize),
    told: &Receiver<String>,
) {
    for from in (0..most).step_by(9999) {
        send(from, (from + 9999).min(most));
    }
    let mut awaited: Vec<String> = plan.iter().map(|plan| format!("{} 1", plan.name)).collect();
    while !awaited.is_empty() {
        let segment = told.recv().expect("segments before the film is here");
        awaited.retain(|it| *it != segment);
    }
    send(most, length);
}

/// Files below a directory with what is in them.
fn files(of: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(of).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(file, of)| (format!("{name}/{file}"), of)));
        } else {
            found.insert(name, fs::read(&path).expect("readable"));
        }
    }
    found
}

/// A film with its index first, one with its index last that is sent first, and one that has to be
/// encoded: segments come while some tenths of the film are still to be sent, and in the end
/// the copies and sounds are the same as those of a film that was there, byte by byte, and what is
/// encoded picture by picture.
#[test]
fn what_arrives_is_worked_on_along() {
    for (name, tenths) in [("faststart.mp4", 6), ("moov-last.mp4", 6), ("rotated.mp4", 9)] {
        let path = films().join(name);
        let film = fs::read(&path).expect("the film is there");
        let (whole, along) = (out_dir(), out_dir());
        let expected = run_on(&path, whole.path(), order());
        let (index, end) = index_of(&film);
        let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
            send(0, 40);
            send(index, end);
            let most = film.len() * tenths / 10;
            send_in_order(film.len(), most, &expected.plan, send, &told);
        };
        let outcome = run_along(&film, along.path(), order(), feed);
        assert_eq!(outcome.result, Some(Ok(())), "{name}");
        assert_eq!(&outcome.facts, &expected.facts, "{name}");
        is_the_same(name, &outcome, &expected, along.path(), whole.path());
    }
}

/// Copies and sounds are the same byte by byte, and what is encoded picture by picture.
fn open(path: &Path) -> Source {
    let film = fs::File::open(path).expect("the film");
    let whole = Extent::whole(ByteCount(film.metadata().expect("its size").len()));
    Source::open(&SourceFile::new(vec![film.into()], &whole), &order().limits).expect("a film")
}

/// Returns where the bytes end that an MP4's first segment needs: the copied pictures before the
/// second one, and the sound up to there.
fn first_segment(path: &Path, cut: f64) -> usize {
    let source = open(path);
    let ends = source.video.iter().chain(&source.sounds).map(|track| {
        let entries = ffi::index_entries(&source.input, track.index);
        // Pictures are decoded some time before they're shown, sound isn't.
        let begins = match track.facts.channels {
            0 => seconds(entries.first().expect("an index").dts, track.time_base),
            _ => source.origin(),
        };
        let at = |dts: i64| seconds(dts, track.time_base) - begins;
        let before = entries.iter().filter(|entry| at(entry.dts) < cut - 0.001);
        before.map(|entry| entry.end).max().expect("one at least")
    });
    ends.max().expect("a track") as usize
}

/// The first segment of a copy is there as soon as its own bytes are, without the key frame that
/// the next one begins with; of a film in pieces with that, and without the sound behind it.
#[test]
fn a_segment_needs_no_byte_behind_it() {
    for name in ["faststart.mp4", "moov-last.mp4"] {
        let path = films().join(name);
        let film = fs::read(&path).expect("the film is there");
        let (whole, along) = (out_dir(), out_dir());
        let expected = run_on(&path, whole.path(), order());
        let needed = first_segment(&path, cut_of(&expected));
        let (index, end) = index_of(&film);
        let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
            send(0, 40);
            send(index, end);
            let copies: Vec<_> = expected.plan.iter().filter(|it| it.copied).cloned().collect();
            send_in_order(film.len(), needed, &copies, send, &told);
        };
        let outcome = run_along(&film, along.path(), order(), feed);
        assert_eq!(outcome.result, Some(Ok(())), "{name}");
    }
    let path = films().join("pieces.mp4");
    let film = fs::read(&path).expect("the film is there");
    let (whole, along) = (out_dir(), out_dir());
    let expected = run_on(&path, whole.path(), order());
    let needed = key_frame_after_first_segment(&path, &expected);
    let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
        let first = expected.plan.iter().filter(|it| it.copied || it.kind == RenditionKind::Audio);
        let first: Vec<_> = first.cloned().collect();
        send_in_order(film.len(), needed, &first, send, &told);
    };
    let outcome = run_along(&film, along.path(), order(), feed);
    assert_eq!(outcome.result, Some(Ok(())));
}

/// Returns where the key frame ends that a copy's second segment begins with.
fn key_frame_after_first_segment(path: &Path, expected: &Outcome) -> usize {
    let cut = cut_of(expected);
    let mut source = open(path);
    let (index, base) = source.video.as_ref().map(|it| (it.index, it.time_base)).expect("pictures");
    while let Some(packet) = source.next_packet() {
        let at = seconds(packet.pts().expect("a time"), base) - source.origin();
        if packet.stream() == index && packet.is_key() && at > cut - 0.001 {
            return packet.position() as usize + packet.size();
        }
    }
    panic!("one segment only");
}

/// Returns the second at which the copy's first segment ends.
fn cut_of(expected: &Outcome) -> f64 {
    let copied = expected.plan.iter().find(|it| it.copied).expect("it is copied");
    let made = &expected.made[&copied.name];
    made.segments[0].ticks as f64 / f64::from(made.timescale)
}

fn is_the_same(name: &str, outcome: &Outcome, expected: &Outcome, along: &Path, whole: &Path) {
    assert_eq!(&outcome.plan, &expected.plan, "{name}");
    assert_eq!(outcome.warnings, expected.warnings, "{name}");
    let (files_along, files_whole) = (files(along), files(whole));
    assert!(files_along.keys().eq(files_whole.keys()), "{name}: {:?}", files_along.keys());
    for plan in &outcome.plan {
        let of_plan = |file: &&String| file.starts_with(&format!("{}/", plan.name));
        if plan.copied || plan.kind == RenditionKind::Audio {
            for file in files_along.keys().filter(of_plan) {
                assert!(files_along[file] == files_whole[file], "{name}: {file}");
            }
        } else {
            let of = |out: &Path, made: &Outcome| joined(out, &plan.name, &made.made[&plan.name]);
            let (along, whole) = (of(along, outcome), of(whole, expected));
            assert_eq!(along.seen, whole.seen, "{name}: {}", plan.name);
        }
    }
}

/// A film in a container without an index, sent in order: each rendition has a segment before the
/// rest is sent, and in the end all is as if the film had been there, whether its container says
/// how long it is or not.
#[test]
fn streams_are_worked_on_along() {
    for (name, tenths) in
        [("streamed.mkv", 6), ("pieces.mp4", 6), ("streamed.ts", 8), ("recorded.webm", 9)]
    {
        let path = films().join(name);
        let film = fs::read(&path).expect("the film is there");
        let (whole, along) = (out_dir(), out_dir());
        let expected = run_on(&path, whole.path(), order());
        let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
            let most = film.len() * tenths / 10;
            send_in_order(film.len(), most, &expected.plan, send, &told);
        };
        let outcome = run_along(&film, along.path(), order(), feed);
        assert_eq!(outcome.result, Some(Ok(())), "{name}");
        // How many bits a second a copy has is known when the length is.
        let mut outcome = outcome;
        for (plan, expected) in outcome.plan.iter_mut().zip(&expected.plan) {
            if plan.copied {
                plan.bandwidth_cap = expected.bandwidth_cap;
            }
        }
        is_the_same(name, &outcome, &expected, along.path(), whole.path());
        let told = outcome.lasts.unwrap_or(outcome.facts.duration);
        assert!((told - expected.facts.duration).abs() < 0.1, "{name}: {told}");
        assert_eq!(outcome.poster, expected.poster, "{name}");
        assert_eq!(outcome.extras.len(), expected.extras.len(), "{name}");
    }
}

/// Key frames that turn out to be too far apart end the copy of a film whose container didn't tell.
#[test]
fn keys_too_far_apart_end_the_copy() {
    let film = fs::read(films().join("far-keys-streamed.mkv")).expect("the film is there");
    let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
        send(0, film.len() - 1);
        told.iter().for_each(drop);
        send(film.len() - 1, film.len());
    };
    let outcome = run_along(&film, out_dir().path(), order(), feed);
    assert_eq!(outcome.unlike.len(), 1, "{:?}", outcome.unlike);
}

/// A picture that should begin a file of a copy and can't be decoded by itself is found when it is
/// copied, if it wasn't here before: the order ends with word that it has to be encoded.
#[test]
fn a_key_frame_that_is_none_ends_the_copy() {
    let mut film = fs::read(films().join("faststart.mp4")).expect("the film is there");
    let keys = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-show_entries", "packet=pos,flags"])
        .args(["-of", "csv=p=0"])
        .arg(films().join("faststart.mp4"))
        .output()
        .expect("ffprobe runs");
    let keys = String::from_utf8_lossy(&keys.stdout);
    let third = keys.lines().filter(|line| line.contains('K')).nth(2).expect("a third key frame");
    let mut at: usize = third.split(',').next().expect("its place").parse().expect("a number");
    // Its units one by one, until the picture itself, which becomes one that refers to others.
    while film[at + 4] & 0x1f != 5 {
        at += 4 + u32::from_be_bytes(film[at..at + 4].try_into().expect("four")) as usize;
    }
    film[at + 4] = film[at + 4] & 0xe0 | 1;
    let out = out_dir();
    let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
        send(0, at - 100);
        told.recv().expect("the copy has begun");
        send(at - 100, film.len());
    };
    let outcome = run_along(&film, out.path(), order(), feed);
    let copied = outcome.plan.iter().find(|it| it.copied && it.kind == RenditionKind::Video);
    assert_eq!(outcome.unlike, [copied.expect("a copy was planned").name.clone()]);
    let unfit = Order { pictures_unfit: true, ..order() };
    let again = run_along(&film, out_dir().path(), unfit, |send, _told| send(0, film.len()));
    assert_eq!(again.result, Some(Ok(())));
    assert!(again.plan.iter().all(|it| !it.copied || it.kind != RenditionKind::Video));
}

/// Where only a sound is left to be made of a film that still arrives, it is made.
#[test]
fn a_sound_that_is_left_is_made_along() {
    let film = fs::read(films().join("rotated.mp4")).expect("the film is there");
    let expected = run_on(&films().join("rotated.mp4"), out_dir().path(), order());
    let pictures = expected.plan.iter().filter(|it| it.kind == RenditionKind::Video);
    let renditions_done = pictures.map(|it| it.name.clone()).collect();
    let left = Order { renditions_done, seconds_done: 3.0, ..order() };
    let (index, end) = index_of(&film);
    let outcome = run_along(&film, out_dir().path(), left, |send, _told| {
        send(0, 40);
        send(index, end);
        send(0, film.len());
    });
    assert_eq!(outcome.result, Some(Ok(())));
    let sound = &outcome.made["audio"];
    assert!(outcome.made.len() == 1 && sound.complete, "{:?}", outcome.made.keys());
    assert_eq!(sound.segments.len(), expected.made["audio"].segments.len());
}

/// Of a film whose size nobody knows before its end, segments come as soon as their bytes are here,
/// whatever else follows behind them; in the end copies and sounds are those of a film that was
/// there. The same is true of an MP4 whose size is known, with something behind its pictures.
#[test]
fn the_end_need_not_be_known() {
    let something = [&40u32.to_be_bytes(), b"free".as_slice(), &[7; 32]].concat();
    for (name, tenths, is_open_ended) in [
        ("faststart.mp4", 6, true),
        ("faststart.mp4", 6, false),
        ("pieces.mp4", 6, true),
        ("streamed.ts", 8, true),
    ] {
        let mut film = fs::read(films().join(name)).expect("the film is there");
        if name == "faststart.mp4" {
            film.extend(&something);
        }
        let (whole, along) = (out_dir(), out_dir());
        let path = whole.path().with_extension(name);
        fs::write(&path, &film).expect("written");
        let expected = run_on(&path, whole.path(), order());
        fs::remove_file(&path).expect("it is there");
        let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
            let most = film.len() * tenths / 10;
            send_in_order(film.len(), most, &expected.plan, send, &told);
        };
        let order = Order { is_open_ended, ..order() };
        let mut outcome = run_along(&film, along.path(), order, feed);
        assert_eq!(outcome.result, Some(Ok(())), "{name}");
        for (plan, expected) in outcome.plan.iter_mut().zip(&expected.plan) {
            if plan.copied {
                plan.bandwidth_cap = expected.bandwidth_cap;
            }
        }
        is_the_same(name, &outcome, &expected, along.path(), whole.path());
        let told = outcome.lasts.unwrap_or(outcome.facts.duration);
        assert!((told - expected.facts.duration).abs() < 0.1, "{name}: {told}");
    }
}

/// An MP4 of unknown size that ends before its index says is what is there of it.
#[test]
fn an_end_that_comes_early_is_the_end() {
    let path = films().join("faststart.mp4");
    let film = fs::read(&path).expect("the film is there");
    let (whole, along) = (out_dir(), out_dir());
    let expected = run_on(&path, whole.path(), order());
    let cut = &film[..film.len() * 7 / 10];
    let copies: Vec<_> = expected.plan.iter().filter(|it| it.copied).cloned().collect();
    let feed = |send: &mut dyn FnMut(usize, usize), told: Receiver<String>| {
        send_in_order(cut.len(), cut.len() - 1, &copies, send, &told);
    };
    let order = Order { is_open_ended: true, ..order() };
    let outcome = run_along(cut, along.path(), order, feed);
    assert_eq!(outcome.result, Some(Ok(())));
    assert!(outcome.warnings.contains(&"truncated-source".to_owned()), "{:?}", outcome.warnings);
    let name = &copies.first().expect("a copy").name;
    let (some, all) = (&outcome.made[name].segments, &expected.made[name].segments);
    assert!(some.len() > 1 && some.len() < all.len(), "{} of {}", some.len(), all.len());
    for number in 1..some.len() {
        let file = Path::new(name).join(segment_file(number));
        let [some, all] = [&along, &whole].map(|of| fs::read(of.path().join(&file)).expect("it"));
        assert!(some == all, "{number}");
    }
}
