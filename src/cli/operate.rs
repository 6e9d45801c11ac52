//! `slipway jobs`, `gc` and `audit`: what the API tells an admin, in a terminal.

use super::table::{COLUMNS, bytes, lines, plain, span};
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

/// Returns a table of jobs. Ids are wanted whole, so that titles have lines of their own.
pub(super) fn job_lines(jobs: &Value) -> Vec<String> {
    let jobs: Vec<&Value> = jobs.as_array().into_iter().flatten().collect();
    let rows: Vec<[String; 6]> = jobs.iter().map(|job| job_row(job)).collect();
    let mut table = lines(["VIDEO", "STATE", "PRIO", "TRY", "STAGE", "DONE"], &rows).into_iter();
    let mut said: Vec<String> = table.next().into_iter().collect();
    for (row, job) in table.zip(jobs) {
        said.extend([row, title_line(job)]);
    }
    said
}

fn job_row(job: &Value) -> [String; 6] {
    let share = job["progress"].as_f64().map(|share| format!("{:.0} %", share * 100.0));
    [
        text(job, "videoId").to_owned(),
        text(job, "state").to_owned(),
        job["priority"].to_string(),
        job["attempt"].to_string(),
        text(job, "stage").to_owned(),
        share.unwrap_or_default(),
    ]
}

/// Says which film a job is about, how long it still takes, and what is wrong.
fn title_line(job: &Value) -> String {
    let mut line = format!("    {}", plain(text(job, "title"), 40));
    if let Some(seconds) = job["etaSeconds"].as_f64() {
        line.push_str(&format!(", {} left", span(seconds)));
    }
    if let Some(error) = job["error"]["title"].as_str() {
        line.push_str(&format!(": {error}"));
    }
    plain(&line, COLUMNS)
}

pub(super) fn gc(settings: &Settings, dry_run: bool, json: bool) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let report = operate(&config, Operation::Clean { dry_run })?;
    if json {
        println!("{report}");
        return Ok(());
    }
    let findings: Vec<&Value> = report["findings"].as_array().into_iter().flatten().collect();
    if findings.is_empty() {
        println!("everything is in its place");
    } else {
        finding_lines(&findings).iter().for_each(|line| println!("{line}"));
    }
    let faults: Vec<&Value> = report["faults"].as_array().into_iter().flatten().collect();
    faults.iter().for_each(|fault| eprintln!("{}", fault.as_str().unwrap_or_default()));
    match faults.len() {
        0 => Ok(()),
        count => Err(Failure::other(format!("{count} things couldn't be put in their place"))),
    }
}

/// Returns a table of what was found, with a few examples below each.
fn finding_lines(findings: &[&Value]) -> Vec<String> {
    const EXAMPLES: usize = 3;
    let row = |finding: &&Value| {
        [
            text(finding, "kind").to_owned(),
            text(finding, "action").to_owned(),
            finding["count"].to_string(),
            bytes(finding["bytes"].as_u64().unwrap_or_default()),
        ]
    };
    let rows: Vec<[String; 4]> = findings.iter().map(row).collect();
    let mut table = lines(["WHAT", "ACTION", "COUNT", "SIZE"], &rows).into_iter();
    let mut said: Vec<String> = table.next().into_iter().collect();
    for (row, finding) in table.zip(findings) {
        said.push(row);
        for example in finding["examples"].as_array().into_iter().flatten().take(EXAMPLES) {
            let line = format!("    {}  {}", text(example, "id"), text(example, "detail"));
            said.push(plain(line.trim_end(), COLUMNS));
        }
    }
    said
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
    /// What is left of a line beside six sizes.
    const OWNER: usize = 17;
    let weight = |it: &Value, name: &str| bytes(it[name]["bytes"].as_u64().unwrap_or_default());
    let row = |name: &str, it: &Value| {
        let is_long = name.chars().count() > OWNER;
        let cell = if is_long { String::new() } else { plain(name, OWNER) };
        let weights = ["originals", "renditions", "pictures", "uploads", "trash"];
        let [a, b, c, d, e] = weights.map(|kind| weight(it, kind));
        let all = bytes(it["bytes"].as_u64().unwrap_or_default());
        (is_long.then(|| plain(name, COLUMNS)), [cell, all, a, b, c, d, e])
    };
    let owners = audit["owners"].as_array().into_iter().flatten();
    let mut rows: Vec<_> = owners.map(|it| row(text(it, "owner"), it)).collect();
    if audit["others"]["owners"].as_u64() > Some(0) {
        rows.push(row("(others)", &audit["others"]));
    }
    rows.push(row("(all)", &audit["total"]));
    let (names, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let heads = ["OWNER", "ALL", "ORIGINALS", "RENDITIONS", "PICTURES", "UPLOADS", "TRASH"];
    // A long name, such as a token's id, has a line of its own before its row.
    for (name, line) in std::iter::once(None).chain(names).zip(lines(heads, &rows)) {
        name.into_iter().chain([line]).for_each(|line| println!("{line}"));
    }
    let strange = [
        ("orphans", "files that nothing knows"),
        ("missingOriginals", "videos whose original is missing"),
        ("unreadableOriginals", "videos whose original can't be read"),
        ("missingMedia", "videos whose media are missing"),
    ];
    for (name, words) in strange {
        println!("{}: {}, {}", words, audit[name]["count"], weight(audit, name));
    }
    println!("as of {}", text(audit, "finishedAt"));
    Ok(())
}
