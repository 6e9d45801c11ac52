//! What an operator asks of a server in a terminal.

use super::deed::Action;
use super::job::{JobState, Stage};
use crate::units::UnixMillis;
use serde::{Deserialize, Serialize};

/// Something to look at or to do. A video is named by its own id or by that of its job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Operation {
    /// How the server does.
    Status,
    /// The newest jobs.
    Jobs {
        /// Only those in this state.
        state: Option<JobState>,
        /// At most so many.
        limit: usize,
    },
    /// The work on a video again.
    Retry {
        /// Which.
        id: String,
        /// Only this stage of it.
        stage: Option<Stage>,
    },
    /// The end of the work on a video.
    Cancel {
        /// Which.
        id: String,
    },
    /// Another place in line.
    Prioritise {
        /// Which.
        id: String,
        /// The higher one goes first.
        priority: i32,
    },
    /// Whether new work is begun.
    Pause {
        /// None is, until it is told to go on.
        paused: bool,
    },
    /// Everything in its place.
    Clean {
        /// Only tell.
        dry_run: bool,
    },
    /// All keys of encrypted files wrapped with the first of the master keys.
    Rewrap,
    /// Who has how much of what.
    Audit {
        /// Made anew.
        refresh: bool,
    },
    /// Entries of the audit log, the oldest first.
    AuditLog {
        /// Only those from then on.
        since: Option<UnixMillis>,
        /// Only those of this actor or token.
        actor: Option<String>,
        /// Only those of this kind.
        action: Option<Action>,
        /// Only those with a greater number.
        after: u64,
    },
}

impl Operation {
    /// Returns what it is to the audit log, and to what it is done; nothing if it only looks.
    pub fn deed(&self) -> Option<(Action, Option<String>)> {
        match self {
            Self::Status | Self::Jobs { .. } | Self::Audit { .. } | Self::AuditLog { .. } => None,
            Self::Retry { id, .. } => Some((Action::WorkRetried, Some(id.clone()))),
            Self::Cancel { id } => Some((Action::WorkCancelled, Some(id.clone()))),
            Self::Prioritise { id, .. } => Some((Action::PrioritySet, Some(id.clone()))),
            Self::Pause { .. } => Some((Action::QueueSteered, None)),
            Self::Rewrap => Some((Action::OriginalKeysChanged, None)),
            Self::Clean { dry_run } => (!dry_run).then_some((Action::Cleaned, None)),
        }
    }
}
