//! All sound tracks of a job on their way: each packet goes to the track that it belongs to.

use super::audio::Sound;
use super::report::Stop;
use super::sound_copy::SoundCopy;
use ffmpeg_next::codec::packet::Packet;
use std::collections::BTreeMap;

/// The tracks of one reading of the source, those that an earlier attempt has made left out.
#[derive(Default)]
pub struct Sounds<'w, 'r> {
    tracks: Vec<(usize, Sound<'w, 'r>)>,
    copies: Vec<(usize, SoundCopy<'w, 'r>)>,
    readings: BTreeMap<usize, Reading>,
    /// Second until which earlier attempts have made tracks.
    made_until: f64,
}

/// How many packets of a stream have come.
#[derive(Clone, Copy, Default)]
struct Reading {
    /// Since the source was begun.
    now: u64,
    /// When it was begun before.
    before: u64,
}

impl<'w, 'r> Sounds<'w, 'r> {
    /// None yet, beside what earlier attempts have made up to this second.
    pub fn beside(made_until: f64) -> Self {
        Self { made_until, ..Self::default() }
    }

    /// Adds what is made of the container's stream of this number.
    pub fn add(&mut self, stream: usize, sound: Sound<'w, 'r>) {
        self.tracks.push((stream, sound));
    }

    /// Adds a rendition of the packets of the container's stream of this number.
    pub fn add_copy(&mut self, stream: usize, copy: SoundCopy<'w, 'r>) {
        self.copies.push((stream, copy));
    }

    /// Hears that the source is read from its start once more: packets that have come before will
    /// come again, and are passed over.
    pub fn begin_again(&mut self) {
        for reading in self.readings.values_mut() {
            *reading = Reading { now: 0, before: reading.before.max(reading.now) };
        }
    }

    /// Takes a packet of the source, if it's one of sound.
    ///
    /// # Errors
    /// `OutOfMemory`, `OutOfSpace`, `Internal`, `Gone`.
    pub fn packet(&mut self, packet: &Packet) -> Result<(), Stop> {
        let reading = self.readings.entry(packet.stream()).or_default();
        reading.now += 1;
        if reading.now <= reading.before {
            return Ok(());
        }
        if let Some((_, copy)) = self.copies.iter_mut().find(|(it, _)| *it == packet.stream()) {
            copy.packet(packet)?;
        }
        match self.tracks.iter_mut().find(|(stream, _)| *stream == packet.stream()) {
            Some((_, sound)) => sound.packet(packet),
            None => Ok(()),
        }
    }

    /// Hears that the pictures have got to this second; sound is published no further than they
    /// are.
    ///
    /// # Errors
    /// As [`Sounds::packet`].
    pub fn pictures_at(&mut self, seconds: f64) -> Result<(), Stop> {
        self.copies.iter_mut().try_for_each(|(_, copy)| copy.pictures_at(seconds))?;
        self.tracks.iter_mut().try_for_each(|(_, sound)| sound.pictures_at(seconds))
    }

    /// Takes what the decoders still hold, when no packet will come any more, and returns the
    /// second at which the longest track ends, of those made now or before.
    ///
    /// # Errors
    /// As [`Sounds::packet`].
    pub fn drain(&mut self) -> Result<f64, Stop> {
        let copies = self.copies.iter().map(|(_, copy)| copy.end());
        let mut longest = copies.fold(self.made_until, f64::max);
        for (_, sound) in &mut self.tracks {
            longest = longest.max(sound.drain()?);
        }
        Ok(longest)
    }

    /// Completes every drained track, with the length of the pictures if there are any. Returns
    /// how many seconds the longest has.
    ///
    /// # Errors
    /// As [`Sounds::packet`].
    pub fn finish(self, pictures_end: Option<f64>) -> Result<f64, Stop> {
        let mut longest: f64 = 0.0;
        for (_, copy) in self.copies {
            longest = longest.max(copy.finish(pictures_end)?);
        }
        for (_, sound) in self.tracks {
            longest = longest.max(sound.finish(pictures_end)?);
        }
        Ok(longest)
    }
}
