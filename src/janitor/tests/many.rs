//! Many records: everything is looked at, page by page, and what is kept of it stays small.

use super::*;
use crate::model::upkeep::EXAMPLES_MAX;
use futures_util::future::try_join_all;

/// Some pages, and a part of one. `scripts/bench-janitor` does the same with 100,000.
const VIDEOS: usize = 4 * super::super::clean::PAGE + 100;

/// Records videos of which no file is there: ready ones, and each tenth one that waits for work.
async fn many(house: &House) -> usize {
    let upload = house.upload("one", b"abc", 3).await;
    let state = &house.janitor.state;
    let known = state.video(upload.video.expect("every upload has one")).expect("it reads");
    let known = known.expect("it is there");
    let now = house.clock.now();
    let made = (0..VIDEOS).map(|at| {
        let waits = at.is_multiple_of(10);
        let state_of = if waits { VideoState::Queued } else { VideoState::Ready };
        let id = VideoId::fresh(UnixMillis(now.0 + 1 + at as i64));
        state.adopt_video(
            VideoRecord { id, state: state_of, job: None, upload: None, ..known.clone() },
            None,
        )
    });
    try_join_all(made).await.expect("they are new");
    VIDEOS.div_ceil(10)
}

/// A cleaning and an audit come to the end of many records, count them all, and keep a few
/// examples; the rounds that look for stuck work begin anew behind the last page.
#[tokio::test]
async fn many_records_are_looked_at_page_by_page() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let house = House::open(dir.path());
    let janitor = &house.janitor;
    let waiting = many(&house).await;

    let audit = janitor.audit(true).await.audit.expect("it ends");
    assert!(audit.complete, "{audit:?}");
    assert_eq!(audit.missing_originals.count, VIDEOS as u64);
    assert_eq!(audit.missing_originals.examples.len(), 20);

    let report = janitor.clean(AskedBy::Admin, false).await.expect("it reads");
    let (failed, told) = (waiting as u64, (VIDEOS - waiting) as u64);
    let expected = [
        (Kind::MissingOriginal, Action::Failed, failed),
        (Kind::MissingOriginal, Action::Told, told),
    ];
    assert_eq!(counts(&report), expected);
    assert!(report.findings.iter().all(|it| it.examples.len() == EXAMPLES_MAX), "{report:?}");
    let again = janitor.clean(AskedBy::Admin, true).await.expect("it reads");
    assert_eq!(counts(&again), [(Kind::MissingOriginal, Action::Told, VIDEOS as u64)]);

    let mut seen = Vec::new();
    for _ in 0..5 {
        janitor.look_for_stuck_work(1).await.expect("it reads");
        seen.push(janitor.places().video);
    }
    assert!(seen[..4].is_sorted() && seen[..4].iter().all(Option::is_some), "{seen:?}");
    assert_eq!(seen[4], None, "behind the last page it begins anew");
    house.close().await;
}
