//! The archive as it is written: a POSIX tar, of which each entry has exactly as many bytes as were
//! announced, whatever becomes of its file meanwhile.

use super::{Exported, Lack};
use crate::cipher::BLOCK_BYTES;
use crate::disk::PlainFile;
use crate::rights::RightsError;
use crate::units::{ByteOffset, UnixMillis};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use tar::{Builder, EntryType, Header};

/// Longest name that a header holds by itself; longer ones, and those that aren't ASCII, stand in a
/// header of their own before it (pax, POSIX.1-2001).
const NAME_BYTES_MAX: usize = 100;
/// From this size on a header's own field has no digits for it.
const SIZE_MIN_PAX: u64 = 8 << 30;
/// A list goes on in another file from here on, so that memory is bounded.
const LIST_BYTES: usize = 1 << 20;
/// What is missing that is told at once, beside all of it in the archive.
const EXAMPLES_MAX: usize = 10;

/// An archive that is being written.
pub(super) struct Archive<'a> {
    to: Builder<&'a mut dyn Write>,
    now: UnixMillis,
    lists: BTreeMap<&'static str, List>,
    pub(super) done: Exported,
}

/// A list that is gathered until it is large enough for a file.
struct List {
    end: &'static str,
    files: u32,
    text: Vec<u8>,
}

/// What came of a file that was copied.
pub(super) struct Copied {
    /// Bytes that couldn't be read; zeros stand in their places.
    pub(super) lacking: u64,
    /// SHA-256 of what was written, in lower-case hex, if it was wanted.
    pub(super) sha256: Option<String>,
}

impl<'a> Archive<'a> {
    /// Begins one, of which all is below `directory`, with these lists of JSON and one of lines.
    pub(super) fn new(
        to: &'a mut dyn Write,
        directory: String,
        now: UnixMillis,
        lists: &[&'static str],
        lines: &'static str,
    ) -> Self {
        let list = |end| List { end, files: 0, text: Vec::new() };
        let mut all: BTreeMap<_, _> = lists.iter().map(|&name| (name, list("json"))).collect();
        all.insert(lines, list("jsonl"));
        let done = Exported { directory, ..Exported::default() };
        Self { to: Builder::new(to), now, lists: all, done }
    }

    /// Adds a file whose bytes are at hand.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), RightsError> {
        self.entry(name, bytes.len() as u64, self.now, bytes)
    }

    /// Adds `from..to` of a file, last changed at `at`; its SHA-256 is found if `is_summed`.
    pub(super) fn file(
        &mut self,
        name: &str,
        file: PlainFile,
        (from, to): (u64, u64),
        at: UnixMillis,
        is_summed: bool,
    ) -> Result<Copied, RightsError> {
        let sum = is_summed.then(Sha256::new);
        let mut steady = Steady { file, at: from, to, lacking: 0, is_over: false, sum };
        self.entry(name, to.saturating_sub(from), at, &mut steady)?;
        let hex = |sum: Sha256| sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Copied { lacking: steady.lacking, sha256: steady.sum.map(hex) })
    }

    /// Adds something to a list, which is written when there is enough of it.
    pub(super) fn list(&mut self, name: &'static str, item: &Value) -> Result<(), RightsError> {
        let Some(list) = self.lists.get_mut(name) else { return Ok(()) };
        list.add(item);
        if list.text.len() >= LIST_BYTES { self.write_list(name) } else { Ok(()) }
    }

    /// Writes what is left of a list; one that has nothing is written as well.
    pub(super) fn end_list(&mut self, name: &'static str) -> Result<(), RightsError> {
        let is_due = self.lists.get(name).is_some_and(|it| it.files == 0 || !it.text.is_empty());
        if is_due { self.write_list(name) } else { Ok(()) }
    }

    /// Tells of something that should be in the archive and isn't, or isn't as it was.
    pub(super) fn lack(&mut self, path: String, why: String) -> Result<(), RightsError> {
        let lack = Lack { path, why };
        self.list("missing", &serde_json::to_value(&lack).unwrap_or_default())?;
        self.done.missing += 1;
        if self.done.examples.len() < EXAMPLES_MAX {
            self.done.examples.push(lack);
        }
        Ok(())
    }

    /// Writes the end of the archive.
    pub(super) fn end(self) -> Result<Exported, RightsError> {
        self.to.into_inner().and_then(|to| to.flush()).map_err(RightsError::Archive)?;
        Ok(self.done)
    }

    fn write_list(&mut self, name: &'static str) -> Result<(), RightsError> {
        let Some(list) = self.lists.get_mut(name) else { return Ok(()) };
        let (file, text) = list.take(name);
        self.bytes(&file, &text)
    }

    /// Writes an entry. `bytes` has `size` bytes and fails never.
    fn entry(
        &mut self,
        name: &str,
        size: u64,
        at: UnixMillis,
        bytes: impl Read,
    ) -> Result<(), RightsError> {
        let path = format!("{}/{name}", self.done.directory);
        let is_plain = path.is_ascii() && path.len() <= NAME_BYTES_MAX;
        let digits = size.to_string();
        let longer = [
            ("path", path.as_bytes(), !is_plain),
            ("size", digits.as_bytes(), size >= SIZE_MIN_PAX),
        ];
        let longer = longer.into_iter().filter(|(_, _, is_used)| *is_used);
        let longer = longer.map(|(key, value, _)| (key, value));
        let mut header = Header::new_ustar();
        // What programs see that know nothing of such headers.
        let short = format!("slipway-export/file-{}", self.done.files + 1);
        let written = self
            .to
            .append_pax_extensions(longer)
            .and_then(|()| header.set_path(if is_plain { &path } else { &short }))
            .and_then(|()| {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(0o600);
                header.set_mtime(at.as_secs());
                header.set_size(size);
                header.set_cksum();
                self.to.append(&header, bytes)
            });
        written.map_err(RightsError::Archive)?;
        self.done.files += 1;
        self.done.bytes += size;
        Ok(())
    }
}

impl List {
    fn add(&mut self, item: &Value) {
        // A value in memory can be written.
        let line = match self.end {
            "jsonl" => serde_json::to_vec(item).unwrap_or_default(),
            _ => {
                self.text.extend_from_slice(if self.text.is_empty() { b"[\n" } else { b",\n" });
                serde_json::to_vec_pretty(item).unwrap_or_default()
            }
        };
        self.text.extend(line);
        if self.end == "jsonl" {
            self.text.push(b'\n');
        }
    }

    /// Returns what was gathered as a file of its own, with its name.
    fn take(&mut self, name: &str) -> (String, Vec<u8>) {
        let mut text = std::mem::take(&mut self.text);
        match (self.end, text.is_empty()) {
            ("jsonl", _) => {}
            (_, true) => text.extend_from_slice(b"[]\n"),
            (_, false) => text.extend_from_slice(b"\n]\n"),
        }
        self.files += 1;
        match self.files {
            1 => (format!("{name}.{}", self.end), text),
            number => (format!("{name}-{number}.{}", self.end), text),
        }
    }
}

/// Reads a file as long as it was announced: what can't be read is zeros, and is counted.
struct Steady {
    file: PlainFile,
    at: u64,
    to: u64,
    lacking: u64,
    /// It has become shorter.
    is_over: bool,
    sum: Option<Sha256>,
}

impl Read for Steady {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = left.min(into.len());
        let into = &mut into[..room];
        if into.is_empty() {
            return Ok(0);
        }
        let read = match self.is_over {
            true => Ok(0),
            false => self.file.read_at(ByteOffset(self.at), into),
        };
        let count = match read {
            Ok(count) if count > 0 => count,
            ended => {
                self.is_over |= ended.is_ok();
                // Behind a block that is damaged there are others that aren't.
                let block = BLOCK_BYTES - (self.at % BLOCK_BYTES as u64) as usize;
                let count = into.len().min(block);
                into[..count].fill(0);
                self.lacking += count as u64;
                count
            }
        };
        if let Some(sum) = &mut self.sum {
            sum.update(&into[..count]);
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use crate::ids::{Owner, VideoId};
    use crate::state::VideoRecord;
    use serde_json::json;
    use std::os::fd::AsRawFd;

    fn archive(fill: impl FnOnce(&mut Archive<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive =
            Archive::new(&mut bytes, "slipway-ann".into(), UnixMillis(7_000), &["missing"], "log");
        fill(&mut archive);
        archive.end().expect("written");
        bytes
    }

    fn names(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut read = tar::Archive::new(bytes);
        let entries = read.entries().expect("an archive").map(|entry| {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("whole");
            (name, bytes)
        });
        entries.collect()
    }

    /// Names of any length and script come back as they were.
    #[test]
    fn names_of_any_kind_come_back() {
        let long = "n".repeat(255);
        let all = ["a.txt", "Grüße 🎬.mov", &long, "..x", "x/../y".trim_start_matches("x/../")];
        let bytes = archive(|to| {
            all.iter().for_each(|name| to.bytes(name, name.as_bytes()).expect("written"));
        });
        let expected = all.map(|name| (format!("slipway-ann/{name}"), name.as_bytes().to_vec()));
        assert_eq!(names(&bytes), expected);
    }

    /// A long list goes on in further files, each whole by itself; an empty one is one as well.
    #[test]
    fn lists_are_whole_in_each_file() {
        let item = json!({ "text": "t".repeat(LIST_BYTES / 2) });
        let bytes = archive(|to| {
            for _ in 0..3 {
                to.list("missing", &item).expect("written");
                to.list("log", &item).expect("written");
            }
            to.end_list("missing").expect("written");
            to.end_list("log").expect("written");
        });
        let read = names(&bytes);
        let of = |name: &str| {
            let found = read.iter().find(|(found, _)| *found == format!("slipway-ann/{name}"));
            String::from_utf8(found.expect("it is there").1.clone()).expect("text")
        };
        let count =
            |name: &str| serde_json::from_str::<Vec<Value>>(&of(name)).expect("a list").len();
        assert_eq!((count("missing.json"), count("missing-2.json")), (2, 1));
        assert_eq!((of("log.jsonl").lines().count(), of("log-2.jsonl").lines().count()), (2, 1));
        let empty = archive(|to| to.end_list("missing").expect("written"));
        assert_eq!(names(&empty), [("slipway-ann/missing.json".into(), b"[]\n".to_vec())]);
    }

    /// A file that shrinks or grows once its size was announced has that size in the archive, and
    /// what it lacks is told.
    #[test]
    fn entries_are_as_long_as_announced() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::open(&directory.path().join("data")).expect("opened");
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        for length in [150_000, 300_000] {
            let video = VideoId::fresh(UnixMillis(length));
            let record = VideoRecord::new(video, Owner("ann".into()), UnixMillis(0));
            disk.create_original(video, &bytes, &record.to_facts()).expect("made");
            let opened = disk.open_original(video).expect("opened");
            let path = format!("/proc/self/fd/{}", opened.on_disk().as_raw_fd());
            let path = std::fs::read_link(path).expect("a name");
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, private).expect("set");
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
            file.set_len(length as u64).expect("cut");
            let size = opened.size().0;
            let mut copied = None;
            let archive = archive(|to| {
                let whole = (0, size);
                copied = Some(to.file("film", opened, whole, UnixMillis(0), true).expect("read"));
                to.bytes("next", b"next").expect("written");
            });
            let copied = copied.expect("copied");
            let read = names(&archive);
            let mut expected = bytes.clone();
            expected[bytes.len().min(length as usize)..].fill(0);
            assert_eq!((read[0].1.len(), read[0].1 == expected), (bytes.len(), true));
            assert_eq!(copied.lacking, 200_000 - length.min(200_000) as u64);
            assert_eq!(copied.sha256.expect("wanted").len(), 64);
            assert_eq!(read[1].1, b"next");
        }
    }

    /// The size of what is larger than a header's digits reach stands before it and in it.
    #[test]
    fn sizes_past_8_gib_are_told() {
        /// Takes what comes first, and has no room for what comes then.
        struct Heads(Vec<u8>);
        impl Write for Heads {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.len() >= 4 * 512 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let size = (8 << 30) + 5;
        let mut heads = Heads(Vec::new());
        let mut to = Archive::new(&mut heads, "s".into(), UnixMillis(0), &[], "log");
        let refused = to.entry("film", size, UnixMillis(0), io::repeat(7).take(size));
        assert!(matches!(refused, Err(RightsError::Archive(_))));
        drop(to);
        let mut read = tar::Archive::new(heads.0.as_slice());
        let mut entries = read.entries().expect("an archive");
        let mut film = entries.next().expect("an entry").expect("readable");
        assert_eq!(film.size(), size);
        let longer: Vec<String> = film
            .pax_extensions()
            .expect("readable")
            .expect("some")
            .map(|it| it.expect("one").key().expect("text").to_owned())
            .collect();
        assert_eq!(longer, ["size"]);
    }
}
