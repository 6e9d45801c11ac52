//! Every place in the data directory, in one list.

use crate::ids::{Epoch, JobId, UploadId, VideoId};
use std::path::{Path, PathBuf};

/// A place in the data directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// `VERSION`: of the layout; read before anything else.
    Version,
    /// `lock`: held by the running server.
    Lock,
    /// `admin-token`: made at the first start.
    AdminToken,
    /// `control.sock`: for commands beside a running server.
    ControlSocket,
    /// `reserve`: room to give up when the disk is full.
    Reserve,
    /// `sync-failed`: the disk lost bytes that it was asked to confirm.
    SyncFailed,
    /// `export.jsonl.gz`: the records at some moment, for when the database doesn't open.
    Export,
    /// `audit/`: who did what.
    Audit,
    /// `rebuilding`: the records aren't made anew from the files yet.
    Rebuilding,
    /// `state.incoming/`: a database that is being made.
    IncomingState,
    /// `state.outgoing/`: the database that another one has replaced.
    OutgoingState,
    /// `erasing`: of whom everything is being removed.
    Erasing,
    /// `forgetting`: the database may hold bytes of records that are gone.
    Forgetting,
    /// `original-keys`: the ids of the keys that files may be encrypted with.
    OriginalKeys,
    /// `state/`: the database.
    State,
    /// `tmp/`: everything that isn't finished.
    Tmp,
    /// `tmp/uploads/`.
    Uploads,
    /// `tmp/uploads/ab/<upload>/`.
    Upload(UploadId),
    /// `tmp/uploads/ab/<upload>/blob`: bytes at their offsets.
    Blob(UploadId),
    /// `tmp/uploads/ab/<upload>/blob.enc`: the same, encrypted.
    EncryptedBlob(UploadId),
    /// `tmp/uploads/ab/<upload>/blob.key`: the wrapped key of it.
    BlobKey(UploadId),
    /// `tmp/uploads/ab/<upload>/meta.json`.
    UploadMeta(UploadId),
    /// `originals/`.
    Originals,
    /// `originals/ab/<video>/`.
    Original(VideoId),
    /// `originals/ab/<video>/source`: complete, confirmed, read-only.
    Source(VideoId),
    /// `originals/ab/<video>/source.enc`: the same, encrypted.
    EncryptedSource(VideoId),
    /// `originals/ab/<video>/source.key`: the wrapped key of it, and the tags of its blocks.
    SourceKey(VideoId),
    /// `originals/ab/<video>/facts.json`.
    Facts(VideoId),
    /// `tmp/trash/`: what was deleted and can be restored for a while.
    Trashes,
    /// `tmp/trash/<video>/`.
    Trash(VideoId),
    /// `tmp/trash/<video>/trash.json`.
    TrashNote(VideoId),
    /// `tmp/trash/<video>/original/`: as in `originals/`.
    TrashedOriginal(VideoId),
    /// `tmp/trash/<video>/original/source.key`.
    TrashedKey(VideoId),
    /// `tmp/trash/<video>/media/`: as in `media/`.
    TrashedMedia(VideoId),
    /// `work/`.
    Works,
    /// `work/<job>/`.
    Work(JobId),
    /// `work/<job>/<epoch>/`: one child's scratch.
    Scratch(JobId, Epoch),
    /// `tmp/handed/`: what small jobs were handed to work on.
    Handeds,
    /// `tmp/handed/<job>`.
    Handed(JobId),
    /// `media/`.
    Medias,
    /// `media/ab/<video>/`: what players fetch.
    Media(VideoId),
    /// `media/ab/<video>/manifest.json`.
    Manifest(VideoId),
}

/// Returns where a video's original and its media are, relative to the data directory.
pub fn places_of(video: VideoId) -> (String, String) {
    let below = |place: Place| place.below(Path::new("")).to_string_lossy().into_owned();
    (below(Place::Original(video)), below(Place::Media(video)))
}

impl Place {
    /// Returns the place's path below `root`.
    pub(super) fn below(self, root: &Path) -> PathBuf {
        match self {
            Self::Version => root.join("VERSION"),
            Self::Lock => root.join("lock"),
            Self::AdminToken => root.join("admin-token"),
            Self::ControlSocket => root.join("control.sock"),
            Self::Reserve => root.join("reserve"),
            Self::SyncFailed => root.join("sync-failed"),
            Self::Export => root.join("export.jsonl.gz"),
            Self::Audit => root.join("audit"),
            Self::Rebuilding => root.join("rebuilding"),
            Self::IncomingState => root.join("state.incoming"),
            Self::OutgoingState => root.join("state.outgoing"),
            Self::Erasing => root.join("erasing"),
            Self::Forgetting => root.join("forgetting"),
            Self::OriginalKeys => root.join("original-keys"),
            Self::State => root.join("state"),
            Self::Tmp => root.join("tmp"),
            Self::Uploads => root.join("tmp/uploads"),
            Self::Upload(id) => sharded(Self::Uploads, root, &id.shard(), &id.to_string()),
            Self::Blob(id) => Self::Upload(id).below(root).join("blob"),
            Self::EncryptedBlob(id) => Self::Upload(id).below(root).join("blob.enc"),
            Self::BlobKey(id) => Self::Upload(id).below(root).join("blob.key"),
            Self::UploadMeta(id) => Self::Upload(id).below(root).join("meta.json"),
            Self::Originals => root.join("originals"),
            Self::Original(id) => sharded(Self::Originals, root, &id.shard(), &id.to_string()),
            Self::Source(id) => Self::Original(id).below(root).join("source"),
            Self::EncryptedSource(id) => Self::Original(id).below(root).join("source.enc"),
            Self::SourceKey(id) => Self::Original(id).below(root).join("source.key"),
            Self::Facts(id) => Self::Original(id).below(root).join("facts.json"),
            Self::Trashes => root.join("tmp/trash"),
            Self::Trash(id) => Self::Trashes.below(root).join(id.to_string()),
            Self::TrashNote(id) => Self::Trash(id).below(root).join("trash.json"),
            Self::TrashedOriginal(id) => Self::Trash(id).below(root).join("original"),
            Self::TrashedKey(id) => Self::TrashedOriginal(id).below(root).join("source.key"),
            Self::TrashedMedia(id) => Self::Trash(id).below(root).join("media"),
            Self::Works => root.join("work"),
            Self::Work(id) => Self::Works.below(root).join(id.to_string()),
            Self::Scratch(id, epoch) => Self::Work(id).below(root).join(epoch.to_string()),
            Self::Handeds => root.join("tmp/handed"),
            Self::Handed(id) => Self::Handeds.below(root).join(id.to_string()),
            Self::Medias => root.join("media"),
            Self::Media(id) => sharded(Self::Medias, root, &id.shard(), &id.to_string()),
            Self::Manifest(id) => Self::Media(id).below(root).join("manifest.json"),
        }
    }
}

fn sharded(parent: Place, root: &Path, shard: &str, name: &str) -> PathBuf {
    parent.below(root).join(shard).join(name)
}
