//! Every door that an upload can come through, from its first request to its last.

use crate::harness::{Answer, Server, base64, sha256};
use serde_json::json;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PIECE: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// A door.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    Tus,
    TusWithUpload,
    TusEmpty,
    Concat,
    Draft,
    DraftInTwo,
    Chunks,
    ChunkForm,
    Form,
    FormWordsLast,
}

pub const ALL: [Door; 10] = [
    Door::Tus,
    Door::TusWithUpload,
    Door::TusEmpty,
    Door::Concat,
    Door::Draft,
    Door::DraftInTwo,
    Door::Chunks,
    Door::ChunkForm,
    Door::Form,
    Door::FormWordsLast,
];

/// What came of an upload: the last answer, the address where its client would look for it, and
/// its video.
#[derive(Debug)]
pub struct Sent {
    pub answer: Answer,
    pub at: Option<String>,
    pub video: Option<String>,
}

impl Door {
    /// How often somebody is asked before something begins: parts count by themselves.
    pub fn begun(self) -> usize {
        match self {
            Self::Concat => 3,
            _ => 1,
        }
    }

    /// Sends `bytes` under the title "Mine", until a request is refused.
    pub fn send(self, server: &Server, bytes: &[u8]) -> Sent {
        match self {
            Self::Tus => tus(server, bytes, false),
            Self::TusWithUpload => tus(server, bytes, true),
            Self::TusEmpty => tus(server, b"", false),
            Self::Concat => concat(server, bytes),
            Self::Draft => draft(server, bytes, false),
            Self::DraftInTwo => draft(server, bytes, true),
            Self::Chunks => chunks(server, bytes, false),
            Self::ChunkForm => chunks(server, bytes, true),
            Self::Form => form(server, bytes, true),
            Self::FormWordsLast => form(server, bytes, false),
        }
    }

    /// The request that its client makes when the last one has failed and the upload is still
    /// there: an answer below 300 says that it is finished.
    pub fn retry(self, server: &Server, sent: &Sent) -> Answer {
        let at = sent.at.as_deref().expect("it is known");
        match self {
            Self::Draft | Self::DraftInTwo => server.send("HEAD", at, &[DRAFT], b""),
            Self::Chunks | Self::ChunkForm => complete(server, at),
            _ => server.send("HEAD", at, &[TUS], b""),
        }
    }
}

const DRAFT: (&str, &str) = ("Upload-Draft-Interop-Version", "8");

fn words() -> String {
    format!("filename {},title {},colour {}", base64("a.bin"), base64("Mine"), base64("red"))
}

fn sent(answer: Answer) -> Sent {
    let text = |name: &str| Some(answer.header(name).to_owned()).filter(|it| !it.is_empty());
    let (at, video) = (text("location"), text("slipway-video"));
    Sent { answer, at, video }
}

fn tus(server: &Server, bytes: &[u8], at_once: bool) -> Sent {
    let (length, words) = (bytes.len().to_string(), words());
    let mut headers = vec![TUS, ("Upload-Length", &length), ("Upload-Metadata", &words)];
    if at_once {
        headers.push(PIECE);
        return sent(server.send("POST", "/files", &headers, bytes));
    }
    let begun = sent(server.send("POST", "/files", &headers, b""));
    match &begun.at {
        Some(at) if !bytes.is_empty() => Sent { answer: server.patch(at, 0, bytes), ..begun },
        _ => begun,
    }
}

fn concat(server: &Server, bytes: &[u8]) -> Sent {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut parts = Vec::new();
    for part in [first, second] {
        let length = part.len().to_string();
        let headers = [TUS, PIECE, ("Upload-Concat", "partial"), ("Upload-Length", &length)];
        let begun = sent(server.send("POST", "/files", &headers, part));
        match begun.at {
            Some(at) if begun.answer.status == 201 => parts.push(at),
            _ => return begun,
        }
    }
    let (concat, words) = (format!("final;{}", parts.join(" ")), words());
    let headers = [TUS, ("Upload-Concat", concat.as_str()), ("Upload-Metadata", words.as_str())];
    sent(server.send("POST", "/files", &headers, b""))
}

fn draft(server: &Server, bytes: &[u8], in_two: bool) -> Sent {
    let words = words();
    let (first, rest) = bytes.split_at(if in_two { bytes.len() / 3 } else { bytes.len() });
    let last = if in_two { "?0" } else { "?1" };
    let headers = [DRAFT, ("Upload-Complete", last), ("Upload-Metadata", words.as_str())];
    let begun = sent(server.send("POST", "/files", &headers, first));
    match &begun.at {
        Some(at) if in_two && begun.answer.status == 201 => {
            let offset = first.len().to_string();
            let kind = ("Content-Type", "application/partial-upload");
            let headers = [DRAFT, kind, ("Upload-Complete", "?1"), ("Upload-Offset", &offset)];
            Sent { answer: server.send("PATCH", at, &headers, rest), ..begun }
        }
        _ => begun,
    }
}

fn chunks(server: &Server, bytes: &[u8], in_form: bool) -> Sent {
    let said = json!({"filename": "a.bin", "title": "Mine", "size": bytes.len(),
        "sha256": sha256(bytes)});
    let path = "/api/videos/upload/initiate";
    let answer = server.send("POST", path, &[JSON], said.to_string().as_bytes());
    if answer.status != 201 {
        return Sent { answer, at: None, video: None };
    }
    let of = |key: &str| answer.json()[key].as_str().expect("an id").to_owned();
    let (id, video) = (of("uploadId"), of("videoId"));
    let put = match in_form {
        false => server.send("PUT", &format!("/api/videos/upload/{id}/parts/0"), &[], bytes),
        true => {
            let fields = [("uploadId", id.as_str()), ("chunkIndex", "0")];
            send_form(server, "/api/videos/upload/chunk", &fields, ("chunk", bytes), &[])
        }
    };
    assert_eq!(put.status, 200, "{}", put.text());
    Sent { answer: complete(server, &id), at: Some(id), video: Some(video) }
}

fn complete(server: &Server, id: &str) -> Answer {
    let said = json!({"uploadId": id}).to_string();
    server.send("POST", "/api/videos/upload/complete", &[JSON], said.as_bytes())
}

fn form(server: &Server, bytes: &[u8], words_first: bool) -> Sent {
    let title = [("title", "Mine")];
    let (before, after) = if words_first { (&title[..], &[][..]) } else { (&[][..], &title[..]) };
    let answer = send_form(server, "/api/videos", before, ("file", bytes), after);
    let is_made = answer.status == 201;
    let video = is_made.then(|| answer.json()["videoId"].as_str().expect("an id").to_owned());
    Sent { answer, at: None, video }
}

fn send_form(
    server: &Server,
    path: &str,
    before: &[(&str, &str)],
    (file, bytes): (&str, &[u8]),
    after: &[(&str, &str)],
) -> Answer {
    let field = |&(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let mut body: Vec<u8> = before.iter().map(field).collect::<String>().into_bytes();
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"{file}\"; filename=\"a.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(after.iter().map(field).collect::<String>().as_bytes());
    body.extend_from_slice(b"--b--\r\n");
    server.send("POST", path, &[("Content-Type", "multipart/form-data; boundary=b")], &body)
}
