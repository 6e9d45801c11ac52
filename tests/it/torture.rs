//! Torture: clients at every door at once, and a server that is killed, loses power or is refused
//! by its disk at random moments. Nothing that was acknowledged may be missing or wrong.
//!
//! Short here; `scripts/torture` runs the same at length. A seed fixes all that chance decides,
//! but for the order in which threads run.

use crate::harness::{Server, wait_for};
use crate::ledger::{self, Client, Dice, Lost, Tally, Wire};
use crate::power::{Image, Kind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Rounds on one data directory; then all uploads are brought to their end, and it is thrown away.
const LIFE_ROUNDS: usize = 10;

/// Room for one life. The smallest xfs needs most of it.
const IMAGE_BYTES: u64 = 512 << 20;

/// Reads a number that scripts/torture sets.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Returns how many rounds to run; few unless scripts/torture asks for more.
pub fn rounds(default: usize) -> usize {
    number("SLIPWAY_TEST_ROUNDS", default as u64) as usize
}

/// Tells what is needed to do it again, should the test fail.
pub struct Told {
    name: String,
    /// What chance began with.
    pub seed: u64,
    /// Rounds so far.
    pub round: usize,
    /// What is under way.
    pub now: String,
}

impl Told {
    /// Begins the rounds of a test with this name.
    pub fn new(name: String) -> Self {
        let seed = number("SLIPWAY_TEST_SEED", u64::from(std::process::id()));
        Self { name, seed, round: 0, now: String::new() }
    }

    /// The line that scripts/torture makes its table from.
    pub fn tell(&self, tally: &Tally) {
        let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        println!(
            "torture: {} rounds={} acknowledged={} compared={} refused={} losses=0 seed={}",
            self.name,
            self.round,
            count(&tally.acknowledged),
            count(&tally.compared),
            count(&tally.refused),
            self.seed
        );
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "torture: {} failed in round {} {}; again: SLIPWAY_TEST_SEED={}",
                self.name, self.round, self.now, self.seed
            );
        }
    }
}

/// A server, its clients, and perhaps a file system of its own.
struct Life<'a> {
    server: Server,
    clients: Vec<Box<dyn Client>>,
    image: Option<Image>,
    durable: bool,
    boots: u32,
    tally: &'a Tally,
}

impl<'a> Life<'a> {
    /// Begins on a fresh directory.
    fn new(image: Option<Image>, durability: &str, tally: &'a Tally) -> Self {
        let settings = [
            ("SLIPWAY_UPLOAD__DURABILITY", durability),
            ("SLIPWAY_UPLOAD__SINGLE_THRESHOLD", "0"),
            ("SLIPWAY_UPLOAD__RESERVE_FREE_SPACE", "8 MiB"),
            ("SLIPWAY_MEDIA__WORKERS", "1"),
            ("SLIPWAY_BOOT_ID", "boot0"),
            ("SLIPWAY_LOG", "warn"),
        ];
        let server = match &image {
            Some(image) => Server::on(&image.mount.join("data"), &settings),
            None => Server::with(&settings),
        };
        let durable = durability == "chunk";
        Self { server, clients: ledger::all(), image, durable, boots: 0, tally }
    }

    /// Lets the clients work until `count` pieces and answers have gone over the wire, then ends
    /// the server: by a kill, or by taking away the power.
    fn round(&mut self, dice: &mut Dice, count: usize, power: bool) {
        let cut = AtomicBool::new(false);
        let (bell, ringing) = mpsc::channel();
        let wire = Wire {
            address: self.server.address.clone(),
            token: &self.server.token.clone(),
            bell,
            cut: &cut,
            faults: false,
            durable: self.durable,
            tally: self.tally,
        };
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                let (wire, mut dice) = (wire.clone(), Dice::new(dice.next()));
                scope.spawn(move || while client.step(&wire, &mut dice).is_ok() {});
            }
            drop(wire);
            for _ in 0..count {
                assert!(ringing.recv().is_ok(), "every client lost the server, which lives");
            }
            if power {
                cut.store(true, Ordering::SeqCst);
                let image = self.image.as_ref().expect("power cuts need an image");
                image.cut_power().expect("it can be shut down");
            }
            self.server.kill();
        });
        if power {
            let image = self.image.as_ref().expect("power cuts need an image");
            // Children of the server follow it in their own time.
            wait_for("the file system to be let go", || image.unmount().ok());
            image.mount().expect("its log is replayed");
            self.boots += 1;
            self.server.set("SLIPWAY_BOOT_ID", &format!("boot{}", self.boots));
            self.clients.iter_mut().for_each(|client| client.power_lost());
        }
    }

    /// Starts the server again and compares what it knows with what the clients know.
    fn restart(&mut self, dice: &mut Dice) {
        if dice.chance(20) {
            self.server.start_in_vain(Duration::from_millis(dice.below(250) as u64));
        }
        self.server.restart();
        self.quietly(dice, |client, wire, dice| client.check(wire, dice));
    }

    /// Brings everything to its end, and compares it.
    fn conclude(&mut self, dice: &mut Dice) {
        self.quietly(dice, |client, wire, dice| {
            for _ in 0..10_000 {
                if client.is_idle() {
                    break;
                }
                // A request that an earlier, broken-off one overtakes may lose its connection.
                let _ = client.step(wire, dice);
            }
            assert!(client.is_idle(), "a client never comes to an end");
            client.check(wire, dice)
        });
    }

    /// Has each client do something while nothing is to go wrong.
    fn quietly(
        &mut self,
        dice: &mut Dice,
        work: impl Fn(&mut dyn Client, &Wire, &mut Dice) -> Result<(), Lost>,
    ) {
        let (bell, _ringing) = mpsc::channel();
        let wire = Wire {
            address: self.server.address.clone(),
            token: &self.server.token.clone(),
            bell,
            cut: &AtomicBool::new(false),
            faults: false,
            durable: self.durable,
            tally: self.tally,
        };
        for client in &mut self.clients {
            let done = work(client.as_mut(), &wire, dice);
            done.expect("a server that nobody ends answers everything");
        }
    }
}

/// Runs lives of a few rounds each. In those with an image most rounds end by a power cut, the
/// others by a kill.
fn torture(name: String, durability: &str, rounds: usize, image: impl Fn() -> Option<Image>) {
    let (mut told, tally) = (Told::new(name), Tally::default());
    let mut dice = Dice::new(told.seed);
    while told.round < rounds {
        let mut life = Life::new(image(), durability, &tally);
        for _ in 0..LIFE_ROUNDS.min(rounds - told.round) {
            told.round += 1;
            let count = if dice.chance(40) { dice.below(80) } else { dice.below(900) };
            let power = life.image.is_some() && dice.chance(75);
            life.round(&mut dice, count, power);
            life.restart(&mut dice);
        }
        life.conclude(&mut dice);
    }
    told.tell(&tally);
}

fn kill(durability: &str) {
    torture(format!("kill/{durability}"), durability, rounds(4), || None);
}

fn power(kind: Kind, durability: &str) {
    if let Err(why) = Image::made(kind, IMAGE_BYTES) {
        eprintln!("skipped: a power cut of {kind:?} can't be simulated here ({why})");
        return;
    }
    let image = || Some(Image::made(kind, IMAGE_BYTES).expect("it worked before"));
    torture(format!("power/{kind:?}/{durability}"), durability, rounds(3), image);
}

/// Killed at random moments under clients at every door: all of them go on from where the server
/// says, no acknowledged byte is lost, and every file is right.
#[test]
fn kill_9_loses_nothing_acknowledged() {
    kill("complete");
}

/// The same where every answer has promised more.
#[test]
fn kill_9_loses_nothing_in_chunk_mode() {
    kill("chunk");
}

/// Power cuts on ext4: what is finished is whole, what isn't goes on from an offset or a set of
/// parts that is right, and the server starts by itself.
#[test]
fn a_power_cut_on_ext4_loses_nothing_finished() {
    power(Kind::Ext4, "complete");
}

/// Power cuts on ext4 where every answer is a promise: nothing that was told is lost.
#[test]
fn a_power_cut_on_ext4_loses_nothing_told_in_chunk_mode() {
    power(Kind::Ext4, "chunk");
}

/// The same as on ext4.
#[test]
fn a_power_cut_on_xfs_loses_nothing_finished() {
    power(Kind::Xfs, "complete");
}

/// The same as on ext4.
#[test]
fn a_power_cut_on_xfs_loses_nothing_told_in_chunk_mode() {
    power(Kind::Xfs, "chunk");
}
