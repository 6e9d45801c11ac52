//! When the pictures of a segment are decoded: written anew, so that a segment begins with its
//! first picture and needs no edit list. Pure.
//!
//! An encoder that reorders decodes each picture some pictures before it is shown. FFmpeg writes
//! that lead into every segment and has an edit list take it back. Players that go by a segment's
//! own times (hls.js is one) then place it too late by the lead, and some know no edit lists.
//! Negative offsets would do without either, but FFmpeg's demuxer shows all pictures of a track
//! later by the most negative one, and with it everything that is built on it.
//!
//! So no picture is decoded before its segment begins, and none after it is shown. The few that
//! others wait for at the beginning are decoded in quick succession, and everything else at the
//! encoder's pace. The times depend on nothing but when pictures are shown: whoever goes on behind
//! a segment needn't know what lead it had.

use super::boxes::{
    DATA_OFFSET, FIRST_FLAGS, Fragment, HEAD, SAMPLE_DURATION, SAMPLE_FLAGS, SAMPLE_SHIFT,
    SAMPLE_SIZE, Sample, boxed, number, put, words,
};

/// Seconds for which a picture that is decoded in quick succession may stand: browsers that add up
/// what is buffered picture by picture (WebKit) see no hole in that.
pub(super) const BRIEF: f64 = 0.08;

/// How many times shorter than the time before it, or than [`BRIEF`], each step of a quick
/// succession is.
const QUICK: i64 = 64;

/// Returns a segment of our own make whose first picture is shown at `begins` and whose last stays
/// until `ends`, with times that say so; `None` for one of another make or with times that boxes
/// can't hold. `brief` is [`BRIEF`] in its ticks.
pub(super) fn timed(mut segment: Vec<u8>, begins: u64, ends: u64, brief: i64) -> Option<Vec<u8>> {
    let mut fragment = Fragment::read(&segment)?;
    if fragment.from + fragment.length() != segment.len() as u64 {
        return None;
    }
    let (begins, ends) = (i64::try_from(begins).ok()?, i64::try_from(ends).ok()?);
    let mut decoded = begins.checked_sub(fragment.samples.first()?.shift)?;
    let mut shown = Vec::with_capacity(fragment.samples.len());
    for sample in &fragment.samples {
        shown.push(decoded.checked_add(sample.shift)?);
        decoded = decoded.checked_add(i64::from(sample.duration))?;
    }
    let decoded = schedule(&shown, ends, brief);
    let nexts = decoded.iter().skip(1).copied().chain([ends.max(decoded.last()? + 1)]);
    for (((sample, shown), at), next) in
        fragment.samples.iter_mut().zip(shown).zip(&decoded).zip(nexts)
    {
        sample.duration = u32::try_from(next - at).ok()?;
        sample.shift = i64::from(i32::try_from(shown - at).ok()?);
    }
    write(&mut segment, &fragment, u64::try_from(begins).ok()?)?;
    Some(segment)
}

/// Returns when pictures that are shown at `shown`, given in the order of decoding, are decoded.
/// Times rise, and the first is that of its showing.
fn schedule(shown: &[i64], ends: i64, brief: i64) -> Vec<i64> {
    let mut order = shown.to_vec();
    order.sort_unstable();
    let before = |time: i64| order.partition_point(|at| *at < time);
    let mut decoded = latest(shown);
    // How many pictures, at most, are decoded and wait while another one is due.
    let depth = decoded.iter().enumerate().map(|(at, due)| at.saturating_sub(before(*due)));
    let depth = depth.max().unwrap_or(0);
    let stands = |time: i64| order.get(before(time + 1)).unwrap_or(&ends) - time;
    let hurried = shown.iter().skip(1).take(depth);
    // A picture that stands for long isn't hurried: all are decoded as late as they can be.
    let is_late = hurried.into_iter().any(|at| stands(*at) > brief);
    let pace = |at: usize| match order.get(at.saturating_sub(depth).max(1)) {
        Some(time) if !is_late => *time,
        _ => i64::MAX,
    };
    let mut next = ends;
    for at in (1..shown.len()).rev() {
        // Nothing lasts beyond the segment's end, as buffers would count it.
        let not_before = next.saturating_sub(ends - shown[at]);
        let mut time = pace(at).max(not_before).min(decoded[at]);
        if time >= next {
            let room = before(next).checked_sub(1).map_or(0, |earlier| next - order[earlier]);
            time = next - (room.min(brief) / QUICK).max(1);
        }
        decoded[at] = time;
        next = time;
    }
    // Where there is no room for that, as in damaged files, times still rise.
    for at in 1..shown.len() {
        decoded[at] = decoded[at].max(decoded[at - 1] + 1);
    }
    decoded
}

/// Returns for each picture when, at the latest, it has to be decoded: when it or one behind it is
/// shown; the first at its own time, whatever comes behind it.
fn latest(shown: &[i64]) -> Vec<i64> {
    let mut latest = shown.to_vec();
    for at in (2..shown.len()).rev() {
        latest[at - 1] = latest[at - 1].min(latest[at]);
    }
    latest
}

/// Puts a fragment's samples and its time in the place of those that the segment has.
fn write(segment: &mut Vec<u8>, fragment: &Fragment, begins: u64) -> Option<()> {
    let old = number(segment.get(fragment.trun_at..)?)?;
    let run = run(fragment);
    let grows = i64::try_from(run.len()).ok()? - i64::from(old);
    let grown = |size: u32| u32::try_from(i64::from(size) + grows).ok();
    // Version 1 has eight bytes for the time.
    let time_at = fragment.tfdt_at + HEAD;
    if segment.get(time_at) != Some(&1) {
        return None;
    }
    segment.get_mut(time_at + 4..time_at + 12)?.copy_from_slice(&begins.to_be_bytes());
    segment.splice(fragment.trun_at..fragment.trun_at + old as usize, run);
    for at in [fragment.moof_at, fragment.traf_at] {
        let size = number(segment.get(at..)?)?;
        put(segment, at, grown(size)?);
    }
    let from = u32::try_from(fragment.from - fragment.moof_at as u64).ok()?;
    put(segment, fragment.trun_at + HEAD + 8, grown(from)?);
    Some(())
}

/// Returns the box of a fragment's samples, without where they begin. What all samples have in
/// common stands in the fragment's header.
fn run(fragment: &Fragment) -> Vec<u8> {
    let (samples, usual) = (&fragment.samples, fragment.defaults);
    let differs = |part: fn(&Sample) -> i64| samples.iter().any(|it| part(it) != part(&usual));
    let rest_differs = samples.iter().skip(1).any(|it| it.flags != usual.flags);
    let mut flags = DATA_OFFSET;
    for (flag, holds) in [
        (FIRST_FLAGS, !rest_differs && differs(|it| it.flags.into())),
        (SAMPLE_DURATION, differs(|it| it.duration.into())),
        (SAMPLE_SIZE, differs(|it| it.size.into())),
        (SAMPLE_FLAGS, rest_differs),
        (SAMPLE_SHIFT, differs(|it| it.shift)),
    ] {
        flags |= if holds { flag } else { 0 };
    }
    // Version 1: offsets have a sign.
    let mut fields = vec![0x100_0000 | flags, samples.len() as u32, 0];
    if flags & FIRST_FLAGS != 0 {
        fields.extend(samples.first().map(|it| it.flags));
    }
    for sample in samples {
        // It fits: it was checked.
        let shift = (sample.shift as i32).cast_unsigned();
        for (flag, field) in [
            (SAMPLE_DURATION, sample.duration),
            (SAMPLE_SIZE, sample.size),
            (SAMPLE_FLAGS, sample.flags),
            (SAMPLE_SHIFT, shift),
        ] {
            fields.extend((flags & flag != 0).then_some(field));
        }
    }
    boxed(b"trun", &words(&fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks of a picture at 25 a second.
    const PICTURE: i64 = 3600;
    const SHORT: i64 = 7200;

    /// Times of showing of pictures whose places in the film these are.
    fn at(places: &[i64]) -> Vec<i64> {
        places.iter().map(|place| place * PICTURE).collect()
    }

    /// Checks what holds for every segment whose first picture is shown first, and returns for how
    /// long each picture lasts.
    fn check(shown: &[i64], ends: i64) -> Vec<i64> {
        let decoded = schedule(shown, ends, SHORT);
        assert_eq!(decoded[0], shown[0]);
        let nexts = decoded.iter().skip(1).chain([&ends]);
        let lasts: Vec<i64> = decoded.iter().zip(nexts).map(|(at, next)| next - at).collect();
        assert!(lasts.iter().all(|ticks| *ticks > 0), "times rise: {decoded:?}");
        assert!(decoded.iter().zip(shown).all(|(at, shown)| at <= shown), "{decoded:?}");
        // What a player counts as buffered, picture by picture.
        let mut spans: Vec<_> =
            shown.iter().zip(&lasts).map(|(at, lasts)| (*at, at + lasts)).collect();
        spans.sort_unstable();
        let mut until = shown[0];
        for (from, to) in spans {
            assert!(from - until <= SHORT, "a hole from {until} to {from}");
            until = until.max(to);
        }
        assert_eq!(until, ends, "nothing is missing, nor too much");
        lasts
    }

    /// Pictures that come in order are decoded when they are shown.
    #[test]
    fn without_reordering_nothing_changes() {
        let shown = [0, 3600, 9000, 9090, 400_000];
        assert_eq!(schedule(&shown, 500_000, SHORT), shown);
        check(&shown, 500_000);
        check(&[7], 9);
    }

    /// Two pictures at the beginning are hurried, and all but the end keeps the encoder's pace.
    #[test]
    fn reordered_pictures_keep_their_pace() {
        let shown = at(&[0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]);
        let lasts = check(&shown, 13 * PICTURE);
        let (step, usual) = (PICTURE / QUICK, PICTURE);
        assert!(lasts[0] + 2 * step >= usual && lasts[1] <= step && lasts[2] <= step, "{lasts:?}");
        assert!(lasts[3..11].iter().all(|lasts| *lasts == usual), "{lasts:?}");
        assert_eq!(lasts[11..], [2 * usual, 2 * usual]);
        let simple = at(&[0, 2, 1, 4, 3, 6, 5]);
        assert_eq!(check(&simple, 7 * PICTURE)[2..], [usual, usual, usual, usual, 2 * usual]);
    }

    /// No picture that stands for long is counted for less, wherever it comes in the order.
    #[test]
    fn long_pictures_leave_no_hole() {
        let slow: Vec<i64> = at(&[0, 4, 2, 1, 3, 8, 6, 5, 7]).iter().map(|at| at * 25).collect();
        check(&slow, 9 * 25 * PICTURE);
        for shown in [
            [0, 300_000, 3600, 7200, 310_000, 303_600],
            [0, 14_400, 3600, 300_000, 303_600, 307_200],
            [300_000, 610_000, 603_600, 600_000, 603_000, 613_600],
        ] {
            check(&shown, 700_000);
        }
    }

    /// Whatever damaged files say, times rise from that of the first picture, and pictures are
    /// shown when they were.
    #[test]
    fn damaged_times_rise() {
        for shown in [[9, 9, 9, 9, 9], [50, 3, 2, 1, 90], [5, 900, 800, 700, 6], [5, 4, 3, 2, 1]] {
            let decoded = schedule(&shown, 20, SHORT);
            assert_eq!(decoded[0], shown[0]);
            assert!(decoded.windows(2).all(|pair| pair[0] < pair[1]), "{decoded:?}");
        }
    }

    /// A segment as FFmpeg writes it: two pictures of lead, the offsets without a sign.
    fn written(shifts: &[u32], version: u32) -> Vec<u8> {
        let samples: Vec<u8> = shifts
            .iter()
            .enumerate()
            .flat_map(|(at, shift)| words(&[1 + at as u32, *shift]))
            .collect();
        let run = [words(&[version << 24 | 0xa05, shifts.len() as u32, 0, 0x200_0000]), samples];
        let head = boxed(b"tfhd", &words(&[0x2_0038, 1, 3600, 1, 0x101_0000]));
        let time = boxed(b"tfdt", &words(&[0x100_0000, 0, 77]));
        let track = boxed(b"traf", &[head, time, boxed(b"trun", &run.concat())].concat());
        let mut moof = boxed(b"moof", &[boxed(b"mfhd", &words(&[0, 1])), track].concat());
        let from = moof.len() as u32 + 8;
        let run_at = moof.windows(4).position(|window| window == b"trun").expect("there");
        put(&mut moof, run_at + 12, from);
        let bytes: Vec<u8> = (0..(1..=shifts.len()).sum()).map(|at: usize| at as u8).collect();
        [boxed(b"styp", b"msdh"), moof, boxed(b"mdat", &bytes)].concat()
    }

    /// The times are written anew, and what is shown when and which bytes it has stays.
    #[test]
    fn a_segment_is_written_anew() {
        let old = written(&[7200, 18_000, 7200, 0, 3600, 3600], 0);
        let (begins, ends) = (1 << 33, (1 << 33) + 6 * 3600);
        let new = timed(old.clone(), begins, ends, SHORT).expect("of our make");
        let [before, after] = [&old, &new].map(|it| Fragment::read(it).expect("of our make"));
        assert_eq!(after.begins, begins);
        assert_eq!(new[after.from as usize..], old[before.from as usize..]);
        let of = |fragment: &Fragment| {
            fragment.samples.iter().map(|it| (it.size, it.flags)).collect::<Vec<_>>()
        };
        assert_eq!(of(&after), of(&before));
        let mut decoded = begins as i64;
        let mut shown = Vec::new();
        for sample in &after.samples {
            shown.push((decoded + sample.shift - begins as i64) / PICTURE);
            decoded += i64::from(sample.duration);
        }
        assert_eq!(shown, [0, 4, 2, 1, 3, 4]);
        assert_eq!(decoded as u64, ends);
        assert_eq!(new[after.trun_at + HEAD], 1, "offsets have a sign");
        let size = number(&new[after.moof_at..]).expect("a size") as usize;
        assert_eq!(&new[after.moof_at + size + 4..][..4], b"mdat");
        for cut in 0..old.len() {
            assert!(timed(old[..cut].to_vec(), 0, 9, SHORT).is_none(), "cut at {cut}");
        }
        assert!(timed(old, 0, 1 << 40, SHORT).is_none(), "longer than a box can say");
    }

    /// What all samples have in common is said once.
    #[test]
    fn runs_are_short() {
        let plain = written(&[0, 0, 0], 1);
        let new = timed(plain.clone(), 77, 77 + 3 * 3600, SHORT).expect("of our make");
        let fragment = Fragment::read(&new).expect("of our make");
        assert_eq!(number(&new[fragment.trun_at..]), Some(8 + 4 * 4 + 3 * 4));
    }
}
