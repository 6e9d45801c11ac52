//! Says from a file's first bytes which demuxer may read it. Pure.
//!
//! FFmpeg's own guess is never asked: among its 350 demuxers are playlists that open other files,
//! text that becomes a picture, and formats nobody films in.

/// How many first bytes [`sniff`] wants to see; fewer only if the file is shorter.
pub const SNIFF_BYTES: usize = 4096;

/// A container that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// MP4, QuickTime, 3GP.
    Mov,
    /// Matroska and WebM.
    Matroska,
    /// AVI.
    Avi,
    /// MPEG transport stream.
    MpegTs,
    /// MPEG program stream: DVDs and camcorders.
    MpegPs,
    /// Flash video.
    Flv,
    /// Ogg.
    Ogg,
    /// WAV.
    Wav,
    /// MP3.
    Mp3,
    /// FLAC.
    Flac,
}

impl Container {
    /// Returns FFmpeg's name of the one demuxer for it.
    pub fn demuxer(self) -> &'static str {
        match self {
            Self::Mov => "mov",
            Self::Matroska => "matroska",
            Self::Avi => "avi",
            Self::MpegTs => "mpegts",
            Self::MpegPs => "mpeg",
            Self::Flv => "flv",
            Self::Ogg => "ogg",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
        }
    }

    /// Returns the name under which FFmpeg's whitelist knows the demuxer: all its short names.
    pub fn whitelist(self) -> &'static str {
        match self {
            Self::Mov => "mov,mp4,m4a,3gp,3g2,mj2",
            Self::Matroska => "matroska,webm",
            other => other.demuxer(),
        }
    }

    /// Says whether it was made to be joined in the middle, so that gaps are nothing special.
    pub fn is_stream(self) -> bool {
        matches!(self, Self::MpegTs | Self::MpegPs)
    }

    /// Returns the name for people and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mov => "mov,mp4",
            Self::Matroska => "matroska,webm",
            other => other.demuxer(),
        }
    }
}

/// What the first bytes are, if they aren't a container that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMedia {
    /// No bytes.
    #[error("The file is empty.")]
    Empty,
    /// A picture.
    #[error("The file is a still picture, not a video.")]
    Still,
    /// A list of other files.
    #[error("The file is a playlist that names other files; upload the film itself.")]
    Playlist,
    /// Text.
    #[error("The file holds text, not a video.")]
    Text,
    /// A document or an archive.
    #[error("The file is a document or an archive, not a video.")]
    Document,
    /// Anything else.
    #[error("The file isn't in a video or sound format that this server reads.")]
    Unknown,
}

/// Names the container of a file that begins with `head` ([`SNIFF_BYTES`] of it or all).
///
/// # Errors
/// What the file is instead.
pub fn sniff(head: &[u8]) -> Result<Container, NotMedia> {
    if head.is_empty() {
        return Err(NotMedia::Empty);
    }
    // An ID3 tag may stand before MP3 or FLAC alike and be longer than what is seen here.
    if head.starts_with(b"ID3") {
        return Ok(after_id3(head));
    }
    if let Some(not) = known_stranger(head) {
        return Err(not);
    }
    if let Some(container) = by_magic(head)? {
        return Ok(container);
    }
    if is_transport_stream(head) {
        return Ok(Container::MpegTs);
    }
    if is_mp3_frame(head) {
        return Ok(Container::Mp3);
    }
    if looks_like_text(head) { Err(NotMedia::Text) } else { Err(NotMedia::Unknown) }
}

/// The containers with an unmistakable beginning.
fn by_magic(head: &[u8]) -> Result<Option<Container>, NotMedia> {
    let at = |start: usize, magic: &[u8]| head.get(start..).is_some_and(|h| h.starts_with(magic));
    if at(4, b"ftyp") {
        return still_brand(head).map_or(Ok(Some(Container::Mov)), Err);
    }
    const MOV_BOXES: [&[u8]; 7] = [b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"];
    if MOV_BOXES.iter().any(|name| at(4, name)) {
        return Ok(Some(Container::Mov));
    }
    Ok(if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
        Some(Container::Matroska)
    } else if at(0, b"RIFF") && at(8, b"AVI ") {
        Some(Container::Avi)
    } else if (at(0, b"RIFF") || at(0, b"RF64")) && at(8, b"WAVE") {
        Some(Container::Wav)
    } else if at(0, &[0, 0, 1, 0xba]) {
        Some(Container::MpegPs)
    } else if at(0, b"FLV\x01") {
        Some(Container::Flv)
    } else if at(0, b"OggS") {
        Some(Container::Ogg)
    } else if at(0, b"fLaC") {
        Some(Container::Flac)
    } else {
        None
    })
}

/// Brands of the ISO container that hold pictures: HEIF, AVIF and their kin.
fn still_brand(head: &[u8]) -> Option<NotMedia> {
    const STILL: [&[u8; 4]; 8] =
        [b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"jxl ", b"mif2"];
    let major = head.get(8..12)?;
    STILL.iter().any(|brand| major == *brand).then_some(NotMedia::Still)
}

/// Files that people upload by mistake, and those that attackers upload on purpose.
fn known_stranger(head: &[u8]) -> Option<NotMedia> {
    const STILLS: [&[u8]; 9] = [
        &[0xff, 0xd8, 0xff],
        b"\x89PNG",
        b"GIF8",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"8BPS",
        b"\0\0\x01\0",
        b"\0\0\0\x0cJXL ",
    ];
    const DOCUMENTS: [&[u8]; 8] = [
        b"%PDF",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"Rar!",
        b"7z\xbc\xaf",
        b"\x7fELF",
        b"MZ",
        b"\xd0\xcf\x11\xe0",
    ];
    let starts = |list: &[&[u8]]| list.iter().any(|magic| head.starts_with(magic));
    if starts(&STILLS) || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP")) {
        return Some(NotMedia::Still);
    }
    if starts(&DOCUMENTS) {
        return Some(NotMedia::Document);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    const PLAYLISTS: [&[u8]; 5] = [b"#EXTM3U", b"#EXT-X", b"ffconcat", b"<MPD", b"[playlist]"];
    if PLAYLISTS.iter().any(|word| text.starts_with(word)) {
        return Some(NotMedia::Playlist);
    }
    let shown = &text[..text.len().min(1024)];
    if text.starts_with(b"<?xml") && shown.windows(4).any(|word| word == b"<MPD") {
        return Some(NotMedia::Playlist);
    }
    None
}

/// What follows an ID3v2 tag, if it can be seen; MP3 otherwise.
fn after_id3(head: &[u8]) -> Container {
    let Some(&[a, b, c, d]) = head.get(6..10) else { return Container::Mp3 };
    let size = [a, b, c, d].iter().fold(0usize, |sum, byte| (sum << 7) | usize::from(byte & 0x7f));
    match head.get(10 + size..) {
        Some(rest) if rest.starts_with(b"fLaC") => Container::Flac,
        _ => Container::Mp3,
    }
}

/// A transport stream repeats its sync byte every 188 bytes (192 with a time code before each).
fn is_transport_stream(head: &[u8]) -> bool {
    const SYNC: u8 = 0x47;
    let repeats = |first: usize, step: usize| {
        let mut seen = 0;
        for at in (first..head.len()).step_by(step).take(5) {
            if head[at] != SYNC {
                return false;
            }
            seen += 1;
        }
        seen >= 4
    };
    repeats(0, 188) || repeats(4, 192)
}

/// An MPEG audio frame header of layer III, and a second one where the first frame ends.
fn is_mp3_frame(head: &[u8]) -> bool {
    let Some(length) = mp3_frame_bytes(head) else { return false };
    head.get(length..).is_some_and(|next| mp3_frame_bytes(next).is_some())
}

/// Length of the layer III frame whose header `head` begins with.
fn mp3_frame_bytes(head: &[u8]) -> Option<usize> {
    let &[sync, version_layer, rates, _] = head.get(..4)? else { return None };
    if sync != 0xff || version_layer & 0xe6 != 0xe2 {
        return None;
    }
    const KBITS: [[usize; 15]; 2] = [
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let (kbits_row, rate_divisor, samples) = match version_layer >> 3 & 3 {
        3 => (0, 1, 144),
        2 => (1, 2, 72),
        0 => (1, 4, 72),
        _ => return None,
    };
    let kbits = *KBITS[kbits_row].get(usize::from(rates >> 4))?;
    let rate = [44_100, 48_000, 32_000].get(usize::from(rates >> 2 & 3))? / rate_divisor;
    if kbits == 0 {
        return None;
    }
    Some(samples * kbits * 1000 / rate + usize::from(rates >> 1 & 1))
}

/// Mostly printable, and no byte that text never has.
fn looks_like_text(head: &[u8]) -> bool {
    !head.iter().any(|&byte| byte < 9 || (14..27).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(step: usize, first: usize) -> Vec<u8> {
        let mut bytes = vec![0u8; step * 6];
        for at in (first..bytes.len()).step_by(step) {
            bytes[at] = 0x47;
        }
        bytes
    }

    fn mp3_frames() -> Vec<u8> {
        let mut bytes = vec![0u8; 417 + 4];
        bytes[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x00]);
        bytes[417..].copy_from_slice(&[0xff, 0xfb, 0x90, 0x00]);
        bytes
    }

    /// Each container is known by its beginning, and by nothing weaker.
    #[test]
    fn containers() {
        let mut tagged_flac = b"ID3\x04\0\0\0\0\0\x05hellofLaC".to_vec();
        tagged_flac.resize(64, 0);
        let table: [(&[u8], Container); 15] = [
            (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", Container::Mov),
            (b"\0\0\0\x14ftypqt  ", Container::Mov),
            (b"\0\0\0\x08wide\0\0\0\0mdat", Container::Mov),
            (b"\x1a\x45\xdf\xa3\x9f", Container::Matroska),
            (b"RIFF\0\0\0\0AVI LIST", Container::Avi),
            (b"RIFF\0\0\0\0WAVEfmt ", Container::Wav),
            (b"FLV\x01\x05", Container::Flv),
            (b"\0\0\x01\xba\x44\0", Container::MpegPs),
            (b"OggS\0\x02", Container::Ogg),
            (b"fLaC\0\0\0\x22", Container::Flac),
            (b"ID3\x04\0\0\0\0\x02\x01", Container::Mp3),
            (&tagged_flac, Container::Flac),
            (&ts(188, 0), Container::MpegTs),
            (&ts(192, 4), Container::MpegTs),
            (&mp3_frames(), Container::Mp3),
        ];
        for (head, container) in table {
            assert_eq!(sniff(head), Ok(container), "{head:?}");
        }
    }

    /// What isn't media is named for what it is, so that the answer helps.
    #[test]
    fn strangers() {
        let table: [(&[u8], NotMedia); 16] = [
            (b"", NotMedia::Empty),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", NotMedia::Still),
            (b"\x89PNG\r\n\x1a\n", NotMedia::Still),
            (b"RIFF\0\0\0\0WEBPVP8 ", NotMedia::Still),
            (b"\0\0\0\x1cftypheic\0\0\0\0mif1", NotMedia::Still),
            (b"\0\0\0\x1cftypavif\0\0\0\0", NotMedia::Still),
            (b"#EXTM3U\n#EXTINF:10,\nother.ts\n", NotMedia::Playlist),
            (b"\xef\xbb\xbf  \n#EXTM3U\n", NotMedia::Playlist),
            (b"ffconcat version 1.0\nfile x.ts\n", NotMedia::Playlist),
            (b"<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn\">", NotMedia::Playlist),
            (b"<?xml version=\"1.0\"?><svg></svg>", NotMedia::Text),
            (b"Dear diary, this is not a film.", NotMedia::Text),
            (b"%PDF-1.7\n", NotMedia::Document),
            (b"PK\x03\x04....", NotMedia::Document),
            (b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09", NotMedia::Unknown),
            (b"G\0\0\0", NotMedia::Unknown),
        ];
        for (head, not) in table {
            assert_eq!(sniff(head), Err(not), "{:?}", String::from_utf8_lossy(head));
        }
    }
}
