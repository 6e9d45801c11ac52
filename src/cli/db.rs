//! `slipway db …`: the records as lines of JSON.

use super::whole_file::WholeFile;
use super::{Failure, ask, become_owner, load, of_server, unexpected};
use crate::backup;
use crate::config::Config;
use crate::config::flags::{DbCommand, Settings};
use crate::control::{Reply, Request};
use crate::disk;
use crate::server;
use crate::state::Dump;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Runs a command; false if the check found something.
pub(super) fn run(settings: &Settings, command: DbCommand) -> Result<bool, Failure> {
    let config = load(settings)?.config;
    match command {
        DbCommand::Export { file } => export(&config, file.as_deref()).map(|()| true),
        DbCommand::Import { file, exact, replace } => {
            import(&config, &file, exact, replace).map(|()| true)
        }
        DbCommand::Check { file, json } => check(&config, file.as_deref(), json),
    }
}

/// Has the records written to the data directory's export, and copies that.
fn export(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let file = file.map(std::path::absolute).transpose().map_err(Failure::other)?;
    let (path, entries) = match ask(config, Request::Export)? {
        Reply::Exported { path, entries } => (path, entries),
        other => return Err(unexpected(other)),
    };
    let dump = backup::open_export(&path).map_err(Failure::other)?;
    let Some(file) = file else {
        return dump.write(&mut io::stdout().lock()).map_err(Failure::other);
    };
    let packs = file.extension().is_some_and(|extension| extension == "gz");
    write_file(&file, |to| match packs {
        true => io::copy(&mut File::open(&path)?, to).map(drop),
        false => {
            let mut to = io::BufWriter::new(to);
            dump.write(&mut to)?;
            to.flush()
        }
    })?;
    eprintln!("{entries} entries in {}", file.display());
    Ok(())
}

/// Writes a file for this user alone that is whole or isn't there. What isn't a file is written to.
fn write_file(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Failure> {
    let told = |cause: io::Error| Failure::other(format!("{}: {cause}", path.display()));
    if fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
        let opened = fs::OpenOptions::new().write(true).open(path);
        return opened.and_then(|mut file| fill(&mut file)).map_err(told);
    }
    let mut file = WholeFile::create(path, true)?;
    fill(file.file()).and_then(|()| file.finish()).map_err(told)
}

fn import(config: &Config, file: &Path, exact: bool, replace: bool) -> Result<(), Failure> {
    let dump = backup::open_export(file).map_err(Failure::other)?;
    refuse_misfits(&dump)?;
    become_owner(config)?;
    let directory = disk::state_dir_of(&config.data_dir);
    if directory.exists() && !replace {
        let path = directory.display();
        return Err(Failure::usage(format!(
            "{path}: there is a database; --replace moves it aside"
        )));
    }
    let entries = dump.len();
    let aside = server::import(config, dump, exact).map_err(of_server)?;
    if let Some(aside) = aside {
        eprintln!("the database that was there is in {}", aside.display());
    }
    match exact {
        true => eprintln!("{entries} entries are in place"),
        false => eprintln!(
            "{entries} entries were read; what may be out of date is made anew from the files at \
             the next start"
        ),
    }
    Ok(())
}

/// Doesn't make a database of records that contradict each other.
fn refuse_misfits(dump: &Dump) -> Result<(), Failure> {
    match dump.check().as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::other(format!("the export isn't sound: {first}"))),
    }
}

fn check(config: &Config, file: Option<&Path>, json: bool) -> Result<bool, Failure> {
    let (entries, findings) = match file {
        Some(file) => {
            let dump = backup::open_export(file).map_err(Failure::other)?;
            (dump.len(), dump.check())
        }
        None => match ask(config, Request::Check)? {
            Reply::Checked { entries, findings } => (entries, findings),
            other => return Err(unexpected(other)),
        },
    };
    if json {
        println!("{}", serde_json::json!({ "entries": entries, "findings": findings }));
    } else {
        findings.iter().for_each(|finding| println!("{finding}"));
        println!("{entries} entries, {} findings", findings.len());
    }
    Ok(findings.is_empty())
}
