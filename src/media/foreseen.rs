//! When the key frames that a copy's files begin with are decoded and shown, before they are here.
//!
//! A file ends where the next one begins. An MP4's index lists when each picture is decoded, and
//! FFmpeg tells when it is shown only with the packet itself. So the packet is asked for, of a
//! reader that gives zeros for what isn't here, and nothing but its times is used.

use super::ffi;
use super::keys::stamp;
use super::source::Source;
use super::source_file::SourceFile;
use ffmpeg_next::codec::packet::Packet;
use ffmpeg_next::format::context::Input;

/// Packets read in search of one that the index lists.
const PACKETS_LOOKED_AT: usize = 16;

/// A key frame with which a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The [`stamp`] of the packet before it, the last of the file before.
    pub last: i64,
    /// When it is decoded, in ticks of the container.
    pub decoded: i64,
    /// When it is shown.
    pub shown: i64,
}

/// Returns the key frames at all of these cuts but the first, up to one that the container doesn't
/// tell of. Whoever works by them finds out whether they're right.
pub fn foresee(source: &Source, file: &SourceFile, index: usize, cuts: &[i64]) -> Vec<Foreseen> {
    let entries = ffi::index_entries(&source.input, index);
    // Entries that lie over each other could ask for more than the whole file.
    let mut left = file.size_max().0;
    let Ok(mut input) = source.blank(file) else { return Vec::new() };
    ffi::keep_streams(&mut input, &[index]);
    let mut foreseen = Vec::with_capacity(cuts.len());
    // Pictures are sought by when they're shown, and much the same passes until then.
    let first = source.video.as_ref().and_then(|track| track.start).zip(cuts.first());
    let lead = first.map_or(0, |(shown, decoded)| shown.saturating_sub(*decoded));
    for &cut in cuts.iter().skip(1) {
        let at = entries.partition_point(|entry| entry.dts < cut);
        let key = entries.get(at).filter(|key| key.dts == cut && u64::from(key.bytes) <= left);
        let before = at.checked_sub(1).and_then(|before| entries.get(before));
        let (Some(before), Some(key)) = (before, key) else { break };
        left -= u64::from(key.bytes);
        let Some(shown) = shown_at(&mut input, index, cut, lead) else { break };
        foreseen.push(Foreseen { last: before.dts, decoded: cut, shown });
    }
    foreseen
}

/// Returns when the packet that is decoded at `at` is shown, some `lead` later.
fn shown_at(input: &mut Input, index: usize, at: i64, lead: i64) -> Option<i64> {
    ffi::seek_stream(input, index, at.saturating_add(lead)).ok()?;
    for _ in 0..PACKETS_LOOKED_AT {
        let mut packet = Packet::empty();
        packet.read(input).ok()?;
        if packet.stream() == index && stamp(&packet) == Some(at) {
            return packet.pts();
        }
    }
    None
}
