//! Sums that a client sends along with a body, so that a body which was changed on its way is
//! thrown away instead of stored.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// The algorithms by their names in the protocol, the mandatory one first.
pub const CHECKSUM_ALGORITHMS: [&str; 4] = ["sha1", "sha256", "md5", "crc32c"];

/// What the bytes of one body must sum up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// 20 bytes.
    Sha1([u8; 20]),
    /// 32 bytes.
    Sha256([u8; 32]),
    /// 16 bytes.
    Md5([u8; 16]),
    /// CRC-32C (Castagnoli), 4 bytes with the highest first.
    Crc32c([u8; 4]),
    /// 64 bytes; HTTP's digests know it, tus doesn't.
    Sha512([u8; 64]),
}

impl Checksum {
    /// Takes a sum of the named algorithm; `None` for one that isn't known, or when the sum's
    /// length is another than the algorithm's.
    pub fn new(algorithm: &str, sum: &[u8]) -> Option<Self> {
        match algorithm {
            "sha1" => sum.try_into().ok().map(Self::Sha1),
            "sha256" => sum.try_into().ok().map(Self::Sha256),
            "md5" => sum.try_into().ok().map(Self::Md5),
            "crc32c" => sum.try_into().ok().map(Self::Crc32c),
            _ => None,
        }
    }

    /// Says whether this is the sum of no bytes at all.
    pub fn is_of_nothing(self) -> bool {
        Summing::of(self).matches(self)
    }
}

/// A sum that grows with the bytes.
pub(super) enum Summing {
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
    Crc32c(u32),
    Sha512(Sha512),
}

impl Summing {
    /// Begins with what will be compared to `expected`.
    pub(super) fn of(expected: Checksum) -> Self {
        match expected {
            Checksum::Sha1(_) => Self::Sha1(Sha1::new()),
            Checksum::Sha256(_) => Self::Sha256(Sha256::new()),
            Checksum::Md5(_) => Self::Md5(Md5::new()),
            Checksum::Crc32c(_) => Self::Crc32c(0),
            Checksum::Sha512(_) => Self::Sha512(Sha512::new()),
        }
    }

    /// Adds pieces in their order. Takes the processor's time: not for the event loop.
    pub(super) fn add(&mut self, pieces: &[impl AsRef<[u8]>]) {
        for piece in pieces.iter().map(AsRef::as_ref) {
            match self {
                Self::Sha1(sum) => sum.update(piece),
                Self::Sha256(sum) => sum.update(piece),
                Self::Md5(sum) => sum.update(piece),
                Self::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, piece),
                Self::Sha512(sum) => sum.update(piece),
            }
        }
    }

    /// Says whether everything that was added sums up to `expected`.
    pub(super) fn matches(self, expected: Checksum) -> bool {
        match (self, expected) {
            (Self::Sha1(sum), Checksum::Sha1(wanted)) => sum.finalize()[..] == wanted,
            (Self::Sha256(sum), Checksum::Sha256(wanted)) => sum.finalize()[..] == wanted,
            (Self::Md5(sum), Checksum::Md5(wanted)) => sum.finalize()[..] == wanted,
            (Self::Crc32c(sum), Checksum::Crc32c(wanted)) => sum.to_be_bytes() == wanted,
            (Self::Sha512(sum), Checksum::Sha512(wanted)) => sum.finalize()[..] == wanted,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn hex(text: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(digit).collect()
    }

    /// The published sums of "123456789" come out, however the bytes are cut into pieces, and
    /// one changed bit shows.
    #[test]
    fn known_sums() {
        let sums = [
            ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            ("sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            ("md5", "25f9e794323b453885f5181f1b624d0b"),
            ("crc32c", "e3069283"),
        ];
        assert_eq!(sums.map(|(name, _)| name), CHECKSUM_ALGORITHMS);
        for (name, sum) in sums {
            let wanted = Checksum::new(name, &hex(sum)).expect(name);
            for size in [1, 4, 9] {
                let pieces: Vec<Bytes> =
                    b"123456789".chunks(size).map(Bytes::from_static).collect();
                let mut summing = Summing::of(wanted);
                summing.add(&pieces);
                assert!(summing.matches(wanted), "{name} in pieces of {size}");
            }
            let mut summing = Summing::of(wanted);
            summing.add(&[Bytes::from_static(b"123456788")]);
            assert!(!summing.matches(wanted), "{name}");
            assert!(!wanted.is_of_nothing(), "{name}");
        }
    }

    /// Only known names with sums of the right length are taken.
    #[test]
    fn sums_are_checked_for_their_length() {
        for name in CHECKSUM_ALGORITHMS {
            assert!(Checksum::new(name, &[]).is_none() && Checksum::new(name, &[0; 33]).is_none());
        }
        for (name, length) in [("sha512", 64), ("SHA1", 20), ("crc32", 4), ("", 0)] {
            assert!(Checksum::new(name, &vec![0; length]).is_none(), "{name}");
        }
        let empty = hex("da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert!(Checksum::new("sha1", &empty).expect("20 bytes").is_of_nothing());
    }
}
