//! Configuration: built-in defaults < file < environment < flags, validated once into [`Config`].
//!
//! Each key is written once, in [`keys::KEYS`]; the reference in docs/CONFIGURATION.md is made
//! from that table. Nothing else in the program reads the environment for settings.

mod credentials;
pub mod flags;
mod hooks;
pub mod keys;
mod originals;
mod values;

pub use hooks::{
    BlockingHook, HookSecret, HooksConfig, WebhookConfig, check_url as check_hook_url,
};
pub use originals::OriginalsConfig;

use credentials::Credentials;

use crate::model::accept::Accept;
use crate::model::access::Role;
use crate::model::keep::Retention;
use crate::model::manifest::Formats;
use crate::model::video::Visibility;
use crate::units::ByteCount;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything the server needs to know, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen when systemd hands over no socket.
    pub listen: Listen,
    /// The address the world uses; derived from each request when not set.
    pub public_url: Option<String>,
    /// Who stands in front.
    pub proxies: Proxies,
    /// TLS of the server's own.
    pub tls: TlsConfig,
    /// Everything the server keeps.
    pub data_dir: PathBuf,
    /// Who is let in.
    pub auth_mode: AuthMode,
    /// What JWTs have to be like.
    pub jwt: JwtConfig,
    /// Uploads.
    pub upload: UploadConfig,
    /// Work on videos.
    pub media: MediaConfig,
    /// Finished files, as they were sent.
    pub originals: OriginalsConfig,
    /// Visibility of a video whose uploader names none.
    pub default_visibility: Visibility,
    /// Webhooks and blocking hooks.
    pub hooks: HooksConfig,
    /// How long a deleted video can be restored; 0 removes it at once.
    pub trash_for_ms: u64,
    /// How long videos are kept.
    pub retention: Retention,
    /// Playback tokens.
    pub playback: PlaybackConfig,
    /// What one caller may ask for.
    pub limits: LimitsConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// Origins that may call from a browser; `*` for all, without credentials.
    pub cors_origins: Vec<String>,
    /// The form of the log.
    pub log_format: LogFormat,
    /// The kernel's boot id as the service unit passes it (`SLIPWAY_BOOT_ID`).
    pub boot_id: Option<String>,
    /// A credential of systemd's that is named and isn't there for this process. A server needs
    /// it; commands that aren't one do without.
    pub lacking_credential: Option<String>,
}

impl Config {
    /// Says whether a file isn't there because systemd hands it to the server alone.
    pub fn lacks(&self, file: Option<&Path>) -> bool {
        self.lacking_credential.is_some() && file.is_some_and(|file| !file.exists())
    }

    /// Says whether that is so of the certificate or its key.
    pub fn lacks_pair(&self) -> bool {
        self.lacks(self.tls.certificate.as_deref()) || self.lacks(self.tls.key.as_deref())
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// Says whether only this machine can reach the address.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where certificate and key of the server's own TLS are; either both or neither are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, and those that vouch for it.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl TlsConfig {
    /// Says whether the server does TLS by itself.
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }
}

/// The proxies that are trusted to say from whom a request comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// Whether they call over a Unix socket.
    pub unix: bool,
    /// What they write. Proxies pass on what they don't write themselves, so only one kind is
    /// read: the other would be the client's own word.
    pub headers: ProxyHeaders,
}

impl Proxies {
    /// Says whether `peer` is one of them; none is the peer of a Unix socket.
    pub fn trust(&self, peer: Option<std::net::IpAddr>) -> bool {
        match peer {
            Some(ip) => self.networks.iter().any(|network| network.contains(ip)),
            None => self.unix,
        }
    }
}

/// The headers in which proxies tell of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeaders {
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Bounds on what one caller may ask for; none for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Requests in a minute from one address.
    pub requests_per_address: Option<u32>,
    /// Requests in a minute for media and files of pages, from one address.
    pub media_per_address: Option<u32>,
    /// Requests in a minute with one token.
    pub requests_per_token: Option<u32>,
    /// Requests in a minute in one owner's name.
    pub requests_per_owner: Option<u32>,
    /// Connections at once from one address.
    pub connections_per_address: Option<usize>,
}

/// A network in CIDR form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// First address.
    pub address: std::net::IpAddr,
    /// Leading bits that count.
    pub prefix_bits: u8,
}

impl Network {
    /// Says whether `ip` lies in the network.
    pub fn contains(&self, ip: std::net::IpAddr) -> bool {
        use std::net::IpAddr::{V4, V6};
        let bits = u32::from(self.prefix_bits);
        match (self.address, ip.to_canonical()) {
            (V4(net), V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(net) & mask == u32::from(ip) & mask
            }
            (V6(net), V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(net) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl std::str::FromStr for Network {
    type Err = ();

    /// Reads an address or a network such as `10.0.0.0/8`.
    fn from_str(text: &str) -> Result<Self, ()> {
        values::network(text).ok_or(())
    }
}

/// How long playback tokens count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaybackConfig {
    /// Unless whoever asks for one says so.
    pub default_expiry_ms: u64,
    /// At most.
    pub max_expiry_ms: u64,
}

/// How long the audit log keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Entries.
    pub keep_for_ms: u64,
    /// All of its files; the oldest go first.
    pub size_max: ByteCount,
    /// Addresses in entries; 0 for never.
    pub addresses_for_ms: u64,
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Holders of an access token, or of a session that a token opened.
    Token,
    /// These, and holders of a JWT that the user's own app has signed.
    Jwt,
    /// Anybody on this machine; refused unless `listen` is loopback.
    Open,
}

/// What JWTs have to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtConfig {
    /// The keys with which they are signed.
    pub key_file: Option<PathBuf>,
    /// Who has to have made them (`iss`).
    pub issuer: Option<String>,
    /// For whom they have to be made (`aud`).
    pub audience: Option<String>,
    /// The claim that holds the role.
    pub role_claim: String,
    /// The claim that holds the organisation.
    pub org_claim: String,
    /// The role where there is no such claim; none refuses them.
    pub default_role: Option<Role>,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// As fits whoever reads it.
    Auto,
    /// Lines for people.
    Text,
    /// JSON, an object a line.
    Json,
}

/// Settings of uploads.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadConfig {
    /// Largest upload.
    pub max_size: ByteCount,
    /// Suggested to clients.
    pub chunk_size: ByteCount,
    /// Up to this size, an upload in numbered parts is one part.
    pub single_threshold: ByteCount,
    /// Idle partial uploads are removed after this.
    pub expire_after_ms: u64,
    /// When answers promise survival of a power cut.
    pub durability: Durability,
    /// A body that brings nothing for this long is closed.
    pub idle_timeout_ms: u64,
    /// Free space below which nothing new is taken.
    pub reserve_free_space: Reserve,
    /// When uploads by the IETF's draft are told something before their answer.
    pub interim: Interim,
    /// Which uploads are let in.
    pub admission: Admission,
    /// Bytes of files that aren't what is taken stay after their rejection.
    pub keep_rejected: bool,
}

/// When interim answers (`104 Upload Resumption Supported`) are sent to clients that know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interim {
    /// Unless a proxy has passed the request on, and says so.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which files are taken, and how much one owner may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Bytes that an owner keeps, announced ones with them.
    pub quota_per_user: Option<ByteCount>,
    /// Bytes that an owner has announced and not sent yet.
    pub reserved_per_user: ByteCount,
    /// Uploads of an owner that haven't ended.
    pub open_per_user: usize,
    /// Films of an owner that wait to be worked on, for the next upload to be taken.
    pub waiting_per_user: Option<usize>,
    /// Bodies of an owner that are received at the same moment.
    pub bodies_per_user: usize,
    /// Kinds of files that are taken.
    pub accept: Accept,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            quota_per_user: None,
            reserved_per_user: ByteCount(50 << 30),
            open_per_user: 10_000,
            waiting_per_user: None,
            bodies_per_user: 2_000,
            accept: Accept::default(),
        }
    }
}

/// Which answers promise survival of a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The finishing answer; earlier ones promise survival of a killed process.
    Complete,
    /// Every answer.
    Chunk,
}

/// Free space to leave alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reserve {
    /// A share of the file system, 0 ..= 100.
    Percent(f64),
    /// A fixed size.
    Bytes(ByteCount),
}

impl Reserve {
    /// Returns the bytes to leave alone on a file system of `total` bytes.
    pub fn of(self, total: ByteCount) -> ByteCount {
        match self {
            Self::Percent(share) => ByteCount((total.0 as f64 * share / 100.0) as u64),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// Settings of the work on videos.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaConfig {
    /// Heights to make; none means chosen from the source.
    pub ladder_heights: Option<Vec<u32>>,
    /// x264 preset.
    pub preset: String,
    /// In which forms films are published.
    pub formats: Formats,
    /// Segments are encrypted.
    pub encrypt: bool,
    /// Length of encoded segments.
    pub segment_seconds: u32,
    /// Sound is brought to −16 LUFS.
    pub loudness: bool,
    /// Jobs at once.
    pub workers: usize,
    /// Of them, jobs at once on one owner's films.
    pub workers_per_user: Option<usize>,
    /// Jobs at once on films that are still being uploaded, beside the others.
    pub live_workers: usize,
    /// Children that work on one film at once; none means chosen from the machine.
    pub spans: Option<u32>,
    /// Largest picture in pixels.
    pub max_pixels: u64,
    /// Longest source.
    pub max_duration_ms: u64,
    /// Address space of one child.
    pub max_memory: ByteCount,
    /// A child without a report for this long is killed.
    pub stall_timeout_ms: u64,
}

/// A configuration that can't be used. Its text is one line with the key and the mend.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("configuration file {path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why, in one line.
        cause: String,
    },
    /// A key that doesn't exist.
    #[error("{origin}: unknown key `{key}`{}", match .suggestion {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; `slipway check-config --keys` lists all".to_owned(),
    })]
    UnknownKey {
        /// Where it was found.
        origin: String,
        /// The key.
        key: String,
        /// The nearest key that exists.
        suggestion: Option<String>,
    },
    /// A value that the key doesn't take.
    #[error("{origin}: `{key}` = {value}: {mend}")]
    BadValue {
        /// Where it was found.
        origin: String,
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What is allowed.
        mend: String,
    },
    /// Values that don't go together.
    #[error("`{key}`: {mend}")]
    Conflict {
        /// The key to change.
        key: &'static str,
        /// Why and how.
        mend: &'static str,
    },
}

/// One setting with the place it came from.
struct Setting {
    origin: String,
    value: Value,
}

/// The layers put together: a value for every key, and the checked form.
#[derive(Debug)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    effective: Table,
}

impl Loaded {
    /// Returns the effective configuration as TOML, one line a key, in the table's order.
    pub fn to_toml(&self) -> String {
        keys::KEYS
            .iter()
            .filter_map(|key| self.effective.get(key.name).map(|value| (key.name, value)))
            .map(|(name, value)| format!("{name} = {}\n", shown(name, value)))
            .collect()
    }
}

/// Where a file is looked for when no flag names one.
const DEFAULT_FILES: [&str; 2] = ["./slipway.toml", "/etc/slipway/slipway.toml"];

/// Puts the layers together: `file` (or the first default file that exists), then variables
/// `SLIPWAY_…` from `environment`, then `overrides` (key, TOML value or bare word) from flags.
///
/// # Errors
/// The first thing that is wrong, naming its place, key and mend.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Loaded, ConfigError> {
    let mut settings: Vec<(String, Setting)> = Vec::new();
    let (mut boot_id, mut credentials) = (None, None);
    let path = match file {
        Some(path) => Some(path.to_owned()),
        None => DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.exists()),
    };
    if let Some(path) = &path {
        let cause = |cause: String| ConfigError::File { path: path.clone(), cause };
        let text = std::fs::read_to_string(path).map_err(|error| cause(error.to_string()))?;
        let table: Table = text.parse().map_err(|e: toml::de::Error| {
            let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            cause(format!("line {line}: {}", e.message()))
        })?;
        flatten("", &Value::Table(table), &format!("{}", path.display()), &mut settings);
    }
    for (name, text) in environment {
        if name == "SLIPWAY_BOOT_ID" {
            boot_id = Some(text).filter(|text| !text.is_empty());
        } else if name == "CREDENTIALS_DIRECTORY" {
            credentials = Some(PathBuf::from(text));
        } else if let Some(rest) = name.strip_prefix("SLIPWAY_") {
            // Variables under these prefixes steer scripts, tests and `ingest`, not the server.
            let others = ["BIN", "LOG", "FAIL_AT", "HOLD_AT", "TOKEN"];
            if rest.starts_with("TEST_") || others.contains(&rest) {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            settings.push((key, Setting { origin: name, value: bare_or_toml(&text) }));
        }
    }
    for (key, text) in overrides {
        let origin = format!("--{}", key.replace(['.', '_'], "-"));
        settings.push((key.clone(), Setting { origin, value: bare_or_toml(text) }));
    }
    let (mut config, effective) = apply(settings, &Credentials::of(credentials.as_deref()))?;
    config.boot_id = boot_id;
    config.originals.credentials = credentials;
    Ok(Loaded { config, file: path, effective })
}

fn apply(
    settings: Vec<(String, Setting)>,
    credentials: &Credentials,
) -> Result<(Config, Table), ConfigError> {
    let mut config = keys::blank();
    let mut effective = Table::new();
    for key in keys::KEYS {
        let default = bare_or_toml(key.default);
        if let Err(mend) = (key.set)(&mut config, &default) {
            return Err(bad_value("built in", key.name, &default, &mend));
        }
        effective.insert(key.name.to_owned(), default);
    }
    for (name, setting) in settings {
        let Some(key) = keys::KEYS.iter().find(|key| key.name == name) else {
            let suggestion = nearest(&name);
            return Err(ConfigError::UnknownKey { origin: setting.origin, key: name, suggestion });
        };
        let set = credentials.resolved(key.name, &setting.value).and_then(|resolved| {
            config.lacking_credential = config.lacking_credential.take().or(resolved.lacks);
            (key.set)(&mut config, &resolved.value)
        });
        if let Err(mend) = set {
            return Err(bad_value(&setting.origin, key.name, &setting.value, &mend));
        }
        effective.insert(name, setting.value);
    }
    if config.auth_mode == AuthMode::Open && !config.listen.is_loopback() {
        return Err(ConfigError::Conflict {
            key: "auth.mode",
            mend: "\"open\" lets anybody in, so `listen` must be a loopback address such as \
                   127.0.0.1:8080; use \"token\" for any other",
        });
    }
    if config.media.encrypt && (config.media.formats.dash || config.media.formats.mp4) {
        return Err(ConfigError::Conflict {
            key: "media.encrypt",
            mend: "players of DASH and those who download a file can't open encrypted segments; \
                   with it set `media.formats` to [\"hls\"]",
        });
    }
    if !config.retention.is_none() && config.trash_for_ms == 0 {
        return Err(ConfigError::Conflict {
            key: "video.trash_for",
            mend: "with `retention.*` deleted videos have to stay in the trash for a while, so \
                   that a mistake can be undone",
        });
    }
    if config.playback.default_expiry_ms > config.playback.max_expiry_ms {
        return Err(ConfigError::Conflict {
            key: "playback.default_expiry",
            mend: "can't be longer than `playback.max_expiry`",
        });
    }
    if config.tls.certificate.is_some() != config.tls.key.is_some() {
        return Err(ConfigError::Conflict {
            key: "tls.key",
            mend: "belongs to `tls.certificate`; set both or neither",
        });
    }
    if (config.auth_mode == AuthMode::Jwt) != config.jwt.key_file.is_some() {
        return Err(ConfigError::Conflict {
            key: "auth.jwt.key_file",
            mend: "names the keys for `auth.mode` = \"jwt\"; set both or neither",
        });
    }
    Ok((config, effective))
}

fn bad_value(origin: &str, key: &str, value: &Value, mend: &str) -> ConfigError {
    ConfigError::BadValue {
        origin: origin.to_owned(),
        key: key.to_owned(),
        value: shown(key, value).to_string(),
        mend: mend.to_owned(),
    }
}

/// Returns a key's value as it may be shown.
fn shown(key: &str, value: &Value) -> Value {
    if key.starts_with("hooks.") { hooks::masked(value) } else { value.clone() }
}

/// Lists the leaves of a table under their dotted names. The value of a key may be a table itself.
fn flatten(prefix: &str, value: &Value, origin: &str, into: &mut Vec<(String, Setting)>) {
    let is_key = keys::KEYS.iter().any(|key| key.name == prefix);
    match value {
        Value::Table(table) if !is_key => {
            for (name, value) in table {
                let dotted =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&dotted, value, origin, into);
            }
        }
        leaf => into
            .push((prefix.to_owned(), Setting { origin: origin.to_owned(), value: leaf.clone() })),
    }
}

/// Reads a value from text that may be TOML (`["a", "b"]`, `3`, `true`) or a bare word.
fn bare_or_toml(text: &str) -> Value {
    let parsed: Option<Table> = format!("v = {text}").parse().ok();
    parsed
        .and_then(|mut table| table.remove("v"))
        .filter(|value| !value.is_datetime())
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn nearest(name: &str) -> Option<String> {
    keys::KEYS
        .iter()
        .map(|key| (strsim::damerau_levenshtein(name, key.name), key.name))
        .min()
        .filter(|&(distance, near)| distance <= near.len() / 2)
        .map(|(_, near)| near.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_with(file: Option<&str>, env: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("slipway.toml");
        std::fs::write(&path, file.unwrap_or_default()).expect("a file");
        let env = env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        load(Some(&path), env, &[])
    }

    /// Later layers win, and every form of a value is understood.
    #[test]
    fn flags_beat_environment_beats_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("slipway.toml");
        let text = "listen = \"127.0.0.1:1\"\n[upload]\nmax_size = \"1 GiB\"\n\
                    chunk_size = \"16 MiB\"\n[media]\nladder = [720, 360]\n";
        std::fs::write(&path, text).expect("a file");
        let env = [("SLIPWAY_LISTEN", "127.0.0.1:2"), ("SLIPWAY_UPLOAD__MAX_SIZE", "2 GiB")];
        let env = env.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        let flags = [("listen".to_owned(), "127.0.0.1:3".to_owned())];
        let config = load(Some(&path), env, &flags).expect("good").config;
        assert_eq!(config.listen.to_string(), "127.0.0.1:3");
        assert_eq!(config.upload.max_size, ByteCount(2 << 30));
        assert_eq!(config.upload.chunk_size, ByteCount(16 << 20));
        assert_eq!(config.media.ladder_heights, Some(vec![720, 360]));
    }

    /// Proxies are networks and the peers of Unix sockets, and nobody unless said so.
    #[test]
    fn proxies_are_named() {
        let config = |text| load_with(Some(text), &[]).map(|loaded| loaded.config.proxies);
        assert_eq!(config(""), Ok(Proxies::default()));
        let proxies = config("trusted_proxies = [\"unix\", \"10.0.0.0/8\"]").expect("good");
        assert!(proxies.trust(None) && proxies.trust(Some([10, 1, 1, 1].into())));
        assert!(!proxies.trust(Some([11, 1, 1, 1].into())));
        assert!(config("trusted_proxies = [\"nginx\"]").is_err());
        let forwarded = config("proxy_headers = \"forwarded\"").expect("good");
        assert_eq!(forwarded.headers, ProxyHeaders::Forwarded);
    }

    /// What can't be used stops the start with one line that names the key and the mend.
    #[test]
    fn mistakes_are_named_in_one_line() {
        let cases = [
            (
                "[upload]\nmax_sise = 1\n",
                "unknown key `upload.max_sise`; did you mean `upload.max_size`?",
            ),
            ("listen = \"nowhere\"\n", "`listen` = \"nowhere\": "),
            ("[media]\npreset = \"warp\"\n", "`media.preset` = \"warp\": "),
            ("[media]\nsegment_seconds = 0\n", "`media.segment_seconds` = 0: "),
            ("[auth]\nmode = \"open\"\n[server]\n", ""),
            ("listen = \"0.0.0.0:80\"\n[auth]\nmode = \"open\"\n", "`auth.mode`: "),
            ("listen = \n", "line 1: "),
            ("quux_zorp = 1\n", "unknown key `quux_zorp`"),
        ];
        for (file, expected) in cases {
            match load_with(Some(file), &[]) {
                Ok(_) => assert_eq!(expected, "", "{file}"),
                Err(error) => {
                    let line = error.to_string();
                    assert!(line.contains(expected) && !line.contains('\n'), "{line}");
                }
            }
        }
        let hook = "[hooks]\npre_create = {url = \"https://a.example/\", secret = \
                    \"whsec_c2VjcmV0IGJ5dGVzIG9mIHRoZSBhcHAgaGVyZQ==\"}\n";
        let loaded = load_with(Some(hook), &[]).expect("a hook with a secret");
        assert!(!loaded.to_toml().contains("whsec_c2"), "{}", loaded.to_toml());
        for secret in ["\"whsec_mine\"", "[\"whsec_mine\"]"] {
            let hook =
                format!("[hooks]\npre_create = {{url = \"https://a\", secret = {secret}}}\n");
            let line = load_with(Some(&hook), &[]).expect_err("no secret").to_string();
            assert!(!line.contains("whsec_mine") && line.contains("hooks.pre_create"), "{line}");
        }
        assert!(load_with(None, &[("SLIPWAY_LISTN", "x")]).is_err());
        assert!(load_with(None, &[("SLIPWAY_TEST_MEDIA", "x"), ("HOME", "y")]).is_ok());
    }

    /// What `check-config` prints is a configuration file with the same meaning.
    #[test]
    fn the_printed_configuration_loads_again() {
        let first = load_with(Some("[upload]\nmax_size = \"7 GB\"\n"), &[]).expect("good");
        let again = load_with(Some(&first.to_toml()), &[]).expect("printed form loads");
        assert_eq!(first.config, again.config);
    }

    /// Networks match by their leading bits, in both families.
    #[test]
    fn networks_match_by_prefix() {
        let net = |text| values::network(text).expect("a network");
        let ip = |text: &str| text.parse().expect("an address");
        assert!(net("10.0.0.0/8").contains(ip("10.9.8.7")));
        assert!(!net("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(net("0.0.0.0/0").contains(ip("8.8.8.8")));
        assert!(net("127.0.0.1").contains(ip("::ffff:127.0.0.1")));
        assert!(net("fd00::/8").contains(ip("fd12::1")) && !net("fd00::/8").contains(ip("::1")));
    }

    /// docs/CONFIGURATION.md is what the table of keys says. SLIPWAY_TEST_BLESS=1 rewrites it.
    #[test]
    fn the_reference_is_made_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");
        if std::env::var_os("SLIPWAY_TEST_BLESS").is_some() {
            std::fs::write(path, keys::reference()).expect("docs can be written");
        }
        let written = std::fs::read_to_string(path).expect("docs/CONFIGURATION.md exists");
        assert_eq!(written, keys::reference());
    }
}
