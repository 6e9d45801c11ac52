//! `/api/videos/{id}/playback-token`: tokens with which somebody without an account plays a video,
//! and their end.

use super::problem::{Code, Problem};
use super::routes::table;
use super::ticket::by_token;
use super::views::PlaybackView;
use super::{Shared, body, translate, videos};
use crate::access::{self, Denied, HOSTS_MAX, Wanted};
use crate::config::Network;
use crate::model::access::{Role, Viewer};
use crate::state::VideoRecord;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type App = web::Data<Shared>;
type Answer = Result<HttpResponse, Problem>;

table! { "videos";
    "/api/videos/{id}/playback-token" => post(create);
    "/api/videos/{id}/playback-tokens/revoke" => post(revoke);
}

/// What a playback token is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewPlaybackToken)]
struct Asked {
    /// Seconds; `playback.default_expiry` if nothing is said.
    expires_in: Option<f64>,
    /// An address, or a network such as `203.0.113.0/24`: the token is good from there alone.
    ip: Option<String>,
    /// Hosts (`app.example`, `*.app.example`): the token is good on their pages alone.
    #[serde(default)]
    referrers: Vec<String>,
    #[serde(default)]
    scope: Scope,
}

/// What it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PlaybackScope)]
enum Scope {
    /// This video.
    #[default]
    Video,
    /// All videos of its owner; for admins.
    Owner,
    /// All videos of its owner's organisation; for admins.
    Organisation,
}

/// A playback token, and what can be done with it. An address is null until something answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlaybackToken)]
struct Made {
    token: String,
    expires_at: String,
    hls_url: Option<String>,
    dash_url: Option<String>,
    mp4_url: Option<String>,
    poster_url: Option<String>,
    watch_url: String,
    embed_url: String,
}

/// From when on older tokens don't count.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RevokedPlayback)]
struct Revoked {
    revoked_at: String,
}

/// Makes a token with which anybody plays a video, for a time.
#[utoipa::path(post, path = "/api/videos/{id}/playback-token", operation_id = "makePlaybackToken",
    request_body = Option<Asked>,
    responses((status = 200, body = Made, description = "The token, and addresses with it")))]
async fn create(
    req: HttpRequest,
    app: App,
    id: web::Path<String>,
    payload: web::Payload,
) -> Answer {
    let (video, viewer) = videos::held(&req, &app, &id).await?;
    let asked = body::json_or_nothing(&req, payload).await?;
    let wanted = wanted(&asked, &app, &video, &viewer)?;
    let made = app.parts.access.playback_token(wanted, &video).await;
    let (token, ticket) = made.map_err(|denied| match denied {
        Denied::Invalid => invalid("scope", "the owner's name is too long for a token"),
        Denied::State(error) => translate::state(error),
    })?;
    let at = PlaybackView::of(&video, None).to(|url| by_token(&token, url));
    let page = |kind: &str| format!("/{kind}/{}?token={token}", video.id);
    Ok(videos::answer(Made {
        expires_at: ticket.until.to_rfc3339(),
        hls_url: at.hls,
        dash_url: at.dash,
        mp4_url: at.mp4,
        poster_url: at.poster,
        watch_url: page("watch"),
        embed_url: page("embed"),
        token,
    }))
}

/// Reads what is asked for, within what this caller may ask for.
fn wanted(
    asked: &Asked,
    app: &App,
    video: &VideoRecord,
    viewer: &Viewer,
) -> Result<Wanted, Problem> {
    let limits = app.parts.config.playback;
    let for_ms = match asked.expires_in {
        None => limits.default_expiry_ms,
        Some(seconds) if seconds >= 1.0 && seconds * 1e3 <= limits.max_expiry_ms as f64 => {
            (seconds * 1e3) as u64
        }
        Some(_) => {
            let most = limits.max_expiry_ms / 1000;
            return Err(invalid("expiresIn", &format!("it is a number of seconds, 1 to {most}")));
        }
    };
    let network = asked.ip.as_deref().map(|text| {
        let mend = "it is an address or a network such as `203.0.113.0/24`";
        text.parse::<Network>().map_err(|()| invalid("ip", mend))
    });
    let mend = format!(
        "it lists at most {HOSTS_MAX} hosts such as `app.example` or `*.app.example`, without \
         `https://`"
    );
    let hosts: Option<Vec<String>> =
        asked.referrers.iter().map(|text| access::parse_host(text)).collect();
    let hosts = hosts.filter(|hosts| hosts.len() <= HOSTS_MAX);
    let scope = match asked.scope {
        Scope::Video => access::Scope::Video(video.id),
        _ if viewer.role < Role::Admin => {
            let detail = "Only admins make tokens for more than one video.";
            return Err(Problem::new(Code::Forbidden, detail).field("scope"));
        }
        Scope::Owner => access::Scope::Owner(video.owner.clone()),
        Scope::Organisation => {
            let name = video.owner.org();
            let name = name.ok_or_else(|| invalid("scope", "the owner has no organisation"))?;
            access::Scope::Organisation(name.to_owned())
        }
    };
    Ok(Wanted {
        early: asked.scope == Scope::Video && viewer.owner == video.owner,
        scope,
        for_ms,
        network: network.transpose()?,
        hosts: hosts.ok_or_else(|| invalid("referrers", &mend))?,
    })
}

fn invalid(field: &'static str, rule: &str) -> Problem {
    Problem::new(Code::InvalidRequest, format!("`{field}`: {rule}.")).field(field)
}

/// Ends all playback tokens that were made so far, for this video.
#[utoipa::path(post, path = "/api/videos/{id}/playback-tokens/revoke",
    operation_id = "revokePlaybackTokens",
    responses((status = 200, body = Revoked, description = "No token made before counts for it")))]
async fn revoke(req: HttpRequest, app: App, id: web::Path<String>) -> Answer {
    let (video, _) = videos::held(&req, &app, &id).await?;
    let now = app.parts.clock.now();
    let revoked = app.parts.state.revoke_playback(video.id, now).await.map_err(translate::state)?;
    let at = revoked.playback_revoked_at.unwrap_or(now);
    Ok(videos::answer(Revoked { revoked_at: at.to_rfc3339() }))
}
