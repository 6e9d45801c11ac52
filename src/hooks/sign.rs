//! Signatures and bodies as Standard Webhooks has them.

use crate::config::HookSecret;
use crate::ids::DeliveryId;
use crate::model::hook::{Subject, VideoNews, Whereabouts};
use crate::state::DeliveryRecord;
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Returns what `webhook-id` says of a delivery.
pub(super) fn name_of(id: DeliveryId) -> String {
    format!("msg_{id}")
}

/// Returns `webhook-signature`: `v1,` and the HMAC-SHA256 over id, time and body.
pub(super) fn signature(secret: &HookSecret, id: &str, seconds: u64, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else { return String::new() };
    for piece in [id, ".", &seconds.to_string(), ".", body] {
        mac.update(piece.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Returns the body of a delivery; it is the same at each attempt.
pub(super) fn body(row: &DeliveryRecord) -> String {
    let (video, data) = match &row.subject {
        Subject::Video(news) => (Some(news.video.to_string()), video_data(news)),
        Subject::Disk { free, total, reserve } => {
            (None, json!({ "freeBytes": free.0, "totalBytes": total.0, "reserveBytes": reserve.0 }))
        }
        Subject::Test => (None, json!({})),
    };
    json!({
        "id": name_of(row.id),
        "type": row.event.name(),
        "at": row.at.to_rfc3339(),
        "videoId": video,
        "data": data,
    })
    .to_string()
}

fn video_data(news: &VideoNews) -> Value {
    let state = match news.whereabouts {
        Whereabouts::Here => json!(news.state),
        Whereabouts::Trashed => json!("trashed"),
        Whereabouts::Deleted => json!("deleted"),
    };
    let error = news.problem.as_ref().map(|problem| {
        json!({ "code": problem.code, "title": problem.code.title(), "detail": problem.detail })
    });
    json!({
        "uploadId": news.upload.map(|upload| upload.to_string()),
        "owner": news.owner.0,
        "state": state,
        "playable": news.playable,
        "visibility": news.visibility,
        "title": news.title,
        "filename": news.filename,
        "sessionId": news.session,
        "size": news.size.0,
        "duration": news.duration,
        "error": error,
    })
}

/// Returns the present moment as `webhook-timestamp` has it.
pub(super) fn seconds(now: UnixMillis) -> u64 {
    now.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own test suite.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let secret = HookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = r#"{"test": 2432232314}"#;
        let said = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(said, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
