//! Text tracks that people add to a video, take away again, and fetch.

use super::{Library, LibraryError, Shelf};
use crate::ids::VideoId;
use crate::language;
use crate::media::{dash, playlist};
use crate::model::access::Viewer;
use crate::model::manifest::Manifest;
use crate::model::text::{CAPTIONS_MAX, LABEL_CHARS_MAX, TextKind, TextTrack, shown};
use crate::state::VideoRecord;
use crate::text;
use tracing::{info, warn};

/// A text track as somebody sends it.
pub struct NewCaption {
    /// BCP 47 tag, in any spelling.
    pub lang: String,
    /// What it is for.
    pub kind: TextKind,
    /// What players call it; without one, what its language calls itself.
    pub label: Option<String>,
    /// WebVTT or SRT.
    pub bytes: Vec<u8>,
}

/// Returns the text track of a video that is addressed by this name.
///
/// # Errors
/// `Missing`.
pub fn text_track<'v>(video: &'v VideoRecord, name: &str) -> Result<&'v TextTrack, LibraryError> {
    let mut tracks = shown(&video.captions, &video.texts).into_iter();
    tracks.find(|track| track.name() == name).ok_or(LibraryError::Missing)
}

/// Returns the name under which a track of this language and kind is addressed.
///
/// # Errors
/// `Invalid` for what isn't a language tag.
pub fn caption_name(lang: &str, kind: TextKind) -> Result<String, LibraryError> {
    Ok(empty_track(lang, kind)?.name())
}

impl Library {
    /// Adds a text track to a video, in the stead of an added one with the same language and kind,
    /// and tells players of it. Returns the video's new record and the track.
    ///
    /// # Errors
    /// `Missing`, `Forbidden`; `Uploading` before all bytes of the film are here; `Invalid`,
    /// `Text`, before anything changed; `NoSpace`.
    /// # Durability
    /// File and record survive a power cut when this returns.
    /// # Cancel
    /// A dropped call may still take effect, in part or wholly; sent again it does wholly.
    pub async fn put_caption(
        &self,
        id: VideoId,
        viewer: &Viewer,
        new: NewCaption,
    ) -> Result<(VideoRecord, TextTrack), LibraryError> {
        let mut track = empty_track(&new.lang, new.kind)?;
        track.label = label_of(new.label, &track.lang)?;
        let _one_at_a_time = self.shelf.changing.lock().await;
        let before = self.own_video(id, viewer)?;
        if before.uploaded_at.is_none() {
            return Err(LibraryError::Uploading);
        }
        let is_new = !before.captions.iter().any(|known| known.name() == track.name());
        if is_new && before.captions.len() >= CAPTIONS_MAX {
            return Err(LibraryError::Invalid {
                field: "lang",
                rule: "would be a 17th text track",
            });
        }
        track.stored = self
            .blocking(move |shelf| {
                let cues = text::read(&new.bytes)?;
                Ok(shelf.disk.store_text(id, &text::whole(&cues))?)
            })
            .await?;
        let video = self.shelf.state.put_caption(id, track.clone()).await?;
        self.publish_captions(&video).await?;
        info!(video.id = %id, "video {id} has a text track in {}", track.name());
        Ok((video, track))
    }

    /// Takes an added text track away; one of the file with its language and kind is shown again.
    ///
    /// # Errors
    /// `Missing` if there is no such video or track, `Forbidden`.
    /// # Durability
    /// As [`Library::put_caption`].
    pub async fn delete_caption(
        &self,
        id: VideoId,
        viewer: &Viewer,
        name: String,
    ) -> Result<(), LibraryError> {
        let _one_at_a_time = self.shelf.changing.lock().await;
        let before = self.own_video(id, viewer)?;
        if !before.captions.iter().any(|known| known.name() == name) {
            return Err(LibraryError::Missing);
        }
        let video = self.shelf.state.remove_caption(id, name).await?;
        self.publish_captions(&video).await
    }

    async fn publish_captions(&self, video: &VideoRecord) -> Result<(), LibraryError> {
        let changed = video.clone();
        self.blocking(move |shelf| publish(shelf, &changed)).await?;
        self.tell(video);
        Ok(())
    }
}

/// Writes what players read of a video anew, with the text tracks that it has by now. A job that
/// works on the video meanwhile does the same with all that it knows.
fn publish(shelf: &Shelf, video: &VideoRecord) -> Result<(), LibraryError> {
    let (disk, id, now) = (&shelf.disk, video.id, shelf.clock.now());
    let _turn = disk.publishing(id);
    let mut manifest = disk.manifest(id)?.unwrap_or_else(|| Manifest::empty(0.0, Vec::new()));
    disk.refresh_texts(id, &mut manifest, &video.captions)?;
    let text = serde_json::to_vec(&manifest).map_err(|_| LibraryError::Task)?;
    disk.replace_media(id, "manifest.json", &text, true)?;
    if manifest.is_playable() && manifest.formats.hls {
        let master = playlist::multivariant(&manifest);
        disk.replace_media(id, "master.m3u8", master.as_bytes(), true)?;
    }
    if manifest.is_playable() && manifest.formats.dash {
        let mpd = dash::mpd(&manifest, now, manifest.began.unwrap_or(now));
        disk.replace_media(id, "manifest.mpd", mpd.as_bytes(), true)?;
    }
    let pruned =
        disk.prune_cut_texts(id, &manifest).and_then(|()| disk.prune_stored_texts(id, &manifest));
    if let Err(left) = pruned {
        // Nobody is told of what stays, and the next change tries again.
        warn!(video.id = %id, "files of removed text tracks of {id} stay: {left}");
    }
    Ok(())
}

fn empty_track(lang: &str, kind: TextKind) -> Result<TextTrack, LibraryError> {
    let lang = language::tag(lang).ok_or(LibraryError::Invalid {
        field: "lang",
        rule: "has to be a language tag, such as en, pt-BR or zh-Hant",
    })?;
    Ok(TextTrack { lang, label: String::new(), kind, ordinal: 1, stored: 0, cut: None })
}

fn label_of(label: Option<String>, lang: &str) -> Result<String, LibraryError> {
    let label = label.unwrap_or_default();
    let label = label.trim();
    if label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control) {
        let rule = "can have 40 characters at most, and no control characters";
        return Err(LibraryError::Invalid { field: "label", rule });
    }
    Ok(if label.is_empty() { language::name(lang) } else { label.to_owned() })
}
