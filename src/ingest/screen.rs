//! What people see: bars on a terminal, a line now and then elsewhere, all on standard error.
//! Standard output gets results and nothing else.

use super::retry::Stop;
use indicatif::{DecimalBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget};
use indicatif::{ProgressState, ProgressStyle};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The same trouble is told again after this.
const TROUBLE_EVERY: Duration = Duration::from_secs(60);

/// Where everything is shown.
#[derive(Debug)]
pub(super) struct Screen {
    bars: MultiProgress,
    total: ProgressBar,
    is_terminal: bool,
    said: Mutex<Said>,
    files: usize,
}

/// What has been told.
#[derive(Debug, Default)]
struct Said {
    done: usize,
    trouble: Option<(String, Instant)>,
    is_broken: bool,
}

impl Screen {
    /// Begins with `files` files that have `bytes` bytes.
    pub(super) fn new(files: usize, bytes: u64) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let total = bars.add(ProgressBar::new(bytes).with_style(style(true)));
        let is_terminal = std::io::stderr().is_terminal();
        let screen = Self { bars, total, is_terminal, said: Mutex::default(), files };
        screen.count(0);
        screen
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line on standard error, above the bars.
    pub(super) fn note(&self, line: &str) {
        self.bars.suspend(|| eprintln!("slipway: {line}"));
    }

    /// Prints a line on standard output: a result.
    pub(super) fn result(&self, line: &[u8]) {
        let mut said = self.said();
        let written = self.bars.suspend(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())
        });
        said.is_broken |= written.is_err();
    }

    /// Says whether a result couldn't be printed.
    pub(super) fn is_broken(&self) -> bool {
        self.said().is_broken
    }

    /// Tells what is waited for, each thing once a minute at most: many wait for the same.
    pub(super) fn trouble(&self, why: &str, wait: Duration) {
        let mut said = self.said();
        let known = said.trouble.as_ref();
        if known.is_some_and(|(what, at)| what == why && at.elapsed() < TROUBLE_EVERY) {
            return;
        }
        said.trouble = Some((why.to_owned(), Instant::now()));
        drop(said);
        self.note(&format!("{why}; trying again in {:.1} s", wait.as_secs_f64()));
    }

    /// Says that it goes on.
    pub(super) fn calm(&self) {
        if self.said().trouble.take().is_some() {
            self.note("the server answers again");
        }
    }

    /// Begins a bar for a file.
    pub(super) fn file(&self, path: &Path, size: u64) -> FileBar<'_> {
        let bar = ProgressBar::new(size).with_style(style(false));
        let bar = self.bars.insert_before(&self.total, bar);
        let name = path.file_name().map_or_else(|| shown(path), |name| shown(Path::new(name)));
        bar.set_message(name.clone());
        FileBar { screen: self, bar, name, size }
    }

    /// Begins a bar for work of which only the share is known.
    pub(super) fn work(&self, path: &Path) -> ProgressBar {
        // Under each other with the bars of files, which have speed and time behind theirs.
        let text = format!("{{wide_msg}} [{{bar:16}}] {{percent:>3}} %{:20}", "");
        let style = ProgressStyle::with_template(&text);
        let bar = ProgressBar::new(1000);
        let bar = self.bars.insert_before(&self.total, bar);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_message(shown(path));
        bar
    }

    /// Takes a bar away.
    pub(super) fn remove(&self, bar: &ProgressBar) {
        self.bars.remove(bar);
    }

    /// Counts files that are done.
    pub(super) fn count(&self, files: usize) {
        let mut said = self.said();
        said.done += files;
        self.total.set_message(format!("{} of {} files", said.done, self.files));
    }

    /// Prints how far it is every few seconds, where there is no terminal, until it is over.
    pub(super) fn tick(&self, over: &Stop) {
        let mut before = self.total.position();
        while !self.is_terminal && !over.wait(LINE_EVERY) {
            let (now, all) = (self.total.position(), self.total.length().unwrap_or(0));
            let speed = now.saturating_sub(before) / LINE_EVERY.as_secs();
            before = now;
            if now < all {
                let mut line = format!("{}, ", self.total.message());
                let _ = write!(line, "{} of {}, ", DecimalBytes(now), DecimalBytes(all));
                let _ = write!(line, "{}/s", DecimalBytes(speed));
                if let Some(left) = (all - now).checked_div(speed) {
                    let _ = write!(line, ", {} left", HumanDuration(Duration::from_secs(left)));
                }
                self.note(&line);
            }
        }
    }

    /// Takes all bars away.
    pub(super) fn close(&self) {
        self.total.finish_and_clear();
        let _ = self.bars.clear();
        // Threads that still work don't draw into what follows.
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// How far one file is. It disappears with its value.
#[derive(Debug)]
pub(super) struct FileBar<'a> {
    screen: &'a Screen,
    bar: ProgressBar,
    name: String,
    size: u64,
}

impl FileBar<'_> {
    /// Says what is done with the file, unless it is being sent.
    pub(super) fn phase(&self, what: &str) {
        let space = if what.is_empty() { "" } else { ": " };
        self.bar.set_message(format!("{}{space}{what}", self.name));
    }

    /// Counts bytes that needn't be sent.
    pub(super) fn skip(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.bar.reset_eta();
        self.screen.total.dec_length(bytes);
    }

    /// Counts bytes that are sent.
    pub(super) fn sent(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.screen.total.inc(bytes);
    }

    /// Takes back bytes that didn't arrive.
    pub(super) fn lost(&self, bytes: u64) {
        self.bar.dec(bytes);
        self.screen.total.dec(bytes);
    }

    /// Begins again: nothing counts as there.
    pub(super) fn restart(&self) {
        self.screen.total.inc_length(self.bar.position());
        self.bar.set_position(0);
        self.bar.reset_eta();
    }
}

impl Drop for FileBar<'_> {
    fn drop(&mut self) {
        // What was given up isn't waited for.
        let left = self.size.saturating_sub(self.bar.position());
        self.screen.total.dec_length(left);
        self.screen.bars.remove(&self.bar);
    }
}

fn style(is_total: bool) -> ProgressStyle {
    let bytes = if is_total { "{decimal_bytes:>9} of {decimal_total_bytes:>9}  " } else { "" };
    let text =
        format!("{{wide_msg}} {bytes}[{{bar:16}}] {{percent:>3}} % {{speed:>11}} {{left:>7}}");
    let speed = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let speed = DecimalBytes(state.per_sec() as u64);
        let _ = write!(out, "{}", if speed.0 > 0 { format!("{speed}/s") } else { String::new() });
    };
    let left = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let seconds = state.eta().as_secs();
        let _ = match seconds {
            0 => Ok(()),
            1..3600 => write!(out, "{}:{:02}", seconds / 60, seconds % 60),
            _ => write!(out, "{} h {:02}", seconds / 3600, seconds / 60 % 60),
        };
    };
    let style = ProgressStyle::with_template(&text);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("speed", speed).with_key("left", left).progress_chars("=> ")
}

/// Returns a path for people: what would steer a terminal is replaced.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
