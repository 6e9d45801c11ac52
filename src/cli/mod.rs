//! The command line: subcommands, what they print, and exit codes.
//!
//! Exit codes: 0 done; 2 wrong usage, wrong configuration, or a data directory that another
//! server holds; 1 anything else. A failure is one line on standard error.

mod audit_log;
mod backup;
mod db;
mod doctor;
mod erase;
mod export;
mod ingest;
mod keys;
mod operate;
mod originals;
mod process;
mod status;
mod table;
mod token;
mod user;
mod whole_file;

use crate::clock::Clock;
use crate::config::flags::{Command, Flags, Settings};
use crate::config::{self, Loaded};
use crate::control::{Reply, Request};
use crate::model::keep::KeepOriginals;
use crate::{http, server, worker};
use clap::Parser;
use std::process::ExitCode;

/// A command that didn't work.
#[derive(Debug)]
struct Failure {
    /// 1 or 2, as the module's description says.
    exit_code: u8,
    /// One line: cause and mend.
    line: String,
}

impl Failure {
    fn usage(line: impl std::fmt::Display) -> Self {
        Self { exit_code: 2, line: line.to_string() }
    }

    fn other(line: impl std::fmt::Display) -> Self {
        Self { exit_code: 1, line: line.to_string() }
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let flags = Flags::parse();
    let settings = flags.settings;
    if !matches!(flags.command, Some(Command::Worker { .. })) {
        process::keep_secrets();
    }
    let done = match flags.command.unwrap_or(Command::Serve) {
        Command::Worker { probe: false } => return worker::child_main(),
        Command::Worker { probe: true } => return worker::probe_main(),
        Command::Serve => serve(&settings),
        Command::CheckConfig { keys } => check_config(&settings, keys),
        Command::Doctor { rebuild: true, .. } => doctor::rebuild(&settings),
        Command::Jobs(command) => operate::jobs(&settings, command),
        Command::Status { watch, json } => status::run(&settings, watch, json),
        Command::Gc { dry_run, json } => operate::gc(&settings, dry_run, json),
        Command::Audit { refresh, json } => operate::audit(&settings, refresh, json),
        Command::AuditLog { since, actor, action, json } => {
            audit_log::run(&settings, since, actor, action, json)
        }
        Command::Backup { target, keep, json } => backup::take(&settings, &target, keep, json),
        Command::Restore { from, json } => backup::restore(&settings, &from, json),
        Command::Originals(command) => originals::run(&settings, command),
        Command::Db(command) => match db::run(&settings, command) {
            // Each thing that doesn't fit has had its line.
            Ok(false) => return ExitCode::from(1),
            done => done.map(drop),
        },
        Command::Doctor { json, .. } => match doctor::run(&settings, json) {
            // Each thing that is wrong has had its line.
            Ok(false) => return ExitCode::from(1),
            done => done.map(drop),
        },
        Command::LoginLink => login_link(&settings),
        Command::Token(command) => token::run(&settings, command),
        Command::User(command) => match user::run(&settings, command) {
            // Each thing that an archive lacks has had its line.
            Ok(false) => return ExitCode::from(1),
            done => done.map(drop),
        },
        Command::Keys(command) => keys::keys(&settings, command),
        Command::Playback(command) => keys::playback(&settings, command),
        Command::Ingest(said) => match ingest::run(&settings, said) {
            // Each file that didn't work has had its line.
            Ok(false) => return ExitCode::from(1),
            done => done.map(drop),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("slipway: {}", failure.line);
            ExitCode::from(failure.exit_code)
        }
    }
}

fn load(settings: &Settings) -> Result<Loaded, Failure> {
    let overrides = settings.overrides().map_err(Failure::usage)?;
    config::load(settings.config.as_deref(), std::env::vars(), &overrides).map_err(Failure::usage)
}

fn serve(settings: &Settings) -> Result<(), Failure> {
    let loaded = load(settings)?;
    process::as_a_server();
    server::run(loaded.config).map_err(of_server)
}

fn check_config(settings: &Settings, keys: bool) -> Result<(), Failure> {
    let loaded = load(settings)?;
    if keys {
        print!("{}", config::keys::reference());
        return Ok(());
    }
    let config = &loaded.config;
    if let Some(name) = &config.lacking_credential {
        eprintln!("The credential `{name}` isn't there in this shell; a server needs it.");
    }
    // Read here as the server would, so that a mistake shows before it is started. What systemd
    // hands to the server alone can't be.
    if !config.lacks(config.originals.key_file.as_deref()) {
        config.originals.keys().map_err(Failure::usage)?;
    }
    if !config.lacks_pair() {
        let pair = http::examine_pair(&config.tls);
        let pair = pair.map_err(|why| Failure::usage(format!("tls: {why}")))?;
        if let Some(complaint) = pair.and_then(|pair| pair.complaint(Clock::system().now())) {
            eprintln!("{complaint}");
        }
    }
    match &loaded.file {
        Some(path) => eprintln!("The configuration is good (file: {}).", path.display()),
        None => eprintln!("The configuration is good (no file)."),
    }
    for (what, is_so) in [
        ("originals (`originals.keep`)", loaded.config.originals.keep != KeepOriginals::Always),
        ("ready videos (`retention.ready`)", loaded.config.retention.ready_ms.is_some()),
        ("failed videos (`retention.failed`)", loaded.config.retention.failed_ms.is_some()),
    ] {
        if is_so {
            eprintln!("It has {what} go by themselves; `slipway gc --dry-run` tells which.");
        }
    }
    print!("{}", loaded.to_toml());
    Ok(())
}

fn login_link(settings: &Settings) -> Result<(), Failure> {
    let loaded = load(settings)?;
    match ask(&loaded.config, Request::LoginCode)? {
        Reply::LoginCode { code, address } => {
            let derived = || format!("{}://{}", scheme(&loaded.config), loaded.config.listen);
            let address = loaded.config.public_url.clone().or(address).unwrap_or_else(derived);
            println!("{address}/login?code={code}");
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// Returns how a server of this configuration is spoken to.
fn scheme(config: &config::Config) -> &'static str {
    if config.tls.is_on() { "https" } else { "http" }
}

/// Asks the running server, or does the same on the data directory when none runs.
fn ask(config: &config::Config, request: Request) -> Result<Reply, Failure> {
    become_owner(config)?;
    server::ask(config, request).map_err(of_server)
}

fn of_server(failure: server::ServerError) -> Failure {
    if failure.is_usage() { Failure::usage(failure) } else { Failure::other(failure) }
}

fn unexpected(reply: Reply) -> Failure {
    match reply {
        Reply::Refused { reason } => Failure::other(reason),
        _ => Failure::other("the server answered something else"),
    }
}

/// As root, starts this command again as the owner of the data directory, so that nothing in it
/// ends up belonging to root and out of the server's reach.
fn become_owner(config: &config::Config) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Ok(about) = std::fs::metadata(&config.data_dir) else { return Ok(()) };
    if about.uid() == 0 {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(Failure::other)?;
    let cause = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .uid(about.uid())
        .gid(about.gid())
        .exec();
    Err(Failure::other(format!("can't become the owner of {}: {cause}", config.data_dir.display())))
}
