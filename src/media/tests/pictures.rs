//! What is made of a film's pictures beside its rungs, looked at as a browser would.

use super::*;
use crate::model::extra::{PREVIEW_FILE, THUMBNAILS_MAX, Thumbnail, thumbnail_file};
use crate::model::storyboard::{Storyboard, sheet_file};
use image::RgbImage;

/// Pictures of a film, without its rungs.
struct Shown {
    out: tempfile::TempDir,
    outcome: Outcome,
}

/// Makes the pictures of a film, as an attempt does that finds all rungs made.
fn shown(film: &str) -> Shown {
    let path = films().join(film);
    let out = out_dir();
    let mut order = order();
    order.limits.duration_ms_max = 100_000_000;
    order.renditions_done = planned(&path, &order);
    let outcome = run_on(&path, out.path(), order).ok();
    assert!(outcome.made.is_empty());
    Shown { out, outcome }
}

/// Returns the names of all rungs that a film gets.
fn planned(path: &Path, order: &Order) -> Vec<String> {
    let source = fs::File::open(path).expect("the film is there");
    let out = out_dir();
    let dir = fs::File::open(out.path()).expect("the directory is there");
    let length = ByteCount(source.metadata().expect("its size").len());
    let order = Order { source: Extent::whole(length), ..order.clone() };
    let mut names = Vec::new();
    let mut report = |report| match report {
        Report::Probed { plan, .. } => {
            names.extend(plan.into_iter().map(|rung| rung.name));
            Err(Gone)
        }
        _ => Ok(()),
    };
    let _ = run(&order, vec![source.into()], dir.into(), None, &mut report);
    assert!(!names.is_empty(), "{}", path.display());
    names
}

impl Shown {
    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.out.path().join(file)).expect(file)
    }

    fn jpeg(&self, file: &str) -> RgbImage {
        let bytes = self.read(file);
        let format = image::guess_format(&bytes).expect("a known format");
        assert_eq!(format, image::ImageFormat::Jpeg, "{file}");
        image::load_from_memory(&bytes).expect(file).to_rgb8()
    }

    /// The stills, each checked against its size.
    fn thumbnails(&self) -> Vec<(Thumbnail, RgbImage)> {
        let list = self.outcome.extras.iter().find_map(|extra| match extra {
            Extra::Thumbnails { thumbnails } => Some(thumbnails.clone()),
            _ => None,
        });
        let checked = |(number, it): (usize, Thumbnail)| {
            let picture = self.jpeg(&thumbnail_file(number));
            assert_eq!((it.picture.width, it.picture.height), picture.dimensions());
            (it, picture)
        };
        (1..).zip(list.expect("stills")).map(checked).collect()
    }

    fn storyboard(&self) -> Storyboard {
        let found = self.outcome.extras.iter().find_map(|extra| match extra {
            Extra::Storyboard { storyboard } => Some(storyboard.clone()),
            _ => None,
        });
        found.expect("a storyboard")
    }

    /// Every tile, cut out of its sheet where the WebVTT file says that it lies.
    fn tiles(&self) -> Vec<RgbImage> {
        let storyboard = self.storyboard();
        let vtt = storyboard.to_vtt(self.outcome.facts.duration);
        let sheets: Vec<RgbImage> =
            (1..=storyboard.sheets()).map(|number| self.jpeg(&sheet_file(number))).collect();
        let cut = |line: &str| {
            let (sheet, place) = line.split_once("#xywh=")?;
            let numbers: Vec<u32> =
                place.split(',').map(|n| n.parse().expect("a number")).collect();
            let sheet = (1..).zip(&sheets).find(|(number, _)| sheet_file(*number) == sheet)?.1;
            let [x, y, width, height] = numbers[..] else { return None };
            assert!(x + width <= sheet.width() && y + height <= sheet.height(), "{line}");
            Some(image::imageops::crop_imm(sheet, x, y, width, height).to_image())
        };
        vtt.lines().filter_map(cut).collect()
    }

    /// The frames of the moving preview: how many, and how many milliseconds each is shown.
    fn preview(&self) -> Vec<u32> {
        let bytes = self.read(PREVIEW_FILE);
        assert!(bytes.len() <= 300 << 10, "{}", bytes.len());
        assert_eq!((&bytes[..4], &bytes[8..16]), (&b"RIFF"[..], &b"WEBPVP8X"[..]));
        let number = |at: usize, count: usize| {
            bytes[at..at + count].iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
        };
        let (mut at, mut frames) = (12, Vec::new());
        while at + 8 <= bytes.len() {
            let length = number(at + 4, 4) as usize;
            match &bytes[at..at + 4] {
                b"ANIM" => assert_eq!(number(at + 12, 2), 0, "it begins anew for ever"),
                b"ANMF" => frames.push(number(at + 20, 3)),
                _ => {}
            }
            at += 8 + length + length % 2;
        }
        frames
    }
}

/// Mean brightness.
fn brightness(picture: &RgbImage) -> f64 {
    let sum: u64 = picture.pixels().map(|pixel| u64::from(pixel.0[1])).sum();
    sum as f64 / f64::from(picture.width() * picture.height()).max(1.0)
}

/// Mean difference of two pictures of one size.
fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let pairs = one.as_raw().iter().zip(other.as_raw());
    let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / one.as_raw().len() as f64
}

/// A film is shown from all sides: a poster in two formats, stills to choose from, a tile for every
/// second, three moving seconds.
#[test]
fn a_film_is_shown() {
    let shown = shown("faststart.mp4");
    let webp = shown.read("poster.webp");
    assert_eq!((&webp[..4], &webp[8..15]), (&b"RIFF"[..], &b"WEBPVP8"[..]));
    assert!(webp.len() < shown.read("poster.jpg").len());
    let thumbnails = shown.thumbnails();
    assert_eq!(thumbnails.len(), THUMBNAILS_MAX);
    let times: Vec<f64> = thumbnails.iter().map(|(it, _)| it.time).collect();
    assert!(times.windows(2).all(|pair| pair[0] + 0.5 < pair[1]), "{times:?}");
    assert!(times[0] < 1.5 && times[7] > 8.5 && times[7] < 10.0, "{times:?}");
    assert_eq!(thumbnails[0].1.dimensions(), (640, 360));
    let tiles = shown.tiles();
    assert_eq!((tiles.len(), tiles[0].dimensions()), (10, (160, 90)));
    for pair in tiles.windows(2) {
        assert!(difference(&pair[0], &pair[1]) > 1.0, "each shows another moment");
    }
    assert_eq!(shown.preview(), [125; 24]);
    assert!(shown.outcome.warnings.is_empty(), "{:?}", shown.outcome.warnings);
}

/// A film held upright is shown upright, everywhere.
#[test]
fn a_turned_film_is_shown_upright() {
    let shown = shown("rotated.mp4");
    assert_eq!(shown.outcome.poster, Some((360, 640)));
    assert_eq!(shown.thumbnails()[0].1.dimensions(), (360, 640));
    assert_eq!(shown.tiles()[0].dimensions(), (90, 160));
    assert!(!shown.preview().is_empty());
}

/// Of a film that begins black no still is, where another can be had; the poster least of all.
#[test]
fn black_beginnings_are_passed_over() {
    let shown = shown("black-start.mp4");
    assert!(brightness(&shown.jpeg("poster.jpg")) > 40.0);
    let thumbnails = shown.thumbnails();
    let seen = thumbnails.iter().filter(|(_, picture)| brightness(picture) > 40.0);
    assert!(seen.count() >= 4, "{}", thumbnails.len());
    let tiles = shown.tiles();
    assert_eq!(tiles.len(), 8, "the seek bar shows what is there");
    assert!(brightness(&tiles[1]) < 40.0 && brightness(&tiles[5]) > 40.0);
}

/// A film with a single key frame is gone through, and every picture of it is another.
#[test]
fn one_key_frame_is_enough() {
    let shown = shown("one-key-5s.mp4");
    let tiles = shown.tiles();
    assert_eq!(tiles.len(), 5);
    for pair in tiles.windows(2) {
        assert!(difference(&pair[0], &pair[1]) > 1.0);
    }
    let thumbnails = shown.thumbnails();
    assert_eq!(thumbnails.len(), THUMBNAILS_MAX);
    for pair in thumbnails.windows(2) {
        assert!(difference(&pair[0].1, &pair[1].1) > 1.0);
    }
    assert_eq!(shown.preview(), [125; 24]);
}

/// Where key frames are farther apart than tiles, each tile lasts until the next key frame.
#[test]
fn tiles_last_until_the_next_key_frame() {
    let shown = shown("far-keys.mkv");
    let storyboard = shown.storyboard();
    assert_eq!(storyboard.starts_ms.len(), 20, "{:?}", storyboard.starts_ms);
    assert!(storyboard.starts_ms.windows(2).all(|pair| pair[1] - pair[0] >= 4000));
    assert_eq!(shown.tiles().len(), 20);
}

/// A whole day has a bounded number of tiles, all over it, and costs no hours.
#[test]
fn a_day_is_shown() {
    let shown = shown("day.mp4");
    let storyboard = shown.storyboard();
    assert_eq!((storyboard.starts_ms.len(), storyboard.sheets()), (720, 8));
    assert_eq!(storyboard.starts_ms.last(), Some(&(719 * 120_000)));
    assert_eq!(shown.tiles().len(), 720);
    assert!(shown.thumbnails()[7].0.time > 80_000.0);
    assert!(!shown.preview().is_empty());
}

/// High dynamic range is brought down to what browsers show, in every picture.
#[test]
fn high_dynamic_range_is_converted() {
    if !films().join("hdr10.mp4").exists() {
        return; // Without an encoder of HEVC there is no such film.
    }
    let shown = shown("hdr10.mp4");
    assert!(shown.outcome.warnings.is_empty(), "{:?}", shown.outcome.warnings);
    // The test picture's colours are full; taken for what they aren't, they would be pale.
    let poster = shown.jpeg("poster.jpg");
    let vivid = poster.pixels().filter(|pixel| {
        let (low, high) = (pixel.0.iter().min(), pixel.0.iter().max());
        high.zip(low).is_some_and(|(high, low)| high.abs_diff(*low) > 200)
    });
    assert!(vivid.count() * 2 > (poster.width() * poster.height()) as usize);
}

/// Of an interlaced film one moment is shown, not two woven into each other.
#[test]
fn fields_are_not_woven() {
    let shown = shown("interlaced.ts");
    let combed = |picture: &RgbImage| {
        let (width, height) = picture.dimensions();
        let luma = |x, y| i32::from(picture.get_pixel(x, y).0[1]);
        let mut combs = 0;
        for y in 2..height - 2 {
            for x in 0..width {
                let (here, near, far) = (luma(x, y), luma(x, y + 1), luma(x, y + 2));
                combs += usize::from((here - near).abs() > 60 && (here - far).abs() < 20);
            }
        }
        combs as f64 / f64::from(width * height)
    };
    let worst = shown.thumbnails().iter().map(|(_, still)| combed(still)).fold(0.0, f64::max);
    assert!(worst < 0.01, "{worst}");
}

/// What an earlier attempt made isn't made again.
#[test]
fn made_pictures_are_not_made_again() {
    let path = films().join("silent.mp4");
    let mut order = order();
    order.renditions_done = planned(&path, &order);
    order.extras_done =
        vec![ExtraKind::Poster, ExtraKind::Thumbnails, ExtraKind::Storyboard, ExtraKind::Preview];
    let out = out_dir();
    let outcome = run_on(&path, out.path(), order).ok();
    assert!(outcome.extras.is_empty());
    assert_eq!(fs::read_dir(out.path()).expect("it is there").count(), 0);
}
