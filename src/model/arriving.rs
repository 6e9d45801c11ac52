//! What of a film has to be here before work on it can begin, while the rest is being uploaded.
//!
//! An MP4's index may stand before the pictures and sound or behind them. Where it stands, the
//! heads of the outermost boxes tell (ISO/IEC 14496-12, 4.2). Films in pieces, Matroska, WebM and
//! MPEG transport streams are made to be read as they come.

use crate::units::{ByteOffset, Ranges};
use std::io;

/// Where the index of a film is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Here, all of it, or none is needed: work can begin.
    Here,
    /// In these bytes, of which some are missing. Its own end isn't known before its beginning is
    /// here; until then, they go to the end of the file.
    Wanted(u64, u64),
    /// It isn't known, or there is none that tells where pictures and sound lie.
    Unknown,
}

/// The boxes that an MP4 can begin with.
const FIRST: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"];

/// How Matroska and WebM begin (RFC 8794, 11.2.1).
const EBML: [u8; 4] = [0x1a, 0x45, 0xdf, 0xa3];

/// How each packet of a transport stream begins (ISO/IEC 13818-1, 2.4.3.2), how long it can be with
/// a camera's time stamp before it or none, and how many are looked at.
const TS_SYNC: u8 = 0x47;
const TS_PACKETS: [(usize, usize); 2] = [(188, 0), (192, 4)];
const TS_LOOKED_AT: usize = 5;

/// Bytes of a film's beginning that tell what it is, unless it has fewer.
pub const HEAD_BYTES_MAX: u64 = 1024;

/// Most boxes that are looked at; cameras write a handful.
const BOXES_MAX: u32 = 64;

/// Largest index that is believed: a day of film has some 30 MB.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Bytes of a box's head: its size and name, and the size again if it needs more room.
const HEAD_BYTES: u64 = 16;

/// Looks for the index in a file of `size` bytes of which those in `here` can be read by `read`,
/// from an offset on.
///
/// # Errors
/// What `read` says.
pub fn find_index(
    size: u64,
    here: &Ranges,
    read: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Index> {
    if is_read_as_it_comes(size, here, read)? {
        return Ok(Index::Here);
    }
    let mut at = 0;
    for number in 0..BOXES_MAX {
        let Some(head) = box_at(at, size, here, read)? else {
            let is_behind = number > 0 && at < size;
            return Ok(if is_behind { Index::Wanted(at, size) } else { Index::Unknown });
        };
        if number == 0 && !FIRST.contains(&&head.name) {
            return Ok(Index::Unknown);
        }
        let end = at.saturating_add(head.size);
        match &head.name {
            _ if head.size < head.own => return Ok(Index::Unknown),
            // A piece, before it is said what it is a piece of.
            b"moof" => return Ok(Index::Unknown),
            b"moov" if end > size || head.size > INDEX_BYTES_MAX => return Ok(Index::Unknown),
            b"moov" if !here.covers(ByteOffset(at), ByteOffset(end)) => {
                return Ok(Index::Wanted(at, end));
            }
            // Of a film in pieces it says what they are, and each piece has its own.
            b"moov" => return Ok(Index::Here),
            _ => at = end,
        }
    }
    Ok(Index::Unknown)
}

/// What stands at a box's beginning.
struct Head {
    name: [u8; 4],
    /// Bytes of the box, its head included.
    size: u64,
    /// Bytes of the head.
    own: u64,
}

/// Reads a box's head; `None` if it isn't here.
fn box_at(
    at: u64,
    size: u64,
    here: &Ranges,
    read: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Option<Head>> {
    let end = at.saturating_add(HEAD_BYTES).min(size);
    let mut bytes = [0; HEAD_BYTES as usize];
    let is_here = end.saturating_sub(at) >= 8 && here.covers(ByteOffset(at), ByteOffset(end));
    if !is_here {
        return Ok(None);
    }
    read(at, &mut bytes[..(end - at) as usize])?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    let (size, own) = match number(&bytes[..4]) {
        0 => (size - at, 8),
        1 => (number(&bytes[8..]), 16),
        short => (short, 8),
    };
    let [_, _, _, _, name @ .., _, _, _, _, _, _, _, _] = bytes;
    Ok(Some(Head { name, size, own }))
}

/// Says whether the file is Matroska or a transport stream.
fn is_read_as_it_comes(
    size: u64,
    here: &Ranges,
    read: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<bool> {
    let [(_, _), (longest, before)] = TS_PACKETS;
    let mut head = vec![0; (longest * TS_LOOKED_AT + before).min(size as usize)];
    if !here.covers(ByteOffset(0), ByteOffset(head.len() as u64)) {
        return Ok(false);
    }
    read(0, &mut head)?;
    let is_ts = TS_PACKETS.iter().any(|&(length, before)| {
        let mut begins = (0..TS_LOOKED_AT).map(|packet| packet * length + before);
        begins.all(|at| head.get(at) == Some(&TS_SYNC))
    });
    Ok(is_ts || head.starts_with(&EBML))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), name.as_slice(), content].concat()
    }

    /// Looks for the index of a film of which these ranges are here.
    fn find(film: &[u8], parts: &[(u64, u64)]) -> Index {
        let mut here = Ranges::default();
        parts.iter().for_each(|&(start, end)| here.insert(ByteOffset(start), ByteOffset(end)));
        let mut read = |at: u64, into: &mut [u8]| {
            let (start, end) = (at, at + into.len() as u64);
            assert!(here.covers(ByteOffset(start), ByteOffset(end)), "{start}..{end} isn't here");
            into.copy_from_slice(&film[start as usize..end as usize]);
            Ok(())
        };
        find_index(film.len() as u64, &here.clone(), &mut read).expect("nothing is read amiss")
    }

    /// An index is found wherever it stands, and asked for as exactly as what is here allows.
    #[test]
    fn an_index_is_found_before_and_behind() {
        let (head, index) = (boxed(b"ftyp", b"isom"), boxed(b"moov", &boxed(b"trak", &[7; 90])));
        let media = boxed(b"mdat", &[9; 500]);
        let large = [&1u32.to_be_bytes(), b"mdat".as_slice(), &516u64.to_be_bytes(), &[9; 500]];
        let first = [head.clone(), index.clone(), media.clone()].concat();
        assert_eq!(find(&first, &[]), Index::Unknown);
        assert_eq!(find(&first, &[(0, 20)]), Index::Wanted(12, 626));
        assert_eq!(find(&first, &[(0, 60)]), Index::Wanted(12, 118));
        assert_eq!(find(&first, &[(0, 118)]), Index::Here);
        for media in [media, large.concat()] {
            let behind = [head.clone(), media, index.clone(), boxed(b"free", &[0; 30])].concat();
            let (at, size) = ((behind.len() - 38 - 106) as u64, behind.len() as u64);
            assert_eq!(find(&behind, &[(0, 100)]), Index::Wanted(at, size));
            assert_eq!(find(&behind, &[(0, 100), (at, at + 16)]), Index::Wanted(at, at + 106));
            assert_eq!(find(&behind, &[(0, 40), (at - 3, size - 38)]), Index::Here);
        }
    }

    /// What is read as it comes needs no index, once its beginning is here.
    #[test]
    fn streams_need_no_index() {
        let matroska = [EBML.as_slice(), &[1; 2000]].concat();
        let mut packet = vec![0; 188];
        packet[0] = TS_SYNC;
        let stamped = [&[1, 2, 3, 4], packet.as_slice()].concat();
        let pieces = boxed(b"moov", &[boxed(b"mvhd", &[0; 9]), boxed(b"mvex", b"")].concat());
        let pieces = [boxed(b"ftyp", b"isom"), pieces, boxed(b"moof", &[1; 2000])].concat();
        for film in [matroska, packet.repeat(20), stamped.repeat(20), pieces] {
            assert_ne!(find(&film, &[(0, 20)]), Index::Here, "{:?}", &film[..20]);
            assert_eq!(find(&film, &[(0, 1000)]), Index::Here, "{:?}", &film[..20]);
        }
        assert_eq!(find(&packet.repeat(3), &[(0, 564)]), Index::Unknown, "too few packets");
    }

    /// What is neither an MP4 nor read as it comes, or says what can't be, has nothing to wait for.
    #[test]
    fn nothing_is_made_of_anything_else() {
        let head = boxed(b"ftyp", b"isom");
        let endless = [&0u32.to_be_bytes(), b"mdat".as_slice(), &[3; 40]].concat();
        let short = [&3u32.to_be_bytes(), b"free".as_slice(), &[3; 40]].concat();
        let beyond = [&999u32.to_be_bytes(), b"moov".as_slice(), &[3; 40]].concat();
        let films = [
            b"just text, and quite a lot of it".to_vec(),
            [head.clone(), boxed(b"moof", &[1; 99])].concat(),
            [head.clone(), endless].concat(),
            [head.clone(), short].concat(),
            [head, beyond].concat(),
            vec![],
        ];
        for film in films {
            assert_eq!(find(&film, &[(0, film.len() as u64)]), Index::Unknown, "{film:?}");
        }
    }
}
