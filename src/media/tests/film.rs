//! Segments put together as one file are the same film.

use super::*;
use crate::media::progressive::{self, Track};

/// What ffprobe sees of a file's packets: time of showing, bytes, flags. Those of sound are left
/// out: only in one whole file FFmpeg marks what primes the decoder.
fn packets(path: &Path, stream: &str) -> Vec<String> {
    let flags = if stream.starts_with('v') { ",flags" } else { "" };
    let shown = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-select_streams", stream])
        .args(["-show_entries", &format!("packet=pts_time,size{flags}")])
        .arg(path)
        .output()
        .expect("ffprobe runs");
    assert!(shown.stderr.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8(shown.stdout).expect("text");
    let lines = text.lines().map(|line| line.trim_end_matches(',').to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

fn assembled(out: &Path, outcome: &Outcome, names: &[&str]) -> Vec<u8> {
    let (mut tracks, mut pieces) = (Vec::new(), Vec::new());
    for name in names {
        let dir = out.join(name);
        let init = fs::read(dir.join(INIT_FILE)).expect("a header");
        let mut track = Track::new(&init).expect("of our make");
        let mut of_track = Vec::new();
        for at in 1..=outcome.made[*name].segments.len() {
            let bytes = fs::read(dir.join(segment_file(at))).expect("a segment");
            let payload = track.segment(&bytes).expect("of our make");
            let from = payload.from as usize;
            of_track.push(bytes[from..from + payload.length as usize].to_vec());
            assert_eq!(bytes.len(), from + payload.length as usize, "nothing follows");
        }
        tracks.push(track);
        pieces.push(of_track);
    }
    let mut film = progressive::header(&tracks);
    for (track, at) in progressive::interleaved(&tracks) {
        film.extend(&pieces[track][at]);
    }
    film
}

/// Every packet is there, at its time, and the index comes first: reordered pictures, sound with
/// its lead, uneven times, and a film without sound.
#[test]
fn one_file_holds_the_same_packets() {
    for (name, rungs) in [
        ("moov-last.mp4", ["360p", "audio"].as_slice()),
        ("vfr.mkv", &["240p", "audio"]),
        ("silent.mp4", &["240p"]),
    ] {
        let out = out_dir();
        let outcome = run_on(&films().join(name), out.path(), order()).ok();
        let film = out.path().join("video.mp4");
        let bytes = assembled(out.path(), &outcome, rungs);
        let place = |kind: &[u8]| bytes.windows(4).position(|window| window == kind);
        assert!(place(b"moov") < place(b"mdat"), "{name}: the index is in front");
        fs::write(&film, &bytes).expect("written");
        for (stream, rung) in ["v:0", "a:0"].into_iter().zip(rungs) {
            joined(out.path(), rung, &outcome.made[*rung]);
            let whole = out.path().join(rung).join("joined.mp4");
            let kind = if rung.starts_with("audio") { "a:0" } else { "v:0" };
            let same = packets(&film, stream) == packets(&whole, kind);
            assert!(same, "{name} {rung}: {:?}", packets(&film, stream));
        }
    }
}

/// Says when the packets of a file are decoded, in hundredths of a millisecond.
fn decoded(path: &Path) -> Vec<i64> {
    let shown = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-select_streams", "v:0"])
        .args(["-show_entries", "packet=dts_time"])
        .arg(path)
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8(shown.stdout).expect("text");
    let times = text.lines().map(|line| line.trim_end_matches(',')).filter(|it| !it.is_empty());
    times.map(|time| (time.parse::<f64>().expect("a time") * 1e5).round() as i64).collect()
}

/// Pictures of one file are decoded evenly, however they are hurried in segments for the sake of
/// players; and segments with an edit list, as older versions of this program wrote them, give the
/// same file.
#[test]
fn pictures_are_decoded_evenly() {
    let out = out_dir();
    let film = out.path().join("film.mp4");
    let mut order = order();
    order.encode.preset = "veryfast".to_owned();
    order.encode.ladder_heights = Some(vec![240, 120]);
    let outcome = run_on(&films().join("one-key-5s.mp4"), out.path(), order).ok();
    let name = outcome.plan.iter().find(|plan| !plan.copied && plan.height == 120);
    let name = name.expect("planned").name.clone();
    fs::write(&film, assembled(out.path(), &outcome, &[&name])).expect("written");
    let times = decoded(&film);
    assert!(times.len() > 100 && times[0] < 0, "{times:?}");
    let even = times.windows(2).all(|pair| ((pair[1] - pair[0]) - 3333).abs() <= 1);
    assert!(even, "{times:?}");

    joined(out.path(), &name, &outcome.made[&name]);
    let old = out.path().join("old.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(&film)
        .args(["-c", "copy", "-use_editlist", "1", "-video_track_timescale", "90000"])
        .args(["-movflags", "dash+frag_keyframe+delay_moov+default_base_moof+skip_sidx"])
        .arg(&old)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    let bytes = fs::read(&old).expect("written");
    assert!(bytes.windows(4).any(|window| window == b"elst"), "it has an edit list");
    let begins = |kind: &[u8; 4]| {
        let found = bytes.windows(4).enumerate().filter(|(_, window)| window == kind);
        found.map(|(at, _)| at - 4).collect::<Vec<_>>()
    };
    let starts = begins(b"moof");
    let mut track = Track::new(&bytes[..starts[0]]).expect("of our make");
    let mut samples = Vec::new();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).map_or(bytes.len(), |next| *next);
        let payload = track.segment(&bytes[*start..end]).expect("of our make");
        samples.extend(&bytes[start + payload.from as usize..][..payload.length as usize]);
    }
    assert!(starts.len() > 1);
    let again = out.path().join("again.mp4");
    fs::write(&again, [progressive::header(&[track]), samples].concat()).expect("written");
    assert_eq!(packets(&again, "v:0"), packets(&film, "v:0"));
    assert_eq!(decoded(&again), times);
}

/// What isn't of our make is refused, wherever it is cut.
#[test]
fn odd_segments_are_refused() {
    let out = out_dir();
    run_on(&films().join("silent.mp4"), out.path(), order()).ok();
    let dir = out.path().join("240p");
    let init = fs::read(dir.join(INIT_FILE)).expect("a header");
    let segment = fs::read(dir.join("1.m4s")).expect("a segment");
    for cut in 0..init.len() {
        assert!(Track::new(&init[..cut]).is_none(), "a header cut at {cut}");
    }
    let samples = Track::new(&init).and_then(|mut track| track.segment(&segment));
    let samples = samples.expect("of our make").from as usize;
    for cut in (0..samples - 8).step_by(7) {
        let taken = Track::new(&init).and_then(|mut track| track.segment(&segment[..cut]));
        assert!(taken.is_none(), "a segment cut at {cut}");
    }
}
