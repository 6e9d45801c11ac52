//! Webhooks: signed, told at least once whatever happens, and harmless to everything else when
//! their receivers hang, lie or loop.

use crate::harness::{Server, media, wait_for};
use crate::received::Received;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const KEY: [u8; 32] = [7; 32];

/// What came to a receiver.
#[derive(Clone, Debug)]
struct Told {
    path: String,
    id: String,
    body: Value,
}

/// How a receiver answers; the path may name another way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Takes,
    Refuses,
}

/// A little HTTP server that checks signatures and remembers what came.
struct Receiver {
    address: String,
    told: Arc<Mutex<Vec<Told>>>,
    manner: Arc<Mutex<Manner>>,
}

impl Receiver {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it listens").to_string();
        let (told, manner) = (Arc::new(Mutex::default()), Arc::new(Mutex::new(manner)));
        let it = Self { address, told, manner };
        let (told, manner) = (it.told.clone(), it.manner.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, manner) = (told.clone(), *manner.lock().expect("whole"));
                std::thread::spawn(move || answer(stream, manner, &told));
            }
        });
        it
    }

    fn hook(&self, path: &str) -> String {
        let secret = STANDARD.encode(KEY);
        format!("{{url = \"http://{}{path}\", secret = \"whsec_{secret}\"}}", self.address)
    }

    fn told(&self, path: &str) -> Vec<Told> {
        let told = self.told.lock().expect("whole");
        told.iter().filter(|told| told.path == path).cloned().collect()
    }

    fn types(&self, path: &str) -> Vec<String> {
        let name = |told: &Told| told.body["type"].as_str().unwrap_or_default().to_owned();
        self.told(path).iter().map(name).collect()
    }

    fn be(&self, manner: Manner) {
        *self.manner.lock().expect("whole") = manner;
    }
}

/// Reads one request, checks it, and answers as its path wants.
fn answer(mut stream: TcpStream, manner: Manner, told: &Mutex<Vec<Told>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let Some(request) = Received::read(&mut reader) else { return };
    let (path, id) = (request.path(), request.header("webhook-id"));
    assert_eq!(request.header("webhook-signature"), request.signature(&KEY), "it is signed");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["id"], id.as_str());
    told.lock().expect("whole").push(Told { path: path.clone(), id, body });
    let mut say = |text: &str| drop(stream.write_all(text.as_bytes()));
    match (path.as_str(), manner) {
        // It says nothing until the other side has had enough.
        ("/hang", _) => drop(reader.read(&mut [0])),
        // More is announced than will ever come.
        ("/lie", _) => {
            say("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nand");
            drop(reader.read(&mut [0]));
        }
        ("/nonsense", _) => say("SSH-2.0-OpenSSH_9.2\r\n"),
        ("/loop", _) => say("HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"),
        ("/gone", _) => say("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"),
        (_, Manner::Takes) => say("HTTP/1.1 204 No Content\r\n\r\n"),
        (_, Manner::Refuses) => say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
    }
}

fn with(hooks: &[String], more: &[(&str, &str)]) -> Server {
    let hooks = format!("[{}]", hooks.join(", "));
    let mut settings = vec![("SLIPWAY_HOOKS__WEBHOOKS", hooks.as_str())];
    settings.extend_from_slice(more);
    Server::with(&settings)
}

const PRIVATE: (&str, &str) = ("SLIPWAY_HOOKS__ALLOW_PRIVATE", "true");

/// A good receiver hears of everything in order, while others hang, lie, talk nonsense, redirect
/// to themselves and say that they are gone; the server works on meanwhile.
#[test]
fn a_bad_receiver_holds_up_nothing() {
    let receiver = Receiver::start(Manner::Takes);
    let paths = ["/hang", "/lie", "/nonsense", "/loop", "/gone", "/good"];
    let hooks = paths.map(|path| receiver.hook(path));
    let server = with(&hooks, &[PRIVATE]);
    let id = server.upload(&media("silent.mp4"));
    assert_eq!(server.settled(&id)["state"], "ready");
    let deleted = server.send("DELETE", &format!("/api/videos/{id}"), &[], b"");
    assert_eq!(deleted.status, 204);
    let told = wait_for("all to be told", || {
        let told = receiver.told("/good");
        told.iter().any(|told| told.body["data"]["state"] == "trashed").then_some(told)
    });
    let expected = ["upload.completed", "video.playable", "video.ready"];
    let types = receiver.types("/good");
    for kind in expected {
        assert_eq!(types.iter().filter(|it| *it == kind).count(), 1, "{kind}: {types:?}");
    }
    let states: Vec<&str> = told
        .iter()
        .filter(|told| told.body["type"] == "video.state")
        .filter_map(|told| told.body["data"]["state"].as_str())
        .collect();
    for state in ["uploading", "queued", "processing", "ready", "trashed"] {
        assert!(states.contains(&state), "{state}: {states:?}");
    }
    assert!(told.iter().all(|told| told.body["videoId"] == id.as_str()), "{told:?}");
    let ids: BTreeSet<&str> = told.iter().map(|told| told.id.as_str()).collect();
    assert_eq!(ids.len(), told.len(), "each has a name of its own");
    let fares = wait_for("the others to have failed, and the good one to have all", || {
        let list = server.json("/api/admin/webhooks")["items"].clone();
        let list = list.as_array().expect("a list").clone();
        let failed = |at: usize| list[at]["failures"].as_u64() > Some(0);
        // The last one it was told is noted a moment later.
        let is_told = list[1]["lastSuccessAt"].is_string() && list[5]["waiting"] == 0;
        ([2, 3, 4].into_iter().all(failed) && is_told).then_some(list)
    });
    assert_eq!(fares[4]["disabled"], true);
    assert!(fares[4]["waiting"].as_u64() > Some(0), "what a disabled one missed is kept");
    assert!(receiver.told("/gone").len() <= 4, "nothing more comes than was on its way");
    let looped = &fares[3]["lastError"];
    assert_eq!(looped, "it answered 302", "redirects aren't followed");
}

/// What was to be told when the server was killed is told by the next one, under the same names;
/// nothing is told that didn't happen.
#[test]
fn a_kill_loses_no_delivery() {
    let receiver = Receiver::start(Manner::Refuses);
    let mut server = with(&[receiver.hook("/x")], &[PRIVATE, ("SLIPWAY_MEDIA__WORKERS", "0")]);
    let id = server.upload(&media("silent.mp4"));
    wait_for("an attempt", || (!receiver.told("/x").is_empty()).then_some(()));
    server.kill();
    let before: BTreeSet<String> = receiver.told("/x").into_iter().map(|told| told.id).collect();
    receiver.be(Manner::Takes);
    server.restart();
    let waiting = || server.json("/api/admin/webhooks")["items"][0]["waiting"].clone();
    wait_for("nothing to wait any more", || (waiting() == 0).then_some(()));
    let types = receiver.types("/x");
    assert!(types.iter().any(|kind| kind == "upload.completed"), "{types:?}");
    let log = server.json("/api/admin/webhooks/deliveries?state=delivered&limit=200");
    let log = log["items"].as_array().expect("a list").clone();
    let named: BTreeSet<String> =
        log.iter().map(|row| format!("msg_{}", row["id"].as_str().expect("an id"))).collect();
    let heard: BTreeSet<String> = receiver.told("/x").into_iter().map(|told| told.id).collect();
    assert_eq!(named, heard, "each was taken once, under the name that it always had");
    assert!(before.is_subset(&named), "{before:?}");
    assert!(log.iter().all(|row| row["videoId"] == id.as_str()));

    let again =
        format!("/api/admin/webhooks/deliveries/{}/retry", log[0]["id"].as_str().expect("an id"));
    let count = receiver.told("/x").len();
    assert_eq!(server.send("POST", &again, &[], b"").status, 200);
    wait_for("it to be told again", || (receiver.told("/x").len() == count + 1).then_some(()));
    assert_eq!(server.send("POST", "/api/admin/webhooks/test", &[], b"").json()["webhooks"], 1);
    wait_for("the test", || receiver.types("/x").contains(&"test".to_owned()).then_some(()));
    let viewer = format!("Bearer {}", server.token_of("uploader", &["--user", "ben"]));
    let denied =
        server.send_as_anyone("GET", "/api/admin/webhooks", &[("Authorization", &viewer)], b"");
    assert_eq!(denied.status, 403);
}

/// Addresses of this machine and of networks behind it aren't asked, in whatever dress they come.
#[test]
fn private_addresses_are_left_alone() {
    let receiver = Receiver::start(Manner::Takes);
    let port = receiver.address.rsplit(':').next().expect("a port").to_owned();
    let secret = STANDARD.encode(KEY);
    let hosts =
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0", "127.1", "[::1]"];
    let hooks = hosts
        .map(|host| format!("{{url = \"http://{host}:{port}/x\", secret = \"whsec_{secret}\"}}"));
    let server = with(&hooks, &[]);
    server.create("a.bin", 10);
    let fares = wait_for("all to have failed", || {
        let list = server.json("/api/admin/webhooks")["items"].clone();
        let list = list.as_array().expect("a list").clone();
        list.iter().all(|it| it["failures"].as_u64() > Some(0)).then_some(list)
    });
    let refused = |it: &&Value| it["lastError"].as_str().is_some_and(|why| why.contains("public"));
    assert!(fares.iter().filter(refused).count() >= 4, "{fares:?}");
    assert!(receiver.told("/x").is_empty());
}

/// Events can be chosen, low space is one of them, and no secret is ever shown.
#[test]
fn events_are_chosen_and_secrets_kept() {
    let receiver = Receiver::start(Manner::Takes);
    let secret = STANDARD.encode(KEY);
    let hook = receiver.hook("/low").replace('}', ", events = [\"disk.low\"]}");
    let full = ("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "999 TiB");
    let server = with(std::slice::from_ref(&hook), &[PRIVATE, full]);
    let told = wait_for("the warning", || receiver.told("/low").first().cloned());
    assert_eq!(told.body["type"], "disk.low");
    assert!(told.body["data"]["freeBytes"].as_u64() < told.body["data"]["reserveBytes"].as_u64());
    drop(server);
    let shown = std::process::Command::new(crate::harness::program())
        .arg("check-config")
        .env("SLIPWAY_HOOKS__WEBHOOKS", format!("[{hook}]"))
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.contains("/low") && !text.contains(&secret), "{text}");
}
