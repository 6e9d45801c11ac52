//! `slipway backup` and `slipway restore`.

use super::{Failure, ask, become_owner, load, unexpected};
use crate::backup::{self, About, Progress, SnapshotError};
use crate::clock::Clock;
use crate::config::flags::Settings;
use crate::control::{Reply, Request};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two words about how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

pub(super) fn take(
    settings: &Settings,
    target: &Path,
    keep: Option<u32>,
    json: bool,
) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let now = Clock::system().now();
    let export = match ask(&config, Request::Export)? {
        Reply::Exported { path, .. } => path,
        other => return Err(unexpected(other)),
    };
    let mut bar = Bar::default();
    let taken =
        backup::take(&config.data_dir, target, &export, now, &mut |progress| bar.show(progress));
    bar.end();
    let (path, about) = taken.map_err(failed)?;
    let pruned = match keep {
        Some(keep) => backup::prune(target, keep as usize).map_err(failed)?,
        None => 0,
    };
    report("backed up to", &path, &about, json)?;
    if pruned > 0 {
        eprintln!("{pruned} older backups were removed");
    }
    Ok(())
}

pub(super) fn restore(settings: &Settings, from: &Path, json: bool) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let from = std::path::absolute(from).map_err(Failure::other)?;
    become_owner(&config)?;
    let mut bar = Bar::default();
    let restored = backup::restore(&from, &config.data_dir, &mut |progress| bar.show(progress));
    bar.end();
    let (path, about) = restored.map_err(failed)?;
    report("restored from", &path, &about, json)
}

fn failed(error: SnapshotError) -> Failure {
    match error {
        SnapshotError::NotEmpty(_) => Failure::usage(error),
        other => Failure::other(other),
    }
}

fn report(what: &str, path: &Path, about: &About, json: bool) -> Result<(), Failure> {
    if json {
        let mut said = serde_json::to_value(about).map_err(Failure::other)?;
        said["path"] = path.display().to_string().into();
        println!("{said}");
        return Ok(());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{what} {}: {} files, {:.1} MiB, of them new {:.1} MiB; as of {}",
        path.display(),
        about.files,
        mib(about.bytes),
        mib(about.new_bytes),
        about.at
    );
    Ok(())
}

/// One line on a terminal that tells how far it is.
#[derive(Default)]
struct Bar {
    told: Option<Instant>,
}

impl Bar {
    fn show(&mut self, progress: Progress) {
        let mut out = std::io::stderr();
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) || !out.is_terminal() {
            return;
        }
        self.told = Some(Instant::now());
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let _ = write!(
            out,
            "\r\x1b[K{} files, {:.0} of about {:.0} MiB",
            progress.files,
            mib(progress.bytes),
            mib(progress.bytes_all.max(progress.bytes))
        );
        let _ = out.flush();
    }

    fn end(&self) {
        if self.told.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
