//! One small job from its claim to its end: a child for moments, with room of its own, so that
//! nobody waits behind somebody's film.
//!
//! Each kind says what the child reads and what becomes of its files. So far there is one: the
//! poster that somebody has chosen.

use super::Pipeline;
use super::bounds;
use super::ending::{Halt, broke, settle};
use super::source;
use super::turns::Turns;
use crate::events::EventKind;
use crate::model::extra::Extra;
use crate::model::job::{PosterSource, Task};
use crate::model::manifest::Picture;
use crate::queue::{Claim, internal};
use crate::wire::{Extent, Order, Report, WIRE_VERSION};
use crate::worker::{self, Ending, Event, Launch};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Runs one small job and settles it.
pub(super) async fn run_small(
    pipeline: Arc<Pipeline>,
    claim: Claim,
    turns: Turns,
    stop: CancellationToken,
) {
    let _turn = turns.take(claim.video.id).await;
    let outcome = work(&pipeline, &claim, &stop).await;
    if outcome.is_ok() {
        let (id, makes) = (claim.job.id, claim.job.task.makes());
        info!(job.id = %id, video.id = %claim.video.id, "small job {id} done: {makes}");
    }
    settle(&pipeline, &claim, outcome).await;
}

async fn work(pipeline: &Pipeline, claim: &Claim, stop: &CancellationToken) -> Result<(), Halt> {
    let launch = prepare(pipeline, claim).await?;
    let extra = hear_out(pipeline, claim, launch, stop).await?;
    match (&claim.job.task, extra) {
        (Task::Poster { of }, Some(Extra::Poster { picture })) => {
            publish_poster(pipeline, claim, of, picture).await
        }
        _ => Err(Halt::Problem(internal("The worker made something else than was ordered."))),
    }
}

/// Opens what the child reads: the source, or what the job was handed.
async fn prepare(pipeline: &Pipeline, claim: &Claim) -> Result<Launch, Halt> {
    let (disk, state) = (pipeline.disk.clone(), pipeline.state.clone());
    let (job, epoch, video) = (claim.job.id, claim.job.epoch, claim.video.id);
    let (task, encode) = (claim.job.task.clone(), pipeline.encode.clone());
    let limits = bounds::of_small(&task, claim.video.facts.as_ref(), &pipeline.limits);
    let stall_ms = pipeline.stall_ms;
    let prepared = tokio::task::spawn_blocking(move || {
        let (sources, extents, encrypted) = match &task {
            Task::Poster { of: PosterSource::Image } => {
                let (file, size) = disk.open_handed(job)?;
                (vec![file.into()], Extent::whole(size), Vec::new())
            }
            _ => {
                let opened = source::open(&disk, &state, video)?;
                (opened.files, opened.extents, opened.encrypted)
            }
        };
        let output = disk.make_work(job, epoch)?;
        let order = Order {
            version: WIRE_VERSION,
            job,
            epoch,
            source: extents,
            encrypted,
            arrived: None,
            is_open_ended: false,
            renditions_done: Vec::new(),
            seconds_done: 0.0,
            begun: Vec::new(),
            extras_done: Vec::new(),
            sounds_unfit: Vec::new(),
            pictures_unfit: false,
            spans: 1,
            span: None,
            task,
            encode,
            limits,
        };
        Ok::<_, Halt>(Launch { order, sources, output, stall_ms })
    });
    prepared.await.map_err(|panic| broke(&panic))?
}

/// Starts the child and hears it to its end; returns the last thing that it made.
async fn hear_out(
    pipeline: &Pipeline,
    claim: &Claim,
    launch: Launch,
    stop: &CancellationToken,
) -> Result<Option<Extra>, Halt> {
    let mut child = worker::start(launch).map_err(|cause| {
        error!("no worker can be started: {cause}");
        Halt::Problem(internal("The server couldn't start a worker process."))
    })?;
    let mut renew = tokio::time::interval(Pipeline::renew_every());
    let mut made = None;
    let halt = loop {
        tokio::select! {
            biased;
            () = claim.ended.cancelled() => break Some(Halt::Stale),
            () = stop.cancelled() => break Some(Halt::Stopping),
            _ = renew.tick() => if let Err(halt) = pipeline.renew(claim).await {
                break Some(halt);
            },
            event = child.next() => match event {
                Event::Report(Report::Extra { extra }) => made = Some(extra),
                Event::Report(_) => {}
                Event::Ended(Ending::Done) => break None,
                Event::Ended(ending) => break Some(ending.into()),
            },
        }
    };
    child.kill().await;
    match halt {
        Some(halt) => Err(halt),
        None => Ok(made),
    }
}

/// Has a chosen poster published. It has names of its own, so nothing that is made of the film
/// later can take its place.
async fn publish_poster(
    pipeline: &Pipeline,
    claim: &Claim,
    of: &PosterSource,
    picture: Picture,
) -> Result<(), Halt> {
    let (job, epoch, video) = (claim.job.id, claim.job.epoch, claim.video.id);
    let time = match of {
        PosterSource::Time { seconds } => Some(*seconds),
        PosterSource::Image => None,
    };
    let video = pipeline.library.choose_poster(job, epoch, video, picture, time).await?;
    pipeline.tell(EventKind::VideoState, &video);
    Ok(())
}
