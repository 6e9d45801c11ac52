//! The few boxes of our own files that have to be looked into (ISO/IEC 14496-12): where the first
//! picture of a segment ends, and what a header says that it conforms to.

/// The brand of files that keep to CMAF's constraints (ISO/IEC 23000-19, 7.2).
const CMAF_BRAND: &[u8; 4] = b"cmfc";

/// Bits in the flags of `tfhd` and `trun` that say which fields are there.
const BASE_OFFSET: u32 = 0x1;
const DESCRIPTION_INDEX: u32 = 0x2;
const DEFAULT_DURATION: u32 = 0x8;
const DEFAULT_SIZE: u32 = 0x10;
const DATA_OFFSET: u32 = 0x1;
const FIRST_FLAGS: u32 = 0x4;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;

/// Returns the offset behind the first sample of a segment of one fragment and one track, counted
/// from the segment's beginning: what a player has to fetch for its first picture. None for a
/// segment of another make.
pub(super) fn end_of_first_sample(segment: &[u8]) -> Option<u64> {
    let (moof_at, moof) = find(segment, b"moof")?;
    let (_, traf) = find(moof, b"traf")?;
    let (_, tfhd) = find(traf, b"tfhd")?;
    let (_, trun) = find(traf, b"trun")?;
    let (flags, mut fields) = full(tfhd)?;
    // The track's number.
    fields = fields.get(4..)?;
    if flags & BASE_OFFSET != 0 {
        return None;
    }
    for flag in [DESCRIPTION_INDEX, DEFAULT_DURATION] {
        fields = fields.get(if flags & flag != 0 { 4 } else { 0 }..)?;
    }
    let default_size = if flags & DEFAULT_SIZE != 0 { Some(number(fields)?) } else { None };
    let (flags, mut fields) = full(trun)?;
    let samples = number(fields)?;
    fields = fields.get(4..)?;
    if samples == 0 || flags & DATA_OFFSET == 0 {
        return None;
    }
    let data_offset = number(fields)?;
    fields = fields.get(4..)?;
    for flag in [FIRST_FLAGS, SAMPLE_DURATION] {
        fields = fields.get(if flags & flag != 0 { 4 } else { 0 }..)?;
    }
    let size = if flags & SAMPLE_SIZE != 0 { number(fields)? } else { default_size? };
    let end = u64::from(data_offset) + u64::from(size) + moof_at as u64;
    (end <= segment.len() as u64).then_some(end)
}

/// Adds CMAF's brand to the brands of a header that begins with its `ftyp`.
pub(super) fn with_cmaf_brand(mut header: Vec<u8>) -> Vec<u8> {
    let size = header.get(..4).and_then(number).unwrap_or(0) as usize;
    let is_ftyp = header.get(4..8) == Some(b"ftyp") && size >= 16 && size <= header.len();
    if is_ftyp && !header[16..size].chunks(4).any(|brand| brand == CMAF_BRAND) {
        header.splice(size..size, CMAF_BRAND.iter().copied());
        let grown = u32::try_from(size + CMAF_BRAND.len()).unwrap_or(u32::MAX);
        header[..4].copy_from_slice(&grown.to_be_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).expect("small");
        [&size.to_be_bytes(), kind.as_slice(), content].concat()
    }

    fn words(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// A segment whose first sample has 5 bytes, told by `tfhd` or by `trun`.
    fn segment(tfhd: &[u32], trun: &[u32]) -> Vec<u8> {
        let traf = [boxed(b"tfhd", &words(tfhd)), boxed(b"trun", &words(trun))].concat();
        let moof =
            boxed(b"moof", &[boxed(b"mfhd", &words(&[0, 1])), boxed(b"traf", &traf)].concat());
        [boxed(b"styp", b"iso6"), moof, boxed(b"mdat", &[7; 11])].concat()
    }

    /// The end of the first picture is found however the sizes are told, and never beyond the end.
    #[test]
    fn the_first_sample_ends_where_it_ends() {
        let by_run = segment(&[0x2_0000, 1], &[0x705, 2, 0, 9, 1, 5, 0, 1, 6, 0]);
        let moof = by_run.len() - 12 - 19;
        let with = |offset: u32| segment(&[0x2_0000, 1], &[0x705, 2, offset, 9, 1, 5, 0, 1, 6, 0]);
        let offset = u32::try_from(moof + 8).expect("small");
        let end = end_of_first_sample(&with(offset));
        assert_eq!(end, Some((by_run.len() - 6) as u64));
        assert_eq!(end_of_first_sample(&with(offset + 9)), None, "beyond the segment");
        let by_head = |offset| segment(&[0x2_0018, 1, 1, 5], &[0x1, 2, offset]);
        let moof = u32::try_from(by_head(0).len() - 12 - 19).expect("small");
        assert_eq!(end_of_first_sample(&by_head(moof + 8)), Some(by_head(0).len() as u64 - 6));
        for cut in 0..by_run.len() - 19 {
            assert_eq!(end_of_first_sample(&with(offset)[..cut]), None, "cut at {cut}");
        }
    }

    /// The brand is added once, and nothing else changes.
    #[test]
    fn the_brand_is_added_once() {
        let header = [boxed(b"ftyp", b"iso5\0\0\x02\0iso6"), boxed(b"moov", b"x")].concat();
        let branded = with_cmaf_brand(header.clone());
        let expected = [boxed(b"ftyp", b"iso5\0\0\x02\0iso6cmfc"), boxed(b"moov", b"x")].concat();
        assert_eq!(branded, expected);
        assert_eq!(with_cmaf_brand(branded.clone()), branded);
        assert_eq!(with_cmaf_brand(b"junk".to_vec()), b"junk");
    }
}
