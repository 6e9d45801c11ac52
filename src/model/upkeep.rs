//! What keeping house finds, and what is done about it.

use crate::units::{ByteCount, UnixMillis};
use serde::{Deserialize, Serialize};

/// Most examples kept of one kind of finding.
pub const EXAMPLES_MAX: usize = 10;

/// Most problems kept of one cleaning.
pub const FAULTS_MAX: usize = 10;

/// What was found.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An upload that nobody has gone on with in time.
    ExpiredUpload,
    /// Bytes of an upload that has ended, or that nobody knows.
    UploadLeftover,
    /// An original that no record knows.
    UnknownOriginal,
    /// An original of a video that was deleted, or that isn't taken.
    DeletedOriginal,
    /// An original that isn't to be kept any longer (`originals.keep`).
    DueOriginal,
    /// A video whose time is over (`retention.*`).
    DueVideo,
    /// Published files of a video that isn't there.
    DeletedMedia,
    /// What lies in its old place of a video in the trash.
    TrashStray,
    /// A video in the trash whose time is over.
    ExpiredTrash,
    /// What the trash holds of a video that isn't in it.
    TrashLeftover,
    /// What a job that has ended worked with.
    WorkLeftover,
    /// A video whose original isn't there any more.
    MissingOriginal,
    /// A ready video of which published files aren't there any more.
    MissingMedia,
    /// A video that waits for work which nobody was to do.
    VideoWithoutWork,
    /// A job that can't go on as it stands.
    StuckJob,
}

/// What is done about it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is removed for good.
    Removed,
    /// It is a video of its own now, which only its owner sees.
    TakenIn,
    /// It is in the trash, and can be restored for a while.
    Trashed,
    /// It is moved to where it belongs.
    Moved,
    /// The video fails, and says why.
    Failed,
    /// The work is queued again.
    Queued,
    /// The job is ended.
    Ended,
    /// Nothing: somebody has to know.
    Told,
}

impl Kind {
    /// Returns what is done about a finding of this kind.
    pub fn action(self) -> Action {
        match self {
            Self::ExpiredUpload
            | Self::UploadLeftover
            | Self::DeletedOriginal
            | Self::DueOriginal
            | Self::DeletedMedia
            | Self::ExpiredTrash
            | Self::TrashLeftover
            | Self::WorkLeftover => Action::Removed,
            Self::UnknownOriginal => Action::TakenIn,
            Self::DueVideo => Action::Trashed,
            Self::TrashStray => Action::Moved,
            Self::MissingOriginal => Action::Failed,
            Self::MissingMedia => Action::Told,
            Self::VideoWithoutWork => Action::Queued,
            Self::StuckJob => Action::Queued,
        }
    }
}

/// All findings of one kind that the same was done about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// What was done about it, or would be.
    pub action: Action,
    /// How many.
    pub count: u64,
    /// How many bytes they have.
    pub bytes: ByteCount,
    /// The first few of them.
    pub examples: Vec<Example>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Id of the upload, video or job.
    pub id: String,
    /// A sentence, empty where the kind says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Who asked for a cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AskedBy {
    /// Nobody: it was time.
    Schedule,
    /// A person.
    Admin,
}

/// What one cleaning found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended.
    pub finished_at: UnixMillis,
    /// Who asked.
    pub by: AskedBy,
    /// Nothing was changed: it tells what would be done.
    pub dry_run: bool,
    /// What was found, in the order of [`Kind`].
    pub findings: Vec<Finding>,
    /// What couldn't be looked at or done, in sentences without paths.
    pub faults: Vec<String>,
}

impl Report {
    /// Makes the report of a cleaning that begins at `now`.
    pub fn begin(by: AskedBy, dry_run: bool, now: UnixMillis) -> Self {
        let (findings, faults) = (Vec::new(), Vec::new());
        Self { started_at: now, finished_at: now, by, dry_run, findings, faults }
    }

    /// Adds something that was found.
    pub fn add(&mut self, kind: Kind, action: Action, id: String, bytes: u64, detail: &str) {
        let same = |it: &Finding| (it.kind, it.action) == (kind, action);
        let at = match self.findings.iter().position(same) {
            Some(at) => at,
            None => {
                let (bytes, examples) = (ByteCount(0), Vec::new());
                self.findings.push(Finding { kind, action, count: 0, bytes, examples });
                self.findings.sort_by_key(|it| (it.kind, it.action));
                self.findings.iter().position(same).unwrap_or_default()
            }
        };
        let finding = &mut self.findings[at];
        finding.count += 1;
        finding.bytes.0 = finding.bytes.0.saturating_add(bytes);
        if finding.examples.len() < EXAMPLES_MAX {
            finding.examples.push(Example { id, detail: detail.to_owned() });
        }
    }

    /// Adds something that couldn't be done.
    pub fn fault(&mut self, sentence: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Findings of a kind are summed, in the order of the kinds, with a few examples only.
    #[test]
    fn findings_are_summed_and_bounded() {
        let mut report = Report::begin(AskedBy::Admin, true, UnixMillis(7));
        for at in 0..25 {
            let id = format!("id-{at}");
            report.add(Kind::WorkLeftover, Action::Removed, id.clone(), 10, "");
            report.add(Kind::UploadLeftover, Action::Removed, id, u64::MAX, "x");
            report.fault("no".to_owned());
        }
        let [first, second] = report.findings.as_slice() else { panic!("two kinds") };
        assert_eq!((first.kind, first.bytes), (Kind::UploadLeftover, ByteCount(u64::MAX)));
        assert_eq!((second.count, second.bytes, second.examples.len()), (25, ByteCount(250), 10));
        assert_eq!(report.faults.len(), FAULTS_MAX);
    }
}
