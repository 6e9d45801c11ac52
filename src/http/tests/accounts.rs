//! Accounts: signing in with a password, guessing at it, and the ends of sessions.

use super::rig::{Answer, Rig};
use crate::access::Secret;
use crate::model::access::Role;
use crate::state::UserRecord;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const RIGHT: &str = "correct horse";

async fn account(rig: &Rig, name: &str, role: Role) -> UserRecord {
    let made = rig.parts.access.create_user(name, role, Secret(RIGHT.to_owned())).await;
    made.expect("an account")
}

async fn log_in(rig: &Rig, name: &str, password: &str, cookies: &str) -> Answer {
    let body = format!("name={}&password={password}&next=%2Flibrary", name.replace('/', "%2F"));
    let mut headers = vec![FORM, OWN];
    if !cookies.is_empty() {
        headers.push(("Cookie", cookies));
    }
    rig.ask("POST /login", &headers, body.as_bytes()).await
}

/// Returns a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> String {
    let set = answer.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
    let pair = set.map(|(_, value)| value.split(';').next().unwrap_or_default());
    let begins = format!("{name}=");
    let found = pair.into_iter().find(|pair| pair.starts_with(&begins));
    found.unwrap_or_else(|| panic!("no cookie {name}: {answer:?}")).to_owned()
}

async fn session(rig: &Rig, cookie: &str) -> Value {
    rig.ask("GET /api/session", &[("Cookie", cookie)], b"").await.json()
}

/// Signs in and returns the session.
async fn signed_in(rig: &Rig, name: &str) -> String {
    let opened = log_in(rig, name, RIGHT, "").await;
    assert_eq!((opened.status, opened.header("location")), (303, "/library"), "{opened:?}");
    cookie(&opened, "slipway_session")
}

/// An account signs in with its password and is who it says; logging out ends that session for
/// good, and no other.
#[tokio::test]
async fn logging_out_ends_a_session_for_good() {
    let rig = Rig::start().await;
    account(&rig, "acme/ann", Role::Uploader).await;
    let (one, other) = (signed_in(&rig, "acme/ann").await, signed_in(&rig, " acme/ann ").await);
    let told = session(&rig, &one).await;
    assert_eq!((&told["owner"], &told["org"]), (&json!("acme/ann"), &json!("acme")));
    assert_eq!((&told["role"], &told["account"]), (&json!("uploader"), &json!(true)));
    let out = rig.ask("POST /logout", &[("Cookie", &one), OWN], b"").await;
    assert_eq!(out.status, 303);
    assert_eq!(session(&rig, &one).await["role"], Value::Null, "a copy of the cookie is worthless");
    assert_eq!(session(&rig, &other).await["role"], "uploader");
    let by_token = rig.ask("POST /login", &[FORM], format!("token={}", rig.ann).as_bytes()).await;
    let by_token = cookie(&by_token, "slipway_session");
    assert_eq!(session(&rig, &by_token).await["account"], false);
    rig.ask("POST /logout", &[("Cookie", &by_token), OWN], b"").await;
    assert_eq!(session(&rig, &by_token).await["role"], Value::Null);
    let still = rig.as_token(&rig.ann, "GET /api/session", &[], b"").await.json();
    assert_eq!(still["role"], "uploader", "the token itself goes on");
}

/// An account that isn't there, one with another password and a disabled one get the same answer.
#[tokio::test]
async fn unknown_accounts_look_like_wrong_passwords() {
    let rig = Rig::start().await;
    account(&rig, "ann", Role::Uploader).await;
    let off = account(&rig, "bob", Role::Uploader).await;
    rig.parts.access.change_user(off.id, None, None, Some(true)).await.expect("disabled");
    let said = |answer: Answer| {
        // Their order, and that of a list of names, is another one each time.
        let other = ["x-request-id", "date", "access-control-expose-headers"];
        let headers =
            answer.headers.into_iter().filter(|(name, _)| !other.contains(&name.as_str()));
        (answer.status, headers.collect::<BTreeSet<_>>(), answer.body)
    };
    let wrong = said(log_in(&rig, "ann", "wrong", "").await);
    assert_eq!(wrong.0, 303);
    assert!(wrong.1.iter().any(|(_, value)| value == "/login?next=/library&error=wrong"));
    for (name, password) in
        [("nobody", RIGHT), ("bob", RIGHT), ("ann", ""), ("a/b/c", "x"), ("", ""), ("ann ", "w")]
    {
        assert_eq!(said(log_in(&rig, name, password, "").await), wrong, "{name}");
    }
    let long = "x".repeat(5_000);
    assert_eq!(said(log_in(&rig, "ann", &long, "").await), wrong);
}

/// Guessing is held up with 429 and when to come back, for names that nobody has as well; a
/// browser that has signed in before gets in all the while, and so does a token.
#[tokio::test]
async fn guessing_is_held_up() {
    let rig = Rig::start().await;
    account(&rig, "ann", Role::Uploader).await;
    let known = cookie(&log_in(&rig, "ann", RIGHT, "").await, "slipway_browser");
    for name in ["ann", "nobody"] {
        let mut tries = 0;
        let held_up = loop {
            let answer = log_in(&rig, name, "guess", "").await;
            if answer.status == 429 {
                break answer;
            }
            tries += 1;
            assert!(tries < 20 && answer.status == 303, "{name} {answer:?}");
        };
        assert_eq!((tries, held_up.code().as_str()), (8, "too-many-attempts"), "{name}");
        let seconds: u32 = held_up.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    assert_eq!(log_in(&rig, "ann", RIGHT, "").await.status, 429, "the right one waits as well");
    let page =
        rig.ask("POST /login", &[FORM, OWN, ("Accept", "text/html")], b"name=ann&password=x").await;
    assert_eq!((page.status, page.header("content-type")), (429, "text/html; charset=utf-8"));
    assert!(page.has("retry-after"));
    assert!(String::from_utf8_lossy(&page.body).contains("<slipway-login data-seconds=\""));
    assert_eq!(log_in(&rig, "ann", RIGHT, &known).await.status, 303, "a browser that is known");
    let forged = format!("{}x", &known[..known.len() - 1]);
    assert_eq!(log_in(&rig, "ann", RIGHT, &forged).await.status, 429);
    let body = format!("token={}", rig.ann);
    assert_eq!(rig.ask("POST /login", &[FORM], body.as_bytes()).await.header("location"), "/");
}

/// Another password, by whomever, ends all sessions; the one who changed it gets a new one.
#[tokio::test]
async fn another_password_ends_all_sessions() {
    let rig = Rig::start().await;
    let user = account(&rig, "ann", Role::Uploader).await;
    let (one, other) = (signed_in(&rig, "ann").await, signed_in(&rig, "ann").await);
    let line = "POST /api/me/password";
    let change = async |cookie: &str, current: &str, new: &str| {
        let body = json!({ "current": current, "new": new }).to_string();
        rig.ask(line, &[JSON, OWN, ("Cookie", cookie)], body.as_bytes()).await
    };
    let refused = change(&one, "wrong", "another one").await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "wrong-password"));
    let refused = change(&one, RIGHT, "short").await;
    assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("password")));
    assert_eq!(session(&rig, &other).await["role"], "uploader", "nothing was changed");
    let changed = change(&one, RIGHT, "another one").await;
    assert_eq!(changed.status, 204, "{changed:?}");
    let fresh = cookie(&changed, "slipway_session");
    for (session_of, role) in
        [(&one, Value::Null), (&other, Value::Null), (&fresh, "uploader".into())]
    {
        assert_eq!(session(&rig, session_of).await["role"], role);
    }
    assert!(log_in(&rig, "ann", RIGHT, "").await.header("location").contains("wrong"));
    let foreign = [JSON, ("Cookie", fresh.as_str()), ("Origin", "https://evil.example")];
    let body = json!({ "current": "another one", "new": "a third one" }).to_string();
    assert_eq!(rig.ask(line, &foreign, body.as_bytes()).await.status, 403, "another site's page");
    let token = rig.as_token(&rig.ann, line, &[JSON], body.as_bytes()).await;
    assert_eq!((token.status, token.code().as_str()), (403, "forbidden"));

    rig.parts.access.change_user(user.id, Some(Role::Viewer), None, None).await.expect("changed");
    assert_eq!(session(&rig, &fresh).await["role"], "viewer", "a role counts at once");
    rig.parts.access.change_user(user.id, None, None, Some(true)).await.expect("disabled");
    assert_eq!(session(&rig, &fresh).await["role"], Value::Null);
    rig.parts.access.change_user(user.id, None, None, Some(false)).await.expect("enabled");
    assert_eq!(session(&rig, &fresh).await["role"], Value::Null, "it doesn't come back");
}

/// An account sees where it is signed in, and ends what it doesn't know; nobody else's.
#[tokio::test]
async fn sessions_are_seen_and_ended() {
    let rig = Rig::start().await;
    account(&rig, "ann", Role::Uploader).await;
    account(&rig, "bob", Role::Uploader).await;
    let enter = async |name: &str, agent: &str| {
        let body = format!("name={name}&password={RIGHT}");
        let headers = [FORM, OWN, ("User-Agent", agent)];
        cookie(&rig.ask("POST /login", &headers, body.as_bytes()).await, "slipway_session")
    };
    let phone = enter("ann", "Mozilla/5.0 (Linux; Android 16; K) Chrome/140 Safari/537").await;
    let script = enter("ann", "<b>curl</b>").await;
    let here = enter("ann", "Mozilla/5.0 (X11; Linux x86_64) Gecko Firefox/140.0").await;
    let bob = enter("bob", "").await;
    let ask = async |line: &str, cookie: &str| rig.ask(line, &[OWN, ("Cookie", cookie)], b"").await;
    let list = async |cookie: &str| {
        let listed = ask("GET /api/me/sessions", cookie).await;
        assert_eq!((listed.status, listed.header("cache-control")), (200, "no-store"));
        listed.json()["items"].as_array().expect("a list").clone()
    };
    let items = list(&here).await;
    let told: Vec<_> =
        items.iter().map(|it| (&it["browser"], &it["system"], &it["current"])).collect();
    let (firefox, chrome) = (json!("Firefox"), json!("Chrome"));
    let (linux, android) = (json!("Linux"), json!("Android"));
    assert_eq!(
        told,
        [
            (&firefox, &linux, &json!(true)),
            (&Value::Null, &Value::Null, &json!(false)),
            (&chrome, &android, &json!(false)),
        ]
    );
    let path = |item: &Value| format!("/api/me/sessions/{}", item["id"].as_str().expect("an id"));
    let theirs = path(&list(&bob).await[0]);
    assert_eq!(ask(&format!("DELETE {theirs}"), &here).await.status, 404, "somebody else's");
    let end = format!("DELETE {}", path(&items[2]));
    let foreign = [("Cookie", here.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(rig.ask(&end, &foreign, b"").await.status, 403, "another site's page");
    assert_eq!(session(&rig, &phone).await["role"], "uploader");
    assert_eq!(ask(&end, &here).await.status, 204);
    assert_eq!(session(&rig, &phone).await["role"], Value::Null);
    assert_eq!(ask(&end, &here).await.status, 404, "it has ended");
    assert_eq!(ask("DELETE /api/me/sessions", &here).await.status, 204);
    for (cookie, role) in
        [(&script, Value::Null), (&here, "uploader".into()), (&bob, "uploader".into())]
    {
        assert_eq!(session(&rig, cookie).await["role"], role);
    }
    assert_eq!(list(&here).await.len(), 1);
    let own = format!("DELETE {}", path(&list(&here).await[0]));
    assert_eq!(ask(&own, &here).await.status, 204);
    assert_eq!(ask("GET /api/me/sessions", &here).await.status, 401);
    let token = rig.as_token(&rig.ann, "GET /api/me/sessions", &[], b"").await;
    assert_eq!((token.status, token.code().as_str()), (403, "forbidden"));
}

/// The operator makes, changes and removes accounts, but not the one that is in use.
#[tokio::test]
async fn accounts_are_the_operators() {
    let rig = Rig::start().await;
    let root = account(&rig, "boss", Role::Admin).await;
    let cookie = signed_in(&rig, "boss").await;
    let ask = async |line: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        rig.ask(line, &[JSON, OWN, ("Cookie", &cookie)], body.as_bytes()).await
    };
    let wanted = json!({ "name": "acme/ann", "role": "uploader", "password": RIGHT });
    let made = ask("POST /api/admin/users", wanted.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let again = ask("POST /api/admin/users", wanted).await;
    assert_eq!((again.status, &again.json()["field"]), (409, &json!("name")));
    for (name, password, field) in [
        ("a/b/c", RIGHT, "name"),
        ("bob", "seven77", "password"),
        ("bobsname", "BobsName", "password"),
    ] {
        let wanted = json!({ "name": name, "role": "viewer", "password": password });
        let refused = ask("POST /api/admin/users", wanted).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!(field)), "{name}");
    }
    let listed = ask("GET /api/admin/users", Value::Null).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains("argon2"), "no hash is told");
    let items = listed.json()["items"].as_array().expect("a list").clone();
    assert_eq!(items.len(), 2);
    assert_eq!((&items[0]["current"], &items[1]["org"]), (&json!(true), &json!("acme")));
    let ann = format!("/api/admin/users/{}", made.json()["id"].as_str().expect("an id"));
    let theirs = signed_in(&rig, "acme/ann").await;
    let changed = ask(&format!("PATCH {ann}"), json!({ "password": "another one" })).await;
    assert_eq!(changed.status, 200);
    assert_eq!(session(&rig, &theirs).await["role"], Value::Null);
    let own = format!("/api/admin/users/{}", root.id);
    for change in [json!({ "role": "viewer" }), json!({ "disabled": true })] {
        assert_eq!(ask(&format!("PATCH {own}"), change).await.status, 409);
    }
    assert_eq!(ask(&format!("DELETE {own}"), Value::Null).await.status, 409);
    assert_eq!(ask(&format!("DELETE {ann}"), Value::Null).await.status, 204);
    assert_eq!(ask(&format!("DELETE {ann}"), Value::Null).await.status, 404);
    account(&rig, "acme/ann", Role::Viewer).await;
    assert_eq!(session(&rig, &theirs).await["role"], Value::Null, "the name isn't the account");
}
