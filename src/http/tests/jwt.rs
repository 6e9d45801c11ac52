//! People of the user's own app, as its JWTs tell.

use super::rig::{Answer, Rig};
use crate::clock::Clock;
use crate::config::AuthMode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "a secret of the app that is long enough";

/// Starts a server that trusts whoever knows [`SECRET`].
async fn start() -> Rig {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret");
    std::fs::write(&path, SECRET).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).expect("a mode");
    Rig::start_with(|config| {
        config.auth_mode = AuthMode::Jwt;
        config.jwt.key_file = Some(path);
    })
    .await
}

fn signed(mut claims: Value) -> String {
    let now = Clock::system().now().as_secs();
    claims["exp"] = json!(now + 600);
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(json!({"alg": "HS256"})), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

async fn create(rig: &Rig, token: &str, length: &str) -> Answer {
    let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", length)];
    rig.as_token(token, "POST /files", &headers, b"").await
}

/// The app's people upload and look, each in their own name; Slipway's own tokens count beside
/// them, and whatever else comes is nobody.
#[tokio::test]
async fn the_apps_people_are_let_in() {
    let rig = start().await;
    let ann = signed(json!({"sub": "ann", "org": "acme", "role": "uploader"}));
    let session = rig.as_token(&ann, "GET /api/session", &[], b"").await.json();
    assert_eq!((&session["mode"], &session["owner"]), (&"jwt".into(), &"acme/ann".into()));
    let made = create(&rig, &ann, "5").await;
    assert_eq!(made.status, 201, "{made:?}");
    let video = format!("GET /api/videos/{}", made.header("slipway-video"));
    let see = async |token: &str| rig.as_token(token, &video, &[], b"").await.status;
    assert_eq!(see(&ann).await, 200);
    assert_eq!(see(&rig.admin).await, 200, "a token of Slipway's own");
    let boss = signed(json!({"sub": "boss", "org": "acme", "role": "admin"}));
    assert_eq!(see(&boss).await, 200);
    assert_eq!(see(&signed(json!({"sub": "ann", "role": "uploader"}))).await, 404);
    let bounded = signed(json!({"sub": "ann", "role": "uploader", "maxSize": 5}));
    assert_eq!(create(&rig, &bounded, "5").await.status, 201);
    assert_eq!(create(&rig, &bounded, "6").await.status, 413);
    let viewer = signed(json!({"sub": "vic", "role": "viewer"}));
    assert_eq!(create(&rig, &viewer, "5").await.status, 403);
    for nobody in [signed(json!({"sub": "ann"})), format!("{ann}x"), "x.y.z".to_owned()] {
        assert_eq!(create(&rig, &nobody, "5").await.status, 401, "{nobody}");
    }
}
