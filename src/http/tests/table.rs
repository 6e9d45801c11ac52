//! Who may do what: every address with everybody who may call it.
//!
//! An address without a row fails, and so does a row without an address. What belongs to somebody
//! is `acme/ann`'s. A further way to call is one more entry of [`callers`]: it says for whom it
//! stands, and the rows' answers are known.

use super::callers::{As, By, Caller, Made, Shown, callers, grant, owner, playback, trusting};
use super::document::registered;
use super::rig::{Answer, BYTES, Rig};
use crate::access::Scope;
use crate::ids::VideoId;
use crate::model::video::Visibility;
use crate::model::words::VideoChange;
use std::collections::BTreeSet;

/// What an address is to those who call it, `ok` being its good answer.
#[derive(Clone, Copy, Debug)]
enum Door {
    /// Everybody's, whoever they are.
    Open,
    /// Everybody's, but a browser may send it from this server's own pages alone.
    OwnForm,
    /// What a playback token in the address opens.
    ByPlayback,
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
    /// What people with an account, a token or a JWT are answered, and who shows nothing good.
    fn answer(self, who: As, ok: u16) -> u16 {
        use As::*;
        match (self, who) {
            (Self::Open | Self::OwnForm, _) => ok,
            (Self::ByPlayback, _) => 403,
            (_, Refused) => 401,
            (Self::Metrics, Confined) => ok,
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
    with(row("POST /login", Thing::None, Door::OwnForm, 303), FORM, "token=x"),
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
    row("GET /api/ws?videoIds=", Thing::Video, Door::Looked, 400),
    row("GET /api/events?videoIds=x", Thing::Video, Door::Looked, 400),
    row("GET /watch/{id}", Thing::Video, Door::Watch, 200),
    row("GET /embed/{id}", Thing::Video, Door::LookAtVideo, 200),
    row("GET /media/{id}/poster.jpg", Thing::Video, Door::LookAtVideo, 200),
    row("HEAD /media/{id}/poster.jpg", Thing::Video, Door::LookAtVideo, 200),
    row("GET /media/s/{token}/{id}/poster.jpg", Thing::Video, Door::ByPlayback, 200),
    row("HEAD /media/s/{token}/{id}/poster.jpg", Thing::Video, Door::ByPlayback, 200),
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
    // The last one: it ends the sessions that ask.
    with(row("POST /logout", Thing::None, Door::OwnForm, 303), FORM, ""),
];

/// What a playback token opens when it is shown as a bearer's.
const BY_PLAYBACK: &[&str] = &[
    "GET /api/videos/{id}",
    "GET /api/videos/{id}/preview",
    "GET /api/videos/{id}/thumbnails",
    "GET /api/ws?videoIds=",
    "GET /api/events?videoIds=x",
];

/// What an upload grant opens.
const BY_GRANT: &[&str] = &[
    "POST /files",
    "PUT /files",
    "HEAD /files/{id}",
    "GET /files/{id}",
    "PATCH /files/{id}",
    "DELETE /files/{id}",
    "POST /api/videos",
    "POST /api/videos/upload/initiate",
    "POST /api/videos/upload/chunk",
    "POST /api/videos/upload/complete",
    "POST /api/videos/upload/{id}/part-urls",
    "PUT /api/videos/upload/{id}/parts/{index}",
    "GET /api/videos/upload/{id}",
    "DELETE /api/videos/upload/{id}",
    "GET /api/uploads",
    "GET /api/videos/status?sessionId=s",
    "GET /api/videos/{id}",
    "PATCH /api/videos/{id}",
    "GET /api/videos/{id}/processing-status",
    "GET /api/videos/{id}/preview",
    "GET /api/videos/{id}/thumbnails",
    "PUT /api/videos/{id}/poster",
    "GET /api/session",
    "GET /api/ws?videoIds=",
    "GET /api/events?videoIds=x",
];

impl Row {
    /// What a caller is to be answered.
    fn answer(&self, who: As) -> u16 {
        let is_everybodys = matches!(self.door, Door::Open | Door::OwnForm);
        match who {
            As::Player | As::OtherPlayer | As::BadPlayer if is_everybodys => self.ok,
            As::Granted | As::GrantedOther if is_everybodys => self.ok,
            As::Player if self.is_played() => self.ok,
            // Who listens to a video that the token isn't for hears nothing.
            As::OtherPlayer if self.is_played() && matches!(self.door, Door::Looked) => self.ok,
            As::OtherPlayer | As::BadPlayer if self.is_played() => 403,
            // It is nobody's token.
            As::Player | As::OtherPlayer | As::BadPlayer => 401,
            As::Granted | As::GrantedOther if !BY_GRANT.contains(&self.line) => 403,
            // The bytes that were sent are the owner's to read.
            As::Granted if self.line == "GET /files/{id}" => 403,
            As::Granted => self.ok,
            As::GrantedOther if matches!(self.door, Door::Looked) => self.ok,
            As::GrantedOther if self.thing != Thing::None => 404,
            // It was good for one upload.
            As::GrantedOther if self.ok == 201 => 403,
            As::GrantedOther => self.ok,
            As::OtherSite if matches!(self.door, Door::OwnForm) => 403,
            As::Pageless | As::OtherSite if self.is_act() && !is_everybodys => 403,
            As::Pageless | As::OtherSite => self.door.answer(As::Owner, self.ok),
            // Who asks who they are is told, whatever the token is for.
            As::Confined if self.line == "GET /api/session" => 200,
            who => self.door.answer(who, self.ok),
        }
    }

    /// Says whether a playback token is looked at here.
    fn is_played(&self) -> bool {
        matches!(self.door, Door::ByPlayback)
            || self.has_query_token()
            || BY_PLAYBACK.contains(&self.line)
    }

    /// Says whether a playback token stands behind the address.
    fn has_query_token(&self) -> bool {
        self.line.starts_with("GET /watch/") || self.line.starts_with("GET /embed/")
    }

    /// Says whether another site's page must not do it with somebody's session: whatever changes
    /// something, and a WebSocket, whose answers any page can read.
    fn is_act(&self) -> bool {
        let method = self.line.split(' ').next().unwrap_or_default();
        !matches!(method, "GET" | "HEAD" | "OPTIONS") || self.line.starts_with("GET /api/ws")
    }
}

/// Makes what a row is about, of `acme/ann`'s.
async fn make(rig: &Rig, ann: &str, thing: Thing) -> Made {
    const LONG_MS: u64 = 600_000;
    let mut made = Made {
        id: "01890000-0000-7000-8000-000000000000".to_owned(),
        grant: grant(rig, LONG_MS).await.0,
        playback: "slp_AAAA".to_owned(),
    };
    match thing {
        Thing::None => {}
        Thing::Video | Thing::Trash => {
            let headers = [CREATE, &[BYTES]].concat();
            let begun = rig.as_token(&made.grant, "POST /files", &headers, b"hello").await;
            assert_eq!(begun.status, 201, "{begun:?}");
            made.id = begun.header("slipway-video").to_owned();
            let video = VideoId::parse(&made.id).expect("a video's id");
            let change =
                VideoChange { visibility: Some(Visibility::Private), ..VideoChange::default() };
            rig.parts.state.change_video(video, change).await.expect("changed");
            made.playback = playback(rig, &made.id, Scope::Video(video), LONG_MS).await;
            if thing == Thing::Trash {
                let line = format!("DELETE /api/videos/{video}");
                assert_eq!(rig.as_token(ann, &line, &[], b"").await.status, 204);
            } else {
                rig.publish(video, &[("poster.jpg", b"jpeg")]).await;
            }
        }
        Thing::File => {
            let begun = rig.as_token(&made.grant, "POST /files", CREATE, b"").await;
            made.id = begun.header("location").trim_start_matches("/files/").to_owned();
        }
        Thing::Parts => {
            let line = "POST /api/videos/upload/initiate";
            let begun = rig.as_token(&made.grant, line, JSON, br#"{"size":5}"#).await;
            made.id = begun.json()["uploadId"].as_str().expect("an id").to_owned();
        }
    }
    made
}

/// Asks for a row's address as a caller.
async fn ask(rig: &Rig, row: &Row, made: &Made, caller: &Caller) -> Answer {
    let bearer = |text: &str| vec![("Authorization", format!("Bearer {text}"))];
    let mut line = row.line.to_owned();
    let playback = match &caller.shows {
        Shown::Playback(token) => Some(token.as_str()),
        Shown::ItsPlayback => Some(made.playback.as_str()),
        _ => None,
    };
    let shown = match (&caller.shows, playback) {
        (_, Some(token)) if line.contains("{token}") => {
            line = line.replace("{token}", token);
            Vec::new()
        }
        (_, Some(token)) if row.has_query_token() => {
            line = format!("{line}?token={token}");
            Vec::new()
        }
        (_, Some(token)) => bearer(token),
        (Shown::Bearer(token), None) => bearer(token),
        (Shown::ItsGrant, None) => bearer(&made.grant),
        (Shown::Session(value, page), None) => {
            let mut all = vec![("Cookie", format!("slipway_session={value}"))];
            all.extend(page.map(|page| ("Origin", page.to_owned())));
            all
        }
        (_, None) => Vec::new(),
    };
    let mut headers: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
    headers.extend_from_slice(row.headers);
    let body = row.body.replace("{id}", &made.id);
    rig.ask(&filled(&line, &made.id), &headers, body.as_bytes()).await
}

/// Each address answers everybody with a token, or with none, as it should, and what isn't theirs
/// isn't there.
#[tokio::test]
async fn tokens_get_the_right_answers() {
    right_answers(By::Token).await;
}

/// So it is with sessions, and another site's page changes nothing by them.
#[tokio::test]
async fn sessions_get_the_right_answers() {
    right_answers(By::Session).await;
}

/// So it is with JWTs, of which one claim that is wrong is enough.
#[tokio::test]
async fn jwts_get_the_right_answers() {
    right_answers(By::Jwt).await;
}

/// Playback tokens open what is to be played of their videos, and nothing else.
#[tokio::test]
async fn playback_tokens_get_the_right_answers() {
    right_answers(By::PlaybackToken).await;
}

/// Upload grants open their upload and its video, and nothing else.
#[tokio::test]
async fn grants_get_the_right_answers() {
    right_answers(By::Grant).await;
}

/// Asks for each address as everybody who calls in a way.
async fn right_answers(by: By) {
    let mut keys = None;
    let rig = Rig::start_with(|config| {
        keys = Some(trusting(config));
        config.trash_for_ms = 86_400_000;
        // One address asks for everybody.
        config.limits.requests_per_address = None;
        config.limits.media_per_address = None;
        config.limits.requests_per_token = None;
        config.limits.requests_per_owner = None;
    })
    .await;
    assert!(keys.is_some(), "the file of keys stays");
    let (callers, ann) = (callers(&rig, by).await, owner(&rig).await);
    let mut wrong = Vec::new();
    for row in ROWS {
        let mut made = make(&rig, &ann, row.thing).await;
        for caller in &callers {
            let expected = row.answer(caller.who);
            let answer = ask(&rig, row, &made, caller).await;
            if answer.status != expected {
                let (line, name) = (row.line, caller.name);
                wrong.push(format!("{line} by {name}: {} for {expected}", answer.status));
            }
            if answer.status < 400 && row.thing != Thing::None && !row.line.starts_with("GET") {
                made = make(&rig, &ann, row.thing).await;
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
