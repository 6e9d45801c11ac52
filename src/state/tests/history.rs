//! Random histories of uploads and jobs against a model small enough to be seen to be right.

use super::*;
use crate::model::job::JobState;
use crate::model::problem::{Problem, ProblemCode};
use proptest::prelude::*;

const LEASE_MS: u64 = 20;

/// What may happen to the queue. A holder is any claim ever granted, however stale.
#[derive(Clone, Debug)]
enum QueueOp {
    Add { priority: i32, delay: u64 },
    Pass { ms: u64 },
    Claim,
    Renew { holder: usize },
    Finish { holder: usize },
    Retry { holder: usize, delay: u64 },
    Fail { holder: usize },
    Release { holder: usize },
    Cancel { job: usize },
    Requeue { job: usize },
    Restart,
}

fn queue_ops() -> impl Strategy<Value = Vec<QueueOp>> {
    let holder = || 0..8usize;
    let op = prop_oneof![
        4 => (-1..2i32, 0..30u64)
            .prop_map(|(priority, delay)| QueueOp::Add { priority, delay }),
        3 => (0..30u64).prop_map(|ms| QueueOp::Pass { ms }),
        6 => Just(QueueOp::Claim),
        2 => holder().prop_map(|holder| QueueOp::Renew { holder }),
        3 => holder().prop_map(|holder| QueueOp::Finish { holder }),
        2 => (holder(), 0..30u64).prop_map(|(holder, delay)| QueueOp::Retry { holder, delay }),
        1 => holder().prop_map(|holder| QueueOp::Fail { holder }),
        1 => holder().prop_map(|holder| QueueOp::Release { holder }),
        1 => (0..8usize).prop_map(|job| QueueOp::Cancel { job }),
        1 => (0..8usize).prop_map(|job| QueueOp::Requeue { job }),
        1 => Just(QueueOp::Restart),
    ];
    proptest::collection::vec(op, 1..60)
}

/// A job as the model knows it.
#[derive(Clone, Debug)]
struct Job {
    id: JobId,
    video: VideoId,
    state: JobState,
    epoch: u32,
    attempt: u32,
    priority: i32,
    run_at: u64,
    lease_until: u64,
    finished: u32,
}

#[derive(Default)]
struct Queue {
    now: u64,
    jobs: Vec<Job>,
    /// Every claim ever granted: which job, under which epoch.
    claims: Vec<(usize, u32)>,
}

impl Queue {
    /// Which job has to be claimed next, told by looking at all of them.
    fn next(&self) -> Option<usize> {
        let expired = |job: &Job| job.state == JobState::Running && job.lease_until <= self.now;
        let due = |job: &Job| job.state == JobState::Queued && job.run_at <= self.now;
        let all = || 0..self.jobs.len();
        let first_expired = all()
            .filter(|&at| expired(&self.jobs[at]))
            .min_by_key(|&at| (self.jobs[at].lease_until, self.jobs[at].id));
        first_expired.or_else(|| {
            all().filter(|&at| due(&self.jobs[at])).min_by_key(|&at| {
                let job = &self.jobs[at];
                (-job.priority, job.run_at, job.id)
            })
        })
    }

    fn next_run_at(&self) -> Option<u64> {
        let moment = |job: &Job| match job.state {
            JobState::Queued => Some(job.run_at),
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
        QueueOp::Add { priority, delay } => {
            let run_at = model.now + delay;
            let (video, id) = it.queued(priority, at(run_at)).await;
            model.jobs.push(Job {
                id,
                video,
                state: JobState::Queued,
                epoch: 0,
                attempt: 0,
                priority,
                run_at,
                lease_until: 0,
                finished: 0,
            });
        }
        QueueOp::Pass { ms } => model.now += ms,
        QueueOp::Claim => {
            let claimed = it.state.claim_job(at(model.now), LEASE_MS).await.expect("asked");
            let expected = model.next();
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
        QueueOp::Renew { .. }
        | QueueOp::Finish { .. }
        | QueueOp::Retry { .. }
        | QueueOp::Fail { .. }
        | QueueOp::Release { .. } => do_held(&it, model, op).await,
        QueueOp::Cancel { .. } | QueueOp::Requeue { .. } => do_to_job(&it, model, op).await,
        QueueOp::Restart => {
            let it = it.reopen();
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
                job.run_at = model.now + delay;
            }
            let run_at = at(model.now + delay);
            let answer = state.retry_job(id, epoch, run_at, problem()).await;
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
    let (QueueOp::Cancel { job } | QueueOp::Requeue { job }) = op else { return };
    let Some(n) = job.checked_rem(model.jobs.len()) else { return };
    let newest = model.jobs.iter().rposition(|other| other.video == model.jobs[n].video);
    let n = newest.unwrap_or(n);
    let open = matches!(model.jobs[n].state, JobState::Queued | JobState::Running);
    let video = model.jobs[n].video;
    if matches!(op, QueueOp::Cancel { .. }) {
        assert_eq!(it.state.cancel_job(video, at(model.now)).await.is_ok(), open);
        if open {
            model.jobs[n].state = JobState::Cancelled;
            model.jobs[n].epoch += 1;
        }
        return;
    }
    let record = job_record(video, 0, at(model.now));
    let id = record.id;
    assert_eq!(it.state.requeue(video, record).await.is_ok(), !open);
    if !open {
        let (run_at, epoch, attempt) = (model.now, 0, 0);
        let state = JobState::Queued;
        let template = model.jobs[n].clone();
        let finished = 0;
        model.jobs.push(Job {
            id,
            state,
            epoch,
            attempt,
            run_at,
            priority: 0,
            finished,
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
    let waiting = model.jobs.iter().filter(|job| job.state == JobState::Queued).count();
    assert_eq!(it.state.jobs_waiting(), Ok(waiting));
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
    let jobs = it.state.jobs(&|job| job.video == model.video, 9).expect("read");
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
            let mut model = Queue::default();
            for op in ops {
                it = do_queue(it, &mut model, op).await;
                check_queue(&it, &model);
            }
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
