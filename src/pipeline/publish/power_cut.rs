//! What a power cut leaves of published files.

use super::{PublishError, Publisher};
use crate::disk::is_text;
use crate::model::manifest::Rung;
use crate::pipeline::growing::files_of;
use crate::units::{ByteCount, UnixMillis};

impl Publisher {
    /// Has no playlist name what a power cut took: a rung that wasn't complete ends before the
    /// first file that isn't whole, and one that nobody remembers goes.
    pub(super) fn let_go_of_what_is_gone(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        let (disk, video) = (self.disk.clone(), self.video);
        for rung in self.manifest.rungs.iter_mut().filter(|rung| !rung.complete) {
            let sizes = rung.segments.iter().map(|segment| Some(ByteCount(segment.bytes)));
            let files = files_of(rung, 0..rung.segments.len() as u32);
            let files: Vec<_> = files.into_iter().zip(std::iter::once(None).chain(sizes)).collect();
            let whole = disk.intact_files(video, &rung.directory(), &files)?;
            rung.segments.truncate(whole.saturating_sub(1));
            rung.durable = rung.durable.min(rung.segments.len() as u32);
            self.behind.push(rung.plan.name.clone());
        }
        self.manifest.rungs.retain(|rung| rung.complete || !rung.segments.is_empty());
        let known = self.manifest.rungs.iter().chain(&self.catching_up).map(Rung::directory);
        let known: Vec<String> = known.collect();
        self.rewrite(now)?;
        for directory in self.disk.rungs(video)? {
            if !is_text(&directory) && !known.contains(&directory) {
                self.disk.remove_rung(video, &directory)?;
            }
        }
        Ok(())
    }
}
