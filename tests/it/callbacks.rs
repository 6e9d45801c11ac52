//! Callbacks of upload grants, as an app's own little server receives them: signed by the grant's
//! secret, tried again until they are taken, and told once.

use crate::harness::{Answer, Server, media, wait_for};
use crate::received::Received;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PRIVATE: (&str, &str) = ("SLIPWAY_HOOKS__ALLOW_PRIVATE", "true");
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// What came, and how it was answered.
struct Told {
    request: Received,
    status: u16,
}

/// The app's server: it refuses everything once, with 500, and takes it when it comes again.
struct App {
    address: String,
    told: Arc<Mutex<Vec<Told>>>,
}

impl App {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens").to_string();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let it = Self { address, told: told.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &told);
            }
        });
        it
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns what came to a path: id, body, signed by this secret or not, and status.
    fn told(&self, path: &str, secret: &str) -> Vec<(String, Value, bool, u16)> {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        let told = self.told.lock().expect("whole");
        let here = told.iter().filter(|told| told.request.path() == path);
        here.map(|Told { request, status }| {
            let is_signed = request.header("webhook-signature") == request.signature(&key);
            let body = serde_json::from_slice(&request.body).expect("JSON");
            (request.header("webhook-id"), body, is_signed, *status)
        })
        .collect()
    }
}

fn answer(mut stream: TcpStream, told: &Mutex<Vec<Told>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let Some(request) = Received::read(&mut reader) else { return };
    let mut told = told.lock().expect("whole");
    let id = request.header("webhook-id");
    let is_known = told.iter().any(|told| told.request.header("webhook-id") == id);
    let status = if is_known { 200 } else { 500 };
    told.push(Told { request, status });
    let answer =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes());
}

fn grant(server: &Server, callback: &str) -> Answer {
    let wanted = json!({"expiresIn": 600, "owner": "ann", "callback": callback}).to_string();
    server.send("POST", "/api/upload-grants", &[JSON], wanted.as_bytes())
}

/// Uploads a file by a grant, as a browser does that knows nothing but the address.
fn upload(server: &Server, made: &Value, bytes: &[u8]) -> String {
    let url = made["uploadUrl"].as_str().expect("an address");
    let path = format!("/g/{}", url.split_once("/g/").expect("a grant in it").1);
    let length = bytes.len().to_string();
    let headers = [
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Length", length.as_str()),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    let answer = server.send_as_anyone("POST", &path, &headers, bytes);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.header("slipway-video").to_owned()
}

/// Each thing that becomes of the upload is told, refused with 500, told again with the same name
/// and words, and then never again: not later, not by the next start.
#[test]
fn a_callback_is_told_until_it_is_taken() {
    let app = App::start();
    let mut server = Server::with(&[PRIVATE]);
    let film = std::fs::read(media("silent.mp4")).expect("it was generated");
    let made = grant(&server, &app.url("/first")).json();
    let secret = made["callbackSecret"].as_str().expect("a secret").to_owned();
    let video = upload(&server, &made, &film);
    let taken = |path: &str, secret: &str| {
        wait_for("both to be taken", || {
            let told = app.told(path, secret);
            (told.iter().filter(|(.., status)| *status == 200).count() == 2).then_some(told)
        })
    };
    let told = taken("/first", &secret);
    assert_eq!(told.len(), 4, "two things, each refused once: {told:?}");
    for kind in ["upload.completed", "video.ready"] {
        let of = told.iter().filter(|(_, body, ..)| body["type"] == kind).collect::<Vec<_>>();
        let [(id, body, _, 500), (again, same, _, 200)] = of[..] else { panic!("{kind}: {of:?}") };
        assert_eq!((id, body), (again, same), "{kind}: under its name, with its words");
        assert_eq!((&body["videoId"], &body["data"]["grantId"]), (&json!(video), &made["id"]));
    }
    assert!(told.iter().all(|(_, _, is_signed, _)| *is_signed), "{told:?}");

    // Another grant has another secret, and one that is told later than all that might still come.
    let second = grant(&server, &app.url("/second")).json();
    let own = second["callbackSecret"].as_str().expect("a secret").to_owned();
    assert_ne!(own, secret);
    upload(&server, &second, &film);
    let later = taken("/second", &own);
    assert!(later.iter().all(|(_, _, is_signed, _)| *is_signed), "{later:?}");
    assert!(app.told("/second", &secret).iter().all(|(_, _, is_signed, _)| !is_signed));
    server.kill();
    server.restart();
    let third = grant(&server, &app.url("/third")).json();
    let own = third["callbackSecret"].as_str().expect("a secret").to_owned();
    upload(&server, &third, &film);
    taken("/third", &own);
    assert_eq!(app.told("/first", &secret).len(), 4, "it was told again");
    let log = server.json("/api/admin/webhooks/deliveries?state=pending");
    assert_eq!(log["items"], json!([]), "nothing waits any more");
}

/// An uploader names the address of a callback, and gets nothing asked that lies behind the server:
/// not in whatever dress it comes, and not by its upload being otherwise well.
#[test]
fn callbacks_reach_nothing_inside() {
    let app = App::start();
    let port = app.address.rsplit(':').next().expect("a port").to_owned();
    let server = Server::with(&[("SLIPWAY_MEDIA__WORKERS", "0")]);
    let hosts = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f000001",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "10.0.0.1",
    ];
    let mut taken = BTreeSet::new();
    for host in hosts {
        let answer = grant(&server, &format!("http://{host}:{port}/told"));
        // Some dresses aren't an address to begin with.
        if answer.status == 400 {
            continue;
        }
        let made = answer.json();
        upload(&server, &made, b"no film at all");
        taken.insert(made["id"].as_str().expect("an id").to_owned());
    }
    assert!(taken.len() > 5, "{taken:?}");
    let list = wait_for("an attempt at each", || {
        let list = server.json("/api/admin/webhooks/deliveries?state=pending&limit=200");
        let rows = list["items"].as_array().expect("a list").clone();
        let is_tried = |row: &Value| row["attempts"].as_u64() > Some(0);
        (rows.len() >= taken.len() && rows.iter().all(is_tried)).then_some(rows)
    });
    for row in &list {
        let why = row["error"].as_str().or_else(|| row["lastError"].as_str()).unwrap_or_default();
        assert!(why.contains("public") || why.contains("no such host"), "{row}");
    }
    assert!(app.told.lock().expect("whole").is_empty(), "somebody inside was asked");
}
