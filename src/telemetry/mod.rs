//! Log set-up: one line an event, on standard error, as the journal and people read it. What is
//! measured is in [`measures`].

pub mod measures;
pub mod names;

use tracing_subscriber::EnvFilter;

/// Sends the log to standard error. `SLIPWAY_LOG` chooses what is said (`info` when unset), in
/// the form of `tracing`'s filters, such as `debug` or `slipway::upload=debug,info`.
///
/// Under systemd the time and colours are left out, because the journal adds its own.
pub fn start(under_systemd: bool) {
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG")
        // The HTTP library calls each malformed request an error: anybody could fill the log.
        .unwrap_or_else(|_| EnvFilter::new("info,actix_http::h1=off,actix_server=warn,sled=warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if under_systemd {
        lines.without_time().with_ansi(false).with_target(false).try_init()
    } else {
        let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
        lines.with_ansi(colours).with_target(false).try_init()
    };
    if started.is_err() {
        eprintln!("slipway: the log was set up twice");
    }
}
