//! Waiting until the videos that were sent can be played. One thread asks for all of them.

use super::Run;
use super::client::Problem;
use super::report::{FileError, Reported, State};
use super::retry::Stop;
use indicatif::ProgressBar;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

/// As many videos one request asks for.
const BATCH: usize = 200;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Most bars; the rest waits without one.
const BARS_MAX: usize = 8;

struct Pending {
    path: PathBuf,
    sent: Reported,
    bar: Option<ProgressBar>,
}

/// Tells of each video that comes in when it can be played or never will.
pub(super) fn watch(run: &Run, sent: Receiver<(PathBuf, Reported)>) {
    let mut pending: Vec<Pending> = Vec::new();
    let mut is_open = true;
    while is_open || !pending.is_empty() {
        is_open = take(&sent, &mut pending);
        let bars = pending.iter().filter(|it| it.bar.is_some()).count();
        let bare = pending.iter_mut().filter(|it| it.bar.is_none());
        bare.take(BARS_MAX.saturating_sub(bars))
            .for_each(|it| it.bar = Some(run.screen.work(&it.path)));
        let mut left = Vec::new();
        while !pending.is_empty() {
            let batch = pending.drain(..BATCH.min(pending.len())).collect();
            left.extend(look(run, batch));
        }
        pending = left;
        if !pending.is_empty() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Takes what was sent meanwhile, waiting for it if there is nothing else; says whether more may
/// come.
fn take(sent: &Receiver<(PathBuf, Reported)>, pending: &mut Vec<Pending>) -> bool {
    if pending.is_empty() {
        match sent.recv() {
            Ok((path, sent)) => pending.push(Pending { path, sent, bar: None }),
            Err(_) => return false,
        }
    }
    loop {
        match sent.try_recv() {
            Ok((path, sent)) => pending.push(Pending { path, sent, bar: None }),
            Err(end) => return end == TryRecvError::Empty,
        }
    }
}

/// Asks for some videos; returns those to be asked for again.
fn look(run: &Run, batch: Vec<Pending>) -> Vec<Pending> {
    let ids: Vec<&str> = batch.iter().map(|it| it.sent.video.as_str()).collect();
    let path = format!("/api/videos/status?videoIds={}", ids.join(","));
    // What one file runs into doesn't end the wait for the others.
    let said = run.client.ask(&Stop::default(), "GET", &path, None);
    let mut left = Vec::new();
    for mut it in batch {
        let outcome = match &said {
            Err(cause) => Some(Err(FileError::Call(cause.clone()))),
            Ok(said) => {
                let mut items = said["items"].as_array().into_iter().flatten();
                let item = items.find(|item| item["videoId"] == it.sent.video.as_str());
                settled(&mut it, item)
            }
        };
        let Some(outcome) = outcome else {
            left.push(it);
            continue;
        };
        if let Some(bar) = &it.bar {
            run.screen.remove(bar);
        }
        let outcome = outcome.map(|()| Reported { state: State::Playable, ..it.sent });
        run.tell(&it.path, &outcome);
    }
    left
}

/// Returns how it ended, if it did; else shows how far it is.
fn settled(it: &mut Pending, item: Option<&Value>) -> Option<Result<(), FileError>> {
    let Some(item) = item else {
        return Some(Err(FileError::Lost));
    };
    let state = item["state"].as_str().unwrap_or_default();
    if item["playable"] == true || state == "ready" {
        return Some(Ok(()));
    }
    if state == "failed" {
        let problem: Problem = serde_json::from_value(item["error"].clone()).unwrap_or_default();
        return Some(Err(FileError::Video { video: it.sent.video.clone(), problem }));
    }
    if let Some(bar) = &it.bar {
        let name = it.path.file_name().unwrap_or_default();
        let name = super::shown(std::path::Path::new(name));
        bar.set_message(format!("{name}: {}", doing(item, state)));
        bar.set_position((item["progress"].as_f64().unwrap_or(0.0) * 1000.0) as u64);
    }
    None
}

fn doing(item: &Value, state: &str) -> String {
    let mut stages = item["stages"].as_array().into_iter().flatten();
    let running = stages.find(|stage| stage["state"] == "running");
    match (running.and_then(|stage| stage["name"].as_str()), item["queuePosition"].as_u64()) {
        (Some(stage), _) => format!("{state}, {stage}"),
        (None, Some(position)) => format!("{state}, number {position}"),
        _ => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is being done is told by its stage, or by the place in the queue.
    #[test]
    fn what_is_being_done() {
        let stages = json!([{"name": "probe", "state": "done"},
            {"name": "renditions", "state": "running"}]);
        assert_eq!(doing(&json!({"stages": stages}), "processing"), "processing, renditions");
        assert_eq!(doing(&json!({"queuePosition": 3}), "queued"), "queued, number 3");
        assert_eq!(doing(&json!({}), "queued"), "queued");
    }
}
