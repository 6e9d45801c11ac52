//! `PUT /api/videos/{id}/poster`: a person chooses a moment of the film, or brings a picture.
//!
//! The server looks at no pixel: the picture goes to a file, and the file to a confined child. The
//! answer waits a few seconds for it, which is mostly enough.

use super::problem::{Code, Problem};
use super::routes::table;
use super::views::VideoView;
use super::{Shared, blocking, body, chunks, translate, videos};
use crate::disk::Handed;
use crate::events::Subscription;
use crate::ids::JobId;
use crate::model::job::{JobState, PosterSource, Task};
use crate::model::problem::ProblemCode;
use crate::model::video::VideoKind;
use crate::state::{JobRecord, VideoRecord};
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::Deserialize;
use std::time::Duration;
use utoipa::ToSchema;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

/// Largest picture in bytes.
const PICTURE_BYTES_MAX: usize = 32 << 20;

/// Bytes that gather before they are written.
const PIECE_BYTES: usize = 256 << 10;

/// How long the answer waits for the work unless the client says otherwise.
const WAIT: Duration = Duration::from_secs(5);

table! { "videos";
    "/api/videos/{id}/poster" => put(choose);
}

/// A moment of the film.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Moment {
    time: f64,
}

/// Chooses the poster: a moment of the film, or a picture.
#[utoipa::path(put, path = "/api/videos/{id}/poster", operation_id = "choosePoster",
    params(chunks::PreferHeader),
    request_body(content((Moment = "application/json"), (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"))),
    responses((status = 200, body = VideoView, description = "It is done"),
        (status = 202, body = VideoView, description = "It isn't done yet")))]
async fn choose(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let (video, _) = videos::held(&req, &app, &id).await?;
    if video.uploaded_at.is_none() {
        let detail = "A poster can be chosen once all of the file is here.";
        return Err(Problem::new(Code::Unfinished, detail));
    }
    let job = JobId::fresh(app.parts.clock.now());
    let of = match media_type(&req).as_str() {
        "application/json" => {
            let Moment { time } = body::json(&req, payload).await?;
            moment(&video, time)?
        }
        "image/jpeg" | "image/png" | "image/webp" => {
            receive(&app, job, payload).await?;
            PosterSource::Image
        }
        _ => {
            let detail = "Send application/json, image/jpeg, image/png or image/webp.";
            return Err(Problem::new(Code::ContentType, detail));
        }
    };
    let wait = chunks::preferred_wait(&req).unwrap_or(WAIT);
    // From before the job on, so that nothing is missed.
    let news = app.parts.hub.subscribe(None);
    let queued = app.parts.queue.add_small(job, &video, Task::Poster { of }).await;
    let queued = match queued {
        Ok(queued) => queued,
        Err(refused) => {
            let _ = blocking(&app, move |parts| Ok(parts.disk.remove_handed(job))).await;
            return Err(translate::queue(refused));
        }
    };
    forget_replaced(&app, &video, &queued).await;
    tokio::select! {
        () = app.streams.cancelled() => (),
        _ = tokio::time::timeout(wait, wait_for(&app, job, news)) => (),
    }
    tell(&app, video, job).await
}

/// Returns the body's type in lower case, without parameters.
fn media_type(req: &HttpRequest) -> String {
    let value = req.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let value = value.and_then(|text| text.split(';').next()).unwrap_or_default();
    value.trim().to_ascii_lowercase()
}

/// Checks a moment against what is known of the film.
fn moment(video: &VideoRecord, time: f64) -> Result<PosterSource, Problem> {
    if !time.is_finite() || time < 0.0 {
        let detail = "`time` is a number of seconds from the film's beginning.";
        return Err(Problem::new(Code::InvalidRequest, detail).field("time"));
    }
    if video.discarded {
        return Err(translate::not_kept());
    }
    if video.kind != VideoKind::Video {
        let detail = "There are no pictures to choose from. Send one.";
        return Err(Problem::new(Code::Conflict, detail));
    }
    match &video.facts {
        Some(facts) if time > facts.duration => {
            let detail = format!("The film lasts {:.2} seconds.", facts.duration);
            Err(Problem::new(Code::TimeOutOfRange, detail).field("time"))
        }
        _ => Ok(PosterSource::Time { seconds: time }),
    }
}

/// Writes a picture to where the job will find it.
async fn receive(app: &App, job: JobId, mut payload: web::Payload) -> Result<(), Problem> {
    let mut handed =
        blocking(app, move |parts| parts.disk.hand_over(job).map_err(translate::disk)).await?;
    let (mut piece, mut received) = (Vec::new(), 0);
    while let Some(bytes) = payload.next().await {
        let bytes = bytes.map_err(|error| {
            Problem::new(Code::BodyIncomplete, "The body was cut short.").cause(error)
        })?;
        received += bytes.len();
        if received > PICTURE_BYTES_MAX {
            let detail = format!("The picture is larger than {} MiB.", PICTURE_BYTES_MAX >> 20);
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        piece.extend_from_slice(&bytes);
        if piece.len() >= PIECE_BYTES {
            handed = append(app, handed, std::mem::take(&mut piece)).await?;
        }
    }
    if received == 0 {
        return Err(Problem::new(Code::InvalidRequest, "There is no picture in the body."));
    }
    let handed = append(app, handed, piece).await?;
    blocking(app, move |_| handed.keep().map_err(translate::disk)).await
}

async fn append(app: &App, mut handed: Handed, piece: Vec<u8>) -> Result<Handed, Problem> {
    blocking(app, move |_| {
        handed.append(&piece).map_err(translate::disk)?;
        Ok(handed)
    })
    .await
}

/// Removes the pictures of choices that a newer one has replaced before they were looked at.
async fn forget_replaced(app: &App, before: &VideoRecord, now: &VideoRecord) {
    let (known, kept) = (before.small_jobs.clone(), now.small_jobs.clone());
    let removed = blocking(app, move |parts| {
        for job in known.into_iter().filter(|job| !kept.contains(job)) {
            parts.disk.remove_handed(job).map_err(translate::disk)?;
        }
        Ok(())
    });
    // What stays is removed at the next start.
    let _ = removed.await;
}

/// Waits until a job has ended.
async fn wait_for(app: &App, job: JobId, mut news: Subscription) {
    loop {
        let look = blocking(app, move |parts| parts.state.job(job).map_err(translate::state));
        match look.await {
            Ok(Some(record)) if record.is_open() => {}
            _ => return,
        }
        if news.next().await.is_none() {
            return;
        }
    }
}

/// Says what has become of the choice so far.
async fn tell(app: &App, video: VideoRecord, job: JobId) -> Answer {
    let id = video.id;
    let (record, view) = blocking(app, move |parts| {
        let record = parts.state.job(job).map_err(translate::state)?;
        let video = parts.state.video(id).map_err(translate::state)?;
        let video = video.ok_or_else(Problem::not_found)?;
        Ok((record, videos::whole(&video, parts)))
    })
    .await?;
    let record = record.ok_or_else(Problem::not_found)?;
    let status = match record.state {
        JobState::Done => StatusCode::OK,
        JobState::Queued | JobState::Running => StatusCode::ACCEPTED,
        JobState::Cancelled => {
            let detail = "A newer choice has taken the place of this one.";
            return Err(Problem::new(Code::Conflict, detail));
        }
        JobState::Failed => return Err(failed(record)),
    };
    let mut answer = HttpResponse::build(status);
    Ok(answer.insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// Says why a choice came to nothing; the poster is what it was.
fn failed(job: JobRecord) -> Problem {
    let Some(problem) = job.problem else { return Problem::internal("a failure without a cause") };
    let code = match problem.code {
        ProblemCode::UnsupportedMedia => Code::UnsupportedMedia,
        ProblemCode::TooLarge | ProblemCode::OutOfMemory => Code::PictureTooLarge,
        ProblemCode::DamagedMedia => Code::DamagedPicture,
        ProblemCode::TimeOutOfRange => Code::TimeOutOfRange,
        ProblemCode::OutOfSpace => Code::OutOfSpace,
        ProblemCode::OriginalLocked | ProblemCode::OriginalDamaged => {
            return Problem::new(Code::OriginalUnreadable, problem.detail).retryable(false);
        }
        _ => Code::Internal,
    };
    Problem::new(code, problem.detail)
}
