//! The stored records. They are the database's types, never the API's.
//!
//! A field may be added with `#[serde(default)]`; any other change needs a new version byte in
//! `codec` and a golden file of its own.

use crate::disk::{FACTS_VERSION, Facts};
use crate::ids::{DeliveryId, Epoch, GrantId, JobId, Owner, TokenId, UploadId, VideoId};
use crate::model::accept::Accept;
use crate::model::access::{Bounds, GrantFault, Role};
use crate::model::consent::Objection;
use crate::model::extra::{Chosen, ExtraKind, Pictures};
use crate::model::hook::{DeliveryState, HookEvent, Subject};
use crate::model::job::{JobState, Line, Stage, StageState, Task};
use crate::model::manifest::{Formats, Picture};
use crate::model::problem::Problem;
use crate::model::rendition::{RenditionPlan, RenditionState};
use crate::model::text::{Chapter, TextTrack};
use crate::model::upkeep::Report;
use crate::model::upload::{Chunks, Concat, Protocol, Received, UploadState};
use crate::model::video::{SourceFacts, VideoKind, VideoState, Visibility, Warning};
use crate::model::words::VideoChange;
use crate::units::{ByteCount, UnixMillis};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// How long after a grant's end the parts that were begun by it can be joined.
const JOINED_WITHIN_MS: u64 = 86_400_000;

/// An upload: what its client declared, what has come, who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The upload.
    pub id: UploadId,
    /// The video that it becomes; a video's record is made with the upload's.
    pub video: Option<VideoId>,
    /// Whose it is.
    pub owner: Owner,
    /// The door that it came through.
    pub protocol: Protocol,
    /// Where it stands.
    pub state: UploadState,
    /// The newest lease on it; writes under an older one have no effect.
    pub epoch: Epoch,
    /// Size in bytes, once it was declared.
    pub length: Option<ByteCount>,
    /// What has come.
    pub received: Received,
    /// Display name that the client gave.
    pub filename: String,
    /// The `Upload-Metadata` header as it came, given back by `HEAD`.
    pub metadata: Option<String>,
    /// The client's word for a group of uploads.
    pub session: Option<String>,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When bytes were last recorded.
    pub changed_at: UnixMillis,
    /// When it will be given up if nobody goes on.
    pub expires_at: UnixMillis,
    /// When it finished, expired or was aborted.
    pub ended_at: Option<UnixMillis>,
    /// Set for parts and for what is made of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concat: Option<Concat>,
    /// How it is cut, if it comes in numbered parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<Chunks>,
    /// SHA-256 of the whole file in lower-case hex, where the client of a draft upload told it
    /// beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The media type that its first bytes have, where it was ended for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stranger: Option<String>,
    /// What a hook said against it, where it was ended for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objection: Option<Objection>,
    /// The token by which it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// What bounds it beside the server's own limits.
    #[serde(default, skip_serializing_if = "Bounds::are_none")]
    pub bounds: Bounds,
    /// The grant by which it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// A numbered part that was acknowledged. Its bytes count only while the upload's record claims
/// all of its range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The upload.
    pub upload: UploadId,
    /// Its number, from 0.
    pub index: u32,
    /// Its size in bytes.
    pub size: ByteCount,
    /// SHA-256 of its bytes; it never changes.
    #[serde(serialize_with = "hex_out", deserialize_with = "hex_in")]
    pub sha256: [u8; 32],
    /// When it was acknowledged.
    pub at: UnixMillis,
}

/// A video, from the first byte of its upload until it is deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoRecord {
    /// The video.
    pub id: VideoId,
    /// The upload that brings or brought it, while that is remembered.
    pub upload: Option<UploadId>,
    /// The newest job on it.
    pub job: Option<JobId>,
    /// Whose it is.
    pub owner: Owner,
    /// What the file turned out to hold.
    pub kind: VideoKind,
    /// Where it stands.
    pub state: VideoState,
    /// A player finds something. Never goes back to false.
    pub playable: bool,
    /// Who may see it.
    pub visibility: Visibility,
    /// Title.
    pub title: String,
    /// Description, empty if there is none.
    pub description: String,
    /// Tags in the owner's order.
    pub tags: Vec<String>,
    /// Display name that the client gave.
    pub filename: String,
    /// The client's word for a group of uploads.
    pub session: Option<String>,
    /// Size of the original in bytes; the declared one, or 0, while it is coming.
    pub size: ByteCount,
    /// SHA-256 of the original in lower-case hex, if it was computed.
    pub sha256: Option<String>,
    /// When the upload was created.
    pub created_at: UnixMillis,
    /// When the last byte was confirmed.
    pub uploaded_at: Option<UnixMillis>,
    /// When a player first found something.
    pub playable_at: Option<UnixMillis>,
    /// When everything planned was there.
    pub ready_at: Option<UnixMillis>,
    /// What the probe found.
    pub facts: Option<SourceFacts>,
    /// The still picture.
    pub poster: Option<Picture>,
    /// In which forms it is published, once it can be played.
    #[serde(default, skip_serializing_if = "Formats::is_usual")]
    pub formats: Formats,
    /// The still picture that a person has chosen in its stead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// The newest small job for each thing that such jobs make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub small_jobs: Vec<JobId>,
    /// What else there is to look at.
    #[serde(default, skip_serializing_if = "Pictures::is_empty")]
    pub pictures: Pictures,
    /// What is planned and how far it is, in the order of work.
    pub renditions: Vec<RenditionRecord>,
    /// What is worth telling.
    pub warnings: Vec<Warning>,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// The original isn't kept: it turned out not to be what the server takes, or the video is
    /// ready and the original was to be kept no longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discarded: bool,
    /// Text tracks that the file holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<TextTrack>,
    /// Text tracks that people have added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captions: Vec<TextTrack>,
    /// Chapters that the file names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chapters: Vec<Chapter>,
    /// Playback tokens made up to this moment don't count for it any more. Only ever grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playback_revoked_at: Option<UnixMillis>,
    /// Which of the files that the server takes this may be; any, if its upload wasn't bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<Accept>,
    /// The grant by which its upload was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// A video that was deleted and can be restored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrashRecord {
    /// The video, without an upload or small jobs; queued if work on it was left to do.
    pub video: VideoRecord,
    /// When it was deleted.
    pub deleted_at: UnixMillis,
    /// From when on it is removed for good.
    pub until: UnixMillis,
}

/// One quality of a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenditionRecord {
    /// What is to be made.
    pub plan: RenditionPlan,
    /// How far it is.
    pub state: RenditionState,
    /// The lease under which its segments were made.
    pub generation: Epoch,
    /// RFC 6381 codec string, once known.
    pub codecs: Option<String>,
    /// Bits a second at the busiest, once measured.
    pub bandwidth: Option<u64>,
}

/// Work on a video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job.
    pub id: JobId,
    /// What it works on.
    pub video: VideoId,
    /// What it is to do.
    #[serde(default, skip_serializing_if = "is_film")]
    pub task: Task,
    /// The film is still being uploaded: the job works on what is here, and decides nothing about
    /// the video.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// What is published of the video was made of other bytes: it goes before anything is made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// Whose video that is.
    pub owner: Owner,
    /// Where it stands.
    pub state: JobState,
    /// The newest lease on it; results under an older one have no effect.
    pub epoch: Epoch,
    /// How often it was begun.
    pub attempt: u32,
    /// How often since an attempt got anywhere.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub in_vain: u32,
    /// How many attempts somebody else ended since one got anywhere.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub kills: u32,
    /// What was published of the video when the newest attempt began, in files.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub reached: u32,
    /// A higher number goes first.
    pub priority: i32,
    /// Not to be begun before.
    pub run_at: UnixMillis,
    /// It was set back to that moment, and isn't in line before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub set_back: bool,
    /// When it is its owner's turn among films of one priority, in units of work begun; 0 before it
    /// has come into that line.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u64,
    /// When the lease ends unless renewed. Means something only while it runs.
    pub lease_until: UnixMillis,
    /// When it was queued first.
    pub created_at: UnixMillis,
    /// When the newest attempt began.
    pub started_at: Option<UnixMillis>,
    /// When it ended, however.
    pub finished_at: Option<UnixMillis>,
    /// Its stages, in the order that people see.
    pub stages: Vec<StageRecord>,
    /// Why the last attempt failed.
    pub problem: Option<Problem>,
    /// What it makes anew though it is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redo: Vec<Stage>,
    /// What its attempts broke down over; the next one doesn't try to make it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<ExtraKind>,
}

/// What a cleaning found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CleanupRecord {
    /// The report.
    pub report: Report,
}

/// An event that one webhook is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// Its name, always the same for the receiver.
    pub id: DeliveryId,
    /// Who is told.
    pub target: [u8; 8],
    /// What happened.
    pub event: HookEvent,
    /// What it is about.
    pub subject: Subject,
    /// When it happened.
    pub at: UnixMillis,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// Not to be tried before.
    pub next_at: UnixMillis,
    /// From when on nobody tries any more.
    pub give_up_at: UnixMillis,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// The status of the last answer.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// The grant whose callback is told, instead of a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// One stage of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// Which.
    pub stage: Stage,
    /// How far.
    pub state: StageState,
    /// The attempt that last worked on it; 0 before the first.
    pub attempt: u32,
    /// When that began.
    pub started_at: Option<UnixMillis>,
    /// When that ended.
    pub finished_at: Option<UnixMillis>,
}

/// What is known of the line of films as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRecord {
    /// The latest turn that has come.
    pub turn: u64,
    /// How many films were begun.
    pub begun: u64,
    /// Nothing is begun until somebody says so.
    #[serde(default)]
    pub is_paused: bool,
}

/// An access token. Only its hash is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Names the token; not secret.
    pub id: TokenId,
    /// SHA-256 of the token's text.
    #[serde(serialize_with = "hex_out", deserialize_with = "hex_in")]
    pub hash: [u8; 32],
    /// What it allows.
    pub role: Role,
    /// Who its uploads belong to.
    pub owner: Owner,
    /// What people call it.
    pub name: Option<String>,
    /// What it is confined to; empty means everything its role allows.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it stops working.
    pub expires_at: Option<UnixMillis>,
    /// What bounds each upload that it begins.
    #[serde(default, skip_serializing_if = "Bounds::are_none")]
    pub bounds: Bounds,
    /// How many uploads it may begin in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uploads: Option<u32>,
    /// How many it has begun; counted only where it may not begin any number.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    pub uploads_begun: u32,
    /// When it was used last, to a few minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<UnixMillis>,
}

/// Lets whoever has its text upload one file. Only the text's hash is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Names the grant; not secret.
    pub id: GrantId,
    /// SHA-256 of the grant's text.
    #[serde(serialize_with = "hex_out", deserialize_with = "hex_in")]
    pub hash: [u8; 32],
    /// Whose the upload will be.
    pub owner: Owner,
    /// The token by which it was made.
    pub token: Option<TokenId>,
    /// What is said of the video, as `Upload-Metadata` names it, whatever the client says.
    pub metadata: Vec<(String, String)>,
    /// What bounds the upload.
    #[serde(default, skip_serializing_if = "Bounds::are_none")]
    pub bounds: Bounds,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it is good for nothing any more but an upload that it has begun.
    pub expires_at: UnixMillis,
    /// The upload that it has begun.
    pub upload: Option<UploadId>,
    /// That upload's video.
    pub video: Option<VideoId>,
    /// When it began that.
    pub used_at: Option<UnixMillis>,
    /// How many parts of a joined upload it has begun.
    pub parts: u32,
    /// When somebody ended it.
    pub ended_at: Option<UnixMillis>,
    /// When it is forgotten.
    pub remove_at: UnixMillis,
    /// Who is told what becomes of the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
}

impl GrantRecord {
    /// Checks that an upload, or a part of one, can be begun by it.
    ///
    /// # Errors
    /// What is in the way.
    pub fn check(&self, is_part: bool, now: UnixMillis) -> Result<(), GrantFault> {
        let until = if is_part { self.expires_at } else { self.begins_until() };
        match (self.ended_at, self.upload) {
            (Some(_), _) => Err(GrantFault::Over),
            (None, Some(_)) => Err(GrantFault::Used),
            (None, None) if now >= until => Err(GrantFault::Over),
            (None, None) => Ok(()),
        }
    }

    /// Returns when it can't begin anything any more: parts that were begun in time are joined
    /// when they have come.
    pub fn begins_until(&self) -> UnixMillis {
        match (self.parts, self.upload) {
            (1.., None) => self.expires_at.plus_ms(JOINED_WITHIN_MS),
            _ => self.expires_at,
        }
    }
}

/// An address that is told what becomes of one upload.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// Where.
    pub url: String,
    /// What is signed with, as people write it. Kept as it is, because it has to sign.
    pub secret: String,
    /// It was told something since the grant was last about to be forgotten.
    pub called: bool,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback(…)")
    }
}

/// A one-time code that stands for a token while somebody signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginCode {
    /// The token.
    pub token: TokenId,
    /// When the code stops working.
    pub expires_at: UnixMillis,
}

impl UploadRecord {
    /// Makes an upload without a name or length, of which nothing has come yet and which expires
    /// at once.
    pub fn new(id: UploadId, owner: Owner, protocol: Protocol, now: UnixMillis) -> Self {
        Self {
            id,
            video: None,
            owner,
            protocol,
            state: UploadState::Partial,
            epoch: Epoch(0),
            length: None,
            received: Received::default(),
            filename: String::new(),
            metadata: None,
            session: None,
            created_at: now,
            changed_at: now,
            expires_at: now,
            ended_at: None,
            concat: None,
            chunks: None,
            sha256: None,
            stranger: None,
            objection: None,
            token: None,
            bounds: Bounds::default(),
            grant: None,
        }
    }

    /// Says whether it is a part of others, and no video.
    pub fn is_part(&self) -> bool {
        self.concat == Some(Concat::Partial)
    }

    /// Says whether it is complete by its client's word and not by its bytes.
    pub fn is_by_flag(&self) -> bool {
        self.protocol == Protocol::Draft
    }

    /// Returns the SHA-256 of the whole file, as far as it was told or found, in lower-case hex.
    pub fn whole_sha256(&self) -> Option<&str> {
        let of_parts = self.chunks.as_ref().and_then(|chunks| chunks.sha256.as_deref());
        self.sha256.as_deref().or(of_parts)
    }

    /// Says whether it is made of parts.
    pub fn is_final(&self) -> bool {
        matches!(self.concat, Some(Concat::Final { .. }))
    }
}

impl JobRecord {
    /// Makes a job that may begin at once, with nothing done yet.
    pub fn new(id: JobId, video: VideoId, owner: Owner, now: UnixMillis) -> Self {
        let stage = |stage| StageRecord {
            stage,
            state: StageState::Pending,
            attempt: 0,
            started_at: None,
            finished_at: None,
        };
        Self {
            id,
            video,
            task: Task::Film,
            live: false,
            anew: false,
            owner,
            state: JobState::Queued,
            epoch: Epoch(0),
            attempt: 0,
            in_vain: 0,
            kills: 0,
            reached: 0,
            priority: 0,
            run_at: now,
            set_back: false,
            turn: 0,
            lease_until: UnixMillis(0),
            created_at: now,
            started_at: None,
            finished_at: None,
            stages: Stage::ALL.into_iter().map(stage).collect(),
            problem: None,
            redo: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Makes it one that begins where `before`, which has ended, was withdrawn: no address that was
    /// served under its leases comes again.
    pub fn instead_of(self, before: &Self) -> Self {
        Self { epoch: self.epoch.max(before.epoch), anew: before.anew, ..self }
    }

    /// Makes a small job that may begin at once.
    pub fn small(id: JobId, video: VideoId, owner: Owner, task: Task, now: UnixMillis) -> Self {
        Self { task, stages: Vec::new(), ..Self::new(id, video, owner, now) }
    }

    /// Returns where it waits.
    pub fn line(&self) -> Line {
        match (self.task.is_small(), self.live) {
            (true, _) => Line::Small,
            (false, true) => Line::Live,
            (false, false) => Line::Films,
        }
    }

    /// Says whether work is still to come or under way.
    pub fn is_open(&self) -> bool {
        matches!(self.state, JobState::Queued | JobState::Running)
    }
}

impl VideoRecord {
    /// Makes a video without a name, of which nothing has come yet.
    pub fn new(id: VideoId, owner: Owner, now: UnixMillis) -> Self {
        Self {
            id,
            upload: None,
            job: None,
            owner,
            kind: VideoKind::default(),
            state: VideoState::Uploading,
            playable: false,
            visibility: Visibility::default(),
            title: String::new(),
            description: String::new(),
            tags: Vec::new(),
            filename: String::new(),
            session: None,
            size: ByteCount(0),
            sha256: None,
            created_at: now,
            uploaded_at: None,
            playable_at: None,
            ready_at: None,
            facts: None,
            poster: None,
            formats: Formats::default(),
            chosen: None,
            small_jobs: Vec::new(),
            pictures: Pictures::default(),
            renditions: Vec::new(),
            warnings: Vec::new(),
            problem: None,
            discarded: false,
            texts: Vec::new(),
            captions: Vec::new(),
            chapters: Vec::new(),
            playback_revoked_at: None,
            accept: None,
            grant: None,
        }
    }

    /// Applies what people changed.
    pub fn apply(&mut self, change: VideoChange) {
        if let Some(title) = change.title {
            self.title = title;
        }
        if let Some(description) = change.description {
            self.description = description;
        }
        if let Some(tags) = change.tags {
            self.tags = tags;
        }
        if let Some(visibility) = change.visibility {
            self.visibility = visibility;
        }
        if let Some(filename) = change.filename {
            self.filename = filename;
        }
        if change.session.is_some() {
            self.session = change.session;
        }
    }

    /// Returns what is kept beside the original, so that a lost database costs no title.
    pub fn to_facts(&self) -> Facts {
        Facts {
            version: FACTS_VERSION,
            video: self.id,
            owner: self.owner.clone(),
            kind: self.kind,
            title: self.title.clone(),
            description: self.description.clone(),
            tags: self.tags.clone(),
            filename: self.filename.clone(),
            session: self.session.clone(),
            size: self.size,
            visibility: self.visibility,
            sha256: self.sha256.clone(),
            created_at: self.created_at,
            uploaded_at: self.uploaded_at,
            source: self.facts.clone(),
            chosen: self.chosen.clone(),
        }
    }

    /// Rebuilds a record from what lies beside the original: queued, nothing made yet.
    pub fn from_facts(facts: Facts) -> Self {
        Self {
            kind: facts.kind,
            state: VideoState::Queued,
            visibility: facts.visibility,
            title: facts.title,
            description: facts.description,
            tags: facts.tags,
            filename: facts.filename,
            session: facts.session,
            size: facts.size,
            sha256: facts.sha256,
            uploaded_at: facts.uploaded_at,
            facts: facts.source,
            chosen: facts.chosen,
            ..Self::new(facts.video, facts.owner, facts.created_at)
        }
    }
}

fn is_none_yet(count: &u32) -> bool {
    *count == 0
}

fn is_zero(turn: &u64) -> bool {
    *turn == 0
}

fn is_film(task: &Task) -> bool {
    !task.is_small()
}

fn hex_out<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    to.serialize_str(&text)
}

fn hex_in<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(from)?;
    let digits = text.as_bytes();
    let mut bytes = [0u8; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(serde::de::Error::custom("not 64 hex digits"));
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Ok(bytes)
}
