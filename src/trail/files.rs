//! The files of the log: one that grows, and older ones that only lose what has to go.
//!
//! A file is called after the number of its first entry. It ends at eight mebibytes or after a
//! day; the next one begins with the next number. Older files are replaced whole when something in
//! them has to go: written beside, confirmed, renamed.

use super::Forgotten;
use crate::config::AuditConfig;
use crate::model::deed::Deed;
use crate::model::whose::Whose;
use crate::units::UnixMillis;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Size and age at which a file ends.
const FILE_BYTES_MAX: u64 = 8 << 20;
const FILE_AGE_MS: u64 = 86_400_000;
/// Longest line that is read; ours are far shorter.
pub(super) const LINE_BYTES_MAX: u64 = 16 << 10;

/// The log's files, of which one grows.
pub(super) struct Files {
    directory: PathBuf,
    config: AuditConfig,
    /// Number of the next entry.
    next: u64,
    growing: Option<Growing>,
    /// What is known of older files.
    older: HashMap<u64, Older>,
    /// Whom nothing names any more, until the process ends.
    hidden: Vec<Hidden>,
}

/// Names in whose place a pseudonym stands.
struct Hidden {
    whose: Whose,
    names: HashSet<String>,
    pseudonym: String,
    /// From where they came.
    addresses: HashSet<IpAddr>,
}

impl Hidden {
    fn of(who: Forgotten) -> Self {
        let Forgotten { whose, names, pseudonym } = who;
        let (names, addresses) = (names.into_iter().collect(), HashSet::new());
        Self { whose, names, pseudonym, addresses }
    }

    fn is_theirs(&self, name: &Option<String>) -> bool {
        let name = name.as_deref();
        name.is_some_and(|name| self.names.contains(name) || self.whose.includes(name))
    }

    /// Says whether it was done as them.
    fn have_done(&self, deed: &Deed) -> bool {
        self.is_theirs(&deed.actor) || self.is_theirs(&deed.token)
    }

    /// Puts the pseudonym in the place of names, and takes addresses out of their entries, and out
    /// of those of nobody who wasn't let in as them or came from where they did; says whether it
    /// changed something.
    fn hide(&self, deed: &mut Deed) -> bool {
        let (acted, meant) = (self.have_done(deed), self.is_theirs(&deed.object));
        let came = deed.address.is_some_and(|from| self.addresses.contains(&from));
        if acted {
            deed.actor = Some(self.pseudonym.clone());
            deed.token = None;
        }
        if meant {
            deed.object = Some(self.pseudonym.clone());
        }
        let unnamed = deed.actor.is_none() && (meant || came);
        if acted || unnamed {
            deed.address = None;
        }
        acted || meant || unnamed
    }
}

/// A file that doesn't grow any more.
#[derive(Clone, Copy)]
struct Older {
    /// When its last entry was made; nothing for a file without any.
    last: Option<UnixMillis>,
    /// It holds no address.
    is_blank: bool,
}

struct Growing {
    number: u64,
    file: File,
    bytes: u64,
    /// When its first entry was made.
    since: UnixMillis,
    /// A write broke off, so that the last line may not be whole.
    is_torn: bool,
}

impl Files {
    /// Looks at what is there; entries are appended to the newest file, if it isn't full.
    pub(super) fn open(directory: &Path, config: AuditConfig) -> io::Result<Self> {
        let mut files = Self {
            directory: directory.to_owned(),
            config,
            next: 1,
            growing: None,
            older: HashMap::new(),
            hidden: Vec::new(),
        };
        for left in beside(directory)? {
            fs::remove_file(left)?;
        }
        let Some(&number) = numbers(directory)?.last() else { return Ok(files) };
        files.next = number;
        let path = path_of(directory, number);
        let mut since = None;
        for deed in deeds(&path)? {
            let deed = deed?;
            since = since.or(Some(deed.at));
            files.next = files.next.max(deed.n.saturating_add(1));
        }
        let file = open_to_append(&path)?;
        let bytes = file.metadata()?.len();
        if let Some(since) = since {
            // Whatever a power cut has left of the last line gets an end of its own.
            files.growing = Some(Growing { number, file, bytes, since, is_torn: true });
        }
        Ok(files)
    }

    /// Appends entries and gives them their numbers.
    pub(super) fn append(&mut self, deeds: Vec<Deed>) -> io::Result<()> {
        let Some(now) = deeds.first().map(|deed| deed.at) else { return Ok(()) };
        let is_over =
            |it: &Growing| it.bytes >= FILE_BYTES_MAX || now.ms_since(it.since) >= FILE_AGE_MS;
        if self.growing.as_ref().is_some_and(is_over) {
            self.end_file()?;
        }
        let growing = match &mut self.growing {
            Some(growing) => growing,
            None => {
                let (number, path) = (self.next, path_of(&self.directory, self.next));
                let file = open_to_append(&path)?;
                let bytes = file.metadata()?.len();
                sync_directory(&self.directory)?;
                let is_torn = bytes > 0;
                self.growing.insert(Growing { number, file, bytes, since: now, is_torn })
            }
        };
        let mut lines = Vec::new();
        if growing.is_torn {
            lines.push(b'\n');
        }
        let mut next = self.next;
        for mut deed in deeds {
            for hidden in &self.hidden {
                hidden.hide(&mut deed);
            }
            serde_json::to_writer(&mut lines, &Deed { n: next, ..deed })?;
            lines.push(b'\n');
            next += 1;
        }
        // Whatever of it reaches the file, no number is given twice.
        self.next = next;
        growing.is_torn = true;
        growing.file.write_all(&lines)?;
        growing.is_torn = false;
        growing.bytes += lines.len() as u64;
        Ok(())
    }

    /// Has the disk confirm what was appended.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.growing.as_ref().map_or(Ok(()), |growing| growing.file.sync_data())
    }

    fn end_file(&mut self) -> io::Result<()> {
        self.sync()?;
        self.growing = None;
        Ok(())
    }

    /// Removes files that are older than they may be or more than there is room for, and addresses
    /// that were kept for their time.
    pub(super) fn keep(&mut self, now: UnixMillis) -> io::Result<()> {
        let AuditConfig { keep_for_ms, size_max, addresses_for_ms } = self.config;
        let soonest = if addresses_for_ms == 0 { keep_for_ms } else { addresses_for_ms };
        let ages = |it: &Growing| now.ms_since(it.since) >= soonest.min(keep_for_ms);
        if self.growing.as_ref().is_some_and(ages) {
            self.end_file()?;
        }
        let growing = self.growing.as_ref().map(|growing| growing.number);
        let mut numbers = numbers(&self.directory)?;
        numbers.retain(|&number| Some(number) != growing);
        let mut room = size_max.0.saturating_sub(self.growing.as_ref().map_or(0, |it| it.bytes));
        for &number in numbers.iter().rev() {
            let path = path_of(&self.directory, number);
            let about = fs::metadata(&path)?;
            let known = self.older.get(&number).copied();
            let is_old = |it: Older| it.last.is_none_or(|at| now.ms_since(at) >= keep_for_ms);
            if known.is_some_and(is_old) || about.len() > room {
                fs::remove_file(&path)?;
                self.older.remove(&number);
                continue;
            }
            room -= about.len();
            if known.is_none_or(|it| !it.is_blank) {
                let looked = self.blank_addresses(number, now, addresses_for_ms)?;
                self.older.insert(number, looked);
                if is_old(looked) {
                    fs::remove_file(&path)?;
                    self.older.remove(&number);
                }
            }
        }
        sync_directory(&self.directory)
    }

    /// Takes addresses out of a file that were kept for their time.
    fn blank_addresses(&self, number: u64, now: UnixMillis, for_ms: u64) -> io::Result<Older> {
        let mut older = Older { last: None, is_blank: true };
        self.rewrite(number, false, &mut |deed| {
            let is_due = deed.address.is_some() && now.ms_since(deed.at) >= for_ms;
            older.is_blank &= deed.address.is_none() || is_due;
            older.last = older.last.max(Some(deed.at));
            if is_due {
                deed.address = None;
            }
            is_due
        })?;
        Ok(older)
    }

    /// Puts a pseudonym in the place of names, also in what is noted later. Lines that aren't whole
    /// go, as nobody knows whom they name.
    pub(super) fn forget(&mut self, who: Forgotten) -> io::Result<u64> {
        self.end_file()?;
        let mut hidden = Hidden::of(who);
        for number in numbers(&self.directory)? {
            for deed in deeds(&path_of(&self.directory, number))? {
                let deed = deed?;
                let from = deed.address.filter(|_| hidden.have_done(&deed));
                hidden.addresses.extend(from);
            }
        }
        let mut changed = 0;
        for number in numbers(&self.directory)? {
            changed += self.rewrite(number, true, &mut |deed| hidden.hide(deed))?;
        }
        self.hidden.push(hidden);
        Ok(changed)
    }

    /// Replaces a file by one in which `change` has changed entries; says how many it changed.
    /// Lines that aren't whole go, with `is_strict` also where nothing else changes.
    fn rewrite(
        &self,
        number: u64,
        is_strict: bool,
        change: &mut dyn FnMut(&mut Deed) -> bool,
    ) -> io::Result<u64> {
        let path = path_of(&self.directory, number);
        let beside = path.with_extension("tmp");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut to = BufWriter::new(file);
        let mut changed = 0;
        for deed in deeds(&path)? {
            let mut deed = deed?;
            changed += u64::from(change(&mut deed));
            serde_json::to_writer(&mut to, &deed)?;
            to.write_all(b"\n")?;
        }
        to.flush()?;
        let is_as_long =
            || Ok::<_, io::Error>(fs::metadata(&path)?.len() == to.get_ref().metadata()?.len());
        if changed == 0 && (!is_strict || is_as_long()?) {
            drop(to);
            fs::remove_file(&beside)?;
            return Ok(0);
        }
        to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&beside, &path)?;
        sync_directory(&self.directory)?;
        Ok(changed)
    }
}

/// Lists the numbers of the files, in order.
pub(super) fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Lists what a kill left of files that were to replace others.
fn beside(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(directory)?.collect();
    let paths = entries?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|it| it == "tmp")).collect())
}

pub(super) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.jsonl"))
}

/// Reads the entries of a file in order, passing over what is none.
pub(super) fn deeds(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Deed>> + use<>> {
    let mut from = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    Ok(std::iter::from_fn(move || {
        loop {
            line.clear();
            let read = io::Read::take(&mut from, LINE_BYTES_MAX).read_until(b'\n', &mut line);
            match read {
                Ok(0) => return None,
                Ok(_) => {}
                Err(failed) => return Some(Err(failed)),
            }
            if let Ok(deed) = serde_json::from_slice(&line) {
                return Some(Ok(deed));
            }
        }
    }))
}

fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
