//! The audit log: what requests leave in it, and who may read it.

use super::rig::Rig;
use crate::http::routes::Routes;
use crate::http::{TABLES, noted, nothing_here};
use actix_web::{App, web};
use serde_json::Value;

/// Who reads the log finds who did what, from where and with what outcome; nothing that people
/// wrote, and no secret.
#[tokio::test]
async fn who_did_what() {
    let rig = Rig::start().await;
    let video = rig.bring(b"hello").await.to_string();
    let kind = [("Content-Type", "application/json")];
    let line = format!("PATCH /api/videos/{video}");
    for change in [br#"{"title":"Lake"}"#.as_slice(), br#"{"visibility":"private"}"#] {
        assert_eq!(rig.as_token(&rig.ann, &line, &kind, change).await.status, 200);
    }
    let original = format!("GET /api/videos/{video}/original");
    rig.as_token(&rig.ann, &original, &[("Range", "bytes=0-1")], b"").await;
    rig.as_token(&rig.ann, &original, &[("Range", "bytes=2-4")], b"").await;
    rig.as_token(&rig.bob, &original, &[], b"").await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    rig.ask("POST /login", &form, b"token=wrong").await;
    rig.ask("POST /login", &form, format!("token={}", rig.ann).as_bytes()).await;
    let delete = format!("DELETE /api/videos/{video}?permanent=true");
    assert_eq!(rig.as_token(&rig.ann, &delete, &[], b"").await.status, 204);

    let page = rig.as_token(&rig.admin, "GET /api/admin/audit", &[], b"").await;
    assert_eq!(page.status, 200);
    let items = page.json()["items"].as_array().expect("entries").clone();
    let told = items.iter().rev().map(|it| {
        let text = |name: &str| it[name].as_str().unwrap_or("-").to_owned();
        assert_eq!(text("address"), "127.0.0.1");
        format!("{} {} {}", text("actor"), text("action"), text("outcome"))
    });
    let expected = [
        "ann upload-begun done",
        "ann video-changed done",
        "ann visibility-changed done",
        "ann original-fetched done",
        "bob original-fetched refused",
        "- login refused",
        "ann login done",
        "ann video-deleted done",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let about: Vec<_> = items.iter().filter(|it| it["object"] == video.as_str()).collect();
    assert_eq!(about.len(), 6, "{items:?}");
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(!text.contains("Lake") && !text.contains(&rig.ann[4..]), "{text}");

    assert_eq!(rig.as_token(&rig.ann, "GET /api/admin/audit", &[], b"").await.status, 403);
    assert_eq!(rig.ask("GET /api/admin/audit", &[], b"").await.status, 401);
}

/// Pages of the log go on where the one before ended, and hold what was asked for.
#[tokio::test]
async fn pages_of_the_log() {
    let rig = Rig::start().await;
    for _ in 0..3 {
        rig.bring(b"x").await;
    }
    let page = async |query: &str| -> Value {
        let line = format!("GET /api/admin/audit?{query}");
        rig.as_token(&rig.admin, &line, &[], b"").await.json()
    };
    let first = page("limit=2").await;
    assert_eq!(first["items"].as_array().expect("two").len(), 2);
    let rest = page(&format!("limit=2&cursor={}", first["nextCursor"])).await;
    assert_eq!((&rest["items"][0]["number"], &rest["nextCursor"]), (&1.into(), &Value::Null));
    assert_eq!(page("actor=bob").await["items"], Value::Array(Vec::new()));
    assert_eq!(page("actor=ann&action=upload-begun").await["items"][2]["number"], 1);
    assert_eq!(page("since=2999-01-01T00:00:00Z").await["items"], Value::Array(Vec::new()));
    let wrong = rig.as_token(&rig.admin, "GET /api/admin/audit?since=x", &[], b"").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid-request"));
}

/// Whatever changes something is in the table of what is noted.
#[test]
fn whatever_changes_something_is_known_to_the_log() {
    let unknown = std::sync::Mutex::new(Vec::new());
    let _ = App::new().default_service(web::to(nothing_here)).configure(|app| {
        let mut routes = Routes::of(app);
        TABLES.iter().for_each(|table| (table.add)(&mut routes));
        let looks = |method: &str| matches!(method, "get" | "head" | "options");
        let changes = routes.known.into_iter().filter(|(method, _)| !looks(method));
        let unknown_ones = changes.filter(|(method, at)| !noted::knows(method, at));
        unknown.lock().expect("alone").extend(unknown_ones);
    });
    let unknown = unknown.into_inner().expect("alone");
    assert!(unknown.is_empty(), "neither noted nor said not to be: {unknown:?}");
}
