//! One request to a hook: a checked address, a deadline, and no more of the answer than counts.

use super::address::is_public;
use std::io;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// Longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Resolves names once, and refuses those of which any address isn't public. The connection is made
/// to an address that was checked.
#[derive(Debug)]
struct Guard<R> {
    resolver: R,
    allow_private: bool,
}

impl<R: Resolver> Resolver for Guard<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.resolver.resolve(uri, config, timeout)?;
        match self.allow_private || found.iter().all(|address| is_public(address.ip())) {
            true => Ok(found),
            false => Err(Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, PRIVATE))),
        }
    }
}

/// What is said of an address that isn't public.
const PRIVATE: &str = "the address isn't a public one, and `hooks.allow_private` isn't set";

/// Makes who sends: no proxy, no redirects, no connection kept. `deadline` bounds a request from
/// the look-up of the name to the last byte of the answer that is read.
pub(super) fn agent(allow_private: bool, deadline: Duration) -> Agent {
    agent_by(DefaultResolver::default(), allow_private, deadline)
}

/// Does the same with another way to find the addresses of names.
fn agent_by(resolver: impl Resolver, allow_private: bool, deadline: Duration) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(deadline))
        .max_idle_connections(0)
        .max_response_header_size(HEAD_BYTES_MAX)
        .tls_config(tls)
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .build();
    let guard = Guard { resolver, allow_private };
    Agent::with_parts(config, DefaultConnector::default(), guard)
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The body, as far as it was wanted.
    pub(super) body: Vec<u8>,
}

/// Posts a body and returns the answer, whose own body is read if it has at most `bytes_max`
/// bytes; with 0 it isn't read at all. Blocks for the agent's deadline at most.
///
/// # Errors
/// A sentence without anything secret.
pub(super) fn post(
    agent: &Agent,
    url: &str,
    headers: &[(&str, String)],
    body: &str,
    bytes_max: u64,
) -> Result<Answer, String> {
    let mut request = agent.post(url).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut answer = request.send(body).map_err(said)?;
    let status = answer.status().as_u16();
    let body = match bytes_max {
        0 => Vec::new(),
        most => answer.body_mut().with_config().limit(most).read_to_vec().map_err(said)?,
    };
    Ok(Answer { status, body })
}

fn said(error: Error) -> String {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => PRIVATE.to_owned(),
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "there is no such host".to_owned(),
        Error::BodyExceedsLimit(most) => format!("the answer has more than {most} bytes"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Listens on this machine, counts who connects and answers all of them with `answer`.
    fn receiver(answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (at, count) = (listener.local_addr().expect("one"), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (at, count)
    }

    fn ok() -> String {
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
    }

    fn sent(agent: &Agent, url: &str) -> Result<u16, String> {
        post(agent, url, &[], "{}", 0).map(|answer| answer.status)
    }

    /// Finds what it was told, in its order, the last one again and again.
    #[derive(Debug)]
    struct Told {
        answers: Vec<Vec<SocketAddr>>,
        asked: Arc<AtomicUsize>,
    }

    impl Told {
        fn new(answers: &[&[SocketAddr]]) -> (Self, Arc<AtomicUsize>) {
            let asked = Arc::new(AtomicUsize::new(0));
            let answers = answers.iter().map(|all| all.to_vec()).collect();
            (Self { answers, asked: asked.clone() }, asked)
        }
    }

    impl Resolver for Told {
        fn resolve(
            &self,
            _: &Uri,
            _: &Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, Error> {
            let nth = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
            let mut found = self.empty();
            self.answers[nth].iter().for_each(|&address| found.push(address));
            Ok(found)
        }
    }

    /// However an address of this machine, of a network behind it or of a cloud's metadata is
    /// written, nobody is connected to.
    #[test]
    fn no_dress_hides_a_private_address() {
        let (at, connected) = receiver(ok());
        let agent = agent(false, DEADLINE);
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.1",
            "127.0.1",
            "2130706433",
            "017700000001",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "127.000.000.001",
            "0.0.0.0",
            "0",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "169.254.169.254",
            "2852039166",
            "0xa9fea9fe",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "10.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
            "100.100.100.200",
            "127.0.0.1%00.example",
            "public.example@127.0.0.1",
        ] {
            let url = format!("http://{host}:{}/x", at.port());
            let refused = sent(&agent, &url).expect_err(host);
            assert!(!refused.contains("onnect"), "{host}: {refused}");
        }
        assert_eq!(connected.load(Ordering::SeqCst), 0, "somebody was connected to");
        let allowed = agent_by(DefaultResolver::default(), true, DEADLINE);
        assert_eq!(sent(&allowed, &format!("http://{at}/x")), Ok(204), "it does listen");
    }

    /// A name one of whose addresses isn't public is refused whole, whatever the others are.
    #[test]
    fn one_private_address_among_public_ones_is_too_many() {
        let (at, connected) = receiver(ok());
        let public: SocketAddr = "8.8.8.8:80".parse().expect("an address");
        for all in [&[at][..], &[public, at], &[at, public], &[public, public, at]] {
            let (told, asked) = Told::new(&[all]);
            let refused = sent(&agent_by(told, false, DEADLINE), "http://app.example/x");
            assert_eq!((refused, asked.load(Ordering::SeqCst)), (Err(PRIVATE.to_owned()), 1));
        }
        assert_eq!(connected.load(Ordering::SeqCst), 0);
    }

    /// A name is looked up once for each request, and the connection is made to what was found and
    /// checked then: a name that says something else a moment later changes nothing.
    #[test]
    fn nothing_is_looked_up_between_check_and_connection() {
        let (first, of_first) = receiver(ok());
        let (second, of_second) = receiver(ok());
        let (told, asked) = Told::new(&[&[first], &[second]]);
        // What is found is this machine, as nothing else listens in a test.
        let agent = agent_by(told, true, DEADLINE);
        assert_eq!(sent(&agent, "http://app.example/x"), Ok(204));
        let counts = || [&asked, &of_first, &of_second].map(|it| it.load(Ordering::SeqCst));
        assert_eq!(counts(), [1, 1, 0]);
        // The next request looks again, and no connection is kept for it.
        assert_eq!(sent(&agent, "http://app.example/x"), Ok(204));
        assert_eq!(counts(), [2, 1, 1]);
    }

    /// No redirect is followed, wherever to.
    #[test]
    fn redirects_lead_nowhere() {
        let (inside, connected) = receiver(ok());
        for status in [301, 302, 303, 307, 308] {
            let answer = format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{inside}/x\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            let (at, _) = receiver(answer);
            let agent = agent(true, DEADLINE);
            assert_eq!(sent(&agent, &format!("http://{at}/x")), Ok(status));
        }
        assert_eq!(connected.load(Ordering::SeqCst), 0, "a redirect was followed");
    }
}
