//! An archive over the control socket: pieces, each behind its length, an empty one at the end, and
//! the line that says what came of it. So what breaks off is never taken for the whole.

use super::{Desk, LINE_BYTES_MAX, PATIENCE, PATIENCE_LONG, Reply, Request};
use crate::rights::{RightsError, Wanted};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Bytes that are gathered before they are sent, and the most that a piece has.
const PIECE_BYTES: usize = 256 << 10;
const PIECE_BYTES_MAX: u64 = 1 << 20;
/// Pieces that wait for the other side; whoever writes more waits as well.
const WAITING_MAX: usize = 4;

/// Hands what is written on to whoever sends it.
struct Pieces {
    to: mpsc::Sender<Vec<u8>>,
    gathered: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_BYTES);
        self.gathered.extend_from_slice(&bytes[..count]);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.gathered);
        // Whoever wanted it has gone, or the server stops.
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Sends all that is kept of somebody, until it is whole or nobody listens any more.
pub(super) async fn send(
    mut read: impl AsyncRead + Unpin,
    write: &mut (impl AsyncWrite + Unpin),
    desk: &Desk,
    wanted: Wanted,
) -> io::Result<()> {
    // The other side has nothing more to say: what can be read is its end.
    let gone = async {
        let mut byte = [0];
        let _ = read.read(&mut byte).await;
    };
    tokio::select! {
        () = gone => Err(io::ErrorKind::BrokenPipe.into()),
        sent = send_all(write, desk, wanted) => sent,
    }
}

/// Dropped, it lets whoever writes the archive fail at the next piece.
async fn send_all(
    write: &mut (impl AsyncWrite + Unpin),
    desk: &Desk,
    wanted: Wanted,
) -> io::Result<()> {
    let (to, mut pieces) = mpsc::channel(WAITING_MAX);
    let exports = desk.exports.clone();
    let writing = tokio::task::spawn_blocking(move || match exports {
        Some(exports) => exports.write(&wanted, &mut Pieces { to, gathered: Vec::new() }),
        None => Err(RightsError::Task),
    });
    while let Some(piece) = pieces.recv().await {
        let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
        timeout(PATIENCE_LONG, write.write_all(&length.to_be_bytes())).await??;
        timeout(PATIENCE_LONG, write.write_all(&piece)).await??;
    }
    let reply = match writing.await.map_err(io::Error::other)? {
        Ok(exported) => Reply::Archived { exported },
        Err(cause) => Reply::Refused { reason: cause.to_string() },
    };
    let mut text = 0_u32.to_be_bytes().to_vec();
    serde_json::to_writer(&mut text, &reply)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

/// Asks the server that listens at `path` for all that is kept of somebody and writes it to `to`;
/// `None`, and nothing is written, when no server listens.
///
/// # Errors
/// The server breaks off, or doesn't answer in its own words; what `to` says. What is written then
/// is no archive.
pub fn fetch(path: &Path, wanted: &Wanted, to: &mut dyn Write) -> io::Result<Option<Reply>> {
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(path) else {
        return Ok(None);
    };
    stream.set_read_timeout(Some(PATIENCE_LONG + PATIENCE))?;
    let mut text = serde_json::to_vec(&Request::UserExport { wanted: wanted.clone() })?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut from = BufReader::new(stream);
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u64::from(u32::from_be_bytes(length));
        if length > PIECE_BYTES_MAX {
            // One that knows nothing of archives answers a line.
            return Err(io::Error::other("it answered something else"));
        }
        if length == 0 {
            let mut line = String::new();
            from.take(LINE_BYTES_MAX).read_line(&mut line)?;
            return Ok(Some(serde_json::from_str(&line)?));
        }
        if io::copy(&mut (&mut from).take(length), to)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
