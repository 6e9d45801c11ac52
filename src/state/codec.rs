//! How records become bytes: one version byte, then JSON; never more than 64 KiB.
//!
//! The database keeps values longer than 128 KiB apart and never gives their room back, so the
//! bound is a rule and not a wish.

use super::error::StateError;
use super::people::{SessionRecord, UserRecord};
use super::record::{
    CleanupRecord, DeliveryRecord, GrantRecord, JobRecord, LineRecord, LoginCode, PartRecord,
    TokenRecord, TrashRecord, UploadRecord, VideoRecord,
};
use crate::model::estimate::Paces;
use crate::model::figures::Figures;
use crate::model::keep::Watch;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest stored value, version byte included.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;

/// A type that is stored.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// What it is called in errors and in `tests/golden/`.
    const NAME: &'static str;
    /// The version that this program writes.
    const VERSION: u8;
}

impl Record for UploadRecord {
    const NAME: &'static str = "upload";
    const VERSION: u8 = 1;
}

impl Record for PartRecord {
    const NAME: &'static str = "part";
    const VERSION: u8 = 1;
}

impl Record for VideoRecord {
    const NAME: &'static str = "video";
    const VERSION: u8 = 1;
}

impl Record for TrashRecord {
    const NAME: &'static str = "trash";
    const VERSION: u8 = 1;
}

impl Record for DeliveryRecord {
    const NAME: &'static str = "delivery";
    const VERSION: u8 = 1;
}

impl Record for CleanupRecord {
    const NAME: &'static str = "cleanup";
    const VERSION: u8 = 1;
}

impl Record for JobRecord {
    const NAME: &'static str = "job";
    const VERSION: u8 = 1;
}

impl Record for LineRecord {
    const NAME: &'static str = "line";
    const VERSION: u8 = 1;
}

impl Record for Watch {
    const NAME: &'static str = "rules";
    const VERSION: u8 = 1;
}

impl Record for Figures {
    const NAME: &'static str = "figures";
    const VERSION: u8 = 1;
}

impl Record for Paces {
    const NAME: &'static str = "paces";
    const VERSION: u8 = 1;
}

impl Record for TokenRecord {
    const NAME: &'static str = "token";
    const VERSION: u8 = 1;
}

impl Record for UserRecord {
    const NAME: &'static str = "user";
    const VERSION: u8 = 1;
}

impl Record for SessionRecord {
    const NAME: &'static str = "session";
    const VERSION: u8 = 1;
}

impl Record for GrantRecord {
    const NAME: &'static str = "grant";
    const VERSION: u8 = 1;
}

impl Record for LoginCode {
    const NAME: &'static str = "login-code";
    const VERSION: u8 = 1;
}

pub(super) fn encode<R: Record>(record: &R) -> Result<Vec<u8>, StateError> {
    let mut bytes = vec![R::VERSION];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|error| StateError::Unreadable(format!("{}: {error}", R::NAME)))?;
    if bytes.len() > VALUE_BYTES_MAX { Err(StateError::TooLarge) } else { Ok(bytes) }
}

pub(super) fn decode<R: Record>(bytes: &[u8]) -> Result<R, StateError> {
    let unreadable = |why: String| StateError::Unreadable(format!("{}: {why}", R::NAME));
    match bytes.split_first() {
        Some((&version, json)) if version == R::VERSION => {
            serde_json::from_slice(json).map_err(|error| unreadable(error.to_string()))
        }
        Some((version, _)) => {
            Err(unreadable(format!("it has version {version}, this program knows {}", R::VERSION)))
        }
        None => Err(unreadable("it is empty".to_owned())),
    }
}
