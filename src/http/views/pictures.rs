//! What there is to look at: the poster, who chose it, and the stills to choose from.

use super::work::ErrorView;
use crate::model::extra::{POSTER_FILE, Thumbnail, thumbnail_file};
use crate::model::job::{JobState, PosterSource, Task};
use crate::state::{JobRecord, VideoRecord};
use serde::Serialize;
use utoipa::ToSchema;

/// What somebody has chosen as the poster.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PosterChoice)]
pub(super) struct ChoiceView {
    state: ChoiceState,
    time: Option<f64>,
    error: Option<ErrorView>,
}

/// How far that is.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PosterChoiceState)]
enum ChoiceState {
    Pending,
    Set,
    Failed,
}

impl ChoiceView {
    /// Makes the view of the newest choice; one that failed is told, but has changed nothing.
    pub(super) fn of(video: &VideoRecord, job: Option<&JobRecord>) -> Option<Self> {
        let unset = job.filter(|job| job.state != JobState::Done);
        let Some(job) = unset else {
            let chosen = video.chosen.as_ref()?;
            return Some(Self { state: ChoiceState::Set, time: chosen.time, error: None });
        };
        let time = match job.task {
            Task::Poster { of: PosterSource::Time { seconds } } => Some(seconds),
            _ => None,
        };
        let state = if job.is_open() { ChoiceState::Pending } else { ChoiceState::Failed };
        Some(Self { state, time, error: job.problem.as_ref().map(ErrorView::of) })
    }
}

/// Returns the poster's address. That of a chosen one tells which, so that no cache shows another.
pub(super) fn poster_url(video: &VideoRecord) -> Option<String> {
    let at = format!("/media/{}/{POSTER_FILE}", video.id);
    match (&video.chosen, &video.poster) {
        (Some(chosen), _) => Some(format!("{at}?v={}", chosen.version)),
        (None, Some(_)) => Some(at),
        (None, None) => None,
    }
}

/// A still to choose a poster from.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Thumbnail)]
pub(in crate::http) struct ThumbnailView {
    pub(in crate::http) url: String,
    pub(in crate::http) width: u32,
    pub(in crate::http) height: u32,
    /// Where it is in the film, in seconds; unknown for the poster.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
}

impl ThumbnailView {
    /// Makes the views of all stills out of a film.
    pub(in crate::http) fn all(video: &VideoRecord) -> Vec<Self> {
        let of = |(number, still): (usize, &Thumbnail)| Self {
            url: format!("/media/{}/{}", video.id, thumbnail_file(number)),
            width: still.picture.width,
            height: still.picture.height,
            time: Some(still.time),
        };
        (1..).zip(&video.pictures.thumbnails).map(of).collect()
    }

    /// Makes the view of the poster, if there is one.
    pub(in crate::http) fn poster(video: &VideoRecord) -> Option<Self> {
        let chosen = video.chosen.as_ref();
        let picture = chosen.map(|chosen| &chosen.picture).or(video.poster.as_ref())?;
        Some(Self {
            url: poster_url(video)?,
            width: picture.width,
            height: picture.height,
            time: chosen.and_then(|chosen| chosen.time),
        })
    }
}
