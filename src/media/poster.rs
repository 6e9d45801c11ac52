//! The still picture that stands for a film: the liveliest of five key frames, as JPEG.

use super::ffi;
use super::output::OutputDir;
use super::picture::{Hdr, Treater, Treatment};
use super::probe::Probe;
use super::report::{Reporter, Stop, out_of_memory};
use super::source::{Source, decoder_limits};
use crate::model::extra::{Extra, POSTER_FILE};
use crate::model::manifest::Picture;
use crate::model::problem::ProblemCode;
use crate::wire::{Limits, Report};
use ffmpeg_next::{decoder, frame};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// Widest picture in pixels.
const WIDTH_MAX: u32 = 1280;

/// JPEG quality, 1 ..= 100.
const QUALITY: u8 = 80;

/// Places in the film that are looked at, in shares of its length.
const PLACES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// Packets read in search of a key frame at one place.
const PACKETS_MAX: u32 = 2000;

/// Key frames tried at one place before it's given up.
const KEYS_MAX: u32 = 3;

/// Pictures decoded after the key frame at each place, when all key frames are flat: cuts, flashes
/// and fades are where encoders put key frames.
const FURTHER: u32 = 12;

/// Variance of the brightness below which a picture shows nothing but one colour.
const FLAT_BELOW: f64 = 25.0;

/// Mean brightness of a picture worth showing: neither night nor snow.
const MEAN: std::ops::RangeInclusive<f64> = 16.0..=235.0;

/// Makes `poster.jpg` and reports it. A film without a single picture to show gets none, and a
/// warning. Moves the source's position.
///
/// # Errors
/// `OutOfSpace`, `OutOfMemory`, `Gone`.
pub fn make(
    source: &mut Source,
    probe: &Probe,
    limits: &Limits,
    dir: &OutputDir,
    reporter: &Reporter<'_>,
) -> Result<(), Stop> {
    let mut best: Option<Still> = None;
    for further in [0, FURTHER] {
        for place in PLACES {
            reporter.beat()?;
            let at = (source.origin() + place * probe.facts.duration) * 1e6;
            match still_at(source, probe, limits, at as i64, further) {
                Ok(Some(still))
                    if best.as_ref().is_none_or(|best| still.score() > best.score()) =>
                {
                    best = Some(still);
                }
                // A place that can't be shown isn't worth failing for; the encoding pass will
                // tell.
                Ok(_) | Err(Stop::Problem(_)) => {}
                Err(stop) => return Err(stop),
            }
        }
        if best.as_ref().is_some_and(|best| !best.is_flat()) {
            break;
        }
    }
    let Some(best) = best else {
        return reporter.warn("no-poster", "No picture of the film could be shown as its poster.");
    };
    let jpeg = best.jpeg()?;
    dir.write(POSTER_FILE, &jpeg)?;
    let picture = Picture { width: best.width, height: best.height };
    reporter.send(Report::Extra { extra: Extra::Poster { picture } })
}

/// An upright picture in RGB and how lively it is.
struct Still {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    mean: f64,
    variance: f64,
}

impl Still {
    fn new(picture: &frame::Video) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let row_bytes = width as usize * 3;
        let mut rgb = Vec::with_capacity(row_bytes * height as usize);
        for row in picture.data(0).chunks(picture.stride(0)).take(height as usize) {
            rgb.extend_from_slice(&row[..row_bytes]);
        }
        let (mean, variance) = brightness(&rgb);
        Self { width, height, rgb, mean, variance }
    }

    /// Lively pictures before dull ones, and any of middling brightness before all others.
    fn score(&self) -> (bool, u64) {
        (MEAN.contains(&self.mean), self.variance as u64)
    }

    fn is_flat(&self) -> bool {
        self.variance < FLAT_BELOW || !MEAN.contains(&self.mean)
    }

    fn jpeg(&self) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY)
            .encode(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)
            .map_err(|_| {
                Stop::because(ProblemCode::Internal, "The poster couldn't be stored as JPEG.")
            })?;
        Ok(bytes)
    }
}

/// Mean and variance of the brightness of RGB pixels. Every seventh pixel tells enough.
fn brightness(rgb: &[u8]) -> (f64, f64) {
    let (mut count, mut sum, mut squares) = (0u64, 0u64, 0u64);
    for pixel in rgb.chunks_exact(3).step_by(7) {
        // ITU-R BT.709 weights in 256ths.
        let luma =
            (54 * u64::from(pixel[0]) + 183 * u64::from(pixel[1]) + 19 * u64::from(pixel[2])) >> 8;
        count += 1;
        sum += luma;
        squares += luma * luma;
    }
    let count = count.max(1) as f64;
    let mean = sum as f64 / count;
    (mean, squares as f64 / count - mean * mean)
}

/// Decodes the key frame at or before `at_us`, or the first one after it that can be shown; with
/// `further`, the picture that many after it.
fn still_at(
    source: &mut Source,
    probe: &Probe,
    limits: &Limits,
    at_us: i64,
    further: u32,
) -> Result<Option<Still>, Stop> {
    // Some containers can't go back; then the next key frame from here does as well.
    let _ = source.input.seek(at_us, ..at_us);
    let mut keys = 0;
    for _ in 0..PACKETS_MAX {
        let Some(packet) = source.next_packet() else { return Ok(None) };
        let Some(track) = source.video.as_ref().filter(|track| track.index == packet.stream())
        else {
            continue;
        };
        if !packet.is_key() {
            continue;
        }
        let mut decoder =
            ffi::open_decoder(track.parameters.clone(), track.time_base, &options(limits))
                .map_err(|error| Stop::from_ffi(error, ProblemCode::DamagedMedia, UNREADABLE))?;
        let picture = match further {
            0 => decode_alone(&mut decoder, &packet),
            further => decode_on(&mut decoder, packet, source, further),
        };
        if let Some(picture) = picture {
            return show(picture, probe).map(Some);
        }
        keys += 1;
        if keys == KEYS_MAX {
            return Ok(None);
        }
    }
    Ok(None)
}

fn options(limits: &Limits) -> Vec<(&'static str, String)> {
    let mut options = decoder_limits(limits);
    options.push(("threads", "1".to_owned()));
    options
}

/// Decodes one key packet by itself: the end of the stream makes the decoder give it out.
fn decode_alone(
    decoder: &mut decoder::Opened,
    packet: &ffmpeg_next::Packet,
) -> Option<frame::Video> {
    decoder.send_packet(packet).ok()?;
    decoder.send_eof().ok()?;
    let mut picture = frame::Video::empty();
    decoder.receive_frame(&mut picture).ok()?;
    Some(picture)
}

/// Decodes on from a key packet and returns the picture `further` after its own, or the last one
/// that there is.
fn decode_on(
    decoder: &mut decoder::Opened,
    key: ffmpeg_next::Packet,
    source: &mut Source,
    further: u32,
) -> Option<frame::Video> {
    let (track, mut next) = (key.stream(), Some(key));
    let (mut last, mut seen) = (None, 0);
    for _ in 0..PACKETS_MAX {
        let at_end = next.is_none();
        match next {
            Some(packet) if packet.stream() == track => decoder.send_packet(&packet).ok()?,
            Some(_) => {}
            None => decoder.send_eof().ok()?,
        }
        let mut picture = frame::Video::empty();
        while decoder.receive_frame(&mut picture).is_ok() {
            last = Some(std::mem::replace(&mut picture, frame::Video::empty()));
            seen += 1;
            if seen > further {
                return last;
            }
        }
        if at_end {
            break;
        }
        next = source.next_packet();
    }
    last
}

fn show(mut picture: frame::Video, probe: &Probe) -> Result<Still, Stop> {
    let shape = probe.shape.ok_or_else(out_of_memory)?;
    let width = shape.width.min(WIDTH_MAX);
    let factor = f64::from(width) / f64::from(shape.width);
    let height = ((f64::from(shape.height) * factor).round() as u32).max(1);
    let treatment = |tone_map: Option<Hdr>| Treatment {
        orientation: probe.orientation,
        deinterlace: picture.is_interlaced(),
        tone_map,
        width,
        height,
        format: "rgb24",
    };
    let (mapped, plain) = (treatment(probe.hdr), treatment(None));
    picture.set_pts(Some(0));
    let spare = ffi::share(&picture).map_err(|_| out_of_memory())?;
    let shown = match treat_alone(mapped, picture) {
        Err(Stop::Problem(_)) if probe.hdr.is_some() => treat_alone(plain, spare)?,
        shown => shown?,
    };
    Ok(Still::new(&shown))
}

fn treat_alone(treatment: Treatment, picture: frame::Video) -> Result<frame::Video, Stop> {
    let mut treater = Treater::new(treatment, &picture)?;
    let mut out = treater.treat(picture)?;
    out.extend(treater.finish()?);
    out.pop().ok_or_else(|| Stop::because(ProblemCode::DamagedMedia, UNREADABLE))
}

const UNREADABLE: &str = "The pictures in the file can't be decoded.";

#[cfg(test)]
mod tests {
    use super::*;

    fn still(mean: f64, variance: f64) -> Still {
        Still { width: 1, height: 1, rgb: vec![0; 3], mean, variance }
    }

    /// A lively picture beats a dull one, and a black one loses to anything that can be seen.
    #[test]
    fn the_liveliest_wins() {
        assert!(still(100.0, 900.0).score() > still(120.0, 400.0).score());
        assert!(still(100.0, 10.0).score() > still(3.0, 400.0).score());
        let (mean, variance) = brightness(&[255; 21 * 6]);
        assert!((mean - 255.0).abs() < 1.0 && variance.abs() < 1.0);
    }
}
