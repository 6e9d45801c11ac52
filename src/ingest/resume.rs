//! Where a file begins: at an upload that is half done, at nothing, or not at all.
//!
//! Names and sizes only suggest an upload; what decides are the sums of all that has arrived.

use super::client::{CallError, Client};
use super::report::{FileError, Reported, State};
use super::retry::Stop;
use super::screen::FileBar;
use super::source::{Source, Sum, hex};
use super::{IngestError, Run};
use crate::model::name::display_name;
use crate::model::upload::Chunks;
use crate::units::ByteCount;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// As many uploads one answer lists; there may be more.
const LISTED_MAX: usize = 1_000;

/// Who holds it looks for an upload.
type Turn = Arc<Mutex<()>>;

/// What the server told of this caller's uploads, and which of them are taken.
pub(super) struct Memory {
    /// All of them, unless they are too many for one answer.
    listed: Option<Vec<Listed>>,
    claimed: Mutex<HashSet<String>>,
    /// One lock for files of the same name and size, which could take each other's upload.
    namesakes: Mutex<HashMap<(String, u64), Turn>>,
}

/// An upload as the list has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    upload_id: String,
    video_id: Option<String>,
    state: String,
    filename: String,
    size: Option<u64>,
    session_id: Option<String>,
    url: String,
}

/// An upload with its parts.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its id.
    pub(super) upload: String,
    /// Its video.
    pub(super) video: String,
    /// How it is cut.
    pub(super) chunks: Chunks,
    /// The sums of the parts that are there.
    pub(super) there: Vec<Option<Sum>>,
}

impl Begun {
    /// Returns where its parts are sent and its state is asked.
    pub(super) fn path(&self) -> String {
        format!("/api/videos/upload/{}", self.upload)
    }
}

/// Where a file begins.
pub(super) enum Start {
    /// With parts to be sent.
    At(Begun),
    /// It is there already.
    There(Reported),
}

impl Memory {
    /// Asks for the caller's uploads.
    pub(super) fn ask(client: &Client) -> Result<Self, IngestError> {
        let listed = list(client, &Stop::default(), "/api/uploads");
        let listed = listed.map_err(|cause| IngestError::Refused(cause.to_string()))?;
        let listed = Some(listed).filter(|listed| listed.len() < LISTED_MAX);
        Ok(Self { listed, claimed: Mutex::default(), namesakes: Mutex::default() })
    }

    /// Returns uploads that could be this file's, finished ones first.
    fn candidates(&self, run: &Run, name: &str, size: u64) -> Result<Vec<Listed>, CallError> {
        let mut found = match &self.listed {
            Some(listed) => listed.clone(),
            None => {
                let path = format!("/api/uploads?filename={}", encoded(name));
                list(&run.client, &run.hopeless, &path)?
            }
        };
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let session = &run.order.words.session;
        found.retain(|it| {
            let is_done = it.state == "finished";
            let is_open = matches!(it.state.as_str(), "partial" | "finishing");
            let fits =
                is_done && !run.order.again || is_open && it.url.starts_with("/api/videos/upload/");
            fits && it.filename == name
                && it.size == Some(size)
                && (session.is_none() || it.session_id == *session)
                && !claimed.contains(&it.upload_id)
        });
        found.sort_by_key(|it| it.state != "finished");
        Ok(found)
    }

    fn claim(&self, upload: &str) {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.insert(upload.to_owned());
    }

    fn namesake(&self, name: &str, size: u64) -> Turn {
        let mut namesakes = self.namesakes.lock().unwrap_or_else(PoisonError::into_inner);
        namesakes.entry((name.to_owned(), size)).or_default().clone()
    }
}

/// Finds the upload of a file, or begins one. `afresh`: in any case begins one.
pub(super) fn begin(
    run: &Run,
    source: &Source,
    bar: &FileBar<'_>,
    afresh: bool,
) -> Result<Start, FileError> {
    let given = source.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (name, size) = (display_name(&given), source.size());
    let namesake = run.memory.namesake(&name, size);
    let _alone = namesake.lock().unwrap_or_else(PoisonError::into_inner);
    if !afresh {
        let candidates = run.memory.candidates(run, &name, size)?;
        if !candidates.is_empty() {
            bar.phase("comparing with what is there");
        }
        let start = earlier(run, source, bar, &candidates)?;
        bar.phase("");
        if let Some(start) = start {
            return Ok(start);
        }
        if candidates.iter().any(|it| it.state != "finished") {
            run.screen.note(&format!("{name}: an unfinished upload of this name has other bytes"));
        }
    }
    let words = &run.order.words;
    let said = json!({
        "filename": given, "size": size, "title": words.title, "tags": words.tags.join(","),
        "visibility": words.visibility, "sessionId": words.session,
        // In one part nothing could go ahead, and nothing side by side.
        "chunkSize": run.part_size,
    });
    let path = "/api/videos/upload/initiate";
    let begun = run.client.ask(&run.hopeless, "POST", path, Some(&said))?;
    let begun = read_begun(&begun).ok_or_else(strange)?;
    run.memory.claim(&begun.upload);
    Ok(Start::At(begun))
}

/// Looks for an upload of just this file.
fn earlier(
    run: &Run,
    source: &Source,
    bar: &FileBar<'_>,
    candidates: &[Listed],
) -> Result<Option<Start>, FileError> {
    let mut whole = None;
    for it in candidates {
        let Some(video) = it.video_id.clone() else { continue };
        if it.state == "finished" {
            let Some(known) = sum_of(run, &video)? else { continue };
            if whole.is_none() {
                let sum = source.sum((0, source.size())).map_err(FileError::Read)?;
                whole = Some(hex(&sum));
            }
            if whole.as_ref() == Some(&known) {
                run.memory.claim(&it.upload_id);
                run.screen.note(&format!("{}: it is there already", it.filename));
                bar.skip(source.size());
                let (size, sha256) = (source.size(), known);
                let there = Reported { video, size, sent: 0, sha256, state: State::There };
                return Ok(Some(Start::There(there)));
            }
        } else if let Some(begun) = compared(run, source, it)? {
            run.memory.claim(&it.upload_id);
            change_words(run, &begun)?;
            let bytes = begun.bytes_there(source.size());
            bar.skip(bytes);
            let share = bytes * 100 / source.size().max(1);
            run.screen.note(&format!("{}: goes on, {share} % are there", it.filename));
            return Ok(Some(Start::At(begun)));
        }
    }
    Ok(None)
}

/// Returns the SHA-256 of a video's original, if it is known; none for one that was deleted.
fn sum_of(run: &Run, video: &str) -> Result<Option<String>, CallError> {
    match run.client.ask(&run.hopeless, "GET", &format!("/api/videos/{video}"), None) {
        Ok(it) => Ok(it["sha256"].as_str().map(str::to_owned)),
        Err(cause) if matches!(cause.status(), 404 | 410) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Returns the upload if all that has arrived of it is in this file at the same place.
fn compared(run: &Run, source: &Source, it: &Listed) -> Result<Option<Begun>, FileError> {
    let path = format!("/api/videos/upload/{}?parts=true", it.upload_id);
    let status = match run.client.ask(&run.hopeless, "GET", &path, None) {
        Ok(status) => status,
        Err(cause) if matches!(cause.status(), 404 | 410) => return Ok(None),
        Err(cause) => return Err(cause.into()),
    };
    let Some(mut begun) = read_begun(&status) else { return Ok(None) };
    let length = ByteCount(source.size());
    let missing: HashSet<u64> = numbers(&status["missingChunks"]).collect();
    let told: HashMap<u64, String> = etags(&status["parts"]).collect();
    for index in 0..begun.chunks.count(length) {
        let number = u64::from(index);
        let Some((start, end)) = begun.chunks.bounds(index, length) else { return Ok(None) };
        if missing.contains(&number) {
            continue;
        }
        let sum = source.sum((start.0, end.0)).map_err(FileError::Read)?;
        if told.get(&number) != Some(&hex(&sum)) {
            return Ok(None);
        }
        if let Some(place) = begun.there.get_mut(index as usize) {
            *place = Some(sum);
        }
    }
    Ok(Some(begun))
}

/// Gives an upload that was begun earlier the words of this run.
fn change_words(run: &Run, begun: &Begun) -> Result<(), CallError> {
    let words = &run.order.words;
    let mut change = serde_json::Map::new();
    if let Some(title) = &words.title {
        change.insert("title".into(), json!(title));
    }
    if !words.tags.is_empty() {
        change.insert("tags".into(), json!(words.tags));
    }
    if let Some(visibility) = &words.visibility {
        change.insert("visibility".into(), json!(visibility));
    }
    if !change.is_empty() {
        let path = format!("/api/videos/{}", begun.video);
        run.client.ask(&run.hopeless, "PATCH", &path, Some(&Value::Object(change)))?;
    }
    Ok(())
}

impl Begun {
    fn bytes_there(&self, size: u64) -> u64 {
        let indexes = (0u32..).zip(&self.there).filter(|(_, sum)| sum.is_some());
        let bounds = indexes.filter_map(|(index, _)| self.chunks.bounds(index, ByteCount(size)));
        bounds.map(|(start, end)| end.0 - start.0).sum()
    }
}

/// Reads the answer to `initiate`, or a status.
fn read_begun(said: &Value) -> Option<Begun> {
    let size = said["chunkSize"].as_u64().filter(|&size| size > 0)?;
    let total = usize::try_from(said["totalChunks"].as_u64()?).ok()?;
    Some(Begun {
        upload: said["uploadId"].as_str()?.to_owned(),
        video: said["videoId"].as_str()?.to_owned(),
        chunks: Chunks { size: ByteCount(size), sha256: None },
        there: vec![None; total.min(crate::model::upload::CHUNKS_MAX as usize)],
    })
}

fn list(client: &Client, stop: &Stop, path: &str) -> Result<Vec<Listed>, CallError> {
    let mut said = client.ask(stop, "GET", path, None)?;
    // What can't be read can't be gone on with.
    Ok(serde_json::from_value(said["items"].take()).unwrap_or_default())
}

/// Reads a list of numbers.
pub(super) fn numbers(list: &Value) -> impl Iterator<Item = u64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_u64)
}

fn etags(list: &Value) -> impl Iterator<Item = (u64, String)> {
    let parts = list.as_array().into_iter().flatten();
    parts.filter_map(|part| {
        Some((part["index"].as_u64()?, part["etag"].as_str()?.trim_matches('"').to_owned()))
    })
}

/// The answer can be read and says nothing that is expected.
pub(super) fn strange() -> FileError {
    FileError::Unfit("the server's answer can't be understood; is it another version?".to_owned())
}

/// Writes text as a value in an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of every kind come through an address.
    #[test]
    fn names_in_addresses() {
        assert_eq!(encoded("a-b_1.mp4"), "a-b_1.mp4");
        assert_eq!(encoded("Grü & 1=2%.mov"), "Gr%C3%BC%20%26%201%3D2%25.mov");
    }

    /// Answers without what is needed are no beginning.
    #[test]
    fn answers_are_read_carefully() {
        let good = json!({"uploadId": "u", "videoId": "v", "chunkSize": 4, "totalChunks": 3});
        let begun = read_begun(&good).expect("all is there");
        assert_eq!((begun.there.len(), begun.path().as_str()), (3, "/api/videos/upload/u"));
        for key in ["uploadId", "videoId", "chunkSize", "totalChunks"] {
            let mut bad = good.clone();
            bad[key] = Value::Null;
            assert!(read_begun(&bad).is_none(), "{key}");
        }
        assert!(read_begun(&json!({"chunkSize": 0})).is_none());
        let parts = json!([{"index": 1, "etag": "\"ab\""}, {"index": "x"}]);
        assert_eq!(etags(&parts).collect::<Vec<_>>(), [(1, "ab".to_owned())]);
    }
}
