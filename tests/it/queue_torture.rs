//! A queue of mixed work under a server, or children, or both, that are killed at random moments:
//! every video ends as it would have without, once, and next to nothing is made again.
//!
//! Short here; `scripts/torture queue` runs the same at length.

use crate::crash::workers_of;
use crate::harness::{Server, files_below, media, wait_for};
use crate::ledger::Dice;
use crate::playback::walk_for;
use crate::torture::{Told, rounds};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Kills in one life; then what is left is worked off.
const LIFE_ROUNDS: usize = 8;

/// Films of many kinds, sound, and what isn't either.
const FILES: [&str; 8] = [
    "faststart.mp4",
    "text.mp4",
    "far-keys.mkv",
    "sound.mp3",
    "headless.mp4",
    "vfr.mkv",
    "interlaced.ts",
    "truncated.mp4",
];

/// How a video ended: its state, and the code of its error.
fn outcome(video: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&video["state"]), text(&video["error"]["code"]))
}

/// Every segment that a playlist names, and which file it is.
pub fn told(data: &Path, videos: &[String]) -> BTreeMap<PathBuf, u64> {
    let mut told = BTreeMap::new();
    for video in videos {
        let Some(directory) = walk_for(&data.join("media"), video) else { continue };
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let rung = entry.path();
            let playlist = fs::read_to_string(rung.join("media.m3u8")).unwrap_or_default();
            for name in playlist.lines().filter(|line| line.ends_with(".m4s")) {
                let file = rung.join(name);
                let about = file.metadata().expect("what a playlist names is there");
                told.insert(file, about.ino());
            }
        }
    }
    told
}

/// What one life was begun with.
struct Life {
    server: Server,
    videos: Vec<String>,
    told: BTreeMap<PathBuf, u64>,
}

impl Life {
    fn new() -> Self {
        let settings = [("SLIPWAY_MEDIA__WORKERS", "2")];
        let server = Server::with(&settings);
        let videos = FILES.map(|file| server.upload(&media(file))).to_vec();
        Self { server, videos, told: BTreeMap::new() }
    }

    /// Says whether all work is done.
    fn is_over(&self) -> bool {
        let numbers = self.server.json("/api/videos/processing/queue-status");
        numbers["queued"] == 0 && numbers["running"] == 0
    }

    /// Lets the work get somewhere, then kills.
    fn round(&mut self, dice: &mut Dice) {
        let media = self.server.data.join("media");
        let until = files_below(&media) + dice.below(25);
        wait_for("the work to get somewhere", || {
            (files_below(&media) >= until || self.is_over()).then_some(())
        });
        let (of_server, of_children) = [(true, false), (false, true), (true, true)][dice.below(3)];
        if of_children {
            for child in workers_of(self.server.pid()) {
                let pid = rustix::process::Pid::from_raw(child as i32).expect("a process");
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if of_server {
            self.server.kill();
            self.told.extend(told(&self.server.data, &self.videos));
            self.server.restart();
        }
    }

    /// Has the rest worked off, and compares what came of it with how it ends undisturbed.
    fn conclude(self, expected: &[(String, String)], is_long: bool) {
        let Self { server, videos, told: known } = self;
        let ended: Vec<_> = videos.iter().map(|video| outcome(&server.settled(video))).collect();
        assert_eq!(ended, expected, "{FILES:?}");
        wait_for("the queue to be empty", || {
            let numbers = server.json("/api/videos/processing/queue-status");
            (numbers["queued"] == 0 && numbers["running"] == 0).then_some(())
        });
        let jobs = server.json("/api/videos/processing/jobs?limit=200");
        let jobs = jobs["items"].as_array().expect("a list");
        assert_eq!(jobs.len(), videos.len(), "one job for each: {jobs:#?}");
        wait_for("scratch to be put away", || {
            (files_below(&server.data.join("work")) == 0).then_some(())
        });
        let now = told(&server.data, &videos);
        let mut again: BTreeMap<&Path, Vec<&PathBuf>> = BTreeMap::new();
        for (file, _) in known.iter().filter(|(file, ino)| now.get(*file) != Some(*ino)) {
            again.entry(file.parent().expect("a rung")).or_default().push(file);
        }
        let changed: Vec<_> =
            again.values().flatten().filter(|file| now.contains_key(**file)).collect();
        assert!(changed.is_empty(), "other bytes behind an address: {changed:#?}");
        // What can't be gone on with is made anew under new addresses: at length that counts.
        let is_bounded = !is_long || again.values().all(|files| files.len() <= 1);
        assert!(is_bounded, "more than a segment of a rung was made again: {again:#?}");
        if !again.is_empty() {
            println!("torture: made again after it was told: {again:?}");
        }
        for video in &videos {
            let Some(directory) = walk_for(&server.data.join("media"), video) else { continue };
            for entry in fs::read_dir(&directory).expect("published").flatten() {
                let list = fs::read_to_string(entry.path().join("media.m3u8"));
                let is_whole = list.map_or(true, |list| list.contains("#EXT-X-ENDLIST"));
                assert!(is_whole, "{} was left half made", entry.path().display());
            }
        }
    }
}

/// Whatever is killed and when, each video ends as it does undisturbed, nothing is stuck, and of no
/// rung is more than one segment made again that was told.
#[test]
fn killed_work_ends_as_it_would_have() {
    let rounds = rounds(4);
    let mut at = Told::new("queue".to_owned());
    let mut dice = Dice::new(at.seed);
    let expected: Vec<_> = {
        let Life { server, videos, .. } = Life::new();
        videos.iter().map(|video| outcome(&server.settled(video))).collect()
    };
    assert!(expected.iter().any(|(state, _)| state == "ready"));
    assert!(expected.iter().any(|(state, _)| state == "failed"));
    while at.round < rounds {
        let mut life = Life::new();
        for _ in 0..LIFE_ROUNDS.min(rounds - at.round) {
            at.round += 1;
            life.round(&mut dice);
        }
        life.conclude(&expected, rounds > LIFE_ROUNDS);
    }
    println!(
        "torture: queue of {} files, {rounds} kills: each ended as it would have",
        FILES.len()
    );
}
