//! What goes into the audit log: found out here for every request, from its address and answer.
//!
//! One table says which addresses are noted, and as what; one that changes something and isn't in
//! it fails the tests. Handlers add only what can't be seen from outside.

use super::{Shared, guard};
use crate::access::Caller;
use crate::ids::VideoId;
use crate::model::deed::{Action, Deed, Outcome, Way};
use actix_web::body::BoxBody;
use actix_web::http::Method;
use actix_web::http::header::RANGE;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};

/// Addresses that change something or give away originals, and what they are to the log. Nothing:
/// what is a step of something else, or looks only.
const ROWS: &[(&str, &str, Option<Action>)] = &[
    ("POST", "/login", Some(Action::Login)),
    ("POST", "/logout", Some(Action::Logout)),
    ("POST", "/files", Some(Action::UploadBegun)),
    ("PUT", "/files", Some(Action::UploadBegun)),
    ("PATCH", "/files/{id}", None),
    ("PUT", "/files/{id}", None),
    ("POST", "/files/{id}", None),
    ("DELETE", "/files/{id}", Some(Action::UploadEnded)),
    ("POST", "/api/videos", Some(Action::UploadBegun)),
    ("POST", "/api/videos/upload/initiate", Some(Action::UploadBegun)),
    ("POST", "/api/videos/upload/chunk", None),
    ("POST", "/api/videos/upload/complete", None),
    ("POST", "/api/videos/upload/{id}/part-urls", None),
    ("PUT", "/api/videos/upload/{id}/parts/{index}", None),
    ("DELETE", "/api/videos/upload/{id}", Some(Action::UploadEnded)),
    ("GET", "/api/videos/{id}/original", Some(Action::OriginalFetched)),
    ("PATCH", "/api/videos/{id}", Some(Action::VideoChanged)),
    ("PUT", "/api/videos/{id}/poster", Some(Action::VideoChanged)),
    ("PUT", "/api/videos/{id}/captions/{lang}", Some(Action::VideoChanged)),
    ("DELETE", "/api/videos/{id}/captions/{lang}", Some(Action::VideoChanged)),
    ("POST", "/api/videos/{id}/playback-token", Some(Action::PlaybackGranted)),
    ("POST", "/api/videos/{id}/playback-tokens/revoke", Some(Action::PlaybackRevoked)),
    ("DELETE", "/api/videos/{id}", Some(Action::VideoDeleted)),
    ("POST", "/api/videos/{id}/restore", Some(Action::VideoRestored)),
    ("POST", "/api/videos/{id}/retry-processing", Some(Action::WorkRetried)),
    ("POST", "/api/videos/{id}/cancel-processing", Some(Action::WorkCancelled)),
    ("PUT", "/api/videos/{id}/priority", Some(Action::PrioritySet)),
    ("PUT", "/api/admin/queue", Some(Action::QueueSteered)),
    ("POST", "/api/admin/cleanup", Some(Action::Cleaned)),
    ("POST", "/api/admin/webhooks/test", Some(Action::WebhooksTested)),
    ("POST", "/api/admin/webhooks/deliveries/{id}/retry", Some(Action::WebhookRetried)),
    ("POST", "/api/admin/tokens", Some(Action::TokenMade)),
    ("DELETE", "/api/admin/tokens/{id}", Some(Action::TokenEnded)),
    ("POST", "/api/admin/users", Some(Action::AccountMade)),
    ("PATCH", "/api/admin/users/{id}", Some(Action::AccountChanged)),
    ("DELETE", "/api/admin/users/{id}", Some(Action::AccountEnded)),
    ("POST", "/api/me/password", Some(Action::PasswordChanged)),
    ("DELETE", "/api/me/sessions", Some(Action::Logout)),
    ("DELETE", "/api/me/sessions/{id}", Some(Action::Logout)),
    ("POST", "/api/upload-grants", Some(Action::GrantMade)),
    ("DELETE", "/api/upload-grants/{id}", Some(Action::GrantEnded)),
];

/// What a request tells the log besides its address.
#[derive(Clone, Default)]
struct Said {
    actor: Option<String>,
    token: Option<String>,
    action: Option<Action>,
    outcome: Option<Outcome>,
}

fn say(req: &HttpRequest, change: impl FnOnce(&mut Said)) {
    let mut extensions = req.extensions_mut();
    match extensions.get_mut::<Said>() {
        Some(said) => change(said),
        None => {
            let mut said = Said::default();
            change(&mut said);
            extensions.insert(said);
        }
    }
}

/// Tells who makes the request.
pub(super) fn by(req: &HttpRequest, caller: &Caller) {
    say(req, |said| {
        said.actor = Some(caller.viewer.owner.0.clone());
        let by_grant = || caller.grant.map(|id| id.to_string());
        said.token = caller.token.map(|id| id.to_string()).or_else(by_grant);
    });
}

/// Tells what the request turned out to be.
pub(super) fn as_action(req: &HttpRequest, action: Action) {
    say(req, |said| said.action = Some(action));
}

/// Tells how it ended, where the answer's status doesn't.
pub(super) fn ended(req: &HttpRequest, outcome: Outcome) {
    say(req, |said| said.outcome = Some(outcome));
}

/// Notes an answered request, if it is one of those that are.
pub(super) fn note(req: &HttpRequest, method: &Method, answer: &HttpResponse<BoxBody>) {
    let pattern = req.match_pattern().unwrap_or_default();
    let row = ROWS.iter().find(|(of, at, _)| *of == method.as_str() && *at == pattern);
    let Some(&(.., Some(usual))) = row else { return };
    let Some(app) = req.app_data::<web::Data<Shared>>() else { return };
    let said = req.extensions().get::<Said>().cloned().unwrap_or_default();
    let Some(outcome) = said.outcome.or_else(|| outcome_of(answer)) else { return };
    let action = said.action.unwrap_or(usual);
    if action == Action::OriginalFetched && !is_beginning(req) {
        return;
    }
    let deed = Deed::new(Way::Http, action, app.parts.clock.now());
    app.parts.trail.note(Deed {
        actor: said.actor,
        token: said.token,
        address: guard::client_address(req, &app.parts.config),
        object: object_of(req, answer),
        outcome,
        ..deed
    });
}

/// Returns how a request ended; nothing if it made no sense.
fn outcome_of(answer: &HttpResponse<BoxBody>) -> Option<Outcome> {
    match answer.status().as_u16() {
        ..=399 => Some(Outcome::Done),
        401 | 403 | 404 | 429 => Some(Outcome::Refused),
        500.. => Some(Outcome::Failed),
        _ => None,
    }
}

/// Players and clients that go on ask for many pieces of one file: the first one counts.
fn is_beginning(req: &HttpRequest) -> bool {
    let range = req.headers().get(RANGE).and_then(|range| range.to_str().ok());
    range.is_none_or(|range| range.trim_start().starts_with("bytes=0-"))
}

/// Returns what the request is about: what its address names, or what was made.
fn object_of(req: &HttpRequest, answer: &HttpResponse<BoxBody>) -> Option<String> {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let made = header("location").and_then(|at| at.rsplit('/').next());
    let names = [header("slipway-video"), req.match_info().get("id"), made];
    // Whatever else a client writes into an address isn't for the log.
    let id = names.into_iter().flatten().find(|name| VideoId::parse(name).is_ok());
    id.map(str::to_owned)
}

/// Says whether an address is in the table.
#[cfg(test)]
pub(super) fn knows(method: &str, address: &str) -> bool {
    ROWS.iter().any(|(of, at, _)| of.eq_ignore_ascii_case(method) && *at == address)
}
