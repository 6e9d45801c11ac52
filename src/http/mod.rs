//! HTTP: parse, call one function of another room, render. The only room that knows actix.
//!
//! No request costs more than its bounds: headers, bodies that aren't uploads, idle connections
//! and answers that nobody reads are all limited. Problems are worded in [`problem`] alone.
//! Called by `server`, which sees nothing of the library behind [`serve`].

mod admin;
mod audit;
mod body;
mod captions;
mod cards;
mod chunk_form;
mod chunks;
mod connection;
mod cors;
mod decrypted;
mod digest;
mod draft;
mod edge;
mod form;
mod forwarded;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod granted;
mod grants;
mod guard;
mod health;
mod held;
mod limits;
mod live;
mod login;
mod me;
mod media_files;
mod noted;
mod openapi;
mod operate;
mod overview;
mod pages;
mod playback;
mod poster;
mod problem;
mod recommend;
mod routes;
mod scrape;
mod streams;
mod ticket;
mod tls;
mod tokens;
mod translate;
mod trash;
mod tus;
mod upkeep;
mod uploads;
mod users;
mod videos;
mod views;
mod webhooks;

use crate::access::Access;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Disk;
use crate::events::Hub;
use crate::hooks::Hooks;
use crate::janitor::Janitor;
use crate::library::Library;
use crate::queue::Queue;
use crate::state::State;
use crate::trail::Trail;
use crate::units::UnixMillis;
use crate::upload::Uploads;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, middleware, web};
use connection::Connection;
use limits::{Connections, Limits};
use live::Board;
pub use operate::operate;
use problem::Problem;
use routes::{Routes, Table};
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tls::Gate;
pub use tls::{PairFacts, Tls, examine as examine_pair};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// Connections at once for each thread that answers.
const CONNECTIONS_MAX: usize = 10_000;
/// Threads for blocking work beside each thread that answers.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a request's head may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long running requests may go on when the server stops.
const DRAIN_SECONDS: u64 = 8;

/// The rooms that requests are answered from.
#[derive(Clone)]
pub struct AppParts {
    /// The configuration.
    pub config: Arc<Config>,
    /// The clock.
    pub clock: Clock,
    /// The files.
    pub disk: Disk,
    /// The records.
    pub state: State,
    /// The upload engine.
    pub uploads: Uploads,
    /// What is published.
    pub library: Library,
    /// Who may.
    pub access: Access,
    /// What happens.
    pub hub: Hub,
    /// The jobs.
    pub queue: Queue,
    /// Who keeps house.
    pub janitor: Janitor,
    /// Webhooks.
    pub hooks: Hooks,
    /// Who did what.
    pub trail: Trail,
    /// Whether new work is taken.
    pub readiness: Readiness,
    /// What is known of the workers, once they were looked at.
    pub worker_status: Arc<OnceLock<WorkerStatus>>,
    /// When the server started.
    pub started_at: UnixMillis,
    /// Certificate and key, where the server does TLS by itself.
    pub tls: Option<Tls>,
}

/// Says whether the server takes work; withdrawn once, when it stops. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    withdrawn: Arc<AtomicBool>,
}

impl Readiness {
    /// Tells `/readyz` to refuse from now on.
    pub fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
    }

    fn holds(&self) -> bool {
        !self.withdrawn.load(Ordering::Relaxed)
    }
}

/// What the workers can do on this machine, for the status page.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    /// The layers that confine a worker.
    pub layers: Vec<String>,
    /// The media libraries and their version.
    pub media: String,
    /// Why no worker can be started.
    pub problem: Option<String>,
}

/// Sockets to answer at; any number of each kind.
#[derive(Debug, Default)]
pub struct Listeners {
    /// TCP.
    pub tcp: Vec<TcpListener>,
    /// Unix.
    pub unix: Vec<UnixListener>,
}

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A socket can't be used.
    #[error("can't answer at {address}: {source}")]
    Socket {
        /// Which.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no socket at all.
    #[error("there is no address to answer at")]
    NoSocket,
}

/// A running server.
pub struct Served {
    /// Where it answers: `http://127.0.0.1:8080`, `https://…`, or `unix:/path`.
    pub addresses: Vec<String>,
    /// One for each way of speaking.
    handles: Vec<ServerHandle>,
    /// Fires when live streams have to end.
    streams: CancellationToken,
    told: JoinHandle<()>,
    tasks: JoinSet<io::Result<()>>,
}

impl Served {
    /// Waits until the server has ended; returns why.
    ///
    /// # Cancel
    /// Safe: the server goes on.
    pub async fn ended(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(Ok(()))) | None => "it was stopped".to_owned(),
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(error)) => error.to_string(),
        }
    }

    /// Takes no more connections, ends live streams, lets running requests finish for a few
    /// seconds, and closes everything.
    pub async fn stop(&mut self) {
        self.streams.cancel();
        // It ends at once; that it panicked would have been told by the panic.
        let _ = (&mut self.told).await;
        let stops = self.handles.iter().map(|handle| handle.stop(true));
        futures_util::future::join_all(stops).await;
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// What every handler sees.
struct Shared {
    parts: AppParts,
    /// What live streams are read from.
    board: Board,
    /// Fires when what waits for something to happen has to end.
    streams: CancellationToken,
    /// How much one caller may ask for.
    limits: Limits,
}

/// Begins to answer at `listeners`, at those of networks with TLS where there is a certificate;
/// has to be called inside a tokio runtime.
///
/// # Errors
/// `Socket` or `NoSocket`.
pub fn serve(parts: AppParts, listeners: Listeners) -> Result<Served, ServeError> {
    let streams = CancellationToken::new();
    let board = Board::new(parts.clone());
    let connections = Connections::of(&parts.config);
    let limits = Limits::of(&parts.config.limits);
    let gate = parts.tls.clone().map(|tls| Gate {
        tls,
        connections: connections.clone(),
        stop: streams.clone(),
    });
    let (told, until) = (board.clone(), streams.clone());
    let shared = web::Data::new(Shared { parts, board, streams: until, limits });
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
    let app = move || {
        let origins = &shared.parts.config.cors_origins;
        App::new()
            .app_data(shared.clone())
            .configure(register)
            .default_service(web::to(nothing_here))
            .wrap(middleware::from_fn(edge::sound))
            .wrap(cors::rules(origins))
            .wrap(middleware::from_fn(edge::frame))
    };
    let addresses = addresses(&listeners, gate.is_some());
    if addresses.is_empty() {
        return Err(ServeError::NoSocket);
    }
    let Listeners { tcp, unix } = listeners;
    let failed = |(address, source)| ServeError::Socket { address, source };
    let (secured, open) = if gate.is_some() { (tcp, Vec::new()) } else { (Vec::new(), tcp) };
    let mut servers = Vec::new();
    if let Some(gate) = gate.filter(|_| !secured.is_empty()) {
        servers.push(tls::serve(app.clone(), &gate, threads, secured).map_err(failed)?);
    }
    if !open.is_empty() || !unix.is_empty() {
        let mut server = HttpServer::new(app)
            .on_connect(move |socket, data| Connection::keep(socket, data, &connections))
            .workers(threads)
            .worker_max_blocking_threads(BLOCKING_THREADS_MAX)
            .max_connections(CONNECTIONS_MAX)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIME_MAX)
            // The library would read on from a connection that it closes, at any speed; `body`
            // holds such a connection open without reading.
            .client_disconnect_timeout(Duration::ZERO)
            .shutdown_timeout(DRAIN_SECONDS)
            .disable_signals();
        for socket in open {
            let address = tcp_address("http", &socket);
            server = server.listen(socket).map_err(|source| failed((address, source)))?;
        }
        for socket in unix {
            let address = unix_address(&socket);
            server = server.listen_uds(socket).map_err(|source| failed((address, source)))?;
        }
        servers.push(server.run());
    }
    let handles = servers.iter().map(actix_web::dev::Server::handle).collect();
    let told = tokio::spawn(told.run(streams.clone()));
    let mut tasks = JoinSet::new();
    servers.into_iter().for_each(|server| drop(tasks.spawn(server)));
    Ok(Served { addresses, handles, streams, told, tasks })
}

fn addresses(listeners: &Listeners, secured: bool) -> Vec<String> {
    let scheme = if secured { "https" } else { "http" };
    let tcp = listeners.tcp.iter().map(|socket| tcp_address(scheme, socket));
    tcp.chain(listeners.unix.iter().map(unix_address)).collect()
}

fn tcp_address(scheme: &str, socket: &TcpListener) -> String {
    socket.local_addr().map(|at| format!("{scheme}://{at}")).unwrap_or_default()
}

fn unix_address(socket: &UnixListener) -> String {
    let path = socket.local_addr().ok();
    let path = path.as_ref().and_then(|at| at.as_pathname());
    path.map_or_else(|| "unix:".to_owned(), |path| format!("unix:{}", path.display()))
}

/// The addresses of all modules.
const TABLES: &[Table] = &[
    health::TABLE,
    openapi::TABLE,
    tus::TABLE,
    uploads::TABLE,
    chunks::TABLE,
    admin::TABLE,
    overview::TABLE,
    tokens::TABLE,
    users::TABLE,
    grants::TABLE,
    upkeep::TABLE,
    audit::TABLE,
    webhooks::TABLE,
    live::TABLE,
    scrape::TABLE,
    login::TABLE,
    me::TABLE,
    poster::TABLE,
    videos::TABLE,
    captions::TABLE,
    playback::TABLE,
    media_files::TABLE,
    cards::TABLE,
    pages::TABLE,
];

fn register(app: &mut web::ServiceConfig) {
    let mut routes = Routes::of(app);
    TABLES.iter().for_each(|table| (table.add)(&mut routes));
}

async fn nothing_here() -> Result<actix_web::HttpResponse, Problem> {
    Err(Problem::not_found())
}

/// Runs `work` where blocking is allowed.
async fn blocking<T: Send + 'static>(
    app: &web::Data<Shared>,
    work: impl FnOnce(&AppParts) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let app = web::Data::clone(app);
    let done = web::block(move || work(&app.parts)).await;
    done.unwrap_or_else(|_| Err(Problem::internal("a blocking task ended without a result")))
}

#[cfg(test)]
mod tests;
