//! What a job reads: the original, the parts that are being joined into it, or what has come of an
//! upload that is still under way.
//!
//! Which of them is there is decided anew at each start of a job. A child that has the parts
//! open keeps them, whatever is removed meanwhile.

use super::along::Along;
use crate::disk::{Disk, DiskError, PlainFile};
use crate::ids::{UploadId, VideoId};
use crate::model::upload::Concat;
use crate::state::{State, StateError, UploadRecord};
use crate::units::ByteCount;
use crate::upload::{Followed, Piece, Uploads};
use crate::wire::{EncryptedFile, Extent, SOURCE_FILES_MAX};
use std::os::fd::OwnedFd;

/// Looks at each place. The joining, or the upload, may end between two of them.
const LOOKS: usize = 2;

/// The open files of a source, and how they follow each other.
pub(super) struct Opened {
    pub(super) files: Vec<OwnedFd>,
    pub(super) extents: Vec<Extent>,
    /// Those of the files that are encrypted on the disk, each with its own key.
    pub(super) encrypted: Vec<EncryptedFile>,
    /// The last extent is as long as it may become: nobody knows yet.
    pub(super) is_open_ended: bool,
    /// Tells what of it is here, if the upload is under way.
    pub(super) along: Option<Along>,
}

/// The files of a source, with what the child needs to read those that are encrypted.
#[derive(Default)]
struct Files {
    files: Vec<OwnedFd>,
    encrypted: Vec<EncryptedFile>,
    /// Tags of files, which come behind all that are read.
    tags: Vec<(usize, OwnedFd)>,
}

impl Files {
    fn push(&mut self, opened: PlainFile) {
        let (file, encrypted) = opened.into_parts();
        if let Some((reading, key_file)) = encrypted {
            if reading.is_tagged() {
                self.tags.push((self.encrypted.len(), key_file.into()));
            }
            self.encrypted.push(EncryptedFile {
                file: self.files.len() as u32,
                reading,
                tags: None,
            });
        }
        self.files.push(file.into());
    }

    fn opened(mut self, extents: Vec<Extent>) -> Opened {
        for (of, tags) in self.tags {
            self.encrypted[of].tags = Some(self.files.len() as u32);
            self.files.push(tags);
        }
        let Self { files, encrypted, .. } = self;
        Opened { files, extents, encrypted, is_open_ended: false, along: None }
    }
}

/// Why a source can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Opens what there is of a video's source. Blocks on the disk.
pub(super) fn open(disk: &Disk, state: &State, video: VideoId) -> Result<Opened, SourceError> {
    open_of(disk, state, None, video)
}

/// As [`open`], for a job that works on what is here of an upload too.
pub(super) fn open_live(
    disk: &Disk,
    state: &State,
    uploads: &Uploads,
    video: VideoId,
) -> Result<Opened, SourceError> {
    open_of(disk, state, Some(uploads), video)
}

fn open_of(
    disk: &Disk,
    state: &State,
    uploads: Option<&Uploads>,
    video: VideoId,
) -> Result<Opened, SourceError> {
    for _ in 0..LOOKS {
        match disk.open_original(video) {
            Ok(original) => {
                let mut files = Files::default();
                let extents = Extent::whole(original.size());
                files.push(original);
                return Ok(files.opened(extents));
            }
            Err(DiskError::Missing) => (),
            Err(failed) => return Err(failed.into()),
        }
        if let Some(uploads) = uploads
            && let Some(opened) = if_there(open_arriving(disk, state, uploads, video))?
        {
            return Ok(opened);
        }
        if let Some(opened) = if_there(open_parts(disk, state, video))? {
            return Ok(opened);
        }
    }
    // One that was deleted a moment ago has lost nothing.
    let is_deleted = state.video(video)?.is_none();
    Err(if is_deleted { StateError::Missing.into() } else { DiskError::Missing.into() })
}

/// What was found missing has just gone elsewhere.
fn if_there(opened: Result<Option<Opened>, SourceError>) -> Result<Option<Opened>, SourceError> {
    match opened {
        Err(SourceError::Disk(DiskError::Missing)) => Ok(None),
        opened => opened,
    }
}

/// Opens the parts of a video's upload; `None` if they aren't all there, or it has none.
fn open_parts(disk: &Disk, state: &State, video: VideoId) -> Result<Option<Opened>, SourceError> {
    let upload = |id: UploadId| state.upload(id);
    let Some(made) = state.video(video)?.and_then(|video| video.upload) else { return Ok(None) };
    let Some(Concat::Final { parts, .. }) = upload(made)?.and_then(|upload| upload.concat) else {
        return Ok(None);
    };
    let mut pieces = Vec::with_capacity(parts.len());
    for id in parts {
        let Some((part, length)) = upload(id)?.and_then(complete) else { return Ok(None) };
        pieces.push(Piece { upload: part.id, length });
    }
    open_pieces(disk, &pieces, |piece| piece.length)
}

/// Opens what a video's upload that is under way lies in; `None` if that has ended, or can't be
/// followed.
fn open_arriving(
    disk: &Disk,
    state: &State,
    uploads: &Uploads,
    video: VideoId,
) -> Result<Option<Opened>, SourceError> {
    let Some(id) = state.video(video)?.and_then(|video| video.upload) else { return Ok(None) };
    let Ok(Some(Followed { news, pieces })) = uploads.follow(id) else { return Ok(None) };
    let opened = open_pieces(disk, pieces.as_slice(), |_| ByteCount(0))?;
    let is_open_ended = pieces.length().is_none();
    Ok(opened.map(|opened| Opened { is_open_ended, along: Some(Along::new(news)), ..opened }))
}

/// Opens each file once, as long as it has `bytes`; `None` if they are too many.
fn open_pieces(
    disk: &Disk,
    pieces: &[Piece],
    bytes: impl Fn(&Piece) -> ByteCount,
) -> Result<Option<Opened>, SourceError> {
    let mut known: Vec<UploadId> = Vec::new();
    let (mut files, mut extents) = (Files::default(), Vec::with_capacity(pieces.len()));
    for piece in pieces {
        let file = match known.iter().position(|&other| other == piece.upload) {
            Some(file) => file,
            None if known.len() == SOURCE_FILES_MAX => return Ok(None),
            None => {
                files.push(disk.read_blob(piece.upload, bytes(piece))?);
                known.push(piece.upload);
                known.len() - 1
            }
        };
        extents.push(Extent { file: file as u32, length: piece.length });
    }
    Ok(Some(files.opened(extents)))
}

/// Returns a part with its length if all of its bytes are here.
fn complete(part: UploadRecord) -> Option<(UploadRecord, ByteCount)> {
    let length = part.length?;
    let is_whole = part.is_part() && !part.state.is_gone() && part.received.end().0 == length.0;
    is_whole.then_some((part, length))
}
