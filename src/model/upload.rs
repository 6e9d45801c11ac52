//! An upload: bytes on their way, and what may be believed of them after a crash.

use crate::ids::UploadId;
use crate::units::{ByteCount, ByteOffset, Ranges};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which door an upload came through; fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// tus 1.0.0 at `/files`.
    Tus,
    /// One `multipart/form-data` request.
    Form,
    /// Numbered parts of one size, in any order.
    Chunks,
    /// The IETF's draft of resumable uploads at `/files`. Such an upload is complete when its
    /// client says so, not when all bytes are here, and its offset never goes back.
    Draft,
}

/// Most parts that an upload has.
pub const CHUNKS_MAX: u64 = 10_000;

/// Smallest and largest part, but for the last.
pub const CHUNK_BYTES: (u64, u64) = (256 << 10, 512 << 20);

/// How an upload that comes in numbered parts is cut; fixed at its creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunks {
    /// Size of every part but the last, which may be smaller.
    pub size: ByteCount,
    /// SHA-256 of the whole file in lower-case hex, where the client told it beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Chunks {
    /// Chooses the size of the parts of `length` bytes: what the client wants as far as the
    /// bounds allow, and large enough that no more than [`CHUNKS_MAX`] are needed. One that wants
    /// nothing gets a single part up to `single` bytes, and `usual` ones above.
    pub fn plan(
        length: ByteCount,
        wanted: Option<ByteCount>,
        usual: ByteCount,
        single: ByteCount,
    ) -> Self {
        let (smallest, largest) = CHUNK_BYTES;
        let size = match wanted {
            None if length <= single => length.0,
            wanted => {
                let size = wanted.unwrap_or(usual).0.clamp(smallest, largest);
                size.max(length.0.div_ceil(CHUNKS_MAX)).min(length.0)
            }
        };
        Self { size: ByteCount(size.max(1)), sha256: None }
    }

    /// Returns the number of parts of a file of `length` bytes.
    pub fn count(&self, length: ByteCount) -> u32 {
        u32::try_from(length.0.div_ceil(self.size.0.max(1))).unwrap_or(u32::MAX)
    }

    /// Returns where a part begins and ends; `None` behind the last one.
    pub fn bounds(&self, index: u32, length: ByteCount) -> Option<(ByteOffset, ByteOffset)> {
        let start = u64::from(index).checked_mul(self.size.0)?;
        let end = start.saturating_add(self.size.0).min(length.0);
        (start < end).then_some((ByteOffset(start), ByteOffset(end)))
    }

    /// Returns the parts of a file of `length` bytes that aren't wholly in `there`, in order.
    pub fn missing(&self, length: ByteCount, there: &Ranges) -> Vec<u32> {
        let mut ranges = there.as_slice().iter().peekable();
        let mut missing = Vec::new();
        for index in 0..self.count(length) {
            let Some((start, end)) = self.bounds(index, length) else { break };
            while ranges.next_if(|&&(_, e)| e <= start.0).is_some() {}
            if !ranges.peek().is_some_and(|&&(s, e)| s <= start.0 && end.0 <= e) {
                missing.push(index);
            }
        }
        missing
    }
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

    /// Says whether the upload hasn't ended: its bytes lie in the uploads' directory, or are just
    /// leaving it.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Partial | Self::Finishing)
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
    /// Under the same boot the file's length tells how far `written` has come since it was
    /// recorded: whoever writes appends what counts, and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grows: bool,
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

    /// As [`Received::believed`], at a start: requests that only this process's memory knew of may
    /// have come between the record and the end of the last process.
    pub fn recovered(&self, boot: &str, file_bytes: ByteCount) -> Ranges {
        match self.grows && self.boot == boot {
            true => Ranges::up_to(ByteOffset(file_bytes.0)),
            false => self.believed(boot, file_bytes),
        }
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
            grows: false,
        };
        assert_eq!(received.believed("a", ByteCount(200)).contiguous_end(), ByteOffset(100));
        assert_eq!(received.believed("b", ByteCount(200)).contiguous_end(), ByteOffset(60));
        assert_eq!(received.believed("a", ByteCount(10)).contiguous_end(), ByteOffset(10));
    }

    /// The length of a file raises a claim only at a start under the same boot, and only where
    /// nothing but what counts was appended.
    #[test]
    fn a_file_that_grows_tells_by_its_length() {
        let (written, durable) = (Ranges::up_to(ByteOffset(100)), Ranges::up_to(ByteOffset(60)));
        let mut received = Received { boot: "a".into(), written, durable, grows: true };
        let end = |ranges: Ranges| ranges.contiguous_end().0;
        assert_eq!(end(received.recovered("a", ByteCount(200))), 200);
        assert_eq!(end(received.recovered("a", ByteCount(10))), 10);
        assert_eq!(end(received.recovered("b", ByteCount(200))), 60);
        assert_eq!(end(received.believed("a", ByteCount(200))), 100);
        received.grows = false;
        assert_eq!(end(received.recovered("a", ByteCount(200))), 100);
    }

    /// Parts tile the file, their size stays in its bounds, and only whole ones count as there.
    #[test]
    fn parts_tile_the_file() {
        let plan = |length, wanted: Option<u64>| {
            let (usual, single) = (ByteCount(300_000), ByteCount(1 << 20));
            Chunks::plan(ByteCount(length), wanted.map(ByteCount), usual, single).size.0
        };
        assert_eq!(plan(1 << 20, None), 1 << 20, "small files are one part");
        assert_eq!(plan((1 << 20) + 1, None), 300_000);
        assert_eq!(plan(1 << 20, Some(1)), 256 << 10, "unless somebody wants them cut");
        assert_eq!(plan(1 << 20, Some(8 << 20)), 1 << 20);
        assert_eq!(plan(1 << 40, Some(u64::MAX)), 512 << 20);
        assert_eq!(plan(5_000_000_000_000, Some(1)), 500_000_000);
        let (chunks, length) = (Chunks { size: ByteCount(10), sha256: None }, ByteCount(35));
        assert_eq!(chunks.count(length), 4);
        assert_eq!(chunks.bounds(3, length), Some((ByteOffset(30), ByteOffset(35))));
        assert_eq!(chunks.bounds(4, length), None);
        assert_eq!(chunks.bounds(u32::MAX, length), None);
        let mut there = Ranges::default();
        assert_eq!(chunks.missing(length, &there), [0, 1, 2, 3]);
        there.insert(ByteOffset(9), ByteOffset(20));
        assert_eq!(chunks.missing(length, &there), [0, 2, 3]);
        there.insert(ByteOffset(30), ByteOffset(35));
        assert_eq!(chunks.missing(length, &there), [0, 2]);
        assert_eq!(chunks.missing(length, &Ranges::up_to(ByteOffset(35))), [] as [u32; 0]);
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
