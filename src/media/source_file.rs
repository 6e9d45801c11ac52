//! The bytes of the source: open descriptors, read at offsets.
//!
//! Mostly it is one file. A source whose parts aren't joined yet is several, which are read as if
//! they lay behind each other in one; nothing past this file knows of that. One that is still being
//! uploaded is read up to where it has come, and there its reader waits. Nobody may know yet how
//! large that will be: then its reader waits for the end as well, and whoever asks for its size is
//! told that there is none, never a wrong one. Files that are encrypted on the disk are decrypted
//! here and nowhere else, by keys that open these files alone.

use super::arrivals::Arrivals;
use super::sniff::SNIFF_BYTES;
use crate::cipher::Reading;
use crate::units::ByteCount;
use crate::wire::{EncryptedFile, Extent};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, pread};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The open files as one. Cheap to copy; every copy reads from its own position.
#[derive(Clone)]
pub struct SourceFile {
    files: Arc<Vec<OwnedFd>>,
    /// The pieces in order, none of them empty.
    pieces: Arc<Vec<Piece>>,
    /// How each of the files is decrypted, if it is encrypted, and which one holds its tags.
    encrypted: Vec<Option<(Reading, Option<usize>)>>,
    /// Bytes were met that aren't as they were written.
    damaged: Arc<AtomicBool>,
    /// What is here of a source that is still being uploaded.
    arrivals: Option<Arc<Arrivals>>,
    /// Zeros are read for what isn't here yet, without waiting.
    is_blank: bool,
    at: u64,
}

/// One piece of the source.
struct Piece {
    /// Where it ends in the source; it begins where the one before ends.
    end: u64,
    /// Which file it is the beginning of.
    file: usize,
}

impl SourceFile {
    /// Takes the descriptors and how they follow each other; other bytes than those of `extents`
    /// don't exist for the reader.
    pub fn new(files: Vec<OwnedFd>, extents: &[Extent]) -> Self {
        let mut end = 0_u64;
        let mut pieces = Vec::with_capacity(extents.len());
        for extent in extents.iter().filter(|extent| extent.length.0 > 0) {
            end = end.saturating_add(extent.length.0);
            pieces.push(Piece { end, file: extent.file as usize });
        }
        Self {
            files: Arc::new(files),
            pieces: Arc::new(pieces),
            encrypted: Vec::new(),
            damaged: Arc::default(),
            arrivals: None,
            is_blank: false,
            at: 0,
        }
    }

    /// Has readers decrypt these of the files.
    pub fn encrypted(mut self, encrypted: &[EncryptedFile]) -> Self {
        self.encrypted.resize_with(self.files.len(), || None);
        for EncryptedFile { file, reading, tags } in encrypted {
            if let Some(known) = self.encrypted.get_mut(*file as usize) {
                *known = Some((reading.clone(), tags.map(|file| file as usize)));
            }
        }
        self
    }

    /// Says whether a reader has met bytes that aren't as they were written. What it was told was
    /// an error, and it may have gone on without them.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Has readers wait for what isn't here yet.
    pub fn arriving(self, arrivals: Option<Arc<Arrivals>>) -> Self {
        Self { arrivals, ..self }
    }

    /// Returns a reader of the same that doesn't wait: it reads zeros for what isn't here yet.
    pub fn blank(&self) -> Self {
        Self { is_blank: true, ..self.clone() }
    }

    /// Says whether some of it isn't here yet.
    pub fn is_arriving(&self) -> bool {
        self.arrivals.as_ref().is_some_and(|arrivals| !arrivals.is_over())
    }

    /// Returns the size, once it is known.
    pub fn size(&self) -> Option<ByteCount> {
        match &self.arrivals {
            Some(arrivals) => arrivals.size().map(ByteCount),
            None => Some(self.size_max()),
        }
    }

    /// Returns the size, or the largest that it can be while it isn't known.
    pub fn size_max(&self) -> ByteCount {
        let told = self.arrivals.as_ref().and_then(|arrivals| arrivals.size());
        let end = self.pieces.last().map_or(0, |piece| piece.end);
        ByteCount(told.map_or(end, |told| told.min(end)))
    }

    /// Returns the number of the file that the next byte lies in, its place there, and how many
    /// bytes of that file follow from there on; `None` at the end.
    fn here(&self) -> Option<(usize, u64, u64)> {
        let next = self.pieces.partition_point(|piece| piece.end <= self.at);
        let size = self.size_max().0;
        let piece = self.pieces.get(next).filter(|_| self.at < size);
        let piece = piece?;
        let begin = next.checked_sub(1).map_or(0, |before| self.pieces[before].end);
        Some((piece.file, self.at - begin, piece.end.min(size) - self.at))
    }

    /// Reads what lies at a place of one of the files, in plain.
    fn read_file(&mut self, number: usize, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(number).ok_or(io::ErrorKind::InvalidInput)?;
        let Some(Some((reading, tags))) = self.encrypted.get_mut(number) else {
            return read_at(file, at, into);
        };
        let tags = tags.and_then(|tags| self.files.get(tags));
        let read = reading.read(
            at,
            into,
            |at, into| read_at(file, at, into),
            |at, into| tags.map_or(Ok(0), |tags| read_at(tags, at, into)),
        );
        if read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        read
    }

    /// Reads as much of its beginning as tells which container it is.
    pub fn head(&self) -> io::Result<Vec<u8>> {
        let mut reader = Self { at: 0, ..self.clone() };
        let mut head = Vec::with_capacity(SNIFF_BYTES);
        reader.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
        Ok(head)
    }
}

impl Read for SourceFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some((file, at, left)) = self.here() else { return Ok(0) };
        let most = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let arrivals = self.arrivals.as_ref();
        let hole = arrivals.filter(|_| self.is_blank).and_then(|it| it.hole_at(self.at));
        if let Some(hole) = hole {
            let most = most.min(usize::try_from(hole - self.at).unwrap_or(usize::MAX));
            into[..most].fill(0);
            self.at += most as u64;
            return Ok(most);
        }
        let here = arrivals.map_or(u64::MAX, |it| it.wait_for(self.at) - self.at);
        let most = most.min(usize::try_from(here).unwrap_or(usize::MAX));
        if most == 0 {
            // It has ended just now.
            return Ok(0);
        }
        let read = self.read_file(file, at, &mut into[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

fn read_at(file: &OwnedFd, at: u64, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match pread(file, &mut *into, at) {
            Err(Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

impl Seek for SourceFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            // FFmpeg asks for the size like this, and goes without it.
            SeekFrom::End(by) => {
                let size = self.size().ok_or(io::ErrorKind::Unsupported)?;
                size.0.checked_add_signed(by)
            }
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// What FFmpeg reads by.
pub struct Reader {
    file: SourceFile,
    place: Arc<AtomicU64>,
}

impl Reader {
    /// Reads a file from its start on. Returns also what holds the place that was read last.
    pub fn of(file: &SourceFile) -> (Self, Arc<AtomicU64>) {
        let place = Arc::new(AtomicU64::new(0));
        (Self { file: SourceFile { at: 0, ..file.clone() }, place: place.clone() }, place)
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.place.store(self.file.at, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::{BLOCK_BYTES, FileKey, KEY_FILE_BYTES};
    use std::io::Write;

    fn file(bytes: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.into()
    }

    fn extent(file: u32, length: u64) -> Extent {
        Extent { file, length: ByteCount(length) }
    }

    /// Pieces of several files read as one, from every place on, whatever of each file counts,
    /// with one that comes again and some that are empty.
    #[test]
    fn pieces_read_as_one() {
        let files = vec![file(b"one, which goes on"), file(b"two"), file(b"")];
        let extents = [(2, 0), (0, 3), (1, 3), (2, 0), (0, 3), (0, 5), (2, 0)];
        let extents = extents.map(|(file, length)| extent(file, length));
        let whole = b"onetwooneone, ";
        let mut source = SourceFile::new(files, &extents);
        assert_eq!(source.size(), Some(ByteCount(whole.len() as u64)));
        for at in 0..whole.len() + 2 {
            let place = source.seek(SeekFrom::Start(at as u64)).expect("any place");
            assert_eq!(place, at as u64);
            let mut read = Vec::new();
            source.read_to_end(&mut read).expect("read");
            assert_eq!(read, whole.get(at..).unwrap_or_default(), "from {at}");
        }
        source.seek(SeekFrom::End(-4)).expect("before the end");
        let mut other = source.clone();
        for reader in [&mut source, &mut other] {
            let mut last = [0; 4];
            reader.read_exact(&mut last).expect("four are left");
            assert_eq!(&last, b"ne, ");
        }
        assert!(source.seek(SeekFrom::Current(-99)).is_err());
    }

    /// A source of nothing ends at once; a piece of a file that wasn't handed over is an error,
    /// and a file that is shorter than it should be ends the source.
    #[test]
    fn odd_pieces() {
        let mut byte = [0; 1];
        assert_eq!(SourceFile::new(Vec::new(), &[]).read(&mut byte).expect("its end"), 0);
        assert!(SourceFile::new(Vec::new(), &[extent(0, 1)]).read(&mut byte).is_err());
        let mut short = SourceFile::new(vec![file(b"x")], &[extent(0, 3)]);
        let mut read = Vec::new();
        short.read_to_end(&mut read).expect("read");
        assert_eq!(read, b"x");
    }

    /// Encrypted pieces, each with its own key, read as one beside a plain one; bytes whose tags
    /// don't prove them are an error that every reader of the source is remembered by.
    #[test]
    fn encrypted_pieces_read_as_one() {
        let plain: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(97) >> 7) as u8).collect();
        let keys = [FileKey::fresh(), FileKey::fresh()];
        let [mut first, mut second] = [plain.clone(), plain.clone()];
        keys[0].apply(0, &mut first);
        keys[1].apply(0, &mut second);
        let mut tags = vec![0; KEY_FILE_BYTES];
        for (number, block) in (0..).zip(second.clone().chunks_mut(BLOCK_BYTES)) {
            tags.extend(keys[1].tag(number, block));
        }
        let encrypted = |file: u32, tags: Option<u32>| EncryptedFile {
            file,
            reading: Reading::new(keys[file as usize].clone(), tags.map(|_| 200_000)),
            tags,
        };
        let source = |second: &[u8], tags: &[u8]| {
            let files = vec![file(&first), file(second), file(b"plain"), file(tags)];
            let extents = [(0, 70_001), (1, 150_000), (2, 5), (0, 10)];
            let extents = extents.map(|(file, length)| extent(file, length));
            SourceFile::new(files, &extents).encrypted(&[encrypted(0, None), encrypted(1, Some(3))])
        };
        let whole = [&plain[..70_001], &plain[..150_000], b"plain", &plain[..10]].concat();
        let mut right = source(&second, &tags);
        for at in [0, 65_535, 70_000, 70_001, 200_000, 220_000, 220_006] {
            right.seek(SeekFrom::Start(at)).expect("any place");
            let mut read = Vec::new();
            right.read_to_end(&mut read).expect("read");
            assert!(read == whole[at as usize..], "from {at}");
        }
        assert!(!right.is_damaged());

        second[100_000] ^= 1;
        let wrong = source(&second, &tags);
        let mut reader = wrong.clone();
        let mut read = Vec::new();
        assert!(reader.read_to_end(&mut read).is_err() && wrong.is_damaged());
        assert!(read == whole[..70_001 + BLOCK_BYTES], "all before is right");
        let lost = source(&second, &[]);
        assert!(lost.clone().read_to_end(&mut Vec::new()).is_err() && lost.is_damaged());
    }
}
