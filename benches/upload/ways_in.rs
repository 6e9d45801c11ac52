//! Ways into a server of Slipway: what a request shows, so that what asking for it costs can be
//! told from what the rest of a request costs. In `Open` nobody is asked.

use super::{Client, Res, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &[u8] = b"a secret of the app, of 32 bytes or more";
const NAME: &str = "bench";
const PASSWORD: &str = "correct-horse-battery";
/// The uncompressed form of a point (SEC 1, 2.3.3): a byte that says so, then x and y.
const COORDINATE_BYTES: usize = 32;

/// Who is let in, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WayIn {
    /// Everybody on this machine, by nothing.
    Open,
    Token,
    /// A browser's cookie, from a page of the server's own.
    Session,
    /// What an app signs with a shared secret.
    Hs256,
    /// What an app signs with a key of its own, which costs the server far more to check.
    Es256,
}

impl WayIn {
    pub(super) const ALL: [Self; 5] =
        [Self::Open, Self::Token, Self::Session, Self::Hs256, Self::Es256];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Open => "slipway-open",
            // As everybody begins.
            Self::Token => "slipway",
            Self::Session => "slipway-session",
            Self::Hs256 => "slipway-hs256",
            Self::Es256 => "slipway-es256",
        }
    }

    /// Has a server let people in by this way. What it reads besides its settings is put beside
    /// its data directory `dir`.
    pub(super) fn settle(self, command: &mut Command, dir: &Path) -> Res<()> {
        let keys = match self {
            Self::Open => {
                command.env("SLIPWAY_AUTH__MODE", "open");
                return Ok(());
            }
            Self::Token | Self::Session => return Ok(()),
            Self::Hs256 => SECRET.to_vec(),
            Self::Es256 => public_keys()?.into_bytes(),
        };
        let path = dir.with_extension("keys");
        fs::write(&path, keys)?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        command.env("SLIPWAY_AUTH__MODE", "jwt").env("SLIPWAY_AUTH__JWT__KEY_FILE", path);
        Ok(())
    }

    /// Returns the headers by which a server that is ready lets a request in.
    pub(super) fn headers(self, server: &Server) -> Res<String> {
        let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
        Ok(match self {
            Self::Open => String::new(),
            Self::Token => bearer(fs::read_to_string(server.dir.join("admin-token"))?.trim()),
            Self::Session => logged_in(server)?,
            Self::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
                bearer(&jwt("HS256", |text| Ok(hmac::sign(&key, text).as_ref().to_vec()))?)
            }
            Self::Es256 => {
                let sign = |text: &[u8]| match key()?.sign(&SystemRandom::new(), text) {
                    Ok(signature) => Ok(signature.as_ref().to_vec()),
                    Err(_) => Err("the key doesn't sign".into()),
                };
                bearer(&jwt("ES256", sign)?)
            }
        })
    }
}

/// Makes an account and signs in; returns a browser's headers.
fn logged_in(server: &Server) -> Res<String> {
    let mut create = Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(["user", "create", NAME, "--role", "uploader", "--data-dir"])
        .arg(&server.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    create.stdin.take().ok_or("no input")?.write_all(PASSWORD.as_bytes())?;
    if !create.wait()?.success() {
        return Err("there is no account".into());
    }
    let body = format!("name={NAME}&password={PASSWORD}");
    let mut client = Client::connect(server)?;
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    client.begin("POST /login", headers, body.len() as u64, 0)?;
    client.stream.write_all(body.as_bytes())?;
    let answer = client.any_answer("POST /login")?;
    let cookie = answer.header("set-cookie").and_then(|line| line.split(';').next());
    let cookie = cookie.ok_or_else(|| format!("not signed in: {}", answer.status))?;
    Ok(format!("Cookie: {cookie}\r\nOrigin: http://127.0.0.1:{}\r\n", server.port))
}

/// Signs for an uploader, for an hour.
fn jwt(alg: &str, sign: impl Fn(&[u8]) -> Res<Vec<u8>>) -> Res<String> {
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": alg, "typ": "JWT"}));
    let claims = part(json!({"sub": NAME, "role": "uploader", "exp": end}));
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes())?);
    Ok(format!("{message}.{signature}"))
}

/// The app's own key, one for a run.
fn key() -> Res<&'static EcdsaKeyPair> {
    static KEY: OnceLock<Option<EcdsaKeyPair>> = OnceLock::new();
    let made = KEY.get_or_init(|| {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let text = EcdsaKeyPair::generate_pkcs8(kind, &random).ok()?;
        EcdsaKeyPair::from_pkcs8(kind, text.as_ref(), &random).ok()
    });
    made.as_ref().ok_or_else(|| "no key can be made".into())
}

/// What the server is given of it: a JWK set (RFC 7517).
fn public_keys() -> Res<String> {
    let point = key()?.public_key().as_ref();
    let (x, y) = point[1..].split_at(COORDINATE_BYTES);
    let [x, y] = [x, y].map(|it| URL_SAFE_NO_PAD.encode(it));
    let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y});
    Ok(json!({"keys": [key]}).to_string())
}
