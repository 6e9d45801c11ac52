//! What encryption at rest costs: CPU seconds for each GB, of one core, without disk and network.
//!
//! `cargo bench --bench encryption [-- GIB]`. Bytes are those of one buffer again and again, so that
//! memory and disk don't count; each case has the pieces in which the server works.

use slipway::cipher::{BLOCK_BYTES, FileKey, KEY_FILE_BYTES, Reading, TAG_BYTES};
use std::hint::black_box;
use std::io;

const GIB: u64 = 1 << 30;
/// What an upload writes at once, and what a download and a job read.
const WRITE_BYTES: usize = 512 << 10;
const READ_BYTES: usize = 256 << 10;

fn main() {
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let bytes = asked.unwrap_or(4).max(1) * GIB;
    let key = FileKey::fresh();
    let mut buffer = vec![7; WRITE_BYTES];
    let plain = vec![7; WRITE_BYTES];
    tell("copied, for comparison", bytes, |at| {
        buffer.copy_from_slice(&plain);
        black_box(&mut buffer);
        at + WRITE_BYTES as u64
    });
    tell("uploaded: copied and encrypted", bytes, |at| {
        buffer.copy_from_slice(&plain);
        key.apply(at, black_box(&mut buffer));
        at + WRITE_BYTES as u64
    });
    let mut block = vec![7; BLOCK_BYTES];
    tell("finished: tags made", bytes, |at| {
        black_box(key.tag(at / BLOCK_BYTES as u64, black_box(&mut block)));
        at + BLOCK_BYTES as u64
    });
    let blocks = READ_BYTES / BLOCK_BYTES;
    let mut stored = vec![7; READ_BYTES];
    key.apply(0, &mut stored);
    let mut tags = vec![0; KEY_FILE_BYTES];
    for (number, block) in (0..).zip(stored.clone().chunks_mut(BLOCK_BYTES)) {
        tags.extend(key.tag(number, block));
    }
    assert_eq!(tags.len(), KEY_FILE_BYTES + blocks * TAG_BYTES);
    for (name, tagged) in [("read with tags", true), ("read without", false)] {
        let mut reading = Reading::new(key.clone(), tagged.then_some(READ_BYTES as u64));
        let mut into = vec![0; READ_BYTES];
        tell(name, bytes, |at| {
            let read = reading.read(0, &mut into, slice(&stored), slice(&tags));
            assert_eq!(black_box(read).expect("it is right"), READ_BYTES);
            at + READ_BYTES as u64
        });
    }
}

/// Reads of a slice as of a file.
fn slice(of: &[u8]) -> impl FnMut(u64, &mut [u8]) -> io::Result<usize> + '_ {
    |at, into| {
        let from = at as usize;
        into.copy_from_slice(&of[from..from + into.len()]);
        Ok(into.len())
    }
}

/// Goes through so many bytes and prints what that cost.
fn tell(what: &str, bytes: u64, mut step: impl FnMut(u64) -> u64) {
    let before = cpu_seconds();
    let mut at = 0;
    while at < bytes {
        at = step(at);
    }
    let each = (cpu_seconds() - before) / (at as f64 / 1e9);
    println!("{what:<32} {each:.3} s/GB");
}

/// Seconds that this thread was on a processor.
fn cpu_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let nanos = told.split(' ').next().and_then(|word| word.parse::<u64>().ok());
    nanos.expect("a number") as f64 / 1e9
}
