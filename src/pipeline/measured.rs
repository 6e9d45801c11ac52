//! What the work on jobs shows of this machine, told to whoever measures.

use super::Pipeline;
use crate::model::job::{Line, Stage, StageState};
use crate::queue::Claim;
use crate::state::{JobRecord, StageRecord, VideoRecord};
use crate::telemetry::measures::{self, Attempt};
use crate::units::UnixMillis;

/// Counts an attempt that has ended.
pub(super) fn count(pipeline: &Pipeline, claim: &Claim, attempt: Attempt) {
    let line = claim.job.line();
    measures::job_ended(line, attempt);
    if attempt != Attempt::Done {
        return;
    }
    // Where the record can't be read there is nothing to tell.
    let (Ok(Some(job)), Ok(Some(video))) =
        (pipeline.state.job(claim.job.id), pipeline.state.video(claim.video.id))
    else {
        return;
    };
    let Some(seconds) = seconds(job.started_at, job.finished_at) else { return };
    measures::job_took(line, seconds);
    if line == Line::Small {
        return;
    }
    let film = video.facts.as_ref().map_or(0.0, |facts| facts.duration);
    measures::film_done(film, seconds);
    for stage in &job.stages {
        let own = stage.state == StageState::Done && stage.attempt == job.attempt;
        if let Some(took) = seconds_of(stage).filter(|_| own) {
            measures::stage_took(stage.stage, took);
        }
    }
    // What runs along with an upload is as fast as that, and a later attempt makes only the rest.
    if line == Line::Films && job.attempt == 1 {
        speed(&job, &video);
    }
}

fn speed(job: &JobRecord, video: &VideoRecord) {
    let encoded = video.renditions.iter().filter(|rendition| !rendition.plan.copied);
    let Some(height) = encoded.map(|rendition| rendition.plan.height).max().filter(|it| *it > 0)
    else {
        return;
    };
    let stage = job.stages.iter().find(|stage| stage.stage == Stage::Renditions);
    let took = stage.and_then(seconds_of);
    if let (Some(facts), Some(took)) = (&video.facts, took.filter(|took| *took > 0.0)) {
        let codec = facts.video_codec.as_deref().unwrap_or_default();
        measures::encoded(codec, height, facts.duration / took);
    }
}

fn seconds_of(stage: &StageRecord) -> Option<f64> {
    seconds(stage.started_at, stage.finished_at)
}

fn seconds(from: Option<UnixMillis>, to: Option<UnixMillis>) -> Option<f64> {
    Some(to?.ms_since(from?) as f64 / 1000.0)
}
