//! Many connections from one address.

use crate::harness::{PATIENCE, Server};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Instant;

/// How many connections are tried, where this process may have as many.
const CROWD: usize = 10_000;
/// Descriptors for everything else.
const OTHERS: u64 = 500;
/// What one address may have unless the configuration says otherwise.
const CONNECTIONS_MAX: usize = 512;

/// Connects from another of this machine's addresses.
fn from(source: Ipv4Addr, server: &Server) -> TcpStream {
    let to: SocketAddr = server.address.trim_start_matches("http://").parse().expect("an address");
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddrV4::new(source, 0)).expect("its own address");
    connect(&socket, &to).expect("a connection");
    TcpStream::from(socket)
}

/// Returns how many descriptors this process may have, after asking for as many as it can get.
fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("its own limit");
    limit.maximum.unwrap_or(u64::MAX)
}

/// Says whether the server has left a connection open.
fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let read = stream.read(&mut [0; 1024]);
    matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Ten thousand connections from one address, each with half a request, leave the server answering
/// everybody else; those beyond the bound are closed, and there is room again once they have gone.
#[test]
fn one_address_cant_have_all_connections() {
    let count = CROWD.min(usize::try_from(descriptors() - OTHERS).expect("a count"));
    let server = Server::start();
    let crowd = Ipv4Addr::new(127, 0, 0, 2);
    let mut held = Vec::new();
    for n in 0..count {
        let mut stream = from(crowd, &server);
        // Refused ones may have been closed by now.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n");
        held.push(stream);
        if n % 1000 == 999 {
            let answer = server.send("GET", "/healthz", &[], b"");
            assert_eq!(answer.status, 200, "after {n} connections");
        }
    }
    let open = held.iter_mut().filter_map(|stream| is_open(stream).then_some(())).count();
    println!("{count} connections, {open} of them open");
    assert!(open <= CONNECTIONS_MAX, "{open} of {count} are open");
    let (path, _) = server.create("a.bin", 5);
    assert_eq!(server.patch(&path, 0, b"hello").status, 204, "uploads go on");
    let text = server.send("GET", "/metrics", &[], b"").text();
    let line =
        text.lines().find(|line| line.starts_with("slipway_limited_total{by=\"connections\"}"));
    let refused: usize = line.and_then(|it| it.rsplit_once(' ')?.1.parse().ok()).expect("a count");
    // Heads that never end are given up meanwhile, and make room for some.
    assert!(refused > 0, "none of {count} refused");
    drop(held);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = from(crowd, &server);
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        if read.is_ok() && answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < deadline, "no room again: {answer}");
    }
}
