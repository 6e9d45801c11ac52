//! The few boxes of our own files that have to be looked into (ISO/IEC 14496-12): what a segment
//! holds and when, and what a header says that it conforms to.

/// The brands of files that keep to CMAF's constraints (ISO/IEC 23000-19, 7.2), and of pictures
/// whose times need no edit list besides.
const CMAF_BRAND: &[u8; 4] = b"cmfc";
const CMAF_PLAIN_BRAND: &[u8; 4] = b"cmf2";

/// Bits in the flags of `tfhd` and `trun` that say which fields are there.
const BASE_OFFSET: u32 = 0x1;
const DESCRIPTION_INDEX: u32 = 0x2;
const DEFAULT_DURATION: u32 = 0x8;
const DEFAULT_SIZE: u32 = 0x10;
const DEFAULT_FLAGS: u32 = 0x20;
pub(super) const DATA_OFFSET: u32 = 0x1;
pub(super) const FIRST_FLAGS: u32 = 0x4;
pub(super) const SAMPLE_DURATION: u32 = 0x100;
pub(super) const SAMPLE_SIZE: u32 = 0x200;
pub(super) const SAMPLE_FLAGS: u32 = 0x400;
pub(super) const SAMPLE_SHIFT: u32 = 0x800;

/// Most samples that one segment may have: a day and more at 60 pictures a second.
const SAMPLES_MAX: u32 = 8_000_000;

/// A sample of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Ticks until the next one is decoded.
    pub(super) duration: u32,
    /// Bytes.
    pub(super) size: u32,
    /// What else is said of it.
    pub(super) flags: u32,
    /// Ticks from its decoding to its showing.
    pub(super) shift: i64,
}

/// What a segment of our own make holds: one fragment of one track, in one run.
#[derive(Debug)]
pub(super) struct Fragment {
    /// Where its boxes begin in the segment: the fragment's, the track's, that of its time and that
    /// of its samples.
    pub(super) moof_at: usize,
    pub(super) traf_at: usize,
    pub(super) tfdt_at: usize,
    pub(super) trun_at: usize,
    /// When the first sample is decoded, in ticks.
    pub(super) begins: u64,
    /// Where the samples begin in the segment.
    pub(super) from: u64,
    /// What the samples have where nothing else is said.
    pub(super) defaults: Sample,
    /// The samples, in the order of decoding.
    pub(super) samples: Vec<Sample>,
}

impl Fragment {
    /// Reads a segment by its beginning, which must hold all before the samples; `None` for one of
    /// another make.
    pub(super) fn read(segment: &[u8]) -> Option<Self> {
        let (moof_at, moof) = find(segment, b"moof")?;
        let (traf_at, traf) = find(moof, b"traf")?;
        let inside = moof_at + HEAD + traf_at + HEAD;
        let (tfdt_at, tfdt) = find(traf, b"tfdt")?;
        let (trun_at, trun) = find(traf, b"trun")?;
        let defaults = defaults(find(traf, b"tfhd")?.1)?;
        let (data_offset, samples) = run(trun, defaults)?;
        Some(Self {
            moof_at,
            traf_at: moof_at + HEAD + traf_at,
            tfdt_at: inside + tfdt_at,
            trun_at: inside + trun_at,
            begins: time(tfdt)?,
            from: moof_at as u64 + u64::from(data_offset),
            defaults,
            samples,
        })
    }

    /// Returns how many bytes all samples are.
    pub(super) fn length(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.size)).sum()
    }

    /// Returns the offset behind the first sample, counted from the segment's beginning: what a
    /// player has to fetch for its first picture.
    pub(super) fn end_of_first(&self) -> Option<u64> {
        Some(self.from + u64::from(self.samples.first()?.size))
    }
}

/// Bytes of a box before its content.
pub(super) const HEAD: usize = 8;

fn defaults(tfhd: &[u8]) -> Option<Sample> {
    let (flags, mut fields) = full(tfhd)?;
    // The track's number.
    take(&mut fields)?;
    if flags & (BASE_OFFSET | DESCRIPTION_INDEX) != 0 {
        return None;
    }
    let mut field = |flag| if flags & flag != 0 { take(&mut fields) } else { Some(0) };
    let (duration, size, flags) =
        (field(DEFAULT_DURATION)?, field(DEFAULT_SIZE)?, field(DEFAULT_FLAGS)?);
    Some(Sample { duration, size, flags, shift: 0 })
}

fn time(tfdt: &[u8]) -> Option<u64> {
    match tfdt.first()? {
        0 => Some(u64::from(number(tfdt.get(4..)?)?)),
        _ => Some(u64::from(number(tfdt.get(4..)?)?) << 32 | u64::from(number(tfdt.get(8..)?)?)),
    }
}

/// Reads a run: where its samples begin, counted from the fragment, and what they are.
fn run(trun: &[u8], defaults: Sample) -> Option<(u32, Vec<Sample>)> {
    let is_signed = *trun.first()? != 0;
    let (flags, mut fields) = full(trun)?;
    let count = take(&mut fields)?;
    if count == 0 || count > SAMPLES_MAX || flags & DATA_OFFSET == 0 {
        return None;
    }
    let offset = take(&mut fields)?;
    let first = if flags & FIRST_FLAGS != 0 { Some(take(&mut fields)?) } else { None };
    let mut samples = Vec::new();
    for at in 0..count {
        let mut field = |flag: u32, default: u32| {
            if flags & flag != 0 { take(&mut fields) } else { Some(default) }
        };
        let duration = field(SAMPLE_DURATION, defaults.duration)?;
        let size = field(SAMPLE_SIZE, defaults.size)?;
        let own = field(SAMPLE_FLAGS, defaults.flags)?;
        let shift = field(SAMPLE_SHIFT, 0)?;
        let shift = if is_signed { i64::from(shift.cast_signed()) } else { i64::from(shift) };
        let flags = first.filter(|_| at == 0).unwrap_or(own);
        samples.push(Sample { duration, size, flags, shift });
    }
    Some((offset, samples))
}

/// Adds CMAF's brands to those of a header that begins with its `ftyp`. `is_plain`: the segments
/// show their first sample when they begin, and there is no edit list.
pub(super) fn with_cmaf_brands(mut header: Vec<u8>, is_plain: bool) -> Vec<u8> {
    let brands = [CMAF_BRAND, CMAF_PLAIN_BRAND].into_iter().take(1 + usize::from(is_plain));
    for brand in brands {
        let size = header.get(..4).and_then(number).unwrap_or(0) as usize;
        let is_ftyp = header.get(4..8) == Some(b"ftyp") && size >= 16 && size <= header.len();
        if is_ftyp && !header[16..size].chunks(4).any(|known| known == brand) {
            header.splice(size..size, brand.iter().copied());
            let grown = u32::try_from(size + brand.len()).unwrap_or(u32::MAX);
            put(&mut header, 0, grown);
        }
    }
    header
}

/// Returns where the first box of a kind begins in `bytes`, and its content.
pub(super) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<(usize, &'a [u8])> {
    let mut at = 0;
    loop {
        let size = number(bytes.get(at..)?)? as usize;
        // Neither 64-bit sizes nor boxes to the end of the file occur before the pictures.
        let content = bytes.get(at + 8..at.checked_add(size)?)?;
        if bytes.get(at + 4..at + 8)? == kind {
            return Some((at, content));
        }
        at += size;
    }
}

/// Returns the flags of a full box, and what follows them.
pub(super) fn full(content: &[u8]) -> Option<(u32, &[u8])> {
    Some((number(content)? & 0x00ff_ffff, content.get(4..)?))
}

pub(super) fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// Reads the number at the beginning and goes past it.
pub(super) fn take(fields: &mut &[u8]) -> Option<u32> {
    let value = number(fields)?;
    *fields = &fields[4..];
    Some(value)
}

/// Writes a number over four bytes, if there are as many.
pub(super) fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Returns a box of this kind.
pub(super) fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + HEAD).unwrap_or(u32::MAX);
    [&size.to_be_bytes(), kind.as_slice(), content].concat()
}

/// Returns numbers as boxes hold them.
pub(super) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment whose first sample has 5 bytes, told by `tfhd` or by `trun`.
    fn segment(tfhd: &[u32], trun: &[u32]) -> Vec<u8> {
        let time = boxed(b"tfdt", &words(&[0x100_0000, 1, 7]));
        let traf = [boxed(b"tfhd", &words(tfhd)), time, boxed(b"trun", &words(trun))].concat();
        let moof =
            boxed(b"moof", &[boxed(b"mfhd", &words(&[0, 1])), boxed(b"traf", &traf)].concat());
        [boxed(b"styp", b"iso6"), moof, boxed(b"mdat", &[7; 11])].concat()
    }

    /// Samples are found however their sizes, times and flags are told, and not in what is cut.
    #[test]
    fn samples_are_read() {
        let by_run = [0x100_0f05, 2, 900, 9, 5, 1, 2, 3, 6, 4, 8, (-3i32).cast_unsigned()];
        let bytes = segment(&[0x2_0000, 1], &by_run);
        let read = Fragment::read(&bytes).expect("of our make");
        let at = bytes.windows(4).position(|window| window == b"moof").expect("there") - 4;
        assert_eq!((read.begins, read.from), (1 << 32 | 7, at as u64 + 900));
        let first = Sample { duration: 5, size: 1, flags: 9, shift: 3 };
        let second = Sample { duration: 6, size: 4, flags: 8, shift: -3 };
        assert_eq!(read.samples, [first, second]);
        assert_eq!((read.length(), read.end_of_first()), (5, Some(at as u64 + 901)));
        for cut in 0..bytes.len() - 19 {
            assert!(Fragment::read(&bytes[..cut]).is_none(), "cut at {cut}");
        }
        let by_head = segment(&[0x2_0038, 1, 1, 5, 6], &[0x1, 2, 900]);
        let read = Fragment::read(&by_head).expect("of our make");
        let sample = Sample { duration: 1, size: 5, flags: 6, shift: 0 };
        assert_eq!(read.samples, [sample, sample]);
        let unsigned = segment(&[0x2_0018, 1, 1, 5], &[0x801, 1, 900, u32::MAX]);
        let read = Fragment::read(&unsigned).expect("of our make");
        assert_eq!(read.samples[0].shift, i64::from(u32::MAX));
        let endless = segment(&[0x2_0018, 1, 1, 5], &[0x1, u32::MAX, 900]);
        assert!(Fragment::read(&endless).is_none());
    }

    /// Each brand is added once, and nothing else changes.
    #[test]
    fn brands_are_added_once() {
        let header = |brands: &[u8]| {
            let brands = [b"iso5\0\0\x02\0".as_slice(), brands].concat();
            [boxed(b"ftyp", &brands), boxed(b"moov", b"x")].concat()
        };
        let sound = with_cmaf_brands(header(b"iso6"), false);
        assert_eq!(sound, header(b"iso6cmfc"));
        let pictures = with_cmaf_brands(sound, true);
        assert_eq!(pictures, header(b"iso6cmfccmf2"));
        assert_eq!(with_cmaf_brands(pictures.clone(), true), pictures);
        assert_eq!(with_cmaf_brands(b"junk".to_vec(), true), b"junk");
    }
}
