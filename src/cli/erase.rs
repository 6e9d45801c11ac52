//! `slipway user erase`: everything that is kept of somebody goes.

use super::table::bytes;
use super::{Failure, become_owner, of_server};
use crate::config::Config;
use crate::model::whose::Whose;
use crate::rights::{Erasure, Step};
use crate::server;
use crate::state::RecordCount;
use serde_json::{Value, json};

pub(super) fn run(
    config: &Config,
    owner: &str,
    dry_run: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let whose = whose(owner)?;
    become_owner(config)?;
    let mut told = String::new();
    let erased = server::erase(config, &whose, dry_run, &mut |erasure| {
        let line = progress(erasure);
        if !erasure.is_over && line != told {
            eprintln!("{line}");
            told = line;
        }
    });
    let (erasure, is_forgotten) = erased.map_err(of_server)?;
    if as_json {
        let mut value = serde_json::to_value(&erasure).map_err(Failure::other)?;
        if let Value::Object(fields) = &mut value {
            for told_otherwise in ["step", "isOver", "problem"] {
                fields.remove(told_otherwise);
            }
            fields.insert("owner".to_owned(), json!(owner));
            fields.insert("databaseForgets".to_owned(), forgets(dry_run, is_forgotten));
        }
        println!("{value}");
        return Ok(());
    }
    lines(&erasure).iter().for_each(|line| println!("{line}"));
    match (dry_run, is_forgotten) {
        (true, _) => println!("nothing was changed"),
        (false, true) => println!("the database was made anew without them"),
        (false, false) => println!(
            "what the database's files still hold of their records goes with the server's next \
             start: restart it"
        ),
    }
    Ok(())
}

/// Reads who is meant.
pub(super) fn whose(owner: &str) -> Result<Whose, Failure> {
    Whose::parse(owner).map_err(|cause| {
        Failure::usage(format!("{cause}; everybody of an organisation is `organisation/`"))
    })
}

/// Says when the database's own files hold nothing of theirs any more.
fn forgets(dry_run: bool, is_forgotten: bool) -> Value {
    match (dry_run, is_forgotten) {
        (true, _) => Value::Null,
        (false, true) => json!("now"),
        (false, false) => json!("at-next-start"),
    }
}

fn progress(erasure: &Erasure) -> String {
    let what = match erasure.step {
        Step::Searching => "looking for what is theirs",
        Step::Uploads => "ending uploads",
        Step::Records => "removing records",
        Step::Files => "removing files",
        Step::AuditLog => "taking names out of the audit log",
        Step::Copies => "writing the export of the records anew",
        Step::Done => "done",
    };
    format!("{what}: {} files, {} so far", erasure.files, bytes(erasure.bytes))
}

/// Lists what there was.
fn lines(erasure: &Erasure) -> Vec<String> {
    let more = [
        (erasure.audit_entries, "entries of the audit log, under another name now"),
        (erasure.databases_aside, "databases that were set aside"),
    ];
    let mut said = counted(&erasure.records, &more);
    said.push(format!("{:>9}  files, {}", erasure.files, bytes(erasure.bytes)));
    if !erasure.pseudonym.is_empty() {
        said.push(format!("they are {} in the audit log", erasure.pseudonym));
    }
    said
}

/// Lists records and `more`, a line for each kind of which there is something.
pub(super) fn counted(records: &RecordCount, more: &[(u64, &str)]) -> Vec<String> {
    let counts = [
        (records.videos, "videos"),
        (records.trashed, "videos in the trash"),
        (records.uploads, "uploads"),
        (records.jobs, "jobs"),
        (records.tokens, "access tokens"),
        (records.accounts, "accounts"),
        (records.sessions, "sessions and login links"),
        (records.grants, "upload grants"),
        (records.deliveries, "webhook deliveries"),
        (records.mentions, "records of others that named something of theirs"),
    ];
    let some = counts.iter().chain(more).filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count:>9}  {what}")).collect()
}
