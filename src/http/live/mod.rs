//! Live status: what happens, to each listener what they may know.
//!
//! A listener first gets the present state of what they chose, then every change. One that was
//! away says so with the last id it had and gets what it missed, or the present state anew. A slow
//! one costs nothing: events wait on the board, not here.

mod board;
mod choice;
mod said;
mod socket;
mod told;

pub(super) use board::Board;
pub(super) use socket::PATH as SOCKET_PATH;

use super::guard::{self, Credential};
use super::problem::{Code, Problem};
use super::routes::table;
use super::ticket::Pass;
use super::{Shared, videos};
use crate::access::Caller;
use crate::model::access::Right;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use board::{Line, Place, Read};
use bytes::Bytes;
use choice::{Choice, Snapshot};
use futures_util::stream;
use said::LiveEvent;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};
use told::Text;
use utoipa::IntoParams;

/// How often a quiet stream says that it lives; shorter than what proxies wait for.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What opens an event stream: how long to wait before trying again, in milliseconds.
const GREETING: &[u8] = b"retry: 2000\n: slipway\n\n";
/// What an event stream says when nothing happens.
const STILL_HERE: &[u8] = b": still here\n\n";

type App = web::Data<Shared>;

table! { "live";
    "/api/events" => get(events);
    "/api/ws" => get(socket::socket);
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct Query {
    /// Ids, separated by commas.
    video_ids: Option<String>,
    session_id: Option<String>,
    /// The last event that the listener had, for those who can't send a header.
    last_event_id: Option<u64>,
}

/// Tells what happens, as server-sent events: the present state first, then every change.
#[utoipa::path(get, path = "/api/events", operation_id = "listenToEvents",
    params(Query, ("Last-Event-ID" = Option<u64>, Header, description = "Where to go on")),
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 200, body = LiveEvent, content_type = "text/event-stream",
        description = "A stream without an end; the `data` of each event is one of these")))]
async fn events(
    req: HttpRequest,
    app: App,
    query: web::Query<Query>,
) -> Result<HttpResponse, Problem> {
    let last = req.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let last = last.and_then(|id| id.trim().parse().ok()).or(query.last_event_id);
    let listener = Listener::open(&req, &app, query.into_inner(), last).await?;
    let blocks = stream::unfold((listener, true), |(mut listener, opens)| async move {
        let block = match opens {
            true => Bytes::from_static(GREETING),
            false => match listener.next().await? {
                Said::Text(text) => text.block(),
                Said::Nothing => Bytes::from_static(STILL_HERE),
            },
        };
        Some((Ok::<Bytes, Infallible>(block), (listener, false)))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies that gather answers would hold events back.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(blocks))
}

/// What a listener is to send.
enum Said {
    /// An event.
    Text(Text),
    /// That the server lives, as nothing has happened for a while.
    Nothing,
}

/// One open stream. There may be thousands, so the request that opened it isn't kept.
struct Listener {
    app: App,
    credential: Credential,
    caller: Option<Caller>,
    /// The playback token that it listens with, instead of anything else.
    pass: Option<Pass>,
    choice: Arc<Choice>,
    place: Place,
    /// The event that was read last, until its words are there.
    line: Option<Arc<Line>>,
    /// It is time to say that the server lives.
    beats: bool,
    /// The snapshot that is being sent, and how much of it was.
    snapshot: Option<(Arc<Snapshot>, usize)>,
    heartbeat: Interval,
}

impl Listener {
    /// Lets somebody listen who may.
    ///
    /// # Errors
    /// 401 for somebody unknown who named no videos; those of [`guard::optional`].
    async fn open(
        req: &HttpRequest,
        app: &App,
        query: Query,
        last: Option<u64>,
    ) -> Result<Self, Problem> {
        let pass = Pass::of_call(req, app).await?;
        let (credential, caller) = match &pass {
            Some(_) => (Credential::None, None),
            None => (Credential::of(req, app)?, guard::optional(req, app, Right::SeeVideos).await?),
        };
        let Query { video_ids, session_id, .. } = query;
        let videos = video_ids.map(|list| videos::ids_of(&list)).transpose()?;
        if caller.is_none() && videos.is_none() {
            let detail = "Sign in, or name public videos with `videoIds`.";
            return Err(Problem::new(Code::Unauthenticated, detail));
        }
        let grant = caller.as_ref().and_then(|caller| caller.grant);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut listener = Self {
            app: App::clone(app),
            credential,
            caller,
            pass,
            choice: Arc::new(Choice::new(videos, session_id, grant)),
            place: app.board.subscribe(last),
            line: None,
            beats: false,
            snapshot: None,
            heartbeat,
        };
        if last.is_none() {
            listener.look().await?;
        }
        Ok(listener)
    }

    /// Waits for what to send next; none ends the stream.
    ///
    /// # Cancel
    /// Safe: what was read stays here until it is returned.
    async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some(text) = self.rest_of_snapshot() {
                return Some(Said::Text(text));
            }
            if let Some(line) = &self.line {
                let text = self.text_of(line).await;
                self.line = None;
                match text {
                    Some(text) => return Some(Said::Text(text)),
                    None => continue,
                }
            }
            if self.beats {
                self.still_allowed().await?;
                self.beats = false;
                return Some(Said::Nothing);
            }
            tokio::select! {
                biased;
                read = self.place.next() => match read? {
                    Read::Line(line) => self.line = Some(line),
                    Read::Missed => self.look().await.ok()?,
                },
                _ = self.heartbeat.tick() => self.beats = true,
            }
        }
    }

    fn rest_of_snapshot(&mut self) -> Option<Text> {
        let (snapshot, sent) = self.snapshot.as_mut()?;
        let text = snapshot.texts.get(*sent).cloned();
        *sent += 1;
        if *sent >= snapshot.texts.len() {
            self.snapshot = None;
        }
        text
    }

    /// Returns the words of an event, if this listener may know and wants to.
    async fn text_of(&self, line: &Arc<Line>) -> Option<Text> {
        if let Some(pass) = &self.pass {
            if !self.choice.names(line.event().video) {
                return None;
            }
            let (line, pass) = (Arc::clone(line), pass.clone());
            let told = super::blocking(&self.app, move |parts| {
                Ok(told::told_by(&pass, line.event(), parts))
            });
            return told.await.ok()?;
        }
        if line.told().is_none() {
            // It happened when nobody listened.
            let line = Arc::clone(line);
            let told = super::blocking(&self.app, move |parts| {
                line.tell(parts);
                Ok(())
            });
            told.await.ok()?;
        }
        let viewer = self.caller.as_ref().map(|caller| &caller.viewer);
        line.told()??.text_for(viewer, &self.choice).cloned()
    }

    /// Takes the present state of what was chosen, and goes on behind it.
    async fn look(&mut self) -> Result<(), Problem> {
        let viewer = self.caller.as_ref().map(|caller| &caller.viewer);
        let snapshot = match &self.pass {
            Some(pass) => self.app.board.snapshot_by(pass, &self.choice).await?,
            None => self.app.board.snapshot(viewer, &self.choice).await?,
        };
        self.place.go_on_behind(&snapshot);
        self.snapshot = Some((snapshot, 0));
        Ok(())
    }

    /// Ends the stream of somebody whose token was revoked or whose session has run out.
    async fn still_allowed(&self) -> Option<()> {
        if let Some(pass) = &self.pass {
            return pass.holds(&self.app).await.then_some(());
        }
        let caller = self.credential.caller(&self.app).await.ok()?;
        (caller == self.caller).then_some(())
    }
}
