//! The queue: one holder, in order, with effect once.

use super::*;
use crate::model::extra::{Chosen, Extra, ExtraKind};
use crate::model::job::{BACKOFF_MS_MAX, KILLS_MAX, PosterSource, Task, Toll};
use crate::model::job::{JobState, Stage, StageState};
use crate::model::manifest::Picture;
use crate::model::problem::{Problem, ProblemCode};
use crate::model::rendition::{RenditionPlan, RenditionState};
use crate::model::storyboard::Storyboard;
use crate::model::video::SourceFacts;
use crate::state::order;

async fn claim(it: &Fixture, now: UnixMillis) -> Option<JobRecord> {
    it.state.claim_job(now, 30, None).await.expect("asked").map(|(job, _)| job)
}

fn rendition(name: &str, state: RenditionState, generation: Epoch) -> RenditionRecord {
    let (codecs, bandwidth) = (Some("avc1.64001f".to_owned()), Some(1));
    RenditionRecord { plan: RenditionPlan::sample(name), state, generation, codecs, bandwidth }
}

fn problem() -> Problem {
    Problem::new(ProblemCode::WorkerCrashed, "It stopped.")
}

fn stage(job: &JobRecord, which: Stage) -> StageState {
    job.stages.iter().find(|stage| stage.stage == which).expect("every job has it").state
}

/// Higher priorities go first, then those queued first; what isn't due waits.
#[tokio::test]
async fn jobs_are_claimed_in_order() {
    let it = fixture();
    it.state.count_usage().await.expect("counted");
    let (_, first) = it.queued(0, NOW).await;
    let (_, second) = it.queued(0, NOW).await;
    let (_, urgent) = it.queued(5, NOW).await;
    let (_, future) = it.queued(9, NOW.plus_ms(100)).await;
    assert_eq!(it.state.next_run_at(), Ok(Some(NOW)));
    assert_eq!(it.state.open_jobs().films, 4);
    for expected in [urgent, first, second] {
        assert_eq!(claim(&it, NOW).await.map(|job| job.id), Some(expected));
    }
    assert_eq!(claim(&it, NOW).await, None);
    assert_eq!(it.state.next_run_at(), Ok(Some(NOW.plus_ms(30))));
    assert_eq!(it.job_now(future).state, JobState::Queued);
}

/// Who brings one film among somebody's many is next, and who brings many has them in order.
#[tokio::test]
async fn owners_take_turns() {
    let it = fixture();
    let mut many = Vec::new();
    for _ in 0..6 {
        many.push(it.queued_by("ann", 0, NOW).await.1);
    }
    assert_eq!(claim(&it, NOW).await.map(|job| job.id), Some(many[0]));
    let (_, one) = it.queued_by("bob", 0, NOW.plus_ms(1)).await;
    let (_, other) = it.queued_by("bob", 0, NOW.plus_ms(1)).await;
    let line = it.state.films_in_line().expect("read");
    assert_eq!((line.len(), line[0]), (7, one));
    let at = line.iter().position(|job| *job == other).expect("in line");
    assert!(at <= 3, "bob's second film waits for one of ann's, and who has waited longest: {at}");
    let now = NOW.plus_ms(2);
    for expected in line {
        assert_eq!(claim(&it, now).await.map(|job| job.id), Some(expected));
    }
}

/// What is least important is begun as well, however much comes that is more so.
#[tokio::test]
async fn nobody_waits_for_ever() {
    let it = fixture();
    let (_, humble) = it.queued_by("ann", -100, NOW).await;
    let mut claims = 0;
    while it.job_now(humble).state == JobState::Queued {
        claims += 1;
        it.queued_by("bob", 100, NOW.plus_ms(claims)).await;
        claim(&it, NOW.plus_ms(claims)).await.expect("somebody is next");
    }
    assert_eq!(claims, order::LONGEST_EVERY);
}

/// Of an owner no more is begun at once than is allowed; others go before, and the rest follows.
#[tokio::test]
async fn owners_have_limits() {
    let it = fixture();
    let mut films = Vec::new();
    for (owner, priority) in [("ann", 2), ("ann", 1), ("bob", 0)] {
        films.push(it.queued_by(owner, priority, NOW).await.1);
    }
    let claim = async || {
        let claimed = it.state.claim_job(NOW, 30, Some(1)).await.expect("asked");
        claimed.map(|(job, _)| (job.id, job.epoch))
    };
    let first = claim().await.expect("one");
    assert_eq!(first.0, films[0]);
    assert_eq!(claim().await.map(|(id, _)| id), Some(films[2]));
    assert_eq!(claim().await, None);
    it.state.finish_job(first.0, first.1, NOW, 1.0, Vec::new()).await.expect("held");
    assert_eq!(claim().await.map(|(id, _)| id), Some(films[1]));
}

/// A pause holds over a restart, and what was set back by another clock comes near at a start.
#[tokio::test]
async fn pauses_hold_and_clocks_jump() {
    let it = fixture();
    let (_, waits) = it.queued(0, NOW).await;
    let (_, fails) = it.queued(1, NOW).await;
    let epoch = claim(&it, NOW).await.expect("due").epoch;
    let day = NOW.plus_ms(86_400_000);
    it.state.retry_job(fails, epoch, day, problem(), Toll::Failure).await.expect("held");
    assert_eq!(it.state.pause_jobs(true).await, Ok(true));
    let it = it.reopen();
    assert_eq!(claim(&it, NOW).await, None);
    assert_eq!(it.state.pause_jobs(false).await, Ok(true));
    assert_eq!(claim(&it, NOW).await.map(|job| job.id), Some(waits));
    it.state.reclaim_jobs(NOW).await.expect("a start");
    assert!(it.job_now(fails).run_at <= NOW.plus_ms(BACKOFF_MS_MAX));
}

/// A lease that runs out is taken over; its old holder is stale in everything.
#[tokio::test]
async fn lost_leases_are_taken_over() {
    let it = fixture();
    let (video, id) = it.queued(0, NOW).await;
    let old = claim(&it, NOW).await.expect("due").epoch;
    it.state.renew_lease(id, old, NOW.plus_ms(50)).await.expect("renewed");
    assert_eq!(claim(&it, NOW.plus_ms(49)).await, None);
    let new = claim(&it, NOW.plus_ms(50)).await.expect("due again");
    assert_eq!((new.epoch, new.attempt), (old.next(), 2));
    let before = (it.job_now(id), it.video_now(video));
    let (state, facts) = (&it.state, SourceFacts::default());
    let ready = rendition("360p", RenditionState::Ready, old);
    let poster = Extra::Poster { picture: Picture { width: 1, height: 1 } };
    let stale = || Err(StateError::Stale);
    assert_eq!(state.renew_lease(id, old, NOW).await, Err(StateError::Stale));
    let kind = VideoKind::Audio;
    assert_eq!(
        state.commit_probe(id, old, facts, kind, vec![RenditionPlan::sample("x")], NOW).await,
        stale()
    );
    assert_eq!(state.commit_extra(id, old, poster, NOW).await, stale());
    assert_eq!(state.commit_playable(id, old, NOW).await, stale());
    assert_eq!(state.commit_rendition(id, old, ready, NOW).await, stale());
    assert_eq!(state.finish_job(id, old, NOW, 2.5, Vec::new()).await, stale());
    assert_eq!(state.retry_job(id, old, NOW, problem(), Toll::Failure).await, stale());
    assert_eq!(state.fail_job(id, old, NOW, problem()).await, stale());
    assert_eq!(state.release_job(id, old).await, Err(StateError::Stale));
    assert_eq!((it.job_now(id), it.video_now(video)), before);
}

/// The stages of a job lead a video to ready, and each is seen in both records.
#[tokio::test]
async fn a_job_runs_through_its_stages() {
    let it = fixture();
    let (id, job) = it.queued(0, NOW).await;
    let epoch = claim(&it, NOW).await.expect("due").epoch;
    assert_eq!(it.video_now(id).state, VideoState::Processing);
    assert_eq!(stage(&it.job_now(job), Stage::Probe), StageState::Running);
    let facts = SourceFacts { duration: 3.0, ..SourceFacts::default() };
    let plans = vec![RenditionPlan::sample("360p"), RenditionPlan::sample("720p")];
    let kind = VideoKind::Video;
    let video = it.state.commit_probe(job, epoch, facts.clone(), kind, plans, NOW).await;
    let video = video.expect("probed");
    assert_eq!((video.facts, video.renditions.len()), (Some(facts), 2));
    let picture = Picture { width: 2, height: 1 };
    let poster = Extra::Poster { picture: picture.clone() };
    it.state.commit_extra(job, epoch, poster, NOW).await.expect("ok");
    it.state.begin_stage(job, epoch, Stage::Storyboard, NOW).await.expect("ok");
    assert_eq!(stage(&it.job_now(job), Stage::Storyboard), StageState::Running);
    let storyboard = Storyboard { tile: picture.clone(), starts_ms: vec![0] };
    let video = it.state.commit_extra(job, epoch, Extra::Storyboard { storyboard }, NOW).await;
    assert_eq!(video.expect("ok").pictures.storyboard, Some(picture));
    assert_eq!(stage(&it.job_now(job), Stage::Storyboard), StageState::Done);
    for at in [5, 6] {
        let video = it.state.commit_playable(job, epoch, NOW.plus_ms(at)).await.expect("ok");
        assert_eq!((video.playable, video.playable_at), (true, Some(NOW.plus_ms(5))));
    }
    for name in ["360p", "720p"] {
        let ready = rendition(name, RenditionState::Ready, epoch);
        it.state.commit_rendition(job, epoch, ready, NOW).await.expect("ok");
    }
    assert_eq!(stage(&it.job_now(job), Stage::Renditions), StageState::Done);
    let video = it.state.finish_job(job, epoch, NOW.plus_ms(9), 2.5, Vec::new()).await.expect("ok");
    assert_eq!((video.state, video.ready_at), (VideoState::Ready, Some(NOW.plus_ms(9))));
    assert_eq!(video.facts.map(|facts| facts.duration), Some(2.5), "now it is known");
    let job_after = it.job_now(job);
    assert_eq!((job_after.state, job_after.finished_at), (JobState::Done, Some(NOW.plus_ms(9))));
    let states = Stage::ALL.map(|which| stage(&job_after, which));
    use StageState::{Done, Skipped};
    assert_eq!(states, [Done, Done, Done, Done, Skipped, Done]);
    let again = it.state.finish_job(job, epoch, NOW, 2.5, Vec::new()).await;
    assert_eq!(again, Err(StateError::Stale));
    assert_eq!(it.state.next_run_at(), Ok(None));
}

/// What one attempt completed is kept by the next; the rest is begun again.
#[tokio::test]
async fn retries_keep_what_is_ready() {
    let it = fixture();
    let (id, job) = it.queued(0, NOW).await;
    let first = claim(&it, NOW).await.expect("due").epoch;
    let kind = VideoKind::Video;
    let plans = || vec![RenditionPlan::sample("360p"), RenditionPlan::sample("720p")];
    let facts = SourceFacts::default;
    it.state.commit_probe(job, first, facts(), kind, plans(), NOW).await.expect("ok");
    let ready = rendition("360p", RenditionState::Ready, first);
    it.state.commit_rendition(job, first, ready.clone(), NOW).await.expect("ok");
    let running = rendition("720p", RenditionState::Running, first);
    it.state.commit_rendition(job, first, running, NOW).await.expect("ok");
    let later = NOW.plus_ms(100);
    let video = it.state.retry_job(job, first, later, problem(), Toll::Failure).await.expect("ok");
    assert_eq!((video.state, video.problem), (VideoState::Queued, None));
    assert_eq!(it.job_now(job).problem, Some(problem()));
    assert_eq!(claim(&it, NOW).await, None);
    let second = claim(&it, later).await.expect("due").epoch;
    let video = it.state.commit_probe(job, second, facts(), kind, plans(), later).await;
    let video = video.expect("ok");
    assert_eq!(video.renditions[0], ready);
    assert_eq!(video.renditions[1].state, RenditionState::Pending);
    assert_eq!(video.renditions[1].generation, second);
    let video = it.state.fail_job(job, second, later, problem()).await.expect("ok");
    assert_eq!((video.state, video.problem), (VideoState::Failed, Some(problem())));
    assert_eq!(it.video_now(id).renditions[0], ready);
    assert_eq!(it.video_now(id).renditions[1].state, RenditionState::Failed);
}

/// Attempts that somebody else ended aren't failures, until they are too many; one that gets
/// somewhere begins the count anew.
#[tokio::test]
async fn kills_count_apart() {
    let mut it = fixture();
    let (_, job) = it.queued(0, NOW).await;
    let counts = |it: &Fixture| (it.job_now(job).in_vain, it.job_now(job).kills);
    for kills in 1..=KILLS_MAX {
        let epoch = claim(&it, NOW).await.expect("due").epoch;
        if kills % 2 == 0 {
            // The child alone.
            let again = it.state.retry_job(job, epoch, NOW, problem(), Toll::Kill).await;
            again.expect("held");
        } else {
            it = it.reopen();
            it.state.reclaim_jobs(NOW).await.expect("reclaimed");
        }
        assert_eq!(counts(&it), (0, kills));
    }
    claim(&it, NOW).await.expect("due");
    let it = it.reopen();
    it.state.reclaim_jobs(NOW).await.expect("reclaimed");
    assert_eq!(counts(&it), (1, KILLS_MAX));
    let epoch = claim(&it, NOW).await.expect("due").epoch;
    it.state.note_reached(job, epoch, 7).await.expect("held");
    assert_eq!(counts(&it), (1, 0));
}

/// A stopping server gives jobs back as if they hadn't begun; a killed one at its next start.
#[tokio::test]
async fn stopped_work_is_put_back_at_once() {
    let it = fixture();
    let (video, job) = it.queued(0, NOW).await;
    let epoch = claim(&it, NOW).await.expect("due").epoch;
    it.state.release_job(job, epoch).await.expect("released");
    assert_eq!((it.job_now(job).attempt, it.video_now(video).state), (0, VideoState::Queued));
    let epoch = claim(&it, NOW).await.expect("due").epoch;
    let it = it.reopen();
    assert_eq!(it.state.reclaim_jobs(NOW).await, Ok(1));
    assert_eq!(it.state.reclaim_jobs(NOW).await, Ok(0));
    assert_eq!(it.video_now(video).state, VideoState::Queued);
    let again = claim(&it, NOW).await.expect("due at once");
    assert_eq!((again.epoch, again.attempt), (epoch.next(), 2));
}

/// Cancelling ends an open job, and only such; afterwards it can be queued anew, once.
#[tokio::test]
async fn cancelled_work_can_be_queued_anew() {
    let it = fixture();
    let (video, job) = it.queued(0, NOW).await;
    let busy = it.state.requeue(video, job_record(video, 0, NOW)).await;
    assert_eq!(busy, Err(StateError::Conflict(Conflict::Job(JobState::Queued))));
    let epoch = claim(&it, NOW).await.expect("due").epoch;
    let cancelled = it.state.cancel_job(video, NOW).await.expect("cancelled");
    let code = cancelled.problem.map(|problem| problem.code);
    assert_eq!((cancelled.state, code), (VideoState::Failed, Some(ProblemCode::Cancelled)));
    let late = it.state.finish_job(job, epoch, NOW, 2.5, Vec::new()).await;
    assert_eq!(late, Err(StateError::Stale));
    let twice = it.state.cancel_job(video, NOW).await;
    assert_eq!(twice, Err(StateError::Conflict(Conflict::Video(VideoState::Failed))));
    let foreign = it.state.requeue(video, job_record(VideoId::fresh(NOW), 0, NOW)).await;
    assert_eq!(foreign, Err(StateError::Missing));
    let anew = job_record(video, 0, NOW);
    let queued = it.state.requeue(video, anew.clone()).await.expect("queued");
    assert_eq!((queued.state, queued.job), (VideoState::Queued, Some(anew.id)));
    assert_eq!(claim(&it, NOW).await.map(|job| job.id), Some(anew.id));
}

/// A video that only its files knew comes back once, with its work.
#[tokio::test]
async fn rebuilt_videos_are_adopted_once() {
    let it = fixture();
    let known = video_record(VideoId::fresh(NOW), UploadId::fresh(NOW));
    let video = VideoRecord::from_facts(known.to_facts());
    let job = job_record(video.id, 0, NOW);
    it.state.adopt_video(video.clone(), Some(job.clone())).await.expect("adopted");
    let twice = it.state.adopt_video(video.clone(), Some(job_record(video.id, 0, NOW))).await;
    assert_eq!(twice, Err(StateError::Conflict(Conflict::Exists)));
    assert_eq!(claim(&it, NOW).await.map(|claimed| claimed.id), Some(job.id));
    assert_eq!(claim(&it, NOW).await, None);
}

/// A small job that a dead worker has left is taken over, though a film's lease ran out before its
/// own; and the other way round.
#[tokio::test]
async fn abandoned_jobs_are_found_behind_the_other_line() {
    for small_first in [false, true] {
        let it = fixture();
        let (video, film) = it.queued(0, NOW).await;
        let task = Task::Poster { of: PosterSource::Image };
        let small = JobRecord::small(JobId::fresh(NOW), video, owner(), task, NOW);
        it.state.queue_small(small.clone(), NOW).await.expect("queued");
        let (film_ms, small_ms) = if small_first { (30, 20) } else { (20, 30) };
        it.state.claim_job(NOW, film_ms, None).await.expect("asked").expect("due");
        it.state.claim_small_job(NOW, small_ms).await.expect("asked").expect("due");
        let later = NOW.plus_ms(25);
        let (early, none) = if small_first {
            (it.state.claim_small_job(later, 1).await, it.state.claim_job(later, 1, None).await)
        } else {
            (it.state.claim_job(later, 1, None).await, it.state.claim_small_job(later, 1).await)
        };
        assert_eq!((early.expect("asked").is_some(), none), (true, Ok(None)));
        let later = NOW.plus_ms(30);
        let claimed = it.state.claim_small_job(later, 1).await.expect("asked");
        assert_eq!(claimed.map(|(job, _)| job.id), Some(small.id), "{small_first}");
        assert_eq!(claim(&it, later).await.map(|job| job.id), Some(film), "{small_first}");
    }
}

/// A job that broke down over a picture is due at once, and keeps what is to be left out over all
/// further attempts.
#[tokio::test]
async fn what_broke_is_left_out() {
    let it = fixture();
    let (video, id) = it.queued(0, NOW).await;
    let mut left_out = Vec::new();
    for extra in [ExtraKind::Poster, ExtraKind::Preview] {
        let job = claim(&it, NOW).await.expect("due");
        assert_eq!(job.left_out, left_out);
        let stale = job.epoch.next();
        let late = it.state.leave_out(id, stale, NOW, extra, problem()).await;
        assert_eq!(late, Err(StateError::Stale));
        let back =
            it.state.leave_out(id, job.epoch, NOW, extra, problem()).await.expect("put back");
        assert_eq!((back.id, back.state), (video, VideoState::Queued));
        left_out.push(extra);
    }
    let job = claim(&it, NOW).await.expect("due");
    it.state.retry_job(id, job.epoch, NOW, problem(), Toll::Failure).await.expect("put back");
    let job = claim(&it, NOW).await.expect("due");
    assert_eq!((job.left_out, job.attempt), (left_out, 4));
}

/// Small jobs have a line of their own: neither line sees the other's, the video stays as it is, a
/// newer one ends an older one, and deletion ends them.
#[tokio::test]
async fn small_jobs_have_their_own_line() {
    let it = fixture();
    let (video, film) = it.queued(0, NOW).await;
    let small = |at: i64| {
        let task = Task::Poster { of: PosterSource::Image };
        let id = JobId::fresh(NOW.plus_ms(at as u64));
        JobRecord::small(id, video, owner(), task, NOW)
    };
    let (first, second) = (small(1), small(2));
    it.state.queue_small(first.clone(), NOW).await.expect("queued");
    let record = it.state.queue_small(second.clone(), NOW).await.expect("queued");
    assert_eq!((record.small_jobs, record.state), (vec![second.id], VideoState::Queued));
    assert_eq!(it.job_now(first.id).state, JobState::Cancelled);
    let claimed = it.state.claim_small_job(NOW, 30).await.expect("asked").expect("due");
    assert_eq!((claimed.0.id, claimed.1.state), (second.id, VideoState::Queued));
    assert_eq!(it.state.claim_small_job(NOW, 30).await.expect("asked"), None);
    let film_now = claim(&it, NOW).await.expect("due");
    assert_eq!(
        (film_now.id, claim(&it, NOW.plus_ms(40)).await.map(|job| job.id)),
        (film, Some(film))
    );
    let epoch = claimed.0.epoch;
    it.state.retry_job(second.id, epoch, NOW, problem(), Toll::Failure).await.expect("given back");
    assert_eq!(it.video_now(video).state, VideoState::Processing);
    let (again, _) = it.state.claim_small_job(NOW, 30).await.expect("asked").expect("due");
    it.state.fail_job(second.id, again.epoch, NOW, problem()).await.expect("failed");
    assert_eq!(
        (it.video_now(video).state, it.video_now(video).problem),
        (VideoState::Processing, None)
    );
    let third = small(3);
    it.state.queue_small(third.clone(), NOW).await.expect("queued");
    let (claimed, _) = it.state.claim_small_job(NOW, 30).await.expect("asked").expect("due");
    let chosen = Chosen { picture: Picture { width: 2, height: 1 }, time: None, version: 1 };
    let done = it.state.finish_poster(third.id, claimed.epoch, NOW, chosen.clone()).await;
    assert_eq!(done.expect("done").chosen, Some(chosen));
    let last = small(4);
    it.state.queue_small(last.clone(), NOW).await.expect("queued");
    it.state.delete_video(video, NOW).await.expect("deleted");
    assert_eq!(it.job_now(last.id).state, JobState::Cancelled);
    assert_eq!(it.state.claim_small_job(NOW, 30).await.expect("asked"), None);
}
