//! All rooms of a running server, put together once.

use super::{ServerError, systemd};
use crate::access::Access;
use crate::backup;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, Desk, Operator};
use crate::disk::{Disk, Room};
use crate::events::Hub;
use crate::hooks::{self, Hooks};
use crate::http::{self, AppParts, Readiness, Tls, WorkerStatus};
use crate::janitor::{Janitor, JanitorError};
use crate::library::Library;
use crate::pipeline::{Pipeline, Places, Spans};
use crate::queue::Queue;
use crate::rights::{Boot, Exports, Rights};
use crate::rooms::Rooms;
use crate::state::State;
use crate::telemetry::measures;
use crate::trail::Trail;
use crate::units::{ByteCount, UnixMillis};
use crate::upload::{BlockingHooks, UploadLimits, Uploads};
use crate::wire::{EncodeOptions, Limits};
use crate::worker;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Time between two exports of the records.
const EXPORT_EVERY: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// Tracks that one file may hold; films with many languages stay well below.
const STREAMS_MAX: u32 = 64;

/// How often what is measured is put in order.
const MEASURES_EVERY: Duration = Duration::from_secs(10);

/// The rooms.
pub(super) struct Parts {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    pub(super) state: State,
    pub(super) access: Access,
    pub(super) hub: Hub,
    pub(super) uploads: Uploads,
    pub(super) library: Library,
    pub(super) queue: Queue,
    pub(super) readiness: Readiness,
    pub(super) admin_token_path: Option<PathBuf>,
    /// Bytes of the disk that uploads leave alone.
    reserve: ByteCount,
    /// The kernel's boot id, or a fresh one after a sync has failed.
    boot_id: String,
    pub(super) trail: Trail,
    /// Of a server that answers with TLS.
    pub(super) tls: Option<Tls>,
    rooms: Rooms,
    janitor: Janitor,
    hooks: Hooks,
    worker_status: Arc<OnceLock<WorkerStatus>>,
    started_at: UnixMillis,
}

impl Parts {
    /// Builds the rooms in order and mends what the last run left undone.
    pub(super) async fn build(
        config: Config,
        disk: Disk,
        state: State,
        trail: Trail,
        rebuilt: bool,
    ) -> Result<Self, ServerError> {
        let clock = Clock::system();
        let config = Arc::new(config);
        let access = Access::new(state.clone(), clock.clone(), config.auth_mode);
        access.trust(&config.jwt).map_err(ServerError::Keys)?;
        let admin = access.ensure_admin_token(&disk).await;
        let admin = admin.map_err(|cause| ServerError::State(cause.to_string()))?;
        let hub = Hub::new(clock.now());
        let boot_id = boot_id_of(&config, &disk);
        let [pre_create, pre_finish] = hooks::blocking(&config.hooks, &clock);
        let uploads = Uploads::new(
            disk.clone(),
            state.clone(),
            hub.clone(),
            clock.clone(),
            UploadLimits::of(&config),
            boot_id.clone(),
            BlockingHooks { pre_create, pre_finish },
        );
        let (s, d, h, c) = (state.clone(), disk.clone(), hub.clone(), clock.clone());
        let library = Library::new(s, d, h, c, config.trash_for_ms);
        let (s, h, c) = (state.clone(), hub.clone(), clock.clone());
        let queue = Queue::new(s, h, c, uploads.finished(), config.media.workers_per_user);
        let rooms = Rooms {
            uploads: uploads.clone(),
            library: library.clone(),
            queue: queue.clone(),
            state: state.clone(),
            disk: disk.clone(),
            clock: clock.clone(),
            hub: hub.clone(),
            reserve: config.upload.reserve_free_space,
            keep: config.originals.keep,
            retention: config.retention,
            trail: trail.clone(),
        };
        let janitor = Janitor::new(rooms.clone());
        let refused = |cause: JanitorError| ServerError::State(cause.to_string());
        if rebuilt {
            let found = janitor.rebuild().await.map_err(refused)?;
            warn!(?found, "the database was rebuilt from the files");
            disk.end_rebuild().map_err(|cause| ServerError::Disk(cause.to_string()))?;
        }
        let hooks = Hooks::new(&config.hooks, state.clone(), clock.clone());
        hooks.start().await.map_err(|cause| ServerError::State(cause.to_string()))?;
        janitor.start().await.map_err(refused)?;
        if let Err(cause) = disk.trust_again() {
            warn!("the word of a failed sync stays: {cause}");
        }
        queue.reclaim().await.map_err(|cause| ServerError::State(cause.to_string()))?;
        let space = disk.free_space().map_err(|cause| ServerError::Disk(cause.to_string()))?;
        Ok(Self {
            reserve: config.upload.reserve_free_space.of(space.total),
            library,
            started_at: clock.now(),
            admin_token_path: admin.map(|token| token.path),
            readiness: Readiness::default(),
            tls: None,
            worker_status: Arc::default(),
            config,
            clock,
            disk,
            state,
            access,
            hub,
            uploads,
            boot_id,
            queue,
            trail,
            rooms,
            janitor,
            hooks,
        })
    }

    /// Returns what the HTTP room works with.
    pub(super) fn app(&self) -> AppParts {
        AppParts {
            config: Arc::clone(&self.config),
            clock: self.clock.clone(),
            disk: self.disk.clone(),
            state: self.state.clone(),
            uploads: self.uploads.clone(),
            library: self.library.clone(),
            access: self.access.clone(),
            hub: self.hub.clone(),
            queue: self.queue.clone(),
            readiness: self.readiness.clone(),
            janitor: self.janitor.clone(),
            hooks: self.hooks.clone(),
            trail: self.trail.clone(),
            worker_status: Arc::clone(&self.worker_status),
            started_at: self.started_at,
            tls: self.tls.clone(),
        }
    }

    /// Starts everything that goes on by itself. Each task ends when `stop` fires.
    pub(super) fn spawn_tasks(&self, address: &str, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.pipeline().run(stop.clone()));
        tasks.spawn(self.hooks.clone().run(stop.clone()));
        let (janitor, until) = (self.janitor.clone(), stop.clone());
        tasks.spawn(async move { janitor.run(until).await });
        let (janitor, until) = (self.janitor.clone(), stop.clone());
        tasks.spawn(async move { janitor.tag_originals(until).await });
        let (janitor, until) = (self.janitor.clone(), stop.clone());
        tasks.spawn(async move { janitor.drop_originals(until).await });
        match self.disk.bind_control() {
            Ok(listener) => {
                let desk = Desk {
                    access: self.access.clone(),
                    state: self.state.clone(),
                    disk: self.disk.clone(),
                    address: Some(address.to_owned()),
                    operator: self.operator(),
                    trail: self.trail.clone(),
                    rights: Some(self.rights()),
                    exports: Some(self.archives()),
                };
                let until = stop.clone();
                tasks.spawn(async move {
                    if let Err(cause) = control::listen(listener, desk, until.clone()).await {
                        warn!("no commands beside the running server: {cause}");
                    }
                    until.cancelled().await;
                });
            }
            Err(cause) => warn!("no commands beside the running server: {cause}"),
        }
        tasks.spawn(exports(self.state.clone(), self.disk.clone(), stop.clone()));
        let (status, until) = (Arc::clone(&self.worker_status), stop.clone());
        tasks.spawn(async move {
            check_worker(&status).await;
            until.cancelled().await;
        });
        let (state, clock) = (self.state.clone(), self.clock.clone());
        tasks.spawn(keep_measures(state, clock, stop.clone()));
        if let Some(tls) = &self.tls {
            tasks.spawn(tls.clone().watch(stop.clone()));
        }
        // In a terminal without TLS it means what it always does.
        if self.tls.is_some() || systemd::has_journal() {
            let tls = self.tls.clone();
            let again = move || tls.iter().for_each(Tls::look_again);
            tasks.spawn(systemd::on_reload(stop.clone(), again));
        }
        if let Some(every) = systemd::watchdog_every() {
            tasks.spawn(watch(self.state.clone(), self.queue.clone(), every, stop.clone()));
        }
        tasks
    }

    /// Makes who does what people may ask; one of them for all who ask.
    pub(super) fn rights(&self) -> Rights {
        Rights::new(self.rooms.clone())
    }

    /// Makes who writes archives; one of them for all who ask.
    fn archives(&self) -> Exports {
        let (state, disk, trail) = (self.state.clone(), self.disk.clone(), self.trail.clone());
        Exports::new(state, disk, trail, self.clock.clone(), Boot::Served(self.boot_id.clone()))
    }

    /// Returns who does what operators want.
    pub(super) fn operator(&self) -> Operator {
        let parts = self.app();
        Arc::new(move |operation| Box::pin(http::operate(parts.clone(), operation)))
    }

    /// Writes the records to the export once more, at the end.
    pub(super) async fn export(&self) {
        export(&self.state, &self.disk).await;
    }

    fn pipeline(&self) -> Pipeline {
        let media = &self.config.media;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Pipeline {
            queue: self.queue.clone(),
            state: self.state.clone(),
            disk: self.disk.clone(),
            library: self.library.clone(),
            hub: self.hub.clone(),
            clock: self.clock.clone(),
            encode: EncodeOptions {
                ladder_heights: media.ladder_heights.clone(),
                preset: media.preset.clone(),
                segment_seconds: media.segment_seconds,
                loudness: media.loudness,
                threads: u32::try_from(cores.div_ceil(media.workers.max(1)))
                    .unwrap_or(1)
                    .clamp(1, 8),
            },
            limits: Limits {
                pixels_max: media.max_pixels,
                duration_ms_max: media.max_duration_ms,
                memory_bytes_max: media.max_memory.0,
                // Four encodes of the longest source at a tenth of real time on every core.
                cpu_seconds_max: media.max_duration_ms / 1000 * 10 * cores as u64,
                file_bytes_max: 4 << 30,
                streams_max: STREAMS_MAX,
            },
            formats: media.formats,
            encrypts: media.encrypt,
            stall_ms: media.stall_timeout_ms,
            boot: self.boot_id.clone(),
            spans: match media.spans {
                Some(at_once) => Spans { at_once, only_idle: false },
                None => Spans::of_cores(cores),
            },
            places: Places::new(media.workers),
            workers: media.workers,
            live_workers: if media.workers > 0 { media.live_workers } else { 0 },
            uploads: self.uploads.clone(),
            room: Room::beside(self.reserve),
            accept: self.config.upload.admission.accept,
            keep_rejected: self.config.upload.keep_rejected,
        }
    }
}

/// Returns under which boot id bytes are recorded that aren't confirmed yet.
pub(super) fn boot_id_of(config: &Config, disk: &Disk) -> String {
    match disk.is_distrusted() {
        true => {
            warn!("a sync failed before; of open uploads only what was confirmed counts");
            Disk::fresh_boot_id()
        }
        false => Disk::boot_id(config.boot_id.as_deref()),
    }
}

/// Keeps what is measured small, whoever reads it or doesn't, and has the figures kept.
async fn keep_measures(state: State, clock: Clock, stop: CancellationToken) {
    let mut timer = tokio::time::interval(MEASURES_EVERY);
    loop {
        let ends = tokio::select! {
            () = stop.cancelled() => true,
            _ = timer.tick() => false,
        };
        measures::tidy();
        let mut figures = measures::take_figures();
        // Of no weight beside the rest: one that can't be read is looked at again soon.
        let since = state.longest_waiting().ok().flatten();
        figures.waited_ms = since.map_or(0, |since| clock.now().ms_since(since));
        if !figures.is_empty()
            && let Err(cause) = state.add_figures(clock.now(), figures).await
        {
            warn!("the figures of the last moments aren't kept for now: {cause}");
            measures::return_figures(figures);
        }
        if ends {
            return;
        }
    }
}

/// Finds out once which layers of confinement a worker gets here, for the log and the admin page.
async fn check_worker(status: &OnceLock<WorkerStatus>) {
    match worker::self_check().await {
        Ok(check) => {
            let layers: Vec<String> = check.layers.iter().map(|layer| layer_word(*layer)).collect();
            info!("workers are confined by {}; {}", layers.join(", "), check.media);
            let _ = status.set(WorkerStatus { layers, media: check.media, problem: None });
        }
        Err(cause) => {
            warn!("no worker can be started: {cause}");
            let problem = Some(cause.to_string());
            let _ = status.set(WorkerStatus { layers: Vec::new(), media: String::new(), problem });
        }
    }
}

fn layer_word(layer: crate::wire::SandboxLayer) -> String {
    match layer {
        crate::wire::SandboxLayer::Rlimits => "rlimits",
        crate::wire::SandboxLayer::NoNewPrivs => "nonewprivs",
        crate::wire::SandboxLayer::Landlock => "landlock",
        crate::wire::SandboxLayer::Seccomp => "seccomp",
    }
    .to_owned()
}

/// Writes the records beside the database now and then, for when it doesn't open any more.
async fn exports(state: State, disk: Disk, stop: CancellationToken) {
    let mut timer = tokio::time::interval(EXPORT_EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    timer.reset();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => export(&state, &disk).await,
        }
    }
}

async fn export(state: &State, disk: &Disk) {
    if let Err(cause) = backup::export(state, disk).await {
        warn!("the records weren't exported: {cause}");
    }
}

/// Tells systemd that the server lives, each time only after the database's writer has answered.
async fn watch(state: State, queue: Queue, every: std::time::Duration, stop: CancellationToken) {
    let mut timer = tokio::time::interval(every);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        if state.synced().await.is_ok() {
            systemd::alive();
        }
        if let Ok(counts) = queue.counts() {
            systemd::status(&format!("{} jobs run, {} wait", counts.running, counts.queued));
        }
    }
}

/// Waits until the database has failed for good; returns why.
pub(super) async fn failed(broken: &mut watch::Receiver<Option<String>>) -> String {
    match broken.wait_for(Option::is_some).await {
        Ok(cause) => cause.clone().unwrap_or_default(),
        Err(_) => "its writer ended".to_owned(),
    }
}
