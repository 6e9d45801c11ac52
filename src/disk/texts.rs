//! Text tracks on disk: each whole in `media/ab/<video>/captions/<number>.vtt`, and cut for players
//! in `media/ab/<video>/text-<number>/`. Numbers are made from the bytes.
//!
//! The job on a video and a person who adds captions may publish at the same moment: whoever
//! writes what players read first takes the video's turn with [`Disk::publishing`].

use super::Disk;
use super::error::DiskError;
use super::files;
use super::paths::Place;
use super::work::Scratch;
use crate::ids::{Epoch, JobId, VideoId};
use crate::model::manifest::{MEDIA_PLAYLIST_FILE, Manifest};
use crate::model::text::{TextCut, TextTrack, WHOLE_TEXT_FILE};
use crate::text;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The directory of whole text tracks.
const STORED_DIRECTORY: &str = "captions";

/// Turns for all videos; two that share one wait for each other now and then.
#[derive(Debug)]
pub(super) struct Turns([Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

/// A film whose length has changed by less isn't cut anew.
const SLACK_MS: u64 = 500;

impl Disk {
    /// Waits until nobody else writes what players read of this video. Blocks, and must not be
    /// taken twice by one thread.
    pub fn publishing(&self, video: VideoId) -> MutexGuard<'_, ()> {
        let turns = &self.inner.turns.0;
        let bytes = video.to_string();
        let at = bytes.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        turns[at % turns.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a text that a child has left in its scratch directory, without following a link.
    ///
    /// # Errors
    /// `Missing`, `BadName`, `Io`. Nothing is returned of one that is longer than a text may be.
    pub fn scratch_text(&self, job: JobId, epoch: Epoch, file: &str) -> Result<Vec<u8>, DiskError> {
        let read = Scratch::find(self, job, epoch, file)?.read(text::TEXT_BYTES_MAX as u64)?;
        Ok(read.unwrap_or_default())
    }

    /// Keeps a text track whole and returns the number that names it.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// Certain when it returns.
    pub fn store_text(&self, video: VideoId, whole: &str) -> Result<u32, DiskError> {
        let number = text::number_of(&[whole.as_bytes()]);
        let path = self.stored_text(video, number);
        files::make_dirs(&self.inner.root, files::parent_of(&path)?, true)?;
        files::replace(&path, whole.as_bytes(), 0o600, true)?;
        Ok(number)
    }

    /// Returns where a text track lies whole.
    pub fn stored_text(&self, video: VideoId, number: u32) -> PathBuf {
        self.path(Place::Media(video)).join(STORED_DIRECTORY).join(format!("{number}.vtt"))
    }

    /// Takes `captions`, what people have added, into the manifest, and cuts every track that
    /// isn't cut for the film's length yet. Only for whoever has the turn of [`Disk::publishing`].
    /// A track whose file can't be read stays uncut, and players aren't told of it.
    ///
    /// # Errors
    /// `NoSpace`, `SyncFailed`, `Io`.
    /// # Durability
    /// The files that the manifest names then are certain.
    pub fn refresh_texts(
        &self,
        video: VideoId,
        manifest: &mut Manifest,
        captions: &[TextTrack],
    ) -> Result<(), DiskError> {
        let known = std::mem::take(&mut manifest.captions);
        let cut_of = |track: &TextTrack| {
            known.iter().find(|known| known.stored == track.stored).and_then(|known| known.cut)
        };
        manifest.captions =
            captions.iter().map(|it| TextTrack { cut: cut_of(it), ..it.clone() }).collect();
        if manifest.duration <= 0.0 {
            return Ok(());
        }
        let film_ms = manifest.film_ms();
        for track in manifest.captions.iter_mut().chain(manifest.texts.iter_mut().flatten()) {
            if track.cut.is_none_or(|cut| cut.film_ms.abs_diff(film_ms) > SLACK_MS) {
                track.cut = self.cut_text(video, track.stored, film_ms)?;
            }
        }
        Ok(())
    }

    /// Writes the segments and the playlist of a text track.
    fn cut_text(
        &self,
        video: VideoId,
        stored: u32,
        film_ms: u64,
    ) -> Result<Option<TextCut>, DiskError> {
        let Some(whole) = files::read(&self.stored_text(video, stored))? else { return Ok(None) };
        let cues = match text::read(&whole) {
            Ok(cues) => cues,
            Err(error) => {
                tracing::warn!(video.id = %video, "text {stored} of {video} can't be cut: {error}");
                return Ok(None);
            }
        };
        let every = text::segment_seconds(film_ms);
        let number = text::number_of(&[&whole, &every.to_be_bytes(), &film_ms.to_be_bytes()]);
        let cut = TextCut { number, every, film_ms };
        let dir = self.path(Place::Media(video)).join(cut.directory());
        files::make_dirs(&self.inner.root, &dir, true)?;
        let write = |name: &str, bytes: &[u8]| files::replace(&dir.join(name), bytes, 0o600, false);
        let count = text::segments(film_ms, every);
        for number in 1..=count {
            let segment = text::segment(&cues, number, every, number == count);
            write(&text::segment_file(number), segment.as_bytes())?;
        }
        write(MEDIA_PLAYLIST_FILE, text::playlist(film_ms, every).as_bytes())?;
        write(WHOLE_TEXT_FILE, &whole)?;
        let mut files = vec![MEDIA_PLAYLIST_FILE.to_owned(), WHOLE_TEXT_FILE.to_owned()];
        files.extend((1..=count).map(text::segment_file));
        self.sync_rung(video, &cut.directory(), &files)?;
        Ok(Some(cut))
    }

    /// Removes the segments of text tracks that the manifest doesn't name any more. Only for
    /// whoever has the turn of [`Disk::publishing`], once the manifest is written.
    ///
    /// # Errors
    /// `Io`.
    pub fn prune_cut_texts(&self, video: VideoId, manifest: &Manifest) -> Result<(), DiskError> {
        let tracks = manifest.captions.iter().chain(manifest.texts.iter().flatten());
        let kept: Vec<String> =
            tracks.filter_map(|track| track.cut).map(TextCut::directory).collect();
        for name in self.rungs(video)?.iter().filter(|name| is_text(name)) {
            if !kept.contains(name) {
                self.remove_rung(video, name)?;
            }
        }
        Ok(())
    }

    /// Removes whole text tracks that the manifest doesn't name any more. As
    /// [`Disk::prune_cut_texts`], and nobody may be about to add one.
    ///
    /// # Errors
    /// `Io`.
    pub fn prune_stored_texts(&self, video: VideoId, manifest: &Manifest) -> Result<(), DiskError> {
        let tracks = manifest.captions.iter().chain(manifest.texts.iter().flatten());
        let kept: Vec<PathBuf> =
            tracks.map(|track| self.stored_text(video, track.stored)).collect();
        let dir = self.path(Place::Media(video)).join(STORED_DIRECTORY);
        for path in files::names(&dir)?.iter().map(|name| dir.join(name)) {
            if !kept.contains(&path) {
                files::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Says whether a directory below a video's media holds a text track.
pub fn is_text(directory: &str) -> bool {
    directory.starts_with("text-")
}
