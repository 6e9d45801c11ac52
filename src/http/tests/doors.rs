//! The ways in for a file, as somebody with a token or by a grant in the address.

use super::rig::{Answer, BYTES, Rig};
use serde_json::json;

/// Says that a body is JSON.
pub(super) const JSON: (&str, &str) = ("Content-Type", "application/json");
/// Speaks tus.
pub(super) const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");

/// All ways in.
pub(super) const DOORS: [&str; 5] = ["tus", "tus with bytes", "draft", "parts", "form"];

/// How somebody says who they are.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// By a token in the header.
    Header(&'a str),
    /// By a grant before the address.
    Path(&'a str),
}

impl By<'_> {
    /// Asks for `line`: a method and an address.
    pub(super) async fn ask(
        self,
        rig: &Rig,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        match self {
            Self::Header(token) => rig.as_token(token, line, headers, body).await,
            Self::Path(grant) => {
                let (method, at) = line.split_once(' ').expect("a method and an address");
                // What an answer has told has the grant before it already.
                let prefix = format!("/g/{grant}");
                let at = at.strip_prefix(&prefix).unwrap_or(at);
                rig.ask(&format!("{method} {prefix}{at}"), headers, body).await
            }
        }
    }
}

/// Begins an upload of a file of `bytes` through a door, which some doors bring at once.
pub(super) async fn begin(rig: &Rig, by: By<'_>, door: &str, bytes: &[u8]) -> Answer {
    let length = bytes.len().to_string();
    let tus = [TUS, ("Upload-Length", length.as_str())];
    match door {
        "tus" => by.ask(rig, "POST /files", &tus, b"").await,
        "tus with bytes" => {
            by.ask(rig, "POST /files", &[tus.as_slice(), &[BYTES]].concat(), bytes).await
        }
        "tus part" => {
            let part = [tus.as_slice(), &[("Upload-Concat", "partial")]].concat();
            by.ask(rig, "POST /files", &part, b"").await
        }
        "draft" => {
            let headers = [("Upload-Complete", "?1"), ("Upload-Draft-Interop-Version", "8")];
            by.ask(rig, "POST /files", &headers, bytes).await
        }
        "parts" => {
            let body = json!({ "filename": "a.mp4", "size": bytes.len() }).to_string();
            let line = "POST /api/videos/upload/initiate";
            by.ask(rig, line, &[JSON], body.as_bytes()).await
        }
        "form" => {
            let mut body = b"--b\r\nContent-Disposition: form-data; name=\"file\"; \
                filename=\"a.mp4\"\r\n\r\n"
                .to_vec();
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n--b--\r\n");
            let form = [("Content-Type", "multipart/form-data; boundary=b")];
            by.ask(rig, "POST /api/videos", &form, &body).await
        }
        other => panic!("no door {other}"),
    }
}
