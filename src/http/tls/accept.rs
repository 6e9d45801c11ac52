//! From a TCP connection to one that HTTP is spoken over: a place among its address's
//! connections first, then the handshake, within a deadline.

use super::{HTTP_2, Tls};
use crate::http::connection::Connection;
use crate::http::limits::{Connections, Place};
use crate::http::{
    BLOCKING_THREADS_MAX, CONNECTIONS_MAX, DRAIN_SECONDS, HEAD_TIME_MAX, KEEP_ALIVE,
};
use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::dev::{AppConfig, Extensions, Server};
use actix_web::rt::net::TcpStream;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a handshake may take, from the connection's first moment.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How a handshake begins (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;
/// What somebody who speaks plain HTTP is told.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: 59\r\n\r\n\
    This port speaks HTTPS: begin the address with https://...\n";
/// How much of a plain request is read, so that the answer to it arrives.
const PLAIN_BYTES_MAX: u64 = 64 << 10;
/// How long for.
const PLAIN_TIME_MAX: Duration = Duration::from_millis(500);

/// What connections pass on their way in.
#[derive(Clone)]
pub(in crate::http) struct Gate {
    pub(in crate::http) tls: Tls,
    pub(in crate::http) connections: Connections,
    /// Fires when the server stops.
    pub(in crate::http) stop: CancellationToken,
}

/// A connection after its handshake.
pub(in crate::http) struct Secured {
    stream: TlsStream<TcpStream>,
    _place: Option<Place>,
}

impl Secured {
    /// Returns the socket beneath.
    pub(in crate::http) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0
    }

    /// Says whether the client has chosen HTTP/2.
    pub(in crate::http) fn is_http_2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
    }
}

impl Gate {
    async fn pass(
        self,
        tcp: TcpStream,
    ) -> Result<(Secured, Protocol, Option<SocketAddr>), DispatchError> {
        let peer = tcp.peer_addr().ok();
        let place = self.connections.enter(peer.map(|peer| peer.ip()));
        let place = place.map_err(|_| DispatchError::Io(io::ErrorKind::QuotaExceeded.into()))?;
        // Answers are small pieces after one another.
        let _ = tcp.set_nodelay(true);
        let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, self.shake(tcp)).await;
        let late = |_| DispatchError::Io(io::ErrorKind::TimedOut.into());
        let stream = shaken.map_err(late)?.map_err(DispatchError::Io)?;
        let secured = Secured { stream, _place: place };
        let protocol = if secured.is_http_2() { Protocol::Http2 } else { Protocol::Http1 };
        Ok((secured, protocol, peer))
    }

    async fn shake(&self, mut tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if tcp.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            refuse_plain(&mut tcp).await;
            return Err(io::ErrorKind::InvalidData.into());
        }
        TlsAcceptor::from(self.tls.rules()).accept(tcp).await
    }
}

/// Tells somebody who speaks something else what is spoken here.
async fn refuse_plain(tcp: &mut TcpStream) {
    // Whoever doesn't take the word hears the connection's end.
    let _ = tcp.write_all(PLAIN).await;
    let _ = tcp.shutdown().await;
    let mut rest = tcp.take(PLAIN_BYTES_MAX);
    let mut nowhere = tokio::io::sink();
    let _ = tokio::time::timeout(PLAIN_TIME_MAX, tokio::io::copy(&mut rest, &mut nowhere)).await;
}

/// Answers at these sockets, with TLS.
///
/// # Errors
/// The socket that can't be used, by its address.
pub(in crate::http) fn serve<F, I, S, B>(
    app: F,
    gate: &Gate,
    threads: usize,
    sockets: Vec<TcpListener>,
) -> Result<Server, (String, io::Error)>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Service: 'static,
    S::Error: Into<actix_web::Error>,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let mut server = Server::build()
        .workers(threads)
        .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
        .max_concurrent_connections(CONNECTIONS_MAX)
        .shutdown_timeout(DRAIN_SECONDS)
        .disable_signals();
    let draining = server.graceful_shutdown_signal();
    for socket in sockets {
        let draining = draining.clone();
        let address = socket.local_addr().map(|at| at.to_string()).unwrap_or_default();
        let (app, gate) = (app.clone(), gate.clone());
        let made = move || {
            let app = app().into_factory().map_err(|error| error.into().error_response());
            let (stop, draining) = (gate.stop.clone(), draining.clone());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let draining = draining.clone();
                    async move { draining.notified().await }
                })
                .secure()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIME_MAX)
                // As without TLS.
                .client_disconnect_timeout(Duration::ZERO)
                .on_connect_ext(move |io: &Secured, data: &mut Extensions| {
                    Connection::keep_secured(io, data, &stop);
                })
                .finish(map_config(app, |()| AppConfig::default()));
            let gate = gate.clone();
            fn_service(move |tcp: TcpStream| gate.clone().pass(tcp)).and_then(http)
        };
        server = server.listen("secured", socket, made).map_err(|cause| (address, cause))?;
    }
    Ok(server.run())
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
