//! A server over a fresh data directory, and a client that sends exactly what it is told.

use crate::access::{Access, NewToken};
use crate::clock::Clock;
use crate::config::{self, AuthMode, Config};
use crate::disk::{Disk, Encryption};
use crate::events::Hub;
use crate::hooks::Hooks;
use crate::http::{AppParts, Listeners, Readiness, Served, serve};
use crate::ids::VideoId;
use crate::janitor::Janitor;
use crate::library::Library;
use crate::model::access::Role;
use crate::queue::Queue;
use crate::rooms::Rooms;
use crate::state::State;
use crate::trail::Trail;
use crate::units::ByteCount;
use crate::upload::{BlockingHooks, UploadLimits, Uploads};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A running server and three people's tokens.
pub(super) struct Rig {
    pub(super) parts: AppParts,
    pub(super) served: Served,
    pub(super) at: SocketAddr,
    pub(super) admin: String,
    pub(super) ann: String,
    pub(super) bob: String,
    pub(super) viewer: String,
    _directory: TempDir,
}

/// An answer, taken apart.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Returns a header's value, empty if it isn't there.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Returns the code of a problem.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert!(self.has("x-request-id"), "{self:?}");
        self.json()["code"].as_str().expect("a code").to_owned()
    }
}

impl Rig {
    /// Starts a server in mode `token`.
    pub(super) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a server with a changed configuration.
    pub(super) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let loaded = config::load(None, std::iter::empty(), &[]).expect("the defaults");
        let mut config = loaded.config;
        config.upload.max_size = ByteCount(64 << 20);
        config.upload.reserve_free_space = config::Reserve::Bytes(ByteCount(0));
        config.trash_for_ms = 0;
        change(&mut config);
        let parts = parts(&directory, config).await;
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = socket.local_addr().expect("an address");
        let listeners = Listeners { tcp: vec![socket], unix: Vec::new() };
        let served = serve(parts.clone(), listeners).expect("served");
        let token = async |role, user: &str| {
            let new = NewToken { user: Some(user.to_owned()), ..NewToken::of(role) };
            let made = parts.access.create_token(new).await;
            made.expect("a token").0
        };
        let admin = token(Role::Admin, "root").await;
        let ann = token(Role::Uploader, "ann").await;
        let bob = token(Role::Uploader, "bob").await;
        let viewer = token(Role::Viewer, "vic").await;
        Self { parts, served, at, admin, ann, bob, viewer, _directory: directory }
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.expect("a connection")
    }

    /// Sends a request head and a body of known length on a connection of its own.
    pub(super) async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || line.starts_with("POST") || line.starts_with("PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream = self.connect().await;
        stream.write_all(head.as_bytes()).await.expect("head sent");
        // A server that refuses may close before it has read everything.
        let _ = stream.write_all(body).await;
        read_answer(&mut stream).await
    }

    /// Sends bytes as they are on a connection of its own.
    pub(super) async fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        read_answer(&mut stream).await
    }

    /// Asks as `token`.
    pub(super) async fn as_token(
        &self,
        token: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("Authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        self.ask(line, &all, body).await
    }

    /// Asks as ann, speaking tus.
    pub(super) async fn tus(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = vec![("Tus-Resumable", "1.0.0")];
        all.extend_from_slice(headers);
        self.as_token(&self.ann, line, &all, body).await
    }

    /// Creates an upload of ann's and returns its address.
    pub(super) async fn create(&self, length: usize) -> String {
        let length = length.to_string();
        let metadata = "filename aG9saWRheS5tcDQ=,title U2Vh";
        let headers = [("Upload-Length", length.as_str()), ("Upload-Metadata", metadata)];
        let answer = self.tus("POST /files", &headers, b"").await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.header("location").to_owned()
    }

    /// Appends a body at an offset.
    pub(super) async fn append(&self, at: &str, offset: usize, body: &[u8]) -> Answer {
        let offset = offset.to_string();
        let headers = [BYTES, ("Upload-Offset", offset.as_str())];
        self.tus(&format!("PATCH {at}"), &headers, body).await
    }

    /// Brings a whole file of ann's, and returns its video.
    pub(super) async fn bring(&self, body: &[u8]) -> VideoId {
        let at = self.create(body.len()).await;
        let answer = self.append(&at, 0, body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        VideoId::parse(answer.header("slipway-video")).expect("a video's id")
    }

    /// Gives a video some of the files that a job would have made.
    pub(super) async fn publish(&self, video: VideoId, files: &[(&str, &[u8])]) {
        let disk = self.parts.disk.clone();
        let files: Vec<_> =
            files.iter().map(|&(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
        let work = move || {
            for (name, bytes) in files {
                disk.replace_media(video, &name, &bytes, false).expect("written");
            }
        };
        tokio::task::spawn_blocking(work).await.expect("written");
    }
}

/// The header that goes with an upload's bytes.
pub(super) const BYTES: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

async fn parts(directory: &TempDir, config: Config) -> AppParts {
    let clock = Clock::system();
    let keys = config.originals.keys().expect("good keys");
    let encryption = Encryption { keys, is_on: config.originals.is_encrypted };
    let data = directory.path().join("data");
    let disk = Disk::open_with(&data, encryption).expect("a data directory");
    let state = State::open(&disk.state_dir()).expect("a database");
    let hub = Hub::new(clock.now());
    let limits = UploadLimits {
        max_size: config.upload.max_size,
        expire_after_ms: config.upload.expire_after_ms,
        expire_empty_ms: config.upload.expire_after_ms,
        idle_timeout_ms: config.upload.idle_timeout_ms,
        reserve_free_space: config.upload.reserve_free_space,
        durability: config.upload.durability,
        default_visibility: config.default_visibility,
        admission: config.upload.admission,
        live: true,
    };
    let (d, s, h, c) = (disk.clone(), state.clone(), hub.clone(), clock.clone());
    let uploads = Uploads::new(d, s, h, c, limits, "boot".to_owned(), BlockingHooks::default());
    state.count_usage().await.expect("counted");
    let queue = Queue::new(state.clone(), hub.clone(), clock.clone(), uploads.finished(), None);
    let (s, d, h, c) = (state.clone(), disk.clone(), hub.clone(), clock.clone());
    let library = Library::new(s, d, h, c, config.trash_for_ms);
    let trail = Trail::open(&disk, &config.audit, clock.clone()).expect("an audit log");
    let janitor = Janitor::new(Rooms {
        uploads: uploads.clone(),
        library: library.clone(),
        queue: queue.clone(),
        state: state.clone(),
        disk: disk.clone(),
        clock: clock.clone(),
        hub: hub.clone(),
        reserve: config.upload.reserve_free_space,
        keep: config.originals.keep,
        retention: config.retention,
        trail: trail.clone(),
    });
    let access = Access::new(state.clone(), clock.clone(), config.auth_mode);
    access.trust(&config.jwt).expect("keys of JWTs");
    AppParts {
        trail,
        access,
        library,
        janitor,
        hooks: Hooks::new(&config.hooks, state.clone(), clock.clone()),
        started_at: clock.now(),
        config: Arc::new(config),
        readiness: Readiness::default(),
        worker_status: Arc::default(),
        tls: None,
        clock,
        disk,
        state,
        uploads,
        hub,
        queue,
    }
}

/// The configuration of a server for everybody on this machine.
pub(super) fn open(config: &mut Config) {
    config.auth_mode = AuthMode::Open;
}

/// Reads an answer up to the end of its connection.
pub(super) async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is still an answer.
    let _ = stream.read_to_end(&mut bytes).await;
    parse(&bytes)
}

/// Takes an answer apart.
pub(super) fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).expect("ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    if status.starts_with('1') && status != "101" {
        return parse(&bytes[end + 4..]);
    }
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let answer = Answer {
        status: status.parse().expect("a number"),
        headers,
        body: bytes[end + 4..].to_vec(),
    };
    if answer.header("transfer-encoding") != "chunked" {
        return answer;
    }
    Answer { body: unchunk(&answer.body), ..answer }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        let from = end + 2;
        body.extend_from_slice(&rest[from..(from + size).min(rest.len())]);
        rest = rest.get(from + size + 2..).unwrap_or_default();
    }
    body
}
