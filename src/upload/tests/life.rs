//! A house that can be opened, killed and opened again, and bodies that end in every way.

use crate::cipher::{Keyring, MasterKey};
use crate::clock::Clock;
use crate::config::{Durability, Reserve};
use crate::disk::{Disk, Encryption};
use crate::events::Hub;
use crate::ids::{Owner, UploadId};
use crate::model::access::Pass;
use crate::model::upload::Protocol;
use crate::model::video::Visibility;
use crate::state::{State, UploadRecord};
use crate::units::{ByteCount, ByteOffset, UnixMillis};
use crate::upload::{
    Append, BlockingHooks, EXPIRE_EMPTY_MS, Metadata, NewUpload, UploadLimits, Uploads,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proptest::prelude::ProptestConfig;
use std::pin::Pin;
use tokio::sync::oneshot;

pub(super) const DAY_MS: i64 = 86_400_000;
pub(super) const KIB: u64 = 1024;

/// A data directory and the settings that survive a kill.
pub(super) struct House {
    dir: tempfile::TempDir,
    pub(super) boot: String,
    pub(super) clock: Clock,
    pub(super) limits: UploadLimits,
    pub(super) hooks: BlockingHooks,
    pub(super) encryption: Encryption,
}

/// The server while it lives.
pub(super) struct Life {
    pub(super) uploads: Uploads,
    pub(super) state: State,
    pub(super) disk: Disk,
    pub(super) hub: Hub,
    pub(super) clock: Clock,
}

/// Returns a few random cases, or as many as `PROPTEST_CASES` says.
pub(super) fn cases(few: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(few),
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    }
}

impl House {
    pub(super) fn new() -> Self {
        let limits = UploadLimits {
            max_size: ByteCount(64 * 1024 * KIB),
            expire_after_ms: DAY_MS as u64,
            expire_empty_ms: EXPIRE_EMPTY_MS,
            idle_timeout_ms: 60_000,
            reserve_free_space: Reserve::Bytes(ByteCount(0)),
            durability: Durability::Complete,
            default_visibility: Visibility::Unlisted,
            admission: Default::default(),
            live: true,
        };
        House {
            dir: tempfile::tempdir().expect("a temporary directory"),
            boot: "boot-1".into(),
            clock: Clock::by_hand(UnixMillis(1_700_000_000_000)),
            limits,
            hooks: BlockingHooks::default(),
            encryption: Encryption::default(),
        }
    }

    /// Has uploads encrypted from now on.
    pub(super) fn encrypts(&mut self) {
        let keys = Keyring::parse(MasterKey::fresh().to_line().as_bytes()).expect("a key");
        self.encryption = Encryption { keys: Some(keys), is_on: true };
    }

    /// Opens the data directory while nobody lives there.
    pub(super) fn disk(&self) -> Disk {
        let opened = Disk::open_with(self.dir.path(), self.encryption.clone());
        opened.expect("the directory is ours")
    }

    /// Returns the data directory.
    pub(super) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Runs `life` in a server of this house; what is still under way when it returns is killed.
    pub(super) fn live<T>(&self, life: impl AsyncFnOnce(&Life) -> T) -> T {
        self.live_unmended(async |it: &Life| {
            it.uploads.recover().await.expect("the start mends everything");
            life(it).await
        })
    }

    /// As [`House::live`], before the start has mended anything.
    pub(super) fn live_unmended<T>(&self, life: impl AsyncFnOnce(&Life) -> T) -> T {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let disk = self.disk();
        let state = State::open(&disk.state_dir()).expect("the database opens");
        let hub = Hub::new(self.clock.now());
        let uploads = Uploads::new(
            disk.clone(),
            state.clone(),
            hub.clone(),
            self.clock.clone(),
            self.limits.clone(),
            self.boot.clone(),
            self.hooks.clone(),
        );
        let it = Life { uploads, state, disk, hub, clock: self.clock.clone() };
        let result = runtime.block_on(life(&it));
        // Tasks first: they hold the files and the database.
        drop(runtime);
        result
    }
}

impl Life {
    pub(super) async fn create(&self, length: Option<u64>) -> UploadRecord {
        self.uploads.create(new_upload(length)).await.expect("there is room")
    }

    /// Appends `bytes` at `at` in one request that ends well.
    pub(super) async fn append(
        &self,
        id: UploadId,
        at: u64,
        bytes: &[u8],
    ) -> Result<crate::upload::Appended, crate::upload::UploadError> {
        self.uploads.append(to(id, at), body(pieces(bytes, 10_000), Then::End)).await
    }

    /// Returns where an upload goes on.
    pub(super) async fn offset(&self, id: UploadId) -> u64 {
        self.uploads.look(id).await.expect("it is open").received.end().0
    }

    /// Reads the original of an upload's video.
    pub(super) fn original(&self, record: &UploadRecord) -> Vec<u8> {
        let video = record.video.expect("every upload has one");
        let mut file = self.disk.open_original(video).expect("it is in place");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).expect("it can be read");
        assert_eq!(file.size().0, bytes.len() as u64);
        bytes
    }

    /// Reads the first `count` bytes of an upload's blob.
    pub(super) fn blob(&self, id: UploadId, count: u64) -> Vec<u8> {
        let blob = self.disk.open_blob(id).expect("it is there");
        let mut bytes = vec![0; count as usize];
        blob.read_at(ByteOffset(0), &mut bytes).expect("it has as many");
        bytes
    }
}

pub(super) fn new_upload(length: Option<u64>) -> NewUpload {
    let header = "filename YS5tcDQ=,title QSBkYXk=";
    NewUpload {
        owner: Owner("anna".into()),
        protocol: Protocol::Tus,
        length: length.map(ByteCount),
        metadata: Metadata::parse_header(header).expect("good metadata"),
        raw_metadata: Some(header.into()),
        pass: Pass::default(),
    }
}

pub(super) fn to(id: UploadId, at: u64) -> Append {
    Append { id, at: ByteOffset(at), declared: None, content_length: None }
}

/// Returns `count` bytes that differ from place to place.
pub(super) fn content(count: u64) -> Vec<u8> {
    (0..count).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

pub(super) fn pieces(bytes: &[u8], size: usize) -> Vec<Bytes> {
    bytes.chunks(size.max(1)).map(Bytes::copy_from_slice).collect()
}

/// How a body goes on after its pieces.
pub(super) enum Then {
    End,
    Break,
    /// Tells that all pieces were read, and then brings nothing.
    Hang(oneshot::Sender<()>),
}

pub(super) type Body = Pin<Box<dyn Stream<Item = Result<Bytes, &'static str>> + Send>>;

pub(super) fn body(pieces: Vec<Bytes>, then: Then) -> Body {
    let pieces = stream::iter(pieces).map(Ok);
    match then {
        Then::End => pieces.boxed(),
        Then::Break => pieces.chain(stream::iter([Err("reset")])).boxed(),
        Then::Hang(told) => {
            let hang = stream::once(async move {
                // Nobody may be listening; the body hangs all the same.
                let _ = told.send(());
                std::future::pending().await
            });
            pieces.chain(hang).boxed()
        }
    }
}
