//! Films that several children make at once, and nobody can tell by the result.

use super::resume::{Published, check_same};
use super::*;
use crate::wire::SpanOrder;

/// Two small rungs, made by up to three children at once.
fn shared() -> Order {
    let mut order = order();
    order.encode.segment_seconds = 4;
    order.encode.preset = "veryfast".to_owned();
    order.encode.ladder_heights = Some(vec![120, 90]);
    order.spans = 3;
    order
}

/// Has the first child do its part, into `pieces`, and returns the spans that it leaves to others.
fn begin(published: &mut Published, film: &Path, pieces: &Path, order: &Order) -> Vec<Span> {
    let first = published.attempt(film, pieces, order.clone(), |_| false).ok();
    for plan in &first.plan {
        let is_left = plan.kind == RenditionKind::Video && !plan.copied;
        let is_made = published.made.get(&plan.name).is_some_and(|made| made.complete);
        assert_ne!(is_left && !first.spans.is_empty(), is_made, "{}", plan.name);
    }
    first.spans
}

/// Returns what orders one span, of a film that was made as far as `published` says.
fn order_of(published: &Published, order: &Order, span: &Span, film: &Path) -> Order {
    let probed =
        run_until(film, out_dir().path(), &mut order.clone(), |so_far| !so_far.plan.is_empty());
    let plan = published.plan().to_vec();
    let part = SpanOrder { span: span.clone(), plan, duration: probed.facts.duration };
    Order { span: Some(part), ..order.clone() }
}

/// Makes a film in spans and at once, and compares.
fn check(film: &str, order: &Order, expect: usize) -> (tempfile::TempDir, tempfile::TempDir) {
    let film = films().join(film);
    let (whole, pieces) = (out_dir(), out_dir());
    let at_once = run_on(&film, whole.path(), Order { spans: 1, ..order.clone() }).ok();
    assert!(at_once.spans.is_empty(), "one child isn't helped");
    let mut published = Published::default();
    let spans = begin(&mut published, &film, pieces.path(), order);
    assert_eq!(spans.len(), expect, "{spans:?}");
    for span in &spans {
        let part = order_of(&published, order, span, &film);
        let before = published.made.get("90p").map_or(0, |made| made.segments.len());
        assert_eq!(before, span.after as usize);
        let outcome = published.attempt(&film, pieces.path(), part, |_| false).ok();
        let is_last = span.until.is_none();
        assert_eq!(published.made["90p"].complete, is_last);
        assert!(outcome.plan.is_empty() && outcome.extras.is_empty(), "nothing is made twice");
        let is_encoded = |it: &&RenditionPlan| it.kind == RenditionKind::Video && !it.copied;
        let rungs = published.plan().iter().filter(is_encoded).count();
        assert_eq!(outcome.ended.len(), if is_last { 0 } else { rungs });
    }
    check_same((whole.path(), &at_once), (pieces.path(), &published));
    (whole, pieces)
}

/// Encoded films have no seam: as many segments, cut at the same pictures, each shown at the same
/// time, with the same sound.
#[test]
fn spans_have_no_seam() {
    check("spans.mp4", &shared(), 3);
    check("spans.mkv", &shared(), 3);
}

/// Rungs beside a copy are cut where it is, by whichever child.
#[test]
fn spans_go_along_a_copy() {
    let mut order = shared();
    order.encode.ladder_heights = Some(vec![240, 90]);
    check("spans-near.mp4", &order, 3);
}

/// Returns how like the film's each picture of a rung is, 1 at most, in the order of showing.
fn likeness(film: &Path, rung: &Path) -> Vec<f64> {
    let graph = "[1:v][0:v]scale2ref[b][a];[a]settb=1/90000,setpts=N[c];\
                 [b]settb=1/90000,setpts=N[d];[c][d]ssim=stats_file=-";
    let shown = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(rung)
        .arg("-i")
        .arg(film)
        .args(["-lavfi", graph, "-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let lines = String::from_utf8_lossy(&shown.stdout).into_owned();
    let all = lines.lines().filter_map(|line| line.split("All:").nth(1)?.split(' ').next());
    all.map(|it| it.parse().expect("a number")).collect()
}

/// Nobody sees a seam: picture by picture, a film in spans is as like its source as one that was
/// made at once, near a seam as anywhere, and as large.
#[test]
fn spans_are_as_good() {
    let film = films().join("spans.mp4");
    let (whole, pieces) = check("spans.mp4", &shared(), 3);
    let rung = |dir: &tempfile::TempDir| dir.path().join("120p/joined.mp4");
    let [one, many] = [&whole, &pieces].map(|dir| likeness(&film, &rung(dir)));
    assert!(one.len() == many.len() && one.len() > 2700, "{} {}", one.len(), many.len());
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    for seam in [32.0, 64.0] {
        let at = (seam * 30_000.0 / 1001.0) as usize;
        for near in [at - 30..at, at..at + 30] {
            let (one, many) = (mean(&one[near.clone()]), mean(&many[near]));
            assert!(many > one - 0.01, "{many} for {one} near {seam} s");
        }
    }
    assert!(mean(&many) > mean(&one) - 0.002 && mean(&one) > 0.9);
    let bytes = |dir| fs::metadata(rung(dir)).expect("joined").len() as f64;
    let ratio = bytes(&pieces) / bytes(&whole);
    assert!((0.97..1.03).contains(&ratio), "{ratio}");
}
