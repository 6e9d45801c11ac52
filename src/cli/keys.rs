//! `slipway keys …` and `slipway playback …`

use super::{Failure, ask, load, unexpected};
use crate::access::Signs;
use crate::config::flags::{KeysCommand, KeysOf, PlaybackCommand, Settings};
use crate::control::{Reply, Request};
use crate::state::RingChange;
use crate::units::UnixMillis;

/// Does what is wanted with the keys of playback tokens.
pub(super) fn playback(settings: &Settings, command: PlaybackCommand) -> Result<(), Failure> {
    let (change, json) = match command {
        PlaybackCommand::RotateKey { drop_old: false } => (RingChange::Add, None),
        PlaybackCommand::RotateKey { drop_old: true } => (RingChange::Replace, None),
        PlaybackCommand::DropOldKeys => (RingChange::Prune, None),
        PlaybackCommand::ListKeys { json } => (RingChange::None, Some(json)),
    };
    run(settings, KeysOf::Playback, change, json)
}

/// Does what is wanted with keys that sign something.
pub(super) fn keys(settings: &Settings, command: KeysCommand) -> Result<(), Failure> {
    let (of, change, json) = match command {
        KeysCommand::Rotate { of, drop_old: false } => (of, RingChange::Add, None),
        KeysCommand::Rotate { of, drop_old: true } => (of, RingChange::Replace, None),
        KeysCommand::DropOld { of } => (of, RingChange::Prune, None),
        KeysCommand::List { of, json } => (of, RingChange::None, Some(json)),
    };
    run(settings, of, change, json)
}

fn run(
    settings: &Settings,
    of: KeysOf,
    change: RingChange,
    json: Option<bool>,
) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let (signs, what) = match of {
        KeysOf::Playback => (Signs::Playback, "playback tokens"),
        KeysOf::PartUrls => (Signs::PartUrls, "addresses of parts"),
        KeysOf::Sessions => (Signs::Sessions, "sessions"),
    };
    let keys = match ask(&config, Request::Keys { signs, change })? {
        Reply::Keys { keys } => keys,
        other => return Err(unexpected(other)),
    };
    match json {
        None => eprintln!("{} of the keys that sign {what} count now", keys.len()),
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
