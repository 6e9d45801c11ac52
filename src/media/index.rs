//! Looks at an MP4's index before FFmpeg does. Counts that can't be true cost it all its memory,
//! and long edit lists cost it hours, as it compares each edit with each sample.

use super::report::Stop;
use super::source_file::SourceFile;
use crate::model::problem::ProblemCode;
use crate::wire::Limits;
use std::io::{Read, Seek, SeekFrom};

/// Most edits of one track; editors write a handful.
const EDITS_MAX: u64 = 4096;

/// Bytes that samples of one size may say they are, for each byte of the file.
const SAMPLES_PER_BYTE: u64 = 64;

/// Most boxes that are looked at, and the deepest.
const BOXES_MAX: u32 = 100_000;
const DEPTH_MAX: u32 = 6;

/// Boxes that hold others, on the way to the tables.
const HOLDERS: [&[u8; 4]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"];

/// Checks the tables of an MP4's index, as far as it is there. Returns whether the film comes in
/// pieces, each with an index of its own.
///
/// # Errors
/// `DamagedMedia` for a table that can't be what it says; `TooManyStreams`.
pub fn check(file: &SourceFile, limits: &Limits) -> Result<bool, Stop> {
    let mut walk = Walk { file: file.clone(), boxes: 0, tracks: 0, is_in_pieces: false, limits };
    walk.boxes(0, file.size_max().0, 0)?;
    Ok(walk.is_in_pieces)
}

struct Walk<'a> {
    file: SourceFile,
    boxes: u32,
    tracks: u32,
    is_in_pieces: bool,
    limits: &'a Limits,
}

impl Walk<'_> {
    /// Looks at the boxes between two places. What isn't a box ends the search: FFmpeg has its own
    /// words for that.
    fn boxes(&mut self, mut at: u64, end: u64, depth: u32) -> Result<(), Stop> {
        while at.saturating_add(8) <= end && self.boxes < BOXES_MAX {
            self.boxes += 1;
            let head = self.read::<24>(at);
            let [short, long] = [number(&head[..4]), number(&head[8..16])];
            let (size, header) = match short {
                0 => (end - at, 8),
                1 => (long, 16),
                size => (size, 8),
            };
            let name = &head[4..8];
            if size < header {
                return Ok(());
            }
            let next = at.saturating_add(size);
            let is_index = depth == 0 && name == b"moov";
            self.is_in_pieces |= depth == 1 && name == b"mvex";
            if HOLDERS.iter().any(|holder| name == *holder) && depth < DEPTH_MAX {
                self.count_track(name)?;
                self.boxes(at + header, next.min(end), depth + 1)?;
            } else if depth > 0 && header == 8 {
                self.table(name, &head, size)?;
            }
            if is_index {
                // FFmpeg passes over a second one, and what follows may not be here yet.
                return Ok(());
            }
            at = next;
        }
        Ok(())
    }

    fn count_track(&mut self, name: &[u8]) -> Result<(), Stop> {
        self.tracks += u32::from(name == b"trak");
        if self.tracks <= self.limits.streams_max {
            return Ok(());
        }
        Err(super::source::too_many_streams(self.tracks, self.limits))
    }

    /// Compares what a table says that it holds with its size.
    fn table(&self, name: &[u8], head: &[u8; 24], size: u64) -> Result<(), Stop> {
        let count = number(&head[12..16]);
        let each = match name {
            // FFmpeg takes no more of these than there is room for.
            b"elst" if size / 12 > EDITS_MAX => return Err(untrue()),
            b"stts" | b"ctts" | b"co64" => 8,
            b"stsc" => 12,
            b"stco" | b"stss" => 4,
            b"stsz" => {
                let (each, count) = (count, number(&head[16..20]));
                // Samples of one size have no table. Packed sound in old films counts what comes
                // out of it, and the file may have been cut.
                let of_file = self.file.size_max().0.saturating_mul(SAMPLES_PER_BYTE);
                let (room, each) = if each == 0 { (size, 4) } else { (of_file, each) };
                return if count.saturating_mul(each) > room { Err(untrue()) } else { Ok(()) };
            }
            _ => return Ok(()),
        };
        if count.saturating_mul(each) > size { Err(untrue()) } else { Ok(()) }
    }

    /// Reads bytes at a place; zeros where the file has ended.
    fn read<const N: usize>(&mut self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        let mut filled = 0;
        if self.file.seek(SeekFrom::Start(at)).is_ok() {
            while let Ok(read @ 1..) = self.file.read(&mut bytes[filled..]) {
                filled += read;
            }
        }
        bytes
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

fn untrue() -> Stop {
    Stop::because(
        ProblemCode::DamagedMedia,
        "The index of the file says what can't be true, so it can't be read.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ByteCount;
    use crate::wire::Extent;
    use std::io::Write;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), name.as_slice(), content].concat()
    }

    /// A table with so many entries, in so many bytes.
    fn table(name: &[u8; 4], count: u32, bytes: usize) -> Vec<u8> {
        boxed(name, &[[0; 4].as_slice(), &count.to_be_bytes(), &vec![0; bytes]].concat())
    }

    fn sizes(each: u32, count: u32, bytes: usize) -> Vec<u8> {
        let numbers = [[0; 4], each.to_be_bytes(), count.to_be_bytes()].concat();
        boxed(b"stsz", &[numbers, vec![0; bytes]].concat())
    }

    /// Says how a movie is judged whose first track holds these boxes.
    fn judge(tracks: usize, table: &[u8]) -> Option<ProblemCode> {
        let track = boxed(b"trak", &boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", table))));
        let film = [boxed(b"ftyp", b"isom"), boxed(b"moov", &track.repeat(tracks))].concat();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&film).expect("written");
        let file = SourceFile::new(vec![file.into()], &Extent::whole(ByteCount(film.len() as u64)));
        let limits = Limits {
            pixels_max: 1,
            duration_ms_max: 1,
            memory_bytes_max: 1,
            cpu_seconds_max: 1,
            file_bytes_max: 1,
            streams_max: 32,
        };
        match check(&file, &limits) {
            Ok(_) => None,
            Err(Stop::Problem(problem)) => Some(problem.code),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Tables that hold what they say pass, and so do too many bytes and cut films; counts beyond
    /// the table don't.
    #[test]
    fn tables_are_compared_with_their_size() {
        const DAMAGED: Option<ProblemCode> = Some(ProblemCode::DamagedMedia);
        let rows = [
            (table(b"stts", 2, 16), None),
            (table(b"stts", 2, 64), None),
            (table(b"stts", 4, 8), DAMAGED),
            (table(b"stco", u32::MAX, 4), DAMAGED),
            (table(b"co64", 0x8000_0000, 4), DAMAGED),
            (table(b"stsc", 9, 12), DAMAGED),
            (table(b"elst", u32::MAX, 12), None),
            (table(b"elst", 5000, 60_000), DAMAGED),
            (sizes(0, 3, 12), None),
            (sizes(0, 30, 12), DAMAGED),
            (sizes(1, 2000, 0), None),
            (sizes(64, u32::MAX, 0), DAMAGED),
            (table(b"free", u32::MAX, 4), None),
            (vec![0xff; 64], None),
            (vec![0; 64], None),
        ];
        for (content, expect) in rows {
            assert_eq!(judge(1, &content), expect, "{content:02x?}");
        }
        assert_eq!(judge(32, b""), None);
        assert_eq!(judge(33, b""), Some(ProblemCode::TooManyStreams));
    }
}
