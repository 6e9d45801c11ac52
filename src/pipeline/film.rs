//! `video.mp4`: a whole film in one file, made of segments that are there already.
//!
//! Nothing is decoded or encoded, and no byte of media goes through this process: the index is
//! written from the beginnings of the segments, and the kernel copies what they hold.

use crate::disk::{Assembly, Disk, DiskError, MediaFile};
use crate::ids::VideoId;
use crate::media::progressive::{self, Payload, Track};
use crate::model::manifest::{INIT_FILE, Manifest, Rung, segment_file};
use crate::model::rendition::RenditionKind;
use crate::units::{ByteCount, ByteOffset};

/// Lines of the largest film that is offered in one file: what everything plays.
const SIDE_MAX: u32 = 1080;

/// Bytes of a segment that hold all before its samples: some 250 seconds of either kind.
const BEGINNING: ByteCount = ByteCount(256 << 10);

/// Bytes that one step copies, more or less.
const STEP_BYTES: u64 = 64 << 20;

/// A film on its way into one file. Every method blocks on the disk.
pub(super) struct Film {
    assembly: Assembly,
    pieces: std::vec::IntoIter<(MediaFile, Payload)>,
}

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilmError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A segment isn't what this program writes.
    #[error("{0} can't be read")]
    Odd(String),
}

impl Film {
    /// Begins the file; `None` for a video without pictures to put in it.
    pub(super) fn begin(
        disk: &Disk,
        video: VideoId,
        manifest: &Manifest,
    ) -> Result<Option<Self>, FilmError> {
        let Some(rungs) = choose(manifest) else { return Ok(None) };
        let (mut tracks, mut payloads) = (Vec::new(), Vec::new());
        for rung in rungs {
            let (track, of_rung) = read(disk, video, rung)?;
            tracks.push(track);
            payloads.push(of_rung);
        }
        let order = progressive::interleaved(&tracks).into_iter();
        let pieces: Vec<_> = order.map(|(track, at)| payloads[track][at].clone()).collect();
        let mut assembly = disk.assemble(video, &MediaFile::Film)?;
        assembly.append(&progressive::header(&tracks))?;
        Ok(Some(Self { assembly, pieces: pieces.into_iter() }))
    }

    /// Copies some more; says whether that was the last.
    pub(super) fn step(&mut self) -> Result<bool, FilmError> {
        let mut copied = 0;
        while copied < STEP_BYTES {
            let Some((file, Payload { from, length })) = self.pieces.next() else {
                return Ok(true);
            };
            self.assembly.append_from(&file, ByteOffset(from), ByteCount(length))?;
            copied += length;
        }
        Ok(false)
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<ByteCount, FilmError> {
        Ok(self.assembly.finish()?)
    }
}

/// Chooses the pictures, the largest that everything plays, and the sound beside them.
fn choose(manifest: &Manifest) -> Option<Vec<&Rung>> {
    let complete = || manifest.rungs.iter().filter(|rung| rung.complete);
    let pictures = complete().filter(|rung| rung.plan.kind == RenditionKind::Video);
    let pictures: Vec<&Rung> = pictures.filter(|rung| rung.codecs.starts_with("avc1")).collect();
    let side = |rung: &&&Rung| rung.plan.width.min(rung.plan.height);
    let fitting = pictures.iter().filter(|rung| side(rung) <= SIDE_MAX).max_by_key(side);
    let chosen = *fitting.or_else(|| pictures.iter().min_by_key(side))?;
    let sound = complete().find(|rung| rung.plan.kind == RenditionKind::Audio);
    Some(std::iter::once(chosen).chain(sound).collect())
}

type Pieces = Vec<(MediaFile, Payload)>;

/// Reads the index of a rung and where its samples lie.
fn read(disk: &Disk, video: VideoId, rung: &Rung) -> Result<(Track, Pieces), FilmError> {
    let directory = rung.directory();
    let beginning = |name: String| {
        let file = MediaFile::parse(&name).ok_or_else(|| FilmError::Odd(name.clone()))?;
        let bytes = disk.read_beginning(video, &file, BEGINNING)?;
        Ok::<_, FilmError>((name, file, bytes))
    };
    let (name, _, init) = beginning(format!("{directory}/{INIT_FILE}"))?;
    let mut track = Track::new(&init).ok_or(FilmError::Odd(name))?;
    let mut pieces = Vec::with_capacity(rung.segments.len());
    for at in 1..=rung.segments.len() {
        let (name, file, bytes) = beginning(format!("{directory}/{}", segment_file(at)))?;
        let payload = track.segment(&bytes).ok_or(FilmError::Odd(name))?;
        pieces.push((file, payload));
    }
    Ok((track, pieces))
}
