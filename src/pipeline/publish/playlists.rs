//! What tells players of the published files: the manifest, and the playlists that are made of it.

use super::{PublishError, Publisher};
use crate::media::{dash, playlist};
use crate::model::extra::STORYBOARD_FILE;
use crate::model::manifest::{KEY_PLAYLIST_FILE, MEDIA_PLAYLIST_FILE, Rung};
use crate::units::UnixMillis;

impl Publisher {
    /// Writes the manifest, then the media playlists that are behind, then what refers to them. No
    /// playlist names a segment that the manifest doesn't: after a kill it would be made again.
    pub(super) fn rewrite(&mut self, now: UnixMillis) -> Result<(), PublishError> {
        let disk = self.disk.clone();
        let _turn = disk.publishing(self.video);
        self.refresh_texts()?;
        self.replace_manifest(false)?;
        for name in std::mem::take(&mut self.behind) {
            // One that catches up isn't known to anybody.
            if let Some(rung) = self.manifest.rungs.iter().find(|rung| rung.plan.name == name) {
                self.write_media_playlist(rung)?;
            }
        }
        self.rewritten = now;
        self.write_indexes(now, false)
    }

    pub(super) fn write_media_playlist(&self, rung: &Rung) -> Result<(), PublishError> {
        if !self.manifest.formats.hls {
            return Ok(());
        }
        if let Some(keys) = playlist::key_pictures(rung) {
            let file = format!("{}/{KEY_PLAYLIST_FILE}", rung.directory());
            self.disk.replace_media(self.video, &file, keys.as_bytes(), false)?;
        }
        let file = format!("{}/{MEDIA_PLAYLIST_FILE}", rung.directory());
        Ok(self.disk.replace_media(self.video, &file, playlist::media(rung).as_bytes(), false)?)
    }

    /// Writes the manifest and what refers to all rungs. For who has the video's turn, so that they
    /// agree whenever somebody else has it: people add text tracks meanwhile.
    pub(in crate::pipeline) fn write_in_turn(
        &mut self,
        now: UnixMillis,
        sync: bool,
    ) -> Result<(), PublishError> {
        self.refresh_texts()?;
        self.replace_manifest(sync)?;
        self.write_indexes(now, sync)
    }

    fn write_indexes(&self, now: UnixMillis, sync: bool) -> Result<(), PublishError> {
        if self.manifest.is_playable() {
            let formats = self.manifest.formats;
            if formats.hls {
                let master = playlist::multivariant(&self.manifest);
                self.disk.replace_media(self.video, "master.m3u8", master.as_bytes(), sync)?;
            }
            if formats.dash {
                let mpd = dash::mpd(&self.manifest, now, self.began);
                self.disk.replace_media(self.video, "manifest.mpd", mpd.as_bytes(), sync)?;
            }
        }
        Ok(self.disk.prune_cut_texts(self.video, &self.manifest)?)
    }

    pub(in crate::pipeline) fn write_manifest(&mut self, sync: bool) -> Result<(), PublishError> {
        let disk = self.disk.clone();
        let _turn = disk.publishing(self.video);
        self.refresh_texts()?;
        self.replace_manifest(sync)
    }

    /// Takes over what people have added by now.
    fn refresh_texts(&mut self) -> Result<(), PublishError> {
        let added = self.state.video(self.video)?.map(|video| video.captions).unwrap_or_default();
        Ok(self.disk.refresh_texts(self.video, &mut self.manifest, &added)?)
    }

    fn replace_manifest(&self, sync: bool) -> Result<(), PublishError> {
        let text = serde_json::to_vec(&self.manifest)?;
        Ok(self.disk.replace_media(self.video, "manifest.json", &text, sync)?)
    }

    /// Writes what is where on the storyboard's sheets, for so many seconds of film.
    pub(super) fn write_storyboard(&self, seconds: f64) -> Result<(), PublishError> {
        let Some(storyboard) = &self.manifest.storyboard else { return Ok(()) };
        let text = storyboard.to_vtt(seconds);
        Ok(self.disk.replace_media(self.video, STORYBOARD_FILE, text.as_bytes(), true)?)
    }
}
