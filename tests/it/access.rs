//! Who is let in, and what everybody else gets.

use crate::harness::{Server, base64, program};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn with(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}

/// Only the public routes answer without a token; everything else is 401.
#[test]
fn strangers_see_only_the_public_routes() {
    let server = Server::start();
    for path in ["/healthz", "/readyz", "/login"] {
        assert_eq!(server.send_as_anyone("GET", path, &[], b"").status, 200, "{path}");
    }
    let id = "018f0000-0000-7000-8000-000000000000";
    for (method, path) in [
        ("GET", "/api/videos".to_owned()),
        ("GET", "/api/uploads?state=partial".to_owned()),
        ("GET", "/api/events".to_owned()),
        ("GET", "/api/ws".to_owned()),
        ("GET", "/api/admin/status".to_owned()),
        ("GET", "/api/videos/processing/jobs".to_owned()),
        ("POST", "/api/videos".to_owned()),
        ("DELETE", format!("/api/videos/{id}")),
        ("GET", format!("/api/videos/{id}/original")),
        ("GET", format!("/files/{id}")),
    ] {
        let answer = server.send_as_anyone(method, &path, &[], b"");
        answer.assert_problem(401, "unauthenticated");
        let (name, value) = with("slw_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let answer = server.send_as_anyone(method, &path, &[(name, &value)], b"");
        assert_eq!(answer.status, 401, "{method} {path} with a wrong token");
    }
    let create = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
    assert_eq!(server.send_as_anyone("POST", "/files", &create, b"").status, 401);
    for page in ["/", "/library", "/admin"] {
        let answer = server.send_as_anyone("GET", page, &[("Accept", "text/html")], b"");
        assert!((302..=303).contains(&answer.status), "{page}: {}", answer.status);
        assert!(answer.header("location").starts_with("/login"), "{page}");
    }
}

/// Another user's upload doesn't exist; a role too small is told so.
#[test]
fn owners_and_roles() {
    let server = Server::start();
    let token = |role| server.token_of(role, &[]);
    let (anna, bert) = (with(&token("uploader")), with(&token("uploader")));
    let viewer = with(&token("viewer"));
    let metadata = format!("filename {}", base64("a.mp4"));
    let create = |who: &(&str, String)| {
        let headers = [
            (who.0, who.1.as_str()),
            ("Tus-Resumable", "1.0.0"),
            ("Upload-Length", "10"),
            ("Upload-Metadata", metadata.as_str()),
        ];
        server.send_as_anyone("POST", "/files", &headers, b"")
    };
    assert_eq!(create(&viewer).status, 403);
    let created = create(&anna);
    assert_eq!(created.status, 201);
    let path = created.header("location");
    let head = |who: &(&str, String)| {
        let headers = [(who.0, who.1.as_str()), ("Tus-Resumable", "1.0.0")];
        server.send_as_anyone("HEAD", path, &headers, b"").status
    };
    assert_eq!((head(&anna), head(&bert)), (200, 404));
    let video = format!("/api/videos/{}", created.header("slipway-video"));
    let get = |who: &(&str, String), path: &str| {
        server.send_as_anyone("GET", path, &[(who.0, &who.1)], b"").status
    };
    assert_eq!((get(&anna, &video), get(&bert, &video)), (200, 404));
    assert_eq!(server.send_as_anyone("GET", &video, &[], b"").status, 404);
    assert_eq!(get(&anna, "/api/admin/status"), 403);
    assert_eq!(server.send("GET", &video, &[], b"").status, 200, "admins see all");
}

/// A revoked token ends at once, and its sessions with it.
#[test]
fn revoking_a_token_ends_its_sessions() {
    let server = Server::start();
    let run = |args: &[&str]| {
        Command::new(program())
            .args(args)
            .env("SLIPWAY_DATA_DIR", &server.data)
            .output()
            .expect("runs")
    };
    let made = run(&["token", "create", "--role", "uploader", "--name", "phone", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let (id, secret) = (made["id"].as_str().expect("id"), made["token"].as_str().expect("token"));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let login =
        server.send_as_anyone("POST", "/login", &form, format!("token={secret}").as_bytes());
    assert_eq!(login.status, 303, "{}", login.text());
    let cookie = login.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let cookie = cookie.split(';').next().expect("name=value").to_owned();
    let asked =
        |headers: &[(&str, &str)]| server.send_as_anyone("GET", "/api/videos", headers, b"").status;
    let bearer = format!("Bearer {secret}");
    assert_eq!((asked(&[("Cookie", &cookie)]), asked(&[("Authorization", &bearer)])), (200, 200));
    // A page of another site can't use the cookie to change anything.
    let headers = [
        ("Cookie", cookie.as_str()),
        ("Origin", "https://evil.example"),
        ("Tus-Resumable", "1.0.0"),
        ("Upload-Length", "1"),
    ];
    assert_eq!(server.send_as_anyone("POST", "/files", &headers, b"").status, 403);
    let list = run(&["token", "list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains(id) && list.contains("phone") && !list.contains(secret), "{list}");
    assert!(run(&["token", "revoke", id]).status.success());
    assert_eq!((asked(&[("Cookie", &cookie)]), asked(&[("Authorization", &bearer)])), (401, 401));
    assert_eq!(run(&["token", "revoke", id]).status.code(), Some(1));
}

/// Keys that sign playback tokens are changed beside the running server: those of the key before
/// count until it is dropped, and a server that starts later knows the same.
#[test]
fn playback_keys_rotate_under_a_running_server() {
    let server = Server::start();
    let run = |args: &[&str]| {
        let mut command = Command::new(program());
        let done = command.arg("playback").args(args).env("SLIPWAY_DATA_DIR", &server.data);
        let done = done.output().expect("runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let (_, video) = server.create("a.mp4", 5);
    let made = || {
        let path = format!("/api/videos/{video}/playback-token");
        let made = server.send("POST", &path, &[], b"").json();
        made["token"].as_str().expect("a token").to_owned()
    };
    let status = |token: &str| {
        let path = format!("/watch/{video}?token={token}");
        server.send_as_anyone("GET", &path, &[], b"").status
    };
    let first = made();
    assert_eq!((status(&first), status(&format!("{first}A"))), (200, 403));
    run(&["rotate-key"]);
    let second = made();
    let keys: Vec<u32> = serde_json::from_str(&run(&["list-keys", "--json"])).expect("JSON");
    assert_eq!((keys.len(), status(&first), status(&second)), (2, 200, 200));
    run(&["drop-old-keys"]);
    assert_eq!((status(&first), status(&second)), (403, 200));
    let list = run(&["list-keys"]);
    assert!(list.contains(&keys[1].to_string()) && list.contains("signs"), "{list}");
    run(&["rotate-key", "--drop-old"]);
    assert_eq!((status(&second), status(&made())), (403, 200));
}

/// Keys that sign addresses of parts and logins are changed beside the running server too: what is
/// in use goes on until its key is dropped, over a restart, and then ends at once.
#[test]
fn signing_keys_rotate_under_a_running_server() {
    let mut server = Server::start();
    let keys = |server: &Server, args: &[&str]| {
        let mut command = Command::new(program());
        let done = command.arg("keys").args(args).env("SLIPWAY_DATA_DIR", &server.data).output();
        let done = done.expect("runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let count = |server: &Server, of: &str| {
        let listed = keys(server, &["list", of, "--json"]);
        serde_json::from_str::<Vec<u32>>(&listed).expect("JSON").len()
    };
    let json = [("Content-Type", "application/json")];
    let wish = br#"{"filename":"a.mp4","size":1048576,"chunkSize":262144}"#;
    let begun = server.send("POST", "/api/videos/upload/initiate", &json, wish).json();
    let id = begun["uploadId"].as_str().expect("an id").to_owned();
    let url = |parts: &Value, at: usize| parts[at]["url"].as_str().expect("one").to_owned();
    let first = [url(&begun["partUrls"], 0), url(&begun["partUrls"], 1)];
    let put = |server: &Server, url: &str, index: u8| {
        let bytes = vec![index; 262_144];
        let wished = begun["chunkSize"].as_u64().expect("a size");
        assert_eq!(wished, bytes.len() as u64);
        server.send_as_anyone("PUT", url, &[], &bytes)
    };
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let login = |server: &Server| {
        let body = format!("token={}&next=%2F", server.token);
        let answer = server.send_as_anyone("POST", "/login", &form, body.as_bytes());
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        assert!(cookie.contains('='), "{}", answer.text());
        cookie
    };
    let listed = |server: &Server, cookie: &str| {
        server.send_as_anyone("GET", "/api/uploads", &[("Cookie", cookie)], b"").status
    };
    let before = login(&server);
    for of in ["part-urls", "sessions"] {
        keys(&server, &["rotate", of]);
        assert_eq!(count(&server, of), 2, "{of}");
    }
    let put_first = put(&server, &first[0], 0);
    assert_eq!(put_first.status, 200, "{}", put_first.text());
    server.terminate();
    server.restart();
    assert_eq!(put(&server, &first[1], 1).status, 200, "and after a restart");
    let path = format!("/api/videos/upload/{id}/part-urls");
    let signed = server.send("POST", &path, &json, br#"{"indexes":[0,2]}"#).json();
    let second = [url(&signed["partUrls"], 0), url(&signed["partUrls"], 1)];
    let after = login(&server);
    assert_eq!((listed(&server, &before), listed(&server, &after)), (200, 200));
    for of in ["part-urls", "sessions"] {
        keys(&server, &["drop-old", of]);
        assert_eq!(count(&server, of), 1, "{of}");
    }
    put(&server, &first[0], 0).assert_problem(403, "bad-signature");
    assert_eq!(put(&server, &second[1], 2).status, 200);
    assert_eq!((listed(&server, &before), listed(&server, &after)), (401, 200));
    for of in ["part-urls", "sessions"] {
        keys(&server, &["rotate", of, "--drop-old"]);
    }
    put(&server, &second[0], 0).assert_problem(403, "bad-signature");
    assert_eq!(listed(&server, &after), 401);
    let log = server.json("/api/admin/audit?action=signing-keys-changed")["items"].clone();
    let objects: Vec<_> = log.as_array().expect("a list").iter().map(|it| &it["object"]).collect();
    assert_eq!(objects.len(), 6, "{log}");
    assert!(objects.contains(&&"sessions".into()) && objects.contains(&&"part-urls".into()));
}

/// A database that is made anew from an export brings nothing back that was taken back since: no
/// playback token, by video or by key, no address of a part, and no session.
#[test]
fn a_rebuild_brings_no_right_back() {
    let mut server = Server::start();
    let video = server.upload(&crate::harness::media("silent.mp4"));
    assert_eq!(server.settled(&video)["state"], "ready");
    let path = format!("/api/videos/{video}");
    let json = [("Content-Type", "application/json")];
    let private = server.send("PATCH", &path, &json, br#"{"visibility":"private"}"#);
    assert_eq!(private.status, 200, "{}", private.text());
    let made = |server: &Server| {
        let made = server.send("POST", &format!("{path}/playback-token"), &[], b"").json();
        made["hlsUrl"].as_str().expect("an address").to_owned()
    };
    let plays = |server: &Server, url: &str| server.send_as_anyone("GET", url, &[], b"").status;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("token={}&next=%2F", server.token);
    let login = server.send_as_anyone("POST", "/login", &form, body.as_bytes());
    let cookie = login.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    let sees = |server: &Server| {
        server.send_as_anyone("GET", "/api/uploads", &[("Cookie", &cookie)], b"").status
    };
    let token = made(&server);
    // The export is from here.
    assert_eq!(server.terminate(), Some(0));
    server.restart();
    assert_eq!((plays(&server, &token), sees(&server)), (200, 200));
    let revoked = server.send("POST", &format!("{path}/playback-tokens/revoke"), &[], b"");
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    let origin = format!("http://{}", server.host());
    let out = [("Cookie", cookie.as_str()), ("Origin", origin.as_str())];
    let out = server.send_as_anyone("POST", "/logout", &out, b"");
    assert_eq!((plays(&server, &token), sees(&server)), (403, 401), "{}", out.text());
    server.kill();
    std::fs::rename(server.data.join("state"), server.data.join("state-lost")).expect("ours");
    server.restart();
    assert_eq!(server.json(&path)["state"], "ready", "the admin's token counts");
    assert_eq!((plays(&server, &token), sees(&server)), (403, 401));
    assert_eq!(plays(&server, &made(&server)), 200);
}

/// The login link works once, and only after its button was pressed.
#[test]
fn a_login_link_opens_the_door_once() {
    let server = Server::start();
    let link = server.login.clone().expect("a first start prints one");
    let code = link.split("code=").nth(1).expect("a code");
    for _ in 0..2 {
        let page = server.send_as_anyone("GET", &format!("/login?code={code}"), &[], b"");
        assert_eq!((page.status, page.header("set-cookie")), (200, ""), "looking consumes nothing");
    }
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("code={code}&next=%2Flibrary");
    let first = server.send_as_anyone("POST", "/login", &form, body.as_bytes());
    assert_eq!((first.status, first.header("location")), (303, "/library"));
    assert!(!first.header("set-cookie").is_empty());
    let second = server.send_as_anyone("POST", "/login", &form, body.as_bytes());
    assert_eq!(second.header("set-cookie"), "", "a code is good once");
    let mut command = Command::new(program());
    let fresh = command.arg("login-link").env("SLIPWAY_DATA_DIR", &server.data).output();
    let fresh = fresh.expect("the binary runs");
    let fresh = String::from_utf8_lossy(&fresh.stdout).trim().to_owned();
    assert!(fresh.starts_with(&server.address) && fresh.contains("/login?code="), "{fresh}");
    let code = fresh.split("code=").nth(1).expect("a code");
    let evil = format!("code={code}&next=https%3A%2F%2Fevil.example");
    let answer = server.send_as_anyone("POST", "/login", &form, evil.as_bytes());
    assert_eq!(answer.header("location"), "/", "nobody is sent to another site");
}

/// Open mode serves this machine and refuses everything that came from elsewhere.
#[test]
fn open_mode_is_for_this_machine() {
    let server = Server::with(&[("SLIPWAY_AUTH__MODE", "open")]);
    let get =
        |headers: &[(&str, &str)]| server.send_as_anyone("GET", "/api/videos", headers, b"").status;
    assert_eq!(get(&[]), 200);
    assert_eq!(get(&[("Host", "evil.example")]), 403);
    assert_eq!(get(&[("Origin", "https://evil.example")]), 403);
    for header in ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Via"] {
        assert_eq!(get(&[(header, "1.2.3.4")]), 403, "{header}");
    }
}

/// Accounts are made, changed and ended by commands; passwords come from standard input or a file,
/// and are nowhere in the data directory but as hashes.
#[test]
fn accounts_are_kept_by_commands() {
    let server = Server::start();
    let run = |args: &[&str], typed: &str| -> Output {
        let mut child = Command::new(program())
            .args(args)
            .env("SLIPWAY_DATA_DIR", &server.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("runs");
        // A command that wants nothing may have ended by now.
        let _ = child.stdin.take().expect("piped").write_all(typed.as_bytes());
        child.wait_with_output().expect("ends")
    };
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let log_in = |password: &str| {
        let body = format!("name=acme%2Fann&password={password}");
        let answer = server.send_as_anyone("POST", "/login", &form, body.as_bytes());
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        (!answer.header("location").contains("error=")).then_some(cookie)
    };
    let role_of = |cookie: &str| {
        let answer = server.send_as_anyone("GET", "/api/session", &[("Cookie", cookie)], b"");
        let said: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
        said["role"].as_str().map(str::to_owned)
    };
    let create = ["user", "create", "acme/ann", "--role", "uploader"];
    assert_eq!(run(&create, "short\n").status.code(), Some(1));
    assert!(run(&create, "correct-horse\n").status.success());
    let again = run(&create, "correct-horse\n");
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is an account of this name"));
    assert_eq!(log_in("wrong"), None);
    let first = log_in("correct-horse").expect("signed in");
    assert_eq!(role_of(&first).as_deref(), Some("uploader"));

    let file = server.data.join("../password");
    std::fs::write(&file, "battery-staple\n").expect("written");
    let file = file.to_str().expect("text").to_owned();
    let set = ["user", "set-password", "acme/ann", "--password-file", &file];
    assert!(run(&set, "").status.success());
    assert_eq!((role_of(&first), log_in("correct-horse")), (None, None));
    let second = log_in("battery-staple").expect("signed in");
    assert!(run(&["user", "set-role", "acme/ann", "viewer"], "").status.success());
    assert_eq!(role_of(&second).as_deref(), Some("viewer"));
    assert!(run(&["user", "disable", "acme/ann"], "").status.success());
    assert_eq!((role_of(&second), log_in("battery-staple")), (None, None));
    let list = run(&["user", "list"], "");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("acme/ann") && list.contains("disabled"), "{list}");
    assert!(run(&["user", "enable", "acme/ann"], "").status.success());
    assert!(log_in("battery-staple").is_some());
    assert!(run(&["user", "remove", "acme/ann"], "").status.success());
    assert_eq!(log_in("battery-staple"), None);
    assert_eq!(run(&["user", "remove", "acme/ann"], "").status.code(), Some(1));
}
