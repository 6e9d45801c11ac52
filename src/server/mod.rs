//! The server: starts every room in order, waits, and stops them in reverse.
//!
//! Start: disk (and its lock), state (rebuilt from the files when it won't open), access, uploads,
//! queue, HTTP, workers, janitor; then readiness is told. Stop: readiness withdrawn, writers let
//! go, children are killed and their jobs given back, HTTP drains, state closes.

mod erase;
mod export;
mod parts;
mod systemd;

use crate::access::Access;
use crate::backup;
use crate::clock::Clock;
use crate::config::{AuthMode, Config, LogFormat};
use crate::control::{self, Desk, Operator, Reply, Request};
use crate::disk::{self, Disk, Encryption};
use crate::http;
use crate::model::deed::Action;
use crate::state::{self, Dump, State};
use crate::telemetry::{self, Lines, measures};
use crate::trail::Trail;
pub use erase::erase;
pub use export::export;
use parts::Parts;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Why the server didn't start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another process holds the data directory.
    #[error("{directory}: {holder} holds this data directory; stop it, or choose another one")]
    Held {
        /// The directory.
        directory: String,
        /// "process 123", or "another process".
        holder: String,
    },
    /// The data directory was written by a version that this one doesn't know, or with keys that it
    /// hasn't got.
    #[error("{0}")]
    NotOurs(String),
    /// The data directory can't be used.
    #[error("{0}")]
    Disk(String),
    /// The database can't be used.
    #[error("state: {0}")]
    State(String),
    /// The keys of JWTs can't be used.
    #[error("auth.jwt.key_file: {0}")]
    Keys(String),
    /// Certificate or key of TLS can't be used.
    #[error("tls: {0}")]
    Tls(String),
    /// The address can't be listened at.
    #[error("{0}")]
    Listen(String),
    /// The runtime can't be made.
    #[error("runtime: {0}")]
    Runtime(std::io::Error),
    /// A room ended that never should.
    #[error("{0}")]
    Fatal(String),
}

impl ServerError {
    /// Says whether the person who started it has to change something (exit code 2).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::NotOurs(_) | Self::Keys(_) | Self::Tls(_))
    }
}

/// How long a stop waits for running requests before it cuts them.
const DRAIN: Duration = Duration::from_secs(10);

/// Freed memory that the allocator may keep: half a mebibyte is gathered of a body before it is
/// written, and more than this is better given back.
const KEPT_BYTES: usize = 500 << 10;

/// Runs the server until it is told to stop (SIGTERM, SIGINT) or something fails for good.
///
/// # Errors
/// See [`ServerError`]; success means an orderly stop.
pub fn run(config: Config) -> Result<(), ServerError> {
    telemetry::start(match config.log_format {
        LogFormat::Auto => Lines::fitting(systemd::journal_stream().as_deref()),
        LogFormat::Text => Lines::Text,
        LogFormat::Json => Lines::Json,
    });
    keep_freed_memory();
    if let Some(name) = &config.lacking_credential {
        let why = format!("systemd hasn't handed over the credential `{name}` that is configured");
        return Err(ServerError::NotOurs(format!("{why}; add LoadCredential={name}:FILE")));
    }
    let disk = open_disk(&config, Keys::Needed)?;
    erase::go_on(&config, &disk)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let (state, rebuilt) = open_state(&disk)?;
        serve(config, disk, state, rebuilt).await
    })
}

/// Asks the server that runs on this data directory; without one, does the same on the directory
/// itself.
///
/// # Errors
/// See [`ServerError`].
pub fn ask(config: &Config, request: Request) -> Result<Reply, ServerError> {
    let socket = disk::control_socket(&config.data_dir);
    match control::ask(&socket, &request) {
        Ok(Some(reply)) => return Ok(reply),
        Ok(None) => {}
        Err(cause) => return Err(ServerError::Fatal(format!("the running server: {cause}"))),
    }
    let disk = open_disk(config, Keys::of(&request))?;
    runtime()?.block_on(async {
        let state = open_whole_state(&disk)?;
        let trail = open_trail(config, &disk)?;
        let operator = match request {
            // What a start does comes first: jobs are nobody's any more, and so on.
            Request::Operate { .. } => {
                let (config, disk, state) = (config.clone(), disk.clone(), state.clone());
                Parts::build(config, disk, state, trail.clone(), false).await?.operator()
            }
            _ => unasked(),
        };
        let access = Access::new(state.clone(), Clock::system(), config.auth_mode);
        let (rights, exports) = (None, None);
        let desk = Desk { access, state, disk, address: None, operator, trail, rights, exports };
        let reply = desk.answer(request).await;
        desk.state.close().await;
        desk.trail.close();
        Ok(reply)
    })
}

/// Returns an operator for commands that need none.
fn unasked() -> Operator {
    Arc::new(|_| Box::pin(async { Err("nobody was to be asked".to_owned()) }))
}

/// Puts a database of these records in the place of the one that is there, which is moved aside;
/// returns to where. No server may run.
///
/// # Errors
/// See [`ServerError`].
pub fn import(config: &Config, dump: Dump, exactly: bool) -> Result<Option<PathBuf>, ServerError> {
    let disk = open_disk(config, Keys::Unneeded)?;
    let replaced = backup::replace_state(&disk, dump, exactly);
    replaced.map_err(|cause| ServerError::State(cause.to_string()))
}

/// Makes the records anew from the last export and the files. No server may run. The database
/// that is there is moved aside; returns to where.
///
/// # Errors
/// See [`ServerError`].
pub fn rebuild(config: Config) -> Result<Option<PathBuf>, ServerError> {
    let disk = open_disk(&config, Keys::Needed)?;
    runtime()?.block_on(async {
        let aside = match disk.state_dir().exists() {
            true => Some(set_state_aside(&disk)?),
            false => None,
        };
        let (state, _) = make_state_anew(&disk)?;
        let trail = open_trail(&config, &disk)?;
        let parts = Parts::build(config, disk, state, trail, true).await?;
        parts.state.close().await;
        Ok(aside)
    })
}

/// Has the allocator keep what bodies were read into for the next ones. glibc gives memory back as
/// soon as 128 KiB lie free, and takes it again with a fault for each page; it keeps twice as much
/// as the largest block that it has mapped by itself and that was freed (`M_MMAP_THRESHOLD` in
/// mallopt(3)). Elsewhere this does nothing.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT_BYTES)));
}

fn runtime() -> Result<tokio::runtime::Runtime, ServerError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .thread_name("slipway")
        .enable_all()
        .build()
        .map_err(ServerError::Runtime)
}

/// Whether the keys of encrypted originals are needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Needed,
    /// Nothing is read of originals and nothing is uploaded.
    Unneeded,
}

impl Keys {
    fn of(request: &Request) -> Self {
        match request {
            // What a start does comes first, and a start finishes uploads.
            Request::Operate { .. } => Self::Needed,
            _ => Self::Unneeded,
        }
    }
}

fn open_disk(config: &Config, keys: Keys) -> Result<Disk, ServerError> {
    let opened = match keys {
        Keys::Unneeded => Disk::open(&config.data_dir),
        Keys::Needed => {
            let keys = config.originals.keys();
            let keys = keys.map_err(|cause| ServerError::NotOurs(cause.to_string()))?;
            let is_on = config.originals.is_encrypted;
            Disk::open_with(&config.data_dir, Encryption { keys, is_on })
        }
    };
    let disk = opened.map_err(|error| match error {
        disk::OpenError::Locked { pid } => ServerError::Held {
            directory: config.data_dir.display().to_string(),
            holder: match pid {
                Some(pid) => format!("process {pid}"),
                None => "another process".to_owned(),
            },
        },
        disk::OpenError::UnknownVersion(_) | disk::OpenError::NoKeys { .. } => {
            ServerError::NotOurs(error.to_string())
        }
        other => ServerError::Disk(other.to_string()),
    })?;
    // Whoever opens the database finds one.
    disk.finish_swap().map_err(|cause| ServerError::Disk(cause.to_string()))?;
    Ok(disk)
}

fn open_trail(config: &Config, disk: &Disk) -> Result<Trail, ServerError> {
    let opened = Trail::open(disk, &config.audit, Clock::system());
    opened.map_err(|cause| ServerError::Disk(format!("the audit log: {cause}")))
}

/// Opens the database. A broken one is moved aside; where there is none beside files, one is made
/// of the last export.
///
/// Returns whether the records have to be rebuilt from the files.
fn open_state(disk: &Disk) -> Result<(State, bool), ServerError> {
    let directory = disk.state_dir();
    if !directory.exists() && holds_files(disk)? {
        warn!("there is no database; it is made anew from the last export and the files");
        return make_state_anew(disk);
    }
    let opened = match State::open(&directory) {
        Err(state::OpenError::Io(cause)) if is_full(&cause) && give_up_reserve(disk) => {
            State::open(&directory)
        }
        opened => opened,
    };
    match opened {
        Ok(state) => Ok((state, disk.is_rebuilding())),
        Err(state::OpenError::Broken(cause)) => {
            let aside = set_state_aside(disk)?;
            error!("the database won't open ({cause}); it was moved to {}", aside.display());
            make_state_anew(disk)
        }
        Err(error @ state::OpenError::NewerSchema(_)) => {
            Err(ServerError::NotOurs(error.to_string()))
        }
        Err(error) => Err(ServerError::State(error.to_string())),
    }
}

/// Opens the database for a command. A broken one, and none beside files, is left for a server's
/// start, which makes it anew: an empty one in its place would be taken for all there is.
fn open_whole_state(disk: &Disk) -> Result<State, ServerError> {
    if !disk.state_dir().exists() && holds_files(disk)? {
        let mend = "there is no database beside the files; start the server once, which makes it \
                    anew from the last export and the files";
        return Err(ServerError::State(mend.to_owned()));
    }
    State::open(&disk.state_dir()).map_err(|cause| ServerError::State(cause.to_string()))
}

/// Moves the database aside. Whatever happens from here on, the next start rebuilds it.
fn set_state_aside(disk: &Disk) -> Result<PathBuf, ServerError> {
    disk.begin_rebuild().map_err(|error| ServerError::Disk(error.to_string()))?;
    State::set_aside(&disk.state_dir(), Clock::system().now())
        .map_err(|error| ServerError::State(error.to_string()))
}

/// Says whether there is something to make a database of.
fn holds_files(disk: &Disk) -> Result<bool, ServerError> {
    let found = || {
        let is_bare = disk.originals()?.is_empty()
            && disk.uploads()?.is_empty()
            && disk.trashes()?.is_empty();
        Ok::<bool, disk::DiskError>(!is_bare || disk.open_export()?.is_some())
    };
    found().map_err(|error| ServerError::Disk(error.to_string()))
}

/// Makes a database of the last export, or an empty one.
fn make_state_anew(disk: &Disk) -> Result<(State, bool), ServerError> {
    disk.begin_rebuild().map_err(|error| ServerError::Disk(error.to_string()))?;
    match backup::recover(disk) {
        Ok(Some(records)) => warn!(records, "{records} records came back from the last export"),
        Ok(None) => warn!("there is no export of the records; only the files tell"),
        Err(cause) => error!("the last export of the records can't be used: {cause}"),
    }
    let state = State::open(&disk.state_dir());
    Ok((state.map_err(|error| ServerError::State(error.to_string()))?, true))
}

fn is_full(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(cause.kind(), StorageFull | QuotaExceeded)
}

/// Sets room aside for the database; without room to spare the server does without.
fn keep_reserve(disk: &Disk) {
    if let Err(cause) = disk.keep_reserve() {
        warn!("no room is set aside for the database: {cause}");
    }
}

/// Makes room for the database on a full disk; says whether there was some to give up.
fn give_up_reserve(disk: &Disk) -> bool {
    match disk.give_up_reserve() {
        Ok(true) => {
            warn!("the room that was set aside for the database was given up");
            true
        }
        Ok(false) => false,
        Err(cause) => {
            warn!("the room that was set aside for the database can't be given up: {cause}");
            false
        }
    }
}

async fn serve(config: Config, disk: Disk, state: State, rebuilt: bool) -> Result<(), ServerError> {
    measures::start();
    let stop = CancellationToken::new();
    let trail = open_trail(&config, &disk)?;
    let tls = http::Tls::open(&config.tls, Clock::system()).map_err(ServerError::Tls)?;
    let mut parts = Parts::build(config, disk, state, trail, rebuilt).await?;
    parts.tls = tls;
    let listeners = systemd::listeners(&parts.config.listen)
        .map_err(|cause| ServerError::Listen(format!("can't listen: {cause}")))?;
    keep_reserve(&parts.disk);
    let mut served = http::serve(parts.app(), listeners)
        .map_err(|cause| ServerError::Listen(cause.to_string()))?;
    let address = served.addresses.first().cloned().unwrap_or_default();
    let mut tasks = parts.spawn_tasks(&address, &stop);
    // Before anybody hears that there is a server to stop.
    let asked = systemd::asked_to_stop();
    announce(&parts, &address).await;
    systemd::ready(&address);
    parts.trail.note_server(Action::Started, None);

    let (mut broken, mut unsafe_disk) = (parts.state.failed(), parts.uploads.failed());
    let failure = tokio::select! {
        name = asked => {
            info!("{name}: stopping");
            None
        }
        cause = parts::failed(&mut broken) => {
            // Mostly a full disk. Reopening heals the database, and needs room: the next start's.
            give_up_reserve(&parts.disk);
            Some(format!("the database failed: {cause}"))
        }
        cause = parts::failed(&mut unsafe_disk) => {
            parts.disk.distrust();
            Some(format!("the disk failed: {cause}"))
        }
        ended = served.ended() => Some(format!("the HTTP server ended: {ended}")),
        ended = tasks.join_next() => Some(format!("a task of the server ended: {ended:?}")),
    };

    systemd::stopping();
    parts.readiness.withdraw();
    parts.uploads.stop().await;
    stop.cancel();
    if tokio::time::timeout(DRAIN, served.stop()).await.is_err() {
        warn!("requests were cut after {} s", DRAIN.as_secs());
    }
    if tokio::time::timeout(DRAIN, tasks.join_all()).await.is_err() {
        warn!("a task didn't end in time");
    }
    parts.export().await;
    parts.trail.note_server(Action::Stopped, None);
    parts.state.close().await;
    parts.trail.close();
    match failure {
        None => Ok(()),
        Some(cause) => {
            error!("{cause}");
            Err(ServerError::Fatal(cause))
        }
    }
}

/// Tells where the server is. A login link opens the door, so it goes to a person's standard
/// output and never into a journal that others may read.
async fn announce(parts: &Parts, address: &str) {
    let address = parts.config.public_url.as_deref().unwrap_or(address);
    info!("slipway {} serves {address}", env!("CARGO_PKG_VERSION"));
    if parts.config.auth_mode == AuthMode::Open {
        println!("open: {address}/");
        return;
    }
    if let Some(path) = &parts.admin_token_path {
        info!("the admin token is in {}", path.display());
    }
    if systemd::has_journal() {
        return;
    }
    match parts.access.login_code().await {
        Ok(code) => println!("login: {address}/login?code={code}"),
        Err(cause) => warn!("no login link: {cause}"),
    }
}
