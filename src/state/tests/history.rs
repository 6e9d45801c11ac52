//! Random histories of uploads and jobs against a model small enough to be seen to be right.

use super::*;
use crate::model::job::{JobState, Toll};
use crate::model::problem::{Problem, ProblemCode};
use proptest::prelude::*;

const LEASE_MS: u64 = 20;

/// What may happen to the queue. A holder is any claim ever granted, however stale.
#[derive(Clone, Debug)]
enum QueueOp {
    Add { owner: usize, priority: i32, delay: u64 },
    Pass { ms: u64 },
    Claim { of_owner_max: Option<usize> },
    Renew { holder: usize },
    Finish { holder: usize },
    Retry { holder: usize, delay: u64 },
    Fail { holder: usize },
    Release { holder: usize },
    Cancel { job: usize },
    Requeue { job: usize },
    Prioritise { job: usize, priority: i32 },
    Pause { is_paused: bool },
    Restart,
}

fn queue_ops() -> impl Strategy<Value = Vec<QueueOp>> {
    let holder = || 0..8usize;
    let op = prop_oneof![
        4 => (0..3usize, -1..2i32, 0..30u64)
            .prop_map(|(owner, priority, delay)| QueueOp::Add { owner, priority, delay }),
        3 => (0..30u64).prop_map(|ms| QueueOp::Pass { ms }),
        6 => proptest::option::of(1..3usize)
            .prop_map(|of_owner_max| QueueOp::Claim { of_owner_max }),
        2 => holder().prop_map(|holder| QueueOp::Renew { holder }),
        3 => holder().prop_map(|holder| QueueOp::Finish { holder }),
        2 => (holder(), 0..30u64).prop_map(|(holder, delay)| QueueOp::Retry { holder, delay }),
        1 => holder().prop_map(|holder| QueueOp::Fail { holder }),
        1 => holder().prop_map(|holder| QueueOp::Release { holder }),
        1 => (0..8usize).prop_map(|job| QueueOp::Cancel { job }),
        1 => (0..8usize).prop_map(|job| QueueOp::Requeue { job }),
        1 => (0..8usize, -1..2i32)
            .prop_map(|(job, priority)| QueueOp::Prioritise { job, priority }),
        1 => proptest::bool::weighted(0.3).prop_map(|is_paused| QueueOp::Pause { is_paused }),
        1 => Just(QueueOp::Restart),
    ];
    proptest::collection::vec(op, 1..60)
}

/// Why a job is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Expired,
    Longest,
    Turn,
}

/// A job as the model knows it.
#[derive(Clone, Debug)]
struct Job {
    id: JobId,
    video: VideoId,
    owner: usize,
    state: JobState,
    epoch: u32,
    attempt: u32,
    priority: i32,
    created_at: u64,
    run_at: u64,
    is_set_back: bool,
    turn: u64,
    lease_until: u64,
    finished: u32,
}

#[derive(Default)]
struct Queue {
    now: u64,
    jobs: Vec<Job>,
    /// Every claim ever granted: which job, under which epoch.
    claims: Vec<(usize, u32)>,
    is_paused: bool,
    /// Films begun, the latest turn that has come, and that of each owner's next film.
    begun: u64,
    turn: u64,
    next_turns: [u64; 3],
}

/// What each film of these weighs.
const WEIGHT: u64 = 64;

impl Queue {
    /// Which job has to be claimed next, told by looking at all of them, and why.
    fn next(&self, of_owner_max: Option<usize>) -> Option<(usize, Why)> {
        if self.is_paused {
            return None;
        }
        let all = || self.jobs.iter().enumerate();
        let expired =
            all().filter(|(_, job)| job.state == JobState::Running && job.lease_until <= self.now);
        if let Some((at, _)) = expired.min_by_key(|(_, job)| (job.lease_until, job.id)) {
            return Some((at, Why::Expired));
        }
        let running = |owner| {
            all().filter(|(_, job)| job.owner == owner && job.state == JobState::Running).count()
        };
        let fits = |job: &Job| {
            let is_due = job.state == JobState::Queued && job.run_at <= self.now;
            is_due && of_owner_max.is_none_or(|max| running(job.owner) < max)
        };
        let due = || all().filter(|(_, job)| fits(job));
        if self.begun % 4 == 3 {
            let longest = due().min_by_key(|(_, job)| (job.created_at, job.id));
            return longest.map(|(at, _)| (at, Why::Longest));
        }
        let first = due().min_by_key(|(_, job)| (-job.priority, job.turn, job.id));
        first.map(|(at, _)| (at, Why::Turn))
    }

    /// What becomes of the line when a job is asked for: those come back whose time has come.
    fn claim(&mut self, of_owner_max: Option<usize>) -> Option<usize> {
        let (now, is_paused) = (self.now, self.is_paused);
        let expired = |job: &Job| job.state == JobState::Running && job.lease_until <= now;
        if !is_paused && !self.jobs.iter().any(expired) {
            let due = |job: &&mut Job| job.state == JobState::Queued && job.run_at <= now;
            self.jobs.iter_mut().filter(due).for_each(|job| job.is_set_back = false);
        }
        let (at, why) = self.next(of_owner_max)?;
        self.begun += u64::from(why != Why::Expired);
        if why == Why::Turn {
            self.turn = self.turn.max(self.jobs[at].turn);
        }
        Some(at)
    }

    /// The turn of a film that comes into line.
    fn enter(&mut self, owner: usize) -> u64 {
        let turn = self.next_turns[owner].max(self.turn).max(1);
        self.next_turns[owner] = turn + WEIGHT;
        turn
    }

    /// What becomes of its owner's turns when a film leaves the line unbegun.
    fn leave(&mut self, owner: usize) {
        let next = self.next_turns[owner].saturating_sub(WEIGHT);
        self.next_turns[owner] = if next > self.turn { next } else { 0 };
    }

    fn next_run_at(&self) -> Option<u64> {
        let moment = |job: &Job| match job.state {
            JobState::Queued if job.is_set_back => Some(job.run_at),
            JobState::Queued => Some(job.created_at),
            JobState::Running => Some(job.lease_until),
            _ => None,
        };
        self.jobs.iter().filter_map(moment).min()
    }

    /// The job that a claim still holds.
    fn held(&self, holder: usize) -> Option<(usize, u32, bool)> {
        let (at, epoch) = *self.claims.get(holder.checked_rem(self.claims.len())?)?;
        let job = &self.jobs[at];
        Some((at, epoch, job.state == JobState::Running && job.epoch == epoch))
    }
}

fn at(ms: u64) -> UnixMillis {
    NOW.plus_ms(ms)
}

fn problem() -> Problem {
    Problem::new(ProblemCode::Internal, "It broke.")
}

/// Does what an operation says to the database and to the model, and compares the answers.
async fn do_queue(it: Fixture, model: &mut Queue, op: QueueOp) -> Fixture {
    match op {
        QueueOp::Add { owner, priority, delay } => {
            let run_at = model.now + delay;
            let (video, id) = it.queued_by(&format!("owner-{owner}"), priority, at(run_at)).await;
            let turn = model.enter(owner);
            model.jobs.push(Job {
                id,
                video,
                owner,
                state: JobState::Queued,
                epoch: 0,
                attempt: 0,
                priority,
                created_at: run_at,
                run_at,
                is_set_back: false,
                turn,
                lease_until: 0,
                finished: 0,
            });
        }
        QueueOp::Pass { ms } => model.now += ms,
        QueueOp::Claim { of_owner_max } => {
            let claimed = it.state.claim_job(at(model.now), LEASE_MS, of_owner_max).await;
            let claimed = claimed.expect("asked");
            let expected = model.claim(of_owner_max);
            let ids = (claimed.as_ref().map(|(job, _)| job.id), expected.map(|n| model.jobs[n].id));
            assert_eq!(ids.0, ids.1);
            if let Some(n) = expected {
                let job = &mut model.jobs[n];
                job.state = JobState::Running;
                job.epoch += 1;
                job.attempt += 1;
                job.lease_until = model.now + LEASE_MS;
                model.claims.push((n, job.epoch));
            }
        }
        QueueOp::Pause { is_paused } => {
            let is_new = model.is_paused != is_paused;
            assert_eq!(it.state.pause_jobs(is_paused).await, Ok(is_new));
            model.is_paused = is_paused;
        }
        QueueOp::Renew { .. }
        | QueueOp::Finish { .. }
        | QueueOp::Retry { .. }
        | QueueOp::Fail { .. }
        | QueueOp::Release { .. } => do_held(&it, model, op).await,
        QueueOp::Cancel { .. } | QueueOp::Requeue { .. } | QueueOp::Prioritise { .. } => {
            do_to_job(&it, model, op).await;
        }
        QueueOp::Restart => {
            let it = it.reopen();
            it.state.count_usage().await.expect("counted");
            let running = model.jobs.iter_mut().filter(|job| job.state == JobState::Running);
            let mut count = 0;
            for job in running {
                job.state = JobState::Queued;
                count += 1;
            }
            assert_eq!(it.state.reclaim_jobs(at(model.now)).await, Ok(count));
            return it;
        }
    }
    it
}

/// What a holder does, stale or not.
async fn do_held(it: &Fixture, model: &mut Queue, op: QueueOp) {
    let (QueueOp::Renew { holder }
    | QueueOp::Finish { holder }
    | QueueOp::Retry { holder, .. }
    | QueueOp::Fail { holder }
    | QueueOp::Release { holder }) = op
    else {
        return;
    };
    let Some((n, epoch, holds)) = model.held(holder) else { return };
    let (id, video) = (model.jobs[n].id, model.jobs[n].video);
    let before = (it.job_now(id), it.video_now(video));
    let (state, epoch, now) = (&it.state, Epoch(epoch), at(model.now));
    let job = &mut model.jobs[n];
    let (answer, to, video_state) = match op {
        QueueOp::Renew { .. } => {
            let until = model.now + 2 * LEASE_MS;
            if holds {
                job.lease_until = until;
            }
            let answer = state.renew_lease(id, epoch, at(until)).await;
            (answer, JobState::Running, VideoState::Processing)
        }
        QueueOp::Finish { .. } => {
            job.finished += u32::from(holds);
            let answer = state.finish_job(id, epoch, now, 2.5, Vec::new()).await;
            (answer.map(drop), JobState::Done, VideoState::Ready)
        }
        QueueOp::Retry { delay, .. } => {
            if holds {
                (job.run_at, job.is_set_back) = (model.now + delay, true);
            }
            let run_at = at(model.now + delay);
            let answer = state.retry_job(id, epoch, run_at, problem(), Toll::Failure).await;
            (answer.map(drop), JobState::Queued, VideoState::Queued)
        }
        QueueOp::Fail { .. } => {
            let answer = state.fail_job(id, epoch, now, problem()).await;
            (answer.map(drop), JobState::Failed, VideoState::Failed)
        }
        _ => {
            job.attempt -= u32::from(holds);
            let answer = state.release_job(id, epoch).await;
            (answer, JobState::Queued, VideoState::Queued)
        }
    };
    if holds {
        assert_eq!(answer, Ok(()));
        job.state = to;
        assert_eq!(it.video_now(video).state, video_state);
    } else {
        assert_eq!(answer, Err(StateError::Stale));
        assert_eq!((it.job_now(id), it.video_now(video)), before, "a stale write had an effect");
    }
}

/// What people do to a job.
async fn do_to_job(it: &Fixture, model: &mut Queue, op: QueueOp) {
    let (QueueOp::Cancel { job } | QueueOp::Requeue { job } | QueueOp::Prioritise { job, .. }) = op
    else {
        return;
    };
    let Some(n) = job.checked_rem(model.jobs.len()) else { return };
    let newest = model.jobs.iter().rposition(|other| other.video == model.jobs[n].video);
    let n = newest.unwrap_or(n);
    let open = matches!(model.jobs[n].state, JobState::Queued | JobState::Running);
    let video = model.jobs[n].video;
    if matches!(op, QueueOp::Cancel { .. }) {
        assert_eq!(it.state.cancel_job(video, at(model.now)).await.is_ok(), open);
        if open {
            if model.jobs[n].state == JobState::Queued {
                model.leave(model.jobs[n].owner);
            }
            model.jobs[n].state = JobState::Cancelled;
            model.jobs[n].epoch += 1;
        }
        return;
    }
    if let QueueOp::Prioritise { priority, .. } = op {
        assert_eq!(it.state.prioritise(video, priority).await.is_ok(), open);
        if open {
            model.jobs[n].priority = priority;
        }
        return;
    }
    let mut record = job_record(video, 0, at(model.now));
    record.owner = Owner(format!("owner-{}", model.jobs[n].owner));
    let id = record.id;
    assert_eq!(it.state.requeue(video, record).await.is_ok(), !open);
    if !open {
        let template = model.jobs[n].clone();
        let turn = model.enter(template.owner);
        model.jobs.push(Job {
            id,
            state: JobState::Queued,
            epoch: 0,
            attempt: 0,
            created_at: model.now,
            run_at: model.now,
            is_set_back: false,
            priority: 0,
            turn,
            finished: 0,
            ..template
        });
    }
}

fn check_queue(it: &Fixture, model: &Queue) {
    for job in &model.jobs {
        let stored = it.job_now(job.id);
        let seen = (stored.state, stored.epoch.0, stored.attempt, stored.run_at);
        assert_eq!(seen, (job.state, job.epoch, job.attempt, at(job.run_at)));
        assert!(job.finished <= 1, "a job had its effect twice");
    }
    let expected = model.next_run_at().map(at);
    assert_eq!(it.state.next_run_at(), Ok(expected));
    let count = |state| model.jobs.iter().filter(|job| job.state == state).count();
    let open = it.state.open_jobs();
    assert_eq!((open.films, open.running), (count(JobState::Queued), count(JobState::Running)));
    check_lists(it, model);
}

/// Each state lists its own jobs, page by page, and the line holds who is in it once.
fn check_lists(it: &Fixture, model: &Queue) {
    let ids = |keep: &dyn Fn(&Job) -> bool| {
        let mut ids: Vec<_> = model.jobs.iter().filter(|job| keep(job)).map(|job| job.id).collect();
        ids.sort();
        ids
    };
    use JobState::{Cancelled, Done, Failed, Queued, Running};
    for state in [Queued, Running, Done, Failed, Cancelled] {
        let (mut listed, mut before) = (Vec::new(), None);
        loop {
            let page = it.state.jobs(Some(state), before, 2).expect("read");
            assert!(page.iter().all(|job| job.state == state));
            listed.extend(page.iter().map(|job| job.id));
            before = page.last().map(|job| job.id);
            if page.len() < 2 {
                break;
            }
        }
        listed.sort();
        assert_eq!(listed, ids(&|job| job.state == state), "{state:?}");
    }
    let mut line = it.state.films_in_line().expect("read");
    line.sort();
    assert_eq!(line, ids(&|job| job.state == Queued && !job.is_set_back));
}

/// What may happen to one upload of 100 bytes, made of one part. A holder is any lease ever
/// granted.
#[derive(Clone, Debug)]
enum UploadOp {
    Lease,
    Write { holder: usize, end: u64 },
    Sync { holder: usize },
    Queue { holder: usize },
    Cancel,
    Finish { holder: usize },
    Abort,
    Lower { end: u64 },
    Reopen,
}

fn upload_ops() -> impl Strategy<Value = Vec<UploadOp>> {
    let holder = || 0..6usize;
    let op = prop_oneof![
        3 => Just(UploadOp::Lease),
        6 => (holder(), 0..=100u64).prop_map(|(holder, end)| UploadOp::Write { holder, end }),
        4 => holder().prop_map(|holder| UploadOp::Sync { holder }),
        1 => holder().prop_map(|holder| UploadOp::Queue { holder }),
        1 => Just(UploadOp::Cancel),
        1 => holder().prop_map(|holder| UploadOp::Finish { holder }),
        1 => Just(UploadOp::Abort),
        1 => (0..=100u64).prop_map(|end| UploadOp::Lower { end }),
        1 => Just(UploadOp::Reopen),
    ];
    proptest::collection::vec(op, 1..50)
}

/// The upload as the model knows it.
struct Upload {
    id: UploadId,
    video: VideoId,
    state: UploadState,
    epoch: u32,
    written: u64,
    durable: u64,
    leases: Vec<u32>,
    /// The job of its video; an upload that was ended before its end takes both along.
    job: Option<JobState>,
    has_video: bool,
}

impl Upload {
    fn held(&self, holder: usize) -> Option<(Epoch, bool)> {
        let epoch = *self.leases.get(holder.checked_rem(self.leases.len())?)?;
        Some((Epoch(epoch), epoch == self.epoch))
    }
}

/// What happens to the video of an upload before it is finished.
async fn queue_upload(it: &Fixture, model: &mut Upload, op: UploadOp) {
    let (state, id) = (&it.state, model.id);
    let open = model.state == UploadState::Partial;
    match op {
        UploadOp::Queue { holder } => {
            let Some((epoch, holds)) = model.held(holder) else { return };
            let queued = state.queue_final(id, epoch, job_record(model.video, 0, NOW), NOW).await;
            let is_new = model.job.is_none();
            assert_eq!(queued.ok().map(|it| it.1), (holds && open).then_some(is_new));
            if holds && open && is_new {
                model.job = Some(JobState::Queued);
            }
        }
        _ => {
            let is_open = model.has_video && model.job == Some(JobState::Queued);
            assert_eq!(state.cancel_job(model.video, NOW).await.is_ok(), is_open);
            if is_open {
                model.job = Some(JobState::Cancelled);
            }
        }
    }
}

async fn do_upload(it: Fixture, model: &mut Upload, op: UploadOp) -> Fixture {
    let (state, id) = (it.state.clone(), model.id);
    let open = model.state == UploadState::Partial;
    match op {
        UploadOp::Lease => {
            let leased = state.lease_upload(id).await;
            assert_eq!(leased.is_ok(), open);
            if let Ok(leased) = leased {
                model.epoch += 1;
                assert_eq!(leased.epoch, Epoch(model.epoch));
                model.leases.push(model.epoch);
            }
        }
        UploadOp::Write { holder, end } => {
            let Some((epoch, holds)) = model.held(holder) else { return it };
            let end = end.max(model.written);
            let noted = state.note_written(id, epoch, "b", up_to(end), NOW, NOW).await;
            assert_eq!(noted.is_ok(), holds && open);
            if holds && open {
                model.written = end;
            }
        }
        UploadOp::Sync { holder } => {
            let Some((epoch, holds)) = model.held(holder) else { return it };
            let noted = state.note_durable(id, epoch, up_to(model.written)).await;
            assert_eq!(noted.is_ok(), holds && open);
            if holds && open {
                model.durable = model.written;
            }
        }
        UploadOp::Queue { .. } | UploadOp::Cancel => queue_upload(&it, model, op).await,
        UploadOp::Finish { holder } => {
            let Some((epoch, holds)) = model.held(holder) else { return it };
            let job = Some(job_record(model.video, 0, NOW));
            let done = state.finish_upload(id, epoch, NOW, ByteCount(100), job).await;
            let repeated = model.state == UploadState::Finished;
            assert_eq!(done.is_ok(), holds && (open || repeated));
            if done.is_ok() {
                model.state = UploadState::Finished;
                model.job.get_or_insert(JobState::Queued);
                (model.written, model.durable) = (100, 100);
            }
        }
        UploadOp::Abort => {
            let ended = state.end_upload(id, UploadState::Aborted, NOW).await;
            let video = Some(model.video).filter(|_| open);
            assert_eq!(ended.map(|ended| ended.map(|it| it.id)), Ok(video));
            if model.state != UploadState::Aborted {
                model.state = UploadState::Aborted;
                model.epoch += 1;
                (model.written, model.durable) = (0, 0);
                if open {
                    model.has_video = false;
                    model.job = model.job.map(|_| JobState::Cancelled);
                }
            }
        }
        UploadOp::Lower { end } => {
            let end = end.min(model.written);
            let lowered = state.lower_upload(id, "c", up_to(end)).await;
            assert_eq!(lowered.is_ok(), open);
            if open {
                model.epoch += 1;
                model.written = end;
                model.durable = model.durable.min(end);
            }
        }
        UploadOp::Reopen => {
            drop(state);
            return it.reopen();
        }
    }
    it
}

fn check_upload(it: &Fixture, model: &Upload) {
    let stored = it.upload_now(model.id);
    assert_eq!((stored.state, stored.epoch), (model.state, Epoch(model.epoch)));
    assert_eq!(stored.received.written, up_to(model.written));
    assert_eq!(stored.received.durable, up_to(model.durable));
    let jobs = it.state.jobs(None, None, 99).expect("read");
    let jobs: Vec<_> = jobs.into_iter().filter(|job| job.video == model.video).collect();
    let jobs: Vec<JobState> = jobs.into_iter().map(|job| job.state).collect();
    assert_eq!(jobs, Vec::from_iter(model.job), "an upload queues exactly one job");
    let expected = model.has_video.then_some(match model.job {
        None => VideoState::Uploading,
        Some(JobState::Cancelled) => VideoState::Failed,
        Some(_) => VideoState::Queued,
    });
    assert_eq!(it.state.video(model.video).expect("read").map(|video| video.state), expected);
    let unfinished = it.state.unfinished_uploads().expect("read").len();
    let part = 1;
    assert_eq!(unfinished, part + usize::from(model.state != UploadState::Finished));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever happens to the queue, only the holder of the newest lease has an effect, and a
    /// finished job has had it once.
    #[test]
    fn queue_histories_agree_with_the_model(ops in queue_ops()) {
        block_on(async {
            let mut it = fixture();
            it.state.count_usage().await.expect("counted");
            let mut model = Queue::default();
            for op in ops {
                it = do_queue(it, &mut model, op).await;
                check_queue(&it, &model);
            }
            it.state.assert_usage().await;
        });
    }

    /// Whatever happens to an upload, stale writers change nothing, it finishes once and has one
    /// job, whether that comes before its parts are joined or after, and what its owner has is
    /// what the records say.
    #[test]
    fn upload_histories_agree_with_the_model(ops in upload_ops()) {
        block_on(async {
            let mut it = fixture();
            let (id, video) = it.final_of(&[100]).await;
            let (state, leases) = (UploadState::Partial, Vec::new());
            let (epoch, written, durable) = (0, 0, 0);
            let mut model = Upload {
                id,
                video,
                state,
                epoch,
                written,
                durable,
                leases,
                job: None,
                has_video: true,
            };
            it.state.count_usage().await.expect("counted");
            for op in ops {
                let reopened = matches!(op, UploadOp::Reopen);
                it = do_upload(it, &mut model, op).await;
                if reopened {
                    it.state.count_usage().await.expect("counted");
                }
                check_upload(&it, &model);
                it.state.assert_usage().await;
            }
        });
    }
}
