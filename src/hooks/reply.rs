//! What a blocking hook is sent, and what its answer may say. An answer that isn't understood to
//! the last word counts as none: with a word misspelt it would let in what it was to refuse.

use crate::model::consent::{Objection, Question, Verdict};
use crate::model::video::Visibility;
use crate::model::words::VideoChange;
use crate::units::UnixMillis;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Longest answer.
pub(super) const BYTES_MAX: u64 = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    change: Option<Change>,
    refuse: Option<Refuse>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    title: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    visibility: Option<Visibility>,
    filename: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    #[serde(default = "usual_status")]
    status: u16,
    detail: String,
}

fn usual_status() -> u16 {
    Objection::STATUS
}

/// Returns what a hook is sent: an event like a webhook's.
pub(super) fn question(question: &Question, now: UnixMillis) -> String {
    let metadata: Map<String, Value> =
        question.metadata.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    json!({
        "id": question.name(),
        "type": question.moment.name(),
        "at": now.to_rfc3339(),
        "videoId": question.video.map(|video| video.to_string()),
        "data": {
            "uploadId": question.upload.to_string(),
            "owner": question.owner.0,
            "door": question.door,
            "concat": question.concat,
            "size": question.size.map(|size| size.0),
            "sha256": question.sha256,
            "createdAt": question.created_at.to_rfc3339(),
            "title": question.title,
            "description": question.description,
            "tags": question.tags,
            "visibility": question.visibility,
            "filename": question.filename,
            "sessionId": question.session,
            "metadata": metadata,
        },
    })
    .to_string()
}

/// Reads an answer. Nothing at all lets the upload go on.
///
/// # Errors
/// What is wrong with it, in a sentence that holds nothing of it but names of keys.
pub(super) fn verdict(answer: &[u8]) -> Result<Verdict, String> {
    if answer.trim_ascii().is_empty() {
        return Ok(Verdict::Go(VideoChange::default()));
    }
    // The reader's own sentence may quote what was said.
    let at = |error: serde_json::Error| {
        let (line, column) = (error.line(), error.column());
        format!("its answer isn't what a hook may say (line {line}, column {column})")
    };
    let said: Said = serde_json::from_slice(answer).map_err(at)?;
    match (said.refuse, said.change) {
        (Some(_), Some(_)) => Err("it refuses and changes at once".to_owned()),
        (Some(refuse), None) => objection(refuse).map(Verdict::No),
        (None, None) => Ok(Verdict::Go(VideoChange::default())),
        (None, Some(Change { title, description, tags, visibility, filename })) => {
            let change =
                VideoChange { title, description, tags, visibility, filename, session: None };
            change.checked().map(Verdict::Go).map_err(|unfit| unfit.to_string())
        }
    }
}

fn objection(Refuse { status, detail }: Refuse) -> Result<Objection, String> {
    if !Objection::STATUSES.contains(&status) {
        let known = Objection::STATUSES.map(|status| status.to_string()).join(", ");
        return Err(format!("it refuses with {status}; it may with {known}"));
    }
    let detail = detail.trim().to_owned();
    let is_fine = (1..=Objection::DETAIL_CHARS_MAX).contains(&detail.chars().count())
        && !detail.chars().any(char::is_control);
    match is_fine {
        true => Ok(Objection { status, detail }),
        false => Err("`detail` is a sentence of 1 to 500 characters".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers are read to the last word, and what isn't understood lets nothing in.
    #[test]
    fn answers_are_read_to_the_last_word() {
        let go = |change| Ok(Verdict::Go(change));
        for nothing in ["", " \n", "{}", "{\"change\": {}}", "{\"change\": null}"] {
            assert_eq!(verdict(nothing.as_bytes()), go(VideoChange::default()), "{nothing}");
        }
        let change = VideoChange {
            title: Some("A day".to_owned()),
            tags: Some(vec!["sea".to_owned()]),
            visibility: Some(Visibility::Private),
            filename: Some("b.mp4".to_owned()),
            ..VideoChange::default()
        };
        let said = r#"{"change": {"title": " A day ", "tags": ["sea", "sea"],
            "visibility": "private", "filename": "/etc/b.mp4"}}"#;
        assert_eq!(verdict(said.as_bytes()), go(change));
        let no =
            |status, detail: &str| Ok(Verdict::No(Objection { status, detail: detail.into() }));
        assert_eq!(verdict(br#"{"refuse": {"detail": "No."}}"#), no(403, "No."));
        assert_eq!(verdict(br#"{"refuse": {"status": 422, "detail": "No."}}"#), no(422, "No."));
        let long = format!(r#"{{"refuse": {{"detail": "{}"}}}}"#, "x".repeat(501));
        for lie in [
            "no",
            "[]",
            "<html>",
            "true",
            "{\"refused\": {}}",
            "{\"refuse\": true}",
            "{\"refuse\": {}}",
            "{\"refuse\": {\"detail\": \"\"}}",
            "{\"refuse\": {\"detail\": \"a\\nb\"}}",
            "{\"refuse\": {\"detail\": \"a\", \"status\": 401}}",
            "{\"refuse\": {\"detail\": \"a\", \"status\": 200}}",
            "{\"refuse\": {\"detail\": \"a\"}, \"change\": {}}",
            "{\"change\": {\"titel\": \"a\"}}",
            "{\"change\": {\"title\": \" \"}}",
            "{\"change\": {\"tags\": \"a\"}}",
            "{\"change\": {\"visibility\": \"secret\"}}",
            "{} {}",
            &long,
        ] {
            assert!(verdict(lie.as_bytes()).is_err(), "{lie}");
        }
    }
}
