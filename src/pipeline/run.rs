//! One job from its claim to its end.

use super::Pipeline;
use super::along::{self, Along};
use super::bounds;
use super::children::{Children, Heard, Who};
use super::ending::{Halt, broke, no_room, problem_of, settle};
use super::film::FilmError;
use super::publish::{PublishError, Publisher, Start};
use super::reached::Reached;
use super::source;
use super::turns::Turns;
use crate::events::{Effort, Event, EventBody, EventKind, Progress};
use crate::ids::{Epoch, JobId};
use crate::model::estimate::{Course, Load};
use crate::model::extra::{Extra, ExtraKind};
use crate::model::job::{Stage, Task};
use crate::model::manifest::{FILM_FILE, Rung};
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::{RenditionKind, RenditionPlan, RenditionState};
use crate::model::text::TextTrack;
use crate::model::video::{SourceFacts, VideoKind, WARNINGS_MAX, Warning};
use crate::queue::Claim;
use crate::state::{RenditionRecord, State, VideoRecord};
use crate::units::UnixMillis;
use crate::upload::Arrived;
use crate::wire::{Extent, Order, Report, WIRE_VERSION};
use crate::worker::{Ending, Launch};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

/// How often a running job looks whether playlists are behind.
const TICK: Duration = Duration::from_millis(500);

/// Runs one job and settles it.
pub(super) async fn run_job(
    pipeline: Arc<Pipeline>,
    claim: Claim,
    turns: Turns,
    stop: CancellationToken,
) {
    let _turn = turns.take(claim.video.id).await;
    let _place = pipeline.places.take();
    let (id, attempt) = (claim.job.id, claim.job.attempt);
    info!(job.id = %id, video.id = %claim.video.id, attempt, "job {id} starts, attempt {attempt}");
    let outcome = Running::new(&pipeline, &claim).work(&stop).await;
    settle(&pipeline, &claim, outcome).await;
}

/// A job under way.
struct Running<'a> {
    pipeline: &'a Pipeline,
    claim: &'a Claim,
    /// What the file holds, once that is known, and what is made of it.
    facts: Option<SourceFacts>,
    plan: Vec<RenditionPlan>,
    duration: f64,
    /// What is worth telling of this attempt, beside what is of all that is published.
    warnings: Vec<Warning>,
    /// What the child makes now of what the film can do without.
    making: Option<ExtraKind>,
    /// The upload that the source comes from, while that is under way.
    along: Option<Along>,
    /// Bytes of the source, of what has come of it, and how many may.
    source_bytes: u64,
    written: u64,
    written_max: u64,
    /// When this attempt began, how it goes, and what it has to do if it does all of it.
    began: Instant,
    course: Course,
    load: Option<Load>,
    /// Progress and speed by the child's last word, and how far the film played when it was told.
    progress: (f64, f64),
    told_seconds: f64,
    effort: Effort,
}

/// Kills of the child that got nowhere, after which what it was making beside the film is left out.
const KILLS_OVER_EXTRA: u32 = 2;

impl<'a> Running<'a> {
    fn new(pipeline: &'a Pipeline, claim: &'a Claim) -> Self {
        Self {
            pipeline,
            claim,
            facts: None,
            plan: Vec::new(),
            duration: 0.0,
            warnings: claim.job.left_out.iter().map(|extra| extra.left_out()).collect(),
            making: None,
            along: None,
            source_bytes: 0,
            written: 0,
            written_max: 0,
            began: Instant::now(),
            course: Course::default(),
            load: None,
            progress: (0.0, 0.0),
            told_seconds: 0.0,
            effort: Effort::default(),
        }
    }

    async fn work(mut self, stop: &CancellationToken) -> Result<(), Halt> {
        let (publisher, launch, along) = self.prepare().await?;
        let (state, job, epoch, _) = self.held();
        state.note_reached(job, epoch, publisher.files()).await?;
        self.along = along;
        self.source_bytes = Extent::total(&launch.order.source).0;
        let publisher = Arc::new(Mutex::new(publisher));
        let places = self.pipeline.spare_places();
        let mut children = Children::start(launch, self.pipeline.disk.clone(), places)?;
        let mut renew = tokio::time::interval(Pipeline::renew_every());
        let mut tick = tokio::time::interval(TICK);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let halt = loop {
            let step = tokio::select! {
                biased;
                () = self.claim.ended.cancelled() => Err(Halt::Stale),
                () = stop.cancelled() => Err(Halt::Stopping),
                _ = renew.tick() => self.pipeline.renew(self.claim).await,
                more = along::more(&mut self.along) => self.arrived(more, &mut children),
                said = children.next() => match children.heard(said, &publisher).await {
                    Ok(Heard::Reports(reports)) => {
                        self.effort = children.effort();
                        self.take_all(reports, &mut children, &publisher).await
                    }
                    Ok(Heard::Broken(Who::First, ending)) => Err(self.halt_of(ending)),
                    Ok(Heard::Broken(_, ending)) => Err(ending.into()),
                    Ok(Heard::Done) => break None,
                    Err(halt) => Err(halt),
                },
                _ = tick.tick() => self.tick(&publisher).await,
            };
            if let Err(halt) = step {
                break Some(halt);
            }
        };
        children.kill().await;
        match halt {
            Some(Halt::Stale) => Err(Halt::Stale),
            Some(halt) => {
                let now = self.pipeline.clock.now();
                // Of no weight beside why the work ended: it only spares the next attempt some.
                let _ = blocking(&publisher, move |publisher| publisher.suspend(now)).await;
                Err(halt)
            }
            None => {
                self.wait_for_upload(stop).await?;
                self.make_film(&publisher, stop).await?;
                self.finish(&publisher).await?;
                self.note_pace().await;
                Ok(())
            }
        }
    }

    /// Does what is due, and tells how far the film plays if that has changed: a child that waits
    /// for bytes tells no progress, and its last word came before its last segments.
    async fn tick(&mut self, publisher: &Arc<Mutex<Publisher>>) -> Result<(), Halt> {
        let (now, room) = (self.pipeline.clock.now(), self.pipeline.room);
        let step = move |publisher: &mut Publisher| {
            publisher.tick(now)?;
            Ok((publisher.reached(), room.is_over(&publisher.disk)?))
        };
        let (reached, is_full) = blocking(publisher, step).await?;
        if is_full {
            return Err(Halt::Problem(no_room()));
        }
        if reached.playable_seconds > self.told_seconds {
            self.tell_progress(reached);
        }
        Ok(())
    }

    /// Hears that more of the upload is here.
    fn arrived(&mut self, more: Option<Arrived>, children: &mut Children) -> Result<(), Halt> {
        let Some(Arrived { here, size, finished }) = more else { return Err(Halt::Stale) };
        children.arrived(here, size);
        if let Some(size) = size.filter(|size| size.0 < self.source_bytes) {
            // It was the most that it could be, before.
            self.source_bytes = size.0;
            self.narrow(children);
        }
        if finished {
            self.along = None;
        }
        Ok(())
    }

    /// Narrows what the children may use, and what may come of it, to what they work on.
    fn narrow(&mut self, children: &mut Children) {
        let Some(facts) = &self.facts else { return };
        let limits = &self.pipeline.limits;
        children.narrow(bounds::of_child(facts, &self.plan, self.source_bytes, limits));
        self.written_max = bounds::of_output(facts, &self.plan, self.source_bytes);
    }

    /// Waits until the upload is finished, should its last bytes be none of the film's.
    async fn wait_for_upload(&mut self, stop: &CancellationToken) -> Result<(), Halt> {
        let mut renew = tokio::time::interval(Pipeline::renew_every());
        while let Some(along) = &self.along {
            if along.is_stalled(self.pipeline.stall_ms) {
                return Err(Halt::Parked);
            }
            tokio::select! {
                () = self.claim.ended.cancelled() => return Err(Halt::Stale),
                () = stop.cancelled() => return Err(Halt::Stopping),
                _ = renew.tick() => self.pipeline.renew(self.claim).await?,
                more = along::more(&mut self.along) => match more {
                    None => return Err(Halt::Stale),
                    Some(arrived) if arrived.finished => self.along = None,
                    Some(_) => (),
                },
            }
        }
        Ok(())
    }

    /// Opens everything the child needs.
    async fn prepare(&self) -> Result<(Publisher, Launch, Option<Along>), Halt> {
        let (disk, now) = (self.pipeline.disk.clone(), self.pipeline.clock.now());
        let state = self.pipeline.state.clone();
        let (job, video) = (self.claim.job.id, self.claim.video.id);
        let epoch = self.claim.job.epoch;
        let encode = self.pipeline.encode.clone();
        let limits = self.pipeline.limits.clone();
        let stall_ms = self.pipeline.stall_ms;
        let boot = self.pipeline.boot.clone();
        let (formats, encrypts) = (self.pipeline.formats, self.pipeline.encrypts);
        let left_out = self.claim.job.left_out.clone();
        let redo = self.claim.job.redo.clone();
        let anew = self.claim.job.anew;
        // What is still coming can't be begun in its middle.
        let spans = if self.claim.job.live { 1 } else { self.pipeline.spans.at_once };
        let uploads = self.claim.job.live.then(|| self.pipeline.uploads.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            let source = match &uploads {
                Some(uploads) => source::open_live(&disk, &state, uploads, video)?,
                None => source::open(&disk, &state, video)?,
            };
            disk.remove_work(job)?;
            if anew {
                // Nobody else publishes meanwhile: this run has the video's turn.
                disk.remove_media(video)?;
            }
            let output = disk.make_work(job, epoch)?;
            let mut publisher = Publisher::open(disk, state, video, job, epoch, &boot, now)?
                .in_formats(formats, encrypts);
            publisher.redo(job, &redo)?;
            let order = Order {
                version: WIRE_VERSION,
                job,
                epoch,
                source: source.extents,
                encrypted: source.encrypted,
                arrived: source.along.as_ref().map(Along::here),
                is_open_ended: source.is_open_ended,
                renditions_done: names_of(&publisher.complete()),
                seconds_done: publisher.seconds_complete(),
                begun: publisher.begun(),
                extras_done: publisher.extras().into_iter().chain(left_out).collect(),
                sounds_unfit: publisher.sounds_unfit(),
                pictures_unfit: publisher.pictures_unfit(),
                spans: if publisher.can_be_cut() { spans } else { 1 },
                span: None,
                task: Task::Film,
                encode,
                limits,
            };
            let sources = source.files;
            let launch = Launch { order, sources, output, stall_ms };
            Ok::<_, Halt>((publisher, launch, source.along))
        });
        prepared.await.map_err(|panic| broke(&panic))?
    }

    /// Says what follows from how the child ended.
    fn halt_of(&self, ending: Ending) -> Halt {
        let is_dry = |along: &Along| along.is_stalled(self.pipeline.stall_ms);
        if ending == Ending::Stalled && self.along.as_ref().is_some_and(is_dry) {
            return Halt::Parked;
        }
        let is_break = match ending {
            Ending::Crashed(_) | Ending::Stalled => true,
            // Once may be anybody's doing.
            Ending::Killed => self.claim.job.kills >= KILLS_OVER_EXTRA,
            _ => false,
        };
        match self.making.filter(|_| is_break) {
            Some(extra) => Halt::Without(extra, problem_of(ending)),
            None => ending.into(),
        }
    }

    /// Takes what children have reported.
    async fn take_all(
        &mut self,
        reports: Vec<(Option<u32>, Report)>,
        children: &mut Children,
        publisher: &Arc<Mutex<Publisher>>,
    ) -> Result<(), Halt> {
        for (span, report) in reports {
            if let Report::Probed { facts, plan } = &report {
                self.facts = Some(facts.clone());
                self.plan.clone_from(plan);
                self.narrow(children);
            }
            self.take(span, report, publisher).await?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        span: Option<u32>,
        report: Report,
        publisher: &Arc<Mutex<Publisher>>,
    ) -> Result<(), Halt> {
        let now = self.pipeline.clock.now();
        match report {
            Report::Confined { version, layers } => {
                debug!(?layers, version, "the child is confined");
                Ok(())
            }
            Report::Probed { facts, plan } => self.probed(facts, plan, publisher).await,
            Report::Extra { extra: Extra::Texts { tracks } } => {
                let texts = blocking(publisher, move |p| p.texts(tracks, now)).await?;
                self.commit_texts(texts).await
            }
            Report::Lasts { seconds } => self.lasts(seconds, publisher).await,
            Report::Begun { extra } => {
                self.making = Some(extra);
                self.begun(extra).await
            }
            Report::Ended { .. } => {
                self.making = None;
                Ok(())
            }
            Report::Extra { extra } => {
                let noted = extra.clone();
                blocking(publisher, move |p| p.extra(noted)).await?;
                self.commit_extra(extra).await
            }
            Report::Started { rendition, codecs, timescale, target_ms, after, ticks } => {
                let start = Start { rendition, codecs, timescale, target_ms, after, ticks, span };
                blocking(publisher, move |p| p.started(start)).await
            }
            Report::Unlike { rendition, unfit } => {
                blocking(publisher, move |p| p.unlike(&rendition, unfit)).await
            }
            Report::Segment { rendition, number, segment } => {
                self.written = self.written.saturating_add(segment.bytes);
                if self.written > self.written_max {
                    return Err(Halt::Problem(Problem::new(
                        ProblemCode::DamagedMedia,
                        "The file would grow beyond bounds when converted.",
                    )));
                }
                let step = move |p: &mut Publisher| p.segment(&rendition, number, segment, now);
                if blocking(publisher, step).await? { self.playable().await } else { Ok(()) }
            }
            Report::Completed { rendition } => {
                let step = move |p: &mut Publisher| p.completed(&rendition, now);
                let (rung, playable) = blocking(publisher, step).await?;
                self.commit_rung(&rung).await?;
                if playable { self.playable().await } else { Ok(()) }
            }
            Report::Progress { progress, speed } => {
                self.went_on(progress, speed);
                let reached = blocking(publisher, |p| Ok(p.reached())).await?;
                self.tell_progress(reached);
                Ok(())
            }
            Report::Uncut => blocking(publisher, Publisher::uncut).await,
            // It lives, and that is all; spans are for who has the children.
            Report::Waiting | Report::Span { .. } | Report::SpanEnded { .. } => Ok(()),
            Report::Warning { warning } if warning.lasts() => {
                let step = move |p: &mut Publisher| {
                    p.warned(warning);
                    Ok(())
                };
                blocking(publisher, step).await
            }
            Report::Warning { warning } => {
                // Each reading of the source may come upon the same.
                if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
                Ok(())
            }
            // `worker` turns these two into the child's ending.
            Report::Failed { problem } => Err(Halt::Problem(problem)),
            Report::Done => Ok(()),
        }
    }

    async fn probed(
        &mut self,
        facts: SourceFacts,
        plan: Vec<RenditionPlan>,
        publisher: &Arc<Mutex<Publisher>>,
    ) -> Result<(), Halt> {
        let pictures = plan.iter().any(|rung| rung.kind == RenditionKind::Video);
        let kind = if pictures { VideoKind::Video } else { VideoKind::Audio };
        let accept = self.pipeline.accept_of(&self.claim.video);
        if !accept.takes(kind) {
            let detail = match (kind, accept.video || accept.audio) {
                (VideoKind::Audio, true) => "The file holds sound only; videos are taken here.",
                (_, true) => "The file is a video; sound alone is taken here.",
                (_, false) => "Nothing that the server takes was allowed for this upload.",
            };
            return Err(Halt::Problem(Problem::new(ProblemCode::UnsupportedMedia, detail)));
        }
        self.duration = facts.duration;
        self.expect(&facts, &plan);
        let (duration, planned) = (facts.duration, plan.clone());
        let earlier = blocking(publisher, move |p| {
            p.planned(duration, planned);
            Ok(p.complete())
        })
        .await?;
        let (state, job, epoch, now) = self.held();
        let video = state.commit_probe(job, epoch, facts, kind, plan, now).await?;
        self.tell(EventKind::VideoState, &video);
        self.commit_formats(publisher).await?;
        for rung in earlier {
            self.commit_rung(&rung).await?;
        }
        Ok(())
    }

    /// Tells how long the work will take from what was measured here before.
    fn expect(&mut self, facts: &SourceFacts, plan: &[RenditionPlan]) {
        let load = Load::of(facts, plan, &self.pipeline.encode.preset);
        let expected = self.pipeline.state.paces().ok().and_then(|paces| paces.expected(&load));
        // Along an upload it takes as long as that does.
        if self.along.is_none() {
            self.course = Course::new(expected);
            let is_whole = self.claim.job.attempt == 1 && self.claim.job.redo.is_empty();
            self.load = Some(load).filter(|_| is_whole);
        }
    }

    /// Has this machine's pace remembered, if all of the work was done in one go.
    async fn note_pace(&mut self) {
        let Some(load) = self.load.take() else { return };
        let seconds = self.began.elapsed().as_secs_f64();
        let bytes = self.claim.video.size;
        let (state, qualities) = (&self.pipeline.state, self.course.moved_at());
        if let Err(cause) = state.note_pace(load, bytes, seconds, qualities).await {
            debug!("how long a job took isn't remembered: {cause}");
        }
    }

    async fn lasts(&mut self, seconds: f64, to: &Arc<Mutex<Publisher>>) -> Result<(), Halt> {
        self.duration = seconds;
        blocking(to, move |p| p.lasts(seconds)).await?;
        let (state, job, epoch, _) = self.held();
        let video = state.commit_length(job, epoch, seconds).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(())
    }

    /// Has the state tell which stage has begun, if it is one that takes a while.
    async fn begun(&self, extra: ExtraKind) -> Result<(), Halt> {
        let ExtraKind::Storyboard = extra else { return Ok(()) };
        let (state, job, epoch, now) = self.held();
        let video = state.begin_stage(job, epoch, Stage::Storyboard, now).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(())
    }

    /// Has the state keep what it keeps of an extra.
    async fn commit_extra(&self, extra: Extra) -> Result<(), Halt> {
        let (state, job, epoch, now) = self.held();
        let video = state.commit_extra(job, epoch, extra, now).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(())
    }

    async fn commit_texts(&self, texts: Vec<TextTrack>) -> Result<(), Halt> {
        let (state, job, epoch, now) = self.held();
        let video = state.commit_texts(job, epoch, texts, now).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(())
    }

    async fn commit_rung(&self, rung: &Rung) -> Result<(), Halt> {
        let record = RenditionRecord {
            plan: rung.plan.clone(),
            state: RenditionState::Ready,
            generation: rung.generation,
            codecs: Some(rung.codecs.clone()),
            bandwidth: Some(crate::media::playlist::peak_bandwidth(rung)),
        };
        let (state, job, epoch, now) = self.held();
        let video = state.commit_rendition(job, epoch, record, now).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(())
    }

    async fn playable(&self) -> Result<(), Halt> {
        let (state, job, epoch, now) = self.held();
        let video = state.commit_playable(job, epoch, now).await?;
        info!(video.id = %video.id, "video {} can be played", video.id);
        self.tell(EventKind::VideoPlayable, &video);
        Ok(())
    }

    /// Makes the one file to download, if it is wanted and not there. A film without it is still
    /// one, so what goes wrong with it is told and not held against the job.
    async fn make_film(
        &mut self,
        publisher: &Arc<Mutex<Publisher>>,
        stop: &CancellationToken,
    ) -> Result<(), Halt> {
        let formats = blocking(publisher, |p| Ok(p.formats())).await?;
        if !self.pipeline.formats.mp4 || formats.mp4 {
            return Ok(());
        }
        match self.assemble(publisher, stop).await? {
            Ok(false) => Ok(()),
            Ok(true) => {
                blocking(publisher, Publisher::note_film).await?;
                self.commit_formats(publisher).await
            }
            Err(cause) => {
                error!(video.id = %self.claim.video.id, "{} isn't made: {cause}", FILM_FILE);
                self.warnings.push(Warning {
                    code: "no-download".to_owned(),
                    detail: "The single file to download couldn't be made.".to_owned(),
                });
                Ok(())
            }
        }
    }

    /// Puts the film into one file step by step, as long as it takes; says whether there is one.
    async fn assemble(
        &self,
        publisher: &Arc<Mutex<Publisher>>,
        stop: &CancellationToken,
    ) -> Result<Result<bool, FilmError>, Halt> {
        let begun = blocking(publisher, |p| Ok(p.begin_film())).await?;
        let mut film = match begun {
            Ok(Some(film)) => film,
            Ok(None) => return Ok(Ok(false)),
            Err(cause) => return Ok(Err(cause)),
        };
        let mut renewed = Instant::now();
        loop {
            if self.claim.ended.is_cancelled() {
                return Err(Halt::Stale);
            }
            if stop.is_cancelled() {
                return Err(Halt::Stopping);
            }
            if renewed.elapsed() >= Pipeline::renew_every() {
                renewed = Instant::now();
                self.pipeline.renew(self.claim).await?;
            }
            let step = tokio::task::spawn_blocking(move || match film.step() {
                Ok(true) => film.finish().map(|_| None),
                Ok(false) => Ok(Some(film)),
                Err(cause) => Err(cause),
            });
            film = match step.await.map_err(|panic| broke(&panic))? {
                Ok(Some(film)) => film,
                Ok(None) => return Ok(Ok(true)),
                Err(cause) => return Ok(Err(cause)),
            };
        }
    }

    /// Has the state know in which forms the video is published.
    async fn commit_formats(&self, publisher: &Arc<Mutex<Publisher>>) -> Result<(), Halt> {
        let formats = blocking(publisher, |p| Ok(p.formats())).await?;
        let (state, job, epoch, _) = self.held();
        let video = state.commit_formats(job, epoch, formats).await?;
        self.tell(EventKind::VideoState, &video);
        Ok(())
    }

    async fn finish(&self, publisher: &Arc<Mutex<Publisher>>) -> Result<(), Halt> {
        let (state, job, epoch, now) = self.held();
        let (seconds, mut warnings) = blocking(publisher, move |p| p.finish(now)).await?;
        warnings.extend(self.warnings.iter().cloned());
        warnings.truncate(WARNINGS_MAX);
        let video = state.finish_job(job, epoch, now, seconds, warnings).await?;
        info!(job.id = %job, video.id = %video.id, "job {job} done, video {} is ready", video.id);
        self.tell(EventKind::VideoReady, &video);
        Ok(())
    }

    /// The state, with what it takes the work of this job by.
    fn held(&self) -> (&State, JobId, Epoch, UnixMillis) {
        let (pipeline, job) = (self.pipeline, &self.claim.job);
        (&pipeline.state, job.id, job.epoch, pipeline.clock.now())
    }

    fn tell(&self, kind: EventKind, video: &VideoRecord) {
        self.pipeline.tell(kind, video);
    }

    fn went_on(&mut self, progress: f64, speed: f64) {
        self.progress = (progress, speed);
        self.course.reached(self.began.elapsed().as_secs_f64(), progress);
    }

    fn tell_progress(&mut self, reached: Reached) {
        let (progress, speed) = self.progress;
        self.told_seconds = reached.playable_seconds;
        // Nobody knows what is left of a film whose length isn't known.
        let is_known = self.duration > 0.0;
        let eta_seconds = match &self.along {
            Some(_) => (speed > 0.0).then(|| self.duration * (1.0 - progress) / speed),
            None => self.course.left(self.began.elapsed().as_secs_f64()),
        };
        let eta_seconds = eta_seconds.filter(|_| is_known);
        let Reached { shares: renditions, playable_seconds, made_seconds } = reached;
        let stage = Stage::Renditions;
        let body = Progress {
            stage,
            progress,
            speed,
            eta_seconds,
            renditions,
            playable_seconds,
            made_seconds,
            effort: self.effort,
        };
        let (video, now) = (&self.claim.video, self.pipeline.clock.now());
        let event = Event::of_video(EventKind::VideoProgress, now, video.id, video.owner.clone());
        self.pipeline.hub.publish(event.with(EventBody::Progress(body)));
    }
}

fn names_of(rungs: &[Rung]) -> Vec<String> {
    rungs.iter().map(|rung| rung.plan.name.clone()).collect()
}

/// Runs one step of the publisher where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    publisher: &Arc<Mutex<Publisher>>,
    step: impl FnOnce(&mut Publisher) -> Result<T, PublishError> + Send + 'static,
) -> Result<T, Halt> {
    let publisher = Arc::clone(publisher);
    let done = tokio::task::spawn_blocking(move || {
        step(&mut publisher.lock().unwrap_or_else(PoisonError::into_inner))
    });
    Ok(done.await.map_err(|panic| broke(&panic))??)
}
