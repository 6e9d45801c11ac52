//! Names and signatures as Standard Webhooks has them.

use crate::config::HookSecret;
use crate::ids::DeliveryId;
use crate::units::UnixMillis;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns what `webhook-id` says of a delivery.
pub(super) fn name_of(id: DeliveryId) -> String {
    format!("msg_{id}")
}

/// Returns `webhook-signature`: `v1,` and the HMAC-SHA256 over id, time and body.
fn signature(secret: &HookSecret, id: &str, seconds: u64, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else { return String::new() };
    for piece in [id, ".", &seconds.to_string(), ".", body] {
        mac.update(piece.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Returns the headers of a request, with its signature if there is a secret.
pub(super) fn headers(
    secret: Option<&HookSecret>,
    id: String,
    seconds: u64,
    body: &str,
) -> Vec<(&'static str, String)> {
    let signature = secret.map(|secret| signature(secret, &id, seconds, body));
    let mut headers = vec![("webhook-id", id), ("webhook-timestamp", seconds.to_string())];
    headers.extend(signature.map(|signature| ("webhook-signature", signature)));
    headers
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
