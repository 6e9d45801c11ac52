//! One MP4 file out of the segments of a film: the index in front, the samples behind it as they
//! are (ISO/IEC 14496-12). Pure; called by `pipeline`, which moves the bytes.
//!
//! Only segments of our own make are understood: one fragment and one track in each.

use super::boxes::{Fragment, boxed, find, number, put, words};

/// Ticks in a second of the whole film's own clock.
const FILM_TICKS: u32 = 1000;

/// The bit of a sample's flags that says that others are needed to decode it.
const NOT_SYNC: u32 = 0x1_0000;

/// Most samples that a track may have: a day and more at 60 pictures a second.
const SAMPLES_MAX: usize = 8_000_000;

/// Where in a segment's file its samples lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Bytes before them.
    pub from: u64,
    /// How many bytes they are.
    pub length: u64,
}

/// The index of one track, grown segment by segment.
pub struct Track {
    timescale: u32,
    /// Time of the track's own that is shown at the film's start.
    lead: i64,
    /// Boxes of the segments' header that are kept as they are.
    head: Vec<u8>,
    handler: Vec<u8>,
    media_head: Vec<u8>,
    description: Vec<u8>,
    language: [u8; 2],
    sizes: Vec<u32>,
    durations: Runs,
    shifts: Runs,
    syncs: Vec<u32>,
    chunks: Vec<Chunk>,
    /// By how much, at most, a sample is decoded after it is shown; all are shown later by that.
    late: i64,
    /// When what is shown first begins, and what is shown last ends.
    first: i64,
    end: i64,
}

#[derive(Clone, Copy)]
struct Chunk {
    samples: u32,
    begins: i64,
    length: u64,
}

impl Track {
    /// Begins a track with the header of its segments; `None` for one of another make.
    pub fn new(init: &[u8]) -> Option<Self> {
        let (_, moov) = find(init, b"moov")?;
        let (_, trak) = find(moov, b"trak")?;
        let (_, mdia) = find(trak, b"mdia")?;
        let (_, mdhd) = find(mdia, b"mdhd")?;
        let (_, minf) = find(mdia, b"minf")?;
        let (_, stbl) = find(minf, b"stbl")?;
        let is_picture = find(minf, b"vmhd").is_some();
        let media_head = if is_picture { find(minf, b"vmhd")? } else { find(minf, b"smhd")? };
        // Version 0 alone: version 1 is for lengths that a header without samples doesn't have.
        if mdhd.first() != Some(&0) {
            return None;
        }
        let timescale = mdhd.get(12..16).and_then(number).filter(|&ticks| ticks > 0)?;
        Some(Self {
            timescale,
            lead: find(trak, b"edts").and_then(|(_, edts)| lead(edts)).unwrap_or(0),
            head: find(trak, b"tkhd")?.1.to_vec(),
            handler: boxed(b"hdlr", find(mdia, b"hdlr")?.1),
            media_head: boxed(if is_picture { b"vmhd" } else { b"smhd" }, media_head.1),
            description: boxed(b"stsd", find(stbl, b"stsd")?.1),
            language: mdhd.get(20..22)?.try_into().ok()?,
            sizes: Vec::new(),
            durations: Runs::default(),
            shifts: Runs::default(),
            syncs: Vec::new(),
            chunks: Vec::new(),
            late: 0,
            first: 0,
            end: 0,
        })
    }

    /// Takes a segment by its beginning, which must hold all before its samples, and says where
    /// those are; `None` for a segment of another make.
    ///
    /// A segment's own times of decoding are those that suit players best; here each sample is
    /// decoded when another one is shown, as is usual in whole files.
    pub fn segment(&mut self, begin: &[u8]) -> Option<Payload> {
        let fragment = Fragment::read(begin)?;
        let count = fragment.samples.len();
        if self.sizes.len() + count > SAMPLES_MAX {
            return None;
        }
        let mut decoded = i64::try_from(fragment.begins).ok()?;
        let mut shown = Vec::with_capacity(count);
        for sample in &fragment.samples {
            shown.push(decoded.checked_add(sample.shift)?);
            decoded = decoded.checked_add(i64::from(sample.duration))?;
        }
        // With an edit list, pictures are shown later by as much as it says.
        let moves = fragment.samples.iter().any(|sample| sample.shift != 0);
        let end = if moves { decoded.checked_add(self.lead)? } else { decoded };
        // Damaged files may show some outside of their segment.
        let begins = shown.first().copied()?;
        let end = end.max(begins);
        let mut order: Vec<i64> = shown.iter().map(|at| *at.clamp(&begins, &end)).collect();
        order.sort_unstable();
        self.meet(begins);
        let (samples, length) = (count as u32, fragment.length());
        self.chunks.push(Chunk { samples, begins, length });
        let nexts = order.iter().skip(1).chain([&end]);
        let times = order.iter().zip(nexts).zip(shown);
        for (sample, ((at, next), shown)) in fragment.samples.iter().zip(times) {
            if sample.flags & NOT_SYNC == 0 {
                self.syncs.push(u32::try_from(self.sizes.len()).ok()? + 1);
            }
            self.sizes.push(sample.size);
            self.durations.push(next - at);
            self.shifts.push(shown - at);
            self.late = self.late.max(at - shown);
        }
        self.end = end;
        Some(Payload { from: fragment.from, length })
    }

    /// Lets the last sample last until the time at which a segment begins.
    fn meet(&mut self, begins: i64) {
        match self.durations.pop() {
            Some(last) => self.durations.push((last + begins - self.end).max(0)),
            None => self.first = begins,
        }
    }

    /// Length in ticks of the film's clock, without the lead; no sample lies beyond it.
    fn film_ticks(&self) -> u64 {
        let ticks = u64::try_from(self.end.saturating_sub(self.lead)).unwrap_or(0);
        let ticks = u128::from(ticks) * u128::from(FILM_TICKS);
        u64::try_from(ticks.div_ceil(u128::from(self.timescale))).unwrap_or(u64::MAX)
    }

    fn track_box(&self, number: u32, offsets: &[u64], is_large: bool) -> Vec<u8> {
        let length = u32::try_from(self.film_ticks()).unwrap_or(u32::MAX);
        let mut head = self.head.clone();
        // Shown and used; the number and the length of version 0.
        head.splice(..4, [0, 0, 0, 3]);
        put(&mut head, 12, number);
        put(&mut head, 20, length);
        let lead = self.lead.saturating_sub(self.first).saturating_add(self.late);
        let lead = i32::try_from(lead).unwrap_or(i32::MAX).cast_unsigned();
        let edits = boxed(b"elst", &words(&[0, 1, length, lead, 0x1_0000]));
        let ticks = u32::try_from(self.end.saturating_sub(self.first)).unwrap_or(u32::MAX);
        let mut media = words(&[0, 0, 0, self.timescale, ticks]);
        media.extend(self.language);
        media.extend([0, 0]);
        let here = boxed(b"dref", &[words(&[0, 1]), boxed(b"url ", &words(&[1]))].concat());
        let information = [
            self.media_head.clone(),
            boxed(b"dinf", &here),
            boxed(b"stbl", &self.sample_tables(offsets, is_large)),
        ];
        let media =
            [boxed(b"mdhd", &media), self.handler.clone(), boxed(b"minf", &information.concat())];
        let track =
            [boxed(b"tkhd", &head), boxed(b"edts", &edits), boxed(b"mdia", &media.concat())];
        boxed(b"trak", &track.concat())
    }

    fn sample_tables(&self, offsets: &[u64], is_large: bool) -> Vec<u8> {
        let mut tables = self.description.clone();
        tables.extend(self.durations.table(b"stts", 0));
        if self.late != 0 || self.shifts.0.iter().any(|run| run.1 != 0) {
            tables.extend(self.shifts.table(b"ctts", self.late));
        }
        if self.syncs.len() < self.sizes.len() {
            let mut syncs = words(&[0, self.syncs.len() as u32]);
            syncs.extend(words(&self.syncs));
            tables.extend(boxed(b"stss", &syncs));
        }
        let mut chunks = Vec::new();
        for (at, chunk) in self.chunks.iter().enumerate() {
            if at == 0 || self.chunks[at - 1].samples != chunk.samples {
                chunks.push([at as u32 + 1, chunk.samples, 1]);
            }
        }
        let mut places = words(&[0, chunks.len() as u32]);
        places.extend(words(&chunks.concat()));
        tables.extend(boxed(b"stsc", &places));
        let mut sizes = words(&[0, 0, self.sizes.len() as u32]);
        sizes.extend(words(&self.sizes));
        tables.extend(boxed(b"stsz", &sizes));
        let mut places = words(&[0, offsets.len() as u32]);
        if is_large {
            places.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
            tables.extend(boxed(b"co64", &places));
        } else {
            places.extend(offsets.iter().flat_map(|offset| (*offset as u32).to_be_bytes()));
            tables.extend(boxed(b"stco", &places));
        }
        tables
    }
}

/// Returns the order in which the segments' samples follow each other in the file, as numbers of
/// the track and of its segment: sound goes along with the pictures.
pub fn interleaved(tracks: &[Track]) -> Vec<(usize, usize)> {
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (number, track) in tracks.iter().enumerate() {
        order.extend((0..track.chunks.len()).map(|at| (number, at)));
    }
    let begins = |&(number, at): &(usize, usize)| {
        let track = &tracks[number];
        let micros = i128::from(track.chunks[at].begins) * 1_000_000 / i128::from(track.timescale);
        (micros, number)
    };
    order.sort_by_key(begins);
    order
}

/// Writes everything that comes before the samples, which follow in the order of [`interleaved`].
pub fn header(tracks: &[Track]) -> Vec<u8> {
    let length: u64 = tracks.iter().flat_map(|track| &track.chunks).map(|it| it.length).sum();
    let begin = boxed(b"ftyp", b"isom\0\0\x02\0isomiso2avc1mp41");
    // Places need eight bytes each where four may not reach, and the index's own size shifts them.
    let is_large = length > u64::from(u32::MAX / 2);
    let index = |from: u64| index(tracks, from, is_large);
    let media = if is_large {
        [words(&[1]), b"mdat".to_vec(), (length + 16).to_be_bytes().to_vec()].concat()
    } else {
        [words(&[length as u32 + 8]), b"mdat".to_vec()].concat()
    };
    let from = begin.len() + index(0).len() + media.len();
    [begin, index(from as u64), media].concat()
}

fn index(tracks: &[Track], from: u64, is_large: bool) -> Vec<u8> {
    let mut offsets: Vec<Vec<u64>> = vec![Vec::new(); tracks.len()];
    let mut at = from;
    for (number, chunk) in interleaved(tracks) {
        offsets[number].push(at);
        at += tracks[number].chunks[chunk].length;
    }
    let length = tracks.iter().map(Track::film_ticks).max().unwrap_or(0);
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut film = words(&[0, 0, 0, FILM_TICKS, length, 0x1_0000, 0x100_0000, 0, 0]);
    film.extend(words(&[0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]));
    film.extend(words(&[0, 0, 0, 0, 0, 0, tracks.len() as u32 + 1]));
    let mut moov = boxed(b"mvhd", &film);
    for (number, (track, offsets)) in tracks.iter().zip(&offsets).enumerate() {
        moov.extend(track.track_box(number as u32 + 1, offsets, is_large));
    }
    boxed(b"moov", &moov)
}

/// Equal values behind each other, as two of the tables store them: how many, and which.
#[derive(Default)]
struct Runs(Vec<(u32, i64)>);

impl Runs {
    fn push(&mut self, value: i64) {
        match self.0.last_mut().filter(|run| run.1 == value) {
            Some(run) => run.0 += 1,
            None => self.0.push((1, value)),
        }
    }

    fn pop(&mut self) -> Option<i64> {
        let run = self.0.last_mut()?;
        let value = run.1;
        run.0 -= 1;
        if run.0 == 0 {
            self.0.pop();
        }
        Some(value)
    }

    /// Writes them, each `more` than it is.
    fn table(&self, kind: &[u8; 4], more: i64) -> Vec<u8> {
        let mut table = words(&[0, self.0.len() as u32]);
        let value = |value: i64| u32::try_from(value.saturating_add(more)).unwrap_or(u32::MAX);
        table.extend(self.0.iter().flat_map(|run| words(&[run.0, value(run.1)])));
        boxed(kind, &table)
    }
}

/// Reads how much of a track comes before what is shown, from its edit list.
fn lead(edts: &[u8]) -> Option<i64> {
    let (_, elst) = find(edts, b"elst")?;
    let wide = *elst.first()? == 1;
    let entries = number(elst.get(4..)?)?;
    let size = if wide { 20 } else { 12 };
    let entries = elst.get(8..)?.chunks_exact(size).take(entries as usize);
    let mut times = entries.filter_map(|entry| {
        if wide {
            Some(i64::from_be_bytes(entry.get(8..16)?.try_into().ok()?))
        } else {
            Some(i64::from(number(entry.get(4..)?)?.cast_signed()))
        }
    });
    times.rfind(|time| *time >= 0)
}
