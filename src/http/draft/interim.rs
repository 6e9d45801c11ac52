//! `104 Upload Resumption Supported`: told while a body is still coming.
//!
//! Where an upload goes on is worth most before the connection breaks. But an intermediary or a
//! client that doesn't know interim answers can take one for the answer, so it is sent only to who
//! asked for it by naming a version, and unless the operator knows better not through a proxy.

use super::fields::Speech;
use crate::config::Interim as Policy;
use crate::http::Shared;
use crate::http::connection::Connection;
use crate::ids::UploadId;
use crate::units::ByteOffset;
use crate::upload::Uploads;
use actix_web::error::PayloadError;
use actix_web::http::Version;
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use futures_util::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes of a body between two looks at how far it is.
const STEP_BYTES: u64 = 4 << 20;

/// What a proxy adds to a request; some add nothing.
const MARKS: [&str; 2] = ["via", "forwarded"];

/// The way to tell a client something before its answer.
#[derive(Clone, Copy)]
pub(super) struct Interim<'a> {
    connection: &'a Connection,
    speech: Speech,
}

impl<'a> Interim<'a> {
    /// Returns the way, if there is one to this client and it may be used.
    pub(super) fn to(req: &'a HttpRequest, app: &Shared, speech: Speech) -> Option<Self> {
        let headers = req.headers();
        let is_passed_on = MARKS.iter().any(|name| headers.contains_key(*name))
            || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
        let may = match app.parts.config.upload.interim {
            Policy::Auto => !is_passed_on,
            Policy::Always => true,
            Policy::Never => false,
        };
        let connection = Connection::of(req)?;
        let is_understood = speech.is_named && req.version() == Version::HTTP_11;
        (may && is_understood).then_some(Self { connection, speech })
    }

    /// Tells where the upload is, so that it can go on there if this request breaks off.
    pub(super) fn announce(self, location: &str, limit: &str) {
        self.send(&format!("Location: {location}\r\nUpload-Limit: {limit}\r\n"));
    }

    /// Tells how much has come for certain.
    fn tell(self, offset: ByteOffset) {
        self.send(&format!("Upload-Offset: {offset}\r\n"));
    }

    fn send(self, fields: &str) {
        let version = self.speech.dialect.version;
        let first = "HTTP/1.1 104 Upload Resumption Supported";
        let head = format!("{first}\r\nUpload-Draft-Interop-Version: {version}\r\n{fields}\r\n");
        // One that can't be sent now is no loss: the answer says the same.
        self.connection.interim(head.as_bytes());
    }
}

/// A body that tells its client how far it is while it is read.
pub(super) struct Telling<'a> {
    /// The body.
    pub(super) body: web::Payload,
    /// The way to tell it, if there is one.
    pub(super) interim: Option<Interim<'a>>,
    /// Knows how far it is.
    pub(super) uploads: &'a Uploads,
    /// The upload.
    pub(super) id: UploadId,
    /// What the client knows.
    pub(super) told: ByteOffset,
    /// Bytes since the last look.
    pub(super) since: u64,
}

impl Telling<'_> {
    /// Tells what the disk has confirmed, if that is news: such an offset never goes back.
    fn look(&mut self) {
        let Some(interim) = self.interim.filter(|it| it.speech.dialect.has_progress) else {
            return;
        };
        let Ok(record) = self.uploads.peek(self.id) else { return };
        let certain = record.received.durable.contiguous_end();
        if certain > self.told {
            self.told = certain;
            interim.tell(certain);
        }
    }
}

impl Stream for Telling<'_> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.body).poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.since += piece.len() as u64;
            if self.since >= STEP_BYTES {
                self.since = 0;
                self.look();
            }
        }
        polled
    }
}
