//! A cleaning: everything on disk and in the records is looked at once, and put where it belongs.
//!
//! It goes in small steps with pauses, and looks at each thing anew, under the lock of whoever
//! moves it, before it touches it. What somebody may just be making has no record yet: such
//! things are left alone for an hour.

use super::keep::Rules;
use super::{Janitor, JanitorError};
use crate::disk::{Area, DiskError};
use crate::ids::{JobId, UploadId, VideoId};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::upkeep::{Action, AskedBy, Kind, Report};
use crate::model::video::{VideoState, Visibility};
use crate::state::{JobRecord, StuckJob, VideoRecord};
use crate::units::UnixMillis;
use std::collections::HashSet;
use std::time::Duration;
use tracing::{info, warn};

/// Records that are read in one go.
pub(super) const PAGE: usize = 256;

/// How long something without a record is left alone, as it may just be coming.
const YOUNG_MS: u64 = 3_600_000;

/// Most that one cleaning removes because the rules have it so; the rest waits for the next one.
pub(super) const DUE_MAX: usize = 1_000;

/// Pauses after each page or directory.
const PAUSE_SCHEDULED: Duration = Duration::from_millis(50);
const PAUSE_ASKED: Duration = Duration::from_millis(1);

/// One cleaning on its way.
struct Cleaning<'a> {
    janitor: &'a Janitor,
    dry: bool,
    pause: Duration,
    report: Report,
    /// What isn't kept any longer, by which time.
    rules: Rules,
    /// What has gone so far because it was due.
    due: usize,
    /// Videos whose upload is remembered as ended: without a record they were deleted.
    deleted: HashSet<VideoId>,
}

impl Janitor {
    /// Looks at everything once and mends what isn't in order, or with `dry_run` only tells. A
    /// report is kept if something was found, or somebody asked.
    ///
    /// # Errors
    /// `Busy` while another cleaning is under way; whatever keeps the records or the whole disk
    /// from being read. What only concerns one thing is told in the report.
    pub async fn clean(&self, by: AskedBy, dry_run: bool) -> Result<Report, JanitorError> {
        let Ok(_alone) = self.cleaning.try_lock() else { return Err(JanitorError::Busy) };
        let mut cleaning = Cleaning {
            janitor: self,
            dry: dry_run,
            pause: if by == AskedBy::Admin { PAUSE_ASKED } else { PAUSE_SCHEDULED },
            report: Report::begin(by, dry_run, self.clock.now()),
            rules: self.rules().await?,
            due: 0,
            deleted: self.deleted()?,
        };
        cleaning.uploads().await?;
        cleaning.originals().await?;
        cleaning.media().await?;
        cleaning.trash().await?;
        cleaning.works().await?;
        cleaning.videos().await?;
        cleaning.jobs().await?;
        let mut report = cleaning.report;
        report.finished_at = self.clock.now();
        for found in &report.findings {
            info!(kind = ?found.kind, count = found.count, bytes = found.bytes.0, dry_run,
                "cleaning: {} times {:?}, {:?}", found.count, found.kind, found.action);
        }
        if by == AskedBy::Admin || !report.findings.is_empty() || !report.faults.is_empty() {
            self.state.keep_report(report.clone()).await?;
        }
        Ok(report)
    }

    /// Looks for stuck work among the next `pages` pages of videos and of jobs; a later call goes
    /// on behind them. A report is kept if there was some.
    pub(super) async fn look_for_stuck_work(&self, pages: usize) -> Result<(), JanitorError> {
        let mut report = Report::begin(AskedBy::Schedule, false, self.clock.now());
        for _ in 0..pages {
            let after = self.places().video;
            let videos = self.read(move |state| state.video_page(after, PAGE)).await?;
            self.places().video =
                videos.last().map(|video| video.id).filter(|_| videos.len() == PAGE);
            for video in &videos {
                if self.mend_video(video, false).await? {
                    let (kind, id) = (Kind::VideoWithoutWork, video.id.to_string());
                    report.add(kind, Action::Queued, id, 0, &without_work(video));
                }
            }
            let after = self.places().job;
            let jobs = self.read(move |state| state.job_page(after, PAGE)).await?;
            self.places().job = jobs.last().map(|job| job.id).filter(|_| jobs.len() == PAGE);
            for job in &jobs {
                if let Some((action, detail)) = self.mend_job(job, false).await? {
                    report.add(Kind::StuckJob, action, job.id.to_string(), 0, detail);
                }
            }
            tokio::time::sleep(PAUSE_ASKED).await;
        }
        report.finished_at = self.clock.now();
        if !report.findings.is_empty() {
            self.state.keep_report(report).await?;
        }
        Ok(())
    }

    /// Queues the work on a video that nobody is to do; says whether it was so.
    async fn mend_video(&self, video: &VideoRecord, dry: bool) -> Result<bool, JanitorError> {
        if matches!(video.state, VideoState::Ready | VideoState::Failed) {
            return Ok(false);
        }
        let job = match video.job {
            Some(job) => self.state.job(job)?,
            None => None,
        };
        let is_coming = match video.upload.filter(|_| video.state == VideoState::Uploading) {
            Some(upload) => self.state.upload(upload)?.is_none_or(|it| it.state.is_under_way()),
            None => video.state == VideoState::Uploading,
        };
        if is_coming || job.is_some_and(|job| job.is_open()) {
            return Ok(false);
        }
        if dry {
            return Ok(true);
        }
        let (id, now) = (video.id, self.clock.now());
        let mut job = JobRecord::new(JobId::fresh(now), id, video.owner.clone(), now);
        let detail = "The work on this video had got lost and was queued again.";
        job.problem = Some(Problem::new(ProblemCode::Internal, detail));
        let Some(mended) = self.state.mend_video(id, job).await? else { return Ok(false) };
        warn!(video.id = %id, "video {id} was {:?} without work and is queued again", video.state);
        self.queue.told(&mended);
        Ok(true)
    }

    /// Mends a job that can't go on as it stands; returns what was done.
    async fn mend_job(
        &self,
        job: &JobRecord,
        dry: bool,
    ) -> Result<Option<(Action, &'static str)>, JanitorError> {
        let (id, now) = (job.id, self.clock.now());
        if !job.is_open() {
            return Ok(None);
        }
        if dry {
            // Only this can be told without trying.
            let is_lost = self.state.video(job.video)?.is_none();
            return Ok(is_lost.then_some((Action::Ended, "Its video is gone.")));
        }
        let Some(stuck) = self.state.mend_job(id, self.queue.is_held(id), now).await? else {
            return Ok(None);
        };
        let done = match stuck {
            StuckJob::WithoutVideo => (Action::Ended, "Its video is gone."),
            StuckJob::UploadGone => (Action::Ended, "Its upload is gone."),
            StuckJob::Abandoned => (Action::Queued, "Its lease had run out and nobody held it."),
            StuckJob::UploadFinished => (Action::Queued, "Its upload had finished without it."),
        };
        warn!(job.id = %id, "job {id} was stuck and is {:?}: {}", done.0, done.1);
        self.queue.bell().notify_one();
        Ok(Some(done))
    }
}

impl Cleaning<'_> {
    /// Gives up uploads whose time is over, and removes what lies of those that have ended.
    async fn uploads(&mut self) -> Result<(), JanitorError> {
        let due = self.janitor.uploads.due()?;
        if !self.dry {
            self.janitor.uploads.expire_due().await?;
        }
        for record in due {
            if self.dry || self.janitor.uploads.peek(record.id).is_err() {
                let bytes = record.received.written.total().0;
                self.found(Kind::ExpiredUpload, record.id.to_string(), bytes);
            }
        }
        for shard in self.janitor.blocking(|disk| disk.shards(Area::Uploads)).await? {
            let ids = self.janitor.blocking(move |disk| disk.uploads_in(&shard)).await?;
            for id in ids {
                let looked = self.upload(id).await;
                self.settle("upload", id, looked)?;
            }
            self.rest().await;
        }
        Ok(())
    }

    async fn upload(&mut self, id: UploadId) -> Result<(), JanitorError> {
        let is_known = self.janitor.state.upload(id)?.is_some();
        if !is_known && self.is_young(id.drawn_at()) {
            return Ok(());
        }
        if !self.janitor.uploads.is_leftover(id).await? {
            return Ok(());
        }
        let weight = self.janitor.blocking(move |disk| disk.weigh_upload(id)).await?;
        if !self.dry {
            self.janitor.blocking(move |disk| disk.remove_upload(id)).await?;
        }
        self.found(Kind::UploadLeftover, id.to_string(), weight.bytes);
        Ok(())
    }

    /// Takes in originals that no record knows, and removes those of what was deleted.
    async fn originals(&mut self) -> Result<(), JanitorError> {
        for shard in self.janitor.blocking(|disk| disk.shards(Area::Originals)).await? {
            let read = move |disk: &crate::disk::Disk| disk.videos_in(Area::Originals, &shard);
            for id in self.janitor.blocking(read).await? {
                let looked = self.original(id).await;
                self.settle("original", id, looked)?;
            }
            self.rest().await;
        }
        Ok(())
    }

    async fn original(&mut self, id: VideoId) -> Result<(), JanitorError> {
        let janitor = self.janitor;
        if self.tidy(id, Area::Originals).await? {
            return Ok(());
        }
        let _still = janitor.library.hold().await;
        let known = janitor.state.video(id)?;
        let is_right = |video: &VideoRecord| {
            !video.discarded
                || (video.state == VideoState::Ready && !janitor.disk.has_source_files(id))
        };
        if known.as_ref().is_some_and(is_right)
            || janitor.state.trashed(id)?.is_some()
            || (known.is_none() && self.is_young(id.drawn_at()))
        {
            return Ok(());
        }
        let weight = janitor.blocking(move |disk| disk.weigh_original(id)).await?;
        let is_deleted = known.is_some() || self.deleted.contains(&id);
        if is_deleted || !janitor.is_whole(id).await? {
            match known.filter(|_| !self.dry) {
                Some(dropped) => {
                    janitor.remove_dropped(&dropped).await?;
                }
                None if self.dry => {}
                None => janitor.blocking(move |disk| disk.remove_original(id)).await?,
            }
            self.found(Kind::DeletedOriginal, id.to_string(), weight.bytes);
        } else {
            if !self.dry {
                janitor.adopt(id, Some(Visibility::Private)).await?;
                janitor.queue.bell().notify_one();
            }
            self.found(Kind::UnknownOriginal, id.to_string(), weight.bytes);
        }
        Ok(())
    }

    /// Removes what was published of videos that aren't there.
    async fn media(&mut self) -> Result<(), JanitorError> {
        for shard in self.janitor.blocking(|disk| disk.shards(Area::Media)).await? {
            let read = move |disk: &crate::disk::Disk| disk.videos_in(Area::Media, &shard);
            for id in self.janitor.blocking(read).await? {
                let looked = self.medium(id).await;
                self.settle("media", id, looked)?;
            }
            self.rest().await;
        }
        Ok(())
    }

    async fn medium(&mut self, id: VideoId) -> Result<(), JanitorError> {
        let janitor = self.janitor;
        if self.tidy(id, Area::Media).await? {
            return Ok(());
        }
        let _still = janitor.library.hold().await;
        if janitor.state.video(id)?.is_some() || janitor.state.trashed(id)?.is_some() {
            return Ok(());
        }
        let weight = janitor.blocking(move |disk| disk.weigh_media(id)).await?;
        if !self.dry {
            janitor.blocking(move |disk| disk.remove_media(id)).await?;
        }
        self.found(Kind::DeletedMedia, id.to_string(), weight.all().bytes);
        Ok(())
    }

    /// Moves what lies in its old place of a video in the trash to where it belongs; says whether
    /// the video is in the trash.
    async fn tidy(&mut self, id: VideoId, area: Area) -> Result<bool, JanitorError> {
        let janitor = self.janitor;
        if janitor.state.trashed(id)?.is_none() {
            return Ok(false);
        }
        let bytes = match area {
            Area::Media => janitor.blocking(move |disk| disk.weigh_media(id)).await?.all().bytes,
            _ => janitor.blocking(move |disk| disk.weigh_original(id)).await?.bytes,
        };
        let is_so = self.dry || janitor.library.tidy_trash(id).await?;
        if is_so {
            self.found(Kind::TrashStray, id.to_string(), bytes);
        }
        Ok(is_so)
    }

    /// Removes what has lain in the trash for its time, and what doesn't belong there.
    async fn trash(&mut self) -> Result<(), JanitorError> {
        let now = self.janitor.clock.now();
        for id in self.janitor.blocking(|disk| disk.trashes()).await? {
            let looked = self.trashed(id, now).await;
            self.settle("trash", id, looked)?;
        }
        while !self.dry && !self.janitor.library.empty_trash().await?.is_empty() {
            self.rest().await;
        }
        Ok(())
    }

    async fn trashed(&mut self, id: VideoId, now: UnixMillis) -> Result<(), JanitorError> {
        let kind = match self.janitor.state.trashed(id)? {
            Some(trashed) if trashed.until <= now => Kind::ExpiredTrash,
            Some(_) => return Ok(()),
            None => Kind::TrashLeftover,
        };
        let weight = self.janitor.blocking(move |disk| disk.weigh_trash(id)).await?;
        if !self.dry && kind == Kind::TrashLeftover {
            self.janitor.library.tidy_trash_of(id).await?;
        }
        self.found(kind, id.to_string(), weight.bytes);
        Ok(())
    }

    /// Removes what jobs worked with that have ended.
    async fn works(&mut self) -> Result<(), JanitorError> {
        let mut ids = self.janitor.blocking(|disk| disk.works()).await?;
        ids.extend(self.janitor.blocking(|disk| disk.handed()).await?);
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let looked = self.work(id).await;
            self.settle("job", id, looked)?;
        }
        Ok(())
    }

    async fn work(&mut self, id: JobId) -> Result<(), JanitorError> {
        let janitor = self.janitor;
        // A picture is handed over before its job is recorded.
        let is_needed = match janitor.state.job(id)? {
            Some(job) => job.is_open(),
            None => self.is_young(id.drawn_at()),
        };
        if is_needed || janitor.queue.is_held(id) {
            return Ok(());
        }
        let weight = janitor.blocking(move |disk| disk.weigh_work(id)).await?;
        if !self.dry {
            let removed = janitor.blocking(move |disk| {
                disk.remove_work(id)?;
                disk.remove_handed(id)
            });
            removed.await?;
        }
        self.found(Kind::WorkLeftover, id.to_string(), weight.bytes);
        Ok(())
    }

    /// Looks whether the files of all videos are there, and somebody is to do their work.
    async fn videos(&mut self) -> Result<(), JanitorError> {
        let mut after = None;
        loop {
            let page = self.janitor.read(move |state| state.video_page(after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for video in page {
                let id = video.id;
                let looked = self.video(video).await;
                self.settle("video", id, looked)?;
            }
            self.rest().await;
        }
    }

    async fn video(&mut self, video: VideoRecord) -> Result<(), JanitorError> {
        if self.due_video(&video).await? || self.due_original(&video).await? {
            return Ok(());
        }
        let (janitor, id) = (self.janitor, video.id);
        let rungs: Vec<String> = match video.state {
            VideoState::Ready => video.renditions.iter().map(directory_of).collect(),
            _ => Vec::new(),
        };
        let is_kept = video.uploaded_at.is_some() && !video.discarded;
        let (original, media) = janitor
            .blocking(move |disk| {
                let original = !is_kept || disk.has_original(id)?;
                Ok((original, rungs.is_empty() || disk.has_media(id, &rungs)?))
            })
            .await?;
        if !original {
            return self.without_original(&video).await;
        }
        if !media && self.janitor.state.video(id)?.is_some_and(|now| now == video) {
            let detail = "Files of a quality are gone. Processing it again makes them anew.";
            self.add(Kind::MissingMedia, Action::Told, id.to_string(), detail);
        }
        if janitor.mend_video(&video, self.dry).await? {
            let detail = without_work(&video);
            self.add(Kind::VideoWithoutWork, Action::Queued, id.to_string(), &detail);
        }
        Ok(())
    }

    /// Removes an original that isn't to be kept any longer, be it that it went before the records
    /// were made anew; says whether that is so.
    async fn due_original(&mut self, video: &VideoRecord) -> Result<bool, JanitorError> {
        let now = self.rules.now;
        let is_due = self.janitor.is_original_due(video, now) && self.may_go();
        let is_gone = match (is_due, self.dry) {
            (false, _) => false,
            (true, true) => self.janitor.library.is_published(video).await?,
            (true, false) => self.janitor.drop_original(video.id, now).await?,
        };
        if is_gone {
            self.gone(Kind::DueOriginal, video.id, video.size.0);
        }
        Ok(is_gone)
    }

    /// Moves a video into the trash whose time is over; says whether it is.
    async fn due_video(&mut self, video: &VideoRecord) -> Result<bool, JanitorError> {
        let (janitor, id, now) = (self.janitor, video.id, self.rules.now);
        let until = janitor.state.video_until(video, janitor.retention)?;
        if until.is_none_or(|until| until > now) || !self.may_go() {
            return Ok(false);
        }
        let weigh = move |disk: &crate::disk::Disk| -> Result<u64, DiskError> {
            let media = disk.weigh_media(id)?.all();
            Ok(disk.weigh_original(id)?.bytes + media.bytes)
        };
        let bytes = janitor.blocking(weigh).await?;
        let is_gone = self.dry || janitor.expire(id, now).await?;
        if is_gone {
            self.gone(Kind::DueVideo, id, bytes);
        }
        Ok(is_gone)
    }

    /// Says whether one more thing may go because it is due, or be told of.
    fn may_go(&self) -> bool {
        self.dry || (self.rules.held_until.is_none() && self.due < DUE_MAX)
    }

    /// Tells of something that has gone because it was due, or would.
    fn gone(&mut self, kind: Kind, id: VideoId, bytes: u64) {
        self.due += usize::from(!self.dry);
        let held = self.rules.held_until.map(|until| {
            let until = until.to_rfc3339();
            format!("Not before {until}: the clock is more than a day on since the last look.")
        });
        let detail = held.unwrap_or_default();
        self.report.add(kind, kind.action(), id.to_string(), bytes, &detail);
    }

    /// Ends the work on a video whose original is gone. One that is ready goes on being watched.
    async fn without_original(&mut self, video: &VideoRecord) -> Result<(), JanitorError> {
        let (janitor, id) = (self.janitor, video.id);
        let _still = janitor.library.hold().await;
        let is_there = janitor.state.video(id)?.is_some();
        if !is_there || janitor.has_source(id).await? {
            return Ok(());
        }
        let waits = matches!(video.state, VideoState::Queued | VideoState::Processing);
        if !waits {
            self.add(Kind::MissingOriginal, Action::Told, id.to_string(), "");
            return Ok(());
        }
        if !self.dry {
            let problem = Problem::new(
                ProblemCode::OriginalMissing,
                "The file that was uploaded isn't on the server's disk any more. Upload it again.",
            );
            let now = janitor.clock.now();
            let Some(failed) = janitor.state.fail_without_original(id, problem, now).await? else {
                return Ok(());
            };
            warn!(video.id = %id, "video {id} has lost its original and fails");
            janitor.queue.stop_child(failed.job);
            janitor.queue.told(&failed);
        }
        self.add(Kind::MissingOriginal, Action::Failed, id.to_string(), "");
        Ok(())
    }

    /// Looks whether all open jobs can go on.
    async fn jobs(&mut self) -> Result<(), JanitorError> {
        let mut after = None;
        loop {
            let page = self.janitor.read(move |state| state.job_page(after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for job in page {
                match self.janitor.mend_job(&job, self.dry).await {
                    Ok(Some((action, detail))) => {
                        self.add(Kind::StuckJob, action, job.id.to_string(), detail);
                    }
                    Ok(None) => {}
                    Err(failed) => self.settle("job", job.id, Err(failed))?,
                }
            }
            self.rest().await;
        }
    }

    fn is_young(&self, drawn_at: UnixMillis) -> bool {
        self.janitor.clock.now().ms_since(drawn_at) < YOUNG_MS
    }

    fn found(&mut self, kind: Kind, id: String, bytes: u64) {
        self.report.add(kind, kind.action(), id, bytes, "");
    }

    fn add(&mut self, kind: Kind, action: Action, id: String, detail: &str) {
        self.report.add(kind, action, id, 0, detail);
    }

    /// Notes what went wrong about one thing; without the database nothing goes on.
    fn settle(
        &mut self,
        what: &str,
        id: impl std::fmt::Display,
        looked: Result<(), JanitorError>,
    ) -> Result<(), JanitorError> {
        match looked {
            Ok(_) => Ok(()),
            Err(JanitorError::Disk(DiskError::Missing)) => Ok(()),
            Err(failed @ JanitorError::State(_)) => Err(failed),
            Err(failed) => {
                warn!("cleaning: {what} {id}: {failed}");
                self.report.fault(format!("{what} {id} couldn't be looked after; see the log"));
                Ok(())
            }
        }
    }

    async fn rest(&self) {
        tokio::time::sleep(self.pause).await;
    }
}

/// Says why a video's work was queued anew.
fn without_work(video: &VideoRecord) -> String {
    format!("It was {:?} and no job was open.", video.state)
}

/// Returns the directory in which a quality is published.
pub(super) fn directory_of(rendition: &crate::state::RenditionRecord) -> String {
    format!("{}-{}", rendition.plan.name, rendition.generation)
}
