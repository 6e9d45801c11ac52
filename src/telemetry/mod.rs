//! Log set-up: one line an event, on standard error, as the journal and people read it. What is
//! measured is in [`measures`].

pub mod measures;
pub mod names;

use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// In which form lines go to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// For people: the time, the level, a sentence, its fields.
    Text,
    /// For the journal: without a time, which it adds, and with the level as it reads it.
    Journal,
    /// For programs: a JSON object each.
    Json,
}

impl Lines {
    /// Returns the form for whoever reads standard error: the journal, or a person.
    pub fn fitting(journal_stream: Option<&str>) -> Self {
        match journal_stream.is_some_and(is_standard_error) {
            true => Self::Journal,
            false => Self::Text,
        }
    }
}

/// Says whether `JOURNAL_STREAM` means our standard error: whoever was started from a service
/// inherits the variable, and may write somewhere else.
fn is_standard_error(journal_stream: &str) -> bool {
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| format!("{}:{}", stat.st_dev, stat.st_ino) == journal_stream)
}

/// Sends the log to standard error. `SLIPWAY_LOG` chooses what is said (`info` when unset), in
/// the form of `tracing`'s filters, such as `debug` or `slipway::upload=debug,info`.
pub fn start(lines: Lines) {
    let filter = EnvFilter::try_from_env("SLIPWAY_LOG")
        // The HTTP library calls each malformed request an error: anybody could fill the log.
        .unwrap_or_else(|_| EnvFilter::new("info,actix_http::h1=off,actix_server=warn,sled=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_target(false);
    let started = match lines {
        Lines::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Lines::Journal => {
            let plain = Format::default().without_time().with_target(false).with_level(false);
            log.with_ansi(false).event_format(Prioritised(plain)).try_init()
        }
        Lines::Json => {
            let json = log.json().flatten_event(true);
            json.with_current_span(false).with_span_list(false).try_init()
        }
    };
    if started.is_err() {
        eprintln!("slipway: the log was set up twice");
    }
}

/// Lines with their level in front, as sd-daemon(3) has it: `<6>` is info.
struct Prioritised(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
