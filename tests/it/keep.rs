//! What isn't kept for ever, through the real binary: originals once their videos are ready.

use crate::harness::{Server, files_below, media, wait_for};
use crate::playback::{judged, walk_for};
use serde_json::{Value, json};
use std::path::Path;

const KEEP: &str = "SLIPWAY_ORIGINALS__KEEP";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn original(id: &str) -> String {
    format!("/api/videos/{id}/original")
}

/// Says which files lie of a video's original.
fn files_of(data: &Path, id: &str) -> Vec<String> {
    let Some(directory) = walk_for(&data.join("originals"), id) else { return Vec::new() };
    let entries = std::fs::read_dir(directory).expect("it reads").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

fn dropped(server: &Server, id: &str) -> Value {
    wait_for("the original to go", || {
        let it = server.json(&format!("/api/videos/{id}"));
        (it["originalKept"] == false && files_of(&server.data, id) == ["facts.json"]).then_some(it)
    })
}

/// Starts the server anew with nothing but its files.
fn lose_records(server: &mut Server) {
    server.terminate();
    std::fs::remove_dir_all(server.data.join("state")).expect("it is ours");
    std::fs::remove_file(server.data.join("export.jsonl.gz")).expect("it was written");
    server.restart();
    let token = std::fs::read_to_string(server.data.join("admin-token")).expect("a token");
    server.token = token.trim().to_owned();
}

/// Once the film is ready its original is gone, encrypted or not, and everything that would need it
/// says so; the film plays, its words and its poster can be changed, and a picture that somebody
/// brings does for a poster. It is deleted, restored and, after the database is lost, made anew as
/// any.
#[test]
fn a_film_outlives_its_original() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = directory.path().join("keys");
    let made = std::process::Command::new(crate::harness::program())
        .args(["originals", "new-key"])
        .output()
        .expect("it runs");
    std::fs::write(&keys, made.stdout).expect("there is room");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&keys, mode).expect("set");
    let key_file = keys.to_str().expect("text");
    for encryption in ["off", "xchacha20-poly1305"] {
        let mut server = Server::with(&[
            (KEEP, "until-ready"),
            ("SLIPWAY_ORIGINALS__ENCRYPTION", encryption),
            ("SLIPWAY_ORIGINALS__KEY_FILE", key_file),
        ]);
        let id = server.upload(&media("silent.mp4"));
        let it = server.settled(&id);
        assert_eq!(it["state"], "ready", "{it}");
        let it = dropped(&server, &id);
        assert!(it["size"].as_u64() > Some(0), "{it}");
        server.send("GET", &original(&id), &[], b"").assert_problem(410, "original-not-kept");
        assert_eq!(server.send("HEAD", &original(&id), &[], b"").status, 410);
        for body in ["", r#"{"stage":"renditions"}"#] {
            let path = format!("/api/videos/{id}/retry-processing");
            let again = server.send("POST", &path, &[JSON], body.as_bytes());
            again.assert_problem(410, "original-not-kept");
        }
        let poster = format!("/api/videos/{id}/poster");
        let moment = server.send("PUT", &poster, &[JSON], br#"{"time":0.5}"#);
        moment.assert_problem(410, "original-not-kept");
        let picture = std::fs::read(media("still.jpg")).expect("generated");
        let brought = server.send("PUT", &poster, &[("Content-Type", "image/jpeg")], &picture);
        assert_eq!(brought.status, 200, "{}", brought.text());
        let change = br#"{"title":"Sea","visibility":"unlisted"}"#;
        let changed = server.send("PATCH", &format!("/api/videos/{id}"), &[JSON], change);
        assert_eq!(changed.status, 200, "{}", changed.text());
        assert_eq!(server.json("/api/admin/status")["queue"]["running"], 0, "nothing is stuck");
        judged(&server, &it);
        let log = server.json("/api/admin/audit?action=expired")["items"].clone();
        assert_eq!((&log[0]["object"], &log[0]["way"]), (&json!(id), &json!("server")), "{log}");
        assert_eq!(log.as_array().map(Vec::len), Some(1));

        let film = format!("/api/videos/{id}");
        assert_eq!(server.send("DELETE", &film, &[], b"").status, 204);
        assert_eq!(files_below(&server.data.join("media")), 0);
        let restored = server.send("POST", &format!("{film}/restore"), &[], b"");
        assert_eq!((restored.status, &restored.json()["originalKept"]), (200, &json!(false)));
        for trashed in [false, true] {
            if trashed {
                assert_eq!(server.send("DELETE", &film, &[], b"").status, 204);
            }
            lose_records(&mut server);
            if trashed {
                assert_eq!(server.send("POST", &format!("{film}/restore"), &[], b"").status, 200);
            }
            let back = server.json(&film);
            assert_eq!((&back["state"], &back["title"]), (&json!("ready"), &json!("Sea")));
            assert_eq!(back["originalKept"], false, "{trashed}: {back}");
            judged(&server, &back);
        }
    }
}

/// A film that failed keeps its original, and so does a file that isn't media: work on the one can
/// be tried again, and the other is nothing else.
#[test]
fn what_is_needed_is_kept() {
    let server = Server::with(&[(KEEP, "until-ready"), ("SLIPWAY_UPLOAD__ACCEPT", r#"["*/*"]"#)]);
    let id = server.upload(&media("text.mp4"));
    let it = server.settled(&id);
    assert_eq!((&it["kind"], &it["originalKept"]), (&json!("file"), &json!(true)), "{it}");
    assert_eq!(server.send("GET", &original(&id), &[], b"").status, 200);
    let pause = |paused: &str| {
        let wish = format!(r#"{{"paused":{paused}}}"#);
        let answer = server.send("PUT", "/api/admin/queue", &[JSON], wish.as_bytes());
        assert!(answer.status < 300, "{}", answer.text());
    };
    pause("true");
    let id = server.upload(&media("silent.mp4"));
    let path = format!("/api/videos/{id}");
    assert_eq!(server.send("POST", &format!("{path}/cancel-processing"), &[], b"").status, 200);
    let it = server.json(&path);
    assert_eq!((&it["state"], &it["originalKept"]), (&json!("failed"), &json!(true)), "{it}");
    pause("false");
    let again = server.send("POST", &format!("{path}/retry-processing"), &[], b"");
    assert_eq!(again.status, 200, "{}", again.text());
    assert_eq!(server.settled(&id)["state"], "ready");
    dropped(&server, &id);
}

/// Killed with the record written and the bytes still there, the next start removes them; killed
/// before the last quality was certain, the original is there and the work goes on.
#[test]
fn dead_on_the_way() {
    for moment in ["after-drop-record", "after-last-playlist"] {
        let mut server = Server::with(&[(KEEP, "until-ready"), ("SLIPWAY_FAIL_AT", moment)]);
        let id = server.upload(&media("silent.mp4"));
        assert_eq!(server.ended(), None, "{moment}: it dies like from a kill");
        assert!(files_of(&server.data, &id).contains(&"source".to_owned()), "{moment}");
        server.forget("SLIPWAY_FAIL_AT");
        server.restart();
        assert_eq!(server.settled(&id)["state"], "ready", "{moment}");
        let it = dropped(&server, &id);
        judged(&server, &it);
    }
}

/// A video whose time is over goes by a cleaning, which tells before; it is told of as one that
/// somebody has deleted, and comes back. The rules are there to be seen, and without a trash there
/// are none.
#[test]
fn a_video_goes_at_its_time() {
    let rule = ("SLIPWAY_RETENTION__READY", "1s");
    let server = Server::with(&[rule]);
    let id = server.upload(&media("silent.mp4"));
    assert_eq!(server.settled(&id)["state"], "ready");
    let slipway = |args: &[&str], more: &[(&str, &str)]| {
        let mut command = std::process::Command::new(crate::harness::program());
        command.args(args).env("SLIPWAY_DATA_DIR", &server.data).envs([rule]);
        command.envs(more.iter().copied()).output().expect("it runs")
    };
    let due = wait_for("it to be due", || {
        let told = slipway(&["gc", "--dry-run", "--json"], &[]);
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        let finding = told["findings"].as_array()?.iter().find(|it| it["kind"] == "due-video");
        finding.cloned()
    });
    assert_eq!((&due["action"], &due["examples"][0]["id"]), (&json!("trashed"), &json!(id)));
    assert!(due["bytes"].as_u64() > Some(1_000), "{due}");
    assert_eq!(server.json(&format!("/api/videos/{id}"))["state"], "ready", "only told of");
    assert!(slipway(&["gc"], &[]).status.success());
    let trashed = server.json("/api/videos?trashed=true")["items"].clone();
    assert_eq!(trashed[0]["id"], json!(id));
    let happened = server.json("/api/admin/events")["items"].clone();
    assert_eq!(
        (&happened[0]["type"], &happened[0]["videoId"]),
        (&json!("video.state"), &json!(id))
    );
    let log = server.json("/api/admin/audit?action=expired")["items"].clone();
    assert_eq!((&log[0]["object"], &log[0]["way"]), (&json!(id), &json!("server")), "{log}");
    let restored = server.send("POST", &format!("/api/videos/{id}/restore"), &[], b"");
    assert_eq!((restored.status, &restored.json()["state"]), (200, &json!("ready")));
    judged(&server, &restored.json());

    let status = server.json("/api/admin/status")["retention"].clone();
    let rules = json!({ "originalsSeconds": null, "readySeconds": 1.0, "failedSeconds": null,
        "heldUntil": null });
    assert_eq!(status, rules);
    let shown = slipway(&["status"], &[]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("goes     ready videos after 1"));
    let checked = slipway(&["check-config"], &[]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("has ready videos (`retention.ready`) go by themselves"), "{said}");
    let refused = slipway(&["check-config"], &[("SLIPWAY_VIDEO__TRASH_FOR", "0")]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("video.trash_for"), "{said}");
}

/// Says which files below a directory hold these bytes, those whose path has `but` in it apart.
fn holding(directory: &Path, bytes: &[u8], but: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => {
                let text = path.display().to_string();
                let file = std::fs::read(&path).unwrap_or_default();
                if !text.contains(but) && file.windows(bytes.len()).any(|it| it == bytes) {
                    found.push(text);
                }
            }
        }
    }
    found
}

/// A client's address is nowhere on the disk but in the audit log, whatever the client does, and
/// not even there where none are to be kept.
#[test]
fn addresses_are_in_one_place() {
    const ADDRESS: &str = "203.0.113.77";
    for (kept, is_logged) in [("30d", true), ("0", false)] {
        let mut server = Server::with(&[
            ("SLIPWAY_TRUSTED_PROXIES", r#"["127.0.0.1"]"#),
            ("SLIPWAY_AUDIT__ADDRESSES_FOR", kept),
        ]);
        let from = ("X-Forwarded-For", ADDRESS);
        let tus = ("Tus-Resumable", "1.0.0");
        let film = std::fs::read(media("silent.mp4")).expect("generated");
        let length = film.len().to_string();
        let begun = server.send("POST", "/files", &[from, tus, ("Upload-Length", &length)], b"");
        assert_eq!(begun.status, 201, "{}", begun.text());
        let id = begun.header("slipway-video").to_owned();
        let headers = [
            from,
            tus,
            ("Upload-Offset", "0"),
            ("Content-Type", "application/offset+octet-stream"),
        ];
        let sent = server.send("PATCH", begun.header("location"), &headers, &film);
        assert_eq!(sent.status, 204, "{}", sent.text());
        assert_eq!(server.settled(&id)["state"], "ready");
        let wish = br#"{"filename":"a.mp4","size":100000}"#;
        let parts = server.send("POST", "/api/videos/upload/initiate", &[from, JSON], wish);
        assert_eq!(parts.status, 201, "{}", parts.text());
        let path = format!("/api/videos/{id}");
        let token = server.send("POST", &format!("{path}/playback-token"), &[from, JSON], b"{}");
        let hls = token.json()["hlsUrl"].as_str().expect("an address").to_owned();
        assert_eq!(server.send_as_anyone("GET", &hls, &[from], b"").status, 200);
        let grant = br#"{"owner":"ann"}"#;
        server.send("POST", "/api/upload-grants", &[from, JSON], grant);
        let user = br#"{"name":"ben","role":"uploader","password":"correct horse battery"}"#;
        server.send("POST", "/api/admin/users", &[from, JSON], user);
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        for password in ["wrong+horse", "correct+horse+battery"] {
            let body = format!("name=ben&password={password}");
            server.send_as_anyone("POST", "/login", &[from, form], body.as_bytes());
        }
        assert_eq!(server.send("DELETE", &path, &[from], b"").status, 204);
        let log = server.json("/api/admin/audit")["items"].to_string();
        assert_eq!(log.contains(ADDRESS), is_logged, "{kept}: {log}");
        assert_eq!(server.terminate(), Some(0));
        // It is packed; its bytes are looked through as they are.
        let packed = server.data.join("export.jsonl.gz");
        let unpacked = std::process::Command::new("gzip").arg("-d").arg(&packed).output();
        assert!(unpacked.expect("gzip runs").status.success());
        let octets = [203, 0, 113, 77];
        for bytes in [ADDRESS.as_bytes(), octets.as_slice()] {
            let found = holding(&server.data, bytes, "/media/");
            let is_log = |path: &String| path.contains("/audit/");
            let (logs, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_log);
            assert_eq!(others, Vec::<String>::new(), "{kept}");
            assert_eq!(logs.is_empty(), !(is_logged && bytes.len() > 4), "{kept}: {logs:?}");
        }
    }
}
