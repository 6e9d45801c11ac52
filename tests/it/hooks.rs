//! Blocking hooks: asked at every door, once for what begins and at least once for what is to be
//! finished; what they refuse isn't there, and what they can't be asked about isn't lost.

#[path = "hooks/doors.rs"]
mod doors;
#[path = "hooks/oracle.rs"]
mod oracle;
#[path = "hooks/programs.rs"]
mod programs;

use crate::harness::{Server, files_below, pattern, raw, wait_for};
use crate::live::{Parts, index_last};
use doors::{ALL, Door, Sent};
use oracle::{GO, Manner, Oracle};
use serde_json::{Value, json};
use std::io::Read;
use std::thread::scope;

const PRIVATE: (&str, &str) = ("SLIPWAY_HOOKS__ALLOW_PRIVATE", "true");
const NO_WORK: (&str, &str) = ("SLIPWAY_MEDIA__WORKERS", "0");
const SOON: (&str, &str) = ("SLIPWAY_HOOKS__DEADLINE", "1s");
const PRE_CREATE: &str = "SLIPWAY_HOOKS__PRE_CREATE";
const PRE_FINISH: &str = "SLIPWAY_HOOKS__PRE_FINISH";

/// Answers that aren't any.
const LIES: [Manner; 10] = [
    Manner::Says(200, "<html>yes</html>"),
    Manner::Says(200, ""),
    Manner::Says(200, "true"),
    Manner::Says(200, r#"{"allow": true}"#),
    Manner::Says(200, r#"{"change": {"title": 7}}"#),
    Manner::Says(200, r#"{"refuse": {"detail": "No.", "status": 200}}"#),
    Manner::Says(404, r#"{"refuse": {"detail": "No."}}"#),
    Manner::Babbles,
    Manner::Redirects,
    Manner::Mumbles,
];

const NO: Manner = Manner::Says(200, r#"{"refuse": {"status": 422, "detail": "Not this one."}}"#);
const CHANGED: Manner = Manner::Says(
    200,
    r#"{"change": {"title": "Ours", "description": "Checked", "tags": ["a", "b"],
        "visibility": "private", "filename": "../b.mp4"}}"#,
);

fn server(hook: &str, address: &str, more: &[(&str, &str)]) -> Server {
    let mut settings = vec![(hook, address), PRIVATE, NO_WORK];
    settings.extend_from_slice(more);
    Server::with(&settings)
}

fn video(server: &Server, sent: &Sent) -> Value {
    let id = sent.video.as_deref().expect("there is one");
    server.json(&format!("/api/videos/{id}"))
}

/// Checks that the refusal reached the client in the form of its door.
fn assert_refused(sent: &Sent, door: Door) {
    sent.answer.assert_problem(422, "upload-refused");
    let problem = sent.answer.json();
    assert_eq!(
        (&problem["detail"], &problem["retryable"]),
        (&"Not this one.".into(), &false.into())
    );
    assert_eq!(sent.answer.header("location"), "", "{door:?}: there is nothing to go on with");
}

fn assert_unavailable(sent: &Sent) {
    sent.answer.assert_problem(503, "hook-unavailable");
    assert_eq!(sent.answer.json()["retryable"], true);
    assert!(sent.answer.header("retry-after").parse::<u32>().is_ok());
}

/// Checks that nothing is there, as a record or as a file.
fn assert_nothing(server: &Server) {
    for path in ["/api/uploads?state=partial", "/api/uploads?state=finishing", "/api/videos"] {
        let items = server.json(path)["items"].clone();
        assert_eq!(items, json!([]), "{path}");
    }
    for place in ["tmp/uploads", "originals"] {
        assert_eq!(files_below(&server.data.join(place)), 0, "{place}");
    }
}

/// Whatever the door, somebody is asked before anything is made, and what they say counts.
#[test]
fn nothing_begins_unasked() {
    let oracle = Oracle::start(GO);
    let server = server(PRE_CREATE, &oracle.signed_hook(), &[SOON]);
    let bytes = pattern(3_000);
    for lie in [NO].into_iter().chain(LIES) {
        oracle.be(lie);
        for door in ALL {
            let sent = door.send(&server, &bytes);
            match lie == NO {
                true => assert_refused(&sent, door),
                false => assert_unavailable(&sent),
            }
        }
    }
    assert_nothing(&server);
    oracle.be(Manner::Hangs);
    scope(|scope| {
        for door in ALL {
            let (server, bytes) = (&server, &bytes);
            scope.spawn(move || assert_unavailable(&door.send(server, bytes)));
        }
    });
    assert_nothing(&server);
    for (manner, title) in [(GO, "Mine"), (CHANGED, "Ours")] {
        oracle.be(manner);
        for door in ALL {
            oracle.forget();
            let sent = door.send(&server, &bytes);
            assert!(sent.answer.status < 300, "{door:?}: {}", sent.answer.text());
            let asked = oracle.asked();
            assert_eq!(asked.len(), door.begun(), "{door:?}");
            let last = asked.last().expect("one");
            let video = video(&server, &sent);
            assert!(last.signed);
            assert_eq!(last.body["type"], "pre_create");
            assert_eq!(last.body["videoId"], video["id"], "{door:?}");
            let filename = if manner == GO { "a.bin" } else { "b.mp4" };
            assert_eq!((&video["title"], &video["filename"]), (&title.into(), &filename.into()));
            if manner == CHANGED {
                assert_eq!(video["description"], "Checked", "{door:?}");
                assert_eq!(video["tags"], json!(["a", "b"]), "{door:?}");
                assert_eq!(video["visibility"], "private", "{door:?}");
            }
        }
    }
}

/// What a hook hears is what the client has said; parts are said to be such.
#[test]
fn hooks_hear_everything() {
    let oracle = Oracle::start(GO);
    let server = server(PRE_CREATE, &oracle.hook(), &[(PRE_FINISH, &oracle.hook())]);
    let bytes = pattern(5_000);
    let sent = Door::Tus.send(&server, &bytes);
    let [create, finish] = &oracle.asked()[..] else { panic!("{:?}", oracle.asked()) };
    let upload = sent.at.as_deref().expect("one").trim_start_matches("/files/");
    for (asked, name) in [(create, "pre_create"), (finish, "pre_finish")] {
        assert!(!asked.signed);
        assert_eq!(asked.id, format!("{name}_{upload}"));
        assert_eq!(asked.body["type"], name);
        let data = &asked.body["data"];
        let expected = json!({"uploadId": upload, "door": "tus", "concat": null, "size": 5_000,
            "title": "Mine", "filename": "a.bin", "visibility": "unlisted", "tags": [],
            "sessionId": null, "description": "",
            "metadata": {"filename": "a.bin", "title": "Mine", "colour": "red"}});
        for (key, value) in expected.as_object().expect("one") {
            assert_eq!(&data[key], value, "{key}");
        }
    }
    oracle.forget();
    Door::Concat.send(&server, &bytes);
    wait_for("the question about the finish", || (oracle.asked().len() == 4).then_some(()));
    let told: Vec<(Value, Value)> = oracle
        .asked()
        .iter()
        .map(|asked| (asked.body["type"].clone(), asked.body["data"]["concat"].clone()))
        .collect();
    let kinds = [
        ("pre_create", "partial"),
        ("pre_create", "partial"),
        ("pre_create", "final"),
        ("pre_finish", "final"),
    ];
    assert_eq!(told, kinds.map(|(at, concat)| (at.into(), concat.into())));
    oracle.forget();
    Door::Chunks.send(&server, &bytes);
    let finish = oracle.asked().pop().expect("two");
    assert_eq!(finish.body["data"]["sha256"], crate::harness::sha256(&bytes).as_str());
    let metrics = server.send("GET", "/metrics", &[], b"").text();
    let counted = "slipway_hook_calls_total{hook=\"pre_create\",outcome=\"allowed\"} 5";
    assert!(metrics.contains(counted), "{metrics}");
}

/// An upload whose finish nobody can be asked about keeps its bytes and is asked about again by
/// its client; one that is refused leaves nothing, and its client is told whenever it asks.
#[test]
fn nothing_is_finished_unasked() {
    let oracle = Oracle::start(GO);
    let server = server(PRE_FINISH, &oracle.signed_hook(), &[SOON]);
    let bytes = pattern(3_000);
    for lie in LIES {
        oracle.be(lie);
        for door in [Door::Form, Door::FormWordsLast, Door::TusEmpty] {
            assert_unavailable(&door.send(&server, &bytes));
        }
    }
    // Nobody would come back to these.
    assert_nothing(&server);
    let resumable = [Door::Tus, Door::TusWithUpload, Door::Draft, Door::DraftInTwo, Door::Chunks];
    let unanswered = [LIES[0], Manner::Redirects, Manner::Hangs];
    for (door, lie) in resumable.iter().flat_map(|&door| unanswered.map(|lie| (door, lie))) {
        oracle.be(lie);
        oracle.forget();
        let sent = door.send(&server, &bytes);
        assert_unavailable(&sent);
        assert_eq!(door.retry(&server, &sent).status, 503, "{door:?}: it is asked again");
        oracle.be(CHANGED);
        let retried = door.retry(&server, &sent);
        assert!(retried.status < 300, "{door:?}: {}", retried.text());
        let names: Vec<String> = oracle.asked().into_iter().map(|asked| asked.id).collect();
        assert!(names.len() >= 3 && names.iter().all(|name| *name == names[0]), "{names:?}");
        let asked = oracle.asked().pop().expect("some");
        let id = asked.body["videoId"].as_str().expect("one").to_owned();
        let video = server.json(&format!("/api/videos/{id}"));
        assert_eq!((&video["state"], &video["title"]), (&"queued".into(), &"Ours".into()));
        assert_eq!(video["visibility"], "private");
        let original = server.send("GET", &format!("/api/videos/{id}/original"), &[], b"");
        assert_eq!(original.body, bytes, "{door:?}");
        oracle.forget();
        assert!(door.retry(&server, &sent).status < 300);
        assert!(oracle.asked().is_empty(), "{door:?}: what is finished isn't asked about");
    }
}

/// What is refused at its end is over: for its client, in the records and on the disk.
#[test]
fn what_is_refused_at_its_end_is_gone() {
    let oracle = Oracle::start(NO);
    let mut server = server(PRE_FINISH, &oracle.hook(), &[]);
    let bytes = pattern(3_000);
    let mut gone = Vec::new();
    for door in ALL.into_iter().filter(|&door| door != Door::Concat) {
        let sent = door.send(&server, &bytes);
        assert_refused(&sent, door);
        gone.extend(Some((door, sent)).filter(|(_, sent)| sent.at.is_some()));
    }
    assert_nothing(&server);
    assert!(gone.len() >= 4, "{gone:?}");
    server.kill();
    server.restart();
    for (door, sent) in &gone {
        assert_eq!(door.retry(&server, sent).status, 422, "{door:?}");
    }
    let joined = Door::Concat.send(&server, &bytes);
    assert_eq!(joined.answer.status, 201);
    let at = joined.at.as_deref().expect("one");
    wait_for("it to be refused", || {
        let head = server.send("HEAD", at, &[("Tus-Resumable", "1.0.0")], b"");
        (head.status == 422).then_some(())
    });
    let id = joined.video.as_deref().expect("one");
    assert_eq!(server.send("GET", &format!("/api/videos/{id}"), &[], b"").status, 404);
}

/// What can be played of a film before its upload has ended goes when the film is refused.
#[test]
fn what_was_live_is_unpublished() {
    let oracle = Oracle::start(NO);
    let server =
        Server::with(&[(PRE_FINISH, &oracle.hook()), PRIVATE, ("SLIPWAY_MEDIA__WORKERS", "1")]);
    let film = index_last();
    let parts = Parts::begin(&server, &film, json!({}));
    let sent = parts.put_what_is_wanted();
    for index in (0..parts.count()).filter(|index| !sent.contains(index)) {
        parts.put(index);
    }
    let path = format!("/api/videos/{}", parts.video);
    wait_for("it to be playable", || (server.json(&path)["playable"] == true).then_some(()));
    let said = json!({"uploadId": parts.id}).to_string();
    let kind = ("Content-Type", "application/json");
    let answer = server.send("POST", "/api/videos/upload/complete", &[kind], said.as_bytes());
    answer.assert_problem(422, "upload-refused");
    assert_eq!(server.send("GET", &path, &[], b"").status, 404);
    let master = format!("/media/{}/master.m3u8", parts.video);
    assert_eq!(server.send("GET", &master, &[], b"").status, 404);
    wait_for("nobody to work on it", || {
        let jobs = server.json("/api/videos/processing/jobs?state=running");
        (jobs["items"] == json!([])).then_some(())
    });
    assert_nothing(&server);
}

/// A server that is killed while it asks asks again by itself when it is back, by the same name,
/// and no acknowledged byte is missing.
#[test]
fn a_kill_asks_again() {
    let oracle = Oracle::start(Manner::Hangs);
    let mut server =
        server(PRE_FINISH, &oracle.hook(), &[("SLIPWAY_HOOKS__DEADLINE", "60s"), NO_WORK]);
    let bytes = pattern(700_000);
    let (path, video) = server.create("a.bin", bytes.len());
    let (joined, part) = (Door::Concat, server.address.clone());
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Length: {}\r\n\
         Content-Type: application/offset+octet-stream\r\n\r\n",
        server.token,
        bytes.len()
    );
    let mut waiting = raw(&part, &head, &bytes);
    wait_for("the first question", || (oracle.asked().len() == 1).then_some(()));
    let final_one = joined.send(&server, &bytes).video.expect("one");
    wait_for("the second question", || (oracle.asked().len() == 2).then_some(()));
    server.kill();
    let mut left = Vec::new();
    let _ = waiting.read_to_end(&mut left);
    assert_eq!(left, b"", "nobody was told that it is finished");
    let state = |server: &Server, id: &str| {
        let video = server.json(&format!("/api/videos/{id}"));
        video["state"].as_str().expect("one").to_owned()
    };
    server.restart();
    assert_eq!(state(&server, &video), "uploading");
    wait_for("both to be asked about again", || (oracle.asked().len() == 4).then_some(()));
    oracle.be(GO);
    for id in [&video, &final_one] {
        wait_for("it to be finished", || (state(&server, id) == "queued").then_some(()));
        let original = format!("/api/videos/{id}/original");
        let body = wait_for("its bytes to be in place", || {
            let answer = server.send("GET", &original, &[], b"");
            (answer.status == 200).then_some(answer.body)
        });
        assert!(body == bytes);
    }
    let mut names: Vec<String> = oracle.asked().into_iter().map(|asked| asked.id).collect();
    names.sort();
    assert!(names[0] == names[1] && names[2] == names[3], "{names:?}");
    assert_eq!(server.offset(&path), bytes.len());
}

/// Whoever takes an upload over waits for the answer to what was asked already. Where that comes
/// before it has got to the question itself, it asks once more, by the same name.
#[test]
fn a_takeover_asks_nothing_new() {
    let oracle = Oracle::start(Manner::Hangs);
    let server = server(PRE_FINISH, &oracle.hook(), &[("SLIPWAY_HOOKS__DEADLINE", "60s")]);
    let bytes = pattern(4_000);
    let (path, _) = server.create("a.bin", bytes.len());
    scope(|scope| {
        let patch = scope.spawn(|| server.patch(&path, 0, &bytes));
        wait_for("the question", || (oracle.asked().len() == 1).then_some(()));
        let head = scope.spawn(|| server.offset(&path));
        patch.join().expect("an answer").assert_problem(409, "upload-taken-over");
        oracle.be(GO);
        assert_eq!(head.join().expect("an answer"), bytes.len());
    });
    let asked = oracle.asked();
    assert!(asked.len() <= 2 && asked.iter().all(|it| it.id == asked[0].id), "{asked:?}");
    assert_eq!(server.patch(&path, bytes.len(), b"").status, 204);
    assert_eq!(oracle.asked().len(), asked.len(), "what is finished isn't asked about");
}

/// A hook that hangs keeps nobody waiting but those that it is asked about, and only so many
/// questions are under way.
#[test]
fn a_hook_that_hangs_holds_up_nobody() {
    let oracle = Oracle::start(GO);
    let server = server(PRE_CREATE, &oracle.hook(), &[("SLIPWAY_HOOKS__DEADLINE", "4s")]);
    let bytes = pattern(100_000);
    let (path, _) = server.create("a.bin", bytes.len());
    oracle.be(Manner::Hangs);
    oracle.forget();
    scope(|scope| {
        let create = || {
            let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
            server.send("POST", "/files", &headers, b"").status
        };
        let created: Vec<_> = (0..60).map(|_| scope.spawn(create)).collect();
        wait_for("many questions", || (oracle.asked().len() == 32).then_some(()));
        assert_eq!(server.send_as_anyone("GET", "/healthz", &[], b"").status, 200);
        assert_eq!(server.patch(&path, 0, &bytes).status, 204);
        assert!(created.iter().all(|it| !it.is_finished()), "the others wait still");
        for status in created {
            assert_eq!(status.join().expect("an answer"), 503);
        }
    });
    let uploads = server.json("/api/uploads?state=partial");
    assert_eq!(uploads["items"], json!([]), "nothing is left of them");
}

/// Addresses that aren't public are asked only where the operator allows it.
#[test]
fn private_addresses_are_not_asked() {
    let oracle = Oracle::start(GO);
    let server = Server::with(&[(PRE_CREATE, &oracle.hook()), NO_WORK]);
    assert_unavailable(&Door::Tus.send(&server, b"hello"));
    assert!(oracle.asked().is_empty());
}
