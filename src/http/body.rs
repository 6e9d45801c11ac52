//! Request bodies that nobody wants to read to their end.
//!
//! The HTTP library reads on after an early answer: for a time where the length is known, for ever
//! where it isn't. So every body passes through a [`Tap`]. What a handler leaves unread is read if
//! it is small, so that the connection can be used again. Of anything larger no more is taken than
//! fits into the socket: the connection is held open for a moment, unread, so that the answer
//! arrives before the reset. The library waits for ever for the next piece of a body as well; the
//! tap doesn't.

use super::connection::Connection;
use super::held;
use crate::model::pace::Pace;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::http::{ConnectionType, StatusCode, Version};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// How much of a refused body is read, for the sake of the connection.
const DRAINED_BYTES_MAX: u64 = 1 << 20;
/// How much is read when nobody knows how much there is. Reading makes the system widen the
/// socket's buffer, by more than was read; a refused body may cost its sender 4 MiB in all.
const DRAINED_UNKNOWN_BYTES_MAX: u64 = 128 << 10;
/// How long a refused body is waited for.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);
/// How long a connection with a refused body stays open after its answer. Its client can't send
/// on and so has nothing better to do than to read; closing at once would throw away, on some
/// systems, an answer that has arrived and wasn't looked at.
const LINGER_TIME: Duration = Duration::from_millis(600);
/// How many connections linger at once; one more is closed right after its answer.
const LINGERING_MAX: usize = 256;

/// A second hand on a request's body.
pub(super) struct Tap {
    shared: Rc<RefCell<Source>>,
}

struct Source {
    payload: Payload,
    ended: bool,
    /// Nothing came for too long: what is left isn't waited for any more.
    stalled: bool,
    /// The library gave up on the body.
    failed: bool,
    /// What is still to come, if the request said its length.
    left: Option<u64>,
    pace: Option<Pace>,
    /// Since when the next piece is waited for, and when to look at the pace; set meanwhile.
    waiting: Option<Instant>,
    due: Option<Pin<Box<Sleep>>>,
}

impl Tap {
    /// Puts a tap on a request's body, if it has one. A body that doesn't keep `pace`, if it has to
    /// keep one, ends with an error.
    pub(super) fn install(req: &mut ServiceRequest, pace: Option<Pace>) -> Option<Self> {
        if matches!(req.parts_mut().1, Payload::None) {
            return None;
        }
        let headers = req.headers();
        let coded = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.contains_key(header::UPGRADE);
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        // A request that asks for another protocol has a body without an end.
        let left = length.and_then(|text| text.parse().ok()).filter(|_| !coded);
        if left == Some(0) {
            return None;
        }
        let payload = std::mem::replace(req.parts_mut().1, Payload::None);
        let source = Source {
            payload,
            ended: false,
            stalled: false,
            failed: false,
            left,
            pace,
            waiting: None,
            due: None,
        };
        let shared = Rc::new(RefCell::new(source));
        let reader = Reader { shared: shared.clone() };
        req.set_payload(Payload::Stream { payload: Box::pin(reader) });
        Some(Self { shared })
    }

    /// Reads what the handler left if that is little, and gives back an answer that closes the
    /// connection if it is more.
    pub(super) async fn settle(
        self,
        req: &HttpRequest,
        answer: HttpResponse<BoxBody>,
    ) -> HttpResponse<BoxBody> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            // What comes from now on is no body, and has a reader.
            return answer;
        }
        let mut reader = Reader { shared: self.shared };
        if reader.is_worth_draining() {
            // Late or not, what was read is seen in the reader.
            let _ = tokio::time::timeout(DRAIN_TIME_MAX, drain(&mut reader)).await;
        }
        let mut answer = answer;
        let (ended, failed) = {
            let source = reader.shared.borrow();
            (source.ended, source.failed)
        };
        if failed || !ended {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        if ended {
            return answer;
        }
        let lingers = linger(req);
        // While the answer's body holds the request's, the library takes it for unread and
        // closes; were it dropped, a body without a length would be read to its end.
        answer.map_body(|_, body| held::with(body, (reader, lingers)))
    }
}

/// Says whether a request may bring a body of whose length it says nothing. HTTP/2 has no header
/// that tells of one (RFC 9113, 8.1): there a body may always come, and be empty.
pub(super) fn may_come_unsaid(req: &HttpRequest) -> bool {
    req.version() == Version::HTTP_2 || req.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Reads to the end or the bound.
async fn drain(reader: &mut Reader) {
    let mut bytes = 0;
    let known = reader.shared.borrow().left.is_some();
    let bytes_max = if known { DRAINED_BYTES_MAX } else { DRAINED_UNKNOWN_BYTES_MAX };
    while bytes < bytes_max {
        match reader.next().await {
            Some(Ok(piece)) => bytes += piece.len() as u64,
            Some(Err(_)) | None => return,
        }
    }
}

/// Holds a connection open, without reading from it, until a while after what is returned was
/// dropped. Its client's sending comes to a stop meanwhile, as the socket is full.
fn linger(req: &HttpRequest) -> Option<oneshot::Sender<()>> {
    // Other requests share the connection, and the library ends the one by itself.
    if req.version() == Version::HTTP_2 {
        return None;
    }
    let place = Place::take()?;
    let socket = Connection::of(req)?.double()?;
    let (held, released) = oneshot::channel::<()>();
    // Ends with the thread that answers, at the latest.
    actix_web::rt::spawn(async move {
        let _ = released.await;
        tokio::time::sleep(LINGER_TIME).await;
        socket.cut();
        drop(place);
    });
    Some(held)
}

/// One of the few places for connections that linger.
struct Place;

static LINGERING: AtomicUsize = AtomicUsize::new(0);

impl Place {
    fn take() -> Option<Self> {
        // Counted first, so that two at once can't both get the last one.
        let place = (LINGERING.fetch_add(1, Ordering::Relaxed), Self);
        (place.0 < LINGERING_MAX).then_some(place.1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        LINGERING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source {
    /// Waits for the moment at which a body that is too slow is given up.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        loop {
            let Some(patience) = self.pace.as_ref().map(Pace::patience) else {
                return Poll::Pending;
            };
            self.waiting.get_or_insert_with(Instant::now);
            let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            if due.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.is_too_slow() {
                break;
            }
        }
        self.stalled = true;
        Poll::Ready(Some(Err(PayloadError::Io(std::io::ErrorKind::TimedOut.into()))))
    }
}

impl Source {
    /// Ends the waiting for a piece, and says whether the body has become too slow.
    fn is_too_slow(&mut self) -> bool {
        self.due = None;
        let waited = self.waiting.take().map(|since| since.elapsed());
        let pace = self.pace.as_mut();
        waited.zip(pace).is_some_and(|(waited, pace)| pace.is_too_slow(waited))
    }
}

/// The body as the handler reads it.
struct Reader {
    shared: Rc<RefCell<Source>>,
}

impl Reader {
    /// Says whether the body may soon be at its end.
    fn is_worth_draining(&self) -> bool {
        let source = self.shared.borrow();
        let little = source.left.is_none_or(|left| left <= DRAINED_BYTES_MAX);
        !source.ended && !source.stalled && little
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut source = self.shared.borrow_mut();
        if source.ended || source.stalled {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut source.payload).poll_next(cx);
        if polled.is_pending() {
            return source.poll_due(cx);
        }
        let is_too_slow = source.is_too_slow();
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            let bytes = piece.len() as u64;
            if let Some(pace) = &mut source.pace {
                pace.came(bytes);
            }
            source.left = source.left.map(|left| left.saturating_sub(bytes));
            // The piece goes too: whoever reads learns of a body that isn't whole.
            if is_too_slow {
                source.stalled = true;
                let error = PayloadError::Io(std::io::ErrorKind::TimedOut.into());
                return Poll::Ready(Some(Err(error)));
            }
        }
        // After an error nothing more comes either.
        source.failed = matches!(polled, Poll::Ready(Some(Err(_))));
        source.ended = source.failed || matches!(polled, Poll::Ready(None));
        polled
    }
}

/// How many more bytes a form may have besides its file. Without it a form could go on for ever
/// with what the library reads over: text before the first field, fields that are too long.
#[derive(Clone)]
pub(super) struct Allowance {
    left: Rc<Cell<u64>>,
}

impl Allowance {
    /// Allows this many bytes besides the file.
    pub(super) fn of(bytes: u64) -> Self {
        Self { left: Rc::new(Cell::new(bytes)) }
    }

    /// Ends a form's body with an error once the allowance is spent.
    pub(super) fn limit<S: Stream<Item = Result<Bytes, PayloadError>>>(
        &self,
        payload: S,
    ) -> impl Stream<Item = Result<Bytes, PayloadError>> + use<S> {
        let left = self.left.clone();
        payload.map(move |piece| {
            let piece = piece?;
            let rest = left.get().checked_sub(piece.len() as u64);
            left.set(rest.ok_or(PayloadError::Overflow)?);
            Ok(piece)
        })
    }

    /// Gives back what the file's bytes took.
    pub(super) fn refund<E, S: Stream<Item = Result<Bytes, E>> + Unpin>(
        &self,
        file: S,
    ) -> impl Stream<Item = Result<Bytes, E>> + Unpin + use<E, S> {
        let left = self.left.clone();
        file.inspect(move |piece| {
            let bytes = piece.as_ref().map_or(0, Bytes::len);
            left.set(left.get().saturating_add(bytes as u64));
        })
    }
}

/// Reads a JSON body of at most `JSON_BYTES_MAX`.
///
/// # Errors
/// 415 for another type, 413 for a larger body, 400 for a body that isn't what is expected.
pub(super) async fn json<T: serde::de::DeserializeOwned>(
    req: &actix_web::HttpRequest,
    payload: web::Payload,
) -> Result<T, super::problem::Problem> {
    json_of(req, payload, JSON_BYTES_MAX).await
}

/// As [`json`], where nothing may be said at all.
pub(super) async fn json_or_nothing<T: serde::de::DeserializeOwned + Default>(
    req: &actix_web::HttpRequest,
    payload: web::Payload,
) -> Result<T, super::problem::Problem> {
    let is_said = req.headers().contains_key(header::CONTENT_TYPE);
    if is_said { json(req, payload).await } else { Ok(T::default()) }
}

/// As [`json`], with a bound of its own.
pub(super) async fn json_of<T: serde::de::DeserializeOwned>(
    req: &actix_web::HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<T, super::problem::Problem> {
    use super::problem::{Code, Problem};
    let kind = req.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(Code::ContentType, "Send application/json."));
    }
    let bytes = bounded(payload, bytes_max).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("The body isn't the expected JSON: {error}.");
        Problem::new(Code::InvalidRequest, detail)
    })
}

/// Longest body of a call that isn't an upload.
const JSON_BYTES_MAX: usize = 64 << 10;

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// 413 for a larger body, 400 for one that is cut short.
pub(super) async fn bounded(
    mut payload: web::Payload,
    bytes_max: usize,
) -> Result<Vec<u8>, super::problem::Problem> {
    use super::problem::{Code, Problem};
    let mut bytes = Vec::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| match &error {
            PayloadError::Io(io) if io.kind() == std::io::ErrorKind::TimedOut => {
                let detail = "The body stopped coming.";
                Problem::new(Code::BodyTimedOut, detail).retry_after(super::translate::IDLE_SECONDS)
            }
            _ => Problem::new(Code::BodyIncomplete, "The body was cut short.").cause(error),
        })?;
        if bytes.len() + piece.len() > bytes_max {
            let detail = format!("The body is larger than {} KiB.", bytes_max >> 10);
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
