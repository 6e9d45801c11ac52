//! Clients with a memory: each knows what it sent and what it was told, goes on from where the
//! server says, and finds out when the server has forgotten or made up something.
//!
//! One client for each way in. They know nothing of how the server ends; whoever ends it tells
//! them afterwards whether only the process died or the machine lost power.

use crate::harness::{Answer, PATIENCE, sha256};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OCTETS: (&str, &str) = ("Content-Type", "application/offset+octet-stream");
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// The smallest numbered part.
const PART: usize = 256 << 10;

/// Numbers that a seed fixes.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins a row of numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 16) % end.max(1) as u64) as usize
    }

    /// Returns true in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns bytes that no other row has.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// The request has no answer that counts: the connection broke, the answer came after the power
/// was cut, or, where faults are expected, it is a refusal of the server.
#[derive(Debug)]
pub struct Lost;

/// What was told in all.
#[derive(Debug, Default)]
pub struct Tally {
    /// Bytes that answers have acknowledged.
    pub acknowledged: AtomicU64,
    /// Files that were read back and compared.
    pub compared: AtomicU64,
    /// Refusals where faults were expected.
    pub refused: AtomicU64,
}

/// The way to the server for one client.
#[derive(Clone)]
pub struct Wire<'a> {
    /// Such as `http://127.0.0.1:40000`.
    pub address: String,
    /// The admin token.
    pub token: &'a str,
    /// Rung for every piece that is sent and every answer that is read.
    pub bell: Sender<()>,
    /// Set before the power goes: what is read afterwards was never heard.
    pub cut: &'a AtomicBool,
    /// Answers that tell of a fault of the server are expected.
    pub faults: bool,
    /// Whatever an answer tells survives a power cut (`upload.durability = "chunk"`).
    pub durable: bool,
    /// What all clients share.
    pub tally: &'a Tally,
}

impl Wire<'_> {
    /// Sends a request in pieces and returns the answer, if it counts.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Lost> {
        let mut stream = self.begin(method, path, headers, body.len())?;
        // An early answer closes the connection while the body is still on its way.
        let _ = self.pour(&mut stream, body);
        let answer = read_answer(&mut stream, method == "HEAD")?;
        let _ = self.bell.send(());
        if self.cut.load(Ordering::SeqCst) {
            return Err(Lost);
        }
        if self.faults && matches!(answer.status, 500..) {
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Lost);
        }
        Ok(answer)
    }

    /// Sends the first `count` bytes of a body and goes away.
    fn break_off(
        &self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
        count: usize,
    ) -> Result<(), Lost> {
        let mut stream = self.begin(method, path, headers, body.len())?;
        // A request that is refused early, or overtaken by one that was broken off before it, is
        // closed by the server.
        let _ = self.pour(&mut stream, &body[..count]);
        Ok(())
    }

    fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> Result<TcpStream, Lost> {
        let host = self.address.trim_start_matches("http://");
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\n",
            self.token
        );
        if !matches!(method, "GET" | "HEAD" | "DELETE") {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(host).map_err(|_| Lost)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|_| Lost)?;
        stream.write_all(head.as_bytes()).map_err(|_| Lost)?;
        Ok(stream)
    }

    fn pour(&self, stream: &mut TcpStream, body: &[u8]) -> Result<(), Lost> {
        for piece in body.chunks(24 << 10) {
            stream.write_all(piece).map_err(|_| Lost)?;
            let _ = self.bell.send(());
        }
        Ok(())
    }

    fn acknowledged(&self, bytes: usize) {
        self.tally.acknowledged.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Reads an answer whole; one that is cut was never given.
fn read_answer(stream: &mut TcpStream, is_head: bool) -> Result<Answer, Lost> {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        let hung = matches!(error.kind(), std::io::ErrorKind::WouldBlock);
        assert!(!hung, "the server doesn't answer");
        return Err(Lost);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or(Lost)?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let body = bytes.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or(Lost)?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let answer = Answer { status, headers, body };
    let length = answer.header("content-length").parse().unwrap_or(0);
    if !is_head && answer.body.len() != length {
        return Err(Lost);
    }
    Ok(answer)
}

/// One way in, used for ever.
pub trait Client: Send {
    /// Sends one request, or a few.
    fn step(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost>;

    /// After a restart: everything that was promised is there.
    fn check(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost>;

    /// The machine has lost power: what was promised for as long as it runs is void.
    fn power_lost(&mut self);

    /// Says whether nothing is under way.
    fn is_idle(&self) -> bool;
}

/// Files that are finished, until they have been compared and deleted.
#[derive(Debug, Default)]
struct Shelf {
    files: Vec<(String, usize, String)>,
    /// A deletion was asked for and not answered.
    going: Vec<String>,
    gone: Vec<String>,
}

/// Says whether a file is deleted past the trash, as most are: the disks of these tests are small.
fn is_for_good(video: &str) -> bool {
    !video.ends_with(['0', '4', '8', 'c'])
}

impl Shelf {
    fn add(&mut self, wire: &Wire, video: &str, bytes: &[u8]) {
        assert!(!video.is_empty(), "a finished upload has a video");
        wire.acknowledged(bytes.len());
        self.files.push((video.to_owned(), bytes.len(), sha256(bytes)));
    }

    /// Compares every file, and deletes most of them.
    fn check(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        for video in std::mem::take(&mut self.gone) {
            let answer = wire.send("GET", &format!("/api/videos/{video}"), &[], b"")?;
            match is_for_good(&video) {
                true => assert_eq!(answer.status, 404, "{video} was deleted: {}", answer.text()),
                false => assert!(answer.json()["trash"].is_object(), "{video}: {}", answer.text()),
            }
        }
        while let Some(video) = self.going.pop() {
            self.delete(wire, &video, &[204, 404, 410])?;
        }
        for at in (0..self.files.len()).rev() {
            let (video, size, sum) = self.files[at].clone();
            let answer = wire.send("GET", &format!("/api/videos/{video}/original"), &[], b"")?;
            assert_eq!(answer.status, 200, "{video} is lost: {}", answer.text());
            assert_eq!((answer.body.len(), sha256(&answer.body)), (size, sum), "{video} differs");
            wire.tally.compared.fetch_add(1, Ordering::Relaxed);
            if dice.chance(80) {
                self.files.remove(at);
                self.delete(wire, &video, &[204])?;
            }
        }
        Ok(())
    }

    fn delete(&mut self, wire: &Wire, video: &str, fine: &[u16]) -> Result<(), Lost> {
        let path = format!("/api/videos/{video}?permanent={}", is_for_good(video));
        let answer = wire.send("DELETE", &path, &[], b"");
        let answer = answer.inspect_err(|_| self.going.push(video.to_owned()))?;
        assert!(fine.contains(&answer.status), "{video}: {} {}", answer.status, answer.text());
        self.gone.push(video.to_owned());
        Ok(())
    }
}

/// One tus upload: of known or unknown length, a whole or a part, with checksums now and then.
#[derive(Debug, Default)]
struct File {
    content: Vec<u8>,
    path: String,
    video: String,
    is_part: bool,
    /// The length was told to the server.
    declared: bool,
    /// Up to where the server was heard to have it, and what of it survives a power cut.
    told: usize,
    durable: usize,
    /// Nothing behind was ever sent.
    sent: usize,
    /// A request whose bytes count all or not at all has no answer: where it began, and where
    /// it ended.
    atomic: Option<(usize, usize)>,
    /// The server has to be asked where to go on.
    unsure: bool,
    /// A request was broken off: the server may come to read it after newer ones, and takes it
    /// for the newest then.
    stray: bool,
}

impl File {
    fn new(dice: &mut Dice, is_part: bool) -> Self {
        let large = if dice.chance(6) { 20 << 20 } else { 0 };
        let count = large + 1 + dice.below(if is_part { 200_000 } else { 600_000 });
        Self { content: dice.bytes(count), is_part, ..Self::default() }
    }

    fn is_whole(&self) -> bool {
        !self.path.is_empty() && !self.unsure && self.told == self.content.len() && self.declared
    }

    fn create(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        let length = self.content.len().to_string();
        self.declared = dice.chance(70);
        let mut headers = vec![TUS, OCTETS];
        match self.declared {
            true => headers.push(("Upload-Length", length.as_str())),
            false => headers.push(("Upload-Defer-Length", "1")),
        }
        if self.is_part {
            headers.push(("Upload-Concat", "partial"));
        }
        let count = if dice.chance(40) { dice.below(self.content.len() + 1) } else { 0 };
        // Without an answer the upload has no name, and nobody asks for it again.
        let answer = wire.send("POST", "/files", &headers, &self.content[..count])?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.path = answer.header("location").to_owned();
        self.video = answer.header("slipway-video").to_owned();
        self.sent = count;
        assert_eq!(answer.header("upload-offset"), count.to_string());
        self.hear(wire, count);
        Ok(())
    }

    /// Takes in how far the server says that it is.
    fn hear(&mut self, wire: &Wire, offset: usize) {
        wire.acknowledged(offset.saturating_sub(self.told));
        self.told = offset;
        // The last byte of a whole upload, or of a part, is answered once the disk has it all.
        let finished = offset == self.content.len() && self.declared;
        if wire.durable || finished {
            self.durable = offset;
        }
        (self.unsure, self.atomic) = (false, None);
    }

    fn look(&mut self, wire: &Wire) -> Result<(), Lost> {
        let answer = wire.send("HEAD", &self.path, &[TUS], b"")?;
        if self.stray && answer.status == 409 {
            self.unsure = true;
            return Ok(());
        }
        assert_eq!(answer.status, 200, "{} of {} bytes is lost", self.path, self.told);
        let offset: usize = answer.header("upload-offset").parse().expect("an offset");
        let (told, sent) = (self.told, self.sent);
        assert!(offset >= told, "{}: {offset}, but {told} were acknowledged", self.path);
        assert!(offset <= sent, "{}: {offset}, but {sent} were sent", self.path);
        if let Some((start, end)) = self.atomic {
            let fine = offset == start || offset == end;
            assert!(fine, "{}: {offset} between {start} and {end}", self.path);
        }
        self.declared = answer.header("upload-length") == self.content.len().to_string();
        self.hear(wire, offset);
        Ok(())
    }

    fn step(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        if self.path.is_empty() {
            return self.create(wire, dice);
        }
        if self.unsure {
            return self.look(wire);
        }
        let (at, length) = (self.told, self.content.len());
        let count = match dice.chance(30) {
            true => length - at,
            false => dice.below(length - at + 1),
        };
        let body = &self.content[at..at + count];
        let (offset, total) = (at.to_string(), length.to_string());
        let mut headers = vec![TUS, OCTETS, ("Upload-Offset", offset.as_str())];
        let declares = !self.declared && (at + count == length || dice.chance(20));
        if declares {
            headers.push(("Upload-Length", total.as_str()));
        }
        let checked = dice.chance(30);
        let sum = format!("sha256 {}", base64_sum(body));
        if checked {
            headers.push(("Upload-Checksum", sum.as_str()));
            // An earlier request that the server comes to read only now may move the offset too.
            self.atomic = (!self.stray).then_some((at, at + count));
        }
        self.sent = self.sent.max(at + count);
        self.unsure = true;
        if count > 0 && dice.chance(15) {
            let some = dice.below(count);
            self.atomic = (checked && !self.stray).then_some((at, at));
            self.stray = true;
            return wire.break_off(("PATCH", &self.path), &headers, body, some);
        }
        let answer = wire.send("PATCH", &self.path, &headers, body)?;
        if self.stray && answer.status == 409 {
            return Ok(());
        }
        assert_eq!(answer.status, 204, "{} at {at}: {}", self.path, answer.text());
        assert_eq!(answer.header("upload-offset"), (at + count).to_string());
        self.declared |= declares;
        self.hear(wire, at + count);
        Ok(())
    }

    fn power_lost(&mut self) {
        self.told = self.durable;
        self.unsure = !self.path.is_empty();
        // Bytes of an earlier, whole request may be gone with those of the last one.
        self.atomic = None;
    }

    /// The server was started again.
    fn check(&mut self, wire: &Wire) -> Result<(), Lost> {
        self.stray = false;
        if self.path.is_empty() { Ok(()) } else { self.look(wire) }
    }
}

fn base64_sum(bytes: &[u8]) -> String {
    use base64::Engine;
    use sha2::Digest;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes))
}

/// Whole uploads over tus.
#[derive(Debug, Default)]
pub struct Tus {
    file: Option<File>,
    shelf: Shelf,
    ended: Vec<String>,
}

impl Client for Tus {
    fn step(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        let file = self.file.get_or_insert_with(|| File::new(dice, false));
        if !file.path.is_empty() && dice.chance(3) {
            // Without an answer nobody knows whether it has ended.
            let mut file = self.file.take().unwrap_or_default();
            let answer = wire.send("DELETE", &file.path, &[TUS], b"")?;
            if file.stray && answer.status == 409 {
                // A request that was broken off is read only now, and so counts as the newer one.
                file.unsure = true;
                self.file = Some(file);
                return Ok(());
            }
            assert_eq!(answer.status, 204, "{}: {}", file.path, answer.text());
            self.ended.push(file.path);
            return Ok(());
        }
        file.step(wire, dice)?;
        if file.is_whole() {
            self.shelf.add(wire, &file.video, &file.content);
            self.file = None;
        }
        Ok(())
    }

    fn check(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        for path in std::mem::take(&mut self.ended) {
            let answer = wire.send("HEAD", &path, &[TUS], b"")?;
            assert_eq!(answer.status, 410, "{path} was ended");
        }
        if let Some(file) = &mut self.file {
            file.check(wire)?;
            if file.is_whole() {
                self.shelf.add(wire, &file.video, &file.content);
                self.file = None;
            }
        }
        self.shelf.check(wire, dice)
    }

    fn power_lost(&mut self) {
        self.file.iter_mut().for_each(File::power_lost);
    }

    fn is_idle(&self) -> bool {
        self.file.is_none()
    }
}

/// Parts that are sent side by side and joined, perhaps before they are whole.
#[derive(Debug, Default)]
pub struct Concat {
    parts: Vec<File>,
    path: String,
    video: String,
    shelf: Shelf,
}

impl Concat {
    fn join(&mut self, wire: &Wire) -> Result<(), Lost> {
        let parts: Vec<&str> = self.parts.iter().map(|part| part.path.as_str()).collect();
        let concat = format!("final;{}", parts.join(" "));
        // Without an answer it is joined by nobody's name; then it is asked for again.
        let answer = wire.send("POST", "/files", &[TUS, ("Upload-Concat", &concat)], b"")?;
        assert_eq!(answer.status, 201, "{concat}: {}", answer.text());
        self.path = answer.header("location").to_owned();
        self.video = answer.header("slipway-video").to_owned();
        Ok(())
    }

    /// Says whether the parts are joined.
    fn look(&mut self, wire: &Wire) -> Result<bool, Lost> {
        let answer = wire.send("HEAD", &self.path, &[TUS], b"")?;
        assert_eq!(answer.status, 200, "the join {} is lost", self.path);
        let content: Vec<u8> = self.parts.iter().flat_map(|part| part.content.clone()).collect();
        let offset = answer.header("upload-offset");
        if offset.is_empty() {
            return Ok(false);
        }
        assert_eq!(offset, content.len().to_string());
        self.shelf.add(wire, &self.video, &content);
        let paths: Vec<String> = self.parts.drain(..).map(|part| part.path).collect();
        self.path.clear();
        for path in paths {
            let answer = wire.send("DELETE", &path, &[TUS], b"")?;
            // Another join whose name was never heard may need it.
            assert!(matches!(answer.status, 204 | 409), "{path}: {}", answer.text());
        }
        Ok(true)
    }
}

impl Client for Concat {
    fn step(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        if self.parts.is_empty() {
            self.parts = (0..2 + dice.below(3)).map(|_| File::new(dice, true)).collect();
        }
        let open: Vec<&mut File> = self.parts.iter_mut().filter(|part| !part.is_whole()).collect();
        let steps: Vec<Result<(), Lost>> = std::thread::scope(|scope| {
            let sending = open.into_iter().map(|part| {
                let (wire, mut dice) = (wire.clone(), Dice::new(dice.next()));
                scope.spawn(move || part.step(&wire, &mut dice))
            });
            let sending: Vec<_> = sending.collect();
            sending.into_iter().map(|it| it.join().expect("the part's client")).collect()
        });
        steps.into_iter().collect::<Result<(), Lost>>()?;
        let is_named = self.parts.iter().all(|part| !part.path.is_empty());
        let is_whole = self.parts.iter().all(File::is_whole);
        if self.path.is_empty() && is_named && (is_whole || dice.chance(30)) {
            self.join(wire)?;
        }
        for looks in 0.. {
            if self.path.is_empty() || !self.parts.iter().all(File::is_whole) || self.look(wire)? {
                break;
            }
            // A disk that refuses keeps the parts from being joined, perhaps for long.
            if wire.faults && looks == 20 {
                return Err(Lost);
            }
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        Ok(())
    }

    fn check(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        for part in &mut self.parts {
            part.check(wire)?;
        }
        if !self.path.is_empty() {
            self.look(wire)?;
        }
        self.shelf.check(wire, dice)
    }

    fn power_lost(&mut self) {
        self.parts.iter_mut().for_each(File::power_lost);
    }

    fn is_idle(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Numbered parts in any order, several at once.
#[derive(Debug, Default)]
pub struct Chunks {
    content: Vec<u8>,
    id: String,
    video: String,
    /// Parts that were acknowledged, and those that survive a power cut.
    told: BTreeSet<usize>,
    durable: BTreeSet<usize>,
    /// As with whole files.
    stray: AtomicBool,
    shelf: Shelf,
}

impl Chunks {
    fn part(&self, index: usize) -> &[u8] {
        self.content.chunks(PART).nth(index).unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.content.len().div_ceil(PART)
    }

    fn begin(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        let count = PART + dice.below(5 * PART);
        self.content = dice.bytes(count);
        (self.told, self.durable) = Default::default();
        let said = json!({"filename": "a.bin", "size": count, "chunkSize": PART}).to_string();
        let path = "/api/videos/upload/initiate";
        let answer = wire.send("POST", path, &[JSON], said.as_bytes())?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let plan = answer.json();
        let word = |name: &str| plan[name].as_str().expect("an id").to_owned();
        (self.id, self.video) = (word("uploadId"), word("videoId"));
        Ok(())
    }

    /// Sends one part; says whether it was acknowledged.
    fn put(&self, wire: &Wire, dice: &mut Dice, index: usize) -> Result<bool, Lost> {
        let path = format!("/api/videos/upload/{}/parts/{index}", self.id);
        let (body, sum) = (self.part(index), sha256(self.part(index)));
        let headers: &[_] = if dice.chance(50) { &[("x-chunk-sha256", sum.as_str())] } else { &[] };
        if dice.chance(12) {
            self.stray.store(true, Ordering::SeqCst);
            wire.break_off(("PUT", &path), headers, body, dice.below(body.len()))?;
            return Ok(false);
        }
        let answer = wire.send("PUT", &path, headers, body)?;
        if self.stray.load(Ordering::SeqCst) && answer.status == 409 {
            return Ok(false);
        }
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.json()["etag"], format!("\"{sum}\""));
        Ok(true)
    }

    fn send_some(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        let mut missing: Vec<usize> =
            (0..self.count()).filter(|i| !self.told.contains(i)).collect();
        // Now and then one that is there is sent again.
        missing.extend(self.told.iter().copied().filter(|_| dice.chance(8)));
        let mut indexes = BTreeSet::new();
        while indexes.len() < 3.min(missing.len()) {
            indexes.insert(missing[dice.below(missing.len())]);
        }
        let this = &*self;
        let sent: BTreeMap<usize, Result<bool, Lost>> = std::thread::scope(|scope| {
            let sending = indexes.into_iter().map(|index| {
                let (wire, mut dice) = (wire.clone(), Dice::new(dice.next()));
                (index, scope.spawn(move || this.put(&wire, &mut dice, index)))
            });
            let sending: Vec<_> = sending.collect();
            sending.into_iter().map(|(i, it)| (i, it.join().expect("the part's client"))).collect()
        });
        let mut lost = Ok(());
        for (index, sent) in sent {
            match sent {
                Ok(true) => self.hear(wire, index),
                Ok(false) => {}
                Err(Lost) => lost = Err(Lost),
            }
        }
        lost
    }

    fn hear(&mut self, wire: &Wire, index: usize) {
        if self.told.insert(index) {
            wire.acknowledged(self.part(index).len());
        }
        if wire.durable {
            self.durable.insert(index);
        }
    }

    fn complete(&mut self, wire: &Wire) -> Result<(), Lost> {
        let said = json!({"uploadId": self.id}).to_string();
        let path = "/api/videos/upload/complete";
        let answer = wire.send("POST", path, &[JSON], said.as_bytes())?;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.shelf.add(wire, &self.video, &self.content);
        self.id.clear();
        Ok(())
    }

    /// Asks what is there, and goes on from that.
    fn look(&mut self, wire: &Wire) -> Result<(), Lost> {
        let answer = wire.send("GET", &format!("/api/videos/upload/{}", self.id), &[], b"")?;
        assert_eq!(answer.status, 200, "{} is lost: {}", self.id, answer.text());
        let status = answer.json();
        if status["state"] != "partial" {
            // It was asked to be completed, which goes on by itself or when it is asked again.
            return self.complete(wire);
        }
        let missing: BTreeSet<usize> = status["missingChunks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_u64)
            .map(|index| index as usize)
            .collect();
        let forgotten: Vec<_> = self.told.intersection(&missing).collect();
        assert!(forgotten.is_empty(), "{}: parts {forgotten:?} were acknowledged", self.id);
        for index in (0..self.count()).filter(|index| !missing.contains(index)) {
            self.hear(wire, index);
        }
        Ok(())
    }
}

impl Client for Chunks {
    fn step(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        if self.id.is_empty() {
            return self.begin(wire, dice);
        }
        if dice.chance(10) {
            return self.look(wire);
        }
        match self.told.len() == self.count() {
            true => self.complete(wire),
            false => self.send_some(wire, dice),
        }
    }

    fn check(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        self.stray = AtomicBool::new(false);
        if !self.id.is_empty() {
            self.look(wire)?;
        }
        self.shelf.check(wire, dice)
    }

    fn power_lost(&mut self) {
        self.told.clone_from(&self.durable);
    }

    fn is_idle(&self) -> bool {
        self.id.is_empty()
    }
}

/// One request with everything in it, and creations in great number: those that bring their
/// bytes, and those that bring none yet.
#[derive(Debug, Default)]
pub struct Flood {
    shelf: Shelf,
    empty: Vec<String>,
}

impl Flood {
    fn form(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        let count = 1 + dice.below(300_000);
        let content = dice.bytes(count);
        let part =
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\n";
        let body = [part.as_bytes(), &content, b"\r\n--b--\r\n"].concat();
        let headers = [("Content-Type", "multipart/form-data; boundary=b")];
        if dice.chance(15) {
            let some = dice.below(body.len());
            return wire.break_off(("POST", "/api/videos"), &headers, &body, some);
        }
        let answer = wire.send("POST", "/api/videos", &headers, &body)?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let video = answer.json()["videoId"].as_str().unwrap_or_default().to_owned();
        self.shelf.add(wire, &video, &content);
        Ok(())
    }

    fn small(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        let content = dice.bytes(4096);
        let headers = [TUS, OCTETS, ("Upload-Length", "4096")];
        let answer = wire.send("POST", "/files", &headers, &content)?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.header("upload-offset"), "4096");
        let video = answer.header("slipway-video").to_owned();
        self.shelf.add(wire, &video, &content);
        Ok(())
    }

    fn empty(&mut self, wire: &Wire) -> Result<(), Lost> {
        let answer = wire.send("POST", "/files", &[TUS, ("Upload-Length", "77")], b"")?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.empty.push(answer.header("location").to_owned());
        Ok(())
    }
}

impl Client for Flood {
    fn step(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        match dice.below(5) {
            0 => self.form(wire, dice),
            1 | 2 => self.small(wire, dice),
            _ => self.empty(wire),
        }
    }

    fn check(&mut self, wire: &Wire, dice: &mut Dice) -> Result<(), Lost> {
        for path in std::mem::take(&mut self.empty) {
            let answer = wire.send("HEAD", &path, &[TUS], b"")?;
            let offset = answer.header("upload-offset");
            assert_eq!((answer.status, offset), (200, "0"), "the creation of {path} is lost");
            let answer = wire.send("DELETE", &path, &[TUS], b"")?;
            assert_eq!(answer.status, 204, "{path}: {}", answer.text());
        }
        self.shelf.check(wire, dice)
    }

    fn power_lost(&mut self) {}

    fn is_idle(&self) -> bool {
        true
    }
}

/// One client of each kind, and a second one with whole files.
pub fn all() -> Vec<Box<dyn Client>> {
    vec![
        Box::<Tus>::default(),
        Box::<Tus>::default(),
        Box::<Concat>::default(),
        Box::<Chunks>::default(),
        Box::<Flood>::default(),
        Box::<Flood>::default(),
    ]
}
