//! What Prometheus would read.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Everything that can be measured, measured once.
fn everything() -> String {
    let recorder = builder().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        upload_stored(Protocol::Tus, 5);
        upload_finished(Protocol::Chunks, 3 << 30, 61_000);
        upload_lost(Protocol::Form, Outcome::Expired);
        let breaks = [Break::Cut, Break::Idle, Break::TakenOver, Break::Checksum];
        breaks.into_iter().for_each(|why| upload_broke(Protocol::Draft, why));
        let ends =
            [Attempt::Done, Attempt::Again, Attempt::Failed, Attempt::Dropped, Attempt::PutBack];
        ends.into_iter().for_each(|attempt| job_ended(Line::Films, attempt));
        hook_asked(Moment::Create, HookOutcome::Allowed, Duration::from_millis(20));
        job_error(ProblemCode::OutOfSpace);
        job_took(Line::Small, 0.5);
        stage_took(Stage::Renditions, 12.0);
        encoded("h264", 1080, 2.5);
        encoded("something \"new\"\n", 9000, 0.5);
        child_memory(300 << 20);
        synced(Synced::Upload, Duration::from_millis(4));
        synced(Synced::Database, Duration::from_millis(9));
        answered("/api/videos/{id}", "GET", 200, Duration::from_millis(2));
        answered("none", "BREW", 418, Duration::from_millis(2));
        Now { waiting: [3, 2, 1], running: vec![(Stage::Probe, 2)], ..Now::default() }.set();
    });
    handle.render()
}

/// A sample: the metric's name, its labels as they stand, its value.
fn sample(line: &str) -> (&str, &str, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("closed")),
        None => (series, ""),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(!name.is_empty() && name.chars().all(is_name), "{line}");
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (key, value) = label.split_once('=').expect("a label");
        assert!(key.chars().all(is_name), "{line}");
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        assert!(value.is_some_and(|value| !value.contains(['"', '\n'])), "{line}");
    }
    (name, labels, value.parse().expect("a number"))
}

/// The text has each metric of the table, described and of its kind, and no other.
#[test]
fn the_text_is_prometheus() {
    let text = everything();
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    let mut sampled = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped.insert(help.split_once(' ').expect("a sentence").0.to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(typed.insert(name.to_owned(), kind.to_owned()), None, "{name} twice");
        } else {
            let (name, _, value) = sample(line);
            assert!(value.is_finite() && value >= 0.0, "{line}");
            let of_histogram = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end).filter(|base| typed.contains_key(*base)));
            sampled.insert(of_histogram.unwrap_or(name).to_owned());
        }
    }
    let all: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(sampled, all);
    assert_eq!(helped, all);
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(typed[metric.name], kind, "{}", metric.name);
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter);
    }
}

/// Buckets count upwards to all samples, and words from outside don't become labels.
#[test]
fn samples_fall_into_buckets() {
    let text = everything();
    let of = |start: &str| -> Vec<f64> {
        text.lines().filter(|line| line.starts_with(start)).map(|line| sample(line).2).collect()
    };
    let sizes = of("slipway_upload_size_bytes_bucket{door=\"chunks\"");
    assert_eq!(sizes, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "{text}");
    assert_eq!(of("slipway_upload_size_bytes_count"), [1.0]);
    assert!(text.contains("codec=\"other\",rung=\"4320p\"") && !text.contains("new"), "{text}");
    assert!(text.contains("method=\"other\"") && !text.contains("BREW"));
    assert_eq!(of("slipway_jobs_waiting{line=\"films\"}"), [3.0]);
    assert_eq!(of("slipway_uploads_total{door=\"tus\",outcome=\"finished\"}"), [0.0]);
}

/// Figures add up until they are taken.
#[test]
fn figures_are_taken_once() {
    // Others of this process may count meanwhile; only what is certain is compared.
    figure(Figures { film_seconds: 1e6, ..Figures::default() });
    figure(Figures { film_seconds: 1e6, ..Figures::default() });
    assert!(take_figures().film_seconds >= 2e6);
    assert!(take_figures().film_seconds < 1e6);
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c)).filter(|word| word.starts_with("slipway_"));
    let base = |word: &str| {
        let histogram = |base: &&str| {
            ALL.iter().any(|it| it.name == *base && matches!(it.kind, Kind::Histogram(_)))
        };
        let ends = ["_bucket", "_sum", "_count"].iter();
        ends.filter_map(|end| word.strip_suffix(end)).find(histogram).unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

/// What the documents name exists, and the table has all there is.
#[test]
fn documents_name_what_exists() {
    let all: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(named(include_str!("../../../docs/OPERATIONS.md")), all);
    for (what, text) in [
        ("dashboard", include_str!("../../../docs/grafana-dashboard.json")),
        ("alerts", include_str!("../../../docs/alerts.yml")),
    ] {
        let named = named(text);
        assert!(named.len() > 5 && named.is_subset(&all), "{what}: {:?}", named.difference(&all));
    }
    let dashboard = include_str!("../../../docs/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.iter().filter(|panel| panel["targets"].is_array()).count() > 15);
}
