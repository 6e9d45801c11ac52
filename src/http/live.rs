//! `GET /api/events`: what happens, as server-sent events, to each listener what they may know.
//!
//! A listener first gets the present state of what they chose, then every change. One that was
//! away says so with `Last-Event-ID` and gets what it missed, or the present state anew. A slow
//! one costs nothing: events wait in the hub's ring, not here.

use super::problem::{Code, Problem};
use super::videos::{self, Seen};
use super::{AppParts, Shared, blocking, guard};
use crate::access::Caller;
use crate::events::{Event, EventBody, EventKind, News, Subscription};
use crate::ids::{Owner, VideoId};
use crate::library;
use crate::model::access::{Role, Viewer};
use crate::model::video::{VideoState, Visibility};
use crate::state::VideoRecord;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often a quiet stream says that it lives; shorter than what proxies wait for.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Most videos in a snapshot.
const SNAPSHOT_MAX: usize = 200;
/// What opens a stream: how long to wait before trying again, in milliseconds.
const GREETING: &[u8] = b"retry: 2000\n: slipway\n\n";

type App = web::Data<Shared>;

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/api/events").route(web::get().to(events)));
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    video_ids: Option<String>,
    session_id: Option<String>,
}

/// What a listener chose.
struct Choice {
    videos: Option<Vec<VideoId>>,
    session: Option<String>,
}

async fn events(
    req: HttpRequest,
    app: App,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let caller = guard::optional(&req, &app).await?;
    let Query { video_ids, session_id } = query.into_inner();
    let videos = video_ids.map(|list| videos::ids_of(&list)).transpose()?;
    if caller.is_none() && videos.is_none() {
        let detail = "Sign in, or name public videos with `videoIds`.";
        return Err(Problem::new(Code::Unauthenticated, detail));
    }
    let last = req.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let last = last.and_then(|id| id.trim().parse().ok());
    // Subscribed before the snapshot is made, so that nothing falls between the two.
    let news = app.parts.hub.subscribe(last);
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let mut listener = Listener {
        choice: Choice { videos, session: session_id },
        ready: VecDeque::from([Bytes::from_static(GREETING)]),
        req,
        app,
        caller,
        news,
        heartbeat,
    };
    if last.is_none() {
        listener.snapshot().await?;
    }
    let pieces = stream::unfold(listener, |mut listener| async move {
        let piece = listener.piece().await?;
        Some((Ok::<Bytes, Infallible>(piece), listener))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies that gather answers would hold events back.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(pieces))
}

/// One open stream.
struct Listener {
    choice: Choice,
    /// Text that is ready to be sent.
    ready: VecDeque<Bytes>,
    req: HttpRequest,
    app: App,
    caller: Option<Caller>,
    news: Subscription,
    heartbeat: Interval,
}

impl Listener {
    /// Waits for the next text to send; none ends the stream.
    async fn piece(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            tokio::select! {
                biased;
                () = self.app.streams.cancelled() => return None,
                news = self.news.next() => match news? {
                    News::Event(event) => self.tell(&event).await,
                    News::Missed => self.snapshot().await.ok()?,
                },
                _ = self.heartbeat.tick() => {
                    self.still_allowed().await?;
                    return Some(Bytes::from_static(b": still here\n\n"));
                }
            }
        }
    }

    /// Ends the stream of somebody whose token was revoked or whose session has run out.
    async fn still_allowed(&self) -> Option<()> {
        let caller = guard::optional(&self.req, &self.app).await.ok()?;
        (caller == self.caller).then_some(())
    }

    /// Makes the present state of what was chosen: the named videos, those of the session, or
    /// all on which something is under way.
    async fn snapshot(&mut self) -> Result<(), Problem> {
        let caller = self.caller.clone();
        let choice =
            Choice { videos: self.choice.videos.clone(), session: self.choice.session.clone() };
        let at = self.app.parts.clock.now().to_rfc3339();
        let made = blocking(&self.app, move |parts| {
            let videos = choice.present(caller.as_ref(), parts)?;
            let shown = videos.iter().map(|video| {
                let head = Head { id: 0, kind: EventKind::VideoState, at: &at };
                head.with(Some(video.id), video_member(caller.as_ref(), Some(video), parts))
            });
            Ok(shown.map(|data| text_of(None, EventKind::VideoState, &data)).collect::<Vec<_>>())
        });
        self.ready.extend(made.await?);
        Ok(())
    }

    /// Makes the text of an event, if this listener may know and wants to.
    async fn tell(&mut self, event: &Event) {
        let event = event.clone();
        let caller = self.caller.clone();
        let choice =
            Choice { videos: self.choice.videos.clone(), session: self.choice.session.clone() };
        if !choice.may_fit(&event) {
            return;
        }
        let told = blocking(&self.app, move |parts| {
            let data = data_of(&event, caller.as_ref(), &choice, parts);
            Ok(data.map(|data| text_of(Some(event.id), event.kind, &data)))
        });
        match told.await {
            Ok(text) => self.ready.extend(text),
            // The reader goes on; what it missed is in the next snapshot.
            Err(problem) => tracing::warn!("an event wasn't told: {problem}"),
        }
    }
}

impl Choice {
    /// Says whether an event may be wanted, before its video is looked up.
    fn may_fit(&self, event: &Event) -> bool {
        match (&self.videos, event.video) {
            (Some(videos), Some(video)) => videos.contains(&video),
            (Some(_), None) => event.kind == EventKind::Queue,
            (None, _) => true,
        }
    }

    fn fits(&self, caller: Option<&Caller>, video: &VideoRecord) -> bool {
        let session = self.session.is_none() || video.session == self.session;
        let viewer = caller.map(|caller| &caller.viewer);
        let seen = match (&self.videos, viewer) {
            (Some(videos), _) => videos.contains(&video.id) && library::may_see(video, viewer),
            (None, Some(viewer)) => lists(viewer, video),
            (None, None) => false,
        };
        session && seen
    }

    fn present(
        &self,
        caller: Option<&Caller>,
        parts: &AppParts,
    ) -> Result<Vec<VideoRecord>, Problem> {
        let state = super::translate::state;
        if let Some(videos) = &self.videos {
            let found: Result<Vec<_>, _> = videos.iter().map(|&id| parts.state.video(id)).collect();
            let found = found.map_err(state)?.into_iter().flatten();
            return Ok(found.filter(|video| self.fits(caller, video)).collect());
        }
        let all = self.session.is_some();
        let moving =
            |video: &VideoRecord| !matches!(video.state, VideoState::Ready | VideoState::Failed);
        let keep = |video: &VideoRecord| (all || moving(video)) && self.fits(caller, video);
        parts.state.videos(None, SNAPSHOT_MAX, &keep).map_err(state)
    }
}

/// Says whether somebody who named no videos hears of this one: their own, and public ones.
fn lists(viewer: &Viewer, video: &VideoRecord) -> bool {
    let public = video.visibility == Visibility::Public && video.state != VideoState::Uploading;
    public || viewer.is_over(&video.owner)
}

/// What every event says.
struct Head<'a> {
    id: u64,
    kind: EventKind,
    at: &'a str,
}

impl Head<'_> {
    fn with(&self, video: Option<VideoId>, more: Value) -> Value {
        let mut data = json!({
            "id": self.id,
            "type": self.kind.name(),
            "at": self.at,
            "videoId": video.map(|id| id.to_string()),
        });
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        data
    }
}

/// Returns an event's data for this listener, or nothing if they mayn't know.
fn data_of(
    event: &Event,
    caller: Option<&Caller>,
    choice: &Choice,
    parts: &AppParts,
) -> Option<Value> {
    let at = event.at.to_rfc3339();
    let head = Head { id: event.id, kind: event.kind, at: &at };
    let Some(id) = event.video else {
        let admin = caller.is_some_and(|caller| caller.viewer.role == Role::Admin);
        return admin.then(|| head.with(None, queue_members(parts)));
    };
    let video = parts.state.video(id).ok()?;
    let holds = holds(caller, event.owner.as_ref());
    match &video {
        Some(video) if !choice.fits(caller, video) => return None,
        // A video that is gone can only be told to those whose it was.
        None if !holds => return None,
        _ => {}
    }
    let members = match &event.body {
        EventBody::Video => video_member(caller, video.as_ref(), parts),
        _ if !holds => return None,
        EventBody::Upload { upload, received, size, wanted } => {
            let mut members = json!({
                "uploadId": upload.to_string(),
                "receivedBytes": received.0,
                "size": size.map(|size| size.0),
            });
            if !wanted.is_empty() {
                members["wanted"] = json!(wanted);
            }
            members
        }
        EventBody::Progress(progress) => progress_members(progress),
        EventBody::Queue => queue_members(parts),
    };
    Some(head.with(Some(id), members))
}

fn holds(caller: Option<&Caller>, owner: Option<&Owner>) -> bool {
    match (caller, owner) {
        (Some(caller), Some(owner)) => caller.viewer.is_over(owner),
        (Some(caller), None) => caller.viewer.role == Role::Admin,
        (None, _) => false,
    }
}

fn video_member(caller: Option<&Caller>, video: Option<&VideoRecord>, parts: &AppParts) -> Value {
    json!({ "video": video.map(|video| Seen::by(caller, video, parts)) })
}

fn progress_members(progress: &crate::events::Progress) -> Value {
    #[derive(Serialize)]
    struct Rendition<'a> {
        name: &'a str,
        progress: f64,
    }
    let renditions = progress.renditions.iter();
    let renditions: Vec<Rendition<'_>> =
        renditions.map(|(name, progress)| Rendition { name, progress: *progress }).collect();
    json!({
        "stage": progress.stage,
        "progress": progress.progress,
        "speed": progress.speed,
        "etaSeconds": progress.eta_seconds,
        "renditions": renditions,
        "playableSeconds": progress.playable_seconds,
    })
}

fn queue_members(parts: &AppParts) -> Value {
    super::admin::queue_numbers(parts).map_or(Value::Null, |numbers| json!(numbers))
}

/// Writes an event as the stream's format wants it. JSON never holds a line end.
fn text_of(id: Option<u64>, kind: EventKind, data: &Value) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {}\ndata: {data}\n\n", kind.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event is one block of lines, and text from users can't begin another.
    #[test]
    fn events_are_blocks_of_lines() {
        let head = Head { id: 7, kind: EventKind::VideoState, at: "now" };
        let data = head.with(None, json!({ "title": "a\n\nevent: evil\r\n" }));
        let text = text_of(Some(7), EventKind::VideoState, &data);
        let text = std::str::from_utf8(&text).expect("text");
        assert!(text.starts_with("id: 7\nevent: video.state\ndata: {"), "{text}");
        assert_eq!(text.matches('\n').count(), 4, "{text}");
        assert!(text.ends_with("\n\n") && !text.contains('\r'));
    }

    /// A listener to named videos hears of no other.
    #[test]
    fn named_videos_only() {
        let now = crate::units::UnixMillis(1);
        let (mine, other) = (VideoId::fresh(now), VideoId::fresh(now));
        let choice = Choice { videos: Some(vec![mine]), session: None };
        let event = |id| Event::of_video(EventKind::VideoState, now, id, Owner("ann".to_owned()));
        assert!(choice.may_fit(&event(mine)) && !choice.may_fit(&event(other)));
        assert!(Choice { videos: None, session: None }.may_fit(&event(other)));
    }
}
