//! Named moments at which a debug build can be made to die, for crash tests.
//!
//! `SLIPWAY_FAIL_AT=<name>` ends the process there at once, as a kill would.
//! `SLIPWAY_HOLD_AT=<name>:<path of a FIFO>` has whoever comes there wait until the FIFO has been
//! opened for writing and closed again, or is gone. Release builds contain none of it.

/// A moment between two steps that must both happen, sooner or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailAt {
    /// `after-write-before-record`: bytes of an upload are with the kernel, no record tells so.
    AfterWriteBeforeRecord,
    /// `after-sync-before-rename`: a finished blob is confirmed but still lies among the uploads.
    AfterSyncBeforeRename,
    /// `after-rename-before-record`: the original is in place, the record says finishing.
    AfterRenameBeforeRecord,
    /// `after-record`: everything about the finish is recorded, nobody has been told.
    AfterRecord,
    /// `before-join`: a final upload's video is queued, nothing of it is joined.
    BeforeJoin,
    /// `in-mid-join`: bytes of a part are in the final upload's blob, no record tells so.
    InMidJoin,
    /// `after-publish-before-manifest`: a segment lies among the media, no manifest names it.
    AfterPublishBeforeManifest,
    /// `after-last-playlist`: a rung's last playlist is there, the manifest doesn't say that it is
    /// complete.
    AfterLastPlaylist,
    /// `after-trash-record`: a video's record is in the trash, its bytes lie where they did.
    AfterTrashRecord,
    /// `in-mid-trash`: the original of a deleted video is in the trash, its media aren't.
    InMidTrash,
    /// `after-restore-before-record`: a video's bytes are back, its record is in the trash.
    AfterRestoreBeforeRecord,
    /// `after-purge-record`: the record of a video is gone for good, its bytes are in the trash.
    AfterPurgeRecord,
    /// `after-drop-record`: a record says that its original isn't kept, the bytes are there.
    AfterDropRecord,
    /// `before-state-in-place`: a database that was made anew isn't in its place yet.
    BeforeStateInPlace,
    /// `after-key-before-rename`: the key of an encrypted upload lies beside where its bytes go.
    AfterKeyBeforeRename,
    /// `before-tags-in-place`: the tags of an encrypted original are written, not in their place.
    BeforeTagsInPlace,
    /// `before-backup-in-place`: all of a backup is there, but for its name.
    BeforeBackupInPlace,
    /// `in-mid-restore`: one file of a backup is restored.
    InMidRestore,
    /// `after-erasure-note`: it is noted who is to be erased, nothing is removed.
    AfterErasureNote,
    /// `after-erased-records`: their records are gone, their files aren't.
    AfterErasedRecords,
    /// `in-mid-erasure`: the files of one of their videos are gone.
    InMidErasure,
    /// `after-erased-files`: their files are gone, the audit log still names them.
    AfterErasedFiles,
    /// `before-erasure-end`: everything of theirs is gone but for the note, and what the database
    /// remembers.
    BeforeErasureEnd,
    /// `before-state-swap`: the database without what is gone is made, beside the one with it.
    BeforeStateSwap,
    /// `in-mid-state-swap`: there is no database in its place.
    InMidStateSwap,
    /// `after-state-swap`: the database that remembers is still there, beside the one in its place.
    AfterStateSwap,
    /// `in-mid-export`: one file of somebody's is in the archive that they are to have.
    InMidExport,
}

impl FailAt {
    /// All moments.
    pub const ALL: [FailAt; 27] = [
        Self::AfterWriteBeforeRecord,
        Self::AfterSyncBeforeRename,
        Self::AfterRenameBeforeRecord,
        Self::AfterRecord,
        Self::BeforeJoin,
        Self::InMidJoin,
        Self::AfterPublishBeforeManifest,
        Self::AfterLastPlaylist,
        Self::AfterTrashRecord,
        Self::InMidTrash,
        Self::AfterRestoreBeforeRecord,
        Self::AfterPurgeRecord,
        Self::AfterDropRecord,
        Self::BeforeStateInPlace,
        Self::AfterKeyBeforeRename,
        Self::BeforeTagsInPlace,
        Self::BeforeBackupInPlace,
        Self::InMidRestore,
        Self::AfterErasureNote,
        Self::AfterErasedRecords,
        Self::InMidErasure,
        Self::AfterErasedFiles,
        Self::BeforeErasureEnd,
        Self::BeforeStateSwap,
        Self::InMidStateSwap,
        Self::AfterStateSwap,
        Self::InMidExport,
    ];

    /// Returns the name that the environment variable takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterWriteBeforeRecord => "after-write-before-record",
            Self::AfterSyncBeforeRename => "after-sync-before-rename",
            Self::AfterRenameBeforeRecord => "after-rename-before-record",
            Self::AfterRecord => "after-record",
            Self::BeforeJoin => "before-join",
            Self::InMidJoin => "in-mid-join",
            Self::AfterPublishBeforeManifest => "after-publish-before-manifest",
            Self::AfterLastPlaylist => "after-last-playlist",
            Self::AfterTrashRecord => "after-trash-record",
            Self::InMidTrash => "in-mid-trash",
            Self::AfterRestoreBeforeRecord => "after-restore-before-record",
            Self::AfterPurgeRecord => "after-purge-record",
            Self::AfterDropRecord => "after-drop-record",
            Self::BeforeStateInPlace => "before-state-in-place",
            Self::AfterKeyBeforeRename => "after-key-before-rename",
            Self::BeforeTagsInPlace => "before-tags-in-place",
            Self::BeforeBackupInPlace => "before-backup-in-place",
            Self::InMidRestore => "in-mid-restore",
            Self::AfterErasureNote => "after-erasure-note",
            Self::AfterErasedRecords => "after-erased-records",
            Self::InMidErasure => "in-mid-erasure",
            Self::AfterErasedFiles => "after-erased-files",
            Self::BeforeErasureEnd => "before-erasure-end",
            Self::BeforeStateSwap => "before-state-swap",
            Self::InMidStateSwap => "in-mid-state-swap",
            Self::AfterStateSwap => "after-state-swap",
            Self::InMidExport => "in-mid-export",
        }
    }
}

/// Ends the process here, or waits, if it was asked to; does nothing otherwise.
pub fn fail_at(moment: FailAt) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        static CHOSEN: OnceLock<[Option<String>; 2]> = OnceLock::new();
        let [fail, hold] = CHOSEN.get_or_init(|| {
            ["SLIPWAY_FAIL_AT", "SLIPWAY_HOLD_AT"].map(|name| std::env::var(name).ok())
        });
        if fail.as_deref() == Some(moment.name()) {
            std::process::abort();
        }
        match hold.as_deref().and_then(|hold| hold.split_once(':')) {
            Some((name, fifo)) if name == moment.name() => drop(std::fs::read(fifo)),
            _ => (),
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = moment;
}
