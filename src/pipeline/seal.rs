//! Segments that only a key opens: each whole, AES-128 in CBC mode, padded as PKCS #7 says
//! (RFC 8216, section 4.3.2.4).
//!
//! The parent does it while it publishes, so that nothing clear ever lies where players fetch. The
//! same segment under the same key and number has the same bytes: an attempt that makes one again
//! changes nothing.

use crate::model::manifest::SegmentKey;
use aes::Aes128;
use cbc::Encryptor;
use cbc::cipher::{Block, BlockModeEncrypt, KeyIvInit};
use std::io::{self, Read, Write};

/// Bytes in a block.
const BLOCK: usize = 16;
/// Bytes that are encrypted in one go.
const PIECE: usize = 64 << 10;

/// Draws a key.
pub(super) fn fresh_key() -> io::Result<SegmentKey> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(SegmentKey(key))
}

/// Writes what `from` has to its end, encrypted; always a few bytes more than there were.
pub(super) fn encrypt(
    key: SegmentKey,
    vector: [u8; BLOCK],
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut cipher = Encryptor::<Aes128>::new(&key.0.into(), &vector.into());
    let mut piece = vec![0; PIECE];
    loop {
        let read = fill(from, &mut piece)?;
        let is_last = read < PIECE;
        if is_last {
            // A whole block of padding where there is nothing to pad.
            let padding = BLOCK - read % BLOCK;
            piece.truncate(read);
            piece.resize(read + padding, padding as u8);
        }
        for block in piece.chunks_exact_mut(BLOCK) {
            let mut one = Block::<Encryptor<Aes128>>::try_from(&*block)
                .map_err(|_| io::Error::other("a block of another size"))?;
            cipher.encrypt_block(&mut one);
            block.copy_from_slice(&one);
        }
        to.write_all(&piece)?;
        if is_last {
            return Ok(());
        }
    }
}

/// Reads until the buffer is full or nothing more comes.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::Rung;

    fn hex(text: &str) -> Vec<u8> {
        let pairs = text.as_bytes().chunks_exact(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16);
        pairs.map(|pair| byte(pair).expect("hex")).collect()
    }

    fn encrypted(clear: &[u8]) -> Vec<u8> {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().expect("16 bytes");
        let vector = hex("000102030405060708090a0b0c0d0e0f").try_into().expect("16 bytes");
        let (mut from, mut out) = (clear, Vec::new());
        encrypt(SegmentKey(key), vector, &mut from, &mut out).expect("nothing fails");
        out
    }

    /// The example of NIST SP 800-38A (F.2.1), with the padding behind it.
    #[test]
    fn it_is_aes_in_cbc_mode() {
        let clear = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let sealed = encrypted(&clear);
        let expected = hex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
        assert_eq!((&sealed[..32], sealed.len()), (expected.as_slice(), 48));
    }

    /// Every length is padded to the next block, also over the borders of pieces.
    #[test]
    fn every_length_is_padded() {
        for length in [0, 1, 15, 16, 17, PIECE - 1, PIECE, PIECE + 1] {
            let sealed = encrypted(&vec![7; length]);
            assert_eq!(sealed.len(), (length / BLOCK + 1) * BLOCK, "{length}");
        }
        let long = vec![7; PIECE + 40];
        assert_eq!(encrypted(&long)[..PIECE], encrypted(&long[..PIECE])[..PIECE]);
    }

    /// The vector is the media sequence number, which begins at 0.
    #[test]
    fn vectors_count_segments() {
        assert_eq!(Rung::vector(1), [0; 16]);
        assert_eq!(Rung::vector(258)[13..], [0, 1, 1]);
    }

    /// A key isn't written into logs.
    #[test]
    fn keys_arent_shown() {
        let key = fresh_key().expect("a key");
        assert_ne!(key, fresh_key().expect("another"));
        assert_eq!(format!("{key:?}"), "SegmentKey(…)");
    }
}
