//! A real server on a fresh data directory, a plain client, and generated media.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a test waits for something that must come. Far beyond what it takes; reaching it is
/// a failure, so no result depends on speed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test: the one that was built with the tests, or `SLIPWAY_BIN`.
pub fn program() -> PathBuf {
    let given = std::env::var_os("SLIPWAY_BIN");
    given.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_slipway")), PathBuf::from)
}

/// A data directory and the servers that run on it, one after another.
pub struct Server {
    child: Child,
    /// Such as `http://127.0.0.1:40000`.
    pub address: String,
    /// The admin token of the first start.
    pub token: String,
    /// The login link of this start.
    pub login: Option<String>,
    /// The data directory.
    pub data: PathBuf,
    settings: Vec<(String, String)>,
    prefix: Vec<String>,
    _directory: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts a server with default settings on a fresh directory.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with these environment variables on a fresh directory.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self::on(&directory.path().join("data"), settings);
        server._directory = Some(directory);
        server
    }

    /// Starts a server on a directory that may have been used before.
    pub fn on(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::through(&[], data, settings)
    }

    /// Starts a server by way of another program, which becomes it.
    pub fn through(prefix: &[&str], data: &Path, settings: &[(&str, &str)]) -> Self {
        let started = Self::try_through(prefix, data, settings);
        started.expect("it serves")
    }

    /// As [`Server::through`]; `None` for one that ends before it serves.
    pub fn try_through(prefix: &[&str], data: &Path, settings: &[(&str, &str)]) -> Option<Self> {
        let settings: Vec<(String, String)> =
            settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let prefix: Vec<String> = prefix.iter().map(|&word| word.to_owned()).collect();
        let (mut child, line) = launch(&prefix, data, &settings);
        if line.is_empty() {
            child.wait().expect("it has ended");
            return None;
        }
        Some(Self::of(child, &line, prefix, data, settings))
    }

    fn of(
        child: Child,
        line: &str,
        prefix: Vec<String>,
        data: &Path,
        settings: Vec<(String, String)>,
    ) -> Self {
        let (address, login) = match line.split_once(": ") {
            Some(("login", url)) => {
                let address = url.split("/login").next().unwrap_or_default();
                (address.to_owned(), Some(url.to_owned()))
            }
            Some(("open", url)) => (url.trim_end_matches('/').to_owned(), None),
            _ => panic!("the first line was {line:?}"),
        };
        let token = std::fs::read_to_string(data.join("admin-token")).unwrap_or_default();
        let (token, data) = (token.trim().to_owned(), data.to_owned());
        Self { child, address, token, login, data, settings, prefix, _directory: None }
    }

    /// Ends the server as a power button would end a process: no handler runs.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("it ends");
    }

    /// Asks the server to stop, and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ends").code()
    }

    /// Waits until the server has ended by itself; returns its exit code, none after a signal.
    pub fn ended(&mut self) -> Option<i32> {
        wait_for("the server to end", || self.child.try_wait().expect("it is ours")).code()
    }

    /// Says whether the server still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_none()
    }

    /// Leaves a setting out of the next start.
    pub fn forget(&mut self, key: &str) {
        self.settings.retain(|(name, _)| name != key);
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, key: &str, value: &str) {
        self.forget(key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Starts the server again and kills it after this long, wherever it is in its start then.
    pub fn start_in_vain(&self, after: Duration) {
        let mut child = command(&self.prefix, &self.data, &self.settings);
        let mut child = child.stdout(Stdio::null()).spawn().expect("the binary was built");
        std::thread::park_timeout(after);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts the server again on the same directory with the same settings.
    pub fn restart(&mut self) {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let prefix: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        let mut next = Self::through(&prefix, &self.data, &settings);
        std::mem::swap(&mut self.child, &mut next.child);
        self.address.clone_from(&next.address);
        self.login.clone_from(&next.login);
    }

    /// Starts the server again without its database, which it makes anew from the files.
    pub fn lose_database(&mut self) {
        self.terminate();
        let state = self.data.join("state");
        std::fs::rename(&state, self.data.join("state-gone")).expect("it is ours");
        self.restart();
        let token = std::fs::read_to_string(self.data.join("admin-token")).expect("a token");
        self.token = token.trim().to_owned();
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes a token of this role at the command line, as its operator would.
    pub fn token_of(&self, role: &str, more: &[&str]) -> String {
        let output = Command::new(program())
            .args(["token", "create", "--role", role])
            .args(more)
            .env("SLIPWAY_DATA_DIR", &self.data)
            .output()
            .expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.starts_with("slw_") && text.len() == 48 && text.ends_with('\n'), "{text:?}");
        text.trim().to_owned()
    }

    /// Sends a request with the admin token.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        self.send_as_anyone(method, path, &all, body)
    }

    /// Sends a request with just these headers.
    pub fn send_as_anyone(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        request(&self.address, method, path, headers, body)
    }

    /// Host and port, as a request names them.
    pub fn host(&self) -> &str {
        self.address.trim_start_matches("http://").trim_start_matches("https://")
    }

    /// GETs JSON with the admin token.
    pub fn json(&self, path: &str) -> Value {
        let answer = self.send("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Creates a tus upload; returns its path and its video's id.
    pub fn create(&self, name: &str, length: usize) -> (String, String) {
        let length = length.to_string();
        let metadata = format!("filename {}", base64(name));
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", length.as_str()),
            ("Upload-Metadata", metadata.as_str()),
        ];
        let answer = self.send("POST", "/files", &headers, b"");
        assert_eq!(answer.status, 201, "{}", answer.text());
        (answer.header("location").to_owned(), answer.header("slipway-video").to_owned())
    }

    /// Appends to a tus upload.
    pub fn patch(&self, path: &str, offset: usize, body: &[u8]) -> Answer {
        let offset = offset.to_string();
        let headers = [
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Offset", offset.as_str()),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        self.send("PATCH", path, &headers, body)
    }

    /// Asks for a tus upload's offset.
    pub fn offset(&self, path: &str) -> usize {
        let answer = self.send("HEAD", path, &[("Tus-Resumable", "1.0.0")], b"");
        assert_eq!(answer.status, 200);
        answer.header("upload-offset").parse().expect("a number")
    }

    /// Uploads a file whole over tus; returns the video's id.
    pub fn upload(&self, file: &Path) -> String {
        let bytes = std::fs::read(file).expect("the file was generated");
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let (path, video) = self.create(name, bytes.len());
        let answer = self.patch(&path, 0, &bytes);
        assert_eq!(answer.status, 204, "{}", answer.text());
        video
    }

    /// Waits until a video is ready or failed, and returns it.
    pub fn settled(&self, video: &str) -> Value {
        wait_for("the video to settle", || {
            let it = self.json(&format!("/api/videos/{video}"));
            matches!(it["state"].as_str(), Some("ready" | "failed")).then_some(it)
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(prefix: &[String], data: &Path, settings: &[(String, String)]) -> Command {
    let words = prefix.iter().map(std::ffi::OsString::from);
    let mut words = words.chain([program().into(), "serve".into()]);
    let mut command = Command::new(words.next().expect("a program"));
    command
        .args(words)
        .env("SLIPWAY_LISTEN", "127.0.0.1:0")
        .env("SLIPWAY_DATA_DIR", data)
        .env("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "64 MiB")
        // Most tests send bytes that are no film and look at them again.
        .env("SLIPWAY_UPLOAD__KEEP_REJECTED", "true")
        .envs(settings.iter().map(|(k, v)| (k, v)));
    command
}

fn launch(prefix: &[String], data: &Path, settings: &[(String, String)]) -> (Child, String) {
    let mut command = command(prefix, data, settings);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary was built");
    let stdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout);
    let mut line = String::new();
    lines.read_line(&mut line).expect("it prints where it is");
    // The pipe stays open for as long as the server may print.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    (child, line.trim().to_owned())
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON, not {}", self.text()))
    }

    /// Checks that this is a problem of RFC 9457 with this status and code.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        for key in ["type", "title", "detail"] {
            assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {problem}");
        }
        assert!(problem["retryable"].is_boolean(), "{problem}");
        assert!(!self.header("x-request-id").is_empty());
    }
}

/// Sends one request to `address` and reads the whole answer.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE))
            .build();
        ureq::Agent::new_with_config(config)
    });
    let url = format!("{address}{path}");
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let takes_body = !matches!(method, "GET" | "HEAD" | "OPTIONS" | "DELETE");
    let sent = if takes_body {
        agent.run(request.body(body).expect("a request"))
    } else {
        agent.run(request.body(()).expect("a request"))
    };
    let mut response = sent.unwrap_or_else(|cause| panic!("{method} {path}: {cause}"));
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let status = response.status().as_u16();
    let mut body = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut body).expect("the whole body");
    Answer { status, headers, body }
}

/// Sends `head` and `body` as they are on a fresh connection and keeps it open.
pub fn raw(address: &str, head: &str, body: &[u8]) -> TcpStream {
    let host = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(body).expect("it reads");
    stream
}

/// Asks again and again until there is something, at most for [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(30));
    }
}

/// Counts the files in a directory and all below it.
pub fn files_below(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let of = |path: PathBuf| if path.is_dir() { files_below(&path) } else { 1 };
    entries.flatten().map(|entry| of(entry.path())).sum()
}

/// Encodes for Upload-Metadata.
pub fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Lower-case hex of the SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path of a generated file; all are made once by scripts/make-test-media.
pub fn media(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = std::env::var_os("SLIPWAY_TEST_MEDIA")
            .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("media"), PathBuf::from);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/make-test-media");
        let made = Command::new(script).arg(&directory).stdout(Stdio::null()).status();
        assert!(made.expect("bash").success(), "{script} failed");
        directory
    });
    directory.join(name)
}

/// Bytes that no two places share, so that a hole or a shift shows.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
