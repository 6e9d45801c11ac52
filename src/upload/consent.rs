//! Asking the operator's hooks: before anything of an upload is made, and when all of its bytes are
//! here and right, before anybody is told so.
//!
//! Both questions are asked in one place each, whatever the door. A hook that can't be asked keeps
//! an upload from beginning, or from being finished: its bytes stay, and the next request on it,
//! the next start and each minute ask again. So a hook hears of an upload at least once, always by
//! the same name. What it says against one is recorded before the bytes go.

use super::turn::Turn;
use super::{Engine, Metadata, Refusal, UploadError};
use crate::disk::DiskError;
use crate::ids::UploadId;
use crate::model::consent::{Ask, Moment, Question, Verdict};
use crate::model::upload::{Concat, UploadState};
use crate::model::video::VideoState;
use crate::state::{Grounds, UploadRecord, VideoRecord};
use crate::units::{ByteCount, ByteOffset, Ranges};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::warn;

/// Who is asked about uploads; nobody, unless the operator wants it.
#[derive(Clone, Default)]
pub struct BlockingHooks {
    /// Before anything is made.
    pub pre_create: Option<Ask>,
    /// Before the finish.
    pub pre_finish: Option<Ask>,
}

/// The questions that wait for their answer. A request that takes an upload over waits for the
/// answer to what the older one has asked.
#[derive(Default)]
pub(super) struct Consents {
    hooks: BlockingHooks,
    open: Mutex<HashMap<UploadId, Shared<BoxFuture<'static, Option<Verdict>>>>>,
    /// Held by the one task that asks again about what nobody goes on with.
    again: Arc<tokio::sync::Mutex<()>>,
}

impl Consents {
    pub(super) fn of(hooks: BlockingHooks) -> Self {
        Self { hooks, ..Self::default() }
    }

    /// Says whether somebody is asked before an upload is finished.
    pub(super) fn before_finish(&self) -> bool {
        self.hooks.pre_finish.is_some()
    }

    fn open(
        &self,
    ) -> MutexGuard<'_, HashMap<UploadId, Shared<BoxFuture<'static, Option<Verdict>>>>> {
        // Every change is a single step, so a poisoned lock is still sound.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Asks whether an upload that its owner may have may be begun, and has it go by the words
    /// that the hook gives it. Says whether there are such.
    ///
    /// # Errors
    /// `Refused` with `Hook`, `HookUnavailable`, `Stopping`.
    pub(super) async fn consent_to_begin(
        &self,
        upload: &mut UploadRecord,
        video: &mut VideoRecord,
        said: &Metadata,
    ) -> Result<bool, UploadError> {
        let Some(ask) = &self.consents.hooks.pre_create else { return Ok(false) };
        let question = question(Moment::Create, upload, video, said);
        let stopping = UploadError::Stopping { offset: ByteOffset(0) };
        let verdict = tokio::select! {
            () = self.turns.stopped() => return Err(stopping),
            verdict = ask(question) => verdict,
        };
        match verdict {
            None => Err(UploadError::HookUnavailable),
            Some(Verdict::No(objection)) => Err(Refusal::Hook(objection).into()),
            Some(Verdict::Go(change)) if change.is_empty() => Ok(false),
            Some(Verdict::Go(change)) => {
                video.apply(change);
                upload.filename.clone_from(&video.filename);
                Ok(true)
            }
        }
    }

    /// Asks whether an upload whose bytes are all here, and right, may be finished, and has its
    /// video go by the words that the hook gives it. One whose video goes on already was asked
    /// about before its parts were joined.
    ///
    /// # Errors
    /// `Refused` with `Hook`: the upload is over then. `HookUnavailable`, `Taken`, `Stopping`.
    pub(super) async fn consent_to_finish(
        self: &Arc<Self>,
        turn: &Turn,
        record: &UploadRecord,
        size: ByteCount,
    ) -> Result<(), UploadError> {
        let (Some(ask), Some(video)) = (&self.consents.hooks.pre_finish, record.video) else {
            return Ok(());
        };
        let video = self.state.video(video)?.ok_or(UploadError::Missing)?;
        if video.state != VideoState::Uploading {
            return Ok(());
        }
        let said = record.metadata.as_deref().map(Metadata::parse_header);
        let said = said.and_then(Result::ok).unwrap_or_default();
        let mut question = question(Moment::Finish, record, &video, &said);
        question.size = Some(size);
        let verdict = tokio::select! {
            biased;
            () = turn.token().cancelled() => return Err(self.let_go(ByteOffset(size.0))),
            verdict = self.answer(ask, question) => verdict,
        };
        match verdict {
            None => Err(UploadError::HookUnavailable),
            Some(Verdict::No(objection)) => {
                Err(self.refuse(turn, record, Grounds::Hook(objection)).await)
            }
            Some(Verdict::Go(change)) if change.is_empty() => Ok(()),
            Some(Verdict::Go(change)) => {
                self.state.change_video(video.id, change).await?;
                Ok(())
            }
        }
    }

    /// Makes certain that all bytes of an upload which is about to be finished are there after a
    /// power cut, if somebody has to be asked first: that may take long.
    pub(super) async fn certain_before_asking(
        self: &Arc<Self>,
        record: &UploadRecord,
        size: ByteCount,
        is_confirmed: bool,
    ) -> Result<(), UploadError> {
        let (id, end) = (record.id, ByteOffset(size.0));
        if !self.consents.before_finish() || record.received.durable.contiguous_end() == end {
            return Ok(());
        }
        if !is_confirmed {
            let synced = self.clone().blocking(move |engine| match engine.disk.open_blob(id) {
                Ok(blob) => blob.sync_data(),
                // It is in its final place, and certain there.
                Err(DiskError::Missing) => Ok(()),
                Err(failed) => Err(failed),
            });
            synced.await?;
        }
        Ok(self.state.note_durable(id, record.epoch, Ranges::up_to(end)).await?)
    }

    /// Returns the answer to a question about a finish. It is asked by a task of its own, so that
    /// whoever takes the upload over finds it on its way.
    fn answer(
        self: &Arc<Self>,
        ask: &Ask,
        question: Question,
    ) -> Shared<BoxFuture<'static, Option<Verdict>>> {
        let id = question.upload;
        let mut open = self.consents.open();
        if let Some(known) = open.get(&id) {
            return known.clone();
        }
        let (asked, engine) = (ask(question), self.clone());
        let task = self.tasks.spawn(async move {
            let verdict = tokio::select! {
                () = engine.turns.stopped() => None,
                verdict = asked => verdict,
            };
            engine.consents.open().remove(&id);
            verdict
        });
        let answer = async move { task.await.ok().flatten() }.boxed().shared();
        open.insert(id, answer.clone());
        answer
    }

    /// Finishes an upload at the start; one that a hook has to be asked about later, as the hook
    /// may be a part of what waits for this server.
    pub(super) async fn finish_at_start(
        self: &Arc<Self>,
        turn: &Turn,
        record: UploadRecord,
    ) -> Result<(), UploadError> {
        if !self.consents.before_finish() {
            return self.finish(turn, record, None).await.map(drop);
        }
        match (record.state, record.length) {
            (UploadState::Partial, Some(size)) => {
                Ok(self.state.begin_finish(record.id, record.epoch, size).await?)
            }
            _ => Ok(()),
        }
    }

    /// Asks again about the uploads among these that only a hook's word is missing for, one after
    /// the other. What is made of parts is asked about where they are joined.
    pub(super) fn ask_again(self: &Arc<Self>, records: &[UploadRecord]) {
        let waits =
            |record: &&UploadRecord| record.state == UploadState::Finishing && !record.is_final();
        let ids: Vec<UploadId> = records.iter().filter(waits).map(|record| record.id).collect();
        let only_one = self.consents.again.clone().try_lock_owned();
        let (Ok(only_one), false, true) = (only_one, ids.is_empty(), self.consents.before_finish())
        else {
            return;
        };
        let engine = self.clone();
        self.tasks.spawn(async move {
            let _only_one = only_one;
            for id in ids {
                if engine.turns.is_stopping() {
                    return;
                }
                match engine.finish_again(id).await {
                    // The hooks tell of it themselves; who took over goes on.
                    Ok(()) | Err(UploadError::HookUnavailable | UploadError::Taken { .. }) => (),
                    Err(error) if error.is_over() => (),
                    Err(failed) => warn!(upload.id = %id, "upload {id} isn't finished: {failed}"),
                }
            }
        });
    }

    async fn finish_again(self: &Arc<Self>, id: UploadId) -> Result<(), UploadError> {
        if self.turns.is_taken(id) {
            return Ok(());
        }
        let turn = self.turn(id).await?;
        match self.known(id)? {
            record if record.state == UploadState::Finishing => {
                self.finish(&turn, record, None).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}

fn question(
    moment: Moment,
    upload: &UploadRecord,
    video: &VideoRecord,
    said: &Metadata,
) -> Question {
    Question {
        moment,
        upload: upload.id,
        video: upload.video,
        owner: upload.owner.clone(),
        door: upload.protocol,
        concat: upload.concat.as_ref().map(|concat| match concat {
            Concat::Partial => "partial",
            Concat::Final { .. } => "final",
        }),
        size: upload.length,
        sha256: upload.whole_sha256().map(str::to_owned),
        created_at: upload.created_at,
        title: video.title.clone(),
        description: video.description.clone(),
        tags: video.tags.clone(),
        visibility: video.visibility,
        filename: video.filename.clone(),
        session: video.session.clone(),
        metadata: said.texts(),
    }
}
