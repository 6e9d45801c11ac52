//! Disks that refuse: each call in turn, all room at every stage, every write at once. What was
//! acknowledged before and meanwhile is there afterwards, and nobody has to lend a hand: a server
//! that ends is started again, as systemd does, until it serves.

use crate::faults::{fill, image};
use crate::harness::{Server, pattern, sha256, wait_for};
use crate::ledger::{self, Client, Dice, Tally, Wire};
use crate::power::Image;
use crate::torture::{Told, rounds};
use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::time::Instant;

/// Requests of each client under a fault.
const STEPS: usize = 14;

/// The calls that a disk can refuse, as strace names them; the likeliest first.
const CALLS: [&str; 12] = [
    "pwritev",
    "fdatasync",
    "pwrite64",
    "fsync",
    "renameat2",
    "copy_file_range",
    "sync_file_range",
    "rename",
    "ftruncate",
    "fallocate",
    "mkdir,mkdirat",
    "unlink,unlinkat",
];

/// What a disk says when it refuses.
const REASONS: [&str; 2] = ["EIO", "ENOSPC"];

/// Runs without an Nth call after which there is none for any larger N either: chance decides what
/// the clients do, so a single run may have fewer calls than another.
const WITHOUT_MAX: usize = 3;

const SETTINGS: [(&str, &str); 5] = [
    ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
    ("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "1 MiB"),
    ("SLIPWAY_UPLOAD__DURABILITY", "chunk"),
    ("SLIPWAY_MEDIA__WORKERS", "1"),
    ("SLIPWAY_LOG", "off"),
];

fn settings(boot: &str) -> Vec<(&str, &str)> {
    SETTINGS.into_iter().chain([("SLIPWAY_BOOT_ID", boot)]).collect()
}

/// Has every client do `work` with this server, one after another.
fn each(
    server: &Server,
    clients: &mut [Box<dyn Client>],
    tally: &Tally,
    faults: bool,
    mut work: impl FnMut(&mut dyn Client, &Wire),
) {
    let (bell, _ringing) = mpsc::channel();
    let wire = Wire {
        address: server.address.clone(),
        token: &server.token,
        bell,
        cut: &AtomicBool::new(false),
        faults,
        durable: true,
        tally,
    };
    for client in clients {
        work(client.as_mut(), &wire);
    }
}

/// Checks everything that was told, and brings what is under way to its end.
fn conclude(server: &Server, clients: &mut [Box<dyn Client>], tally: &Tally, dice: &mut Dice) {
    each(server, clients, tally, false, |client, wire| {
        client.check(wire, dice).expect("a sound server answers");
        for _ in 0..1000 {
            if client.is_idle() {
                break;
            }
            // A request that an earlier, broken-off one overtakes may lose its connection.
            let _ = client.step(wire, dice);
        }
        assert!(client.is_idle(), "a client never comes to an end");
        client.check(wire, dice).expect("a sound server answers");
    });
}

/// Lets the power go and comes back.
fn power_cut(image: &Image, server: Option<Server>) {
    image.cut_power().expect("ext4 can be shut down");
    drop(server);
    wait_for("the file system to be let go", || image.unmount().ok());
    image.mount().expect("its log is replayed");
}

/// Runs the clients under a server whose `nth` call of `call` fails, and says whether there was
/// one. Then the power goes too: what wasn't confirmed is lost, so a promise that was made in
/// spite of the failure shows.
fn refuse(image: &Image, call: (&str, &str), nth: usize, tally: &Tally, seed: u64) -> bool {
    let (data, log) = (image.mount.join("data"), image.mount.with_file_name("log"));
    let inject = format!("inject={}:error={}:when={nth}", call.0, call.1);
    let trace = format!("trace={}", call.0);
    let log_name = log.to_str().expect("a plain path");
    let prefix =
        ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", log_name, "-e", &trace, "-e", &inject];
    let (mut dice, mut clients) = (Dice::new(seed), ledger::all());
    let server = Server::try_through(&prefix, &data, &settings("boot0"));
    if let Some(server) = &server {
        each(server, &mut clients, tally, true, |client, wire| {
            let mut lost = 0;
            for _ in 0..STEPS {
                lost += usize::from(client.step(wire, &mut dice).is_err());
                if lost > 2 {
                    break;
                }
            }
        });
    }
    power_cut(image, server);
    clients.iter_mut().for_each(|client| client.power_lost());
    let server = Server::on(&data, &settings("boot1"));
    conclude(&server, &mut clients, tally, &mut dice);
    drop(server);
    wait_for("the data to be let go", || std::fs::remove_dir_all(&data).ok());
    std::fs::read_to_string(&log).is_ok_and(|said| said.contains("INJECTED"))
}

/// Says whether calls can be made to fail here.
pub fn can_trace() -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"]);
    let can = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let can = can.is_ok_and(|status| status.success());
    if !can {
        eprintln!("skipped: strace can't make calls fail here");
    }
    can
}

/// One kind of call that fails for one reason, and how far it was tried: its Nth in round N.
struct Refused {
    call: &'static str,
    reason: &'static str,
    rounds: usize,
    /// The largest N for which there was an Nth call.
    last: usize,
}

impl Refused {
    /// Returns all kinds, or those that `SLIPWAY_TEST_CALLS` names.
    fn all() -> VecDeque<Self> {
        let named = std::env::var("SLIPWAY_TEST_CALLS").unwrap_or_default();
        let is_meant = |call: &str| named.is_empty() || named.split(' ').any(|it| it == call);
        let calls = || CALLS.into_iter().filter(|call| is_meant(call));
        let kinds = REASONS.into_iter().flat_map(|reason| calls().map(move |call| (call, reason)));
        kinds.map(|(call, reason)| Self { call, reason, rounds: 0, last: 0 }).collect()
    }

    /// Notes whether there was a call to refuse in this round; says whether there are more to try.
    fn note(&mut self, happened: bool) -> bool {
        self.rounds += 1;
        self.last = if happened { self.rounds } else { self.last };
        self.rounds - self.last < WITHOUT_MAX
    }

    fn tell(&self, end: &str) {
        let Self { call, reason, rounds, last } = self;
        println!("torture: {call} {reason}: {rounds} rounds, N up to {last}, {end}");
    }
}

/// The Nth write, sync or rename of each thread fails, for every N and every door, and then the
/// power goes: nothing was acknowledged that isn't there, and the next start needs no hand.
#[test]
fn a_refused_call_is_no_false_acknowledgement() {
    let Some(image) = image(320 << 20).filter(|_| can_trace()) else { return };
    let (mut told, tally) = (Told::new("faults/calls".into()), Tally::default());
    let rounds = rounds(5);
    let mut open = Refused::all();
    while let Some(mut kind) = open.pop_front() {
        if told.round == rounds {
            open.push_front(kind);
            break;
        }
        told.round += 1;
        let nth = kind.rounds + 1;
        told.now = format!("{} {} {nth}", kind.call, kind.reason);
        let seed = told.seed.wrapping_add(told.round as u64);
        match kind.note(refuse(&image, (kind.call, kind.reason), nth, &tally, seed)) {
            true => open.push_back(kind),
            false => kind.tell("the last"),
        }
    }
    open.iter().for_each(|kind| kind.tell("not to the end"));
    told.tell(&tally);
}

/// Every client is stopped by a disk without a single block, wherever it is; what it was told
/// stays, and as soon as there is room it goes on by itself.
#[test]
fn a_full_disk_at_every_stage() {
    let Some(image) = image(320 << 20) else { return };
    let (mut told, tally) = (Told::new("faults/full".into()), Tally::default());
    let mut dice = Dice::new(told.seed);
    let data = image.mount.join("data");
    let mut longest = 0;
    for round in 1..=rounds(2) {
        told.round = round;
        let mut clients = ledger::all();
        let mut server = Server::on(&data, &settings("boot0"));
        let steps = 1 + dice.below(STEPS);
        each(&server, &mut clients, &tally, true, |client, wire| {
            for _ in 0..steps {
                let _ = client.step(wire, &mut dice);
            }
        });
        // Now and then there is a little room left, for a name or a record.
        let left = if dice.chance(50) { 0 } else { dice.below(600_000) as u64 };
        let ballast = fill(&image, left);
        each(&server, &mut clients, &tally, true, |client, wire| {
            for _ in 0..STEPS {
                let _ = client.step(wire, &mut dice);
            }
        });
        std::fs::remove_file(ballast).expect("there is a ballast");
        let begun = Instant::now();
        let bytes = pattern(4096);
        let mut up = Some(server).filter(|_| true);
        let path = wait_for("an upload to be taken", || {
            // The service manager's part.
            if !up.as_mut().is_some_and(Server::is_running) {
                up = Server::try_through(&[], &data, &settings("boot0"));
            }
            let server = up.as_ref()?;
            let mut made = None;
            each(server, &mut clients[..1], &tally, true, |_, wire| {
                let headers = [
                    ("Tus-Resumable", "1.0.0"),
                    ("Upload-Length", "4096"),
                    ("Content-Type", "application/offset+octet-stream"),
                ];
                let sent = wire.send("POST", "/files", &headers, &bytes).ok();
                made = sent.filter(|answer| answer.status == 201);
            });
            made.map(|answer| answer.header("location").to_owned())
        });
        longest = longest.max(begun.elapsed().as_millis());
        server = up.expect("it serves");
        let got = server.send("GET", &path, &[], b"");
        assert_eq!((got.status, sha256(&got.body)), (200, sha256(&bytes)));
        conclude(&server, &mut clients, &tally, &mut dice);
        drop(server);
        wait_for("the data to be let go", || std::fs::remove_dir_all(&data).ok());
    }
    println!("torture: faults/full took uploads again within {longest} ms");
    told.tell(&tally);
}

/// A file system that turns read-only under running uploads, as after an error of the disk:
/// nothing is acknowledged from then on, and what was before is there when it is mounted again.
#[test]
fn a_read_only_disk_acknowledges_nothing() {
    let Some(image) = image(320 << 20) else { return };
    let (mut told, tally) = (Told::new("faults/read-only".into()), Tally::default());
    let mut dice = Dice::new(told.seed);
    let data = image.mount.join("data");
    for round in 1..=rounds(2) {
        told.round = round;
        let mut clients = ledger::all();
        let server = Server::on(&data, &settings("boot0"));
        let steps = 1 + dice.below(STEPS);
        each(&server, &mut clients, &tally, true, |client, wire| {
            for _ in 0..steps {
                let _ = client.step(wire, &mut dice);
            }
        });
        if let Err(why) = abort(&image.mount) {
            eprintln!("skipped: {why}");
            return;
        }
        each(&server, &mut clients, &tally, true, |client, wire| {
            for _ in 0..STEPS {
                let _ = client.step(wire, &mut dice);
            }
        });
        power_cut(&image, Some(server));
        clients.iter_mut().for_each(|client| client.power_lost());
        let server = Server::on(&data, &settings("boot1"));
        conclude(&server, &mut clients, &tally, &mut dice);
        drop(server);
        wait_for("the data to be let go", || std::fs::remove_dir_all(&data).ok());
    }
    told.tell(&tally);
}

/// Has a file system behave as after an error that it can't go on from.
fn abort(mount: &Path) -> Result<(), String> {
    let mut command = Command::new("mount");
    let output = command.args(["-o", "remount,abort"]).arg(mount).output();
    let output = output.map_err(|error| error.to_string())?;
    // Some versions of mount call the read-only state that this leads to an error.
    let state = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let line = state.lines().find(|line| line.split(' ').nth(1) == mount.to_str());
    let is_stopped = std::fs::write(mount.join("probe"), b"x").is_err();
    match is_stopped {
        true => Ok(()),
        false => Err(format!("{line:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
