//! One erasure, from the note that it is under way to the end of that.
//!
//! Whoever looks at something of theirs finds it gone first; then it goes. Each round takes what a
//! request that was let in before has left behind the one before, until there is nothing.

use super::{Erasure, RightsError, Step};
use crate::backup;
use crate::disk::{ERASURE_NOTE_VERSION, ErasureNote, FailAt, fail_at};
use crate::ids::{JobId, TokenId};
use crate::model::upload::Concat;
use crate::model::whose::{Traces, Whose};
use crate::rooms::Rooms;
use crate::state::{Found, RecordCount};
use crate::trail::Forgotten;
use crate::upload::UploadError;
use std::time::Duration;
use tokio::sync::watch;

/// Rounds after which somebody has to look why there is still more.
const ROUNDS_MAX: usize = 20;
/// How long a job that has ended may take to be put down, and how often that is looked at.
const PUT_DOWN_TRIES: u32 = 600;
const PUT_DOWN_PAUSE: Duration = Duration::from_millis(50);

/// Counts what there is.
pub(super) async fn look(rooms: &Rooms, whose: Whose) -> Result<Erasure, RightsError> {
    let (disk, known) = (rooms.disk.clone(), known_of(rooms, &whose)?);
    let found = search(rooms, &whose, known).await?;
    blocking(move || {
        let (traces, records) = (&found.traces, found.count());
        let mut found = Erasure { dry_run: true, is_over: true, records, ..Erasure::default() };
        for &id in &traces.videos {
            for weight in
                [disk.weigh_original(id)?, disk.weigh_media(id)?.all(), disk.weigh_trash(id)?]
            {
                found.files += weight.files;
                found.bytes += weight.bytes;
            }
        }
        for &id in &traces.uploads {
            let weight = disk.weigh_upload(id)?;
            (found.files, found.bytes) = (found.files + weight.files, found.bytes + weight.bytes);
        }
        for &id in &traces.jobs {
            let weight = disk.weigh_work(id)?;
            (found.files, found.bytes) = (found.files + weight.files, found.bytes + weight.bytes);
        }
        found.databases_aside = disk.states_aside()?.len() as u64;
        Ok(found)
    })
    .await
}

/// Erases somebody, and tells how far it is.
pub(super) async fn run(
    rooms: &Rooms,
    whose: Whose,
    tell: &watch::Sender<Erasure>,
) -> Result<(), RightsError> {
    let pending = rooms.disk.erasure()?;
    if pending.as_ref().is_some_and(|note| note.whose != whose) {
        return Err(RightsError::Busy);
    }
    let mut note = pending.unwrap_or_else(|| ErasureNote {
        version: ERASURE_NOTE_VERSION,
        pseudonym: pseudonym(rooms),
        whose: whose.clone(),
        traces: Traces::default(),
    });
    tell.send_modify(|erasure| erasure.pseudonym.clone_from(&note.pseudonym));
    rooms.state.close_to(whose.clone());
    for round in 0.. {
        if round == ROUNDS_MAX {
            return Err(RightsError::Held("more of theirs comes again and again"));
        }
        step(tell, Step::Searching);
        let found = search(rooms, &whose, note.traces.clone()).await?;
        let (records, traces) = (found.count(), found.traces);
        let is_known = traces == note.traces && records == RecordCount::default();
        if is_known && round > 0 {
            break;
        }
        // Counted here: an upload that is ended takes its video along.
        tell.send_modify(|erasure| erasure.records += records);
        note.traces.merge(traces);
        let (disk, written) = (rooms.disk.clone(), note.clone());
        blocking(move || Ok(disk.note_erasure(&written)?)).await?;
        fail_at(FailAt::AfterErasureNote);
        take(rooms, &note, tell).await?;
    }
    fail_at(FailAt::AfterErasedFiles);
    clear_copies(rooms, note, tell).await
}

/// Takes everything that is known by now: records, then files.
async fn take(
    rooms: &Rooms,
    note: &ErasureNote,
    tell: &watch::Sender<Erasure>,
) -> Result<(), RightsError> {
    step(tell, Step::Uploads);
    end_uploads(rooms, &note.traces).await?;
    step(tell, Step::Records);
    rooms.state.erase(note.whose.clone(), note.traces.clone()).await?;
    fail_at(FailAt::AfterErasedRecords);
    for &job in &note.traces.jobs {
        rooms.queue.stop_child(Some(job));
    }
    for &job in &note.traces.jobs {
        wait_until_put_down(rooms, job).await?;
    }
    step(tell, Step::Files);
    let added = |weight: crate::disk::Weight| {
        tell.send_modify(|erasure| {
            erasure.files += weight.files;
            erasure.bytes += weight.bytes;
        });
    };
    for &id in &note.traces.videos {
        let _nobody_else = rooms.library.hold().await;
        let disk = rooms.disk.clone();
        added(blocking(move || Ok(disk.erase_video(id)?)).await?);
        fail_at(FailAt::InMidErasure);
    }
    for &id in &note.traces.uploads {
        let disk = rooms.disk.clone();
        added(blocking(move || Ok(disk.erase_upload(id)?)).await?);
    }
    for &id in &note.traces.jobs {
        let disk = rooms.disk.clone();
        added(blocking(move || Ok(disk.erase_work(id)?)).await?);
    }
    Ok(())
}

/// Takes the names out of the audit log, and has what lies beside the database made anew.
async fn clear_copies(
    rooms: &Rooms,
    note: ErasureNote,
    tell: &watch::Sender<Erasure>,
) -> Result<(), RightsError> {
    step(tell, Step::AuditLog);
    let (whose, pseudonym) = (note.whose, note.pseudonym);
    let who = Forgotten { whose, names: note.traces.names(), pseudonym };
    let trail = rooms.trail.clone();
    let forgotten = blocking(move || trail.forget(who).map_err(RightsError::Trail)).await?;
    tell.send_modify(|erasure| erasure.audit_entries += forgotten);
    step(tell, Step::Copies);
    backup::export(&rooms.state, &rooms.disk).await?;
    let disk = rooms.disk.clone();
    let aside = blocking(move || {
        let aside = disk.states_aside()?;
        aside.iter().try_for_each(|path| disk.remove_state_aside(path))?;
        disk.end_erasure()?;
        Ok(aside.len() as u64)
    });
    let aside = aside.await?;
    tell.send_modify(|erasure| {
        erasure.databases_aside += aside;
        erasure.step = Step::Done;
    });
    Ok(())
}

/// Has everybody let go of uploads that are under way; what is made of parts goes before them.
async fn end_uploads(rooms: &Rooms, traces: &Traces) -> Result<(), RightsError> {
    let mut open = Vec::new();
    for &id in &traces.uploads {
        open.extend(rooms.state.upload(id)?.filter(|upload| upload.state.is_under_way()));
    }
    open.sort_by_key(|upload| upload.concat == Some(Concat::Partial));
    for upload in open {
        let mut tries = 0;
        loop {
            tries += 1;
            match rooms.uploads.terminate(upload.id).await {
                Ok(job) => rooms.queue.stop_child(job),
                Err(UploadError::Missing | UploadError::Gone(_)) => {}
                // Somebody came after us, and is let go in turn.
                Err(UploadError::Taken { .. }) if tries < PUT_DOWN_TRIES => continue,
                Err(failed) => return Err(failed.into()),
            }
            break;
        }
    }
    Ok(())
}

/// Waits until nobody in this process works on a job any more.
async fn wait_until_put_down(rooms: &Rooms, job: JobId) -> Result<(), RightsError> {
    for _ in 0..PUT_DOWN_TRIES {
        if !rooms.queue.is_held(job) {
            return Ok(());
        }
        tokio::time::sleep(PUT_DOWN_PAUSE).await;
    }
    Err(RightsError::Held("work on a video of theirs doesn't end"))
}

/// Finds what the records hold of somebody, and what lies on the disk of theirs without a record.
async fn search(rooms: &Rooms, whose: &Whose, known: Traces) -> Result<Found, RightsError> {
    let (state, disk, whose) = (rooms.state.clone(), rooms.disk.clone(), whose.clone());
    blocking(move || super::search(&state, &disk, &whose, known)).await
}

/// Returns what is known from an erasure that was cut off.
fn known_of(rooms: &Rooms, whose: &Whose) -> Result<Traces, RightsError> {
    let pending = rooms.disk.erasure()?.filter(|note| note.whose == *whose);
    Ok(pending.map(|note| note.traces).unwrap_or_default())
}

/// Draws what stands for somebody in the audit log.
fn pseudonym(rooms: &Rooms) -> String {
    let drawn = TokenId::fresh(rooms.clock.now()).to_string();
    format!("erased-{}", drawn.rsplit('-').next().unwrap_or_default())
}

fn step(tell: &watch::Sender<Erasure>, step: Step) {
    tell.send_modify(|erasure| erasure.step = step);
}

/// Runs `work` where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RightsError> + Send + 'static,
) -> Result<T, RightsError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(RightsError::Task))
}
