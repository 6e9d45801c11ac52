//! Says whether a sound's own packets can be published: AAC-LC in stereo that plays everywhere and
//! lies in time just as it would if it were made anew.
//!
//! Asked twice: of the container's index, before anything is promised, and of the packets as they
//! are read. Anything that isn't plain is better decoded and encoded: gaps are filled with silence
//! there, overlaps are cut, and damage becomes quiet.

use super::ffi::{self, IndexEntry};
use super::sniff::Container;
use super::source::{Source, Track, seconds};
use ffmpeg_next::Rational;
use ffmpeg_next::codec;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Samples in one packet of AAC-LC.
pub const FRAME_SAMPLES: i64 = 1024;

/// Most bytes of a packet of two channels: 6144 bits for each (ISO 14496-3, 4.5.3.3).
const PACKET_BYTES_MAX: u32 = 2 * 6144 / 8;

/// Most bits a second on average, Apple's bound for stereo (2.9), and in any two seconds: with more
/// than this the sound alone wouldn't be a variant for the slowest networks (9.21).
const MEAN_RATE_MAX: u64 = 160_000;
const PEAK_RATE_MAX: u64 = 192_000;

/// Packets in some two seconds, the shortest time over which a peak is told.
const PEAK_PACKETS: usize = 94;

/// Samples before the start that prime the decoder; encoders write one to three packets.
const PRIMING_MAX: i64 = 4 * FRAME_SAMPLES;

/// How many samples, 33 ms, a packet may lie from where the ones before it end. Players count
/// samples from where they began to play, so it is bounded over the whole track.
const APART_MAX: i64 = 1600;

/// Seconds by which sound may end before the pictures: what is promised, and what may come of it
/// when both are known.
const SHORT_BY_PROMISED: f64 = 0.03;
const SHORT_BY_MAX: f64 = 0.04;

/// Seconds by which it may outlast them.
const LONGER_BY_MAX: f64 = 1.0;

/// Returns the set-up bytes of AAC-LC in stereo at 44.1 or 48 kHz, if `config` means just that
/// (ISO 14496-3, AudioSpecificConfig): packets of 1024 samples, no extension that a player would
/// have to know. They say that nothing is hidden in the packets either, so that no player looks
/// for a doubled rate there.
pub fn plain_setup(config: &[u8], rate: u32) -> Option<[u8; 5]> {
    let setup: [u8; 2] = match rate {
        48_000 => [0x11, 0x90],
        44_100 => [0x12, 0x10],
        _ => return None,
    };
    const NOTHING_HIDDEN: [u8; 3] = [0x56, 0xe5, 0x00];
    let extension = config.strip_prefix(&setup)?;
    let is_plain = extension.is_empty() || extension == NOTHING_HIDDEN;
    let [a, b] = setup;
    let [c, d, e] = NOTHING_HIDDEN;
    is_plain.then_some([a, b, c, d, e])
}

/// Returns the most bits a second that a track takes in packets that can be published beside the
/// source's pictures, all of them there in a file of `size` bytes; `None` if they can't, or if
/// nothing tells beforehand.
pub fn copy_rate(source: &Source, track: &Track, size: u64) -> Option<u64> {
    let facts = &track.facts;
    let rate = facts.sample_rate;
    let is_plain = source.container == Container::Mov
        && !source.is_streamed
        && track.codec == codec::Id::AAC
        && facts.channels == 2
        && track.time_base == Rational(1, i32::try_from(rate).ok()?)
        && plain_setup(&facts.extradata, rate).is_some();
    // Where sound comes first, pictures are held for it, and its start isn't theirs.
    if !is_plain || source.early_sound {
        return None;
    }
    let pictures = source.video.as_ref()?;
    let end = seconds(pictures.duration?, pictures.time_base);
    let origin = samples(source.origin(), rate);
    let mut row = Row::default();
    let mut fits = true;
    ffi::each_index_entry(&source.input, track.index, |entry: IndexEntry| {
        let at = entry.dts.saturating_sub(origin);
        fits = fits && entry.end <= size && row.take(at, entry.bytes, entry.discarded);
    });
    let all_counted = track.packets > 0 && row.count >= track.packets;
    let sample = |seconds: f64| samples(seconds, rate);
    let ends = sample(end - SHORT_BY_PROMISED)..=sample(end + LONGER_BY_MAX);
    (fits && all_counted).then(|| row.rate_between(rate, ends)).flatten()
}

/// Says whether sound that ends at a second ends with pictures that end at another.
pub fn ends_with(sound: f64, pictures: f64) -> bool {
    pictures - sound <= SHORT_BY_MAX
}

/// Returns the sample at a second.
pub fn samples(seconds: f64, rate: u32) -> i64 {
    (seconds * f64::from(rate)).round() as i64
}

/// Packets that follow each other, as far as they were seen.
#[derive(Default)]
pub struct Row {
    count: i64,
    last: i64,
    /// How far packets lie from where the ones before them end, at least and at most.
    apart: Option<(i64, i64)>,
    bytes: u64,
    /// Sizes of the last few, and the most that they ever were together.
    recent: VecDeque<u32>,
    recent_bytes: u64,
    peak_bytes: u64,
}

impl Row {
    /// Takes the next packet, which begins at a sample of the time line; `primes`: it is needed
    /// for decoding only. Says whether it fits behind the others.
    pub fn take(&mut self, at: i64, bytes: u32, primes: bool) -> bool {
        let first = self.apart.is_none();
        let apart = at.saturating_sub(self.count.saturating_mul(FRAME_SAMPLES));
        let (low, high) = self.apart.unwrap_or((apart, apart));
        let (low, high) = (low.min(apart), high.max(apart));
        self.apart = Some((low, high));
        let follows = if first { (-PRIMING_MAX..=0).contains(&at) } else { at > self.last };
        self.last = at;
        self.count += 1;
        self.weigh(bytes);
        follows
            && high.saturating_sub(low) <= APART_MAX
            && (1..=PACKET_BYTES_MAX).contains(&bytes)
            && (!primes || at <= -FRAME_SAMPLES)
    }

    fn weigh(&mut self, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.recent.push_back(bytes);
        self.recent_bytes += u64::from(bytes);
        if self.recent.len() > PEAK_PACKETS {
            self.recent_bytes -= u64::from(self.recent.pop_front().unwrap_or(0));
        }
        self.peak_bytes = self.peak_bytes.max(self.recent_bytes);
    }

    /// Returns the sample at which the last packet ends.
    pub fn end(&self) -> i64 {
        if self.count == 0 { 0 } else { self.last.saturating_add(FRAME_SAMPLES) }
    }

    /// Returns the most bits a second, if the last packet ends in `ends` and they aren't too many.
    fn rate_between(&self, rate: u32, ends: RangeInclusive<i64>) -> Option<u64> {
        let per_second = |bytes: u64, packets: u64| {
            bytes * 8 * u64::from(rate) / (packets.max(1) * FRAME_SAMPLES.unsigned_abs())
        };
        let mean = per_second(self.bytes, self.count.unsigned_abs());
        let peak = per_second(self.peak_bytes, self.recent.len() as u64);
        let is_modest = mean <= MEAN_RATE_MAX && peak <= PEAK_RATE_MAX;
        (is_modest && ends.contains(&self.end())).then_some(peak.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: RangeInclusive<i64> = 38_000..=88_000;

    /// Packets of 300 bytes without a gap, 112 kbit/s.
    fn row(first: i64, count: i64) -> Vec<(i64, u32, bool)> {
        let times = (0..count).map(|at| first + at * FRAME_SAMPLES);
        times.map(|at| (at, 300, at + FRAME_SAMPLES <= 0)).collect()
    }

    fn moved(packets: &[(i64, u32, bool)], from: usize, by: i64) -> Vec<(i64, u32, bool)> {
        let mut packets = packets.to_vec();
        packets[from..].iter_mut().for_each(|packet| packet.0 += by);
        packets
    }

    fn rate(packets: &[(i64, u32, bool)], ends: RangeInclusive<i64>) -> Option<u64> {
        let mut row = Row::default();
        let fits = packets.iter().all(|&(at, bytes, primes)| row.take(at, bytes, primes));
        fits.then(|| row.rate_between(48_000, ends)).flatten()
    }

    /// What fits begins at the start or primes it, and ends with the pictures.
    #[test]
    fn begins_and_ends_with_the_pictures() {
        for (packets, fits) in [
            (row(0, 40), true),
            (row(-1024, 40), true),
            (row(-2112, 40), true),
            (row(-1024, 30), false),
            (row(-1024, 90), false),
            (row(480, 40), false),
            (row(-9 * 1024, 50), false),
            (Vec::new(), false),
        ] {
            assert_eq!(rate(&packets, ENDS).is_some(), fits, "{:?}", packets.first());
        }
        let mut cut = row(-1024, 40);
        cut[8].2 = true;
        assert_eq!(rate(&cut, ENDS), None, "a piece in the middle isn't to be heard");
    }

    /// Jitter and one joint are left as they are. Gaps, packets out of order, clocks that run at
    /// another speed, and small faults that add up are not.
    #[test]
    fn follows_without_a_gap() {
        let long = 2_900_000..=3_300_000;
        let row = row(0, 3000);
        assert_eq!(rate(&row, long.clone()), Some(112_500));
        let joint = moved(&moved(&row, 900, -1023), 901, -513);
        assert!(rate(&joint, long.clone()).is_some(), "two recordings joined");
        assert!(rate(&moved(&joint, 2000, -1023), long.clone()).is_none(), "and a third");
        assert!(rate(&moved(&row, 900, 2048), long.clone()).is_none(), "two packets are missing");
        assert!(rate(&moved(&row, 900, -1024), long.clone()).is_none(), "two at once");
        let each = |move_by: fn(i64) -> i64| -> Vec<_> {
            row.iter().zip(0..).map(|((at, b, p), n)| (at + move_by(n), *b, *p)).collect()
        };
        assert!(rate(&each(|n| n * 4), long.clone()).is_none(), "a clock that runs fast");
        assert!(rate(&each(|n| n % 5 * 20), long).is_some(), "jitter");
    }

    /// No packet is larger than AAC allows, or empty; and no more of them than slow networks take.
    #[test]
    fn is_as_large_as_it_may_be() {
        let with = |sizes: &dyn Fn(i64) -> u32| {
            let packets: Vec<_> =
                row(0, 300).iter().map(|it| (it.0, sizes(it.0 / FRAME_SAMPLES), it.2)).collect();
            rate(&packets, 0..=400_000)
        };
        assert!(with(&|_| 400).is_some(), "150 kbit/s");
        assert!(with(&|_| 440).is_none(), "165 kbit/s");
        assert!(with(&|n| if n == 7 { 1536 } else { 300 }).is_some(), "one large packet");
        assert!(with(&|n| if n == 7 { 1537 } else { 300 }).is_none(), "larger than there are");
        assert!(with(&|n| u32::from(n != 7) * 300).is_none(), "an empty one");
        let burst = |n| if (100..200).contains(&n) { 600 } else { 200 };
        assert!(with(&burst).is_none(), "two seconds at 225 kbit/s");
    }

    /// Only what every player takes for AAC-LC in stereo is plain; whatever it leaves open is
    /// closed.
    #[test]
    fn plain_setups() {
        let closed = Some([0x11, 0x90, 0x56, 0xe5, 0x00]);
        assert_eq!(plain_setup(&[0x11, 0x90], 48_000), closed);
        assert_eq!(plain_setup(&[0x11, 0x90, 0x56, 0xe5, 0x00], 48_000), closed);
        assert!(plain_setup(&[0x12, 0x10], 44_100).is_some());
        for (odd, rate) in [
            (&[0x12, 0x10][..], 48_000),         // another rate than the container's
            (&[0x11, 0x88], 48_000),             // one channel
            (&[0x11, 0x80], 48_000),             // channels in the packets
            (&[0x11, 0x94], 48_000),             // packets of 960 samples
            (&[0x11, 0x92], 48_000),             // on top of another coder
            (&[0x09, 0x90], 48_000),             // the main profile
            (&[0x2b, 0x11, 0x88, 0x00], 48_000), // HE-AAC, said at once
            (&[0x11, 0x90, 0x56, 0xe5, 0x80], 48_000), // HE-AAC, said behind
            (&[0x11, 0x90, 0x56], 48_000),
            (&[0x13, 0x10], 24_000),
            (&[0x11], 48_000),
            (&[], 48_000),
        ] {
            assert_eq!(plain_setup(odd, rate), None, "{odd:02x?}");
        }
    }
}
