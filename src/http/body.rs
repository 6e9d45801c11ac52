//! Request bodies that nobody wants to read to their end.
//!
//! The HTTP library reads on after an early answer: for a second where the length is known, for
//! ever where it isn't. So every body passes through a [`Tap`]. What a handler leaves unread is
//! read up to a small bound, for clients that look at the answer only after sending; what is
//! still left then is cut off with the connection. The library waits for ever for the next piece of
//! a body as well; the tap doesn't.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::ConnectionType;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// How much of a refused body is read before the connection is closed.
const DRAINED_BYTES_MAX: usize = 1 << 20;
/// How long a refused body is waited for.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);

/// A second hand on a request's body.
pub(super) struct Tap {
    shared: Rc<RefCell<Source>>,
}

struct Source {
    payload: Payload,
    ended: bool,
    /// Nothing came for too long: what is left isn't waited for any more.
    stalled: bool,
    idle: Duration,
    /// When the next piece has to be there; set while it is waited for.
    due: Option<Pin<Box<Sleep>>>,
}

impl Tap {
    /// Puts a tap on a request's body, if it has one. A body that brings nothing for longer than
    /// `idle` ends with an error.
    pub(super) fn install(req: &mut ServiceRequest, idle: Duration) -> Option<Self> {
        let headers = req.headers();
        let length = headers.get(header::CONTENT_LENGTH).map(header::HeaderValue::as_bytes);
        let empty = length.is_none_or(|length| length == b"0");
        if empty && !headers.contains_key(header::TRANSFER_ENCODING) {
            return None;
        }
        let payload = std::mem::replace(req.parts_mut().1, Payload::None);
        let source = Source { payload, ended: false, stalled: false, idle, due: None };
        let shared = Rc::new(RefCell::new(source));
        let reader = Reader { shared: shared.clone() };
        req.set_payload(Payload::Stream { payload: Box::pin(reader) });
        Some(Self { shared })
    }

    /// Reads what the handler left, up to the bounds, and gives back an answer that closes the
    /// connection if there is more.
    pub(super) async fn settle(self, answer: HttpResponse<BoxBody>) -> HttpResponse<BoxBody> {
        let mut reader = Reader { shared: self.shared };
        let stalled = reader.shared.borrow().stalled;
        if !stalled {
            let drained = tokio::time::timeout(DRAIN_TIME_MAX, drain(&mut reader)).await;
            if drained == Ok(true) || reader.shared.borrow().ended {
                return answer;
            }
        }
        let mut answer = answer;
        answer.head_mut().set_connection_type(ConnectionType::Close);
        // While the answer's body holds the request's, the library takes it for unread and
        // closes; were it dropped, a body without a length would be read to its end.
        answer.map_body(|_, body| BoxBody::new(Holding { body, _unread: reader }))
    }
}

/// Says whether the end came before the bound.
async fn drain(reader: &mut Reader) -> bool {
    let mut bytes = 0;
    while bytes < DRAINED_BYTES_MAX {
        match reader.next().await {
            Some(Ok(piece)) => bytes += piece.len(),
            Some(Err(_)) | None => return true,
        }
    }
    false
}

impl Source {
    /// Waits for the moment at which a piece that hasn't come is given up.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let idle = self.idle;
        let due = self.due.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if due.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stalled = true;
        Poll::Ready(Some(Err(PayloadError::Io(std::io::ErrorKind::TimedOut.into()))))
    }
}

/// The body as the handler reads it.
struct Reader {
    shared: Rc<RefCell<Source>>,
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
        source.due = None;
        // After an error nothing more comes either.
        source.ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }
}

/// An answer's body that keeps the request's unread one alive.
struct Holding {
    body: BoxBody,
    _unread: Reader,
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
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
async fn bounded(
    mut payload: web::Payload,
    bytes_max: usize,
) -> Result<Vec<u8>, super::problem::Problem> {
    use super::problem::{Code, Problem};
    let mut bytes = Vec::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| {
            Problem::new(Code::BodyIncomplete, "The body was cut short.").cause(error)
        })?;
        if bytes.len() + piece.len() > bytes_max {
            let detail = format!("The body is larger than {} KiB.", bytes_max >> 10);
            return Err(Problem::new(Code::BodyTooLarge, detail));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}
