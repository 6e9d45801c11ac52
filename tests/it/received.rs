//! A request that the server makes, as whoever it asks receives it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

/// Its head, line by line, and its body.
pub struct Received {
    head: Vec<String>,
    pub body: Vec<u8>,
}

impl Received {
    /// Reads a request; none if the other side goes before it has said anything.
    pub fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let mut received = Self { head, body: Vec::new() };
        received.body = vec![0; received.header("content-length").parse().expect("a length")];
        reader.read_exact(&mut received.body).expect("the whole body");
        Some(received)
    }

    pub fn path(&self) -> String {
        self.head[0].split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// Returns a header's value; nothing if it isn't there.
    pub fn header(&self, name: &str) -> String {
        let found = self.head.iter().filter_map(|line| line.split_once(": "));
        let found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| it);
        found.map(str::to_owned).next().unwrap_or_default()
    }

    /// Returns how it's signed with this key, by the rules of Standard Webhooks.
    pub fn signature(&self, key: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key fits");
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(&self.body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}
