//! Live status as browsers and programs hear it: streams and sockets, with a real job's events.

use crate::harness::{PATIENCE, Server, media, raw};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// A WebSocket's client, as far as these tests need one.
struct Socket {
    stream: TcpStream,
}

/// What came over a socket.
#[derive(Debug, PartialEq)]
enum Frame {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The connection ended.
    End,
}

impl Socket {
    /// Opens a socket; the error is the answer's first line.
    fn open(server: &Server, query: &str, headers: &[(&str, &str)]) -> Result<Self, String> {
        let host = server.host();
        let mut head = format!(
            "GET /api/ws{query} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: \
             websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
             dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        let mut stream = raw(&server.address, &head, b"");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer's head");
            answer.push(byte[0]);
        }
        let answer = String::from_utf8(answer).expect("text");
        if !answer.starts_with("HTTP/1.1 101") {
            return Err(answer.lines().next().unwrap_or_default().to_owned());
        }
        // The example of RFC 6455.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Ok(Self { stream })
    }

    fn of(server: &Server, query: &str, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        Self::open(server, query, &[("Authorization", &bearer)]).expect("a socket")
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let length = payload.len();
        let mut frame = vec![0x80 | opcode];
        match u8::try_from(length) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).expect("short").to_be_bytes());
            }
        }
        // A mask of zeros is a mask.
        frame.extend([0; 4]);
        frame.extend(payload);
        // The server may have closed already.
        let _ = self.stream.write_all(&frame);
    }

    fn frame(&mut self) -> Frame {
        let mut head = [0; 2];
        if self.stream.read_exact(&mut head).is_err() {
            return Frame::End;
        }
        assert_eq!(head[0] & 0x80, 0x80, "nothing is sent in pieces");
        let length = match head[1] {
            126 => self.number::<2>(),
            127 => self.number::<8>(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).expect("a whole frame");
        match head[0] & 0xf {
            1 => Frame::Text(String::from_utf8(payload).expect("text")),
            8 => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            9 => Frame::Ping(payload),
            10 => Frame::Pong(payload),
            other => panic!("frame {other}"),
        }
    }

    fn number<const N: usize>(&mut self) -> usize {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("a length");
        bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// The next event; pings are answered.
    fn event(&mut self) -> Value {
        loop {
            match self.frame() {
                Frame::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Frame::Ping(word) => self.send(10, &word),
                other => panic!("{other:?} instead of an event"),
            }
        }
    }

    /// Events up to the first that fits.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = vec![self.event()];
        while !events.last().is_some_and(&fits) {
            events.push(self.event());
        }
        events
    }
}

/// The events of a stream, each with the `id` line before it.
fn stream(server: &Server, query: &str, last: &str) -> impl Iterator<Item = (Option<u64>, Value)> {
    let (host, token) = (server.host(), &server.token);
    let head = format!(
        "GET /api/events{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer \
         {token}\r\n{last}\r\n"
    );
    let lines = BufReader::new(raw(&server.address, &head, b"")).lines();
    let mut id = None;
    lines.map(|line| line.expect("a line in time")).filter_map(move |line| {
        if let Some(number) = line.strip_prefix("id: ") {
            id = number.parse().ok();
        }
        let data = line.strip_prefix("data: ")?;
        Some((id.take(), serde_json::from_str(data).expect("JSON")))
    })
}

fn is(kind: &str) -> impl Fn(&Value) -> bool {
    move |event: &Value| event["type"] == kind
}

fn id_of(event: &Value) -> u64 {
    event["id"].as_u64().expect("an id")
}

/// A job's events come over both doors in the same words, behind a snapshot that says where they
/// begin; whoever comes back gets what was missed, and no snapshot.
#[test]
fn a_job_is_told_over_both_doors() {
    let server = Server::start();
    let mut socket = Socket::of(&server, "", &server.token);
    let snapshot = socket.event();
    assert_eq!((&snapshot["type"], &snapshot["videos"]), (&"snapshot".into(), &0.into()));
    let mut other = stream(&server, "", "");
    let (id, begun) = other.next().expect("a snapshot");
    assert_eq!((id, &begun["type"]), (Some(id_of(&begun)), &"snapshot".into()));

    let video = server.upload(&media("faststart.mp4"));
    let events = socket.until(is("video.ready"));
    let told: Vec<_> = other.by_ref().take_while(|(_, event)| event["type"] != "queue").collect();
    assert!(told.iter().all(|(id, event)| *id == Some(id_of(event))));
    assert!(events.iter().map(id_of).is_sorted_by(|one, next| one < next), "{events:#?}");
    assert!(events.iter().all(|event| id_of(event) > id_of(&snapshot)));
    for kind in ["upload.completed", "video.progress", "video.playable", "queue"] {
        assert!(events.iter().any(is(kind)), "{kind}");
    }
    let ready = events.last().expect("the end");
    assert_eq!((&ready["videoId"], &ready["video"]["state"]), (&video.into(), &"ready".into()));
    assert_eq!(ready["video"]["processing"]["progress"], 1.0);
    let same = other.map(|(_, event)| event).find(is("video.ready"));
    assert_eq!(same.as_ref(), Some(ready));

    let completed = events.iter().find(|event| is("upload.completed")(event)).expect("told");
    let query = format!("?lastEventId={}", id_of(completed));
    let missed = Socket::of(&server, &query, &server.token).until(is("video.ready"));
    assert!(missed.iter().all(|event| id_of(event) > id_of(completed)), "{missed:#?}");
    assert!(!missed.iter().any(is("snapshot")) && missed.last() == Some(ready));
    let last = format!("Last-Event-ID: {}\r\n", id_of(completed));
    let again: Vec<_> = stream(&server, "", &last).map(|it| it.1).take(missed.len()).collect();
    assert_eq!(again, missed, "what counts for the moment only was said once");
}

/// Each hears what they chose and may know: all of theirs, a session, a public video by its name.
#[test]
fn listeners_hear_what_they_chose_and_may_know() {
    let server = Server::start();
    let (ann, bob) =
        (server.token_of("uploader", &["--user", "ann"]), server.token_of("viewer", &[]));
    let upload = |more: &str| {
        let bearer = format!("Bearer {ann}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", "5"),
            ("Upload-Metadata", more),
        ];
        let answer = server.send_as_anyone("POST", "/files", &headers, b"");
        assert_eq!(answer.status, 201, "{}", answer.text());
        let at = answer.header("location").to_owned();
        (at, answer.header("slipway-video").to_owned())
    };
    let bearer = format!("Bearer {ann}");
    let finish = |at: &str| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Offset", "0"),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        assert_eq!(server.send_as_anyone("PATCH", at, &headers, b"hello").status, 204);
    };
    // The metadata: sessionId "s1"; visibility "public"; visibility "private".
    let (first_at, first) = upload("sessionId czE=,visibility cHVibGlj");
    let (second_at, second) = upload("visibility cHJpdmF0ZQ==");

    let mut anns = Socket::of(&server, "", &ann);
    let mut of_session = Socket::of(&server, "?sessionId=s1", &ann);
    let mut bobs = Socket::of(&server, &format!("?videoIds={first},{second}"), &bob);
    let named = format!("?videoIds={first},{second}");
    let mut anyones = Socket::open(&server, &named, &[]).expect("a socket");
    let snapshot = anns.until(is("snapshot"));
    assert_eq!(snapshot.len(), 3, "{snapshot:#?}");
    assert_eq!(of_session.until(is("snapshot")).len(), 2);
    assert_eq!((bobs.event()["type"].clone(), anyones.event()["type"].clone()), {
        ("snapshot".into(), "snapshot".into())
    });

    finish(&second_at);
    finish(&first_at);
    let failed_first = |event: &Value| event["type"] == "video.failed" && event["videoId"] == first;
    let heard = anns.until(failed_first);
    assert!(heard.iter().any(|event| event["videoId"] == second));
    assert!(!heard.iter().any(is("queue")), "the queue is the admins'");
    let heard = of_session.until(failed_first);
    assert!(heard.iter().all(|event| event["videoId"] == first), "{heard:#?}");
    for socket in [&mut bobs, &mut anyones] {
        for event in socket.until(failed_first) {
            assert_eq!(event["videoId"], first, "{event}");
            assert!(event["video"].get("filename").is_none(), "the public part: {event}");
        }
    }
    assert!(Socket::open(&server, "", &[]).is_err_and(|line| line.contains("401")));
    assert!(Socket::open(&server, "?videoIds=x", &[]).is_err_and(|line| line.contains("400")));
}

/// A socket does what the protocol asks for, and ends one that talks too much.
#[test]
fn sockets_keep_the_protocol() {
    let server = Server::start();
    let mut socket = Socket::of(&server, "", &server.token);
    assert_eq!(socket.event()["type"], "snapshot");
    socket.send(1, b"{\"hello\": true}");
    socket.send(9, b"word");
    assert_eq!(socket.frame(), Frame::Pong(b"word".to_vec()), "texts are passed over");
    socket.send(8, &1000u16.to_be_bytes());
    assert_eq!(socket.frame(), Frame::Close(Some(1000)));
    assert_eq!(socket.frame(), Frame::End);

    let mut socket = Socket::of(&server, "", &server.token);
    assert_eq!(socket.event()["type"], "snapshot");
    socket.send(1, &[b'a'; 5000]);
    assert_eq!(socket.frame(), Frame::Close(Some(1009)));

    let plain = server.send("GET", "/api/ws", &[], b"");
    plain.assert_problem(400, "invalid-request");
    assert_eq!(plain.header("sec-websocket-version"), "13");
}

/// A session opens a socket from the server's own pages alone.
#[test]
fn other_sites_pages_cant_listen_with_a_session() {
    let server = Server::start();
    let form = format!("token={}", server.token);
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let login = server.send_as_anyone("POST", "/login", &kind, form.as_bytes());
    let cookie = login.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    assert!(cookie.starts_with("slipway_session="), "{cookie}");
    let open = |origin: &str| {
        Socket::open(&server, "", &[("Cookie", &cookie), ("Origin", origin)]).map(|_| ())
    };
    assert_eq!(open(&server.address), Ok(()));
    for foreign in ["https://evil.example", "null"] {
        assert!(open(foreign).is_err_and(|line| line.contains("403")), "{foreign}");
    }
}

/// A revoked token ends what it listens to.
#[test]
fn revoked_tokens_hear_no_more() {
    let server = Server::start();
    let token = server.token_of("uploader", &["--name", "leaving"]);
    let mut socket = Socket::of(&server, "", &token);
    assert_eq!(socket.event()["type"], "snapshot");
    let slipway = |words: &[&str]| {
        let mut command = Command::new(crate::harness::program());
        let output = command.args(words).env("SLIPWAY_DATA_DIR", &server.data).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let list = slipway(&["token", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let leaving = list.as_array().expect("a list").iter().find(|it| it["name"] == "leaving");
    let id = leaving.expect("the token")["id"].as_str().expect("an id").to_owned();
    slipway(&["token", "revoke", &id]);
    socket.stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(socket.frame(), Frame::Close(Some(1001)));
}

/// What a job did is measured; only admins and tokens for that alone read it, and such a token is
/// good for nothing else.
#[test]
fn metrics_tell_of_a_job() {
    let server = Server::start();
    let video = server.upload(&media("faststart.mp4"));
    assert_eq!(server.settled(&video)["state"], "ready");
    let _listens = Socket::of(&server, "", &server.token);
    let read = |headers: &[(&str, &str)]| server.send_as_anyone("GET", "/metrics", headers, b"");
    let answer = server.send("GET", "/metrics", &[], b"");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series}: {text}")).parse().expect("a number")
    };
    assert_eq!(value("slipway_uploads_total{door=\"tus\",outcome=\"finished\"}"), 1.0);
    let size = std::fs::metadata(media("faststart.mp4")).expect("a file").len();
    assert_eq!(value("slipway_upload_bytes_total{door=\"tus\"}"), size as f64);
    let done = ["films", "live"]
        .map(|line| value(&format!("slipway_jobs_total{{line=\"{line}\",outcome=\"done\"}}")));
    assert_eq!(done[0] + done[1], 1.0);
    assert_eq!(value("slipway_stage_duration_seconds_count{stage=\"probe\"}"), 1.0);
    assert!(value("slipway_worker_memory_peak_bytes_sum") > 1e6);
    assert!(value("slipway_sync_duration_seconds_count{what=\"upload\"}") >= 1.0);
    assert!(value("slipway_sync_duration_seconds_count{what=\"database\"}") >= 1.0);
    assert!(value("slipway_database_bytes") > 0.0 && value("slipway_disk_free_bytes") > 0.0);
    assert_eq!(value("slipway_live_listeners"), 1.0);
    let route = "route=\"/files/{id}\",method=\"PATCH\",status=\"2xx\"";
    assert_eq!(value(&format!("slipway_http_requests_total{{{route}}}")), 1.0);
    assert!(!text.contains(&video), "ids are no labels");

    let with = |token: &str| format!("Bearer {token}");
    let scraper = with(&server.token_of("viewer", &["--scope", "metrics"]));
    assert_eq!(read(&[("Authorization", &scraper)]).status, 200);
    let list = server.send_as_anyone("GET", "/api/videos", &[("Authorization", &scraper)], b"");
    list.assert_problem(403, "forbidden");
    read(&[]).assert_problem(401, "unauthenticated");
    let uploader = with(&server.token_of("uploader", &[]));
    read(&[("Authorization", &uploader)]).assert_problem(403, "forbidden");
}

/// The figures of a day are those of what was done, and stay over a stop and a start.
#[test]
fn figures_outlive_the_server() {
    let mut server = Server::start();
    let film = media("faststart.mp4");
    let video = server.upload(&film);
    assert_eq!(server.settled(&video)["state"], "ready");
    let (path, _) = server.create("a.mp4", 5);
    assert_eq!(server.send("DELETE", &path, &[("Tus-Resumable", "1.0.0")], b"").status, 204);
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    let figures = server.json("/api/admin/figures");
    for span in ["hour", "day", "month"] {
        let of = &figures[span];
        let size = std::fs::metadata(&film).expect("a file").len();
        assert_eq!((&of["uploads"], &of["uploadedBytes"]), (&1.into(), &size.into()), "{figures}");
        assert_eq!((&of["uploadsLost"], &of["filmsDone"]), (&1.into(), &1.into()), "{figures}");
        let number = |key: &str| of[key].as_f64().expect("a number");
        let speed = number("filmSeconds") / number("workSeconds");
        assert!((number("speed") - speed).abs() < 1e-9 && speed > 0.0, "{figures}");
    }
    let viewer = format!("Bearer {}", server.token_of("viewer", &[]));
    let headers = [("Authorization", viewer.as_str())];
    assert_eq!(server.send_as_anyone("GET", "/api/admin/figures", &headers, b"").status, 403);
}
