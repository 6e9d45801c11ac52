//! `slipway status`: how the server does, once or again and again.

use super::operate::{job_lines, operate};
use super::table::{COLUMNS, bytes, plain, span, wrapped};
use super::{Failure, load};
use crate::config::flags::Settings;
use crate::model::operation::Operation;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Jobs that are shown.
const JOBS_SHOWN: usize = 12;
/// Columns of a bar.
const BAR: usize = 24;

pub(super) fn run(settings: &Settings, watch: bool, json: bool) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let mut out = std::io::stdout().lock();
    let draws = watch && !json && out.is_terminal();
    if draws {
        write!(out, "\x1b[2J").map_err(Failure::other)?;
    }
    loop {
        let status = operate(&config, Operation::Status)?;
        let lines = if json { vec![status.to_string()] } else { lines_of(&status) };
        let text = match draws {
            // Each line is written over the old one: nothing flickers.
            true => {
                let lines: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
                format!("\x1b[H{lines}\x1b[J")
            }
            false => lines.iter().map(|line| format!("{line}\n")).collect(),
        };
        // Whoever reads may go, such as `head`.
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() || !watch {
            return Ok(());
        }
        std::thread::sleep(EVERY);
    }
}

/// Puts the state into lines.
fn lines_of(status: &Value) -> Vec<String> {
    let (queue, disk, uploads) = (&status["queue"], &status["disk"], &status["uploads"]);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let mut lines = vec![
        format!(
            "slipway {}, up {}",
            status["version"].as_str().unwrap_or_default(),
            span(status["uptimeSeconds"].as_f64().unwrap_or_default())
        ),
        format!(
            "queue    {}{} wait, {} run of {} workers, {} failed",
            if queue["paused"] == true { "PAUSED, " } else { "" },
            number(&queue["queued"]),
            number(&queue["running"]),
            number(&queue["workers"]),
            number(&queue["failed"])
        ),
        format!(
            "         {} done in the last hour{}",
            number(&queue["doneLastHour"]),
            queue["etaSeconds"]
                .as_f64()
                .filter(|seconds| *seconds > 0.0)
                .map(|seconds| format!(", empty in {}", span(seconds)))
                .unwrap_or_default()
        ),
        format!(
            "uploads  {} under way, {} of them here",
            number(&uploads["open"]),
            bytes(number(&uploads["receivingBytes"]))
        ),
    ];
    lines.extend(disk_lines(disk));
    lines.extend(rule_lines(&status["retention"]));
    for warning in status["warnings"].as_array().into_iter().flatten() {
        let detail = warning["detail"].as_str().unwrap_or_default();
        for (at, line) in wrapped(detail, 9).into_iter().enumerate() {
            lines.push(format!("{}  {line}", if at == 0 { "WARNING" } else { "       " }));
        }
    }
    let all = status["jobs"].as_array().into_iter().flatten();
    let state = |state: &'static str| move |job: &&Value| job["state"] == state;
    let running: Vec<&Value> = all.clone().filter(state("running")).take(JOBS_SHOWN).collect();
    if !running.is_empty() {
        lines.push(String::new());
        lines.extend(running.into_iter().flat_map(running_lines));
    }
    let rest: Vec<Value> =
        all.filter(|job| job["state"] != "running").take(JOBS_SHOWN).cloned().collect();
    if !rest.is_empty() {
        lines.push(String::new());
        lines.extend(job_lines(&Value::Array(rest)));
    }
    lines
}

fn disk_lines(disk: &Value) -> [String; 2] {
    let number = |name: &str| disk[name].as_u64().unwrap_or_default();
    let (free, total) = (number("freeBytes"), number("totalBytes"));
    let used = if total > 0 { 1.0 - free as f64 / total as f64 } else { 0.0 };
    let (kept, here) = (bytes(number("reserveBytes")), bytes(number("usedBytes")));
    [
        format!("disk     [{}] {} free of {}", bar(used), bytes(free), bytes(total)),
        format!("         {kept} in reserve, {here} in use here"),
    ]
}

/// Says what goes by itself, if anything does.
fn rule_lines(rules: &Value) -> Vec<String> {
    let rule = |name: &str, what: &str| {
        let seconds = rules[name].as_f64()?;
        let behind = if seconds > 0.0 { format!(" {}", span(seconds)) } else { String::new() };
        Some(format!("{what}{behind}"))
    };
    let said: Vec<_> = [
        rule("originalsSeconds", "originals once ready"),
        rule("readySeconds", "ready videos after"),
        rule("failedSeconds", "failed ones after"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut lines = Vec::new();
    if !said.is_empty() {
        lines.push(format!("goes     {}", said.join(", ")));
    }
    if let Some(until) = rules["heldUntil"].as_str() {
        lines.push(format!("         nothing before {until}: the clock has jumped"));
    }
    lines
}

fn running_lines(job: &Value) -> [String; 2] {
    let share = job["progress"].as_f64().unwrap_or_default();
    let stage = job["stage"].as_str().unwrap_or_default();
    let mut line = format!("[{}] {:>3.0} %  {stage:<11}", bar(share), share * 100.0);
    if let Some(speed) = job["speed"].as_f64().filter(|speed| *speed > 0.0) {
        line.push_str(&format!("  {speed:.1}x"));
    }
    if let Some(left) = job["etaSeconds"].as_f64() {
        line.push_str(&format!("  {} left", span(left)));
    }
    let title = plain(job["title"].as_str().unwrap_or_default(), COLUMNS - 4);
    [line.trim_end().to_owned(), format!("    {title}")]
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("{}{}", "#".repeat(full), ".".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Everything that an operator looks for has its line, and titles stay text.
    #[test]
    fn the_state_in_lines() {
        let job = |state: &str| {
            json!({ "videoId": "v", "title": "Sea\u{1b}[2J", "state": state, "priority": 5,
                "attempt": 1, "stage": "renditions", "progress": 0.5, "etaSeconds": 61.0 })
        };
        let status = json!({
            "version": "1", "uptimeSeconds": 5.0,
            "queue": { "queued": 3, "running": 1, "workers": 2, "paused": true },
            "uploads": { "open": 1, "receivingBytes": 1_048_576 },
            "disk": { "freeBytes": 50, "totalBytes": 100 },
            "warnings": [{ "code": "x", "detail": "Look." }],
            "jobs": [job("running"), job("queued")],
        });
        let text = lines_of(&status).join("\n");
        let said = ["PAUSED, 3 wait, 1 run of 2", "1 under way, 1.0 MiB", "WARNING  Look."];
        for said in said.into_iter().chain(["[############............]  50 %", "1 min 01 s left"])
        {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(text.contains("Sea?[2J") && !text.contains('\u{1b}'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    }
}
