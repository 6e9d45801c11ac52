//! All that is kept of somebody as one archive.
//!
//! It is written as it is read, a piece at a time, so that neither memory nor a second file grows
//! with what there is. What of it can't be read is told at its end, and the rest is in it. Nothing
//! secret is: no hash of a token or password, no key.

mod archive;
mod shapes;

use super::RightsError;
use crate::clock::Clock;
use crate::disk::{Disk, DiskError, FailAt, PlainFile, fail_at};
use crate::ids::{UploadId, VideoId};
use crate::model::deed::{Action, Outcome};
use crate::model::name::download_name;
use crate::model::text;
use crate::model::whose::{Traces, Whose};
use crate::state::{Found, RecordCount, State, Theirs, UploadRecord, VideoRecord};
use crate::trail::{self, Trail};
use crate::units::{ByteCount, UnixMillis};
use archive::Archive;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Archives that are written at the same time; each has a thread.
const AT_ONCE_MAX: usize = 2;

/// The lists of records, in the order in which they are written.
const LISTS: [&str; 8] =
    ["account", "tokens", "sessions", "grants", "uploads", "videos", "jobs", "deliveries"];
/// What was done.
const AUDIT: &str = "audit";
/// What isn't there.
const MISSING: &str = "missing";

/// What says what is what.
const README: &str = "\
This is all that a Slipway server keeps of OWNER, as of TIME.

account.json      accounts, without their passwords, and when their videos had a
                  turn to be worked on
tokens.json       access tokens, without the tokens themselves
sessions.json     browsers that are signed in, and login links
grants.json       upload grants, without the grants themselves
uploads.json      uploads: what was said of them, what has come, how they ended
videos.json       videos, those in the trash too: titles, tags, what was found
                  in them, errors
jobs.json         what the server does and has done with the videos
deliveries.json   what webhooks were told of the videos, or have still to be
audit.jsonl       what was done in this name or to these things, an object a
                  line; what others did is here without their names
videos/ID/        a video's file as it was sent
captions/ID/      text tracks of a video (WebVTT)
posters/ID.jpg    the picture that was chosen for a video
uploads/ID/       what has come of an upload that isn't complete: from-N/ has
                  what lies from byte N on
missing.json      what should be here and isn't, or isn't as it was sent, and
                  why. It is the last file: without it an archive was cut off

A long list goes on in a file with a number, such as videos-2.json. Times are in
UTC, sizes in bytes.
LEFT_OUT
Not here is what the server has made of the files: other qualities, pictures,
previews. A video with \"originalKept\": false in videos.json has no file any
more; what can be played of it is on the server.
";
/// The same of an archive without files.
const WITHOUT: &str = "\
\nThe files themselves (videos/, uploads/) were left out on purpose.
";

/// What somebody is to be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whose things.
    pub whose: Whose,
    /// Without the files that were sent, and what has come of others.
    pub without_originals: bool,
}

/// Who writes archives. Clones share everything.
#[derive(Clone)]
pub struct Exports {
    state: State,
    disk: Disk,
    trail: Trail,
    clock: Clock,
    boot: Boot,
    /// Archives that are being written.
    running: Arc<AtomicUsize>,
}

/// Which bytes of an upload may be believed.
#[derive(Clone, Debug)]
pub enum Boot {
    /// Those that the records name: a server looks after them.
    Served(String),
    /// Those that a server would find at its start under this boot id.
    Stopped(String),
}

/// What is in an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// The one directory in it.
    pub directory: String,
    /// Records.
    #[serde(flatten)]
    pub records: RecordCount,
    /// Entries of the audit log.
    pub audit_entries: u64,
    /// Files.
    pub files: u64,
    /// What these have, in bytes.
    pub bytes: u64,
    /// Files that aren't there, or not as they were sent.
    pub missing: u64,
    /// Some of them.
    pub examples: Vec<Lack>,
}

/// Something that should be in an archive and isn't, or isn't as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// Its name in the archive.
    pub path: String,
    /// A sentence.
    pub why: String,
}

/// Returns the name of an archive without its end, and of the one directory in it.
pub fn archive_name(whose: &Whose, now: UnixMillis) -> String {
    let owner = whose.to_string().replace('/', "-");
    let date: String = now.to_rfc3339().chars().take("2026-01-31".len()).collect();
    format!("slipway-{}-{date}", download_name(owner.trim_end_matches('-')))
}

impl Exports {
    /// Makes it of these rooms.
    pub fn new(state: State, disk: Disk, trail: Trail, clock: Clock, boot: Boot) -> Self {
        Self { state, disk, trail, clock, boot, running: Arc::default() }
    }

    /// Writes an archive of all that is kept of somebody, and notes that in the audit log. Blocks.
    /// What changes meanwhile may be in it as it was or as it is.
    ///
    /// # Errors
    /// `Nobody` if nothing is kept of them, `Erasing`, `Exporting` with too many at once: nothing
    /// is written then. `Archive` if `to` refuses; `State`, `Disk`, `Trail`. After an error what
    /// was written is no archive.
    pub fn write(&self, wanted: &Wanted, to: &mut dyn Write) -> Result<Exported, RightsError> {
        let _turn = Turn::take(&self.running)?;
        let written = self.write_all(wanted, to);
        let outcome = match &written {
            Ok(_) => Outcome::Done,
            // Of a name that was mistyped nothing is kept.
            Err(RightsError::Nobody) => return written,
            Err(RightsError::Erasing) => Outcome::Refused,
            Err(_) => Outcome::Failed,
        };
        self.trail.note_console(Action::UserExported, Some(wanted.whose.to_string()), outcome);
        written
    }

    fn write_all(&self, wanted: &Wanted, to: &mut dyn Write) -> Result<Exported, RightsError> {
        let whose = &wanted.whose;
        if let Some(note) = self.disk.erasure()?
            && overlap(&note.whose, whose)
        {
            return Err(RightsError::Erasing);
        }
        let found = super::search(&self.state, &self.disk, whose, Traces::default())?;
        let mine: HashSet<String> = found.traces.names().into_iter().collect();
        if found.is_empty() && mine.is_empty() && !self.is_in_trail(whose)? {
            return Err(RightsError::Nobody);
        }
        let now = self.clock.now();
        let mut lists = LISTS.to_vec();
        lists.push(MISSING);
        let mut archive = Archive::new(to, archive_name(whose, now), now, &lists, AUDIT);
        archive.bytes("README.txt", readme(wanted, now).as_bytes())?;
        self.records(&found, &mut archive)?;
        self.audit(whose, &mine, &mut archive)?;
        // Before the videos: what is complete meanwhile is found as one of these.
        for &id in &found.traces.uploads {
            self.upload(id, wanted, &mut archive)?;
        }
        for &id in &found.traces.videos {
            self.video(id, wanted, &mut archive)?;
        }
        archive.end_list(MISSING)?;
        archive.end()
    }

    /// Writes the lists of records.
    fn records(&self, found: &Found, to: &mut Archive<'_>) -> Result<(), RightsError> {
        // What others' records say of them is the others'.
        to.done.records = RecordCount { mentions: 0, ..found.count() };
        let mut known = HashSet::new();
        self.state.each_of(found, &mut |record| {
            match &record {
                Theirs::Upload(upload, _) => drop(known.insert(upload.id.to_string())),
                Theirs::Video(video) => drop(known.insert(video.id.to_string())),
                Theirs::Trashed(trashed) => drop(known.insert(trashed.video.id.to_string())),
                _ => {}
            }
            let (list, told) = shapes::told(record, &found.traces);
            to.list(list, &told)
        })?;
        // What lies on the disk without a record.
        let strays = found.traces.uploads.iter().filter(|id| !known.contains(&id.to_string()));
        for &id in strays {
            if let Ok(Some(meta)) = self.disk.upload_meta(id) {
                to.list("uploads", &shapes::stray_upload(meta))?;
            }
        }
        let strays = found.traces.videos.iter().filter(|id| !known.contains(&id.to_string()));
        for &id in strays {
            if let Some(facts) = self.disk.facts_or_trashed(id)? {
                let mut told = shapes::video(VideoRecord::from_facts(facts));
                told["withoutRecord"] = true.into();
                to.list("videos", &told)?;
            }
        }
        LISTS.into_iter().try_for_each(|name| to.end_list(name))
    }

    /// Writes what the audit log has of them.
    fn audit(
        &self,
        whose: &Whose,
        mine: &HashSet<String>,
        to: &mut Archive<'_>,
    ) -> Result<(), RightsError> {
        let mut after = Some(0);
        while let Some(number) = after {
            let page = self.page(number)?;
            after = page.last().map(|deed| deed.n);
            for deed in page {
                if let Some(told) = shapes::entry(deed, whose, |name| mine.contains(name)) {
                    to.list(AUDIT, &told)?;
                    to.done.audit_entries += 1;
                }
            }
        }
        to.end_list(AUDIT)
    }

    /// Says whether the audit log has an entry of theirs.
    fn is_in_trail(&self, whose: &Whose) -> Result<bool, RightsError> {
        let mut after = Some(0);
        while let Some(number) = after {
            let page = self.page(number)?;
            after = page.last().map(|deed| deed.n);
            if page.into_iter().any(|deed| shapes::entry(deed, whose, |_| false).is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn page(&self, after: u64) -> Result<Vec<crate::model::deed::Deed>, RightsError> {
        let limit = trail::PAGE_MAX;
        let wanted = trail::Query { after: Some(after), limit, ..trail::Query::default() };
        self.trail.read(&wanted).map_err(RightsError::Trail)
    }

    /// Writes what has come of an upload that isn't complete.
    fn upload(
        &self,
        id: UploadId,
        wanted: &Wanted,
        to: &mut Archive<'_>,
    ) -> Result<(), RightsError> {
        let is_open = |upload: &UploadRecord| upload.state.is_under_way() || upload.is_part();
        let upload = self.state.upload(id)?.filter(is_open);
        let Some(upload) = upload.filter(|_| !wanted.without_originals) else { return Ok(()) };
        let below = format!("uploads/{id}");
        let name = download_name(&upload.filename);
        let length = match self.disk.read_blob(id, ByteCount(0)) {
            Ok(file) => file.on_disk().metadata().map_or(0, |about| about.len()),
            // It was completed or ended just now, or is made of others and has no bytes.
            Err(DiskError::Missing) => return Ok(()),
            Err(failed) => return to.lack(below, reason(&failed).to_owned()),
        };
        let there = match &self.boot {
            Boot::Served(boot) => upload.received.believed(boot, ByteCount(length)),
            Boot::Stopped(boot) => upload.received.recovered(boot, ByteCount(length)),
        };
        for &(from, end) in there.as_slice() {
            let path = format!("{below}/from-{from}/{name}");
            let file = match self.disk.read_blob(id, ByteCount(end)) {
                Ok(file) => file,
                Err(failed) => {
                    to.lack(path, reason(&failed).to_owned())?;
                    continue;
                }
            };
            let copied = to.file(&path, file, (from, end), upload.changed_at, false)?;
            if copied.lacking > 0 {
                to.lack(path, zeros(copied.lacking))?;
            }
            fail_at(FailAt::InMidExport);
        }
        Ok(())
    }

    /// Writes the files of a video, wherever it is.
    fn video(&self, id: VideoId, wanted: &Wanted, to: &mut Archive<'_>) -> Result<(), RightsError> {
        let trashed = || self.state.trashed(id).map(|it| it.map(|trashed| trashed.video));
        let video = match self.state.video(id)? {
            None => trashed()?,
            found => found,
        };
        let video = match video {
            None => self.disk.facts_or_trashed(id)?.map(VideoRecord::from_facts),
            found => found,
        };
        let Some(video) = video else {
            let why = "it was deleted while this was written";
            return to.lack(format!("videos/{id}"), why.to_owned());
        };
        for track in text::shown(&video.captions, &video.texts) {
            let name = format!("captions/{id}/{}.vtt", track.name());
            match self.disk.read_text(id, track.stored) {
                // What the file itself holds may just be made anew.
                Ok(None) if !video.captions.contains(track) => {}
                read => small(&name, read, to)?,
            }
        }
        if let Some(chosen) = &video.chosen {
            let name = format!("posters/{id}.jpg");
            small(&name, self.disk.read_chosen(id, chosen.version), to)?;
        }
        if wanted.without_originals || video.discarded {
            return Ok(());
        }
        self.original(&video, to)?;
        fail_at(FailAt::InMidExport);
        Ok(())
    }

    fn original(&self, video: &VideoRecord, to: &mut Archive<'_>) -> Result<(), RightsError> {
        let path = format!("videos/{}/{}", video.id, download_name(&video.filename));
        let file: PlainFile = match self.disk.open_original_or_trashed(video.id) {
            Ok(file) => file,
            // It is still on its way.
            Err(DiskError::Missing) if video.uploaded_at.is_none() => return Ok(()),
            Err(failed) => return to.lack(path, reason(&failed).to_owned()),
        };
        let size = file.size();
        let at = video.uploaded_at.unwrap_or(video.created_at);
        let copied = to.file(&path, file, (0, size.0), at, video.sha256.is_some())?;
        let why = if copied.lacking > 0 {
            zeros(copied.lacking)
        } else if size != video.size {
            format!("it has {size} bytes and had {} when it was sent", video.size)
        } else if copied.sha256.is_some() && copied.sha256 != video.sha256 {
            "it isn't as it was sent: its SHA-256 is another".to_owned()
        } else {
            return Ok(());
        };
        to.lack(path, why)
    }
}

/// Writes a small file that may have gone.
fn small(
    name: &str,
    read: Result<Option<Vec<u8>>, DiskError>,
    to: &mut Archive<'_>,
) -> Result<(), RightsError> {
    match read {
        Ok(Some(bytes)) => to.bytes(name, &bytes),
        Ok(None) => to.lack(name.to_owned(), reason(&DiskError::Missing).to_owned()),
        Err(failed) => to.lack(name.to_owned(), reason(&failed).to_owned()),
    }
}

/// One of the archives that are written at the same time.
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn take(running: &Arc<AtomicUsize>) -> Result<Self, RightsError> {
        let turn = Self(Arc::clone(running));
        match running.fetch_add(1, Ordering::SeqCst) < AT_ONCE_MAX {
            true => Ok(turn),
            false => Err(RightsError::Exporting),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn overlap(one: &Whose, other: &Whose) -> bool {
    one == other || one.includes(&other.to_string()) || other.includes(&one.to_string())
}

fn readme(wanted: &Wanted, now: UnixMillis) -> String {
    let left_out = if wanted.without_originals { WITHOUT } else { "" };
    // The name last: it may hold anything.
    README.replace("TIME", &now.to_rfc3339()).replace("LEFT_OUT", left_out).replacen(
        "OWNER",
        &wanted.whose.to_string(),
        1,
    )
}

/// Says why a file isn't there, without telling where it lies on the server.
fn reason(cause: &DiskError) -> &'static str {
    match cause {
        DiskError::Missing => "its file is missing on the server",
        DiskError::Locked { .. } => "its file is encrypted, and its key can't be had",
        DiskError::WrongSize { .. } => "its file is shorter than it was",
        _ => "its file can't be read",
    }
}

fn zeros(lacking: u64) -> String {
    format!("{lacking} bytes of it can't be read any more; zeros stand in their places")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No owner's name leads out of the directory or hides it.
    #[test]
    fn archives_have_harmless_names() {
        let name = |owner: &str| {
            archive_name(&Whose::parse(owner).expect("a name"), UnixMillis(1_769_860_800_000))
        };
        assert_eq!(name("ann"), "slipway-ann-2026-01-31");
        assert_eq!(name("acme/ann"), "slipway-acme-ann-2026-01-31");
        assert_eq!(name("acme/"), "slipway-acme-2026-01-31");
        assert_eq!(name("../.."), "slipway-..-..-2026-01-31");
        assert_eq!(name("a\"b:c"), "slipway-abc-2026-01-31");
    }

    /// One who is erased isn't exported, alone or with their organisation.
    #[test]
    fn whoever_is_erased_overlaps() {
        let whose = |text: &str| Whose::parse(text).expect("a name");
        assert!(overlap(&whose("acme/"), &whose("acme/ann")));
        assert!(overlap(&whose("acme/ann"), &whose("acme/")));
        assert!(overlap(&whose("ann"), &whose("ann")));
        assert!(!overlap(&whose("ann"), &whose("anna")));
    }

    /// Every list is in the words that say what is what, and lines have room on a terminal.
    #[test]
    fn the_words_name_everything() {
        for name in LISTS.into_iter().chain([MISSING]) {
            assert!(README.contains(&format!("\n{name}.json ")), "{name}");
        }
        assert!(README.contains("\naudit.jsonl "));
        let whose = Whose::parse("OWNER TIME").expect("a name");
        let said = readme(&Wanted { whose, without_originals: true }, UnixMillis(0));
        assert!(said.contains("keeps of OWNER TIME, as of 1970-01-01T"), "{said}");
        assert!(said.contains("left out") && !said.contains("LEFT_OUT"), "{said}");
        assert!(said.lines().skip(1).all(|line| line.len() <= 80), "{said}");
    }
}
