//! Every metric there is: its name, what it counts, its labels.
//!
//! The dashboard and the alert rules in `docs/` name these, and so does docs/OPERATIONS.md; a test
//! compares them.

use metrics::Unit;

/// Uploads that ended, by door and outcome.
pub const UPLOADS: &str = "slipway_uploads_total";
/// Bytes of uploads that were stored, by door.
pub const UPLOAD_BYTES: &str = "slipway_upload_bytes_total";
/// From an upload's creation to its finish.
pub const UPLOAD_SECONDS: &str = "slipway_upload_duration_seconds";
/// Sizes of finished uploads.
pub const UPLOAD_SIZE: &str = "slipway_upload_size_bytes";
/// Requests of uploads that ended before their body: what a client has to try again.
pub const UPLOAD_BREAKS: &str = "slipway_upload_interruptions_total";
/// Questions to blocking hooks, by hook and outcome.
pub const HOOKS: &str = "slipway_hook_calls_total";
/// How long they took.
pub const HOOK_SECONDS: &str = "slipway_hook_duration_seconds";
/// Uploads that are open.
pub const UPLOADS_OPEN: &str = "slipway_uploads_open";
/// Jobs that wait, by line.
pub const JOBS_WAITING: &str = "slipway_jobs_waiting";
/// Jobs that run, by the stage that they are in.
pub const JOBS_RUNNING: &str = "slipway_jobs_running";
/// How long the film has waited that has been in line longest.
pub const OLDEST_SECONDS: &str = "slipway_queue_oldest_seconds";
/// Whether the queue is paused.
pub const PAUSED: &str = "slipway_queue_paused";
/// Attempts at jobs that ended, by line and outcome.
pub const JOBS: &str = "slipway_jobs_total";
/// Attempts at jobs that failed, by the error's code.
pub const JOB_ERRORS: &str = "slipway_job_errors_total";
/// Duration of attempts that ended a job well, by line.
pub const JOB_SECONDS: &str = "slipway_job_duration_seconds";
/// Duration of stages that ended well, by stage.
pub const STAGE_SECONDS: &str = "slipway_stage_duration_seconds";
/// Seconds of film made for each second of time, by the source's codec and the highest rung.
pub const ENCODE_SPEED: &str = "slipway_encode_speed_ratio";
/// The most memory that a worker child held.
pub const CHILD_MEMORY: &str = "slipway_worker_memory_peak_bytes";
/// Duration of syncs, by what was synced.
pub const SYNC_SECONDS: &str = "slipway_sync_duration_seconds";
/// Size of the database.
pub const DATABASE_BYTES: &str = "slipway_database_bytes";
/// Size of the file system.
pub const DISK_BYTES: &str = "slipway_disk_size_bytes";
/// Free space on it.
pub const DISK_FREE: &str = "slipway_disk_free_bytes";
/// Free space that uploads leave alone.
pub const DISK_RESERVE: &str = "slipway_disk_reserve_bytes";
/// Answers, by route, method and class of status.
pub const REQUESTS: &str = "slipway_http_requests_total";
/// Time to the head of the answer, by route.
pub const REQUEST_SECONDS: &str = "slipway_http_request_duration_seconds";
/// Requests and connections that were one too many, by what was counted.
pub const LIMITED: &str = "slipway_limited_total";
/// Entries that the audit log lost.
pub const AUDIT_LOST: &str = "slipway_audit_entries_lost_total";
/// Open streams of live status.
pub const LISTENERS: &str = "slipway_live_listeners";
/// When the process started.
pub const STARTED: &str = "slipway_start_time_seconds";
/// Always 1; the version is a label.
pub const BUILD: &str = "slipway_build_info";

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counted in buckets up to these bounds.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// In what it counts.
    pub unit: Unit,
    /// What it tells, in a sentence.
    pub help: &'static str,
}

const MINUTES: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43_200.0];
const MOMENTS: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
const REQUEST: &[f64] = &[0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0];
const SIZES: &[f64] = &[
    1_048_576.0,
    10_485_760.0,
    104_857_600.0,
    1_073_741_824.0,
    10_737_418_240.0,
    107_374_182_400.0,
];
const MEMORY: &[f64] = &[
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
    1_073_741_824.0,
    2_147_483_648.0,
    4_294_967_296.0,
];
const SPEEDS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0];

const fn metric(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind, unit, help }
}

/// All of them.
pub const ALL: &[Metric] = &[
    metric(UPLOADS, Kind::Counter, Unit::Count, "Uploads that ended."),
    metric(UPLOAD_BYTES, Kind::Counter, Unit::Bytes, "Bytes of uploads that were stored."),
    metric(
        UPLOAD_SECONDS,
        Kind::Histogram(MINUTES),
        Unit::Seconds,
        "From an upload's creation to its finish.",
    ),
    metric(UPLOAD_SIZE, Kind::Histogram(SIZES), Unit::Bytes, "Sizes of finished uploads."),
    metric(
        UPLOAD_BREAKS,
        Kind::Counter,
        Unit::Count,
        "Bodies of uploads that ended early and have to be sent again or gone on with.",
    ),
    metric(HOOKS, Kind::Counter, Unit::Count, "Questions to blocking hooks."),
    metric(
        HOOK_SECONDS,
        Kind::Histogram(REQUEST),
        Unit::Seconds,
        "How long blocking hooks took to answer, or didn't.",
    ),
    metric(UPLOADS_OPEN, Kind::Gauge, Unit::Count, "Uploads that haven't ended."),
    metric(JOBS_WAITING, Kind::Gauge, Unit::Count, "Jobs that wait."),
    metric(JOBS_RUNNING, Kind::Gauge, Unit::Count, "Jobs that run."),
    metric(
        OLDEST_SECONDS,
        Kind::Gauge,
        Unit::Seconds,
        "How long the film has waited that has been in line longest.",
    ),
    metric(PAUSED, Kind::Gauge, Unit::Count, "1 while the queue is paused."),
    metric(JOBS, Kind::Counter, Unit::Count, "Attempts at jobs that ended."),
    metric(JOB_ERRORS, Kind::Counter, Unit::Count, "Attempts at jobs that failed."),
    metric(
        JOB_SECONDS,
        Kind::Histogram(MINUTES),
        Unit::Seconds,
        "Duration of the attempts that ended a job well.",
    ),
    metric(
        STAGE_SECONDS,
        Kind::Histogram(MINUTES),
        Unit::Seconds,
        "Duration of stages that ended well.",
    ),
    metric(
        ENCODE_SPEED,
        Kind::Histogram(SPEEDS),
        Unit::Count,
        "Seconds of film made for each second of time, with all rungs.",
    ),
    metric(
        CHILD_MEMORY,
        Kind::Histogram(MEMORY),
        Unit::Bytes,
        "The most memory that a worker child held.",
    ),
    metric(
        SYNC_SECONDS,
        Kind::Histogram(MOMENTS),
        Unit::Seconds,
        "How long the disk took to confirm.",
    ),
    metric(DATABASE_BYTES, Kind::Gauge, Unit::Bytes, "Size of the database."),
    metric(DISK_BYTES, Kind::Gauge, Unit::Bytes, "Size of the data directory's file system."),
    metric(DISK_FREE, Kind::Gauge, Unit::Bytes, "Free space on the data directory's file system."),
    metric(DISK_RESERVE, Kind::Gauge, Unit::Bytes, "Free space that uploads leave alone."),
    metric(REQUESTS, Kind::Counter, Unit::Count, "Answers to requests."),
    metric(
        REQUEST_SECONDS,
        Kind::Histogram(REQUEST),
        Unit::Seconds,
        "From a request's head to the head of its answer.",
    ),
    metric(LIMITED, Kind::Counter, Unit::Count, "Requests and connections that were too many."),
    metric(AUDIT_LOST, Kind::Counter, Unit::Count, "Entries that the audit log lost."),
    metric(LISTENERS, Kind::Gauge, Unit::Count, "Open streams of live status."),
    metric(STARTED, Kind::Gauge, Unit::Seconds, "When the process started, in seconds since 1970."),
    metric(BUILD, Kind::Gauge, Unit::Count, "Always 1; the label tells the version."),
];
