//! `slipway playback …`

use super::{Failure, ask, load, unexpected};
use crate::config::flags::{PlaybackCommand, Settings};
use crate::control::{Reply, Request};
use crate::state::RingChange;
use crate::units::UnixMillis;

pub(super) fn run(settings: &Settings, command: PlaybackCommand) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let (change, json) = match command {
        PlaybackCommand::RotateKey { drop_old: false } => (RingChange::Add, None),
        PlaybackCommand::RotateKey { drop_old: true } => (RingChange::Replace, None),
        PlaybackCommand::DropOldKeys => (RingChange::Prune, None),
        PlaybackCommand::ListKeys { json } => (RingChange::None, Some(json)),
    };
    let keys = match ask(&config, Request::PlaybackKeys { change })? {
        Reply::PlaybackKeys { keys } => keys,
        other => return Err(unexpected(other)),
    };
    match json {
        None => eprintln!("{} of the keys that sign playback tokens count now", keys.len()),
        Some(true) => println!("{}", serde_json::json!(keys)),
        Some(false) => {
            println!("{:10}  {:24}  USE", "KEY", "CREATED");
            for (at, key) in keys.iter().enumerate() {
                let made = UnixMillis(i64::from(*key) * 1000).to_rfc3339();
                let signs = at + 1 == keys.len();
                println!("{key:<10}  {made:24}  {}", if signs { "signs" } else { "counts" });
            }
        }
    }
    Ok(())
}
