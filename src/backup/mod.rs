//! Copies for bad days: the records as lines of JSON, and whole data directories.
//!
//! What is copied is whole or isn't there: everything is made beside its place, confirmed by the
//! disk and renamed. Used by `server` (exports, a database that doesn't open), `control` and
//! `cli`.

mod records;
mod snapshot;

pub use records::{RecordsError, export, open_export, recover, replace_state};
pub use snapshot::{About, Progress, SnapshotError, prune, restore, take};
