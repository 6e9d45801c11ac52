//! Tests of keys, blocks and what lies beside them.

use super::*;
use crate::ids::VideoId;
use crate::units::UnixMillis;
use proptest::prelude::*;
use std::io;

fn ring(text: &str) -> Keyring {
    Keyring::parse(text.as_bytes()).expect("keys")
}

/// Some bytes that no two places have alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Reads of a slice as of a file, a bit at a time.
fn file(of: &[u8]) -> impl FnMut(u64, &mut [u8]) -> io::Result<usize> + '_ {
    |at, into| {
        let rest = of.get(usize::try_from(at).expect("small")..).unwrap_or_default();
        let count = into.len().min(rest.len()).min(40_000);
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Encrypts a file in one piece and returns it with what lies beside it.
fn encrypted(key: &FileKey, plain: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut file = plain.to_vec();
    key.apply(0, &mut file);
    let mut beside = vec![0; KEY_FILE_BYTES];
    let mut work = file.clone();
    for block in 0..blocks_of(plain.len() as u64) {
        let from = block as usize * BLOCK_BYTES;
        let to = work.len().min(from + BLOCK_BYTES);
        beside.extend(key.tag(block, &mut work[from..to]));
    }
    assert!(work == plain, "tags are made of the plain bytes");
    (file, beside)
}

fn read_all(reading: &mut Reading, file_bytes: &[u8], beside: &[u8]) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut piece = [0; 10_000];
    loop {
        let at = all.len() as u64;
        match reading.read(at, &mut piece, file(file_bytes), file(beside))? {
            0 => return Ok(all),
            count => all.extend(&piece[..count]),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Bytes written in any pieces, in any order, again too, are the same file, and any range of
    /// it reads as the plain one has it, with tags and without.
    #[test]
    fn any_range_reads_as_the_plain_file(
        length in 0usize..300_000,
        cuts in prop::collection::vec(0usize..300_000, 0..12),
        again in (0usize..300_000, 0usize..70_000),
        ranges in prop::collection::vec((0usize..310_000, 1usize..150_000), 1..8),
    ) {
        let (key, plain) = (FileKey::fresh(), bytes(length));
        let mut written = vec![0; length];
        let mut write = |from: usize, to: usize| {
            let mut piece = plain[from..to].to_vec();
            key.apply(from as u64, &mut piece);
            written[from..to].copy_from_slice(&piece);
        };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(length)).collect();
        cuts.extend([0, length]);
        cuts.sort_unstable();
        for pair in cuts.windows(2).rev() {
            write(pair[0], pair[1]);
        }
        let from = again.0.min(length);
        write(from, length.min(from + again.1));
        let (whole, beside) = encrypted(&key, &plain);
        prop_assert!(written == whole, "the pieces aren't the whole");
        for tagged in [None, Some(length as u64)] {
            let mut reading = Reading::new(key.clone(), tagged);
            for &(from, count) in &ranges {
                let mut got = Vec::new();
                let mut left = vec![0; count];
                while got.len() < count {
                    let (at, into) = ((from + got.len()) as u64, &mut left[got.len()..]);
                    let read = reading.read(at, into, file(&whole), file(&beside));
                    let read = read.expect("whole");
                    if read == 0 {
                        break;
                    }
                    let end = got.len() + read;
                    got.extend_from_slice(&left[got.len()..end]);
                }
                let from = from.min(length);
                prop_assert!(got == plain[from..length.min(from + count)], "{from} {count}");
            }
        }
    }
}

/// A bit that changed, a block that is another one, of another file too, and a file that was cut
/// are found out, and nothing of that block is given.
#[test]
fn what_was_changed_is_never_given() {
    let (key, plain) = (FileKey::fresh(), bytes(3 * BLOCK_BYTES + 100));
    let (whole, beside) = encrypted(&key, &plain);
    let (other, other_beside) = encrypted(&FileKey::fresh(), &plain);
    let mut reading = Reading::new(key, Some(plain.len() as u64));
    assert!(read_all(&mut reading, &whole, &beside).expect("whole") == plain);

    let mut changed = whole.clone();
    changed[BLOCK_BYTES + 5] ^= 1;
    let (mut swapped, mut tags) = (whole.clone(), beside.clone());
    swapped.copy_within(2 * BLOCK_BYTES..3 * BLOCK_BYTES, BLOCK_BYTES);
    let second = KEY_FILE_BYTES + TAG_BYTES;
    tags.copy_within(second + TAG_BYTES..second + 2 * TAG_BYTES, second);
    let (mut foreign, mut foreign_tags) = (whole.clone(), beside.clone());
    foreign[BLOCK_BYTES..2 * BLOCK_BYTES].copy_from_slice(&other[BLOCK_BYTES..2 * BLOCK_BYTES]);
    let its = second..second + TAG_BYTES;
    foreign_tags[its.clone()].copy_from_slice(&other_beside[its]);
    let cases = [
        ("a bit", changed, beside.clone()),
        ("another block", swapped, tags),
        ("another file's block", foreign, foreign_tags),
        ("cut within the block", whole[..BLOCK_BYTES + 7].to_vec(), beside.clone()),
        ("cut at the block", whole[..BLOCK_BYTES].to_vec(), beside.clone()),
        ("tags cut", whole.clone(), beside[..second].to_vec()),
    ];
    for (what, file_bytes, beside) in cases {
        let mut fresh = reading.clone();
        let mut piece = vec![7; BLOCK_BYTES];
        let first = fresh.read(0, &mut piece, file(&file_bytes), file(&beside));
        assert_eq!(first.expect("the first block is right"), BLOCK_BYTES, "{what}");
        for size in [BLOCK_BYTES, 10] {
            let mut piece = vec![7; size];
            let at = BLOCK_BYTES as u64;
            let read = fresh.read(at, &mut piece, file(&file_bytes), file(&beside));
            let error = read.expect_err(what);
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Damaged>());
            assert_eq!(inner, Some(&Damaged { block: 1 }), "{what}");
            assert!(piece.iter().all(|byte| [0, 7].contains(byte)), "{what}: bytes came out");
        }
        assert!(read_all(&mut fresh, &file_bytes, &beside).is_err(), "{what}");
    }
    // A file that got longer ends where it did.
    let longer = [whole, vec![0; 70_000]].concat();
    assert!(read_all(&mut reading, &longer, &beside).expect("whole") == plain);
}

/// The bytes are those of the AEAD by its definition, so that any other program with the key can
/// read them, and no two files or blocks have the same stream.
#[test]
fn blocks_are_the_aead_s() {
    let (key, plain) = (FileKey::fresh(), bytes(BLOCK_BYTES + 9));
    let (whole, beside) = encrypted(&key, &plain);
    let mut last = whole[BLOCK_BYTES..].to_vec();
    let nonce =
        XNonce::from([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let tag: Tag = beside[KEY_FILE_BYTES + TAG_BYTES..].try_into().expect("one tag");
    let cipher = XChaCha20Poly1305::new((&*key.0).into());
    cipher
        .decrypt_inout_detached(&nonce, b"", last.as_mut_slice().into(), (&tag).into())
        .expect("it is what the definition says");
    assert_eq!(last, plain[BLOCK_BYTES..]);
    let streams: std::collections::HashSet<Vec<u8>> = [&key, &FileKey::fresh()]
        .iter()
        .flat_map(|key| (0..4).map(|block| (*key, block)))
        .map(|(key, block)| {
            let mut zeros = vec![0; 32];
            key.apply(block * BLOCK_BYTES as u64, &mut zeros);
            zeros
        })
        .collect();
    assert_eq!(streams.len(), 8);
}

/// A key file opens with the key that wrapped it, wherever that stands in the ring, and with no
/// other one; whatever of it is changed is found out.
#[test]
fn key_files_open_with_their_key_alone() {
    let (old, new) = (MasterKey::fresh(), MasterKey::fresh());
    let old_ring = ring(&old.to_line());
    let both = ring(&format!("# keys\n{}\n\n {} \n", *new.to_line(), *old.to_line()));
    let video = VideoId::fresh(UnixMillis(1));
    for tagged in [None, Some((video, 5_000_000_000))] {
        let made = KeyFile { key: FileKey::fresh(), tagged };
        let head = made.wrap(&old_ring);
        assert_eq!(key_of(&head), Ok(old.id()));
        assert_eq!(KeyFile::unwrap(&head, Some(&both)), Ok(made.clone()));
        assert_eq!(key_of(&made.wrap(&both)), Ok(new.id()));
        let none = Err(KeyFileError::NoKey(old.id()));
        assert_eq!(KeyFile::unwrap(&head, Some(&ring(&new.to_line()))), none);
        assert_eq!(KeyFile::unwrap(&head, None), none);
        for at in 0..KEY_FILE_BYTES {
            let mut changed = head;
            changed[at] ^= 1;
            assert!(KeyFile::unwrap(&changed, Some(&both)).is_err(), "byte {at}");
        }
    }
}

/// Keys come as bytes, hex digits and base64; anything else names its line and nothing of it.
#[test]
fn files_of_keys() {
    let raw: [u8; 32] = *b"raw bytes, exactly thirty-two ok";
    let id = Keyring::parse(&raw).expect("raw").first().id();
    let hex = keys::hex(&raw);
    use base64::Engine;
    let base64 = base64::engine::general_purpose::STANDARD.encode(raw);
    for text in [hex.clone(), format!("{hex}\n"), base64.clone(), hex.to_uppercase()] {
        assert_eq!(ring(&text).first().id(), id, "{text}");
    }
    assert_eq!(ring(&format!("{hex}\n{base64}\n")).ids().count(), 1, "one key twice");
    assert_eq!(KeyId::parse(&id.to_string()), Some(id));
    let bad = [
        ("", BadKeys::Empty),
        ("# none\n", BadKeys::Empty),
        ("00", BadKeys::Line(1)),
        ("#\nsecret", BadKeys::Line(2)),
        (&"0".repeat(64), BadKeys::Line(1)),
        (&"x".repeat(70_000), BadKeys::TooLong),
    ];
    for (text, expected) in bad {
        let error = Keyring::parse(text.as_bytes()).expect_err(text);
        assert!(error == expected && !error.to_string().contains("secret"), "{error}");
    }
    assert_eq!(Keyring::parse(&[0; 32]), Err(BadKeys::Line(1)), "a file of zeros");
    let shown = format!("{:?} {:?}", ring(&hex), FileKey::fresh());
    assert!(!shown.contains(&hex) && shown.contains("FileKey(…)"), "{shown}");
}
