//! Flags and subcommands, declared once.

use crate::units::ByteCount;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Self-hosted video uploads: resumable in, HLS and DASH out.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about, disable_help_subcommand = true)]
pub struct Flags {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings that every command takes.
    #[command(flatten)]
    pub settings: Settings,
}

/// Settings from the command line; they beat the environment and the file.
#[derive(Clone, Debug, Default, Args)]
pub struct Settings {
    /// Configuration file [default: ./slipway.toml, then /etc/slipway/slipway.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port, or unix:/path.sock
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory for everything the server keeps
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Any other key of the configuration, as often as needed
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Settings {
    /// Returns the flags as keys and values for [`super::load`].
    ///
    /// # Errors
    /// A `--set` without `=`, as a sentence.
    pub fn overrides(&self) -> Result<Vec<(String, String)>, String> {
        let mut pairs = Vec::new();
        for text in &self.set {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| format!("--set {text}: needs KEY=VALUE, as in media.preset=fast"))?;
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        let named = [("listen", &self.listen), ("data_dir", &self.data_dir)];
        for (key, value) in named {
            if let Some(value) = value {
                pairs.push((key.to_owned(), value.clone()));
            }
        }
        Ok(pairs)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve,
    /// Check the configuration and print the effective one
    CheckConfig {
        /// List every key with its default and meaning instead
        #[arg(long)]
        keys: bool,
    },
    /// Look at everything that a server needs, and say how to mend what is wrong
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Make the records anew from the last export and the files; no server may run
        #[arg(long, conflicts_with = "json")]
        rebuild: bool,
    },
    /// Print a one-time login link (15 minutes)
    LoginLink,
    /// Make, list and revoke access tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Accounts that sign in with a name and a password
    #[command(subcommand)]
    User(UserCommand),
    /// The keys with which the server signs
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The keys that sign playback tokens
    #[command(subcommand)]
    Playback(PlaybackCommand),
    /// Keys of encrypted originals
    #[command(subcommand)]
    Originals(OriginalsCommand),
    /// The records as lines of JSON: export, import, check
    #[command(subcommand)]
    Db(DbCommand),
    /// Look at the queue of jobs and steer it
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// How the server does: queue, workers, jobs, uploads, disk, warnings
    Status {
        /// Look again every second
        #[arg(long)]
        watch: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put everything in the data directory in its place
    Gc {
        /// Only tell what would be done
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Who has how much of what on the disk, and what is where it shouldn't be
    Audit {
        /// Look anew, however young the last audit is
        #[arg(long)]
        refresh: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Who did what: the audit log, the oldest entries first
    AuditLog {
        /// Only from then on: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only what this user, or the token with this id, did
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// Only this, such as video-deleted
        #[arg(long, value_name = "WORD")]
        action: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Copy the data directory, also beside the running server; only what is new is copied again
    Backup {
        /// Where backups are kept
        #[arg(value_name = "DIR")]
        target: PathBuf,
        /// Remove all but the newest N backups afterwards
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
        /// What was made, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new data directory of a backup
    Restore {
        /// Where backups are kept (the newest one counts), or one of them
        #[arg(value_name = "DIR")]
        from: PathBuf,
        /// What was restored, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Send files or directories to a server; run again, it goes on where it stopped
    Ingest(Ingest),
    /// Internal: one media job in its own confined process
    #[command(hide = true)]
    Worker {
        /// Only report what confinement this machine gives
        #[arg(long)]
        probe: bool,
    },
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account; its password is asked for, or read from stdin or a file
    Create {
        /// Its name, such as ann, or acme/ann in an organisation
        name: String,
        /// viewer, uploader or admin
        #[arg(long, value_parser = ["viewer", "uploader", "admin"])]
        role: String,
        /// File with the password [default: stdin]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// List accounts
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an account another password, which ends its sessions
    SetPassword {
        /// Its name
        name: String,
        /// File with the password [default: stdin]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give an account another role
    SetRole {
        /// Its name
        name: String,
        /// viewer, uploader or admin
        #[arg(value_parser = ["viewer", "uploader", "admin"])]
        role: String,
    },
    /// Keep anybody from signing in, and end the account's sessions
    Disable {
        /// Its name
        name: String,
    },
    /// Let somebody sign in again
    Enable {
        /// Its name
        name: String,
    },
    /// Forget an account; what it has uploaded stays
    Remove {
        /// Its name
        name: String,
    },
    /// Write all that is kept of somebody to one archive (tar)
    Export {
        /// Whose: ann, acme/ann, or acme/ for all of an organisation
        #[arg(value_name = "OWNER")]
        owner: String,
        /// Where to: - is standard output [default: slipway-OWNER-DATE.tar]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Replace FILE if it is there
        #[arg(long)]
        force: bool,
        /// Leave out the files that were sent
        #[arg(long)]
        without_originals: bool,
        /// Tell what is in it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove all that is kept of somebody, for good
    Erase {
        /// Whose: ann, acme/ann, or acme/ for all of an organisation
        #[arg(value_name = "OWNER")]
        owner: String,
        /// Only tell what would go
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; stdout gets the token and nothing else
    Create(TokenCreate),
    /// List tokens
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token at once
    Revoke {
        /// Id as `token list` shows it
        id: String,
    },
}

/// What to do with keys that sign something.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Sign with a new key from now on; what the keys before have signed goes on counting
    Rotate {
        /// What they sign
        of: KeysOf,
        /// It doesn't: all of it ends at once
        #[arg(long)]
        drop_old: bool,
    },
    /// Forget all keys but the newest: what they have signed ends at once
    DropOld {
        /// What they sign
        of: KeysOf,
    },
    /// List the keys that count
    List {
        /// What they sign
        of: KeysOf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What keys sign.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeysOf {
    /// Playback tokens
    Playback,
    /// Addresses of parts of uploads
    PartUrls,
    /// Logins in browsers
    Sessions,
}

/// What to do with the keys that sign playback tokens.
#[derive(Debug, Subcommand)]
pub enum PlaybackCommand {
    /// Sign with a new key from now on; tokens of the keys before go on counting
    RotateKey {
        /// They don't: every token that was made so far ends at once
        #[arg(long)]
        drop_old: bool,
    },
    /// Forget all keys but the newest: tokens that they signed end at once
    DropOldKeys,
    /// List the keys that count
    ListKeys {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to do with the keys of encrypted originals.
#[derive(Debug, Subcommand)]
pub enum OriginalsCommand {
    /// Make a key; stdout gets what a line of `originals.key_file` says and nothing else
    NewKey,
    /// Wrap the keys of all files with the first key of `originals.key_file`; their bytes stay
    Rewrap {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Stages of a job, as the API names them.
const STAGES: [&str; 6] = ["probe", "poster", "renditions", "storyboard", "captions", "publish"];

/// What to do with jobs. ID is a video's or a job's.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, the newest first
    List {
        /// Only those in this state
        #[arg(long, value_parser = ["queued", "running", "done", "failed", "cancelled"])]
        state: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Process a video again
    Retry {
        /// Which
        id: String,
        /// Only this stage of it
        #[arg(long)]
        #[arg(value_parser = STAGES)]
        stage: Option<String>,
    },
    /// End the processing of a video
    Cancel {
        /// Which
        id: String,
    },
    /// Give a video another place in line: -100 to 100, the higher one goes first
    Prioritise {
        /// Which
        id: String,
        /// How urgent
        #[arg(allow_negative_numbers = true)]
        priority: i32,
    },
    /// Begin no more jobs, until they are resumed
    Pause,
    /// Begin jobs again
    Resume,
}

/// What to do with the records.
#[derive(Debug, Subcommand)]
pub enum DbCommand {
    /// Write all records of one moment as lines of JSON; may run beside the server
    Export {
        /// Where to [default: stdout]; gzip if it ends in .gz
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make the database anew from an export; no server may run
    Import {
        /// What `db export` wrote, or export.jsonl.gz of a data directory
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Take every record as it is, for an export after which no server has run
        #[arg(long)]
        exact: bool,
        /// Move the database that is there aside
        #[arg(long)]
        replace: bool,
    },
    /// Look whether the records fit together; exit code 1 if not
    Check {
        /// Look at an export instead
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a new token may do.
#[derive(Clone, Debug, Args)]
pub struct TokenCreate {
    /// viewer, uploader or admin
    #[arg(long, value_parser = ["viewer", "uploader", "admin"])]
    pub role: String,
    /// A name to tell it apart
    #[arg(long)]
    pub name: Option<String>,
    /// The user it acts for, such as ann, or acme/ann in an organisation [default: itself]
    #[arg(long)]
    pub user: Option<String>,
    /// How long it holds, such as 30d [default: until revoked]
    #[arg(long)]
    pub expires: Option<String>,
    /// Confines it to a right (video:read, video:write, upload:read, upload:create, admin,
    /// metrics), as often as needed [default: all that its role may]
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// Largest upload that it may begin, such as 2GB
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// How many uploads it may begin in all
    #[arg(long, value_name = "N")]
    pub max_uploads: Option<u32>,
    /// Files that it may bring, of those that the server takes, as often as needed
    #[arg(long, value_name = "TYPE", value_parser = ["video/*", "audio/*", "*/*"])]
    pub accept: Vec<String>,
    /// Everything as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// What to send, where, and how.
#[derive(Clone, Debug, Args)]
pub struct Ingest {
    /// Files, or directories with everything in them
    #[arg(required = true, value_name = "FILE|DIR")]
    pub paths: Vec<PathBuf>,
    /// Address of the server [default: the one of the configuration]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File with the access token [default: SLIPWAY_TOKEN, then the data directory's admin-token]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Title of the video, for one file
    #[arg(long)]
    pub title: Option<String>,
    /// A tag, as often as needed
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Who may see the videos [default: as the server decides]
    #[arg(long, value_parser = ["public", "unlisted", "private"])]
    pub visibility: Option<String>,
    /// A name that groups the uploads
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    /// Chunks on their way at once
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// How long to try again when the server can't be reached or can't take anything
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub retry_for: String,
    /// Wait until the videos can be played
    #[arg(long)]
    pub wait: bool,
    /// Send also what the server has already
    #[arg(long)]
    pub again: bool,
    /// One JSON object a line for each file on stdout
    #[arg(long)]
    pub json: bool,
}

/// Reads a length of time such as `30d`, in milliseconds.
///
/// # Errors
/// A sentence that says what is allowed.
pub fn length_of_time_ms(text: &str) -> Result<u64, String> {
    super::values::time(&toml::Value::String(text.to_owned()), 1_000, 3_650 * 86_400_000)
}

/// Reads a size as the configuration writes it: `2 GB`, `512MiB`.
///
/// # Errors
/// A sentence that says how to write it.
pub fn size_bytes(text: &str) -> Result<ByteCount, String> {
    super::values::size(&toml::Value::String(text.to_owned()), 1, i64::MAX as u64)
}
