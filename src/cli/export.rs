//! `slipway user export`: all that is kept of somebody, as one archive.

use super::table::bytes;
use super::whole_file::WholeFile;
use super::{Failure, become_owner, erase, of_server};
use crate::clock::Clock;
use crate::config::Config;
use crate::rights::{Exported, Wanted, archive_name};
use crate::server;
use serde_json::{Value, json};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What was said on the command line.
pub(super) struct Said {
    pub(super) owner: String,
    pub(super) file: Option<PathBuf>,
    pub(super) force: bool,
    pub(super) without_originals: bool,
    pub(super) json: bool,
}

/// Writes an archive; false if something is missing in it.
pub(super) fn run(config: &Config, said: Said) -> Result<bool, Failure> {
    let whose = erase::whose(&said.owner)?;
    let is_piped = said.file.as_deref() == Some(Path::new("-"));
    if is_piped && io::stdout().is_terminal() {
        let mend = "an archive isn't for a terminal; name a file, or send it on with > or |";
        return Err(Failure::usage(mend));
    }
    become_owner(config)?;
    let wanted = Wanted { whose, without_originals: said.without_originals };
    let (exported, written, path) = if is_piped {
        let (exported, written) = write(config, &wanted, &mut io::stdout().lock())?;
        (exported, written, None)
    } else {
        let named = || PathBuf::from(archive_name(&wanted.whose, Clock::system().now()) + ".tar");
        let path = said.file.unwrap_or_else(named);
        let mut file = WholeFile::create(&path, said.force)?;
        let (exported, written) = write(config, &wanted, file.file())?;
        let finished = file.finish();
        finished.map_err(|cause| Failure::other(format!("{}: {cause}", path.display())))?;
        (exported, written, Some(path))
    };
    let is_whole = exported.missing == 0;
    let lines = match said.json {
        true => vec![summary(&exported, &said.owner, path.as_deref(), written)?],
        false => lines(&exported, path.as_deref(), written),
    };
    for line in lines {
        // Standard output is the archive, or is for the summary.
        if is_piped { eprintln!("{line}") } else { println!("{line}") }
    }
    Ok(is_whole)
}

/// Writes the archive to `to`; returns what is in it, and how many bytes it has.
fn write(config: &Config, wanted: &Wanted, to: &mut dyn Write) -> Result<(Exported, u64), Failure> {
    let told_at = io::stderr().is_terminal().then(Instant::now);
    let mut to = Watched { to, written: 0, told_at, refused: None };
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut to);
    let exported = server::export(config, wanted, &mut buffered);
    let flushed = if exported.is_ok() { buffered.flush() } else { Ok(()) };
    // What is left of an archive that broke off isn't for anybody.
    drop(buffered.into_parts());
    if let Some(cause) = to.refused.or(flushed.err()) {
        return Err(Failure::other(format!("the archive can't be written: {cause}")));
    }
    exported.map(|exported| (exported, to.written)).map_err(of_server)
}

/// Tells a person how much was written, and keeps why more can't be.
struct Watched<'a> {
    to: &'a mut dyn Write,
    written: u64,
    /// When that was told last, if anybody looks.
    told_at: Option<Instant>,
    refused: Option<io::Error>,
}

impl Write for Watched<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.to.write(piece) {
            Ok(count) => {
                self.written += count as u64;
                if self.told_at.is_some_and(|at| at.elapsed() >= TOLD_EVERY) {
                    self.told_at = Some(Instant::now());
                    eprintln!("{} so far", bytes(self.written));
                }
                Ok(count)
            }
            Err(again) if again.kind() == io::ErrorKind::Interrupted => Err(again),
            Err(refused) => {
                let told = io::Error::new(refused.kind(), refused.to_string());
                self.refused = Some(refused);
                Err(told)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn summary(
    exported: &Exported,
    owner: &str,
    path: Option<&Path>,
    written: u64,
) -> Result<String, Failure> {
    let mut value = serde_json::to_value(exported).map_err(Failure::other)?;
    if let Value::Object(fields) = &mut value {
        // Of records of others nothing is in it.
        fields.remove("mentions");
        fields.insert("owner".to_owned(), json!(owner));
        fields.insert("file".to_owned(), json!(path.map(|path| path.display().to_string())));
        fields.insert("archiveBytes".to_owned(), json!(written));
    }
    Ok(value.to_string())
}

/// Lists what is in it.
fn lines(exported: &Exported, path: Option<&Path>, written: u64) -> Vec<String> {
    let more = [(exported.audit_entries, "entries of the audit log")];
    let mut said = erase::counted(&exported.records, &more);
    said.push(format!("{:>9}  files, {}", exported.files, bytes(exported.bytes)));
    if exported.missing > 0 {
        said.push(format!("{:>9}  files missing or not as they were sent:", exported.missing));
        let each = exported.examples.iter();
        said.extend(
            each.flat_map(|lack| [format!("  {}", lack.path), format!("    {}", lack.why)]),
        );
        said.push("missing.json in the archive lists all of them".to_owned());
    }
    if let Some(path) = path {
        said.push(format!("all of it is in {}, {}", path.display(), bytes(written)));
    }
    said
}
