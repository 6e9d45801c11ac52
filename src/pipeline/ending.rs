//! How the work on a job ends: why it stopped, what is recorded of that, and what is put away.

use super::publish::PublishError;
use super::source::SourceError;
use super::{Pipeline, measured};
use crate::disk::DiskError;
use crate::events::EventKind;
use crate::library::LibraryError;
use crate::model::extra::ExtraKind;
use crate::model::problem::{Problem, ProblemCode};
use crate::model::video::VideoState;
use crate::queue::{Claim, QueueError, Settled, internal};
use crate::state::StateError;
use crate::telemetry::measures::{self, Attempt};
use crate::worker::Ending;
use tracing::{error, info, warn};

/// Why the work on a job stopped before its end.
pub(super) enum Halt {
    /// The job is to be settled with this problem.
    Problem(Problem),
    /// Somebody else killed the child.
    Killed(Problem),
    /// The child broke down over this extra, in this way: the film can do without.
    Without(ExtraKind, Problem),
    /// The lease is gone: somebody else decides, nothing may be written.
    Stale,
    /// Nothing more comes of the upload for now: the job waits until something does.
    Parked,
    /// The server stops: the job goes back in line.
    Stopping,
    /// A rung has to be made anew: the job goes back in line, and that is no failure.
    Again,
}

impl From<Ending> for Halt {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Killed => Self::Killed(problem_of(ending)),
            ending => Self::Problem(problem_of(ending)),
        }
    }
}

impl From<StateError> for Halt {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Stale | StateError::Missing => Self::Stale,
            other => Self::Problem(internal(&format!("the database refused: {other}"))),
        }
    }
}

impl From<PublishError> for Halt {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Disk(error) => error.into(),
            PublishError::Unlike => Self::Again,
            PublishError::State(error) => error.into(),
            other => {
                error!("publishing: {other}");
                Self::Problem(Problem::new(
                    ProblemCode::WorkerCrashed,
                    "The worker's reports didn't fit together.",
                ))
            }
        }
    }
}

impl From<DiskError> for Halt {
    fn from(error: DiskError) -> Self {
        if matches!(error, DiskError::NoSpace) {
            return Self::Problem(no_room());
        }
        error!("disk: {error}");
        if matches!(error, DiskError::Locked { .. }) {
            let detail = "The file is encrypted, and the server hasn't got its key.";
            return Self::Problem(Problem::new(ProblemCode::OriginalLocked, detail));
        }
        if matches!(error, DiskError::Damaged { .. }) {
            let detail = "The file on the server's disk isn't as it was received any more.";
            return Self::Problem(Problem::new(ProblemCode::OriginalDamaged, detail));
        }
        Self::Problem(internal("The server couldn't write its files."))
    }
}

impl From<SourceError> for Halt {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Disk(error) => error.into(),
            SourceError::State(error) => error.into(),
        }
    }
}

impl From<LibraryError> for Halt {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::Missing => Self::Stale,
            LibraryError::State(error) => error.into(),
            LibraryError::Disk(error) => error.into(),
            LibraryError::NoSpace => DiskError::NoSpace.into(),
            other => Self::Problem(internal(&other.to_string())),
        }
    }
}

/// What is told of work that waits for room.
pub(super) fn no_room() -> Problem {
    let detail = "The server's disk is full. The work goes on by itself when there is room again.";
    Problem::new(ProblemCode::OutOfSpace, detail)
}

/// Says in the API's words how a child ended.
pub(super) fn problem_of(ending: Ending) -> Problem {
    match ending {
        Ending::Failed(problem) | Ending::Crashed(problem) => problem,
        Ending::Killed => Problem::new(
            ProblemCode::WorkerCrashed,
            "Processing was killed from outside, perhaps because the server's memory ran out.",
        ),
        Ending::Stalled => Problem::new(
            ProblemCode::TimedOut,
            "Processing made no progress for too long and was stopped.",
        ),
        Ending::Unspoken => Problem::new(
            ProblemCode::WorkerCrashed,
            "The worker process spoke another version's language.",
        ),
        Ending::Done => internal("The worker ended in success that wasn't one."),
    }
}

/// Says that a blocking step broke.
pub(super) fn broke(panic: &tokio::task::JoinError) -> Halt {
    error!("a blocking step broke: {panic}");
    Halt::Problem(internal("A step of the server broke."))
}

/// Records how the work on a job ended, and puts away what it leaves behind.
pub(super) async fn settle(pipeline: &Pipeline, claim: &Claim, outcome: Result<(), Halt>) {
    let (id, queue) = (claim.job.id, &pipeline.queue);
    if let Err(Halt::Problem(problem) | Halt::Killed(problem) | Halt::Without(_, problem)) =
        &outcome
    {
        measures::job_error(problem.code);
    }
    let settled = match outcome {
        Ok(()) => Ok(Attempt::Done),
        Err(Halt::Stale) => {
            info!(job.id = %id, "job {id} has passed out of our hands");
            Ok(Attempt::Dropped)
        }
        Err(Halt::Parked) => park(pipeline, claim).await.map(|()| Attempt::PutBack),
        Err(Halt::Stopping) => queue.release(claim).await.map(|()| Attempt::PutBack),
        Err(Halt::Again) => {
            info!(job.id = %id, "job {id} can't go on with all that is there");
            queue.release(claim).await.map(|()| Attempt::PutBack)
        }
        Err(Halt::Without(extra, problem)) => {
            queue.leave_out(claim, extra, problem).await.map(attempt_of)
        }
        Err(Halt::Killed(problem)) => queue.killed(claim, problem).await.map(attempt_of),
        Err(Halt::Problem(problem)) => {
            let is_strange = problem.code == ProblemCode::UnsupportedMedia;
            if is_strange && !claim.job.task.is_small() {
                settle_stranger(pipeline, claim, problem).await
            } else {
                queue.settle(claim, problem).await.map(attempt_of)
            }
        }
    };
    match settled {
        Ok(attempt) => measured::count(pipeline, claim, attempt),
        Err(QueueError::Stale | QueueError::Missing) => {
            measured::count(pipeline, claim, Attempt::Dropped);
        }
        Err(cause) => error!(job.id = %id, "job {id} can't be settled: {cause}"),
    }
    queue.put_down(id);
    sweep(pipeline, claim).await;
}

fn attempt_of(settled: Settled) -> Attempt {
    match settled {
        Settled::Again(_) => Attempt::Again,
        Settled::ForGood => Attempt::Failed,
    }
}

/// Parks a job whose upload has stalled, and has the next bytes bring it back.
async fn park(pipeline: &Pipeline, claim: &Claim) -> Result<(), QueueError> {
    info!(job.id = %claim.job.id, "job {} waits for its upload", claim.job.id);
    pipeline.queue.park(claim).await?;
    // Only now: what comes in between must find it parked.
    if let Some(upload) = claim.video.upload {
        pipeline.uploads.look_again(upload);
    }
    Ok(())
}

/// Settles a job on a file that isn't media, or none that is taken: it is a file to be fetched
/// where anything is taken, and otherwise has failed and loses its bytes, unless they are kept.
async fn settle_stranger(
    pipeline: &Pipeline,
    claim: &Claim,
    problem: Problem,
) -> Result<Attempt, QueueError> {
    if pipeline.queue.give_up_live(claim, &problem).await? {
        return Ok(Attempt::Again);
    }
    let (job, epoch, id) = (claim.job.id, claim.job.epoch, claim.video.id);
    if pipeline.accept_of(&claim.video).any {
        let now = pipeline.clock.now();
        let video = pipeline.state.finish_as_file(job, epoch, now).await?;
        info!(job.id = %job, video.id = %id, "job {job} done, {id} is kept as a file");
        pipeline.tell(EventKind::VideoReady, &video);
        return Ok(Attempt::Done);
    }
    if pipeline.keep_rejected {
        return pipeline.queue.settle(claim, problem).await.map(attempt_of);
    }
    pipeline.queue.reject(claim, problem).await?;
    let disk = pipeline.disk.clone();
    match tokio::task::spawn_blocking(move || disk.remove_original(id)).await {
        Ok(Ok(())) => {}
        // The next start removes it.
        Ok(Err(cause)) => warn!(video.id = %id, "the original of {id} stays for now: {cause}"),
        Err(panic) => error!("removing an original broke: {panic}"),
    }
    Ok(Attempt::Failed)
}

/// Removes what a job leaves behind when its work has ended.
async fn sweep(pipeline: &Pipeline, claim: &Claim) {
    let (id, video) = (claim.job.id, claim.video.id);
    let (disk, state) = (pipeline.disk.clone(), pipeline.state.clone());
    let removed = tokio::task::spawn_blocking(move || {
        disk.remove_work(id)?;
        let is_open = matches!(state.job(id), Ok(Some(job)) if job.is_open());
        // What it was handed is needed for as long as it may be tried again.
        if !is_open {
            disk.remove_handed(id)?;
        }
        // Deleted, or withdrawn, while we published: what came after that is nobody's.
        let is_nobodys = match state.video(video) {
            // The library looks after what is in the trash.
            Ok(None) => matches!(state.trashed(video), Ok(None)),
            Ok(Some(video)) => video.state == VideoState::Uploading && !video.playable && !is_open,
            Err(_) => false,
        };
        if is_nobodys { disk.remove_media(video) } else { Ok(()) }
    });
    match removed.await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => warn!(job.id = %id, "leftovers of job {id}: {cause}"),
        Err(panic) => error!("removing leftovers broke: {panic}"),
    }
    if let Err(cause) = pipeline.library.tidy_trash(video).await {
        warn!(job.id = %id, "leftovers of job {id} stay beside the trash for now: {cause}");
    }
}
