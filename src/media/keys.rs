//! Decides whether the source's own packets can be the top rung, and where its files begin.
//!
//! Segments can only begin at key frames, so a copy needs them close together. MP4 lists them in
//! its index; other containers are read through once, or, while they're being uploaded, believed:
//! whoever copies finds out.

use super::ffi;
use super::foreseen::{Foreseen, foresee};
use super::picture::{Hdr, Orientation};
use super::report::{Reporter, Stop};
use super::sniff::Container;
use super::source::{Source, Track, seconds};
use super::source_file::SourceFile;
use super::timeline::TAIL_MIN;
use crate::model::video::CopyVerdict;
use crate::wire::{Limits, Order};
use ffmpeg_next::codec;
use ffmpeg_next::codec::packet::Packet;

/// Longest distance between key frames of a copy in seconds, and longest segment but the last.
pub const KEY_DISTANCE_MAX: f64 = 6.1;

/// Highest H.264 level that players are asked to take (Apple's authoring rules, 1.2).
const LEVEL_MAX: i32 = 52;

/// H.264 profiles of 8 bits and 4:2:0: constrained baseline, baseline, main, high.
const PROFILES: [i32; 4] = [578, 66, 77, 100];

/// FFmpeg's numbers of the two 8-bit 4:2:0 pixel formats, of studio and of full range.
const PIXEL_FORMATS: [i32; 2] = [0, 12];

/// Frames a second above which a copy would overtax players.
const FRAME_RATE_MAX: f64 = 60.5;

/// Seconds that the last picture of a copy may stay because sound goes on.
pub const STAY_MAX: f64 = 1.0;

/// How to copy.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyPlan {
    /// Where files begin.
    pub rule: CutRule,
    /// Longest segment in seconds.
    pub longest: f64,
    /// The key frames that files begin with, the first one's apart, as far as they were asked for.
    pub foreseen: Vec<Foreseen>,
}

/// Where the files of a copy begin.
#[derive(Clone, Debug, PartialEq)]
pub enum CutRule {
    /// At key packets of these [`stamp`]s, which rise; the first packet's is the first.
    Listed(Vec<i64>),
    /// Where [`KeyCuts`] finds that one should, so that it makes no difference whether the film's
    /// end is here yet. Files are about this many seconds long.
    Found(u32),
}

/// Returns the stamp by which packets are recognised in a second reading: the decoding time where
/// the container has one.
pub fn stamp(packet: &Packet) -> Option<i64> {
    packet.dts().or(packet.pts())
}

/// Returns how to copy the source's pictures, or what stands against it. Moves the source's
/// position.
///
/// # Errors
/// `Gone`, and what opening the source can say.
pub fn copy_plan(
    source: &mut Source,
    file: &SourceFile,
    asked: &Order,
    reporter: &Reporter<'_>,
) -> Result<Result<CopyPlan, CopyVerdict>, Stop> {
    let Some(track) = source.video.as_ref() else { return Ok(Err(CopyVerdict::Codec)) };
    let verdict = verdict(source.container, track);
    if verdict != CopyVerdict::Fits {
        return Ok(Err(verdict));
    }
    let unsuited = Ok(Err(CopyVerdict::KeyFrames));
    let wanted = asked.encode.segment_seconds;
    let found =
        CopyPlan { rule: CutRule::Found(wanted), longest: KEY_DISTANCE_MAX, foreseen: Vec::new() };
    if source.is_streamed && file.is_arriving() {
        return Ok(Ok(found));
    }
    let Some(keys) = read_keys(source, track, file, &asked.limits, reporter)? else {
        return unsuited;
    };
    let times: Vec<f64> =
        keys.stamps.iter().map(|&at| seconds(at, track.time_base) - keys.begin).collect();
    // The last picture can stay a little while sound goes on, but not for long.
    let pictures = keys.end - keys.begin;
    let end = pictures.max(keys.heard);
    if end - pictures > STAY_MAX {
        return Ok(Err(CopyVerdict::LongerSound));
    }
    let Some((cuts, longest)) = choose_cuts(&times, end, wanted) else {
        return unsuited;
    };
    let cuts: Vec<i64> = cuts.into_iter().map(|at| keys.stamps[at]).collect();
    let is_streamed = source.is_streamed;
    let samples: Vec<(i64, f64)> = cuts
        .iter()
        .step_by(cuts.len().div_ceil(CUTS_LOOKED_AT).max(1))
        .map(|&at| (at, seconds(at, track.time_base)))
        .collect();
    // What isn't here yet is looked at when it is copied.
    let looked_at = if file.is_arriving() { 0 } else { samples.len() };
    let samples = samples.into_iter().take(looked_at);
    let (index, extradata) = (track.index, track.facts.extradata.clone());
    if samples.into_iter().all(|sample| begins_afresh(source, index, &extradata, sample)) {
        if is_streamed {
            return Ok(Ok(found));
        }
        let foreseen = match file.is_arriving() {
            true => foresee(source, file, index, &cuts),
            false => Vec::new(),
        };
        Ok(Ok(CopyPlan { rule: CutRule::Listed(cuts), longest, foreseen }))
    } else {
        unsuited
    }
}

/// How many of a copy's files are looked into before it's promised.
const CUTS_LOOKED_AT: usize = 5;

/// Packets read in search of the one that begins a file.
const PACKETS_LOOKED_AT: usize = 600;

/// Says whether the packet stamped `at` can be decoded without anything before it. Containers also
/// mark pictures as keys that need earlier ones to be shown right (recovery points).
fn begins_afresh(source: &mut Source, index: usize, extradata: &[u8], at: (i64, f64)) -> bool {
    let micros = (at.1 * 1e6) as i64;
    if source.input.seek(micros, ..micros + 1_000_000).is_err() {
        return false;
    }
    for _ in 0..PACKETS_LOOKED_AT {
        let Some(packet) = source.next_packet() else { return false };
        if packet.stream() == index && stamp(&packet) == Some(at.0) {
            return packet.data().is_some_and(|data| holds_idr(data, extradata));
        }
    }
    false
}

/// Says whether an H.264 access unit in length-prefixed form holds an IDR slice.
pub fn holds_idr(mut data: &[u8], extradata: &[u8]) -> bool {
    const IDR: u8 = 5;
    // An avcC record keeps the length of the prefixes, less one, in the low bits of its 5th byte.
    let Some(prefix) = extradata.get(4).map(|byte| usize::from(byte & 3) + 1) else {
        return false;
    };
    while let Some((length, rest)) = data.split_at_checked(prefix) {
        let length = length.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
        let Some(unit) = rest.get(..length) else { return false };
        if unit.first().is_some_and(|head| head & 0x1f == IDR) {
            return true;
        }
        data = &rest[length..];
    }
    false
}

/// Says whether players can take the packets as they are, and what stands against it.
fn verdict(container: Container, track: &Track) -> CopyVerdict {
    let facts = &track.facts;
    let square =
        matches!(facts.pixel_aspect, (0, _)) || facts.pixel_aspect.0 == facts.pixel_aspect.1;
    let even = facts.width.is_multiple_of(2) && facts.height.is_multiple_of(2);
    let usual = PIXEL_FORMATS.contains(&facts.format)
        && PROFILES.contains(&facts.profile)
        && (1..=LEVEL_MAX).contains(&facts.level)
        && super::segment::avc_codecs(&facts.extradata).is_some();
    let steady = track.frame_rate > 1.0 && track.frame_rate <= FRAME_RATE_MAX;
    [
        (track.codec == codec::Id::H264, CopyVerdict::Codec),
        (Hdr::from_transfer(facts.transfer).is_none(), CopyVerdict::HighDynamicRange),
        (usual, CopyVerdict::Profile),
        (facts.field_order <= 1, CopyVerdict::Interlaced),
        (Orientation::from_matrix(facts.display_matrix).is_upright(), CopyVerdict::Turned),
        (square && even, CopyVerdict::Shape),
        (steady, CopyVerdict::FrameRate),
        (
            matches!(container, Container::Mov | Container::Matroska | Container::Flv),
            CopyVerdict::Container,
        ),
    ]
    .into_iter()
    .find(|(holds, _)| !holds)
    .map_or(CopyVerdict::Fits, |(_, verdict)| verdict)
}

/// The key frames of a track, in ticks, and the seconds between which its packets lie.
struct Keys {
    stamps: Vec<i64>,
    begin: f64,
    end: f64,
    /// Seconds from the first picture to the end of the sound.
    heard: f64,
}

fn read_keys(
    source: &Source,
    track: &Track,
    file: &SourceFile,
    limits: &Limits,
    reporter: &Reporter<'_>,
) -> Result<Option<Keys>, Stop> {
    let entries = if source.container == Container::Mov {
        ffi::index_entries(&source.input, track.index)
    } else {
        Vec::new()
    };
    // Fragmented MP4 has no index, or only that of the part that was read.
    let listed = track.packets > 0 && entries.len() as i64 >= track.packets;
    let (packets, heard) = if listed {
        let marks = entries.iter().map(|entry| Some((entry.dts, entry.key, entry.discarded)));
        (marks.collect(), declared_sound(source))
    } else {
        scan(file, limits, reporter)?
    };
    let frame = seconds(1, track.time_base).max(1.0 / track.frame_rate.max(1.0));
    let keys = keys_of(&packets, track, frame);
    Ok(keys.map(|keys| Keys { heard: heard - source.origin(), ..keys }))
}

/// Returns the second of the container's time at which the last of the sound ends.
fn declared_sound(source: &Source) -> f64 {
    let end = |sound: &Track| {
        let ticks = sound.start.unwrap_or(0).saturating_add(sound.duration.unwrap_or(0));
        seconds(ticks, sound.time_base)
    };
    source.sounds.iter().map(end).fold(0.0, f64::max)
}

/// Stamp, key flag and discard flag of a packet; `None` for one without a time.
type Mark = Option<(i64, bool, bool)>;

/// Reads all packets; returns those of the pictures, and where the sound ends.
fn scan(
    file: &SourceFile,
    limits: &Limits,
    reporter: &Reporter<'_>,
) -> Result<(Vec<Mark>, f64), Stop> {
    let mut source = Source::open(file, limits)?;
    let Some(index) = source.video.as_ref().map(|track| track.index) else {
        return Ok((Vec::new(), 0.0));
    };
    let bases: Vec<_> = source.sounds.iter().map(|sound| (sound.index, sound.time_base)).collect();
    let (mut marks, mut heard) = (Vec::new(), 0.0);
    while let Some(packet) = source.next_packet() {
        reporter.beat()?;
        if packet.stream() == index {
            let mark = packet.pts().and(stamp(&packet));
            marks.push(mark.map(|at| (at, packet.is_key(), ffi::is_discarded(&packet))));
        } else if let Some((_, base)) = bases.iter().find(|(index, _)| *index == packet.stream()) {
            let end = packet.pts().unwrap_or(0).saturating_add(packet.duration());
            heard = seconds(end, *base).max(heard);
        }
    }
    Ok((marks, heard))
}

/// Returns the keys of packets that begin with one and whose times make sense.
fn keys_of(packets: &[Mark], track: &Track, frame: f64) -> Option<Keys> {
    let marks: Vec<_> = packets.iter().copied().collect::<Option<Vec<_>>>()?;
    let (&first, &last) = (marks.first()?, marks.last()?);
    if !first.1 || marks.iter().any(|mark| mark.2) {
        return None;
    }
    // The first few packets of Matroska carry the time of showing for want of another, which
    // rises and falls; keys alone always rise.
    let stamps: Vec<i64> = marks.iter().filter(|mark| mark.1).map(|mark| mark.0).collect();
    if !stamps.windows(2).all(|pair| pair[0] < pair[1]) {
        return None;
    }
    let newest = marks.iter().map(|mark| mark.0).max().unwrap_or(last.0);
    Some(Keys {
        begin: seconds(first.0, track.time_base),
        end: seconds(newest, track.time_base) + frame,
        stamps,
        heard: 0.0,
    })
}

/// Chooses which of the key frames at `times` (seconds from the first) begin a file, so that files
/// last about `wanted` seconds: returns their positions and the longest file. `None` if two keys
/// are too far apart.
fn choose_cuts(times: &[f64], end: f64, wanted: u32) -> Option<(Vec<usize>, f64)> {
    let wanted = f64::from(wanted);
    let mut cuts = vec![0];
    let mut begun = *times.first()?;
    for (at, &time) in times.iter().enumerate().skip(1) {
        if time - times[at - 1] > KEY_DISTANCE_MAX {
            return None;
        }
        let next = times.get(at + 1).copied().unwrap_or(end);
        let long_enough = time - begun >= wanted - 0.1 || next - begun > KEY_DISTANCE_MAX;
        if long_enough && end - time >= TAIL_MIN {
            cuts.push(at);
            begun = time;
        }
    }
    if end - times.last()? > KEY_DISTANCE_MAX {
        return None;
    }
    let ends = cuts.iter().skip(1).map(|&at| times[at]).chain([end]);
    let longest = cuts.iter().zip(ends).map(|(&at, end)| end - times[at]).fold(0.0, f64::max);
    Some((cuts, longest))
}

/// What a packet means for the file that is being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It goes into that file, with all that waits before it.
    No,
    /// A file begins with it, and all that waits goes before that.
    Here,
    /// It waits: a file may begin with it, or with the first of those that wait.
    Open,
    /// A file begins with the first of those that wait; ask again.
    AtFirstWaiting,
    /// The key frames are too far apart for a copy.
    TooFar,
}

/// Finds where files begin as the pictures come, by the rule of [`choose_cuts`], but for tails: a
/// last file may be as short as it likes.
#[derive(Debug)]
pub struct KeyCuts {
    wanted: f64,
    begun: f64,
    key: Option<f64>,
    waiting: Option<f64>,
}

impl KeyCuts {
    /// Begins with files of about `wanted` seconds.
    pub fn new(wanted: u32) -> Self {
        Self { wanted: f64::from(wanted), begun: 0.0, key: None, waiting: None }
    }

    /// Takes the next picture's second, which rises.
    pub fn take(&mut self, at: f64, is_key: bool) -> Cut {
        let Some(key) = self.key else {
            (self.begun, self.key) = (at, Some(at));
            return if is_key { Cut::Here } else { Cut::TooFar };
        };
        if self.cuts_at_waiting(at) {
            return Cut::AtFirstWaiting;
        }
        if at - key > KEY_DISTANCE_MAX {
            return Cut::TooFar;
        }
        if !is_key {
            return if self.waiting.is_some() { Cut::Open } else { Cut::No };
        }
        self.key = Some(at);
        if at - self.begun >= self.wanted - 0.1 {
            (self.begun, self.waiting) = (at, None);
            return Cut::Here;
        }
        // The one that waited isn't needed, as this one comes soon enough.
        self.waiting = Some(at);
        Cut::Open
    }

    /// Begins a file with the first of those that wait, if there are any.
    pub fn cut_at_waiting(&mut self) -> bool {
        self.waiting.take().is_some_and(|waiting| {
            self.begun = waiting;
            true
        })
    }

    /// Says whether a file has to begin with the first of those that wait, as the film lasts to
    /// `at` before there is another key frame.
    pub fn cuts_at_waiting(&mut self, at: f64) -> bool {
        at - self.begun > KEY_DISTANCE_MAX && self.cut_at_waiting()
    }

    /// Says whether the film may end at this second.
    pub fn may_end(&self, at: f64) -> bool {
        self.key.is_none_or(|key| at - key <= KEY_DISTANCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(times: &[f64], end: f64, expect: Option<(&[usize], f64)>) {
        let got = choose_cuts(times, end, 4);
        assert_eq!(got.as_ref().map(|(cuts, _)| cuts.as_slice()), expect.map(|(cuts, _)| cuts));
        if let (Some((_, longest)), Some((_, wanted))) = (got, expect) {
            assert!((longest - wanted).abs() < 1e-9, "{longest} for {times:?}");
        }
    }

    /// Returns where files begin of a film of 10 pictures a second with these keys.
    fn found(keys: &[f64], end: f64) -> Option<Vec<f64>> {
        let mut rule = KeyCuts::new(4);
        let mut cuts = Vec::new();
        let mut first_waiting = None;
        for number in 0..(end * 10.0).round() as u32 {
            let at = f64::from(number) / 10.0;
            let is_key = keys.iter().any(|key| (key - at).abs() < 0.01);
            let mut cut = rule.take(at, is_key);
            if cut == Cut::AtFirstWaiting {
                cuts.extend(first_waiting.take());
                cut = rule.take(at, is_key);
            }
            match cut {
                Cut::No => first_waiting = None,
                Cut::Here => {
                    first_waiting = None;
                    cuts.push(at);
                }
                Cut::Open if is_key => first_waiting = Some(at),
                Cut::Open => assert!(first_waiting.is_some()),
                Cut::AtFirstWaiting => panic!("twice"),
                Cut::TooFar => return None,
            }
        }
        if rule.cuts_at_waiting(end) {
            cuts.extend(first_waiting);
        }
        rule.may_end(end).then_some(cuts)
    }

    /// What is found as pictures come is what is chosen when all keys are known, tails apart.
    #[test]
    fn cuts_are_found_as_they_are_chosen() {
        let regular = |every: f64| (0..).map(move |n| f64::from(n) * every);
        let mut films: Vec<(Vec<f64>, f64)> = [0.5, 1.0, 2.0, 2.4, 3.0, 3.5, 4.0, 5.5, 6.0]
            .map(|every| (regular(every).take_while(|at| *at < 29.0).collect(), 31.0))
            .into();
        films.push((vec![0.0, 0.3, 5.9, 6.2, 12.0, 12.1, 15.0], 20.0));
        films.push((vec![0.0, 3.0], 6.5));
        films.push((vec![0.0, 3.0], 6.1));
        films.push((vec![0.0, 6.2], 8.0));
        films.push((vec![0.0, 4.0], 10.2));
        films.push((vec![0.0], 3.0));
        for (keys, end) in films {
            let chosen = choose_cuts(&keys, end, 4);
            let chosen =
                chosen.map(|(cuts, _)| cuts.into_iter().map(|at| keys[at]).collect::<Vec<_>>());
            let tenths = |cuts: Vec<f64>| -> Vec<_> {
                cuts.into_iter().map(|at| (at * 10.0).round() as u32).collect()
            };
            let (found, chosen) = (found(&keys, end).map(tenths), chosen.map(tenths));
            assert_eq!(found, chosen, "{keys:?} until {end}");
        }
        assert_eq!(found(&[0.0, 4.0, 8.0], 8.5), Some(vec![0.0, 4.0, 8.0]), "a tail stands alone");
    }

    /// Only a slice of the right kind is a fresh beginning, and a broken length is none.
    #[test]
    fn idr() {
        let avcc = [1, 0x64, 0, 0x1f, 0xff];
        let unit = |kind: u8| vec![0, 0, 0, 2, kind, 0xaa];
        assert!(holds_idr(&[unit(6), unit(0x65)].concat(), &avcc));
        assert!(!holds_idr(&[unit(6), unit(0x61)].concat(), &avcc));
        assert!(!holds_idr(&[0, 0, 0, 9, 0x65], &avcc));
        assert!(!holds_idr(&unit(0x65), &[]));
    }

    /// Files last about as long as wanted, never more than a key distance allows, and a tail joins
    /// the last one; keys too far apart make no copy.
    #[test]
    fn cuts() {
        check(&[0.0, 2.0, 4.0, 6.0], 8.0, Some((&[0, 2], 4.0)));
        check(&[0.0, 3.5, 7.0, 10.5], 12.0, Some((&[0, 1, 2], 5.0)));
        check(&[0.0, 3.0, 6.0, 9.0], 12.0, Some((&[0, 2], 6.0)));
        check(&[0.0, 4.0, 8.0], 8.5, Some((&[0, 1], 4.5)));
        check(&[0.0], 3.0, Some((&[0], 3.0)));
        check(&[0.0, 6.5], 8.0, None);
        check(&[0.0, 4.0], 12.0, None);
        check(&[], 1.0, None);
    }
}
