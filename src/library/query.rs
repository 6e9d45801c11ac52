//! Lists: which videos and uploads somebody finds, page by page.

use super::sort::{Cursor, Sort};
use super::{Library, LibraryError, shows_all};
use crate::ids::{GrantId, Owner, UploadId};
use crate::model::access::Viewer;
use crate::model::upload::UploadState;
use crate::model::video::{VideoState, Visibility};
use crate::state::{TrashRecord, UploadRecord, VideoRecord};

/// Most videos on a page.
pub const VIDEOS_MAX: usize = 100;

/// Most uploads on a page.
pub const UPLOADS_MAX: usize = 1000;

/// What to list. The default lists the newest of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only videos in this state.
    pub state: Option<VideoState>,
    /// Only videos with this text, in any case, in title, description, file name or a tag.
    pub text: Option<String>,
    /// Only videos with this tag.
    pub tag: Option<String>,
    /// Only videos of this group of uploads.
    pub session: Option<String>,
    /// Only videos of this owner; `acme/` means everybody in that organisation.
    pub owner: Option<Owner>,
    /// In which order.
    pub sort: Sort,
    /// Go on here: the `next` of the page before.
    pub cursor: Option<Cursor>,
    /// Videos on the page, 1 ..= [`VIDEOS_MAX`].
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The videos in order.
    pub items: Vec<VideoRecord>,
    /// The cursor of the next page, if there is one.
    pub next: Option<Cursor>,
}

/// One page of the trash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrashPage {
    /// The videos in order.
    pub items: Vec<TrashRecord>,
    /// The cursor of the next page, if there is one.
    pub next: Option<Cursor>,
}

/// Which uploads to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadQuery {
    /// Only uploads in this state.
    pub state: Option<UploadState>,
    /// Only uploads of this group.
    pub session: Option<String>,
    /// Only uploads of files with this display name.
    pub filename: Option<String>,
    /// Only uploads that were begun by this grant.
    pub grant: Option<GrantId>,
    /// Go on behind this upload: the `next` of the page before.
    pub cursor: Option<UploadId>,
    /// Uploads on the page, 1 ..= [`UPLOADS_MAX`].
    pub limit: usize,
}

/// One page of uploads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UploadPage {
    /// The uploads, the newest first.
    pub items: Vec<UploadRecord>,
    /// The cursor of the next page, if there is one.
    pub next: Option<UploadId>,
}

impl Library {
    /// Lists videos that `viewer` finds: their own, those of their organisation and public ones;
    /// the operator finds all.
    ///
    /// # Errors
    /// `State` if the database can't be read.
    pub async fn list(&self, viewer: &Viewer, query: Query) -> Result<Page, LibraryError> {
        let viewer = viewer.clone();
        self.blocking(move |shelf| {
            let limit = query.limit.clamp(1, VIDEOS_MAX);
            let needle = query.text.as_ref().map(|text| text.to_lowercase());
            let keep = |video: &VideoRecord| {
                lists(&viewer, video) && query.matches(video, needle.as_deref())
            };
            let (cursor, sort) = (query.cursor.as_ref(), query.sort);
            let mut items = match sort.is_newest_first() {
                true => shelf.state.videos(cursor.map(Cursor::id), limit + 1, &keep)?,
                false => sort.first(
                    cursor,
                    limit + 1,
                    |video| video,
                    &keep,
                    |keep| shelf.state.videos(None, usize::MAX, keep),
                )?,
            };
            let has_more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().map(|video| sort.place(video)).filter(|_| has_more);
            Ok(Page { items, next })
        })
        .await
    }

    /// Lists the trash of `viewer`; an admin finds everybody's, or their organisation's.
    ///
    /// # Errors
    /// `State` if the database can't be read.
    pub async fn list_trash(
        &self,
        viewer: &Viewer,
        query: Query,
    ) -> Result<TrashPage, LibraryError> {
        let viewer = viewer.clone();
        self.blocking(move |shelf| {
            let limit = query.limit.clamp(1, VIDEOS_MAX);
            let needle = query.text.as_ref().map(|text| text.to_lowercase());
            let keep = |trashed: &TrashRecord| {
                viewer.is_over(&trashed.video.owner)
                    && query.matches(&trashed.video, needle.as_deref())
            };
            let (cursor, sort) = (query.cursor.as_ref(), query.sort);
            let mut items = match sort.is_newest_first() {
                true => shelf.state.all_trashed(cursor.map(Cursor::id), limit + 1, &keep)?,
                false => sort.first(
                    cursor,
                    limit + 1,
                    |trashed| &trashed.video,
                    &keep,
                    |keep| shelf.state.all_trashed(None, usize::MAX, keep),
                )?,
            };
            let has_more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().map(|trashed| sort.place(&trashed.video));
            let next = next.filter(|_| has_more);
            Ok(TrashPage { items, next })
        })
        .await
    }

    /// Lists the uploads of `viewer`, the newest first.
    ///
    /// # Errors
    /// `State` if the database can't be read.
    pub async fn uploads(
        &self,
        viewer: &Viewer,
        query: UploadQuery,
    ) -> Result<UploadPage, LibraryError> {
        let owner = viewer.owner.clone();
        self.blocking(move |shelf| {
            let limit = query.limit.clamp(1, UPLOADS_MAX);
            let keep = |upload: &UploadRecord| upload.owner == owner && query.matches(upload);
            let mut items = match query.state {
                Some(UploadState::Finished) | None => {
                    shelf.state.newest_uploads(query.cursor, limit + 1, &keep)?
                }
                // Their index is short, however many have finished.
                Some(_) => {
                    let mut open = shelf.state.unfinished_uploads()?;
                    let is_behind = |id| query.cursor.is_none_or(|cursor| id < cursor);
                    open.retain(|upload| is_behind(upload.id) && keep(upload));
                    open.sort_by_key(|upload| std::cmp::Reverse(upload.id));
                    open
                }
            };
            let has_more = items.len() > limit;
            items.truncate(limit);
            let next = items.last().map(|upload| upload.id).filter(|_| has_more);
            Ok(UploadPage { items, next })
        })
        .await
    }
}

impl UploadQuery {
    /// Says whether an upload is among what is asked for. Parts of a joined upload never are, nor
    /// is what is made of them before it is whole.
    fn matches(&self, upload: &UploadRecord) -> bool {
        (upload.concat.is_none() || upload.state == UploadState::Finished)
            && self.state.is_none_or(|state| upload.state == state)
            && (self.session.is_none() || upload.session == self.session)
            && (self.grant.is_none() || upload.grant == self.grant)
            && self.filename.as_ref().is_none_or(|name| upload.filename == *name)
    }
}

impl Query {
    /// Says whether a video is among what is asked for; `needle` is `text` in lower case.
    fn matches(&self, video: &VideoRecord, needle: Option<&str>) -> bool {
        let has = |text: &str, needle: &str| text.to_lowercase().contains(needle);
        self.state.is_none_or(|state| video.state == state)
            && self.owner.as_ref().is_none_or(|wanted| is_of(&video.owner, wanted))
            && (self.session.is_none() || video.session == self.session)
            && self.tag.as_ref().is_none_or(|tag| video.tags.contains(tag))
            && needle.is_none_or(|needle| {
                has(&video.title, needle)
                    || has(&video.description, needle)
                    || has(&video.filename, needle)
                    || video.tags.iter().any(|tag| has(tag, needle))
            })
    }
}

/// Says whether `owner` is the wanted one, or in the wanted organisation: `acme/`.
fn is_of(owner: &Owner, wanted: &Owner) -> bool {
    owner == wanted || (wanted.0.ends_with('/') && owner.0.starts_with(&wanted.0))
}

/// Says whether a video is listed for `viewer`. Unlisted ones aren't, except for their owner and
/// whoever is in the organisation.
pub fn lists(viewer: &Viewer, video: &VideoRecord) -> bool {
    let is_public = video.visibility == Visibility::Public && video.state != VideoState::Uploading;
    shows_all(video, viewer) || is_public
}
