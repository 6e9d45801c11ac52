//! Keeping house, as an operator meets it: a cleaning asked for by hand, what earlier ones found,
//! and who has how much.

use crate::harness::{Answer, Server, media};
use crate::playback::walk_for;
use serde_json::{Value, json};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn clean(server: &Server, dry_run: bool) -> Answer {
    let wish = json!({ "dryRun": dry_run }).to_string();
    server.send("POST", "/api/admin/cleanup", &[JSON], wish.as_bytes())
}

/// Kind, action and count of each finding.
fn found(report: &Value) -> Vec<(String, String, u64)> {
    let text = |it: &Value, key: &str| it[key].as_str().expect("text").to_owned();
    let findings = report["findings"].as_array().expect("a list");
    let one =
        |it: &Value| (text(it, "kind"), text(it, "action"), it["count"].as_u64().expect("a count"));
    findings.iter().map(one).collect()
}

/// What somebody has moved about by hand is found, told of, and put right, in a running server; a
/// ready film whose file is gone still plays. Only admins may look.
#[test]
fn a_hand_in_the_files_is_noticed() {
    let server = Server::with(&[("SLIPWAY_MEDIA__WORKERS", "1")]);
    let ready = server.settled(&server.upload(&media("silent.mp4")));
    let id = ready["id"].as_str().expect("an id");
    let (path, _) = server.create("partial.bin", 100);
    assert_eq!(server.patch(&path, 0, b"abc").status, 204);
    assert_eq!(found(&clean(&server, false).json()), []);
    let original = walk_for(&server.data.join("originals"), id).expect("it is kept");
    std::fs::remove_file(original.join("source")).expect("it is there");
    // Published files of a video that nobody knows.
    let stranger = "018bcfe5-6800-7abc-9d11-111111111111";
    let strange = server.data.join("media/11").join(stranger);
    std::fs::create_dir_all(&strange).expect("there is room");
    std::fs::write(strange.join("poster.jpg"), b"jpeg!").expect("there is room");

    let audit = server.json("/api/admin/storage")["audit"].clone();
    assert_eq!(audit["complete"], true);
    assert_eq!((&audit["orphans"]["count"], &audit["orphans"]["bytes"]), (&json!(1), &json!(5)));
    assert_eq!(audit["missingOriginals"]["examples"], json!([id]));
    assert_eq!(audit["owners"].as_array().map(Vec::len), Some(1));
    assert!(audit["total"]["renditions"]["bytes"].as_u64() > Some(1_000), "{audit}");
    assert!(audit["total"]["uploads"]["files"].as_u64() > Some(0), "{audit}");

    let told = ("missing-original".to_owned(), "told".to_owned(), 1);
    let gone = ("deleted-media".to_owned(), "removed".to_owned(), 1);
    let dry = clean(&server, true).json();
    assert_eq!((found(&dry), strange.exists()), (vec![gone.clone(), told.clone()], true));
    let wet = clean(&server, false).json();
    assert_eq!((found(&wet), strange.exists()), (vec![gone, told.clone()], false));
    assert_eq!(found(&clean(&server, false).json()), [told]);
    let history = server.json("/api/admin/cleanup")["items"].clone();
    let dry_runs: Vec<_> =
        history.as_array().expect("a list").iter().map(|it| &it["dryRun"]).collect();
    assert_eq!(dry_runs, [false, false, true, false]);
    let playlist =
        server.send("GET", ready["playback"]["hls"].as_str().expect("it plays"), &[], b"");
    assert_eq!(playlist.status, 200);
    assert_eq!(server.offset(&path), 3, "an upload under way isn't touched");

    let bearer = format!("Bearer {}", server.token_of("uploader", &["--user", "ben"]));
    let ben = [("Authorization", bearer.as_str()), JSON];
    for (method, address) in [
        ("GET", "/api/admin/cleanup"),
        ("POST", "/api/admin/cleanup"),
        ("GET", "/api/admin/storage"),
    ] {
        server.send_as_anyone(method, address, &ben, b"{}").assert_problem(403, "forbidden");
    }
    let odd = server.send("POST", "/api/admin/cleanup", &[JSON], br#"{"dry":true}"#);
    odd.assert_problem(400, "invalid-request");
}
