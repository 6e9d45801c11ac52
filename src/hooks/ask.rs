//! Blocking hooks: somebody is asked, and what is asked about waits for the answer, as long as the
//! deadline at most.
//!
//! Each question has a thread of its own, so that no answer to anybody else waits for it, and there
//! are only so many at once. Who drops a question ends its program.

use super::program::{self, Run};
use super::{reply, send, sign};
use crate::clock::Clock;
use crate::config::{BlockingHook, HookSecret, HooksConfig};
use crate::model::consent::{Ask, Question, Verdict};
use crate::telemetry::measures::{self, HookOutcome};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;
use tracing::{info, warn};
use ureq::Agent;

/// Questions to one hook at the same moment; more wait, as long as they have time.
const AT_ONCE_MAX: usize = 32;

/// One hook.
struct Hook {
    way: Way,
    deadline: Duration,
    clock: Clock,
    slots: Arc<Semaphore>,
}

/// How it is asked.
enum Way {
    Url { url: String, secret: Option<HookSecret>, agent: Agent },
    Program(PathBuf),
}

/// Returns who asks before an upload begins and before it is finished, if somebody is to be asked.
pub fn blocking(config: &HooksConfig, clock: &Clock) -> [Option<Ask>; 2] {
    let deadline = Duration::from_millis(config.deadline_ms);
    let ask = |hook: &BlockingHook| -> Ask {
        let way = match hook.clone() {
            BlockingHook::Program(path) => Way::Program(path),
            BlockingHook::Url { url, secret } => {
                Way::Url { url, secret, agent: send::agent(config.allow_private, deadline) }
            }
        };
        let slots = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let hook = Arc::new(Hook { way, deadline, clock: clock.clone(), slots });
        Arc::new(move |question| Box::pin(hook.clone().ask(question)))
    };
    [config.pre_create.as_ref().map(ask), config.pre_finish.as_ref().map(ask)]
}

impl Hook {
    /// Asks, counts what came of it and tells the log of what didn't go well.
    async fn ask(self: Arc<Self>, question: Question) -> Option<Verdict> {
        let (moment, upload) = (question.moment, question.upload);
        let begun = Instant::now();
        let answer = self.answer(question, begun).await;
        let took = begun.elapsed();
        let name = moment.name();
        let outcome = match &answer {
            Ok(Verdict::Go(change)) if change.is_empty() => HookOutcome::Allowed,
            Ok(Verdict::Go(_)) => HookOutcome::Changed,
            Ok(Verdict::No(objection)) => {
                let (status, took_ms) = (objection.status, took.as_millis());
                info!(upload.id = %upload, hook = name, status, took_ms,
                    "hook {name} refuses upload {upload} with {status}");
                HookOutcome::Refused
            }
            Err(cause) => {
                warn!(upload.id = %upload, hook = name, took_ms = took.as_millis(),
                    "hook {name} can't be asked about upload {upload}: {cause}");
                HookOutcome::Failed
            }
        };
        measures::hook_asked(moment, outcome, took);
        answer.ok()
    }

    async fn answer(
        self: Arc<Self>,
        question: Question,
        begun: Instant,
    ) -> Result<Verdict, String> {
        let until = begun + self.deadline;
        let late = || format!("no answer within {} ms", self.deadline.as_millis());
        let slot = timeout_at(until.into(), self.slots.clone().acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(format!("{AT_ONCE_MAX} questions are under way already"));
        };
        let (told, answer) = oneshot::channel();
        let hook = self.clone();
        let asking = std::thread::Builder::new().name("hook".to_owned()).spawn(move || {
            let mut told = told;
            let said = hook.say(&question, until, &mut told);
            drop(told.send(said));
            // Counted for as long as the thread is there.
            drop(slot);
        });
        asking.map_err(|cause| format!("no thread for it: {cause}"))?;
        match timeout_at(until.into(), answer).await {
            Ok(Ok(said)) => reply::verdict(&said?),
            Ok(Err(_)) => Err("the thread of it ended".to_owned()),
            Err(_) => Err(late()),
        }
    }

    /// Sends the question and returns the answer; blocks.
    fn say(
        &self,
        question: &Question,
        until: Instant,
        told: &mut oneshot::Sender<Result<Vec<u8>, String>>,
    ) -> Result<Vec<u8>, String> {
        let now = self.clock.wall();
        let body = reply::question(question, now);
        match &self.way {
            Way::Url { url, secret, agent } => {
                let seconds = sign::seconds(now);
                let headers = sign::headers(secret.as_ref(), question.name(), seconds, &body);
                let answer = send::post(agent, url, &headers, &body, reply::BYTES_MAX)?;
                match (answer.status, answer.body.trim_ascii().is_empty()) {
                    // A page that is there by chance mustn't let everything in.
                    (204, _) | (200..=299, false) => Ok(answer.body),
                    (200..=299, true) => Err("its answer is empty, and no 204".to_owned()),
                    (status, _) => Err(format!("it answered {status}")),
                }
            }
            Way::Program(path) => {
                let is_wanted = || !told.is_closed();
                let run = Run { path, word: question.moment.name(), until, is_wanted: &is_wanted };
                program::run(&run, body.as_bytes())
            }
        }
    }
}
