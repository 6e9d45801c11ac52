//! `slipway doctor`: looks at everything that a server needs, and says how to mend what is wrong.

use super::Failure;
use crate::clock::Clock;
use crate::config::flags::Settings;
use crate::config::{Config, Listen};
use crate::control::{self, Request};
use crate::disk;
use crate::server;
use crate::worker::{self, SelfCheck};
use serde::Serialize;
use std::io::ErrorKind;
use std::net::TcpListener;

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
    let running = is_running(&config);
    let mut findings = vec![data_directory(&config, running), free_space(&config)];
    findings.extend(confinement());
    findings.push(clock());
    findings.push(address(&config, running));
    if json {
        println!("{}", serde_json::to_string(&findings).map_err(Failure::other)?);
    } else {
        for it in &findings {
            let state = match it.state {
                State::Ok => "ok",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            println!("{state:<5} {:<15} {}", it.check, it.detail);
            if let Some(mend) = &it.mend {
                println!("      {:<15} {mend}", "");
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
        Ok(runtime) => runtime.block_on(worker::self_check()).map_err(|cause| cause.to_string()),
        Err(cause) => Err(cause.to_string()),
    };
    let check = match checked {
        Ok(check) => check,
        Err(cause) => {
            let mend = "Install FFmpeg 5.1's libraries (apt install ffmpeg), and use a kernel with \
                        seccomp; in a container, don't forbid it.";
            return vec![not_ok(SANDBOX, State::Fail, cause, mend)];
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

fn clock() -> Finding {
    const CHECK: &str = "clock";
    /// 2025-01-01, before this program was written.
    const OLDEST_MS: i64 = 1_735_689_600_000;
    let now = Clock::system().now();
    if now.0 < OLDEST_MS {
        let mend = "Set the clock (timedatectl set-ntp true): expiry and tokens go by it.";
        return not_ok(CHECK, State::Fail, "it stands in the past", mend);
    }
    ok(CHECK, now.to_rfc3339())
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
