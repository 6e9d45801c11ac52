//! Requests to a server, tried again for as long as there is hope.

use super::IngestError;
use super::retry::{Stop, delay, dice};
use super::screen::Screen;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// A connection on which nothing moves for this long is given up.
const STALL: Duration = Duration::from_secs(60);
/// A server is found out to be unreachable at the start within this.
const FIRST_PATIENCE: Duration = Duration::from_secs(15);

/// An address that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Reads an address such as `https://video.example.org`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches('/');
        if text.starts_with("unix:") {
            return Err("a unix socket can't be asked; name an http or https address".to_owned());
        }
        let uri: Uri = text.parse().map_err(|_| format!("`{text}` isn't an address"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.query().is_some() {
            return Err(format!("`{text}` isn't an address like https://video.example.org"));
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("the address holds a name or password; use a token instead".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// Says whether a token would cross a network that others can read.
    pub fn is_exposed(&self) -> bool {
        let Some(rest) = self.0.strip_prefix("http://") else { return false };
        let local = ["127.", "localhost", "[::1]"];
        !local.iter().any(|start| rest.starts_with(start))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a server says when it doesn't do something (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Problem {
    /// The status of the answer.
    #[serde(skip_serializing)]
    pub(super) status: u16,
    /// Its stable word.
    pub(super) code: String,
    /// Its sentence.
    pub(super) detail: String,
    /// Whether the same may succeed later.
    #[serde(skip_serializing)]
    pub(super) retryable: bool,
}

/// A request that came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The server says no, and would say it again.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// It was tried for too long.
    #[error("given up after {:.1} s: {last}", waited.as_secs_f64())]
    Hopeless {
        /// For how long.
        waited: Duration,
        /// What went wrong the last time.
        last: String,
    },
    /// It was called off.
    #[error("called off")]
    Stopped,
}

impl CallError {
    /// Returns the code of a refusal.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Refused(problem) => &problem.code,
            _ => "",
        }
    }

    /// Returns the status of a refusal.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Refused(problem) => problem.status,
            _ => 0,
        }
    }
}

/// A trial that failed.
pub(super) enum Trial {
    /// There is hope.
    Again {
        /// What went wrong, for people.
        why: String,
        /// When the server wishes to be asked again.
        wish: Option<Duration>,
    },
    /// There is none.
    Never(Problem),
}

/// One server, and in whose name it is asked.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    address: Address,
    bearer: Option<String>,
    retry_for: Duration,
    screen: Arc<Screen>,
}

impl Client {
    pub(super) fn new(
        address: Address,
        token: Option<&str>,
        retry_for: Duration,
        screen: Arc<Screen>,
    ) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_per_write(Some(STALL))
            .max_idle_connections(64)
            .max_idle_connections_per_host(64)
            .max_idle_age(Duration::from_secs(3))
            .output_buffer_size(256 << 10)
            .tls_config(tls)
            .user_agent(concat!("slipway-ingest/", env!("CARGO_PKG_VERSION")))
            .build();
        let bearer = token.map(|token| format!("Bearer {token}"));
        Self { agent: Agent::new_with_config(config), address, bearer, retry_for, screen }
    }

    /// Makes sure that the server can be asked and lets this caller upload; returns the size of
    /// parts that it suggests.
    pub(super) fn greet(&self) -> Result<Option<u64>, IngestError> {
        let patience = self.retry_for.min(FIRST_PATIENCE);
        let trial = || self.once("GET", "/api/session", None, STALL);
        let failed = |cause: CallError| match cause {
            CallError::Refused(problem) if problem.code == "not-found" => IngestError::NotSlipway,
            CallError::Refused(problem) => IngestError::Refused(problem.detail),
            other => IngestError::Unreachable(other.to_string()),
        };
        let said = self.persist(&Stop::default(), patience, trial).map_err(failed)?;
        match said["role"].as_str() {
            Some("viewer") => Err(IngestError::Role),
            Some(_) => Ok(said["limits"]["chunkSize"].as_u64()),
            None if said["mode"] == "open" => Ok(said["limits"]["chunkSize"].as_u64()),
            None if said["mode"].is_string() => {
                Err(IngestError::Refused("it wants an access token".to_owned()))
            }
            None => Err(IngestError::NotSlipway),
        }
    }

    /// Asks until there is an answer, and reads it as JSON; nothing where the answer is empty.
    pub(super) fn ask(
        &self,
        stop: &Stop,
        method: &str,
        path: &str,
        said: Option<&Value>,
    ) -> Result<Value, CallError> {
        self.persist(stop, self.retry_for, || self.once(method, path, said, STALL))
    }

    /// Tries until it works, there is no hope, or the time is over.
    pub(super) fn persist<T>(
        &self,
        stop: &Stop,
        patience: Duration,
        mut trial: impl FnMut() -> Result<T, Trial>,
    ) -> Result<T, CallError> {
        // What counts is how long nothing works: the first trial may take long by itself.
        let mut since = None;
        let mut tries = 0;
        loop {
            let (why, wish) = match trial() {
                Ok(_) if stop.is_set() => return Err(CallError::Stopped),
                Ok(done) => {
                    if tries > 0 {
                        self.screen.calm();
                    }
                    return Ok(done);
                }
                Err(Trial::Never(problem)) => return Err(CallError::Refused(problem)),
                Err(Trial::Again { why, wish }) => (why, wish),
            };
            if stop.is_set() {
                return Err(CallError::Stopped);
            }
            let wait = delay(tries, wish, dice());
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if waited + wait > patience {
                return Err(CallError::Hopeless { waited, last: why });
            }
            // One hiccup isn't worth a word.
            if tries > 0 || wish.is_some() {
                self.screen.trouble(&why, wait);
            }
            tries += 1;
            if stop.wait(wait) {
                return Err(CallError::Stopped);
            }
        }
    }

    /// Asks once, with JSON or nothing.
    pub(super) fn once(
        &self,
        method: &str,
        path: &str,
        said: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, Trial> {
        let text = said.map(Value::to_string);
        let mut headers = vec![];
        if text.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        match text {
            Some(text) => self.send(method, path, &headers, text.as_str(), patience),
            None => self.send(method, path, &headers, (), patience),
        }
    }

    /// Sends bytes once.
    pub(super) fn put(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: &mut dyn Read,
    ) -> Result<Value, Trial> {
        self.send("PUT", path, headers, SendBody::from_reader(body), STALL * 2)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: impl ureq::AsSendBody,
        patience: Duration,
    ) -> Result<Value, Trial> {
        let uri = format!("{}{path}", self.address);
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let request = request.body(body).map_err(|cause| never("request", cause))?;
        let request = self.agent.configure_request(request);
        let request = request.timeout_recv_response(Some(patience));
        let request = request.timeout_recv_body(Some(STALL)).build();
        let answer = self.agent.run(request).map_err(|cause| self.broken(&cause))?;
        self.read(answer)
    }

    /// Tells a connection that failed from a request that can't work.
    fn broken(&self, cause: &ureq::Error) -> Trial {
        use ureq::Error as E;
        match cause {
            E::Http(_) | E::BadUri(_) | E::Tls(_) | E::TlsRequired | E::InvalidProxyUrl => {
                never("request", cause)
            }
            // A certificate, or a port that speaks no TLS, doesn't get better by asking again.
            E::Rustls(_) => self.insecure(cause),
            E::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => self.insecure(io),
            E::HostNotFound => again(format!("{}: no such host", self.address)),
            E::Timeout(_) => again(format!("{} doesn't answer", self.address)),
            E::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
                again(format!("nothing listens at {}", self.address))
            }
            cause => again(format!("the connection to {} broke: {cause}", self.address)),
        }
    }

    fn insecure(&self, cause: impl fmt::Display) -> Trial {
        never("tls", format!("no secure connection with {}: {cause}", self.address))
    }

    fn read(&self, mut answer: Response<Body>) -> Result<Value, Trial> {
        let status = answer.status();
        let wish = answer.headers().get(header::RETRY_AFTER);
        let wish = wish.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let place = answer.headers().get(header::LOCATION);
        let place = place.and_then(|value| value.to_str().ok()).unwrap_or("elsewhere").to_owned();
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|cause| self.broken(&cause))?;
        if status.is_success() {
            if body.is_empty() {
                return Ok(Value::Null);
            }
            let read = serde_json::from_slice(&body);
            return read.map_err(|_| never("not-found", "the answer isn't Slipway's"));
        }
        if status.is_redirection() {
            let place: String = place.chars().filter(|c| !c.is_control()).collect();
            let word = format!("the server sends callers to {place}; name that with --server");
            return Err(never("redirect", word));
        }
        Err(refusal(status, &body, wish.map(Duration::from_secs)))
    }
}

fn again(why: impl fmt::Display) -> Trial {
    Trial::Again { why: why.to_string(), wish: None }
}

fn never(code: &str, why: impl fmt::Display) -> Trial {
    let (code, detail) = (code.to_owned(), why.to_string());
    Trial::Never(Problem { code, detail, ..Problem::default() })
}

/// Reads what a server or a proxy says instead of an answer.
fn refusal(status: StatusCode, body: &[u8], wish: Option<Duration>) -> Trial {
    let said: Option<Problem> = serde_json::from_slice(body).ok();
    let said = said.filter(|problem| !problem.code.is_empty());
    let is_passing = matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504);
    let mut problem = said.unwrap_or_else(|| Problem {
        code: if status == StatusCode::NOT_FOUND { "not-found".into() } else { String::new() },
        detail: format!("the server answers {status}"),
        ..Problem::default()
    });
    problem.status = status.as_u16();
    // A stranger's words don't steer the terminal.
    problem.detail.retain(|c| !c.is_control());
    // The very same bytes would be refused again.
    let is_of_the_bytes = status == StatusCode::UNPROCESSABLE_ENTITY;
    if !is_of_the_bytes && (is_passing || problem.retryable || wish.is_some()) {
        return Trial::Again { why: problem.detail, wish };
    }
    Trial::Never(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses are http or https and hold no secret; others are refused with a word.
    #[test]
    fn addresses() {
        let good = |text| Address::parse(text).map(|address| address.to_string());
        assert_eq!(good("http://127.0.0.1:8080/"), Ok("http://127.0.0.1:8080".to_owned()));
        assert_eq!(good(" https://a.example "), Ok("https://a.example".to_owned()));
        for (bad, word) in [
            ("unix:/run/s.sock", "unix socket"),
            ("a.example", "https://"),
            ("ftp://a.example", "https://"),
            ("http://a:b@c.example", "token"),
            ("http://", "isn't an address"),
            ("http://a.example/?a=b", "https://"),
        ] {
            let said = Address::parse(bad).expect_err(bad);
            assert!(said.contains(word), "{bad}: {said}");
        }
        let exposed = |text| Address::parse(text).expect("good").is_exposed();
        assert!(exposed("http://a.example") && !exposed("https://a.example"));
        assert!(!exposed("http://localhost:1") && !exposed("http://[::1]:1"));
    }

    /// What may pass is tried again, at the server's wish; the rest isn't. Words are the server's.
    #[test]
    fn refusals() {
        let problem = |retryable| {
            format!(r#"{{"code":"out-of-space","detail":"Full\u001b.","retryable":{retryable}}}"#)
        };
        let read = |status, body: &str, wish| {
            let status = StatusCode::from_u16(status).expect("a status");
            match refusal(status, body.as_bytes(), wish) {
                Trial::Again { why, wish } => (true, why, wish),
                Trial::Never(problem) => (false, problem.detail, None),
            }
        };
        let wish = Some(Duration::from_secs(3));
        assert_eq!(read(507, &problem(true), None), (true, "Full.".into(), None));
        assert_eq!(read(413, &problem(false), None), (false, "Full.".into(), None));
        assert_eq!(read(429, &problem(false), wish), (true, "Full.".into(), wish));
        let (again, why, _) = read(502, "<html>", None);
        assert!(again && why.contains("502 Bad Gateway"), "{why}");
        assert!(!read(404, "<html>", None).0);
    }
}
