//! Small pictures for the seek bar: how far apart, how they lie on their sheets, and the WebVTT
//! file that tells players which piece of which sheet shows what.

use super::manifest::Picture;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Tiles side by side on a sheet.
pub const COLUMNS: u32 = 10;
/// Tiles above each other on a sheet.
pub const ROWS: u32 = 10;
/// Longer side of a tile in pixels, at most.
pub const TILE_SIDE_MAX: u32 = 160;
/// Most tiles of one film, however long it is.
pub const TILES_MAX: u32 = 720;
/// Most tiles of a film that is short enough for an interval below [`PACE_SECONDS`].
const TILES_SHORT_MAX: u32 = 60;
/// The usual interval in seconds; closer only for short films, wider only for very long ones.
const PACE_SECONDS: u32 = 10;
/// Intervals to choose from, in seconds.
const INTERVALS: [u32; 9] = [1, 2, 5, PACE_SECONDS, 20, 30, 60, 120, 300];

/// The tiles of a film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storyboard {
    /// Size of every tile.
    pub tile: Picture,
    /// When each tile's stretch of the film begins, in milliseconds, rising from 0; it ends where
    /// the next one's begins.
    pub starts_ms: Vec<u64>,
}

/// Returns the seconds between tiles of a film of `duration` seconds.
pub fn interval(duration: f64) -> u32 {
    let fits = |&seconds: &u32| {
        let most = if seconds < PACE_SECONDS { TILES_SHORT_MAX } else { TILES_MAX };
        duration <= f64::from(seconds) * f64::from(most)
    };
    INTERVALS.into_iter().find(fits).unwrap_or_else(|| {
        // A length that isn't a number becomes 0 here.
        ((duration / f64::from(TILES_MAX)).ceil() as u32).max(1)
    })
}

/// Returns the name of a sheet's file, counted from 1.
pub fn sheet_file(number: u32) -> String {
    format!("storyboard-{number}.jpg")
}

impl Storyboard {
    /// Returns how many sheets there are.
    pub fn sheets(&self) -> u32 {
        (self.starts_ms.len() as u32).div_ceil(COLUMNS * ROWS)
    }

    /// Says whether it is one that this program makes: bounded, in order, from the beginning on.
    pub fn is_sound(&self) -> bool {
        let sides = [self.tile.width, self.tile.height];
        let count = self.starts_ms.len();
        sides.iter().all(|side| (1..=TILE_SIDE_MAX).contains(side))
            && (1..=TILES_MAX as usize).contains(&count)
            && self.starts_ms[0] == 0
            && self.starts_ms.windows(2).all(|pair| pair[0] < pair[1])
    }

    /// Writes the WebVTT file of a film of `duration` seconds; what a film shows that turned out to
    /// be shorter ends with it. Sheets are named relative to it.
    pub fn to_vtt(&self, duration: f64) -> String {
        let mut text = String::from("WEBVTT\n");
        let end = (duration * 1000.0).round().max(0.0) as u64;
        let Picture { width, height } = self.tile;
        for (place, &start) in (0..).zip(&self.starts_ms) {
            if start >= end && place > 0 {
                break;
            }
            let next = self.starts_ms.get(place as usize + 1).copied();
            let until = next.unwrap_or(end).min(end).max(start + 1);
            let on_sheet = place % (COLUMNS * ROWS);
            let (x, y) = (on_sheet % COLUMNS * width, on_sheet / COLUMNS * height);
            let sheet = sheet_file(place / (COLUMNS * ROWS) + 1);
            let (start, until) = (stamp(start), stamp(until));
            let _ = write!(text, "\n{start} --> {until}\n{sheet}#xywh={x},{y},{width},{height}\n");
        }
        text
    }
}

/// Formats milliseconds as WebVTT has them.
fn stamp(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short films have close tiles, a long one has as many as are allowed, and none has more.
    #[test]
    fn intervals() {
        for (duration, expect) in [
            (0.0, 1),
            (60.0, 1),
            (61.0, 2),
            (300.0, 5),
            (301.0, 10),
            (600.0, 10),
            (7200.0, 10),
            (7201.0, 20),
            (86_400.0, 120),
            (1e6, 1389),
        ] {
            assert_eq!(interval(duration), expect, "{duration}");
            assert!(duration / f64::from(interval(duration)) <= f64::from(TILES_MAX));
        }
        assert!(interval(f64::INFINITY) > 0 && interval(f64::NAN) > 0);
    }

    /// Tiles fill rows, then sheets; each lasts until the next, the last until the end.
    #[test]
    fn cues() {
        let starts_ms = (0..102).map(|tile| tile * 10_000).collect();
        let board = Storyboard { tile: Picture { width: 160, height: 90 }, starts_ms };
        assert!(board.is_sound());
        assert_eq!(board.sheets(), 2);
        let vtt = board.to_vtt(1015.5);
        assert!(vtt.starts_with("WEBVTT\n\n00:00:00.000 --> 00:00:10.000\n"), "{vtt}");
        for cue in [
            "00:01:50.000 --> 00:02:00.000\nstoryboard-1.jpg#xywh=160,90,160,90\n",
            "00:16:30.000 --> 00:16:40.000\nstoryboard-1.jpg#xywh=1440,810,160,90\n",
            "00:16:50.000 --> 00:16:55.500\nstoryboard-2.jpg#xywh=160,0,160,90\n",
        ] {
            assert!(vtt.contains(cue), "{cue} in {vtt}");
        }
        assert!(vtt.ends_with("160,0,160,90\n") && vtt.matches("-->").count() == 102);
        let cut = board.to_vtt(15.5);
        assert!(
            cut.ends_with("10.000 --> 00:00:15.500\nstoryboard-1.jpg#xywh=160,0,160,90\n"),
            "{cut}"
        );
        assert_eq!(board.to_vtt(20.0).matches("-->").count(), 2);
        let short = Storyboard { starts_ms: vec![0], ..board.clone() };
        assert!(short.to_vtt(0.0).contains("00:00:00.000 --> 00:00:00.001\n"));
        for starts_ms in [vec![], vec![1], vec![0, 0], vec![0, 2, 1]] {
            assert!(!Storyboard { starts_ms, ..board.clone() }.is_sound());
        }
    }
}
