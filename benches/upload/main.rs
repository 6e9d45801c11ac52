//! How much of the machine an upload costs, beside other servers and beside a sink that only reads
//! and writes.
//!
//! Run by `scripts/bench-upload`, which brings the other servers. Every measurement has a fresh
//! server on an empty directory; servers take turns within a round, so that what else the machine
//! does hits all of them. What counts is CPU time as a multiple of the sink's in the same round:
//! the client shares the cores with the server, so times alone say little. The sink is this very
//! program, started again with `--sink`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

mod ways_in;

use ways_in::WayIn;

type Res<T> = Result<T, Box<dyn Error + Send + Sync>>;

const MIB: u64 = 1 << 20;
/// What the sink reads and writes at once, and the client sends at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Uploads at once in `many`, and the size of their requests.
const MANY: u64 = 64;
const MANY_PIECE_BYTES: u64 = 512 << 10;
/// Connections and bytes of the small creations.
const SMALL_CONNECTIONS: usize = 32;
const SMALL_BYTES: u64 = 4 << 10;
/// Looks in `looks` for each upload of `creations`: they cost little.
const LOOKS: usize = 8;
/// Uploads that hardly move in `slow`.
const SLOW: usize = 1000;
/// Parts of `chunks` and `concat`.
const PARTS: u64 = 8;
/// Size of the requests in `durable`: what a client is told to send.
const DURABLE_PIECE_BYTES: u64 = 8 << 20;
/// A server that isn't ready by then never will be.
const START_MAX: Duration = Duration::from_secs(20);
/// A server that doesn't answer for so long is broken.
const ANSWER_MAX: Duration = Duration::from_secs(120);

const CASES: [(&str, &str); 9] = [
    ("one", "all bytes in one request"),
    ("pieces", "requests of 1 MiB, one after another"),
    ("many", "64 uploads at once, requests of 512 KiB"),
    ("creations", "uploads of 4 KiB, created with their bytes, 32 connections"),
    ("looks", "how far an upload is, asked 8 times for each of `creations`, 32 connections"),
    ("chunks", "8 numbered parts at once, last first; then complete"),
    ("concat", "8 partial uploads one after another; then the final one"),
    ("slow", "one request beside 1,000 uploads that hardly move"),
    ("durable", "requests of 8 MiB on the disk, each confirmed by it"),
];

fn main() -> Res<()> {
    let mut arguments = std::env::args().skip(1).filter(|it| it != "--bench").peekable();
    if arguments.next_if(|it| it == "--sink").is_some() {
        let [port, dir, sync]: [String; 3] =
            arguments.collect::<Vec<_>>().try_into().map_err(|_| "--sink PORT DIR SYNC")?;
        return sink(port.parse()?, Path::new(&dir), sync == "sync");
    }
    let options = Options::read(arguments)?;
    raise_file_limit();
    fs::create_dir_all(&options.data)?;
    // Memory that a virtual machine has never touched costs seconds at its first use, and would
    // cost them the server that comes first.
    measure(&options, Peer::Sink, "one")?;
    let mut table = Table::default();
    for round in 1..=options.rounds {
        for &(case, _) in CASES.iter().filter(|(case, _)| options.cases.iter().any(|it| it == case))
        {
            for &peer in options.peers.iter().filter(|peer| peer.can(case)) {
                eprintln!("round {round} of {}: {case}, {}", options.rounds, peer.name());
                match measure(&options, peer, case) {
                    Ok(sample) => table.add(case, peer, round, sample),
                    // One server that breaks mustn't cost the figures of the others.
                    Err(failed) => eprintln!("  {case}, {}: {failed}", peer.name()),
                }
            }
        }
    }
    print!("{}", table.render(&options)?);
    Ok(())
}

/// What the command line says.
struct Options {
    rounds: usize,
    mib: u64,
    cases: Vec<String>,
    peers: Vec<Peer>,
    /// Where the servers keep their data: in memory, so that only CPU counts.
    data: PathBuf,
    /// The same on a disk, for `durable`.
    disk: PathBuf,
    /// Where `scripts/bench-upload` put the other servers.
    installed: PathBuf,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Res<Self> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        let name = format!("slipway-bench-{}", std::process::id());
        let mut options = Self {
            rounds: 5,
            mib: 1024,
            cases: CASES.iter().map(|(case, _)| (*case).to_owned()).collect(),
            peers: Peer::ALL.to_vec(),
            data: Path::new("/dev/shm").join(&name),
            disk: target.join(name),
            installed: target.join("bench-peers"),
        };
        while let Some(flag) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
            match flag.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--mib" => options.mib = value.parse::<u64>()?.next_multiple_of(MANY),
                "--cases" => options.cases = list(),
                "--peers" => {
                    let peers = list();
                    options.peers =
                        peers.iter().map(|name| Peer::named(name)).collect::<Result<_, _>>()?;
                }
                "--installed" => options.installed = value.into(),
                "--data" => options.data = Path::new(&value).join("slipway-bench"),
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        let known = |case: &String| CASES.iter().any(|(known, _)| known == case);
        match options.cases.iter().find(|case| !known(case)) {
            Some(case) => Err(format!("there is no case {case}").into()),
            None => Ok(options),
        }
    }

    /// The server to which the others are compared: the limit, or else the first one.
    fn base(&self) -> Peer {
        let is_limit = self.peers.contains(&Peer::Sink);
        self.peers.first().copied().filter(|_| !is_limit).unwrap_or(Peer::Sink)
    }

    fn bytes(&self) -> u64 {
        self.mib * MIB
    }

    fn creations(&self) -> usize {
        usize::try_from(self.mib * 5000 / 1024).unwrap_or(usize::MAX)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        for dir in [&self.data, &self.disk] {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Sink,
    Slipway(WayIn),
    Rustus,
    TusNode,
    Nginx,
}

impl Peer {
    /// Those that are measured unless others are named.
    const ALL: [Self; 5] =
        [Self::Sink, Self::Slipway(WayIn::Token), Self::Rustus, Self::TusNode, Self::Nginx];

    fn named(name: &str) -> Res<Self> {
        let mut known = Self::ALL.into_iter().chain(WayIn::ALL.map(Self::Slipway));
        let found = known.find(|peer| peer.name() == name);
        found.ok_or_else(|| format!("there is no peer {name}").into())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Slipway(way) => way.name(),
            Self::Rustus => "rustus",
            Self::TusNode => "tus-node",
            Self::Nginx => "nginx",
        }
    }

    fn can(self, case: &str) -> bool {
        match case {
            // The sink and nginx know nothing of uploads.
            "looks" => !matches!(self, Self::Sink | Self::Nginx),
            "chunks" => matches!(self, Self::Slipway(_)),
            // Only these two confirm bytes at all.
            "durable" => matches!(self, Self::Sink | Self::Slipway(_)),
            "concat" => matches!(self, Self::Slipway(_) | Self::Rustus),
            "slow" => self != Self::Nginx,
            _ => true,
        }
    }
}

/// A started server; killed when dropped.
struct Server {
    peer: Peer,
    child: Child,
    port: u16,
    dir: PathBuf,
    /// By which it lets a request in.
    credential: String,
}

impl Server {
    fn start(options: &Options, peer: Peer, case: &str) -> Res<Self> {
        let parent = if case == "durable" { &options.disk } else { &options.data };
        let dir = parent.join(peer.name());
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Self::command(options, peer, case, &dir, port)?;
        let log = File::create(parent.join(format!("{}.log", peer.name())))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|e| format!("{} doesn't start: {e}", peer.name()))?;
        let mut server = Self { peer, child, port, dir, credential: String::new() };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn command(options: &Options, peer: Peer, case: &str, dir: &Path, port: u16) -> Res<Command> {
        let installed = &options.installed;
        let durable = case == "durable";
        let mut command = match peer {
            Peer::Sink => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["--sink", &port.to_string()]).arg(dir);
                command.arg(if durable { "sync" } else { "no" });
                command
            }
            Peer::Slipway(way) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
                way.settle(&mut command, dir)?;
                command.arg("serve").args(["--listen", &format!("127.0.0.1:{port}")]);
                command.arg("--data-dir").arg(dir);
                // The queue waits: what is measured is uploading.
                command.env("SLIPWAY_MEDIA__WORKERS", "0");
                command
                    .env("SLIPWAY_UPLOAD__DURABILITY", if durable { "chunk" } else { "complete" });
                command
            }
            Peer::Rustus => {
                let mut command = Command::new(installed.join("rustus/bin/rustus"));
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
                command.args(["--max-body-size", &(2u64 << 30).to_string()]);
                command.arg("--data-dir").arg(dir.join("data"));
                command.arg("--info-dir").arg(dir.join("info"));
                command
            }
            Peer::TusNode => {
                let mut command = Command::new("node");
                command.arg(installed.join("tus-node/server.mjs")).arg(port.to_string()).arg(dir);
                command
            }
            Peer::Nginx => {
                let config = dir.join("nginx.conf");
                fs::write(&config, nginx_config(dir, port))?;
                let local = installed.join("nginx/usr/sbin/nginx");
                let mut command = match local.exists() {
                    true => Command::new(local),
                    false => Command::new("nginx"),
                };
                command.arg("-p").arg(dir).arg("-c").arg(config);
                command
            }
        };
        command.current_dir(dir);
        Ok(command)
    }

    fn wait_until_ready(&mut self) -> Res<()> {
        let begun = Instant::now();
        while !self.is_ready() {
            if begun.elapsed() > START_MAX || self.child.try_wait()?.is_some() {
                let log = self.dir.with_extension("log");
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{} isn't ready: {log}", self.peer.name()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Peer::Slipway(way) = self.peer {
            self.credential = way.headers(self)?;
        }
        // What a server does after its start isn't what is measured.
        let mut before = self.cpu_seconds()?;
        while begun.elapsed() < START_MAX {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.cpu_seconds()?;
            if now - before < 0.005 {
                break;
            }
            before = now;
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let Ok(mut client) = Client::connect(self) else { return false };
        match self.peer {
            Peer::Slipway(_) => {
                let answer = client.send("GET /readyz", "", 0);
                answer.is_ok_and(|answer| answer.status == 200)
            }
            _ => true,
        }
    }

    /// Returns what the server and its children have used so far.
    fn cpu_seconds(&self) -> Res<f64> {
        let ticks: u64 = tree(self.child.id())?.iter().map(|it| it.ticks).sum();
        // The kernel tells user space hundredths of seconds on every architecture.
        Ok(ticks as f64 / 100.0)
    }

    /// Returns the most memory that the server and its children ever held.
    fn peak_mib(&self) -> Res<f64> {
        let mut kib = 0;
        for process in tree(self.child.id())? {
            let status = fs::read_to_string(format!("/proc/{}/status", process.id))?;
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
            kib += peak.unwrap_or_default();
        }
        Ok(kib as f64 / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx's master has to tell its workers; the others have no children that outlive them.
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > Duration::from_secs(10) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A process as `/proc` shows it.
struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

/// Returns a process and all below it.
fn tree(root: u32) -> Res<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // The name in parentheses may hold anything.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let fields: Vec<u64> =
            fields.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
        if let [_, parent, _, _, _, _, _, _, _, _, _, user, system, ..] = fields[..] {
            let parent = u32::try_from(parent)?;
            all.push(Process { id, parent, ticks: user + system });
        }
    }
    let mut found = vec![root];
    let mut seen = 0;
    while seen < found.len() {
        let parent = found[seen];
        found.extend(all.iter().filter(|it| it.parent == parent).map(|it| it.id));
        seen += 1;
    }
    all.retain(|process| found.contains(&process.id));
    Ok(all)
}

fn nginx_config(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    // Started by root it would give its rights away, and couldn't write here.
    let user = if rustix::process::geteuid().is_root() { "user root; " } else { "" };
    format!(
        "{user}daemon off; worker_processes auto; pid {dir}/pid; error_log {dir}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_max_body_size 0; client_body_buffer_size 256k;\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;\n\
         uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; keepalive_requests 1000000;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; root {dir}/files; location / {{\n\
         dav_methods PUT; create_full_put_path on; }} }} }}\n"
    )
}

/// One connection to a server.
struct Client<'a> {
    server: &'a Server,
    stream: TcpStream,
}

/// What a server answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the path that the server gave to an upload.
    fn location(&self) -> Res<String> {
        let location = self.header("location").ok_or("an answer without Location")?;
        let path = location
            .split_once("://")
            .map_or(location, |(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
        Ok(path.to_owned())
    }

    /// Returns a text of a flat JSON object; enough for the two that are read here.
    fn json_text(&self, key: &str) -> Res<&str> {
        let begin = format!("\"{key}\":\"");
        let at = self.body.find(&begin).ok_or_else(|| format!("no {key} in {}", self.body))?;
        Ok(self.body[at + begin.len()..].split('"').next().unwrap_or_default())
    }
}

impl<'a> Client<'a> {
    fn connect(server: &'a Server) -> Res<Self> {
        let stream = TcpStream::connect(("127.0.0.1", server.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { server, stream })
    }

    /// Sends a request with a body of `bytes` meaningless bytes; anything but 2xx is an error.
    fn send(&mut self, what: &str, headers: &str, bytes: u64) -> Res<Answer> {
        self.begin(what, headers, bytes, bytes)?;
        self.answer(what)
    }

    /// Sends the head of a request with `bytes` bytes of body, and the first `now` of them.
    fn begin(&mut self, what: &str, headers: &str, bytes: u64, now: u64) -> Res<()> {
        let credential = &self.server.credential;
        let head = format!(
            "{what} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{credential}{headers}\
             Content-Length: {bytes}\r\n\r\n",
            self.server.port
        );
        let body = noise();
        let mut left = now;
        let first = &body[..body.len().min(usize::try_from(left)?)];
        let mut slices = [IoSlice::new(head.as_bytes()), IoSlice::new(first)];
        let mut slices = slices.as_mut_slice();
        while !slices.is_empty() {
            let written = self.stream.write_vectored(slices)?;
            IoSlice::advance_slices(&mut slices, written);
        }
        left -= first.len() as u64;
        while left > 0 {
            let next = &body[..body.len().min(usize::try_from(left)?)];
            self.stream.write_all(next)?;
            left -= next.len() as u64;
        }
        Ok(())
    }

    fn send_text(&mut self, what: &str, body: &str) -> Res<Answer> {
        let headers = "Content-Type: application/json\r\n";
        self.begin(what, headers, body.len() as u64, 0)?;
        self.stream.write_all(body.as_bytes())?;
        self.answer(what)
    }

    /// Reads an answer; anything but 2xx is an error.
    fn answer(&mut self, what: &str) -> Res<Answer> {
        let answer = self.any_answer(what)?;
        match answer.status {
            200..300 => Ok(answer),
            status => Err(format!("{what}: {status} {}", answer.body).into()),
        }
    }

    fn any_answer(&mut self, what: &str) -> Res<Answer> {
        let mut bytes = Vec::with_capacity(2048);
        let mut buffer = [0; 2048];
        let (head, rest) = loop {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                return Err(format!("{what}: closed without an answer").into());
            }
            bytes.extend_from_slice(&buffer[..read]);
            if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
                break (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 4);
            }
        };
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").and_then(|text| text.parse().ok());
        let mut body = bytes.split_off(rest);
        while body.len() < length.unwrap_or(0) {
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                return Err(format!("{what}: closed within an answer").into());
            }
            body.extend_from_slice(&buffer[..read]);
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }

    /// Begins a tus upload with its first `first` bytes, and returns its path.
    fn create(&mut self, bytes: u64, first: u64, more: &str) -> Res<String> {
        let kind = match first {
            0 => "",
            _ => "Content-Type: application/offset+octet-stream\r\n",
        };
        let headers = format!(
            "Tus-Resumable: 1.0.0\r\nUpload-Length: {bytes}\r\n\
             Upload-Metadata: filename YS5tcDQ=\r\n{kind}{more}"
        );
        // Without the slash at its end @tus/server would do, rustus wouldn't.
        let path = if self.server.peer == Peer::Rustus { "POST /files/" } else { "POST /files" };
        self.send(path, &headers, first)?.location()
    }

    fn patch(&mut self, path: &str, at: u64, bytes: u64) -> Res<Answer> {
        self.send(&format!("PATCH {path}"), &patch_headers(at), bytes)
    }

    /// Uploads `bytes` in requests of at most `piece`. Where there are only whole files, each
    /// request is one.
    fn upload(&mut self, bytes: u64, piece: u64, more: &str) -> Res<String> {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let whole_files = self.server.peer == Peer::Nginx;
        let path = match whole_files {
            true => format!("/{}", FILES.fetch_add(1, Ordering::Relaxed)),
            false => self.create(bytes, 0, more)?,
        };
        let mut at = 0;
        while at < bytes {
            let now = piece.min(bytes - at);
            match whole_files {
                true => self.send(&format!("PUT {path}-{at}"), "", now)?,
                false => self.patch(&path, at, now)?,
            };
            at += now;
        }
        Ok(path)
    }
}

fn patch_headers(at: u64) -> String {
    format!(
        "Tus-Resumable: 1.0.0\r\nUpload-Offset: {at}\r\n\
         Content-Type: application/offset+octet-stream\r\n"
    )
}

/// Bytes without a pattern that anybody could shorten.
fn noise() -> &'static [u8] {
    static NOISE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    NOISE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..BUFFER_BYTES).map(|_| next()).collect()
    })
}

/// What one measurement found.
#[derive(Clone, Debug)]
struct Sample {
    seconds: f64,
    cpu_seconds: f64,
    /// What it is counted in: GiB, or uploads.
    count: f64,
    peak_mib: f64,
    /// What only this case tells: milliseconds of the last step, or the share of a speed.
    special: Option<f64>,
}

fn measure(options: &Options, peer: Peer, case: &str) -> Res<Sample> {
    let server = Server::start(options, peer, case)?;
    let bytes = options.bytes();
    let cpu = server.cpu_seconds()?;
    let begun = Instant::now();
    let mut count = bytes as f64 / (1u64 << 30) as f64;
    let mut special = None;
    let mut seconds = None;
    match case {
        "one" => drop(Client::connect(&server)?.upload(bytes, bytes, "")?),
        "pieces" => drop(Client::connect(&server)?.upload(bytes, MIB, "")?),
        "many" => many(&server, bytes)?,
        "creations" => {
            count = options.creations() as f64;
            creations(&server, options.creations())?;
        }
        "looks" => {
            count = (options.creations() * LOOKS) as f64;
            looks(&server, options.creations() * LOOKS)?;
        }
        "chunks" => special = Some(chunks(&server, bytes)?),
        "concat" => special = Some(concat(&server, bytes)?),
        "slow" => {
            let (took, share) = slow(&server, bytes)?;
            seconds = Some(took);
            special = Some(share);
            count *= 2.0;
        }
        "durable" => {
            count /= 4.0;
            let _path = Client::connect(&server)?.upload(bytes / 4, DURABLE_PIECE_BYTES, "")?;
        }
        _ => return Err("an unknown case".into()),
    }
    Ok(Sample {
        seconds: seconds.unwrap_or_else(|| begun.elapsed().as_secs_f64()),
        cpu_seconds: server.cpu_seconds()? - cpu,
        count,
        peak_mib: server.peak_mib()?,
        special,
    })
}

/// Runs `work` on `threads` threads, each with its number.
fn on_threads(threads: usize, work: impl Fn(usize) -> Res<()> + Sync) -> Res<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        for thread in all {
            thread.join().map_err(|_| "a client's thread broke")??;
        }
        Ok(())
    })
}

fn many(server: &Server, bytes: u64) -> Res<()> {
    on_threads(usize::try_from(MANY)?, |_| {
        Client::connect(server)?.upload(bytes / MANY, MANY_PIECE_BYTES, "").map(drop)
    })
}

fn creations(server: &Server, uploads: usize) -> Res<()> {
    let next = AtomicUsize::new(0);
    on_threads(SMALL_CONNECTIONS, |_| {
        let mut client = Client::connect(server)?;
        while next.fetch_add(1, Ordering::Relaxed) < uploads {
            match server.peer {
                Peer::Nginx => drop(client.upload(SMALL_BYTES, SMALL_BYTES, "")?),
                _ => drop(client.create(SMALL_BYTES, SMALL_BYTES, "")?),
            }
        }
        Ok(())
    })
}

fn looks(server: &Server, wanted: usize) -> Res<()> {
    let next = AtomicUsize::new(0);
    on_threads(SMALL_CONNECTIONS, |_| {
        let mut client = Client::connect(server)?;
        let what = format!("HEAD {}", client.create(SMALL_BYTES, 0, "")?);
        while next.fetch_add(1, Ordering::Relaxed) < wanted {
            client.send(&what, "Tus-Resumable: 1.0.0\r\n", 0)?;
        }
        Ok(())
    })
}

/// Sends numbered parts; returns how many milliseconds the completing took.
fn chunks(server: &Server, bytes: u64) -> Res<f64> {
    let mut client = Client::connect(server)?;
    let part = bytes / PARTS;
    let body =
        format!(r#"{{"filename":"a.mp4","size":{bytes},"chunkSize":{part},"method":"chunked"}}"#);
    let begun = client.send_text("POST /api/videos/upload/initiate", &body)?;
    let id = begun.json_text("uploadId")?;
    on_threads(usize::try_from(PARTS)?, |n| {
        let index = PARTS - 1 - n as u64;
        let path = format!("PUT /api/videos/upload/{id}/parts/{index}");
        Client::connect(server)?.send(&path, "", part).map(drop)
    })?;
    let begun = Instant::now();
    let body = format!(r#"{{"uploadId":"{id}"}}"#);
    client.send_text("POST /api/videos/upload/complete", &body)?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Sends partial uploads; returns how many milliseconds joining them took.
fn concat(server: &Server, bytes: u64) -> Res<f64> {
    let mut client = Client::connect(server)?;
    let mut parts = String::new();
    for _ in 0..PARTS {
        let size = bytes / PARTS;
        let path = client.upload(size, size, "Upload-Concat: partial\r\n")?;
        write!(parts, " {path}")?;
    }
    let slash = if server.peer == Peer::Rustus { "/" } else { "" };
    let headers =
        format!("Tus-Resumable: 1.0.0\r\nUpload-Concat: final;{}\r\n", parts.trim_start());
    let begun = Instant::now();
    client.send(&format!("POST /files{slash}"), &headers, 0)?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Sends one upload alone and one beside many that hardly move; returns the seconds of the second,
/// and its speed as a percentage of the first's.
fn slow(server: &Server, bytes: u64) -> Res<(f64, f64)> {
    let mut fast = Client::connect(server)?;
    let mut timed = || -> Res<f64> {
        let begun = Instant::now();
        fast.upload(bytes, bytes, "")?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let alone = timed()?;
    let mut slow = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut client = Client::connect(server)?;
        let path = match server.peer {
            Peer::Nginx => "/slow".to_owned(),
            _ => client.create(MIB, 0, "")?,
        };
        client.begin(&format!("PATCH {path}"), &patch_headers(0), MIB, 16 << 10)?;
        slow.push(client);
    }
    let done = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        let dribble = scope.spawn(|| -> Res<()> {
            // Each gets a few bytes about once a second.
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                slow[turn % SLOW].stream.write_all(&noise()[..64])?;
                turn += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        let beside = timed();
        done.store(true, Ordering::Relaxed);
        dribble.join().map_err(|_| "the slow thread broke")??;
        beside
    })?;
    Ok((beside, alone / beside * 100.0))
}

/// All samples: by case in the order of measuring, by server, by round.
#[derive(Default)]
struct Table {
    samples: BTreeMap<(usize, Peer), BTreeMap<usize, Sample>>,
}

impl Table {
    fn add(&mut self, case: &str, peer: Peer, round: usize, sample: Sample) {
        let case = CASES.iter().position(|(known, _)| *known == case).unwrap_or_default();
        self.samples.entry((case, peer)).or_default().insert(round, sample);
    }

    fn render(&self, options: &Options) -> Res<String> {
        let mut text = String::new();
        let base = options.base();
        let cores = std::thread::available_parallelism()?;
        let load = fs::read_to_string("/proc/loadavg")?;
        let load: Vec<&str> = load.split(' ').take(3).collect();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        writeln!(
            text,
            "{} MiB a case, {} creations, {} rounds; {cores} cores, Linux {}, load {} at the end\n",
            options.mib,
            options.creations(),
            options.rounds,
            kernel.trim(),
            load.join(" ")
        )?;
        writeln!(
            text,
            "| case | server | rate | CPU | CPU / {base} | time / {base} | last step | peak MiB |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |",
            base = base.name()
        )?;
        for ((case, peer), rounds) in &self.samples {
            let base = self.samples.get(&(*case, base));
            text.push_str(&row(CASES[*case].0, *peer, rounds, base)?);
        }
        let what = CASES.iter().filter(|(case, _)| options.cases.iter().any(|it| it == case));
        let what: Vec<_> = what.map(|(case, what)| format!("`{case}`: {what}")).collect();
        writeln!(text, "\n{}.", what.join("; "))?;
        writeln!(
            text,
            "Best and median of the rounds; a ratio is to {} in the same round. CPU is the \
             server's alone: seconds for a GiB, milliseconds for one of `creations` and `looks`.",
            base.name()
        )?;
        Ok(text)
    }
}

type Rounds = BTreeMap<usize, Sample>;

fn row(case: &str, peer: Peer, rounds: &Rounds, base: Option<&Rounds>) -> Res<String> {
    let is_counted = matches!(case, "creations" | "looks");
    let (unit, cpu_unit, scale) =
        if is_counted { ("/s", "ms", 1000.0) } else { ("MB/s", "s/GiB", 1.0) };
    // Only one of the two uploads of `slow` is timed.
    let bytes = if case == "slow" { 0.5 } else { 1.0 } * (1u64 << 30) as f64 / 1e6;
    let size = if is_counted { 1.0 } else { bytes };
    let rates = rounds.values().map(|it| -it.count * size / it.seconds);
    let rates = pair(rates.collect(), |rate| format!("{:.0}", -rate));
    let cpus = rounds.values().map(|it| it.cpu_seconds / it.count * scale);
    let digits = if is_counted { 3 } else { 2 };
    let cpus = pair(cpus.collect(), |cpu| format!("{cpu:.digits$}"));
    let both = || rounds.iter().filter_map(|(round, it)| Some((it, base?.get(round)?)));
    let ratio = |values: Vec<f64>| pair(values, |ratio| format!("{ratio:.2}"));
    let cpu_ratios = ratio(both().map(|(it, base)| it.cpu_seconds / base.cpu_seconds).collect());
    let time_ratios = ratio(both().map(|(it, base)| it.seconds / base.seconds).collect());
    let specials = rounds.values().filter_map(|it| it.special);
    let special = match case {
        // Of the speed that is kept the highest is the best.
        "slow" => pair(specials.map(|it| -it).collect(), |share| format!("{:.0} %", -share)),
        _ => pair(specials.collect(), |ms| format!("{ms:.1} ms")),
    };
    let peak = rounds.values().map(|it| it.peak_mib).fold(0.0, f64::max);
    let name = peer.name();
    Ok(format!(
        "| {case} | {name} | {rates} {unit} | {cpus} {cpu_unit} | {cpu_ratios} | {time_ratios} | \
         {special} | {peak:.0} |\n"
    ))
}

/// Writes the least and the median of some values.
fn pair(mut values: Vec<f64>, show: impl Fn(f64) -> String) -> String {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.get(values.len() / 2)) {
        (Some(&least), Some(&median)) => format!("{}, {}", show(least), show(median)),
        _ => String::new(),
    }
}

/// A thousand slow uploads need a descriptor or two each, here and in the servers.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The limit: takes the same requests, and does nothing but read and write.
fn sink(port: u16, dir: &Path, sync: bool) -> Res<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let stream = stream?;
            // A connection that breaks is its own business.
            scope.spawn(move || drop(sink_connection(stream, dir, sync)));
        }
        Ok(())
    })
}

fn sink_connection(mut stream: TcpStream, dir: &Path, sync: bool) -> Res<()> {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    let mut open: Option<(PathBuf, File)> = None;
    loop {
        let head_end = loop {
            match buffer[..filled].windows(4).position(|it| it == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => match stream.read(&mut buffer[filled..])? {
                    0 => return Ok(()),
                    read => filled += read,
                },
            }
        };
        let head = std::str::from_utf8(&buffer[..head_end])?;
        let number = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        let (mut at, mut left) = (number("Upload-Offset:"), number("Content-Length:"));
        let path = match head.split_whitespace().nth(1) {
            Some("/files") => {
                let name = FILES.fetch_add(1, Ordering::Relaxed).to_string();
                open = Some((dir.join(&name), File::create(dir.join(&name))?));
                dir.join(name)
            }
            path => dir.join(path.and_then(|path| path.rsplit('/').next()).ok_or("no path")?),
        };
        let file = match &open {
            Some((known, file)) if *known == path => file,
            _ => &open.insert((path.clone(), File::options().write(true).open(&path)?)).1,
        };
        let mut from = head_end;
        loop {
            let now = (filled - from).min(usize::try_from(left)?);
            file.write_all_at(&buffer[from..from + now], at)?;
            (at, left) = (at + now as u64, left - now as u64);
            if left == 0 {
                buffer.copy_within(from + now..filled, 0);
                filled -= from + now;
                break;
            }
            from = 0;
            filled = stream.read(&mut buffer)?;
            if filled == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        if sync {
            file.sync_data()?;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let answer =
            format!("HTTP/1.1 201 Created\r\nLocation: /files/{name}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes())?;
    }
}
