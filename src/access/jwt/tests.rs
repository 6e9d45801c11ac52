//! JWTs as apps make them, and as those do who would like to be somebody else.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const NOW_SECONDS: i64 = 1_700_000_000;
const SECRET: &str = "a secret of the app that is long enough";

/// Made for these tests alone.
const RSA_KEY: &str = "\
MIIEogIBAAKCAQEA1NE34L6HKqZgTj0XzigZnBSZsZe02RVGpiw0sDwCtB1dbTY/9ouQwv50NOwzCGxsNQ2uWCDhrs\
Pp48rSNVhWO2S1fvXj/qBDs4N5EHbadyJ8IfoiTC6+GMSEBEiVJA6i2Lm24mHFbYpEhzEF4kRAQvc3T5FrhQK8N21A\
QG6VNmRxJbAbayWk7omYdA2D4VBUjOTuKxuHkrjGf7aGO4pcWMlEq6/4o/wRNgeA6jJi6aG97eTEbJpwEFcUCLYuqH\
lHNgsSmojzXg8CtZ7hjea8Ke60AYE1Ohg/Q/5Q2oJSItm0S3yUZz7wWMXQZXMCAixb0tXBmXy8ZMDT1LLnFgR72wID\
AQABAoIBAGC4074Lqc/q/OMiJgMWu4jx3eZWbiWpY0ob1jhwlcP5gqAjo09wn/LXhcYVwZ3m9Qjptl6sVxXASbkzUX\
VYOBzXSRuyMpRjj1Fzg97FPcYegK9KiTL5nYERM3Tk7g+MrVt1kFZ0HDAMQtf0ollzLoeg5tz9WRIDK7q/JxABkkQ8\
7uM6ZBB1bJwv0nuc80m16BLD+iBHBw+nYnCzihlnTaffXIZ+i4I12gA+HMPimys1+L1frYOy3Kfq4d54dUyv1Di4g7\
kxyFG9szFHr7BwY+K+EZaEkNGkXmJaql4j3Gy8sI/DFg1eJN9Rt+zKlGDZBNkIG2VAkOGmMQxYTB+N0xkCgYEA8Gc/\
VHwDlOt7MCZ5tPfBbWX1stwlfW9QH3KJ0+f2CzKbSi4ZF5kxkrynEjp5Hji9g92UMLQbvdcKSRdh7MG1hJwtJKyQQn\
Df4xG3RVqkVuG7cF9H+reM0s98IMTPmBwNfDEb1U/cue9enar0VJ/sIZzBJBUnsNmWnzdusKuAw0MCgYEA4p/Oa0fV\
7M+gK1PwJsedoK6Uzo5x9eriuk/Hslk0mt13smPhuyVChLaP3wh+/ayArrNasJQoPy0I7h49Bf1/LclD32X2lLspiZ\
04Eg0FPa4vtjJ38Rq46DNv3tTRhW8osBl8samSF4+hxzL0fAvJyQatJuJhiDwjtMeKjo6Pv4kCgYAQxWMppa0qSnNB\
nK2I7m/UDfTiEXGcGpPgXcE3w0rq5RDoT+b4Onu23Opa3zFr5lFyTZb0/tuglsvk5XizZ6AeLDcKA+/ccrtrv+SlNf\
mZBg5pfHwtBXkRi+AA+TnyRqK6M0LZ0sR3RDe5kB+Td8SlY6YlukQWlldnrBpQwOYuuQKBgAClihY+Rzr8wK0++RFz\
QlziAqSwPV0BRZJYhe5ZWNAUT7IfnNZG3fC5AKIXSR16L4fQFTMpyQ+dFkhvp6bruUAtMddiWBjGi/DLlQxgIyKw64\
vuiu8SL3LiKrCNFOf3kDsoZ3WuUS9mBoUl/RKZigLb1QSmYrbbzRJH+3o6p+hZAoGAIAv3EySWyRlCaZ7pDj31R4qP\
04ZctJ19KlAi5cP2a6LmH8YnJCrWnRqerA4OdAlWG1aAUN1MDVCqLNPMpKe/qzkzTqPmU2A6FqKf6To6vRa3w7GPj7\
H2JClJ9F5X+xb7rUzQdL69F1vf+9ptalu28hwP8H06cf4qRNMatsy6zd8=\
";

/// What an app signs with.
enum Signer {
    Secret(&'static str),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Self {
        let der = STANDARD.decode(RSA_KEY).expect("base64");
        Self::Rsa(RsaKeyPair::from_der(&der).expect("a key"))
    }

    fn p256() -> Self {
        let (how, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(how, &random).expect("a key");
        Self::P256(EcdsaKeyPair::from_pkcs8(how, key.as_ref(), &random).expect("a key"))
    }

    fn ed25519() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(key.as_ref()).expect("a key"))
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn proof(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
                ring::hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(key) => {
                let mut proof = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut proof).expect("signed");
                proof
            }
            Self::P256(key) => key.sign(&random, message).expect("signed").as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key, or the secret, as a JWK.
    fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "k": text(secret.as_bytes())}),
            Self::Rsa(key) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "n": text(&public.n), "e": text(&public.e)})
            }
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(key.public_key().as_ref())})
            }
        }
    }

    /// The public key as PEM: the fixed beginning of each kind's SubjectPublicKeyInfo, and the key.
    fn pem(&self) -> String {
        let (head, key): (&[u8], &[u8]) = match self {
            Self::Secret(_) => unreachable!("a secret has no public key"),
            Self::Rsa(key) => (
                b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\
                   \x03\x82\x01\x0f\x00",
                key.public().as_ref(),
            ),
            Self::P256(key) => (
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\
                   \x3d\x03\x01\x07\x03\x42\x00",
                key.public_key().as_ref(),
            ),
            Self::Ed25519(key) => {
                (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", key.public_key().as_ref())
            }
        };
        let text = STANDARD.encode([head, key].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "JWT"}), claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let proof = URL_SAFE_NO_PAD.encode(self.proof(message.as_bytes()));
        format!("{message}.{proof}")
    }
}

struct Place {
    directory: TempDir,
    clock: Clock,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, clock: Clock::by_hand(NOW) }
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("keys");
        // A new file each time, as editors and secret stores do it.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).expect("written");
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&path, mode).expect("a mode");
        path
    }

    fn rules(&self, keys: &str) -> JwtConfig {
        JwtConfig {
            key_file: Some(self.write(keys)),
            role_claim: "role".to_owned(),
            org_claim: "org".to_owned(),
            ..JwtConfig::default()
        }
    }

    fn jwts(&self, keys: &str) -> Result<Jwts, String> {
        Jwts::open(self.rules(keys), self.clock.clone())
    }
}

fn ann() -> Value {
    json!({"sub": "ann", "role": "uploader", "exp": NOW_SECONDS + 600})
}

fn with(changes: Value) -> Value {
    let mut claims = ann();
    for (name, value) in changes.as_object().expect("an object") {
        let claims = claims.as_object_mut().expect("an object");
        let _ = match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// Each kind of key opens with what it has signed, from each kind of file, and with nothing else.
#[test]
fn each_kind_of_key_knows_its_own() {
    let place = Place::new();
    let signers = [Signer::Secret(SECRET), Signer::rsa(), Signer::p256(), Signer::ed25519()];
    for signer in &signers {
        let jwk = signer.jwk();
        let set = json!({"keys": [jwk.clone(), {"kty": "EC", "crv": "P-384", "x": "", "y": ""}]});
        let mut files = vec![jwk.to_string(), set.to_string()];
        files.push(match signer {
            Signer::Secret(secret) => format!("{secret}\n"),
            other => format!("{}{}", Signer::ed25519().pem(), other.pem()),
        });
        for file in files {
            let jwts = place.jwts(&file).expect("keys");
            for other in &signers {
                let bearer = jwts.bearer(&other.token(&ann()));
                let is_own = other.algorithm() == signer.algorithm();
                assert_eq!(bearer.is_some(), is_own, "{} {file}", other.algorithm());
            }
            assert!(jwts.bearer(&Signer::ed25519().token(&ann())).is_none(), "a stranger's");
        }
    }
}

/// A claim that is used has to be there and right; what a token says is what its bearer may.
#[test]
fn claims_are_checked_one_by_one() {
    let place = Place::new();
    let (jwts, signer) = (place.jwts(SECRET).expect("keys"), Signer::Secret(SECRET));
    let bearer = |changes: Value| jwts.bearer(&signer.token(&with(changes)));
    let plain = bearer(json!({})).expect("let in");
    let expected =
        Bearer { owner: Owner("ann".to_owned()), role: Role::Uploader, bounds: Bounds::default() };
    assert_eq!(plain, expected);
    let all = json!({"org": "acme", "role": "admin", "maxSize": 5, "accept": ["video/*"],
        "nbf": NOW_SECONDS, "iat": NOW_SECONDS as f64 - 0.5, "email": "ann@example.org"});
    let bounded = bearer(all).expect("let in");
    assert_eq!((bounded.owner.0.as_str(), bounded.role), ("acme/ann", Role::Admin));
    assert_eq!(bounded.bounds.max_size, Some(ByteCount(5)));
    assert_eq!(bounded.bounds.accept, Accept::parse(["video/*"]));
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let wrong = [
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "acme/ann"}),
        json!({"sub": "ann\n"}),
        json!({"sub": " ann"}),
        json!({"sub": long}),
        json!({"role": null}),
        json!({"role": "Admin"}),
        json!({"role": ["admin"]}),
        json!({"org": ""}),
        json!({"org": "a/b"}),
        json!({"org": 1}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"exp": NOW_SECONDS - 60}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"nbf": NOW_SECONDS + 61}),
        json!({"nbf": "now"}),
        json!({"iat": NOW_SECONDS + 61}),
        json!({"maxSize": -1}),
        json!({"maxSize": "5"}),
        json!({"accept": "video/*"}),
        json!({"accept": []}),
        json!({"accept": ["video/mp4"]}),
        // It is for somebody else.
        json!({"aud": "another"}),
    ];
    for changes in wrong {
        assert_eq!(bearer(changes.clone()), None, "{changes}");
    }
    assert!(bearer(json!({"exp": NOW_SECONDS - 59})).is_some(), "clocks differ");
}

/// Where issuer, audience and names of claims are set, they count.
#[test]
fn rules_of_the_configuration() {
    let place = Place::new();
    let rules = JwtConfig {
        issuer: Some("https://app.example".to_owned()),
        audience: Some("slipway".to_owned()),
        role_claim: "slipway_role".to_owned(),
        default_role: Some(Role::Viewer),
        ..place.rules(SECRET)
    };
    let jwts = Jwts::open(rules, place.clock.clone()).expect("keys");
    let role = |changes: Value| {
        let bearer = jwts.bearer(&Signer::Secret(SECRET).token(&with(changes)));
        bearer.map(|bearer| bearer.role)
    };
    let right = json!({"iss": "https://app.example", "aud": ["other", "slipway"]});
    assert_eq!(role(right.clone()), Some(Role::Viewer), "its `role` is another thing");
    for (name, value) in [
        ("slipway_role", json!("root")),
        ("iss", json!("https://app.example/")),
        ("iss", Value::Null),
        ("aud", json!("Slipway")),
        ("aud", Value::Null),
    ] {
        let mut wrong = right.clone();
        wrong[name] = value;
        assert_eq!(role(wrong.clone()), None, "{wrong}");
    }
    let mut named = right;
    named["slipway_role"] = json!("uploader");
    assert_eq!(role(named), Some(Role::Uploader));
}

/// A token doesn't choose how it is checked, nor by which key.
#[test]
fn tokens_dont_choose_their_algorithm() {
    let place = Place::new();
    let rsa = Signer::rsa();
    let mut named = rsa.jwk();
    named["kid"] = json!("one");
    let jwts = place.jwts(&json!({"keys": [named]}).to_string()).expect("keys");
    let header = |changes: Value| {
        let mut header = json!({"alg": "RS256", "kid": "one"});
        for (name, value) in changes.as_object().expect("an object") {
            header[name] = value.clone();
        }
        header
    };
    let signed = |changes: Value| jwts.bearer(&rsa.token_with(&header(changes), &ann())).is_some();
    assert!(signed(json!({})) && signed(json!({"typ": "at+JWT"})));
    for changes in [
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "RS512"}),
        json!({"alg": "PS256"}),
        json!({"alg": "ES256"}),
        json!({"kid": "two"}),
        json!({"kid": "../../dev/null"}),
        json!({"crit": ["exp"]}),
        json!({"typ": "logout+jwt"}),
        json!({"cty": "JWT"}),
    ] {
        assert!(!signed(changes.clone()), "{changes}");
    }
    // The public key isn't a secret that one may sign with.
    let message = |header: &Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(header), part(&ann()))
    };
    let pem: &'static str = Box::leak(rsa.pem().into_boxed_str());
    let jwts = place.jwts(pem).expect("keys");
    assert!(jwts.bearer(&rsa.token(&ann())).is_some());
    assert!(jwts.bearer(&Signer::Secret(pem).token(&ann())).is_none());
    let none = message(&json!({"alg": "none"}));
    for bad in [format!("{none}."), none.clone(), format!("{none}.AAAA")] {
        assert!(jwts.bearer(&bad).is_none(), "{bad}");
    }
    let token = rsa.token(&ann());
    let (head, _) = token.rsplit_once('.').expect("a signature");
    let other = rsa.token(&with(json!({"sub": "bob"})));
    let (_, of_other) = other.rsplit_once('.').expect("a signature");
    let mixed = format!("{head}.{of_other}");
    let long = rsa.token(&with(json!({"email": "e".repeat(TOKEN_BYTES_MAX)})));
    for bad in ["", ".", "..", "a.b.c", head, &mixed, &token[..token.len() - 1], &long] {
        assert!(jwts.bearer(bad).is_none(), "{bad}");
    }
}

/// A token brings no key along and has none fetched: what it says of keys elsewhere is nothing.
#[test]
fn tokens_bring_no_keys() {
    let place = Place::new();
    let (own, stranger) = (Signer::p256(), Signer::p256());
    let jwts = place.jwts(&own.jwk().to_string()).expect("keys");
    let file = place.directory.path().join("keys").display().to_string();
    for brought in [
        json!({"jwk": stranger.jwk()}),
        json!({"jku": "http://127.0.0.1:1/keys"}),
        json!({"jku": format!("file://{file}")}),
        json!({"x5u": "http://169.254.169.254/latest"}),
        json!({"x5c": [STANDARD.encode("a certificate")]}),
        json!({"kid": file, "jku": file}),
    ] {
        let mut header = json!({"alg": "ES256"});
        let all = header.as_object_mut().expect("an object");
        all.extend(brought.as_object().cloned().expect("an object"));
        assert!(jwts.bearer(&stranger.token_with(&header, &ann())).is_none(), "{brought}");
        assert!(jwts.bearer(&own.token_with(&header, &ann())).is_some(), "{brought}");
    }
}

/// Signs text as it is.
fn signed_as_is(signer: &Signer, header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signer.proof(message.as_bytes())))
}

/// What is said twice is said wrongly, even by the app: two readers would take different words.
#[test]
fn nothing_is_said_twice() {
    let place = Place::new();
    let (jwts, signer) = (place.jwts(SECRET).expect("keys"), Signer::Secret(SECRET));
    let header = r#"{"alg":"HS256"}"#;
    let claims = format!(r#""sub":"ann","role":"uploader","exp":{}"#, NOW_SECONDS + 600);
    let bearer = |header: &str, claims: &str| {
        jwts.bearer(&signed_as_is(&signer, header, &format!("{{{claims}}}"))).is_some()
    };
    assert!(bearer(header, &claims));
    for twice in [
        r#""sub":"root""#,
        r#""sub":"ann""#,
        r#""\u0073ub":"root""#,
        r#""role":"admin""#,
        r#""exp":99999999999"#,
        r#""email":"a","email":"b""#,
    ] {
        assert!(!bearer(header, &format!("{claims},{twice}")), "{twice} behind");
        assert!(!bearer(header, &format!("{twice},{claims}")), "{twice} in front");
    }
    for header in [r#"{"alg":"none","alg":"HS256"}"#, r#"{"alg":"HS256","alg":"none"}"#] {
        assert!(!bearer(header, &claims), "{header}");
    }
    let deep = format!(r#"{claims},"x":{}{}"#, "[".repeat(1_000), "]".repeat(1_000));
    assert!(!bearer(header, &deep), "no stack is deep enough for everything");
}

/// Keys change with their file; a file that can't be used changes nothing.
#[test]
fn keys_follow_their_file() {
    let place = Place::new();
    let (one, two) = (Signer::p256(), Signer::ed25519());
    let jwts = place.jwts(&one.pem()).expect("keys");
    let knows = |signer: &Signer| jwts.bearer(&signer.token(&ann())).is_some();
    assert!(knows(&one) && !knows(&two));
    let later = || place.clock.advance_ms(2_000);
    place.write("-----BEGIN PUBLIC KEY-----");
    later();
    assert!(knows(&one) && !knows(&two), "a broken file");
    place.write(&two.pem());
    later();
    assert!(!knows(&one) && knows(&two), "the new one alone");
    let path = place.write("");
    std::fs::remove_file(path).expect("removed");
    later();
    assert!(knows(&two), "no file");
}

/// Files that would let in anybody, or nobody, are refused with a reason.
#[test]
fn unfit_files_are_refused() {
    let place = Place::new();
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let small = json!({"kty": "RSA", "n": "A".repeat(171), "e": "AQAB"}).to_string();
    for (text, why) in [
        ("", "32 bytes"),
        ("short", "32 bytes"),
        ("{}", "no key"),
        ("{\"keys\": 1}", "JWK"),
        (r#"{"keys": []}"#, "no key"),
        (r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#, "32 bytes"),
        (private, "the public key alone"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "none of"),
        (&small, "2048"),
    ] {
        let refused = place.jwts(text).err().expect("refused");
        assert!(refused.contains(why), "{refused}");
    }
    let rules = place.rules(SECRET);
    let path = rules.key_file.clone().expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let refused = Jwts::open(rules, place.clock.clone()).err().expect("refused");
    assert!(refused.contains("everybody"), "{refused}");
}
