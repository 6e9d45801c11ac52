//! `/api/videos`: looking at videos, changing what is said about them, and steering their work.

use super::problem::{Code, Problem};
use super::recommend::Recommendations;
use super::routes::table;
use super::ticket::Pass;
use super::views::{PlaybackView, PublicView, StatusView, ThumbnailView, VideoView, Work};
use super::{
    AppParts, Shared, blocking, body, form, granted, guard, media_files, noted, translate, trash,
};
use crate::access::Caller;
use crate::ids::{Owner, VideoId};
use crate::library::{self, LibraryError};
use crate::model::access::{Right, Viewer};
use crate::model::deed::Action;
use crate::model::job::Stage;
use crate::model::job::Task;
use crate::model::video::{VideoState, Visibility};
use crate::model::words::VideoChange;
use crate::queue::Line;
use crate::state::VideoRecord;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Videos in one page of a list, unless the caller wants fewer or more.
const LIMIT_DEFAULT: usize = 50;
/// Most videos in one batch of states.
const BATCH_MAX: usize = 200;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "videos";
    "/api/videos" => get(list), post(form::create);
    "/api/videos/status" => get(batch);
    "/api/videos/{id}" => get(one), patch(change), delete(trash::delete);
    "/api/videos/{id}/restore" => post(trash::restore);
    "/api/videos/{id}/processing-status" => get(status);
    "/api/videos/{id}/recommendations" => get(recommendations);
    "/api/videos/{id}/preview" => get(preview);
    "/api/videos/{id}/thumbnails" => get(thumbnails);
    "/api/videos/{id}/retry-processing" => post(retry);
    "/api/videos/{id}/cancel-processing" => post(cancel);
    "/api/videos/{id}/original" => get(original) + head;
}

/// A video as this caller may see it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = VideoOrPart)]
pub(super) enum Seen {
    /// All of it.
    Whole(Box<VideoView>),
    /// Its public part.
    Part(Box<PublicView>),
}

impl Seen {
    /// Makes the view for `caller`, who may see the video.
    pub(super) fn by(caller: Option<&Caller>, video: &VideoRecord, parts: &AppParts) -> Self {
        Self::in_line(caller, video, parts, &parts.queue.line())
    }

    /// Does the same for one of many, which share a look at the queue.
    fn in_line(
        caller: Option<&Caller>,
        video: &VideoRecord,
        parts: &AppParts,
        line: &Line<'_>,
    ) -> Self {
        if !caller.is_some_and(|caller| library::shows_all(video, &caller.viewer)) {
            return Self::Part(Box::new(part(video, parts)));
        }
        Self::Whole(Box::new(with_work(video, parts, line, |work| VideoView::of(video, work))))
    }
}

/// Makes the owner's view of a video.
pub(super) fn whole(video: &VideoRecord, parts: &AppParts) -> VideoView {
    with_work(video, parts, &parts.queue.line(), |work| VideoView::of(video, work))
}

/// Makes everybody's view of a video.
pub(super) fn part(video: &VideoRecord, parts: &AppParts) -> PublicView {
    PublicView::of(video, parts.hub.progress(video.id).as_ref())
}

/// Makes the view of a video for whoever plays it with a token.
pub(super) fn part_by(pass: &Pass, video: &VideoRecord, parts: &AppParts) -> Seen {
    Seen::Part(Box::new(part(video, parts).to(|url| pass.to(url))))
}

pub(super) fn with_work<T>(
    video: &VideoRecord,
    parts: &AppParts,
    line: &Line<'_>,
    make: impl FnOnce(&Work<'_>) -> T,
) -> T {
    // A view without its job still tells the most important things.
    let job = video.job.and_then(|job| parts.state.job(job).ok().flatten());
    let waits = job.as_ref().filter(|_| video.state == VideoState::Queued);
    let position = waits.and_then(|job| line.before(job.id)).map(|before| before + 1);
    let workers = parts.config.media.workers;
    let ready_in = position.and_then(|position| parts.queue.ready_in(video, position - 1, workers));
    let progress = parts.hub.progress(video.id);
    let small = video.small_jobs.iter().filter_map(|&job| parts.state.job(job).ok().flatten());
    let choice = small.into_iter().find(|job| matches!(job.task, Task::Poster { .. }));
    make(&Work {
        job: job.as_ref(),
        progress: progress.as_ref(),
        position,
        ready_in,
        choice: choice.as_ref(),
    })
}

/// Reads an id of the address; one that can't be an id is simply not there.
pub(super) fn id_of(text: &str) -> Result<VideoId, Problem> {
    VideoId::parse(text).map_err(|_| Problem::not_found())
}

/// Returns a video that the caller may see.
///
/// # Errors
/// 404 for one that isn't there or not for them.
fn seen_by(parts: &AppParts, caller: Option<&Caller>, id: VideoId) -> Result<VideoRecord, Problem> {
    let viewer = caller.map(|caller| &caller.viewer);
    let video = parts.library.video(id, viewer).map_err(translate::library)?;
    let is_reached = caller.is_none_or(|caller| caller.reaches(video.grant));
    if is_reached { Ok(video) } else { Err(Problem::not_found()) }
}

/// Returns a video of which the caller may know everything.
///
/// # Errors
/// 401 for nobody, 404 for another's.
pub(super) async fn known(req: &HttpRequest, app: &App, id: &str) -> Result<VideoRecord, Problem> {
    let caller = guard::within(req, app, Right::SeeVideos).await?;
    known_to(&app.parts, &caller, id_of(id)?)
}

fn known_to(parts: &AppParts, caller: &Caller, id: VideoId) -> Result<VideoRecord, Problem> {
    let video = seen_by(parts, Some(caller), id)?;
    match library::shows_all(&video, &caller.viewer) {
        true => Ok(video),
        false => Err(Problem::not_found()),
    }
}

/// Returns a video that the caller may change, and the caller.
///
/// # Errors
/// 404 for another's, 403 for somebody who may only look.
pub(super) async fn held(
    req: &HttpRequest,
    app: &App,
    id: &str,
) -> Result<(VideoRecord, Viewer), Problem> {
    let (video, caller) = held_by(req, app, id).await?;
    Ok((video, caller.viewer))
}

async fn held_by(req: &HttpRequest, app: &App, id: &str) -> Result<(VideoRecord, Caller), Problem> {
    let caller = guard::within(req, app, Right::ChangeVideos).await?;
    let video = app.parts.library.own_video(id_of(id)?, &caller.viewer);
    let video = video.map_err(translate::library)?;
    if caller.reaches(video.grant) { Ok((video, caller)) } else { Err(Problem::not_found()) }
}

pub(super) fn answer(said: impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(said)
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Query {
    state: Option<VideoState>,
    /// One's own in the trash, instead of those that aren't.
    #[serde(default)]
    trashed: bool,
    /// Words of the title, description, tags or file name.
    q: Option<String>,
    tag: Option<String>,
    session_id: Option<String>,
    /// `acme/` means everybody in that organisation.
    owner: Option<String>,
    /// `createdAt`, `title`, `duration` or `size`; with a `-` before it the greatest first. Without
    /// a word: `-createdAt`.
    sort: Option<String>,
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

/// Some of the videos.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VideoPage)]
pub(super) struct Page {
    pub(super) items: Vec<Seen>,
    pub(super) next_cursor: Option<String>,
}

/// Lists videos.
#[utoipa::path(get, path = "/api/videos", operation_id = "listVideos", params(Query),
    responses((status = 200, body = Page, description = "In the order that was asked for")))]
async fn list(req: HttpRequest, app: App, query: web::Query<Query>) -> Answer {
    let caller = guard::within(&req, &app, Right::SeeVideos).await?;
    let query = query.into_inner();
    let sort = match query.sort.as_deref() {
        None => Some(library::Sort::default()),
        Some(word) => library::Sort::parse(word),
    };
    let sort = sort.ok_or_else(|| {
        let detail =
            "`sort` is createdAt, title, duration or size, with a - for the greatest first.";
        Problem::new(Code::InvalidRequest, detail).field("sort")
    })?;
    let cursor = match query.cursor {
        Some(text) => Some(library::Cursor::parse(&text).ok_or_else(bad_cursor)?),
        None => None,
    };
    let trashed = query.trashed;
    let query = library::Query {
        state: query.state,
        text: query.q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        tag: query.tag,
        session: query.session_id,
        owner: query.owner.map(Owner),
        sort,
        cursor,
        limit: query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, library::VIDEOS_MAX),
    };
    if trashed {
        return trash::list(app, &caller.viewer, query).await;
    }
    let page = app.parts.library.list(&caller.viewer, query).await;
    let page = page.map_err(translate::library)?;
    let shown = blocking(&app, move |parts| {
        let line = parts.queue.line();
        let seen = |video| Seen::in_line(Some(&caller), video, parts, &line);
        let next_cursor = page.next.map(|cursor| cursor.to_string());
        Ok(Page { items: page.items.iter().map(seen).collect(), next_cursor })
    });
    Ok(answer(shown.await?))
}

/// Describes a video.
#[utoipa::path(get, path = "/api/videos/{id}", operation_id = "getVideo",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Seen,
        description = "All of it for its owner, else its public part")))]
async fn one(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    if let Some(pass) = Pass::of_call(&req, &app).await? {
        let video = pass.video(&app.parts, id_of(&id)?)?;
        return Ok(answer(part_by(&pass, &video, &app.parts)));
    }
    let caller = guard::optional(&req, &app, Right::SeeVideos).await?;
    let id = id_of(&id)?;
    let seen = blocking(&app, move |parts| match seen_by(parts, caller.as_ref(), id) {
        Ok(video) => Ok(Seen::by(caller.as_ref(), &video, parts)),
        Err(missing) => trash::find(parts, caller.as_ref(), id)?.ok_or(missing),
    });
    Ok(answer(seen.await?))
}

/// What somebody wants to say differently; what isn't named stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = VideoChange)]
struct Change {
    title: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    visibility: Option<Visibility>,
}

/// Changes what is said of a video.
#[utoipa::path(patch, path = "/api/videos/{id}", operation_id = "changeVideo",
    request_body = Change,
    responses((status = 200, body = VideoView, description = "The video as it is now")))]
async fn change(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let (video, caller) = held_by(&req, &app, &id).await?;
    let Change { title, description, tags, visibility } = body::json(&req, payload).await?;
    let wanted = [
        ("title", title.is_some()),
        ("description", description.is_some()),
        ("tags", tags.is_some()),
        ("visibility", visibility.is_some()),
    ];
    granted::check_change(&app, &caller, &wanted)?;
    if visibility.is_some_and(|visibility| visibility != video.visibility) {
        noted::as_action(&req, Action::VisibilityChanged);
    }
    let change = VideoChange { title, description, tags, visibility, ..VideoChange::default() };
    let changed = app.parts.library.change(video.id, &caller.viewer, change).await;
    let video = changed.map_err(translate::library)?;
    let seen = blocking(&app, move |parts| Ok(whole(&video, parts)));
    Ok(answer(seen.await?))
}

/// What is to be made anew.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Redo {
    /// Only what is missing, without.
    stage: Option<Stage>,
}

/// Queues the work on a video again: for what is missing, and for one stage anew.
#[utoipa::path(post, path = "/api/videos/{id}/retry-processing", operation_id = "retryProcessing",
    request_body = Option<Redo>,
    responses((status = 200, body = VideoView, description = "It is queued again")))]
async fn retry(req: HttpRequest, app: App, id: web::Path<String>, body: web::Bytes) -> Answer {
    let (video, _) = held(&req, &app, &id).await?;
    let redo = match body.is_empty() {
        true => Redo::default(),
        false => serde_json::from_slice(&body).map_err(|_| {
            let detail = "The body is empty, or `{\"stage\": …}` with the name of a stage.";
            Problem::new(Code::InvalidRequest, detail).field("stage")
        })?,
    };
    let video = app.parts.queue.retry(video.id, redo.stage).await.map_err(translate::queue)?;
    Ok(answer(blocking(&app, move |parts| Ok(whole(&video, parts))).await?))
}

/// Ends the work on a video.
#[utoipa::path(post, path = "/api/videos/{id}/cancel-processing", operation_id = "cancelProcessing",
    responses((status = 200, body = VideoView, description = "The work is ended")))]
async fn cancel(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let (video, _) = held(&req, &app, &id).await?;
    let video = app.parts.queue.cancel(video.id).await.map_err(translate::queue)?;
    Ok(answer(blocking(&app, move |parts| Ok(whole(&video, parts))).await?))
}

/// Says how far the work on a video is.
#[utoipa::path(get, path = "/api/videos/{id}/processing-status",
    operation_id = "getProcessingStatus",
    responses((status = 200, body = WorkOf, description = "How far the work is")))]
async fn status(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let video = known(&req, &app, &id).await?;
    let look = move |parts: &AppParts| Ok(WorkOf::of(&video, parts, &parts.queue.line()));
    Ok(answer(blocking(&app, look).await?))
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Ids, separated by commas; 200 at most.
    video_ids: Option<String>,
    session_id: Option<String>,
    cursor: Option<String>,
}

/// How far the work on several videos is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProcessingStatusPage)]
struct Batch {
    items: Vec<WorkOf>,
    next_cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = VideoProcessingStatus)]
struct WorkOf {
    video_id: String,
    playable: bool,
    #[serde(flatten)]
    status: StatusView,
}

impl WorkOf {
    fn of(video: &VideoRecord, parts: &AppParts, line: &Line<'_>) -> Self {
        Self {
            video_id: video.id.to_string(),
            playable: video.playable,
            status: with_work(video, parts, line, |work| StatusView::of(video, work)),
        }
    }
}

/// Says how far the work on several videos is.
#[utoipa::path(get, path = "/api/videos/status", operation_id = "listProcessingStatus",
    params(Wanted),
    responses((status = 200, body = Batch, description = "How far the work on each is")))]
async fn batch(req: HttpRequest, app: App, wanted: web::Query<Wanted>) -> Answer {
    let caller = guard::within(&req, &app, Right::SeeVideos).await?;
    let Wanted { video_ids, session_id, cursor } = wanted.into_inner();
    if video_ids.is_none() && session_id.is_none() {
        let detail = "Name videos with `videoIds`, or a group of them with `sessionId`.";
        return Err(Problem::new(Code::InvalidRequest, detail).field("videoIds"));
    }
    let ids = video_ids.map(|list| ids_of(&list)).transpose()?;
    let cursor = cursor_of(cursor)?;
    let batch = blocking(&app, move |parts| {
        let fits = |video: &VideoRecord| {
            library::shows_all(video, &caller.viewer)
                && caller.reaches(video.grant)
                && (session_id.is_none() || video.session == session_id)
        };
        let mut videos: Vec<VideoRecord> = match ids {
            Some(ids) => {
                let found = ids.into_iter().map(|id| parts.state.video(id));
                let found: Result<Vec<_>, _> = found.collect();
                let found = found.map_err(translate::state)?;
                found.into_iter().flatten().filter(fits).collect()
            }
            None => parts.state.videos(cursor, BATCH_MAX + 1, &fits).map_err(translate::state)?,
        };
        let has_more = videos.len() > BATCH_MAX;
        videos.truncate(BATCH_MAX);
        let next = videos.last().map(|video| video.id.to_string()).filter(|_| has_more);
        let line = parts.queue.line();
        let item = |video| WorkOf::of(video, parts, &line);
        Ok(Batch { items: videos.iter().map(item).collect(), next_cursor: next })
    });
    Ok(answer(batch.await?))
}

/// Reads where a list goes on.
fn cursor_of(text: Option<String>) -> Result<Option<VideoId>, Problem> {
    text.as_deref().map(VideoId::parse).transpose().map_err(|_| bad_cursor())
}

fn bad_cursor() -> Problem {
    Problem::new(Code::InvalidRequest, "`cursor` isn't one that was given.").field("cursor")
}

/// Reads a comma-separated list of ids.
pub(super) fn ids_of(list: &str) -> Result<Vec<VideoId>, Problem> {
    let ids: Result<Vec<VideoId>, _> =
        list.split(',').filter(|text| !text.is_empty()).map(VideoId::parse).collect();
    ids.ok().filter(|ids| ids.len() <= BATCH_MAX).ok_or_else(|| {
        let detail = "`videoIds` is a list of at most 200 ids, separated by commas.";
        Problem::new(Code::InvalidRequest, detail).field("videoIds")
    })
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Preview {
    id: String,
    poster: Option<String>,
    storyboard: Option<String>,
    preview: Option<String>,
    thumbnails: Vec<ThumbnailView>,
    playback: PlaybackView,
}

/// Names the pictures of a video, and where it plays.
#[utoipa::path(get, path = "/api/videos/{id}/preview", operation_id = "getPreview",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Preview, description = "What there is to look at")))]
async fn preview(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let (video, pass) = looked_at(&req, &app, &id).await?;
    let playback = PlaybackView::of(&video, app.parts.hub.progress(video.id).as_ref());
    let playback = playback.to(|url| addressed(pass.as_ref(), url));
    Ok(answer(Preview {
        id: video.id.to_string(),
        poster: playback.poster.clone(),
        storyboard: playback.storyboard.clone(),
        preview: playback.preview.clone(),
        thumbnails: stills(ThumbnailView::all(&video), pass.as_ref()),
        playback,
    }))
}

#[derive(Serialize, ToSchema)]
struct Thumbnails {
    items: Vec<ThumbnailView>,
}

/// Lists stills to choose a poster from.
#[utoipa::path(get, path = "/api/videos/{id}/thumbnails", operation_id = "listThumbnails",
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = Thumbnails, description = "The poster, then the stills")))]
async fn thumbnails(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let (video, pass) = looked_at(&req, &app, &id).await?;
    let poster = ThumbnailView::poster(&video).into_iter();
    let all = poster.chain(ThumbnailView::all(&video)).collect();
    Ok(answer(Thumbnails { items: stills(all, pass.as_ref()) }))
}

/// Returns a video that the caller may see, and the playback token by which, if it is by one.
async fn looked_at(
    req: &HttpRequest,
    app: &App,
    id: &str,
) -> Result<(VideoRecord, Option<Pass>), Problem> {
    if let Some(pass) = Pass::of_call(req, app).await? {
        let video = pass.video(&app.parts, id_of(id)?)?;
        return Ok((video, Some(pass)));
    }
    let caller = guard::optional(req, app, Right::SeeVideos).await?;
    Ok((seen_by(&app.parts, caller.as_ref(), id_of(id)?)?, None))
}

fn stills(mut stills: Vec<ThumbnailView>, pass: Option<&Pass>) -> Vec<ThumbnailView> {
    for still in stills.iter_mut() {
        let url = std::mem::take(&mut still.url);
        still.url = addressed(pass, url);
    }
    stills
}

/// Returns an address as it is, or as it is with a token.
fn addressed(pass: Option<&Pass>, url: String) -> String {
    match pass {
        Some(pass) => pass.to(url),
        None => url,
    }
}

/// Says which qualities would be made now, and why.
#[utoipa::path(get, path = "/api/videos/{id}/recommendations", operation_id = "getRecommendations",
    responses((status = 200, body = Recommendations,
        description = "Every quality that was thought of, and why it is made or not")))]
async fn recommendations(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let video = known(&req, &app, &id).await?;
    let media = &app.parts.config.media;
    let heights = media.ladder_heights.as_deref();
    Ok(answer(Recommendations::of(&video, heights, media.loudness)?))
}

/// Gives the file as it was sent.
#[utoipa::path(method(get, head), path = "/api/videos/{id}/original", operation_id = "getOriginal",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "The file as it was sent; ranges work")))]
async fn original(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let caller = guard::within(&req, &app, Right::SeeVideos).await?;
    let video = known_to(&app.parts, &caller, id_of(&id)?)?;
    if !caller.viewer.is_over(&video.owner) {
        return Err(translate::library(LibraryError::Forbidden));
    }
    if video.uploaded_at.is_none() {
        let detail = "The file can be had once all of it is here.";
        return Err(Problem::new(Code::Unfinished, detail));
    }
    media_files::original(&req, &app, video.id, &video.filename).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists of ids hold only ids, and not too many.
    #[test]
    fn lists_of_ids() {
        let id = VideoId::fresh(crate::units::UnixMillis(1));
        assert_eq!(ids_of(&format!("{id},{id}")).expect("ids").len(), 2);
        assert_eq!(ids_of("").expect("none").len(), 0);
        assert!(ids_of("x").is_err() && ids_of(&vec![id.to_string(); 201].join(",")).is_err());
    }
}
