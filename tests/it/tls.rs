//! TLS of the server's own: clients of others over both versions of HTTP, and its pair of files.

use crate::harness::{Server, base64, media, program, sha256, wait_for};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// A server with a certificate for this machine, and the directory of its pair.
pub struct Secured {
    pub server: Server,
    directory: tempfile::TempDir,
}

/// A connection after its handshake.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A fresh certificate for this machine and its key, in PEM.
fn made() -> (String, String) {
    let names = ["localhost", "127.0.0.1"].map(str::to_owned).to_vec();
    let params = CertificateParams::new(names).expect("names");
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// Puts a file in its place as those who renew certificates do.
fn put(path: &Path, text: &str, mode: u32) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).expect("ours");
    fs::rename(&beside, path).expect("ours");
}

impl Secured {
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let [certificate, key] = Self::paths(directory.path());
        let (pem, secret) = made();
        put(&certificate, &pem, 0o644);
        put(&key, &secret, 0o600);
        let mut all = vec![
            ("SLIPWAY_TLS__CERTIFICATE", certificate.to_str().expect("text")),
            ("SLIPWAY_TLS__KEY", key.to_str().expect("text")),
        ];
        all.extend_from_slice(settings);
        let server = Server::on(&directory.path().join("data"), &all);
        assert!(server.address.starts_with("https://127.0.0.1:"), "{}", server.address);
        Self { server, directory }
    }

    fn paths(directory: &Path) -> [PathBuf; 2] {
        ["certificate.pem", "key.pem"].map(|name| directory.join(name))
    }

    fn certificate(&self) -> PathBuf {
        Self::paths(self.directory.path())[0].clone()
    }

    fn key(&self) -> PathBuf {
        Self::paths(self.directory.path())[1].clone()
    }

    /// Has curl ask with the admin's token.
    pub fn curl(&self, path: &str, args: &[&str]) -> Command {
        let mut command = Command::new("curl");
        let token = format!("Authorization: Bearer {}", self.server.token);
        command.args(["-sS", "--max-time", "110", "--cacert"]).arg(self.certificate());
        command.args(["-H", &token]).args(args).arg(format!("{}{path}", self.server.address));
        command
    }

    /// What curl writes out: the answer's version, status and body.
    pub fn asked(&self, path: &str, args: &[&str]) -> (String, String) {
        let written = ["-w", "\n%{http_version} %{http_code}"];
        let output = self.curl(path, &[&written, args].concat()).output().expect("curl");
        let text = text_of(&output);
        let (body, last) = text.rsplit_once('\n').expect("two lines");
        (last.to_owned(), body.to_owned())
    }

    /// Opens a connection with TLS that speaks this protocol inside.
    pub fn connect(&self, protocol: &[u8]) -> Stream {
        let pem = fs::read(self.certificate()).expect("it is there");
        self.connect_by(&pem, protocol).expect("a handshake")
    }

    /// As [`Secured::connect`], trusting just this certificate.
    fn connect_by(&self, pem: &[u8], protocol: &[u8]) -> std::io::Result<Stream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem).expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect(self.server.host()).expect("it listens");
        socket.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a timeout");
        let mut stream = StreamOwned::new(client, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

fn text_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// One request over a connection that stays, and its answer's first line and body.
fn ask_on(stream: &mut Stream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        answer.push(char::from(byte[0]));
    }
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |text| text.parse().expect("a number"))];
    stream.read_exact(&mut body).expect("a body");
    answer
}

/// A file is uploaded whole over HTTP/1.1 and HTTP/2, in versions 1.2 and 1.3 of TLS, as parts and
/// over tus, and comes back as it went; older versions get no handshake.
#[test]
fn files_come_whole_over_both_versions() {
    let secured = Secured::start(&[]);
    let film = media("silent.mp4");
    let bytes = fs::read(&film).expect("generated");
    let length = format!("Upload-Length: {}", bytes.len());
    let named = format!("Upload-Metadata: filename {}", base64("a.mp4"));
    let film = film.to_str().expect("text");
    for (version, inside) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for tls in [["--tls-max", "1.2"], ["--tlsv1.3", "-4"]] {
            let form = format!("file=@{film}");
            let (status, body) =
                secured.asked("/api/videos", &[&[version, "-F", &form][..], &tls].concat());
            assert_eq!(status, format!("{inside} 201"), "{body}");
        }
        let created = ["-H", "Tus-Resumable: 1.0.0", "-H", &length, "-H", &named, "-D", "-"];
        let args = [&[version, "-X", "POST"][..], &created].concat();
        let (status, head) = secured.asked("/files", &args);
        assert_eq!(status, format!("{inside} 201"), "{head}");
        let of = |name: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{name} in {head}")).trim().to_owned()
        };
        let (at, video) = (of("location: "), of("slipway-video: "));
        assert!(head.contains("strict-transport-security: max-age=31536000"), "{head}");
        let sent = ["-H", "Tus-Resumable: 1.0.0", "-H", "Upload-Offset: 0", "-X", "PATCH", "-T"];
        let kind = ["-H", "Content-Type: application/offset+octet-stream"];
        let args = [&[version][..], &sent, &[film], &kind].concat();
        assert_eq!(secured.asked(&at, &args).0, format!("{inside} 204"));
        let original = format!("/api/videos/{video}/original");
        let output = secured.curl(&original, &[version]).output().expect("curl");
        assert!(output.status.success() && sha256(&output.stdout) == sha256(&bytes));
    }
    for old in [["--tlsv1.0", "--tls-max", "1.0"], ["--tlsv1.1", "--tls-max", "1.1"]] {
        let args = [&old[..], &["--ciphers", "ALL:@SECLEVEL=0"]].concat();
        let output = secured.curl("/healthz", &args).output().expect("curl");
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// A body whose length nobody says comes whole over HTTP/2 too, where no header tells of it: with
/// the creation of an upload by tus, and in one request by the draft.
#[test]
fn bodies_of_unknown_length_come_whole() {
    let secured = Secured::start(&[]);
    let bytes = fs::read(media("silent.mp4")).expect("generated");
    let length = format!("Upload-Length: {}", bytes.len());
    let kind = "Content-Type: application/offset+octet-stream";
    let by_tus = ["Tus-Resumable: 1.0.0", &length, kind];
    let by_draft = ["Upload-Draft-Interop-Version: 8", "Upload-Complete: ?1"];
    for version in ["--http1.1", "--http2"] {
        for headers in [&by_tus[..], &by_draft] {
            let mut curl = secured.curl("/files", &[version, "-X", "POST", "-T", ".", "-D", "-"]);
            curl.args(headers.iter().flat_map(|header| ["-H", header]));
            curl.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut curl = curl.spawn().expect("curl");
            let mut input = curl.stdin.take().expect("piped");
            input.write_all(&bytes).expect("it reads");
            drop(input);
            let head = text_of(&curl.wait_with_output().expect("it ends"));
            let video = head.lines().find_map(|line| line.strip_prefix("slipway-video: "));
            let video = video.unwrap_or_else(|| panic!("{version} {headers:?}: {head}")).trim();
            let original = format!("/api/videos/{video}/original");
            let output = secured.curl(&original, &[version]).output().expect("curl");
            assert_eq!(sha256(&output.stdout), sha256(&bytes), "{version} {headers:?}: {head}");
        }
    }
}

/// Whoever signs in gets a cookie that only travels with TLS; links are `https`; and plain HTTP at
/// this port is told what is spoken here, by an answer that arrives.
#[test]
fn nothing_goes_without_tls() {
    let secured = Secured::start(&[]);
    let link = secured.server.login.clone().expect("a link");
    assert!(link.starts_with("https://"), "{link}");
    let code = format!("code={}", link.split("code=").nth(1).expect("a code"));
    for version in ["--http1.1", "--http2"] {
        let token = format!("token={}", secured.server.token);
        let credential = if version == "--http2" { &token } else { &code };
        let (status, head) = secured.asked("/login", &[version, "-D", "-", "-d", credential]);
        assert!(status.ends_with(" 303"), "{status}: {head}");
        let cookie = head.lines().find(|line| line.starts_with("set-cookie: slipway_session="));
        let cookie = cookie.unwrap_or_else(|| panic!("no cookie in {head}"));
        assert!(cookie.contains("; Secure") && cookie.contains("; HttpOnly"), "{cookie}");
    }
    let mut plain = TcpStream::connect(secured.server.host()).expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("an answer, and its end");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("with https://...\n"));
    let length = answer.split("\r\n\r\n").nth(1).map(str::len).expect("a body");
    assert!(answer.contains(&format!("Content-Length: {length}\r\n")), "{answer}");
    let mut noise = TcpStream::connect(secured.server.host()).expect("it listens");
    noise.write_all(&[0; 100]).expect("sent");
    let mut rest = Vec::new();
    noise.read_to_end(&mut rest).expect("an end");
    // The answer to a handshake that isn't one, or a word in plain: either way an end.
    let link = Command::new(program())
        .arg("login-link")
        .env("SLIPWAY_DATA_DIR", &secured.server.data)
        .env("SLIPWAY_TLS__CERTIFICATE", secured.certificate())
        .env("SLIPWAY_TLS__KEY", secured.key())
        .output();
    let link = text_of(&link.expect("it runs"));
    assert!(link.starts_with(&secured.server.address), "{link}");
}

/// A renewed pair is used for new connections while old ones go on; a broken one leaves the one
/// before, and the log, the status and the doctor say so.
#[test]
fn pairs_are_changed_while_connections_live() {
    let secured = Secured::start(&[]);
    let server = &secured.server;
    let first = fs::read(secured.certificate()).expect("it is there");
    let mut living = secured.connect(b"http/1.1");
    assert!(ask_on(&mut living, "/healthz").starts_with("HTTP/1.1 200"));

    let (pem, key) = made();
    put(&secured.certificate(), &pem, 0o644);
    put(&secured.key(), &key, 0o600);
    let pid = rustix::process::Pid::from_raw(server.pid().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    let second = fs::read(secured.certificate()).expect("it is there");
    wait_for("the new pair", || secured.connect_by(&second, b"http/1.1").ok());
    assert!(secured.connect_by(&first, b"http/1.1").is_err(), "the old one is gone");
    assert!(ask_on(&mut living, "/healthz").starts_with("HTTP/1.1 200"), "what lives goes on");

    // Without a signal it is seen as well.
    put(&secured.key(), "no key at all", 0o600);
    wait_for("a warning", || {
        let said = status(&secured, &second);
        said.contains("tls-unusable").then_some(())
    });
    secured.connect_by(&second, b"h2").expect("the one before holds");
    let doctor = |more: &[&str]| {
        let mut command = Command::new(program());
        command.args(["doctor", "--json"]).args(more);
        command.env("SLIPWAY_TLS__CERTIFICATE", secured.certificate());
        command.env("SLIPWAY_TLS__KEY", secured.key()).env("SLIPWAY_DATA_DIR", &server.data);
        String::from_utf8(command.output().expect("it runs").stdout).expect("text")
    };
    assert!(doctor(&[]).contains("holds no private key"), "{}", doctor(&[]));
    let checked = Command::new(program())
        .arg("check-config")
        .env("SLIPWAY_TLS__CERTIFICATE", secured.certificate())
        .env("SLIPWAY_TLS__KEY", secured.key())
        .output()
        .expect("it runs");
    assert_eq!(checked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("holds no private key"));

    put(&secured.key(), &key, 0o600);
    wait_for("no warning", || (!status(&secured, &second).contains("tls-unusable")).then_some(()));
    assert!(doctor(&[]).contains("the certificate is good until"), "{}", doctor(&[]));
}

/// What the status says, asked over the certificate that is in use.
fn status(secured: &Secured, certificate: &[u8]) -> String {
    let mut stream = secured.connect_by(certificate, b"http/1.1").expect("a connection");
    let token = &secured.server.token;
    let head = format!(
        "GET /api/admin/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer with an orderly end");
    answer
}

/// A server whose pair can't be used doesn't start, and says why in one line.
#[test]
fn no_server_without_its_pair() {
    let directory = tempfile::tempdir().expect("a directory");
    let [certificate, key] = Secured::paths(directory.path());
    let ((pem, secret), (_, other)) = (made(), made());
    put(&certificate, &pem, 0o644);
    for (key_text, mode, wanted) in [
        (other.as_str(), 0o600, "isn't the certificate's key"),
        (&secret, 0o644, "may be read by others"),
    ] {
        put(&key, key_text, mode);
        let output = Command::new(program())
            .arg("serve")
            .env("SLIPWAY_LISTEN", "127.0.0.1:0")
            .env("SLIPWAY_DATA_DIR", directory.path().join("data"))
            .env("SLIPWAY_TLS__CERTIFICATE", &certificate)
            .env("SLIPWAY_TLS__KEY", &key)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted) && !said.contains("PRIVATE"), "{said}");
    }
}

/// Live events come over HTTP/2 as a stream, and over TLS to a WebSocket.
#[test]
fn live_events_come_over_tls() {
    let secured = Secured::start(&[]);
    let mut listening = secured.curl("/api/events", &["--http2", "-N"]);
    let mut listening = listening.stdout(Stdio::piped()).spawn().expect("curl");
    let mut lines = BufReader::new(listening.stdout.take().expect("piped")).lines();
    let mut socket = secured.connect(b"http/1.1");
    let token = &secured.server.token;
    let upgrade = format!(
        "GET /api/ws HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).expect("sent");

    let form = format!("file=@{}", media("silent.mp4").display());
    let (status, body) = secured.asked("/api/videos", &["--http2", "-F", &form]);
    assert_eq!(status, "2 201", "{body}");
    let video: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let video = video["videoId"].as_str().expect("an id").to_owned();
    let told = |line: &str| line.contains("video.ready") && line.contains(&video);
    let by_stream = lines.by_ref().map_while(Result::ok).any(|line| told(&line));
    assert!(by_stream, "the stream ended without it");
    let _ = listening.kill();
    let _ = listening.wait();

    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !told(&String::from_utf8_lossy(&seen)) {
        let read = socket.read(&mut piece).expect("events");
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..read]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101 "));
}
