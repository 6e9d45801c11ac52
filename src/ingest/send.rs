//! One file on its way: its missing parts over several connections, then its end.

use super::Run;
use super::client::{CallError, Problem, Trial};
use super::plan;
use super::report::{FileError, Reported, State};
use super::resume::{self, Begun, Start, numbers};
use super::retry::Stop;
use super::screen::{FileBar, shown};
use super::source::{Source, Sum, hex};
use crate::units::ByteCount;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// As often the end is tried when parts turn out to be missing.
const ROUNDS_MAX: usize = 10;
/// As often the server is asked what it wants first: where an index is, and then all of it.
const WISHES_MAX: usize = 4;
/// As often a part is sent that arrives with other bytes.
const DAMAGED_MAX: usize = 3;
/// A server that reads a file to its end does so at least at this speed.
const SUM_BYTES_EACH_SECOND: u64 = 16 << 20;
/// An answer that takes longer than this may have been cut off by a proxy.
const PROXY_PATIENCE: Duration = Duration::from_secs(20);
/// The code of a request that isn't sent because the file isn't the same any more.
const CHANGED: &str = "changed";

/// As many chunks as are on their way at once, whichever files they belong to.
#[derive(Debug)]
pub(super) struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Permits {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    fn with<T>(&self, work: impl FnOnce() -> T) -> T {
        let held = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.freed.wait_while(held, |free| *free == 0);
        *held.unwrap_or_else(PoisonError::into_inner) -= 1;
        let done = work();
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
        done
    }
}

/// The sums of the parts that have been read to be sent, for who sums up the whole behind them.
struct Sums {
    known: Mutex<(Vec<Option<Sum>>, bool)>,
    rung: Condvar,
}

impl Sums {
    fn lock(&self) -> MutexGuard<'_, (Vec<Option<Sum>>, bool)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, index: u32, sum: Sum) {
        if let Some(place) = self.lock().0.get_mut(index as usize) {
            *place = Some(sum);
        }
        self.rung.notify_all();
    }

    fn end(&self) {
        self.lock().1 = true;
        self.rung.notify_all();
    }

    /// Waits until a part has been read; says whether it was.
    fn wait(&self, index: usize) -> bool {
        let is_open = |known: &mut (Vec<Option<Sum>>, bool)| {
            known.0.get(index).is_some_and(Option::is_none) && !known.1
        };
        let known = self.rung.wait_while(self.lock(), is_open);
        let known = known.unwrap_or_else(PoisonError::into_inner);
        known.0.get(index).is_some_and(Option::is_some)
    }
}

/// Sends a file, or what is missing of it.
pub(super) fn send(run: &Run, path: &Path) -> Result<Reported, FileError> {
    let source = Source::open(path).map_err(FileError::Read)?;
    if source.size() == 0 {
        return Err(FileError::Empty);
    }
    let bar = run.screen.file(path, source.size());
    match send_once(run, &source, &bar, false) {
        Err(cause @ (FileError::Lost | FileError::Conflict)) => {
            run.screen.note(&format!("{}: {cause}; it begins again", shown(path)));
            bar.restart();
            send_once(run, &source, &bar, true)
        }
        done => done,
    }
}

fn send_once(
    run: &Run,
    source: &Source,
    bar: &FileBar<'_>,
    afresh: bool,
) -> Result<Reported, FileError> {
    let begun = match resume::begin(run, source, bar, afresh)? {
        Start::There(there) => return Ok(there),
        Start::At(begun) => begun,
    };
    let sums = Sums { known: Mutex::new((begun.there.clone(), false)), rung: Condvar::new() };
    let (stop, sent) = (Stop::default(), AtomicU64::new(0));
    let sending = Sending { run, source, bar, begun, sums, stop, sent };
    let done = sending.all();
    if matches!(done, Err(FileError::Changed | FileError::Damaged)) {
        // Nobody can go on with it. If it stays, it expires.
        let path = sending.begun.path();
        let _ = run.client.once("DELETE", &path, None, PROXY_PATIENCE);
    }
    done
}

struct Sending<'a> {
    run: &'a Run,
    source: &'a Source,
    bar: &'a FileBar<'a>,
    begun: Begun,
    sums: Sums,
    stop: Stop,
    sent: AtomicU64,
}

impl Sending<'_> {
    fn all(&self) -> Result<Reported, FileError> {
        let there = (0u32..).zip(&self.begun.there);
        let missing: Vec<u32> = there.filter(|(_, sum)| sum.is_none()).map(|(at, _)| at).collect();
        let whole = std::thread::scope(|scope| {
            let whole = scope.spawn(|| self.whole());
            let sent = self.send_in_order(missing);
            if sent.is_err() {
                self.sums.end();
            }
            let whole = whole.join().unwrap_or(Ok(None));
            sent.and(whole)
        });
        let whole = whole?.ok_or(FileError::Call(CallError::Stopped))?;
        for _ in 0..ROUNDS_MAX {
            if self.source.is_changed() {
                return Err(FileError::Changed);
            }
            self.bar.phase("the server checks it");
            match self.complete(&whole) {
                Ok(()) => return Ok(self.reported(&whole)),
                Err(cause) => self.after_refusal(cause)?,
            }
        }
        Err(FileError::Lost)
    }

    fn reported(&self, whole: &Sum) -> Reported {
        Reported {
            video: self.begun.video.clone(),
            size: self.source.size(),
            sent: self.sent.load(Ordering::Relaxed),
            sha256: hex(whole),
            state: State::Sent,
        }
    }

    /// Sums up the whole file, close behind the parts: what was just read is still in memory.
    fn whole(&self) -> Result<Option<Sum>, FileError> {
        let mut hasher = Sha256::new();
        for index in 0..self.begun.there.len() {
            if !self.sums.wait(index) {
                return Ok(None);
            }
            let read = self.source.read(self.range(index as u32), |bytes| hasher.update(bytes));
            read.map_err(|cause| self.unread(cause))?;
        }
        Ok(Some(hasher.finalize().into()))
    }

    fn range(&self, index: u32) -> (u64, u64) {
        let bounds = self.begun.chunks.bounds(index, ByteCount(self.source.size()));
        bounds.map_or((0, 0), |(start, end)| (start.0, end.0))
    }

    fn unread(&self, cause: std::io::Error) -> FileError {
        if self.source.is_changed() { FileError::Changed } else { FileError::Read(cause) }
    }

    /// Sends the missing parts: the head, then what the server wants, then the rest.
    fn send_in_order(&self, mut missing: Vec<u32>) -> Result<(), FileError> {
        let size = self.begun.chunks.size.0;
        let mut wanted = vec![(0, 1)];
        for _ in 0..WISHES_MAX {
            let first = plan::first(&missing, &wanted, size);
            self.send_parts(&first)?;
            missing.retain(|index| !first.contains(index));
            if missing.is_empty() {
                return Ok(());
            }
            let status = self.run.client.ask(&self.stop, "GET", &self.begun.path(), None)?;
            wanted = serde_json::from_value(status["wanted"].clone()).unwrap_or_default();
            if wanted.is_empty() {
                break;
            }
        }
        self.send_parts(&plan::rest(&missing))
    }

    /// Sends parts side by side, begun in this order; ends with the first error.
    fn send_parts(&self, order: &[u32]) -> Result<(), FileError> {
        let lanes = self.run.order.parallel.min(order.len());
        let (order, failed) = (Mutex::new(order.iter().copied()), Mutex::new(None));
        let lane = || {
            let next = || order.lock().unwrap_or_else(PoisonError::into_inner).next();
            while let Some(index) = next().filter(|_| !self.stop.is_set()) {
                if let Err(cause) = self.send_part(index) {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.get_or_insert(cause);
                    self.stop.set();
                }
            }
        };
        std::thread::scope(|scope| (0..lanes).for_each(|_| drop(scope.spawn(lane))));
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn send_part(&self, index: u32) -> Result<(), FileError> {
        for _ in 0..DAMAGED_MAX {
            let sum = self.source.sum(self.range(index)).map_err(|cause| self.unread(cause))?;
            let Err(cause) = self.put(index, &sum) else {
                self.sums.set(index, sum);
                return Ok(());
            };
            match cause.code() {
                // Another run brings the same part; what it brought shows at the end.
                "upload-taken-over" => {
                    self.sums.set(index, sum);
                    return Ok(());
                }
                "part-conflict" => return Err(FileError::Conflict),
                "not-found" | "gone" => return Err(FileError::Lost),
                _ if self.source.is_changed() => return Err(FileError::Changed),
                "checksum-mismatch" => (),
                _ => return Err(cause.into()),
            }
        }
        Err(FileError::Damaged)
    }

    /// Sends one part until it is acknowledged.
    fn put(&self, index: u32, sum: &Sum) -> Result<(), CallError> {
        let range = self.range(index);
        let (client, status) = (&self.run.client, self.begun.path());
        let path = format!("{status}/parts/{index}");
        let headers = [
            ("content-length", (range.1 - range.0).to_string()),
            ("content-type", "application/octet-stream".to_owned()),
            ("content-digest", format!("sha-256=:{}:", STANDARD.encode(sum))),
        ];
        let mut in_doubt = false;
        client.persist(&self.stop, self.run.order.retry_for, || {
            if in_doubt {
                // The answer may have been lost, or be a refusal that a broken connection hid.
                let status = client.once("GET", &status, None, PROXY_PATIENCE)?;
                if numbers(&status["missingChunks"]).all(|at| at != u64::from(index)) {
                    self.bar.sent(range.1 - range.0);
                    return Ok(());
                }
            }
            in_doubt = true;
            if self.source.is_changed() {
                return Err(Trial::Never(Problem { code: CHANGED.into(), ..Problem::default() }));
            }
            self.run.permits.with(|| {
                let counted = Cell::new(0);
                let count = |bytes| {
                    counted.set(counted.get() + bytes);
                    self.sent.fetch_add(bytes, Ordering::Relaxed);
                    self.bar.sent(bytes);
                };
                let mut body = self.source.body(range, &self.stop, count);
                let put = client.put(&path, &headers, &mut body);
                put.map(drop).inspect_err(|_| self.bar.lost(counted.get()))
            })
        })
    }

    fn complete(&self, whole: &Sum) -> Result<(), CallError> {
        let sums = self.sums.lock().0.clone();
        let named = (0u32..)
            .zip(&sums)
            .filter_map(|(index, sum)| Some(json!({"index": index, "etag": hex(sum.as_ref()?)})));
        let mut said = json!({
            "uploadId": self.begun.upload, "sha256": hex(whole), "parts": named.collect::<Value>(),
        });
        let reading = Duration::from_secs(60 + self.source.size() / SUM_BYTES_EACH_SECOND);
        let client = &self.run.client;
        client.persist(&self.stop, self.run.order.retry_for, || {
            let begin = Instant::now();
            let done = client.once("POST", "/api/videos/upload/complete", Some(&said), reading);
            if done.is_err() && begin.elapsed() > PROXY_PATIENCE {
                // Reading all of it again takes as long again; the parts' sums prove as much.
                said["sha256"] = Value::Null;
            }
            done.map(drop)
        })
    }

    /// Does what can be done after the end was refused.
    fn after_refusal(&self, cause: CallError) -> Result<(), FileError> {
        match cause.code() {
            "upload-taken-over" => Ok(()),
            "parts-missing" => {
                let status = self.run.client.ask(&self.stop, "GET", &self.begun.path(), None)?;
                let missing: Vec<u32> = numbers(&status["missingChunks"])
                    .filter_map(|index| u32::try_from(index).ok())
                    .collect();
                self.bar.phase("");
                self.bar
                    .lost(missing.iter().map(|&index| self.range(index)).map(|r| r.1 - r.0).sum());
                self.send_parts(&plan::rest(&missing))
            }
            "part-conflict" => Err(FileError::Conflict),
            "not-found" | "gone" => Err(FileError::Lost),
            "checksum-mismatch" if self.source.is_changed() => Err(FileError::Changed),
            "checksum-mismatch" => Err(FileError::Damaged),
            _ => Err(cause.into()),
        }
    }
}
