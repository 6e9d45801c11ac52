//! `slipway doctor`: looks at everything that a server needs, and says how to mend what is wrong.

use super::Failure;
use super::table::wrapped;
use crate::clock::Clock;
use crate::config::flags::Settings;
use crate::config::{Config, Listen};
use crate::control::{self, Request};
use crate::disk::{self, Oddity};
use crate::http;
use crate::server;
use crate::units::UnixMillis;
use crate::worker::{self, SelfCheck, StartError};
use serde::Serialize;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::PathBuf;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Nothing to do.
    Ok,
    /// It works, and could be better or soon won't.
    Warn,
    /// A server can't run like this.
    Fail,
}

/// Columns before what is said of a check.
const INDENT: usize = 22;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    /// What to do; none where there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

fn ok(check: &'static str, detail: impl Into<String>) -> Finding {
    Finding { check, state: State::Ok, detail: detail.into(), mend: None }
}

fn not_ok(check: &'static str, state: State, detail: impl Into<String>, mend: &str) -> Finding {
    Finding { check, state, detail: detail.into(), mend: Some(mend.to_owned()) }
}

/// Looks, prints what it found, and returns whether a server can run.
pub(super) fn run(settings: &Settings, json: bool) -> Result<bool, Failure> {
    let config = super::load(settings)?.config;
    // What the server may do counts, not what root may.
    super::become_owner(&config)?;
    let running = is_running(&config);
    let now = Clock::system().now();
    let mut findings = vec![
        data_directory(&config, running),
        files(&config, now),
        free_space(&config),
        reserve(&config),
        originals(&config),
    ];
    findings.extend(confinement());
    findings.push(clock(&config, now));
    findings.push(address(&config, running));
    findings.push(tls(&config, now));
    findings.push(open_files());
    if json {
        println!("{}", serde_json::to_string(&findings).map_err(Failure::other)?);
    } else {
        for it in &findings {
            let state = match it.state {
                State::Ok => "ok",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            let texts = [Some(&it.detail), it.mend.as_ref()].into_iter().flatten();
            let lines = texts.flat_map(|text| wrapped(text, INDENT));
            for (at, line) in lines.enumerate() {
                match at {
                    0 => println!("{state:<5} {:<15} {line}", it.check),
                    _ => println!("{:INDENT$}{line}", ""),
                }
            }
        }
    }
    Ok(findings.iter().all(|it| it.state != State::Fail))
}

/// Makes the records anew from the last export and the files.
pub(super) fn rebuild(settings: &Settings) -> Result<(), Failure> {
    let config = super::load(settings)?.config;
    super::become_owner(&config)?;
    let aside = server::rebuild(config).map_err(super::of_server)?;
    match aside {
        Some(path) => println!("rebuilt; the database that was there is in {}", path.display()),
        None => println!("rebuilt"),
    }
    Ok(())
}

/// What systemd hands to the server alone can't be looked at without it.
fn not_here(check: &'static str, config: &Config) -> Finding {
    let name = config.lacking_credential.as_deref().unwrap_or_default();
    let detail = format!("the credential `{name}` isn't there in this shell; a server needs it");
    not_ok(check, State::Warn, detail, "Look again while the service runs.")
}

/// Looks whether the keys of encrypted originals are there and open some of them.
fn originals(config: &Config) -> Finding {
    const CHECK: &str = "originals";
    /// As many show a wrong key, in a moment.
    const TRIED: usize = 20;
    if config.lacks(config.originals.key_file.as_deref()) {
        return not_here(CHECK, config);
    }
    let keys = match config.originals.keys() {
        Ok(keys) => keys,
        Err(cause) => {
            let mend = "Without its keys the server doesn't start.";
            return not_ok(CHECK, State::Fail, cause.to_string(), mend);
        }
    };
    let how = match config.originals.is_encrypted {
        true => "new ones are encrypted",
        false => "new ones aren't encrypted",
    };
    match disk::try_keys(&config.data_dir, keys.as_ref(), TRIED) {
        Ok((0, refused)) if refused.is_empty() => ok(CHECK, how),
        Ok((opened, refused)) => match refused.first() {
            None => ok(CHECK, format!("{how}; the keys open the {opened} that were tried")),
            Some(cause) => {
                let mend = "Put every key that was ever used into originals.key_file, the one \
                            for new files first; what has changed on the disk comes back from a \
                            backup.";
                let detail = format!("some can't be decrypted: {cause}");
                not_ok(CHECK, State::Fail, detail, mend)
            }
        },
        Err(cause) => not_ok(CHECK, State::Warn, cause.to_string(), "See what keeps it from that."),
    }
}

fn is_running(config: &Config) -> bool {
    let socket = disk::control_socket(&config.data_dir);
    matches!(control::ask(&socket, &Request::TokenList), Ok(Some(_)))
}

fn data_directory(config: &Config, running: bool) -> Finding {
    const CHECK: &str = "data directory";
    let path = config.data_dir.display();
    if running {
        return ok(CHECK, format!("{path}, held by the running server"));
    }
    match disk::examine(&config.data_dir) {
        Ok(disk::Condition::Used) => ok(CHECK, format!("{path}")),
        Ok(disk::Condition::Absent) => ok(CHECK, format!("{path} will be made at the first start")),
        Err(cause) => not_ok(
            CHECK,
            State::Fail,
            format!("{path}: {cause}"),
            "Give the directory to the user that runs the server, or set data_dir to another one.",
        ),
    }
}

/// Names a few paths, and how many more there are.
fn few(paths: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Looks at owners, modes and places of what lies in the data directory; the worst is told.
fn files(config: &Config, now: UnixMillis) -> Finding {
    const CHECK: &str = "files";
    if !is_used(config) {
        return ok(CHECK, "none yet");
    }
    let found = match disk::oddities(&config.data_dir, now) {
        Ok(found) => found,
        Err(cause) => {
            let mend = "Give the directory to the user that runs the server.";
            return not_ok(CHECK, State::Fail, cause.to_string(), mend);
        }
    };
    let of = |pick: fn(&Oddity) -> Option<&PathBuf>| -> Vec<String> {
        found.iter().filter_map(pick).map(|path| path.display().to_string()).collect()
    };
    let foreign = of(|it| if let Oddity::Foreign(path) = it { Some(path) } else { None });
    let closed = of(|it| if let Oddity::Closed(path) = it { Some(path) } else { None });
    let elsewhere = of(|it| if let Oddity::Elsewhere(path) = it { Some(path) } else { None });
    let open = of(|it| if let Oddity::Open(path) = it { Some(path) } else { None });
    let kinds = [
        (
            foreign,
            State::Fail,
            "not the user's who has the data directory",
            "Run the server as one user, and give everything to it: chown -R.",
        ),
        (closed, State::Fail, "closed to their own user", "Open them: chmod -R u+rwX."),
        (
            elsewhere,
            State::Fail,
            "on another file system than the data directory",
            "Files are renamed between its directories: mount one file system for all of it.",
        ),
        (open, State::Warn, "open to other users", "Close it: chmod -R go= on the data directory."),
    ];
    if let Some((paths, state, what, mend)) = kinds.into_iter().find(|it| !it.0.is_empty()) {
        return not_ok(CHECK, state, format!("{what}: {}", few(&paths)), mend);
    }
    if found.contains(&Oddity::SyncFailed) {
        let mend = "Look at the disk (dmesg, smartctl); the next start goes by what it confirmed.";
        return not_ok(CHECK, State::Warn, "the disk has refused to confirm bytes", mend);
    }
    ok(CHECK, "all belong to one user, and to nobody else")
}

fn is_used(config: &Config) -> bool {
    matches!(disk::examine(&config.data_dir), Ok(disk::Condition::Used))
}

fn reserve(config: &Config) -> Finding {
    const CHECK: &str = "reserve";
    if !is_used(config) {
        return ok(CHECK, "set aside at the first start");
    }
    if disk::has_reserve(&config.data_dir) {
        return ok(CHECK, "64 MiB are set aside for the database");
    }
    let mend = "It was given up when the disk was full: free some space, and the next start sets \
                it aside again.";
    not_ok(CHECK, State::Warn, "nothing is set aside for the database on a full disk", mend)
}

fn free_space(config: &Config) -> Finding {
    const CHECK: &str = "free space";
    let space = match disk::space_at(&config.data_dir) {
        Ok(space) => space,
        Err(cause) => {
            let mend = "Check that the file system of data_dir is mounted.";
            return not_ok(CHECK, State::Fail, cause.to_string(), mend);
        }
    };
    let kept = config.upload.reserve_free_space.of(space.total).0;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let detail = format!("{:.1} GiB free, {:.1} kept in reserve", gib(space.free.0), gib(kept));
    if space.free.0 <= kept {
        let mend =
            "Uploads are refused (507): free some space, or lower upload.reserve_free_space.";
        return not_ok(CHECK, State::Fail, detail, mend);
    }
    if space.free.0 < kept + (2 << 30) {
        let mend = "Less than 2 GiB are left for uploads: a long video may not fit.";
        return not_ok(CHECK, State::Warn, detail, mend);
    }
    ok(CHECK, detail)
}

/// Starts a real child and asks what holds it and what it can do.
fn confinement() -> Vec<Finding> {
    const LIBRARIES: &str = "media libraries";
    const SANDBOX: &str = "sandbox";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let checked = match runtime {
        Ok(runtime) => runtime.block_on(worker::self_check()),
        Err(cause) => Err(StartError::Spawn(cause)),
    };
    let check = match checked {
        Ok(check) => check,
        Err(StartError::Libraries(cause)) => {
            let mend = "Install FFmpeg 5.1's libraries (Debian 12: apt install ffmpeg).";
            return vec![not_ok(LIBRARIES, State::Fail, cause, mend)];
        }
        Err(cause) => {
            let mend = "Use a kernel with seccomp; in a container, don't forbid it.";
            return vec![not_ok(SANDBOX, State::Fail, cause.to_string(), mend)];
        }
    };
    vec![libraries(LIBRARIES, &check), sandbox(SANDBOX, &check)]
}

fn libraries(name: &'static str, check: &SelfCheck) -> Finding {
    if check.encoders {
        return ok(name, check.media.clone());
    }
    let mend = "Install FFmpeg's libraries with libx264 (Debian: apt install ffmpeg).";
    not_ok(name, State::Fail, check.media.clone(), mend)
}

fn sandbox(name: &'static str, check: &SelfCheck) -> Finding {
    let layers: Vec<String> =
        check.layers.iter().map(|layer| format!("{layer:?}").to_lowercase()).collect();
    match check.landlock_abi {
        Some(abi) => ok(name, format!("{} (Landlock {abi})", layers.join(", "))),
        None => not_ok(
            name,
            State::Warn,
            layers.join(", "),
            "The kernel has no Landlock: the other layers hold, but use Linux 5.13 or newer with \
             landlock among its security modules.",
        ),
    }
}

fn clock(config: &Config, now: UnixMillis) -> Finding {
    const CHECK: &str = "clock";
    /// 2025-01-01, before this program was written.
    const OLDEST_MS: i64 = 1_735_689_600_000;
    let mend = "Set the clock (timedatectl set-ntp true): expiry and tokens go by it.";
    if now.0 < OLDEST_MS {
        return not_ok(CHECK, State::Fail, "it stands in the past", mend);
    }
    let found =
        if is_used(config) { disk::oddities(&config.data_dir, now) } else { Ok(Vec::new()) };
    let ahead = found.unwrap_or_default().into_iter().find_map(|it| match it {
        Oddity::Ahead(path) => Some(path),
        _ => None,
    });
    match ahead {
        Some(path) => {
            let detail = format!("{}, but {} was changed later", now.to_rfc3339(), path.display());
            not_ok(CHECK, State::Warn, detail, mend)
        }
        None => ok(CHECK, now.to_rfc3339()),
    }
}

/// Looks how many files this user's processes may have open.
fn open_files() -> Finding {
    const CHECK: &str = "open files";
    /// Each connection takes one, each upload under way another.
    const ENOUGH: u64 = 4_096;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.current {
        Some(limit) if limit < ENOUGH => {
            let mend = "Each viewer and each upload takes one: raise it where the server is \
                        started (ulimit -n 65536, LimitNOFILE=65536).";
            not_ok(CHECK, State::Warn, format!("{limit} at once, in this shell"), mend)
        }
        Some(limit) => ok(CHECK, format!("{limit} at once, in this shell")),
        None => ok(CHECK, "as many as there are"),
    }
}

/// Looks at certificate and key as they lie there; the server may still have the ones before.
fn tls(config: &Config, now: UnixMillis) -> Finding {
    const CHECK: &str = "tls";
    if config.lacks_pair() {
        return not_here(CHECK, config);
    }
    let mend = "Put a certificate and its key there that belong together; a running server goes \
                on with the ones that it has.";
    match http::examine_pair(&config.tls) {
        Err(why) => not_ok(CHECK, State::Fail, why, mend),
        Ok(None) => ok(CHECK, "none of its own: a proxy in front has to do it"),
        Ok(Some(pair)) => match pair.complaint(now) {
            None => ok(CHECK, format!("the certificate is good until {}", pair.until)),
            Some(complaint) if pair.is_good(now) => {
                let mend = "Look why it isn't renewed.";
                not_ok(CHECK, State::Warn, complaint, mend)
            }
            Some(complaint) => not_ok(CHECK, State::Fail, complaint, mend),
        },
    }
}

fn address(config: &Config, running: bool) -> Finding {
    const CHECK: &str = "address";
    let detail = config.listen.to_string();
    if running {
        return ok(CHECK, format!("{detail}, used by the running server"));
    }
    let Listen::Tcp(address) = config.listen else { return ok(CHECK, detail) };
    match TcpListener::bind(address) {
        Ok(_) => ok(CHECK, format!("{detail} is free")),
        Err(cause) => {
            let mend = match cause.kind() {
                ErrorKind::AddrInUse => "Another program listens there: stop it, or set listen.",
                ErrorKind::PermissionDenied => {
                    "Ports below 1024 are root's: set listen to another."
                }
                _ => "Set listen to an address of this machine.",
            };
            not_ok(CHECK, State::Fail, format!("{detail}: {cause}"), mend)
        }
    }
}
