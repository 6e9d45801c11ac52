//! What is measured, each thing by one function: nobody else names a metric or a label.
//!
//! Labels come from closed enums, so there are as many series as the code has words. Counting costs
//! some nanoseconds and never waits. What would cost more (sizes, the queue) is set when somebody
//! asks for the text. What is counted of uploads and films is also kept as [`Figures`], which
//! `state` takes over from time to time.

use super::names::*;
use crate::model::consent::Moment;
use crate::model::figures::Figures;
use crate::model::job::{Line, Stage};
use crate::model::problem::ProblemCode;
use crate::model::upload::Protocol;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
static FIGURES: Mutex<Option<Figures>> = Mutex::new(None);

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it came.
    Finished,
    /// Nobody went on with it.
    Expired,
    /// Its client ended it, or it isn't what is taken.
    Aborted,
}

/// How an attempt at a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Well.
    Done,
    /// It failed, and another will follow.
    Again,
    /// It failed for good.
    Failed,
    /// Somebody else decided: it was cancelled, or its video deleted.
    Dropped,
    /// It was put back without a fault: the server stops, or the upload stalled.
    PutBack,
}

/// Why a body of an upload ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The connection ended.
    Cut,
    /// Nothing came for too long.
    Idle,
    /// A newer request took over.
    TakenOver,
    /// Its bytes aren't those that were meant.
    Checksum,
}

/// What came of asking a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOutcome {
    /// Go on.
    Allowed,
    /// Go on, with other words.
    Changed,
    /// It isn't taken.
    Refused,
    /// There was no answer, or none that can be used.
    Failed,
}

/// By what somebody was found to ask for too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Requests from an address.
    Address,
    /// Requests for media from an address.
    Media,
    /// Requests with a token.
    Token,
    /// Requests in an owner's name.
    Owner,
    /// Connections from an address.
    Connections,
}

/// What the disk was asked to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synced {
    /// An upload's bytes.
    Upload,
    /// The database.
    Database,
}

/// Begins to measure; what happened before isn't counted. A second call changes nothing.
pub fn start() {
    HANDLE.get_or_init(|| {
        let recorder = builder().build_recorder();
        let handle = recorder.handle();
        // Another recorder of this process would have been set here, too.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    });
}

fn builder() -> PrometheusBuilder {
    let mut histograms = ALL.iter().filter_map(|metric| match metric.kind {
        Kind::Histogram(bounds) => Some((metric.name, bounds)),
        Kind::Counter | Kind::Gauge => None,
    });
    let built = histograms.try_fold(PrometheusBuilder::new(), |built, (name, bounds)| {
        built.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
    });
    // It fails only for a histogram without bounds; then all have the library's.
    built.unwrap_or_else(|_| PrometheusBuilder::new())
}

/// Says of each metric what it is, and begins those series at zero whose first change counts.
fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
    for door in [Protocol::Tus, Protocol::Form, Protocol::Chunks, Protocol::Draft] {
        counter!(UPLOAD_BYTES, "door" => word(&door)).increment(0);
        for outcome in [Outcome::Finished, Outcome::Expired, Outcome::Aborted] {
            counter!(UPLOADS, "door" => word(&door), "outcome" => outcome.word()).increment(0);
        }
    }
    for line in LINES {
        for attempt in [Attempt::Done, Attempt::Again, Attempt::Failed] {
            counter!(JOBS, "line" => line_word(line), "outcome" => attempt.word()).increment(0);
        }
    }
    for hook in Moment::ALL {
        for outcome in HookOutcome::ALL {
            counter!(HOOKS, "hook" => hook.name(), "outcome" => outcome.word()).increment(0);
        }
    }
    for what in Limited::ALL {
        counter!(LIMITED, "by" => what.word()).increment(0);
    }
    counter!(AUDIT_LOST).increment(0);
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// The audit log lost entries.
pub fn audit_lost(count: u64) {
    counter!(AUDIT_LOST).increment(count);
}

/// Puts the samples of histograms in order, which otherwise grow until somebody asks; call it now
/// and then.
pub fn tidy() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// Returns everything in Prometheus' text format; empty before [`start`].
pub fn text() -> String {
    HANDLE.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Counts an upload's bytes that were stored.
pub fn upload_stored(door: Protocol, bytes: u64) {
    counter!(UPLOAD_BYTES, "door" => word(&door)).increment(bytes);
}

/// Counts an upload that is all here.
pub fn upload_finished(door: Protocol, bytes: u64, took_ms: u64) {
    counter!(UPLOADS, "door" => word(&door), "outcome" => Outcome::Finished.word()).increment(1);
    histogram!(UPLOAD_SIZE, "door" => word(&door)).record(bytes as f64);
    histogram!(UPLOAD_SECONDS, "door" => word(&door)).record(took_ms as f64 / 1000.0);
    figure(Figures { uploads: 1, uploaded_bytes: bytes, ..Figures::default() });
}

/// Counts an upload that ended otherwise.
pub fn upload_lost(door: Protocol, outcome: Outcome) {
    counter!(UPLOADS, "door" => word(&door), "outcome" => outcome.word()).increment(1);
    figure(Figures { uploads_lost: 1, ..Figures::default() });
}

/// Counts a body of an upload that ended early.
pub fn upload_broke(door: Protocol, why: Break) {
    counter!(UPLOAD_BREAKS, "door" => word(&door), "reason" => why.word()).increment(1);
}

/// Counts a question to a hook.
pub fn hook_asked(hook: Moment, outcome: HookOutcome, took: Duration) {
    counter!(HOOKS, "hook" => hook.name(), "outcome" => outcome.word()).increment(1);
    histogram!(HOOK_SECONDS, "hook" => hook.name()).record(took);
}

/// Counts an attempt at a job that ended.
pub fn job_ended(line: Line, attempt: Attempt) {
    counter!(JOBS, "line" => line_word(line), "outcome" => attempt.word()).increment(1);
    if attempt == Attempt::Failed && line != Line::Small {
        figure(Figures { films_failed: 1, ..Figures::default() });
    }
}

/// Counts why an attempt failed.
pub fn job_error(code: ProblemCode) {
    counter!(JOB_ERRORS, "code" => word(&code)).increment(1);
}

/// Notes how long the attempt took that ended a job well.
pub fn job_took(line: Line, seconds: f64) {
    histogram!(JOB_SECONDS, "line" => line_word(line)).record(seconds);
}

/// Notes how long a stage took that ended well.
pub fn stage_took(stage: Stage, seconds: f64) {
    histogram!(STAGE_SECONDS, "stage" => word(&stage)).record(seconds);
}

/// Notes a film that is done.
pub fn film_done(film_seconds: f64, work_seconds: f64) {
    figure(Figures { films_done: 1, film_seconds, work_seconds, ..Figures::default() });
}

/// Notes how fast a film's qualities were made out of a source in this codec, up to this height.
pub fn encoded(codec: &str, height: u32, speed: f64) {
    histogram!(ENCODE_SPEED, "codec" => codec_word(codec), "rung" => rung_word(height))
        .record(speed);
}

/// Notes the most memory that a worker child held.
pub fn child_memory(bytes: u64) {
    histogram!(CHILD_MEMORY).record(bytes as f64);
}

/// Notes how long the disk took to confirm.
pub fn synced(what: Synced, took: Duration) {
    histogram!(SYNC_SECONDS, "what" => what.word()).record(took);
}

/// Counts a request or a connection that was one too many.
pub fn limited(by: Limited) {
    counter!(LIMITED, "by" => by.word()).increment(1);
}

/// Counts an answer. `route` is the pattern that the request's address fits, never the address.
pub fn answered(route: &str, method: &str, status: u16, took: Duration) {
    let class = match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let route = route.to_owned();
    let method = method_word(method);
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => class)
        .increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took);
}

/// What is looked at when somebody asks for the text.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// Uploads that haven't ended.
    pub uploads_open: u64,
    /// Films that wait, on finished uploads and on running ones, and small jobs.
    pub waiting: [u64; 3],
    /// Jobs that run, by stage.
    pub running: Vec<(Stage, u64)>,
    /// How long the oldest film has waited.
    pub oldest_seconds: f64,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Size of the database.
    pub database_bytes: u64,
    /// Size of the file system.
    pub disk_bytes: u64,
    /// Free space on it.
    pub disk_free: u64,
    /// What uploads leave alone of that.
    pub disk_reserve: u64,
    /// Open streams.
    pub listeners: u64,
    /// When the process started, in seconds since 1970.
    pub started: u64,
}

impl Now {
    /// Makes it part of the next text.
    pub fn set(&self) {
        gauge!(UPLOADS_OPEN).set(self.uploads_open as f64);
        for (line, jobs) in LINES.into_iter().zip(self.waiting) {
            gauge!(JOBS_WAITING, "line" => line_word(line)).set(jobs as f64);
        }
        for stage in Stage::ALL {
            let of_stage = self.running.iter().filter(|(of, _)| *of == stage);
            let jobs: u64 = of_stage.map(|(_, jobs)| jobs).sum();
            gauge!(JOBS_RUNNING, "stage" => word(&stage)).set(jobs as f64);
        }
        gauge!(OLDEST_SECONDS).set(self.oldest_seconds);
        gauge!(PAUSED).set(f64::from(u8::from(self.paused)));
        gauge!(DATABASE_BYTES).set(self.database_bytes as f64);
        gauge!(DISK_BYTES).set(self.disk_bytes as f64);
        gauge!(DISK_FREE).set(self.disk_free as f64);
        gauge!(DISK_RESERVE).set(self.disk_reserve as f64);
        gauge!(LISTENERS).set(self.listeners as f64);
        gauge!(STARTED).set(self.started as f64);
    }
}

fn figure(more: Figures) {
    let mut figures = FIGURES.lock().unwrap_or_else(PoisonError::into_inner);
    *figures.get_or_insert_default() += more;
}

/// Returns what was done since the last call.
pub fn take_figures() -> Figures {
    FIGURES.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// Gives figures back that couldn't be kept.
pub fn return_figures(figures: Figures) {
    figure(figures);
}

const LINES: [Line; 3] = [Line::Films, Line::Live, Line::Small];

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Expired => "expired",
            Self::Aborted => "aborted",
        }
    }
}

impl Attempt {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again => "again",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::PutBack => "put-back",
        }
    }
}

impl Break {
    fn word(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Idle => "idle",
            Self::TakenOver => "taken-over",
            Self::Checksum => "checksum",
        }
    }
}

impl HookOutcome {
    const ALL: [Self; 4] = [Self::Allowed, Self::Changed, Self::Refused, Self::Failed];

    fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Changed => "changed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Limited {
    const ALL: [Self; 5] =
        [Self::Address, Self::Media, Self::Token, Self::Owner, Self::Connections];

    fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Media => "media",
            Self::Token => "token",
            Self::Owner => "owner",
            Self::Connections => "connections",
        }
    }
}

impl Synced {
    fn word(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Database => "database",
        }
    }
}

fn line_word(line: Line) -> &'static str {
    match line {
        Line::Films => "films",
        Line::Live => "live",
        Line::Small => "small",
    }
}

/// Returns the word that a closed enum is stored and told by.
fn word(of: &impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "other".to_owned(),
    }
}

fn codec_word(codec: &str) -> &'static str {
    const KNOWN: [&str; 9] =
        ["h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "prores", "mjpeg"];
    KNOWN.into_iter().find(|known| *known == codec).unwrap_or("other")
}

fn rung_word(height: u32) -> &'static str {
    match height {
        0..=240 => "240p",
        241..=360 => "360p",
        361..=480 => "480p",
        481..=720 => "720p",
        721..=1080 => "1080p",
        1081..=1440 => "1440p",
        1441..=2160 => "2160p",
        _ => "4320p",
    }
}

fn method_word(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

#[cfg(test)]
mod tests;
