//! The download of an original that is encrypted on the disk.
//!
//! Which bytes are asked for, and whether, has been decided by then as for any other file: the
//! encrypted one has the same size and time. Here only the body is another one. Nothing is sent
//! that isn't proven, and no more of it is held than one piece.

use super::problem::Problem;
use super::translate;
use crate::disk::{DiskError, PlainFile};
use crate::units::ByteOffset;
use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::http::header;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

/// Bytes that are decrypted at once.
const PIECE_BYTES: u64 = 256 << 10;

/// What is left to send.
struct Rest {
    original: PlainFile,
    at: u64,
    end: u64,
}

/// Replaces the body of an answer that was made for the encrypted file.
///
/// # Errors
/// `original-unreadable` if the first bytes aren't as they were written. Where that is found out
/// later, the connection is cut.
pub(super) async fn answer(
    answer: HttpResponse,
    original: PlainFile,
) -> Result<HttpResponse, Problem> {
    let count = match answer.body().size() {
        BodySize::Sized(count) if count > 0 => count,
        _ => return Ok(answer),
    };
    let at = first_of(&answer).unwrap_or(0);
    let rest = Rest { original, at, end: at.saturating_add(count) };
    let (first, rest) = rest.next().await.map_err(translate::disk)?;
    let later = stream::unfold(Some(rest), |rest| async {
        let rest = rest.filter(|rest| rest.at < rest.end)?;
        match rest.next().await {
            Ok((piece, rest)) => Some((Ok(piece), Some(rest))),
            Err(cause) => {
                tracing::error!("a download is cut: {cause}");
                Some((Err(cause), None))
            }
        }
    });
    let body = stream::iter([Ok::<_, DiskError>(first)]).chain(later);
    let body = SizedStream::new(count, Box::pin(body));
    Ok(answer.map_body(|_, _| BoxBody::new(body)))
}

impl Rest {
    /// Reads the next piece where blocking is allowed.
    async fn next(mut self) -> Result<(Bytes, Self), DiskError> {
        let done = tokio::task::spawn_blocking(move || {
            let count = usize::try_from((self.end - self.at).min(PIECE_BYTES)).unwrap_or(0);
            let mut piece = vec![0; count];
            let read = self.original.read_at(ByteOffset(self.at), &mut piece)?;
            piece.truncate(read);
            self.at += read as u64;
            Ok((Bytes::from(piece), self))
        });
        let (piece, rest) = done.await.unwrap_or(Err(DiskError::Missing))?;
        // It ends before its own length: the body would never.
        if piece.is_empty() { Err(DiskError::Missing) } else { Ok((piece, rest)) }
    }
}

/// Returns the first byte of a part, from `Content-Range: bytes 5-9/100`.
fn first_of(answer: &HttpResponse) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
