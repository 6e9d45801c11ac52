//! People of the user's own app, as its JWTs tell.

use super::rig::{Answer, Rig};
use crate::clock::Clock;
use crate::config::{AuthMode, Config};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

const SECRET: &str = "a secret of the app that is long enough";
/// What the key is called where it has a name, who signs, and for whom.
pub(super) const KID: &str = "one";
pub(super) const ISSUER: &str = "https://app.example";
pub(super) const AUDIENCE: &str = "films";

/// The key under its name, as a file of keys has it.
pub(super) fn named_key() -> String {
    let key = URL_SAFE_NO_PAD.encode(SECRET);
    json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": KID, "k": key}]}).to_string()
}

/// Has a server trust whoever signs with a key of the file `keys`, which lies in the directory that
/// is returned.
pub(super) fn trusted(config: &mut Config, keys: &str) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("keys");
    std::fs::write(&path, keys).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).expect("a mode");
    config.auth_mode = AuthMode::Jwt;
    config.jwt.key_file = Some(path);
    directory
}

/// Returns claims that are right at the moment `now`, with changes; null takes one out.
pub(super) fn claims(now: u64, changes: &Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": now + 600});
    let all = claims.as_object_mut().expect("an object");
    all.extend(changes.as_object().cloned().expect("an object"));
    all.retain(|_, value| !value.is_null());
    claims
}

/// Signs with the key, by HS256, whatever the header says.
pub(super) fn signed(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// What a person of the app shows.
fn shown(mut person: Value) -> String {
    person["exp"] = json!(Clock::system().now().as_secs() + 600);
    signed(&json!({"alg": "HS256"}), &person)
}

async fn create(rig: &Rig, token: &str, length: &str) -> Answer {
    let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", length)];
    rig.as_token(token, "POST /files", &headers, b"").await
}

/// The app's people upload and look, each in their own name; Slipway's own tokens count beside
/// them, and whatever else comes is nobody.
#[tokio::test]
async fn the_apps_people_are_let_in() {
    let mut keys = None;
    let rig = Rig::start_with(|config| keys = Some(trusted(config, SECRET))).await;
    assert!(keys.is_some(), "the file of keys stays");
    let ann = shown(json!({"sub": "ann", "org": "acme", "role": "uploader"}));
    let session = rig.as_token(&ann, "GET /api/session", &[], b"").await.json();
    assert_eq!((&session["mode"], &session["owner"]), (&"jwt".into(), &"acme/ann".into()));
    let made = create(&rig, &ann, "5").await;
    assert_eq!(made.status, 201, "{made:?}");
    let video = format!("GET /api/videos/{}", made.header("slipway-video"));
    let see = async |token: &str| rig.as_token(token, &video, &[], b"").await.status;
    assert_eq!(see(&ann).await, 200);
    assert_eq!(see(&rig.admin).await, 200, "a token of Slipway's own");
    let boss = shown(json!({"sub": "boss", "org": "acme", "role": "admin"}));
    assert_eq!(see(&boss).await, 200);
    assert_eq!(see(&shown(json!({"sub": "ann", "role": "uploader"}))).await, 404);
    let bounded = shown(json!({"sub": "ann", "role": "uploader", "maxSize": 5}));
    assert_eq!(create(&rig, &bounded, "5").await.status, 201);
    assert_eq!(create(&rig, &bounded, "6").await.status, 413);
    let viewer = shown(json!({"sub": "vic", "role": "viewer"}));
    assert_eq!(create(&rig, &viewer, "5").await.status, 403);
    for nobody in [shown(json!({"sub": "ann"})), format!("{ann}x"), "x.y.z".to_owned()] {
        assert_eq!(create(&rig, &nobody, "5").await.status, 401, "{nobody}");
    }
}
