//! A second hand on each client's socket, for the two things that the HTTP library has no call
//! for: a word before the answer (RFC 9110, 15.2), and an end to a body that nobody wants.

use super::limits::{Connections, TooMany};
use super::streams::Streams;
use super::tls::Secured;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use std::any::Any;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// What somebody with too many connections is told.
const REFUSAL: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 10\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

/// The socket of one connection; closed with it.
pub(super) enum Connection {
    /// Over a network.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
    /// Over a network, with TLS: nothing can be said past it.
    Secured(TcpStream),
}

impl Connection {
    /// Keeps a hand on a connection that was just taken, or ends it if there are enough from its
    /// address; called by the server for each.
    pub(super) fn keep(socket: &dyn Any, data: &mut Extensions, connections: &Connections) {
        let peer = socket
            .downcast_ref::<actix_web::rt::net::TcpStream>()
            .and_then(|tcp| tcp.peer_addr().ok())
            .map(|peer| peer.ip());
        let kept = if let Some(tcp) = socket.downcast_ref::<actix_web::rt::net::TcpStream>() {
            doubled(tcp).map(|fd| Self::Tcp(fd.into()))
        } else if let Some(unix) = socket.downcast_ref::<actix_web::rt::net::UnixStream>() {
            doubled(unix).map(|fd| Self::Unix(fd.into()))
        } else {
            None
        };
        match connections.enter(peer) {
            Ok(Some(place)) => drop(data.insert(place)),
            Ok(None) => {}
            Err(TooMany) => {
                if let Some(kept) = &kept {
                    kept.interim(REFUSAL);
                    kept.cut();
                }
                return;
            }
        }
        if let Some(kept) = kept {
            data.insert(kept);
        }
    }

    /// Keeps a hand on a connection whose handshake is done, and an eye on what runs over it.
    pub(super) fn keep_secured(io: &Secured, data: &mut Extensions, stop: &CancellationToken) {
        let Some(kept) = doubled(io.socket()).map(|fd| Self::Secured(fd.into())) else { return };
        if io.is_http_2()
            && let Some(another) = kept.double()
        {
            data.insert(Streams::look_after(another, stop.clone()));
        }
        data.insert(kept);
    }

    /// Says whether a request came with TLS.
    pub(super) fn is_secured(req: &HttpRequest) -> bool {
        matches!(Self::of(req), Some(Self::Secured(_)))
    }

    /// Returns the connection that a request came over, if there is a hand on it.
    pub(super) fn of(req: &HttpRequest) -> Option<&Self> {
        req.conn_data()
    }

    /// Sends an interim answer ahead of the final one, whole or not at all; says whether it went.
    ///
    /// Only before the handler returns: nothing else writes to the socket until then, as a
    /// connection's requests are answered one after another.
    pub(super) fn interim(&self, head: &[u8]) -> bool {
        let sent = match self {
            Self::Tcp(socket) => (&*socket).write(head),
            Self::Unix(socket) => (&*socket).write(head),
            Self::Secured(_) => return false,
        };
        match sent {
            Ok(bytes) if bytes == head.len() => true,
            Ok(_) => {
                // Half a head would be read as the beginning of the answer.
                self.cut();
                false
            }
            Err(_) => false,
        }
    }

    /// Returns another hand on the socket, which stays open for as long as there is one.
    pub(super) fn double(&self) -> Option<Self> {
        let doubled = match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
            Self::Secured(socket) => socket.try_clone().map(Self::Secured),
        };
        doubled.ok()
    }

    /// Ends the connection in both directions.
    pub(super) fn cut(&self) {
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Both),
            Self::Unix(socket) => socket.shutdown(Shutdown::Both),
            Self::Secured(socket) => socket.shutdown(Shutdown::Both),
        };
    }
}

/// Returns a descriptor of its own for a socket; none when the process has too many.
fn doubled(socket: &impl AsFd) -> Option<OwnedFd> {
    socket.as_fd().try_clone_to_owned().ok()
}
