//! Random histories of many uploads of every kind at once, against a model in memory: what was
//! told, what of it survives a power cut, and the bytes that each is made of.
//!
//! A power cut here takes more than a real one does: every byte that no record calls confirmed is
//! overwritten, or cut off, before the next start.

mod steps;

use super::life::*;
use crate::config::Durability;
use crate::ids::UploadId;
use crate::model::upload::{Chunks, Protocol, UploadState};
use crate::state::{State, UploadRecord};
use crate::units::{ByteCount, ByteOffset, Ranges};
use crate::upload::{
    Append, Checksum, Completion, EXPIRE_EMPTY_MS, NewUpload, PartError, PutPart, UploadError,
};
use bytes::Bytes;
use proptest::prelude::*;
use sha2::Digest;
use std::sync::{Arc, OnceLock};
use steps::{Ending, How, Kind, Step, Sum, UPLOADS_MAX, steps};
use tokio::sync::oneshot;

/// The size of numbered parts.
const PART: usize = 60_000;

/// What is known of one upload.
struct Model {
    id: UploadId,
    kind: Kind,
    content: Vec<u8>,
    /// Bytes that were told, or sent at most; for numbered parts whether each was told.
    told: usize,
    sent: usize,
    parts: Vec<bool>,
    /// The same of what survives a power cut.
    durable: usize,
    durable_parts: Vec<bool>,
    finished: bool,
    /// It was given up, or perhaps has expired.
    ended: bool,
    /// For a final upload.
    made_of: Vec<usize>,
    /// When a request last reached it, and when one last surely brought something.
    touched_ms: i64,
    grown_ms: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, kind, told, sent, durable, parts, .. } = self;
        let bytes = self.content.len();
        write!(f, "{kind:?} {id} of {bytes}: {told} told, {sent} sent, {durable} durable {parts:?}")
    }
}

/// The uploads of one history.
struct World {
    uploads: Vec<Model>,
    promises_all: bool,
}

fn sum_of(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

impl World {
    /// Returns an open upload of one of these kinds.
    fn pick(&self, which: usize, kinds: &[Kind]) -> Option<usize> {
        let fits = |at: &usize| {
            let it = &self.uploads[*at];
            kinds.contains(&it.kind) && !it.ended && !it.finished
        };
        let open: Vec<usize> = (0..self.uploads.len()).filter(fits).collect();
        open.get(which % open.len().max(1)).copied()
    }

    async fn create(&mut self, life: &Life, kind: Kind, length: usize) {
        if self.uploads.len() >= UPLOADS_MAX {
            return;
        }
        let told = (kind != Kind::Deferred).then_some(length as u64);
        let new = NewUpload {
            protocol: if kind == Kind::Numbered { Protocol::Chunks } else { Protocol::Tus },
            ..new_upload(told)
        };
        let chunks = Chunks { size: ByteCount(PART as u64), sha256: None };
        let made = match kind {
            Kind::Part => life.uploads.create_part(new).await,
            Kind::Numbered => life.uploads.create_in_parts(new, chunks).await,
            _ => life.uploads.create(new).await,
        };
        let count = if kind == Kind::Numbered { length.div_ceil(PART) } else { 0 };
        // No two uploads have the same bytes.
        let shift = self.uploads.len() * 1000;
        let content = content((length + shift) as u64).split_off(shift);
        self.add(life, made.expect("there is room").id, kind, content, count);
    }

    fn add(&mut self, life: &Life, id: UploadId, kind: Kind, content: Vec<u8>, count: usize) {
        self.uploads.push(Model {
            id,
            kind,
            content,
            told: 0,
            sent: 0,
            parts: vec![false; count],
            durable: 0,
            durable_parts: vec![false; count],
            finished: false,
            ended: false,
            made_of: Vec::new(),
            touched_ms: life.clock.now().0,
            grown_ms: life.clock.now().0,
        });
    }

    /// Checks everything that is promised about an upload as it stands, and takes it in.
    async fn look(&mut self, life: &Life, at: usize) {
        let is_joined = self.is_joined(at);
        let it = &mut self.uploads[at];
        if it.ended {
            let gone = life.uploads.look(it.id).await;
            assert!(matches!(gone, Err(UploadError::Gone(_))), "{it:?} came back: {gone:?}");
            return;
        }
        let mut record = life.uploads.look(it.id).await.expect("it is there");
        while is_joined && record.state != UploadState::Finished {
            tokio::task::yield_now().await;
            record = life.uploads.look(it.id).await.expect("it is there");
        }
        assert!(!it.finished || record.state == UploadState::Finished);
        it.finished = record.state == UploadState::Finished;
        if it.finished {
            assert!(life.original(&record) == it.content, "the original differs");
            it.told = it.content.len();
            it.durable = it.told;
        } else if it.kind == Kind::Numbered {
            self.look_at_parts(life, at, &record);
        } else if it.kind != Kind::Final {
            let offset = record.received.end().0 as usize;
            assert!((it.told..=it.sent).contains(&offset), "{offset} of {it:?}");
            it.told = offset;
            let bytes = life.blob(it.id, offset as u64);
            assert!(bytes == it.content[..offset], "a byte before {offset} is wrong");
            // A part that is complete is certain.
            if self.promises_all || (it.kind == Kind::Part && offset == it.content.len()) {
                it.durable = offset;
            }
        }
    }

    fn look_at_parts(&mut self, life: &Life, at: usize, record: &UploadRecord) {
        let it = &mut self.uploads[at];
        let (chunks, length) = record.chunks.clone().zip(record.length).expect("it has a plan");
        let missing = chunks.missing(length, &record.received.written);
        for index in 0..it.parts.len() {
            let there = !missing.contains(&(index as u32));
            assert!(there || !it.parts[index], "part {index} of {it:?} was acknowledged");
            it.parts[index] = there;
            if there {
                let from = index * PART;
                let to = it.content.len().min(from + PART);
                let blob = life.disk.open_blob(it.id).expect("it is there");
                let mut bytes = vec![0; to - from];
                blob.read_at(ByteOffset(from as u64), &mut bytes).expect("it holds the part");
                assert!(bytes == it.content[from..to], "part {index} is wrong");
            }
            if self.promises_all {
                it.durable_parts[index] = there;
            }
        }
    }

    /// Looks at everything: a request that vanished may still be writing, which keeps its upload,
    /// or have completed a part that somebody joins.
    async fn settle(&mut self, life: &Life) {
        for at in 0..self.uploads.len() {
            self.look(life, at).await;
        }
    }

    /// Says whether a final upload's parts are all complete.
    fn is_joined(&self, at: usize) -> bool {
        let it = &self.uploads[at];
        let is_whole = |&part: &usize| self.uploads[part].told == self.uploads[part].content.len();
        it.kind == Kind::Final && it.made_of.iter().all(is_whole)
    }

    /// Says whether an unjoined final upload needs a part.
    fn is_needed(&self, part: usize) -> bool {
        let needs = |it: &Model| !it.ended && !it.finished && it.made_of.contains(&part);
        self.uploads.iter().any(needs)
    }

    /// Sends one body; says whether the server is to be killed.
    async fn append(&mut self, life: &Life, at: usize, (count, sum, end): Sent) -> bool {
        self.look(life, at).await;
        let it = &mut self.uploads[at];
        let (from, length) = (it.told, it.content.len());
        let until = length.min(from + count);
        if from == until {
            return false;
        }
        it.touched_ms = life.clock.now().0;
        // A body with a checksum that doesn't come whole may not even begin to count.
        let counts = sum == Sum::None || (sum == Sum::Right && end == Ending::Well);
        it.sent = if counts { it.sent.max(until) } else { it.sent };
        let known = life.uploads.peek(it.id).expect("it is there").length.is_some();
        let declared = (!known).then_some(ByteCount(length as u64));
        let append = Append { declared, ..to(it.id, from as u64) };
        let bytes = &it.content[from..until];
        let mut meant = sum_of(bytes);
        meant[0] ^= u8::from(sum == Sum::Wrong);
        let checksum = Checksum::new("sha256", &meant).filter(|_| sum != Sum::None);
        let (told, all_read) = oneshot::channel();
        let then = match end {
            Ending::Well => Then::End,
            Ending::Broken => Then::Break,
            _ => Then::Hang(told),
        };
        let body = body(pieces(bytes, 20_000), then);
        let appending = life.uploads.append_checked(append, checksum, body);
        let heard = tokio::select! {
            ended = appending => Some(ended),
            _ = all_read, if matches!(end, Ending::Vanishing | Ending::Killed) => None,
        };
        let expected = if counts { until } else { from };
        match heard {
            Some(Ok(done)) => {
                assert!(counts && done.offset.0 == until as u64, "{done:?}");
                assert_eq!(done.finished, until == length && it.kind != Kind::Part);
            }
            Some(Err(UploadError::BodyBroken { offset })) if end == Ending::Broken => {
                assert_eq!(offset.0, expected as u64);
            }
            Some(Err(UploadError::ChecksumMismatch { offset })) if sum == Sum::Wrong => {
                assert_eq!(offset.0, from as u64);
            }
            None => return end == Ending::Killed,
            Some(other) => panic!("{other:?} to {sum:?} {end:?}"),
        }
        if expected > from {
            it.grown_ms = life.clock.now().0;
        }
        it.told = expected;
        let is_certain = it.told == length || self.promises_all;
        it.durable = if is_certain { it.told } else { it.durable };
        self.look(life, at).await;
        false
    }

    async fn put(&mut self, life: &Life, at: usize, index: u32, how: How) {
        let it = &mut self.uploads[at];
        let index = index as usize % it.parts.len();
        let (known, part) = (it.parts[index], it.content.chunks(PART).nth(index).expect("a part"));
        let sha256 = Arc::new(OnceLock::new());
        if how == How::WrongSum {
            let _ = sha256.set([7; 32]);
        }
        let put = PutPart { id: it.id, index: index as u32, content_length: None, sha256 };
        let other = vec![!part[0]; part.len()];
        let bytes = if how == How::Other { &other } else { part };
        let then = if how == How::Broken { Then::Break } else { Then::End };
        if how == How::Other && !known {
            // It would be taken as the part.
            return;
        }
        it.touched_ms = life.clock.now().0;
        let sent = life.uploads.put_part(put, body(pieces(bytes, 9_000), then)).await;
        match (sent, how) {
            (Ok(_), How::Well) => {
                if !known {
                    it.grown_ms = life.clock.now().0;
                }
                it.parts[index] = true;
                it.durable_parts[index] |= self.promises_all;
            }
            (Err(UploadError::Part(PartError::Broken)), How::Broken)
            | (Err(UploadError::Part(PartError::Differs)), How::Other)
            | (Err(UploadError::Part(PartError::Checksum)), How::WrongSum) => {}
            (other, _) => panic!("{other:?} to {how:?}"),
        }
        self.look(life, at).await;
    }

    async fn complete(&mut self, life: &Life, at: usize, sum: Sum) {
        let it = &mut self.uploads[at];
        it.touched_ms = life.clock.now().0;
        let mut meant = sum_of(&it.content);
        meant[0] ^= u8::from(sum == Sum::Wrong);
        let sha256 = (sum != Sum::None).then_some(meant);
        let done = life.uploads.complete(it.id, Completion { sha256, ..Default::default() }).await;
        let is_whole = it.parts.iter().all(|there| *there);
        match done {
            Ok(_) => assert!(is_whole && sum != Sum::Wrong),
            Err(UploadError::Part(PartError::Missing { missing })) => {
                let known = |index: &u32| it.parts[*index as usize];
                assert!(!is_whole && !missing.iter().any(known), "{missing:?}");
            }
            Err(UploadError::Part(PartError::WholeChecksum)) => {
                assert!(is_whole && sum == Sum::Wrong);
            }
            other => panic!("{other:?}"),
        }
        self.look(life, at).await;
    }

    async fn join(&mut self, life: &Life, parts: [usize; 2]) {
        if self.uploads.len() >= UPLOADS_MAX {
            return;
        }
        let ids = parts.map(|part| self.uploads[part].id);
        let made = life.uploads.create_final(new_upload(None), "final;x".into(), ids.to_vec());
        let made = made.await.expect("its parts are there");
        let content = parts.map(|part| self.uploads[part].content.clone()).concat();
        self.add(life, made.id, Kind::Final, content, 0);
        let at = self.uploads.len() - 1;
        self.uploads[at].made_of = parts.to_vec();
        self.look(life, at).await;
    }

    async fn terminate(&mut self, life: &Life, at: usize) {
        self.settle(life).await;
        let needed = self.is_needed(at);
        let it = &mut self.uploads[at];
        let ended = life.uploads.terminate(it.id).await;
        match ended {
            Ok(_) => assert!(!needed, "{it:?} is needed"),
            Err(UploadError::PartNeeded) => assert!(needed, "{it:?} isn't needed"),
            other => panic!("{other:?}"),
        }
        it.ended = ended.is_ok();
    }

    /// Lets time pass; nothing goes early, and nothing stays for ever.
    async fn wait(&mut self, life: &Life, ms: i64) {
        self.settle(life).await;
        life.clock.advance_ms(ms);
        life.uploads.expire_due().await.expect("looked");
        let now = life.clock.now().0;
        let needed: Vec<bool> = (0..self.uploads.len()).map(|at| self.is_needed(at)).collect();
        // A final upload that is given up sets its parts free, perhaps in the same round.
        let is_final = |at: &usize| self.uploads[*at].kind == Kind::Final;
        let (finals, others): (Vec<_>, Vec<_>) = (0..self.uploads.len()).partition(is_final);
        for at in finals.into_iter().chain(others) {
            let (still_needed, joined) = (self.is_needed(at), self.is_joined(at));
            let it = &mut self.uploads[at];
            if it.ended || it.finished {
                continue;
            }
            let is_there = life.uploads.peek(it.id).is_ok();
            let idle_ms = now - it.touched_ms;
            // A request that brings nothing isn't going on with an upload.
            let is_new = now - it.grown_ms < EXPIRE_EMPTY_MS as i64;
            let stays = still_needed || joined || is_new;
            assert!(is_there || !stays, "{it:?} expired too early");
            let goes = !needed[at] && it.kind != Kind::Final && idle_ms >= DAY_MS;
            assert!(!is_there || !goes, "{it:?} never expires");
            it.ended = !is_there;
        }
    }

    fn power_lost(&mut self) {
        for it in &mut self.uploads {
            it.told = it.durable;
            it.parts.clone_from(&it.durable_parts);
        }
    }

    /// Goes one step; says whether the server ends.
    async fn step(&mut self, life: &Life, step: Step) -> bool {
        let bodies = [Kind::Whole, Kind::Deferred, Kind::Part];
        let all = [bodies.as_slice(), &[Kind::Numbered, Kind::Final]].concat();
        match step {
            Step::Create { kind, length } => self.create(life, kind, length).await,
            Step::Append { which, count, sum, end } => {
                if let Some(at) = self.pick(which, &bodies) {
                    return self.append(life, at, (count, sum, end)).await;
                }
            }
            Step::Put { which, index, how } => {
                if let Some(at) = self.pick(which, &[Kind::Numbered]) {
                    self.put(life, at, index, how).await;
                }
            }
            Step::Complete { which, sum } => {
                if let Some(at) = self.pick(which, &[Kind::Numbered]) {
                    self.complete(life, at, sum).await;
                }
            }
            Step::Join { first, second } => {
                let parts = [first, second].map(|which| self.pick(which, &[Kind::Part]));
                if let [Some(first), Some(second)] = parts {
                    self.join(life, [first, second]).await;
                }
            }
            Step::Look { which } if !self.uploads.is_empty() => {
                self.look(life, which % self.uploads.len()).await;
            }
            Step::Terminate { which } => {
                if let Some(at) = self.pick(which, &all) {
                    self.terminate(life, at).await;
                }
            }
            Step::Wait { ms } => self.wait(life, ms).await,
            Step::Look { .. } => {}
            Step::Kill | Step::PowerCut { .. } => return true,
        }
        false
    }

    /// Brings every upload to its end.
    async fn conclude(&mut self, life: &Life) {
        for at in 0..self.uploads.len() {
            let (kind, length) = (self.uploads[at].kind, self.uploads[at].content.len());
            if self.uploads[at].ended || kind == Kind::Final {
                continue;
            }
            self.look(life, at).await;
            if self.uploads[at].finished {
                continue;
            }
            if kind == Kind::Numbered {
                for index in 0..self.uploads[at].parts.len() {
                    self.put(life, at, index as u32, How::Well).await;
                }
                self.complete(life, at, Sum::Right).await;
            } else {
                self.append(life, at, (length, Sum::Right, Ending::Well)).await;
            }
            let it = &self.uploads[at];
            assert!(it.finished || (it.kind == Kind::Part && it.told == length), "{it:?}");
        }
        for at in 0..self.uploads.len() {
            self.look(life, at).await;
            let it = &self.uploads[at];
            assert!(it.kind != Kind::Final || it.ended || it.finished, "{it:?} isn't joined");
        }
    }
}

/// Bytes that are sent, their checksum, and how the body ends.
type Sent = (usize, Sum, Ending);

/// Takes every byte away that no record calls confirmed.
fn lose_power(house: &House, cuts_files: bool) {
    let disk = house.disk();
    let state = State::open(&disk.state_dir()).expect("the database opens");
    for record in state.unfinished_uploads().expect("they read") {
        let Ok(blob) = disk.open_blob(record.id) else { continue };
        let durable = &record.received.durable;
        if cuts_files {
            let end = durable.as_slice().last().map_or(0, |&(_, end)| end);
            rustix::fs::ftruncate(&blob, end.min(blob.len().expect("it has one").0)).expect("cut");
        }
        let size = blob.len().expect("it has one").0;
        let mut lost = vec![(0, size)];
        for &(start, end) in durable.as_slice() {
            let (from, to) = lost.pop().unwrap_or((0, 0));
            lost.extend([(from, start.min(to)), (end.min(to), to)]);
        }
        for (from, to) in lost.into_iter().filter(|(from, to)| from < to) {
            let noise = Bytes::from(vec![0xEE; (to - from) as usize]);
            blob.write_at(ByteOffset(from), &[noise]).expect("written");
        }
    }
}

fn run(promises_all: bool, encrypts: bool, steps: Vec<Step>) {
    let mut house = House::new();
    if encrypts {
        house.encrypts();
    }
    if promises_all {
        house.limits.durability = Durability::Chunk;
    }
    let mut world = World { uploads: Vec::new(), promises_all };
    let mut steps = steps.into_iter().peekable();
    while steps.peek().is_some() {
        let last = house.live(async |life: &Life| {
            world.settle(life).await;
            for step in steps.by_ref() {
                if world.step(life, step).await {
                    return Some(step);
                }
            }
            None
        });
        if let Some(Step::PowerCut { cuts_files }) = last {
            lose_power(&house, cuts_files);
            house.boot.push('+');
            world.power_lost();
        }
    }
    house.live(async |life: &Life| world.conclude(life).await);
}

proptest! {
    #![proptest_config(cases(24))]

    /// Whatever happens to whichever uploads: nothing that was told is lost to a kill, nothing
    /// that was promised to a power cut, nothing expires early or never, and every file is right,
    /// encrypted on the disk or not.
    #[test]
    fn every_history_keeps_its_promises(
        promises_all: bool,
        encrypts: bool,
        steps in steps(),
    ) {
        run(promises_all, encrypts, steps);
    }
}

/// Ranges that are confirmed have to be kept apart from those that aren't.
#[test]
fn a_power_cut_takes_what_is_not_confirmed() {
    let house = House::new();
    let id = house.live(async |life: &Life| {
        let id = life.create(Some(100)).await.id;
        life.append(id, 0, &content(50)).await.expect("stored");
        let epoch = life.state.lease_upload(id).await.expect("leased").epoch;
        let confirmed = Ranges::up_to(ByteOffset(20));
        life.state.note_durable(id, epoch, confirmed).await.expect("noted");
        id
    });
    let before = house.live(async |life: &Life| life.state.upload(id).expect("it reads"));
    let durable = before.expect("there").received.durable.contiguous_end().0;
    lose_power(&house, false);
    house.live(async |life: &Life| {
        let bytes = life.blob(id, 50);
        assert!(bytes[..durable as usize] == content(durable)[..]);
        assert!(bytes[durable as usize..].iter().all(|byte| *byte == 0xEE));
    });
}
