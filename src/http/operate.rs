//! What an operator asks in a terminal, answered as the API answers an admin.

use super::problem::{Code, Problem};
use super::{AppParts, admin, audit, translate, upkeep};
use crate::disk::Rewrapped;
use crate::ids::{JobId, VideoId};
use crate::model::job::PRIORITIES;
use crate::model::operation::Operation;
use crate::trail;
use serde::Serialize;
use serde_json::Value;

/// Does what is asked and returns what the API would answer.
///
/// # Errors
/// A sentence that says why it isn't done.
pub async fn operate(parts: AppParts, operation: Operation) -> Result<Value, String> {
    answered(&parts, operation).await.map_err(|problem| problem.told())
}

async fn answered(parts: &AppParts, operation: Operation) -> Result<Value, Problem> {
    match operation {
        Operation::Status => looked(parts, admin::status_of).await,
        Operation::Jobs { state, limit } => {
            looked(parts, move |parts| admin::page(parts, state, None, limit)).await
        }
        Operation::Retry { id, stage } => {
            let video = video_of(parts, &id)?;
            parts.queue.retry(video, stage).await.map_err(translate::queue)?;
            looked(parts, move |parts| admin::job_of(parts, video)).await
        }
        Operation::Cancel { id } => {
            let video = video_of(parts, &id)?;
            parts.queue.cancel(video).await.map_err(translate::queue)?;
            looked(parts, move |parts| admin::job_of(parts, video)).await
        }
        Operation::Prioritise { id, priority } => {
            if !PRIORITIES.contains(&priority) {
                let detail = "a priority is a whole number from -100 to 100";
                return Err(Problem::new(Code::InvalidRequest, detail));
            }
            let video = video_of(parts, &id)?;
            parts.queue.prioritise(video, priority).await.map_err(translate::queue)?;
            looked(parts, move |parts| admin::job_of(parts, video)).await
        }
        Operation::Pause { paused } => {
            parts.queue.pause(paused).await.map_err(translate::queue)?;
            looked(parts, admin::queue_numbers).await
        }
        Operation::Clean { dry_run } => said(upkeep::cleaned(parts, dry_run).await?),
        Operation::Rewrap => {
            looked(parts, |parts| {
                let done = parts.disk.rewrap().map_err(translate::disk)?;
                let Rewrapped { files, rewrapped, locked } = done;
                Ok(serde_json::json!({
                    "files": files, "rewrapped": rewrapped, "locked": locked,
                }))
            })
            .await
        }
        Operation::Audit { refresh } => said(upkeep::audited(parts, refresh).await),
        Operation::AuditLog { since, actor, action, after } => {
            let (before, after, limit) = (None, Some(after), trail::PAGE_MAX);
            let wanted = trail::Query { since, actor, action, before, after, limit };
            looked(parts, move |parts| audit::page(parts, &wanted)).await
        }
    }
}

/// Finds a video by its own id or by that of a job on it.
fn video_of(parts: &AppParts, id: &str) -> Result<VideoId, Problem> {
    let unknown = || Problem::new(Code::NotFound, format!("there is no video or job {id}"));
    if let Ok(video) = VideoId::parse(id)
        && parts.state.video(video).map_err(translate::state)?.is_some()
    {
        return Ok(video);
    }
    let job = JobId::parse(id).map_err(|_| unknown())?;
    let job = parts.state.job(job).map_err(translate::state)?;
    job.map(|job| job.video).ok_or_else(unknown)
}

/// Reads where blocking is allowed.
async fn looked<T: Serialize + Send + 'static>(
    parts: &AppParts,
    read: impl FnOnce(&AppParts) -> Result<T, Problem> + Send + 'static,
) -> Result<Value, Problem> {
    let parts = parts.clone();
    let read = tokio::task::spawn_blocking(move || read(&parts));
    said(read.await.map_err(Problem::internal)??)
}

fn said(value: impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(Problem::internal)
}
