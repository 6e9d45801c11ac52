//! Somebody who is asked, and answers as a test wants it.

use crate::received::Received;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

const KEY: [u8; 32] = [9; 32];

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// With this status and this body.
    Says(u16, &'static str),
    /// With more than anybody wants to hear.
    Babbles,
    /// With a redirect to itself.
    Redirects,
    /// With what isn't HTTP.
    Mumbles,
    /// Not before it is asked to answer otherwise.
    Hangs,
}

/// Go on.
pub const GO: Manner = Manner::Says(204, "");

/// A question that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: String,
    pub body: Value,
    pub signed: bool,
}

/// A little HTTP server.
pub struct Oracle {
    pub address: String,
    inner: Arc<Inner>,
}

struct Inner {
    asked: Mutex<Vec<Asked>>,
    manner: Mutex<Manner>,
    changed: Condvar,
}

impl Oracle {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens").to_string();
        let (asked, manner) = (Mutex::default(), Mutex::new(manner));
        let inner = Arc::new(Inner { asked, manner, changed: Condvar::new() });
        let ours = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = ours.clone();
                std::thread::spawn(move || inner.answer(stream));
            }
        });
        Self { address, inner }
    }

    /// The setting of a hook that asks it.
    pub fn hook(&self) -> String {
        format!("http://{}/ask", self.address)
    }

    /// The same, signed.
    pub fn signed_hook(&self) -> String {
        format!("{{url = \"{}\", secret = \"whsec_{}\"}}", self.hook(), STANDARD.encode(KEY))
    }

    pub fn be(&self, manner: Manner) {
        *self.inner.manner.lock().expect("whole") = manner;
        self.inner.changed.notify_all();
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().expect("whole").clone()
    }

    pub fn forget(&self) {
        self.inner.asked.lock().expect("whole").clear();
    }
}

impl Inner {
    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
        let Some(request) = Received::read(&mut reader) else { return };
        let id = request.header("webhook-id");
        let given = request.header("webhook-signature");
        if !given.is_empty() {
            assert_eq!(given, request.signature(&KEY), "it is signed rightly");
        }
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        assert_eq!(body["id"], id.as_str());
        self.asked.lock().expect("whole").push(Asked { id, body, signed: !given.is_empty() });
        let manner = self.manner.lock().expect("whole");
        let manner = self
            .changed
            .wait_while(manner, |manner| *manner == Manner::Hangs)
            .map(|manner| *manner)
            .expect("whole");
        let mut say = |text: &str| drop(stream.write_all(text.as_bytes()));
        match manner {
            Manner::Says(status, body) => say(&format!(
                "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )),
            Manner::Babbles => say(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{{\"x\": \"{}\"}}",
                "y".repeat(199_991)
            )),
            Manner::Redirects => {
                say("HTTP/1.1 307 Again\r\nLocation: /ask\r\nContent-Length: 0\r\n\r\n");
            }
            Manner::Mumbles => say("SSH-2.0-OpenSSH_9.2\r\n"),
            Manner::Hangs => unreachable!("it was waited for"),
        }
    }
}
