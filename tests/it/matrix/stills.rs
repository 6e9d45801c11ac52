//! The pictures of the matrix's films: each stands as it should, has the film's shape, and shows
//! the moment that it says.

use super::wrong_quarters;
use crate::films::Expect;
use crate::harness::Server;
use image::{RgbImage, imageops};
use serde_json::Value;

/// Seconds behind the beginning of the flash at which it still lasts.
const IN_FLASH: f64 = 0.06;

/// Returns everything that is wrong with a film's pictures: its poster, the stills to choose from,
/// the seek bar's, the first of the preview, and two posters by hand.
pub fn wrong_pictures(server: &Server, expect: &Expect, it: &Value) -> Vec<String> {
    let id = it["id"].as_str().unwrap_or_default();
    let Some((width, height)) = expect.size else { return Vec::new() };
    let mut wrong = Vec::new();
    let mut judge = |what: &str, picture: &RgbImage, in_flash: Option<bool>| {
        let problem = wrong_shape(picture, (width as f64, height as f64)).or_else(|| {
            match (is_white(picture), in_flash) {
                (true, None | Some(true)) => None,
                (is, Some(should)) if is != should => Some(format!("that it's white is {is}")),
                _ => wrong_quarters(&quarters(picture), expect),
            }
        });
        wrong.extend(problem.map(|problem| format!("{what}: {problem}")));
    };
    let listed = server.json(&format!("/api/videos/{id}/thumbnails"));
    for item in listed["items"].as_array().into_iter().flatten() {
        let url = item["url"].as_str().unwrap_or_default();
        // What was found for the poster is the liveliest; among the others may be the flash.
        let in_flash = item["time"].is_null().then_some(false);
        judge(url, &fetch(server, url), in_flash);
    }
    let playback = &it["playback"];
    if let Some(url) = playback["preview"].as_str() {
        judge("the preview", &fetch(server, url), None);
    }
    if let Some(url) = playback["storyboard"].as_str() {
        for (number, tile) in tiles(server, url).iter().enumerate() {
            judge(&format!("tile {number}"), tile, None);
        }
    }
    if let Some(flash) = expect.flash {
        let before = (flash - 0.5).max(0.0);
        for (time, in_flash) in [(before, false), (flash + IN_FLASH, true)] {
            match chosen(server, id, time) {
                Ok(picture) => judge(&format!("by hand at {time}"), &picture, Some(in_flash)),
                Err(said) => {
                    judge(&format!("by hand at {time}: {said}"), &RgbImage::new(1, 1), None)
                }
            }
        }
    }
    wrong
}

/// Chooses a moment for the poster, and returns what is shown for it.
fn chosen(server: &Server, id: &str, time: f64) -> Result<RgbImage, String> {
    let headers = [("Content-Type", "application/json"), ("Prefer", "wait=60")];
    let body = format!("{{\"time\":{time}}}");
    let path = format!("/api/videos/{id}/poster");
    let answer = server.send("PUT", &path, &headers, body.as_bytes());
    if answer.status != 200 {
        return Err(answer.text());
    }
    let url = answer.json()["playback"]["poster"].as_str().map(str::to_owned);
    url.map(|url| fetch(server, &url)).ok_or_else(|| answer.text())
}

fn fetch(server: &Server, url: &str) -> RgbImage {
    let answer = server.send("GET", url, &[], b"");
    image::load_from_memory(&answer.body).unwrap_or_else(|e| panic!("{url}: {e}")).to_rgb8()
}

/// Cuts every tile out of its sheet.
fn tiles(server: &Server, url: &str) -> Vec<RgbImage> {
    let text = server.send("GET", url, &[], b"").text();
    let below = url.rsplit_once('/').map_or("", |(below, _)| below);
    let cut = |line: &str| {
        let (sheet, place) = line.split_once("#xywh=")?;
        let numbers: Vec<u32> = place.split(',').map(|n| n.parse().expect("a number")).collect();
        let [x, y, width, height] = numbers[..] else { return None };
        let sheet = fetch(server, &format!("{below}/{sheet}"));
        Some(imageops::crop_imm(&sheet, x, y, width, height).to_image())
    };
    text.lines().filter_map(cut).collect()
}

/// Says what is wrong with a picture's shape: a side may be rounded.
fn wrong_shape(picture: &RgbImage, (width, height): (f64, f64)) -> Option<String> {
    let (is_width, is_height) = (f64::from(picture.width()), f64::from(picture.height()));
    let fits = (is_height - is_width * height / width).abs() <= 1.0
        || (is_width - is_height * width / height).abs() <= 1.0;
    (!fits).then(|| format!("{is_width} × {is_height} hasn't the shape of {width} × {height}"))
}

/// The mean colours of the four quarters.
fn quarters(picture: &RgbImage) -> Vec<u8> {
    let (width, height) = (picture.width() / 2, picture.height() / 2);
    let corner = |x: u32, y: u32| {
        let part = imageops::crop_imm(picture, x, y, width.max(1), height.max(1)).to_image();
        let count = u64::from(part.width() * part.height()).max(1);
        (0..3).map(move |channel| {
            let sum: u64 = part.pixels().map(|pixel| u64::from(pixel.0[channel])).sum();
            (sum / count) as u8
        })
    };
    let (right, low) = (picture.width() - width, picture.height() - height);
    [(0, 0), (right, 0), (0, low), (right, low)]
        .into_iter()
        .flat_map(|(x, y)| corner(x, y))
        .collect()
}

/// Says whether it shows the flash.
fn is_white(picture: &RgbImage) -> bool {
    quarters(picture).iter().all(|&mean| mean > 200)
}
