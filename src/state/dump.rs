//! All that the database holds, at one moment, as lines of JSON that people can read.
//!
//! ```text
//! {"slipway":"0.1.0","format":1,"schema":2}
//! {"key":"v/0199…","version":1,"record":{…}}
//! {"key":"h/5e88…","hex":"0199…"}
//! {"entries":2,"sha256":"…"}
//! ```
//!
//! The last line sums up those before it, so that a part is never taken for the whole. Bytes of
//! records stay as they are, so that what this program doesn't know comes through as well.

use super::codec::{self, Record};
use super::error::{OpenError, StateError};
use super::people::UserRecord;
use super::record::{GrantRecord, JobRecord, PartRecord, TokenRecord, UploadRecord, VideoRecord};
use super::writer::Promise;
use super::{SCHEMA, State, keys, open_database};
use crate::disk::{self, SyncHandle};
use crate::ids::VideoId;
use crate::model::job::JobState;
use crate::model::video::VideoState;
use crate::units::ByteCount;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, BufRead, Write};
use std::path::Path;

/// The form that this program writes.
const FORMAT: u32 = 1;
/// Longest line in bytes: a value in hex, a long key, and some words.
const LINE_BYTES_MAX: u64 = 256 * 1024;
/// Values that are put into a new database at once.
const BATCH: usize = 1_000;

/// Indexes of jobs: their keys end in the job's id.
const JOB_INDEXES: [&[u8]; 7] =
    [keys::QUEUED, keys::AGE, keys::SET_BACK, keys::SMALL, keys::LIVE, keys::RUNNING, keys::ENDED];

/// All that the database holds, by its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Why an export can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// A line isn't what it should be.
    #[error("line {line}: {reason}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It ends early, or was changed.
    #[error("it isn't whole: {0}")]
    NotWhole(&'static str),
    /// A later program wrote it.
    #[error("a later version of this program wrote it")]
    Newer,
    /// It comes from an earlier program.
    #[error("it has schema {0}, which only a running server brings up to date")]
    Older(u32),
}

#[derive(Serialize, Deserialize)]
struct Head {
    slipway: String,
    format: u32,
    schema: u32,
}

#[derive(Deserialize)]
struct Line<'a> {
    key: Option<String>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    version: Option<u8>,
    hex: Option<String>,
    entries: Option<usize>,
    sha256: Option<String>,
}

impl State {
    /// Reads everything at one moment: no transaction comes in between.
    ///
    /// # Errors
    /// `Failed`.
    pub async fn dump(&self) -> Result<Dump, StateError> {
        let entries = self.call(Promise::Synced, |view| view.all()).await?;
        Ok(Dump { entries })
    }

    /// Makes a database in `dir`, which must not be there, of exactly these entries. Blocks.
    ///
    /// # Errors
    /// Those of [`State::open`].
    /// # Durability
    /// Synced, but for the entry of `dir` in its parent.
    pub fn make(dir: &Path, dump: &Dump) -> Result<(), OpenError> {
        disk::make_private_directory(dir).map_err(super::io_error)?;
        let db = open_database(dir)?;
        let all: Vec<_> = dump.entries.iter().collect();
        for some in all.chunks(BATCH) {
            let mut batch = sled::Batch::default();
            for (key, value) in some {
                batch.insert(key.as_slice(), value.as_slice());
            }
            db.apply_batch(batch).map_err(super::not_opened)?;
        }
        db.flush().map_err(super::not_opened)?;
        for name in ["db", "conf"] {
            let synced = SyncHandle::open(&dir.join(name)).and_then(|file| file.sync_data());
            synced.map_err(super::io_error)?;
        }
        disk::sync_directory(dir).map_err(super::io_error)
    }
}

impl Dump {
    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes all entries as lines.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut sum = Sha256::new();
        let head = Head {
            slipway: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            schema: self.schema().unwrap_or(SCHEMA),
        };
        let mut line = serde_json::to_vec(&head)?;
        line.push(b'\n');
        sum.update(&line);
        to.write_all(&line)?;
        for (key, value) in &self.entries {
            line.clear();
            write!(line, "{{\"key\":{},", serde_json::to_string(&key_text(key))?)?;
            match record_of(value) {
                Some((version, json)) => {
                    write!(line, "\"version\":{version},\"record\":")?;
                    line.extend_from_slice(json);
                }
                None => write!(line, "\"hex\":\"{}\"", hex(value))?,
            }
            line.extend_from_slice(b"}\n");
            sum.update(&line);
            to.write_all(&line)?;
        }
        let sum = hex(&sum.finalize());
        writeln!(to, "{{\"entries\":{},\"sha256\":\"{sum}\"}}", self.entries.len())
    }

    /// Reads what [`Dump::write`] wrote, and checks that it is whole.
    ///
    /// # Errors
    /// See [`DumpError`].
    pub fn read(from: &mut impl BufRead) -> Result<Self, DumpError> {
        let mut entries = BTreeMap::new();
        let mut sum = Sha256::new();
        for number in 1.. {
            let wrong = |reason: &str| DumpError::Line { line: number, reason: reason.to_owned() };
            let mut text = Vec::new();
            io::Read::take(&mut *from, LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
            if text.last() != Some(&b'\n') {
                return Err(DumpError::NotWhole("its last line is missing"));
            }
            if number == 1 {
                check_head(serde_json::from_slice(&text).map_err(|_| wrong("no export's"))?)?;
                sum.update(&text);
                continue;
            }
            let line: Line<'_> =
                serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?;
            if let Some(count) = line.entries {
                let whole = line.sha256 == Some(hex(&sum.finalize())) && count == entries.len();
                let whole = whole.then_some(Self { entries });
                return whole.ok_or(DumpError::NotWhole("its sum is another one"));
            }
            sum.update(&text);
            let key = line.key.as_deref().and_then(key_of).ok_or_else(|| wrong("no key"))?;
            let value = match (line.version, line.record, line.hex.as_deref().map(unhex)) {
                (Some(version), Some(record), None) => {
                    [&[version], record.get().as_bytes()].concat()
                }
                (None, None, Some(Some(bytes))) => bytes,
                _ => return Err(wrong("no value")),
            };
            if value.len() > codec::VALUE_BYTES_MAX {
                return Err(wrong("a value that is too long"));
            }
            entries.insert(key, value);
        }
        Err(DumpError::NotWhole("it has no end"))
    }

    /// Removes everything that can be out of date by now, and that the files tell better: uploads
    /// that were under way, and videos on which there was work, with their jobs. `keep` says of
    /// each other video whether its files are still there.
    ///
    /// What was signed, sessions and login codes go as well: what was taken back behind the export,
    /// by video, by key or by logging out, would count again.
    ///
    /// What is left may be put beside files that went on without it.
    ///
    /// # Errors
    /// `Unreadable`.
    pub fn settled(mut self, keep: &dyn Fn(&VideoRecord) -> bool) -> Result<Self, StateError> {
        let videos: Vec<VideoRecord> = self.records(keys::VIDEOS)?;
        let is_settled = |video: &VideoRecord| {
            matches!(video.state, VideoState::Ready | VideoState::Failed) && keep(video)
        };
        let gone: HashSet<VideoId> =
            videos.iter().filter(|video| !is_settled(video)).map(|video| video.id).collect();
        let jobs: Vec<JobRecord> = self.records(keys::JOBS)?;
        for job in &jobs {
            let is_open = matches!(job.state, JobState::Queued | JobState::Running);
            if is_open || gone.contains(&job.video) {
                keys::of_job(job).iter().for_each(|key| drop(self.entries.remove(key)));
                self.entries.remove(&keys::job(job.id));
            }
        }
        for upload in self.records::<UploadRecord>(keys::UPLOADS)? {
            if upload.state.is_under_way() || upload.video.is_some_and(|id| gone.contains(&id)) {
                self.entries.remove(&keys::upload(upload.id));
                self.entries.remove(&keys::unfinished(upload.id));
                let parts = keys::parts(upload.id);
                self.entries.retain(|key, _| !key.starts_with(&parts));
            }
        }
        gone.iter().for_each(|&video| drop(self.entries.remove(&keys::video(video))));
        let is_signed = |key: &[u8]| {
            [keys::SECRETS, keys::SESSIONS, keys::LOGIN_CODES]
                .iter()
                .any(|prefix| key.starts_with(prefix))
        };
        self.entries.retain(|key, _| !is_signed(key));
        Ok(self)
    }

    /// Removes what is said of videos in the trash, where nothing of them is left.
    pub fn forget_trash(&mut self) {
        let is_trash =
            |key: &[u8]| key.starts_with(keys::TRASH) || key.starts_with(keys::TRASH_UNTIL);
        self.entries.retain(|key, _| !is_trash(key));
    }

    /// Lists what doesn't fit together, in a sentence each.
    pub fn check(&self) -> Vec<String> {
        let mut found = Vec::new();
        let uploads: Vec<UploadRecord> = self.readable(keys::UPLOADS, &mut found);
        let parts: Vec<PartRecord> = self.readable(keys::PARTS, &mut found);
        let videos: Vec<VideoRecord> = self.readable(keys::VIDEOS, &mut found);
        let jobs: Vec<JobRecord> = self.readable(keys::JOBS, &mut found);
        let tokens: Vec<TokenRecord> = self.readable(keys::TOKENS, &mut found);
        let users: Vec<UserRecord> = self.readable(keys::USERS, &mut found);
        let grants: Vec<GrantRecord> = self.readable(keys::GRANTS, &mut found);
        let mut lacks = |is_there: bool, what: String| {
            if !is_there {
                found.push(what);
            }
        };
        let has = |key: Vec<u8>| self.entries.contains_key(&key);
        for upload in uploads.iter().filter(|upload| upload.state.is_under_way()) {
            let id = upload.id;
            lacks(has(keys::unfinished(id)), format!("upload {id} isn't listed as unfinished"));
            let video = upload.video.is_none_or(|video| has(keys::video(video)));
            lacks(video, format!("upload {id} has no video"));
        }
        for part in &parts {
            let (id, index) = (part.upload, part.index);
            lacks(has(keys::upload(id)), format!("part {index} is of no upload: {id}"));
        }
        for video in &videos {
            let id = video.id;
            lacks(video.job.is_none_or(|job| has(keys::job(job))), format!("video {id}: no job"));
        }
        let mut places = BTreeSet::new();
        for job in &jobs {
            for key in keys::of_job(job) {
                lacks(has(key.clone()), format!("job {} isn't in its line", job.id));
                places.insert(key);
            }
        }
        for token in &tokens {
            let id = token.id;
            lacks(
                has(keys::token_hash(&token.hash)),
                format!("token {id} isn't found by its hash"),
            );
        }
        for user in &users {
            let id = user.id;
            lacks(has(keys::user_name(&user.name)), format!("user {id} isn't found by its name"));
        }
        for grant in &grants {
            let is_found = has(keys::grant_hash(&grant.hash))
                && has(keys::grant_of(&grant.owner, grant.id))
                && has(keys::grant_due(grant.remove_at, grant.id));
            lacks(is_found, format!("upload grant {} isn't in all of its lists", grant.id));
        }
        let is_place = |key: &[u8]| JOB_INDEXES.iter().any(|index| key.starts_with(index));
        let strays = self.entries.keys().filter(|key| is_place(key) && !places.contains(*key));
        found.extend(strays.map(|key| format!("{} is a place of no job", key_text(key))));
        found
    }

    /// Lists the videos of which all bytes are here, with the size of their original.
    ///
    /// # Errors
    /// `Unreadable`.
    pub fn whole_videos(&self) -> Result<Vec<(VideoId, ByteCount)>, StateError> {
        let videos: Vec<VideoRecord> = self.records(keys::VIDEOS)?;
        let whole = videos.iter().filter(|video| video.uploaded_at.is_some());
        Ok(whole.map(|video| (video.id, video.size)).collect())
    }

    fn schema(&self) -> Option<u32> {
        let bytes = self.entries.get(keys::SCHEMA)?;
        bytes.as_slice().try_into().ok().map(u32::from_be_bytes)
    }

    fn below<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
        let from = self.entries.range(prefix.to_vec()..);
        from.take_while(move |(key, _)| key.starts_with(prefix))
    }

    fn records<R: Record>(&self, prefix: &[u8]) -> Result<Vec<R>, StateError> {
        self.below(prefix).map(|(_, value)| codec::decode(value)).collect()
    }

    /// Reads what can be read, and tells of the rest.
    fn readable<R: Record>(&self, prefix: &[u8], found: &mut Vec<String>) -> Vec<R> {
        let mut all = Vec::new();
        for (key, value) in self.below(prefix) {
            match codec::decode(value) {
                Ok(record) => all.push(record),
                Err(error) => found.push(format!("{}: {error}", key_text(key))),
            }
        }
        all
    }
}

fn check_head(head: Head) -> Result<(), DumpError> {
    match head {
        Head { format, schema, .. } if format > FORMAT || schema > SCHEMA => Err(DumpError::Newer),
        Head { schema, .. } if schema < SCHEMA => Err(DumpError::Older(schema)),
        _ => Ok(()),
    }
}

/// Splits a value that is a record.
fn record_of(value: &[u8]) -> Option<(u8, &[u8])> {
    let (version, json) = value.split_first()?;
    let is_plain = json.first() == Some(&b'{') && !json.contains(&b'\n');
    let is_json = is_plain && serde_json::from_slice::<&RawValue>(json).is_ok();
    is_json.then_some((*version, json))
}

/// Writes a key so that people can read and find it: its letters, and the rest in hex.
fn key_text(key: &[u8]) -> String {
    let letters = key.iter().position(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (prefix, rest) = key.split_at(letters);
    let prefix = String::from_utf8_lossy(prefix);
    match prefix.as_ref() {
        "m/" => format!("m/{}", String::from_utf8_lossy(rest)),
        _ => format!("{prefix}{}", hex(rest)),
    }
}

fn key_of(text: &str) -> Option<Vec<u8>> {
    let (prefix, rest) = text.split_at_checked(text.find('/')? + 1)?;
    let rest = if prefix == "m/" { rest.as_bytes().to_vec() } else { unhex(rest)? };
    Some([prefix.as_bytes(), &rest].concat())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut pairs = text.len().is_multiple_of(2).then(|| text.as_bytes().chunks(2))?;
    pairs.try_fold(Vec::new(), |mut bytes, pair| {
        bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
        Some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of every kind come back as they were, and can be read.
    #[test]
    fn keys_come_back_from_their_text() {
        let video = VideoId::fresh(crate::units::UnixMillis(1));
        let all = [
            keys::video(video),
            keys::trash(video),
            keys::SCHEMA.to_vec(),
            b"m/secret/a b".to_vec(),
        ];
        for key in all {
            assert_eq!(key_of(&key_text(&key)), Some(key.clone()), "{}", key_text(&key));
        }
        assert_eq!(key_text(keys::SCHEMA), "m/schema");
        assert!(key_of("v").is_none() && key_of("v/0").is_none() && key_of("v/zz").is_none());
    }
}
