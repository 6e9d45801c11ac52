//! Processes killed at the worst moments, and what is left afterwards.

use crate::harness::{Server, media, pattern, raw, sha256, wait_for};
use crate::matrix::film_of;
use crate::playback::{judged, walk_for};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Ends a process as the kernel would.
pub fn kill_9(pid: u32) {
    send(pid, Signal::KILL);
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not 0");
    let _ = kill_process(pid, signal);
}

/// Children of a process that run `slipway worker`.
pub fn workers_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Killed in the middle of uploads, again and again: the offset is never beyond bytes that are
/// right, and the file is whole at the end.
#[test]
pub fn kill_9_in_mid_upload_loses_nothing_acknowledged() {
    let mut server = Server::start();
    let bytes = pattern(6_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    let mut acknowledged = 0;
    let mut at = 0;
    for round in 1..=5 {
        let end = at + 400_000;
        assert_eq!(server.patch(&path, at, &bytes[at..end]).status, 204);
        acknowledged = end;
        // A second request is under way when the process dies.
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Tus-Resumable: 1.0.0\r\nUpload-Offset: {end}\r\nContent-Length: 1000000\r\n\
             Content-Type: application/offset+octet-stream\r\n\r\n",
            server.token
        );
        let under_way = raw(&server.address, &head, &bytes[end..end + 150_000 * round]);
        server.kill();
        drop(under_way);
        server.restart();
        at = server.offset(&path);
        assert!(at >= acknowledged, "round {round}: {at} < {acknowledged}");
        assert!(at <= end + 150_000 * round, "round {round}: {at} was never sent");
    }
    assert!(acknowledged > 0);
    assert_eq!(server.patch(&path, at, &bytes[at..]).status, 204);
    let got = server.send("GET", &path, &[], b"").body;
    assert_eq!(sha256(&got), sha256(&bytes));
}

/// Killed server in mid-job: the job goes on by itself, and the result is whole.
#[test]
pub fn kill_9_of_the_server_in_mid_job() {
    let mut server = Server::start();
    let id = server.upload(&media("faststart.mp4"));
    wait_for("a worker", || workers_of(server.pid()).first().copied());
    let children = workers_of(server.pid());
    server.kill();
    for child in children {
        wait_for("the child to follow its parent", || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok();
            stat.is_none_or(|stat| stat.contains(") Z")).then_some(())
        });
    }
    server.restart();
    let it = server.settled(&id);
    assert_eq!(it["state"], "ready", "{it}");
    whole(&server, &it);
}

/// Killed child: the attempt counts, another one does the work.
#[test]
pub fn kill_9_of_the_child() {
    let server = Server::start();
    let id = server.upload(&media("faststart.mp4"));
    let child = wait_for("a worker", || workers_of(server.pid()).first().copied());
    kill_9(child);
    let it = server.settled(&id);
    assert_eq!(it["state"], "ready", "{it}");
    whole(&server, &it);
}

/// Uploads a film and has its child die of a forbidden call while it is at a stage, before it has
/// written the stage's `file`. Returns the settled video if it was in time.
fn broken_at(server: &Server, film: &Path, stage: &str, file: &str) -> Option<serde_json::Value> {
    let id = server.upload(film);
    let seen = |video: &serde_json::Value| {
        let stages = video["processing"]["stages"].as_array().expect("stages");
        let stage = stages.iter().find(|it| it["name"] == stage).expect("it is one");
        stage["state"].as_str().expect("a state").to_owned()
    };
    wait_for("the stage", || {
        (seen(&server.json(&format!("/api/videos/{id}"))) != "pending").then_some(())
    });
    let child = workers_of(server.pid()).first().copied()?;
    send(child, Signal::STOP);
    // What isn't published yet lies in the scratch of this job, the only one.
    let is_made = holds(&server.data.join("work"), file)
        || holds(&server.data.join("media"), &format!("{id}/{file}"));
    if !is_made {
        // As seccomp would. The one for a forbidden access only ends a program that repeats it.
        send(child, Signal::SYS);
    }
    send(child, Signal::CONT);
    (!is_made).then(|| server.settled(&id))
}

/// Says whether there is a file of this name somewhere below a directory.
fn holds(below: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.any(|path| path.ends_with(name) || (path.is_dir() && holds(&path, name)))
}

/// A picture over which the child dies costs that picture, and not the film: the next attempt
/// leaves it out and says so.
#[test]
fn a_picture_that_kills_is_left_out() {
    let server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[240]")]);
    // Large and all of one colour, with a single key frame: each picture of it is looked for long.
    let grey = "-f lavfi -i color=c=gray:s=3840x2160:r=25:d=4 -c:v libx264 -preset ultrafast \
                -threads 1 -pix_fmt yuv420p -g 250";
    let film = film_of("grey.mp4", grey);
    for (stage, file, code) in
        [("poster", "poster.jpg", "no-poster"), ("storyboard", "storyboard-1.jpg", "no-storyboard")]
    {
        let missing = |it: &serde_json::Value| it["playback"][stage].is_null();
        let tries = (0..20).filter_map(|_| broken_at(&server, &film, stage, file));
        let it = tries.into_iter().find(missing).expect("a child that died at the right time");
        assert_eq!((&it["state"], &it["error"]), (&"ready".into(), &serde_json::Value::Null));
        let warnings = it["warnings"].as_array().expect("warnings");
        let codes: Vec<_> = warnings.iter().map(|warning| &warning["code"]).collect();
        assert_eq!(codes, [code], "{it}");
        whole(&server, &it);
        let others = ["poster", "storyboard", "preview"].into_iter().filter(|it| *it != stage);
        for other in others {
            assert!(it["playback"][other].is_string(), "{other}: {it}");
        }
    }
}

/// What players can fetch of a video that is being made: each rung's playlist by its directory.
pub fn playlists(media: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(media).into_iter().flatten().flatten();
    let rungs = entries.filter_map(|entry| {
        let list = std::fs::read_to_string(entry.path().join("media.m3u8")).ok()?;
        Some((entry.file_name().to_string_lossy().into_owned(), list))
    });
    rungs.collect()
}

/// The segments that a video's playlists name, with the sums of their bytes.
pub fn segments(media: &Path) -> BTreeMap<String, String> {
    let named = playlists(media).into_iter().flat_map(|(rung, list)| {
        let files = list.lines().filter(|line| line.ends_with(".m4s"));
        files.map(|file| format!("{rung}/{file}")).collect::<Vec<_>>()
    });
    let summed = named.map(|name| {
        let bytes = std::fs::read(media.join(&name)).expect("a named segment is there");
        (name, sha256(&bytes))
    });
    summed.collect()
}

/// The child killed in the middle, then the server: both times the work goes on behind the last
/// segment, under the same addresses, and what was served before stays as it was.
#[test]
fn what_was_killed_is_gone_on_with() {
    let mut server =
        Server::with(&[("SLIPWAY_MEDIA__LADDER", "[240]"), ("SLIPWAY_BOOT_ID", "the same")]);
    let id = server.upload(&media("one-key-60s.mp4"));
    let published = server.data.join("media");
    let mut seen = BTreeMap::new();
    for (round, least) in [2, 6, 9].into_iter().enumerate() {
        let media = wait_for("some more segments", || {
            let media = walk_for(&published, &id)?;
            let lists = playlists(&media);
            let count = lists.get("240p-1").map_or(0, |list| list.matches("#EXTINF").count());
            (count >= least).then_some(media)
        });
        match round {
            0 => workers_of(server.pid()).into_iter().for_each(kill_9),
            _ => server.kill(),
        }
        for (name, sum) in segments(&media) {
            let before = seen.entry(name.clone()).or_insert_with(|| sum.clone());
            assert_eq!(*before, sum, "{name} stays as it was");
        }
        if round > 0 {
            server.restart();
        }
    }
    let it = server.settled(&id);
    assert_eq!(it["state"], "ready", "{it}");
    let media = walk_for(&published, &id).expect("published");
    let now = segments(&media);
    for (name, sum) in seen {
        assert_eq!(now.get(&name), Some(&sum), "{name} stays as it was");
    }
    assert_eq!(playlists(&media).into_keys().collect::<Vec<_>>(), ["240p-1", "audio-1"]);
    whole(&server, &it);
    let findings = judged(&server, &it);
    assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{findings:#?}");
}

/// What is worth knowing of a film outlasts the attempt that found it: the next one reads nothing
/// of what is there already, and a lost database knows only the files.
#[test]
fn warnings_outlast_their_attempt() {
    let mut server = Server::start();
    let id = server.upload(&media("truncated.mp4"));
    let before = server.settled(&id);
    let warnings = before["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1, "{before}");
    assert_eq!(warnings[0]["code"], "truncated-source");
    let kept = |it: &serde_json::Value| {
        assert_eq!((&it["state"], &it["warnings"]), (&"ready".into(), &before["warnings"]));
        assert_eq!(it["source"]["duration"], before["source"]["duration"]);
    };
    let retry = format!("/api/videos/{id}/retry-processing");
    assert_eq!(server.send("POST", &retry, &[], b"").status, 200);
    kept(&server.settled(&id));
    server.lose_database();
    let after = server.settled(&id);
    assert_eq!((&after["state"], &after["warnings"]), (&"ready".into(), &before["warnings"]));
}

/// Sources that are awkward to seek in (FLV without an index, Ogg) are gone on with, too: after
/// the child was killed every picture is there, once and at its time.
#[test]
fn awkward_sources_are_gone_on_with() {
    const SECONDS: usize = 24;
    let shown = format!(
        "-f lavfi -i testsrc2=s=960x540:r=25:d={SECONDS} -f lavfi -i sine=d={SECONDS}:r=44100"
    );
    let server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[240]")]);
    for (name, codecs) in [
        ("long-sorenson.flv", "-c:v flv -g 125 -q:v 4 -c:a libmp3lame"),
        ("long-h264.flv", "-c:v libx264 -preset ultrafast -threads 1 -g 250 -bf 2 -c:a aac"),
        ("long-theora.ogv", "-c:v libtheora -g 250 -q:v 6 -c:a libvorbis"),
    ] {
        let id = server.upload(&film_of(name, &format!("{shown} {codecs}")));
        let published = server.data.join("media");
        wait_for("some segments", || {
            let lists = playlists(&walk_for(&published, &id)?);
            (lists.get("240p-1")?.matches("#EXTINF").count() >= 3).then_some(())
        });
        let child = workers_of(server.pid()).first().copied().expect("it isn't done yet");
        kill_9(child);
        let it = server.settled(&id);
        assert_eq!((&it["state"], &it["warnings"]), (&"ready".into(), &serde_json::json!([])));
        let attempts = it["processing"]["stages"].as_array().expect("stages");
        let attempts = attempts.iter().map(|it| it["attempt"].as_u64()).max().flatten();
        assert_eq!(attempts, Some(2), "{name}");
        let media = walk_for(&published, &id).expect("published");
        let rungs: Vec<String> = playlists(&media).into_keys().collect();
        assert_eq!(rungs, ["240p-1", "audio-1"], "{name} was gone on with");
        let times = times_of(&server, &id, "240p-1");
        assert_eq!(times.len(), SECONDS * 25, "{name}: pictures");
        for (at, time) in times.iter().enumerate() {
            assert!((time - at as f64 / 25.0).abs() < 0.002, "{name}: picture {at} at {time}");
        }
        whole(&server, &it);
        let findings = judged(&server, &it);
        assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{name}: {findings:#?}");
    }
}

/// The seconds at which a published rung's pictures are shown, in order.
fn times_of(server: &Server, id: &str, rung: &str) -> Vec<f64> {
    let url = format!("{}/media/{id}/{rung}/media.m3u8", server.address);
    let header = format!("Authorization: Bearer {}\r\n", server.token);
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-headers", &header, "-of", "csv=p=0"])
        .args(["-show_entries", "packet=pts_time", &url])
        .output()
        .expect("ffprobe is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let times = text.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty());
    let mut times: Vec<f64> = times.map(|time| time.parse().expect("a time")).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The child killed when only what comes before everything else is there, the smallest rung and the
/// sound: the work goes on behind it, and what comes of it is held to all rules.
#[test]
fn a_head_start_that_was_killed_is_gone_on_with() {
    let server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[360, 144]")]);
    let id = server.upload(&media("one-key-60s.mp4"));
    let media = wait_for("something to play", || {
        let media = walk_for(&server.data.join("media"), &id)?;
        let lists = playlists(&media);
        ["144p-1", "audio-1"].iter().all(|rung| lists.contains_key(*rung)).then_some(media)
    });
    workers_of(server.pid()).into_iter().for_each(kill_9);
    assert!(!playlists(&media).contains_key("360p-1"), "the rest hasn't begun");
    let first = std::fs::read(media.join("144p-1/1.m4s")).expect("the first segment");
    let it = server.settled(&id);
    assert_eq!((&it["state"], &it["warnings"]), (&"ready".into(), &serde_json::json!([])), "{it}");
    assert_eq!(sha256(&std::fs::read(media.join("144p-1/1.m4s")).expect("kept")), sha256(&first));
    assert_eq!(playlists(&media).into_keys().collect::<Vec<_>>(), ["144p-1", "360p-2", "audio-1"]);
    whole(&server, &it);
    let findings = judged(&server, &it);
    assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{findings:#?}");
}

/// A quality that an older version of this program has begun, whose segments need an edit list, is
/// made anew beside it: no list holds segments of both kinds. Its sound is gone on with.
#[test]
fn what_an_older_version_has_begun_is_not_mixed() {
    let mut server = Server::with(&[("SLIPWAY_MEDIA__LADDER", "[360, 144]")]);
    let id = server.upload(&media("one-key-60s.mp4"));
    let media = wait_for("some segments", || {
        let media = walk_for(&server.data.join("media"), &id)?;
        let lists = playlists(&media);
        (lists.get("144p-1")?.matches("#EXTINF").count() >= 2).then_some(media)
    });
    server.kill();
    let init = media.join("144p-1/init.mp4");
    let mut bytes = std::fs::read(&init).expect("the header");
    let brand = bytes.windows(4).position(|it| it == b"cmf2").expect("a brand of today");
    bytes[brand..brand + 4].copy_from_slice(b"iso6");
    std::fs::write(&init, bytes).expect("as it was written before");
    server.restart();
    let it = server.settled(&id);
    assert_eq!(it["state"], "ready", "{it}");
    let rungs: Vec<String> = playlists(&media).into_keys().collect();
    assert!(rungs.iter().any(|rung| rung.starts_with("144p-") && rung != "144p-1"), "{rungs:?}");
    assert!(rungs.contains(&"audio-1".to_owned()), "{rungs:?}");
    let manifest = std::fs::read_to_string(media.join("manifest.mpd")).expect("a manifest");
    assert!(!manifest.contains("144p-1/"), "{manifest}");
    whole(&server, &it);
    let findings = judged(&server, &it);
    assert!(!findings.iter().any(|it| it.contains("\"MUST\"")), "{findings:#?}");
}

/// An orderly stop in mid-upload and mid-job leaves both resumable.
#[test]
fn sigterm_leaves_everything_resumable() {
    let mut server = Server::start();
    let id = server.upload(&media("faststart.mp4"));
    let bytes = pattern(1_000_000);
    let (path, _) = server.create("a.bin", bytes.len());
    assert_eq!(server.patch(&path, 0, &bytes[..600_000]).status, 204);
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    assert_eq!(server.offset(&path), 600_000);
    assert_eq!(server.patch(&path, 600_000, &bytes[600_000..]).status, 204);
    assert_eq!(server.settled(&id)["state"], "ready");
    let jobs = server.json("/api/videos/processing/jobs");
    assert!(jobs["items"].as_array().is_some_and(|jobs| !jobs.is_empty()), "{jobs}");
}

/// A database that won't open is moved aside, and the videos come back from the files.
#[test]
fn a_broken_database_costs_no_finished_video() {
    let mut server = Server::start();
    let id = server.upload(&media("silent.mp4"));
    let before = server.settled(&id);
    assert_eq!(server.terminate(), Some(0));
    for entry in std::fs::read_dir(server.data.join("state")).expect("state").flatten() {
        if entry.path().is_file() {
            std::fs::write(entry.path(), pattern(100_000)).expect("broken");
        }
    }
    server.restart();
    let after = server.settled(&id);
    assert_eq!((&after["state"], &after["title"]), (&"ready".into(), &before["title"]));
    assert_eq!(after["visibility"], before["visibility"]);
    whole(&server, &after);
    let moved = std::fs::read_dir(&server.data).expect("data").flatten();
    assert!(
        moved.into_iter().any(|e| e.file_name().to_string_lossy().starts_with("state.broken-"))
    );
}

/// Checks that FFmpeg reads the whole of what is published, without a complaint.
pub fn whole(server: &Server, video: &serde_json::Value) {
    let url = format!("{}{}", server.address, video["playback"]["hls"].as_str().expect("HLS"));
    let header = format!("Authorization: Bearer {}\r\n", server.token);
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-headers", &header, "-i", &url, "-map", "0", "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
