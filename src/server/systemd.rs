//! What systemd passes in and wants to hear: sockets, readiness, the watchdog, the end.

use crate::config::Listen;
use crate::http::Listeners;
use sd_notify::NotifyState;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// Says whether standard error goes to the journal.
pub(super) fn has_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some() || std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Returns which stream the journal reads, as it says itself: device and inode.
pub(super) fn journal_stream() -> Option<String> {
    std::env::var_os("JOURNAL_STREAM").and_then(|stream| stream.into_string().ok())
}

/// Takes the sockets that systemd hands over, else listens at `listen`.
pub(super) fn listeners(listen: &Listen) -> io::Result<Listeners> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut found = Listeners::default();
    for at in 0..handed.len() {
        if let Ok(Some(tcp)) = handed.take_tcp_listener(at) {
            found.tcp.push(tcp);
        } else if let Ok(Some(unix)) = handed.take_unix_listener(at) {
            found.unix.push(unix);
        }
    }
    if !found.tcp.is_empty() || !found.unix.is_empty() {
        return Ok(found);
    }
    let named = |cause: io::Error| io::Error::new(cause.kind(), format!("{listen}: {cause}"));
    match listen {
        Listen::Tcp(address) => found.tcp.push(TcpListener::bind(address).map_err(named)?),
        Listen::Unix(path) => found.unix.push(UnixListener::bind(path).map_err(named)?),
    }
    Ok(found)
}

/// Tells that requests are answered.
pub(super) fn ready(address: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving {address}"))]);
}

/// Tells that the end has begun, and asks for the time that draining may take.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping; uploads stay resumable")]);
}

/// Puts one line on `systemctl status`.
pub(super) fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Tells that the server is alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Returns how often [`alive`] has to be told, if at all: half of what the unit says.
pub(super) fn watchdog_every() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(states: &[NotifyState]) {
    if let Err(cause) = sd_notify::notify(states) {
        tracing::debug!("systemd wasn't told: {cause}");
    }
}

/// Listens from now on for whoever wants files to be looked at again (SIGHUP); what is returned has
/// it done each time, where blocking is allowed, until `stop` fires.
pub(super) fn on_reload(
    stop: CancellationToken,
    again: impl Fn() + Clone + Send + 'static,
) -> impl Future<Output = ()> {
    let asked = signal(SignalKind::hangup());
    async move {
        let Ok(mut asked) = asked else { return stop.cancelled().await };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = asked.recv() => {}
            }
            info!("SIGHUP: looking whether certificate and keys have changed");
            // That it panicked would have been told by the panic.
            let _ = tokio::task::spawn_blocking(again.clone()).await;
        }
    }
}

/// Listens from now on for whoever wants the server to end; what is returned waits for them, and
/// says the signal's name.
pub(super) fn asked_to_stop() -> impl Future<Output = &'static str> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        let (Ok(mut term), Ok(mut int)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        }
    }
}
