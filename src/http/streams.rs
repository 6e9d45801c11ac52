//! What runs over one connection at the same moment: HTTP/2 has no end to it by itself.
//!
//! HTTP/1 answers one request after another, and the library ends a connection whose next head
//! doesn't come. Over HTTP/2 it would keep one that answers its pings for as long as it likes, with
//! as many requests as it likes. Here are the bounds for both, and the end when the server stops.

use super::connection::Connection;
use super::{HEAD_TIME_MAX, KEEP_ALIVE, held};
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Version;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests at once over one connection; one more is told to come later.
const STREAMS_MAX: usize = 128;
/// With so many the connection is ended: they are told, and don't even hear it.
const STREAMS_BEYOND: usize = 2 * STREAMS_MAX;
/// How often a connection is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The same while the server stops.
const LOOK_SOON: Duration = Duration::from_millis(50);

/// How long a connection without requests stays then.
const LAST_WORD_TIME: Duration = Duration::from_millis(300);

/// The requests of one HTTP/2 connection that haven't been answered to their end.
pub(super) struct Streams {
    connection: Connection,
    now: Mutex<Now>,
}

struct Now {
    running: usize,
    /// Since when nothing runs.
    idle: Instant,
    /// Something has run.
    begun: bool,
}

/// One of them.
pub(super) struct Running {
    streams: Arc<Streams>,
    is_too_many: bool,
}

impl Streams {
    /// Begins to look after a connection, on the thread that answers it.
    pub(super) fn look_after(connection: Connection, stop: CancellationToken) -> Arc<Self> {
        let now = Now { running: 0, idle: Instant::now(), begun: false };
        let streams = Arc::new(Self { connection, now: Mutex::new(now) });
        // Ends with the connection.
        actix_web::rt::spawn(look(Arc::downgrade(&streams), stop));
        streams
    }

    /// Counts a request in; none over HTTP/1.
    pub(super) fn enter(req: &ServiceRequest) -> Option<Running> {
        if req.version() != Version::HTTP_2 {
            return None;
        }
        let streams = Arc::clone(req.request().conn_data::<Arc<Self>>()?);
        let running = {
            let mut now = streams.now();
            now.begun = true;
            now.running += 1;
            now.running
        };
        if running > STREAMS_BEYOND {
            streams.connection.cut();
        }
        Some(Running { streams, is_too_many: running > STREAMS_MAX })
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether nobody would miss the connection.
    fn is_spent(&self, stops: bool) -> bool {
        let now = self.now();
        let patience = match now.begun {
            // Time for the last answer to leave.
            _ if stops => LAST_WORD_TIME,
            true => KEEP_ALIVE,
            false => HEAD_TIME_MAX,
        };
        now.running == 0 && now.idle.elapsed() >= patience
    }
}

async fn look(streams: Weak<Streams>, stop: CancellationToken) {
    loop {
        if stop.is_cancelled() {
            tokio::time::sleep(LOOK_SOON).await;
        } else {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let Some(streams) = streams.upgrade() else { return };
        if streams.is_spent(stop.is_cancelled()) {
            streams.connection.cut();
            return;
        }
    }
}

impl Running {
    /// Says whether it is one too many.
    pub(super) fn is_too_many(&self) -> bool {
        self.is_too_many
    }

    /// Has the request count until its answer is sent.
    pub(super) fn until_sent(self, answer: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        answer.map_body(|_, body| held::with(body, self))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut now = self.streams.now();
        now.running -= 1;
        now.idle = Instant::now();
    }
}
