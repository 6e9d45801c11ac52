//! Publishing the text tracks and the chapters of the file.

use super::publish::{PublishError, Publisher};
use crate::disk::DiskError;
use crate::language;
use crate::model::extra::{FoundText, text_file};
use crate::model::text::{CHAPTERS_FILE, LABEL_CHARS_MAX, TEXTS_MAX, TextTrack};
use crate::text;
use crate::units::UnixMillis;
use tracing::warn;

impl Publisher {
    /// Publishes the text tracks that the child has found. What it wrote is read as text that
    /// anybody might have sent, and written anew; a track without a line is left out.
    ///
    /// Returns the tracks as the video's record keeps them.
    pub(super) fn texts(
        &mut self,
        found: Vec<FoundText>,
        now: UnixMillis,
    ) -> Result<Vec<TextTrack>, PublishError> {
        let disk = self.disk.clone();
        let _turn = disk.publishing(self.video);
        let mut tracks: Vec<TextTrack> = Vec::new();
        for (index, found) in found.into_iter().take(TEXTS_MAX).enumerate() {
            let file = text_file(index + 1);
            let bytes = self.disk.scratch_text(self.job, self.epoch, &file)?;
            let cues = match text::read(&bytes) {
                Ok(cues) => cues,
                Err(text::TextError::Empty) => continue,
                Err(error) => {
                    let id = self.video;
                    warn!(video.id = %id, "a text track of {id} is left out: {error}");
                    continue;
                }
            };
            let stored = self.disk.store_text(self.video, &text::whole(&cues))?;
            let lang = language::tag(&found.lang).unwrap_or_else(|| language::UNKNOWN.to_owned());
            let alike = tracks.iter().filter(|it| it.lang == lang && it.kind == found.kind).count();
            tracks.push(TextTrack {
                label: label_of(&found.label, &lang),
                lang,
                kind: found.kind,
                ordinal: alike as u32 + 1,
                stored,
                cut: None,
            });
        }
        self.manifest.texts = Some(tracks.clone());
        self.write_in_turn(now, true)?;
        Ok(tracks)
    }

    /// Writes the chapters' file.
    pub(super) fn write_chapters(&self) -> Result<(), DiskError> {
        let ms = |seconds: f64| (seconds * 1000.0).round().max(0.0) as u64;
        let chapters = self.manifest.chapters.iter();
        let written =
            text::chapters(chapters.map(|it| (ms(it.start), ms(it.end), it.title.as_str())));
        self.disk.replace_media(self.video, CHAPTERS_FILE, written.as_bytes(), true)
    }
}

/// Returns the file's own title for a track in one short line, or what its language calls itself.
fn label_of(title: &str, lang: &str) -> String {
    let title: String = title.chars().filter(|c| !c.is_control()).take(LABEL_CHARS_MAX).collect();
    match title.trim() {
        "" if lang == language::UNKNOWN => "Text".to_owned(),
        "" => language::name(lang),
        title => title.to_owned(),
    }
}
