//! Somebody's erasure to its end, in the running server or here, and what a database has to forget.
//!
//! A running server removes records and files at once. The database's own files may hold the bytes
//! of removed records until it is made anew, which needs it closed: at the next start, or at once
//! where no server runs.

use super::parts::Parts;
use super::{Keys, ServerError, open_disk, open_state, open_trail, runtime};
use crate::config::Config;
use crate::control::{self, Reply, Request};
use crate::disk::{self, Disk, DiskError};
use crate::model::whose::Whose;
use crate::rights::Erasure;
use crate::state::State;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How often is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Erases somebody, or with `dry_run` only looks; `tell` hears how far it is. Returns what went,
/// and whether the database has forgotten it too: else it does so at the server's next start.
///
/// # Errors
/// See [`ServerError`]; what is left then goes with the next call, or the next start.
pub fn erase(
    config: &Config,
    whose: &Whose,
    dry_run: bool,
    tell: &mut dyn FnMut(&Erasure),
) -> Result<(Erasure, bool), ServerError> {
    let socket = disk::control_socket(&config.data_dir);
    let request = Request::UserErase { whose: whose.clone(), dry_run };
    loop {
        match control::ask(&socket, &request) {
            Ok(Some(Reply::Erasure { erasure })) => {
                tell(&erasure);
                if erasure.is_over {
                    return ended(erasure).map(|erasure| (erasure, false));
                }
            }
            Ok(Some(Reply::Refused { reason })) => return Err(ServerError::Fatal(reason)),
            Ok(Some(_)) => {
                return Err(ServerError::Fatal("the server answered something else".to_owned()));
            }
            // One that has stopped meanwhile leaves the rest to us.
            Ok(None) => break,
            Err(cause) => return Err(ServerError::Fatal(format!("the running server: {cause}"))),
        }
    }
    let disk = open_disk(config, Keys::Needed)?;
    if !dry_run && let Some(note) = disk.erasure().map_err(refused)? {
        ended(here(config, &disk, &note.whose, false, tell)?)?;
    }
    let erasure = ended(here(config, &disk, whose, dry_run, tell)?)?;
    if !dry_run {
        forget(&disk)?;
    }
    Ok((erasure, !dry_run))
}

/// Goes on with an erasure that was cut off, and has the database forget. To be called before a
/// server opens it. What doesn't work is tried again at the next start, and told.
pub(super) fn go_on(config: &Config, disk: &Disk) -> Result<(), ServerError> {
    if let Some(note) = disk.erasure().map_err(refused)? {
        warn!("an erasure was cut off; it goes on before anybody is served");
        let erasure = here(config, disk, &note.whose, false, &mut |_| {})?;
        if let Some(problem) = erasure.problem {
            // Nobody is served what was promised to be gone.
            return Err(ServerError::Fatal(format!("an erasure doesn't end: {problem}")));
        }
    }
    if let Err(cause) = forget(disk) {
        warn!("the database still remembers what was erased, until the next start: {cause}");
    }
    Ok(())
}

fn ended(erasure: Erasure) -> Result<Erasure, ServerError> {
    match &erasure.problem {
        None => Ok(erasure),
        Some(problem) => Err(ServerError::Fatal(format!("not all of it is gone: {problem}"))),
    }
}

fn refused(cause: DiskError) -> ServerError {
    ServerError::Disk(cause.to_string())
}

/// Erases somebody while no server runs. The database is closed when it returns.
fn here(
    config: &Config,
    disk: &Disk,
    whose: &Whose,
    dry_run: bool,
    tell: &mut dyn FnMut(&Erasure),
) -> Result<Erasure, ServerError> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let (state, rebuilt) = open_state(disk)?;
        let trail = open_trail(config, disk)?;
        let parts =
            Parts::build(config.clone(), disk.clone(), state, trail.clone(), rebuilt).await?;
        let rights = parts.rights();
        let erasure = loop {
            let told = match dry_run {
                true => rights.look(whose.clone()).await,
                false => rights.erase(whose.clone(), TOLD_EVERY).await,
            };
            let erasure = told.map_err(|cause| ServerError::Fatal(cause.to_string()))?;
            tell(&erasure);
            if erasure.is_over {
                break erasure;
            }
        };
        parts.state.clone().close().await;
        trail.close();
        Ok(erasure)
    })
}

/// Makes the database anew of what it holds, so that it remembers nothing of what is gone from it.
/// It must not be open. Does nothing where nothing was erased.
fn forget(disk: &Disk) -> Result<(), ServerError> {
    let (state, begun) = (disk.state_dir(), Instant::now());
    if !disk.is_forgetting() || !state.exists() {
        return Ok(());
    }
    let made = disk.incoming_state_dir().map_err(refused)?;
    let rewritten = State::rewrite(&state, &made);
    let entries = match rewritten {
        Ok(entries) => entries,
        Err(cause) => {
            // It isn't of use to anybody.
            disk.incoming_state_dir().map_err(refused)?;
            return Err(ServerError::State(cause.to_string()));
        }
    };
    // One that was set aside since may hold the same.
    let aside = disk.states_aside().map_err(refused)?;
    aside.iter().try_for_each(|path| disk.remove_state_aside(path)).map_err(refused)?;
    disk.swap_state().map_err(refused)?;
    let took_ms = begun.elapsed().as_millis();
    info!(entries, took_ms, "the database was made anew without what was erased");
    Ok(())
}
