//! What was killed is gone on with, and nobody can tell by the result.

use super::*;
use crate::wire::Begun;

/// What is published of a film between attempts, as the receiving process keeps it.
#[derive(Default)]
pub struct Published {
    /// By name of the rendition.
    pub made: BTreeMap<String, Made>,
    plan: Vec<RenditionPlan>,
    /// Segments of pictures that attempts have encoded, those that came to nothing included.
    encoded: usize,
}

impl Published {
    /// What was planned.
    pub fn plan(&self) -> &[RenditionPlan] {
        &self.plan
    }

    /// Lets one attempt work until it has done `enough`, and takes what it has made.
    pub fn attempt(
        &mut self,
        film: &Path,
        into: &Path,
        mut order: Order,
        enough: impl FnMut(&Outcome) -> bool + Send,
    ) -> Outcome {
        let scratch = out_dir();
        for plan in &self.plan {
            let Some(made) = self.made.get(&plan.name) else { continue };
            let ticks = made.segments.iter().map(|segment| segment.ticks).sum();
            if made.complete {
                order.renditions_done.push(plan.name.clone());
                order.seconds_done = ticks as f64 / f64::from(made.timescale);
            } else {
                order.begun.push(Begun {
                    plan: plan.clone(),
                    timescale: made.timescale,
                    target_ms: made.target_ms,
                    segments: made.segments.len() as u32,
                    ticks,
                });
            }
        }
        let mut outcome = run_until(film, scratch.path(), &mut order, enough);
        if !outcome.plan.is_empty() {
            self.plan.clone_from(&outcome.plan);
        }
        for (name, fresh) in std::mem::take(&mut outcome.made) {
            self.take(scratch.path(), into, &name, fresh);
        }
        outcome
    }

    fn take(&mut self, scratch: &Path, into: &Path, name: &str, fresh: Made) {
        let (from, to) = (scratch.join(name), into.join(name));
        fs::create_dir_all(&to).expect("a directory");
        let plan = self.plan.iter().find(|plan| plan.name == name).expect("planned");
        if plan.kind == RenditionKind::Video && !plan.copied {
            self.encoded += fresh.segments.len();
        }
        if !fresh.codecs.is_empty() {
            let init = fs::read(from.join(INIT_FILE)).expect("a header");
            if fresh.after > 0 {
                let before = fs::read(to.join(INIT_FILE)).expect("the first header");
                assert_eq!(init, before, "the header of {name} stays");
            }
            fs::write(to.join(INIT_FILE), init).expect("written");
        }
        for (at, _) in fresh.segments.iter().enumerate() {
            let file = segment_file(fresh.after as usize + at + 1);
            assert!(fresh.after == 0 || !to.join(&file).exists(), "{file} was there already");
            fs::copy(from.join(&file), to.join(&file)).expect("copied");
        }
        match self.made.get_mut(name).filter(|_| fresh.after > 0 || fresh.codecs.is_empty()) {
            Some(made) => {
                assert!(fresh.codecs.is_empty() || made.segments.len() == fresh.after as usize);
                made.segments.extend(fresh.segments);
                made.complete = fresh.complete;
            }
            None => drop(self.made.insert(name.to_owned(), fresh)),
        }
    }
}

/// Compares what several attempts have made with what one has: copies and sound are the same
/// bytes, encoded pictures have the same times and key frames.
pub fn check_same(whole: (&Path, &Outcome), pieces: (&Path, &Published)) {
    assert_eq!(whole.1.plan, pieces.1.plan);
    for plan in &whole.1.plan {
        let (name, one) = (&plan.name, &whole.1.made[&plan.name]);
        let many = &pieces.1.made[name];
        assert!(many.complete, "{name}");
        let ticks = |made: &Made| made.segments.iter().map(|s| s.ticks).collect::<Vec<_>>();
        assert_eq!(ticks(one), ticks(many), "{name}");
        let (a, b) = (joined(whole.0, name, one), joined(pieces.0, name, many));
        let times = |joined: &Joined| {
            let mut times: Vec<_> =
                joined.seen.iter().map(|seen| ((seen.at * 1e6) as i64, seen.key)).collect();
            times.sort_unstable();
            times
        };
        assert_eq!(times(&a), times(&b), "{name}");
        assert_eq!(a.stream, b.stream, "{name}");
        assert!(near(a.duration, b.duration, 1e-6), "{name}");
        assert_eq!(decodes(pieces.0, name), b.seen.len(), "{name}");
        if plan.copied || plan.kind == RenditionKind::Audio {
            let film = |dir: &Path| fs::read(dir.join(name).join("joined.mp4")).expect("joined");
            assert!(film(whole.0) == film(pieces.0), "{name} has the same bytes");
        }
    }
}

/// Segments of all renditions that an attempt has told of.
fn told(outcome: &Outcome) -> usize {
    outcome.made.values().map(|made| made.segments.len()).sum()
}

/// Interrupts the making of a film after each of these numbers of segments, and compares.
fn check(film: &str, order: &Order, cuts: &[usize]) {
    let film = films().join(film);
    let whole = out_dir();
    let at_once = run_on(&film, whole.path(), order.clone()).ok();
    let is_encoded = |plan: &&RenditionPlan| plan.kind == RenditionKind::Video && !plan.copied;
    let encoded = at_once.plan.iter().filter(is_encoded);
    let encoded: usize = encoded.map(|plan| at_once.made[&plan.name].segments.len()).sum();
    let pieces = out_dir();
    let mut published = Published::default();
    for &cut in cuts {
        let outcome =
            published.attempt(&film, pieces.path(), order.clone(), |so_far| told(so_far) >= cut);
        assert!(outcome.result.is_some_and(|result| result.is_err()), "cut after {cut}");
    }
    published.attempt(&film, pieces.path(), order.clone(), |_| false).ok();
    check_same((whole.path(), &at_once), (pieces.path(), &published));
    assert_eq!(published.encoded, encoded, "nothing is encoded twice");
}

/// Short segments and two small rungs.
pub fn quick() -> Order {
    let mut order = order();
    order.encode.segment_seconds = 1;
    order.encode.ladder_heights = Some(vec![240, 180]);
    order
}

/// Encoded rungs are gone on with wherever they were cut off: at the first segment, in the middle,
/// again and again.
#[test]
fn encodes_go_on() {
    check("one-key-5s.mp4", &quick(), &[1]);
    // One with key frames in the middle, from which decoding begins again.
    check("faststart.mp4", &quick(), &[13, 9]);
    check("one-key-5s.mp4", &quick(), &[2, 3, 2, 4]);
}

/// Rungs that were cut off at different places go on each at its own.
#[test]
fn rungs_go_on_each_at_its_own_place() {
    let film = films().join("one-key-5s.mp4");
    let (whole, pieces) = (out_dir(), out_dir());
    let at_once = run_on(&film, whole.path(), quick()).ok();
    let mut published = Published::default();
    let two = |so_far: &Outcome| so_far.made.get("240p").is_some_and(|it| it.segments.len() >= 3);
    published.attempt(&film, pieces.path(), quick(), two);
    let small = published.made.get_mut("180p").expect("begun as well");
    small.segments.truncate(1);
    for entry in fs::read_dir(pieces.path().join("180p")).expect("listed").flatten() {
        let name = entry.file_name();
        if name != INIT_FILE && name != "1.m4s" {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    published.attempt(&film, pieces.path(), quick(), |_| false).ok();
    check_same((whole.path(), &at_once), (pieces.path(), &published));
}

/// A copy and its sound come out byte for byte, and the rungs below go on along its key frames.
#[test]
fn copies_go_on() {
    let mut order = quick();
    order.encode.ladder_heights = Some(vec![720, 240]);
    check("faststart.mp4", &order, &[3, 8]);
}

/// Sound that one attempt took as it is and the next one encodes, or the reverse, is made anew: no
/// rendition holds some of either.
#[test]
fn copied_and_encoded_sound_are_not_mixed() {
    let film = films().join("faststart.mp4");
    for (first, second) in [(false, true), (true, false)] {
        let pieces = out_dir();
        let mut published = Published::default();
        let mut order = quick();
        order.encode.loudness = first;
        let some =
            |so_far: &Outcome| so_far.made.get("audio").is_some_and(|it| it.segments.len() >= 3);
        published.attempt(&film, pieces.path(), order.clone(), some);
        let copied = |plan: &[RenditionPlan]| plan.iter().any(|it| it.name == "audio" && it.copied);
        assert_eq!(copied(&published.plan), !first);
        order.encode.loudness = second;
        let begun = Begun {
            plan: published.plan.iter().find(|it| it.name == "audio").expect("planned").clone(),
            timescale: published.made["audio"].timescale,
            target_ms: published.made["audio"].target_ms,
            segments: 3,
            ticks: published.made["audio"].segments[..3].iter().map(|it| it.ticks).sum(),
        };
        order.begun = vec![begun];
        let whole = out_dir();
        let outcome = run_on(&film, whole.path(), order).ok();
        assert_eq!(copied(&outcome.plan), !second);
        assert_eq!(outcome.made["audio"].after, 0, "nothing of it is gone on with");
        check_film(whole.path(), &outcome, 10.0);
    }
}

/// Containers that can't be searched are decoded from their start, and times that are uneven or
/// begin somewhere come out the same.
#[test]
fn other_containers_go_on() {
    for film in ["interlaced.ts", "vfr.mkv", "vp9.webm", "rotated.mp4"] {
        let mut order = quick();
        order.encode.ladder_heights = Some(vec![180, 120]);
        check(film, &order, &[2, 2]);
    }
}

/// Pictures that an encoder reorders come out the same wherever the work is taken up: with even
/// times and with uneven ones, where the encoder's lead is another one each time.
#[test]
fn reordered_pictures_go_on() {
    for film in ["one-key-5s.mp4", "vfr.mkv"] {
        let mut order = quick();
        order.encode.preset = "veryfast".to_owned();
        order.encode.ladder_heights = Some(vec![180, 120]);
        check(film, &order, &[2, 2, 3]);
    }
}

/// Sound of which only the last word is missing, beside pictures that are done, ends where it did
/// while they were made.
#[test]
fn sound_ends_where_it_did_beside_its_pictures() {
    let copying = {
        let mut order = quick();
        order.encode.ladder_heights = Some(vec![720, 240]);
        order
    };
    let (plain, copying) = (quick(), copying);
    let cases = [
        ("faststart.mp4", &copying),
        ("faststart.mp4", &plain),
        ("vfr.mkv", &plain),
        ("interlaced.ts", &plain),
        ("vp9.webm", &plain),
    ];
    for (film, order) in cases {
        let pieces = out_dir();
        let mut published = Published::default();
        let film = films().join(film);
        published.attempt(&film, pieces.path(), order.clone(), |_| false).ok();
        let sounds: Vec<_> =
            published.made.iter_mut().filter(|(name, _)| name.starts_with("audio")).collect();
        assert!(!sounds.is_empty(), "{}", film.display());
        for (_, made) in sounds {
            made.complete = false;
        }
        let outcome = published.attempt(&film, pieces.path(), order.clone(), |_| false).ok();
        assert_eq!(outcome.unlike, Vec::<String>::new(), "{}", film.display());
        assert!(published.made.values().all(|made| made.complete), "{}", film.display());
    }
}

/// An attempt that was killed between its last segment and its last word costs a look.
#[test]
fn the_end_is_gone_on_with() {
    let film = films().join("one-key-5s.mp4");
    let (whole, pieces) = (out_dir(), out_dir());
    let at_once = run_on(&film, whole.path(), quick()).ok();
    let all: usize = told(&at_once);
    let mut published = Published::default();
    published.attempt(&film, pieces.path(), quick(), |so_far| told(so_far) >= all);
    for made in published.made.values_mut() {
        made.complete = false;
    }
    let before = published.encoded;
    published.attempt(&film, pieces.path(), quick(), |_| false).ok();
    assert_eq!(published.encoded, before, "nothing is encoded");
    check_same((whole.path(), &at_once), (pieces.path(), &published));
}

/// What doesn't continue the beginning isn't put behind it.
#[test]
fn what_does_not_fit_is_told() {
    let film = films().join("one-key-5s.mp4");
    let pieces = out_dir();
    let mut published = Published::default();
    published.attempt(&film, pieces.path(), quick(), |so_far| told(so_far) >= 4);
    let first = published.made.values_mut().find(|made| made.segments.len() > 1);
    first.expect("begun").segments[0].ticks += 900;
    let mut unlike = 0;
    let outcome = published.attempt(&film, pieces.path(), quick(), |so_far| {
        unlike = so_far.unlike.len();
        false
    });
    assert!(unlike > 0, "{:?}", outcome.result);
    assert!(outcome.result.is_some_and(|result| result.is_err()));
}

/// Wherever a film is cut off whose pictures come unevenly, its sound is gone on with: also in the
/// attempt that finds out anew where the last of them ends.
#[test]
fn uneven_films_go_on_with_their_sound() {
    let film = films().join("vfr.mkv");
    let (whole, pieces) = (out_dir(), out_dir());
    let at_once = run_on(&film, whole.path(), order()).ok();
    let mut published = Published::default();
    let sounds = |so_far: &Outcome| so_far.made.get("audio").map_or(0, |it| it.segments.len());
    let all = sounds(&at_once);
    published.attempt(&film, pieces.path(), order(), |so_far| sounds(so_far) == all);
    assert!(!published.made["audio"].complete, "cut off before its last word");
    let outcome = published.attempt(&film, pieces.path(), order(), |_| false).ok();
    assert_eq!(outcome.unlike, Vec::<String>::new());
    assert!(published.made.values().all(|made| made.complete));
}
