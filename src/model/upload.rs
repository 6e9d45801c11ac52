//! An upload: bytes on their way, and what may be believed of them after a crash.

use crate::ids::UploadId;
use crate::units::{ByteCount, ByteOffset, Ranges};
use serde::{Deserialize, Serialize};

/// Which door an upload came through; fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tus 1.0.0 at `/files`.
    Tus,
    /// One `multipart/form-data` request.
    Form,
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// Bytes are missing.
    Partial,
    /// All bytes are here; syncing and renaming are under way.
    Finishing,
    /// The bytes are the original of a video.
    Finished,
    /// Nobody went on with it in time; the bytes are gone.
    Expired,
    /// Its owner ended it; the bytes are gone.
    Aborted,
}

impl UploadState {
    /// Says whether bytes may still be added.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Partial)
    }

    /// Says whether the upload was given up, which the API answers with 410.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Expired | Self::Aborted)
    }

    /// Says whether `next` may follow this state.
    pub fn may_become(self, next: Self) -> bool {
        use UploadState::{Aborted, Expired, Finished, Finishing, Partial};
        matches!(
            (self, next),
            (Partial, Finishing | Expired | Aborted)
                | (Finishing, Partial | Finished | Expired | Aborted)
                | (Finished, Aborted)
        )
    }
}

/// What an upload has to do with joining; most have nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concat {
    /// It is a part of others, and becomes no video by itself.
    Partial,
    /// It is made of parts.
    Final {
        /// The client's words for that, given back as they came.
        header: String,
        /// The parts in their order; one may be there twice.
        parts: Vec<UploadId>,
    },
}

/// Two claims on one file: what the kernel has been given, and what the disk has confirmed.
///
/// The first counts while the machine hasn't been restarted (the page cache survives a killed
/// process), the second always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The kernel's boot id when `written` was recorded.
    pub boot: String,
    /// Bytes handed to the kernel.
    pub written: Ranges,
    /// Bytes confirmed by `fdatasync`.
    pub durable: Ranges,
}

impl Received {
    /// Returns the bytes that are really there, seen from the boot `boot` with a file of
    /// `file_bytes` bytes: the file's length may only lower a claim.
    pub fn believed(&self, boot: &str, file_bytes: ByteCount) -> Ranges {
        let mut ranges =
            if self.boot == boot { self.written.clone() } else { self.durable.clone() };
        ranges.cut_to(file_bytes);
        ranges
    }

    /// Returns the end of what is filled without a hole, by the kernel's claim.
    pub fn end(&self) -> ByteOffset {
        self.written.contiguous_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After a restart of the machine only synced bytes count; a shorter file lowers either.
    #[test]
    fn written_bytes_count_only_in_the_same_boot() {
        let received = Received {
            boot: "a".into(),
            written: Ranges::up_to(ByteOffset(100)),
            durable: Ranges::up_to(ByteOffset(60)),
        };
        assert_eq!(received.believed("a", ByteCount(200)).contiguous_end(), ByteOffset(100));
        assert_eq!(received.believed("b", ByteCount(200)).contiguous_end(), ByteOffset(60));
        assert_eq!(received.believed("a", ByteCount(10)).contiguous_end(), ByteOffset(10));
    }

    /// How joining is stored is fixed: records that are on disks have it.
    #[test]
    fn what_is_stored_of_joining() {
        let id = UploadId::from_bytes([1; 16]);
        let parts = Concat::Final { header: "final;/files/x".into(), parts: vec![id, id] };
        let expected =
            format!(r#"{{"final":{{"header":"final;/files/x","parts":["{id}","{id}"]}}}}"#);
        for (concat, text) in [(Concat::Partial, r#""partial""#), (parts, expected.as_str())] {
            assert_eq!(serde_json::to_string(&concat).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<Concat>(text).expect("the same"), concat);
        }
    }

    /// A given-up upload never comes back.
    #[test]
    fn ended_uploads_stay_ended() {
        use UploadState::*;
        for ended in [Expired, Aborted] {
            for next in [Partial, Finishing, Finished, Expired, Aborted] {
                assert!(!ended.may_become(next));
            }
        }
        assert!(!Finished.may_become(Partial));
    }
}
