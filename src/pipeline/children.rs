//! The children of one job: one, or several at once where a film's pictures are made in spans.
//!
//! The first child probes the film, copies, makes the sound and what is beside the renditions.
//! Where it tells of spans, it leaves encoding to children that are started for one span each, in
//! the order of the film. Whichever of them fails ends the job's attempt, and with it the others.

use super::ending::{Halt, broke};
use super::publish::{PublishError, Publisher};
use super::run::blocking;
use super::spans::{InTurn, Place, Places};
use crate::disk::Disk;
use crate::events::Effort;
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::{RenditionKind, RenditionPlan};
use crate::model::spans::{SPANS_MAX, Span};
use crate::units::{ByteCount, Ranges};
use crate::wire::{Order, Report, SpanOrder};
use crate::worker::{self, Bounds, Child, Ending, Event, Launch};
use futures_util::future::{join_all, select_all};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tracing::{debug, error};

/// Share of the work that the first child has, where spans are made.
const FIRST_SHARE: f64 = 0.1;

/// Spans that may wait for one before them, for each child at once: what they have made lies in
/// the job's scratch meanwhile.
const AHEAD_MAX: usize = 2;

/// All children of a job.
pub(super) struct Children {
    first: Child,
    is_first_done: bool,
    /// Progress and speed by the first child's last word.
    told: (f64, f64),
    spans: Vec<Work>,
    /// All spans were told.
    is_cut: bool,
    in_turn: InTurn,
    launcher: Launcher,
    bounds: Option<Bounds>,
    /// How far the job has got; a person watches this.
    reached: f64,
}

/// One span and who makes it.
struct Work {
    span: Span,
    /// Its share of the film.
    seconds: f64,
    child: Option<Child>,
    place: Option<Place>,
    is_started: bool,
    /// Rungs of it that are made.
    ended: usize,
    told: (f64, f64),
}

/// What children for spans are started with.
struct Launcher {
    order: Order,
    sources: Vec<OwnedFd>,
    disk: Disk,
    stall_ms: u64,
    at_once: usize,
    /// Where only idle workers' places are taken.
    places: Option<Places>,
    plan: Vec<RenditionPlan>,
    duration: f64,
    /// How many rungs are to be encoded.
    rungs: usize,
}

/// One of the children: the first, or the one with this span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    First,
    Span(usize),
}

/// What follows from what a child has said.
pub(super) enum Heard {
    /// These are to be taken, in this order, each with the number of the span that it is about.
    Reports(Vec<(Option<u32>, Report)>),
    /// A child has ended before its time.
    Broken(Who, Ending),
    /// All is done.
    Done,
}

impl Children {
    /// Starts the first child.
    pub(super) fn start(launch: Launch, disk: Disk, places: Option<Places>) -> Result<Self, Halt> {
        let launcher = Launcher::new(&launch, disk, places)?;
        let first = worker::start(launch).map_err(|cause| no_worker(&cause))?;
        Ok(Self {
            first,
            is_first_done: false,
            told: (0.0, 0.0),
            spans: Vec::new(),
            is_cut: false,
            in_turn: InTurn::default(),
            launcher,
            bounds: None,
            reached: 0.0,
        })
    }

    /// Waits until one of them has something to say.
    ///
    /// # Cancel
    /// Safe: nothing that was said is lost.
    pub(super) async fn next(&mut self) -> (Who, Event) {
        let first = (Who::First, &mut self.first);
        let first = std::iter::once(first).filter(|_| !self.is_first_done);
        let spans = self.spans.iter_mut().enumerate();
        let spans = spans.filter_map(|(number, work)| {
            work.child.as_mut().map(|child| (Who::Span(number), child))
        });
        let asked: Vec<_> = first.chain(spans).map(|(who, child)| said(who, child)).collect();
        if asked.is_empty() {
            // Nobody asks once all is done.
            return std::future::pending().await;
        }
        select_all(asked).await.0
    }

    /// Judges what a child has said, and starts children for whatever can be begun now.
    pub(super) async fn heard(
        &mut self,
        (who, event): (Who, Event),
        publisher: &Arc<Mutex<Publisher>>,
    ) -> Result<Heard, Halt> {
        let reports = match event {
            Event::Ended(Ending::Done) => {
                self.done(who)?;
                Vec::new()
            }
            Event::Ended(ending) => return Ok(Heard::Broken(who, ending)),
            Event::Report(report) => match who {
                Who::First => self.by_first(report)?,
                Who::Span(number) => self.by_span(number, report)?,
            },
        };
        self.fill(publisher).await?;
        let is_done = self.is_first_done
            && self.spans.iter().all(|work| work.is_started && work.child.is_none());
        Ok(if is_done { Heard::Done } else { Heard::Reports(reports) })
    }

    /// Tells what of the source is here now to the one child that works along an upload.
    pub(super) fn arrived(&self, here: Ranges, size: Option<ByteCount>) {
        self.first.arrived(here, size);
    }

    /// Narrows what each child may use.
    pub(super) fn narrow(&mut self, bounds: Bounds) {
        self.bounds = Some(bounds);
        self.first.narrow(bounds);
        for child in self.spans.iter().filter_map(|work| work.child.as_ref()) {
            child.narrow(bounds);
        }
    }

    /// Returns what they take at the moment, as far as they were heard.
    pub(super) fn effort(&self) -> Effort {
        let first = Some(&self.first).filter(|_| !self.is_first_done);
        let spans = self.spans.iter().filter_map(|work| work.child.as_ref());
        let each = first.into_iter().chain(spans).map(Child::memory_bytes);
        let add = |effort: Effort, bytes| Effort {
            children: effort.children + 1,
            memory: ByteCount(effort.memory.0.saturating_add(bytes)),
        };
        each.fold(Effort::default(), add)
    }

    /// Kills all of them at once and waits until they are gone.
    pub(super) async fn kill(&mut self) {
        let spans = self.spans.iter_mut().filter_map(|work| work.child.as_mut());
        let all = std::iter::once(&mut self.first).chain(spans);
        join_all(all.map(Child::kill)).await;
    }

    fn done(&mut self, who: Who) -> Result<(), Halt> {
        match who {
            Who::First if self.spans.is_empty() || self.is_cut => self.is_first_done = true,
            Who::First => return Err(PublishError::Nonsense("some of its spans").into()),
            Who::Span(number) => {
                if let Some(work) = self.spans.get_mut(number) {
                    (work.child, work.place) = (None, None);
                    work.told = (1.0, 0.0);
                }
            }
        }
        Ok(())
    }

    fn by_first(&mut self, report: Report) -> Result<Vec<(Option<u32>, Report)>, Halt> {
        match report {
            Report::Span { span } => self.tell(span).map(|()| Vec::new()),
            Report::Progress { progress, speed } => {
                self.told = (progress, speed);
                Ok(vec![self.progress()])
            }
            report => {
                if let Report::Probed { facts, plan } = &report {
                    self.launcher.probed(facts.duration, plan);
                }
                Ok(vec![(None, report)])
            }
        }
    }

    fn by_span(
        &mut self,
        number: usize,
        report: Report,
    ) -> Result<Vec<(Option<u32>, Report)>, Halt> {
        let Some(work) = self.spans.get_mut(number) else { return Ok(Vec::new()) };
        match report {
            Report::Progress { progress, speed } => {
                work.told = (progress, speed);
                Ok(vec![self.progress()])
            }
            Report::SpanEnded { .. } | Report::Completed { .. } => {
                work.ended += 1;
                Ok(self.in_turn.take(number, report))
            }
            Report::Started { .. } | Report::Segment { .. } => {
                Ok(self.in_turn.take(number, report))
            }
            Report::Confined { .. } => {
                if let (Some(child), Some(bounds)) = (&work.child, self.bounds) {
                    child.narrow(bounds);
                }
                Ok(vec![(None, report)])
            }
            Report::Unlike { .. } | Report::Uncut | Report::Warning { .. } | Report::Waiting => {
                Ok(vec![(None, report)])
            }
            _ => Err(PublishError::Nonsense("more than its span").into()),
        }
    }

    /// Takes the next span of the film.
    fn tell(&mut self, span: Span) -> Result<(), Halt> {
        let follows = match self.spans.last().map(|work| &work.span) {
            None => span.is_first() && span.from == 0,
            Some(last) => last.until == Some(span.from) && last.after < span.after,
        };
        let is_sound = self.launcher.at_once > 1 && !self.is_cut && self.spans.len() < SPANS_MAX;
        if !follows || !is_sound {
            return Err(PublishError::Nonsense("spans that don't follow each other").into());
        }
        self.is_cut = span.until.is_none();
        let seconds = span.seconds(self.launcher.duration);
        self.spans.push(Work {
            span,
            seconds,
            child: None,
            place: None,
            is_started: false,
            ended: 0,
            told: (0.0, 0.0),
        });
        Ok(())
    }

    /// Returns how far the job is, all children taken together.
    fn progress(&mut self) -> (Option<u32>, Report) {
        let (mut progress, mut speed) = self.told;
        if self.is_cut {
            let film: f64 = self.spans.iter().map(|work| work.seconds).sum();
            let made: f64 = self.spans.iter().map(|work| work.seconds * work.told.0).sum();
            let first = if self.is_first_done { FIRST_SHARE } else { progress.min(FIRST_SHARE) };
            progress = first + (1.0 - FIRST_SHARE) * made / film.max(0.001);
            speed = self.spans.iter().map(|work| work.told.1).sum();
        }
        self.reached = self.reached.max(progress);
        (None, Report::Progress { progress: self.reached, speed })
    }

    /// Starts children for the next spans, as many as there is room for.
    async fn fill(&mut self, publisher: &Arc<Mutex<Publisher>>) -> Result<(), Halt> {
        while let Some(number) = self.startable() {
            let is_last = number + 1 == self.spans.len();
            // The film's last picture stays as long as its sound lasts.
            if is_last && !self.is_first_done && !blocking(publisher, |p| Ok(p.has_rest())).await? {
                return Ok(());
            }
            let is_alone = !self.spans.iter().any(Work::is_busy);
            let place = match &self.launcher.places {
                Some(places) if !is_alone => match places.spare() {
                    Some(place) => Some(place),
                    None => return Ok(()),
                },
                _ => None,
            };
            let seconds = blocking(publisher, |p| Ok(p.seconds_complete())).await?;
            let child = self.launcher.launch(number, &self.spans[number].span, seconds).await?;
            debug!(job.id = %self.launcher.order.job, "span {number} begins");
            let work = &mut self.spans[number];
            (work.child, work.place, work.is_started) = (Some(child), place, true);
        }
        Ok(())
    }

    /// Returns the next span, if it may begin now.
    fn startable(&self) -> Option<usize> {
        if !self.is_cut {
            return None;
        }
        let next = self.spans.iter().position(|work| !work.is_started)?;
        let rungs = self.launcher.rungs;
        let busy = self.spans.iter().filter(|work| work.is_busy() && work.ended < rungs).count();
        let behind = self.spans.iter().position(|work| !work.is_started || work.child.is_some());
        let at_once = self.launcher.at_once;
        let is_near = next < behind.unwrap_or(next) + AHEAD_MAX * at_once;
        (busy < at_once && is_near).then_some(next)
    }
}

impl Work {
    fn is_busy(&self) -> bool {
        self.child.is_some()
    }
}

impl Launcher {
    fn new(launch: &Launch, disk: Disk, places: Option<Places>) -> Result<Self, Halt> {
        let is_shared = launch.order.spans > 1;
        let sources = launch.sources.iter().filter(|_| is_shared).map(OwnedFd::try_clone);
        let sources = sources.collect::<Result<_, _>>().map_err(|cause| no_worker(&cause))?;
        Ok(Self {
            order: launch.order.clone(),
            sources,
            disk,
            stall_ms: launch.stall_ms,
            at_once: launch.order.spans as usize,
            places,
            plan: Vec::new(),
            duration: 0.0,
            rungs: 0,
        })
    }

    fn probed(&mut self, duration: f64, plan: &[RenditionPlan]) {
        let is_done = |it: &RenditionPlan| self.order.renditions_done.contains(&it.name);
        let is_encoded = |it: &&RenditionPlan| it.kind == RenditionKind::Video && !it.copied;
        self.rungs = plan.iter().filter(is_encoded).filter(|it| !is_done(it)).count();
        self.plan = plan.to_vec();
        self.duration = duration;
    }

    /// Starts a child for one span, of a film whose other renditions have so many seconds.
    async fn launch(&self, number: usize, span: &Span, seconds: f64) -> Result<Child, Halt> {
        let (disk, job, epoch) = (self.disk.clone(), self.order.job, self.order.epoch);
        let made = tokio::task::spawn_blocking(move || disk.make_span_work(job, epoch, number));
        let output = made.await.map_err(|panic| broke(&panic))??;
        let (plan, duration) = (self.plan.clone(), self.duration);
        // What there is of a rung lies in the first of them.
        let begun = if span.is_first() { self.order.begun.clone() } else { Vec::new() };
        let order = Order {
            seconds_done: seconds,
            begun,
            spans: 1,
            span: Some(SpanOrder { span: span.clone(), plan, duration }),
            ..self.order.clone()
        };
        let sources = self.sources.iter().map(OwnedFd::try_clone).collect::<Result<_, _>>();
        let sources = sources.map_err(|cause| no_worker(&cause))?;
        let launch = Launch { order, sources, output, stall_ms: self.stall_ms };
        worker::start(launch).map_err(|cause| no_worker(&cause))
    }
}

type Said<'c> = Pin<Box<dyn Future<Output = (Who, Event)> + Send + 'c>>;

fn said(who: Who, child: &mut Child) -> Said<'_> {
    Box::pin(async move { (who, child.next().await) })
}

fn no_worker(cause: &dyn std::fmt::Display) -> Halt {
    error!("no worker can be started: {cause}");
    let detail = "The server couldn't start a worker process.";
    Halt::Problem(Problem::new(ProblemCode::WorkerCrashed, detail))
}
