//! Who may do what: every address with everybody who may call it.
//!
//! An address without a row fails, and so does a row without an address. What belongs to somebody
//! is `acme/ann`'s. A further way to call is one more entry of [`callers`]: it says for whom it
//! stands, and the rows' answers are known.

use super::document::registered;
use super::rig::{BYTES, Rig};
use crate::access::NewToken;
use crate::ids::VideoId;
use crate::model::access::Role;
use crate::model::video::Visibility;
use crate::model::words::VideoChange;
use std::collections::BTreeSet;

/// For whom a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
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
}

/// What an address is to those who call it, `ok` being its good answer.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Everybody's, whoever they are.
    Open,
    /// Everybody's, but a credential is looked at.
    Looked,
    /// A page for whoever has signed in.
    Page,
    /// A page for the operator.
    OperatorPage,
    /// For whoever has signed in.
    Member,
    /// For uploaders.
    Uploader,
    /// The operator's.
    Operator,
    /// The operator's, or a token's that was made for it.
    Metrics,
    /// All there is of a private video.
    SeeVideo,
    /// The page of a private video.
    Watch,
    /// What may be seen of a private video, also without signing in.
    LookAtVideo,
    /// The file that was sent.
    Original,
    /// A change of a video.
    ChangeVideo,
    /// What lies in the trash.
    Trashed,
    /// An upload that is under way.
    SeeUpload,
    ChangeUpload,
}

impl Door {
    fn answer(self, who: As, ok: u16) -> u16 {
        use As::*;
        match (self, who) {
            (Self::Open, _) => ok,
            (_, Refused) => 401,
            (_, Confined) => 403,
            (Self::Looked, _) => ok,
            (Self::Page | Self::OperatorPage | Self::Watch, Nobody) => 302,
            (Self::LookAtVideo, Nobody) => 404,
            (_, Nobody) => 401,
            (_, Operator) => ok,
            (Self::Page | Self::Member, _) => ok,
            (Self::Operator | Self::OperatorPage | Self::Metrics, _) => 403,
            (Self::Uploader, Viewer | Looker) => 403,
            (Self::Uploader, _) => ok,
            (_, Foreign) => 404,
            (_, Owner | OrgAdmin) => ok,
            (Self::SeeVideo | Self::LookAtVideo | Self::Watch, _) => ok,
            (Self::Original, Looker) => ok,
            (Self::Original, _) => 403,
            (Self::ChangeVideo, _) => 403,
            (Self::SeeUpload, Looker) => ok,
            (Self::Trashed | Self::ChangeUpload, Looker) => 403,
            (Self::Trashed | Self::SeeUpload | Self::ChangeUpload, _) => 404,
        }
    }
}

/// What a row's address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    /// Nothing that belongs to anybody.
    None,
    /// A private video that is here.
    Video,
    /// One in the trash.
    Trash,
    /// An open upload by tus, and one in parts.
    File,
    Parts,
}

/// An address with what it is sent, and what it answers when all is well.
struct Row {
    line: &'static str,
    thing: Thing,
    door: Door,
    ok: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];
const MULTIPART: &[(&str, &str)] = &[("Content-Type", "multipart/form-data; boundary=b")];
const TUS: &[(&str, &str)] = &[("Tus-Resumable", "1.0.0")];
const CREATE: &[(&str, &str)] = &[("Tus-Resumable", "1.0.0"), ("Upload-Length", "5")];
const APPEND: &[(&str, &str)] = &[("Tus-Resumable", "1.0.0"), BYTES, ("Upload-Offset", "0")];
const DRAFT: &[(&str, &str)] = &[("Upload-Complete", "?0")];

const fn row(line: &'static str, thing: Thing, door: Door, ok: u16) -> Row {
    Row { line, thing, door, ok, headers: &[], body: "" }
}

const fn with(
    row: Row,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Row {
    Row { headers, body, ..row }
}

/// Every address. A good answer may be a refusal for another reason: 409 for what isn't possible
/// now, 400 for what wasn't said, 404 for what nobody has.
const ROWS: &[Row] = &[
    row("GET /healthz", Thing::None, Door::Open, 200),
    row("HEAD /healthz", Thing::None, Door::Open, 200),
    row("GET /readyz", Thing::None, Door::Open, 200),
    row("HEAD /readyz", Thing::None, Door::Open, 200),
    row("GET /openapi.json", Thing::None, Door::Open, 200),
    row("GET /login", Thing::None, Door::Open, 200),
    with(row("POST /login", Thing::None, Door::Open, 303), FORM, "token=x"),
    with(row("POST /logout", Thing::None, Door::Open, 303), FORM, ""),
    row("GET /docs", Thing::None, Door::Open, 200),
    row("GET /static/{file}", Thing::None, Door::Open, 404),
    row("HEAD /static/{file}", Thing::None, Door::Open, 404),
    row("GET /oembed", Thing::None, Door::Open, 400),
    row("OPTIONS /files", Thing::None, Door::Open, 204),
    row("GET /", Thing::None, Door::Page, 200),
    row("GET /library", Thing::None, Door::Page, 200),
    row("GET /account", Thing::None, Door::Page, 200),
    row("GET /admin", Thing::None, Door::OperatorPage, 200),
    row("GET /api/uploads", Thing::None, Door::Member, 200),
    // Only an account has a password and sessions to see, and a token is none.
    row("POST /api/me/password", Thing::None, Door::Member, 403),
    row("GET /api/me/sessions", Thing::None, Door::Member, 403),
    row("DELETE /api/me/sessions", Thing::None, Door::Member, 403),
    row("DELETE /api/me/sessions/{none}", Thing::None, Door::Member, 403),
    row("GET /api/videos", Thing::None, Door::Member, 200),
    row("GET /api/videos/status?sessionId=s", Thing::None, Door::Member, 200),
    row("GET /metrics", Thing::None, Door::Metrics, 200),
    with(row("POST /files", Thing::None, Door::Uploader, 201), CREATE, ""),
    with(row("PUT /files", Thing::None, Door::Uploader, 201), DRAFT, ""),
    with(row("POST /api/videos", Thing::None, Door::Uploader, 400), MULTIPART, "--b--\r\n"),
    with(
        row("POST /api/videos/upload/initiate", Thing::None, Door::Uploader, 201),
        JSON,
        r#"{"size":5}"#,
    ),
    with(
        row("POST /api/upload-grants", Thing::None, Door::Uploader, 201),
        JSON,
        r#"{"expiresIn":60}"#,
    ),
    row("GET /api/upload-grants", Thing::None, Door::Uploader, 200),
    row("DELETE /api/upload-grants/{none}", Thing::None, Door::Uploader, 404),
    row("GET /upload", Thing::None, Door::Open, 200),
    with(row("POST /api/videos/upload/chunk", Thing::None, Door::Uploader, 400), MULTIPART, ""),
    row("GET /api/admin/figures", Thing::None, Door::Operator, 200),
    row("GET /api/admin/status", Thing::None, Door::Operator, 200),
    row("GET /api/admin/storage", Thing::None, Door::Operator, 200),
    row("GET /api/admin/events", Thing::None, Door::Operator, 200),
    row("GET /api/admin/audit", Thing::None, Door::Operator, 200),
    row("GET /api/admin/uploads", Thing::None, Door::Operator, 200),
    row("GET /api/admin/queue", Thing::None, Door::Operator, 200),
    with(
        row("PUT /api/admin/queue", Thing::None, Door::Operator, 200),
        JSON,
        r#"{"paused":false}"#,
    ),
    row("GET /api/admin/cleanup", Thing::None, Door::Operator, 200),
    with(
        row("POST /api/admin/cleanup", Thing::None, Door::Operator, 200),
        JSON,
        r#"{"dryRun":true}"#,
    ),
    row("GET /api/admin/tokens", Thing::None, Door::Operator, 200),
    with(
        row("POST /api/admin/tokens", Thing::None, Door::Operator, 201),
        JSON,
        r#"{"role":"viewer"}"#,
    ),
    row("DELETE /api/admin/tokens/{none}", Thing::None, Door::Operator, 404),
    row("GET /api/admin/users", Thing::None, Door::Operator, 200),
    with(
        row("POST /api/admin/users", Thing::None, Door::Operator, 400),
        JSON,
        r#"{"role":"viewer","name":"x","password":"short"}"#,
    ),
    with(row("PATCH /api/admin/users/{none}", Thing::None, Door::Operator, 404), JSON, "{}"),
    row("DELETE /api/admin/users/{none}", Thing::None, Door::Operator, 404),
    row("GET /api/admin/webhooks", Thing::None, Door::Operator, 200),
    row("GET /api/admin/webhooks/deliveries", Thing::None, Door::Operator, 200),
    row("POST /api/admin/webhooks/deliveries/{none}/retry", Thing::None, Door::Operator, 404),
    row("POST /api/admin/webhooks/test", Thing::None, Door::Operator, 200),
    row("GET /api/videos/processing/queue-status", Thing::None, Door::Operator, 200),
    row("GET /api/videos/processing/jobs", Thing::None, Door::Operator, 200),
    with(
        row("PUT /api/videos/{id}/priority", Thing::Video, Door::Operator, 200),
        JSON,
        r#"{"priority":1}"#,
    ),
    row("GET /api/session", Thing::None, Door::Looked, 200),
    row("GET /api/ws?videoIds=", Thing::None, Door::Looked, 400),
    row("GET /api/events?videoIds=x", Thing::None, Door::Looked, 400),
    row("GET /watch/{id}", Thing::Video, Door::Watch, 200),
    row("GET /embed/{id}", Thing::Video, Door::LookAtVideo, 200),
    row("GET /media/{id}/poster.jpg", Thing::Video, Door::LookAtVideo, 200),
    row("HEAD /media/{id}/poster.jpg", Thing::Video, Door::LookAtVideo, 200),
    row("GET /media/s/{token}/{id}/poster.jpg", Thing::Video, Door::Open, 403),
    row("HEAD /media/s/{token}/{id}/poster.jpg", Thing::Video, Door::Open, 403),
    row("GET /api/videos/{id}", Thing::Video, Door::LookAtVideo, 200),
    row("GET /api/videos/{id}/preview", Thing::Video, Door::LookAtVideo, 200),
    row("GET /api/videos/{id}/thumbnails", Thing::Video, Door::LookAtVideo, 200),
    row("GET /api/videos/{id}/processing-status", Thing::Video, Door::SeeVideo, 200),
    row("GET /api/videos/{id}/recommendations", Thing::Video, Door::SeeVideo, 409),
    row("GET /api/videos/{id}/original", Thing::Video, Door::Original, 200),
    row("HEAD /api/videos/{id}/original", Thing::Video, Door::Original, 200),
    row("GET /api/videos/{id}/captions/{lang}", Thing::Video, Door::SeeVideo, 404),
    with(
        row("PUT /api/videos/{id}/captions/{lang}", Thing::Video, Door::ChangeVideo, 200),
        &[("Content-Type", "text/vtt")],
        "WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n",
    ),
    row("DELETE /api/videos/{id}/captions/{lang}", Thing::Video, Door::ChangeVideo, 404),
    with(row("PATCH /api/videos/{id}", Thing::Video, Door::ChangeVideo, 200), JSON, "{}"),
    row("DELETE /api/videos/{id}", Thing::Video, Door::ChangeVideo, 204),
    row("POST /api/videos/{id}/restore", Thing::Trash, Door::Trashed, 200),
    row("POST /api/videos/{id}/retry-processing", Thing::Video, Door::ChangeVideo, 409),
    row("POST /api/videos/{id}/cancel-processing", Thing::Video, Door::ChangeVideo, 200),
    with(
        row("PUT /api/videos/{id}/poster", Thing::Video, Door::ChangeVideo, 202),
        JSON,
        r#"{"time":1}"#,
    ),
    row("POST /api/videos/{id}/playback-token", Thing::Video, Door::ChangeVideo, 200),
    row("POST /api/videos/{id}/playback-tokens/revoke", Thing::Video, Door::ChangeVideo, 200),
    with(row("HEAD /files/{id}", Thing::File, Door::SeeUpload, 200), TUS, ""),
    with(row("GET /files/{id}", Thing::File, Door::SeeUpload, 409), TUS, ""),
    with(row("PATCH /files/{id}", Thing::File, Door::ChangeUpload, 204), APPEND, "x"),
    with(row("DELETE /files/{id}", Thing::File, Door::ChangeUpload, 204), TUS, ""),
    row("GET /api/videos/upload/{id}", Thing::Parts, Door::SeeUpload, 200),
    row("DELETE /api/videos/upload/{id}", Thing::Parts, Door::ChangeUpload, 204),
    with(
        row("POST /api/videos/upload/{id}/part-urls", Thing::Parts, Door::ChangeUpload, 200),
        JSON,
        r#"{"indexes":[0]}"#,
    ),
    with(
        row("PUT /api/videos/upload/{id}/parts/{index}", Thing::Parts, Door::ChangeUpload, 200),
        &[],
        "hello",
    ),
    with(
        row("POST /api/videos/upload/complete", Thing::Parts, Door::ChangeUpload, 409),
        JSON,
        r#"{"uploadId":"{id}"}"#,
    ),
];

/// Who calls: a name, the token, and for whom it stands.
async fn callers(rig: &Rig) -> Vec<(&'static str, Option<String>, As)> {
    let make = async |role, user: &str, scope: Option<&str>, expires_ms| {
        let scopes = scope.map(str::to_owned).into_iter().collect();
        let user = Some(user.to_owned());
        let new = NewToken { user, scopes, expires_ms, ..NewToken::of(role) };
        rig.parts.access.create_token(new).await.expect("a token")
    };
    let token = async |role, user: &str| Some(make(role, user, None, None).await.0);
    let expired = make(Role::Admin, "root", None, Some(0)).await.0;
    let (revoked, record) = make(Role::Admin, "root", None, None).await;
    rig.parts.access.revoke_token(record.id).await.expect("revoked");
    let garbled = format!("{}A", &rig.admin[..rig.admin.len() - 1]);
    let garbled = if garbled == rig.admin { format!("{}B", &garbled[..46]) } else { garbled };
    vec![
        ("nobody", None, As::Nobody),
        ("a viewer", token(Role::Viewer, "acme/vic").await, As::Viewer),
        ("the owner, who may look", token(Role::Viewer, "acme/ann").await, As::Looker),
        ("the owner", token(Role::Uploader, "acme/ann").await, As::Owner),
        ("another uploader", token(Role::Uploader, "acme/bob").await, As::Member),
        ("another organisation", token(Role::Uploader, "other/ann").await, As::Foreign),
        ("another organisation's admin", token(Role::Admin, "other/boss").await, As::Foreign),
        ("somebody in none", token(Role::Uploader, "ann").await, As::Foreign),
        ("the organisation's name alone", token(Role::Uploader, "acme").await, As::Foreign),
        ("the organisation's admin", token(Role::Admin, "acme/boss").await, As::OrgAdmin),
        ("the operator", Some(rig.admin.clone()), As::Operator),
        ("a token that ran out", Some(expired), As::Refused),
        ("a revoked token", Some(revoked), As::Refused),
        ("a garbled token", Some(garbled), As::Refused),
        ("no token at all", Some("hello".to_owned()), As::Refused),
        (
            "a token for metrics",
            Some(make(Role::Uploader, "acme/ann", Some("metrics"), None).await.0),
            As::Confined,
        ),
    ]
}

/// Makes what a row is about, of `acme/ann`'s, and returns its id.
async fn make(rig: &Rig, ann: &str, thing: Thing) -> String {
    match thing {
        Thing::None => "01890000-0000-7000-8000-000000000000".to_owned(),
        Thing::Video | Thing::Trash => {
            let headers = [CREATE, &[BYTES]].concat();
            let made = rig.as_token(ann, "POST /files", &headers, b"hello").await;
            assert_eq!(made.status, 201, "{made:?}");
            let id = made.header("slipway-video").to_owned();
            let video = VideoId::parse(&id).expect("a video's id");
            let change =
                VideoChange { visibility: Some(Visibility::Private), ..VideoChange::default() };
            rig.parts.state.change_video(video, change).await.expect("changed");
            if thing == Thing::Trash {
                let line = format!("DELETE /api/videos/{id}");
                assert_eq!(rig.as_token(ann, &line, &[], b"").await.status, 204);
            } else {
                rig.publish(video, &[("poster.jpg", b"jpeg")]).await;
            }
            id
        }
        Thing::File => {
            let made = rig.as_token(ann, "POST /files", CREATE, b"").await;
            made.header("location").trim_start_matches("/files/").to_owned()
        }
        Thing::Parts => {
            let line = "POST /api/videos/upload/initiate";
            let made = rig.as_token(ann, line, JSON, br#"{"size":5}"#).await;
            made.json()["uploadId"].as_str().expect("an id").to_owned()
        }
    }
}

/// Each address answers everybody as it should, and what isn't theirs isn't there.
#[tokio::test]
async fn everybody_gets_the_right_answer() {
    let rig = Rig::start_with(|config| {
        config.trash_for_ms = 86_400_000;
        // One address asks for everybody.
        config.limits.requests_per_address = None;
        config.limits.media_per_address = None;
        config.limits.requests_per_token = None;
        config.limits.requests_per_owner = None;
    })
    .await;
    let callers = callers(&rig).await;
    let ann = callers.iter().find(|(_, _, who)| *who == As::Owner).and_then(|it| it.1.clone());
    let ann = ann.expect("the owner calls");
    let mut wrong = Vec::new();
    for row in ROWS {
        let mut at = make(&rig, &ann, row.thing).await;
        for (name, token, who) in &callers {
            let is_metrics = matches!((row.door, who), (Door::Metrics, As::Confined));
            let expected = match is_metrics {
                true => row.ok,
                false if row.line.starts_with("GET /api/session") && *who == As::Confined => 200,
                false => row.door.answer(*who, row.ok),
            };
            let line = filled(row.line, &at);
            let body = row.body.replace("{id}", &at);
            let answer = match token {
                Some(token) => rig.as_token(token, &line, row.headers, body.as_bytes()).await,
                None => rig.ask(&line, row.headers, body.as_bytes()).await,
            };
            if answer.status != expected {
                wrong.push(format!("{} by {name}: {} for {expected}", row.line, answer.status));
            }
            if answer.status < 400 && row.thing != Thing::None && !row.line.starts_with("GET") {
                at = make(&rig, &ann, row.thing).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn filled(line: &str, id: &str) -> String {
    let line = line.replace("{id}", id).replace("{index}", "0").replace("{lang}", "en");
    line.replace("{none}", "01890000-0000-7000-8000-000000000001")
        .replace("{file}", "none.js")
        .replace("{token}", "slp_x")
}

/// A new address needs a row.
#[test]
fn every_address_has_a_row() {
    let plain = |line: &str| {
        let (method, address) = line.split_once(' ').expect("a method and an address");
        let address = address.split('?').next().unwrap_or_default();
        let address = address.replace("{none}", "{id}").replace("poster.jpg", "{file}");
        (method.to_ascii_lowercase(), address)
    };
    let rows: BTreeSet<_> = ROWS.iter().map(|row| plain(row.line)).collect();
    let known = registered();
    let without: Vec<_> = known.difference(&rows).collect();
    assert!(without.is_empty(), "without a row: {without:?}");
    let strange: Vec<_> = rows.difference(&known).collect();
    assert!(strange.is_empty(), "not an address: {strange:?}");
    assert_eq!(rows.len(), ROWS.len(), "an address has two rows");
}
