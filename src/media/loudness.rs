//! Brings sound to an equal loudness: −16 LUFS, as EBU R 128 measures it, with peaks below −1 dBTP.
//!
//! The source is read once beforehand and only its sound decoded, because one gain for the whole
//! film leaves the quiet and the loud as its makers wanted them; a gain that follows the sound
//! wouldn't. Peaks that would get too high by it are limited.

use super::audio::rate_of;
use super::ffi;
use super::report::{Reporter, Stop};
use super::sound_out::{Mixing, Resampler, SoundKind};
use super::source::{Source, Track};
use crate::model::problem::ProblemCode;
use crate::model::rendition::SoundLayout;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::{decoder, frame};

/// What is aimed at, in LUFS; what phones and browsers are made for.
const TARGET: f64 = -16.0;

/// Peak that published sound may have, in dBTP; encoding adds up to a decibel to what is put in.
const PEAK_MAX: f64 = -2.0;

/// Sound below this many LUFS is silence with noise in it, and stays.
const SILENCE: f64 = -60.0;

/// Most decibels that are added: more would bring up what nobody was meant to hear.
const GAIN_MAX: f64 = 30.0;

/// Filters that measure. They pass sound on, in steps of a tenth of a second.
const MEASURE: &str = ",ebur128=peak=true:metadata=1";

/// How loud a sound is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loudness {
    /// Over all of it, in LUFS.
    integrated: f64,
    /// Its true peak in dBTP.
    peak: f64,
}

impl Loudness {
    /// Returns the filters that bring such sound to the target; empty if it stays as it is.
    pub fn filters(self, rate: u32) -> String {
        if self.integrated < SILENCE {
            return String::new();
        }
        let gain = (TARGET - self.integrated).min(GAIN_MAX);
        let volume = format!(",volume={gain:.2}dB");
        if self.peak + gain <= PEAK_MAX {
            return volume;
        }
        // Peaks between the samples count too; at four times the rate there are few left.
        let (limit, fine) = (10_f64.powf(PEAK_MAX / 20.0), rate * 4);
        format!(
            "{volume},aresample={fine},alimiter=limit={limit:.3}:level=0:attack=5:release=80,\
             aresample={rate}"
        )
    }
}

/// One form of a track, being measured.
struct Measured {
    mixing: Mixing,
    resampler: Option<Resampler>,
    found: Option<Loudness>,
}

struct Listener {
    stream: usize,
    decoder: decoder::Audio,
    forms: Vec<Measured>,
}

/// The loudness of each form of each track that was asked for.
#[derive(Default)]
pub struct Levels(Vec<(usize, SoundLayout, Loudness)>);

impl Levels {
    /// Returns the filters for a form of the track of this stream; none if it wasn't measured.
    pub fn filters(&self, stream: usize, layout: SoundLayout, rate: u32) -> String {
        let found = self.0.iter().find(|(at, form, _)| (*at, *form) == (stream, layout));
        found.map_or_else(String::new, |(.., loudness)| loudness.filters(rate))
    }
}

/// Reads the source through and measures the forms of the tracks that are `wanted` (number of the
/// track and form).
///
/// # Errors
/// `OutOfMemory`, `Internal`, `Gone`.
pub fn measure(
    mut source: Source,
    wanted: &[(usize, SoundLayout)],
    reporter: &Reporter<'_>,
) -> Result<Levels, Stop> {
    let mut listeners = Vec::new();
    for (number, track) in source.sounds.iter().enumerate() {
        let forms = wanted.iter().filter(|(at, _)| *at == number).map(|&(_, layout)| layout);
        let forms: Vec<SoundLayout> = forms.collect();
        if !forms.is_empty() {
            listeners.push(Listener::open(track, forms)?);
        }
    }
    let streams: Vec<usize> = listeners.iter().map(|it| it.stream).collect();
    ffi::keep_streams(&mut source.input, &streams);
    while let Some(packet) = source.next_packet() {
        reporter.beat()?;
        if let Some(listener) = listeners.iter_mut().find(|it| it.stream == packet.stream()) {
            listener.packet(Some(&packet))?;
        }
    }
    let mut levels = Levels::default();
    for mut listener in listeners {
        listener.packet(None)?;
        for form in listener.forms {
            let (layout, found) = (form.mixing.layout, form.finish()?);
            levels.0.extend(found.map(|loudness| (listener.stream, layout, loudness)));
        }
    }
    Ok(levels)
}

impl Listener {
    fn open(track: &Track, forms: Vec<SoundLayout>) -> Result<Self, Stop> {
        let unreadable =
            |error| Stop::from_ffi(error, ProblemCode::DamagedMedia, "The sound can't be read.");
        let opened = ffi::open_decoder(track.parameters.clone(), track.time_base, &[])
            .map_err(unreadable)?;
        let rate = rate_of(track);
        let form =
            |layout| Measured { mixing: Mixing { rate, layout }, resampler: None, found: None };
        Ok(Self {
            stream: track.index,
            decoder: opened.audio().map_err(|error| unreadable(error.into()))?,
            forms: forms.into_iter().map(form).collect(),
        })
    }

    /// Takes a packet, or the end. Damaged ones say nothing.
    fn packet(&mut self, packet: Option<&Packet>) -> Result<(), Stop> {
        let _ = match packet {
            Some(packet) => self.decoder.send_packet(packet),
            None => self.decoder.send_eof(),
        };
        let mut sound = frame::Audio::empty();
        while self.decoder.receive_frame(&mut sound).is_ok() {
            if sound.rate() > 0 && sound.samples() > 0 {
                // Where it lies in time doesn't matter here.
                sound.set_pts(None);
                self.forms.iter_mut().try_for_each(|form| form.take(&sound))?;
            }
            sound = frame::Audio::empty();
        }
        Ok(())
    }
}

impl Measured {
    fn take(&mut self, sound: &frame::Audio) -> Result<(), Stop> {
        let kind = SoundKind::of(sound);
        if self.resampler.as_ref().is_none_or(|resampler| resampler.kind != kind) {
            self.end()?;
            self.resampler = Some(Resampler::new(kind, self.mixing, None, MEASURE)?);
        }
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let heard = resampler.take(sound)?;
        self.note(&heard);
        Ok(())
    }

    fn finish(mut self) -> Result<Option<Loudness>, Stop> {
        self.end()?;
        Ok(self.found)
    }

    fn end(&mut self) -> Result<(), Stop> {
        if let Some(mut old) = self.resampler.take() {
            let heard = old.finish()?;
            self.note(&heard);
        }
        Ok(())
    }

    /// Keeps what was measured last, which counts for all before.
    fn note(&mut self, heard: &[frame::Audio]) {
        let Some(last) = heard.last() else { return };
        let metadata = last.metadata();
        let number = |key: &str| metadata.get(key).and_then(|text| text.parse::<f64>().ok());
        let channels = 0..self.mixing.layout.channels();
        let peaks = channels.filter_map(|at| number(&format!("lavfi.r128.true_peaks_ch{at}")));
        let peak = peaks.fold(0.0, f64::max);
        if let Some(integrated) = number("lavfi.r128.I").filter(|value| value.is_finite()) {
            self.found = Some(Loudness { integrated, peak: 20.0 * peak.max(1e-6).log10() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quiet sound is brought up, loud sound down, peaks are limited only where they would get too
    /// high, and silence stays silent.
    #[test]
    fn gains() {
        let filters = |integrated, peak| Loudness { integrated, peak }.filters(48_000);
        assert_eq!(filters(-9.0, 0.5), ",volume=-7.00dB");
        assert_eq!(filters(-23.0, -10.0), ",volume=7.00dB");
        assert_eq!(filters(-70.0, -120.0), "");
        assert_eq!(filters(-61.0, -40.0), "");
        let limited = filters(-26.0, -5.0);
        assert!(limited.starts_with(",volume=10.00dB,aresample=192000,alimiter="), "{limited}");
        assert!(filters(-59.0, -40.0).starts_with(",volume=30.00dB"));
    }
}
