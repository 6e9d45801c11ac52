//! All sound tracks of a job on their way: each packet goes to the track that it belongs to.

use super::audio::Sound;
use super::report::Stop;
use ffmpeg_next::codec::packet::Packet;

/// The tracks of one reading of the source, those that an earlier attempt has made left out.
#[derive(Default)]
pub struct Sounds<'w, 'r> {
    tracks: Vec<(usize, Sound<'w, 'r>)>,
    /// Second until which earlier attempts have made tracks.
    made_until: f64,
}

impl<'w, 'r> Sounds<'w, 'r> {
    /// None yet, beside what earlier attempts have made up to this second.
    pub fn beside(made_until: f64) -> Self {
        Self { tracks: Vec::new(), made_until }
    }

    /// Adds the sound that is made of the container's stream of this number. Several may be made
    /// of one.
    pub fn add(&mut self, stream: usize, sound: Sound<'w, 'r>) {
        self.tracks.push((stream, sound));
    }

    /// Takes a packet of the source, if it's one of sound.
    ///
    /// # Errors
    /// `OutOfMemory`, `OutOfSpace`, `Internal`, `Gone`.
    pub fn packet(&mut self, packet: &Packet) -> Result<(), Stop> {
        for (stream, sound) in &mut self.tracks {
            if *stream == packet.stream() {
                sound.packet(packet)?;
            }
        }
        Ok(())
    }

    /// Returns the second at which the longest of what has come so far, now or before, ends.
    pub fn end(&self) -> f64 {
        self.tracks.iter().map(|(_, sound)| sound.end()).fold(self.made_until, f64::max)
    }

    /// Completes every track, filled up with silence to `pictures_end` seconds if there are
    /// pictures. Returns how many seconds the longest has.
    ///
    /// # Errors
    /// As [`Sounds::packet`].
    pub fn finish(self, pictures_end: Option<f64>) -> Result<f64, Stop> {
        let mut longest: f64 = 0.0;
        for (_, sound) in self.tracks {
            longest = longest.max(sound.finish(pictures_end)?);
        }
        Ok(longest)
    }
}
