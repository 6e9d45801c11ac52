//! What lives for as long as an answer is sent.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Returns an answer's body that keeps `thing` until its last byte has been handed on, or nobody
/// wants it any more.
pub(super) fn with<T: Unpin + 'static>(body: BoxBody, thing: T) -> BoxBody {
    BoxBody::new(Held { body, _thing: thing })
}

/// An answer's body that drops something when it is dropped itself.
struct Held<T> {
    body: BoxBody,
    _thing: T,
}

impl<T: Unpin> MessageBody for Held<T> {
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
