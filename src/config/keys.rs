//! The one table of configuration keys: name, default, allowed values, meaning.

use super::{
    Admission, AuditConfig, AuthMode, Config, Durability, HooksConfig, Interim, JwtConfig,
    LimitsConfig, Listen, LogFormat, MediaConfig, OriginalsConfig, PlaybackConfig, Proxies,
    ProxyHeaders, Reserve, TlsConfig, UploadConfig, values as v,
};
use crate::model::access::Role;
use crate::model::keep::Retention;
use crate::model::manifest::Formats;
use crate::model::video::Visibility;
use crate::units::ByteCount;
use std::path::PathBuf;
use toml::Value;

/// One key.
pub struct Key {
    /// Dotted name.
    pub name: &'static str,
    /// The default as it would stand in the file; a bare word stands for a string.
    pub default: &'static str,
    /// Values that are taken.
    pub allowed: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    /// Puts a value into the configuration, or says what is allowed.
    pub set: fn(&mut Config, &Value) -> Result<(), String>,
}

/// Returns a configuration that every key still has to fill.
pub(super) fn blank() -> Config {
    Config {
        listen: Listen::Unix(PathBuf::new()),
        public_url: None,
        proxies: Proxies::default(),
        tls: TlsConfig::default(),
        data_dir: PathBuf::new(),
        auth_mode: AuthMode::Token,
        jwt: JwtConfig::default(),
        upload: UploadConfig {
            max_size: ByteCount(0),
            chunk_size: ByteCount(0),
            single_threshold: ByteCount(0),
            expire_after_ms: 0,
            durability: Durability::Complete,
            idle_timeout_ms: 0,
            reserve_free_space: Reserve::Bytes(ByteCount(0)),
            interim: Interim::Auto,
            admission: Admission::default(),
            keep_rejected: false,
        },
        media: MediaConfig {
            ladder_heights: None,
            preset: String::new(),
            segment_seconds: 0,
            loudness: false,
            formats: Formats::default(),
            encrypt: false,
            workers: 0,
            workers_per_user: None,
            live_workers: 0,
            spans: None,
            max_pixels: 0,
            max_duration_ms: 0,
            max_memory: ByteCount(0),
            stall_timeout_ms: 0,
        },
        originals: OriginalsConfig::default(),
        default_visibility: Visibility::Unlisted,
        trash_for_ms: 0,
        retention: Retention::default(),
        playback: PlaybackConfig::default(),
        hooks: HooksConfig::default(),
        limits: LimitsConfig::default(),
        audit: AuditConfig { keep_for_ms: 0, size_max: ByteCount(0), addresses_for_ms: 0 },
        cors_origins: Vec::new(),
        log_format: LogFormat::Auto,
        boot_id: None,
        lacking_credential: None,
    }
}

/// Presets of x264, fastest first.
const PRESETS: [&str; 9] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
];

/// Every key there is.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        default: "127.0.0.1:8080",
        allowed: "`address:port` or `unix:/path.sock`",
        meaning: "Where to listen; a socket that systemd hands over goes before it.",
        set: |c, x| v::listen(x).map(|it| c.listen = it),
    },
    Key {
        name: "public_url",
        default: "\"\"",
        allowed: "`http://` or `https://` address without a path, or nothing",
        meaning: "The address the world uses; derived from each request when empty.",
        set: |c, x| v::public_url(x).map(|it| c.public_url = it),
    },
    Key {
        name: "trusted_proxies",
        default: "[]",
        allowed: "list of addresses, networks such as `10.0.0.0/8`, and `unix` for whoever calls \
                  over a Unix socket",
        meaning: "Proxies in front, whose word counts on whom a request comes from and under which \
                  address the server is seen.",
        set: |c, x| {
            v::proxies(x).map(|(networks, unix)| {
                c.proxies.networks = networks;
                c.proxies.unix = unix;
            })
        },
    },
    Key {
        name: "proxy_headers",
        default: "x-forwarded",
        allowed: "`x-forwarded` (X-Forwarded-For, -Proto, -Host), `forwarded` (RFC 7239)",
        meaning: "What these proxies write. Only the one kind is read, because a proxy passes on \
                  what it doesn't write itself.",
        set: |c, x| {
            let words =
                [("x-forwarded", ProxyHeaders::XForwarded), ("forwarded", ProxyHeaders::Forwarded)];
            v::one_of(x, &words).map(|it| c.proxies.headers = it)
        },
    },
    Key {
        name: "tls.certificate",
        default: "\"\"",
        allowed: "absolute path of a PEM file, or nothing",
        meaning: "The certificate, and behind it those that vouch for it. With it the server does \
                  TLS (1.2 and 1.3) and HTTP/2 by itself at every address of a network. Read again \
                  when it changes.",
        set: |c, x| v::absolute_path(x).map(|it| c.tls.certificate = it),
    },
    Key {
        name: "tls.key",
        default: "\"\"",
        allowed: "absolute path of a PEM file that others can't read, or nothing",
        meaning: "The certificate's private key, not encrypted. Read again when it changes.",
        set: |c, x| v::absolute_path(x).map(|it| c.tls.key = it),
    },
    Key {
        name: "data_dir",
        default: "./data",
        allowed: "a directory on one file system",
        meaning: "Everything the server keeps.",
        set: |c, x| v::text(x).map(|it| c.data_dir = PathBuf::from(it)),
    },
    Key {
        name: "auth.mode",
        default: "token",
        allowed: "`token`, `jwt`, `open`",
        meaning: "Who is let in; `jwt` also takes what your own app signs; `open` lets in \
                  everybody on this machine and nobody else.",
        set: |c, x| {
            let words =
                [("token", AuthMode::Token), ("jwt", AuthMode::Jwt), ("open", AuthMode::Open)];
            v::one_of(x, &words).map(|it| c.auth_mode = it)
        },
    },
    Key {
        name: "auth.jwt.key_file",
        default: "\"\"",
        allowed: "a file, or nothing",
        meaning: "Keys of your app: public ones as PEM or a JWK set, or a secret of at least 32 \
                  bytes. Read again when it changes.",
        set: |c, x| v::text_or_nothing(x).map(|it| c.jwt.key_file = it.map(PathBuf::from)),
    },
    Key {
        name: "auth.jwt.issuer",
        default: "\"\"",
        allowed: "text, or nothing",
        meaning: "What `iss` has to be.",
        set: |c, x| v::text_or_nothing(x).map(|it| c.jwt.issuer = it),
    },
    Key {
        name: "auth.jwt.audience",
        default: "\"\"",
        allowed: "text, or nothing",
        meaning: "What `aud` has to hold; without it a JWT that has one is refused.",
        set: |c, x| v::text_or_nothing(x).map(|it| c.jwt.audience = it),
    },
    Key {
        name: "auth.jwt.role_claim",
        default: "role",
        allowed: "a claim's name",
        meaning: "The claim that says `viewer`, `uploader` or `admin`.",
        set: |c, x| v::text(x).map(|it| c.jwt.role_claim = it),
    },
    Key {
        name: "auth.jwt.org_claim",
        default: "org",
        allowed: "a claim's name",
        meaning: "The claim that names the organisation, if there is one.",
        set: |c, x| v::text(x).map(|it| c.jwt.org_claim = it),
    },
    Key {
        name: "auth.jwt.default_role",
        default: "none",
        allowed: "`none`, `viewer`, `uploader`",
        meaning: "The role of a JWT without the claim; with `none` such a one is refused.",
        set: |c, x| {
            let words = [
                ("none", None),
                ("viewer", Some(Role::Viewer)),
                ("uploader", Some(Role::Uploader)),
            ];
            v::one_of(x, &words).map(|it| c.jwt.default_role = it)
        },
    },
    Key {
        name: "upload.max_size",
        default: "5 TB",
        allowed: "a size from `1 KiB`",
        meaning: "Largest upload; also announced as Tus-Max-Size.",
        set: |c, x| v::size(x, 1 << 10, i64::MAX as u64).map(|it| c.upload.max_size = it),
    },
    Key {
        name: "upload.chunk_size",
        default: "8 MiB",
        allowed: "`256 KiB` to `512 MiB`",
        meaning: "Size of one request's bytes, suggested to clients.",
        set: |c, x| v::size(x, 256 << 10, 512 << 20).map(|it| c.upload.chunk_size = it),
    },
    Key {
        name: "upload.single_threshold",
        default: "100 MB",
        allowed: "`0` to `512 MiB`",
        meaning: "Files up to this size are one part where uploads come in numbered parts.",
        set: |c, x| v::size(x, 0, 512 << 20).map(|it| c.upload.single_threshold = it),
    },
    Key {
        name: "upload.expire_after",
        default: "24h",
        allowed: "`1m` to `365d`",
        meaning: "Partial uploads that nobody goes on with are removed after this; while no byte \
                  has come, after an hour at most.",
        set: |c, x| v::time(x, 60_000, 365 * 86_400_000).map(|it| c.upload.expire_after_ms = it),
    },
    Key {
        name: "upload.durability",
        default: "complete",
        allowed: "`complete`, `chunk`",
        meaning: "Which answers promise that the bytes survive a power cut: the finishing one, \
                  or every one.",
        set: |c, x| {
            let words = [("complete", Durability::Complete), ("chunk", Durability::Chunk)];
            v::one_of(x, &words).map(|it| c.upload.durability = it)
        },
    },
    Key {
        name: "upload.idle_timeout",
        default: "60s",
        allowed: "`1s` to `1h`",
        meaning: "A body that brings nothing for this long, or less than 1 KiB a second over it, \
                  is closed; its bytes are kept.",
        set: |c, x| v::time(x, 1_000, 3_600_000).map(|it| c.upload.idle_timeout_ms = it),
    },
    Key {
        name: "upload.reserve_free_space",
        default: "5%",
        allowed: "a share such as `5%`, or a size such as `10 GiB`",
        meaning: "Free disk space that uploads leave alone; below it new ones get 507.",
        set: |c, x| v::reserve(x).map(|it| c.upload.reserve_free_space = it),
    },
    Key {
        name: "upload.interim",
        default: "auto",
        allowed: "`auto`, `always`, `never`",
        meaning: "Whether clients of the IETF's resumable uploads are sent 104 before the answer; \
                  `auto` leaves it out where a proxy has passed the request on, as some take it \
                  for the answer.",
        set: |c, x| {
            let words =
                [("auto", Interim::Auto), ("always", Interim::Always), ("never", Interim::Never)];
            v::one_of(x, &words).map(|it| c.upload.interim = it)
        },
    },
    Key {
        name: "upload.accept",
        default: "[\"video/*\", \"audio/*\"]",
        allowed: "list of `video/*`, `audio/*`, `*/*`",
        meaning: "Kinds of files that are taken, by content, never by name; with `*/*` what isn't \
                  media is kept for download.",
        set: |c, x| v::accept(x).map(|it| c.upload.admission.accept = it),
    },
    Key {
        name: "upload.keep_rejected",
        default: "false",
        allowed: "`true`, `false`",
        meaning: "Whether to keep the bytes of files that turn out not to be what is taken.",
        set: |c, x| v::boolean(x).map(|it| c.upload.keep_rejected = it),
    },
    Key {
        name: "upload.quota_per_user",
        default: "none",
        allowed: "`none`, or a size",
        meaning: "Bytes that one owner may keep: originals, and uploads from their creation on.",
        set: |c, x| v::size_or_none(x).map(|it| c.upload.admission.quota_per_user = it),
    },
    Key {
        name: "upload.reserved_per_user",
        default: "50 GiB",
        allowed: "a size from `1 MiB`",
        meaning: "Bytes that one owner may have announced and not sent yet; a single upload may \
                  be larger.",
        set: |c, x| {
            let read = v::size(x, 1 << 20, i64::MAX as u64);
            read.map(|it| c.upload.admission.reserved_per_user = it)
        },
    },
    Key {
        name: "upload.open_per_user",
        default: "10000",
        allowed: "1 to 1000000",
        meaning: "Uploads that one owner may have begun and not ended.",
        set: |c, x| {
            v::number(x, 1, 1_000_000).map(|it| c.upload.admission.open_per_user = it as usize)
        },
    },
    Key {
        name: "upload.waiting_per_user",
        default: "none",
        allowed: "`none`, or 1 to 1000000",
        meaning: "Films of one owner that may wait to be worked on; while so many do, no further \
                  upload of theirs is taken.",
        set: |c, x| v::count_or_none(x).map(|it| c.upload.admission.waiting_per_user = it),
    },
    Key {
        name: "upload.bodies_per_user",
        default: "2000",
        allowed: "1 to 100000",
        meaning: "Requests of one owner whose bytes are received at the same moment.",
        set: |c, x| {
            v::number(x, 1, 100_000).map(|it| c.upload.admission.bodies_per_user = it as usize)
        },
    },
    Key {
        name: "originals.keep",
        default: "always",
        allowed: "`always`, `until-ready`, or a time from `1s` to `3650d`",
        meaning: "How long originals are kept: as long as their videos, until everything is made \
                  of them, or for this long behind that. Those of videos that have failed, and of \
                  files that aren't media, always stay with their videos.",
        set: |c, x| v::keep_originals(x).map(|it| c.originals.keep = it),
    },
    Key {
        name: "originals.encryption",
        default: "off",
        allowed: "`off`, `xchacha20-poly1305`",
        meaning: "How new uploads and their originals are encrypted on the disk. What is there \
                  already stays as it is.",
        set: |c, x| {
            let words = [("off", false), ("xchacha20-poly1305", true)];
            v::one_of(x, &words).map(|it| c.originals.is_encrypted = it)
        },
    },
    Key {
        name: "originals.key_file",
        default: "\"\"",
        allowed: "absolute path of a file that others can't read, or nothing",
        meaning: "Keys of encrypted originals, one a line, 32 bytes as hex digits or base64: the \
                  first one is for new files, all for those that are there. Without a path it is \
                  systemd's credential `originals-key`.",
        set: |c, x| v::absolute_path(x).map(|it| c.originals.key_file = it),
    },
    Key {
        name: "media.ladder",
        default: "auto",
        allowed: "`auto`, or a list of heights such as `[720, 360]`",
        meaning: "Heights of the qualities to make; `auto` chooses from the source, never above \
                  it.",
        set: |c, x| v::ladder(x).map(|it| c.media.ladder_heights = it),
    },
    Key {
        name: "media.preset",
        default: "veryfast",
        allowed: "an x264 preset from `ultrafast` to `veryslow`",
        meaning: "How much CPU to spend for smaller files.",
        set: |c, x| {
            let words = PRESETS.map(|name| (name, name));
            v::one_of(x, &words).map(|it| c.media.preset = it.to_owned())
        },
    },
    Key {
        name: "media.segment_seconds",
        default: "4",
        allowed: "1 to 10",
        meaning: "Length of one HLS or DASH segment of encoded qualities.",
        set: |c, x| v::number(x, 1, 10).map(|it| c.media.segment_seconds = it as u32),
    },
    Key {
        name: "media.formats",
        default: "[\"hls\", \"dash\"]",
        allowed: "a list of `hls`, `dash` and `mp4`, the first or the second among them",
        meaning: "In which forms videos are published; `mp4` is one file to download, which takes \
                  as much room again as the best quality up to 1080p.",
        set: |c, x| v::formats(x).map(|it| c.media.formats = it),
    },
    Key {
        name: "media.encrypt",
        default: "false",
        allowed: "`true` (with `media.formats` = `[\"hls\"]`), `false`",
        meaning: "Segments of new films are encrypted (AES-128), and players fetch the key where \
                  they may see the film.",
        set: |c, x| v::boolean(x).map(|it| c.media.encrypt = it),
    },
    Key {
        name: "media.loudness",
        default: "false",
        allowed: "`true` or `false`",
        meaning: "Bring every sound to −16 LUFS with peaks below −1 dBTP; the sound is read once \
                  more beforehand.",
        set: |c, x| v::boolean(x).map(|it| c.media.loudness = it),
    },
    Key {
        name: "media.workers",
        default: "auto",
        allowed: "`auto` (one for each two cores), or 0 to 64",
        meaning: "Jobs at once; with 0 they wait in the queue, for another start.",
        set: |c, x| v::workers(x).map(|it| c.media.workers = it),
    },
    Key {
        name: "media.workers_per_user",
        default: "none",
        allowed: "`none`, or 1 to 1000000",
        meaning: "Of them, jobs at once on the films of one owner; others' films go before those \
                  that are over it.",
        set: |c, x| v::count_or_none(x).map(|it| c.media.workers_per_user = it),
    },
    Key {
        name: "media.live_workers",
        default: "auto",
        allowed: "`auto` (one for each two cores), or 0 to 64",
        meaning: "Jobs at once on films that are still being uploaded, beside the others; with 0, \
                  or without `media.workers`, work begins when an upload has finished.",
        set: |c, x| v::workers(x).map(|it| c.media.live_workers = it),
    },
    Key {
        name: "media.spans",
        default: "auto",
        allowed: "`auto` (one for each four cores, the second and further ones while workers are \
                  idle), or 1 to 16",
        meaning: "Processes that encode one long film at once, each a part of it; each may use \
                  `media.max_memory`.",
        set: |c, x| v::spans(x).map(|it| c.media.spans = it),
    },
    Key {
        name: "media.max_pixels",
        default: "8192x4320",
        allowed: "`WIDTHxHEIGHT`",
        meaning: "Largest picture that is opened.",
        set: |c, x| v::pixels(x).map(|it| c.media.max_pixels = it),
    },
    Key {
        name: "media.max_duration",
        default: "24h",
        allowed: "`1s` to `30d`",
        meaning: "Longest source that is taken.",
        set: |c, x| v::time(x, 1_000, 30 * 86_400_000).map(|it| c.media.max_duration_ms = it),
    },
    Key {
        name: "media.max_memory",
        default: "2 GiB",
        allowed: "from `256 MiB`",
        meaning: "Address space of one job's process.",
        set: |c, x| v::size(x, 256 << 20, 1 << 40).map(|it| c.media.max_memory = it),
    },
    Key {
        name: "media.stall_timeout",
        default: "60s",
        allowed: "`5s` to `1h`",
        meaning: "A job's process that says nothing for this long, though the machine lets it \
                  work, is killed and the job tried again. On a machine that is busy with other \
                  things it is waited for, up to twenty times as long.",
        set: |c, x| v::time(x, 5_000, 3_600_000).map(|it| c.media.stall_timeout_ms = it),
    },
    Key {
        name: "video.default_visibility",
        default: "unlisted",
        allowed: "`public`, `unlisted`, `private`",
        meaning: "Visibility of a video whose uploader names none.",
        set: |c, x| {
            let words = [
                ("public", Visibility::Public),
                ("unlisted", Visibility::Unlisted),
                ("private", Visibility::Private),
            ];
            v::one_of(x, &words).map(|it| c.default_visibility = it)
        },
    },
    Key {
        name: "video.trash_for",
        default: "7d",
        allowed: "`0`, or up to `365d`",
        meaning: "How long a deleted video can be restored; its bytes count for its owner until \
                  then. With `0` it is removed at once.",
        set: |c, x| v::time_or_zero(x, 365 * 86_400_000).map(|it| c.trash_for_ms = it),
    },
    Key {
        name: "retention.ready",
        default: "none",
        allowed: "`none`, or a time from `1s` to `3650d`",
        meaning: "How long after it has become ready a video is deleted by itself. It goes to the \
                  trash, for `video.trash_for`.",
        set: |c, x| {
            v::time_or_none(x, 1_000, 3_650 * 86_400_000).map(|it| c.retention.ready_ms = it)
        },
    },
    Key {
        name: "retention.failed",
        default: "none",
        allowed: "`none`, or a time from `1s` to `3650d`",
        meaning: "The same, for a video that has failed, behind that.",
        set: |c, x| {
            v::time_or_none(x, 1_000, 3_650 * 86_400_000).map(|it| c.retention.failed_ms = it)
        },
    },
    Key {
        name: "playback.default_expiry",
        default: "4h",
        allowed: "a time from `1s`, at most `playback.max_expiry`",
        meaning: "How long a playback token counts unless whoever asks for it says so.",
        set: |c, x| {
            v::time(x, 1_000, 3_650 * 86_400_000).map(|it| c.playback.default_expiry_ms = it)
        },
    },
    Key {
        name: "playback.max_expiry",
        default: "7d",
        allowed: "a time from `1s`",
        meaning: "How long a playback token may count at most.",
        set: |c, x| v::time(x, 1_000, 3_650 * 86_400_000).map(|it| c.playback.max_expiry_ms = it),
    },
    Key {
        name: "hooks.webhooks",
        default: "[]",
        allowed: "list of `{url, secret, events}`; instead of `secret` a `secret_file`",
        meaning: "Addresses that are told what happens, signed as Standard Webhooks has it; \
                  without `events` of everything.",
        set: |c, x| super::hooks::webhooks(x).map(|it| c.hooks.webhooks = it),
    },
    Key {
        name: "hooks.pre_create",
        default: "\"\"",
        allowed: "an address, the absolute path of a program, or `{url, secret}`; instead of \
                  `secret` a `secret_file`",
        meaning: "Who is asked before an upload begins, and may refuse it or change its words.",
        set: |c, x| super::hooks::blocking(x).map(|it| c.hooks.pre_create = it),
    },
    Key {
        name: "hooks.pre_finish",
        default: "\"\"",
        allowed: "as `hooks.pre_create`",
        meaning: "Who is asked when all bytes of an upload are here, before it is finished.",
        set: |c, x| super::hooks::blocking(x).map(|it| c.hooks.pre_finish = it),
    },
    Key {
        name: "hooks.deadline",
        default: "5s",
        allowed: "`1s` to `60s`",
        meaning: "How long a blocking hook may take. One that takes longer hasn't answered: the \
                  upload isn't taken for now.",
        set: |c, x| v::time(x, 1_000, 60_000).map(|it| c.hooks.deadline_ms = it),
    },
    Key {
        name: "hooks.allow_private",
        default: "false",
        allowed: "`true`, `false`",
        meaning: "Whether webhooks and blocking hooks may be at addresses of this machine or of \
                  networks behind it.",
        set: |c, x| v::boolean(x).map(|it| c.hooks.allow_private = it),
    },
    Key {
        name: "limits.requests_per_address",
        default: "6000",
        allowed: "a number from 1, or `none`",
        meaning: "Requests in a minute from one address (of IPv6: one network of 64 bits), at once \
                  or evenly; then 429. Not counted are this machine, proxies that don't say for \
                  whom they ask, and media.",
        set: |c, x| v::rate_or_none(x).map(|it| c.limits.requests_per_address = it),
    },
    Key {
        name: "limits.media_per_address",
        default: "60000",
        allowed: "a number from 1, or `none`",
        meaning: "The same for media and the files of pages.",
        set: |c, x| v::rate_or_none(x).map(|it| c.limits.media_per_address = it),
    },
    Key {
        name: "limits.requests_per_token",
        default: "6000",
        allowed: "a number from 1, or `none`",
        meaning: "The same for one token, wherever it is used.",
        set: |c, x| v::rate_or_none(x).map(|it| c.limits.requests_per_token = it),
    },
    Key {
        name: "limits.requests_per_owner",
        default: "12000",
        allowed: "a number from 1, or `none`",
        meaning: "The same for one owner, with all tokens.",
        set: |c, x| v::rate_or_none(x).map(|it| c.limits.requests_per_owner = it),
    },
    Key {
        name: "limits.connections_per_address",
        default: "512",
        allowed: "a number from 1, or `none`",
        meaning: "Connections at once from one address; one more is closed. Trusted proxies may \
                  have any number.",
        set: |c, x| v::count_or_none(x).map(|it| c.limits.connections_per_address = it),
    },
    Key {
        name: "audit.keep_for",
        default: "365d",
        allowed: "`1d` to `3650d`",
        meaning: "How long the audit log keeps who did what.",
        set: |c, x| v::time(x, 86_400_000, 3_650 * 86_400_000).map(|it| c.audit.keep_for_ms = it),
    },
    Key {
        name: "audit.size",
        default: "256 MiB",
        allowed: "from `16 MiB`",
        meaning: "Room for the audit log; beyond it the oldest entries go.",
        set: |c, x| v::size(x, 16 << 20, i64::MAX as u64).map(|it| c.audit.size_max = it),
    },
    Key {
        name: "audit.addresses_for",
        default: "30d",
        allowed: "`0`, or `1h` to `3650d`",
        meaning: "How long the audit log keeps clients' addresses, to the hour; with `0` it never \
                  has them.",
        set: |c, x| v::time_or_zero(x, 3_650 * 86_400_000).map(|it| c.audit.addresses_for_ms = it),
    },
    Key {
        name: "cors.origins",
        default: "[\"*\"]",
        allowed: "list of origins such as `https://example.org`, or `*`",
        meaning: "Sites whose pages may call; never with this server's own cookies.",
        set: |c, x| v::texts(x).map(|it| c.cors_origins = it),
    },
    Key {
        name: "log.format",
        default: "auto",
        allowed: "`auto`, `text`, `json`",
        meaning: "The log on standard error: lines for people (in the journal's form where the \
                  journal reads them), always those of a terminal, or a JSON object a line.",
        set: |c, x| {
            let words =
                [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
            v::one_of(x, &words).map(|it| c.log_format = it)
        },
    },
];

/// Returns docs/CONFIGURATION.md.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\nMade from the table of keys in `src/config/keys.rs`; don't edit by \
         hand.\n\nThe file is TOML (`--config FILE`, else `./slipway.toml`, else \
         `/etc/slipway/slipway.toml`). An environment variable beats the file: `upload.max_size` \
         is `SLIPWAY_UPLOAD__MAX_SIZE`. A flag beats both: `--set upload.max_size=1GiB`, \
         `--listen`, `--data-dir`. An unknown key stops the start.\n\nWhere a file holds a secret \
         (`…key_file`, `secret_file`, `tls.key`), `credential:NAME` stands for what systemd hands \
         over by `LoadCredential=NAME:…`.\n\n\
         | key | default | takes | meaning |\n| --- | --- | --- | --- |\n",
    );
    for key in KEYS {
        let default = if key.default == "\"\"" { "" } else { key.default };
        page.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            key.name,
            if default.is_empty() { "none".to_owned() } else { format!("`{default}`") },
            key.allowed,
            key.meaning
        ));
    }
    page
}
