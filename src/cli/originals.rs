//! `slipway originals …`: the keys of encrypted originals.

use super::operate::operate;
use super::{Failure, load};
use crate::cipher::MasterKey;
use crate::config::flags::{OriginalsCommand, Settings};
use crate::model::operation::Operation;

pub(super) fn run(settings: &Settings, command: OriginalsCommand) -> Result<(), Failure> {
    match command {
        OriginalsCommand::NewKey => {
            println!("{}", *MasterKey::fresh().to_line());
            Ok(())
        }
        OriginalsCommand::Rewrap { json } => rewrap(settings, json),
    }
}

fn rewrap(settings: &Settings, json: bool) -> Result<(), Failure> {
    let config = load(settings)?.config;
    let done = operate(&config, Operation::Rewrap)?;
    if json {
        println!("{done}");
    } else {
        println!("{} of {} keys are wrapped anew", done["rewrapped"], done["files"]);
    }
    match done["locked"].as_u64() {
        None | Some(0) => Ok(()),
        Some(locked) => Err(Failure::other(format!(
            "{locked} keys can't be unwrapped with those of originals.key_file; the log names them"
        ))),
    }
}
