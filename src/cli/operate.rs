//! `slipway jobs`, `gc` and `audit`: what the API tells an admin, in a terminal.

use super::table::{bytes, lines, plain, span};
use super::{Failure, ask, load, unexpected};
use crate::config::Config;
use crate::config::flags::{JobsCommand, Settings};
use crate::control::{Reply, Request};
use crate::model::operation::Operation;
use serde_json::Value;

/// Has something done by the running server, or on the data directory where none runs.
pub(super) fn operate(config: &Config, operation: Operation) -> Result<Value, Failure> {
    match ask(config, Request::Operate { operation })? {
        Reply::Operated { value } => Ok(value),
        other => Err(unexpected(other)),
    }
}

pub(super) fn jobs(settings: &Settings, command: JobsCommand) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let word = |word: Option<String>| word.map_or(Value::Null, Value::String);
    let operation = match command {
        JobsCommand::List { state, limit, json } => {
            let state = serde_json::from_value(word(state)).map_err(Failure::usage)?;
            let page = operate(&config, Operation::Jobs { state, limit })?;
            let said = if json { vec![page.to_string()] } else { job_lines(&page["items"]) };
            said.iter().for_each(|line| println!("{line}"));
            return Ok(());
        }
        JobsCommand::Retry { id, stage } => {
            let stage = serde_json::from_value(word(stage)).map_err(Failure::usage)?;
            Operation::Retry { id, stage }
        }
        JobsCommand::Cancel { id } => Operation::Cancel { id },
        JobsCommand::Prioritise { id, priority } => Operation::Prioritise { id, priority },
        JobsCommand::Pause | JobsCommand::Resume => {
            let paused = matches!(command, JobsCommand::Pause);
            let queue = operate(&config, Operation::Pause { paused })?;
            let word = if paused { "paused" } else { "going on" };
            println!("{word}: {} wait, {} run", queue["queued"], queue["running"]);
            return Ok(());
        }
    };
    let job = operate(&config, operation)?;
    job_lines(&Value::Array(vec![job])).iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Returns a table of jobs.
pub(super) fn job_lines(jobs: &Value) -> Vec<String> {
    let rows: Vec<[String; 8]> = jobs.as_array().into_iter().flatten().map(job_row).collect();
    lines(["VIDEO", "STATE", "PRIO", "TRY", "STAGE", "DONE", "LEFT", "TITLE"], &rows)
}

fn job_row(job: &Value) -> [String; 8] {
    let share = job["progress"].as_f64().map(|share| format!("{:.0} %", share * 100.0));
    let title = match job["error"]["title"].as_str() {
        Some(error) => format!("{} ({error})", plain(text(job, "title"), 40)),
        None => plain(text(job, "title"), 60),
    };
    [
        text(job, "videoId").to_owned(),
        text(job, "state").to_owned(),
        job["priority"].to_string(),
        job["attempt"].to_string(),
        text(job, "stage").to_owned(),
        share.unwrap_or_default(),
        job["etaSeconds"].as_f64().map(span).unwrap_or_default(),
        title,
    ]
}

pub(super) fn gc(settings: &Settings, dry_run: bool, json: bool) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let report = operate(&config, Operation::Clean { dry_run })?;
    if json {
        println!("{report}");
        return Ok(());
    }
    let row = |finding: &Value| {
        let examples = finding["examples"].as_array().into_iter().flatten();
        let ids: Vec<&str> = examples.map(|example| text(example, "id")).take(2).collect();
        [
            text(finding, "kind").to_owned(),
            text(finding, "action").to_owned(),
            finding["count"].to_string(),
            bytes(finding["bytes"].as_u64().unwrap_or_default()),
            plain(&ids.join(" "), 80),
        ]
    };
    let findings = report["findings"].as_array().into_iter().flatten();
    let rows: Vec<[String; 5]> = findings.map(row).collect();
    if rows.is_empty() {
        println!("everything is in its place");
    } else {
        let heads = ["WHAT", "ACTION", "COUNT", "SIZE", "SUCH AS"];
        lines(heads, &rows).iter().for_each(|line| println!("{line}"));
    }
    let faults: Vec<&Value> = report["faults"].as_array().into_iter().flatten().collect();
    faults.iter().for_each(|fault| eprintln!("{}", fault.as_str().unwrap_or_default()));
    match faults.len() {
        0 => Ok(()),
        count => Err(Failure::other(format!("{count} things couldn't be put in their place"))),
    }
}

pub(super) fn audit(settings: &Settings, refresh: bool, json: bool) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let storage = operate(&config, Operation::Audit { refresh })?;
    if json {
        println!("{storage}");
        return Ok(());
    }
    let audit = &storage["audit"];
    if audit.is_null() {
        println!("the first audit is under way; ask again");
        return Ok(());
    }
    let weight = |it: &Value, name: &str| bytes(it[name]["bytes"].as_u64().unwrap_or_default());
    let row = |name: &str, it: &Value| {
        [
            plain(name, 40),
            bytes(it["bytes"].as_u64().unwrap_or_default()),
            weight(it, "originals"),
            weight(it, "renditions"),
            weight(it, "pictures"),
            weight(it, "uploads"),
            weight(it, "trash"),
        ]
    };
    let owners = audit["owners"].as_array().into_iter().flatten();
    let mut rows: Vec<[String; 7]> = owners.map(|it| row(text(it, "owner"), it)).collect();
    if audit["others"]["owners"].as_u64() > Some(0) {
        rows.push(row("(others)", &audit["others"]));
    }
    rows.push(row("(all)", &audit["total"]));
    let heads = ["OWNER", "ALL", "ORIGINALS", "RENDITIONS", "PICTURES", "UPLOADS", "TRASH"];
    lines(heads, &rows).iter().for_each(|line| println!("{line}"));
    let strange = [
        ("orphans", "files that nothing knows"),
        ("missingOriginals", "videos whose original is missing"),
        ("missingMedia", "videos whose media are missing"),
    ];
    for (name, words) in strange {
        println!("{}: {}, {}", words, audit[name]["count"], weight(audit, name));
    }
    println!("as of {}", text(audit, "finishedAt"));
    Ok(())
}
