//! Everybody who calls in the table of addresses: by tokens, sessions, JWTs, playback tokens and
//! upload grants, good ones and all that are wrong in one place.

use super::jwt::{self, claims};
use super::rig::Rig;
use crate::access::{NewGrant, NewToken, Scope, Signs, Wanted};
use crate::config::Config;
use crate::ids::{Owner, VideoId};
use crate::model::access::{Bounds, Role};
use crate::state::RingChange;
use serde_json::json;

/// For whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    Nobody,
    /// Another viewer of the owner's organisation.
    Viewer,
    /// The owner itself, with a token that may only look.
    Looker,
    /// The owner.
    Owner,
    /// Another uploader of the organisation.
    Member,
    /// An uploader, or an admin, of another organisation, or of none.
    Foreign,
    /// An admin of the organisation.
    OrgAdmin,
    Operator,
    /// Somebody whose credential doesn't count.
    Refused,
    /// The owner, or the operator, with a token that is for something else.
    Confined,
    /// The owner's session, used by somebody who doesn't say from which page.
    Pageless,
    /// The owner's session, used by another site's page.
    OtherSite,
    /// Whoever has a playback token of the owner's for the video.
    Player,
    /// Whoever has one that is good for another.
    OtherPlayer,
    /// Whoever has one that isn't good.
    BadPlayer,
    /// Whoever has the upload grant by which it was begun, or which is good for anything still.
    Granted,
    /// Whoever has an upload grant of the owner's by which something else was begun.
    GrantedOther,
}

/// Where this server's own pages are.
const OWN_PAGE: &str = "http://localhost";

/// What a call shows of who makes it.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    Nothing,
    Bearer(String),
    /// A session, and which page uses it.
    Session(String, Option<&'static str>),
    /// A playback token: in the address where it has a place for one, else as a bearer's.
    Playback(String),
    /// The playback token that was made for the row's video.
    ItsPlayback,
    /// The upload grant by which the row's upload or video was begun.
    ItsGrant,
}

/// Somebody who calls.
pub(super) struct Caller {
    pub(super) name: &'static str,
    pub(super) shows: Shown,
    pub(super) who: As,
}

fn caller(name: &'static str, shows: Shown, who: As) -> Caller {
    Caller { name, shows, who }
}

/// What a row is about, and what opens it without an account.
pub(super) struct Made {
    pub(super) id: String,
    /// The upload grant by which it was begun.
    pub(super) grant: String,
    /// A playback token for its video.
    pub(super) playback: String,
}

/// Has the server trust JWTs of [`jwt::SIGNER`]'s that are made for it.
pub(super) fn trusting(config: &mut Config) -> tempfile::TempDir {
    let directory = jwt::trusted(config, &jwt::named_key());
    config.jwt.issuer = Some(jwt::ISSUER.to_owned());
    config.jwt.audience = Some(jwt::AUDIENCE.to_owned());
    directory
}

/// By what somebody calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Token,
    Session,
    Jwt,
    PlaybackToken,
    Grant,
}

/// Everybody who calls in a way. Each stands for somebody, and the rows' answers are known.
pub(super) async fn callers(rig: &Rig, by: By) -> Vec<Caller> {
    match by {
        By::Token => by_token(rig).await,
        By::Session => by_session(rig).await,
        By::Jwt => by_jwt(rig),
        By::PlaybackToken => by_playback_token(rig).await,
        By::Grant => by_grant(rig).await,
    }
}

/// Returns a token of the owner's.
pub(super) async fn owner(rig: &Rig) -> String {
    token(rig, Role::Uploader, "acme/ann").await
}

async fn token(rig: &Rig, role: Role, user: &str) -> String {
    let new = NewToken { user: Some(user.to_owned()), ..NewToken::of(role) };
    rig.parts.access.create_token(new).await.expect("a token").0
}

async fn by_token(rig: &Rig) -> Vec<Caller> {
    let access = &rig.parts.access;
    let of = async |role, user: &str| Shown::Bearer(token(rig, role, user).await);
    let late = NewToken { expires_ms: Some(0), ..NewToken::of(Role::Admin) };
    let expired = access.create_token(late).await.expect("a token").0;
    let (revoked, record) = access.create_token(NewToken::of(Role::Admin)).await.expect("a token");
    access.revoke_token(record.id).await.expect("revoked");
    let garbled = format!("{}A", &rig.admin[..rig.admin.len() - 1]);
    let garbled = if garbled == rig.admin { format!("{}B", &garbled[..46]) } else { garbled };
    let user = Some("acme/ann".to_owned());
    let scopes = vec!["metrics".to_owned()];
    let metrics = NewToken { user, scopes, ..NewToken::of(Role::Uploader) };
    let metrics = access.create_token(metrics).await.expect("a token").0;
    let bearer = |text: String| Shown::Bearer(text);
    vec![
        caller("nobody", Shown::Nothing, As::Nobody),
        caller("a viewer", of(Role::Viewer, "acme/vic").await, As::Viewer),
        caller("the owner, who may look", of(Role::Viewer, "acme/ann").await, As::Looker),
        caller("the owner", of(Role::Uploader, "acme/ann").await, As::Owner),
        caller("another uploader", of(Role::Uploader, "acme/bob").await, As::Member),
        caller("another organisation", of(Role::Uploader, "other/ann").await, As::Foreign),
        caller("another organisation's admin", of(Role::Admin, "other/boss").await, As::Foreign),
        caller("somebody in none", of(Role::Uploader, "ann").await, As::Foreign),
        caller("the organisation's name alone", of(Role::Uploader, "acme").await, As::Foreign),
        caller("the organisation's admin", of(Role::Admin, "acme/boss").await, As::OrgAdmin),
        caller("the operator", bearer(rig.admin.clone()), As::Operator),
        caller("a token that ran out", bearer(expired), As::Refused),
        caller("a revoked token", bearer(revoked), As::Refused),
        caller("a garbled token", bearer(garbled), As::Refused),
        caller("no token at all", bearer("hello".to_owned()), As::Refused),
        caller("a token for metrics", bearer(metrics), As::Confined),
    ]
}

async fn by_session(rig: &Rig) -> Vec<Caller> {
    let access = &rig.parts.access;
    let open = async |role, user: &str| {
        let session = access.redeem_token(&token(rig, role, user).await).await;
        session.expect("a session")
    };
    let on_page = async |role, user: &str| Shown::Session(open(role, user).await, Some(OWN_PAGE));
    let ann = async || open(Role::Uploader, "acme/ann").await;
    let (own, other_site) = (Some(OWN_PAGE), Some("https://evil.example"));
    let ended = ann().await;
    access.log_out(&ended).await.expect("ended");
    let of_nobody = format!("{}A", ann().await);
    vec![
        caller("a viewer's session", on_page(Role::Viewer, "acme/vic").await, As::Viewer),
        caller("the owner's session", on_page(Role::Uploader, "acme/ann").await, As::Owner),
        caller("another uploader's session", on_page(Role::Uploader, "acme/bob").await, As::Member),
        caller("a foreign session", on_page(Role::Uploader, "other/ann").await, As::Foreign),
        caller("an org admin's session", on_page(Role::Admin, "acme/boss").await, As::OrgAdmin),
        caller("the operator's session", on_page(Role::Admin, "root").await, As::Operator),
        caller("an ended session", Shown::Session(ended, own), As::Nobody),
        caller("a forged session", Shown::Session(of_nobody, own), As::Nobody),
        caller("a session of no page", Shown::Session(ann().await, None), As::Pageless),
        caller("another site's page", Shown::Session(ann().await, other_site), As::OtherSite),
    ]
}

fn by_jwt(rig: &Rig) -> Vec<Caller> {
    let now = rig.parts.clock.now().as_secs();
    let header = || json!({ "alg": "HS256", "kid": jwt::KID });
    let of = |changes| Shown::Bearer(jwt::signed(&header(), &claims(now, &changes)));
    let ann = json!({ "sub": "ann", "org": "acme", "role": "uploader" });
    let mut all = vec![
        caller(
            "a viewer's JWT",
            of(json!({ "sub": "vic", "org": "acme", "role": "viewer" })),
            As::Viewer,
        ),
        caller("the owner's JWT", of(ann.clone()), As::Owner),
        caller(
            "another uploader's JWT",
            of(json!({ "sub": "bob", "org": "acme", "role": "uploader" })),
            As::Member,
        ),
        caller(
            "a foreign JWT",
            of(json!({ "sub": "ann", "org": "other", "role": "admin" })),
            As::Foreign,
        ),
        caller(
            "an org admin's JWT",
            of(json!({ "sub": "boss", "org": "acme", "role": "admin" })),
            As::OrgAdmin,
        ),
        caller("the operator's JWT", of(json!({ "sub": "root", "role": "admin" })), As::Operator),
    ];
    // Each would be the operator's, were it right.
    let root = json!({ "sub": "root", "role": "admin" });
    for (name, field, value) in [
        ("a JWT that ran out", "exp", json!(now - 3_600)),
        ("a JWT without an end", "exp", json!(null)),
        ("a JWT that isn't good yet", "nbf", json!(now + 3_600)),
        ("a JWT of the future", "iat", json!(now + 3_600)),
        ("a JWT of another issuer", "iss", json!("https://evil.example")),
        ("a JWT for another server", "aud", json!("another")),
        ("a JWT of nobody", "sub", json!(null)),
        ("a JWT of a path", "sub", json!("acme/ann")),
        ("a JWT of no role", "role", json!("root")),
        ("a JWT of a strange organisation", "org", json!("acme/ann")),
    ] {
        let mut wrong = root.clone();
        wrong[field] = value;
        all.push(caller(name, of(wrong), As::Refused));
    }
    let good = claims(now, &root);
    for (name, header) in [
        ("a JWT of no algorithm", json!({ "alg": "none", "kid": jwt::KID })),
        ("a JWT of another algorithm", json!({ "alg": "RS256", "kid": jwt::KID })),
        ("a JWT of another key", json!({ "alg": "HS256", "kid": "two" })),
    ] {
        all.push(caller(name, Shown::Bearer(jwt::signed(&header, &good)), As::Refused));
    }
    let (said, own) = (jwt::signed(&header(), &good), jwt::signed(&header(), &claims(now, &ann)));
    let (statement, _) = said.rsplit_once('.').expect("a signature");
    let (_, another) = own.rsplit_once('.').expect("a signature");
    let mixed = Shown::Bearer(format!("{statement}.{another}"));
    all.push(caller("a JWT with another's signature", mixed, As::Refused));
    all.push(caller("a JWT without one", Shown::Bearer(format!("{statement}.")), As::Refused));
    all
}

/// Makes a playback token of the owner's.
pub(super) async fn playback(rig: &Rig, video: &str, scope: Scope, for_ms: u64) -> String {
    let id = VideoId::parse(video).expect("a video's id");
    let record = rig.parts.state.video(id).expect("read").expect("it is there");
    let wanted = Wanted { scope, for_ms, early: false, network: None, hosts: Vec::new() };
    rig.parts.access.playback_token(wanted, &record).await.expect("a token").0
}

async fn by_playback_token(rig: &Rig) -> Vec<Caller> {
    let other = rig.bring(b"another film").await;
    let of = |name: &str| Scope::Organisation(name.to_owned());
    let make = async |scope, for_ms| {
        Shown::Playback(playback(rig, &other.to_string(), scope, for_ms).await)
    };
    const LONG_MS: u64 = 600_000;
    let revoked = make(of("acme"), LONG_MS).await;
    for change in [RingChange::Add, RingChange::Prune] {
        rig.parts.access.change_keys(Signs::Playback, change).await.expect("changed");
    }
    vec![
        caller("its playback token", Shown::ItsPlayback, As::Player),
        caller("a playback token of the owner", make(owned(), LONG_MS).await, As::Player),
        caller("a playback token of all", make(of("acme"), LONG_MS).await, As::Player),
        caller("of another organisation", make(of("other"), LONG_MS).await, As::OtherPlayer),
        caller("of another video", make(Scope::Video(other), LONG_MS).await, As::OtherPlayer),
        caller("a playback token that ran out", make(of("acme"), 0).await, As::BadPlayer),
        caller("a revoked playback token", revoked, As::BadPlayer),
        caller("a forged one", Shown::Playback("slp_AAAA".to_owned()), As::BadPlayer),
    ]
}

fn owned() -> Scope {
    Scope::Owner(Owner("acme/ann".to_owned()))
}

/// Makes an upload grant of the owner's.
pub(super) async fn grant(rig: &Rig, expires_ms: u64) -> (String, crate::ids::GrantId) {
    let new = NewGrant {
        owner: Owner("acme/ann".to_owned()),
        token: None,
        metadata: Vec::new(),
        bounds: Bounds::default(),
        expires_ms,
        callback: None,
    };
    let (text, record) = rig.parts.access.create_grant(new).await.expect("a grant");
    (text, record.id)
}

async fn by_grant(rig: &Rig) -> Vec<Caller> {
    const LONG_MS: u64 = 600_000;
    let (used, expired) = (grant(rig, LONG_MS).await.0, grant(rig, 0).await.0);
    let create = [("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
    let begun = rig.as_token(&used, "POST /files", &create, b"").await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let (ended, id) = grant(rig, LONG_MS).await;
    let ended_at = rig.parts.clock.now();
    rig.parts.state.end_grant(id, ended_at).await.expect("ended");
    vec![
        caller("its upload grant", Shown::ItsGrant, As::Granted),
        caller("another upload's grant", Shown::Bearer(used), As::GrantedOther),
        caller("a grant that ran out", Shown::Bearer(expired), As::Refused),
        caller("an ended grant", Shown::Bearer(ended), As::Refused),
        caller("no grant", Shown::Bearer(format!("slg_{}", "a".repeat(43))), As::Refused),
    ]
}
