//! All that is kept of somebody, written by the running server or here.

use super::parts::boot_id_of;
use super::{Keys, ServerError, open_disk, open_trail, open_whole_state, runtime};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Reply};
use crate::disk;
use crate::rights::{Boot, Exported, Exports, Wanted};
use std::io::Write;

/// Writes all that is kept of somebody to `to` as an archive, and returns what is in it.
///
/// # Errors
/// See [`ServerError`]; what was written then is no archive.
pub fn export(
    config: &Config,
    wanted: &Wanted,
    to: &mut dyn Write,
) -> Result<Exported, ServerError> {
    let socket = disk::control_socket(&config.data_dir);
    match control::fetch(&socket, wanted, to) {
        Ok(Some(Reply::Archived { exported })) => return Ok(exported),
        Ok(Some(Reply::Refused { reason })) => return Err(ServerError::Fatal(reason)),
        Ok(Some(_)) => {
            return Err(ServerError::Fatal("the server answered something else".to_owned()));
        }
        Ok(None) => {}
        Err(cause) => return Err(ServerError::Fatal(format!("the running server: {cause}"))),
    }
    let keys = if wanted.without_originals { Keys::Unneeded } else { Keys::Needed };
    let disk = open_disk(config, keys)?;
    let state = open_whole_state(&disk)?;
    let trail = open_trail(config, &disk)?;
    let boot = Boot::Stopped(boot_id_of(config, &disk));
    let exports = Exports::new(state.clone(), disk, trail.clone(), Clock::system(), boot);
    let written = exports.write(wanted, to);
    runtime()?.block_on(state.close());
    trail.close();
    written.map_err(|cause| ServerError::Fatal(cause.to_string()))
}
