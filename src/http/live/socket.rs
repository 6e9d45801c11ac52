//! `GET /api/ws`: the events as WebSocket messages (RFC 6455), one JSON object each.
//!
//! A socket is one stream of bytes out and one in, without a task or a channel of its own: that
//! is what a listener costs, and there may be thousands. The texts are those of the event stream.
//! What clients say is bounded and, but for what the protocol asks for, passed over.

use super::said::LiveEvent;
use super::{App, Listener, Query, Said};
use crate::http::guard;
use crate::http::problem::{Code, Problem};
use actix_http::ws::{self, CloseCode, CloseReason, Codec, Frame, Message, ProtocolError};
use actix_web::body::BodyStream;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use std::collections::VecDeque;
use std::convert::Infallible;
use tokio_util::codec::{Decoder, Encoder};

/// Where sockets are.
pub(in crate::http) const PATH: &str = "/api/ws";
/// Longest message that a client may send. They have nothing to say.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Tells the same over a WebSocket, one JSON object in a message.
#[utoipa::path(get, path = "/api/ws", operation_id = "openSocket", params(Query),
    security((), ("bearer" = []), ("cookie" = [])),
    responses((status = 101, body = LiveEvent,
        description = "From here on WebSocket (RFC 6455); each message is one of these")))]
pub(super) async fn socket(
    req: HttpRequest,
    app: App,
    query: web::Query<Query>,
    said: web::Payload,
) -> Result<HttpResponse, Problem> {
    guard::refuse_foreign_session(&req, &app)?;
    let last = query.last_event_id;
    let listener = Listener::open(&req, &app, query.into_inner(), last).await?;
    ws::verify_handshake(req.head()).map_err(|cause| {
        let detail = format!("This address speaks WebSocket, version 13: {cause}.");
        Problem::new(Code::InvalidRequest, detail).header("sec-websocket-version", "13")
    })?;
    let talk = Talk {
        listener,
        said,
        heard: BytesMut::new(),
        codec: Codec::new().max_size(MESSAGE_BYTES_MAX),
        ready: VecDeque::new(),
        unanswered: false,
        ended: false,
    };
    let bytes = stream::unfold(talk, |mut talk| async move {
        let bytes = talk.next().await?;
        Some((Ok::<Bytes, Infallible>(bytes), talk))
    });
    let answer = ws::handshake_response(req.head()).message_body(BodyStream::new(bytes));
    Ok(answer.map_err(Problem::internal)?.map_into_boxed_body().into())
}

/// One open socket.
struct Talk {
    listener: Listener,
    said: web::Payload,
    /// What the client said and wasn't read yet; bounded by the codec.
    heard: BytesMut,
    codec: Codec,
    /// What is to be sent: one message at most, in pieces.
    ready: VecDeque<Bytes>,
    /// The client hasn't answered the last ping.
    unanswered: bool,
    /// Nothing more is sent behind what is ready.
    ended: bool,
}

impl Talk {
    /// Waits for what to send next; none ends the connection.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.ended {
                return None;
            }
            tokio::select! {
                said = self.listener.next() => match said {
                    Some(Said::Text(text)) => {
                        let json = text.json();
                        self.ready.extend([text_head(json.len()), json]);
                    }
                    Some(Said::Nothing) if self.unanswered => self.close(CloseCode::Away),
                    Some(Said::Nothing) => {
                        self.unanswered = true;
                        self.send(Message::Ping(Bytes::new()));
                    }
                    None => self.close(CloseCode::Away),
                },
                heard = self.said.next() => match heard {
                    Some(Ok(bytes)) => self.hear(&bytes),
                    // The client is gone: nobody reads a farewell.
                    Some(Err(_)) | None => self.ended = true,
                },
            }
        }
    }

    /// Answers what the protocol wants answered. Of many pings the last is enough.
    fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        let mut pong = None;
        loop {
            match self.codec.decode(&mut self.heard) {
                Ok(Some(Frame::Ping(word))) => pong = Some(Message::Pong(word)),
                Ok(Some(Frame::Pong(_))) => self.unanswered = false,
                Ok(Some(Frame::Close(reason))) => {
                    self.ended = true;
                    return self.send(Message::Close(reason));
                }
                Ok(Some(Frame::Text(_) | Frame::Binary(_) | Frame::Continuation(_))) => {}
                Ok(None) => break,
                Err(ProtocolError::Overflow) => return self.close(CloseCode::Size),
                Err(_) => return self.close(CloseCode::Protocol),
            }
        }
        if let Some(pong) = pong {
            self.send(pong);
        }
    }

    fn close(&mut self, code: CloseCode) {
        self.ended = true;
        self.send(Message::Close(Some(CloseReason::from(code))));
    }

    fn send(&mut self, message: Message) {
        let mut frame = BytesMut::new();
        // Only continuations can be out of order, and there are none.
        if self.codec.encode(message, &mut frame).is_ok() {
            self.ready.push_back(frame.freeze());
        }
    }
}

/// Returns the head of a text frame from a server (RFC 6455, 5.2), so that the text itself needn't
/// be copied.
fn text_head(bytes: usize) -> Bytes {
    let mut head = vec![0x81];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short), _) if short < 126 => head.push(short),
        (_, Ok(medium)) => {
            head.push(126);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend((bytes as u64).to_be_bytes());
        }
    }
    Bytes::from(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads that are written here are those that the library would write.
    #[test]
    fn heads_are_the_librarys() {
        for length in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000] {
            let text = "a".repeat(length);
            let mut frame = BytesMut::new();
            let message = Message::Text(text.clone().into());
            Codec::new().encode(message, &mut frame).expect("a frame");
            assert_eq!([&text_head(length), text.as_bytes()].concat(), frame, "{length}");
        }
    }
}
